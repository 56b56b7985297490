//! What the processor and its memory can do at all: checksum, and a copy into a mapped file. No system call.

use std::fs::File;
use std::path::Path;

use memmap2::{Mmap, MmapMut};

use super::bare::{frame, records};
use crate::store::{Engine, Level, Result, Store};
use crate::values::Value;
use crate::workload::Workload;
use parking_lot::Mutex;

pub const ENGINE: Engine = Engine {
    name: "bare mapping",
    package: "",
    open,
    lacks: |workload| match workload {
        Workload::AppendMemory => None,
        _ => Some("see bare pwrite"),
    },
    differs: |_| None,
    settings: "length, crc32c and records copied into a shared mapping of 256 MiB whose pages are there",
};

const BYTES: usize = 256 << 20;

struct Mapped(Mutex<(MmapMut, usize, Vec<u8>)>);

fn open(dir: &Path, _level: Level) -> Result<Box<dyn Store>> {
    let file = File::options().read(true).write(true).create(true).truncate(true).open(dir.join("mapped"))?;
    file.set_len(BYTES as u64)?;
    // SAFETY: the file lies in a directory of this process's own; nobody else writes or shortens it.
    #[allow(unsafe_code, reason = "the limit of a mapping needs a mapping")]
    let mut map = unsafe { MmapMut::map_mut(&file) }?;
    map.fill(0);
    Ok(Box::new(Mapped(Mutex::new((map, 0, Vec::new())))))
}

/// A file's bytes, to read.
pub fn view(file: &File) -> Result<Mmap> {
    // SAFETY: the file lies in a directory of this process's own, and nobody writes or shortens it during the scan.
    #[allow(unsafe_code, reason = "the limit of a mapping needs a mapping")]
    Ok(unsafe { Mmap::map(file) }?)
}

impl Store for Mapped {
    fn append(&self, values: &[Value]) -> Result<()> {
        let mut held = self.0.lock();
        let (map, at, bytes) = &mut *held;
        bytes.clear();
        frame(bytes, |bytes| records(bytes, values));
        if *at + bytes.len() > BYTES {
            *at = 0;
        }
        map[*at..*at + bytes.len()].copy_from_slice(bytes);
        *at += bytes.len();
        Ok(())
    }
}
