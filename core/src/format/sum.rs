//! CRC-32C (Castagnoli), the checksum of every frame and of every record batch.

use crc_fast::{CrcAlgorithm, Digest};

/// From so many bytes on, products without carries fold several vectors at once: twice as fast as the processor's own
/// instruction for the sum, which has one chain of results to wait for. Heads are shorter, batches of some records not.
const LONG: usize = 512;

/// The sum of `bytes`.
#[inline]
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c_append(0, bytes)
}

/// The sum of what `before` is the sum of, with `bytes` behind it.
#[inline]
pub fn crc32c_append(before: u32, bytes: &[u8]) -> u32 {
    if bytes.len() < LONG {
        return crc32c::crc32c_append(before, bytes);
    }
    let mut digest = Digest::new_with_init_state(CrcAlgorithm::Crc32Iscsi, (!before).into());
    digest.update(bytes);
    // Of 32 bits, whatever the type.
    digest.finalize() as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_is_that_of_the_standard_vectors() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        // RFC 3720, B.4: 32 bytes of zeros; here by the long way too.
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        let zeros = crc32c(&[0; 4096]);
        assert_eq!(crc32c_append(crc32c(&[0; 32]), &[0; 4064]), zeros);
        assert_eq!((0..128).fold(0, |sum, _| crc32c::crc32c_append(sum, &[0; 32])), zeros);
    }

    #[test]
    fn long_and_short_ways_sum_alike_at_every_length_and_place_whatever_came_before() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
        for length in (0..1_500).chain([2_047, 4_096, 4_097, 11_111, 65_535, 65_536, 69_000]) {
            for place in [0, 1, 7, 8, 40, 61, 63] {
                let (some, before) = (&bytes[place..place + length], (length as u32).wrapping_mul(0x9e37_79b9));
                let expected = crc32c::crc32c_append(before, some);
                assert_eq!(crc32c_append(before, some), expected, "length={length} place={place}");
            }
        }
    }

    #[test]
    fn one_bit_in_a_long_run_of_bytes_changes_the_sum() {
        let mut bytes = vec![0x5a; 3 * LONG];
        let sum = crc32c(&bytes);
        for bit in 0..bytes.len() * 8 {
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_ne!(crc32c(&bytes), sum, "bit={bit}");
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
    }
}
