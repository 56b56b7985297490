//! Chronicle Queue, in Java: a process of another program for each measurement, where `compare.sh` has built it.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::measure::Job;
use crate::store::Engine;
use crate::workload::{Sizes, Workload};

pub const ENGINE: Engine = Engine {
    name: "Chronicle Queue",
    package: PACKAGE,
    open: |_, _| Err("a program of its own".into()),
    lacks: |workload| match workload {
        Workload::Append1 | Workload::AppendMemory | Workload::Scan if built().is_some() => None,
        Workload::Append1 | Workload::AppendMemory | Workload::Scan => Some("left out: it needs Java and Maven"),
        Workload::Append100 => Some("no batches"),
        Workload::Append8 => Some("one appender for each thread, and none for eight that share it"),
        Workload::Durable1 | Workload::Durable8 => Some("the system flushes when it likes"),
        Workload::Transaction | Workload::TransactionDurable => Some("no transactions, no offsets with records"),
        Workload::ScanAborted => Some("nothing can be aborted"),
        Workload::Reopen | Workload::ReopenKilled | Workload::Memory => Some("not asked: the figures would be Java's"),
    },
    differs: |workload| match workload {
        Workload::Append1 => Some("no checksums; a stray pointer of the program reaches the log"),
        _ => Some("no checksums"),
    },
    settings: "blocks of 256 MiB; `writeBytes` of records that lie outside Java's heap, read where they lie; two \
               million appends and reads before the clock runs, since its code is compiled while it runs",
};

/// Its name at Maven Central.
pub const PACKAGE: &str = "net.openhft:chronicle-queue";

/// What it reaches in Java's own packages.
const OPENED: [&str; 10] = [
    "--add-exports=java.base/jdk.internal.ref=ALL-UNNAMED",
    "--add-exports=java.base/sun.nio.ch=ALL-UNNAMED",
    "--add-exports=jdk.unsupported/sun.misc=ALL-UNNAMED",
    "--add-exports=jdk.compiler/com.sun.tools.javac.file=ALL-UNNAMED",
    "--add-opens=jdk.compiler/com.sun.tools.javac=ALL-UNNAMED",
    "--add-opens=java.base/java.lang=ALL-UNNAMED",
    "--add-opens=java.base/java.lang.reflect=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/java.util=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
];

/// Where it was built.
fn built() -> Option<PathBuf> {
    let base = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?.parent()?.join("target/compare/chronicle");
    base.join("Chronicle.class").exists().then_some(base)
}

/// What its version is: the file that names it is the one Maven reads.
pub fn version() -> &'static str {
    let asked = include_str!("../../chronicle/pom.xml").split("<artifactId>chronicle-queue</artifactId>").nth(1);
    asked.and_then(|rest| rest.split(['<', '>']).nth(2)).unwrap_or_default()
}

/// The process that does a job.
pub fn command(job: Job, dir: &Path) -> Option<Command> {
    let (base, sizes) = (built()?, Sizes::new());
    let (name, records) = match job {
        Job::Measure(Workload::Scan) => ("scan", sizes.scan),
        Job::Fill(_) => ("append", sizes.scan),
        _ => ("append", sizes.append),
    };
    let mut command = Command::new("java");
    command.args(OPENED).arg("-Dchronicle.analytics.disable=true");
    command.arg("-cp").arg(format!("{0}:{0}/lib/*", base.display()));
    command.args(["Chronicle", name]).arg(dir).arg(records.to_string());
    Some(command)
}
