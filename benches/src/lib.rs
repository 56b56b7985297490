//! The workloads that the benches share: 100-byte records, one partition or two, and the same bytes written by hand.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use oncelog::{
    AppendOptions, Batch, Durability, Engine, Offsets, Partition, ProducerOptions, ReadOptions, Record, Result,
    TopicOptions, TopicPartition, TransactionalProducer,
};

/// Bytes of each record's value.
pub const VALUE: usize = 100;

/// Values that differ, so that nothing can be compressed or cached away.
pub fn values(count: usize) -> Vec<Vec<u8>> {
    (0..count).map(|i| (0..VALUE).map(|j| ((i * 31 + j * 7) % 251) as u8).collect()).collect()
}

/// An open log with one topic of two partitions at a level.
pub struct Log {
    /// The engine.
    pub engine: Engine,
    /// Partition 0.
    pub partition: Partition,
    builder: Option<oncelog::BatchBuilder>,
    level: Durability,
}

impl Log {
    /// Makes a log in a directory.
    pub fn open(dir: &Path, level: Durability) -> Result<Log> {
        let engine = Engine::options().durability(level).open(dir)?;
        engine.create_topic("t", TopicOptions::new().partitions(2))?;
        Log::of(engine, level)
    }

    /// On an engine that has the topic.
    pub fn of(engine: Engine, level: Durability) -> Result<Log> {
        let partition = engine.partition("t", 0)?;
        Ok(Log { engine, partition, builder: Some(Batch::builder()), level })
    }

    /// Encodes the values as one batch, appends it and waits for its level.
    pub fn append(&mut self, values: &[Vec<u8>]) -> Result<()> {
        let mut builder = self.builder.take().unwrap_or_else(Batch::builder);
        for value in values {
            builder.push(&Record::new(value), 1_795_000_000_000)?;
        }
        let batch = builder.build()?;
        let options = AppendOptions::new().durability(self.level);
        self.partition.append_with(&batch, options)?.wait()?;
        self.builder = Some(batch.into_builder());
        Ok(())
    }

    /// Appends the values `times` times, shared out among so many threads; returns how long that took.
    pub fn append_side_by_side(&self, threads: u64, times: u64, values: &[Vec<u8>]) -> Result<Duration> {
        let begun = Instant::now();
        std::thread::scope(|scope| {
            let share = |thread: u64| times / threads + u64::from(thread < times % threads);
            let running: Vec<_> = (0..threads)
                .map(|thread| {
                    scope.spawn(move || {
                        let mut log = Log::of(self.engine.clone(), self.level)?;
                        (0..share(thread)).try_for_each(|_| log.append(values))
                    })
                })
                .collect();
            // A thread that panics panics here.
            running.into_iter().try_for_each(|thread| thread.join().expect("a thread that appends does not panic"))
        })?;
        Ok(begun.elapsed())
    }

    /// Reads everything once, verifying checksums; returns how many records.
    pub fn scan(&self) -> Result<u64> {
        let end = self.partition.bounds().end;
        let (mut at, mut bytes) = (0, 0u64);
        while at < end {
            let records = self.partition.read(at, ReadOptions::new())?;
            for record in &records {
                let record = record?;
                bytes += record.value().map_or(0, |v| v.len() as u64);
                at = record.offset() + 1;
            }
        }
        assert_eq!(bytes, end * VALUE as u64);
        Ok(end)
    }
}

/// A transactional producer with its group's next offset.
pub struct Transactions {
    producer: TransactionalProducer,
    next: u64,
}

impl Transactions {
    /// Opens the producer.
    pub fn open(log: &Log) -> Result<Transactions> {
        let options = ProducerOptions::new().durability(log.level);
        Ok(Transactions { producer: log.engine.transactional_producer("bench", options)?, next: 0 })
    }

    /// 100 records over two partitions and one offset, committed.
    pub fn run(&mut self, values: &[Vec<u8>]) -> Result<()> {
        let mut transaction = self.producer.begin_transaction()?;
        let records = values.iter().enumerate().map(|(i, value)| {
            // Half to each.
            Record::new(value).partition(i as u32 % 2).timestamp(1_795_000_000_000)
        });
        transaction.send_many("t", records)?;
        self.next += 1;
        let offsets: Offsets = [(TopicPartition::new("t", 0), self.next.into())].into();
        transaction.send_offsets(&oncelog::GroupMetadata { group: "g".into() }, &offsets)?;
        transaction.commit().map(drop)
    }
}

/// The machine's own limit: the same bytes encoded and written by pwrite into a file of zeros, flushed if asked.
pub struct Bare {
    file: File,
    at: u64,
    size: u64,
    builder: Option<oncelog::BatchBuilder>,
    flush: bool,
}

impl Bare {
    /// Makes the file, `size` bytes of zeros on the device.
    pub fn open(dir: &Path, size: u64, flush: bool) -> std::io::Result<Bare> {
        let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("bare"))?;
        let zeros = vec![0; 64 << 10];
        for at in (0..size).step_by(zeros.len()) {
            file.write_all_at(&zeros, at)?;
        }
        file.sync_all()?;
        Ok(Bare { file, at: 0, size, builder: Some(Batch::builder()), flush })
    }

    /// Encodes the values as one batch and writes it.
    pub fn append(&mut self, values: &[Vec<u8>]) -> Result<()> {
        let mut builder = self.builder.take().unwrap_or_else(Batch::builder);
        for value in values {
            builder.push(&Record::new(value), 1_795_000_000_000)?;
        }
        let batch = builder.build()?;
        let bytes = batch.as_bytes();
        if self.at + bytes.len() as u64 > self.size {
            self.at = 0;
        }
        let written = self.file.write_all_at(bytes, self.at).and_then(|()| match self.flush {
            true => self.file.sync_data(),
            false => Ok(()),
        });
        written.map_err(|e| oncelog::Error::with_source(oncelog::ErrorKind::Io, "the bare write failed", e))?;
        self.at += bytes.len() as u64;
        self.builder = Some(batch.into_builder());
        Ok(())
    }
}
