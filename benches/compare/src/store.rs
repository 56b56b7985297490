//! What every engine is asked to do, and how it says what it cannot.

use std::path::Path;

use crate::values::{Seen, Value};
use crate::workload::Workload;

/// Any engine's error.
pub type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// When an append is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// Taken by the process: lost with it.
    Memory,
    /// Written to the operating system: survives the process.
    Os,
    /// Flushed to the device: survives a power cut.
    Disk,
}

/// An open log at one level, with two partitions.
pub trait Store: Send + Sync {
    /// Appends records to partition 0 as one.
    fn append(&self, values: &[Value]) -> Result<()>;

    /// Half of the records to partition 0, half to partition 1, and the offset a group has reached: all or nothing.
    fn transaction(&self, _values: &[Value], _offset: u64) -> Result<()> {
        Err("no transactions".into())
    }

    /// Begins a transaction, gives it the records, and aborts it.
    fn abort(&self, _values: &[Value]) -> Result<()> {
        Err("no aborted records in the log".into())
    }

    /// Reads partition 0 from its start to its end.
    fn scan(&self) -> Result<Seen> {
        Err("no scan".into())
    }

    /// Reads the last record of partition 0 of a log that was opened, so that appends go on behind it; how many records
    /// there are.
    fn last(&self) -> Result<u64> {
        Err("no look at the last record".into())
    }

    /// Called each 100,000 records where nothing is durable, for engines that would keep nothing of them otherwise.
    fn checkpoint(&self) -> Result<()> {
        Ok(())
    }

    /// Flushes to the device so far, where the engine or its adaptor counts them.
    fn flushes(&self) -> Option<u64> {
        None
    }
}

/// An engine: how to open it, and what there is to say about its rows.
#[derive(Clone, Copy)]
pub struct Engine {
    /// Its name in the tables.
    pub name: &'static str,
    /// Its package in Cargo.lock.
    pub package: &'static str,
    /// Opens or makes a log in a directory.
    pub open: fn(&Path, Level) -> Result<Box<dyn Store>>,
    /// Why it cannot do a workload.
    pub lacks: fn(Workload) -> Option<&'static str>,
    /// What it promises or verifies less than others in a workload's table.
    pub differs: fn(Workload) -> Option<&'static str>,
    /// How it is set.
    pub settings: &'static str,
}

/// The next offset of each partition, for engines that are given keys.
#[derive(Default)]
pub struct Next([std::sync::atomic::AtomicU64; 2]);

impl Next {
    /// Takes `count` offsets of a partition; the first of them.
    pub fn take(&self, partition: usize, count: usize) -> u64 {
        self.0[partition].fetch_add(count as u64, std::sync::atomic::Ordering::Relaxed)
    }

    /// Goes on at an offset of partition 0.
    pub fn set(&self, offset: u64) {
        self.0[0].store(offset, std::sync::atomic::Ordering::Relaxed);
    }
}

/// Partition and offset, so that keys sort as the records lie.
pub fn key(partition: usize, offset: u64) -> [u8; 9] {
    let mut key = [partition as u8; 9];
    key[1..].copy_from_slice(&offset.to_be_bytes());
    key
}

/// The offset in a key.
pub fn offset_of(key: &[u8]) -> u64 {
    key.last_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
}

/// The halves of a transaction, each with its partition.
pub fn halves(values: &[Value]) -> [(usize, &[Value]); 2] {
    let (first, second) = values.split_at(values.len() / 2);
    [(0, first), (1, second)]
}
