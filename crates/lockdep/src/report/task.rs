//! Who caused a report.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

/// By what the system knows a thread.
#[derive(Clone, Debug)]
pub(crate) struct Identity {
    pub(crate) comm: Arc<str>,
    pub(crate) tid: i32,
}

impl Identity {
    /// That of the calling thread. Its name is asked for each time, since it may change; the rest is remembered.
    pub(crate) fn current() -> Self {
        if cfg!(miri) {
            // It cannot ask the system these things.
            let (comm, tid) = ("miri".into(), 1);
            return Self { comm, tid };
        }
        let name = rustix::thread::name().unwrap_or_default();
        let name = name.to_string_lossy();
        let known = IDENTITY.try_with(Cell::take).ok().flatten();
        let identity = known
            .filter(|known| *known.comm == *name)
            .unwrap_or_else(|| Self {
                comm: name.into(),
                tid: rustix::thread::gettid().as_raw_nonzero().get(),
            });
        // In a destructor of another thread-local value there is no place to remember it any more.
        let _ = IDENTITY.try_with(|known| known.set(Some(identity.clone())));
        identity
    }

    /// After `fork` the thread has another id.
    pub(crate) fn forget() {
        let _ = IDENTITY.try_with(Cell::take);
    }
}

/// A thread, as the kernel would call it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) identity: Identity,
    pub(crate) uid: u32,
    pub(crate) cpu: usize,
    /// What it does, in the words of [`set_task_context`].
    pub(crate) context: Option<String>,
}

thread_local! {
    static IDENTITY: Cell<Option<Identity>> = const { Cell::new(None) };
    static CONTEXT: RefCell<Option<String>> = const { RefCell::new(None) };
    static IN_HANDLER: Cell<bool> = const { Cell::new(false) };
}

/// What the calling thread does now, as a line of its reports: `Workqueue: netns cleanup_net`.
pub fn set_task_context(context: Option<String>) {
    // In a destructor of another thread-local value it may be gone; then there is no thread to describe any more.
    let _ = CONTEXT.try_with(|current| *current.borrow_mut() = context);
}

impl Task {
    /// The calling thread.
    pub(crate) fn current() -> Self {
        Self {
            identity: Identity::current(),
            // Miri cannot ask the system these things.
            uid: if cfg!(miri) {
                0
            } else {
                rustix::process::getuid().as_raw()
            },
            cpu: if cfg!(miri) {
                0
            } else {
                rustix::thread::sched_getcpu()
            },
            context: CONTEXT
                .try_with(|context| context.borrow().clone())
                .ok()
                .flatten(),
        }
    }
}

/// Runs `f` unless the thread is in a report handler already.
pub(super) fn outside_handler(f: impl FnOnce()) {
    /// Leaves the handler when it is done, or when it panics.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            IN_HANDLER.set(false);
        }
    }
    if !IN_HANDLER.replace(true) {
        let _leave = Leave;
        f();
    }
}
