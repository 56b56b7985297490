//! A real directory. One of the five files with unsafe code.
//!
//! The directory is opened once and everything in it is reached through that handle, so a directory that is moved, or
//! another one put in its place, can not divert a write from the directory whose lock is held.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::fs;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DirectoryLock, File, Mapping, Storage, check_name, lock};

/// Storage in one directory of the file system.
pub struct Disk {
    directory: fs::File,
    /// Where it lay at the open; for listing and for messages.
    path: PathBuf,
    read_only: bool,
    mappings: bool,
}

impl Disk {
    /// Opens a directory that exists. With `read_only` nothing in it is ever changed; without `mappings`
    /// `File::map` always answers None.
    pub fn open(path: &Path, read_only: bool, mappings: bool) -> io::Result<Disk> {
        // Absolute, so that listing works wherever the process changes its directory to.
        let path = fs::canonicalize(path)?;
        let directory = fs::File::options().read(true).custom_flags(libc::O_DIRECTORY).open(&path)?;
        Ok(Disk { directory, path, read_only, mappings })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(read_only()) } else { Ok(()) }
    }

    fn file(&self, file: fs::File) -> Arc<dyn File> {
        Arc::new(DiskFile { file, read_only: self.read_only, mappings: self.mappings })
    }
}

impl Storage for Disk {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        self.check_writable()?;
        check_name(name)?;
        let file = open_regular(&self.directory, name, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)?;
        if let Err(error) = allocate(&file, size) {
            // Without its space the file is of no use; a name that stays behind does no harm either.
            let _ = unlink(&self.directory, name);
            return Err(error);
        }
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let access = if self.read_only { libc::O_RDONLY } else { libc::O_RDWR };
        Ok(self.file(open_regular(&self.directory, name, access)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        check_name(name)?;
        unlink(&self.directory, name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let (held, found) = (self.directory.metadata()?, fs::metadata(&self.path)?);
        if (held.dev(), held.ino()) != (found.dev(), found.ino()) {
            let text = format!("the directory was moved while the log was open, was={}", self.path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            let Ok(name) = entry.file_name().into_string() else { continue };
            if check_name(&name).is_ok() && entry.file_type()?.is_file() {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.check_writable()?;
        self.directory.sync_all()
    }

    fn lock(&self, writer: bool) -> crate::error::Result<Box<dyn DirectoryLock>> {
        lock::take(&self.directory, &self.path, writer, self.read_only)
    }
}

struct DiskFile {
    file: fs::File,
    read_only: bool,
    mappings: bool,
}

impl DiskFile {
    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(read_only()) } else { Ok(()) }
    }
}

impl File for DiskFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.file.read_at(&mut buffer[filled..], position + filled as u64) {
                Ok(0) => break,
                Ok(more) => filled += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        self.check_writable()?;
        let mut written = 0;
        while written < bytes.len() {
            match self.file.write_at(&bytes[written..], position + written as u64) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(more) => written += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.check_writable()?;
        self.file.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn data_from(&self, position: u64) -> u64 {
        data_from(&self.file, position)
    }

    fn data_end(&self, from: u64, to: u64) -> u64 {
        data_end(&self.file, from, to)
    }

    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        punch(&self.file, position, length)
    }

    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        blank(&self.file, position, length)
    }

    fn map(&self) -> io::Result<Option<Mapping>> {
        if !self.mappings {
            return Ok(None);
        }
        Mapping::of_file(&self.file).map(Some)
    }
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the log is open for reading; open it for writing")
}

/// Opens `name` in the directory if it is a regular file and not a link. `flags` say how; a new file is readable by
/// all and writable by its owner, less the process's umask.
pub(super) fn open_regular(directory: &fs::File, name: &str, flags: i32) -> io::Result<fs::File> {
    let c_name = CString::new(name)?;
    // Not blocking: a pipe under that name must not hang the open before it is refused below.
    let flags = flags | libc::O_NOFOLLOW | libc::O_CLOEXEC | libc::O_NONBLOCK | libc::O_NOCTTY;
    let descriptor = loop {
        // SAFETY: the directory's descriptor is open, the name ends with a zero and outlives the call.
        let answer = unsafe { libc::openat(directory.as_raw_fd(), c_name.as_ptr(), flags, 0o644 as libc::c_uint) };
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
    if !file.metadata()?.is_file() {
        return Err(irregular(name));
    }
    Ok(file)
}

fn irregular(name: &str) -> io::Error {
    let text = format!("a log's files are regular files, never links, pipes or devices; put it elsewhere, name={name}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn unlink(directory: &fs::File, name: &str) -> io::Result<()> {
    let c_name = CString::new(name)?;
    // SAFETY: the directory's descriptor is open, the name ends with a zero and outlives the call.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), c_name.as_ptr(), 0) })
}

/// Sets an empty file's length, with its space promised where the file system can.
fn allocate(file: &fs::File, size: u64) -> io::Result<()> {
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
fn data_from(file: &fs::File, position: u64) -> u64 {
    seek(file, position, libc::SEEK_DATA).unwrap_or(position)
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn data_end(file: &fs::File, from: u64, to: u64) -> u64 {
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
fn data_from(_file: &fs::File, position: u64) -> u64 {
    position
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn data_end(_file: &fs::File, _from: u64, to: u64) -> u64 {
    to
}

/// Frees the blocks of a range, if the file system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn punch(file: &fs::File, position: u64, length: u64) -> io::Result<()> {
    if_supported(file, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE, position, length)
}

/// Keeps the blocks of a range and forgets what was written there, if the file system can.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn blank(file: &fs::File, position: u64, length: u64) -> io::Result<()> {
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
fn punch(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
    Ok(())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn blank(_file: &fs::File, _position: u64, _length: u64) -> io::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(mappings: bool) -> (tempfile::TempDir, Disk) {
        let directory = tempfile::tempdir().unwrap();
        let disk = Disk::open(directory.path(), false, mappings).unwrap();
        (directory, disk)
    }

    #[test]
    fn a_new_file_has_its_size_and_space_and_reads_as_zeros() {
        let (directory, disk) = disk(true);
        let file = disk.create("a", 100_000).unwrap();
        assert_eq!(file.len().unwrap(), 100_000);
        let mut bytes = [1; 64];
        assert_eq!(file.read_at(&mut bytes, 99_990).unwrap(), 10, "the end of the file cuts a read");
        assert_eq!(&bytes[..11], &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let blocks = fs::metadata(directory.path().join("a")).unwrap().blocks();
        assert!(blocks * 512 >= 100_000, "the space is promised, blocks={blocks}");
        assert_eq!(disk.create("a", 0).err().unwrap().kind(), io::ErrorKind::AlreadyExists);
    }

    #[test]
    fn what_is_written_is_read_again_and_a_write_past_the_end_grows_the_file() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 10).unwrap();
        file.write_at(b"hello", 8).unwrap();
        file.sync().unwrap();
        disk.sync_directory().unwrap();
        let again = disk.open("a").unwrap();
        assert_eq!(again.len().unwrap(), 13);
        assert_eq!(&again.map().unwrap().unwrap()[7..], b"\0hello");
    }

    #[test]
    fn a_punched_range_reads_as_zeros_and_the_length_stays() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 0).unwrap();
        file.write_at(&[7; 20_000], 0).unwrap();
        file.punch(0, 0).unwrap();
        file.punch(4096, 8192).unwrap();
        assert_eq!(file.len().unwrap(), 20_000);
        let bytes = file.map().unwrap().unwrap();
        assert!(bytes[..4096].iter().chain(&bytes[12_288..]).all(|&b| b == 7));
        assert!(bytes[4096..12_288].iter().all(|&b| b == 0), "ext4, XFS, btrfs and tmpfs all punch");
    }

    #[test]
    fn a_blank_range_reads_as_zeros_keeps_its_space_and_is_known_to_hold_nothing() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 1 << 20).unwrap();
        file.write_at(&[7; 4096], 0).unwrap();
        file.write_at(&[0; 600_000], 4096).unwrap();
        file.sync().unwrap();
        file.blank(4096, 0).unwrap();
        file.blank(8192, (1 << 20) - 8192).unwrap();
        assert_eq!(file.len().unwrap(), 1 << 20);
        let bytes = file.map().unwrap().unwrap();
        assert!(bytes[..4096].iter().all(|&b| b == 7) && bytes[4096..].iter().all(|&b| b == 0));
        file.write_at(b"x", 700_000).unwrap();
        assert!(file.data_from(0) == 0 && file.data_from(100_000) <= 700_000, "data is never stepped over");
    }

    #[test]
    fn what_was_promised_and_never_written_is_known_to_hold_nothing() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 1 << 20).unwrap();
        file.write_at(b"x", 300_000).unwrap();
        let found = file.data_from(0);
        assert!(found <= 300_000, "data is never stepped over");
        assert!(file.data_from(300_000) == 300_000);
        assert!(file.data_from(400_000) >= 400_000 && file.data_from(2 << 20) == u64::MAX);
        let end = file.data_end(0, 1 << 20);
        assert!((300_001..=1 << 20).contains(&end), "data is never left out: {end}");
        assert_eq!((file.data_end(0, 200_000), file.data_end(1 << 20, 1 << 20)), (0, 1 << 20));
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        let (_directory, disk) = disk(true);
        for name in ["", ".", "..", "a/b", "/a", "a\0b", "lock"] {
            assert_eq!(disk.create(name, 0).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(disk.open(name).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{name:?}");
            assert_eq!(disk.remove(name).err().unwrap().kind(), io::ErrorKind::InvalidInput, "{name:?}");
        }
    }

    #[test]
    fn the_list_holds_regular_files_only() {
        let (directory, disk) = disk(true);
        disk.create("a", 0).unwrap();
        disk.create("b", 0).unwrap();
        fs::create_dir(directory.path().join("sub")).unwrap();
        std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
        let _lock = disk.lock(true).unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
    }

    #[test]
    fn a_directory_that_was_moved_is_still_the_one_written_to() {
        let parent = tempfile::tempdir().unwrap();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        fs::create_dir(&old).unwrap();
        let disk = Disk::open(&old, false, true).unwrap();
        fs::rename(&old, &new).unwrap();
        fs::create_dir(&old).unwrap();
        disk.create("a", 0).unwrap();
        assert!(new.join("a").exists() && !old.join("a").exists());
        assert_eq!(disk.list().err().unwrap().kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn storage_that_is_read_only_changes_nothing() {
        let (directory, writable) = disk(true);
        writable.create("a", 0).unwrap().write_at(b"x", 0).unwrap();
        let disk = Disk::open(directory.path(), true, true).unwrap();
        let file = disk.open("a").unwrap();
        for answer in [
            disk.create("b", 0).map(drop),
            disk.remove("a"),
            disk.sync_directory(),
            file.write_at(b"y", 0),
            file.punch(0, 1),
            file.blank(0, 1),
            file.sync(),
        ] {
            assert_eq!(answer.err().unwrap().kind(), io::ErrorKind::ReadOnlyFilesystem);
        }
        assert_eq!(&file.map().unwrap().unwrap()[..], b"x");
    }

    #[test]
    fn mappings_can_be_turned_off() {
        let (_directory, disk) = disk(false);
        assert!(disk.create("a", 10).unwrap().map().unwrap().is_none());
    }
}
