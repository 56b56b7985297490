//! The file `head`: two slots, written in turn, that say where recovery may start, how far the log was durable and
//! whether its close was clean. It is not flushed: a power cut may leave an older one, or none, which costs time. Yet
//! for the last frames nothing else may speak, so one that is there and cannot be read is not taken for none.

use std::io::{ErrorKind, Result};

use crate::format::files::{HEAD_FILE, Head, RECORD, SECOND};
use crate::io::Machine;

/// Who writes the slots of this life, one at a time.
#[derive(Debug, Default)]
pub struct Heads {
    /// Of the newest slot; 0 before it is known.
    sequence: u64,
    ended: bool,
}

impl Heads {
    /// Writes the next slot, behind those of earlier lives. Nobody waits for it, so its errors are nobody's: the slots
    /// stay as they were. Behind a clean one, and behind `end`, nothing is written.
    pub fn write(&mut self, machine: &Machine, head: Head) {
        if !self.ended {
            self.ended = head.clean;
            let _ = self.put(machine, head);
        }
    }

    /// The directory may be somebody else's from here on.
    pub fn end(&mut self) {
        self.ended = true;
    }

    fn put(&mut self, machine: &Machine, head: Head) -> Result<()> {
        if self.sequence == 0 {
            self.sequence = read(machine, head.uuid)?.first().map_or(0, |newest| newest.sequence);
        }
        let storage = &machine.storage;
        let file = match storage.open(HEAD_FILE) {
            Err(e) if e.kind() == ErrorKind::NotFound => storage.create(HEAD_FILE, 2 * SECOND)?,
            opened => opened?,
        };
        self.sequence += 1;
        let head = Head { sequence: self.sequence, ..head };
        file.write_at(&head.write(), Head::slot(self.sequence))
    }
}

/// The valid slots of this log, the newer first; none if there is no such file.
pub fn read(machine: &Machine, uuid: [u8; 16]) -> Result<Vec<Head>> {
    let file = match machine.storage.open(HEAD_FILE) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        opened => opened?,
    };
    let mut heads = Vec::with_capacity(2);
    for at in [0, SECOND] {
        let mut bytes = [0; RECORD];
        let got = file.read_at(&mut bytes, at)?;
        heads.extend(Head::read(&bytes[..got]).filter(|h| h.uuid == uuid));
    }
    heads.sort_by_key(|h| std::cmp::Reverse(h.sequence));
    Ok(heads)
}
