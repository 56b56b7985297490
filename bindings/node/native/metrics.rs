//! What an open log counts, as JavaScript sees it.

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::{ConsumerLag, Metrics};

/// How often values fell into each of a few ranges.
#[napi]
pub struct Histogram {
    core: oncelog::Histogram,
}

fn numbers(values: &[u64]) -> Vec<BigInt> {
    values.iter().map(|value| BigInt::from(*value)).collect()
}

#[napi]
impl Histogram {
    #[napi(getter, catch_unwind)]
    pub fn count(&self) -> BigInt {
        self.core.count().into()
    }

    #[napi(getter, catch_unwind)]
    pub fn sum(&self) -> BigInt {
        self.core.sum().into()
    }

    #[napi(getter, catch_unwind)]
    pub fn bounds(&self) -> Vec<BigInt> {
        numbers(self.core.bounds())
    }

    #[napi(getter, catch_unwind)]
    pub fn counts(&self) -> Vec<BigInt> {
        numbers(self.core.counts())
    }

    #[napi(catch_unwind)]
    pub fn quantile(&self, q: f64) -> Option<BigInt> {
        self.core.quantile(q).map(Into::into)
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
#[napi(object, object_from_js = false)]
pub struct MetricsRow {
    pub appends: BigInt,
    pub records: BigInt,
    pub bytes: BigInt,
    pub duplicates: BigInt,
    pub fenced: BigInt,
    pub transactions_committed: BigInt,
    pub transactions_aborted: BigInt,
    pub transactions_open: BigInt,
    pub group_frames: Histogram,
    pub flush_nanos: Histogram,
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
            group_frames: Histogram { core: metrics.group_frames },
            flush_nanos: Histogram { core: metrics.flush_nanos },
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
