//! A storage that somebody watches.

use std::io;
use std::sync::Arc;

use oncelog::io::{DirectoryLock, File, Machine, Mapping, Storage};

/// Hears of what is done with files.
pub trait Watch: Send + Sync + 'static {
    /// One more is open.
    fn opened(&self) {}
    /// One fewer is.
    fn closed(&self) {}
    /// One is about to be written.
    fn writes(&self) {}
}

/// A machine whose storage tells it.
pub fn watched(machine: Machine, watch: Arc<impl Watch>) -> Machine {
    Machine { storage: Arc::new(Watched { watch, inner: machine.storage.clone() }), ..machine }
}

struct Watched {
    watch: Arc<dyn Watch>,
    inner: Arc<dyn Storage>,
}

struct WatchedFile {
    watch: Arc<dyn Watch>,
    inner: Arc<dyn File>,
}

impl Watched {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        self.watch.opened();
        Arc::new(WatchedFile { watch: self.watch.clone(), inner })
    }
}

impl Drop for WatchedFile {
    fn drop(&mut self) {
        self.watch.closed();
    }
}

impl Storage for Watched {
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

impl File for WatchedFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.inner.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.watch.writes();
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
