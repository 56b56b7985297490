//! What an engine tells beside its answers: what opening found, what is damaged, who was shut out, what ends it. Every
//! event goes to the engine's `Log` and, with the feature `tracing`, to the subscriber of that crate, from one place.

use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock, Weak};

use super::Inner;
use super::event::Event;
use crate::io::fork;
use crate::io::sync::Mutex;
use crate::journal::{Gap, Segments};
use crate::partition::{Loss, Witness};
use crate::types::Opening;

/// Events that wait for a round; what comes on top is counted.
const LATE: usize = 1000;

/// How much a message matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LogLevel {
    /// Something is lost or broken: damaged frames, a write or flush that failed.
    Error,
    /// Something is as it must be and may surprise: a torn tail that was cut, a producer that was fenced.
    Warn,
    /// What happens once in a life: the log was opened.
    Info,
    /// The rest: the log was closed.
    Debug,
}

/// Where an engine's messages go; see `EngineOptions::log`. Each is one line that ends with its variables as
/// key=value. With the feature `tracing` the same events go to the subscriber of the crate `tracing` as well, with the
/// target `oncelog`, the names below and the variables as fields:
///
/// | event | level | fields | when |
/// |---|---|---|---|
/// | `opened` | info | incarnation, created, frames_copied, read_only | the log was opened; recovery copied frames |
/// | `tail_cut` | warn | last_kept, last_seen, bytes | opening cut a torn tail; LSNs |
/// | `damaged` | error | first_lsn, last_lsn, file, position, records_only | opening found durable frames damaged |
/// | `unreadable` | error | topic, partition, offset, end_offset, file, position, first_lsn, last_lsn | damage read |
/// | `poisoned` | error | durable_lsn, cause | a write or flush failed, nothing more is written |
/// | `taken_over` | debug | name, producer_id, epoch | a name that had a holder was opened: that one is fenced |
/// | `fenced` | warn | producer_id, epoch; of a raw batch also topic, partition, offset | a fenced holder was refused |
/// | `aborted` | debug | number, producer_id, epoch, cause; of one in the log also where | a transaction was aborted |
/// | `events_dropped` | warn | events | more came between two rounds of the keeper than are kept, 1,000 |
/// | `closed` | debug | incarnation | the log was closed |
///
/// Each abort is told once, when it happens. Its cause is `owner`, the kind of the error that refused the commit,
/// `timeout`, `number` (by `Engine::abort_transaction`), `fence` (by a newer holder of the name, or its deletion) or
/// `reopen` (left open by the last life). Where its records lie say the fields `topic`, `partition` and `offset`, of
/// the first record in the first of the partitions that it reached, and `partitions`, how many those are.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use std::sync::Arc;
/// use oncelog::{Engine, Log, LogLevel};
/// struct Stderr;
/// impl Log for Stderr {
///     fn log(&self, level: LogLevel, message: &str) {
///         eprintln!("{level:?}: {message}");
///     }
/// }
/// let engine = Engine::options().log(Arc::new(Stderr)).open(dir.path())?;
/// # engine.close()?;
/// # Ok::<(), oncelog::Error>(())
/// ```
pub trait Log: Send + Sync {
    /// Takes one message. Called outside all locks: by whoever opens or closes the log, else on the keeper or inside
    /// `drive`, as callbacks are. A panic in it is caught and dropped.
    fn log(&self, level: LogLevel, message: &str);
}

/// Where messages go, as options say it.
#[derive(Clone, Default)]
pub struct Logger(Option<Arc<dyn Log>>);

impl Logger {
    /// Messages go there.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Logger(Some(log))
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

/// Tells what happens.
pub struct Teller {
    log: Logger,
    /// The process that opened the log: its child tells nothing, for a lock of it may be held for ever.
    forks: u32,
    /// Noted where locks may be held, and told in the next round.
    late: Mutex<Late>,
    /// Has the next round come soon.
    ring: OnceLock<Box<dyn Fn() + Send + Sync>>,
    /// What is looked at to say which frames are damaged. Whoever holds records holds this teller, not the log.
    segments: OnceLock<Weak<Segments>>,
}

#[derive(Default)]
struct Late {
    events: Vec<Event>,
    dropped: u64,
}

impl Teller {
    pub(super) fn new(log: Logger) -> Arc<Teller> {
        Arc::new(Teller {
            log,
            forks: fork::generation(),
            late: Mutex::default(),
            ring: OnceLock::new(),
            segments: OnceLock::new(),
        })
    }

    /// Whether anybody could hear.
    fn is_heard(&self) -> bool {
        (self.log.0.is_some() || Event::is_traced()) && fork::generation() == self.forks
    }

    /// Tells it now: outside all locks only.
    pub(super) fn tell(&self, event: &Event) {
        if self.is_heard() {
            let log = self.log.0.as_deref();
            // A panic of the listener's is its own.
            let _ = catch_unwind(AssertUnwindSafe(|| event.tell(log)));
        }
    }

    /// The same from anywhere: it is told in the next round. Makes nothing if nobody listens.
    pub(super) fn note(&self, event: impl FnOnce() -> Event) {
        if !self.is_heard() {
            return;
        }
        let event = event();
        let mut late = self.late.lock();
        // What is no trouble wakes nobody: it comes with the next round, unless there is much of it.
        let soon = !event.is_ordinary() || late.events.len() == LATE / 2;
        if late.events.len() < LATE {
            late.events.push(event);
        } else {
            late.dropped += 1;
        }
        drop(late);
        if let Some(ring) = self.ring.get().filter(|_| soon) {
            ring();
        }
    }

    /// Tells what was noted.
    pub(super) fn tell_noted(&self) {
        if !self.is_heard() {
            return;
        }
        let Late { events, dropped } = std::mem::take(&mut *self.late.lock());
        events.iter().for_each(|event| self.tell(event));
        if dropped > 0 {
            self.tell(&Event::Dropped { events: dropped });
        }
    }
}

impl Witness for Teller {
    fn lost(&self, loss: &Loss<'_>) {
        self.note(|| Event::Unreadable {
            topic: loss.topic.clone(),
            partition: loss.partition,
            offset: loss.offsets.start,
            end_offset: loss.offsets.end,
            file: loss.file.to_owned(),
            position: loss.position,
            lsns: loss.lsns,
        });
    }

    fn damaged(&self, segment: u64, bytes: Range<u64>, until: u64) -> Option<Gap> {
        // In a forked child a lock of the segments may be held for ever.
        let segments = self.segments.get().filter(|_| fork::generation() == self.forks)?;
        segments.upgrade()?.damaged(segment, bytes, until)
    }
}

impl Inner {
    /// What opening found, and from now on what the journal fails at.
    pub(super) fn log_opening(&self) {
        let (teller, journal) = (&self.teller, Arc::downgrade(&self.journal));
        let _ = teller.segments.set(Arc::downgrade(self.journal.segments()));
        let _ = teller.ring.set(Box::new(move || {
            if let Some(journal) = journal.upgrade() {
                journal.ring();
            }
        }));
        let Opening { created, incarnation, frames_copied, cut, damage, .. } = self.opening();
        for hole in damage {
            let (first_lsn, last_lsn, records_only) = (hole.first_lsn, hole.last_lsn, hole.records_only);
            let (file, position) = (hole.file, hole.position);
            teller.tell(&Event::Damaged { first_lsn, last_lsn, file, position, records_only });
        }
        if let Some(lost) = cut {
            let (last_kept, last_seen, bytes) = (lost.last_kept, lost.last_seen, lost.bytes);
            teller.tell(&Event::TailCut { last_kept, last_seen, bytes });
        }
        let read_only = self.refused.is_some();
        teller.tell(&Event::Opened { incarnation, created, frames_copied, read_only });
        let (teller, journal) = (teller.clone(), Arc::downgrade(&self.journal));
        self.journal.on_poison(Box::new(move |cause| {
            let durable_lsn = journal.upgrade().map_or(0, |journal| journal.durable_lsn());
            teller.note(|| Event::Poisoned { durable_lsn, cause: format!("{cause:?}") });
        }));
    }
}
