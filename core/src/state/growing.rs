//! A hash table that moves a few entries at a time when it grows. One of the standard library's moves all of them in
//! the insertion that finds it full, and a fold has no time for that: the journal's lock is held.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};

use hashbrown::HashTable;
use rustc_hash::FxBuildHasher;

/// Up to so many entries a table grows in one step.
const SMALL: usize = 512;
/// An insertion moves what lies in so many buckets of the table before. With four a table that is made twice as large
/// has room left when the last has moved.
const BUCKETS_A_STEP: usize = 4;

/// Values by key.
#[derive(Debug)]
pub struct Growing<K, V> {
    table: HashTable<(K, V)>,
    /// The smaller table before, for as long as something lies in it.
    old: HashTable<(K, V)>,
    /// The bucket of it that is looked at next: those before are empty.
    next: usize,
}

impl<K, V> Default for Growing<K, V> {
    fn default() -> Self {
        Self { table: HashTable::new(), old: HashTable::new(), next: 0 }
    }
}

#[inline]
fn hash<Q: Hash + ?Sized>(key: &Q) -> u64 {
    FxBuildHasher.hash_one(key)
}

impl<K: Eq + Hash, V> Growing<K, V> {
    /// An empty one with room for so many entries.
    pub fn with_room(entries: usize) -> Self {
        Self { table: HashTable::with_capacity(entries), ..Self::default() }
    }

    #[inline]
    pub fn get<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let hash = hash(key);
        let same = |(other, _): &(K, V)| other.borrow() == key;
        let found = self.table.find(hash, same);
        found.or_else(|| if self.old.is_empty() { None } else { self.old.find(hash, same) }).map(|(_, value)| value)
    }

    #[inline]
    pub fn get_mut<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let hash = hash(key);
        let same = |(other, _): &(K, V)| other.borrow() == key;
        let found = match self.table.find_mut(hash, same) {
            None if !self.old.is_empty() => self.old.find_mut(hash, same),
            found => found,
        };
        found.map(|(_, value)| value)
    }

    #[inline]
    pub fn contains_key<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Puts a value there; returns the one that was.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(known) = self.get_mut(&key) {
            return Some(std::mem::replace(known, value));
        }
        self.insert_new(key, value);
        None
    }

    /// Puts a value where none is, which the caller has seen.
    pub fn insert_new(&mut self, key: K, value: V) {
        self.make_room();
        self.table.insert_unique(hash(&key), (key, value), |(key, _)| hash(key));
    }

    pub fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let hash = hash(key);
        let same = |(other, _): &(K, V)| other.borrow() == key;
        let entry = self.table.find_entry(hash, same).or_else(|_| self.old.find_entry(hash, same)).ok()?;
        Some(entry.remove().0.1)
    }

    /// All values. In which order is chance.
    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.table.iter().chain(&self.old).map(|(_, value)| value)
    }

    /// Before an insertion: one that is full becomes the old one, and of the old one some entries are moved.
    #[inline]
    fn make_room(&mut self) {
        if !self.old.is_empty() || (self.table.len() == self.table.capacity() && self.table.len() >= SMALL) {
            self.grow();
        }
    }

    #[cold]
    fn grow(&mut self) {
        if self.old.is_empty() {
            let (entries, buckets) = (self.table.len(), self.table.num_buckets());
            // Where many were removed there are more buckets to be gone through than entries to be moved.
            let room = entries + entries.max(buckets / BUCKETS_A_STEP + 1);
            self.old = std::mem::replace(&mut self.table, HashTable::with_capacity(room));
            self.next = 0;
        }
        let end = (self.next + BUCKETS_A_STEP).min(self.old.num_buckets());
        for bucket in self.next..end {
            if let Ok(entry) = self.old.get_bucket_entry(bucket) {
                let ((key, value), _) = entry.remove();
                self.table.insert_unique(hash(&key), (key, value), |(key, _)| hash(key));
            }
        }
        self.next = end;
        if self.old.is_empty() {
            self.old = HashTable::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::collections::HashMap;
    use std::hash::Hasher;
    use std::sync::Arc;

    use super::*;

    thread_local! {
        static HASHED: Cell<usize> = const { Cell::new(0) };
    }

    /// A key that counts how often it is hashed.
    #[derive(Clone, Copy, PartialEq, Eq, Debug)]
    struct Counted(u64);

    impl Hash for Counted {
        fn hash<H: Hasher>(&self, state: &mut H) {
            HASHED.set(HASHED.get() + 1);
            self.0.hash(state);
        }
    }

    /// The most keys that one of the calls hashes.
    fn most_hashed(calls: impl Iterator<Item = u64>, mut call: impl FnMut(u64)) -> usize {
        let one = |n| {
            HASHED.set(0);
            call(n);
            HASHED.get()
        };
        calls.map(one).max().unwrap()
    }

    #[test]
    fn no_insertion_moves_more_than_a_few_entries_however_large_the_table_is() {
        let mut table = Growing::default();
        let most = most_hashed(0..300_000, |n| assert_eq!(table.insert(Counted(n * 64), n), None));
        // One grows in one step, up to `SMALL` entries.
        assert!(most <= SMALL + 2, "{most}");
        let mut table = Growing::with_room(100_000);
        let most = most_hashed(0..300_000, |n| assert_eq!(table.insert(Counted(n), n), None));
        assert!(most <= BUCKETS_A_STEP + 2, "{most}");
        assert!((0..300_000).all(|n| table.get(&Counted(n)) == Some(&n)));
    }

    #[test]
    fn where_entries_come_and_go_no_insertion_moves_more_than_a_few() {
        let mut table = Growing::with_room(50_000);
        (0..40_000).for_each(|n| _ = table.insert(Counted(n), n));
        let most = most_hashed(40_000..600_000, |n| {
            assert_eq!(table.insert(Counted(n), n), None);
            assert_eq!(table.remove(&Counted(n - 40_000)), Some(n - 40_000));
        });
        assert!(most <= BUCKETS_A_STEP + 3, "{most}");
        // Nearly all go, and then as many come as make it full of places where something was.
        (560_000..599_990).for_each(|n| assert_eq!(table.remove(&Counted(n)), Some(n)));
        let most = most_hashed(600_000..900_000, |n| {
            assert_eq!(table.insert(Counted(n), n), None);
            assert_eq!(table.remove(&Counted(n)), Some(n));
        });
        assert!(most <= BUCKETS_A_STEP + 3, "{most}");
        assert_eq!(table.values().count(), 10);
    }

    #[test]
    fn whatever_is_done_it_answers_as_the_standard_library_does() {
        let mut rng = 0x9e37_79b9_7f4a_7c15_u64;
        let mut draw = |end: u64| {
            rng = rng.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            (rng >> 33) % end
        };
        let (mut table, mut expected) = (Growing::default(), HashMap::new());
        for n in 0..400_000 {
            let key: Arc<str> = format!("k{}", draw(30_000)).into();
            match draw(8) {
                0..5 => assert_eq!(table.insert(key.clone(), n), expected.insert(key, n)),
                5 => assert_eq!(table.remove(&*key), expected.remove(&*key)),
                6 => assert_eq!(table.get_mut(&*key), expected.get_mut(&*key)),
                _ => {
                    assert_eq!(table.get(&*key), expected.get(&*key));
                    assert_eq!(table.contains_key(&*key), expected.contains_key(&*key));
                }
            }
        }
        let sum = |values: &mut dyn Iterator<Item = &u64>| values.map(|n| u128::from(*n)).sum::<u128>();
        assert_eq!(sum(&mut table.values()), sum(&mut expected.values()));
        assert_eq!(table.values().count(), expected.len());
    }
}
