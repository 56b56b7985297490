//! Which of many aborted ranges touch some offsets: they lie in the order of their decisions, so what every few of them
//! span is looked at first.

use std::ops::Range;

use super::footer::Aborted;

/// Ranges whose span is known together.
const TOGETHER: usize = 64;

/// What aborted ranges span, every few of them.
#[derive(Debug, Default)]
pub struct Spans {
    spans: Vec<Range<u64>>,
    count: usize,
}

impl Spans {
    /// The next range.
    pub fn push(&mut self, range: &Aborted) {
        match self.spans.last_mut().filter(|_| !self.count.is_multiple_of(TOGETHER)) {
            Some(last) => *last = last.start.min(range.first)..last.end.max(range.end),
            None => self.spans.push(range.first..range.end),
        }
        self.count += 1;
    }

    /// The numbers of those, of some that lie behind each other, that may touch offsets.
    pub fn near(&self, numbers: Range<usize>, offsets: Range<u64>) -> impl Iterator<Item = usize> {
        let groups = numbers.start / TOGETHER..numbers.end.min(self.count).div_ceil(TOGETHER);
        let touches = move |group: &usize| {
            self.spans.get(*group).is_some_and(|span| span.start < offsets.end && offsets.start < span.end)
        };
        let within = move |group: usize| numbers.start.max(group * TOGETHER)..numbers.end.min((group + 1) * TOGETHER);
        groups.filter(touches).flat_map(within)
    }
}

impl<'a> Extend<&'a Aborted> for Spans {
    fn extend<T: IntoIterator<Item = &'a Aborted>>(&mut self, ranges: T) {
        ranges.into_iter().for_each(|range| self.push(range));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ranges_that_touch_some_offsets_are_among_few() {
        // One transaction was open for long.
        let first = |n: u64| if n == 700 { 50 } else { n * 10 };
        let ranges: Vec<_> = (0..1_000).map(|n| Aborted { producer_id: 1, first: first(n), end: n * 10 + 5 }).collect();
        let mut spans = Spans::default();
        spans.extend(&ranges);
        for (numbers, offsets) in [(0..1_000, 0..1), (0..1_000, 3_000..3_100), (90..400, 0..9_999), (3..3, 0..9_999)] {
            let near: Vec<_> = spans.near(numbers.clone(), offsets.clone()).collect();
            let touch = |n: &usize| ranges[*n].first < offsets.end && offsets.start < ranges[*n].end;
            let expected: Vec<_> = numbers.clone().filter(touch).collect();
            assert!(near.is_sorted() && near.iter().all(|n| numbers.contains(n)));
            assert_eq!(near.iter().copied().filter(touch).collect::<Vec<_>>(), expected);
            assert!(near.len() <= expected.len() + 4 * TOGETHER, "{} for {}", near.len(), expected.len());
        }
        assert_eq!(Spans::default().near(0..10, 0..10).count(), 0);
    }
}
