//! Rot: bytes that were durable change. On copies of the directory, so that the run goes on with the sound one. What a
//! reader gets is right or refused as Corrupt; nothing is cut, and nothing beside the rot is lost but by name.

use std::collections::BTreeMap;

use oncelog::sim::World;
use oncelog::{AppendOptions, Batch, Engine, ErrorKind, Isolation, Partition, Record};

use super::lives::{intact, options};
use super::look::{observe, read_once};
use super::*;
use crate::model::oracle::{Observation, PartitionSeen, same};

type Files = BTreeMap<String, Vec<u8>>;

/// Where frames begin in a segment.
const FRAMES: usize = 8192;
/// Room for the frame that ends a quiet log by saying what is durable.
const MARK: usize = 64;

/// Bytes of a file up to the last one that is not zero.
fn used(image: &[u8]) -> usize {
    image.iter().rposition(|b| *b != 0).map_or(0, |at| at + 1)
}

impl Driver {
    /// Lets one place rot. `closed`: the log was closed, so its newest checkpoint holds everything.
    pub fn rot(&mut self, closed: bool) -> Check {
        let files = self.world.files();
        let sound = intact(&self.copy(files.clone()), self.level, &self.history)?;
        match self.rng.below(3) {
            0 => self.rot_checkpoint(files, &sound),
            kind => self.rot_record(files, &sound, kind == 1, closed),
        }
    }

    /// The newest checkpoint rots: the older one serves, and nothing at all is lost.
    fn rot_checkpoint(&mut self, files: Files, sound: &Observation) -> Check {
        let Some((name, position)) = newest_checkpoint(&files) else { return Ok(()) };
        self.note(format!("rot in the checkpoint at {position} of {name}"));
        let world = self.copy(files);
        let old = world.files()[&name][position];
        world.damage(&name, position as u64, &[old ^ 0x10]);
        let engine = options(self.level).open_on(world.machine());
        let engine = engine.map_err(|e| format!("rot in the newest checkpoint: the log does not open: {e}"))?;
        let seen = observe(&engine, &self.history)?;
        self.count(&world);
        same("rot in the newest checkpoint: topic", &sound.topics, &seen.topics)?;
        if sound.offsets != seen.offsets || sound.decisions != seen.decisions {
            return Err("rot in the newest checkpoint: the older one answers otherwise".into());
        }
        if (&sound.statuses, &sound.unstable) != (&seen.statuses, &seen.unstable) {
            return Err("rot in the newest checkpoint: by the older one transactions stand otherwise".into());
        }
        Ok(())
    }

    /// A record rots, by a bit or by zeros over it and what follows.
    fn rot_record(&mut self, files: Files, sound: &Observation, zeros: bool, closed: bool) -> Check {
        let Some((name, position)) = self.some_record(&files, sound) else { return Ok(()) };
        let old = files[&name][position];
        let length = if zeros { 1 + self.rng.index(600) } else { 1 };
        // If nothing behind the rot is left to say that it was durable, nobody can tell it from a torn tail.
        let last = files.iter().rfind(|(name, image)| name.ends_with(".seg") && used(image) > FRAMES);
        if last.is_none_or(|(newest, image)| *newest == name && position + length + MARK > used(image)) {
            return Ok(());
        }
        let world = self.copy(files);
        self.note(format!("rot of {length} bytes at {position} of {name}, zeros: {zeros}, closed: {closed}"));
        world.damage(&name, position as u64, &if zeros { vec![0; length] } else { vec![old ^ 0x04] });
        let engine = options(self.level).open_on(world.machine());
        let engine = engine.map_err(|e| format!("rot in a record: the log does not open: {e}"))?;
        let below = closed && !zeros;
        let hit = look_beside_rot(&engine, sound, below)?;
        self.count(&world);
        if hit == 0 {
            return Err("rot: a record's bytes changed and no read says so".into());
        }
        let found = engine.verify().map_err(|e| format!("rot: it cannot be verified: {e}"))?;
        if !found.damage.iter().any(|damage| damage.file == name) {
            return Err(format!("rot: a record's bytes changed and it is verified: {found:?}"));
        }
        match append_beside_rot(&engine, sound) {
            Err(error) if error.kind() == ErrorKind::Corrupt && !below => self.accept_loss(engine, &world, sound),
            answer => answer.map_err(|e| format!("rot, below the checkpoint: {below}: an append answers {e}")),
        }
    }

    /// Above the checkpoint a log with rot is for reading only, until its owner accepts the loss.
    fn accept_loss(&mut self, engine: Engine, world: &World, sound: &Observation) -> Check {
        engine.close().map_err(|e| format!("rot: the log does not close: {e}"))?;
        drop(engine);
        let engine = options(self.level).accept_loss(true).open_on(world.machine());
        let engine = engine.map_err(|e| format!("rot: the log does not open with accept_loss: {e}"))?;
        look_beside_rot(&engine, sound, false)?;
        append_beside_rot(&engine, sound).map_err(|e| format!("rot: an append after accept_loss answers {e}"))
    }

    /// Where a record of the log lies in its file.
    fn some_record(&mut self, files: &Files, sound: &Observation) -> Option<(String, usize)> {
        let partitions = sound.topics.values().flat_map(|t| &t.partitions);
        let all: Vec<&Vec<u8>> = partitions.flat_map(|p| p.uncommitted.iter().map(|(_, bytes)| bytes)).collect();
        if all.is_empty() {
            return None;
        }
        let bytes = all[self.rng.index(all.len())];
        // "record N ": the record's own number, with the blank behind it, is in the log once. Dead space may hold it
        // too, in a tail that was cut or in garbage that a power cut made; found twice, nobody knows which one counts.
        let length = bytes.iter().enumerate().filter(|(_, b)| **b == b' ').nth(1)?.0 + 1;
        let needle = &bytes[..length];
        let mut found = Vec::new();
        for (name, image) in files.iter().filter(|(name, _)| name.ends_with(".seg")) {
            let at = image.windows(length).enumerate().filter(|(_, w)| *w == needle);
            found.extend(at.map(|(at, _)| (name.clone(), at + "record ".len())));
        }
        found.pop().filter(|_| found.is_empty())
    }
}

/// Reads record by record: each is as it was, or refused as damaged. Above the checkpoint the partition may end before,
/// or not be there, since nobody knows any more what was lost; then the log refuses appends. Returns how many records
/// are lost.
fn look_beside_rot(engine: &Engine, sound: &Observation, below: bool) -> Result<usize, String> {
    let mut hit = 0;
    let listed = engine.topics().map_err(|e| format!("rot in a record: topics: {e}"))?;
    for (topic, t) in &sound.topics {
        // With the frames that deleted it and made it again, an older life of the name comes back.
        if !below && listed.iter().any(|info| info.name == *topic && info.id != t.id) {
            hit += 1;
            continue;
        }
        for (number, p) in t.partitions.iter().enumerate() {
            match engine.partition(topic, number as u32) {
                Ok(partition) => hit += look_at_partition(&partition, p, below)?,
                Err(_) if !below => hit += 1,
                Err(error) => return Err(format!("rot in a record: {topic}-{number}: {error}")),
            }
        }
    }
    Ok(hit)
}

fn look_at_partition(partition: &Partition, sound: &PartitionSeen, below: bool) -> Result<usize, String> {
    let end = partition.bounds().end;
    let mut hit = 0;
    for (offset, bytes) in &sound.uncommitted {
        match read_once(partition, *offset, Isolation::ReadUncommitted, 1) {
            Ok(records) if records.first() == Some(&(*offset, bytes.clone())) => {}
            Err(error) if error.kind() == ErrorKind::Corrupt => hit += 1,
            _ if !below && *offset >= end => hit += 1,
            answer => {
                let told = answer.map(|r| r.first().map(|(o, b)| (*o, crate::model::short(b))));
                return Err(format!("rot: {partition:?} offset {offset} answers {told:?}, end={end}"));
            }
        }
    }
    Ok(hit)
}

/// Appends a record to some partition that is left.
fn append_beside_rot(engine: &Engine, sound: &Observation) -> oncelog::Result<()> {
    let open = |topic: &String| engine.partition(topic, 0).ok();
    let Some(partition) = sound.topics.keys().find_map(open) else { return Ok(()) };
    let mut builder = Batch::builder();
    builder.push(&Record::new(b"after the rot"), 0)?;
    partition.append_with(&builder.build()?, AppendOptions::default())?.wait().map(drop)
}

/// Segment and byte of the newest checkpoint part's body.
fn newest_checkpoint(files: &Files) -> Option<(String, usize)> {
    const CHECKPOINT: u8 = 9;
    let word = |image: &[u8], at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes"));
    let mut newest = None;
    for (name, image) in files.iter().filter(|(name, _)| name.ends_with(".seg")) {
        for at in (FRAMES..image.len().saturating_sub(96)).step_by(8) {
            // Kind 9, flags 0 or 1, no key, a head of 48 bytes, a body that is there.
            let shape = image[at + 4] == CHECKPOINT && image[at + 5] <= 1 && image[at + 6..at + 8] == [0, 0];
            let (head, body) = (word(image, at + 8), word(image, at + 12));
            if shape && head == 48 && body > 0 && at + 88 + body as usize <= image.len() {
                let lsn = u64::from_le_bytes(image[at + 16..at + 24].try_into().expect("eight bytes"));
                newest = newest.max(Some((lsn, name.clone(), at + 88 + body as usize / 2)));
            }
        }
    }
    newest.map(|(_, name, at)| (name, at))
}
