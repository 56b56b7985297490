//! What one JavaScript environment has of this library: a queue, and what was drained from it but not taken yet.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use napi::Env;
use napi::bindgen_prelude::{ArrayBuffer, BigInt, BufferSlice, Function, Uint8Array};
use napi_derive::napi;
use oncelog::{Appended, Committed, Engine as CoreEngine, Error, Log, LogLevel};

use crate::apart::run_apart;
use crate::arguments::{IdentityRow, OffsetRow, TimeRow, many_cells, offset_rows};
use crate::engine::{Engine, VerificationRow};
use crate::errors::{OrThrow, Result, gone, thrown};
use crate::layout;
use crate::open_log::OpenLog;
use crate::options::OpenOptions;
use crate::producer::{Producer, TransactionalProducer};
use crate::queue::{Done, Queue, Value};
use crate::words::status_name;

/// Made once by the facade.
#[napi]
pub struct Hub {
    queue: Arc<Queue>,
    drained: RefCell<VecDeque<Done>>,
    values: RefCell<HashMap<u32, Value>>,
    errors: RefCell<HashMap<u32, Error>>,
    lines: RefCell<VecDeque<(LogLevel, String)>>,
}

/// Where an engine's messages go.
struct Lines {
    who: u32,
    queue: Arc<Queue>,
}

impl Log for Lines {
    fn log(&self, level: LogLevel, message: &str) {
        self.queue.push(Done::Line(self.who, level, message.to_owned()));
    }
}

#[napi]
impl Hub {
    /// `wake` is called, on JavaScript's thread, when there is something to drain. It must not throw.
    #[napi(constructor, catch_unwind)]
    pub fn new(env: Env, wake: Function<'_, (), ()>) -> napi::Result<Self> {
        let queue = Arc::new(Queue::default());
        queue.wake_by(wake.build_threadsafe_function::<()>().weak::<true>().build()?);
        // Behind the waker's own hook, and hooks run last first: the queue lets go of it before Node does.
        let closing = queue.clone();
        env.add_env_cleanup_hook((), move |()| closing.close())?;
        let hub = Self {
            queue,
            drained: RefCell::default(),
            values: RefCell::default(),
            errors: RefCell::default(),
            lines: RefCell::default(),
        };
        Ok(hub)
    }

    /// Has the process wait for what is under way, or not.
    #[napi(catch_unwind)]
    pub fn hold(&self, env: Env, hold: bool) -> napi::Result<()> {
        self.queue.hold(&env, hold)
    }

    /// The process exits: what was sent is written. `process.exit()` runs no cleanup that could do it later.
    #[napi(catch_unwind)]
    pub fn exits(&self) {
        self.queue.flush();
    }

    /// Opens a log on a thread of its own; `who` hears of it, and `lines` of what the engine logs.
    #[napi(catch_unwind)]
    pub fn open(&self, who: u32, dir: String, options: OpenOptions, lines: Option<u32>) -> Result<()> {
        let mut options = options.checked()?;
        if let Some(who) = lines {
            options = options.log(Arc::new(Lines { who, queue: self.queue.clone() }));
        }
        let open = move || options.open(&dir).map(|engine| Done::Value(who, Value::Engine(engine)));
        run_apart("oncelog-open", &self.queue, who, open).or_throw()
    }

    /// Writes what has finished into `cells`, as `layout` draws it, and answers how many were filled; 0 when there is
    /// nothing more.
    #[napi(catch_unwind)]
    pub fn drain(&self, mut cells: BufferSlice<'_>) -> u32 {
        let mut drained = self.drained.borrow_mut();
        if drained.is_empty() {
            *drained = self.queue.take();
        }
        let mut cells = Cells { bytes: &mut cells, at: 0 };
        while cells.has_room()
            && let Some(done) = drained.pop_front()
        {
            self.write(done, &mut cells);
        }
        (cells.at / 8) as u32
    }

    fn write(&self, done: Done, cells: &mut Cells<'_>) {
        match done {
            Done::Nothing(who) => cells.head(layout::DONE, who),
            Done::Failed(who, error) => {
                cells.head(layout::FAILED, who);
                self.errors.borrow_mut().insert(who, error);
            }
            Done::Refused(who, error) => {
                cells.head(layout::REFUSED, who);
                self.errors.borrow_mut().entry(who).or_insert(error);
            }
            Done::Value(who, value) => {
                cells.head(layout::VALUE, who);
                self.values.borrow_mut().insert(who, value);
            }
            Done::Appended(who, appended) => {
                cells.head(layout::APPENDED, who);
                cells.appended(&appended);
            }
            Done::Committed(who, Committed { number, lsn, incarnation }) => {
                cells.head(layout::COMMITTED, who);
                [number, lsn, incarnation].into_iter().for_each(|n| cells.whole(n));
            }
            Done::Ready(who) => cells.head(layout::READY, who),
            Done::Line(who, level, text) => {
                cells.head(layout::LINE, who);
                self.lines.borrow_mut().push_back((level, text));
            }
        }
    }

    /// Throws the error of a call that failed, once.
    #[napi(catch_unwind)]
    pub fn fail(&self, who: u32) -> Result<()> {
        match self.errors.borrow_mut().remove(&who) {
            Some(error) => Err(thrown(&error)),
            None => Ok(()),
        }
    }

    /// Takes the oldest line of a log: its level and its text.
    #[napi(catch_unwind)]
    pub fn take_line(&self) -> Option<Vec<String>> {
        let (level, text) = self.lines.borrow_mut().pop_front()?;
        Some(vec![format!("{level:?}").to_lowercase(), text])
    }

    /// Takes an engine that was opened.
    #[napi(catch_unwind)]
    pub fn take_engine(&self, who: u32) -> Result<Engine> {
        match self.take(who) {
            Some(Value::Engine(engine)) => Ok(self.engine(engine)),
            _ => Err(thrown(&gone())),
        }
    }

    fn engine(&self, engine: CoreEngine) -> Engine {
        let log = Arc::new(OpenLog::new(engine));
        self.queue.opened(&log);
        Engine::new(log, self.queue.clone())
    }

    /// Takes a producer of an engine; its records are packed in `memory`, and `refusals` hears of what was refused.
    #[napi(catch_unwind)]
    pub fn take_producer(&self, who: u32, engine: &Engine, memory: Uint8Array, refusals: u32) -> Result<Producer> {
        match self.take(who) {
            Some(Value::Producer(producer)) => Ok(engine.producer_of(producer, (memory, refusals))),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes a transactional producer of an engine.
    #[napi(catch_unwind)]
    pub fn take_transactional(&self, who: u32, engine: &Engine) -> Result<TransactionalProducer> {
        match self.take(who) {
            Some(Value::Transactional(producer)) => Ok(engine.transactional_of(producer)),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes the answers of many.
    #[napi(catch_unwind)]
    pub fn take_many<'env>(&self, env: &'env Env, who: u32) -> Result<ArrayBuffer<'env>> {
        match self.take(who) {
            Some(Value::Many(answers)) => ArrayBuffer::from_data(env, many_cells(&answers)).or_throw(),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes an identity.
    #[napi(catch_unwind)]
    pub fn take_identity(&self, who: u32) -> Result<IdentityRow> {
        match self.take(who) {
            Some(Value::Identity(identity)) => Ok(identity.into()),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes what reading a log through found.
    #[napi(catch_unwind)]
    pub fn take_verification(&self, who: u32) -> Result<VerificationRow> {
        match self.take(who) {
            Some(Value::Verification(found)) => Ok(found.into()),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes how a transaction stands.
    #[napi(catch_unwind)]
    pub fn take_status(&self, who: u32) -> Result<&'static str> {
        match self.take(who) {
            Some(Value::Status(status)) => Ok(status_name(status)),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes an offset, or that there is none.
    #[napi(catch_unwind)]
    pub fn take_offset(&self, who: u32) -> Result<Option<BigInt>> {
        match self.take(who) {
            Some(Value::Offset(offset)) => Ok(offset.map(Into::into)),
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes a record's offset and timestamp, or that there is none.
    #[napi(catch_unwind)]
    pub fn take_time(&self, who: u32) -> Result<Option<TimeRow>> {
        match self.take(who) {
            // Milliseconds stay far below 2^53.
            Some(Value::Time(found)) => {
                Ok(found.map(|(offset, timestamp)| TimeRow { offset: offset.into(), timestamp: timestamp as f64 }))
            }
            _ => Err(thrown(&gone())),
        }
    }

    /// Takes offsets with what was stored beside them.
    #[napi(catch_unwind)]
    pub fn take_offsets(&self, who: u32) -> Result<Vec<OffsetRow>> {
        match self.take(who) {
            Some(Value::Offsets(offsets)) => Ok(offset_rows(offsets)),
            _ => Err(thrown(&gone())),
        }
    }

    fn take(&self, who: u32) -> Option<Value> {
        self.values.borrow_mut().remove(&who)
    }
}

/// Cells that are being filled.
struct Cells<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Cells<'_> {
    fn has_room(&self) -> bool {
        self.at + layout::CELLS_MAX as usize * 8 <= self.bytes.len()
    }
    fn put(&mut self, cell: [u8; 8]) {
        self.bytes[self.at..self.at + 8].copy_from_slice(&cell);
        self.at += 8;
    }
    fn float(&mut self, number: f64) {
        self.put(number.to_ne_bytes());
    }
    fn whole(&mut self, number: u64) {
        self.put(number.to_ne_bytes());
    }
    fn head(&mut self, what: u32, who: u32) {
        self.float(f64::from(what));
        self.float(f64::from(who));
    }
    fn appended(&mut self, appended: &Appended) {
        self.float(f64::from(appended.partition));
        self.float(f64::from(u8::from(appended.duplicate)));
        self.whole(appended.first);
        self.whole(appended.last);
        // Milliseconds stay far below 2^53.
        self.float(appended.timestamp as f64);
        self.whole(appended.lsn);
        self.whole(appended.incarnation);
    }
}
