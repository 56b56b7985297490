//! The native half of the npm package `oncelog`: a small surface of batches and numbers, which the TypeScript beside it
//! turns into the API. Only `oncelog`'s `api` is used, with nine calls of it that its documentation hides, and no rule
//! of the log is held here.
//!
//! * `layout` draws what crosses the boundary in packed form, and is the only place that does.
//! * `crossing` takes records in; `batch` gives records out.
//! * `queue` carries what has finished from the engine's threads to JavaScript's.
//!
//! Nothing here waits on JavaScript's thread: a call that would is a ticket, whose answer comes through the queue, or
//! says so and is made again. Only what is sent when the process exits waits there.

// A test build registers nothing with Node, so that nothing would be used in it.
#![cfg_attr(test, allow(dead_code))]

mod apart;
mod arguments;
mod batch;
mod bin;
mod call;
mod consumer;
mod crossing;
mod encoded;
mod engine;
mod errors;
mod hub;
mod layout;
mod limits;
mod metrics;
mod open_log;
mod options;
mod partition;
mod producer;
mod queue;
mod transaction;
mod words;
