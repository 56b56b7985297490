//! What Python callers hand over: bytes of every kind, numbers, headers.

use oncelog::{Header, Record};
use pyo3::exceptions::{PyOverflowError, PyTypeError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedStr;
use pyo3::types::{PyBytes, PyDict, PyMapping, PyMemoryView, PyString};

use crate::errors::refused;

/// The bytes of a key or value. `bytes` are borrowed, of everything else that has a buffer a copy is taken: it might
/// change while the interpreter lock is given up.
pub enum Data<'a, 'py> {
    Borrowed(Borrowed<'a, 'py, PyBytes>),
    Copied(Bound<'py, PyBytes>),
}

impl Data<'_, '_> {
    #[inline]
    pub fn bytes(&self) -> &[u8] {
        match self {
            Data::Borrowed(bytes) => bytes.as_bytes(),
            Data::Copied(bytes) => bytes.as_bytes(),
        }
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Data<'a, 'py> {
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.cast::<PyBytes>() {
            Ok(bytes) => Ok(Data::Borrowed(bytes)),
            Err(_) => copy(&object).map(Data::Copied),
        }
    }
}

/// The bytes of anything with a buffer, in logical order whatever its memory looks like.
#[cold]
pub fn copy<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyBytes>> {
    if object.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("bytes are needed, not str; encode the text first, as in text.encode()"));
    }
    let view = PyMemoryView::from(object).map_err(|error| {
        if !error.is_instance_of::<PyTypeError>(object.py()) {
            return error;
        }
        let name = object.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("bytes, another object with a buffer, or None is needed, not {name}"))
    })?;
    if view.getattr("format")?.extract::<Option<String>>()?.is_some_and(|format| format.contains('O')) {
        let text = "bytes are needed, not references to Python objects, which mean nothing once they are written";
        return Err(PyTypeError::new_err(text));
    }
    Ok(view.call_method0("tobytes")?.cast_into::<PyBytes>()?)
}

/// A whole number of the engine's width; beyond it an `ArgumentError`.
#[derive(Clone, Copy)]
pub struct Number<T>(pub T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Number<T>
where
    T: FromPyObject<'a, 'py, Error = PyErr>,
{
    type Error = PyErr;

    #[inline]
    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.extract::<T>().map(Number).map_err(|error| out_of_range(&object, error))
    }
}

#[cold]
fn out_of_range(object: &Bound<'_, PyAny>, error: PyErr) -> PyErr {
    if !error.is_instance_of::<PyOverflowError>(object.py()) {
        return error;
    }
    let value = object.str().map(|text| text.to_string()).unwrap_or_default();
    refused(format!("the number is out of range; see the limits of the log, value={value:.40}"))
}

/// A time in seconds. One that is longer than a float can say is as good as endless, which who takes it judges.
#[derive(Clone, Copy)]
pub struct Seconds(pub f64);

impl<'a, 'py> FromPyObject<'a, 'py> for Seconds {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        match object.extract::<f64>() {
            Err(error) if error.is_instance_of::<PyOverflowError>(object.py()) => {
                Ok(Seconds(if object.lt(0)? { f64::NEG_INFINITY } else { f64::INFINITY }))
            }
            seconds => seconds.map(Seconds),
        }
    }
}

/// Takes the number out, where there is one.
#[inline]
pub fn number<T>(number: Option<Number<T>>) -> Option<T> {
    number.map(|number| number.0)
}

/// Headers of a record: a mapping, or pairs of name and value, where names may come more than once.
#[derive(Default)]
pub struct Headers<'py> {
    pairs: Vec<(PyBackedStr, Option<Bound<'py, PyBytes>>)>,
}

impl<'py> Headers<'py> {
    pub fn of(object: Option<&Bound<'py, PyAny>>) -> PyResult<Self> {
        let Some(object) = object else { return Ok(Self::default()) };
        let items = match object.cast::<PyDict>() {
            Ok(dict) => dict.items().into_any(),
            Err(_) => match object.cast::<PyMapping>() {
                Ok(mapping) => mapping.items()?.into_any(),
                Err(_) => object.clone(),
            },
        };
        let pairs = items.try_iter()?.map(|item| {
            let (name, value) = item?.extract::<(PyBackedStr, Option<Bound<'py, PyAny>>)>()?;
            let value = value.map(|value| match value.cast_into::<PyBytes>() {
                Ok(bytes) => Ok(bytes),
                Err(error) => copy(&error.into_inner()),
            });
            Ok((name, value.transpose()?))
        });
        Ok(Self { pairs: pairs.collect::<PyResult<_>>()? })
    }

    /// The same as the engine takes them.
    pub fn borrowed(&self) -> Vec<Header<'_>> {
        self.pairs
            .iter()
            .map(|(name, value)| Header { key: name, value: value.as_ref().map(|value| value.as_bytes()) })
            .collect()
    }
}

/// A record without headers; the numbers are its partition, its timestamp and its position.
#[inline]
pub fn record<'a>(
    value: &'a Option<Data<'_, '_>>,
    key: &'a Option<Data<'_, '_>>,
    numbers: (Option<u32>, Option<i64>, Option<u64>),
) -> Record<'a> {
    let mut record = Record::default();
    record.value = value.as_ref().map(Data::bytes);
    record.key = key.as_ref().map(Data::bytes);
    (record.partition, record.timestamp, record.position) = numbers;
    record
}
