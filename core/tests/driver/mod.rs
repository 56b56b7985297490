//! Drives the whole engine on a simulated machine, one thread, one seed: random operations, random faults, crashes,
//! and after each opening the oracle. Every call goes to the engine and into the history, so that the model can say
//! what the answer must be.

mod appends;
mod groups;
mod hints;
mod holders;
mod kept;
mod lives;
mod look;
mod places;
mod raw;
mod rot;
mod streams;
mod topics;
mod transactions;
mod worn;

use std::collections::{BTreeMap, BTreeSet};

use oncelog::sim::{Rng, World};
use oncelog::{
    Appended, Committed, Consumer, Durability, Engine, Error, ErrorKind, Header, Identity, Isolation, Place, Producer,
    Record, Ticket, Transaction, TransactionalProducer,
};

use crate::model::oracle::Loss;
use crate::model::{History, OpId, Part, Sends, Sets, TopicState};

/// What a step of the driver answers: an error is a failed check.
pub type Check = Result<(), String>;

/// Operations in one run, at least.
const OPERATIONS: usize = 240;
/// Power cuts and kills in one run, at least.
const CRASHES: usize = 2;

/// A record as it is sent, and the bytes by which it is known again.
pub struct Made {
    pub timestamp: i64,
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    pub headers: Vec<(String, Option<Vec<u8>>)>,
}

impl Made {
    /// All that a reader sees of a record, in one string of bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let headers: Vec<(&str, Option<&[u8]>)> = self.headers.iter().map(|(k, v)| (&**k, v.as_deref())).collect();
        known_by(self.timestamp, self.key.as_deref(), self.value.as_deref(), &headers)
    }

    /// Calls `send` with the record.
    pub fn with<T>(&self, send: impl FnOnce(Record<'_>) -> T) -> T {
        let headers: Vec<Header<'_>> =
            self.headers.iter().map(|(key, value)| Header { key, value: value.as_deref() }).collect();
        let mut record = match (&self.value, &self.key) {
            (Some(value), _) => Record::new(value),
            (None, key) => Record::tombstone(key.as_deref().unwrap_or(b"")),
        };
        if let Some(key) = &self.key {
            record = record.key(key);
        }
        send(record.headers(&headers).timestamp(self.timestamp))
    }
}

/// The bytes by which a record is known. The value comes first: its number is what messages show.
pub fn known_by(
    timestamp: i64,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[(&str, Option<&[u8]>)],
) -> Vec<u8> {
    let mut bytes = value.map_or(b"tombstone".to_vec(), <[u8]>::to_vec);
    bytes.extend_from_slice(format!("|{timestamp}|{}|", value.is_some()).as_bytes());
    bytes.extend_from_slice(key.unwrap_or(b"no key"));
    for (name, value) in headers {
        bytes.extend_from_slice(format!("|{name}={}", value.is_some()).as_bytes());
        bytes.extend_from_slice(value.unwrap_or(b""));
    }
    bytes
}

/// What a ticket's answer belongs to.
pub enum Expect {
    /// A new operation; its first offset lies between the two.
    New(OpId, u64, u64),
    /// The raw batch of this operation, again.
    Again(OpId),
    /// A named producer's position that it passed already.
    Passed(String, u64),
}

/// A ticket that nobody has waited on yet.
pub struct Pending {
    pub expect: Expect,
    pub level: Durability,
    pub ticket: Awaited,
}

pub enum Awaited {
    Append(Ticket<Appended>),
    Commit(Ticket<Committed>),
}

/// A handle of a name, and which opening of it.
pub struct Named<H> {
    pub name: String,
    pub opening: u64,
    pub handle: H,
    /// The level of its options.
    pub level: Option<Durability>,
    /// Its transactions stream from their first record on.
    pub streams: bool,
}

/// Where a consumer stands: topic, partition, offset.
pub type Positions = BTreeMap<(String, u32), u64>;
/// A consumer, and where it stood.
pub type Bound = (usize, Positions);

/// A transaction that is open, with what it will do.
pub struct OpenTransaction {
    pub name: String,
    pub opening: u64,
    pub transaction: Transaction,
    pub writes: Sends,
    pub sets: Sets,
    pub levels: Vec<Durability>,
    /// A send was refused: it may only abort.
    pub doomed: bool,
    /// So it must: a topic was deleted that it has records in memory or offsets for.
    pub gone: bool,
    /// Each of its records goes to the log as it comes.
    pub streams: bool,
    /// Those records, each an operation of its own.
    pub batches: Vec<OpId>,
    /// When its time is up, monotonic nanoseconds, if something of it lies in the log.
    pub deadline: Option<u64>,
    /// The consumer that it is bound to, with the positions it goes back to.
    pub bound: Option<Bound>,
}

/// A consumer with the positions it must have.
pub struct Reader {
    pub consumer: Consumer,
    pub group: String,
    pub positions: BTreeMap<(String, u32), (Part, u64)>,
    pub isolation: Isolation,
    /// One of its topics was deleted.
    pub lost: bool,
}

/// Everything that belongs to one opening of the log.
pub struct Life {
    pub engine: Engine,
    /// Raw transactions that begin in it stay open in the next one.
    pub keeps: bool,
    pub plain: Option<(Producer, Option<Durability>)>,
    pub named: Vec<Named<Producer>>,
    pub transactional: Vec<Named<TransactionalProducer>>,
    pub open: Vec<OpenTransaction>,
    pub readers: Vec<Reader>,
    /// Partitions with records of transactions whose decision may not be shown yet.
    pub unsettled: Vec<Part>,
}

/// One run.
pub struct Driver {
    pub rng: Rng,
    pub world: World,
    pub history: History,
    pub life: Option<Life>,
    pub pending: Vec<Pending>,
    pub level: Durability,
    /// Readers see only what is durable in this run.
    pub durable_only: bool,
    /// Some lives of this run keep raw transactions open for the next one.
    pub keeps: bool,
    /// Hints are lost before openings of this run.
    pub forgets: bool,
    /// Those that were lost for the next opening only.
    pub lost: Vec<hints::Lost>,
    /// The first footer that each segment had.
    pub footers: BTreeMap<String, Vec<u8>>,
    /// Where readers stand, with the record before it.
    pub places: Vec<(Part, Place, Vec<u8>)>,
    pub identities: Vec<Identity>,
    /// Ids that were given to raw producers: none may come twice.
    pub issued: BTreeSet<i64>,
    /// Raw transactions that are open.
    pub raws: Vec<raw::OpenRaw>,
    /// Numbers of transactions that were begun: none may come twice.
    pub numbers: BTreeSet<u64>,
    /// The newest life that an answer named, and whether this life has answered yet.
    pub incarnation: (u64, bool),
    pub counter: u64,
    /// Faults are planned, or one has struck in this life.
    pub armed: bool,
    /// The disk is nearly full.
    pub full: bool,
    /// It was in this life: what was refused then may be told of later.
    pub filled: bool,
    pub crashes: usize,
    pub lives: usize,
    /// Records are large in this run, so that segments fill faster than they are flushed.
    pub bulky: bool,
    /// What happened to copies of the machine, on which rot is tried.
    pub copies: BTreeMap<&'static str, u64>,
    /// The last calls, for the report.
    pub trail: Vec<String>,
}

/// Runs one seed to its end.
pub fn run(seed: u64) -> Result<Driver, String> {
    let mut driver = Driver::new(seed);
    match driver.play() {
        Ok(()) => Ok(driver),
        Err(fault) => {
            let from = driver.trail.len().saturating_sub(40);
            Err(format!("{fault}\n  last calls:\n    {}", driver.trail[from..].join("\n    ")))
        }
    }
}

/// A computer. On some those who append take turns.
fn world(seed: u64) -> World {
    let world = World::new(seed);
    if seed % 7 < 2 {
        world.take_turns();
    }
    world
}

impl Driver {
    fn new(seed: u64) -> Driver {
        let mut rng = Rng::new(seed ^ 0x6f6e_6365_6c6f_6721);
        let level = [Durability::Memory, Durability::Os, Durability::Disk, Durability::Disk][rng.index(4)];
        let (keeps, forgets) = (seed.is_multiple_of(3), !seed.is_multiple_of(2));
        let bulky = rng.chance(1, 3) || (keeps && forgets);
        Driver {
            rng,
            world: world(seed),
            history: History::default(),
            life: None,
            pending: Vec::new(),
            level,
            durable_only: seed.is_multiple_of(5),
            keeps,
            forgets,
            lost: Vec::new(),
            footers: BTreeMap::new(),
            places: Vec::new(),
            identities: Vec::new(),
            issued: BTreeSet::new(),
            raws: Vec::new(),
            numbers: BTreeSet::new(),
            incarnation: (0, false),
            counter: 0,
            armed: false,
            full: false,
            filled: false,
            crashes: 0,
            lives: 0,
            bulky,
            copies: BTreeMap::new(),
            trail: Vec::new(),
        }
    }

    /// How often everything happened in this run, by name.
    pub fn hits(&self) -> BTreeMap<&'static str, u64> {
        let mut hits = self.world.hits();
        self.copies.iter().for_each(|(name, times)| *hits.entry(name).or_default() += times);
        hits
    }

    /// A machine of its own with these files on its disk.
    pub fn copy(&mut self, files: BTreeMap<String, Vec<u8>>) -> World {
        World::with_files(self.rng.next_u64(), files)
    }

    /// Counts what happened to a copy that is done with.
    pub fn count(&mut self, copy: &World) {
        copy.hits().into_iter().for_each(|(name, times)| *self.copies.entry(name).or_default() += times);
    }

    fn play(&mut self) -> Check {
        let weights: Vec<u32> = WEIGHTS.iter().map(|(weight, _)| self.swarm(*weight)).collect();
        // Large records deserve long lives: several checkpoints in one, and a crash behind them.
        let life = OPERATIONS / if self.bulky { CRASHES } else { CRASHES + 2 };
        if self.rng.chance(1, 10) {
            self.begin_worn();
        }
        self.reopen(Loss::Cut, false)?;
        let mut done = 0;
        while done < OPERATIONS || self.crashes < CRASHES {
            let choice = self.rng.weighted(&weights);
            (WEIGHTS[choice].1)(self)?;
            done += 1;
            // A life that is poisoned has little more to tell.
            let poisoned = self.history.poisoned.is_some();
            if done % life == 0 || (poisoned && self.rng.chance(1, 6)) {
                self.die()?;
            }
        }
        self.finish()
    }

    /// Each run uses another mix: an operation may be rare, common or missing.
    fn swarm(&mut self, weight: u32) -> u32 {
        match self.rng.below(6) {
            0 => weight.div_ceil(8),
            1 => weight * 3,
            _ => weight,
        }
    }

    pub fn note(&mut self, what: String) {
        self.trail.push(format!("{:4} {what}", self.history.step));
    }

    pub fn life(&mut self) -> &mut Life {
        self.life.as_mut().expect("the log is open between operations")
    }

    pub fn engine(&mut self) -> Engine {
        self.life().engine.clone()
    }

    /// A new record whose bytes nobody has sent before.
    pub fn made(&mut self) -> Made {
        self.counter += 1;
        let length = match self.rng.below(100) {
            0 => self.rng.below(100_000),
            1..40 if self.bulky => self.rng.below(20_000),
            1..10 => self.rng.below(6_000),
            10..15 => 0,
            _ => self.rng.below(400),
        };
        let mut value = format!("record {} ", self.counter).into_bytes();
        let fill = self.rng.next_u64() as u8;
        // Some values are all zeros behind their number: what a torn write leaves must not pass for them.
        value.resize(value.len() + length as usize, if self.rng.chance(1, 4) { 0 } else { fill });
        let keyed = self.rng.chance(1, 2);
        let tombstone = keyed && self.rng.chance(1, 10);
        let headers = (0..self.rng.below(3)).map(|n| {
            let value = self.rng.chance(2, 3).then(|| vec![fill; (fill % 20) as usize]);
            (format!("h{n}"), value)
        });
        let headers = headers.collect();
        Made {
            timestamp: 1_600_000_000_000 + self.rng.below(1_000_000) as i64,
            key: keyed.then(|| format!("key {}", if tombstone { self.counter } else { self.counter % 7 }).into_bytes()),
            value: (!tombstone).then_some(value),
            headers,
        }
    }

    /// A level for an option, or none.
    pub fn own_level(&mut self) -> Option<Durability> {
        [None, None, None, Some(Durability::Memory), Some(Durability::Os), Some(Durability::Disk)][self.rng.index(6)]
    }

    /// The level at which a topic's records are acknowledged and shown.
    pub fn topic_level(&self, topic: &TopicState) -> Durability {
        topic.level.unwrap_or(self.level)
    }

    /// The level at which a topic's records are shown.
    pub fn shown_level(&self, topic: &TopicState) -> Durability {
        if self.durable_only { Durability::Disk } else { self.topic_level(topic) }
    }

    /// A partition that exists, of a topic that exists.
    pub fn any_part(&mut self) -> Option<(Part, TopicState)> {
        let topics = self.history.topics();
        if topics.is_empty() {
            return None;
        }
        let (name, state) = topics[self.rng.index(topics.len())].clone();
        let number = self.rng.below(u64::from(state.partitions)) as u32;
        Some((Part { topic: name, born: state.born, number }, state))
    }

    /// Notes a failed call of operation `id`. `allowed` are the errors that the model expects here.
    pub fn failed(&mut self, id: Option<OpId>, error: &Error, allowed: &[ErrorKind]) -> Check {
        let kind = error.kind();
        self.note(format!("  answered {error}"));
        match (kind, id) {
            (ErrorKind::Indeterminate, Some(id)) => self.history.indeterminate(id),
            (_, Some(id)) => self.history.refused(id, kind),
            (_, None) => {}
        }
        if matches!(kind, ErrorKind::Indeterminate | ErrorKind::Poisoned) {
            self.history.poisoned.get_or_insert(self.history.step);
        }
        let by_fault = matches!(kind, ErrorKind::Indeterminate | ErrorKind::Poisoned | ErrorKind::Io | ErrorKind::Full);
        // A full disk alone refuses, and breaks nothing.
        let by_full_disk = self.filled && kind == ErrorKind::Full;
        // A topic whose creation failed half-way is noted by the model and not shown by the engine, until both die.
        let half_made = kind == ErrorKind::UnknownTopicOrPartition && self.history.poisoned.is_some();
        if allowed.contains(&kind) || by_full_disk || (self.armed && (by_fault || half_made)) {
            return Ok(());
        }
        let what = id.map_or(String::new(), |id| self.history.name(id));
        Err(format!(
            "unexpected error {error} for {what}, expected one of {allowed:?}, faults armed: {}, disk full: {}",
            self.armed, self.filled
        ))
    }

    /// Answers name the life they come from: one for all of them, greater than any before.
    pub fn check_incarnation(&mut self, told: u64) -> Check {
        let (last, known) = self.incarnation;
        if (known && told != last) || (!known && told <= last) {
            return Err(format!(
                "I3: an answer names incarnation {told}, the last one was {last}, of this life: {known}"
            ));
        }
        self.incarnation = (told, true);
        Ok(())
    }

    /// An error was expected and the call succeeded.
    pub fn must_fail(&self, what: &str, expected: ErrorKind) -> Check {
        Err(format!("{what} succeeded, {expected:?} was expected"))
    }
}

type Operation = fn(&mut Driver) -> Check;

/// What a run does, and how often.
const WEIGHTS: &[(u32, Operation)] = &[
    (14, Driver::append_plain),
    (14, Driver::append_identified),
    (3, Driver::register),
    (10, Driver::send_plain),
    (16, Driver::send_named),
    (4, Driver::open_named),
    (3, Driver::flush_producer),
    (3, Driver::open_transactional),
    (8, Driver::begin),
    (14, Driver::add_to_transaction),
    (10, Driver::end_transaction),
    (3, Driver::raw_init),
    (14, Driver::raw_batch),
    (6, Driver::raw_offsets),
    (9, Driver::raw_end),
    (2, Driver::raw_abort),
    (1, Driver::raw_delete),
    (3, Driver::create_topic),
    (1, Driver::delete_topic),
    (2, Driver::add_partitions),
    (1, Driver::delete_name),
    (6, Driver::commit_offsets),
    (3, Driver::open_consumer),
    (8, Driver::poll),
    (3, Driver::move_consumer),
    (4, Driver::commit_consumer),
    (12, Driver::read_some),
    (4, Driver::ask),
    (2, Driver::ask_nonsense),
    (14, Driver::wait_some),
    (4, Driver::detach_some),
    (14, Driver::drive),
    (6, Driver::pass_time),
    (3, Driver::flush_all),
    (3, Driver::wait_durable),
    (4, Driver::arm),
    (1, Driver::fill_disk),
    (2, Driver::close_and_reopen),
    (6, Driver::hand_over),
];
