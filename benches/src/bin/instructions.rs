//! Runs one workload a number of times, for a counter of instructions around it: see instructions.sh.
//!
//! Nothing here waits for a clock or a second thread, so that each run executes the same instructions.
#![allow(missing_docs)]

use std::time::Duration;

use oncelog::{Batch, Durability, Engine, ProducerOptions, ReadOptions, Record, Result, TopicOptions};
use oncelog_benches::{Log, Transactions, values};

fn main() -> Result<()> {
    let mut words = std::env::args().skip(1);
    let (Some(workload), Some(times)) = (words.next(), words.next().and_then(|n| n.parse().ok())) else {
        eprintln!("instructions <workload> <times>; workloads: {}", NAMES.join(" "));
        std::process::exit(2);
    };
    let dir = std::env::temp_dir().join(format!("oncelog-instructions-{}", std::process::id()));
    let done = run(&workload, times, &dir);
    // Of a directory that stays behind nobody is harmed.
    let _ = std::fs::remove_dir_all(&dir);
    done
}

const NAMES: [&str; 9] = [
    "append-memory",
    "append-os",
    "append-100-os",
    "append-raw-os",
    "send",
    "send-many-100",
    "send-named",
    "transaction-100",
    "scan",
];

fn run(workload: &str, times: u64, dir: &std::path::Path) -> Result<()> {
    let level = if workload == "append-memory" { Durability::Memory } else { Durability::Os };
    let engine = Engine::options().threads(false).durability(level).open(dir)?;
    engine.create_topic("t", TopicOptions::new().partitions(2))?;
    let mut log = Log::of(engine, level)?;
    let hundred = values(100);
    let records: Vec<Record<'_>> = hundred.iter().map(|value| Record::new(value).partition(0)).collect();
    match workload {
        "append-memory" | "append-os" => (0..times).try_for_each(|_| log.append(&hundred[..1]))?,
        "append-100-os" => (0..times).try_for_each(|_| log.append(&hundred))?,
        "append-raw-os" => {
            let identity = log.engine.init_producer(None, Duration::from_secs(60), None)?;
            for sequence in 0..times as i32 {
                let mut batch = Batch::builder();
                batch.producer(identity, sequence).push(&records[0], 1_795_000_000_000)?;
                log.partition.append(&batch.build()?)?.wait()?;
            }
        }
        "send" => {
            let producer = log.engine.producer(ProducerOptions::new())?;
            (0..times).try_for_each(|_| producer.send("t", records[0]).map(|ticket| ticket.detach()))?;
            producer.flush()?;
        }
        "send-many-100" => {
            let producer = log.engine.producer(ProducerOptions::new())?;
            (0..times).try_for_each(|_| producer.send_many("t", &records).map(|ticket| ticket.detach()))?;
            producer.flush()?;
        }
        "send-named" => {
            let producer = log.engine.producer(ProducerOptions::new().name("n"))?;
            (0..times).try_for_each(|n| producer.send("t", records[0].position(n)).map(|ticket| ticket.detach()))?;
            producer.flush()?;
        }
        "transaction-100" => {
            let mut transactions = Transactions::open(&log)?;
            (0..times).try_for_each(|_| transactions.run(&hundred))?;
        }
        "scan" => {
            (0..50).try_for_each(|_| log.append(&hundred))?;
            for _ in 0..times {
                let mut at = 0;
                while at < log.partition.bounds().end {
                    for record in &log.partition.read(at, ReadOptions::new())? {
                        at = record?.offset() + 1;
                    }
                }
            }
        }
        _ => std::process::exit(2),
    }
    log.engine.close()
}
