//! Transactions that have something in the log before their decision: where their records lie, what they will commit.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::growing::Growing;
use super::paged::Paged;
use super::undecided::SentOffsets;
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::{BEGUN_KEPT, BEGUN_RAW, Begun, OffsetEntry};
use crate::format::decision::Span;
use crate::io::touched::named;
use crate::limits::{COUNT_MAX, OPEN_TRANSACTIONS, TRANSACTION_OFFSETS, TRANSACTION_PARTITIONS, TRANSACTIONS_STATE};
use crate::types::{Instance, Lsn, Offset, Timestamp, TopicId, TransactionNumber};

/// A transaction that is open in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenTransaction {
    /// Its number.
    pub number: TransactionNumber,
    /// The producer id of its batches.
    pub producer_id: i64,
    /// Their epoch.
    pub epoch: i16,
    /// `BEGUN_RAW`, `BEGUN_KEPT`.
    pub flags: u16,
    /// How long it may be open, milliseconds; 0: for ever.
    pub timeout_ms: u32,
    /// When it began, wall clock.
    pub since: Timestamp,
}

impl OpenTransaction {
    /// Its owner keeps its own identity and sends its own batches.
    pub fn is_raw(&self) -> bool {
        self.flags & BEGUN_RAW != 0
    }
    /// It stays open when the log is opened again.
    pub fn is_kept(&self) -> bool {
        self.flags & BEGUN_KEPT != 0
    }
}

/// Where a transaction's records lie in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenSpan {
    /// The transaction.
    pub number: TransactionNumber,
    /// The partition.
    pub instance: Instance,
    /// Offset of its first record there.
    pub first: Offset,
    /// Offset behind its last one so far.
    pub end: Offset,
    /// The partition's topic.
    pub topic: TopicId,
}

/// An offset that a transaction will commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingOffset {
    /// The transaction.
    pub number: TransactionNumber,
    /// The group.
    pub group: Arc<str>,
    /// The topic's id.
    pub topic: TopicId,
    /// The partition's number in the topic.
    pub partition: u32,
    /// The offset to read next.
    pub offset: Offset,
    /// Leader epoch of the last record read; -1 for none.
    pub leader_epoch: i32,
    /// The caller's text.
    pub metadata: Arc<str>,
    /// The frame that sent it.
    pub lsn: Lsn,
}

impl PendingOffset {
    /// The words of a frame.
    pub fn entry(&self) -> OffsetEntry<'_> {
        OffsetEntry {
            group: &self.group,
            topic: self.topic.0,
            partition: self.partition,
            offset: self.offset,
            leader_epoch: self.leader_epoch,
            metadata: &self.metadata,
        }
    }

    fn weight(&self) -> usize {
        OFFSET_WEIGHT + self.group.len() + self.metadata.len()
    }
}

/// What is pending is found by what it will commit: group, topic, partition, transaction.
type PendingKey = (Arc<str>, TopicId, u32, TransactionNumber);

/// Numbers from here on are given to transactions whose beginning is lost, and never by a life.
const LOST: TransactionNumber = COUNT_MAX / 2 + 1;

/// What a transaction takes of the state's memory, beside what is pending.
const WEIGHT: usize = 160;
/// What one of its partitions takes.
const SPAN_WEIGHT: usize = 128;
/// What a pending offset takes, beside its texts.
const OFFSET_WEIGHT: usize = 128;

/// All open transactions, with the look-ups derived from the three tables.
#[derive(Debug, Default)]
pub struct Transactions {
    pub(super) open: Paged<OpenTransaction>,
    pub(super) spans: Paged<OpenSpan>,
    pub(super) pending: Paged<PendingOffset>,
    by_number: BTreeMap<TransactionNumber, u32>,
    /// The newest of a producer counts. It has one, unless frames were lost.
    by_producer: BTreeMap<(i64, TransactionNumber), u32>,
    span_of: Growing<(TransactionNumber, Instance), u32>,
    spans_by_number: BTreeSet<(TransactionNumber, Instance)>,
    spans_by_instance: BTreeSet<(Instance, TransactionNumber)>,
    pending_by_key: BTreeMap<PendingKey, u32>,
    pending_by_number: BTreeSet<(TransactionNumber, u32)>,
    pending_by_topic: BTreeSet<(TopicId, u32)>,
    /// About how much memory all of it takes, but for what belongs to topics that are gone.
    weight: usize,
    /// What spans and pending offsets of each topic that is there take of it.
    weights: FxHashMap<TopicId, usize>,
}

impl Transactions {
    /// Takes loaded tables; `None` if an entry is there twice, or belongs to no transaction or no partition.
    pub(super) fn load(
        open: Paged<OpenTransaction>,
        mut spans: Paged<OpenSpan>,
        pending: Paged<PendingOffset>,
        topic_of: impl Fn(Instance) -> Option<TopicId>,
    ) -> Option<Self> {
        let mut all = Transactions::default();
        for (slot, entry) in open.iter() {
            all.index_open(entry, slot).then_some(())?;
        }
        let slots: Vec<u32> = spans.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let span = spans.get_mut(slot)?;
            span.topic = topic_of(span.instance)?;
            let known = all.by_number.contains_key(&span.number) && span.first < span.end;
            (known && all.index_span(span, slot)).then_some(())?;
        }
        for (slot, entry) in pending.iter() {
            let known = all.by_number.contains_key(&entry.number);
            (known && all.index_pending(entry, slot)).then_some(())?;
        }
        (all.open, all.spans, all.pending) = (open, spans, pending);
        Some(all)
    }

    fn index_open(&mut self, entry: &OpenTransaction, slot: u32) -> bool {
        self.weight += WEIGHT;
        self.by_producer.insert((entry.producer_id, entry.number), slot);
        self.by_number.insert(entry.number, slot).is_none()
    }

    fn index_span(&mut self, span: &OpenSpan, slot: u32) -> bool {
        self.weigh(span.topic, SPAN_WEIGHT);
        self.spans_by_number.insert((span.number, span.instance));
        self.spans_by_instance.insert((span.instance, span.number));
        self.span_of.insert((span.number, span.instance), slot).is_none()
    }

    fn index_pending(&mut self, entry: &PendingOffset, slot: u32) -> bool {
        self.weigh(entry.topic, entry.weight());
        self.pending_by_number.insert((entry.number, slot));
        self.pending_by_topic.insert((entry.topic, slot));
        let key = (Arc::clone(&entry.group), entry.topic, entry.partition, entry.number);
        self.pending_by_key.insert(key, slot).is_none()
    }

    fn weigh(&mut self, topic: TopicId, more: usize) {
        self.weight += more;
        *self.weights.entry(topic).or_default() += more;
    }

    /// What is lost with a topic has no weight any more.
    fn relieve(&mut self, topic: TopicId, less: usize) {
        if let Entry::Occupied(mut of) = self.weights.entry(topic) {
            self.weight = self.weight.saturating_sub(less);
            *of.get_mut() = of.get().saturating_sub(less);
            if *of.get() == 0 {
                of.remove();
            }
        }
    }

    /// How many are open.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// True if none is open.
    pub fn is_empty(&self) -> bool {
        self.by_number.is_empty()
    }

    /// The transaction of a number, if it is open.
    pub fn get(&self, number: TransactionNumber) -> Option<&OpenTransaction> {
        self.open.get(*self.by_number.get(&number)?)
    }

    /// The first open transaction from a number on.
    pub fn from(&self, number: TransactionNumber) -> Option<&OpenTransaction> {
        let (_, slot) = self.by_number.range(number..).next()?;
        self.open.get(*slot)
    }

    /// The open transaction of a producer.
    #[inline]
    pub fn of_producer(&self, producer_id: i64) -> Option<&OpenTransaction> {
        if self.by_producer.is_empty() {
            return None;
        }
        let mut of = self.by_producer.range((producer_id, 0)..=(producer_id, TransactionNumber::MAX));
        self.open.get(*of.next_back()?.1)
    }

    /// Where a transaction's records lie in a partition.
    pub fn span(&self, number: TransactionNumber, instance: Instance) -> Option<&OpenSpan> {
        self.spans.get(*self.span_of.get(&(number, instance))?)
    }

    /// Where a transaction's records lie, by instance: at most `limits::TRANSACTION_PARTITIONS` spans.
    pub fn spans(&self, number: TransactionNumber) -> impl Iterator<Item = Span> {
        let of = self.spans_by_number.range((number, 0)..=(number, Instance::MAX));
        let spans = of.filter_map(|key| self.spans.get(*self.span_of.get(key)?));
        spans.map(|span| Span { instance: span.instance, first: span.first, end: span.end })
    }

    /// The numbers of the open transactions in a partition from a number on.
    pub fn numbers_in(&self, instance: Instance, from: TransactionNumber) -> impl Iterator<Item = TransactionNumber> {
        let of = self.spans_by_instance.range((instance, from)..=(instance, TransactionNumber::MAX));
        of.map(|(_, number)| *number)
    }

    /// The open transactions in a partition: producer id and offset of the first record.
    pub fn in_partition(&self, instance: Instance) -> impl Iterator<Item = (i64, Offset)> {
        let of = self.spans_by_instance.range((instance, 0)..=(instance, TransactionNumber::MAX));
        of.filter_map(move |(_, number)| Some((self.get(*number)?.producer_id, self.span(*number, instance)?.first)))
    }

    /// True if an open transaction will commit an offset of the group for the partition.
    pub fn is_pending(&self, group: &str, topic: TopicId, partition: u32) -> bool {
        if self.pending_by_key.is_empty() {
            return false;
        }
        let from = (Arc::from(group), topic, partition, 0);
        let next = self.pending_by_key.range(from..).next();
        next.is_some_and(|((g, t, p, _), _)| (&**g, *t, *p) == (group, topic, partition))
    }

    /// The topics of which a transaction has offsets pending, with the partitions' numbers.
    pub fn pending(&self, number: TransactionNumber) -> impl Iterator<Item = (TopicId, u32)> {
        let of = self.pending_by_number.range((number, 0)..=(number, u32::MAX));
        of.filter_map(|(_, slot)| self.pending.get(*slot)).map(|pending| (pending.topic, pending.partition))
    }

    /// Refuses one more open transaction, with a first partition.
    pub fn check_begin(&self) -> Result<()> {
        if self.by_number.len() < OPEN_TRANSACTIONS && self.weight + WEIGHT + SPAN_WEIGHT <= TRANSACTIONS_STATE {
            return Ok(());
        }
        let values = format!("open={} greatest={OPEN_TRANSACTIONS} memory={}", self.by_number.len(), self.weight);
        let text = "too many transactions are open; commit or abort some of them";
        Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, {values}")))
    }

    /// Refuses one more partition for a transaction. Those that are gone do not count.
    pub fn check_span(
        &self,
        number: TransactionNumber,
        instance: Instance,
        there: impl Fn(Instance) -> bool,
    ) -> Result<()> {
        if self.span_of.contains_key(&(number, instance)) {
            return Ok(());
        }
        let all = self.spans_by_number.range((number, 0)..=(number, Instance::MAX));
        let count = all.filter(|(_, instance)| there(*instance)).count();
        if count >= TRANSACTION_PARTITIONS {
            let text = "a transaction that outgrows its buffer reaches at most so many partitions; use smaller ones";
            let values = format!("number={number} greatest={TRANSACTION_PARTITIONS}");
            return Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, {values}")));
        }
        self.check_weight(number, SPAN_WEIGHT)
    }

    /// Refuses more pending offsets than a transaction may have; `None`: it begins with them. Those of topics that are
    /// gone do not count, nor do those whose place is taken.
    pub fn check_pending(
        &self,
        number: Option<TransactionNumber>,
        sent: &SentOffsets<'_>,
        there: impl Fn(TopicId) -> bool,
    ) -> Result<()> {
        let begins = if number.is_none() { WEIGHT } else { 0 };
        let (number, mut more) = (number.unwrap_or(0), sent.count);
        let has = self.pending(number).filter(|(topic, _)| there(*topic)).count();
        if has + more > TRANSACTION_OFFSETS && more <= TRANSACTION_OFFSETS {
            sent.block.for_each(|entry| more -= usize::from(self.is_pending_in(number, &entry)));
        }
        if has + more > TRANSACTION_OFFSETS {
            let text = "a transaction has at most so many offsets pending; commit them in several transactions";
            let values = format!("number={number} has={has} more={more} greatest={TRANSACTION_OFFSETS}");
            return Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, {values}")));
        }
        self.check_weight(number, begins + sent.count * OFFSET_WEIGHT + sent.bytes)
    }

    fn is_pending_in(&self, number: TransactionNumber, entry: &OffsetEntry<'_>) -> bool {
        let key = (Arc::from(entry.group), TopicId(entry.topic), entry.partition, number);
        self.pending_by_key.contains_key(&key)
    }

    fn check_weight(&self, number: TransactionNumber, more: usize) -> Result<()> {
        if self.weight + more <= TRANSACTIONS_STATE {
            return Ok(());
        }
        let values = format!("number={number} memory={} greatest={TRANSACTIONS_STATE}", self.weight);
        let text = "the open transactions take too much memory; commit or abort some of them";
        Err(Error::new(ErrorKind::LimitExceeded, format!("{text}, {values}")))
    }

    /// Notes a transaction that begins. A number that is open already changes nothing.
    pub fn begin(&mut self, begun: &Begun) {
        let Ok(producer_id) = i64::try_from(begun.producer_id) else { return };
        if begun.number == 0 || self.by_number.contains_key(&begun.number) {
            return;
        }
        let entry = OpenTransaction {
            number: begun.number,
            producer_id,
            epoch: begun.epoch.cast_signed(),
            flags: begun.flags,
            timeout_ms: begun.timeout_ms,
            since: begun.wall_ms.cast_signed(),
        };
        let slot = self.open.insert(entry);
        self.index_open(&entry, slot);
    }

    /// Notes records of a producer's open transaction. Where it has none, the frame that began it is lost: then it is
    /// open from here on, under a number of its own, so that nobody takes its records for committed.
    pub fn wrote(
        &mut self,
        (producer_id, epoch): (i64, i16),
        lsn: Lsn,
        instance: Instance,
        (first, end): (Offset, Offset),
        topic: impl FnOnce() -> Option<TopicId>,
    ) {
        let number = match self.of_producer(producer_id) {
            Some(open) => open.number,
            None => {
                let number = (LOST + lsn).min(COUNT_MAX);
                let (producer_id, epoch) = (producer_id.cast_unsigned(), epoch.cast_unsigned());
                self.begin(&Begun { producer_id, epoch, number, ..Begun::default() });
                number
            }
        };
        if !self.by_number.contains_key(&number) {
            return;
        }
        if let Some(span) = self.span_of.get(&(number, instance)).and_then(|slot| self.spans.get_mut(*slot)) {
            span.end = span.end.max(end);
            return;
        }
        let Some(topic) = topic() else { return };
        let span = OpenSpan { number, instance, first, end, topic };
        let slot = self.spans.insert(span);
        self.index_span(&span, slot);
    }

    /// Notes offsets that an open transaction will commit; later ones take the place of earlier ones.
    pub fn send_offset(&mut self, lsn: Lsn, number: TransactionNumber, entry: &OffsetEntry<'_>) {
        if !self.by_number.contains_key(&number) {
            return;
        }
        let pending = PendingOffset {
            number,
            group: entry.group.into(),
            topic: TopicId(entry.topic),
            partition: entry.partition,
            offset: entry.offset,
            leader_epoch: entry.leader_epoch,
            metadata: entry.metadata.into(),
            lsn,
        };
        let key = (Arc::clone(&pending.group), pending.topic, pending.partition, number);
        if let Some(known) = self.pending_by_key.get(&key).and_then(|slot| self.pending.get_mut(*slot)) {
            let (topic, less, more) = (known.topic, known.weight(), pending.weight());
            *known = pending;
            self.weigh(topic, more);
            self.relieve(topic, less);
            return;
        }
        let slot = self.pending.insert(pending.clone());
        self.index_pending(&pending, slot);
    }

    /// The open transaction of a producer whose beginning is lost: a decision on another number may be its.
    pub fn lost_of(&self, producer_id: i64) -> Option<TransactionNumber> {
        self.of_producer(producer_id).map(|open| open.number).filter(|number| *number >= LOST)
    }

    /// Notes that a transaction is decided: it is open no more. Returns what it had pending, in the order in which it
    /// was sent.
    pub fn end(&mut self, number: TransactionNumber) -> Vec<PendingOffset> {
        let Some(slot) = self.by_number.remove(&number) else { return Vec::new() };
        if let Some(open) = self.open.remove(slot) {
            self.by_producer.remove(&(open.producer_id, number));
            self.weight = self.weight.saturating_sub(WEIGHT);
        }
        while let Some((_, instance)) = self.spans_by_number.range((number, 0)..=(number, Instance::MAX)).next() {
            // The decision names them.
            named(1);
            self.remove_span(number, *instance);
        }
        let mut pending = Vec::new();
        while let Some((_, slot)) = self.pending_by_number.range((number, 0)..=(number, u32::MAX)).next() {
            pending.extend(self.remove_pending(number, *slot));
        }
        pending.sort_by_key(|entry| entry.lsn);
        pending
    }

    fn remove_span(&mut self, number: TransactionNumber, instance: Instance) {
        self.spans_by_number.remove(&(number, instance));
        self.spans_by_instance.remove(&(instance, number));
        if let Some(slot) = self.span_of.remove(&(number, instance)) {
            let span = self.spans.remove(slot);
            span.into_iter().for_each(|span| self.relieve(span.topic, SPAN_WEIGHT));
        }
    }

    fn remove_pending(&mut self, number: TransactionNumber, slot: u32) -> Option<PendingOffset> {
        self.pending_by_number.remove(&(number, slot));
        let entry = self.pending.remove(slot)?;
        self.pending_by_topic.remove(&(entry.topic, slot));
        self.relieve(entry.topic, entry.weight());
        self.pending_by_key.remove(&(Arc::clone(&entry.group), entry.topic, entry.partition, number));
        Some(entry)
    }

    #[cfg(test)]
    /// About how much memory all of it takes.
    pub fn weight(&self) -> usize {
        self.weight
    }

    /// A topic is gone: what belongs to it has no weight any more, and is to be swept up.
    pub fn lose_topic(&mut self, topic: TopicId) {
        let lost = self.weights.remove(&topic).unwrap_or(0);
        self.weight = self.weight.saturating_sub(lost);
    }

    /// Forgets at most `most` spans in neighbouring partitions that are gone; returns how many: fewer if none are left.
    pub fn sweep_partitions(&mut self, (first, last): (Instance, Instance), most: usize) -> usize {
        let all = (first, 0)..=(last, TransactionNumber::MAX);
        let mut gone = 0;
        while gone < most
            && let Some((instance, number)) = self.spans_by_instance.range(all.clone()).next().copied()
        {
            self.remove_span(number, instance);
            gone += 1;
        }
        gone
    }

    /// Forgets at most `most` offsets that are pending for a topic that is gone; returns how many.
    pub fn sweep_pending(&mut self, topic: TopicId, most: usize) -> usize {
        let mut gone = 0;
        while gone < most
            && let Some((_, slot)) = self.pending_by_topic.range((topic, 0)..=(topic, u32::MAX)).next().copied()
        {
            match self.pending.get(slot).map(|entry| entry.number) {
                Some(number) => _ = self.remove_pending(number, slot),
                None => _ = self.pending_by_topic.remove(&(topic, slot)),
            }
            gone += 1;
        }
        gone
    }
}
