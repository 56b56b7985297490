//! What openings do with what a kill, a power cut, rot or a failed opening left them.

use std::collections::BTreeMap;

use oncelog::format::files::{FRAMES, Head, SECOND, SegmentHeader};

use super::*;

/// Flips one byte of a value wherever it lies in the directory, and closes the world's machine to do so.
fn flip(world: &World, value: &[u8]) {
    for (name, image) in world.files() {
        if let Some(at) = image.windows(value.len()).position(|window| window == value) {
            world.damage(&name, at as u64, &[image[at] ^ 1]);
            return;
        }
    }
    panic!("the value is not in the directory");
}

#[test]
fn a_flip_in_the_unflushed_window_is_cut_and_one_before_it_is_reported() {
    // Unflushed: nothing says that it is durable, so it is a torn tail.
    let (world, engine) = begin(5);
    send(&engine, b"flushed and stated");
    send(&engine, b"flushed and stated by the next");
    for text in ["unflushed bad", "unflushed good"] {
        append_os(&engine, text);
    }
    world.kill();
    drop(engine);
    flip(&world, b"unflushed bad");
    let engine = open(&world);
    assert_eq!(values(&engine), ["flushed and stated", "flushed and stated by the next"]);
    let opening = engine.opening();
    assert!(opening.cut.is_some() && opening.damage.is_empty(), "{opening:?}");
    engine.close().unwrap();
    drop(engine);

    // Durable by what later frames say: reported, never cut.
    flip(&world, b"flushed and stated by");
    let engine = open(&world);
    let partition = engine.partition("t", 0).unwrap();
    assert_eq!(partition.bounds().end, 2);
    let records = partition.read(0, ReadOptions::new()).unwrap();
    let kinds: Vec<_> = records.iter().map(|r| r.map(|r| r.offset()).map_err(|e| e.kind())).collect();
    assert_eq!(kinds, [Ok(0), Err(ErrorKind::Corrupt)]);
    assert_eq!(send(&engine, b"goes on").first, 2);
}

/// Appends a record of so many bytes, durably.
fn append_long(engine: &Engine, bytes: usize) {
    append(engine, &one(&vec![b'x'; bytes]), Durability::Disk).unwrap();
}

#[test]
fn a_recovery_never_builds_on_a_link_that_a_power_cut_can_still_take() {
    // A clean close whose last mark, which nobody flushes, begins a segment; an opening whose first write is torn;
    // a kill; a life that acknowledges a record; then the power goes.
    let mut rolled = 0;
    for filler in (0..2_000).step_by(8) {
        let (world, engine) = begin(filler);
        (0..9).for_each(|_| append_long(&engine, 6_000));
        append_long(&engine, filler as usize);
        engine.close().unwrap();
        drop(engine);
        rolled += u32::from(world.files().contains_key("00000000000000000002.0.seg"));
        world.fail(Call::Write, 0, Fault::ShortWrite, false);
        try_open(&world).unwrap_err();
        world.heal();
        world.kill();
        let engine = open(&world);
        append_long(&engine, 10);
        drop(engine);
        world.crash();
        let end = open(&world).partition("t", 0).unwrap().bounds().end;
        assert_eq!(end, 11, "filler of {filler} bytes: what the second life acknowledged is gone");
    }
    assert!(rolled > 0, "no close rolled");
}

#[test]
fn an_opening_that_fails_half_way_hides_no_record_from_the_next() {
    for read in 0..60 {
        let (world, engine) = begin(7);
        (0..3).for_each(|_| append_long(&engine, 6_000));
        engine.close().unwrap();
        drop(engine);
        world.fail(Call::Read, read, Fault::Eio, true);
        let failed = try_open(&world);
        drop(failed);
        world.heal();
        let engine = open(&world);
        assert_eq!(values(&engine).len(), 3, "a fault at read {read} of the opening before");
        engine.close().unwrap();
        assert_eq!(values(&open(&world)).len(), 3, "a fault at read {read}, one opening later");
    }
}

fn append_os(engine: &Engine, text: &str) {
    append(engine, &one(text.as_bytes()), Durability::Os).unwrap();
}

/// The same directory without the file that may be lost at any time.
fn without_head(world: &World) -> World {
    let mut files = world.files();
    files.remove("head").unwrap();
    World::with_files(1, files)
}

/// The power took the frame that ends a closed log and says what is durable; the hint that says it too is here.
fn without_mark(world: &World) -> World {
    const MARK: usize = 40;
    let mut files = world.files();
    let slots = [0, SECOND as usize].map(|at| Head::read(&files["head"][at..]));
    let end = slots.into_iter().flatten().max_by_key(|head| head.sequence).unwrap().end;
    let image = files.get_mut(&SegmentHeader::name(end.segment, 0)).unwrap();
    image[end.position as usize - MARK..end.position as usize].fill(0);
    World::with_files(1, files)
}

#[test]
fn what_recoveries_copied_is_found_without_the_hint_wherever_the_first_of_them_failed() {
    let mut failed = 0;
    for (call, after) in [Call::Write, Call::Sync].into_iter().flat_map(|call| (0..8).map(move |n| (call, n))) {
        let (world, engine) = begin(u64::from(after));
        for text in ["first", "second", "third"] {
            send(&engine, text.as_bytes());
        }
        engine.close().unwrap();
        drop(engine);
        let closed = without_mark(&world);
        let hint = closed.files().remove("head").unwrap();

        let world = without_head(&closed);
        world.fail(call, after, Fault::Eio, true);
        let opened = try_open(&world);
        failed += u32::from(opened.is_err());
        drop(opened);
        world.heal();
        world.kill();

        // The hint is found again, and what it says to be durable lies in the copy.
        let mut files = world.files();
        files.insert("head".to_owned(), hint);
        let world = World::with_files(1, files);
        let engine = open(&world);
        send(&engine, b"fourth");
        engine.close().unwrap();
        drop(engine);
        let seen = values(&open(&without_head(&world)));
        assert_eq!(seen, ["first", "second", "third", "fourth"], "a fault at {call:?} {after} of an opening before");
    }
    assert!(failed > 4, "{failed} openings failed");
}

#[test]
fn a_flip_in_what_a_recovery_copied_costs_what_it_hits_and_nothing_behind_it() {
    for hinted in [true, false] {
        let (world, engine) = begin(3);
        send(&engine, b"known durable");
        append_os(&engine, "copied, then hit");
        append_os(&engine, "copied");
        world.kill();
        drop(engine);
        let engine = open(&world);
        send(&engine, b"behind the recovery");
        engine.close().unwrap();
        drop(engine);
        // What lay there before the copy was given back.
        flip(&world, b"copied, then hit");
        let world = if hinted { world } else { without_head(&world) };
        let engine = open(&world);
        let partition = engine.partition("t", 0).unwrap();
        let seen: Vec<_> = (0..partition.bounds().end)
            .map(|offset| match partition.read(offset, ReadOptions::new()) {
                Ok(records) => {
                    records.iter().next().unwrap().map(|r| r.value().unwrap().to_vec()).map_err(|e| e.kind())
                }
                Err(error) => Err(error.kind()),
            })
            .collect();
        let good = |text: &str| Ok(text.as_bytes().to_vec());
        let expected = [good("known durable"), Err(ErrorKind::Corrupt), good("copied"), good("behind the recovery")];
        assert_eq!(seen, expected, "with the hint: {hinted}");
    }
}

#[test]
fn an_opening_that_may_not_read_the_hint_fails_and_takes_nothing_for_lost() {
    for (call, after) in [(Call::Open, 1), (Call::Read, 1), (Call::Read, 2)] {
        let (world, engine) = begin(9);
        send(&engine, b"stated by the hint");
        append_os(&engine, "stated by the hint too");
        engine.close().unwrap();
        drop(engine);
        world.fail(call, after, Fault::Emfile, false);
        let error = try_open(&world).unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.to_string().contains("file head"), "{call:?} {after}: {error}");
        assert_eq!(values(&open(&world)).len(), 2);
    }
}

#[test]
fn a_checkpoint_that_was_flushed_before_a_kill_serves_every_opening_behind_it() {
    let (world, engine) = begin(11);
    (0..12).for_each(|_| append_long(&engine, 6_000));
    // So long that a checkpoint is due, and made.
    engine.drive().unwrap();
    assert_eq!(engine.metrics().checkpoints, 1);
    world.kill();
    drop(engine);
    for life in 2..5 {
        let engine = open(&world);
        let folded = engine.opening().frames_folded;
        assert!(folded < 12, "life {life} folds {folded} frames: the checkpoint went with the copy of the tail");
        // Gives back the space of what was copied.
        engine.drive().unwrap();
        world.kill();
    }
}

/// The same directory with a bit of a segment's link, its first frame, flipped.
fn with_rotten_link(world: &World, number: u64) -> World {
    let mut files = world.files();
    files.get_mut(&SegmentHeader::name(number, 0)).unwrap()[FRAMES as usize + 12] ^= 1;
    World::with_files(1, files)
}

/// Two recoveries, of which the second copied what the first one's segment says of itself: `first` lies in segment 1,
/// `second` in 2, `third` in 3, the rest in 4.
fn copied_again_and_again() -> World {
    let (world, engine) = begin(3);
    send(&engine, b"first");
    append_os(&engine, "second");
    world.kill();
    drop(engine);
    for next in [Some("third"), None] {
        let engine = open(&world);
        engine.drive().unwrap();
        next.iter().for_each(|text| append_os(&engine, text));
        world.kill();
    }
    let engine = open(&world);
    engine.drive().unwrap();
    send(&engine, b"fourth");
    send(&engine, b"says that the fourth is durable");
    world.kill();
    world
}

#[test]
fn a_link_that_rotted_costs_no_record_though_the_end_of_its_segment_was_copied_again() {
    let world = copied_again_and_again();
    let due = values(&open(&World::with_files(1, world.files())));
    assert_eq!(due.len(), 5);
    for number in 2..=4 {
        for world in [with_rotten_link(&world, number), without_head(&with_rotten_link(&world, number))] {
            let engine = open(&world);
            assert_eq!(values(&engine), due, "link {number}");
            assert!(engine.opening().damage.is_empty() && engine.opening().cut.is_none(), "{:?}", engine.opening());
        }
    }
}

#[test]
fn a_missing_segment_takes_no_record_along_that_lies_in_another() {
    let mut files = copied_again_and_again().files();
    files.remove(&SegmentHeader::name(2, 0)).unwrap();
    let engine = open(&World::with_files(1, files));
    assert!(!engine.opening().damage.is_empty());
    let third = engine.partition("t", 0).unwrap().read(2, ReadOptions::new()).unwrap();
    assert_eq!(third.iter().next().unwrap().unwrap().value(), Some(&b"third"[..]));
}

/// The segments that hold frames, the last of them the newest.
fn used(world: &World) -> BTreeMap<String, Vec<u8>> {
    let holds = |image: &[u8]| image[FRAMES as usize..].iter().any(|byte| *byte != 0);
    world.files().into_iter().filter(|(name, image)| name.ends_with(".seg") && holds(image)).collect()
}

/// A log whose newest segment is the copy that a recovery made behind a tear; what was cut still lies where it was, in
/// the name of a segment too that the recovery removed. Answers how many segments that tail had.
fn cut_behind_a_tear(filler: u64) -> (World, usize) {
    let (world, engine) = begin(filler);
    send(&engine, b"flushed");
    send(&engine, b"states it");
    append_os(&engine, "torn");
    (0..9).for_each(|_| append_os(&engine, &"cut".repeat(filler as usize)));
    world.kill();
    drop(engine);
    flip(&world, b"torn");
    let before = used(&world);
    let segments = before.len();
    let engine = open(&world);
    assert!(engine.opening().cut.is_some());
    send(&engine, b"of the next life");
    send(&engine, b"states that");
    world.kill();
    let mut files = world.files();
    for (name, image) in before {
        files.entry(name).or_insert(image);
    }
    (World::with_files(1, files), segments)
}

#[test]
fn a_link_that_rotted_brings_nothing_back_that_was_cut() {
    for (filler, segments) in [(30, 1), (3_000, 2)] {
        let (world, tail) = cut_behind_a_tear(filler);
        assert_eq!(tail, segments);
        let copy = SegmentHeader::parse_name(used(&world).keys().next_back().unwrap()).unwrap().0;
        let engine = open(&with_rotten_link(&world, copy));
        assert_eq!(values(&engine), ["flushed", "states it", "of the next life", "states that"], "{segments} segments");
        assert!(engine.opening().damage.is_empty(), "{:?}", engine.opening());
    }
}

#[test]
fn a_missing_copy_brings_nothing_back_that_was_cut() {
    let (world, _) = cut_behind_a_tear(30);
    let copy = used(&world).keys().next_back().unwrap().clone();
    let engine = open(&world);
    send(&engine, b"behind the copy");
    send(&engine, b"states it too");
    world.kill();
    drop(engine);
    let mut files = world.files();
    files.remove(&copy).unwrap();
    let world = World::with_files(1, files);
    let engine = Engine::options().threads(false).accept_loss(true).open_on(world.machine()).unwrap();
    let records = engine.partition("t", 0).unwrap().read(0, ReadOptions::new()).unwrap();
    let seen: Vec<_> = records.iter().filter_map(|r| r.ok()?.value().map(<[u8]>::to_vec)).collect();
    let due = ["flushed", "states it", "states that", "behind the copy", "states it too"];
    assert_eq!(seen, due.map(|text| text.as_bytes().to_vec()));
}

#[test]
fn a_newest_segment_that_is_missing_is_missed_though_only_the_hint_speaks_of_it() {
    for rolled in [false, true] {
        let (world, mut engine) = begin(4);
        if rolled {
            (0..12).for_each(|_| append_long(&engine, 6_000));
            // What the flusher does behind a roll. No time passes, so no mark is made.
            engine.drive().unwrap();
        } else {
            send(&engine, b"before the kill");
            world.kill();
            drop(engine);
            engine = open(&world);
            send(&engine, b"behind the recovery");
        }
        world.kill();
        drop(engine);
        let newest = used(&world).keys().next_back().unwrap().clone();
        assert_ne!(newest, SegmentHeader::name(1, 0));
        let mut files = world.files();
        files.remove(&newest);
        let engine = open(&World::with_files(1, files));
        assert!(!engine.opening().damage.is_empty(), "rolled: {rolled}");
        let refused = append(&engine, &one(b"too early"), Durability::Disk).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "rolled: {rolled}: {refused}");
    }
}

/// Kills the log, loses its second segment, and opens it. No checkpoint spoke of the segment: the hint alone does.
fn assert_second_segment_is_missed(world: &World, engine: Engine) {
    assert_eq!(engine.metrics().checkpoints, 0);
    world.kill();
    drop(engine);
    let mut files = world.files();
    files.remove(&SegmentHeader::name(2, 0)).unwrap();
    let engine = open(&World::with_files(1, files));
    assert!(!engine.opening().damage.is_empty(), "{:?}", engine.opening());
}

#[test]
fn a_segment_that_was_rolled_into_is_missed_though_each_append_before_it_was_flushed() {
    let (world, engine) = begin(4);
    let mut appended = 0;
    while used(&world).len() < 2 {
        append_long(&engine, 6_000);
        appended += 1;
    }
    assert!(appended < 12, "so few that no checkpoint is due: it would write the hint too");
    // What the flusher does when it hears of the roll. No time passes, so no mark is made.
    engine.drive().unwrap();
    assert_second_segment_is_missed(&world, engine);
}

#[test]
fn a_log_that_was_refused_for_a_file_cut_short_is_refused_again_whatever_was_read_of_it() {
    let (world, engine) = begin(6);
    for text in ["kept", "acknowledged, then cut", "acknowledged too"] {
        send(&engine, text.as_bytes());
    }
    world.kill();
    drop(engine);
    let name = SegmentHeader::name(1, 0);
    let mut files = world.files();
    let image = files.get_mut(&name).unwrap();
    let at = image.windows(22).position(|window| window == b"acknowledged, then cut").unwrap();
    // In the middle of the frame's header.
    image.truncate(at - 90);
    let cut = image.len();
    let world = World::with_files(1, files);
    for opening in 1..=3 {
        let engine = open(&world);
        assert_eq!(values(&engine), ["kept"]);
        let refused = append(&engine, &one(b"too early"), Durability::Disk).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::Corrupt, "opening {opening}: {refused}");
        engine.close().unwrap();
    }
    assert_eq!(world.files()[&name].len(), cut, "nothing is written of a log that is refused");
}

/// Bytes of a segment up to its life's first frame, and of that frame: a link of 136, an `opened` of 80.
const BEGUN: usize = FRAMES as usize + 136 + 80;

#[test]
fn a_log_whose_first_segment_is_its_second_opens_though_all_of_that_was_copied_and_given_back() {
    let made = |world: &World| {
        let engine = open(world);
        world.kill();
        drop(engine);
    };
    let world = World::new(1);
    made(&world);
    // Its maker's hint was lost, and nothing is in it: it is made again, as segment 2.
    let world = World::with_files(2, without_head(&world).files());
    made(&world);
    assert_eq!(used(&world).into_keys().collect::<Vec<_>>(), [SegmentHeader::name(2, 0)]);
    // The hint is lost again, in the middle of the first write.
    let mut files = without_head(&world).files();
    files.get_mut(&SegmentHeader::name(2, 0)).unwrap()[BEGUN..BEGUN + 100].fill(0x5a);
    let world = World::with_files(3, files);
    let engine = open(&world);
    engine.create_topic("t", TopicOptions::new()).unwrap();
    // Gives back what lies behind the copy.
    engine.drive().unwrap();
    send(&engine, b"acknowledged");
    world.kill();
    drop(engine);
    assert_eq!(values(&open(&world)), ["acknowledged"]);
    assert_eq!(values(&open(&without_head(&world))), ["acknowledged"]);
}

#[test]
fn a_segment_is_missed_whose_first_frames_were_not_flushed_when_the_hint_was_written() {
    // Whoever rolls flushes then, and has the flusher write the hint, who may come first.
    let (world, engine) = begin(5);
    (0..12).for_each(|_| append_long(&engine, 3_000));
    append_os(&engine, &"x".repeat(25_000));
    assert_eq!(used(&world).len(), 2, "rolled, and so little that no checkpoint is due: it would write the hint too");
    engine.drive().unwrap();
    engine.flush().unwrap();
    engine.drive().unwrap();
    assert_second_segment_is_missed(&world, engine);
}
