//! The codecs of Kafka's compressed batches: what lies behind a batch's header, packed and unpacked.
//!
//! Unpacking takes any bytes. Lengths are looked at before anything is allocated; what is allocated is bounded by what
//! the packed bytes could hold at their codec's greatest ratio and by `most`; no step of a loop leaves both sides where
//! they were. Large working memory is kept per thread, so that a batch costs the one allocation that holds its records.

#[cfg(feature = "gzip")]
mod gzip;
#[cfg(feature = "lz4")]
mod lz4;
#[cfg(feature = "snappy")]
mod snappy;
#[cfg(feature = "zstd")]
mod zstd;

use super::batch::BatchHeader;
use crate::error::{Error, ErrorKind, Result};
use crate::limits::UNPACKED_MAX;
use crate::types::Compression;

/// Why bytes do not unpack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No codec has that number.
    Unknown(u8),
    /// The codec is not part of this build.
    LeftOut(Compression),
    /// More bytes than allowed come out.
    TooLarge(usize),
    /// What is wrong with the bytes.
    Damaged(&'static str),
    /// There was no memory for the codec.
    NoMemory,
}

/// The records of the batch of `header`, unpacked from `body`, which follows the header.
///
/// # Errors
/// `Corrupt` if they do not unpack, or to more than `limits::UNPACKED_MAX`; `UnsupportedVersion`, naming the cargo
/// feature, if this build lacks the codec.
pub fn unpack_records(header: &BatchHeader, body: &[u8]) -> Result<Vec<u8>> {
    unpack(header.compression(), body, UNPACKED_MAX).map_err(|fault| match fault {
        Fault::LeftOut(codec) => left_out(codec),
        _ => Error::new(ErrorKind::Corrupt, format!("a batch does not unpack: {}", fault.text(header.compression()))),
    })
}

/// Unpacks what a codec packed, at most `most` bytes.
pub fn unpack(codec: u8, packed: &[u8], most: usize) -> std::result::Result<Vec<u8>, Fault> {
    match Compression::of(codec) {
        Some(Compression::None) if packed.len() > most => Err(Fault::TooLarge(most)),
        Some(Compression::None) => Ok(packed.to_vec()),
        Some(codec) if packed.is_empty() && codec.is_available() => Err(Fault::Damaged("nothing is there")),
        #[cfg(feature = "gzip")]
        Some(Compression::Gzip) => gzip::unpack(packed, most),
        #[cfg(feature = "snappy")]
        Some(Compression::Snappy) => snappy::unpack(packed, most),
        #[cfg(feature = "lz4")]
        Some(Compression::Lz4) => lz4::unpack(packed, most),
        #[cfg(feature = "zstd")]
        Some(Compression::Zstd) => zstd::unpack(packed, most),
        #[allow(unreachable_patterns, reason = "reached by builds without a codec")]
        Some(codec) => Err(Fault::LeftOut(codec)),
        None => Err(Fault::Unknown(codec)),
    }
}

/// Room that `pack` needs to pack `len` bytes.
pub(super) fn packed_room(codec: Compression, len: usize) -> usize {
    match codec {
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::room(len),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::room(len),
        // These give up where their room ends, and who would be as large as before is not wanted.
        _ => len,
    }
}

/// Packs `records` into the start of `out`, which has the room; answers how many bytes they take. `None` if they would
/// take no fewer than before, or the codec is not part of this build.
#[cfg_attr(
    not(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd")),
    allow(unused_variables, reason = "a build without codecs packs nothing")
)]
pub(super) fn pack(codec: Compression, records: &[u8], out: &mut [u8]) -> Option<usize> {
    let packed: Option<usize> = match codec {
        #[cfg(feature = "gzip")]
        Compression::Gzip => gzip::pack(records, out),
        #[cfg(feature = "snappy")]
        Compression::Snappy => snappy::pack(records, out),
        #[cfg(feature = "lz4")]
        Compression::Lz4 => lz4::pack(records, out),
        #[cfg(feature = "zstd")]
        Compression::Zstd => zstd::pack(records, out),
        _ => None,
    };
    packed.filter(|packed| *packed < records.len())
}

impl Fault {
    /// What to say of it.
    pub(super) fn text(self, codec: u8) -> String {
        let name = Compression::of(codec).map_or("unknown", Compression::name);
        match self {
            Fault::Unknown(_) => format!("its codec is not one of Kafka's, codec={codec}"),
            Fault::LeftOut(codec) => format!("this build has no {0}; build with the cargo feature {0}", codec.name()),
            Fault::TooLarge(most) => format!("it unpacks to more than is allowed, codec={name} most={most}"),
            Fault::Damaged(what) => format!("{what}, codec={name}"),
            Fault::NoMemory => format!("there is no memory for the codec, codec={name}"),
        }
    }
}

/// The answer to a batch whose codec this build lacks.
#[cold]
pub fn left_out(codec: Compression) -> Error {
    let name = codec.name();
    let text = format!("this build cannot handle {name}; build oncelog with the cargo feature {name}, codec={name}");
    Error::new(ErrorKind::UnsupportedVersion, text)
}

/// Runs with the thread's own context, or a new one where there is none yet, or no more; `None` if none can be made.
#[cfg(any(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
fn with_kept<T: 'static, R>(
    kept: &'static std::thread::LocalKey<std::cell::Cell<Option<T>>>,
    make: impl FnOnce() -> Option<T>,
    run: impl FnOnce(&mut T) -> R,
) -> Option<R> {
    let mut context = kept.try_with(std::cell::Cell::take).ok().flatten().or_else(make)?;
    let result = run(&mut context);
    let _ = kept.try_with(|kept| kept.set(Some(context)));
    Some(result)
}
