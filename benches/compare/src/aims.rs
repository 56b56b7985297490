//! What is aimed at, and why a row that is behind stays behind.

use crate::workload::Workload;

/// How many times the rate of another engine is aimed at, by the other's name.
pub fn factors(workload: Workload) -> &'static [(&'static str, f64)] {
    match workload {
        Workload::Append1 => &[
            ("bare pwrite", 0.85),
            ("commitlog", 1.0),
            ("fjall", 2.0),
            ("RocksDB", 2.5),
            ("LMDB", 6.0),
            ("SQLite", 20.0),
        ],
        Workload::AppendMemory => &[("bare pwrite", 6.0), ("Chronicle Queue", 1.2)],
        Workload::Append100 => &[
            ("bare pwrite", 0.75),
            ("commitlog", 2.5),
            ("LMDB", 8.0),
            ("RocksDB", 10.0),
            ("fjall", 18.0),
            ("SQLite", 40.0),
        ],
        Workload::Durable1 => &[
            ("bare pwrite", 0.95),
            ("SQLite", 1.0),
            ("LMDB", 1.0),
            ("LMDB, writable map", 1.0),
            ("redb", 1.0),
            ("fjall", 1.0),
            ("RocksDB", 1.0),
            ("okaywal", 1.0),
            ("walrus", 1.0),
        ],
        Workload::Durable8 => &[("okaywal", 1.15), ("RocksDB", 1.6), ("SQLite", 3.5)],
        Workload::Transaction => &[("bare pwrite", 0.5), ("LMDB", 8.0), ("RocksDB", 10.0), ("SQLite", 40.0)],
        Workload::TransactionDurable => &[("bare pwrite", 0.9), ("fjall", 2.0), ("RocksDB", 2.0), ("LMDB", 3.0)],
        Workload::Scan => &[("LMDB", 1.5), ("commitlog", 1.3), ("RocksDB", 6.0)],
        _ => &[],
    }
}

/// The most that is aimed at for our own figure: microseconds or MiB.
pub fn most(workload: Workload) -> Option<f64> {
    match workload {
        Workload::Reopen => Some(1_000.0),
        Workload::ReopenKilled => Some(15_000.0),
        Workload::Memory => Some(16.0),
        _ => None,
    }
}

/// How many times the rate of one thread eight are aimed at.
pub const EIGHT: f64 = 1.3;

/// How many times the rate of the plain scan one is aimed at that leaves out a tenth, aborted.
pub const ABORTED: f64 = 0.85;

/// How many commits of eight threads a flush is to take along.
pub const PER_FLUSH: f64 = 4.0;

/// The most that all resident pages are to take at their peak, MiB.
pub const PEAK: f64 = 100.0;

/// Where the time goes that an aim of a workload is missed by.
pub fn gap(workload: Workload) -> Option<&'static str> {
    match workload {
        Workload::Append1 => Some(
            "beside the system call, about 3,000 instructions: a Kafka batch, a frame around it, a checksum of each, \
             the fold, the records that readers find it by, and the locks and batons between them",
        ),
        Workload::AppendMemory => Some(
            "a send is about 800 instructions; the batches behind it are written by another thread, which must keep up",
        ),
        Workload::Append100 => Some(
            "the bare pwrite's zeros were written before the clock ran. A log that grows has them written meanwhile, \
             as beside *bare pwrite, our batches*: as long again as the write of the records takes; then a record \
             costs 270 instructions, of which 160 encode it and 50 sum it",
        ),
        Workload::Append8 => Some(
            "a file takes one write at a time, and to hand a record from one core's cache to the other's costs about \
             as much as to write it. Where it costs more, threads take turns: one goes on while the rest sleep, so \
             one core does the work. Without the engine, eight threads lose four to six tenths",
        ),
        Workload::Transaction => Some(
            "the same as with batches of 100; and each record chooses its partition, and both partitions and the \
             offset have a place in one frame",
        ),
        Workload::TransactionDurable => Some("the processor time of a transaction comes on top of its flush"),
        Workload::Scan => Some("a record is decoded field by field, each length checked; LMDB hands out a pointer"),
        Workload::Reopen => Some("one flush, which makes the new incarnation durable, is two thirds of it"),
        Workload::ReopenKilled => Some(
            "what lies behind the newest checkpoint is read and verified, what was not flushed is copied, and flushed \
             three times, before anything counts",
        ),
        _ => None,
    }
}

/// Why another engine may be ahead.
pub fn reason(workload: Workload, engine: &str) -> Option<&'static str> {
    match (workload, engine) {
        (Workload::AppendMemory | Workload::Append1 | Workload::Append8, "LMDB, writable map") => {
            Some("it writes its pages through the mapping and makes no system call per record")
        }
        (Workload::Append1, "Chronicle Queue") => {
            Some("it writes through the mapping, without a system call, and sums nothing")
        }
        (Workload::Scan, "Chronicle Queue") => Some("it hands out what lies in its mapping: no sums, no fields"),
        (Workload::Append1 | Workload::Append8, "commitlog" | "fjall" | "walrus") => Some(
            "a record alone is a Kafka batch in a frame here: 216 bytes, two checksums, and readers told of it; in \
             batches records share them",
        ),
        (Workload::Durable1 | Workload::Durable8 | Workload::TransactionDurable, "okaywal") => {
            Some("it writes over files that it has used before, so a flush meets no block that is new")
        }
        (Workload::ReopenKilled, _) => {
            Some("what the dead writer had not flushed we copy and flush again before anything counts")
        }
        (Workload::Reopen, "LMDB" | "LMDB, writable map") => Some(
            "it reads one page of its map and flushes nothing; we make the new incarnation durable before we answer",
        ),
        (Workload::Reopen, "redb") => Some("it flushes nothing while opening"),
        (Workload::Reopen, "commitlog") => Some("it verifies and repairs nothing, and flushes nothing"),
        (Workload::Reopen, "SQLite") => Some("it flushes nothing while opening"),
        (Workload::Scan, "LMDB" | "LMDB, writable map") => {
            Some("it hands out pointers into its map and verifies no checksums")
        }
        (Workload::Scan, "commitlog") => {
            Some("a message there has a head of one size; a record is read field by field, each length checked")
        }
        (Workload::Durable1, _) => Some("one flush a record, as here; the rest is the device's noise"),
        (Workload::Memory, "SQLite") => Some("its page cache is 2 MiB; our write buffers are larger"),
        (Workload::Memory, "LMDB" | "LMDB, writable map") => {
            Some("all its pages are the file's; we keep buffers for writing and reading, and two threads")
        }
        (Workload::Memory, "commitlog") => Some("it has no thread, no state and one buffer"),
        _ => None,
    }
}
