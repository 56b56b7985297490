//! Which partition a key goes to: as Kafka's clients choose it, so that both sides of a migration agree.

/// Kafka's 32-bit murmur2 of `bytes`, as the signed number that its clients compute.
pub fn murmur2(bytes: &[u8]) -> i32 {
    const SEED: u32 = 0x9747_b28c;
    const MULTIPLIER: u32 = 0x5bd1_e995;
    // Kafka's lengths are 32 bits: of a longer key the low bits count.
    let mut hash = SEED ^ bytes.len() as u32;
    let (words, rest) = bytes.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(MULTIPLIER);
        k = (k ^ (k >> 24)).wrapping_mul(MULTIPLIER);
        hash = hash.wrapping_mul(MULTIPLIER) ^ k;
    }
    if !rest.is_empty() {
        let tail = rest.iter().rev().fold(0, |tail, byte| tail << 8 | u32::from(*byte));
        hash = (hash ^ tail).wrapping_mul(MULTIPLIER);
    }
    hash = (hash ^ (hash >> 13)).wrapping_mul(MULTIPLIER);
    (hash ^ (hash >> 15)) as i32
}

/// The partition of `key` among `partitions`, from 0. A topic has at least one partition; 0 counts as 1.
pub fn partition_for_key(key: &[u8], partitions: u32) -> u32 {
    // Clearing the sign keeps it positive; Kafka does not take the absolute value.
    (murmur2(key) & i32::MAX) as u32 % partitions.max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_hash_as_in_kafka() {
        for (key, hash) in [("", 275_646_681), ("\0", 375_494_588), ("\x01", 2_107_329_057)] {
            assert_eq!(murmur2(key.as_bytes()), hash);
        }
    }

    #[test]
    fn a_partition_is_always_in_range() {
        for partitions in [0, 1, 2, 3, 1000, u32::MAX] {
            for key in 0..1000u32 {
                assert!(partition_for_key(&key.to_be_bytes(), partitions) < partitions.max(1));
            }
        }
    }
}
