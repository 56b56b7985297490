//! Threads that wait for a flush or a write: who leads one gives those whom the last one let go a moment to come back,
//! so that all of them share it. Without that they fall into two halves, each waiting while the other's is under way.

use crate::io::Machine;
use crate::io::sync::atomic::{AtomicU64, Ordering};

/// A leader waits for no more than this part of what a flush takes.
const PART: u64 = 2;
/// Nor longer than this, nanoseconds: a device so slow gathers its crowd while it flushes.
const LONGEST: u64 = 200_000;
/// After waiting in vain the next ones go ahead at once: one, then twice as many each time, at most so many.
const MOST_SKIPPED: u32 = 64;

/// How many ever came to wait for a flush of what is written, or for a write of what is placed.
#[derive(Default)]
pub struct Crowd(AtomicU64);

impl Crowd {
    /// One more came.
    pub fn join(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// So many.
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// What one leader of a flush, or of a write, hands to the next.
#[derive(Default)]
pub struct Habit {
    /// Who had come when the last one began; it let all of them go.
    before: u64,
    /// How many shared it or came while it was under way.
    expected: u64,
    /// What it took, nanoseconds.
    took: u64,
    /// So many wait for nobody yet.
    skip: u32,
    /// How many the next time.
    skip_next: u32,
}

impl Habit {
    /// Before a flush: waits a moment until as many have come as were there last time. No lock may be held but the
    /// baton.
    pub fn gather(&mut self, machine: &Machine, crowd: &Crowd) {
        let Some(all) = self.missing(crowd) else { return };
        let until = machine.clock.monotonic() + (self.took / PART).min(LONGEST);
        while crowd.count() < all {
            if !machine.park.give_way() || machine.clock.monotonic() >= until {
                return self.came(false);
            }
        }
        self.came(true);
    }

    /// The same before a write, which is over in less time than a look at the clock is worth: they come while it is
    /// looked for them, or not.
    #[inline]
    pub fn gather_at_once(&mut self, machine: &Machine, crowd: &Crowd) {
        if let Some(all) = self.missing(crowd) {
            let came = machine.park.spin(&mut || crowd.count() >= all);
            self.came(came);
        }
    }

    /// How many will have come when all are back, if some are missing and it is worth waiting for them.
    #[inline]
    fn missing(&mut self, crowd: &Crowd) -> Option<u64> {
        let all = self.before + self.expected;
        if crowd.count() >= all {
            return None;
        }
        let waits = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        waits.then_some(all)
    }

    fn came(&mut self, all: bool) {
        self.skip_next = if all { 0 } else { (2 * self.skip_next).clamp(1, MOST_SKIPPED) };
        self.skip = self.skip_next;
    }

    /// One has ended that took so many nanoseconds; when it began so many had come. Nobody was told of it yet.
    #[inline]
    pub fn ended(&mut self, crowd: &Crowd, came: u64, took: u64) {
        *self = Habit { before: came, expected: crowd.count() - self.before, took, ..*self };
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::io::sim::World;
    use crate::io::{Event, Park};

    /// Whoever is given way to comes to wait, as long as somebody is left; each turn takes a microsecond.
    struct Comers {
        world: World,
        crowd: Arc<Crowd>,
        left: AtomicU64,
        turns: AtomicU64,
    }

    impl Park for Comers {
        fn park(&self, _: &Event, _: u64, _: Option<u64>) -> bool {
            unreachable!("a leader does not sleep")
        }

        fn spin(&self, done: &mut dyn FnMut() -> bool) -> bool {
            (0..10).any(|_| self.give_way() && done())
        }

        fn give_way(&self) -> bool {
            self.turns.fetch_add(1, Ordering::Relaxed);
            self.world.advance(1_000);
            if self.left.load(Ordering::Relaxed) > 0 {
                self.left.fetch_sub(1, Ordering::Relaxed);
                self.crowd.join();
            }
            true
        }
    }

    /// A flush that takes 100 microseconds; `back` of those whom the last one let go come again, the leader first, and
    /// while it is under way those for whom he did not wait. Answers how many turns the leader waited.
    fn flush(habit: &mut Habit, crowd: &Arc<Crowd>, back: u64) -> u64 {
        let left = AtomicU64::new(back - 1);
        let comers = Comers { world: World::new(1), crowd: crowd.clone(), left, turns: AtomicU64::new(0) };
        let comers = Arc::new(comers);
        let machine = Machine { park: comers.clone(), ..comers.world.machine() };
        crowd.join();
        habit.gather(&machine, crowd);
        let came = crowd.count();
        (0..comers.left.load(Ordering::Relaxed)).for_each(|_| crowd.join());
        habit.ended(crowd, came, 100_000);
        comers.turns.load(Ordering::Relaxed)
    }

    /// Eight that all wait for one flush.
    fn eight() -> (Habit, Arc<Crowd>) {
        let (mut habit, crowd) = (Habit::default(), Arc::new(Crowd::default()));
        (0..8).for_each(|_| crowd.join());
        habit.ended(&crowd, crowd.count(), 100_000);
        (habit, crowd)
    }

    #[test]
    fn a_leader_waits_until_all_whom_the_last_flush_let_go_are_back() {
        let (mut habit, crowd) = eight();
        for _ in 0..10 {
            assert_eq!(flush(&mut habit, &crowd, 8), 7);
        }
    }

    #[test]
    fn one_that_came_while_a_flush_was_under_way_is_waited_with_and_shares_the_next() {
        let (mut habit, crowd) = eight();
        crowd.join();
        let came = crowd.count();
        (0..3).for_each(|_| crowd.join());
        habit.ended(&crowd, came, 100_000);
        assert_eq!((habit.before, habit.expected), (9, 4));
    }

    #[test]
    fn one_alone_waits_for_nobody() {
        let (mut habit, crowd) = (Habit::default(), Arc::new(Crowd::default()));
        for _ in 0..10 {
            assert_eq!(flush(&mut habit, &crowd, 1), 0);
        }
    }

    #[test]
    fn who_does_not_come_back_is_waited_for_half_a_flush_and_then_no_more() {
        let (mut habit, crowd) = eight();
        assert_eq!(flush(&mut habit, &crowd, 3), 50, "half of 100 microseconds, five of the eight are gone");
        assert_eq!(flush(&mut habit, &crowd, 3), 0, "once it is not tried");
        // Of the three who came to that flush two came too late for it, and are there for this one.
        crowd.join();
        habit.gather(&World::new(1).machine(), &crowd);
        habit.ended(&crowd, crowd.count(), 100_000);
        assert_eq!(flush(&mut habit, &crowd, 3), 2, "three are all now");
        assert_eq!(flush(&mut habit, &crowd, 3), 2);
    }

    #[test]
    fn waiting_in_vain_again_and_again_is_given_up_for_longer_and_longer() {
        let (mut habit, crowd) = eight();
        let waits = (0..200).filter(|_| {
            // Before each flush but one comes; during each seven more, who are late for the next one too.
            let waited = flush(&mut habit, &crowd, 1) > 0;
            habit.expected = 8;
            waited
        });
        let waits = waits.count();
        assert!((5..=10).contains(&waits), "{waits} of 200");
    }

    #[test]
    fn before_a_write_who_was_let_go_is_looked_for_once_as_long_as_a_spin_and_not_while_that_was_in_vain() {
        let (mut habit, crowd) = (Habit::default(), Arc::new(Crowd::default()));
        let comers = |left| {
            let (left, turns) = (AtomicU64::new(left), AtomicU64::new(0));
            Arc::new(Comers { world: World::new(1), crowd: crowd.clone(), left, turns })
        };
        let mut write = |comers: Arc<Comers>| {
            habit.gather_at_once(&Machine { park: comers.clone(), ..comers.world.machine() }, &crowd);
            habit.ended(&crowd, crowd.count(), 0);
            comers.turns.load(Ordering::Relaxed)
        };
        assert_eq!(write(comers(0)), 0, "nobody came ever");
        crowd.join();
        assert_eq!(write(comers(1)), 0, "the one who waits is there");
        assert_eq!(write(comers(1)), 1, "he comes back");
        assert_eq!(write(comers(0)), 10, "he does not");
        assert_eq!(write(comers(0)), 0, "and is not looked for again");
    }

    #[test]
    fn a_slow_device_gathers_its_crowd_while_it_flushes() {
        let (mut habit, crowd) = eight();
        habit.took = 10_000_000;
        assert_eq!(flush(&mut habit, &crowd, 1), 200);
    }
}
