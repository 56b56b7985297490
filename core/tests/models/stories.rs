//! What the threads do, and what must hold of it in whatever order they do it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use oncelog::sim::{Call, Choice, Fate, Fault};
use oncelog::{
    ConsumerOptions, Durability, ErrorKind, ProducerOptions, Record, Result, Ticket, TopicOptions, TopicPartition,
};
use shuttle::thread;

use super::*;

/// Appenders at both levels and a reader who is woken by what they do: it sees one prefix after the other, in order, to
/// the end. A wake-up that is lost leaves it waiting for ever.
pub fn publish() {
    let (_world, engine) = begin(options());
    let appenders = [["os", "disk"], ["disk", "os"]].map(|topics| {
        let engine = engine.clone();
        thread::spawn(move || {
            for topic in topics {
                let level = if topic == "os" { Durability::Os } else { Durability::Disk };
                append(&engine, topic, topics[0].as_bytes(), level).unwrap().wait().unwrap();
            }
        })
    });
    let reader = {
        let engine = engine.clone();
        thread::spawn(move || {
            let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
            consumer.assign(&["os", "disk"].map(|topic| TopicPartition::new(topic, 0))).unwrap();
            let mut seen = [0, 0];
            while seen != [2, 2] {
                for record in &consumer.poll(Duration::MAX).unwrap() {
                    let record = record.unwrap();
                    let next = &mut seen[usize::from(record.topic() == "disk")];
                    assert_eq!(record.offset(), *next, "a prefix, in order");
                    *next += 1;
                }
            }
        })
    };
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    reader.join().unwrap();
    engine.close().unwrap();
}

/// Whoever gives a baton up, of the write or of the flush, leaves nobody waiting who would have to lead now. No thread
/// of the engine runs that could help.
pub fn hand_over() {
    let (_world, engine) = begin(options().threads(false));
    let appenders = [Durability::Os, Durability::Disk, Durability::Disk].map(|level| {
        let engine = engine.clone();
        thread::spawn(move || append(&engine, "os", b"x", level).and_then(Ticket::wait).map(drop).unwrap())
    });
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    assert_eq!(read(&engine, "os").len(), 3);
}

/// Segments that hold two records each: appenders roll, make the next segment and flush the one before, and nobody
/// stalls. What was flushed when its segment was left makes room like all else.
pub fn roll() {
    let (_world, engine) = begin(options().threads(false));
    let appenders = [(Durability::Os, 6), (Durability::Disk, 1)].map(|(level, count)| {
        let engine = engine.clone();
        thread::spawn(move || {
            for _ in 0..count {
                append(&engine, "os", &[b'x'; 24 << 10], level).unwrap().wait().unwrap();
            }
        })
    });
    appenders.into_iter().for_each(|appender| appender.join().unwrap());
    assert_eq!(read(&engine, "os").len(), 7);
    engine.close().unwrap();
}

/// Zeros are written ahead of the frames while frames are, by the keeper and by the writer itself: none lands on one.
pub fn zeros() {
    beside_zeros(5, 6000);
}

/// The same in segments that hold two records each: zeros go to the next one while the log rolls into it.
pub fn zeros_beyond() {
    beside_zeros(5, 24 << 10);
}

fn beside_zeros(records: usize, bytes: usize) {
    let (world, engine) = begin(options().threads(false));
    let keeper = {
        let engine = engine.clone();
        thread::spawn(move || {
            for _ in 0..3 {
                engine.drive().unwrap();
            }
        })
    };
    for _ in 0..records {
        append(&engine, "os", &vec![b'x'; bytes], Durability::Disk).and_then(Ticket::wait).unwrap();
    }
    keeper.join().unwrap();
    engine.close().unwrap();
    drop(engine);
    assert_eq!(left(&world, "os").len(), records);
}

/// One makes the room that is missing, and others ask whether somebody does: nobody who asks holds up who makes it.
pub fn room() {
    let (_world, engine) = begin(options().threads(false));
    let large = 100 << 10;
    let asks = {
        let engine = engine.clone();
        thread::spawn(move || while !engine.room_within(large, Duration::ZERO).unwrap() {})
    };
    engine.await_room(large).unwrap();
    asks.join().unwrap();
    assert!(engine.has_room(large));
}

/// A close beside an append, a ticket that is waited for, one that calls back, and another close: an append is refused
/// or kept, what was placed before is kept, and whoever asked for an answer gets one.
pub fn close() {
    let (world, engine) = begin(options());
    let ticket = append(&engine, "disk", b"waited for", Durability::Disk).unwrap();
    let called = append(&engine, "os", b"calls back", Durability::Disk).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let waiter = thread::spawn(move || ticket.wait().map(drop).unwrap());
    let caller = {
        let answers = answers.clone();
        thread::spawn(move || called.on_done(move |answer| answers.lock().unwrap().push(answer.is_ok())))
    };
    let appender = {
        let engine = engine.clone();
        thread::spawn(move || {
            let kept = append(&engine, "disk", b"beside", Durability::Disk).and_then(Ticket::wait);
            kept.map(drop).inspect_err(|error| assert_eq!(error.kind(), ErrorKind::Closed, "{error}")).is_ok()
        })
    };
    let closer = {
        let engine = engine.clone();
        thread::spawn(move || engine.close().unwrap())
    };
    // Found open, it may see the close's last words, and is answered all the same.
    let flushed = engine.flush().map_err(|error| error.kind());
    assert!(matches!(flushed, Ok(()) | Err(ErrorKind::Closed)), "{flushed:?}");
    engine.close().unwrap();
    closer.join().unwrap();
    let kept = appender.join().unwrap();
    waiter.join().unwrap();
    caller.join().unwrap();
    assert_eq!(*answers.lock().unwrap(), [true], "called back once");
    drop(engine);
    assert_eq!(left(&world, "os"), ["calls back"]);
    let expected = if kept { vec!["waited for", "beside"] } else { vec!["waited for"] };
    assert_eq!(left(&world, "disk"), expected);
}

/// An idle log is closed beside somebody who drives it when a mark is due. Then the power goes, and of what was not
/// flushed the hint alone is left, which calls the close clean: all is there that it speaks of.
pub fn last_words() {
    let (world, engine) = begin(options().threads(false));
    engine.close().unwrap();
    drop(engine);
    let engine = Arc::new(open(&world, options().threads(false)));
    engine.drive().unwrap();
    world.advance(50_000_000);
    world.record();
    let driver = {
        let engine = engine.clone();
        thread::spawn(move || {
            let driven = engine.drive().map_err(|error| error.kind());
            assert!(matches!(driven, Ok(_) | Err(ErrorKind::Closed)), "{driven:?}");
        })
    };
    engine.close().unwrap();
    driver.join().unwrap();
    let log = world.log();
    let hint = log.unsynced(log.calls()).into_iter().filter(|change| change.file == "head");
    let kept = hint.fold(Choice::none().names(true), |kept, change| kept.write(change.id, Fate::Kept));
    let left = open(&log.image(log.calls(), &kept), options().threads(false));
    assert!(left.opening().damage.is_empty(), "{:?}", left.opening());
}

/// What one thread sends is answered in the order of the sends, whoever closes its batches and whoever calls back.
pub fn answers() {
    let (_world, engine) = begin(options());
    let producer = Arc::new(engine.producer(ProducerOptions::new().linger(Duration::MAX)).unwrap());
    let answers = Arc::new(Mutex::new(Vec::new()));
    let closer = {
        let producer = producer.clone();
        thread::spawn(move || (0..2).for_each(|_| producer.flush().unwrap()))
    };
    for _ in 0..4 {
        let answers = answers.clone();
        let tell = move |answer: Result<Appended>| answers.lock().unwrap().push(answer.unwrap().first);
        producer.send("os", Record::new(b"x")).unwrap().on_done(tell);
    }
    closer.join().unwrap();
    drop(producer);
    engine.close().unwrap();
    assert_eq!(*answers.lock().unwrap(), [0, 1, 2, 3]);
}

/// The same where what is sent is refused because its topic goes, which others flush, or nobody yet: who is refused
/// waits for that flush, and who is not comes behind whoever was.
pub fn refusals() {
    let (_world, engine) = begin(options());
    let producer = engine.producer(ProducerOptions::new().linger(Duration::ZERO).durability(Durability::Os)).unwrap();
    let answers = Arc::new(Mutex::new(Vec::new()));
    let deleter = {
        let engine = engine.clone();
        thread::spawn(move || engine.delete_topic("disk").unwrap())
    };
    for number in 0..4 {
        let answers = answers.clone();
        let tell = move |answer: Result<Appended>| answers.lock().unwrap().push((number, answer.is_ok()));
        match producer.send(if number % 2 == 0 { "disk" } else { "os" }, Record::new(b"x")) {
            Ok(ticket) => ticket.on_done(tell),
            Err(error) => assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition, "its deletion is safe"),
        }
    }
    deleter.join().unwrap();
    drop(producer);
    engine.close().unwrap();
    let answers = answers.lock().unwrap();
    assert!(answers.is_sorted(), "{answers:?}");
    assert_eq!(answers.iter().filter(|(number, kept)| number % 2 == 1 && *kept).count(), 2, "{answers:?}");
}

/// Transactions in the log before they are decided, one aborted and one committed, beside a plain append: a reader of
/// what is committed never sees the one, sees all of the other at once, and is woken by the decision.
pub fn stable() {
    let (_world, engine) = begin(options());
    let writer = {
        let engine = engine.clone();
        thread::spawn(move || {
            let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(0)).unwrap();
            for end in ["abort", "commit"] {
                let mut transaction = producer.begin_transaction().unwrap();
                transaction.send("os", Record::new(format!("{end} 1").as_bytes())).unwrap();
                transaction.send("os", Record::new(format!("{end} 2").as_bytes())).unwrap();
                if end == "abort" {
                    transaction.abort().unwrap();
                } else {
                    transaction.commit().unwrap();
                }
            }
        })
    };
    let appender = {
        let engine = engine.clone();
        thread::spawn(move || append(&engine, "os", b"plain", Durability::Os).and_then(Ticket::wait).map(drop).unwrap())
    };
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let (mut seen, mut before) = (Vec::new(), 0);
    while seen.len() < 3 {
        let polled = values(&consumer.poll(Duration::MAX).unwrap());
        assert!(polled.iter().all(|value| !value.starts_with("abort")), "{polled:?}");
        assert_eq!(polled.iter().filter(|value| value.starts_with("commit")).count() % 2, 0, "{polled:?}");
        seen.extend(polled);
        let bounds = engine.partition("os", 0).unwrap().bounds();
        assert!(before <= bounds.stable && bounds.stable <= bounds.end, "{bounds:?} behind {before}");
        before = bounds.stable;
    }
    writer.join().unwrap();
    appender.join().unwrap();
    seen.retain(|value| value != "plain");
    assert_eq!(seen, ["commit 1", "commit 2"]);
    engine.close().unwrap();
}

/// The records of one transaction are shown one by one to whom everything is shown, and all at once to whom only what
/// is committed: whoever looks, whenever, finds none or all of them below the stable offset.
pub fn moments() {
    let (_world, engine) = begin(options().threads(false));
    let producer = engine.transactional_producer("tp", ProducerOptions::new().transaction_buffer(0)).unwrap();
    let mut transaction = producer.begin_transaction().unwrap();
    transaction.send("os", Record::new(b"x")).unwrap();
    engine.drive().unwrap();
    let partition = engine.partition("os", 0).unwrap();
    let looker = thread::spawn(move || {
        for _ in 0..3 {
            let bounds = partition.bounds();
            assert!([0, 2].contains(&bounds.stable), "{bounds:?}");
        }
    });
    transaction.send("os", Record::new(b"x")).unwrap();
    transaction.commit().unwrap();
    looker.join().unwrap();
}

/// The power goes at any moment: what was acknowledged at level `disk` is there afterwards.
pub fn power() {
    let (world, engine) = begin(options().threads(false));
    let appenders =
        [("os", Durability::Os), ("disk", Durability::Disk), ("disk", Durability::Disk)].map(|(topic, level)| {
            let engine = engine.clone();
            thread::spawn(move || {
                let kept = append(&engine, topic, b"x", level).and_then(Ticket::wait);
                kept.is_ok_and(|_| level == Durability::Disk)
            })
        });
    world.crash();
    let kept = appenders.into_iter().map(|appender| appender.join().unwrap()).filter(|kept| *kept).count();
    drop(engine);
    let left = left(&world, "disk").len();
    assert!(left >= kept, "{kept} acknowledged, {left} left");
}

/// A topic is deleted and made again beside two commits of where a consumer stands in it: neither becomes a position in
/// its namesake.
pub fn namesakes() {
    let (_world, engine) = begin(options().threads(false));
    append(&engine, "os", b"x", Durability::Os).and_then(Ticket::wait).unwrap();
    let place = TopicPartition::new("os", 0);
    let [plain, bound] = ["plain", "bound"].map(|group| {
        let consumer = engine.consumer(ConsumerOptions::new().group(group)).unwrap();
        consumer.assign(std::slice::from_ref(&place)).unwrap();
        assert_eq!(values(&consumer.poll(Duration::ZERO).unwrap()), ["x"]);
        consumer
    });
    let admin = {
        let engine = engine.clone();
        thread::spawn(move || {
            engine.delete_topic("os").unwrap();
            engine.create_topic("os", TopicOptions::new()).unwrap();
        })
    };
    let kept_or_refused = |committed: Result<()>| {
        let refused = committed.err().map(|error| error.kind());
        assert!(refused.is_none_or(|kind| kind == ErrorKind::UnknownTopicOrPartition), "{refused:?}");
    };
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let transaction = producer.begin_transaction_for(&bound).unwrap();
    kept_or_refused(transaction.commit().map(drop));
    kept_or_refused(plain.commit());
    admin.join().unwrap();
    for consumer in [plain, bound] {
        assert_eq!(consumer.committed(&place).unwrap(), None);
    }
}

/// A close finds a reader anywhere between its look and its sleep, and is heard. Of a group that has committed nothing:
/// where it begins hangs on all that is noted, the close's last words among it.
pub fn hang_up() {
    let (_world, engine) = begin(options());
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let reader = thread::spawn(move || consumer.poll(Duration::MAX).map(drop));
    engine.close().unwrap();
    assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::Closed);
}

/// A record that nobody waits for is sent whenever the keeper may be about to sleep, or somebody drives beside it: it
/// closes the batch all the same, and a reader is woken.
pub fn linger() {
    let (_world, engine) = begin_with(options(), |world| Arc::new(Passes(world.clone())));
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    append(&engine, "disk", b"x", Durability::Disk).and_then(Ticket::wait).unwrap();
    let producer = engine.producer(ProducerOptions::new().linger(Duration::from_millis(10))).unwrap();
    let driver = {
        let engine = engine.clone();
        thread::spawn(move || engine.drive().map(drop).unwrap())
    };
    producer.send("os", Record::new(b"nobody waits")).unwrap().detach();
    assert_eq!(values(&consumer.poll(Duration::MAX).unwrap()), ["nobody waits"]);
    driver.join().unwrap();
    engine.close().unwrap();
}

/// Two who may not wait want their records closed, in batches that would linger for ever, and find the producer busy or
/// not: both are written, and nobody comes again for them.
pub fn hastened() {
    let (_world, engine) = begin_with(options(), |world| Arc::new(Passes(world.clone())));
    let producer = Arc::new(engine.producer(ProducerOptions::new().linger(Duration::MAX)).unwrap());
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let senders = ["one", "two"].map(|value| {
        let producer = producer.clone();
        thread::spawn(move || {
            let ticket = producer.send("os", Record::new(value.as_bytes())).unwrap();
            ticket.hasten();
            ticket.detach();
        })
    });
    let mut seen = Vec::new();
    while seen.len() < 2 {
        seen.extend(values(&consumer.poll(Duration::MAX).unwrap()));
    }
    seen.sort();
    assert_eq!(seen, ["one", "two"]);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    engine.close().unwrap();
}

/// The disk fails while a reader is anywhere between its look and its sleep, and it hears of that.
pub fn failure() {
    let (world, engine) = begin(options());
    let consumer = engine.consumer(ConsumerOptions::new()).unwrap();
    consumer.assign(&[TopicPartition::new("os", 0)]).unwrap();
    let reader = thread::spawn(move || consumer.poll(Duration::MAX).map(drop));
    world.fail(Call::Sync, 0, Fault::Eio, true);
    // Refused, if the next segment could not be made before; then there is nothing to flush.
    let placed = append(&engine, "disk", b"x", Durability::Os).and_then(Ticket::wait);
    let refused = placed.is_err_and(|error| error.kind() == ErrorKind::Poisoned);
    assert!(engine.flush().is_err() || refused);
    assert_eq!(reader.join().unwrap().unwrap_err().kind(), ErrorKind::Poisoned);
    engine.close().unwrap_err();
}

/// Whoever is told that a record is written, by himself or by the keeper, finds its group counted.
pub fn counted() {
    let (_world, engine) = begin(options());
    for _ in 0..2 {
        let before = engine.metrics();
        append(&engine, "os", b"x", Durability::Os).and_then(Ticket::wait).unwrap();
        let after = engine.metrics();
        assert!(after.bytes > before.bytes && after.group_frames.count() > before.group_frames.count(), "{after:?}");
        assert_eq!(after.records, before.records + 1);
    }
    engine.close().unwrap();
}
