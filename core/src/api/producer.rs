//! The producer: gathers records into batches, and says when they are safe.

use std::borrow::Borrow;
use std::sync::Arc;

use super::batches::Batches;
use super::engine::Open;
use super::frames::Frames;
use super::options::ProducerOptions;
use super::pending::{Answers, Many, lost};
use super::positions::Positions;
use super::router::Router;
use super::sender::{Added, Context, Effects, Kind, Sender, State};
use crate::engine::Refused;
use crate::error::{Error, ErrorKind, Result};
use crate::format::record::Record;
use crate::io::sync::{Mutex, MutexGuard};
use crate::journal::{Promise, Seat, Ticket};
use crate::types::{Appended, Durability};

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
    /// Of a named one.
    positions: Option<Arc<Mutex<Positions>>>,
}

/// How far `Producer::try_send_many` came.
#[derive(Debug)]
#[non_exhaustive]
pub struct SentMany {
    /// How many of the records were sent: the first ones. What a named producer is refused counts among them as long as
    /// that may not be told yet: the ticket tells it.
    pub sent: usize,
    /// The answers of those.
    pub ticket: Ticket<Vec<Appended>>,
    /// Why the next one was refused; `None` if all are sent, or it would have had to wait.
    pub refused: Option<Error>,
}

impl Producer {
    pub(super) fn open(open: Arc<Open>, options: ProducerOptions) -> Result<Ticket<Self>> {
        let engine = &open.inner;
        engine.check_writable()?;
        options.check()?;
        let kind = match options.name.clone() {
            None => Promise::kept(Kind::Plain(Batches::default())),
            Some(name) => engine
                .open_producer(Some(&name), 0, None)?
                .map(|(identity, reached)| Kind::Named(Box::new(Frames::new(name, identity, reached)))),
        };
        let engine = engine.clone();
        Ok(kind.map(|kind| Self::with(open, &options, kind)).ticket(&engine))
    }

    fn with(open: Arc<Open>, options: &ProducerOptions, kind: Kind) -> Self {
        let engine = &open.inner;
        let positions = match &kind {
            Kind::Plain(_) => None,
            Kind::Named(frames) => Some(frames.positions().clone()),
        };
        let sender = Arc::new_cyclic(|sender| {
            let context = Context {
                engine: engine.clone(),
                waits: engine.waits(),
                sender: sender.clone(),
                batch_bytes: options.batch_bytes,
                linger: u64::try_from(options.linger.as_nanos()).unwrap_or(u64::MAX),
                durability: options.durability,
                compression: options.compression,
            };
            Sender { context, state: Mutex::new(State { router: Router::default(), kind }) }
        });
        let weak: std::sync::Weak<Sender> = Arc::downgrade(&sender);
        engine.on_linger(weak);
        Producer { open, sender, positions }
    }

    /// Sends a record. Its ticket is done when the record has met the level of the options, else of the topic; waiting
    /// for it closes the batch at once. If the engine's buffers are full this waits for room; behind a batch that was
    /// refused it waits until the disk has confirmed why.
    ///
    /// A named producer answers a position at or below the last one as a duplicate, not as an error; partition and
    /// offset in the answer mean nothing then.
    ///
    /// # Errors
    /// Nothing was sent, and the position is still free: `UnknownTopicOrPartition`; `RecordTooLarge`; `InvalidRecord`
    /// for a timestamp out of range; `InvalidArgument` for a position without a name or a name without a position;
    /// `ProducerFenced` once a newer holder of the name is known; `Closed` if an earlier send of this named producer
    /// was refused; `ReadOnly`, `Poisoned`, `Forked`. From the ticket: `Full`, and what a write answers; and
    /// `ProducerFenced`, `Closed` and `UnknownTopicOrPartition` if the batch was refused, or an earlier one was and a
    /// power cut could still take what it was refused for: no refusal is told before that is safe.
    pub fn send(&self, topic: &str, record: Record<'_>) -> Result<Ticket<Appended>> {
        // Before the lock: a forked child may find it held for ever.
        self.sender.context.engine.check_writable()?;
        self.send_in(self.sender.state_to_send(), topic, &record, &mut Effects::default(), |sent| sent)
    }

    /// Sends a record if that takes no waiting; `None` if the engine's buffers are full, a batch was refused and the
    /// disk must confirm why, or another thread, be it the engine's own, is busy with this producer right then: nothing
    /// was sent. For callers that hold what others wait for, as an event loop or an interpreter's lock: they let go of
    /// it and call `send`, or come again later.
    ///
    /// # Errors
    /// As `send`.
    pub fn try_send(&self, topic: &str, record: Record<'_>) -> Result<Option<Ticket<Appended>>> {
        self.sender.context.engine.check_writable()?;
        let Some(state) = self.sender.state_now() else { return Ok(None) };
        self.send_in(state, topic, &record, &mut Effects::impatient(), |sent| match sent {
            Ok(ticket) => Ok(Some(ticket)),
            Err(error) if error.kind() == ErrorKind::Busy => Ok(None),
            Err(error) => Err(error),
        })
    }

    /// Sends a record, and `answer`s, once for each way that may go, so that a ticket is made where it is answered.
    #[inline(always)]
    fn send_in<A>(
        &self,
        mut state: MutexGuard<'_, State>,
        topic: &str,
        record: &Record<'_>,
        effects: &mut Effects,
        answer: impl Fn(Result<Ticket<Appended>>) -> Result<A>,
    ) -> Result<A> {
        let State { router, kind } = &mut *state;
        let mut topic = router.topic(&self.sender.context.engine, topic);
        match kind {
            Kind::Plain(batches) => {
                let sent = self.sender.send_plain(batches, &mut topic, record, effects);
                drop(state);
                effects.run(&self.sender.context);
                match sent {
                    Ok(seat) => answer(gathered(effects, seat)),
                    Err(refused) => answer(self.refusal(refused)),
                }
            }
            Kind::Named(frames) => {
                let sent = self.sender.send_named(frames, &mut topic, record, effects);
                drop(state);
                effects.run(&self.sender.context);
                answer(match sent {
                    Ok(Added::Seat(seat)) => gathered(effects, seat),
                    Ok(Added::Known(appended, level)) => Ok(self.known(appended, level)),
                    Err(refused) => self.refusal(refused),
                })
            }
        }
    }

    /// A refusal is told at once if it may be, else by the ticket.
    #[cold]
    fn refusal(&self, refused: Refused) -> Result<Ticket<Appended>> {
        match refused.given(&*self.sender.context.waits) {
            Some(error) => Err(error),
            None => Ok(refused.promise().ticket(&self.sender.context.engine)),
        }
    }

    fn known(&self, appended: Appended, level: Durability) -> Ticket<Appended> {
        let waits = self.sender.context.waits.clone();
        match appended.lsn {
            0 => Ticket::ready(waits, Ok(appended)),
            lsn => Ticket::placed(waits, lsn, level, appended),
        }
    }

    /// Sends records in order; one ticket for all, with an answer for each. The topic is looked up once: if it is
    /// deleted meanwhile the ticket says so. Records of other threads do not come between them: while the records are
    /// walked, the producer is locked, so what walks them must neither call it nor flush or close the engine.
    ///
    /// # Errors
    /// As `send`. The records before the refused one are sent.
    pub fn send_many<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item: Borrow<Record<'a>>>,
    ) -> Result<Ticket<Vec<Appended>>> {
        self.sender.context.engine.check_writable()?;
        let (many, refused) = self.send_all(self.sender.state_to_send(), topic, records, Effects::default());
        refused.map_or_else(|| Ok(self.ticket_of(many)), Err)
    }

    /// Sends records in order until one would have to wait, or is refused; says how far it came. As `try_send`, nothing
    /// at all is sent if a batch was refused and the disk must confirm why, or another thread, be it the engine's own,
    /// is busy with this producer right then.
    ///
    /// The topic is looked up once. Records may be made one by one, as they are asked for, so that none lies in memory
    /// twice. The producer is busy meanwhile: the iterator must neither use it nor flush or close the engine, and
    /// should be quick.
    ///
    /// # Errors
    /// `Closed`, `Forked`, `ReadOnly`, `Poisoned`: nothing was sent.
    pub fn try_send_many<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item: Borrow<Record<'a>>>,
    ) -> Result<SentMany> {
        let (many, refused) = self.send_all_now(topic, records)?;
        Ok(SentMany { sent: many.records(), ticket: self.ticket_of(many), refused })
    }

    /// As `try_send_many`: how many were sent, their answers, and why the next one was refused. Of records that lie
    /// side by side only the first one's answer is made, with their number: the others have the offsets behind it, and
    /// of duplicates no place. Hidden, since it is for bindings that hand the answers on packed.
    ///
    /// # Errors
    /// As `try_send_many`.
    #[doc(hidden)]
    #[allow(clippy::type_complexity, reason = "one caller takes it apart at once")]
    pub fn try_send_runs<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item: Borrow<Record<'a>>>,
    ) -> Result<(usize, Ticket<Vec<(Appended, u32)>>, Option<Error>)> {
        let (many, refused) = self.send_all_now(topic, records)?;
        Ok((many.records(), self.ticket_of(many), refused))
    }

    fn send_all_now<'a>(
        &self,
        topic: &str,
        records: impl IntoIterator<Item: Borrow<Record<'a>>>,
    ) -> Result<(Many, Option<Error>)> {
        self.sender.context.engine.check_writable()?;
        match self.sender.state_now() {
            Some(state) => Ok(self.send_all(state, topic, records, Effects::impatient())),
            None => Ok((self.many(), None)),
        }
    }

    fn send_all<'a>(
        &self,
        state: MutexGuard<'_, State>,
        topic: &str,
        records: impl IntoIterator<Item: Borrow<Record<'a>>>,
        effects: Effects,
    ) -> (Many, Option<Error>) {
        // The lock goes before the effects run: what is declared last goes first.
        let mut effects = effects.running(&self.sender.context);
        let mut state = state;
        let mut many = self.many();
        let mut refused = None;
        let State { router, kind } = &mut *state;
        // Once for all: what becomes of the topic meanwhile the batches hear when they are placed.
        let mut topic = router.topic(&self.sender.context.engine, topic);
        // Whoever walks an iterator by hand must not ask it again behind its end.
        let mut records = records.into_iter().fuse();
        let mut next = records.next();
        while let Some(record) = next.take() {
            match (self.sender.send(kind, &mut topic, record.borrow(), &mut effects), &effects.pending) {
                (Ok(Added::Seat(seat)), Some(pending)) => {
                    many.sent(pending, seat);
                    if !effects.held_up {
                        let (more, behind) = self.sender.send_alike(kind, &topic, &seat, &mut records, &mut effects);
                        many.sent_alike(more);
                        next = behind;
                    }
                }
                (Ok(Added::Known(appended, level)), _) => many.known(appended, level),
                (Ok(Added::Seat(_)), None) => refused = Some(lost()),
                (Err(refusal), _) => match refusal.given(&*self.sender.context.waits) {
                    Some(error) => {
                        refused = Some(error).filter(|e| effects.may_wait() || e.kind() != ErrorKind::Busy);
                    }
                    None => many.refused(refusal),
                },
            }
            if refused.is_some() || effects.held_up {
                break;
            }
            next = next.or_else(|| records.next());
        }
        (many, refused)
    }

    fn many(&self) -> Many {
        Many::new(self.sender.context.waits.clone())
    }

    fn ticket_of<A: Answers>(&self, many: Many) -> Ticket<A> {
        Ticket::later(Arc::new(many), Seat::default())
    }

    /// Closes what is gathered and waits until everything sent before has met its level.
    ///
    /// # Errors
    /// What a write answers; what a batch was refused for since the last flush, after all others are safe: its own
    /// tickets say the same, but nobody may have kept them.
    pub fn flush(&self) -> Result<()> {
        self.flush_ticket()?.wait()
    }

    /// Closes what is gathered; the ticket is done when everything sent before has met its level.
    ///
    /// # Errors
    /// `Closed`, `Forked`. From the ticket: as `flush`.
    pub fn flush_ticket(&self) -> Result<Ticket<()>> {
        self.sender.context.engine.check_open()?;
        self.sender.close_due(u64::MAX);
        Ok(self.flushed(&mut self.sender.state.lock()))
    }

    /// The same, but closes only what needs no waiting for room: `None` if something is left. Hidden, since it is for
    /// bindings whose one thread must never wait: they have it closed on another one and come again.
    #[doc(hidden)]
    pub fn try_flush(&self) -> Result<Option<Ticket<()>>> {
        self.sender.context.engine.check_open()?;
        Ok(self.sender.state_closed().map(|mut state| self.flushed(&mut state)))
    }

    /// What a batch was refused for since the last flush, once the log is closed: a flush answers `Closed` then,
    /// whether all that was sent had been taken or not. Hidden, since it is for bindings whose posts keep no tickets.
    #[doc(hidden)]
    pub fn refused(&self) -> Option<Error> {
        if self.sender.context.engine.is_forked() {
            return None;
        }
        self.sender.state.lock().kind.flushed().1.err().map(|refused| refused.error)
    }

    fn flushed(&self, state: &mut State) -> Ticket<()> {
        let (last, refused) = state.kind.flushed();
        let (lsn, level) = last.unwrap_or((0, Durability::Memory));
        let promise = match refused {
            Ok(()) => Promise { lsn, level, answer: Ok(()) },
            // Behind all others.
            Err(refused) if refused.lsn == 0 => Promise { lsn, level, answer: Err(refused.error) },
            Err(refused) => Refused { lsn: refused.lsn.max(lsn), ..refused }.promise(),
        };
        promise.ticket(&self.open.inner)
    }

    /// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
    /// `None` before the first, without a name, and in a forked child, which may not send either.
    pub fn position(&self) -> Option<u64> {
        if self.sender.context.engine.is_forked() {
            return None;
        }
        self.positions.as_ref()?.lock().reached(&*self.sender.context.waits)
    }
}

impl Drop for Producer {
    /// What is gathered goes into the log; nobody but its tickets is told of errors. A forked child leaves it to its
    /// parent.
    fn drop(&mut self) {
        if !self.open.inner.is_forked() {
            self.sender.close_due(u64::MAX);
        }
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producer").finish_non_exhaustive()
    }
}

/// The ticket of a record that waits in the batch that the effects name.
#[inline(always)]
fn gathered(effects: &mut Effects, seat: Seat) -> Result<Ticket<Appended>> {
    let pending = effects.pending.take().ok_or_else(lost)?;
    Ok(Ticket::later(pending, seat))
}
