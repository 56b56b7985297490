//! redb: a table keyed by partition and offset.

use std::path::Path;

use redb::{Database, Durability, ReadableDatabase, TableDefinition, WriteTransaction};

use crate::store::{Engine, Level, Next, Result, Store, halves};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "redb",
    package: "redb",
    open,
    lacks: |workload| match workload {
        Workload::ScanAborted => Some("aborted records leave nothing"),
        _ => None,
    },
    differs: |workload| match workload {
        Workload::Append1 | Workload::Append100 | Workload::Append8 | Workload::Transaction => {
            Some("no level of the kind: what is not flushed dies with the process")
        }
        Workload::Scan => Some("checksums are not verified"),
        Workload::ReopenKilled => Some("flushed each 100,000 records, or nothing would be there"),
        _ => None,
    },
    settings: "one table with (partition, offset) as key; `Durability::Immediate` where durable, `None` where not; \
               quick_repair off, as by default: it costs a second flush in each durable commit",
};

const LOG: TableDefinition<(u8, u64), &[u8]> = TableDefinition::new("log");
const OFFSETS: TableDefinition<&str, u64> = TableDefinition::new("offsets");

struct Redb {
    database: Database,
    durability: Durability,
    next: Next,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let database = Database::create(dir.join("log.redb"))?;
    let durability = if level == Level::Disk { Durability::Immediate } else { Durability::None };
    let made = database.begin_read()?.list_tables()?.next().is_none();
    if made {
        let transaction = database.begin_write()?;
        transaction.open_table(LOG)?;
        transaction.open_table(OFFSETS)?;
        transaction.commit()?;
    }
    Ok(Box::new(Redb { database, durability, next: Next::default() }))
}

impl Redb {
    fn begin(&self) -> Result<WriteTransaction> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(self.durability)?;
        Ok(transaction)
    }

    fn put(&self, transaction: &WriteTransaction, partition: usize, values: &[Value]) -> Result<()> {
        let mut table = transaction.open_table(LOG)?;
        let first = self.next.take(partition, values.len());
        for (offset, value) in (first..).zip(values) {
            table.insert((partition as u8, offset), value.as_slice())?;
        }
        Ok(())
    }
}

impl Store for Redb {
    fn append(&self, values: &[Value]) -> Result<()> {
        let transaction = self.begin()?;
        self.put(&transaction, 0, values)?;
        transaction.commit()?;
        Ok(())
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let transaction = self.begin()?;
        for (partition, half) in halves(values) {
            self.put(&transaction, partition, half)?;
        }
        transaction.open_table(OFFSETS)?.insert("g", offset)?;
        transaction.commit()?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let table = self.database.begin_read()?.open_table(LOG)?;
        let mut seen = Seen::default();
        for entry in table.range((0, 0)..(1, 0))? {
            seen.take(entry?.1.value());
        }
        Ok(seen)
    }

    fn last(&self) -> Result<u64> {
        let table = self.database.begin_read()?.open_table(LOG)?;
        let (key, _) = table.range((0, 0)..(1, 0))?.next_back().ok_or("no last record")??;
        self.next.set(key.value().1 + 1);
        Ok(key.value().1 + 1)
    }

    fn checkpoint(&self) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        transaction.commit()?;
        Ok(())
    }
}
