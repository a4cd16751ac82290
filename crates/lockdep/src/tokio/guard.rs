//! The guards of all the locks here: those of `tokio`, with what the validator keeps.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use crate::task::Hold;

/// A guard of `tokio`'s, seen by the validator; ends the acquisition when dropped.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct Guard<G> {
    // Order matters: the validator forgets the lock before it is really released.
    pub(super) _hold: Hold,
    pub(super) inner: G,
}

/// A [`Guard`] that keeps its lock alive.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct OwnedGuard<G, L> {
    // Order matters: the guard borrows from the lock.
    pub(super) guard: Guard<G>,
    pub(super) _lock: Arc<L>,
}

/// A reference to what `lock` keeps alive.
///
/// # Safety
/// The reference must not be used when the last of the `Arc`s is gone.
pub(super) unsafe fn borrow<L>(lock: &Arc<L>) -> &'static L {
    // SAFETY: an `Arc` does not move what it holds, and the caller sees to it that it lives.
    unsafe { &*Arc::as_ptr(lock) }
}

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;
    fn deref(&self) -> &G::Target {
        &self.inner
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.inner
    }
}

impl<G: Deref, L> Deref for OwnedGuard<G, L> {
    type Target = G::Target;
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut, L> DerefMut for OwnedGuard<G, L> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

impl<G: fmt::Debug> fmt::Debug for Guard<G> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl<G: fmt::Debug, L> fmt::Debug for OwnedGuard<G, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.guard.fmt(f)
    }
}
