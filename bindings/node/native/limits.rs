//! The bounds that a caller meets, as JavaScript sees them.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::limits;

/// Bounds by the names of the engine's own; times are milliseconds.
#[napi(object, object_from_js = false)]
pub struct LimitsRow {
    pub topic_name_max: f64,
    pub name_max: f64,
    pub offset_metadata_max: f64,
    pub topic_partitions_max: f64,
    pub partitions_max: f64,
    pub offset_max: BigInt,
    pub batch_max: f64,
    pub unpacked_max: f64,
    pub producer_memory: f64,
    pub transaction_buffer: f64,
    pub transaction_buffer_max: f64,
    pub transaction_memory: f64,
    pub transaction_partitions: f64,
    pub transaction_offsets: f64,
    pub open_transactions: f64,
    pub transaction_timeout_ms: f64,
    pub transaction_timeout_max_ms: f64,
    pub segment_min: f64,
    pub segment_default: f64,
    pub segment_option_max: f64,
    pub frame_max: f64,
}

/// What they are. All but the greatest offset stay far below 2^53.
#[napi]
pub fn limits() -> LimitsRow {
    LimitsRow {
        topic_name_max: limits::TOPIC_NAME_MAX as f64,
        name_max: limits::NAME_MAX as f64,
        offset_metadata_max: limits::OFFSET_METADATA_MAX as f64,
        topic_partitions_max: limits::TOPIC_PARTITIONS_MAX as f64,
        partitions_max: limits::PARTITIONS_MAX as f64,
        offset_max: limits::OFFSET_MAX.into(),
        batch_max: limits::BATCH_MAX as f64,
        unpacked_max: limits::UNPACKED_MAX as f64,
        producer_memory: limits::PRODUCER_MEMORY as f64,
        transaction_buffer: limits::TRANSACTION_BUFFER as f64,
        transaction_buffer_max: limits::TRANSACTION_BUFFER_MAX as f64,
        transaction_memory: limits::TRANSACTION_MEMORY as f64,
        transaction_partitions: limits::TRANSACTION_PARTITIONS as f64,
        transaction_offsets: limits::TRANSACTION_OFFSETS as f64,
        open_transactions: limits::OPEN_TRANSACTIONS as f64,
        transaction_timeout_ms: limits::TRANSACTION_TIMEOUT.as_millis() as f64,
        transaction_timeout_max_ms: limits::TRANSACTION_TIMEOUT_MAX.as_millis() as f64,
        segment_min: limits::SEGMENT_MIN as f64,
        segment_default: limits::SEGMENT_DEFAULT as f64,
        segment_option_max: limits::SEGMENT_OPTION_MAX as f64,
        frame_max: limits::FRAME_MAX as f64,
    }
}
