//! Starts the children, listens to them, kills them, starts them again; then asks for the proof.
//!
//! # How to write the children in another language
//!
//! The parent makes the log with its four topics, writes the input, and starts `<program> [arguments]` with four more:
//!
//! ```text
//! <log>       the log's directory, which holds the topics already
//! <delivery>  exactly-once, at-least-once or at-most-once
//! <child>     loader or worker
//! <csv>       the input: bytes, each line ended by one newline, no line of headings; line n, counted from 1,
//!             has position n; some lines are malformed, one is empty, one is not UTF-8
//! ```
//!
//! A child says these lines on stdout, each ended by a newline and flushed at once, and nothing else (stderr is free).
//! `n` counts lines of the input.
//!
//! ```text
//! opening      before it opens the log
//! ready n      the log is open; n lines are done
//! resent r s   only the loader, and only if n is above 0: of s lines sent again r were answered as duplicates
//! begin n      a group begins that reaches up to line n
//! half n       half of what makes the group is done; then it reads one line from stdin, "go", before the other half
//! committed n  the group is durable
//! done         the log is closed; the process ends with status 0
//! ```
//!
//! It may be killed at any moment, and is then started again with the same words. If stdin ends it gives up. The
//! program must be the process itself: a script in between would be killed in its place.
//!
//! *The loader* (loader.rs) has a producer named `loader` on the topic `transactions`. Each line is a record: the
//! value is the line, the position its number, the key its second column (columns are split at `;`), none if that is
//! missing or empty. Where it stood the producer's position says. From there, and after `ready`, it sends the last 100
//! lines again; then groups of 100, in each `half` behind the sends, `committed` behind the flush.
//!
//! *The worker* (worker.rs) reads the four partitions of `transactions` in the group `bank`, 50 records at most in a
//! poll, from the earliest record on; the sum of its positions is n. Its results go to `ledger`, `transfers` and
//! `transactions.dlt`; rows.rs says what a line means, `worker::transform` what becomes of it. Each poll is a group:
//!
//! ```text
//! exactly-once   begin a transaction (id bank-worker) bound to the consumer, poll, begin, send, half, commit,
//!                committed
//! at-least-once  poll, begin, send and flush, half, commit the consumer's positions, committed
//! at-most-once   poll, begin, commit the consumer's positions, half, send and flush, committed
//! ```
//!
//! It is done when its lag is zero.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use oncelog::{Engine, TopicOptions};

use crate::kills::{KILLS, Moment, Plan};
use crate::report::Line;
use crate::table::{Progress, Table};
use crate::{Delivery, Fallible, proof, rows, table, worker};

/// What became of one child over all its lives.
#[derive(Default)]
pub struct Tally {
    /// Times it was killed.
    pub kills: u64,
    /// Kills after a begin whose committed never came.
    pub between: u64,
    /// Kills while it opened the log.
    pub opening: u64,
    /// Groups committed, `found` included.
    pub committed: u64,
    /// Groups whose committed was never heard, but which the next life found committed.
    pub found: u64,
    /// Groups begun that the next life found undone.
    pub aborted: u64,
    /// Lines sent again after a restart.
    pub resent: u64,
    /// How many of them were refused as duplicates.
    pub refused: u64,
    /// The group that a kill cut short, until the next life says how far it came.
    open: Option<u64>,
    /// From the first start to the last end.
    pub time: Duration,
}

/// What the children work on, and the program that they are.
struct Job<'a> {
    log: PathBuf,
    csv: PathBuf,
    delivery: Delivery,
    program: &'a [OsString],
    /// Lines of the input.
    total: u64,
}

/// The whole job in a new directory. Answers whether everything is proved.
pub fn run(directory: &Path, delivery: Delivery, program: &[OsString]) -> Fallible<bool> {
    let job = create(directory, delivery, program)?;
    let total = job.total;
    let mut progress = Progress::new(2 * total);
    let load = job.run("loader", &mut |n| progress.show("load", n))?;
    let work = job.run("worker", &mut |n| progress.show("work", total + n))?;
    progress.end();

    let mut table = Table::new();
    tell(&mut table, delivery, total, &load, &work);
    let engine = Engine::open(&job.log)?;
    proof::prove(&mut table, &engine, delivery)?;
    engine.close()?;
    Ok(table.print())
}

/// Makes the topics and the input. The directory must be new: an old one holds an older run's results.
fn create<'a>(directory: &Path, delivery: Delivery, program: &'a [OsString]) -> Fallible<Job<'a>> {
    std::fs::create_dir_all(directory)?;
    if std::fs::read_dir(directory)?.next().is_some() {
        return Err(format!("{} is not empty: give a new directory", directory.display()).into());
    }
    let (log, csv) = (directory.join("log"), directory.join("transactions.csv"));
    let engine = Engine::open(&log)?;
    let topics = [("transactions", worker::PARTITIONS), ("ledger", worker::PARTITIONS), ("transfers", 1)];
    for (topic, partitions) in topics.into_iter().chain([("transactions.dlt", 1)]) {
        engine.create_topic(topic, TopicOptions::new().partitions(partitions))?;
    }
    engine.close()?;
    let file = rows::file()?;
    let lines = rows::sent(&file);
    let mut text = lines.join(&b'\n');
    text.push(b'\n');
    std::fs::write(&csv, text)?;
    Ok(Job { log, csv, delivery, program, total: lines.len() as u64 })
}

impl Job<'_> {
    /// Runs one child until it is done, however often it is killed.
    fn run(&self, name: &str, progress: &mut dyn FnMut(u64)) -> Fallible<Tally> {
        let start = Instant::now();
        let mut plan = Plan::new(self.total);
        let mut tally = Tally::default();
        while !life(self.start(name)?, name, &mut plan, &mut tally, progress)? {}
        tally.time = start.elapsed();
        Ok(tally)
    }

    fn start(&self, name: &str) -> Fallible<Child> {
        let [program, arguments @ ..] = self.program else { return Err("the children have no program".into()) };
        let mut command = Command::new(program);
        command.args(arguments).arg(&self.log).args([self.delivery.name(), name]).arg(&self.csv);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        started.map_err(|error| format!("{} cannot be started: {error}", program.display()).into())
    }
}

/// One life of a child. Answers true if it ended by itself because everything is done.
fn life(
    mut child: Child,
    name: &str,
    plan: &mut Plan,
    tally: &mut Tally,
    progress: &mut dyn FnMut(u64),
) -> Fallible<bool> {
    let (Some(mut answers), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err("a child has no pipes".into());
    };
    let mut killed = None;
    let mut done = false;
    // After a kill this reads on to the end of the pipe: what the child had said before it died counts.
    for line in BufReader::new(stdout).lines() {
        let line: Line = line?.parse()?;
        tally.hear(line);
        done |= line == Line::Done;
        if let Line::Ready(n) | Line::Committed(n) = line {
            progress(n);
        }
        if killed.is_none() {
            killed = answer(line, plan, &mut child, &mut answers)?;
        }
    }
    let status = child.wait()?;
    match killed {
        Some(moment) => tally.bury(moment),
        None if !done || !status.success() => return Err(format!("the {name} ended by itself: {status}").into()),
        None => {}
    }
    Ok(killed.is_none())
}

/// Kills the child if the plan says so, else lets it go on where it waits.
fn answer(line: Line, plan: &mut Plan, child: &mut Child, answers: &mut ChildStdin) -> Fallible<Option<Moment>> {
    let due = plan.due(line);
    if matches!(line, Line::Half(_)) && !matches!(due, Some((Moment::Half, _))) {
        answers.write_all(b"go\n")?;
    }
    let Some((moment, late)) = due else { return Ok(None) };
    let start = Instant::now();
    while start.elapsed() < late {
        std::thread::yield_now();
    }
    child.kill()?;
    Ok(Some(moment))
}

impl Tally {
    fn hear(&mut self, line: Line) {
        match line {
            Line::Ready(n) => match self.open.take() {
                Some(group) if group <= n => {
                    self.found += 1;
                    self.committed += 1;
                }
                Some(_) => self.aborted += 1,
                None => {}
            },
            Line::Resent { refused, sent } => {
                self.refused += refused;
                self.resent += sent;
            }
            Line::Begin(n) => self.open = Some(n),
            Line::Committed(_) => {
                self.open = None;
                self.committed += 1;
            }
            Line::Opening | Line::Half(_) | Line::Done => {}
        }
    }

    fn bury(&mut self, moment: Moment) {
        self.kills += 1;
        match moment {
            Moment::Opening => self.opening += 1,
            _ => self.between += u64::from(self.open.is_some()),
        }
    }
}

/// The first half of the table: what was done to the children.
fn tell(table: &mut Table, delivery: Delivery, total: u64, load: &Tally, work: &Tally) {
    let number = table::number;
    table.title(&format!("{}, {} lines", delivery.name(), number(total)), "loader", "worker");
    let mut both = |name: &str, value: fn(&Tally) -> u64| table.row(name, number(value(load)), number(value(work)));
    both("kills (SIGKILL)", |tally| tally.kills);
    both("  between begin and committed", |tally| tally.between);
    both("  while opening the log", |tally| tally.opening);
    let (groups, cut) = match delivery {
        Delivery::ExactlyOnce => ("groups, transactions committed", "groups, transactions aborted by a kill"),
        _ => ("groups committed", "groups begun in vain"),
    };
    both(groups, |tally| tally.committed);
    both("  killed before they could say so", |tally| tally.found);
    both(cut, |tally| tally.aborted);
    let speed = |tally: &Tally| number((total as f64 / tally.time.as_secs_f64()) as u64);
    table.row("records per second, restarts included", speed(load), speed(work));

    table.title("proof", "found", "expected");
    let enough = load.kills >= KILLS && work.kills >= KILLS;
    table.check("kills", number(load.kills + work.kills), number(2 * KILLS), enough);
    for (name, tally) in [("loader", load), ("worker", work)] {
        let name = format!("{name} kills between begin and committed");
        let half = tally.kills.div_ceil(2);
        table.check(&name, number(tally.between), format!(">= {}", number(half)), tally.between >= half);
    }
    let all = load.resent > 0 && load.refused == load.resent;
    table.check("resent lines refused as duplicates", number(load.refused), number(load.resent), all);
}
