//! The codecs of compressed batches: what is packed comes back, and no bytes make unpacking panic, hang or allocate
//! more than it may.
#![cfg(all(feature = "gzip", feature = "snappy", feature = "lz4", feature = "zstd"))]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![allow(unsafe_code, reason = "an allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hash::{BuildHasher, RandomState};

use oncelog::format::compression::{Fault, unpack};
use oncelog::{Batch, BatchBuilder, Compression, ErrorKind, Record};

const CODECS: [Compression; 4] = [Compression::Gzip, Compression::Snappy, Compression::Lz4, Compression::Zstd];

/// Notes the largest allocation of each thread.
struct Counting;

thread_local! {
    static LARGEST: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc(layout) }
    }
    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's own promise.
        unsafe { System.alloc_zeroed(layout) }
    }
    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller's own promise.
        unsafe { System.realloc(at, layout, size) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's own promise.
        unsafe { System.dealloc(at, layout) }
    }
}

fn note(size: usize) {
    let _ = LARGEST.try_with(|largest| largest.set(largest.get().max(size)));
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Unpacks, and answers the largest allocation with it.
fn counted(codec: u8, packed: &[u8], most: usize) -> (Result<Vec<u8>, Fault>, usize) {
    // So that what is kept per thread is there already.
    let _ = unpack(codec, packed, most);
    LARGEST.set(0);
    let unpacked = unpack(codec, packed, most);
    (unpacked, LARGEST.get())
}

struct Rng(u64);

impl Rng {
    fn seeded(test: &str) -> Rng {
        let seed = match std::env::var("SEED") {
            Ok(seed) => seed.parse().expect("SEED is a number"),
            Err(_) => RandomState::new().hash_one(test),
        };
        println!("seed={seed}, to repeat: SEED={seed} cargo test -p oncelog --test codecs {test}");
        Rng(seed)
    }
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
    /// Bytes with repeats in them.
    fn words(&mut self, len: usize) -> Vec<u8> {
        let kinds = 1 + self.below(200) as u64;
        let mut bytes = Vec::with_capacity(len + 8);
        while bytes.len() < len {
            bytes.extend_from_slice(&(self.next() % kinds).to_le_bytes());
        }
        bytes.truncate(len);
        bytes
    }
    fn noise(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }
}

fn batch_of(codec: Compression, values: &[Vec<u8>]) -> Batch {
    let mut builder = BatchBuilder::new();
    builder.compression(codec);
    values.iter().for_each(|value| builder.push(&Record::new(value).key(b"k"), 7).unwrap());
    builder.build().unwrap()
}

/// What lies behind a compressed batch's header.
fn packed(codec: Compression, values: &[Vec<u8>]) -> Vec<u8> {
    let batch = batch_of(codec, values);
    assert_eq!(batch.header().compression(), codec as u8);
    batch.as_bytes()[61..].to_vec()
}

#[test]
fn every_batch_comes_back_from_every_codec() {
    let mut rng = Rng::seeded("every_batch_comes_back_from_every_codec");
    for codec in CODECS {
        let mut compressed = 0;
        for round in 0..150 {
            let values: Vec<Vec<u8>> = (0..1 + rng.below(40))
                .map(|_| {
                    let len = rng.below(if round % 10 == 0 { 20_000 } else { 400 });
                    if rng.below(3) == 0 { rng.noise(len) } else { rng.words(len) }
                })
                .collect();
            let batch = batch_of(codec, &values);
            compressed += usize::from(batch.header().compression() != 0);
            assert_eq!(Batch::from_bytes(batch.as_bytes()).unwrap(), batch);
            let back = batch.records().map(|record| record.unwrap().value.unwrap().to_vec());
            assert_eq!(back.collect::<Vec<_>>(), values);
            let plain = batch_of(Compression::None, &values);
            assert!(batch.as_bytes().len() <= plain.as_bytes().len(), "no codec makes a batch larger");
        }
        assert!(compressed > 75, "{codec:?} compressed {compressed} of 150");
    }
}

#[test]
fn a_builder_compresses_again_after_more_records_and_what_does_not_get_smaller_stays() {
    let mut rng = Rng(1);
    for codec in CODECS {
        let mut builder = BatchBuilder::new();
        builder.compression(codec).push(&Record::new(&rng.noise(1000)), 5).unwrap();
        assert_eq!(Batch::from_bytes(&builder.finish()[40..]).unwrap().header().compression(), 0);
        builder.push(&Record::new(&[7; 5000]), 5).unwrap();
        let whole = Batch::from_bytes(&builder.finish()[40..]).unwrap();
        assert_eq!((whole.header().compression(), whole.header().count), (codec as u8, 2));
        assert!(whole.as_bytes().len() < 2000 && builder.size() > 6000);
        builder.reset();
        builder.push(&Record::new(&[7; 5000]), 5).unwrap();
        assert_eq!(Batch::from_bytes(&builder.finish()[40..]).unwrap().header().compression(), 0, "reset is as new");
    }
}

#[test]
fn one_allocation_holds_what_a_batch_unpacks_to() {
    let mut rng = Rng(2);
    for codec in CODECS {
        let values: Vec<_> = (0..100).map(|_| rng.words(150)).collect();
        let packed = packed(codec, &values);
        let (unpacked, largest) = counted(codec as u8, &packed, 1 << 20);
        let len = unpacked.unwrap().len();
        // LZ4 says no length: room for whole blocks is made.
        let room = if codec == Compression::Lz4 { 64 << 10 } else { len + 64 };
        assert!((len..=room).contains(&largest), "{codec:?}: {largest} bytes for {len}");
    }
}

#[test]
fn nothing_unpacks_to_more_than_it_may() {
    let values = vec![vec![0; 50_000]; 20];
    for codec in CODECS {
        let packed = packed(codec, &values);
        let (whole, _) = counted(codec as u8, &packed, 64 << 20);
        let len = whole.unwrap().len();
        for most in [0, 1, 1000, 65_536, 999_999, len - 1] {
            let (unpacked, largest) = counted(codec as u8, &packed, most);
            assert_eq!(unpacked, Err(Fault::TooLarge(most)), "{codec:?}");
            assert!(largest <= most.max(300) + 1, "{codec:?}: {largest} bytes where {most} are allowed");
        }
        assert_eq!(counted(codec as u8, &packed, len).0.map(|bytes| bytes.len()), Ok(len), "{codec:?}");
    }
}

/// Bytes that claim far more than they hold.
fn bombs() -> Vec<(Compression, Vec<u8>)> {
    let mut bombs = Vec::new();
    // A bare snappy block of 4 GiB less one; the same in a frame; a frame whose block is longer than the rest.
    bombs.push((Compression::Snappy, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0]));
    let frame = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
    bombs.push((Compression::Snappy, [&frame[..], &[0, 0, 0, 6, 0xff, 0xff, 0xff, 0xff, 0x0f, 0]].concat()));
    bombs.push((Compression::Snappy, [&frame[..], &[0x7f, 0xff, 0xff, 0xff]].concat()));
    bombs.push((Compression::Snappy, [&frame[..], &[0xff, 0xff, 0xff, 0xff]].concat()));
    bombs.push((Compression::Snappy, frame[..12].to_vec()));
    // A gzip that says it holds 4 GiB.
    let mut gzip = packed(Compression::Gzip, &[vec![1; 500]]);
    let end = gzip.len();
    gzip[end - 4..].fill(0xff);
    bombs.push((Compression::Gzip, gzip));
    // An LZ4 frame of 4 MiB blocks that are one byte each, and one without an end.
    let lz4_head = [4, 0x22, 0x4d, 0x18, 0x60, 0x70, 0x73];
    bombs.push((Compression::Lz4, [&lz4_head[..], &[1, 0, 0, 0, 0x10].repeat(100_000), &[0; 4]].concat()));
    bombs.push((Compression::Lz4, lz4_head.to_vec()));
    // zstd: a window of 2^41 bytes; a content size of 2^62; run-length blocks of 128 KiB, without end.
    bombs.push((Compression::Zstd, vec![0x28, 0xb5, 0x2f, 0xfd, 0, 0xf8, 1, 0, 0]));
    bombs.push((
        Compression::Zstd,
        [&[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..], &[0, 0, 0, 0, 0, 0, 0, 0x40, 1, 0, 0]].concat(),
    ));
    let run = [0x02, 0, 0x10, 7];
    bombs.push((Compression::Zstd, [&[0x28, 0xb5, 0x2f, 0xfd, 0, 0x58][..], &run.repeat(100_000)].concat()));
    bombs
}

#[test]
fn what_claims_more_than_it_holds_is_refused_before_memory_is_taken_for_it() {
    for (codec, bytes) in bombs() {
        let (unpacked, largest) = counted(codec as u8, &bytes, 64 << 20);
        let label = format!("{codec:?} {:02x?}", &bytes[..bytes.len().min(24)]);
        assert!(unpacked.is_err(), "{label}");
        assert!(largest <= (64 << 20) + 1, "{label} took {largest}");
        if bytes.len() < 1000 && codec != Compression::Gzip {
            assert!(largest < 1 << 20, "{label} took {largest}");
        }
    }
}

#[test]
fn a_zstd_window_above_eight_mebibytes_is_refused_and_that_much_is_not() {
    // A window descriptor of exponent 13 is 8 MiB; an eighth more is too much. One raw block of one byte.
    let frame = |window: u8| vec![0x28, 0xb5, 0x2f, 0xfd, 0, window, 9, 0, 0, b'x'];
    assert_eq!(unpack(4, &frame(13 << 3), 100), Ok(b"x".to_vec()));
    assert!(matches!(unpack(4, &frame(13 << 3 | 1), 100), Err(Fault::Damaged(what)) if what.contains("window")));
}

#[test]
fn members_frames_and_streams_one_behind_the_other_are_read_as_kafka_reads_them() {
    let (one, two) = (vec![vec![1; 300]], vec![vec![2; 300]]);
    for codec in [Compression::Gzip, Compression::Snappy, Compression::Zstd] {
        let (first, second) = (packed(codec, &one), packed(codec, &two));
        let both = unpack(codec as u8, &[&first[..], &second].concat(), 1 << 20).unwrap();
        let apart = [first, second].map(|packed| unpack(codec as u8, &packed, 1 << 20).unwrap());
        assert_eq!(both, apart.concat(), "{codec:?}");
    }
    let frame = packed(Compression::Lz4, &one);
    assert!(unpack(3, &frame.repeat(2), 1 << 20).is_err(), "Kafka reads one frame");
}

#[test]
fn a_bare_snappy_block_is_read_and_a_gzip_with_every_optional_field() {
    // Five literal bytes.
    assert_eq!(unpack(2, b"\x05\x10hello", 100), Ok(b"hello".to_vec()));
    // flags: header crc, extra, name, comment; then the deflate of "hello", stored.
    let mut bytes = vec![0x1f, 0x8b, 8, 0x1e, 0, 0, 0, 0, 0, 3, 2, 0, b'x', b'y', b'n', 0, b'c', 0];
    let mut crc = flate2::Crc::new();
    crc.update(&bytes);
    bytes.extend_from_slice(&(crc.sum() as u16).to_le_bytes());
    bytes.extend_from_slice(b"\x01\x05\x00\xfa\xffhello");
    let mut crc = flate2::Crc::new();
    crc.update(b"hello");
    bytes.extend_from_slice(&crc.sum().to_le_bytes());
    bytes.extend_from_slice(&5u32.to_le_bytes());
    assert_eq!(unpack(1, &bytes, 100), Ok(b"hello".to_vec()));
    for end in 0..bytes.len() {
        assert!(unpack(1, &bytes[..end], 100).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        bytes[at] ^= 1;
        assert!(unpack(1, &bytes, 100).is_err(), "byte {at}");
        bytes[at] ^= 1;
    }
}

#[test]
fn nothing_at_all_is_no_batch_of_any_codec_and_codecs_that_do_not_exist_are_refused() {
    assert_eq!(CODECS.map(|codec| unpack(codec as u8, &[], 10).is_ok()), [false; 4]);
    assert_eq!([5, 6, 7, 255].map(|codec| unpack(codec, b"x", 10)), [5, 6, 7, 255].map(|c| Err(Fault::Unknown(c))));
}

fn damage(rng: &mut Rng, bytes: &mut Vec<u8>, other: &[u8]) {
    const EDGES: [u8; 6] = [0, 1, 0x7f, 0x80, 0xfe, 0xff];
    let at = rng.below(bytes.len());
    match rng.below(7) {
        0 | 1 if at < bytes.len() => bytes[at] ^= 1 << rng.below(8),
        2 if at < bytes.len() => bytes[at] = EDGES[rng.below(6)],
        3 => bytes.insert(at, rng.next() as u8),
        4 => bytes.truncate(at),
        // Near the start, where lengths and flags are.
        5 if !bytes.is_empty() => {
            let at = rng.below(bytes.len().min(24));
            bytes[at] = rng.next() as u8;
        }
        _ => {
            let from = rng.below(other.len());
            let piece = &other[from..(from + rng.below(60)).min(other.len())];
            bytes.splice(at..(at + rng.below(60)).min(bytes.len()), piece.iter().copied());
        }
    }
}

#[test]
fn damaged_and_random_bytes_neither_panic_nor_take_more_than_they_may() {
    const MOST: usize = 1 << 20;
    let mut rng = Rng::seeded("damaged_and_random_bytes_neither_panic_nor_take_more_than_they_may");
    for codec in CODECS {
        let seeds: Vec<Vec<u8>> =
            (2..9).map(|n| packed(codec, &(0..n * n).map(|_| rng.words(60 * n)).collect::<Vec<_>>())).collect();
        let (mut whole, mut refused) = (0, 0);
        for _ in 0..20_000 {
            let mut bytes = match rng.below(10) {
                0 => {
                    let len = rng.below(100);
                    rng.noise(len)
                }
                _ => seeds[rng.below(seeds.len())].clone(),
            };
            let other = &seeds[rng.below(seeds.len())];
            (0..rng.below(4)).for_each(|_| damage(&mut rng, &mut bytes, other));
            let (unpacked, largest) = counted(codec as u8, &bytes, MOST);
            assert!(largest <= MOST + 1, "{codec:?} took {largest}");
            match unpacked {
                Ok(unpacked) => {
                    assert!(unpacked.len() <= MOST);
                    whole += 1;
                }
                Err(fault) => {
                    assert!(matches!(fault, Fault::Damaged(_) | Fault::TooLarge(_)), "{fault:?}");
                    refused += 1;
                }
            }
        }
        assert!(whole > 2000 && refused > 2000, "{codec:?} {whole} {refused}");
    }
}

#[test]
fn a_batch_that_does_not_unpack_is_refused_at_the_door() {
    let values = vec![vec![3; 400]; 10];
    for codec in CODECS {
        let mut bytes = batch_of(codec, &values).as_bytes().to_vec();
        bytes.truncate(bytes.len() - 1);
        let len = bytes.len();
        bytes[8..12].copy_from_slice(&((len - 12) as u32).to_be_bytes());
        let crc = crc32c::crc32c(&bytes[21..]);
        bytes[17..21].copy_from_slice(&crc.to_be_bytes());
        let error = Batch::from_bytes(&bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidRecord);
        assert!(error.message().contains(codec.name()), "{error}");
    }
}
