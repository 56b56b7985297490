//! The main job: a bank's transactions, loaded and worked through while both processes are killed again and again,
//! then proved exact.
//!
//! ```text
//! file --loader--> transactions --worker--> ledger, transfers, transactions.dlt
//! ```
//!
//! * `loader.rs` sends every line of the file with its number as position. After a crash it asks where it stood.
//! * `worker.rs` reads the lines, transforms them, and writes the results. It is the program to read first.
//! * `parent.rs` runs one after the other as child processes, kills them with SIGKILL and starts them again. It says
//!   how a child is started and what it must say, so that the children may be another program in another language.
//! * `proof.rs` reads the result and compares it with the file.
//!
//! Run it with `make demo`, or by hand:
//! `cargo run --release --example bank -- <new directory> [exactly-once | at-least-once | at-most-once]
//! [-- <program> [arguments]]`

mod kills;
mod loader;
mod parent;
mod proof;
mod report;
mod rows;
mod table;
mod worker;

use std::ffi::OsString;
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
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    match run(&arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bank: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Answers whether all that had to be proved is proved. Four words are how the parent starts its children.
fn run(arguments: &[OsString]) -> Fallible<bool> {
    let mut halves = arguments.splitn(2, |word| word == "--");
    let (words, program) = (halves.next().unwrap_or_default(), halves.next());
    let program = match program {
        Some([]) => return Err("name the program of the children behind --".into()),
        Some(program) => program.to_vec(),
        // This program plays the children too.
        None => vec![std::env::current_exe()?.into()],
    };
    let names: Vec<&str> = words.iter().skip(1).map(|word| word.to_str().unwrap_or_default()).collect();
    match (words, &names[..]) {
        ([directory], _) => parent::run(Path::new(directory), Delivery::ExactlyOnce, &program),
        ([directory, _], [delivery]) => parent::run(Path::new(directory), delivery.parse()?, &program),
        ([log, _, _, csv], [_, "loader", _]) => loader::run(Path::new(log), Path::new(csv)).map(|()| true),
        ([log, ..], [delivery, "worker", _]) => worker::run(Path::new(log), delivery.parse()?).map(|()| true),
        _ => Err("give a new directory, the delivery if it is not exactly-once, and -- before another program".into()),
    }
}
