//! Read, transform, write: results and offsets are committed together, or not at all.

use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, ProducerOptions, Record, TopicOptions, TopicPartition};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let directory = tempfile::tempdir()?;
    let engine = Engine::open(directory.path())?;
    engine.create_topic("orders", TopicOptions::new())?;
    engine.create_topic("invoices", TopicOptions::new())?;
    engine.producer(ProducerOptions::new())?.send("orders", Record::new(b"3 apples"))?.wait()?;

    let orders = TopicPartition::new("orders", 0);
    let consumer = engine.consumer(ConsumerOptions::new().group("billing"))?;
    consumer.assign(std::slice::from_ref(&orders))?;
    let producer = engine.transactional_producer("billing-1", ProducerOptions::new())?;

    // The first attempt is given up: dropping the transaction aborts it and puts the consumer back.
    for attempt in ["given up", "committed"] {
        let mut transaction = producer.begin_transaction_for(&consumer)?;
        for record in &consumer.poll(Duration::from_secs(1))? {
            let record = record?;
            let invoice = format!("invoice for {}", String::from_utf8_lossy(record.value().unwrap_or_default()));
            transaction.send("invoices", Record::new(invoice.as_bytes()))?;
        }
        if attempt == "committed" {
            transaction.commit()?;
        } else {
            drop(transaction);
        }
        let invoices = engine.partition("invoices", 0)?.bounds().end;
        println!("{attempt}: {invoices} invoices, offset committed: {:?}", consumer.committed(&orders)?);
    }
    Ok(engine.close()?)
}
