//! Batches that Apache Kafka wrote, byte for byte: they decode to what Kafka says they hold, our own encoder writes the
//! same bytes, and no damage to them goes unseen. Where they come from: data/README.md.

#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};

use base64::Engine as _;
use oncelog::Compression;
use oncelog::format::batch::{BATCH_HEADER, Batch, BatchBuilder, BatchHeader};
use oncelog::format::compression::unpack_records;
use oncelog::format::partitioner::{murmur2, partition_for_key};
use oncelog::format::record::{self, Header, Record, RecordIter};
use oncelog::types::Identity;
use serde_json::Value;

/// Offset 0, timestamps 1000 and 1001, no producer: (k, v) and (null, w, header h = x).
const A: &str = "\
    000000000000000000000046000000000270e7865100000000000100000000000003e800000000000003e9ffffffffffffff\
    ffffffffffffff0000000210000000026b027600160002020102770202680278";
/// Offset 5, transactional, producer 1, epoch 0, sequence 0: (k, v) at 1000.
const B: &str = "\
    00000000000000050000003a000000000258547b6900100000000000000000000003e800000000000003e800000000000000\
    010000000000000000000110000000026b027600";
/// Offset 6, producer 1, epoch 0, timestamp 2000, coordinator epoch 0.
const COMMIT: &str = "\
    00000000000000060000004200000000029a0c66ce00300000000000000000000007d000000000000007d000000000000000\
    010000ffffffff000000012000000008000000010c00000000000000";
/// The same with the other decision.
const ABORT: &str = "\
    00000000000000060000004200000000026e32b08600300000000000000000000007d000000000000007d000000000000000\
    010000ffffffff000000012000000008000000000c00000000000000";

struct Golden {
    label: String,
    bytes: Vec<u8>,
    header: BatchHeader,
    records: Vec<Owned>,
}

#[derive(Debug, PartialEq)]
struct Owned {
    offset: u64,
    timestamp: i64,
    key: Option<Vec<u8>>,
    value: Option<Vec<u8>>,
    headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Owned {
    fn new(offset: u64, timestamp: i64, key: Option<&[u8]>, value: &[u8]) -> Owned {
        let (key, value) = (key.map(<[u8]>::to_vec), Some(value.to_vec()));
        Owned { offset, timestamp, key, value, headers: Vec::new() }
    }

    fn borrowed(&self) -> Vec<Header<'_>> {
        self.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect()
    }
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn unbase64(value: &Value) -> Option<Vec<u8>> {
    value.as_str().map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap())
}

fn lines(file: &str) -> impl Iterator<Item = Value> {
    file.lines().map(|line| serde_json::from_str(line).unwrap())
}

fn from_logs() -> impl Iterator<Item = Golden> {
    lines(include_str!("data/golden-batches.jsonl")).map(|batch| {
        let number = |name: &str| batch[name].as_i64().unwrap();
        let small = |name: &str| i32::try_from(number(name)).unwrap();
        let records = batch["records"].as_array().unwrap().iter().map(|record| Owned {
            offset: record["offset"].as_u64().unwrap(),
            timestamp: record["timestamp"].as_i64().unwrap(),
            key: unbase64(&record["key_b64"]),
            value: unbase64(&record["value_b64"]),
            headers: record["headers"].as_array().unwrap().iter().map(header_of).collect(),
        });
        let header = BatchHeader {
            base_offset: number("base_offset"),
            batch_len: small("size") - 12,
            leader_epoch: small("leader_epoch"),
            magic: i8::try_from(number("magic")).unwrap(),
            crc: u32::try_from(number("crc")).unwrap(),
            attributes: i16::try_from(number("attributes")).unwrap(),
            last_offset_delta: i32::try_from(number("last_offset") - number("base_offset")).unwrap(),
            base_timestamp: number("base_timestamp"),
            max_timestamp: number("max_timestamp"),
            producer_id: number("producer_id"),
            epoch: i16::try_from(number("producer_epoch")).unwrap(),
            base_sequence: small("base_sequence"),
            count: small("count"),
        };
        assert_eq!(header.is_transactional(), batch["transactional"]);
        assert_eq!(header.is_control(), batch["control"]);
        assert_eq!(header.has_delete_horizon(), batch["delete_horizon"]);
        assert_eq!(header.is_log_append_time(), batch["timestamp_type"] == "LogAppendTime");
        Golden {
            label: batch["label"].as_str().unwrap().to_owned(),
            bytes: unhex(batch["hex"].as_str().unwrap()),
            header,
            records: records.collect(),
        }
    })
}

fn header_of(pair: &Value) -> (String, Option<Vec<u8>>) {
    (pair[0].as_str().unwrap().to_owned(), unbase64(&pair[1]))
}

fn vectors() -> [Golden; 4] {
    let a = BatchHeader {
        base_offset: 0,
        batch_len: 70,
        leader_epoch: 0,
        magic: 2,
        crc: 0x70e7_8651,
        attributes: 0,
        last_offset_delta: 1,
        base_timestamp: 1000,
        max_timestamp: 1001,
        producer_id: -1,
        epoch: -1,
        base_sequence: -1,
        count: 2,
    };
    let one = BatchHeader { last_offset_delta: 0, max_timestamp: 1000, producer_id: 1, epoch: 0, count: 1, ..a };
    let b = BatchHeader { base_offset: 5, batch_len: 58, crc: 0x5854_7b69, attributes: 16, base_sequence: 0, ..one };
    let (base_timestamp, max_timestamp) = (2000, 2000);
    let marker = BatchHeader { base_offset: 6, batch_len: 66, attributes: 48, base_timestamp, max_timestamp, ..one };
    let commit = BatchHeader { crc: 0x9a0c_66ce, ..marker };
    let abort = BatchHeader { crc: 0x6e32_b086, ..marker };
    let mut with_header = Owned::new(1, 1001, None, b"w");
    with_header.headers.push(("h".to_owned(), Some(b"x".to_vec())));
    let decision = |kind: u8| vec![Owned::new(6, 2000, Some(&[0, 0, 0, kind]), &[0; 6])];
    [
        ("A", A, a, vec![Owned::new(0, 1000, Some(b"k"), b"v"), with_header]),
        ("B", B, b, vec![Owned::new(5, 1000, Some(b"k"), b"v")]),
        ("COMMIT", COMMIT, commit, decision(1)),
        ("ABORT", ABORT, abort, decision(0)),
    ]
    .map(|(label, hex, header, records)| Golden { label: label.to_owned(), bytes: unhex(hex), header, records })
}

fn golden() -> Vec<Golden> {
    vectors().into_iter().chain(from_logs()).collect()
}

/// Decodes a stored batch; `None` if anything about it is wrong.
fn decode(bytes: &[u8]) -> Option<(BatchHeader, Vec<Owned>)> {
    let header = BatchHeader::read(bytes)?;
    let (head, body) = bytes.split_at(BATCH_HEADER);
    if !header.covers(head, body) {
        return None;
    }
    let unpacked = unpack_records(&header, body).ok()?;
    let records = RecordIter::unpacked(&header, &unpacked).map(|record| {
        let record = record.ok()?;
        let headers = record.headers().map(|header| {
            let header = header.ok()?;
            Some((header.key.to_owned(), header.value.map(<[u8]>::to_vec)))
        });
        Some(Owned {
            offset: record.offset,
            timestamp: record.timestamp,
            key: record.key.map(<[u8]>::to_vec),
            value: record.value.map(<[u8]>::to_vec),
            headers: headers.collect::<Option<_>>()?,
        })
    });
    Some((header, records.collect::<Option<_>>()?))
}

#[test]
fn every_batch_decodes_to_what_kafka_says() {
    let mut kinds = BTreeMap::new();
    for batch in golden() {
        let (header, records) = decode(&batch.bytes).unwrap_or_else(|| panic!("{} does not decode", batch.label));
        assert_eq!(header, batch.header, "{}", batch.label);
        assert_eq!(records, batch.records, "{}", batch.label);
        assert_eq!(header.size(), batch.bytes.len(), "{}", batch.label);
        *kinds.entry(header.attributes).or_insert(0) += 1;
    }
    // 0 plain, 1 to 4 compressed, 11 lz4 with append time, 16 transactional, 48 marker, 64 and 112 with delete horizon.
    let compressed = [(1, 2), (2, 2), (3, 2), (4, 1), (11, 1)];
    assert_eq!(kinds, compressed.into_iter().chain([(0, 15), (16, 4), (48, 5), (64, 2), (112, 1)]).collect());
}

/// What `BatchBuilder` makes of the batch's records, placed where the log placed it.
fn built(batch: &Golden) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    let BatchHeader { producer_id, epoch, base_sequence, base_offset, leader_epoch, .. } = batch.header;
    builder.producer(Identity { producer_id, epoch }, base_sequence).transactional(batch.header.is_transactional());
    builder.compression(Compression::of(batch.header.compression()).unwrap());
    for owned in &batch.records {
        let headers = owned.borrowed();
        let mut record = Record::default().headers(&headers);
        (record.key, record.value) = (owned.key.as_deref(), owned.value.as_deref());
        builder.push(&record, owned.timestamp).unwrap();
    }
    let batch = builder.build().unwrap();
    let mut bytes = batch.as_bytes().to_vec();
    BatchHeader { base_offset, leader_epoch, ..*batch.header() }.write(&mut bytes);
    bytes
}

/// The batch from its header's fields and its records: for markers and for what a compaction left.
fn assembled(batch: &Golden) -> Vec<u8> {
    let mut bytes = vec![0; BATCH_HEADER];
    batch.header.write(&mut bytes);
    for owned in &batch.records {
        let headers = owned.borrowed();
        let mut record = Record::default().headers(&headers);
        (record.key, record.value) = (owned.key.as_deref(), owned.value.as_deref());
        let delta = i32::try_from(owned.offset as i64 - batch.header.base_offset).unwrap();
        record::encode(&mut bytes, &record, owned.timestamp - batch.header.base_timestamp, delta);
    }
    bytes
}

/// True if a client may have sent the batch as it is.
fn is_from_client(header: &BatchHeader) -> bool {
    let whole = header.count > 0 && header.count == header.last_offset_delta + 1;
    whole && !header.is_control() && !header.has_delete_horizon() && !header.is_log_append_time()
}

#[test]
fn every_batch_is_encoded_to_the_same_bytes() {
    let mut by_builder = 0;
    for batch in golden().iter().filter(|batch| batch.header.compression() == 0) {
        assert_eq!(assembled(batch), batch.bytes, "{}", batch.label);
        if is_from_client(&batch.header) {
            assert_eq!(built(batch), batch.bytes, "{}", batch.label);
            by_builder += 1;
        }
    }
    assert_eq!(by_builder, 19 - 2, "all plain and transactional batches but the two that compaction thinned");
}

#[test]
fn records_that_kafka_compressed_come_back_from_our_own_compression_too() {
    let mut codecs = Vec::new();
    for batch in golden().iter().filter(|batch| batch.header.compression() != 0) {
        let bytes = built(batch);
        let (header, records) = decode(&bytes).unwrap_or_else(|| panic!("{} does not come back", batch.label));
        let dense = batch.records.iter().zip(0..).map(|(record, n)| (n + batch.header.base_offset as u64, record));
        for ((offset, record), ours) in dense.zip(&records) {
            let timestamp = ours.timestamp;
            assert_eq!((offset, &record.key, &record.value), (ours.offset, &ours.key, &ours.value), "{}", batch.label);
            assert_eq!((record.timestamp, &record.headers), (timestamp, &ours.headers), "{}", batch.label);
        }
        assert_eq!(records.len(), batch.records.len());
        codecs.push((header.compression(), records.len() > 1));
    }
    // One short record is larger when it is compressed, and stays as it is.
    codecs.sort_unstable();
    assert_eq!(codecs.iter().filter(|(codec, _)| *codec == 0).count(), 4);
    assert!([(1, true), (2, true), (3, true)].iter().all(|many| codecs.contains(many)));
}

#[test]
fn a_batch_that_a_client_sent_is_taken_with_base_offset_0_and_no_other_is() {
    for mut batch in golden() {
        // Neither the base offset nor the leader epoch is in the crc: this is the batch as the client sent it.
        BatchHeader { base_offset: 0, leader_epoch: -1, ..batch.header }.write(&mut batch.bytes);
        match Batch::from_bytes(&batch.bytes) {
            Ok(taken) if batch.header.is_log_append_time() => {
                assert!(!taken.header().is_log_append_time() && taken.as_bytes() != batch.bytes, "{}", batch.label);
            }
            Ok(taken) => assert!(is_from_client(&batch.header) && taken.as_bytes() == batch.bytes, "{}", batch.label),
            Err(error) => assert!(!is_from_client(&batch.header), "{}: {error}", batch.label),
        }
    }
}

#[test]
fn a_change_of_any_single_byte_from_the_crc_on_is_detected() {
    for batch in golden() {
        for at in 17..batch.bytes.len() {
            let mut bytes = batch.bytes.clone();
            for mask in (0..8).map(|bit| 1 << bit).chain([0xff]) {
                bytes[at] = batch.bytes[at] ^ mask;
                assert!(decode(&bytes).is_none(), "{} byte {at} mask {mask:#x}", batch.label);
                assert!(Batch::from_bytes(&bytes).is_err(), "{} byte {at} mask {mask:#x}", batch.label);
            }
        }
    }
}

#[test]
fn a_batch_cut_at_any_length_is_refused() {
    for batch in golden() {
        for end in 0..batch.bytes.len() {
            let bytes = &batch.bytes[..end];
            assert!(decode(bytes).is_none(), "{} cut at {end}", batch.label);
            assert!(Batch::from_bytes(bytes).is_err(), "{} cut at {end}", batch.label);
            if let Some(body) = bytes.get(BATCH_HEADER..) {
                let unpacked = unpack_records(&batch.header, body);
                // Of a stream of blocks the empty one is whole too.
                let some = unpacked.is_ok_and(|records| !records.is_empty());
                let plain = batch.header.compression() == 0 && !body.is_empty();
                assert_eq!(some, plain, "{} cut at {end}", batch.label);
                let last = RecordIter::new(&batch.header, body).last();
                assert!(last.is_some_and(|record| record.is_err()), "{} cut at {end}, crc aside", batch.label);
            }
        }
    }
}

#[test]
fn every_key_goes_where_kafka_sends_it() {
    let mut keys = 0;
    for case in lines(include_str!("data/murmur2.jsonl")) {
        let key = unbase64(&case["key_b64"]).unwrap();
        assert_eq!(i64::from(murmur2(&key)), case["murmur2"], "{case}");
        assert_eq!(murmur2(&key) & i32::MAX, case["to_positive"], "{case}");
        for (partitions, name) in [(1, "p1"), (3, "p3"), (7, "p7"), (100, "p100")] {
            assert_eq!(partition_for_key(&key, partitions), case[name], "{case}");
        }
        keys += 1;
    }
    assert_eq!(keys, 200);
}

/// Numbers that repeat with their seed (splitmix64).
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

fn mutate(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    const EDGES: [u8; 8] = [0, 1, 2, 0x7f, 0x80, 0x81, 0xfe, 0xff];
    let at = rng.below(bytes.len());
    match rng.below(7) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        2 if at < bytes.len() => bytes[at] = EDGES[rng.below(8)],
        3 => bytes.insert(at, rng.next() as u8),
        4 if at < bytes.len() => drop(bytes.remove(at)),
        5 => bytes.truncate(at),
        _ => {
            let from = rng.below(other.len());
            let piece = &other[from..(from + rng.below(40)).min(other.len())];
            bytes.splice(at..(at + rng.below(40)).min(bytes.len()), piece.iter().copied());
        }
    }
}

/// Makes length and crc right again, so that what lies behind those checks is reached.
fn mend(rng: &mut Rng, bytes: &mut [u8]) {
    let len = bytes.len();
    if len < BATCH_HEADER {
        return;
    }
    bytes[8..12].copy_from_slice(&((len - 12) as u32).to_be_bytes());
    if rng.below(4) != 0 {
        bytes[..8].fill(0);
        bytes[16] = 2;
    }
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

#[test]
fn random_damage_never_panics_and_what_is_taken_can_be_read() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("SEED is a number"),
        Err(_) => RandomState::new().hash_one(0),
    };
    println!("seed={seed}, to repeat: SEED={seed} cargo test -p oncelog --test golden_batches random_damage");
    let (mut rng, all) = (Rng(seed), golden());
    let mut outcomes = BTreeMap::<_, u32>::new();
    for _ in 0..200_000 {
        let mut bytes = all[rng.below(all.len())].bytes.clone();
        let other = &all[rng.below(all.len())].bytes;
        (0..rng.below(4)).for_each(|_| mutate(&mut rng, &mut bytes, other));
        if rng.below(8) != 0 {
            mend(&mut rng, &mut bytes);
        }
        let outcome = match Batch::from_bytes(&bytes) {
            Ok(batch) => {
                let offsets = batch.records().map(|record| record.unwrap().offset);
                assert!(offsets.eq(0..batch.header().count as u64));
                assert_eq!(Batch::from_bytes(batch.as_bytes()).unwrap(), batch, "what was taken is taken again");
                "taken".to_owned()
            }
            Err(error) => {
                assert!(!error.message().is_empty());
                format!("{:?}", error.kind())
            }
        };
        *outcomes.entry(outcome).or_default() += 1;
        if let Some(header) = BatchHeader::read(&bytes) {
            let body = &bytes[BATCH_HEADER..];
            let read = RecordIter::new(&header, body).flatten();
            let count = read.inspect(|record| assert!(record.headers().count() <= body.len())).count();
            assert!(count <= body.len() / 7, "a record takes 7 bytes at least");
        }
    }
    println!("{outcomes:?}");
    assert!(["taken", "Corrupt", "InvalidRecord"].iter().all(|kind| outcomes.get(*kind).is_some_and(|n| *n > 1000)));
}
