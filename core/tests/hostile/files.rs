//! What lies outside of frames, and the small pieces that frames are made of.

use oncelog::format::bytes::{Put, Reader, put_u32};
use oncelog::format::control::{OffsetEntry, OffsetsBlock, Place};
use oncelog::format::files::{Head, Identity, RECORD, SegmentHeader};
use oncelog::format::topic_config::TopicConfig;
use oncelog::format::varint;
use oncelog::limits::{COUNT_MAX, SEGMENT_MAX};
use oncelog::sim::Rng;

use crate::fire;
use crate::meter::{bounded, in_place};
use crate::mutate::{Sample, damaged};

/// Makes the checksum of a fixed record right.
pub fn seal(record: &mut [u8]) {
    if record.len() >= RECORD {
        let sum = crc32c::crc32c_append(crc32c::crc32c(&record[..8]), &record[12..RECORD]);
        put_u32(record, 8, sum);
    }
}

fn sealed(rng: &mut Rng, samples: &[Sample]) -> Vec<u8> {
    let mut bytes = damaged(rng, samples);
    if rng.chance(15, 16) {
        seal(&mut bytes);
    }
    bytes
}

#[test]
fn an_identity_of_any_content_is_read_or_refused() {
    let identity = Identity {
        uuid: *b"an example log!!",
        format: 1,
        compatible: 0,
        read_compatible: 0,
        incompatible: 0,
        created_ms: 5,
    };
    let sample = Sample::new(identity.write().to_vec()).numbers(0, &[8, 4, 4, 8, 8, 4, 4, 4, 8]);
    fire("an_identity_of_any_content_is_read_or_refused", 4_000, |rng| {
        let bytes = sealed(rng, std::slice::from_ref(&sample));
        let read = in_place(|| Identity::read(&bytes));
        read.is_ok_and(|identity| {
            assert!(identity.format <= 1 && identity.incompatible == 0);
            // What is not looked at is zeros when it is written again.
            assert_eq!(Identity::read(&identity.write()), Ok(identity));
            true
        })
    });
}

#[test]
fn a_segment_header_of_any_content_is_read_or_refused() {
    let header = SegmentHeader {
        uuid: [1; 16],
        number: 7,
        generation: 0,
        format: 1,
        size: 65_536,
        salt: u64::MAX,
        created_ms: 5,
    };
    let sample = Sample::new(header.write().to_vec()).numbers(0, &[8, 4, 4, 8, 8, 8, 4, 8, 8, 8]);
    fire("a_segment_header_of_any_content_is_read_or_refused", 4_000, |rng| {
        let bytes = sealed(rng, std::slice::from_ref(&sample));
        let read = in_place(|| SegmentHeader::read(&bytes));
        read.is_ok_and(|header| {
            assert!(header.size <= SEGMENT_MAX && (1..=COUNT_MAX).contains(&header.number));
            assert_eq!(SegmentHeader::read(&header.write()), Ok(header));
            true
        })
    });
}

#[test]
fn a_slot_of_head_of_any_content_is_read_or_refused() {
    let place = Place { segment: 2, position: 9000 };
    let head = Head {
        uuid: [9; 16],
        sequence: 8,
        clean: true,
        end: place,
        last_lsn: 77,
        checkpoint_lsn: 70,
        checkpoint: place,
        older_lsn: 60,
        older: place,
        durable_lsn: 1,
    };
    let sample = Sample::new(head.write().to_vec()).numbers(0, &[8, 4, 8, 8, 8, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
    fire("a_slot_of_head_of_any_content_is_read_or_refused", 4_000, |rng| {
        let bytes = sealed(rng, std::slice::from_ref(&sample));
        in_place(|| Head::read(&bytes)).is_some_and(|head| {
            assert!(head.stated() <= head.last_lsn.max(head.checkpoint_lsn).max(head.durable_lsn));
            assert!(Head::slot(head.sequence) < 8192);
            true
        })
    });
}

#[test]
fn names_of_files_are_those_that_are_written() {
    let samples = [SegmentHeader::name(1, 0), SegmentHeader::name(COUNT_MAX, u32::MAX)]
        .map(|name| Sample::new(name.into_bytes()).numbers(0, &[8, 8, 4, 1, 1, 4]));
    fire("names_of_files_are_those_that_are_written", 4_000, |rng| {
        let bytes = damaged(rng, &samples);
        let Ok(name) = std::str::from_utf8(&bytes) else { return false };
        bounded(4096, || SegmentHeader::parse_name(name))
            .is_some_and(|(number, generation)| SegmentHeader::name(number, generation) == name)
    });
}

#[test]
fn options_of_a_topic_of_any_content_are_read_or_refused() {
    let mut bytes = Vec::new();
    for (name, value) in [("message.timestamp.type", "LogAppendTime"), ("colour", "red"), ("", "")] {
        bytes.text(name).text(value);
    }
    let sample = Sample::new(bytes).numbers(0, &[2]).numbers(24, &[2]).numbers(39, &[2]);
    fire("options_of_a_topic_of_any_content_are_read_or_refused", 4_000, |rng| {
        let bytes = damaged(rng, std::slice::from_ref(&sample));
        in_place(|| {
            let mut from = Reader::new(&bytes);
            TopicConfig::read(&mut from).inspect(|_| assert!(from.rest().is_empty()))
        })
        .is_some()
    });
}

/// A block of offsets with texts of every kind.
pub fn block() -> Vec<u8> {
    let entry = |group, partition, metadata| OffsetEntry {
        group,
        topic: *b"topic of a group",
        partition,
        offset: u64::from(partition) + 100,
        leader_epoch: -1,
        metadata,
    };
    let mut bytes = Vec::new();
    let groups = [("one", vec![entry("one", 0, ""), entry("one", 1, "text")]), ("two", vec![entry("two", 2, "")])];
    OffsetsBlock::write(&mut bytes, 1_700_000_000_000, &groups);
    bytes
}

/// Where its numbers lie.
pub const BLOCK: [usize; 16] = [8, 4, 2, 1, 1, 1, 4, 8, 8, 4, 8, 4, 2, 8, 8, 4];

#[test]
fn a_block_of_offsets_of_any_content_is_read_or_refused() {
    let sample = Sample::new(block()).numbers(0, &BLOCK);
    fire("a_block_of_offsets_of_any_content_is_read_or_refused", 6_000, |rng| {
        let bytes = damaged(rng, std::slice::from_ref(&sample));
        in_place(|| {
            OffsetsBlock::read(&bytes).map(|block| {
                let mut entries = 0;
                block.for_each(|_| entries += 1);
                assert!(entries <= bytes.len() / 34, "an entry takes 34 bytes at least");
            })
        })
        .is_some()
    });
}

#[test]
fn numbers_of_variable_length_never_leave_their_bytes() {
    let mut bytes = vec![0; 40];
    let mut at = 0;
    for value in [0, -1, 300, i64::from(i32::MAX), i64::MIN] {
        at = varint::put(&mut bytes, at, value);
    }
    bytes.truncate(at);
    let sample = Sample::new(bytes).numbers(0, &[1, 1, 2, 5, 8]);
    fire("numbers_of_variable_length_never_leave_their_bytes", 6_000, |rng| {
        let bytes = damaged(rng, std::slice::from_ref(&sample));
        let start = rng.index(bytes.len() + 2);
        in_place(|| {
            let mut ends = [start; 3];
            let small = varint::read_i32(&bytes, &mut ends[0]);
            let large = varint::read_i64(&bytes, &mut ends[1]);
            let size = varint::read_size(&bytes, &mut ends[2]);
            let longest = [5, 10, 5];
            assert!(ends.iter().zip(longest).all(|(end, most)| *end <= start + most));
            assert!(ends.iter().all(|end| *end <= bytes.len() || *end == start));
            if let Ok(small) = small {
                assert_eq!((large, ends[1]), (Ok(i64::from(small)), ends[0]), "the types agree where both fit");
                assert_eq!(size, Ok(usize::try_from(small).ok()));
            }
            large.is_ok()
        })
    });
}
