//! Fixed-width numbers at fixed places, little-endian (ours) and big-endian (Kafka's batches), and a reader that
//! checks every length against what is left before it takes it.

use crate::limits::COUNT_MAX;

/// Rounds up to the frames' alignment.
#[inline]
pub fn align8(n: usize) -> usize {
    (n + 7) & !7
}

macro_rules! get_put {
    ($($get:ident $put:ident $t:ty, $from:ident $to:ident;)*) => {$(
        /// Reads a number at byte `at`.
        #[inline]
        pub fn $get(bytes: &[u8], at: usize) -> $t {
            let mut raw = [0; size_of::<$t>()];
            raw.copy_from_slice(&bytes[at..at + size_of::<$t>()]);
            <$t>::$from(raw)
        }
        /// Writes a number at byte `at`.
        #[inline]
        pub fn $put(bytes: &mut [u8], at: usize, value: $t) {
            bytes[at..at + size_of::<$t>()].copy_from_slice(&value.$to());
        }
    )*};
}

get_put! {
    get_u16 put_u16 u16, from_le_bytes to_le_bytes;
    get_u32 put_u32 u32, from_le_bytes to_le_bytes;
    get_u64 put_u64 u64, from_le_bytes to_le_bytes;
    get_i16_be put_i16_be i16, from_be_bytes to_be_bytes;
    get_i32_be put_i32_be i32, from_be_bytes to_be_bytes;
    get_u32_be put_u32_be u32, from_be_bytes to_be_bytes;
    get_i64_be put_i64_be i64, from_be_bytes to_be_bytes;
}

/// Takes values off the front of a slice; `None` as soon as one does not fit.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
    /// What has not been taken yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }
    /// Takes `n` bytes.
    #[inline]
    pub fn bytes(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }
    /// Takes one byte.
    pub fn u8(&mut self) -> Option<u8> {
        self.bytes(1).map(|b| b[0])
    }
    /// Takes a little-endian u16.
    pub fn u16(&mut self) -> Option<u16> {
        self.bytes(2).map(|b| get_u16(b, 0))
    }
    /// Takes a little-endian u32.
    pub fn u32(&mut self) -> Option<u32> {
        self.bytes(4).map(|b| get_u32(b, 0))
    }
    /// Takes a little-endian u64.
    pub fn u64(&mut self) -> Option<u64> {
        self.bytes(8).map(|b| get_u64(b, 0))
    }
    /// Takes a little-endian u64 that counts something: at most `COUNT_MAX`.
    pub fn count(&mut self) -> Option<u64> {
        self.u64().filter(|count| *count <= COUNT_MAX)
    }
    /// Takes 16 bytes.
    pub fn id(&mut self) -> Option<[u8; 16]> {
        self.bytes(16).and_then(|b| b.try_into().ok())
    }
    /// Takes a u16 length and that many bytes of UTF-8.
    pub fn text(&mut self) -> Option<&'a str> {
        let n = self.u16()?;
        std::str::from_utf8(self.bytes(n as usize)?).ok()
    }
}

/// Appends numbers and texts in the reader's order.
pub trait Put {
    /// Appends one byte.
    fn u8(&mut self, v: u8) -> &mut Self;
    /// Appends a little-endian u16.
    fn u16(&mut self, v: u16) -> &mut Self;
    /// Appends a little-endian u32.
    fn u32(&mut self, v: u32) -> &mut Self;
    /// Appends a little-endian u64.
    fn u64(&mut self, v: u64) -> &mut Self;
    /// Appends bytes as they are.
    fn raw(&mut self, v: &[u8]) -> &mut Self;
    /// Appends a u16 length and the text.
    fn text(&mut self, v: &str) -> &mut Self;
}

impl Put for Vec<u8> {
    fn u8(&mut self, v: u8) -> &mut Self {
        self.push(v);
        self
    }
    fn u16(&mut self, v: u16) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }
    fn u32(&mut self, v: u32) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }
    fn u64(&mut self, v: u64) -> &mut Self {
        self.raw(&v.to_le_bytes())
    }
    fn raw(&mut self, v: &[u8]) -> &mut Self {
        self.extend_from_slice(v);
        self
    }
    fn text(&mut self, v: &str) -> &mut Self {
        self.u16(v.len() as u16).raw(v.as_bytes())
    }
}
