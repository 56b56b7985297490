//! A real process on a real directory, killed in the middle of its work, again and again. What it said on a pipe before
//! it died was acknowledged, and must be there.
//!
//! The process is this program again; `a_process_that_is_killed` plays its part. Three threads of it work at the same
//! time: plain appends at both levels, transactions with offsets and positions, a named producer.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use oncelog::{
    AppendOptions, Batch, ConsumerOptions, Durability, Engine, GroupMetadata, Offsets, Producer, ProducerOptions,
    ReadOptions, Record, TopicOptions, TopicPartition,
};

const DIRECTORY: &str = "ONCELOG_KILL_DIRECTORY";
const TOLD: &str = "ONCELOG_KILL_TOLD";
const KILLS: usize = 200;

type Check = Result<(), String>;
/// What one thread of the process does until it is killed.
type Work = fn(&Engine, Far) -> oncelog::Result<()>;

/// How far each kind of work is: told by the process, or found in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Far {
    /// Records at level `os`.
    plain: u64,
    /// Records at level `disk`.
    sure: u64,
    /// Transactions.
    moved: u64,
    /// Records of the named producer: positions from 0 on, without a gap.
    loaded: u64,
}

impl Far {
    fn words(&self) -> String {
        format!("{} {} {} {}", self.plain, self.sure, self.moved, self.loaded)
    }

    fn parse(text: &str) -> Far {
        let mut numbers = text.split(' ').map(|word| word.parse().expect("four numbers"));
        let mut next = || numbers.next().expect("four numbers");
        Far { plain: next(), sure: next(), moved: next(), loaded: next() }
    }

    fn hear(&mut self, line: &str) -> Check {
        let (what, number) = line.split_once(' ').ok_or_else(|| format!("a strange word: {line}"))?;
        let far = match what {
            "plain" => &mut self.plain,
            "sure" => &mut self.sure,
            "moved" => &mut self.moved,
            "loaded" => &mut self.loaded,
            _ => return Err(format!("the killed process says: {line}")),
        };
        *far = number.parse().map_err(|_| format!("a strange number: {line}"))?;
        Ok(())
    }
}

fn open(dir: &Path) -> oncelog::Result<Engine> {
    // Small segments: the log rolls, seals and writes checkpoints every few lives.
    Engine::options().segment_bytes(256 << 10).open(dir)
}

fn say(words: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "say {words}").and_then(|()| out.flush()).expect("the parent listens");
}

/// The values of a partition, in order.
fn values(engine: &Engine, topic: &str, partition: u32) -> oncelog::Result<Vec<String>> {
    let partition = engine.partition(topic, partition)?;
    let mut values = Vec::new();
    while (values.len() as u64) < partition.bounds().end {
        for record in &partition.read(values.len() as u64, ReadOptions::new())? {
            let value = record?.value().unwrap_or_default();
            let text = String::from_utf8_lossy(value);
            values.push(text.trim_end_matches('.').to_owned());
        }
    }
    Ok(values)
}

/// Record `number` of a topic; the dots make frames of many sizes.
fn value(topic: &str, number: u64) -> String {
    let mut value = format!("{topic} {number}");
    let dots = (number % 13) * (number % 7) * 11;
    (0..dots).for_each(|_| value.push('.'));
    value
}

/// Everything in the log is what was sent, once, in order, whole; and at least what was told.
fn found(engine: &Engine, told: Far) -> Result<Far, String> {
    let failed = |error: oncelog::Error| format!("the log answers {error}");
    let mut found = Far::default();
    for (topic, far) in [("plain", &mut found.plain), ("sure", &mut found.sure)] {
        let all = values(engine, topic, 0).map_err(failed)?;
        if let Some(n) = (0..all.len()).find(|n| all[*n] != format!("{topic} {n}")) {
            return Err(format!("{topic} offset {n} holds {:?}", all[n]));
        }
        *far = all.len() as u64;
    }
    found.moved = transactions(engine)?;
    let mut loaded = Vec::new();
    for partition in 0..3 {
        let all = values(engine, "lines", partition).map_err(failed)?;
        let numbers: Vec<u64> = all.iter().filter_map(|v| v.strip_prefix("lines ")?.parse().ok()).collect();
        if numbers.len() != all.len() || !numbers.is_sorted() {
            return Err(format!("lines-{partition} holds something else, or not in order"));
        }
        loaded.extend(numbers);
    }
    loaded.sort_unstable();
    found.loaded = loaded.len() as u64;
    let position = loader(engine).map_err(failed)?.position();
    if position != found.loaded.checked_sub(1) || (0..).zip(&loaded).any(|(n, number)| n != *number) {
        return Err(format!("position {position:?}, and {} lines that are not all up to it", found.loaded));
    }
    let lost =
        [(found.plain, told.plain), (found.sure, told.sure), (found.moved, told.moved), (found.loaded, told.loaded)];
    if lost.iter().any(|(found, told)| found < told) {
        return Err(format!("acknowledged {told:?}, found {found:?}"));
    }
    Ok(found)
}

/// Each transaction is in two topics, the group's offset and the position, or in none of them.
fn transactions(engine: &Engine) -> Result<u64, String> {
    let failed = |error: oncelog::Error| format!("the log answers {error}");
    let right = values(engine, "right", 0).map_err(failed)?;
    let count = right.len() as u64;
    let mut left = [values(engine, "left", 0).map_err(failed)?, values(engine, "left", 1).map_err(failed)?];
    left.iter_mut().for_each(|values| values.reverse());
    for (n, value) in (0..).zip(&right) {
        if *value != format!("right {n}") || left[n as usize % 2].pop() != Some(format!("left {n}")) {
            return Err(format!("transaction {n} of {count} is not whole: right holds {value:?}"));
        }
    }
    let consumer = engine.consumer(ConsumerOptions::new().group("movers")).map_err(failed)?;
    let committed = consumer.committed(&TopicPartition::new("sure", 0)).map_err(failed)?.unwrap_or(0);
    let mover = engine.transactional_producer("mover", ProducerOptions::new()).map_err(failed)?;
    let more = left.iter().map(Vec::len).sum::<usize>();
    if (committed, mover.position(), more) != (count, count.checked_sub(1), 0) {
        let position = mover.position();
        return Err(format!(
            "{count} transactions, {more} more in one topic, offset {committed}, position {position:?}"
        ));
    }
    Ok(count)
}

fn loader(engine: &Engine) -> oncelog::Result<Producer> {
    engine.producer(ProducerOptions::new().name("loader").linger(Duration::from_millis(1)))
}

#[test]
fn a_process_that_is_killed() {
    let Some(dir) = std::env::var_os(DIRECTORY) else { return };
    let told = Far::parse(&std::env::var(TOLD).expect("the parent says how far it was"));
    say("begins");
    let engine = open(Path::new(&dir)).unwrap_or_else(|error| panic!("say wrong: the log does not open: {error}"));
    for (topic, partitions, level) in [
        ("plain", 1, Durability::Os),
        ("sure", 1, Durability::Disk),
        ("left", 2, Durability::Disk),
        ("right", 1, Durability::Os),
        ("lines", 3, Durability::Disk),
    ] {
        let options = TopicOptions::new().partitions(partitions).durability(level);
        if let Err(error) = engine.create_topic(topic, options) {
            assert_eq!(error.kind(), oncelog::ErrorKind::TopicExists, "{error}");
        }
    }
    let far = match found(&engine, told) {
        Ok(far) => far,
        Err(fault) => return say(&format!("wrong: {fault}")),
    };
    std::thread::scope(|scope| {
        for work in [append as Work, transact, load] {
            let engine = &engine;
            scope.spawn(move || {
                if let Err(error) = work(engine, far) {
                    say(&format!("wrong: {error}"));
                }
            });
        }
    });
}

/// Four appends on their way at a time, acknowledged in order. Goes on until it is killed.
fn append(engine: &Engine, far: Far) -> oncelog::Result<()> {
    let (mut plain, mut sure) = (far.plain, far.sure);
    loop {
        let mut tickets = Vec::new();
        for _ in 0..4 {
            for (topic, number) in [("plain", &mut plain), ("sure", &mut sure)] {
                let mut builder = Batch::builder();
                builder.push(&Record::new(value(topic, *number).as_bytes()), 0)?;
                *number += 1;
                let partition = engine.partition(topic, 0)?;
                let ticket = partition.append_with(&builder.build()?, AppendOptions::new())?;
                tickets.push((topic, *number, ticket));
            }
        }
        for (topic, number, ticket) in tickets {
            ticket.wait()?;
            say(&format!("{topic} {number}"));
        }
    }
}

fn transact(engine: &Engine, far: Far) -> oncelog::Result<()> {
    let mover = engine.transactional_producer("mover", ProducerOptions::new())?;
    for number in far.moved.. {
        let mut transaction = mover.begin_transaction()?;
        let left = value("left", number);
        transaction.send("left", Record::new(left.as_bytes()).partition((number % 2) as u32))?;
        let offsets: Offsets = [(TopicPartition::new("sure", 0), (number + 1).into())].into();
        transaction.send_offsets(&GroupMetadata { group: "movers".into() }, &offsets)?;
        transaction.send("right", Record::new(value("right", number).as_bytes()))?;
        transaction.send_position(number)?;
        if number % 11 == 10 {
            // An aborted transaction leaves nothing; the same number is moved by the next one.
            transaction.abort()?;
            transaction = mover.begin_transaction()?;
            transaction.send("right", Record::new(value("right", number).as_bytes()))?;
            transaction.send("left", Record::new(left.as_bytes()).partition((number % 2) as u32))?;
            transaction.send_offsets(&GroupMetadata { group: "movers".into() }, &offsets)?;
            transaction.send_position(number)?;
        }
        transaction.commit()?;
        say(&format!("moved {}", number + 1));
    }
    Ok(())
}

/// Begins three records too early: those must be known.
fn load(engine: &Engine, far: Far) -> oncelog::Result<()> {
    let loader = loader(engine)?;
    let begin = far.loaded.saturating_sub(3);
    for from in (begin..).step_by(5) {
        let mut tickets = Vec::new();
        for number in from..from + 5 {
            let value = value("lines", number);
            let record = Record::new(value.as_bytes()).position(number).partition((number % 3) as u32);
            tickets.push((number, loader.send("lines", record)?));
        }
        for (number, ticket) in tickets {
            let duplicate = ticket.wait()?.duplicate;
            if duplicate != (number < far.loaded) {
                say(&format!("wrong: position {number} of {} answers duplicate: {duplicate}", far.loaded));
            }
            say(&format!("loaded {}", far.loaded.max(number + 1)));
        }
    }
    Ok(())
}

/// A child that is not left behind, whatever happens.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// Lets the process work until it has said `lines` words, kills it, and hears what it said before it died.
fn one_life(dir: &Path, told: &mut Far, lines: usize) -> Check {
    let child = Command::new(std::env::current_exe().map_err(|error| error.to_string())?)
        .args(["--exact", "a_process_that_is_killed", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, dir)
        .env(TOLD, told.words())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = Killed(child.map_err(|error| error.to_string())?);
    let out = child.0.stdout.take().expect("it was asked for");
    let mut heard = 0;
    for line in BufReader::new(out).lines() {
        let line = line.map_err(|error| error.to_string())?;
        // The test program's own words may stand before the first one.
        let Some((_, words)) = line.split_once("say ") else { continue };
        if words != "begins" {
            told.hear(words)?;
        }
        heard += 1;
        if heard == lines {
            child.0.kill().map_err(|error| error.to_string())?;
        }
    }
    if heard < lines {
        return Err(format!("the process ended by itself after {heard} words"));
    }
    Ok(())
}

#[test]
fn two_hundred_kills_take_nothing_that_was_acknowledged() {
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1_u64);
    let mut random = seed;
    let mut below = |end: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    let root = tempfile::tempdir().expect("a directory");
    let (mut told, mut checked, mut early, mut report) = (Far::default(), 0, 0, String::new());
    for kill in 0..KILLS {
        // One in eight dies while it opens the log.
        let lines = if below(8) == 0 { 1 } else { 2 + below(150) as usize };
        early += usize::from(lines == 1);
        let fault = one_life(root.path(), &mut told, lines).and_then(|()| {
            // Every third time the parent recovers the log, else the next process does; both check.
            if kill % 3 == 2 && lines > 1 {
                let engine = open(root.path()).map_err(|error| format!("the log does not open: {error}"))?;
                told = found(&engine, told)?;
                checked += 1;
                if below(2) == 0 {
                    engine.close().map_err(|error| format!("close answers {error}"))?;
                }
            }
            Ok(())
        });
        if let Err(fault) = fault {
            let _ = write!(report, "kill {kill}: {fault}\nrepeat: SEED={seed} cargo test --test kill -- --nocapture");
            break;
        }
    }
    assert!(report.is_empty(), "{report}");
    let engine = open(root.path()).expect("the log opens");
    let found = found(&engine, told).expect("all is there");
    println!("{KILLS} kills, {early} of them while opening, {checked} checked by the parent; at the end {found:?}");
}
