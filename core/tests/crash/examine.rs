//! One state: open it, look, go on, close it, look again.

use std::collections::BTreeMap;

use oncelog::sim::{Log, World};
use oncelog::{AppendOptions, Batch, Durability, Engine, ErrorKind, Record, TopicOptions};

use super::Check;
use super::kept::go_on;
use super::observe::{look, open_names};
use super::tape::{Raw, Recorded, options};
use super::world::{Shown, known_by};

/// Opens what a power cut left and checks all that can be checked. Answers what the log showed.
/// `way`: how what was left open goes on.
pub fn examine(world: &World, recorded: &Recorded, (least, most): (usize, usize), way: usize) -> Result<Shown, String> {
    let known_durable = read_unrecovered(world, recorded, least)?;
    let engine = options().open_on(world.machine()).map_err(|error| format!("the log does not open: {error}"))?;
    if let Some(damage) = engine.opening().damage.first() {
        return Err(format!("a power cut is taken for {damage:?}"));
    }
    let mut seen = look(&engine, &recorded.questions)?;
    seen.names = open_names(&engine, &recorded.questions)?;
    let found = place(recorded, &seen, least, most)?;
    let fits = |state: &Shown| known_durable.as_ref().is_none_or(|known| known.fits_unrecovered(state));
    if !recorded.states[..=found].iter().any(fits) {
        return Err(format!("a reader was shown what is none of the first {found} operations"));
    }
    let due = go_on(&engine, world, recorded, found, way)?;
    if let Some(differs) = look(&engine, &recorded.questions)?.differs(&due) {
        return Err(format!("gone on by way {}: {differs}", way % 4));
    }
    retry_raw(&engine, recorded, found, most)?;
    let mut expected = look(&engine, &recorded.questions)?;
    append(&engine, &mut expected)?;
    engine.close().map_err(|error| format!("close answers {error}"))?;
    drop(engine);
    reading_changes_nothing(world, recorded, &expected)?;
    Ok(seen)
}

/// What a reader sees that may not recover: nothing but what is known durable, and not a byte changes. None: there is
/// no log yet.
fn read_unrecovered(world: &World, recorded: &Recorded, least: usize) -> Result<Option<Shown>, String> {
    let digest = world.digest();
    let engine = match options().read_only(true).open_on(world.machine_for_reading()) {
        Ok(engine) => engine,
        Err(error) if error.kind() == ErrorKind::InvalidArgument && least == 0 => return Ok(None),
        Err(error) => return Err(format!("the log does not open for reading: {error}")),
    };
    let seen = look(&engine, &recorded.questions)?;
    engine.close().map_err(|error| format!("close of a reader answers {error}"))?;
    if world.digest() != digest {
        return Err("a reader changed the disk".into());
    }
    Ok(Some(seen))
}

/// After how many operations the log shows what it shows.
fn place(recorded: &Recorded, seen: &Shown, least: usize, most: usize) -> Result<usize, String> {
    if let Some(found) = (least..=most).rev().find(|k| recorded.states[*k] == *seen) {
        return Ok(found);
    }
    // The message names the nearest state, and whether it was allowed.
    let at = (0..recorded.states.len()).find(|k| recorded.states[*k] == *seen);
    if let Some(at) = at {
        let (op, due) = (&recorded.ops[at.min(recorded.ops.len() - 1)].what, least);
        return Err(format!("the log holds {at} operations, {due} to {most} are due; the first one missing is [{op}]"));
    }
    let nearest = (0..=most).rev().max_by_key(|k| {
        let state = &recorded.states[*k];
        (state.records() == seen.records(), state.names == seen.names, *k >= least)
    });
    let nearest = nearest.unwrap_or(most);
    let differs = seen.differs(&recorded.states[nearest]).unwrap_or_default();
    Err(format!(
        "the log shows what no number of operations explains ({least} to {most} are due); after {nearest}: {differs}"
    ))
}

/// Every raw batch that is there is found again by its producer and sequence; the next one, if it was cut off, is new.
fn retry_raw(engine: &Engine, recorded: &Recorded, found: usize, most: usize) -> Check {
    let mut known: BTreeMap<(i64, &str, u32), Vec<usize>> = BTreeMap::new();
    // Behind the end of their transaction the epoch of others is a former one.
    let plain = |raw: &Raw| raw.op < most && !raw.batch.header().is_transactional();
    for (n, raw) in recorded.raws.iter().enumerate().filter(|(_, raw)| plain(raw)) {
        let id = raw.batch.header().producer_id;
        known.entry((id, &raw.topic, raw.partition)).or_default().push(n);
    }
    for (place, all) in known {
        let there = all.iter().filter(|n| recorded.raws[**n].op < found).count();
        let Ok(partition) = engine.partition(place.1, place.2) else { continue };
        for n in &all[there.saturating_sub(5)..all.len().min(there + 1)] {
            let raw = &recorded.raws[*n];
            let is_there = raw.op < found;
            let answer = partition.append(&raw.batch).and_then(|ticket| ticket.wait());
            match answer {
                Ok(answer) if is_there && answer.duplicate && answer.first == raw.first => {}
                Ok(answer) if !is_there && !answer.duplicate => {}
                // Its producer's registration was cut off with it.
                Err(_) if there == 0 => {}
                answer => return Err(format!("a raw batch, there: {is_there}, sent again answers {answer:?}")),
            }
        }
    }
    Ok(())
}

/// The log takes appends.
pub fn append(engine: &Engine, shown: &mut Shown) -> Check {
    let topic = match shown.topics.keys().next() {
        Some(topic) => topic.clone(),
        None => {
            let created = engine.create_topic("afterwards", TopicOptions::new());
            created.map_err(|error| format!("create_topic answers {error}"))?;
            let info = engine.topics().map_err(|error| format!("topics answers {error}"))?.remove(0);
            let topic = super::world::Topic { id: Some(info.id), partitions: vec![Vec::new()] };
            shown.topics.insert(info.name.clone(), topic);
            info.name
        }
    };
    let value = format!("afterwards {}", shown.records());
    let mut builder = Batch::builder();
    let built = builder.push(&Record::new(value.as_bytes()), 0).and_then(|()| builder.build());
    let batch = built.map_err(|error| error.to_string())?;
    let partition = engine.partition(&topic, 0).map_err(|error| error.to_string())?;
    let options = AppendOptions::new().durability(Durability::Disk);
    let appended = partition.append_with(&batch, options).and_then(|ticket| ticket.wait());
    let appended = appended.map_err(|error| format!("an append after the opening answers {error}"))?;
    let records = &mut shown.topics.get_mut(&topic).expect("it was found or made above").partitions[0];
    if appended.first != records.len() as u64 {
        return Err(format!("an append behind {} records answers offset {}", records.len(), appended.first));
    }
    records.push(known_by(value.as_bytes()));
    *shown = shown.held_back();
    Ok(())
}

/// After a clean close: opening for reading shows all, and not a byte changes.
fn reading_changes_nothing(world: &World, recorded: &Recorded, expected: &Shown) -> Check {
    let digest = world.digest();
    let reading = options().read_only(true).open_on(world.machine_for_reading());
    let reading = reading.map_err(|error| format!("the closed log does not open for reading: {error}"))?;
    let seen = look(&reading, &recorded.questions)?;
    reading.close().map_err(|error| format!("close of a reader answers {error}"))?;
    if let Some(differs) = seen.differs(expected) {
        return Err(format!("the closed log, read again: {differs}"));
    }
    if world.digest() != digest {
        return Err("opening a closed log for reading changed the disk".into());
    }
    Ok(())
}

/// Opens a state while its disk calls are recorded, appends, closes. Answers the calls, how many were made when the log
/// was open, when the append was acknowledged, and what was shown before and after it.
pub fn recover(world: &World, recorded: &Recorded) -> Result<Recovery, String> {
    world.record();
    let engine = options().open_on(world.machine()).map_err(|error| format!("the log does not open: {error}"))?;
    let before = look(&engine, &recorded.questions)?;
    let opened = world.log().calls();
    let mut after = before.clone();
    append(&engine, &mut after)?;
    let appended = world.log().calls();
    engine.close().map_err(|error| format!("close answers {error}"))?;
    Ok(Recovery { log: world.log(), opened, appended, before, after })
}

/// A recovery that was recorded.
pub struct Recovery {
    pub log: Log,
    opened: usize,
    appended: usize,
    before: Shown,
    after: Shown,
}

impl Recovery {
    /// Opens what a power cut during or after that recovery left: it must show the same, with the append once it was
    /// acknowledged.
    pub fn examine(&self, world: &World, recorded: &Recorded, prefix: usize, names: &Shown) -> Check {
        let engine = options().open_on(world.machine()).map_err(|error| format!("the log does not open: {error}"))?;
        let seen = look(&engine, &recorded.questions)?;
        let is_before = seen == self.before;
        // An empty log gets its topic in two steps, the topic and then the record.
        let is_between = seen.records() == self.before.records() && self.before.topics.is_empty();
        let fits = match (prefix <= self.opened, prefix >= self.appended) {
            (true, _) => is_before,
            (_, true) => seen == self.after,
            _ => is_before || is_between || seen == self.after,
        };
        if !fits {
            let due = if prefix >= self.appended { &self.after } else { &self.before };
            return Err(format!("crashed again: {}", seen.differs(due).unwrap_or_default()));
        }
        let found = open_names(&engine, &recorded.questions)?;
        if found != names.names {
            return Err(format!("crashed again: names are {found:?}, expected {:?}", names.names));
        }
        engine.close().map_err(|error| format!("crashed again: close answers {error}"))
    }
}
