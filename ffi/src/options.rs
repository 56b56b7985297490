//! The option structs of the header, and how they become the engine's.
#![allow(unsafe_code)]

use std::ffi::c_char;
use std::time::Duration;

use engine::{
    AppendOptions, ConsumerOptions, EngineOptions, ErrorKind, Identity, ProducerOptions, ReadOptions, TopicOptions,
};

use crate::call::{Answer, Caller};
use crate::codes::ONCELOG_LINGER_NONE;
use crate::error::Fault;
use crate::structs::{durability, isolation, oncelog_identity_t, sized, start, switch};

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
    /// How long what was acknowledged at level os may wait for its flush, in milliseconds. Default: 1000.
    pub flush_interval_ms: u32,
}

impl oncelog_engine_options_t {
    /// The engine's options, and whether it has threads.
    pub fn read(self) -> Answer<(EngineOptions, bool)> {
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
}

impl oncelog_topic_options_t {
    /// The engine's word for it.
    pub fn read(self) -> Answer<TopicOptions> {
        let mut options = TopicOptions::new();
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
    /// When sends are acknowledged, `ONCELOG_DURABILITY_*`. Default: the level of their topic.
    pub durability: u32,
    /// The name whose position the producer carries; see `oncelog_producer_open`. Default: NULL, none.
    pub name: *const c_char,
    /// A partition's batch is closed when it has reached this many bytes; 1: a batch for each record. Default: 16384.
    pub batch_bytes: usize,
    /// A batch is closed this long after its first record, unless somebody waits for it earlier; `ONCELOG_LINGER_NONE`:
    /// at once. Default: 5.
    pub linger_ms: u32,
    /// Zero.
    pub reserved: u32,
}

impl oncelog_producer_options_t {
    /// The engine's word for it.
    pub fn read(self, caller: &Caller) -> Answer<ProducerOptions> {
        if self.reserved != 0 {
            let text = "reserved of oncelog_producer_options_t must be 0; zero the struct first";
            return Err(Fault::new(ErrorKind::InvalidArgument, format!("{text}, reserved={}", self.reserved)));
        }
        let mut options = ProducerOptions::new();
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
    /// Most bytes of one poll; a larger batch is given whole. Default: 1 MiB.
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
    /// Most bytes of one read; the first batch is given whole even if it is larger. Default: 1 MiB.
    pub max_bytes: usize,
}

impl oncelog_read_options_t {
    /// The engine's word for it.
    pub fn read(self) -> Answer<ReadOptions> {
        let options = ReadOptions::new().isolation(isolation(self.isolation)?);
        Ok(if self.max_bytes > 0 { options.max_bytes(self.max_bytes) } else { options })
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
}

impl oncelog_append_options_t {
    /// The engine's word for it.
    pub fn read(self) -> Answer<AppendOptions> {
        let options = AppendOptions::new();
        Ok(durability(self.durability)?.map_or(options.clone(), |level| options.durability(level)))
    }

    /// Who sends the batch and its first sequence number, if it says so.
    pub fn identity(self) -> Answer<Option<(Identity, i32)>> {
        let oncelog_identity_t { producer_id, epoch } = self.producer;
        let given = switch(self.identified, "identified")? == Some(true);
        Ok(given.then_some((Identity { producer_id, epoch }, self.base_sequence)))
    }
}

sized! {
    oncelog_engine_options_t from 40;
    oncelog_topic_options_t from 12;
    oncelog_producer_options_t from 32;
    oncelog_consumer_options_t from 40;
    oncelog_read_options_t from 16;
    oncelog_append_options_t from 32;
}
