//! The logger hook. Messages are queued where they arise and handed to the caller's function at the end of a call that
//! the caller made: no thread of the engine ever runs it. The queue has no lock that a fork could leave held.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{CString, c_char, c_void};
use std::ptr::null_mut;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicUsize};

use engine::{EngineOptions, Log, LogLevel};

use crate::codes::{ONCELOG_LOG_DEBUG, ONCELOG_LOG_ERROR, ONCELOG_LOG_INFO, ONCELOG_LOG_WARN};
use crate::error;

/// Takes a message: one line that ends with its variables as key=value. `level` is one of `ONCELOG_LOG_*`; the message
/// lives during the call only. It may call the library; messages that this gives rise to come with a later call.
pub type oncelog_log_fn = Option<unsafe extern "C" fn(context: *mut c_void, level: u32, message: *const c_char)>;

/// Messages that wait for a call; those past it are counted and dropped.
const QUEUE_MAX: usize = 1000;

struct Logger {
    log: oncelog_log_fn,
    context: *mut c_void,
    /// The one before, which another thread may still be reading: loggers are never freed.
    _before: *mut Logger,
}

struct Message {
    level: u32,
    text: CString,
    next: *mut Message,
}

static LOGGER: AtomicPtr<Logger> = AtomicPtr::new(null_mut());
/// The youngest message first.
static QUEUE: AtomicPtr<Message> = AtomicPtr::new(null_mut());
static QUEUED: AtomicUsize = AtomicUsize::new(0);
static DROPPED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static DELIVERING: Cell<bool> = const { Cell::new(false) };
}

/// Sets where the messages of all engines of this process go: that a log was opened, what was cut or is damaged, that
/// the disk failed, that a producer was fenced, that a log was closed. NULL: nowhere, as in the beginning.
///
/// The function runs at the end of calls to this library, on the thread that made the call and on no other; threads
/// that call at the same time may run it at the same time. `context` must stay good until no call is under way that
/// began before another logger was set.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_set_logger(log: oncelog_log_fn, context: *mut c_void) {
    let before = LOGGER.load(Acquire);
    LOGGER.store(Box::into_raw(Box::new(Logger { log, context, _before: before })), Release);
}

/// The function that was set, and its context.
fn listener() -> Option<(unsafe extern "C" fn(*mut c_void, u32, *const c_char), *mut c_void)> {
    // SAFETY: loggers are never freed.
    let logger = unsafe { LOGGER.load(Acquire).as_ref() }?;
    logger.log.map(|log| (log, logger.context))
}

struct Hook;

impl Log for Hook {
    fn log(&self, level: LogLevel, message: &str) {
        if listener().is_none() {
            return;
        }
        let level = match level {
            LogLevel::Error => ONCELOG_LOG_ERROR,
            LogLevel::Warn => ONCELOG_LOG_WARN,
            LogLevel::Info => ONCELOG_LOG_INFO,
            _ => ONCELOG_LOG_DEBUG,
        };
        if QUEUED.fetch_add(1, Relaxed) >= QUEUE_MAX {
            QUEUED.fetch_sub(1, Relaxed);
            DROPPED.fetch_add(1, Relaxed);
            return;
        }
        push(Box::new(Message { level, text: error::text(message), next: null_mut() }));
    }
}

fn push(message: Box<Message>) {
    let message = Box::into_raw(message);
    let mut head = QUEUE.load(Relaxed);
    loop {
        // SAFETY: the message came from a box just now and is this thread's until the exchange succeeds.
        unsafe { (*message).next = head };
        match QUEUE.compare_exchange_weak(head, message, Release, Relaxed) {
            Ok(_) => return,
            Err(now) => head = now,
        }
    }
}

/// Lets an engine's messages come here.
pub fn listen(options: EngineOptions) -> EngineOptions {
    options.log(Arc::new(Hook))
}

/// Hands over what is queued. Costs one load if nothing is.
#[inline]
pub fn deliver() {
    if !QUEUE.load(Relaxed).is_null() {
        deliver_all();
    }
}

#[cold]
fn deliver_all() {
    if DELIVERING.replace(true) {
        return;
    }
    let mut messages = Vec::new();
    let mut head = QUEUE.swap(null_mut(), AcqRel);
    while !head.is_null() {
        // SAFETY: the exchange took the whole list; its messages came from boxes and are this thread's alone.
        let message = unsafe { Box::from_raw(head) };
        head = message.next;
        messages.push(message);
    }
    QUEUED.fetch_sub(messages.len(), Relaxed);
    let dropped = DROPPED.swap(0, Relaxed);
    if dropped > 0 {
        let text = error::text(&format!("messages came faster than they were taken, dropped={dropped}"));
        messages.insert(0, Box::new(Message { level: ONCELOG_LOG_WARN, text, next: null_mut() }));
    }
    for message in messages.iter().rev() {
        if let Some((log, context)) = listener() {
            // SAFETY: whoever set the logger promised that it may be called with its context.
            unsafe { log(context, message.level, message.text.as_ptr()) };
        }
    }
    DELIVERING.set(false);
}
