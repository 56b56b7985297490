//! What Windows does with directories and files. One of the six files with unsafe code.
//!
//! While its lock is held a directory can be neither moved nor removed, so its path leads to it, and no write is
//! diverted from the directory whose lock is held.
#![allow(unsafe_code)]

use std::fs::{self, TryLockError};
use std::io;
use std::os::windows::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::os::windows::io::AsRawHandle;
use std::path::{Path, PathBuf};

use windows_sys::Win32::Foundation::{
    ERROR_ACCESS_DENIED, ERROR_INVALID_FUNCTION, ERROR_INVALID_PARAMETER, ERROR_LOCK_VIOLATION, ERROR_NOT_SUPPORTED,
};
use windows_sys::Win32::Storage::FileSystem::{
    BY_HANDLE_FILE_INFORMATION, FILE_ADD_FILE, FILE_ATTRIBUTE_REPARSE_POINT, FILE_FLAG_BACKUP_SEMANTICS,
    FILE_FLAG_OPEN_REPARSE_POINT, FILE_GENERIC_READ, FILE_SHARE_DELETE, FILE_SHARE_READ, FILE_SHARE_WRITE,
    GetFileInformationByHandle, LOCKFILE_EXCLUSIVE_LOCK, LOCKFILE_FAIL_IMMEDIATELY, LockFileEx, UnlockFileEx,
};
use windows_sys::Win32::System::IO::{OVERLAPPED, OVERLAPPED_0, OVERLAPPED_0_0};

use super::disk::{Access, irregular};

/// A directory that is open.
pub struct Directory {
    handle: fs::File,
    /// Where it lay at the open, and lies as long as it is pinned.
    path: PathBuf,
}

impl Directory {
    /// Opens a directory that exists.
    pub fn open(path: &Path, read_only: bool) -> io::Result<Directory> {
        // Absolute and without links, which could be set anew.
        let path = fs::canonicalize(path)?;
        let handle = open_directory(&path, read_only, FILE_SHARE_DELETE)?;
        Ok(Directory { handle, path })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Volume and index: the same for the same directory, by whatever path it was opened.
    pub fn identity(&self) -> io::Result<(u64, u64)> {
        identity(&self.handle)
    }

    /// Whether it lies where it lay at the open.
    pub fn is_in_place(&self) -> io::Result<bool> {
        Ok(identity(&open_directory(&self.path, true, FILE_SHARE_DELETE)?)? == self.identity()?)
    }

    /// Keeps it where it is until the answer is dropped: opened without leave for others to move or remove it.
    pub fn pin(&self) -> io::Result<Pin> {
        let pin = open_directory(&self.path, true, 0)?;
        if identity(&pin)? != self.identity()? {
            return Err(io::Error::new(io::ErrorKind::NotFound, "the directory was moved while it was opened"));
        }
        Ok(Pin { _open: pin })
    }

    /// Opens `name` if it is a regular file and not a link. A new file has the rights that the directory hands down.
    pub fn open_file(&self, name: &str, access: Access) -> io::Result<fs::File> {
        let file = self.open_as(name, access, FILE_FLAG_OPEN_REPARSE_POINT)?;
        let found = file.metadata()?;
        if !found.is_file() {
            return Err(irregular(name));
        }
        if found.file_attributes() & FILE_ATTRIBUTE_REPARSE_POINT == 0 {
            return Ok(file);
        }
        // No link, but kept by the system in another form, as by deduplication: opened so, that it is read as it was.
        self.open_as(name, access, 0)
    }

    fn open_as(&self, name: &str, access: Access, flags: u32) -> io::Result<fs::File> {
        let mut options = fs::File::options();
        options.read(true).custom_flags(flags);
        match access {
            Access::Read => &mut options,
            Access::Write => options.write(true),
            Access::New => options.write(true).create_new(true),
            // Nobody removes it while it is open: beside another file of its name the lock would be worth nothing.
            Access::Lock => options.write(true).create(true).share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE),
        };
        options.open(self.path.join(name))
    }

    /// Removes a name. Refused for a file that is mapped. Where the file system knows no other way (FAT), a file that
    /// is open keeps its name until it is closed, and nobody can open it meanwhile.
    pub fn unlink(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    /// Makes names durable.
    pub fn sync(&self) -> io::Result<()> {
        flush_names(&self.handle)
    }
}

/// Keeps a directory where it is.
pub struct Pin {
    _open: fs::File,
}

fn identity(file: &fs::File) -> io::Result<(u64, u64)> {
    let mut found = BY_HANDLE_FILE_INFORMATION::default();
    // SAFETY: the handle is open, and the call writes one such structure, to one that is ours.
    if unsafe { GetFileInformationByHandle(file.as_raw_handle(), &mut found) } == 0 {
        return Err(io::Error::last_os_error());
    }
    let index = u64::from(found.nFileIndexHigh) << 32 | u64::from(found.nFileIndexLow);
    Ok((u64::from(found.dwVolumeSerialNumber), index))
}

/// A file in the place of a directory is refused. Only who may add files may flush what it holds. `share` is what
/// others may do meanwhile, besides reading and writing.
fn open_directory(path: &Path, read_only: bool, share: u32) -> io::Result<fs::File> {
    let access = if read_only { FILE_GENERIC_READ } else { FILE_GENERIC_READ | FILE_ADD_FILE };
    let handle = fs::File::options()
        .access_mode(access)
        .share_mode(FILE_SHARE_READ | FILE_SHARE_WRITE | share)
        .custom_flags(FILE_FLAG_BACKUP_SEMANTICS)
        .open(path)?;
    if handle.metadata()?.is_dir() { Ok(handle) } else { Err(io::ErrorKind::NotADirectory.into()) }
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> io::Result<()> {
    match open_directory(path, false, FILE_SHARE_DELETE) {
        Ok(handle) => flush_names(&handle),
        // A directory may be made in one whose other files are none of this user's business.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        Err(error) => Err(error),
    }
}

/// Flushes a directory where the file system does that. Those that keep a journal of their names (NTFS, ReFS) write it
/// in order, so there a name is durable with the first flush of its file as well.
fn flush_names(directory: &fs::File) -> io::Result<()> {
    const UNKNOWN: [u32; 4] =
        [ERROR_INVALID_FUNCTION, ERROR_ACCESS_DENIED, ERROR_NOT_SUPPORTED, ERROR_INVALID_PARAMETER];
    match directory.sync_all() {
        Err(error) if UNKNOWN.iter().any(|code| error.raw_os_error() == Some(*code as i32)) => Ok(()),
        other => other,
    }
}

/// Reads at a position, some bytes at least unless the file ends there.
#[inline]
pub fn read_at(file: &fs::File, buffer: &mut [u8], position: u64) -> io::Result<usize> {
    file.seek_read(buffer, position)
}

/// Writes at a position, some bytes at least.
#[inline]
pub fn write_at(file: &fs::File, bytes: &[u8], position: u64) -> io::Result<usize> {
    file.seek_write(bytes, position)
}

/// Takes the lock of a file, alone or with others; it goes with the open file. What is locked is one byte that no file
/// reaches: the others may read who holds it.
pub fn try_lock(file: &fs::File, alone: bool) -> Result<(), TryLockError> {
    let how = if alone { LOCKFILE_EXCLUSIVE_LOCK } else { 0 };
    let mut place = lock_place();
    // SAFETY: the handle is open, and by the standard library, so never for overlapped calls: this one is over when it
    // returns, and the place outlives it.
    let taken = unsafe { LockFileEx(file.as_raw_handle(), how | LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &mut place) };
    if taken != 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        Some(code) if code == ERROR_LOCK_VIOLATION as i32 => Err(TryLockError::WouldBlock),
        _ => Err(TryLockError::Error(error)),
    }
}

/// Gives the lock back.
pub fn unlock(file: &fs::File) -> io::Result<()> {
    let mut place = lock_place();
    // SAFETY: as in `try_lock`.
    if unsafe { UnlockFileEx(file.as_raw_handle(), 0, 1, 0, &mut place) } == 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

fn lock_place() -> OVERLAPPED {
    let offset = OVERLAPPED_0_0 { Offset: 0, OffsetHigh: 1 << 30 };
    OVERLAPPED { Anonymous: OVERLAPPED_0 { Anonymous: offset }, ..OVERLAPPED::default() }
}

/// What a forked child has to close: there are none.
pub fn number(_file: &fs::File) -> i32 {
    0
}

/// Sets an empty file's length. The file system takes the space now, and knows up to where something was written.
pub fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
    if size == 0 { Ok(()) } else { file.set_len(size) }
}

/// The system does not tell what was promised from what was written.
pub fn data_from(_file: &fs::File, position: u64) -> u64 {
    position
}

pub fn begin_sync(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

pub fn data_end(_file: &fs::File, _from: u64, to: u64) -> u64 {
    to
}

/// There are no signals that a thread could take.
pub fn shielded<R>(start: impl FnOnce() -> R) -> R {
    start()
}

/// Gives nothing back: only a sparse file could, and that has no space promised.
pub fn punch(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

pub fn blank(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}
