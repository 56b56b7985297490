//! Errors on their way to JavaScript: the kind's name as `code`, from which the facade knows the rest.

use napi_derive::napi;
use oncelog::ErrorKind;

/// The name of an error's kind.
pub struct Kind(&'static str);

impl AsRef<str> for Kind {
    fn as_ref(&self) -> &str {
        self.0
    }
}

/// What a call answers that may fail.
pub type Result<T> = std::result::Result<T, napi::Error<Kind>>;

/// An engine's error, as JavaScript gets to see it.
pub fn thrown(error: &oncelog::Error) -> napi::Error<Kind> {
    let mut thrown = napi::Error::new(Kind(error.kind().name()), error.message().to_owned());
    if let Some(cause) = std::error::Error::source(error) {
        thrown.set_cause(napi::Error::from_reason(cause.to_string()));
    }
    thrown
}

/// Shortens `map_err`.
pub trait OrThrow<T> {
    fn or_throw(self) -> Result<T>;
}

impl<T> OrThrow<T> for oncelog::Result<T> {
    fn or_throw(self) -> Result<T> {
        self.map_err(|error| thrown(&error))
    }
}

impl<T> OrThrow<T> for napi::Result<T> {
    fn or_throw(self) -> Result<T> {
        self.map_err(|error| napi::Error::new(Kind(ErrorKind::Internal.name()), error.reason.clone()))
    }
}

/// An argument that the facade should have refused.
pub fn refused(what: impl Into<String>) -> napi::Error<Kind> {
    napi::Error::new(Kind(ErrorKind::InvalidArgument.name()), what.into())
}

/// A handle that was closed or has ended.
pub fn gone() -> oncelog::Error {
    oncelog::Error::new(ErrorKind::Closed, "this handle was closed; open a new one")
}

/// A kind with its answers to the three questions.
#[napi(object)]
pub struct KindRow {
    pub name: String,
    pub number: u32,
    pub kafka_code: i32,
    pub retriable: bool,
    pub fatal: bool,
    pub requires_abort: bool,
}

/// Every kind there is.
#[napi]
pub fn kinds() -> Vec<KindRow> {
    let rows = ErrorKind::ALL.iter().map(|kind| {
        let error = oncelog::Error::new(*kind, "");
        KindRow {
            name: kind.name().to_owned(),
            number: u32::from(*kind as u16),
            kafka_code: kind.kafka_code().into(),
            retriable: error.is_retriable(),
            fatal: error.is_fatal(),
            requires_abort: error.requires_abort(),
        }
    });
    rows.collect()
}

/// The name of the kind that says what a code of Kafka's protocol says.
#[napi]
pub fn kind_of_kafka_code(code: i32) -> Option<&'static str> {
    i16::try_from(code).ok().and_then(ErrorKind::from_kafka_code).map(ErrorKind::name)
}
