//! Where readers stand over lives of the log: a place is good if and only if the record before it is still there.

use super::look::{Records, read_once};
use super::*;
use oncelog::{Isolation, ReadOptions};

/// Places that a run remembers.
const KEPT: usize = 24;

impl Driver {
    /// Remembers where a read ended.
    pub fn stand(&mut self, part: &Part, from: u64, records: &Records, place: Option<Place>) -> Check {
        let (Some(place), Some((last, bytes))) = (place, records.last()) else { return Ok(()) };
        if place.offset <= *last || place.offset < from {
            return Err(format!("{place:?} behind record {last} of {part}"));
        }
        // Behind the last record shown there may be aborted ones, which nobody looks for later.
        if place.offset != last + 1 {
            return Ok(());
        }
        if self.places.len() == KEPT {
            let out = self.rng.index(KEPT);
            self.places.swap_remove(out);
        }
        self.places.push((part.clone(), place, bytes.clone()));
        Ok(())
    }

    /// After an opening: who stands behind a record that was cut is told so, who does not reads on.
    pub fn check_places(&mut self, engine: &Engine) -> Check {
        let mut left = Vec::new();
        for (part, place, bytes) in std::mem::take(&mut self.places) {
            if self.history.topic(&part.topic).is_none_or(|topic| topic.born != part.born) {
                continue;
            }
            let Ok(partition) = engine.partition(&part.topic, part.number) else { continue };
            let now = read_once(&partition, place.offset - 1, Isolation::ReadUncommitted, 1);
            let kept = now.is_ok_and(|records| records.first().is_some_and(|(_, now)| *now == bytes));
            match partition.read(place.offset, ReadOptions::new().from(place)) {
                Ok(_) if kept => left.push((part, place, bytes)),
                Ok(_) => return Err(format!("I7: {place:?} of {part} is good, and its record is gone")),
                Err(error) if error.kind() == ErrorKind::Truncated && !kept => {
                    *self.copies.entry("place behind a cut").or_default() += 1;
                }
                Err(error) => return Err(format!("I7: {place:?} of {part}, kept: {kept}, answers {error}")),
            }
        }
        self.places = left;
        Ok(())
    }
}
