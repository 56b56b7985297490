//! Records that were read, walked in arrays of views.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};
use std::ptr::null;

use engine::{
    Batch, Error, ErrorKind, Headers, Offsets, Place, RecordIter, RecordRef, RecordView, Records, RecordsIter,
    TopicPartition,
};

use crate::alone::{self, Alone};
use crate::call::{Answer, call, tell};
use crate::consumer::{kept_offsets, oncelog_offsets_t};
use crate::error::{self, Fault, oncelog_error_t};
use crate::handle::{end, find, handle, make};
use crate::structs::{oncelog_header_view_t, oncelog_place_t, oncelog_record_view_t};

/// Records as a read or a poll answered them, of one partition or of several, or as `oncelog_batch_records` found them
/// in a batch. They own their bytes, so they may be kept after the engine is closed. One thread walks them at a time.
pub struct oncelog_records_t;

handle!(oncelog_records_t, Records, Walkable);

/// Views in one array: enough that the call costs little per record, few enough that what is read of the batch does not
/// meet what was written here in the cache: twice as many cost 4 % more, four times as many 10 %.
const VIEWS: usize = 32;

/// What is behind a handle to records.
pub struct Walkable {
    // Before `source`, into whose bytes it points.
    walk: Alone<Walk>,
    /// Boxed, so that it stays where the walk points to.
    source: Box<Source>,
}

/// Where records come from.
enum Source {
    Log(Records),
    Batch(Batch),
}

/// A walk over them.
enum Iter {
    Log(RecordsIter<'static>),
    Batch(RecordIter<'static>),
}

impl Source {
    fn iter(&'static self) -> Iter {
        match self {
            Source::Log(records) => Iter::Log(records.iter()),
            Source::Batch(batch) => Iter::Batch(batch.records()),
        }
    }

    /// What was read of partitions: nothing if this is a batch by itself.
    fn log(&self) -> Option<&Records> {
        match self {
            Source::Log(records) => Some(records),
            Source::Batch(_) => None,
        }
    }

    fn count(&self) -> u64 {
        match self {
            Source::Log(records) => records.count(),
            Source::Batch(batch) => u64::from(batch.header().count.unsigned_abs()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Source::Log(records) => records.bytes(),
            Source::Batch(batch) => batch.as_bytes().len(),
        }
    }
}

struct Walk {
    all: &'static Source,
    iter: Iter,
    views: Box<[oncelog_record_view_t]>,
    /// Those of all views so far that have any.
    headers: Vec<Headers<'static>>,
    /// How many of them this walk has passed: one that begins again finds those that it met before.
    passed: usize,
    here: Here,
    /// Every view says where the walk is.
    placed: bool,
    /// Names met so far, as C wants them.
    topics: Vec<(&'static str, CString)>,
    /// Met behind views that were given out first.
    error: Option<Error>,
}

/// The partition that the walk is in: the topic's name, also as C wants it, and the number.
#[derive(Clone, Copy)]
struct Here {
    topic: &'static str,
    name: *const c_char,
    partition: u32,
}

impl Here {
    fn place(&self, views: &mut [oncelog_record_view_t]) {
        for view in views {
            (view.topic, view.partition) = (self.name, self.partition);
        }
    }
}

// SAFETY: the pointers in `views` and the borrowed parts lead into `records`, which are Sync, never change, and live as
// long; nothing of a walk belongs to a thread.
unsafe impl Send for Walk {}
// SAFETY: as above; shared, all of it is only read.
unsafe impl Sync for Walk {}

impl Walkable {
    /// Records at the start of their walk.
    pub fn new(records: Records) -> Self {
        Self::over(Source::Log(records))
    }

    /// The records of a batch by itself.
    pub fn of_batch(batch: Batch) -> Self {
        alone::count_forks();
        Self::over(Source::Batch(batch))
    }

    fn over(source: Source) -> Self {
        let source = Box::new(source);
        let pointer: *const Source = &*source;
        // SAFETY: it stays in its box, unchanged, until the walk is dropped: fields drop in their order.
        let borrowed: &'static Source = unsafe { &*pointer };
        let count = usize::try_from(source.count()).unwrap_or(VIEWS).min(VIEWS);
        let views = vec![EMPTY; count].into_boxed_slice();
        let (iter, headers, topics) = (borrowed.iter(), Vec::new(), Vec::new());
        let here = Here { topic: "", name: null(), partition: 0 };
        let walk = Walk { all: borrowed, iter, views, headers, passed: 0, here, placed: true, topics, error: None };
        Self { walk: Alone::new(walk), source }
    }
}

/// What an array of views is filled with first.
const EMPTY: oncelog_record_view_t = oncelog_record_view_t {
    topic: c"".as_ptr(),
    partition: 0,
    header_count: 0,
    offset: 0,
    timestamp: -1,
    key: null(),
    key_size: 0,
    value: null(),
    value_size: 0,
    headers: 0,
};

impl Walk {
    fn next(&mut self) -> Answer<&[oncelog_record_view_t]> {
        if let Some(error) = self.error.take() {
            return Err(error.into());
        }
        let Self { iter, views, headers, passed, here, placed, topics, error, .. } = self;
        let iter = match iter {
            Iter::Log(iter) => iter,
            Iter::Batch(iter) => {
                let mut count = 0;
                for (view, record) in views.iter_mut().zip(iter) {
                    show(view, &record?, headers, passed);
                    count += 1;
                }
                return Ok(&views[..count]);
            }
        };
        if !*placed {
            here.place(views);
            *placed = true;
        }
        let (mut count, mut bare) = (0, true);
        while count < views.len() {
            if bare {
                count += iter.fill(&mut views[count..], |view, record| show(view, &record, headers, passed));
                if count == views.len() {
                    break;
                }
            }
            match iter.next() {
                Some(Ok(record)) => {
                    // Where one has headers, the next ones have some too, most likely.
                    bare = record.headers().len() == 0;
                    if !std::ptr::eq(here.topic, record.topic()) || here.partition != record.partition() {
                        let (topic, partition) = (record.topic(), record.partition());
                        *here = Here { topic, name: known_topic(topics, topic), partition };
                        here.place(&mut views[count..]);
                        *placed = count == 0;
                    }
                    show(&mut views[count], &record, headers, passed);
                    count += 1;
                }
                Some(Err(found)) if count == 0 => return Err(found.into()),
                Some(Err(found)) => {
                    *error = Some(found);
                    break;
                }
                None => break,
            }
        }
        Ok(&views[..count])
    }

    fn rewind(&mut self) {
        (self.iter, self.passed, self.error) = (self.all.iter(), 0, None);
    }

    /// The headers of one of the views, each of which was looked at.
    fn headers_of(&self, view: &oncelog_record_view_t) -> Answer<Headers<'static>> {
        if view.header_count == 0 {
            return Ok(Headers::default());
        }
        let headers = view.headers.checked_sub(1).and_then(|at| self.headers.get(at));
        let Some(headers) = headers.filter(|headers| headers.len() == view.header_count as usize) else {
            let text = "this view is none of these records'; give one that oncelog_records_next answered";
            return Err(Fault::new(ErrorKind::InvalidArgument, text));
        };
        Ok(headers.clone())
    }
}

fn header_of((key, value): (&[u8], Option<&[u8]>)) -> oncelog_header_view_t {
    oncelog_header_view_t {
        key: key.as_ptr().cast(),
        key_size: key.len(),
        value: value.map_or(null(), |value| value.as_ptr().cast()),
        value_size: value.map_or(0, <[u8]>::len),
    }
}

/// What views show of a record, from wherever it comes.
trait Shown {
    /// Offset, timestamp, key, value.
    fn parts(&self) -> (u64, i64, Option<&'static [u8]>, Option<&'static [u8]>);
    fn headers(&self) -> Headers<'static>;
}

impl Shown for RecordView<'static> {
    #[inline(always)]
    fn parts(&self) -> (u64, i64, Option<&'static [u8]>, Option<&'static [u8]>) {
        (self.offset(), self.timestamp(), self.key(), self.value())
    }
    #[inline(always)]
    fn headers(&self) -> Headers<'static> {
        RecordView::headers(self)
    }
}

impl Shown for RecordRef<'static> {
    fn parts(&self) -> (u64, i64, Option<&'static [u8]>, Option<&'static [u8]>) {
        (self.offset, self.timestamp, self.key, self.value)
    }
    fn headers(&self) -> Headers<'static> {
        RecordRef::headers(self)
    }
}

/// Shows a record in a view that says already where the walk is.
#[inline(always)]
fn show(view: &mut oncelog_record_view_t, record: &impl Shown, kept: &mut Vec<Headers<'static>>, passed: &mut usize) {
    let ((offset, timestamp, key, value), headers) = (record.parts(), record.headers());
    (view.offset, view.timestamp) = (offset, timestamp);
    view.key = key.map_or(null(), |key| key.as_ptr().cast());
    view.key_size = key.map_or(0, <[u8]>::len);
    view.value = value.map_or(null(), |value| value.as_ptr().cast());
    view.value_size = value.map_or(0, <[u8]>::len);
    view.header_count = headers.len() as u32;
    if view.header_count > 0 {
        if *passed == kept.len() {
            kept.push(headers);
        }
        *passed += 1;
        view.headers = *passed;
    }
}

/// A topic's name as C wants it.
#[cold]
fn known_topic(topics: &mut Vec<(&'static str, CString)>, name: &'static str) -> *const c_char {
    if let Some((_, known)) = topics.iter().find(|(known, _)| *known == name) {
        return known.as_ptr();
    }
    let made = error::text(name);
    // The text stays where it is when the list grows.
    let pointer = made.as_ptr();
    topics.push((name, made));
    pointer
}

/// The next records in the order of their offsets, one partition after the other: a borrowed array, `count` 0 behind
/// the last. The array is used again by the next call; what it points to lives until `oncelog_records_free`. Nothing is
/// allocated and nothing called per record. Each batch is verified by its checksum before a record of it is given out.
///
/// Errors: CORRUPT where bytes are damaged: it names the offsets, and the next call goes on behind them. BUSY while
/// another thread walks.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_next(
    records: *mut oncelog_records_t,
    out: *mut *const oncelog_record_view_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out, count) = (find(records)?, c.out(out, "out")?, c.out(count, "count")?);
        let mut walk = records.walk.lock(BUSY)?;
        let views = walk.next()?;
        out.set(views.as_ptr());
        count.set(views.len());
        Ok(())
    })
}

/// Goes back to the first record: `oncelog_records_next` begins again. What was answered before stays good.
///
/// Errors: BUSY while another thread walks.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_rewind(records: *mut oncelog_records_t) -> *mut oncelog_error_t {
    call(|_| {
        find(records)?.walk.lock(BUSY)?.rewind();
        Ok(())
    })
}

/// The headers of a record, in the order they were sent: fills the caller's array, which must have room for
/// `view->header_count`. They live until `oncelog_records_free`. Names are UTF-8, but for those of batches that a Kafka
/// client made, which may have any bytes and are answered as they are.
///
/// Errors: INVALID_ARGUMENT if `capacity` is too small, or the view is none of these records; BUSY while another thread
/// is in `oncelog_records_next` or `oncelog_records_rewind`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_headers(
    records: *const oncelog_records_t,
    view: *const oncelog_record_view_t,
    out: *mut oncelog_header_view_t,
    capacity: usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (records, view) = (find(records)?, c.one(view, "view")?);
        let room = c.room(out, capacity, "out")?;
        let headers = records.walk.look(BUSY)?.headers_of(&view)?;
        if headers.len() > room.count {
            let values = format!("header_count={} capacity={}", headers.len(), room.count);
            let text = "there is no room for all headers; give an array for header_count of them";
            return Err(Fault::new(ErrorKind::InvalidArgument, format!("{text}, {values}")));
        }
        room.fill(headers.raw().map(header_of));
        Ok(())
    })
}

/// Number of records, damaged ones included. Nothing is decoded for it.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_count(records: *const oncelog_records_t, out: *mut u64) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out) = (find(records)?, c.out(out, "out")?);
        out.set(records.source.count());
        Ok(())
    })
}

/// Bytes held as they lie in the log, those of hidden records included. What compressed batches unpacked to comes on
/// top.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_bytes(records: *const oncelog_records_t, out: *mut usize) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out) = (find(records)?, c.out(out, "out")?);
        out.set(records.source.bytes());
        Ok(())
    })
}

/// The offset to read next of a partition. `known` is false, and `out` 0, if these records hold nothing of it. An
/// answer to a read that has no record names the offset that was asked for, or the one behind what was aborted there.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_next_offset(
    records: *const oncelog_records_t,
    topic: *const c_char,
    partition: u32,
    out: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out, known) = (find(records)?, c.out(out, "out")?, c.out(known, "known")?);
        let topic = c.text(topic, "topic")?;
        tell(out, known, records.source.log().and_then(|log| log.next_offset(topic, partition)));
        Ok(())
    })
}

/// The offset to read next of every partition that these records hold something of, if only something damaged. Read
/// them with `oncelog_offsets_get`, free the list with `oncelog_offsets_free`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_next_offsets(
    records: *const oncelog_records_t,
    out: *mut *mut oncelog_offsets_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out) = (find(records)?, c.out(out, "out")?);
        let next = records.source.log().into_iter().flat_map(Records::next_offsets);
        let offsets: Offsets = next.map(|(topic, of, next)| (TopicPartition::new(topic, of), next.into())).collect();
        out.set(make(kept_offsets(&offsets))?);
        Ok(())
    })
}

/// Where a reader of a partition stands behind these records: what `oncelog_records_next_offset` says and how it can be
/// told, in a later life of the log too, whether the records before are still there. Give it to a read as
/// `oncelog_read_options_t::from`. `known` is false, and `out` zero, if these records hold nothing of the partition.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_records_next_place(
    records: *const oncelog_records_t,
    topic: *const c_char,
    partition: u32,
    out: *mut oncelog_place_t,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let (records, out, known) = (find(records)?, c.out(out, "out")?, c.out(known, "known")?);
        let topic = c.text(topic, "topic")?;
        let place = records.source.log().and_then(|log| log.next_place(topic, partition));
        out.set(place.unwrap_or(Place { incarnation: 0, lsn: 0, offset: 0 }).into());
        known.set(place.is_some());
        Ok(())
    })
}

/// Frees records with everything borrowed from them. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_records_free(records: *mut oncelog_records_t) -> *mut oncelog_error_t {
    call(|_| if records.is_null() { Ok(()) } else { end(records) })
}

const BUSY: &str = "another thread is walking these records; let one thread do it";
