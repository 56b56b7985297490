//! A partition is an index over the journal: where its records lie, which of them may be seen, who waits for more.

mod hidden;
mod index;
mod live;
mod losses;
mod most;
mod place;
mod plan;
mod rebuild;
mod records;
mod refusals;
mod runs;
#[cfg(test)]
mod tests;
mod time;
mod undecided;
mod unpacked;
mod wait;
mod written;

pub use index::Footers;
pub use live::{OfTopic, Partition};
pub use losses::{Loss, Witness};
pub use most::Most;
pub use records::{RecordView, Records, RecordsIter};
pub use unpacked::Rest;
pub use wait::{Signal, Watch};
pub use written::{Shown, What, Written};
