//! The state while the log opens: from a checkpoint's parts, then frame by frame.

use std::sync::Arc;

use super::hub::{Hub, Notes};
use crate::format::control::Opened;
use crate::format::frame::{Frame, Payload};
use crate::journal::{Placed, Restore};
use crate::state::{Loader, State};
use crate::types::{Incarnation, Lsn};

/// Transaction numbers that one life may give out.
const NUMBERS: u64 = 1 << 32;

pub struct Restoring {
    hub: Arc<Hub>,
    loader: Option<Loader>,
    state: State,
    /// What this life's `opened` frame says.
    pub opened: Option<Opened>,
}

impl Restoring {
    pub fn new(hub: Arc<Hub>) -> Restoring {
        Restoring { hub, loader: None, state: State::default(), opened: None }
    }
}

impl Restore<Hub> for Restoring {
    fn part(&mut self, lsn: Lsn, body: &[u8]) -> Option<()> {
        self.loader.get_or_insert_with(|| Loader::new(lsn)).add(body)
    }

    fn load(&mut self) -> Option<()> {
        self.state = self.loader.take()?.finish()?;
        Some(())
    }

    fn clear(&mut self) {
        self.loader = None;
        self.state = State::default();
    }

    fn frame(&mut self, lsn: Lsn, payload: &Payload<'_>) {
        if let Payload::Opened(opened) = payload {
            self.opened = Some(*opened);
        }
        self.state.apply(lsn, payload);
        // Nobody waits for a lock here.
        self.state.sweep(usize::MAX);
    }

    fn incarnation(&self) -> Incarnation {
        self.state.incarnation
    }

    fn opened(&self, incarnation: Incarnation, wall_ms: u64) -> Opened {
        Opened {
            incarnation,
            first_number: self.state.first_number(),
            numbers: NUMBERS,
            first_producer_id: self.state.next_producer_id().max(0).unsigned_abs(),
            wall_ms,
        }
    }

    fn finish(&mut self) -> State {
        let state = std::mem::take(&mut self.state);
        self.hub.expect(state.topics().map(|topic| topic.partitions as usize).sum());
        for topic in state.topics() {
            let mut partitions = Vec::with_capacity(topic.partitions as usize);
            while !self.hub.adopt(topic, &state, &mut partitions) {}
        }
        state
    }

    fn notes(&self, placed: Placed, frame: &Frame<'_>, notes: &mut Notes) {
        self.hub.notes_of(placed, frame, notes);
    }
}
