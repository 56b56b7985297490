//! Chance at a power cut and at a failed sync. Each world draws its own odds once, so that some worlds lose almost
//! everything, some almost nothing, and some tear every write: what an even mix never reaches.

use std::collections::BTreeMap;

use super::cut::{Fate, Judge, Sector};
use super::disk::{Change, Disk};
use super::rng::Rng;

/// How often what happens in one world.
#[derive(Clone, Debug)]
pub(super) struct Odds {
    /// Kept, dropped, torn.
    write: [u32; 3],
    /// In the order of `Sector::ALL`.
    sector: [u32; 4],
    /// Of 8: an unsynced name survives.
    name: u64,
    /// Of 8: a page, or a name, reaches the device although its sync fails.
    page: u64,
    /// Of 8: the device wrote in order up to the power cut.
    in_order: u64,
}

impl Odds {
    pub fn draw(rng: &mut Rng) -> Self {
        Self {
            write: weights(rng),
            sector: weights(rng),
            name: [0, 1, 4, 7, 8][rng.index(5)],
            page: [0, 1, 4, 7][rng.index(4)],
            in_order: [0, 1, 4][rng.index(3)],
        }
    }

    pub fn page(&self, rng: &mut Rng) -> bool {
        rng.chance(self.page, 8)
    }
}

fn weights<const N: usize>(rng: &mut Rng) -> [u32; N] {
    let drawn = std::array::from_fn(|_| [0, 1, 1, 4, 16][rng.index(5)]);
    if drawn.iter().all(|&weight| weight == 0) { [1; N] } else { drawn }
}

/// Draws what a power cut leaves.
pub(super) struct Lottery<'a> {
    pub rng: &'a mut Rng,
    pub odds: &'a Odds,
    pub hits: &'a mut BTreeMap<&'static str, u64>,
    /// If the device wrote in order: the first change that did not get through whole.
    in_order: Option<u64>,
    /// A change was dropped, so the next one that is kept overtook it.
    dropped: bool,
}

impl<'a> Lottery<'a> {
    pub fn new(
        disk: &Disk,
        rng: &'a mut Rng,
        odds: &'a Odds,
        hits: &'a mut BTreeMap<&'static str, u64>,
    ) -> Lottery<'a> {
        let mut ids: Vec<u64> = disk.files.values().flat_map(|inode| inode.changes.iter().map(|c| c.id)).collect();
        ids.sort_unstable();
        let in_order = if rng.chance(odds.in_order, 8) {
            let at = rng.index(ids.len() + 1);
            Some(ids.get(at).copied().unwrap_or(u64::MAX))
        } else {
            None
        };
        Lottery { rng, odds, hits, in_order, dropped: false }
    }

    fn hit(&mut self, what: &'static str) {
        *self.hits.entry(what).or_default() += 1;
    }

    fn tear(&mut self, change: &Change) -> Fate {
        let mut torn = Vec::new();
        for _ in change.sectors() {
            let sector = Sector::ALL[self.rng.weighted(&self.odds.sector)];
            self.hit(match sector {
                Sector::Old => "sector old",
                Sector::New => "sector new",
                Sector::Zero => "sector zero",
                Sector::Garbage => "sector garbage",
            });
            torn.push(sector);
        }
        Fate::Torn(torn)
    }
}

impl Judge for Lottery<'_> {
    fn write(&mut self, change: &Change) -> Fate {
        let kind = match self.in_order {
            Some(first) => match change.id.cmp(&first) {
                std::cmp::Ordering::Less => 0,
                std::cmp::Ordering::Equal => 2,
                std::cmp::Ordering::Greater => 1,
            },
            None => self.rng.weighted(&self.odds.write),
        };
        match kind {
            0 => {
                self.hit("unsynced write kept");
                if self.dropped {
                    self.hit("write overtook another");
                }
                Fate::Kept
            }
            1 => {
                self.dropped = true;
                self.hit("unsynced write dropped");
                Fate::Dropped
            }
            _ => {
                self.hit("unsynced write torn");
                self.tear(change)
            }
        }
    }

    fn name(&mut self, _id: u64, removed: bool) -> bool {
        let kept = self.rng.chance(self.odds.name, 8);
        self.hit(match (removed, kept) {
            (false, true) => "new name kept",
            (false, false) => "new name lost",
            (true, true) => "removed name stayed away",
            (true, false) => "removed name came back",
        });
        kept
    }

    fn garbage(&mut self, durable: &[u8], bytes: &mut [u8]) {
        garbage(self.rng, durable, bytes);
    }
}

/// Random bytes, or bytes that lie elsewhere in the same file: what a device writes to the wrong place looks whole.
pub(super) fn garbage(rng: &mut Rng, durable: &[u8], bytes: &mut [u8]) {
    match rng.below(4) {
        0 if durable.len() > bytes.len() => {
            // In steps of 8, as frames lie.
            let at = rng.index((durable.len() - bytes.len()) / 8 + 1) * 8;
            bytes.copy_from_slice(&durable[at..at + bytes.len()]);
        }
        1 => bytes.fill(0xff),
        _ => rng.fill(bytes),
    }
}
