//! What a log has let go of: while it is open, all but a few hundred of its segments; once it is closed, whatever
//! handles live, all of its files but for what somebody holds records of.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use oncelog::io::{DirectoryLock, File, Machine, Mapping, Storage};
use oncelog::{Consumer, Engine, ErrorKind, Partition, Producer, ProducerOptions, ReadOptions, Record, TopicOptions};

/// Some segments of the smallest size.
const RECORDS: u64 = 600;

struct Handles {
    engine: Engine,
    producer: Producer,
    consumer: Consumer,
    partition: Partition,
}

fn value(offset: u64) -> String {
    format!("{offset}/{}", "x".repeat(1_000))
}

/// Fills some segments and has handles of every kind read and write.
fn work(engine: Engine) -> Handles {
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO)).unwrap();
    for offset in 0..RECORDS {
        producer.send("t", Record::new(value(offset).as_bytes())).unwrap().detach();
    }
    producer.flush().unwrap();
    look(engine, producer)
}

fn look(engine: Engine, producer: Producer) -> Handles {
    let consumer = super::consumer(&engine, "g", &[("t", 0)]);
    let mut read = 0;
    while read < RECORDS {
        read += consumer.poll(Duration::ZERO).unwrap().count();
    }
    let partition = engine.partition("t", 0).unwrap();
    Handles { engine, producer, consumer, partition }
}

impl Handles {
    fn all_answer_closed(&self) {
        let Handles { engine, producer, consumer, partition } = self;
        for answer in [
            producer.send("t", Record::new(b"late")).map(drop),
            consumer.poll(Duration::ZERO).map(drop),
            partition.read(0, ReadOptions::new()).map(drop),
            engine.flush(),
            engine.topics().map(drop),
        ] {
            assert_eq!(answer.unwrap_err().kind(), ErrorKind::Closed);
        }
        // What needs no file is answered all the same.
        assert_eq!(partition.bounds().end, RECORDS);
        assert!(engine.metrics().segments > 1);
    }
}

/// The files of a directory that this process has open, and those that it has mapped; `None` if the system does not
/// tell.
fn held(dir: &Path) -> Option<(Vec<String>, Vec<String>)> {
    let dir = fs::canonicalize(dir).unwrap();
    let dir = dir.to_str().unwrap();
    let Ok(descriptors) = fs::read_dir("/proc/self/fd") else {
        eprintln!("left out: there is no /proc that tells what is open");
        return None;
    };
    // Those of other tests come and go meanwhile.
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    let open = targets.filter_map(|target| Some(target.to_str()?.to_owned())).filter(|name| name.starts_with(dir));
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps.lines().filter(|line| line.contains(dir)).map(str::to_owned);
    Some((open.collect(), mapped.collect()))
}

fn holds_nothing(dir: &Path) {
    if let Some(held) = held(dir) {
        assert_eq!(held, (Vec::new(), Vec::new()));
    }
}

fn small() -> oncelog::EngineOptions {
    Engine::options().segment_bytes(64 << 10)
}

#[test]
fn a_closed_log_has_no_file_open_and_none_mapped_while_all_its_handles_live() {
    for threads in [true, false] {
        for mappings in [true, false] {
            let dir = tempfile::tempdir().unwrap();
            let handles = work(small().threads(threads).mappings(mappings).open(dir.path()).unwrap());
            if let Some((open, mapped)) = held(dir.path()) {
                assert!(open.len() > 3 && mapped.is_empty() != mappings, "{open:?} {mapped:?}");
            }
            handles.engine.close().unwrap();
            holds_nothing(dir.path());
            handles.all_answer_closed();
            handles.engine.close().unwrap();
            holds_nothing(dir.path());
            let again = small().open(dir.path()).unwrap();
            assert_eq!(again.partition("t", 0).unwrap().bounds().end, RECORDS);
            again.close().unwrap();
            fs::remove_dir_all(dir.path()).unwrap();
            assert!(!dir.path().exists());
        }
    }
}

#[test]
fn of_many_segments_no_more_are_open_than_readers_find_room_for_and_those_that_are_written() {
    /// As many as the journal's shelf keeps for whoever reads next.
    const SHELF: usize = 256;
    /// Those that were let go last and are not closed yet.
    const ASIDE: usize = 2;
    /// The newest, the one behind it, and the one that is made ready.
    const WRITTEN: usize = 3;
    // In memory where there is such a place: each roll flushes.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let engine = small().open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO)).unwrap();
    let send = |value: &str| {
        producer.send("t", Record::new(value.as_bytes())).unwrap().wait().unwrap();
    };
    let large = "x".repeat(40 << 10);
    (0..300).for_each(|_| send(&large));
    let segments = || held(dir.path()).map(|(open, _)| open.iter().filter(|name| name.ends_with(".seg")).count());
    let Some(mut open) = segments() else { return };
    assert!(engine.metrics().segments >= 300);
    // The flusher reads old segments for their footers in its own time.
    let until = Instant::now() + Duration::from_secs(20);
    while open > SHELF + ASIDE + WRITTEN && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(5));
        open = segments().unwrap();
    }
    assert!(open <= SHELF + ASIDE + WRITTEN, "{open}");
}

#[test]
fn a_closed_log_that_was_opened_for_reading_has_no_file_open() {
    let dir = tempfile::tempdir().unwrap();
    drop(work(small().open(dir.path()).unwrap()));
    holds_nothing(dir.path());
    let engine = small().read_only(true).open(dir.path()).unwrap();
    let partition = engine.partition("t", 0).unwrap();
    assert!(partition.read(0, ReadOptions::new()).unwrap().count() > 0);
    engine.close().unwrap();
    holds_nothing(dir.path());
    assert_eq!(partition.read(0, ReadOptions::new()).unwrap_err().kind(), ErrorKind::Closed);
}

#[test]
fn records_outlive_the_close_and_keep_only_their_own_bytes_mapped() {
    let dir = tempfile::tempdir().unwrap();
    let handles = work(small().open(dir.path()).unwrap());
    let records = handles.partition.read(0, ReadOptions::new().max_bytes(1)).unwrap();
    handles.engine.close().unwrap();
    if let Some((open, mapped)) = held(dir.path()) {
        assert_eq!((open, mapped.len()), (Vec::new(), 1), "one segment is mapped for them: {mapped:?}");
    }
    assert_eq!(super::values(&records)[0], value(0));
    drop(records);
    holds_nothing(dir.path());
    handles.all_answer_closed();
}

/// A directory whose flushes fail from some moment on.
struct Failing {
    storage: Arc<dyn Storage>,
    fails: Arc<AtomicBool>,
}

struct FailingFile {
    file: Arc<dyn File>,
    fails: Arc<AtomicBool>,
}

impl Failing {
    fn file(&self, file: Arc<dyn File>) -> Arc<dyn File> {
        Arc::new(FailingFile { file, fails: self.fails.clone() })
    }
}

impl Storage for Failing {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        self.storage.create(name, size).map(|file| self.file(file))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        self.storage.open(name).map(|file| self.file(file))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.storage.remove(name)
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.storage.list()
    }
    fn sync_directory(&self) -> io::Result<()> {
        self.storage.sync_directory()
    }
    fn lock(&self, writer: bool) -> oncelog::Result<Box<dyn DirectoryLock>> {
        self.storage.lock(writer)
    }
    fn let_go(&self) {
        self.storage.let_go();
    }
}

impl File for FailingFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file.read_at(buffer, position)
    }
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.file.write_at(bytes, position)
    }
    fn sync(&self) -> io::Result<()> {
        if self.fails.load(Ordering::SeqCst) { Err(io::Error::other("the device is gone")) } else { self.file.sync() }
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.file.punch(position, length)
    }
    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.file.blank(position, length)
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        self.file.map()
    }
}

#[test]
fn a_log_that_a_failed_flush_ended_has_no_file_open_behind_its_close() {
    let dir = tempfile::tempdir().unwrap();
    let fails = Arc::new(AtomicBool::new(false));
    let machine = Machine::system(dir.path(), true, false, true).unwrap();
    let storage = Arc::new(Failing { storage: machine.storage, fails: fails.clone() });
    // Without threads, so that no other flush fails first.
    let handles = work(small().threads(false).open_on(Machine { storage, ..machine }).unwrap());
    fails.store(true, Ordering::SeqCst);
    let ticket = handles.producer.send("t", Record::new(b"the last")).unwrap();
    assert_eq!(ticket.wait().unwrap_err().kind(), ErrorKind::Indeterminate);
    assert_eq!(handles.engine.close().unwrap_err().kind(), ErrorKind::Poisoned);
    holds_nothing(dir.path());
    assert_eq!(handles.partition.read(0, ReadOptions::new()).unwrap_err().kind(), ErrorKind::Closed);
    // The lock is free as well.
    let again = small().open(dir.path()).unwrap();
    assert!(again.partition("t", 0).unwrap().bounds().end >= RECORDS);
}
