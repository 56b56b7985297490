//! Reads lines, writes what they mean, and remembers how far it came: three times the same job, and the only
//! difference is when the offsets are committed.

use std::path::Path;
use std::time::Duration;

use oncelog::{
    Consumer, ConsumerOptions, Engine, Header, Producer, ProducerOptions, Record, RecordView, Records, TopicPartition,
};

use crate::report::{self, Line};
use crate::rows::Row;
use crate::{Delivery, Fallible};

/// Partitions of `transactions` and `ledger`.
pub const PARTITIONS: u32 = 4;
/// The consumer group whose offsets say how far the worker came.
pub const GROUP: &str = "bank";
/// Rows in one transaction.
const ROWS: u64 = 50;

pub fn run(log: &Path, delivery: Delivery) -> Fallible<()> {
    report::say(Line::Opening)?;
    let engine = Engine::open(log)?;
    let consumer = engine.consumer(ConsumerOptions::new().group(GROUP).max_records(ROWS))?;
    consumer.assign(&input())?;
    report::say(Line::Ready(done(&consumer)?))?;
    match delivery {
        Delivery::ExactlyOnce => exactly_once(&engine, &consumer)?,
        Delivery::AtLeastOnce => at_least_once(&engine, &consumer)?,
        Delivery::AtMostOnce => at_most_once(&engine, &consumer)?,
    }
    engine.close()?;
    report::say(Line::Done)
}

/// One transaction holds the results and the offsets: a crash leaves both or neither. Begun for the consumer, it also
/// puts the consumer back to where it stood when it aborts.
fn exactly_once(engine: &Engine, consumer: &Consumer) -> Fallible<()> {
    let producer = engine.transactional_producer("bank-worker", ProducerOptions::new())?;
    while lag(consumer)? > 0 {
        let mut transaction = producer.begin_transaction_for(consumer)?;
        let records = consumer.poll(Duration::from_secs(1))?;
        let group = done(consumer)?;
        report::say(Line::Begin(group))?;
        for record in &records {
            transform(&record?, |topic, result| transaction.send(topic, result))?;
        }
        report::half(group)?;
        transaction.commit()?;
        report::say(Line::Committed(group))?;
    }
    Ok(())
}

/// Results first, offsets after: killed between the two, the next life does the same lines again.
fn at_least_once(engine: &Engine, consumer: &Consumer) -> Fallible<()> {
    let producer = engine.producer(ProducerOptions::new())?;
    while lag(consumer)? > 0 {
        let records = consumer.poll(Duration::from_secs(1))?;
        let group = done(consumer)?;
        report::say(Line::Begin(group))?;
        write(&producer, &records)?;
        report::half(group)?;
        consumer.commit()?;
        report::say(Line::Committed(group))?;
    }
    Ok(())
}

/// Offsets first, results after: killed between the two, the next life never sees these lines.
fn at_most_once(engine: &Engine, consumer: &Consumer) -> Fallible<()> {
    let producer = engine.producer(ProducerOptions::new())?;
    while lag(consumer)? > 0 {
        let records = consumer.poll(Duration::from_secs(1))?;
        let group = done(consumer)?;
        report::say(Line::Begin(group))?;
        consumer.commit()?;
        report::half(group)?;
        write(&producer, &records)?;
        report::say(Line::Committed(group))?;
    }
    Ok(())
}

/// Writes what the lines mean, outside any transaction, and waits until all of it is on the device.
fn write(producer: &Producer, records: &Records) -> Fallible<()> {
    let mut tickets = Vec::new();
    for record in records {
        transform(&record?, |topic, result| producer.send(topic, result).map(|ticket| tickets.push(ticket)))?;
    }
    producer.flush()?;
    for ticket in tickets {
        ticket.wait()?;
    }
    Ok(())
}

/// A line becomes a posting, and a message if it is a transfer to another bank; or a dead letter that says why not.
fn transform(record: &RecordView<'_>, mut send: impl FnMut(&str, Record<'_>) -> oncelog::Result<()>) -> Fallible<()> {
    let line = record.value().unwrap_or_default();
    let row = match Row::parse(line) {
        Ok(row) => row,
        Err(reason) => {
            let headers = [Header { key: "reason", value: Some(reason.as_bytes()) }];
            return Ok(send("transactions.dlt", Record::new(line).headers(&headers))?);
        }
    };
    let key = row.account.to_string();
    let posting = format!("{};{};{}", row.trans_id, row.account, row.amount);
    send("ledger", Record::new(posting.as_bytes()).key(key.as_bytes()))?;
    if let Some((bank, other)) = row.transfer {
        let transfer = format!("{};{};{};{bank};{other}", row.trans_id, row.account, -row.amount);
        send("transfers", Record::new(transfer.as_bytes()).key(key.as_bytes()))?;
    }
    Ok(())
}

/// The partitions that the worker reads.
pub fn input() -> Vec<TopicPartition> {
    (0..PARTITIONS).map(|partition| TopicPartition::new("transactions", partition)).collect()
}

/// Lines read so far: offsets have no holes, so the positions count them.
fn done(consumer: &Consumer) -> oncelog::Result<u64> {
    input().iter().map(|partition| consumer.position(partition)).sum()
}

/// Lines still to read.
fn lag(consumer: &Consumer) -> oncelog::Result<u64> {
    input().iter().map(|partition| consumer.lag(partition)).sum()
}
