//! The decision frame: how a transaction ended whose batches lie in the log already. Byte table: FORMAT.md section 5.
//!
//! ```text
//! head:  0 producer id i64   8 epoch i16   10 outcome u8   11 flags u8   12 spans u32   16 number u64
//!       24 position u64     32 next producer id i64       40 next epoch i16   42 cause u8   43 zeros 5
//!       48 + 24 n  span: instance u32, zero u32, first offset u64, end offset u64
//! body: the offsets block
//! ```

use std::ops::Deref;

use super::bytes::{get_u16, get_u32, get_u64, put_u16, put_u32, put_u64};
use crate::limits::COUNT_MAX;

/// Bytes of the head before the spans.
pub const DECISION_HEAD: usize = 48;
/// Bytes of one span.
pub const SPAN: usize = 24;
const HAS_POSITION: u8 = 1;

/// How a transaction ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Ended {
    Commit = 1,
    Abort = 2,
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cause {
    /// Its owner asked, or let it go.
    Owner = 0,
    /// It was open for too long.
    Timeout = 1,
    /// A newer holder of the name came, or the name was deleted.
    Fence = 2,
    /// The log was opened again.
    Reopen = 3,
    /// Somebody asked for it by its number.
    Number = 4,
}

impl Cause {
    /// As it is told.
    pub fn name(self) -> &'static str {
        match self {
            Cause::Owner => "owner",
            Cause::Timeout => "timeout",
            Cause::Fence => "fence",
            Cause::Reopen => "reopen",
            Cause::Number => "number",
        }
    }

    fn of(number: u8) -> Option<Cause> {
        Some(match number {
            0 => Cause::Owner,
            1 => Cause::Timeout,
            2 => Cause::Fence,
            3 => Cause::Reopen,
            4 => Cause::Number,
            _ => return None,
        })
    }
}

/// Where a transaction's records lie in a partition: from its first one to behind its last. Others' may lie between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Span {
    pub instance: u32,
    pub first: u64,
    pub end: u64,
}

/// What a decision says.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Decided {
    /// Id and epoch that the transaction's batches carry.
    pub producer: (i64, i16),
    pub ended: Ended,
    pub cause: Cause,
    /// 0: an abort without a transaction, which only raises the epoch.
    pub number: u64,
    pub position: Option<u64>,
    /// Id and epoch that the name's holder uses from here on.
    pub next: (i64, i16),
}

/// The head of a decision frame: what it says, and the spans.
#[derive(Clone, Copy, Debug)]
pub struct DecisionHead<'a> {
    decided: Decided,
    table: &'a [u8],
}

impl Deref for DecisionHead<'_> {
    type Target = Decided;
    fn deref(&self) -> &Decided {
        &self.decided
    }
}

impl<'a> DecisionHead<'a> {
    /// Reads a head; `None` if its lengths do not agree or a field is none of this version's.
    pub fn read(head: &'a [u8]) -> Option<DecisionHead<'a>> {
        if head.len() < DECISION_HEAD {
            return None;
        }
        let table = &head[DECISION_HEAD..];
        if table.len() as u64 != u64::from(get_u32(head, 12)) * SPAN as u64 || head[11] & !HAS_POSITION != 0 {
            return None;
        }
        if get_u64(head, 16) > COUNT_MAX {
            return None;
        }
        let ended = match head[10] {
            1 => Ended::Commit,
            2 => Ended::Abort,
            _ => return None,
        };
        let decided = Decided {
            producer: (get_u64(head, 0) as i64, get_u16(head, 8) as i16),
            ended,
            cause: Cause::of(head[42])?,
            number: get_u64(head, 16),
            position: (head[11] & HAS_POSITION != 0).then(|| get_u64(head, 24)),
            next: (get_u64(head, 32) as i64, get_u16(head, 40) as i16),
        };
        Some(DecisionHead { decided, table })
    }

    /// The spans, by instance.
    pub fn spans(&self) -> impl ExactSizeIterator<Item = Span> + 'a {
        self.table.chunks_exact(SPAN).map(|entry| Span {
            instance: get_u32(entry, 0),
            first: get_u64(entry, 8),
            end: get_u64(entry, 16),
        })
    }
}

impl Decided {
    /// Appends the head with its spans.
    pub fn write(&self, out: &mut Vec<u8>, spans: &[Span]) {
        let start = out.len();
        out.resize(start + DECISION_HEAD + spans.len() * SPAN, 0);
        let head = &mut out[start..];
        put_u64(head, 0, self.producer.0 as u64);
        put_u16(head, 8, self.producer.1 as u16);
        head[10] = self.ended as u8;
        head[11] = if self.position.is_some() { HAS_POSITION } else { 0 };
        put_u32(head, 12, spans.len() as u32);
        put_u64(head, 16, self.number);
        put_u64(head, 24, self.position.unwrap_or(0));
        put_u64(head, 32, self.next.0 as u64);
        put_u16(head, 40, self.next.1 as u16);
        head[42] = self.cause as u8;
        for (span, entry) in spans.iter().zip(head[DECISION_HEAD..].chunks_exact_mut(SPAN)) {
            put_u32(entry, 0, span.instance);
            put_u64(entry, 8, span.first);
            put_u64(entry, 16, span.end);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Vec<u8>, Vec<Span>) {
        let spans = vec![Span { instance: 3, first: 10, end: 20 }, Span { instance: 9, first: 0, end: 1 }];
        let decided = Decided {
            producer: (7, 4),
            ended: Ended::Abort,
            cause: Cause::Timeout,
            number: 99,
            position: Some(12),
            next: (7, 5),
        };
        let mut head = Vec::new();
        decided.write(&mut head, &spans);
        (head, spans)
    }

    #[test]
    fn a_decision_comes_back_as_it_was_written() {
        let (head, spans) = sample();
        assert_eq!(head.len(), DECISION_HEAD + 2 * SPAN);
        let read = DecisionHead::read(&head).expect("valid");
        assert_eq!((read.producer, read.next, read.number), ((7, 4), (7, 5), 99));
        assert_eq!((read.ended, read.cause, read.position), (Ended::Abort, Cause::Timeout, Some(12)));
        assert_eq!(read.spans().collect::<Vec<_>>(), spans);
    }

    #[test]
    fn a_decision_whose_lengths_or_fields_do_not_fit_is_refused() {
        let (head, _) = sample();
        for end in 0..head.len() {
            assert!(DecisionHead::read(&head[..end]).is_none(), "cut at {end}");
        }
        for (at, value) in [(10, 0), (10, 3), (11, 2), (12, 3), (15, 0xff), (42, 5)] {
            let mut bad = head.clone();
            bad[at] = value;
            assert!(DecisionHead::read(&bad).is_none(), "byte {at}");
        }
    }
}
