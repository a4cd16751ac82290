//! Who caused a report.

use std::cell::{Cell, RefCell};

/// A thread, as the kernel would call it.
#[derive(Clone, Debug)]
pub(crate) struct Task {
    pub(crate) comm: String,
    pub(crate) tid: i32,
    pub(crate) uid: u32,
    pub(crate) cpu: usize,
    /// What it does, in the words of [`set_task_context`].
    pub(crate) context: Option<String>,
}

thread_local! {
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
        if cfg!(miri) {
            // It cannot ask the system these things.
            let (comm, tid, uid, cpu, context) = ("miri".into(), 1, 0, 0, None);
            return Self {
                comm,
                tid,
                uid,
                cpu,
                context,
            };
        }
        let comm = rustix::thread::name().map(|name| name.to_string_lossy().into_owned());
        Self {
            comm: comm.unwrap_or_default(),
            tid: rustix::thread::gettid().as_raw_nonzero().get(),
            uid: rustix::process::getuid().as_raw(),
            cpu: rustix::thread::sched_getcpu(),
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
