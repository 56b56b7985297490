//! What a checkpoint keeps, and what the loader refuses.

use super::*;
use crate::format::bytes::{Put, put_u32};
use crate::limits::{ENTRIES_PER_HOLD, TOPIC_PARTITIONS_MAX};

/// A log with every table filled, and every kind of entry in it.
fn full() -> Log {
    let mut log = Log::with_raw_producer();
    log.create("names-are-kept", 3);
    let opened = Opened { incarnation: 9, first_number: 100, numbers: 50, first_producer_id: 20, wall_ms: 5 };
    log.apply(&Payload::Opened(opened));
    (0..7).for_each(|n| {
        _ = log.append(0, batch(7, 2, n * 3, 3)).expect("accepted");
    });
    log.replay(1, batch(7, 3, i32::MAX - 1, 4));
    log.open("empty", 21, -1, 0);
    log.open("größe", 22, 4, 32_766);
    let entry =
        OffsetEntry { group: "g", topic: id("t").0, partition: 1, offset: 8, leader_epoch: 4, metadata: "meta" };
    log.transaction(&Gathered {
        producer: (22, 0),
        number: 120,
        position: Some(3),
        parts: vec![(2, 0, 7)],
        offsets: vec![entry, OffsetEntry { group: "other", leader_epoch: -1, metadata: "", ..entry }],
    });
    log
}

#[test]
fn an_empty_state_has_one_part() {
    let state = State::default();
    assert_eq!(state.snapshot().parts(), 1);
    assert_eq!(digest(&reload(&state)), digest(&state));
}

#[test]
fn a_snapshot_keeps_every_field() {
    // testReadWriteSnapshot.
    let log = full();
    let loaded = reload(&log.state);
    assert_eq!((loaded.incarnation, loaded.first_number(), loaded.next_producer_id()), (9, 150, 23));
    assert_eq!(loaded.next_instance(), log.state.next_instance());
    assert!(loaded.topics().eq(log.state.topics()));
    assert!((0..9).all(|instance| loaded.catalog.partition(instance) == log.state.catalog.partition(instance)));
    assert!(loaded.producers().eq(log.state.producers()));
    assert!(loaded.producers.raw.iter().eq(log.state.producers.raw.iter()));
    assert!(loaded.sequences.table.iter().eq(log.state.sequences.table.iter()));
    assert!(loaded.offsets.table.iter().eq(log.state.offsets.table.iter()));
    assert_eq!(loaded.sequences.get(7, 0).map(|entry| entry.batches().len()), Some(5));
    assert_eq!(loaded.sequences.get(7, 1).map(|entry| entry.batches()[0].last_sequence), Some(1));
    let (kept, names) = (loaded.producer("größe").expect("kept"), loaded.topic("names-are-kept"));
    assert_eq!((kept.previous_id, kept.epoch, kept.position), (4, 32_766, Some(3)));
    assert_eq!(names.map(|topic| topic.instances(0).collect()), Some(vec![2, 3, 4]));
}

#[test]
fn a_large_state_is_cut_into_parts_that_hold_few_entries() {
    let mut log = Log::new();
    log.create("wide", 10_000);
    log.create("other", 1);
    for n in 0..3_000u32 {
        log.open("", i64::from(n), -1, 0);
        log.append(n, batch(i64::from(n), 0, 0, 1)).expect("accepted");
        log.commit("group", "wide", n, 1, &"x".repeat(500));
    }
    let parts = digest(&log.state);
    assert!(parts.len() >= 13 + 3_000 * 500 / (64 << 10), "{}", parts.len());
    let largest = parts.iter().map(Vec::len).max().unwrap_or(0);
    assert!(largest < (64 << 10) + 64 * 600, "{largest}");
    reload(&log.state);
}

#[test]
fn a_snapshot_costs_few_pointers_and_is_never_changed() {
    let mut log = Log::new();
    log.create("wide", TOPIC_PARTITIONS_MAX);
    let snapshot = log.state.snapshot();
    let before = digest(&log.state);
    (0..TOPIC_PARTITIONS_MAX).for_each(|instance| {
        _ = log.replay(instance, plain(1));
    });
    log.delete("wide");
    log.state.sweep(usize::MAX);
    assert_eq!(parts(&snapshot), before);
}

#[test]
fn parts_out_of_order_missing_or_of_another_count_are_refused() {
    let mut log = full();
    log.create("wide", 5_000);
    let parts = digest(&log.state);
    assert!(parts.len() > 3);
    assert!(load(&parts[..parts.len() - 1]).is_none(), "the last is missing");
    assert!(load(&parts[1..]).is_none(), "the first is missing");
    assert!(load(&[]).is_none(), "all are missing");
    let mut swapped = parts.clone();
    swapped.swap(1, 2);
    assert!(load(&swapped).is_none());
    let mut twice = parts.clone();
    twice.insert(1, parts[1].clone());
    assert!(load(&twice).is_none());
    let mut other_count = parts.clone();
    put_u32(&mut other_count[1], 12, 99);
    assert!(load(&other_count).is_none());
}

#[test]
fn a_truncated_or_longer_part_is_refused() {
    // testLoadFromEmptySnapshotFile, testLoadFromTruncatedSnapshotFile.
    let part = digest(&full().state).remove(0);
    for len in 0..part.len() {
        assert!(load(&[part[..len].to_vec()]).is_none(), "{len} of {} bytes", part.len());
        let mut claims = part[..len].to_vec();
        if len >= 8 {
            put_u32(&mut claims, 4, u32::try_from(len).expect("small"));
        }
        // Cut between two entries, with every length mended: a section's count still gives it away, and without the
        // whole section what is left must at least fit together.
        if let Some(state) = load(&[claims]) {
            reload(&state);
        }
    }
    let mut longer = part;
    longer.push(0);
    assert!(load(&[longer]).is_none());
}

#[test]
fn a_mutated_part_is_refused_or_gives_a_state_that_holds_together() {
    // testLoadFromCorruptSnapshotFile. The frame's checksum finds every one of these; the loader must survive them.
    let part = digest(&full().state).remove(0);
    let mut refused = 0;
    for at in 0..part.len() {
        for value in [0, 1, 0x7f, 0x80, 0xff, part[at] ^ 1, part[at].wrapping_add(1)] {
            let mut mutated = part.clone();
            mutated[at] = value;
            match load(&[mutated]) {
                None => refused += 1,
                Some(state) => drop(reload(&state)),
            }
        }
    }
    assert!(refused > part.len(), "{refused}");
}

#[test]
fn entries_that_contradict_each_other_are_refused() {
    let head = |next_instance: u32| {
        let mut part = Vec::new();
        part.u32(1).u32(0).u32(1).u32(1).u64(1).u64(1).u64(10).u32(next_instance);
        part
    };
    let finish = |mut part: Vec<u8>| {
        let len = u32::try_from(part.len()).expect("small");
        put_u32(&mut part, 4, len);
        load(&[part]).is_some()
    };
    let topic = |part: &mut Vec<u8>, slot: u32, partitions: u32, name: &str| {
        part.u32(1).u32(1).u32(slot).raw(&id(name).0).u32(partitions).u8(0).u8(0).text(name);
    };
    let partition = |part: &mut Vec<u8>, instance: u32, topic: u32, number: u32| {
        part.u32(2).u32(1).u32(instance).u64(0).u64(0).u32(topic).u32(number);
    };
    let case = |next_instance, build: &dyn Fn(&mut Vec<u8>)| {
        let mut part = head(next_instance);
        build(&mut part);
        finish(part)
    };
    assert!(case(1, &|p| (topic(p, 0, 1, "a"), partition(p, 0, 0, 0)).0), "the sound one");
    assert!(!case(1, &|p| topic(p, 0, 1, "a")), "a partition is missing");
    assert!(!case(1, &|p| partition(p, 0, 0, 0)), "its topic is missing");
    assert!(!case(1, &|p| (topic(p, 0, 1, "a"), partition(p, 0, 0, 1)).0), "number 0 is missing");
    assert!(!case(0, &|p| (topic(p, 0, 1, "a"), partition(p, 0, 0, 0)).0), "an instance that was not given out");
    assert!(!case(1, &|p| (topic(p, 0, 0, "a"), topic(p, 1, 0, "a")).0), "a name twice");
    assert!(!case(1, &|p| (topic(p, 1, 0, "b"), topic(p, 0, 0, "a")).0), "slots descend");
    assert!(!case(1, &|p| (topic(p, 0, 0, "b"), topic(p, 0, 0, "a")).0), "a slot twice");
    assert!(
        !case(1, &|p| {
            _ = p.u32(1).u32(0);
        }),
        "a section without entries"
    );
    assert!(
        !case(1, &|p| {
            _ = p.u32(7).u32(1).u32(0);
        }),
        "an unknown table"
    );
    let raw = |p: &mut Vec<u8>, slot: u32, id: u64| {
        _ = p.u32(3).u32(1).u32(slot).u64(id).u16(0).u32(0).u64(0);
    };
    assert!(case(1, &|p| raw(p, 0, 9)));
    assert!(!case(1, &|p| raw(p, 0, 10)), "an id that was not given out");
    assert!(!case(1, &|p| (raw(p, 0, 9), raw(p, 1, 9)).0), "an id twice");
    assert!(
        !case(1, &|p| {
            _ = p.u32(5).u32(1).u32(0).u64(9).u32(0).u16(0).u32(0);
        }),
        "a sequence of nobody"
    );
    let offset = |p: &mut Vec<u8>| {
        p.u32(6).u32(1).u32(0).raw(&id("a").0).u32(0).u64(0).u32(0).u64(0).text("g").text("");
    };
    assert!(case(1, &|p| (topic(p, 0, 0, "a"), offset(p)).0));
    assert!(!case(1, &offset), "an offset of no topic");
}

#[test]
fn a_part_with_too_many_entries_or_far_slots_costs_little() {
    let raw = |count: u32| {
        let mut part = Vec::new();
        part.u32(1).u32(0).u32(1).u32(1).u64(1).u64(1).u64(u64::from(u32::MAX)).u32(0);
        part.u32(3).u32(count);
        (0..count).for_each(|n| {
            _ = part.u32(n * 4_000_000 + n).u64(u64::from(n)).u16(0).u32(0).u64(0);
        });
        let len = u32::try_from(part.len()).expect("small");
        put_u32(&mut part, 4, len);
        part
    };
    let most = u32::try_from(ENTRIES_PER_HOLD).expect("small");
    assert!(load(&[raw(most)]).is_some());
    assert!(load(&[raw(most + 1)]).is_none());
    let mut claims = raw(1);
    put_u32(&mut claims, 48, u32::MAX);
    assert!(load(&[claims]).is_none(), "a count is no reason to allocate");
}
