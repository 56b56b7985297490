//! Directories to be damaged, and the judgement of what a damaged one shows: right, or refused by name.
#![allow(dead_code)]

pub mod committed;
pub mod frames;
mod works;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Range, RangeInclusive};

use oncelog::Durability::Disk;
use oncelog::sim::World;
use oncelog::{AppendOptions, Batch, Engine, EngineOptions, ErrorKind, Isolation, ReadOptions, Record, TopicPartition};

use crate::crash::Check;
use crate::crash::cuts::{AGAIN, cuts};
use crate::crash::observe::{Questions, open_names};
use crate::crash::tape::{Op, Recorded, Tape, options};
use crate::crash::world::{Effect, Known, Shown, known_by};

pub type Files = BTreeMap<String, Vec<u8>>;
/// Records by offset.
type Seen = BTreeMap<u64, Known>;
/// The LSNs that damaged ones are said to have, by offset.
type Named = BTreeMap<u64, RangeInclusive<u64>>;

/// What is appended to a damaged log.
const AFTERWARDS: &[u8] = b"behind the damage";

/// The frame, or frames, that hold the records of one operation.
#[derive(Clone, Debug)]
pub struct Span {
    pub file: String,
    pub from: usize,
    pub to: usize,
}

/// A sound directory, and what it shows.
#[derive(Clone)]
pub struct Sound {
    pub files: Files,
    pub shown: Shown,
    questions: Questions,
    ops: Vec<Op>,
    /// By operation; those without records have none.
    pub spans: BTreeMap<usize, Span>,
    owners: BTreeMap<Known, usize>,
    /// Of the frames that hold them.
    lsns: BTreeMap<Known, u64>,
    /// From this operation on no later frame says that it is durable.
    undeclared: usize,
    /// Where transactions that stay open begin.
    held: BTreeMap<TopicPartition, u64>,
}

/// What a damage did to the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// The log did not open.
    pub closed: bool,
    /// It opened for reading only.
    pub refused: bool,
    /// Records that are reported as damaged, or were cut where nothing says that they were durable.
    pub lost: usize,
}

/// Bytes of one file that were changed.
#[derive(Clone, Debug)]
pub struct Hit {
    pub file: String,
    pub from: usize,
    pub to: usize,
}

/// Four segments with a bit of everything. `closed`: cleanly, so that the newest checkpoint holds all; otherwise the
/// process died, the last frames are not known durable, and no checkpoint was written.
pub fn sound(closed: bool) -> Sound {
    Sound::of(|tape| if closed { works::long(tape, true) } else { works::short(tape) })
}

/// The closed one as it would be had its process died before the close.
pub fn sound_rolled() -> Sound {
    Sound::of(|tape| works::long(tape, false))
}

/// A log of several lives, all but the first of which began with a recovery's copy, in a segment of its own.
pub fn sound_revived() -> Sound {
    Sound::of(works::revived)
}

/// The same with compressed batches and with transactions that stream, some of them open at the end.
pub fn sound_streamed(closed: bool) -> Sound {
    Sound::of(|tape| works::streamed(tape, closed))
}

fn values(op: &Op) -> impl Iterator<Item = Known> + '_ {
    op.effects
        .iter()
        .flat_map(|effect| match effect {
            Effect::Records { values, .. } | Effect::Streamed { values, .. } => values.as_slice(),
            _ => &[],
        })
        .copied()
}

impl Sound {
    fn of(work: impl FnOnce(&mut Tape) -> Result<usize, String>) -> Sound {
        let mut tape = Tape::new(77);
        let undeclared = work(&mut tape).unwrap_or_else(|fault| panic!("{fault}"));
        let (files, sent) = (tape.world.files(), tape.sent.clone());
        let recorded = tape.end();
        let lying = frames::spans(&files);
        let (mut spans, mut owners, mut lsns) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let numbers: BTreeMap<Known, usize> =
            (1..).zip(&sent).map(|(number, value)| (known_by(value), number)).collect();
        for (n, op) in recorded.ops.iter().enumerate() {
            for known in values(op) {
                owners.insert(known, n);
                let number = numbers[&known];
                let (lies, lsn) = lying.get(&number).unwrap_or_else(|| panic!("value {number} is in no file"));
                lsns.insert(known, *lsn);
                let span = spans.entry(n).or_insert_with(|| lies.clone());
                (span.from, span.to) = (span.from.min(lies.from), span.to.max(lies.to));
            }
        }
        let held = held(&files);
        let shown = recorded.states[recorded.states.len() - 1].clone();
        let Recorded { ops, questions, .. } = recorded;
        Sound { files, shown, questions, ops, spans, owners, lsns, undeclared, held }
    }

    /// The same without footers: they are derived, and made anew from what is left of the frames.
    pub fn without_footers(mut self) -> Sound {
        for image in self.files.values_mut() {
            if let Some(at) = image.windows(8).position(|w| w == b"onceftr\x02") {
                image.truncate(at);
            }
        }
        self
    }

    /// The same without `head`, which anybody may lose.
    pub fn without_head(mut self) -> Sound {
        self.files.remove("head").expect("the log has one");
        self
    }

    /// The directory with some bytes of a file changed by `change`.
    pub fn with(&self, file: &str, change: impl FnOnce(&mut Vec<u8>)) -> Files {
        let mut files = self.files.clone();
        change(files.get_mut(file).expect("the file is there"));
        files
    }

    /// Opens a damaged copy. Whatever it shows is right; what it does not show it names.
    pub fn judge(&self, files: &Files, hit: &Hit, go_on: bool) -> Result<Verdict, String> {
        let world = World::with_files(4711 + hit.from as u64, files.clone());
        let engine = match options().open_on(world.machine()) {
            Ok(engine) => engine,
            Err(error) if error.kind() == ErrorKind::Corrupt && error.message().contains(&hit.file) => {
                return Ok(Verdict { closed: true, ..Verdict::default() });
            }
            Err(error) => return Err(format!("opening answers {error}")),
        };
        let refused = self.refuses(&engine)?;
        let lost = self.compare(&engine, hit, refused)?;
        if !refused {
            let names = open_names(&engine, &self.questions)?;
            let position = |name: &str| names.get(name).map(|n| (n.openings, n.position));
            let due = |name: &str| self.shown.names.get(name).map(|n| (n.openings, n.position));
            if let Some(name) = names.keys().find(|name| position(name) != due(name)) {
                return Err(format!("{name} is {:?}, expected {:?}", position(name), due(name)));
            }
        }
        if !refused && !go_on {
            self.finish_open(&engine)?;
        }
        engine.close().map_err(|error| format!("close answers {error}"))?;
        drop(engine);
        if go_on {
            self.go_on(&world, hit, refused, false)?;
        }
        Ok(Verdict { closed: false, refused, lost })
    }

    /// Whether appends are refused; a refusal names the LSNs and the file.
    fn refuses(&self, engine: &Engine) -> Result<bool, String> {
        let Some(topic) = engine.topics().map_err(|e| e.to_string())?.first().map(|t| t.name.clone()) else {
            return Ok(true);
        };
        match append(engine, &topic) {
            Ok(()) => Ok(false),
            Err(error) if error.kind() == ErrorKind::Corrupt => {
                let message = error.message();
                let whole = ["first_lsn=", "last_lsn=", "file="].iter().all(|word| message.contains(word));
                if whole && !engine.opening().damage.is_empty() {
                    return Ok(true);
                }
                Err(format!("a refusal does not say what is lost: {error}"))
            }
            Err(error) => Err(format!("an append answers {error}")),
        }
    }

    /// Compares with the sound directory. Answers how many records are lost.
    fn compare(&self, engine: &Engine, hit: &Hit, refused: bool) -> Result<usize, String> {
        let (may_be_lost, may_be_cut) = (self.may_be_lost(hit), self.may_be_cut(hit));
        let mut lost = 0;
        for (name, topic) in &self.shown.topics {
            for (number, due) in topic.partitions.iter().enumerate() {
                let partition = match engine.partition(name, number as u32) {
                    Ok(partition) => partition,
                    Err(_) if refused => continue,
                    Err(error) => return Err(format!("{name}-{number} answers {error}")),
                };
                // What a refused log does not know of at all counts as named by the refusal.
                let (seen, named) = read(&partition, Isolation::ReadUncommitted)?;
                for (offset, due) in due.iter().enumerate() {
                    let (owner, lsn) = (self.owners[due], self.lsns[due]);
                    // Where a loss was accepted the offset may be another record's.
                    if let Some(lsns) = named.get(&(offset as u64)).filter(|lsns| !refused && !lsns.contains(&lsn)) {
                        return Err(format!("{name}-{number} offset {offset} of LSN {lsn} is said to have {lsns:?}"));
                    }
                    match seen.get(&(offset as u64)) {
                        Some(known) if known == due => {}
                        // Where a loss was accepted nobody knows which offsets it took: they are given again.
                        Some(known) if refused && *known == known_by(AFTERWARDS) => lost += 1,
                        Some(known) if owner >= may_be_cut && *known == known_by(AFTERWARDS) => lost += 1,
                        Some(_) => return Err(format!("{name}-{number} offset {offset} shows something else")),
                        None if !refused && offset as u64 >= partition.bounds().end && owner < may_be_cut => {
                            return Err(format!("{name}-{number} is cut at {offset}, and that was durable"));
                        }
                        None if refused || owner >= may_be_cut || may_be_lost.contains(&owner) => lost += 1,
                        None => {
                            let what = &self.ops[owner].what;
                            return Err(format!(
                                "{name}-{number} offset {offset} is lost, of [{what}], which was not hit"
                            ));
                        }
                    }
                }
            }
        }
        self.compare_committed(engine, refused, may_be_cut)?;
        if !refused {
            let seen = look_at_offsets(engine, &self.questions)?;
            let tail = may_be_lost.iter().any(|op| *op >= may_be_cut);
            if seen != self.shown.offsets && !tail {
                return Err(format!("offsets are {seen:?}, expected {:?}", self.shown.offsets));
            }
        }
        Ok(lost)
    }

    /// Operations whose frames were hit; and if the hit lies in the tail that nothing declares durable, all of that.
    fn may_be_lost(&self, hit: &Hit) -> BTreeSet<usize> {
        let overlaps = |span: &Span| span.file == hit.file && hit.from < span.to && span.from < hit.to;
        let mut ops: BTreeSet<usize> = self.spans.iter().filter(|(_, s)| overlaps(s)).map(|(op, _)| *op).collect();
        let tail =
            self.spans.range(self.undeclared..).next().is_some_and(|(_, s)| s.file == hit.file && hit.to > s.from);
        if tail {
            ops.extend(self.undeclared..self.ops.len());
        }
        ops
    }

    /// From which operation on a log may be cut without a word: that which no frame that is left declares durable.
    fn may_be_cut(&self, hit: &Hit) -> usize {
        let Some((_, last)) = self.spans.range(self.undeclared..).next_back() else { return self.undeclared };
        let first_hit = self.may_be_lost(hit).first().copied().unwrap_or(self.undeclared);
        // The head of the last frame is hit too, so nothing behind the first hit says anything any more.
        let all_hit = last.file == hit.file && hit.to > last.from;
        if all_hit { self.undeclared.min(first_hit) } else { self.undeclared }
    }

    /// Accepts the loss of a refused log, and cuts the power at every call of that: the next opening refuses as before
    /// or goes on, and the loss can always be accepted again. Answers how many states were opened.
    pub fn accept_and_crash(&self, files: &Files, hit: &Hit) -> Result<usize, String> {
        let world = World::with_files(4711, files.clone());
        world.record();
        let engine = reopen(&world, options().accept_loss(true))?;
        let accepted = world.log().calls();
        self.compare(&engine, hit, true)?;
        engine.close().map_err(|error| format!("with the loss accepted close answers {error}"))?;
        let log = world.log();
        let mut count = 0;
        for prefix in 0..=log.calls() {
            for cut in cuts(&log, prefix, AGAIN) {
                let name = format!("{prefix}/{}", cut.name);
                let world = log.image(prefix, &cut.choice);
                let engine = reopen(&world, options()).map_err(|fault| format!("{name}: {fault}"))?;
                let refused = self.refuses(&engine).map_err(|fault| format!("{name}: {fault}"))?;
                if refused && prefix >= accepted {
                    return Err(format!("{name}: refused though the loss was accepted"));
                }
                self.compare(&engine, hit, true).map_err(|fault| format!("{name}: {fault}"))?;
                engine.close().map_err(|error| format!("{name}: close answers {error}"))?;
                drop(engine);
                self.go_on(&world, hit, refused, true).map_err(|fault| format!("{name}: {fault}"))?;
                count += 1;
            }
        }
        Ok(count)
    }

    /// The next lives: a log that took an append shows the same again; one that refused goes on once told to.
    fn go_on(&self, world: &World, hit: &Hit, refused: bool, accepted: bool) -> Check {
        if refused {
            let engine = reopen(world, options().accept_loss(true))?;
            self.compare(&engine, hit, true)?;
            let topic = engine.topics().map_err(|e| e.to_string())?.first().map(|t| t.name.clone());
            match &topic {
                Some(topic) => {
                    append(&engine, topic).map_err(|e| format!("with the loss accepted an append answers {e}"))?
                }
                None => engine.create_topic("new", Default::default()).map_err(|e| e.to_string())?,
            }
            engine.close().map_err(|error| format!("with the loss accepted close answers {error}"))?;
        }
        let engine = reopen(world, options())?;
        if self.refuses(&engine)? {
            return Err("opened again, it refuses appends".into());
        }
        self.compare(&engine, hit, refused || accepted)?;
        engine.close().map_err(|error| format!("opened again, close answers {error}"))
    }
}

fn reopen(world: &World, options: EngineOptions) -> Result<Engine, String> {
    options.open_on(world.machine()).map_err(|error| format!("opening again answers {error}"))
}

fn append(engine: &Engine, topic: &str) -> oncelog::Result<()> {
    let mut builder = Batch::builder();
    builder.push(&Record::new(AFTERWARDS), 0)?;
    let options = AppendOptions::new().durability(Disk);
    engine.partition(topic, 0)?.append_with(&builder.build()?, options)?.wait().map(drop)
}

fn look_at_offsets(engine: &Engine, questions: &Questions) -> Result<BTreeMap<(String, String, u32), u64>, String> {
    let mut offsets = BTreeMap::new();
    for (group, topic, partition) in &questions.offsets {
        let consumer = engine.consumer(oncelog::ConsumerOptions::new().group(group)).map_err(|e| e.to_string())?;
        let place = oncelog::TopicPartition::new(topic, *partition);
        if let Some(offset) = consumer.committed(&place).map_err(|e| e.to_string())? {
            offsets.insert((group.clone(), topic.clone(), *partition), offset);
        }
    }
    Ok(offsets)
}

/// All that can be read of a partition, by offset, and what is named as damaged. At read_uncommitted every gap must be.
fn read(partition: &oncelog::Partition, isolation: Isolation) -> Result<(Seen, Named), String> {
    let place = format!("{}-{}", partition.topic(), partition.number());
    let (mut seen, mut named) = (Seen::new(), Named::new());
    let bounds = partition.bounds();
    let end = if isolation == Isolation::ReadCommitted { bounds.stable } else { bounds.end };
    let mut next = bounds.start;
    while next < end {
        let records = match partition.read(next, ReadOptions::new().isolation(isolation)) {
            Ok(records) => records,
            Err(error) => return Err(format!("reading {place} from {next} answers {error}")),
        };
        for view in &records {
            match view {
                Ok(view) => drop(seen.insert(view.offset(), known_by(view.value().unwrap_or_default()))),
                Err(error) => {
                    let (offsets, lsns) = named_by(&place, &error)?;
                    named.extend(offsets.map(|offset| (offset, lsns.clone())));
                }
            }
        }
        let further = records.next_offset(partition.topic(), partition.number()).unwrap_or(next);
        if further <= next {
            return Err(format!("reading {place} stands still at {next} of {bounds:?}"));
        }
        next = further;
    }
    let both = seen.keys().find(|offset| named.contains_key(offset));
    let all = isolation == Isolation::ReadUncommitted;
    let neither = (bounds.start..end).find(|offset| all && !seen.contains_key(offset) && !named.contains_key(offset));
    match both.copied().or(neither) {
        None => Ok((seen, named)),
        Some(offset) => {
            Err(format!("{place} offset {offset}: shown {}, and named the same", seen.contains_key(&offset)))
        }
    }
}

/// Where transactions are open that stay so when the log is opened.
fn held(files: &Files) -> BTreeMap<TopicPartition, u64> {
    let engine = options().open_on(World::with_files(1, files.clone()).machine()).expect("the directory is sound");
    let open = engine.describe_transactions().expect("the directory is sound");
    open.into_iter().flat_map(|transaction| transaction.partitions).collect()
}

/// The offsets that an error names, and the LSNs that their frames may have.
fn named_by(place: &str, error: &oncelog::Error) -> Result<(Range<u64>, RangeInclusive<u64>), String> {
    let unclear = || format!("reading {place} answers {error}, which does not name what is lost");
    if error.kind() != ErrorKind::Corrupt {
        return Err(unclear());
    }
    let word = |name: &str| error.message().split([' ', ',']).find_map(|word| word.strip_prefix(name));
    let (topic, partition) = (word("topic=").ok_or_else(unclear)?, word("partition=").ok_or_else(unclear)?);
    if format!("{topic}-{partition}") != place {
        return Err(unclear());
    }
    let (from, to) = word("offsets=").and_then(|range| range.split_once("..")).ok_or_else(unclear)?;
    let number = |text: Option<&str>| text.and_then(|text| text.parse::<u64>().ok()).ok_or_else(unclear);
    let lsns = number(word("first_lsn="))?..=number(word("last_lsn="))?;
    Ok((number(Some(from))?..number(Some(to))?, lsns))
}
