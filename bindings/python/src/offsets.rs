//! Names of partitions, and offsets by partition, as Python callers give them.

use oncelog::{OffsetAndMetadata, Offsets, TopicPartition};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};

use crate::arguments::Number;
use crate::errors::Raise;
use crate::values;

/// A pair of topic and number.
pub struct Name(pub TopicPartition);

impl<'a, 'py> FromPyObject<'a, 'py> for Name {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        let (topic, Number(partition)) = object.extract::<(String, Number<u32>)>()?;
        Ok(Name(TopicPartition { topic, partition }))
    }
}

/// The partitions that a caller names: a topic stands for all of its own.
pub fn partitions_of(engine: &oncelog::Engine, names: &Bound<'_, PyTuple>) -> PyResult<Vec<TopicPartition>> {
    let mut found = Vec::new();
    let mut known = None;
    for name in names.iter() {
        let Ok(topic) = name.cast::<PyString>() else {
            found.push(name.extract::<Name>()?.0);
            continue;
        };
        let topic = topic.to_str()?;
        let topics = match &mut known {
            Some(topics) => topics,
            None => known.insert(engine.topics().raise()?),
        };
        let count = topics.iter().find(|info| info.name == topic).map_or(1, |info| info.partitions);
        // A topic that does not exist is refused by the assignment.
        found.extend((0..count).map(|partition| TopicPartition::new(topic, partition)));
    }
    Ok(found)
}

/// What to store for a partition: an offset, or an offset with metadata.
struct At(OffsetAndMetadata);

impl<'a, 'py> FromPyObject<'a, 'py> for At {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        // Whatever can stand for a whole number is one, as numpy's are.
        if !object.is_instance_of::<PyTuple>() && object.hasattr(intern!(object.py(), "__index__"))? {
            return Ok(At(object.extract::<Number<u64>>()?.0.into()));
        }
        let (Number(offset), metadata, Number(leader_epoch)) =
            object.extract::<(Number<u64>, String, Number<i32>)>()?;
        Ok(At(OffsetAndMetadata { offset, leader_epoch, metadata }))
    }
}

/// A mapping from partition to offset.
pub fn offsets(object: &Bound<'_, PyAny>) -> PyResult<Offsets> {
    let items = match object.cast::<PyDict>() {
        Ok(dict) => dict.items().into_any(),
        Err(_) => match object.getattr_opt("items")? {
            Some(items) => items.call0()?,
            None => {
                let name = object.get_type().name()?;
                let text = format!("offsets are a mapping from partitions, (topic, number), to offsets, not {name}");
                return Err(PyTypeError::new_err(text));
            }
        },
    };
    items
        .try_iter()?
        .map(|item| {
            let (Name(name), At(at)) = item?.extract()?;
            Ok((name, at))
        })
        .collect()
}

/// The same way back.
pub fn dict<'py>(py: Python<'py>, offsets: &Offsets) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, at) in offsets {
        let key = values::topic_partition(py, &name.topic, name.partition)?;
        dict.set_item(key, values::offset_and_metadata(py, at)?)?;
    }
    Ok(dict)
}
