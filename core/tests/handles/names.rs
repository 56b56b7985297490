//! Named producers: positions, duplicates, fences.

use oncelog::{Engine, ErrorKind, ProducerOptions, Record, TopicOptions};

use crate::{LONG, content, engine};

#[test]
fn a_named_producer_resumes_without_duplicates() {
    let dir = tempfile::tempdir().unwrap();
    let texts: Vec<String> = (0..300).map(|i| format!("{i}")).collect();
    let mut known = None;
    for life in 0..6 {
        let engine = Engine::open(dir.path()).unwrap();
        if life == 0 {
            engine.create_topic("t", TopicOptions::new().partitions(4)).unwrap();
        }
        let loader = engine.producer(ProducerOptions::new().name("loader").batch_bytes(200)).unwrap();
        assert!(loader.position() >= known, "what was said stays true: {known:?} then {:?}", loader.position());
        let done = loader.position().map_or(0, |p| p + 1);
        // Each life goes back some way, and leaves without closing anything properly.
        let from = done.saturating_sub(20);
        for position in from..(life + 1) * 50 {
            let text = texts[position as usize].as_bytes();
            let sent = loader.send("t", Record::new(text).key(text).position(position)).unwrap();
            if position < done {
                assert!(sent.wait().unwrap().duplicate, "life {life} position {position}");
            } else if position % 7 == 0 {
                assert!(!sent.wait().unwrap().duplicate, "life {life} position {position}");
                known = loader.position();
            }
        }
        known = known.max(loader.position());
    }
    let engine = Engine::open(dir.path()).unwrap();
    let mut found: Vec<String> = (0..4).flat_map(|partition| content(&engine, "t", partition)).collect();
    found.sort_by_key(|text| text.parse::<u32>().unwrap());
    assert_eq!(found, texts);
}

#[test]
fn a_repeated_position_is_answered_as_a_duplicate_whether_its_original_is_gathered_placed_or_durable() {
    let (_dir, engine) = engine(&[("t", 2)]);
    let loader = engine.producer(ProducerOptions::new().name("n").linger(LONG)).unwrap();
    assert_eq!(loader.position(), None);
    let original = loader.send("t", Record::new(b"5").position(5)).unwrap();
    let gathered = loader.send("t", Record::new(b"5").position(5)).unwrap();
    assert_eq!(loader.position(), None, "not before it is in the log");
    let answer = gathered.wait().unwrap();
    assert!(answer.duplicate);
    let original = original.wait().unwrap();
    assert_eq!((original.duplicate, original.lsn), (false, answer.lsn), "the answer waited for its original");
    assert_eq!(loader.position(), Some(5));
    assert!(loader.send("t", Record::new(b"3").position(3)).unwrap().wait().unwrap().duplicate, "a gap is no promise");
    let many = [Record::new(b"4").position(4), Record::new(b"9").position(9), Record::new(b"9").position(9)];
    let answers = loader.send_many("t", &many).unwrap().wait().unwrap();
    assert_eq!(answers.iter().map(|a| a.duplicate).collect::<Vec<_>>(), [true, false, true]);
    let again = engine.producer(ProducerOptions::new().name("n")).unwrap();
    assert_eq!(again.position(), Some(9));
    assert!(again.send("t", Record::new(b"9").position(9)).unwrap().wait().unwrap().duplicate);
    assert_eq!((0..2).map(|p| content(&engine, "t", p).len()).sum::<usize>(), 2);
}

#[test]
fn what_a_named_producer_refuses_leaves_its_position_free() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let loader = engine.producer(ProducerOptions::new().name("n").linger(LONG)).unwrap();
    let huge = vec![0; 2 << 20];
    let kind = |record| loader.send("t", record).err().unwrap().kind();
    assert_eq!(kind(Record::new(&huge).position(1)), ErrorKind::RecordTooLarge);
    assert_eq!(kind(Record::new(b"").position(1).partition(9)), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(kind(Record::new(b"").position(1).timestamp(-7)), ErrorKind::InvalidRecord);
    assert!(!loader.send("t", Record::new(b"ok").position(1)).unwrap().wait().unwrap().duplicate);
    assert_eq!(content(&engine, "t", 0), ["ok"]);
}

#[test]
fn a_refused_frame_ends_its_producer_so_that_nothing_gets_ahead_of_it() {
    let (_dir, engine) = engine(&[("t", 1), ("gone", 1)]);
    let loader = engine.producer(ProducerOptions::new().name("n").linger(LONG)).unwrap();
    loader.send("t", Record::new(b"1").position(1)).unwrap().wait().unwrap();
    let doomed = loader.send("gone", Record::new(b"2").position(2)).unwrap();
    let beside = loader.send("t", Record::new(b"3").position(3)).unwrap();
    engine.delete_topic("gone").unwrap();
    assert_eq!(doomed.wait().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(beside.wait().err().unwrap().kind(), ErrorKind::UnknownTopicOrPartition, "one frame, one fate");
    let error = loader.send("t", Record::new(b"4").position(4)).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Closed);
    assert!(error.message().contains("open it again"), "{error}");
    assert_eq!(loader.flush().err().unwrap().kind(), ErrorKind::Closed);
    assert_eq!(loader.position(), Some(1));
    let again = engine.producer(ProducerOptions::new().name("n")).unwrap();
    again.send("t", Record::new(b"3").position(3)).unwrap().wait().unwrap();
    assert_eq!(content(&engine, "t", 0), ["1", "3"]);
}

#[test]
fn a_fenced_handle_says_so_and_writes_nothing() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let old = engine.producer(ProducerOptions::new().name("n").linger(LONG)).unwrap();
    let gathered = old.send("t", Record::new(b"old").position(1)).unwrap();
    let new = engine.producer(ProducerOptions::new().name("n")).unwrap();
    assert_eq!(gathered.wait().err().unwrap().kind(), ErrorKind::ProducerFenced);
    let error = old.send("t", Record::new(b"old").position(2)).err().unwrap();
    assert!(error.kind() == ErrorKind::ProducerFenced && error.is_fatal());
    new.send("t", Record::new(b"new").position(1)).unwrap().wait().unwrap();

    let old = engine.transactional_producer("id", ProducerOptions::new()).unwrap();
    let mut open = old.begin_transaction().unwrap();
    open.send("t", Record::new(b"old")).unwrap();
    let new = engine.transactional_producer("id", ProducerOptions::new()).unwrap();
    assert_eq!(open.commit().err().unwrap().kind(), ErrorKind::ProducerFenced);
    assert_eq!(old.begin_transaction().err().unwrap().kind(), ErrorKind::ProducerFenced);
    let mut transaction = new.begin_transaction().unwrap();
    transaction.send("t", Record::new(b"new too")).unwrap();
    transaction.commit().unwrap();
    assert_eq!(content(&engine, "t", 0), ["new", "new too"]);
    assert_eq!(engine.producer(ProducerOptions::new().name("id")).unwrap().position(), None);
    assert_eq!(new.begin_transaction().err().unwrap().kind(), ErrorKind::ProducerFenced, "names and ids are one");
}
