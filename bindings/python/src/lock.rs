//! The lock inside a frozen class.

use oncelog::ErrorKind;
use oncelog::io::sync::{Mutex, MutexGuard};
use pyo3::prelude::*;

use crate::errors::misplaced;

/// A mutex that a forked child never waits for.
///
/// Whoever holds it runs no Python code and does not wait for the interpreter lock, so that waiting for it here, with
/// the interpreter lock given up or not, always ends.
pub struct Lock<T> {
    /// The process that made it.
    process: u32,
    inner: Mutex<T>,
}

impl<T: Send> Lock<T> {
    pub fn new(value: T) -> Self {
        Self { process: std::process::id(), inner: Mutex::new(value) }
    }

    /// As `new`, for objects made in numbers: the process is asked for only where it is not known.
    pub fn of(process: u32, value: T) -> Self {
        Self { process, inner: Mutex::new(value) }
    }

    /// Takes the lock. If another thread has it, waits with the interpreter lock given up.
    #[inline]
    pub fn take(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, T>> {
        match self.inner.try_lock() {
            Some(guard) => Ok(guard),
            None => self.wait(py),
        }
    }

    #[cold]
    fn wait(&self, py: Python<'_>) -> PyResult<MutexGuard<'_, T>> {
        self.check_process()?;
        loop {
            // Not taken in there: the interpreter lock would then be waited for with this one held.
            py.detach(|| drop(self.inner.lock()));
            if let Some(guard) = self.inner.try_lock() {
                return Ok(guard);
            }
        }
    }

    /// As `take`, for who may raise nothing: none where a forked child would wait for ever.
    pub fn take_if_whole(&self, py: Python<'_>) -> Option<MutexGuard<'_, T>> {
        loop {
            if let Some(guard) = self.inner.try_lock() {
                return Some(guard);
            }
            if self.is_forked() {
                return None;
            }
            py.detach(|| drop(self.inner.lock()));
        }
    }

    /// Takes the lock if it is free.
    #[inline]
    pub fn try_take(&self) -> Option<MutexGuard<'_, T>> {
        self.inner.try_lock()
    }

    /// Takes the lock where the interpreter lock is given up; the process must have been checked.
    pub fn take_detached(&self) -> MutexGuard<'_, T> {
        self.inner.lock()
    }

    /// A child inherited this by a fork.
    pub fn is_forked(&self) -> bool {
        self.process != std::process::id()
    }

    /// The error of a child that inherited this by a fork.
    pub fn check_process(&self) -> PyResult<()> {
        if !self.is_forked() {
            return Ok(());
        }
        let text = "this process was forked after the log was opened; open the log again in the child";
        Err(misplaced(ErrorKind::Forked, text))
    }
}
