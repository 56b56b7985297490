//! The file `head`: two slots, written in turn, that say where recovery may start. A wrong or missing hint costs time,
//! never data, so its errors are nobody's.

use crate::format::files::{HEAD_FILE, Head, RECORD, SECOND};
use crate::io::Machine;

/// Writes the next slot, behind those of earlier lives.
pub fn write(machine: &Machine, sequence: &mut u64, head: Head) {
    if *sequence == 0 {
        *sequence = read(machine, head.uuid).first().map_or(0, |newest| newest.sequence);
    }
    let storage = &machine.storage;
    let file = storage.open(HEAD_FILE).or_else(|_| storage.create(HEAD_FILE, 2 * SECOND));
    if let Ok(file) = file {
        *sequence += 1;
        let head = Head { sequence: *sequence, ..head };
        let _ = file.write_at(&head.write(), Head::slot(*sequence));
    }
}

/// The valid slots of this log, the newer first.
pub fn read(machine: &Machine, uuid: [u8; 16]) -> Vec<Head> {
    let Ok(file) = machine.storage.open(HEAD_FILE) else { return Vec::new() };
    let mut heads: Vec<Head> = [0, SECOND]
        .into_iter()
        .filter_map(|at| {
            let mut bytes = [0; RECORD];
            let got = file.read_at(&mut bytes, at).ok()?;
            Head::read(&bytes[..got]).filter(|h| h.uuid == uuid)
        })
        .collect();
    heads.sort_by_key(|h| std::cmp::Reverse(h.sequence));
    heads
}
