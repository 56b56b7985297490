//! What a power cut leaves. Every unsynced change of a file meets its own fate, sector by sector; so does every
//! unsynced name. Who decides is a `Judge`: chance at a crash, a list when crash states are enumerated.
//!
//! The rules of the fault model: only bytes that unsynced changes touched may differ from the device's, never their
//! neighbours. The cache writes whole sectors, so a later change of a sector that reaches the device brings the
//! earlier ones of the same sector along. Between sectors and between files there is no order.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::disk::{Change, Disk, Inode, SECTOR, What, grow};

/// What became of one sector of an unsynced write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sector {
    /// The device kept what it had.
    Old,
    /// The write reached the device.
    New,
    /// The written bytes became zeros.
    Zero,
    /// The written bytes became something else.
    Garbage,
}

impl Sector {
    /// Every kind.
    pub const ALL: [Sector; 4] = [Sector::Old, Sector::New, Sector::Zero, Sector::Garbage];
}

/// What became of an unsynced write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Kept,
    /// It is not.
    Dropped,
    /// Sector by sector, from the first one that the write touches; those past the end of the list are old. What only
    /// grows a file cannot tear: it is kept.
    Torn(Vec<Sector>),
}

impl Fate {
    fn sector(&self, number: usize) -> Sector {
        match self {
            Fate::Kept => Sector::New,
            Fate::Dropped => Sector::Old,
            Fate::Torn(sectors) => sectors.get(number).copied().unwrap_or(Sector::Old),
        }
    }
}

/// Decides at a power cut.
pub(super) trait Judge {
    fn write(&mut self, change: &Change) -> Fate;
    /// Whether an unsynced name, made or removed, is durable.
    fn name(&mut self, id: u64, removed: bool) -> bool;
    /// Fills the bytes of a torn sector. `durable` is what the device holds of this file.
    fn garbage(&mut self, durable: &[u8], bytes: &mut [u8]);
}

/// The disk after a power cut: everything on it is durable.
pub(super) fn power_cut(disk: &Disk, judge: &mut dyn Judge) -> Disk {
    let mut names = disk.durable.clone();
    for change in &disk.names {
        if judge.name(change.id, change.file.is_none()) {
            change.apply(&mut names);
        }
    }
    let mut images = BTreeMap::new();
    for (name, file) in names {
        if let Some(inode) = disk.files.get(&file) {
            images.insert(name, settle(inode, judge));
        }
    }
    Disk::with_files(images)
}

/// The unsynced changes of one sector, in order, as indexes.
#[derive(Default)]
struct Touched {
    changes: Vec<usize>,
    /// How many of them are in the image.
    laid: usize,
}

fn settle(inode: &Inode, judge: &mut dyn Judge) -> Arc<Vec<u8>> {
    if inode.changes.is_empty() {
        return inode.durable.clone();
    }
    let mut image = (*inode.durable).clone();
    let mut sectors: BTreeMap<u64, Touched> = BTreeMap::new();
    for (index, change) in inode.changes.iter().enumerate() {
        let fate = judge.write(change);
        if matches!(change.what, What::Grow) && fate != Fate::Dropped {
            grow(&mut image, change.range().end);
        }
        for (number, sector) in change.sectors().enumerate() {
            let touched = sectors.entry(sector).or_default();
            touched.changes.push(index);
            let part = sector * SECTOR..(sector + 1) * SECTOR;
            match fate.sector(number) {
                Sector::Old => {}
                Sector::New => {
                    for &earlier in &touched.changes[touched.laid..] {
                        inode.changes[earlier].lay(part.clone(), &mut image);
                    }
                    touched.laid = touched.changes.len();
                }
                torn => {
                    for &earlier in &touched.changes {
                        let change = &inode.changes[earlier];
                        change.lay(part.clone(), &mut image);
                        let start = change.position.max(part.start).min(image.len() as u64);
                        let end = change.range().end.min(part.end).min(image.len() as u64);
                        let bytes = &mut image[start.min(end) as usize..end as usize];
                        match (&change.what, torn) {
                            // A hole is made by the file system's own journal: it is there or not.
                            (What::Punch, _) | (_, Sector::Zero) => bytes.fill(0),
                            _ => judge.garbage(&inode.durable, bytes),
                        }
                    }
                    // Should a later write of this sector arrive whole, it brings all of them again.
                    touched.laid = 0;
                }
            }
        }
    }
    Arc::new(image)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::disk::{Op, PAGE};
    use super::*;

    /// Decides by a list, in the order of the changes.
    struct List(Vec<Fate>);

    impl Judge for List {
        fn write(&mut self, _change: &Change) -> Fate {
            self.0.remove(0)
        }
        fn name(&mut self, _id: u64, _removed: bool) -> bool {
            true
        }
        fn garbage(&mut self, _durable: &[u8], bytes: &mut [u8]) {
            bytes.fill(0xee);
        }
    }

    fn disk(size: usize) -> (Disk, u64) {
        let disk = Disk::with_files([("f".to_owned(), Arc::new(vec![1; size]))].into());
        let file = disk.find("f").unwrap();
        (disk, file)
    }

    fn write(disk: &mut Disk, file: u64, position: u64, bytes: &[u8]) {
        disk.perform(&Op::Write { file, position, bytes: bytes.into() });
    }

    fn after(disk: &Disk, fates: Vec<Fate>) -> Vec<u8> {
        let cut = power_cut(disk, &mut List(fates));
        cut.files[&cut.find("f").unwrap()].durable.to_vec()
    }

    #[test]
    fn a_torn_write_damages_its_own_bytes_and_no_neighbour() {
        let (mut disk, file) = disk(2048);
        write(&mut disk, file, 500, &[2; 1000]);
        let image = after(&disk, vec![Fate::Torn(vec![Sector::Garbage, Sector::New, Sector::Zero])]);
        let mut expected = vec![1; 2048];
        expected[500..512].fill(0xee);
        expected[512..1024].fill(2);
        expected[1024..1500].fill(0);
        assert_eq!(image, expected);
    }

    #[test]
    fn a_later_write_of_a_sector_brings_the_earlier_one_along_but_only_there() {
        let (mut disk, file) = disk(2048);
        write(&mut disk, file, 0, &[2; 600]);
        write(&mut disk, file, 600, &[3; 10]);
        let image = after(&disk, vec![Fate::Dropped, Fate::Kept]);
        assert!(image[..512].iter().all(|&b| b == 1), "the first sector is old");
        assert!(image[512..600].iter().all(|&b| b == 2) && image[600..610].iter().all(|&b| b == 3));
        assert!(image[610..].iter().all(|&b| b == 1));
    }

    #[test]
    fn a_sector_that_arrives_whole_after_it_was_torn_is_whole() {
        let (mut disk, file) = disk(512);
        write(&mut disk, file, 0, &[2; 100]);
        write(&mut disk, file, 200, &[3; 10]);
        let image = after(&disk, vec![Fate::Torn(vec![Sector::Garbage]), Fate::Kept]);
        assert!(image[..100].iter().all(|&b| b == 2));
    }

    #[test]
    fn a_file_may_be_longer_than_its_data_or_shorter_than_its_size() {
        let mut disk = Disk::default();
        disk.perform(&Op::Create { name: "f".into(), size: 1000 });
        let file = disk.find("f").unwrap();
        write(&mut disk, file, 100, &[2; 50]);
        assert_eq!(after(&disk, vec![Fate::Kept, Fate::Dropped]), vec![0; 1000]);
        assert_eq!(after(&disk, vec![Fate::Dropped, Fate::Dropped]), Vec::<u8>::new());
        let partial = after(&disk, vec![Fate::Dropped, Fate::Kept]);
        assert_eq!((partial.len(), partial[99], partial[100]), (150, 0, 2));
        assert_eq!(after(&disk, vec![Fate::Dropped, Fate::Torn(vec![Sector::Zero])]), vec![0; 150]);
    }

    #[test]
    fn a_punched_range_is_there_or_not() {
        let (mut disk, file) = disk(2 * PAGE as usize);
        disk.perform(&Op::Punch { file, position: 0, length: PAGE });
        assert!(after(&disk, vec![Fate::Dropped]).iter().all(|&b| b == 1));
        let image = after(&disk, vec![Fate::Torn(vec![Sector::Garbage; 8])]);
        assert!(image[..PAGE as usize].iter().all(|&b| b == 0) && image[PAGE as usize] == 1);
    }

    #[test]
    fn a_lost_page_comes_back_only_when_it_is_written_again() {
        let (mut disk, file) = disk(3 * PAGE as usize);
        write(&mut disk, file, 0, &[2; 2 * PAGE as usize]);
        disk.perform(&Op::Sync { file, failed: Some(BTreeSet::from([1])) });
        disk.perform(&Op::Sync { file, failed: None });
        assert_eq!(disk.files[&file].live[0], 2, "the cache shows it");
        let image = after(&disk, vec![]);
        assert_eq!((image[0], image[PAGE as usize]), (1, 2), "the device never had it");
        write(&mut disk, file, 10, &[3]);
        disk.perform(&Op::Sync { file, failed: None });
        let image = after(&disk, vec![]);
        assert_eq!((image[0], image[10], image[PAGE as usize - 1]), (2, 3, 2), "the whole page was dirty again");
    }
}
