//! The journal's lock. In the builds of tests and measurements a hold that touches too many entries panics; with the
//! feature `holds` each is timed into a histogram as well. Never for users.

#[cfg(not(any(feature = "sim", feature = "holds")))]
pub use crate::io::sync::{Mutex as Lock, MutexGuard as Hold};
#[cfg(feature = "holds")]
pub use timed::{histogram, reset};
#[cfg(any(feature = "sim", feature = "holds"))]
pub use watched::{Hold, Lock};

#[cfg(any(feature = "sim", feature = "holds"))]
mod watched {
    use std::ops::{Deref, DerefMut};

    use crate::io::sync::{Mutex, MutexGuard};
    use crate::io::touched;
    use crate::limits::ENTRIES_PER_HOLD;

    /// What the frames of a hold are about themselves: a producer, a topic, a transaction each.
    const OWN: usize = 16;

    /// A mutex that watches.
    pub struct Lock<T>(Mutex<T>);

    /// Holding it.
    pub struct Hold<'a, T> {
        guard: MutexGuard<'a, T>,
        #[cfg(feature = "holds")]
        since: std::time::Instant,
    }

    impl<T> Lock<T> {
        pub fn new(value: T) -> Lock<T> {
            Lock(Mutex::new(value))
        }
        pub fn lock(&self) -> Hold<'_, T> {
            let guard = self.0.lock();
            touched::begin();
            Hold {
                guard,
                #[cfg(feature = "holds")]
                since: std::time::Instant::now(),
            }
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
            #[cfg(feature = "holds")]
            super::timed::count(self.since.elapsed());
            let touched = touched::touched();
            let most = ENTRIES_PER_HOLD + OWN;
            assert!(
                touched <= most || std::thread::panicking(),
                "one hold of the journal's lock touched {touched} entries, {most} at most"
            );
        }
    }
}

#[cfg(feature = "holds")]
mod timed {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

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

    /// Counts a hold.
    pub fn count(long: Duration) {
        let nanoseconds = u64::try_from(long.as_nanos()).unwrap_or(u64::MAX);
        let bucket = (64 - nanoseconds.leading_zeros() as usize).min(HOLDS.len() - 1);
        HOLDS[bucket].fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::Lock;
    use crate::io::touched::{named, touch};
    use crate::limits::ENTRIES_PER_HOLD;

    #[test]
    #[should_panic(expected = "touched 1017 entries")]
    fn a_hold_that_touches_more_than_a_thousand_entries_panics() {
        let lock = Lock::new(());
        let hold = lock.lock();
        touch(ENTRIES_PER_HOLD + 17);
        drop(hold);
    }

    #[test]
    fn each_hold_is_counted_for_itself_and_without_what_its_frames_name() {
        let lock = Lock::new(());
        for _ in 0..2 {
            let hold = lock.lock();
            touch(ENTRIES_PER_HOLD);
            drop(hold);
        }
        let hold = lock.lock();
        touch(5 * ENTRIES_PER_HOLD);
        named(4 * ENTRIES_PER_HOLD);
        drop(hold);
    }
}
