//! Records that are given as columns: `send_many`.

use oncelog::{Header, Record};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyList, PyTuple};

use crate::arguments::{Headers, copy, number};
use crate::errors::refused;

/// What a caller gave: iterables of the same length, and what is the same for all records.
pub struct Given<'a, 'py> {
    pub values: &'a Bound<'py, PyAny>,
    pub keys: Option<&'a Bound<'py, PyAny>>,
    pub headers: Option<&'a Bound<'py, PyAny>>,
    pub partition: Option<u32>,
    pub timestamps_ms: Option<&'a Bound<'py, PyAny>>,
    pub positions: Option<&'a Bound<'py, PyAny>>,
}

impl Given<'_, '_> {
    /// Checks all of it, and gives the records to `send`, which may give the interpreter lock up.
    pub fn records<T>(&self, send: impl FnOnce(Rows<'_>) -> T) -> PyResult<T> {
        let values = items(self.values)?;
        let len = values.len();
        let keys = self.keys.map(|keys| as_many("keys", keys, len)).transpose()?;
        let timestamps = self.timestamps_ms.map(|times| as_many("timestamps_ms", times, len)).transpose()?;
        let positions = self.positions.map(|positions| as_many("positions", positions, len)).transpose()?;
        let headers = Headers::of(self.headers)?;
        let headers: Vec<Header<'_>> = headers.borrowed();

        let values = bytes(&values)?;
        let values = column(&values)?;
        let keys = keys.as_ref().map(bytes).transpose()?;
        let keys = keys.as_ref().map(column).transpose()?;
        let timestamps = timestamps.as_ref().map(numbers).transpose()?;
        let positions = positions.as_ref().map(numbers).transpose()?;
        let mut plain = Record::default().headers(&headers);
        plain.partition = self.partition;
        Ok(send(Rows {
            plain,
            values: values.iter(),
            keys: keys.as_deref().map(<[_]>::iter),
            timestamps: timestamps.as_deref().map(<[_]>::iter),
            positions: positions.as_deref().map(<[_]>::iter),
        }))
    }
}

type Column<'a, T> = std::slice::Iter<'a, Option<T>>;

/// The records, made one by one on their way: a list of them would be larger than the nearest cache.
pub struct Rows<'a> {
    plain: Record<'a>,
    values: Column<'a, &'a [u8]>,
    keys: Option<Column<'a, &'a [u8]>>,
    timestamps: Option<Column<'a, i64>>,
    positions: Option<Column<'a, u64>>,
}

impl Rows<'_> {
    /// Bytes of all values and keys.
    pub fn bytes(&self) -> usize {
        let sum = |column: &Column<'_, &[u8]>| column.clone().flatten().map(|bytes| bytes.len()).sum::<usize>();
        sum(&self.values) + self.keys.as_ref().map_or(0, sum)
    }
}

impl<'a> Iterator for Rows<'a> {
    type Item = Record<'a>;

    #[inline]
    fn next(&mut self) -> Option<Record<'a>> {
        let mut record = self.plain;
        record.value = *self.values.next()?;
        record.key = self.keys.as_mut().and_then(|keys| *keys.next()?);
        record.timestamp = self.timestamps.as_mut().and_then(|times| *times.next()?);
        record.position = self.positions.as_mut().and_then(|positions| *positions.next()?);
        Some(record)
    }
}

/// The items of anything that can be walked, held: lists may change while the interpreter lock is given up.
fn items<'py>(object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyTuple>> {
    match object.cast::<PyList>() {
        Ok(list) => Ok(list.to_tuple()),
        Err(_) => Ok(object.py().get_type::<PyTuple>().call1((object,))?.cast_into()?),
    }
}

/// The same, of which there must be `len`. Of what has no length, such as `itertools.count()`, no more is asked for
/// than shows that there are too many.
fn as_many<'py>(name: &str, object: &Bound<'py, PyAny>, len: usize) -> PyResult<Bound<'py, PyTuple>> {
    let (items, or_more) = if object.len().is_ok() {
        (items(object)?, "")
    } else {
        let some = object.try_iter()?.take(len + 1).collect::<PyResult<Vec<_>>>()?;
        (PyTuple::new(object.py(), some)?, " or more")
    };
    if items.len() == len {
        return Ok(items);
    }
    let or_more = if items.len() > len { or_more } else { "" };
    let text = "there must be as many as there are values";
    Err(refused(format!("{text}, values={len} {name}={}{or_more}", items.len())))
}

/// The same items, of what is no `bytes` or None a copy: it might change while the interpreter lock is given up.
fn bytes<'py>(items: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyTuple>> {
    let others = |item: Borrowed<'_, 'py, PyAny>| !item.is_instance_of::<PyBytes>() && !item.is_none();
    if !items.iter_borrowed().any(others) {
        return Ok(items.clone());
    }
    let copies =
        items.iter().map(|item| if others(item.as_borrowed()) { Ok(copy(&item)?.into_any()) } else { Ok(item) });
    PyTuple::new(items.py(), copies.collect::<PyResult<Vec<_>>>()?)
}

/// The bytes of each item, which are `bytes` or None.
fn column<'a>(items: &'a Bound<'_, PyTuple>) -> PyResult<Vec<Option<&'a [u8]>>> {
    let mut column = Vec::with_capacity(items.len());
    for item in items.iter_borrowed() {
        column.push(item.extract()?);
    }
    Ok(column)
}

/// The number of each item, where there is one.
fn numbers<'py, T>(items: &Bound<'py, PyTuple>) -> PyResult<Vec<Option<T>>>
where
    T: for<'a> FromPyObject<'a, 'py, Error = PyErr>,
{
    items.iter_borrowed().map(|item| Ok(number(item.extract()?))).collect()
}
