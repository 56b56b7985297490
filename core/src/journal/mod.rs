//! The journal: frames in segments, groups, tickets, checkpoints, recovery. It knows neither topics nor offsets; what
//! lies under its lock and what must happen when a group is written it learns through [`Fold`].

mod baton;
mod buffers;
mod checkpoint;
mod core;
mod counters;
mod crowd;
mod end;
mod flow;
mod found;
mod handles;
mod head;
mod hold;
mod missing;
mod open;
mod reach;
mod recovery;
mod refusals;
mod reserve;
mod resume;
mod roll;
mod scan;
mod segment;
pub mod segments;
mod shelf;
mod tail;
pub mod ticket;
mod turns;
mod upkeep;
mod verify;
mod writing;

pub use self::checkpoint::Parts;
pub use self::core::{Draft, Guard, Placed};
pub use self::counters::{Counters, raise};
pub use self::end::closed;
pub use self::flow::{Call, Entry, Journal, JournalOptions};
#[cfg(feature = "holds")]
pub use self::hold::{histogram as holds, reset as reset_holds};
pub use self::missing::{Gap, Lsns};
pub use self::open::{Opening, Report, Restore};
pub use self::reserve::Claim;
pub use self::segments::{Bytes, SegmentInfo, Segments};
pub use self::ticket::{Later, PlacedCall, Promise, Seat, Ticket, Waits};

use crate::types::Lsn;

/// What the floors above lay under the journal's lock, and hear of its progress.
pub trait Fold: Send + Sync + 'static {
    /// The noted state; every change to it is a frame placed under the same hold of the lock.
    type State: Send + 'static;
    /// What the frames of a group have to tell when they are written.
    type Notes: Default + Send + 'static;
    /// The state at one moment, cheap to take.
    type Snapshot: Parts;

    /// A group is written; called in journal order, outside the journal's lock. Takes all notes.
    fn written(&self, notes: &mut Self::Notes);
    /// Everything up to `lsn` survives a power cut.
    fn durable(&self, lsn: Lsn);
    /// True while transactions are open that have something in the log.
    fn undecided(state: &Self::State) -> bool;
    /// Takes up to `ENTRIES_PER_HOLD` entries out of the state that are there for no look-up any more. True if none are
    /// left.
    fn sweep(state: &mut Self::State) -> bool;
    /// Takes the state, which is swept, for a checkpoint, at most `ENTRIES_PER_HOLD` entries of work.
    fn snapshot(state: &Self::State) -> Self::Snapshot;
}
