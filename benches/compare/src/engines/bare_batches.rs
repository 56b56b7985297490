//! What a log of record batches can do without any engine: Kafka's batches, made by the encoder that ours has, behind a
//! frame's head with its sum, written by one system call, from where they are, into a file that grows, where zeros go
//! first, a piece at a time. No offsets, no state, nobody to read it.

use std::cell::RefCell;
use std::fs::File;
use std::io::{IoSlice, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

use ::oncelog::{BatchBuilder, Record};
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
        Workload::Durable1 | Workload::TransactionDurable => None,
        _ => Some("see bare pwrite"),
    },
    differs: |_| None,
    settings: "one write per call, of several pieces so that nothing is copied, of the record batches (v2) that our \
               log writes, made by its encoder, with their checksums, behind a frame's head and its checksum, into a \
               file of 256 MiB; the zeros are written while it runs, a piece whenever a call would go beyond the last \
               one; fdatasync where durable, which writes the zeros out too",
};

const SIZE: u64 = 256 << 20;
/// What a builder leaves free in front of its batch.
const FREE: usize = 40;
/// A frame's head; what stands in it for each part of a transaction, and for its offsets.
const HEAD: usize = 40;
const PART: usize = 32;
const OFFSETS: usize = 80;
/// The head of a record batch, which a frame's checksum covers too.
const BATCH_HEAD: usize = 61;
const TIME: i64 = 1_795_000_000_000;

thread_local! {
    static BUILDERS: RefCell<[BatchBuilder; 2]> = RefCell::default();
}

struct Batches {
    file: File,
    flush: bool,
    end: Mutex<End>,
}

#[derive(Default)]
struct End {
    at: u64,
    zeros: u64,
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let file = File::options().read(true).write(true).create_new(true).open(dir.join("batches"))?;
    file.set_len(SIZE)?;
    Ok(Box::new(Batches { file, flush: level == Level::Disk, end: Mutex::default() }))
}

impl Batches {
    /// Writes a frame with a batch of each part, behind a head of so many bytes.
    fn put<const N: usize, const HEAD: usize>(&self, parts: [&[Value]; N]) -> Result<()> {
        BUILDERS.with_borrow_mut(|builders| {
            for (builder, part) in builders.iter_mut().zip(parts) {
                builder.reset();
                for value in part {
                    builder.push(&Record::new(value), TIME)?;
                }
            }
            let (mut head, mut all, mut count, mut len) = ([1; HEAD], [IoSlice::new(&[]); 3], 1, HEAD);
            let mut sum = crc32c::crc32c(&head[4..]);
            for builder in builders.iter_mut().take(N) {
                let batch = &builder.finish()[FREE..];
                if count == 1 {
                    sum = crc32c::crc32c_append(sum, &batch[..BATCH_HEAD]);
                }
                (all[count], count, len) = (IoSlice::new(batch), count + 1, len + batch.len());
            }
            head[..4].copy_from_slice(&sum.to_le_bytes());
            all[0] = IoSlice::new(&head);
            self.write(&all[..count], len)
        })
    }

    fn write(&self, frame: &[IoSlice<'_>], len: usize) -> Result<()> {
        let end = &mut *self.end.lock();
        let to = end.at + len as u64;
        while end.zeros < to {
            self.file.write_all_at(&PIECE_OF_ZEROS, end.zeros)?;
            end.zeros += PIECE as u64;
        }
        // The file stands where it was written last, for the zeros do not move it.
        if (&self.file).write_vectored(frame)? < len {
            return Err("a frame was cut".into());
        }
        end.at = to;
        if self.flush { Ok(self.file.sync_data()?) } else { Ok(()) }
    }
}

impl Store for Batches {
    fn append(&self, values: &[Value]) -> Result<()> {
        self.put::<1, HEAD>([values])
    }

    fn transaction(&self, values: &[Value], _offset: u64) -> Result<()> {
        let [(_, first), (_, second)] = halves(values);
        self.put::<2, { HEAD + 2 * PART + OFFSETS }>([first, second])
    }
}
