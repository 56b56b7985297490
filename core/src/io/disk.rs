//! A real directory; `native` knows how its system does it.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::native::{self, Directory};
use super::sync::RwLock;
use super::{DirectoryLock, File, Mapping, Storage, check_name, lock};
use crate::error::{Error, ErrorKind};

/// Storage in one directory of the file system.
pub struct Disk {
    /// None once it was let go.
    directory: RwLock<Option<Arc<Directory>>>,
    read_only: bool,
    mappings: bool,
}

impl Disk {
    /// Opens a directory that exists. With `read_only` nothing in it is ever changed; without `mappings`
    /// `File::map` always answers None.
    pub fn open(path: &Path, read_only: bool, mappings: bool) -> io::Result<Disk> {
        let directory = RwLock::new(Some(Arc::new(Directory::open(path, read_only)?)));
        Ok(Disk { directory, read_only, mappings })
    }

    fn check_writable(&self) -> io::Result<()> {
        if self.read_only { Err(read_only()) } else { Ok(()) }
    }

    fn directory(&self) -> io::Result<Arc<Directory>> {
        self.directory.read().clone().ok_or_else(|| io::Error::other("the log is closed; open it again"))
    }

    fn file(&self, file: fs::File) -> Arc<dyn File> {
        Arc::new(DiskFile { file, read_only: self.read_only, mappings: self.mappings })
    }
}

impl Storage for Disk {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        self.check_writable()?;
        check_name(name)?;
        let directory = self.directory()?;
        let file = directory.open_file(name, Access::New)?;
        if let Err(error) = native::allocate(&file, size) {
            // Not the name of an open file, which some systems keep until the file is closed.
            drop(file);
            // Without its space the file is of no use; a name that stays behind does no harm either.
            let _ = directory.unlink(name);
            return Err(error);
        }
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let access = if self.read_only { Access::Read } else { Access::Write };
        Ok(self.file(self.directory()?.open_file(name, access)?))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.check_writable()?;
        check_name(name)?;
        self.directory()?.unlink(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let directory = self.directory()?;
        let path = directory.path();
        if !directory.is_in_place()? {
            let text = format!("the directory was moved while the log was open, was={}", path.display());
            return Err(io::Error::new(io::ErrorKind::NotFound, text));
        }
        let mut names = Vec::new();
        for entry in fs::read_dir(path)? {
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
        self.directory()?.sync()
    }

    fn lock(&self, writer: bool) -> crate::error::Result<Box<dyn DirectoryLock>> {
        let directory = self.directory().map_err(|cause| {
            Error::with_source(ErrorKind::Closed, "the log's directory was let go; open the log again", cause)
        })?;
        lock::take(&directory, writer, self.read_only)
    }

    fn let_go(&self) {
        let directory = self.directory.write().take();
        drop(directory);
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
            match native::read_at(&self.file, &mut buffer[filled..], position + filled as u64) {
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
            match native::write_at(&self.file, &bytes[written..], position + written as u64) {
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

    fn begin_sync(&self, position: u64, length: u64) -> io::Result<()> {
        native::begin_sync(&self.file, position, length)
    }

    fn data_from(&self, position: u64) -> u64 {
        native::data_from(&self.file, position)
    }

    fn data_end(&self, from: u64, to: u64) -> u64 {
        native::data_end(&self.file, from, to)
    }

    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        native::punch(&self.file, position, length)
    }

    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        self.check_writable()?;
        native::blank(&self.file, position, length)
    }

    fn map(&self) -> io::Result<Option<Mapping>> {
        if !self.mappings {
            return Ok(None);
        }
        Mapping::of_file(&self.file).map(Some)
    }
}

/// What a file is opened for.
#[derive(Clone, Copy)]
pub(super) enum Access {
    Read,
    /// Reading and writing.
    Write,
    /// The same, of a file that must not be there yet.
    New,
    /// The same, of the lock's file, which is made if it is missing.
    Lock,
}

/// The refusal of a name that is no regular file's.
pub(super) fn irregular(name: &str) -> io::Error {
    let text = format!("a log's files are regular files, never links, pipes or devices; put it elsewhere, name={name}");
    io::Error::new(io::ErrorKind::InvalidInput, text)
}

fn read_only() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the log is open for reading; open it for writing")
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
        #[cfg(unix)]
        {
            let found = fs::metadata(directory.path().join("a")).unwrap();
            let blocks = std::os::unix::fs::MetadataExt::blocks(&found);
            assert!(blocks * 512 >= 100_000, "the space is promised, blocks={blocks}");
        }
        assert_eq!(fs::metadata(directory.path().join("a")).unwrap().len(), 100_000);
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

    #[cfg(any(target_os = "linux", target_os = "android"))]
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
    fn the_device_may_begin_with_a_range_before_the_flush_and_with_one_that_nothing_was_written_to() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 1 << 20).unwrap();
        file.write_at(&[7; 8192], 4096).unwrap();
        file.begin_sync(4096, 16_384).unwrap();
        file.begin_sync(1 << 21, 4096).unwrap();
        assert!(cfg!(not(target_os = "linux")) || file.begin_sync(u64::MAX, 1).is_err());
        file.write_at(&[8; 4096], 4096).unwrap();
        file.sync().unwrap();
        let mut bytes = [0; 8192];
        file.read_at(&mut bytes, 4096).unwrap();
        assert!(bytes[..4096] == [8; 4096] && bytes[4096..] == [7; 4096]);
    }

    #[cfg(any(target_os = "linux", target_os = "android"))]
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
        let more: &[&str] = if cfg!(windows) { &["a\\b", "a:b", "\\a", "C:a"] } else { &[] };
        for name in ["", ".", "..", "a/b", "/a", "a\0b", "lock"].iter().chain(more) {
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
        #[cfg(unix)]
        std::os::unix::fs::symlink("a", directory.path().join("link")).unwrap();
        let _lock = disk.lock(true).unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.list().unwrap(), ["b"]);
    }

    #[cfg(windows)]
    #[test]
    fn a_directory_that_is_locked_is_neither_moved_nor_removed() {
        let parent = tempfile::tempdir().unwrap();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        fs::create_dir(&old).unwrap();
        for read_only in [false, true] {
            let disk = Disk::open(&old, read_only, true).unwrap();
            let lock = disk.lock(!read_only).unwrap();
            assert!(fs::rename(&old, &new).is_err() && fs::remove_dir(&old).is_err(), "read_only={read_only}");
            assert_eq!(disk.list().unwrap(), Vec::<String>::new());
            drop(lock);
            fs::rename(&old, &new).unwrap();
            fs::create_dir(&old).unwrap();
            assert_eq!(disk.list().err().unwrap().kind(), io::ErrorKind::NotFound);
            assert!(disk.lock(!read_only).is_err());
            fs::remove_dir(&old).unwrap();
            fs::rename(&new, &old).unwrap();
        }
    }

    #[test]
    fn who_has_a_removed_file_open_keeps_it_and_its_name_is_free_when_it_is_closed() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 0).unwrap();
        file.write_at(b"old", 0).unwrap();
        disk.remove("a").unwrap();
        let mut bytes = [0; 3];
        assert_eq!((file.read_at(&mut bytes, 0).unwrap(), &bytes), (3, b"old"));
        drop(file);
        disk.create("a", 0).unwrap().write_at(b"new", 0).unwrap();
        assert_eq!(&disk.open("a").unwrap().map().unwrap().unwrap()[..], b"new");
    }

    #[cfg(unix)]
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
    fn a_directory_that_was_let_go_opens_nothing_and_what_was_open_is_its_owner_s() {
        let (_directory, disk) = disk(true);
        let file = disk.create("a", 0).unwrap();
        let lock = disk.lock(true).unwrap();
        disk.let_go();
        disk.let_go();
        file.write_at(b"x", 0).unwrap();
        drop(lock);
        assert_eq!(disk.lock(true).err().unwrap().kind(), ErrorKind::Closed);
        for answer in [disk.create("b", 0).map(drop), disk.open("a").map(drop), disk.remove("a"), disk.list().map(drop)]
        {
            assert!(answer.unwrap_err().to_string().contains("closed"));
        }
    }

    #[test]
    fn mappings_can_be_turned_off() {
        let (_directory, disk) = disk(false);
        assert!(disk.create("a", 10).unwrap().map().unwrap().is_none());
    }
}
