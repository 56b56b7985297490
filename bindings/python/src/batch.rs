//! A batch of records for `Partition.append`.

use std::sync::Arc;

use oncelog::{BatchBuilder, ErrorKind, Record};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::arguments::{Data, Headers, Number, number};
use crate::errors::{Raise, misplaced};
use crate::lock::Lock;

/// Records for `Partition.append`: gathered by hand, or a batch that a Kafka client made.
///
/// >>> batch = oncelog.Batch()
/// >>> batch.add(b"value", key=b"key", headers={"trace": b"7f"}, timestamp_ms=1_700_000_000_000)
/// >>> (len(batch), bytes(batch) == bytes(oncelog.Batch.from_bytes(bytes(batch))))
/// (1, True)
#[pyclass(frozen, module = "oncelog")]
pub struct Batch {
    state: Lock<State>,
}

enum State {
    Open(BatchBuilder),
    Built(Arc<oncelog::Batch>),
}

impl Batch {
    /// The batch, finished.
    pub fn finished(&self, py: Python<'_>) -> PyResult<Arc<oncelog::Batch>> {
        let mut state = self.state.take(py)?;
        let batch = match &mut *state {
            State::Built(batch) => return Ok(batch.clone()),
            State::Open(builder) => Arc::new(std::mem::take(builder).build().raise()?),
        };
        *state = State::Built(batch.clone());
        Ok(batch)
    }
}

#[pymethods]
impl Batch {
    #[new]
    fn new() -> Self {
        Self { state: Lock::new(State::Open(BatchBuilder::new())) }
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
        match &mut *self.state.take(py)? {
            State::Open(builder) => {
                builder.push(&record, number(timestamp_ms).unwrap_or_else(BatchBuilder::now)).raise()
            }
            State::Built(_) => {
                Err(misplaced(ErrorKind::InvalidState, "the batch is finished; put more records into another one"))
            }
        }
    }

    /// The batch as Kafka encodes it; finishes it.
    fn __bytes__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        Ok(PyBytes::new(py, self.finished(py)?.as_bytes()))
    }

    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(match &*self.state.take(py)? {
            State::Open(builder) => builder.count(),
            State::Built(batch) => usize::try_from(batch.header().count).unwrap_or(0),
        })
    }
}
