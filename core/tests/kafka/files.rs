//! The archive of Kafka's files: segments, indexes of aborted transactions, and what consumers saw.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine as _;
use oncelog::Isolation;
use serde_json::Value;

use crate::reader::Seen;

pub struct Archive {
    /// By path.
    files: BTreeMap<String, Vec<u8>>,
}

/// One partition of one of Kafka's clusters.
pub struct Partition {
    /// Cluster and partition.
    pub name: String,
    /// Its segments, one behind the other.
    pub log: Vec<u8>,
    /// Its indexes of aborted transactions, one behind the other.
    pub index: Vec<u8>,
    consumer: [String; 2],
    summary: Value,
}

impl Archive {
    pub fn open() -> Archive {
        let packed = &include_bytes!("../data/kafka-4.3.1.tar.gz")[..];
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
        let entries = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let path = entry.path().unwrap().to_str().unwrap().to_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            (path, bytes)
        });
        Archive { files: entries.collect() }
    }

    /// Every partition that a consumer read.
    pub fn partitions(&self) -> Vec<Partition> {
        let summaries = self.files.iter().filter_map(|(path, bytes)| {
            let (cluster, name) = path.strip_suffix(".summary.json")?.split_once("/consumer/")?;
            Some((cluster, name, bytes))
        });
        summaries.map(|(cluster, name, summary)| self.partition(cluster, name, summary)).collect()
    }

    fn partition(&self, cluster: &str, name: &str, summary: &[u8]) -> Partition {
        let folder = format!("{cluster}/partitions/{name}/");
        // Names are base offsets of the same width, so their order is the log's.
        let all = |extension: &str| -> Vec<u8> {
            let wanted = self.files.iter().filter(|(path, _)| path.starts_with(&folder) && path.ends_with(extension));
            wanted.flat_map(|(_, bytes)| bytes.iter().copied()).collect()
        };
        let seen = |isolation: &str| -> String {
            let bytes = &self.files[&format!("{cluster}/consumer/{name}.{isolation}.jsonl")];
            String::from_utf8(bytes.clone()).unwrap()
        };
        Partition {
            name: format!("{cluster}/{name}"),
            log: all(".log"),
            index: all(".txnindex"),
            consumer: [seen("read_uncommitted"), seen("read_committed")],
            summary: serde_json::from_slice(summary).unwrap(),
        }
    }
}

fn unbase64(value: &Value) -> Option<Vec<u8>> {
    value.as_str().map(|text| base64::engine::general_purpose::STANDARD.decode(text).unwrap())
}

impl Partition {
    fn of(isolation: Isolation) -> (usize, &'static str) {
        match isolation {
            Isolation::ReadUncommitted => (0, "read_uncommitted"),
            Isolation::ReadCommitted => (1, "read_committed"),
        }
    }

    /// The records that Kafka's consumer returned.
    pub fn consumer(&self, isolation: Isolation) -> impl Iterator<Item = Seen> {
        self.consumer[Self::of(isolation).0].lines().map(|line| {
            let record: Value = serde_json::from_str(line).unwrap();
            let header = |pair: &Value| (pair[0].as_str().unwrap().to_owned(), unbase64(&pair[1]));
            Seen {
                offset: record["offset"].as_u64().unwrap(),
                timestamp: record["timestamp"].as_i64().unwrap(),
                append_time: record["timestampType"] == "LogAppendTime",
                leader_epoch: i32::try_from(record["leaderEpoch"].as_i64().unwrap()).unwrap(),
                key: unbase64(&record["key"]),
                value: unbase64(&record["value"]),
                headers: record["headers"].as_array().unwrap().iter().map(header).collect(),
            }
        })
    }

    /// Kafka's answers to look-ups by time under read_committed: the time asked, and the offset.
    pub fn offsets_for_times(&self) -> Vec<(i64, Option<u64>)> {
        let answers = self.summary["offsets_for_times_read_committed"].as_array().into_iter().flatten();
        answers.map(|answer| (answer["target"].as_i64().unwrap(), answer["offset"].as_u64())).collect()
    }

    /// The first record with the greatest timestamp, as Kafka answered it.
    pub fn max_timestamp(&self) -> (u64, i64) {
        let answer = &self.summary["max_timestamp"];
        (answer["offset"].as_u64().unwrap(), answer["timestamp"].as_i64().unwrap())
    }

    /// The end offset that Kafka answered: the last stable offset under read_committed.
    pub fn end(&self, isolation: Isolation) -> u64 {
        self.summary[Self::of(isolation).1]["end_offset"].as_u64().unwrap()
    }
}
