//! What a workload does with raw identities and compressed batches.

use std::time::Duration;

use oncelog::{
    AppendOptions, Batch, Compression, Durability, GroupMetadata, Identity, Offsets, Outcome, Record, TopicPartition,
};

use super::Check;
use super::tape::Tape;
use super::world::{Effect, Known, known_by};

impl Tape {
    /// Appends a compressed batch of records of these sizes and waits for `level`.
    pub fn append_packed(
        &mut self,
        topic: &str,
        partition: u32,
        sizes: &[usize],
        codec: Compression,
        level: Durability,
    ) -> Check {
        let mut builder = Batch::builder();
        builder.compression(codec);
        let mut values = Vec::new();
        for size in sizes {
            let value = self.value(*size);
            builder.push(&Record::new(&value), 1_600_000_000_000).map_err(|error| error.to_string())?;
            values.push(known_by(&value));
        }
        let batch = builder.build().map_err(|error| error.to_string())?;
        assert_eq!(batch.header().compression(), codec as u8, "these values compress");
        match self.place_batch(topic, partition, &batch, values, level)? {
            Some(waiting) => self.wait(waiting),
            None => Ok(()),
        }
    }

    /// An identity under a transactional id. Its epochs are raised by every end, so they are not asked for later.
    pub fn identity(&mut self, name: &str) -> Result<Identity, String> {
        let op = self.begin(format!("init {name}"), vec![]);
        let answer = self.engine().init_producer(Some(name), Duration::from_secs(60), None);
        let identity = self.answered(op, Durability::Disk, answer)?;
        identity.ok_or_else(|| "a workload opens names before it breaks the disk".to_owned())
    }

    /// A batch of one record of a raw transaction; its value is for `end_raw`.
    pub fn stream_raw(
        &mut self,
        topic: &str,
        partition: u32,
        identity: Identity,
        sequence: i32,
        len: usize,
    ) -> Result<Known, String> {
        let value = self.value(len);
        let values = vec![known_by(&value)];
        let effect = Effect::Streamed { topic: topic.to_owned(), partition, values };
        let op = self.begin(format!("raw batch to {topic}-{partition}"), vec![effect]);
        let mut builder = Batch::builder();
        builder.push(&Record::new(&value), 1_600_000_000_000).map_err(|error| error.to_string())?;
        builder.producer(identity, sequence).transactional(true);
        let batch = builder.build().map_err(|error| error.to_string())?;
        let options = AppendOptions::new().durability(Durability::Disk);
        let answer = self.engine().partition(topic, partition).and_then(|p| p.append_with(&batch, options));
        let answer = answer.and_then(|ticket| ticket.wait());
        self.answered(op, Durability::Disk, answer)?;
        Ok(known_by(&value))
    }

    /// Offsets that a raw transaction commits, if it does.
    pub fn send_pending(&mut self, identity: Identity, (group, topic, offset): (&str, &str, u64)) -> Check {
        let op = self.begin(format!("pending offset of {group}"), vec![]);
        let offsets: Offsets = [(TopicPartition::new(topic, 0), offset.into())].into();
        let answer = self.engine().send_offsets(identity, &GroupMetadata { group: group.to_owned() }, &offsets);
        self.answered(op, Durability::Disk, answer).map(drop)
    }

    /// Ends a raw transaction with these values and this pending offset; answers the next identity.
    pub fn end_raw(
        &mut self,
        identity: Identity,
        outcome: Outcome,
        values: Vec<Known>,
        (group, topic, offset): (&str, &str, u64),
    ) -> Result<Identity, String> {
        let (group, topic) = (group.to_owned(), topic.to_owned());
        let effects = match outcome {
            Outcome::Commit => {
                vec![Effect::Committed { values }, Effect::Offset { group, topic, partition: 0, offset }]
            }
            Outcome::Abort => vec![],
        };
        let op = self.begin(format!("{outcome:?} of what a raw identity streamed"), effects);
        let answer = self.engine().end_transaction(identity, outcome);
        let next = self.answered(op, Durability::Disk, answer)?;
        next.ok_or_else(|| "a workload ends transactions before it breaks the disk".to_owned())
    }
}
