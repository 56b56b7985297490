//! The engine's limits, for `oncelog.limits`.

use oncelog::limits;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The limits that a caller meets, by their names in the engine; times are in seconds.
pub fn limits(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let all = PyDict::new(py);
    macro_rules! add {
        ($($name:ident)*) => { $(all.set_item(stringify!($name), limits::$name)?;)* };
    }
    add!(TOPIC_NAME_MAX NAME_MAX OFFSET_METADATA_MAX TOPIC_PARTITIONS_MAX PARTITIONS_MAX OFFSET_MAX);
    add!(BATCH_MAX UNPACKED_MAX FRAME_MAX SEGMENT_MIN SEGMENT_DEFAULT SEGMENT_OPTION_MAX PRODUCER_MEMORY);
    add!(TRANSACTION_BUFFER TRANSACTION_BUFFER_MAX TRANSACTION_MEMORY TRANSACTION_PARTITIONS TRANSACTION_OFFSETS);
    add!(OPEN_TRANSACTIONS);
    for (name, time) in [
        ("TRANSACTION_TIMEOUT", limits::TRANSACTION_TIMEOUT),
        ("TRANSACTION_TIMEOUT_MAX", limits::TRANSACTION_TIMEOUT_MAX),
    ] {
        all.set_item(name, time.as_secs_f64())?;
    }
    Ok(all)
}
