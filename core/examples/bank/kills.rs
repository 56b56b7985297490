//! When a child is killed: a plan spread over the job, so that every kind of moment comes up again and again.

use std::time::Duration;

use crate::report::Line;

/// Where in its work a child is hit.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// While it opens the log that the last kill left behind.
    Opening,
    /// When it has begun a group.
    Begin,
    /// When it waits halfway through a group: this one cannot miss.
    Half,
    /// When it has just been let go into the second half, so that the kill races with the commit.
    Commit,
    /// When it has committed a group.
    Committed,
}

/// One round of the plan. Half of it cannot fall anywhere but between a begin and its committed, and one that follows
/// a race with the commit hits the process that opens what the race left.
const ROUND: [Moment; 8] = [
    Moment::Begin,
    Moment::Half,
    Moment::Commit,
    Moment::Opening,
    Moment::Begin,
    Moment::Half,
    Moment::Commit,
    Moment::Committed,
];
/// Kills of one child.
pub const KILLS: u64 = 4 * ROUND.len() as u64;

/// The kills still to come for one child.
pub struct Plan {
    /// Lines in the job.
    total: u64,
    /// Kills so far.
    pub kills: u64,
}

impl Plan {
    /// A plan for a job of so many lines.
    pub fn new(total: u64) -> Self {
        Self { total, kills: 0 }
    }

    /// The moment to kill at, if what the child just said makes a kill due, and how long to stay the hand: a kill that
    /// races comes a little later each time, so that it hits another instruction.
    pub fn due(&mut self, line: Line) -> Option<(Moment, Duration)> {
        let moment = ROUND[(self.kills % ROUND.len() as u64) as usize];
        let reached = |n: u64| n >= self.total * (self.kills + 1) / (KILLS + 1);
        let due = self.kills < KILLS
            && match (moment, line) {
                (Moment::Opening, Line::Opening) => true,
                (Moment::Begin, Line::Begin(n)) => reached(n),
                (Moment::Half | Moment::Commit, Line::Half(n)) => reached(n),
                (Moment::Committed, Line::Committed(n)) => reached(n),
                _ => false,
            };
        if !due {
            return None;
        }
        let late = match moment {
            Moment::Opening => Duration::from_micros(100 * self.kills),
            Moment::Commit => Duration::from_micros(20 * self.kills),
            _ => Duration::ZERO,
        };
        self.kills += 1;
        Some((moment, late))
    }
}
