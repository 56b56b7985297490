//! Workloads of producers: transactions, fences, positions, sequences.

use oncelog::Durability::{Disk, Os};
use oncelog::{ErrorKind, ProducerOptions, Record};

use super::Check;
use super::tape::Tape;

/// Transactions over partitions with offsets and positions, of five sectors and more, between plain appends.
pub fn transactions(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("left", 2, Disk)?;
    tape.create("right", 1, Os)?;
    let producer = tape.transactional("mover")?;
    for n in 0..6_u64 {
        let len = 700 + n as usize * 120;
        let sends = [("left", 0, len), ("left", 1, len), ("right", 0, len), ("left", 0, 90)];
        tape.transact(&producer, &sends, Some(("movers", "left", n + 1)), Some(("mover", n * 3)))?;
        tape.append("right", 0, &[200], Os)?;
        if n % 2 == 1 {
            tape.transact(&producer, &[], Some(("movers", "right", n)), None)?;
            tape.rest(60)?;
        }
    }
    tape.transact(&producer, &[("right", 0, 9_000), ("left", 1, 9_000)], None, Some(("mover", 90)))
}

/// Two transactions that stream over several segments, one aborted and one committed, beside plain appends; then one
/// that is never decided.
pub fn streamed(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("left", 2, Disk)?;
    tape.create("right", 1, Os)?;
    let options = || ProducerOptions::new().transaction_buffer(0);
    let (keeper, loser) = (tape.transactional_with("keeper", options())?, tape.transactional_with("loser", options())?);
    for round in 0..2_u64 {
        let mut kept = keeper.begin_transaction().map_err(|error| error.to_string())?;
        let mut lost = loser.begin_transaction().map_err(|error| error.to_string())?;
        let mut values = Vec::new();
        for n in 0..4 {
            let len = 300 + n * 5_000;
            values.push(tape.stream(&mut kept, ("left", 0, len))?);
            tape.stream(&mut lost, ("left", 0, len / 2))?;
            values.push(tape.stream(&mut kept, ("right", 0, 120))?);
            tape.append("left", 1, &[90], Disk)?;
        }
        lost.abort().map_err(|error| error.to_string())?;
        tape.append("right", 0, &[70], Os)?;
        tape.commit_streamed(kept, values, ("movers", "left", round + 1), ("keeper", round * 5), Disk)?;
        tape.rest(60)?;
    }
    let mut open = loser.begin_transaction().map_err(|error| error.to_string())?;
    tape.stream(&mut open, ("left", 1, 400))?;
    tape.append("left", 0, &[80], Disk)?;
    tape.rest(60)
}

/// Two holders of a name, and of a transactional id: the older one is refused for good.
pub fn fence(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    let first = tape.producer("name")?;
    tape.gather(&first, "name", 1, &[("a", 0, 400)])?;
    let second = tape.producer("name")?;
    refused(tape, &first, 2)?;
    tape.gather(&second, "name", 2, &[("a", 0, 500), ("a", 0, 600)])?;
    let old = tape.transactional("mover")?;
    tape.transact(&old, &[("a", 0, 300)], Some(("g", "a", 1)), None)?;
    let new = tape.transactional("mover")?;
    match old.begin_transaction().and_then(|transaction| transaction.commit()) {
        Err(error) if error.kind() == ErrorKind::ProducerFenced => {}
        answer => return Err(format!("a fenced transaction answers {answer:?}")),
    }
    tape.transact(&new, &[("a", 0, 2000)], Some(("g", "a", 2)), Some(("mover", 5)))?;
    let third = tape.producer("name")?;
    refused(tape, &second, 9)?;
    tape.rest(60)?;
    tape.gather(&third, "name", 10, &[("a", 0, 100)])?;
    tape.forget("mover")?;
    let again = tape.transactional("mover")?;
    tape.transact(&again, &[("a", 0, 120)], None, Some(("mover", 1)))
}

fn refused(tape: &mut Tape, producer: &oncelog::Producer, position: u64) -> Check {
    let value = tape.value(50);
    let sent = producer.send("a", Record::new(&value).position(position));
    match sent.and_then(|ticket| ticket.wait()) {
        Err(error) if error.kind() == ErrorKind::ProducerFenced => Ok(()),
        answer => Err(format!("a fenced producer answers {answer:?}")),
    }
}

/// A named producer gathers over partitions, is opened again and goes on; what it repeats is known.
pub fn named(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("lines", 3, Disk)?;
    tape.create("notes", 1, Os)?;
    let (mut position, mut last) = (0, None);
    for round in 0..4 {
        let producer = tape.producer("loader")?;
        if let Some(last) = last {
            let value = tape.value(40);
            let again = producer.send("lines", Record::new(&value).position(last));
            let again = again.and_then(|ticket| ticket.wait()).map_err(|error| error.to_string())?;
            if !again.duplicate {
                return Err(format!("position {last} sent again answers {again:?}"));
            }
        }
        for n in 0..3 {
            let len = 200 + n * 700 + round * 10;
            let sends = [("lines", 0, len), ("lines", 2, 90), ("notes", 0, 150), ("lines", 1, len)];
            tape.gather(&producer, "loader", position, &sends)?;
            last = Some(position + 3);
            position += 4 + round as u64;
        }
        tape.append("notes", 0, &[70], Os)?;
    }
    Ok(())
}

/// Raw batches with sequences: retried, also before the original is durable.
pub fn raw(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 2, Disk)?;
    let one = tape.register()?;
    let two = tape.register()?;
    let mut sequence = 0;
    for n in 0..8 {
        let count = 1 + n % 3;
        let waiting = tape.place_raw(("a", 0), one, sequence, count, if n % 2 == 0 { Os } else { Disk })?;
        sequence += count as i32;
        // The original is noted and perhaps not even written; its duplicate must wait for it.
        tape.retry_raw(Disk)?;
        if let Some(waiting) = waiting {
            tape.wait(waiting)?;
        }
        let waiting = tape.place_raw(("a", 1), two, n as i32, 1, Os)?;
        waiting.map_or(Ok(()), |waiting| tape.wait(waiting))?;
        if n == 4 {
            tape.rest(60)?;
        }
    }
    Ok(())
}

/// One raw batch between two checkpoints: to fold it twice would push an older one out of those that a retry finds.
pub fn raw_between_checkpoints(tape: &mut Tape) -> Check {
    tape.open()?;
    tape.create("a", 1, Disk)?;
    tape.create("bulk", 1, Os)?;
    let one = tape.register()?;
    for n in 0..8 {
        let waiting = tape.place_raw(("a", 0), one, n, 1, Disk)?;
        waiting.map_or(Ok(()), |waiting| tape.wait(waiting))?;
        if n >= 5 {
            tape.append("bulk", 0, &[45_000], Os)?;
            tape.append("bulk", 0, &[45_000], Os)?;
            tape.rest(1)?;
        }
    }
    tape.append("a", 0, &[70], Disk)
}
