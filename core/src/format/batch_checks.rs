//! What is checked of a batch before any state is looked at: the rules of Kafka's log for a client's batch, and those
//! that Kafka leaves out and a log without holes needs.

use super::batch::{BATCH_HEADER, BatchHeader, CRC_FROM};
use super::compression::{self, Fault};
use super::record_iter::RecordIter;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::{BATCH_MAX, UNPACKED_MAX};
use crate::types::Compression;

impl BatchHeader {
    /// What no append may carry, whoever encoded it: the fields alone, not the records.
    pub(super) fn check_append(&self) -> Result<()> {
        let refuse = |text: String| Err(Error::new(ErrorKind::InvalidRecord, text));
        let Self { base_offset, count, last_offset_delta, producer_id, epoch, base_sequence, .. } = *self;
        match Compression::of(self.compression()) {
            Some(codec) if codec.is_available() => {}
            Some(codec) => return Err(compression::left_out(codec)),
            None => return Err(unpackable(self, Fault::Unknown(self.compression()))),
        }
        if base_offset != 0 {
            return refuse(format!("the log gives the offsets; send base offset 0, base_offset={base_offset}"));
        }
        if count <= 0 {
            return refuse(format!("a batch must hold a record; add one, count={count}"));
        }
        if i64::from(last_offset_delta) + 1 != i64::from(count) {
            let values = format!("last_offset_delta={last_offset_delta} count={count}");
            return refuse(format!(
                "the last offset delta is not the count less one; encode the batch again, {values}"
            ));
        }
        if self.is_control() {
            return refuse("control batches are the log's own; clear the control bit".into());
        }
        // A negative id is none, as Kafka has it. A negative epoch is older than any that was given: the state says so.
        if producer_id >= 0 && base_sequence < 0 {
            let values = format!("producer_id={producer_id} epoch={epoch} base_sequence={base_sequence}");
            return refuse(format!("a producer id needs an epoch and a sequence from 0; give both, {values}"));
        }
        if producer_id < 0 && self.is_transactional() {
            return refuse("a transactional batch needs a producer id; open a transactional producer".into());
        }
        Ok(())
    }
}

/// Checks that `bytes` are one whole batch: size, format, length, crc.
pub(super) fn check_envelope(bytes: &[u8]) -> Result<BatchHeader> {
    let corrupt = |text: String| Err(Error::new(ErrorKind::Corrupt, text));
    let invalid = |text: String| Err(Error::new(ErrorKind::InvalidRecord, text));
    let len = bytes.len();
    if len > BATCH_MAX {
        return Err(too_large(len as u64));
    }
    let Some(header) = BatchHeader::read(bytes) else {
        return corrupt(format!("these bytes are no batch; give at least its header of {BATCH_HEADER}, bytes={len}"));
    };
    match header.magic {
        2 => {}
        0 | 1 => {
            let magic = header.magic;
            return invalid(format!("this message format is no longer taken; send batches of format 2, magic={magic}"));
        }
        magic => return corrupt(format!("unknown batch format; send batches of format 2, magic={magic}")),
    }
    let size = header.size();
    if header.batch_len < 0 || size < BATCH_HEADER || size > len {
        let values = format!("batch_len={} bytes={len}", header.batch_len);
        return corrupt(format!("the batch's length does not fit its bytes; give all of them, {values}"));
    }
    if size < len {
        return invalid(format!("bytes follow the batch; append one batch at a time, batch={size} bytes={len}"));
    }
    let crc = crc32c::crc32c(&bytes[CRC_FROM..]);
    if crc != header.crc {
        let values = format!("declared={:08x} computed={crc:08x}", header.crc);
        return corrupt(format!("the batch's crc is wrong; send it again, {values}"));
    }
    Ok(header)
}

/// Reads every record, unpacked if need be; returns their greatest timestamp, -1 for none.
pub(super) fn check_records(header: &BatchHeader, body: &[u8]) -> Result<i64> {
    if header.compression() == 0 {
        return check_unpacked(header, body);
    }
    let unpacked = compression::unpack(header.compression(), body, UNPACKED_MAX);
    check_unpacked(header, &unpacked.map_err(|fault| unpackable(header, fault))?)
}

#[cold]
fn unpackable(header: &BatchHeader, fault: Fault) -> Error {
    let what = fault.text(header.compression());
    match fault {
        Fault::LeftOut(codec) => compression::left_out(codec),
        Fault::TooLarge(_) => Error::new(ErrorKind::RecordTooLarge, format!("the batch is too large: {what}")),
        _ => Error::new(ErrorKind::InvalidRecord, format!("the batch does not unpack; encode it again: {what}")),
    }
}

fn check_unpacked(header: &BatchHeader, body: &[u8]) -> Result<i64> {
    let refuse = |index: u32, what: &str| {
        let text = format!("the batch cannot be read: {what}; encode it again, record={index}");
        // The crc was right: the sender made it so, and sending it again would not help, which is what Corrupt advises.
        Err(Error::new(ErrorKind::InvalidRecord, text))
    };
    let mut records = RecordIter::unpacked(header, body);
    let mut max_timestamp = -1;
    loop {
        let index = records.index();
        match records.step() {
            Ok(None) => return Ok(max_timestamp),
            Ok(Some(record)) if record.offset != u64::from(index) => {
                return refuse(index, "offset deltas must count 0, 1, 2");
            }
            Ok(Some(record)) => max_timestamp = record.timestamp.max(max_timestamp),
            Err(defect) => return refuse(index, defect.text()),
        }
    }
}

#[cold]
pub(crate) fn too_large(size: u64) -> Error {
    let text = format!("the batch is too large; split it, size={size} max={BATCH_MAX}");
    Error::new(ErrorKind::RecordTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::super::batch::{APPEND_TIME, Batch, CONTROL, CRC_AT, TRANSACTIONAL, seal};
    use super::super::bytes::put_u32_be;
    use super::super::frame::FRAME_HEADER;
    use super::super::record::Record;
    use super::*;
    use crate::types::Identity;

    /// Two records of a producer, timestamps 1000 and 1001.
    fn two() -> Vec<u8> {
        let mut builder = Batch::builder();
        builder.producer(Identity { producer_id: 7, epoch: 2 }, 40);
        builder.push(&Record::new(b"v").key(b"k"), 1000).unwrap();
        builder.push(&Record::new(b"w"), 1001).unwrap();
        builder.build().unwrap().as_bytes().to_vec()
    }

    fn sum(batch: &mut [u8]) {
        let crc = crc32c::crc32c(&batch[CRC_FROM..]);
        put_u32_be(batch, CRC_AT, crc);
    }

    /// `two` with another header, its crc right.
    fn with(edit: impl FnOnce(&mut BatchHeader)) -> Vec<u8> {
        let mut bytes = two();
        let mut header = BatchHeader::read(&bytes).unwrap();
        edit(&mut header);
        seal(&header, &mut bytes);
        bytes
    }

    #[track_caller]
    fn refused(bytes: &[u8], kind: ErrorKind, text: &str) {
        let error = Batch::from_bytes(bytes).unwrap_err();
        assert!(error.kind() == kind && error.message().contains(text), "{error:?} should be {kind:?} and say {text}");
    }

    #[test]
    fn a_client_batch_is_kept_byte_for_byte() {
        let bytes = two();
        let batch = Batch::from_bytes(&bytes).unwrap();
        assert_eq!((batch.as_bytes(), &batch.framed()[FRAME_HEADER..]), (&bytes[..], &bytes[..]));
        assert_eq!(batch.framed()[..FRAME_HEADER], [0; FRAME_HEADER]);
        let offsets = batch.records().map(|record| record.unwrap().offset);
        assert_eq!(offsets.collect::<Vec<_>>(), [0, 1]);
        // What a broker takes too: any leader epoch, a sequence without a producer, unused attributes.
        for edit in [
            |h: &mut BatchHeader| h.leader_epoch = 99,
            |h: &mut BatchHeader| h.producer_id = -1,
            |h: &mut BatchHeader| h.attributes = 1 << 7 | TRANSACTIONAL,
            |h: &mut BatchHeader| h.base_sequence = i32::MAX,
        ] {
            let bytes = with(edit);
            assert_eq!(Batch::from_bytes(&bytes).unwrap().as_bytes(), bytes);
        }
    }

    #[test]
    fn a_wrong_maximal_timestamp_is_set_right() {
        let batch = Batch::from_bytes(&with(|h| h.max_timestamp = 5)).unwrap();
        assert_eq!(batch.as_bytes(), two());
        assert_eq!(BatchHeader::read(batch.as_bytes()).unwrap(), *batch.header());
    }

    #[test]
    fn the_append_time_bit_of_a_sender_is_cleared_and_the_senders_timestamps_count() {
        let batch = Batch::from_bytes(&with(|h| (h.attributes, h.max_timestamp) = (APPEND_TIME, 5_000))).unwrap();
        assert_eq!(batch.as_bytes(), two());
        assert!(batch.claims_append_time() && !Batch::from_bytes(&two()).unwrap().claims_append_time());
    }

    #[test]
    fn bytes_that_are_no_whole_batch_are_refused() {
        let bytes = two();
        for end in 0..bytes.len() {
            refused(&bytes[..end], ErrorKind::Corrupt, if end < 61 { "no batch" } else { "does not fit" });
        }
        refused(&[&bytes[..], &[0]].concat(), ErrorKind::InvalidRecord, "one batch at a time");
        refused(&[&bytes[..], &bytes].concat(), ErrorKind::InvalidRecord, "one batch at a time");
        for len in [i32::MIN, -1, 0, 13, 48, i32::MAX] {
            refused(&with(|h| h.batch_len = len), ErrorKind::Corrupt, "length does not fit");
        }
        refused(&with(|h| h.batch_len -= 1), ErrorKind::InvalidRecord, "bytes follow the batch");
        refused(&vec![0; BATCH_MAX + 1], ErrorKind::RecordTooLarge, "too large");
    }

    #[test]
    fn a_wrong_format_or_crc_is_refused() {
        refused(&with(|h| h.magic = 0), ErrorKind::InvalidRecord, "format 2, magic=0");
        refused(&with(|h| h.magic = 1), ErrorKind::InvalidRecord, "format 2, magic=1");
        refused(&with(|h| h.magic = 3), ErrorKind::Corrupt, "unknown batch format");
        refused(&with(|h| h.magic = -1), ErrorKind::Corrupt, "unknown batch format");
        refused(&[0; BATCH_HEADER], ErrorKind::InvalidRecord, "magic=0");
        for at in CRC_AT..two().len() {
            let mut bytes = two();
            bytes[at] ^= 1;
            refused(&bytes, ErrorKind::Corrupt, "crc is wrong");
        }
    }

    #[test]
    fn fields_that_no_client_may_send_are_refused() {
        let invalid = |edit: fn(&mut BatchHeader), text| refused(&with(edit), ErrorKind::InvalidRecord, text);
        invalid(|h| h.base_offset = 7, "base offset 0, base_offset=7");
        invalid(|h| h.count = 0, "must hold a record");
        invalid(|h| h.count = -1, "must hold a record");
        invalid(|h| h.count = 3, "last_offset_delta=1 count=3");
        invalid(|h| h.last_offset_delta = 0, "last_offset_delta=0 count=2");
        invalid(|h| h.last_offset_delta = i32::MAX, "count less one");
        invalid(|h| h.attributes = CONTROL, "control bit");
        invalid(|h| h.base_sequence = -1, "base_sequence=-1");
        for accepted in [with(|h| h.producer_id = -2), with(|h| h.epoch = -1)] {
            assert!(Batch::from_bytes(&accepted).is_ok(), "a negative id is none, a negative epoch is for the state");
        }
        invalid(|h| (h.producer_id, h.attributes) = (-1, TRANSACTIONAL), "transactional");
        for codec in 5..8 {
            refused(&with(|h| h.attributes = codec), ErrorKind::InvalidRecord, "not one of Kafka's, codec=");
        }
    }

    #[test]
    fn records_that_do_not_unpack_are_invalid_and_a_codec_that_was_left_out_is_named() {
        for codec in [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd] {
            let bytes = with(|h| h.attributes = codec as i16);
            match codec.is_available() {
                true => refused(&bytes, ErrorKind::InvalidRecord, "does not unpack"),
                false => refused(&bytes, ErrorKind::UnsupportedVersion, &format!("cargo feature {}", codec.name())),
            }
        }
    }

    #[test]
    fn records_that_do_not_match_the_header_are_refused() {
        let mut fewer = with(|h| (h.count, h.last_offset_delta) = (3, 2));
        refused(&fewer, ErrorKind::InvalidRecord, "fewer records");
        fewer = with(|h| (h.count, h.last_offset_delta) = (i32::MAX, i32::MAX - 1));
        refused(&fewer, ErrorKind::InvalidRecord, "fewer records");
        refused(
            &with(|h| (h.count, h.last_offset_delta) = (1, 0)),
            ErrorKind::InvalidRecord,
            "bytes follow the last record",
        );
        // The offset deltas of `two` lie at bytes 64 and 73: 0 and 1, zig-zag 0 and 2.
        for (first, second) in [(0, 0), (0, 4), (2, 0), (2, 4), (0, 1)] {
            let mut bytes = two();
            (bytes[64], bytes[73]) = (first, second);
            sum(&mut bytes);
            refused(&bytes, ErrorKind::InvalidRecord, "offset");
        }
        let mut long = two();
        long.splice(61..62, [0x90, 0x80, 0x80, 0x80, 0x80, 0]);
        let header = BatchHeader { batch_len: long.len() as i32 - 12, ..BatchHeader::read(&long).unwrap() };
        seal(&header, &mut long);
        refused(&long, ErrorKind::InvalidRecord, "longer or larger than its field allows; encode it again, record=0");
    }
}
