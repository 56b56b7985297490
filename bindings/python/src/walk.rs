//! The walk over records together with what it walks. One of the three files with unsafe code.
//!
//! The engine's iterator and its records borrow the `Records` they come from. Here they lie beside a reference to the
//! Python object that owns these, which never moves and never changes, and nothing is handed out for longer than that
//! reference lives.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::slice;

use oncelog::{RecordView, RecordsIter};
use pyo3::prelude::*;

use crate::alone::alone;
use crate::records::{Record, Records};

/// A walk that owns what it walks.
pub struct Walk {
    /// Borrowed from `owner`; before it, so that it is dropped first.
    walk: RecordsIter<'static>,
    owner: Py<Records>,
    /// The last two objects that were handed out, the older one first. A loop lets go of a record when it has the next
    /// one: the older one is then nobody's but ours, and shows another record, as the tuples of `zip` do.
    spares: [Option<Py<Record>>; 2],
}

/// A record that a walk came to.
pub enum Step<'py> {
    /// In an object that came back.
    Again(Bound<'py, Record>),
    /// To be put into a new one. Not here: making it may run the collector, and this in turn anything.
    New(Seen),
}

impl<'py> Step<'py> {
    /// The record as an object; one that was made goes to `keep`, for when it comes back.
    #[inline]
    pub fn object(self, py: Python<'py>, keep: impl FnOnce(&Bound<'py, Record>)) -> PyResult<Bound<'py, Record>> {
        match self {
            Step::Again(record) => Ok(record),
            // Where nobody can be known to be the only one, it would never come back.
            Step::New(seen) if cfg!(Py_GIL_DISABLED) => Bound::new(py, Record::new(seen)),
            Step::New(seen) => Bound::new(py, Record::new(seen)).inspect(keep),
        }
    }

    #[inline]
    pub fn view(&self) -> RecordView<'_> {
        match self {
            Step::Again(record) => record.get().view(),
            Step::New(seen) => seen.view(),
        }
    }
}

impl Walk {
    pub fn new(owner: &Bound<'_, Records>) -> Self {
        let walk = owner.get().core().iter();
        // SAFETY: the records lie inside a frozen Python object, which is not moved and not changed while a reference
        // to it lives, and `owner` is one. `walk` is private and handed out only as `Seen` below.
        let walk = unsafe { std::mem::transmute::<RecordsIter<'_>, RecordsIter<'static>>(walk) };
        Self { walk, owner: owner.clone().unbind(), spares: [None, None] }
    }

    /// The next record, or what is damaged.
    #[inline]
    pub fn next(&mut self, py: Python<'_>) -> Option<oncelog::Result<Seen>> {
        // Each record holds the owner itself, so it may outlive this walk.
        Some(self.step()?.map(|view| Seen { view, owner: self.owner.clone_ref(py) }))
    }

    /// As `next`, in an object that was handed out before, if nobody has that any more.
    #[inline]
    pub fn next_again<'py>(&mut self, py: Python<'py>) -> Option<oncelog::Result<Step<'py>>> {
        let [older, newer] = &mut self.spares;
        let Some(spare) = older.as_ref().filter(|spare| alone(py, spare)) else {
            return self.next(py).map(|seen| seen.map(Step::New));
        };
        // SAFETY: `alone` says that nobody else refers to the object, so nothing borrows what lies in it. What is kept
        // has the same owner.
        let place = unsafe { &mut (*spare.get().held().0.get()).view };
        if let Err(error) = show(&mut self.walk, place)? {
            return Some(Err(error));
        }
        let record = spare.bind(py).clone();
        std::mem::swap(older, newer);
        Some(Ok(Step::Again(record)))
    }

    /// Keeps an object that was made for a record, for when it comes back. Not one of an older read, where another
    /// thread has polled meanwhile: it would keep that one's memory.
    pub fn keep(&mut self, record: &Bound<'_, Record>) {
        if record.get().held().get().owner.is(&self.owner) {
            self.spares.swap(0, 1);
            self.spares[1] = Some(record.clone().unbind());
        }
    }

    // A call of its own writes the record where it is taken from. Compiled into its caller it is put together elsewhere
    // and copied in larger pieces than it was written in, for which the processor waits.
    #[inline(never)]
    fn step(&mut self) -> Option<oncelog::Result<RecordView<'static>>> {
        self.walk.next()
    }

    /// Passes by one.
    pub fn skip(&mut self) {
        self.walk.next();
    }
}

/// Puts the next record where another one was shown. Nearly all are filled in there, each part from where it was found
/// out; what `next` answers would be put together elsewhere, for it may be anything, and copied.
#[inline(never)]
fn show(walk: &mut RecordsIter<'static>, place: &mut RecordView<'static>) -> Option<oncelog::Result<()>> {
    match walk.fill(slice::from_mut(place), |place, view| *place = view) {
        0 => show_any(walk, place),
        _ => Some(Ok(())),
    }
}

/// The same whatever comes next.
#[cold]
#[inline(never)]
fn show_any(walk: &mut RecordsIter<'static>, place: &mut RecordView<'static>) -> Option<oncelog::Result<()>> {
    Some(walk.next()?.map(|view| *place = view))
}

/// What whoever holds the interpreter lock changes, and nobody else: that lock is enough, and its own would cost a
/// record as much as a call. Where there is no interpreter lock it has one of its own.
#[cfg(not(Py_GIL_DISABLED))]
pub struct Guarded<T>(std::cell::RefCell<T>);

#[cfg(Py_GIL_DISABLED)]
pub struct Guarded<T>(crate::lock::Lock<T>);

// SAFETY: `with` is the one way in. It asks for the proof that the interpreter lock is held, which threads hold one
// after the other, each seeing what the one before did. Should anybody give that lock up in there, the cell says so to
// the next one.
#[cfg(not(Py_GIL_DISABLED))]
unsafe impl<T: Send> Sync for Guarded<T> {}

impl<T: Send> Guarded<T> {
    #[cfg(not(Py_GIL_DISABLED))]
    pub fn new(value: T) -> Self {
        Self(std::cell::RefCell::new(value))
    }

    #[cfg(Py_GIL_DISABLED)]
    pub fn new(value: T) -> Self {
        Self(crate::lock::Lock::new(value))
    }

    /// Makes a call that runs no Python code.
    #[cfg(not(Py_GIL_DISABLED))]
    #[inline]
    pub fn with<R>(&self, _py: Python<'_>, call: impl FnOnce(&mut T) -> R) -> PyResult<R> {
        Ok(call(&mut self.0.borrow_mut()))
    }

    #[cfg(Py_GIL_DISABLED)]
    #[inline]
    pub fn with<R>(&self, py: Python<'_>, call: impl FnOnce(&mut T) -> R) -> PyResult<R> {
        Ok(call(&mut *self.0.take(py)?))
    }
}

/// A record that owns what it lies in.
pub struct Seen {
    /// Borrowed from `owner`.
    view: RecordView<'static>,
    owner: Py<Records>,
}

impl Seen {
    /// The record, for as long as this lives.
    #[inline]
    pub fn view(&self) -> RecordView<'_> {
        self.view
    }

    /// The same once more.
    pub fn share(&self, py: Python<'_>) -> Seen {
        Seen { view: self.view, owner: self.owner.clone_ref(py) }
    }
}

/// A record inside an object of Python's.
pub struct Held(UnsafeCell<Seen>);

// SAFETY: `Walk::next_again` alone changes it, with the interpreter lock held, and only where nobody else refers to the
// object that it lies in. What is in it may be looked at by several threads.
unsafe impl Sync for Held where Seen: Sync {}

impl Held {
    pub fn new(seen: Seen) -> Self {
        Self(UnsafeCell::new(seen))
    }

    #[inline]
    pub fn get(&self) -> &Seen {
        // SAFETY: who calls this refers to the object, and does for as long as the borrow lasts: it is not changed.
        unsafe { &*self.0.get() }
    }
}

/// Takes a record off the collector's list: it can be in no circle, and thousands of them in a list would be looked
/// through again and again.
pub fn untrack(record: &Bound<'_, Record>) {
    // SAFETY: the object is alive, and only what the collector tracks is taken off. A record refers to nothing but the
    // `Records` it lies in, which refer to no Python object, so nothing is missed.
    unsafe {
        if pyo3::ffi::PyObject_GC_IsTracked(record.as_ptr()) == 1 {
            pyo3::ffi::PyObject_GC_UnTrack(record.as_ptr().cast());
        }
    }
}
