//! What a Unix does with directories and files. One of the six files with unsafe code.
//!
//! The directory is opened once and everything in it is reached through that handle, so a directory that is moved, or
//! another one put in its place, can not divert a write from the directory whose lock is held.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs::{self, TryLockError};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::disk::{Access, irregular};

/// A directory that is open.
pub struct Directory {
    handle: fs::File,
    /// Where it lay at the open; for listing and for messages.
    path: PathBuf,
}

impl Directory {
    /// Opens a directory that exists.
    pub fn open(path: &Path, _read_only: bool) -> io::Result<Directory> {
        // Absolute, so that listing works wherever the process changes its directory to.
        let path = fs::canonicalize(path)?;
        let handle = fs::File::options().read(true).custom_flags(libc::O_DIRECTORY).open(&path)?;
        Ok(Directory { handle, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode: the same for the same directory, by whatever path it was opened.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        let found = self.handle.metadata()?;
        Ok((found.dev(), found.ino()))
    }

    /// Whether it lies where it lay at the open.
    pub fn is_in_place(&self) -> io::Result<bool> {
        let found = fs::metadata(&self.path)?;
        Ok(self.identity()? == (found.dev(), found.ino()))
    }

    /// Nothing: wherever it is moved, its handle leads to it.
    pub fn pin(&self) -> io::Result<Pin> {
        Ok(Pin)
    }

    /// Opens `name` if it is a regular file and not a link. A new file is readable by all and writable by its owner,
    /// less the process's umask.
    pub fn open_file(&self, name: &str, access: Access) -> io::Result<fs::File> {
        let flags = match access {
            Access::Read => libc::O_RDONLY,
            Access::Write => libc::O_RDWR,
            Access::New => libc::O_RDWR | libc::O_CREAT | libc::O_EXCL,
            Access::Lock => libc::O_RDWR | libc::O_CREAT,
        };
        let c_name = CString::new(name)?;
        // Not blocking: a pipe under that name must not hang the open before it is refused below.
        let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
        let descriptor = loop {
            let directory = self.handle.as_raw_fd();
            // SAFETY: the directory's descriptor is open, the name ends with a zero and outlives the call.
            let answer = unsafe { libc::openat(directory, c_name.as_ptr(), flags, 0o644 as libc::c_uint) };
            match check(answer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(irregular(name)),
                other => {
                    other?;
                    break answer;
                }
            }
        };
        // SAFETY: the descriptor was opened just now and nobody else owns it.
        let file = unsafe { fs::File::from_raw_fd(descriptor) };
        if file.metadata()?.is_file() { Ok(file) } else { Err(irregular(name)) }
    }

    /// Removes a name.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        let c_name = CString::new(name)?;
        // SAFETY: the directory's descriptor is open, the name ends with a zero and outlives the call.
        check(unsafe { libc::unlinkat(self.handle.as_raw_fd(), c_name.as_ptr(), 0) })
    }

    /// Makes names durable.
    pub fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

/// Keeps a directory where it is, on systems that reach what is in it by its path.
pub struct Pin;

/// Runs `start` so that a thread made by it takes no signals that are sent to the process: who blocks them to wait for
/// them (sigwait, signalfd) gets them, and handlers run on the program's own threads. Those of faults stay.
pub fn shielded<R>(start: impl FnOnce() -> R) -> R {
    const FAULTS: [libc::c_int; 7] =
        [libc::SIGBUS, libc::SIGSEGV, libc::SIGFPE, libc::SIGILL, libc::SIGABRT, libc::SIGTRAP, libc::SIGSYS];
    struct Back(libc::sigset_t);
    impl Drop for Back {
        fn drop(&mut self) {
            // SAFETY: the mask is the one that this thread had.
            unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.0, std::ptr::null_mut()) };
        }
    }
    // SAFETY: zeros are a set of signals, and each call fills or changes the set that it is given.
    let before = unsafe {
        let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&mut all);
        for fault in FAULTS {
            libc::sigdelset(&mut all, fault);
        }
        (libc::pthread_sigmask(libc::SIG_BLOCK, &all, &mut before) == 0).then_some(Back(before))
    };
    let started = start();
    drop(before);
    started
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    fs::File::open(path)?.sync_all()
}

/// Reads at a position, some bytes at least unless the file ends there.
#[inline]
pub fn read_at(file: &fs::File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.read_at(buffer, position)
}

/// Writes at a position, some bytes at least.
#[inline]
pub fn write_at(file: &fs::File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.write_at(bytes, position)
}

/// Takes the lock of a file, alone or with others; it goes with the open file.
pub fn try_lock(file: &fs::File, alone: bool) -> Result<(), TryLockError> {
    if alone { file.try_lock() } else { file.try_lock_shared() }
}

/// Gives the lock back.
pub fn unlock(file: &fs::File) -> io::Result<()> {
    file.unlock()
}

/// What a forked child has to close.
pub fn number(file: &fs::File) -> i32 {
    file.as_raw_fd()
}

/// Sets an empty file's length, with its space promised where the file system can.
pub fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
    if size == 0 {
        return Ok(());
    }
    match fallocate(file, 0, 0, size) {
        Err(error) if is_unsupported(&error) => file.set_len(size),
        other => other,
    }
}

/// Stretches of data that are stepped over to find the end of the last one.
#[cfg(any(target_os = "linux", target_os = "android"))]
const STRETCHES: usize = 256;

/// Where the file system has data at or behind a position: what it promised and nobody wrote reads as zeros.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn data_from(file: &fs::File, position: u64) -> u64 {
    seek(file, position, libc::SEEK_DATA).unwrap_or(position)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn data_end(file: &fs::File, from: u64, to: u64) -> u64 {
    let mut end = from;
    for _ in 0..STRETCHES {
        match seek(file, end, libc::SEEK_DATA) {
            Some(data) if data >= to => return end,
            Some(data) => match seek(file, data, libc::SEEK_HOLE) {
                Some(hole) if hole < to => end = hole,
                _ => return to,
            },
            None => return to,
        }
    }
    to
}

/// The next data, or the next place without any, at or behind a position; `u64::MAX` if there is none.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn seek(file: &fs::File, position: u64, what: libc::c_int) -> Option<u64> {
    let Ok(from) = libc::off_t::try_from(position) else { return Some(u64::MAX) };
    // SAFETY: a plain number about a file that is open. It moves the file's own position, which no other call uses.
    let found = unsafe { libc::lseek(file.as_raw_fd(), from, what) };
    match u64::try_from(found) {
        Ok(found) => Some(found.max(position)),
        Err(_) if io::Error::last_os_error().raw_os_error() == Some(libc::ENXIO) => Some(u64::MAX),
        Err(_) => None,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn data_from(_file: &fs::File, position: u64) -> u64 {
    position
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn data_end(_file: &fs::File, _from: u64, to: u64) -> u64 {
    to
}

/// Begins to write a range to the device. Nothing is waited for, so no failure is taken from the flush that follows.
#[cfg(target_os = "linux")]
pub fn begin_sync(file: &fs::File, position: u64, length: u64) -> io::Result<()> {
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let position = libc::off64_t::try_from(position).map_err(too_far)?;
    let length = libc::off64_t::try_from(length).map_err(too_far)?;
    // SAFETY: plain numbers about a file that is open.
    let answer = unsafe { libc::sync_file_range(file.as_raw_fd(), position, length, libc::SYNC_FILE_RANGE_WRITE) };
    match check(answer) {
        Err(error) if is_unsupported(&error) => Ok(()),
        other => other,
    }
}

#[cfg(not(target_os = "linux"))]
pub fn begin_sync(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

/// Frees the blocks of a range, if the file system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn punch(file: &fs::File, position: u64, length: u64) -> io::Result<()> {
    if_supported(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, position, length)
}

/// Keeps the blocks of a range and forgets what was written there, if the file system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub fn blank(file: &fs::File, position: u64, length: u64) -> io::Result<()> {
    if_supported(file, libc::FALLOC_FL_ZERO_RANGE | libc::FALLOC_FL_KEEP_SIZE, position, length)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn if_supported(file: &fs::File, mode: i32, position: u64, length: u64) -> io::Result<()> {
    if length == 0 {
        return Ok(());
    }
    match fallocate(file, mode, position, length) {
        Err(error) if is_unsupported(&error) => Ok(()),
        other => other,
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn punch(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub fn blank(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn fallocate(file: &fs::File, mode: i32, position: u64, length: u64) -> io::Result<()> {
    let too_far = |_| io::Error::from_raw_os_error(libc::EFBIG);
    let position = libc::off_t::try_from(position).map_err(too_far)?;
    let length = libc::off_t::try_from(length).map_err(too_far)?;
    loop {
        // SAFETY: plain numbers about a file that is open.
        match check(unsafe { libc::fallocate(file.as_raw_fd(), mode, position, length) }) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn fallocate(_file: &fs::File, _mode: i32, _position: u64, _length: u64) -> io::Result<()> {
    Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP))
}

fn is_unsupported(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS))
}

/// The C library's answer as a result: below zero, the reason is in errno.
fn check(answer: libc::c_int) -> io::Result<()> {
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
