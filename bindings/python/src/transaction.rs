//! Transactions, and the producer that begins them.

use std::sync::Arc;

use oncelog::{Error, ErrorKind, GroupMetadata, Record};
use pyo3::prelude::*;

use crate::arguments::{Data, Headers, Number, number, record};
use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::errors::{Raise, exception};
use crate::lock::Lock;
use crate::many::Given;
use crate::offsets;
use crate::ticket::Ticket;
use crate::wait::{BATCH, Patience, outlast, room, room_soon, wait};

/// Begins transactions, one at a time, under a transactional id. Opening the id fenced its older holder.
///
/// >>> engine = oncelog.open("bank.log")
/// >>> engine.create_topic("debits")
/// >>> engine.create_topic("credits")
/// >>> producer = engine.transactional_producer("transfers")
/// >>> with producer.begin_transaction() as transfer:     # commits; an exception aborts
/// ...     transfer.send("debits", b"100", key=b"alice")
/// ...     transfer.send("credits", b"100", key=b"bob")
/// >>> [engine.partition(topic, 0).bounds().end for topic in ("debits", "credits")]
/// [1, 1]
/// >>> engine.close()
#[pyclass(frozen, module = "oncelog")]
pub struct TransactionalProducer {
    /// Before the engine, which is to go last.
    core: Arc<oncelog::TransactionalProducer>,
    engine: Py<Engine>,
}

impl TransactionalProducer {
    pub fn new(core: Arc<oncelog::TransactionalProducer>, engine: Py<Engine>) -> Self {
        Self { core, engine }
    }

    /// What becomes of a begin: the transaction at once, or a refusal when that is safe.
    fn begin_ticket(
        &self,
        py: Python<'_>,
        consumer: Option<&Bound<'_, Consumer>>,
    ) -> PyResult<oncelog::Ticket<oncelog::Transaction>> {
        let begun = match consumer.map(Bound::get) {
            // An abort goes back to where the caller stands, not to where a loop has polled.
            Some(consumer) => {
                let core = consumer.core(py)?;
                consumer.at_given(py, || self.core.begin_ticket(Some(&core)))?
            }
            None => py.detach(|| self.core.begin_ticket(None)),
        };
        outlast(py, begun)
    }

    /// Begins if that waits for nothing; none while the refusal is not safe yet.
    fn try_begin(&self, py: Python<'_>, consumer: Option<&Bound<'_, Consumer>>) -> PyResult<Option<Transaction>> {
        let begun = self.begin_ticket(py, consumer)?.try_wait();
        Ok(outlast(py, begun)?.map(|begun| self.begun(py, begun, consumer)))
    }

    /// Begins. A refusal is told when it is safe: Ctrl-C is heard until then.
    fn begin(&self, py: Python<'_>, consumer: Option<&Bound<'_, Consumer>>) -> PyResult<Transaction> {
        let mut ticket = self.begin_ticket(py, consumer)?;
        let begun = match ticket.try_wait() {
            Ok(None) => wait(py, Patience::ENDLESS, |slice| ticket.wait_for(slice))?,
            begun => outlast(py, begun)?,
        };
        begun.map(|begun| self.begun(py, begun, consumer)).ok_or_else(|| exception(&ended()))
    }

    fn begun(&self, py: Python<'_>, core: oncelog::Transaction, consumer: Option<&Bound<'_, Consumer>>) -> Transaction {
        Transaction::new(core, consumer.map(|consumer| consumer.clone().unbind()), self.engine.clone_ref(py))
    }
}

#[pymethods]
impl TransactionalProducer {
    /// Begins a transaction. Nothing of it is seen at "read_committed" before the commit.
    ///
    /// Raises InvalidTransactionStateError while another one of this producer is open; ProducerFencedError, once that
    /// is safe: until then it waits.
    fn begin_transaction(&self, py: Python<'_>) -> PyResult<Transaction> {
        self.begin(py, None)
    }

    /// Begins a transaction bound to a consumer: begin it before you poll. The commit sends the consumer's positions
    /// with it; an abort puts the consumer back to where it stands now. Raises UnstableOffsetsError, which passes,
    /// while a raw transaction is open that will commit offsets of its group where it has no position yet.
    fn begin_transaction_for(&self, consumer: &Bound<'_, Consumer>) -> PyResult<Transaction> {
        self.begin(consumer.py(), Some(consumer))
    }

    /// The same for who must not wait: None while a refusal is not safe yet.
    #[pyo3(signature = (consumer=None))]
    fn _try_begin(&self, py: Python<'_>, consumer: Option<&Bound<'_, Consumer>>) -> PyResult<Option<Transaction>> {
        self.try_begin(py, consumer)
    }

    /// The position last sent with `Transaction.send_position` in a transaction that has met its level.
    #[getter]
    fn position(&self) -> Option<u64> {
        self.core.position()
    }
}

/// Records for any number of topics and offsets of any number of groups that become visible together or not at all.
///
/// Use it in `with`: the block's end commits, an exception aborts. One that is let go aborts.
///
/// Up to its buffer (`transaction_buffer` of `Engine.transactional_producer`, 1 MiB), and up to one batch (1 MiB) in
/// each partition, it is memory: its records get their offsets at the commit, so a plain send made meanwhile may come
/// first, and an abort leaves nothing. Past it, it *streams*, as Kafka's transactions do: its records go to the log as
/// they come. Readers at "read_uncommitted" see them at once; the last stable offset of their partitions, where
/// "read_committed" ends, waits for the decision; an abort hides them. `Engine.describe_transactions` names those that
/// hold it back. One that streams for longer than `transaction_timeout` is aborted and raises TransactionTimedOutError
/// from then on.
///
/// >>> engine = oncelog.open("bulk.log")
/// >>> engine.create_topic("events")
/// >>> events = engine.partition("events", 0)
/// >>> producer = engine.transactional_producer("bulk", transaction_buffer=65_536)
/// >>> with producer.begin_transaction() as bulk:
/// ...     for _ in range(100):
/// ...         bulk.send("events", bytes(1000))        # 100 KB: more than the buffer holds
/// ...     print([open.number == bulk.number for open in engine.describe_transactions()], events.bounds().stable)
/// [True] 0
/// >>> engine.transaction_status(bulk.number), events.bounds().stable
/// ('committed', 100)
/// >>> engine.close()
#[pyclass(frozen, module = "oncelog")]
pub struct Transaction {
    state: Lock<State>,
    number: u64,
    consumer: Option<Py<Consumer>>,
    engine: Py<Engine>,
}

enum State {
    Open(Box<oncelog::Transaction>),
    /// It has its place in the log; the ticket says when it is safe.
    Placed(Py<Ticket>),
    Ended,
}

#[cold]
fn ended() -> Error {
    Error::new(ErrorKind::InvalidTransactionState, "the transaction has ended; begin another one")
}

impl Transaction {
    fn new(core: oncelog::Transaction, consumer: Option<Py<Consumer>>, engine: Py<Engine>) -> Self {
        let number = core.number();
        Self { state: Lock::new(State::Open(Box::new(core))), number, consumer, engine }
    }

    /// Uses the open transaction. What goes wrong is raised when the lock is free again, for that is Python's work.
    fn with<T>(&self, py: Python<'_>, f: impl FnOnce(&mut oncelog::Transaction) -> oncelog::Result<T>) -> PyResult<T> {
        let answer = match &mut *self.state.take(py)? {
            State::Open(transaction) => f(transaction),
            _ => Err(ended()),
        };
        answer.raise()
    }

    /// Takes the open transaction out to end it.
    fn take(&self, py: Python<'_>) -> PyResult<Box<oncelog::Transaction>> {
        let taken = match &mut *self.state.take(py)? {
            state @ State::Open(_) => Some(std::mem::replace(state, State::Ended)),
            _ => None,
        };
        match taken {
            Some(State::Open(transaction)) => Ok(transaction),
            _ => Err(exception(&ended())),
        }
    }

    /// Uses the open transaction for what may wait. Without the interpreter lock, and the transaction's own is waited
    /// for like any other: whoever ends the transaction meanwhile comes after this or before it.
    fn detached<T: Send>(
        &self,
        py: Python<'_>,
        f: impl Send + FnOnce(&mut oncelog::Transaction) -> oncelog::Result<T>,
    ) -> PyResult<T> {
        self.state.check_process()?;
        let answer = py.detach(|| match &mut *self.state.take_detached() {
            State::Open(transaction) => Some(f(transaction)),
            _ => None,
        });
        outlast(py, answer.unwrap_or_else(|| Err(ended())))
    }

    /// Sends a record for which others go to the log first.
    #[cold]
    fn stream(&self, py: Python<'_>, topic: &str, record: Record<'_>) -> PyResult<()> {
        room(py, self.engine.get().core(), BATCH)?;
        self.detached(py, |transaction| transaction.send(topic, record))
    }

    /// Gives the transaction its place; the ticket of one that has it.
    fn place(&self, py: Python<'_>) -> PyResult<Py<Ticket>> {
        let placed = match &*self.state.take(py)? {
            State::Placed(ticket) => Some(ticket.clone_ref(py)),
            _ => None,
        };
        if let Some(ticket) = placed {
            return Ok(ticket);
        }
        room(py, self.engine.get().core(), BATCH)?;
        let transaction = self.take(py)?;
        let placed = match &self.consumer {
            // What a loop over the consumer has not handed out was not read.
            Some(consumer) => consumer.get().at_given(py, || transaction.commit_ticket())?,
            None => py.detach(|| transaction.commit_ticket()),
        };
        let ticket = placed.raise()?;
        let ticket = Py::new(py, Ticket::of(ticket).shown(self.engine.get()))?;
        *self.state.take(py)? = State::Placed(ticket.clone_ref(py));
        Ok(ticket)
    }
}

impl Drop for Transaction {
    /// A transaction that is let go aborts: its consumer goes back, further than what a loop has not handed out. Where
    /// it streams a decision goes to the log, which may wait for room, and nobody else may be kept waiting meanwhile.
    ///
    /// An exception may be on its way, which is not ours and must stay: no error is made in here, for that would run
    /// Python code.
    fn drop(&mut self) {
        Python::try_attach(|py| {
            // Held by nobody: this is the last reference.
            let state = self.state.try_take().map(|mut state| std::mem::replace(&mut *state, State::Ended));
            let Some(State::Open(transaction)) = state else { return };
            match &self.consumer {
                Some(consumer) => consumer.get().going_back_quietly(py, || drop(transaction)),
                None => py.detach(|| drop(transaction)),
            }
        });
    }
}

#[pymethods]
impl Transaction {
    /// Adds a record. Nobody at "read_committed" sees it before the commit. Arguments as in `Producer.send`. If the
    /// transaction is past its buffer, what it holds goes to the log now; that may wait for room.
    ///
    /// The transaction is as it was and can go on or be aborted after UnknownTopicOrPartitionError,
    /// RecordTooLargeError, InvalidRecordError, ArgumentError, and FullError while it streams. It can only be aborted,
    /// and run again, after TransactionTimedOutError, TransactionAbortedError (by `Engine.abort_transaction`),
    /// ProducerFencedError, and LimitExceededError: it streams and reaches more than 1,000 partitions, or too many
    /// transactions stream.
    #[pyo3(signature = (topic, value, *, key=None, headers=None, partition=None, timestamp_ms=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn send(
        &self,
        py: Python<'_>,
        topic: &str,
        value: Option<Data<'_, '_>>,
        key: Option<Data<'_, '_>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamp_ms: Option<Number<i64>>,
    ) -> PyResult<()> {
        let headers = Headers::of(headers)?;
        let headers = headers.borrowed();
        let record = record(&value, &key, (number(partition), number(timestamp_ms), None)).headers(&headers);
        match self.with(py, |transaction| transaction.try_send(topic, record))? {
            true => Ok(()),
            false => self.stream(py, topic, record),
        }
    }

    /// Adds a record if that takes nothing but memory. False: what the transaction holds would have to go to the log
    /// first, which may wait for room; nothing happened. For those who must not wait, as an event loop of one's own:
    /// they have another thread `send`.
    ///
    /// >>> with oncelog.open("trips.log") as engine:
    /// ...     engine.create_topic("legs")
    /// ...     with engine.transactional_producer("trips").begin_transaction() as trip:
    /// ...         trip.try_send("legs", bytes(600_000)), trip.try_send("legs", bytes(600_000))
    /// (True, False)
    ///
    /// Arguments and errors as those of `send`.
    #[pyo3(signature = (topic, value, *, key=None, headers=None, partition=None, timestamp_ms=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn try_send(
        &self,
        py: Python<'_>,
        topic: &str,
        value: Option<Data<'_, '_>>,
        key: Option<Data<'_, '_>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamp_ms: Option<Number<i64>>,
    ) -> PyResult<bool> {
        let headers = Headers::of(headers)?;
        let headers = headers.borrowed();
        let record = record(&value, &key, (number(partition), number(timestamp_ms), None)).headers(&headers);
        self.with(py, |transaction| transaction.try_send(topic, record))
    }

    /// Adds records in order.
    ///
    /// >>> with oncelog.open("trips.log") as engine:
    /// ...     engine.create_topic("legs")
    /// ...     with engine.transactional_producer("trips").begin_transaction() as trip:
    /// ...         trip.send_many("legs", [b"Bern", b"Basel", b"Bonn"])
    /// ...     engine.partition("legs", 0).bounds().stable
    /// 3
    ///
    /// values, keys, timestamps_ms: iterables of the same length. headers, partition: the same for all.
    ///
    /// Raises as `send`; the records before the refused one are in the transaction, those behind it are not.
    #[pyo3(signature = (topic, values, keys=None, *, headers=None, partition=None, timestamps_ms=None))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn send_many(
        &self,
        py: Python<'_>,
        topic: &str,
        values: &Bound<'_, PyAny>,
        keys: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamps_ms: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let given = Given { values, keys, headers, partition: number(partition), timestamps_ms, positions: None };
        given.records(|records| self.detached(py, |transaction| transaction.send_many(topic, records)))?
    }

    /// Commits offsets of a group together with the records: per partition the offset to read next, or an
    /// `OffsetAndMetadata`. Not for the group of the bound consumer, whose positions the commit sends.
    /// `BusyError` while other transactions have all of `transaction_memory`, and for up to 64 KiB of them the 8 MiB
    /// besides.
    fn send_offsets(&self, py: Python<'_>, group: &Bound<'_, PyAny>, offsets: &Bound<'_, PyAny>) -> PyResult<()> {
        let (group,) = group.extract::<(String,)>()?;
        let offsets = offsets::offsets(offsets)?;
        self.with(py, |transaction| transaction.send_offsets(&GroupMetadata { group }, &offsets))
    }

    /// Moves the position of the transactional id with the commit: how far its source has been worked off. See
    /// `TransactionalProducer.position`.
    fn send_position(&self, py: Python<'_>, position: Number<u64>) -> PyResult<()> {
        self.with(py, |transaction| transaction.send_position(position.0))
    }

    /// The transaction's number: it names this transaction for ever.
    #[getter]
    fn number(&self) -> u64 {
        self.number
    }

    /// True until it is committed or aborted.
    #[getter]
    fn is_open(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(matches!(&*self.state.take(py)?, State::Open(_)))
    }

    /// Commits, and waits until the transaction is safe.
    ///
    /// IndeterminateError: a write failed under the commit; opening the log again decides whether it is there, and
    /// `Engine.transaction_status` tells. After every other error it is aborted and the bound consumer back where it
    /// stood: run it again. Of a topic that was deleted meanwhile, records in memory or offsets refuse the commit
    /// (UnknownTopicOrPartitionError); records that streamed before are gone with it, and the rest commits. Interrupted
    /// by Ctrl-C, the commit has its place but is not known to be safe: call `commit`
    /// again to learn.
    fn commit<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let ticket = self.place(py)?;
        let result = ticket.get().wait(py);
        if let Err(error) = &result
            && !error.is_instance_of::<pyo3::exceptions::PyException>(py)
        {
            // Not an answer but an interruption, such as Ctrl-C.
            let note = "the commit has its place and cannot be taken back, but is not known to be safe yet: \
                        call commit() again, or wait for commit_ticket(), to learn";
            error.value(py).call_method1("add_note", (note,))?;
        }
        result
    }

    /// Commits without waiting: the ticket says when the transaction is safe, or why it was refused, and aborted.
    fn commit_ticket(&self, py: Python<'_>) -> PyResult<Py<Ticket>> {
        self.place(py)
    }

    /// Aborts: no reader at "read_committed" ever sees anything of it, and a bound consumer goes back to where it stood
    /// at the begin. If it streamed, that is decided in the log; nobody need wait for it, for opening the log again
    /// would abort it too.
    fn abort(&self, py: Python<'_>) -> PyResult<()> {
        let transaction = self.take(py)?;
        let aborted = match &self.consumer {
            Some(consumer) => consumer.get().going_back(py, || transaction.abort())?,
            None => py.detach(|| transaction.abort()),
        };
        aborted.raise()
    }

    /// True if a send that streams, or an abort, finds room right now.
    fn _has_room(&self) -> bool {
        self.engine.get().core().has_room(BATCH)
    }

    /// Waits a moment for that; true if it helps nothing to wait longer.
    fn _await_room(&self, py: Python<'_>) -> PyResult<bool> {
        room_soon(py, self.engine.get().core())
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if !self.is_open(py)? {
            return Ok(());
        }
        if kind.is_none() { self.commit(py).map(drop) } else { self.abort(py) }
    }
}
