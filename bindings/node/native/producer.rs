//! Producers, plain, named and transactional.

use std::cell::RefCell;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::{BigInt, Uint8Array};
use napi_derive::napi;
use oncelog::{Appended, Error, ErrorKind, Ticket};

use crate::bin::throw_away;
use crate::call::{Call, Tickets};
use crate::consumer::Consumer;
use crate::crossing::{Entries, Rows, Run, Sender, Slot, Topics, heads};
use crate::errors::{Kind, OrThrow, Result, gone, thrown};
use crate::layout;
use crate::open_log::OpenLog;
use crate::queue::{Done, Queue};
use crate::transaction::Transaction;

/// Who waits for what.
type Promises = Vec<(u32, Ticket<Appended>)>;

/// What takes a producer's records in.
pub struct ProducerSender {
    producer: Held,
    topics: Topics,
    queue: Arc<Queue>,
    log: Arc<OpenLog>,
    memory: Uint8Array,
    /// Who hears of refusals.
    refusals: u32,
    /// A call of many of which a part is sent.
    begun: RefCell<Option<Arc<Call>>>,
    /// A call that goes on in the next crossing was refused: the rest of it is not sent.
    skipping: RefCell<Option<Error>>,
}

/// The engine's own producer, until its sender goes.
struct Held(Option<oncelog::Producer>);

impl Deref for Held {
    type Target = oncelog::Producer;
    fn deref(&self) -> &oncelog::Producer {
        match &self.0 {
            Some(producer) => producer,
            // It is only taken by the drop.
            None => unreachable!("a producer is used after its drop"),
        }
    }
}

impl Drop for ProducerSender {
    /// What is still gathered is closed where that may wait for room, and before the log goes.
    fn drop(&mut self) {
        throw_away((self.producer.0.take(), self.log.clone()));
    }
}

impl ProducerSender {
    /// The memory in which its facade packs.
    pub fn memory(&self) -> &[u8] {
        &self.memory
    }

    /// Sends what goes without waiting, or with `wait` everything, and answers how many bytes that were. Whatever goes
    /// wrong, what was sent before is settled, and the rest is refused: nobody waits for ever.
    pub fn cross(&self, bytes: &[u8], wait: bool) -> u32 {
        let (mut promises, mut crossed) = (Vec::new(), 0);
        let takes = AssertUnwindSafe(|| self.take_in(bytes, wait, &mut promises, &mut crossed));
        let taken = catch_unwind(takes).unwrap_or_else(|_| {
            let text = "the engine panicked while it took records in; this is a bug in oncelog, report it";
            Err(Error::new(ErrorKind::Panic, text))
        });
        self.settle(promises);
        if let Err(error) = taken {
            self.refuse(&bytes[crossed..], &error);
            crossed = bytes.len();
        }
        // The caller's length was of 32 bits.
        crossed as u32
    }

    /// `crossed` counts the bytes that are sent or refused.
    fn take_in(&self, bytes: &[u8], wait: bool, promises: &mut Promises, crossed: &mut usize) -> oncelog::Result<()> {
        let bug = |error: napi::Error<Kind>| Error::new(ErrorKind::Internal, error.reason.clone());
        let mut entries = Entries::new(bytes);
        while let Some(mut run) = entries.run().map_err(bug)? {
            let topic = self.topics.name(run.topic).map_err(bug)?;
            if run.has(layout::MANY) {
                self.send_call(&mut run, &topic, wait);
            } else if run.has(layout::ANSWER) {
                self.send(&mut run, &topic, wait, promises);
            } else {
                self.post(&mut run.rows, &topic, wait);
            }
            let left = run.rows.bytes();
            *crossed = bytes.len() - entries.left() - left;
            if left > 0 {
                break;
            }
        }
        Ok(())
    }

    /// Tells whoever waits for these entries that they were refused.
    fn refuse(&self, bytes: &[u8], error: &Error) {
        let mut begun = self.begun.borrow_mut().take();
        let mut told = None;
        for head in heads(bytes) {
            if !head.has(layout::MANY) {
                let done = if head.has(layout::ANSWER) { Done::Failed } else { Done::Refused };
                let who = if head.has(layout::ANSWER) { head.who } else { self.refusals };
                self.queue.push(done(who, error.clone()));
            } else if told != Some(head.who) {
                told = Some(head.who);
                begun.take().unwrap_or_else(|| Call::new(head.who, self.queue.clone())).ends(Some(error.clone()));
            }
            if head.has(layout::MORE) {
                *self.skipping.borrow_mut() = Some(error.clone());
            }
        }
    }

    /// Sends some of the records, those that go without waiting; with `wait` the first that would wait does, and goes.
    fn send_some(&self, rows: &mut Rows<'_, '_>, topic: &str, wait: bool) -> (usize, Tickets, Option<Error>) {
        let one = |sent: oncelog::Result<Option<Ticket<Appended>>>| match sent {
            Ok(ticket) => (usize::from(ticket.is_some()), ticket.map_or(Tickets::None, Tickets::One), None),
            Err(error) => (0, Tickets::None, Some(error)),
        };
        let first = rows.clone().next().unwrap_or_default();
        let (sent, tickets, refused) = if rows.len() == 1 && !wait {
            one(self.producer.try_send(topic, first))
        } else {
            match self.producer.try_send_runs(topic, rows.clone()) {
                Err(error) => (0, Tickets::None, Some(error)),
                Ok((0, _, None)) if wait => one(self.producer.send(topic, first).map(Some)),
                Ok((sent, ticket, refused)) => (sent, Tickets::Many(ticket), refused),
            }
        };
        rows.leave(sent);
        (sent, tickets, refused)
    }

    /// Sends records that nobody waits for; one that is refused is dealt with.
    fn post(&self, rows: &mut Rows<'_, '_>, topic: &str, wait: bool) {
        while rows.len() > 0 {
            let (sent, _, refused) = self.send_some(rows, topic, wait);
            match refused {
                Some(error) => {
                    self.queue.push(Done::Refused(self.refusals, error));
                    rows.leave(1);
                }
                None if sent == 0 => return,
                None => {}
            }
        }
    }

    /// Sends one record that is waited for. One by one, since what becomes of one says nothing of the next.
    fn send(&self, run: &mut Run<'_, '_>, topic: &str, wait: bool, promises: &mut Promises) {
        let record = run.rows.clone().next().unwrap_or_default();
        let sent = match wait {
            true => self.producer.send(topic, record).map(Some),
            false => self.producer.try_send(topic, record),
        };
        match sent {
            Ok(None) => return,
            Ok(Some(ticket)) => promises.push((run.who, ticket)),
            Err(error) => self.queue.push(Done::Failed(run.who, error)),
        }
        run.rows.leave(1);
    }

    /// Sends the records of one call, or of as much of it as is here.
    fn send_call(&self, run: &mut Run<'_, '_>, topic: &str, wait: bool) {
        let begun = || Call::new(run.who, self.queue.clone());
        let call = self.begun.borrow_mut().get_or_insert_with(begun).clone();
        let mut refused = self.skipping.borrow_mut().take();
        while run.rows.len() > 0 && refused.is_none() {
            let (sent, ticket, error) = self.send_some(&mut run.rows, topic, wait);
            refused = error;
            if sent > 0 {
                call.part(ticket);
            } else if refused.is_none() {
                return;
            }
        }
        *self.begun.borrow_mut() = None;
        run.rows.leave(usize::MAX);
        if run.has(layout::MORE) {
            self.skipping.borrow_mut().clone_from(&refused);
        }
        call.ends(refused);
    }

    /// A promise is a wait: it closes the batch, as a wait does, instead of lingering for more; unless it would itself
    /// have to wait: then the engine's keeper does. Only at the end, so that what was sent together goes down together.
    fn settle(&self, promises: Promises) {
        for (who, ticket) in promises {
            ticket.hasten();
            self.queue.watch(who, Ok(ticket), move |appended| Done::Appended(who, appended));
        }
    }
}

/// A producer.
#[napi]
pub struct Producer {
    open: RefCell<Option<(Slot, Rc<ProducerSender>)>>,
}

impl Producer {
    /// `memory` is where its facade packs; `refusals` hears of what was refused.
    pub fn new(
        log: Arc<OpenLog>,
        queue: Arc<Queue>,
        producer: oncelog::Producer,
        (memory, refusals): (Uint8Array, u32),
    ) -> Self {
        let (begun, skipping) = (RefCell::new(None), RefCell::new(None));
        let (producer, topics) = (Held(Some(producer)), Topics::default());
        let sender = Rc::new(ProducerSender { producer, topics, queue, log, memory, refusals, begun, skipping });
        let slot = Slot::new(Sender::Producer(sender.clone()));
        Self { open: RefCell::new(Some((slot, sender))) }
    }

    fn sender(&self) -> Result<Rc<ProducerSender>> {
        let open = self.open.borrow();
        open.as_ref().map(|(_, sender)| sender.clone()).ok_or_else(|| thrown(&gone()))
    }
}

#[napi]
impl Producer {
    /// The number that `cross` knows it by.
    #[napi(getter, catch_unwind)]
    pub fn slot(&self) -> Result<u32> {
        self.open.borrow().as_ref().map(|(slot, _)| slot.number()).ok_or_else(|| thrown(&gone()))
    }

    /// Numbers a topic.
    #[napi(catch_unwind)]
    pub fn topic(&self, name: String) -> Result<u32> {
        Ok(self.sender()?.topics.add(name))
    }

    /// False if something that is gathered would have to wait for room, and `who` hears nothing.
    #[napi(catch_unwind)]
    pub fn flush(&self, who: u32) -> Result<bool> {
        let sender = self.sender()?;
        let ticket = sender.producer.try_flush().or_throw()?;
        Ok(ticket.map(|ticket| sender.queue.watch(who, Ok(ticket), move |()| Done::Nothing(who))).is_some())
    }

    /// Throws what was refused since the last flush, where no flush can tell it any more: the log is closed.
    #[napi(catch_unwind)]
    pub fn refused(&self) -> Result<()> {
        self.sender()?.producer.refused().map_or(Ok(()), Err).or_throw()
    }

    #[napi(catch_unwind)]
    pub fn position(&self) -> Result<Option<BigInt>> {
        Ok(self.sender()?.producer.position().map(BigInt::from))
    }

    /// Lets the producer go.
    #[napi(catch_unwind)]
    pub fn close(&self) {
        let open = self.open.borrow_mut().take();
        drop(open);
    }
}

/// A transactional producer.
#[napi]
pub struct TransactionalProducer {
    open: RefCell<Option<(oncelog::TransactionalProducer, Arc<OpenLog>)>>,
    queue: Arc<Queue>,
}

impl TransactionalProducer {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, producer: oncelog::TransactionalProducer) -> Self {
        Self { open: RefCell::new(Some((producer, log))), queue }
    }
}

#[napi]
impl TransactionalProducer {
    /// Begins a transaction, bound to a consumer if one is given.
    #[napi(catch_unwind)]
    pub fn begin(&self, consumer: Option<&Consumer>) -> Result<Transaction> {
        let open = self.open.borrow();
        let (producer, log) = open.as_ref().ok_or_else(|| thrown(&gone()))?;
        let begun = match consumer {
            None => producer.begin_ticket(None),
            Some(consumer) => producer.begin_ticket(Some(&*consumer.core()?)),
        };
        let transaction = begun.and_then(|mut begun| begun.try_wait()).or_throw()?.ok_or_else(|| {
            let text = "why nothing may begin here is not on the device yet; begin again to hear it";
            thrown(&Error::new(ErrorKind::Busy, text))
        })?;
        Ok(Transaction::new(log.clone(), self.queue.clone(), transaction))
    }

    #[napi(catch_unwind)]
    pub fn position(&self) -> Result<Option<BigInt>> {
        let open = self.open.borrow();
        let (producer, _) = open.as_ref().ok_or_else(|| thrown(&gone()))?;
        Ok(producer.position().map(BigInt::from))
    }

    #[napi(catch_unwind)]
    pub fn close(&self) {
        let open = self.open.borrow_mut().take();
        drop(open);
    }
}
