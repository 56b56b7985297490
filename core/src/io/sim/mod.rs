//! The simulator: a machine whose disk tears and lies, whose clock stands still and whose chance repeats.
//!
//! A `World` hands out `Machine`s. `World::crash` is a power cut, `World::kill` the death of the process; after
//! either, all handles made before are dead. The same seed and the same calls give the same world, so a failed run
//! needs nothing but its seed to be repeated. One thread is meant to use a world at a time.
//!
//! What the disk does, and no more: see `cut` for a power cut. After a failed sync the page cache lies: pages that did
//! not reach the device count as clean, are read as if written, and are lost at the next power cut unless written
//! again. Names of files live their own life: made or removed, they are durable after `sync_directory` only; a failed
//! one may have kept any of them and leaves the others to the next.

mod chance;
mod cut;
mod disk;
mod fault;
mod log;
mod rng;
mod state;
mod storage;
mod time;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use super::bugs::{Bug, Planted, plant};
pub use cut::{Fate, Sector};
pub use disk::{PAGE, SECTOR};
pub use fault::{Call, Fault};
pub use log::{Choice, Log, Unsynced, UnsyncedKind, UnsyncedName};
pub use rng::Rng;

use super::Machine;
use super::sync::Mutex;
use super::sync::atomic::{AtomicBool, Ordering};
use chance::Lottery;
use disk::Disk;
use state::{Recording, State};
use storage::SimStorage;
use time::{SimClock, SimPark, SimRandom};

/// Does some work that waits, and says whether there was any.
type IdleHook = Arc<dyn Fn() -> bool + Send + Sync>;

struct Shared {
    seed: u64,
    state: Mutex<State>,
    hooks: Mutex<Vec<IdleHook>>,
    turns: AtomicBool,
}

impl Shared {
    /// Runs the idle hooks; true if one of them found work. No lock is held meanwhile, and a hook that waits itself
    /// finds none to run.
    fn idle(&self) -> bool {
        let hooks = std::mem::take(&mut *self.hooks.lock());
        let mut worked = false;
        for hook in &hooks {
            worked |= hook();
        }
        let added = std::mem::replace(&mut *self.hooks.lock(), hooks);
        self.hooks.lock().extend(added);
        worked
    }
}

/// A simulated computer. A clone is the same computer.
#[derive(Clone)]
pub struct World {
    shared: Arc<Shared>,
}

impl World {
    /// A computer with an empty directory.
    pub fn new(seed: u64) -> World {
        Self::from_disk(seed, Disk::default())
    }

    /// A computer whose directory holds `files`, all durable. With the seed of the world they come from, its machine
    /// draws the same salts again; take another unless that is wanted.
    pub fn with_files(seed: u64, files: BTreeMap<String, Vec<u8>>) -> World {
        Self::from_disk(seed, Disk::with_files(files.into_iter().map(|(name, image)| (name, image.into())).collect()))
    }

    fn from_disk(seed: u64, disk: Disk) -> World {
        let state = Mutex::new(State::new(seed, disk));
        World { shared: Arc::new(Shared { seed, state, hooks: Mutex::default(), turns: AtomicBool::new(false) }) }
    }

    /// From now on those who append take turns, as they do where that was measured to be faster.
    pub fn take_turns(&self) {
        self.shared.turns.store(true, Ordering::Relaxed);
    }

    /// The seed, for messages.
    pub fn seed(&self) -> u64 {
        self.shared.seed
    }

    /// The machine, alive until the next `crash` or `kill`.
    pub fn machine(&self) -> Machine {
        self.machine_of(false)
    }

    /// The same, with the directory open for reading only.
    pub fn machine_for_reading(&self) -> Machine {
        self.machine_of(true)
    }

    fn machine_of(&self, read_only: bool) -> Machine {
        let life = self.shared.state.lock().life;
        Machine {
            storage: Arc::new(SimStorage { shared: self.shared.clone(), life, read_only }),
            clock: Arc::new(SimClock(self.shared.clone())),
            park: Arc::new(SimPark(self.shared.clone())),
            random: Arc::new(SimRandom(self.shared.clone())),
        }
    }

    /// A power cut. Of what was not synced any part is on the disk afterwards, torn or whole; locks are free, planned
    /// faults stay planned, a recording ends.
    pub fn crash(&self) {
        self.end_life(|state| {
            state.hit("crash");
            if state.disk.files.values().any(|inode| !inode.lost.is_empty()) {
                state.hit("crash with pages that lied");
            }
            let State { disk, rng, odds, hits, .. } = state;
            let mut lottery = Lottery::new(disk, rng, odds, hits);
            let left = cut::power_cut(disk, &mut lottery);
            if left.durable.values().any(|file| left.files[file].durable.is_empty()) {
                state.hit("crash that leaves an empty file");
            }
            state.disk = left;
            state.recording = None;
        });
    }

    /// The process dies: all that was written stays in the page cache, unsynced; locks are free.
    pub fn kill(&self) {
        self.end_life(|state| state.hit("kill"));
    }

    fn end_life(&self, what: impl FnOnce(&mut State)) {
        let mut state = self.shared.state.lock();
        what(&mut state);
        state.end_life();
        drop(state);
        // After the lock: a hook may own handles, which look at the state when they go.
        let hooks = std::mem::take(&mut *self.shared.hooks.lock());
        drop(hooks);
    }

    /// The `after` next calls of this kind pass this fault by; the one after them fails so, and if `sticky` all that
    /// follow, until `heal`.
    pub fn fail(&self, call: Call, after: u32, error: Fault, sticky: bool) {
        self.shared.state.lock().plan.add(call, after, error, sticky);
    }

    /// Forgets all faults that are planned. What they did stays.
    pub fn heal(&self) {
        self.shared.state.lock().plan.clear();
    }

    /// Bytes that the disk can hold; None: no end. A write that needs more stops where the room ends.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.shared.state.lock().capacity = bytes;
    }

    /// Whether files can be mapped; true at first.
    pub fn set_mappings(&self, on: bool) {
        self.shared.state.lock().mappings = on;
    }

    /// Lets the clocks run on by some nanoseconds.
    pub fn advance(&self, nanoseconds: u64) {
        let mut state = self.shared.state.lock();
        state.now = state.now.saturating_add(nanoseconds);
    }

    /// Sets the wall clock, milliseconds since 1970, as an operator or a time server may at any moment.
    pub fn set_wall_ms(&self, wall_ms: i64) {
        let mut state = self.shared.state.lock();
        state.wall_start_ms = wall_ms.saturating_sub((state.now / 1_000_000).cast_signed());
    }

    /// Before a wait lets the clock run, or finds a deadlock, `hook` may do work that other threads would do; it says
    /// whether there was any. Forgotten at the next `crash` or `kill`.
    pub fn on_idle(&self, hook: Box<dyn Fn() -> bool + Send + Sync>) {
        self.shared.hooks.lock().push(hook.into());
    }

    /// How often everything happened so far, by name: calls, faults, fates of writes and names.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        self.shared.state.lock().hits.clone()
    }

    /// A hash over all calls that changed the disk: equal for runs that did the same.
    pub fn digest(&self) -> u64 {
        self.shared.state.lock().digest
    }

    /// Starts to record, from the disk as it is now, unsynced changes included.
    pub fn record(&self) {
        let mut state = self.shared.state.lock();
        state.recording = Some(Recording { base: state.disk.clone(), ops: Vec::new() });
    }

    /// What was recorded so far.
    ///
    /// # Panics
    /// If `record` was not called, or a crash has ended the recording.
    pub fn log(&self) -> Log {
        let recording = self.shared.state.lock().recording.clone();
        Log::new(self.shared.seed, recording.expect("call record first, and log before the next crash"))
    }

    /// The directory as a reader sees it now.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let state = self.shared.state.lock();
        state.disk.live.iter().map(|(name, file)| (name.clone(), state.image(*file).to_vec())).collect()
    }

    /// Overwrites bytes of a file behind everybody's back, in the page cache and on the device alike; what lies past
    /// the end is left out. Mappings that are open keep showing the old bytes.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn damage(&self, name: &str, position: u64, bytes: &[u8]) {
        let mut state = self.shared.state.lock();
        let file = state.disk.find(name).expect("damage is done to a file that exists");
        state.disk.damage(file, position, bytes);
        state.hit("damage");
    }

    /// Memory runs short: the page cache forgets its clean pages. Those that lied after a failed sync now show what
    /// the device has.
    pub fn evict(&self) {
        let mut state = self.shared.state.lock();
        let forgotten: usize = state.disk.files.values_mut().map(disk::Inode::evict).sum();
        *state.hits.entry("lying page forgotten").or_default() += forgotten as u64;
    }
}
