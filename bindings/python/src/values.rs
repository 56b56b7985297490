//! What calls answer: the named tuples of `oncelog._types`, and `Appended`, of which there are many.

use oncelog::{Compression, ErrorKind, TimestampType};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyDict, PyString, PyTuple};

use crate::errors::{exception, misplaced};
use crate::options;
use crate::ticket::Ticket;

/// A class of `oncelog._types`, looked up once.
struct Class {
    name: &'static str,
    class: PyOnceLock<Py<PyAny>>,
}

impl Class {
    const fn new(name: &'static str) -> Self {
        Self { name, class: PyOnceLock::new() }
    }

    fn make<'py>(&self, py: Python<'py>, fields: impl pyo3::call::PyCallArgs<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.class.import(py, "oncelog._types", self.name)?.call1(fields)
    }
}

static ACTIVE_PRODUCER: Class = Class::new("ActiveProducer");
static BATCH_HEADER: Class = Class::new("BatchHeader");
static BATCH_RECORD: Class = Class::new("BatchRecord");
static BOUNDS: Class = Class::new("Bounds");
static COMMITTED: Class = Class::new("Committed");
static CONSUMER_LAG: Class = Class::new("ConsumerLag");
static DAMAGE: Class = Class::new("Damage");
static GROUP_METADATA: Class = Class::new("GroupMetadata");
static HISTOGRAM: Class = Class::new("Histogram");
static LOST: Class = Class::new("Lost");
static METRICS: Class = Class::new("Metrics");
static IDENTITY: Class = Class::new("Identity");
static OFFSET_AND_METADATA: Class = Class::new("OffsetAndMetadata");
static OFFSET_AND_TIMESTAMP: Class = Class::new("OffsetAndTimestamp");
static VERIFICATION: Class = Class::new("Verification");
static OPENING: Class = Class::new("Opening");
static OPEN_TRANSACTION: Class = Class::new("OpenTransaction");
static PLACE: Class = Class::new("Place");
static SENT_MANY: Class = Class::new("SentMany");
static TOPIC_INFO: Class = Class::new("TopicInfo");
static UUID: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
static TOPIC_PARTITION: Class = Class::new("TopicPartition");

pub fn bounds<'py>(py: Python<'py>, bounds: oncelog::Bounds) -> PyResult<Bound<'py, PyAny>> {
    BOUNDS.make(py, (bounds.start, bounds.stable, bounds.end))
}

pub fn committed<'py>(py: Python<'py>, committed: oncelog::Committed) -> PyResult<Bound<'py, PyAny>> {
    COMMITTED.make(py, (committed.number, committed.lsn, committed.incarnation))
}

/// What `Histogram.quantile` answers.
#[pyfunction]
pub fn quantile(bounds: Vec<u64>, counts: Vec<u64>, q: f64) -> Option<u64> {
    oncelog::Histogram::quantile_of(&bounds, &counts, q)
}

fn histogram<'py>(py: Python<'py>, of: &oncelog::Histogram) -> PyResult<Bound<'py, PyAny>> {
    HISTOGRAM.make(py, (of.count(), of.sum(), PyTuple::new(py, of.bounds())?, PyTuple::new(py, of.counts())?))
}

pub fn metrics<'py>(py: Python<'py>, metrics: &oncelog::Metrics) -> PyResult<Bound<'py, PyAny>> {
    let lags = metrics.lags.iter().map(|lag| {
        let (at, values) = (&lag.partition, (lag.position, lag.lag));
        CONSUMER_LAG.make(py, (&lag.group, &at.topic, at.partition, values.0, values.1))
    });
    let fields = PyDict::new(py);
    for (name, number) in [
        ("appends", metrics.appends),
        ("records", metrics.records),
        ("bytes", metrics.bytes),
        ("duplicates", metrics.duplicates),
        ("fenced", metrics.fenced),
        ("transactions_committed", metrics.transactions_committed),
        ("transactions_aborted", metrics.transactions_aborted),
        ("transactions_open", metrics.transactions_open),
        ("late_rolls", metrics.late_rolls),
        ("checkpoints", metrics.checkpoints),
        ("segments", metrics.segments),
        ("disk_used", metrics.disk_used),
        ("disk_live", metrics.disk_live),
    ] {
        fields.set_item(name, number)?;
    }
    fields.set_item("group_frames", histogram(py, &metrics.group_frames)?)?;
    fields.set_item("flush_nanos", histogram(py, &metrics.flush_nanos)?)?;
    fields.set_item("poisoned", metrics.poisoned)?;
    fields.set_item("lags", PyTuple::new(py, lags.collect::<PyResult<Vec<_>>>()?)?)?;
    METRICS.class.import(py, "oncelog._types", METRICS.name)?.call((), Some(&fields))
}

pub fn group_metadata<'py>(py: Python<'py>, group: &oncelog::GroupMetadata) -> PyResult<Bound<'py, PyAny>> {
    GROUP_METADATA.make(py, (&group.group,))
}

pub fn offset_and_metadata<'py>(py: Python<'py>, at: &oncelog::OffsetAndMetadata) -> PyResult<Bound<'py, PyAny>> {
    OFFSET_AND_METADATA.make(py, (at.offset, &at.metadata, at.leader_epoch))
}

pub fn offset_and_timestamp(py: Python<'_>, offset: u64, timestamp: i64) -> PyResult<Bound<'_, PyAny>> {
    OFFSET_AND_TIMESTAMP.make(py, (offset, timestamp))
}

pub fn place(py: Python<'_>, place: oncelog::Place) -> PyResult<Bound<'_, PyAny>> {
    PLACE.make(py, (place.incarnation, place.lsn, place.offset))
}

pub fn identity(py: Python<'_>, identity: oncelog::Identity) -> PyResult<Bound<'_, PyAny>> {
    IDENTITY.make(py, (identity.producer_id, identity.epoch))
}

pub fn open_transaction<'py>(py: Python<'py>, open: &oncelog::OpenTransaction) -> PyResult<Bound<'py, PyAny>> {
    let partitions = PyDict::new(py);
    for (name, first) in &open.partitions {
        partitions.set_item(topic_partition(py, &name.topic, name.partition)?, first)?;
    }
    let (identity, timeout) = (identity(py, open.identity)?, open.timeout.map(|timeout| timeout.as_secs_f64()));
    let fields = (open.number, &open.transactional_id, identity, open.since, timeout, open.raw, partitions);
    OPEN_TRANSACTION.make(py, fields)
}

pub fn active_producer<'py>(py: Python<'py>, active: &oncelog::ActiveProducer) -> PyResult<Bound<'py, PyAny>> {
    let identity = identity(py, active.identity)?;
    ACTIVE_PRODUCER.make(py, (identity, active.last_sequence, active.last_timestamp, active.transaction_start_offset))
}

/// The fields of a batch before its records, read by what they mean.
pub fn batch_header<'py>(py: Python<'py>, header: &oncelog::BatchHeader) -> PyResult<Bound<'py, PyAny>> {
    let codec = Compression::of(header.compression());
    let whose = if header.is_log_append_time() { TimestampType::LogAppendTime } else { TimestampType::CreateTime };
    let held = oncelog::Identity { producer_id: header.producer_id, epoch: header.epoch };
    let fields = PyDict::new(py);
    fields.set_item("base_offset", header.base_offset)?;
    fields.set_item("last_offset", header.last_offset())?;
    fields.set_item("count", header.count)?;
    fields.set_item("producer", (held.producer_id >= 0).then(|| identity(py, held)).transpose()?)?;
    for (name, sequence) in [("base_sequence", header.base_sequence), ("last_sequence", header.last_sequence())] {
        fields.set_item(name, (sequence >= 0).then_some(sequence))?;
    }
    fields.set_item("base_timestamp", header.base_timestamp)?;
    fields.set_item("max_timestamp", header.max_timestamp)?;
    fields.set_item("timestamp_type", options::timestamp_type_word(whose))?;
    fields.set_item("compression", codec.map(Compression::name))?;
    fields.set_item("transactional", header.is_transactional())?;
    fields.set_item("control", header.is_control())?;
    fields.set_item("delete_horizon", header.has_delete_horizon())?;
    fields.set_item("leader_epoch", header.leader_epoch)?;
    fields.set_item("size", header.size())?;
    fields.set_item("magic", header.magic)?;
    fields.set_item("attributes", header.attributes)?;
    fields.set_item("crc", header.crc)?;
    BATCH_HEADER.class.import(py, "oncelog._types", BATCH_HEADER.name)?.call((), Some(&fields))
}

/// A record of a batch that is not in the log, copied.
pub fn batch_record<'py>(py: Python<'py>, record: &oncelog::RecordRef<'_>) -> PyResult<Bound<'py, PyAny>> {
    let bytes = |field: Option<&[u8]>| field.map(|bytes| PyBytes::new(py, bytes));
    let (value, key, headers) = (bytes(record.value), bytes(record.key), headers(py, record.headers())?);
    BATCH_RECORD.make(py, (record.offset, record.timestamp, value, key, headers))
}

/// Headers as pairs of name and value.
pub fn headers<'py>(py: Python<'py>, headers: oncelog::Headers<'_>) -> PyResult<Bound<'py, PyTuple>> {
    let headers = headers.raw().map(|(name, value)| {
        let name = match std::str::from_utf8(name) {
            Ok(name) => PyString::new(py, name),
            Err(_) => decoded(py, name)?,
        };
        (name, value.map(|value| PyBytes::new(py, value))).into_pyobject(py)
    });
    PyTuple::new(py, headers.collect::<PyResult<Vec<_>>>()?)
}

/// A name that is no text.
#[cold]
fn decoded<'py>(py: Python<'py>, name: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let decoded = PyBytes::new(py, name).call_method1("decode", ("utf-8", "surrogateescape"))?;
    Ok(decoded.cast_into::<PyString>()?)
}

/// How far a sender came that does not wait.
pub fn sent_many<'py>(
    py: Python<'py>,
    sent: usize,
    ticket: Bound<'py, Ticket>,
    refused: Option<&oncelog::Error>,
) -> PyResult<Bound<'py, PyAny>> {
    SENT_MANY.make(py, (sent, ticket, refused.map(|error| exception(error).into_value(py))))
}

/// How a transaction stands, as a word.
pub fn status(py: Python<'_>, status: oncelog::TransactionStatus) -> PyResult<Bound<'_, PyAny>> {
    match options::status_word(status) {
        Some(word) => Ok(PyString::new(py, word).into_any()),
        None => Err(misplaced(ErrorKind::Internal, "this version has no word for how the transaction stands")),
    }
}

pub fn topic_partition<'py>(py: Python<'py>, topic: &str, partition: u32) -> PyResult<Bound<'py, PyAny>> {
    TOPIC_PARTITION.make(py, (topic, partition))
}

pub fn topic_info<'py>(py: Python<'py>, info: &oncelog::TopicInfo) -> PyResult<Bound<'py, PyAny>> {
    let level = info.durability.and_then(options::durability_word);
    // UUID(hex=None, bytes=...)
    let id = UUID.import(py, "uuid", "UUID")?.call1((py.None(), PyBytes::new(py, &info.id.0)))?;
    let whose = options::timestamp_type_word(info.timestamp_type);
    TOPIC_INFO.make(py, (&info.name, id, info.partitions, level, whose))
}

fn damages<'py>(py: Python<'py>, damage: &[oncelog::Damage]) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let one = |d: &oncelog::Damage| DAMAGE.make(py, (d.first_lsn, d.last_lsn, &d.file, d.position, d.records_only));
    damage.iter().map(one).collect()
}

pub fn verification<'py>(py: Python<'py>, found: &oncelog::Verification) -> PyResult<Bound<'py, PyAny>> {
    VERIFICATION.make(py, (found.segments, found.frames, found.bytes, damages(py, &found.damage)?))
}

pub fn opening<'py>(py: Python<'py>, opening: &oncelog::Opening) -> PyResult<Bound<'py, PyAny>> {
    let cut = opening.cut.map(|cut| LOST.make(py, (cut.last_kept, cut.last_seen, cut.bytes))).transpose()?;
    let damage = damages(py, &opening.damage)?;
    let &oncelog::Opening { created, incarnation, frames_copied, frames_folded, bytes_folded, .. } = opening;
    let (loading, folding) = (opening.loading.as_secs_f64(), opening.folding.as_secs_f64());
    let found = (created, incarnation, frames_copied, cut, damage, loading, folding, frames_folded, bytes_folded);
    OPENING.make(py, found)
}

/// Where an append went.
#[pyclass(frozen, eq, hash, get_all, module = "oncelog")]
#[derive(PartialEq, Eq, Hash)]
pub struct Appended {
    /// The partition's number in its topic.
    partition: u32,
    /// Offset of the first record.
    first: u64,
    /// Offset of the last record.
    last: u64,
    /// The greatest timestamp of the batch, in milliseconds.
    timestamp: i64,
    /// True if these records were here already and nothing was written. Not an error; where they are is not told.
    duplicate: bool,
    /// The frame that holds the records.
    lsn: u64,
    /// The life of the log that answered.
    incarnation: u64,
}

impl From<&oncelog::Appended> for Appended {
    fn from(appended: &oncelog::Appended) -> Self {
        let oncelog::Appended { partition, first, last, timestamp, duplicate, lsn, incarnation } = *appended;
        Self { partition, first, last, timestamp, duplicate, lsn, incarnation }
    }
}

#[pymethods]
impl Appended {
    /// Offset of the record, where there was one: the same as `first`.
    #[getter]
    fn offset(&self) -> u64 {
        self.first
    }

    #[new]
    fn new(partition: u32, first: u64, last: u64, timestamp: i64, duplicate: bool, lsn: u64, incarnation: u64) -> Self {
        Self { partition, first, last, timestamp, duplicate, lsn, incarnation }
    }

    /// So that it can be pickled and copied, as the named tuples can.
    fn __getnewargs__(&self) -> (u32, u64, u64, i64, bool, u64, u64) {
        let Self { partition, first, last, timestamp, duplicate, lsn, incarnation } = *self;
        (partition, first, last, timestamp, duplicate, lsn, incarnation)
    }

    fn __repr__(&self) -> String {
        let Self { partition, first, last, timestamp, duplicate, lsn, incarnation } = self;
        let duplicate = if *duplicate { "True" } else { "False" };
        format!(
            "Appended(partition={partition}, first={first}, last={last}, timestamp={timestamp}, \
             duplicate={duplicate}, lsn={lsn}, incarnation={incarnation})"
        )
    }
}
