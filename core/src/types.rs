//! Words that every floor uses: offsets, ids, what a call answers.

mod metrics;
mod openmetrics;

pub(crate) use metrics::{BOUNDS, FLUSH_NANOS, GROUP_FRAMES};
pub use metrics::{ConsumerLag, Histogram, Metrics};

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// Position of a record in its partition, counted from 0 without gaps. At most 2^63 - 1.
pub type Offset = u64;
/// Number of a frame in the journal, counted from 1; kept for the life of the log.
pub type Lsn = u64;
/// Milliseconds since 1970-01-01 UTC; -1 stands for none.
pub type Timestamp = i64;
/// A life of the log that wrote: raised by one at each open for writing.
pub type Incarnation = u64;
/// A partition's number for the journal: given once, never used again.
pub type Instance = u32;
/// Names one transaction for ever, across all producers and restarts.
pub type TransactionNumber = u64;

/// A topic's identity: a UUID, shown as one. A topic that is deleted and created again has the same name and another
/// id.
///
/// ```
/// use oncelog::TopicId;
/// assert_eq!(TopicId([0xab; 16]).to_string(), "abababab-abab-abab-abab-abababababab");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct TopicId(pub [u8; 16]);

impl fmt::Debug for TopicId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

impl fmt::Display for TopicId {
    /// The usual text of a UUID (RFC 9562).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let dash = if matches!(at, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

/// A partition by its name: topic and number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: String,
    /// The partition's number in the topic, from 0.
    pub partition: u32,
}

impl TopicPartition {
    /// Names partition `partition` of `topic`.
    pub fn new(topic: impl Into<String>, partition: u32) -> Self {
        Self { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.topic, self.partition)
    }
}

/// What an acknowledged write survives. An append's own level beats its topic's, which beats the engine's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// In the engine's buffer, written to the operating system within 10 ms, or as soon as somebody reads it, and
    /// flushed within a second: survives nothing, not even the death of the process.
    Memory,
    /// Written to the operating system, flushed to the device within a second: survives the death of the process.
    Os,
    /// Flushed to the device: survives a power cut. The default.
    Disk,
}

/// How the records of a batch are compressed: Kafka's codecs, with Kafka's numbers. Each is a cargo feature of its
/// name, on by default; reading needs no setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
#[repr(u8)]
pub enum Compression {
    /// Not at all. The default.
    #[default]
    None = 0,
    /// Deflate at its usual level: small and slow.
    Gzip = 1,
    /// Blocks of 32 KiB in the framing of Kafka's clients: quick, not very small.
    Snappy = 2,
    /// One frame of independent blocks of 64 KiB: the quickest.
    Lz4 = 3,
    /// Level 3: smaller than gzip and several times quicker.
    Zstd = 4,
}

impl Compression {
    /// All of them, in the order of their numbers.
    pub const ALL: [Compression; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The codec of a number in a batch's attributes.
    pub fn of(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
    /// The name: of Kafka's `compression.type`, and of the cargo feature.
    pub fn name(self) -> &'static str {
        ["none", "gzip", "snappy", "lz4", "zstd"][self as usize]
    }
    /// True if this build has the codec.
    pub const fn is_available(self) -> bool {
        match self {
            Self::None => true,
            Self::Gzip => cfg!(feature = "gzip"),
            Self::Snappy => cfg!(feature = "snappy"),
            Self::Lz4 => cfg!(feature = "lz4"),
            Self::Zstd => cfg!(feature = "zstd"),
        }
    }
}

/// What of the records that were appended readers see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Visibility {
    /// A record has met its topic's level. The default.
    #[default]
    Level,
    /// A record is durable, whatever its topic's level: no reader sees what a power cut could take back. Nobody asks
    /// for a flush on a reader's behalf: at the levels `Memory` and `Os` a record is seen after the next flush, within
    /// `EngineOptions::flush_interval`; for less, set that, or call `Engine::flush`.
    Durable,
}

/// Where a reader stands: behind the records below an offset, as one life of the log showed them. Good for as long as
/// the frame that holds the last of them is kept; `ErrorKind::Truncated` if a crash took it, never other records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The life of the log that showed them.
    pub incarnation: Incarnation,
    /// The frame that holds the last of them, or one that was no less safe; 0 for none.
    pub lsn: Lsn,
    /// The offset to read next.
    pub offset: Offset,
}

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Isolation {
    /// Everything visible, records of open and aborted streaming transactions included.
    ReadUncommitted,
    /// Records outside transactions and of committed ones, up to the last stable offset. The default.
    #[default]
    ReadCommitted,
}

/// A raw producer's identity, as in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The producer id, issued by the engine.
    pub producer_id: i64,
    /// The producer epoch; an older one is fenced.
    pub epoch: i16,
}

/// Where an append went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The partition's number in its topic.
    pub partition: u32,
    /// Offset of the first record.
    pub first: Offset,
    /// Offset of the last record.
    pub last: Offset,
    /// The greatest timestamp of the batch, in milliseconds; the time of the append where the topic has that.
    pub timestamp: Timestamp,
    /// True if these records were here already and nothing was written. Not an error.
    pub duplicate: bool,
    /// The frame that holds the records.
    pub lsn: Lsn,
    /// The life of the log that answered.
    pub incarnation: Incarnation,
}

/// What a committed transaction left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Committed {
    /// The transaction's number.
    pub number: TransactionNumber,
    /// The frame that holds the transaction; 0 for one that was empty and wrote nothing.
    pub lsn: Lsn,
    /// The life of the log that answered.
    pub incarnation: Incarnation,
}

/// How a transaction is to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Its records and offsets become part of the log.
    Commit,
    /// They do not.
    Abort,
}

/// How a transaction stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransactionStatus {
    /// It is not decided.
    Open,
    /// Its records and offsets are part of the log.
    Committed,
    /// They never will be.
    Aborted,
    /// Nothing is known of it: it was never begun, was aborted before anything of it lay in the log, or was decided so
    /// long ago that its transactional id has decided 64 others since.
    Forgotten,
}

/// A transaction that is open and has something in the log: it holds the stable offset of its partitions back.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OpenTransaction {
    /// Its number.
    pub number: TransactionNumber,
    /// Whose it is.
    pub transactional_id: String,
    /// The producer id and epoch of its batches.
    pub identity: Identity,
    /// When its first batch or offset came to the log, wall clock, milliseconds.
    pub since: Timestamp,
    /// How long it may stay open, counted anew from each opening; `None`: for ever.
    pub timeout: Option<Duration>,
    /// True if its owner sends raw batches; false if it belongs to a `TransactionalProducer`.
    pub raw: bool,
    /// The partitions that hold records of it, with the offset of the first: the stable offset there is no greater.
    pub partitions: BTreeMap<TopicPartition, Offset>,
}

/// A producer that is active in a partition: what Kafka's DescribeProducers (KIP-664) tells of one. There are no
/// markers here, so a coordinator epoch has no meaning and is left out, and the end of a transaction changes nothing of
/// what its last batch left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ActiveProducer {
    /// The producer id, and the epoch of its last batch in this partition.
    pub identity: Identity,
    /// Sequence of the last record of that batch, at least 0; `None` for a `TransactionalProducer`, whose batches have
    /// no sequence.
    pub last_sequence: Option<i32>,
    /// The greatest timestamp of that batch in milliseconds, as its sender gave it, or the time of the append where the
    /// topic has that; `None` if it has none, and for a `TransactionalProducer`.
    pub last_timestamp: Option<Timestamp>,
    /// Offset of the first record here of the transaction that it has open; `None` if it has none open here.
    pub transaction_start_offset: Option<Offset>,
}

/// The ends of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The first offset that can be read.
    pub start: Offset,
    /// The last stable offset: read_committed sees what lies below.
    pub stable: Offset,
    /// The end: the offset that the next visible record will have.
    pub end: Offset,
}

/// A committed position: the offset to read next, and what the caller stored with it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetAndMetadata {
    /// The offset to read next.
    pub offset: Offset,
    /// The leader epoch of the last record read, if the caller keeps one (-1 = none).
    pub leader_epoch: i32,
    /// Free text, at most 4,096 characters, counted in UTF-16 as Kafka counts them.
    pub metadata: String,
}

impl From<Offset> for OffsetAndMetadata {
    fn from(offset: Offset) -> Self {
        Self { offset, leader_epoch: -1, metadata: String::new() }
    }
}

/// Positions of several partitions, as `commit_offsets` and `send_offsets` take them.
pub type Offsets = BTreeMap<TopicPartition, OffsetAndMetadata>;

/// Names the group whose offsets a transaction commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    /// The group's name.
    pub group: String,
}

/// Whose time the records of a topic carry: Kafka's `message.timestamp.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum TimestampType {
    /// The sender's: each record's own. The default.
    #[default]
    CreateTime,
    /// The log's: every record of a batch has the clock's time at its append, whatever it was sent with.
    LogAppendTime,
}

/// How a topic is made.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicOptions {
    /// Number of partitions; can be raised later, never lowered.
    pub partitions: u32,
    /// The topic's level; without one the engine's.
    pub durability: Option<Durability>,
    /// Whose time its records carry.
    pub timestamp_type: TimestampType,
}

impl Default for TopicOptions {
    fn default() -> Self {
        Self { partitions: 1, durability: None, timestamp_type: TimestampType::CreateTime }
    }
}

impl TopicOptions {
    /// One partition, the engine's level, the senders' timestamps.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets the number of partitions.
    pub fn partitions(mut self, partitions: u32) -> Self {
        self.partitions = partitions;
        self
    }
    /// Sets the level at which the topic's appends are acknowledged and its records become visible.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
    /// Sets whose time the records carry.
    pub fn timestamp_type(mut self, timestamp_type: TimestampType) -> Self {
        self.timestamp_type = timestamp_type;
        self
    }
}

/// A topic as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicInfo {
    /// The name.
    pub name: String,
    /// The id; a topic created again under the same name gets another.
    pub id: TopicId,
    /// Number of partitions.
    pub partitions: u32,
    /// The topic's own level, if it has one.
    pub durability: Option<Durability>,
    /// Whose time its records carry.
    pub timestamp_type: TimestampType,
}

/// What opening a log found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Opening {
    /// The log was made by this open.
    pub created: bool,
    /// The life that this open began; 0 if it was opened for reading.
    pub incarnation: Incarnation,
    /// Frames that were not known durable and were copied, so that they are now.
    pub frames_copied: u64,
    /// What was cut off the end because it was never finished, or never known durable and damaged.
    pub cut: Option<Lost>,
    /// Durable frames that are damaged.
    pub damage: Vec<Damage>,
    /// Time it took to read the newest checkpoint and build the state from it.
    pub loading: std::time::Duration,
    /// Time it took to read and fold the frames behind that checkpoint.
    pub folding: std::time::Duration,
    /// Those frames; a handful of its own after a clean close.
    pub frames_folded: u64,
    /// Their bytes.
    pub bytes_folded: u64,
}

/// A torn tail that was cut. Nothing in it had been acknowledged at level `disk`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The last frame that was kept.
    pub last_kept: Lsn,
    /// The last frame that could still be made out behind it; equal if none could.
    pub last_seen: Lsn,
    /// Bytes cut.
    pub bytes: u64,
}

/// What reading a log through found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verification {
    /// Segments read.
    pub segments: u64,
    /// Frames in them that are whole.
    pub frames: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Durable frames that are damaged. Of each that holds records only, a read of these offsets says which.
    pub damage: Vec<Damage>,
}

/// Durable frames that are damaged on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Damage {
    /// First frame lost.
    pub first_lsn: Lsn,
    /// Last frame lost.
    pub last_lsn: Lsn,
    /// The file.
    pub file: String,
    /// The byte where the damage was met.
    pub position: u64,
    /// Only records are lost, no decision: appends go on.
    pub records_only: bool,
}
