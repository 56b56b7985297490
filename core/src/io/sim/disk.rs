//! The disk as pure data: for every file what the page cache holds, what the device holds, and what lies between.
//! Nothing here draws chance or fails on purpose; `cut` decides what a power cut leaves.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

/// The unit that a power cut tears.
pub const SECTOR: u64 = 512;
/// The unit that the page cache writes and forgets.
pub const PAGE: u64 = 4096;

/// Something done to a file that the device does not have for certain.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub id: u64,
    pub position: u64,
    pub length: u64,
    pub what: What,
}

#[derive(Clone, Debug)]
pub(super) enum What {
    Data(Arc<[u8]>),
    /// The range became zeros.
    Punch,
    /// The file became at least `position + length` long.
    Grow,
}

impl Change {
    pub fn range(&self) -> Range<u64> {
        self.position..self.position + self.length
    }

    /// The sectors it touches; none if it only grows the file.
    pub fn sectors(&self) -> Range<u64> {
        match self.what {
            What::Grow => 0..0,
            _ if self.length == 0 => 0..0,
            _ => self.position / SECTOR..(self.position + self.length).div_ceil(SECTOR),
        }
    }

    fn pages(&self) -> Range<u64> {
        match self.what {
            What::Grow => 0..0,
            _ if self.length == 0 => 0..0,
            _ => self.position / PAGE..(self.position + self.length).div_ceil(PAGE),
        }
    }

    /// Writes the part of it that lies in `part` into `image`, which grows if it ends before.
    pub fn lay(&self, part: Range<u64>, image: &mut Vec<u8>) {
        let (start, end) = (part.start.max(self.position), part.end.min(self.position + self.length));
        match &self.what {
            What::Grow => grow(image, self.position + self.length),
            _ if start >= end => {}
            What::Data(bytes) => {
                grow(image, end);
                let from = (start - self.position) as usize..(end - self.position) as usize;
                image[start as usize..end as usize].copy_from_slice(&bytes[from]);
            }
            What::Punch => {
                let end = end.min(image.len() as u64);
                image[start.min(end) as usize..end as usize].fill(0);
            }
        }
    }
}

/// What a sync does for one dirty range: the page cache's bytes reach the device.
fn write_back(live: &[u8], range: Range<u64>, durable: &mut Vec<u8>) {
    let range = range.start as usize..range.end as usize;
    grow(durable, range.end as u64);
    durable[range.clone()].copy_from_slice(&live[range]);
}

pub(super) fn grow(image: &mut Vec<u8>, length: u64) {
    if (image.len() as u64) < length {
        image.resize(length as usize, 0);
    }
}

#[derive(Clone, Default)]
pub(super) struct Inode {
    /// What a read answers: the page cache.
    pub live: Arc<Vec<u8>>,
    /// What the device holds for certain.
    pub durable: Arc<Vec<u8>>,
    /// What was done since, in order; the next successful sync makes it durable.
    pub changes: Vec<Change>,
    /// By page: ranges that a failed sync took off the list of dirty pages without writing them. The page cache
    /// shows them and every later sync succeeds, but the device never had them.
    pub lost: BTreeMap<u64, Vec<Range<u64>>>,
    /// Pages whose space was given back.
    pub holes: BTreeSet<u64>,
    /// True once a sync has succeeded.
    pub synced: bool,
}

impl Inode {
    /// A file that is wholly on the device.
    pub fn clean(image: Arc<Vec<u8>>) -> Self {
        Self { live: image.clone(), durable: image, synced: true, ..Self::default() }
    }

    fn change(&mut self, id: u64, position: u64, length: u64, what: What) {
        let change = Change { id, position, length, what };
        let live = Arc::make_mut(&mut self.live);
        change.lay(0..u64::MAX, live);
        self.changes.push(change);
    }

    /// Pages with changes that a sync would write.
    pub fn dirty_pages(&self) -> BTreeSet<u64> {
        self.changes.iter().flat_map(Change::pages).collect()
    }

    /// Forgets the pages that lie; answers how many.
    pub fn evict(&mut self) -> usize {
        let forgotten = self.lost.len();
        for range in std::mem::take(&mut self.lost).into_values().flatten() {
            let live = Arc::make_mut(&mut self.live);
            let known = (self.durable.len() as u64).clamp(range.start, range.end);
            let (start, middle, end) = (range.start as usize, known as usize, range.end as usize);
            if start < middle {
                live[start..middle].copy_from_slice(&self.durable[start..middle]);
            }
            live[middle..end].fill(0);
        }
        forgotten
    }

    /// Bytes on the device that this file takes.
    pub fn space(&self) -> u64 {
        (self.live.len() as u64).saturating_sub(self.holes.len() as u64 * PAGE)
    }

    fn sync(&mut self) {
        let durable = Arc::make_mut(&mut self.durable);
        for change in self.changes.drain(..) {
            match change.what {
                What::Grow => grow(durable, change.range().end),
                _ => write_back(&self.live, change.range(), durable),
            }
        }
        self.synced = true;
    }

    /// Of the dirty pages those in `reached` become durable; the others are marked clean all the same.
    fn fail_sync(&mut self, reached: &BTreeSet<u64>) {
        let durable = Arc::make_mut(&mut self.durable);
        let mut kept = Vec::new();
        for change in self.changes.drain(..) {
            if matches!(change.what, What::Grow) {
                // The length belongs to the inode, not to a page: it stays to be written.
                kept.push(change);
                continue;
            }
            for page in change.pages() {
                let part = change.position.max(page * PAGE)..change.range().end.min((page + 1) * PAGE);
                if reached.contains(&page) {
                    write_back(&self.live, part, durable);
                } else {
                    self.lost.entry(page).or_default().push(part);
                }
            }
        }
        self.changes = kept;
    }
}

/// A name made (Some) or removed (None) that the device does not have for certain.
#[derive(Clone, Debug)]
pub(super) struct NameChange {
    pub id: u64,
    pub name: String,
    pub file: Option<u64>,
}

/// All files and names. Cloning shares the images.
#[derive(Clone, Default)]
pub(super) struct Disk {
    pub files: BTreeMap<u64, Inode>,
    /// What `list` answers.
    pub live: BTreeMap<String, u64>,
    /// What the device holds for certain.
    pub durable: BTreeMap<String, u64>,
    /// What was done since, in order.
    pub names: Vec<NameChange>,
    next: u64,
}

/// One call that changes the disk, as it turned out: enough to do it again.
#[derive(Clone, Debug)]
pub(super) enum Op {
    Create {
        name: String,
        size: u64,
    },
    Write {
        file: u64,
        position: u64,
        bytes: Arc<[u8]>,
    },
    /// A sync; if it failed, the dirty pages that reached the device all the same.
    Sync {
        file: u64,
        failed: Option<BTreeSet<u64>>,
    },
    Remove {
        name: String,
    },
    /// A sync of the directory; if it failed, the changes of names that became durable all the same.
    SyncDirectory {
        failed: Option<BTreeSet<u64>>,
    },
    Punch {
        file: u64,
        position: u64,
        length: u64,
    },
    /// As punch, but the space stays the file's.
    Blank {
        file: u64,
        position: u64,
        length: u64,
    },
}

impl Disk {
    /// A disk that holds `files` and nothing unsynced.
    pub fn with_files(files: BTreeMap<String, Arc<Vec<u8>>>) -> Self {
        let mut disk = Disk::default();
        for (name, image) in files {
            let id = disk.next_id();
            disk.files.insert(id, Inode::clean(image));
            disk.live.insert(name, id);
        }
        disk.durable = disk.live.clone();
        disk
    }

    fn next_id(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// The file that `name` leads to.
    pub fn find(&self, name: &str) -> Option<u64> {
        self.live.get(name).copied()
    }

    /// Does what `op` says. The caller has checked that names and files fit.
    pub fn perform(&mut self, op: &Op) {
        match op {
            Op::Create { name, size } => self.create(name, *size),
            Op::Write { file, position, bytes } => {
                self.touch(*file, *position, bytes.len() as u64, What::Data(bytes.clone()));
            }
            Op::Punch { file, position, length } => self.punch(*file, *position, *length, true),
            Op::Blank { file, position, length } => self.punch(*file, *position, *length, false),
            Op::Sync { file, failed } => {
                let Some(inode) = self.files.get_mut(file) else { return };
                match failed {
                    None => inode.sync(),
                    Some(reached) => inode.fail_sync(reached),
                }
            }
            Op::Remove { name } => {
                self.live.remove(name);
                let id = self.next_id();
                self.names.push(NameChange { id, name: name.clone(), file: None });
            }
            Op::SyncDirectory { failed } => {
                let all = std::mem::take(&mut self.names);
                let (done, left) = all.into_iter().partition(|c| failed.as_ref().is_none_or(|f| f.contains(&c.id)));
                self.names = left;
                for change in &done {
                    change.apply(&mut self.durable);
                }
            }
        }
    }

    fn create(&mut self, name: &str, size: u64) {
        let file = self.next_id();
        let mut inode = Inode::default();
        if size > 0 {
            inode.change(self.next_id(), 0, size, What::Grow);
        }
        self.files.insert(file, inode);
        self.live.insert(name.to_owned(), file);
        let id = self.next_id();
        self.names.push(NameChange { id, name: name.to_owned(), file: Some(file) });
    }

    /// Makes a range zeros, and gives its space back if that is asked for.
    fn punch(&mut self, file: u64, position: u64, length: u64, gives_back: bool) {
        let Some(inode) = self.files.get(&file) else { return };
        let end = position.saturating_add(length).min(inode.live.len() as u64);
        if position >= end {
            return;
        }
        self.touch(file, position, end - position, What::Punch);
        if let Some(inode) = self.files.get_mut(&file).filter(|_| gives_back) {
            inode.holes.extend(position.div_ceil(PAGE)..end / PAGE);
        }
    }

    fn touch(&mut self, file: u64, position: u64, length: u64, what: What) {
        let mut next = self.next;
        let Some(inode) = self.files.get_mut(&file) else { return };
        let mut id = || {
            next += 1;
            next
        };
        let change = Change { id: 0, position, length, what };
        for page in change.pages() {
            inode.holes.remove(&page);
            // The page is dirty again, so what was lost in it is on its way again.
            for range in inode.lost.remove(&page).unwrap_or_default() {
                let bytes: Arc<[u8]> = inode.live[range.start as usize..range.end as usize].into();
                inode.change(id(), range.start, range.end - range.start, What::Data(bytes));
            }
        }
        inode.change(id(), position, length, change.what);
        self.next = next;
    }

    /// Writes over the bytes of a file behind everybody's back, on the device as well. What lies past the end of an
    /// image is left out.
    pub fn damage(&mut self, file: u64, position: u64, bytes: &[u8]) {
        let Some(inode) = self.files.get_mut(&file) else { return };
        for image in [&mut inode.live, &mut inode.durable] {
            let image = Arc::make_mut(image);
            let start = usize::try_from(position).unwrap_or(usize::MAX).min(image.len());
            let length = bytes.len().min(image.len() - start);
            image[start..start + length].copy_from_slice(&bytes[..length]);
        }
    }

    /// Forgets what neither a name, durable or not, nor an open handle leads to.
    pub fn collect(&mut self, open: impl Fn(u64) -> bool) {
        let mut used: BTreeSet<u64> = self.live.values().chain(self.durable.values()).copied().collect();
        used.extend(self.names.iter().filter_map(|change| change.file));
        self.files.retain(|id, _| used.contains(id) || open(*id));
    }

    /// The name that leads to a file, or led.
    pub fn name_of(&self, file: u64) -> String {
        let named = |names: &BTreeMap<String, u64>| names.iter().find(|(_, id)| **id == file).map(|(n, _)| n.clone());
        named(&self.live)
            .or_else(|| self.names.iter().find(|c| c.file == Some(file)).map(|c| c.name.clone()))
            .or_else(|| named(&self.durable))
            .unwrap_or_default()
    }
}

impl NameChange {
    pub fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self.file {
            Some(file) => names.insert(self.name.clone(), file),
            None => names.remove(&self.name),
        };
    }
}
