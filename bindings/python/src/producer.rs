//! Sends records.

use std::sync::Arc;

use oncelog::Record;
use pyo3::prelude::*;

use crate::arguments::{Data, Headers, Number, number, record};
use crate::engine::Engine;
use crate::errors::{Raise, is_own};
use crate::many::Given;
use crate::ticket::{Ticket, flushed};
use crate::values::sent_many;
use crate::wait::{BATCH, CLOSES, outlast, room, room_soon};

/// Sends records to topics. Threads may share one; each partition's records keep the order of the sends.
///
/// A *named* producer never writes a record twice, across crashes and restarts: each record carries a position, a
/// number that only grows, such as a line number. After a restart `position` says how far the log got; a send at or
/// below it is answered as a duplicate.
///
/// >>> engine = oncelog.open("lines.log")
/// >>> engine.create_topic("lines")
/// >>> loader = engine.producer(name="loader")
/// >>> for number, line in enumerate([b"a,1", b"b,2"]):
/// ...     ticket = loader.send("lines", line, key=line[:1], position=number)
/// >>> loader.flush()
/// >>> loader.position
/// 1
/// >>> engine.producer(name="loader").send("lines", b"b,2", position=1).result().duplicate
/// True
/// >>> engine.close()
#[pyclass(frozen, module = "oncelog")]
pub struct Producer {
    /// Taken out only to be dropped.
    core: Option<Arc<oncelog::Producer>>,
    process: u32,
    /// A ticket that is given out again while nobody else holds it, as `zip` does with its tuples: most are dropped at
    /// once, and to make and free an object costs as much as to write the record.
    spare: Py<Ticket>,
    engine: Py<Engine>,
}

impl Producer {
    pub fn new(py: Python<'_>, core: Arc<oncelog::Producer>, engine: Py<Engine>) -> PyResult<Self> {
        let (process, attended) = (std::process::id(), engine.get().has_threads());
        Ok(Self { core: Some(core), process, spare: Py::new(py, Ticket::spare(process, attended))?, engine })
    }

    #[inline]
    fn core(&self) -> &oncelog::Producer {
        // Never empty while anybody can call.
        self.core.as_ref().unwrap_or_else(|| unreachable!("a dropped producer is called"))
    }

    #[inline]
    fn ticket<'py>(&self, py: Python<'py>, ticket: oncelog::Ticket<oncelog::Appended>) -> PyResult<Bound<'py, Ticket>> {
        match Ticket::again(&self.spare, py, ticket) {
            Ok(again) => Ok(again),
            Err(ticket) => Bound::new(py, self.made(ticket)),
        }
    }

    /// A send that was refused, or must wait. Giving the interpreter lock up costs as much as the copy that a send
    /// nearly always is, so that is done here alone.
    #[cold]
    fn send_otherwise<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        record: Record<'_>,
        refused: Option<oncelog::Error>,
    ) -> PyResult<Bound<'py, Ticket>> {
        let sent = match refused {
            Some(error) => Err(error),
            None => {
                let bytes = record.value.map_or(0, <[u8]>::len) + record.key.map_or(0, <[u8]>::len);
                room(py, self.engine.get().core(), bytes.saturating_add(CLOSES).min(BATCH))?;
                py.detach(|| self.core().send(topic, record))
            }
        };
        Bound::new(py, self.made(outlast(py, sent)?))
    }

    #[inline]
    fn made(&self, ticket: oncelog::Ticket<oncelog::Appended>) -> Ticket {
        Ticket::of_record(self.process, ticket, self.engine.get().has_threads())
    }
}

impl Drop for Producer {
    /// What is gathered goes to the log when a producer goes, which may wait for room: nobody else may be kept waiting
    /// meanwhile.
    fn drop(&mut self) {
        let mut core = self.core.take();
        Python::try_attach(|py| {
            let core = core.take();
            py.detach(|| drop(core));
        });
    }
}

#[pymethods]
impl Producer {
    /// Sends a record. `result()` of the ticket, or `await`, waits until it is as safe as the topic asks for; a ticket
    /// that is dropped cancels nothing.
    ///
    /// value, key: bytes or anything with a buffer; None is different from empty, and a value of None marks the key as
    /// deleted. headers: a mapping, or pairs where names may come again. partition: without one the key chooses, or the
    /// producer. timestamp_ms: without one the present time. position: for named producers, and for no others.
    ///
    /// Waits only if the engine's buffers are full, or a batch was refused and the disk must confirm why. Raises
    /// UnknownTopicOrPartitionError, RecordTooLargeError, InvalidRecordError, ArgumentError, ProducerFencedError:
    /// nothing was sent then, and the position is still free.
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
        match self.core().try_send(topic, record) {
            Ok(Some(ticket)) => self.ticket(py, ticket),
            other => self.send_otherwise(py, topic, record, other.err()),
        }
    }

    /// Sends a record if that takes no waiting. None: the engine's buffers are full, a batch was refused and the disk
    /// must confirm why, or another thread, be it the engine's own, is busy with this producer right then; nothing was
    /// sent. For those who must not wait, as an event loop of one's own: they come again later, or have another thread
    /// `send`. `Engine.has_room` tells before.
    ///
    /// >>> engine = oncelog.open("sends.log")
    /// >>> engine.create_topic("t")
    /// >>> producer = engine.producer()
    /// >>> while (ticket := producer.try_send("t", b"v")) is None:
    /// ...     pass        # do something else
    /// >>> ticket.result().offset
    /// 0
    /// >>> engine.close()
    ///
    /// Arguments and errors as those of `send`.
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
        let headers = headers.map(|headers| Headers::of(Some(headers))).transpose()?;
        let headers = headers.as_ref().map(Headers::borrowed);
        let numbers = (number(partition), number(timestamp_ms), number(position));
        let record = record(&value, &key, numbers).headers(headers.as_deref().unwrap_or_default());
        let sent = outlast(py, self.core().try_send(topic, record))?;
        sent.map(|ticket| self.ticket(py, ticket)).transpose()
    }

    /// Sends records in order; one ticket for all, with an answer for each. Records of other threads do not come
    /// between.
    ///
    /// values, keys, timestamps_ms, positions: iterables of the same length. headers, partition: the same for all.
    ///
    /// Raises as `send`; the records before the refused one are sent.
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
    ) -> PyResult<Ticket> {
        let given = Given { values, keys, headers, partition: number(partition), timestamps_ms, positions };
        let sent = given.records(|records| {
            room(py, self.engine.get().core(), records.bytes().saturating_add(CLOSES).min(BATCH))?;
            Ok::<_, PyErr>(py.detach(|| self.core().send_many(topic, records)))
        })??;
        let ticket = outlast(py, sent)?;
        Ok(Ticket::of(ticket).shown(self.engine.get()))
    }

    /// Sends records in order until one would have to wait, or is refused, and says how far it came: `sent` of them,
    /// the first ones, with a `ticket` of their answers. As with `try_send`, none is sent if a batch was refused and the
    /// disk must confirm why, or another thread, be it the engine's own, is busy with this producer right then.
    ///
    /// >>> engine = oncelog.open("bulk.log")
    /// >>> engine.create_topic("t")
    /// >>> producer, values = engine.producer(), [b"a", b"b", b"c"]
    /// >>> while values:
    /// ...     sent, ticket, refused = producer.try_send_many("t", values)
    /// ...     if refused is not None:
    /// ...         raise refused
    /// ...     values = values[sent:]      # and something else is done before the next time
    /// >>> ticket.result()[-1].offset
    /// 2
    /// >>> engine.close()
    ///
    /// Arguments as those of `send_many`. What a record is refused for is not raised but told in `refused`. Raises
    /// ClosedError, ForkedError, ReadOnlyError, PoisonedError: nothing was sent then.
    #[pyo3(signature = (
        topic, values, keys=None, *, headers=None, partition=None, timestamps_ms=None, positions=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "keyword arguments")]
    fn try_send_many<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        values: &Bound<'_, PyAny>,
        keys: Option<&Bound<'_, PyAny>>,
        headers: Option<&Bound<'_, PyAny>>,
        partition: Option<Number<u32>>,
        timestamps_ms: Option<&Bound<'_, PyAny>>,
        positions: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let given = Given { values, keys, headers, partition: number(partition), timestamps_ms, positions };
        let sent = given.records(|records| py.detach(|| self.core().try_send_many(topic, records)))?;
        let oncelog::SentMany { sent, ticket, refused, .. } = outlast(py, sent)?;
        let ticket = Bound::new(py, Ticket::of(ticket).shown(self.engine.get()))?;
        sent_many(py, sent, ticket, refused.as_ref())
    }

    /// Waits until everything sent before has met its level. Raises what any of it was refused for.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        flushed(py, self.engine.get().core(), || self.core().try_flush(), || self.core().flush_ticket())
    }

    /// `with engine.producer() as producer:` flushes at the end, also when the body raised.
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
        match self.flush(py) {
            // What the body raised says more than what followed from it; Ctrl-C did not follow from it.
            Err(error) if !kind.is_none() && is_own(py, &error) => Ok(()),
            flushed => flushed,
        }
    }

    /// True if a send finds room right now, and so do as many as one batch holds.
    fn _has_room(&self) -> bool {
        self.engine.get().core().has_room(BATCH)
    }

    /// Waits a moment for that; true if it helps nothing to wait longer.
    fn _await_room(&self, py: Python<'_>) -> PyResult<bool> {
        room_soon(py, self.engine.get().core())
    }

    /// A flush that waits for no room to close what is gathered: None if something is left.
    fn _try_flush(&self, py: Python<'_>) -> PyResult<Option<Ticket>> {
        Ok(py.detach(|| self.core().try_flush()).raise()?.map(Ticket::of))
    }

    /// A flush that does.
    fn _flush(&self, py: Python<'_>) -> PyResult<Ticket> {
        py.detach(|| self.core().flush_ticket()).raise().map(Ticket::of)
    }

    /// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
    /// None before the first, and without a name.
    #[getter]
    fn position(&self, py: Python<'_>) -> Option<u64> {
        py.detach(|| self.core().position())
    }
}
