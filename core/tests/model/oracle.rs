//! The oracle: what a log that was opened again may show, given the history. One function per invariant; each returns
//! what it saw, in words.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use oncelog::{Appended, Bounds, Durability, Offset, TransactionStatus};

use super::*;

/// How the life before this opening ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// `close` returned Ok: nothing is lost.
    Close,
    /// The process died, or the engine was poisoned: what was written stays.
    Kill,
    /// The power failed: what was flushed stays.
    Cut,
}

/// A partition read from its start to its end: offset and bytes of each record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSeen {
    pub bounds: Bounds,
    pub committed: Vec<(Offset, Vec<u8>)>,
    pub uncommitted: Vec<(Offset, Vec<u8>)>,
}

/// A topic as it is listed, with its partitions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSeen {
    pub id: TopicId,
    pub level: Option<Durability>,
    pub partitions: Vec<PartitionSeen>,
}

/// Everything that an opened log answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    pub topics: BTreeMap<String, TopicSeen>,
    /// What groups committed, for every partition that was asked about.
    pub offsets: BTreeMap<(String, String, u32), Option<Offset>>,
    /// Those of them for which an open transaction will commit another offset.
    pub unstable: BTreeSet<(String, String, u32)>,
    /// Positions of names, if they were asked.
    pub positions: BTreeMap<String, Option<u64>>,
    /// Transactions by number: committed or not. Forgotten ones are left out.
    pub decisions: BTreeMap<u64, bool>,
    /// Raw transactions by number, and those that were to be committed.
    pub statuses: BTreeMap<u64, TransactionStatus>,
    /// What groups have committed once a raw transaction that is open has committed what it has pending, by number.
    pub pending: BTreeMap<u64, BTreeMap<Cell, Option<String>>>,
    /// Who holds each transactional id of raw transactions, if that was asked.
    pub holders: BTreeMap<String, Option<String>>,
}

impl Observation {
    fn is_open(&self, number: u64) -> bool {
        self.statuses.get(&number) == Some(&TransactionStatus::Open)
    }
}

/// What speaks for each operation's survival, and what against it.
#[derive(Default)]
pub struct Evidence {
    present: Vec<Vec<String>>,
    absent: Vec<Vec<String>>,
}

/// Checks everything, and on success settles the history.
pub fn recovered(history: &mut History, loss: Loss, seen: &Observation) -> Result<(), Vec<String>> {
    let mut faults = Vec::new();
    adopt_ids(history, seen);
    let found = i2_nothing_that_was_never_sent(history, seen, &mut faults);
    i3_offsets_dense_and_in_order(history, seen, &mut faults);
    i5_isolation(history, seen, &mut faults);
    i6_bounds(history, seen, &mut faults);
    i6_nothing_is_open(history, seen, &mut faults);
    i10_unstable(history, seen, &mut faults);
    let evidence = Evidence::gather(history, seen, &found, &mut faults);
    i1_acknowledged_is_there(history, loss, &evidence, &mut faults);
    i4_whole_or_absent(history, &evidence, &mut faults);
    i7_seen_stays(history, loss, &evidence, &mut faults);
    i9_fenced_never_writes(history, &evidence, &mut faults);
    i13_refused_is_absent(history, &found, &mut faults);
    prefix(history, &evidence, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let kept = evidence.conclude(history, seen)?;
    history.settle(&kept);
    for (part, partition) in partitions(history, seen) {
        for (offset, bytes) in &partition.uncommitted {
            history.saw(&part, *offset, bytes, Durability::Disk).map_err(|fault| vec![fault])?;
        }
    }
    Ok(())
}

type Found = HashMap<(OpId, usize), Vec<(usize, Offset)>>;

/// A topic whose creation had no answer tells its id only now.
fn adopt_ids(history: &mut History, seen: &Observation) {
    for (name, topic) in &seen.topics {
        let known: Vec<OpId> = history.topic_ids.values().copied().collect();
        let cell = Cell::Topic(name.clone());
        let creators = history.setters(&cell).filter(|(id, text)| {
            text.as_ref().is_some_and(|text| TopicState::parse(text).born == *id) && !known.contains(id)
        });
        if let (false, Some((creator, _))) = (history.topic_ids.contains_key(&topic.id), creators.last()) {
            history.topic_ids.insert(topic.id, creator);
        }
    }
}

/// The observed partitions of topics whose creation is known.
fn partitions<'a>(history: &History, seen: &'a Observation) -> Vec<(Part, &'a PartitionSeen)> {
    let mut all = Vec::new();
    for (name, topic) in &seen.topics {
        let Some(born) = history.topic_ids.get(&topic.id) else { continue };
        let part = |number| Part { topic: name.clone(), born: *born, number };
        all.extend(topic.partitions.iter().enumerate().map(|(number, partition)| (part(number as u32), partition)));
    }
    all
}

/// What the log answers for a cell; `None` if it was not asked or cannot be told.
fn observed(history: &History, seen: &Observation, cell: &Cell) -> Option<Option<String>> {
    match cell {
        Cell::Topic(name) => Some(seen.topics.get(name).map(|t| {
            let born = history.topic_ids.get(&t.id).copied().unwrap_or(OpId::MAX);
            TopicState { born, partitions: t.partitions.len() as u32, level: t.level }.text()
        })),
        Cell::Offset(group, topic, partition) => {
            let answer = seen.offsets.get(&(group.clone(), topic.clone(), *partition))?;
            Some(answer.map(|offset| offset.to_string()))
        }
        Cell::Position(name) => Some(seen.positions.get(name)?.map(|p| p.to_string())),
        Cell::Decision(number) => Some(seen.decisions.get(number)?.then(|| "committed".to_owned())),
        Cell::Holder(name) => seen.holders.get(name).cloned(),
        Cell::Registration(_) => None,
    }
}

/// After how many of a cell's setters it holds what was observed: every answer is one that some prefix explains.
fn candidates(
    history: &History,
    cell: &Cell,
    setters: &[(OpId, &Option<String>)],
    observed: &Option<String>,
) -> Vec<usize> {
    let after = |k: usize| if k == 0 { &None } else { setters[k - 1].1 };
    let explains = |k: &usize| match cell {
        Cell::Holder(_) => raw::shows(after(*k), observed, &history.kept),
        _ => after(*k) == observed,
    };
    (0..=setters.len()).filter(explains).collect()
}

/// True if the transactional id of the raw transaction that `id` begins was deleted later, by an operation that may
/// have survived: who holds the id now may be one that came after it.
fn may_be_forgotten(history: &History, seen: &Observation, id: OpId) -> bool {
    let mut cells = history.ops[id].sets.iter().map(|(cell, _)| cell).filter(|cell| matches!(cell, Cell::Holder(_)));
    cells.any(|cell| {
        let setters: Vec<_> = history.setters(cell).collect();
        let most = match observed(history, seen, cell) {
            Some(value) => candidates(history, cell, &setters, &value).pop().unwrap_or(0),
            None => setters.len(),
        };
        setters[..most].iter().any(|(later, value)| *later > id && value.is_none())
    })
}

/// I2: every record is one that was sent, in the partition it was sent to. Returns where each was found.
fn i2_nothing_that_was_never_sent(history: &History, seen: &Observation, faults: &mut Vec<String>) -> Found {
    let mut found = Found::new();
    for (part, partition) in partitions(history, seen) {
        for (offset, bytes) in &partition.uncommitted {
            match history.owners.get(bytes) {
                Some(&(id, w, r)) if history.ops[id].writes[w].part == part => {
                    found.entry((id, w)).or_default().push((r, *offset));
                }
                Some(&(id, ..)) => faults.push(format!("I2: {part} offset {offset} shows {}", history.name(id))),
                None => faults.push(format!("I2: {part} offset {offset}: nobody sent {:?}", short(bytes))),
            }
        }
    }
    let stray = seen.topics.iter().filter(|(_, topic)| !history.topic_ids.contains_key(&topic.id));
    faults.extend(stray.map(|(name, _)| format!("I2: nobody created topic {name}")));
    found
}

/// I3: offsets count up without a hole, hold one record each, once, in the order of the journal.
fn i3_offsets_dense_and_in_order(history: &History, seen: &Observation, faults: &mut Vec<String>) {
    for (part, partition) in partitions(history, seen) {
        let records = &partition.uncommitted;
        let mut before: Option<(OpId, usize, usize)> = None;
        let mut met = FxHashMap::default();
        for (n, (offset, bytes)) in records.iter().enumerate() {
            if *offset != partition.bounds.start + n as u64 {
                faults.push(format!("I3: {part} record {n} from the start has offset {offset}"));
            }
            if let Some(twin) = met.insert(bytes, *offset) {
                faults.push(format!("I3: {part} holds one record twice, at {twin} and {offset}: {:?}", short(bytes)));
            }
            let Some(&owner) = history.owners.get(bytes) else { continue };
            let behind = |last: &(OpId, usize, usize)| {
                let torn = owner.0 == last.0 && owner.2 != last.2 + 1;
                torn || history.ops[owner.0].surely_before(&history.ops[last.0])
            };
            if let Some(last) = before.replace(owner).filter(behind) {
                let (early, late) = (history.name(owner.0), history.name(last.0));
                faults.push(format!("I3: {part} offset {offset}: {early} lies behind {late}"));
            }
        }
        if records.len() as u64 != partition.bounds.end - partition.bounds.start {
            faults.push(format!("I3: {part} shows {} records within {:?}", records.len(), partition.bounds));
        }
    }
}

/// I5: read_committed shows what read_uncommitted shows, in the same places, less the records of transactions that are
/// not committed. Whether those of a commit without an answer are shown is evidence for it or against it. From the
/// stable offset on nothing is shown.
fn i5_isolation(history: &History, seen: &Observation, faults: &mut Vec<String>) {
    for (part, partition) in partitions(history, seen) {
        let mut shown = partition.committed.iter().peekable();
        for record in &partition.uncommitted {
            let here = shown.next_if(|next| *next == record).is_some();
            let streamed = history.streamed_for(&record.1);
            let stable = record.0 < partition.bounds.stable;
            if here && (history.is_hidden(&record.1) || !stable) {
                faults.push(format!(
                    "I5: {part} offset {} shows what is not committed: {:?}",
                    record.0,
                    short(&record.1)
                ));
            } else if !here && streamed.is_none() && stable {
                faults.push(format!("I5: {part} offset {} hides {:?}", record.0, short(&record.1)));
            }
        }
        faults.extend(shown.next().map(|(offset, _)| format!("I5: {part} offset {offset} is shown out of place")));
    }
}

/// I6: start <= stable <= end, and stable is the first record of a transaction that is open, or the end.
fn i6_bounds(history: &History, seen: &Observation, faults: &mut Vec<String>) {
    for (part, partition) in partitions(history, seen) {
        let open = |bytes| {
            let of = history.streamed_for(bytes);
            of.is_some_and(|number| seen.is_open(number))
        };
        let bounds = partition.bounds;
        let first = partition.uncommitted.iter().find(|(_, bytes)| open(bytes));
        let due = first.map_or(bounds.end, |(offset, _)| *offset);
        if bounds.start > bounds.stable || bounds.stable != due {
            faults.push(format!("I6: {part} has {bounds:?}; stable is what lies below {due}"));
        }
    }
}

/// I6: what the last life left open is aborted before anything is served, but for what is kept.
fn i6_nothing_is_open(history: &History, seen: &Observation, faults: &mut Vec<String>) {
    let open = seen.statuses.keys().filter(|number| seen.is_open(**number) && !history.kept.contains(number));
    faults.extend(open.map(|number| format!("I6: transaction {number} of an earlier life is open")));
}

/// I10: what a group committed is kept back only for a transaction that is open and sent another offset.
fn i10_unstable(history: &History, seen: &Observation, faults: &mut Vec<String>) {
    for key in &seen.unstable {
        let (group, topic, partition) = key.clone();
        let cell = Cell::Offset(group, topic, partition);
        if !seen.pending.keys().any(|number| !sent(history, seen, *number, &cell).is_empty()) {
            faults.push(format!("I10: {cell:?} is not told, and no open transaction sent another offset"));
        }
    }
}

/// What a transaction sent for a group's offset, oldest first, as far as it may be there and its topic is.
fn sent<'a>(history: &'a History, seen: &Observation, number: u64, cell: &Cell) -> Vec<&'a raw::Pending> {
    let alive = |p: &&raw::Pending| {
        let Cell::Offset(_, topic, _) = &p.cell else { return false };
        let born = seen.topics.get(topic).and_then(|topic| history.topic_ids.get(&topic.id));
        p.number == number && p.cell == *cell && history.ops[p.op].counts() && born == Some(&p.born)
    };
    history.pending.iter().filter(alive).collect()
}

impl Evidence {
    /// Looks for every operation in everything it should have done.
    fn gather(history: &History, seen: &Observation, found: &Found, faults: &mut Vec<String>) -> Evidence {
        let count = history.ops.len();
        let mut evidence = Evidence { present: vec![Vec::new(); count], absent: vec![Vec::new(); count] };
        for (id, op) in history.ops.iter().enumerate().filter(|(_, op)| op.counts()) {
            for (w, write) in op.writes.iter().enumerate() {
                let same_life = |t: &&TopicSeen| history.topic_ids.get(&t.id) == Some(&write.part.born);
                if let Some(topic) = seen.topics.get(&write.part.topic).filter(same_life) {
                    evidence.of_write(topic, id, write, found.get(&(id, w)).map_or(&[], Vec::as_slice));
                }
            }
        }
        evidence.of_commits(history, seen);
        evidence.of_raw(history, seen);
        evidence.of_decisions(history, seen);
        evidence.of_pending(history, seen);
        for cell in history.cells() {
            let Some(value) = observed(history, seen, &cell) else { continue };
            let setters: Vec<_> = history.setters(&cell).collect();
            let fits = candidates(history, &cell, &setters, &value);
            let (Some(least), Some(most)) = (fits.first(), fits.last()) else {
                let which = if matches!(cell, Cell::Offset(..)) { "I10" } else { "I4" };
                faults.push(format!("{which}: {cell:?} is {value:?}, but was set, by operation, to {setters:?}"));
                continue;
            };
            for (k, (id, set)) in setters.iter().enumerate() {
                if k < *least {
                    evidence.present[*id].push(format!("{cell:?} is {value:?}"));
                } else if k >= *most {
                    evidence.absent[*id].push(format!("{cell:?} is {value:?}, not {set:?}"));
                }
            }
        }
        evidence
    }

    /// A commit of records that lie in the log already shows them, all of them.
    fn of_commits(&mut self, history: &History, seen: &Observation) {
        for (part, partition) in partitions(history, seen) {
            for (offset, bytes) in &partition.uncommitted {
                let of = history.streamed_for(bytes);
                let Some(commit) = of.and_then(|number| history.commit_of(number)) else { continue };
                if *offset >= partition.bounds.stable {
                    continue;
                }
                let shown = partition.committed.binary_search_by_key(offset, |(at, _)| *at).is_ok();
                let evidence = if shown { &mut self.present } else { &mut self.absent };
                evidence[commit].push(format!("{part} offset {offset} is shown: {shown}"));
            }
        }
    }

    /// A raw transaction that was begun is open if it is kept, else decided by now, and that is remembered under its
    /// id.
    fn of_raw(&mut self, history: &History, seen: &Observation) {
        for (id, op) in history.ops.iter().enumerate().filter(|(_, op)| op.counts()) {
            let Some(status) = op.begins.and_then(|number| seen.statuses.get(&number)) else { continue };
            match status {
                TransactionStatus::Forgotten if may_be_forgotten(history, seen, id) => {}
                TransactionStatus::Forgotten => self.absent[id].push("its status is Forgotten".to_owned()),
                _ => self.present[id].push(format!("its status is {status:?}")),
            }
        }
    }

    /// What is open is not decided, and what is decided is not decided otherwise.
    fn of_decisions(&mut self, history: &History, seen: &Observation) {
        for (id, op) in history.ops.iter().enumerate().filter(|(_, op)| op.counts()) {
            let Some((number, commit)) = op.decides else { continue };
            let status = seen.statuses.get(&number);
            let due = if commit { TransactionStatus::Committed } else { TransactionStatus::Aborted };
            match status {
                None | Some(TransactionStatus::Forgotten) => {}
                // Who aborted it does not show: the opening does so too.
                Some(status) if *status == due && !commit => {}
                Some(status) if *status == due => self.present[id].push(format!("{number} is {status:?}")),
                Some(status) => self.absent[id].push(format!("{number} is {status:?}")),
            }
        }
    }

    /// An offset that was sent takes the place of what was sent or committed before, once its transaction commits.
    fn of_pending(&mut self, history: &History, seen: &Observation) {
        for (number, cell, value) in seen.pending.iter().flat_map(|(n, all)| all.iter().map(move |(c, v)| (n, c, v))) {
            let Cell::Offset(group, topic, partition) = cell else { continue };
            let unstable = seen.unstable.contains(&(group.clone(), topic.clone(), *partition));
            let sent = sent(history, seen, *number, cell);
            let mine = sent.iter().rposition(|p| Some(&p.value) == value.as_ref());
            let setter = history.setters(cell).filter(|(_, set)| *set == value).last();
            let since = match (mine, setter, value) {
                (Some(at), ..) => history.ops[sent[at].op].from,
                (None, Some((id, _)), Some(value)) => history.sent_at(cell, value, id),
                _ => 0,
            };
            for (n, p) in sent.iter().enumerate() {
                if mine.is_some_and(|at| n <= at) {
                    self.present[p.op].push(format!("{number} has {cell:?} pending, {value:?}"));
                } else if !unstable || history.ops[p.op].from > since {
                    self.absent[p.op].push(format!("{number} leaves {cell:?} at {value:?}, not {}", p.value));
                }
            }
        }
    }

    fn of_write(&mut self, topic: &TopicSeen, id: OpId, write: &Write, at: &[(usize, Offset)]) {
        let (part, all, here) = (&write.part, write.records.len(), at.len());
        if let Some((_, first)) = at.first() {
            self.present[id].push(format!("{here} of {all} records in {part} from offset {first}"));
            if write.first.is_some_and(|told| told != *first) {
                self.absent[id].push(format!("its records in {part} were at {:?}, not {first}", write.first));
            }
        }
        if here < all {
            let end = topic.partitions.get(part.number as usize).map(|p| p.bounds.end);
            self.absent[id].push(format!("{} of {all} records miss in {part}, end {end:?}", all - here));
        }
    }

    /// True: it survived; false: it did not; None: nothing tells.
    fn verdict(&self, id: OpId) -> Option<bool> {
        match (self.present[id].is_empty(), self.absent[id].is_empty()) {
            (false, _) => Some(true),
            (true, false) => Some(false),
            (true, true) => None,
        }
    }

    /// Decides for every operation, also those that left no trace of their own (a topic created and deleted again):
    /// what lies before a survivor survived, what lies behind a lost one is lost, and each cell needs one prefix.
    fn conclude(&self, history: &History, seen: &Observation) -> Result<Vec<Option<bool>>, Vec<String>> {
        let start = |(id, op): (OpId, &Op)| if op.fate == Fate::Kept { Some(true) } else { self.verdict(id) };
        let mut kept: Vec<Option<bool>> = history.ops.iter().enumerate().map(start).collect();
        loop {
            let before = kept.clone();
            for (id, op) in history.ops.iter().enumerate().filter(|(_, op)| op.fate == Fate::Open && op.counts()) {
                let open = || before.iter().zip(&history.ops).filter(|(_, o)| o.fate == Fate::Open);
                if open().any(|(k, o)| *k == Some(true) && op.surely_before(o)) {
                    kept[id] = kept[id].or(Some(true));
                } else if open().any(|(k, o)| *k == Some(false) && o.surely_before(op)) {
                    kept[id] = kept[id].or(Some(false));
                }
            }
            for cell in history.cells() {
                let Some(value) = observed(history, seen, &cell) else { continue };
                let setters: Vec<_> = history.setters(&cell).collect();
                let agrees = |k: &usize| {
                    setters.iter().enumerate().all(|(n, (id, _))| kept[*id].is_none_or(|kept| kept == (n < *k)))
                };
                let Some(most) = candidates(history, &cell, &setters, &value).into_iter().rfind(agrees) else {
                    return Err(vec![format!("I4: no prefix of the journal explains {cell:?} = {value:?}")]);
                };
                setters.iter().enumerate().for_each(|(n, (id, _))| kept[*id] = Some(n < most));
            }
            if before == kept {
                return Ok(kept);
            }
        }
    }
}

/// True if what has reached `level` survives `loss`.
fn survives(level: Option<Durability>, loss: Loss) -> bool {
    match level {
        None => false,
        Some(Durability::Memory) => loss < Loss::Kill,
        Some(Durability::Os) => loss < Loss::Cut,
        Some(_) => true,
    }
}

/// Names every operation that must be there and of which something is missing.
fn missing(history: &History, evidence: &Evidence, which: &str, faults: &mut Vec<String>, must: impl Fn(&Op) -> bool) {
    for id in (0..history.ops.len()).filter(|id| history.ops[*id].counts() && must(&history.ops[*id])) {
        let absent = evidence.absent[id].join("; ");
        faults.extend((!absent.is_empty()).then(|| format!("{which} {}: {absent}", history.name(id))));
    }
}

/// I1: what was acknowledged is there, at its offset, as it was sent. After a clean close everything is.
fn i1_acknowledged_is_there(history: &History, loss: Loss, evidence: &Evidence, faults: &mut Vec<String>) {
    let closed = |op: &Op| loss == Loss::Close && op.answer != Answer::Indeterminate;
    let must = |op: &Op| closed(op) || survives(op.acked, loss);
    missing(history, evidence, &format!("I1: lost by a {loss:?}:"), faults, must);
}

/// I4 and I10: over partitions, offsets, position and decision, an operation is there whole or not at all; so a group's
/// offset moves only with its commit.
fn i4_whole_or_absent(history: &History, evidence: &Evidence, faults: &mut Vec<String>) {
    for id in 0..history.ops.len() {
        let (present, absent) = (evidence.present[id].join("; "), evidence.absent[id].join("; "));
        if !present.is_empty() && !absent.is_empty() {
            let offsets = evidence.present[id].iter().chain(&evidence.absent[id]).any(|e| e.starts_with("Offset"));
            let which = if offsets { "I4, I10" } else { "I4" };
            faults.push(format!("{which}: half of {} is there: {present}; but: {absent}", history.name(id)));
        }
    }
}

/// I7: what a reader was shown is there, at its offset, for as long as its level promises, over any number of crashes.
fn i7_seen_stays(history: &History, loss: Loss, evidence: &Evidence, faults: &mut Vec<String>) {
    let which = format!("I7: a reader saw, and a {loss:?} took:");
    missing(history, evidence, &which, faults, |op| survives(op.seen, loss));
}

/// I8: a retry of an acknowledged raw batch answers with the original's offsets and writes nothing.
pub fn i8_retry_finds_original(history: &History, id: OpId, answer: &Appended) -> Result<(), String> {
    let write = &history.ops[id].writes[0];
    let (first, count) = (write.first, write.records.len() as u64);
    if answer.duplicate && Some(answer.first) == first && answer.last == answer.first + count - 1 {
        return Ok(());
    }
    Err(format!("I8: a retry of {} at offset {first:?} with {count} records answered {answer:?}", history.name(id)))
}

/// I9: a handle that was fenced when the call was made has neither an acknowledgement nor a trace in the log.
fn i9_fenced_never_writes(history: &History, evidence: &Evidence, faults: &mut Vec<String>) {
    for (id, op) in history.ops.iter().enumerate() {
        let Some((name, opening)) = &op.handle else { continue };
        let fence = history.openings[name].get(*opening as usize);
        let wrote = op.answer == Answer::Acked || !evidence.present[id].is_empty();
        if let Some(fence) = fence.filter(|fence| **fence < op.from && wrote) {
            faults.push(format!("I9: {} by opening {opening}, fenced since step {fence}", history.name(id)));
        }
    }
}

/// I11 and I12: two observations (or directories) that must be the same.
pub fn same<T: PartialEq>(which: &str, old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Result<(), String> {
    let differs = |key: &&String| old.get(*key) != new.get(*key);
    let name = |key: &String| format!("{which}: {key} differs (was there: {})", old.contains_key(key));
    old.keys().chain(new.keys()).find(differs).map_or(Ok(()), |key| Err(name(key)))
}

/// I13: an error that says nothing happened was true, for ever; so was the loss that an earlier recovery found.
fn i13_refused_is_absent(history: &History, found: &Found, faults: &mut Vec<String>) {
    for ((id, _), at) in found.iter().filter(|((id, _), _)| !history.ops[*id].counts()) {
        faults.push(format!("I13: {} is in the log at offset {}", history.name(*id), at[0].1));
    }
}

/// What survives is a prefix of the journal: nothing is lost that lies before a survivor.
fn prefix(history: &History, evidence: &Evidence, faults: &mut Vec<String>) {
    let open = |kept: bool| {
        let decided = move |id: &OpId| evidence.verdict(*id) == Some(kept);
        (0..history.ops.len()).filter(|id| history.ops[*id].fate == Fate::Open).filter(decided)
    };
    for lost in open(false) {
        if let Some(kept) = open(true).find(|kept| history.ops[lost].surely_before(&history.ops[*kept])) {
            let (lost, kept) = (history.name(lost), history.name(kept));
            faults.push(format!("no prefix: {lost} is gone, but {kept}, which came later, is there"));
        }
    }
}
