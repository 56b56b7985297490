//! How a life of a workload ends, and how the next one finds the log.

use oncelog::Durability;
use oncelog::sim::{Call, Fault};

use super::Check;
use super::observe::look;
use super::tape::{Ack, Tape, options};
use super::world::Shown;

impl Tape {
    /// A clean close: everything is durable.
    pub fn close(&mut self) -> Check {
        let engine = self.engine.take().expect("the workload has opened the log");
        engine.close().map_err(|error| format!("close answers {error}"))?;
        if let Some(last) = self.ops.len().checked_sub(1) {
            let calls = self.calls();
            self.acks.push(Ack { op: last, level: Durability::Disk, calls });
        }
        Ok(())
    }

    /// The process dies, and another opens the log on the page cache as it is.
    pub fn kill_and_reopen(&mut self) -> Check {
        self.world.kill();
        self.engine = None;
        self.reopen()
    }

    /// Plans a fault, kills, and lets an opening fail on it. If it succeeds all the same, the log stays open.
    pub fn fail_opening(&mut self, call: Call, after: u32) -> Check {
        self.world.kill();
        self.engine = None;
        self.world.fail(call, after, Fault::Eio, false);
        let opened = options().open_on(self.world.machine());
        self.world.heal();
        if let Ok(engine) = opened {
            self.engine = Some(engine);
        }
        Ok(())
    }

    /// Whatever the handle still wants to do, the engine is let go and the log opened again by the same process.
    pub fn drop_and_reopen(&mut self) -> Check {
        self.engine = None;
        self.reopen()
    }

    /// A power cut by chance; the recording begins anew on what it left, so this shows recovery call by call.
    pub fn crash_and_reopen(&mut self) -> Check {
        self.world.crash();
        self.engine = None;
        self.world.record();
        for op in &mut self.ops {
            op.begun = -1;
        }
        for ack in &mut self.acks {
            ack.calls = if ack.level == Durability::Disk { 0 } else { usize::MAX };
        }
        self.reopen()
    }

    /// Opens, sees which operations are there, and goes on from those. What a recovery serves is durable.
    fn reopen(&mut self) -> Check {
        self.world.heal();
        let least = self.acks.iter().filter(|a| a.level == Durability::Disk && a.calls != usize::MAX);
        let least = least.map(|ack| ack.op + 1).max().unwrap_or(0);
        self.open()?;
        let seen = look(self.engine(), &self.questions)?;
        let states = self.states();
        let found = (least..states.len()).rev().find(|k| states[*k].without_names() == seen);
        let Some(found) = found else {
            let expected = states[states.len() - 1].without_names();
            return Err(format!("reopened in the workload: {}", seen.differs(&expected).unwrap_or_default()));
        };
        self.keep(found);
        if let Some(last) = found.checked_sub(1) {
            let calls = self.calls();
            self.acks.push(Ack { op: last, level: Durability::Disk, calls });
        }
        Ok(())
    }

    /// What is shown after each number of operations.
    pub(super) fn states(&self) -> Vec<Shown> {
        let mut shown = Shown::default();
        for name in &self.questions.names {
            shown.names.insert(name.clone(), Default::default());
        }
        let mut states = vec![shown.clone()];
        for op in &self.ops {
            op.effects.iter().for_each(|effect| shown.apply(effect));
            states.push(shown.held_back());
        }
        states
    }
}
