//! The walk over records together with what it walks. One of the three files with unsafe code.
//!
//! The engine's iterator and its records borrow the `Records` they come from. Here they lie beside a reference to the
//! Python object that owns these, which never moves and never changes, and nothing is handed out for longer than that
//! reference lives.
#![allow(unsafe_code)]

use oncelog::{RecordView, RecordsIter};
use pyo3::prelude::*;

use crate::records::{Record, Records};

/// A walk that owns what it walks.
pub struct Walk {
    /// Borrowed from `owner`; before it, so that it is dropped first.
    walk: RecordsIter<'static>,
    owner: Py<Records>,
}

impl Walk {
    pub fn new(owner: &Bound<'_, Records>) -> Self {
        let walk = owner.get().core().iter();
        // SAFETY: the records lie inside a frozen Python object, which is not moved and not changed while a reference
        // to it lives, and `owner` is one. `walk` is private and handed out only as `Seen` below.
        let walk = unsafe { std::mem::transmute::<RecordsIter<'_>, RecordsIter<'static>>(walk) };
        Self { walk, owner: owner.clone().unbind() }
    }

    /// The next record, or what is damaged.
    #[inline]
    pub fn next(&mut self, py: Python<'_>) -> Option<oncelog::Result<Seen>> {
        // Each record holds the owner itself, so it may outlive this walk.
        Some(self.step()?.map(|view| Seen { view, owner: self.owner.clone_ref(py) }))
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

    pub fn owner(&self) -> &Py<Records> {
        &self.owner
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
