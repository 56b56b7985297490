//! The native half of the Python package `oncelog`. What Python users read is in `python/oncelog`.
//!
//! Rules that every file here keeps:
//! - A call that may wait gives the interpreter lock up, and waits in slices so that Ctrl-C is heard (`wait`).
//! - The engine's threads never take the interpreter lock, never touch a Python object.
//! - No Python code runs, and the interpreter lock is not waited for, while a lock of ours is held.
//! - Locks are tried first: in a forked child the holder may be a thread that is not there (`lock`).

use pyo3::prelude::*;

mod ahead;
mod alone;
mod answer;
mod arguments;
mod batch;
mod buffers;
mod columns;
mod consumer;
mod engine;
mod errors;
mod hub;
mod limits;
mod lock;
mod many;
mod messages;
mod offsets;
mod open;
mod options;
mod partition;
mod producer;
mod raw;
mod records;
mod ticket;
mod transaction;
mod values;
mod wait;
mod walk;

/// The engine of the `oncelog` package: use the names of `oncelog`, not of this module.
#[pymodule(gil_used = false)]
fn _oncelog(module: &Bound<'_, PyModule>) -> PyResult<()> {
    alone::check_interpreter(module.py())?;
    module.add("VERSION", env!("CARGO_PKG_VERSION"))?;
    module.add("LIMITS", limits::limits(module.py())?)?;
    module.add_function(wrap_pyfunction!(open::open, module)?)?;
    module.add_function(wrap_pyfunction!(options::compression_is_available, module)?)?;
    module.add_function(wrap_pyfunction!(errors::kind_of_kafka_code, module)?)?;
    module.add_function(wrap_pyfunction!(values::quantile, module)?)?;
    module.add_function(wrap_pyfunction!(wait::interpreter_ends, module)?)?;
    module.add_function(wrap_pyfunction!(wait::time_to_wait, module)?)?;
    module.add_class::<engine::Engine>()?;
    module.add_class::<partition::Partition>()?;
    module.add_class::<batch::Batch>()?;
    module.add_class::<producer::Producer>()?;
    module.add_class::<transaction::TransactionalProducer>()?;
    module.add_class::<transaction::Transaction>()?;
    module.add_class::<consumer::Consumer>()?;
    module.add_class::<records::Records>()?;
    module.add_class::<records::RecordsIterator>()?;
    module.add_class::<records::Record>()?;
    module.add_class::<columns::Columns>()?;
    module.add_class::<values::Appended>()?;
    module.add_class::<hub::Hub>()?;
    module.add_class::<ticket::Ticket>()
}
