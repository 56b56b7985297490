//! What a read or a poll answered, as a sequence of records.

use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyMemoryView, PySlice, PyString, PyTuple};

use crate::arguments::Number;
use crate::buffers;
use crate::columns::Columns;
use crate::errors::{Raise, exception};
use crate::values;
use crate::walk::{Guarded, Held, Seen, Walk, untrack};

/// Records as a read or a poll answered them, of one partition or of several: a sequence, to be walked as often as
/// needed, kept and given to other threads.
///
/// Each walk verifies every batch by its checksum. Where bytes are damaged an iterator raises one CorruptError that
/// names the offsets, and goes on behind them if it is asked again; `values`, `keys`, `to_list` and `columns`, which
/// answer all or nothing, raise it at once. An index is counted from the front each time: walk, or take `to_list()`.
///
/// >>> with oncelog.open("greetings.log") as engine:
/// ...     engine.create_topic("greetings")
/// ...     ticket = engine.producer().send_many("greetings", [b"hello", b"hi"], timestamps_ms=[1, 2])
/// ...     offsets = [appended.offset for appended in ticket.result()]
/// ...     records = engine.partition("greetings", 0).read(0)
/// >>> len(records), records.values(), [record.timestamp for record in records]
/// (2, [b'hello', b'hi'], [1, 2])
/// >>> records[1].value, records.next_offset("greetings", 0)
/// (b'hi', 2)
/// >>> records.next_offsets()
/// {TopicPartition(topic='greetings', partition=0): 2}
#[pyclass(frozen, sequence, module = "oncelog")]
pub struct Records {
    core: oncelog::Records,
}

impl Records {
    pub fn new(core: oncelog::Records) -> Self {
        Self { core }
    }

    pub fn core(&self) -> &oncelog::Records {
        &self.core
    }

    /// All of one kind of field; an error if a record is damaged.
    fn collect<'py>(
        &self,
        py: Python<'py>,
        field: impl for<'a> Fn(&oncelog::RecordView<'a>) -> Option<&'a [u8]>,
    ) -> PyResult<Bound<'py, PyList>> {
        let mut fields = Vec::with_capacity(self.room());
        for record in &self.core {
            let record = record.raise()?;
            fields.push(field(&record).map(|bytes| PyBytes::new(py, bytes)));
        }
        PyList::new(py, fields)
    }

    /// What to reserve for all of them; damaged ones are counted too.
    pub fn room(&self) -> usize {
        usize::try_from(self.core.count()).unwrap_or(0).min(self.core.bytes() / 7)
    }

    fn all<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let mut walk = Walk::new(slf);
        let mut records = Vec::with_capacity(slf.get().room());
        while let Some(seen) = walk.next(py) {
            let record = Bound::new(py, Record::new(seen.raise()?))?;
            untrack(&record);
            records.push(record);
        }
        PyList::new(py, records)
    }
}

#[pymethods]
impl Records {
    fn __len__(&self) -> usize {
        usize::try_from(self.core.count()).unwrap_or(usize::MAX)
    }

    fn __bool__(&self) -> bool {
        !self.core.is_empty()
    }

    fn __iter__(slf: &Bound<'_, Self>) -> RecordsIterator {
        RecordsIterator { walk: Guarded::new(Walk::new(slf)) }
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if index.is_instance_of::<PySlice>() {
            // Nothing is kept for the next time: a list of the records refers to this, and a circle would stay.
            return Self::all(slf)?.as_any().get_item(index);
        }
        let len = slf.len()?;
        // What fits no machine number is as far out as what does.
        let index = match index.extract::<isize>() {
            Ok(index) if index < 0 => index.checked_add_unsigned(len),
            Ok(index) => Some(index),
            Err(error) if error.is_instance_of::<PyOverflowError>(index.py()) => None,
            Err(error) => return Err(error),
        };
        let index = index.and_then(|index| usize::try_from(index).ok()).filter(|index| *index < len);
        let missing = || PyIndexError::new_err("there are fewer records; see len(records)");
        let mut walk = Walk::new(slf);
        for _ in 0..index.ok_or_else(missing)? {
            walk.skip();
        }
        Ok(Bound::new(slf.py(), Record::new(walk.next(slf.py()).ok_or_else(missing)?.raise()?))?.into_any())
    }

    /// All records in a list.
    fn to_list<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        Self::all(slf)
    }

    /// The values alone: the fastest way to bytes.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.collect(py, |record| record.value())
    }

    /// The keys alone.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.collect(py, |record| record.key())
    }

    /// All records as columns, laid out as Arrow lays them out; headers are left out.
    fn columns(&self, py: Python<'_>) -> PyResult<Columns> {
        Columns::of(py, self)
    }

    /// Bytes held as they lie in the log, those of hidden records included. What compressed batches unpacked to comes
    /// on top.
    #[getter]
    fn nbytes(&self) -> usize {
        self.core.bytes()
    }

    /// The offset to read next of a partition; None if this holds nothing of it. An empty answer to a read names the
    /// offset that was asked for, or the one behind what was aborted there.
    fn next_offset(&self, topic: &str, partition: Number<u32>) -> Option<u64> {
        self.core.next_offset(topic, partition.0)
    }

    /// The offset to read next of every partition that this holds something of, if only something damaged: what
    /// `Consumer.commit` takes.
    fn next_offsets<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let offsets = PyDict::new(py);
        for (topic, partition, offset) in self.core.next_offsets() {
            offsets.set_item(values::topic_partition(py, topic, partition)?, offset)?;
        }
        Ok(offsets)
    }

    /// Where a reader of a partition stands behind these records; None if this holds nothing of it. To be kept and
    /// given to `Partition.read`, in this life of the log or a later one.
    fn next_place<'py>(
        &self,
        py: Python<'py>,
        topic: &str,
        partition: Number<u32>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.core.next_place(topic, partition.0).map(|place| values::place(py, place)).transpose()
    }

    fn __repr__(&self) -> String {
        format!("<oncelog.Records {:?}>", self.core)
    }
}

/// Walks records; made by `iter(records)`.
#[pyclass(frozen, module = "oncelog")]
pub struct RecordsIterator {
    walk: Guarded<Walk>,
}

#[pymethods]
impl RecordsIterator {
    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        // The lock is free again before an object is made.
        let next = self.walk.with(py, |walk| walk.next_again(py))?;
        match next {
            Some(Ok(step)) => {
                // Where it cannot be kept another one is made.
                let keep = |record: &_| drop(self.walk.with(py, |walk| walk.keep(record)));
                step.object(py, keep).map(Some)
            }
            Some(Err(error)) => Err(exception(&error)),
            None => Ok(None),
        }
    }
}

/// A record. It keeps the memory of the whole read it came from, up to 1 MiB: keep `value`, which is a copy, instead.
#[pyclass(frozen, module = "oncelog")]
pub struct Record {
    held: Held,
}

impl Record {
    pub fn new(seen: Seen) -> Self {
        Self { held: Held::new(seen) }
    }

    pub fn held(&self) -> &Held {
        &self.held
    }

    #[inline]
    pub fn view(&self) -> oncelog::RecordView<'_> {
        self.held.get().view()
    }
}

#[pymethods]
impl Record {
    /// The topic's name.
    #[getter]
    fn topic<'py>(&self, py: Python<'py>) -> Bound<'py, PyString> {
        PyString::intern(py, self.view().topic())
    }

    /// The partition's number in its topic.
    #[getter]
    fn partition(&self) -> u32 {
        self.view().partition()
    }

    /// The record's offset in its partition.
    #[getter]
    fn offset(&self) -> u64 {
        self.view().offset()
    }

    /// Milliseconds since 1970, -1 for none.
    #[getter]
    fn timestamp(&self) -> i64 {
        self.view().timestamp()
    }

    /// The value, copied; None marks the key as deleted.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.view().value().map(|value| PyBytes::new(py, value))
    }

    /// The key, copied; None and empty are different things.
    #[getter]
    fn key<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyBytes>> {
        self.view().key().map(|key| PyBytes::new(py, key))
    }

    /// The value where it lies: a read-only memoryview, not copied, which keeps the bytes as long as it lives.
    #[getter]
    fn value_view<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        self.view().value().map(|_| buffers::value(py, self.held.get().share(py))).transpose()
    }

    /// The key where it lies, as `value_view`.
    #[getter]
    fn key_view<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyMemoryView>>> {
        self.view().key().map(|_| buffers::key(py, self.held.get().share(py))).transpose()
    }

    /// Pairs of name and value in the order they were sent. In batches that a Kafka client made a name may be no UTF-8:
    /// such bytes are lone surrogates, as in `os.fsdecode`, and `name.encode(errors="surrogateescape")` has them back.
    #[getter]
    fn headers<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        values::headers(py, self.view().headers())
    }

    fn __repr__(&self) -> String {
        let view = self.view();
        let size = |bytes: Option<&[u8]>| bytes.map_or("None".to_owned(), |bytes| format!("{} bytes", bytes.len()));
        format!(
            "<oncelog.Record {}-{} offset={} timestamp={} key={} value={}>",
            view.topic(),
            view.partition(),
            view.offset(),
            view.timestamp(),
            size(view.key()),
            size(view.value())
        )
    }
}
