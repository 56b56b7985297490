//! Compares what the log holds with the file. What must be there is worked out here from the file by a plain sum, not
//! by the worker's own parser.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

use oncelog::{ConsumerOptions, Engine, Isolation, RecordView, TopicPartition};

use crate::table::{Table, number};
use crate::{Delivery, Fallible, rows, worker};

/// Accounts whose sum agrees with a balance that the bank states; why not all do is told beside the data.
const AGREE_WITH_BANK: u64 = 1_201;

/// What the file says.
#[derive(Default)]
struct Expected<'a> {
    /// Each posting: trans_id;account;amount in hellers.
    postings: HashSet<String>,
    /// The trans_id of each transfer to another bank.
    transfers: HashSet<String>,
    /// Per account the sum of credits less debits, in hellers.
    balances: HashMap<&'a str, i64>,
    /// Per account the last day, and the balances that the bank states on it.
    stated: HashMap<&'a str, (&'a str, Vec<i64>)>,
}

/// How often something may happen.
#[derive(Clone, Copy)]
enum Times {
    Never,
    /// At least once, to show what the semantics costs.
    Surely,
    Perhaps,
}

impl Times {
    fn holds(self, n: u64) -> bool {
        match self {
            Times::Never => n == 0,
            Times::Surely => n > 0,
            Times::Perhaps => true,
        }
    }

    fn words(self) -> String {
        match self {
            Times::Never => number(0),
            Times::Surely => "some".into(),
            Times::Perhaps => "any".into(),
        }
    }
}

/// Adds every proof to the table.
pub fn prove(table: &mut Table, engine: &Engine, delivery: Delivery) -> Fallible<()> {
    let file = rows::file()?;
    let expected = expect(&file)?;
    let exact = (Times::Never, Times::Never);
    // How often a result may be missing, and be there twice. Few results may escape every kill; postings are many.
    let (ledger, others) = match delivery {
        Delivery::ExactlyOnce => (exact, exact),
        Delivery::AtLeastOnce => ((Times::Never, Times::Surely), (Times::Never, Times::Perhaps)),
        Delivery::AtMostOnce => ((Times::Surely, Times::Never), (Times::Perhaps, Times::Never)),
    };

    let sent = rows::sent(&file).into_iter().map(<[u8]>::to_vec).collect();
    let lines = read(engine, "transactions", |record| Ok(record.value().unwrap_or_default().to_vec()))?;
    compare(table, "transactions", exact, &sent, &lines);

    let postings = read(engine, "ledger", |record| text(record.value()))?;
    let balances = add_up(&postings)?;
    compare(table, "postings in ledger", ledger, &expected.postings, &postings);
    check_balances(table, delivery, &expected, &balances);

    let transfers = read(engine, "transfers", |record| Ok(first(&text(record.value())?).to_owned()))?;
    compare(table, "transfers", others, &expected.transfers, &transfers);

    let planted = rows::PLANTED.iter().map(|planted| (planted.line.to_vec(), planted.reason.to_owned())).collect();
    let letters =
        read(engine, "transactions.dlt", |record| Ok((record.value().unwrap_or_default().to_vec(), reason(record)?)))?;
    compare(table, "dead letters with their reasons", others, &planted, &letters);

    let lag = lag(engine)?;
    table.check("lag of the worker's group", number(lag), number(0), lag == 0);
    Ok(())
}

/// Reads the file once more, as plainly as can be: amounts lose their point, debits their sign.
fn expect(file: &str) -> Fallible<Expected<'_>> {
    let mut expected = Expected::default();
    for line in rows::lines(file) {
        let columns: Vec<&str> = line.split(';').collect();
        let [trans_id, account, date, kind, operation, amount, balance, ..] = columns[..] else {
            return Err(format!("the file has a line of {} columns", columns.len()).into());
        };
        let crowns: i64 = amount.replace('.', "").parse()?;
        let amount = if kind == "\"PRIJEM\"" { crowns } else { -crowns };
        expected.postings.insert(format!("{trans_id};{account};{amount}"));
        if operation == "\"PREVOD NA UCET\"" {
            expected.transfers.insert(trans_id.to_owned());
        }
        *expected.balances.entry(account).or_default() += amount;
        let (day, stated) = expected.stated.entry(account).or_insert((date, Vec::new()));
        if date > *day {
            (*day, *stated) = (date, Vec::new());
        }
        if date == *day {
            stated.push(balance.replace('.', "").parse()?);
        }
    }
    Ok(expected)
}

/// Everything in a topic that was committed.
fn read<T>(engine: &Engine, topic: &str, take: impl Fn(&RecordView<'_>) -> Fallible<T>) -> Fallible<Vec<T>> {
    let consumer = engine.consumer(ConsumerOptions::new().isolation(Isolation::ReadCommitted))?;
    let topics = engine.topics()?;
    let count = topics.iter().find(|info| info.name == topic).map_or(0, |info| info.partitions);
    let partitions: Vec<TopicPartition> = (0..count).map(|partition| TopicPartition::new(topic, partition)).collect();
    consumer.assign(&partitions)?;
    let mut taken = Vec::new();
    while partitions.iter().map(|partition| consumer.lag(partition)).sum::<oncelog::Result<u64>>()? > 0 {
        for record in &consumer.poll(Duration::from_secs(1))? {
            taken.push(take(&record?)?);
        }
    }
    Ok(taken)
}

/// Checks that what was found is what was expected, as far as the delivery promises it. Nothing else may be there.
fn compare<T: Eq + Hash>(
    table: &mut Table,
    name: &str,
    (missing, twice): (Times, Times),
    expected: &HashSet<T>,
    found: &[T],
) {
    let count = found.len() as u64;
    let mut times: HashMap<&T, u64> = HashMap::new();
    for item in found {
        *times.entry(item).or_default() += 1;
    }
    let known = times.keys().filter(|item| expected.contains(**item)).count();
    let strangers = (times.len() - known) as u64;
    let missed = (expected.len() - known) as u64;
    let repeated = times.values().filter(|&&n| n > 1).count() as u64;
    let wanted = number(expected.len() as u64);
    if (strangers, missed, repeated) == (0, 0, 0)
        && !matches!((missing, twice), (Times::Surely, _) | (_, Times::Surely))
    {
        table.check(&format!("{name}, each once"), number(count), wanted, true);
        return;
    }
    table.row(name, number(count), wanted);
    table.check(&format!("{name}: not from the file"), number(strangers), number(0), strangers == 0);
    table.check(&format!("{name}: missing"), number(missed), missing.words(), missing.holds(missed));
    table.check(&format!("{name}: more than once"), number(repeated), twice.words(), twice.holds(repeated));
}

/// Per account the sum of its postings.
fn add_up(postings: &[String]) -> Fallible<HashMap<&str, i64>> {
    let mut balances: HashMap<&str, i64> = HashMap::new();
    for posting in postings {
        let columns: Vec<&str> = posting.split(';').collect();
        let [_, account, amount] = columns[..] else {
            return Err(format!("the ledger holds '{posting}'").into());
        };
        *balances.entry(account).or_default() += amount.parse::<i64>()?;
    }
    Ok(balances)
}

/// Balances are exact only where delivery is. For the others the table shows what that costs.
fn check_balances(table: &mut Table, delivery: Delivery, expected: &Expected<'_>, balances: &HashMap<&str, i64>) {
    let all = expected.balances.len() as u64;
    let right = expected.balances.iter().filter(|&(account, sum)| balances.get(account) == Some(sum)).count() as u64;
    let agree = |(account, (_, stated)): &(&&str, &(&str, Vec<i64>))| {
        balances.get(**account).is_some_and(|sum| stated.iter().any(|stated| (stated - sum).abs() <= 100))
    };
    let agreeing = expected.stated.iter().filter(agree).count() as u64;
    if delivery == Delivery::ExactlyOnce {
        table.check("balances equal to the file's sums", number(right), number(all), right == all);
        let holds = agreeing == AGREE_WITH_BANK;
        table.check("balances the bank itself states", number(agreeing), number(AGREE_WITH_BANK), holds);
    } else {
        table.row("balances equal to the file's sums", number(right), format!("of {}", number(all)));
        table.row("balances the bank itself states", number(agreeing), format!("of {}", number(AGREE_WITH_BANK)));
    }
}

/// Lines that the worker's group has not committed.
fn lag(engine: &Engine) -> Fallible<u64> {
    let consumer = engine.consumer(ConsumerOptions::new().group(worker::GROUP))?;
    let partitions = worker::input();
    consumer.assign(&partitions)?;
    Ok(partitions.iter().map(|partition| consumer.lag(partition)).sum::<oncelog::Result<u64>>()?)
}

fn reason(record: &RecordView<'_>) -> Fallible<String> {
    for header in record.headers() {
        let header = header?;
        if header.key == "reason" {
            return text(header.value);
        }
    }
    Err(format!("a dead letter at offset {} has no reason", record.offset()).into())
}

fn text(bytes: Option<&[u8]>) -> Fallible<String> {
    Ok(String::from_utf8(bytes.unwrap_or_default().to_vec())?)
}

fn first(columns: &str) -> &str {
    columns.split(';').next().unwrap_or_default()
}
