//! Rot, cuts and wrong files in a directory: what a reader gets is right or refused by name, nothing is cut silently,
//! and nothing beside the damage is lost.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod crash;
mod damage;

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use crash::cuts::round;
use crash::observe::look;
use crash::tape::options;
use damage::{Files, Hit, Sound, Span, Verdict, sound, sound_revived, sound_rolled, sound_streamed};
use oncelog::ErrorKind;
use oncelog::sim::{Rng, World};

const SEGMENT_HEADER: usize = 128;
const SECOND: usize = 4096;
const FRAMES: usize = 8192;
/// Bytes of a frame before its first value: frame header, transaction head and batch header at most.
const HEAD: usize = 240;

/// What became of many damages.
#[derive(Debug, Default)]
struct Tally {
    tried: usize,
    harmless: usize,
    records: usize,
    refused: usize,
    closed: usize,
}

impl Tally {
    fn add(&mut self, verdict: Verdict) {
        self.tried += 1;
        match verdict {
            Verdict { closed: true, .. } => self.closed += 1,
            Verdict { refused: true, .. } => self.refused += 1,
            Verdict { lost: 0, .. } => self.harmless += 1,
            Verdict { .. } => self.records += 1,
        }
    }
}

/// Does every damage on all processors; `damage` makes the files of one and says where it hit.
fn all<T: Sync>(sound: &Sound, damages: &[T], damage: impl Fn(&T) -> (Files, Hit) + Sync) -> Tally {
    let next = AtomicUsize::new(0);
    let tally = Mutex::new(Tally::default());
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                while let Some((n, one)) = {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    damages.get(n).map(|one| (n, one))
                } {
                    let (files, hit) = damage(one);
                    match sound.judge(&files, &hit, n.is_multiple_of(9)) {
                        Ok(verdict) => tally.lock().unwrap().add(verdict),
                        Err(fault) => failures.lock().unwrap().push(format!("{hit:?}: {fault}")),
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(12).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} damages:\n{shown}", failures.len(), damages.len());
    tally.into_inner().unwrap()
}

/// Bytes worth a flip each, and every `stride`th of the others.
fn bytes(sound: &Sound, stride: usize) -> Vec<(String, usize)> {
    let mut chosen = Vec::new();
    for (name, image) in &sound.files {
        let footer = image.windows(8).position(|w| w == b"onceftr\x02").unwrap_or(image.len());
        let end = (FRAMES..footer).rev().find(|at| image[*at] != 0).map_or(FRAMES, |at| at + 1);
        let heads: Vec<usize> = sound.spans.values().filter(|s| s.file == *name).map(|s| s.from).collect();
        let dense = |at: usize| match at {
            _ if !name.ends_with(".seg") => at % SECOND < SEGMENT_HEADER,
            _ if at < FRAMES => at % SECOND < SEGMENT_HEADER,
            _ if at >= footer => at - footer < 400,
            _ => at < FRAMES + 600 || (at + 1200 > end && at < end + 16),
        };
        // Every byte of the heads of a few frames.
        let of_a_head = |at: usize| heads.iter().step_by(6).any(|from| (*from..from + HEAD).contains(&at));
        let all = (0..image.len()).filter(|at| dense(*at) || of_a_head(*at) || at.is_multiple_of(stride));
        chosen.extend(all.map(|at| (name.clone(), at)));
    }
    chosen
}

fn flipped(sound: &Sound, (file, at): &(String, usize)) -> (Files, Hit) {
    let bit = 1 << ((at * 5 + at / 8 + round() as usize) % 8);
    (sound.with(file, |image| image[*at] ^= bit), Hit { file: file.clone(), from: *at, to: at + 1 })
}

#[test]
fn a_flipped_byte_in_a_closed_log_is_harmless_or_named() {
    let sound = sound(true);
    let segments = sound.files.keys().filter(|name| name.ends_with(".seg")).count();
    assert!(segments >= 3, "{segments} segments");
    let tally = all(&sound, &bytes(&sound, 29), |place| flipped(&sound, place));
    println!("{tally:?}");
    assert!(tally.records > 500 && tally.harmless > 500, "{tally:?}");
}

#[test]
fn a_flipped_byte_in_a_log_that_died_is_harmless_or_named() {
    let sound = sound(false);
    let name = "00000000000000000001.0.seg";
    let end = sound.files[name].iter().rposition(|b| *b != 0).unwrap() + 40;
    let places: Vec<(String, usize)> =
        (0..end).filter(|at| *at >= FRAMES || at % SECOND < SEGMENT_HEADER).map(|at| (name.to_owned(), at)).collect();
    let tally = all(&sound, &places, |place| flipped(&sound, place));
    println!("{tally:?}");
    assert!(tally.refused > 500 && tally.records > 500, "{tally:?}");
}

#[test]
fn zeros_over_a_stretch_are_harmless_or_named() {
    let mut rng = Rng::new(5 + round());
    for sound in [
        sound(true),
        sound(false),
        sound_revived(),
        sound_rolled(),
        sound_revived().without_head(),
        sound(true).without_head(),
    ] {
        let names: Vec<&String> = sound.files.keys().filter(|name| name.ends_with(".seg")).collect();
        let damages: Vec<Hit> = (0..600)
            .map(|_| {
                let file = names[rng.index(names.len())].clone();
                let from = FRAMES + rng.index(sound.files[&file].len() - FRAMES);
                let to = (from + 1 + rng.index(2000)).min(sound.files[&file].len());
                Hit { file, from, to }
            })
            .collect();
        let zeroed = |hit: &Hit| (sound.with(&hit.file, |image| image[hit.from..hit.to].fill(0)), hit.clone());
        println!("{:?}", all(&sound, &damages, zeroed));
    }
}

/// True if a segment's image holds frames.
fn used(image: &[u8]) -> bool {
    image[FRAMES..].iter().any(|byte| *byte != 0)
}

/// The newest segment of a log that died: without the hint nothing else need know that it was ever used.
fn newest(sound: &Sound) -> &String {
    sound.files.iter().rfind(|(name, image)| name.ends_with(".seg") && used(image)).unwrap().0
}

#[test]
fn a_file_that_is_cut_short_or_empty_is_harmless_or_named() {
    for sound in [sound(true), sound(false), sound_revived(), sound_rolled(), sound_revived().without_head()] {
        let hinted = sound.files.contains_key("head");
        let mut damages = Vec::new();
        for (name, image) in sound.files.iter().filter(|(name, _)| hinted || *name != newest(&sound)) {
            let lengths = (0..40).map(|n| image.len() * n / 40).chain([1, 127, 128, 4096, 4224, FRAMES, FRAMES + 30]);
            let lengths = lengths.filter(|length| *length < image.len());
            damages.extend(lengths.map(|from| Hit { file: name.clone(), from, to: image.len() }));
        }
        let cut = |hit: &Hit| (sound.with(&hit.file, |image| image.truncate(hit.from)), hit.clone());
        println!("{:?}", all(&sound, &damages, cut));
    }
}

#[test]
fn a_file_that_is_missing_is_harmless_or_named() {
    for sound in [sound(true), sound_rolled(), sound_revived(), sound_revived().without_head()] {
        let hinted = sound.files.contains_key("head");
        let names: Vec<String> = sound.files.keys().filter(|name| hinted || *name != newest(&sound)).cloned().collect();
        let without = |name: &String| {
            let mut files = sound.files.clone();
            files.remove(name);
            (files, Hit { file: name.clone(), from: 0, to: usize::MAX })
        };
        let tally = all(&sound, &names, without);
        println!("{tally:?}");
        let segments = sound.files.iter().filter(|(name, _)| name.ends_with(".seg"));
        let unused = segments.filter(|(_, image)| !used(image)).count();
        let may_be_missing = usize::from(hinted) + unused;
        assert_eq!((tally.harmless, tally.records), (may_be_missing, 0), "only `head` and a segment that is ready");
    }
}

/// Opens a directory that must be refused, and must be left as it is.
fn refused(files: Files, kind: ErrorKind, words: &[&str]) {
    let world = World::with_files(9, files.clone());
    let error = options().open_on(world.machine()).expect_err("the directory is refused");
    assert_eq!(error.kind(), kind, "{error}");
    assert!(words.iter().all(|word| error.message().contains(word)), "{error}");
    assert!(world.files() == files, "a refused directory stays as it is, byte for byte");
}

#[test]
fn a_newer_version_is_refused_and_left_as_it_is() {
    let sound = sound(true);
    // Byte 12: the format's version; 28 compatible, 32 read-compatible, 36 incompatible features.
    for (at, read_only) in [(12, false), (36, false), (12, true)] {
        let files = sound.with("oncelog.id", |id| {
            id[at] += 1;
            let sum = crc32c::crc32c_append(crc32c::crc32c(&id[..8]), &id[12..]);
            id[8..12].copy_from_slice(&sum.to_le_bytes());
        });
        if read_only {
            let world = World::with_files(9, files.clone());
            let error = options().read_only(true).open_on(world.machine_for_reading()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::UnsupportedVersion, "{error}");
        } else {
            refused(files, ErrorKind::UnsupportedVersion, &["newer"]);
        }
    }
}

#[test]
fn a_log_of_which_hardly_anything_is_left_is_refused_and_no_new_one_made_in_its_place() {
    for (id, segments) in [(7, 7), (0, 7), (0, 0), (7, 0)] {
        let mut files = sound(true).files;
        for (name, image) in &mut files {
            let left = if name.ends_with(".seg") { segments } else { id };
            if name != "head" {
                *image = b"garbage"[..left].to_vec();
            }
        }
        refused(files.clone(), ErrorKind::Corrupt, &["oncelog.id"]);
        files.retain(|name, _| name == "head");
        refused(files, ErrorKind::Corrupt, &["oncelog.id"]);
    }
}

#[test]
fn a_segment_of_another_log_is_refused() {
    let sound = sound(true);
    let last = sound.files.keys().rfind(|name| name.ends_with(".seg")).unwrap().clone();
    let other = World::new(1234);
    let engine = options().open_on(other.machine()).unwrap();
    engine.create_topic("foreign", Default::default()).unwrap();
    engine.close().unwrap();
    let foreign = other.files()["00000000000000000001.0.seg"].clone();
    refused(sound.with(&last, |image| *image = foreign.clone()), ErrorKind::Corrupt, &[&last]);
    let mut more = sound.files.clone();
    more.insert("00000000000000000099.0.seg".into(), foreign.clone());
    refused(more, ErrorKind::Corrupt, &["00000000000000000099.0.seg"]);
    // Far below the checkpoint the log opens, and what lay in that segment is named when it is read.
    let first = "00000000000000000001.0.seg";
    let hit = Hit { file: first.into(), from: 0, to: usize::MAX };
    let verdict = sound.judge(&sound.with(first, |image| *image = foreign), &hit, true).unwrap();
    assert!(verdict.closed || verdict.lost > 0, "{verdict:?}");
}

#[test]
fn a_sound_directory_is_judged_sound() {
    let bare = sound_streamed(true).without_footers();
    for sound in [sound(true), sound(false), sound_streamed(true), sound_streamed(false), bare] {
        let hit = Hit { file: "none".into(), from: 0, to: 0 };
        for go_on in [true, false] {
            assert_eq!(sound.judge(&sound.files, &hit, go_on), Ok(Verdict::default()));
        }
        let world = World::with_files(1, sound.files.clone());
        let reading = options().read_only(true).open_on(world.machine_for_reading()).unwrap();
        assert!(!look(&reading, &Default::default()).unwrap().topics.is_empty());
    }
}

#[test]
fn accepting_a_loss_survives_a_power_cut_at_every_call() {
    for (sound, step) in [(sound(false), 3), (sound_rolled(), 37), (sound_revived(), 17)] {
        let spans: Vec<&Span> = sound.spans.values().collect();
        // Bytes of the heads of frames, from the first to the last but those that nothing declares durable.
        let heads = spans.iter().flat_map(|span| [span.from, span.from + 24].map(|at| (span.file.clone(), at)));
        let mut damages: Vec<(Files, Hit)> = heads.step_by(step).map(|place| flipped(&sound, &place)).collect();
        let files: BTreeSet<&String> = spans.iter().map(|span| &span.file).collect();
        // Without its only segment a log does not open at all.
        for file in files.into_iter().filter(|_| sound.files.keys().filter(|name| name.ends_with(".seg")).count() > 1) {
            let mut lost = sound.files.clone();
            lost.remove(file);
            damages.push((lost, Hit { file: file.clone(), from: 0, to: usize::MAX }));
        }
        let (mut tried, mut states) = (0, 0);
        for (files, hit) in damages {
            if sound.judge(&files, &hit, false).unwrap_or_else(|fault| panic!("{hit:?}: {fault}")).refused {
                tried += 1;
                states += sound.accept_and_crash(&files, &hit).unwrap_or_else(|fault| panic!("{hit:?}: {fault}"));
            }
        }
        println!("{tried} damages, {states} states");
        assert!(tried > 0 && states > 100);
    }
}

#[test]
fn rot_in_compressed_batches_and_streamed_transactions_costs_what_it_hits() {
    for closed in [true, false] {
        let sound = sound_streamed(closed);
        let tally = all(&sound, &bytes(&sound, 97), |place| flipped(&sound, place));
        println!("closed: {closed}, {tally:?}");
        assert!(tally.records > 200 && tally.harmless > 200, "{tally:?}");
    }
}

#[test]
fn rot_where_footers_are_lost_shows_nothing_that_was_aborted() {
    let sound = sound_streamed(true).without_footers();
    let tally = all(&sound, &bytes(&sound, 211), |place| flipped(&sound, place));
    println!("{tally:?}");
    assert!(tally.records > 500 && tally.harmless > 500, "{tally:?}");
}

#[test]
fn rot_in_what_recoveries_copied_is_harmless_or_named_with_and_without_the_hint() {
    for sound in [sound_revived(), sound_revived().without_head()] {
        let segments = sound.files.keys().filter(|name| name.ends_with(".seg")).count();
        assert!(segments >= 5, "{segments} segments");
        let tally = all(&sound, &bytes(&sound, 29), |place| flipped(&sound, place));
        println!("{tally:?}");
        assert!(tally.records > 200 && tally.harmless > 200, "{tally:?}");
    }
}

#[test]
fn rot_in_several_segments_of_a_log_that_died_is_harmless_or_named_with_and_without_the_hint() {
    for sound in [sound_rolled(), sound_rolled().without_head()] {
        let tally = all(&sound, &bytes(&sound, 61), |place| flipped(&sound, place));
        println!("{tally:?}");
        assert!(tally.records > 200 && tally.harmless > 200, "{tally:?}");
    }
}

#[test]
fn a_file_whose_end_is_overwritten_or_that_is_another_one_is_harmless_or_named() {
    for (n, sound) in [sound(true), sound_streamed(true), sound_revived(), sound_rolled()].into_iter().enumerate() {
        for sound in [sound.clone(), sound.without_head().without_footers()] {
            let hinted = sound.files.contains_key("head");
            let segments = sound.files.keys().filter(|name| name.ends_with(".seg"));
            let names: Vec<&String> = segments.filter(|name| hinted || *name != newest(&sound)).collect();
            let mut rng = Rng::new(5 + n as u64 + round());
            let tails = |_| {
                let file = names[rng.index(names.len())];
                let to = sound.files[file].len();
                Hit { file: file.clone(), from: FRAMES + rng.index(to - FRAMES), to }
            };
            let tails: Vec<Hit> = (0..150).map(tails).collect();
            let noise = |hit: &Hit| {
                let fill = |image: &mut Vec<u8>| Rng::new(hit.from as u64).fill(&mut image[hit.from..]);
                (sound.with(&hit.file, fill), hit.clone())
            };
            println!("{:?}", all(&sound, &tails, noise));
            let zeros = |hit: &Hit| (sound.with(&hit.file, |image| image[hit.from..].fill(0)), hit.clone());
            println!("{:?}", all(&sound, &tails, zeros));
            let pairs = names.iter().flat_map(|name| sound.files.keys().map(|other| (*name, other)));
            let pairs: Vec<(&String, &String)> = pairs.filter(|(name, other)| name != other).collect();
            let replaced = |(name, other): &(&String, &String)| {
                let hit = Hit { file: (*name).clone(), from: 0, to: usize::MAX };
                (sound.with(name, |image| image.clone_from(&sound.files[*other])), hit)
            };
            println!("{:?}", all(&sound, &pairs, replaced));
        }
    }
}
