//! What was polled and not given to the caller yet.
//!
//! The engine counts a whole poll as read. Who loops over a consumer gets it record by record, and gets the first of
//! them only when the thread that polled has the interpreter lock again: until then a commit, or a transaction that is
//! bound to the consumer, has no business with the positions that the engine knows.

use std::ops::Range;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

use oncelog::{Consumer, Error, ErrorKind, Offsets, RecordView, Records, Result, TopicPartition};
use pyo3::prelude::*;

use crate::walk::{Step, Walk};

/// Where a consumer stands. Positions are moved, and looked at, by whoever holds it: nobody comes between a poll and
/// the note of what it moved, nor between the positions of a caller and a commit of them.
#[derive(Default)]
pub struct Standing {
    ahead: Option<Ahead>,
    /// What polls went past without a record, for it was aborted: the next answer tells it, of partitions that still
    /// stand there. Nothing is ahead then.
    passed: Records,
    /// The consumer was closed: nobody polls any more.
    closed: bool,
    /// So many transactions are on their way to put the consumer back to where they began, further than any poll since.
    going_back: usize,
}

/// A poll that was not given out whole.
pub struct Ahead {
    /// None until the thread that polled has the interpreter lock again.
    walk: Option<Walk>,
    /// In the order of the walk.
    places: Vec<Place>,
    /// The place of the last record that the caller was given.
    at: usize,
}

/// A partition that the poll read from.
struct Place {
    /// Shared with the records: one a poll and partition, and never copied.
    topic: Arc<str>,
    partition: u32,
    /// The offset behind the last record that the caller was given; where the poll began if there is none.
    given: u64,
    /// Where the poll ended, and the engine stands.
    end: u64,
}

impl Ahead {
    fn of(records: &Records) -> Self {
        let read = records.reaches().filter(|(.., reach)| !reach.is_empty());
        let place = |(topic, partition, reach): (&Arc<str>, u32, Range<u64>)| Place {
            topic: topic.clone(),
            partition,
            given: reach.start,
            end: reach.end,
        };
        Self { walk: None, places: read.map(place).collect(), at: 0 }
    }

    fn next<'py>(&mut self, py: Python<'py>) -> Option<oncelog::Result<Step<'py>>> {
        let next = self.walk.as_mut()?.next_again(py);
        if let Some(Ok(step)) = &next {
            let view = step.view();
            match self.places.get_mut(self.at) {
                Some(place) if place.holds(&view) => place.given = view.offset() + 1,
                _ => self.turn_to(&view),
            }
        }
        next
    }

    /// The walk has left places behind, and what was aborted at their ends with them.
    #[cold]
    fn turn_to(&mut self, view: &RecordView<'_>) {
        while let Some(place) = self.places.get_mut(self.at) {
            if place.holds(view) {
                place.given = view.offset() + 1;
                return;
            }
            place.given = place.end;
            self.at += 1;
        }
    }
}

impl Place {
    /// Whether a record of the same poll lies here: its topic's name is then this very one.
    #[inline]
    fn holds(&self, view: &RecordView<'_>) -> bool {
        self.partition == view.partition() && ptr::eq(&raw const *self.topic, view.topic())
    }

    fn is(&self, name: &TopicPartition) -> bool {
        self.partition == name.partition && *self.topic == *name.topic
    }

    fn name(&self) -> TopicPartition {
        TopicPartition::new(&*self.topic, self.partition)
    }
}

impl Standing {
    /// Polls what is there, and notes what that moved. None: nothing is there, or the positions are about to move. It
    /// waits for nothing where the positions are settled.
    pub fn poll(&mut self, core: &Consumer) -> Result<Option<Records>> {
        if self.closed {
            return Err(Error::new(ErrorKind::Closed, "the consumer was closed while this call waited"));
        }
        if self.is_going_back() {
            return Ok(None);
        }
        self.keep_passed(core);
        self.passed.join(core.poll(Duration::ZERO)?);
        if self.passed.is_empty() {
            return Ok(None);
        }
        let records = std::mem::take(&mut self.passed);
        self.ahead = Some(Ahead::of(&records));
        Ok(Some(records))
    }

    /// What the polls since the last answer went past; nothing while the positions are about to move.
    pub fn passed(&mut self, core: &Consumer) -> Records {
        if self.is_going_back() {
            return Records::default();
        }
        self.keep_passed(core);
        std::mem::take(&mut self.passed)
    }

    /// Drops what was passed where the consumer stands elsewhere by now. Asked when it is told and not where positions
    /// move, for they move in many ways: a refused commit, say, puts them back and yet answers with a ticket.
    fn keep_passed(&mut self, core: &Consumer) {
        if self.passed.next_offsets().next().is_none() {
            return;
        }
        let now = core.positions();
        self.passed.retain(|topic, partition, next| {
            now.get(&TopicPartition::new(topic, partition)).is_some_and(|at| at.offset == next)
        });
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
        self.left().find(|at| at.is(name)).map(|at| (at.given, at.end - at.given))
    }

    /// Puts the positions of the caller in place of the engine's.
    pub fn tell(&self, positions: &mut Offsets) {
        for at in self.left() {
            if let Some(known) = positions.get_mut(&at.name()) {
                known.offset = at.given;
            }
        }
    }

    /// Has the engine go back to where the caller stands. Answers what is to be dropped when this is let go.
    pub fn give_back(&mut self, core: &Consumer) -> (Option<Ahead>, Result<()>) {
        let sought = self.left().try_for_each(|at| core.seek(&at.name(), at.given));
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
        let sought = self.left().try_for_each(|at| core.seek(&at.name(), at.given));
        if let Err(error) = sought {
            return (self.ahead.take(), Err(error));
        }
        let answer = call();
        if self.ahead.is_none() {
            return (None, answer);
        }
        // Where the call has put the consumer back it stays, and everything is read again from there.
        let now = core.positions();
        let stays = self.left().all(|at| now.get(&at.name()).is_some_and(|now| now.offset == at.given))
            && self.left().all(|at| core.seek(&at.name(), at.end).is_ok());
        (if stays { None } else { self.ahead.take() }, answer)
    }

    /// A transaction puts the consumer back from here on, until `went_back`. Nothing is polled meanwhile: nobody could
    /// tell whether it was read before or behind that.
    pub fn goes_back(&mut self) -> Option<Ahead> {
        self.going_back += 1;
        self.forget()
    }

    pub fn went_back(&mut self) {
        self.going_back -= 1;
    }

    pub fn is_going_back(&self) -> bool {
        self.going_back > 0
    }
}
