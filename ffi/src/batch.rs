//! Record batches as Kafka's clients encode them, looked into before they are appended.
#![allow(unsafe_code)]

use std::ffi::c_void;

use engine::{Batch, BatchHeader, TimestampType};

use crate::call::{Answer, Caller, call};
use crate::choices;
use crate::error::oncelog_error_t;
use crate::handle::make;
use crate::records::{Walkable, oncelog_records_t};
use crate::structs::oncelog_identity_t;

/// What stands in front of the records of a batch of Kafka's format 2.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_batch_header_t {
    /// Offset of the first record as the batch was made; the log gives it another.
    pub base_offset: i64,
    /// Offset of the last record, counted from the same.
    pub last_offset: i64,
    /// What the records' timestamps are relative to, milliseconds since 1970.
    pub base_timestamp: i64,
    /// The greatest timestamp of the records, milliseconds since 1970; -1 if none has one.
    pub max_timestamp: i64,
    /// Who made it: producer id and epoch; -1 for none.
    pub producer: oncelog_identity_t,
    /// Sequence number of the first record; -1 for none.
    pub base_sequence: i32,
    /// That of the last one: after 2^31 - 1 comes 0. -1 for none.
    pub last_sequence: i32,
    /// Number of records.
    pub count: i32,
    /// The partition's leader epoch as the sender gave it; -1 for unknown.
    pub leader_epoch: i32,
    /// The checksum, crc32c of the bytes from 21 on.
    pub crc: u32,
    /// Bytes of the whole batch.
    pub size: u32,
    /// The codec, one of `ONCELOG_COMPRESSION_*`.
    pub compression: u32,
    /// Whose time the records carry, one of `ONCELOG_TIMESTAMP_*`: the senders', for the log gives its own only at an
    /// append.
    pub timestamp_type: u32,
    /// The attributes as they are written.
    pub attributes: i16,
    /// 2.
    pub magic: i8,
    /// It belongs to a transaction.
    pub transactional: bool,
    /// The records are not data but markers: never so in a batch that may be appended.
    pub control: bool,
    /// The base timestamp says when tombstones may go.
    pub delete_horizon: bool,
}

impl From<&BatchHeader> for oncelog_batch_header_t {
    fn from(header: &BatchHeader) -> Self {
        let appended = header.is_log_append_time();
        let timestamp_type = if appended { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        Self {
            base_offset: header.base_offset,
            last_offset: header.last_offset(),
            base_timestamp: header.base_timestamp,
            max_timestamp: header.max_timestamp,
            producer: oncelog_identity_t { producer_id: header.producer_id, epoch: header.epoch },
            base_sequence: header.base_sequence,
            last_sequence: header.last_sequence(),
            count: header.count,
            leader_epoch: header.leader_epoch,
            crc: header.crc,
            size: u32::try_from(header.size()).unwrap_or(u32::MAX),
            compression: header.compression().into(),
            timestamp_type: choices::timestamp_type_number(timestamp_type),
            attributes: header.attributes,
            magic: header.magic,
            transactional: header.is_transactional(),
            control: header.is_control(),
            delete_horizon: header.has_delete_horizon(),
        }
    }
}

fn checked(caller: &Caller, batch: *const c_void, size: usize) -> Answer<Batch> {
    Ok(Batch::from_bytes(caller.bytes(batch, size, "batch")?.unwrap_or_default())?)
}

/// The header of a batch of Kafka's format 2 as a client encoded it, after the checks that
/// `oncelog_partition_append_batch` makes. It is told as an append would write it: a wrong greatest timestamp is set
/// right, and the bit is cleared that claims the log's time.
///
/// Errors: CORRUPT, INVALID_RECORD, RECORD_TOO_LARGE, UNSUPPORTED_VERSION as `oncelog_partition_append_batch`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_batch_header(
    batch: *const c_void,
    size: usize,
    out: *mut oncelog_batch_header_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(checked(c, batch, size)?.header().into());
        Ok(())
    })
}

/// The records of such a batch, unpacked if they are compressed, with offsets from 0; their topic is "", their
/// partition 0, and no next offset or place of any partition is known of them. They own a copy of the bytes. Free them
/// with `oncelog_records_free`.
///
/// Errors: as `oncelog_batch_header`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_batch_records(
    batch: *const c_void,
    size: usize,
    out: *mut *mut oncelog_records_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(make(Walkable::of_batch(checked(c, batch, size)?))?);
        Ok(())
    })
}

/// Tells whether this build of the library has a codec, one of `ONCELOG_COMPRESSION_*`: what it leaves out can be
/// neither written nor unpacked, and answers UNSUPPORTED_VERSION. Any thread may ask, without a log.
///
/// Errors: INVALID_ARGUMENT if there is no such codec.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_compression_is_available(compression: u32, out: *mut bool) -> *mut oncelog_error_t {
    call(|c| {
        let out = c.out(out, "out")?;
        out.set(choices::compression(compression)?.is_available());
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::ptr::null_mut;

    use engine::{Compression, Identity, Record};

    use super::*;
    use crate::codes::{ONCELOG_TIMESTAMP_CREATE_TIME, ONCELOG_TIMESTAMP_LOG_APPEND_TIME};
    use crate::error::oncelog_error_code;
    use crate::records::{oncelog_records_free, oncelog_records_next};

    #[test]
    fn a_compressed_batch_tells_its_codec_and_shows_its_records() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let mut builder = Batch::builder();
            builder.compression(codec).producer(Identity { producer_id: 4, epoch: 2 }, i32::MAX - 9);
            for at in 0..100 {
                builder.push(&Record::new(b"the same words again and again"), 1000 + at).unwrap();
            }
            let batch = builder.build().unwrap();
            let bytes = batch.as_bytes();
            // SAFETY: zeros are a header.
            let mut header: oncelog_batch_header_t = unsafe { std::mem::zeroed() };
            assert!(oncelog_batch_header(bytes.as_ptr().cast(), bytes.len(), &mut header).is_null());
            assert_eq!((header.compression, header.count), (codec as u32, 100));
            assert_eq!((header.last_offset, header.base_sequence, header.last_sequence), (99, i32::MAX - 9, 89));
            assert_eq!((header.base_timestamp, header.max_timestamp, header.crc), (1000, 1099, batch.header().crc));

            let (mut records, mut views, mut count, mut all) = (null_mut(), std::ptr::null(), 1, 0);
            assert!(oncelog_batch_records(bytes.as_ptr().cast(), bytes.len(), &mut records).is_null());
            while count > 0 {
                assert_eq!(oncelog_error_code(oncelog_records_next(records, &mut views, &mut count)), 0);
                all += count;
            }
            assert_eq!(all, 100);
            assert!(oncelog_records_free(records).is_null());
        }
    }

    #[test]
    fn a_header_names_what_its_attributes_say() {
        let mut builder = Batch::builder();
        builder.push(&Record::new(b"v"), 1000).unwrap();
        let mut header = *builder.build().unwrap().header();
        // Bits that no batch of a client keeps, so the calls above never show them.
        for (attributes, expected) in [
            (0, (ONCELOG_TIMESTAMP_CREATE_TIME, false)),
            (1 << 3, (ONCELOG_TIMESTAMP_LOG_APPEND_TIME, false)),
            (1 << 5, (ONCELOG_TIMESTAMP_CREATE_TIME, true)),
        ] {
            header.attributes = attributes;
            let told = oncelog_batch_header_t::from(&header);
            assert_eq!((told.timestamp_type, told.control), expected);
        }
    }
}
