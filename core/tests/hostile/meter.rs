//! An allocator that notes what a thread takes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use oncelog::limits::ALLOCATION_MAX;

struct Counting;

thread_local! {
    static LIVE: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), layout.size().cast_signed());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size(), layout.size().cast_signed());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old bytes may be there until the new ones are.
        note(size, size.cast_signed());
        note(0, -layout.size().cast_signed());
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        note(0, -layout.size().cast_signed());
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

fn note(size: usize, change: isize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
    let live = LIVE.try_with(|live| {
        live.set(live.get() + change);
        live.get()
    });
    let _ = live.and_then(|live| PEAK.try_with(|peak| peak.set(peak.get().max(live))));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What a call took.
#[derive(Clone, Copy, Debug)]
pub struct Taken {
    /// Bytes of its largest allocation.
    pub largest: usize,
    /// Bytes that it had at one time, at most.
    pub peak: usize,
}

/// Calls `f`, and answers what it took of this thread's memory.
pub fn measured<T>(f: impl FnOnce() -> T) -> (T, Taken) {
    LIVE.set(0);
    PEAK.set(0);
    LARGEST.set(0);
    let value = f();
    (value, Taken { largest: LARGEST.get(), peak: PEAK.get().max(0).unsigned_abs() })
}

/// Calls a decoder that reads in place: it takes nothing at all.
pub fn in_place<T>(f: impl FnOnce() -> T) -> T {
    let (value, taken) = measured(f);
    assert_eq!((taken.largest, taken.peak), (0, 0), "a decoder that reads in place took memory");
    value
}

/// Calls a decoder that may take so many bytes at one time, and never more at once than any decoder may.
pub fn bounded<T>(peak: usize, f: impl FnOnce() -> T) -> T {
    let (value, taken) = measured(f);
    // One byte more, where what is too much is seen by it.
    assert!(taken.largest <= ALLOCATION_MAX + 1, "{taken:?}");
    assert!(taken.peak <= peak, "{taken:?}, where {peak} are allowed");
    value
}
