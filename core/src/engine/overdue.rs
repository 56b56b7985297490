//! Transactions that must not stay open in the log: past their time, or let go by their owner. Time is the monotonic
//! clock's while the engine is open: nothing runs out during recovery, and what stays open over a close begins anew.

use std::collections::BTreeSet;

use rustc_hash::FxHashMap;

use super::Inner;
use crate::error::{Error, ErrorKind};
use crate::format::decision::Cause;
use crate::io::sync::Mutex;
use crate::types::TransactionNumber;

const MILLISECOND: u64 = 1_000_000;
/// How soon an abort is tried again that could not be written.
const TRY_AGAIN: u64 = 1_000 * MILLISECOND;
/// A participant of a two-phase commit never times out (KIP-939).
const FOR_EVER: u32 = i32::MAX as u32;

/// When each transaction that is open in the log is to be aborted, in monotonic nanoseconds.
#[derive(Default)]
pub struct Overdue {
    by_number: FxHashMap<TransactionNumber, (u64, Cause)>,
    order: BTreeSet<(u64, TransactionNumber)>,
}

impl Overdue {
    fn set(&mut self, number: TransactionNumber, at: u64, cause: Cause) {
        self.remove(number);
        self.by_number.insert(number, (at, cause));
        self.order.insert((at, number));
    }

    fn remove(&mut self, number: TransactionNumber) {
        if let Some((at, _)) = self.by_number.remove(&number) {
            self.order.remove(&(at, number));
        }
    }

    /// The first that is due at `now`.
    fn due(&self, now: u64) -> Option<(TransactionNumber, Cause)> {
        let (at, number) = self.order.first().copied()?;
        let cause = self.by_number.get(&number)?.1;
        (at <= now).then_some((number, cause))
    }

    fn next(&self) -> Option<u64> {
        self.order.first().map(|(at, _)| *at)
    }
}

/// The time after which a transaction is aborted, milliseconds; `None`: never.
pub(super) fn ends_after(timeout_ms: u32) -> Option<u32> {
    (1..FOR_EVER).contains(&timeout_ms).then_some(timeout_ms)
}

/// A failure that is over some time, after which nothing is wrong with the log: no space, or no segment could be made.
pub fn passes(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Full | ErrorKind::Io)
}

impl Inner {
    /// A transaction is open in the log from now on.
    pub(super) fn watch_transaction(&self, number: TransactionNumber, timeout_ms: u32) {
        let Some(timeout_ms) = ends_after(timeout_ms) else { return };
        let at = self.machine.clock.monotonic().saturating_add(u64::from(timeout_ms) * MILLISECOND);
        self.overdue.lock().set(number, at, Cause::Timeout);
        self.linger_by(at);
    }

    /// It is decided.
    pub(super) fn forget_transaction(&self, number: TransactionNumber) {
        self.overdue.lock().remove(number);
    }

    /// Its owner let it go and could not abort it: somebody else does.
    pub fn abandon(&self, number: TransactionNumber) {
        self.abort_later(number, Cause::Owner);
    }

    /// Its abort could not be written now.
    pub(super) fn abort_later(&self, number: TransactionNumber, cause: Cause) {
        self.overdue.lock().set(number, 0, cause);
        self.linger_by(0);
    }

    /// Aborts what is due; returns when the next one is.
    pub(super) fn abort_overdue(&self) -> Option<u64> {
        let now = self.machine.clock.monotonic();
        loop {
            let (number, cause) = match self.overdue.lock().due(now) {
                Some(due) => due,
                None => break,
            };
            match self.abort_open(number, cause) {
                Err(error) if passes(&error) => {
                    self.overdue.lock().set(number, now + TRY_AGAIN, cause);
                }
                // Decided meanwhile, or nothing is written any more: the next open decides.
                _ => self.forget_transaction(number),
            }
        }
        self.overdue.lock().next()
    }
}

/// The lock that `Inner` holds it in.
pub type Watched = Mutex<Overdue>;
