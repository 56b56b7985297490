//! The results as a page of tables.

use std::fmt::Write;
use std::time::Duration;

use crate::aims;
use crate::engines::{ENGINES, LIMIT, OUR_BATCHES, OURS, chronicle};
use crate::machine::Machine;
use crate::measure::FIGURE;
use crate::rounds::{Outcome, Row, Table};
use crate::workload::{Sizes, Unit, Workload, quick};

/// What is true of the whole run.
pub struct Run {
    /// Where it ran.
    pub machine: Machine,
    /// Median and 99th percentile of a flush, before the run and after it.
    pub flushes: [(Duration, Duration); 2],
    /// How much was done.
    pub sizes: Sizes,
    /// How long it took.
    pub time: Duration,
}

/// The page.
pub fn report(run: &Run, tables: &[Table]) -> String {
    let mut text = String::new();
    let _ = write(&mut text, run, tables);
    text
}

fn write(text: &mut String, run: &Run, tables: &[Table]) -> std::fmt::Result {
    writeln!(text, "# oncelog beside the engines a user would pick instead\n")?;
    writeln!(
        text,
        "Written by `make compare`; the program is in `benches/compare`. Its chart: [results.svg](results.svg).\n"
    )?;
    machine(text, run)?;
    summary(text, tables)?;
    behind(text, tables)?;
    missed(text, tables)?;
    for table in tables {
        rows(text, table, run)?;
    }
    settings(text)
}

fn machine(text: &mut String, run: &Run) -> std::fmt::Result {
    let Machine { cores, processor, memory, kernel, file_system, date, compiler } = &run.machine;
    writeln!(text, "**{date}**, {cores} cores of {processor}, {memory} GiB, {kernel}, {file_system}, {compiler}.")?;
    let micros = |(median, high): (Duration, Duration)| format!("{} µs ({} µs)", median.as_micros(), high.as_micros());
    let [before, after] = run.flushes.map(micros);
    let minutes = run.time.as_secs().div_ceil(60);
    writeln!(
        text,
        "A flush of 200 bytes in a file of zeros took {before} before the run and {after} after it, median (99th \
         percentile). \
         {} rounds in {minutes} minutes; the load average stands at each table, and above about 1 somebody else was \
         at work.\n",
        run.sizes.rounds
    )?;
    if quick() {
        writeln!(text, "A quick run: figures of so little work are not for keeping.\n")?;
    }
    writeln!(
        text,
        "Records are 100 random bytes. Each measurement runs in a process of its own; in each round every engine \
         has its turn, \
         and the turns begin with another one each time. Figures are medians of the rounds, the spread is the \
         lowest and the \
         highest; processor time is that of all threads of the process, which a busy machine stretches less. \
         Compare within this page only: figures move by a factor of two with the load, durable ones by three with \
         the device.\n"
    )
}

/// A row for each workload: ours, the limit, the best of the others.
fn summary(text: &mut String, tables: &[Table]) -> std::fmt::Result {
    writeln!(text, "| workload | oncelog | bare | best of the others | oncelog against it |\n|---|---|---|---|---|")?;
    for table in tables {
        let unit = table.workload.unit();
        let show = |row: Option<&Row>| median(row).map_or("–".to_owned(), |figure| amount(unit, figure));
        let ours = table.row(OURS);
        let best = table.best();
        let name = best.map_or(String::new(), |row| format!("{}: ", row.engine.name));
        let against = match (median(ours), median(best)) {
            (Some(ours), Some(best)) => compared(unit, ours, best),
            _ => "–".to_owned(),
        };
        let limit = table.row(LIMIT).filter(|_| matches!(unit, Unit::PerSecond(_)));
        writeln!(
            text,
            "| {} | {} | {} | {name}{} | {against} |",
            table.workload.title(),
            show(ours),
            show(limit),
            show(best)
        )?;
    }
    writeln!(text)
}

/// Every engine that is ahead of ours somewhere, with the reason.
fn behind(text: &mut String, tables: &[Table]) -> std::fmt::Result {
    writeln!(text, "Where another engine is ahead:\n")?;
    let mut none = true;
    for table in tables {
        let (unit, Some(ours)) = (table.workload.unit(), median(table.row(OURS))) else { continue };
        for row in table.others() {
            let Some(theirs) = median(Some(row)).filter(|theirs| ratio(unit, ours, *theirs) < 1.0) else { continue };
            let (name, title) = (row.engine.name, table.workload.title());
            let differs = (row.engine.differs)(table.workload).map(|text| format!(" ({text})")).unwrap_or_default();
            let reason = aims::reason(table.workload, name).unwrap_or("no reason known");
            let times = 1.0 / ratio(unit, ours, theirs);
            writeln!(text, "- {title}: {name}{differs}, by a factor of {times:.2}: {reason}.")?;
            none = false;
        }
    }
    if none {
        writeln!(text, "- nowhere in this run.")?;
    }
    writeln!(text)
}

fn rows(text: &mut String, table: &Table, run: &Run) -> std::fmt::Result {
    let unit = table.workload.unit();
    writeln!(text, "## {}\n\n{} {}", table.workload.title(), table.workload.text(), size(table.workload, &run.sizes))?;
    writeln!(text, "Load average {:.1}.\n", table.load)?;
    let what = match unit {
        Unit::PerSecond(what) => format!("{what} a second"),
        Unit::Microseconds => "time".to_owned(),
        Unit::Mebibytes => "not file-backed".to_owned(),
    };
    let rates = matches!(unit, Unit::PerSecond(_));
    let (title, line) = if rates { (" processor time each |", "---|") } else { ("", "") };
    writeln!(text, "| engine | {what} | lowest to highest |{title} oncelog against it | aim | |")?;
    writeln!(text, "|---|---|---|{line}---|---|---|")?;
    let blank = if rates { " |" } else { "" };
    let ours = median(table.row(OURS));
    for row in &table.rows {
        let name = row.engine.name;
        let note = notes(row, table.workload);
        match (&row.outcome, row.median(FIGURE)) {
            // What the machine can do at all is shown where it says something.
            (Outcome::Lacks(_), _) if row.engine.package.is_empty() => {}
            (Outcome::Lacks(reason), _) => writeln!(text, "| {name} | – | |{blank} | | {reason} |")?,
            (Outcome::Failed(how), _) => writeln!(text, "| {name} | failed | |{blank} | | {how} |")?,
            (_, Some((figure, low, high))) => {
                let figure_text = amount(unit, figure);
                let spread = format!("{} to {}", amount(unit, low), amount(unit, high));
                let processor = row.median("processor").map(|(micros, ..)| format!(" {} |", processor(micros)));
                let processor = processor.unwrap_or(blank.to_owned());
                let against = ours.filter(|_| name != OURS).map_or(String::new(), |ours| compared(unit, ours, figure));
                let aim = aim(table, row, figure);
                writeln!(text, "| {name} | {figure_text} | {spread} |{processor} {against} | {aim} | {note} |")?;
            }
            _ => {}
        }
    }
    writeln!(text)
}

fn processor(micros: f64) -> String {
    if micros >= 1.0 { format!("{micros:.1} µs") } else { format!("{:.0} ns", micros * 1e3) }
}

/// What else was measured in a row, and what the engine promises less.
fn notes(row: &Row, workload: Workload) -> String {
    let figure = |name: &str| row.median(name).map(|(median, ..)| median);
    let mut notes: Vec<String> = Vec::new();
    match workload {
        Workload::Durable1 | Workload::Durable8 | Workload::TransactionDurable => {
            notes.extend(figure("per-flush").map(|count| format!("{count:.1} a flush")));
        }
        Workload::Append8 => {
            let alone = figure("alone");
            let rate = figure(FIGURE);
            notes.extend(
                rate.zip(alone)
                    .map(|(rate, alone)| format!("one thread {}, eight are {:.2} ×", number(alone), rate / alone)),
            );
        }
        Workload::Reopen | Workload::ReopenKilled => {
            notes.extend(figure("open").map(|micros| format!("open alone {}", amount(Unit::Microseconds, micros))));
            notes.extend(figure("lost").filter(|lost| *lost != 0.0).map(|lost| format!("{lost} records were lost")));
        }
        Workload::Memory => {
            let parts = [("written", "before the scan"), ("most", "at most"), ("peak", "peak of all pages")];
            notes
                .extend(parts.iter().filter_map(|(name, what)| figure(name).map(|mib| format!("{what} {mib:.0} MiB"))));
        }
        _ => {}
    }
    notes.extend((row.engine.differs)(workload).map(str::to_owned));
    notes.join("; ")
}

/// The aim of a row, and whether it was reached.
fn aim(table: &Table, row: &Row, figure: f64) -> String {
    let reached = |part: f64| match part {
        part if part >= 1.0 => "reached".to_owned(),
        part => format!("**missed by {:.0} %**", (1.0 - part) * 100.0),
    };
    let mut aims = table.parts(row).into_iter();
    let Some((aim, part)) = aims.next() else { return String::new() };
    // An engine may be closer to what the machine can do than the aim has it.
    let limits = [(LIMIT, "the bare pwrite"), (OUR_BATCHES, "the bare pwrite of the same batches")];
    // A level whose answer is no system call is not bound by what one takes.
    let limits = limits.iter().filter(|_| table.workload != Workload::AppendMemory);
    let rates = limits.filter_map(|(name, what)| Some((median(table.row(name))? / figure, *what)));
    let lowest = rates.min_by(|(one, _), (other, _)| one.total_cmp(other));
    let lowest = lowest.filter(|(limit, _)| part < 1.0 && table.factor(row).is_some_and(|factor| factor > *limit));
    let beyond = lowest.map_or(String::new(), |(limit, what)| format!(", out of reach here: {what} is {limit:.2} ×"));
    let others: String = aims.map(|(aim, part)| format!("; {aim}: {}", reached(part))).collect();
    format!("{aim}: {}{beyond}{others}", reached(part))
}

/// Where an aim is missed, where the time goes.
fn missed(text: &mut String, tables: &[Table]) -> std::fmt::Result {
    writeln!(text, "Where an aim is missed, what takes the time:\n")?;
    for table in tables {
        let missed = table.rows.iter().flat_map(|row| table.parts(row)).any(|(_, part)| part < 1.0);
        if let Some(gap) = aims::gap(table.workload).filter(|_| missed) {
            writeln!(text, "- {}: {gap}.", table.workload.title())?;
        }
    }
    writeln!(text)
}

fn size(workload: Workload, sizes: &Sizes) -> String {
    let (count, what) = match workload {
        Workload::Append1 | Workload::AppendMemory => (sizes.append, "records"),
        Workload::Append8 => (sizes.append / 2, "records each time"),
        Workload::Append100 => (sizes.batched, "records"),
        Workload::Durable1 => (sizes.durable, "commits"),
        Workload::Durable8 => (4 * sizes.durable, "commits"),
        Workload::Transaction => (sizes.transactions, "transactions"),
        Workload::TransactionDurable => (sizes.durable_transactions, "transactions"),
        Workload::Scan | Workload::ScanAborted => (sizes.scan, "records"),
        Workload::Reopen | Workload::Memory => (sizes.large, "records"),
        Workload::ReopenKilled => {
            return format!(
                "{} records, and {} more each time.",
                number(sizes.large as f64),
                number(sizes.tail as f64)
            );
        }
    };
    format!("{} {what}.", number(count as f64))
}

fn settings(text: &mut String) -> std::fmt::Result {
    writeln!(text, "## Settings\n\n| engine | version | set to |\n|---|---|---|")?;
    for engine in ENGINES {
        writeln!(text, "| {} | {} | {} |", engine.name, version(engine.package), engine.settings)?;
    }
    Ok(())
}

/// The version that the lock file names; of RocksDB the one it was linked with.
fn version(package: &str) -> String {
    if package == "rocksdb" {
        return rocksdb();
    }
    if package == chronicle::PACKAGE {
        return chronicle::version().to_owned();
    }
    locked(package).to_owned()
}

/// The library's own version stands behind the plus of its bindings', or in the header of the one that is installed.
fn rocksdb() -> String {
    let Some(dir) = option_env!("ROCKSDB_LIB_DIR") else {
        return locked("librocksdb-sys").split('+').next_back().unwrap_or_default().to_owned();
    };
    let header = std::fs::read_to_string("/usr/include/rocksdb/version.h").unwrap_or_default();
    let part = |name: &str| header.split(&format!("#define {name} ")).nth(1).and_then(|rest| rest.lines().next());
    let parts: Vec<&str> = ["ROCKSDB_MAJOR", "ROCKSDB_MINOR", "ROCKSDB_PATCH"].into_iter().filter_map(part).collect();
    format!("{} of {dir}", parts.join("."))
}

fn locked(package: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let found = lock.split_once(&format!("name = \"{package}\"\nversion = \"")).map(|(_, rest)| rest);
    found.and_then(|rest| rest.split('"').next()).unwrap_or_default()
}

fn median(row: Option<&Row>) -> Option<f64> {
    row?.median(FIGURE).map(|(median, ..)| median)
}

/// How many times better ours is.
fn ratio(unit: Unit, ours: f64, theirs: f64) -> f64 {
    match unit {
        Unit::PerSecond(_) => ours / theirs,
        _ => theirs / ours,
    }
}

fn compared(unit: Unit, ours: f64, theirs: f64) -> String {
    match (unit, ratio(unit, ours, theirs)) {
        (Unit::Mebibytes, _) => format!("{:+.0} MiB", ours - theirs),
        (_, ratio) if ratio >= 10.0 => format!("{ratio:.0} ×"),
        (_, ratio) if ratio < 0.1 => format!("{ratio:.3} ×"),
        (_, ratio) => format!("{ratio:.2} ×"),
    }
}

fn amount(unit: Unit, figure: f64) -> String {
    match unit {
        Unit::PerSecond(_) => number(figure),
        Unit::Microseconds if figure >= 10_000.0 => format!("{:.0} ms", figure / 1e3),
        Unit::Microseconds => format!("{:.2} ms", figure / 1e3),
        Unit::Mebibytes => format!("{figure:.0} MiB"),
    }
}

/// Three digits that matter, with the field's letters for thousands and millions.
pub fn number(figure: f64) -> String {
    let (scaled, letter) = match figure {
        f if f >= 1e6 => (f / 1e6, " M"),
        f if f >= 1e3 => (f / 1e3, " K"),
        f => (f, ""),
    };
    let digits = if scaled >= 100.0 {
        0
    } else if scaled >= 10.0 {
        1
    } else {
        2
    };
    format!("{scaled:.digits$}{letter}")
}

impl Table {
    /// An engine's row.
    pub fn row(&self, name: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.engine.name == name)
    }

    /// Rows of the other engines; what the machine can do is none.
    pub fn others(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.engine.name != OURS && !row.engine.package.is_empty())
    }

    /// How many times an engine's rate is aimed at.
    fn factor(&self, row: &Row) -> Option<f64> {
        aims::factors(self.workload).iter().find(|(name, _)| *name == row.engine.name).map(|(_, factor)| *factor)
    }

    /// The aims of a row, and which part of each was reached.
    fn parts(&self, row: &Row) -> Vec<(String, f64)> {
        let Some(figure) = median(Some(row)) else { return Vec::new() };
        if row.engine.name != OURS {
            let aimed = self.factor(row).zip(median(self.row(OURS)));
            return aimed.map(|(factor, ours)| (format!("≥ {factor} ×"), ours / figure / factor)).into_iter().collect();
        }
        let beside = |name: &str| row.median(name).map(|(median, ..)| median);
        let most = aims::most(self.workload);
        let most = most.map(|most| (format!("≤ {}", amount(self.workload.unit(), most)), most / figure));
        let other =
            match self.workload {
                Workload::Append8 => beside("alone")
                    .map(|alone| (format!("≥ {} × one thread", aims::EIGHT), figure / alone / aims::EIGHT)),
                Workload::ScanAborted => beside("plain")
                    .map(|plain| (format!("≥ {} × the plain scan", aims::ABORTED), figure / plain / aims::ABORTED)),
                Workload::Durable8 => beside("per-flush")
                    .map(|count| (format!("≥ {} commits a flush", aims::PER_FLUSH), count / aims::PER_FLUSH)),
                Workload::Memory => beside("peak")
                    .map(|mib| (format!("peak ≤ {}", amount(Unit::Mebibytes, aims::PEAK)), aims::PEAK / mib)),
                _ => None,
            };
        most.into_iter().chain(other).collect()
    }

    /// The best of the others.
    pub fn best(&self) -> Option<&Row> {
        let unit = self.workload.unit();
        let measured = self.others().filter_map(|row| median(Some(row)).map(|figure| (row, figure)));
        measured.max_by(|(_, a), (_, b)| ratio(unit, *a, *b).total_cmp(&1.0)).map(|(row, _)| row)
    }
}
