//! The way to a log.

use std::path::PathBuf;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use crate::arguments::{Number, Seconds};
use crate::engine::Engine;
use crate::errors::{self, Raise, refused};
use crate::messages::{Queue, deliver};
use crate::options;

static OPENED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();

/// Opens the log in a directory; makes it if there is none. Use it in `with`, or `close` it.
///
/// durability: when a write is acknowledged: "disk", the default, once it survives a power cut; "os" once it is written
/// to the operating system, flushed within `flush_interval` seconds (default 1), which survives the death of the
/// process; "memory" at once, written within 10 ms or when somebody reads it, which survives nothing.
/// read_only: nothing is written. Any number of readers, as long as nobody has the log open for writing.
/// segment_bytes: size of a file, 64 KiB to 512 MiB; default 64 MiB. create=False: an error if there is no log.
/// threads=False: the engine starts no thread; whoever waits, or `Engine.drive`, does its work. Not for asyncio.
/// mappings=False: files are read by calls, not mapped; for files that others may change.
/// accept_loss=True: opens for writing although decisions were damaged on disk.
/// visibility: what readers see: "level", records that have met their topic's level; "durable", only what survives a
/// power cut, whatever the level: at "memory" and "os" after the next flush, within `flush_interval`, which no reader
/// hastens.
/// keep_raw_transactions=True: transactions of raw identities (`Engine.init_producer`) that begin in this life stay
/// open when the log is opened again, until they are decided or time out; else they are aborted then, as others are.
/// transaction_memory: bytes of all open transactions' buffers together, default 64 MiB; one that finds none left
/// streams; offsets count past 64 KiB of a transaction, below that they have 8 MiB of their own, all together.
/// transaction_timeout_max: the longest timeout, in seconds, that a transaction may ask for, default 900; from 2^31 - 1
/// milliseconds on a timeout is none: such a transaction stays open for ever (KIP-939).
///
/// Raises LockedError if the log is open for writing elsewhere, in this process too; UnsupportedVersionError,
/// CorruptError, ArgumentError, StorageError.
#[pyfunction]
#[pyo3(signature = (
    dir, *, durability="disk", read_only=false, segment_bytes=None, create=true, threads=true, mappings=true,
    accept_loss=false, flush_interval=None, visibility="level", keep_raw_transactions=false, transaction_memory=None,
    transaction_timeout_max=None
))]
#[expect(clippy::too_many_arguments, reason = "keyword arguments")]
pub fn open<'py>(
    py: Python<'py>,
    dir: &Bound<'_, PyAny>,
    durability: &str,
    read_only: bool,
    segment_bytes: Option<Number<u64>>,
    create: bool,
    threads: bool,
    mappings: bool,
    accept_loss: bool,
    flush_interval: Option<Seconds>,
    visibility: &str,
    keep_raw_transactions: bool,
    transaction_memory: Option<Number<usize>>,
    transaction_timeout_max: Option<Seconds>,
) -> PyResult<Bound<'py, Engine>> {
    let mut options = oncelog::Engine::options()
        .durability(options::durability(durability)?)
        .read_only(read_only)
        .create(create)
        .threads(threads)
        .mappings(mappings)
        .accept_loss(accept_loss)
        .visibility(options::visibility(visibility)?)
        .keep_raw_transactions(keep_raw_transactions);
    if let Some(Number(bytes)) = segment_bytes {
        options = options.segment_bytes(bytes);
    }
    if let Some(interval) = flush_interval {
        options = options.flush_interval(options::duration("flush_interval", interval)?);
    }
    if let Some(Number(bytes)) = transaction_memory {
        options = options.transaction_memory(bytes);
    }
    if let Some(most) = transaction_timeout_max {
        options = options.transaction_timeout_max(options::duration("transaction_timeout_max", most)?);
    }
    errors::prepare(py)?;
    let dir: PathBuf = py.import("os")?.call_method1("fsdecode", (dir,))?.extract()?;
    if dir.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(refused("a path has no zero bytes; name the directory"));
    }
    let opened = py.detach(|| options.log(Arc::new(Queue)).open(dir)).raise();
    deliver(py);
    let engine = Bound::new(py, Engine::new(opened?, threads))?;
    OPENED.import(py, "oncelog._exit", "opened")?.call1((&engine,))?;
    Ok(engine)
}
