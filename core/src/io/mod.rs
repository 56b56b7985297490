//! The only floor that touches the operating system. Everything above asks these traits, so the simulator can
//! answer instead: a disk that tears, a clock that stands still, randomness that repeats.

pub mod branches;
pub mod bugs;
pub mod clock;
pub mod disk;
pub mod fork;
pub mod lock;
pub mod map;
pub mod park;
pub mod random;
#[cfg(feature = "sim")]
pub mod sim;
pub mod sync;
mod system;
pub mod touched;
#[cfg(unix)]
mod unix;
pub mod wake;
#[cfg(windows)]
mod windows;

use std::io;
use std::sync::Arc;

pub use bugs::{Bug, planted};
pub use clock::Clock;
pub use map::Mapping;
pub use park::{Event, Park};
pub use random::Random;
// What differs from system to system, behind the same names.
pub use native::shielded;
#[cfg(unix)]
use unix as native;
#[cfg(windows)]
use windows as native;

/// The lock's file. It belongs to the storage: no call lists, opens, makes or removes it by this name.
const LOCK_NAME: &str = "lock";

/// One directory. Names are plain file names other than `lock`; the storage follows no link out of the directory.
pub trait Storage: Send + Sync + 'static {
    /// Makes a new file of `size` bytes whose space is promised (fallocate where the system has it). Fails with
    /// `AlreadyExists` if the name is taken. Neither the content nor the name is durable until `File::sync` and
    /// `sync_directory` have returned.
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>>;
    /// Opens a file that exists, for reading and, unless the storage is read-only, for writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn File>>;
    /// Removes a name. Readers that have the file open keep it. Never one that is mapped, which Windows refuses.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// The names of all regular files but `lock`, in no order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes names durable: those created and removed so far.
    fn sync_directory(&self) -> io::Result<()>;
    /// Takes the directory's lock, for the one writer or as one of many readers, or says who holds it
    /// (`ErrorKind::Locked`). Held until dropped; gone with the process, and in a forked child.
    fn lock(&self, writer: bool) -> crate::error::Result<Box<dyn DirectoryLock>>;
    /// Lets go of the directory: from here on every call but this one may fail. Files that are open, and the lock, are
    /// their owners' to drop. What keeps nothing open of its own may do nothing.
    fn let_go(&self) {}
}

/// Holding it is holding the directory.
pub trait DirectoryLock: Send + Sync {}

/// One open file. All calls may run at the same time from several threads.
pub trait File: Send + Sync + 'static {
    /// Fills `buffer` from `position`; returns fewer bytes only at the end of the file.
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize>;
    /// Writes all of `bytes` at `position`, growing the file if it ends before. After an error any part may be written.
    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()>;
    /// Flushes the content to the device (fdatasync). A failure is final: it must never be tried again.
    fn sync(&self) -> io::Result<()>;
    /// Has the device begin with a range that was written, without waiting: the flush to come is shorter then. A
    /// failure is one of the flush.
    fn begin_sync(&self, _position: u64, _length: u64) -> io::Result<()> {
        Ok(())
    }
    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// True if the file has no bytes.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// The first byte at or behind `position` that may be anything but zero; `position` where the system cannot tell,
    /// `u64::MAX` if there is none.
    fn data_from(&self, position: u64) -> u64 {
        position
    }
    /// The byte behind the last one from `from` on and before `to` that may be anything but zero; `from` if there is
    /// none, `to` where the system cannot tell. Where nothing was written and something was read the system may take
    /// the zeros for data, so ask before reading.
    fn data_end(&self, _from: u64, to: u64) -> u64 {
        to
    }
    /// Gives the space of a range back; it reads as zeros. The length stays. May do nothing where unsupported.
    fn punch(&self, position: u64, length: u64) -> io::Result<()>;
    /// Makes a range as it was when the file was created: its space is there, it reads as zeros, and `data_from` knows.
    /// May do nothing, so only for bytes that are zeros already.
    fn blank(&self, position: u64, length: u64) -> io::Result<()>;
    /// Maps the whole file for reading. Only for files that never change again below the byte up to which the mapping
    /// is looked at (`Mapping::up_to`). `None`: mappings are off, use `read_at`.
    fn map(&self) -> io::Result<Option<Mapping>>;
}

/// All that the engine asks of the machine.
#[derive(Clone)]
pub struct Machine {
    /// The directory.
    pub storage: Arc<dyn Storage>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// How a thread waits.
    pub park: Arc<dyn Park>,
    /// Salts and ids.
    pub random: Arc<dyn Random>,
}

/// Refuses what is not the plain name of a file that the log may call its own.
fn check_name(name: &str) -> io::Result<()> {
    let leads_elsewhere = name.contains(['/', '\0']) || cfg!(windows) && name.contains(['\\', ':']);
    if name.is_empty() || name == "." || name == ".." || name == LOCK_NAME || leads_elsewhere {
        let text = format!("a file's name must be plain, without path, and not \"{LOCK_NAME}\", name={name:?}");
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    Ok(())
}
