//! Choices as they come from JavaScript: words.

use oncelog::{Compression, Durability, Isolation, Outcome, Start, TimestampType, TransactionStatus, Visibility};

use crate::errors::{Result, refused};

/// What a word stands for. A word that is none of these is refused, with all that are.
fn word<T: Copy>(given: Option<&str>, what: &str, words: &[(&str, T)]) -> Result<Option<T>> {
    let Some(given) = given else { return Ok(None) };
    if let Some((_, meant)) = words.iter().find(|(word, _)| *word == given) {
        return Ok(Some(*meant));
    }
    let mut say = String::new();
    for (n, (word, _)) in words.iter().enumerate() {
        say += match n {
            0 => "",
            _ if n + 1 == words.len() => " or ",
            _ => ", ",
        };
        say += &format!("{word:?}");
    }
    Err(refused(format!("no such {what}; say {say}, {what}={given:?}")))
}

/// The word for a meaning.
fn name<T: PartialEq>(meant: T, words: &[(&'static str, T)]) -> &'static str {
    words.iter().find(|(_, known)| *known == meant).map_or("unknown", |(word, _)| word)
}

const DURABILITIES: [(&str, Durability); 3] =
    [("disk", Durability::Disk), ("os", Durability::Os), ("memory", Durability::Memory)];
const TIMESTAMP_TYPES: [(&str, TimestampType); 2] =
    [("create", TimestampType::CreateTime), ("append", TimestampType::LogAppendTime)];
const STATUSES: [(&str, TransactionStatus); 4] = [
    ("open", TransactionStatus::Open),
    ("committed", TransactionStatus::Committed),
    ("aborted", TransactionStatus::Aborted),
    ("forgotten", TransactionStatus::Forgotten),
];

/// A level by its name.
pub fn durability(name: Option<&str>) -> Result<Option<Durability>> {
    word(name, "durability", &DURABILITIES)
}

/// The name of a level.
pub fn durability_name(durability: Durability) -> &'static str {
    name(durability, &DURABILITIES)
}

/// Whose time records carry, by its name.
pub fn timestamp_type(name: Option<&str>) -> Result<Option<TimestampType>> {
    word(name, "timestampType", &TIMESTAMP_TYPES)
}

/// The name of that.
pub fn timestamp_type_name(timestamp_type: TimestampType) -> &'static str {
    name(timestamp_type, &TIMESTAMP_TYPES)
}

/// How a transaction stands, in a word.
pub fn status_name(status: TransactionStatus) -> &'static str {
    name(status, &STATUSES)
}

/// What readers see before it is durable, by its name.
pub fn visibility(name: Option<&str>) -> Result<Option<Visibility>> {
    word(name, "visibility", &[("level", Visibility::Level), ("durable", Visibility::Durable)])
}

/// What readers see of transactions, by its name.
pub fn isolation(name: Option<&str>) -> Result<Option<Isolation>> {
    let words = [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)];
    word(name, "isolation", &words)
}

/// Where a consumer begins, by its name.
pub fn start(name: Option<&str>) -> Result<Option<Start>> {
    word(name, "start", &[("earliest", Start::Earliest), ("latest", Start::Latest), ("none", Start::None)])
}

/// A codec by its name.
pub fn compression(name: Option<&str>) -> Result<Option<Compression>> {
    word(name, "compression", &Compression::ALL.map(|codec| (codec.name(), codec)))
}

/// How a transaction is to end.
pub fn outcome(name: &str) -> Result<Outcome> {
    let outcome = word(Some(name), "outcome", &[("commit", Outcome::Commit), ("abort", Outcome::Abort)])?;
    Ok(outcome.unwrap_or(Outcome::Abort))
}
