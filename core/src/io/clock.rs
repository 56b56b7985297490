//! Time behind a trait: deadlines count monotonic time, records carry the wall clock. One of the six files with unsafe
//! code.
#![allow(unsafe_code)]

use std::time::Instant;

/// Reads the clocks.
pub trait Clock: Send + Sync + 'static {
    /// Nanoseconds since some moment before the open; never steps back.
    fn monotonic(&self) -> u64;
    /// Milliseconds since 1970 as of the last tick, up to 10 ms ago. May jump either way, so nothing but records' times
    /// may depend on it.
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

    #[inline]
    fn wall_ms(&self) -> i64 {
        wall_ms()
    }
}

/// The machine's wall clock, milliseconds since 1970.
#[cfg(windows)]
#[inline]
pub fn wall_ms() -> i64 {
    // Before 1970 it is 1970. Milliseconds since then fit for 292 million years.
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// The machine's wall clock, milliseconds since 1970.
#[cfg(unix)]
#[inline]
pub fn wall_ms() -> i64 {
    // The coarse clock is a load; the fine one, read for every record, was a tenth of a send.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const WALL: libc::clockid_t = libc::CLOCK_REALTIME_COARSE;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const WALL: libc::clockid_t = libc::CLOCK_REALTIME;
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call writes one timespec, to one that is ours. On failure it stays 0, the year 1970.
    unsafe { libc::clock_gettime(WALL, &mut now) };
    // Seconds since 1970 times a thousand fit for 292 million years.
    now.tv_sec.saturating_mul(1000) + now.tv_nsec / 1_000_000
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
