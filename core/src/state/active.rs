//! Who is active in a partition: whose batches are remembered there, and whose transaction is open there.

use super::State;
use super::transactions::OpenTransaction;
use crate::io::touched::touch;
use crate::types::{ActiveProducer, Identity, Instance, TransactionNumber};

/// Where a walk over a partition's producers goes on: it comes to those with batches by their ids, then to those with
/// a transaction by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActiveFrom {
    /// The producer of this id or the next one.
    Batches(i64),
    /// The transaction of this number or the next one.
    Open(TransactionNumber),
}

impl State {
    /// Calls `f` with at most `most` of a partition's producers. Who has batches and a transaction comes twice; the
    /// later answer counts. Returns where to go on, `None` at the end.
    pub fn active_in(
        &self,
        instance: Instance,
        from: ActiveFrom,
        most: usize,
        mut f: impl FnMut(ActiveProducer),
    ) -> Option<ActiveFrom> {
        match from {
            _ if !self.is_there(instance) => None,
            ActiveFrom::Batches(from) => {
                let mut ids = self.sequences.in_partition(instance, from);
                for id in ids.by_ref().take(most).inspect(|_| touch(3)).filter(|id| self.producers.is_known(*id)) {
                    self.active(instance, id, self.transactions.of_producer(id)).into_iter().for_each(&mut f);
                }
                Some(ids.next().map_or(ActiveFrom::Open(0), ActiveFrom::Batches))
            }
            ActiveFrom::Open(from) => {
                let mut numbers = self.transactions.numbers_in(instance, from);
                for open in
                    numbers.by_ref().take(most).inspect(|_| touch(3)).filter_map(|number| self.transactions.get(number))
                {
                    self.active(instance, open.producer_id, Some(open)).into_iter().for_each(&mut f);
                }
                numbers.next().map(ActiveFrom::Open)
            }
        }
    }

    /// Batches of a transaction that the engine sends for its owner have no sequence and leave nothing but the
    /// transaction. What an older epoch left is not its.
    fn active(&self, instance: Instance, id: i64, open: Option<&OpenTransaction>) -> Option<ActiveProducer> {
        let open = open.and_then(|open| Some((open.epoch, self.transactions.span(open.number, instance)?.first)));
        // What nobody holds any more may be there still.
        let sequence = self.sequences.get(id, instance).filter(|_| self.producers.is_known(id));
        let epoch = open.map(|(epoch, _)| epoch).or(sequence.map(|sequence| sequence.epoch))?;
        let newest = sequence.filter(|sequence| sequence.epoch == epoch).and_then(|of| of.batches().last());
        Some(ActiveProducer {
            identity: Identity { producer_id: id, epoch },
            last_sequence: newest.map(|batch| batch.last_sequence),
            last_timestamp: newest.map(|batch| batch.timestamp).filter(|timestamp| *timestamp >= 0),
            transaction_start_offset: open.map(|(_, first)| first),
        })
    }
}
