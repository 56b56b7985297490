//! The simulated disk behind the traits.

use std::io;
use std::sync::Arc;

use super::Shared;
use super::disk::Op;
use super::fault::{Call, Fault};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{DirectoryLock, File, Mapping, Storage, check_name};

pub(super) struct SimStorage {
    pub shared: Arc<Shared>,
    pub life: u64,
    pub read_only: bool,
}

impl SimStorage {
    fn handle(&self, file: u64) -> Arc<dyn File> {
        Arc::new(SimFile { shared: self.shared.clone(), life: self.life, file, read_only: self.read_only })
    }
}

fn check_writable(read_only: bool) -> io::Result<()> {
    if read_only {
        return Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the log is open for reading"));
    }
    Ok(())
}

impl Storage for SimStorage {
    fn create(&self, name: &str, size: u64) -> io::Result<Arc<dyn File>> {
        check_writable(self.read_only)?;
        check_name(name)?;
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Create)?;
        if state.disk.find(name).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        if state.room() < size {
            state.hit("disk full at create");
            return Err(Fault::Enospc.error());
        }
        state.perform(Op::Create { name: name.to_owned(), size });
        let file = state.disk.find(name).ok_or(io::ErrorKind::NotFound)?;
        *state.open.entry(file).or_default() += 1;
        drop(state);
        Ok(self.handle(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn File>> {
        check_name(name)?;
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Open)?;
        let file = state.disk.find(name).ok_or(io::ErrorKind::NotFound)?;
        *state.open.entry(file).or_default() += 1;
        drop(state);
        Ok(self.handle(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        check_writable(self.read_only)?;
        check_name(name)?;
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Remove)?;
        state.disk.find(name).ok_or(io::ErrorKind::NotFound)?;
        state.perform(Op::Remove { name: name.to_owned() });
        Ok(())
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::List)?;
        let mut names: Vec<String> = state.disk.live.keys().cloned().collect();
        // In no order: nobody may come to rely on one.
        for last in (1..names.len()).rev() {
            let other = state.rng.index(last + 1);
            names.swap(last, other);
        }
        Ok(names)
    }

    fn sync_directory(&self) -> io::Result<()> {
        check_writable(self.read_only)?;
        let mut state = self.shared.state.lock();
        let fault = state.begin(self.life, Call::SyncDirectory)?;
        state.sync_directory(fault)
    }

    fn lock(&self, writer: bool) -> Result<Box<dyn DirectoryLock>> {
        if writer && self.read_only {
            return Err(Error::new(ErrorKind::ReadOnly, "open the log for writing"));
        }
        let mut state = self.shared.state.lock();
        state
            .begin_whole(self.life, Call::Lock)
            .map_err(|cause| Error::with_source(ErrorKind::Io, "cannot lock the simulated directory", cause))?;
        if state.holders.writer || (writer && state.holders.readers > 0) {
            state.hit("lock refused");
            let text = "this process already has the log open; use that handle or close it first";
            return Err(Error::new(ErrorKind::Locked, text));
        }
        if writer {
            state.holders.writer = true;
        } else {
            state.holders.readers += 1;
        }
        drop(state);
        Ok(Box::new(SimLock { shared: self.shared.clone(), life: self.life, writer }))
    }
}

struct SimLock {
    shared: Arc<Shared>,
    life: u64,
    writer: bool,
}

impl DirectoryLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.life != self.life {
            return;
        }
        if self.writer {
            state.holders.writer = false;
        } else {
            state.holders.readers = state.holders.readers.saturating_sub(1);
        }
    }
}

struct SimFile {
    shared: Arc<Shared>,
    life: u64,
    file: u64,
    read_only: bool,
}

impl File for SimFile {
    fn read_at(&self, buffer: &mut [u8], position: u64) -> io::Result<usize> {
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Read)?;
        let image = state.image(self.file);
        let start = usize::try_from(position).unwrap_or(usize::MAX).min(image.len());
        let length = buffer.len().min(image.len() - start);
        buffer[..length].copy_from_slice(&image[start..start + length]);
        Ok(length)
    }

    fn write_at(&self, bytes: &[u8], position: u64) -> io::Result<()> {
        check_writable(self.read_only)?;
        let mut state = self.shared.state.lock();
        let fault = state.begin(self.life, Call::Write)?;
        if let Some(fault) = fault {
            let most = bytes.len().saturating_sub(1);
            let written = match fault {
                Fault::Eio => state.rng.index(bytes.len() + 1),
                Fault::ShortWrite => (1 + state.rng.index(most)).min(most),
                Fault::Enospc | Fault::Emfile => 0,
            };
            state.write(self.file, position, bytes, written);
            return Err(fault.error());
        }
        let fitting = state.fitting(self.file, position, bytes.len() as u64) as usize;
        state.write(self.file, position, bytes, fitting);
        if fitting < bytes.len() {
            state.hit("disk full at write");
            return Err(Fault::Enospc.error());
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        check_writable(self.read_only)?;
        let mut state = self.shared.state.lock();
        let fault = state.begin(self.life, Call::Sync)?;
        state.sync(self.file, fault)
    }

    fn len(&self) -> io::Result<u64> {
        let mut state = self.shared.state.lock();
        // Counted as a read: on a real disk it asks the inode.
        state.begin_whole(self.life, Call::Read)?;
        Ok(state.image(self.file).len() as u64)
    }

    fn punch(&self, position: u64, length: u64) -> io::Result<()> {
        check_writable(self.read_only)?;
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Punch)?;
        state.perform(Op::Punch { file: self.file, position, length });
        Ok(())
    }

    fn blank(&self, position: u64, length: u64) -> io::Result<()> {
        check_writable(self.read_only)?;
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Punch)?;
        state.perform(Op::Blank { file: self.file, position, length });
        Ok(())
    }

    fn map(&self) -> io::Result<Option<Mapping>> {
        let mut state = self.shared.state.lock();
        state.begin_whole(self.life, Call::Map)?;
        if !state.mappings {
            return Ok(None);
        }
        Ok(Some(Mapping::from(state.image(self.file))))
    }
}

impl Drop for SimFile {
    fn drop(&mut self) {
        let mut state = self.shared.state.lock();
        if state.life != self.life {
            return;
        }
        let left = state.open.get(&self.file).copied().unwrap_or(0);
        if left > 1 {
            state.open.insert(self.file, left - 1);
            return;
        }
        state.open.remove(&self.file);
        let state = &mut *state;
        state.disk.collect(|id| state.open.contains_key(&id));
    }
}
