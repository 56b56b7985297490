//! Which branches of recovery were taken: counted in the build that tests use, so that a run can prove it went there.

#[cfg(not(feature = "sim"))]
/// Counts a branch. Nothing, in this build.
#[inline(always)]
pub const fn branch(_name: &'static str) {}

#[cfg(feature = "sim")]
pub use on::{branch, branches};

#[cfg(feature = "sim")]
mod on {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, MutexGuard, PoisonError};

    // The standard library's: it outlives the runs of a model.
    static TAKEN: Mutex<BTreeMap<&'static str, u64>> = Mutex::new(BTreeMap::new());

    /// Counts a branch.
    pub fn branch(name: &'static str) {
        *taken().entry(name).or_default() += 1;
    }

    /// How often each branch was taken in this process.
    pub fn branches() -> BTreeMap<&'static str, u64> {
        taken().clone()
    }

    fn taken() -> MutexGuard<'static, BTreeMap<&'static str, u64>> {
        TAKEN.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
