//! What a log of record batches can do without any engine: Kafka's batches, made by the encoder that ours has, behind a
//! frame's head with its sum, written by one pwrite a call into a file that grows, where zeros go first, a piece at a
//! time. No offsets, no state, nobody to read it.

use std::cell::RefCell;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use ::oncelog::{Batch, BatchBuilder, Record};
use parking_lot::Mutex;

use super::bare::{PIECE, PIECE_OF_ZEROS};
use crate::store::{Engine, Level, Result, Store, halves};
use crate::values::Value;
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "bare pwrite, our batches",
    package: "",
    open,
    lacks: |workload| match workload {
        Workload::Append1 | Workload::Append100 | Workload::Append8 | Workload::Transaction => None,
        _ => Some("see bare pwrite"),
    },
    differs: |_| None,
    settings: "one pwrite per call of the record batches (v2) that our log writes, made by its encoder, with their \
               checksums, behind a frame's head and its checksum, into a file of 256 MiB; the zeros are written while \
               it runs, a piece whenever a call would go beyond the last one",
};

const SIZE: u64 = 256 << 20;
/// A frame's head; what stands in it for each part of a transaction, and for its offsets.
const HEAD: usize = 40;
const PART: usize = 32;
const OFFSETS: usize = 80;
/// The head of a record batch, which a frame's checksum covers too.
const BATCH_HEAD: usize = 61;
const TIME: i64 = 1_795_000_000_000;

thread_local! {
    static BUILDERS: RefCell<Vec<BatchBuilder>> = const { RefCell::new(Vec::new()) };
}

struct Batches {
    file: File,
    end: Mutex<End>,
}

#[derive(Default)]
struct End {
    at: u64,
    zeros: u64,
    bytes: Vec<u8>,
}

fn open(dir: &Path, _level: Level) -> Result<Box<dyn Store>> {
    let file = File::options().read(true).write(true).create_new(true).open(dir.join("batches"))?;
    file.set_len(SIZE)?;
    Ok(Box::new(Batches { file, end: Mutex::default() }))
}

impl Batches {
    /// Writes a frame whose head has `more` bytes than the smallest.
    fn put(&self, parts: &[&[Value]], more: usize) -> Result<()> {
        BUILDERS.with_borrow_mut(|builders| {
            let mut batches = Vec::with_capacity(parts.len());
            for part in parts {
                let mut builder = builders.pop().unwrap_or_else(Batch::builder);
                for value in *part {
                    builder.push(&Record::new(value), TIME)?;
                }
                batches.push(builder.build()?);
            }
            self.write(&batches, HEAD + more)?;
            builders.extend(batches.into_iter().map(Batch::into_builder));
            Ok(())
        })
    }

    fn write(&self, batches: &[Batch], head: usize) -> Result<()> {
        let end = &mut *self.end.lock();
        end.bytes.clear();
        end.bytes.resize(head, 1);
        for batch in batches {
            end.bytes.extend_from_slice(batch.as_bytes());
        }
        let sum = crc32c::crc32c(&end.bytes[4..head + BATCH_HEAD]);
        end.bytes[..4].copy_from_slice(&sum.to_le_bytes());
        let to = end.at + end.bytes.len() as u64;
        while end.zeros < to {
            self.file.write_all_at(&PIECE_OF_ZEROS, end.zeros)?;
            end.zeros += PIECE as u64;
        }
        self.file.write_all_at(&end.bytes, end.at)?;
        end.at = to;
        Ok(())
    }
}

impl Store for Batches {
    fn append(&self, values: &[Value]) -> Result<()> {
        self.put(&[values], 0)
    }

    fn transaction(&self, values: &[Value], _offset: u64) -> Result<()> {
        let [(_, first), (_, second)] = halves(values);
        self.put(&[first, second], 2 * PART + OFFSETS)
    }
}
