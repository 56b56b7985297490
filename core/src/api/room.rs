//! Room in the log's buffers, for callers that must not wait for it in a call.

use std::time::Duration;

use super::engine::Engine;
use crate::error::Result;

impl Engine {
    /// True if an append or commit of so many bytes would not wait for room right now: for event loops, which come
    /// again later if it would: the engine makes the room meanwhile. True as well where it would be refused at once,
    /// for the log is closed, opened for reading, or failed, or so many bytes are too many. In a forked child, whose
    /// writes answer `Forked`, it means nothing.
    pub fn has_room(&self, bytes: usize) -> bool {
        self.open.inner.has_room(bytes)
    }

    /// Waits until an append of so many bytes would find room, or answers why it never would, as `Full`. Hidden, since
    /// it is for bindings whose one thread must not wait: they ask on another one what is wrong when nothing moves.
    #[doc(hidden)]
    pub fn await_room(&self, bytes: usize) -> Result<()> {
        self.open.inner.await_room(bytes)
    }

    /// Waits for the write or flush that such a call would wait for, at most `timeout`; false if it still would.
    /// Hidden, since it is for bindings that must hear something else meanwhile: they wait here before they call.
    #[doc(hidden)]
    pub fn room_within(&self, bytes: usize, timeout: Duration) -> Result<bool> {
        self.open.inner.room_within(bytes, timeout)
    }
}
