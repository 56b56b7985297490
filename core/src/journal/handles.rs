//! The files of the segments that an opening reads. Behind a checkpoint may lie more of them than a process may have
//! open, so only the last few that were read are.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

use crate::format::files::SegmentHeader;
use crate::io::sync::Mutex;
use crate::io::{File, Mapping, Storage};

/// So many stay open.
const OPEN: usize = 16;

/// Opens segments by their numbers.
pub struct Handles {
    storage: Arc<dyn Storage>,
    /// The one that was read last is the last.
    open: Mutex<VecDeque<(u64, Arc<dyn File>)>>,
}

impl Handles {
    pub fn new(storage: Arc<dyn Storage>) -> Arc<Handles> {
        Arc::new(Handles { storage, open: Mutex::default() })
    }

    /// A segment's file for whoever keeps it open.
    pub fn open(&self, number: u64) -> io::Result<Arc<dyn File>> {
        let known = {
            let mut open = self.open.lock();
            let at = open.iter().position(|(of, _)| *of == number);
            at.and_then(|at| open.remove(at))
        };
        let file = match known {
            Some((_, file)) => file,
            None => self.storage.open(&SegmentHeader::name(number, 0))?,
        };
        let mut open = self.open.lock();
        let late = if open.len() < OPEN { None } else { open.pop_front() };
        open.push_back((number, file.clone()));
        // Closed without the lock.
        drop(open);
        drop(late);
        Ok(file)
    }

    /// A segment's file for whoever reads in it now and then: an error if it cannot be opened now, or then.
    pub fn reader(self: &Arc<Self>, number: u64) -> io::Result<Arc<dyn File>> {
        self.open(number)?;
        Ok(Arc::new(Reader { handles: self.clone(), number }))
    }
}

/// A file that is open while it is read, and longer if it is one of the last.
struct Reader {
    handles: Arc<Handles>,
    number: u64,
}

impl Reader {
    fn file(&self) -> io::Result<Arc<dyn File>> {
        self.handles.open(self.number)
    }
}

/// Who writes has a file that stays open: what a flush has to say is said to that one.
fn read_only<T>() -> io::Result<T> {
    Err(io::Error::new(io::ErrorKind::Unsupported, "this file is for reading"))
}

impl File for Reader {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        self.file()?.read_at(buffer, position)
    }
    fn len(&self) -> io::Result<u64> {
        self.file()?.len()
    }
    fn data_from(&self, position: u64) -> u64 {
        self.file().map_or(position, |file| file.data_from(position))
    }
    fn data_end(&self, from: u64, to: u64) -> u64 {
        self.file().map_or(to, |file| file.data_end(from, to))
    }
    fn write_at(&self, _bytes: &[u8], _position: u64) -> io::Result<()> {
        read_only()
    }
    fn sync(&self) -> io::Result<()> {
        read_only()
    }
    fn punch(&self, _position: u64, _length: u64) -> io::Result<()> {
        read_only()
    }
    fn blank(&self, _position: u64, _length: u64) -> io::Result<()> {
        read_only()
    }
    fn map(&self) -> io::Result<Option<Mapping>> {
        Ok(None)
    }
}
