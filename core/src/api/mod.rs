//! The public handles. Each checks what it can before the engine is asked, and holds no rule of the log itself.

mod batches;
mod completions;
mod consumer;
mod engine;
mod frames;
mod gather;
mod inside;
mod options;
mod partition;
mod pending;
mod positions;
mod producer;
mod reader;
mod room;
mod router;
mod sender;
mod spares;
mod transaction;
mod transactional;

pub use crate::engine::{Log, LogLevel};
pub use completions::Completions;
pub use consumer::Consumer;
pub use engine::Engine;
pub use options::{AppendOptions, ConsumerOptions, EngineOptions, ProducerOptions, ReadOptions, Start};
pub use partition::Partition;
pub use producer::{Producer, SentMany};
pub use transaction::Transaction;
pub use transactional::TransactionalProducer;
