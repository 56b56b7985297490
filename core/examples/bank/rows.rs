//! The bank's file, the malformed lines planted into it, and what a line means.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::Fallible;

/// The file, inside the program, so that the demo needs nothing else.
const FILE: &[u8] = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/bank-transactions.csv.gz"));

/// A line that is no transaction.
pub struct Planted {
    /// Its number among the lines that the loader sends, from 1.
    pub position: usize,
    /// Its bytes.
    pub line: &'static [u8],
    /// What the worker must say about it.
    pub reason: &'static str,
}

const fn planted(position: usize, line: &'static [u8], reason: &'static str) -> Planted {
    Planted { position, line, reason }
}

/// Malformed lines of different kinds, one of them the very first line and one the very last.
pub const PLANTED: [Planted; 12] = [
    planted(1, b"", "empty line"),
    planted(4_000, b"695247;2378;930101;\"PRIJEM\";\"VKLAD\";700.00;700.00;\"\";", "9 columns instead of 10"),
    planted(8_200, b"1;2378;930101;\"PRIJEM\";\"VKLAD\";700.00;700.00;\"\";;;", "11 columns instead of 10"),
    planted(12_345, b"69x247;2378;930101;\"PRIJEM\";\"VKLAD\";1.00;1.00;\"\";;", "trans_id is not a number"),
    planted(16_001, b"2;;930101;\"PRIJEM\";\"VKLAD\";700.00;700.00;\"\";;", "account_id is not a number"),
    planted(20_777, b"3;2378;931301;\"PRIJEM\";\"VKLAD\";700.00;700.00;\"\";;", "date is not a day as YYMMDD"),
    planted(24_242, b"4;2378;930101;\"DAR\";\"VKLAD\";700.00;700.00;\"\";;", "unknown type"),
    planted(28_001, b"5;2378;930101;\"PRIJEM\";\"SLIB\";700.00;700.00;\"\";;", "unknown operation"),
    planted(
        32_500,
        b"6;2378;930101;\"PRIJEM\";\"VKLAD\";700,00;700.00;\"\";;",
        "amount is not crowns with two decimals",
    ),
    planted(
        36_002,
        b"7;2378;930101;\"PRIJEM\";\"VKLAD\";-700.00;1.00;\"\";;",
        "amount is not crowns with two decimals",
    ),
    planted(40_400, b"8;2378;930101;\"PRIJEM;\"VKLAD\";700.00;700.00;\"\";;", "quotes do not close"),
    planted(49_114, b"9;2378;930101;\"PRIJEM\";\"VKLAD\xff\";1.00;1.00;\"\";;", "not UTF-8 text"),
];

/// The unpacked file.
pub fn file() -> Fallible<String> {
    let mut text = String::new();
    GzDecoder::new(FILE).read_to_string(&mut text)?;
    Ok(text)
}

/// The file's transactions as they stand there, without the header line.
pub fn lines(file: &str) -> impl Iterator<Item = &str> {
    file.lines().skip(1)
}

/// Everything the loader sends, in order; the first has position 1.
pub fn sent(file: &str) -> Vec<&[u8]> {
    let mut sent: Vec<&[u8]> = Vec::new();
    let mut planted = PLANTED.iter().peekable();
    let mut lines = lines(file).map(str::as_bytes);
    loop {
        let position = sent.len() + 1;
        match planted
            .next_if(|planted| planted.position == position)
            .map(|planted| planted.line)
            .or_else(|| lines.next())
        {
            Some(line) => sent.push(line),
            None => return sent,
        }
    }
}

/// The lines of what the parent wrote for the loader: each ends with a newline.
pub fn split(file: &[u8]) -> Vec<&[u8]> {
    file.strip_suffix(b"\n").unwrap_or(file).split(|&byte| byte == b'\n').collect()
}

/// The account that a line names, if it gets that far: the key that keeps an account's lines in order.
pub fn key(line: &[u8]) -> Option<&[u8]> {
    line.split(|&byte| byte == b';').nth(1).filter(|account| !account.is_empty())
}

/// A transaction, understood.
pub struct Row<'a> {
    pub trans_id: u64,
    pub account: u64,
    /// In hellers, hundredths of a crown; negative for a debit.
    pub amount: i64,
    /// Bank and account of the other side, if this is a transfer to another bank.
    pub transfer: Option<(&'a str, &'a str)>,
}

impl<'a> Row<'a> {
    /// Understands a line, or says why it cannot.
    pub fn parse(line: &'a [u8]) -> Result<Row<'a>, String> {
        if line.is_empty() {
            return Err("empty line".into());
        }
        let line = std::str::from_utf8(line).map_err(|_| "not UTF-8 text")?;
        let columns: Vec<&str> = line.split(';').collect();
        let [trans_id, account, date, kind, operation, amount, _balance, _purpose, bank, other] = columns[..] else {
            return Err(format!("{} columns instead of 10", columns.len()));
        };
        let trans_id = trans_id.parse().map_err(|_| "trans_id is not a number")?;
        let account = account.parse().map_err(|_| "account_id is not a number")?;
        check_date(date)?;
        let sign = match unquote(kind)? {
            "PRIJEM" => 1,
            "VYDAJ" | "VYBER" => -1,
            _ => return Err("unknown type".into()),
        };
        let transfer = match unquote(operation)? {
            "PREVOD NA UCET" => Some((unquote(bank)?, unquote(other)?)),
            "" | "VKLAD" | "VYBER" | "VYBER KARTOU" | "PREVOD Z UCTU" => None,
            _ => return Err("unknown operation".into()),
        };
        Ok(Row { trans_id, account, amount: sign * hellers(amount)?, transfer })
    }
}

fn check_date(date: &str) -> Result<(), &'static str> {
    let in_range = |digits: Option<&str>, last: u32| {
        digits.and_then(|digits| digits.parse().ok()).is_some_and(|number: u32| (1..=last).contains(&number))
    };
    let day = date.len() == 6 && date.bytes().all(|byte| byte.is_ascii_digit());
    match day && in_range(date.get(2..4), 12) && in_range(date.get(4..6), 31) {
        true => Ok(()),
        false => Err("date is not a day as YYMMDD"),
    }
}

/// Text in quotes, or a column that is empty altogether.
fn unquote(column: &str) -> Result<&str, &'static str> {
    match column.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').ok_or("quotes do not close"),
        None if column.is_empty() => Ok(column),
        None => Err("text is not in quotes"),
    }
}

fn hellers(amount: &str) -> Result<i64, &'static str> {
    const REASON: &str = "amount is not crowns with two decimals";
    let (crowns, cents) = amount.split_once('.').ok_or(REASON)?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(crowns) || !digits(cents) || cents.len() != 2 {
        return Err(REASON);
    }
    format!("{crowns}{cents}").parse().map_err(|_| REASON)
}
