//! The answer to a write, on its way.

use std::sync::Arc;
use std::time::Duration;

use oncelog::ErrorKind;
use oncelog::io::sync::{Condvar, Mutex};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyList, PyType};

use crate::alone::alone;
use crate::answer::Answer;
use crate::arguments::Seconds;
use crate::engine::Engine;
use crate::errors::{Raise, misplaced};
use crate::hub::Call;
use crate::lock::Lock;
use crate::messages::deliver;
use crate::offsets;
use crate::producer::Producer;
use crate::transaction::TransactionalProducer;
use crate::values::{self, Appended};
use crate::wait::{BATCH, CLOSES, Patience, room, wait};

static AWAIT: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// A ticket of the engine, whatever it answers.
trait Work: Send {
    fn wait_for(&mut self, timeout: Duration) -> oncelog::Result<Option<Answer>>;
    /// The answer if it is there already; waits for nothing.
    fn look(&mut self) -> oncelog::Result<Option<Answer>>;
    /// Closes the batch that it lies in, or has the engine do it where that would wait for room.
    fn hasten(&mut self);
    /// The frame that it waits for, if its batch is closed, or can be without waiting for room.
    fn lsn_now(&mut self) -> Option<Option<u64>>;
    /// Leaves the answer in the slot, then says so.
    fn watch(self: Box<Self>, slot: Arc<Slot>, call: Call);
}

impl<T: Into<Answer> + Send + 'static> Work for oncelog::Ticket<T> {
    fn wait_for(&mut self, timeout: Duration) -> oncelog::Result<Option<Answer>> {
        Ok(oncelog::Ticket::wait_for(self, timeout)?.map(Into::into))
    }
    fn look(&mut self) -> oncelog::Result<Option<Answer>> {
        Ok(self.try_wait()?.map(Into::into))
    }
    fn hasten(&mut self) {
        oncelog::Ticket::hasten(self);
    }
    fn lsn_now(&mut self) -> Option<Option<u64>> {
        oncelog::Ticket::hasten(self).then(|| self.lsn())
    }
    fn watch(self: Box<Self>, slot: Arc<Slot>, call: Call) {
        call.when(*self, move |answer| slot.put(answer.map(Into::into)));
    }
}

/// Where the answer comes to that an event loop waits for.
#[derive(Default)]
struct Slot {
    state: Mutex<SlotState>,
    filled: Condvar,
}

#[derive(Default)]
struct SlotState {
    answer: Option<oncelog::Result<Answer>>,
    /// The frame that it waits for, if that is known.
    lsn: Option<Option<u64>>,
    /// Others that wait for the same.
    calls: Vec<Call>,
    /// Nobody waits any more who would bring an answer.
    left: bool,
}

impl Slot {
    fn put(&self, answer: oncelog::Result<Answer>) {
        let calls = {
            let mut state = self.state.lock();
            state.answer = Some(answer);
            std::mem::take(&mut state.calls)
        };
        self.filled.notify_all();
        calls.iter().for_each(Call::done);
    }

    /// Waits until the answer is there, or whoever waited for it went away, which makes room for another.
    fn wait_for(&self, timeout: Duration) -> Option<oncelog::Result<Answer>> {
        let mut state = self.state.lock();
        if state.answer.is_none() && !state.left {
            (state, _) = self.filled.wait_for(state, timeout);
        }
        state.answer.clone()
    }

    fn look(&self) -> Option<oncelog::Result<Answer>> {
        self.state.lock().answer.clone()
    }

    /// The frame that it waits for, if that is known; at the latest the answer tells.
    fn lsn(&self) -> Option<Option<u64>> {
        let state = self.state.lock();
        state.lsn.or_else(|| state.answer.as_ref().map(|answer| answer.as_ref().ok().and_then(Answer::lsn)))
    }

    fn call(&self, call: Call) {
        let mut state = self.state.lock();
        if state.answer.is_none() {
            state.calls.push(call);
            return;
        }
        drop(state);
        call.done();
    }

    /// Who waited goes away without an answer: one of the event loops that came meanwhile, if any has.
    fn leave(&self) -> Option<Call> {
        let mut state = self.state.lock();
        let call = state.calls.pop();
        state.left = call.is_none();
        drop(state);
        self.filled.notify_all();
        call
    }
}

enum State {
    /// The ticket of one record lies here itself: there are as many as there are records.
    Record(oncelog::Ticket<oncelog::Appended>),
    Other(Box<dyn Work>),
    /// An event loop waits for it, or a thread does, which has taken the ticket out: no lock is held meanwhile, and
    /// all others wait here, each as long as it likes.
    Awaited(Arc<Slot>),
    /// With the frame that it waited for.
    Done(oncelog::Result<Answer>, Option<u64>),
}

/// What a caller finds that is ready to wait.
enum Found {
    Answer(oncelog::Result<Answer>),
    /// To wait for what others wait for.
    Awaited(Arc<Slot>),
    /// To wait for by itself; all others wait at the slot.
    Lead(State, Arc<Slot>),
}

impl State {
    fn find(&mut self) -> Found {
        match self {
            State::Done(answer, _) => Found::Answer(answer.clone()),
            State::Awaited(slot) => Found::Awaited(slot.clone()),
            State::Record(_) | State::Other(_) => match self.look() {
                Some(answer) => Found::Answer(answer),
                None => {
                    let slot = Arc::<Slot>::default();
                    Found::Lead(std::mem::replace(self, State::Awaited(slot.clone())), slot)
                }
            },
        }
    }

    /// Waits a while, taken out of its lock; the answer if it is there then.
    fn wait_for(&mut self, timeout: Duration) -> Option<oncelog::Result<Answer>> {
        let found = match self {
            State::Record(ticket) => Work::wait_for(ticket, timeout),
            State::Other(ticket) => ticket.wait_for(timeout),
            State::Awaited(_) | State::Done(..) => return self.look(),
        };
        self.keep(found)
    }

    /// The answer if it is there.
    fn look(&mut self) -> Option<oncelog::Result<Answer>> {
        let found = match self {
            State::Record(ticket) => Work::look(ticket),
            State::Other(ticket) => ticket.look(),
            State::Awaited(slot) => return slot.look(),
            State::Done(answer, _) => return Some(answer.clone()),
        };
        self.keep(found)
    }

    fn keep(&mut self, found: oncelog::Result<Option<Answer>>) -> Option<oncelog::Result<Answer>> {
        let answer = found.transpose()?;
        *self = State::Done(answer.clone(), self.lsn_now().flatten());
        Some(answer)
    }

    fn hasten(&mut self) {
        match self {
            State::Record(ticket) => Work::hasten(ticket),
            State::Other(ticket) => ticket.hasten(),
            State::Awaited(_) | State::Done(..) => {}
        }
    }

    /// The frame that it waits for, if that can be known right now.
    fn lsn_now(&mut self) -> Option<Option<u64>> {
        match self {
            State::Record(ticket) => ticket.lsn_now(),
            State::Other(ticket) => ticket.lsn_now(),
            State::Awaited(slot) => slot.lsn(),
            State::Done(_, lsn) => Some(*lsn),
        }
    }

    fn watch(&mut self, call: Call) {
        match self {
            State::Awaited(slot) => slot.call(call),
            State::Done(..) => call.done(),
            _ => {
                let slot = Arc::<Slot>::default();
                std::mem::replace(self, State::Awaited(slot.clone())).leave_to(slot, call);
            }
        }
    }

    /// The engine puts the answer into the slot, where all wait.
    fn leave_to(mut self, slot: Arc<Slot>, call: Call) {
        slot.state.lock().lsn = self.lsn_now();
        match self {
            State::Record(ticket) => Work::watch(Box::new(ticket), slot, call),
            State::Other(ticket) => ticket.watch(slot, call),
            State::Awaited(_) | State::Done(..) => {}
        }
    }
}

/// The answer to a write, on its way: wait for it, ask for it, await it, or let it go, which cancels nothing.
///
/// >>> engine = oncelog.open("tickets.log")
/// >>> engine.create_topic("t")
/// >>> ticket = engine.producer().send("t", b"v")
/// >>> appended = ticket.result(timeout=10)
/// >>> appended.offset, appended.duplicate, ticket.done()
/// (0, False, True)
/// >>> ticket.lsn() == appended.lsn
/// True
/// >>> engine.close()
#[pyclass(frozen, module = "oncelog")]
pub struct Ticket {
    state: Lock<State>,
    /// What an answer that is a handle belongs to.
    engine: Option<Py<Engine>>,
    /// Somebody completes what an event loop awaits.
    attended: bool,
}

impl Ticket {
    /// The ticket of one record, made in this process.
    #[inline]
    pub fn of_record(process: u32, ticket: oncelog::Ticket<oncelog::Appended>, attended: bool) -> Self {
        Self { state: Lock::of(process, State::Record(ticket)), engine: None, attended }
    }

    /// A ticket that a producer keeps, with nothing in it yet.
    pub fn spare(process: u32, attended: bool) -> Self {
        Self { state: Lock::of(process, State::Done(Ok(Answer::Nothing), None)), engine: None, attended }
    }

    /// Puts the ticket of another record into `spare`, if nobody but its owner holds that.
    #[inline]
    pub fn again<'py>(
        spare: &Py<Self>,
        py: Python<'py>,
        ticket: oncelog::Ticket<oncelog::Appended>,
    ) -> Result<Bound<'py, Self>, oncelog::Ticket<oncelog::Appended>> {
        if !alone(py, spare) {
            return Err(ticket);
        }
        match spare.get().state.try_take() {
            Some(mut state) => *state = State::Record(ticket),
            None => return Err(ticket),
        }
        Ok(spare.bind(py).clone())
    }

    pub fn of<T>(ticket: oncelog::Ticket<T>) -> Self
    where
        T: Into<Answer> + Send + 'static,
    {
        Self { state: Lock::new(State::Other(Box::new(ticket))), engine: None, attended: true }
    }

    /// A ticket that users see, of an engine that may have no threads.
    pub fn shown(self, engine: &Engine) -> Self {
        Self { attended: engine.has_threads(), ..self }
    }

    pub fn of_handle<T>(ticket: oncelog::Ticket<T>, engine: &Bound<'_, Engine>) -> Self
    where
        T: Into<Answer> + Send + 'static,
    {
        Self { engine: Some(engine.clone().unbind()), ..Self::of(ticket) }
    }

    fn give<'py>(&self, py: Python<'py>, answer: Answer) -> PyResult<Bound<'py, PyAny>> {
        match (answer, &self.engine) {
            (Answer::Nothing, _) => Ok(py.None().into_bound(py)),
            (Answer::Appended(appended), _) => Ok(Bound::new(py, Appended::from(&appended))?.into_any()),
            (Answer::Many(many), _) => {
                let many = many.iter().map(|appended| Bound::new(py, Appended::from(appended)));
                Ok(PyList::new(py, many.collect::<PyResult<Vec<_>>>()?)?.into_any())
            }
            (Answer::Committed(committed), _) => values::committed(py, committed),
            (Answer::Identity(identity), _) => values::identity(py, identity),
            (Answer::Status(status), _) => values::status(py, status),
            (Answer::Offset(offset), _) => Ok(offset.into_pyobject(py)?.into_any()),
            (Answer::Offsets(offsets), _) => Ok(offsets::dict(py, &offsets)?.into_any()),
            (Answer::Producer(core), Some(engine)) => {
                Ok(Bound::new(py, Producer::new(py, core, engine.clone_ref(py))?)?.into_any())
            }
            (Answer::Transactional(core), Some(engine)) => {
                Ok(Bound::new(py, TransactionalProducer::new(core, engine.clone_ref(py)))?.into_any())
            }
            _ => Err(misplaced(ErrorKind::Internal, "a ticket for a handle knows no engine; report this")),
        }
    }

    /// Has the batch that it lies in closed, as waiting for it would, and waits for no room.
    pub fn hasten(&self, py: Python<'_>) -> PyResult<()> {
        self.state.check_process()?;
        py.detach(|| self.state.take_detached().hasten());
        Ok(())
    }

    /// Waits a while for the answer. One thread waits for the ticket itself, the others for that one.
    fn wait_for(&self, timeout: Duration) -> Option<oncelog::Result<Answer>> {
        let found = self.state.take_detached().find();
        let (mut taken, slot) = match found {
            Found::Answer(answer) => return Some(answer),
            Found::Awaited(slot) => return slot.wait_for(timeout),
            Found::Lead(taken, slot) => (taken, slot),
        };
        let answer = taken.wait_for(timeout);
        let mut state = self.state.take_detached();
        match &answer {
            Some(answer) => {
                *state = taken;
                drop(state);
                slot.put(answer.clone());
            }
            // Under the lock: nobody comes to the slot behind the look at who is there.
            None => match slot.leave() {
                Some(call) => taken.leave_to(slot, call),
                None => *state = taken,
            },
        }
        answer
    }

    /// The frame that it waits for, if that is known within a while.
    fn lsn_within(&self, timeout: Duration) -> Option<Option<u64>> {
        let known = self.state.take_detached().lsn_now();
        if known.is_none() {
            // The log is full, or others wait already: to wait for the answer closes the batch.
            self.wait_for(timeout);
            return self.state.take_detached().lsn_now();
        }
        known
    }

    /// Has an event loop told when the answer is there.
    pub fn watch(&self, py: Python<'_>, call: Call) -> PyResult<()> {
        self.state.check_process()?;
        py.detach(|| self.state.take_detached().watch(call));
        Ok(())
    }

    /// Waits for the answer as long as it takes.
    pub fn wait<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.result(py, None)
    }
}

#[pymethods]
impl Ticket {
    /// Waits for the answer, which is there when the write has met its level. Closes the batch that the record lies in.
    ///
    /// Raises TimedOutError if that takes longer than `timeout` seconds; the write goes on and the ticket stays good.
    /// IndeterminateError: a write or flush failed; it may be there or not, opening the log again decides.
    #[pyo3(signature = (timeout=None))]
    fn result<'py>(&self, py: Python<'py>, timeout: Option<Seconds>) -> PyResult<Bound<'py, PyAny>> {
        let patience = Patience::of(timeout)?;
        self.state.check_process()?;
        let found = wait(py, patience, |slice| self.wait_for(slice).transpose())?;
        deliver(py);
        let text = "the write is still on its way; ask for the result again";
        self.give(py, found.ok_or_else(|| misplaced(ErrorKind::TimedOut, text))?)
    }

    /// The frame that the ticket waits for, as `Engine.wait_durable` takes it; closes the batch that the record lies in
    /// to learn it, which waits only for room. None for an answer that needs no frame.
    fn lsn(&self, py: Python<'_>) -> PyResult<Option<u64>> {
        self.state.check_process()?;
        let found = wait(py, Patience::ENDLESS, |slice| Ok(self.lsn_within(slice)))?;
        deliver(py);
        // What is made of no records hangs on the frame 0.
        Ok(found.flatten().filter(|lsn| *lsn > 0))
    }

    /// Waits in an event loop. Cancelled, the write goes on and the ticket stays good. Raises StateError for an engine
    /// opened with threads=False.
    fn __await__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        if !slf.get().attended {
            let text = "the engine has no threads, so nobody would complete what is awaited; call result(), or open \
                        the log without threads=False";
            return Err(misplaced(ErrorKind::InvalidState, text));
        }
        AWAIT.import(slf.py(), "oncelog._loop", "awaited")?.call1((slf,))
    }

    /// So that `Ticket[Appended]` may be written in annotations.
    #[classmethod]
    #[pyo3(signature = (item, /))]
    fn __class_getitem__<'py>(cls: &Bound<'py, PyType>, item: &Bound<'py, PyAny>) -> Bound<'py, PyType> {
        let _ = item;
        cls.clone()
    }

    /// Whether the answer is there. Waits for nothing and closes no batch.
    fn done(&self, py: Python<'_>) -> PyResult<bool> {
        self.state.check_process()?;
        Ok(py.detach(|| self.state.try_take().is_some_and(|mut state| state.look().is_some())))
    }
}

/// Makes a ticket of something that is written, as soon as the log has room for it, and waits for it.
pub fn through(
    py: Python<'_>,
    engine: &oncelog::Engine,
    make: impl FnOnce() -> oncelog::Result<oncelog::Ticket<()>> + Send,
) -> PyResult<()> {
    room(py, engine, CLOSES)?;
    waited(py, make)
}

/// Closes what producers have gathered, one batch after the other as each finds room, and waits until it is safe.
/// `now` closes what finds some, `all` waits for it.
pub fn flushed(
    py: Python<'_>,
    engine: &oncelog::Engine,
    now: impl Fn() -> oncelog::Result<Option<oncelog::Ticket<()>>> + Sync,
    all: impl Fn() -> oncelog::Result<oncelog::Ticket<()>> + Sync,
) -> PyResult<()> {
    let closed = wait(py, Patience::ENDLESS, |slice| {
        if let Some(ticket) = now()? {
            return Ok(Some(ticket));
        }
        match engine.room_within(BATCH, slice) {
            Ok(false) => Ok(None),
            // There is some: more is closed now, or in a moment, if another thread is busy with a producer.
            Ok(true) if engine.has_room(BATCH) => {
                std::thread::sleep(Duration::from_millis(1));
                Ok(None)
            }
            // There will be none: this says why.
            Ok(true) | Err(_) => all().map(Some),
        }
    });
    let done = closed.and_then(|ticket| match ticket {
        Some(mut ticket) => wait(py, Patience::ENDLESS, |slice| ticket.wait_for(slice)).map(drop),
        None => Ok(()),
    });
    deliver(py);
    done
}

/// Makes a ticket with the interpreter lock given up, and waits for it.
pub fn waited(py: Python<'_>, make: impl FnOnce() -> oncelog::Result<oncelog::Ticket<()>> + Send) -> PyResult<()> {
    let done =
        py.detach(make).raise().and_then(|mut ticket| wait(py, Patience::ENDLESS, |slice| ticket.wait_for(slice)));
    deliver(py);
    done.map(drop)
}
