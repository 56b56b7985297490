//! Tickets, completions and calls on a simulated machine: the disk fails when the test says so, and nothing runs but
//! what the test calls.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::time::Duration;

use oncelog::sim::{Call, Fault, World};
use oncelog::{
    AppendOptions, Batch, Completions, Consumer, ConsumerOptions, Durability, Engine, ErrorKind, LogLevel,
    ProducerOptions, ReadOptions, Record, TopicOptions, TopicPartition,
};

use crate::LONG;
use crate::logging::Kept;

fn open(world: &World) -> Engine {
    Engine::options().threads(false).segment_bytes(64 << 10).open_on(world.machine()).unwrap()
}

fn begin(seed: u64) -> (World, Engine) {
    let world = World::new(seed);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    (world, engine)
}

fn ready(reader: &Consumer) -> Receiver<()> {
    let (tell, hear) = channel();
    reader.on_ready(move || tell.send(()).unwrap());
    hear
}

fn append(engine: &Engine) {
    engine.producer(ProducerOptions::new()).unwrap().send("t", Record::new(b"x")).unwrap().wait().unwrap();
}

#[test]
fn a_refusal_is_given_no_earlier_than_what_it_was_drawn_from_is_durable() {
    for fails in [false, true] {
        let (world, engine) = begin(1);
        engine.create_topic_ticket("u", TopicOptions::new()).unwrap().detach();
        let mut refused = engine.create_topic_ticket("u", TopicOptions::new()).unwrap();
        assert_eq!(refused.try_wait().unwrap(), None, "the topic may still be lost");
        assert!(engine.partition("u", 0).is_err(), "and is not there for anybody");
        let mut grown = engine.add_partitions_ticket("t", 2).unwrap();
        if fails {
            world.fail(Call::Sync, 0, Fault::Eio, false);
            assert_eq!(refused.wait().err().unwrap().kind(), ErrorKind::Indeterminate);
            assert!(engine.partition("u", 0).is_err());
        } else {
            assert_eq!(refused.wait().err().unwrap().kind(), ErrorKind::TopicExists);
            engine.partition("u", 0).unwrap();
            assert_eq!(engine.topics().unwrap()[0].partitions, 1, "nobody was told yet");
            engine.flush().unwrap();
            grown.try_wait().unwrap().unwrap();
            engine.partition("t", 1).unwrap();
            world.crash();
            open(&world).partition("u", 0).unwrap();
        }
    }
}

fn of_9_000(byte: u8) -> Batch {
    let mut batch = Batch::builder();
    batch.push(&Record::new(&[byte; 9_000]), 1).unwrap();
    batch.build().unwrap()
}

fn said(world: &World) -> Vec<String> {
    let log = world.log();
    (0..log.calls()).map(|call| log.describe(call)).collect()
}

#[test]
fn whoever_waits_is_answered_before_zeros_are_written_ahead() {
    let (world, engine) = begin(2);
    engine.drive().unwrap();
    let world = Arc::new(world);
    let (tell, hear) = channel();
    let partition = engine.partition("t", 0).unwrap();
    let batch = of_9_000(b'x');
    // Zeros are for a load that is flushed.
    partition.append_with(&batch, AppendOptions::new().durability(Durability::Disk)).unwrap().wait().unwrap();
    world.record();
    let ticket = partition.append_ticket(&batch, AppendOptions::new().durability(Durability::Os)).unwrap();
    ticket.on_done({
        let world = world.clone();
        move |answer| tell.send((answer.is_ok(), world.log().calls())).unwrap()
    });
    engine.drive().unwrap();
    let (good, calls) = hear.try_recv().unwrap();
    let said = said(&world);
    assert!(good && calls == 1 && said.len() == 2, "answered behind {calls} of {said:?}");
    assert!(said.iter().all(|call| call.starts_with("write ")), "the record and zeros, nothing else: {said:?}");
}

#[test]
fn a_disk_too_full_for_zeros_ends_them_and_nothing_else() {
    let (world, engine) = begin(2);
    engine.drive().unwrap();
    let partition = engine.partition("t", 0).unwrap();
    let batch = of_9_000(b'x');
    partition.append_with(&batch, AppendOptions::new().durability(Durability::Disk)).unwrap().wait().unwrap();
    world.fail(Call::Write, 0, Fault::Enospc, false);
    engine.drive().unwrap();
    assert!(world.hits().iter().any(|(what, _)| *what == "fault: enospc at write"), "no zeros were written");
    partition.append_with(&batch, AppendOptions::new().durability(Durability::Os)).unwrap().wait().unwrap();
    engine.flush().unwrap();
    world.crash();
    assert_eq!(open(&world).partition("t", 0).unwrap().bounds().end, 2);
}

fn append_9_000_bytes(engine: &Engine, byte: u8) -> oncelog::Result<()> {
    let os = AppendOptions::new().durability(Durability::Os);
    engine.partition("t", 0).unwrap().append_with(&of_9_000(byte), os)?.wait().map(drop)
}

/// What each record of the log consists of.
fn bytes_of(engine: &Engine) -> Vec<u8> {
    let partition = engine.partition("t", 0).unwrap();
    let mut found = Vec::new();
    while (found.len() as u64) < partition.bounds().end {
        for record in &partition.read(found.len() as u64, ReadOptions::new()).unwrap() {
            let value = record.unwrap().value().unwrap().to_vec();
            assert!(value.len() == 9_000 && value.iter().all(|byte| *byte == value[0]));
            found.push(value[0]);
        }
    }
    found
}

#[test]
fn zeros_are_written_ahead_by_the_keeper_only_of_what_somebody_has_flushed() {
    for flushed in [false, true] {
        let (world, engine) = begin(2);
        engine.drive().unwrap();
        append_9_000_bytes(&engine, b'a').unwrap();
        if flushed {
            engine.flush().unwrap();
        }
        world.record();
        engine.drive().unwrap();
        let said = said(&world);
        assert_eq!(said.iter().any(|call| call.starts_with("write ")), flushed, "{said:?}");
    }
}

#[test]
fn a_load_of_small_writes_has_zeros_written_first_and_goes_on_where_there_is_no_space_for_them() {
    for full in [false, true] {
        let (world, engine) = begin(3);
        world.record();
        if full {
            world.fail(Call::Write, 2, Fault::Enospc, false);
        }
        (b'a'..b'e').for_each(|byte| append_9_000_bytes(&engine, byte).unwrap());
        let said = said(&world);
        let hits = world.hits().iter().filter(|(what, _)| **what == "fault: enospc at write").count();
        assert_eq!((hits, said.len()), if full { (1, 4) } else { (0, 5) }, "{said:?}");
        // Two records are no load yet.
        let zeros = said.iter().position(|said| !said.ends_with(", 9112 bytes"));
        assert_eq!(zeros, (!full).then_some(2), "{said:?}");
        engine.flush().unwrap();
        world.crash();
        assert_eq!(bytes_of(&open(&world)), b"abcd");
    }
}

#[test]
fn zeros_that_the_disk_refuses_fail_the_write_they_were_for() {
    let (world, engine) = begin(3);
    world.fail(Call::Write, 2, Fault::Eio, false);
    (b'a'..b'c').for_each(|byte| append_9_000_bytes(&engine, byte).unwrap());
    assert_eq!(append_9_000_bytes(&engine, b'c').unwrap_err().kind(), ErrorKind::Indeterminate);
    assert_eq!(append_9_000_bytes(&engine, b'd').unwrap_err().kind(), ErrorKind::Poisoned);
    drop(engine);
    assert_eq!(bytes_of(&open(&world)), b"ab");
}

#[test]
fn zeros_of_the_next_life_land_behind_the_frames_of_this_one() {
    let (world, engine) = begin(3);
    (b'a'..b'c').for_each(|byte| append_9_000_bytes(&engine, byte).unwrap());
    engine.close().unwrap();
    let engine = open(&world);
    world.record();
    (b'c'..b'f').for_each(|byte| append_9_000_bytes(&engine, byte).unwrap());
    let zeros =
        said(&world).iter().filter(|said| said.starts_with("write ") && !said.ends_with(", 9112 bytes")).count();
    assert!(zeros > 0, "{:?}", said(&world));
    engine.flush().unwrap();
    assert_eq!(bytes_of(&engine), b"abcde");
    world.crash();
    assert_eq!(bytes_of(&open(&world)), b"abcde");
}

#[test]
fn whoever_asks_an_idle_log_is_answered() {
    let (world, engine) = begin(6);
    engine.drive().unwrap();
    // Long enough for the mark that states what is durable, which is the last frame then and is not flushed for itself.
    for _ in 0..4 {
        world.advance(100_000_000);
        engine.drive().unwrap();
    }
    let completions = Completions::new().unwrap();
    completions.watch(engine.create_topic_ticket("t", TopicOptions::new()).unwrap(), |answer| answer);
    completions.watch(engine.flush_ticket().unwrap(), |answer| answer);
    engine.drive().unwrap();
    let mut done = Vec::new();
    assert_eq!(completions.drain(&mut done).unwrap(), 2);
    assert_eq!(done[0].as_ref().err().map(|error| error.kind()), Some(ErrorKind::TopicExists));
    assert!(done[1].is_ok());
}

#[test]
fn what_a_done_ticket_says_survives_a_power_cut() {
    for seed in 0..40 {
        let (world, engine) = begin(seed);
        engine.create_topic("old", TopicOptions::new()).unwrap();
        append(&engine);
        let place = TopicPartition::new("t", 0);
        let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
        reader.assign(std::slice::from_ref(&place)).unwrap();
        assert_eq!(reader.poll(LONG).unwrap().count(), 1);
        engine.producer(ProducerOptions::new().name("forgotten")).unwrap();
        let tickets = [
            engine.create_topic_ticket("new", TopicOptions::new()).unwrap(),
            engine.delete_topic_ticket("old").unwrap(),
            engine.add_partitions_ticket("t", 5).unwrap(),
            engine.delete_producer_ticket("forgotten").unwrap(),
            reader.commit_ticket().unwrap(),
            reader.commit_ticket().unwrap(),
        ];
        // The one waited for comes by chance; behind the last of them all are done.
        for ticket in tickets.into_iter().skip(seed as usize % 6) {
            ticket.wait().unwrap();
        }
        world.crash();
        let engine = open(&world);
        let topics: Vec<_> = engine.topics().unwrap().into_iter().map(|t| (t.name, t.partitions)).collect();
        assert_eq!(topics, [("new".to_owned(), 1), ("t".to_owned(), 5)], "seed {seed}");
        let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
        assert_eq!(reader.committed(&place).unwrap(), Some(1), "seed {seed}");
        let gone = engine.delete_producer("forgotten").err().unwrap();
        assert_eq!(gone.kind(), ErrorKind::UnknownTransactionalId, "seed {seed}");
    }
}

#[test]
fn a_holder_is_handed_over_only_once_its_fence_is_durable() {
    let (world, engine) = begin(3);
    let old = engine.producer(ProducerOptions::new().name("n")).unwrap();
    let mut ticket = engine.producer_ticket(ProducerOptions::new().name("n")).unwrap();
    assert!(ticket.try_wait().unwrap().is_none());
    let late = old.send("t", Record::new(b"x").position(1)).unwrap();
    assert_eq!(late.wait().err().unwrap().kind(), ErrorKind::ProducerFenced);
    let new = ticket.try_wait().unwrap().unwrap();
    new.send("t", Record::new(b"y").position(1)).unwrap().wait().unwrap();
    let mut doomed = engine.transactional_producer_ticket("tp", ProducerOptions::new()).unwrap();
    world.fail(Call::Sync, 0, Fault::Eio, false);
    assert_eq!(engine.flush().err().unwrap().kind(), ErrorKind::Indeterminate);
    assert_eq!(doomed.try_wait().err().unwrap().kind(), ErrorKind::Indeterminate);
}

#[test]
fn a_failed_flush_completes_every_watched_ticket_with_its_error() {
    let (world, engine) = begin(4);
    let completions = Completions::new().unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let transactional = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    append(&engine);
    let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    completions.watch(producer.send("t", Record::new(b"x")).unwrap(), |answer| answer.map(drop));
    completions.watch(producer.send_many("t", &[Record::new(b"y"); 3]).unwrap(), |answer| answer.map(drop));
    let mut transaction = transactional.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"z")).unwrap();
    completions.watch(transaction.commit_ticket().unwrap(), |answer| answer.map(drop));
    completions.watch(engine.create_topic_ticket("u", TopicOptions::new()).unwrap(), |answer| answer);
    completions.watch(engine.producer_ticket(ProducerOptions::new().name("n")).unwrap(), |answer| answer.map(drop));
    completions.watch(reader.commit_ticket().unwrap(), |answer| answer);
    completions.watch(engine.flush_ticket().unwrap(), |answer| answer);
    let mut done = Vec::new();
    assert_eq!(completions.drain(&mut done).unwrap(), 0);
    world.fail(Call::Sync, 0, Fault::Eio, false);
    engine.drive().unwrap();
    assert_eq!(completions.drain(&mut done).unwrap(), 7);
    assert!(done.iter().all(|answer| answer.as_ref().err().unwrap().kind() == ErrorKind::Indeterminate), "{done:?}");
    assert_eq!(reader.commit_ticket().err().unwrap().kind(), ErrorKind::Poisoned, "not: nothing to commit");
}

#[test]
fn without_threads_everything_completes_in_drive_and_in_the_close() {
    let (_world, engine) = begin(5);
    let completions = Completions::new().unwrap();
    for name in ["a", "b", "c"] {
        let ticket = engine.create_topic_ticket(name, TopicOptions::new()).unwrap();
        completions.watch(ticket, move |answer| answer.map(|()| name));
    }
    let mut done = Vec::new();
    engine.flush().unwrap();
    assert_eq!(completions.drain(&mut done).unwrap(), 0, "nobody has driven");
    engine.drive().unwrap();
    assert_eq!(completions.drain(&mut done).unwrap(), 3);
    completions.watch(engine.delete_topic_ticket("a").unwrap(), |answer| answer.map(|()| "gone"));
    engine.close().unwrap();
    completions.drain(&mut done).unwrap();
    let done: Vec<_> = done.into_iter().map(Result::unwrap).collect();
    assert_eq!(done, ["a", "b", "c", "gone"]);
}

#[test]
fn a_record_is_heard_of_whether_it_lands_before_the_look_or_after() {
    let (_world, engine) = begin(6);
    let reader = engine.consumer(ConsumerOptions::new()).unwrap();
    reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
    for looks in 0..6 {
        let hear = ready(&reader);
        // Without a look the record lands between registering and looking.
        (0..looks % 3).for_each(|_| engine.drive().unwrap());
        assert_eq!(hear.try_recv(), Err(TryRecvError::Empty), "nothing is there");
        append(&engine);
        assert_eq!(hear.try_recv(), Err(TryRecvError::Empty), "never on the thread that writes");
        engine.drive().unwrap();
        assert_eq!(hear.try_recv(), Ok(()));
        engine.drive().unwrap();
        assert_eq!(hear.try_recv(), Err(TryRecvError::Disconnected), "once");
        assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    }
}

#[test]
fn what_drive_itself_makes_visible_is_heard_of_in_the_same_drive() {
    let (world, engine) = begin(7);
    let reader = engine.consumer(ConsumerOptions::new()).unwrap();
    reader.assign(&[TopicPartition::new("t", 0)]).unwrap();
    let hear = ready(&reader);
    engine.drive().unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"x")).unwrap().detach();
    world.advance(10_000_000);
    engine.drive().unwrap();
    assert_eq!(hear.try_recv(), Ok(()));
}

#[test]
fn the_log_hears_what_a_power_cut_and_a_failing_disk_did() {
    let mut cut = 0;
    for seed in 0..20 {
        let (world, engine) = begin(seed);
        let options = ProducerOptions::new().linger(Duration::ZERO).durability(Durability::Os);
        let producer = engine.producer(options).unwrap();
        for _ in 0..10 {
            // Written and not flushed: the power cut takes what it likes.
            producer.send("t", Record::new(&[7; 3000])).unwrap().wait().unwrap();
        }
        world.crash();
        let log = Arc::new(Kept::default());
        let options = Engine::options().threads(false).segment_bytes(64 << 10).log(log.clone());
        let engine = options.open_on(world.machine()).unwrap();
        match engine.opening().cut {
            Some(_) => log.expect(&[
                (LogLevel::Warn, "a torn tail was cut, nothing in it was safe, last_kept="),
                (LogLevel::Info, "opened the log, incarnation=2 created=false "),
            ]),
            None => log.expect(&[(LogLevel::Info, "opened the log, incarnation=2 created=false ")]),
        }
        cut += u32::from(engine.opening().cut.is_some());
        world.fail(Call::Sync, 0, Fault::Eio, true);
        engine.create_topic("u", TopicOptions::new()).unwrap_err();
        engine.create_topic("v", TopicOptions::new()).unwrap_err();
        log.expect(&[]);
        engine.drive().unwrap();
        log.expect(&[(LogLevel::Error, "the disk failed; ")]);
    }
    assert!(cut > 0, "some tail was torn");
}

#[test]
fn the_log_hears_of_every_damaged_frame() {
    let (world, engine) = begin(8);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    producer.send("t", Record::new(b"this one will rot")).unwrap().wait().unwrap();
    append(&engine);
    append(&engine);
    world.crash();
    let place = |bytes: &[u8]| bytes.windows(17).position(|window| window == b"this one will rot");
    let (name, at) = world.files().iter().find_map(|(name, bytes)| Some((name.clone(), place(bytes)?))).unwrap();
    world.damage(&name, at as u64, b"T");
    let log = Arc::new(Kept::default());
    let engine = Engine::options().threads(false).log(log.clone()).open_on(world.machine()).unwrap();
    assert_eq!(engine.opening().damage.len(), 1);
    log.expect(&[
        (LogLevel::Error, "durable frames are damaged; restore the file from a backup, first_lsn="),
        (LogLevel::Info, "opened the log, incarnation=2 "),
    ]);
}

/// A group that has read one of two records, and committed that in a frame that no flush has met yet; and another
/// member of it.
fn unsafe_commit(seed: u64) -> (World, Engine, Consumer, TopicPartition) {
    let (world, engine) = begin(seed);
    append(&engine);
    append(&engine);
    let place = TopicPartition::new("t", 0);
    let [first, second] = [(); 2].map(|()| {
        let reader = engine.consumer(ConsumerOptions::new().group("g").max_records(1)).unwrap();
        reader.assign(std::slice::from_ref(&place)).unwrap();
        reader
    });
    assert_eq!(first.poll(LONG).unwrap().count(), 1);
    first.commit_ticket().unwrap().detach();
    (world, engine, second, place)
}

#[test]
fn a_consumer_is_told_where_its_group_stands_no_earlier_than_that_is_safe() {
    let (world, engine, reader, place) = unsafe_commit(11);
    let mut committed = reader.committed_ticket(&place).unwrap();
    let mut position = reader.position_ticket(&place).unwrap();
    let mut lag = reader.lag_ticket(&place).unwrap();
    let mut settled = reader.settle_ticket().unwrap();
    let mut nothing_to_commit = reader.commit_ticket().unwrap();
    let done = [settled.try_wait().unwrap(), nothing_to_commit.try_wait().unwrap()];
    assert_eq!(done, [None, None], "a power cut could still take the commit");
    let told = (committed.try_wait().unwrap(), position.try_wait().unwrap(), lag.try_wait().unwrap());
    assert_eq!(told, (None, None, None));
    assert_eq!(reader.positions().len(), 0);

    engine.flush().unwrap();
    settled.try_wait().unwrap().unwrap();
    nothing_to_commit.try_wait().unwrap().unwrap();
    assert_eq!(committed.try_wait().unwrap(), Some(Some(1)));
    assert_eq!((position.try_wait().unwrap(), lag.try_wait().unwrap()), (Some(1), Some(1)));
    assert_eq!(reader.positions()[&place].offset, 1);
    world.crash();
    let engine = open(&world);
    let reader = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    assert_eq!(reader.committed(&place).unwrap(), Some(1));
}

#[test]
fn a_consumer_is_ready_no_earlier_than_its_position_is_safe() {
    for fails in [false, true] {
        let (world, engine, reader, place) = unsafe_commit(12);
        if fails {
            world.fail(Call::Sync, 0, Fault::Eio, false);
        }
        let (tell, hear) = channel();
        let mut committed = reader.committed_ticket(&place).unwrap();
        reader.on_ready(move || tell.send(committed.try_wait()).unwrap());
        // A round has the flush asked for, the next ones make it, call back, and look again.
        for _ in 0..4 {
            let _ = engine.drive();
        }
        match (hear.try_recv().unwrap(), reader.poll(Duration::ZERO)) {
            (Ok(safe), Ok(records)) => assert_eq!((safe, records.count(), fails), (Some(Some(1)), 1, false)),
            (Err(_), Err(error)) => assert_eq!((error.kind(), fails), (ErrorKind::Poisoned, true)),
            (_, polled) => panic!("called too early: {polled:?}"),
        }
    }
}

#[test]
fn settling_begins_a_bound_transaction_without_a_flush_and_its_commit_waits_for_all() {
    let (world, engine, reader, place) = unsafe_commit(13);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    // Opening the id has flushed; a commit behind it has not.
    reader.commit_offsets_ticket(&oncelog::Offsets::from([(place.clone(), 0.into())])).unwrap().detach();
    reader.rewind().unwrap();
    world.fail(Call::Sync, 0, Fault::Eio, false);
    let transaction = producer.begin_transaction_for(&reader).unwrap();
    assert_eq!(reader.poll(Duration::ZERO).err().unwrap().kind(), ErrorKind::Poisoned);
    drop(transaction);
}
