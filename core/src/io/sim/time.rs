//! Time, waiting and randomness that stand still until asked.

use std::sync::Arc;

use super::Shared;
use crate::io::sync::atomic::Ordering;
use crate::io::{Clock, Event, Park, Random};

/// Times that the idle hooks may claim to have moved something before a wait counts as a deadlock.
const IDLE_ROUNDS_MAX: u32 = 1_000_000;

pub(super) struct SimClock(pub Arc<Shared>);

impl Clock for SimClock {
    fn monotonic(&self) -> u64 {
        self.0.state.lock().now
    }

    fn wall_ms(&self) -> i64 {
        let state = self.0.state.lock();
        state.wall_start_ms.saturating_add((state.now / 1_000_000).cast_signed())
    }
}

pub(super) struct SimPark(pub Arc<Shared>);

impl Park for SimPark {
    fn turns(&self, measured: bool) -> bool {
        measured || self.0.turns.load(Ordering::Relaxed)
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        for _ in 0..IDLE_ROUNDS_MAX {
            if event.seen() != seen {
                return true;
            }
            if !self.0.idle() {
                break;
            }
        }
        if event.seen() != seen {
            return true;
        }
        let Some(deadline) = deadline else {
            panic!("deadlock in simulation: the only thread waits, without a deadline, for what only it could do");
        };
        let mut state = self.0.state.lock();
        state.now = state.now.max(deadline);
        state.hit("clock ran to a deadline");
        false
    }
}

pub(super) struct SimRandom(pub Arc<Shared>);

impl Random for SimRandom {
    fn fill(&self, bytes: &mut [u8]) {
        self.0.state.lock().inner.fill(bytes);
    }
}
