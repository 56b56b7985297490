//! commitlog: one log, a message buffer that is used again, reads of 1 MiB.

use std::path::Path;

use commitlog::message::{MessageBuf, MessageSet};
use commitlog::{CommitLog, LogOptions, ReadLimit};
use parking_lot::Mutex;

use crate::store::{Engine, Level, Result, Store};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "commitlog",
    package: "commitlog",
    open,
    lacks: |workload| match workload {
        Workload::AppendMemory => Some("every append is written"),
        Workload::Durable1 | Workload::Durable8 => Some("its `flush` does not flush the device"),
        Workload::Transaction | Workload::TransactionDurable => Some("no transactions, no offsets of groups"),
        Workload::ScanAborted => Some("nothing can be aborted"),
        _ => None,
    },
    differs: |workload| match workload {
        Workload::Reopen | Workload::ReopenKilled => Some("verifies nothing when opened"),
        _ => None,
    },
    settings: "defaults, segments of 1 GB; a message buffer that is used again; reads of 1 MiB, which verify \
         checksums; \
               threads take turns: it has no shared handle",
};

struct Commit(Mutex<(CommitLog, MessageBuf)>);

fn open(dir: &Path, _level: Level) -> Result<Box<dyn Store>> {
    let log = CommitLog::new(LogOptions::new(dir))?;
    Ok(Box::new(Commit(Mutex::new((log, MessageBuf::default())))))
}

impl Store for Commit {
    fn append(&self, values: &[Value]) -> Result<()> {
        let mut held = self.0.lock();
        let (log, messages) = &mut *held;
        messages.clear();
        for value in values {
            messages.push(value).map_err(|e| format!("{e:?}"))?;
        }
        log.append(messages)?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let held = self.0.lock();
        let (mut seen, mut at) = (Seen::default(), 0);
        loop {
            let before = at;
            let messages = held.0.read(at, ReadLimit::max_bytes(1 << 20))?;
            for message in messages.iter() {
                seen.take(message.payload());
                at = message.offset() + 1;
            }
            if at == before {
                return Ok(seen);
            }
        }
    }

    fn last(&self) -> Result<u64> {
        let held = self.0.lock();
        let last = held.0.last_offset().ok_or("no last record")?;
        let messages = held.0.read(last, ReadLimit::max_bytes(1 << 20))?;
        messages.iter().next().ok_or("no last record")?;
        Ok(last + 1)
    }
}
