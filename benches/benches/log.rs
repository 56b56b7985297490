//! `cargo bench -p oncelog-benches`: appends, transactions and scans, each beside the machine's own limit.
#![allow(missing_docs)]

use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use oncelog::Durability;
use oncelog_benches::{Bare, Log, Transactions, values};

const BARE: u64 = 512 << 20;

fn level_name(level: Durability) -> &'static str {
    match level {
        Durability::Memory => "memory",
        Durability::Os => "os",
        _ => "disk",
    }
}

fn append(c: &mut Criterion) {
    for level in [Durability::Memory, Durability::Os, Durability::Disk] {
        for count in [1, 100] {
            let values = values(count);
            let mut group = c.benchmark_group(format!("append {count} at a time, {}", level_name(level)));
            group.throughput(Throughput::Elements(count as u64));
            group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
            let dir = tempfile::tempdir().expect("a directory");
            let mut log = Log::open(dir.path(), level).expect("a log");
            group.bench_function("oncelog", |b| b.iter(|| log.append(&values).expect("appended")));
            drop(log);
            let dir = tempfile::tempdir().expect("a directory");
            let mut bare = Bare::open(dir.path(), BARE, level == Durability::Disk).expect("a file");
            group.bench_function("bare pwrite", |b| b.iter(|| bare.append(&values).expect("written")));
            group.finish();
        }
    }
}

/// Threads that append to one partition and wait each for its own.
fn threads(c: &mut Criterion) {
    let values = values(1);
    for level in [Durability::Os, Durability::Disk] {
        let mut group = c.benchmark_group(format!("appenders, {}", level_name(level)));
        group.throughput(Throughput::Elements(1));
        group.sample_size(10).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
        for threads in [1, 2, 8] {
            let dir = tempfile::tempdir().expect("a directory");
            let log = Log::open(dir.path(), level).expect("a log");
            group.bench_function(format!("{threads}"), |b| {
                b.iter_custom(|times| log.append_side_by_side(threads, times, &values).expect("appended"));
            });
        }
        group.finish();
    }
}

fn transaction(c: &mut Criterion) {
    let values = values(100);
    for level in [Durability::Os, Durability::Disk] {
        let mut group = c.benchmark_group(format!("transaction of 100 records, {}", level_name(level)));
        group.throughput(Throughput::Elements(1));
        group.sample_size(20).measurement_time(Duration::from_secs(2)).warm_up_time(Duration::from_millis(500));
        let dir = tempfile::tempdir().expect("a directory");
        let log = Log::open(dir.path(), level).expect("a log");
        let mut transactions = Transactions::open(&log).expect("a producer");
        group.bench_function("oncelog", |b| b.iter(|| transactions.run(&values).expect("committed")));
        drop(log);
        let dir = tempfile::tempdir().expect("a directory");
        let mut bare = Bare::open(dir.path(), BARE, level == Durability::Disk).expect("a file");
        group.bench_function("bare pwrite", |b| b.iter(|| bare.append(&values).expect("written")));
        group.finish();
    }
}

fn scan(c: &mut Criterion) {
    let records = 2_000_000u64;
    for count in [1, 100] {
        let values = values(count);
        let dir = tempfile::tempdir().expect("a directory");
        let mut log = Log::open(dir.path(), Durability::Os).expect("a log");
        (0..records / count as u64).for_each(|_| log.append(&values).expect("appended"));
        let mut group = c.benchmark_group(format!("scan, batches of {count}"));
        group.throughput(Throughput::Elements(records));
        group.sample_size(10).measurement_time(Duration::from_secs(2));
        group.bench_function("oncelog", |b| b.iter(|| log.scan().expect("read")));
        group.finish();
    }
}

criterion_group!(benches, append, threads, transaction, scan);
criterion_main!(benches);
