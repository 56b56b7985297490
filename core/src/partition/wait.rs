//! Who waits for a partition to grow. Without watchers a move of the visible end costs one load.

use std::sync::Arc;

use super::Partition;
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::io::{Event, fork};

/// How a watcher hears that something has moved: by an event that a thread may park on, and, once each time it was
/// armed, by a hand that is laid on somebody's shoulder.
pub struct Signal {
    event: Event,
    armed: AtomicBool,
    /// The process that made it.
    forks: u32,
    /// Runs on whatever thread moved something, with locks held: it takes note, and rings, and no more.
    hand: Box<dyn Fn() + Send + Sync>,
}

impl Signal {
    /// A signal with its hand.
    pub fn new(hand: impl Fn() + Send + Sync + 'static) -> Arc<Signal> {
        Arc::new(Signal {
            event: Event::default(),
            armed: AtomicBool::new(false),
            forks: fork::generation(),
            hand: Box::new(hand),
        })
    }

    /// What to park on.
    pub fn event(&self) -> &Event {
        &self.event
    }

    /// The next move lays on the hand. Arm first, then look: whoever moves something looks here after, both
    /// sequentially consistent, so one of the two sees the other.
    pub fn arm(&self) {
        self.armed.store(true, Ordering::SeqCst);
    }

    /// Something has moved.
    pub fn happen(&self) {
        self.event.happen();
        if self.armed.load(Ordering::SeqCst) && self.armed.swap(false, Ordering::SeqCst) {
            (self.hand)();
        }
    }
}

/// The signals to give when the visible end moves.
#[derive(Default)]
pub(super) struct Watchers {
    /// Length of the list, read without its lock. A watcher registers before it looks at the visible end, and the
    /// writer looks here after it has moved the end, both sequentially consistent: one of the two sees the other.
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Signal>>>,
}

impl Watchers {
    pub(super) fn wake(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.list.lock().iter().for_each(|signal| signal.happen());
        }
    }

    fn add(&self, signal: &Arc<Signal>) {
        let mut list = self.list.lock();
        list.push(signal.clone());
        self.count.store(list.len(), Ordering::SeqCst);
    }

    fn remove(&self, signal: &Arc<Signal>) {
        let mut list = self.list.lock();
        if let Some(at) = list.iter().position(|s| Arc::ptr_eq(s, signal)) {
            list.swap_remove(at);
        }
        self.count.store(list.len(), Ordering::SeqCst);
    }
}

/// A registration: the signal is given whenever the partition's visible end moves, until this is dropped.
pub struct Watch {
    partition: Arc<Partition>,
    signal: Arc<Signal>,
}

impl Watch {
    pub(super) fn new(partition: &Arc<Partition>, signal: &Arc<Signal>) -> Watch {
        partition.watchers().add(signal);
        Watch { partition: partition.clone(), signal: signal.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a forked child the list's lock may be held by a thread that is not there.
        if self.signal.forks == fork::generation() {
            self.partition.watchers().remove(&self.signal);
        }
    }
}
