//! The engine's handle.

use std::sync::Arc;

use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use oncelog::{GroupMetadata, Identity};

use crate::apart::run_apart;
use crate::arguments::{IdentityRow, OffsetRow, TransactionRow, milliseconds, number, offsets};
use crate::consumer::Consumer;
use crate::errors::{OrThrow, Result};
use crate::metrics::MetricsRow;
use crate::open_log::OpenLog;
use crate::options::{ConsumerChoice, ProducerChoice, TopicChoice};
use crate::partition::Partition;
use crate::producer::{Producer, TransactionalProducer};
use crate::queue::{Done, Queue, Value};
use crate::words::{durability_name, outcome, timestamp_type_name};

/// A topic as it stands.
#[napi(object)]
pub struct TopicRow {
    pub name: String,
    pub id: String,
    pub partitions: u32,
    pub durability: Option<String>,
    pub timestamp_type: String,
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

fn damage_rows(damage: Vec<oncelog::Damage>) -> Vec<DamageRow> {
    let row = |damage: oncelog::Damage| DamageRow {
        first_lsn: damage.first_lsn.into(),
        last_lsn: damage.last_lsn.into(),
        file: damage.file,
        position: damage.position.into(),
        records_only: damage.records_only,
    };
    damage.into_iter().map(row).collect()
}

/// What reading a log through found.
#[napi(object)]
pub struct VerificationRow {
    pub segments: BigInt,
    pub frames: BigInt,
    pub bytes: BigInt,
    pub damage: Vec<DamageRow>,
}

impl From<oncelog::Verification> for VerificationRow {
    fn from(found: oncelog::Verification) -> Self {
        let (segments, frames, bytes) = (found.segments.into(), found.frames.into(), found.bytes.into());
        Self { segments, frames, bytes, damage: damage_rows(found.damage) }
    }
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
    pub loading_ms: f64,
    pub folding_ms: f64,
    pub frames_folded: BigInt,
    pub bytes_folded: BigInt,
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

    fn identity(&self, who: u32, ticket: oncelog::Result<oncelog::Ticket<Identity>>) {
        self.queue.watch(who, ticket, move |identity| Done::Value(who, Value::Identity(identity)));
    }
}

#[napi]
impl Engine {
    #[napi(catch_unwind)]
    pub fn create_topic(&self, who: u32, name: String, choice: TopicChoice) -> Result<()> {
        self.done(who, self.log.create_topic_ticket(&name, choice.checked()?));
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

    /// False if something that is gathered would have to wait for room, and `who` hears nothing.
    #[napi(catch_unwind)]
    pub fn flush(&self, who: u32) -> Result<bool> {
        let ticket = self.log.try_flush().or_throw()?;
        Ok(ticket.map(|ticket| self.done(who, Ok(ticket))).is_some())
    }

    /// Closes what producers have gathered, on a thread of its own; `who` hears when that is done.
    #[napi(catch_unwind)]
    pub fn close_gathered(&self, who: u32) -> Result<()> {
        let log = self.log.clone();
        let close = move || log.flush_ticket().map(|_| Done::Nothing(who));
        run_apart("oncelog-gathered", &self.queue, who, close).or_throw()
    }

    /// Closes the log on a thread of its own.
    #[napi(catch_unwind)]
    pub fn close(&self, who: u32) -> Result<()> {
        let log = self.log.clone();
        let close = move || log.close().map(|()| Done::Nothing(who));
        run_apart("oncelog-close", &self.queue, who, close).or_throw()
    }

    /// Has the engine wait for room, on a thread of its own; `who` hears when there is some, or why there is none.
    #[napi(catch_unwind)]
    pub fn await_room(&self, who: u32, bytes: u32) -> Result<()> {
        let log = self.log.clone();
        let wait = move || log.await_room(bytes as usize).map(|()| Done::Nothing(who));
        run_apart("oncelog-room", &self.queue, who, wait).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn topics(&self) -> Result<Vec<TopicRow>> {
        let topics = self.log.topics().or_throw()?.into_iter().map(|topic| TopicRow {
            id: topic.id.to_string(),
            name: topic.name,
            partitions: topic.partitions,
            durability: topic.durability.map(|level| durability_name(level).to_owned()),
            timestamp_type: timestamp_type_name(topic.timestamp_type).to_owned(),
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

    /// An identity for raw batches.
    #[napi(catch_unwind)]
    pub fn init_producer(
        &self,
        who: u32,
        transactional_id: Option<String>,
        timeout_ms: f64,
        current: Option<IdentityRow>,
    ) -> Result<()> {
        let current = current.map(|identity| identity.checked()).transpose()?;
        let timeout = milliseconds(timeout_ms);
        self.identity(who, self.log.init_producer_ticket(transactional_id.as_deref(), timeout, current));
        Ok(())
    }

    /// Adds offsets to the transaction of a raw identity.
    #[napi(catch_unwind)]
    pub fn send_offsets(&self, who: u32, identity: IdentityRow, group: String, rows: Vec<OffsetRow>) -> Result<()> {
        let (identity, group) = (identity.checked()?, GroupMetadata { group });
        self.done(who, self.log.send_offsets_ticket(identity, &group, &offsets(rows)?));
        Ok(())
    }

    /// Ends the transaction of a raw identity.
    #[napi(catch_unwind)]
    pub fn end_transaction(&self, who: u32, identity: IdentityRow, how: String) -> Result<()> {
        self.identity(who, self.log.end_transaction_ticket(identity.checked()?, outcome(&how)?));
        Ok(())
    }

    /// Aborts a transaction, whoever owns it.
    #[napi(catch_unwind)]
    pub fn abort_transaction(&self, who: u32, transaction: BigInt) -> Result<()> {
        self.done(who, self.log.abort_transaction_ticket(number(&transaction)?));
        Ok(())
    }

    /// How a transaction stands.
    #[napi(catch_unwind)]
    pub fn transaction_status(&self, who: u32, transaction: BigInt) -> Result<()> {
        let ticket = self.log.transaction_status_ticket(number(&transaction)?);
        self.queue.watch(who, ticket, move |status| Done::Value(who, Value::Status(status)));
        Ok(())
    }

    /// The transactions that have something in the log and are not decided.
    #[napi(catch_unwind)]
    pub fn describe_transactions(&self) -> Result<Vec<TransactionRow>> {
        let open = self.log.describe_transactions().or_throw()?;
        Ok(open.into_iter().map(TransactionRow::from).collect())
    }

    /// True if so many bytes would not have to wait.
    #[napi(catch_unwind)]
    pub fn has_room(&self, bytes: u32) -> bool {
        self.log.has_room(bytes as usize)
    }

    /// Reads the log through, on a thread of its own; `who` hears what that found.
    #[napi(catch_unwind)]
    pub fn verify(&self, who: u32) -> Result<()> {
        let log = self.log.clone();
        let verify = move || log.verify().map(|found| Done::Value(who, Value::Verification(found)));
        run_apart("oncelog-verify", &self.queue, who, verify).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn opening(&self) -> OpeningRow {
        let opening = self.log.opening();
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
            damage: damage_rows(opening.damage),
            loading_ms: opening.loading.as_secs_f64() * 1e3,
            folding_ms: opening.folding.as_secs_f64() * 1e3,
            frames_folded: opening.frames_folded.into(),
            bytes_folded: opening.bytes_folded.into(),
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
