//! Who waits for a partition to grow. Without watchers a move of the visible end costs one load.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::Partition;
use crate::io::Event;

/// The events to raise when the visible end moves.
#[derive(Default)]
pub(super) struct Watchers {
    /// Length of the list, read without its lock. A watcher registers before it looks at the visible end, and the
    /// writer looks here after it has moved the end, both sequentially consistent: one of the two sees the other.
    count: AtomicUsize,
    list: Mutex<Vec<Arc<Event>>>,
}

impl Watchers {
    pub(super) fn wake(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            self.list.lock().iter().for_each(|event| event.happen());
        }
    }

    fn add(&self, event: &Arc<Event>) {
        let mut list = self.list.lock();
        list.push(event.clone());
        self.count.store(list.len(), Ordering::SeqCst);
    }

    fn remove(&self, event: &Arc<Event>) {
        let mut list = self.list.lock();
        if let Some(at) = list.iter().position(|e| Arc::ptr_eq(e, event)) {
            list.swap_remove(at);
        }
        self.count.store(list.len(), Ordering::SeqCst);
    }
}

/// A registration: the event happens whenever the partition's visible end moves, until this is dropped.
pub struct Watch {
    partition: Arc<Partition>,
    event: Arc<Event>,
}

impl Watch {
    pub(super) fn new(partition: &Arc<Partition>, event: &Arc<Event>) -> Watch {
        partition.watchers().add(event);
        Watch { partition: partition.clone(), event: event.clone() }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.partition.watchers().remove(&self.event);
    }
}
