//! A file's bytes for reading, mapped or on the heap. One of the six files with unsafe code.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::{MmapOptions, MmapRaw};

/// Bytes that stay where they are as long as the owner lives: a read-only mapping of a file, or memory. It derefs to
/// a slice; put it in an `Arc` to share it.
pub struct Mapping {
    owner: Owner,
    /// At most as many bytes as the owner has.
    len: usize,
}

enum Owner {
    Mapped(MmapRaw),
    Heap(Arc<Vec<u8>>),
}

impl Mapping {
    /// Maps the whole of `file`, which must be one that is never cut and never changes again below the byte where its
    /// bytes are looked at: a sealed segment.
    pub(super) fn of_file(file: &fs::File) -> io::Result<Mapping> {
        if file.metadata()?.len() == 0 {
            // The system maps no empty range.
            return Ok(Mapping::from(Vec::new()));
        }
        let map = MmapOptions::new().map_raw_read_only(file)?;
        Ok(Mapping { len: map.len(), owner: Owner::Mapped(map) })
    }

    /// The bytes before `end` alone. What lies behind a segment's frames may still be written: its footer.
    pub fn up_to(self, end: u64) -> Mapping {
        Mapping { len: self.len.min(usize::try_from(end).unwrap_or(usize::MAX)), ..self }
    }
}

impl From<Vec<u8>> for Mapping {
    fn from(bytes: Vec<u8>) -> Self {
        Mapping::from(Arc::new(bytes))
    }
}

impl From<Arc<Vec<u8>>> for Mapping {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Mapping { len: bytes.len(), owner: Owner::Heap(bytes) }
    }
}

impl Deref for Mapping {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.owner {
            // SAFETY: the mapping holds `len` bytes at least, for as long as it is borrowed here. They must not change
            // or go away meanwhile. Only settled segments are mapped, and of one nobody in this log writes, cuts or
            // reuses the bytes up to its last frame's end, where `up_to` ends the slice; its footer lies behind, and so
            // does what a next life adds. The directory's lock keeps other writers of the log out; removing the name
            // leaves a mapped file whole, or is refused. Other programs that write into the directory are outside the
            // fault model; for files one does not trust, mappings can be turned off.
            Owner::Mapped(map) => unsafe { std::slice::from_raw_parts(map.as_ptr(), self.len) },
            Owner::Heap(bytes) => &bytes[..self.len],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_send_sync<T: Send + Sync + 'static>(_: &T) {}

    #[test]
    fn a_mapping_outlives_the_name_and_the_handle_of_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sealed");
        fs::write(&path, b"bytes that stay").unwrap();
        let mapping = Mapping::of_file(&fs::File::open(&path).unwrap()).unwrap();
        // Windows keeps the name of what is mapped.
        let removed = fs::remove_file(&path);
        assert!(removed.is_ok() || cfg!(windows), "{removed:?}");
        assert_send_sync(&mapping);
        assert_eq!(&mapping[..], b"bytes that stay");
    }

    #[test]
    fn a_mapping_ends_where_the_frames_do_and_what_is_written_behind_is_none_of_it() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("sealed");
        fs::write(&path, b"frames, and room").unwrap();
        let mapping = Mapping::of_file(&fs::File::open(&path).unwrap()).unwrap().up_to(6);
        let mut behind = fs::OpenOptions::new().append(true).open(&path).unwrap();
        io::Write::write_all(&mut behind, b" for a footer").unwrap();
        assert_eq!(&mapping[..], b"frames");
        assert_eq!(Mapping::from(vec![1, 2, 3]).up_to(2).len(), 2);
        assert_eq!(Mapping::from(vec![1, 2, 3]).up_to(u64::MAX).len(), 3);
    }

    #[test]
    fn an_empty_file_and_heap_bytes_answer_like_a_mapping() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs::File::create_new(directory.path().join("empty")).unwrap();
        assert!(Mapping::of_file(&file).unwrap().is_empty());
        assert_eq!(&Mapping::from(vec![1, 2, 3])[1..], &[2, 3]);
    }
}
