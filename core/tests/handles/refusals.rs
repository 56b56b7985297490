//! Refusals that hang on what no flush has met yet: told no earlier than that is safe, and waited for by nobody who did
//! not ask. The machine is simulated, and nothing runs but what the test calls.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncelog::io::{Clock, Machine};
use oncelog::sim::{Call, Fault, World};
use oncelog::{
    Appended, ConsumerOptions, Durability, Engine, ErrorKind, Producer, ProducerOptions, Record, Result, SentMany,
    Ticket, TopicOptions, TopicPartition, TransactionalProducer,
};

use crate::LONG;

fn open_on(machine: Machine) -> Engine {
    let engine = Engine::options().threads(false).segment_bytes(64 << 10).open_on(machine).unwrap();
    for topic in ["t", "u"] {
        engine.create_topic(topic, TopicOptions::new().durability(Durability::Os)).unwrap();
    }
    engine
}

fn begin() -> (World, Engine) {
    let world = World::new(1);
    let engine = open_on(world.machine());
    (world, engine)
}

/// A named producer that is fenced by an opening no flush has met yet.
fn fenced(engine: &Engine) -> (Producer, Ticket<Producer>) {
    let options = || ProducerOptions::new().name("n").linger(LONG);
    let old = engine.producer(options()).unwrap();
    (old, engine.producer_ticket(options()).unwrap())
}

fn record(position: u64) -> Record<'static> {
    Record::new(b"x").position(position)
}

fn kind<T>(answer: Result<T>) -> Option<ErrorKind> {
    answer.err().map(|error| error.kind())
}

/// Flushes, or fails to; what whoever hangs on the flush is answered then.
fn flush(world: &World, engine: &Engine, fails: bool, refusal: ErrorKind) -> Option<ErrorKind> {
    if fails {
        world.fail(Call::Sync, 0, Fault::Eio, false);
    }
    assert_eq!(engine.flush().is_err(), fails);
    Some(if fails { ErrorKind::Indeterminate } else { refusal })
}

#[test]
fn what_a_fenced_producer_sends_is_refused_once_its_fence_is_safe_and_held_up_by_nothing() {
    for fails in [false, true] {
        let (world, engine) = begin();
        let (old, mut new) = fenced(&engine);
        let mut first = old.send("t", record(1)).unwrap();
        assert!(first.lsn().is_some(), "its frame is closed, and hangs on another one");
        let mut second = old.try_send("t", record(2)).unwrap().expect("nobody waits with the producer's lock");
        let mut third = old.send("t", record(3)).unwrap();
        let SentMany { sent, ticket: mut many, refused, .. } = old.try_send_many("t", [record(4), record(5)]).unwrap();
        assert!(sent == 2 && refused.is_none(), "{sent} {refused:?}");
        let mut flushed = old.flush_ticket().unwrap();
        let told = [&mut first, &mut second, &mut third].map(|ticket| ticket.try_wait().unwrap());
        assert_eq!(told, [None, None, None], "a power cut could still take the fence");
        assert!(many.try_wait().unwrap().is_none() && flushed.try_wait().unwrap().is_none());
        assert!(new.try_wait().unwrap().is_none(), "nothing was flushed for any of them");

        let expected = flush(&world, &engine, fails, ErrorKind::ProducerFenced);
        for ticket in [first, second, third] {
            assert_eq!(kind(ticket.wait()), expected);
        }
        assert_eq!((kind(many.wait()), kind(flushed.wait()), kind(old.flush())), (expected, expected, expected));
        assert_eq!((kind(old.send("t", record(6))), kind(old.try_send("t", record(6)))), (expected, expected));
        let SentMany { sent, refused, .. } = old.try_send_many("t", [record(6)]).unwrap();
        assert_eq!((sent, refused.map(|error| error.kind())), (0, expected));
        assert_eq!(kind(new.wait()).is_some(), fails);
    }
}

#[test]
fn a_transaction_of_a_fenced_holder_is_not_begun_and_refused_once_the_fence_is_safe() {
    for fails in [false, true] {
        let (world, engine) = begin();
        let old = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
        engine.transactional_producer_ticket("tp", ProducerOptions::new()).unwrap().detach();
        for _ in 0..3 {
            let begun = old.begin_ticket(None).unwrap().try_wait().unwrap();
            assert!(begun.is_none(), "a power cut could still take the fence");
        }
        let expected = flush(&world, &engine, fails, ErrorKind::ProducerFenced);
        let refused = kind(old.begin_ticket(None));
        assert!(refused == expected || fails && refused == Some(ErrorKind::Poisoned), "{refused:?}");
        assert!(kind(old.begin_transaction()).is_some());
    }
    let (_world, engine) = begin();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let begun = producer.begin_ticket(None).unwrap().wait().expect("nothing is in the way");
    assert_eq!(kind(producer.begin_ticket(None)), Some(ErrorKind::InvalidTransactionState));
    begun.commit().unwrap();
}

#[test]
fn a_batch_for_a_topic_that_goes_is_refused_once_the_deletion_is_safe() {
    for fails in [false, true] {
        let (world, engine) = begin();
        let producer = engine.producer(ProducerOptions::new().linger(LONG)).unwrap();
        let mut gone = producer.send("t", Record::new(b"x")).unwrap();
        engine.delete_topic_ticket("t").unwrap().detach();
        assert!(gone.lsn().is_some());
        // It would be answered first, and is not waited for.
        assert!(producer.try_send("u", Record::new(b"y")).unwrap().is_none());
        assert_eq!(producer.try_send_many("u", [Record::new(b"y")]).unwrap().sent, 0);
        let mut flushed = producer.flush_ticket().unwrap();
        assert_eq!((gone.try_wait().unwrap(), flushed.try_wait().unwrap()), (None, None));
        let expected = flush(&world, &engine, fails, ErrorKind::UnknownTopicOrPartition);
        assert_eq!((kind(gone.wait()), kind(flushed.wait())), (expected, expected));
        let behind = producer.try_send("u", Record::new(b"y")).unwrap().expect("nothing hangs any more");
        assert_eq!(kind(behind.wait()).is_some(), fails);
        assert_eq!(kind(producer.flush()).is_some(), fails, "a flush tells of a refusal once");
    }
}

#[test]
fn what_is_sent_behind_a_refusal_is_answered_behind_it() {
    let (_world, engine) = begin();
    let options = ProducerOptions::new().linger(Duration::ZERO);
    let producer = engine.producer(options).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let watch = |ticket: Ticket<Appended>, name: &'static str| {
        let answers = answers.clone();
        ticket.on_done(move |answer| answers.lock().unwrap().push((name, kind(answer))));
    };
    watch(producer.send("t", Record::new(b"x")).unwrap(), "before");
    // The producer has looked the topic up, and nobody knows yet that it goes.
    engine.delete_topic_ticket("t").unwrap().detach();
    watch(producer.send("t", Record::new(b"x")).unwrap(), "refused");
    // Its level asks for no flush; it waits for one all the same.
    watch(producer.send("u", Record::new(b"x")).unwrap(), "behind");
    engine.drive().unwrap();
    engine.flush().unwrap();
    watch(producer.send("u", Record::new(b"x")).unwrap(), "later");
    engine.drive().unwrap();
    let gone = Some(ErrorKind::UnknownTopicOrPartition);
    let expected = [("before", None), ("refused", gone), ("behind", None), ("later", None)];
    assert_eq!(*answers.lock().unwrap(), expected);
}

type Hook = Box<dyn FnOnce() + Send>;

/// A clock that does something when it is looked at next: whoever flushes looks at it.
struct Hooked {
    clock: Arc<dyn Clock>,
    hook: Mutex<Option<Hook>>,
}

impl Clock for Hooked {
    fn wall_ms(&self) -> i64 {
        self.clock.wall_ms()
    }
    fn monotonic(&self) -> u64 {
        let hook = self.hook.lock().unwrap().take();
        hook.into_iter().for_each(|hook| hook());
        self.clock.monotonic()
    }
}

#[test]
fn a_producer_is_free_while_somebody_waits_for_the_flush_that_a_refusal_hangs_on() {
    for by_ticket in [true, false] {
        let world = World::new(1);
        let machine = world.machine();
        let clock = Arc::new(Hooked { clock: machine.clock.clone(), hook: Mutex::default() });
        let engine = open_on(Machine { clock: clock.clone(), ..machine });
        let (old, mut new) = fenced(&engine);
        let old = Arc::new(old);
        let refused = old.send("t", record(1)).unwrap();
        let meanwhile = Arc::new(Mutex::new(None));
        let hook = {
            let (old, meanwhile) = (old.clone(), meanwhile.clone());
            move || {
                assert!(new.try_wait().unwrap().is_none(), "the flush is still to come");
                *meanwhile.lock().unwrap() = Some(old.try_send("t", record(2)).unwrap());
            }
        };
        *clock.hook.lock().unwrap() = Some(Box::new(hook));
        let told = if by_ticket { kind(refused.wait()) } else { kind(old.flush()) };
        assert_eq!(told, Some(ErrorKind::ProducerFenced));
        let meanwhile = meanwhile.lock().unwrap().take().expect("whoever flushes looks at the clock");
        let ticket = meanwhile.expect("nobody holds the producer's lock");
        assert_eq!(kind(ticket.wait()), Some(ErrorKind::ProducerFenced));
    }
}

/// Two holders of a transactional id, the newer one not safe yet, and transactions of so many bytes in memory.
fn held_twice(
    engine: &Engine,
    buffer: usize,
) -> (TransactionalProducer, impl FnOnce() -> Ticket<TransactionalProducer>) {
    let options = move || ProducerOptions::new().transaction_buffer(buffer);
    let old = engine.transactional_producer("tp", options()).unwrap();
    (old, move || engine.transactional_producer_ticket("tp", options()).unwrap())
}

#[test]
fn the_commit_of_a_fenced_transaction_is_refused_by_its_ticket_once_the_fence_is_safe() {
    for (fails, buffer) in [(false, 1 << 20), (true, 1 << 20), (false, 0), (true, 0)] {
        let (world, engine) = begin();
        let feed = engine.producer(ProducerOptions::new()).unwrap();
        feed.send("u", Record::new(b"x")).unwrap().wait().unwrap();
        let place = TopicPartition::new("u", 0);
        let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
        reader.assign(std::slice::from_ref(&place)).unwrap();
        let (old, take_over) = held_twice(&engine, buffer);
        let mut transaction = old.begin_transaction_for(&reader).unwrap();
        assert_eq!(reader.poll(LONG).unwrap().count(), 1);
        transaction.send("t", Record::new(b"x")).unwrap();
        let mut new = take_over();
        let mut refused = transaction.commit_ticket().unwrap();
        assert!(refused.try_wait().unwrap().is_none(), "a power cut could still take the fence");
        assert!(new.try_wait().unwrap().is_none(), "and nobody flushed");
        assert_eq!(reader.positions()[&place].offset, 0, "the consumer is back");

        let expected = flush(&world, &engine, fails, ErrorKind::ProducerFenced);
        assert_eq!(kind(refused.wait()), expected);
        assert_eq!(kind(old.begin_transaction()), expected);
    }
}

#[test]
fn a_fenced_transaction_that_is_let_go_waits_for_no_flush() {
    let (_world, engine) = begin();
    let (old, take_over) = held_twice(&engine, 0);
    let mut transaction = old.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"x")).unwrap();
    let mut new = take_over();
    transaction.abort().unwrap();
    assert!(new.try_wait().unwrap().is_none(), "nobody was told anything");
    assert_eq!(kind(old.begin_transaction()), Some(ErrorKind::ProducerFenced), "who is told waits");
    new.try_wait().unwrap().unwrap();
}

#[test]
fn the_next_transaction_is_answered_behind_one_that_is_refused() {
    let (_world, engine) = begin();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    for topic in ["t", "u", "u"] {
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send(topic, Record::new(b"x")).unwrap();
        if topic == "t" {
            engine.delete_topic_ticket("t").unwrap().detach();
        }
        let answers = answers.clone();
        let ticket = transaction.commit_ticket().unwrap();
        ticket.on_done(move |answer| answers.lock().unwrap().push((topic, kind(answer))));
    }
    // Writes first, which is all that the level of the others asks, and calls back; flushes then.
    engine.drive().unwrap();
    let expected = [("t", Some(ErrorKind::UnknownTopicOrPartition)), ("u", None), ("u", None)];
    assert_eq!(*answers.lock().unwrap(), expected);
}
