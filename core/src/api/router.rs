//! Which partition a record goes to.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::engine::unknown_partition;
use crate::engine::{Inner, TopicHandle, unknown_topic};
use crate::error::Result;
use crate::format::partitioner::partition_for_key;
use crate::format::record::Record;
use crate::io::Random;
use crate::partition::Partition;
use crate::types::{Instance, TopicId};

/// Chooses partitions as Kafka's producers do: the record's own, else by its key, else one that changes from batch to
/// batch (KIP-480), so that records without a key fill batches and still spread.
#[derive(Default)]
pub(super) struct Router {
    /// The topic of the last record, which is mostly the next one's too.
    last: Option<Looked>,
    /// Where records without a key go, in other topics.
    sticky: FxHashMap<TopicId, u32>,
    /// With so many of them, those of topics that are gone are looked for.
    tidy_at: usize,
}

/// So many topics are remembered without a look whether they are still there.
const STICKY_FEW: usize = 64;

/// A topic that was looked up, and what the answer is good for.
pub(super) struct Looked {
    changes: u64,
    pub(super) topic: Arc<TopicHandle>,
    sticky: Option<u32>,
}

impl Router {
    /// Looks a topic up, unless it is the last one's and topics have not changed.
    #[inline]
    pub(super) fn topic(&mut self, engine: &Inner, name: &str) -> Result<&mut Looked> {
        let changes = engine.topic_changes();
        match &self.last {
            Some(last) if last.changes == changes && *last.topic.name == *name => {}
            _ => self.last = Some(self.look(engine, name, changes)?),
        }
        self.last.as_mut().ok_or_else(|| unknown_topic(name))
    }

    /// Looks it up; where records of the last topic without a key go is kept for when it comes again.
    fn look(&mut self, engine: &Inner, name: &str, changes: u64) -> Result<Looked> {
        if let Some(Looked { topic, sticky: Some(sticky), .. }) = self.last.take() {
            self.sticky.insert(topic.id, sticky);
            if self.sticky.len() > self.tidy_at.max(STICKY_FEW) {
                self.tidy(engine);
            }
        }
        let topic = engine.topic(name)?;
        let sticky = self.sticky.get(&topic.id).copied();
        Ok(Looked { changes, topic, sticky })
    }

    /// Forgets topics that are gone.
    #[cold]
    fn tidy(&mut self, engine: &Inner) {
        let known = engine.topic_ids();
        self.sticky.retain(|id, _| known.contains(id));
        self.tidy_at = self.sticky.len() * 2;
    }
}

impl Looked {
    /// Whether records without a key go to that partition as long as its batch is open.
    pub(super) fn sticks_to(&self, partition: u32) -> bool {
        self.sticky == Some(partition)
    }

    /// The partition of `record`. `gathering` says whether a batch for a partition is open now.
    #[inline]
    pub(super) fn choose(
        &mut self,
        record: &Record<'_>,
        random: &dyn Random,
        gathering: impl Fn(Instance) -> bool,
    ) -> Result<&Arc<Partition>> {
        let Looked { topic, sticky, .. } = self;
        let count = topic.partitions.len();
        let number = match (record.partition, record.key) {
            (Some(number), _) => number,
            (None, Some(key)) => partition_for_key(key, u32::try_from(count).unwrap_or(u32::MAX)),
            (None, None) => {
                let next = stick(topic, *sticky, random, gathering);
                *sticky = Some(next);
                next
            }
        };
        let found = usize::try_from(number).ok().and_then(|n| topic.partitions.get(n));
        found.ok_or_else(|| unknown_partition(&topic.name, number, count))
    }
}

/// The last one as long as its batch is open; then any but the last one.
#[inline]
fn stick(topic: &TopicHandle, last: Option<u32>, random: &dyn Random, gathering: impl Fn(Instance) -> bool) -> u32 {
    let count = u32::try_from(topic.partitions.len()).unwrap_or(u32::MAX);
    let partition = last.and_then(|last| topic.partitions.get(last as usize));
    match (last, partition) {
        (Some(last), Some(partition)) if count == 1 || gathering(partition.instance()) => last,
        (Some(last), _) if count > 1 => {
            let drawn = below(random, count - 1);
            if drawn >= last { drawn + 1 } else { drawn }
        }
        _ => below(random, count),
    }
}

fn below(random: &dyn Random, end: u32) -> u32 {
    // The rest is less than `end`, which has 32 bits.
    (random.next_u64() % u64::from(end.max(1))) as u32
}

#[cfg(all(test, feature = "sim"))]
#[allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
mod tests {
    use super::*;
    use crate::engine::Settings;
    use crate::io::sim::World;
    use crate::types::TopicOptions;

    #[test]
    fn topics_that_are_gone_leave_nothing_in_a_producer_that_goes_on() {
        let world = World::new(1);
        let engine = Inner::open(world.machine(), Settings { threads: false, ..Settings::default() }).unwrap();
        let mut router = Router::default();
        for n in 0..300 {
            let name = format!("t{n}");
            engine.create_topic(&name, &TopicOptions::new()).unwrap().wait().unwrap();
            router
                .topic(&engine, &name)
                .unwrap()
                .choose(&Record::new(b"x"), &*world.machine().random, |_| true)
                .unwrap();
            if n > 9 {
                engine.delete_topic(&name).unwrap().wait().unwrap();
            }
        }
        assert!(router.sticky.len() <= STICKY_FEW + 1, "{} of 10", router.sticky.len());
        // Those that are there are remembered, however many they are.
        let kept = (0..10).filter(|n| engine.topic(&format!("t{n}")).is_ok_and(|t| router.sticky.contains_key(&t.id)));
        assert_eq!(kept.count(), 10);
    }
}
