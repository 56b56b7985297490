//! What an engine tells beside its answers: each event with its fields, to its `Log` and to `tracing` alike.
#![cfg(all(feature = "sim", feature = "tracing"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{
    AppendOptions, Batch, Durability, Engine, ErrorKind, GroupMetadata, Identity, Log, LogLevel, Offsets, Outcome,
    ProducerOptions, ReadOptions, Record, TopicOptions, TopicPartition, Transaction,
};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record as Values};
use tracing::{Event, Level, Metadata, Subscriber};

/// An event as a subscriber sees it.
#[derive(Clone, Debug)]
struct Told {
    name: String,
    level: Level,
    fields: BTreeMap<String, String>,
}

static TOLD: Mutex<Vec<Told>> = Mutex::new(Vec::new());
/// The subscriber is the process's, so the tests take turns.
static TURN: Mutex<()> = Mutex::new(());

struct Collect;

impl Subscriber for Collect {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "oncelog"
    }
    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Values<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (name, level) = (event.metadata().name().to_owned(), *event.metadata().level());
        TOLD.lock().unwrap().push(Told { name, level, fields: fields.0 });
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Fields(BTreeMap<String, String>);

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.0.insert(field.name().to_owned(), value.to_owned());
    }
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.0.insert(field.name().to_owned(), format!("{value:?}"));
    }
}

/// Keeps what it is told.
#[derive(Default)]
struct Kept(Mutex<Vec<(LogLevel, String)>>);

impl Log for Kept {
    fn log(&self, level: LogLevel, message: &str) {
        self.0.lock().unwrap().push((level, message.to_owned()));
    }
}

struct Scene {
    world: World,
    log: Arc<Kept>,
    _turn: MutexGuard<'static, ()>,
}

impl Scene {
    fn new(seed: u64) -> Scene {
        static ONCE: Once = Once::new();
        let turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        ONCE.call_once(|| tracing::subscriber::set_global_default(Collect).unwrap());
        TOLD.lock().unwrap().clear();
        Scene { world: World::new(seed), log: Arc::default(), _turn: turn }
    }

    fn open(&self) -> Engine {
        let options = Engine::options().threads(false).segment_bytes(64 << 10).log(self.log.clone());
        options.open_on(self.world.machine()).unwrap()
    }

    fn with_topic(&self) -> Engine {
        let engine = self.open();
        engine.create_topic("t", TopicOptions::new()).unwrap();
        engine
    }

    /// Takes what was told, which the log must have heard too: the same events with the same fields.
    fn told(&self) -> Vec<Told> {
        let told = std::mem::take(&mut *TOLD.lock().unwrap());
        let lines = std::mem::take(&mut *self.log.0.lock().unwrap());
        assert_eq!(told.len(), lines.len(), "{told:?} and {lines:?}");
        for (event, (level, line)) in told.iter().zip(&lines) {
            let level = match level {
                LogLevel::Error => Level::ERROR,
                LogLevel::Warn => Level::WARN,
                LogLevel::Info => Level::INFO,
                _ => Level::DEBUG,
            };
            assert_eq!(event.level, level, "{line}");
            assert!(!line.contains('\n'), "{line:?} is one line");
            for (name, value) in &event.fields {
                let text = if name == "message" { format!("{value},") } else { format!(" {name}={value}") };
                assert!(line.contains(&text), "{text:?} is not in {line:?}");
            }
        }
        told
    }
}

fn raw(engine: &Engine, identity: Identity, sequence: i32) -> oncelog::Result<()> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1).unwrap();
    batch.producer(identity, sequence);
    engine.partition("t", 0).unwrap().append(&batch.build().unwrap())?.wait().map(drop)
}

/// The one event of that name.
#[track_caller]
fn one<'a>(told: &'a [Told], name: &str) -> &'a BTreeMap<String, String> {
    let found: Vec<&Told> = told.iter().filter(|event| event.name == name).collect();
    assert_eq!(found.len(), 1, "{name} in {told:?}");
    &found[0].fields
}

#[track_caller]
fn has(fields: &BTreeMap<String, String>, wanted: &[(&str, &dyn Debug)]) {
    for (name, value) in wanted {
        assert_eq!(fields.get(*name), Some(&format!("{value:?}")), "{name} of {fields:?}");
    }
}

#[test]
fn recovery_tells_what_it_copied_and_what_it_cut() {
    let mut cut = 0;
    for seed in 0..40 {
        let scene = Scene::new(seed);
        let engine = scene.with_topic();
        let partition = engine.partition("t", 0).unwrap();
        let mut batch = Batch::builder();
        batch.push(&Record::new(&[7; 5_000]), 1).unwrap();
        let batch = batch.build().unwrap();
        for _ in 0..10 {
            let options = AppendOptions::new().durability(Durability::Os);
            partition.append_with(&batch, options).unwrap().wait().unwrap();
        }
        scene.world.crash();
        drop((partition, engine));
        scene.told();
        let engine = scene.open();
        let opening = engine.opening();
        let told = scene.told();
        let opened = one(&told, "opened");
        has(opened, &[("incarnation", &2), ("created", &false), ("frames_copied", &opening.frames_copied)]);
        if let Some(lost) = opening.cut {
            cut += 1;
            let fields = one(&told, "tail_cut");
            has(fields, &[("last_kept", &lost.last_kept), ("last_seen", &lost.last_seen), ("bytes", &lost.bytes)]);
        } else {
            assert_eq!(told.len(), 1, "{told:?}");
        }
    }
    assert!(cut > 5, "{cut} of 40 power cuts tore a tail");
}

#[test]
fn damage_is_told_where_it_is_met_with_topic_partition_and_offsets() {
    let scene = Scene::new(1);
    let engine = scene.with_topic();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let lsns = [(); 9].map(|()| producer.send("t", Record::new(b"whole and well")).unwrap().wait().unwrap().lsn);
    drop(producer);
    engine.close().unwrap();
    let (name, bytes) = scene.world.files().into_iter().find(|(name, _)| name.ends_with(".seg")).unwrap();
    let at = bytes.windows(5).position(|window| window == b"whole").unwrap() as u64;
    scene.world.damage(&name, at, b"H");
    scene.world.evict();
    scene.told();

    let engine = scene.open();
    let records = engine.partition("t", 0).unwrap().read(0, ReadOptions::new()).unwrap();
    assert_eq!(records.iter().filter(|record| record.is_err()).count(), 1);
    // Told in the next round, not in the middle of the walk.
    assert_eq!(scene.told().iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["opened"]);
    engine.drive().unwrap();
    let told = scene.told();
    let fields = one(&told, "unreadable");
    has(fields, &[("partition", &0), ("offset", &0), ("end_offset", &1)]);
    assert_eq!((fields["topic"].as_str(), fields["file"].as_str()), ("t", name.as_str()));
    assert!(fields["position"].parse::<u64>().unwrap() <= at);
    has(fields, &[("first_lsn", &lsns[0]), ("last_lsn", &lsns[0])]);
    // Each walk tells of it anew, with what the error says.
    let error = records.iter().find_map(Result::err).unwrap();
    let values =
        format!("segment={name} position={} first_lsn={lsn} last_lsn={lsn}", fields["position"], lsn = lsns[0]);
    assert!(error.message().ends_with(&values), "{error}");
    engine.drive().unwrap();
    assert_eq!(one(&scene.told(), "unreadable"), fields);
    // Of records that outlive their log nobody can look any more which frame it was.
    engine.close().unwrap();
    drop(engine);
    let error = records.iter().find_map(Result::err).unwrap();
    assert!(error.message().contains(" first_lsn=1 last_lsn="), "{error}");
}

/// A log whose process died behind four durable frames: a record, a name that is opened, and two more records.
/// Answers the LSN of the first.
fn died(scene: &Scene) -> u64 {
    let engine = scene.with_topic();
    let partition = engine.partition("t", 0).unwrap();
    let append = |value: &[u8]| {
        let mut batch = Batch::builder();
        batch.push(&Record::new(value), 1).unwrap();
        partition.append(&batch.build().unwrap()).unwrap().wait().unwrap().lsn
    };
    let first = append(b"a record that rots");
    engine.init_producer(Some("a name that rots"), Duration::from_secs(1), None).unwrap();
    // Each says that the one before is durable.
    assert_eq!((append(b"whole"), append(b"and well")), (first + 2, first + 3));
    scene.world.kill();
    drop((partition, engine));
    first
}

/// Flips a byte of a text in the log's segments: in which file, and where.
fn rot(scene: &Scene, text: &[u8]) -> (String, u64) {
    let found = scene.world.files().into_iter().find_map(|(name, image)| {
        let at = image.windows(text.len()).position(|window| window == text)?;
        Some((name, at as u64, image[at]))
    });
    let (name, at, byte) = found.unwrap();
    scene.world.damage(&name, at, &[byte ^ 1]);
    scene.world.evict();
    (name, at)
}

#[test]
fn durable_frames_that_are_damaged_are_told_by_each_opening_before_it_is_told_whether_writes_are_refused() {
    for (text, offset, read_only) in [("a record that rots", 0, false), ("a name that rots", 1, true)] {
        let scene = Scene::new(9);
        let lsn = died(&scene) + offset;
        let (name, at) = rot(&scene, text.as_bytes());
        scene.told();
        // Where writes are refused nothing is mended: each opening tells it again.
        for _ in 0..=u32::from(read_only) {
            let engine = scene.open();
            let told = scene.told();
            assert_eq!(told.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["damaged", "opened"]);
            assert_eq!(told[0].level, Level::ERROR);
            let fields = one(&told, "damaged");
            has(fields, &[("first_lsn", &lsn), ("last_lsn", &lsn), ("records_only", &!read_only)]);
            assert_eq!(fields["file"], name);
            let position: u64 = fields["position"].parse().unwrap();
            assert!(position < at && at < position + 200, "its frame begins at {position}, the rot is at {at}");
            has(one(&told, "opened"), &[("read_only", &read_only)]);

            let answer = engine.create_topic("u", TopicOptions::new());
            if read_only {
                let values = format!("first_lsn={lsn} last_lsn={lsn} file={name} position={position}");
                let error = answer.unwrap_err();
                assert!(error.kind() == ErrorKind::Corrupt && error.message().ends_with(&values), "{error}");
            } else {
                answer.unwrap();
                let records = engine.partition("t", 0).unwrap().read(0, ReadOptions::new()).unwrap();
                assert_eq!(records.iter().filter(|record| record.is_err()).count(), 1);
                engine.drive().unwrap();
                let told = scene.told();
                has(one(&told, "unreadable"), &[("partition", &0), ("offset", &0), ("end_offset", &1)]);
                assert_eq!((told[0].level, told[0].fields["topic"].as_str()), (Level::ERROR, "t"));
            }
            drop(engine);
            scene.world.kill();
            scene.told();
        }
    }
}

#[test]
fn a_failed_flush_is_told_with_the_last_frame_that_is_safe() {
    let scene = Scene::new(2);
    let engine = scene.with_topic();
    let safe = engine.partition("t", 0).unwrap();
    let mut batch = Batch::builder();
    batch.push(&Record::new(b"x"), 1).unwrap();
    let batch = batch.build().unwrap();
    let lsn = safe.append(&batch).unwrap().wait().unwrap().lsn;
    scene.told();
    scene.world.fail(Call::Sync, 0, Fault::Eio, false);
    safe.append(&batch).unwrap().wait().unwrap_err();
    assert!(engine.metrics().poisoned);
    let _ = engine.drive();
    let told = scene.told();
    let fields = one(&told, "poisoned");
    has(fields, &[("durable_lsn", &lsn)]);
    assert!(fields["cause"].contains("a flush failed"), "{fields:?}");
}

#[test]
fn fences_are_told_when_they_fall_and_when_somebody_runs_into_them() {
    let scene = Scene::new(3);
    let engine = scene.with_topic();
    let old = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    engine.drive().unwrap();
    scene.told();
    let _new = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    engine.drive().unwrap();
    let told = scene.told();
    let fields = one(&told, "taken_over");
    assert_eq!((fields["name"].as_str(), fields["epoch"].as_str()), ("tp", "1"));

    old.begin_transaction().unwrap_err();
    engine.drive().unwrap();
    has(one(&scene.told(), "fenced"), &[("epoch", &0)]);

    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    raw(&engine, Identity { epoch: 1, ..identity }, 0).unwrap();
    raw(&engine, identity, 0).unwrap_err();
    engine.drive().unwrap();
    let told = scene.told();
    let fields = one(&told, "fenced");
    let producer_id = identity.producer_id;
    has(fields, &[("producer_id", &producer_id), ("epoch", &0), ("partition", &0), ("offset", &1)]);
    assert_eq!(fields["topic"], "t");
    assert_eq!(engine.metrics().fenced, 2);
}

/// What of transactions is counted: open, aborted.
fn counts(engine: &Engine) -> (u64, u64) {
    let metrics = engine.metrics();
    (metrics.transactions_open, metrics.transactions_aborted)
}

/// The one abort that was told since, by this cause.
#[track_caller]
fn aborted(scene: &Scene, engine: &Engine, cause: &str) -> BTreeMap<String, String> {
    engine.drive().unwrap();
    let fields = one(&scene.told(), "aborted").clone();
    assert_eq!(fields["cause"], cause);
    fields
}

/// It names where its records lie.
#[track_caller]
fn lies(fields: &BTreeMap<String, String>, partition: u32, offset: u64, partitions: u64) {
    has(fields, &[("partition", &partition), ("offset", &offset), ("partitions", &partitions)]);
    assert_eq!(fields["topic"], "t");
}

#[test]
fn the_abort_of_what_was_memory_only_is_told_once_with_its_cause_and_no_place() {
    let scene = Scene::new(4);
    let engine = scene.with_topic();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let begin = || {
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("t", Record::new(b"never")).unwrap();
        transaction
    };
    let transaction = begin();
    let number = transaction.number();
    transaction.abort().unwrap();
    let fields = aborted(&scene, &engine, "owner");
    has(&fields, &[("number", &number), ("epoch", &0)]);
    assert!(!fields.contains_key("topic"), "{fields:?}");

    // By its number: told and counted when it happens, and not again when its owner hears of it.
    let transaction = begin();
    assert_eq!(counts(&engine), (1, 1));
    engine.abort_transaction(transaction.number()).unwrap();
    engine.abort_transaction(transaction.number()).unwrap();
    assert_eq!(counts(&engine), (0, 2));
    has(&aborted(&scene, &engine, "number"), &[("number", &transaction.number())]);
    transaction.commit().unwrap_err();
    engine.drive().unwrap();
    assert_eq!((counts(&engine), scene.told().len()), ((0, 2), 0));

    let transaction = begin();
    engine.delete_topic("t").unwrap();
    transaction.commit().unwrap_err();
    aborted(&scene, &engine, "UnknownTopicOrPartition");
    assert_eq!(counts(&engine), (0, 3));
}

/// Ends a transaction; gives it back if it was somebody else who did.
type End<'a> = &'a dyn Fn(Transaction) -> Option<Transaction>;

#[test]
fn the_abort_of_what_lies_in_the_log_is_told_once_when_it_happens_with_its_place() {
    // It was told without a place, and again when the owner called.
    let scene = Scene::new(6);
    let engine = scene.open();
    engine.create_topic("t", TopicOptions::new().partitions(3)).unwrap();
    let producer = || {
        let options = ProducerOptions::new().transaction_buffer(0);
        engine.transactional_producer("tp", options).unwrap()
    };
    let timed_out = |transaction: Transaction| {
        scene.world.advance(61_000_000_000);
        Some(transaction)
    };
    let by_number = |transaction: Transaction| {
        engine.abort_transaction(transaction.number()).unwrap();
        Some(transaction)
    };
    let dropped = |_: Transaction| None;
    let refused = |mut transaction: Transaction| {
        engine.create_topic("u", TopicOptions::new()).unwrap();
        let offsets = Offsets::from([(TopicPartition::new("u", 0), 1.into())]);
        transaction.send_offsets(&GroupMetadata { group: "g".to_owned() }, &offsets).unwrap();
        engine.delete_topic("u").unwrap();
        transaction.commit().unwrap_err();
        None
    };
    let fenced = |transaction: Transaction| {
        drop(producer());
        Some(transaction)
    };
    let ends: [(&str, End<'_>); 5] = [
        ("timeout", &timed_out),
        ("number", &by_number),
        ("owner", &dropped),
        ("UnknownTopicOrPartition", &refused),
        ("fence", &fenced),
    ];
    let holder = producer();
    for (n, (cause, end)) in (0u64..).zip(ends) {
        let mut transaction = holder.begin_transaction().unwrap();
        for partition in [2, 1] {
            transaction.send("t", Record::new(b"x").partition(partition)).unwrap();
        }
        let number = transaction.number();
        engine.drive().unwrap();
        scene.told();
        assert_eq!(counts(&engine), (1, n));
        let left = end(transaction);
        let fields = aborted(&scene, &engine, cause);
        has(&fields, &[("number", &number), ("epoch", &0)]);
        lies(&fields, 1, n, 2);
        assert_eq!(counts(&engine), (0, n + 1), "{cause}");
        if let Some(left) = left {
            left.commit().unwrap_err();
            engine.drive().unwrap();
            assert!(scene.told().iter().all(|event| event.name != "aborted"), "{cause} is told again");
            assert_eq!(counts(&engine), (0, n + 1), "{cause}");
        }
    }
}

#[test]
fn every_abort_of_a_raw_transaction_is_told_its_owners_too() {
    let scene = Scene::new(7);
    let engine = scene.with_topic();
    let init = || engine.init_producer(Some("raw"), Duration::from_secs(10), None).unwrap();
    let begin = |identity: Identity| {
        let mut batch = Batch::builder();
        batch.push(&Record::new(b"x"), 1).unwrap();
        batch.producer(identity, 0).transactional(true);
        engine.partition("t", 0).unwrap().append(&batch.build().unwrap()).unwrap().wait().unwrap();
    };
    let identity = init();
    begin(identity);
    let next = engine.end_transaction(identity, Outcome::Abort).unwrap();
    let fields = aborted(&scene, &engine, "owner");
    has(&fields, &[("producer_id", &identity.producer_id), ("epoch", &identity.epoch)]);
    lies(&fields, 0, 0, 1);
    // There is nothing to abort; offsets alone lie nowhere.
    let next = engine.end_transaction(next, Outcome::Abort).unwrap();
    engine.drive().unwrap();
    assert!(scene.told().is_empty());
    let offsets = Offsets::from([(TopicPartition::new("t", 0), 1.into())]);
    engine.send_offsets(next, &GroupMetadata { group: "g".to_owned() }, &offsets).unwrap();
    scene.world.advance(11_000_000_000);
    assert!(!aborted(&scene, &engine, "timeout").contains_key("topic"));

    begin(init());
    init();
    lies(&aborted(&scene, &engine, "fence"), 0, 1, 1);
    begin(init());
    engine.delete_producer("raw").unwrap();
    lies(&aborted(&scene, &engine, "fence"), 0, 2, 1);
    assert_eq!(counts(&engine), (0, 4));
    begin(init());
    engine.close().unwrap();
    let told = scene.told();
    lies(one(&told, "aborted"), 0, 3, 1);
    assert_eq!(told.last().unwrap().name, "closed");
}

#[test]
fn what_a_life_left_open_is_told_and_counted_by_the_next_that_aborts_it() {
    let scene = Scene::new(8);
    let engine = scene.with_topic();
    let options = ProducerOptions::new().transaction_buffer(0);
    let mut left = engine.transactional_producer("tp", options).unwrap().begin_transaction().unwrap();
    left.send("t", Record::new(b"x")).unwrap();
    engine.flush().unwrap();
    // The frame behind says that it was flushed.
    engine.create_topic("u", TopicOptions::new()).unwrap();
    scene.world.kill();
    let read = || {
        let options = Engine::options().read_only(true).threads(false).log(scene.log.clone());
        options.open_on(scene.world.machine_for_reading()).unwrap()
    };
    let reader = read();
    assert_eq!((counts(&reader).0, reader.describe_transactions().unwrap().len()), (1, 1), "nobody ends it here");
    drop((left, engine, reader));
    scene.told();
    let engine = scene.open();
    let fields = aborted(&scene, &engine, "reopen");
    lies(&fields, 0, 0, 1);
    assert_eq!(counts(&engine), (0, 1));
    engine.close().unwrap();
    assert_eq!(counts(&read()).0, 0);
}

#[test]
fn more_events_than_are_kept_are_counted() {
    let scene = Scene::new(5);
    let engine = scene.with_topic();
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    raw(&engine, Identity { epoch: 1, ..identity }, 0).unwrap();
    engine.drive().unwrap();
    scene.told();
    for _ in 0..1_500 {
        raw(&engine, identity, 0).unwrap_err();
    }
    engine.drive().unwrap();
    let told = scene.told();
    assert_eq!(told.len(), 1_001);
    has(one(&told, "events_dropped"), &[("events", &500)]);
    assert_eq!(engine.metrics().fenced, 1_500);
}
