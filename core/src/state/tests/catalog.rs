//! Topics and partitions.

use super::*;
use crate::format::control::PartitionsAdded;
use crate::limits::{PARTITIONS_MAX, TOPIC_PARTITIONS_MAX};
use crate::state::catalog::durability_of;
use crate::types::{Durability, OffsetAndMetadata, Offsets, TopicPartition};

fn instances(log: &Log, topic: &str) -> Vec<Instance> {
    log.state.topic(topic).map(|topic| topic.instances(0).collect()).unwrap_or_default()
}

fn refused(result: Result<()>) -> ErrorKind {
    result.expect_err("refused").kind()
}

#[test]
fn a_topic_is_found_by_name_id_and_partition() {
    let mut log = Log::new();
    log.create("a", 2);
    let first = log.create("b", 3);
    let topic = log.state.topic("b").expect("created");
    assert_eq!((&*topic.name, topic.id, instances(&log, "b")), ("b", id("b"), vec![2, 3, 4]));
    assert_eq!(topic.durability(), Some(Durability::Os));
    assert_eq!(log.state.topic_by_id(id("b")), Some(&**topic));
    assert_eq!(log.state.partition_of(first + 1), Some((&**topic, 1)));
    assert_eq!((log.state.start(first), log.state.end(first), log.state.end(5)), (Some(0), Some(0), None));
    assert_eq!(log.state.topics().map(|topic| &*topic.name).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((log.state.live_partitions(), log.state.next_instance()), (5, 5));
}

#[test]
fn levels_have_their_numbers_in_the_frame() {
    for (number, level) in
        [None, Some(Durability::Memory), Some(Durability::Os), Some(Durability::Disk)].iter().enumerate()
    {
        assert_eq!((durability_number(*level) as usize, durability_of(number as u8)), (number, *level));
    }
}

#[test]
fn a_topic_is_refused_for_its_name_and_its_partitions() {
    let mut log = Log::new();
    log.create("a", 1);
    let check =
        |name: &str, partitions| log.state.check_create_topic(name, &TopicOptions::new().partitions(partitions));
    assert!(check("b", 1).is_ok() && check("b", TOPIC_PARTITIONS_MAX).is_ok());
    assert_eq!(refused(check("b/c", 1)), ErrorKind::InvalidArgument);
    assert_eq!(refused(check("a", 1)), ErrorKind::TopicExists);
    assert_eq!(refused(check("b", 0)), ErrorKind::InvalidArgument);
    assert_eq!(refused(check("b", TOPIC_PARTITIONS_MAX + 1)), ErrorKind::LimitExceeded);
    assert_eq!(refused(check("b", u32::MAX)), ErrorKind::LimitExceeded);
    let add = |name: &str, more| log.state.check_add_partitions(name, more);
    assert!(add("a", TOPIC_PARTITIONS_MAX - 1).is_ok());
    assert_eq!(refused(add("a", TOPIC_PARTITIONS_MAX)), ErrorKind::LimitExceeded);
    assert_eq!(refused(add("a", 0)), ErrorKind::InvalidArgument);
    assert_eq!(refused(add("b", 1)), ErrorKind::UnknownTopicOrPartition);
}

#[test]
fn a_full_log_takes_no_partition_until_a_topic_goes() {
    let mut log = Log::new();
    let names: Vec<String> = (0..10).map(|n| format!("t{n}")).collect();
    names.iter().for_each(|name| {
        _ = log.create(name, TOPIC_PARTITIONS_MAX);
    });
    assert_eq!(log.state.live_partitions(), PARTITIONS_MAX);
    assert_eq!(refused(log.state.check_create_topic("x", &TopicOptions::new())), ErrorKind::LimitExceeded);
    let before = digest(&log.state).len();
    log.create("x", 1);
    assert!(log.state.topic("x").is_none(), "a frame past the limits is not followed");
    log.delete("t3");
    log.state.sweep(usize::MAX);
    assert!(log.state.check_create_topic("x", &TopicOptions::new()).is_ok());
    let first = log.create("x", 1);
    assert_eq!(log.state.partition_of(first).map(|(topic, number)| (&*topic.name, number)), Some(("x", 0)));
    assert!(digest(&log.state).len() < before);
    drop(log.reloaded());
}

fn added(topic: &str, first_partition: u32, first_instance: u32, count: u32) -> PartitionsAdded {
    PartitionsAdded { topic: id(topic).0, first_instance, count, first_partition, reserved: 0 }
}

#[test]
fn added_partitions_behind_a_lost_frame_are_left_out_rather_than_misnumbered() {
    let mut log = Log::new();
    log.create("a", 2);
    log.apply(&Payload::PartitionsAdded(added("a", 4, 10, 2)));
    assert_eq!(log.state.topic("a").map(|topic| topic.partitions), Some(2));
    assert_eq!(log.state.next_instance(), 12, "their instances are never given out again");
    assert_eq!(log.state.end(10), None);
}

#[test]
fn added_partitions_follow_the_ones_that_are_there() {
    let mut log = Log::new();
    log.create("a", 2);
    log.create("b", 1);
    let added = added("a", 2, log.state.next_instance(), 2);
    log.apply(&Payload::PartitionsAdded(added));
    let log = log.reloaded();
    assert_eq!(instances(&log, "a"), [0, 1, 3, 4]);
    assert_eq!(log.state.partition_of(4).map(|(topic, number)| (topic.id, number)), Some((id("a"), 3)));
}

#[test]
fn a_deleted_topic_takes_its_partitions_producers_and_offsets_along() {
    let mut log = Log::with_raw_producer();
    let kept = log.create("kept", 1);
    for (group, topic, partition) in [("g", "t", 0), ("g", "t", 1), ("g", "kept", 0), ("h", "t", 0)] {
        log.commit(group, topic, partition, 5, "");
    }
    for instance in [0, 1, kept] {
        log.append(instance, batch(7, 0, 0, 1)).expect("accepted");
    }
    log.delete("t");
    assert_eq!((log.state.end(0), log.state.topic("t"), log.state.live_partitions()), (None, None, 1));
    assert!(log.state.sweep(usize::MAX));
    assert_eq!(log.state.sequences.table.count(), 1);
    assert_eq!(log.state.groups().collect::<Vec<_>>(), ["g"], "a group without offsets is gone");
    assert_eq!(log.state.group_offsets("g").count(), 1);
    let first = log.create("t", 2);
    assert_eq!(first, 3, "instances are never used again");
    assert_eq!(log.append(first, batch(7, 0, 0, 1)).expect("a fresh partition"), Verdict::Accept);
    drop(log.reloaded());
}

#[test]
fn a_topic_created_again_inherits_no_offsets() {
    let mut log = Log::new();
    log.create("t", 1);
    log.commit("g", "t", 0, 5, "");
    log.delete("t");
    let again = TopicCreated { topic: [9; 16], ..created("t", log.state.next_instance(), 1) };
    log.apply(&Payload::TopicCreated(again));
    assert_eq!(log.state.committed("g", TopicId([9; 16]), 0), None);
    log.commit("g", "t", 0, 6, "");
    assert_eq!(log.state.groups().count(), 0, "a late commit for the old id changes nothing");
}

#[test]
fn frames_that_no_check_lets_through_change_nothing_but_the_numbers() {
    let mut log = Log::new();
    log.create("a", 2);
    let same_name = TopicCreated { topic: [1; 16], ..created("a", 10, 1) };
    let same_id = TopicCreated { name: "b", ..created("a", 20, 1) };
    let same_instance = created("c", 1, 1);
    let too_many = created("d", 30, u32::MAX - 30);
    let past_the_end = created("e", u32::MAX, 1);
    for frame in [same_name, same_id, same_instance, past_the_end, too_many] {
        log.apply(&Payload::TopicCreated(frame));
    }
    log.apply(&Payload::PartitionsAdded(added("a", 2, 0, u32::MAX)));
    log.apply(&Payload::PartitionsAdded(added("z", 0, 0, 1)));
    assert_eq!((log.state.topics().count(), log.state.live_partitions()), (1, 2));
    assert_eq!(log.state.next_instance(), u32::MAX, "no instance that a frame named is given out again");
    assert_eq!(refused(log.state.check_create_topic("f", &TopicOptions::new())), ErrorKind::LimitExceeded);
    drop(log.reloaded());
}

#[test]
fn a_commit_is_refused_for_its_group_partition_and_value() {
    let mut log = Log::new();
    log.create("t", 2);
    let check = |group: &str, partition: u32, value: OffsetAndMetadata| {
        log.state.check_commit(group, &Offsets::from([(TopicPartition::new("t", partition), value)]))
    };
    assert!(check("g", 1, OffsetAndMetadata::from(1 << 62)).is_ok(), "whether the offset exists is not asked");
    assert_eq!(refused(check("", 1, 5.into())), ErrorKind::InvalidArgument);
    assert_eq!(refused(check("g", 2, 5.into())), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(refused(check("g", 1, (1 << 63).into())), ErrorKind::InvalidArgument);
    let long = OffsetAndMetadata { metadata: "x".repeat(4_097), ..5.into() };
    assert_eq!(refused(check("g", 1, long)), ErrorKind::LimitExceeded);
    let unknown = Offsets::from([(TopicPartition::new("u", 0), 5.into())]);
    assert_eq!(refused(log.state.check_commit("g", &unknown)), ErrorKind::UnknownTopicOrPartition);
}
