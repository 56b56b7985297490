//! A consumer's rules over stored batches (KIP-98): bytes, isolation and markers. Batches are decoded by the library.

use std::collections::{BTreeMap, BTreeSet};

use oncelog::format::batch::{BATCH_HEADER, BatchHeader};
use oncelog::format::compression::unpack_records;
use oncelog::{Batch, Isolation, RecordIter};

/// A record as a consumer sees it.
#[derive(Debug, PartialEq)]
pub struct Seen {
    pub offset: u64,
    pub timestamp: i64,
    pub append_time: bool,
    pub leader_epoch: i32,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

/// A batch as it is stored, its records unpacked.
pub struct Stored {
    pub header: BatchHeader,
    /// What lies behind the header.
    body: Vec<u8>,
    records: Vec<u8>,
}

/// An aborted transaction in a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Aborted {
    pub producer_id: i64,
    /// Offset of its first record.
    pub first: i64,
    /// Offset of its marker.
    pub last: i64,
    /// The last stable offset right behind the marker.
    pub stable: i64,
}

/// All batches of a log, each whole by its crc; nothing may lie behind the last.
pub fn batches(log: &[u8]) -> Vec<Stored> {
    let mut found = Vec::new();
    let mut rest = log;
    while !rest.is_empty() {
        let header = BatchHeader::read(rest).unwrap();
        let (batch, behind) = rest.split_at(header.size());
        let (head, body) = batch.split_at(BATCH_HEADER);
        assert!(header.covers(head, body), "the batch at {} is whole", header.base_offset);
        found.push(Stored { header, body: body.to_vec(), records: unpack_records(&header, body).unwrap() });
        rest = behind;
    }
    found
}

impl Stored {
    fn records(&self) -> RecordIter<'_> {
        RecordIter::unpacked(&self.header, &self.records)
    }

    /// The batch as a client without an identity would send it.
    pub fn sent(&self) -> Batch {
        let mut bytes = vec![0; BATCH_HEADER];
        let nobody = BatchHeader { producer_id: -1, epoch: -1, base_sequence: -1, base_offset: 0, ..self.header };
        nobody.write(&mut bytes);
        bytes.extend_from_slice(&self.body);
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        Batch::from_bytes(&bytes).unwrap()
    }

    fn seen(&self) -> impl Iterator<Item = Seen> {
        self.records().map(|record| {
            let record = record.unwrap();
            let headers = record.headers().map(|header| {
                let header = header.unwrap();
                (header.key.to_owned(), header.value.map(<[u8]>::to_vec))
            });
            Seen {
                offset: record.offset,
                timestamp: record.timestamp,
                append_time: self.header.is_log_append_time(),
                leader_epoch: self.header.leader_epoch,
                key: record.key.map(<[u8]>::to_vec),
                value: record.value.map(<[u8]>::to_vec),
                headers: headers.collect(),
            }
        })
    }

    /// Whether this is a marker that ends a transaction, and whether it commits it. A marker that the cleaner emptied
    /// says nothing.
    fn decision(&self) -> Option<bool> {
        let record = self.records().next().filter(|_| self.header.is_control())?.unwrap();
        match record.key? {
            [0, 0, 0, 0] => Some(false),
            [0, 0, 0, 1] => Some(true),
            _ => None,
        }
    }
}

/// The aborted transactions with data in the log, in the order of their markers.
pub fn aborted(batches: &[Stored]) -> Vec<Aborted> {
    let mut open = BTreeMap::new();
    let mut aborted = Vec::new();
    for batch in batches {
        let BatchHeader { producer_id, base_offset, .. } = batch.header;
        match batch.decision() {
            None if batch.header.is_transactional() && !batch.header.is_control() => {
                open.entry(producer_id).or_insert(base_offset);
            }
            None => {}
            Some(committed) => {
                let first = open.remove(&producer_id).filter(|_| !committed);
                let stable = open.values().copied().min().unwrap_or(base_offset + 1);
                aborted.extend(first.map(|first| Aborted { producer_id, first, last: base_offset, stable }));
            }
        }
    }
    aborted
}

/// Entries of Kafka's index of aborted transactions.
pub fn transaction_index(bytes: &[u8]) -> Vec<Aborted> {
    assert_eq!(bytes.len() % 34, 0);
    let entries = bytes.chunks_exact(34).map(|entry| {
        let number = |at: usize| i64::from_be_bytes(entry[at..at + 8].try_into().unwrap());
        assert_eq!(entry[..2], [0, 0], "version 0");
        Aborted { producer_id: number(2), first: number(10), last: number(18), stable: number(26) }
    });
    entries.collect()
}

/// The offset behind the last batch.
pub fn end(batches: &[Stored]) -> u64 {
    batches.last().map_or(0, |batch| (batch.header.last_offset() + 1).unsigned_abs())
}

/// The first offset of the oldest open transaction, or else the end.
pub fn stable(batches: &[Stored]) -> u64 {
    let mut open = BTreeMap::new();
    for batch in batches.iter().filter(|batch| batch.header.is_transactional()) {
        match batch.header.is_control() {
            true => drop(open.remove(&batch.header.producer_id)),
            false => drop(open.entry(batch.header.producer_id).or_insert(batch.header.base_offset.unsigned_abs())),
        }
    }
    open.into_values().min().unwrap_or(end(batches))
}

/// What a consumer returns that reads everything, as Kafka's client filters it.
pub fn read(batches: &[Stored], aborted: &[Aborted], isolation: Isolation) -> Vec<Seen> {
    let mut ahead: Vec<Aborted> = aborted.to_vec();
    ahead.sort_by_key(|aborted| std::cmp::Reverse(aborted.first));
    let (mut skipped, mut seen) = (BTreeSet::new(), Vec::new());
    let committed = isolation == Isolation::ReadCommitted;
    let end = if committed { stable(batches) } else { end(batches) };
    for batch in batches {
        while let Some(next) = ahead.pop_if(|next| next.first <= batch.header.last_offset()) {
            skipped.insert(next.producer_id);
        }
        if batch.header.is_control() {
            if batch.decision() == Some(false) {
                skipped.remove(&batch.header.producer_id);
            }
            continue;
        }
        let hidden = committed && batch.header.is_transactional() && skipped.contains(&batch.header.producer_id);
        if !hidden {
            seen.extend(batch.seen().filter(|record| record.offset < end));
        }
    }
    seen
}
