//! The engine's handle.

use std::sync::Arc;

use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use oncelog::{ConsumerOptions, EngineOptions, Isolation, ProducerOptions, Start, TopicOptions};

use crate::arguments::{durability, durability_name, milliseconds, number};
use crate::consumer::Consumer;
use crate::errors::{OrThrow, Result, refused};
use crate::hub::{panicked, start_thread};
use crate::metrics::MetricsRow;
use crate::open_log::OpenLog;
use crate::partition::Partition;
use crate::producer::{Producer, TransactionalProducer};
use crate::queue::{Done, Queue, Value};

/// How to open a log; what is missing has the engine's default.
#[napi(object)]
pub struct OpenOptions {
    pub durability: Option<String>,
    pub segment_bytes: Option<f64>,
    pub read_only: Option<bool>,
    pub create: Option<bool>,
    pub mappings: Option<bool>,
    pub accept_loss: Option<bool>,
    pub flush_interval_ms: Option<f64>,
}

impl OpenOptions {
    pub fn checked(self) -> Result<EngineOptions> {
        let mut options = EngineOptions::default();
        if let Some(level) = durability(self.durability.as_deref())? {
            options = options.durability(level);
        }
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes as u64);
        }
        if let Some(interval) = self.flush_interval_ms {
            options = options.flush_interval(milliseconds(interval));
        }
        options = self.read_only.into_iter().fold(options, EngineOptions::read_only);
        options = self.create.into_iter().fold(options, EngineOptions::create);
        options = self.mappings.into_iter().fold(options, EngineOptions::mappings);
        Ok(self.accept_loss.into_iter().fold(options, EngineOptions::accept_loss))
    }
}

/// How a producer works.
#[napi(object)]
pub struct ProducerChoice {
    pub name: Option<String>,
    pub batch_bytes: Option<f64>,
    pub linger_ms: Option<f64>,
    pub durability: Option<String>,
}

impl ProducerChoice {
    fn checked(self) -> Result<ProducerOptions> {
        let mut options = ProducerOptions::new();
        options.name = self.name;
        options.durability = durability(self.durability.as_deref())?;
        if let Some(bytes) = self.batch_bytes {
            options = options.batch_bytes(bytes as usize);
        }
        if let Some(linger) = self.linger_ms {
            options = options.linger(milliseconds(linger));
        }
        Ok(options)
    }
}

/// How a consumer works.
#[napi(object)]
pub struct ConsumerChoice {
    pub group: Option<String>,
    pub isolation: Option<String>,
    pub start: Option<String>,
    pub max_bytes: Option<f64>,
    pub max_records: Option<f64>,
}

impl ConsumerChoice {
    fn checked(self) -> Result<ConsumerOptions> {
        let mut options = ConsumerOptions::new();
        options.group = self.group;
        options.isolation = isolation(self.isolation.as_deref())?;
        options.start = match self.start.as_deref() {
            None | Some("earliest") => Start::Earliest,
            Some("latest") => Start::Latest,
            Some("none") => Start::None,
            Some(other) => {
                let text = "no such start; say \"earliest\", \"latest\" or \"none\"";
                return Err(refused(format!("{text}, start={other:?}")));
            }
        };
        if let Some(bytes) = self.max_bytes {
            options = options.max_bytes(bytes as usize);
        }
        if let Some(records) = self.max_records {
            options = options.max_records(records as u64);
        }
        Ok(options)
    }
}

/// What readers see, by its name.
pub fn isolation(name: Option<&str>) -> Result<Isolation> {
    match name {
        None | Some("read_committed") => Ok(Isolation::ReadCommitted),
        Some("read_uncommitted") => Ok(Isolation::ReadUncommitted),
        Some(other) => {
            let text = "no such isolation; say \"read_committed\" or \"read_uncommitted\"";
            Err(refused(format!("{text}, isolation={other:?}")))
        }
    }
}

/// A topic as it stands.
#[napi(object)]
pub struct TopicRow {
    pub name: String,
    pub id: String,
    pub partitions: u32,
    pub durability: Option<String>,
}

/// Frames lost, or cut.
#[napi(object)]
pub struct DamageRow {
    pub first_lsn: BigInt,
    pub last_lsn: BigInt,
    pub file: String,
    pub position: BigInt,
    pub records_only: bool,
}

/// A tail that was cut.
#[napi(object)]
pub struct CutRow {
    pub last_kept: BigInt,
    pub last_seen: BigInt,
    pub bytes: BigInt,
}

/// What opening found.
#[napi(object)]
pub struct OpeningRow {
    pub created: bool,
    pub incarnation: BigInt,
    pub frames_copied: BigInt,
    pub cut: Option<CutRow>,
    pub damage: Vec<DamageRow>,
}

/// An open log.
#[napi]
pub struct Engine {
    log: Arc<OpenLog>,
    queue: Arc<Queue>,
}

impl Engine {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>) -> Self {
        Self { log, queue }
    }

    pub fn producer_of(&self, producer: oncelog::Producer, facade: (Uint8Array, u32)) -> Producer {
        Producer::new(self.log.clone(), self.queue.clone(), producer, facade)
    }

    pub fn transactional_of(&self, producer: oncelog::TransactionalProducer) -> TransactionalProducer {
        TransactionalProducer::new(self.log.clone(), self.queue.clone(), producer)
    }

    fn done(&self, who: u32, ticket: oncelog::Result<oncelog::Ticket<()>>) {
        self.queue.watch(who, ticket, move |()| Done::Nothing(who));
    }
}

#[napi]
impl Engine {
    #[napi(catch_unwind)]
    pub fn create_topic(&self, who: u32, name: String, partitions: u32, level: Option<String>) -> Result<()> {
        let mut options = TopicOptions::new().partitions(partitions);
        options.durability = durability(level.as_deref())?;
        self.done(who, self.log.create_topic_ticket(&name, options));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn delete_topic(&self, who: u32, name: String) {
        self.done(who, self.log.delete_topic_ticket(&name));
    }

    #[napi(catch_unwind)]
    pub fn add_partitions(&self, who: u32, topic: String, total: u32) {
        self.done(who, self.log.add_partitions_ticket(&topic, total));
    }

    #[napi(catch_unwind)]
    pub fn delete_producer(&self, who: u32, name: String) {
        self.done(who, self.log.delete_producer_ticket(&name));
    }

    #[napi(catch_unwind)]
    pub fn wait_durable(&self, who: u32, lsn: BigInt) -> Result<()> {
        self.done(who, self.log.wait_durable_ticket(number(&lsn)?));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn flush(&self, who: u32) {
        self.done(who, self.log.flush_ticket());
    }

    /// Closes the log on a thread of its own.
    #[napi(catch_unwind)]
    pub fn close(&self, who: u32) -> Result<()> {
        let (log, queue) = (self.log.clone(), self.queue.clone());
        let close = move || {
            let closing = std::panic::AssertUnwindSafe(|| log.close());
            let closed = std::panic::catch_unwind(closing).unwrap_or_else(|_| Err(panicked()));
            queue.push(closed.map_or_else(|error| Done::Failed(who, error), |()| Done::Nothing(who)));
        };
        start_thread("oncelog-close", close).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn topics(&self) -> Result<Vec<TopicRow>> {
        let topics = self.log.topics().or_throw()?.into_iter().map(|topic| TopicRow {
            id: topic.id.to_string(),
            name: topic.name,
            partitions: topic.partitions,
            durability: topic.durability.map(durability_name),
        });
        Ok(topics.collect())
    }

    #[napi(catch_unwind)]
    pub fn partition(&self, topic: String, number: u32) -> Result<Partition> {
        let partition = self.log.partition(&topic, number).or_throw()?;
        Ok(Partition::new(self.log.clone(), self.queue.clone(), partition))
    }

    #[napi(catch_unwind)]
    pub fn producer(&self, who: u32, choice: ProducerChoice) -> Result<()> {
        let ticket = self.log.producer_ticket(choice.checked()?);
        self.queue.watch(who, ticket, move |producer| Done::Value(who, Value::Producer(producer)));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn transactional_producer(&self, who: u32, id: String, choice: ProducerChoice) -> Result<()> {
        let ticket = self.log.transactional_producer_ticket(&id, choice.checked()?);
        self.queue.watch(who, ticket, move |producer| Done::Value(who, Value::Transactional(producer)));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn consumer(&self, choice: ConsumerChoice) -> Result<Consumer> {
        let consumer = self.log.consumer(choice.checked()?).or_throw()?;
        Ok(Consumer::new(self.log.clone(), self.queue.clone(), consumer))
    }

    /// True if so many bytes would not have to wait.
    #[napi(catch_unwind)]
    pub fn has_room(&self, bytes: u32) -> bool {
        self.log.has_room(bytes as usize)
    }

    #[napi(catch_unwind)]
    pub fn opening(&self) -> OpeningRow {
        let opening = self.log.opening();
        let damage = opening.damage.into_iter().map(|damage| DamageRow {
            first_lsn: damage.first_lsn.into(),
            last_lsn: damage.last_lsn.into(),
            file: damage.file,
            position: damage.position.into(),
            records_only: damage.records_only,
        });
        let cut = opening.cut.map(|cut| CutRow {
            last_kept: cut.last_kept.into(),
            last_seen: cut.last_seen.into(),
            bytes: cut.bytes.into(),
        });
        OpeningRow {
            created: opening.created,
            incarnation: opening.incarnation.into(),
            frames_copied: opening.frames_copied.into(),
            cut,
            damage: damage.collect(),
        }
    }

    #[napi(catch_unwind)]
    pub fn metrics(&self) -> MetricsRow {
        self.log.metrics().into()
    }

    #[napi(catch_unwind)]
    pub fn openmetrics(&self) -> String {
        self.log.metrics().to_openmetrics()
    }
}
