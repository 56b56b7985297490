//! Waiting behind a trait. An `Event` is a counter that threads wait on; the simulator, which has one thread, lets
//! its clock run to the deadline instead.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::bugs::{Bug, planted};
use super::clock::Clock;
use super::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use super::sync::{Condvar, Mutex, processors, thread};

/// Something that happens again and again. A waiter notes `seen`, checks its condition, then waits for the counter
/// to leave `seen`: no wake-up between check and wait can be lost.
#[derive(Default)]
pub struct Event {
    count: AtomicU64,
    waiters: AtomicUsize,
    lock: Mutex<()>,
    moved: Condvar,
}

impl Event {
    /// The counter now.
    pub fn seen(&self) -> u64 {
        self.count.load(Ordering::SeqCst)
    }

    /// It happened: wakes all who wait. Without waiters this is one addition and one load.
    pub fn happen(&self) {
        self.count.fetch_add(1, Ordering::SeqCst);
        if self.waiters.load(Ordering::SeqCst) > 0 {
            // The lock closes the gap between a waiter's last look at the counter and its sleep.
            if !planted(Bug::NotifiedWithoutLock) {
                drop(self.lock.lock());
            }
            self.moved.notify_all();
        }
    }

    /// Blocks this thread until the counter differs from `seen`, or until `timeout` has passed (None: for ever).
    /// Returns false on time-out. Only `Park` implementations call it.
    pub fn block(&self, seen: u64, timeout: Option<std::time::Duration>) -> bool {
        let until = timeout.map(|t| std::time::Instant::now() + t);
        self.waiters.fetch_add(1, Ordering::SeqCst);
        let mut held = self.lock.lock();
        let mut moved = self.seen() != seen;
        while !moved {
            let late;
            (held, late) = match until {
                Some(until) => self.moved.wait_for(held, until.saturating_duration_since(std::time::Instant::now())),
                None => (self.moved.wait(held), false),
            };
            moved = self.seen() != seen;
            if late {
                break;
            }
        }
        drop(held);
        self.waiters.fetch_sub(1, Ordering::SeqCst);
        moved
    }
}

/// How a thread waits for an event.
pub trait Park: Send + Sync + 'static {
    /// Waits until `event` has left `seen` or the monotonic clock has reached `deadline` (nanoseconds; None: no
    /// deadline). Returns false on time-out. No lock may be held by the caller.
    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool;

    /// Looks for a moment whether something is `done`; true if it was. For what takes another thread about as long as a
    /// system call: sleeping and being woken takes longer. Not where there is no other processor to do it.
    fn spin(&self, _done: &mut dyn FnMut() -> bool) -> bool {
        false
    }

    /// Whether threads that append side by side are to write each in its turn, given what was measured. For tests that
    /// want to see one or the other.
    fn turns(&self, measured: bool) -> bool {
        measured
    }

    /// Lets others go on for so many nanoseconds.
    fn nap(&self, _nanoseconds: u64) {
        self.give_way();
    }

    /// Lets other threads have the processor for a moment. False: there are none.
    fn give_way(&self) -> bool {
        false
    }
}

/// Looks of one spin, with a pause of some ten nanoseconds between two.
const LOOKS: u32 = 100;

/// Blocks the calling thread.
pub struct ThreadPark {
    clock: Arc<dyn Clock>,
    /// Asked for when it is needed first: to count the processors takes a dozen system calls.
    looks: OnceLock<u32>,
}

impl ThreadPark {
    /// Deadlines are moments of `clock`, which must run at the pace of real time.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, looks: OnceLock::new() }
    }
}

impl Park for ThreadPark {
    fn nap(&self, nanoseconds: u64) {
        thread::sleep(Duration::from_nanos(nanoseconds));
    }

    fn give_way(&self) -> bool {
        thread::yield_now();
        true
    }

    fn spin(&self, done: &mut dyn FnMut() -> bool) -> bool {
        let looks = *self.looks.get_or_init(|| if processors() > 1 { LOOKS } else { 0 });
        (0..looks).any(|_| {
            std::hint::spin_loop();
            done()
        })
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        let Some(deadline) = deadline else { return event.block(seen, None) };
        loop {
            let left = Duration::from_nanos(deadline.saturating_sub(self.clock.monotonic()));
            // The two clocks are read one after the other, so a block may end a moment before the deadline.
            if event.block(seen, Some(left)) {
                return true;
            }
            if self.clock.monotonic() >= deadline {
                return false;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::clock::SystemClock;
    use super::*;

    #[test]
    fn an_event_that_moved_before_the_wait_is_not_missed() {
        let park = ThreadPark::new(Arc::new(SystemClock::new()));
        let event = Event::default();
        let seen = event.seen();
        event.happen();
        assert!(park.park(&event, seen, None));
        assert!(park.park(&event, seen, Some(0)), "also when the deadline is past");
    }

    #[test]
    fn a_deadline_ends_the_wait_and_not_before_it() {
        let clock = Arc::new(SystemClock::new());
        let park = ThreadPark::new(clock.clone());
        let event = Event::default();
        let deadline = clock.monotonic() + 2_000_000;
        assert!(!park.park(&event, event.seen(), Some(deadline)));
        assert!(clock.monotonic() >= deadline);
    }

    #[test]
    fn every_wait_of_another_thread_is_woken() {
        let event = Arc::new(Event::default());
        let answer = Arc::new(Event::default());
        let park = Arc::new(ThreadPark::new(Arc::new(SystemClock::new())));
        let echo = std::thread::spawn({
            let (event, answer, park) = (event.clone(), answer.clone(), park.clone());
            move || {
                for round in 0..1_000 {
                    assert!(park.park(&event, round, None));
                    answer.happen();
                }
            }
        });
        for round in 0..1_000 {
            event.happen();
            assert!(park.park(&answer, round, None));
        }
        echo.join().unwrap();
    }
}
