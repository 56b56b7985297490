//! Whether an object has one owner, and a process one interpreter. One of the three files with unsafe code.
#![allow(unsafe_code)]

use pyo3::exceptions::PyImportError;
use pyo3::{Py, PyResult, Python, ffi};

/// True if `object` is the only reference there is: nobody can take another one before the interpreter lock is given
/// up, or Python code runs. Without an interpreter lock that can never be said.
#[inline]
pub fn alone<T>(_py: Python<'_>, object: &Py<T>) -> bool {
    // SAFETY: the object lives as long as the reference, and the interpreter lock is held, so that its count is not
    // changed by another thread while it is read.
    !cfg!(Py_GIL_DISABLED) && unsafe { ffi::Py_REFCNT(object.as_ptr()) } == 1
}

/// Refuses to be loaded by any interpreter but the first: classes, exceptions and the end are the process's.
pub fn check_interpreter(_py: Python<'_>) -> PyResult<()> {
    // SAFETY: the interpreter lock is held, so that there is an interpreter whose number can be asked for.
    if unsafe { ffi::PyInterpreterState_GetID(ffi::PyInterpreterState_Get()) } == 0 {
        return Ok(());
    }
    let text = "oncelog runs in the main interpreter of a process only, not in a subinterpreter; under mod_wsgi set \
                WSGIApplicationGroup %{GLOBAL}";
    Err(PyImportError::new_err(text))
}
