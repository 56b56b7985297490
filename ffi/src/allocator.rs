//! The allocator hook: all memory of this library comes from here, but for what zstd, which is C, takes from malloc for
//! its contexts, and what the system maps: stacks of threads, segments.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU8};

use crate::call::{Answer, call};
use crate::error::{Fixed, oncelog_error_t};

/// Answers `size` bytes that begin at a multiple of `alignment`, a power of two; NULL if there are none. Must not call
/// this library. The library cannot go on without memory: NULL ends the process, as running out of memory does anyway.
pub type oncelog_allocate_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, size: usize, alignment: usize) -> *mut c_void>;

/// Takes back what `oncelog_allocate_fn` answered for the same size and alignment.
pub type oncelog_release_fn =
    Option<unsafe extern "C" fn(context: *mut c_void, memory: *mut c_void, size: usize, alignment: usize)>;

type Allocate = unsafe extern "C" fn(*mut c_void, usize, usize) -> *mut c_void;
type GiveBack = unsafe extern "C" fn(*mut c_void, *mut c_void, usize, usize);

/// Nobody has chosen, and nothing was allocated.
const FREE: u8 = 0;
/// The system's, for good.
const SYSTEM: u8 = 1;
/// Somebody is choosing.
const CHOOSING: u8 = 2;
/// The caller's, for good.
const CALLERS: u8 = 3;

static CHOICE: AtomicU8 = AtomicU8::new(FREE);
static ALLOCATE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static RELEASE: AtomicPtr<c_void> = AtomicPtr::new(null_mut());
static CONTEXT: AtomicPtr<c_void> = AtomicPtr::new(null_mut());

struct Hook;

#[global_allocator]
static HOOK: Hook = Hook;

impl Hook {
    /// The caller's functions, if they were chosen. The first allocation chooses the system's for good.
    #[inline]
    fn callers() -> Option<(Allocate, GiveBack, *mut c_void)> {
        match CHOICE.load(Acquire) {
            SYSTEM => None,
            CALLERS => Some(Self::chosen()),
            _ => Self::choose_system(),
        }
    }

    fn chosen() -> (Allocate, GiveBack, *mut c_void) {
        // SAFETY: both were stored as functions of these types, before `CALLERS` was.
        unsafe {
            let allocate = std::mem::transmute::<*mut c_void, Allocate>(ALLOCATE.load(Relaxed));
            let release = std::mem::transmute::<*mut c_void, GiveBack>(RELEASE.load(Relaxed));
            (allocate, release, CONTEXT.load(Relaxed))
        }
    }

    #[cold]
    fn choose_system() -> Option<(Allocate, GiveBack, *mut c_void)> {
        loop {
            match CHOICE.compare_exchange(FREE, SYSTEM, AcqRel, Acquire) {
                Ok(_) | Err(SYSTEM) => return None,
                Err(CALLERS) => return Some(Self::chosen()),
                // Three stores long.
                Err(_) => std::hint::spin_loop(),
            }
        }
    }
}

// SAFETY: the system's allocator, or one whose setter promised what the header asks for: aligned memory of the size, or
// NULL. Which one it is never changes once something was allocated.
unsafe impl GlobalAlloc for Hook {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match Self::callers() {
            // SAFETY: the contract of this function.
            None => unsafe { System.alloc(layout) },
            // SAFETY: the setter's promise.
            Some((allocate, _, context)) => unsafe { allocate(context, layout.size(), layout.align()).cast() },
        }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        match Self::callers() {
            // SAFETY: the contract of this function.
            None => unsafe { System.dealloc(memory, layout) },
            // SAFETY: the setter's promise; the memory came from its other function.
            Some((_, release, context)) => unsafe { release(context, memory.cast(), layout.size(), layout.align()) },
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if Self::callers().is_none() {
            // SAFETY: the contract of this function. The system often knows that its pages are zeros.
            return unsafe { System.alloc_zeroed(layout) };
        }
        // SAFETY: the contract of this function.
        let memory = unsafe { self.alloc(layout) };
        if !memory.is_null() {
            // SAFETY: it has the layout's size.
            unsafe { memory.write_bytes(0, layout.size()) };
        }
        memory
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        if Self::callers().is_none() {
            // SAFETY: the contract of this function. The system can often grow in place.
            return unsafe { System.realloc(memory, layout, size) };
        }
        // SAFETY: the size is not zero and does not overflow when aligned, as this function's caller promises.
        let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
        if !new.is_null() {
            // SAFETY: both have at least so many bytes and are different memory; the old one is not used again.
            unsafe {
                std::ptr::copy_nonoverlapping(memory, new, layout.size().min(size));
                self.dealloc(memory, layout);
            }
        }
        new
    }
}

/// Sets where this library takes its memory from; by default the system's malloc. Before every other call, and once:
/// memory goes back where it came from. The functions are called from any thread, the engine's own included; they and
/// what `context` points to must stay good to the end of the process. Two things come from elsewhere: the working
/// memory of zstd, from the system's malloc, about a megabyte for each thread that packs or unpacks with it; and what
/// the system maps, the stacks of the engine's threads and sealed segments.
///
/// Errors: INVALID_ARGUMENT if a function is NULL; INVALID_STATE if anything was allocated before.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_set_allocator(
    allocate: oncelog_allocate_fn,
    release: oncelog_release_fn,
    context: *mut c_void,
) -> *mut oncelog_error_t {
    call(|_| -> Answer {
        // Fixed errors alone: to allocate would decide what this call is there to decide.
        let (Some(allocate), Some(release)) = (allocate, release) else { return Err(Fixed::NoAllocator.into()) };
        if CHOICE.compare_exchange(FREE, CHOOSING, AcqRel, Relaxed).is_err() {
            return Err(Fixed::LateAllocator.into());
        }
        ALLOCATE.store(allocate as *mut c_void, Relaxed);
        RELEASE.store(release as *mut c_void, Relaxed);
        CONTEXT.store(context, Relaxed);
        CHOICE.store(CALLERS, Release);
        Ok(())
    })
}
