//! What the state knows and refuses of transactions that are open in the log, and of how others ended.

use super::identities::{Ending, Opening};
use super::producers::{Decision, Fate};
use super::transactions::OpenTransaction;
use super::{Named, State};
use crate::error::{Error, ErrorKind, Result};
use crate::format::control::OffsetsBlock;
use crate::format::decision::Span;
use crate::io::touched::touch;
use crate::types::{Identity, Instance, Lsn, Offset, TopicId, TransactionNumber};

/// Offsets that a transaction is to have pending.
#[derive(Clone, Copy)]
pub struct SentOffsets<'a> {
    /// How many, each of another partition.
    pub count: usize,
    /// Bytes of their texts, the group's name with each of them.
    pub bytes: usize,
    /// They themselves.
    pub block: OffsetsBlock<'a>,
}

/// The checks.
impl State {
    /// What opening a name, or raising its epoch, is to do.
    pub fn check_opening(&self, name: &str, current: Option<Identity>) -> Result<Opening> {
        let open = |producer_id| self.transactions.of_producer(producer_id).map(|open| (open.number, open.is_raw()));
        self.producers.check_open(name, current, open)
    }

    /// What ending the raw transaction of an identity is to do, and who its holder is.
    pub fn check_end(&self, identity: Identity, commit: bool) -> Result<(Ending, &Named)> {
        let open = |producer_id| self.transactions.of_producer(producer_id);
        let native = open(identity.producer_id).filter(|open| !open.is_raw());
        if native.is_some() {
            return Err(super::not_raw(identity.producer_id));
        }
        self.producers.check_end(identity, commit, |producer_id| open(producer_id).map(|open| open.number))
    }

    /// Refuses offsets that the raw transaction of an identity cannot take; answers the transaction, if it has begun.
    pub fn check_send_offsets(&self, identity: Identity, sent: &SentOffsets<'_>) -> Result<Option<TransactionNumber>> {
        self.producers.check_raw_holder(identity)?;
        let open = self.transactions.of_producer(identity.producer_id);
        if open.is_some_and(|open| !open.is_raw()) {
            return Err(super::not_raw(identity.producer_id));
        }
        if open.is_none() {
            self.transactions.check_begin()?;
        }
        let number = open.map(|open| open.number);
        let there = |topic| self.catalog.topic_by_id(topic).is_some();
        self.transactions.check_pending(number, sent, there)?;
        Ok(number)
    }

    /// Refuses a batch of the transaction of a transactional producer: its holder was fenced, the transaction is open
    /// no more, or a bound is reached. `begun`: something of it lies in the log.
    pub fn check_stream(
        &self,
        holder: (i64, i16),
        number: TransactionNumber,
        begun: bool,
        instance: Instance,
    ) -> Result<()> {
        self.producers.check_holder(holder.0, holder.1)?;
        if begun {
            self.check_still_open(holder.0, number)?;
        } else if self.transactions.of_producer(holder.0).is_some() {
            return Err(super::not_raw(holder.0));
        } else {
            self.transactions.check_begin()?;
        }
        self.transactions.check_span(number, instance, |instance| self.is_there(instance))
    }

    /// Refuses a transaction that is open no more, by why it is not.
    pub fn check_still_open(&self, producer_id: i64, number: TransactionNumber) -> Result<()> {
        if self.transactions.get(number).is_some() {
            return Ok(());
        }
        let decisions = self.producers.named_of(producer_id).ok().map(|named| &named.decisions);
        let fate = decisions.and_then(|d| d.iter().rev().find(|d| d.number == number)).map(|d| d.fate);
        let (kind, text) = match fate {
            Some(Fate::TimedOut) => {
                (ErrorKind::TransactionTimedOut, "the transaction was open for too long and was aborted; run it again")
            }
            Some(Fate::Committed) => (ErrorKind::InvalidTransactionState, "the transaction was committed already"),
            Some(Fate::Aborted) | None => {
                (ErrorKind::TransactionAborted, "the transaction was aborted by somebody else; run it again")
            }
        };
        Err(Error::new(kind, format!("{text}, number={number}")))
    }
}

/// What is known.
impl State {
    /// True while transactions are open in the log.
    pub fn has_undecided(&self) -> bool {
        !self.transactions.is_empty()
    }

    /// How many transactions are open in the log.
    pub fn open_transactions(&self) -> usize {
        self.transactions.len()
    }

    /// The transaction of a number, if it is open in the log.
    pub fn open_transaction(&self, number: TransactionNumber) -> Option<&OpenTransaction> {
        self.transactions.get(number)
    }

    /// The first transaction from a number on that is open in the log.
    pub fn open_from(&self, number: TransactionNumber) -> Option<&OpenTransaction> {
        self.transactions.from(number)
    }

    /// The open transaction of a producer id.
    pub fn open_of(&self, producer_id: i64) -> Option<&OpenTransaction> {
        self.transactions.of_producer(producer_id)
    }

    /// Where the records of an open transaction lie, by instance: at most `limits::TRANSACTION_PARTITIONS` spans.
    pub fn open_spans(&self, number: TransactionNumber) -> Vec<Span> {
        self.transactions.spans(number).filter(|span| self.is_there(span.instance)).collect()
    }

    /// The partitions whose offsets an open transaction will commit: at most `limits::TRANSACTION_OFFSETS`.
    pub fn open_pending(&self, number: TransactionNumber) -> Vec<Instance> {
        let instance = |(topic, number): (TopicId, u32)| self.catalog.topic_by_id(topic)?.instance(number);
        self.transactions.pending(number).filter_map(instance).collect()
    }

    /// The open transactions in a partition: producer id and offset of the first record.
    pub fn undecided_in(&self, instance: Instance) -> impl Iterator<Item = (i64, Offset)> {
        self.transactions.in_partition(instance).filter(move |_| self.is_there(instance))
    }

    /// The topic's name and the partition's number.
    pub fn name_of(&self, instance: Instance) -> Option<(&str, u32)> {
        let partition = self.catalog.partition(instance)?;
        Some((&self.catalog.topics.get(partition.topic)?.name, partition.number))
    }

    /// True if an open transaction will commit an offset of the group for the partition.
    pub fn is_pending(&self, group: &str, topic: TopicId, partition: u32) -> bool {
        self.catalog.topic_by_id(topic).is_some() && self.transactions.is_pending(group, topic, partition)
    }

    /// The holder of a producer id.
    pub fn holder(&self, producer_id: i64) -> Option<&Named> {
        self.producers.named_by_id(producer_id)
    }

    /// The identity that the holder of a producer id gets when its epoch is raised.
    pub fn raised(&self, producer_id: i64) -> Option<Identity> {
        self.producers.named_by_id(producer_id).map(|named| self.producers.raised(named))
    }

    /// Looks for the decision on a transaction among the names from slot `from` on, at no more than `entries` names and
    /// decisions of theirs, or at one name. Answers it, or the slot to go on from.
    pub fn find_decision(
        &self,
        number: TransactionNumber,
        from: u32,
        entries: usize,
    ) -> std::result::Result<(Fate, Lsn), Option<u32>> {
        let mut seen = 0;
        let pages = self.producers.named.pages(from);
        let all = pages.flat_map(|(first, page)| page.entries().map(move |(at, named)| (first + at, named)));
        for (slot, named) in all.skip_while(|(slot, _)| *slot < from) {
            let more = named.decisions.len() + 1;
            if seen > 0 && seen + more > entries {
                return Err(Some(slot));
            }
            seen += more;
            touch(more);
            if let Some(Decision { fate, lsn, .. }) = named.decisions.iter().find(|d| d.number == number) {
                return Ok((*fate, *lsn));
            }
        }
        Err(None)
    }
}
