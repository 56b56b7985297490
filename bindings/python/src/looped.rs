//! What sends in an event loop, which must not wait: what finds no room waits in a line of its own instead.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncelog::Error;
use oncelog::io::sync::Mutex;
use pyo3::prelude::*;

use crate::answer::Answer;
use crate::arguments::{Data, Headers, Number, number};
use crate::backlog::{Backlog, Make, Waiting};
use crate::errors::exception;
use crate::many::Given;
use crate::owned::{self, Owned};
use crate::producer::{Producer, record};
use crate::ticket::{State, Ticket};
use crate::transaction::Transaction;
use crate::wait::{CLOSES, outlast};

/// A producer in an event loop.
#[pyclass(frozen, module = "oncelog")]
pub struct LoopProducer {
    producer: Py<Producer>,
    backlog: Py<Backlog>,
}

impl LoopProducer {
    /// Has what is left of a call wait.
    fn defer(&self, py: Python<'_>, bytes: usize, make: Make) -> PyResult<Py<Ticket>> {
        let ticket = Py::new(py, Ticket::to_come())?;
        let whose = self.producer.clone_ref(py).into_any();
        let bytes = bytes.saturating_add(CLOSES);
        let waiting = Waiting { bytes, make, ticket: Some(ticket.clone_ref(py)), whose };
        Backlog::defer(self.backlog.bind(py), waiting)?;
        Ok(ticket)
    }
}

#[pymethods]
impl LoopProducer {
    #[new]
    fn new(producer: Py<Producer>, backlog: Py<Backlog>) -> Self {
        producer.get().in_loop();
        Self { producer, backlog }
    }

    /// Sends a record: see `oncelog.Producer.send`. If there is no room it waits for some, and whoever awaits the ticket
    /// waits for both; the loop goes on. Raises BusyError if 64 MiB wait already.
    #[pyo3(signature = (
        topic, value, *, key=None, headers=None, partition=None, timestamp_ms=None, position=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn send<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        value: Option<Data<'_, '_>>,
        key: Option<Data<'_, '_>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamp_ms: Option<Number<i64>>,
        position: Option<Number<u64>>,
    ) -> PyResult<Bound<'py, Ticket>> {
        let headers = headers.map(|headers| Headers::of(Some(headers))).transpose()?;
        let headers = headers.as_ref().map(Headers::borrowed);
        let numbers = (number(partition), number(timestamp_ms), number(position));
        let record = record(&value, &key, numbers).headers(headers.as_deref().unwrap_or_default());
        let producer = self.producer.get();
        if !self.backlog.get().waits() {
            match producer.core().try_send(topic, record) {
                Ok(Some(ticket)) => return producer.ticket(py, ticket),
                Ok(None) => {}
                Err(error) => return outlast(py, Err(error)),
            }
        }
        let make = owned::one(producer.core().clone(), topic, &record);
        Ok(self.defer(py, owned::bytes(&record), make)?.into_bound(py))
    }

    /// Sends a record if that takes no waiting: see `oncelog.Producer.try_send`.
    #[pyo3(signature = (
        topic, value, *, key=None, headers=None, partition=None, timestamp_ms=None, position=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn try_send<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        value: Option<Data<'_, '_>>,
        key: Option<Data<'_, '_>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamp_ms: Option<Number<i64>>,
        position: Option<Number<u64>>,
    ) -> PyResult<Option<Bound<'py, Ticket>>> {
        if self.backlog.get().waits() {
            return Ok(None);
        }
        let producer = self.producer.get();
        producer.try_send(py, topic, value, key, headers, partition, timestamp_ms, position)
    }

    /// Sends records in order: see `oncelog.Producer.send_many`. What finds no room waits for some, as with `send`.
    #[pyo3(signature = (
        topic, values, keys=None, *, headers=None, partition=None, timestamps_ms=None, positions=None
    ))]
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
        positions: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Py<Ticket>> {
        let given = Given { values, keys, headers, partition: number(partition), timestamps_ms, positions };
        let producer = self.producer.get();
        given.records(|records| {
            // Behind what waits nothing is sent, but a call that is refused hears it now.
            let first = if self.backlog.get().waits() { 0 } else { usize::MAX };
            let sent = py.detach(|| producer.core().try_send_many(topic, records.clone().take(first)));
            let sent = outlast(py, sent)?;
            if let Some(error) = sent.refused {
                return outlast(py, Err(error));
            }
            let rest: Vec<Owned> = records.clone().skip(sent.sent).map(|record| Owned::of(&record)).collect();
            if rest.is_empty() {
                return Py::new(py, Ticket::of(sent.ticket).shown(producer.engine()));
            }
            let headers = owned::Headers::of(records.headers());
            let make = owned::many(producer.core().clone(), topic, rest, headers, sent.ticket);
            self.defer(py, records.bytes(), make)
        })?
    }
}

/// A transaction in an event loop.
#[pyclass(frozen, module = "oncelog")]
pub struct LoopTransaction {
    transaction: Py<Transaction>,
    backlog: Py<Backlog>,
    /// Why a record was refused that had waited.
    refused: Arc<Mutex<Option<Error>>>,
    /// Bytes that were sent, and how many of them it keeps in memory at most.
    bytes: AtomicUsize,
    buffer: usize,
}

impl LoopTransaction {
    fn add(&self, bytes: usize) {
        // What a record has beside its key and value.
        self.bytes.fetch_add(bytes.saturating_add(64), Ordering::Relaxed);
    }

    /// Has records wait.
    fn defer(&self, py: Python<'_>, topic: &str, rest: Vec<Owned>, headers: owned::Headers) -> PyResult<()> {
        let (transaction, refused) = (self.transaction.clone_ref(py), self.refused.clone());
        let bytes = rest.iter().map(Owned::bytes).sum::<usize>().saturating_add(CLOSES);
        let (topic, mut at) = (topic.to_owned(), 0);
        let make: Make = Box::new(move |wait| {
            let headers = headers.borrowed();
            while at < rest.len() && refused.lock().is_none() {
                let record = rest[at].record(&headers);
                let sent = transaction.get().step(|open| match wait {
                    true => open.send(&topic, record).map(|()| true),
                    false => open.send_now(&topic, record),
                });
                match sent {
                    Ok(false) => return None,
                    Ok(true) => at += 1,
                    Err(error) => *refused.lock() = Some(error),
                }
            }
            Some(Ok(State::Done(Ok(Answer::Nothing))))
        });
        let whose = self.transaction.clone_ref(py).into_any();
        Backlog::defer(self.backlog.bind(py), Waiting { bytes, make, ticket: None, whose })?;
        self.check()
    }
}

#[pymethods]
impl LoopTransaction {
    #[new]
    fn new(transaction: Py<Transaction>, backlog: Py<Backlog>, buffer: Number<usize>) -> Self {
        transaction.get().in_loop();
        let (refused, bytes) = (Arc::default(), AtomicUsize::new(0));
        Self { transaction, backlog, refused, bytes, buffer: buffer.0 }
    }

    /// Raises why a record was refused that had waited for room: the transaction can only be aborted then.
    fn check(&self) -> PyResult<()> {
        let refused = self.refused.lock().clone();
        refused.map_or(Ok(()), |error| Err(exception(&error)))
    }

    /// Adds a record: see `oncelog.Transaction.send`. If it streams and there is no room, the record waits for some,
    /// and the loop goes on; if it is refused then, every later call raises why, and the commit aborts. Raises
    /// BusyError if 64 MiB wait already.
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
        let headers = headers.map(|headers| Headers::of(Some(headers))).transpose()?;
        let headers = headers.as_ref().map(Headers::borrowed);
        let numbers = (number(partition), number(timestamp_ms), None);
        let record = record(&value, &key, numbers).headers(headers.as_deref().unwrap_or_default());
        self.check()?;
        let transaction = self.transaction.get();
        transaction.check_open(py)?;
        let sent = !self.backlog.get().waits()
            && (transaction.with(py, |open| open.try_send(topic, record))?
                || transaction.detached(py, |open| open.send_now(topic, record))?);
        if !sent {
            self.defer(py, topic, vec![Owned::of(&record)], owned::Headers::of(record.headers))?;
        }
        self.add(owned::bytes(&record));
        Ok(())
    }

    /// Adds a record if that takes nothing but memory: see `oncelog.Transaction.try_send`. False as well while others
    /// wait for room.
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
        self.check()?;
        let transaction = self.transaction.get();
        transaction.check_open(py)?;
        let added = !self.backlog.get().waits() && transaction.with(py, |open| open.try_send(topic, record))?;
        if added {
            self.add(owned::bytes(&record));
        }
        Ok(added)
    }

    /// Adds records in order: see `oncelog.Transaction.send_many`. They wait as those of `send`.
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
        given.records(|records| {
            self.check()?;
            let transaction = self.transaction.get();
            let waits = self.backlog.get().waits();
            let goes = |open: &mut oncelog::Transaction| {
                let mut sent = 0;
                for record in records.clone().take_while(|_| !waits) {
                    if !open.send_now(topic, record)? {
                        break;
                    }
                    sent += 1;
                }
                Ok(sent)
            };
            let sent = transaction.detached(py, goes)?;
            let rest: Vec<Owned> = records.clone().skip(sent).map(|record| Owned::of(&record)).collect();
            self.add(records.bytes().saturating_add(64 * rest.len()));
            match rest.is_empty() {
                true => Ok(()),
                false => self.defer(py, topic, rest, owned::Headers::of(records.headers())),
            }
        })?
    }

    /// Commits, behind what waits: see `oncelog.Transaction.commit_ticket`.
    fn commit_ticket(&self, py: Python<'_>) -> PyResult<Py<Ticket>> {
        let transaction = self.transaction.get();
        let bytes = self.bytes.load(Ordering::Relaxed).min(self.buffer).saturating_add(CLOSES);
        let whole = self.refused.lock().is_none();
        if whole && self.backlog.get().has_room(py, bytes) {
            return transaction.place_now(py);
        }
        if let Some(ticket) = transaction.ticket(py)? {
            return Ok(ticket);
        }
        let ticket = Py::new(py, Ticket::to_come())?;
        let (whose, refused) = (self.transaction.clone_ref(py), self.refused.clone());
        let make: Make = Box::new(move |wait| {
            let refused = refused.lock().clone();
            let needed = if refused.is_some() { CLOSES } else { bytes };
            whose.get().commit_closing(refused, |engine| wait || engine.has_room(needed))
        });
        transaction.close(py, &ticket)?;
        let whose = self.transaction.clone_ref(py).into_any();
        let waiting = Waiting { bytes, make, ticket: Some(ticket.clone_ref(py)), whose };
        // One that may not wait any more has not ended.
        Backlog::defer(self.backlog.bind(py), waiting).inspect_err(|_| transaction.reopen(py))?;
        Ok(ticket)
    }
}
