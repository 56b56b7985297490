//! What only a Unix has: forks, links, pipes, mounts and limits.
#![allow(unsafe_code)]

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use oncelog::io::fork;

use crate::{Other, describe, lock, machine, refused, say};

/// Plays a part in another process.
pub fn play(part: &str, dir: &Path) {
    match part {
        "fork" => hold_and_fork(dir),
        "storm" => fork_while_another_thread_locks(dir),
        "bind" => lock_through_a_bind_mount(dir),
        "limit" => write_past_the_limit(dir),
        other => panic!("no such part: {other}"),
    }
}

/// One byte at a time, so that a forked child that reads the same pipe finds its own line.
pub fn listen() {
    let mut byte = [0];
    // SAFETY: reads one byte into a buffer of one byte.
    while unsafe { libc::read(0, byte.as_mut_ptr().cast(), 1) } == 1 && byte[0] != b'\n' {}
}

#[test]
fn a_link_to_a_directory_is_that_directory() {
    let root = tempfile::tempdir().unwrap();
    let (dir, link) = (root.path().join("log"), root.path().join("link"));
    let held = lock(&dir).unwrap();
    std::os::unix::fs::symlink(&dir, &link).unwrap();
    let pid = format!("pid={}", std::process::id());
    for path in [&link, &root.path().join("log/../link/.")] {
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
