//! oncelog: raw batches through a partition's handle, transactions through a transactional producer.

use std::cell::RefCell;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use oncelog::{
    Batch, BatchBuilder, Durability, GroupMetadata, Offsets, Outcome, Partition, Producer, ProducerOptions,
    ReadOptions, Record, TopicOptions, TopicPartition, TransactionalProducer,
};

use crate::store::{Engine, Level, Result, Store, halves};
use crate::values::{Seen, Value};

pub const ENGINE: Engine = Engine {
    name: "oncelog",
    package: "oncelog",
    open,
    lacks: |_| None,
    differs: |_| None,
    settings: "defaults, segments of 64 MiB; each append encodes a record batch (v2) with its checksum and waits for \
               its ticket, but at level memory, where a producer's send is the answer and its batch is written behind \
               it; a transaction is begun, sent, given its offsets and committed; reads of 1 MiB",
};

const TIME: i64 = 1_795_000_000_000;

thread_local! {
    static BUILDER: RefCell<Option<BatchBuilder>> = const { RefCell::new(None) };
}

struct Log {
    engine: oncelog::Engine,
    partition: Partition,
    level: Durability,
    /// At level memory: a record is taken when its send returns.
    sender: Option<Producer>,
    /// Opened for the first transaction: its registration is a durable frame, which a log without any does not have.
    producer: OnceLock<TransactionalProducer>,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let level = match level {
        Level::Memory => Durability::Memory,
        Level::Os => Durability::Os,
        Level::Disk => Durability::Disk,
    };
    let engine = oncelog::Engine::options().durability(level).open(dir)?;
    if engine.topics()?.is_empty() {
        engine.create_topic("t", TopicOptions::new().partitions(2))?;
    }
    let partition = engine.partition("t", 0)?;
    let sender = (level == Durability::Memory).then(|| engine.producer(ProducerOptions::new())).transpose()?;
    Ok(Box::new(Log { engine, partition, level, sender, producer: OnceLock::new() }))
}

impl Store for Log {
    fn append(&self, values: &[Value]) -> Result<()> {
        if let Some(sender) = &self.sender {
            for value in values {
                sender.send("t", Record::new(value).partition(0).timestamp(TIME))?.detach();
            }
            return Ok(());
        }
        BUILDER.with_borrow_mut(|kept| {
            let mut builder = kept.take().unwrap_or_else(Batch::builder);
            for value in values {
                builder.push(&Record::new(value), TIME)?;
            }
            let batch = builder.build()?;
            self.partition.append(&batch)?.wait()?;
            *kept = Some(batch.into_builder());
            Ok(())
        })
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        let producer = match self.producer.get() {
            Some(producer) => producer,
            None => {
                let options = ProducerOptions::new().durability(self.level);
                let producer = self.engine.transactional_producer("compare", options)?;
                self.producer.get_or_init(|| producer)
            }
        };
        let mut transaction = producer.begin_transaction()?;
        for (partition, half) in halves(values) {
            let records = half.iter().map(|value| Record::new(value).partition(partition as u32).timestamp(TIME));
            transaction.send_many("t", records)?;
        }
        let offsets: Offsets = [(TopicPartition::new("t", 0), offset.into())].into();
        transaction.send_offsets(&GroupMetadata { group: "g".into() }, &offsets)?;
        transaction.commit()?;
        Ok(())
    }

    /// As one batch, as a broker takes it from a client: the records are in the log before the abort.
    fn abort(&self, values: &[Value]) -> Result<()> {
        let identity = self.engine.init_producer(Some("aborting"), Duration::from_secs(60), None)?;
        let mut builder = Batch::builder();
        builder.producer(identity, 0).transactional(true);
        for value in values {
            builder.push(&Record::new(value), TIME)?;
        }
        self.partition.append(&builder.build()?)?.wait()?;
        self.engine.end_transaction(identity, Outcome::Abort)?;
        Ok(())
    }

    fn scan(&self) -> Result<Seen> {
        let mut seen = Seen::default();
        let mut at = self.partition.bounds().start;
        loop {
            let records = self.partition.read(at, ReadOptions::new())?;
            for record in &records {
                seen.take(record?.value().unwrap_or_default());
            }
            let next = records.next_offset("t", 0).unwrap_or(at);
            if next == at {
                return Ok(seen);
            }
            at = next;
        }
    }

    fn last(&self) -> Result<u64> {
        let end = self.partition.bounds().end;
        let records = self.partition.read(end - 1, ReadOptions::new().max_bytes(1))?;
        records.iter().next().ok_or("no last record")??;
        Ok(end)
    }

    fn flushes(&self) -> Option<u64> {
        Some(self.engine.metrics().flush_nanos.count())
    }
}
