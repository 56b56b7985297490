//! What is measured, and how much of it.

/// A table of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Records one by one, each answered when the operating system has it.
    Append1,
    /// The same, answered when the process has it.
    AppendMemory,
    /// Batches of 100 records, answered when the operating system has them.
    Append100,
    /// Records one by one from eight threads, beside one thread, answered when the operating system has them.
    Append8,
    /// Records one by one, each answered when it survives a power cut.
    Durable1,
    /// The same from eight threads.
    Durable8,
    /// 100 records, two partitions and an offset as one, answered when the operating system has them.
    Transaction,
    /// The same, answered when it survives a power cut.
    TransactionDurable,
    /// All records of a log that was just opened.
    Scan,
    /// The same, at read_committed, where a tenth of the records were aborted.
    ScanAborted,
    /// Open a closed log, read its last record, append one.
    Reopen,
    /// The same after SIGKILL.
    ReopenKilled,
    /// Memory of the process after a large log was written and scanned.
    Memory,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// So many of these a second: more is better.
    PerSecond(&'static str),
    /// Less is better.
    Microseconds,
    /// Less is better.
    Mebibytes,
}

impl Workload {
    /// All, in the order of the tables.
    pub const ALL: [Workload; 13] = [
        Workload::Append1,
        Workload::AppendMemory,
        Workload::Append100,
        Workload::Append8,
        Workload::Durable1,
        Workload::Durable8,
        Workload::Transaction,
        Workload::TransactionDurable,
        Workload::Scan,
        Workload::ScanAborted,
        Workload::Reopen,
        Workload::ReopenKilled,
        Workload::Memory,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Workload::Append1 => "append-1",
            Workload::AppendMemory => "append-memory",
            Workload::Append100 => "append-100",
            Workload::Append8 => "append-8",
            Workload::Durable1 => "durable-1",
            Workload::Durable8 => "durable-8",
            Workload::Transaction => "transaction",
            Workload::TransactionDurable => "transaction-durable",
            Workload::Scan => "scan",
            Workload::ScanAborted => "scan-aborted",
            Workload::Reopen => "reopen",
            Workload::ReopenKilled => "reopen-killed",
            Workload::Memory => "memory",
        }
    }

    /// Its title in the tables.
    pub fn title(self) -> &'static str {
        match self {
            Workload::Append1 => "Append one by one, level os",
            Workload::AppendMemory => "Append one by one, level memory",
            Workload::Append100 => "Batches of 100, level os",
            Workload::Append8 => "Eight appenders, level os",
            Workload::Durable1 => "Durable, one thread",
            Workload::Durable8 => "Durable, eight threads",
            Workload::Transaction => "Transactions, not flushed",
            Workload::TransactionDurable => "Transactions, durable",
            Workload::Scan => "Scan, checksums verified",
            Workload::ScanAborted => "Scan at read_committed, a tenth aborted",
            Workload::Reopen => "Open after a clean close",
            Workload::ReopenKilled => "Open after SIGKILL",
            Workload::Memory => "Memory",
        }
    }

    /// What is done, in a sentence.
    pub fn text(self) -> &'static str {
        match self {
            Workload::Append1 => {
                "One record per call, answered when the operating system has it: it survives the process."
            }
            Workload::AppendMemory => "One record per call, answered when the process has it: it may be lost with it.",
            Workload::Append100 => "100 records per call, all or nothing, answered when the operating system has them.",
            Workload::Append8 => "One record per call from eight threads; beside it the same work by one thread.",
            Workload::Durable1 => "One record per call, answered when it survives a power cut.",
            Workload::Durable8 => "The same from eight threads, each waiting for its own record.",
            Workload::Transaction => {
                "100 records to two partitions and the offset that a group has reached, all or nothing."
            }
            Workload::TransactionDurable => "The same, answered when it survives a power cut.",
            Workload::Scan => "Every record of a log that was just opened by a new process, in order, page cache warm.",
            Workload::ScanAborted => {
                "The same, where every tenth batch belongs to an aborted transaction; what is handed out counts."
            }
            Workload::Reopen => {
                "From the call that opens until the last record is read and one more appended, page cache warm. Three \
                times as many rounds as elsewhere."
            }
            Workload::ReopenKilled => {
                "The same, of a log whose writer was killed with SIGKILL behind a tail it had appended."
            }
            Workload::Memory => {
                "Resident memory that is not backed by a file, above what the process had before it opened the log: \
                after \
                 everything was appended in batches of 100 and scanned once. The peak is of all resident pages, mapped \
                 files too."
            }
        }
    }

    /// What its figures count.
    pub fn unit(self) -> Unit {
        match self {
            Workload::Durable1 | Workload::Durable8 => Unit::PerSecond("commits"),
            Workload::Transaction | Workload::TransactionDurable => Unit::PerSecond("transactions"),
            Workload::Reopen | Workload::ReopenKilled => Unit::Microseconds,
            Workload::Memory => Unit::Mebibytes,
            _ => Unit::PerSecond("records"),
        }
    }

    /// Whether its logs are filled once, for all rounds.
    pub fn is_prepared(self) -> bool {
        matches!(self, Workload::Scan | Workload::ScanAborted)
    }
}

/// How much is done. Each size can be set in the environment under the name in `Sizes::new`, as
/// `COMPARE_APPEND=100000`.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    /// Records one by one.
    pub append: u64,
    /// Records in batches.
    pub batched: u64,
    /// Durable commits by one thread; eight threads make four times as many.
    pub durable: u64,
    /// Transactions not flushed.
    pub transactions: u64,
    /// Durable transactions.
    pub durable_transactions: u64,
    /// Records of a scan.
    pub scan: u64,
    /// Records of the large log: for opening, and for memory.
    pub large: u64,
    /// Records behind it when it is killed.
    pub tail: u64,
    /// Rounds of each workload.
    pub rounds: usize,
}

impl Sizes {
    /// The full sizes, or with `QUICK=1` those of a run of a minute or two.
    pub fn new() -> Sizes {
        let quick = quick();
        let size = |name: &str, full: u64, small: u64| {
            let set = std::env::var(format!("COMPARE_{name}")).ok().and_then(|text| text.parse().ok());
            set.unwrap_or(if quick { small } else { full })
        };
        Sizes {
            append: size("APPEND", 300_000, 40_000),
            batched: size("BATCHED", 1_000_000, 200_000),
            durable: size("DURABLE", 2_000, 300),
            transactions: size("TRANSACTIONS", 8_000, 1_000),
            durable_transactions: size("DURABLE_TRANSACTIONS", 1_500, 200),
            scan: size("SCAN", 2_000_000, 200_000),
            large: size("LARGE", (1 << 30) / 100, (64 << 20) / 100) / 100 * 100,
            tail: size("TAIL", (64 << 20) / 100, (8 << 20) / 100) / 100 * 100,
            rounds: size("ROUNDS", 5, 3).max(1) as usize,
        }
    }
}

/// Whether a quick run was asked for.
pub fn quick() -> bool {
    std::env::var("QUICK").is_ok_and(|set| !set.is_empty() && set != "0")
}
