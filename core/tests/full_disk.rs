//! A disk without room: appends are refused with nothing written, what ends or frees something goes on from the
//! reserve, and the same handle goes on when there is room again. On the simulated disk and on small real ones.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

#[cfg(feature = "sim")]
use oncelog::sim::World;
use oncelog::{
    Batch, ConsumerOptions, Engine, EngineOptions, Error, ErrorKind, GroupMetadata, Identity, Offsets, ProducerOptions,
    ReadOptions, Record, TopicOptions, TopicPartition,
};

fn value(n: u64) -> Vec<u8> {
    let mut value = format!("{n} ").into_bytes();
    value.resize(9_000, b'x');
    value
}

fn append(engine: &Engine, n: u64) -> Result<u64, Error> {
    let mut builder = Batch::builder();
    builder.push(&Record::new(&value(n)), 1)?;
    Ok(engine.partition("t", 0)?.append(&builder.build()?)?.wait()?.first)
}

fn append_small(engine: &Engine) -> Result<u64, Error> {
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"small"), 1)?;
    Ok(engine.partition("raw", 0)?.append(&builder.build()?)?.wait()?.first)
}

fn raw(engine: &Engine, identity: Identity, sequence: i32) -> Result<oncelog::Appended, Error> {
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"raw"), 1)?;
    builder.producer(identity, sequence);
    engine.partition("raw", 0)?.append(&builder.build()?)?.wait()
}

fn commit(engine: &Engine, offset: u64) -> Result<(), Error> {
    let consumer = engine.consumer(ConsumerOptions::new().group("g"))?;
    consumer.commit_offsets(&Offsets::from([(TopicPartition::new("t", 0), offset.into())]))
}

fn committed(engine: &Engine) -> Option<u64> {
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.committed(&TopicPartition::new("t", 0)).unwrap()
}

/// All records of the topic, in order, each as it was sent.
fn check_records(engine: &Engine, count: u64) {
    let partition = engine.partition("t", 0).unwrap();
    assert_eq!(partition.bounds().end, count, "no gap, and nothing of what was refused");
    let mut next = 0;
    while next < count {
        for record in &partition.read(next, ReadOptions::new()).unwrap() {
            assert_eq!(record.unwrap().value(), Some(&value(next)[..]));
            next += 1;
        }
    }
}

fn full<T: std::fmt::Debug>(answer: Result<T, Error>, what: &str) {
    let error = answer.expect_err(what);
    assert!(error.kind() == ErrorKind::Full && error.is_retriable() && !error.is_fatal(), "{what}: {error}");
}

/// What one job leaves to be looked at.
struct Left {
    records: u64,
    small: u64,
    offset: u64,
    identity: Identity,
}

fn begin(engine: &Engine) -> Identity {
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine.create_topic("raw", TopicOptions::new()).unwrap();
    engine.create_topic("passing", TopicOptions::new()).unwrap();
    let identity = engine.init_producer(None, Duration::from_secs(60), None).unwrap();
    raw(engine, identity, 0).unwrap();
    engine.transactional_producer("p", ProducerOptions::new()).unwrap();
    identity
}

/// Appends until the disk is full, then does everything that goes on from the reserve, then uses that up.
fn fill_and_go_on(engine: &Engine, identity: Identity) -> Left {
    let mut records = 0;
    let refused = loop {
        match append(engine, records) {
            Ok(first) => assert_eq!(first, records),
            Err(error) => break Err::<(), _>(error),
        }
        records += 1;
        assert!(records < 100_000, "the disk never filled");
    };
    full(refused, "an append on a full disk");
    full(append(engine, records), "an append, again");
    let mut small = 1;
    let refused = loop {
        match append_small(engine) {
            Ok(first) => assert_eq!(first, small),
            Err(error) => break Err::<(), _>(error),
        }
        small += 1;
    };
    full(refused, "a small append");
    full(engine.create_topic("more", TopicOptions::new()), "a new topic");
    full(engine.init_producer(Some("another"), Duration::from_secs(60), None), "a new name");
    let known = engine.metrics().duplicates;
    assert!(raw(engine, identity, 0).unwrap().duplicate, "what is here already needs no room");
    assert_eq!(engine.metrics().duplicates, known + 1);
    full(raw(engine, identity, 1), "a new raw batch");

    // From the reserve: a fence, a commit with records and offsets, plain offsets, a deletion.
    let producer = engine.transactional_producer("p", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    for _ in 0..70 {
        transaction.send("t", Record::new(&value(records))).unwrap();
    }
    full(transaction.commit(), "a commit that is larger than the reserve allows");
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("raw", Record::new(b"committed")).unwrap();
    let group = GroupMetadata { group: "g".to_owned() };
    transaction.send_offsets(&group, &Offsets::from([(TopicPartition::new("t", 0), 1.into())])).unwrap();
    transaction.commit().unwrap();
    assert_eq!(committed(engine), Some(1));
    for offset in 2..10 {
        commit(engine, offset).unwrap();
    }
    engine.delete_topic("passing").unwrap();
    producer.begin_transaction().unwrap().abort().unwrap();

    // Bounded: the reserve ends too, as cleanly.
    let mut offset = 9;
    let refused = loop {
        match commit(engine, offset + 1) {
            Ok(()) => offset += 1,
            Err(error) => break Err::<(), _>(error),
        }
        assert!(offset < 100_000, "the reserve never ends");
    };
    full(refused, "an offset commit behind the reserve");
    assert_eq!(committed(engine), Some(offset));
    check_records(engine, records);
    Left { records, small: small + 1, offset, identity }
}

fn check(engine: &Engine, left: &Left) {
    check_records(engine, left.records);
    assert_eq!(committed(engine), Some(left.offset));
    assert_eq!(engine.partition("raw", 0).unwrap().bounds().end, left.small);
    assert!(raw(engine, left.identity, 0).unwrap().duplicate);
    assert_eq!(engine.topics().unwrap().len(), 2);
}

/// There is room again.
fn goes_on(engine: &Engine, left: &mut Left) {
    for _ in 0..40 {
        assert_eq!(append(engine, left.records).unwrap(), left.records, "the same handle, the next offset");
        left.records += 1;
    }
    left.offset += 1;
    commit(engine, left.offset).unwrap();
    assert_eq!(raw(engine, left.identity, 1).unwrap().first, left.small);
}

#[cfg(feature = "sim")]
fn options(segment: u64) -> EngineOptions {
    Engine::options().threads(false).segment_bytes(segment)
}

#[cfg(feature = "sim")]
fn used(world: &World) -> u64 {
    world.files().values().map(|image| image.len() as u64).sum()
}

#[cfg(feature = "sim")]
#[test]
fn decisions_go_on_from_the_reserve_and_the_same_handle_goes_on_when_there_is_room() {
    for (seed, segment, room) in [(1, 64 << 10, 0), (2, 64 << 10, 100_000), (3, 1 << 20, 300_000), (4, 1 << 20, 9)] {
        let world = World::new(seed);
        let engine = options(segment).open_on(world.machine()).unwrap();
        let identity = begin(&engine);
        world.set_capacity(Some(used(&world) + room));
        let mut left = fill_and_go_on(&engine, identity);
        check(&engine, &left);
        world.advance(3_000_000_000);
        engine.drive().unwrap();
        world.set_capacity(None);
        goes_on(&engine, &mut left);
        engine.close().unwrap();
        let engine = options(segment).open_on(world.machine()).unwrap();
        check_records(&engine, left.records);
    }
}

#[cfg(feature = "sim")]
#[test]
fn a_log_is_closed_and_opened_on_a_disk_that_stays_full() {
    for seed in 0..6 {
        let world = World::new(seed);
        let mut engine = options(64 << 10).open_on(world.machine()).unwrap();
        let identity = begin(&engine);
        world.set_capacity(Some(used(&world) + seed * 30_000));
        let mut left = fill_and_go_on(&engine, identity);
        for _ in 0..5 {
            engine.close().unwrap();
            engine = options(64 << 10).open_on(world.machine()).unwrap();
            check(&engine, &left);
            full(append(&engine, left.records), "an append on a disk that is still full");
        }
        world.set_capacity(None);
        goes_on(&engine, &mut left);
    }
}

#[cfg(feature = "sim")]
#[test]
fn a_life_that_died_on_a_full_disk_is_read_there_and_goes_on_when_there_is_room() {
    for seed in 0..20 {
        let world = World::new(seed);
        let engine = options(64 << 10).open_on(world.machine()).unwrap();
        let identity = begin(&engine);
        world.set_capacity(Some(used(&world) + seed * 10_000));
        let mut left = fill_and_go_on(&engine, identity);
        if seed % 2 == 0 {
            world.kill()
        } else {
            world.crash()
        }
        drop(engine);
        // Its tail is to be copied, and there is no room: that is all it says, and it changes nothing.
        match options(64 << 10).open_on(world.machine()) {
            Err(error) => assert_eq!(error.kind(), ErrorKind::Full, "{error}"),
            Ok(engine) => check(&engine, &left),
        }
        world.kill();
        let reading = options(64 << 10).read_only(true).open_on(world.machine_for_reading()).unwrap();
        check_records(&reading, left.records);
        drop(reading);
        world.set_capacity(None);
        let engine = options(64 << 10).open_on(world.machine()).unwrap();
        check(&engine, &left);
        goes_on(&engine, &mut left);
    }
}

#[cfg(feature = "sim")]
fn raw_transactional(engine: &Engine, identity: Identity, sequence: i32) -> Result<oncelog::Appended, Error> {
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"raw"), 1)?;
    builder.producer(identity, sequence).transactional(true);
    engine.partition("raw", 0)?.append(&builder.build()?)?.wait()
}

/// A transaction of this name that has a record in the log, and one that is to go there with its commit.
#[cfg(feature = "sim")]
fn streaming(engine: &Engine, name: &str, timeout: u64) -> oncelog::Transaction {
    let options = ProducerOptions::new().transaction_buffer(600).transaction_timeout(Duration::from_secs(timeout));
    let producer = engine.transactional_producer(name, options).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    for _ in 0..2 {
        transaction.send("raw", Record::new(&[b's'; 300])).unwrap();
    }
    transaction
}

#[cfg(feature = "sim")]
#[test]
fn what_streams_is_decided_on_a_full_disk_by_whoever_may() {
    for (seed, segment) in [(1, 64 << 10), (2, 256 << 10), (3, 1 << 20)] {
        let world = World::new(seed);
        let engine = options(segment).open_on(world.machine()).unwrap();
        begin(&engine);
        let open = || engine.describe_transactions().unwrap().len();
        let names = [("commits", 60), ("aborts", 60), ("fenced", 60), ("late", 10), ("closed", 60), ("waits", 60)];
        let [mut commits, aborts, fenced, late, closed, waits] =
            names.map(|(name, timeout)| streaming(&engine, name, timeout));
        let identity = engine.init_producer(Some("id"), Duration::from_secs(60), None).unwrap();
        raw_transactional(&engine, identity, 0).unwrap();
        let numbers = [&aborts, &fenced, &late, &closed, &waits].map(oncelog::Transaction::number);
        assert_eq!(open(), 7);
        world.set_capacity(Some(used(&world)));
        let mut records = 0;
        while append(&engine, records).is_ok() {
            records += 1;
        }
        while append_small(&engine).is_ok() {}

        // Nothing grows or begins.
        full(commits.send("raw", Record::new(&[b's'; 600])), "a record of a transaction that streams");
        full(raw_transactional(&engine, identity, 1), "a new raw batch");
        assert!(raw_transactional(&engine, identity, 0).unwrap().duplicate);
        let other = engine.init_producer(Some("p"), Duration::from_secs(60), None).unwrap();
        full(raw_transactional(&engine, other, 0), "a raw transaction that begins");

        // Everything ends.
        let group = GroupMetadata { group: "g".to_owned() };
        let offsets = |offset: u64| Offsets::from([(TopicPartition::new("t", 0), offset.into())]);
        full(engine.send_offsets(other, &group, &offsets(9)), "a raw transaction that begins with offsets");
        commits.send_offsets(&group, &offsets(1)).unwrap();
        commits.commit().unwrap();
        aborts.abort().unwrap();
        assert_eq!((committed(&engine), open()), (Some(1), 5));
        engine.send_offsets(identity, &group, &offsets(2)).unwrap();
        engine.end_transaction(identity, oncelog::Outcome::Commit).unwrap();
        engine.transactional_producer("fenced", ProducerOptions::new()).unwrap();
        assert_eq!((committed(&engine), open()), (Some(2), 3));
        world.advance(11_000_000_000);
        engine.drive().unwrap();
        assert_eq!(open(), 2, "the timeout has passed");

        // Behind the reserve an abort waits for room, and nobody has to ask for it again.
        let mut offset = 2;
        while commit(&engine, offset + 1).is_ok() {
            offset += 1;
        }
        drop(waits);
        assert_eq!(open(), 2);
        world.set_capacity(None);
        world.advance(2_000_000_000);
        engine.drive().unwrap();
        assert_eq!(open(), 1);
        engine.flush().unwrap();
        drop((fenced, late));
        engine.close().unwrap();
        drop(closed);
        let engine = options(segment).open_on(world.machine()).unwrap();
        assert!(engine.describe_transactions().unwrap().is_empty());
        for number in numbers {
            assert_eq!(engine.transaction_status(number).unwrap(), oncelog::TransactionStatus::Aborted);
        }
        check_records(&engine, records);
    }
}

/// A file system of its own, gone when this is dropped.
struct Mounted {
    at: PathBuf,
    _dir: tempfile::TempDir,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{program}: {error}")),
    }
}

/// Mounts a file system of so many bytes, or says why not.
fn mount(kind: &str, bytes: u64) -> Result<Mounted, String> {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path().join("mounted");
    fs::create_dir(&at).unwrap();
    let place = at.to_str().unwrap();
    if kind == "tmpfs" {
        run("mount", &["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs", place])?;
    } else {
        let image = dir.path().join("image");
        fs::File::create(&image).and_then(|file| file.set_len(bytes)).unwrap();
        let image = image.to_str().unwrap();
        run("mkfs.ext4", &["-q", "-m", "0", "-O", "^has_journal", image])?;
        run("mount", &["-o", "loop", image, place])?;
    }
    Ok(Mounted { at, _dir: dir })
}

/// Fills the file system, but for so many bytes.
fn fill(at: &Path, left: u64) -> PathBuf {
    use std::io::Write;
    let path = at.join("filler");
    let mut file = fs::File::create(&path).unwrap();
    let piece = vec![1; 16 << 10];
    let mut written = 0_u64;
    while file.write_all(&piece).is_ok() {
        written += piece.len() as u64;
    }
    let _ = file.flush();
    file.set_len(written.saturating_sub(left)).unwrap();
    path
}

fn on_a_real_disk(kind: &str) {
    let mounted = match mount(kind, 12 << 20) {
        Ok(mounted) => mounted,
        Err(why) => return println!("skipped: no {kind} to fill up: {why}"),
    };
    let log = mounted.at.join("log");
    let engine = Engine::open(&log).unwrap();
    let identity = begin(&engine);
    let filler = fill(&mounted.at, 300_000);
    let mut left = fill_and_go_on(&engine, identity);
    engine.close().unwrap();
    let engine = Engine::open(&log).unwrap();
    check(&engine, &left);
    full(append(&engine, left.records), "an append on a disk that is still full");
    fs::remove_file(filler).unwrap();
    goes_on(&engine, &mut left);
    engine.close().unwrap();
    let engine = Engine::open(&log).unwrap();
    check_records(&engine, left.records);
    engine.close().unwrap();
}

#[test]
fn a_small_file_system_in_memory_fills_up_and_is_freed() {
    on_a_real_disk("tmpfs");
}

#[test]
fn a_small_ext4_fills_up_and_is_freed() {
    on_a_real_disk("ext4");
}

#[cfg(unix)]
const LIMITED: &str = "ONCELOG_TEST_LIMITED";

#[cfg(unix)]
#[test]
fn a_greatest_file_size_is_answered_as_full() {
    let Ok(log) = std::env::var(LIMITED) else {
        // Files past 300 KiB are refused (EFBIG); who sets such a limit ignores its signal.
        let dir = tempfile::tempdir().unwrap();
        let me = std::env::current_exe().unwrap();
        let script = format!(
            "trap '' XFSZ; ulimit -f 600; exec {} --exact a_greatest_file_size_is_answered_as_full",
            me.display()
        );
        let status = Command::new("sh").args(["-c", &script]).env(LIMITED, dir.path()).status().unwrap();
        assert!(status.success());
        return;
    };
    let engine = Engine::open(log).unwrap();
    let identity = begin(&engine);
    let left = fill_and_go_on(&engine, identity);
    check(&engine, &left);
    engine.close().unwrap();
}

#[test]
fn an_empty_log_with_its_reserve_is_small() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    let engine = EngineOptions::default().open(&log).unwrap();
    #[cfg(unix)]
    let space = |file: fs::Metadata| std::os::unix::fs::MetadataExt::blocks(&file) * 512;
    #[cfg(windows)]
    let space = |file: fs::Metadata| file.len();
    let bytes =
        |log: &Path| -> u64 { fs::read_dir(log).unwrap().map(|entry| space(entry.unwrap().metadata().unwrap())).sum() };
    assert!(bytes(&log) < 1 << 20, "{} bytes", bytes(&log));
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine.close().unwrap();
    assert!(bytes(&log) < 1 << 20, "{} bytes after a close", bytes(&log));
}
