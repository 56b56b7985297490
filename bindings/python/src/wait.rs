//! Waiting: the interpreter lock given up, Ctrl-C heard.

use std::sync::OnceLock;
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use oncelog::ErrorKind;
use pyo3::prelude::*;

use crate::arguments::Seconds;
use crate::errors::{Raise, refused};

/// The thread that ends the interpreter, once it does.
static ENDING: OnceLock<ThreadId> = OnceLock::new();

/// From here on the interpreter ends: logs are closed under daemon threads.
#[pyfunction]
pub fn interpreter_ends() {
    // The second end of an interpreter in one process is none that could be told apart.
    let _ = ENDING.set(std::thread::current().id());
}

/// The result of a call, unless it is that the log was closed because the interpreter ends: then a daemon thread stays
/// here, as Python's own waits let it, and prints no error on its way out. To be called with no lock held.
#[inline]
pub fn outlast<T>(py: Python<'_>, result: oncelog::Result<T>) -> PyResult<T> {
    if let Err(error) = &result
        && error.kind() == ErrorKind::Closed
        && ENDING.get().is_some_and(|ending| *ending != std::thread::current().id())
    {
        py.detach(|| {
            loop {
                std::thread::park();
            }
        });
    }
    result.raise()
}

/// The seconds that a caller of an event loop is ready to wait, checked as those of a call are.
#[pyfunction]
#[pyo3(signature = (seconds))]
pub fn time_to_wait(seconds: Option<Seconds>) -> PyResult<Option<f64>> {
    Patience::of(seconds).map(|_| seconds.map(|Seconds(seconds)| seconds))
}

/// Signals are looked for this often. A signal's handler in C only notes it; Python's own runs in `check_signals`.
const SLICE: Duration = Duration::from_millis(100);

/// How long a caller is ready to wait; `None` for ever.
#[derive(Clone, Copy)]
pub struct Patience(Option<Instant>);

impl Patience {
    pub const ENDLESS: Patience = Patience(None);

    /// From now on for so long.
    pub fn within(duration: Duration) -> Patience {
        Patience(Instant::now().checked_add(duration))
    }

    /// From now on for so many seconds, `None` for ever.
    pub fn of(seconds: Option<Seconds>) -> PyResult<Patience> {
        let Some(Seconds(seconds)) = seconds else { return Ok(Self::ENDLESS) };
        if seconds.is_nan() || seconds < 0.0 {
            let text = "a time to wait cannot be negative; give seconds, or None to wait for ever";
            return Err(refused(format!("{text}, seconds={seconds}")));
        }
        // What no clock reaches is for ever.
        let duration = Duration::try_from_secs_f64(seconds).ok();
        Ok(Patience(duration.and_then(|duration| Instant::now().checked_add(duration))))
    }

    /// The next stretch to wait.
    fn slice(self) -> Duration {
        self.0.map_or(SLICE, |end| end.saturating_duration_since(Instant::now()).min(SLICE))
    }

    fn over(self) -> bool {
        self.0.is_some_and(|end| end <= Instant::now())
    }
}

/// Room for what closes batches, or decides something.
pub const CLOSES: usize = 64 << 10;
/// Room for as much as one batch, or a piece of a transaction, may have.
pub const BATCH: usize = 1 << 20;

/// Waits until a call that writes so many bytes need not wait for a full log; an exception from a signal handler ends
/// the wait, and nothing was written then. What the log refuses is left to the call to say.
pub fn room(py: Python<'_>, engine: &oncelog::Engine, bytes: usize) -> PyResult<()> {
    let found = wait(py, Patience::ENDLESS, |slice| match engine.room_within(bytes, slice) {
        Ok(false) => Ok(None),
        Ok(true) | Err(_) => Ok(Some(())),
    });
    found.map(drop)
}

/// Waits a moment for room for a batch, for event loops, which do it in another thread. True: to wait longer helps
/// nothing.
pub fn room_soon(py: Python<'_>, engine: &oncelog::Engine) -> PyResult<bool> {
    let found = py.detach(|| engine.room_within(BATCH, SLICE));
    outlast(py, found)
}

/// Calls `step` with a time that it may wait until it has an answer; `None` when patience is over. An exception from a
/// signal handler ends the wait.
pub fn wait<T: Send>(
    py: Python<'_>,
    patience: Patience,
    mut step: impl FnMut(Duration) -> oncelog::Result<Option<T>> + Send,
) -> PyResult<Option<T>> {
    loop {
        let slice = patience.slice();
        let found = py.detach(|| step(slice));
        if let Some(found) = outlast(py, found)? {
            return Ok(Some(found));
        }
        py.check_signals()?;
        if patience.over() {
            return Ok(None);
        }
    }
}
