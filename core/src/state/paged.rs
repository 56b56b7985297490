//! A table in pages that a snapshot shares: taking one costs a few pointers, and a page is copied only when it changes
//! while a snapshot still holds it.
//!
//! Two levels of 64: a node holds 64 pages of 64 entries. A snapshot copies one pointer per 4096 slots, so the
//! journal's lock is held for microseconds even with a million partitions. Empty pages and nodes are given back, so
//! slots that are never used again (partition instances only grow) cost 8 bytes per 4096.

use std::array;
use std::sync::Arc;

use crate::io::touched::touch;

/// Entries in a page, and pages in a node.
const FAN: usize = 64;
/// Entries below one node.
const SPAN: usize = FAN * FAN;

/// 64 neighbouring slots.
#[derive(Clone, Debug)]
pub struct Page<T> {
    used: usize,
    slots: [Option<T>; FAN],
}

impl<T> Page<T> {
    fn empty() -> Self {
        Self { used: 0, slots: array::from_fn(|_| None) }
    }

    /// Number of entries, 1..=64 for a page that a table holds.
    pub fn used(&self) -> usize {
        self.used
    }

    /// The entries with their places in the page.
    pub fn entries(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.slots).filter_map(|(at, entry)| Some((at, entry.as_ref()?)))
    }
}

#[derive(Clone, Debug)]
struct Node<T> {
    used: usize,
    pages: [Option<Arc<Page<T>>>; FAN],
}

impl<T> Node<T> {
    fn empty() -> Self {
        Self { used: 0, pages: array::from_fn(|_| None) }
    }
}

/// A sparse table of `T` by slot number. Its clone is the snapshot.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    nodes: Vec<Option<Arc<Node<T>>>>,
    count: usize,
    /// Every slot below is taken, so that a search for a free one starts here.
    full_below: u32,
}

impl<T> Default for Paged<T> {
    fn default() -> Self {
        Self { nodes: Vec::new(), count: 0, full_below: 0 }
    }
}

/// Node, page in the node, entry in the page. Slots are u32 and usize is never narrower here.
#[inline]
fn split(slot: u32) -> (usize, usize, usize) {
    let slot = slot as usize;
    (slot / SPAN, slot / FAN % FAN, slot % FAN)
}

/// The slot of a place that `split` gave: below 2^32 because the table was filled by u32 slots only.
fn join(node: usize, page: usize, at: usize) -> u32 {
    (node * SPAN + page * FAN + at) as u32
}

impl<T: Clone + PartialEq> PartialEq for Paged<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<T: Clone + Eq> Eq for Paged<T> {}

impl<T: Clone> Paged<T> {
    /// Number of entries.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The entry in `slot`.
    #[inline]
    pub fn get(&self, slot: u32) -> Option<&T> {
        let (node, page, at) = split(slot);
        self.nodes.get(node)?.as_ref()?.pages[page].as_ref()?.slots[at].as_ref()
    }

    /// The entry in `slot`, to change. Copies its page first if a snapshot shares it.
    #[inline]
    pub fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        touch(1);
        let (node, page, at) = split(slot);
        let node = Arc::make_mut(self.nodes.get_mut(node)?.as_mut()?);
        Arc::make_mut(node.pages[page].as_mut()?).slots[at].as_mut()
    }

    /// Puts an entry into `slot`, over what was there.
    pub fn set(&mut self, slot: u32, entry: T) {
        touch(1);
        let (node, page, at) = split(slot);
        if self.nodes.len() <= node {
            self.nodes.resize(node + 1, None);
        }
        let node = Arc::make_mut(self.nodes[node].get_or_insert_with(|| Arc::new(Node::empty())));
        let page = Arc::make_mut(node.pages[page].get_or_insert_with(|| Arc::new(Page::empty())));
        if page.slots[at].replace(entry).is_none() {
            page.used += 1;
            node.used += 1;
            self.count += 1;
        }
    }

    /// Puts an entry into the lowest free slot and returns the slot. The choice depends on nothing but which slots
    /// are taken, so a loaded table goes on exactly as the one it was taken from.
    pub fn insert(&mut self, entry: T) -> u32 {
        let slot = self.lowest_free();
        self.set(slot, entry);
        self.full_below = slot + 1;
        slot
    }

    fn lowest_free(&self) -> u32 {
        let (mut node, ..) = split(self.full_below);
        while let Some(Some(taken)) = self.nodes.get(node) {
            if taken.used < SPAN {
                let page = taken.pages.iter().position(|p| p.as_ref().is_none_or(|p| p.used < FAN)).unwrap_or(0);
                let at = taken.pages[page].as_ref().and_then(|p| p.slots.iter().position(Option::is_none));
                return join(node, page, at.unwrap_or(0));
            }
            node += 1;
        }
        join(node, 0, 0)
    }

    /// Takes the entry out of `slot` and gives back a page and a node that became empty.
    pub fn remove(&mut self, slot: u32) -> Option<T> {
        self.get(slot)?;
        touch(1);
        let (node_at, page_at, at) = split(slot);
        let node = Arc::make_mut(self.nodes[node_at].as_mut()?);
        let page = Arc::make_mut(node.pages[page_at].as_mut()?);
        let entry = page.slots[at].take();
        page.used -= 1;
        node.used -= 1;
        self.count -= 1;
        self.full_below = self.full_below.min(slot);
        if page.used == 0 {
            node.pages[page_at] = None;
        }
        if node.used == 0 {
            self.nodes[node_at] = None;
            while let Some(None) = self.nodes.last() {
                self.nodes.pop();
            }
        }
        entry
    }

    /// All entries with their slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.pages(0).flat_map(|(first, page)| page.entries().map(move |(at, entry)| (first + at, entry)))
    }

    /// The pages from the one that holds `slot` on, each with its first slot, ascending. Empty pages are left out.
    pub fn pages(&self, slot: u32) -> impl Iterator<Item = (u32, &Page<T>)> {
        let (first, ..) = split(slot);
        self.nodes
            .iter()
            .enumerate()
            .skip(first)
            .filter_map(|(n, node)| Some((n, node.as_ref()?)))
            .flat_map(|(n, node)| {
                let pages = node.pages.iter().enumerate();
                pages.filter_map(move |(p, page)| Some((join(n, p, 0), page.as_deref()?)))
            })
            .skip_while(move |(first, _)| (*first as usize) / FAN < (slot as usize) / FAN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_slot_is_taken_first() {
        let mut table = Paged::default();
        assert!((0..10_000u32).all(|n| table.insert(n) == n));
        for slot in [9_999, 5_000, 64, 3] {
            assert_eq!(table.remove(slot), Some(slot));
        }
        assert_eq!([3, 64, 5_000, 9_999, 10_000].map(|_| table.insert(7)), [3, 64, 5_000, 9_999, 10_000]);
        assert_eq!(table.count(), 10_001);
    }

    #[test]
    fn a_snapshot_keeps_what_it_saw_and_shares_the_rest() {
        let mut table = Paged::default();
        (0..5_000u32).for_each(|n| table.set(n, n));
        let snapshot = table.clone();
        *table.get_mut(70).expect("set above") = 1;
        table.remove(71);
        table.set(9_000, 2);
        assert_eq!((snapshot.get(70), snapshot.get(71), snapshot.get(9_000)), (Some(&70), Some(&71), None));
        assert_eq!((table.get(70), table.get(71), table.get(9_000)), (Some(&1), None, Some(&2)));
        let page = |t: &Paged<u32>, node: usize, page: usize| {
            t.nodes[node].as_ref().and_then(|n| n.pages[page].clone()).expect("page is there")
        };
        assert!(!Arc::ptr_eq(&page(&table, 0, 1), &page(&snapshot, 0, 1)), "the page that changed is a copy");
        assert!(Arc::ptr_eq(&page(&table, 0, 2), &page(&snapshot, 0, 2)), "its neighbour is shared");
        assert!(Arc::ptr_eq(&page(&table, 1, 0), &page(&snapshot, 1, 0)), "the other node's pages are shared");
    }

    #[test]
    fn a_far_slot_costs_no_pages_between() {
        let mut table = Paged::default();
        table.set(u32::MAX, 'z');
        table.set(5, 'a');
        assert_eq!(table.nodes.iter().flatten().count(), 2);
        assert_eq!(table.iter().collect::<Vec<_>>(), [(5, &'a'), (u32::MAX, &'z')]);
        assert_eq!(table.pages(6).map(|(first, _)| first).collect::<Vec<_>>(), [0, u32::MAX - 63]);
        assert_eq!(table.pages(64).map(|(first, page)| (first, page.used())).collect::<Vec<_>>(), [(u32::MAX - 63, 1)]);
        assert_eq!(table.remove(u32::MAX), Some('z'));
        assert_eq!(table.nodes.len(), 1, "empty nodes at the end are given back");
        assert_eq!((table.remove(u32::MAX), table.get(u32::MAX)), (None, None));
    }
}
