//! Reads `DIFFERENCES.md`: the rows of its tables that begin with a case's number.

use std::fmt;

/// One step that is answered otherwise.
#[derive(Debug)]
pub struct Difference {
    pub case: u64,
    /// From 1.
    pub step: usize,
    pub kafka: String,
    pub here: String,
    pub reason: String,
}

impl fmt::Display for Difference {
    /// As a row of the file.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { case, step, kafka, here, reason } = self;
        write!(f, "| {case} | {step} | {kafka} | {here} | {reason} |")
    }
}

/// Why an answer may differ; there are no other reasons.
pub const REASONS: [&str; 8] = [
    "unknown producer refused",
    "five cached batches",
    "completion is synchronous",
    "no markers",
    "older protocol",
    "an answer not to copy",
    "more than one process",
    "a later part",
];

/// Whose answers were found to be no example by who recorded them.
const NOT_TO_COPY: [u64; 20] = [56, 84, 85, 86, 87, 88, 89, 92, 93, 94, 95, 96, 112, 207, 412, 463, 529, 547, 624, 626];
/// Whose answers are faults that Kafka knows of, found while these were compared: the file says which.
const KNOWN_FAULTS: [u64; 3] = [254, 536, 554];

/// All that the file lists.
pub fn listed() -> Vec<Difference> {
    let rows = include_str!("../DIFFERENCES.md").lines().filter(|line| line.starts_with("| "));
    rows.filter_map(|row| {
        let cells: Vec<_> = row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
        let [case, step, kafka, here, reason] = <[String; 5]>::try_from(cells).ok()?;
        let (case, step) = (case.parse().ok()?, step.parse().unwrap());
        let known = REASONS.iter().any(|known| reason.starts_with(known));
        assert!(known, "case {case}, step {step}: this is none of the reasons: {reason:?}");
        let excused = NOT_TO_COPY.contains(&case) || KNOWN_FAULTS.contains(&case);
        assert!(reason != "an answer not to copy" || excused, "case {case} is an example: copy it, or say why not");
        Some(Difference { case, step, kafka, here, reason })
    })
    .collect()
}
