//! SQLite: a table per partition with the offset as its rowid, prepared statements, one connection behind a mutex.

use std::path::Path;

use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior, params};

use crate::store::{Engine, Level, Next, Result, Store, halves};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "SQLite",
    package: "rusqlite",
    open,
    lacks: |workload| match workload {
        Workload::AppendMemory => Some("every commit is written"),
        Workload::ScanAborted => Some("aborted rows leave nothing"),
        _ => None,
    },
    differs: |workload| match workload {
        Workload::Scan => Some("no checksums"),
        _ => None,
    },
    settings: "WAL; `synchronous` full where durable, normal where not; a table per partition with the offset as \
         integer \
               primary key, so that rows are appended; prepared statements, the next offset kept in the program; a \
               mapping \
               for reads; threads take turns at one connection, since SQLite has one writer",
};

const INSERT: [&str; 2] = ["insert into log0 values (?1, ?2)", "insert into log1 values (?1, ?2)"];
const OFFSET: &str = "insert into offsets values ('g', 0, ?1) on conflict do update set offset = excluded.offset";
const SCHEMA: &str = "
    create table if not exists log0 (offset integer primary key, value blob not null);
    create table if not exists log1 (offset integer primary key, value blob not null);
    create table if not exists offsets (name text, partition int, offset int, primary key (name, partition));";

struct Sqlite {
    connection: Mutex<Connection>,
    next: Next,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let connection = Connection::open(dir.join("log.db"))?;
    let synchronous = if level == Level::Disk { "full" } else { "normal" };
    connection.execute_batch(&format!(
        "pragma journal_mode = wal; pragma synchronous = {synchronous}; pragma mmap_size = 2000000000; {SCHEMA}"
    ))?;
    Ok(Box::new(Sqlite { connection: Mutex::new(connection), next: Next::default() }))
}

impl Sqlite {
    fn commit(&self, change: impl FnOnce(&Transaction) -> Result<()>) -> Result<()> {
        let mut connection = self.connection.lock();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        change(&transaction)?;
        transaction.commit()?;
        Ok(())
    }

    fn insert(&self, transaction: &Transaction, partition: usize, values: &[Value]) -> Result<()> {
        let mut statement = transaction.prepare_cached(INSERT[partition])?;
        let first = self.next.take(partition, values.len());
        for (offset, value) in (first as i64..).zip(values) {
            statement.execute(params![offset, value])?;
        }
        Ok(())
    }
}

impl Store for Sqlite {
    fn append(&self, values: &[Value]) -> Result<()> {
        self.commit(|transaction| self.insert(transaction, 0, values))
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        self.commit(|transaction| {
            for (partition, half) in halves(values) {
                self.insert(transaction, partition, half)?;
            }
            transaction.prepare_cached(OFFSET)?.execute([offset as i64])?;
            Ok(())
        })
    }

    fn scan(&self) -> Result<Seen> {
        let connection = self.connection.lock();
        let mut statement = connection.prepare("select value from log0 order by offset")?;
        let mut rows = statement.query([])?;
        let mut seen = Seen::default();
        while let Some(row) = rows.next()? {
            seen.take(row.get_ref(0)?.as_blob()?);
        }
        Ok(seen)
    }

    fn last(&self) -> Result<u64> {
        let connection = self.connection.lock();
        let last: (i64, Vec<u8>) =
            connection.query_row("select offset, value from log0 order by offset desc limit 1", [], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?;
        self.next.set(last.0 as u64 + 1);
        Ok(last.0 as u64 + 1)
    }
}
