//! What an event loop waits for: tickets and consumers, through one descriptor.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use oncelog::io::sync::Mutex;
use oncelog::{Completions, Descriptor};
use pyo3::intern;
use pyo3::prelude::*;

use crate::consumer::Consumer;
use crate::errors::Raise;
use crate::lock::Lock;
use crate::messages::deliver;
use crate::ticket::Ticket;

/// Where to say that something is done, and what to call it.
#[derive(Clone)]
pub struct Call {
    completions: Completions<u64>,
    number: u64,
}

impl Call {
    pub fn done(&self) {
        self.completions.push(self.number);
    }

    /// Says so when the ticket has its answer, which goes to `keep` first.
    pub fn when<T: Send + 'static>(
        self,
        ticket: oncelog::Ticket<T>,
        keep: impl FnOnce(oncelog::Result<T>) + Send + 'static,
    ) {
        let number = self.number;
        self.completions.watch(ticket, move |answer| {
            keep(answer);
            number
        });
    }
}

/// One of an event loop's own: its descriptor is watched by the loop, which calls `drain`.
#[pyclass(frozen, module = "oncelog")]
pub struct Hub {
    completions: Completions<u64>,
    next: AtomicU64,
    waiting: Lock<HashMap<u64, Waiting>>,
}

struct Waiting {
    future: Py<PyAny>,
    ticket: Option<Py<Ticket>>,
    /// To complete it raised once.
    raised: bool,
}

impl Hub {
    fn enlist(&self, py: Python<'_>, waiting: Waiting) -> PyResult<Call> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.take(py)?.insert(number, waiting);
        Ok(Call { completions: self.completions.clone(), number })
    }

    /// Completes a future. Where that raises, it is tried once more, with the next drain.
    fn complete(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        let Some(waiting) = self.waiting.take(py)?.remove(&number) else { return Ok(()) };
        let completed = waiting.complete(py);
        if completed.is_err() && !waiting.raised {
            let before = self.waiting.take(py)?.insert(number, Waiting { raised: true, ..waiting });
            drop(before);
            self.completions.push(number);
        }
        completed
    }
}

#[pymethods]
impl Hub {
    #[new]
    fn new() -> PyResult<Self> {
        let completions = Completions::new().raise()?;
        Ok(Self { completions, next: AtomicU64::new(0), waiting: Lock::new(HashMap::new()) })
    }

    fn fileno(&self) -> Descriptor {
        self.completions.descriptor()
    }

    /// Makes the descriptor readable for nothing: `drain` finds nobody who waits.
    fn wake(&self) {
        self.completions.push(u64::MAX);
    }

    /// Completes each future with its ticket's answer. The batches that the tickets lie in are closed first, all of
    /// them, so that what was sent in one turn of the loop is written together; those that find no room the engine
    /// closes. Answers what to forget each by.
    fn watch(&self, py: Python<'_>, pairs: Vec<(Bound<'_, Ticket>, Bound<'_, PyAny>)>) -> PyResult<Vec<u64>> {
        for (ticket, _) in &pairs {
            ticket.get().hasten(py)?;
        }
        let mut numbers = Vec::with_capacity(pairs.len());
        for (ticket, future) in pairs {
            let waiting = Waiting { future: future.unbind(), ticket: Some(ticket.clone().unbind()), raised: false };
            let call = self.enlist(py, waiting)?;
            numbers.push(call.number);
            ticket.get().watch(py, call)?;
        }
        Ok(numbers)
    }

    /// Completes the future when a poll of the consumer would answer something; answers what to forget it by.
    fn watch_consumer(&self, consumer: &Bound<'_, Consumer>, future: Bound<'_, PyAny>) -> PyResult<u64> {
        let py = consumer.py();
        let call = self.enlist(py, Waiting { future: future.unbind(), ticket: None, raised: false })?;
        let number = call.number;
        let (consumer, core) = (consumer.get(), consumer.get().core(py)?);
        py.detach(|| consumer_ready(consumer.ready(), &core, call));
        Ok(number)
    }

    /// Nobody waits any more.
    fn forget(&self, py: Python<'_>, number: u64) -> PyResult<()> {
        let waiting = self.waiting.take(py)?.remove(&number);
        drop(waiting);
        Ok(())
    }

    /// Completes the futures of what is done.
    fn drain(&self, py: Python<'_>) -> PyResult<()> {
        deliver(py);
        let mut numbers = Vec::new();
        self.completions.drain(&mut numbers).raise()?;
        let mut numbers = numbers.into_iter();
        while let Some(number) = numbers.next() {
            if let Err(error) = self.complete(py, number) {
                // A signal's handler may raise in there. The others come with the next drain.
                numbers.for_each(|number| self.completions.push(number));
                return Err(error);
            }
        }
        Ok(())
    }
}

impl Waiting {
    fn complete(&self, py: Python<'_>) -> PyResult<()> {
        let future = self.future.bind(py);
        // Cancelled: who waited has gone, what was written stays.
        if future.call_method0(intern!(py, "done"))?.is_truthy()? {
            return Ok(());
        }
        let answer = self.ticket.as_ref().map_or(Ok(py.None().into_bound(py)), |ticket| ticket.get().wait(py));
        match answer {
            Ok(answer) => future.call_method1(intern!(py, "set_result"), (answer,))?,
            Err(error) => future.call_method1(intern!(py, "set_exception"), (error,))?,
        };
        Ok(())
    }
}

/// Who is to be told when a consumer is ready. One note is left with the engine however often somebody waits in vain.
#[derive(Default)]
pub struct Ready {
    state: Mutex<ReadyState>,
}

#[derive(Default)]
struct ReadyState {
    noted: bool,
    call: Option<Call>,
}

impl Ready {
    /// Tells whoever waits: the consumer goes, and what the engine has noted for it goes with it.
    pub fn wake(&self) {
        let call = self.state.lock().call.take();
        if let Some(call) = call {
            call.done();
        }
    }
}

fn consumer_ready(ready: &Arc<Ready>, consumer: &oncelog::Consumer, call: Call) {
    {
        let mut state = ready.state.lock();
        state.call = Some(call);
        if std::mem::replace(&mut state.noted, true) {
            return;
        }
    }
    let ready = ready.clone();
    consumer.on_ready(move || {
        let call = {
            let mut state = ready.state.lock();
            state.noted = false;
            state.call.take()
        };
        if let Some(call) = call {
            call.done();
        }
    });
}
