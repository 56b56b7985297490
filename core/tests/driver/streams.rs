//! Transactions that stream: each record is in the log before the decision, seen by readers at read_uncommitted, and
//! holds the stable offset back.

use std::ops::Range;
use std::time::Duration;

use oncelog::{Bounds, Offset, TopicPartition};

use super::look::read_once;
use super::transactions::ended;
use super::*;

/// How long they may be open: some are too late.
pub const TIMEOUT: Duration = Duration::from_secs(2);

impl Driver {
    pub fn now(&self) -> u64 {
        self.world.machine().clock.monotonic()
    }

    /// True once a transaction may have been aborted because its time was up.
    pub fn is_past(&self, deadline: Option<u64>) -> bool {
        deadline.is_some_and(|deadline| deadline <= self.now())
    }

    /// What an open transaction may be refused with, beside the usual.
    pub fn may_answer(&mut self, index: usize, usual: &[ErrorKind]) -> Vec<ErrorKind> {
        let deadline = self.life().open[index].deadline;
        let late = self.is_past(deadline).then_some(ErrorKind::TransactionTimedOut);
        usual.iter().copied().chain(late).collect()
    }

    /// Sends a record that goes to the log at once.
    pub fn stream_record(&mut self, index: usize, part: &Part) -> Check {
        let made = self.made();
        let open = &self.life().open[index];
        let (name, opening, number) = (open.name.clone(), open.opening, open.transaction.number());
        let doomed = open.doomed;
        let fenced = self.is_fenced(&name, opening);
        let what = format!("stream {number} of {name} (opening {opening}) to {part}");
        self.note(format!("  {what}, fenced: {fenced}"));
        let writes = vec![(part.clone(), vec![made.bytes()])];
        // On a full disk it may wait in memory for the next one.
        let id = match self.armed {
            true => self.history.gather(what, writes, vec![]),
            false => self.history.begin(what, writes, vec![]),
        };
        self.history.ops[id].handle = Some((name, opening));
        self.history.ops[id].streamed = Some(number);
        let now = self.now();
        let allowed = self.may_answer(index, ended(fenced, doomed));
        let open = &mut self.life().open[index];
        match made.with(|record| open.transaction.send(&part.topic, record.partition(part.number))) {
            Err(error) => {
                open.doomed = true;
                self.failed(Some(id), &error, &allowed)
            }
            Ok(()) if fenced => self.must_fail("I9: a fenced handle streams", ErrorKind::ProducerFenced),
            Ok(()) => {
                open.batches.push(id);
                open.deadline.get_or_insert(now + TIMEOUT.as_nanos() as u64);
                Ok(())
            }
        }
    }

    /// What was sent has its place by now, and nothing of it has a later one.
    pub fn settle_batches(&mut self, batches: &[OpId]) {
        let step = self.history.step;
        for id in batches {
            let op = &mut self.history.ops[*id];
            op.to = Some(op.to.unwrap_or(step));
            let part = op.writes[0].part.clone();
            self.life().unsettled.push(part);
        }
    }

    /// The levels of the topics that still hold records of a transaction.
    pub fn levels_of(&self, batches: &[OpId]) -> Vec<Durability> {
        let parts = batches.iter().map(|id| &self.history.ops[*id].writes[0].part);
        let topics = parts.filter_map(|part| self.history.topic(&part.topic).filter(|topic| topic.born == part.born));
        topics.map(|topic| self.topic_level(&topic)).collect()
    }

    /// A transaction is about to be aborted.
    pub fn note_abort(&mut self, open: &OpenTransaction) {
        if open.batches.is_empty() {
            return;
        }
        self.settle_batches(&open.batches);
        let number = open.transaction.number();
        let id = self.history.begin(format!("abort {number} of {}", open.name), vec![], vec![]);
        self.history.ops[id].decides = Some((number, false));
    }

    /// A commit was acknowledged, and with it what was in the log before.
    pub fn commit_batches(&mut self, id: OpId, level: Durability) {
        let Some((number, _)) = self.history.ops[id].decides else { return };
        for op in self.history.ops.iter_mut().filter(|op| op.streamed == Some(number) && op.counts()) {
            op.acked = op.acked.max(Some(level));
        }
    }

    /// Between records that a reader was shown there may be none but those of aborted transactions.
    pub fn check_skipped(&mut self, part: &Part, skipped: Range<Offset>, isolation: Isolation) -> Check {
        let mut next = skipped.start;
        if skipped.is_empty() && skipped.start == skipped.end {
            return Ok(());
        }
        if isolation == Isolation::ReadUncommitted || skipped.start > skipped.end {
            return Err(format!("I3: {part} was read from {}; the next offset is {}", skipped.start, skipped.end));
        }
        let partition = match self.engine().partition(&part.topic, part.number) {
            Ok(partition) => partition,
            Err(error) => return self.failed(None, &error, &[]),
        };
        while next < skipped.end {
            let records = match read_once(&partition, next, Isolation::ReadUncommitted, 20_000) {
                Ok(records) => records,
                Err(error) => return self.failed(None, &error, &[]),
            };
            for (offset, bytes) in records.iter().take_while(|(offset, _)| *offset < skipped.end) {
                if !self.history.is_hidden(bytes) && !self.history.may_be_hidden(bytes) {
                    return Err(format!("I5: {part} offset {offset} is hidden: {:?}", crate::model::short(bytes)));
                }
            }
            next = records.last().map_or(skipped.end, |(last, _)| last + 1);
        }
        Ok(())
    }

    /// I5: what is not committed is shown to nobody at read_committed.
    pub fn check_shown(&self, part: &Part, offset: Offset, bytes: &[u8], isolation: Isolation) -> Check {
        if isolation == Isolation::ReadCommitted && self.history.is_hidden(bytes) {
            let what = crate::model::short(bytes);
            return Err(format!("I5: {part} offset {offset} shows what is not committed: {what:?}"));
        }
        Ok(())
    }

    /// On a full disk the engine may have no room to abort what its owner gave up; it says so.
    fn waits_for_room(&self, life: &Life, part: &Part) -> bool {
        let at = TopicPartition::new(part.topic.clone(), part.number);
        let open = if self.filled { life.engine.describe_transactions().unwrap_or_default() } else { Vec::new() };
        open.iter().any(|transaction| transaction.partitions.contains_key(&at))
    }

    /// I6: the stable offset waits for open transactions, and for nothing else.
    pub fn check_stable(&self, part: &Part, bounds: Bounds) -> Check {
        let life = self.life.as_ref().expect("the log is open between operations");
        let settled = !life.unsettled.contains(part) && !self.waits_for_room(life, part);
        let open = self.open_in(life, part);
        for (number, records) in &open {
            if let Some(known) = records.iter().flatten().min().filter(|known| **known < bounds.stable) {
                return Err(format!("I6: {part} has {bounds:?}, and {number} is open with offset {known}"));
            }
        }
        // Where the first of each is known, the least of them is the one.
        let firsts: Option<Vec<Offset>> = open.iter().map(|(_, records)| *records.first()?).collect();
        let due = firsts.map(|firsts| firsts.into_iter().fold(bounds.end, Offset::min));
        match due.filter(|due| settled && *due != bounds.stable) {
            Some(due) => Err(format!("I6: {part} has {bounds:?}; stable is what lies below {due}")),
            None => Ok(()),
        }
    }

    /// The transactions that are open with records in a partition, with the offsets of those as far as they are known;
    /// with none if it may be open no more.
    fn open_in(&self, life: &Life, part: &Part) -> Vec<(u64, Vec<Option<Offset>>)> {
        let mut all = Vec::new();
        for transaction in life.open.iter().filter(|open| open.streams) {
            let writes = transaction.batches.iter().map(|id| &self.history.ops[*id].writes[0]);
            let here: Vec<_> = writes.filter(|write| write.part == *part).map(|write| write.first).collect();
            // Fenced or too late, it may be aborted already; and once the disk has failed, who fenced it was not told.
            let fenced = self.is_fenced(&transaction.name, transaction.opening) || self.history.poisoned.is_some();
            let sure = !fenced && !self.is_past(transaction.deadline);
            if !here.is_empty() {
                all.push((transaction.transaction.number(), if sure { here } else { vec![] }));
            }
        }
        for open in &self.raws {
            let writes = self.history.writes_to(part).filter(|(op, _)| op.streamed == Some(open.number));
            let here: Vec<_> = writes.map(|(_, write)| write.first).collect();
            if !here.is_empty() {
                all.push((open.number, here));
            }
        }
        all
    }
}
