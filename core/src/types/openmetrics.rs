//! Metrics as text: OpenMetrics 1.0, what Prometheus and its kin read.

use std::fmt::{self, Write};

use super::metrics::{ConsumerLag, Histogram, Metrics};

impl Metrics {
    /// The media type of the text, for the header `Content-Type`.
    pub const CONTENT_TYPE: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    /// The snapshot in the OpenMetrics text format, version 1.0. All names begin with `oncelog_`; times are in seconds.
    pub fn to_openmetrics(&self) -> String {
        let mut out = String::with_capacity(6 << 10);
        // A string takes all that is written to it.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        counter(out, "appends", "", "Batches written, those of transactions included.", self.appends)?;
        counter(out, "records", "", "Records written.", self.records)?;
        counter(out, "written_bytes", "bytes", "Bytes of all frames written.", self.bytes)?;
        counter(out, "duplicates", "", "Appends and sends that were there already.", self.duplicates)?;
        counter(out, "fenced", "", "Calls refused because a newer holder had taken over.", self.fenced)?;
        family(out, "transactions", "counter", "", "Transactions that have ended, by outcome.")?;
        writeln!(out, "oncelog_transactions_total{{outcome=\"committed\"}} {}", self.transactions_committed)?;
        writeln!(out, "oncelog_transactions_total{{outcome=\"aborted\"}} {}", self.transactions_aborted)?;
        gauge(out, "open_transactions", "", "Transactions open now.", self.transactions_open)?;
        let frames = |value: u64| format!("{value}.0");
        histogram(out, "group_frames", "frames", "Frames of each group written.", &self.group_frames, frames, |sum| {
            sum.to_string()
        })?;
        let text = "Time of each flush to the device.";
        histogram(out, "flush_duration_seconds", "seconds", text, &self.flush_nanos, seconds, seconds)?;
        counter(out, "late_rolls", "", "Rolls to the next segment that had to wait.", self.late_rolls)?;
        counter(out, "checkpoints", "", "Checkpoints completed.", self.checkpoints)?;
        gauge(out, "segments", "", "Segment files.", self.segments)?;
        gauge(out, "disk_used_bytes", "bytes", "Bytes that the segment files hold.", self.disk_used)?;
        gauge(out, "disk_live_bytes", "bytes", "Bytes of the segment files that are frames.", self.disk_live)?;
        gauge(out, "poisoned", "", "1 once a write or flush has failed.", u64::from(self.poisoned))?;
        family(out, "consumer_lag", "gauge", "", "Records between a group's consumer and the end.")?;
        self.lags.iter().try_for_each(|lag| lag.write(out))?;
        out.write_str("# EOF\n")
    }
}

impl ConsumerLag {
    fn write(&self, out: &mut String) -> fmt::Result {
        out.write_str("oncelog_consumer_lag{group=\"")?;
        escape(out, &self.group)?;
        out.write_str("\",topic=\"")?;
        escape(out, &self.partition.topic)?;
        writeln!(out, "\",partition=\"{}\"}} {}", self.partition.partition, self.lag)
    }
}

fn family(out: &mut String, name: &str, kind: &str, unit: &str, help: &str) -> fmt::Result {
    writeln!(out, "# TYPE oncelog_{name} {kind}")?;
    if !unit.is_empty() {
        writeln!(out, "# UNIT oncelog_{name} {unit}")?;
    }
    writeln!(out, "# HELP oncelog_{name} {help}")
}

fn counter(out: &mut String, name: &str, unit: &str, help: &str, value: u64) -> fmt::Result {
    family(out, name, "counter", unit, help)?;
    writeln!(out, "oncelog_{name}_total {value}")
}

fn gauge(out: &mut String, name: &str, unit: &str, help: &str, value: u64) -> fmt::Result {
    family(out, name, "gauge", unit, help)?;
    writeln!(out, "oncelog_{name} {value}")
}

fn histogram(
    out: &mut String,
    name: &str,
    unit: &str,
    help: &str,
    values: &Histogram,
    bound: impl Fn(u64) -> String,
    sum: impl Fn(u64) -> String,
) -> fmt::Result {
    family(out, name, "histogram", unit, help)?;
    // Buckets hold all values up to their bound, those of the buckets below included.
    let mut below = 0;
    for (i, count) in values.counts().iter().enumerate() {
        below += count;
        let le = values.bounds().get(i).map_or_else(|| "+Inf".to_owned(), |at| bound(*at));
        writeln!(out, "oncelog_{name}_bucket{{le=\"{le}\"}} {below}")?;
    }
    writeln!(out, "oncelog_{name}_sum {}", sum(values.sum()))?;
    writeln!(out, "oncelog_{name}_count {below}")
}

/// Nanoseconds as seconds, in the form that the format asks of bounds: a point, or an exponent of two digits.
fn seconds(nanos: u64) -> String {
    let seconds = nanos as f64 / 1e9;
    if nanos == 0 || nanos >= 100_000 {
        return format!("{seconds:?}");
    }
    let text = format!("{seconds:e}");
    match text.split_once("e-") {
        Some((digits, exponent)) => format!("{digits}e-{exponent:0>2}"),
        None => text,
    }
}

/// The content of a label: backslash, quote and line feed are escaped, nothing else is.
fn escape(out: &mut String, text: &str) -> fmt::Result {
    for c in text.chars() {
        match c {
            '\\' => out.write_str("\\\\")?,
            '"' => out.write_str("\\\"")?,
            '\n' => out.write_str("\\n")?,
            c => out.write_char(c)?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::TopicPartition;
    use crate::types::metrics::{BOUNDS, FLUSH_NANOS, GROUP_FRAMES};

    fn of(flush_nanos: Histogram, lags: Vec<ConsumerLag>) -> Metrics {
        Metrics {
            appends: 1,
            records: 2,
            bytes: 3,
            duplicates: 4,
            fenced: 5,
            transactions_committed: 6,
            transactions_aborted: 7,
            transactions_open: 8,
            group_frames: Histogram::new(&GROUP_FRAMES, [0; BOUNDS + 1], 0),
            flush_nanos,
            late_rolls: 9,
            checkpoints: 10,
            segments: 11,
            disk_used: 12,
            disk_live: 13,
            poisoned: true,
            lags,
        }
    }

    #[test]
    fn bounds_are_written_as_the_format_wants_them() {
        let found = [0, 50_000, 100_000, 1_000_000, 500_000_000, 1_000_000_000, 5_000_000_000].map(seconds);
        assert_eq!(found, ["0.0", "5e-05", "0.0001", "0.001", "0.5", "1.0", "5.0"]);
    }

    #[test]
    fn a_histogram_counts_upwards_and_ends_with_all() {
        let mut counts = [0; BOUNDS + 1];
        (counts[0], counts[1], counts[BOUNDS]) = (2, 3, 1);
        let flush_nanos = Histogram::new(&FLUSH_NANOS, counts, 7_000_000_000);
        let text = of(flush_nanos, Vec::new()).to_openmetrics();
        for line in [
            "# TYPE oncelog_flush_duration_seconds histogram",
            "# UNIT oncelog_flush_duration_seconds seconds",
            "oncelog_flush_duration_seconds_bucket{le=\"5e-05\"} 2",
            "oncelog_flush_duration_seconds_bucket{le=\"0.0001\"} 5",
            "oncelog_flush_duration_seconds_bucket{le=\"5.0\"} 5",
            "oncelog_flush_duration_seconds_bucket{le=\"+Inf\"} 6",
            "oncelog_flush_duration_seconds_sum 7.0",
            "oncelog_flush_duration_seconds_count 6",
            "# TYPE oncelog_written_bytes counter",
            "oncelog_written_bytes_total 3",
            "oncelog_transactions_total{outcome=\"aborted\"} 7",
            "oncelog_poisoned 1",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\n\n"));
    }

    #[test]
    fn labels_hold_whatever_a_group_is_called() {
        let partition = TopicPartition::new("t", 3);
        let lag = ConsumerLag { group: "a\"b\\c\nd é".to_owned(), partition, position: 1, lag: 9 };
        let none = Histogram::new(&FLUSH_NANOS, [0; BOUNDS + 1], 0);
        let text = of(none, vec![lag]).to_openmetrics();
        let line = "oncelog_consumer_lag{group=\"a\\\"b\\\\c\\nd é\",topic=\"t\",partition=\"3\"} 9";
        assert!(text.lines().any(|found| found == line), "{text}");
    }
}
