//! Transactions, alone and bound to a consumer.

use std::time::Duration;

use oncelog::{
    ConsumerOptions, Engine, ErrorKind, Offset, OffsetAndMetadata, Offsets, ProducerOptions, Record, TopicPartition,
};

use crate::{LONG, consumer, content, engine, names, slow, values};

#[test]
fn a_transaction_is_all_or_nothing_over_topics_and_groups() {
    let (dir, engine) = engine(&[("in", 1), ("a", 2), ("b", 1)]);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let place = TopicPartition::new("in", 0);
    let offsets = |offset: Offset| {
        let metadata = format!("at {offset}");
        Offsets::from([(place.clone(), OffsetAndMetadata { offset, leader_epoch: 4, metadata })])
    };
    let groups = ["g", "h"].map(|name| consumer(&engine, name, &[("in", 0)]));
    let fill = |text: &str, offset| {
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("a", Record::new(text.as_bytes()).partition(0)).unwrap();
        transaction.send("a", Record::new(text.as_bytes()).partition(1)).unwrap();
        transaction.send("b", Record::new(text.as_bytes())).unwrap();
        for group in &groups {
            transaction.send_offsets(&group.group_metadata().unwrap(), &offsets(1)).unwrap();
            transaction.send_offsets(&group.group_metadata().unwrap(), &offsets(offset)).unwrap();
        }
        transaction.send_position(offset).unwrap();
        transaction
    };
    let everywhere = |engine: &Engine| [("a", 0), ("a", 1), ("b", 0)].map(|(topic, n)| content(engine, topic, n));

    fill("aborted", 3).abort().unwrap();
    drop(fill("dropped", 4));
    let open = fill("committed", 7);
    assert_eq!(everywhere(&engine), [const { Vec::<String>::new() }; 3]);
    assert_eq!(groups[0].committed(&place).unwrap(), None);
    assert_eq!(producer.position(), None);
    let number = open.number();
    let committed = open.commit().unwrap();
    assert_eq!(committed.number, number);
    engine.wait_durable(committed.lsn).unwrap();
    let check = |engine: &Engine, position| {
        assert_eq!(everywhere(engine), [["committed"]; 3]);
        let groups = ["g", "h"].map(|name| consumer(engine, name, &[("in", 0)]));
        assert!(groups.iter().all(|group| group.committed(&place).unwrap() == Some(7)));
        assert_eq!(position, Some(7));
    };
    check(&engine, producer.position());
    drop((groups, producer));
    drop(engine);
    let engine = Engine::open(dir.path()).unwrap();
    check(&engine, engine.transactional_producer("tp", ProducerOptions::new()).unwrap().position());
}

#[test]
fn a_transaction_with_nothing_in_it_commits_without_writing() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    assert_eq!(producer.begin_transaction().unwrap().commit().unwrap().lsn, 0);
    let reader = consumer(&engine, "g", &[("t", 0), ("t", 1)]);
    let idle = producer.begin_transaction_for(&reader).unwrap();
    assert!(reader.poll(Duration::ZERO).unwrap().is_empty());
    assert_eq!(idle.commit_ticket().unwrap().wait().unwrap().lsn, 0);
    let mut positioned = producer.begin_transaction().unwrap();
    positioned.send_position(1).unwrap();
    assert_ne!(positioned.commit().unwrap().lsn, 0, "a position alone is something");
}

#[test]
fn one_transaction_is_open_at_a_time_and_it_may_move_to_another_thread() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut first = producer.begin_transaction().unwrap();
    assert_eq!(producer.begin_transaction().err().unwrap().kind(), ErrorKind::InvalidTransactionState);
    let number = first.number();
    std::thread::spawn(move || {
        first.send("t", Record::new(b"moved")).unwrap();
        first.commit().unwrap();
    })
    .join()
    .unwrap();
    // Transactions may be sent one behind the other without waiting for each.
    let tickets: Vec<_> = (0..20)
        .map(|_| {
            let mut next = producer.begin_transaction().unwrap();
            assert!(next.number() > number);
            next.send("t", Record::new(b"x")).unwrap();
            next.commit_ticket().unwrap()
        })
        .collect();
    let lsns: Vec<u64> = tickets.into_iter().map(|ticket| ticket.wait().unwrap().lsn).collect();
    assert!(lsns.windows(2).all(|pair| pair[0] < pair[1]));
    assert_eq!(content(&engine, "t", 0).len(), 21);
}

#[test]
fn an_aborted_or_dropped_transaction_rewinds_its_consumer_and_a_committed_one_sends_its_position() {
    let (_dir, engine) = engine(&[("in", 1), ("out", 1)]);
    let feed = slow(&engine);
    let texts: Vec<String> = (0..30).map(|i| i.to_string()).collect();
    let records: Vec<_> = texts.iter().map(|text| Record::new(text.as_bytes())).collect();
    feed.send_many("in", &records).unwrap().wait().unwrap();
    let place = TopicPartition::new("in", 0);
    let reader = engine.consumer(ConsumerOptions::new().group("g").max_records(10)).unwrap();
    reader.assign(std::slice::from_ref(&place)).unwrap();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    for round in 0..9u64 {
        let mut transaction = producer.begin_transaction_for(&reader).unwrap();
        let polled = reader.poll(LONG).unwrap();
        let at = round / 3 * 10;
        assert_eq!(values(&polled), texts[at as usize..at as usize + 10], "round {round}");
        assert_eq!(reader.position(&place).unwrap(), at + 10);
        for record in &polled {
            transaction.send("out", Record::new(record.unwrap().value().unwrap())).unwrap();
        }
        match round % 3 {
            0 => transaction.abort().unwrap(),
            1 => drop(transaction),
            _ => drop(transaction.commit().unwrap()),
        }
        let stands = if round % 3 == 2 { at + 10 } else { at };
        assert_eq!(reader.position(&place).unwrap(), stands, "round {round}");
        assert_eq!(reader.committed(&place).unwrap().unwrap_or(0), stands, "round {round}");
    }
    assert_eq!(content(&engine, "out", 0), texts);
    assert_eq!(reader.lag(&place).unwrap(), 0);
}

#[test]
fn a_failed_commit_has_aborted_and_rewound() {
    let (_dir, engine) = engine(&[("in", 1), ("out", 1), ("gone", 1)]);
    slow(&engine).send("in", Record::new(b"1")).unwrap().wait().unwrap();
    let place = TopicPartition::new("in", 0);
    let reader = consumer(&engine, "g", &[("in", 0)]);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction_for(&reader).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    transaction.send("out", Record::new(b"1")).unwrap();
    transaction.send("gone", Record::new(b"1")).unwrap();
    engine.delete_topic("gone").unwrap();
    assert_eq!(transaction.commit().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!((reader.position(&place).unwrap(), reader.committed(&place).unwrap()), (0, None));
    assert_eq!(content(&engine, "out", 0), [""; 0]);
    let again = producer.begin_transaction_for(&reader).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    again.commit().unwrap();
    assert_eq!(reader.committed(&place).unwrap(), Some(1));
}

#[test]
fn a_bound_consumer_leaves_its_offsets_to_the_transaction() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let reader = consumer(&engine, "g", &[("t", 0)]);
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let other = engine.transactional_producer("other", ProducerOptions::new()).unwrap();
    let mut transaction = producer.begin_transaction_for(&reader).unwrap();
    let offsets = Offsets::from([(TopicPartition::new("t", 0), 0.into())]);
    assert_eq!(reader.commit().err().unwrap().kind(), ErrorKind::InvalidState);
    assert_eq!(reader.commit_offsets(&offsets).err().unwrap().kind(), ErrorKind::InvalidState);
    assert_eq!(reader.assign(&names(&[("t", 1)])).err().unwrap().kind(), ErrorKind::InvalidState);
    assert_eq!(other.begin_transaction_for(&reader).err().unwrap().kind(), ErrorKind::InvalidState);
    let group = reader.group_metadata().unwrap();
    assert_eq!(transaction.send_offsets(&group, &offsets).err().unwrap().kind(), ErrorKind::InvalidArgument);
    transaction.abort().unwrap();
    reader.assign(&names(&[("t", 1)])).unwrap();
    other.begin_transaction_for(&reader).unwrap().commit().unwrap();
}

#[test]
fn many_records_go_into_a_transaction_in_order_up_to_the_first_that_is_refused() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let streams = ProducerOptions::new().transaction_buffer(1000);
    for (id, options) in [("whole", ProducerOptions::new()), ("streams", streams)] {
        let producer = engine.transactional_producer(id, options).unwrap();
        let texts: Vec<String> = (0..200).map(|n| format!("{id} {n}")).collect();
        let given = || (0..).zip(&texts).map(|(n, text): (u32, &String)| Record::new(text.as_bytes()).partition(n % 2));
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send_many("t", given()).unwrap();
        transaction.send_many("t", [] as [Record<'_>; 0]).unwrap();
        // One with a position is refused: what came before it is in the transaction, what comes behind it is not.
        let wrong = [Record::new(b"before"), Record::new(b"wrong").position(1), Record::new(b"behind")];
        let error = transaction.send_many("t", wrong.map(|record| record.partition(0))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        let error = transaction.send_many("none", given()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::UnknownTopicOrPartition);
        transaction.commit().unwrap();
        for partition in 0..2 {
            let seen = content(&engine, "t", partition);
            let seen: Vec<&String> = seen.iter().filter(|text| text.starts_with(id)).collect();
            assert!(seen.iter().copied().eq(texts.iter().skip(partition as usize).step_by(2)), "{id}: {seen:?}");
        }
    }
    let seen = content(&engine, "t", 0);
    assert_eq!(seen.iter().filter(|text| *text == "before").count(), 2);
    assert!(!seen.iter().any(|text| text == "wrong" || text == "behind"));
}

#[test]
fn offsets_that_were_sent_for_a_topic_are_not_committed_to_another_of_its_name() {
    for buffer in [0, 1000] {
        let (_dir, engine) = engine(&[("t", 1), ("other", 1)]);
        let options = ProducerOptions::new().transaction_buffer(buffer);
        let producer = engine.transactional_producer("tp", options).unwrap();
        let reader = consumer(&engine, "g", &[("t", 0)]);
        let (group, place) = (reader.group_metadata().unwrap(), TopicPartition::new("t", 0));
        let offsets = Offsets::from([(place.clone(), 63.into())]);
        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send("other", Record::new(b"in one with the offset")).unwrap();
        transaction.send_offsets(&group, &offsets).unwrap();
        engine.delete_topic("t").unwrap();
        engine.create_topic("t", oncelog::TopicOptions::new()).unwrap();
        let again = transaction.send_offsets(&group, &offsets).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::UnknownTopicOrPartition);
        let refused = transaction.commit().unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::UnknownTopicOrPartition);
        assert_eq!(consumer(&engine, "h", &[("t", 0)]).committed(&place).unwrap(), None);
        assert_eq!(reader.committed(&place).unwrap(), None);
        assert!(content(&engine, "other", 0).is_empty());

        let mut transaction = producer.begin_transaction().unwrap();
        transaction.send_offsets(&group, &offsets).unwrap();
        transaction.commit().unwrap();
        assert_eq!(reader.committed(&place).unwrap(), Some(63));
    }
}
