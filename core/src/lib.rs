//! oncelog: an embedded log with Kafka's delivery semantics.
//!
//! One directory, one library, no server: topics and partitions of records, producers that never write a record
//! twice, transactions over many topics together with the offsets of their input, consumers that see committed data
//! only. What SQLite is to a database server, this is to a Kafka cluster.
//!
//! ```
//! # let dir = tempfile::tempdir().unwrap();
//! # std::env::set_current_dir(dir.path()).unwrap();
//! use std::time::Duration;
//! use oncelog::{ConsumerOptions, Engine, ProducerOptions, Record, TopicOptions, TopicPartition};
//!
//! let engine = Engine::open("words.log")?; // a directory, made if it is missing
//! engine.create_topic("words", TopicOptions::new())?;
//! engine.create_topic("shouts", TopicOptions::new())?;
//! engine.producer(ProducerOptions::new())?.send("words", Record::new(b"hello"))?.wait()?;
//!
//! // Read, transform, write: the output and the position in the input are committed as one, or not at all.
//! let consumer = engine.consumer(ConsumerOptions::new().group("shouter"))?;
//! consumer.assign(&[TopicPartition::new("words", 0)])?;
//! let producer = engine.transactional_producer("shouter", ProducerOptions::new())?;
//! let mut transaction = producer.begin_transaction_for(&consumer)?;
//! for record in &consumer.poll(Duration::from_secs(1))? {
//!     let loud = record?.value().unwrap_or_default().to_ascii_uppercase();
//!     transaction.send("shouts", Record::new(&loud))?;
//! }
//! transaction.commit()?;
//! assert_eq!(engine.partition("shouts", 0)?.bounds().end, 1);
//! # Ok::<(), oncelog::Error>(())
//! ```
//!
//! What is acknowledged survives a power cut, unless a topic, a producer or an append asks for less: see
//! [`Durability`]. What survives is always a prefix: no holes, no half transaction, no offset without its data.
//!
//! **What it is not:** a server, a replacement for a cluster of several machines, a database with queries. One
//! process writes a directory at a time. There is no async runtime inside; a [`Ticket`] can be waited for, polled as a
//! future, or call back.

mod api;
#[allow(missing_docs)]
mod engine;
pub mod error;
#[doc(hidden)]
pub mod format;
#[doc(hidden)]
pub mod io;
#[allow(missing_docs)]
mod journal;
pub mod limits;
mod partition;
mod state;
pub mod types;

pub use api::{AppendOptions, ConsumerOptions, EngineOptions, ProducerOptions, ReadOptions, Start};
pub use api::{Completions, Consumer, Engine, Partition, Producer, SentMany, Transaction, TransactionalProducer};
pub use api::{Log, LogLevel};
pub use error::{Error, ErrorKind, Result};
pub use format::batch::{Batch, BatchBuilder, BatchHeader};
pub use format::record::{Header, Headers, Record, RecordIter, RecordRef};
pub use io::wake::Descriptor;
pub use journal::Ticket;
#[cfg(feature = "holds")]
#[doc(hidden)]
pub use journal::{holds, reset_holds};
pub use partition::{RecordView, Records, RecordsIter};
pub use types::*;

/// The simulated machine, its faults and planted bugs, which branches a run has taken, and the fold. For tests only.
#[cfg(feature = "sim")]
#[doc(hidden)]
pub mod sim {
    pub use crate::io::branches::branches;
    pub use crate::io::sim::*;
    pub use crate::state::{Loader, Snapshot, State};
}
