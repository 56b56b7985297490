//! The machine that a program runs on.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::Machine;
use super::clock::SystemClock;
use super::disk::Disk;
use super::fork;
use super::native;
use super::park::ThreadPark;
use super::random::SystemRandom;
use crate::error::{Error, ErrorKind, Result};

impl Machine {
    /// The operating system's files in `dir`, its clocks, threads and randomness. With `create` a directory that is
    /// missing is made, its parents too, durably, unless `read_only`: then nothing is ever changed. Without
    /// `mappings` all reading goes through read calls. Takes no lock.
    pub fn system(dir: &Path, create: bool, read_only: bool, mappings: bool) -> Result<Machine> {
        // Before the first handle, so that handles know a forked child from its parent.
        fork::install().map_err(|cause| {
            Error::with_source(ErrorKind::Io, "the hook that guards against fork was refused; free some memory", cause)
        })?;
        if create && !read_only {
            make_directory(dir).map_err(|cause| refused("make", dir, cause))?;
        }
        let storage = Disk::open(dir, read_only, mappings).map_err(|cause| refused("open", dir, cause))?;
        let clock = Arc::new(SystemClock::new());
        Ok(Machine {
            storage: Arc::new(storage),
            park: Arc::new(ThreadPark::new(clock.clone())),
            clock,
            random: Arc::new(SystemRandom::new()?),
        })
    }
}

/// Makes a directory and its parents. Each one's name is durable when this returns: a log that survives a power cut
/// in a directory that does not is lost.
fn make_directory(dir: &Path) -> io::Result<()> {
    let mut missing: Vec<PathBuf> = Vec::new();
    for ancestor in dir.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        match fs::metadata(ancestor) {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(ancestor.to_owned()),
            Err(error) => return Err(error),
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    fs::create_dir_all(dir)?;
    for made in missing.iter().rev() {
        let parent = made.parent().filter(|path| !path.as_os_str().is_empty()).unwrap_or(Path::new("."));
        native::sync_directory(parent)?;
    }
    Ok(())
}

fn refused(verb: &str, dir: &Path, cause: io::Error) -> Error {
    let (kind, advice) = match cause.kind() {
        io::ErrorKind::NotFound => (ErrorKind::InvalidArgument, "make it first, or have the log created"),
        io::ErrorKind::NotADirectory | io::ErrorKind::AlreadyExists => {
            (ErrorKind::InvalidArgument, "a log is a directory; give the path of one, or of none yet")
        }
        // What the system itself calls invalid has a number.
        io::ErrorKind::InvalidInput if cause.raw_os_error().is_none() => {
            (ErrorKind::InvalidArgument, "give a path that the system takes: no zero byte in it")
        }
        io::ErrorKind::PermissionDenied => (ErrorKind::Io, "give this user the right to it"),
        io::ErrorKind::ReadOnlyFilesystem => (ErrorKind::Io, "the file system is read-only; open the log for reading"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => (ErrorKind::Full, "free some space"),
        _ => (ErrorKind::Io, "the cause says why"),
    };
    let text = format!("cannot {verb} the directory of the log; {advice}, path={}, cause={cause}", dir.display());
    Error::with_source(kind, text, cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_made_with_its_parents_only_when_asked_for() {
        let root = tempfile::tempdir().unwrap();
        let dir = root.path().join("a/b/c");
        for (create, read_only) in [(false, false), (false, true), (true, true)] {
            let error = Machine::system(&dir, create, read_only, true).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains("create"), "{error}");
        }
        let machine = Machine::system(&dir, true, false, true).unwrap();
        machine.storage.create("file", 1).unwrap();
        assert!(dir.join("file").exists());
        Machine::system(&dir, true, false, true).unwrap();
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_refused_and_kept() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "precious").unwrap();
        for (dir, create) in [(path.clone(), true), (path.clone(), false), (path.join("deeper"), true)] {
            let error = Machine::system(&dir, create, false, true).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
        }
        assert_eq!(fs::read(&path).unwrap(), b"precious");
    }

    #[test]
    fn a_path_with_a_zero_byte_is_refused_as_an_argument() {
        let root = tempfile::tempdir().unwrap();
        for (create, read_only) in [(true, false), (false, false), (false, true)] {
            let error = Machine::system(&root.path().join("a\0b"), create, read_only, true).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{error}");
            assert!(error.message().contains("zero byte"), "{error}");
        }
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }
}
