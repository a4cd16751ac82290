//! What is true in the child after `fork`.
//!
//! The child has one thread, the one that called `fork`, and what that one holds. If another thread was inside the validator at that
//! moment, the child would find the graph locked by somebody who does not exist, and half changed. So whoever forks waits until the
//! validator is at rest and keeps it so until both processes are there (`pthread_atfork`). The child then knows all that its parent
//! had learnt and goes on from there; what it learns itself stays with it.

use std::cell::RefCell;
use std::sync::{Arc, MutexGuard, Once};

use crate::graph::{self, Graph};
use crate::report::{self, Identity, Report};
use crate::thread;

/// The validator's locks, held over a `fork`.
struct AtRest {
    _graph: MutexGuard<'static, Graph>,
    _reports: MutexGuard<'static, Vec<Arc<Report>>>,
    #[cfg(feature = "lock_stat")]
    _figures: Option<crate::lock_stat::figures::AtRest>,
}

thread_local! {
    static AT_REST: RefCell<Option<AtRest>> = const { RefCell::new(None) };
}

/// From now on every `fork` finds the validator at rest.
pub(crate) fn prepare() {
    if cfg!(miri) {
        // It knows no forks.
        return;
    }
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: the three functions take no arguments, do not unwind, and may be called at any time. Should there be no memory to
        // register them, forks are as they were.
        unsafe { libc::pthread_atfork(Some(stop), Some(go_on), Some(begin)) };
    });
}

extern "C" fn stop() {
    // A signal handler that forks may have interrupted the validator on this very thread: to wait for it would be for ever.
    if thread::with(|thread| thread.busy.get()) {
        return;
    }
    let at_rest = AtRest {
        // First: who adds to the figures may ask the graph.
        #[cfg(feature = "lock_stat")]
        _figures: crate::lock_stat::figures::rest(),
        _graph: graph::lock(),
        _reports: report::lock(),
    };
    // A thread whose values are being destroyed forks without this.
    let _ = AT_REST.try_with(|held| held.replace(Some(at_rest)));
}

extern "C" fn begin() {
    Identity::forget();
    go_on();
}

extern "C" fn go_on() {
    let _ = AT_REST.try_with(|held| held.replace(None));
}
