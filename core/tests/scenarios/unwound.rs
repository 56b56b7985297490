//! A write that ends in a panic of whoever keeps the files.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::io::{DirectoryLock, File, Mapping, Storage};
use oncelog::sim::World;
use oncelog::{Durability, Engine, ErrorKind, TopicOptions};

use crate::{append, one, open, values};

/// Its next write panics, once.
struct Panics<T: ?Sized> {
    next: Arc<AtomicBool>,
    inner: Arc<T>,
}

impl Panics<dyn Storage> {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(Panics { next: self.next.clone(), inner })
    }
}

impl Storage for Panics<dyn Storage> {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        self.inner.create(name, size).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.inner.open(name).map(|file| self.file(file))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }
    fn lock(&self, writer: bool) -> oncelog::Result<Box<dyn DirectoryLock>> {
        self.inner.lock(writer)
    }
}

impl File for Panics<dyn File> {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        assert!(!self.next.swap(false, Ordering::SeqCst), "the file's keeper gives up");
        self.inner.write_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        self.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }
    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.inner.punch(position, length)
    }
    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.inner.blank(position, length)
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        self.inner.map()
    }
}

#[test]
fn nothing_is_acknowledged_behind_a_write_that_ended_in_a_panic() {
    for level in [Durability::Os, Durability::Disk] {
        let world = World::new(1);
        let (next, mut machine) = (Arc::new(AtomicBool::new(false)), world.machine());
        machine.storage = Arc::new(Panics { next: next.clone(), inner: machine.storage.clone() });
        let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(machine).unwrap();
        engine.create_topic("t", TopicOptions::new()).unwrap();
        append(&engine, &one(b"acknowledged"), level).unwrap();
        next.store(true, Ordering::SeqCst);
        catch_unwind(AssertUnwindSafe(|| append(&engine, &one(b"in the middle"), level))).unwrap_err();
        let behind = append(&engine, &one(b"behind"), level).unwrap_err();
        assert_eq!(behind.kind(), ErrorKind::Indeterminate, "{behind}");
        let later = append(&engine, &one(b"later"), level).unwrap_err();
        assert_eq!(later.kind(), ErrorKind::Poisoned, "{later}");
        world.kill();
        drop(engine);
        assert_eq!(values(&open(&world)), ["acknowledged"], "level {level:?}");
    }
}
