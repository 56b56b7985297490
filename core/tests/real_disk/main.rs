//! The io floor on a real directory: who may hold the lock, what a fork does to it, and what a refused file leaves.
//!
//! Tests that need another process run this program again; `another_process_plays_its_part` then does what it is told.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

#[cfg(unix)]
mod unix;

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use oncelog::error::{Error, ErrorKind};
use oncelog::io::{DirectoryLock, Machine};

const PART: &str = "ONCELOG_TEST_PART";
const DIRECTORY: &str = "ONCELOG_TEST_DIRECTORY";

fn machine(dir: &Path) -> Machine {
    Machine::system(dir, true, false, true).unwrap()
}

fn lock(dir: &Path) -> Result<Box<dyn DirectoryLock>, Error> {
    machine(dir).storage.lock(true)
}

fn refused(dir: &Path) -> String {
    let error = lock(dir).err().expect("somebody else holds it");
    assert_eq!(error.kind(), ErrorKind::Locked, "{error}");
    error.message().to_owned()
}

/// Another process that plays a part. What it has to say comes line by line, each after "say ".
struct Other {
    child: Child,
    hears: ChildStdin,
    says: BufReader<ChildStdout>,
}

impl Other {
    fn start(part: &str, dir: &Path) -> Other {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "another_process_plays_its_part", "--nocapture", "--test-threads=1"])
            .env(PART, part)
            .env(DIRECTORY, dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (hears, says) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        Other { child, hears, says }
    }

    fn hear(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.says.read_line(&mut line).unwrap() > 0, "the other process ended without a word");
            // The test program's own words may stand before it on the line.
            if let Some((_, said)) = line.split_once("say ") {
                return said.trim_end().to_owned();
            }
        }
    }

    fn tell(&mut self, word: &str) {
        writeln!(self.hears, "{word}").unwrap();
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        // No test leaves a process behind. It may have ended by itself.
        let _ = self.child.kill().and_then(|()| self.child.wait());
    }
}

fn say(words: &str) {
    let mut out = io::stdout().lock();
    writeln!(out, "say {words}").unwrap();
    out.flush().unwrap();
}

/// Waits for a line.
fn listen() {
    #[cfg(unix)]
    unix::listen();
    #[cfg(not(unix))]
    io::stdin().read_line(&mut String::new()).unwrap();
}

#[test]
fn another_process_plays_its_part() {
    let (Ok(part), Some(dir)) = (std::env::var(PART), std::env::var_os(DIRECTORY)) else { return };
    let dir = Path::new(&dir);
    match part.as_str() {
        "hold" => {
            let lock = lock(dir).unwrap();
            say("locked");
            listen();
            drop(lock);
            say("dropped");
            listen();
        }
        "try" => say(&describe(lock(dir))),
        #[cfg(unix)]
        other => unix::play(other, dir),
        #[cfg(not(unix))]
        other => panic!("no such part: {other}"),
    }
}

fn describe(answer: Result<Box<dyn DirectoryLock>, Error>) -> String {
    match answer {
        Ok(_) => "locked".to_owned(),
        Err(error) => format!("refused {:?} {}", error.kind(), error.message()),
    }
}

#[test]
fn a_directory_is_opened_once_per_process_by_whatever_path() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("log");
    let held = lock(&dir).unwrap();
    let pid = format!("pid={}", std::process::id());
    for path in [&dir, &root.path().join("log/../log/.")] {
        assert!(refused(path).contains(&pid), "{}", path.display());
    }
    drop(held);
    lock(&dir).unwrap();
}

#[test]
fn a_hard_link_to_the_lock_file_is_the_same_lock() {
    let root = tempfile::tempdir().unwrap();
    let (one, two) = (root.path().join("one"), root.path().join("two"));
    let _held = lock(&one).unwrap();
    fs::create_dir(&two).unwrap();
    fs::hard_link(one.join("lock"), two.join("lock")).unwrap();
    assert!(refused(&two).contains(&format!("pid={}", std::process::id())));
}

#[test]
fn a_second_process_is_refused_and_told_who_holds_the_lock_until_that_one_dies() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Other::start("hold", dir.path());
    assert_eq!(holder.hear(), "locked");
    let message = refused(dir.path());
    assert!(message.contains(&format!("pid={}", holder.child.id())), "{message}");
    assert!(message.contains("another process"), "{message}");
    holder.kill();
    lock(dir.path()).unwrap();
}

#[test]
fn a_stray_close_of_the_lock_file_drops_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    let _held = lock(dir.path()).unwrap();
    drop(fs::File::open(dir.path().join("lock")).unwrap());
    let answer = Other::start("try", dir.path()).hear();
    assert!(answer.starts_with("refused Locked"), "{answer}");
    assert!(answer.contains(&format!("pid={}", std::process::id())), "{answer}");
}

#[test]
fn a_dropped_lock_is_free_although_the_process_lives() {
    let dir = tempfile::tempdir().unwrap();
    let mut holder = Other::start("hold", dir.path());
    assert_eq!(holder.hear(), "locked");
    holder.tell("drop");
    assert_eq!(holder.hear(), "dropped");
    lock(dir.path()).unwrap();
    holder.kill();
}
