//! Models of what threads do to each other: short stories of a few threads on one engine, told again and again, each
//! time with another interleaving of their locks, atomics and waits. The crate shuttle stands in for the standard
//! library (`io/sync.rs`), runs one thread at a time and chooses who goes on; a thread that waits for what nobody will
//! do is found as a deadlock. All atomics count as sequentially consistent here: weaker orders are not explored.
//!
//! A failure prints its schedule. With it in the environment variable `SCHEDULE`, and `TURNS=1` where appenders took
//! turns, a test tells that story once more;
//! `MODELS=<n>` has each told n times by each of the two ways to choose:
//! `cargo test --package oncelog --features models --test models -- <name>`.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod stories;

use std::cell::Cell;
use std::ops::Deref;
use std::sync::Arc;

use oncelog::io::{Event, Machine, Park};
use oncelog::sim::{Bug, World, plant};
use oncelog::{
    AppendOptions, Appended, Batch, Durability, Engine, EngineOptions, ReadOptions, Record, Records, Result, Ticket,
    TopicOptions,
};
use shuttle::scheduler::{PctScheduler, RandomScheduler, ReplayScheduler, Scheduler};
use shuttle::thread;
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use stories::*;

/// Interleavings of each model, by each of the two ways to choose.
const TIMES: usize = 2_000;
/// Seeds that are tried, each by both ways to choose, until a planted mistake shows.
const HUNTS: u64 = 200;
/// Calls of a model in one interleaving, many times what any takes: beyond it somebody runs in circles.
const STEPS: usize = 100_000;
/// Switches away from a thread that could go on, of the second way to choose: few show most mistakes.
const SWITCHES: usize = 4;

thread_local! {
    /// Appenders take turns. All threads of a model run on one of the system's.
    static TURNS: Cell<bool> = const { Cell::new(false) };
}

/// Time stands still. The engine's own threads sleep until somebody rings; for anybody else a deadline is past once
/// the others were let go first.
struct Bells;

impl Park for Bells {
    fn turns(&self, _: bool) -> bool {
        TURNS.get()
    }

    fn give_way(&self) -> bool {
        thread::yield_now();
        true
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        let own = thread::current().name().is_some_and(|name| name.starts_with("oncelog-"));
        if own || deadline.is_none() {
            return event.block(seen, None);
        }
        thread::yield_now();
        event.seen() != seen
    }
}

/// Time passes for the keeper alone: it sleeps until the moment that it names, unless somebody rings first.
struct Passes(World);

impl Park for Passes {
    fn turns(&self, _: bool) -> bool {
        TURNS.get()
    }

    fn park(&self, event: &Event, seen: u64, deadline: Option<u64>) -> bool {
        let keeper = thread::current().name() == Some("oncelog-keeper");
        let Some(deadline) = deadline.filter(|_| keeper) else { return event.block(seen, None) };
        thread::yield_now();
        let moved = event.seen() != seen;
        if !moved {
            self.0.advance(deadline.saturating_sub(self.0.machine().clock.monotonic()));
        }
        moved
    }
}

/// An engine that a failed model leaves as it is: closing it would wait for threads that are not run any more.
struct Held(Option<Engine>);

impl Deref for Held {
    type Target = Engine;
    fn deref(&self) -> &Engine {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if thread::panicking() {
            std::mem::forget(self.0.take());
        }
    }
}

/// A world with topic `os` and topic `disk`, each of one partition at that level, and its engine.
fn begin(options: EngineOptions) -> (World, Arc<Held>) {
    begin_with(options, |_| Arc::new(Bells))
}

fn begin_with(options: EngineOptions, park: fn(&World) -> Arc<dyn Park>) -> (World, Arc<Held>) {
    let world = World::new(1);
    // So that what lies for ever ahead is no moment of this clock.
    world.advance(1);
    let engine = open_with(&world, options, park(&world));
    for (topic, level) in [("os", Durability::Os), ("disk", Durability::Disk)] {
        engine.create_topic(topic, TopicOptions::new().durability(level)).unwrap();
    }
    (world, Arc::new(engine))
}

fn options() -> EngineOptions {
    Engine::options().segment_bytes(64 << 10).durability(Durability::Os)
}

fn open(world: &World, options: EngineOptions) -> Held {
    open_with(world, options, Arc::new(Bells))
}

fn open_with(world: &World, options: EngineOptions, park: Arc<dyn Park>) -> Held {
    let machine = Machine { park, ..world.machine() };
    Held(Some(options.open_on(machine).unwrap()))
}

/// Places a record; its ticket.
fn append(engine: &Engine, topic: &str, value: &[u8], level: Durability) -> Result<Ticket<Appended>> {
    let mut batch = Batch::builder();
    batch.push(&Record::new(value), 1)?;
    engine.partition(topic, 0)?.append_with(&batch.build()?, AppendOptions::new().durability(level))
}

fn values(records: &Records) -> Vec<String> {
    records.iter().map(|record| String::from_utf8(record.unwrap().value().unwrap().to_vec()).unwrap()).collect()
}

/// All of a topic.
fn read(engine: &Engine, topic: &str) -> Vec<String> {
    values(&engine.partition(topic, 0).unwrap().read(0, ReadOptions::new().max_bytes(1 << 20)).unwrap())
}

/// What a log holds that was closed, or lost its power, of a topic.
fn left(world: &World, topic: &str) -> Vec<String> {
    read(&open(world, options().threads(false)), topic)
}

fn config(persistence: FailurePersistence) -> Config {
    let mut config = Config::new();
    config.stack_size = 256 << 10;
    config.max_steps = MaxSteps::FailAfter(STEPS);
    config.silence_warnings = true;
    config.failure_persistence = persistence;
    // What a failure leaves is not run on, see `Held`.
    config.ungraceful_shutdown_config.immediately_return_on_panic = true;
    config
}

/// Tells a model again and again: by chance at every call, and with few switches, at places chosen by chance. Both with
/// appenders that share their writes and with such as take turns.
fn tell(model: fn()) {
    let run =
        |scheduler: Box<dyn Scheduler + Send>| Runner::new(scheduler, config(FailurePersistence::Print)).run(model);
    if let Ok(schedule) = std::env::var("SCHEDULE") {
        TURNS.set(std::env::var_os("TURNS").is_some());
        run(Box::new(ReplayScheduler::new_from_encoded(&schedule)));
        return;
    }
    let times = std::env::var("MODELS").map_or(TIMES, |times| times.parse().unwrap());
    for turns in [false, true] {
        TURNS.set(turns);
        if turns {
            println!("appenders take turns: with the schedule goes TURNS=1");
        }
        run(Box::new(RandomScheduler::new_from_seed(1, times)));
        run(Box::new(PctScheduler::new_from_seed(1, SWITCHES, times)));
    }
}

#[test]
fn a_reader_sees_one_prefix_after_the_other_and_no_wake_up_is_lost() {
    tell(publish);
}

#[test]
fn who_gives_a_baton_up_leaves_nobody_waiting() {
    tell(hand_over);
}

#[test]
fn appenders_that_roll_never_stall() {
    tell(roll);
}

#[test]
fn zeros_ahead_never_land_on_a_frame() {
    tell(zeros);
}

#[test]
fn zeros_in_the_next_segment_never_land_on_a_frame_when_it_is_rolled_into() {
    tell(zeros_beyond);
}

#[test]
fn who_asks_for_room_holds_up_nobody_who_makes_it() {
    tell(room);
}

#[test]
fn a_close_keeps_or_refuses_and_answers_everybody() {
    tell(close);
}

#[test]
fn what_the_hint_of_a_close_speaks_of_is_flushed_whoever_drives_beside_it() {
    tell(last_words);
}

#[test]
fn what_one_thread_sends_is_answered_in_its_order() {
    tell(answers);
}

#[test]
fn what_is_refused_is_answered_in_its_order_too() {
    tell(refusals);
}

#[test]
fn what_is_stable_waits_for_decisions_and_moves_with_them() {
    tell(stable);
}

#[test]
fn none_or_all_of_a_transaction_is_below_the_stable_offset() {
    tell(moments);
}

#[test]
fn what_is_acknowledged_survives_a_power_cut_at_any_moment() {
    tell(power);
}

#[test]
fn what_is_committed_of_a_topic_is_no_position_in_one_that_is_made_again() {
    tell(namesakes);
}

#[test]
fn a_close_is_heard_by_a_poll_that_is_about_to_wait() {
    tell(hang_up);
}

#[test]
fn a_lingering_batch_is_closed_whenever_it_was_begun() {
    tell(linger);
}

#[test]
fn what_was_to_be_closed_is_closed_though_nobody_comes_again() {
    tell(hastened);
}

#[test]
fn a_failing_disk_is_heard_of_by_a_poll_that_is_about_to_wait() {
    tell(failure);
}

#[test]
fn what_is_written_is_counted() {
    tell(counted);
}

/// The model that shows a mistake.
fn made_for(bug: Bug) -> Option<fn()> {
    Some(match bug {
        Bug::AckBeforeFlush | Bug::DurableCountedAtFlushEnd => power,
        Bug::StableNotHeldBack | Bug::EndBeforeUndecided => stable,
        Bug::BoundsOfTwoMoments => moments,
        Bug::EventBeforeBaton => hand_over,
        Bug::NotifiedWithoutLock => publish,
        Bug::SettledByFlusherOnly => roll,
        Bug::EnlistedBehindClose => close,
        Bug::CallsOfManyMoments => answers,
        Bug::CloseUnheard => hang_up,
        Bug::LingerBehindLook => linger,
        Bug::WrittenBeforeCounted => counted,
        Bug::ZerosOverFrames => zeros,
        _ => return None,
    })
}

/// Whether a planted mistake shows. On a thread of its own: shuttle leaves one on which it has failed unfit for more.
fn shows(bug: Bug, model: fn(), scheduler: impl Scheduler + Send + 'static) -> bool {
    let run = move || {
        let _planted = plant(bug);
        Runner::new(scheduler, config(FailurePersistence::None)).run(model)
    };
    std::thread::spawn(run).join().is_err()
}

#[test]
fn every_mistake_between_threads_is_caught() {
    assert!(Bug::BETWEEN_THREADS.iter().all(|bug| made_for(*bug).is_some()));
    for bug in Bug::ALL {
        let Some(model) = made_for(*bug) else { continue };
        let caught = (1..=HUNTS).find(|seed| {
            shows(*bug, model, RandomScheduler::new_from_seed(*seed, 200))
                || shows(*bug, model, PctScheduler::new_from_seed(*seed, SWITCHES, 200))
        });
        let seed = caught.unwrap_or_else(|| panic!("no model shows {bug:?}"));
        println!("{bug:?}: shown with seed {seed}");
    }
}
