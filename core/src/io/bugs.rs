//! Planted bugs: known mistakes that a test build can switch on, to prove that the tests would catch them. Without
//! the feature `sim`, `planted` is the constant `false` and the mistaken branch is compiled away.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// One mistake that can be planted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Bug { $($(#[$doc])* $name,)* }
        impl Bug {
            /// Every bug.
            pub const ALL: &'static [Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// A call at level `disk` is acknowledged before its flush has returned.
    AckBeforeFlush,
    /// The durable LSN counts what was written when the flush ended, not when it began.
    DurableCountedAtFlushEnd,
    /// A failed flush is tried again, and the second answer believed.
    FailedFlushRetried,
    /// Names are never made durable.
    NoDirectorySync,
    /// Recovery does not check bodies in the tail.
    TailBodyUnchecked,
    /// Recovery serves the tail where it lies instead of copying it.
    TailServedUncopied,
    /// At a roll the newer segment is flushed without the older one.
    OlderFileNotFlushedAtRoll,
    /// Rot in durable bytes is cut as if it were a torn tail.
    RotCutAsTorn,
    /// A fence is answered before it is durable.
    FenceNotDurable,
    /// A duplicate is acknowledged before its original is.
    DuplicateBeforeOriginal,
    /// A named producer's position is written apart from its records.
    PositionApartFromRecords,
    /// A checkpoint holds state newer than the LSN it names.
    CheckpointNewerThanLsn,
    /// A transaction is acknowledged at the weakest level of its topics.
    WeakestTopicCounts,
    /// A reader at level `memory` leaves what it asks for unwritten.
    ReadWithoutWriting,
    /// Open transactions do not hold the stable offset back.
    StableNotHeldBack,
    /// A footer leaves out what was aborted in its segment.
    AbortedLostAtRoll,
    /// An open transaction is not aborted when the log is opened again.
    OpenLeftOnReopen,
    /// What a group committed is told while an open transaction will commit another offset.
    PendingNotWaitedFor,
    /// Offsets that a transaction sent are committed by its abort too.
    PendingKeptAtAbort,
    /// Offsets that a transaction sent take the place of what was committed after they were sent.
    PendingOverLater,
    /// An abort by timeout leaves the epoch as it is.
    EpochKeptAtTimeout,
    /// The end of a transaction that is repeated raises the epoch again.
    RepeatedEndRaises,
    /// A raw transaction that is kept open over an opening has no timeout any more.
    KeptForEver,
    /// The segment that goes on with a footer made anew says by its silence that nothing in it is open.
    SilentAboutOpen,
    /// A footer that is made anew claims to know what was open before its segment.
    AnewSaysAll,
    /// The event of a write or flush moves before its baton is free.
    EventBeforeBaton,
    /// Waiters are notified while one of them may be between its last look and its sleep.
    NotifiedWithoutLock,
    /// Who needs the room of a segment that is durable looks again and again until its flusher has taken it off the
    /// list.
    SettledByFlusherOnly,
    /// Who enlists behind the close is never called.
    EnlistedBehindClose,
    /// Calls back are judged one after the other: what is written meanwhile lets the second overtake the first.
    CallsOfManyMoments,
    /// A poll notes what its signal has told after it has looked whether the log is open.
    CloseUnheard,
    /// What is begun while the keeper is about to sleep is measured by when its last sleep was to end.
    LingerBehindLook,
    /// A frame is shown as written before it is counted.
    WrittenBeforeCounted,
    /// The visible end moves over a transaction before it is known as open.
    EndBeforeUndecided,
    /// The visible end of one moment is answered with what is undecided at a later one.
    BoundsOfTwoMoments,
    /// A frame goes where a piece of zeros is being written, without waiting for it.
    ZerosOverFrames,
}

impl Bug {
    /// Those that only some interleavings of threads show: tests/models.
    pub const BETWEEN_THREADS: &'static [Bug] = &[
        Bug::EventBeforeBaton,
        Bug::NotifiedWithoutLock,
        Bug::SettledByFlusherOnly,
        Bug::EnlistedBehindClose,
        Bug::CallsOfManyMoments,
        Bug::CloseUnheard,
        Bug::LingerBehindLook,
        Bug::WrittenBeforeCounted,
        Bug::EndBeforeUndecided,
        Bug::BoundsOfTwoMoments,
        Bug::ZerosOverFrames,
    ];
}

#[cfg(not(feature = "sim"))]
/// True if this mistake is to be made now. Never, in this build.
#[inline(always)]
pub const fn planted(_bug: Bug) -> bool {
    false
}

#[cfg(feature = "sim")]
pub use on::{Planted, plant, planted};

#[cfg(feature = "sim")]
mod on {
    use std::cell::Cell;
    use std::marker::PhantomData;

    use super::Bug;

    thread_local! {
        // One bit per bug. Of this thread only, so that tests that run at the same time do not disturb each other.
        static PLANTED: Cell<u64> = const { Cell::new(0) };
    }

    /// True if this mistake is to be made now, on this thread.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() & bit(bug) != 0
    }

    /// Plants a bug on this thread until the answer is dropped.
    pub fn plant(bug: Bug) -> Planted {
        let before = PLANTED.get();
        PLANTED.set(before | bit(bug));
        Planted { before, not_send: PhantomData }
    }

    /// Keeps a bug planted. Drop the last one planted first.
    #[must_use = "the bug is gone when this is dropped"]
    pub struct Planted {
        before: u64,
        // It must be dropped on the thread that it speaks of.
        not_send: PhantomData<*const ()>,
    }

    impl Drop for Planted {
        fn drop(&mut self) {
            PLANTED.set(self.before);
        }
    }

    fn bit(bug: Bug) -> u64 {
        1 << bug as u64
    }
}

#[cfg(all(test, feature = "sim"))]
mod tests {
    use super::*;

    #[test]
    fn a_planted_bug_lasts_as_long_as_its_guard_and_stays_on_its_thread() {
        assert!(Bug::ALL.iter().all(|&bug| !planted(bug)));
        let one = plant(Bug::AckBeforeFlush);
        {
            let _two = plant(Bug::CheckpointNewerThanLsn);
            assert!(planted(Bug::AckBeforeFlush) && planted(Bug::CheckpointNewerThanLsn));
        }
        assert!(planted(Bug::AckBeforeFlush) && !planted(Bug::CheckpointNewerThanLsn));
        assert!(!std::thread::spawn(|| planted(Bug::AckBeforeFlush)).join().unwrap());
        drop(one);
        assert!(!planted(Bug::AckBeforeFlush));
    }
}
