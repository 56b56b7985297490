//! Records on their way out: everything of a poll in one piece of memory, which becomes one ArrayBuffer without a copy.
//! It stays below 2 GiB, since the engine bounds a read and `options` bounds a poll.

use oncelog::{Batch, Error, Headers, Place, RecordView, Records, TopicPartition};

use crate::layout;

const ROW: usize = layout::ROW as usize;
const HEAD: usize = layout::BATCH_HEAD as usize;

/// Records side by side in one partition, or an error in the place of damaged ones.
struct Group {
    first: u64,
    rows: u32,
    partition: u32,
    kind: u32,
    text: (usize, usize),
    /// The life that read, and the frame that a reader behind the group stands on.
    place: (u64, u64),
}

struct Packer {
    out: Vec<u8>,
    /// Bytes that the records take in the log.
    bytes: usize,
    /// Rows that there is room for, and rows filled.
    room: usize,
    rows: usize,
    groups: Vec<Group>,
    /// The topic and partition of the last group, and the offset that would go on in it.
    topic: String,
    next: u64,
}

/// Packs records as `layout` draws them. Where each partition goes on is told also if nothing can be read up to there,
/// and of others that were `passed` without a record.
pub fn packed(records: &Records, passed: &[(TopicPartition, Place)]) -> Vec<u8> {
    let mut packer = filled(records);
    for (name, place) in passed {
        packer.goes_on(&name.topic, name.partition, *place);
    }
    for (topic, partition, _) in records.next_offsets() {
        if let Some(place) = records.next_place(topic, partition) {
            packer.goes_on(topic, partition, place);
        }
    }
    packer.finish()
}

/// Packs the records of one batch, in a partition without a name.
pub fn packed_batch(batch: &Batch) -> oncelog::Result<Vec<u8>> {
    let (count, bytes) = (batch.header().count, batch.as_bytes().len());
    let mut packer = Packer::new(usize::try_from(count).unwrap_or(0), bytes, bytes);
    let mut rows = 0;
    for record in batch.records() {
        let record = record?;
        packer.row(record.timestamp, record.key, record.value, record.headers());
        rows += 1;
    }
    packer.groups.push(Group { first: 0, rows, partition: 0, kind: 0, text: (0, 0), place: (0, 0) });
    Ok(packer.finish())
}

fn filled(records: &Records) -> Packer {
    let room = usize::try_from(records.count()).unwrap_or(usize::MAX);
    let bytes = records.bytes();
    // Of a large batch few records may be shown: then the memory grows as it must.
    let guess = if room < 1_000 { 256 * room } else { bytes };
    let mut packer = Packer::new(room, bytes, bytes.min(guess));
    for record in records {
        match record {
            Ok(record) => packer.add(&record),
            Err(error) => packer.fault(&error),
        }
    }
    packer
}

impl Packer {
    /// Room for so many rows, and so many bytes of theirs to begin with.
    fn new(room: usize, bytes: usize, guess: usize) -> Self {
        let tables = HEAD + room * (8 + ROW);
        let mut out = Vec::with_capacity(tables + guess + 1_024);
        out.resize(tables, 0);
        Self { out, bytes, room, rows: 0, groups: Vec::new(), topic: String::new(), next: 0 }
    }

    fn add(&mut self, record: &RecordView<'_>) {
        self.row(record.timestamp(), record.key(), record.value(), record.headers());
        let goes_on = self.next == record.offset()
            && self.groups.last().is_some_and(|g| g.kind == 0 && g.partition == record.partition())
            && self.topic == record.topic();
        if !goes_on {
            self.begin(record);
        }
        if let Some(group) = self.groups.last_mut() {
            group.rows += 1;
        }
        self.next = record.offset() + 1;
    }

    /// Writes a record's bytes and numbers.
    fn row(&mut self, timestamp: i64, key: Option<&[u8]>, value: Option<&[u8]>, headers: Headers<'_>) {
        let start = self.out.len();
        self.out.extend_from_slice(key.unwrap_or_default());
        self.out.extend_from_slice(value.unwrap_or_default());
        let headers = self.headers(headers);
        let row = self.rows;
        self.rows += 1;
        // Milliseconds stay far below 2^53.
        self.put(HEAD + row * 8, &(timestamp as f64).to_ne_bytes());
        let length = |field: Option<&[u8]>| field.map_or(-1, |bytes| bytes.len() as i32);
        let cells = [start as i32, length(key), length(value), headers];
        let at = HEAD + self.room * 8 + row * ROW;
        for (n, cell) in cells.into_iter().enumerate() {
            self.put(at + n * 4, &cell.to_ne_bytes());
        }
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.out[at..at + bytes.len()].copy_from_slice(bytes);
    }

    /// Names go over as bytes: those that a Kafka client wrote may be no text.
    fn headers(&mut self, headers: Headers<'_>) -> i32 {
        let mut count = 0;
        for (key, value) in headers.raw() {
            let length = |bytes: &[u8]| (bytes.len() as u32).to_ne_bytes();
            self.out.extend_from_slice(&length(key));
            self.out.extend_from_slice(&value.map_or(layout::NULL.to_ne_bytes(), length));
            self.out.extend_from_slice(key);
            self.out.extend_from_slice(value.unwrap_or_default());
            count += 1;
        }
        count
    }

    fn text(&mut self, text: &str) -> (usize, usize) {
        let start = self.out.len();
        self.out.extend_from_slice(text.as_bytes());
        (start, text.len())
    }

    fn begin(&mut self, record: &RecordView<'_>) {
        let text = self.text(record.topic());
        record.topic().clone_into(&mut self.topic);
        let (first, partition) = (record.offset(), record.partition());
        self.groups.push(Group { first, rows: 0, partition, kind: 0, text, place: (0, 0) });
    }

    /// Says where a partition goes on: in its last group, or in one without rows, behind what is damaged or hidden.
    fn goes_on(&mut self, topic: &str, partition: u32, next: Place) {
        let (out, place) = (&self.out, (next.incarnation, next.lsn));
        let name = |group: &Group| &out[group.text.0..group.text.0 + group.text.1];
        let of =
            |group: &&mut Group| group.kind == 0 && group.partition == partition && name(group) == topic.as_bytes();
        let last = self.groups.iter_mut().rfind(of);
        if let Some(last) = last.filter(|group| group.first + u64::from(group.rows) == next.offset) {
            last.place = place;
            return;
        }
        let text = self.text(topic);
        self.groups.push(Group { first: next.offset, rows: 0, partition, kind: 0, text, place });
    }

    fn fault(&mut self, error: &Error) {
        let text = self.text(error.message());
        let kind = u32::from(error.kind() as u16);
        self.groups.push(Group { first: 0, rows: 0, partition: 0, kind, text, place: (0, 0) });
    }

    fn finish(mut self) -> Vec<u8> {
        let at = self.out.len().next_multiple_of(8);
        self.out.resize(at, 0);
        for group in &self.groups {
            for cell in [group.first, group.place.0, group.place.1] {
                self.out.extend_from_slice(&cell.to_ne_bytes());
            }
            let (start, length) = (group.text.0 as u32, group.text.1 as u32);
            for cell in [group.rows, group.partition, group.kind, start, length, 0] {
                self.out.extend_from_slice(&cell.to_ne_bytes());
            }
        }
        // The tables may have more rows than there are records, where some are damaged.
        let head = [layout::VERSION, self.room as u32, self.groups.len() as u32, at as u32];
        for (n, cell) in head.into_iter().enumerate() {
            self.put(n * 4, &cell.to_ne_bytes());
        }
        // There is no memory for 2^53 of them.
        self.put(HEAD - 8, &(self.bytes as f64).to_ne_bytes());
        self.out
    }
}
