//! Numbers that the header gives names to. They never change.
#![allow(unsafe_code)]

/// What kind of error. Numbers are fixed for ever and never used again; later versions may add some.
pub type oncelog_error_code_t = u32;

/// No error.
pub const ONCELOG_OK: oncelog_error_code_t = 0;
/// An argument is out of range or malformed; nothing happened.
pub const ONCELOG_ERROR_INVALID_ARGUMENT: oncelog_error_code_t = 1;
/// The call does not fit what the handle is doing.
pub const ONCELOG_ERROR_INVALID_STATE: oncelog_error_code_t = 2;
/// The engine or the handle was closed.
pub const ONCELOG_ERROR_CLOSED: oncelog_error_code_t = 3;
/// The process forked after the open; the child must open the log itself.
pub const ONCELOG_ERROR_FORKED: oncelog_error_code_t = 4;
/// Another process, or this one, has the directory open for writing.
pub const ONCELOG_ERROR_LOCKED: oncelog_error_code_t = 5;
/// The log was opened for reading.
pub const ONCELOG_ERROR_READ_ONLY: oncelog_error_code_t = 6;
/// The operating system failed a read or an open; the call may be repeated.
pub const ONCELOG_ERROR_IO: oncelog_error_code_t = 7;
/// The disk is full; nothing was written.
pub const ONCELOG_ERROR_FULL: oncelog_error_code_t = 8;
/// A write or flush failed earlier: nothing more is written until the log is opened again.
pub const ONCELOG_ERROR_POISONED: oncelog_error_code_t = 9;
/// Bytes on disk are not what was written.
pub const ONCELOG_ERROR_CORRUPT: oncelog_error_code_t = 10;
/// The position was cut away by a recovery.
pub const ONCELOG_ERROR_TRUNCATED: oncelog_error_code_t = 11;
/// The directory was written by a newer version, or a codec is asked for that this build leaves out.
pub const ONCELOG_ERROR_UNSUPPORTED_VERSION: oncelog_error_code_t = 12;
/// The time given ran out; the outcome is not known yet, ask again.
pub const ONCELOG_ERROR_TIMED_OUT: oncelog_error_code_t = 13;
/// Somebody else is using this handle right now.
pub const ONCELOG_ERROR_BUSY: oncelog_error_code_t = 14;
/// A bound of the limits was reached.
pub const ONCELOG_ERROR_LIMIT_EXCEEDED: oncelog_error_code_t = 15;
/// A record or batch is larger than the topic takes.
pub const ONCELOG_ERROR_RECORD_TOO_LARGE: oncelog_error_code_t = 16;
/// A topic of that name exists.
pub const ONCELOG_ERROR_TOPIC_EXISTS: oncelog_error_code_t = 17;
/// No such topic or partition.
pub const ONCELOG_ERROR_UNKNOWN_TOPIC_OR_PARTITION: oncelog_error_code_t = 18;
/// No such group.
pub const ONCELOG_ERROR_UNKNOWN_GROUP: oncelog_error_code_t = 19;
/// The offset lies outside the partition.
pub const ONCELOG_ERROR_OFFSET_OUT_OF_RANGE: oncelog_error_code_t = 20;
/// A sequence number does not follow the last one.
pub const ONCELOG_ERROR_OUT_OF_ORDER_SEQUENCE: oncelog_error_code_t = 21;
/// The engine never issued this producer id, or has forgotten it.
pub const ONCELOG_ERROR_UNKNOWN_PRODUCER: oncelog_error_code_t = 22;
/// A newer holder of this name took over.
pub const ONCELOG_ERROR_PRODUCER_FENCED: oncelog_error_code_t = 23;
/// The producer epoch of a raw batch is older than the partition's.
pub const ONCELOG_ERROR_STALE_EPOCH: oncelog_error_code_t = 24;
/// A record or batch is malformed.
pub const ONCELOG_ERROR_INVALID_RECORD: oncelog_error_code_t = 25;
/// Offsets of an open transaction are pending.
pub const ONCELOG_ERROR_UNSTABLE_OFFSETS: oncelog_error_code_t = 26;
/// No such transactional id or named producer.
pub const ONCELOG_ERROR_UNKNOWN_TRANSACTIONAL_ID: oncelog_error_code_t = 27;
/// The group has members.
pub const ONCELOG_ERROR_GROUP_NOT_EMPTY: oncelog_error_code_t = 28;
/// The group is rebalancing.
pub const ONCELOG_ERROR_REBALANCING: oncelog_error_code_t = 29;
/// The transaction cannot do this in its state.
pub const ONCELOG_ERROR_INVALID_TRANSACTION_STATE: oncelog_error_code_t = 30;
/// The transaction was aborted; run it again.
pub const ONCELOG_ERROR_TRANSACTION_ABORTED: oncelog_error_code_t = 31;
/// The transaction was open too long and was aborted.
pub const ONCELOG_ERROR_TRANSACTION_TIMED_OUT: oncelog_error_code_t = 32;
/// A write or flush failed under this call: it may be there or not; opening again decides.
pub const ONCELOG_ERROR_INDETERMINATE: oncelog_error_code_t = 33;
/// The group member was replaced.
pub const ONCELOG_ERROR_STALE_GROUP_MEMBER: oncelog_error_code_t = 34;
/// A bug in oncelog.
pub const ONCELOG_ERROR_INTERNAL: oncelog_error_code_t = 35;
/// A panic was caught.
pub const ONCELOG_ERROR_PANIC: oncelog_error_code_t = 36;

/// The version of this header.
pub const ONCELOG_VERSION_MAJOR: u32 = 0;
/// While the major version is 0, each minor version may change what programs must be compiled against.
pub const ONCELOG_VERSION_MINOR: u32 = 1;
/// Patches change neither the header nor the files.
pub const ONCELOG_VERSION_PATCH: u32 = 0;
/// Major * 1,000,000 + minor * 1,000 + patch.
pub const ONCELOG_VERSION_NUMBER: u32 = 1000;

/// A timeout without an end.
pub const ONCELOG_FOREVER: u32 = u32::MAX;

/// A switch of an option struct: what the library does unless told otherwise.
pub const ONCELOG_DEFAULT: u32 = 0;
/// A switch of an option struct: on.
pub const ONCELOG_YES: u32 = 1;
/// A switch of an option struct: off.
pub const ONCELOG_NO: u32 = 2;

/// Acknowledged when written to the operating system, flushed within a second: survives the death of the process.
pub const ONCELOG_DURABILITY_OS: u32 = 1;
/// Acknowledged when flushed to the device: survives a power cut. The default of the engine.
pub const ONCELOG_DURABILITY_DISK: u32 = 2;
/// Acknowledged when placed in the engine's buffer, written to the operating system within 10 ms or as soon as somebody
/// reads it, flushed within a second: survives nothing, not even the death of the process. The weakest of the three.
pub const ONCELOG_DURABILITY_MEMORY: u32 = 3;

/// Readers see a record when it has met its topic's level. The default.
pub const ONCELOG_VISIBILITY_LEVEL: u32 = 1;
/// Readers see a record when it is durable, whatever its topic's level: nothing that a power cut could take back.
pub const ONCELOG_VISIBILITY_DURABLE: u32 = 2;

/// Records carry their senders' timestamps. The default.
pub const ONCELOG_TIMESTAMP_CREATE_TIME: u32 = 1;
/// Every record of a batch has the clock's time at its append, whatever it was sent with.
pub const ONCELOG_TIMESTAMP_LOG_APPEND_TIME: u32 = 2;

/// Batches are not compressed. The default.
pub const ONCELOG_COMPRESSION_NONE: u32 = 0;
/// Deflate at its usual level: small and slow.
pub const ONCELOG_COMPRESSION_GZIP: u32 = 1;
/// Blocks of 32 KiB in the framing of Kafka's clients: quick, not very small.
pub const ONCELOG_COMPRESSION_SNAPPY: u32 = 2;
/// One frame of independent blocks of 64 KiB: the quickest.
pub const ONCELOG_COMPRESSION_LZ4: u32 = 3;
/// Level 3: smaller than gzip and several times quicker.
pub const ONCELOG_COMPRESSION_ZSTD: u32 = 4;

/// `oncelog_end_transaction`: records and offsets become part of the log.
pub const ONCELOG_OUTCOME_COMMIT: u32 = 1;
/// `oncelog_end_transaction`: they do not.
pub const ONCELOG_OUTCOME_ABORT: u32 = 2;

/// The transaction is not decided.
pub const ONCELOG_TRANSACTION_OPEN: u32 = 1;
/// Its records and offsets are part of the log.
pub const ONCELOG_TRANSACTION_COMMITTED: u32 = 2;
/// They never will be.
pub const ONCELOG_TRANSACTION_ABORTED: u32 = 3;
/// Nothing is known of it: it was never begun, was aborted before anything of it lay in the log, or was decided so long
/// ago that its transactional id has decided 64 others since.
pub const ONCELOG_TRANSACTION_FORGOTTEN: u32 = 4;

/// Everything visible, records of open and aborted transactions included.
pub const ONCELOG_ISOLATION_READ_UNCOMMITTED: u32 = 1;
/// Records outside transactions and of committed ones, up to the last stable offset. The default.
pub const ONCELOG_ISOLATION_READ_COMMITTED: u32 = 2;

/// Where nothing is committed a consumer begins with the first record there is. The default.
pub const ONCELOG_START_EARLIEST: u32 = 1;
/// Where nothing is committed a consumer begins behind the last record there is.
pub const ONCELOG_START_LATEST: u32 = 2;
/// Where nothing is committed `oncelog_consumer_poll` answers `ONCELOG_ERROR_OFFSET_OUT_OF_RANGE` until
/// `oncelog_consumer_seek` is called.
pub const ONCELOG_START_NONE: u32 = 3;

/// `linger_ms` of a producer that closes each batch at once.
pub const ONCELOG_LINGER_NONE: u32 = u32::MAX;

/// `oncelog_record_t::fields`: the record has a `timestamp`.
pub const ONCELOG_RECORD_TIMESTAMP: u32 = 1;
/// `oncelog_record_t::fields`: the record has a `partition` to go to.
pub const ONCELOG_RECORD_PARTITION: u32 = 2;
/// `oncelog_record_t::fields`: the record has a `position`.
pub const ONCELOG_RECORD_POSITION: u32 = 4;

/// `oncelog_offset_t::fields`: the offset has a `leader_epoch`.
pub const ONCELOG_OFFSET_LEADER_EPOCH: u32 = 1;

/// Bounds of a histogram's buckets.
pub const ONCELOG_HISTOGRAM_BOUNDS: usize = 16;
/// Its buckets: one for each bound, and one for what lies above all.
pub const ONCELOG_HISTOGRAM_BUCKETS: usize = 17;

/// `oncelog_log_fn`: something failed or was lost.
pub const ONCELOG_LOG_ERROR: u32 = 1;
/// `oncelog_log_fn`: something that should be looked at.
pub const ONCELOG_LOG_WARN: u32 = 2;
/// `oncelog_log_fn`: something that happens once in the life of a log.
pub const ONCELOG_LOG_INFO: u32 = 3;
/// `oncelog_log_fn`: for those who look for a fault.
pub const ONCELOG_LOG_DEBUG: u32 = 4;

/// The version of the library that runs; compare it with `ONCELOG_VERSION_NUMBER`, that of the header.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_version_number() -> u32 {
    ONCELOG_VERSION_NUMBER
}

/// The same as text, such as "0.1.0". Lives for ever.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_version_string() -> *const std::ffi::c_char {
    concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_error_has_its_number_and_its_name_in_the_header() {
        let source = include_str!("codes.rs");
        for kind in engine::ErrorKind::ALL {
            let mut name = String::new();
            for letter in kind.name().chars() {
                if letter.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(letter.to_ascii_uppercase());
            }
            let line = format!("pub const ONCELOG_ERROR_{name}: oncelog_error_code_t = {};", *kind as u16);
            assert!(source.contains(&line), "missing: {line}");
        }
    }

    #[test]
    fn the_header_has_the_version_of_the_package() {
        let text = format!("{ONCELOG_VERSION_MAJOR}.{ONCELOG_VERSION_MINOR}.{ONCELOG_VERSION_PATCH}");
        assert_eq!(text, env!("CARGO_PKG_VERSION"));
        let number = ONCELOG_VERSION_MAJOR * 1_000_000 + ONCELOG_VERSION_MINOR * 1_000 + ONCELOG_VERSION_PATCH;
        assert_eq!(number, ONCELOG_VERSION_NUMBER);
    }
}
