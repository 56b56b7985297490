//! Reads partitions from where a group stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oncelog::{ErrorKind, Offsets, TopicPartition};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::arguments::Number;
use crate::engine::Engine;
use crate::errors::{Raise, exception, misplaced};
use crate::hub::Ready;
use crate::lock::Lock;
use crate::messages::deliver;
use crate::offsets::{self, Name, partitions_of};
use crate::records::{Record, Records};
use crate::ticket::{Ticket, through};
use crate::values;
use crate::wait::{CLOSES, Patience, room, wait};
use crate::walk::{Step, Walk};

/// Reads assigned partitions, each from what its group has committed, else by its start rule. One thread polls at a
/// time; the other calls may come from any.
///
/// A `for` loop waits for records that are still to come. What it has not handed out counts as not read: a commit in
/// the middle of the loop commits what you have been given.
///
/// >>> engine = oncelog.open("orders.log")
/// >>> engine.create_topic("orders")
/// >>> engine.producer().send("orders", b"42").result().offset
/// 0
/// >>> consumer = engine.consumer("orders", group="billing", timeout=0)
/// >>> for record in consumer:
/// ...     print(record.topic, record.partition, record.offset, record.value)
/// orders 0 0 b'42'
/// >>> consumer.commit()
/// >>> consumer.committed(("orders", 0)), consumer.lag(("orders", 0))
/// (1, 0)
/// >>> engine.close()
#[pyclass(frozen, weakref, module = "oncelog")]
pub struct Consumer {
    /// Before the engine, which is to go last.
    core: oncelog::Consumer,
    engine: Py<Engine>,
    assigned: Lock<Vec<TopicPartition>>,
    /// What a loop over the consumer has polled and not handed out yet.
    ahead: Lock<Option<Ahead>>,
    /// Somebody polls, from the look at what was polled before until the records are where they belong.
    polling: AtomicBool,
    /// How long such a loop waits for the next record.
    timeout: Option<f64>,
    ready: Arc<Ready>,
}

/// The engine counts a whole poll as read, a loop hands it out one by one: what it has not handed out is given back
/// before anything is done with the positions.
struct Ahead {
    walk: Walk,
    /// The positions before the poll.
    begin: Offsets,
    /// Where the caller stands: the offset behind the last record handed out, of each partition that was begun.
    handed: Vec<(TopicPartition, u64)>,
}

impl Ahead {
    fn next<'py>(&mut self, py: Python<'py>) -> Option<oncelog::Result<Step<'py>>> {
        let next = self.walk.next_again(py);
        if let Some(Ok(step)) = &next {
            let view = step.view();
            let behind = view.offset() + 1;
            match self.handed.last_mut() {
                Some((name, at)) if name.partition == view.partition() && name.topic == view.topic() => *at = behind,
                _ => self.handed.push((TopicPartition::new(view.topic(), view.partition()), behind)),
            }
        }
        next
    }

    /// Where the caller stands in a partition, if the poll went further.
    fn position(&self, name: &TopicPartition) -> Option<u64> {
        let end = self.walk.owner().get().core().next_offset(&name.topic, name.partition)?;
        let handed = self.handed.iter().find(|(known, _)| known == name).map(|(_, at)| *at);
        let position = handed.or_else(|| self.begin.get(name).map(|at| at.offset))?;
        (position < end).then_some(position)
    }
}

/// The turn to poll.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Consumer {
    pub fn new(core: oncelog::Consumer, engine: &Bound<'_, Engine>, timeout: Option<f64>) -> PyResult<Self> {
        Patience::of(timeout)?;
        let (assigned, ahead) = (Lock::new(Vec::new()), Lock::new(None));
        let engine = engine.clone().unbind();
        let polling = AtomicBool::new(false);
        Ok(Self { core, engine, assigned, ahead, polling, timeout, ready: Arc::default() })
    }

    pub fn core(&self) -> &oncelog::Consumer {
        &self.core
    }

    pub fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Assigns what a caller names.
    pub fn take_over(&self, engine: &Engine, names: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = names.py();
        let partitions = partitions_of(engine.core(), names)?;
        self.give_back(py)?;
        self.core.assign(&partitions).raise()?;
        *self.assigned.take(py)? = partitions;
        Ok(())
    }

    /// Gives back what was polled and not handed out.
    pub fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let mut lock = self.ahead.take(py)?;
        let Some(ahead) = lock.take() else { return Ok(()) };
        // Under the lock: a loop in another thread must not poll from where the engine thinks it is.
        let mut places = ahead.begin.keys().filter_map(|name| Some((name, ahead.position(name)?)));
        let sought = places.try_for_each(|(name, position)| self.core.seek(name, position));
        drop(lock);
        sought.raise()
    }

    /// The turn to poll, for one at a time. In a forked child it may be that of a thread that is not there.
    fn turn(&self) -> PyResult<Turn<'_>> {
        if self.polling.swap(true, Ordering::Acquire) {
            self.ahead.check_process()?;
            let text = "another thread is polling this consumer; give each thread a consumer of its own";
            return Err(misplaced(ErrorKind::Busy, text));
        }
        Ok(Turn(&self.polling))
    }

    /// Forgets it: the positions go elsewhere anyway.
    pub fn forget(&self, py: Python<'_>) -> PyResult<()> {
        let ahead = self.ahead.take(py)?.take();
        drop(ahead);
        Ok(())
    }

    /// The same for who may raise nothing.
    pub fn forget_quietly(&self, py: Python<'_>) {
        let ahead = self.ahead.take_if_whole(py).and_then(|mut ahead| ahead.take());
        drop(ahead);
    }

    /// The next record of a loop, from what was polled.
    #[inline]
    fn next_polled<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        // The lock is free again before an object is made.
        let mut lock = self.ahead.take(py)?;
        let next = lock.as_mut().map(|ahead| ahead.next(py));
        let walked = if matches!(next, Some(None)) { lock.take() } else { None };
        drop(lock);
        drop(walked);
        match next {
            Some(Some(Ok(step))) => {
                let keep = |record: &_| {
                    if let Some(Some(ahead)) = self.ahead.try_take().as_deref_mut() {
                        ahead.walk.keep(record);
                    }
                };
                step.object(py, keep).map(Some)
            }
            Some(Some(Err(error))) => Err(exception(&error)),
            Some(None) | None => Ok(None),
        }
    }

    /// The positions of all partitions, settled where they were not; but for those of which offsets are pending.
    fn begin(&self, py: Python<'_>) -> PyResult<Offsets> {
        let positions = self.core.positions();
        let assigned = self.assigned.take(py)?.clone();
        if positions.len() == assigned.len() {
            return Ok(positions);
        }
        let settled = py.detach(|| {
            let at = |name: TopicPartition| match self.core.position(&name) {
                Err(error) if error.kind() == ErrorKind::UnstableOffsets => None,
                found => Some(found.map(|offset| (name, offset.into()))),
            };
            assigned.into_iter().filter_map(at).collect::<oncelog::Result<Offsets>>()
        });
        settled.raise()
    }

    /// Polls for a loop; false if nothing came in time.
    fn poll_ahead(&self, py: Python<'_>, patience: Patience) -> PyResult<bool> {
        let _turn = self.turn()?;
        // Another thread may have polled since this one looked.
        if self.ahead.take(py)?.is_some() {
            return Ok(true);
        }
        let mut begin = self.begin(py)?;
        let Some(records) = self.poll_core(py, patience)? else { return Ok(false) };
        for name in self.assigned.take(py)?.iter() {
            // They were decided while this one waited.
            let of =
                |record: &oncelog::RecordView<'_>| record.topic() == name.topic && record.partition() == name.partition;
            if !begin.contains_key(name)
                && let Some(first) = records.iter().flatten().find(of)
            {
                begin.insert(name.clone(), first.offset().into());
            }
        }
        let walk = Walk::new(&Bound::new(py, Records::new(records))?);
        let before = self.ahead.take(py)?.replace(Ahead { walk, begin, handed: Vec::new() });
        drop(before);
        Ok(true)
    }

    fn poll_core(&self, py: Python<'_>, patience: Patience) -> PyResult<Option<oncelog::Records>> {
        let polled = wait(py, patience, |slice| {
            let records = self.core.poll(slice)?;
            Ok((!records.is_empty()).then_some(records))
        });
        deliver(py);
        polled
    }

    /// Where the caller stands, if a poll went further.
    fn handed(&self, py: Python<'_>, name: &TopicPartition) -> PyResult<Option<u64>> {
        Ok(self.ahead.take(py)?.as_ref().and_then(|ahead| ahead.position(name)))
    }
}

#[pymethods]
impl Consumer {
    /// Takes over these topics or partitions, in place of those before. Positions of partitions that stay are kept.
    #[pyo3(signature = (*topics))]
    fn assign(&self, topics: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.take_over(self.engine.get(), topics)
    }

    /// Reads the next records, up to the bounds of one poll. With nothing there it waits, at most `timeout` seconds
    /// (None: for ever), and answers with nothing when the time is up. Records count as read when they are answered.
    /// Where a raw transaction is open that will commit an offset of the group, the partition has nothing to read
    /// before the decision, which wakes a waiting poll (KIP-447); not at "read_uncommitted", nor where a position is
    /// sought.
    ///
    /// Raises BusyError while another thread polls; StateError if nothing is assigned; OffsetOutOfRangeError;
    /// PoisonedError once the disk has failed and nothing is left to read, for nothing will come.
    #[pyo3(signature = (timeout=None))]
    fn poll(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<Records> {
        let patience = Patience::of(timeout)?;
        let _turn = self.turn()?;
        self.give_back(py)?;
        Ok(Records::new(self.poll_core(py, patience)?.unwrap_or_default()))
    }

    /// Moves a partition's position: the next record is read from there. Raises OffsetOutOfRangeError.
    fn seek(&self, py: Python<'_>, partition: Name, offset: Number<u64>) -> PyResult<()> {
        self.give_back(py)?;
        self.core.seek(&partition.0, offset.0).raise()
    }

    /// The offset that the next record is read from. Raises OffsetOutOfRangeError if nothing is committed and there is
    /// no start rule; UnstableOffsetsError, which passes, if there is no position yet and a raw transaction is open
    /// that will commit one.
    fn position(&self, py: Python<'_>, partition: Name) -> PyResult<u64> {
        match self.handed(py, &partition.0)? {
            Some(position) => Ok(position),
            None => py.detach(|| self.core.position(&partition.0)).raise(),
        }
    }

    /// The positions of all assigned partitions that have one.
    fn positions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let mut positions = self.core.positions();
        if let Some(ahead) = &*self.ahead.take(py)? {
            for (name, at) in &mut positions {
                at.offset = ahead.position(name).unwrap_or(at.offset);
            }
        }
        offsets::dict(py, &positions)
    }

    /// What the group has committed for a partition, assigned or not; None for nothing.
    fn committed<'py>(&self, py: Python<'py>, partition: Name) -> PyResult<Bound<'py, PyAny>> {
        self._committed(py, partition)?.wait(py)
    }

    fn _committed(&self, py: Python<'_>, partition: Name) -> PyResult<Ticket> {
        py.detach(|| self.core.committed_ticket(&partition.0)).raise().map(Ticket::of)
    }

    /// What the group has committed for these partitions, assigned or not, with what was stored beside the offsets: the
    /// counterpart of `commit_offsets`. All of one moment; partitions for which nothing is committed are left out.
    ///
    /// >>> engine = oncelog.open("committed.log")
    /// >>> engine.create_topic("orders", partitions=2)
    /// >>> consumer = engine.consumer(group="billing")
    /// >>> consumer.commit_offsets({("orders", 0): oncelog.OffsetAndMetadata(1, "page 3")})
    /// >>> consumer.committed_offsets([("orders", 0), ("orders", 1)])[("orders", 0)]
    /// OffsetAndMetadata(offset=1, metadata='page 3', leader_epoch=-1)
    /// >>> engine.close()
    fn committed_offsets<'py>(&self, py: Python<'py>, partitions: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self._committed_offsets(py, partitions)?.wait(py)
    }

    fn _committed_offsets(&self, py: Python<'_>, partitions: &Bound<'_, PyAny>) -> PyResult<Ticket> {
        let names = partitions.try_iter()?.map(|name| Ok(name?.extract::<Name>()?.0)).collect::<PyResult<Vec<_>>>()?;
        py.detach(|| self.core.committed_offsets_ticket(&names)).raise().map(Ticket::of)
    }

    /// Done when `position` and `lag` of the partition wait for nothing.
    fn _settle_one(&self, py: Python<'_>, partition: Name) -> PyResult<Ticket> {
        py.detach(|| self.core.position_ticket(&partition.0)).raise().map(Ticket::of)
    }

    /// Done when a poll waits for records only.
    fn _settle(&self, py: Python<'_>) -> PyResult<Ticket> {
        py.detach(|| self.core.settle_ticket()).raise().map(Ticket::of)
    }

    /// Commits the positions of all assigned partitions, or the offsets given, together, and waits until that is safe.
    /// Writes nothing if nothing has moved.
    #[pyo3(signature = (offsets=None))]
    fn commit(&self, py: Python<'_>, offsets: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        room(py, self.engine.get().core(), CLOSES)?;
        self._commit(py, offsets)?.wait(py).map(drop)
    }

    #[pyo3(signature = (offsets=None))]
    fn _commit(&self, py: Python<'_>, offsets: Option<&Bound<'_, PyAny>>) -> PyResult<Ticket> {
        match offsets {
            Some(given) => {
                let given = offsets::offsets(given)?;
                py.detach(|| self.core.commit_offsets_ticket(&given)).raise().map(Ticket::of)
            }
            None => {
                self.give_back(py)?;
                py.detach(|| self.core.commit_ticket()).raise().map(Ticket::of)
            }
        }
    }

    /// Commits any offsets of the group: per partition the offset to read next, or an `OffsetAndMetadata`.
    fn commit_offsets(&self, py: Python<'_>, offsets: &Bound<'_, PyAny>) -> PyResult<()> {
        let given = offsets::offsets(offsets)?;
        through(py, self.engine.get().core(), || self.core.commit_offsets_ticket(&given))
    }

    /// Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
    fn rewind(&self, py: Python<'_>) -> PyResult<()> {
        self.forget(py)?;
        self.core.rewind().raise()
    }

    /// How many records lie between the position and the end. Zero when all is read: commits leave no holes. Raises
    /// what `position` does.
    fn lag(&self, py: Python<'_>, partition: Name) -> PyResult<u64> {
        let name = &partition.0;
        let lag = py.detach(|| self.core.lag(name)).raise()?;
        let Some(position) = self.handed(py, name)? else { return Ok(lag) };
        Ok(lag + self.core.position(name).raise()?.saturating_sub(position))
    }

    /// Start, last stable offset and end of a partition.
    fn bounds<'py>(&self, py: Python<'py>, partition: Name) -> PyResult<Bound<'py, PyAny>> {
        values::bounds(py, self.core.bounds(&partition.0).raise()?)
    }

    /// Names the group, for `Transaction.send_offsets`.
    fn group_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::group_metadata(py, &self.core.group_metadata().raise()?)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        loop {
            if let Some(record) = self.next_polled(py)? {
                return Ok(Some(record));
            }
            if !self.poll_ahead(py, Patience::of(self.timeout)?)? {
                return Ok(None);
            }
        }
    }

    /// The next record that was polled already.
    fn _polled<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        self.next_polled(py)
    }

    /// The next record that is there without waiting, for loops that wait elsewhere.
    fn _next<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        if let Some(record) = self.next_polled(py)? {
            return Ok(Some(record));
        }
        match self.poll_ahead(py, Patience::within(Duration::ZERO))? {
            true => self.next_polled(py),
            false => Ok(None),
        }
    }
}
