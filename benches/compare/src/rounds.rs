//! The rounds: every engine in turn, each measurement in a process of its own, the order turned in each round.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::engines::{ENGINES, chronicle, walrus};
use crate::machine;
use crate::measure::{FIGURE, Job};
use crate::store::{Engine, Result};
use crate::workload::{Sizes, Workload};

/// What one process measured, by name.
pub type Figures = BTreeMap<String, f64>;

/// What became of an engine in a workload.
pub enum Outcome {
    /// It cannot do it, and why.
    Lacks(&'static str),
    /// It failed, and how.
    Failed(String),
    /// A set of figures for each round.
    Measured(Vec<Figures>),
}

/// An engine's row.
pub struct Row {
    /// Whose.
    pub engine: &'static Engine,
    /// What became of it.
    pub outcome: Outcome,
}

impl Row {
    /// The median of a figure, with its lowest and highest.
    pub fn median(&self, name: &str) -> Option<(f64, f64, f64)> {
        let Outcome::Measured(rounds) = &self.outcome else { return None };
        let mut figures: Vec<f64> = rounds.iter().filter_map(|figures| figures.get(name).copied()).collect();
        figures.sort_by(f64::total_cmp);
        Some((*figures.get(figures.len() / 2)?, *figures.first()?, *figures.last()?))
    }
}

/// A workload's rows.
pub struct Table {
    /// Of which workload.
    pub workload: Workload,
    /// The load average when it began.
    pub load: f64,
    /// One for each engine.
    pub rows: Vec<Row>,
}

/// All tables.
pub fn compare(base: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    std::fs::create_dir_all(base)?;
    let mut tables = Vec::new();
    for workload in Workload::ALL {
        match workload {
            Workload::Reopen | Workload::ReopenKilled | Workload::Memory => {}
            prepared if prepared.is_prepared() => tables.push(scans(base, prepared, sizes)?),
            timed => tables.push(table(timed, sizes.rounds, |engine| {
                let dir = tempfile::tempdir_in(base)?;
                child(Job::Measure(timed), engine, dir.path())
            })),
        }
    }
    tables.extend(large(base, sizes)?);
    plain_beside_aborted(&mut tables);
    Ok(tables)
}

/// A scan past aborted records is judged by the engine's own plain one.
fn plain_beside_aborted(tables: &mut [Table]) {
    let rates = |table: &Table| {
        let rate = |row: &Row| Some((row.engine.name, row.median(FIGURE)?.0));
        table.rows.iter().filter_map(rate).collect::<BTreeMap<_, _>>()
    };
    let plain = tables.iter().find(|table| table.workload == Workload::Scan).map(rates).unwrap_or_default();
    let aborted = tables.iter_mut().filter(|table| table.workload == Workload::ScanAborted);
    for row in aborted.flat_map(|table| &mut table.rows) {
        if let (Outcome::Measured(rounds), Some(rate)) = (&mut row.outcome, plain.get(row.engine.name)) {
            rounds.iter_mut().for_each(|figures| _ = figures.insert("plain".to_owned(), *rate));
        }
    }
}

/// Runs the rounds of a workload.
fn table(workload: Workload, rounds: usize, mut once: impl FnMut(&'static Engine) -> Result<Figures>) -> Table {
    let load = machine::load();
    let outcome = |engine: &Engine| match (engine.lacks)(workload) {
        Some(reason) => Outcome::Lacks(reason),
        None => Outcome::Measured(Vec::new()),
    };
    let mut rows: Vec<Row> = ENGINES.iter().map(|engine| Row { engine, outcome: outcome(engine) }).collect();
    for round in 0..rounds {
        eprintln!("{}: round {} of {rounds}", workload.title(), round + 1);
        for turn in 0..rows.len() {
            let at = (turn + round) % rows.len();
            let row = &mut rows[at];
            let Outcome::Measured(figures) = &mut row.outcome else { continue };
            match once(row.engine) {
                Ok(measured) => figures.push(measured),
                Err(error) => {
                    eprintln!("  {}: {error}", row.engine.name);
                    row.outcome = Outcome::Failed(error.to_string());
                }
            }
        }
    }
    Table { workload, load, rows }
}

/// Logs that are filled once and read in each round.
fn scans(base: &Path, workload: Workload, sizes: &Sizes) -> Result<Table> {
    let mut logs: BTreeMap<&str, TempDir> = BTreeMap::new();
    Ok(table(workload, sizes.rounds, |engine| {
        if !logs.contains_key(engine.name) {
            let dir = tempfile::tempdir_in(base)?;
            child(Job::Fill(workload), engine, dir.path())?;
            machine::settle(dir.path())?;
            logs.insert(engine.name, dir);
        }
        let dir = logs.get(engine.name).ok_or("no log")?;
        child(Job::Measure(workload), engine, dir.path())
    }))
}

/// The large log of each engine: memory while it is made, then opening it again and again.
fn large(base: &Path, sizes: &Sizes) -> Result<Vec<Table>> {
    let mut logs: BTreeMap<&str, TempDir> = BTreeMap::new();
    let memory = table(Workload::Memory, 1, |engine| {
        let dir = tempfile::tempdir_in(base)?;
        let figures = child(Job::Measure(Workload::Memory), engine, dir.path())?;
        machine::settle(dir.path())?;
        logs.insert(engine.name, dir);
        Ok(figures)
    });
    // They take a moment each, and one flush that the device is slow with must not decide.
    let reopen = table(Workload::Reopen, 3 * sizes.rounds, |engine| {
        let dir = logs.get(engine.name).ok_or("its log could not be made")?;
        let figures = child(Job::Measure(Workload::Reopen), engine, dir.path())?;
        machine::settle(dir.path())?;
        Ok(figures)
    });
    let killed = table(Workload::ReopenKilled, sizes.rounds, |engine| {
        let dir = logs.get(engine.name).ok_or("its log could not be made")?;
        let tail = killed_tail(engine, dir.path())?;
        machine::settle(dir.path())?;
        let mut figures = child(Job::Measure(Workload::ReopenKilled), engine, dir.path())?;
        let lost = tail.get("records").unwrap_or(&0.0) + 1.0 - figures.get("records").unwrap_or(&0.0);
        figures.insert("lost".to_owned(), lost);
        Ok(figures)
    });
    Ok(vec![reopen, killed, memory])
}

fn start(job: Job, engine: &Engine, dir: &Path) -> Result<Child> {
    let mut command = match chronicle::command(job, dir) {
        Some(command) if engine.name == chronicle::ENGINE.name => command,
        _ => {
            let mut command = Command::new(std::env::current_exe()?);
            command.args(["--job", &job.name(), engine.name]).arg(dir);
            command
        }
    };
    command.env(walrus::DIRECTORY, dir).env(walrus::QUIET, "1");
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?)
}

fn parse(line: &str) -> Option<Figures> {
    line.starts_with(FIGURE).then_some(())?;
    line.split(' ').map(|word| word.split_once('=').and_then(|(k, v)| Some((k.to_owned(), v.parse().ok()?)))).collect()
}

/// Runs a job in a process of its own; ends one that takes longer than five minutes.
fn child(job: Job, engine: &Engine, dir: &Path) -> Result<Figures> {
    let mut child = start(job, engine, dir)?;
    let output = child.stdout.take().ok_or("no output")?;
    let reader = std::thread::spawn(move || {
        BufReader::new(output).lines().map_while(|line| line.ok()).filter_map(|line| parse(&line)).last()
    });
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > Duration::from_secs(300) {
            child.kill()?;
            child.wait()?;
            return Err("took longer than five minutes".into());
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    let figures = reader.join().unwrap_or_default();
    match figures {
        Some(figures) if status.success() => Ok(figures),
        _ => Err(format!("ended with {status}").into()),
    }
}

/// Lets a process append a tail, and kills it when it has.
fn killed_tail(engine: &Engine, dir: &Path) -> Result<Figures> {
    let mut child = start(Job::Tail, engine, dir)?;
    let output = child.stdout.take().ok_or("no output")?;
    let figures = BufReader::new(output).lines().map_while(|line| line.ok()).find_map(|line| parse(&line));
    child.kill()?;
    child.wait()?;
    figures.ok_or("the tail could not be appended".into())
}
