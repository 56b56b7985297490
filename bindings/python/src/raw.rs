//! Identities and places, as Python callers give them back: the named tuples of `oncelog._types`, or any tuple like
//! them.

use oncelog::{Identity, Place, ReadOptions};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::arguments::Number;
use crate::errors::refused;

/// A raw producer's identity: producer id and epoch.
pub struct Holder(pub Identity);

impl<'a, 'py> FromPyObject<'a, 'py> for Holder {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (Number(producer_id), Number(epoch)) =
            tuple(&object, 2, "an Identity, as init_producer answers,")?.extract::<(Number<i64>, Number<i16>)>()?;
        if producer_id < 0 || epoch < 0 {
            let text = "an identity has no negative numbers; give one that init_producer answered";
            return Err(refused(format!("{text}, producer_id={producer_id} epoch={epoch}")));
        }
        Ok(Holder(Identity { producer_id, epoch }))
    }
}

/// Where a read begins: an offset, or the place where a reader stands.
pub enum ReadFrom {
    Offset(u64),
    Place(Place),
}

impl<'a, 'py> FromPyObject<'a, 'py> for ReadFrom {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if !object.is_instance_of::<PyTuple>() {
            return Ok(ReadFrom::Offset(object.extract::<Number<u64>>()?.0));
        }
        let (Number(incarnation), Number(lsn), Number(offset)) =
            tuple(&object, 3, "an offset or a Place")?.extract::<(Number<u64>, Number<u64>, Number<u64>)>()?;
        Ok(ReadFrom::Place(Place { incarnation, lsn, offset }))
    }
}

impl ReadFrom {
    /// The offset, and the options with the place.
    pub fn apply(self, options: ReadOptions) -> (u64, ReadOptions) {
        match self {
            ReadFrom::Offset(offset) => (offset, options),
            ReadFrom::Place(place) => (place.offset, options.from(place)),
        }
    }
}

/// The object as a tuple of so many items.
fn tuple<'a, 'py>(object: &Borrowed<'a, 'py, PyAny>, len: usize, wanted: &str) -> PyResult<Borrowed<'a, 'py, PyTuple>> {
    match object.cast::<PyTuple>() {
        Ok(tuple) if tuple.len() == len => Ok(tuple),
        _ => {
            let name = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
            Err(PyTypeError::new_err(format!("{wanted} is needed, not {name}")))
        }
    }
}
