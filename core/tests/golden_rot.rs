//! A flip of every single byte of a golden directory that was closed cleanly: nothing is cut, and what is not harmless
//! is answered with the file, the LSN of the frame that was hit and, by a read, the offsets that it costs.
//!
//! Bytes within long stretches of zeros are a sample; `EVERY_BYTE=1` takes them all.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[allow(dead_code, reason = "others tell the story")]
mod story;

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use oncelog::format::files::{FRAMES, SegmentHeader};
use oncelog::format::frame::{Frame, Seal};
use oncelog::sim::World;
use oncelog::{
    ActiveProducer, Batch, ConsumerOptions, Engine, Error, ErrorKind, Isolation, Offset, Partition, ReadOptions,
    Record, TopicPartition, TransactionStatus,
};
use story::Files;

/// A byte with so many zeros on either side is one of a stretch.
const ALONE: usize = 24;
/// Of bytes in stretches of zeros one in so many is taken.
const SAMPLE: usize = 211;

/// A record: its offset, and the sums of its key and its value.
type Known = (Offset, [u32; 2]);

/// What a reader of a partition is shown.
struct Shown {
    topic: String,
    number: u32,
    /// What is aborted is hidden, and what is open.
    committed: bool,
    records: Vec<Known>,
}

/// What can be asked without writing a frame.
#[derive(Debug, Default, PartialEq, Eq)]
struct Answers {
    bounds: Vec<String>,
    offsets: Vec<Option<u64>>,
    fates: Vec<TransactionStatus>,
    open: String,
    producers: Vec<Vec<ActiveProducer>>,
}

fn golden(name: &str) -> Files {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    story::unpack(&std::fs::read(path.with_extension("gz")).unwrap())
}

fn partitions(engine: &Engine) -> Vec<Partition> {
    let topics = engine.topics().unwrap();
    let all = topics.iter().flat_map(|topic| (0..topic.partitions).map(|n| engine.partition(&topic.name, n).unwrap()));
    all.collect()
}

/// A frame as it lay before a byte of it was flipped.
#[derive(Clone, Debug)]
struct Lying {
    bytes: Range<usize>,
    lsn: u64,
}

/// The frames of a segment that is sound.
fn frames(image: &[u8]) -> Vec<Lying> {
    let header = SegmentHeader::read(image).expect("the directory is sound");
    let seal = Seal::new(header.salt, header.number);
    let (mut all, mut at) = (Vec::new(), FRAMES as usize);
    while let Ok(frame) = Frame::read(&image[at..header.size as usize], seal, at as u64) {
        let next = at + frame.header.len() as usize;
        all.push(Lying { bytes: at..next, lsn: frame.header.lsn });
        at = next;
    }
    all
}

/// Where a byte was flipped.
struct Hit<'a> {
    file: &'a str,
    /// Where its frame lies, if it is one's.
    frame: Option<&'a Lying>,
}

impl Hit<'_> {
    /// Whether an error names the frame that was hit: its file, a byte of it, and its LSN and no other.
    fn is_named_by(&self, error: &Error, file: &str) -> bool {
        let Some(frame) = self.frame else { return false };
        let number = |name| word(error, name).and_then(|number| number.parse::<u64>().ok());
        let lsns = [number("first_lsn="), number("last_lsn=")];
        let within = number("position=").is_some_and(|at| frame.bytes.contains(&(at as usize)));
        word(error, file) == Some(self.file) && within && lsns == [Some(frame.lsn); 2]
    }
}

/// What an error gives for a name that ends with `=`.
fn word<'a>(error: &'a Error, name: &str) -> Option<&'a str> {
    error.message().split([' ', ',']).find_map(|word| word.strip_prefix(name))
}

/// The stretch of offsets that an error names, with the file and the LSN.
fn named(error: &Error, place: &TopicPartition, hit: &Hit<'_>) -> Result<Range<Offset>, String> {
    let frame = hit.frame;
    let unclear = || format!("reading answers {error}, which does not name what is lost of {place}, in {frame:?}");
    let (topic, number) = (word(error, "topic="), word(error, "partition="));
    let here = topic == Some(&place.topic) && number == Some(&place.partition.to_string());
    if error.kind() != ErrorKind::Corrupt || !here || !hit.is_named_by(error, "segment=") {
        return Err(unclear());
    }
    let (from, to) = word(error, "offsets=").and_then(|range| range.split_once("..")).ok_or_else(unclear)?;
    Ok(from.parse().map_err(|_| unclear())?..to.parse().map_err(|_| unclear())?)
}

/// All records of a partition, and the offsets that are named as damaged.
fn read(partition: &Partition, committed: bool, hit: &Hit<'_>) -> Result<(Vec<Known>, Vec<Offset>), String> {
    let place = TopicPartition::new(partition.topic().to_string(), partition.number());
    let isolation = if committed { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
    let (mut seen, mut lost, mut at) = (Vec::new(), Vec::new(), 0);
    loop {
        let records = partition.read(at, ReadOptions::new().isolation(isolation));
        let records = records.map_err(|error| format!("a read of {place} from {at} answers {error}"))?;
        for record in &records {
            match record {
                Ok(record) => {
                    let sum = |bytes: Option<&[u8]>| bytes.map_or(1, crc32c::crc32c);
                    seen.push((record.offset(), [sum(record.key()), sum(record.value())]));
                }
                Err(error) => lost.extend(named(&error, &place, hit)?),
            }
        }
        match records.next_offset(&place.topic, place.partition) {
            Some(next) if next > at => at = next,
            _ => return Ok((seen, lost)),
        }
    }
}

fn ask(engine: &Engine) -> Answers {
    let mut answers = Answers::default();
    let groups = ["billing", "shipping", "readers"]
        .map(|group| ConsumerOptions::new().group(group).isolation(Isolation::ReadUncommitted))
        .map(|options| engine.consumer(options).unwrap());
    for partition in partitions(engine) {
        answers.bounds.push(format!("{}-{} {:?}", partition.topic(), partition.number(), partition.bounds()));
        answers.producers.push(partition.producers().unwrap());
        let place = TopicPartition::new(partition.topic().to_string(), partition.number());
        answers.offsets.extend(groups.iter().map(|group| group.committed(&place).unwrap()));
    }
    answers.fates = (1..9).map(|number| engine.transaction_status(number).unwrap()).collect();
    answers.open = format!("{:?}", engine.describe_transactions().unwrap());
    answers
}

/// What a sound directory shows.
struct Sound {
    files: Files,
    /// By file, for segments.
    frames: BTreeMap<String, Vec<Lying>>,
    shown: Vec<Shown>,
    answers: Answers,
}

/// What became of a flip.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    harmless: usize,
    records: usize,
    refused: usize,
    closed: usize,
}

impl Sound {
    fn of(files: Files) -> Sound {
        let engine = story::open(&World::with_files(1, files.clone())).unwrap();
        let mut shown = Vec::new();
        for partition in partitions(&engine) {
            for committed in [true, false] {
                let (records, lost) = read(&partition, committed, &Hit { file: "none", frame: None }).unwrap();
                assert!(lost.is_empty());
                let (topic, number) = (partition.topic().to_string(), partition.number());
                shown.push(Shown { topic, number, committed, records });
            }
        }
        let answers = ask(&engine);
        let segments = files.iter().filter(|(name, _)| name.ends_with(".seg"));
        let frames = segments.map(|(name, image)| (name.clone(), frames(image))).collect();
        Sound { files, frames, shown, answers }
    }

    /// Opens the directory with one bit of a byte flipped.
    fn judge(&self, file: &str, at: usize, tally: &mut Tally) -> Result<(), String> {
        let mut files = self.files.clone();
        files.get_mut(file).unwrap()[at] ^= 1 << ((at * 5 + at / 8) % 8);
        let frame = self.frames.get(file).and_then(|frames| frames.iter().find(|frame| frame.bytes.contains(&at)));
        let hit = Hit { file, frame };
        let world = World::with_files(7, files);
        let engine = match story::open(&world) {
            Ok(engine) => engine,
            // Where no frame was hit there is no LSN to name.
            Err(error) if error.kind() == ErrorKind::Corrupt && frame.is_none() && error.message().contains(file) => {
                tally.closed += 1;
                return Ok(());
            }
            Err(error) => return Err(format!("opening answers {error}, hit was {frame:?}")),
        };
        let opening = engine.opening();
        if let Some(cut) = opening.cut {
            return Err(format!("opening cut {cut:?}"));
        }
        if opening.damage.iter().any(|damage| damage.file != file) {
            return Err(format!("another file is accused: {:?}", opening.damage));
        }
        let lost = self.compare(&engine, &hit)?;
        let refused = self.refuses(&engine, &hit)?;
        match (lost, refused) {
            (_, true) => tally.refused += 1,
            (0, false) => tally.harmless += 1,
            _ => tally.records += 1,
        }
        Ok(())
    }

    /// Every record is as it was or named; and nothing that was hidden is shown. Answers how many are lost.
    fn compare(&self, engine: &Engine, hit: &Hit<'_>) -> Result<usize, String> {
        let mut lost = 0;
        for Shown { topic, number, committed, records } in &self.shown {
            let partition = engine.partition(topic, *number).map_err(|error| format!("{topic} answers {error}"))?;
            let (seen, named) = read(&partition, *committed, hit)?;
            let mut left = seen.iter().peekable();
            let silent = records.iter().find(|due| left.next_if_eq(due).is_some() == named.contains(&due.0));
            if let Some((offset, _)) = silent.or(left.next()) {
                let place = format!("{topic}-{number}, committed only: {committed}");
                return Err(format!("{place}: offset {offset} is neither shown as it was nor named, or both"));
            }
            lost += named.len();
        }
        let answers = ask(engine);
        if answers != self.answers {
            return Err(format!("answers are {answers:?}, due are {:?}", self.answers));
        }
        Ok(lost)
    }

    /// Whether appends are refused; then the refusal names the file and the LSN.
    fn refuses(&self, engine: &Engine, hit: &Hit<'_>) -> Result<bool, String> {
        let Shown { topic, number, .. } = &self.shown[0];
        let mut batch = Batch::builder();
        batch.push(&Record::new(b"behind"), 1).unwrap();
        let batch = batch.build().unwrap();
        let answer = engine.partition(topic, *number).and_then(|p| p.append(&batch)).and_then(|ticket| ticket.wait());
        match answer {
            Ok(_) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt && hit.is_named_by(&error, "file=") => Ok(true),
            Err(error) => Err(format!("an append answers {error}, hit was {:?}", hit.frame)),
        }
    }

    /// The bytes to flip: all, but of long stretches of zeros a sample.
    fn places(&self) -> Vec<(&str, usize)> {
        let all = std::env::var("EVERY_BYTE").is_ok();
        let mut places = Vec::new();
        for (name, bytes) in &self.files {
            let zero = |at: usize| {
                let around = &bytes[at.saturating_sub(ALONE)..(at + ALONE).min(bytes.len())];
                around.iter().all(|byte| *byte == 0)
            };
            let taken = (0..bytes.len()).filter(|at| all || at.is_multiple_of(SAMPLE) || !zero(*at));
            places.extend(taken.map(|at| (name.as_str(), at)));
        }
        places
    }
}

fn flip_every_byte_of(name: &str) -> Tally {
    let sound = Sound::of(golden(name));
    let places = sound.places();
    let (next, done, failures) = (AtomicUsize::new(0), Mutex::new(Tally::default()), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from) {
            scope.spawn(|| {
                let mut tally = Tally::default();
                while let Some((file, at)) = places.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(fault) = sound.judge(file, *at, &mut tally) {
                        failures.lock().unwrap().push(format!("{name}: {file} byte {at}: {fault}"));
                    }
                }
                let mut sum = done.lock().unwrap();
                sum.harmless += tally.harmless;
                sum.records += tally.records;
                sum.refused += tally.refused;
                sum.closed += tally.closed;
            });
        }
    });
    let failures = failures.into_inner().unwrap();
    let shown = failures.iter().take(8).cloned().collect::<Vec<_>>().join("\n");
    assert!(failures.is_empty(), "{} of {} flips:\n{shown}", failures.len(), places.len());
    let tally = done.into_inner().unwrap();
    println!("{name}: {} bytes, {tally:?}", places.len());
    tally
}

#[test]
fn a_flip_of_any_byte_of_a_closed_log_cuts_nothing_and_is_harmless_or_named() {
    let tally = flip_every_byte_of("clean");
    assert!(tally.records > 10_000 && tally.harmless > 1_000, "{tally:?}");
}

#[test]
fn a_flip_of_any_byte_of_a_log_with_transactions_cuts_nothing_and_is_harmless_or_named() {
    let tally = flip_every_byte_of("streamed");
    assert!(tally.records > 10_000 && tally.harmless > 1_000, "{tally:?}");
}
