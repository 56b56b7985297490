//! Sends every line once, whatever happens to the process.
//!
//! The producer has a name, and each record carries its line number as position. The log keeps the two together, so
//! after a crash `producer.position()` says where to go on, and what is sent again by mistake is refused.

use std::path::Path;

use oncelog::{Engine, Producer, ProducerOptions, Record};

use crate::Fallible;
use crate::report::{self, Line};
use crate::rows;

/// Lines between two flushes.
const GROUP: usize = 100;
/// Lines sent again after every restart.
pub const RESENT: usize = 100;

pub fn run(log: &Path, csv: &Path) -> Fallible<()> {
    report::say(Line::Opening)?;
    let engine = Engine::open(log)?;
    let producer = engine.producer(ProducerOptions::new().name("loader"))?;
    let file = std::fs::read(csv)?;
    let lines = rows::split(&file);

    let mut done = usize::try_from(producer.position().unwrap_or(0))?;
    report::say(Line::Ready(done as u64))?;
    if done > 0 {
        let first = done.saturating_sub(RESENT);
        let refused = send(&producer, &lines, first..done, || Ok(()))?;
        report::say(Line::Resent { refused, sent: (done - first) as u64 })?;
    }
    while done < lines.len() {
        let end = lines.len().min(done + GROUP);
        report::say(Line::Begin(end as u64))?;
        let refused = send(&producer, &lines, done..end, || report::half(end as u64))?;
        if refused > 0 {
            return Err(format!("{refused} lines after position {done} were refused as duplicates").into());
        }
        report::say(Line::Committed(end as u64))?;
        done = end;
    }
    engine.close()?;
    report::say(Line::Done)
}

/// Sends some lines and waits until they are on the device. Answers how many the log already had.
fn send(
    producer: &Producer,
    lines: &[&[u8]],
    range: std::ops::Range<usize>,
    halfway: impl FnOnce() -> Fallible<()>,
) -> Fallible<u64> {
    let mut tickets = Vec::with_capacity(range.len());
    for index in range {
        let line = lines[index];
        let mut record = Record::new(line).position(index as u64 + 1);
        if let Some(account) = rows::key(line) {
            record = record.key(account);
        }
        tickets.push(producer.send("transactions", record)?);
    }
    halfway()?;
    producer.flush()?;
    let mut refused = 0;
    for ticket in tickets {
        refused += u64::from(ticket.wait()?.duplicate);
    }
    Ok(refused)
}
