//! Everything that can be asked of a log whose bytes mean harm. What it answers is right or wrong, nobody knows; but it
//! ends, goes forward, and its errors are typed.

use std::time::Duration;

use oncelog::{
    Batch, ConsumerOptions, Engine, Error, ErrorKind, GroupMetadata, Isolation, Offset, Offsets, Outcome, Partition,
    ProducerOptions, ReadOptions, Record, Result, TopicPartition,
};

/// Topics, partitions and transactions that are asked, of more.
const MOST: usize = 6;
/// Reads until a partition is at its end: each goes on by an offset at least, and most by thousands.
const STEPS: usize = 3_000;

/// An answer that hostile bytes may give. No fault was planned, so nothing may be poisoned, and nothing is our fault.
pub fn end<T>(answer: Result<T>) -> Option<T> {
    answer.map_err(check).ok()
}

fn check(error: Error) {
    let ours = [ErrorKind::Internal, ErrorKind::Poisoned, ErrorKind::Indeterminate, ErrorKind::Io];
    assert!(!ours.contains(&error.kind()), "{error}: {error:?}");
    assert!(!error.message().is_empty());
}

/// Asks everything; unless the log is only read, writes too. True if it takes what is written.
pub fn ask(engine: &Engine, read_only: bool) -> bool {
    let topics = end(engine.topics()).unwrap_or_default();
    for topic in topics.iter().take(MOST) {
        let numbers = (0..topic.partitions).take(MOST).chain(topic.partitions.checked_sub(1));
        for number in numbers {
            if let Some(partition) = end(engine.partition(&topic.name, number)) {
                look(&partition);
                offsets(engine, &TopicPartition::new(&topic.name, number));
            }
        }
    }
    for open in end(engine.describe_transactions()).unwrap_or_default().iter().take(MOST) {
        end(engine.transaction_status(open.number));
    }
    for number in [0, 1, 3, u64::MAX] {
        end(engine.transaction_status(number));
    }
    end(engine.verify());
    engine.digest();
    !read_only && write(engine, topics.first().map(|topic| topic.name.as_str()))
}

fn look(partition: &Partition) {
    let bounds = partition.bounds();
    assert!(bounds.start <= bounds.stable && bounds.stable <= bounds.end, "{bounds:?}");
    for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
        walk(partition, bounds.start, isolation);
        let from = bounds.end.saturating_sub(3).max(bounds.start);
        walk(partition, from, isolation);
    }
    for timestamp in [-1, 0, 1_700_000_000_500, i64::MAX] {
        end(partition.offset_at(timestamp));
    }
    end(partition.max_timestamp());
    end(partition.producers());
}

/// Reads to the end: each read goes on, each record lies behind the one before.
fn walk(partition: &Partition, from: Offset, isolation: Isolation) {
    let (mut at, mut steps) = (from, 0);
    while let Some(records) = end(partition.read(at, ReadOptions::new().isolation(isolation).max_bytes(20_000))) {
        let next = records.next_offset(partition.topic(), partition.number()).unwrap();
        assert!(next >= at, "a read from {at} ends at {next}");
        let mut due = at;
        for record in &records {
            if let Some(record) = end(record) {
                assert!(
                    (due..next).contains(&record.offset()),
                    "{} is shown between {due} and {next}",
                    record.offset()
                );
                due = record.offset() + 1;
                record.headers().for_each(|header| _ = end(header));
            }
        }
        records.count();
        steps += 1;
        assert!(steps < STEPS, "{steps} reads from {from} to {next} of {:?}", partition.bounds());
        if next == at {
            return;
        }
        at = next;
    }
}

fn offsets(engine: &Engine, place: &TopicPartition) {
    for group in ["billing", "readers"] {
        for isolation in [Isolation::ReadCommitted, Isolation::ReadUncommitted] {
            let options = ConsumerOptions::new().group(group).isolation(isolation);
            let Some(consumer) = end(engine.consumer(options)) else { continue };
            end(consumer.committed(place));
            if end(consumer.assign(std::slice::from_ref(place))).is_some() {
                (0..3).for_each(|_| drop(end(consumer.poll(Duration::ZERO))));
                end(consumer.lag(place));
            }
        }
    }
}

fn write(engine: &Engine, topic: Option<&str>) -> bool {
    for open in end(engine.describe_transactions()).unwrap_or_default().iter().take(MOST) {
        end(engine.abort_transaction(open.number));
    }
    let group = GroupMetadata { group: "readers".into() };
    if let Some(identity) = end(engine.init_producer(Some("broker"), Duration::from_secs(60), None)) {
        let read = topic.map(|topic| (TopicPartition::new(topic, 0), 1.into()));
        end(engine.send_offsets(identity, &group, &Offsets::from_iter(read)));
        end(engine.end_transaction(identity, Outcome::Commit));
    }
    if let Some(keeper) = end(engine.transactional_producer("keeper", ProducerOptions::new().transaction_buffer(0))) {
        keeper.position();
        if let (Some(mut transaction), Some(topic)) = (end(keeper.begin_transaction()), topic) {
            end(transaction.send(topic, Record::new(b"behind")));
            end(transaction.commit());
        }
    }
    if let Some(partition) = topic.and_then(|topic| end(engine.partition(topic, 0))) {
        append(&partition);
    }
    let written = end(engine.create_topic("another", Default::default())).is_some();
    end(engine.drive());
    end(engine.flush());
    written
}

fn append(partition: &Partition) {
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"behind"), 1).unwrap();
    if let Some(ticket) = end(partition.append(&batch.build().unwrap())) {
        end(ticket.wait());
    }
}
