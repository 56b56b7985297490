//! What is behind a consumer: what it is assigned, and where it stands in each partition.

mod bound;
mod lag;
mod rests;
mod settle;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

pub(super) use self::bound::Bound;
use self::rests::Rests;
use super::consumer::check_unbound;
use super::options::ConsumerOptions;
use crate::engine::{Attentive, Inner, TopicIds};
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, Ordering};
use crate::partition::{Most, Partition, Records, Signal, Watch};
use crate::types::{Bounds, Durability, Lsn, Offset, OffsetAndMetadata, Offsets, TopicPartition};

/// Shared by the clones of a consumer and by the transaction that is bound to it. No lock of it is held over a wait or
/// a read: what was found out meanwhile counts only if nobody moved the position.
pub(super) struct Reader {
    pub(super) engine: Arc<Inner>,
    pub(super) options: ConsumerOptions,
    /// Given when an assigned partition grows, and when a position is moved by hand.
    pub(super) signal: Arc<Signal>,
    /// This reader, to ask for its own look.
    me: Weak<Reader>,
    /// Who waits for a poll that would answer something.
    waiting: Mutex<Vec<Call>>,
    polling: AtomicBool,
    state: Mutex<State>,
}

/// Positions that are not committed, and the topics that they are in.
pub(super) type Moved = (Offsets, TopicIds);

/// What runs when a poll would answer.
type Call = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    assigned: Vec<Assigned>,
    index: FxHashMap<TopicPartition, usize>,
    /// Where the next poll begins, so that every partition gets its turn.
    next: usize,
    /// Where polls of a few records ended.
    rests: Rests,
    /// Counts moves of positions: gives each a number of its own.
    moves: u64,
    /// A transaction that is open sends the positions.
    bound: bool,
    /// The last commit that has its place: who finds nothing to commit answers for it.
    commit: Option<(Lsn, Durability)>,
    /// The frame that somebody who waits for a poll waits for first.
    awaited: Lsn,
}

struct Assigned {
    name: TopicPartition,
    partition: Arc<Partition>,
    /// The offset to read next; `None` until it was asked for: what is committed, or the start rule.
    position: Option<Offset>,
    /// The frame that the position was settled by; 0 for none. Nobody is told of what follows from it, neither a
    /// position nor records, before it is durable. A move leaves it: it was then, or soon is.
    drawn_from: Lsn,
    /// The position that needs no commit: what is committed as far as this consumer knows, or, while nothing is, the
    /// start, where the rule leads anyway.
    committed: Option<Offset>,
    /// Number of the last move.
    moved: u64,
    _watch: Watch,
}

/// An assigned partition as it was at some moment.
#[derive(Clone)]
pub(super) struct Place {
    at: usize,
    moved: u64,
    pub(super) name: TopicPartition,
    pub(super) partition: Arc<Partition>,
    pub(super) position: Option<Offset>,
    pub(super) drawn_from: Lsn,
}

/// The same without its name, where there may be many and few are come to.
struct Wanted {
    at: usize,
    moved: u64,
}

/// Whose turn it is to poll.
pub(super) struct Turn<'a>(&'a Reader);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.polling.store(false, Ordering::Release);
    }
}

/// What a look at all partitions found.
enum Ready {
    /// Those with something to read, beginning with the one whose turn it is.
    Wanted(Vec<Wanted>),
    /// First this frame has to be durable: positions were drawn from it.
    Behind(Lsn),
}

impl State {
    /// The last frame that any position was drawn from.
    fn drawn_from(&self) -> Lsn {
        self.assigned.iter().map(|assigned| assigned.drawn_from).max().unwrap_or_default()
    }

    fn set(&mut self, at: usize, position: Option<Offset>) {
        self.moves += 1;
        if let Some(assigned) = self.assigned.get_mut(at) {
            (assigned.position, assigned.moved) = (position, self.moves);
        }
    }

    /// The same partition, if nobody moved its position since.
    fn unmoved(&mut self, place: &Place) -> Option<&mut Assigned> {
        self.assigned.get_mut(place.at).filter(|assigned| assigned.moved == place.moved)
    }

    /// The partitions whose positions were not asked for yet; an error if none is assigned at all.
    fn unsettled(&self) -> Result<Vec<Place>> {
        if self.assigned.is_empty() {
            return Err(settle::unassigned());
        }
        let unsettled = self.assigned.iter().enumerate().filter(|(_, a)| a.position.is_none());
        Ok(unsettled.filter_map(|(at, _)| self.place(at)).collect())
    }

    fn place(&self, at: usize) -> Option<Place> {
        let Assigned { name, partition, position, drawn_from, moved, .. } = self.assigned.get(at)?;
        let (name, partition) = (name.clone(), partition.clone());
        Some(Place { at, moved: *moved, name, partition, position: *position, drawn_from: *drawn_from })
    }
}

impl Wanted {
    /// The partition, if nobody moved its position since.
    fn place(&self, state: &State) -> Option<Place> {
        state.assigned.get(self.at).filter(|assigned| assigned.moved == self.moved)?;
        state.place(self.at)
    }
}

impl Reader {
    pub(super) fn new(engine: Arc<Inner>, options: ConsumerOptions) -> Arc<Self> {
        Arc::new_cyclic(|me: &Weak<Self>| {
            let (attention, who) = (engine.attention().clone(), me.clone());
            let signal = Signal::new(move || attention.ask(who.clone()));
            let (me, polling) = (me.clone(), AtomicBool::new(false));
            Self { engine, options, signal, me, waiting: Mutex::default(), polling, state: Mutex::default() }
        })
    }

    /// The turn to poll, for one at a time. In a forked child it may be that of a thread that is not there.
    pub(super) fn turn(&self) -> Result<Turn<'_>> {
        if self.polling.swap(true, Ordering::Acquire) {
            self.engine.check_open()?;
            let text = "another thread is polling this consumer; give each thread a consumer of its own";
            return Err(Error::new(ErrorKind::Busy, text));
        }
        Ok(Turn(self))
    }

    /// Takes over a new assignment; positions of partitions that stay are kept.
    pub(super) fn assign(&self, partitions: Vec<(TopicPartition, Arc<Partition>)>) -> Result<()> {
        let watched: Vec<_> =
            partitions.into_iter().map(|(name, partition)| (name, partition.watch(&self.signal), partition)).collect();
        let mut state = self.state.lock();
        check_unbound(state.bound)?;
        let old = std::mem::take(&mut *state);
        (state.moves, state.commit) = (old.moves, old.commit);
        for (at, (name, watch, partition)) in watched.into_iter().enumerate() {
            state.moves += 1;
            let kept = old.index.get(&name).and_then(|at| old.assigned.get(*at));
            let kept = kept.filter(|kept| kept.partition.instance() == partition.instance());
            let assigned = Assigned {
                position: kept.and_then(|kept| kept.position),
                drawn_from: kept.map_or(0, |kept| kept.drawn_from),
                committed: kept.and_then(|kept| kept.committed),
                moved: state.moves,
                name: name.clone(),
                partition,
                _watch: watch,
            };
            state.assigned.push(assigned);
            state.index.insert(name, at);
        }
        drop(state);
        // Outside the lock: dropping the old watches takes their partitions' locks.
        drop(old);
        self.signal.happen();
        Ok(())
    }

    /// An assigned partition.
    pub(super) fn find(&self, name: &TopicPartition) -> Result<Place> {
        let state = self.state.lock();
        state.index.get(name).and_then(|at| state.place(*at)).ok_or_else(|| {
            let text = "the partition is not assigned to this consumer; assign it first";
            Error::new(ErrorKind::InvalidState, format!("{text}, partition={name}"))
        })
    }

    /// Moves a position by hand.
    pub(super) fn seek(&self, place: &Place, offset: Offset) {
        let mut state = self.state.lock();
        if let Some(at) = state.index.get(&place.name).copied() {
            state.set(at, Some(offset));
        }
        drop(state);
        self.signal.happen();
    }

    /// Back to what is committed, everywhere.
    pub(super) fn rewind(&self) {
        let mut state = self.state.lock();
        for at in 0..state.assigned.len() {
            state.set(at, None);
        }
        drop(state);
        self.signal.happen();
    }

    /// Reads what is there, up to the bounds of a poll. Waits until what positions were drawn from is durable.
    pub(super) fn collect(&self) -> Result<Records> {
        let mut records = Records::default();
        while self.collect_once(self.settled()?, &mut records)? && records.is_empty() {
            // Where all that was read is aborted, what lies behind it is next.
            records.hollow();
        }
        Ok(records)
    }

    /// Whether a poll would answer records or an error. Waits as `collect` does, and moves nothing.
    pub(super) fn has_answer(&self) -> Result<bool> {
        Ok(self.answers(&self.settled()?))
    }

    /// The partitions with something to read, once what positions were drawn from is durable.
    fn settled(&self) -> Result<Vec<Wanted>> {
        loop {
            match self.ready()? {
                Ready::Wanted(wanted) => return Ok(wanted),
                Ready::Behind(lsn) => self.engine.flushed(lsn).map_err(|error| self.engine.as_read(error))?,
            }
        }
    }

    /// Reads each partition once; answers whether any position moved.
    fn collect_once(&self, wanted: Vec<Wanted>, records: &mut Records) -> Result<bool> {
        let mut moved = false;
        let mut left = Most { records: self.options.max_records, ..Most::bytes(self.options.max_bytes.max(1)) };
        for wanted in wanted {
            if left.bytes == 0 || left.unpacked == 0 || left.records == 0 {
                break;
            }
            let Some(place) = wanted.place(&self.state.lock()) else { continue };
            match self.read(&place, left) {
                Ok(more) => {
                    left.bytes = left.bytes.saturating_sub(more.bytes());
                    left.unpacked = left.unpacked.saturating_sub(more.unpacked_bytes());
                    left.records = left.records.saturating_sub(more.count());
                    let name = &place.name;
                    moved |= more.next_offset(&name.topic, name.partition).is_some_and(|n| Some(n) > place.position);
                    records.join(more);
                }
                Err(error) if records.is_empty() => {
                    // The next poll begins behind it: what can be read elsewhere is read.
                    self.state.lock().next = place.at + 1;
                    return Err(error);
                }
                // It comes back with the next poll; what was read is the caller's.
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// Settles all positions, and looks what there is to read.
    fn ready(&self) -> Result<Ready> {
        let unsettled = self.state.lock().unsettled()?;
        for place in unsettled {
            match self.settle(place) {
                // Not yet: the decision wakes whoever waits for the partition, and what others hold is read.
                Err(error) if error.kind() == ErrorKind::UnstableOffsets => {}
                settled => drop(settled?),
            }
        }
        let state = self.state.lock();
        let drawn_from = state.drawn_from();
        if !self.engine.is_flushed(drawn_from) {
            return Ok(Ready::Behind(drawn_from));
        }
        let count = state.assigned.len();
        let order = (0..count).map(|i| (state.next + i) % count);
        let wanted = order.filter(|at| {
            let assigned = &state.assigned[*at];
            if assigned.partition.is_deleted() {
                return true;
            }
            let Some(position) = assigned.position else { return false };
            let within = position <= assigned.partition.bounds().end;
            !within || position < assigned.partition.visible(self.options.isolation)
        });
        Ok(Ready::Wanted(wanted.map(|at| Wanted { at, moved: state.assigned[at].moved }).collect()))
    }

    /// Reads one partition and moves its position, unless somebody else moved it meanwhile.
    fn read(&self, place: &Place, most: Most) -> Result<Records> {
        let Some(position) = place.position else { return Ok(Records::default()) };
        let rest = self.state.lock().rests.take(place.partition.instance());
        let (records, next) = match self.engine.read(&place.partition, position, self.options.isolation, most, rest) {
            Ok(records) => {
                let next = records.next_offset(&place.name.topic, place.name.partition).unwrap_or(position);
                (records, next)
            }
            Err(error) if error.kind() == ErrorKind::OffsetOutOfRange => {
                let start = self.start(&place.partition, Some(position))?;
                // So that a poll looks again instead of waiting.
                self.signal.happen();
                (Records::default(), start)
            }
            Err(error) => return Err(error),
        };
        let rest = records.rest();
        let mut state = self.state.lock();
        let Some(assigned) = state.unmoved(place) else { return Ok(Records::default()) };
        assigned.position = Some(next);
        state.next = place.at + 1;
        if let Some(rest) = rest {
            state.rests.keep(rest);
        }
        Ok(records)
    }

    /// Calls when a poll would answer.
    pub(super) fn when_ready(&self, call: Call) {
        self.waiting.lock().push(call);
        self.engine.attention().ask(self.me.clone());
    }

    /// Whether a poll would answer records or an error. If a flush is missing for that, it looks again behind it.
    fn would_answer(&self) -> bool {
        match self.engine.check_open().and_then(|()| self.ready()) {
            Err(_) => true,
            Ok(Ready::Wanted(wanted)) => self.answers(&wanted),
            Ok(Ready::Behind(lsn)) => {
                let waits = self.engine.waits();
                if matches!(waits.reached(lsn, Durability::Disk), Some(Err(_))) {
                    return true;
                }
                let asked = std::mem::replace(&mut self.state.lock().awaited, lsn);
                if asked != lsn {
                    let (attention, me) = (self.engine.attention().clone(), self.me.clone());
                    waits.enlist(lsn, Durability::Disk, Box::new(move |_| attention.ask(me)));
                }
                false
            }
        }
    }

    fn answers(&self, wanted: &[Wanted]) -> bool {
        let has_more = |wanted: &Wanted| {
            let place = wanted.place(&self.state.lock());
            place.is_some_and(|place| self.has_more(&place))
        };
        wanted.iter().any(has_more) || self.engine.check_disk().is_err()
    }

    /// Whether a read from where it stands would answer records or an error.
    fn has_more(&self, place: &Place) -> bool {
        let Some(position) = place.position.filter(|_| !place.partition.is_deleted()) else { return true };
        let Bounds { start, end, .. } = place.partition.bounds();
        let visible = place.partition.visible(self.options.isolation);
        if (start..=end).contains(&position) {
            return position < visible;
        }
        let Ok(start) = self.start(&place.partition, Some(position)) else { return true };
        // As a poll does, so that what comes from there on is seen.
        let mut state = self.state.lock();
        if let Some(assigned) = state.unmoved(place).filter(|assigned| assigned.position == Some(position)) {
            assigned.position = Some(start);
        }
        start < visible
    }

    /// Positions that are settled, for good.
    pub(super) fn positions(&self) -> Offsets {
        let state = self.state.lock();
        let known = state.assigned.iter().filter(|a| self.engine.is_flushed(a.drawn_from));
        known.filter_map(|a| Some((a.name.clone(), a.position?.into()))).collect()
    }

    /// Positions that are not committed, as far as this consumer knows. A topic created again inherits nothing, so a
    /// position in one that is gone cannot be committed.
    fn uncommitted(state: &State) -> Result<Moved> {
        let (mut offsets, mut topics) = (Offsets::new(), TopicIds::new());
        for assigned in state.assigned.iter().filter(|a| a.position != a.committed) {
            let (topic, id) = (&assigned.name.topic, assigned.partition.topic_id());
            let known = topics.get(topic);
            if assigned.partition.is_deleted() || known.is_some_and(|known| *known != id) {
                return Err(assigned.partition.gone());
            }
            if let Some(position) = assigned.position {
                if known.is_none() {
                    topics.insert(topic.clone(), id);
                }
                offsets.insert(assigned.name.clone(), position.into());
            }
        }
        Ok((offsets, topics))
    }

    /// What a plain commit sends, and the commit before it: this consumer's, or the one that it stands at.
    pub(super) fn to_commit(&self) -> Result<(Moved, Option<(Lsn, Durability)>)> {
        let state = self.state.lock();
        check_unbound(state.bound)?;
        let drawn_from = state.drawn_from();
        let last = match state.commit {
            Some(own) if own.0 >= drawn_from => Some(own),
            _ => (drawn_from > 0).then_some((drawn_from, Durability::Disk)),
        };
        Ok((Self::uncommitted(&state)?, last))
    }

    /// Plain commits of any offsets wait for the transaction.
    pub(super) fn check_unbound(&self) -> Result<()> {
        check_unbound(self.state.lock().bound)
    }

    /// A commit of these offsets has its place. If it never meets its level the journal is poisoned, and nobody is told
    /// any more that there is nothing to commit. A topic of that name with another id than it was given for got none.
    pub(super) fn note_committed(&self, offsets: &Offsets, topics: &TopicIds, lsn: Lsn, level: Durability) {
        let mut state = self.state.lock();
        // Of two at once the later frame counts; what the other one said is committed again.
        let known = state.commit.unwrap_or((0, level));
        if known.0 > lsn {
            return;
        }
        state.commit = Some((lsn, level.max(known.1)));
        for (name, OffsetAndMetadata { offset, .. }) in offsets {
            if let Some(at) = state.index.get(name).copied() {
                let assigned = &mut state.assigned[at];
                if topics.get(&name.topic).is_none_or(|id| *id == assigned.partition.topic_id()) {
                    assigned.committed = Some(*offset);
                }
            }
        }
    }

    /// The group's name.
    pub(super) fn group(&self) -> Result<&str> {
        self.options.group.as_deref().ok_or_else(|| {
            let text = "this consumer has no group to commit for; give the consumer a group when you open it";
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }
}

impl Attentive for Reader {
    fn attend(&self) {
        if self.waiting.lock().is_empty() {
            return;
        }
        self.signal.arm();
        if self.would_answer() {
            let calls = std::mem::take(&mut *self.waiting.lock());
            for call in calls {
                // A caller's panic is its own: the others are called all the same.
                let _ = catch_unwind(AssertUnwindSafe(call));
            }
        }
    }
}
