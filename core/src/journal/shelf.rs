//! Sealed segments that are open and mapped, and how much of them reads have brought into this process's memory: a scan
//! of a terabyte leaves no more behind than a scan of a small log.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::io::{File, Mapping};

/// Segments that are kept open.
const OPEN: usize = 256;
/// Bytes that reads have touched in the mappings of all of them, past which the one that was touched most is let go.
/// Its pages stay in the page cache, and who holds bytes of it keeps the mapping.
const TOUCHED: u64 = 24 << 20;
/// For a page that is missing the system maps its neighbours too: so many bytes, aligned.
const AROUND: u64 = 64 << 10;

/// An open sealed segment; no mapping where mappings are off.
pub(super) type OpenSegment = (Arc<dyn File>, Option<Arc<Mapping>>);

struct Shelved {
    open: OpenSegment,
    used: u64,
    /// Bytes that reads have touched since it was mapped, and the stretch that the last ones touched.
    touched: u64,
    stretch: (u64, u64),
}

impl Shelved {
    /// Counts what a read of `len` bytes touches for the first time, as far as that is known without a map of its own:
    /// readers go forwards, stretch by stretch.
    fn touch(&mut self, position: u64, len: usize) -> u64 {
        let Some(map) = &self.open.1 else { return 0 };
        let (most, len) = (map.len() as u64, len as u64);
        if len == 0 || position >= most {
            return 0;
        }
        let from = position / AROUND * AROUND;
        let to = position.saturating_add(len).min(most).next_multiple_of(AROUND);
        let (first, last) = self.stretch;
        let new = if (first..=last).contains(&from) {
            self.stretch = (first, last.max(to));
            to.saturating_sub(last)
        } else {
            self.stretch = (from, to);
            to - from
        };
        let new = new.min(most.next_multiple_of(AROUND).saturating_sub(self.touched));
        self.touched += new;
        new
    }
}

/// What was let go. To unmap takes time, so it is dropped outside the shelf's lock, and by the flusher if it can.
pub(super) type Gone = Option<OpenSegment>;

/// What was let go and is not dropped yet.
#[derive(Default)]
pub(super) struct Aside {
    gone: VecDeque<OpenSegment>,
    closed: bool,
}

impl Aside {
    /// Puts one more aside. If nobody has come for those before, or will any more, one is the caller's to drop.
    pub fn put(&mut self, gone: OpenSegment) -> Gone {
        self.gone.push_back(gone);
        if self.gone.len() > 2 || self.closed { self.gone.pop_front() } else { None }
    }

    /// Takes all but the newest: that one's last reader may be about to let go of it, and would have to unmap it.
    pub fn take(&mut self) -> VecDeque<OpenSegment> {
        let newest = self.gone.pop_back();
        std::mem::replace(&mut self.gone, newest.into_iter().collect())
    }

    /// Takes all; from here on nothing stays aside.
    pub fn close(&mut self) -> VecDeque<OpenSegment> {
        self.closed = true;
        std::mem::take(&mut self.gone)
    }
}

/// The open segments by number.
#[derive(Default)]
pub(super) struct Shelf {
    shelved: BTreeMap<u64, Shelved>,
    tick: u64,
    /// Sum over all.
    touched: u64,
    closed: bool,
}

impl Shelf {
    /// An open segment, of which the caller reads `len` bytes from `position`.
    pub fn find(&mut self, segment: u64, position: u64, len: usize) -> Option<(OpenSegment, Gone)> {
        self.tick += 1;
        let found = self.shelved.get_mut(&segment)?;
        found.used = self.tick;
        self.touched += found.touch(position, len);
        let open = found.open.clone();
        let gone = if self.touched > TOUCHED { self.most(|shelved| shelved.touched) } else { None };
        Some((open, gone))
    }

    /// Puts a segment there that was just opened, in the place of the one that was used longest ago if there are many.
    /// Closed it keeps nothing.
    pub fn put(&mut self, segment: u64, open: OpenSegment) -> Gone {
        if self.closed {
            return Some(open);
        }
        let full = self.shelved.len() >= OPEN && !self.shelved.contains_key(&segment);
        let gone = if full { self.most(|shelved| u64::MAX - shelved.used) } else { None };
        let new = Shelved { open, used: self.tick, touched: 0, stretch: (0, 0) };
        // Two may have opened it at the same time.
        let other = self.shelved.insert(segment, new).map(|other| self.off(other));
        gone.or(other)
    }

    /// Takes all off; from here on it stays empty.
    pub fn close(&mut self) -> Vec<OpenSegment> {
        self.closed = true;
        self.touched = 0;
        std::mem::take(&mut self.shelved).into_values().map(|shelved| shelved.open).collect()
    }

    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Takes the segment off with the most of something. One is enough: no read brings more than it is charged for.
    fn most(&mut self, of: impl Fn(&Shelved) -> u64) -> Gone {
        let number = self.shelved.iter().max_by_key(|(_, shelved)| of(shelved)).map(|(number, _)| *number)?;
        self.shelved.remove(&number).map(|gone| self.off(gone))
    }

    fn off(&mut self, gone: Shelved) -> OpenSegment {
        self.touched -= gone.touched;
        gone.open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::Storage;
    use crate::io::disk::Disk;

    const MIB: u64 = 1 << 20;

    /// Reads as `Segments` does: finds the segment open, or opens it first.
    fn read(shelf: &mut Shelf, disk: &Disk, segment: u64, position: u64, len: u64) -> OpenSegment {
        if let Some((open, _)) = shelf.find(segment, position, len as usize) {
            return open;
        }
        let file = disk.open("segment").unwrap();
        let map = file.map().unwrap().map(Arc::new);
        shelf.put(segment, (file, map));
        shelf.find(segment, position, len as usize).unwrap().0
    }

    /// One file stands for all segments; nothing of it is ever read, so it takes no space.
    fn disk(bytes: u64) -> (tempfile::TempDir, Disk) {
        let directory = tempfile::tempdir().unwrap();
        let file = std::fs::File::create_new(directory.path().join("segment")).unwrap();
        file.set_len(bytes).unwrap();
        let disk = Disk::open(directory.path(), false, true).unwrap();
        (directory, disk)
    }

    fn sum(shelf: &Shelf) -> u64 {
        shelf.shelved.values().map(|shelved| shelved.touched).sum()
    }

    #[test]
    fn a_scan_leaves_no_more_mapped_than_the_bound_whatever_it_has_read() {
        let (_directory, disk) = disk(20 * MIB);
        let mut shelf = Shelf::default();
        for segment in 1..20 {
            for at in 0..20 {
                read(&mut shelf, &disk, segment, at * MIB, MIB);
                assert_eq!(shelf.touched, sum(&shelf));
                assert!(shelf.touched <= TOUCHED, "{} bytes at {at} of {segment}", shelf.touched);
            }
        }
        assert!(shelf.touched > TOUCHED / 4, "and it is not emptied for nothing");
    }

    #[test]
    fn one_huge_segment_is_mapped_anew_as_its_reader_goes_on_and_bytes_that_are_held_stay() {
        let (_directory, disk) = disk(1 << 30);
        let mut shelf = Shelf::default();
        let (_, first) = read(&mut shelf, &disk, 1, 0, MIB);
        let first = first.unwrap();
        for at in 1..1024 {
            read(&mut shelf, &disk, 1, at * MIB, MIB);
            assert!(shelf.touched <= TOUCHED);
        }
        let (_, last) = read(&mut shelf, &disk, 1, 0, MIB);
        assert!(!Arc::ptr_eq(&first, &last.unwrap()));
        assert_eq!(Arc::strong_count(&first), 1, "only its reader keeps it");
        assert!(first[..100].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_read_again_and_again_counts_once() {
        let (_directory, disk) = disk(20 * MIB);
        let mut shelf = Shelf::default();
        let first = read(&mut shelf, &disk, 1, 0, 20 * MIB).1.unwrap();
        for round in 0..100 {
            for at in 0..200 {
                read(&mut shelf, &disk, 1, at * 100_000, 100_000);
                read(&mut shelf, &disk, 2, 5 * MIB + round, 10);
            }
        }
        assert!(Arc::ptr_eq(&first, &read(&mut shelf, &disk, 1, 0, 1).1.unwrap()), "its mapping is kept");
        assert!(shelf.touched <= 21 * MIB, "{}", shelf.touched);
    }

    #[test]
    fn what_is_put_aside_is_never_more_than_two_and_the_newest_waits_for_its_reader() {
        let (_directory, disk) = disk(MIB);
        let open = || -> OpenSegment { (disk.open("segment").unwrap(), None) };
        let mut aside = Aside::default();
        assert!(aside.put(open()).is_none() && aside.take().is_empty(), "the only one is the newest");
        assert!(aside.put(open()).is_none());
        assert_eq!(aside.take().len(), 1);
        assert!(aside.put(open()).is_none() && aside.put(open()).is_some() && aside.put(open()).is_some());
        assert_eq!((aside.take().len(), aside.gone.len()), (1, 1));
    }

    #[test]
    fn a_shelf_that_was_closed_keeps_nothing_and_who_reads_keeps_what_it_reads() {
        let (_directory, disk) = disk(MIB);
        let (mut shelf, mut aside) = (Shelf::default(), Aside::default());
        let (file, map) = read(&mut shelf, &disk, 1, 0, MIB);
        let map = map.unwrap();
        assert!(aside.put((file.clone(), None)).is_none());
        drop((shelf.close(), aside.close()));
        assert_eq!((Arc::strong_count(&file), Arc::strong_count(&map)), (1, 1), "only its reader keeps it");
        let late = shelf.put(1, (file.clone(), Some(map.clone()))).and_then(|gone| aside.put(gone));
        assert!(late.is_some() && shelf.find(1, 0, 1).is_none() && shelf.is_closed());
        drop(late);
        assert_eq!((Arc::strong_count(&file), Arc::strong_count(&map), shelf.touched), (1, 1, 0));
        assert!(map.iter().all(|byte| *byte == 0));
    }

    #[test]
    fn the_segment_that_was_used_longest_ago_makes_room_for_one_more() {
        let (_directory, disk) = disk(MIB);
        let mut shelf = Shelf::default();
        for segment in 0..OPEN as u64 {
            read(&mut shelf, &disk, segment, 0, 1);
        }
        read(&mut shelf, &disk, 0, 0, 1);
        read(&mut shelf, &disk, 1_000, 0, 1);
        assert_eq!(shelf.shelved.len(), OPEN);
        assert!(shelf.find(1, 0, 1).is_none() && shelf.find(0, 0, 1).is_some() && shelf.find(1_000, 0, 1).is_some());
        assert_eq!(shelf.touched, sum(&shelf));
    }
}
