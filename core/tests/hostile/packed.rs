//! Record batches, and what lies behind their codecs.

use oncelog::format::batch::{BATCH_HEADER, BatchHeader};
use oncelog::format::bytes::put_u32_be;
use oncelog::format::compression::unpack;
use oncelog::limits::{ALLOCATION_MAX, UNPACKED_MAX};
use oncelog::{Batch, BatchBuilder, Compression, ErrorKind, Header, Record, RecordIter};
use twox_hash::XxHash32;

use crate::fire;
use crate::frames::BATCH;
use crate::meter::bounded;
use crate::mutate::{Sample, damaged};

const CODECS: [Compression; 5] =
    [Compression::None, Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// A batch with keys, nulls and headers.
fn batch(codec: Compression) -> Vec<u8> {
    let headers = [Header { key: "name", value: Some(b"value") }, Header { key: "", value: None }];
    let mut builder = BatchBuilder::new();
    builder.compression(codec);
    for n in 0..12 {
        let value = vec![b'a' + n; 10 + 7 * usize::from(n)];
        let record = Record::new(&value).key(b"k").headers(&headers[..usize::from(n % 3)]);
        builder.push(&record, 1_700_000_000_000 + i64::from(n)).unwrap();
    }
    builder.push(&Record::tombstone(b"gone"), 5).unwrap();
    let batch = builder.build().unwrap();
    assert_eq!(batch.header().compression(), codec as u8);
    batch.as_bytes().to_vec()
}

/// Makes the crc right, and with `agree` the length and what every batch must say.
fn seal(bytes: &mut [u8], agree: bool) {
    if bytes.len() < BATCH_HEADER {
        return;
    }
    if agree {
        let len = bytes.len() as u32 - 12;
        put_u32_be(bytes, 8, len);
        bytes[..8].fill(0);
        bytes[16] = 2;
    }
    let crc = crc32c::crc32c(&bytes[21..]);
    put_u32_be(bytes, 17, crc);
}

/// The records' bytes in the form of a codec, as they are: nothing is compressed, so that what is damaged stays so.
fn stored(codec: Compression, records: &[u8]) -> Vec<u8> {
    match codec {
        Compression::Gzip => {
            use std::io::Write;
            let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            packer.write_all(records).unwrap();
            packer.finish().unwrap()
        }
        Compression::Snappy => snap::raw::Encoder::new().compress_vec(records).unwrap(),
        Compression::Lz4 => {
            let mut frame = vec![4, 0x22, 0x4d, 0x18, 0x60, 0x40, 0];
            seal_lz4(&mut frame);
            for block in records.chunks(64 << 10) {
                frame.extend_from_slice(&(block.len() as u32 | 1 << 31).to_le_bytes());
                frame.extend_from_slice(block);
            }
            frame.extend_from_slice(&[0; 4]);
            frame
        }
        Compression::Zstd => {
            // One segment, a content size of four bytes, one raw block.
            let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0xa0];
            frame.extend_from_slice(&(records.len() as u32).to_le_bytes());
            let block = (records.len() as u32) << 3 | 1;
            frame.extend_from_slice(&block.to_le_bytes()[..3]);
            frame.extend_from_slice(records);
            frame
        }
        _ => records.to_vec(),
    }
}

/// The second byte of the descriptor's hash.
fn seal_lz4(frame: &mut [u8]) {
    let described = match frame.get(4) {
        Some(flags) if flags & 8 != 0 => 10,
        _ => 2,
    };
    if let Some(end) = frame.get(4..4 + described).map(|descriptor| (XxHash32::oneshot(0, descriptor) >> 8) as u8)
        && let Some(place) = frame.get_mut(4 + described)
    {
        *place = end;
    }
}

/// Reads every record of a batch that was taken.
fn read(batch: &Batch) {
    let mut due = 0;
    for record in batch.records() {
        let record = record.unwrap();
        assert_eq!(record.offset, due);
        due += 1;
        let most = 2 + record.headers().len() * 2;
        assert!(record.headers().count() <= most);
    }
    assert_eq!(due, batch.header().count as u64);
}

/// Takes a batch as an append would.
fn take(bytes: &[u8]) -> bool {
    match bounded(2 * ALLOCATION_MAX, || Batch::from_bytes(bytes)) {
        Ok(batch) => {
            bounded(2 * ALLOCATION_MAX, || read(&batch));
            true
        }
        Err(error) => {
            let kinds = [ErrorKind::Corrupt, ErrorKind::InvalidRecord, ErrorKind::RecordTooLarge];
            assert!(kinds.contains(&error.kind()), "{error}");
            false
        }
    }
}

#[test]
fn batches_of_any_content_are_taken_or_refused() {
    let samples = CODECS.map(|codec| Sample::new(batch(codec)).big_numbers(0, &BATCH));
    assert!(samples.iter().all(|sample| take(&sample.bytes)));
    fire("batches_of_any_content_are_taken_or_refused", 20_000, |rng| {
        let mut bytes = damaged(rng, &samples);
        seal(&mut bytes, rng.chance(7, 8));
        take(&bytes)
    });
}

#[test]
fn records_of_any_content_are_taken_or_refused_behind_every_codec() {
    let plain = Sample::new(batch(Compression::None)[BATCH_HEADER..].to_vec());
    let header = BatchHeader::read(&batch(Compression::None)).unwrap();
    fire("records_of_any_content_are_taken_or_refused_behind_every_codec", 20_000, |rng| {
        let records = damaged(rng, std::slice::from_ref(&plain));
        let codec = CODECS[rng.index(CODECS.len())];
        let mut bytes = vec![0; BATCH_HEADER];
        bytes.extend(stored(codec, &records));
        let count = if rng.chance(1, 3) { 1 + rng.below(14) as i32 } else { header.count };
        let attributes = codec as i16;
        BatchHeader { attributes, count, last_offset_delta: count - 1, ..header }.write(&mut bytes);
        seal(&mut bytes, rng.chance(7, 8));
        take(&bytes)
    });
}

#[test]
fn records_on_the_disk_of_any_header_are_read_or_refused_in_place() {
    let sample = Sample::new(batch(Compression::None)).big_numbers(0, &BATCH);
    fire("records_on_the_disk_of_any_header_are_read_or_refused_in_place", 20_000, |rng| {
        let bytes = damaged(rng, std::slice::from_ref(&sample));
        let (Some(header), Some(body)) = (BatchHeader::read(&bytes), bytes.get(BATCH_HEADER..)) else { return false };
        // An error takes memory for its text; nothing else does.
        let (whole, count) = bounded(4096, || {
            let (mut whole, mut count) = (true, 0);
            for record in RecordIter::unpacked(&header, body) {
                count += 1;
                whole &= record.is_ok_and(|record| {
                    assert!(record.offset <= i64::MAX as u64);
                    in_place_headers(&record);
                    true
                });
            }
            (whole, count)
        });
        assert!(count <= 1 + body.len() / 7, "a record takes 7 bytes at least");
        whole && count > 0
    });
}

fn in_place_headers(record: &oncelog::RecordRef<'_>) {
    let headers = record.headers();
    let promised = headers.len();
    assert_eq!(headers.count(), promised);
}

/// Samples of a codec with its numbers.
fn packed(codec: Compression) -> Vec<Sample> {
    let compressed = batch(codec)[BATCH_HEADER..].to_vec();
    let stored = stored(codec, &batch(Compression::None)[BATCH_HEADER..]);
    let end = |bytes: &[u8]| bytes.len().saturating_sub(8);
    let numbers = |bytes: Vec<u8>| {
        let tail = end(&bytes);
        let sample = Sample::new(bytes);
        match codec {
            Compression::Gzip => sample.numbers(2, &[1, 1, 4, 1, 1]).numbers(tail, &[4, 4]),
            Compression::Snappy => sample.big_numbers(8, &[4, 4, 4]).numbers(20, &[1, 2, 4]).numbers(0, &[1, 2]),
            Compression::Lz4 => sample.numbers(4, &[1, 1]).numbers(6, &[8]).numbers(7, &[4]).numbers(tail, &[4, 4]),
            _ => sample.numbers(4, &[1, 1, 2, 1]).numbers(5, &[4, 3]),
        }
    };
    let mut samples = vec![numbers(compressed), numbers(stored)];
    if codec == Compression::Lz4 {
        // With a content size, and checksums of blocks and content.
        let mut frame = vec![4, 0x22, 0x4d, 0x18, 0x7c, 0x40];
        frame.extend_from_slice(&5u64.to_le_bytes());
        frame.push(0);
        seal_lz4(&mut frame);
        frame.extend_from_slice(&(5 | 1u32 << 31).to_le_bytes());
        frame.extend_from_slice(b"hello");
        frame.extend_from_slice(&XxHash32::oneshot(0, b"hello").to_le_bytes());
        frame.extend_from_slice(&[0; 4]);
        frame.extend_from_slice(&XxHash32::oneshot(0, b"hello").to_le_bytes());
        samples.push(Sample::new(frame).numbers(4, &[1, 1, 8, 1, 4]));
    }
    samples
}

#[test]
fn packed_bytes_of_any_content_unpack_to_no_more_than_they_may() {
    for codec in &CODECS[1..] {
        let samples = packed(*codec);
        for sample in &samples {
            assert!(unpack(*codec as u8, &sample.bytes, UNPACKED_MAX).is_ok(), "{codec:?}");
        }
        fire("packed_bytes_of_any_content_unpack_to_no_more_than_they_may", 8_000, |rng| {
            let mut bytes = damaged(rng, &samples);
            if *codec == Compression::Lz4 {
                seal_lz4(&mut bytes);
            }
            let most = [0, 100, 1 << 20, UNPACKED_MAX][rng.index(4)];
            // What is kept for the thread is there already.
            let _ = unpack(*codec as u8, &bytes, most);
            let unpacked = bounded(2 * ALLOCATION_MAX, || unpack(*codec as u8, &bytes, most));
            unpacked.is_ok_and(|unpacked| {
                assert!(unpacked.len() <= most);
                true
            })
        });
    }
}

#[test]
fn a_batch_that_unpacks_to_the_most_is_taken_and_one_byte_more_is_not() {
    // A record of nothing but zeros, as long as makes all of it one allocation's worth.
    let record = |value: usize| {
        let mut records = Vec::new();
        oncelog::format::record::encode(&mut records, &Record::new(&vec![0; value]), 0, 0);
        records
    };
    let fits = UNPACKED_MAX - (record(UNPACKED_MAX - 100).len() - (UNPACKED_MAX - 100));
    for (value, taken) in [(fits, true), (fits + 1, false)] {
        let records = record(value);
        assert_eq!(records.len() <= UNPACKED_MAX, taken);
        let mut bytes = vec![0; BATCH_HEADER];
        bytes.extend(zstd(&records));
        let header = BatchHeader::read(&batch(Compression::None)).unwrap();
        BatchHeader { attributes: 4, count: 1, last_offset_delta: 0, ..header }.write(&mut bytes);
        seal(&mut bytes, true);
        assert_eq!(take(&bytes), taken, "{} bytes", records.len());
    }
}

/// Zeros packed by the codec that packs them best.
fn zstd(records: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(1 << 20);
    zstd_safe::compress(&mut out, records, 3).unwrap();
    out
}
