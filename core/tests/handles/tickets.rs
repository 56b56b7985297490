//! Tickets: twins of the calls that wait, and the ways to come to their answer.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use oncelog::{
    ConsumerOptions, ErrorKind, Offsets, ProducerOptions, Record, Result, Ticket, TopicOptions, TopicPartition,
};

use crate::{LONG, consumer, content, engine, slow};

fn kind<T>(answer: Result<T>) -> ErrorKind {
    answer.err().unwrap().kind()
}

#[test]
fn every_twin_answers_what_its_waiting_call_answers() {
    let (_dir, engine) = engine(&[("t", 1)]);
    engine.create_topic_ticket("new", TopicOptions::new()).unwrap().wait().unwrap();
    engine.partition("new", 0).unwrap();
    assert_eq!(kind(engine.create_topic_ticket("new", TopicOptions::new()).unwrap().wait()), ErrorKind::TopicExists);
    assert_eq!(kind(engine.create_topic_ticket("no/name", TopicOptions::new())), ErrorKind::InvalidArgument);
    engine.add_partitions_ticket("new", 3).unwrap().wait().unwrap();
    engine.partition("new", 2).unwrap();
    assert_eq!(kind(engine.add_partitions_ticket("new", 3).unwrap().wait()), ErrorKind::InvalidArgument);
    engine.delete_topic_ticket("new").unwrap().wait().unwrap();
    assert_eq!(kind(engine.partition("new", 0)), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(kind(engine.delete_topic_ticket("new").unwrap().wait()), ErrorKind::UnknownTopicOrPartition);

    let producer = engine.producer_ticket(ProducerOptions::new().name("n")).unwrap().wait().unwrap();
    producer.send("t", Record::new(b"1").position(1)).unwrap().detach();
    producer.flush_ticket().unwrap().wait().unwrap();
    assert_eq!(producer.position(), Some(1));
    assert_eq!(kind(engine.producer_ticket(ProducerOptions::new().batch_bytes(1 << 30))), ErrorKind::InvalidArgument);
    let ticket = engine.transactional_producer_ticket("tp", ProducerOptions::new()).unwrap();
    let lsn = ticket.wait().unwrap().begin_transaction().unwrap().commit().unwrap().lsn;
    engine.wait_durable_ticket(lsn).unwrap().wait().unwrap();
    assert_eq!(kind(engine.wait_durable_ticket(u64::MAX)), ErrorKind::InvalidArgument);
    engine.flush_ticket().unwrap().wait().unwrap();
    engine.delete_producer_ticket("n").unwrap().wait().unwrap();
    assert_eq!(kind(engine.delete_producer_ticket("n").unwrap().wait()), ErrorKind::UnknownTransactionalId);

    let (reader, place) = (consumer(&engine, "g", &[("t", 0)]), TopicPartition::new("t", 0));
    reader.poll(LONG).unwrap();
    reader.commit_ticket().unwrap().wait().unwrap();
    assert_eq!(reader.committed(&place).unwrap(), Some(1));
    reader.commit_offsets_ticket(&Offsets::from([(place.clone(), 0.into())])).unwrap().wait().unwrap();
    assert_eq!(reader.committed(&place).unwrap(), Some(0));
    let nobody = engine.consumer(ConsumerOptions::new()).unwrap();
    assert_eq!(kind(nobody.commit_ticket()), ErrorKind::InvalidArgument);
    engine.close().unwrap();
    assert_eq!(kind(engine.create_topic_ticket("u", TopicOptions::new())), ErrorKind::Closed);
    assert_eq!(kind(producer.flush_ticket()), ErrorKind::Closed);
}

#[test]
fn whatever_becomes_of_a_ticket_its_change_takes_effect() {
    let (_dir, engine) = engine(&[("gone", 1)]);
    engine.create_topic_ticket("here", TopicOptions::new()).unwrap().detach();
    engine.delete_topic_ticket("gone").unwrap().detach();
    // The callbacks come in order, so both changes were shown before this one is called.
    let (tell, hear) = channel();
    engine.flush_ticket().unwrap().on_done(move |done| tell.send(done).unwrap());
    hear.recv_timeout(LONG).unwrap().unwrap();
    let names: Vec<String> = engine.topics().unwrap().into_iter().map(|topic| topic.name).collect();
    assert_eq!(names, ["here"]);
}

#[test]
fn a_flush_ticket_tells_of_a_refused_batch_after_all_others_are_safe() {
    let (_dir, engine) = engine(&[("t", 1), ("gone", 1)]);
    let producer = slow(&engine);
    producer.send("gone", Record::new(b"x")).unwrap().detach();
    producer.send("t", Record::new(b"y")).unwrap().detach();
    engine.delete_topic("gone").unwrap();
    let ticket = producer.flush_ticket().unwrap();
    assert_eq!(kind(ticket.wait()), ErrorKind::UnknownTopicOrPartition);
    assert_eq!(content(&engine, "t", 0), ["y"]);
    producer.flush_ticket().unwrap().wait().unwrap();
}

#[test]
fn a_look_at_a_ticket_closes_nothing_and_the_answer_is_given_once() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    let mut one = producer.send("t", Record::new(b"1")).unwrap();
    let mut many = producer.send_many("t", &[Record::new(b"2"), Record::new(b"3")]).unwrap();
    assert_eq!(one.try_wait().unwrap(), None);
    assert_eq!(many.try_wait().unwrap(), None);
    assert_eq!(engine.partition("t", 0).unwrap().bounds().end, 0, "nothing was placed for a look");
    producer.flush().unwrap();
    assert_eq!(one.try_wait().unwrap().unwrap().first, 0);
    assert_eq!(many.try_wait().unwrap().unwrap().iter().map(|a| a.first).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(kind(one.try_wait()), ErrorKind::InvalidState);
    assert_eq!(kind(one.wait_for(Duration::ZERO)), ErrorKind::InvalidState);
    let (tell, hear) = channel();
    one.on_done(move |answer| tell.send(kind(answer)).unwrap());
    assert_eq!(hear.recv_timeout(LONG).unwrap(), ErrorKind::InvalidState, "a callback is called in any case");
}

struct Bell(Sender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        let _ = self.0.send(());
    }
}

fn bell() -> (Waker, Receiver<()>) {
    let (tell, hear) = channel();
    (Arc::new(Bell(tell)).into(), hear)
}

/// Polls a ticket until it is ready, sleeping until it is woken.
fn block_on<T: Send + Unpin + 'static>(mut ticket: Ticket<T>) -> Result<T> {
    let (waker, hear) = bell();
    loop {
        match Pin::new(&mut ticket).poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(answer) => return answer,
            Poll::Pending => hear.recv_timeout(LONG).unwrap(),
        }
    }
}

#[test]
fn a_ticket_is_a_future_that_the_keeper_wakes() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    for round in 0..50 {
        assert_eq!(block_on(producer.send("t", Record::new(b"x")).unwrap()).unwrap().first, 2 * round);
        let many = producer.send_many("t", &[Record::new(b"y")]).unwrap();
        assert_eq!(block_on(many).unwrap()[0].first, 2 * round + 1);
    }
    block_on(engine.create_topic_ticket("u", TopicOptions::new()).unwrap()).unwrap();
    let again = block_on(engine.create_topic_ticket("u", TopicOptions::new()).unwrap());
    assert_eq!(kind(again), ErrorKind::TopicExists);
    engine.partition("u", 0).unwrap();
}

#[test]
fn a_ticket_that_was_polled_can_still_be_waited_for() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    let (first, hear_first) = bell();
    let (second, hear_second) = bell();
    let mut ticket = producer.send("t", Record::new(b"x")).unwrap();
    let mut other = producer.send("t", Record::new(b"y")).unwrap();
    for waker in [&first, &second] {
        let mut context = Context::from_waker(waker);
        assert!(Pin::new(&mut ticket).poll(&mut context).is_pending());
        assert!(Pin::new(&mut other).poll(&mut context).is_pending());
    }
    assert_eq!(ticket.wait().unwrap().first, 0);
    // Both tickets wake who polled last, and only him.
    hear_second.recv_timeout(LONG).unwrap();
    hear_second.recv_timeout(LONG).unwrap();
    assert!(hear_first.try_recv().is_err());
    assert_eq!(other.try_wait().unwrap().unwrap().first, 1);
}

#[test]
fn a_commit_that_finds_nothing_new_is_done_with_the_one_before() {
    let (_dir, engine) = engine(&[("t", 1)]);
    slow(&engine).send("t", Record::new(b"x")).unwrap().wait().unwrap();
    let reader = consumer(&engine, "g", &[("t", 0)]);
    assert_eq!(reader.commit_ticket().unwrap().lsn(), None, "nothing was ever committed");
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    let first = reader.commit_ticket().unwrap().lsn().unwrap();
    assert_eq!(reader.commit_ticket().unwrap().lsn(), Some(first));
    // A transaction's commit counts as one.
    slow(&engine).send("t", Record::new(b"y")).unwrap().wait().unwrap();
    let producer = engine.transactional_producer("tp", ProducerOptions::new()).unwrap();
    let transaction = producer.begin_transaction_for(&reader).unwrap();
    assert_eq!(reader.poll(LONG).unwrap().count(), 1);
    let committed = transaction.commit_ticket().unwrap().lsn();
    assert_ne!(committed, Some(first));
    assert_eq!(reader.commit_ticket().unwrap().lsn(), committed);
    reader.commit_ticket().unwrap().wait().unwrap();
}

/// The parent's producer is locked for as long as somebody walks the records of a call; the child has that lock for
/// ever.
#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn the_tickets_of_a_forked_child_say_so_and_take_no_lock_of_whoever_gathers() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let producer = slow(&engine);
    let send = || producer.send("t", Record::new(b"x")).unwrap();
    let (mut first, mut second, mut third, waited) = (send(), send(), send(), send());
    let many = producer.send_many("t", &[Record::new(b"y")]).unwrap();
    let (waker, _hear) = bell();
    assert!(Pin::new(&mut third).poll(&mut Context::from_waker(&waker)).is_pending());
    let (walking, walks) = channel();
    let (forked, go_on) = channel();
    std::thread::scope(|scope| {
        let producer = &producer;
        scope.spawn(move || {
            let record = std::iter::once_with(|| {
                walking.send(()).unwrap();
                go_on.recv().unwrap();
                Record::new(b"z")
            });
            producer.send_many("t", record).unwrap().detach();
        });
        walks.recv().unwrap();
        // SAFETY: the child calls only into this library, which promises to take no lock before it answers, and ends
        // without running anything of the test harness.
        let child = unsafe { libc::fork() };
        if child == 0 {
            // SAFETY: ends the child if it hangs, after so long that a busy machine is none.
            unsafe { libc::alarm(600) };
            let forked = |answer: Option<ErrorKind>| answer == Some(ErrorKind::Forked);
            let mut wrong = i32::from(first.lsn().is_some());
            wrong |= 2 * i32::from(!forked(first.wait_for(Duration::ZERO).err().map(|error| error.kind())));
            wrong |= 4 * i32::from(!forked(waited.wait().err().map(|error| error.kind())));
            wrong |= 8 * i32::from(!forked(many.wait().err().map(|error| error.kind())));
            for (n, ticket) in [&mut second, &mut third].into_iter().enumerate() {
                let answer = Pin::new(ticket).poll(&mut Context::from_waker(&waker));
                let told = matches!(answer, Poll::Ready(Err(error)) if error.kind() == ErrorKind::Forked);
                wrong |= (16 << n) * i32::from(!told);
            }
            // SAFETY: ends the child at once; nothing is borrowed from it.
            unsafe { libc::_exit(wrong) };
        }
        forked.send(()).unwrap();
        let mut status = 0;
        // SAFETY: waits for the child made above; `status` outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert!(libc::WIFEXITED(status), "the child hangs");
        assert_eq!(libc::WEXITSTATUS(status), 0, "a bit for each thing that went wrong");
    });
    assert_eq!(first.wait().unwrap().first, 0);
    assert_eq!(content(&engine, "t", 0).len(), 6);
}
