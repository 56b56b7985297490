//! Starts the children, listens to them, kills them, starts them again; then asks for the proof.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
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

/// The whole job in a new directory. Answers whether everything is proved.
pub fn run(directory: &Path, delivery: Delivery) -> Fallible<bool> {
    create(directory)?;
    let total = rows::sent(&rows::file()?).len() as u64;
    let mut progress = Progress::new(2 * total);
    let load = job("loader", directory, delivery, total, &mut |n| progress.show("load", n))?;
    let work = job("worker", directory, delivery, total, &mut |n| progress.show("work", total + n))?;
    progress.end();

    let mut table = Table::new();
    tell(&mut table, delivery, total, &load, &work);
    let engine = Engine::open(directory)?;
    proof::prove(&mut table, &engine, delivery)?;
    engine.close()?;
    Ok(table.print())
}

/// Makes the topics. The directory must be new: an old one holds an older run's results.
fn create(directory: &Path) -> Fallible<()> {
    std::fs::create_dir_all(directory)?;
    if std::fs::read_dir(directory)?.next().is_some() {
        return Err(format!("{} is not empty: give a new directory", directory.display()).into());
    }
    let engine = Engine::open(directory)?;
    let topics = [("transactions", worker::PARTITIONS), ("ledger", worker::PARTITIONS), ("transfers", 1)];
    for (topic, partitions) in topics.into_iter().chain([("transactions.dlt", 1)]) {
        engine.create_topic(topic, TopicOptions::new().partitions(partitions))?;
    }
    Ok(engine.close()?)
}

/// Runs one child until it is done, however often it is killed.
fn job(name: &str, directory: &Path, delivery: Delivery, total: u64, progress: &mut dyn FnMut(u64)) -> Fallible<Tally> {
    let start = Instant::now();
    let mut plan = Plan::new(total);
    let mut tally = Tally::default();
    while !life(name, directory, delivery, &mut plan, &mut tally, progress)? {}
    tally.time = start.elapsed();
    Ok(tally)
}

/// One life of a child. Answers true if it ended by itself because everything is done.
fn life(
    name: &str,
    directory: &Path,
    delivery: Delivery,
    plan: &mut Plan,
    tally: &mut Tally,
    progress: &mut dyn FnMut(u64),
) -> Fallible<bool> {
    let mut child = Command::new(std::env::current_exe()?)
        .arg(directory)
        .args([delivery.name(), name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
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
