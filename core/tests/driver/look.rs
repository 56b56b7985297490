//! Reading: a stretch of a partition in the middle of a life, and everything at once for the oracle.

use std::collections::BTreeMap;

use oncelog::{Engine, ErrorKind, Isolation, Offset, Partition, ReadOptions, TransactionStatus};

use super::*;
use crate::model::Cell;
use crate::model::oracle::{Observation, PartitionSeen, TopicSeen};

/// Offset and bytes of records.
pub type Records = Vec<(Offset, Vec<u8>)>;

/// Reads once.
pub fn read_once(partition: &Partition, from: Offset, isolation: Isolation, max: usize) -> oncelog::Result<Records> {
    let records = partition.read(from, ReadOptions::new().isolation(isolation).max_bytes(max))?;
    take(&records)
}

/// Takes the records out of what a read or a poll answered.
pub fn take(records: &oncelog::Records) -> oncelog::Result<Records> {
    let mut all = Vec::new();
    for view in records {
        let view = view?;
        let mut headers = Vec::new();
        for header in view.headers() {
            let header = header?;
            headers.push((header.key, header.value));
        }
        all.push((view.offset(), known_by(view.timestamp(), view.key(), view.value(), &headers)));
    }
    Ok(all)
}

/// Reads a partition from its start to its end.
pub fn read_all(partition: &Partition, isolation: Isolation) -> oncelog::Result<Records> {
    let bounds = partition.bounds();
    let mut all = Records::new();
    let mut next = bounds.start;
    loop {
        let records = partition.read(next, ReadOptions::new().isolation(isolation).max_bytes(20_000))?;
        let behind = records.next_offset(partition.topic(), partition.number()).unwrap_or(next);
        all.extend(take(&records)?);
        if behind == next {
            break;
        }
        next = behind;
    }
    Ok(all)
}

/// Everything that a log answers, but for positions.
pub fn observe(engine: &Engine, history: &History) -> Result<Observation, String> {
    let fail = |what: &str| {
        let what = what.to_owned();
        move |e: oncelog::Error| format!("I1: {what} after an opening: {e}")
    };
    let mut seen = Observation::default();
    for info in engine.topics().map_err(fail("topics"))? {
        let mut partitions = Vec::new();
        for number in 0..info.partitions {
            let partition = engine.partition(&info.name, number).map_err(fail("partition"))?;
            partitions.push(PartitionSeen {
                bounds: partition.bounds(),
                committed: read_all(&partition, Isolation::ReadCommitted).map_err(fail("read"))?,
                uncommitted: read_all(&partition, Isolation::ReadUncommitted).map_err(fail("read"))?,
            });
        }
        seen.topics.insert(info.name.clone(), TopicSeen { id: info.id, level: info.durability, partitions });
    }
    for cell in history.cells() {
        let Cell::Offset(group, topic, partition) = cell else { continue };
        let exists = seen.topics.get(&topic).is_some_and(|t| (partition as usize) < t.partitions.len());
        let ask = |isolation| super::groups::committed(engine, &group, &topic, partition, isolation);
        let told = match exists.then(|| ask(Isolation::ReadCommitted)) {
            Some(Err(error)) if error.kind() == ErrorKind::UnstableOffsets => {
                seen.unstable.insert((group.clone(), topic.clone(), partition));
                ask(Isolation::ReadUncommitted).map_err(fail("committed"))?
            }
            Some(told) => told.map_err(fail("committed"))?,
            None => None,
        };
        seen.offsets.insert((group, topic, partition), told);
    }
    for cell in history.cells() {
        let Cell::Decision(number) = cell else { continue };
        match engine.transaction_status(number).map_err(fail("transaction_status"))? {
            TransactionStatus::Committed => _ = seen.decisions.insert(number, true),
            TransactionStatus::Aborted => _ = seen.decisions.insert(number, false),
            // It left no trace, or too many came after it.
            _ => {}
        }
    }
    let commits = |op: &crate::model::Op| op.decides.filter(|(_, commit)| *commit).map(|(number, _)| number);
    for number in history.ops.iter().filter(|op| op.counts()).filter_map(|op| op.begins.or(commits(op))) {
        let status = engine.transaction_status(number).map_err(fail("transaction_status"))?;
        seen.statuses.insert(number, status);
    }
    Ok(seen)
}

impl Driver {
    /// Reads somewhere in a partition, with either isolation, and shows the model what came.
    pub fn read_some(&mut self) -> Check {
        let Some((part, state)) = self.any_part() else { return Ok(()) };
        let engine = self.engine();
        let partition = match engine.partition(&part.topic, part.number) {
            Ok(partition) => partition,
            Err(error) => return self.failed(None, &error, &[]),
        };
        let bounds = partition.bounds();
        let isolation = if self.rng.chance(1, 2) { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let from = self.rng.below(bounds.end + 1);
        self.note(format!("read {part} from {from} of {bounds:?}"));
        self.check_bounds(&part, &state, bounds)?;
        let max = 1 + self.rng.below(10_000) as usize;
        let answer = partition.read(from, ReadOptions::new().isolation(isolation).max_bytes(max)).and_then(|read| {
            let next = read.next_offset(&part.topic, part.number).unwrap_or(from);
            Ok((take(&read)?, next, read.next_place(&part.topic, part.number)))
        });
        match answer {
            Err(error) => self.failed(None, &error, &[])?,
            Ok((records, next, place)) => {
                self.stand(&part, from, &records, place)?;
                let end = if isolation == Isolation::ReadCommitted { bounds.stable } else { bounds.end };
                if (next == from) != (from >= end) || next > end.max(from) {
                    return Err(format!("I3: a read of {part} from {from} ends at {next} within {bounds:?}"));
                }
                self.show(&part, &state, (from, next), &records, isolation)?;
            }
        }
        match partition.read(bounds.end + 1 + self.rng.below(5), ReadOptions::new()) {
            Err(error) => self.failed(None, &error, &[ErrorKind::OffsetOutOfRange]),
            Ok(_) => self.must_fail("a read past the end", ErrorKind::OffsetOutOfRange),
        }
    }

    /// What was shown must be without a hole, but for what is aborted, and must stay.
    pub fn show(
        &mut self,
        part: &Part,
        state: &TopicState,
        (from, next): (Offset, Offset),
        records: &Records,
        isolation: Isolation,
    ) -> Check {
        // Whoever reads at level memory has what it reads written.
        let level = self.shown_level(state).max(Durability::Os);
        let mut due = from;
        for (offset, bytes) in records {
            self.check_skipped(part, due..*offset, isolation)?;
            self.check_shown(part, *offset, bytes, isolation)?;
            self.history.saw(part, *offset, bytes, level)?;
            due = offset + 1;
        }
        self.check_skipped(part, due..next, isolation)
    }

    /// I6, and: what was acknowledged at the topic's level can be read.
    pub fn check_bounds(&self, part: &Part, state: &TopicState, bounds: oncelog::Bounds) -> Check {
        let level = self.shown_level(state);
        let shown = |(op, write): (&crate::model::Op, &crate::model::Write)| {
            let visible = op.acked >= Some(level) && op.acked.is_some();
            Some(write.first.filter(|_| visible)? + write.records.len() as u64)
        };
        let least = self.history.writes_to(part).filter_map(shown).max().unwrap_or(0);
        let most = self.history.next_offset(part).1;
        if bounds.start != 0 || bounds.stable > bounds.end || bounds.end < least || bounds.end > most {
            return Err(format!("I6: {part} has {bounds:?}; its end is due between {least} and {most}"));
        }
        self.check_stable(part, bounds)
    }

    /// Asks what was answered before: bounds, committed offsets, positions, the fate of a transaction.
    pub fn ask(&mut self) -> Check {
        self.note("ask".into());
        self.check_raws(false)?;
        self.check_status()?;
        let engine = self.engine();
        for (name, state) in self.history.topics() {
            for number in 0..state.partitions {
                let part = Part { topic: name.clone(), born: state.born, number };
                match engine.partition(&name, number) {
                    Ok(partition) => self.check_bounds(&part, &state, partition.bounds())?,
                    Err(error) => self.failed(None, &error, &[])?,
                }
            }
        }
        let cells = self.history.cells();
        if cells.is_empty() {
            return Ok(());
        }
        let cell = cells[self.rng.index(cells.len())].clone();
        let known = self.history.value(&cell);
        let isolation = if self.rng.chance(1, 2) { Isolation::ReadCommitted } else { Isolation::ReadUncommitted };
        let unstable = isolation == Isolation::ReadCommitted && self.history.is_pending(&cell);
        let told = match &cell {
            Cell::Offset(group, topic, partition)
                if self.history.topic(topic).is_some_and(|t| *partition < t.partitions) =>
            {
                super::groups::committed(&engine, group, topic, *partition, isolation)
                    .map(|offset| offset.map(|offset| offset.to_string()))
            }
            _ => return Ok(()),
        };
        match told {
            // A committed answer waits until what it tells is durable, so it may poison or be refused.
            Err(error) => self.failed(None, &error, if unstable { &[ErrorKind::UnstableOffsets] } else { &[] }),
            Ok(_) if unstable => self.must_fail("a look at what is pending", ErrorKind::UnstableOffsets),
            Ok(told) if told == known => Ok(()),
            Ok(told) => Err(format!("I10: {cell:?} answered {told:?}, the model says {known:?}")),
        }
    }

    /// Positions of all names, each asked through a new handle.
    pub fn observe_positions(&mut self, engine: &Engine) -> Result<BTreeMap<String, Option<u64>>, String> {
        let mut positions = BTreeMap::new();
        for cell in self.history.cells() {
            let Cell::Position(name) = cell else { continue };
            let transactional = super::transactions::NAMES.contains(&&*name);
            let told = super::transactions::position(engine, &name, transactional);
            self.history.opened(&name);
            positions.insert(name, told.map_err(|e| format!("I1: opening a name after an opening: {e}"))?);
        }
        Ok(positions)
    }
}
