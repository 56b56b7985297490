//! What a partition answers to a read that it cannot serve.

use super::Partition;
use crate::error::{Error, ErrorKind};
use crate::types::{Bounds, Offset};

impl Partition {
    /// The answer to an offset outside of the partition.
    pub fn out_of_range(&self, offset: Offset) -> Error {
        let Bounds { start, end, .. } = self.bounds();
        let (topic, number) = (self.topic(), self.number());
        let values = format!("topic={topic} partition={number} offset={offset} start={start} end={end}");
        Error::new(ErrorKind::OffsetOutOfRange, format!("no such offset; read from start to end, {values}"))
    }

    /// The answer once the topic is deleted.
    pub fn gone(&self) -> Error {
        let (topic, number) = (self.topic(), self.number());
        let text = "the topic was deleted; open the partition again if it was created anew";
        Error::new(ErrorKind::UnknownTopicOrPartition, format!("{text}, topic={topic} partition={number}"))
    }
}
