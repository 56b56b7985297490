//! The answer to a call whose records were sent one part after the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use oncelog::io::sync::Mutex;
use oncelog::{Appended, Error, Result, Ticket};

use crate::answer::Answer;
use crate::hub::Call;
use crate::ticket::{Slot, Work};

/// The tickets of the parts, and what those before them answered. All are heard before a refusal is told.
#[derive(Default)]
pub struct Parts {
    left: VecDeque<Ticket<Vec<Appended>>>,
    answers: Vec<Appended>,
    refused: Option<Error>,
}

impl Parts {
    pub fn of(first: Ticket<Vec<Appended>>) -> Self {
        Self { left: VecDeque::from([first]), ..Self::default() }
    }

    pub fn push(&mut self, ticket: Ticket<Vec<Appended>>) {
        self.left.push_back(ticket);
    }

    /// Hears all that `ask` has an answer of.
    fn hear(
        &mut self,
        mut ask: impl FnMut(&mut Ticket<Vec<Appended>>) -> Result<Option<Vec<Appended>>>,
    ) -> Result<Option<Answer>> {
        while let Some(first) = self.left.front_mut() {
            match ask(first).transpose() {
                None => return Ok(None),
                Some(answer) => self.keep(answer),
            }
            self.left.pop_front();
        }
        self.answer().map(Some)
    }

    fn keep(&mut self, answer: Result<Vec<Appended>>) {
        match answer {
            Ok(answers) => self.answers.extend(answers),
            Err(error) => self.refused = self.refused.take().or(Some(error)),
        }
    }

    fn answer(&mut self) -> Result<Answer> {
        match self.refused.take() {
            Some(error) => Err(error),
            None => Ok(std::mem::take(&mut self.answers).into()),
        }
    }
}

impl Work for Parts {
    fn wait_for(&mut self, timeout: Duration) -> Result<Option<Answer>> {
        let begun = Instant::now();
        self.hear(|ticket| ticket.wait_for(timeout.saturating_sub(begun.elapsed())))
    }

    fn look(&mut self) -> Result<Option<Answer>> {
        self.hear(Ticket::try_wait)
    }

    fn hasten(&mut self) -> bool {
        self.left.iter().all(Ticket::hasten)
    }

    fn watch(mut self: Box<Self>, slot: Arc<Slot>, call: Call) {
        let left = std::mem::take(&mut self.left);
        if left.is_empty() {
            return slot.answer(self.answer(), &call);
        }
        // What is refused at once may be heard before what was sent before it.
        let missing = left.len();
        let all = Arc::new(Mutex::new((*self, Vec::from_iter((0..missing).map(|_| None)), missing)));
        for (number, ticket) in left.into_iter().enumerate() {
            let (all, slot, call) = (all.clone(), slot.clone(), call.clone());
            ticket.on_done(move |answer| {
                let mut state = all.lock();
                state.1[number] = Some(answer);
                state.2 -= 1;
                if state.2 == 0 {
                    let answers = std::mem::take(&mut state.1);
                    answers.into_iter().flatten().for_each(|answer| state.0.keep(answer));
                    let answer = state.0.answer();
                    drop(state);
                    slot.answer(answer, &call);
                }
            });
        }
    }
}
