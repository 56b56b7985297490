//! Calls of an event loop that wait for room in the log, which the loop itself must not do.
//!
//! What one handle sends waits in one line, so that it keeps its order. `oncelog.aio._room` has the lines move.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::{Error, ErrorKind};
use pyo3::prelude::*;

use crate::engine::Engine;
use crate::errors::exception;
use crate::lock::Lock;
use crate::ticket::{State, Ticket};
use crate::wait::{BATCH, room};

/// Bytes that may wait in one line.
const MOST: usize = 64 << 20;

/// Makes a call. None: it would have to wait, and was not told to.
pub type Make = Box<dyn FnMut(bool) -> Option<oncelog::Result<State>> + Send>;

/// Drops what belongs to an event loop and may have to wait for room, as what is gathered goes to the log: on a thread of
/// its own, if there is no room now.
pub fn throw_away<T: Send + 'static>(engine: &oncelog::Engine, looped: bool, rubbish: T) {
    if !looped || engine.has_room(BATCH) {
        return drop(rubbish);
    }
    // Without another thread the loop has to wait after all.
    let _ = std::thread::Builder::new().name("oncelog-bin".into()).spawn(move || drop(rubbish));
}

/// A call that waits.
pub struct Waiting {
    /// What it takes in the log.
    pub bytes: usize,
    pub make: Make,
    /// Whom it answers.
    pub ticket: Option<Py<Ticket>>,
    /// Kept alive until it is made.
    pub whose: Py<PyAny>,
}

impl Waiting {
    fn answer(&self, py: Python<'_>, made: oncelog::Result<State>) -> PyResult<()> {
        self.ticket.as_ref().map_or(Ok(()), |ticket| ticket.get().made(py, made))
    }
}

/// A line of calls, the oldest first.
#[pyclass(frozen, module = "oncelog")]
pub struct Backlog {
    line: Lock<Line>,
    /// The line is not empty.
    any: AtomicBool,
    /// Told when there is something in it; says whether an event loop runs that will have it move.
    wake: Py<PyAny>,
    engine: Py<Engine>,
}

#[derive(Default)]
struct Line {
    waiting: VecDeque<Waiting>,
    bytes: usize,
    /// The first is being made, in some thread.
    busy: bool,
}

impl Backlog {
    /// True if something waits, which goes first.
    #[inline]
    pub fn waits(&self) -> bool {
        self.any.load(Ordering::Acquire)
    }

    /// True if so many bytes need not wait.
    pub fn has_room(&self, py: Python<'_>, bytes: usize) -> bool {
        !self.waits() && py.detach(|| self.engine.get().core().has_room(bytes))
    }

    /// Has a call wait. Where no event loop runs that would have it move, the caller waits here and now.
    pub fn defer(slf: &Bound<'_, Self>, mut waiting: Waiting) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        if !this.wake.call1(py, (slf,))?.is_truthy(py)? {
            room(py, this.engine.get().core(), waiting.bytes.min(BATCH))?;
            return match py.detach(|| (waiting.make)(true)) {
                Some(made) => waiting.answer(py, made),
                None => Ok(()),
            };
        }
        let mut line = this.line.take(py)?;
        if line.bytes > MOST {
            drop(line);
            let text = "too many records wait for room in the log; await tickets, or drained()";
            return Err(exception(&Error::new(ErrorKind::Busy, text)));
        }
        line.bytes += waiting.bytes;
        line.waiting.push_back(waiting);
        this.any.store(true, Ordering::Release);
        Ok(())
    }

    fn first(&self, py: Python<'_>) -> PyResult<Option<Waiting>> {
        let mut line = self.line.take(py)?;
        if line.busy {
            return Ok(None);
        }
        let first = line.waiting.pop_front();
        line.busy = first.is_some();
        Ok(first)
    }

    /// Puts the first back, or lets it go.
    fn next(&self, py: Python<'_>, back: Option<Waiting>, bytes: usize) -> PyResult<()> {
        let mut line = self.line.take(py)?;
        line.busy = false;
        match back {
            Some(first) => line.waiting.push_front(first),
            None => line.bytes -= bytes,
        }
        self.any.store(!line.waiting.is_empty(), Ordering::Release);
        Ok(())
    }
}

#[pymethods]
impl Backlog {
    #[new]
    fn new(engine: Py<Engine>, wake: Py<PyAny>) -> Self {
        Self { line: Lock::new(Line::default()), any: AtomicBool::new(false), wake, engine }
    }

    /// Makes what need not wait any more; with `wait` the first call, however long that takes: for another thread. True
    /// if anything was made.
    fn go(&self, py: Python<'_>, wait: bool) -> PyResult<bool> {
        let mut gone = Vec::new();
        while let Some(mut first) = self.first(py)? {
            let made = py.detach(|| (first.make)(wait));
            let bytes = first.bytes;
            match made {
                None => {
                    self.next(py, Some(first), bytes)?;
                    break;
                }
                Some(made) => {
                    gone.push((first, made));
                    self.next(py, None, bytes)?;
                }
            }
            if wait {
                break;
            }
        }
        let moved = !gone.is_empty();
        // Only now, so that what waited together is written together: an answer that is awaited closes its batch.
        for (first, made) in gone {
            first.answer(py, made)?;
        }
        Ok(moved)
    }

    /// What the first call takes in the log, bytes.
    #[getter]
    fn bytes(&self, py: Python<'_>) -> PyResult<usize> {
        Ok(self.line.take(py)?.waiting.front().map_or(BATCH, |first| first.bytes.min(BATCH)))
    }

    /// Something waits.
    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        let line = self.line.take(py)?;
        Ok(line.busy || !line.waiting.is_empty())
    }

    /// Forgets what waits.
    fn clear(&self, py: Python<'_>) -> PyResult<()> {
        let mut line = self.line.take(py)?;
        line.bytes = 0;
        self.any.store(false, Ordering::Release);
        let waiting = std::mem::take(&mut line.waiting);
        drop(line);
        drop(waiting);
        Ok(())
    }
}
