//! Values behind numbers. A number names a slot and the slot's generation, so that one that was given back, or never
//! given out, is known as such.
//!
//! Nothing here waits: a thread that is stopped anywhere, or left behind by a fork, hinders no other one. A lookup is
//! one exchange on the slot's word, and one more when it is done; it allocates nothing.
#![allow(unsafe_code)]

use std::cell::UnsafeCell;
use std::hash::{BuildHasher, RandomState};
use std::ptr::null_mut;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

/// Slots of the first chunk; each next one has twice as many.
const CHUNK_FIRST: u32 = 64;
/// Few where tests fill a table.
const CHUNKS: usize = if cfg!(test) { 6 } else { 17 };
const SLOTS: u32 = CHUNK_FIRST * ((1 << CHUNKS) - 1);
pub(crate) const SLOT_BITS: u32 = 23;
pub(crate) const GENERATION_BITS: u32 = 35;

/// Generations have their top bit set: a number made from one is no address that a program could have.
const GENERATION_LOW: u64 = 1 << (GENERATION_BITS - 1);
const GENERATION_LAST: u64 = (1 << GENERATION_BITS) - 1;

// A slot's word: the generation, whether it holds a value that may be looked up, how many calls are using it.
const PINS: u64 = (1 << 27) - 1;
const LIVE: u64 = 1 << 27;
const GENERATION_SHIFT: u32 = 28;

/// Names a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    pub slot: u32,
    pub generation: u64,
}

/// Why there is no value behind a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There was one.
    Gone,
    /// There never was.
    Never,
}

/// Values of one type.
pub struct Table<T> {
    /// First slots of the chunks; a chunk that is there stays.
    chunks: [AtomicPtr<Slot<T>>; CHUNKS],
    /// Slots ever used.
    used: AtomicU32,
    /// The first free slot plus one, and a count above it that makes each state of the list another word.
    free: AtomicU64,
    /// The generation that slots begin with: another in each process, so that yesterday's numbers are not today's.
    first: AtomicU64,
}

struct Slot<T> {
    word: AtomicU64,
    /// The next free slot plus one.
    next: AtomicU32,
    value: UnsafeCell<Option<T>>,
}

// SAFETY: a slot's value is reached by `pin` alone, as a shared reference, and taken by one thread when no pin is left;
// so a table is as good as its values, which threads share and any thread may drop.
unsafe impl<T: Send + Sync> Sync for Table<T> {}

impl<T> Table<T> {
    pub const fn new() -> Self {
        Self {
            chunks: [const { AtomicPtr::new(null_mut()) }; CHUNKS],
            used: AtomicU32::new(0),
            free: AtomicU64::new(0),
            first: AtomicU64::new(0),
        }
    }

    /// Keeps a value. Gives it back if the table is full.
    #[cfg(test)]
    pub fn insert(&self, value: T) -> Result<Key, T> {
        match self.place() {
            Some(place) => Ok(place.fill(value)),
            None => Err(value),
        }
    }

    /// A place for a value to come. None if the table is full.
    #[inline]
    pub fn place(&self) -> Option<Place<'_, T>> {
        let (index, slot) = self.take_free().or_else(|| self.take_unused())?;
        Some(Place { table: self, slot, index })
    }

    /// Looks a value up. It stays at least as long as what this answers, whoever removes it meanwhile.
    #[inline]
    pub fn pin(&self, key: Key) -> Result<Pin<'_, T>, Missing> {
        let slot = self.slot(key.slot).ok_or(Missing::Never)?;
        let mut word = slot.word.load(Relaxed);
        loop {
            if word >> GENERATION_SHIFT != key.generation || word & LIVE == 0 {
                return Err(self.missing(key, word));
            }
            // No machine has so many threads that the count could reach into the bit above it.
            match slot.word.compare_exchange_weak(word, word + 1, Acquire, Relaxed) {
                Ok(_) => return Ok(Pin { table: self, slot, index: key.slot }),
                Err(now) => word = now,
            }
        }
    }

    /// Ends a key. Its value is dropped here, or by the last call that still uses it.
    pub fn remove(&self, key: Key) -> Result<(), Missing> {
        let slot = self.slot(key.slot).ok_or(Missing::Never)?;
        let mut word = slot.word.load(Relaxed);
        loop {
            if word >> GENERATION_SHIFT != key.generation || word & LIVE == 0 {
                return Err(self.missing(key, word));
            }
            match slot.word.compare_exchange_weak(word, word & !LIVE, AcqRel, Relaxed) {
                Ok(_) => break,
                Err(now) => word = now,
            }
        }
        if word & PINS == 0 {
            self.give_back(slot, key.slot);
        }
        Ok(())
    }

    /// The last user of a slot that is not live any more.
    #[cold]
    fn give_back(&self, slot: &Slot<T>, index: u32) {
        // SAFETY: the slot is not live and was left by its last user just now, which happens once; nobody else
        // reaches its value before it is on the list again.
        let value = unsafe { (*slot.value.get()).take() };
        let generation = (slot.word.load(Relaxed) >> GENERATION_SHIFT) + 1;
        slot.word.store(generation << GENERATION_SHIFT, Release);
        // A slot that has used up its generations rests for ever.
        if generation < GENERATION_LAST {
            self.put_free(slot, index);
        }
        // Last, because what a value does when it goes is its own affair.
        drop(value);
    }

    fn missing(&self, key: Key, word: u64) -> Missing {
        let first = self.first.load(Relaxed);
        let now = word >> GENERATION_SHIFT;
        if (first..=now).contains(&key.generation) && first != 0 { Missing::Gone } else { Missing::Never }
    }

    #[inline]
    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        let chunk = (index / CHUNK_FIRST + 1).ilog2();
        let at = index - CHUNK_FIRST * ((1 << chunk) - 1);
        let slots = self.chunks.get(chunk as usize)?.load(Acquire);
        if slots.is_null() {
            return None;
        }
        // SAFETY: chunk `k` has `CHUNK_FIRST << k` slots, `at` is below that, and chunks are never freed.
        Some(unsafe { &*slots.add(at as usize) })
    }

    fn take_free(&self) -> Option<(u32, &Slot<T>)> {
        let mut head = self.free.load(Acquire);
        loop {
            let index = (head as u32).checked_sub(1)?;
            let slot = self.slot(index)?;
            let next = (head >> 32).wrapping_add(1) << 32 | u64::from(slot.next.load(Relaxed));
            match self.free.compare_exchange_weak(head, next, AcqRel, Acquire) {
                Ok(_) => return Some((index, slot)),
                Err(now) => head = now,
            }
        }
    }

    fn put_free(&self, slot: &Slot<T>, index: u32) {
        let mut head = self.free.load(Relaxed);
        loop {
            slot.next.store(head as u32, Relaxed);
            let next = (head >> 32).wrapping_add(1) << 32 | u64::from(index + 1);
            match self.free.compare_exchange_weak(head, next, Release, Relaxed) {
                Ok(_) => return,
                Err(now) => head = now,
            }
        }
    }

    fn take_unused(&self) -> Option<(u32, &Slot<T>)> {
        let more = |used: u32| (used < SLOTS).then_some(used + 1);
        let index = self.used.fetch_update(Relaxed, Relaxed, more).ok()?;
        self.grow((index / CHUNK_FIRST + 1).ilog2());
        self.slot(index).map(|slot| (index, slot))
    }

    /// Makes a chunk unless it is there. Two threads may make it at once; one of them throws its own away.
    fn grow(&self, chunk: u32) {
        let place = &self.chunks[chunk as usize];
        if !place.load(Acquire).is_null() {
            return;
        }
        let count = (CHUNK_FIRST << chunk) as usize;
        let word = self.first_generation() << GENERATION_SHIFT;
        let slot = |_| Slot { word: AtomicU64::new(word), next: AtomicU32::new(0), value: UnsafeCell::new(None) };
        let slots: *mut [Slot<T>] = Box::into_raw((0..count).map(slot).collect());
        if place.compare_exchange(null_mut(), slots.cast(), AcqRel, Acquire).is_err() {
            // SAFETY: the pointer came from a box just now and nobody else has seen it.
            drop(unsafe { Box::from_raw(slots) });
        }
    }

    fn first_generation(&self) -> u64 {
        // Far from the end even if all but the lowest bits are set.
        let drawn = GENERATION_LOW | RandomState::new().hash_one(0) & (GENERATION_LOW / 2 - 1);
        match self.first.compare_exchange(0, drawn, AcqRel, Acquire) {
            Ok(_) => drawn,
            Err(first) => first,
        }
    }
}

/// A slot that is on no list and not live: nobody else reaches it.
pub struct Place<'a, T> {
    table: &'a Table<T>,
    slot: &'a Slot<T>,
    index: u32,
}

// SAFETY: whoever has the place alone reaches its slot, and the table is shared between threads anyway.
unsafe impl<T: Send> Send for Place<'_, T> {}

impl<T> Place<'_, T> {
    /// Keeps a value there.
    #[inline]
    pub fn fill(self, value: T) -> Key {
        let place = std::mem::ManuallyDrop::new(self);
        // SAFETY: the slot is this place's alone until the word below says that it is live.
        unsafe { *place.slot.value.get() = Some(value) };
        let generation = place.slot.word.load(Relaxed) >> GENERATION_SHIFT;
        place.slot.word.store(generation << GENERATION_SHIFT | LIVE, Release);
        Key { slot: place.index, generation }
    }
}

impl<T> Drop for Place<'_, T> {
    fn drop(&mut self) {
        self.table.put_free(self.slot, self.index);
    }
}

/// A value in use.
pub struct Pin<'a, T> {
    table: &'a Table<T>,
    slot: &'a Slot<T>,
    index: u32,
}

impl<T> std::ops::Deref for Pin<'_, T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: the slot was live when it was pinned, so it holds a value; that is taken when no pin is left.
        unsafe { (*self.slot.value.get()).as_ref().unwrap_unchecked() }
    }
}

impl<T> Drop for Pin<'_, T> {
    #[inline]
    fn drop(&mut self) {
        let before = self.slot.word.fetch_sub(1, AcqRel);
        if before & (LIVE | PINS) == 1 {
            self.table.give_back(self.slot, self.index);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_value_is_found_until_it_is_removed_and_dropped_once() {
        let table = Table::new();
        let value = Arc::new(5);
        let key = table.insert(value.clone()).unwrap();
        assert_eq!(**table.pin(key).unwrap(), 5);
        assert_eq!(table.remove(key), Ok(()));
        assert_eq!(Arc::strong_count(&value), 1);
        assert_eq!(table.remove(key), Err(Missing::Gone));
        assert_eq!(table.pin(key).map(drop), Err(Missing::Gone));
    }

    #[test]
    fn a_slot_that_is_used_again_has_another_generation() {
        let table = Table::new();
        let old = table.insert(1).unwrap();
        table.remove(old).unwrap();
        let new = table.insert(2).unwrap();
        assert_eq!(new.slot, old.slot);
        assert_eq!(*table.pin(new).unwrap(), 2);
        assert_eq!(table.pin(old).map(drop), Err(Missing::Gone));
    }

    #[test]
    fn a_key_that_was_never_given_out_is_known_as_such() {
        let table = Table::new();
        assert_eq!(table.pin(Key { slot: 0, generation: 0 }).map(drop), Err(Missing::Never));
        let key = table.insert(1).unwrap();
        for (slot, generation) in
            [(key.slot, key.generation + 1), (key.slot, 0), (63, key.generation + 1), (SLOTS, 1), (u32::MAX >> 9, 7)]
        {
            assert_eq!(table.pin(Key { slot, generation }).map(drop), Err(Missing::Never), "{slot} {generation}");
        }
    }

    #[test]
    fn a_place_that_is_not_filled_is_free_again() {
        let table = Table::new();
        let place = table.place().unwrap();
        let other = table.insert(1).unwrap();
        drop(place);
        let place = table.place().unwrap();
        assert_eq!(place.index, 0);
        let key = place.fill(2);
        assert_eq!((*table.pin(key).unwrap(), *table.pin(other).unwrap()), (2, 1));
        let full: Vec<_> = std::iter::from_fn(|| table.place()).collect();
        assert_eq!((full.len(), table.insert(3)), (SLOTS as usize - 2, Err(3)));
        drop(full);
        assert!(table.insert(3).is_ok());
    }

    #[test]
    fn a_value_in_use_outlives_its_removal() {
        let table = Table::new();
        let value = Arc::new(());
        let key = table.insert(value.clone()).unwrap();
        let (first, second) = (table.pin(key).unwrap(), table.pin(key).unwrap());
        table.remove(key).unwrap();
        assert_eq!(table.remove(key), Err(Missing::Gone));
        drop(first);
        assert_eq!(Arc::strong_count(&value), 2);
        drop(second);
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn many_threads_insert_use_and_remove() {
        let table = Table::<Arc<u64>>::new();
        let all = Arc::new(7);
        let rounds = if cfg!(miri) { 20 } else { 20_000 };
        std::thread::scope(|scope| {
            for thread in 0..4u64 {
                let (table, all) = (&table, &all);
                scope.spawn(move || {
                    let mut keys = std::collections::VecDeque::new();
                    for round in 0..rounds {
                        keys.push_back(table.insert(all.clone()).unwrap());
                        let key = keys[round % keys.len()];
                        assert_eq!(**table.pin(key).unwrap(), 7);
                        if keys.len() > 3 * thread as usize {
                            let key = keys.pop_front().unwrap();
                            table.remove(key).unwrap();
                            assert_eq!(table.pin(key).map(drop), Err(Missing::Gone));
                        }
                    }
                    keys.into_iter().for_each(|key| table.remove(key).unwrap());
                });
            }
        });
        assert_eq!(Arc::strong_count(&all), 1);
    }

    #[test]
    fn one_of_many_removals_succeeds_while_others_use_the_value() {
        for _ in 0..if cfg!(miri) { 3 } else { 500 } {
            let table = Table::new();
            let value = Arc::new(());
            let key = table.insert(value.clone()).unwrap();
            let removed: usize = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4)
                    .map(|_| {
                        scope.spawn(|| {
                            drop(table.pin(key));
                            usize::from(table.remove(key).is_ok())
                        })
                    })
                    .collect();
                threads.into_iter().map(|thread| thread.join().unwrap()).sum()
            });
            assert_eq!((removed, Arc::strong_count(&value)), (1, 1));
        }
    }
}
