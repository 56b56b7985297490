//! One measurement, in a process of its own: nothing of an earlier one is left in it.

use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::store::{Engine, Level, Result, Store};
use crate::values::{SIZE, Seen, Values};
use crate::workload::{Sizes, Workload};

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Job {
    /// Measures.
    Measure(Workload),
    /// Fills a log for the scans.
    Fill(Workload),
    /// Appends a tail and waits to be killed.
    Tail,
}

impl Job {
    /// Its name on the command line.
    pub fn name(self) -> String {
        match self {
            Job::Measure(workload) => workload.name().to_owned(),
            Job::Fill(workload) => format!("fill-{}", workload.name()),
            Job::Tail => "tail".to_owned(),
        }
    }

    /// The job of a name.
    pub fn named(name: &str) -> Option<Job> {
        let fills = Workload::ALL.into_iter().map(Job::Fill);
        Workload::ALL.into_iter().map(Job::Measure).chain(fills).chain([Job::Tail]).find(|job| job.name() == name)
    }
}

/// Figures with their names; the first is the one the table is about.
pub type Figures = Vec<(&'static str, f64)>;

/// The name of the figure that the table is about.
pub const FIGURE: &str = "figure";

/// Does a job and prints its figures.
pub fn run(job: Job, engine: &Engine, dir: &Path) -> Result<()> {
    let sizes = Sizes::new();
    let values = Values::new();
    let figures = match job {
        Job::Tail => return tail(engine, dir, &values, &sizes),
        Job::Fill(workload) => fill(engine, dir, &values, sizes.scan, workload == Workload::ScanAborted)?,
        Job::Measure(workload) => measure(workload, engine, dir, &values, &sizes)?,
    };
    print(&figures)
}

fn print(figures: &Figures) -> Result<()> {
    let words: Vec<String> = figures.iter().map(|(name, figure)| format!("{name}={figure}")).collect();
    // An engine may have left a line of its own unfinished.
    println!("\n{}", words.join(" "));
    std::io::stdout().flush()?;
    Ok(())
}

fn measure(workload: Workload, engine: &Engine, dir: &Path, values: &Values, sizes: &Sizes) -> Result<Figures> {
    let open = |level| (engine.open)(dir, level);
    match workload {
        Workload::Append1 => appends(&*open(Level::Os)?, values, sizes.append, 1, 1),
        Workload::AppendMemory => appends(&*open(Level::Memory)?, values, sizes.append, 1, 1),
        Workload::Append100 => appends(&*open(Level::Os)?, values, sizes.batched, 100, 1),
        Workload::Append8 => {
            let store = open(Level::Os)?;
            let alone = appends(&*store, values, sizes.append / 2, 1, 1)?;
            let mut figures = appends(&*store, values, sizes.append / 2, 1, 8)?;
            figures.extend(alone.first().map(|(_, rate)| ("alone", *rate)));
            Ok(figures)
        }
        Workload::Durable1 => appends(&*open(Level::Disk)?, values, sizes.durable, 1, 1),
        Workload::Durable8 => appends(&*open(Level::Disk)?, values, 4 * sizes.durable, 1, 8),
        Workload::Transaction => transactions(&*open(Level::Os)?, values, sizes.transactions),
        Workload::TransactionDurable => transactions(&*open(Level::Disk)?, values, sizes.durable_transactions),
        Workload::Scan => scan(&*open(Level::Os)?, values, sizes.scan, false),
        Workload::ScanAborted => scan(&*open(Level::Os)?, values, sizes.scan, true),
        Workload::Reopen | Workload::ReopenKilled => reopen(engine, dir, values),
        Workload::Memory => memory(engine, dir, values, sizes.large),
    }
}

/// `threads` append `records` in batches; a fiftieth before that is not counted.
fn appends(store: &dyn Store, values: &Values, records: u64, batch: usize, threads: u64) -> Result<Figures> {
    let each = records / batch as u64 / threads;
    for turn in 0..each / 50 {
        store.append(values.batch(turn, batch))?;
    }
    let before = Before::look(store)?;
    let work = |thread: u64| (0..each).try_for_each(|turn| store.append(values.batch(thread * each + turn, batch)));
    if threads == 1 {
        work(0)?;
    } else {
        std::thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
            running.into_iter().try_for_each(|thread| thread.join().unwrap_or(Err("a thread panicked".into())))
        })?;
    }
    before.rate(each * threads * batch as u64, store)
}

fn transactions(store: &dyn Store, values: &Values, count: u64) -> Result<Figures> {
    for turn in 0..count / 50 {
        store.transaction(values.batch(turn, 100), turn)?;
    }
    let before = Before::look(store)?;
    for turn in 0..count {
        store.transaction(values.batch(turn, 100), turn)?;
    }
    before.rate(count, store)
}

/// The clocks and counters when the work begins.
struct Before {
    flushes: Option<u64>,
    processor: Duration,
    begin: Instant,
}

impl Before {
    fn look(store: &dyn Store) -> Result<Before> {
        Ok(Before { flushes: store.flushes(), processor: processor_time()?, begin: Instant::now() })
    }

    /// What the work came to.
    fn rate(&self, count: u64, store: &dyn Store) -> Result<Figures> {
        let time = self.begin.elapsed();
        let processor = processor_time()?.saturating_sub(self.processor);
        let mut figures = vec![(FIGURE, count as f64 / time.as_secs_f64())];
        figures.push(("processor", processor.as_secs_f64() * 1e6 / count as f64));
        if let (Some(before), Some(after)) = (self.flushes, store.flushes()) {
            figures.push(("per-flush", count as f64 / (after - before).max(1) as f64));
        }
        Ok(figures)
    }
}

/// Processor time of the process so far, all its threads together, in steps of 10 ms.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The program's name may hold anything; behind its bracket comes the third field, and times are the 14th and 15th.
    let (_, fields) = stat.rsplit_once(") ").ok_or("no fields")?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<std::result::Result<u64, _>>()?;
    Ok(Duration::from_millis(ticks * 10))
}

/// Every tenth batch is aborted if that is asked for.
fn fill(engine: &Engine, dir: &Path, values: &Values, records: u64, aborts: bool) -> Result<Figures> {
    let store = (engine.open)(dir, Level::Os)?;
    for turn in 0..records / 100 {
        if aborts && turn % 10 == 9 {
            store.abort(values.batch(turn, 100))?;
        } else {
            store.append(values.batch(turn, 100))?;
        }
        if turn % 1_000 == 999 {
            store.checkpoint()?;
        }
    }
    store.checkpoint()?;
    Ok(vec![(FIGURE, records as f64)])
}

/// What was read must be what was written.
fn scan(store: &dyn Store, values: &Values, records: u64, aborts: bool) -> Result<Figures> {
    let before = Before::look(store)?;
    let seen = store.scan()?;
    let figures = before.rate(seen.records, store)?;
    let mut expected = Seen::default();
    for turn in (0..records / 100).filter(|turn| !aborts || turn % 10 != 9) {
        values.batch(turn, 100).iter().for_each(|value| expected.take(value));
    }
    if seen != expected {
        return Err(format!("read {seen:?}, not {expected:?}").into());
    }
    Ok(figures)
}

fn reopen(engine: &Engine, dir: &Path, values: &Values) -> Result<Figures> {
    let begin = Instant::now();
    let store = (engine.open)(dir, Level::Os)?;
    let opened = begin.elapsed();
    let records = store.last()?;
    store.append(values.batch(0, 1))?;
    let all = begin.elapsed();
    if store.last()? != records + 1 {
        return Err("the record behind the last one is not there".into());
    }
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    store.checkpoint()?;
    Ok(vec![(FIGURE, micros(all)), ("open", micros(opened)), ("records", records as f64 + 1.0)])
}

/// Opens, appends a tail, says so, and waits for its end.
fn tail(engine: &Engine, dir: &Path, values: &Values, sizes: &Sizes) -> Result<()> {
    let store = (engine.open)(dir, Level::Os)?;
    let before = store.last()?;
    for turn in 0..sizes.tail / 100 {
        store.append(values.batch(turn, 100))?;
    }
    store.checkpoint()?;
    print(&vec![(FIGURE, sizes.tail as f64), ("records", (before + sizes.tail) as f64)])?;
    loop {
        std::thread::park();
    }
}

/// Appends, scans, and watches the process's memory all the while.
fn memory(engine: &Engine, dir: &Path, values: &Values, records: u64) -> Result<Figures> {
    let before = resident("RssAnon:")?;
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut figures = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(resident("RssAnon:").unwrap_or_default(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let measured = fill_watched(engine, dir, values, records, before, &mut figures);
        done.store(true, Ordering::Relaxed);
        measured
    })?;
    let mebibytes = |bytes: u64| bytes.saturating_sub(before) as f64 / 1048576.0;
    figures.push(("most", mebibytes(most.load(Ordering::Relaxed))));
    figures.push(("peak", resident("VmHWM:")? as f64 / 1048576.0));
    Ok(figures)
}

fn fill_watched(
    engine: &Engine,
    dir: &Path,
    values: &Values,
    records: u64,
    before: u64,
    figures: &mut Figures,
) -> Result<()> {
    let mebibytes = |bytes: u64| bytes.saturating_sub(before) as f64 / 1048576.0;
    let store = (engine.open)(dir, Level::Os)?;
    for turn in 0..records / 100 {
        store.append(values.batch(turn, 100))?;
        if turn % 1_000 == 999 {
            store.checkpoint()?;
        }
    }
    store.checkpoint()?;
    let written = resident("RssAnon:")?;
    let seen = store.scan()?;
    if seen.records != records || seen.bytes != records * SIZE as u64 {
        return Err(format!("read {seen:?} of {records} records").into());
    }
    figures.push((FIGURE, mebibytes(resident("RssAnon:")?)));
    figures.push(("written", mebibytes(written)));
    Ok(())
}

/// A line of the process's status, in bytes.
fn resident(name: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("no such line")?;
    let kibibytes: u64 = line.split_whitespace().next().ok_or("no number")?.parse()?;
    Ok(kibibytes << 10)
}
