//! RocksDB: keys of partition and offset, a write batch for everything.

use std::path::Path;

use rocksdb::{DB, DBCompressionType, Options, ReadOptions, WriteBatch, WriteOptions};

use crate::store::{Engine, Level, Next, Result, Store, halves, key, offset_of};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "RocksDB",
    package: "rocksdb",
    open,
    lacks: |workload| match workload {
        Workload::ScanAborted => Some("aborted records leave nothing"),
        _ => None,
    },
    differs: |_| None,
    settings: "no compression, since nothing could be compressed; a write batch for each append, `sync` where durable, \
               `manual_wal_flush` for level memory; scans by a raw iterator with 1 MiB read ahead, which verifies \
               checksums",
};

struct Rocks {
    db: DB,
    options: WriteOptions,
    next: Next,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.set_compression_type(DBCompressionType::None);
    options.set_manual_wal_flush(level == Level::Memory);
    let db = DB::open(&options, dir)?;
    let mut options = WriteOptions::default();
    options.set_sync(level == Level::Disk);
    Ok(Box::new(Rocks { db, options, next: Next::default() }))
}

impl Rocks {
    fn put(&self, batch: &mut WriteBatch, partition: usize, values: &[Value]) {
        let first = self.next.take(partition, values.len());
        for (offset, value) in (first..).zip(values) {
            batch.put(key(partition, offset), value);
        }
    }
}

impl Store for Rocks {
    fn append(&self, values: &[Value]) -> Result<()> {
        let mut batch = WriteBatch::default();
        self.put(&mut batch, 0, values);
        self.db.write_opt(batch, &self.options)?;
        Ok(())
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let mut batch = WriteBatch::default();
        for (partition, half) in halves(values) {
            self.put(&mut batch, partition, half);
        }
        batch.put("offsets of g", offset.to_be_bytes());
        self.db.write_opt(batch, &self.options)?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let mut options = ReadOptions::default();
        options.set_readahead_size(1 << 20);
        options.set_iterate_upper_bound(key(1, 0));
        let mut iterator = self.db.raw_iterator_opt(options);
        iterator.seek_to_first();
        let mut seen = Seen::default();
        while let Some(value) = iterator.value() {
            seen.take(value);
            iterator.next();
        }
        iterator.status()?;
        Ok(seen)
    }

    fn last(&self) -> Result<u64> {
        let mut iterator = self.db.raw_iterator();
        iterator.seek_for_prev(key(0, u64::MAX));
        let next = offset_of(iterator.key().ok_or("no last record")?) + 1;
        self.next.set(next);
        Ok(next)
    }
}
