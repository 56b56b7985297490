//! Everything that can be read of a frame, read.

use oncelog::format::batch::BatchHeader;
use oncelog::format::control::OffsetsBlock;
use oncelog::format::frame::{FRAME_HEADER, Frame, Payload};

use crate::sealing::Home;

/// Reads a frame and all of its content, if it is one; nothing is counted more often than its bytes allow.
pub fn walk(bytes: &[u8], home: Home) -> Option<()> {
    let frame = Frame::read(bytes, home.seal, home.position).ok()?;
    let used = FRAME_HEADER + frame.head.len() + frame.body.len();
    let len = frame.header.len() as usize;
    assert!(used <= len && len <= bytes.len() && len - used < 8);
    let whole = frame.verify_body(&bytes[used..len]).is_ok();
    // Of records the meaning is asked although the body is bad.
    let payload = frame.payload().ok();
    if let Some(payload) = &payload {
        content(&frame, payload, whole);
    }
    payload.filter(|_| whole).map(drop)
}

fn content(frame: &Frame<'_>, payload: &Payload<'_>, whole: bool) {
    let most = frame.head.len() + frame.body.len();
    match payload {
        Payload::Records { batch, .. } => header(batch),
        Payload::Transaction { head, offsets } => {
            assert_eq!(head.parts_len(), head.parts().len());
            assert!(head.parts_len() <= most / 32);
            let found = head.batches(frame.body).flatten();
            let read: usize = found.map(|(_, batch, bytes)| (header(&batch), bytes.len()).1).sum();
            assert!(read <= frame.body.len());
            assert!(!whole || head.batches(frame.body).all(|batch| batch.is_some()), "a whole one has all its batches");
            entries(offsets, most);
        }
        Payload::Decision { head, offsets } => {
            assert!(head.spans().len() <= most / 24);
            head.spans().for_each(drop);
            entries(offsets, most);
        }
        Payload::Offsets(offsets) | Payload::PendingOffsets { offsets, .. } => entries(offsets, most),
        Payload::TopicCreated(created) => assert!(created.name.len() <= most),
        Payload::ProducerOpened(opened) => assert!(opened.name.len() <= most),
        _ => {}
    }
}

fn header(batch: &BatchHeader) {
    assert!(batch.size() >= 12 && batch.last_sequence() >= -1);
    batch.last_offset();
}

fn entries(offsets: &OffsetsBlock<'_>, most: usize) {
    let mut count = 0;
    offsets.for_each(|entry| {
        assert!(entry.group.len() + entry.metadata.len() <= most);
        count += 1;
    });
    assert!(count <= most / 34, "an entry takes 34 bytes at least");
}
