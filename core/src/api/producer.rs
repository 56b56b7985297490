//! The producer: gathers records into batches, and says when they are safe.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use super::batches::Batches;
use super::engine::Open;
use super::frames::Frames;
use super::options::ProducerOptions;
use super::pending::{Call, Item, Many, One, Outcome, Pending, lost};
use super::router::Router;
use crate::engine::{Inner, Lingering, TopicHandle};
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::Record;
use crate::journal::{Ticket, Waits};
use crate::limits::BATCH_MAX;
use crate::types::{Appended, Durability, Instance, Timestamp};

/// Sends records to topics. Send and Sync: threads may share one; each partition's records keep the order of the sends.
///
/// Records are gathered into a batch per partition. A batch goes into the log when it is full, when its linger has
/// passed, or when somebody waits for one of its tickets. The partition is the record's own, or follows from its key
/// as in Kafka, or else changes from batch to batch.
///
/// **A named producer** (`ProducerOptions::name`) never writes a record twice, across crashes and restarts: each record
/// carries a position, a number that only grows, such as a line number or an offset in its source. What was gathered
/// goes down whole, with its last position. After a restart `position` says how far the log got; a send at or below
/// it answers `duplicate`, so one may go on before it and needs not be exact.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, ProducerOptions, Record, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("lines", TopicOptions::new().partitions(2))?;
/// let loader = engine.producer(ProducerOptions::new().name("loader"))?;
/// for (number, line) in ["a,1", "b,2"].iter().enumerate() {
///     loader.send("lines", Record::new(line.as_bytes()).key(&line.as_bytes()[..1]).position(number as u64))?.detach();
/// }
/// loader.flush()?;
/// assert_eq!(loader.position(), Some(1));
///
/// let again = engine.producer(ProducerOptions::new().name("loader"))?;
/// assert!(again.send("lines", Record::new(b"b,2").position(1))?.wait()?.duplicate);
/// # Ok::<(), oncelog::Error>(())
/// ```
pub struct Producer {
    open: Arc<Open>,
    sender: Arc<Sender>,
}

impl Producer {
    pub(super) fn open(open: Arc<Open>, options: ProducerOptions) -> Result<Self> {
        let engine = &open.inner;
        engine.check_writable()?;
        if options.batch_bytes > BATCH_MAX {
            let values = format!("batch_bytes={} max={BATCH_MAX}", options.batch_bytes);
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("batches cannot be that large; ask for less, {values}"),
            ));
        }
        let kind = match options.name {
            None => Kind::Plain(Batches::default()),
            Some(name) => {
                let (identity, reached) = engine.open_producer(Some(&name), 0, None)?;
                Kind::Named(Frames::new(name, identity, reached))
            }
        };
        let context = Context {
            engine: engine.clone(),
            waits: engine.waits(),
            batch_bytes: options.batch_bytes,
            linger: u64::try_from(options.linger.as_nanos()).unwrap_or(u64::MAX),
            durability: options.durability,
        };
        let state = Mutex::new(State { router: Router::default(), kind });
        let sender = Arc::new(Sender { context, state });
        let weak: std::sync::Weak<Sender> = Arc::downgrade(&sender);
        engine.on_linger(weak);
        Ok(Producer { open, sender })
    }

    /// Sends a record. Its ticket is done when the record has met the level of the options, else of the topic; waiting
    /// for it closes the batch at once. If the engine's buffers are full this waits for room.
    ///
    /// A named producer answers a position at or below the last one as a duplicate, not as an error; partition and
    /// offset in the answer mean nothing then.
    ///
    /// # Errors
    /// Nothing was sent, and the position is still free: `UnknownTopicOrPartition`; `RecordTooLarge`; `InvalidRecord`
    /// for a timestamp out of range; `InvalidArgument` for a position without a name or a name without a position;
    /// `ProducerFenced` once a newer holder of the name is known; `Closed` if an earlier send of this named producer
    /// was refused; `ReadOnly`, `Poisoned`, `Forked`. From the ticket: `Full`, `ProducerFenced`, and what a write
    /// answers.
    pub fn send(&self, topic: &str, record: Record<'_>) -> Result<Ticket<Appended>> {
        // Before the lock: a forked child may find it held for ever.
        self.sender.context.engine.check_writable()?;
        let (mut effects, target) = (Effects::default(), Target::of(&self.sender.context, topic));
        let item = {
            let mut state = self.sender.state.lock();
            self.sender.send(&mut state, &target, &record, &mut effects)
        };
        effects.run(&self.sender.context);
        Ok(match item? {
            Item::Sent(sent) => Ticket::later(Arc::new(One { sender: self.sender.clone(), sent })),
            Item::Known(appended, level) => self.known(appended, level),
        })
    }

    fn known(&self, appended: Appended, level: Durability) -> Ticket<Appended> {
        let waits = self.sender.context.waits.clone();
        match appended.lsn {
            0 => Ticket::ready(waits, Ok(appended)),
            lsn => Ticket::placed(waits, lsn, level, appended),
        }
    }

    /// Sends records in order; one ticket for all, with an answer for each. Records of other threads do not come
    /// between them.
    ///
    /// # Errors
    /// As `send`. The records before the refused one are sent.
    pub fn send_many(&self, topic: &str, records: &[Record<'_>]) -> Result<Ticket<Vec<Appended>>> {
        self.sender.context.engine.check_writable()?;
        let (mut effects, target) = (Effects::default(), Target::of(&self.sender.context, topic));
        let mut items = Vec::with_capacity(records.len());
        let sent = {
            let mut state = self.sender.state.lock();
            records.iter().try_for_each(|record| {
                items.push(self.sender.send(&mut state, &target, record, &mut effects)?);
                Ok(())
            })
        };
        effects.run(&self.sender.context);
        sent.map(|()| Ticket::later(Arc::new(Many { sender: self.sender.clone(), items: Arc::new(items) })))
    }

    /// Closes what is gathered and waits until everything sent before has met its level.
    ///
    /// # Errors
    /// What a write answers; what a batch was refused for since the last flush, after all others are safe: its own
    /// tickets say the same, but nobody may have kept them.
    pub fn flush(&self) -> Result<()> {
        self.sender.context.engine.check_open()?;
        self.sender.close_due(u64::MAX);
        let (last, refused) = match &mut self.sender.state.lock().kind {
            Kind::Plain(batches) => batches.flushed(),
            Kind::Named(frames) => frames.flushed(),
        };
        if let Some((lsn, level)) = last {
            self.open.inner.wait(lsn, level, None)?;
        }
        refused
    }

    /// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
    /// `None` before the first, and without a name.
    pub fn position(&self) -> Option<u64> {
        if self.sender.context.engine.is_forked() {
            return None;
        }
        match &mut self.sender.state.lock().kind {
            Kind::Plain(_) => None,
            Kind::Named(frames) => frames.reached(&self.sender.context),
        }
    }
}

impl Drop for Producer {
    /// What is gathered goes into the log; nobody is told of errors. A close of the engine has done that already, and a
    /// forked child leaves it to its parent.
    fn drop(&mut self) {
        if self.open.inner.check_open().is_ok() {
            self.sender.close_due(u64::MAX);
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

/// What never changes for a producer.
pub(super) struct Context {
    pub(super) engine: Arc<Inner>,
    pub(super) waits: Arc<dyn Waits>,
    pub(super) batch_bytes: usize,
    /// Nanoseconds.
    pub(super) linger: u64,
    pub(super) durability: Option<Durability>,
}

/// Where the records of one call go, and the time of those that carry none.
struct Target {
    topic: Result<Arc<TopicHandle>>,
    now: Timestamp,
}

impl Target {
    fn of(context: &Context, topic: &str) -> Self {
        let engine = &context.engine;
        Self { topic: engine.topic(topic), now: engine.machine().clock.wall_ms().max(-1) }
    }

    /// The level that a send asks for; without options or a topic the strongest.
    fn level(&self, context: &Context) -> Durability {
        let topic = self.topic.as_ref().ok().and_then(|topic| topic.partitions.first());
        context.durability.unwrap_or(topic.map_or(Durability::Disk, |partition| partition.level()))
    }
}

/// What is to be done when the producer's lock is free again.
#[derive(Default)]
pub(super) struct Effects {
    calls: Vec<Call>,
    deadline: Option<u64>,
}

impl Effects {
    /// A batch is begun; answers when it is to be closed.
    pub(super) fn begin(&mut self, context: &Context) -> u64 {
        let deadline = context.engine.machine().clock.monotonic().saturating_add(context.linger);
        self.deadline = Some(deadline);
        deadline
    }

    /// A batch is closed.
    pub(super) fn close(&mut self, pending: &Pending, outcome: Result<Outcome>) {
        self.calls.extend(pending.close(outcome));
    }

    fn run(self, context: &Context) {
        if let Some(deadline) = self.deadline {
            context.engine.linger_by(deadline);
        }
        self.calls.into_iter().for_each(|call| call());
    }
}

/// What a producer, its tickets and the keeper share.
pub(super) struct Sender {
    context: Context,
    state: Mutex<State>,
}

struct State {
    router: Router,
    kind: Kind,
}

enum Kind {
    Plain(Batches),
    Named(Frames),
}

impl Kind {
    fn holds(&self, instance: Instance) -> bool {
        match self {
            Kind::Plain(batches) => batches.holds(instance),
            Kind::Named(frames) => frames.holds(instance),
        }
    }
}

impl Sender {
    pub(super) fn waits(&self) -> &Arc<dyn Waits> {
        &self.context.waits
    }

    fn send(&self, state: &mut State, target: &Target, record: &Record<'_>, effects: &mut Effects) -> Result<Item> {
        let Self { context, .. } = self;
        let position = match &state.kind {
            Kind::Plain(_) => no_position(record)?,
            Kind::Named(frames) => {
                frames.check()?;
                let position = frames.position_of(record)?;
                if let Some(repeated) = frames.repeated(context, position, target.level(context)) {
                    return Ok(repeated);
                }
                position
            }
        };
        // Only now: a record that is in the log already is a duplicate even if its topic is gone.
        let topic = target.topic.as_ref().map_err(Error::clone)?;
        let State { router, kind } = state;
        let random = &*context.engine.machine().random;
        let partition = router.choose(topic, record, random, |instance| kind.holds(instance))?;
        let timestamp = record.timestamp.unwrap_or(target.now);
        let sent = match kind {
            Kind::Plain(batches) => batches.add(context, partition, record, timestamp, effects),
            Kind::Named(frames) => frames.add(context, partition, record, (position, timestamp), effects),
        };
        sent.map(Item::Sent)
    }

    /// Closes the batch of some tickets and answers where it went.
    pub(super) fn close(&self, pending: &Arc<Pending>) -> Result<Arc<Outcome>> {
        if let Some(outcome) = pending.outcome() {
            return outcome;
        }
        let mut effects = Effects::default();
        {
            let mut state = self.state.lock();
            match &mut state.kind {
                Kind::Plain(batches) => batches.close(&self.context, pending, &mut effects),
                Kind::Named(frames) => frames.close_pending(&self.context, pending, &mut effects),
            }
        }
        effects.run(&self.context);
        pending.outcome().unwrap_or_else(|| Err(lost()))
    }

    /// Closes what is due at `now`; answers when the next is.
    fn close_due(&self, now: u64) -> Option<u64> {
        self.close_due_in(self.state.lock(), now)
    }

    fn close_due_in(&self, mut state: MutexGuard<'_, State>, now: u64) -> Option<u64> {
        let mut effects = Effects::default();
        let next = match &mut state.kind {
            Kind::Plain(batches) => batches.close_due(&self.context, now, &mut effects),
            Kind::Named(frames) => frames.close_due(&self.context, now, &mut effects),
        };
        drop(state);
        effects.run(&self.context);
        next
    }
}

impl Lingering for Sender {
    /// The keeper must not wait for a sender, who may be waiting for the keeper to make room.
    fn linger(&self, now: u64) -> Option<u64> {
        if now == u64::MAX {
            return self.close_due(now);
        }
        match self.state.try_lock() {
            Some(state) => self.close_due_in(state, now),
            None => Some(now.saturating_add(1_000_000)),
        }
    }
}

fn no_position(record: &Record<'_>) -> Result<u64> {
    match record.position {
        None => Ok(0),
        Some(position) => {
            let text = "only a named producer keeps positions; open it with ProducerOptions::name";
            Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, position={position}")))
        }
    }
}
