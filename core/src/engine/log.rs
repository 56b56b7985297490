//! What an engine tells beside its answers: what opening found, what ends it.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parking_lot::Mutex;

use super::Inner;
use crate::error::{Error, ErrorKind};
use crate::types::Opening;

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
/// key=value.
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

/// The log of an engine, if it has one.
#[derive(Clone, Default)]
pub struct Logger(Option<Arc<Listener>>);

struct Listener {
    log: Arc<dyn Log>,
    /// Told where locks may be held, and said in the next round.
    late: Mutex<Vec<(LogLevel, String)>>,
}

impl Logger {
    /// Messages go there.
    pub fn new(log: Arc<dyn Log>) -> Self {
        Logger(Some(Arc::new(Listener { log, late: Mutex::default() })))
    }

    /// Says what `message` makes; makes nothing if nobody listens.
    pub(super) fn say(&self, level: LogLevel, message: impl FnOnce() -> String) {
        if let Some(listener) = &self.0 {
            listener.say(level, &message());
        }
    }

    /// The same from anywhere: it is said in the next round.
    fn note(&self, level: LogLevel, message: impl FnOnce() -> String) {
        if let Some(listener) = &self.0 {
            let message = message();
            listener.late.lock().push((level, message));
        }
    }

    /// Says what was noted.
    pub(super) fn say_noted(&self) {
        if let Some(listener) = &self.0 {
            let late = std::mem::take(&mut *listener.late.lock());
            late.iter().for_each(|(level, message)| listener.say(*level, message));
        }
    }
}

impl Listener {
    fn say(&self, level: LogLevel, message: &str) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.log.log(level, message)));
    }
}

impl fmt::Debug for Logger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Some(..)" } else { "None" })
    }
}

impl Inner {
    /// What opening found, and from now on what the journal fails at.
    pub(super) fn log_opening(&self) {
        let log = &self.settings.log;
        if log.0.is_none() {
            return;
        }
        let Opening { created, incarnation, frames_copied, cut, damage } = self.opening();
        for hole in damage {
            log.say(LogLevel::Error, || {
                format!(
                    "durable frames are damaged; restore the file from a backup, first_lsn={} last_lsn={} file={} \
                     position={} records_only={}",
                    hole.first_lsn, hole.last_lsn, hole.file, hole.position, hole.records_only
                )
            });
        }
        if let Some(lost) = cut {
            log.say(LogLevel::Warn, || {
                let (kept, seen, bytes) = (lost.last_kept, lost.last_seen, lost.bytes);
                format!("a torn tail was cut, nothing in it was safe, last_kept={kept} last_seen={seen} bytes={bytes}")
            });
        }
        let read_only = self.refused.is_some();
        log.say(LogLevel::Info, || {
            format!(
                "opened the log, incarnation={incarnation} created={created} frames_copied={frames_copied} \
                 read_only={read_only}"
            )
        });
        let log = log.clone();
        self.journal.on_poison(Box::new(move |cause| {
            log.note(LogLevel::Error, || {
                format!("the disk failed; close the log, look after the disk, open it again, cause={cause:?}")
            });
        }));
    }

    /// A refusal is the caller's, but for a fence, which somebody ought to know of.
    pub(super) fn log_refusal(&self, error: &Error) {
        if error.kind() == ErrorKind::ProducerFenced {
            self.settings.log.note(LogLevel::Warn, || error.message().to_owned());
            self.journal.ring();
        }
    }
}
