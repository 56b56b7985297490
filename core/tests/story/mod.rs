//! A small story told to a log, and everything that can be asked of the log afterwards, as text. The directories in
//! tests/golden were left by this story; their answers lie beside them.

pub mod streamed;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::io::Read;
use std::time::Duration;

use oncelog::sim::World;
use oncelog::{
    AppendOptions, Batch, ConsumerOptions, Durability, Engine, EngineOptions, Header, Identity, Offsets,
    ProducerOptions, ReadOptions, Record, Result, TopicOptions, TopicPartition,
};

/// The files of a directory by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// What the story's world is made with.
pub const SEED: u64 = 2026;
const TOPICS: [&str; 3] = ["audit", "gone", "orders"];
const GROUPS: [&str; 2] = ["billing", "shipping"];

/// How golden directories are opened: no thread, the smallest segments.
pub fn options() -> EngineOptions {
    Engine::options().threads(false).segment_bytes(64 << 10)
}

/// Opens the directory of a world.
pub fn open(world: &World) -> Result<Engine> {
    options().open_on(world.machine())
}

/// A directory that was closed cleanly, twice.
pub fn clean() -> Result<Files> {
    let world = World::new(SEED);
    first_life(&world)?;
    second_life(&world)?.close()?;
    Ok(world.files())
}

/// The same, and a third life that ends in a power cut: part of what it wrote is on the disk, torn.
pub fn unclean() -> Result<Files> {
    let world = World::new(SEED);
    first_life(&world)?;
    second_life(&world)?.close()?;
    let engine = open(&world)?;
    for round in 0..30u64 {
        let level = if round < 10 { Durability::Disk } else { Durability::Os };
        let text = format!("third life, order {round}");
        let batch = batch(&[Record::new(text.as_bytes()).key(b"late")], None)?;
        let ticket = engine.partition("orders", 1)?.append_with(&batch, AppendOptions::new().durability(level))?;
        ticket.wait()?;
    }
    world.crash();
    drop(engine);
    Ok(world.files())
}

fn batch(records: &[Record<'_>], producer: Option<(Identity, i32)>) -> Result<Batch> {
    let mut builder = Batch::builder();
    for (i, record) in records.iter().enumerate() {
        builder.push(record, 1_700_000_000_000 + i as i64)?;
    }
    if let Some((identity, sequence)) = producer {
        builder.producer(identity, sequence);
    }
    builder.build()
}

/// Topics, raw batches, a named producer, over two segments.
fn first_life(world: &World) -> Result<()> {
    let engine = open(world)?;
    engine.create_topic("orders", TopicOptions::new().partitions(2))?;
    engine.create_topic("audit", TopicOptions::new().durability(Durability::Os))?;
    engine.create_topic("gone", TopicOptions::new())?;
    engine.producer(ProducerOptions::new())?.send("gone", Record::new(b"soon forgotten"))?.wait()?;
    engine.add_partitions("orders", 3)?;
    engine.delete_topic("gone")?;

    let headers = [Header { key: "source", value: Some(b"till 4") }, Header { key: "empty", value: None }];
    let first = [Record::new(b"one coffee").key(b"ada").headers(&headers), Record::tombstone(b"bob"), Record::new(b"")];
    engine.partition("orders", 0)?.append(&batch(&first, None)?)?.wait()?;

    let identity = engine.init_producer(None, Duration::from_secs(60), None)?;
    for sequence in 0..6 {
        let raw = batch(&[Record::new(b"raw").key(b"broker")], Some((identity, sequence)))?;
        engine.partition("orders", 2)?.append(&raw)?.wait()?;
    }

    let loader = engine.producer(ProducerOptions::new().name("loader"))?;
    for line in 1..=120u64 {
        // Long and dull, so that segments fill and the files compress.
        let value = format!("line {line} ").repeat(100);
        loader.send("audit", Record::new(value.as_bytes()).position(line * 10))?.detach();
        if line % 20 == 0 {
            loader.flush()?;
            engine.drive()?;
        }
    }
    engine.close()
}

/// Consumes what the first life left, in transactions; fences itself once on the way.
fn second_life(world: &World) -> Result<Engine> {
    let engine = open(world)?;
    let consumer = engine.consumer(ConsumerOptions::new().group("billing").max_records(2))?;
    let input: Vec<_> = [0, 2].map(|p| TopicPartition::new("orders", p)).to_vec();
    consumer.assign(&input)?;
    for turn in 0..3u64 {
        let producer = engine.transactional_producer("biller", ProducerOptions::new())?;
        let mut transaction = producer.begin_transaction_for(&consumer)?;
        for record in &consumer.poll(Duration::ZERO)? {
            let record = record?;
            let bill = format!("bill for {}-{}", record.partition(), record.offset());
            transaction.send("orders", Record::new(bill.as_bytes()).key(b"bill").partition(1))?;
            transaction.send("audit", Record::new(b"billed").timestamp(1_700_000_000_500))?;
        }
        if turn == 0 {
            let shipped = Offsets::from([(TopicPartition::new("audit", 0), 100.into())]);
            let other = oncelog::GroupMetadata { group: "shipping".to_owned() };
            transaction.send_offsets(&other, &shipped)?;
        }
        transaction.send_position(turn + 1)?;
        transaction.commit()?;
    }
    consumer.commit()?;
    let loader = engine.producer(ProducerOptions::new().name("loader"))?;
    loader.send("orders", Record::new(b"resumed").partition(0).position(1_201))?.wait()?;
    Ok(engine)
}

/// Everything that a reader can ask, one answer a line.
pub fn answers(engine: &Engine) -> Result<String> {
    let mut out = String::new();
    for topic in engine.topics()? {
        let _ = writeln!(out, "topic {} partitions={} level={:?}", topic.name, topic.partitions, topic.durability);
        for number in 0..topic.partitions {
            records(engine, &topic.name, number, &mut out)?;
        }
    }
    for name in TOPICS {
        if engine.partition(name, 0).is_err() {
            let _ = writeln!(out, "no topic {name}");
        }
    }
    for group in GROUPS {
        let consumer = engine.consumer(ConsumerOptions::new().group(group))?;
        for topic in engine.topics()? {
            for partition in (0..topic.partitions).map(|n| TopicPartition::new(&topic.name, n)) {
                if let Some(offset) = consumer.committed(&partition)? {
                    let _ = writeln!(out, "group {group} {partition} offset={offset}");
                }
            }
        }
    }
    Ok(out)
}

/// What only an engine that may write can be asked, because asking writes: positions, and a raw batch sent again.
pub fn answers_of_producers(engine: &Engine) -> Result<String> {
    let mut out = String::new();
    let loader = engine.producer(ProducerOptions::new().name("loader"))?;
    let biller = engine.transactional_producer("biller", ProducerOptions::new())?;
    let _ = writeln!(out, "position loader {:?}", loader.position());
    let _ = writeln!(out, "position biller {:?}", biller.position());
    let again = loader.send("orders", Record::new(b"resumed").partition(0).position(1_201))?.wait()?;
    let _ = writeln!(out, "loader 1201 again: duplicate={}", again.duplicate);
    let identity = Identity { producer_id: 0, epoch: 0 };
    for sequence in 0..7 {
        let raw = batch(&[Record::new(b"raw").key(b"broker")], Some((identity, sequence)))?;
        let answer = engine.partition("orders", 2)?.append(&raw).and_then(|ticket| ticket.wait());
        let text = match answer {
            Ok(appended) => format!("first={} duplicate={}", appended.first, appended.duplicate),
            Err(error) => error.kind().name().to_owned(),
        };
        let _ = writeln!(out, "raw {sequence} again: {text}");
    }
    Ok(out)
}

fn records(engine: &Engine, topic: &str, number: u32, out: &mut String) -> Result<()> {
    let partition = engine.partition(topic, number)?;
    let bounds = partition.bounds();
    let _ = writeln!(out, "partition {topic}-{number} {}..{} stable={}", bounds.start, bounds.end, bounds.stable);
    let mut at = bounds.start;
    while at < bounds.end {
        let read = partition.read(at, ReadOptions::new())?;
        for record in &read {
            let record = record?;
            let _ = write!(out, "{topic}-{number} {} {}", record.offset(), text(record.key()));
            let _ = write!(out, " {}", text(record.value()));
            for header in record.headers() {
                let header = header?;
                let _ = write!(out, " {}={}", header.key, text(header.value));
            }
            let _ = writeln!(out);
            at = record.offset() + 1;
        }
    }
    Ok(())
}

fn text(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "null".to_owned(),
        Some(bytes) if bytes.len() <= 40 => format!("{:?}", String::from_utf8_lossy(bytes)),
        Some(bytes) => format!("{} bytes crc32c {:08x}", bytes.len(), crc32c::crc32c(bytes)),
    }
}

/// Packs a directory: per file the name's length u32, the name, the content's length u64, the content; gzip over all.
pub fn pack(files: &Files) -> Vec<u8> {
    use std::io::Write as _;
    let mut plain = Vec::new();
    for (name, content) in files {
        plain.extend_from_slice(&(name.len() as u32).to_le_bytes());
        plain.extend_from_slice(name.as_bytes());
        plain.extend_from_slice(&(content.len() as u64).to_le_bytes());
        plain.extend_from_slice(content);
    }
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    packer.write_all(&plain).unwrap();
    packer.finish().unwrap()
}

/// Unpacks a directory.
pub fn unpack(packed: &[u8]) -> Files {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(packed).read_to_end(&mut plain).unwrap();
    let mut rest = &plain[..];
    let mut take = |n: usize| {
        let (taken, left) = rest.split_at(n);
        rest = left;
        (taken.to_vec(), left.is_empty())
    };
    let mut files = Files::new();
    loop {
        let name_len = u32::from_le_bytes(take(4).0.try_into().unwrap());
        let name = String::from_utf8(take(name_len as usize).0).unwrap();
        let len = u64::from_le_bytes(take(8).0.try_into().unwrap());
        let (content, ended) = take(len as usize);
        files.insert(name, content);
        if ended {
            return files;
        }
    }
}
