//! The producer that begins transactions.

use std::sync::Arc;

use pyo3::prelude::*;

use crate::consumer::Consumer;
use crate::engine::Engine;
use crate::errors::exception;
use crate::transaction::{Transaction, ended};
use crate::wait::{Patience, outlast, wait};

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
        if let Some(consumer) = consumer {
            consumer.get().give_back(py)?;
        }
        let core = consumer.map(|consumer| consumer.get().core());
        let begun = py.detach(|| self.core.begin_ticket(core));
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
