//! A topic, and where its partitions are.

use std::sync::Arc;

use super::catalog::durability_of;
use super::paged::Paged;
use crate::types::{Durability, Instance, TopicId};

/// A topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    /// The name.
    pub name: Arc<str>,
    /// The id.
    pub id: TopicId,
    /// The level as its frame has it, see `durability_of`.
    pub durability: u8,
    /// 0 native, 1 mirrored.
    pub partition_kind: u8,
    /// Number of its partitions.
    pub partitions: u32,
    /// Its partitions, by blocks, ascending in number and instance, shared page by page with snapshots.
    blocks: Paged<Block>,
}

/// Partitions of a topic that are neighbours in number and in instance: what one frame makes, mostly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// The number of the first.
    pub number: u32,
    /// The instance of the first.
    pub first: Instance,
    /// The instance of the last.
    pub last: Instance,
}

impl Block {
    /// The number of an instance, if it is one of these.
    pub fn number_of(&self, instance: Instance) -> Option<u32> {
        (self.first..=self.last).contains(&instance).then(|| self.number + (instance - self.first))
    }

    fn instance_of(&self, number: u32) -> Option<Instance> {
        let nth = number.checked_sub(self.number)?;
        (nth <= self.last - self.first).then(|| self.first + nth)
    }
}

impl Topic {
    /// One without partitions.
    pub fn new(name: Arc<str>, id: TopicId, durability: u8, partition_kind: u8) -> Topic {
        Topic { name, id, durability, partition_kind, partitions: 0, blocks: Paged::default() }
    }

    /// The topic's own level, if it has one.
    pub fn durability(&self) -> Option<Durability> {
        durability_of(self.durability)
    }

    /// The instance of a partition.
    pub fn instance(&self, number: u32) -> Option<Instance> {
        self.block(self.block_of(number))?.instance_of(number)
    }

    /// The instances of the partitions from a number on, in the order of their numbers.
    pub fn instances(&self, from: u32) -> impl Iterator<Item = Instance> {
        let blocks = self.blocks_from(self.block_of(from));
        blocks.flat_map(move |block| block.first + from.saturating_sub(block.number)..=block.last)
    }

    /// Its blocks, ascending, without those before `nth`.
    pub fn blocks_from(&self, nth: u32) -> impl Iterator<Item = Block> {
        let all = self.blocks.pages(nth).flat_map(|(at, page)| page.entries().map(move |(n, block)| (at + n, *block)));
        all.skip_while(move |(at, _)| *at < nth).map(|(_, block)| block)
    }

    /// The block of a place among them.
    pub fn block(&self, nth: u32) -> Option<Block> {
        self.blocks.get(nth).copied()
    }

    /// The place of the block that holds a number, or would.
    fn block_of(&self, number: u32) -> u32 {
        let (mut low, mut high) = (0, self.blocks.count() as u32);
        while low + 1 < high {
            let middle = low.midpoint(high);
            match self.block(middle) {
                Some(block) if block.number <= number => low = middle,
                _ => high = middle,
            }
        }
        low
    }

    /// Adds partitions, at least one, whose instances lie above all others. Returns the block that holds them now.
    pub fn grow(&mut self, first: Instance, count: u32) -> Block {
        let last = first + (count - 1);
        let number = self.partitions;
        self.partitions += count;
        // As many blocks as partitions at most.
        let next = self.blocks.count() as u32;
        if let Some(block) = next.checked_sub(1).and_then(|newest| self.blocks.get_mut(newest))
            && block.last.checked_add(1) == Some(first)
        {
            block.last = last;
            return *block;
        }
        let block = Block { number, first, last };
        self.blocks.set(next, block);
        block
    }
}
