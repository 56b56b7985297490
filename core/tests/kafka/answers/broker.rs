//! A broker as small as can be: it turns what the cases ask into calls of the engine, and holds of its own only what
//! a broker holds beside its log: who may use a transactional id, what `acks` means, the topic's bounds on batches.

use std::collections::BTreeMap;
use std::time::Duration;

use oncelog::sim::World;
use oncelog::{Batch, Engine, Error, Identity, Isolation, ReadOptions, Record, TimestampType, TopicOptions};
use serde_json::{Value, json};

use super::case::{Case, bytes, number, op, text};
use super::coordinator::{Coordinator, NOT_ASKED, per_partition};
use super::said::{self, Ids, Said, partition_name};

/// The name of the code that a client would hear.
pub fn name_of(error: &Error) -> String {
    let code = i64::from(error.kind().kafka_code());
    let errors = include_str!("../../data/kafka-errors.jsonl").lines();
    let mut errors = errors.map(|line| serde_json::from_str::<Value>(line).unwrap());
    text(&errors.find(|error| number(error, "code") == code).unwrap(), "name").to_owned()
}

/// When Kafka's answers were recorded, give or take some minutes.
const RECORDED_MS: i64 = 1_795_224_660_000;

/// An answer, or the name of its error.
pub fn or_error(answer: oncelog::Result<String>) -> String {
    answer.unwrap_or_else(|error| name_of(&error))
}

/// The broker of one case.
pub struct Broker {
    case: u64,
    world: World,
    engine: Option<Engine>,
    /// What the answers so far bound: `p1` is the identity that one gave.
    bound: BTreeMap<String, Identity>,
    /// The same by Kafka's producer id, for batches that came without a word on who sent them.
    by_kafkas_id: BTreeMap<i64, Identity>,
    configs: BTreeMap<String, Value>,
    /// The identity that each transactional id got last: the coordinator's knowledge of who may use it.
    owners: BTreeMap<String, Identity>,
    ids: Ids,
    said: Said,
    /// Where a producer expires after 4 seconds, an hour here is such a part of the engine's day.
    hurry: u64,
}

/// As a broker opens it: transactions stay open over a restart. A day of expiry passes in four of Kafka's seconds, so
/// timeouts are that much longer too.
fn options() -> oncelog::EngineOptions {
    let timeouts = Duration::from_secs(40 * 24 * 3600);
    Engine::options()
        .threads(false)
        .segment_bytes(64 << 10)
        .keep_raw_transactions(true)
        .transaction_timeout_max(timeouts)
}

impl Broker {
    pub fn new(case: &Case) -> Self {
        let world = World::new(case.id);
        let engine = options().open_on(world.machine()).unwrap();
        // In Kafka's cluster id 0 was somebody else's already.
        engine.init_producer(None, Duration::ZERO, None).unwrap();
        let hurry = if case.group == "producer-expiry" { 24 * 3600 / 4 } else { 1 };
        Self {
            case: case.id,
            world,
            engine: Some(engine),
            bound: BTreeMap::new(),
            by_kafkas_id: BTreeMap::new(),
            configs: BTreeMap::new(),
            owners: BTreeMap::new(),
            ids: Ids::default(),
            said: Said::new(case),
            hurry,
        }
    }

    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    /// Asks the engine what a step asks, and says the answer.
    pub fn step(&mut self, step: &Value) -> String {
        let mut input = step["in"].clone();
        self.substitute(&mut input, step);
        let refused = &step["out"]["results"][0]["error"];
        if refused == "OFFSET_METADATA_TOO_LARGE" && input["metadata"].is_null() {
            // The text that was too long was not recorded.
            input["metadata"] = json!("4097 chars");
        }
        match op(step) {
            "create_topic" => self.create_topic(&input),
            "alter_topic" => {
                let most = &input["configs"]["max_message_bytes"];
                self.configs.insert(text(&input, "topic").to_owned(), json!({"max.message.bytes": most.to_string()}));
                "NONE".to_owned()
            }
            "produce" => self.produce(&input),
            "produce_multi" => {
                let parts = input["parts"].as_array().unwrap().clone();
                self.produce_each(&input, &parts)
            }
            "produce_pipelined" => {
                let mut requests = input["requests"].as_array().unwrap().clone();
                requests.iter_mut().for_each(|request| request["partition"] = json!(0));
                self.produce_each(&input, &requests)
            }
            "fetch" => or_error(self.fetch(&input, &step["out"])),
            "list_offsets" => or_error(self.list_offsets(&input)),
            "restart" => self.restart(text(&input, "kind")),
            "sleep" => {
                let nanoseconds = input["seconds"].as_f64().unwrap() * 1e9;
                // In pieces, as time passes for who looks at the clock now and then.
                for _ in 0..8 {
                    self.world.advance(nanoseconds as u64 * self.hurry / 8);
                    self.engine().drive().unwrap();
                }
                String::new()
            }
            "note" => {
                if text(step, "text").ends_with("to epoch 32765") {
                    self.use_epochs_up();
                }
                String::new()
            }
            op if NOT_ASKED.iter().any(|(name, _)| *name == op) => String::new(),
            _ => self.coordinate(step, &input),
        }
    }

    fn coordinate(&mut self, step: &Value, input: &Value) -> String {
        let engine = self.engine.clone().unwrap();
        let asks_for_an_owner = ["end_txn", "txn_offset_commit"].contains(&op(step));
        if asks_for_an_owner && let Err(name) = self.check_owner(input) {
            return per_partition(input, name);
        }
        let mut coordinator = Coordinator { engine: &engine, ids: &mut self.ids, hurry: self.hurry };
        let (answer, identity) = coordinator.step(op(step), input);
        if let (Some(identity), Some(id)) = (identity, input["transactional_id"].as_str()) {
            self.owners.insert(id.to_owned(), identity);
        }
        let (name, id) = (text(&step["out"], "bind"), number(&step["out"], "pid"));
        if let Some(identity) = identity.filter(|_| !name.is_empty()) {
            self.bound.insert(name.to_owned(), identity);
            self.by_kafkas_id.insert(id, identity);
        }
        answer
    }

    /// Refuses a transactional id that nobody has, or that another producer id has: the engine knows names by their
    /// ids, and a request says both.
    fn check_owner(&self, input: &Value) -> Result<(), &'static str> {
        let id = text(input, "transactional_id");
        if id.is_empty() {
            return Err("INVALID_REQUEST");
        }
        match self.owners.get(id) {
            Some(owner) if owner.producer_id == number(input, "pid") => Ok(()),
            _ => Err("INVALID_PRODUCER_ID_MAPPING"),
        }
    }

    /// Kafka's id was brought to its last epochs before the case begins.
    fn use_epochs_up(&self) {
        let id = format!("x{}", self.case);
        let mut epoch = -1;
        while epoch < 32_765 {
            epoch = self.engine().init_producer(Some(&id), Duration::from_secs(60), None).unwrap().epoch;
        }
    }

    /// Puts this engine's identities in the place of Kafka's: `p1.pid`, `p1.epoch+1`.
    fn substitute(&self, input: &mut Value, step: &Value) {
        for (name, symbol) in step["sym"].as_object().into_iter().flatten() {
            let (bound, rest) = symbol.as_str().unwrap().split_once('.').unwrap();
            let Some(identity) = self.bound.get(bound) else { continue };
            let word = rest.trim_end_matches(|c: char| c.is_ascii_digit() || c == '+' || c == '-');
            let shift: i64 = rest[word.len()..].parse().unwrap_or(0);
            let value = if word == "pid" { identity.producer_id } else { i64::from(identity.epoch) };
            input[name] = json!(value + shift);
        }
    }

    fn create_topic(&mut self, input: &Value) -> String {
        let topic = text(input, "topic");
        self.configs.insert(topic.to_owned(), input["configs"].clone());
        let append_time = input["configs"]["message.timestamp.type"] == "LogAppendTime";
        let timestamps = if append_time { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
        let options = TopicOptions::new().partitions(number(input, "partitions") as u32).timestamp_type(timestamps);
        or_error(self.engine().create_topic(topic, options).map(|()| "NONE".to_owned()))
    }

    fn restart(&mut self, kind: &str) -> String {
        if kind == "clean" {
            self.engine().close().unwrap();
        } else {
            self.world.kill();
        }
        self.engine = None;
        self.engine = Some(options().open_on(self.world.machine()).unwrap());
        String::new()
    }

    fn produce_each(&mut self, input: &Value, parts: &[Value]) -> String {
        let answers = parts.iter().map(|part| {
            let mut one = input.clone();
            part.as_object().unwrap().iter().for_each(|(name, value)| one[name] = value.clone());
            self.produce(&one)
        });
        answers.collect::<Vec<_>>().join(", ")
    }

    /// The checks are a broker's, in the order of Kafka's; the batch goes to the engine as it came.
    fn produce(&self, input: &Value) -> String {
        if !(-1..=1).contains(&input["acks"].as_i64().unwrap_or(-1)) {
            return "INVALID_REQUIRED_ACKS".to_owned();
        }
        let topic = text(input, "topic");
        let records = self.with_identity(records(input), input);
        let attributes = records.get(22).copied().unwrap_or(0);
        if attributes & 0x10 != 0 && text(input, "transactional_id").is_empty() {
            return "TRANSACTIONAL_ID_AUTHORIZATION_FAILED".to_owned();
        }
        let mut sender = input.clone();
        if let Some(id) = records.get(43..51) {
            sender["pid"] = json!(i64::from_be_bytes(id.try_into().unwrap()));
        }
        if attributes & 0x10 != 0
            && let Err(name) = self.check_owner(&sender)
        {
            return name.to_owned();
        }
        if topic.starts_with("__") {
            return "INVALID_TOPIC_EXCEPTION".to_owned();
        }
        let Ok(partition) = u32::try_from(number(input, "partition")) else {
            return "UNKNOWN_TOPIC_OR_PARTITION".to_owned();
        };
        let answer = self.engine().partition(topic, partition).and_then(|partition| {
            let bytes = match only_batch(&records) {
                Ok(bytes) => bytes,
                Err(name) => return Ok(name.to_owned()),
            };
            let most = self.config(topic, "max.message.bytes").unwrap_or(i64::MAX);
            let sealed = crc32c::crc32c(&bytes[21..]).to_be_bytes() == bytes[17..21];
            if sealed && bytes.len() as i64 > most {
                return Ok("MESSAGE_TOO_LARGE".to_owned());
            }
            let batch = Batch::from_bytes(bytes)?;
            if !self.in_time(topic, &batch) {
                return Ok("INVALID_TIMESTAMP".to_owned());
            }
            let appended = partition.append(&batch)?.wait()?;
            let timestamp = Some(appended.timestamp).filter(|_| appended.duplicate && !self.append_time(topic));
            Ok(said::appended(appended.first as i64, timestamp))
        });
        or_error(answer)
    }

    fn config(&self, topic: &str, name: &str) -> Option<i64> {
        self.configs.get(topic)?[name].as_str()?.parse().ok()
    }

    fn append_time(&self, topic: &str) -> bool {
        self.configs.get(topic).is_some_and(|c| c["message.timestamp.type"] == "LogAppendTime")
    }

    /// Kafka's bounds on the sender's clock: an hour ahead unless the topic says otherwise.
    fn in_time(&self, topic: &str, batch: &Batch) -> bool {
        if self.append_time(topic) {
            return true;
        }
        let ahead = self.config(topic, "message.timestamp.after.max.ms").unwrap_or(3_600_000);
        let behind = self.config(topic, "message.timestamp.before.max.ms").unwrap_or(i64::MAX / 2);
        let fits = |at: i64| at < 0 || (RECORDED_MS - behind..=RECORDED_MS + ahead).contains(&at);
        batch.records().all(|record| record.is_ok_and(|record| fits(record.timestamp)))
    }

    /// The batches of a request with this engine's producer id and epoch; what was wrong with them stays wrong.
    fn with_identity(&self, mut bytes: Vec<u8>, input: &Value) -> Vec<u8> {
        let mut from = 0;
        while bytes.len() >= from + 61 {
            let length = i32::from_be_bytes(bytes[from + 8..from + 12].try_into().unwrap());
            let end = (from + 12 + usize::try_from(length).unwrap_or(0)).min(bytes.len());
            if end < from + 61 {
                break;
            }
            let batch = &mut bytes[from..end];
            let crc = |batch: &[u8]| crc32c::crc32c(&batch[21..]).to_be_bytes();
            let sealed = batch[17..21] == crc(batch);
            let kafkas = i64::from_be_bytes(batch[43..51].try_into().unwrap());
            let given = Identity { producer_id: number(input, "pid"), epoch: number(input, "epoch") as i16 };
            let here = if input["pid"].is_null() { self.by_kafkas_id.get(&kafkas).copied() } else { Some(given) };
            if let Some(here) = here.filter(|_| kafkas >= 0) {
                batch[43..51].copy_from_slice(&here.producer_id.to_be_bytes());
                batch[51..53].copy_from_slice(&here.epoch.to_be_bytes());
                if sealed {
                    let crc = crc(batch);
                    batch[17..21].copy_from_slice(&crc);
                }
            }
            from = end;
        }
        bytes
    }

    /// As far as Kafka's answer went, which ends with its segment file.
    fn fetch(&self, input: &Value, out: &Value) -> oncelog::Result<String> {
        let offset = self.said.offset_here(&partition_name(input), number(input, "offset"));
        let partition = self.engine().partition(text(input, "topic"), number(input, "partition") as u32)?;
        let isolation = isolation(input);
        let options = ReadOptions::new().isolation(isolation).max_bytes(number(input, "max_bytes") as usize);
        let bounds = partition.bounds();
        let records = partition.read(u64::try_from(offset).unwrap_or(u64::MAX), options)?;
        let last = out["batches"].as_array().and_then(|batches| Some(number(batches.last()?, "last_offset")));
        let last = last.map_or(i64::MAX, |last| self.said.offset_here(&partition_name(input), last + 1) - 1);
        let offsets = records.iter().map(|record| Ok(record?.offset() as i64)).collect::<oncelog::Result<Vec<_>>>()?;
        Ok(said::fetched(
            bounds.end as i64,
            bounds.stable as i64,
            bounds.start as i64,
            offsets.into_iter().filter(|offset| *offset <= last),
        ))
    }

    fn list_offsets(&self, input: &Value) -> oncelog::Result<String> {
        let partition = self.engine().partition(text(input, "topic"), number(input, "partition").max(0) as u32)?;
        let bounds = partition.bounds();
        let offset = match number(input, "timestamp") {
            -1 if isolation(input) == Isolation::ReadCommitted => bounds.stable,
            -1 => bounds.end,
            -2 | -4 => bounds.start,
            // The parts of a partition that lie in another storage: there are none.
            -5 | -6 => return Ok("NONE -1".to_owned()),
            -3 => match partition.max_timestamp_with(isolation(input))? {
                Some((offset, _)) => offset,
                None => return Ok("NONE -1".to_owned()),
            },
            timestamp => match partition.offset_at_with(timestamp, isolation(input))? {
                Some(offset) => offset,
                None => return Ok("NONE -1".to_owned()),
            },
        };
        Ok(format!("NONE {offset}"))
    }
}

/// How far a step's reader sees.
pub fn isolation(input: &Value) -> Isolation {
    if text(input, "isolation") == "read_committed" { Isolation::ReadCommitted } else { Isolation::ReadUncommitted }
}

/// The bytes that a request carries; a batch that was too large to be recorded is made anew, as large.
fn records(input: &Value) -> Vec<u8> {
    let Some(size) = input["records_bytes"].as_u64() else { return bytes(text(input, "records_hex")) };
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"large"), RECORDED_MS).unwrap();
    let identity = Identity { producer_id: number(input, "pid"), epoch: number(input, "epoch") as i16 };
    let mut bytes = batch.producer(identity, number(input, "first_seq") as i32).finish()[40..].to_vec();
    bytes.resize(size as usize, 0);
    bytes[8..12].copy_from_slice(&(size as u32 - 12).to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]).to_be_bytes();
    bytes[17..21].copy_from_slice(&crc);
    bytes
}

/// What Kafka makes of a record set: exactly one batch. The beginning of a second one is cut off, as in an answer to a
/// fetch.
fn only_batch(records: &[u8]) -> Result<&[u8], &'static str> {
    let batch = first_batch(records)?.ok_or("INVALID_RECORD")?;
    match first_batch(&records[batch.len()..])? {
        None => Ok(batch),
        Some(_) => Err("INVALID_RECORD"),
    }
}

fn first_batch(records: &[u8]) -> Result<Option<&[u8]>, &'static str> {
    let Some(head) = records.get(..17) else { return Ok(None) };
    let length = i32::from_be_bytes(head[8..12].try_into().unwrap());
    let magic = head[16] as i8;
    let least = if magic == 2 { 49 } else { 14 };
    if length < least || !(0..=2).contains(&magic) {
        return Err("CORRUPT_MESSAGE");
    }
    Ok(records.get(..12 + length as usize))
}
