//! `cargo bench -p oncelog-benches --bench scale [-- part...]`: what must not grow with the log. Parts: `empty`,
//! `open`, `reopen`, `memory`, `holds` (with `--features holds`). `GIB=10` sets the greatest amount of data, 1 unless
//! given;
//! `DIR` where it lies.
//!
//! Each figure is taken in a process of its own, so that nothing is warm but the page cache.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a measurement that fails has nothing to say")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use oncelog::{
    AppendOptions, Batch, Durability, Engine, EngineOptions, Identity, Partition, ReadOptions, Record, TopicOptions,
};

const TOPICS: u32 = 10;
const PARTITIONS: u32 = 1_000;
const PRODUCERS: usize = 40;
const MIB: u64 = 1 << 20;
const ME: &str = "ONCELOG_SCALE";

fn main() {
    if let Ok(part) = std::env::var(ME) {
        let (part, rest) = part.split_once(' ').unwrap();
        let (number, dir) = rest.split_once(' ').unwrap();
        return child(part, number.parse().unwrap(), Path::new(dir));
    }
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let wants = |part: &str| asked.is_empty() || asked.iter().any(|a| a == part);
    let most: f64 = std::env::var("GIB").map_or(1.0, |gib| gib.parse().unwrap());
    let dir = tempfile::tempdir_in(std::env::var("DIR").unwrap_or_else(|_| ".".into())).unwrap();
    if wants("empty") {
        run("empty", 0, &dir.path().join("empty"));
    }
    if wants("open") {
        for gib in [0.1, 1.0, 10.0].into_iter().filter(|gib| *gib <= most) {
            open(gib, &dir.path().join("open"));
        }
    }
    if wants("reopen") {
        reopen(&dir.path().join("reopen"));
    }
    if wants("memory") {
        run("memory", (most * 1024.0) as u64, &dir.path().join("memory"));
    }
    #[cfg(feature = "holds")]
    if wants("holds") {
        run("holds", 2048, &dir.path().join("holds"));
    }
}

/// Plays a part in another process.
fn run(part: &str, number: u64, dir: &Path) {
    let me = std::env::current_exe().unwrap();
    let words = format!("{part} {number} {}", dir.display());
    // One that writes a tail dies on purpose.
    let status = Command::new(me).env(ME, words).status().unwrap();
    assert!(status.success() || ["tail", "killed"].contains(&part), "{part} failed: {status}");
}

fn child(part: &str, number: u64, dir: &Path) {
    match part {
        "empty" => empty(dir),
        "state" => state(dir),
        "data" => data(number * MIB, dir),
        "timed" => timed(dir),
        "tail" => tail(number * MIB, dir),
        "killed" => killed(number * MIB, dir),
        "memory" => memory(number * MIB, dir),
        #[cfg(feature = "holds")]
        "holds" => holds(number * MIB, dir),
        other => panic!("no part {other}"),
    }
}

fn options() -> EngineOptions {
    Engine::options().durability(Durability::Os)
}

/// A figure out of /proc/self/status, in KiB.
fn resident(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(field)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn mib(kib: u64) -> f64 {
    kib as f64 / 1024.0
}

fn on_disk(dir: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().metadata().unwrap().blocks() * 512).sum()
}

/// What this thread has worked so far: a busy machine makes it wait, not work.
fn on_processor() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(stat.split_whitespace().next().unwrap().parse().unwrap())
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A batch of `count` records of 1,000 bytes, made once.
struct Filler {
    batch: Batch,
    bytes: u64,
}

impl Filler {
    fn new(count: usize) -> Filler {
        let mut builder = Batch::builder();
        let mut x = 0x9e37_79b9_7f4a_7c15_u64;
        for _ in 0..count {
            let value: Vec<u8> = (0..125)
                .flat_map(|_| {
                    x ^= x << 13;
                    x ^= x >> 7;
                    x ^= x << 17;
                    x.to_le_bytes()
                })
                .collect();
            builder.push(&Record::new(&value), 1).unwrap();
        }
        let batch = builder.build().unwrap();
        let bytes = batch.as_bytes().len() as u64;
        Filler { batch, bytes }
    }

    /// Appends about so many bytes over the partitions, `each` after every one.
    fn fill(&self, partitions: &[Partition], bytes: u64, mut each: impl FnMut(u64)) {
        let options = AppendOptions::new().durability(Durability::Os);
        for n in 0..bytes.div_ceil(self.bytes) {
            let partition = &partitions[n as usize % partitions.len()];
            partition.append_with(&self.batch, options.clone()).unwrap().wait().unwrap();
            each(n * self.bytes);
        }
    }
}

/// The first batch of a producer.
fn once(identity: Identity) -> Batch {
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"x"), 1).unwrap();
    builder.producer(identity, 0);
    builder.build().unwrap()
}

fn partitions(engine: &Engine, topic: &str, count: u32) -> Vec<Partition> {
    (0..count).map(|n| engine.partition(topic, n).unwrap()).collect()
}

/// What nothing costs: on disk and in memory.
fn empty(dir: &Path) {
    let before = (resident("VmRSS"), resident("RssAnon"));
    let engine = options().open(dir).unwrap();
    println!("empty log on disk: {:.2} MiB", on_disk(dir) as f64 / MIB as f64);
    std::thread::sleep(Duration::from_millis(1_500));
    println!(
        "idle engine: {:.1} MiB resident, {:.1} before it was opened; not file-backed {:.1}, before {:.1}",
        mib(resident("VmRSS")),
        mib(before.0),
        mib(resident("RssAnon")),
        mib(before.1)
    );
    engine.close().unwrap();
}

/// 10,000 partitions and 400,000 producer entries.
fn state(dir: &Path) {
    let engine = options().open(dir).unwrap();
    let producers: Vec<Identity> =
        (0..PRODUCERS).map(|_| engine.init_producer(None, Duration::from_secs(60), None).unwrap()).collect();
    for topic in 0..TOPICS {
        let topic = format!("topic-{topic}");
        engine.create_topic(&topic, TopicOptions::new().partitions(PARTITIONS)).unwrap();
        for partition in partitions(&engine, &topic, PARTITIONS) {
            for identity in &producers {
                partition.append(&once(*identity)).unwrap().detach();
            }
        }
    }
    engine.close().unwrap();
}

fn data(bytes: u64, dir: &Path) {
    let engine = options().open(dir).unwrap();
    if engine.topics().unwrap().iter().all(|topic| topic.name != "topic-0") {
        engine.create_topic("topic-0", TopicOptions::new().partitions(2)).unwrap();
    }
    Filler::new(100).fill(&partitions(&engine, "topic-0", 2), bytes, |_| ());
    engine.close().unwrap();
}

/// Appends so much behind the newest checkpoint, and dies. The keeper is off, so there is no other checkpoint.
fn tail(bytes: u64, dir: &Path) {
    let engine = options().threads(false).open(dir).unwrap();
    Filler::new(100).fill(&partitions(&engine, "topic-0", 2), bytes, |_| ());
    engine.flush().unwrap();
    Filler::new(100).fill(&partitions(&engine, "topic-0", 2), 1, |_| ());
    std::process::abort();
}

/// Appends so much with the threads at work, and dies in the middle of their flushes.
fn killed(bytes: u64, dir: &Path) {
    let engine = options().open(dir).unwrap();
    Filler::new(100).fill(&partitions(&engine, "topic-0", 2), bytes, |_| ());
    std::process::abort();
}

/// Opens, says how long that took, and closes.
fn timed(dir: &Path) {
    let (begun, worked) = (Instant::now(), on_processor());
    let engine = options().open(dir).unwrap();
    let (took, worked) = (begun.elapsed(), on_processor() - worked);
    let opening = engine.opening();
    println!(
        "  open {:7.2} ms ({:.2} worked): state {:7.2} ms, folding {} frames {:6.2} ms, the rest {:5.2} ms; copied {}; \
         {:.1} MiB",
        ms(took),
        ms(worked),
        ms(opening.loading),
        opening.frames_folded,
        ms(opening.folding),
        ms(took.saturating_sub(opening.loading).saturating_sub(opening.folding)),
        opening.frames_copied,
        mib(resident("RssAnon"))
    );
    let begun = Instant::now();
    engine.close().unwrap();
    println!("  close {:6.2} ms", ms(begun.elapsed()));
}

fn open(gib: f64, dir: &PathBuf) {
    println!("{} partitions, {} producer entries, {gib} GiB", TOPICS * PARTITIONS, 10_000 * PRODUCERS);
    run("state", 0, dir);
    run("data", (gib * 1024.0) as u64, dir);
    println!(" after a clean close:");
    (0..3).for_each(|_| run("timed", 0, dir));
    for tail in [64, 600] {
        println!(" after a kill with a tail of {tail} MiB:");
        run("tail", tail, dir);
        run("timed", 0, dir);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

fn reopen(dir: &PathBuf) {
    println!("1 GiB in two partitions");
    run("data", 1024, dir);
    println!(" after a clean close:");
    (0..5).for_each(|_| run("timed", 0, dir));
    for _ in 0..3 {
        println!(" after a kill with a tail of 64 MiB:");
        run("tail", 64, dir);
        run("timed", 0, dir);
    }
    for _ in 0..5 {
        println!(" after a kill at full speed, behind 64 MiB more:");
        run("killed", 64, dir);
        run("timed", 0, dir);
    }
    std::fs::remove_dir_all(dir).unwrap();
}

/// What writing and scanning leave in memory.
fn memory(bytes: u64, dir: &Path) {
    let engine = options().open(dir).unwrap();
    engine.create_topic("topic-0", TopicOptions::new().partitions(2)).unwrap();
    let all = partitions(&engine, "topic-0", 2);
    let filler = Filler::new(100);
    let start = resident("RssAnon");
    let mut most = (0, 0);
    let mut look = |_| most = (most.0.max(resident("RssAnon")), most.1.max(resident("VmRSS")));
    filler.fill(&all, bytes, |at| {
        if at % (16 * MIB) < filler.bytes {
            look(())
        }
    });
    let written = resident("RssAnon");
    let mut records = 0_u64;
    for partition in &all {
        let (mut at, end) = (0, partition.bounds().end);
        while at < end {
            let read = partition.read(at, ReadOptions::new()).unwrap();
            records += read
                .iter()
                .map(|record| record.unwrap().value().map_or(0, |v| u64::from(v.len() == 1_000)))
                .sum::<u64>();
            at = read.next_offset("topic-0", partition.number()).unwrap();
            if at % 16_000 < 1_100 {
                look(());
            }
        }
    }
    let over = |kib: u64| mib(kib.saturating_sub(start));
    println!(
        "{} MiB written, {records} records scanned: not file-backed above the start {:.1} MiB after the writes, {:.1} \
         at the end, {:.1} at most; all resident {:.1} MiB at most, peak {:.1}",
        bytes / MIB,
        over(written),
        over(resident("RssAnon")),
        over(most.0),
        mib(most.1),
        mib(resident("VmHWM"))
    );
    engine.close().unwrap();
}

/// How long the journal's lock is held: by calls that change a topic with many partitions, then with a large state,
/// checkpoints and appenders.
#[cfg(feature = "holds")]
fn holds(bytes: u64, dir: &Path) {
    state(dir);
    let engine = options().open(dir).unwrap();
    for count in [1_000, 10_000, 100_000] {
        oncelog::reset_holds();
        engine.create_topic("many", TopicOptions::new().partitions(count / 2)).unwrap();
        println!("holds while a topic with {} partitions is created, the longest below {} ns", count / 2, longest());
        engine.add_partitions("many", count).unwrap();
        println!("  and grows to {count}, the longest below {} ns", longest());
        let writer = engine.init_producer(Some("writer"), Duration::from_secs(60), None).unwrap();
        for partition in partitions(&engine, "many", count) {
            partition.append(&once(writer)).unwrap().detach();
        }
        println!("  and one producer writes to all of them, the longest below {} ns", longest());
        engine.delete_producer("writer").unwrap();
        println!("  and is deleted, the longest below {} ns", longest());
        engine.delete_topic("many").unwrap();
        println!("  and the topic is deleted, the longest below {} ns", longest());
    }
    oncelog::reset_holds();
    engine.delete_topic("topic-9").unwrap();
    println!("holds while one with 1000 partitions of {PRODUCERS} producers is deleted, the longest {} ns", longest());
    oncelog::reset_holds();
    let before = engine.metrics().checkpoints;
    std::thread::scope(|scope| {
        for n in 0..2 {
            let all = partitions(&engine, &format!("topic-{n}"), PARTITIONS);
            scope.spawn(move || Filler::new(10).fill(&all, bytes / 2, |_| ()));
        }
    });
    let holds = oncelog::holds();
    let all: u64 = holds.iter().map(|(_, count)| count).sum();
    println!("holds of the journal's lock, {all} in all, {} checkpoints:", engine.metrics().checkpoints - before);
    let mut seen = 0;
    for (below, count) in holds.into_iter().filter(|(_, count)| *count > 0) {
        seen += count;
        println!("  below {below:>10} ns {count:>10}  {:8.4} %", seen as f64 * 100.0 / all as f64);
    }
    engine.close().unwrap();
}

/// The bound of the longest hold since the last one that was asked for.
#[cfg(feature = "holds")]
fn longest() -> u64 {
    let longest = oncelog::holds().into_iter().filter(|(_, count)| *count > 0).map(|(below, _)| below).max().unwrap();
    oncelog::reset_holds();
    longest
}
