//! The consumer. A poll never waits: the facade waits for `on_ready` and polls again.

use std::cell::{Ref, RefCell};
use std::sync::Arc;
use std::time::Duration;

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt};
use napi_derive::napi;
use oncelog::TopicPartition;

use crate::arguments::{BoundsRow, OffsetRow, PartitionName, number, offset_rows, offsets};
use crate::batch::packed;
use crate::errors::{OrThrow, Result, gone, thrown};
use crate::open_log::OpenLog;
use crate::queue::{Done, Queue};

/// A consumer.
#[napi]
pub struct Consumer {
    open: RefCell<Option<(oncelog::Consumer, Arc<OpenLog>)>>,
    queue: Arc<Queue>,
}

impl Consumer {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, consumer: oncelog::Consumer) -> Self {
        Self { open: RefCell::new(Some((consumer, log))), queue }
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

    /// What is there now, as `layout` draws it; nothing if that is nothing.
    #[napi(catch_unwind)]
    pub fn poll<'env>(&self, env: &'env Env) -> Result<Option<ArrayBuffer<'env>>> {
        let records = self.core()?.poll(Duration::ZERO).or_throw()?;
        if records.is_empty() {
            return Ok(None);
        }
        ArrayBuffer::from_data(env, packed(&records)).or_throw().map(Some)
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

    #[napi(catch_unwind)]
    pub fn positions(&self) -> Result<Vec<OffsetRow>> {
        Ok(offset_rows(self.core()?.positions()))
    }

    #[napi(catch_unwind)]
    pub fn committed(&self, topic: String, partition: u32) -> Result<Option<BigInt>> {
        let committed = self.core()?.committed(&TopicPartition::new(topic, partition)).or_throw()?;
        Ok(committed.map(Into::into))
    }

    #[napi(catch_unwind)]
    pub fn lag(&self, topic: String, partition: u32) -> Result<BigInt> {
        self.core()?.lag(&TopicPartition::new(topic, partition)).or_throw().map(Into::into)
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
