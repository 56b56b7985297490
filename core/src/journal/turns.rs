//! How threads that append side by side get their frames written: by each other, or each its own in its turn.
//!
//! Sharing has one write take along what the others placed meanwhile. That pays where a write costs more than to hand a
//! record from one core's cache to another's. Where it costs less it is faster to let one thread go on while the rest
//! sleep, as a mutex around each whole call would. Which it is depends on the machine and on what runs beside, so both
//! are measured, now and then, for as long as threads wait for each other. Whoever does not wait for what he appends
//! takes no turns: he would be kept for nothing.

use std::cell::Cell;
use std::ptr;

use super::baton::Baton;
use super::{Fold, Journal};
use crate::io::sync::MutexGuard;
use crate::io::sync::atomic::{AtomicBool, Ordering};

/// Frames of a window, which is what is measured.
const WINDOW: u64 = 2048;
/// Of so many frames of a window shared one was waited for by somebody who found another one writing, or threads do not
/// stand in each other's way.
const WAITED: u64 = 8;
/// Nanoseconds that a frame of a window takes at most, or it is not writes that threads wait for.
const SLOWEST: u64 = 10_000;
/// Nanoseconds that who finds the lane taken sleeps before he looks again. To be woken would cost whoever goes on a
/// system call, and again and again both a look at the same cache lines: two threads have 1.3 times as much this way.
const NAP: u64 = 200_000;
/// So often, then he goes on with a turn or without: nobody waits for ever, nor long for a write that takes long.
const NAPS: u32 = 2;
/// After a trial in vain the next one comes later: after one window, then after twice as many each time, at most so
/// many.
const MOST_WINDOWS: u32 = 128;

thread_local! {
    /// This thread has waited for a frame since it asked for a turn: where that journal's turns lie. 0: it has not.
    static WAITS: Cell<usize> = const { Cell::new(0) };
}

/// What those who take turns wait for.
pub struct Turns {
    lane: Baton,
    taken: AtomicBool,
}

impl Turns {
    /// Turns are taken from the start.
    pub fn new(taken: bool) -> Self {
        // Those of another journal, which is gone, may have lain in the same place.
        WAITS.set(0);
        Self { lane: Baton::default(), taken: AtomicBool::new(taken) }
    }

    #[inline]
    pub fn are_taken(&self) -> bool {
        self.taken.load(Ordering::Relaxed)
    }

    /// This thread waits for a frame at level `os`, as long as it takes.
    pub fn waits(&self) {
        WAITS.set(ptr::from_ref(self).addr());
    }

    /// Whether it has waited for one since it asked last. All threads of a model are one of the system's: there all
    /// have.
    fn has_waited(&self) -> bool {
        WAITS.replace(0) == ptr::from_ref(self).addr() || cfg!(feature = "models")
    }

    /// From now on turns are taken, or writes are shared.
    pub fn set(&self, taken: bool) {
        self.taken.store(taken, Ordering::Relaxed);
    }
}

/// The turn of a thread that places a frame. What it placed is written when it ends, unless somebody else is writing.
pub struct Turn<'a, F: Fold> {
    journal: &'a Journal<F>,
    _lane: MutexGuard<'a, ()>,
}

impl<F: Fold> Journal<F> {
    /// Waits for a turn, if turns are taken and this thread waits for what it places. It ends before anything else is
    /// waited for but the journal's lock.
    #[inline]
    pub(super) fn turn(&self) -> Option<Turn<'_, F>> {
        if self.turns.are_taken() { self.wait_for_turn() } else { None }
    }

    #[cold]
    fn wait_for_turn(&self) -> Option<Turn<'_, F>> {
        if !self.turns.has_waited() {
            return None;
        }
        let mut lane = self.turns.lane.take();
        for _ in 0..NAPS {
            if lane.is_some() {
                break;
            }
            self.machine.park.nap(NAP);
            lane = self.turns.lane.take();
        }
        Some(Turn { journal: self, _lane: lane? })
    }
}

impl<F: Fold> Turn<'_, F> {
    #[cold]
    fn end(&self) {
        // Once the door is shut only the end leads.
        if !self.journal.is_shut() {
            // If it fails the journal is poisoned: whoever waits for the frame hears it.
            let _ = self.journal.lead_write(false);
        }
    }
}

impl<F: Fold> Drop for Turn<'_, F> {
    #[inline]
    fn drop(&mut self) {
        self.end();
    }
}

/// Measures, and chooses. Kept with the write baton.
pub struct Choice {
    /// Frames of the window so far.
    frames: u64,
    /// When it began, nanoseconds, and how many had come to wait for a write of somebody else's.
    since: (u64, u64),
    /// Turns are taken in it.
    turns: bool,
    /// It is a trial; before it, in the other way, 1,024 frames took so many nanoseconds.
    before: Option<u64>,
    /// Windows until the next trial.
    left: u32,
    /// How many it will be the next time.
    next: u32,
    /// The last window, in turns, was too slow to say anything.
    slow: bool,
}

impl Default for Choice {
    fn default() -> Self {
        Choice { frames: 0, since: (0, 0), turns: false, before: None, left: 0, next: 1, slow: false }
    }
}

impl Choice {
    /// So many frames were written together. At the end of a window `look` tells the time and how many have come; the
    /// answer is whether turns are taken in the next one.
    #[inline]
    pub fn wrote(&mut self, frames: u64, look: impl FnOnce() -> (u64, u64)) -> Option<bool> {
        self.frames += frames;
        (self.frames >= WINDOW).then(|| self.over(look()))
    }

    #[cold]
    fn over(&mut self, now: (u64, u64)) -> bool {
        let (took, came) = (now.0.saturating_sub(self.since.0), now.1 - self.since.1);
        let frames = std::mem::take(&mut self.frames);
        self.since = now;
        let slow = took > frames * SLOWEST;
        // In turns nobody comes.
        let crowded = self.turns || came * WAITED >= frames;
        let pace = took.saturating_mul(1024) / frames;
        let was_slow = std::mem::replace(&mut self.slow, self.turns && slow);
        match self.before.take() {
            // A trial of turns counts however slow it was. Shared, without a crowd or a load there is no choice.
            Some(before) if self.turns || (crowded && !slow) => self.tried(before, pace),
            Some(_) => self.left = self.next,
            // One such window may be a pause of the load's or a stall of the device's; two are its end.
            None if self.turns && slow => self.turns = !was_slow,
            None if slow || !crowded => {}
            None if self.left > 0 => self.left -= 1,
            None => {
                self.before = Some(pace);
                self.turns = !self.turns;
            }
        }
        self.turns
    }

    /// A trial is over. Turns are to be faster by a tenth, and by half of that to stay: of those who wait longest all
    /// wait less where writes are shared.
    fn tried(&mut self, before: u64, pace: u64) {
        let (pace, before) = (u128::from(pace), u128::from(before));
        let better = if self.turns { pace * 10 <= before * 9 } else { before * 20 > pace * 19 };
        if better {
            self.next = 1;
        } else {
            self.turns = !self.turns;
            self.next = (2 * self.next).min(MOST_WINDOWS);
        }
        self.left = self.next;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine on which a frame takes so many nanoseconds, shared and in turns; of so many frames one is waited for
    /// by somebody who found another one writing.
    struct Load {
        choice: Choice,
        shared: u64,
        turned: u64,
        waited: u64,
        now: u64,
        came: u64,
    }

    impl Load {
        fn new(shared: u64, turned: u64) -> Load {
            Load { choice: Choice::default(), shared, turned, waited: 2, now: 0, came: 0 }
        }

        /// Writes so many windows; in which of them turns were taken.
        fn windows(&mut self, count: usize) -> Vec<bool> {
            let one = |_| {
                let turns = self.choice.turns;
                self.now += WINDOW * if turns { self.turned } else { self.shared };
                self.came += if turns { 0 } else { WINDOW / self.waited };
                let over = (0..WINDOW).filter_map(|_| self.choice.wrote(1, || (self.now, self.came))).count();
                assert_eq!(over, 1);
                turns
            };
            (0..count).map(one).collect()
        }
    }

    fn places(turns: &[bool], wanted: bool) -> Vec<usize> {
        turns.iter().enumerate().filter(|(_, turns)| **turns == wanted).map(|(at, _)| at).collect()
    }

    #[test]
    fn where_turns_are_faster_they_are_taken_and_sharing_is_tried_less_and_less_often() {
        let shared = places(&Load::new(1300, 800).windows(400), false);
        assert_eq!(shared, [0, 4, 8, 14, 24, 42, 76, 142, 272], "the first, then trials");
    }

    #[test]
    fn where_sharing_is_faster_turns_are_tried_less_and_less_often() {
        for turned in [1000, 1500] {
            let turns = places(&Load::new(1050, turned).windows(400), true);
            assert_eq!(turns, [1, 5, 11, 21, 39, 73, 139, 269, 399]);
        }
    }

    #[test]
    fn what_was_chosen_changes_with_the_machine() {
        let mut load = Load::new(1300, 800);
        load.windows(100);
        assert!(load.choice.turns);
        (load.shared, load.turned) = (500, 800);
        assert!(places(&load.windows(400), true).len() < 150);
        assert!(!load.choice.turns);
        (load.shared, load.turned) = (1300, 800);
        assert!(places(&load.windows(400), false).len() < 150);
        assert!(load.choice.turns);
    }

    #[test]
    fn who_appends_alone_or_waits_for_few_or_for_a_slow_device_takes_no_turns() {
        let mut alone = Load { waited: WINDOW, ..Load::new(700, 100) };
        let mut slow = Load::new(20_000, 10_000);
        for load in [&mut alone, &mut slow] {
            assert!(places(&load.windows(100), true).is_empty());
        }
    }

    #[test]
    fn a_trial_of_turns_that_is_slower_than_anything_is_in_vain_like_others() {
        let turns = places(&Load::new(2500, 2 * SLOWEST).windows(400), true);
        assert_eq!(turns, [1, 5, 11, 21, 39, 73, 139, 269, 399]);
    }

    #[test]
    fn a_pause_of_the_load_is_no_reason_to_forget_what_was_learned() {
        let mut load = Load::new(1000, 2000);
        load.windows(300);
        let mut turns = 0;
        for _ in 0..50 {
            load.now += 30_000_000;
            turns += places(&load.windows(5), true).len();
        }
        assert!(turns <= 4, "{turns} of 250 windows");

        let mut load = Load::new(1300, 800);
        load.windows(300);
        let mut shared = 0;
        for _ in 0..50 {
            load.now += 30_000_000;
            shared += places(&load.windows(5), false).len();
        }
        assert!(shared <= 4, "{shared} of 250 windows");
    }

    #[test]
    fn turns_end_with_the_crowd_and_with_the_load() {
        let mut load = Load::new(1300, 800);
        load.windows(100);
        // One is left, whom nobody stands in the way of: found out by the next trial.
        (load.shared, load.turned, load.waited) = (800, 800, WINDOW);
        load.windows(129);
        assert!(places(&load.windows(100), true).is_empty());

        load.waited = 2;
        (load.shared, load.turned) = (1300, 800);
        load.windows(100);
        assert!(load.choice.turns);
        load.turned = 2 * SLOWEST;
        load.windows(2);
        assert!(!load.choice.turns);
    }
}
