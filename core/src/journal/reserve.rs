//! The reserve: the last part of the segment that is written, kept back as long as the next segment is not there. It
//! lies in space that the segment was made with, so a full disk cannot take it.

use crate::limits::{LAST_WORDS, RESERVE_MAX};

/// How far into the reserve a frame may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Claim {
    /// Records, new topics and partitions, new producers, checkpoints: not at all.
    Growth,
    /// Commits of transactions with records: the first half.
    Commit,
    /// What ends or frees something: decisions, offsets, fences, deletions. All but the last words.
    Decision,
    /// The mark of a close, and what the next life begins with.
    LastWords,
}

impl Claim {
    /// The byte behind which a frame may not reach, in a segment of `size` bytes that none follows yet.
    #[inline]
    pub fn limit(self, size: u64) -> u64 {
        size - match self {
            Claim::Growth => reserve(size),
            Claim::Commit => reserve(size) / 2,
            Claim::Decision => LAST_WORDS,
            Claim::LastWords => 0,
        }
    }
}

/// Bytes kept back in a segment of `size` bytes.
#[inline]
fn reserve(size: u64) -> u64 {
    (size / 4).min(RESERVE_MAX)
}

/// The size of a segment that has `needed` bytes before its reserve.
pub fn with_reserve(needed: u64) -> u64 {
    needed + needed.div_ceil(3).min(RESERVE_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{SEGMENT_DEFAULT, SEGMENT_FIRST, SEGMENT_MIN};

    #[test]
    fn each_claim_reaches_further_than_the_one_below_it() {
        for size in [SEGMENT_MIN, SEGMENT_FIRST, SEGMENT_DEFAULT] {
            let all = [Claim::Growth, Claim::Commit, Claim::Decision, Claim::LastWords].map(|c| c.limit(size));
            assert!(all.is_sorted_by(|a, b| a < b) && all[3] == size, "{size}: {all:?}");
            assert!(all[0] >= size / 4 * 3, "at most a quarter is kept back");
        }
    }

    #[test]
    fn a_segment_made_for_a_frame_has_room_for_it_before_its_reserve() {
        for needed in (1..200_000).step_by(777).chain((1 << 20..65 << 20).step_by(999_331)) {
            for rounded in [with_reserve(needed), with_reserve(needed).next_multiple_of(4096)] {
                assert!(Claim::Growth.limit(rounded) >= needed, "needed={needed} size={rounded}");
            }
        }
    }
}
