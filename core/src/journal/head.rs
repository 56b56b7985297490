//! The file `head`: two slots, written in turn, that say where recovery may start, how far the log was durable and
//! whether its close was clean. It is not flushed: a power cut may leave an older one, or none, which costs time. Yet
//! for the last frames nothing else may speak, so one that is there and cannot be read is not taken for none.

use std::io::{ErrorKind, Result};

use crate::format::files::{HEAD_FILE, Head, RECORD, SECOND};
use crate::io::Machine;

/// Writes the next slot, behind those of earlier lives. Nobody waits for it, so its errors are nobody's: the slots stay
/// as they were.
pub fn write(machine: &Machine, sequence: &mut u64, head: Head) {
    let _ = put(machine, sequence, head);
}

fn put(machine: &Machine, sequence: &mut u64, head: Head) -> Result<()> {
    if *sequence == 0 {
        *sequence = read(machine, head.uuid)?.first().map_or(0, |newest| newest.sequence);
    }
    let storage = &machine.storage;
    let file = match storage.open(HEAD_FILE) {
        Err(e) if e.kind() == ErrorKind::NotFound => storage.create(HEAD_FILE, 2 * SECOND)?,
        opened => opened?,
    };
    *sequence += 1;
    let head = Head { sequence: *sequence, ..head };
    file.write_at(&head.write(), Head::slot(*sequence))
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
