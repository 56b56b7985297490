//! Records as columns, laid out as Arrow lays them out: for numpy, pyarrow and whatever else reads buffers.

use pyo3::prelude::*;
use pyo3::types::{PyList, PyMemoryView};

use crate::buffers;
use crate::errors::{Raise, refused};
use crate::records::Records;

/// Records as columns: each a memoryview of integers or of bytes, laid out as Arrow's arrays are.
///
/// >>> with oncelog.open("points.log") as engine:
/// ...     engine.create_topic("points")
/// ...     ticket = engine.producer().send_many("points", [b"a", None, b"ccc"])
/// ...     offsets = [appended.offset for appended in ticket.result()]
/// ...     columns = engine.partition("points", 0).read(0).columns()
/// >>> columns.offsets.tolist(), bytes(columns.value_data), columns.value_offsets.tolist()
/// ([0, 1, 2], b'accc', [0, 1, 1, 4])
///
/// With numpy, `numpy.asarray(columns.offsets)` is an array of int64; with pyarrow, the values are
/// `Array.from_buffers(pyarrow.binary(), len(columns), [py_buffer(column) for column in (validity, offsets, data)])`,
/// where a validity of None is a buffer of None. Nothing is copied.
#[pyclass(frozen, get_all, module = "oncelog")]
pub struct Columns {
    /// Number of records.
    length: usize,
    /// Offset of each record: int64.
    offsets: Py<PyAny>,
    /// Timestamp of each record in milliseconds, -1 for none: int64.
    timestamps: Py<PyAny>,
    /// Number of each record's partition: int32.
    partitions: Py<PyAny>,
    /// Index of each record's topic in `topics`: int32.
    topic_indexes: Py<PyAny>,
    /// Names of the topics.
    topics: Py<PyList>,
    /// All values, one behind the other.
    value_data: Py<PyAny>,
    /// Where each value begins in `value_data`, and where the last one ends: int32, one more than there are records.
    value_offsets: Py<PyAny>,
    /// A bit for each record, lowest first, 0 where the value is None; None if there is no such record.
    value_validity: Option<Py<PyAny>>,
    /// All keys, as `value_data`.
    key_data: Py<PyAny>,
    /// As `value_offsets`.
    key_offsets: Py<PyAny>,
    /// As `value_validity`.
    key_validity: Option<Py<PyAny>>,
}

/// A column of byte strings.
#[derive(Default)]
struct Binary {
    data: Vec<u8>,
    ends: Vec<i32>,
    /// The indexes of nulls.
    nulls: Vec<usize>,
}

impl Binary {
    fn push(&mut self, bytes: Option<&[u8]>) -> PyResult<()> {
        match bytes {
            Some(bytes) => self.data.extend_from_slice(bytes),
            None => self.nulls.push(self.ends.len()),
        }
        let text = "the records are too many for columns, whose offsets have 32 bits; read fewer bytes at a time";
        self.ends.push(i32::try_from(self.data.len()).map_err(|_| refused(text))?);
        Ok(())
    }

    fn show(self, py: Python<'_>) -> PyResult<Shown> {
        let validity = (!self.nulls.is_empty()).then(|| {
            let mut bits = vec![0xff_u8; self.ends.len().div_ceil(8)];
            self.nulls.iter().for_each(|index| bits[index / 8] &= !(1 << (index % 8)));
            bytes(py, bits)
        });
        let ends = std::iter::once(0).chain(self.ends);
        Ok(Shown { data: bytes(py, self.data)?, offsets: ints(py, ends)?, validity: validity.transpose()? })
    }
}

/// The buffers of a column of byte strings.
struct Shown {
    data: Py<PyAny>,
    offsets: Py<PyAny>,
    validity: Option<Py<PyAny>>,
}

fn bytes(py: Python<'_>, bytes: Vec<u8>) -> PyResult<Py<PyAny>> {
    Ok(buffers::column(py, bytes, "B")?.unbind())
}

fn ints(py: Python<'_>, numbers: impl Iterator<Item = i32>) -> PyResult<Py<PyAny>> {
    Ok(buffers::column(py, numbers.flat_map(i32::to_ne_bytes).collect(), "i")?.unbind())
}

fn longs(py: Python<'_>, numbers: impl Iterator<Item = i64>) -> PyResult<Py<PyAny>> {
    Ok(buffers::column(py, numbers.flat_map(i64::to_ne_bytes).collect(), "q")?.unbind())
}

impl Columns {
    pub fn of(py: Python<'_>, records: &Records) -> PyResult<Columns> {
        let (mut values, mut keys) = (Binary::default(), Binary::default());
        let room = records.room();
        values.data.reserve(records.core().bytes());
        let (mut offsets, mut timestamps) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let (mut partitions, mut indexes) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut topics: Vec<&str> = Vec::new();
        for record in records.core() {
            let record = record.raise()?;
            // Records of a partition lie together, so this is the last topic nearly always.
            let topic = topics.iter().rposition(|topic| *topic == record.topic()).unwrap_or_else(|| {
                topics.push(record.topic());
                topics.len() - 1
            });
            indexes.push(topic as i32);
            partitions.push(record.partition() as i32);
            offsets.push(record.offset() as i64);
            timestamps.push(record.timestamp());
            values.push(record.value())?;
            keys.push(record.key())?;
        }
        let (values, keys) = (values.show(py)?, keys.show(py)?);
        Ok(Columns {
            length: offsets.len(),
            offsets: longs(py, offsets.into_iter())?,
            timestamps: longs(py, timestamps.into_iter())?,
            partitions: ints(py, partitions.into_iter())?,
            topic_indexes: ints(py, indexes.into_iter())?,
            topics: PyList::new(py, topics)?.unbind(),
            value_data: values.data,
            value_offsets: values.offsets,
            value_validity: values.validity,
            key_data: keys.data,
            key_offsets: keys.offsets,
            key_validity: keys.validity,
        })
    }
}

#[pymethods]
impl Columns {
    fn __len__(&self) -> usize {
        self.length
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let data = self.value_data.bind(py).cast::<PyMemoryView>()?.len()?;
        Ok(format!("<oncelog.Columns length={} value_data={data} bytes>", self.length))
    }
}
