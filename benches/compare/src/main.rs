//! `make compare`: oncelog beside the engines a user would pick instead, and beside what the machine can do at all. The
//! same work, one run, rounds that alternate between the engines; writes `benches/RESULTS.md` and
//! `benches/results.svg`.

mod aims;
mod chart;
mod engines;
mod machine;
mod measure;
mod report;
mod rounds;
mod store;
mod values;
mod workload;

use std::path::Path;

use measure::Job;
use store::Result;
use workload::Sizes;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        [] => compare(),
        ["--job", job, engine, dir] => {
            let job = Job::named(job).ok_or("no such job")?;
            measure::run(job, engines::engine(engine).ok_or("no such engine")?, Path::new(dir))
        }
        _ => Err("no arguments; sizes come from the environment, see workload.rs".into()),
    }
}

fn compare() -> Result<()> {
    let benches = Path::new(env!("CARGO_MANIFEST_DIR")).parent().ok_or("no parent")?;
    let base = benches.parent().ok_or("no parent")?.join("target/compare/logs");
    std::fs::create_dir_all(&base)?;
    let sizes = Sizes::new();
    let machine = machine::Machine::look(&base);
    let before = machine::flush_latency(&base, 1_000)?;
    let begin = std::time::Instant::now();
    let tables = rounds::compare(&base, &sizes)?;
    let flushes = [before, machine::flush_latency(&base, 1_000)?];
    let run = report::Run { machine, flushes, sizes, time: begin.elapsed() };
    let text = report::report(&run, &tables);
    if workload::quick() {
        // Figures of so little work are not for keeping.
        println!("{text}");
        return Ok(());
    }
    std::fs::write(benches.join("RESULTS.md"), text)?;
    std::fs::write(benches.join("results.svg"), chart::chart(&run, &tables))?;
    println!("wrote benches/RESULTS.md and benches/results.svg");
    Ok(())
}
