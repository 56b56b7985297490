//! Closing: everything flushed, a checkpoint, a footer, a mark, the hint. The next open folds a handful of frames.

use super::Inner;
use super::event::Event;
use crate::error::Result;
use crate::format::decision::Cause;
use crate::io::sync::atomic::Ordering;
use crate::io::sync::{Here, here};

/// How far a close has come.
pub(super) enum Closing {
    Open,
    By(Here),
    Done(Result<()>),
}

impl Inner {
    /// Closes for all handles. What was placed is durable when it returns, or the error says otherwise. Closing again
    /// answers the same; from inside a callback, while somebody closes, it returns at once.
    pub fn close(&self) -> Result<()> {
        // In a forked child: the parent's files, lock and threads are none of this process's business.
        self.journal.check_process()?;
        if let Some(answer) = self.begin_close() {
            return answer;
        }
        let result = self.close_once();
        *self.closing.lock() = Closing::Done(result.clone());
        self.closed_event.happen();
        result
    }

    /// One thread closes, the others wait for its answer. `Some`: what a call answers that has nothing to do.
    fn begin_close(&self) -> Option<Result<()>> {
        let me = here();
        loop {
            let seen = self.closed_event.seen();
            {
                let mut closing = self.closing.lock();
                match &*closing {
                    Closing::Done(result) => return Some(result.clone()),
                    // A callback asks for it that the close itself, or the keeper it waits for, is running.
                    Closing::By(thread) if *thread == me || self.keeper.is_here() => return Some(Ok(())),
                    Closing::By(_) => {}
                    Closing::Open => {
                        *closing = Closing::By(me);
                        return None;
                    }
                }
            }
            self.machine.park.park(&self.closed_event, seen, None);
        }
    }

    fn close_once(&self) -> Result<()> {
        if self.refused.is_none() {
            self.linger(u64::MAX);
            // What cannot be aborted now the next open aborts.
            let _ = self.abort_left_over(Cause::Owner);
        }
        self.door.closed.store(true, Ordering::Release);
        self.hub.partitions().iter().for_each(|p| p.wake());
        self.journal.ring();
        self.journal.ring_flusher();
        self.keeper.join();
        self.flusher.join();
        let result = if self.refused.is_some() { Ok(()) } else { self.close_journal() };
        // After a failure too: the lock goes only when nobody is writing any more. The result says it all.
        let _ = self.journal.end(u64::MAX);
        if self.refused.is_none() {
            // What was gathered since the flag went up hears that it is too late.
            self.linger(u64::MAX);
        }
        // Whoever still waits is answered: with the flush behind them, or with the failure.
        self.journal.tend_callbacks();
        self.attend();
        self.journal.let_go();
        self.teller.tell(&Event::Closed { incarnation: self.incarnation });
        drop(self.lock.lock().take());
        result
    }

    fn close_journal(&self) -> Result<()> {
        self.journal.close_door()?;
        self.settle_footers();
        let current = self.journal.finish()?;
        self.footers.settle(self.journal.segments(), current, &self.hub.partitions());
        self.journal.write_head(true);
        Ok(())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Whoever wants to hear of a failure calls `close`.
        let _ = self.close();
    }
}
