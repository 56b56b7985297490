//! What an engine counts.

use std::time::Duration;

use oncelog::{
    Batch, ConsumerOptions, Durability, Engine, ErrorKind, Identity, Isolation, ProducerOptions, Record, TopicOptions,
    TopicPartition,
};

use crate::{LONG, engine};

fn raw(engine: &Engine, identity: Identity, sequence: i32, records: usize) -> Result<bool, ErrorKind> {
    let mut batch = Batch::builder();
    (0..records).for_each(|_| batch.push(&Record::new(b"x"), 1).unwrap());
    batch.producer(identity, sequence);
    let ticket = engine.partition("t", 0).unwrap().append(&batch.build().unwrap());
    ticket.and_then(|ticket| ticket.wait()).map(|appended| appended.duplicate).map_err(|error| error.kind())
}

#[test]
fn appends_duplicates_and_fences_are_counted_and_begin_anew_with_each_open() {
    let (dir, engine) = engine(&[("t", 1)]);
    let before = engine.metrics();
    assert_eq!((before.appends, before.records, before.segments, before.poisoned), (0, 0, 1, false));
    let identity = engine.init_producer(None, Duration::ZERO, None).unwrap();
    assert_eq!(raw(&engine, identity, 0, 3), Ok(false));
    assert_eq!(raw(&engine, identity, 3, 1), Ok(false));
    assert_eq!(raw(&engine, identity, 0, 3), Ok(true));
    assert_eq!(raw(&engine, Identity { epoch: 1, ..identity }, 0, 1), Ok(false));
    assert_eq!(raw(&engine, identity, 4, 1), Err(ErrorKind::StaleEpoch));
    let named = engine.producer(ProducerOptions::new().name("n")).unwrap();
    for _ in 0..2 {
        named.send("t", Record::new(b"x").position(7)).unwrap().wait().unwrap();
    }
    let now = engine.metrics();
    assert_eq!((now.appends, now.records, now.duplicates, now.fenced), (4, 6, 2, 1));
    assert!(now.bytes > before.bytes && now.flush_nanos.count() > before.flush_nanos.count());
    let (groups, frames) = (now.group_frames.count(), now.group_frames.sum());
    assert!(groups > before.group_frames.count() && frames >= groups, "{now:?}");
    assert!(now.disk_live > before.disk_live && now.disk_live <= now.disk_used, "{now:?}");
    drop(named);
    engine.close().unwrap();
    assert_eq!(engine.metrics().records, 6, "a closed log still answers");

    let engine = Engine::open(dir.path()).unwrap();
    let again = engine.metrics();
    assert_eq!((again.appends, again.records, again.duplicates, again.fenced), (0, 0, 0, 0));
    assert!(again.disk_live >= now.disk_live);
}

#[test]
fn transactions_are_counted_by_how_they_end() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let counts = || {
        let metrics = engine.metrics();
        [metrics.transactions_open, metrics.transactions_committed, metrics.transactions_aborted]
    };
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut first = producer.begin_transaction().unwrap();
    first.send("t", Record::new(b"x")).unwrap();
    assert_eq!(counts(), [1, 0, 0]);
    first.commit().unwrap();
    assert_eq!(counts(), [0, 1, 0]);
    producer.begin_transaction().unwrap().abort().unwrap();
    drop(producer.begin_transaction().unwrap());
    assert_eq!(counts(), [0, 1, 2]);
    let mut fenced = producer.begin_transaction().unwrap();
    fenced.send("t", Record::new(b"x")).unwrap();
    let _new = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    fenced.commit().unwrap_err();
    assert_eq!(counts(), [0, 1, 3]);
    assert_eq!((engine.metrics().appends, engine.metrics().fenced), (1, 1));
}

#[test]
fn an_abort_by_number_beside_the_first_record_ends_a_transaction_once() {
    let (_dir, engine) = engine(&[]);
    engine.create_topic("t", TopicOptions::new().durability(Durability::Os)).unwrap();
    let streams = ProducerOptions::new().transaction_buffer(0);
    let producer = engine.transactional_producer("tp", streams).unwrap();
    let (rounds, mut committed) = (500, 0);
    for round in 0..rounds {
        let mut transaction = producer.begin_transaction().unwrap();
        let number = transaction.number();
        let (aborts, commits) = std::thread::scope(|scope| {
            let other = scope.spawn(|| engine.abort_transaction(number).is_ok());
            // A little later each time, so that it lands anywhere around the abort.
            (0..round * 20).for_each(|_| std::hint::spin_loop());
            let sent = transaction.send("t", Record::new(b"x"));
            let commits = sent.and_then(|()| transaction.commit()).is_ok();
            (other.join().unwrap(), commits)
        });
        assert!(aborts != commits, "round {round}: aborted {aborts}, committed {commits}");
        committed += u64::from(commits);
    }
    let metrics = engine.metrics();
    assert_eq!(metrics.appends, metrics.records, "a decision is no batch");
    let counted = [metrics.transactions_open, metrics.transactions_committed, metrics.transactions_aborted];
    assert_eq!(counted, [0, committed, rounds - committed]);
    assert!(engine.describe_transactions().unwrap().is_empty());
}

#[test]
fn lag_is_told_for_each_group_and_partition_as_long_as_a_consumer_is_open() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let records = [Record::new(b"x").partition(0); 5];
    producer.send_many("t", &records).unwrap().wait().unwrap();
    let places = [0, 1].map(|number| TopicPartition::new("t", number));
    let open = |group: Option<&str>| {
        let options = ConsumerOptions::new();
        let consumer = engine.consumer(group.map_or(options.clone(), |group| options.group(group))).unwrap();
        consumer.assign(&places).unwrap();
        consumer
    };
    let (fast, slow, nobody) = (open(Some("fast")), open(Some("slow \"\\")), open(None));
    assert!(engine.metrics().lags.is_empty(), "nobody has asked for a position yet");
    assert_eq!(fast.poll(LONG).unwrap().count(), 5);
    assert_eq!(nobody.poll(LONG).unwrap().count(), 5);
    slow.seek(&places[0], 1).unwrap();
    let twin = open(Some("slow \"\\"));
    twin.seek(&places[0], 3).unwrap();
    let lags = engine.metrics().lags;
    let told: Vec<_> = lags.iter().map(|l| (l.group.as_str(), l.partition.partition, l.position, l.lag)).collect();
    assert_eq!(told, [("fast", 0, 5, 0), ("fast", 1, 0, 0), ("slow \"\\", 0, 1, 4)]);
    let text = engine.metrics().to_openmetrics();
    let line = "oncelog_consumer_lag{group=\"slow \\\"\\\\\",topic=\"t\",partition=\"0\"} 4\n";
    assert!(text.contains(line), "{text}");
    drop((fast, slow, twin));
    assert!(engine.metrics().lags.is_empty());
}

#[test]
fn the_lag_that_is_told_is_that_to_the_end_which_the_consumer_sees() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let place = TopicPartition::new("t", 0);
    engine.producer(ProducerOptions::new()).unwrap().send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(0)).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send_many("t", [Record::new(b"undecided"); 3]).unwrap();
    engine.flush().unwrap();
    for (isolation, behind) in [(Isolation::ReadCommitted, 1), (Isolation::ReadUncommitted, 4)] {
        let consumer = engine.consumer(ConsumerOptions::new().group("g").isolation(isolation)).unwrap();
        consumer.assign(std::slice::from_ref(&place)).unwrap();
        assert_eq!(consumer.lag(&place).unwrap(), behind);
        assert_eq!(engine.metrics().lags[0].lag, behind, "{isolation:?}");
    }
}

#[test]
fn segments_and_checkpoints_are_counted_as_the_log_grows() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::options().segment_bytes(64 << 10).open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let value = [7; 10_000];
    for _ in 0..40 {
        producer.send("t", Record::new(&value)).unwrap().wait().unwrap();
    }
    let metrics = engine.metrics();
    assert!(metrics.segments > 5 && metrics.disk_live > 400_000, "{metrics:?}");
    let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap());
    let segments = files.filter(|file| file.file_name().to_str().unwrap().ends_with(".seg")).count() as u64;
    // One more may be made and not yet begun.
    assert!(metrics.segments == segments || metrics.segments + 1 == segments, "{metrics:?} of {segments} files");
    assert!(metrics.disk_used < segments * (64 << 10) + 4096 && metrics.disk_used >= metrics.disk_live);
}
