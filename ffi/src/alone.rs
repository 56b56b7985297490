//! What one thread may be busy with while others are told so, instead of waiting for it.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU32};

use engine::io::fork;
use engine::{Completions, ErrorKind};

use crate::call::Answer;
use crate::error::Fault;

/// How many look at a value that one thread has.
const TAKEN: u32 = u32::MAX;

/// A value under a lock that is tried, never waited for: so whoever had it alone gives it back by a mere store, for
/// which a processor need not finish all that it wrote before.
pub struct Alone<T> {
    /// How many threads look at it, or `TAKEN`.
    state: AtomicU32,
    value: UnsafeCell<T>,
    /// Of the process that made it.
    forks: u32,
}

// SAFETY: one thread has the value, or any number look at it, as the state says; so it goes from thread to thread, and
// several see it at once.
unsafe impl<T: Send + Sync> Sync for Alone<T> {}

impl<T> Alone<T> {
    pub fn new(value: T) -> Self {
        Self { state: AtomicU32::new(0), value: UnsafeCell::new(value), forks: fork::generation() }
    }

    /// The value, if no other thread has it or looks at it.
    #[inline]
    pub fn take(&self) -> Option<Taken<'_, T>> {
        self.state.compare_exchange(0, TAKEN, Acquire, Relaxed).ok().map(|_| Taken { of: self })
    }

    /// The same, or `busy`.
    #[inline]
    pub fn lock(&self, busy: &'static str) -> Answer<Taken<'_, T>> {
        self.take().ok_or_else(|| self.taken(busy))
    }

    /// The value to look at it, which many threads may do at once; `busy` if one has it.
    pub fn look(&self, busy: &'static str) -> Answer<Looked<'_, T>> {
        let one_more = |state: u32| if state < TAKEN - 1 { Some(state + 1) } else { None };
        self.state.fetch_update(Acquire, Relaxed, one_more).map(|_| Looked { of: self }).map_err(|_| self.taken(busy))
    }

    /// In a forked child whoever had it is not there, and it will never be free.
    #[cold]
    fn taken(&self, busy: &'static str) -> Fault {
        if fork::generation() == self.forks {
            return Fault::new(ErrorKind::Busy, busy);
        }
        let text = "this process was forked while a thread of its parent was busy with this; it is the parent's";
        Fault::new(ErrorKind::Forked, text)
    }
}

/// Has forks counted from here on. For what is made without a log: before the first log, or queue, the engine counts
/// none, and a child would be told that its parent's threads are busy, for ever.
pub fn count_forks() {
    static COUNTED: AtomicBool = AtomicBool::new(false);
    // The count begins before a queue's descriptor is made, so it does no harm if there is none left to make.
    if !COUNTED.load(Relaxed) && Completions::<()>::new().is_ok() {
        COUNTED.store(true, Relaxed);
    }
}

/// The value, which no other thread reaches.
pub struct Taken<'a, T> {
    of: &'a Alone<T>,
}

impl<T> Deref for Taken<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the state is `TAKEN` until this is dropped, and it was this that made it so.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> DerefMut for Taken<'_, T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: as above.
        unsafe { &mut *self.of.value.get() }
    }
}

impl<T> Drop for Taken<'_, T> {
    #[inline]
    fn drop(&mut self) {
        self.of.state.store(0, Release);
    }
}

/// The value as others see it too.
pub struct Looked<'a, T> {
    of: &'a Alone<T>,
}

impl<T> Deref for Looked<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the state counts this one, so nobody has it alone.
        unsafe { &*self.of.value.get() }
    }
}

impl<T> Drop for Looked<'_, T> {
    fn drop(&mut self) {
        self.of.state.fetch_sub(1, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_has_it_or_many_look_at_it() {
        let alone = Alone::new(1);
        {
            let mut taken = alone.take().unwrap();
            *taken += 1;
            assert!(alone.take().is_none() && alone.lock("busy").is_err() && alone.look("busy").is_err());
        }
        let (Ok(one), Ok(other)) = (alone.look("busy"), alone.look("busy")) else { panic!("nobody has it") };
        assert_eq!((*one, *other), (2, 2));
        drop(one);
        assert!(alone.take().is_none());
        drop(other);
        assert!(alone.take().is_some());
    }

    #[test]
    fn threads_that_take_turns_lose_nothing() {
        let alone = Alone::new((0u64, 0u64));
        let each = if cfg!(miri) { 50 } else { 20_000 };
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    let mut done = 0;
                    while done < each {
                        if let Some(mut pair) = alone.take() {
                            pair.0 += 1;
                            pair.1 += 1;
                            done += 1;
                        } else if let Ok(pair) = alone.look("busy") {
                            assert_eq!(pair.0, pair.1);
                        }
                    }
                });
            }
        });
        assert_eq!(*alone.take().unwrap(), (3 * each, 3 * each));
    }
}
