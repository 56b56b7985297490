//! How many entries are touched under one hold of the journal's lock: counted in the builds of tests and measurements,
//! where a hold that touches too many panics (`journal/hold.rs`).

#[cfg(not(any(feature = "sim", feature = "holds")))]
pub use off::{named, touch};
#[cfg(any(feature = "sim", feature = "holds"))]
pub use on::{begin, named, touch, touched};

#[cfg(not(any(feature = "sim", feature = "holds")))]
mod off {
    /// Counts entries. Nothing, in this build.
    #[inline(always)]
    pub const fn touch(_entries: usize) {}

    /// Takes entries off the count that the frame itself names. Nothing, in this build.
    #[inline(always)]
    pub const fn named(_entries: usize) {}
}

#[cfg(any(feature = "sim", feature = "holds"))]
mod on {
    use std::cell::Cell;

    thread_local! {
        /// Touched by this thread since it took the lock, and named by the frames that it placed since.
        static COUNTS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
    }

    /// The lock is taken.
    pub fn begin() {
        COUNTS.set((0, 0));
    }

    /// Counts entries.
    pub fn touch(entries: usize) {
        let (touched, named) = COUNTS.get();
        COUNTS.set((touched + entries, named));
    }

    /// Takes entries off the count that the frame itself names: a call is as long as what its caller asks for.
    pub fn named(entries: usize) {
        let (touched, named) = COUNTS.get();
        COUNTS.set((touched, named + entries));
    }

    /// What was touched since the lock was taken, without what frames name.
    pub fn touched() -> usize {
        let (touched, named) = COUNTS.get();
        touched.saturating_sub(named)
    }
}
