//! The consumer. A poll never waits: the facade has positions settled first, waits for `on_ready`, and polls again.

use std::cell::{Ref, RefCell};
use std::sync::Arc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt};
use napi_derive::napi;
use oncelog::{ErrorKind, Place, TopicPartition};

use crate::arguments::{BoundsRow, OffsetRow, PartitionName, number, offset_rows, offsets};
use crate::batch::packed;
use crate::errors::{OrThrow, Result, gone, thrown};
use crate::open_log::OpenLog;
use crate::queue::{Done, Queue, Value};

/// A consumer.
#[napi]
pub struct Consumer {
    open: RefCell<Option<(oncelog::Consumer, Arc<OpenLog>)>>,
    queue: Arc<Queue>,
    /// Where polls that found no record have stepped over something, until one is answered.
    passed: RefCell<Vec<(TopicPartition, Place)>>,
}

impl Consumer {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, consumer: oncelog::Consumer) -> Self {
        Self { open: RefCell::new(Some((consumer, log))), queue, passed: RefCell::default() }
    }

    /// The engine's own.
    pub fn core(&self) -> Result<Ref<'_, oncelog::Consumer>> {
        let open = Ref::filter_map(self.open.borrow(), |open| open.as_ref().map(|(consumer, _)| consumer));
        open.map_err(|_| thrown(&gone()))
    }
}

#[napi]
impl Consumer {
    #[napi(catch_unwind)]
    pub fn assign(&self, partitions: Vec<PartitionName>) -> Result<()> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        self.core()?.assign(&partitions).or_throw()
    }

    /// Whether a poll waits for nothing. Offsets that are pending keep no poll: it answers without their partitions.
    #[napi(catch_unwind)]
    pub fn settled(&self) -> Result<bool> {
        match self.core()?.settle_ticket().and_then(|mut ticket| ticket.try_wait()) {
            Err(error) if error.kind() == ErrorKind::UnstableOffsets => Ok(true),
            settled => settled.or_throw().map(|done| done.is_some()),
        }
    }

    /// `who` hears when it does not, or that offsets are pending.
    #[napi(catch_unwind)]
    pub fn settle(&self, who: u32) -> Result<()> {
        self.queue.watch(who, self.core()?.settle_ticket(), move |()| Done::Nothing(who));
        Ok(())
    }

    /// What is there now, as `layout` draws it; nothing if that is nothing. The `last` look before an answer says in
    /// any case what was stepped over since the one before.
    #[napi(catch_unwind)]
    pub fn poll<'env>(&self, env: &'env Env, last: bool) -> Result<Option<ArrayBuffer<'env>>> {
        let consumer = self.core()?;
        let records = consumer.poll(Duration::ZERO).or_throw()?;
        let mut passed = self.passed.borrow_mut();
        passed.retain(|(name, _)| records.next_offset(&name.topic, name.partition).is_none());
        if records.is_empty() {
            passed.extend(records.next_offsets().filter_map(|(topic, partition, _)| {
                Some((TopicPartition::new(topic, partition), records.next_place(topic, partition)?))
            }));
            if !last || passed.is_empty() {
                return Ok(None);
            }
        }
        let mut passed = std::mem::take(&mut *passed);
        if !passed.is_empty() {
            // The reader may have been moved since.
            let positions = consumer.positions();
            passed.retain(|(name, place)| positions.get(name).is_some_and(|at| at.offset == place.offset));
        }
        ArrayBuffer::from_data(env, packed(&records, &passed)).or_throw().map(Some)
    }

    /// Has `who` hear, once, when a poll would answer.
    #[napi(catch_unwind)]
    pub fn on_ready(&self, who: u32) -> Result<()> {
        let queue = self.queue.clone();
        self.core()?.on_ready(move || queue.push(Done::Ready(who)));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn seek(&self, topic: String, partition: u32, offset: BigInt) -> Result<()> {
        self.core()?.seek(&TopicPartition::new(topic, partition), number(&offset)?).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn position(&self, topic: String, partition: u32) -> Result<BigInt> {
        self.core()?.position(&TopicPartition::new(topic, partition)).or_throw().map(Into::into)
    }

    /// The same where the engine may have to flush before it tells.
    #[napi(catch_unwind)]
    pub fn settle_position(&self, who: u32, topic: String, partition: u32) -> Result<()> {
        let ticket = self.core()?.position_ticket(&TopicPartition::new(topic, partition));
        self.queue.watch(who, ticket, move |offset| Done::Value(who, Value::Offset(Some(offset))));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn positions(&self) -> Result<Vec<OffsetRow>> {
        Ok(offset_rows(self.core()?.positions()))
    }

    #[napi(catch_unwind)]
    pub fn committed(&self, who: u32, topic: String, partition: u32) -> Result<()> {
        let ticket = self.core()?.committed_ticket(&TopicPartition::new(topic, partition));
        self.queue.watch(who, ticket, move |committed| Done::Value(who, Value::Offset(committed)));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn committed_offsets(&self, who: u32, partitions: Vec<PartitionName>) -> Result<()> {
        let partitions: Vec<TopicPartition> = partitions.into_iter().map(Into::into).collect();
        let ticket = self.core()?.committed_offsets_ticket(&partitions);
        self.queue.watch(who, ticket, move |offsets| Done::Value(who, Value::Offsets(offsets)));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn lag(&self, topic: String, partition: u32) -> Result<BigInt> {
        self.core()?.lag(&TopicPartition::new(topic, partition)).or_throw().map(Into::into)
    }

    /// The same where the engine may have to flush before it tells.
    #[napi(catch_unwind)]
    pub fn settle_lag(&self, who: u32, topic: String, partition: u32) -> Result<()> {
        let ticket = self.core()?.lag_ticket(&TopicPartition::new(topic, partition));
        self.queue.watch(who, ticket, move |lag| Done::Value(who, Value::Offset(Some(lag))));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn bounds(&self, topic: String, partition: u32) -> Result<BoundsRow> {
        self.core()?.bounds(&TopicPartition::new(topic, partition)).or_throw().map(Into::into)
    }

    #[napi(catch_unwind)]
    pub fn commit(&self, who: u32) -> Result<()> {
        self.queue.watch(who, self.core()?.commit_ticket(), move |()| Done::Nothing(who));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn commit_offsets(&self, who: u32, rows: Vec<OffsetRow>) -> Result<()> {
        let ticket = self.core()?.commit_offsets_ticket(&offsets(rows)?);
        self.queue.watch(who, ticket, move |()| Done::Nothing(who));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn rewind(&self) -> Result<()> {
        self.core()?.rewind().or_throw()
    }

    #[napi(catch_unwind)]
    pub fn group(&self) -> Result<String> {
        self.core()?.group_metadata().or_throw().map(|metadata| metadata.group)
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        let open = self.open.borrow_mut().take();
        drop(open);
    }
}
