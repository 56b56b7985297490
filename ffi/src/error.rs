//! What a failed call answers. Misuse of a handle is answered with fixed errors, which need no memory and no freeing,
//! so that a call whose answer is thrown away leaks nothing.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char};

use engine::{Error, ErrorKind};

use crate::codes::{ONCELOG_ERROR_INVALID_ARGUMENT, oncelog_error_code_t};
use crate::handle::{self, Kind, handle};
use crate::table::{Key, Pin};

/// What went wrong: a code to act on, a message that says what to do, and Kafka's three questions.
///
/// Whoever is answered with one frees it. Any number of threads may ask it.
pub struct oncelog_error_t;

handle!(oncelog_error_t, Error, Object);

/// An error with its texts as C wants them.
pub struct Object {
    error: Error,
    name: CString,
    message: CString,
    cause: Option<CString>,
}

/// Why a call failed.
pub enum Fault {
    Engine(Error),
    Fixed(Fixed),
}

/// Errors that are always there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fixed {
    Null(Kind),
    Gone(Kind),
    Foreign(Kind),
    TooMany,
    LateAllocator,
    NoAllocator,
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Fault::Engine(error)
    }
}

impl From<Fixed> for Fault {
    fn from(fixed: Fixed) -> Self {
        Fault::Fixed(fixed)
    }
}

impl Fault {
    /// An error of this library's own making.
    pub fn new(kind: ErrorKind, message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
        Fault::Engine(Error::new(kind, message))
    }

    /// A handle for the caller.
    #[cold]
    pub fn into_handle(self) -> *mut oncelog_error_t {
        let fixed = match self {
            Fault::Engine(error) => match handle::make(Object::new(error)) {
                Ok(made) => return made,
                Err(Fault::Fixed(fixed)) => fixed,
                Err(Fault::Engine(_)) => Fixed::TooMany,
            },
            Fault::Fixed(fixed) => fixed,
        };
        std::ptr::without_provenance_mut(handle::number(Kind::Error, fixed.key()))
    }
}

impl Object {
    fn new(error: Error) -> Self {
        let cause = std::error::Error::source(&error).map(|cause| text(&cause.to_string()));
        Self { name: text(error.kind().name()), message: text(error.message()), cause, error }
    }
}

/// A text that C can read; one with a NUL inside is cut there.
pub fn text(text: &str) -> CString {
    let end = text.find('\0').unwrap_or(text.len());
    CString::new(&text[..end]).unwrap_or_default()
}

/// The messages about a kind of handle: NULL, gone, never a handle.
macro_rules! about {
    ($($kind:ident $what:literal;)*) => {
        fn about(kind: Kind) -> [&'static CStr; 3] {
            match kind {
                $(Kind::$kind => [
                    c(concat!("the ", $what, " is NULL; give the handle that an earlier call answered\0")),
                    c(concat!("the ", $what, " was freed, closed or used up before; open a new one\0")),
                    c(concat!("what is given as the ", $what, " is none; give the one that an earlier call answered\0")),
                ],)*
            }
        }
    };
}

about! {
    Error "error";
    Engine "engine";
    Topics "list of topics";
    Partition "partition";
    Records "set of records";
    Producer "producer";
    TransactionalProducer "transactional producer";
    Transaction "transaction";
    Consumer "consumer";
    Offsets "list of offsets";
    Ticket "ticket";
    Completions "completion queue";
    Text "text";
    OpenTransactions "list of open transactions";
    ConsumerLags "list of lags";
    ActiveProducers "list of active producers";
}

const fn c(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

const KINDS: [Kind; 16] = [
    Kind::Error,
    Kind::Engine,
    Kind::Topics,
    Kind::Partition,
    Kind::Records,
    Kind::Producer,
    Kind::TransactionalProducer,
    Kind::Transaction,
    Kind::Consumer,
    Kind::Offsets,
    Kind::Ticket,
    Kind::Completions,
    Kind::Text,
    Kind::OpenTransactions,
    Kind::ConsumerLags,
    Kind::ActiveProducers,
];

impl Fixed {
    /// Its key: generation 0, which no table gives out.
    fn key(self) -> Key {
        let slot = match self {
            Fixed::TooMany => 0,
            Fixed::LateAllocator => 1,
            Fixed::NoAllocator => 2,
            Fixed::Null(kind) => 4 * kind as u32,
            Fixed::Gone(kind) => 4 * kind as u32 + 1,
            Fixed::Foreign(kind) => 4 * kind as u32 + 2,
        };
        Key { slot, generation: 0 }
    }

    fn of(key: Key) -> Option<Fixed> {
        let all = KINDS.into_iter().flat_map(|kind| [Fixed::Null(kind), Fixed::Gone(kind), Fixed::Foreign(kind)]);
        all.chain([Fixed::TooMany, Fixed::LateAllocator, Fixed::NoAllocator]).find(|fixed| fixed.key() == key)
    }

    fn kind(self) -> ErrorKind {
        match self {
            Fixed::Null(_) | Fixed::Foreign(_) | Fixed::NoAllocator => ErrorKind::InvalidArgument,
            Fixed::Gone(_) => ErrorKind::Closed,
            Fixed::TooMany => ErrorKind::LimitExceeded,
            Fixed::LateAllocator => ErrorKind::InvalidState,
        }
    }

    fn message(self) -> &'static CStr {
        match self {
            Fixed::Null(kind) => about(kind)[0],
            Fixed::Gone(kind) => about(kind)[1],
            Fixed::Foreign(kind) => about(kind)[2],
            Fixed::TooMany => c"more than 8 million handles of a kind are live; free those that are not used",
            Fixed::LateAllocator => c"memory was allocated already; set the allocator before any other call",
            Fixed::NoAllocator => c"a function of the allocator is NULL; give both",
        }
    }

    fn name(self) -> &'static CStr {
        match self {
            Fixed::Null(_) | Fixed::Foreign(_) | Fixed::NoAllocator => c"InvalidArgument",
            Fixed::Gone(_) => c"Closed",
            Fixed::TooMany => c"LimitExceeded",
            Fixed::LateAllocator => c"InvalidState",
        }
    }
}

/// What is behind an error's handle.
enum Asked {
    Object(Pin<'static, Object>),
    Fixed(Fixed),
    /// NULL: no error.
    None,
}

fn ask(error: *const oncelog_error_t) -> Asked {
    if error.is_null() {
        return Asked::None;
    }
    let fixed = handle::key(Kind::Error, error.addr()).and_then(Fixed::of);
    match (fixed, handle::find(error)) {
        (Some(fixed), _) => Asked::Fixed(fixed),
        (None, Ok(object)) => Asked::Object(object),
        (None, Err(Fault::Fixed(fixed))) => Asked::Fixed(fixed),
        (None, Err(Fault::Engine(_))) => Asked::None,
    }
}

fn question(error: *const oncelog_error_t, of: impl Fn(&Error) -> bool) -> bool {
    match ask(error) {
        Asked::Object(object) => of(&object.error),
        Asked::Fixed(fixed) => of(&Error::new(fixed.kind(), "")),
        Asked::None => false,
    }
}

/// The error's code, one of `ONCELOG_ERROR_*`; `ONCELOG_OK` for NULL. A pointer that is no error is answered as
/// `ONCELOG_ERROR_INVALID_ARGUMENT`, one that was freed as `ONCELOG_ERROR_CLOSED`.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_code(error: *const oncelog_error_t) -> oncelog_error_code_t {
    match ask(error) {
        Asked::Object(object) => object.error.kind() as oncelog_error_code_t,
        Asked::Fixed(fixed) => fixed.kind() as oncelog_error_code_t,
        Asked::None => 0,
    }
}

/// The name of the code, the same in every language, such as "OffsetOutOfRange"; "" for NULL. Lives until the error
/// is freed.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_name(error: *const oncelog_error_t) -> *const c_char {
    match ask(error) {
        Asked::Object(object) => object.name.as_ptr(),
        Asked::Fixed(fixed) => fixed.name().as_ptr(),
        Asked::None => c"".as_ptr(),
    }
}

/// What happened and what to do, its variables at the end; "" for NULL. Lives until the error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_message(error: *const oncelog_error_t) -> *const c_char {
    match ask(error) {
        Asked::Object(object) => object.message.as_ptr(),
        Asked::Fixed(fixed) => fixed.message().as_ptr(),
        Asked::None => c"".as_ptr(),
    }
}

/// What the operating system, or a lower layer, said; NULL if nothing did. Lives until the error is freed.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_cause(error: *const oncelog_error_t) -> *const c_char {
    match ask(error) {
        Asked::Object(object) => object.cause.as_ref().map_or(std::ptr::null(), |cause| cause.as_ptr()),
        _ => std::ptr::null(),
    }
}

/// The code by which a Kafka broker would tell its clients the same; 0 for NULL.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_kafka_code(error: *const oncelog_error_t) -> i16 {
    match ask(error) {
        Asked::Object(object) => object.error.kind().kafka_code(),
        Asked::Fixed(fixed) => fixed.kind().kafka_code(),
        Asked::None => 0,
    }
}

/// The error's code that says what a code of Kafka's protocol says, for programs that were written against a broker's
/// answers; `ONCELOG_OK` for 0, which is no error. Codes that speak of what only a cluster has are
/// `ONCELOG_ERROR_BUSY` where Kafka's clients try again, else `ONCELOG_ERROR_INTERNAL`; so are codes that came after
/// this version.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_code_from_kafka(kafka_code: i16) -> oncelog_error_code_t {
    ErrorKind::from_kafka_code(kafka_code).map_or(0, |kind| kind as oncelog_error_code_t)
}

/// True if the same call may succeed later without any change.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_is_retriable(error: *const oncelog_error_t) -> bool {
    question(error, Error::is_retriable)
}

/// True if the handle that was called is finished: free it and open a new one.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_is_fatal(error: *const oncelog_error_t) -> bool {
    question(error, Error::is_fatal)
}

/// True if the transaction that this came from can only be aborted and run again.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_requires_abort(error: *const oncelog_error_t) -> bool {
    question(error, Error::requires_abort)
}

/// Frees an error with its texts. NULL, and what is no error or was freed before, is left alone.
#[unsafe(no_mangle)]
pub extern "C" fn oncelog_error_free(error: *mut oncelog_error_t) {
    let _ = handle::end(error);
}

const _: () = assert!(ONCELOG_ERROR_INVALID_ARGUMENT == ErrorKind::InvalidArgument as oncelog_error_code_t);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Missing;

    #[test]
    fn fixed_errors_are_errors_and_nothing_else_without_a_table_entry_is() {
        for kind in KINDS {
            for fixed in [Fixed::Null(kind), Fixed::Gone(kind), Fixed::Foreign(kind)] {
                let made = Fault::from(fixed).into_handle();
                assert_eq!(oncelog_error_code(made), fixed.kind() as oncelog_error_code_t);
                assert_eq!(fixed.name().to_str(), Ok(fixed.kind().name()));
                assert!(fixed.message().count_bytes() > 40, "{fixed:?} has no message");
                oncelog_error_free(made);
                assert_eq!(oncelog_error_message(made), fixed.message().as_ptr());
            }
        }
        assert_eq!(Fixed::of(Key { slot: 3, generation: 0 }), None);
        assert_eq!(crate::table::Table::<()>::new().pin(Fixed::TooMany.key()).map(drop), Err(Missing::Never));
    }
}
