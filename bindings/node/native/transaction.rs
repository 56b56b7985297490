//! An open transaction.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use napi::bindgen_prelude::BigInt;
use napi_derive::napi;
use oncelog::{Error, ErrorKind, GroupMetadata};

use crate::arguments::{OffsetRow, number, offsets};
use crate::bin::throw_away;
use crate::crossing::{Entries, Sender, Slot, Topics};
use crate::errors::{OrThrow, Result, thrown};
use crate::open_log::OpenLog;
use crate::queue::{Done, Queue};

/// What takes a transaction's records in; empty once it has ended.
pub struct TransactionSender {
    open: RefCell<Option<oncelog::Transaction>>,
    topics: Topics,
    log: Arc<OpenLog>,
}

impl Drop for TransactionSender {
    /// One that the collector finds is aborted where that may wait, and before its log goes.
    fn drop(&mut self) {
        if let Some(forgotten) = self.open.take() {
            throw_away((forgotten, self.log.clone()));
        }
    }
}

impl TransactionSender {
    /// Takes in what goes without waiting, or with `wait` everything, and answers how many bytes that were.
    pub fn cross(&self, bytes: &[u8], wait: bool) -> Result<u32> {
        let mut entries = Entries::new(bytes);
        let mut left = bytes.len();
        self.with(|transaction| {
            while let Some((topic, record)) = entries.next()? {
                let topic = self.topics.name(topic)?;
                match wait {
                    true => transaction.send(&topic, record).or_throw()?,
                    false if transaction.send_now(&topic, record).or_throw()? => {}
                    false => break,
                }
                left = entries.left();
            }
            // The caller's length was of 32 bits.
            Ok((bytes.len() - left) as u32)
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut oncelog::Transaction) -> Result<T>) -> Result<T> {
        match &mut *self.open.borrow_mut() {
            Some(transaction) => f(transaction),
            None => Err(thrown(&ended())),
        }
    }

    fn take(&self) -> Result<oncelog::Transaction> {
        self.open.borrow_mut().take().ok_or_else(|| thrown(&ended()))
    }
}

fn ended() -> Error {
    Error::new(ErrorKind::InvalidTransactionState, "this transaction has ended; begin another")
}

/// A transaction.
#[napi]
pub struct Transaction {
    slot: Slot,
    sender: Rc<TransactionSender>,
    number: u64,
    queue: Arc<Queue>,
}

impl Transaction {
    pub fn new(log: Arc<OpenLog>, queue: Arc<Queue>, transaction: oncelog::Transaction) -> Self {
        let number = transaction.number();
        let open = RefCell::new(Some(transaction));
        let sender = Rc::new(TransactionSender { open, topics: Topics::default(), log });
        Self { slot: Slot::new(Sender::Transaction(sender.clone())), sender, number, queue }
    }
}

#[napi]
impl Transaction {
    /// The number that `cross` knows it by.
    #[napi(getter, catch_unwind)]
    pub fn slot(&self) -> u32 {
        self.slot.number()
    }

    #[napi(getter, catch_unwind)]
    pub fn number(&self) -> BigInt {
        self.number.into()
    }

    /// Numbers a topic.
    #[napi(catch_unwind)]
    pub fn topic(&self, name: String) -> u32 {
        self.sender.topics.add(name)
    }

    #[napi(catch_unwind)]
    pub fn send_offsets(&self, group: String, rows: Vec<OffsetRow>) -> Result<()> {
        let offsets = offsets(rows)?;
        self.sender.with(|transaction| transaction.send_offsets(&GroupMetadata { group }, &offsets).or_throw())
    }

    #[napi(catch_unwind)]
    pub fn send_position(&self, position: BigInt) -> Result<()> {
        let position = number(&position)?;
        self.sender.with(|transaction| transaction.send_position(position).or_throw())
    }

    /// Commits; `who` hears when it has met its level. It has ended when this returns.
    #[napi(catch_unwind)]
    pub fn commit(&self, who: u32) -> Result<()> {
        let ticket = self.sender.take()?.commit_ticket();
        self.queue.watch(who, ticket, move |committed| Done::Committed(who, committed));
        Ok(())
    }

    #[napi(catch_unwind)]
    pub fn abort(&self) -> Result<()> {
        self.sender.take()?.abort().or_throw()
    }
}
