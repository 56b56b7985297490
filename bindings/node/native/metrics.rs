//! What an open log counts, as JavaScript sees it.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::{ConsumerLag, Histogram, Metrics};

/// How often values fell into each of a few ranges.
#[napi(object)]
pub struct HistogramRow {
    pub count: BigInt,
    pub sum: BigInt,
    pub bounds: Vec<BigInt>,
    pub counts: Vec<BigInt>,
}

impl From<&Histogram> for HistogramRow {
    fn from(histogram: &Histogram) -> Self {
        let numbers = |values: &[u64]| values.iter().map(|value| BigInt::from(*value)).collect();
        Self {
            count: histogram.count().into(),
            sum: histogram.sum().into(),
            bounds: numbers(histogram.bounds()),
            counts: numbers(histogram.counts()),
        }
    }
}

/// How far a group is behind.
#[napi(object)]
pub struct LagRow {
    pub group: String,
    pub topic: String,
    pub partition: u32,
    pub position: BigInt,
    pub lag: BigInt,
}

impl From<ConsumerLag> for LagRow {
    fn from(lag: ConsumerLag) -> Self {
        let (topic, partition) = (lag.partition.topic, lag.partition.partition);
        Self { group: lag.group, topic, partition, position: lag.position.into(), lag: lag.lag.into() }
    }
}

/// What is counted.
#[napi(object)]
pub struct MetricsRow {
    pub appends: BigInt,
    pub records: BigInt,
    pub bytes: BigInt,
    pub duplicates: BigInt,
    pub fenced: BigInt,
    pub transactions_committed: BigInt,
    pub transactions_aborted: BigInt,
    pub transactions_open: BigInt,
    pub group_frames: HistogramRow,
    pub flush_nanos: HistogramRow,
    pub late_rolls: BigInt,
    pub checkpoints: BigInt,
    pub segments: BigInt,
    pub disk_used: BigInt,
    pub disk_live: BigInt,
    pub poisoned: bool,
    pub lags: Vec<LagRow>,
}

impl From<Metrics> for MetricsRow {
    fn from(metrics: Metrics) -> Self {
        Self {
            appends: metrics.appends.into(),
            records: metrics.records.into(),
            bytes: metrics.bytes.into(),
            duplicates: metrics.duplicates.into(),
            fenced: metrics.fenced.into(),
            transactions_committed: metrics.transactions_committed.into(),
            transactions_aborted: metrics.transactions_aborted.into(),
            transactions_open: metrics.transactions_open.into(),
            group_frames: (&metrics.group_frames).into(),
            flush_nanos: (&metrics.flush_nanos).into(),
            late_rolls: metrics.late_rolls.into(),
            checkpoints: metrics.checkpoints.into(),
            segments: metrics.segments.into(),
            disk_used: metrics.disk_used.into(),
            disk_live: metrics.disk_live.into(),
            poisoned: metrics.poisoned,
            lags: metrics.lags.into_iter().map(LagRow::from).collect(),
        }
    }
}
