//! Random frames, sensible and absurd: a state that was snapshot, encoded and loaded goes on exactly as the one it was
//! taken from, and a snapshot never changes.

use super::*;
use crate::format::control::{Begun, PartitionsAdded, PendingHead, Recovered};
use crate::format::decision::{Cause, Decided, DecisionHead, Ended, Span};
use crate::limits::COUNT_MAX;
use crate::types::{Identity, TimestampType};

/// A small generator (splitmix64), so that a seed repeats a run for ever.
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, bound: u32) -> u32 {
        u32::try_from(self.next() % u64::from(bound)).expect("below a u32")
    }
    fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }
    /// A transaction's: what is greater is refused where it is read.
    fn count(&mut self, bound: u32) -> u64 {
        self.number(bound).min(COUNT_MAX)
    }
    /// Mostly small, sometimes an edge of the type.
    fn number(&mut self, bound: u32) -> u64 {
        const EDGES: [u64; 6] = [u64::MAX, u64::MAX - 1, 1 << 63, (1 << 63) - 1, u32::MAX as u64, i32::MAX as u64];
        if self.one_in(40) { EDGES[self.below(6) as usize] } else { u64::from(self.below(bound)) }
    }
    fn u32(&mut self, bound: u32) -> u32 {
        u32::try_from(self.number(bound) & u64::from(u32::MAX)).expect("masked")
    }
    fn i32(&mut self, bound: u32) -> i32 {
        self.u32(bound).cast_signed()
    }
    fn i64(&mut self, bound: u32) -> i64 {
        self.number(bound).cast_signed().wrapping_sub(i64::from(self.one_in(10)))
    }
    fn i16(&mut self, bound: u32) -> i16 {
        const EDGES: [i16; 5] = [-1, i16::MIN, i16::MAX, 32_766, 32_765];
        if self.one_in(30) { EDGES[self.below(5) as usize] } else { i16::try_from(self.below(bound)).unwrap_or(0) }
    }
}

const NAMES: [&str; 9] = ["a", "b", "c", "d", "e", "f", "g", "", "a longer name, never a topic's"];

#[derive(Debug)]
enum Step {
    Frame(Payload<'static>),
    Gathered(Gathered<'static>),
    Offsets(Vec<OffsetEntry<'static>>),
    Pending(PendingHead, Vec<OffsetEntry<'static>>),
    Decision(Decided, Vec<Span>, Vec<OffsetEntry<'static>>),
}

impl Step {
    fn apply(&self, state: &mut State, lsn: Lsn) {
        match self {
            Step::Frame(payload) => state.apply(lsn, payload),
            Step::Gathered(frame) => frame.apply(state, lsn),
            Step::Offsets(entries) => with_offsets(entries, |block| state.apply(lsn, &Payload::Offsets(block))),
            Step::Pending(head, entries) => with_offsets(entries, |offsets| {
                state.apply(lsn, &Payload::PendingOffsets { head: *head, offsets });
            }),
            Step::Decision(decided, spans, entries) => with_offsets(entries, |offsets| {
                let mut head = Vec::new();
                decided.write(&mut head, spans);
                let head = DecisionHead::read(&head).expect("just written");
                state.apply(lsn, &Payload::Decision { head, offsets });
            }),
        }
    }
}

/// Mostly one of the first partitions that are there.
fn some_instance(dice: &mut Dice, state: &State) -> Instance {
    let nth = dice.below(40) as usize;
    let live = state.topics().flat_map(|topic| topic.instances(0).take(40)).nth(nth);
    live.filter(|_| !dice.one_in(5)).unwrap_or(dice.u32(60))
}

/// Mostly an id that is registered, as raw or as named.
fn some_id(dice: &mut Dice, state: &State, raw: bool) -> i64 {
    let nth = dice.below(4) as usize;
    let known = if raw {
        state.producers.raw.iter().map(|(_, raw)| raw.producer_id).nth(nth)
    } else {
        state.producers().map(|named| named.producer_id).nth(nth)
    };
    known.filter(|_| !dice.one_in(5)).unwrap_or(dice.i64(12))
}

fn random_offsets(dice: &mut Dice) -> Vec<OffsetEntry<'static>> {
    let entry = |dice: &mut Dice| OffsetEntry {
        group: NAMES[dice.below(9) as usize],
        topic: id(NAMES[dice.below(7) as usize]).0,
        partition: dice.u32(40),
        offset: dice.number(1_000),
        leader_epoch: dice.i32(3),
        metadata: NAMES[dice.below(9) as usize],
    };
    (0..dice.below(6)).map(|_| entry(dice)).collect()
}

fn random_batch(dice: &mut Dice, state: &State) -> BatchHeader {
    let mut batch = batch(some_id(dice, state, true), dice.i16(2), dice.i32(20), dice.i32(9));
    batch.base_offset = dice.i64(500);
    batch.last_offset_delta = dice.i32(9);
    batch.max_timestamp = dice.i64(1_000);
    if dice.one_in(3) {
        batch.producer_id = some_id(dice, state, false);
        batch.attributes = if dice.one_in(4) { 0 } else { 0x10 };
        batch.base_sequence = if dice.one_in(3) { -1 } else { batch.base_sequence };
    }
    batch
}

fn random_decision(dice: &mut Dice, state: &State) -> Step {
    let open = state.open_from(dice.number(400)).copied();
    let open = open.filter(|_| !dice.one_in(6));
    let (id, epoch) = (some_id(dice, state, false), dice.i16(4));
    let producer = open.map_or((id, epoch), |open| (open.producer_id, open.epoch));
    let number = open.map_or_else(|| dice.count(400), |open| open.number);
    let raised = state.raised(producer.0).map_or((dice.i64(30), dice.i16(4)), |i| (i.producer_id, i.epoch));
    let decided = Decided {
        producer,
        ended: if dice.one_in(2) { Ended::Commit } else { Ended::Abort },
        cause: [Cause::Owner, Cause::Timeout, Cause::Fence, Cause::Reopen, Cause::Number][dice.below(5) as usize],
        number,
        position: if dice.one_in(2) { None } else { Some(dice.number(100)) },
        next: [producer, raised, (dice.i64(30), dice.i16(4))][dice.below(3) as usize],
    };
    Step::Decision(decided, state.open_spans(number), random_offsets(dice))
}

fn random_step(dice: &mut Dice, state: &State) -> Step {
    let sane = |dice: &mut Dice| if dice.one_in(8) { dice.u32(5_000) } else { state.next_instance() };
    Step::Frame(match dice.below(40) {
        0 | 1 => {
            let name = NAMES[dice.below(9) as usize];
            let topic = id(NAMES[dice.below(7) as usize]).0;
            let partitions = if dice.one_in(10) { dice.u32(3_000) } else { dice.below(6) };
            let (durability, partition_kind) = (dice.below(5) as u8, dice.below(2) as u8);
            let first_instance = sane(dice);
            let timestamp_type = [TimestampType::CreateTime, TimestampType::LogAppendTime][dice.below(2) as usize];
            let config = TopicConfig { timestamp_type };
            let head = TopicCreated { topic, first_instance, partitions, durability, partition_kind, name, config };
            Payload::TopicCreated(head)
        }
        2 if dice.one_in(3) => Payload::TopicDeleted(TopicDeleted { topic: id(NAMES[dice.below(7) as usize]).0 }),
        3 => {
            let topic = id(NAMES[dice.below(7) as usize]).0;
            Payload::PartitionsAdded(PartitionsAdded {
                topic,
                first_instance: sane(dice),
                count: dice.u32(5),
                first_partition: dice.below(8),
                reserved: 0,
            })
        }
        4 | 5 => Payload::ProducerOpened(ProducerOpened {
            producer_id: dice.i64(30),
            previous_id: dice.i64(12),
            epoch: dice.i16(4),
            last_epoch: dice.i16(4),
            timeout_ms: dice.u32(9),
            name: if dice.one_in(2) { "" } else { NAMES[dice.below(4) as usize] },
        }),
        7 if dice.one_in(3) => Payload::ProducerDeleted(ProducerDeleted { producer_id: dice.number(12) }),
        8 if dice.one_in(3) => Payload::ProducerExpired(ProducerDeleted { producer_id: dice.number(12) }),
        9 => Payload::Opened(Opened {
            incarnation: dice.next(),
            first_number: dice.number(1_000),
            numbers: dice.number(1_000),
            first_producer_id: if dice.one_in(50) { dice.number(99) } else { 5 },
            wall_ms: 0,
        }),
        10 => [Payload::Mark, Payload::Skipped, Payload::Recovered(Recovered::default())][dice.below(3) as usize],
        11 | 12 => return Step::Offsets(random_offsets(dice)),
        13..=18 => {
            let part = |dice: &mut Dice| (some_instance(dice, state), dice.number(500), dice.u32(9));
            let parts = (0..dice.below(5)).map(|_| part(dice)).collect();
            let (producer, number) = ((some_id(dice, state, false), dice.i16(4)), dice.count(400));
            let position = if dice.one_in(3) { None } else { Some(dice.number(100)) };
            return Step::Gathered(Gathered { producer, number, position, parts, offsets: random_offsets(dice) });
        }
        19..=22 => Payload::Begun(Begun {
            producer_id: some_id(dice, state, false).cast_unsigned(),
            epoch: dice.i16(4).cast_unsigned(),
            flags: dice.below(4) as u16,
            timeout_ms: dice.u32(9),
            number: dice.count(400),
            wall_ms: dice.number(9),
        }),
        23 | 24 => {
            let number = state.open_from(dice.number(400)).map_or(dice.count(9), |open| open.number);
            return Step::Pending(PendingHead { number, producer_id: dice.number(9) }, random_offsets(dice));
        }
        25..=27 => return random_decision(dice, state),
        _ => Payload::Records { instance: some_instance(dice, state), batch: random_batch(dice, state) },
    })
}

/// Asks everything there is to ask: no answer may panic.
fn ask_all(state: &State, dice: &mut Dice) -> String {
    let (batch, instance, name) =
        (random_batch(dice, state), some_instance(dice, state), NAMES[dice.below(9) as usize]);
    let mut said = String::new();
    let mut say = |answer: &dyn std::fmt::Debug| said.push_str(&format!("{answer:?}\n"));
    say(&state.check_batch(instance, &batch));
    say(&state.check_place(instance, batch.last_offset_delta));
    say(&state.check_producer(batch.producer_id, batch.epoch));
    say(&state.check_create_topic(name, &TopicOptions::new().partitions(dice.u32(9))));
    say(&state.check_add_partitions(name, dice.u32(9)));
    let (id, _, epoch) = next_producer(state, name);
    assert!(id >= 0 && epoch <= crate::limits::PRODUCER_EPOCH_MAX);
    assert_eq!(state.partition_of(instance).is_some(), state.end(instance).is_some());
    let named = state.partition_of(instance).map(|(topic, number)| (&topic.name, number));
    say(&(state.start(instance), state.end(instance), named, state.live_partitions()));
    for group in state.groups() {
        assert!(state.group_offsets(group).all(|c| state.committed(group, c.topic, c.partition) == Some(c)));
        say(&(group, state.group_offsets(group).collect::<Vec<_>>()));
    }
    let (topic, partition) = (self::id(NAMES[dice.below(7) as usize]), dice.below(6));
    say(&(state.committed(name, topic, partition), state.is_pending(name, topic, partition)));
    let mut raw = Vec::new();
    say(&state.raw_producers(dice.u32(200), 10, |id, _| raw.push(id)));
    say(&raw);
    let (mut active, mut next) = (Vec::new(), Some(ActiveFrom::Batches(0)));
    while let Some(from) = next {
        next = state.active_in(instance, from, 100, |producer| active.push(producer));
    }
    say(&active);
    said + &ask_of_transactions(state, dice)
}

fn ask_of_transactions(state: &State, dice: &mut Dice) -> String {
    let identity = Identity { producer_id: some_id(dice, state, false), epoch: dice.i16(4) };
    let (number, instance) = (dice.number(400), some_instance(dice, state));
    let name = NAMES[dice.below(4) as usize];
    let mut said = String::new();
    let mut say = |answer: &dyn std::fmt::Debug| said.push_str(&format!("{answer:?}\n"));
    say(&(state.check_opening(name, Some(identity)), state.check_end(identity, dice.one_in(2))));
    let sent =
        |partition| OffsetEntry { group: name, topic: id("a").0, partition, offset: 1, leader_epoch: 0, metadata: "" };
    say(&(check_sent(state, identity, &[sent(0), sent(1), sent(2)]), state.find_decision(number, 0, 10)));
    say(&state.check_stream((identity.producer_id, identity.epoch), number, dice.one_in(2), instance));
    say(&state.transactions.weight());
    let mut next = 0;
    while let Some(open) = state.open_from(next) {
        let spans = state.open_spans(open.number);
        let mut pending = state.open_pending(open.number);
        pending.sort_unstable();
        say(&(open, &spans, pending));
        assert!(spans.iter().all(|span| span.first < span.end && state.name_of(span.instance).is_some()));
        for span in spans {
            let undecided: Vec<_> = state.undecided_in(span.instance).collect();
            assert!(undecided.contains(&(open.producer_id, span.first)));
        }
        next = match open.number.checked_add(1) {
            Some(next) => next,
            None => break,
        };
    }
    assert_eq!(state.has_undecided(), state.open_from(0).is_some());
    said
}

/// One that is swept now and then, a little at a time; one that is swept after each frame; and some that were loaded
/// from what the first one wrote.
fn run(seed: u64) {
    let mut dice = Dice(seed);
    let (mut state, mut swept) = (State::default(), State::default());
    let mut followers: Vec<State> = Vec::new();
    let mut kept: Vec<(Snapshot, Vec<Vec<u8>>)> = Vec::new();
    for lsn in 1..=600 {
        let step = random_step(&mut dice, &state);
        step.apply(&mut state, lsn);
        step.apply(&mut swept, lsn);
        assert!(swept.sweep(usize::MAX));
        followers.iter_mut().for_each(|follower| step.apply(follower, lsn));
        if dice.one_in(4) {
            let asked = dice.0;
            let said = ask_all(&state, &mut dice);
            let other = ask_all(&swept, &mut Dice(asked));
            let differing = said.lines().zip(other.lines()).find(|(one, other)| one != other);
            assert_eq!((differing, said.len()), (None, other.len()), "what is gone is to be seen");
        }
        if dice.one_in(6) {
            state.sweep(dice.below(8) as usize);
            followers.iter_mut().for_each(|follower| _ = follower.sweep(dice.below(8) as usize));
        }
        if dice.one_in(60) {
            state.sweep(usize::MAX);
            let snapshot = state.snapshot();
            assert_eq!(digest(&swept), parts(&snapshot), "what was swept when is to be seen");
            followers.push(reload(&state));
            kept.push((state.snapshot(), parts(&snapshot)));
        }
    }
    state.sweep(usize::MAX);
    let end = digest(&state);
    for follower in &mut followers {
        follower.sweep(usize::MAX);
        assert_eq!(digest(follower), end, "a loaded state went another way");
    }
    for (snapshot, before) in &kept {
        assert_eq!(parts(snapshot), *before, "a snapshot was changed by a later frame");
    }
}

#[test]
fn a_loaded_state_goes_on_exactly_as_the_one_it_was_taken_from() {
    let (first, count) = match std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()) {
        Some(seed) => (seed, 1),
        None => (1, 200),
    };
    for seed in first..first + count {
        println!("seed {seed}; repeat: SEED={seed} cargo test -p oncelog --lib state::tests::random");
        run(seed);
    }
}
