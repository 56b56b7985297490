//! Locks that a panic does not poison: what it leaves behind is sound, by the order of check, place, note.
//!
//! They are the standard library's, each of which keeps all that it knows in itself: a lock that a forked child makes
//! owes nothing to what its parent's threads were doing. A library that parks its waiters in one table of the process
//! would leave the child that table as it was, with a part of it locked for ever, or with waiters in it whose stacks
//! the child's own threads get.
//!
//! Locks, atomics and threads are named here for the whole core. With the feature `models` all of them are the crate
//! shuttle's: one thread at a time runs, and at each of these calls the model says which goes on (tests/models).
//! What outlives one run of a model, as a static does, stays the standard library's.

#[cfg(feature = "models")]
use shuttle::sync;
#[cfg(not(feature = "models"))]
use std::sync;
use std::sync::{PoisonError, TryLockError};
use std::time::Duration;

#[cfg(feature = "models")]
pub use shuttle::thread;
#[cfg(not(feature = "models"))]
pub use std::thread;
pub use sync::{MutexGuard, RwLockReadGuard, RwLockWriteGuard, atomic};

/// One of the threads that run: no two have the same at a time.
#[cfg(feature = "models")]
pub type Here = thread::ThreadId;
/// One of the threads that run: no two have the same at a time.
#[cfg(not(feature = "models"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Here(usize);

#[cfg(feature = "models")]
pub fn here() -> Here {
    thread::current().id()
}

/// The thread that asks. Works until its very end, when the standard library does not know it any more: a log may be
/// closed by what a thread, or `exit`, drops last.
#[cfg(not(feature = "models"))]
pub fn here() -> Here {
    // Nothing is dropped with it, so it is there as long as the thread is.
    std::thread_local! {
        static PLACE: u8 = const { 0 };
    }
    PLACE.with(|place| Here(std::ptr::from_ref(place).addr()))
}

/// Threads of this process that can run at once; 1 if that is not known.
pub fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// One thread at a time.
#[derive(Debug, Default)]
pub struct Mutex<T>(sync::Mutex<T>);

impl<T> Mutex<T> {
    /// Guards a value.
    pub const fn new(value: T) -> Self {
        Self(sync::Mutex::new(value))
    }

    /// Waits for its turn.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes its turn if nobody else has it.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        taken(self.0.try_lock())
    }
}

/// One thread that changes, or any number that look.
#[derive(Debug, Default)]
pub struct RwLock<T>(sync::RwLock<T>);

impl<T> RwLock<T> {
    /// Guards a value.
    pub const fn new(value: T) -> Self {
        Self(sync::RwLock::new(value))
    }

    /// Waits until nobody changes it.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else has it.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks if nobody changes it.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T>> {
        taken(self.0.try_read())
    }

    /// Changes it if nobody else has it.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T>> {
        taken(self.0.try_write())
    }
}

#[inline]
fn taken<G>(answer: Result<G, TryLockError<G>>) -> Option<G> {
    match answer {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    }
}

/// Waits for what another thread changes under a mutex. May wake for nothing: look again.
#[derive(Debug, Default)]
pub struct Condvar(sync::Condvar);

impl Condvar {
    /// Nobody waits.
    pub const fn new() -> Self {
        Self(sync::Condvar::new())
    }

    /// Gives the lock away until it is notified.
    pub fn wait<'a, T>(&self, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
        self.0.wait(guard).unwrap_or_else(PoisonError::into_inner)
    }

    /// The same for so long at most; answers also whether the time is up.
    pub fn wait_for<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> (MutexGuard<'a, T>, bool) {
        let (guard, timeout) = self.0.wait_timeout(guard, time).unwrap_or_else(PoisonError::into_inner);
        (guard, timeout.timed_out())
    }

    /// Wakes all who wait.
    pub fn notify_all(&self) {
        self.0.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn a_panic_under_a_lock_poisons_nothing() {
        let (mutex, shared) = (Mutex::new(1), RwLock::new(1));
        let fails = |body: &mut dyn FnMut()| catch_unwind(AssertUnwindSafe(body)).is_err();
        assert!(fails(&mut || {
            let _guards = (mutex.lock(), shared.write());
            panic!("under both");
        }));
        *mutex.lock() += 1;
        *shared.write() += 1;
        assert_eq!((*mutex.lock(), *shared.read()), (2, 2));
        assert!(mutex.try_lock().is_some() && shared.try_write().is_some());
        assert!(shared.try_read().is_some());
    }

    #[test]
    fn a_lock_that_is_taken_is_not_taken_twice() {
        let (mutex, shared) = (Mutex::new(()), RwLock::new(()));
        let held = (mutex.lock(), shared.write());
        assert!(mutex.try_lock().is_none() && shared.try_read().is_none());
        drop(held);
        let _held = (mutex.try_lock(), shared.read());
        assert!(mutex.try_lock().is_none() && shared.try_read().is_some() && shared.try_write().is_none());
    }
}
