//! What a caller may choose. Every option has a default; all are typed.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::Engine;
use crate::engine::{Log, Logger, Settings};
use crate::error::{Error, ErrorKind, Result};
use crate::format::compression::left_out;
use crate::io::Machine;
use crate::limits::{BATCH_MAX, TRANSACTION_BUFFER, TRANSACTION_TIMEOUT};
use crate::types::{Compression, Durability, Isolation, Place, Visibility};

/// How to open a log.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Durability, Engine};
/// let engine = Engine::options().durability(Durability::Os).segment_bytes(16 << 20).open(dir.path())?;
/// # engine.close()?;
/// # Ok::<(), oncelog::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct EngineOptions {
    settings: Settings,
    create: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self { settings: Settings::default(), create: true }
    }
}

impl EngineOptions {
    /// The level of topics that have none of their own. Default: `Disk`.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.settings.durability = durability;
        self
    }
    /// What readers see: records that have met their topic's level, or only what is durable. Default: `Level`.
    pub fn visibility(mut self, visibility: Visibility) -> Self {
        self.settings.visibility = visibility;
        self
    }
    /// Size of a segment in bytes, `limits::SEGMENT_MIN` to `limits::SEGMENT_OPTION_MAX`. Default: 64 MiB.
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.settings.segment_bytes = bytes;
        self
    }
    /// Opens for reading: nothing is written, and every call that would write answers `ReadOnly`. Default: false.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.settings.read_only = read_only;
        self
    }
    /// Makes the directory if it is missing. Default: true.
    pub fn create(mut self, create: bool) -> Self {
        self.create = create;
        self
    }
    /// False: the engine starts no thread; `Engine::drive`, or whoever waits, does the background work. Default: true.
    pub fn threads(mut self, threads: bool) -> Self {
        self.settings.threads = threads;
        self
    }
    /// False: sealed segments are read by read calls, not through memory mappings. For files that others may change.
    /// Default: true.
    pub fn mappings(mut self, mappings: bool) -> Self {
        self.settings.mappings = mappings;
        self
    }
    /// Opens for writing although frames behind the newest checkpoint are damaged, giving up what they held: perhaps a
    /// decision or a fence. Default: false, which opens such a log for reading.
    pub fn accept_loss(mut self, accept: bool) -> Self {
        self.settings.accept_loss = accept;
        self
    }
    /// How long what was acknowledged at level `Memory` or `Os` may wait for its flush, and readers for it with
    /// `Visibility::Durable`. Default: 1 second.
    pub fn flush_interval(mut self, interval: Duration) -> Self {
        self.settings.flush_interval_ms = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
        self
    }
    /// True: transactions of raw identities that begin in this life stay open when the log is opened again, until they
    /// are decided or their timeout, which begins anew, has passed: for brokers, whose clients outlive them. Default:
    /// false, which aborts them then, as those of transactional producers always are.
    pub fn keep_raw_transactions(mut self, keep: bool) -> Self {
        self.settings.keep_raw_transactions = keep;
        self
    }
    /// Memory of the buffers of all open transactions together, in bytes. A transaction that finds none left streams:
    /// its records go to the log before it is decided. Offsets count past 64 KiB of a transaction; below that they have
    /// `limits::TRANSACTION_OFFSETS_MEMORY` of their own. What is counted are the bytes of batches; a partition that a
    /// transaction reaches takes about half a kilobyte beside. Default: `limits::TRANSACTION_MEMORY`.
    pub fn transaction_memory(mut self, bytes: usize) -> Self {
        self.settings.transaction_memory = bytes;
        self
    }
    /// The longest timeout that a transaction may ask for (Kafka's transaction.max.timeout.ms), 1 ms to 2^32 - 1 ms.
    /// From 2^31 - 1 ms on a timeout is none: such a transaction stays open for ever (KIP-939). Default:
    /// `limits::TRANSACTION_TIMEOUT_MAX`.
    pub fn transaction_timeout_max(mut self, timeout: Duration) -> Self {
        self.settings.transaction_timeout_max_ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self
    }
    /// Where messages go: that the log was opened, what was cut or is damaged, that the disk failed, that a producer
    /// was fenced, that the log was closed. Default: nowhere.
    pub fn log(mut self, log: Arc<dyn Log>) -> Self {
        self.settings.log = Logger::new(log);
        self
    }

    /// Opens the log in a directory.
    ///
    /// # Errors
    /// `Locked` if it is open for writing elsewhere; `UnsupportedVersion` if a newer version wrote it; `Corrupt` if its
    /// files do not fit together; `InvalidArgument` for options out of range or a path that is no directory; `Io`.
    pub fn open(self, dir: impl AsRef<Path>) -> Result<Engine> {
        let Settings { read_only, mappings, .. } = self.settings;
        let machine = Machine::system(dir.as_ref(), self.create, read_only, mappings)?;
        self.open_on(machine)
    }

    /// Opens the log of a machine: how the simulator runs the engine.
    #[doc(hidden)]
    pub fn open_on(self, machine: Machine) -> Result<Engine> {
        Engine::open_on(machine, self.settings)
    }
}

/// How a producer works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProducerOptions {
    /// The name whose position the producer carries; see `Producer`.
    pub name: Option<String>,
    /// A partition's batch is closed when it has reached this many bytes. 0: a batch for each record. Past
    /// `limits::PRODUCER_MEMORY` of all partitions together the oldest batches are closed, however small; those of a
    /// name, which go into the log as one, past `limits::TRANSACTION_BUFFER`.
    pub batch_bytes: usize,
    /// A batch is closed this long after its first record, unless somebody waits for it earlier. Zero: at once.
    pub linger: Duration,
    /// When sends are acknowledged; without it the level of their topic. What a name or a transaction writes together
    /// takes the strongest of this and of its topics.
    pub durability: Option<Durability>,
    /// How batches are compressed, those of transactions too. Worth it where the disk is dearer than the processor, and
    /// for batches of many records.
    pub compression: Compression,
    /// Of a transactional producer: a transaction past this many bytes streams. 0: with its first record.
    pub transaction_buffer: usize,
    /// Of a transactional producer: how long a transaction that streams may be open; then it is aborted.
    pub transaction_timeout: Duration,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self {
            name: None,
            batch_bytes: 16_384,
            linger: Duration::from_millis(5),
            durability: None,
            compression: Compression::None,
            transaction_buffer: TRANSACTION_BUFFER,
            transaction_timeout: TRANSACTION_TIMEOUT,
        }
    }
}

impl ProducerOptions {
    /// No name, batches of 16 KiB, 5 ms of linger, the level of each topic, no compression.
    pub fn new() -> Self {
        Self::default()
    }
    /// Gives the producer a name: see `Producer`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }
    /// Sets the bytes at which a batch is closed, at most `limits::BATCH_MAX`.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.batch_bytes = bytes;
        self
    }
    /// Sets how long a batch may wait for more records.
    pub fn linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }
    /// Sets when sends are acknowledged.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
    /// Sets the bytes past which a transaction streams, at most `limits::TRANSACTION_BUFFER_MAX`. Up to it a
    /// transaction is memory, and its commit one write; past it its records go to the log as they come and hold the
    /// last stable offset of their partitions back until it is decided. One that has more for a single partition than a
    /// batch may hold (`limits::BATCH_MAX`, 1 MiB) streams as well, whatever the buffer.
    pub fn transaction_buffer(mut self, bytes: usize) -> Self {
        self.transaction_buffer = bytes;
        self
    }
    /// Sets how long a transaction may be open, counted from when it streams, at most
    /// `EngineOptions::transaction_timeout_max`; from 2^31 - 1 ms on: for ever. One that is memory only holds nobody up
    /// and has no timeout.
    pub fn transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }
    /// Sets how batches are compressed. Bounds such as `batch_bytes` count what is not compressed yet.
    pub fn compression(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// Refuses what no producer of this build can do.
    pub(super) fn check(&self) -> Result<()> {
        if self.batch_bytes > BATCH_MAX {
            let values = format!("batch_bytes={} max={BATCH_MAX}", self.batch_bytes);
            let text = "batches cannot be that large; ask for less";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, {values}")));
        }
        if !self.compression.is_available() {
            return Err(left_out(self.compression));
        }
        Ok(())
    }
}

/// Where a consumer begins if nothing is committed, or if its position lies outside the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Start {
    /// With the first record there is.
    #[default]
    Earliest,
    /// Behind the last record there is.
    Latest,
    /// Nowhere: `poll` answers `OffsetOutOfRange` until `seek` is called.
    None,
}

/// How a consumer works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConsumerOptions {
    /// The group in whose name offsets are committed.
    pub group: Option<String>,
    /// Which records it sees.
    pub isolation: Isolation,
    /// Where it begins if nothing is committed.
    pub start: Start,
    /// Most bytes of one poll as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. Of one partition 32 MiB of either are the most,
    /// whatever this says.
    pub max_bytes: usize,
    /// Most records of one poll.
    pub max_records: u64,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            group: None,
            isolation: Isolation::ReadCommitted,
            start: Start::Earliest,
            max_bytes: 1 << 20,
            max_records: u64::MAX,
        }
    }
}

impl ConsumerOptions {
    /// No group, read_committed, from the earliest record, polls of 1 MiB.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets the group in whose name offsets are committed.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.group = Some(group.into());
        self
    }
    /// Sets which records are seen.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }
    /// Sets where to begin if nothing is committed.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }
    /// Sets the most bytes of one poll.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
    /// Sets the most records of one poll, at least 1.
    pub fn max_records(mut self, records: u64) -> Self {
        self.max_records = records;
        self
    }
}

/// How to read a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Most bytes of one read as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. 32 MiB of either are the most, whatever this says.
    pub max_bytes: usize,
    /// Which records are seen.
    pub isolation: Isolation,
    /// Where the reader stands.
    pub place: Option<Place>,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { max_bytes: 1 << 20, isolation: Isolation::ReadCommitted, place: None }
    }
}

impl ReadOptions {
    /// 1 MiB, read_committed.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets the most bytes of one read.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }
    /// Sets which records are seen.
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }
    /// Says where the reader stands, by `Records::next_place` of this life of the log or an earlier one: the read
    /// answers `Truncated` if a crash took records that this place stands behind. The offset to read is the place's.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// use oncelog::{Durability, Engine, ProducerOptions, ReadOptions, Record, TopicOptions};
    /// let engine = Engine::open(dir.path())?;
    /// engine.create_topic("events", TopicOptions::new().durability(Durability::Os))?;
    /// engine.producer(ProducerOptions::new())?.send("events", Record::new(b"one"))?.wait()?;
    /// let events = engine.partition("events", 0)?;
    /// let place = events.read(0, ReadOptions::new())?.next_place("events", 0).unwrap();
    /// // Kept somewhere by the reader, and used again after a restart.
    /// let more = events.read(place.offset, ReadOptions::new().from(place))?;
    /// assert!(more.is_empty());
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    pub fn from(mut self, place: Place) -> Self {
        self.place = Some(place);
        self
    }
}

/// How to append a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AppendOptions {
    /// When the append is acknowledged; without it the level of the topic.
    pub durability: Option<Durability>,
}

impl AppendOptions {
    /// The level of the topic.
    pub fn new() -> Self {
        Self::default()
    }
    /// Sets when the append is acknowledged. What readers see follows the topic's level.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = Some(durability);
        self
    }
}
