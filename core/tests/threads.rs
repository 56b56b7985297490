//! Many threads on one engine, on a real disk: appenders at both levels, transactions, consumers that poll while they
//! write, segments so small that they roll all the time. Whatever the interleaving, every record is there once.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncelog::io::{Event, Machine, Park};
use oncelog::{
    AppendOptions, Batch, Consumer, ConsumerOptions, Durability, Engine, EngineOptions, ProducerOptions, ReadOptions,
    Record, Ticket, TopicOptions, TopicPartition,
};

/// Those who append take turns, or share their writes, whatever was measured.
struct Settled {
    turns: bool,
    park: Arc<dyn Park>,
    /// The threads that waited for their turn.
    napped: Mutex<Vec<String>>,
}

impl Park for Settled {
    fn turns(&self, _: bool) -> bool {
        self.turns
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        self.park.park(event, seen, deadline)
    }

    fn spin(&self, done: &mut dyn FnMut() -> bool) -> bool {
        self.park.spin(done)
    }

    fn nap(&self, nanoseconds: u64) {
        self.napped.lock().unwrap().push(std::thread::current().name().unwrap_or_default().to_owned());
        self.park.nap(nanoseconds);
    }

    fn give_way(&self) -> bool {
        self.park.give_way()
    }
}

fn open_settled(options: EngineOptions, dir: &Path, turns: bool) -> (Engine, Arc<Settled>) {
    let machine = Machine::system(dir, true, false, true).expect("a directory");
    let park = Arc::new(Settled { turns, park: machine.park.clone(), napped: Mutex::default() });
    (options.open_on(Machine { park: park.clone(), ..machine }).expect("a log"), park)
}

/// A log of small segments.
fn open(options: EngineOptions, dir: &Path, turns: bool) -> Engine {
    open_settled(options.segment_bytes(64 << 10), dir, turns).0
}

fn batch(text: &str) -> Batch {
    let mut builder = Batch::builder();
    builder.push(&Record::new(text.as_bytes()), 1).expect("a small record");
    builder.build().expect("a batch")
}

/// Everything in a partition that is committed, in order.
fn read_all(engine: &Engine, topic: &str, number: u32) -> Vec<String> {
    let partition = engine.partition(topic, number).expect("a partition");
    let (mut at, mut out) = (0, Vec::new());
    while at < partition.bounds().end {
        let records = partition.read(at, ReadOptions::new()).expect("readable");
        for record in &records {
            let record = record.expect("whole");
            assert!(record.offset() >= at, "in order");
            out.push(String::from_utf8(record.value().unwrap_or_default().to_vec()).expect("text"));
        }
        at = records.next_offset(topic, number).expect("read");
    }
    out
}

/// Each writer's texts are `<writer>:<n>`: every n once and in order.
fn assert_complete(found: &[String], writers: &[String], each: usize) {
    let mut next: BTreeMap<&str, usize> = BTreeMap::new();
    for text in found {
        let (writer, n) = text.split_once(':').expect("writer and number");
        let n: usize = n.split(' ').next().and_then(|n| n.parse().ok()).expect("a number");
        let expected = next.entry(writer).or_default();
        assert_eq!(n, *expected, "writer {writer}");
        *expected += 1;
    }
    for writer in writers {
        assert_eq!(next.get(writer.as_str()), Some(&each), "writer {writer}");
    }
}

/// Counts what a consumer sees until everybody else is done and nothing is left.
fn read_until(consumer: &Consumer, done: &AtomicBool) -> usize {
    let mut count = 0;
    loop {
        let last = done.load(Ordering::SeqCst);
        let records = consumer.poll(Duration::from_millis(20)).expect("polled");
        count += records.iter().inspect(|r| assert!(r.is_ok())).count();
        if last && records.is_empty() {
            return count;
        }
    }
}

fn append_all(engine: &Engine, i: usize, name: &str, appends: usize) {
    let partition = engine.partition("plain", i as u32 % 3).expect("a partition");
    let level = if i.is_multiple_of(2) { Durability::Os } else { Durability::Disk };
    for n in 0..appends {
        let text = format!("{name}:{n} {}", "x".repeat(n % 200));
        let options = AppendOptions::new().durability(level);
        let ticket = partition.append_with(&batch(&text), options).expect("placed");
        if n % 10 == 0 {
            ticket.wait().expect("acknowledged");
        } else {
            ticket.detach();
        }
    }
}

fn pay_all(engine: &Engine, name: &str, payments: usize, streams: bool) {
    let options = ProducerOptions::new();
    let options = if streams { options.transaction_buffer(0) } else { options };
    let producer = engine.transactional_producer(name, options).expect("a producer");
    for n in 0..payments {
        let text = format!("{name}:{n}");
        let begin = || {
            let mut transaction = producer.begin_transaction().expect("begun");
            for partition in 0..2 {
                transaction.send("paid", Record::new(text.as_bytes()).partition(partition)).expect("sent");
            }
            transaction
        };
        let mut transaction = begin();
        if n % 7 == 3 {
            // Aborted and run again: it must not show twice.
            transaction.abort().expect("aborted");
            transaction = begin();
        }
        transaction.commit().map(drop).expect("committed");
    }
}

/// So many appenders, transactional producers, every second of which streams, and readers of either topic at once.
fn run_at_once(many: usize, turns: bool) {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = open(Engine::options(), dir.path(), turns);
    engine.create_topic("plain", TopicOptions::new().partitions(3)).expect("made");
    engine.create_topic("paid", TopicOptions::new().partitions(2)).expect("made");
    let appenders: Vec<String> = (0..many).map(|i| format!("appender{i}")).collect();
    let payers: Vec<String> = (0..many).map(|i| format!("payer{i}")).collect();
    let (appends, payments) = (4000 / many, 800 / many);
    let done = AtomicBool::new(false);
    let reader = |topic: &str, partitions: u32| {
        let consumer = engine.consumer(ConsumerOptions::new()).expect("a consumer");
        let all: Vec<_> = (0..partitions).map(|n| TopicPartition::new(topic, n)).collect();
        consumer.assign(&all).expect("assigned");
        consumer
    };
    std::thread::scope(|scope| {
        let (engine, done) = (&engine, &done);
        let read = |topic, partitions| {
            let consumer = reader(topic, partitions);
            scope.spawn(move || read_until(&consumer, done))
        };
        let readers: Vec<_> = (0..many).map(|_| (read("plain", 3), read("paid", 2))).collect();
        let mut writers = Vec::new();
        for (i, name) in appenders.iter().enumerate() {
            writers.push(scope.spawn(move || append_all(engine, i, name, appends)));
        }
        for (i, name) in payers.iter().enumerate() {
            writers.push(scope.spawn(move || pay_all(engine, name, payments, i % 2 == 1)));
        }
        writers.into_iter().for_each(|w| w.join().expect("a writer"));
        engine.flush().expect("flushed");
        done.store(true, Ordering::SeqCst);
        for (plain, paid) in readers {
            let seen = (plain.join().expect("a reader"), paid.join().expect("a reader"));
            assert_eq!(seen, (many * appends, 2 * many * payments), "a consumer saw every record once, {many} at once");
        }
    });
    let check = |engine: &Engine| {
        let plain: Vec<String> = (0..3).flat_map(|n| read_all(engine, "plain", n)).collect();
        assert_complete(&plain, &appenders, appends);
        for number in 0..2 {
            assert_complete(&read_all(engine, "paid", number), &payers, payments);
        }
    };
    check(&engine);
    engine.close().expect("closed");
    check(&Engine::open(dir.path()).expect("opened again"));
}

#[test]
fn one_two_and_eight_of_each_append_read_and_commit_at_once_and_nothing_is_lost_or_doubled() {
    for turns in [false, true] {
        [1, 2, 8].into_iter().for_each(|many| run_at_once(many, turns));
    }
}

#[test]
fn a_detached_append_after_a_quiet_time_is_written_without_anybody_waiting() {
    let dir = tempfile::tempdir().expect("a directory");
    let engine = Engine::options().durability(Durability::Os).open(dir.path()).expect("a log");
    engine.create_topic("quiet", TopicOptions::new()).expect("made");
    let partition = engine.partition("quiet", 0).expect("a partition");
    let consumer = engine.consumer(ConsumerOptions::new()).expect("a consumer");
    consumer.assign(&[TopicPartition::new("quiet", 0)]).expect("assigned");
    for round in 0..3 {
        // Long enough for the keeper to have nothing left to do and to sleep as long as it likes.
        std::thread::sleep(Duration::from_millis(300));
        partition.append(&batch(&format!("round {round}"))).expect("placed").detach();
        let records = consumer.poll(Duration::from_secs(600)).expect("polled");
        assert_eq!(records.iter().count(), 1, "round {round}: the keeper slept through an append");
    }
}

#[test]
fn many_appenders_roll_again_and_again_and_never_stall() {
    let (said, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for round in 0..12 {
            let dir = tempfile::tempdir().expect("a directory");
            let level = if round % 2 == 0 { Durability::Os } else { Durability::Disk };
            let engine = open(Engine::options().durability(level), dir.path(), round % 4 > 1);
            engine.create_topic("t", TopicOptions::new()).expect("made");
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| {
                        let partition = engine.partition("t", 0).expect("a partition");
                        for n in 0..120 {
                            let text = "x".repeat(500 + n * 13);
                            partition.append(&batch(&text)).and_then(|ticket| ticket.wait()).expect("appended");
                        }
                    });
                }
            });
            assert_eq!(engine.partition("t", 0).expect("a partition").bounds().end, 8 * 120);
        }
        said.send(()).expect("somebody listens");
    });
    heard.recv_timeout(Duration::from_secs(1800)).expect("the appenders stalled at a roll");
}

#[test]
fn where_turns_are_taken_who_waits_for_each_of_his_records_has_it_written_when_it_is_placed() {
    for turns in [false, true] {
        let dir = tempfile::tempdir().expect("a directory");
        // Nobody else writes.
        let options = Engine::options().durability(Durability::Os).threads(false);
        let engine = open_settled(options, dir.path(), turns).0;
        engine.create_topic("t", TopicOptions::new()).expect("made");
        let partition = engine.partition("t", 0).expect("a partition");
        let is_written = |level| {
            let mut ticket =
                partition.append_with(&batch("x"), AppendOptions::new().durability(level)).expect("placed");
            let written = ticket.try_wait().expect("asked").is_some();
            ticket.detach();
            written
        };
        for _ in 0..3 {
            partition.append(&batch("waited for")).and_then(Ticket::wait).expect("written");
            assert_eq!(is_written(Durability::Os), turns, "after a wait");
            assert!(!is_written(Durability::Os), "not waited for the last one");
        }
        for level in [Durability::Os, Durability::Disk] {
            partition.append_with(&batch("x"), AppendOptions::new().durability(level)).and_then(Ticket::wait).unwrap();
            assert!(!is_written(Durability::Disk));
        }
        let producer = engine.transactional_producer("tp", ProducerOptions::new()).expect("a producer");
        let commit = || {
            let mut transaction = producer.begin_transaction().expect("begun");
            transaction.send("t", Record::new(b"x")).expect("sent");
            transaction.commit_ticket().expect("placed")
        };
        commit().wait().expect("written");
        assert_eq!(commit().try_wait().expect("asked").is_some(), turns);
        assert!(commit().try_wait().expect("asked").is_none());
    }
}

#[test]
fn nobody_waits_for_a_turn_who_waits_for_no_record_or_holds_a_lock() {
    let dir = tempfile::tempdir().expect("a directory");
    let (engine, park) = open_settled(Engine::options().durability(Durability::Os), dir.path(), true);
    engine.create_topic("t", TopicOptions::new()).expect("made");
    let done = AtomicBool::new(false);
    let naps = || park.napped.lock().unwrap().clone();
    let producer = |options| engine.producer(options).expect("a producer");
    std::thread::scope(|scope| {
        let (engine, done) = (&engine, &done);
        let spawn = |name, work: Box<dyn Fn() + Send>| {
            let again = move || (0..).take_while(|_| !done.load(Ordering::Relaxed)).for_each(|_| work());
            std::thread::Builder::new().name(name).spawn_scoped(scope, again).expect("a thread");
        };
        let partition = engine.partition("t", 0).expect("a partition");
        for n in 0..3 {
            let partition = partition.clone();
            let hammer = move || {
                partition.append(&batch("x")).and_then(Ticket::wait).expect("written");
            };
            spawn(format!("hammer{n}"), Box::new(hammer));
        }
        // Their batches are closed under a lock of the producer's.
        let prompt = producer(ProducerOptions::new());
        let send = move || {
            prompt.send("t", Record::new(b"x")).and_then(Ticket::wait).expect("written");
        };
        spawn("sender".to_owned(), Box::new(send));
        let lingering = producer(ProducerOptions::new().linger(Duration::from_micros(100)));
        let named = producer(ProducerOptions::new().name("named").linger(Duration::from_micros(100)));
        let mut rounds = 0;
        while rounds < 300 || naps().len() < 100 {
            rounds += 1;
            partition.append(&batch("x")).expect("placed").detach();
            let disk = AppendOptions::new().durability(Durability::Disk);
            partition.append_with(&batch("x"), disk).expect("placed").detach();
            lingering.send("t", Record::new(b"x")).expect("sent").detach();
            named.send("t", Record::new(b"x").position(rounds)).expect("sent").detach();
        }
        done.store(true, Ordering::Relaxed);
    });
    engine.close().expect("closed");
    let who: std::collections::BTreeSet<String> = naps().into_iter().collect();
    assert!(who.iter().all(|name| name.starts_with("hammer")), "{who:?}");
}
