//! Reads partitions from where a group stands.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use oncelog::ErrorKind;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::ahead::Standing;
use crate::arguments::{Number, Seconds};
use crate::engine::Engine;
use crate::errors::{Raise, exception, is_own, misplaced};
use crate::hub::Ready;
use crate::lock::Lock;
use crate::messages::deliver;
use crate::offsets::{self, Name, partitions_of};
use crate::records::{Record, Records};
use crate::ticket::{Ticket, through};
use crate::values;
use crate::wait::{CLOSES, Patience, room, wait};
use crate::walk::Walk;

/// Reads assigned partitions, each from what its group has committed, else by its start rule. One thread polls at a
/// time; the other calls may come from any.
///
/// A `for` loop waits for records that are still to come. What it has not handed out counts as not read: a commit in
/// the middle of the loop, from whichever thread, commits what you have been given. The end of a `with` block, or
/// `close`, lets a consumer go.
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
    /// None once it is closed. Before the engine, which is to go last.
    core: Lock<Option<oncelog::Consumer>>,
    engine: Py<Engine>,
    standing: Lock<Standing>,
    /// Somebody polls, from the look at what was polled before until the records are where they belong.
    polling: AtomicBool,
    /// How long such a loop waits for the next record.
    timeout: Option<Seconds>,
    ready: Arc<Ready>,
}

/// The turn to poll.
struct Turn<'a>(&'a AtomicBool);

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Consumer {
    pub fn new(core: oncelog::Consumer, engine: &Bound<'_, Engine>, timeout: Option<Seconds>) -> PyResult<Self> {
        Patience::of(timeout)?;
        let (engine, standing) = (engine.clone().unbind(), Lock::new(Standing::default()));
        let polling = AtomicBool::new(false);
        Ok(Self { core: Lock::new(Some(core)), engine, standing, polling, timeout, ready: Arc::default() })
    }

    /// A handle to the engine's own.
    pub fn core(&self, py: Python<'_>) -> PyResult<oncelog::Consumer> {
        let core = self.core.take(py)?.clone();
        core.ok_or_else(|| misplaced(ErrorKind::Closed, "the consumer was closed; open another one"))
    }

    fn is_closed(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(self.core.take(py)?.is_none())
    }

    pub fn ready(&self) -> &Arc<Ready> {
        &self.ready
    }

    /// Assigns what a caller names.
    pub fn take_over(&self, engine: &Engine, names: &Bound<'_, PyTuple>) -> PyResult<()> {
        let py = names.py();
        let partitions = partitions_of(engine.core(), names)?;
        let core = self.core(py)?;
        self.standing.check_process()?;
        let (before, assigned) = py.detach(|| {
            let mut standing = self.standing.take_detached();
            let (before, given_back) = standing.give_back(&core);
            (before, given_back.and_then(|()| core.assign(&partitions)))
        });
        drop(before);
        assigned.raise()
    }

    /// Gives back what was polled and not given to the caller.
    fn give_back(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core(py)?;
        let (before, given_back) = self.standing.take(py)?.give_back(&core);
        drop(before);
        given_back.raise()
    }

    /// Makes a call that commits the positions, or notes them, while they are the caller's and nobody moves them. Of a
    /// consumer that was closed they stay.
    pub fn at_given<T: Send>(
        &self,
        py: Python<'_>,
        call: impl FnOnce() -> oncelog::Result<T> + Send,
    ) -> PyResult<oncelog::Result<T>> {
        let core = self.core.take(py)?.clone();
        let Some(core) = core else { return Ok(py.detach(call)) };
        self.standing.check_process()?;
        let (before, answer) = py.detach(|| self.standing.take_detached().at_given(&core, call));
        drop(before);
        Ok(answer)
    }

    /// Makes a call that aborts a transaction, which puts the consumer back further than what was polled since. The
    /// call may wait, so nobody is kept away from the positions meanwhile; polls find nothing until it is over.
    pub fn going_back<T: Send>(&self, py: Python<'_>, call: impl FnOnce() -> T + Send) -> PyResult<T> {
        let before = self.standing.take(py)?.goes_back();
        drop(before);
        let answer = py.detach(call);
        self.standing.take(py)?.went_back();
        Ok(answer)
    }

    /// The same for who may raise nothing.
    pub fn going_back_quietly(&self, py: Python<'_>, call: impl FnOnce() + Send) {
        let before = self.standing.take_if_whole(py).map(|mut standing| standing.goes_back());
        let whole = before.is_some();
        drop(before);
        py.detach(call);
        if let Some(mut standing) = self.standing.take_if_whole(py).filter(|_| whole) {
            standing.went_back();
        }
    }

    /// The turn to poll, for one at a time. In a forked child it may be that of a thread that is not there.
    fn turn(&self) -> PyResult<Turn<'_>> {
        if self.polling.swap(true, Ordering::Acquire) {
            self.standing.check_process()?;
            let text = "another thread is polling this consumer; give each thread a consumer of its own";
            return Err(misplaced(ErrorKind::Busy, text));
        }
        Ok(Turn(&self.polling))
    }

    /// The next record of a loop, from what was polled.
    #[inline]
    fn next_polled<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        // The lock is free again before an object is made.
        let (next, over) = self.standing.take(py)?.next(py);
        drop(over);
        match next {
            Some(Ok(step)) => {
                let keep = |record: &_| {
                    if let Some(mut standing) = self.standing.try_take() {
                        standing.keep(record);
                    }
                };
                step.object(py, keep).map(Some)
            }
            Some(Err(error)) => Err(exception(&error)),
            None => Ok(None),
        }
    }

    /// Polls for a loop; false if nothing came in time.
    fn poll_ahead(&self, py: Python<'_>, patience: Patience) -> PyResult<bool> {
        let _turn = self.turn()?;
        // Another thread may have polled since this one looked.
        if self.standing.take(py)?.has_polled() {
            return Ok(true);
        }
        while let Some(records) = self.poll_noted(py, patience)? {
            let walk = match Bound::new(py, Records::new(records)) {
                Ok(records) => Walk::new(&records),
                Err(error) => return self.give_back(py).and(Err(error)),
            };
            let given_back = self.standing.take(py)?.begin(walk);
            if given_back.is_none() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Polls for a caller who is given everything at once. None if nothing came.
    fn polled(&self, py: Python<'_>, patience: Patience) -> PyResult<Option<Records>> {
        while let Some(records) = self.poll_noted(py, patience)? {
            // From here on they are the caller's, unless they were given back meanwhile.
            let noted = self.standing.take(py)?.forget();
            if noted.is_some() {
                return Ok(Some(Records::new(records)));
            }
        }
        Ok(None)
    }

    /// Polls, and leaves a note of it: until the caller has them, the records are not read. None if nothing came.
    fn poll_noted(&self, py: Python<'_>, patience: Patience) -> PyResult<Option<oncelog::Records>> {
        let core = self.core(py)?;
        self.standing.check_process()?;
        let polled = wait(py, patience, |slice| {
            match self.poll_now(&core)? {
                None if !slice.is_zero() && core.ready_within(slice)? => {}
                polled => return Ok(polled),
            }
            let polled = self.poll_now(&core)?;
            if polled.is_none() && self.standing.take_detached().is_going_back() {
                // There are records, and they are given when it is over.
                std::thread::sleep(slice.min(Duration::from_millis(1)));
            }
            Ok(polled)
        });
        drop(core);
        deliver(py);
        polled
    }

    /// What is there now. What the group has committed may be news that no flush has met yet: that is waited for, with
    /// nobody kept away from the positions.
    fn poll_now(&self, core: &oncelog::Consumer) -> oncelog::Result<Option<oncelog::Records>> {
        loop {
            let mut standing = self.standing.take_detached();
            if core.is_settled() {
                return standing.poll(core);
            }
            let mut settling = core.settle_ticket()?;
            if is_settled(settling.try_wait().map(|done| done.is_some()))? {
                return standing.poll(core);
            }
            drop(standing);
            is_settled(settling.wait().map(|()| true))?;
        }
    }
}

/// Offsets that are pending are waited for like records: a poll answers without their partitions.
fn is_settled(settled: oncelog::Result<bool>) -> oncelog::Result<bool> {
    match settled {
        Err(error) if error.kind() == ErrorKind::UnstableOffsets => Ok(true),
        settled => settled,
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
    /// What was aborted is stepped over, and `Records.next_offsets` lies behind it, of an answer without a record too.
    ///
    /// Where a raw transaction is open that will commit an offset of the group, the partition has nothing to read
    /// before the decision, which wakes a waiting poll (KIP-447); not at "read_uncommitted", nor where a position is
    /// sought.
    ///
    /// Raises BusyError while another thread polls; StateError if nothing is assigned; OffsetOutOfRangeError;
    /// PoisonedError once the disk has failed and nothing is left to read, for nothing will come.
    #[pyo3(signature = (timeout=None))]
    fn poll(&self, py: Python<'_>, timeout: Option<Seconds>) -> PyResult<Records> {
        let patience = Patience::of(timeout)?;
        let _turn = self.turn()?;
        self.give_back(py)?;
        match self.polled(py, patience)? {
            Some(records) => Ok(records),
            None => self._passed(py),
        }
    }

    /// What a poll finds without waiting; None if that is no record. For polls that wait elsewhere.
    fn _poll_now(&self, py: Python<'_>) -> PyResult<Option<Records>> {
        let _turn = self.turn()?;
        self.give_back(py)?;
        self.polled(py, Patience::within(Duration::ZERO))
    }

    /// What such polls went past.
    fn _passed(&self, py: Python<'_>) -> PyResult<Records> {
        let core = self.core(py)?;
        Ok(Records::new(self.standing.take(py)?.passed(&core)))
    }

    /// Moves a partition's position: the next record is read from there. Raises OffsetOutOfRangeError.
    fn seek(&self, py: Python<'_>, partition: Name, offset: Number<u64>) -> PyResult<()> {
        let core = self.core(py)?;
        let mut standing = self.standing.take(py)?;
        let (before, given_back) = standing.give_back(&core);
        let sought = given_back.and_then(|()| core.seek(&partition.0, offset.0));
        drop(standing);
        drop(before);
        sought.raise()
    }

    /// The offset that the next record is read from. Raises OffsetOutOfRangeError if nothing is committed and there is
    /// no start rule; UnstableOffsetsError, which passes, if there is no position yet and a raw transaction is open
    /// that will commit one.
    fn position(&self, py: Python<'_>, partition: Name) -> PyResult<u64> {
        let core = self.core(py)?;
        let standing = self.standing.take(py)?;
        if let Some((given, _)) = standing.given(&partition.0) {
            return Ok(given);
        }
        let position = core.position_ticket(&partition.0);
        drop(standing);
        py.detach(|| position?.wait()).raise()
    }

    /// The positions of all assigned partitions that have one.
    fn positions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let core = self.core(py)?;
        let standing = self.standing.take(py)?;
        let mut positions = core.positions();
        standing.tell(&mut positions);
        drop(standing);
        offsets::dict(py, &positions)
    }

    /// What the group has committed for a partition, assigned or not; None for nothing.
    fn committed<'py>(&self, py: Python<'py>, partition: Name) -> PyResult<Bound<'py, PyAny>> {
        self._committed(py, partition)?.wait(py)
    }

    fn _committed(&self, py: Python<'_>, partition: Name) -> PyResult<Ticket> {
        let core = self.core(py)?;
        py.detach(|| core.committed_ticket(&partition.0)).raise().map(Ticket::of)
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
        let core = self.core(py)?;
        py.detach(|| core.committed_offsets_ticket(&names)).raise().map(Ticket::of)
    }

    /// Done when `position` and `lag` of the partition wait for nothing.
    fn _settle_one(&self, py: Python<'_>, partition: Name) -> PyResult<Ticket> {
        let core = self.core(py)?;
        py.detach(|| core.position_ticket(&partition.0)).raise().map(Ticket::of)
    }

    /// Done when a poll waits for records only.
    fn _settle(&self, py: Python<'_>) -> PyResult<Ticket> {
        let core = self.core(py)?;
        py.detach(|| core.settle_ticket()).raise().map(Ticket::of)
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
        let core = self.core(py)?;
        match offsets {
            Some(given) => {
                let given = offsets::offsets(given)?;
                py.detach(|| core.commit_offsets_ticket(&given)).raise().map(Ticket::of)
            }
            None => self.at_given(py, || core.commit_ticket())?.raise().map(Ticket::of),
        }
    }

    /// Commits any offsets of the group: per partition the offset to read next, or an `OffsetAndMetadata`.
    fn commit_offsets(&self, py: Python<'_>, offsets: &Bound<'_, PyAny>) -> PyResult<()> {
        let (core, given) = (self.core(py)?, offsets::offsets(offsets)?);
        through(py, self.engine.get().core(), || core.commit_offsets_ticket(&given))
    }

    /// Goes back to what is committed, in all assigned partitions; where nothing is, to the start rule.
    fn rewind(&self, py: Python<'_>) -> PyResult<()> {
        let core = self.core(py)?;
        let mut standing = self.standing.take(py)?;
        let before = standing.forget();
        let rewound = core.rewind();
        drop(standing);
        drop(before);
        rewound.raise()
    }

    /// How many records lie between the position and the end. Zero when all is read: commits leave no holes. Raises
    /// what `position` does.
    fn lag(&self, py: Python<'_>, partition: Name) -> PyResult<u64> {
        let core = self.core(py)?;
        let standing = self.standing.take(py)?;
        let ahead = standing.given(&partition.0).map_or(0, |(_, ahead)| ahead);
        let lag = core.lag_ticket(&partition.0);
        drop(standing);
        Ok(py.detach(|| lag?.wait()).raise()? + ahead)
    }

    /// Start, last stable offset and end of a partition.
    fn bounds<'py>(&self, py: Python<'py>, partition: Name) -> PyResult<Bound<'py, PyAny>> {
        values::bounds(py, self.core(py)?.bounds(&partition.0).raise()?)
    }

    /// Names the group, for `Transaction.send_offsets`.
    fn group_metadata<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        values::group_metadata(py, &self.core(py)?.group_metadata().raise()?)
    }

    /// Lets the consumer go; a loop over it ends, within a moment where another thread waits in it. Nothing is
    /// committed, but a transaction that was begun for it still commits what was given. A second close does nothing;
    /// other calls raise ClosedError from here on.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(core) = self.core.take(py)?.clone() else { return Ok(()) };
        // Whoever finds it closed finds the positions given back.
        let (before, given_back) = self.standing.take(py)?.close(&core);
        let last = self.core.take(py)?.take();
        drop(before);
        // It may be the last handle, which takes leave of each partition.
        py.detach(|| drop((core, last)));
        self.ready.wake();
        match given_back {
            // The engine's close has let it go already.
            Err(error) if error.kind() == ErrorKind::Closed => Ok(()),
            given_back => given_back.raise(),
        }
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        _kind: &Bound<'_, PyAny>,
        _error: &Bound<'_, PyAny>,
        _trace: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        self.close(py)
    }

    fn __iter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, Record>>> {
        loop {
            if let Some(record) = self.next_polled(py)? {
                return Ok(Some(record));
            }
            match self.poll_ahead(py, Patience::of(self.timeout)?) {
                Ok(true) => {}
                Ok(false) => return Ok(None),
                Err(error) if is_own(py, &error) && self.is_closed(py)? => return Ok(None),
                Err(error) => return Err(error),
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
