//! Signed numbers of variable length as record batches hold them: zig-zag, then seven bits a byte, low bits first.
//!
//! A number of 32 bits takes at most 5 bytes, one of 64 bits at most 10. A shorter number may be padded up to that, as
//! Kafka allows; what is longer, or sets bits that its type does not have, is refused.

/// Why bytes are no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bad {
    /// The bytes end before the number does.
    Cut,
    /// It is longer, or larger, than its type allows.
    Long,
}

#[inline]
fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}

#[inline]
fn unzigzag(raw: u64) -> i64 {
    (raw >> 1) as i64 ^ -((raw & 1) as i64)
}

/// Bytes that `put` takes for `value`: 1 to 10, for numbers of 32 bits 1 to 5.
#[inline]
pub fn len(value: i64) -> usize {
    raw_len(zigzag(value))
}

/// Bytes that `put_size` takes for the length of a field.
#[inline]
pub fn size_len(size: u64) -> usize {
    raw_len(size << 1)
}

#[inline]
fn raw_len(raw: u64) -> usize {
    match raw {
        ..0x80 => 1,
        0x80..0x4000 => 2,
        // Seven bits a byte, rounded up.
        _ => (70 - raw.leading_zeros() as usize) / 7,
    }
}

/// Writes `value` at byte `at` and returns the byte after it. `out` must have room for `len(value)` bytes there.
#[inline]
pub fn put(out: &mut [u8], at: usize, value: i64) -> usize {
    put_raw(out, at, zigzag(value))
}

/// Writes the length of a field, below 2^63, as `put` does.
#[inline]
pub fn put_size(out: &mut [u8], at: usize, size: u64) -> usize {
    put_raw(out, at, size << 1)
}

#[inline]
fn put_raw(out: &mut [u8], at: usize, raw: u64) -> usize {
    if raw < 0x80 {
        out[at] = raw as u8;
        at + 1
    } else if raw < 0x4000 {
        out[at] = raw as u8 | 0x80;
        out[at + 1] = (raw >> 7) as u8;
        at + 2
    } else {
        put_long(out, at, raw)
    }
}

#[inline(never)]
fn put_long(out: &mut [u8], mut at: usize, mut raw: u64) -> usize {
    while raw >= 0x80 {
        out[at] = raw as u8 | 0x80;
        raw >>= 7;
        at += 1;
    }
    out[at] = raw as u8;
    at + 1
}

/// Reads a number of 32 bits at byte `at` and moves `at` behind it.
#[inline(always)]
pub fn read_i32(bytes: &[u8], at: &mut usize) -> Result<i32, Bad> {
    // `read` admits 32 bits at most, and zig-zag turns those into an i32.
    read(bytes, at, 32).map(|raw| unzigzag(raw) as i32)
}

/// Reads a number of 64 bits at byte `at` and moves `at` behind it.
#[inline(always)]
pub fn read_i64(bytes: &[u8], at: &mut usize) -> Result<i64, Bad> {
    read(bytes, at, 64).map(unzigzag)
}

/// Reads the length of a field, a number of 32 bits, at byte `at` and moves `at` behind it; `None` if it is negative.
#[inline(always)]
pub fn read_size(bytes: &[u8], at: &mut usize) -> Result<Option<usize>, Bad> {
    // Zig-zag keeps the sign in the lowest bit.
    read(bytes, at, 32).map(|raw| if raw & 1 == 0 { Some((raw >> 1) as usize) } else { None })
}

/// Nearly all numbers in a batch take one or two bytes: those are read in line.
#[inline(always)]
fn read(bytes: &[u8], at: &mut usize, bits: u32) -> Result<u64, Bad> {
    let Some(&first) = bytes.get(*at) else { return Err(Bad::Cut) };
    if first < 0x80 {
        *at += 1;
        return Ok(u64::from(first));
    }
    match bytes.get(*at + 1) {
        Some(&second) if second < 0x80 => {
            *at += 2;
            Ok(u64::from(first & 0x7f) | u64::from(second) << 7)
        }
        _ => read_long(bytes, at, bits),
    }
}

/// Reads the length of a field as `read_size` does, if it takes one or two bytes.
#[inline(always)]
pub fn read_short_size(bytes: &[u8], at: &mut usize) -> Option<Option<usize>> {
    let first = *bytes.get(*at)?;
    let mut raw = usize::from(first);
    *at += 1;
    if first >= 0x80 {
        let second = *bytes.get(*at).filter(|second| **second < 0x80)?;
        raw = raw & 0x7f | usize::from(second) << 7;
        *at += 1;
    }
    Some(if raw & 1 == 0 { Some(raw >> 1) } else { None })
}

/// The greatest distance from zero of a number that takes one or two bytes.
pub const SHORT_MAX: i32 = 1 << 13;

/// Up to seven bytes of numbers that take one or two bytes each, looked at without a check of bounds.
pub struct Short {
    word: u64,
    read: usize,
}

impl Short {
    /// The numbers at the start of `bytes`; `None` if they are fewer than eight.
    #[inline(always)]
    pub fn at(bytes: &[u8]) -> Option<Short> {
        Some(Short { word: u64::from_le_bytes(*bytes.first_chunk()?), read: 0 })
    }

    /// Bytes behind which the next number begins.
    #[inline(always)]
    pub fn read(&self) -> usize {
        self.read
    }

    /// Steps over a byte.
    #[inline(always)]
    pub fn skip(&mut self) {
        (self.word, self.read) = (self.word >> 8, self.read + 1);
    }

    /// The next number if it is not negative.
    #[inline(always)]
    pub fn size(&mut self) -> Option<usize> {
        let raw = self.raw()?;
        (raw & 1 == 0).then_some((raw >> 1) as usize)
    }

    /// The next number.
    #[inline(always)]
    pub fn signed(&mut self) -> Option<i32> {
        self.raw().map(|raw| unzigzag(raw) as i32)
    }

    /// True if the next number is the length of null. Seven bytes may have been read.
    #[inline(always)]
    pub fn is_null(&self) -> bool {
        self.word as u8 == 1
    }

    #[inline(always)]
    fn raw(&mut self) -> Option<u64> {
        let word = self.word;
        if word & 0x80 == 0 {
            self.skip();
            return Some(word & 0x7f);
        }
        if word & 0x8000 != 0 {
            return None;
        }
        (self.word, self.read) = (word >> 16, self.read + 2);
        Some(word & 0x7f | word >> 1 & 0x3f80)
    }
}

#[inline(never)]
fn read_long(bytes: &[u8], at: &mut usize, bits: u32) -> Result<u64, Bad> {
    let (mut raw, mut shift) = (0u64, 0);
    while shift < bits {
        let byte = *bytes.get(*at).ok_or(Bad::Cut)?;
        let part = u64::from(byte & 0x7f);
        if shift + 7 > bits && part >> (bits - shift) != 0 {
            return Err(Bad::Long);
        }
        raw |= part << shift;
        *at += 1;
        if byte < 0x80 {
            return Ok(raw);
        }
        shift += 7;
    }
    Err(Bad::Long)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: i64) -> Vec<u8> {
        let mut out = vec![0; len(value)];
        assert_eq!(put(&mut out, 0, value), out.len());
        out
    }

    fn edges() -> impl Iterator<Item = i64> {
        let powers = (0..63).flat_map(|bit| [-1, 0, 1].map(|d| (1i64 << bit) + d));
        powers.flat_map(|v| [v, -v]).chain([i64::MAX, i64::MIN])
    }

    #[test]
    fn numbers_come_back_as_they_were_written() {
        for value in edges() {
            let (bytes, mut at) = (written(value), 0);
            assert_eq!(read_i64(&bytes, &mut at), Ok(value));
            assert_eq!(at, bytes.len());
            if let Ok(small) = i32::try_from(value) {
                let mut at = 0;
                assert_eq!(read_i32(&bytes, &mut at), Ok(small));
                assert_eq!(at, bytes.len());
                assert!(bytes.len() <= 5);
            }
        }
    }

    #[test]
    fn the_bytes_are_those_that_kafka_writes() {
        for (value, bytes) in [
            (0, &[0][..]),
            (-1, &[1]),
            (1, &[2]),
            (-64, &[0x7f]),
            (64, &[0x80, 1]),
            (i64::from(i32::MIN), &[0xff, 0xff, 0xff, 0xff, 0x0f]),
            (i64::MIN, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]),
        ] {
            assert_eq!(written(value), bytes, "{value}");
        }
    }

    #[test]
    fn a_number_that_is_cut_anywhere_is_refused() {
        for value in edges() {
            let bytes = written(value);
            for end in 0..bytes.len() {
                assert_eq!(read_i64(&bytes[..end], &mut 0), Err(Bad::Cut), "{value} cut at {end}");
            }
        }
        assert_eq!(read_i64(&[0], &mut 1), Err(Bad::Cut));
        assert_eq!(read_i64(&[0], &mut 9), Err(Bad::Cut));
    }

    #[test]
    fn a_number_too_long_or_too_large_for_its_type_is_refused() {
        let long = [0x80; 12];
        assert_eq!(read_i32(&long, &mut 0), Err(Bad::Long));
        assert_eq!(read_i64(&long, &mut 0), Err(Bad::Long));
        assert_eq!(read_i32(&[0x80, 0x80, 0x80, 0x80, 0x80, 0], &mut 0), Err(Bad::Long));
        assert_eq!(read_i32(&[0xff, 0xff, 0xff, 0xff, 0x1f], &mut 0), Err(Bad::Long));
        assert_eq!(read_i64(&[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 3], &mut 0), Err(Bad::Long));
        for out_of_range in [i64::from(i32::MAX) + 1, i64::from(i32::MIN) - 1, i64::MAX, i64::MIN] {
            assert_eq!(read_i32(&written(out_of_range), &mut 0), Err(Bad::Long), "{out_of_range}");
        }
    }

    #[test]
    fn padding_up_to_the_length_of_the_type_is_taken_as_kafka_does() {
        let mut at = 0;
        assert_eq!(read_i32(&[0x90, 0], &mut at), Ok(8));
        assert_eq!(at, 2);
        assert_eq!(read_i32(&[0x90, 0x80, 0x80, 0x80, 0], &mut 0), Ok(8));
        assert_eq!(read_i64(&[0x90, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0], &mut 0), Ok(8));
    }
}
