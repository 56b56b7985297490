//! Sends records.

use std::sync::Arc;

use oncelog::{Header, Record};
use pyo3::prelude::*;
use pyo3::types::{PyList, PyTuple};

use crate::arguments::{Data, Headers, Number, number};
use crate::engine::Engine;
use crate::errors::{Raise, refused};
use crate::ticket::{Ticket, through};
use crate::wait::outlast;

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
    /// Before the engine, which is to go last.
    core: Arc<oncelog::Producer>,
    process: u32,
    _engine: Py<Engine>,
}

impl Producer {
    pub fn new(core: Arc<oncelog::Producer>, engine: Py<Engine>) -> Self {
        Self { core, process: std::process::id(), _engine: engine }
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
            None => py.detach(|| self.core.send(topic, record)),
        };
        Bound::new(py, Ticket::of_record(self.process, outlast(py, sent)?))
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
    /// Waits only if the engine's buffers are full. Raises UnknownTopicOrPartitionError, RecordTooLargeError,
    /// InvalidRecordError, ArgumentError, ProducerFencedError: nothing was sent then, and the position is still free.
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
        let mut record = Record::default();
        record.value = value.as_ref().map(Data::bytes);
        record.key = key.as_ref().map(Data::bytes);
        record.partition = number(partition);
        record.timestamp = number(timestamp_ms);
        record.position = number(position);
        let headers = headers.map(|headers| Headers::of(Some(headers))).transpose()?;
        let headers = headers.as_ref().map(Headers::borrowed);
        let record = record.headers(headers.as_deref().unwrap_or_default());
        match self.core.try_send(topic, record) {
            Ok(Some(ticket)) => Bound::new(py, Ticket::of_record(self.process, ticket)),
            other => self.send_otherwise(py, topic, record, other.err()),
        }
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
        let values = items(values)?;
        let len = values.len();
        let keys = keys.map(|keys| as_many("keys", items(keys)?, len)).transpose()?;
        let timestamps = timestamps_ms.map(|times| as_many("timestamps_ms", items(times)?, len)).transpose()?;
        let positions = positions.map(|positions| as_many("positions", items(positions)?, len)).transpose()?;
        let headers = Headers::of(headers)?;
        let headers: Vec<Header<'_>> = headers.borrowed();

        let values = column(&values)?;
        let keys = keys.as_ref().map(column).transpose()?;
        let mut records: Vec<Record<'_>> = Vec::with_capacity(len);
        for value in &values {
            let mut record = Record::default().headers(&headers);
            record.value = value.as_ref().map(Data::bytes);
            record.partition = number(partition);
            records.push(record);
        }
        for (record, key) in records.iter_mut().zip(keys.iter().flatten()) {
            record.key = key.as_ref().map(Data::bytes);
        }
        for (record, time) in records.iter_mut().zip(timestamps.iter().flatten()) {
            record.timestamp = number(time.extract()?);
        }
        for (record, position) in records.iter_mut().zip(positions.iter().flatten()) {
            record.position = number(position.extract()?);
        }
        let sent = py.detach(|| self.core.send_many(topic, &records));
        let ticket = outlast(py, sent)?;
        Ok(Ticket::of(ticket))
    }

    /// Waits until everything sent before has met its level. Raises what any of it was refused for.
    fn flush(&self, py: Python<'_>) -> PyResult<()> {
        through(py, || self.core.flush_ticket())
    }

    fn _flush(&self, py: Python<'_>) -> PyResult<Ticket> {
        py.detach(|| self.core.flush_ticket()).raise().map(Ticket::of)
    }

    /// The position of a named producer: everything sent up to it has met its level, and nothing beyond it is promised.
    /// None before the first, and without a name.
    #[getter]
    fn position(&self, py: Python<'_>) -> Option<u64> {
        py.detach(|| self.core.position())
    }
}

/// The items of anything that can be walked, held: lists may change while the interpreter lock is given up.
fn items<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    match object.cast::<PyList>() {
        Ok(list) => Ok(list.to_tuple()),
        Err(_) => Ok(object.py().get_type::<PyTuple>().call1((object,))?.cast_into()?),
    }
}

fn as_many<'py>(name: &str, items: Bound<'py, PyTuple>, len: usize) -> PyResult<Bound<'py, PyTuple>> {
    if items.len() == len {
        return Ok(items);
    }
    let text = "there must be as many as there are values";
    Err(refused(format!("{text}, values={len} {name}={}", items.len())))
}

/// The bytes of each item.
fn column<'a, 'py>(items: &'a Bound<'py, PyTuple>) -> PyResult<Vec<Option<Data<'a, 'py>>>> {
    let mut column = Vec::with_capacity(items.len());
    for item in items.iter_borrowed() {
        column.push(item.extract()?);
    }
    Ok(column)
}
