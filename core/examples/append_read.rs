//! The log itself: append a batch to a partition, read it back.

use oncelog::{Batch, Engine, ReadOptions, Record, TopicOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(directory.path())?;
    engine.create_topic("greetings", TopicOptions::new())?;
    let partition = engine.partition("greetings", 0)?;

    let mut batch = Batch::builder();
    batch.push(&Record::new(b"good morning").key(b"en"), 0)?;
    batch.push(&Record::new(b"guten Morgen").key(b"de"), 0)?;
    // The ticket is the promise: once waited for, the batch survives a power cut.
    let appended = partition.append(&batch.build()?)?.wait()?;
    println!("offsets {} to {}", appended.first, appended.last);

    for record in &partition.read(appended.first, ReadOptions::new())? {
        let record = record?;
        println!("{}: {}", record.offset(), String::from_utf8_lossy(record.value().unwrap_or_default()));
    }
    Ok(engine.close()?)
}
