//! A record as a caller gives it, and how its bytes lie in a batch. Reading them: `record_iter`.
//!
//! ```text
//! length varint   attributes i8   timestamp delta varlong   offset delta varint   key   value   header count varint
//! then per header: key, value.     key, value: length varint (negative: null) and the bytes
//! ```
//! The length counts what follows it. Timestamps are relative to the batch's base timestamp, offsets to its base.

pub use super::record_iter::{Headers, RecordIter, RecordRef};
use super::varint;
use crate::types::Timestamp;

/// The length of null, -1, as its one byte.
const NULL: u8 = 1;

/// A header of a record: a name, which may come more than once, and a value or null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Header<'a> {
    /// The name, possibly empty.
    pub key: &'a str,
    /// The value; null and empty are different things.
    pub value: Option<&'a [u8]>,
}

/// A record to append. It borrows everything, so that sending copies the bytes once, into the batch.
///
/// ```
/// use oncelog::{Header, Record};
/// let trace = [Header { key: "trace", value: Some(b"7f") }];
/// let record = Record::new(b"paid").key(b"order-17").headers(&trace);
/// assert_eq!(record.value, Some(&b"paid"[..]));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Record<'a> {
    /// Chooses the partition unless `partition` does; null and empty are different things.
    pub key: Option<&'a [u8]>,
    /// The content; null marks the key as deleted.
    pub value: Option<&'a [u8]>,
    /// Kept in this order.
    pub headers: &'a [Header<'a>],
    /// Milliseconds since 1970, or -1 for none; without it the clock's time.
    pub timestamp: Option<Timestamp>,
    /// The partition to go to; without it the key or the producer chooses.
    pub partition: Option<u32>,
    /// A named producer's position: strictly increasing, gaps allowed.
    pub position: Option<u64>,
}

impl<'a> Record<'a> {
    /// A record with a value and nothing else.
    pub fn new(value: &'a [u8]) -> Self {
        Self { value: Some(value), ..Self::default() }
    }
    /// A record without a value: it marks `key` as deleted.
    pub fn tombstone(key: &'a [u8]) -> Self {
        Self { key: Some(key), ..Self::default() }
    }
    /// Sets the key.
    pub fn key(mut self, key: &'a [u8]) -> Self {
        self.key = Some(key);
        self
    }
    /// Sets the headers.
    pub fn headers(mut self, headers: &'a [Header<'a>]) -> Self {
        self.headers = headers;
        self
    }
    /// Sets the timestamp: milliseconds since 1970, or -1 for none.
    pub fn timestamp(mut self, timestamp: Timestamp) -> Self {
        self.timestamp = Some(timestamp);
        self
    }
    /// Sets the partition.
    pub fn partition(mut self, partition: u32) -> Self {
        self.partition = Some(partition);
        self
    }
    /// Sets a named producer's position.
    pub fn position(mut self, position: u64) -> Self {
        self.position = Some(position);
        self
    }

    /// Bytes of the record in a batch behind its length: what `put` takes as `body`. Counted in 64 bits, so that no
    /// fields' lengths can wrap.
    #[inline]
    pub(super) fn body_len(&self, timestamp_delta: i64, offset_delta: i32) -> u64 {
        let small = 1 + varint::len(timestamp_delta) + varint::len(i64::from(offset_delta));
        let headers = if self.headers.is_empty() { 1 } else { headers_len(self.headers) };
        small as u64 + field_len(self.key) + field_len(self.value) + headers
    }

    /// Writes the record over `out`, which is exactly its length's bytes and `body` long.
    #[inline(always)]
    pub(super) fn put(&self, out: &mut [u8], body: u64, timestamp_delta: i64, offset_delta: i32) {
        let mut at = varint::put_size(out, 0, body);
        out[at] = 0;
        at = varint::put(out, at + 1, timestamp_delta);
        at = varint::put(out, at, i64::from(offset_delta));
        at = put_field(out, at, self.key);
        at = put_field(out, at, self.value);
        if self.headers.is_empty() {
            out[at] = 0;
        } else {
            put_headers(&mut out[at..], self.headers);
        }
    }
}

/// Appends a record as it lies in a batch, relative to the batch's base timestamp and base offset: for batches that a
/// builder does not make, with holes between offsets or with markers. A record too large for a batch is its caller's to
/// refuse.
pub fn encode(out: &mut Vec<u8>, record: &Record<'_>, timestamp_delta: i64, offset_delta: i32) {
    let body = record.body_len(timestamp_delta, offset_delta);
    let start = out.len();
    out.resize(start + varint::size_len(body) + body as usize, 0);
    record.put(&mut out[start..], body, timestamp_delta, offset_delta);
}

// Records with headers are the rare ones: kept out of line, so that the code for the others stays short.
#[inline(never)]
fn headers_len(headers: &[Header<'_>]) -> u64 {
    // The same bytes may be behind many headers, so this sum has no bound but the cut, far past the limit of a batch.
    headers.iter().fold(varint::size_len(headers.len() as u64) as u64, |sum, header| {
        (sum + field_len(Some(header.key.as_bytes())) + field_len(header.value)).min(u64::from(u32::MAX))
    })
}

#[inline(never)]
fn put_headers(out: &mut [u8], headers: &[Header<'_>]) {
    let mut at = varint::put_size(out, 0, headers.len() as u64);
    for header in headers {
        at = put_field(out, at, Some(header.key.as_bytes()));
        at = put_field(out, at, header.value);
    }
    debug_assert_eq!(at, out.len());
}

#[inline(always)]
fn field_len(field: Option<&[u8]>) -> u64 {
    field.map_or(1, |bytes| varint::size_len(bytes.len() as u64) as u64 + bytes.len() as u64)
}

#[inline(always)]
fn put_field(out: &mut [u8], at: usize, field: Option<&[u8]>) -> usize {
    let Some(bytes) = field else {
        out[at] = NULL;
        return at + 1;
    };
    let at = varint::put_size(out, at, bytes.len() as u64);
    let end = at + bytes.len();
    out[at..end].copy_from_slice(bytes);
    end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(record: &Record<'_>, timestamp_delta: i64, offset_delta: i32) -> Vec<u8> {
        let mut out = vec![9];
        encode(&mut out, record, timestamp_delta, offset_delta);
        assert_eq!(out.remove(0), 9, "what was there stays");
        out
    }

    #[test]
    fn the_bytes_are_those_that_kafka_writes() {
        let headers = [Header { key: "h", value: Some(b"x") }];
        assert_eq!(encoded(&Record::new(b"v").key(b"k"), 0, 0), *b"\x10\0\0\0\x02k\x02v\0");
        assert_eq!(encoded(&Record::new(b"w").headers(&headers), 1, 1), *b"\x16\0\x02\x02\x01\x02w\x02\x02h\x02x");
        assert_eq!(encoded(&Record::tombstone(b""), -1, 64), *b"\x0e\0\x01\x80\x01\0\x01\0");
    }

    #[test]
    fn null_and_empty_are_different_bytes() {
        let null_header = [Header { key: "", value: None }];
        let empty_header = [Header { key: "", value: Some(b"") }];
        let records = [
            Record::default(),
            Record::new(b""),
            Record::tombstone(b""),
            Record::default().headers(&null_header),
            Record::default().headers(&empty_header),
        ];
        for (n, record) in records.iter().enumerate() {
            assert!(records[..n].iter().all(|other| encoded(other, 0, 0) != encoded(record, 0, 0)));
        }
    }

    #[test]
    fn a_sum_of_lengths_past_every_limit_does_not_wrap() {
        let shared = vec![0; 1 << 20];
        let headers = vec![Header { key: "", value: Some(&shared[..]) }; 5000];
        assert!(Record::default().headers(&headers).body_len(0, 0) >= u64::from(u32::MAX));
    }
}
