//! The io floor on a real directory: who may hold the lock, what a fork does to it, and what a refused file leaves.
//!
//! Tests that need another process run this program again; `another_process_plays_its_part` then does what it is told.
#![allow(unsafe_code)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::error::{Error, ErrorKind};
use oncelog::io::{DirectoryLock, Machine, fork};

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

/// One byte at a time, so that a forked child that reads the same pipe finds its own line.
fn listen() -> String {
    let mut line = String::new();
    let mut byte = [0];
    // SAFETY: reads one byte into a buffer of one byte.
    while unsafe { libc::read(0, byte.as_mut_ptr().cast(), 1) } == 1 && byte[0] != b'\n' {
        line.push(char::from(byte[0]));
    }
    line
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
        "fork" => hold_and_fork(dir),
        "storm" => fork_while_another_thread_locks(dir),
        "bind" => lock_through_a_bind_mount(dir),
        "limit" => write_past_the_limit(dir),
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
    let (dir, link) = (root.path().join("log"), root.path().join("link"));
    let held = lock(&dir).unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let pid = format!("pid={}", std::process::id());
    for path in [&dir, &link, &root.path().join("log/../link/.")] {
        assert!(refused(path).contains(&pid), "{}", path.display());
    }
    drop(held);
    lock(&link).unwrap();
}

#[test]
fn a_directory_mounted_twice_is_one_directory() {
    let root = tempfile::tempdir().unwrap();
    let answer = Other::start("bind", root.path()).hear();
    assert!(answer.starts_with("refused Locked this process") || answer == "may not mount", "{answer}");
}

fn lock_through_a_bind_mount(root: &Path) {
    let (dir, mounted) = (root.join("log"), root.join("mounted"));
    fs::create_dir(&dir).unwrap();
    fs::create_dir(&mounted).unwrap();
    let path = |path: &Path| std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    let (from, to, slash) = (path(&dir), path(&mounted), path(Path::new("/")));
    let none = std::ptr::null();
    // SAFETY: all strings end with a zero and outlive the calls. The mounts are this process's own from here on.
    let done = unsafe {
        libc::unshare(libc::CLONE_NEWNS) == 0
            && libc::mount(none, slash.as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()) == 0
            && libc::mount(from.as_ptr(), to.as_ptr(), none, libc::MS_BIND, none.cast()) == 0
    };
    if !done {
        return say("may not mount");
    }
    let _held = lock(&dir).unwrap();
    say(&describe(lock(&mounted)));
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

#[test]
fn a_forked_child_changes_generation_and_its_drop_frees_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let held = lock(dir.path()).unwrap();
    let before = fork::generation();
    // SAFETY: the child reads an atomic, drops the lock and leaves without running anything else.
    let child = unsafe { libc::fork() };
    if child == 0 {
        drop(held);
        let code = i32::from(fork::generation() == before);
        // SAFETY: ends the child at once.
        unsafe { libc::_exit(code) };
    }
    let mut status = 0;
    // SAFETY: waits for the child just made.
    assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
    assert_eq!(status, 0, "the child saw a new generation and left");
    assert_eq!(fork::generation(), before);
    let answer = Other::start("try", dir.path()).hear();
    assert!(answer.starts_with("refused Locked"), "the parent holds it still: {answer}");
    drop(held);
    lock(dir.path()).unwrap();
}

#[test]
fn a_child_that_outlives_its_parent_does_not_keep_the_lock_and_may_take_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut parent = Other::start("fork", dir.path());
    assert_eq!(parent.hear(), "child: generation 1");
    parent.tell("try");
    let answer = parent.hear();
    assert!(answer.starts_with("child: refused Locked another process"), "the parent lives: {answer}");
    parent.kill();
    drop(lock(dir.path()).unwrap());
    parent.tell("try again");
    assert_eq!(parent.hear(), "child: locked", "the child opens anew, as its own process");
    parent.tell("leave");
    let mut rest = String::new();
    parent.says.read_to_string(&mut rest).unwrap();
}

fn hold_and_fork(dir: &Path) {
    let held = lock(dir).unwrap();
    // SAFETY: the only other thread of this process waits for this one, so the child has all that it needs.
    let child = unsafe { libc::fork() };
    if child != 0 {
        // Until it is killed.
        loop {
            std::thread::park();
        }
    }
    say(&format!("child: generation {}", fork::generation()));
    listen();
    say(&format!("child: {}", describe(lock(dir))));
    listen();
    say(&format!("child: {}", describe(lock(dir))));
    listen();
    std::mem::forget(held);
    // SAFETY: ends the child at once.
    unsafe { libc::_exit(0) };
}

#[test]
fn a_fork_in_the_middle_of_an_open_or_a_close_inherits_no_lock() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Other::start("storm", dir.path()).hear(), "0 of 300");
}

fn fork_while_another_thread_locks(dir: &Path) {
    let lock_file = fs::canonicalize(dir).unwrap().join("lock");
    let done = AtomicBool::new(false);
    let storage = machine(dir).storage;
    let mut leaks = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                drop(storage.lock(true).unwrap());
            }
        });
        for _ in 0..300 {
            // SAFETY: the child lists its descriptors, for which the C library keeps memory usable, and leaves.
            let child = unsafe { libc::fork() };
            if child == 0 {
                let leaked = fs::read_dir("/proc/self/fd")
                    .unwrap()
                    .any(|entry| fs::read_link(entry.unwrap().path()).is_ok_and(|target| target == lock_file));
                // SAFETY: ends the child at once.
                unsafe { libc::_exit(i32::from(leaked)) };
            }
            let mut status = 0;
            // SAFETY: waits for the child just made.
            assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
            leaks += i32::from(status != 0);
        }
        done.store(true, Ordering::Relaxed);
    });
    say(&format!("{leaks} of 300"));
}

#[test]
fn links_pipes_and_directories_are_no_files_of_a_log() {
    let dir = tempfile::tempdir().unwrap();
    let storage = machine(dir.path()).storage;
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("target"), b"outside").unwrap();
    std::os::unix::fs::symlink(outside.path().join("target"), dir.path().join("link")).unwrap();
    std::os::unix::fs::symlink(outside.path().join("new"), dir.path().join("dangling")).unwrap();
    fs::create_dir(dir.path().join("sub")).unwrap();
    let pipe = std::ffi::CString::new(dir.path().join("pipe").to_str().unwrap()).unwrap();
    // SAFETY: the name ends with a zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(pipe.as_ptr(), 0o600) }, 0);
    for name in ["link", "dangling", "pipe", "sub"] {
        assert!(storage.open(name).is_err(), "{name}");
        assert_eq!(storage.create(name, 0).err().unwrap().kind(), io::ErrorKind::AlreadyExists, "{name}");
    }
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1, "nothing was made through a link");
    assert_eq!(storage.list().unwrap(), Vec::<String>::new());
}

#[test]
fn a_refused_size_leaves_no_file_and_a_write_past_the_limit_says_so() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(Other::start("limit", dir.path()).hear(), "FileTooLarge [] FileTooLarge 65536 ok");
}

/// A limit on the size of files stands in for a full disk: it needs no mount and no rights.
fn write_past_the_limit(dir: &Path) {
    let storage = machine(dir).storage;
    let limit = libc::rlimit { rlim_cur: 65_536, rlim_max: 65_536 };
    // SAFETY: the limit outlives the call; the signal that a write past it sends is ignored, so the write answers.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &limit), 0);
    }
    let refused = storage.create("large", 1 << 20).err().unwrap().kind();
    let left = storage.list().unwrap();
    let file = storage.create("small", 4096).unwrap();
    let short = file.write_at(&[1; 100], 65_500).err().unwrap().kind();
    let length = file.len().unwrap();
    let after = file.write_at(&[2; 100], 0).and_then(|()| file.sync()).map_or("failed", |()| "ok");
    say(&format!("{refused:?} {left:?} {short:?} {length} {after}"));
}
