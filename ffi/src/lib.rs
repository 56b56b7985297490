//! oncelog for C: the library behind `include/oncelog.h`, which is generated from this crate and is its manual.
//!
//! * `table`, `handle`: what callers hold are numbers, looked up at each call; nothing a caller passes as a handle is
//!   ever followed.
//! * `call`: the door. Panics stop there, and the caller's pointers are read there and nowhere else.
//! * `structs`, `options`, `choices`, `record`, `kept`: from the header's structs and numbers to the engine's types and
//!   back.
//! * The other files: one object of the header each, in the order in which it tells of them.
#![allow(non_camel_case_types, reason = "the header's names")]

pub mod codes;

mod error;

mod engine_handle;

mod metrics;

mod verify;

mod partition;

mod records;

mod batch;

mod producer;

mod ticket;

mod answers;

mod transactional;

mod transaction;

mod raw;

mod consumer;

mod completions;

mod logger;

mod allocator;

mod alone;
mod call;
mod choices;
mod handle;
mod kept;
mod options;
mod record;
mod structs;
mod table;
