//! Values as they come from JavaScript, and as they go there.

use std::time::Duration;

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::{
    ActiveProducer, Appended, Bounds, Identity, Offset, OffsetAndMetadata, Offsets, OpenTransaction, Place,
    TopicPartition,
};

use crate::errors::{Result, refused};
use crate::layout;

/// A number of 64 bits. The facade refuses others before; this is what keeps a mistake there from being cut short.
pub fn number(value: &BigInt) -> Result<u64> {
    match value.get_u64() {
        (false, number, true) => Ok(number),
        _ => Err(refused("a number is negative or longer than 64 bits; give one that fits")),
    }
}

/// Milliseconds, as the facade has checked them.
pub fn milliseconds(ms: f64) -> Duration {
    Duration::try_from_secs_f64(ms / 1e3).unwrap_or(Duration::MAX)
}

/// A partition by its name.
#[napi(object)]
pub struct PartitionName {
    pub topic: String,
    pub partition: u32,
}

impl From<PartitionName> for TopicPartition {
    fn from(name: PartitionName) -> Self {
        TopicPartition::new(name.topic, name.partition)
    }
}

/// A position with what was stored beside it.
#[napi(object)]
pub struct OffsetRow {
    pub topic: String,
    pub partition: u32,
    pub offset: BigInt,
    pub leader_epoch: i32,
    pub metadata: String,
}

/// Positions from JavaScript.
pub fn offsets(rows: Vec<OffsetRow>) -> Result<Offsets> {
    let mut offsets = Offsets::new();
    for OffsetRow { topic, partition, offset, leader_epoch, metadata } in rows {
        let position = OffsetAndMetadata { offset: number(&offset)?, leader_epoch, metadata };
        offsets.insert(TopicPartition::new(topic, partition), position);
    }
    Ok(offsets)
}

/// Positions for JavaScript.
pub fn offset_rows(offsets: Offsets) -> Vec<OffsetRow> {
    let rows = offsets.into_iter().map(|(name, at)| OffsetRow {
        topic: name.topic,
        partition: name.partition,
        offset: at.offset.into(),
        leader_epoch: at.leader_epoch,
        metadata: at.metadata,
    });
    rows.collect()
}

/// The ends of a partition.
#[napi(object)]
pub struct BoundsRow {
    pub start: BigInt,
    pub stable: BigInt,
    pub end: BigInt,
}

impl From<Bounds> for BoundsRow {
    fn from(Bounds { start, stable, end }: Bounds) -> Self {
        Self { start: start.into(), stable: stable.into(), end: end.into() }
    }
}

/// A raw producer's identity.
#[napi(object)]
pub struct IdentityRow {
    pub producer_id: BigInt,
    pub epoch: i32,
}

impl IdentityRow {
    /// The identity, from JavaScript.
    pub fn checked(&self) -> Result<Identity> {
        let text = "a producer id has 63 bits and an epoch 15; give those that initProducer answered";
        let producer_id = i64::try_from(number(&self.producer_id)?).map_err(|_| refused(text))?;
        Ok(Identity { producer_id, epoch: i16::try_from(self.epoch).map_err(|_| refused(text))? })
    }
}

impl From<Identity> for IdentityRow {
    fn from(Identity { producer_id, epoch }: Identity) -> Self {
        Self { producer_id: producer_id.into(), epoch: epoch.into() }
    }
}

/// Where a reader stands.
#[napi(object)]
pub struct PlaceRow {
    pub incarnation: BigInt,
    pub lsn: BigInt,
    pub offset: BigInt,
}

impl PlaceRow {
    /// The place, from JavaScript.
    pub fn checked(&self) -> Result<Place> {
        let [incarnation, lsn, offset] = [&self.incarnation, &self.lsn, &self.offset].map(number);
        Ok(Place { incarnation: incarnation?, lsn: lsn?, offset: offset? })
    }
}

/// A record by its offset and timestamp, milliseconds.
#[napi(object)]
pub struct TimeRow {
    pub offset: BigInt,
    pub timestamp: f64,
}

/// Where a transaction begins in a partition.
#[napi(object)]
pub struct SpanRow {
    pub topic: String,
    pub partition: u32,
    pub offset: BigInt,
}

/// A transaction that has something in the log and is not decided.
#[napi(object)]
pub struct TransactionRow {
    pub number: BigInt,
    pub transactional_id: String,
    pub identity: IdentityRow,
    pub since: f64,
    pub timeout_ms: Option<f64>,
    pub raw: bool,
    pub partitions: Vec<SpanRow>,
}

impl From<OpenTransaction> for TransactionRow {
    fn from(open: OpenTransaction) -> Self {
        let span = |(name, offset): (TopicPartition, Offset)| SpanRow {
            topic: name.topic,
            partition: name.partition,
            offset: offset.into(),
        };
        Self {
            number: open.number.into(),
            transactional_id: open.transactional_id,
            identity: open.identity.into(),
            // Milliseconds stay far below 2^53.
            since: open.since as f64,
            timeout_ms: open.timeout.map(|timeout| timeout.as_millis() as f64),
            raw: open.raw,
            partitions: open.partitions.into_iter().map(span).collect(),
        }
    }
}

/// A producer that is active in a partition.
#[napi(object)]
pub struct ProducerRow {
    pub identity: IdentityRow,
    pub last_sequence: Option<i32>,
    pub last_timestamp: Option<f64>,
    pub transaction_start_offset: Option<BigInt>,
}

impl From<ActiveProducer> for ProducerRow {
    fn from(active: ActiveProducer) -> Self {
        Self {
            identity: active.identity.into(),
            last_sequence: active.last_sequence,
            // Milliseconds stay far below 2^53.
            last_timestamp: active.last_timestamp.map(|timestamp| timestamp as f64),
            transaction_start_offset: active.transaction_start_offset.map(Into::into),
        }
    }
}

/// Writes the answers of many, as `layout` draws them: of records side by side the first one's, with their number.
pub fn many_cells(runs: &[(Appended, u32)]) -> Vec<u8> {
    let mut cells = Vec::with_capacity(runs.len() * layout::MANY_CELLS as usize * 8);
    for (Appended { partition, first, timestamp, duplicate, lsn, incarnation, .. }, count) in runs {
        cells.extend_from_slice(&f64::from(*partition).to_ne_bytes());
        cells.extend_from_slice(&f64::from(u8::from(*duplicate)).to_ne_bytes());
        cells.extend_from_slice(&Offset::to_ne_bytes(*first));
        // Milliseconds stay far below 2^53.
        cells.extend_from_slice(&(*timestamp as f64).to_ne_bytes());
        cells.extend_from_slice(&lsn.to_ne_bytes());
        cells.extend_from_slice(&incarnation.to_ne_bytes());
        cells.extend_from_slice(&f64::from(*count).to_ne_bytes());
    }
    cells
}
