//! The records that every engine is given: 100 random bytes each, the same ones in the same order.

/// Bytes of a record.
pub const SIZE: usize = 100;
/// A record.
pub type Value = [u8; SIZE];

/// Enough that no block compresses, few enough that reading them costs nothing.
const POOL: usize = 4_096;

/// A pool of records, handed out in turn.
pub struct Values(Vec<Value>);

impl Values {
    /// Draws the pool; every process draws the same one.
    pub fn new() -> Values {
        let mut state = 0x9e37_79b9_7f4a_7c15u64;
        let mut value = || {
            let mut bytes = [0; SIZE];
            for chunk in bytes.chunks_mut(8) {
                // splitmix64
                state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
            }
            bytes
        };
        Values((0..POOL).map(|_| value()).collect())
    }

    /// The `turn`th batch of `count` records, at most 1,000.
    pub fn batch(&self, turn: u64, count: usize) -> &[Value] {
        let start = (turn as usize).wrapping_mul(count) % (POOL - count);
        &self.0[start..start + count]
    }
}

/// What a reader saw: every engine hands each record to `take`, so that all do the same with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Sum of the first eight bytes of each.
    pub sum: u64,
}

impl Seen {
    /// Looks at a record.
    #[inline]
    pub fn take(&mut self, value: &[u8]) {
        self.records += 1;
        self.bytes += value.len() as u64;
        if let Some(first) = value.first_chunk() {
            self.sum = self.sum.wrapping_add(u64::from_le_bytes(*first));
        }
    }
}
