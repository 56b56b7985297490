//! What the machine can do at all: length and checksum in front of the records, written by pwrite into a file of zeros,
//! flushed by fdatasync. Writers that wait for a flush share it. Nothing else: no offsets, no index, no second file.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use parking_lot::{Condvar, Mutex};

use crate::store::{Engine, Level, Result, Store, halves};
use crate::values::{Seen, Value};
use crate::workload::Workload;

pub const ENGINE: Engine = Engine {
    name: "bare pwrite",
    package: "",
    open,
    lacks,
    differs: |_| None,
    settings: "one pwrite of length, crc32c and records per call into a file of which 256 MiB have been written \
         with zeros \
               before (in pieces of 64 KiB: larger ones make large folios, into which small writes are dearer), \
               fdatasync \
               where durable, shared by the threads that wait; the scan goes over one mapping",
};

const ZEROS: u64 = 256 << 20;
pub const PIECE: usize = 64 << 10;
pub static PIECE_OF_ZEROS: [u8; PIECE] = [0; PIECE];

struct Bare {
    file: File,
    flush: bool,
    group: Mutex<Group>,
    moved: Condvar,
}

#[derive(Default)]
struct Group {
    bytes: Vec<u8>,
    spare: Vec<u8>,
    /// Where the group will lie.
    at: u64,
    /// Bytes ever put in, and ever flushed.
    taken: u64,
    done: u64,
    leading: bool,
    flushes: u64,
}

fn lacks(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::ScanAborted | Workload::Reopen | Workload::ReopenKilled => Some("no engine"),
        _ => None,
    }
}

fn open(dir: &Path, level: Level) -> Result<Box<dyn Store>> {
    let path = dir.join("bare");
    let made = !path.exists();
    let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
    if made {
        for at in (0..ZEROS).step_by(PIECE) {
            file.write_all_at(&PIECE_OF_ZEROS, at)?;
        }
        file.sync_all()?;
    }
    Ok(Box::new(Bare { file, flush: level == Level::Disk, group: Mutex::default(), moved: Condvar::new() }))
}

/// Length and checksum of what `fill` adds, in front of it.
pub fn frame(bytes: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
    let head = bytes.len();
    bytes.extend_from_slice(&[0; 8]);
    fill(bytes);
    let (length, sum) = ((bytes.len() - head - 8) as u32, crc32c::crc32c(&bytes[head + 8..]));
    bytes[head..head + 4].copy_from_slice(&length.to_le_bytes());
    bytes[head + 4..head + 8].copy_from_slice(&sum.to_le_bytes());
}

/// Each record with its length.
pub fn records(bytes: &mut Vec<u8>, values: &[Value]) {
    for value in values {
        bytes.extend_from_slice(&(value.len() as u32).to_le_bytes());
        bytes.extend_from_slice(value);
    }
}

impl Bare {
    fn put(&self, fill: impl FnOnce(&mut Vec<u8>)) -> Result<()> {
        let mut group = self.group.lock();
        let before = group.bytes.len();
        frame(&mut group.bytes, fill);
        group.taken += (group.bytes.len() - before) as u64;
        if !self.flush {
            self.file.write_all_at(&group.bytes, group.at)?;
            group.at += group.bytes.len() as u64;
            group.bytes.clear();
            return Ok(());
        }
        let mine = group.taken;
        while group.done < mine {
            if group.leading {
                self.moved.wait(&mut group);
                continue;
            }
            group.leading = true;
            let (at, end) = (group.at, group.taken);
            let spare = std::mem::take(&mut group.spare);
            let mut bytes = std::mem::replace(&mut group.bytes, spare);
            group.at += bytes.len() as u64;
            drop(group);
            self.file.write_all_at(&bytes, at)?;
            self.file.sync_data()?;
            bytes.clear();
            group = self.group.lock();
            (group.spare, group.done, group.leading) = (bytes, end, false);
            group.flushes += 1;
            self.moved.notify_all();
        }
        Ok(())
    }
}

impl Store for Bare {
    fn append(&self, values: &[Value]) -> Result<()> {
        self.put(|bytes| records(bytes, values))
    }

    fn transaction(&self, values: &[Value], offset: u64) -> Result<()> {
        self.put(|bytes| {
            for (partition, half) in halves(values) {
                bytes.extend_from_slice(&(partition as u32).to_le_bytes());
                bytes.extend_from_slice(&(half.len() as u32).to_le_bytes());
                records(bytes, half);
            }
            bytes.extend_from_slice(&offset.to_le_bytes());
        })
    }

    fn scan(&self) -> Result<Seen> {
        let map = super::bare_map::view(&self.file)?;
        let mut seen = Seen::default();
        let mut rest = &map[..];
        while let Some((head, behind)) = rest.split_first_chunk::<8>() {
            let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
            if length == 0 {
                break;
            }
            let (mut body, behind) = behind.split_at(length);
            if crc32c::crc32c(body).to_le_bytes() != head[4..] {
                return Err("a checksum does not fit".into());
            }
            while let Some((length, behind)) = body.split_first_chunk() {
                let (value, behind) = behind.split_at(u32::from_le_bytes(*length) as usize);
                seen.take(value);
                body = behind;
            }
            rest = behind;
        }
        Ok(seen)
    }

    fn flushes(&self) -> Option<u64> {
        Some(self.group.lock().flushes)
    }
}
