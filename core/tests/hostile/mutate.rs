//! Damage with a sense for structure: numbers become their neighbours and edges, pieces change places, ends move.

use oncelog::sim::Rng;

/// A number in an encoding.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    pub at: usize,
    pub width: usize,
    /// Big-endian, as in Kafka's batches.
    pub big: bool,
}

/// A valid encoding, and where its numbers lie.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    pub bytes: Vec<u8>,
    pub fields: Vec<Field>,
}

impl Sample {
    pub fn new(bytes: Vec<u8>) -> Sample {
        Sample { bytes, ..Sample::default() }
    }

    /// Says that numbers of these widths lie one behind the other from byte `at` on.
    pub fn numbers(self, at: usize, widths: &[usize]) -> Sample {
        self.all(at, widths, false)
    }

    /// The same for big-endian ones.
    pub fn big_numbers(self, at: usize, widths: &[usize]) -> Sample {
        self.all(at, widths, true)
    }

    fn all(mut self, mut at: usize, widths: &[usize], big: bool) -> Sample {
        for width in widths.iter().copied() {
            self.fields.push(Field { at, width, big });
            at += width;
        }
        self
    }
}

fn get(bytes: &[u8], field: Field) -> u64 {
    let number = |n: u64, byte: &u8| n << 8 | u64::from(*byte);
    let bytes = &bytes[field.at..field.at + field.width];
    if field.big { bytes.iter().fold(0, number) } else { bytes.iter().rev().fold(0, number) }
}

fn put(bytes: &mut [u8], field: Field, value: u64) {
    let raw = value.to_le_bytes();
    for (i, byte) in bytes[field.at..field.at + field.width].iter_mut().enumerate() {
        *byte = raw[if field.big { field.width - 1 - i } else { i }];
    }
}

/// A number that is likely to hurt where `old` is right, in an encoding of `len` bytes.
fn edge(rng: &mut Rng, old: u64, width: usize, len: usize) -> u64 {
    let most = u64::MAX >> (64 - 8 * width);
    let sign = most / 2 + 1;
    let len = len as u64;
    let edges = [
        0,
        1,
        2,
        most,
        most - 1,
        sign,
        sign - 1,
        sign + 1,
        old.wrapping_add(1),
        old.wrapping_sub(1),
        old.wrapping_mul(2),
        old / 2,
        old ^ sign,
        len,
        len.wrapping_sub(1),
        len + 1,
        u64::from(u32::MAX),
        1 << 31,
        (1 << 31) - 1,
        1 << 62,
        i64::MAX as u64,
        (64 << 20) - rng.below(3),
        rng.below(300),
        rng.next_u64(),
    ];
    edges[rng.index(edges.len())] & most
}

fn number(rng: &mut Rng, bytes: &mut [u8], field: Field) {
    if field.at + field.width <= bytes.len() {
        let value = edge(rng, get(bytes, field), field.width, bytes.len());
        put(bytes, field, value);
    }
}

/// A stretch of the bytes: mostly between two numbers.
fn piece(rng: &mut Rng, sample: &Sample, len: usize) -> std::ops::Range<usize> {
    let place = |rng: &mut Rng| match sample.fields.is_empty() || rng.chance(1, 3) {
        true => rng.index(len + 1),
        false => sample.fields[rng.index(sample.fields.len())].at.min(len),
    };
    let (a, b) = (place(rng), place(rng));
    a.min(b)..a.max(b).min(a.min(b) + 400)
}

/// Damages the bytes of `sample` once; pieces of `other` may come in.
pub fn damage(rng: &mut Rng, sample: &Sample, bytes: &mut Vec<u8>, other: &[u8]) {
    let len = bytes.len();
    match rng.below(16) {
        0..7 if !sample.fields.is_empty() => {
            let field = sample.fields[rng.index(sample.fields.len())];
            number(rng, bytes, field);
        }
        7 | 8 if len > 0 => {
            let width = [1, 2, 4, 8][rng.index(4)];
            let (at, big) = (rng.index(len), rng.chance(1, 3));
            number(rng, bytes, Field { at, width, big });
        }
        9 if len > 0 => bytes[rng.index(len)] ^= 1 << rng.below(8),
        10 => bytes.truncate(piece(rng, sample, len).start),
        11 => drop(bytes.drain(piece(rng, sample, len))),
        12 => {
            let again = bytes[piece(rng, sample, len)].to_vec();
            let at = piece(rng, sample, len).start;
            bytes.splice(at..at, again);
        }
        13 => {
            // Two neighbours change places.
            let (a, b) = (piece(rng, sample, len), piece(rng, sample, len));
            if a.end <= b.end && a.start < a.end {
                let middle = a.end - a.start;
                bytes[a.start..b.end].rotate_left(middle);
            }
        }
        14 => {
            let from = rng.index(other.len() + 1);
            let new = &other[from..(from + rng.index(80)).min(other.len())];
            let old = piece(rng, sample, len);
            bytes.splice(old, new.iter().copied());
        }
        _ => {
            let more = rng.index(40);
            let fill = if rng.chance(1, 2) { 0 } else { rng.next_u64() as u8 };
            bytes.resize(len + more, fill);
        }
    }
}

/// One of the samples, damaged up to four times; or, now and then, bytes that mean nothing.
pub fn damaged(rng: &mut Rng, samples: &[Sample]) -> Vec<u8> {
    if rng.chance(1, 12) {
        let mut noise = vec![0; rng.index(300)];
        rng.fill(&mut noise);
        return noise;
    }
    let sample = &samples[rng.index(samples.len())];
    let mut bytes = sample.bytes.clone();
    for _ in 0..rng.below(5) {
        let other = &samples[rng.index(samples.len())].bytes;
        damage(rng, sample, &mut bytes, other);
    }
    bytes
}

/// Gives one number another value, or flips a bit: the length stays.
pub fn renumber(rng: &mut Rng, sample: &Sample, bytes: &mut [u8]) {
    if sample.fields.is_empty() || rng.chance(1, 4) {
        let width = [1, 2, 4, 8][rng.index(4)];
        let (at, big) = (rng.index(bytes.len().max(1)), rng.chance(1, 3));
        number(rng, bytes, Field { at, width, big });
    } else {
        let field = sample.fields[rng.index(sample.fields.len())];
        number(rng, bytes, field);
    }
}
