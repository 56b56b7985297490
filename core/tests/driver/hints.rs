//! Hints that are lost: footers, `head`, one of the two headers of a segment, checkpoints. Not on a copy: the log
//! itself is opened without them, this once or for good, goes on, and answers as if nothing had been.

use std::collections::BTreeMap;

use oncelog::format::files::{FRAMES, HEAD_FILE, RECORD, SECOND, SegmentHeader};
use oncelog::format::footer;
use oncelog::format::frame::{FRAME_HEADER, Frame, FrameHeader, Kind, Seal};

use super::*;

/// Bytes that were written over.
pub struct Lost {
    file: String,
    position: usize,
    were: Vec<u8>,
    are: Vec<u8>,
    for_good: bool,
}

/// A frame as it lies in a segment.
pub struct Lying {
    pub at: usize,
    pub header: FrameHeader,
}

impl Lying {
    /// Where its body begins.
    pub fn body(&self) -> usize {
        self.at + FRAME_HEADER + self.header.head_len as usize
    }
}

/// What a segment is, by the one of its headers that is whole.
pub fn header(image: &[u8]) -> Option<SegmentHeader> {
    let second = || SegmentHeader::read(image.get(SECOND as usize..)?).ok();
    SegmentHeader::read(image).ok().or_else(second)
}

/// The frames of a segment, up to the first whose head is damaged.
pub fn frames(image: &[u8]) -> Vec<Lying> {
    let (mut all, mut at) = (Vec::new(), FRAMES as usize);
    let Some(header) = header(image) else { return all };
    let seal = Seal::new(header.salt, header.number);
    while let Some(Ok(frame)) = image.get(at..).map(|rest| Frame::read(rest, seal, at as u64)) {
        all.push(Lying { at, header: frame.header });
        at += frame.header.len() as usize;
    }
    all
}

fn segments(files: &BTreeMap<String, Vec<u8>>) -> impl Iterator<Item = (&String, &Vec<u8>)> {
    files.iter().filter(|(name, _)| name.ends_with(".seg"))
}

/// Where the footer of a segment lies, if it has one.
fn footer_of(image: &[u8]) -> Option<std::ops::Range<usize>> {
    let at = header(image)?.size as usize;
    // One that was torn while it was written may say anything.
    let len = footer::length(image.get(at..)?).filter(|len| *len > 0)?;
    let end = at.checked_add(usize::try_from(len).ok()?)?;
    (end <= image.len()).then_some(at..end)
}

impl Driver {
    /// Short lives, so that what stays open goes through many segments that go on without their hints.
    pub fn hand_over(&mut self) -> Check {
        if self.keeps && self.forgets { self.close_and_reopen() } else { Ok(()) }
    }

    /// Before an opening. `quiet`: all of the log is durable, and frames behind the newest checkpoint say so.
    pub fn lose_hints(&mut self, quiet: bool) {
        if !self.forgets || self.rng.chance(1, 3) {
            return;
        }
        let files = self.world.files();
        if self.rng.chance(3, 4) {
            self.lose_footers(&files);
        }
        if self.rng.chance(1, 4) {
            self.lose_head(&files);
        }
        if self.rng.chance(1, 6) {
            self.lose_headers(&files);
        }
        if quiet && self.rng.chance(1, 4) {
            self.lose_checkpoints(&files);
        }
        let for_good = self.rng.chance(1, 2);
        self.lost.iter_mut().for_each(|lost| lost.for_good |= for_good);
    }

    /// What was lost for one opening is there again, unless something else took its place. `all`: so is what was lost
    /// for good, since a power cut may take the frame that says how much was durable; then rot looks like a torn tail.
    pub fn find_again(&mut self, all: bool) {
        let (found, gone): (Vec<Lost>, _) =
            std::mem::take(&mut self.lost).into_iter().partition(|lost| all || !lost.for_good);
        self.lost = gone;
        for lost in found {
            let files = self.world.files();
            let place = files.get(&lost.file).and_then(|image| image.get(lost.position..)?.get(..lost.are.len()));
            if place == Some(&*lost.are) {
                self.note(format!("{} bytes at {} of {} are found again", lost.are.len(), lost.position, lost.file));
                self.world.damage(&lost.file, lost.position as u64, &lost.were);
            }
        }
    }

    fn lose(&mut self, what: &'static str, file: &str, position: usize, (were, are): (&[u8], Vec<u8>)) {
        self.note(format!("lose {what}: {} bytes at {position} of {file}", are.len()));
        self.world.damage(file, position as u64, &are);
        *self.copies.entry(what).or_default() += 1;
        self.lost.push(Lost { file: file.to_owned(), position, were: were.to_vec(), are, for_good: false });
    }

    /// A bit flips, or all of it is gone.
    fn spoilt(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut spoilt = bytes.to_vec();
        match self.rng.chance(2, 3) {
            true => spoilt[self.rng.index(bytes.len())] ^= 1 << self.rng.below(8),
            false => spoilt.fill(0),
        }
        spoilt
    }

    /// Those of some segments: damaged, gone, another segment's, or as they were in an earlier life.
    fn lose_footers(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        let all: Vec<(&String, usize, &[u8])> = segments(files)
            .filter_map(|(name, image)| footer_of(image).map(|at| (name, at.start, &image[at])))
            .collect();
        let most = [1, 2, 4][self.rng.index(3)];
        for (name, at, bytes) in &all {
            let known = self.footers.entry((*name).clone()).or_insert_with(|| bytes.to_vec()).clone();
            if !self.rng.chance(most, 4) {
                continue;
            }
            let others: &[u8] = match self.rng.below(6) {
                0 => all[self.rng.index(all.len())].2,
                1 => &known,
                _ => &[],
            };
            let instead = match others.len().min(bytes.len()) {
                0 => self.spoilt(bytes),
                len => others[..len].to_vec(),
            };
            if instead[..] != bytes[..instead.len()] {
                self.lose("footer that is lost", name, *at, (&bytes[..instead.len()], instead));
            }
        }
    }

    /// One slot or both.
    fn lose_head(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        let Some(image) = files.get(HEAD_FILE) else { return };
        let which = self.rng.below(3);
        for (n, at) in [0, SECOND as usize].into_iter().enumerate().filter(|(n, _)| *n as u64 != which) {
            let Some(slot) = image.get(at..at + RECORD) else { continue };
            let spoilt = self.spoilt(slot);
            self.lose(
                if n == 0 { "first slot of head that is lost" } else { "second slot of head that is lost" },
                HEAD_FILE,
                at,
                (slot, spoilt),
            );
        }
    }

    /// One of the two that each segment has: always the same, or both would be gone in time.
    fn lose_headers(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        for (name, image) in segments(files) {
            let Some(header) = header(image).filter(|_| self.rng.chance(1, 2)) else { continue };
            let at = if header.number.is_multiple_of(2) { 0 } else { SECOND as usize };
            // A file whose making a power cut tore may end before its second header.
            let Some(copy) = image.get(at..at + RECORD) else { continue };
            let spoilt = self.spoilt(copy);
            self.lose("header that is lost", name, at, (copy, spoilt));
        }
    }

    /// The bodies of the newest, or of all: an older one serves, or the log is folded from its start.
    fn lose_checkpoints(&mut self, files: &BTreeMap<String, Vec<u8>>) {
        let all: Vec<(&String, &Vec<u8>, Vec<Lying>)> =
            segments(files).map(|(name, image)| (name, image, frames(image))).collect();
        let stated = all.iter().flat_map(|(_, _, frames)| frames).map(|frame| frame.header.durable_lsn).max();
        let is_checkpoint = |frame: &&Lying| {
            frame.header.kind == Kind::Checkpoint as u8 && frame.header.body_len > 0 && Some(frame.header.lsn) <= stated
        };
        let lsns = all.iter().flat_map(|(_, _, frames)| frames).filter(is_checkpoint).map(|frame| frame.header.lsn);
        let Some(newest) = lsns.max() else { return };
        let from = if self.rng.chance(1, 3) { 0 } else { newest };
        for (name, image, frames) in &all {
            for frame in frames.iter().filter(is_checkpoint).filter(|frame| frame.header.lsn >= from) {
                let body = &image[frame.body()..frame.body() + frame.header.body_len as usize];
                let at = self.rng.index(body.len());
                self.lose("checkpoint that is lost", name, frame.body() + at, (&body[at..=at], vec![body[at] ^ 0x20]));
            }
        }
    }
}
