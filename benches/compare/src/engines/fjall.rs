//! fjall: one keyspace for both partitions, one for offsets, a batch where more than one record is written.

use std::path::Path;

use fjall::config::{CompressionPolicy, FilterPolicy};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use crate::store::{Engine, Level, Next, Result, Store, halves, key, offset_of};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "fjall",
    package: "fjall",
    open,
    lacks: |workload| match workload {
        Workload::ScanAborted => Some("aborted records leave nothing"),
        _ => None,
    },
    differs: |_| None,
    settings: "no compression, since nothing could be compressed, and no bloom filters; `PersistMode::SyncData` where \
               durable, `Buffer` where not, `manual_journal_persist` for level memory; write batches but for single \
               records",
};

struct Fjall {
    database: Database,
    log: Keyspace,
    offsets: Keyspace,
    persist: Option<PersistMode>,
    next: Next,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let manual = level == Level::Memory;
    let builder = Database::builder(dir).journal_compression(CompressionType::None).manual_journal_persist(manual);
    let database = builder.open()?;
    let options = || {
        KeyspaceCreateOptions::default()
            .data_block_compression_policy(CompressionPolicy::disabled())
            .filter_policy(FilterPolicy::disabled())
            .manual_journal_persist(manual)
    };
    let log = database.keyspace("log", options)?;
    let offsets = database.keyspace("offsets", options)?;
    let persist = match level {
        Level::Memory => None,
        Level::Os => Some(PersistMode::Buffer),
        Level::Disk => Some(PersistMode::SyncData),
    };
    Ok(Box::new(Fjall { database, log, offsets, persist, next: Next::default() }))
}

impl Store for Fjall {
    fn append(&self, values: &[Value]) -> Result<()> {
        let first = self.next.take(0, values.len());
        if let [value] = values {
            // Persists to the buffers of the operating system by itself.
            self.log.insert(key(0, first), value)?;
            if self.persist == Some(PersistMode::SyncData) {
                self.database.persist(PersistMode::SyncData)?;
            }
            return Ok(());
        }
        let mut batch = self.database.batch().durability(self.persist);
        for (offset, value) in (first..).zip(values) {
            batch.insert(&self.log, key(0, offset), value.as_slice());
        }
        batch.commit()?;
        Ok(())
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let mut batch = self.database.batch().durability(self.persist);
        for (partition, half) in halves(values) {
            let first = self.next.take(partition, half.len());
            for (offset, value) in (first..).zip(half) {
                batch.insert(&self.log, key(partition, offset), value.as_slice());
            }
        }
        batch.insert(&self.offsets, "g", offset.to_be_bytes());
        batch.commit()?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        for entry in self.log.range(..key(1, 0)) {
            seen.take(&entry.value()?);
        }
        Ok(seen)
    }

    fn last(&self) -> Result<u64> {
        let (key, _) = self.log.range(..key(1, 0)).next_back().ok_or("no last record")?.into_inner()?;
        let next = offset_of(&key) + 1;
        self.next.set(next);
        Ok(next)
    }
}
