//! Where a consumer's partitions are read from: found out without waiting, told of once that is safe.

use std::slice;

use super::{Assigned, Place, Reader};
use crate::api::options::Start;
use crate::error::{Error, ErrorKind, Result};
use crate::journal::Promise;
use crate::partition::Partition;
use crate::types::{Isolation, Lsn, Offset, Offsets, TopicPartition};

impl Reader {
    /// Settles the positions of all assigned partitions. Answers the last frame that one was drawn from, and whether
    /// one cannot be settled, for a transaction has an offset of it pending.
    pub(in crate::api) fn settle_all(&self) -> Result<(Lsn, Result<()>)> {
        let (unsettled, mut drawn_from) = {
            let state = self.state.lock();
            (state.unsettled()?, state.drawn_from())
        };
        let mut settled = Ok(());
        for place in unsettled {
            match self.settle(place) {
                Ok(place) => drawn_from = place.drawn_from.max(drawn_from),
                Err(error) if error.kind() == ErrorKind::UnstableOffsets => settled = Err(error),
                Err(error) => return Err(error),
            }
        }
        Ok((drawn_from, settled))
    }

    /// Whether all positions are settled, and what they were drawn from is durable.
    pub(in crate::api) fn is_settled(&self) -> bool {
        let state = self.state.lock();
        state.assigned.iter().all(|a| a.position.is_some()) && self.engine.is_flushed(state.drawn_from())
    }

    /// Settles where a partition is read from: at its position, at what is committed, or by the start rule. Waits for
    /// nothing: whoever tells of it waits for the frame that it was drawn from.
    pub(in crate::api) fn settle(&self, mut place: Place) -> Result<Place> {
        while place.position.is_none() {
            if place.partition.is_deleted() {
                return Err(place.partition.gone());
            }
            let (committed, lsn) = self.committed_at(&place)?;
            let position = match committed {
                Some(offset) => offset,
                None => self.start(&place.partition, None)?,
            };
            let mut state = self.state.lock();
            match state.unmoved(&place) {
                // Settled by somebody else, who may have read on from there.
                Some(Assigned { position: Some(now), drawn_from, .. }) => {
                    (place.position, place.drawn_from) = (Some(*now), *drawn_from);
                }
                Some(assigned) => {
                    let known = match self.options.start {
                        Start::Earliest => Some(position),
                        // The end moves on: without a commit the next life would begin elsewhere.
                        Start::Latest | Start::None => committed,
                    };
                    (assigned.position, assigned.committed) = (Some(position), known);
                    assigned.drawn_from = lsn;
                    (place.position, place.drawn_from) = (Some(position), lsn);
                }
                // Somebody sought or assigned meanwhile: what they said counts.
                None => match state.index.get(&place.name).and_then(|at| state.place(*at)) {
                    Some(now) => place = now,
                    None => (place.position, place.drawn_from) = (Some(position), lsn),
                },
            }
        }
        Ok(place)
    }

    /// What the group has committed of a partition, which the name may not be any more, and the frame that it was drawn
    /// from.
    fn committed_at(&self, place: &Place) -> Result<(Option<Offset>, Lsn)> {
        let Some(group) = &self.options.group else { return Ok((None, 0)) };
        let stable = self.options.isolation == Isolation::ReadCommitted;
        let (names, ids) = (slice::from_ref(&place.name), [place.partition.topic_id()]);
        let Promise { lsn, answer, .. } = self.engine.committed_of(group, names, &ids, stable)?;
        Ok((answer?.into_values().next().map(|committed| committed.offset), lsn))
    }

    /// What the group has committed, to be told once that is durable.
    pub(in crate::api) fn committed(&self, name: &TopicPartition) -> Result<Promise<Option<Offset>>> {
        let committed = self.committed_offsets(slice::from_ref(name))?;
        Ok(committed.map(|offsets| offsets.into_values().next().map(|committed| committed.offset)))
    }

    /// The same of several partitions, with what was stored beside the offsets.
    pub(in crate::api) fn committed_offsets(&self, names: &[TopicPartition]) -> Result<Promise<Offsets>> {
        let Some(group) = &self.options.group else { return Ok(Promise::kept(Offsets::new())) };
        self.engine.committed(group, names, self.options.isolation == Isolation::ReadCommitted)
    }

    /// Where the start rule begins; `outside` is the offset that led here, if one did.
    pub(super) fn start(&self, partition: &Partition, outside: Option<Offset>) -> Result<Offset> {
        let bounds = partition.bounds();
        match (self.options.start, outside) {
            (Start::Earliest, _) => Ok(bounds.start),
            (Start::Latest, _) => Ok(partition.visible(self.options.isolation)),
            (Start::None, Some(offset)) => Err(partition.out_of_range(offset)),
            (Start::None, None) => {
                let values = format!("topic={} partition={}", partition.topic(), partition.number());
                let text = "nothing is committed and there is no start rule; seek first";
                Err(Error::new(ErrorKind::OffsetOutOfRange, format!("{text}, {values}")))
            }
        }
    }
}

pub(super) fn unassigned() -> Error {
    Error::new(ErrorKind::InvalidState, "no partition is assigned to this consumer; call assign first")
}
