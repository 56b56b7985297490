//! What an open log keeps in memory: for its producers, bounded while they gather and little once they have sent; and
//! for itself, however much goes through it.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use oncelog::limits::PRODUCER_MEMORY;
use oncelog::{
    Compression, ConsumerOptions, Durability, Engine, ErrorKind, GroupMetadata, OffsetAndMetadata, Offsets,
    ProducerOptions, Record, TopicOptions, TopicPartition, Transaction,
};

/// Counts the bytes that are allocated.
struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Held by the one test whose bytes are counted.
static ONE: Mutex<()> = Mutex::new(());

/// A log with a topic, and how much more there is than when it was opened.
struct Log {
    _one: MutexGuard<'static, ()>,
    _dir: tempfile::TempDir,
    engine: Engine,
    before: usize,
}

impl Log {
    fn open(partitions: u32, transaction_memory: usize) -> Log {
        let one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let dir = tempfile::tempdir().unwrap();
        let options = Engine::options().transaction_memory(transaction_memory).durability(Durability::Os);
        let engine = options.open(dir.path()).unwrap();
        engine.create_topic("t", TopicOptions::new().partitions(partitions)).unwrap();
        Log { _one: one, _dir: dir, engine, before: LIVE.load(Ordering::Relaxed) }
    }

    /// MiB, rounded up.
    fn more(&self) -> usize {
        LIVE.load(Ordering::Relaxed).saturating_sub(self.before).div_ceil(1 << 20)
    }
}

fn many_offsets(transaction: &mut Transaction, count: u32) -> oncelog::Result<()> {
    let at = OffsetAndMetadata { offset: 1, leader_epoch: -1, metadata: "m".repeat(4_000) };
    let offsets: Offsets = (0..count).map(|p| (TopicPartition::new("t", p), at.clone())).collect();
    transaction.send_offsets(&GroupMetadata { group: "g".into() }, &offsets)
}

#[test]
fn offsets_of_open_transactions_count_as_their_memory_but_for_a_few() {
    let log = Log::open(240, 4 << 20);
    let mut open = Vec::new();
    let mut refused = 0;
    for n in 0..40 {
        let producer = log.engine.transactional_producer(&format!("tp{n}"), ProducerOptions::new()).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        many_offsets(&mut transaction, 10).unwrap();
        match many_offsets(&mut transaction, 240) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy);
                refused += 1;
            }
        }
        open.push(transaction);
    }
    assert!((30..40).contains(&refused), "{refused} of 40");
    assert!(log.more() <= 8, "{} MiB", log.more());
    open.into_iter().for_each(|transaction| _ = transaction.commit().unwrap());
    let again = log.engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = again.begin_transaction().unwrap();
    many_offsets(&mut transaction, 240).unwrap();
    transaction.commit().unwrap();
}

#[test]
fn however_many_transactions_have_a_few_offsets_they_have_no_more_than_is_kept_for_them() {
    let log = Log::open(240, 1);
    let (mut open, mut refused) = (Vec::new(), 0);
    for n in 0..200 {
        let producer = log.engine.transactional_producer(&format!("tp{n}"), ProducerOptions::new()).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        match many_offsets(&mut transaction, 13) {
            Ok(()) => {}
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Busy);
                refused += 1;
            }
        }
        open.push(transaction);
    }
    assert!((38..46).contains(&refused), "{refused} of 200");
    // One that ends makes room for the next.
    open.remove(0).commit().unwrap();
    let last = open.last_mut().unwrap();
    many_offsets(last, 13).unwrap();
}

#[test]
fn producers_whose_transactions_have_ended_keep_next_to_nothing() {
    let log = Log::open(8, 8 << 20);
    let mut idle = Vec::new();
    for n in 0..40 {
        let options = ProducerOptions::new().transaction_buffer(4 << 20).compression(Compression::None);
        let producer = log.engine.transactional_producer(&format!("tp{n}"), options).unwrap();
        let mut transaction = producer.begin_transaction().unwrap();
        for p in 0..4 {
            transaction.send("t", Record::new(&vec![1; 900 << 10]).partition(p)).unwrap();
        }
        transaction.commit().unwrap();
        idle.push(producer);
    }
    log.engine.flush().unwrap();
    // What the journal keeps for its next groups is in it.
    assert!(log.more() <= 16, "{} MiB", log.more());
}

#[test]
fn transactions_of_many_widths_leave_no_more_behind_than_one() {
    let log = Log::open(700, 8 << 20);
    let producer = log.engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let large = vec![1; 1_000_000];
    for round in 0..60 {
        let mut wide = producer.begin_transaction().unwrap();
        (0..1 + round * 389 % 700).for_each(|p| wide.send("t", Record::new(b"x").partition(p)).unwrap());
        wide.abort().unwrap();
        let mut tall = producer.begin_transaction().unwrap();
        tall.send("t", Record::new(&large).partition(0)).unwrap();
        tall.abort().unwrap();
    }
    assert!(log.more() <= 4, "{} MiB", log.more());
}

#[test]
fn a_producer_closes_its_oldest_batches_past_its_memory_and_keeps_little_once_it_has_flushed() {
    let log = Log::open(300, 8 << 20);
    let options = ProducerOptions::new().linger(Duration::from_secs(600)).batch_bytes(1 << 20);
    let producer = log.engine.producer(options).unwrap();
    let value = vec![1; 500_000];
    for p in 0..300 {
        producer.send("t", Record::new(&value).partition(p)).unwrap().detach();
        // A buffer may be twice what lies in it; a group of the journal waits to be written.
        assert!(log.more() <= 2 * (PRODUCER_MEMORY >> 20) + 32, "{} MiB at {p}", log.more());
    }
    let ends = (0..300).map(|p| log.engine.partition("t", p).unwrap().bounds().end);
    let first_open = ends.take_while(|end| *end == 1).count();
    assert!((200..300).contains(&first_open), "the oldest {first_open} were closed, and no others");
    producer.flush().unwrap();
    log.engine.flush().unwrap();
    assert!((0..300).all(|p| log.engine.partition("t", p).unwrap().bounds().end == 1));
    assert!(log.more() <= 16, "{} MiB", log.more());
}

#[test]
fn batches_that_grow_side_by_side_are_closed_past_the_producers_memory() {
    // All are begun long before any is large.
    let log = Log::open(300, 8 << 20);
    let options = ProducerOptions::new().linger(Duration::from_secs(600)).batch_bytes(1 << 20);
    let producer = log.engine.producer(options).unwrap();
    let value = vec![1; 10_000];
    for n in 0..60 {
        for p in 0..300 {
            producer.send("t", Record::new(&value).partition(p)).unwrap().detach();
        }
        assert!(log.more() <= 2 * (PRODUCER_MEMORY >> 20) + 32, "{} MiB after {n} rounds", log.more());
    }
    producer.flush().unwrap();
    assert!((0..300).all(|p| log.engine.partition("t", p).unwrap().bounds().end == 60));
}

#[test]
fn an_idle_engine_takes_little() {
    let _one = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let dir = tempfile::tempdir().unwrap();
    let before = LIVE.load(Ordering::Relaxed);
    let engine = Engine::open(dir.path()).unwrap();
    engine.create_topic("t", TopicOptions::new()).unwrap();
    engine.flush().unwrap();
    let more = LIVE.load(Ordering::Relaxed).saturating_sub(before);
    assert!(more < 1 << 20, "{more} bytes");
}

#[test]
fn memory_stays_flat_while_a_quarter_of_a_gigabyte_is_written_and_scanned() {
    let log = Log::open(2, 8 << 20);
    let options = ProducerOptions::new().linger(Duration::from_secs(600)).batch_bytes(1 << 20);
    let producer = log.engine.producer(options).unwrap();
    let records = vec![vec![7; 1_000]; 1_000];
    for n in 0..256 {
        let given = records.iter().map(|value| Record::new(value).partition(n % 2));
        producer.send_many("t", given).unwrap().detach();
        // Two groups of the journal, each at most a little over 8 MiB, and the producer's buffers.
        assert!(log.more() <= 24, "{} MiB at {n}", log.more());
    }
    producer.flush().unwrap();
    let consumer = log.engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[0, 1].map(|number| TopicPartition::new("t", number))).unwrap();
    let mut seen = 0;
    while seen < 256_000 {
        seen += consumer.poll(Duration::from_secs(60)).unwrap().iter().filter(|record| record.is_ok()).count();
        assert!(log.more() <= 24, "{} MiB at {seen}", log.more());
    }
    log.engine.flush().unwrap();
    drop((producer, consumer));
    assert!(log.more() <= 16, "{} MiB", log.more());
}

#[test]
fn a_transaction_of_one_small_record_in_each_of_many_partitions_takes_some_and_leaves_little() {
    let log = Log::open(20_000, 64 << 20);
    let producer = log.engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    for _ in 0..3 {
        let mut wide = producer.begin_transaction().unwrap();
        let fits = (0..20_000).take_while(|p| wide.try_send("t", Record::new(b"x").partition(*p)).unwrap()).count();
        assert!((10_000..20_000).contains(&fits), "{fits} fit the buffer of 1 MiB");
        assert!(log.more() <= 8, "{} MiB for {fits} partitions", log.more());
        wide.abort().unwrap();
        assert!(log.more() <= 1, "{} MiB are left", log.more());
    }
}
