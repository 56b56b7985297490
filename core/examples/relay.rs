//! One log, many languages: programs written in each take turns on one directory, and each goes on where the one
//! before it stopped.
//!
//! ```text
//! relay <new directory> <turns> [name=command ...]     the referee; Rust itself takes part
//! <command> <directory> turn <n>                       one turn of a language: does what `turn` below does
//! <command> <directory> dump                           prints the log as `dump` below does
//! ```
//!
//! A turn fails if the named producer, the committed offsets or the transactional id are not exactly where the last
//! language left them. In the end every language prints the whole log, and all print the same bytes.

use std::error::Error;
use std::fmt::Write;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Header, ProducerOptions, ReadOptions, Record, TopicOptions, TopicPartition};

type Fallible<T> = Result<T, Box<dyn Error>>;

const TOPICS: [(&str, u32); 2] = [("baton", 3), ("seen", 1)];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let result = match *words {
        [directory, "turn", n] => n.parse().map_err(Into::into).and_then(|n| turn(Path::new(directory), n, "rust")),
        [directory, "dump"] => dump(Path::new(directory)).map(|text| print!("{text}")),
        [directory, turns, ref others @ ..] => match turns.parse() {
            Ok(turns) => referee(directory, turns, others),
            Err(_) => Err("say how many turns".into()),
        },
        _ => Err("give a new directory, a number of turns, and name=command for each language".into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error}");
            ExitCode::FAILURE
        }
    }
}

fn referee(directory: &str, turns: u64, others: &[&str]) -> Fallible<()> {
    let engine = Engine::open(directory)?;
    for (name, partitions) in TOPICS {
        engine.create_topic(name, TopicOptions::new().partitions(partitions))?;
    }
    engine.close()?;
    let others: Vec<(&str, &str)> = others.iter().filter_map(|other| other.split_once('=')).collect();
    for n in 0..turns {
        // Not simply in turn, so that each follows each of the others.
        let at = (n + n / (others.len() as u64 + 1)) as usize % (others.len() + 1);
        match others.get(at) {
            Some((name, command)) => run(command, &[directory, "turn", &n.to_string()])
                .map(drop)
                .map_err(|error| format!("turn {n}, {name}: {error}"))?,
            None => turn(Path::new(directory), n, "rust").map_err(|error| format!("turn {n}, rust: {error}"))?,
        }
    }
    let own = dump(Path::new(directory))?;
    let records = own.lines().filter(|line| !line.starts_with("committed")).count() as u64;
    if records != 2 * turns {
        return Err(format!("{records} records are there, {} were written", 2 * turns).into());
    }
    for (name, command) in &others {
        let told = run(command, &[directory, "dump"])?;
        if let Some((mine, theirs)) = own.lines().zip(told.lines()).find(|(mine, theirs)| mine != theirs) {
            return Err(format!("{name} reads something else:\n  rust {mine}\n  {name} {theirs}").into());
        }
        if own != told {
            return Err(format!("{name} reads {} lines, rust {}", told.lines().count(), own.lines().count()).into());
        }
    }
    let names: Vec<&str> = others.iter().map(|(name, _)| *name).collect();
    println!("{turns} turns of rust {}: each went on where the last one stopped; all read the same", names.join(" "));
    Ok(())
}

fn run(command: &str, arguments: &[&str]) -> Fallible<String> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("an empty command")?;
    let output = Command::new(program).args(words).args(arguments).output()?;
    if !output.status.success() {
        return Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok(String::from_utf8(output.stdout)?)
}

/// One turn: the named producer's position is the turn before; what it sent is refused as a duplicate; one new record
/// is sent; the group reads exactly that one, and writes what it saw together with its offsets.
fn turn(directory: &Path, n: u64, language: &str) -> Fallible<()> {
    let engine = Engine::open(directory)?;
    let producer = engine.producer(ProducerOptions::new().name("relay"))?;
    if producer.position() != n.checked_sub(1) {
        return Err(format!("the producer stands at {:?}", producer.position()).into());
    }
    if n > 0 && !producer.send("baton", Record::new(b"again").position(n - 1))?.wait()?.duplicate {
        return Err("a position that was sent before is no duplicate".into());
    }
    let mut value = format!("turn {n} by {language}, größer ").into_bytes();
    value.extend([0, 255, (n % 256) as u8]);
    let headers = [Header { key: "language", value: Some(language.as_bytes()) }, Header { key: "none", value: None }];
    let key = format!("key {}", n % 7);
    let record = if n % 4 == 3 { Record::tombstone(key.as_bytes()) } else { Record::new(&value).key(key.as_bytes()) };
    let record = record.headers(&headers).timestamp(1_700_000_000_000 + n as i64).position(n);
    producer.send("baton", record)?.wait()?;

    let consumer = engine.consumer(ConsumerOptions::new().group("relay"))?;
    let partitions: Vec<TopicPartition> = (0..TOPICS[0].1).map(|n| TopicPartition::new("baton", n)).collect();
    consumer.assign(&partitions)?;
    let transactional = engine.transactional_producer("relay-transactions", ProducerOptions::new())?;
    let mut transaction = transactional.begin_transaction_for(&consumer)?;
    let mut read = 0;
    for view in &consumer.poll(Duration::from_secs(5))? {
        let view = view?;
        let saw = format!("{language} saw {}@{}", view.partition(), view.offset());
        let time = 1_800_000_000_000 + n as i64;
        let record = Record::new(saw.as_bytes()).key(view.key().unwrap_or_default()).timestamp(time);
        transaction.send("seen", record)?;
        read += 1;
    }
    transaction.commit()?;
    if read != 1 {
        return Err(format!("the group read {read} records, not the one of this turn").into());
    }
    Ok(engine.close()?)
}

/// The log as text: a line per record, `topic partition offset timestamp key value header...`, bytes in hex, `-` for
/// null; then where the group stands in each partition.
fn dump(directory: &Path) -> Fallible<String> {
    let engine = Engine::options().read_only(true).open(directory)?;
    let mut text = String::new();
    for (topic, partitions) in TOPICS {
        for number in 0..partitions {
            let partition = engine.partition(topic, number)?;
            let mut next = 0;
            while next < partition.bounds().end {
                for view in &partition.read(next, ReadOptions::new())? {
                    let view = view?;
                    let (key, value) = (hex(view.key()), hex(view.value()));
                    write!(text, "{topic} {number} {} {} {key} {value}", view.offset(), view.timestamp())?;
                    for header in view.headers() {
                        let header = header?;
                        write!(text, " {}={}", header.key, hex(header.value))?;
                    }
                    text.push('\n');
                    next = view.offset() + 1;
                }
            }
        }
    }
    let consumer = engine.consumer(ConsumerOptions::new().group("relay"))?;
    for number in 0..TOPICS[0].1 {
        let partition = TopicPartition::new("baton", number);
        let committed = consumer.committed(&partition)?.map_or("-".to_owned(), |offset| offset.to_string());
        writeln!(text, "committed baton {number} {committed}")?;
    }
    Ok(text)
}

fn hex(bytes: Option<&[u8]>) -> String {
    match bytes {
        None => "-".to_owned(),
        Some(bytes) => bytes.iter().fold("x".to_owned(), |text, byte| format!("{text}{byte:02x}")),
    }
}
