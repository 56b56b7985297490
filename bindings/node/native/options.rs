//! What a caller may choose, as the facade hands it over.

use napi_derive::napi;
use oncelog::{
    AppendOptions, BatchBuilder, ConsumerOptions, EngineOptions, ProducerOptions, ReadOptions, TopicOptions,
};

use crate::arguments::{IdentityRow, PlaceRow, milliseconds};
use crate::errors::Result;
use crate::words::{compression, durability, isolation, start, timestamp_type, visibility};

/// How to open a log; what is missing has the engine's default.
#[napi(object)]
pub struct OpenOptions {
    pub durability: Option<String>,
    pub segment_bytes: Option<f64>,
    pub read_only: Option<bool>,
    pub create: Option<bool>,
    pub mappings: Option<bool>,
    pub accept_loss: Option<bool>,
    pub flush_interval_ms: Option<f64>,
    pub visibility: Option<String>,
    pub keep_raw_transactions: Option<bool>,
    pub transaction_memory: Option<f64>,
    pub transaction_timeout_max_ms: Option<f64>,
}

impl OpenOptions {
    pub fn checked(self) -> Result<EngineOptions> {
        let mut options = EngineOptions::default();
        if let Some(level) = durability(self.durability.as_deref())? {
            options = options.durability(level);
        }
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes as u64);
        }
        if let Some(interval) = self.flush_interval_ms {
            options = options.flush_interval(milliseconds(interval));
        }
        if let Some(seen) = visibility(self.visibility.as_deref())? {
            options = options.visibility(seen);
        }
        if let Some(bytes) = self.transaction_memory {
            options = options.transaction_memory(bytes as usize);
        }
        if let Some(timeout) = self.transaction_timeout_max_ms {
            options = options.transaction_timeout_max(milliseconds(timeout));
        }
        options = self.keep_raw_transactions.into_iter().fold(options, EngineOptions::keep_raw_transactions);
        options = self.read_only.into_iter().fold(options, EngineOptions::read_only);
        options = self.create.into_iter().fold(options, EngineOptions::create);
        options = self.mappings.into_iter().fold(options, EngineOptions::mappings);
        Ok(self.accept_loss.into_iter().fold(options, EngineOptions::accept_loss))
    }
}

/// How a topic is made.
#[napi(object)]
pub struct TopicChoice {
    pub partitions: u32,
    pub durability: Option<String>,
    pub timestamp_type: Option<String>,
}

impl TopicChoice {
    pub fn checked(self) -> Result<TopicOptions> {
        let mut options = TopicOptions::new().partitions(self.partitions);
        options.durability = durability(self.durability.as_deref())?;
        options.timestamp_type = timestamp_type(self.timestamp_type.as_deref())?.unwrap_or_default();
        Ok(options)
    }
}

/// How a producer works, of either kind.
#[napi(object)]
pub struct ProducerChoice {
    pub name: Option<String>,
    pub batch_bytes: Option<f64>,
    pub linger_ms: Option<f64>,
    pub durability: Option<String>,
    pub compression: Option<String>,
    pub transaction_buffer: Option<f64>,
    pub transaction_timeout_ms: Option<f64>,
}

impl ProducerChoice {
    pub fn checked(self) -> Result<ProducerOptions> {
        let mut options = ProducerOptions::new();
        options.name = self.name;
        options.durability = durability(self.durability.as_deref())?;
        if let Some(bytes) = self.batch_bytes {
            options = options.batch_bytes(bytes as usize);
        }
        if let Some(linger) = self.linger_ms {
            options = options.linger(milliseconds(linger));
        }
        options.compression = compression(self.compression.as_deref())?.unwrap_or_default();
        if let Some(bytes) = self.transaction_buffer {
            options = options.transaction_buffer(bytes as usize);
        }
        if let Some(timeout) = self.transaction_timeout_ms {
            options = options.transaction_timeout(milliseconds(timeout));
        }
        Ok(options)
    }
}

/// Most bytes of one poll, whatever the caller asks for, as the engine bounds what one read gives of a partition. A poll
/// comes over in one piece of memory whose places are numbers of 31 bits, and tiny records take up to five times the
/// room there that they take in a batch: so many bytes plain, as many unpacked and a batch more all find a place.
const POLL_MAX: usize = 128 << 20;

/// How a consumer works.
#[napi(object)]
pub struct ConsumerChoice {
    pub group: Option<String>,
    pub isolation: Option<String>,
    pub start: Option<String>,
    pub max_bytes: Option<f64>,
    pub max_records: Option<f64>,
}

impl ConsumerChoice {
    pub fn checked(self) -> Result<ConsumerOptions> {
        let mut options = ConsumerOptions::new();
        options.group = self.group;
        options.isolation = isolation(self.isolation.as_deref())?.unwrap_or_default();
        options.start = start(self.start.as_deref())?.unwrap_or_default();
        if let Some(bytes) = self.max_bytes {
            options = options.max_bytes((bytes as usize).min(POLL_MAX));
        }
        if let Some(records) = self.max_records {
            options = options.max_records(records as u64);
        }
        Ok(options)
    }
}

/// How to append a batch.
#[napi(object)]
pub struct AppendChoice {
    pub durability: Option<String>,
    pub compression: Option<String>,
    pub producer: Option<IdentityRow>,
    pub base_sequence: Option<i32>,
    pub transactional: Option<bool>,
}

impl AppendChoice {
    /// Tells the batch, and how it is appended.
    pub fn checked(self, batch: &mut BatchBuilder) -> Result<AppendOptions> {
        batch.compression(compression(self.compression.as_deref())?.unwrap_or_default());
        if let (Some(producer), Some(base_sequence)) = (self.producer, self.base_sequence) {
            batch.producer(producer.checked()?, base_sequence);
        }
        batch.transactional(self.transactional.unwrap_or_default());
        let mut options = AppendOptions::new();
        options.durability = durability(self.durability.as_deref())?;
        Ok(options)
    }
}

/// How to read a partition.
#[napi(object)]
pub struct ReadChoice {
    pub max_bytes: Option<f64>,
    pub isolation: Option<String>,
    pub from: Option<PlaceRow>,
}

impl ReadChoice {
    pub fn checked(self) -> Result<ReadOptions> {
        let mut options = ReadOptions::new();
        options.isolation = isolation(self.isolation.as_deref())?.unwrap_or_default();
        options.place = self.from.map(|place| place.checked()).transpose()?;
        if let Some(bytes) = self.max_bytes {
            options = options.max_bytes(bytes as usize);
        }
        Ok(options)
    }
}
