//! A file's bytes for reading, mapped or on the heap. One of the six files with unsafe code.
#![allow(unsafe_code)]

use std::fs;
use std::io;
use std::ops::Deref;
use std::sync::Arc;

use memmap2::Mmap;

/// Bytes that stay where they are as long as the owner lives: a read-only mapping of a file, or memory. It derefs to
/// a slice; put it in an `Arc` to share it.
pub struct Mapping(Owner);

enum Owner {
    Mapped(Mmap),
    Heap(Arc<Vec<u8>>),
}

impl Mapping {
    /// Maps the whole of `file`, which must be one that never changes again and is never cut: a sealed segment.
    pub(super) fn of_file(file: &fs::File) -> io::Result<Mapping> {
        if file.metadata()?.len() == 0 {
            // The system maps no empty range.
            return Ok(Mapping::from(Vec::new()));
        }
        // SAFETY: the bytes behind the slice must not change or go away while it is borrowed. The caller maps only
        // files that nobody in this log writes, cuts or reuses from here on; the directory's lock keeps other
        // writers of the log out; removing the name leaves a mapped file whole, or is refused. Other programs that
        // write into the directory are outside the fault model; for files one does not trust, mappings can be turned
        // off.
        let map = unsafe { Mmap::map(file)? };
        Ok(Mapping(Owner::Mapped(map)))
    }
}

impl From<Vec<u8>> for Mapping {
    fn from(bytes: Vec<u8>) -> Self {
        Mapping(Owner::Heap(Arc::new(bytes)))
    }
}

impl From<Arc<Vec<u8>>> for Mapping {
    fn from(bytes: Arc<Vec<u8>>) -> Self {
        Mapping(Owner::Heap(bytes))
    }
}

impl Deref for Mapping {
    type Target = [u8];
    #[inline]
    fn deref(&self) -> &[u8] {
        match &self.0 {
            Owner::Mapped(map) => map,
            Owner::Heap(bytes) => bytes,
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
    fn an_empty_file_and_heap_bytes_answer_like_a_mapping() {
        let directory = tempfile::tempdir().unwrap();
        let file = fs::File::create_new(directory.path().join("empty")).unwrap();
        assert!(Mapping::of_file(&file).unwrap().is_empty());
        assert_eq!(&Mapping::from(vec![1, 2, 3])[1..], &[2, 3]);
    }
}
