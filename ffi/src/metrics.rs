//! What an open log has done and how it stands: numbers in a struct, and the text that scrapers read.
#![allow(unsafe_code)]

use std::ffi::{CString, c_char};

use engine::{Histogram, Metrics};

use crate::call::{call, tell};
use crate::codes::{ONCELOG_HISTOGRAM_BOUNDS, ONCELOG_HISTOGRAM_BUCKETS};
use crate::engine_handle::oncelog_engine_t;
use crate::error::{self, oncelog_error_t};
use crate::handle::{end, find, handle, make};
use crate::kept::Kept;
use crate::structs::{oncelog_consumer_lag_t, sized};

/// How often values fell into each of a few ranges.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_histogram_t {
    /// How many values there were.
    pub count: u64,
    /// Their sum.
    pub sum: u64,
    /// The greatest value of each bucket, growing.
    pub bounds: [u64; ONCELOG_HISTOGRAM_BOUNDS],
    /// How many values fell into each bucket. The last one takes what lies above all bounds.
    pub counts: [u64; ONCELOG_HISTOGRAM_BUCKETS],
}

/// How an open log stands and what it has done. Counts begin with 0 at each open and only grow.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct oncelog_metrics_t {
    /// sizeof(oncelog_metrics_t), set by the caller.
    pub struct_size: u32,
    /// 1 once a write or flush has failed: nothing is written until the log is opened again.
    pub poisoned: u32,
    /// Batches written, those of transactions included.
    pub appends: u64,
    /// Records written.
    pub records: u64,
    /// Bytes of all frames written: batches and what the log keeps about them.
    pub bytes: u64,
    /// Appends and sends that were there already, so that nothing was written.
    pub duplicates: u64,
    /// Calls refused because a newer holder of their name or producer id had taken over.
    pub fenced: u64,
    /// Transactions committed.
    pub transactions_committed: u64,
    /// Transactions aborted, by their owner or by what befell them.
    pub transactions_aborted: u64,
    /// Transactions open now.
    pub transactions_open: u64,
    /// Rolls to the next segment that had to wait for it.
    pub late_rolls: u64,
    /// Checkpoints completed.
    pub checkpoints: u64,
    /// Segment files now.
    pub segments: u64,
    /// Bytes that the segment files hold on the disk, with the room ahead of the frames.
    pub disk_used: u64,
    /// Bytes of it that are frames. Nothing is cleaned away in this version, so frames of deleted topics count too.
    pub disk_live: u64,
    /// Frames of each group that was written: how many appends share a write. `count` is the number of groups.
    pub group_frames: oncelog_histogram_t,
    /// How long each flush to the device took, nanoseconds. `count` is the number of flushes.
    pub flush_nanos: oncelog_histogram_t,
}

sized! {
    oncelog_metrics_t from 672;
}

impl From<&Histogram> for oncelog_histogram_t {
    fn from(histogram: &Histogram) -> Self {
        // Lengths other than the engine's would not compile.
        let (bounds, counts) = (*histogram.bounds(), *histogram.counts());
        Self { count: histogram.count(), sum: histogram.sum(), bounds, counts }
    }
}

impl From<&Metrics> for oncelog_metrics_t {
    fn from(metrics: &Metrics) -> Self {
        Self {
            struct_size: 0,
            poisoned: u32::from(metrics.poisoned),
            appends: metrics.appends,
            records: metrics.records,
            bytes: metrics.bytes,
            duplicates: metrics.duplicates,
            fenced: metrics.fenced,
            transactions_committed: metrics.transactions_committed,
            transactions_aborted: metrics.transactions_aborted,
            transactions_open: metrics.transactions_open,
            late_rolls: metrics.late_rolls,
            checkpoints: metrics.checkpoints,
            segments: metrics.segments,
            disk_used: metrics.disk_used,
            disk_live: metrics.disk_live,
            group_frames: (&metrics.group_frames).into(),
            flush_nanos: (&metrics.flush_nanos).into(),
        }
    }
}

/// How far groups were behind when they were asked for.
pub struct oncelog_consumer_lags_t;

handle!(oncelog_consumer_lags_t, ConsumerLags, Kept<oncelog_consumer_lag_t>);

/// A text that the library made.
pub struct oncelog_text_t;

handle!(oncelog_text_t, Text, CString);

/// How the log stands and what it has done since it was opened: a snapshot that takes microseconds, and about two more
/// for each partition in which an open consumer of a group has a position, waits for nobody and reads nothing from the
/// disk. Set `out->struct_size` first. How far consumers are behind is told by
/// `oncelog_consumer_lags`, by `oncelog_openmetrics` and, of one consumer, by `oncelog_consumer_lag`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_metrics(
    engine: *const oncelog_engine_t,
    out: *mut oncelog_metrics_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.sized_out(out)?);
        out.set((&open.engine.metrics()).into());
        Ok(())
    })
}

/// The bound of the bucket in which the share `q` of the values, from 0 to 1, is reached: no more than this share of
/// them was greater. `known` is false, and `value` 0, if there were none, or if it lies above all bounds. A share beyond
/// 0 or 1 is taken as that one, and what is no number as 0.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_histogram_quantile(
    histogram: *const oncelog_histogram_t,
    q: f64,
    value: *mut u64,
    known: *mut bool,
) -> *mut oncelog_error_t {
    call(|c| {
        let histogram = c.one(histogram, "histogram")?;
        let (value, known) = (c.out(value, "value")?, c.out(known, "known")?);
        tell(value, known, Histogram::quantile_of(&histogram.bounds, &histogram.counts, q));
        Ok(())
    })
}

/// How far the groups of open consumers are behind, by group, topic and partition: one entry for each partition that is
/// assigned to a consumer with a group and has a position there. As cheap as `oncelog_metrics`. Read them with
/// `oncelog_consumer_lags_get`, free the list with `oncelog_consumer_lags_free`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_lags(
    engine: *const oncelog_engine_t,
    out: *mut *mut oncelog_consumer_lags_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        let lags = Kept::new(&open.engine.metrics().lags, |lag, keep| oncelog_consumer_lag_t {
            group: keep(&lag.group),
            topic: keep(&lag.partition.topic),
            partition: lag.partition.partition,
            position: lag.position,
            lag: lag.lag,
        });
        out.set(make(lags)?);
        Ok(())
    })
}

/// The lags of a list; they live until it is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_consumer_lags_get(
    lags: *const oncelog_consumer_lags_t,
    out: *mut *const oncelog_consumer_lag_t,
    count: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (lags, out, count) = (find(lags)?, c.out(out, "out")?, c.out(count, "count")?);
        out.set(lags.items().as_ptr());
        count.set(lags.items().len());
        Ok(())
    })
}

/// Frees a list of lags. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_consumer_lags_free(lags: *mut oncelog_consumer_lags_t) -> *mut oncelog_error_t {
    call(|_| if lags.is_null() { Ok(()) } else { end(lags) })
}

/// What `oncelog_metrics` and `oncelog_consumer_lags` say, in the OpenMetrics text format 1.0, which Prometheus reads:
/// answer it with the media type `application/openmetrics-text; version=1.0.0; charset=utf-8`. Read the text with
/// `oncelog_text_get`, free it with `oncelog_text_free`.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_openmetrics(
    engine: *const oncelog_engine_t,
    out: *mut *mut oncelog_text_t,
) -> *mut oncelog_error_t {
    call(|c| {
        let (open, out) = (find(engine)?, c.out(out, "out")?);
        out.set(make(error::text(&open.engine.metrics().to_openmetrics()))?);
        Ok(())
    })
}

/// The bytes of a text, UTF-8 and with a NUL behind them, which `size` does not count; `size` may be NULL. They live
/// until the text is freed.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn oncelog_text_get(
    text: *const oncelog_text_t,
    out: *mut *const c_char,
    size: *mut usize,
) -> *mut oncelog_error_t {
    call(|c| {
        let (text, out, size) = (find(text)?, c.out(out, "out")?, c.optional_out(size, "size")?);
        out.set(text.as_ptr());
        if let Some(size) = size {
            size.set(text.as_bytes().len());
        }
        Ok(())
    })
}

/// Frees a text. NULL is no error.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_text_free(text: *mut oncelog_text_t) -> *mut oncelog_error_t {
    call(|_| if text.is_null() { Ok(()) } else { end(text) })
}
