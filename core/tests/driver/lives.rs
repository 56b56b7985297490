//! Lives of the log: opened, driven, broken, ended, opened again, and the oracle asked each time.

use std::collections::BTreeMap;

use oncelog::sim::{Call, Fault, World};
use oncelog::{EngineOptions, ErrorKind, Visibility};

use super::look::observe;
use super::*;
use crate::model::oracle::{Observation, recovered, same};
use crate::model::{Fate, Op};

/// Small segments, so that a run rolls many times.
const SEGMENT: u64 = 64 << 10;
const MILLISECOND: u64 = 1_000_000;

pub fn options(level: Durability) -> EngineOptions {
    EngineOptions::default().threads(false).segment_bytes(SEGMENT).durability(level)
}

impl Driver {
    /// The keeper's work.
    pub fn drive(&mut self) -> Check {
        self.note("drive".into());
        let engine = self.engine();
        match engine.drive() {
            Ok(_) => self.check_raws(true),
            Err(error) => self.failed(None, &error, &[]),
        }
    }

    pub fn pass_time(&mut self) -> Check {
        let time = [MILLISECOND, 20 * MILLISECOND, 200 * MILLISECOND, 3_000 * MILLISECOND][self.rng.index(4)];
        self.note(format!("{} ms pass", time / MILLISECOND));
        self.world.advance(time);
        if self.rng.chance(1, 8) {
            let wall = self.rng.below(4_000_000_000_000) as i64;
            self.world.set_wall_ms(wall);
        }
        self.drive()
    }

    pub fn flush_all(&mut self) -> Check {
        self.note("flush".into());
        let engine = self.engine();
        match engine.flush() {
            Ok(()) => self.life().unsettled.clear(),
            Err(error) => self.failed(None, &error, &[])?,
        }
        Ok(())
    }

    /// Waits until a frame is on the device; all that lies before it is there too.
    pub fn wait_durable(&mut self) -> Check {
        let of_this_life = |op: &&Op| op.fate == Fate::Open && op.counts();
        let known: Vec<u64> = self.history.ops.iter().filter(of_this_life).filter_map(|op| op.lsn).collect();
        if known.is_empty() {
            return Ok(());
        }
        let lsn = known[self.rng.index(known.len())];
        self.note(format!("wait until {lsn} is durable"));
        let engine = self.engine();
        match engine.wait_durable(lsn) {
            Err(error) => self.failed(None, &error, &[]),
            Ok(()) => {
                let before = |op: &&mut Op| op.fate == Fate::Open && op.counts() && op.lsn.is_some_and(|l| l <= lsn);
                self.history.ops.iter_mut().filter(before).for_each(|op| op.acked = Some(Durability::Disk));
                Ok(())
            }
        }
    }

    /// Plans a fault for some later call of the machine.
    pub fn arm(&mut self) -> Check {
        let call = Call::ALL[self.rng.index(Call::ALL.len())];
        let fault = Fault::ALL[self.rng.index(Fault::ALL.len())];
        let (after, sticky) = (self.rng.below(12) as u32, self.rng.chance(1, 4));
        // Most faults end a life, so most lives get none.
        if self.rng.chance(1, 2) {
            return Ok(());
        }
        self.note(format!("arm {fault:?} at {call:?} after {after}, sticky: {sticky}"));
        self.armed = true;
        self.world.fail(call, after, fault, sticky);
        Ok(())
    }

    /// Somebody fills the disk, but for a little, or makes room again.
    pub fn fill_disk(&mut self) -> Check {
        if self.full || self.rng.chance(1, 2) {
            self.note("the disk has room again".into());
            self.full = false;
            self.world.set_capacity(None);
            return Ok(());
        }
        let used: usize = self.world.files().values().map(Vec::len).sum();
        let left = self.rng.below(100_000);
        self.note(format!("the disk has {left} bytes left"));
        (self.full, self.filled) = (true, true);
        self.world.set_capacity(Some(used as u64 + left));
        Ok(())
    }

    /// A power cut or a kill, and the next opening.
    pub fn die(&mut self) -> Check {
        let poisoned = self.history.poisoned.is_some();
        let mut loss = if self.rng.chance(2, 3) { Loss::Cut } else { Loss::Kill };
        self.note(format!("die by {loss:?}"));
        // A power cut may take the frame that says how much was durable; then rot looks like a torn tail.
        let rot = loss == Loss::Kill && !poisoned && !self.armed && self.rng.chance(1, 2);
        if rot {
            self.make_durable()?;
        }
        match loss {
            Loss::Cut => self.world.crash(),
            _ => self.world.kill(),
        }
        if loss == Loss::Kill && poisoned && self.rng.chance(1, 3) {
            // The page cache forgets what never reached the device: as much is lost as by a power cut.
            self.world.evict();
            loss = Loss::Cut;
        }
        self.life = None;
        self.pending.clear();
        self.crashes += 1;
        if rot {
            self.rot(false)?;
        }
        self.reopen(loss, rot)
    }

    /// All that was acknowledged is flushed, and a later frame says so.
    fn make_durable(&mut self) -> Check {
        self.flush_all()?;
        for _ in 0..3 {
            self.world.advance(200 * MILLISECOND);
            self.drive()?;
        }
        Ok(())
    }

    pub fn close_and_reopen(&mut self) -> Check {
        self.note("close".into());
        for open in std::mem::take(&mut self.life().open) {
            self.note_abort(&open);
        }
        self.close_raws();
        let engine = self.engine();
        let poisoned = self.history.poisoned.is_some();
        let closed = engine.close();
        drop(engine);
        if let Err(error) = &closed {
            self.failed(None, error, &[])?;
        }
        self.wait_all()?;
        self.life = None;
        let loss = match closed {
            Ok(()) if !poisoned => Loss::Close,
            _ => Loss::Kill,
        };
        if loss == Loss::Kill {
            self.world.kill();
        } else if !self.armed && self.rng.chance(1, 2) {
            self.derived_files_decide_nothing()?;
            self.rot(true)?;
        }
        let quiet = loss == Loss::Close && !self.armed && !self.filled;
        self.reopen(loss, quiet)
    }

    /// Opens the log, with faults on the way and without hints if chance wills, until it opens; then asks the oracle.
    /// `quiet`: all of it is durable, and known to be.
    pub fn reopen(&mut self, mut loss: Loss, quiet: bool) -> Check {
        for attempt in 0.. {
            self.world.heal();
            self.lose_hints(quiet && attempt == 0);
            // Some lives begin on the full disk that another one left.
            self.full &= attempt == 0 && self.rng.chance(1, 2);
            if !self.full {
                self.world.set_capacity(None);
            }
            self.filled = self.full;
            self.armed = attempt < 4 && self.lives > 0 && self.rng.chance(1, 3);
            if self.armed {
                for _ in 0..1 + self.rng.below(2) {
                    let call = Call::ALL[self.rng.index(Call::ALL.len())];
                    let fault = Fault::ALL[self.rng.index(Fault::ALL.len())];
                    let after = self.rng.below(if call == Call::Read { 60 } else { 6 }) as u32;
                    self.note(format!("arm {fault:?} at {call:?} after {after} for the opening"));
                    self.world.fail(call, after, fault, false);
                }
            }
            self.note(format!("open after {loss:?}"));
            let opened = self.open_once(loss);
            self.find_again(false);
            match opened {
                Ok(Ok(())) => {
                    self.lost.clear();
                    return Ok(());
                }
                Ok(Err(error)) => self.note(format!("  answered {error}")),
                Err(fault) => return Err(fault),
            }
            // A failed opening is a life of its own, and it may end badly too.
            if self.rng.chance(1, 2) {
                self.find_again(true);
                self.world.crash();
                loss = Loss::Cut;
            } else {
                self.world.kill();
                loss = loss.max(Loss::Kill);
            }
        }
        Ok(())
    }

    /// One opening: the outer error is a violation, the inner one a planned fault.
    fn open_once(&mut self, loss: Loss) -> Result<Result<(), oncelog::Error>, String> {
        let visibility = if self.durable_only { Visibility::Durable } else { Visibility::Level };
        let (opened, keeps) = (self.now(), self.keeps && self.rng.chance(2, 3));
        let options = options(self.level).visibility(visibility).keep_raw_transactions(keeps);
        let engine = match options.open_on(self.world.machine()) {
            Ok(engine) => engine,
            Err(error) if self.armed && error.kind() != ErrorKind::Corrupt => return Ok(Err(error)),
            Err(error) if self.full && error.kind() == ErrorKind::Full => return Ok(Err(error)),
            Err(error) => return Err(format!("I1: the log does not open after {loss:?}: {error}")),
        };
        self.world.heal();
        self.lives += 1;
        self.incarnation.1 = false;
        if self.full && engine.describe_transactions().is_ok_and(|open| !open.is_empty()) {
            // What was left open cannot be aborted without room: it stays open, and goes when there is some.
            self.note("there is room for the aborts".into());
            self.world.set_capacity(None);
            // Not so long that what is kept is past its time.
            self.world.advance(1_500 * MILLISECOND);
            match engine.drive() {
                Ok(()) => {}
                Err(error) if self.armed => return Ok(Err(error)),
                Err(error) => return Err(format!("I6: what was left open is not aborted when there is room: {error}")),
            }
        }
        let mut seen = observe(&engine, &self.history)?;
        // It opened on a full disk; to ask for positions every name is opened, and that needs room.
        self.world.set_capacity(None);
        self.full = false;
        seen.positions = match self.observe_positions(&engine) {
            Ok(positions) => positions,
            // The fault struck in the opening, and the engine found out only now.
            Err(_) if self.armed => return Ok(Err(oncelog::Error::new(ErrorKind::Poisoned, "a late fault"))),
            Err(fault) => return Err(fault),
        };
        let held = match self.observe_holders(&engine) {
            Ok(held) => held,
            Err(_) if self.armed => return Ok(Err(oncelog::Error::new(ErrorKind::Poisoned, "a late fault"))),
            Err(fault) => return Err(fault),
        };
        seen.holders = held.0.clone();
        self.observe_pending(&engine, &mut seen)?;
        recovered(&mut self.history, loss, &seen).map_err(|faults| faults.join("\n"))?;
        self.settle_holders(held, opened)?;
        self.check_places(&engine)?;
        let found = engine.verify().map_err(|e| format!("I1: what is there cannot be verified: {e}"))?;
        // Checkpoints that were lost for good are damage too.
        if !self.forgets && !found.damage.is_empty() {
            return Err(format!("I1: what no rot hit is damaged: {found:?}"));
        }
        self.life = Some(Life {
            engine,
            keeps,
            plain: None,
            named: Vec::new(),
            transactional: Vec::new(),
            open: Vec::new(),
            readers: Vec::new(),
            unsettled: Vec::new(),
        });
        self.check_raws(false)?;
        self.retry_all()?;
        Ok(Ok(()))
    }

    /// I11 and I12, on copies of the directory after a clean close.
    fn derived_files_decide_nothing(&mut self) -> Check {
        let files = self.world.files();
        let copy = self.copy(files.clone());
        let reading = options(self.level).read_only(true).open_on(copy.machine_for_reading());
        let reading = reading.map_err(|e| format!("I12: a closed log does not open for reading: {e}"))?;
        if self.filled && reading.describe_transactions().is_ok_and(|open| !open.is_empty()) {
            // A close on a full disk leaves what it has no room to abort to the next opening.
            return Ok(());
        }
        let intact = observe(&reading, &self.history)?;
        reading.close().map_err(|e| format!("I12: a log open for reading does not close: {e}"))?;
        same("I12: a file after an opening for reading", &files, &copy.files())?;
        let bare = self.copy(without_derived(files));
        let engine = options(self.level).open_on(bare.machine());
        let engine = engine.map_err(|e| format!("I11: without derived files the log does not open: {e}"))?;
        let seen = observe(&engine, &self.history)?;
        same("I11: a topic without derived files", &intact.topics, &seen.topics)?;
        let (before, after) = (format!("{:?}", intact.offsets), format!("{:?}", seen.offsets));
        if before != after {
            return Err(format!("I11: offsets without derived files: {after}, with: {before}"));
        }
        if (&intact.statuses, &intact.unstable) != (&seen.statuses, &seen.unstable) {
            return Err("I11: without derived files transactions stand otherwise".into());
        }
        Ok(())
    }

    /// The last operations of a run: all tickets, a clean close, everything read once more.
    pub fn finish(&mut self) -> Check {
        self.wait_all()?;
        self.close_and_reopen()?;
        self.note("end".into());
        self.life = None;
        Ok(())
    }
}

/// The directory without `head` and footers, which anybody may lose.
pub fn without_derived(files: BTreeMap<String, Vec<u8>>) -> BTreeMap<String, Vec<u8>> {
    const FOOTER: &[u8] = b"onceftr\x02";
    let mut bare = files;
    bare.remove("head");
    for image in bare.values_mut() {
        if let Some(at) = image.windows(FOOTER.len()).position(|w| w == FOOTER) {
            image.truncate(at);
        }
    }
    bare
}

/// What an intact copy of a directory shows.
pub fn intact(copy: &World, level: Durability, history: &History) -> Result<Observation, String> {
    let engine = options(level).open_on(copy.machine());
    observe(&engine.map_err(|e| format!("a copy of the directory does not open: {e}"))?, history)
}
