//! Memory shown to Python without a copy. One of the three files with unsafe code.
#![allow(unsafe_code)]

use std::ffi::c_int;

use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyMemoryView;

use crate::walk::Seen;

/// Bytes with a buffer, which memoryviews are made from: of a record, where they lie, or of a column.
#[pyclass(frozen, module = "oncelog")]
pub struct View {
    bytes: Bytes,
}

enum Bytes {
    /// The value or the key of a record.
    Value(Seen),
    Key(Seen),
    Owned(Vec<u8>),
}

impl Bytes {
    fn get(&self) -> &[u8] {
        match self {
            Bytes::Value(seen) => seen.view().value().unwrap_or_default(),
            Bytes::Key(seen) => seen.view().key().unwrap_or_default(),
            Bytes::Owned(bytes) => bytes,
        }
    }
}

fn show<'py>(py: Python<'py>, bytes: Bytes) -> PyResult<Bound<'py, PyMemoryView>> {
    PyMemoryView::from(Bound::new(py, View { bytes })?.as_any())
}

/// A record's value, not copied.
pub fn value(py: Python<'_>, seen: Seen) -> PyResult<Bound<'_, PyMemoryView>> {
    show(py, Bytes::Value(seen))
}

/// A record's key, not copied.
pub fn key(py: Python<'_>, seen: Seen) -> PyResult<Bound<'_, PyMemoryView>> {
    show(py, Bytes::Key(seen))
}

/// Bytes of our own, as items of a format of the `struct` module.
pub fn column<'py>(py: Python<'py>, bytes: Vec<u8>, format: &str) -> PyResult<Bound<'py, PyAny>> {
    show(py, Bytes::Owned(bytes))?.call_method1("cast", (format,))
}

#[pymethods]
impl View {
    /// # Safety
    /// `view` points to a `Py_buffer` to be filled, or is null: called by the interpreter.
    unsafe fn __getbuffer__(slf: Bound<'_, Self>, view: *mut ffi::Py_buffer, flags: c_int) -> PyResult<()> {
        if view.is_null() {
            return Err(PyBufferError::new_err("there is no buffer to fill"));
        }
        let bytes = slf.get().bytes.get();
        // Cannot be cut: nothing in memory is that long.
        let len = ffi::Py_ssize_t::try_from(bytes.len()).unwrap_or(ffi::Py_ssize_t::MAX);
        // SAFETY: the bytes lie in `slf` or in what it holds, neither changes nor moves while a reference to `slf`
        // lives, and the call takes one for the buffer. They are shown as read-only.
        let done =
            unsafe { ffi::PyBuffer_FillInfo(view, slf.as_ptr(), bytes.as_ptr().cast_mut().cast(), len, 1, flags) };
        if done == -1 { Err(PyErr::fetch(slf.py())) } else { Ok(()) }
    }
}
