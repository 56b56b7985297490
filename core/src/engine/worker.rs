//! One of the engine's own threads: how it starts, who it is, its end.

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};
use crate::io::shielded;
use crate::io::sync::thread::{Builder, JoinHandle};
use crate::io::sync::{Here, Mutex, here};

/// A thread that an engine may start.
#[derive(Default)]
pub(super) struct Worker {
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Which one it is, as long as it runs.
    place: Arc<Mutex<Option<Here>>>,
}

/// Says who a thread is until it ends, be it by a panic: its place may be another one's then.
struct Present(Arc<Mutex<Option<Here>>>);

impl Drop for Present {
    fn drop(&mut self) {
        *self.0.lock() = None;
    }
}

impl Worker {
    /// Starts it. It takes no signals: a program's handlers run on the program's threads.
    pub fn start(&self, name: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
        let place = self.place.clone();
        let run = move || {
            *place.lock() = Some(here());
            let _present = Present(place);
            run();
        };
        let started = shielded(|| Builder::new().name(name.into()).spawn(run)).map_err(|e| {
            let text = "a background thread could not be started; free some or open with threads(false)";
            Error::with_source(ErrorKind::Io, text, e)
        })?;
        *self.thread.lock() = Some(started);
        Ok(())
    }

    /// True on this very thread.
    pub fn is_here(&self) -> bool {
        *self.place.lock() == Some(here())
    }

    /// Waits for its end; not on itself.
    pub fn join(&self) {
        let thread = self.thread.lock().take().filter(|_| !self.is_here());
        // A panic is caught where it calls out; there is nothing more to say here.
        let _ = thread.map(JoinHandle::join);
    }
}
