//! The engine's errors as Python exceptions, which `oncelog._errors` defines.

use oncelog::{Error, ErrorKind};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::arguments::Number;

static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static ROOT: PyOnceLock<Py<PyType>> = PyOnceLock::new();

/// Turns the engine's results into Python's.
pub trait Raise<T> {
    fn raise(self) -> PyResult<T>;
}

impl<T> Raise<T> for oncelog::Result<T> {
    #[inline]
    fn raise(self) -> PyResult<T> {
        self.map_err(|error| exception(&error))
    }
}

/// The exception for an error.
#[cold]
pub fn exception(error: &Error) -> PyErr {
    Python::attach(|py| match make(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(failure) => failure,
    })
}

/// Looks up now what errors are made of: at the interpreter's end nothing can be imported any more.
pub fn prepare(py: Python<'_>) -> PyResult<()> {
    MAKE.import(py, "oncelog._errors", "_make").map(drop)
}

fn make<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    let kind = (error.kind() as u16, error.kind().name(), error.kind().kafka_code());
    let questions = (error.is_retriable(), error.is_fatal(), error.requires_abort());
    let source = std::error::Error::source(error);
    let errno = source.and_then(|source| source.downcast_ref::<std::io::Error>()?.raw_os_error());
    let cause = source.map(|source| match errno {
        // Python writes the number in front by itself.
        Some(_) => source.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
        None => source.to_string(),
    });
    let make = MAKE.import(py, "oncelog._errors", "_make")?;
    make.call1((kind, error.message(), questions, errno, cause))
}

/// Whether it is an error of the engine's, and not, for one, what a signal's handler raised.
pub fn is_own(py: Python<'_>, error: &PyErr) -> bool {
    ROOT.import(py, "oncelog._errors", "Error").is_ok_and(|root| error.matches(py, root).unwrap_or(false))
}

/// The name of the kind that says what a code of Kafka's protocol says; None for 0.
#[pyfunction]
pub fn kind_of_kafka_code(code: Number<i16>) -> Option<&'static str> {
    ErrorKind::from_kafka_code(code.0).map(ErrorKind::name)
}

/// An argument that this package refuses by itself, in the words of the engine's own refusals.
#[cold]
pub fn refused(message: impl Into<String>) -> PyErr {
    exception(&Error::new(ErrorKind::InvalidArgument, message.into()))
}

/// A call that does not fit what a handle is doing.
#[cold]
pub fn misplaced(kind: ErrorKind, message: &'static str) -> PyErr {
    exception(&Error::new(kind, message))
}
