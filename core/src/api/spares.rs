//! Builders between two batches: their buffers are used again, as long as those are few.

use crate::format::batch::BatchBuilder;

/// Bytes of buffers that are kept, about: those of the usual batches, and not of a burst. Nobody counts them while
/// nothing is gathered.
const KEPT: usize = 256 << 10;

/// Emptied builders.
#[derive(Default)]
pub(super) struct Spares {
    builders: Vec<BatchBuilder>,
    /// Bytes of all their buffers.
    bytes: usize,
}

impl Spares {
    /// An empty builder: the one that was given back last, which is in the processor's cache still.
    #[inline]
    pub(super) fn take(&mut self) -> BatchBuilder {
        let Some(builder) = self.builders.pop() else { return BatchBuilder::new() };
        self.bytes -= builder.room();
        builder
    }

    /// Empties a builder and keeps it, unless there is enough.
    #[inline]
    pub(super) fn give(&mut self, mut builder: BatchBuilder) {
        if self.bytes + builder.room() <= KEPT {
            builder.reset();
            self.bytes += builder.room();
            self.builders.push(builder);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::format::record::Record;

    #[test]
    fn buffers_are_used_again_and_no_more_are_kept_than_a_few() {
        let mut spares = Spares::default();
        for round in 1..50 {
            let mut out: Vec<BatchBuilder> = (0..round).map(|_| spares.take()).collect();
            assert!(out.iter().all(|builder| builder.count() == 0));
            for (n, builder) in out.iter_mut().enumerate() {
                builder.push(&Record::new(&vec![1; 1_000 * (n * round % 97)]), 5).unwrap();
                builder.finish();
            }
            out.into_iter().for_each(|builder| spares.give(builder));
            let kept: usize = spares.builders.iter().map(BatchBuilder::room).sum();
            assert!(kept == spares.bytes && kept <= KEPT, "round={round} kept={kept}");
        }
        let small = spares.take();
        assert!(small.room() > 0);
        spares.give(small);
        let mut large = BatchBuilder::new();
        large.push(&Record::new(&vec![1; KEPT]), 5).unwrap();
        let before = spares.builders.len();
        spares.give(large);
        assert_eq!(spares.builders.len(), before, "a large one is not kept");
    }
}
