//! What was polled and not given to the caller yet.
//!
//! The engine counts a whole poll as read. Who loops over a consumer gets it record by record, and gets the first of
//! them only when the thread that polled has the interpreter lock again: until then a commit, or a transaction that is
//! bound to the consumer, has no business with the positions that the engine knows.

use std::time::Duration;

use oncelog::{Consumer, Error, ErrorKind, Offsets, Records, Result, TopicPartition};
use pyo3::prelude::*;

use crate::walk::{Step, Walk};

/// Where a consumer stands. Positions are moved, and looked at, by whoever holds it: nobody comes between a poll and
/// the note of what it moved, nor between the positions of a caller and a commit of them.
#[derive(Default)]
pub struct Standing {
    /// How many partitions are assigned.
    pub assigned: usize,
    ahead: Option<Ahead>,
    /// The consumer was closed: nobody polls any more.
    closed: bool,
    /// So many transactions are on their way to put the consumer back to where they began, further than any poll since.
    going_back: usize,
}

/// A poll that was not given out whole.
pub struct Ahead {
    /// None until the thread that polled has the interpreter lock again.
    walk: Option<Walk>,
    places: Vec<Place>,
}

/// A partition that the poll read from.
struct Place {
    name: TopicPartition,
    /// The offset behind the last record that the caller was given; where the poll began if there is none.
    given: u64,
    /// Where the poll ended, and the engine stands.
    end: u64,
}

impl Ahead {
    fn of(records: &Records, before: &Offsets) -> Self {
        let mut places: Vec<Place> = Vec::new();
        for (topic, partition, end) in records.next_offsets() {
            if let Some(known) = places.iter_mut().find(|at| at.is(topic, partition)) {
                known.end = end;
                continue;
            }
            let name = TopicPartition::new(topic, partition);
            let first = || {
                let mut own = records.iter().flatten().filter(|r| r.partition() == partition && r.topic() == topic);
                own.next().map_or(end, |record| record.offset())
            };
            // A position that was found out by the poll itself, as where offsets were pending, begins with its records.
            let given = before.get(&name).map(|at| at.offset).filter(|at| *at <= end).unwrap_or_else(first);
            places.push(Place { name, given, end });
        }
        Self { walk: None, places }
    }

    fn next<'py>(&mut self, py: Python<'py>) -> Option<oncelog::Result<Step<'py>>> {
        let next = self.walk.as_mut()?.next_again(py);
        if let Some(Ok(step)) = &next {
            let view = step.view();
            let behind = view.offset() + 1;
            match self.places.last_mut() {
                Some(at) if at.is(view.topic(), view.partition()) => at.given = behind,
                _ => self.turn_to(view.topic(), view.partition(), behind),
            }
        }
        next
    }

    /// Records come partition by partition: the last place is the one that they come from.
    #[cold]
    fn turn_to(&mut self, topic: &str, partition: u32, behind: u64) {
        if let Some(found) = self.places.iter().position(|at| at.is(topic, partition)) {
            let mut at = self.places.remove(found);
            at.given = behind;
            self.places.push(at);
        }
    }
}

impl Place {
    #[inline]
    fn is(&self, topic: &str, partition: u32) -> bool {
        self.name.partition == partition && self.name.topic == topic
    }
}

impl Standing {
    /// Polls what is there, and notes what that moved. None: nothing is there, or the positions are about to move. It
    /// waits for nothing where the positions are settled.
    pub fn poll(&mut self, core: &Consumer, before: &Offsets) -> Result<Option<Records>> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the consumer was closed while this call waited"));
        }
        if self.is_going_back() {
            return Ok(None);
        }
        let records = core.poll(Duration::ZERO)?;
        if records.is_empty() {
            return Ok(None);
        }
        self.ahead = Some(Ahead::of(&records, before));
        Ok(Some(records))
    }

    pub fn has_polled(&self) -> bool {
        self.ahead.is_some()
    }

    /// The walk over what was polled; given back if that was given back meanwhile.
    pub fn begin(&mut self, walk: Walk) -> Option<Walk> {
        match &mut self.ahead {
            Some(ahead) => ahead.walk.replace(walk),
            None => Some(walk),
        }
    }

    /// The next record, and what is over if there is none: to be dropped when this is let go.
    #[inline]
    pub fn next<'py>(&mut self, py: Python<'py>) -> (Option<oncelog::Result<Step<'py>>>, Option<Ahead>) {
        let next = self.ahead.as_mut().and_then(|ahead| ahead.next(py));
        let over = next.is_none() && self.ahead.as_ref().is_some_and(|ahead| ahead.walk.is_some());
        (next, if over { self.ahead.take() } else { None })
    }

    /// Keeps the object that a record was given out in.
    pub fn keep(&mut self, record: &Bound<'_, crate::records::Record>) {
        if let Some(walk) = self.ahead.as_mut().and_then(|ahead| ahead.walk.as_mut()) {
            walk.keep(record);
        }
    }

    /// What is left to give out is not ahead of anything any more: it was given whole, or the positions go elsewhere.
    pub fn forget(&mut self) -> Option<Ahead> {
        self.ahead.take()
    }

    /// Partitions of which the caller has less than the engine thinks.
    fn left(&self) -> impl Iterator<Item = &Place> {
        let places = self.ahead.iter().flat_map(|ahead| &ahead.places);
        places.filter(|at| at.given < at.end)
    }

    /// Where the caller stands in a partition, and how far the engine is ahead of that.
    pub fn given(&self, name: &TopicPartition) -> Option<(u64, u64)> {
        self.left().find(|at| at.name == *name).map(|at| (at.given, at.end - at.given))
    }

    /// Puts the positions of the caller in place of the engine's.
    pub fn tell(&self, positions: &mut Offsets) {
        for at in self.left() {
            if let Some(known) = positions.get_mut(&at.name) {
                known.offset = at.given;
            }
        }
    }

    /// Has the engine go back to where the caller stands. Answers what is to be dropped when this is let go.
    pub fn give_back(&mut self, core: &Consumer) -> (Option<Ahead>, Result<()>) {
        let sought = self.left().try_for_each(|at| core.seek(&at.name, at.given));
        (self.ahead.take(), sought)
    }

    /// The same, and for good.
    pub fn close(&mut self, core: &Consumer) -> (Option<Ahead>, Result<()>) {
        self.closed = true;
        self.give_back(core)
    }

    /// Makes a call for which the positions are those of the caller, and goes on behind it with what was polled.
    /// Answers what is to be dropped when this is let go, if anything is, with the call's own answer.
    pub fn at_given<T>(&mut self, core: &Consumer, call: impl FnOnce() -> Result<T>) -> (Option<Ahead>, Result<T>) {
        let sought = self.left().try_for_each(|at| core.seek(&at.name, at.given));
        if let Err(error) = sought {
            return (self.ahead.take(), Err(error));
        }
        let answer = call();
        // Where the call has put the consumer back it stays, and everything is read again from there.
        let now = core.positions();
        let stays = self.left().all(|at| now.get(&at.name).is_some_and(|now| now.offset == at.given))
            && self.left().all(|at| core.seek(&at.name, at.end).is_ok());
        (if stays { None } else { self.ahead.take() }, answer)
    }

    /// A transaction puts the consumer back from here on, until `went_back`. Nothing is polled meanwhile: nobody could
    /// tell whether it was read before or behind that.
    pub fn goes_back(&mut self) -> Option<Ahead> {
        self.going_back += 1;
        self.ahead.take()
    }

    pub fn went_back(&mut self) {
        self.going_back -= 1;
    }

    pub fn is_going_back(&self) -> bool {
        self.going_back > 0
    }
}
