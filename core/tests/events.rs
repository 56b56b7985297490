//! What an engine tells beside its answers: each event with its fields, to its `Log` and to `tracing` alike.
#![cfg(all(feature = "sim", feature = "tracing"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, MutexGuard, Once};
use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{
    AppendOptions, Batch, Durability, Engine, Identity, Log, LogLevel, ProducerOptions, ReadOptions, Record,
    TopicOptions,
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
    for _ in 0..9 {
        producer.send("t", Record::new(b"whole and well")).unwrap().wait().unwrap();
    }
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

#[test]
fn aborts_are_told_with_their_transaction_and_the_cause() {
    let scene = Scene::new(4);
    let engine = scene.with_topic();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"never")).unwrap();
    let number = transaction.number();
    transaction.abort().unwrap();
    engine.drive().unwrap();
    let told = scene.told();
    let fields = one(&told, "aborted");
    has(fields, &[("number", &number), ("epoch", &0)]);
    assert_eq!(fields["cause"], "owner");

    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"never")).unwrap();
    engine.delete_topic("t").unwrap();
    transaction.commit().unwrap_err();
    engine.drive().unwrap();
    assert_eq!(one(&scene.told(), "aborted")["cause"], "UnknownTopicOrPartition");
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
