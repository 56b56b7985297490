//! Reads the records of a batch. Nothing is copied, every length is checked before it is used.

use super::batch::BatchHeader;
pub use super::headers::Headers;
use super::headers::{HeaderBytes, check_headers};
use super::varint::{self, Bad};
use crate::error::{Error, ErrorKind, Result};
use crate::types::{Offset, Timestamp};

/// What is wrong with a record's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Defect {
    Number(Bad),
    Length,
    Field,
    HeaderCount,
    HeaderName,
    Left,
    OffsetDelta,
    Timestamp,
    Missing,
    Trailing,
    Header,
    Packed,
}

impl From<Bad> for Defect {
    fn from(bad: Bad) -> Self {
        Defect::Number(bad)
    }
}

impl Defect {
    pub(super) fn text(self) -> &'static str {
        match self {
            Defect::Number(Bad::Cut) => "the bytes end inside a number",
            Defect::Number(Bad::Long) => "a number is longer or larger than its field allows",
            Defect::Length => "its length is negative or reaches past the end of the batch",
            Defect::Field => "a key or value reaches past the end of the record",
            Defect::HeaderCount => "the header count is negative or larger than the bytes left",
            Defect::HeaderName => "a header has no name",
            Defect::Left => "bytes are left between its last field and its declared end",
            Defect::OffsetDelta => "its offset does not follow the one before or lies behind the batch's last offset",
            Defect::Timestamp => "its timestamp is out of range",
            Defect::Missing => "the batch holds fewer records than it declares",
            Defect::Trailing => "bytes follow the last record",
            Defect::Header => "the batch header's count or offsets are out of range",
            Defect::Packed => "its batch is compressed and was not unpacked",
        }
    }
}

/// A record read from a batch. It borrows the batch's bytes.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its offset in the partition.
    pub offset: Offset,
    /// Milliseconds since 1970, -1 for none: the sender's, or the time of the append where the batch says so.
    pub timestamp: Timestamp,
    /// The key, null or empty as it was sent.
    pub key: Option<&'a [u8]>,
    /// The value; null marks the key as deleted.
    pub value: Option<&'a [u8]>,
    headers: HeaderBytes<'a>,
}

impl<'a> RecordRef<'a> {
    /// The headers in order. An item is an `InvalidRecord` error if its name is not UTF-8, which Kafka lets pass; see
    /// `Headers::raw`.
    pub fn headers(&self) -> Headers<'a> {
        Headers::of(self.headers)
    }
}

/// Reads a length and that many bytes; a negative length is null, as in Kafka.
#[inline(always)]
pub(super) fn read_field<'a>(bytes: &'a [u8], at: &mut usize) -> std::result::Result<Option<&'a [u8]>, Defect> {
    let Some(len) = varint::read_size(bytes, at)? else { return Ok(None) };
    // Neither number exceeds 2^31 where usize has 32 bits, so the sum cannot wrap.
    let end = *at + len;
    let field = bytes.get(*at..end).ok_or(Defect::Field)?;
    *at = end;
    Ok(Some(field))
}

/// A field whose length takes one or two bytes.
#[inline(always)]
fn plain_field<'a>(record: &'a [u8], at: &mut usize) -> Option<Option<&'a [u8]>> {
    let Some(len) = varint::read_short_size(record, at)? else { return Some(None) };
    let field = record.get(*at..*at + len)?;
    *at += len;
    Some(Some(field))
}

// Records with headers are the rarer ones: kept out of line, so that the code for the others stays short.
#[inline(never)]
fn plain_headers(record: &[u8], mut at: usize) -> Option<HeaderBytes<'_>> {
    let count = varint::read_i32(record, &mut at).ok()?;
    check_headers(record, at, count).ok()
}

/// The records of one batch in order.
///
/// Every length is checked against what is left, so any bytes may be given; after an error the iterator is at its end.
/// All records were read without an error if and only if the body is exactly what the header declares.
#[derive(Clone, Debug)]
pub struct RecordIter<'a> {
    /// The records not yet read.
    rest: &'a [u8],
    left: u32,
    base_offset: i64,
    /// What timestamps are relative to, or the time of the append where that counts for every record.
    base_timestamp: Timestamp,
    /// What counts of the deltas of timestamps: every bit, or none where the time of the append counts.
    counted: i64,
    last_delta: i32,
    max_delta: i32,
    /// `plain` leaves records with a greater delta to `step_any`.
    plain_delta: i32,
    /// What `new` found; told by the first step.
    fault: Option<Defect>,
    count: u32,
}

impl<'a> RecordIter<'a> {
    /// The records of the batch of `header`; `body` is what follows the header's 61 bytes. Records that are compressed
    /// are an error here: `Batch::records` and every read unpack them.
    #[inline]
    pub fn new(header: &BatchHeader, body: &'a [u8]) -> Self {
        let mut records = Self::unpacked(header, body);
        if header.compression() != 0 && records.fault.is_none() {
            records.stop(Some(Defect::Packed));
        }
        records
    }

    /// The same for a body that was unpacked, if it had to be.
    #[doc(hidden)]
    #[inline]
    pub fn unpacked(header: &BatchHeader, body: &'a [u8]) -> Self {
        let count = u32::try_from(header.count).unwrap_or(0);
        // No timestamp that is this close leaves the range, so that `plain` need not look.
        let near = i64::from(varint::SHORT_MAX);
        let plain = (i64::MIN + near..=i64::MAX - near).contains(&header.base_timestamp);
        let (base_timestamp, counted) =
            if header.is_log_append_time() { (header.max_timestamp, 0) } else { (header.base_timestamp, -1) };
        let mut records = Self {
            rest: body,
            left: count,
            base_offset: header.base_offset,
            base_timestamp,
            counted,
            last_delta: -1,
            max_delta: header.last_offset_delta,
            plain_delta: if plain { header.last_offset_delta } else { -1 },
            fault: None,
            count,
        };
        // Offsets are checked here once, so that no record's can leave the range.
        let last = header.base_offset.checked_add(i64::from(header.last_offset_delta));
        if header.count < 0 || header.base_offset < 0 || last.is_none() {
            records.stop(Some(Defect::Header));
        }
        records
    }

    /// No records.
    pub(crate) fn empty() -> Self {
        Self {
            rest: &[],
            left: 0,
            base_offset: 0,
            base_timestamp: 0,
            counted: -1,
            last_delta: -1,
            max_delta: -1,
            plain_delta: -1,
            fault: None,
            count: 0,
        }
    }

    /// Leaves the records from offset `end` on to `next`: `plain` answers `None` there.
    #[inline]
    pub(crate) fn plain_until(mut self, end: Offset) -> Self {
        let below = end.saturating_sub(self.base_offset.max(0).unsigned_abs());
        let last = i32::try_from(below).map_or(i32::MAX, |below| below - 1);
        self.plain_delta = self.plain_delta.min(last);
        self
    }

    /// The next record, or what is wrong with it; `Ok(None)` behind the last.
    #[inline(always)]
    pub(super) fn step(&mut self) -> std::result::Result<Option<RecordRef<'a>>, Defect> {
        match self.plain() {
            Some(record) => Ok(Some(record)),
            None => self.step_any(),
        }
    }

    /// The next record if it is as nearly all are: each of its numbers takes one or two bytes, and nothing is wrong.
    /// Otherwise `None`, and nothing has happened: `step_any` finds out what there is.
    #[inline(always)]
    pub(crate) fn plain(&mut self) -> Option<RecordRef<'a>> {
        self.plain_with(plain_headers)
    }

    /// The next record if it is plain and has no headers, of which the compiler knows then that there are none.
    #[inline(always)]
    pub(crate) fn bare(&mut self) -> Option<RecordRef<'a>> {
        self.plain_with(|_, _| None)
    }

    /// The next record if it is plain. `headers` reads what headers there are from a byte on; where it answers `None`
    /// the record is not plain.
    #[inline(always)]
    fn plain_with(
        &mut self,
        headers: impl FnOnce(&'a [u8], usize) -> Option<HeaderBytes<'a>>,
    ) -> Option<RecordRef<'a>> {
        let left = self.left.checked_sub(1)?;
        let mut numbers = varint::Short::at(self.rest)?;
        let len = numbers.size()?;
        let start = numbers.read();
        // The first byte is the attributes, of which Kafka uses none.
        numbers.skip();
        let timestamp_delta = numbers.signed()?;
        // Two bytes hold at most 8191.
        let delta = numbers.size()? as i32;
        if delta <= self.last_delta || delta > self.plain_delta {
            return None;
        }
        let (record, rest) = self.rest.split_at_checked(start + len)?;
        let mut at = numbers.read();
        let key = if numbers.is_null() {
            at += 1;
            None
        } else {
            plain_field(record, &mut at)?
        };
        let value = plain_field(record, &mut at)?;
        let headers =
            if at + 1 == record.len() && record[at] == 0 { HeaderBytes::default() } else { headers(record, at)? };
        let timestamp = self.base_timestamp.wrapping_add(i64::from(timestamp_delta) & self.counted);
        (self.rest, self.last_delta, self.left) = (rest, delta, left);
        Some(RecordRef { offset: (self.base_offset + i64::from(delta)) as u64, timestamp, key, value, headers })
    }

    /// The next record whatever it is like, and what is wrong with one.
    #[inline(never)]
    fn step_any(&mut self) -> std::result::Result<Option<RecordRef<'a>>, Defect> {
        if self.left == 0 {
            return self.end();
        }
        let mut start = 0;
        let len = match varint::read_size(self.rest, &mut start) {
            Ok(len) => len.ok_or(Defect::Length)?,
            Err(_) if self.rest.is_empty() => return Err(Defect::Missing),
            Err(bad) => return Err(bad.into()),
        };
        let record = self.rest.get(start..start + len).ok_or(Defect::Length)?;
        // The first byte is the attributes, of which Kafka uses none.
        let mut at = 1;
        let timestamp_delta = varint::read_i64(record, &mut at)?;
        let delta = varint::read_i32(record, &mut at)?;
        if delta <= self.last_delta || delta > self.max_delta {
            return Err(Defect::OffsetDelta);
        }
        let key = read_field(record, &mut at)?;
        let value = read_field(record, &mut at)?;
        let headers = match varint::read_i32(record, &mut at)? {
            0 if at == record.len() => HeaderBytes::default(),
            count => check_headers(record, at, count)?,
        };
        let timestamp = self.base_timestamp.checked_add(timestamp_delta & self.counted).ok_or(Defect::Timestamp)?;
        (self.rest, self.last_delta) = (&self.rest[start + len..], delta);
        self.left -= 1;
        // Not negative and no overflow: `new` checked base and last offset, and the delta lies between.
        Ok(Some(RecordRef { offset: (self.base_offset + i64::from(delta)) as u64, timestamp, key, value, headers }))
    }

    /// Number of the record that `step` reads next, from 0.
    pub(super) fn index(&self) -> u32 {
        self.count - self.left
    }

    fn end(&self) -> std::result::Result<Option<RecordRef<'a>>, Defect> {
        match self.fault {
            Some(defect) => Err(defect),
            None if !self.rest.is_empty() => Err(Defect::Trailing),
            None => Ok(None),
        }
    }

    fn stop(&mut self, fault: Option<Defect>) {
        (self.rest, self.left, self.fault) = (&[], 0, fault);
    }

    #[cold]
    fn fail(&mut self, defect: Defect) -> Error {
        let error = unreadable(defect, self.index());
        self.stop(None);
        error
    }
}

impl<'a> Iterator for RecordIter<'a> {
    type Item = Result<RecordRef<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        match self.step() {
            Ok(record) => record.map(Ok),
            Err(defect) => Some(Err(self.fail(defect))),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        // A hostile count must not make a collector reserve memory: nothing is promised.
        (0, None)
    }
}

impl std::iter::FusedIterator for RecordIter<'_> {}

#[cold]
pub(super) fn unreadable(defect: Defect, index: u32) -> Error {
    let what = defect.text();
    Error::new(ErrorKind::Corrupt, format!("a record cannot be read: {what}; verify the log, record={index}"))
}

#[cfg(test)]
mod tests {
    use super::super::record::{Header, Record, encode};
    use super::*;

    const HEADERS: [Header<'static>; 3] = [
        Header { key: "a", value: Some(b"x") },
        Header { key: "a", value: None },
        Header { key: "", value: Some(b"") },
    ];

    fn header(count: i32, last_offset_delta: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 100,
            batch_len: 0,
            leader_epoch: 0,
            magic: 2,
            crc: 0,
            attributes: 0,
            last_offset_delta,
            base_timestamp: 1000,
            max_timestamp: 5000,
            producer_id: -1,
            epoch: -1,
            base_sequence: -1,
            count,
        }
    }

    fn encoded(records: &[(Record<'_>, i64, i32)]) -> Vec<u8> {
        let mut body = Vec::new();
        records.iter().for_each(|(record, timestamp, offset)| encode(&mut body, record, *timestamp, *offset));
        body
    }

    /// What the first error says, and how many records came before it.
    fn fault(header: &BatchHeader, body: &[u8]) -> (usize, String) {
        let mut records = RecordIter::new(header, body);
        let mut before = 0;
        loop {
            match records.next().expect("these bytes hold an error") {
                Ok(_) => before += 1,
                Err(error) => {
                    assert!(records.next().is_none(), "nothing follows an error");
                    assert_eq!(error.kind(), ErrorKind::Corrupt);
                    return (before, error.message().to_owned());
                }
            }
        }
    }

    #[test]
    fn records_come_back_as_they_were_encoded() {
        let (long, empty) = (vec![7; 20_000], Record::new(b""));
        let given = [
            (Record::new(b"v").key(b"k"), 0, 0),
            (Record::tombstone(b"gone"), -50, 1),
            (Record::default(), 3_000_000_000, 2),
            (empty.key(b"").headers(&HEADERS), i64::MAX - 1000, 63),
            (Record::new(&long), 1 << 20, 64),
            (Record::new(b"last"), i64::MIN, 100_000),
        ];
        let body = encoded(&given);
        let mut records = RecordIter::new(&header(6, 100_000), &body);
        for (record, timestamp, offset) in given {
            let read = records.next().unwrap().unwrap();
            assert_eq!((read.key, read.value), (record.key, record.value));
            assert_eq!((read.timestamp, read.offset), (1000 + timestamp, 100 + offset as u64));
            assert_eq!(read.headers().collect::<Result<Vec<_>>>().unwrap(), record.headers);
        }
        assert!(records.next().is_none() && records.next().is_none());
    }

    /// A record's fields, or what the error says.
    type Told<'a> = std::result::Result<(Offset, Timestamp, [Option<&'a [u8]>; 2], Option<Vec<Header<'a>>>), String>;

    fn told(r: RecordRef<'_>) -> Told<'_> {
        Ok((r.offset, r.timestamp, [r.key, r.value], r.headers().collect::<Result<_>>().ok()))
    }

    fn tell(record: Result<RecordRef<'_>>) -> Told<'_> {
        record.map_or_else(|error| Err(error.message().to_owned()), told)
    }

    fn walked(records: RecordIter<'_>) -> Vec<Told<'_>> {
        records.map(tell).collect()
    }

    #[test]
    fn plain_and_bare_records_are_read_as_all_others_are_whatever_their_bytes() {
        let (short, long) = ([5; 40], [6; 70]);
        let given = [
            (Record::new(&short), 0, 0),
            (Record::new(b"v").key(b"k"), -70, 1),
            (Record::default(), 9000, 60),
            (Record::tombstone(&long), 70, 70),
            (Record::new(b"w").headers(&HEADERS), 0, 71),
            (Record::new(b""), 1, 72),
        ];
        let body = encoded(&given);
        let times = [0, 1 << 3].into_iter().flat_map(|attributes| [1000, i64::MAX, i64::MIN].map(|t| (attributes, t)));
        for (attributes, base_timestamp) in times {
            let header = BatchHeader { attributes, base_timestamp, ..header(6, 72) };
            let same = |body: &[u8], what: (usize, u8)| {
                let plain = RecordIter::new(&header, body);
                let (mut bare, mut others) = (plain.clone(), plain.clone());
                others.plain_delta = -1;
                let step = || bare.bare().map(told).or_else(|| bare.next().map(tell));
                let bare: Vec<_> = std::iter::from_fn(step).collect();
                let plain = walked(plain);
                assert!(plain == walked(others) && plain == bare, "{what:?} base_timestamp={base_timestamp}");
            };
            (0..=body.len()).for_each(|end| same(&body[..end], (end, 0)));
            for at in 0..body.len() {
                for byte in 0..=255 {
                    let mut edited = body.clone();
                    edited[at] = byte;
                    same(&edited, (at, byte));
                }
            }
        }
    }

    #[test]
    fn records_behind_a_bound_are_not_plain_and_are_read_all_the_same() {
        let body = encoded(&[0, 1, 2, 3].map(|delta| (Record::new(b"long enough"), 0, delta)));
        for (end, plain) in [(0, 0), (100, 0), (101, 1), (103, 3), (104, 4), (Offset::MAX, 4)] {
            let mut records = RecordIter::new(&header(4, 3), &body).plain_until(end);
            assert_eq!(std::iter::from_fn(|| records.plain()).count(), plain, "{end}");
            assert_eq!(records.count(), 4 - plain, "{end}");
        }
    }

    #[test]
    fn records_cut_anywhere_are_refused() {
        let body = encoded(&[(Record::new(b"v").headers(&HEADERS), 0, 0), (Record::new(&[1; 100]).key(b"k"), 9, 1)]);
        for end in 0..body.len() {
            fault(&header(2, 1), &body[..end]);
        }
    }

    #[test]
    fn each_defect_is_named() {
        let two = encoded(&[(Record::new(b"v"), 0, 0), (Record::new(b"w"), 0, 1)]);
        let headed = encoded(&[(Record::new(b"v").headers(&HEADERS[..1]), 0, 0)]);
        let edited = |at: usize, byte: u8| {
            let mut body = headed.clone();
            body[at] = byte;
            body
        };
        // length 0, attributes 1, timestamp 2, offset 3, key 4, value 5-6, count 7, name 8-9, value 10-11
        let cases: [(&str, i32, Vec<u8>); 13] = [
            ("fewer records than it declares", 3, two.clone()),
            ("bytes follow the last record", 1, two.clone()),
            ("bytes follow the last record", 0, vec![0]),
            ("reaches past the end of the batch", 1, edited(0, 24)),
            ("reaches past the end of the batch", 1, edited(0, 1)),
            ("end inside a number", 1, vec![0x80]),
            ("key or value reaches past", 1, edited(5, 100)),
            ("longer or larger", 1, [&[0x80; 6][..], &two].concat()),
            ("header count is negative or larger", 1, edited(7, 1)),
            ("header count is negative or larger", 1, edited(7, 6)),
            ("has no name", 1, edited(8, 1)),
            ("key or value reaches past", 1, edited(10, 4)),
            ("bytes are left", 1, edited(10, 0)),
        ];
        for (text, count, body) in cases {
            let said = fault(&header(count, 2), &body).1;
            assert!(said.contains(text), "{said} should say {text}");
        }
    }

    #[test]
    fn offsets_that_do_not_grow_or_pass_the_last_one_are_refused() {
        for (first, second, last) in [(0, 0, 5), (1, 0, 5), (0, 6, 5), (-1, 0, 5), (0, 1, -1)] {
            let body = encoded(&[(Record::new(b"v"), 0, first), (Record::new(b"w"), 0, second)]);
            assert!(fault(&header(2, last), &body).1.contains("offset"), "{first} {second} {last}");
        }
        let body = encoded(&[(Record::new(b"v"), 0, 0)]);
        for (base_offset, last_offset_delta, count) in [(-1, 0, 1), (i64::MAX, 1, 1), (0, 0, -1)] {
            let header = BatchHeader { base_offset, ..header(count, last_offset_delta) };
            assert_eq!(fault(&header, &body).0, 0);
        }
    }

    #[test]
    fn a_timestamp_past_the_end_of_time_is_refused() {
        let body = encoded(&[(Record::new(b"v"), i64::MAX, 0)]);
        assert!(fault(&header(1, 0), &body).1.contains("timestamp is out of range"));
    }

    #[test]
    fn append_time_counts_for_every_record() {
        let body = encoded(&[(Record::new(b"v"), 7, 0), (Record::new(b"w"), i64::MAX, 1)]);
        let header = BatchHeader { attributes: 1 << 3, ..header(2, 1) };
        assert!(RecordIter::new(&header, &body).all(|record| record.unwrap().timestamp == 5000));
    }

    #[test]
    fn a_negative_length_is_null_as_in_kafka() {
        // Lengths of key and value are -2 and -3.
        let record = RecordIter::new(&header(1, 0), &[12, 0, 0, 0, 3, 5, 0]).next().unwrap().unwrap();
        assert_eq!((record.key, record.value), (None, None));
    }

    #[test]
    fn compressed_records_are_refused_not_misread() {
        for codec in 1..8 {
            let header = BatchHeader { attributes: codec, ..header(1, 0) };
            let mut records = RecordIter::new(&header, &[1, 2, 3]);
            assert!(records.next().unwrap().unwrap_err().message().contains("was not unpacked"));
            assert!(records.next().is_none());
        }
    }

    #[test]
    fn a_hostile_count_reserves_no_memory() {
        assert_eq!(RecordIter::new(&header(i32::MAX, i32::MAX), &[]).size_hint().0, 0);
        let body = [14, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f];
        assert!(fault(&header(1, 0), &[&[20], &body[1..]].concat()).1.contains("header count"));
    }
}
