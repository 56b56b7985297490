//! Whole directories: frames of golden logs damaged, exchanged, lost and numbered anew, with every seal made right;
//! the same for headers, footers and `head`. Opened on the simulated machine and asked everything.

use std::collections::BTreeMap;

use oncelog::ErrorKind;
use oncelog::format::bytes::{get_u64, put_u64};
use oncelog::format::files::{FRAMES, HEAD_FILE, ID_FILE, RECORD, SECOND, SegmentHeader};
use oncelog::format::frame::{FRAME_HEADER, Frame, Kind, Seal};
use oncelog::limits::ALLOCATION_MAX;
use oncelog::sim::{Call, Fault, Rng, World};

use crate::asking::{ask, end};
use crate::files::seal as seal_record;
use crate::fire;
use crate::footers;
use crate::frames::samples;
use crate::meter::bounded;
use crate::mutate::{Sample, damage, renumber};
use crate::sealing::{Home, seal_frame};
use crate::story::{self, Files};

/// Room for what the next life writes; what a hostile number asks for beyond it is refused by the disk.
const ROOM: u64 = 8 << 20;
/// Calls that the machine answers before its disk fails: nothing that ends needs so many.
const CALLS: u32 = 20_000;
/// Memory that the simulated disk and a log of these sizes may take together.
const MEMORY: usize = 4 * ALLOCATION_MAX;

/// A directory taken apart.
struct Apart {
    files: Files,
    /// The frames of each segment, one behind the other.
    segments: BTreeMap<String, Vec<Vec<u8>>>,
}

/// The directories that the damage begins with: those of earlier versions, and today's.
fn directories() -> Vec<Apart> {
    let golden = |name: &str| {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
        story::unpack(&std::fs::read(path.with_extension("gz")).unwrap())
    };
    let mut all: Vec<Files> = ["clean", "unclean", "streamed"].map(golden).into();
    all.extend([story::clean().unwrap(), story::streamed::streamed().unwrap()]);
    all.into_iter().map(apart).collect()
}

fn apart(files: Files) -> Apart {
    let mut segments = BTreeMap::new();
    for (name, bytes) in &files {
        if SegmentHeader::parse_name(name).is_none() {
            continue;
        }
        let header = SegmentHeader::read(bytes).unwrap();
        let seal = Seal::new(header.salt, header.number);
        let (mut at, mut frames) = (FRAMES as usize, Vec::new());
        while let Ok(frame) = Frame::read(&bytes[at..header.size as usize], seal, at as u64) {
            let end = at + frame.header.len() as usize;
            frames.push(bytes[at..end].to_vec());
            at = end;
        }
        segments.insert(name.clone(), frames);
    }
    Apart { files, segments }
}

impl Apart {
    /// The directory with these frames in place of its own.
    fn join(&self, segments: &BTreeMap<String, Vec<Vec<u8>>>, agree: bool) -> Files {
        let mut files = self.files.clone();
        for (name, frames) in segments.iter().filter(|(name, frames)| self.segments[*name] != **frames) {
            let bytes = files.get_mut(name).unwrap();
            let header = SegmentHeader::read(bytes).unwrap();
            let seal = Seal::new(header.salt, header.number);
            let (mut at, size) = (FRAMES as usize, header.size as usize);
            let behind = self.segments[name].iter().map(Vec::len).sum::<usize>() + at;
            for frame in frames {
                let end = (at + frame.len()).min(size);
                bytes[at..end].copy_from_slice(&frame[..end - at]);
                let changed = !self.segments[name].contains(frame) || self.files[name][at..end] != bytes[at..end];
                if changed {
                    seal_frame(&mut bytes[at..end], Home { seal, position: at as u64 }, agree);
                }
                at = end;
            }
            if at < behind {
                bytes[at..behind].fill(0);
            }
        }
        files
    }
}

/// Where the numbers of a kind's frames lie, taken from the samples of that kind.
fn of_kind<'a>(samples: &'a [Sample], frame: &[u8]) -> Option<&'a Sample> {
    samples.iter().find(|sample| sample.bytes[4] == frame[4])
}

fn damage_frames(rng: &mut Rng, apart: &Apart, samples: &[Sample]) -> Files {
    let mut segments = apart.segments.clone();
    let names: Vec<String> = segments.keys().cloned().collect();
    for _ in 0..1 + rng.below(3) {
        let name = &names[rng.index(names.len())];
        let other = segments[&names[rng.index(names.len())]].clone();
        let frames = segments.get_mut(name).unwrap();
        if frames.is_empty() {
            continue;
        }
        let at = pick(rng, frames);
        let layout = of_kind(samples, &frames[at]).cloned().unwrap_or_default();
        match rng.below(12) {
            0..7 => renumber(rng, &layout, &mut frames[at]),
            7 => {
                let new = other.get(rng.index(other.len() + 1)).cloned().unwrap_or_default();
                damage(rng, &layout, &mut frames[at], &new);
                let even = frames[at].len().max(FRAME_HEADER).next_multiple_of(8);
                frames[at].resize(even, 0);
            }
            8 => drop(frames.remove(at)),
            9 => frames.insert(at, frames[at].clone()),
            10 => {
                let with = rng.index(frames.len());
                frames.swap(at, with);
            }
            _ => frames.insert(at, other[rng.index(other.len())].clone()),
        }
        if rng.chance(1, 2) {
            number_anew(frames);
        }
    }
    apart.join(&segments, rng.chance(2, 3))
}

/// A frame, those that are no records more often than they are there.
fn pick(rng: &mut Rng, frames: &[Vec<u8>]) -> usize {
    let rare: Vec<usize> = (0..frames.len()).filter(|at| frames[*at][4] > Kind::Transaction as u8).collect();
    if rare.is_empty() || rng.chance(1, 3) { rng.index(frames.len()) } else { rare[rng.index(rare.len())] }
}

/// LSNs without gaps from the first frame's on, and each frame states the one before as durable.
fn number_anew(frames: &mut [Vec<u8>]) {
    let Some(mut lsn) = frames.first().map(|frame| get_u64(frame, 16)) else { return };
    for frame in frames.iter_mut().skip(1) {
        lsn = lsn.wrapping_add(1);
        put_u64(frame, 16, lsn);
        put_u64(frame, 24, lsn.wrapping_sub(1));
    }
}

/// Damages what is not a frame: identity, headers, `head`, footers.
fn damage_fixed(rng: &mut Rng, apart: &Apart) -> Files {
    let mut files = apart.files.clone();
    let segments: Vec<&String> = apart.segments.keys().collect();
    for _ in 0..1 + rng.below(2) {
        let name = segments[rng.index(segments.len())];
        match rng.below(5) {
            0 => record(rng, files.get_mut(ID_FILE).unwrap(), 0, &[8, 4, 4, 8, 8, 4, 4, 4, 8]),
            1 => {
                let bytes = files.get_mut(name).unwrap();
                record(rng, bytes, 0, &[8, 4, 4, 8, 8, 8, 4, 8, 8, 8]);
                if rng.chance(3, 4) {
                    bytes.copy_within(..RECORD, SECOND as usize);
                }
            }
            2 | 3 => {
                let Some(bytes) = files.get_mut(HEAD_FILE) else { continue };
                let slot = [0, SECOND as usize][rng.index(2)];
                record(rng, bytes, slot, &[8, 4, 8, 8, 8, 4, 8, 8, 8, 8, 8, 8, 8, 8, 8]);
            }
            _ => {
                let bytes = files.get_mut(name).unwrap();
                let Ok(SegmentHeader { size, .. }) = SegmentHeader::read(bytes) else { continue };
                let mut footer = bytes.get(size as usize..).unwrap_or_default().to_vec();
                let layout = Sample::new(Vec::new()).numbers(0, &footers::HEADER).numbers(88, &[4, 4, 8, 8, 8, 8, 8]);
                (0..1 + rng.below(3)).for_each(|_| damage(rng, &layout, &mut footer, &[]));
                footers::seal(&mut footer, rng.chance(3, 4));
                bytes.truncate(size as usize);
                bytes.extend_from_slice(&footer);
            }
        }
    }
    files
}

fn record(rng: &mut Rng, bytes: &mut [u8], at: usize, widths: &[usize]) {
    let layout = Sample::new(Vec::new()).numbers(0, widths);
    if let Some(record) = bytes.get_mut(at..at + RECORD) {
        let mut new = record.to_vec();
        (0..1 + rng.below(2)).for_each(|_| renumber(rng, &layout, &mut new));
        seal_record(&mut new);
        record.copy_from_slice(&new);
    }
}

/// For who repeats a case: what is damaged.
fn tell(apart: &Apart, files: &Files) {
    if crate::number("HOSTILE").is_none() {
        return;
    }
    for (name, old) in &apart.files {
        let new = &files[name];
        let mut at = 0;
        while let Some(from) = (at..new.len()).find(|i| old.get(*i) != new.get(*i)) {
            let same = |i: &usize| (*i..i + 16).all(|i| old.get(i) == new.get(i));
            at = (from..new.len()).find(same).unwrap_or(new.len());
            let upto = at.min(from + 64);
            let was = old.get(from..upto.min(old.len())).unwrap_or_default();
            println!("{name} {from}..{at}: {:02x?} was {was:02x?}", &new[from..upto]);
        }
        println!("{name}: {} bytes, was {}", new.len(), old.len());
    }
}

/// Opens a directory, asks it everything, and does so again in the next life. True if it opened.
fn visit(rng: &mut Rng, files: Files) -> bool {
    let used: u64 = files.values().map(|bytes| bytes.len() as u64).sum();
    let read_only = rng.chance(1, 4);
    let accept_loss = rng.chance(1, 4);
    let world = World::with_files(rng.next_u64(), files);
    let (mut opened, mut went_on) = (false, false);
    for life in 0..2 {
        world.heal();
        world.set_capacity(Some(used + ROOM));
        world.fail(Call::Read, CALLS, Fault::Eio, true);
        let machine = if read_only { world.machine_for_reading() } else { world.machine() };
        let options = story::options().accept_loss(accept_loss && life == 0);
        match options.read_only(read_only).open_on(machine) {
            Ok(engine) => {
                opened = true;
                let written = ask(&engine, read_only);
                went_on = end(engine.close()).is_some() && written;
            }
            Err(error) => {
                assert!(!went_on || error.kind() == ErrorKind::Full, "a log that was closed does not open: {error}");
                end::<()>(Err(error));
                break;
            }
        }
        if rng.chance(1, 3) {
            // It may take `head`, and with it the way to the checkpoint: then all that lies before it is read again.
            went_on = false;
            world.crash();
        } else {
            world.kill();
        }
    }
    opened
}

#[test]
fn a_directory_of_hostile_frames_answers_typed_errors_and_ends() {
    let (directories, samples) = (directories(), samples());
    fire("a_directory_of_hostile_frames_answers_typed_errors_and_ends", 1_500, |rng| {
        let directory = &directories[rng.index(directories.len())];
        let files = damage_frames(rng, directory, &samples);
        tell(directory, &files);
        bounded(MEMORY, || visit(rng, files))
    });
}

#[test]
fn a_directory_of_hostile_headers_hints_and_footers_answers_typed_errors_and_ends() {
    let directories = directories();
    fire("a_directory_of_hostile_headers_hints_and_footers_answers_typed_errors_and_ends", 1_000, |rng| {
        let directory = &directories[rng.index(directories.len())];
        let files = damage_fixed(rng, directory);
        tell(directory, &files);
        bounded(MEMORY, || visit(rng, files))
    });
}
