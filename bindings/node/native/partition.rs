//! One partition: the log itself.

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt};
use napi_derive::napi;
use oncelog::{AppendOptions, Batch, BatchBuilder, ReadOptions};

use crate::arguments::{BoundsRow, ProducerRow, number};
use crate::batch::packed;
use crate::crossing::Entries;
use crate::errors::{OrThrow, Result};
use crate::open_log::OpenLog;
use crate::options::{AppendChoice, ReadChoice};
use crate::queue::{Done, Queue, Value};
use crate::words::{durability, isolation};

/// A partition.
#[napi]
pub struct Partition {
    partition: oncelog::Partition,
    queue: Arc<Queue>,
    /// Goes behind the partition.
    log: Arc<OpenLog>,
}

impl Partition {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, partition: oncelog::Partition) -> Self {
        Self { partition, queue, log }
    }
}

#[napi]
impl Partition {
    /// Appends packed records as one batch.
    #[napi(catch_unwind)]
    pub fn append(&self, who: u32, bytes: &[u8], choice: Option<AppendChoice>) -> Result<()> {
        let now = BatchBuilder::now();
        let (mut batch, mut entries) = (Batch::builder(), Entries::new(bytes));
        let options = choice.map_or_else(|| Ok(AppendOptions::new()), |choice| choice.checked(&mut batch))?;
        while let Some((_, record)) = entries.next()? {
            batch.push(&record, record.timestamp.unwrap_or(now)).or_throw()?;
        }
        let ticket = self.partition.append_ticket(&batch.build().or_throw()?, options);
        self.queue.watch(who, ticket, move |appended| Done::Appended(who, appended));
        Ok(())
    }

    /// Appends a batch as a Kafka client encoded it.
    #[napi(catch_unwind)]
    pub fn append_batch(&self, who: u32, bytes: &[u8], level: Option<String>) -> Result<()> {
        let mut options = AppendOptions::new();
        options.durability = durability(level.as_deref())?;
        let ticket = Batch::from_bytes(bytes).and_then(|batch| self.partition.append_ticket(&batch, options));
        self.queue.watch(who, ticket, move |appended| Done::Appended(who, appended));
        Ok(())
    }

    /// Reads what is visible now, as `layout` draws it.
    #[napi(catch_unwind)]
    pub fn read<'env>(&self, env: &'env Env, offset: BigInt, choice: Option<ReadChoice>) -> Result<ArrayBuffer<'env>> {
        let options = choice.map_or_else(|| Ok(ReadOptions::new()), ReadChoice::checked)?;
        let records = self.partition.read(number(&offset)?, options).or_throw()?;
        ArrayBuffer::from_data(env, packed(&records, &[])).or_throw()
    }

    /// Looks for the offset of the first record of a time or later, on another thread; `who` hears it.
    #[napi(catch_unwind)]
    pub fn offset_at(&self, who: u32, timestamp: f64, seen: Option<String>) -> Result<()> {
        let isolation = isolation(seen.as_deref())?.unwrap_or_default();
        let partition = self.partition.clone();
        // The facade takes whole milliseconds only.
        let find = move || {
            let found = partition.offset_at_with(timestamp as i64, isolation);
            found.map(|offset| Done::Value(who, Value::Offset(offset)))
        };
        self.log.searches.ask(&self.queue, who, find).or_throw()
    }

    /// Looks for the greatest timestamp, and the first record that has it, likewise.
    #[napi(catch_unwind)]
    pub fn max_timestamp(&self, who: u32, seen: Option<String>) -> Result<()> {
        let isolation = isolation(seen.as_deref())?.unwrap_or_default();
        let partition = self.partition.clone();
        let find = move || {
            let found = partition.max_timestamp_with(isolation);
            found.map(|found| Done::Value(who, Value::Time(found)))
        };
        self.log.searches.ask(&self.queue, who, find).or_throw()
    }

    /// The producers that are active here.
    #[napi(catch_unwind)]
    pub fn producers(&self) -> Result<Vec<ProducerRow>> {
        Ok(self.partition.producers().or_throw()?.into_iter().map(ProducerRow::from).collect())
    }

    #[napi(catch_unwind)]
    pub fn bounds(&self) -> BoundsRow {
        self.partition.bounds().into()
    }
}
