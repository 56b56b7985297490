//! The same appends and scan as bench.c, through the Rust API: prints nanoseconds per record of each round.
#![allow(unsafe_code, reason = "the clock of a thread")]

use engine::{
    AppendOptions, Batch, BatchBuilder, Durability, Engine, Partition, ReadOptions, Record, Result, TopicOptions,
};

const EACH: usize = 100;
const VALUE: usize = 100;
const TIME: i64 = 1_795_000_000_000;

/// This thread's own time in nanoseconds: what other programs take of the machine does not count.
fn now() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call fills the struct that is passed.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// The records are there as the C program has them: the compiler knows nothing of their fields.
fn append(partition: &Partition, records: &[Record<'_>], count: u64) -> Result<f64> {
    let mut builder = BatchBuilder::new();
    let start = now();
    for _ in 0..count / EACH as u64 {
        for record in std::hint::black_box(records) {
            builder.push(record, 0)?;
        }
        let batch: Batch = builder.build()?;
        partition.append_with(&batch, AppendOptions::new().durability(Durability::Os))?.wait()?;
        builder = batch.into_builder();
    }
    Ok((now() - start) / count as f64)
}

/// Looks at all that a record has: what nobody looks at the compiler leaves out of the walk.
fn scan(partition: &Partition, from: u64, count: u64) -> Result<f64> {
    let start = now();
    let (mut at, mut bytes, mut firsts) = (from, 0, 0);
    while at < from + count {
        for record in &partition.read(at, ReadOptions::new())? {
            let record = record?;
            assert!(record.offset() == at && record.timestamp() == TIME && record.key().is_none());
            let value = record.value().unwrap_or_default();
            bytes += value.len() as u64;
            firsts += u64::from(value[0]);
            at = record.offset() + 1;
        }
    }
    assert!(bytes == count * VALUE as u64 && firsts > 0);
    Ok((now() - start) / count as f64)
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let words: Vec<String> = std::env::args().collect();
    let [_, directory, rounds, each] = &words[..] else { return Err("give a new directory, rounds, records".into()) };
    let (rounds, each): (u64, u64) = (rounds.parse()?, each.parse()?);
    let values: Vec<Vec<u8>> =
        (0..EACH).map(|i| (0..VALUE).map(|j| ((i * 31 + j * 7) % 251) as u8).collect()).collect();
    let records: Vec<Record<'_>> = values.iter().map(|value| Record::new(value).timestamp(TIME)).collect();
    let engine = Engine::options().durability(Durability::Os).open(directory)?;
    engine.create_topic("t", TopicOptions::new())?;
    let partition = engine.partition("t", 0)?;
    for round in 0..rounds {
        let appended = append(&partition, &records, each)?;
        println!("append {appended:.2}\nscan {:.2}", scan(&partition, round * each, each)?);
    }
    Ok(engine.close()?)
}
