//! okaywal: a write-ahead log for a store behind it. An entry is one commit, always flushed, shared by those who wait.

use std::path::Path;

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use crate::store::{Engine, Level, Result, Store};
use crate::values::Value;
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "okaywal",
    package: "okaywal",
    open,
    lacks: |workload| match workload {
        Workload::Durable1 | Workload::Durable8 | Workload::TransactionDurable => None,
        Workload::Scan | Workload::ScanAborted => Some("entries are read while recovering only"),
        Workload::Reopen | Workload::ReopenKilled | Workload::Memory => Some("entries go to the store behind it"),
        _ => Some("every commit is flushed"),
    },
    differs: |workload| match workload {
        Workload::TransactionDurable => Some("one entry of records and offset: no partitions, nothing to read them by"),
        _ => None,
    },
    settings: "files of 64 MiB, checkpoint after 48 MiB; the store behind it does nothing",
};

/// The store behind the log: it does nothing with what it is given.
#[derive(Debug)]
struct Nothing;

impl LogManager for Nothing {
    fn recover(&mut self, _entry: &mut Entry<'_>) -> std::io::Result<()> {
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> std::io::Result<()> {
        Ok(())
    }
}

struct Okay(WriteAheadLog);

fn open(dir: &Path, _level: Level) -> Result<Box<dyn Store>> {
    let configuration = Configuration::default_for(dir).preallocate_bytes(64 << 20).checkpoint_after_bytes(48 << 20);
    Ok(Box::new(Okay(configuration.open(Nothing)?)))
}

impl Store for Okay {
    fn append(&self, values: &[Value]) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for value in values {
            entry.write_chunk(value)?;
        }
        entry.commit()?;
        Ok(())
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let mut entry = self.0.begin_entry()?;
        for value in values {
            entry.write_chunk(value)?;
        }
        entry.write_chunk(&offset.to_le_bytes())?;
        entry.commit()?;
        Ok(())
    }
}
