//! All that a world is made of, behind one mutex.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::Hasher;
use std::io;
use std::sync::Arc;

use rustc_hash::FxHasher;

use super::chance::Odds;
use super::disk::{Disk, Op, PAGE};
use super::fault::{Call, Fault, Plan};
use super::rng::Rng;

/// Milliseconds since 1970 when a world begins: 2020-01-01.
const WALL_START_MS: i64 = 1_577_836_800_000;

/// What `record` has seen.
#[derive(Clone)]
pub(super) struct Recording {
    pub base: Disk,
    pub ops: Vec<Op>,
}

/// Who holds the directory.
#[derive(Default)]
pub(super) struct Holders {
    pub writer: bool,
    pub readers: u32,
}

pub(super) struct State {
    pub disk: Disk,
    /// Handles of an earlier life are dead.
    pub life: u64,
    /// The world's own chance. What runs in the world draws from `inner`, so that neither disturbs the other.
    pub rng: Rng,
    pub inner: Rng,
    pub odds: Odds,
    pub plan: Plan,
    pub hits: BTreeMap<&'static str, u64>,
    /// Bytes that the disk has room for.
    pub capacity: Option<u64>,
    pub mappings: bool,
    pub holders: Holders,
    /// By file: its open handles.
    pub open: BTreeMap<u64, u32>,
    pub recording: Option<Recording>,
    /// The monotonic clock, nanoseconds.
    pub now: u64,
    /// What the wall clock shows when the monotonic one shows 0.
    pub wall_start_ms: i64,
    /// A hash over all calls that changed the disk.
    pub digest: u64,
}

impl State {
    pub fn new(seed: u64, disk: Disk) -> Self {
        let mut rng = Rng::new(seed);
        Self {
            disk,
            life: 0,
            inner: Rng::new(rng.next_u64()),
            odds: Odds::draw(&mut rng),
            rng,
            plan: Plan::default(),
            hits: BTreeMap::new(),
            capacity: None,
            mappings: true,
            holders: Holders::default(),
            open: BTreeMap::new(),
            recording: None,
            now: 0,
            wall_start_ms: WALL_START_MS,
            digest: 0,
        }
    }

    pub fn hit(&mut self, what: &'static str) {
        *self.hits.entry(what).or_default() += 1;
    }

    /// Every call begins here: refused from an earlier life, else counted, and told how it is to fail.
    pub fn begin(&mut self, life: u64, call: Call) -> io::Result<Option<Fault>> {
        if self.life != life {
            self.hit("call of a dead machine");
            return Err(io::Error::other("this handle belongs to a machine that has crashed; open the log again"));
        }
        self.hit(call.counter());
        let due = self.plan.due(call);
        if let Some(fault) = due {
            self.hit(call.failure(fault));
        }
        Ok(due)
    }

    /// The same for calls that do nothing at all when they fail.
    pub fn begin_whole(&mut self, life: u64, call: Call) -> io::Result<()> {
        match self.begin(life, call)? {
            Some(fault) => Err(fault.error()),
            None => Ok(()),
        }
    }

    pub fn perform(&mut self, op: Op) {
        self.digest = digest(self.digest, &op);
        self.disk.perform(&op);
        if let Some(recording) = &mut self.recording {
            recording.ops.push(op);
        }
    }

    /// Bytes left on the disk.
    pub fn room(&self) -> u64 {
        let Some(capacity) = self.capacity else { return u64::MAX };
        let named: BTreeSet<u64> = self.disk.live.values().copied().collect();
        let used = |(id, _): &(&u64, _)| named.contains(id) || self.open.contains_key(id);
        let taken: u64 = self.disk.files.iter().filter(used).map(|(_, inode)| inode.space()).sum();
        capacity.saturating_sub(taken)
    }

    /// How many of `length` bytes at `position` the disk has room for.
    pub fn fitting(&self, file: u64, position: u64, length: u64) -> u64 {
        let Some(inode) = self.disk.files.get(&file) else { return 0 };
        if self.capacity.is_none() {
            return length;
        }
        let end = position.saturating_add(length);
        let refilled = inode.holes.range(position / PAGE..end.div_ceil(PAGE)).count() as u64 * PAGE;
        let room = self.room();
        match room.checked_sub(refilled) {
            Some(room) => length.min((inode.live.len() as u64).saturating_add(room).saturating_sub(position)),
            None => 0,
        }
    }

    /// A write that may stop after `written` bytes.
    pub fn write(&mut self, file: u64, position: u64, bytes: &[u8], written: usize) {
        let written = written.min(bytes.len());
        if written > 0 {
            self.perform(Op::Write { file, position, bytes: bytes[..written].into() });
        }
    }

    pub fn sync(&mut self, file: u64, fault: Option<Fault>) -> io::Result<()> {
        let Some(inode) = self.disk.files.get(&file) else { return Ok(()) };
        let Some(fault) = fault else {
            if !inode.lost.is_empty() {
                self.hit("sync that leaves lost pages behind");
            }
            self.perform(Op::Sync { file, failed: None });
            return Ok(());
        };
        let dirty = inode.dirty_pages();
        let reached: BTreeSet<u64> = dirty.iter().copied().filter(|_| self.odds.page(&mut self.rng)).collect();
        *self.hits.entry("page that lies after a failed sync").or_default() += (dirty.len() - reached.len()) as u64;
        self.perform(Op::Sync { file, failed: Some(reached) });
        Err(fault.error())
    }

    pub fn sync_directory(&mut self, fault: Option<Fault>) -> io::Result<()> {
        let Some(fault) = fault else {
            self.perform(Op::SyncDirectory { failed: None });
            self.disk.collect(|id| self.open.contains_key(&id));
            return Ok(());
        };
        let reached =
            self.disk.names.iter().map(|change| change.id).filter(|_| self.odds.page(&mut self.rng)).collect();
        self.perform(Op::SyncDirectory { failed: Some(reached) });
        Err(fault.error())
    }

    /// Ends the life of all handles.
    pub fn end_life(&mut self) {
        self.life += 1;
        self.holders = Holders::default();
        self.open.clear();
        self.disk.collect(|_| false);
    }

    /// The live image of a file.
    pub fn image(&self, file: u64) -> Arc<Vec<u8>> {
        self.disk.files.get(&file).map(|inode| inode.live.clone()).unwrap_or_default()
    }
}

fn digest(so_far: u64, op: &Op) -> u64 {
    let mut hasher = FxHasher::default();
    let mut words = |words: [u64; 5]| words.iter().for_each(|&word| hasher.write_u64(word));
    let failed = |failed: &Option<BTreeSet<u64>>| failed.as_ref().map_or(0, |pages| 1 + pages.len() as u64);
    let text = |name: &str| u64::from(crc32c::crc32c(name.as_bytes()));
    match op {
        Op::Create { name, size } => words([so_far, 1, text(name), *size, 0]),
        Op::Write { file, position, bytes } => words([so_far, 2, *file, *position, crc32c::crc32c(bytes).into()]),
        Op::Sync { file, failed: pages } => words([so_far, 3, *file, failed(pages), 0]),
        Op::Remove { name } => words([so_far, 4, text(name), 0, 0]),
        Op::SyncDirectory { failed: names } => words([so_far, 5, failed(names), 0, 0]),
        Op::Punch { file, position, length } => words([so_far, 6, *file, *position, *length]),
        Op::Blank { file, position, length } => words([so_far, 7, *file, *position, *length]),
    }
    hasher.finish()
}
