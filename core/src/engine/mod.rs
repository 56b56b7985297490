//! The engine: opens in order, checks and places, reads, keeps house. What `api` hands to users.

mod admin;
mod append;
mod attend;
mod close;
mod event;
mod expiry;
mod gather;
mod hub;
mod keeper;
mod log;
mod memory;
mod metrics;
mod offsets;
mod open;
mod overdue;
mod producers;
mod promise;
mod raw;
mod report;
mod restore;
#[cfg(all(test, feature = "sim"))]
mod tests;
mod transacting;
mod transactions;
mod worker;

pub use admin::unknown as unknown_topic;
pub use attend::{Attention, Attentive};
pub use gather::{Gathered, GatheredPart, PlacedGroup};
pub use hub::TopicHandle;
pub use keeper::Lingering;
pub use log::{Log, LogLevel, Logger};
pub use metrics::Lagging;
pub use offsets::{GivenOffsets, TopicIds};
pub use overdue::passes;
pub use promise::{Judged, Refused};
pub use transacting::{Doomed, Transacting};
pub use transactions::{Deciding, Streamed};

use std::sync::{Arc, Weak};
use std::time::Duration;

use rustc_hash::FxHashSet;

use crate::error::{Error, ErrorKind, Result};
use crate::format::batch::BATCH_HEADER;
use crate::format::frame::records_len;
use crate::io::bugs::{Bug, planted};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::io::{DirectoryLock, Event, Machine, fork};
use crate::journal::{Journal, Promise, Report, Waits, closed};
use crate::limits::FRAME_MAX;
use crate::partition::{Footers, Most, Partition, Records, Rest};
use crate::state::{Cut, cut_behind};
use crate::types::{
    Durability, Incarnation, Isolation, Lsn, Offset, Place, Timestamp, TopicId, TransactionNumber, Visibility,
};
use hub::Hub;

/// How an engine is opened.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Level of topics that name none.
    pub durability: Durability,
    /// What readers see.
    pub visibility: Visibility,
    /// Size that segments grow to, bytes.
    pub segment_bytes: u64,
    /// Nothing is written.
    pub read_only: bool,
    /// Whether two background threads run; without them the caller calls `drive`.
    pub threads: bool,
    /// Whether sealed segments are mapped.
    pub mappings: bool,
    /// Go on although durable frames are lost.
    pub accept_loss: bool,
    /// How long frames at level `os` may stay unflushed, milliseconds.
    pub flush_interval_ms: u64,
    /// Raw transactions that begin stay open when the log is opened again.
    pub keep_raw_transactions: bool,
    /// Memory of all open transactions' buffers, bytes.
    pub transaction_memory: usize,
    /// The longest timeout that a transaction may ask for, milliseconds.
    pub transaction_timeout_max_ms: u64,
    /// Where messages go.
    pub log: Logger,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            durability: Durability::Disk,
            visibility: Visibility::default(),
            segment_bytes: crate::limits::SEGMENT_DEFAULT,
            read_only: false,
            threads: true,
            mappings: true,
            accept_loss: false,
            flush_interval_ms: 1000,
            keep_raw_transactions: false,
            transaction_memory: crate::limits::TRANSACTION_MEMORY,
            transaction_timeout_max_ms: crate::limits::TRANSACTION_TIMEOUT_MAX.as_millis() as u64,
            log: Logger::default(),
        }
    }
}

/// Where an append went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The frame that holds it.
    pub lsn: Lsn,
    /// The level at which it is acknowledged.
    pub level: Durability,
    /// Offset of its first record.
    pub first: Offset,
    /// Offset of its last record.
    pub last: Offset,
    /// Its greatest timestamp.
    pub timestamp: i64,
    /// It was here already.
    pub duplicate: bool,
    /// The life that answers.
    pub incarnation: Incarnation,
}

/// An open engine. Handles share it; the last one to go closes it.
pub struct Inner {
    settings: Settings,
    machine: Machine,
    journal: Arc<Journal<Hub>>,
    hub: Arc<Hub>,
    footers: Footers,
    report: Report,
    incarnation: Incarnation,
    /// What recoveries have cut before this life.
    cuts: Vec<Cut>,
    /// What a write answers if this engine may not write.
    refused: Option<Error>,
    door: Door,
    lock: Mutex<Option<Box<dyn DirectoryLock>>>,
    keeper: worker::Worker,
    flusher: worker::Worker,
    /// One round of the keeper's at a time.
    rounds: Mutex<()>,
    /// One round of the flusher's at a time.
    chores: Mutex<()>,
    lingering: Mutex<Vec<Weak<dyn Lingering>>>,
    /// Consumers with a group.
    lagging: Mutex<Vec<Weak<dyn Lagging>>>,
    counts: metrics::Counts,
    teller: Arc<log::Teller>,
    attention: Arc<Attention>,
    expiry: Mutex<expiry::Expiry>,
    overdue: overdue::Watched,
    transacting: Mutex<Vec<Weak<dyn Transacting>>>,
    /// What open transactions take for their buffers.
    pub buffered: memory::Memory,
    /// What those with few offsets take for them.
    pub buffered_offsets: memory::Memory,
    /// When the keeper means to wake.
    awake_at: AtomicU64,
    /// Those who wait for records have heard that none will come.
    told_of_poison: AtomicBool,
    next_number: AtomicU64,
    last_number: TransactionNumber,
    closing: Mutex<close::Closing>,
    closed_event: Event,
}

/// What every call looks at and hardly anything changes, on lines of its own: beside what the engine's threads write it
/// would have to come from their cache each time.
#[repr(align(128))]
struct Door {
    closed: AtomicBool,
    /// Of the process that opened the log.
    forks: u32,
}

impl Inner {
    /// Refuses work once the engine is closed, and in a forked child.
    #[inline]
    pub fn check_open(&self) -> Result<()> {
        if self.is_forked() {
            self.journal.check_process()?;
        }
        if self.door.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        Ok(())
    }

    /// True in a process forked from the one that opened the log: no lock of this engine may be taken there, for the
    /// thread that held it is gone.
    pub fn is_forked(&self) -> bool {
        fork::generation() != self.door.forks
    }

    /// The same for calls that write.
    #[inline]
    pub fn check_writable(&self) -> Result<()> {
        self.check_open()?;
        match &self.refused {
            None => Ok(()),
            Some(error) => Err(error.clone()),
        }
    }

    /// Refuses work once the engine is closed or poisoned, and in a forked child.
    pub fn check_sound(&self) -> Result<()> {
        self.check_open()?;
        self.check_disk()
    }

    /// Refuses work once a write or flush has failed, and in a forked child.
    pub fn check_disk(&self) -> Result<()> {
        self.journal.check()
    }

    /// What the engine runs on.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The life that this engine is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    /// Whether background threads run.
    pub fn threads(&self) -> bool {
        self.settings.threads
    }

    /// Who can tell when a frame has met its level.
    pub fn waits(&self) -> Arc<dyn Waits> {
        self.journal.clone()
    }

    /// Everything up to `lsn` survives a power cut when the promise is kept.
    pub fn wait_durable(&self, lsn: Lsn) -> Result<Promise<()>> {
        self.check_open()?;
        let last = self.journal.look(|_, last| last);
        if lsn > last {
            let message =
                format!("no frame has that number yet; pass one that an append answered, lsn={lsn} last={last}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Promise::durable(lsn, ()))
    }

    /// Everything that was sent or appended so far is durable when the promise is kept.
    pub fn flush(&self) -> Result<Promise<()>> {
        self.check_writable()?;
        self.linger(u64::MAX);
        Ok(self.all_durable())
    }

    /// The same for who may not wait for room; `None` if something that is gathered has to.
    pub fn flush_now(&self) -> Result<Option<Promise<()>>> {
        self.check_writable()?;
        Ok(self.close_gathered_now().then(|| self.all_durable()))
    }

    /// Kept when everything that is placed is durable.
    fn all_durable(&self) -> Promise<()> {
        Promise::durable(self.journal.look(|_, last| last), ())
    }

    /// True if a frame with so many bytes of records would be placed without waiting, or refused whatever room there
    /// is.
    pub fn has_room(&self, bytes: usize) -> bool {
        let refused = || self.check_writable().and_then(|()| self.journal.check()).is_err();
        let len = room_for(bytes);
        !self.is_forked() && (len > FRAME_MAX || refused() || self.journal.has_room(len))
    }

    /// Waits until there is.
    pub fn await_room(&self, bytes: usize) -> Result<()> {
        self.check_writable()?;
        self.journal.enter(room_for(bytes)).map(drop)
    }

    /// Waits at most so long for a write or a flush that such a frame has to wait for. False: it still has to.
    pub fn room_within(&self, bytes: usize, timeout: Duration) -> Result<bool> {
        self.check_writable()?;
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.room_by(bytes, self.machine().clock.monotonic().saturating_add(timeout))
    }

    /// The same until a time of the monotonic clock, nanoseconds.
    pub fn room_by(&self, bytes: usize, deadline: u64) -> Result<bool> {
        self.journal.room_within(room_for(bytes), deadline)
    }

    /// What a look at a topic is good for: as long as this stays the same, so does the answer.
    #[inline]
    pub fn topic_changes(&self) -> u64 {
        self.hub.changes()
    }

    /// All topics that are there.
    pub fn topic_ids(&self) -> FxHashSet<TopicId> {
        self.hub.topics().iter().map(|topic| topic.id).collect()
    }

    /// A topic by its name, with its partitions as they are now.
    pub fn topic(&self, name: &str) -> Result<Arc<TopicHandle>> {
        self.check_open()?;
        self.hub.topic(name).ok_or_else(|| unknown_topic(name))
    }

    /// Reads records of a partition from an offset on; `rest` is what the read before ended in.
    pub fn read(
        &self,
        partition: &Arc<Partition>,
        offset: Offset,
        isolation: Isolation,
        most: Most,
        rest: Option<Rest>,
    ) -> Result<Records> {
        self.check_open()?;
        if let Some(written) = partition.unwritten()
            && let Err(error) = self.write_out()
            && offset >= written
        {
            return Err(error);
        }
        let places = (&**self.journal.segments(), &self.footers);
        let mut records = partition.read_within(places, offset, isolation, most, rest)?;
        // Behind the read: nothing that it shows lies behind these.
        let most = match partition.shown() {
            Durability::Disk => self.journal.durable_lsn(),
            _ => self.journal.shown_lsn(),
        };
        records.seen_by(self.incarnation, most);
        Ok(records)
    }

    /// Refuses a transaction's timeout that is out of range; `None` in, 0 out: for ever.
    pub fn check_timeout(&self, timeout: Duration) -> Result<u32> {
        let most = self.settings.transaction_timeout_max_ms;
        match u32::try_from(timeout.as_millis()) {
            Ok(ms) if ms > 0 && u64::from(ms) <= most => Ok(ms),
            _ => {
                let text = "a transaction's timeout is out of range, milliseconds; the most is an option of the engine";
                let given = timeout.as_millis();
                Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, least=1 most={most} given={given}")))
            }
        }
    }

    /// Whether the records that a place stands behind are still there.
    pub fn check_place(&self, partition: &Partition, place: &Place, offset: Offset) -> Result<()> {
        self.check_open()?;
        let (topic, number) = (partition.topic(), partition.number());
        let values = format!("topic={topic} partition={number} place={place:?}");
        if place.offset != offset {
            let message = format!("a place is read on from its own offset, {values} offset={offset}");
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        if place.incarnation > self.incarnation {
            let text = "the place is of a life that this log never had, it was put back to an older state; begin anew";
            return Err(Error::new(ErrorKind::Truncated, format!("{text}, {values} incarnation={}", self.incarnation)));
        }
        match cut_behind(&self.cuts, place.incarnation, place.lsn) {
            None => Ok(()),
            Some(Cut { incarnation, kept }) => {
                let text =
                    "records before this place were lost with a crash, others may have their offsets; begin anew";
                Err(Error::new(
                    ErrorKind::Truncated,
                    format!("{text}, {values} kept={kept} by_incarnation={incarnation}"),
                ))
            }
        }
    }

    /// Has everything written that is placed. A reader at level `memory` comes this way: it is never shown bytes that
    /// the disk could still refuse.
    fn write_out(&self) -> Result<()> {
        if planted(Bug::ReadWithoutWriting) {
            return Ok(());
        }
        let last = self.journal.look(|_, last| last);
        let written = self.journal.reach(last, Durability::Os, None);
        written.map(drop).map_err(|error| self.as_read(error))
    }

    /// Has what can be seen of a partition written.
    fn write_for(&self, partition: &Partition) -> Result<()> {
        partition.unwritten().map_or(Ok(()), |_| self.write_out())
    }

    /// Offset of the first record with such a timestamp or a greater one.
    pub fn offset_at(
        &self,
        partition: &Partition,
        timestamp: Timestamp,
        isolation: Isolation,
    ) -> Result<Option<Offset>> {
        self.check_open()?;
        self.write_for(partition)?;
        partition.offset_at(self.journal.segments(), &self.footers, timestamp, isolation)
    }

    /// The greatest timestamp, and offset of the first record that has it.
    pub fn max_timestamp(&self, partition: &Partition, isolation: Isolation) -> Result<Option<(Offset, Timestamp)>> {
        self.check_open()?;
        self.write_for(partition)?;
        partition.max_timestamp(self.journal.segments(), &self.footers, isolation)
    }

    /// A transaction's number, never given before.
    pub fn next_number(&self) -> Result<TransactionNumber> {
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        if number >= self.last_number {
            let message = "this life's transaction numbers are used up; close the log and open it again";
            return Err(Error::new(ErrorKind::LimitExceeded, message));
        }
        Ok(number)
    }

    /// The state, encoded, but for what each life changes by beginning: two engines that know the same answer the same
    /// bytes. For tests.
    #[cfg(feature = "sim")]
    pub fn digest(&self) -> Vec<u8> {
        let snapshot = self.journal.swept(|core| core.state.snapshot()).without_cuts();
        let mut out = Vec::new();
        (1..=snapshot.parts()).for_each(|part| snapshot.encode(part, &mut out));
        // Incarnation and first transaction number, behind the first part's own four words.
        out[16..32].fill(0);
        out
    }
}

/// Bytes of a frame with so many bytes of records; what is too many stays too many.
fn room_for(bytes: usize) -> usize {
    records_len(bytes.clamp(BATCH_HEADER, FRAME_MAX))
}
