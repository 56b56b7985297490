//! Enumerating crash states: the storage calls of a run, recorded, and every disk that a power cut after any of them
//! could have left.

use std::collections::BTreeMap;

use super::World;
use super::chance::garbage;
use super::cut::{Fate, Judge, power_cut};
use super::disk::{Change, Disk, Op, What};
use super::rng::Rng;
use super::state::Recording;
use crate::io::sync::Mutex;

/// The recorded calls that changed the disk: create, write, sync, remove, sync_directory, punch, blank. Failed ones are
/// in it as far as they did something.
pub struct Log {
    seed: u64,
    recording: Recording,
    /// The last prefix asked for, so that going up the prefixes replays each call once.
    cursor: Mutex<(usize, Disk)>,
}

/// What kind of change waits for a sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnsyncedKind {
    /// Bytes were written.
    Data,
    /// A range was given back.
    Punch,
    /// A file was made with a size. Kept or dropped, never torn.
    Size,
}

/// A change of a file that waits for a sync.
#[derive(Clone, Debug)]
pub struct Unsynced {
    /// The name of this change in a `Choice`.
    pub id: u64,
    /// The file's name.
    pub file: String,
    /// Where it begins, bytes.
    pub position: u64,
    /// How long it is, bytes.
    pub length: u64,
    /// What it is.
    pub kind: UnsyncedKind,
    /// How many sectors it touches: the length of a full `Fate::Torn`.
    pub sectors: usize,
}

/// A name, made or removed, that waits for a sync of the directory.
#[derive(Clone, Debug)]
pub struct UnsyncedName {
    /// The name of this change in a `Choice`.
    pub id: u64,
    /// The file's name.
    pub name: String,
    /// True if it was removed, false if it was made.
    pub removed: bool,
}

/// What a power cut did to everything unsynced.
#[derive(Clone, Debug)]
pub struct Choice {
    writes_kept: bool,
    names_kept: bool,
    writes: BTreeMap<u64, Fate>,
    names: BTreeMap<u64, bool>,
    garbage: u64,
}

impl Choice {
    /// All that was written got through, but for what is said otherwise.
    pub fn all() -> Self {
        Self { writes_kept: true, names_kept: true, writes: BTreeMap::new(), names: BTreeMap::new(), garbage: 0 }
    }

    /// Nothing got through that was not synced, but for what is said otherwise.
    pub fn none() -> Self {
        Self { writes_kept: false, names_kept: false, ..Self::all() }
    }

    /// The fate of one write.
    pub fn write(mut self, id: u64, fate: Fate) -> Self {
        self.writes.insert(id, fate);
        self
    }

    /// Whether one change of a name got through.
    pub fn name(mut self, id: u64, kept: bool) -> Self {
        self.names.insert(id, kept);
        self
    }

    /// Whether all other changes of names got through.
    pub fn names(mut self, kept: bool) -> Self {
        self.names_kept = kept;
        self
    }

    /// Other garbage for the same fates.
    pub fn garbage(mut self, seed: u64) -> Self {
        self.garbage = seed;
        self
    }
}

impl Log {
    pub(super) fn new(seed: u64, recording: Recording) -> Self {
        let cursor = Mutex::new((0, recording.base.clone()));
        Self { seed, recording, cursor }
    }

    /// How many calls were recorded. Prefixes run from 0 to this, both included.
    pub fn calls(&self) -> usize {
        self.recording.ops.len()
    }

    /// Call number `index`, from 0, in words for a failure's message.
    pub fn describe(&self, index: usize) -> String {
        let Some(op) = self.recording.ops.get(index) else { return "no such call".to_owned() };
        let name = |file: &u64| self.at(index + 1, |disk| disk.name_of(*file));
        match op {
            Op::Create { name, size } => format!("create {name}, {size} bytes"),
            Op::Write { file, position, bytes } => format!("write {} at {position}, {} bytes", name(file), bytes.len()),
            Op::Sync { file, failed: None } => format!("sync {}", name(file)),
            Op::Sync { file, failed: Some(reached) } => {
                format!("failed sync {}, pages that got through: {reached:?}", name(file))
            }
            Op::Remove { name } => format!("remove {name}"),
            Op::SyncDirectory { failed: None } => "sync_directory".to_owned(),
            Op::SyncDirectory { failed: Some(_) } => "failed sync_directory".to_owned(),
            Op::Punch { file, position, length } => format!("punch {} at {position}, {length} bytes", name(file)),
            Op::Blank { file, position, length } => format!("blank {} at {position}, {length} bytes", name(file)),
        }
    }

    /// The changes of files that wait for a sync after the first `prefix` calls, file by file, each in order.
    pub fn unsynced(&self, prefix: usize) -> Vec<Unsynced> {
        self.at(prefix, |disk| {
            let mut found = Vec::new();
            for (file, inode) in &disk.files {
                for change in &inode.changes {
                    found.push(Unsynced {
                        id: change.id,
                        file: disk.name_of(*file),
                        position: change.position,
                        length: change.length,
                        kind: match change.what {
                            What::Data(_) => UnsyncedKind::Data,
                            What::Punch => UnsyncedKind::Punch,
                            What::Grow => UnsyncedKind::Size,
                        },
                        sectors: change.sectors().count(),
                    });
                }
            }
            found
        })
    }

    /// The names that wait for a sync of the directory after the first `prefix` calls, in order.
    pub fn unsynced_names(&self, prefix: usize) -> Vec<UnsyncedName> {
        self.at(prefix, |disk| {
            let name = |change: &super::disk::NameChange| UnsyncedName {
                id: change.id,
                name: change.name.clone(),
                removed: change.file.is_none(),
            };
            disk.names.iter().map(name).collect()
        })
    }

    /// A new world whose disk is what a power cut after the first `prefix` calls left, if it did what `choice` says.
    /// Its randomness is another than the recorded world's, so that no salt is drawn twice.
    pub fn image(&self, prefix: usize, choice: &Choice) -> World {
        let seed = self.seed ^ (prefix as u64 + 1).wrapping_mul(0xd6e8_feb8_6659_fd93) ^ choice.garbage.rotate_left(32);
        let mut judge = Chosen { choice, rng: Rng::new(seed) };
        World::from_disk(seed, self.at(prefix, |disk| power_cut(disk, &mut judge)))
    }

    fn at<T>(&self, prefix: usize, ask: impl FnOnce(&Disk) -> T) -> T {
        let prefix = prefix.min(self.calls());
        let mut cursor = self.cursor.lock();
        if cursor.0 > prefix {
            *cursor = (0, self.recording.base.clone());
        }
        while cursor.0 < prefix {
            let next = cursor.0;
            cursor.1.perform(&self.recording.ops[next]);
            cursor.0 += 1;
        }
        ask(&cursor.1)
    }
}

struct Chosen<'a> {
    choice: &'a Choice,
    rng: Rng,
}

impl Judge for Chosen<'_> {
    fn write(&mut self, change: &Change) -> Fate {
        let rest = || if self.choice.writes_kept { Fate::Kept } else { Fate::Dropped };
        self.choice.writes.get(&change.id).cloned().unwrap_or_else(rest)
    }

    fn name(&mut self, id: u64, _removed: bool) -> bool {
        self.choice.names.get(&id).copied().unwrap_or(self.choice.names_kept)
    }

    fn garbage(&mut self, durable: &[u8], bytes: &mut [u8]) {
        garbage(&mut self.rng, durable, bytes);
    }
}
