//! A footer from the frames themselves, where the file has none that can be read.

use rustc_hash::FxHashMap;

use super::index::head;
use super::undecided::Undecided;
use crate::error::Result;
use crate::format::batch::BatchHeader;
use crate::format::bytes::Reader;
use crate::format::control::Link;
use crate::format::decision::{DecisionHead, Ended};
use crate::format::files::FRAMES;
use crate::format::footer::{self, Aborted, Decisions, Holding, Run};
use crate::format::frame::{FRAME_HEADER, Frame, Kind};
use crate::format::transaction::TransactionHead;
use crate::io::bugs::{Bug, planted};
use crate::journal::{SegmentInfo, Segments};
use crate::limits::OFFSET_MAX;
use crate::types::{Instance, Offset};

/// What a partition has in a segment, as a scan finds it.
#[derive(Default)]
struct Found {
    runs: Vec<Run>,
    end: Offset,
    undecided: Undecided,
    aborted: Vec<Aborted>,
    /// A transaction was open here or decided here.
    transactional: bool,
}

/// The footer's bytes, from the frames themselves. A frame whose head is damaged is not in it.
pub(super) fn rebuild(segments: &Segments, info: &SegmentInfo) -> Result<Vec<u8>> {
    let mut found: FxHashMap<Instance, Found> = FxHashMap::default();
    // What was open before its first frame is known only if that was nothing.
    let mut complete = false;
    let (mut due, mut gaps) = (FRAMES, false);
    segments.scan(info.number, &mut |position, frame| {
        gaps |= position != due;
        due = position + frame.header.len();
        if frame.header.kind == Kind::Link as u8 {
            let link = Link::read(&mut Reader::new(frame.head));
            complete = link.is_some_and(|link| link.undecided == 0 || planted(Bug::AnewSaysAll));
        }
        note(&mut found, position, frame);
    })?;
    gaps |= due < info.end;
    if gaps {
        found.values_mut().for_each(Found::doubt);
    }
    // A look-up steps over segments that do not hold the partition, so the next lower one is a right answer.
    let previous = segments.before(info.number).unwrap_or(0);
    let mut decisions: Vec<Decisions> = found.iter().filter_map(|(i, found)| found.decisions(*i, complete)).collect();
    decisions.sort_unstable_by_key(|d| d.instance);
    let mut holdings: Vec<Holding> = found
        .into_iter()
        .filter(|(_, found)| !found.runs.is_empty())
        .map(|(instance, Found { runs, end, .. })| Holding { instance, previous, end_offset: end, runs })
        .collect();
    holdings.sort_unstable_by_key(|h| h.instance);
    let mut bytes = footer::encode(&head(info), &holdings, &decisions, complete);
    if gaps {
        footer::mark_gaps(&mut bytes);
    }
    Ok(bytes)
}

impl Found {
    /// Frames are missing: what seems to be open behind the last one may have been decided by one of them.
    fn doubt(&mut self) {
        let end = self.end;
        self.aborted
            .extend(self.undecided.all().map(|(producer_id, first)| Aborted::doubt_of(producer_id, first, end)));
    }

    fn decisions(&self, instance: Instance, complete: bool) -> Option<Decisions> {
        let stable = if complete { self.undecided.from().min(self.end) } else { 0 };
        let says = self.transactional || !self.aborted.is_empty();
        says.then(|| Decisions { instance, stable, aborted: self.aborted.clone() })
    }
}

fn note(found: &mut FxHashMap<Instance, Found>, position: u64, frame: &Frame<'_>) {
    match Kind::of(frame.header.kind) {
        Some(Kind::Records) => {
            let Some(batch) = BatchHeader::read(frame.head) else { return };
            let (Ok(first), Ok(last)) = (u64::try_from(batch.base_offset), u64::try_from(batch.last_offset())) else {
                return;
            };
            let run = run(position, frame.header.len(), false, first, batch.max_timestamp);
            let instance = frame.header.instance;
            add(found, instance, run, last);
            if batch.is_transactional() {
                let held = found.entry(instance).or_default();
                held.undecided.begin(batch.producer_id, first);
                held.transactional = true;
            }
        }
        Some(Kind::Transaction) => {
            let Some(head) = TransactionHead::read(frame.head) else { return };
            let mut at = position + (FRAME_HEADER + frame.head.len()) as u64;
            let end = at + frame.body.len() as u64;
            // The table is verified, the batches are not: it says where they lie and what they hold.
            let mut batches = head.batches(frame.body);
            for part in head.parts() {
                if at + u64::from(part.len) > end {
                    return;
                }
                let timestamp = batches.next().flatten().map_or(-1, |(_, batch, _)| batch.max_timestamp);
                let run = run(at, u64::from(part.len), true, part.base_offset, timestamp);
                let last = part.base_offset.saturating_add(u64::from(part.last_offset_delta));
                add(found, part.instance, run, last);
                at += u64::from(part.len);
            }
        }
        Some(Kind::Decision) => {
            let Some(head) = DecisionHead::read(frame.head) else { return };
            for span in head.spans() {
                let held = found.entry(span.instance).or_default();
                let producer_id = head.producer.0;
                // It has one transaction at a time: the decision on what begins before this one's span is lost.
                if let Some(first) = held.undecided.first_of(producer_id).filter(|first| *first < span.first) {
                    held.aborted.push(Aborted::doubt_of(producer_id, first, span.first));
                }
                held.undecided.end(producer_id);
                held.transactional = true;
                // Its records may lie before this segment, which may hold nothing else of the partition.
                held.end = held.end.max(span.end.min(OFFSET_MAX));
                if head.ended == Ended::Abort {
                    held.aborted.push(Aborted { producer_id, first: span.first, end: span.end });
                }
            }
        }
        _ => {}
    }
}

fn run(position: u64, len: u64, bare: bool, first_offset: Offset, max_timestamp: i64) -> Option<Run> {
    let (position, len) = (u32::try_from(position).ok()?, u32::try_from(len).ok()?);
    Some(Run { position, len, bare, first_offset, max_timestamp })
}

fn add(found: &mut FxHashMap<Instance, Found>, instance: Instance, run: Option<Run>, last: Offset) {
    let Some(run) = run else { return };
    let held = found.entry(instance).or_default();
    // Offsets only grow. What does not is no frame of this partition's history.
    if run.first_offset >= held.end && last < OFFSET_MAX && last >= run.first_offset {
        held.end = last + 1;
        footer::extend(&mut held.runs, run);
    }
}
