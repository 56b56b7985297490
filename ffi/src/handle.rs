//! What callers hold: numbers that look like pointers: `generation << 29 | slot << 6 | kind << 1 | 1`, odd and in no
//! address space, so that a handle is no pointer and a pointer no handle.

use crate::error::{Fault, Fixed};
use crate::table::{self, GENERATION_BITS, Key, Missing, Pin, SLOT_BITS, Table};

const KIND_BITS: u32 = 5;
const SLOT_SHIFT: u32 = KIND_BITS + 1;
const GENERATION_SHIFT: u32 = SLOT_SHIFT + SLOT_BITS;
const _: () = assert!(GENERATION_SHIFT + GENERATION_BITS == usize::BITS, "a handle needs pointers of 64 bits");

/// A type of handle, as the header names it.
pub trait Handle: Sized + 'static {
    /// What is behind it.
    type Value: Send + Sync + 'static;
    /// Its number among the types.
    const KIND: Kind;
    /// Where the values are.
    fn table() -> &'static Table<Self::Value>;
}

/// The types of handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    Error = 1,
    Engine,
    Topics,
    Partition,
    Records,
    Producer,
    TransactionalProducer,
    Transaction,
    Consumer,
    Offsets,
    Ticket,
    Completions,
    Text,
    OpenTransactions,
    ConsumerLags,
    ActiveProducers,
}

const _: () = assert!((Kind::ActiveProducers as usize) < 1 << KIND_BITS, "one more type needs one more bit");

/// Declares where the values of a type of handle are.
macro_rules! handle {
    ($name:ident, $kind:ident, $value:ty) => {
        impl crate::handle::Handle for $name {
            type Value = $value;
            const KIND: crate::handle::Kind = crate::handle::Kind::$kind;
            fn table() -> &'static crate::table::Table<$value> {
                static TABLE: crate::table::Table<$value> = crate::table::Table::new();
                &TABLE
            }
        }
    };
}
pub(crate) use handle;

/// The number of a key.
pub fn number(kind: Kind, key: Key) -> usize {
    (key.generation as usize) << GENERATION_SHIFT | (key.slot as usize) << SLOT_SHIFT | (kind as usize) << 1 | 1
}

/// The key of a number, if it can be one of this kind.
#[inline]
pub fn key(kind: Kind, number: usize) -> Option<Key> {
    let low = number & ((1 << SLOT_SHIFT) - 1);
    let slot = (number >> SLOT_SHIFT) & ((1 << SLOT_BITS) - 1);
    let generation = (number >> GENERATION_SHIFT) as u64;
    (low == (kind as usize) << 1 | 1).then_some(Key { slot: slot as u32, generation })
}

/// A handle that is not given out yet. Who does what cannot be taken back takes it first: behind that, nothing fails.
pub struct Place<H: Handle>(table::Place<'static, H::Value>);

impl<H: Handle> Place<H> {
    /// Makes the handle.
    #[inline]
    pub fn make(self, value: H::Value) -> *mut H {
        std::ptr::without_provenance_mut(number(H::KIND, self.0.fill(value)))
    }
}

/// A place for a handle.
#[inline]
pub fn place<H: Handle>() -> Result<Place<H>, Fault> {
    match H::table().place() {
        Some(place) => Ok(Place(place)),
        None => Err(Fixed::TooMany.into()),
    }
}

/// Makes a handle.
pub fn make<H: Handle>(value: H::Value) -> Result<*mut H, Fault> {
    Ok(place()?.make(value))
}

/// What is behind a handle. It stays while this is held, whoever frees the handle meanwhile.
#[inline]
pub fn find<H: Handle>(handle: *const H) -> Result<Pin<'static, H::Value>, Fault> {
    let missing = match key(H::KIND, handle.addr()).map(|key| H::table().pin(key)) {
        Some(Ok(pin)) => return Ok(pin),
        Some(Err(missing)) => missing,
        None => Missing::Never,
    };
    Err(no_handle(handle, missing))
}

/// Ends a handle.
pub fn end<H: Handle>(handle: *const H) -> Result<(), Fault> {
    match key(H::KIND, handle.addr()).map(|key| H::table().remove(key)) {
        Some(Ok(())) => Ok(()),
        Some(Err(missing)) => Err(no_handle(handle, missing)),
        None => Err(no_handle(handle, Missing::Never)),
    }
}

#[cold]
fn no_handle<H: Handle>(handle: *const H, missing: Missing) -> Fault {
    match missing {
        _ if handle.is_null() => Fixed::Null(H::KIND).into(),
        Missing::Gone => Fixed::Gone(H::KIND).into(),
        Missing::Never => Fixed::Foreign(H::KIND).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_gives_its_key_back_to_its_own_kind_alone() {
        for key_in in [Key { slot: 0, generation: 1 << 34 }, Key { slot: (1 << 23) - 1, generation: (1 << 35) - 1 }] {
            let number = number(Kind::Producer, key_in);
            assert_eq!(key(Kind::Producer, number), Some(key_in));
            assert_eq!(key(Kind::Consumer, number), None);
            assert!(number % 2 == 1 && number >> 63 == 1, "{number:x} could be an address");
        }
        assert_eq!(key(Kind::Engine, 0), None);
    }
}
