//! walrus: topics in files shared by blocks. Its directory comes from the environment, see `rounds`.

use std::path::Path;

use walrus_rust::{FsyncSchedule, ReadConsistency, Walrus};

use crate::store::{Engine, Level, Result, Store};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "walrus",
    package: "walrus-rust",
    open,
    lacks: |workload| match workload {
        Workload::AppendMemory => Some("every append is written"),
        Workload::Transaction | Workload::TransactionDurable => Some("no transactions, no offsets with records"),
        Workload::ScanAborted => Some("nothing can be aborted"),
        Workload::Reopen | Workload::ReopenKilled => Some("a queue: no look at the last record"),
        _ => None,
    },
    differs: |workload| match workload {
        Workload::Append100 => Some("its batches are always flushed, so records one by one: not atomic"),
        _ => None,
    },
    settings: "`SyncEach` where durable, `NoFsync` where not; its default backend; batch reads of 1 MiB, the \
         consumer's \
               position not kept",
};

/// Where walrus takes its directory from.
pub const DIRECTORY: &str = "WALRUS_DATA_DIR";
/// Walrus prints what it does unless this is set.
pub const QUIET: &str = "WALRUS_QUIET";

const TOPIC: &str = "t";

struct Queue(Walrus);

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    if std::env::var_os(DIRECTORY).is_none_or(|set| set != dir) {
        return Err(format!("{DIRECTORY} is not {}", dir.display()).into());
    }
    let consistency = ReadConsistency::AtLeastOnce { persist_every: u32::MAX };
    let schedule = if level == Level::Disk { FsyncSchedule::SyncEach } else { FsyncSchedule::NoFsync };
    Ok(Box::new(Queue(Walrus::with_consistency_and_schedule(consistency, schedule)?)))
}

impl Store for Queue {
    fn append(&self, values: &[Value]) -> Result<()> {
        for value in values {
            self.0.append_for_topic(TOPIC, value)?;
        }
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        loop {
            let entries = self.0.batch_read_for_topic(TOPIC, 1 << 20, true)?;
            if entries.is_empty() {
                return Ok(seen);
            }
            entries.iter().for_each(|entry| seen.take(&entry.data));
        }
    }
}
