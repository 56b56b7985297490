//! The option structs of the header, and how they become the engine's.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::time::Duration;

use engine::{
    AppendOptions, BatchBuilder, ConsumerOptions, EngineOptions, ErrorKind, ProducerOptions, ReadOptions, TopicOptions,
};

use crate::call::{Answer, Caller};
use crate::choices::{compression, durability, isolation, start, switch, timestamp_type, visibility};
use crate::codes::ONCELOG_LINGER_NONE;
use crate::error::Fault;
use crate::structs::{oncelog_identity_t, oncelog_place_t, sized};

/// How to open a log. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_engine_options_t {
    /// sizeof(oncelog_engine_options_t).
    pub struct_size: u32,
    /// The level of topics that have none of their own, `ONCELOG_DURABILITY_*`. Default: disk.
    pub durability: u32,
    /// Size of a segment in bytes, 64 KiB to 512 MiB. Default: 64 MiB.
    pub segment_bytes: u64,
    /// `ONCELOG_YES`: opens for reading. Nothing is written, and every call that would write answers
    /// `ONCELOG_ERROR_READ_ONLY`. Default: no.
    pub read_only: u32,
    /// `ONCELOG_NO`: fails if the directory is missing instead of making it. Default: yes.
    pub create: u32,
    /// `ONCELOG_NO`: the engine starts no thread; `oncelog_drive`, `oncelog_completions_drain`, or whoever waits, does
    /// the background work. Default: yes.
    pub threads: u32,
    /// `ONCELOG_NO`: sealed segments are read by read calls, not through memory mappings: for files that other programs
    /// may change, and for those who want an error instead of a signal where a device fails. Default: yes.
    pub mappings: u32,
    /// `ONCELOG_YES`: opens for writing although frames behind the newest checkpoint are damaged, giving up what they
    /// held: perhaps a decision or a fence. Default: no, which opens such a log for reading.
    pub accept_loss: u32,
    /// How long what was acknowledged at level memory or os may wait for its flush, and readers for it where they see
    /// only what is durable, in milliseconds. Default: 1000.
    pub flush_interval_ms: u32,
    /// What readers see, `ONCELOG_VISIBILITY_*`: records that have met their topic's level, or only what is durable: at
    /// the levels memory and os after the next flush, within `flush_interval_ms`, which no reader hastens. Default:
    /// level.
    pub visibility: u32,
    /// `ONCELOG_YES`: transactions of raw identities that begin in this life stay open when the log is opened again,
    /// until they are decided or their timeout, which begins anew, has passed: for brokers, whose clients outlive them.
    /// Default: no, which aborts them then, as those of transactional producers always are.
    pub keep_raw_transactions: u32,
    /// Memory of the buffers of all open transactions together, in bytes. A transaction that finds none left streams:
    /// its records go to the log before it is decided. 1: every one does. Offsets count past 64 KiB of a transaction;
    /// below that they have 8 MiB of their own, all together. Default: 64 MiB.
    pub transaction_memory: usize,
    /// The longest timeout that a transaction may ask for (Kafka's transaction.max.timeout.ms), in milliseconds. From
    /// 2^31 - 1 on a timeout is none: such a transaction stays open for ever (KIP-939). Default: 900000.
    pub transaction_timeout_max_ms: u32,
    /// Zero.
    pub reserved: u32,
}

impl oncelog_engine_options_t {
    /// The engine's options, and whether it has threads.
    pub fn read(self) -> Answer<(EngineOptions, bool)> {
        check_reserved("oncelog_engine_options_t", self.reserved)?;
        let mut options = EngineOptions::default();
        if let Some(level) = durability(self.durability)? {
            options = options.durability(level);
        }
        if self.segment_bytes > 0 {
            options = options.segment_bytes(self.segment_bytes);
        }
        if self.flush_interval_ms > 0 {
            options = options.flush_interval(Duration::from_millis(self.flush_interval_ms.into()));
        }
        if let Some(create) = switch(self.create, "create")? {
            options = options.create(create);
        }
        if let Some(mappings) = switch(self.mappings, "mappings")? {
            options = options.mappings(mappings);
        }
        if let Some(read_only) = switch(self.read_only, "read_only")? {
            options = options.read_only(read_only);
        }
        if let Some(accept) = switch(self.accept_loss, "accept_loss")? {
            options = options.accept_loss(accept);
        }
        if let Some(visibility) = visibility(self.visibility)? {
            options = options.visibility(visibility);
        }
        if let Some(keep) = switch(self.keep_raw_transactions, "keep_raw_transactions")? {
            options = options.keep_raw_transactions(keep);
        }
        if self.transaction_memory > 0 {
            options = options.transaction_memory(self.transaction_memory);
        }
        if self.transaction_timeout_max_ms > 0 {
            let timeout = Duration::from_millis(self.transaction_timeout_max_ms.into());
            options = options.transaction_timeout_max(timeout);
        }
        let threads = switch(self.threads, "threads")?.unwrap_or(true);
        Ok((options.threads(threads), threads))
    }
}

/// How to make a topic. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_topic_options_t {
    /// sizeof(oncelog_topic_options_t).
    pub struct_size: u32,
    /// Number of partitions; can be raised later, never lowered. Default: 1.
    pub partitions: u32,
    /// When the topic's appends are acknowledged and its records become visible, `ONCELOG_DURABILITY_*`. Default: the
    /// engine's.
    pub durability: u32,
    /// Whose time its records carry, `ONCELOG_TIMESTAMP_*` (Kafka's message.timestamp.type). Default: the senders'.
    pub timestamp_type: u32,
}

impl oncelog_topic_options_t {
    /// The engine's word for it.
    pub fn read(self) -> Answer<TopicOptions> {
        let mut options = TopicOptions::new().timestamp_type(timestamp_type(self.timestamp_type)?);
        if self.partitions > 0 {
            options = options.partitions(self.partitions);
        }
        if let Some(level) = durability(self.durability)? {
            options = options.durability(level);
        }
        Ok(options)
    }
}

/// How a producer works. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_producer_options_t {
    /// sizeof(oncelog_producer_options_t).
    pub struct_size: u32,
    /// When sends are acknowledged, `ONCELOG_DURABILITY_*`. Default: the level of their topic. What a name or a
    /// transaction writes together takes the strongest of this and of its topics.
    pub durability: u32,
    /// The name whose position the producer carries; see `oncelog_producer_open`. Default: NULL, none.
    pub name: *const c_char,
    /// A partition's batch is closed when it has reached this many bytes; 1: a batch for each record. Past
    /// 32 MiB of all partitions together the oldest batches are closed, however small; those of a name, which go into
    /// the log as one, past 1 MiB. Default: 16384.
    pub batch_bytes: usize,
    /// A batch is closed this long after its first record, unless somebody waits for it earlier; `ONCELOG_LINGER_NONE`:
    /// at once. Default: 5.
    pub linger_ms: u32,
    /// How batches are compressed, `ONCELOG_COMPRESSION_*`, those of transactions too. Worth it where the disk is
    /// dearer than the processor, and for batches of many records. Bounds such as `batch_bytes` count what is not
    /// compressed yet. Default: none.
    pub compression: u32,
    /// Of a transactional producer: the bytes past which a transaction streams, at most 16 MiB; 1: with its first
    /// record. Up to it a transaction is memory, and its commit one write; past it its records go to the log as they
    /// come and hold the last stable offset of their partitions back until it is decided. Default: 1 MiB.
    pub transaction_buffer: usize,
    /// Of a transactional producer: how long a transaction that streams may be open, in milliseconds, at most
    /// `transaction_timeout_max_ms` of the engine; then it is aborted. From 2^31 - 1 on: for ever. One that is memory
    /// only has no timeout. Default: 60000.
    pub transaction_timeout_ms: u32,
    /// Zero.
    pub reserved: u32,
}

impl oncelog_producer_options_t {
    /// The engine's word for it.
    pub fn read(self, caller: &Caller) -> Answer<ProducerOptions> {
        check_reserved("oncelog_producer_options_t", self.reserved)?;
        let mut options = ProducerOptions::new().compression(compression(self.compression)?);
        if let Some(name) = caller.optional_text(self.name, "name")? {
            options = options.name(name);
        }
        if let Some(level) = durability(self.durability)? {
            options = options.durability(level);
        }
        if self.batch_bytes > 0 {
            options = options.batch_bytes(self.batch_bytes);
        }
        match self.linger_ms {
            0 => {}
            ONCELOG_LINGER_NONE => options = options.linger(Duration::ZERO),
            linger => options = options.linger(Duration::from_millis(linger.into())),
        }
        if self.transaction_buffer > 0 {
            options = options.transaction_buffer(self.transaction_buffer);
        }
        if self.transaction_timeout_ms > 0 {
            options = options.transaction_timeout(Duration::from_millis(self.transaction_timeout_ms.into()));
        }
        Ok(options)
    }
}

/// How a consumer works. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_consumer_options_t {
    /// sizeof(oncelog_consumer_options_t).
    pub struct_size: u32,
    /// Which records are seen, `ONCELOG_ISOLATION_*`. Default: read_committed.
    pub isolation: u32,
    /// The group in whose name offsets are committed. Default: NULL, none.
    pub group: *const c_char,
    /// Where to begin if nothing is committed, or outside the partition, `ONCELOG_START_*`. Default: earliest.
    pub start: u32,
    /// Most bytes of one poll as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. Default: 1 MiB.
    pub max_bytes: usize,
    /// Most records of one poll. Default: no limit.
    pub max_records: u64,
}

impl oncelog_consumer_options_t {
    /// The engine's word for it.
    pub fn read(self, caller: &Caller) -> Answer<ConsumerOptions> {
        let mut options = ConsumerOptions::new().isolation(isolation(self.isolation)?).start(start(self.start)?);
        if let Some(group) = caller.optional_text(self.group, "group")? {
            options = options.group(group);
        }
        if self.max_bytes > 0 {
            options = options.max_bytes(self.max_bytes);
        }
        if self.max_records > 0 {
            options = options.max_records(self.max_records);
        }
        Ok(options)
    }
}

/// How to read a partition. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_read_options_t {
    /// sizeof(oncelog_read_options_t).
    pub struct_size: u32,
    /// Which records are seen, `ONCELOG_ISOLATION_*`. Default: read_committed.
    pub isolation: u32,
    /// Most bytes of one read as they lie in the log, and most that its compressed batches unpack to, but for the last
    /// of them; the first batch is given whole even if it is larger. Default: 1 MiB.
    pub max_bytes: usize,
    /// Where the reader stands, as `oncelog_records_next_place` answered it in this life of the log or an earlier one:
    /// the read answers TRUNCATED if a crash took records that the place stands behind. Its offset is the one to read.
    /// Default: NULL, which asks for nothing.
    pub from: *const oncelog_place_t,
}

impl oncelog_read_options_t {
    /// The engine's word for it.
    pub fn read(self, caller: &Caller) -> Answer<ReadOptions> {
        let mut options = ReadOptions::new().isolation(isolation(self.isolation)?);
        if self.max_bytes > 0 {
            options = options.max_bytes(self.max_bytes);
        }
        if !self.from.is_null() {
            options = options.from(caller.one(self.from, "from")?.into());
        }
        Ok(options)
    }
}

/// How to append a batch. NULL, or zeros, are the defaults.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_append_options_t {
    /// sizeof(oncelog_append_options_t).
    pub struct_size: u32,
    /// When the append is acknowledged, `ONCELOG_DURABILITY_*`. What readers see follows the topic's level. Default:
    /// the level of the topic.
    pub durability: u32,
    /// `ONCELOG_YES`: the batch carries `producer` and `base_sequence`. Default: no.
    pub identified: u32,
    /// Sequence number of the batch's first record.
    pub base_sequence: i32,
    /// Who sends it; see `oncelog_init_producer`.
    pub producer: oncelog_identity_t,
    /// `ONCELOG_YES`: the batch belongs to the transaction of its producer, which must have a transactional id, and
    /// begins it if none is open; see `oncelog_end_transaction`. Sequences begin at 0 in each transaction. Default: no.
    pub transactional: u32,
    /// How the batch is compressed, `ONCELOG_COMPRESSION_*`; it is not where that would not make it smaller. Default:
    /// none.
    pub compression: u32,
}

impl oncelog_append_options_t {
    /// The engine's word for it.
    pub fn read(self) -> Answer<AppendOptions> {
        let options = AppendOptions::new();
        Ok(durability(self.durability)?.map_or(options.clone(), |level| options.durability(level)))
    }

    /// Tells a batch what it is to say of itself.
    pub fn tell(self, batch: &mut BatchBuilder) -> Answer {
        if switch(self.identified, "identified")? == Some(true) {
            batch.producer(self.producer.into(), self.base_sequence);
        }
        batch.transactional(switch(self.transactional, "transactional")? == Some(true));
        batch.compression(compression(self.compression)?);
        Ok(())
    }
}

fn check_reserved(what: &str, reserved: u32) -> Answer {
    if reserved == 0 {
        return Ok(());
    }
    let text = "must be 0; zero the struct first";
    Err(Fault::new(ErrorKind::InvalidArgument, format!("reserved of {what} {text}, reserved={reserved}")))
}

sized! {
    oncelog_engine_options_t from 40;
    oncelog_topic_options_t from 12;
    oncelog_producer_options_t from 32;
    oncelog_consumer_options_t from 40;
    oncelog_read_options_t from 16;
    oncelog_append_options_t from 32;
}
