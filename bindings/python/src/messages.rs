//! What the engine has to say, for Python's `logging`.
//!
//! The engine's threads never take the interpreter lock, so a message waits here until the next call that has it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use oncelog::io::fork;
use oncelog::io::sync::Mutex;
use oncelog::{Log, LogLevel};
use pyo3::exceptions::PyKeyboardInterrupt;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// Messages kept while nobody calls; older ones give way.
const KEPT: usize = 1000;
/// Queues, one for each generation of forks. Children this deep share one with an ancestor.
const GENERATIONS: usize = 64;

struct Message {
    /// A forked child inherits what its parent will tell.
    process: u32,
    level: u8,
    text: String,
}

/// How many gave way since messages were handed over last.
static DROPPED: AtomicU64 = AtomicU64::new(0);
static WAITING: AtomicBool = AtomicBool::new(false);
static MESSAGES: [Mutex<VecDeque<Message>>; GENERATIONS] = [const { Mutex::new(VecDeque::new()) }; GENERATIONS];
static LOGGER: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// What this process has to tell. A forked child has another queue than its parent, whose lock may be held for ever
/// there: the child's own logs have something to say too.
fn messages() -> &'static Mutex<VecDeque<Message>> {
    &MESSAGES[fork::generation() as usize % GENERATIONS]
}

/// Takes the messages of any engine.
pub struct Queue;

impl Log for Queue {
    fn log(&self, level: LogLevel, message: &str) {
        let level = match level {
            LogLevel::Error => 40,
            LogLevel::Warn => 30,
            LogLevel::Info => 20,
            _ => 10,
        };
        let mut messages = messages().lock();
        if messages.len() == KEPT {
            messages.pop_front();
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
        messages.push_back(Message { process: std::process::id(), level, text: message.to_owned() });
        WAITING.store(true, Ordering::Release);
    }
}

/// Hands over what is waiting. One load if nothing is.
#[inline]
pub fn deliver(py: Python<'_>) {
    if WAITING.load(Ordering::Relaxed) {
        deliver_all(py);
    }
}

#[cold]
fn deliver_all(py: Python<'_>) {
    let (messages, dropped) = {
        // Tried only: whoever holds it comes here again. Given back before any handler runs: it may open or close a
        // log, which has something to tell, and a slow one must not hold up the engine's thread.
        let Some(mut waiting) = messages().try_lock() else { return };
        WAITING.store(false, Ordering::Relaxed);
        (std::mem::take(&mut *waiting), DROPPED.swap(0, Ordering::Relaxed))
    };
    let own = std::process::id();
    let lost = (dropped > 0).then(|| {
        let text = format!("older messages gave way, for no call came that could hand them over, dropped={dropped}");
        Message { process: own, level: 30, text }
    });
    let mut interrupted = false;
    for message in lost.into_iter().chain(messages).filter(|message| message.process == own) {
        match tell(py, &message) {
            Err(error) if error.is_instance_of::<PyKeyboardInterrupt>(py) => interrupted = true,
            // A handler of the application failed, not the call that happens to deliver.
            Err(error) => error.write_unraisable(py, None),
            Ok(()) => {}
        }
    }
    // Ctrl-C met a handler. The call that delivers has its answer, so it is heard right behind it.
    if interrupted && let Err(error) = py.import("_thread").and_then(|thread| thread.call_method0("interrupt_main")) {
        error.write_unraisable(py, None);
    }
}

fn tell(py: Python<'_>, message: &Message) -> PyResult<()> {
    let logger = LOGGER.get_or_try_init(py, || {
        Ok::<_, PyErr>(py.import("logging")?.call_method1("getLogger", ("oncelog",))?.unbind())
    })?;
    logger.bind(py).call_method1("log", (message.level, "%s", &message.text)).map(drop)
}
