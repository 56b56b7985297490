//! Where the frames of a sound directory lie, and whose values they hold.

use std::collections::BTreeMap;

use oncelog::RecordIter;
use oncelog::format::batch::{BATCH_HEADER, BatchHeader};
use oncelog::format::compression::unpack_records;
use oncelog::format::files::{FRAMES, SegmentHeader};
use oncelog::format::frame::{Frame, Kind, Seal};
use oncelog::format::transaction::TransactionHead;

use super::{Files, Span};

/// A frame of a segment.
pub struct Lying {
    pub span: Span,
    pub kind: Kind,
    pub lsn: u64,
    /// The values of its records, compressed or not, by their numbers.
    pub values: Vec<usize>,
}

/// All frames of a directory, in the order of the journal.
pub fn frames(files: &Files) -> Vec<Lying> {
    let mut all = Vec::new();
    for (name, image) in files.iter().filter(|(name, _)| name.ends_with(".seg")) {
        let header = SegmentHeader::read(image).expect("the directory is sound");
        let seal = Seal::new(header.salt, header.number);
        let mut at = FRAMES as usize;
        while let Ok(frame) = Frame::read(&image[at..header.size as usize], seal, at as u64) {
            let span = Span { file: name.clone(), from: at, to: at + frame.header.len() as usize };
            let kind = Kind::of(frame.header.kind).expect("this version wrote it");
            at = span.to;
            all.push(Lying { span, kind, lsn: frame.header.lsn, values: values(&frame, kind) });
        }
    }
    all
}

fn values(frame: &Frame<'_>, kind: Kind) -> Vec<usize> {
    match kind {
        Kind::Records => of_batch(frame.head, frame.body),
        Kind::Transaction => {
            let head = TransactionHead::read(frame.head).expect("the directory is sound");
            let batches = head.batches(frame.body).map(|batch| batch.expect("the directory is sound").2);
            batches.flat_map(|batch| of_batch(&batch[..BATCH_HEADER], &batch[BATCH_HEADER..])).collect()
        }
        _ => Vec::new(),
    }
}

fn of_batch(head: &[u8], body: &[u8]) -> Vec<usize> {
    let header = BatchHeader::read(head).expect("the directory is sound");
    let unpacked = match header.compression() {
        0 => body.to_vec(),
        _ => unpack_records(&header, body).expect("the directory is sound"),
    };
    let records = RecordIter::unpacked(&header, &unpacked).map(|record| record.expect("the directory is sound"));
    records.filter_map(|record| number_of(record.value?)).collect()
}

/// The number of "value n ".
fn number_of(value: &[u8]) -> Option<usize> {
    let digits = value.strip_prefix(b"value ")?;
    let end = digits.iter().position(|b| !b.is_ascii_digit())?;
    std::str::from_utf8(&digits[..end]).ok()?.parse().ok()
}

/// Where each value's frame lies, and its LSN, by the value's number.
pub fn spans(files: &Files) -> BTreeMap<usize, (Span, u64)> {
    let mut spans = BTreeMap::new();
    for frame in frames(files) {
        spans.extend(frame.values.iter().map(|number| (*number, (frame.span.clone(), frame.lsn))));
    }
    spans
}
