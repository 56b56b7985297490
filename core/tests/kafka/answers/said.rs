//! Kafka's answers and this engine's as the same kind of text, so that they can be compared and read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::case::{Case, number, op, text};
use super::coordinator::NOT_ASKED;

/// Names producer ids in the order in which they come up, since the numbers themselves mean nothing.
#[derive(Default)]
pub struct Ids(Vec<i64>);

impl Ids {
    /// `#1` for the first id seen, and so on; `-` for none.
    pub fn name(&mut self, id: i64) -> String {
        if id < 0 {
            return "-".to_owned();
        }
        let at = self.0.iter().position(|known| *known == id).unwrap_or_else(|| {
            self.0.push(id);
            self.0.len() - 1
        });
        format!("#{}", at + 1)
    }
}

/// Offsets as ranges: `0-3 7`.
pub fn ranges(offsets: impl IntoIterator<Item = i64>) -> String {
    let mut found: Vec<(i64, i64)> = Vec::new();
    for offset in offsets {
        match found.last_mut() {
            Some((_, last)) if *last + 1 == offset => *last = offset,
            _ => found.push((offset, offset)),
        }
    }
    let said: Vec<_> = found
        .iter()
        .map(|(first, last)| if first == last { first.to_string() } else { format!("{first}-{last}") })
        .collect();
    said.join(" ")
}

/// What a fetch found, in the words of both.
pub fn fetched(end: i64, stable: i64, start: i64, offsets: impl IntoIterator<Item = i64>) -> String {
    let offsets = ranges(offsets);
    let records = if offsets.is_empty() { "none" } else { &offsets };
    format!("NONE end={end} stable={stable} start={start} records: {records}")
}

/// What became of a batch: `timestamp` for a duplicate's original.
pub fn appended(offset: i64, timestamp: Option<i64>) -> String {
    match timestamp {
        None => format!("NONE at {offset}"),
        Some(timestamp) => format!("NONE at {offset} timestamp={timestamp}"),
    }
}

/// A partition by topic and number, as the cases write it.
pub fn partition_name(value: &Value) -> String {
    format!("{}/{}", text(value, "topic"), number(value, "partition"))
}

/// How Kafka's answers of one case are said.
pub struct Said {
    ids: Ids,
    /// The offsets that Kafka's markers took, by partition.
    markers: BTreeMap<String, Vec<i64>>,
    append_time: BTreeSet<String>,
}

impl Said {
    pub fn new(case: &Case) -> Self {
        Self { ids: Ids::default(), markers: markers(case), append_time: append_time(case) }
    }

    /// Kafka's offset without the markers below it.
    fn without_markers(&self, partition: &str, offset: i64) -> i64 {
        let below = |markers: &Vec<i64>| markers.iter().filter(|marker| **marker < offset).count() as i64;
        if offset < 0 { offset } else { offset - self.markers.get(partition).map_or(0, below) }
    }

    /// The step's arguments with the offsets that they have here.
    pub fn offset_here(&self, partition: &str, offset: i64) -> i64 {
        self.without_markers(partition, offset)
    }

    /// Kafka's answer; none where it says nothing that could be compared.
    pub fn by_kafka(&mut self, step: &Value) -> Option<String> {
        let (input, out) = (&step["in"], &step["out"]);
        if !text(out, "connection").is_empty() {
            return Some("connection closed".to_owned());
        }
        let error = text(out, "error").to_owned();
        Some(match op(step) {
            "sleep" | "note" | "restart" => return None,
            op if NOT_ASKED.iter().any(|(name, _)| *name == op) => return None,
            "produce" => self.produced(&partition_name(input), out),
            "produce_multi" => {
                let parts = out["parts"].as_array().unwrap();
                let said = |part: &Value| self.produced(&partition_name(part), part);
                parts.iter().map(said).collect::<Vec<_>>().join(", ")
            }
            "produce_pipelined" => {
                let requests = input["requests"].as_array().unwrap().iter();
                let answers = out["results"].as_array().unwrap();
                let said = requests
                    .zip(answers)
                    .map(|(request, answer)| self.produced(&format!("{}/0", text(request, "topic")), answer));
                said.collect::<Vec<_>>().join(", ")
            }
            "fetch" if error == "NONE" => self.fetched(input, out),
            "init_producer_id" | "end_txn" if error == "NONE" && number(out, "pid") >= 0 => {
                format!("NONE {} epoch={}", self.ids.name(number(out, "pid")), number(out, "epoch"))
            }
            "describe_transaction" if text(out, "state") == "Ongoing" => self.described(out),
            "describe_transaction" if error == "NONE" => "not open".to_owned(),
            "describe_producers" if error == "NONE" => self.producers(input, out),
            "list_offsets" if error == "NONE" => {
                let at = self.without_markers(&partition_name(input), number(out, "offset"));
                format!("NONE {at}")
            }
            "txn_offset_commit" | "offset_commit" => results(&out["results"]),
            "offset_fetch" if error.is_empty() || error == "NONE" => offsets(&out["results"]),
            _ => error,
        })
    }

    fn produced(&self, partition: &str, out: &Value) -> String {
        let error = text(out, "error");
        if error != "NONE" {
            return error.to_owned();
        }
        let at = self.without_markers(partition, number(out, "base_offset"));
        let topic = partition.split('/').next().unwrap();
        // A topic's own time cannot be the same twice.
        let timestamp = Some(number(out, "log_append_time")).filter(|at| *at >= 0 && !self.append_time.contains(topic));
        appended(at, timestamp)
    }

    fn fetched(&self, input: &Value, out: &Value) -> String {
        let partition = partition_name(input);
        let here = |offset| self.without_markers(&partition, offset);
        let offsets = visible(number(input, "offset"), out).into_iter().map(here);
        let [end, stable, start] = ["high_watermark", "last_stable_offset", "log_start_offset"];
        fetched(here(number(out, end)), here(number(out, stable)), here(number(out, start)), offsets)
    }

    fn described(&mut self, out: &Value) -> String {
        let mut partitions: Vec<String> = Vec::new();
        for name in out["partitions"].as_array().into_iter().flatten() {
            let name = name.as_str().unwrap();
            // Committed offsets are no partition here.
            if !name.starts_with("__consumer_offsets") {
                partitions.push(name.to_owned());
            }
        }
        partitions.sort();
        let id = self.ids.name(number(out, "pid"));
        described(text(out, "state"), &id, number(out, "epoch"), number(out, "timeout_ms"), &partitions)
    }

    fn producers(&mut self, input: &Value, out: &Value) -> String {
        let partition = partition_name(input);
        let mut said = Vec::new();
        for producer in out["producers"].as_array().into_iter().flatten() {
            let id = self.ids.name(number(producer, "pid"));
            let open = self.without_markers(&partition, number(producer, "current_txn_start"));
            let timed = producer["last_timestamp_is_set"] == true;
            said.push(producing(&id, number(producer, "epoch"), number(producer, "last_sequence"), timed, open));
        }
        producers(said)
    }
}

/// The state of a transactional id.
pub fn described(state: &str, id: &str, epoch: i64, timeout_ms: i64, partitions: &[String]) -> String {
    format!("NONE {state} {id} epoch={epoch} timeout={timeout_ms} {}", partitions.join(" ")).trim_end().to_owned()
}

/// What a partition knows of a producer.
pub fn producing(id: &str, epoch: i64, sequence: i64, timed: bool, open: i64) -> String {
    let time = if timed { "" } else { " without a time" };
    format!("{id} epoch={epoch} sequence={sequence} open={open}{time}")
}

/// What a partition knows of all its producers.
pub fn producers(mut said: Vec<String>) -> String {
    said.sort();
    let producers = said.join(", ");
    format!("NONE producers: {}", if said.is_empty() { "none" } else { &producers })
}

/// One result per partition.
pub fn results(results: &Value) -> String {
    let said = results.as_array().into_iter().flatten().map(|r| format!("{} {}", partition_name(r), text(r, "error")));
    let mut said: Vec<_> = said.collect();
    said.sort();
    said.join(", ")
}

/// Committed offsets per partition.
pub fn offsets(results: &Value) -> String {
    let said = results
        .as_array()
        .into_iter()
        .flatten()
        .map(|r| format!("{} {} {}", partition_name(r), text(r, "error"), number(r, "offset")));
    said.collect::<Vec<_>>().join(", ")
}

/// The offsets of the records that a Kafka consumer makes of a fetch: without markers, without what was aborted, and
/// nothing below the offset it asked for.
fn visible(from: i64, out: &Value) -> Vec<i64> {
    let mut aborted: Vec<(i64, i64)> = out["aborted"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|a| (number(a, "first_offset"), number(a, "pid")))
        .collect();
    aborted.sort_unstable();
    let mut hidden = BTreeSet::new();
    let mut found = Vec::new();
    for batch in out["batches"].as_array().into_iter().flatten() {
        let (first, last, id) =
            (number(batch, "base_offset"), number(batch, "last_offset"), number(batch, "producer_id"));
        while aborted.first().is_some_and(|(at, _)| *at <= last) {
            hidden.insert(aborted.remove(0).1);
        }
        if batch["control"] == true {
            if text(batch, "control_type") == "ABORT" {
                hidden.remove(&id);
            }
        } else if !(batch["transactional"] == true && hidden.contains(&id)) {
            found.extend((first..=last).filter(|offset| *offset >= from));
        }
    }
    found
}

/// The offsets below a partition's end that no batch took are its markers'.
fn markers(case: &Case) -> BTreeMap<String, Vec<i64>> {
    let mut taken: BTreeMap<String, BTreeSet<i64>> = BTreeMap::new();
    let mut ends: BTreeMap<String, i64> = BTreeMap::new();
    let mut produced = |partition: String, out: &Value, records: i64| {
        if text(out, "error") == "NONE" {
            let first = number(out, "base_offset");
            taken.entry(partition.clone()).or_default().extend(first..first + records);
            let end = ends.entry(partition).or_default();
            *end = (*end).max(first + records);
        }
    };
    for step in &case.steps {
        let (input, out) = (&step["in"], &step["out"]);
        match op(step) {
            "produce" => produced(partition_name(input), out, number(input, "records").max(1)),
            "produce_multi" => {
                out["parts"].as_array().into_iter().flatten().for_each(|part| produced(partition_name(part), part, 1));
            }
            "produce_pipelined" => {
                let requests = input["requests"].as_array().unwrap().iter();
                for (request, answer) in requests.zip(out["results"].as_array().unwrap()) {
                    produced(format!("{}/0", text(request, "topic")), answer, 1);
                }
            }
            _ => {}
        }
    }
    for step in case.steps.iter().filter(|step| op(step) == "fetch") {
        let end = ends.entry(partition_name(&step["in"])).or_default();
        *end = (*end).max(number(&step["out"], "high_watermark"));
    }
    let none = BTreeSet::new();
    let marked = |(partition, end): (&String, &i64)| {
        let taken = taken.get(partition).unwrap_or(&none);
        (partition.clone(), (0..*end).filter(|offset| !taken.contains(offset)).collect())
    };
    ends.iter().map(marked).collect()
}

/// The topics whose records get the broker's time.
fn append_time(case: &Case) -> BTreeSet<String> {
    let made = case.steps.iter().filter(|step| op(step) == "create_topic");
    made.filter(|step| step["in"]["configs"]["message.timestamp.type"] == "LogAppendTime")
        .map(|step| text(&step["in"], "topic").to_owned())
        .collect()
}
