//! A log whose transactional ids have nearly used up their epochs: 32,766 calls in the place of a life that makes them.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use oncelog::format::bytes::{put_u16, put_u32};
use oncelog::format::files::{FRAMES, SegmentHeader};
use oncelog::format::frame::{FRAME_HEADER, Frame, Payload, Seal};

use super::raw::NAMES;
use super::streams::TIMEOUT;
use super::*;
use crate::model::raw::Holder;
use crate::model::{Cell, Fate};

type Files = BTreeMap<String, Vec<u8>>;

/// Where the epoch lies in the head of a frame that opens a producer.
const EPOCH: usize = FRAME_HEADER + 16;

/// A log in which the ids were opened once, and what each got.
fn opened() -> &'static (Files, Vec<Identity>) {
    static OPENED: OnceLock<(Files, Vec<Identity>)> = OnceLock::new();
    OPENED.get_or_init(|| {
        let world = World::new(0x776f_726e);
        let engine = lives::options(Durability::Disk).open_on(world.machine()).expect("a log is made");
        let identities = NAMES.map(|name| engine.init_producer(Some(name), TIMEOUT, None).expect("an id is opened"));
        world.kill();
        (world.files(), identities.to_vec())
    })
}

/// Writes another epoch into the frames that opened the ids.
fn wear(files: &mut Files, epoch: i16) -> usize {
    let mut worn = 0;
    for image in files.iter_mut().filter(|(name, _)| name.ends_with(".seg")).map(|(_, image)| image) {
        let header = SegmentHeader::read(image).expect("a segment has a header");
        let (seal, mut at) = (Seal::new(header.salt, header.number), FRAMES as usize);
        while let Ok(frame) = Frame::read(&image[at..], seal, at as u64) {
            let (len, head_len) = (frame.header.len() as usize, frame.header.head_len as usize);
            if matches!(frame.payload(), Ok(Payload::ProducerOpened(_))) {
                let bytes = &mut image[at..at + len];
                put_u16(bytes, EPOCH, epoch.cast_unsigned());
                let checksum = seal.checksum(at as u64, &bytes[4..FRAME_HEADER + head_len]);
                put_u32(bytes, 0, checksum);
                worn += 1;
            }
            at += len;
        }
    }
    worn
}

impl Driver {
    /// Begins with a log whose ids have so many epochs left.
    pub fn begin_worn(&mut self) {
        let epoch = 32_766 - self.rng.below(8) as i16;
        let (mut files, identities) = opened().clone();
        assert_eq!(wear(&mut files, epoch), NAMES.len());
        self.world = World::with_files(self.rng.next_u64(), files);
        for (name, identity) in NAMES.into_iter().zip(identities) {
            self.issued.insert(identity.producer_id);
            let holder = Holder { epoch, ..Holder::new(identity.producer_id) };
            let sets = vec![(Cell::Holder(name.to_owned()), Some(holder.text()))];
            let id = self.history.begin(format!("{name} had {epoch} calls"), vec![], sets);
            let op = &mut self.history.ops[id];
            (op.acked, op.fate) = (Some(Durability::Disk), Fate::Kept);
        }
    }
}
