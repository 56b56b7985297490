//! One partition: the log itself.

use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt};
use napi_derive::napi;
use oncelog::{AppendOptions, Batch, BatchBuilder, ReadOptions};

use crate::arguments::{BoundsRow, durability, number};
use crate::batch::packed;
use crate::crossing::Entries;
use crate::engine::isolation;
use crate::errors::{OrThrow, Result};
use crate::open_log::OpenLog;
use crate::queue::{Done, Queue};

/// A partition.
#[napi]
pub struct Partition {
    partition: oncelog::Partition,
    queue: Arc<Queue>,
    /// Goes behind the partition.
    _log: Arc<OpenLog>,
}

impl Partition {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, partition: oncelog::Partition) -> Self {
        Self { partition, queue, _log: log }
    }
}

#[napi]
impl Partition {
    /// Appends packed records as one batch.
    #[napi(catch_unwind)]
    pub fn append(&self, who: u32, bytes: &[u8], level: Option<String>) -> Result<()> {
        let mut options = AppendOptions::new();
        options.durability = durability(level.as_deref())?;
        let now = BatchBuilder::now();
        let (mut batch, mut entries) = (Batch::builder(), Entries::new(bytes));
        while let Some((_, record)) = entries.next()? {
            batch.push(&record, record.timestamp.unwrap_or(now)).or_throw()?;
        }
        let ticket = self.partition.append_with(&batch.build().or_throw()?, options);
        self.queue.watch(who, ticket, move |appended| Done::Appended(who, appended));
        Ok(())
    }

    /// Reads what is visible now, as `layout` draws it.
    #[napi(catch_unwind)]
    pub fn read<'env>(
        &self,
        env: &'env Env,
        offset: BigInt,
        max_bytes: Option<f64>,
        sees: Option<String>,
    ) -> Result<ArrayBuffer<'env>> {
        let mut options = ReadOptions::new().isolation(isolation(sees.as_deref())?);
        if let Some(bytes) = max_bytes {
            options = options.max_bytes(bytes as usize);
        }
        let records = self.partition.read(number(&offset)?, options).or_throw()?;
        ArrayBuffer::from_data(env, packed(&records)).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn bounds(&self) -> BoundsRow {
        self.partition.bounds().into()
    }
}
