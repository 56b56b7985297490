//! Options given as words, and times; and what several of them make together.

use std::time::Duration;

use oncelog::{
    Compression, Durability, Isolation, Outcome, ProducerOptions, Start, TimestampType, TopicOptions,
    TransactionStatus, Visibility,
};
use pyo3::prelude::*;

use crate::arguments::{Number, Seconds};
use crate::errors::refused;

/// Words with what they mean.
type Words<'a, T> = &'a [(&'static str, T)];

/// What a word for an option means.
fn choose<T: Copy>(option: &str, word: &str, words: Words<'_, T>) -> PyResult<T> {
    match words.iter().find(|(name, _)| *name == word) {
        Some((_, value)) => Ok(*value),
        None => {
            let known: Vec<String> = words.iter().map(|(name, _)| format!("'{name}'")).collect();
            Err(refused(format!("unknown {option}; say {}, {option}={word:.40}", known.join(" or "))))
        }
    }
}

/// The word for a value; `None` for one that this version has no word for.
fn word<T: PartialEq>(value: &T, words: Words<'_, T>) -> Option<&'static str> {
    words.iter().find(|(_, known)| known == value).map(|(name, _)| *name)
}

const DURABILITY: Words<'_, Durability> =
    &[("memory", Durability::Memory), ("os", Durability::Os), ("disk", Durability::Disk)];
const TIMESTAMP_TYPE: Words<'_, TimestampType> =
    &[("create", TimestampType::CreateTime), ("append", TimestampType::LogAppendTime)];
const STATUS: Words<'_, TransactionStatus> = &[
    ("open", TransactionStatus::Open),
    ("committed", TransactionStatus::Committed),
    ("aborted", TransactionStatus::Aborted),
    ("forgotten", TransactionStatus::Forgotten),
];

pub fn durability(word: &str) -> PyResult<Durability> {
    choose("durability", word, DURABILITY)
}

/// The level of a handle; without a word that of the floor below.
pub fn own_durability(word: Option<&str>) -> PyResult<Option<Durability>> {
    word.map(durability).transpose()
}

pub fn durability_word(level: Durability) -> Option<&'static str> {
    word(&level, DURABILITY)
}

pub fn visibility(word: &str) -> PyResult<Visibility> {
    choose("visibility", word, &[("level", Visibility::Level), ("durable", Visibility::Durable)])
}

pub fn timestamp_type(word: &str) -> PyResult<TimestampType> {
    choose("timestamp_type", word, TIMESTAMP_TYPE)
}

pub fn timestamp_type_word(whose: TimestampType) -> Option<&'static str> {
    word(&whose, TIMESTAMP_TYPE)
}

pub fn compression(word: &str) -> PyResult<Compression> {
    choose("compression", word, &Compression::ALL.map(|codec| (codec.name(), codec)))
}

/// True if this build has a codec: "none", "gzip", "snappy", "lz4" or "zstd". What it leaves out can be neither written
/// nor unpacked, and raises UnsupportedVersionError. Any thread may ask, without a log.
///
/// Raises ArgumentError if there is no such codec.
///
/// >>> oncelog.compression_is_available("zstd")
/// True
#[pyfunction]
pub fn compression_is_available(compression: &str) -> PyResult<bool> {
    Ok(self::compression(compression)?.is_available())
}

pub fn isolation(word: &str) -> PyResult<Isolation> {
    let words = [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)];
    choose("isolation", word, &words)
}

pub fn start(word: &str) -> PyResult<Start> {
    choose("start", word, &[("earliest", Start::Earliest), ("latest", Start::Latest), ("none", Start::None)])
}

pub fn outcome(word: &str) -> PyResult<Outcome> {
    choose("outcome", word, &[("commit", Outcome::Commit), ("abort", Outcome::Abort)])
}

pub fn status_word(status: TransactionStatus) -> Option<&'static str> {
    word(&status, STATUS)
}

/// A time in seconds.
pub fn duration(option: &str, Seconds(seconds): Seconds) -> PyResult<Duration> {
    Duration::try_from_secs_f64(seconds).map_err(|_| {
        let text = if seconds.is_nan() || seconds < 0.0 { "seconds, 0 or more" } else { "less than 1.8e19 seconds" };
        refused(format!("a time must be {text}, {option}={seconds}"))
    })
}

/// What the keyword arguments of a new topic say.
pub fn topic(partitions: Number<u32>, durability: Option<&str>, timestamp_type: &str) -> PyResult<TopicOptions> {
    let whose = self::timestamp_type(timestamp_type)?;
    let mut options = TopicOptions::new().partitions(partitions.0).timestamp_type(whose);
    options.durability = own_durability(durability)?;
    Ok(options)
}

/// What the keyword arguments of every producer say.
pub fn producer(durability: Option<&str>, compression: &str) -> PyResult<ProducerOptions> {
    let mut options = ProducerOptions::new();
    options.durability = own_durability(durability)?;
    options.compression = self::compression(compression)?;
    Ok(options)
}
