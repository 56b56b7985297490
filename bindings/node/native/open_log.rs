//! The hold on an open log that every handle shares.

use std::ops::Deref;

use oncelog::Engine;

use crate::apart::Searches;
use crate::bin::throw_away;

/// An open log. The engine goes where its close may wait, whichever handle the collector finds last.
pub struct OpenLog {
    engine: Option<Engine>,
    /// What is looked for in it.
    pub searches: Searches,
}

impl OpenLog {
    pub fn new(engine: Engine) -> Self {
        Self { engine: Some(engine), searches: Searches::default() }
    }
}

impl Deref for OpenLog {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        match &self.engine {
            Some(engine) => engine,
            // It is only taken by the drop.
            None => unreachable!("a log is used after its drop"),
        }
    }
}

impl Drop for OpenLog {
    fn drop(&mut self) {
        throw_away(self.engine.take());
    }
}
