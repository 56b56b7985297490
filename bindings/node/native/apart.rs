//! What may wait for long, beside JavaScript's thread: each on a thread of its own, or, where any number may be asked
//! for at once, on a few that they share.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

use oncelog::{Error, ErrorKind, Result};

use crate::queue::{Done, Queue};

/// Searches of one log that run at once: enough for a disk that answers several, and for one that is slow with some.
const SEARCHES_MAX: usize = 4;

/// Runs something on a thread of its own; `who` hears what came of it.
pub fn run_apart(
    name: &str,
    queue: &Arc<Queue>,
    who: u32,
    run: impl FnOnce() -> Result<Done> + Send + 'static,
) -> Result<()> {
    start(name, answered(queue, who, run))
}

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    Builder::new().name(name.into()).spawn(run).map(drop).map_err(|error| {
        Error::with_source(ErrorKind::Io, "a thread could not be started; free some and try again", error)
    })
}

/// Runs something and has `who` hear what came of it, whatever it does.
fn answered(
    queue: &Arc<Queue>,
    who: u32,
    run: impl FnOnce() -> Result<Done> + Send + 'static,
) -> impl FnOnce() + Send + 'static {
    let queue = queue.clone();
    move || {
        let panicked = |_| Err(Error::new(ErrorKind::Panic, "a panic was caught; report this"));
        let done = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(panicked);
        queue.push(done.unwrap_or_else(|error| Done::Failed(who, error)));
    }
}

/// The searches of one log, oldest first. The threads are there as long as something is to be done: when the log is
/// closed that is soon, since what waits then is answered `Closed`.
#[derive(Default)]
pub struct Searches(Arc<Shared>);

#[derive(Default)]
struct Shared(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    calls: VecDeque<Box<dyn FnOnce() + Send>>,
    threads: usize,
}

impl Searches {
    /// Has `search` run when it is its turn; `who` hears what it found.
    pub fn ask(
        &self,
        queue: &Arc<Queue>,
        who: u32,
        search: impl FnOnce() -> Result<Done> + Send + 'static,
    ) -> Result<()> {
        let mut waiting = self.0.lock();
        waiting.calls.push_back(Box::new(answered(queue, who, search)));
        if waiting.threads == SEARCHES_MAX {
            return Ok(());
        }
        let shared = self.0.clone();
        match start("oncelog-time", move || shared.work()) {
            Ok(()) => waiting.threads += 1,
            // Those that are there come to it.
            Err(_) if waiting.threads > 0 => {}
            Err(error) => {
                waiting.calls.pop_back();
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Works off what waits; whoever asks behind that starts another thread.
    fn work(&self) {
        while let Some(call) = self.next() {
            call();
        }
    }

    fn next(&self) -> Option<Box<dyn FnOnce() + Send>> {
        let mut waiting = self.lock();
        let call = waiting.calls.pop_front();
        if call.is_none() {
            waiting.threads -= 1;
        }
        call
    }
}
