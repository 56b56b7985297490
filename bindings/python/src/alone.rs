//! Whether an object has one owner. One of the three files with unsafe code.
#![allow(unsafe_code)]

use pyo3::{Py, Python, ffi};

/// True if `object` is the only reference there is: nobody can take another one before the interpreter lock is given
/// up, or Python code runs. Without an interpreter lock that can never be said.
#[inline]
pub fn alone<T>(_py: Python<'_>, object: &Py<T>) -> bool {
    // SAFETY: the object lives as long as the reference, and the interpreter lock is held, so that its count is not
    // changed by another thread while it is read.
    !cfg!(Py_GIL_DISABLED) && unsafe { ffi::Py_REFCNT(object.as_ptr()) } == 1
}
