//! The main job: a bank's transactions, loaded and worked through while both processes are killed again and again,
//! then proved exact.
//!
//! ```text
//! file --loader--> transactions --worker--> ledger, transfers, transactions.dlt
//! ```
//!
//! * `loader.rs` sends every line of the file with its number as position. After a crash it asks where it stood.
//! * `worker.rs` reads the lines, transforms them, and writes the results. It is the program to read first.
//! * `parent.rs` runs one after the other as child processes, kills them with SIGKILL and starts them again.
//! * `proof.rs` reads the result and compares it with the file.
//!
//! Run it with `make demo`, or by hand:
//! `cargo run --release --example bank -- <new directory> [exactly-once | at-least-once | at-most-once]`

mod kills;
mod loader;
mod parent;
mod proof;
mod report;
mod rows;
mod table;
mod worker;

use std::path::Path;
use std::process::ExitCode;
use std::str::FromStr;

/// What a step of this program may answer.
pub type Fallible<T> = Result<T, Box<dyn std::error::Error>>;

/// When the worker commits its offsets: the whole difference between the three semantics.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// Together with what it wrote, in one transaction.
    ExactlyOnce,
    /// After it wrote: a crash between the two does the work twice.
    AtLeastOnce,
    /// Before it writes: a crash between the two loses the work.
    AtMostOnce,
}

impl Delivery {
    /// The word for it on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Delivery::ExactlyOnce => "exactly-once",
            Delivery::AtLeastOnce => "at-least-once",
            Delivery::AtMostOnce => "at-most-once",
        }
    }
}

impl FromStr for Delivery {
    type Err = String;
    fn from_str(word: &str) -> Result<Self, String> {
        [Delivery::ExactlyOnce, Delivery::AtLeastOnce, Delivery::AtMostOnce]
            .into_iter()
            .find(|delivery| delivery.name() == word)
            .ok_or_else(|| format!("unknown delivery '{word}': say exactly-once, at-least-once or at-most-once"))
    }
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all that had to be proved is proved. The third word is how the parent starts its children.
fn run(words: &[&str]) -> Fallible<bool> {
    match *words {
        [directory] => parent::run(Path::new(directory), Delivery::ExactlyOnce),
        [directory, delivery] => parent::run(Path::new(directory), delivery.parse()?),
        [directory, _, "loader"] => loader::run(Path::new(directory)).map(|()| true),
        [directory, delivery, "worker"] => worker::run(Path::new(directory), delivery.parse()?).map(|()| true),
        _ => Err("give a new directory for the log, and the delivery if it is not exactly-once".into()),
    }
}
