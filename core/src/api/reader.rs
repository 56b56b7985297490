//! What is behind a consumer: what it is assigned, and where it stands in each partition.

mod lag;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Weak};

use rustc_hash::FxHashMap;

use super::consumer::check_unbound;
use super::options::{ConsumerOptions, Start};
use crate::engine::{Attentive, Inner};
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicBool, Ordering};
use crate::partition::{Partition, Records, Signal, Watch};
use crate::types::{Bounds, Durability, Isolation, Lsn, Offset, OffsetAndMetadata, Offsets, TopicPartition};

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

/// What runs when a poll would answer.
type Call = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct State {
    assigned: Vec<Assigned>,
    index: FxHashMap<TopicPartition, usize>,
    /// Where the next poll begins, so that every partition gets its turn.
    next: usize,
    /// Counts moves of positions: gives each a number of its own.
    moves: u64,
    /// A transaction that is open sends the positions.
    bound: bool,
    /// The last commit that has its place: who finds nothing to commit answers for it.
    commit: Option<(Lsn, Durability)>,
}

struct Assigned {
    name: TopicPartition,
    partition: Arc<Partition>,
    /// The offset to read next; `None` until it was asked for: what is committed, or the start rule.
    position: Option<Offset>,
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
}

/// Whose turn it is to poll.
pub(super) struct Turn<'a>(&'a Reader);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.polling.store(false, Ordering::Release);
    }
}

impl State {
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

    fn place(&self, at: usize) -> Option<Place> {
        let a = self.assigned.get(at)?;
        Some(Place { at, moved: a.moved, name: a.name.clone(), partition: a.partition.clone(), position: a.position })
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

    pub(super) fn turn(&self) -> Result<Turn<'_>> {
        if self.polling.swap(true, Ordering::Acquire) {
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

    /// All assigned partitions, each with its position settled.
    fn settled(&self) -> Result<Vec<Place>> {
        let places: Vec<Place> = {
            let state = self.state.lock();
            (0..state.assigned.len()).filter_map(|at| state.place(at)).collect()
        };
        if places.is_empty() {
            return Err(Error::new(
                ErrorKind::InvalidState,
                "no partition is assigned to this consumer; call assign first",
            ));
        }
        places.into_iter().map(|place| self.settle(place)).collect()
    }

    /// Settles where a partition is read from: at its position, at what is committed, or by the start rule.
    pub(super) fn settle(&self, mut place: Place) -> Result<Place> {
        while place.position.is_none() {
            // What is committed under the name may be another topic's by now.
            if place.partition.is_deleted() {
                return Err(place.partition.gone());
            }
            let committed = self.committed(&place.name)?;
            let position = match committed {
                Some(offset) => offset,
                None => self.start(&place.partition, None)?,
            };
            let mut state = self.state.lock();
            match state.unmoved(&place) {
                // Settled by somebody else, who may have read on from there.
                Some(Assigned { position: Some(now), .. }) => place.position = Some(*now),
                Some(assigned) => {
                    let known = match self.options.start {
                        Start::Earliest => Some(position),
                        // The end moves on: without a commit the next life would begin elsewhere.
                        Start::Latest | Start::None => committed,
                    };
                    (assigned.position, assigned.committed) = (Some(position), known);
                    place.position = Some(position);
                }
                // Somebody sought or assigned meanwhile: what they said counts.
                None => match state.index.get(&place.name).and_then(|at| state.place(*at)) {
                    Some(now) => place = now,
                    None => place.position = Some(position),
                },
            }
        }
        Ok(place)
    }

    /// What the group has committed, durably.
    pub(super) fn committed(&self, name: &TopicPartition) -> Result<Option<Offset>> {
        let Some(group) = &self.options.group else { return Ok(None) };
        let stable = self.options.isolation == Isolation::ReadCommitted;
        Ok(self.engine.committed(group, name, stable)?.map(|committed| committed.offset))
    }

    /// Where the start rule begins; `outside` is the offset that led here, if one did.
    fn start(&self, partition: &Partition, outside: Option<Offset>) -> Result<Offset> {
        let bounds = partition.bounds();
        match (self.options.start, outside) {
            (Start::Earliest, _) => Ok(bounds.start),
            (Start::Latest, _) => Ok(partition.visible(self.options.isolation)),
            (Start::None, Some(offset)) => Err(partition.out_of_range(offset)),
            (Start::None, None) => {
                let values = format!("topic={} partition={}", partition.topic(), partition.number());
                let text = "nothing is committed and there is no start rule; seek first";
                Err(Error::new(ErrorKind::OffsetOutOfRange, format!("{text}, {values}")))
            }
        }
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

    /// Reads what is there, up to the bounds of a poll.
    pub(super) fn collect(&self) -> Result<Records> {
        let mut records = Records::default();
        // Where all that was read is aborted, what lies behind it is next.
        while self.collect_once(&mut records)? && records.is_empty() {
            records.hollow();
        }
        Ok(records)
    }

    /// Reads each partition once; answers whether any position moved.
    fn collect_once(&self, records: &mut Records) -> Result<bool> {
        let mut moved = false;
        let (mut bytes, mut left) = (self.options.max_bytes.max(1), self.options.max_records);
        for place in self.ready()? {
            if bytes == 0 || left == 0 {
                break;
            }
            match self.read(&place, bytes, left) {
                Ok(more) => {
                    bytes = bytes.saturating_sub(more.bytes());
                    left = left.saturating_sub(more.count());
                    let name = &place.name;
                    moved |= more.next_offset(&name.topic, name.partition).is_some_and(|n| Some(n) > place.position);
                    records.join(more);
                }
                Err(error) if records.is_empty() => return Err(error),
                // It comes back with the next poll; what was read is the caller's.
                Err(_) => break,
            }
        }
        Ok(moved)
    }

    /// Partitions with something to read, beginning with the one whose turn it is.
    fn ready(&self) -> Result<Vec<Place>> {
        let unsettled: Vec<Place> = {
            let state = self.state.lock();
            if state.assigned.is_empty() {
                let text = "no partition is assigned to this consumer; call assign first";
                return Err(Error::new(ErrorKind::InvalidState, text));
            }
            let unsettled = state.assigned.iter().enumerate().filter(|(_, a)| a.position.is_none());
            unsettled.filter_map(|(at, _)| state.place(at)).collect()
        };
        for place in unsettled {
            self.settle(place)?;
        }
        let state = self.state.lock();
        let count = state.assigned.len();
        let order = (0..count).map(|i| (state.next + i) % count);
        let wanted = order.filter(|at| {
            let assigned = &state.assigned[*at];
            let Some(position) = assigned.position.filter(|_| !assigned.partition.is_deleted()) else { return true };
            let within = position <= assigned.partition.bounds().end;
            !within || position < assigned.partition.visible(self.options.isolation)
        });
        Ok(wanted.filter_map(|at| state.place(at)).collect())
    }

    /// Reads one partition and moves its position, unless somebody else moved it meanwhile.
    fn read(&self, place: &Place, bytes: usize, left: u64) -> Result<Records> {
        let Some(position) = place.position else { return Ok(Records::default()) };
        let (records, next) = match self.engine.read(&place.partition, position, bytes, self.options.isolation) {
            Ok(mut records) => {
                records.truncate(left);
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
        let mut state = self.state.lock();
        let Some(assigned) = state.unmoved(place) else { return Ok(Records::default()) };
        assigned.position = Some(next);
        state.next = place.at + 1;
        Ok(records)
    }

    /// Calls when a poll would answer.
    pub(super) fn when_ready(&self, call: Call) {
        self.waiting.lock().push(call);
        self.engine.attention().ask(self.me.clone());
    }

    /// Whether a poll would answer records or an error.
    fn would_answer(&self) -> bool {
        let Ok(places) = self.engine.check_open().and_then(|()| self.ready()) else { return true };
        places.iter().any(|place| self.has_more(place))
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

    /// Positions that are settled.
    pub(super) fn positions(&self) -> Offsets {
        let state = self.state.lock();
        let known = state.assigned.iter().filter_map(|a| Some((a.name.clone(), a.position?.into())));
        known.collect()
    }

    /// Positions that are not committed, as far as this consumer knows. A topic created again inherits nothing, so a
    /// position in one that is gone cannot be committed.
    fn uncommitted(state: &State) -> Result<Offsets> {
        let mut offsets = Offsets::new();
        for assigned in state.assigned.iter().filter(|a| a.position != a.committed) {
            if assigned.partition.is_deleted() {
                return Err(assigned.partition.gone());
            }
            if let Some(position) = assigned.position {
                offsets.insert(assigned.name.clone(), position.into());
            }
        }
        Ok(offsets)
    }

    /// What a plain commit sends, and the commit before it.
    pub(super) fn to_commit(&self) -> Result<(Offsets, Option<(Lsn, Durability)>)> {
        let state = self.state.lock();
        check_unbound(state.bound)?;
        Ok((Self::uncommitted(&state)?, state.commit))
    }

    /// Plain commits of any offsets wait for the transaction.
    pub(super) fn check_unbound(&self) -> Result<()> {
        check_unbound(self.state.lock().bound)
    }

    /// A commit of these offsets has its place. If it never meets its level the journal is poisoned, and nobody is
    /// told any more that there is nothing to commit.
    pub(super) fn note_committed(&self, offsets: &Offsets, lsn: Lsn, level: Durability) {
        let mut state = self.state.lock();
        // Of two at once the later frame counts; what the other one said is committed again.
        let known = state.commit.unwrap_or((0, level));
        if known.0 > lsn {
            return;
        }
        state.commit = Some((lsn, level.max(known.1)));
        for (name, OffsetAndMetadata { offset, .. }) in offsets {
            if let Some(at) = state.index.get(name).copied() {
                state.assigned[at].committed = Some(*offset);
            }
        }
    }

    /// The group's name.
    pub(super) fn group(&self) -> Result<&str> {
        self.options.group.as_deref().ok_or_else(|| {
            let text = "this consumer has no group to commit for; open one with ConsumerOptions::group";
            Error::new(ErrorKind::InvalidArgument, text)
        })
    }

    /// Binds a transaction: settles all positions, which are where an abort goes back to.
    pub(super) fn bind(self: &Arc<Self>, engine: &Arc<Inner>) -> Result<Bound> {
        self.group()?;
        if !Arc::ptr_eq(engine, &self.engine) {
            let text = "the consumer belongs to another engine; open producer and consumer from the same one";
            return Err(Error::new(ErrorKind::InvalidArgument, text));
        }
        self.check_unbound()?;
        self.settled()?;
        let mut state = self.state.lock();
        check_unbound(state.bound)?;
        state.bound = true;
        // A position that was unsettled again meanwhile goes back to what is committed, as its owner asked.
        let begin = state.assigned.iter().map(|a| (a.name.clone(), a.position)).collect();
        Ok(Bound { reader: self.clone(), begin, sent: Offsets::new() })
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

/// An open transaction's hold on a consumer. Whoever owns it says how the transaction ended.
pub(super) struct Bound {
    reader: Arc<Reader>,
    begin: Vec<(TopicPartition, Option<Offset>)>,
    sent: Offsets,
}

impl Bound {
    /// The consumer's group.
    pub(super) fn group(&self) -> &str {
        self.reader.options.group.as_deref().unwrap_or_default()
    }

    /// The positions that the commit has to send; remembered as sent.
    pub(super) fn moved(&mut self) -> Result<Offsets> {
        self.sent = Reader::uncommitted(&self.reader.state.lock())?;
        Ok(self.sent.clone())
    }

    /// The transaction has its place, with what `moved` answered.
    pub(super) fn committed(self, placed: Option<(Lsn, Durability)>) {
        if let Some((lsn, level)) = placed {
            self.reader.note_committed(&self.sent, lsn, level);
        }
        self.reader.state.lock().bound = false;
    }

    /// The transaction ended otherwise; the consumer goes back to where it stood at the begin, unless nobody knows
    /// whether the commit is in the log.
    pub(super) fn end(self, rewind: bool) {
        let mut state = self.reader.state.lock();
        state.bound = false;
        if rewind {
            for (name, position) in self.begin {
                if let Some(at) = state.index.get(&name).copied() {
                    state.set(at, position);
                }
            }
        }
        drop(state);
        self.reader.signal.happen();
    }
}
