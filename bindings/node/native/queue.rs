//! What has finished, on its way from the engine's threads to JavaScript's. One queue per environment, with one waker.
//!
//! # Threading
//! The waker is called under the queue's lock, and the environment's cleanup takes it away under the same lock, before
//! Node tears its own half down: nobody calls it after that, whatever still finishes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use napi::Status;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use oncelog::{
    Appended, Committed, Engine, Error, ErrorKind, Identity, LogLevel, Offsets, Producer, Result, Ticket,
    TransactionStatus, TransactionalProducer, Verification,
};

use crate::bin::{empty, throw_away};
use crate::open_log::OpenLog;

/// Wakes JavaScript; does not hold the process.
pub type Waker = ThreadsafeFunction<(), (), (), Status, false, true>;

/// Something that has finished, and the number of who hears it.
pub enum Done {
    Nothing(u32),
    Failed(u32, Error),
    Appended(u32, Appended),
    Committed(u32, Committed),
    Value(u32, Value),
    /// A poll would answer.
    Ready(u32),
    /// A record that nobody waits for was refused.
    Refused(u32, Error),
    /// The engine says something.
    Line(u32, LogLevel, String),
}

/// Something that JavaScript has to take.
pub enum Value {
    Engine(Engine),
    Producer(Producer),
    Transactional(TransactionalProducer),
    /// Of records side by side the first one's answer, with their number.
    Many(Vec<(Appended, u32)>),
    Identity(Identity),
    Status(TransactionStatus),
    Offset(Option<u64>),
    /// A record's offset and timestamp.
    Time(Option<(u64, i64)>),
    Offsets(Offsets),
    Verification(Verification),
}

/// The queue of one environment.
#[derive(Default)]
pub struct Queue {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    done: VecDeque<Done>,
    waker: Option<Waker>,
    /// JavaScript was woken and has not drained yet.
    woken: bool,
    closed: bool,
    /// Logs that this environment has opened.
    logs: Vec<Weak<OpenLog>>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Arms the queue.
    pub fn wake_by(&self, waker: Waker) {
        self.lock().waker = Some(waker);
    }

    /// Adds something, from any thread.
    pub fn push(&self, done: Done) {
        let mut state = self.lock();
        if state.closed {
            drop(state);
            throw_away(done);
            return;
        }
        state.done.push_back(done);
        if !state.woken
            && let Some(waker) = &state.waker
        {
            // It fails only while the environment closes, and then there is nobody to wake.
            state.woken = waker.call((), ThreadsafeFunctionCallMode::NonBlocking) == Status::Ok;
        }
    }

    /// Takes all there is.
    pub fn take(&self) -> VecDeque<Done> {
        let mut state = self.lock();
        state.woken = false;
        std::mem::take(&mut state.done)
    }

    /// Has the process wait for what is under way, or not.
    pub fn hold(&self, env: &napi::Env, hold: bool) -> napi::Result<()> {
        let mut state = self.lock();
        let Some(waker) = &mut state.waker else { return Ok(()) };
        #[expect(deprecated, reason = "the only way to change it while the function lives")]
        if hold { waker.refer(env) } else { waker.unref(env) }
    }

    /// Remembers a log, to be closed with the environment.
    pub fn opened(&self, log: &Arc<OpenLog>) {
        let mut state = self.lock();
        state.logs.retain(|log| log.strong_count() > 0);
        state.logs.push(Arc::downgrade(log));
    }

    /// What was sent is written, by whoever is about to. This waits for the disk.
    pub fn flush(&self) {
        let logs: Vec<_> = self.lock().logs.iter().filter_map(Weak::upgrade).collect();
        for log in logs {
            // At the end of a process there is nobody to tell. A log that is being closed takes no flush, but is not
            // through with what was sent: a second close waits for the first.
            if log.flush().is_err_and(|error| error.kind() == ErrorKind::Closed) {
                let _ = log.close();
            }
        }
        empty();
    }

    /// The environment ends: nobody is woken any more, and what it opened is closed. This may wait for the disk, as the
    /// end of a program does.
    pub fn close(&self) {
        let (waker, done, logs) = {
            let mut state = self.lock();
            state.closed = true;
            (state.waker.take(), std::mem::take(&mut state.done), std::mem::take(&mut state.logs))
        };
        drop(waker);
        for log in logs.iter().filter_map(Weak::upgrade) {
            // What was acknowledged is kept in any case, and there is nobody to tell.
            let _ = log.close();
        }
        throw_away(done);
    }

    /// Queues what `done` makes of a ticket's answer; of a call that was refused at once, the error.
    pub fn watch<T: Send + 'static>(
        self: &Arc<Self>,
        who: u32,
        ticket: Result<Ticket<T>>,
        done: impl FnOnce(T) -> Done + Send + 'static,
    ) {
        match ticket {
            Err(error) => self.push(Done::Failed(who, error)),
            Ok(ticket) => {
                let queue = self.clone();
                ticket.on_done(move |answer| {
                    queue.push(match answer {
                        Ok(value) => done(value),
                        Err(error) => Done::Failed(who, error),
                    });
                });
            }
        }
    }
}
