//! What recoveries have cut: which frames that a life had shown are there no more. A reader's place is held against it.

use super::paged::Paged;
use crate::format::control::Recovered;
use crate::limits::CUTS_KEPT;
use crate::types::{Incarnation, Lsn};

/// Of what lives before this one wrote, nothing above `kept` is left. Their numbers may have been given again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The life that recovered the log.
    pub incarnation: Incarnation,
    /// The last frame that it kept.
    pub kept: Lsn,
}

/// All cuts that a place can still lie behind, oldest first. Lives and kept frames ascend: a later cut at or below an
/// earlier one says all that that one did.
#[derive(Clone, Debug, Default)]
pub struct Cuts {
    pub(super) table: Paged<Cut>,
}

impl Cuts {
    /// Takes a loaded table; `None` if it is not as `note` makes it.
    pub(super) fn load(table: Paged<Cut>) -> Option<Self> {
        let all: Vec<Cut> = table.iter().map(|(_, cut)| *cut).collect();
        let ascend = all.is_sorted_by(|a, b| a.incarnation < b.incarnation && a.kept < b.kept);
        (ascend && all.len() <= CUTS_KEPT).then_some(Self { table })
    }

    /// Notes a recovery. One that cut nothing it could see counts too: what never reached the device left no trace.
    pub fn note(&mut self, recovered: &Recovered) {
        // Behind a loss that was accepted offsets may have been given again.
        let lost = if recovered.lost_first == 0 { Lsn::MAX } else { recovered.lost_first };
        let cut = Cut { incarnation: recovered.incarnation, kept: recovered.last_lsn.min(lost - 1) };
        let mut all: Vec<Cut> = self.table.iter().map(|(_, cut)| *cut).collect();
        all.retain(|earlier| earlier.kept < cut.kept && earlier.incarnation < cut.incarnation);
        all.push(cut);
        if all.len() > CUTS_KEPT {
            // The two oldest become one that answers for both: more places are refused than must be, none too few.
            let kept = all.remove(0).kept;
            all[0].kept = kept;
        }
        self.table = Paged::default();
        for (slot, cut) in (0..).zip(all) {
            self.table.set(slot, cut);
        }
    }

    /// All of them, oldest first.
    pub fn all(&self) -> Vec<Cut> {
        self.table.iter().map(|(_, cut)| *cut).collect()
    }
}

/// The cut that took a frame which a life had shown, if one did.
pub fn cut_behind(cuts: &[Cut], incarnation: Incarnation, lsn: Lsn) -> Option<&Cut> {
    cuts.iter().find(|cut| cut.incarnation > incarnation && cut.kept < lsn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovered(incarnation: Incarnation, last_lsn: Lsn) -> Recovered {
        Recovered { incarnation, durable_lsn: 0, last_lsn, cut_bytes: 0, cut_lsn: 0, lost_first: 0, lost_last: 0 }
    }

    #[test]
    fn a_frame_is_gone_if_any_later_life_kept_less() {
        let mut cuts = Cuts::default();
        [(2, 100), (4, 300), (5, 200), (9, 900)].iter().for_each(|(i, kept)| cuts.note(&recovered(*i, *kept)));
        let all = cuts.all();
        assert_eq!(all.iter().map(|c| (c.incarnation, c.kept)).collect::<Vec<_>>(), [(2, 100), (5, 200), (9, 900)]);
        for (incarnation, lsn, gone) in [
            (1, 100, false),
            (1, 101, true),
            (3, 200, false),
            (3, 201, true),
            (5, 900, false),
            (8, 901, true),
            (9, 2_000, false),
        ] {
            assert_eq!(cut_behind(&all, incarnation, lsn).is_some(), gone, "life {incarnation}, frame {lsn}");
        }
    }

    #[test]
    fn an_accepted_loss_counts_as_a_cut_before_it() {
        let mut cuts = Cuts::default();
        cuts.note(&Recovered { lost_first: 50, lost_last: 60, ..recovered(3, 100) });
        assert_eq!(cuts.all(), [Cut { incarnation: 3, kept: 49 }]);
    }

    #[test]
    fn the_list_is_bounded_and_what_it_forgets_is_refused() {
        let (mut cuts, mut exact) = (Cuts::default(), Vec::new());
        for life in 1..=(CUTS_KEPT as u64 + 40) {
            cuts.note(&recovered(life * 2, life * 10));
            exact.push(Cut { incarnation: life * 2, kept: life * 10 });
        }
        let all = cuts.all();
        assert_eq!(all.len(), CUTS_KEPT);
        assert!(Cuts::load(cuts.table).is_some());
        for life in 0..700 {
            for lsn in (0..4_000).step_by(7) {
                let gone = cut_behind(&exact, life, lsn).is_some();
                assert!(!gone || cut_behind(&all, life, lsn).is_some(), "life {life}, frame {lsn}");
            }
        }
        let newest = all.last().unwrap().incarnation;
        assert!(cut_behind(&all, newest - 1, all.last().unwrap().kept).is_none(), "what is new is told exactly");
    }
}
