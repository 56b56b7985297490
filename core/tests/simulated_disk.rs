//! The simulated disk keeps the rules of the fault model: what was synced is never lost, what was not may be lost in
//! every way the model names and in no other, and the same seed repeats.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use oncelog::error::ErrorKind;
use oncelog::io::sim::{Call, Choice, Fate, Fault, PAGE, Rng, SECTOR, Sector, UnsyncedKind, World};
use oncelog::io::{Event, File};

const NO_SPACE: i32 = 28;
const IO_ERROR: i32 = 5;

fn code(answer: io::Result<impl Sized>) -> Option<i32> {
    answer.err().expect("the call was to fail").raw_os_error()
}

/// A file of `bytes`, name and content durable.
fn durable(world: &World, name: &str, bytes: &[u8]) -> Arc<dyn File> {
    let storage = world.machine().storage;
    let file = storage.create(name, bytes.len() as u64).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync().unwrap();
    storage.sync_directory().unwrap();
    file
}

#[test]
fn what_was_synced_survives_every_power_cut() {
    for seed in 0..200 {
        let world = World::new(seed);
        let file = durable(&world, "a", &[7; 5000]);
        file.write_at(&[8; 100], 5000).unwrap();
        file.sync().unwrap();
        world.crash();
        let image = &world.files()["a"];
        assert!(image[..5000].iter().all(|&b| b == 7) && image[5000..].iter().all(|&b| b == 8), "seed={seed}");
        assert_eq!(image.len(), 5100, "seed={seed}");
    }
}

/// Random writes, syncs and crashes against two plain images: nothing outside the bytes written since the last sync
/// may differ from what was synced.
#[test]
fn a_power_cut_changes_only_bytes_of_unsynced_writes() {
    for seed in 0..300 {
        let world = World::new(seed);
        let mut rng = Rng::new(seed);
        let mut expected = vec![1; 40_000];
        durable(&world, "a", &expected);
        for _ in 0..6 {
            let file = world.machine().storage.open("a").unwrap();
            let mut touched = BTreeSet::new();
            let mut live = expected.clone();
            for _ in 0..rng.below(12) {
                let (start, length) = (rng.index(39_000), 1 + rng.index(1_000));
                let mut bytes = vec![0; length];
                rng.fill(&mut bytes);
                file.write_at(&bytes, start as u64).unwrap();
                live[start..start + length].copy_from_slice(&bytes);
                touched.extend(start..start + length);
                if rng.chance(1, 5) {
                    file.sync().unwrap();
                    expected.clone_from(&live);
                    touched.clear();
                }
            }
            assert_eq!(world.files()["a"], live, "seed={seed}");
            world.crash();
            let after = world.files().remove("a").unwrap();
            assert_eq!(after.len(), expected.len(), "seed={seed}");
            for (at, (&found, &old)) in after.iter().zip(&expected).enumerate() {
                assert!(found == old || touched.contains(&at), "seed={seed} byte={at}");
            }
            expected = after;
        }
    }
}

#[test]
fn over_many_worlds_everything_the_model_names_happens() {
    let mut all: BTreeMap<&str, u64> = BTreeMap::new();
    for seed in 0..300 {
        let world = World::new(seed);
        let file = durable(&world, "a", &[1; 8192]);
        let storage = world.machine().storage;
        world.fail(Call::Sync, 0, Fault::Eio, false);
        file.write_at(&[2; 8192], 0).unwrap();
        assert_eq!(code(file.sync()), Some(IO_ERROR));
        file.sync().unwrap();
        storage.create("b", 4096).unwrap();
        storage.create("c", 0).unwrap().write_at(&[3; 3000], 0).unwrap();
        storage.remove("a").unwrap();
        world.crash();
        for (name, count) in world.hits() {
            *all.entry(name).or_default() += count;
        }
    }
    for name in [
        "crash",
        "crash that leaves an empty file",
        "crash with pages that lied",
        "fault: eio at sync",
        "new name kept",
        "new name lost",
        "page that lies after a failed sync",
        "removed name came back",
        "removed name stayed away",
        "sector garbage",
        "sector new",
        "sector old",
        "sector zero",
        "sync that leaves lost pages behind",
        "unsynced write dropped",
        "unsynced write kept",
        "unsynced write torn",
        "write overtook another",
    ] {
        assert!(all.contains_key(name), "{name} never happened; hits: {all:#?}");
    }
}

#[test]
fn the_page_cache_lies_after_a_failed_sync_until_the_page_is_written_again() {
    let (mut lost, mut kept) = (0, 0);
    for seed in 0..100 {
        let world = World::new(seed);
        let file = durable(&world, "a", &[1; 4 * PAGE as usize]);
        file.write_at(&[2; 4 * PAGE as usize], 0).unwrap();
        world.fail(Call::Sync, 0, Fault::Eio, false);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        // One byte of the last page is written again: the whole page is dirty, and the next sync is honest about it.
        file.write_at(&[3], 4 * PAGE - 1).unwrap();
        file.sync().unwrap();
        world.kill();
        assert!(world.files()["a"][..4 * PAGE as usize - 1].iter().all(|&b| b == 2), "the cache shows it, seed={seed}");
        world.crash();
        let image = &world.files()["a"];
        for page in image[..3 * PAGE as usize].chunks(PAGE as usize) {
            assert!(page.iter().all(|&b| b == page[0]), "pages are kept or lost whole, seed={seed}");
            *(if page[0] == 1 { &mut lost } else { &mut kept }) += 1;
        }
        assert!(image[3 * PAGE as usize..4 * PAGE as usize - 1].iter().all(|&b| b == 2), "seed={seed}");
        assert_eq!(image[4 * PAGE as usize - 1], 3, "seed={seed}");
    }
    assert!(lost > 0 && kept > 0, "lost={lost} kept={kept}");
}

#[test]
fn an_eviction_shows_what_the_device_really_has() {
    let world = World::new(3);
    let file = durable(&world, "a", &[1; 100]);
    file.write_at(&[2; 100], 0).unwrap();
    world.fail(Call::Sync, 0, Fault::Eio, false);
    assert!(file.sync().is_err());
    let before = world.files();
    assert_eq!(before["a"], [2; 100]);
    world.evict();
    let evicted = world.files();
    world.crash();
    assert_eq!(world.files(), evicted);
}

#[test]
fn a_name_is_durable_only_after_the_directory_was_synced() {
    let (mut lost, mut back) = (0, 0);
    for seed in 0..200 {
        let world = World::new(seed);
        durable(&world, "old", b"old");
        let storage = world.machine().storage;
        let file = storage.create("new", 10).unwrap();
        file.sync().unwrap();
        storage.remove("old").unwrap();
        world.crash();
        let files = world.files();
        match files.get("new") {
            None => lost += 1,
            Some(image) => assert_eq!(image, &[0; 10], "a synced content comes with its name, seed={seed}"),
        }
        if let Some(image) = files.get("old") {
            assert_eq!(image, b"old");
            back += 1;
        }
    }
    assert!((1..200).contains(&lost) && (1..200).contains(&back), "lost={lost} back={back}");
}

#[test]
fn a_failed_directory_sync_leaves_the_rest_for_the_next() {
    for seed in 0..50 {
        let world = World::new(seed);
        let storage = world.machine().storage;
        for name in ["a", "b", "c"] {
            storage.create(name, 0).unwrap();
        }
        world.fail(Call::SyncDirectory, 0, Fault::Eio, false);
        assert!(storage.sync_directory().is_err());
        storage.sync_directory().unwrap();
        world.crash();
        assert_eq!(world.files().len(), 3, "seed={seed}");
    }
}

#[test]
fn a_killed_process_leaves_all_it_wrote_and_frees_its_locks() {
    let world = World::new(1);
    let storage = world.machine().storage;
    let _lock = storage.lock(true).unwrap();
    storage.create("a", 4).unwrap().write_at(b"data", 0).unwrap();
    world.kill();
    assert_eq!(world.files()["a"], b"data");
    world.machine().storage.lock(true).unwrap();
}

#[test]
fn handles_of_a_dead_machine_fail_and_change_nothing() {
    for end in [World::crash, World::kill] {
        let world = World::new(1);
        let file = durable(&world, "a", b"data");
        let storage = world.machine().storage;
        let lock = storage.lock(true).unwrap();
        end(&world);
        let before = (world.files(), world.digest());
        assert!(file.write_at(b"x", 0).is_err() && file.sync().is_err() && file.len().is_err());
        assert!(file.punch(0, 1).is_err() && file.map().is_err() && file.read_at(&mut [0], 0).is_err());
        assert!(storage.create("b", 0).is_err() && storage.open("a").is_err() && storage.remove("a").is_err());
        assert!(storage.list().is_err() && storage.sync_directory().is_err() && storage.lock(true).is_err());
        let _mine = world.machine().storage.lock(true).unwrap();
        drop(lock);
        assert_eq!(world.machine().storage.lock(true).err().unwrap().kind(), ErrorKind::Locked, "mine is not dropped");
        assert_eq!(before, (world.files(), world.digest()));
    }
}

#[test]
fn every_kind_of_call_can_be_made_to_fail_in_every_way() {
    for &call in Call::ALL {
        for fault in Fault::ALL {
            let world = World::new(9);
            let file = durable(&world, "a", &[1; 1000]);
            let storage = world.machine().storage;
            world.fail(call, 1, fault, true);
            let go = || match call {
                Call::Create => storage.create("b", 1).map(drop).and_then(|()| storage.remove("b")),
                Call::Open => storage.open("a").map(drop),
                Call::Write => file.write_at(&[2; 1000], 0),
                Call::Sync => file.sync(),
                Call::SyncDirectory => storage.sync_directory(),
                Call::Read => file.read_at(&mut [0; 10], 0).map(drop),
                Call::Remove => storage.create("c", 0).map(drop).and_then(|()| storage.remove("c")),
                Call::List => storage.list().map(drop),
                Call::Punch => file.punch(0, 1),
                Call::Map => file.map().map(drop),
                Call::Lock => storage.lock(true).map(drop).map_err(|e| io::Error::other(e.to_string())),
            };
            go().unwrap();
            assert!(go().is_err(), "{call:?} {fault:?}");
            assert!(go().is_err(), "from then on: {call:?} {fault:?}");
            assert!(world.hits().keys().any(|name| name.starts_with("fault: ")));
            world.heal();
            let _ = storage.remove("c");
            go().unwrap();
        }
    }
}

#[test]
fn a_short_write_leaves_a_prefix_and_no_more() {
    for seed in 0..50 {
        let world = World::new(seed);
        let file = durable(&world, "a", &[1; 1000]);
        world.fail(Call::Write, 0, Fault::ShortWrite, false);
        assert!(file.write_at(&[2; 1000], 0).is_err());
        let image = &world.files()["a"];
        let written = image.iter().take_while(|&&b| b == 2).count();
        assert!((1..1000).contains(&written) && image[written..].iter().all(|&b| b == 1), "seed={seed}");
    }
}

#[test]
fn a_full_disk_refuses_new_files_cuts_growth_short_and_takes_freed_space() {
    let world = World::new(1);
    world.set_capacity(Some(20_000));
    let storage = world.machine().storage;
    let file = storage.create("a", 16_384).unwrap();
    assert_eq!(code(storage.create("b", 5_000)), Some(NO_SPACE));
    assert!(!world.files().contains_key("b"));
    file.write_at(&[1; 16_384], 0).unwrap();
    assert_eq!(code(file.write_at(&[2; 5_000], 16_384)), Some(NO_SPACE));
    assert_eq!(file.len().unwrap(), 20_000, "what fits is written");
    file.punch(0, 8192).unwrap();
    let other = storage.create("b", 8_192).unwrap();
    assert_eq!(code(file.write_at(&[1; 10], 0)), Some(NO_SPACE), "a hole has no space of its own any more");
    storage.remove("b").unwrap();
    assert_eq!(code(file.write_at(&[1; 10], 0)), Some(NO_SPACE), "an open file keeps its space");
    drop(other);
    file.write_at(&[1; 10], 0).unwrap();
}

#[test]
fn the_same_seed_repeats_and_another_does_not() {
    let run = |seed| {
        let world = World::new(seed);
        for round in 0..5 {
            let machine = world.machine();
            let name = format!("{round}");
            let file = machine.storage.create(&name, 3000).unwrap();
            for _ in 0..10 {
                let mut bytes = [0; 700];
                machine.random.fill(&mut bytes);
                file.write_at(&bytes, machine.random.next_u64() % 2000).unwrap();
            }
            world.crash();
        }
        (world.files(), world.digest(), world.hits())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5).1, run(6).1);
}

#[test]
fn waiting_lets_the_clock_run_and_for_ever_is_a_deadlock() {
    let world = World::new(1);
    let machine = world.machine();
    let event = Event::default();
    let wall = machine.clock.wall_ms();
    assert!(!machine.park.park(&event, event.seen(), Some(5_000_000)));
    assert_eq!((machine.clock.monotonic(), machine.clock.wall_ms()), (5_000_000, wall + 5));
    let seen = event.seen();
    event.happen();
    assert!(machine.park.park(&event, seen, None), "it has moved already");
    world.set_wall_ms(17);
    world.advance(2_000_000);
    assert_eq!((machine.clock.monotonic(), machine.clock.wall_ms()), (7_000_000, 19));
    let waits = catch_unwind(AssertUnwindSafe(|| machine.park.park(&event, event.seen(), None)));
    let message = *waits.err().unwrap().downcast::<&str>().unwrap();
    assert!(message.contains("deadlock in simulation"), "{message}");
}

#[test]
fn idle_work_is_done_before_the_clock_runs() {
    let world = World::new(1);
    let (event, left) = (Arc::new(Event::default()), Arc::new(AtomicU32::new(3)));
    world.on_idle(Box::new({
        let (event, left) = (event.clone(), left.clone());
        move || {
            if left.load(Ordering::Relaxed) == 0 {
                return false;
            }
            if left.fetch_sub(1, Ordering::Relaxed) == 1 {
                event.happen();
            }
            true
        }
    }));
    let machine = world.machine();
    assert!(machine.park.park(&event, event.seen(), Some(1_000)));
    assert_eq!(machine.clock.monotonic(), 0);
    assert!(!machine.park.park(&event, event.seen(), Some(1_000)), "nothing left to do");
}

#[test]
fn images_travel_and_damage_is_on_the_device() {
    let world = World::with_files(1, [("a".to_owned(), vec![1; 2000])].into());
    world.damage("a", 1990, &[9; 100]);
    world.crash();
    let files = world.files();
    assert_eq!((files["a"].len(), files["a"][1989], files["a"][1990]), (2000, 1, 9));
    let copy = World::with_files(2, files.clone());
    assert_eq!(copy.files(), files);
    let mapping = copy.machine().storage.open("a").unwrap().map().unwrap().unwrap();
    assert_eq!(&mapping[..], &files["a"][..]);
    copy.set_mappings(false);
    assert!(copy.machine().storage.open("a").unwrap().map().unwrap().is_none());
}

#[test]
fn a_removed_file_stays_readable_for_those_who_have_it_open() {
    let world = World::new(1);
    let file = durable(&world, "a", b"data");
    let storage = world.machine_for_reading().storage;
    let reader = storage.open("a").unwrap();
    assert_eq!(storage.remove("a").err().unwrap().kind(), io::ErrorKind::ReadOnlyFilesystem);
    assert_eq!(reader.write_at(b"x", 0).err().unwrap().kind(), io::ErrorKind::ReadOnlyFilesystem);
    let writer = world.machine().storage;
    writer.remove("a").unwrap();
    writer.sync_directory().unwrap();
    drop(file);
    let mut bytes = [0; 4];
    assert_eq!(reader.read_at(&mut bytes, 0).unwrap(), 4);
    assert_eq!(&bytes, b"data");
    assert!(world.files().is_empty());
}

/// Create, write, sync, then two unsynced writes to two files and a removal.
fn recorded() -> World {
    let world = World::with_files(4, [("old".to_owned(), b"old".to_vec())].into());
    world.record();
    let storage = world.machine().storage;
    let a = storage.create("a", 2048).unwrap();
    a.write_at(&[1; 2048], 0).unwrap();
    a.sync().unwrap();
    storage.sync_directory().unwrap();
    a.write_at(&[2; 1000], 100).unwrap();
    storage.create("b", 0).unwrap().write_at(b"bee", 0).unwrap();
    storage.remove("old").unwrap();
    world
}

#[test]
fn a_recording_yields_every_disk_that_a_power_cut_could_leave() {
    let log = recorded().log();
    assert_eq!(log.calls(), 8);
    assert_eq!(log.describe(1), "write a at 0, 2048 bytes");
    assert_eq!(log.unsynced(4).len() + log.unsynced_names(4).len(), 0);
    assert_eq!(log.image(4, &Choice::none()).files()["a"], [1; 2048]);

    let waiting = log.unsynced(8);
    let shape: Vec<_> = waiting.iter().map(|w| (w.file.as_str(), w.kind, w.length, w.sectors)).collect();
    assert_eq!(shape, [("a", UnsyncedKind::Data, 1000, 3), ("b", UnsyncedKind::Data, 3, 1)]);
    let names: Vec<_> = log.unsynced_names(8).into_iter().map(|n| (n.name, n.removed, n.id)).collect();
    assert_eq!((names[0].0.as_str(), names[0].1), ("b", false));
    assert_eq!((names[1].0.as_str(), names[1].1), ("old", true));

    let live = log.image(8, &Choice::all()).files();
    assert_eq!(live, recorded().files());
    let none = log.image(8, &Choice::none()).files();
    assert_eq!(none.keys().collect::<Vec<_>>(), ["a", "old"]);
    assert_eq!(none["a"], [1; 2048]);
    let torn = Fate::Torn(vec![Sector::Zero, Sector::Old, Sector::New]);
    let image = log.image(8, &Choice::all().write(waiting[0].id, torn).name(names[1].2, false)).files();
    let mut expected = vec![1; 2048];
    expected[100..SECTOR as usize].fill(0);
    expected[2 * SECTOR as usize..1100].fill(2);
    assert_eq!(image["a"], expected);
    assert_eq!((&image["b"][..], &image["old"][..]), (&b"bee"[..], &b"old"[..]));
    // A name may survive without its content.
    let empty = log.image(8, &Choice::none().names(true)).files();
    assert_eq!(empty["b"], b"");
}

#[test]
fn an_image_is_a_world_of_its_own_whose_next_crash_can_be_recorded_too() {
    let log = recorded().log();
    let image = log.image(8, &Choice::all());
    assert_ne!(image.machine().random.next_u64(), recorded().machine().random.next_u64(), "no salt is drawn twice");
    image.record();
    image.machine().storage.open("a").unwrap().write_at(&[5; 10], 0).unwrap();
    let again = image.log();
    assert_eq!(again.unsynced(1).len(), 1);
    assert_eq!(again.image(1, &Choice::none()).files()["a"][..10], [1; 10]);
    assert_eq!(again.image(1, &Choice::all()).files()["a"][..10], [5; 10]);
}

#[test]
fn prefixes_may_be_asked_for_in_any_order() {
    let log = recorded().log();
    let up: Vec<_> = (0..=log.calls()).map(|n| log.image(n, &Choice::all()).files()).collect();
    let mut down: Vec<_> = (0..=log.calls()).rev().map(|n| log.image(n, &Choice::all()).files()).collect();
    down.reverse();
    assert_eq!(up, down);
}

#[test]
fn a_failed_sync_is_recorded_as_it_turned_out() {
    for seed in 0..30 {
        let world = World::with_files(seed, [("a".to_owned(), vec![1; 4 * PAGE as usize])].into());
        world.record();
        let file = world.machine().storage.open("a").unwrap();
        file.write_at(&[2; 4 * PAGE as usize], 0).unwrap();
        world.fail(Call::Sync, 0, Fault::Eio, false);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        let log = world.log();
        assert_eq!(log.calls(), 3);
        assert!(log.unsynced(2).is_empty(), "the pages count as clean");
        let image = log.image(3, &Choice::all()).files();
        world.crash();
        assert_eq!(image, world.files(), "seed={seed}");
    }
}
