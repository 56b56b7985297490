//! How many files an opening has open at once.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncelog::io::{DirectoryLock, File, Mapping, Storage};
use oncelog::{Durability, Engine};

use crate::{append, begin, one};

/// Counts what is open.
#[derive(Default)]
struct Count {
    now: AtomicUsize,
    most: AtomicUsize,
}

struct Counted<T: ?Sized> {
    count: Arc<Count>,
    inner: Arc<T>,
}

impl Counted<dyn Storage> {
    fn file(&self, inner: Arc<dyn File>) -> Arc<dyn File> {
        let now = self.count.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.count.most.fetch_max(now, Ordering::SeqCst);
        Arc::new(OpenFile(Counted { count: self.count.clone(), inner }))
    }
}

struct OpenFile(Counted<dyn File>);

impl Drop for OpenFile {
    fn drop(&mut self) {
        self.0.count.now.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Storage for Counted<dyn Storage> {
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

impl File for OpenFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.0.inner.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.0.inner.write_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        self.0.inner.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.0.inner.len()
    }
    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.0.inner.punch(position, length)
    }
    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.0.inner.blank(position, length)
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        self.0.inner.map()
    }
}

#[test]
fn an_opening_has_few_files_open_however_many_segments_lie_behind_the_checkpoint() {
    const RECORDS: u64 = 600;
    for writable in [true, false] {
        let (world, engine) = begin(1);
        (0..RECORDS).for_each(|_| _ = append(&engine, &one(&[b'x'; 6_000]), Durability::Os).unwrap());
        assert_eq!(engine.metrics().checkpoints, 0);
        world.kill();
        drop(engine);
        assert!(world.files().len() > 60, "{} files", world.files().len());
        let count = Arc::new(Count::default());
        let mut machine = if writable { world.machine() } else { world.machine_for_reading() };
        machine.storage = Arc::new(Counted { count: count.clone(), inner: machine.storage.clone() });
        let options = Engine::options().threads(false).segment_bytes(64 << 10).read_only(!writable);
        let engine = options.open_on(machine).unwrap();
        assert!(engine.partition("t", 0).unwrap().bounds().end > RECORDS / 2);
        let most = count.most.load(Ordering::SeqCst);
        assert!(most < 32, "{most} files were open at once, writable: {writable}");
    }
}
