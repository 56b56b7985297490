//! What a child tells its parent, one line each on its stdout, and how it waits for leave to go on.

use std::io::{self, Write};
use std::str::FromStr;

use crate::Fallible;

/// One line of a child. Numbers count lines of the input, so both children measure progress in the same unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Line {
    /// The process runs and is about to open the log.
    Opening,
    /// The log is open; everything up to this line is done.
    Ready(u64),
    /// Of so many lines sent again, so many were refused as duplicates.
    Resent { refused: u64, sent: u64 },
    /// A group has begun; it reaches up to this line.
    Begin(u64),
    /// The group's first half is done; the child waits for leave to do the second.
    Half(u64),
    /// The group is committed.
    Committed(u64),
    /// Everything is done; the process ends.
    Done,
}

impl std::fmt::Display for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Line::Opening => write!(f, "opening"),
            Line::Ready(n) => write!(f, "ready {n}"),
            Line::Resent { refused, sent } => write!(f, "resent {refused} {sent}"),
            Line::Begin(n) => write!(f, "begin {n}"),
            Line::Half(n) => write!(f, "half {n}"),
            Line::Committed(n) => write!(f, "committed {n}"),
            Line::Done => write!(f, "done"),
        }
    }
}

impl FromStr for Line {
    type Err = Box<dyn std::error::Error>;
    fn from_str(line: &str) -> Fallible<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        Ok(match *words {
            ["opening"] => Line::Opening,
            ["ready", n] => Line::Ready(n.parse()?),
            ["resent", refused, sent] => Line::Resent { refused: refused.parse()?, sent: sent.parse()? },
            ["begin", n] => Line::Begin(n.parse()?),
            ["half", n] => Line::Half(n.parse()?),
            ["committed", n] => Line::Committed(n.parse()?),
            ["done"] => Line::Done,
            _ => return Err(format!("a child said '{line}'").into()),
        })
    }
}

/// Tells the parent, at once.
pub fn say(line: Line) -> Fallible<()> {
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{line}")?;
    Ok(stdout.flush()?)
}

/// Says that the first half of a group is done and waits for leave to do the second. The parent kills here instead of
/// answering when it wants to be sure that the kill falls between the halves.
pub fn half(n: u64) -> Fallible<()> {
    say(Line::Half(n))?;
    match io::stdin().read_line(&mut String::new())? {
        0 => Err("the parent is gone".into()),
        _ => Ok(()),
    }
}
