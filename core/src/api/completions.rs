//! Finished things in one queue with one descriptor, for event loops.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::Mutex;
use crate::io::wake::{Descriptor, Wake};
use crate::journal::Ticket;

/// A queue of what has finished. An event loop watches its descriptor, drains it when that is readable, and so needs
/// neither a thread per call nor callbacks on threads that are not its own. Clones are handles to the same queue.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Completions, Engine, ProducerOptions, Record, TopicOptions};
/// let engine = Engine::options().threads(false).open(dir.path())?;
/// engine.create_topic("orders", TopicOptions::new())?;
/// let producer = engine.producer(ProducerOptions::new())?;
///
/// let completions = Completions::new()?;
/// for call in 0..3u32 {
///     let ticket = producer.send("orders", Record::new(b"42"))?;
///     completions.watch(ticket, move |answer| (call, answer.map(|appended| appended.first)));
/// }
/// producer.flush()?;
/// engine.drive()?; // with threads the engine does this by itself; wait for `descriptor` to become readable
///
/// let mut done = Vec::new();
/// assert_eq!(completions.drain(&mut done)?, 3);
/// assert!(done.iter().all(|(call, offset)| matches!(offset, Ok(offset) if *offset == u64::from(*call))));
/// # Ok::<(), oncelog::Error>(())
/// ```
pub struct Completions<D> {
    queue: Arc<Queue<D>>,
}

struct Queue<D> {
    done: Mutex<Vec<D>>,
    /// Raised while the queue is not empty; changed under its lock only.
    wake: Wake,
}

impl<D: Send + 'static> Completions<D> {
    /// An empty queue and its descriptor, which are gone with the last handle.
    ///
    /// # Errors
    /// `Io` if the process may open no more descriptors.
    pub fn new() -> Result<Self> {
        let wake = Wake::new().map_err(|cause| {
            let text = "no descriptor could be made; close some, or raise the limit";
            Error::with_source(ErrorKind::Io, format!("{text}, cause={cause}"), cause)
        })?;
        Ok(Self { queue: Arc::new(Queue { done: Mutex::default(), wake }) })
    }

    /// Puts `done` of the ticket's answer into the queue when there is one: what was acknowledged, what failed, and
    /// what the close of the engine left. What one thread sends to a partition and watches comes in the order of the
    /// sends. `done` runs where callbacks run, on the engine's keeper or inside `drive`; a
    /// panic in it is caught, and then nothing is queued. It runs too if nobody holds the queue any more.
    pub fn watch<T: Send + 'static>(&self, ticket: Ticket<T>, done: impl FnOnce(Result<T>) -> D + Send + 'static) {
        // A queue that nobody can drain is not kept for the sake of what is on its way.
        let queue = Arc::downgrade(&self.queue);
        ticket.on_done(move |answer| {
            let done = done(answer);
            if let Some(queue) = queue.upgrade() {
                queue.push(done);
            }
        });
    }

    /// Puts something into the queue; from any thread.
    pub fn push(&self, done: D) {
        self.queue.push(done);
    }

    /// Moves all that is queued behind what `into` holds, in the order in which it came, and answers how much it was.
    /// Clears the descriptor.
    ///
    /// # Errors
    /// `Forked`: what is queued is the parent's, and stays with it.
    pub fn drain(&self, into: &mut Vec<D>) -> Result<usize> {
        let Queue { done, wake } = &*self.queue;
        if wake.is_forked() {
            return Err(Error::new(ErrorKind::Forked, FORKED));
        }
        let mut done = done.lock();
        let count = done.len();
        if count > 0 || Wake::LATE {
            wake.lower();
            into.append(&mut done);
        }
        Ok(count)
    }

    /// What to watch for reading: readable while something is queued. Read nothing from it, `drain` does. On Windows it
    /// is a socket, for `select`, `WSAPoll` and `WSAEventSelect`, and may now and then be readable for nothing: drain
    /// all the same.
    pub fn descriptor(&self) -> Descriptor {
        self.queue.wake.descriptor()
    }
}

const FORKED: &str = "this queue is the parent process's; make one of its own in the child";

impl<D> Queue<D> {
    fn push(&self, done: D) {
        // Before the lock: in a forked child it may be held for ever.
        if self.wake.is_forked() {
            return;
        }
        let mut queue = self.done.lock();
        queue.push(done);
        if queue.len() == 1 {
            self.wake.raise();
        }
    }
}

impl<D> Clone for Completions<D> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<D> std::fmt::Debug for Completions<D> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Completions").field("descriptor", &self.queue.wake.descriptor()).finish_non_exhaustive()
    }
}
