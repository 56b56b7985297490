//! The transactional producer: holds a name, begins transactions.

use std::sync::{Arc, Weak};

use super::consumer::Consumer;
use super::engine::Open;
use super::gather::Gather;
use super::options::ProducerOptions;
use super::positions::Positions;
use super::router::Router;
use super::transaction::Transaction;
use crate::engine::{Doomed, Judged, Refused, Transacting};
use crate::error::{Error, ErrorKind, Result};
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicU64, Ordering};
use crate::journal::{Ticket, Waits};
use crate::limits::TRANSACTION_BUFFER_MAX;
use crate::types::{Compression, Durability, Identity, Lsn, TransactionNumber};

/// Begins transactions, one at a time, under a transactional id. Opening the id fences its older holder.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// use oncelog::{Engine, ProducerOptions, Record, TopicOptions};
/// let engine = Engine::open(dir.path())?;
/// engine.create_topic("debits", TopicOptions::new())?;
/// engine.create_topic("credits", TopicOptions::new())?;
/// let producer = engine.transactional_producer("transfers", ProducerOptions::new())?;
///
/// let mut transfer = producer.begin_transaction()?;
/// transfer.send("debits", Record::new(b"100").key(b"alice"))?;
/// transfer.send("credits", Record::new(b"100").key(b"bob"))?;
/// transfer.commit()?; // both or, after any crash before this returns, possibly neither; never one
/// # Ok::<(), oncelog::Error>(())
/// ```
pub struct TransactionalProducer {
    open: Arc<Open>,
    holder: Arc<Holder>,
}

impl TransactionalProducer {
    pub(super) fn open(open: Arc<Open>, id: &str, options: ProducerOptions) -> Result<Ticket<Self>> {
        let engine = &open.inner;
        engine.check_writable()?;
        options.check()?;
        if let Some(name) = options.name {
            let text = "a transactional id is the producer's name; leave the name out of its options";
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, id={id} name={name}")));
        }
        let buffer = options.transaction_buffer;
        if buffer > TRANSACTION_BUFFER_MAX {
            let text = "a transaction's buffer is out of range; past it the transaction streams";
            let values = format!("most={TRANSACTION_BUFFER_MAX} given={buffer}");
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{text}, {values}")));
        }
        let timeout_ms = engine.check_timeout(options.transaction_timeout)?;
        let engine = engine.clone();
        let opened = engine.open_producer(Some(id), timeout_ms, None)?;
        let registry = engine.clone();
        let made = opened.map(|(identity, reached)| {
            let positions = Positions::new(reached);
            let spare = Buffers::default();
            let state = HolderState { busy: false, finished: None, positions, behind: 0, spare };
            let holder = Holder {
                id: id.to_owned(),
                identity,
                durability: options.durability,
                compression: options.compression,
                waits: registry.waits(),
                buffer,
                timeout_ms,
                current: AtomicU64::new(0),
                state: Mutex::new(state),
            };
            let holder = Arc::new(holder);
            let transacting: Weak<Holder> = Arc::downgrade(&holder);
            registry.on_transactions(transacting);
            Self { open, holder }
        });
        Ok(made.ticket(&engine))
    }

    /// Begins a transaction. Nobody at read_committed sees anything of it before `commit`.
    ///
    /// # Errors
    /// `InvalidTransactionState` while another transaction of this producer is open; `ProducerFenced` once a newer
    /// holder of the id exists; `ReadOnly`, `Poisoned`, `Closed`, `Forked`.
    pub fn begin_transaction(&self) -> Result<Transaction> {
        self.begin(None)
    }

    /// Begins a transaction bound to a consumer: begin it before you poll. Commit sends the consumer's positions with
    /// it; abort, drop or a failed commit puts the consumer back to where it stands now, so that no input is lost.
    ///
    /// # Errors
    /// As `begin_transaction`; `InvalidArgument` if the consumer has no group or belongs to another engine;
    /// `InvalidState` if nothing is assigned to it or it is bound to another open transaction; `UnstableOffsets`, which
    /// passes, while a raw transaction is open that will commit offsets of its group where it has no position yet.
    pub fn begin_transaction_for(&self, consumer: &Consumer) -> Result<Transaction> {
        self.begin(Some(consumer))
    }

    /// Begins one, or answers a ticket that says why not once the disk has confirmed that: a ticket that has its
    /// transaction has it at once. Hidden, since it is for bindings that must hear something else while a refusal is
    /// waited for, or must not wait for it.
    ///
    /// # Errors
    /// As `begin_transaction`, and as `begin_transaction_for` with a consumer.
    #[doc(hidden)]
    pub fn begin_ticket(&self, consumer: Option<&Consumer>) -> Result<Ticket<Transaction>> {
        let (engine, waits) = (&self.open.inner, &self.holder.waits);
        engine.check_writable()?;
        let refused = match self.judged(consumer) {
            Ok(begun) => return Ok(Ticket::ready(waits.clone(), Ok(begun))),
            Err(refused) => refused,
        };
        if let Some(error) = refused.given(&**waits) {
            return Err(error);
        }
        waits.want(refused.lsn);
        Ok(refused.promise().ticket(engine))
    }

    fn begin(&self, consumer: Option<&Consumer>) -> Result<Transaction> {
        let engine = &self.open.inner;
        engine.check_writable()?;
        self.judged(consumer).map_err(|refused| engine.await_refusal(&refused))
    }

    fn judged(&self, consumer: Option<&Consumer>) -> Judged<Transaction> {
        let engine = &self.open.inner;
        let buffers = self.holder.take()?;
        let begun = engine.check_producer(self.holder.identity).and_then(|()| {
            let number = engine.next_number()?;
            let bound = consumer.map(|consumer| consumer.reader().bind(engine)).transpose()?;
            Ok((number, bound))
        });
        match begun {
            Ok((number, bound)) => {
                self.holder.current.store(number << STAGE_BITS, Ordering::SeqCst);
                Ok(Transaction::new(self.open.clone(), self.holder.clone(), number, buffers, bound))
            }
            Err(refused) => {
                self.holder.end(buffers, Some(&refused));
                Err(refused)
            }
        }
    }

    /// The position last sent with `Transaction::send_position` in a transaction that has met its level.
    pub fn position(&self) -> Option<u64> {
        if self.open.inner.is_forked() {
            return None;
        }
        self.holder.state.lock().positions.reached(&*self.holder.waits)
    }
}

impl std::fmt::Debug for TransactionalProducer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TransactionalProducer").field("id", &self.holder.id).finish_non_exhaustive()
    }
}

/// What a transactional producer and its transaction share.
pub(super) struct Holder {
    pub(super) id: String,
    pub(super) identity: Identity,
    pub(super) durability: Option<Durability>,
    pub(super) compression: Compression,
    pub(super) waits: Arc<dyn Waits>,
    /// Bytes past which a transaction streams.
    pub(super) buffer: usize,
    pub(super) timeout_ms: u32,
    /// The open transaction's number, 0 for none, and how far it is: it is committed or doomed, never both.
    current: AtomicU64,
    state: Mutex<HolderState>,
}

const STAGE_BITS: u32 = 2;
const COMMITTING: u64 = 1;
const DOOMED: u64 = 2;

impl Transacting for Holder {
    fn has(&self, number: TransactionNumber) -> bool {
        // 0 is no transaction's number, but what `current` holds between two.
        number != 0 && self.current.load(Ordering::SeqCst) >> STAGE_BITS == number
    }

    fn is_open(&self, number: TransactionNumber) -> bool {
        self.has(number) && self.current.load(Ordering::SeqCst) & DOOMED == 0
    }

    fn doom(&self, number: TransactionNumber) -> Option<Doomed> {
        let (open, doomed) = (number << STAGE_BITS, number << STAGE_BITS | DOOMED);
        let set = self.current.compare_exchange(open, doomed, Ordering::SeqCst, Ordering::SeqCst);
        let now = set.is_ok();
        (now || set == Err(doomed)).then_some(Doomed { of: self.identity, now })
    }
}

struct HolderState {
    /// A transaction is open.
    busy: bool,
    /// Why this holder may do nothing more.
    finished: Option<Refused>,
    positions: Positions,
    /// A frame that must be flushed before the next transaction is answered, which would get ahead of a refusal; or 0.
    behind: Lsn,
    /// Those of the last transaction, to be used again.
    spare: Buffers,
}

/// What a transaction fills.
#[derive(Default)]
pub(super) struct Buffers {
    pub(super) gather: Gather,
    pub(super) router: Router,
}

impl Holder {
    /// Takes the turn, and buffers to fill.
    fn take(&self) -> Judged<Buffers> {
        let mut state = self.state.lock();
        if let Some(refused) = &state.finished {
            return Err(refused.clone());
        }
        if state.busy {
            let text = "a transaction of this producer is open; commit or abort it, or open a producer with another id";
            return Err(Error::new(ErrorKind::InvalidTransactionState, format!("{text}, id={}", self.id)).into());
        }
        state.busy = true;
        Ok(std::mem::take(&mut state.spare))
    }

    /// Refuses a transaction that somebody has aborted.
    pub(super) fn check_doom(&self, number: TransactionNumber) -> Result<()> {
        if self.current.load(Ordering::Relaxed) == number << STAGE_BITS | DOOMED { Err(doomed(number)) } else { Ok(()) }
    }

    /// From here on nobody but the log aborts the transaction.
    pub(super) fn begin_commit(&self, number: TransactionNumber) -> Result<()> {
        let (open, committing) = (number << STAGE_BITS, number << STAGE_BITS | COMMITTING);
        match self.current.compare_exchange(open, committing, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(()),
            Err(_) => Err(doomed(number)),
        }
    }

    /// The transaction ends here, for its owner let it go or it was refused: false if somebody has aborted it before.
    pub(super) fn is_last_word(&self, number: TransactionNumber) -> bool {
        self.current.swap(number << STAGE_BITS | COMMITTING, Ordering::SeqCst) & DOOMED == 0
    }

    /// Gives the turn and the buffers back. After a fatal error there is no next transaction.
    pub(super) fn end(&self, mut buffers: Buffers, refused: Option<&Refused>) {
        buffers.gather.clear();
        self.current.store(0, Ordering::SeqCst);
        let mut state = self.state.lock();
        state.busy = false;
        state.spare = buffers;
        state.behind = state.behind.max(refused.map_or(0, |refused| refused.lsn));
        if let Some(refused) = refused.filter(|refused| refused.error.is_fatal()) {
            state.finished = Some(refused.clone());
        }
    }

    /// The last position that a committed transaction took.
    pub(super) fn last_position(&self) -> Option<u64> {
        self.state.lock().positions.last().map(|(position, _)| position)
    }

    /// The level at which a transaction is answered that has its place now: behind one whose refusal may not be told
    /// yet it is flushed as well.
    pub(super) fn level_behind(&self, lsn: Lsn, level: Durability) -> Durability {
        let mut state = self.state.lock();
        if state.behind == 0 || self.waits.reached(state.behind, Durability::Disk).is_some() {
            state.behind = 0;
            return level;
        }
        // Nobody gets ahead of this one either. Another thread's, behind it in the log, may have come here before.
        state.behind = state.behind.max(lsn);
        Durability::Disk
    }

    /// A transaction with this position has its place.
    pub(super) fn place(&self, position: u64, lsn: Lsn, level: Durability) {
        self.state.lock().positions.place(position, lsn, level, &*self.waits);
    }
}

#[cold]
fn doomed(number: TransactionNumber) -> Error {
    let text = "the transaction was aborted by somebody else; run it again";
    Error::new(ErrorKind::TransactionAborted, format!("{text}, number={number}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::journal::Call;

    /// Everything up to here is flushed.
    #[derive(Default)]
    struct Flushed(AtomicU64);

    impl Waits for Flushed {
        fn wait(&self, _: Lsn, _: Durability, _: Option<u64>) -> Result<bool> {
            Ok(false)
        }
        fn reached(&self, lsn: Lsn, _: Durability) -> Option<Result<()>> {
            (self.0.load(Ordering::SeqCst) >= lsn).then_some(Ok(()))
        }
        fn enlist(&self, _: Lsn, _: Durability, _: Call) {}
        fn want(&self, _: Lsn) {}
        fn attend(&self) {}
        fn check(&self) -> Result<()> {
            Ok(())
        }
        fn now(&self) -> u64 {
            0
        }
    }

    fn holder(waits: Arc<dyn Waits>) -> Holder {
        let (positions, spare) = (Positions::new(None), Buffers::default());
        Holder {
            id: "tp".to_owned(),
            identity: Identity { producer_id: 1, epoch: 0 },
            durability: None,
            compression: Compression::None,
            waits,
            buffer: 0,
            timeout_ms: 1,
            current: AtomicU64::new(0),
            state: Mutex::new(HolderState { busy: false, finished: None, positions, behind: 0, spare }),
        }
    }

    #[test]
    fn a_transaction_that_asks_late_lets_no_other_get_ahead_of_one_that_waits_behind_a_refusal() {
        let flushed = Arc::new(Flushed::default());
        let holder = holder(flushed.clone());
        let refused = Refused { lsn: 9, error: doomed(1) };
        holder.end(Buffers::default(), Some(&refused));
        // Two threads in turns: the one whose frame is older comes here behind the other.
        let levels = [11, 10].map(|lsn| holder.level_behind(lsn, Durability::Os));
        assert_eq!(levels, [Durability::Disk; 2]);
        flushed.0.store(10, Ordering::SeqCst);
        assert_eq!(holder.level_behind(12, Durability::Os), Durability::Disk, "the other one waits still");
        flushed.0.store(12, Ordering::SeqCst);
        assert_eq!(holder.level_behind(13, Durability::Os), Durability::Os, "nobody waits any more");
    }
}
