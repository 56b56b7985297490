//! The walk over bytes as they may lie in a log, whole or damaged.

use std::ops::Range;
use std::sync::Arc;

use super::hidden::Hidden;
use super::losses::{Loss, Witness};
use super::records::{Records, Share, Stretch};
use super::unpacked::Chain;
use crate::error::ErrorKind;
use crate::format::batch::{BATCH_HEADER, BatchBuilder};
use crate::format::bytes::put_i64_be;
use crate::format::frame::{self, FRAME_HEADER, Kind, Seal};
use crate::format::record::Record;
#[cfg(feature = "lz4")]
use crate::format::{batch::BatchHeader, record::Header};
use crate::journal::{Bytes, Gap, Lsns};
#[cfg(feature = "lz4")]
use crate::types::Compression;

const SEGMENT: u64 = 3;
const POSITION: u64 = 8192;
const INSTANCE: u32 = 7;

fn seal() -> Seal {
    Seal::new(99, SEGMENT)
}

/// A batch of `count` records whose values are their offsets.
fn batch(base: u64, count: u64) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    for i in 0..count {
        builder.push(&Record::new((base + i).to_string().as_bytes()), 5).unwrap();
    }
    let mut bytes = builder.finish()[FRAME_HEADER..].to_vec();
    put_i64_be(&mut bytes, 0, base as i64);
    bytes
}

/// Batches of 1, 2, 3, ... records in frames, from offset `first` on; also where each one begins.
fn frames(first: u64, count: u64) -> (Vec<u8>, Vec<(usize, u64)>) {
    let (mut bytes, mut begins, mut offset) = (Vec::new(), Vec::new(), first);
    for records in 1..=count {
        let batch = batch(offset, records);
        let at = bytes.len();
        begins.push((at, offset));
        frame::encode(&mut bytes, Kind::Records, INSTANCE, &batch[..BATCH_HEADER], &batch[BATCH_HEADER..]);
        frame::stamp(&mut bytes[at..], seal(), POSITION + at as u64, records, 0);
        offset += records;
    }
    begins.push((bytes.len(), offset));
    (bytes, begins)
}

fn stretch(bytes: Vec<u8>, bare: bool, first: u64, end: u64) -> Stretch {
    let len = bytes.len();
    let bytes = Bytes::heap(Arc::new(bytes), 0, len);
    let (seal, unpacked) = (seal(), Chain::new());
    let (segment, position, first_lsn) = (SEGMENT, POSITION, 1);
    Stretch { bytes, bare, segment, generation: 0, seal, position, first, end, unpacked, lsn: 1 << 40, first_lsn }
}

fn records(stretches: Vec<Stretch>, from: u64, end: u64) -> Records {
    let witness = Arc::new(Present);
    Records::of(Share {
        topic: "t".into(),
        partition: 4,
        instance: INSTANCE,
        from,
        end,
        stretches,
        hidden: Hidden::default(),
        witness,
        seen: (0, 0),
    })
}

/// Hears of losses that are some.
struct Present;

impl Witness for Present {
    fn lost(&self, loss: &Loss<'_>) {
        assert!(!loss.offsets.is_empty());
    }
    fn damaged(&self, segment: u64, bytes: Range<u64>, _: u64) -> Option<Gap> {
        // As if the frames were numbered by their bytes.
        let lsns = Lsns { first: bytes.start - POSITION, last: bytes.end - POSITION };
        Some(Gap { segment, position: bytes.start, lsns })
    }
}

/// The offsets that were given, and the errors.
fn walk(records: &Records) -> (Vec<u64>, Vec<String>) {
    let walked = step(records);
    for places in 1..4 {
        assert_eq!(fill(records, places), walked, "by {places}");
    }
    walked
}

/// The same walk, by arrays.
fn fill(records: &Records, places: usize) -> (Vec<u64>, Vec<String>) {
    let (mut iter, mut errors) = (records.iter(), Vec::new());
    let (mut places, mut offsets) = (vec![0; places], Vec::new());
    loop {
        let count = iter.fill(&mut places, |place, record| *place = record.offset());
        offsets.extend(&places[..count]);
        if count < places.len() {
            match iter.next() {
                Some(Ok(record)) => offsets.push(record.offset()),
                Some(Err(error)) => errors.push(error.message().to_owned()),
                None => return (offsets, errors),
            }
        }
    }
}

fn step(records: &Records) -> (Vec<u64>, Vec<String>) {
    let (mut offsets, mut errors) = (Vec::new(), Vec::new());
    for record in records {
        match record {
            Ok(record) => {
                assert_eq!((record.topic(), record.partition()), ("t", 4));
                assert_eq!(record.value(), Some(record.offset().to_string().as_bytes()));
                offsets.push(record.offset());
            }
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Corrupt);
                errors.push(error.message().to_owned());
            }
        }
    }
    (offsets, errors)
}

#[test]
fn frames_and_bare_batches_are_walked_in_order_within_the_bounds_of_the_read() {
    let (bytes, begins) = frames(10, 4);
    let end = begins[4].1;
    for (from, upto) in [(10, 25), (10, 20), (13, 22), (20, 25), (24, 25), (12, 12)] {
        let bare = stretch(batch(end, 5), true, end, end + 5);
        let records = records(vec![stretch(bytes.clone(), false, 10, end), bare], from, upto);
        assert_eq!(walk(&records), ((from..upto).collect(), vec![]), "{from}..{upto}");
        assert_eq!((records.count(), records.is_empty()), (upto - from, from == upto));
        assert_eq!(records.next_offset("t", 4), Some(upto));
        assert_eq!((records.next_offset("t", 5), records.next_offset("u", 4)), (None, None));
    }
}

#[test]
fn a_damaged_byte_costs_its_batch_and_nothing_else() {
    let (bytes, begins) = frames(10, 6);
    let end = begins[6].1;
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 0x41;
        let hit = begins.partition_point(|(begin, _)| *begin <= at) - 1;
        let (first, next) = (begins[hit].1, begins[hit + 1].1);
        let (offsets, errors) = walk(&records(vec![stretch(bad, false, 10, end)], 10, end));
        let all: Vec<u64> = (10..end).collect();
        if offsets == all {
            // The frame's own header and padding are not the batch.
            assert!(errors.is_empty());
            continue;
        }
        let left: Vec<u64> = all.iter().copied().filter(|o| !(first..next).contains(o)).collect();
        assert_eq!(offsets, left, "byte {at}");
        assert_eq!(errors.len(), 1, "byte {at}");
        let position = POSITION + begins[hit].0 as u64;
        let file = "segment=00000000000000000003.0.seg";
        let (from, to) = (begins[hit].0.max(1), begins[hit + 1].0);
        let lsns = format!("first_lsn={from} last_lsn={to}");
        let named = format!("topic=t partition=4 offsets={first}..{next} {file} position={position} {lsns}");
        assert!(errors[0].contains(&named), "{}", errors[0]);
    }
}

#[test]
fn damage_below_or_above_what_was_asked_for_is_not_spoken_of() {
    let (mut bytes, begins) = frames(10, 5);
    let end = begins[5].1;
    bytes[begins[1].0 + 80] ^= 1;
    bytes[begins[4].0 + 80] ^= 1;
    let (from, upto) = (begins[2].1, begins[4].1);
    assert_eq!(walk(&records(vec![stretch(bytes, false, 10, end)], from, upto)), ((from..upto).collect(), vec![]));
}

#[test]
fn a_file_that_ends_early_gives_what_it_has_and_names_the_rest() {
    let (bytes, begins) = frames(10, 6);
    let end = begins[6].1;
    for len in 0..bytes.len() {
        let (offsets, errors) = walk(&records(vec![stretch(bytes[..len].to_vec(), false, 10, end)], 10, end));
        let kept = offsets.last().map_or(10, |last| last + 1);
        assert_eq!(offsets, (10..kept).collect::<Vec<_>>());
        assert_eq!(errors.len(), usize::from(kept < end), "cut at {len}");
        assert!(errors.iter().all(|e| e.contains(&format!("offsets={kept}..{end}"))));
    }
}

#[test]
fn a_damaged_bare_batch_is_named_and_the_walk_goes_on_with_the_next_run() {
    let mut bad = batch(0, 3);
    bad[70] ^= 1;
    let runs = vec![stretch(bad, true, 0, 3), stretch(batch(3, 3), true, 3, 6)];
    let (offsets, errors) = walk(&records(runs, 0, 6));
    assert_eq!((offsets, errors.len()), (vec![3, 4, 5], 1));
    assert!(errors[0].contains("offsets=0..3"));
}

#[test]
fn a_copy_of_a_frame_in_a_value_is_not_taken_for_one() {
    let (inner, _) = frames(11, 1);
    let mut builder = BatchBuilder::new();
    builder.push(&Record::new(&inner), 5).unwrap();
    let outer = builder.finish()[FRAME_HEADER..].to_vec();
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, Kind::Records, INSTANCE, &outer[..BATCH_HEADER], &outer[BATCH_HEADER..]);
    frame::stamp(&mut bytes, seal(), POSITION, 1, 0);
    // The outer batch is destroyed where its length lies, so that the walk has to look for the next frame.
    bytes[FRAME_HEADER + 9] ^= 0x7f;
    let (offsets, errors) = walk(&records(vec![stretch(bytes, false, 0, 100)], 0, 100));
    assert_eq!((offsets, errors.len()), (vec![], 1));
    assert!(errors[0].contains("offsets=0..100"));
}

#[test]
fn any_bytes_at_all_are_walked_without_a_panic() {
    let seed = 0x5eed_0001_u64;
    let mut x = seed;
    let mut next = || {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        x >> 33
    };
    let (good, begins) = frames(0, 8);
    for _ in 0..3_000 {
        let mut bytes = good.clone();
        for _ in 0..next() % 20 {
            let at = next() as usize % bytes.len();
            bytes[at] = next() as u8;
        }
        bytes.truncate(next() as usize % (bytes.len() + 1));
        let bare = next() % 2 == 0;
        let found = records(vec![stretch(bytes, bare, 0, begins[8].1)], 0, begins[8].1);
        let offsets: Vec<u64> = found.iter().filter_map(|r| Some(r.ok()?.offset())).collect();
        assert!(offsets.windows(2).all(|pair| pair[0] < pair[1]), "seed {seed:#x}");
    }
}

#[test]
fn a_small_read_is_cut_behind_its_first_batch() {
    let (bytes, begins) = frames(10, 6);
    let end = begins[6].1;
    for (from, max_bytes, upto) in [(10, 1, 11), (12, 1, 13), (11, 1, 13), (13, 400, 20), (10, 1 << 20, end)] {
        let mut share = Share {
            topic: "t".into(),
            partition: 4,
            instance: INSTANCE,
            from,
            end,
            stretches: vec![stretch(bytes.clone(), false, 10, end)],
            hidden: Hidden::default(),
            witness: Arc::new(Present),
            seen: (0, 0),
        };
        share.cut(max_bytes);
        assert_eq!(walk(&Records::of(share)), ((from..upto).collect(), vec![]), "from {from} of {max_bytes} bytes");
    }
}

#[test]
fn records_are_cut_to_a_count_and_joined() {
    let (bytes, begins) = frames(10, 4);
    let end = begins[4].1;
    let mut first = records(vec![stretch(bytes.clone(), false, 10, end)], 12, end);
    first.truncate(3);
    assert_eq!((first.count(), first.next_offset("t", 4)), (3, Some(15)));
    first.join(records(vec![stretch(bytes, false, 10, end)], 15, end));
    assert_eq!(walk(&first), ((12..end).collect(), vec![]));
    assert_eq!(first.next_offset("t", 4), Some(end), "the last answer counts");
    first.retain(|topic, partition, next| (topic, partition, next) == ("t", 4, end));
    assert_eq!(walk(&first), ((15..end).collect(), vec![]), "what ends elsewhere goes");
}

/// A batch of ten records, compressed or not; one that is `broken` has a right crc and does not unpack.
#[cfg(feature = "lz4")]
fn compressed(base: u64, compression: Compression, broken: bool) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.compression(compression);
    for i in 0..10 {
        let value = (base + i).to_string();
        let headers = [Header { key: "same in all of them", value: Some(&[7; 100]) }];
        builder.push(&Record::new(value.as_bytes()).headers(&headers), 5).unwrap();
    }
    let mut bytes = builder.finish()[FRAME_HEADER..].to_vec();
    assert_eq!(BatchHeader::read(&bytes).unwrap().compression(), compression as u8);
    if broken {
        // The frame's magic.
        bytes[BATCH_HEADER] ^= 1;
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    }
    put_i64_be(&mut bytes, 0, base as i64);
    bytes
}

#[test]
#[cfg(feature = "lz4")]
fn compressed_batches_are_unpacked_once_by_whoever_walks_first_and_one_that_is_broken_costs_itself() {
    use Compression::{Lz4, None};
    let kinds = [(Lz4, false), (None, false), (Lz4, true), (Lz4, false), (Lz4, true), (None, false), (Lz4, false)];
    let batches: Vec<u8> =
        kinds.iter().zip(0u64..).flat_map(|((codec, broken), n)| compressed(10 * n, *codec, *broken)).collect();
    let all =
        records(vec![stretch(batches.clone(), true, 0, 70), stretch(compressed(70, Lz4, false), true, 70, 80)], 3, 78);
    let expected: Vec<u64> =
        (3..78).filter(|offset| !(20..30).contains(offset) && !(40..50).contains(offset)).collect();
    // Walks that stop anywhere, then whole ones at once from several threads.
    for stop in [0, 1, 7, 8, 30, 31] {
        assert_eq!(all.iter().filter_map(Result::ok).take(stop).count(), stop);
    }
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let (offsets, errors) = walk(&all);
                assert_eq!((offsets, errors.len()), (expected.clone(), 2));
                assert!(
                    errors[0].contains("it is no frame, codec=lz4") && errors[0].contains("batch_end=30"),
                    "{errors:?}"
                );
            });
        }
    });
    let (first, again) = (all.iter().next().unwrap().unwrap(), all.iter().next().unwrap().unwrap());
    assert_eq!(first.value().unwrap().as_ptr(), again.value().unwrap().as_ptr(), "it was unpacked once");
}

#[test]
#[cfg(feature = "lz4")]
fn a_chain_of_many_unpacked_batches_is_let_go_without_deep_calls() {
    let batches: Vec<u8> = (0..20_000).flat_map(|n| compressed(10 * n, Compression::Lz4, false)).collect();
    let all = records(vec![stretch(batches, true, 0, 200_000)], 0, 200_000);
    assert_eq!(all.iter().filter(|record| record.is_ok()).count(), 200_000);
}
