//! A batch of records for `Partition.append`.

use std::sync::Arc;

use oncelog::{BatchBuilder, Error, ErrorKind, Record};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::{Data, Headers, Number, number};
use crate::errors::{Raise, refused};
use crate::lock::Lock;
use crate::options;
use crate::raw::Holder;
use crate::values;

/// Records for `Partition.append`: gathered by hand, or a batch that a Kafka client made.
///
/// producer, base_sequence: whose batch it is, an `Identity` of `Engine.init_producer`, and the sequence number of its
/// first record: 0 for the first batch of the identity in a partition, then one more for each record; a batch that is
/// there already is answered as a duplicate. transactional: it belongs to the identity's transaction, which begins with
/// it if none is open. compression: "none", "gzip", "snappy", "lz4" or "zstd"; a batch that would not get smaller stays
/// as it is.
///
/// Raises InvalidRecordError if producer id, epoch and sequence do not go together, or for a transaction of nobody.
///
/// >>> batch = oncelog.Batch()
/// >>> batch.add(b"value", key=b"key", headers={"trace": b"7f"}, timestamp_ms=1_700_000_000_000)
/// >>> (len(batch), bytes(batch) == bytes(oncelog.Batch.from_bytes(bytes(batch))))
/// (1, True)
/// >>> batch.header.count, batch.header.compression, batch.records()[0].key
/// (1, 'none', b'key')
#[pyclass(frozen, module = "oncelog")]
pub struct Batch {
    state: Lock<State>,
}

enum State {
    Open(BatchBuilder),
    Built(Arc<oncelog::Batch>),
}

impl State {
    fn finish(&mut self) -> oncelog::Result<Arc<oncelog::Batch>> {
        let builder = match self {
            State::Built(batch) => return Ok(batch.clone()),
            // Refused, and what the builder was told stays with it.
            State::Open(builder) if builder.count() == 0 => BatchBuilder::new(),
            State::Open(builder) => std::mem::take(builder),
        };
        let batch = Arc::new(builder.build()?);
        *self = State::Built(batch.clone());
        Ok(batch)
    }
}

impl Batch {
    /// The batch, finished.
    pub fn finished(&self, py: Python<'_>) -> PyResult<Arc<oncelog::Batch>> {
        let finished = if self.state.is_forked() {
            // A child may use it, but waits for no lock that a thread of its parent holds.
            self.state.take(py)?.finish()
        } else {
            // To pack a batch takes a while.
            py.detach(|| self.state.take_detached().finish())
        };
        // The lock is free again: to make an exception is Python's work.
        finished.raise()
    }
}

#[pymethods]
impl Batch {
    #[new]
    #[pyo3(signature = (*, producer=None, base_sequence=None, transactional=false, compression="none"))]
    fn new(
        producer: Option<Holder>,
        base_sequence: Option<Number<i32>>,
        transactional: bool,
        compression: &str,
    ) -> PyResult<Self> {
        let compression = options::compression(compression)?;
        let producer = match (producer, base_sequence) {
            (Some(Holder(identity)), Some(Number(sequence))) => Some((identity, sequence)),
            (None, None) => None,
            _ => return Err(refused("a producer and a base sequence go together; give both or neither")),
        };
        let told = || {
            let mut builder = BatchBuilder::new();
            builder.transactional(transactional).compression(compression);
            if let Some((identity, sequence)) = producer {
                builder.producer(identity, sequence);
            }
            builder
        };
        // What does not go together is refused at once, not when the records are there.
        let mut probe = told();
        probe.push(&Record::default(), 0).and_then(|()| probe.build()).raise()?;
        Ok(Self { state: Lock::new(State::Open(told())) })
    }

    /// Takes one batch as a Kafka client encodes it (format 2, of any codec), and checks it.
    #[staticmethod]
    fn from_bytes(data: Data<'_, '_>) -> PyResult<Self> {
        let batch = oncelog::Batch::from_bytes(data.bytes()).raise()?;
        Ok(Self { state: Lock::new(State::Built(Arc::new(batch))) })
    }

    /// Adds a record. Without a timestamp it has the present time; -1 is none.
    #[pyo3(signature = (value, *, key=None, headers=None, timestamp_ms=None))]
    fn add(
        &self,
        py: Python<'_>,
        value: Option<Data<'_, '_>>,
        key: Option<Data<'_, '_>>,
        headers: Option<&Bound<'_, PyAny>>,
        timestamp_ms: Option<Number<i64>>,
    ) -> PyResult<()> {
        let headers = Headers::of(headers)?;
        let headers = headers.borrowed();
        let mut record = Record::default().headers(&headers);
        record.key = key.as_ref().map(Data::bytes);
        record.value = value.as_ref().map(Data::bytes);
        let timestamp = number(timestamp_ms).unwrap_or_else(BatchBuilder::now);
        let added = match &mut *self.state.take(py)? {
            State::Open(builder) => builder.push(&record, timestamp),
            State::Built(_) => {
                let text = "the batch is finished; put more records into another one";
                Err(Error::new(ErrorKind::InvalidState, text))
            }
        };
        added.raise()
    }

    /// The batch as Kafka encodes it; finishes it.
    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.finished(py)?.as_bytes()))
    }

    /// The fields before the records, as Kafka has them; finishes the batch.
    #[getter]
    fn header<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::batch_header(py, self.finished(py)?.header())
    }

    /// The records, with offsets from 0; finishes the batch. Those of a compressed batch are unpacked once.
    fn records<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let batch = self.finished(py)?;
        let records = py.detach(|| batch.records());
        records.map(|record| values::batch_record(py, &record.raise()?)).collect()
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(match &*self.state.take(py)? {
            State::Open(builder) => builder.count(),
            State::Built(batch) => usize::try_from(batch.header().count).unwrap_or(0),
        })
    }
}
