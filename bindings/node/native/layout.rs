//! What crosses between JavaScript and here in packed form. Both sides run on one machine, in one process and from one
//! package, so numbers have the machine's byte order and lie at multiples of their size. `src/layout.ts` repeats the
//! constants; it refuses to load beside another `VERSION`, and a test compares them all.
//!
//! **Records in**, one entry behind the other:
//! ```text
//!  0 u32 size of the entry, a multiple of 8      16 u32 bytes of the key
//!  4 u32 flags                                   20 u32 bytes of the value
//!  8 u32 topic, by the number it was given       24 u32 number of headers
//! 12 u32 who hears the answer                    28 u32 partition
//! 32 f64 timestamp, if flagged; u64 position, if flagged; then without gaps key, value, and per header
//!    u32 bytes of the name, u32 bytes of the value (NULL = null), name, value; anything up to the size
//! ```
//! Entries side by side with `MANY` and one and the same who are one call; `MORE` in the first of them says that it
//! goes on in the next crossing.
//!
//! **Finished things out**, in cells of 8 bytes: what it is and who hears it, as f64, and behind them
//! ```text
//! APPENDED    partition f64, duplicate f64, first u64, last u64, timestamp f64, LSN u64, incarnation u64
//! COMMITTED   number u64, LSN u64, incarnation u64
//! the others  nothing: DONE; FAILED and REFUSED, whose error is asked for; VALUE and LINE, which are taken; READY
//! ```
//!
//! **Answers of many**: per run of records that lie one behind the other, partition f64, duplicate f64, first u64,
//! timestamp f64, LSN u64, incarnation u64, number of records f64. Duplicates have no place: all have the first one's.
//!
//! **A batch of records out**:
//! ```text
//!  0 u32 VERSION   4 u32 rows   8 u32 groups   12 u32 where the groups begin
//! 16 f64 bytes that the records take in the log
//! 24 f64 timestamp of each row
//!    then for each row i32 where its bytes begin, i32 bytes of the key (-1 null), i32 bytes of the value (-1 null),
//!    i32 number of headers; its bytes are key, value, and headers as above
//! groups: u64 offset of the first row, u64 incarnation, u64 LSN, u32 rows, u32 partition, u32 kind of error or 0, u32
//!    where text begins, u32 bytes of text, u32 0. The text is the topic's name; of an error, which stands for damaged
//!    records and has no rows, the message. Behind the records of one partition a group without rows may say where it
//!    goes on. Incarnation and LSN make a place of the end of the last group of a partition; elsewhere they are 0.
//! ```

use napi_derive::napi;

macro_rules! layout {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        $($(#[$doc])* pub const $name: u32 = $value;)*

        /// Every constant with its name, for the test that compares them.
        #[napi]
        pub fn layout() -> Vec<(String, u32)> {
            vec![$((stringify!($name).to_owned(), $name),)*]
        }
    };
}

layout! {
    /// Raised with every change of this file.
    VERSION = 4,
    /// Size of an entry's fixed part.
    ENTRY_HEAD = 32,
    KEY = 1,
    VALUE_FLAG = 2,
    TIMESTAMP = 4,
    PARTITION = 8,
    POSITION = 16,
    /// Somebody wants to hear where the record went.
    ANSWER = 32,
    MANY = 64,
    MORE = 128,
    /// Null, where a length stands.
    NULL = 0xffff_ffff,

    DONE = 1,
    FAILED = 2,
    VALUE = 3,
    APPENDED = 4,
    COMMITTED = 5,
    READY = 6,
    REFUSED = 7,
    LINE = 8,
    /// Cells of the longest of them.
    CELLS_MAX = 9,
    /// Cells of a run of answers.
    MANY_CELLS = 7,

    BATCH_HEAD = 24,
    /// Bytes of a row's numbers, its timestamp aside.
    ROW = 16,
    GROUP = 48,
}
