//! Completions: one queue, one descriptor, and nothing that is lost or left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oncelog::{Completions, Descriptor, ProducerOptions, Record, TopicOptions};

use crate::{LONG, engine, slow};

/// How long what was raised may take until it can be seen: no time, but on Windows.
const SOON: i32 = if cfg!(windows) { -1 } else { 0 };

/// Whether a descriptor is readable, waiting so many milliseconds at most; -1: until it is.
#[cfg(windows)]
#[allow(unsafe_code)]
fn readable(descriptor: Descriptor, milliseconds: i32) -> bool {
    use windows_sys::Win32::Networking::WinSock::{POLLRDNORM, WSAPOLLFD, WSAPoll};
    let mut asked = WSAPOLLFD { fd: descriptor as usize, events: POLLRDNORM, revents: 0 };
    // SAFETY: one entry, which outlives the call.
    let answer = unsafe { WSAPoll(&mut asked, 1, milliseconds) };
    assert!(answer >= 0, "{}", std::io::Error::last_os_error());
    answer == 1
}

/// Whether a descriptor is readable, waiting so many milliseconds at most; -1: until it is.
#[cfg(unix)]
#[allow(unsafe_code)]
fn readable(descriptor: Descriptor, milliseconds: i32) -> bool {
    let mut asked = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry, which outlives the call.
    let answer = unsafe { libc::poll(&mut asked, 1, milliseconds) };
    assert!(answer >= 0, "{}", std::io::Error::last_os_error());
    answer == 1
}

fn drained<D: Send + 'static>(completions: &Completions<D>) -> Vec<D> {
    let mut all = Vec::new();
    let count = completions.drain(&mut all).unwrap();
    assert_eq!(count, all.len());
    all
}

#[cfg(not(windows))]
#[test]
fn the_descriptor_is_readable_exactly_while_something_is_queued() {
    let completions = Completions::new().unwrap();
    let clone = completions.clone();
    assert_eq!(clone.descriptor(), completions.descriptor());
    for _ in 0..3 {
        assert!(!readable(completions.descriptor(), 0));
        clone.push(1);
        assert!(readable(completions.descriptor(), 0));
        completions.push(2);
        let mut all = vec![0];
        assert_eq!(clone.drain(&mut all).unwrap(), 2);
        assert_eq!(all, [0, 1, 2], "behind what was there, in order");
        assert_eq!(completions.drain(&mut all).unwrap(), 0);
    }
}

#[test]
fn the_descriptor_is_readable_while_something_is_queued_and_silent_once_it_is_drained() {
    let completions = Completions::new().unwrap();
    for _ in 0..100 {
        completions.push(1);
        assert!(readable(completions.descriptor(), SOON));
        assert_eq!(drained(&completions), [1]);
        completions.push(2);
        assert_eq!(drained(&completions), [2], "whether or not it could be seen yet");
        // A drain for nothing at most: who drains whenever it is readable comes to rest.
        while readable(completions.descriptor(), 0) {
            assert_eq!(drained(&completions), [0; 0]);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
#[allow(unsafe_code)]
fn the_descriptor_is_written_once_each_time_the_queue_becomes_filled() {
    let completions = Completions::new().unwrap();
    (0..1000).for_each(|number| completions.push(number));
    let mut written = 0u64;
    // SAFETY: eight bytes into a number that outlives the call.
    let bytes = unsafe { libc::read(completions.descriptor(), (&raw mut written).cast(), 8) };
    assert_eq!((bytes, written), (8, 1));
    assert_eq!(drained(&completions).len(), 1000, "who reads the descriptor against all advice loses nothing");
    completions.push(0);
    assert!(readable(completions.descriptor(), 0));
}

#[test]
fn an_event_loop_hears_of_everything_through_one_descriptor() {
    let (_dir, engine) = engine(&[("t", 3)]);
    let completions = Completions::new().unwrap();
    let producer = engine.producer(ProducerOptions::new()).unwrap();
    let mut done = Vec::new();
    for round in 0..20u32 {
        let before = done.len();
        for number in 0..100 {
            let ticket = producer.send("t", Record::new(b"x").partition(number % 3)).unwrap();
            completions.watch(ticket, move |answer| answer.map(|_| round * 100 + number));
        }
        let topic = engine.create_topic_ticket(&format!("u{round}"), TopicOptions::new()).unwrap();
        completions.watch(topic, move |answer| answer.map(|()| 10_000 + round));
        while done.len() < before + 101 {
            assert!(readable(completions.descriptor(), -1));
            completions.drain(&mut done).unwrap();
        }
    }
    let mut numbers: Vec<u32> = done.into_iter().map(Result::unwrap).collect();
    numbers.sort_unstable();
    assert!(numbers.iter().copied().eq((0..2000).chain(10_000..10_020)));
}

/// As Kafka's producer promises of its callbacks, whoever closes the batches: the sender, the keeper, a flush.
#[test]
fn what_was_sent_to_a_partition_is_answered_in_the_order_of_the_sends() {
    const RECORDS: u64 = 20_000;
    let (_dir, engine) = engine(&[("t", 2)]);
    let completions = Completions::new().unwrap();
    let options = ProducerOptions::new().linger(Duration::from_micros(50)).batch_bytes(2_000);
    let producer = engine.producer(options).unwrap();
    let sent = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !sent.load(Ordering::Relaxed) {
                producer.flush().unwrap();
            }
        });
        for number in 0..RECORDS {
            let partition = (number % 2) as u32;
            let ticket = producer.send("t", Record::new(b"x").partition(partition)).unwrap();
            completions.watch(ticket, |answer| answer.map(|appended| (appended.partition, appended.first)).unwrap());
        }
        sent.store(true, Ordering::Relaxed);
    });
    let mut done = Vec::new();
    while done.len() < RECORDS as usize {
        assert!(readable(completions.descriptor(), -1));
        completions.drain(&mut done).unwrap();
    }
    for partition in 0..2 {
        let offsets = done.iter().filter(|(of, _)| *of == partition).map(|(_, offset)| *offset);
        assert!(offsets.eq(0..RECORDS / 2), "partition {partition}");
    }
}

#[test]
fn threads_that_push_and_drain_at_once_lose_nothing() {
    let completions = Completions::new().unwrap();
    let mut found = Vec::new();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let completions = completions.clone();
            scope.spawn(move || (0..5000).for_each(|number| completions.push(thread * 5000 + number)));
        }
        while found.len() < 20_000 {
            // Whoever sleeps here although something is queued sleeps for ever.
            assert!(readable(completions.descriptor(), LONG.as_millis() as i32));
            completions.drain(&mut found).unwrap();
        }
    });
    found.sort_unstable();
    assert!(found.into_iter().eq(0..20_000));
    assert!(!readable(completions.descriptor(), 0));
}

#[test]
fn a_close_completes_all_that_is_watched() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let (completions, producer) = (Completions::new().unwrap(), slow(&engine));
    for _ in 0..10 {
        completions.watch(producer.send("t", Record::new(b"x")).unwrap(), |answer| answer.unwrap().first);
    }
    let late = producer.send("t", Record::new(b"late")).unwrap();
    engine.close().unwrap();
    completions.watch(late, |answer| answer.unwrap().first);
    assert!(drained(&completions).into_iter().eq(0..11));
}

#[test]
fn a_log_that_is_only_read_completes_what_needs_no_write() {
    let (dir, writer) = engine(&[("t", 1)]);
    writer.close().unwrap();
    let engine = oncelog::Engine::options().read_only(true).open(dir.path()).unwrap();
    let reader = crate::consumer(&engine, "g", &[("t", 0)]);
    let completions = Completions::new().unwrap();
    completions.watch(reader.commit_ticket().unwrap(), |answer| answer.is_ok());
    assert!(readable(completions.descriptor(), LONG.as_millis() as i32));
    assert_eq!(drained(&completions), [true]);
}

#[test]
fn a_panic_in_done_is_caught_and_queues_nothing() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let (completions, producer) = (Completions::new().unwrap(), slow(&engine));
    let send = || producer.send("t", Record::new(b"x")).unwrap();
    completions.watch(send(), |_| -> u64 { std::panic::panic_any("of the caller's own") });
    completions.watch(send(), |answer| answer.unwrap().first);
    producer.flush().unwrap();
    assert!(readable(completions.descriptor(), LONG.as_millis() as i32));
    assert_eq!(drained(&completions), [1]);
    engine.create_topic("the keeper lives", TopicOptions::new()).err().unwrap();
    completions.watch(send(), |answer| answer.unwrap().first);
    producer.flush().unwrap();
    assert!(readable(completions.descriptor(), LONG.as_millis() as i32));
}

#[test]
fn completions_that_are_dropped_leave_nothing_behind() {
    let (_dir, engine) = engine(&[("t", 1)]);
    let (token, producer) = (Arc::new(()), slow(&engine));
    for _ in 0..3000 {
        // More than a process may open, if they stayed open.
        let completions = Completions::new().unwrap();
        let held = token.clone();
        completions.push(token.clone());
        completions.watch(producer.send("t", Record::new(b"x")).unwrap(), move |_| held);
    }
    engine.close().unwrap();
    assert_eq!(Arc::strong_count(&token), 1);
}

#[cfg(unix)]
#[test]
#[allow(unsafe_code)]
fn a_forked_child_is_told_so_and_disturbs_nothing() {
    use std::sync::atomic::AtomicU32;

    use oncelog::ErrorKind;

    let (_dir, engine) = engine(&[("t", 1)]);
    let completions = Completions::new().unwrap();
    completions.push(7);
    let reader = crate::consumer(&engine, "g", &[("t", 0)]);
    let (answered, asked) = (slow(&engine), Arc::new(AtomicU32::new(0)));
    let mut ticket = answered.send("t", Record::new(b"parent")).unwrap();
    let waiting = engine.create_topic_ticket("u", TopicOptions::new()).unwrap();
    // SAFETY: the child calls only into this library, which promises to take no lock before it answers, and ends
    // without running anything of the test harness.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let mut all = Vec::new();
        let drained = completions.drain(&mut all).map_err(|error| error.kind());
        let mut wrong = i32::from(drained != Err(ErrorKind::Forked) || !all.is_empty());
        completions.push(8);
        let called = asked.clone();
        reader.on_ready(move || called.store(1, Ordering::SeqCst));
        wrong |= 2 * i32::from(asked.load(Ordering::SeqCst) != 1);
        let forked = |kind: Option<ErrorKind>| kind == Some(ErrorKind::Forked);
        wrong |= 4 * i32::from(!forked(waiting.wait().err().map(|error| error.kind())));
        wrong |= 8 * i32::from(!forked(engine.flush_ticket().err().map(|error| error.kind())));
        drop((completions, reader));
        // SAFETY: ends the child at once; nothing is borrowed from it.
        unsafe { libc::_exit(wrong) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above; `status` outlives the call.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert!(libc::WIFEXITED(status));
    assert_eq!(libc::WEXITSTATUS(status), 0, "a bit for each thing that went wrong");
    assert!(readable(completions.descriptor(), 0), "the child's read did not lower the parent's descriptor");
    assert_eq!(drained(&completions), [7]);
    waiting.wait().unwrap();
    assert_eq!(ticket.try_wait().unwrap(), None);
    assert_eq!(ticket.wait().unwrap().first, 0);
}
