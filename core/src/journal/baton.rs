//! A baton: held by one thread at a time, never waited for inside. Who does not get it parks on an event of the
//! journal's, which happens once it is free, and looks again. It carries what its holders hand on to each other.

use crate::io::sync::{Mutex, MutexGuard};

#[derive(Default)]
pub struct Baton<T = ()>(Mutex<T>);

impl<T> Baton<T> {
    /// Takes the baton if it is free. Given back when dropped.
    #[inline]
    pub fn take(&self) -> Option<MutexGuard<'_, T>> {
        self.0.try_lock()
    }
}

impl<T: Default> Baton<T> {
    /// Takes the baton for good, if it is free; what it carried is dropped.
    pub fn retire(&self) -> bool {
        let taken = self.take().map(|mut baton| {
            *baton = T::default();
            std::mem::forget(baton);
        });
        taken.is_some()
    }
}
