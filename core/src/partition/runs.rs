//! What a partition knows by itself: the runs of the segments that have no footer yet, and what is decided in them.

use std::collections::VecDeque;

use super::hidden::Decided;
use super::plan::Plan;
use super::undecided::Undecided;
use super::written::{What, Written};
use crate::format::footer::{Aborted, Decisions, Holding, Run, extend};
use crate::io::bugs::{Bug, planted};
use crate::types::{Instance, Lsn, Offset};

/// The runs of the newest segments, oldest segment first. A segment leaves when its footer has been written.
pub(super) struct Live {
    pub(super) segments: VecDeque<LiveSegment>,
    /// No segment between this one and the first in the list holds the partition. 0: none before holds it at all;
    /// `None`: not known, because the log was opened since.
    pub(super) older: Option<u64>,
    /// The transactions that are open behind the last frame written.
    pub(super) undecided: Undecided,
    /// Behind the last record written.
    pub(super) end: Offset,
    /// What decisions, or the lack of them, mean in segments without a footer. Most have no entry: nothing is open.
    pub(super) decided: VecDeque<Decided>,
    /// What was aborted by decisions that are placed and not yet written, at level `memory`.
    pub(super) early: Vec<Aborted>,
}

pub(super) struct LiveSegment {
    pub(super) number: u64,
    pub(super) previous: u64,
    pub(super) end: Offset,
    pub(super) runs: Vec<Run>,
    /// By run: the last frame in it.
    pub(super) lsns: Vec<Lsn>,
}

impl LiveSegment {
    pub(super) fn first(&self) -> Offset {
        self.runs.first().map_or(self.end, |run| run.first_offset)
    }
}

/// Why the live runs do not hold an offset: it is older.
pub(super) struct Older {
    /// Look in segments below this number.
    pub(super) below: u64,
    /// First offset of the live runs, if there are any.
    pub(super) next: Option<Offset>,
}

impl Live {
    /// Of a partition that ends there, with transactions open that began in segments before.
    pub(super) fn new(older: Option<u64>, undecided: Undecided, end: Offset) -> Self {
        let (segments, decided, early) = Default::default();
        Live { segments, older, undecided, end, decided, early }
    }

    /// The segment that goes on holds this already, all of it durable at `lsn`.
    pub(super) fn seed(&mut self, (segment, lsn): (u64, Lsn), holding: Holding) {
        let Holding { instance, previous, end_offset: end, runs } = holding;
        let lsns = vec![lsn; runs.len()];
        self.segments.push_front(LiveSegment { number: segment, previous, end, runs, lsns });
        // Made anew, its footer did not know what was open before its first frame; the next one speaks for all, and
        // its silence would say that nothing was.
        if self.decided.is_empty() && !self.undecided.is_empty() && !planted(Bug::SilentAboutOpen) {
            self.note_decision(instance, segment, None);
        }
    }

    /// What was decided in it.
    pub(super) fn seed_decisions(&mut self, segment: u64, decisions: Decisions) {
        self.decided.push_front(Decided::new(segment, decisions));
    }

    /// What the decisions in a segment mean; `None`: nothing is undecided there.
    pub(super) fn decisions(&self, segment: u64) -> Option<Decisions> {
        self.decided.iter().find(|decided| decided.segment == segment).map(|decided| decided.decisions.clone())
    }

    /// What a segment holds.
    pub(super) fn holding(&self, instance: Instance, segment: u64) -> Option<Holding> {
        let found = self.segments.iter().find(|s| s.number == segment)?;
        let (previous, end_offset) = (found.previous, found.end);
        Some(Holding { instance, previous, end_offset, runs: found.runs.clone() })
    }

    /// A footer speaks for the segment from now on.
    pub(super) fn forget(&mut self, segment: u64) {
        if let Some(at) = self.segments.iter().position(|s| s.number == segment) {
            self.segments.remove(at);
            self.older = self.older.max(Some(segment));
        }
        self.decided.retain(|decided| decided.segment != segment);
    }

    #[inline]
    pub(super) fn note(&mut self, instance: Instance, frame: Written) {
        match frame.what {
            What::Records | What::Undecided => {
                self.end = self.end.max(frame.end);
                if frame.what == What::Undecided {
                    self.undecided.begin(frame.producer_id, frame.run.first_offset);
                }
                self.add_run((frame.segment, frame.lsn), frame.run, frame.end);
                let has_entry = self.decided.back().is_some_and(|decided| decided.segment == frame.segment);
                if has_entry || !self.undecided.is_empty() {
                    self.note_decision(instance, frame.segment, None);
                }
            }
            What::Committed | What::Aborted => {
                self.undecided.end(frame.producer_id);
                let range = frame.range();
                self.note_decision(instance, frame.segment, (frame.what == What::Aborted).then_some(range));
                self.early.retain(|early| *early != range);
            }
            What::CopiedCommit | What::CopiedAbort => {
                let aborted = (frame.what == What::CopiedAbort).then_some(frame.range());
                self.note_decision(instance, frame.segment, aborted);
            }
        }
    }

    /// Behind the frame that is noted now, what is stable, and what more is aborted.
    pub(super) fn note_decision(&mut self, instance: Instance, segment: u64, aborted: Option<Aborted>) {
        if self.decided.back().is_none_or(|decided| decided.segment != segment) {
            let decisions = Decisions { instance, stable: 0, aborted: Vec::new() };
            self.decided.push_back(Decided::new(segment, decisions));
        }
        let stable = self.undecided.from().min(self.end);
        if let Some(decided) = self.decided.back_mut() {
            decided.note(stable, aborted);
        }
    }

    #[inline]
    fn add_run(&mut self, (segment, lsn): (u64, Lsn), run: Run, end: Offset) {
        match self.segments.back_mut() {
            Some(last) if last.number == segment => {
                last.end = end;
                extend(&mut last.runs, run);
                // One for each run, that of its newest frame.
                last.lsns.truncate(last.runs.len() - 1);
                last.lsns.push(lsn);
            }
            _ => {
                // Unknown means: it may be any segment before this one. A look-up steps over those that hold nothing.
                let unknown = self.older.unwrap_or_else(|| segment.saturating_sub(1));
                let previous = self.segments.back().map_or(unknown, |last| last.number);
                let (runs, lsns) = (vec![run], vec![lsn]);
                self.segments.push_back(LiveSegment { number: segment, previous, end, runs, lsns });
            }
        }
    }

    /// The number below which segments hold what is older than all of this.
    pub(super) fn below(&self) -> u64 {
        self.segments.front().map_or(u64::MAX, |first| first.previous.saturating_add(1))
    }

    /// The last frame of the run that holds the record before an offset.
    pub(super) fn lsn_below(&self, offset: Offset) -> Option<Lsn> {
        let segment = self.segments.iter().rev().find(|segment| segment.first() < offset)?;
        let run = segment.runs.partition_point(|run| run.first_offset < offset).checked_sub(1)?;
        segment.lsns.get(run).copied()
    }

    /// Plans runs from the plan's offset on, through all live segments.
    pub(super) fn plan(&self, plan: &mut Plan) -> std::result::Result<(), Older> {
        let at = plan.at();
        let from = self.segments.partition_point(|s| s.end <= at);
        let Some(first) = self.segments.front() else { return Err(Older { below: u64::MAX, next: None }) };
        if at < first.first() || from == self.segments.len() {
            return Err(Older { below: first.previous.saturating_add(1), next: Some(first.first()) });
        }
        for segment in self.segments.iter().skip(from) {
            let runs = &segment.runs;
            let skip = runs.partition_point(|run| run.first_offset <= at).saturating_sub(1);
            for (i, run) in runs.iter().enumerate().skip(skip) {
                let end = runs.get(i + 1).map_or(segment.end, |next| next.first_offset);
                let lsn = segment.lsns.get(i).copied().unwrap_or(0);
                if !plan.add((segment.number, lsn), *run, end) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}
