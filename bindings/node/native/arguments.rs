//! Values as they come from JavaScript, and as they go there.

use std::time::Duration;

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::{Appended, Bounds, Durability, Offset, OffsetAndMetadata, Offsets, TopicPartition};

use crate::errors::{Result, refused};

/// A number of 64 bits. The facade refuses others before; this is what keeps a mistake there from being cut short.
pub fn number(value: &BigInt) -> Result<u64> {
    match value.get_u64() {
        (false, number, true) => Ok(number),
        _ => Err(refused("a number is negative or longer than 64 bits; give one that fits")),
    }
}

/// A level by its name.
pub fn durability(name: Option<&str>) -> Result<Option<Durability>> {
    match name {
        None => Ok(None),
        Some("disk") => Ok(Some(Durability::Disk)),
        Some("os") => Ok(Some(Durability::Os)),
        Some("memory") => Ok(Some(Durability::Memory)),
        Some(other) => {
            let text = "no such durability; say \"disk\", \"os\" or \"memory\"";
            Err(refused(format!("{text}, durability={other:?}")))
        }
    }
}

/// The name of a level.
pub fn durability_name(durability: Durability) -> String {
    format!("{durability:?}").to_lowercase()
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

/// Writes the answers of many, as `layout` draws them: most are in a row in few batches.
pub fn many_cells(answers: &[Appended]) -> Vec<u8> {
    let mut cells = Vec::new();
    for run in answers.chunk_by(in_a_row) {
        let Some(Appended { partition, first, timestamp, duplicate, lsn, incarnation, .. }) = run.first() else {
            break;
        };
        cells.extend_from_slice(&f64::from(*partition).to_ne_bytes());
        cells.extend_from_slice(&f64::from(u8::from(*duplicate)).to_ne_bytes());
        cells.extend_from_slice(&Offset::to_ne_bytes(*first));
        // Milliseconds stay far below 2^53, and so does what memory can hold.
        cells.extend_from_slice(&(*timestamp as f64).to_ne_bytes());
        cells.extend_from_slice(&lsn.to_ne_bytes());
        cells.extend_from_slice(&incarnation.to_ne_bytes());
        cells.extend_from_slice(&(run.len() as f64).to_ne_bytes());
    }
    cells
}

/// True if `next` lies right behind `one` and is the same otherwise. Duplicates have no place.
fn in_a_row(one: &Appended, next: &Appended) -> bool {
    let same = |a: &Appended| (a.partition, a.duplicate, a.timestamp, a.lsn, a.incarnation);
    same(one) == same(next) && next.first == if one.duplicate { one.first } else { one.first + 1 }
}
