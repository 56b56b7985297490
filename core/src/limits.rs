//! Every bound in one table. A value past a bound answers `LimitExceeded`, `RecordTooLarge` or `InvalidArgument`.

use std::time::Duration;

/// Longest topic name, bytes (Kafka's own bound).
pub const TOPIC_NAME_MAX: usize = 249;
/// Longest group name, producer name or transactional id, bytes.
pub const NAME_MAX: usize = 1024;
/// Longest metadata stored with an offset, characters as UTF-16 counts them (Kafka's offset.metadata.max.bytes).
pub const OFFSET_METADATA_MAX: usize = 4096;
/// Most partitions one topic may have.
pub const TOPIC_PARTITIONS_MAX: u32 = 100_000;
/// Most partitions a log may have, deleted ones not counted.
pub const PARTITIONS_MAX: usize = 1_000_000;
/// Greatest LSN, incarnation, transaction number, number of a segment and byte in one. What a file says beyond it
/// leaves no room to count on, and is refused where it is read.
pub const COUNT_MAX: u64 = 1 << 61;
/// Greatest offset.
pub const OFFSET_MAX: u64 = i64::MAX as u64;
/// Largest batch, bytes, header included (Kafka's max.message.bytes).
pub const BATCH_MAX: usize = 1_048_588;
/// Most bytes that the records of one compressed batch may unpack to. A read or a poll holds as many beyond its
/// `max_bytes`, and a consumer keeps as many for its next polls, of batches that polls of a few records ended in.
pub const UNPACKED_MAX: usize = ALLOCATION_MAX;
/// Largest window of a zstd frame, bytes: what RFC 8878 asks every decoder to take, and no more.
pub const ZSTD_WINDOW_MAX: u64 = 8 << 20;
/// Memory of one transaction unless the options say otherwise; past it, it streams. Also what a named producer gathers.
pub const TRANSACTION_BUFFER: usize = 1 << 20;
/// Bytes that a producer without a name gathers before it closes its oldest batches (Kafka's buffer.memory, which waits
/// instead).
pub const PRODUCER_MEMORY: usize = 32 << 20;
/// Largest buffer that the options may give one transaction.
pub const TRANSACTION_BUFFER_MAX: usize = 16 << 20;
/// Memory of all open transactions' buffers together unless the options say otherwise.
pub const TRANSACTION_MEMORY: usize = 64 << 20;
/// Memory that is kept beside it for the offsets of all of them: of each up to 64 KiB.
pub const TRANSACTION_OFFSETS_MEMORY: usize = 8 << 20;
/// Transactions that may be open with something in the log.
pub const OPEN_TRANSACTIONS: usize = 100_000;
/// Memory that the state may take for them.
pub const TRANSACTIONS_STATE: usize = 64 << 20;
/// Partitions that a transaction may reach with batches that lie in the log before its decision.
pub const TRANSACTION_PARTITIONS: usize = 1_000;
/// Offsets that a raw transaction may have pending; those that take the place of others count once.
pub const TRANSACTION_OFFSETS: usize = 1_000;
/// How long a transaction may be open in the log unless the options say otherwise (Kafka's transaction.timeout.ms).
pub const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest that may be asked for, unless the options say otherwise (Kafka's transaction.max.timeout.ms).
pub const TRANSACTION_TIMEOUT_MAX: Duration = Duration::from_secs(900);
/// Largest frame, bytes; the same as the largest allocation, since recovery holds a frame whole.
pub const FRAME_MAX: usize = ALLOCATION_MAX;
/// Largest segment file, bytes: what one large frame, or a recovery's copy of two unflushed segments, may need.
pub const SEGMENT_MAX: u64 = 2 << 30;
/// Largest size that segments may be told to grow to.
pub const SEGMENT_OPTION_MAX: u64 = 512 << 20;
/// Smallest segment, bytes.
pub const SEGMENT_MIN: u64 = 64 << 10;
/// Segment size unless the options say otherwise.
pub const SEGMENT_DEFAULT: u64 = 64 << 20;
/// Size of a log's first segment; each next one is four times as large, up to the option.
pub const SEGMENT_FIRST: u64 = 256 << 10;
/// Most bytes of a segment that are kept back for decisions while there is no next one; a quarter of a small one.
pub const RESERVE_MAX: u64 = 1 << 20;
/// Bytes of the reserve that only a close, and the opening behind it, may use.
pub const LAST_WORDS: u64 = 6 << 10;
/// Bytes of a group past which appenders wait.
pub const GROUP_MAX: usize = 8 << 20;
/// Entries copied under one hold of the journal's lock.
pub const ENTRIES_PER_HOLD: usize = 1_000;
/// Most bytes allocated because a file says so.
pub const ALLOCATION_MAX: usize = 64 << 20;
/// Last producer epoch handed out; 32767 is kept for fencing, as in Kafka.
pub const PRODUCER_EPOCH_MAX: i16 = 32_766;
/// Batches remembered per producer and partition, so that a retry is known (Kafka's own number).
pub const CACHED_BATCHES: usize = 5;
/// Cuts by recoveries that are remembered one by one.
pub const CUTS_KEPT: usize = 256;
/// Decisions remembered per transactional id.
pub const DECISIONS_KEPT: usize = 64;
