//! LMDB through heed: a database per partition, integer keys, put with the append flag. With a read-only map, as by
//! default, and with a writable one, where a commit that is not flushed makes no system call.

use std::path::Path;

use heed::byteorder::NativeEndian;
use heed::types::{Bytes, Str, U64};
use heed::{Database, Env, EnvFlags, EnvOpenOptions, IntegerComparator, PutFlags, RwTxn};

use crate::store::{Engine, Level, Next, Result, Store, halves};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "LMDB",
    package: "heed",
    open: |dir, level| open(dir, level, EnvFlags::empty()),
    lacks,
    differs,
    settings: "a map of 32 GiB; a database per partition with integer keys, `MDB_APPEND`; `MDB_NOSYNC` where not \
         durable",
};

pub const WRITABLE_MAP: Engine = Engine {
    name: "LMDB, writable map",
    package: "heed",
    open: |dir, level| open(dir, level, EnvFlags::WRITE_MAP),
    lacks: |workload| match workload {
        Workload::AppendMemory => None,
        other => lacks(other),
    },
    differs: |workload| match workload {
        Workload::AppendMemory => Some("survives the process; a stray pointer of the program reaches the log"),
        other => differs(other),
    },
    settings: "the same with `MDB_WRITEMAP`",
};

fn lacks(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::AppendMemory => Some("every commit is written"),
        Workload::ScanAborted => Some("aborted records leave nothing"),
        _ => None,
    }
}

fn differs(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::Scan => Some("no checksums"),
        Workload::Append1 | Workload::Append100 | Workload::Append8 | Workload::Transaction => {
            Some("a power cut can destroy the whole log, not only its end")
        }
        _ => None,
    }
}

struct Lmdb {
    env: Env,
    logs: [Database<U64<NativeEndian>, Bytes, IntegerComparator>; 2],
    offsets: Database<Str, U64<NativeEndian>>,
    next: Next,
}

fn open(dir: &Path, level: Level, flags: EnvFlags) -> Result<Box<dyn Store>> {
    let mut options = EnvOpenOptions::new();
    options.map_size(32 << 30).max_dbs(3);
    let flags = if level == Level::Disk { flags } else { flags | EnvFlags::NO_SYNC };
    // SAFETY: the directory is this process's own, is opened once, and nothing else touches its files.
    #[allow(unsafe_code, reason = "heed marks flags and mappings so")]
    let env = unsafe {
        options.flags(flags);
        options.open(dir)?
    };
    let mut transaction = env.write_txn()?;
    let mut log = |name: &str| {
        let options = env.database_options().types::<U64<NativeEndian>, Bytes>();
        options.key_comparator::<IntegerComparator>().name(name).create(&mut transaction)
    };
    let logs = [log("log0")?, log("log1")?];
    let offsets = env.create_database(&mut transaction, Some("offsets"))?;
    transaction.commit()?;
    Ok(Box::new(Lmdb { env, logs, offsets, next: Next::default() }))
}

impl Lmdb {
    /// Offsets are taken inside the transaction: keys must come in order.
    fn put(&self, transaction: &mut RwTxn, partition: usize, values: &[Value]) -> Result<()> {
        let first = self.next.take(partition, values.len());
        for (offset, value) in (first..).zip(values) {
            self.logs[partition].put_with_flags(transaction, PutFlags::APPEND, &offset, value)?;
        }
        Ok(())
    }
}

impl Store for Lmdb {
    fn append(&self, values: &[Value]) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        self.put(&mut transaction, 0, values)?;
        transaction.commit()?;
        Ok(())
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let mut transaction = self.env.write_txn()?;
        for (partition, half) in halves(values) {
            self.put(&mut transaction, partition, half)?;
        }
        self.offsets.put(&mut transaction, "g", &offset)?;
        transaction.commit()?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let transaction = self.env.read_txn()?;
        let mut seen = Seen::default();
        for entry in self.logs[0].iter(&transaction)? {
            seen.take(entry?.1);
        }
        Ok(seen)
    }

    fn last(&self) -> Result<u64> {
        let transaction = self.env.read_txn()?;
        let (offset, _) = self.logs[0].last(&transaction)?.ok_or("no last record")?;
        self.next.set(offset + 1);
        Ok(offset + 1)
    }
}
