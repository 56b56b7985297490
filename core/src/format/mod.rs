//! Bytes, pure: the only floor that knows a byte position. FORMAT.md draws every table.

pub mod batch;
mod batch_checks;
pub mod builder;
pub mod bytes;
pub mod compression;
pub mod control;
pub mod decision;
pub mod files;
pub mod footer;
pub mod frame;
pub mod headers;
pub mod partitioner;
pub mod record;
pub mod record_iter;
pub mod spans;
pub mod topic_config;
pub mod transaction;
pub mod varint;
