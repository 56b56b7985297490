//! A batch as a Kafka client encodes it, looked into.

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt};
use napi_derive::napi;
use oncelog::{BatchHeader, Compression, Identity, TimestampType};

use crate::arguments::IdentityRow;
use crate::batch::packed_batch;
use crate::errors::{OrThrow, Result};
use crate::words::{compression, timestamp_type_name};

/// The fields before the records, and what they say.
#[napi(object, object_from_js = false)]
pub struct HeaderRow {
    pub base_offset: BigInt,
    pub last_offset: BigInt,
    pub count: i32,
    pub producer: Option<IdentityRow>,
    pub base_sequence: Option<i32>,
    pub last_sequence: Option<i32>,
    pub base_timestamp: f64,
    pub max_timestamp: f64,
    pub timestamp_type: &'static str,
    pub compression: &'static str,
    pub transactional: bool,
    pub control: bool,
    pub delete_horizon: bool,
    pub leader_epoch: i32,
    pub size: f64,
    pub magic: i32,
    pub attributes: i32,
    pub crc: u32,
}

impl From<&BatchHeader> for HeaderRow {
    fn from(header: &BatchHeader) -> Self {
        let identity = Identity { producer_id: header.producer_id, epoch: header.epoch };
        let sequence = |sequence: i32| (sequence >= 0).then_some(sequence);
        let appended = header.is_log_append_time();
        let timestamp_type = if appended { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        Self {
            base_offset: header.base_offset.into(),
            last_offset: header.last_offset().into(),
            count: header.count,
            producer: (header.producer_id >= 0).then(|| identity.into()),
            base_sequence: sequence(header.base_sequence),
            last_sequence: sequence(header.last_sequence()),
            // Milliseconds stay far below 2^53.
            base_timestamp: header.base_timestamp as f64,
            max_timestamp: header.max_timestamp as f64,
            timestamp_type: timestamp_type_name(timestamp_type),
            compression: Compression::of(header.compression()).map_or("unknown", Compression::name),
            transactional: header.is_transactional(),
            control: header.is_control(),
            delete_horizon: header.has_delete_horizon(),
            leader_epoch: header.leader_epoch,
            size: header.size() as f64,
            magic: header.magic.into(),
            attributes: header.attributes.into(),
            crc: header.crc,
        }
    }
}

/// Whether this build has a codec.
#[napi(catch_unwind)]
pub fn compression_is_available(name: String) -> Result<bool> {
    Ok(compression(Some(&name))?.is_some_and(Compression::is_available))
}

/// A batch that was checked.
#[napi]
pub struct Batch {
    core: oncelog::Batch,
}

/// Checks a batch as an append does.
#[napi(catch_unwind)]
pub fn batch_from_bytes(bytes: &[u8]) -> Result<Batch> {
    oncelog::Batch::from_bytes(bytes).or_throw().map(|core| Batch { core })
}

#[napi]
impl Batch {
    #[napi(catch_unwind)]
    pub fn header(&self) -> HeaderRow {
        self.core.header().into()
    }

    /// The records, as `layout` draws them.
    #[napi(catch_unwind)]
    pub fn records<'env>(&self, env: &'env Env) -> Result<ArrayBuffer<'env>> {
        ArrayBuffer::from_data(env, packed_batch(&self.core).or_throw()?).or_throw()
    }
}
