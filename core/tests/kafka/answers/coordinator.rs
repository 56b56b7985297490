//! The coordinator's half of the broker: identities, transactions, committed offsets. What the older protocol says
//! before the first batch (AddPartitionsToTxn, AddOffsetsToTxn) needs no call of the engine: batches and offsets begin
//! a transaction by themselves, as in KIP-890.

use std::time::Duration;

use oncelog::{
    ConsumerOptions, Engine, ErrorKind, GroupMetadata, Identity, Isolation, OffsetAndMetadata, Offsets,
    OpenTransaction, Outcome, Result, TopicPartition,
};
use serde_json::Value;

use super::broker::{name_of, or_error};
use super::case::{number, text};
use super::said::{self, Ids};

/// What is asked of a broker and has no call here, with the reason.
pub const NOT_ASKED: [(&str, &str); 12] = [
    ("add_partitions", "older protocol"),
    ("add_offsets", "older protocol"),
    ("write_txn_marker", "no markers"),
    ("offset_for_leader_epoch", "more than one process"),
    ("delete_records", "a later part"),
    ("delete_group", "a later part"),
    ("offset_delete", "a later part"),
    ("join_group", "a later part"),
    ("sync_group", "a later part"),
    ("heartbeat", "a later part"),
    ("leave_group", "a later part"),
    ("api_versions", "older protocol"),
];

pub struct Coordinator<'a> {
    pub engine: &'a Engine,
    pub ids: &'a mut Ids,
    /// How many hours here are one of Kafka's.
    pub hurry: u64,
}

impl Coordinator<'_> {
    /// The answer, and the identity that it gives.
    pub fn step(&mut self, op: &str, input: &Value) -> (String, Option<Identity>) {
        let said = match op {
            // Kafka's bound on timeouts is a broker's setting, and has a code of its own.
            "init_producer_id" if bad_timeout(input) => "INVALID_TRANSACTION_TIMEOUT".to_owned(),
            "init_producer_id" => return self.given(self.init(input)),
            "end_txn" => {
                let ended = self.end(input);
                if number(input, "version") >= 5 {
                    return self.given(ended);
                }
                // The older protocol goes on with the identity that it has; so do the steps.
                or_error(ended.map(|_| "NONE".to_owned()))
            }
            "txn_offset_commit" if text(input, "group").is_empty() => per_partition(input, "INVALID_GROUP_ID"),
            "txn_offset_commit" => self.send_each(input),
            "offset_commit" => self.commit_each(input),
            "offset_fetch" => self.committed(input),
            "describe_transaction" => or_error(self.describe(input)),
            "describe_producers" => or_error(self.producers(input)),
            other => panic!("a broker does not know {other}"),
        };
        (said, None)
    }

    fn given(&mut self, answer: Result<Identity>) -> (String, Option<Identity>) {
        let identity = answer.as_ref().ok().copied();
        let said = answer.map(|given| format!("NONE {} epoch={}", self.ids.name(given.producer_id), given.epoch));
        (or_error(said), identity)
    }

    fn init(&self, input: &Value) -> Result<Identity> {
        let timeout = u64::try_from(number(input, "timeout_ms")).unwrap_or(0) * self.hurry;
        let current = identity(input);
        let id = input["transactional_id"].as_str();
        let current = (id.is_some() && current.producer_id >= 0).then_some(current);
        self.engine.init_producer(id, Duration::from_millis(timeout), current)
    }

    fn end(&self, input: &Value) -> Result<Identity> {
        let outcome = if input["commit"] == true { Outcome::Commit } else { Outcome::Abort };
        self.engine.end_transaction(identity(input), outcome)
    }

    fn send_each(&self, input: &Value) -> String {
        let group = GroupMetadata { group: text(input, "group").to_owned() };
        each(input, |one| self.engine.send_offsets(identity(input), &group, one))
    }

    fn commit_each(&self, input: &Value) -> String {
        each(input, |one| {
            let consumer = self.engine.consumer(ConsumerOptions::new().group(text(input, "group")))?;
            consumer.commit_offsets(one)
        })
    }

    fn committed(&self, input: &Value) -> String {
        let isolation =
            if input["require_stable"] == true { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let options = ConsumerOptions::new().group(text(input, "group")).isolation(isolation);
        let consumer = match self.engine.consumer(options) {
            Ok(consumer) => consumer,
            Err(error) => return name_of(&error),
        };
        let partitions = input["partitions"].as_array().into_iter().flatten().map(|name| name.as_str().unwrap());
        let said = partitions.map(|name| match consumer.committed(&partition(name)) {
            Ok(offset) => format!("{name} NONE {}", offset.map_or(-1, |offset| offset as i64)),
            // Of a partition that does not exist nothing was committed.
            Err(error) if error.kind() == ErrorKind::UnknownTopicOrPartition => format!("{name} NONE -1"),
            Err(error) => format!("{name} {} -1", name_of(&error)),
        });
        said.collect::<Vec<_>>().join(", ")
    }

    fn describe(&mut self, input: &Value) -> Result<String> {
        let id = text(input, "transactional_id");
        let open = self.engine.describe_transactions()?;
        let Some(open) = open.iter().find(|open| open.transactional_id == id) else {
            return Ok("not open".to_owned());
        };
        let OpenTransaction { identity, timeout, partitions, .. } = open;
        let timeout = timeout.map_or(0, |timeout| timeout.as_millis() as i64) / self.hurry as i64;
        let partitions: Vec<_> = partitions.keys().map(|p| format!("{}/{}", p.topic, p.partition)).collect();
        let id = self.ids.name(identity.producer_id);
        Ok(said::described("Ongoing", &id, identity.epoch.into(), timeout, &partitions))
    }

    fn producers(&mut self, input: &Value) -> Result<String> {
        let partition = self.engine.partition(text(input, "topic"), number(input, "partition") as u32)?;
        let said = partition.producers()?.into_iter().map(|producer| {
            let id = self.ids.name(producer.identity.producer_id);
            let sequence = producer.last_sequence.map_or(-1, i64::from);
            let open = producer.transaction_start_offset.map_or(-1, |offset| offset as i64);
            let timed = producer.last_timestamp.is_some();
            said::producing(&id, producer.identity.epoch.into(), sequence, timed, open)
        });
        Ok(said::producers(said.collect()))
    }
}

fn identity(input: &Value) -> Identity {
    Identity { producer_id: number(input, "pid"), epoch: number(input, "epoch") as i16 }
}

/// `topic/3`.
fn partition(name: &str) -> TopicPartition {
    let (topic, number) = name.rsplit_once('/').unwrap();
    TopicPartition::new(topic, number.parse().unwrap())
}

fn offsets(input: &Value) -> Offsets {
    let entry = |(name, offset): (&String, &Value)| {
        let metadata = metadata(input);
        let offset = offset.as_i64().unwrap().cast_unsigned();
        (partition(name), OffsetAndMetadata { offset, leader_epoch: -1, metadata })
    };
    input["offsets"].as_object().into_iter().flatten().map(entry).collect()
}

/// One answer for all partitions of a request, or for the request itself if it names none.
pub fn per_partition(input: &Value, said: &str) -> String {
    let Some(offsets) = input["offsets"].as_object() else { return said.to_owned() };
    offsets.keys().map(|name| format!("{name} {said}")).collect::<Vec<_>>().join(", ")
}

/// Partition by partition, since Kafka leaves out what it refuses and takes the rest.
fn each(input: &Value, commit: impl Fn(&Offsets) -> Result<()>) -> String {
    let offsets = offsets(input);
    let said = input["offsets"].as_object().into_iter().flatten().map(|(name, _)| {
        let partition = partition(name);
        let one = Offsets::from([(partition.clone(), offsets[&partition].clone())]);
        match commit(&one) {
            Err(error) if error.kind() == ErrorKind::LimitExceeded => format!("{name} OFFSET_METADATA_TOO_LARGE"),
            committed => format!("{name} {}", said(committed)),
        }
    });
    said.collect::<Vec<_>>().join(", ")
}

fn said(answer: Result<()>) -> String {
    answer.map_or_else(|error| name_of(&error), |()| "NONE".to_owned())
}

fn bad_timeout(input: &Value) -> bool {
    input["transactional_id"].is_string() && !(1..=900_000).contains(&number(input, "timeout_ms"))
}

/// The cases say `4097 chars` for a long text; what the characters were is told by the answers: one byte, and for the
/// later two of them two and four bytes each.
fn metadata(input: &Value) -> String {
    let said = input["metadata"].as_str().unwrap_or("m");
    match (said, input["offsets"]["c417-a/0"].as_i64()) {
        ("4096 chars", Some(3)) => "m".repeat(4096),
        ("4097 chars", _) => "m".repeat(4097),
        ("4096 chars", _) => "\u{e9}".repeat(4096),
        ("2049 chars", _) => "\u{1f600}".repeat(2049),
        (said, _) => said.to_owned(),
    }
}
