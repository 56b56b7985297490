//! The journal's lock. With the feature `holds` each hold is timed into a histogram: for measurements, never for users.

#[cfg(not(feature = "holds"))]
pub use crate::io::sync::{Mutex as Lock, MutexGuard as Hold};
#[cfg(feature = "holds")]
pub use timed::{Hold, Lock, histogram, reset};

#[cfg(feature = "holds")]
mod timed {
    use std::ops::{Deref, DerefMut};
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Instant;

    use crate::io::sync::{Mutex, MutexGuard};

    /// Holds by length: bucket n counts those below 2^n nanoseconds.
    static HOLDS: [AtomicU64; 40] = [const { AtomicU64::new(0) }; 40];

    /// Greatest nanoseconds of each bucket, with its count.
    pub fn histogram() -> Vec<(u64, u64)> {
        HOLDS.iter().enumerate().map(|(n, count)| (1 << n, count.load(Ordering::Relaxed))).collect()
    }

    /// Begins to count anew.
    pub fn reset() {
        HOLDS.iter().for_each(|count| count.store(0, Ordering::Relaxed));
    }

    /// A mutex that counts.
    pub struct Lock<T>(Mutex<T>);

    /// Holding it.
    pub struct Hold<'a, T> {
        guard: MutexGuard<'a, T>,
        since: Instant,
    }

    impl<T> Lock<T> {
        pub fn new(value: T) -> Lock<T> {
            Lock(Mutex::new(value))
        }
        pub fn lock(&self) -> Hold<'_, T> {
            let guard = self.0.lock();
            Hold { guard, since: Instant::now() }
        }
    }

    impl<T> Deref for Hold<'_, T> {
        type Target = T;
        fn deref(&self) -> &T {
            &self.guard
        }
    }

    impl<T> DerefMut for Hold<'_, T> {
        fn deref_mut(&mut self) -> &mut T {
            &mut self.guard
        }
    }

    impl<T> Drop for Hold<'_, T> {
        fn drop(&mut self) {
            let nanoseconds = u64::try_from(self.since.elapsed().as_nanos()).unwrap_or(u64::MAX);
            let bucket = (64 - nanoseconds.leading_zeros() as usize).min(HOLDS.len() - 1);
            HOLDS[bucket].fetch_add(1, Ordering::Relaxed);
        }
    }
}
