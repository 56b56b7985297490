//! The format is a promise: directories written once open for ever and answer the same, the worked example of
//! FORMAT.md is what the encoders write, and what this version does not know is refused untouched.
#![cfg(feature = "sim")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod story;

use std::path::{Path, PathBuf};

use oncelog::format::batch::{BATCH_HEADER, BatchBuilder, BatchHeader};
use oncelog::format::bytes::{align8, get_u32};
use oncelog::format::control::{Link, OffsetEntry, OffsetsBlock, Opened, ProducerOpened, TopicCreated};
use oncelog::format::files::{FORMAT_VERSION, FRAMES, Head, ID_FILE, Identity, SECOND, SegmentHeader};
use oncelog::format::frame::{self, FRAME_HEADER, Frame, FrameHeader, Kind, Seal};
use oncelog::format::topic_config::TopicConfig;
use oncelog::format::transaction::{Decision, PART, Part, TRANSACTION_HEAD, TransactionHead};
use oncelog::sim::World;
use oncelog::{ConsumerOptions, Engine, ErrorKind, ProducerOptions, ReadOptions, Record, TopicPartition};
use story::Files;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn golden_files(name: &str) -> Files {
    story::unpack(&std::fs::read(golden(name).with_extension("gz")).unwrap())
}

/// With GOLDEN=write in the environment a file that is missing is written. What is there is never replaced: it stands
/// for the logs that exist.
fn write_missing(path: &Path, content: &[u8]) {
    if std::env::var("GOLDEN").is_ok_and(|v| v == "write") && !path.exists() {
        std::fs::write(path, content).unwrap();
    }
}

/// Compares with the answers that lie beside a golden directory.
fn check_answers(name: &str, answers: &str) {
    let path = golden(name).with_extension("txt");
    write_missing(&path, answers.as_bytes());
    let expected = std::fs::read_to_string(&path).unwrap();
    for (i, (got, want)) in answers.lines().zip(expected.lines()).enumerate() {
        assert_eq!(got, want, "{name}.txt line {}", i + 1);
    }
    assert_eq!(answers.lines().count(), expected.lines().count(), "{name}.txt");
}

fn all_answers(engine: &Engine) -> String {
    let readers = story::answers(engine).unwrap();
    readers + &story::answers_of_producers(engine).unwrap()
}

#[test]
fn a_cleanly_closed_golden_directory_opens_and_answers_as_listed() {
    let engine = story::open(&World::with_files(1, golden_files("clean"))).unwrap();
    check_answers("clean", &all_answers(&engine));
}

#[test]
fn an_unclean_golden_directory_recovers_and_answers_as_listed() {
    let world = World::with_files(2, golden_files("unclean"));
    let engine = story::open(&world).unwrap();
    let readers = story::answers(&engine).unwrap();
    engine.close().unwrap();
    let again = story::open(&world).unwrap();
    assert_eq!(story::answers(&again).unwrap(), readers, "a recovered log answers the same when it is opened again");
    check_answers("unclean", &all_answers(&again));
}

/// Without `head` and footers.
fn without_derived(mut files: Files) -> Files {
    files.remove("head");
    for (name, content) in &mut files {
        if SegmentHeader::parse_name(name).is_some() {
            let size = SegmentHeader::read(content).unwrap().size;
            content.truncate(size as usize);
        }
    }
    files
}

#[test]
fn golden_directories_need_neither_head_nor_footers() {
    for name in ["clean", "unclean"] {
        let files = without_derived(golden_files(name));
        let engine = story::open(&World::with_files(3, files)).unwrap();
        let expected = std::fs::read_to_string(golden(name).with_extension("txt")).unwrap();
        assert!(expected.starts_with(&story::answers(&engine).unwrap()), "{name}");
    }
}

#[test]
fn footers_that_are_there_are_read_and_not_made_anew() {
    // Of a directory of an older version they may be: the first footers said nothing of decisions.
    for files in [story::clean().unwrap(), story::streamed::streamed().unwrap(), golden_files("streamed")] {
        let writes = |files: Files| {
            let world = World::with_files(3, files);
            let engine = story::open(&world).unwrap();
            let so_far = world.hits()["call: write"];
            for topic in engine.topics().unwrap() {
                for number in 0..topic.partitions {
                    engine.partition(&topic.name, number).unwrap().read(0, ReadOptions::new()).unwrap();
                }
            }
            world.hits()["call: write"] - so_far
        };
        assert_eq!(writes(files.clone()), 0);
        assert!(writes(without_derived(files)) > 0);
    }
}

#[test]
fn a_golden_directory_opened_for_reading_answers_the_same_and_changes_no_byte() {
    let files = golden_files("clean");
    let world = World::with_files(4, files.clone());
    let engine = story::options().read_only(true).open_on(world.machine_for_reading()).unwrap();
    let expected = std::fs::read_to_string(golden("clean").with_extension("txt")).unwrap();
    assert!(expected.starts_with(&story::answers(&engine).unwrap()));
    engine.close().unwrap();
    assert!(world.files() == files, "reading changed the directory");
}

#[test]
fn the_story_told_today_gives_the_golden_answers() {
    for (name, files) in [("clean", story::clean().unwrap()), ("unclean", story::unclean().unwrap())] {
        write_missing(&golden(name).with_extension("gz"), &story::pack(&files));
        assert_eq!(story::unpack(&story::pack(&files)), files);
        // What a power cut leaves depends on how a version writes; what it may leave does not.
        let engine = story::open(&World::with_files(5, files)).unwrap();
        let answers = story::answers(&engine).unwrap();
        if name == "clean" {
            let expected = std::fs::read_to_string(golden("clean").with_extension("txt")).unwrap();
            assert!(expected.starts_with(&answers), "{answers}");
        }
        assert!(answers.contains("orders-1 15 \"late\" \"third life, order 9\"") == (name == "unclean"), "{answers}");
    }
}

#[test]
fn a_golden_directory_with_open_and_aborted_transactions_answers_as_listed_with_and_without_derived_files() {
    let files = story::streamed::streamed().unwrap();
    write_missing(&golden("streamed").with_extension("gz"), &story::pack(&files));
    for (seed, files) in [(7, files), (8, golden_files("streamed"))] {
        let engine = story::open(&World::with_files(seed, files.clone())).unwrap();
        check_answers("streamed", &story::streamed::answers(&engine).unwrap());
        let engine = story::open(&World::with_files(seed, without_derived(files))).unwrap();
        check_answers("streamed", &story::streamed::answers(&engine).unwrap());
    }
}

fn refused(files: &Files) -> ErrorKind {
    let world = World::with_files(6, files.clone());
    let kind = story::open(&world).unwrap_err().kind();
    assert!(world.files() == *files, "a refused directory was changed");
    kind
}

#[test]
fn a_newer_format_or_an_unknown_feature_is_refused_untouched() {
    let mut files = golden_files("clean");
    let identity = Identity::read(&files[ID_FILE]).unwrap();
    let newer = Identity { format: FORMAT_VERSION + 1, ..identity };
    let unknown = Identity { incompatible: 1 << 31, ..identity };
    let to_read = Identity { read_compatible: 1, ..identity };
    for identity in [newer, unknown, to_read] {
        files.insert(ID_FILE.to_owned(), identity.write().to_vec());
        assert_eq!(refused(&files), ErrorKind::UnsupportedVersion);
    }
    files.insert(ID_FILE.to_owned(), Identity { compatible: 1, ..identity }.write().to_vec());
    story::open(&World::with_files(7, files)).unwrap();
}

/// Replaces the clean close's mark by a frame of a kind that nobody knows.
fn plant_unknown_frame(files: &mut Files, flags: u8) {
    let name = files.keys().rfind(|name| SegmentHeader::parse_name(name).is_some()).unwrap().clone();
    let bytes = files.get_mut(&name).unwrap();
    let header = SegmentHeader::read(bytes).unwrap();
    let seal = Seal::new(header.salt, header.number);
    let (mut at, mut last) = (FRAMES as usize, FRAMES as usize);
    while let Ok(found) = Frame::read(&bytes[at..header.size as usize], seal, at as u64) {
        last = at;
        at += found.header.len() as usize;
    }
    let mark = FrameHeader::read(&bytes[last..]);
    assert_eq!(mark.kind, Kind::Mark as u8);
    (bytes[last + 4], bytes[last + 5]) = (40, flags);
    frame::stamp(&mut bytes[last..at], seal, last as u64, mark.lsn, mark.durable_lsn);
}

#[test]
fn a_frame_of_an_unknown_kind_is_skipped_only_if_it_says_so() {
    let mut files = golden_files("clean");
    plant_unknown_frame(&mut files, 0);
    assert_eq!(refused(&files), ErrorKind::UnsupportedVersion);
    let mut files = golden_files("clean");
    plant_unknown_frame(&mut files, frame::FLAG_SKIPPABLE);
    let engine = story::open(&World::with_files(8, files)).unwrap();
    let expected = std::fs::read_to_string(golden("clean").with_extension("txt")).unwrap();
    assert!(expected.starts_with(&story::answers(&engine).unwrap()));
}

// The worked example of FORMAT.md section 11, built with the encoders.

const UUID: [u8; 16] = *b"an example log!!";
const TOPIC: [u8; 16] = *b"the words' topic";
const SALT: u64 = 0x1122_3344_5566_7788;
const CREATED: u64 = 1_700_000_000_000;

fn identity() -> Identity {
    Identity {
        uuid: UUID,
        format: FORMAT_VERSION,
        compatible: 0,
        read_compatible: 0,
        incompatible: 0,
        created_ms: CREATED,
    }
}

fn segment_header() -> SegmentHeader {
    SegmentHeader {
        uuid: UUID,
        number: 1,
        generation: 0,
        format: FORMAT_VERSION,
        size: 65_536,
        salt: SALT,
        created_ms: CREATED,
    }
}

fn batch(value: &[u8]) -> Vec<u8> {
    let mut builder = BatchBuilder::new();
    builder.push(&Record::new(value).key(b"k"), CREATED as i64).unwrap();
    builder.finish().to_vec()
}

fn frame_of(kind: Kind, head: &[u8], body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::encode(&mut out, kind, 0, head, body);
    out
}

fn records_frame(instance: u32) -> Vec<u8> {
    let mut out = batch(b"hello");
    let body = out.len() - FRAME_HEADER - BATCH_HEADER;
    out.resize(align8(out.len()), 0);
    frame::write_header(&mut out, Kind::Records, 0, BATCH_HEADER, body, instance, 0);
    out
}

/// One record to partition 1, and the offset behind the record of partition 0 for the group `g`.
fn transaction_frame() -> Vec<u8> {
    let mut offsets = Vec::new();
    let entry = OffsetEntry { group: "g", topic: TOPIC, partition: 0, offset: 1, leader_epoch: -1, metadata: "" };
    OffsetsBlock::write(&mut offsets, CREATED as i64, &[("g", vec![entry])]);
    let mut head = Vec::new();
    TransactionHead::encode(&mut head, (1, 0), Decision::Commit, 1, Some(7), &offsets, 1);
    let mut body = batch(b"HELLO")[FRAME_HEADER..].to_vec();
    let part = Part {
        instance: 1,
        len: body.len() as u32,
        base_offset: 0,
        batch_crc: BatchHeader::read(&body).unwrap().crc,
        leader_epoch: 0,
        last_offset_delta: 0,
    };
    part.write(&mut head[TRANSACTION_HEAD..TRANSACTION_HEAD + PART]);
    body.extend_from_slice(&offsets);
    frame_of(Kind::Transaction, &head, &body)
}

/// The frames in order, each with the LSN in its header.
fn example_frames() -> Vec<(u64, Vec<u8>)> {
    let mut head = Vec::new();
    Link { incarnation: 1, ..Link::default() }.write(&mut head);
    let link = frame_of(Kind::Link, &head, &[]);

    head.clear();
    let opened = Opened { incarnation: 1, first_number: 1, numbers: 1 << 32, first_producer_id: 0, wall_ms: CREATED };
    opened.write(&mut head);
    let opened = frame_of(Kind::Opened, &head, &[]);

    let (mut head, mut body) = (Vec::new(), Vec::new());
    let created = TopicCreated {
        topic: TOPIC,
        first_instance: 0,
        partitions: 2,
        durability: 0,
        partition_kind: 0,
        name: "words",
        config: TopicConfig::default(),
    };
    created.write(&mut head, &mut body);
    let created = frame_of(Kind::TopicCreated, &head, &body);

    let (mut head, mut body) = (Vec::new(), Vec::new());
    ProducerOpened { producer_id: 1, previous_id: -1, epoch: 0, last_epoch: -1, timeout_ms: 0, name: "shout" }
        .write(&mut head, &mut body);
    let producer = frame_of(Kind::ProducerOpened, &head, &body);
    vec![(0, link), (1, opened), (2, created), (3, records_frame(0)), (4, producer), (5, transaction_frame())]
}

fn example_log() -> Files {
    let mut segment = vec![0; 65_536];
    let header = segment_header().write();
    segment[..header.len()].copy_from_slice(&header);
    segment[SECOND as usize..SECOND as usize + header.len()].copy_from_slice(&header);
    let seal = Seal::new(SALT, 1);
    let mut at = FRAMES as usize;
    for (lsn, mut bytes) in example_frames() {
        // Each call waited for its flush, so each frame states the one before as durable.
        frame::stamp(&mut bytes, seal, at as u64, lsn, lsn.saturating_sub(1));
        segment[at..at + bytes.len()].copy_from_slice(&bytes);
        at += bytes.len();
    }
    Files::from([(ID_FILE.to_owned(), identity().write().to_vec()), (SegmentHeader::name(1, 0), segment)])
}

/// The lines `offset  hex  | words` of the example's blocks: file, offset, bytes.
fn printed_example() -> Vec<(String, usize, Vec<u8>)> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("FORMAT.md")).unwrap();
    let mut file = None;
    let mut lines = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("```hex "), line) {
            (Some(name), _) => file = Some(name.to_owned()),
            (None, "```") => file = None,
            _ => {
                let Some(file) = &file else { continue };
                let bytes = line.split('|').next().unwrap();
                let (offset, hex) = bytes.trim().split_once("  ").unwrap_or_else(|| panic!("no offset: {line}"));
                let hex: String = hex.split_whitespace().collect();
                let bytes =
                    (0..hex.len()).step_by(2).map(|i| u8::from_str_radix(&hex[i..i + 2], 16).unwrap()).collect();
                lines.push((file.clone(), usize::from_str_radix(offset, 16).unwrap(), bytes));
            }
        }
    }
    lines
}

#[test]
fn the_worked_example_is_what_the_encoders_write() {
    let files = example_log();
    if let Ok(directory) = std::env::var("EXAMPLE") {
        files.iter().for_each(|(name, content)| std::fs::write(Path::new(&directory).join(name), content).unwrap());
    }
    let mut left = files.clone();
    let lines = printed_example();
    assert!(!lines.is_empty(), "FORMAT.md holds no example");
    for (file, offset, bytes) in lines {
        let written = &files[&file][offset..offset + bytes.len()];
        assert_eq!(bytes, written, "{file} at {offset:#x}");
        left.get_mut(&file).unwrap()[offset..offset + bytes.len()].fill(0);
    }
    for (file, content) in left {
        let unprinted = content.iter().position(|byte| *byte != 0);
        assert_eq!(unprinted, None, "{file} holds bytes that FORMAT.md does not print");
    }
}

#[test]
fn the_worked_example_is_a_log_that_opens() {
    let engine = story::open(&World::with_files(9, example_log())).unwrap();
    let words = TopicPartition::new("words", 0);
    assert_eq!(engine.partition("words", 0).unwrap().bounds().end, 1);
    let consumer = engine.consumer(ConsumerOptions::new().group("g")).unwrap();
    assert_eq!(consumer.committed(&words).unwrap(), Some(1));
    consumer.assign(&[TopicPartition::new("words", 1)]).unwrap();
    let records = consumer.poll(std::time::Duration::ZERO).unwrap();
    let values: Vec<_> = records.iter().map(|r| r.unwrap().value().unwrap().to_vec()).collect();
    assert_eq!(values, [b"HELLO"]);
    let producer = engine.transactional_producer("shout", ProducerOptions::new()).unwrap();
    assert_eq!(producer.position(), Some(7));
}

#[test]
fn the_example_s_checksums_are_those_of_the_rule() {
    let files = example_log();
    let segment = &files[&SegmentHeader::name(1, 0)];
    // crc32c(salt, number, position, bytes 4.. to the end of the head), by hand for the first frame.
    let mut covered = SALT.to_le_bytes().to_vec();
    covered.extend_from_slice(&1u64.to_le_bytes());
    covered.extend_from_slice(&FRAMES.to_le_bytes());
    covered.extend_from_slice(&segment[8196..8192 + FRAME_HEADER + 96]);
    assert_eq!(get_u32(segment, 8192), crc32c::crc32c(&covered));
    assert_eq!(Head::slot(7), SECOND, "odd slots of head are the second");
}
