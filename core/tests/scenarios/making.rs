//! The making of a log that ends early, and the log that is opened in its place.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use oncelog::io::{DirectoryLock, File, Mapping, Storage};
use oncelog::sim::{Call, Fault, World};
use oncelog::{Durability, Engine, TopicOptions};

use crate::{append, one, open, try_open};

/// A process that dies before one of its calls that change something: from then on it does nothing.
#[derive(Clone)]
struct Dying<T: ?Sized> {
    inner: Arc<T>,
    left: Arc<AtomicU32>,
}

impl<T: ?Sized> Dying<T> {
    fn lives(&self) -> io::Result<()> {
        let lives = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        lives.map(drop).map_err(|_| io::Error::other("the process is dead"))
    }
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Dying { inner, left: self.left.clone() })
    }
}

impl Storage for Dying<dyn Storage> {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        self.lives()?;
        self.inner.create(name, size).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name).map(|file| self.file(file))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.lives()?;
        self.inner.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.lives()?;
        self.inner.sync_directory()
    }
    fn lock(&self, writer: bool) -> oncelog::Result<Box<dyn DirectoryLock>> {
        self.inner.lock(writer)
    }
}

impl File for Dying<dyn File> {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.lives()?;
        self.inner.write_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        self.lives()?;
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.lives()?;
        self.inner.punch(position, length)
    }
    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.lives()?;
        self.inner.blank(position, length)
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        self.inner.map()
    }
}

/// Opens the log, has something acknowledged as durable, and takes the power away.
fn outlives_a_power_cut(world: &World, what: &str) {
    let engine = try_open(world).unwrap_or_else(|error| panic!("{what}: {error}"));
    engine.create_topic("t", TopicOptions::new()).unwrap();
    append(&engine, &one(b"kept"), Durability::Disk).unwrap();
    drop(engine);
    world.crash();
    let again = try_open(world).unwrap_or_else(|error| panic!("{what}, then a power cut: {error}"));
    assert_eq!(again.partition("t", 0).unwrap().bounds().end, 1, "{what}");
}

/// Opens the log by a process that dies before its call of this number.
fn die(world: &World, before: u32) {
    let mut machine = world.machine();
    machine.storage = Arc::new(Dying { inner: machine.storage.clone(), left: Arc::new(before.into()) });
    drop(Engine::options().threads(false).segment_bytes(64 << 10).open_on(machine));
}

#[test]
fn a_log_whose_maker_was_killed_at_any_call_keeps_what_is_acknowledged_in_the_next_life() {
    for seed in 0..60 {
        for dies in 0..16 {
            let world = World::new(seed);
            die(&world, dies);
            world.kill();
            outlives_a_power_cut(&world, &format!("seed {seed}, killed before call {dies}"));
        }
    }
}

#[test]
fn a_log_whose_second_maker_a_power_cut_ended_at_any_call_is_made_by_the_third() {
    for seed in 0..40 {
        for (first, second) in (0..16).flat_map(|first| (0..12).map(move |second| (first, second))) {
            let world = World::new(seed);
            die(&world, first);
            world.kill();
            die(&world, second);
            world.crash();
            outlives_a_power_cut(&world, &format!("seed {seed}, ended before calls {first} and {second}"));
        }
    }
}

#[test]
fn a_log_whose_third_maker_a_power_cut_ended_at_any_call_is_made_by_the_fourth() {
    // The second one has removed the identity, and nobody flushed that.
    for seed in 0..12 {
        for (second, third) in (0..8).flat_map(|second| (0..12).map(move |third| (second, third))) {
            for first in 0..20 {
                let world = World::new(seed);
                for dies in [first, second] {
                    die(&world, dies);
                    world.kill();
                }
                die(&world, third);
                world.crash();
                let what = format!("seed {seed}, ended before calls {first}, {second} and {third}");
                outlives_a_power_cut(&world, &what);
            }
        }
    }
}

#[test]
fn a_log_whose_making_the_disk_failed_keeps_what_is_acknowledged_in_the_next_life() {
    for seed in 0..60 {
        for (call, nth) in [Call::Sync, Call::SyncDirectory, Call::Write, Call::Create]
            .into_iter()
            .flat_map(|c| (0..6).map(move |n| (c, n)))
        {
            let world = World::new(seed);
            world.fail(call, nth, [Fault::Eio, Fault::Enospc][(seed % 2) as usize], false);
            drop(try_open(&world));
            world.heal();
            if seed % 3 > 0 {
                world.kill();
            }
            outlives_a_power_cut(&world, &format!("seed {seed}, {call:?} {nth} failed"));
        }
    }
}

#[test]
fn an_empty_log_that_lost_its_head_is_still_an_empty_log() {
    let world = World::new(1);
    drop(open(&world));
    let mut files = world.files();
    files.remove("head");
    let engine = open(&World::with_files(2, files));
    assert!(engine.topics().unwrap().is_empty());
}
