//! Time behind a trait: deadlines count monotonic time, records carry the wall clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Reads the clocks.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since some moment before the open; never steps back.
    fn monotonic(&self) -> u64;
    /// Milliseconds since 1970; may jump either way, so nothing but record timestamps may depend on it.
    fn wall_ms(&self) -> i64;
}

/// The machine's clocks.
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now, at 0.
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn monotonic(&self) -> u64 {
        // 584 years of nanoseconds fit.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    fn wall_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            // Seconds since 1970 times a thousand fit for 292 million years.
            Ok(since) => (since.as_secs() * 1000 + u64::from(since.subsec_millis())).cast_signed(),
            Err(before) => i64::try_from(before.duration().as_millis()).map_or(i64::MIN, |ms| -ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_monotonic_clock_never_steps_back() {
        let clock = SystemClock::new();
        let mut last = clock.monotonic();
        for _ in 0..10_000 {
            let now = clock.monotonic();
            assert!(now >= last, "{now} after {last}");
            last = now;
        }
    }

    #[test]
    fn the_wall_clock_counts_milliseconds_since_1970() {
        // 2020 and 2200: wide enough for any machine that can build this.
        assert!((1_577_836_800_000..7_258_118_400_000).contains(&SystemClock::new().wall_ms()));
    }
}
