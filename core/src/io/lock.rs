//! The directory's lock: flock on the file `lock`, LockFileEx on Windows, so that it goes with the process however that
//! ends, and no stray close of another handle can drop it, as it would a POSIX lock. The holder writes its process id
//! into the file.
//!
//! flock alone already refuses a second open in the same process. The table in `fork` refuses it too where the
//! system lends flock to a whole process, as network file systems do, and can say so in words that help.

use std::fs::{self, TryLockError};
use std::io;
use std::path::Path;

use super::disk::Access;
use super::native::{self, Directory, Pin};
use super::{DirectoryLock, LOCK_NAME, fork};
use crate::error::{Error, ErrorKind, Result};

/// Takes the lock of an open directory, for the one writer or as one of many readers. With `read_only` the file `lock`
/// is neither made nor written; a directory without one was never open for writing, and reading it needs no lock.
pub(super) fn take(directory: &Directory, writer: bool, read_only: bool) -> Result<Box<dyn DirectoryLock>> {
    let path = directory.path();
    if writer && read_only {
        return Err(Error::new(ErrorKind::ReadOnly, format!("open the log for writing, path={}", path.display())));
    }
    fork::install().map_err(|cause| failed("the hook that guards against fork", path, cause))?;
    let pin = directory.pin().map_err(|cause| failed("the directory", path, cause))?;
    let (device, inode) = directory.identity().map_err(|cause| failed("the directory", path, cause))?;

    // Closed until the lock is noted: a child forked in between would inherit a lock it does not know of.
    let gate = fork::Gate::close();
    if let Some(for_writing) = gate.holds(device, inode)
        && (writer || for_writing)
    {
        return Err(held_here(path));
    }
    let file = match open(directory, read_only) {
        Ok(file) => file,
        Err(cause) if read_only && cause.kind() == io::ErrorKind::NotFound => {
            return Ok(Box::new(Unneeded { _pin: pin }));
        }
        Err(cause) => return Err(failed("the file lock", path, cause)),
    };
    match native::try_lock(&file, writer) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => return Err(held_elsewhere(&file, path, writer)),
        Err(TryLockError::Error(cause)) => return Err(failed("the file lock", path, cause)),
    }
    let Some(slot) = gate.note(native::number(&file), device, inode, writer) else {
        let text = format!("this process has too many logs open; close some, most={}", fork::LOCKS_MAX);
        return Err(Error::new(ErrorKind::LimitExceeded, text));
    };
    drop(gate);
    if writer {
        // Only for the message that others get: a full disk must not keep a log from opening.
        let _ = sign(&file);
    }
    Ok(Box::new(Held { file: Some(file), slot, generation: fork::generation(), _pin: pin }))
}

/// Writes the process id, a line. To cut a file and let it grow again is a change that its next flush, or another
/// file's, may have to wait for; mostly the number is as long as the last one.
fn sign(file: &fs::File) -> io::Result<()> {
    let line = format!("{}\n", std::process::id());
    native::write_at(file, line.as_bytes(), 0)?;
    if file.metadata()?.len() > line.len() as u64 { file.set_len(line.len() as u64) } else { Ok(()) }
}

fn open(directory: &Directory, read_only: bool) -> io::Result<fs::File> {
    directory.open_file(LOCK_NAME, if read_only { Access::Read } else { Access::Lock })
}

/// The lock of a directory that nobody ever wrote.
struct Unneeded {
    _pin: Pin,
}

impl DirectoryLock for Unneeded {}

struct Held {
    /// Some until dropped.
    file: Option<fs::File>,
    slot: usize,
    generation: u32,
    _pin: Pin,
}

impl DirectoryLock for Held {}

impl Drop for Held {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        let gate = fork::Gate::close();
        if fork::generation() != self.generation {
            // In a forked child: the hook has closed the descriptor, and its number may be somebody else's by now.
            std::mem::forget(file);
            return;
        }
        gate.clear(self.slot);
        // Unlocked by word before the close: a process being spawned right now may hold a copy of the descriptor
        // until it executes its program, and the lock must not wait for that. The close would unlock all the same,
        // so an error has nothing to add.
        let _ = native::unlock(&file);
        drop(file);
    }
}

fn held_here(path: &Path) -> Error {
    let text = format!(
        "this process already has the log open; use that handle or close it first, pid={}, path={}",
        std::process::id(),
        path.display()
    );
    Error::new(ErrorKind::Locked, text)
}

fn held_elsewhere(file: &fs::File, path: &Path, writer: bool) -> Error {
    // Readers do not write their process ids, so what the file says is old news if the lock can be shared.
    if writer && native::try_lock(file, false).is_ok() {
        let text = format!("others have the log open for reading; close them first, path={}", path.display());
        return Error::new(ErrorKind::Locked, text);
    }
    let holder = holder(file).map_or("unknown".to_owned(), |pid| pid.to_string());
    let text = format!(
        "another process has the log open for writing; stop it or wait for it, pid={holder}, path={}",
        path.display()
    );
    Error::new(ErrorKind::Locked, text)
}

fn holder(file: &fs::File) -> Option<u32> {
    let mut bytes = [0; 16];
    let length = native::read_at(file, &mut bytes, 0).ok()?;
    std::str::from_utf8(&bytes[..length]).ok()?.lines().next()?.parse().ok()
}

fn failed(what: &str, path: &Path, cause: io::Error) -> Error {
    let text = format!(
        "cannot lock the log, {what} failed; the directory must be writable and on a file system with flock, path={}",
        path.display()
    );
    Error::with_source(ErrorKind::Io, text, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory() -> (tempfile::TempDir, Directory) {
        let directory = tempfile::tempdir().unwrap();
        let handle = Directory::open(directory.path(), false).unwrap();
        (directory, handle)
    }

    fn refusal(handle: &Directory, writer: bool) -> String {
        let error = take(handle, writer, false).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Locked);
        error.message().to_owned()
    }

    #[test]
    fn one_writer_shuts_out_everybody_until_it_is_dropped() {
        let (_directory, handle) = directory();
        let first = take(&handle, true, false).unwrap();
        let pid = format!("pid={}", std::process::id());
        assert!(refusal(&handle, true).contains(&pid));
        assert!(refusal(&handle, false).contains(&pid));
        drop(first);
        take(&handle, true, false).unwrap();
    }

    #[test]
    fn what_a_holder_with_a_longer_process_id_left_in_the_file_is_no_part_of_the_next_one_s() {
        let (directory, handle) = directory();
        let name = directory.path().join(LOCK_NAME);
        fs::write(&name, "1234567890123\n").unwrap();
        let first = take(&handle, true, false).unwrap();
        assert_eq!(fs::read_to_string(&name).unwrap(), format!("{}\n", std::process::id()));
        // As it may be found between the write and the cut.
        fs::write(&name, format!("{}\n890123\n", std::process::id())).unwrap();
        assert!(refusal(&handle, true).contains(&format!("pid={}", std::process::id())));
        drop(first);
    }

    #[test]
    fn readers_share_and_shut_out_a_writer() {
        let (_directory, handle) = directory();
        let one = take(&handle, false, false).unwrap();
        let two = take(&handle, false, false).unwrap();
        drop(one);
        refusal(&handle, true);
        drop(two);
        take(&handle, true, false).unwrap();
    }

    #[test]
    fn a_lock_taken_by_other_means_is_respected_and_its_holder_named() {
        let (directory, handle) = directory();
        let path = directory.path();
        fs::write(path.join(LOCK_NAME), "4711\n").unwrap();
        let other = fs::File::open(path.join(LOCK_NAME)).unwrap();
        native::try_lock(&other, true).unwrap();
        assert!(refusal(&handle, true).contains("pid=4711"));
        assert!(refusal(&handle, false).contains("pid=4711"));
        drop(other);
        let reader = fs::File::open(path.join(LOCK_NAME)).unwrap();
        native::try_lock(&reader, false).unwrap();
        assert!(refusal(&handle, true).contains("for reading"));
        take(&handle, false, false).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_lock_that_is_a_link_is_refused() {
        let (directory, handle) = directory();
        std::os::unix::fs::symlink("elsewhere", directory.path().join(LOCK_NAME)).unwrap();
        assert_eq!(take(&handle, true, false).err().unwrap().kind(), ErrorKind::Io);
        assert!(!directory.path().join("elsewhere").exists());
    }

    #[test]
    fn reading_only_writes_no_byte() {
        let (directory, handle) = directory();
        let lock = take(&handle, false, true).unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
        drop(lock);
        assert_eq!(take(&handle, true, true).err().unwrap().kind(), ErrorKind::ReadOnly);
    }
}
