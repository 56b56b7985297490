//! When raw producers wrote last: who has been idle for too long is forgotten.

use super::State;
use crate::io::touched::touch;
use crate::types::Lsn;

impl State {
    /// The frame that a raw producer wrote last, its registration if it wrote nothing.
    pub fn raw_producer(&self, producer_id: i64) -> Option<Lsn> {
        self.producers.registration(producer_id).ok().map(|raw| self.producers.wrote_last(raw))
    }

    /// Calls `f` with at most `most` raw producers, from a slot on, and the frame each wrote last, its registration if
    /// it wrote nothing. Returns the slot to go on from, `None` at the end.
    pub fn raw_producers(&self, from: u32, most: usize, mut f: impl FnMut(i64, Lsn)) -> Option<u32> {
        let pages = self.producers.raw.pages(from);
        let all = pages.flat_map(|(first, page)| page.entries().map(move |(at, raw)| (first + at, raw)));
        for (told, (slot, raw)) in all.skip_while(|(slot, _)| *slot < from).enumerate() {
            if told == most {
                return Some(slot);
            }
            touch(1);
            f(raw.producer_id, self.producers.wrote_last(raw));
        }
        None
    }
}
