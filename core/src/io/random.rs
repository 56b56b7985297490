//! Randomness behind a trait, so that a simulated run repeats.

use crate::error::{Error, ErrorKind, Result};

/// Fills buffers with random bytes.
pub trait Random: Send + Sync + 'static {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
    /// One random number.
    fn next_u64(&self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

/// The operating system's randomness.
pub struct SystemRandom(());

impl SystemRandom {
    /// Draws once, so that a machine without randomness is told here and not in the middle of a write.
    pub fn new() -> Result<Self> {
        let mut probe = [0; 8];
        match getrandom::fill(&mut probe) {
            Ok(()) => Ok(Self(())),
            Err(cause) => Err(Error::new(
                ErrorKind::Io,
                format!("the system gives no random bytes; make getrandom or /dev/urandom usable, cause={cause}"),
            )),
        }
    }
}

impl Random for SystemRandom {
    fn fill(&self, bytes: &mut [u8]) {
        getrandom::fill(bytes).expect("the system's randomness answered when this was made and does not run dry");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_draws_differ() {
        let random = SystemRandom::new().unwrap();
        assert_ne!((random.next_u64(), random.next_u64()), (random.next_u64(), random.next_u64()));
    }
}
