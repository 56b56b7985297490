//! The state as bytes: what a checkpoint's parts hold.
//!
//! ```text
//! part:     version u32, length of the part u32, part u32 (from 1), parts u32
//! part 1:   incarnation u64, first number u64, next producer id u64, next instance u32
//! then, to the end of the part, sections:  table u32, entries u32, the entries
//! entry:    slot u32 and, by table,
//!   1 topic       id 16 bytes, partitions u32, durability u8, partition kind u8, name text
//!   2 partition   (slot = instance) start u64, end u64, topic slot u32, number u32
//!   3 raw         producer id u64, epoch u16, timeout u32, opened lsn u64
//!   4 named       producer id u64, previous id u64, epoch u16, timeout u32, opened lsn u64, position lsn u64,
//!                 has position u8, position u64, last epoch u16, last u8, decisions u32, per decision number u64,
//!                 lsn u64 (bits 62 and 63: how it ended); name text
//!   5 sequence    producer id u64, instance u32, epoch u16, batches u32, per batch, oldest first,
//!                 first sequence u32, last sequence u32, first offset u64, timestamp u64, lsn u64
//!   6 committed   topic id 16 bytes, partition u32, offset u64, leader epoch u32, lsn u64, sent lsn u64, group text,
//!                 metadata text
//!   9 open        number u64, producer id u64, epoch u16, flags u16, timeout u32, since u64
//!  10 span        number u64, instance u32, first offset u64, end offset u64
//!  11 pending     number u64, topic id 16 bytes, partition u32, offset u64, leader epoch u32, lsn u64, group text,
//!                 metadata text
//!  12 options     (slot = the topic's) length u32, pairs of texts
//!  13 cut         incarnation u64, last lsn kept u64
//! ```
//! Version 1 has no last epoch, last and sent lsn, and no tables above 6.
//! Tables ascend, and slots within a table, over all parts; a text is a u16 length and UTF-8. The same state always
//! gives the same bytes, so they serve as its digest: in tables 5, 6, 10 and 11, where an entry's slot is chance, the
//! slot that is written is its place in the order of their keys.

use std::borrow::Borrow;
use std::sync::{Arc, OnceLock};

use super::State;
use super::catalog::{Catalog, PartitionState};
use super::cuts::{Cut, Cuts};
use super::entries::{Aside, Entry, PARTITION_WEIGHT};
use super::leftovers::Leftovers;
use super::offsets::{CommittedOffset, CommittedOffsets};
use super::order::{Orders, Sorted, ascending, blocks_of};
use super::paged::Paged;
use super::producers::{Named, Producers, Registration};
use super::sequences::{Sequence, Sequences};
use super::topic::{Block, Topic};
use super::transactions::{OpenSpan, OpenTransaction, PendingOffset, Transactions};
use crate::format::bytes::{Put, Reader, put_u32};
use crate::format::topic_config::TopicConfig;
use crate::limits::ENTRIES_PER_HOLD;
use crate::types::{Lsn, TopicId};

const VERSION: u32 = 2;
/// A part ends after the page that takes it past this many bytes.
const PART_BYTES: usize = 64 << 10;

/// Everything a state is made of; all look-ups are derived from it.
#[derive(Clone, Debug, Default)]
struct Tables {
    incarnation: u64,
    first_number: u64,
    next_producer_id: u64,
    next_instance: u32,
    topics: Paged<Arc<Topic>>,
    configs: Paged<TopicConfig>,
    partitions: Paged<PartitionState>,
    raw: Paged<Registration>,
    named: Paged<Arc<Named>>,
    sequences: Paged<Sequence>,
    offsets: Paged<CommittedOffset>,
    cuts: Paged<Cut>,
    open: Paged<OpenTransaction>,
    spans: Paged<OpenSpan>,
    pending: Paged<PendingOffset>,
}

/// Where a part begins: table and slot. It ends where the next one begins.
type Start = (u32, u32);

/// The state as it stood at one LSN. Takes no lock and shares its pages with the state it was taken from.
#[derive(Debug)]
pub struct Snapshot {
    tables: Tables,
    plan: OnceLock<Plan>,
}

impl Snapshot {
    /// Takes the state. Costs one pointer per 4096 entries: meant for the journal's lock, as all else here is not.
    ///
    /// What is gone must be swept up: its entries would be nobody's.
    pub fn take(state: &State) -> Self {
        debug_assert!(state.is_swept());
        let tables = Tables {
            incarnation: state.incarnation,
            first_number: state.first_number,
            next_producer_id: state.producers.next_id.cast_unsigned(),
            next_instance: state.catalog.next_instance,
            topics: state.catalog.topics.clone(),
            configs: state.catalog.configs.clone(),
            partitions: state.catalog.partitions.clone(),
            raw: state.producers.raw.clone(),
            named: state.producers.named.clone(),
            sequences: state.sequences.table.clone(),
            offsets: state.offsets.table.clone(),
            cuts: state.cuts.table.clone(),
            open: state.transactions.open.clone(),
            spans: state.transactions.spans.clone(),
            pending: state.transactions.pending.clone(),
        };
        Self { tables, plan: OnceLock::new() }
    }

    /// The same without what recoveries have cut: that is each life's own. For tests.
    #[cfg(feature = "sim")]
    pub fn without_cuts(mut self) -> Self {
        self.tables.cuts = Paged::default();
        Self { plan: OnceLock::new(), ..self }
    }

    /// Number of parts, at least 1. The first call walks over all entries.
    pub fn parts(&self) -> u32 {
        u32::try_from(self.plan().starts.len()).unwrap_or(u32::MAX)
    }

    /// Appends part `part`, from 1. A part holds at most `limits::ENTRIES_PER_HOLD` entries and, unless one page of 64
    /// is larger, about 64 KiB. Nothing is appended for a part that is not there.
    pub fn encode(&self, part: u32, out: &mut Vec<u8>) {
        let plan = self.plan();
        let Some(index) = (part as usize).checked_sub(1).filter(|index| *index < plan.starts.len()) else { return };
        let from = plan.starts[index];
        let until = plan.starts.get(index + 1).copied().unwrap_or((u32::MAX, 0));
        let t = &self.tables;
        let head = out.len();
        out.u32(VERSION).u32(0).u32(part).u32(self.parts());
        if part == 1 {
            out.u64(t.incarnation).u64(t.first_number).u64(t.next_producer_id).u32(t.next_instance);
        }
        write_section(&t.topics, from, until, out);
        write_partitions(&t.partitions, &plan.orders.blocks, from, until, out);
        write_section(&t.raw, from, until, out);
        write_section(&t.named, from, until, out);
        write_sorted(&t.sequences, &plan.orders.sequences, from, until, out);
        write_sorted(&t.offsets, &plan.orders.offsets, from, until, out);
        write_section(&t.open, from, until, out);
        write_sorted(&t.spans, &plan.orders.spans, from, until, out);
        write_sorted(&t.pending, &plan.orders.pending, from, until, out);
        write_section(&t.configs, from, until, out);
        write_section(&t.cuts, from, until, out);
        // At most 1,000 entries of at most three texts of 64 KiB.
        let len = u32::try_from(out.len() - head).unwrap_or(u32::MAX);
        put_u32(out, head + 4, len);
    }

    fn plan(&self) -> &Plan {
        self.plan.get_or_init(|| {
            let mut plan = Plan { starts: vec![(0, 0)], entries: 0, bytes: 0, orders: Orders::default() };
            plan.add(&self.tables.topics);
            plan.add_partitions(&self.tables.topics);
            plan.add(&self.tables.raw);
            plan.add(&self.tables.named);
            plan.add_sorted(&self.tables.sequences, |orders| &mut orders.sequences);
            plan.add_sorted(&self.tables.offsets, |orders| &mut orders.offsets);
            plan.add(&self.tables.open);
            plan.add_sorted(&self.tables.spans, |orders| &mut orders.spans);
            plan.add_sorted(&self.tables.pending, |orders| &mut orders.pending);
            plan.add(&self.tables.configs);
            plan.add(&self.tables.cuts);
            plan
        })
    }
}

/// Where the parts begin, and in which order entries go into them.
#[derive(Debug)]
struct Plan {
    starts: Vec<Start>,
    entries: usize,
    bytes: usize,
    orders: Orders,
}

impl Plan {
    /// Cuts a table where the part at hand is full. Cuts fall between pages.
    fn add<T: Entry>(&mut self, table: &Paged<T>) {
        for (slot, page) in table.pages(0) {
            let bytes = page.entries().map(|(_, entry)| entry.weight()).sum();
            self.take((T::TABLE, slot), page.used(), bytes);
        }
    }

    /// The same for a table whose entries go in the order of their keys.
    fn add_sorted<T: Sorted>(&mut self, table: &Paged<T>, of: fn(&mut Orders) -> &mut Vec<u32>) {
        let order = ascending(table);
        for (place, slot) in (0u32..).zip(&order) {
            self.take((T::TABLE, place), 1, table.get(*slot).map_or(0, Entry::weight));
        }
        *of(&mut self.orders) = order;
    }

    /// The same for the partitions of all topics, whether they have a record or none.
    fn add_partitions(&mut self, topics: &Paged<Arc<Topic>>) {
        let blocks = blocks_of(topics);
        for instance in blocks.iter().flat_map(|(_, block)| block.first..=block.last) {
            self.take((PartitionState::TABLE, instance), 1, PARTITION_WEIGHT);
        }
        self.orders.blocks = blocks;
    }

    fn take(&mut self, start: Start, entries: usize, bytes: usize) {
        if self.entries + entries > ENTRIES_PER_HOLD || self.bytes > PART_BYTES {
            self.starts.push(start);
            (self.entries, self.bytes) = (0, 0);
        }
        self.entries += entries;
        self.bytes += bytes;
    }
}

fn write_section<T: Entry>(table: &Paged<T>, from: Start, until: Start, out: &mut Vec<u8>) {
    let Some(first) = first_of::<T>(from) else { return };
    // Cuts fall between pages.
    let pages = table.pages(first).take_while(|(slot, _)| (T::TABLE, *slot) < until);
    write_entries::<T>(pages.flat_map(|(slot, page)| page.entries().map(move |(at, entry)| (slot + at, entry))), out);
}

fn write_sorted<T: Entry>(table: &Paged<T>, order: &[u32], from: Start, until: Start, out: &mut Vec<u8>) {
    let Some(first) = first_of::<T>(from) else { return };
    let slots = (0u32..).zip(order).skip(first as usize).take_while(|(place, _)| (T::TABLE, *place) < until);
    write_entries::<T>(slots.filter_map(|(place, slot)| Some((place, table.get(*slot)?))), out);
}

fn write_partitions(
    table: &Paged<PartitionState>,
    blocks: &[(u32, Block)],
    from: Start,
    until: Start,
    out: &mut Vec<u8>,
) {
    let Some(first) = first_of::<PartitionState>(from) else { return };
    let blocks = &blocks[blocks.partition_point(|(_, block)| block.last < first)..];
    let all = blocks.iter().flat_map(|(topic, block)| {
        let from = block.first.max(first);
        (from..=block.last).zip(block.number + (from - block.first)..).map(|(instance, number)| {
            let fresh = PartitionState { start: 0, end: 0, topic: *topic, number };
            (instance, table.get(instance).copied().unwrap_or(fresh))
        })
    });
    write_entries::<PartitionState>(all.take_while(|(instance, _)| (PartitionState::TABLE, *instance) < until), out);
}

/// The first slot of a table that belongs to a part, unless the part begins behind the table.
fn first_of<T: Entry>(from: Start) -> Option<u32> {
    (T::TABLE >= from.0).then_some(if from.0 == T::TABLE { from.1 } else { 0 })
}

fn write_entries<T: Entry>(all: impl Iterator<Item = (u32, impl Borrow<T>)>, out: &mut Vec<u8>) {
    let mut entries = 0u32;
    let head = out.len();
    for (slot, entry) in all {
        if entries == 0 {
            out.u32(T::TABLE).u32(0);
        }
        out.u32(slot);
        entry.borrow().write(out);
        entries += 1;
    }
    if entries > 0 {
        put_u32(out, head + 4, entries);
    }
}

/// Reads the parts back, in their order.
#[derive(Debug, Default)]
pub struct Loader {
    tables: Tables,
    aside: Aside,
    added: u32,
    parts: u32,
    /// Table and slot of the last entry: all ascend.
    last: Option<Start>,
}

impl Loader {
    /// Nothing read yet of a state as of `lsn`.
    pub fn new(lsn: Lsn) -> Self {
        Self { aside: Aside { lsn, ..Aside::default() }, ..Self::default() }
    }

    /// Adds the next part's body; `None`, and the loader is to be thrown away, if it is not exactly what `encode`
    /// wrote.
    pub fn add(&mut self, part_body: &[u8]) -> Option<()> {
        let mut from = Reader::new(part_body);
        let (version, len, part, parts) = (from.u32()?, from.u32()?, from.u32()?, from.u32()?);
        let whole = (1..=VERSION).contains(&version) && len as usize == part_body.len();
        if !whole || part != self.added.checked_add(1)? || part > parts {
            return None;
        }
        if part == 1 {
            self.aside.version = version;
            self.parts = parts;
            self.tables.incarnation = from.u64()?;
            self.tables.first_number = from.u64()?;
            self.tables.next_producer_id = from.u64()?;
            self.tables.next_instance = from.u32()?;
        }
        let mut room = ENTRIES_PER_HOLD;
        while !from.rest().is_empty() {
            let (table, entries) = (from.u32()?, from.u32()?);
            room = room.checked_sub(entries as usize).filter(|_| entries > 0)?;
            self.section(table, entries, &mut from)?;
        }
        self.added = part;
        (parts == self.parts && version == self.aside.version).then_some(())
    }

    fn section(&mut self, table: u32, entries: u32, from: &mut Reader<'_>) -> Option<()> {
        let (t, aside, last) = (&mut self.tables, &mut self.aside, &mut self.last);
        for _ in 0..entries {
            let slot = from.u32()?;
            if last.is_some_and(|last| last >= (table, slot)) {
                return None;
            }
            *last = Some((table, slot));
            match table {
                1 => t.topics.set(slot, Entry::read(from, slot, aside)?),
                2 => t.partitions.set(slot, Entry::read(from, slot, aside)?),
                3 => t.raw.set(slot, Entry::read(from, slot, aside)?),
                4 => t.named.set(slot, Entry::read(from, slot, aside)?),
                5 => t.sequences.set(slot, Entry::read(from, slot, aside)?),
                6 => t.offsets.set(slot, Entry::read(from, slot, aside)?),
                9 => t.open.set(slot, Entry::read(from, slot, aside)?),
                10 => t.spans.set(slot, Entry::read(from, slot, aside)?),
                11 => t.pending.set(slot, Entry::read(from, slot, aside)?),
                12 => t.configs.set(slot, Entry::read(from, slot, aside)?),
                13 => t.cuts.set(slot, Entry::read(from, slot, aside)?),
                _ => return None,
            }
        }
        Some(())
    }

    /// The state, if all parts were added and agree with each other.
    pub fn finish(self) -> Option<State> {
        let (t, counts) = (self.tables, self.aside.counts);
        if self.added == 0 || self.added != self.parts || t.first_number == 0 {
            return None;
        }
        let catalog = Catalog::load(t.topics, t.configs, t.partitions, &counts, t.next_instance)?;
        let transactions = Transactions::load(t.open, t.spans, t.pending, |instance| catalog.topic_of(instance))?;
        let mut state = State {
            incarnation: t.incarnation,
            first_number: t.first_number,
            catalog,
            producers: Producers::load(t.raw, t.named, i64::try_from(t.next_producer_id).ok()?)?,
            sequences: Sequences::load(t.sequences)?,
            offsets: CommittedOffsets::load(t.offsets)?,
            cuts: Cuts::load(t.cuts)?,
            transactions,
            leftovers: Leftovers::default(),
        };
        let there = |instance: u32| state.catalog.partition(instance).is_some();
        let topic = |id: TopicId| state.catalog.topic_by_id(id).is_some();
        let mut owned = |s: &Sequence| {
            let newest = s.batches().last().map_or(0, |batch| batch.lsn);
            state.producers.wrote_batch(s.producer_id, newest) && there(s.instance)
        };
        let whole = state.sequences.table.iter().all(|(_, sequence)| owned(sequence))
            && state.offsets.table.iter().all(|(_, offset)| topic(offset.topic))
            && state.transactions.pending.iter().all(|(_, pending)| topic(pending.topic));
        whole.then_some(state)
    }
}
