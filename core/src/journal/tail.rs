//! The bytes just written, kept for readers at the end of the log, if there are any: without one nothing is copied, and
//! the first that comes reads from the file. Only the holder of the write baton adds; a reader takes the lock for as
//! long as it takes to clone an `Arc`.

use std::collections::VecDeque;
use std::sync::Arc;

use super::segments::Bytes;
use crate::io::sync::Mutex;
use crate::io::sync::atomic::{AtomicUsize, Ordering};

const BLOCK: usize = 256 << 10;
const KEEP: usize = 4 << 20;
/// Blocks that may be kept, full or not: a reader that holds the newest one makes the next write begin another.
const BLOCKS: usize = 64;
/// Room of a block begun because a reader holds the one before.
const SMALL: usize = 16 << 10;

struct Block {
    segment: u64,
    start: u64,
    data: Arc<Vec<u8>>,
}

impl Block {
    fn end(&self) -> u64 {
        self.start + self.data.len() as u64
    }
}

/// The last few MiB of the journal.
#[derive(Default)]
pub struct Tail {
    blocks: Mutex<(VecDeque<Block>, usize)>,
    /// Bytes to come that are kept although nobody asks again: as much as is kept at all.
    wanted: AtomicUsize,
}

impl Tail {
    /// Copies bytes behind what is there, if somebody has read here lately. A block that a reader still holds is left
    /// as it is and a new one begun.
    pub fn add(&self, segment: u64, position: u64, bytes: &[u8]) {
        let wanted = self.wanted.load(Ordering::Relaxed);
        if wanted == 0 {
            return;
        }
        // A reader that asks at the same moment asks again.
        self.wanted.store(wanted.saturating_sub(bytes.len()), Ordering::Relaxed);
        let mut held = self.blocks.lock();
        if wanted <= bytes.len() {
            *held = Default::default();
            return;
        }
        let (blocks, total) = &mut *held;
        *total += bytes.len();
        if let Some(last) = blocks.back_mut()
            && last.segment == segment
            && last.end() == position
            && last.data.len() + bytes.len() <= last.data.capacity()
            && let Some(data) = Arc::get_mut(&mut last.data)
        {
            data.extend_from_slice(bytes);
            return;
        }
        let full = blocks.back().is_none_or(|last| last.data.len() + bytes.len() > BLOCK);
        let mut data = match Self::trim(blocks, total) {
            Some(old) if old.capacity() >= bytes.len() => old,
            _ => Vec::with_capacity(if full { BLOCK } else { SMALL }.max(bytes.len())),
        };
        data.extend_from_slice(bytes);
        blocks.push_back(Block { segment, start: position, data: Arc::new(data) });
    }

    /// Drops the oldest blocks past the bound; the last one dropped, if nobody reads it, is used again.
    fn trim(blocks: &mut VecDeque<Block>, total: &mut usize) -> Option<Vec<u8>> {
        let mut free = None;
        while (*total > KEEP && blocks.len() > 1) || blocks.len() >= BLOCKS {
            let block = blocks.pop_front()?;
            *total -= block.data.len();
            free = Arc::try_unwrap(block.data).ok();
        }
        free.map(|mut data| {
            data.clear();
            data
        })
    }

    /// The bytes of a range, if they all lie in one block.
    pub fn get(&self, segment: u64, position: u64, len: usize) -> Option<Bytes> {
        self.wanted.store(KEEP, Ordering::Relaxed);
        let held = self.blocks.lock();
        let block = held.0.iter().rev().find(|b| b.segment == segment && b.start <= position)?;
        let from = (position - block.start) as usize;
        (from + len <= block.data.len()).then(|| Bytes::heap(block.data.clone(), from, len))
    }
}
