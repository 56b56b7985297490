//! Frames of every kind.

use oncelog::format::batch::BatchHeader;
use oncelog::format::bytes::align8;
use oncelog::format::control::*;
use oncelog::format::decision::{Cause, Decided, Ended, Span};
use oncelog::format::frame::{self, FRAME_HEADER, Kind, Seal};
use oncelog::format::topic_config::TopicConfig;
use oncelog::format::transaction::{Decision, PART, Part, TRANSACTION_HEAD, TransactionHead};
use oncelog::sim::Rng;
use oncelog::{BatchBuilder, Identity, Record, TimestampType};

use crate::files::{BLOCK, block};
use crate::fire;
use crate::meter::in_place;
use crate::mutate::{Sample, damaged};
use crate::sealing::{Home, seal_frame};
use crate::walked::walk;

/// Where the frames of these tests lie.
pub const HOME: Home = Home { seal: Seal { seed: 0x1234_5678 }, position: 8192 };

/// Numbers of a frame's header, and of a batch's.
const HEADER: [usize; 10] = [4, 1, 1, 2, 4, 4, 8, 8, 4, 4];
pub const BATCH: [usize; 13] = [8, 4, 4, 1, 4, 2, 4, 8, 8, 8, 2, 4, 4];

fn framed(kind: Kind, head: &[u8], widths: &[usize], body: &[u8], body_widths: &[usize]) -> Sample {
    let mut bytes = Vec::new();
    frame::encode(&mut bytes, kind, 3, head, body);
    Sample::new(bytes).numbers(0, &HEADER).numbers(FRAME_HEADER, widths).numbers(FRAME_HEADER + head.len(), body_widths)
}

fn batch(value: &[u8], identity: Option<Identity>) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    if let Some(identity) = identity {
        builder.producer(identity, 0).transactional(true);
    }
    for value in [value, b"second"] {
        builder.push(&Record::new(value).key(b"k"), 1_700_000_000_000).unwrap();
    }
    builder.finish()[FRAME_HEADER..].to_vec()
}

/// A records frame of a batch.
pub fn records(batch: &[u8]) -> Sample {
    let mut bytes = vec![0; FRAME_HEADER];
    bytes.extend_from_slice(batch);
    bytes.resize(align8(bytes.len()), 0);
    frame::write_header(&mut bytes, Kind::Records, 0, 61, batch.len() - 61, 3, 0);
    Sample::new(bytes).numbers(0, &HEADER).big_numbers(FRAME_HEADER, &BATCH)
}

fn transaction() -> Sample {
    let offsets = block();
    let (mut head, mut body) = (Vec::new(), Vec::new());
    TransactionHead::encode(&mut head, (8, 2), Decision::Commit, 1234, Some(50), &offsets, 2);
    for (i, (instance, value)) in [(3, &b"one"[..]), (4, b"two")].into_iter().enumerate() {
        let bytes = batch(value, None);
        let part = Part {
            instance,
            len: bytes.len() as u32,
            base_offset: 0,
            batch_crc: BatchHeader::read(&bytes).unwrap().crc,
            leader_epoch: 0,
            last_offset_delta: 1,
        };
        let at = TRANSACTION_HEAD + i * PART;
        part.write(&mut head[at..at + PART]);
        body.extend_from_slice(&bytes);
    }
    let offsets_at = FRAME_HEADER + head.len() + body.len();
    body.extend_from_slice(&offsets);
    let widths = [[8, 2, 1, 1, 4, 8, 8, 4, 4].as_slice(), &[4, 4, 8, 4, 4, 4, 4].repeat(2)].concat();
    framed(Kind::Transaction, &head, &widths, &body, &[])
        .big_numbers(FRAME_HEADER + head.len(), &BATCH)
        .numbers(offsets_at, &BLOCK)
}

fn decision() -> Sample {
    let spans = [Span { instance: 3, first: 0, end: 2 }, Span { instance: 4, first: 5, end: 9 }];
    let decided = Decided {
        producer: (8, 2),
        ended: Ended::Commit,
        cause: Cause::Owner,
        number: 77,
        position: Some(12),
        next: (8, 3),
    };
    let mut head = Vec::new();
    decided.write(&mut head, &spans);
    let widths = [[8, 2, 1, 1, 4, 8, 8, 8, 2, 1, 5].as_slice(), &[4, 4, 8, 8].repeat(2)].concat();
    let mut sample = framed(Kind::Decision, &head, &widths, &block(), &BLOCK);
    sample.fields.retain(|field| field.width != 5);
    sample
}

fn of_topics() -> Vec<Sample> {
    let created = TopicCreated {
        topic: *b"topic of a group",
        first_instance: 3,
        partitions: 2,
        durability: 3,
        partition_kind: 0,
        name: "orders",
        config: TopicConfig { timestamp_type: TimestampType::LogAppendTime },
    };
    let (mut head, mut body) = (Vec::new(), Vec::new());
    created.write(&mut head, &mut body);
    let created = framed(Kind::TopicCreated, &head, &[8, 8, 4, 4, 1, 1, 2, 4], &body, &[2, 8, 2]);
    let (mut head, topic) = (Vec::new(), *b"topic of a group");
    PartitionsAdded { topic, first_instance: 5, count: 2, first_partition: 2, reserved: 0 }.write(&mut head);
    let added = framed(Kind::PartitionsAdded, &head, &[8, 8, 4, 4, 4, 4], &[], &[]);
    let mut head = Vec::new();
    TopicDeleted { topic }.write(&mut head);
    vec![created, added, framed(Kind::TopicDeleted, &head, &[8, 8], &[], &[])]
}

fn of_producers() -> Vec<Sample> {
    let opened = |producer_id, name| {
        let opened = ProducerOpened { producer_id, previous_id: -1, epoch: 2, last_epoch: 1, timeout_ms: 60_000, name };
        let (mut head, mut body) = (Vec::new(), Vec::new());
        opened.write(&mut head, &mut body);
        framed(Kind::ProducerOpened, &head, &[8, 8, 2, 2, 4], &body, &[2])
    };
    let gone = |kind| {
        let mut head = Vec::new();
        ProducerDeleted { producer_id: 8 }.write(&mut head);
        framed(kind, &head, &[8], &[], &[])
    };
    let mut head = Vec::new();
    Begun { producer_id: 8, epoch: 2, flags: 3, timeout_ms: 60_000, number: 77, wall_ms: 5 }.write(&mut head);
    let begun = framed(Kind::Begun, &head, &[8, 2, 2, 4, 8, 8], &[], &[]);
    let mut head = Vec::new();
    PendingHead { number: 77, producer_id: 8 }.write(&mut head);
    let pending = framed(Kind::PendingOffsets, &head, &[8, 8], &block(), &BLOCK);
    let (deleted, expired) = (gone(Kind::ProducerDeleted), gone(Kind::ProducerExpired));
    vec![opened(8, "mover"), opened(9, ""), opened(8, "other"), begun, pending, deleted, expired]
}

fn of_the_journal() -> Vec<Sample> {
    let place = Place { segment: 1, position: 8192 };
    let of = |kind, write: &dyn Fn(&mut Vec<u8>), widths: &[usize]| {
        let mut head = Vec::new();
        write(&mut head);
        framed(kind, &head, widths, &[], &[])
    };
    let link = Link { segment: 1, end: 9000, lsn: 5, incarnation: 2, checkpoint: place, ..Link::default() };
    let opened = Opened { incarnation: 3, first_number: 1, numbers: 1 << 32, first_producer_id: 4, wall_ms: 5 };
    let recovered = Recovered { incarnation: 3, durable_lsn: 4, last_lsn: 6, ..Recovered::default() };
    let replaced = Replaced { segment: 1, old_generation: 0, new_generation: 1, salt: 4, size: 65_536 };
    let retired = Retired { segment: 1, generation: 0, reserved: 0 };
    let part = CheckpointHead { lsn: 5, part: 1, parts: 1, next: place, previous: Place::default() };
    vec![
        of(Kind::Link, &|to| link.write(to), &[8, 4, 4, 8, 8, 4, 4, 8, 8, 8, 8, 8, 8, 8]),
        of(Kind::Opened, &|to| opened.write(to), &[8; 5]),
        of(Kind::Recovered, &|to| recovered.write(to), &[8; 7]),
        of(Kind::Replaced, &|to| replaced.write(to), &[8, 4, 4, 8, 8]),
        of(Kind::Retired, &|to| retired.write(to), &[8, 4, 4]),
        of(Kind::Checkpoint, &|to| part.write(to), &[8, 4, 4, 8, 8, 8, 8]),
        framed(Kind::Mark, &[], &[], &[], &[]),
        framed(Kind::Offsets, &[], &[], &block(), &BLOCK),
    ]
}

/// A frame of every kind, of some kinds several.
pub fn samples() -> Vec<Sample> {
    let identity = Identity { producer_id: 8, epoch: 2 };
    let mut all = vec![records(&batch(b"plain", None)), records(&batch(b"open", Some(identity)))];
    all.extend([transaction(), decision()]);
    all.extend(of_topics());
    all.extend(of_producers());
    all.extend(of_the_journal());
    all
}

/// A damaged frame whose checksums are right, mostly.
pub fn hostile(rng: &mut Rng, samples: &[Sample]) -> Vec<u8> {
    let mut bytes = damaged(rng, samples);
    if rng.chance(15, 16) {
        let agree = rng.chance(2, 3);
        seal_frame(&mut bytes, HOME, agree);
    }
    bytes
}

#[test]
fn frames_of_every_kind_and_any_content_are_read_or_refused_in_place() {
    let samples = samples();
    let kinds: std::collections::BTreeSet<u8> = samples.iter().map(|sample| sample.bytes[4]).collect();
    assert_eq!(kinds.len(), (0..=255).filter(|number| Kind::of(*number).is_some()).count(), "one of every kind");
    for sample in &samples {
        let mut bytes = sample.bytes.clone();
        seal_frame(&mut bytes, HOME, false);
        assert!(walk(&bytes, HOME).is_some(), "what is not damaged is read: kind {}", bytes[4]);
    }
    fire("frames_of_every_kind_and_any_content_are_read_or_refused_in_place", 40_000, |rng| {
        let bytes = hostile(rng, &samples);
        in_place(|| walk(&bytes, HOME)).is_some()
    });
}

#[test]
fn every_kind_is_cut_and_lengthened_at_every_byte() {
    for sample in samples() {
        for end in 0..=sample.bytes.len() + 64 {
            let mut bytes = sample.bytes.clone();
            bytes.resize(end, 0);
            seal_frame(&mut bytes, HOME, true);
            in_place(|| walk(&bytes, HOME));
            // The lengths of head and body shrink and grow with it.
            for (at, other) in [(8, 12), (12, 8)] {
                let mut bytes = bytes.clone();
                if bytes.len() >= FRAME_HEADER {
                    let rest = bytes.len() - FRAME_HEADER;
                    let kept = (u32::from_le_bytes(bytes[other..other + 4].try_into().unwrap()) as usize).min(rest);
                    bytes[other..other + 4].copy_from_slice(&(kept as u32).to_le_bytes());
                    bytes[at..at + 4].copy_from_slice(&((rest - kept) as u32).to_le_bytes());
                }
                bytes.resize(align8(bytes.len()), 0);
                seal_frame(&mut bytes, HOME, true);
                in_place(|| walk(&bytes, HOME));
            }
        }
    }
}
