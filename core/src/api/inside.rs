//! What an engine tells of itself and of its files.

use super::engine::Engine;
use crate::error::Result;
use crate::types::{Metrics, Opening, Verification};

impl Engine {
    /// What opening found and did: a tail cut, frames copied, damage. Nothing is cut or lost without a word here.
    pub fn opening(&self) -> Opening {
        self.open.inner.opening()
    }

    /// How the log stands and what it has done since it was opened: appends, flushes and how long they took,
    /// transactions, how far consumers are behind, the disk. A snapshot that takes microseconds, and about two more for
    /// each partition in which an open consumer of a group has a position: it waits for nobody, reads nothing from the
    /// disk, and answers when the log is closed too. In a forked child it knows neither the disk nor consumers.
    pub fn metrics(&self) -> Metrics {
        self.open.inner.metrics()
    }

    /// Reads all that is durable, segment after segment, and verifies each frame: whether the disk still holds what it
    /// was given, as often as you like. Damage is not an error here but the answer; what of it a reader or the next
    /// open will meet each of them says itself. Appends and reads go on meanwhile, and no lock is held while it reads.
    /// What is not flushed yet is left out: call `flush` before, if it matters. It reads some gigabytes a second from
    /// the page cache, else as fast as the device does, in memory of one frame.
    ///
    /// ```
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let engine = oncelog::Engine::open(dir.path())?;
    /// let found = engine.verify()?;
    /// assert!(found.frames > 0 && found.damage.is_empty());
    /// # Ok::<(), oncelog::Error>(())
    /// ```
    ///
    /// # Errors
    /// `Io` if a file cannot be read; `Closed`, `Forked`.
    pub fn verify(&self) -> Result<Verification> {
        let (mut found, mut segment) = (Verification::default(), 0);
        while let Some(next) = self.verify_behind(segment, &mut found)? {
            segment = next;
        }
        Ok(found)
    }

    /// One segment of it, the first one behind that of a number: answers its own; `None` behind the last. Hidden, since
    /// it is for bindings that look at something else in between.
    #[doc(hidden)]
    pub fn verify_behind(&self, segment: u64, found: &mut Verification) -> Result<Option<u64>> {
        self.open.inner.verify_behind(segment, found)
    }

    /// The state, encoded, but for what each life changes by beginning. For tests.
    #[cfg(feature = "sim")]
    #[doc(hidden)]
    pub fn digest(&self) -> Vec<u8> {
        self.open.inner.digest()
    }
}
