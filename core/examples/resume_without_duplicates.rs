//! A named producer: after a crash it knows where it stood, and what it sends again is refused.

use oncelog::{Engine, ProducerOptions, Record, TopicOptions};

const LINES: [&str; 5] = ["one", "two", "three", "four", "five"];

/// Sends lines from the given one on; the number of a line is its position. Answers how many the log already had.
fn load(engine: &Engine, from: usize, to: usize) -> oncelog::Result<usize> {
    let producer = engine.producer(ProducerOptions::new().name("loader"))?;
    println!("the log has everything up to position {:?}", producer.position());
    let mut duplicates = 0;
    for (line, position) in LINES.iter().zip(1..).take(to).skip(from) {
        let ticket = producer.send("lines", Record::new(line.as_bytes()).position(position))?;
        duplicates += usize::from(ticket.wait()?.duplicate);
    }
    Ok(duplicates)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(directory.path())?;
    engine.create_topic("lines", TopicOptions::new())?;
    load(&engine, 0, 3)?;
    engine.close()?;

    // Another life, which does not trust the first one and sends everything.
    let engine = Engine::open(directory.path())?;
    let duplicates = load(&engine, 0, LINES.len())?;
    println!(
        "{duplicates} lines were refused as duplicates; {} are in the log",
        engine.partition("lines", 0)?.bounds().end
    );
    Ok(engine.close()?)
}
