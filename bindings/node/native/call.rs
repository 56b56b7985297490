//! A call of many records on its way: parts of it may go down one after the other, and it is answered once.

use std::sync::{Arc, Mutex, PoisonError};

use oncelog::{Appended, Error, Result, Ticket};

use crate::queue::{Done, Queue, Value};

/// What tells of some records that were sent together.
pub enum Tickets {
    None,
    One(Ticket<Appended>),
    Many(Ticket<Vec<(Appended, u32)>>),
}

/// One call.
pub struct Call {
    who: u32,
    queue: Arc<Queue>,
    parts: Mutex<Parts>,
}

struct Parts {
    /// Of records side by side the first one's, with their number.
    answers: Vec<Vec<(Appended, u32)>>,
    /// Parts that are not through, and one more until the last is sent.
    missing: usize,
    failed: Option<Error>,
}

impl Call {
    pub fn new(who: u32, queue: Arc<Queue>) -> Arc<Self> {
        let parts = Mutex::new(Parts { answers: Vec::new(), missing: 1, failed: None });
        Arc::new(Self { who, queue, parts })
    }

    /// Another part was sent. Its batches do not linger for more: where there is no room, the keeper closes them when
    /// there is.
    pub fn part(self: &Arc<Self>, tickets: Tickets) {
        let number = self.change(|parts| {
            parts.answers.push(Vec::new());
            parts.missing += 1;
            parts.answers.len() - 1
        });
        let call = self.clone();
        match tickets {
            Tickets::None => call.heard(number, Ok(Vec::new())),
            Tickets::One(ticket) => {
                ticket.hasten();
                ticket.on_done(move |answer| call.heard(number, answer.map(|appended| vec![(appended, 1)])));
            }
            Tickets::Many(ticket) => {
                ticket.hasten();
                ticket.on_done(move |answer| call.heard(number, answer));
            }
        }
    }

    /// Nothing more is sent: all is, or the next record was refused.
    pub fn ends(&self, refused: Option<Error>) {
        self.change(|parts| parts.failed = parts.failed.take().or(refused));
        self.one_less();
    }

    fn heard(&self, number: usize, answer: Result<Vec<(Appended, u32)>>) {
        self.change(|parts| match answer {
            Ok(answers) => parts.answers[number] = answers,
            Err(error) => parts.failed = parts.failed.take().or(Some(error)),
        });
        self.one_less();
    }

    fn one_less(&self) {
        let done = self.change(|parts| {
            parts.missing -= 1;
            (parts.missing == 0).then(|| (std::mem::take(&mut parts.answers), parts.failed.take()))
        });
        match done {
            None => {}
            Some((_, Some(error))) => self.queue.push(Done::Failed(self.who, error)),
            Some((mut answers, None)) => {
                // Mostly all went down together.
                let all = if answers.len() == 1 { answers.swap_remove(0) } else { answers.concat() };
                self.queue.push(Done::Value(self.who, Value::Many(all)));
            }
        }
    }

    fn change<T>(&self, f: impl FnOnce(&mut Parts) -> T) -> T {
        f(&mut self.parts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
