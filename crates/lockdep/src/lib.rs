//! A run-time lock-order validator with the rules and the report of the kernel's lockdep.
//!
//! Use [`Mutex`], [`RwLock`], [`Condvar`], [`Once`], [`OnceLock`], [`LazyLock`], [`Barrier`] and [`mpsc`] where `std`'s
//! stood; the interface is the same. The first run in which one
//! thread takes *A* then *B* and another, at whatever time, *B* then *A* gives a report, laid out as the kernel's, with the
//! stacks of both; no deadlock has to happen. Locks are told apart by class: the line that constructs them, a name, or a
//! key. Waits that are no locks take part as [`LockMap`].
//!
//! ```
//! use lockdep::{Mutex, ReportKind};
//! lockdep::set_handler(|_| ());
//! let (a, b) = (Mutex::new(1), Mutex::new(2));
//! {
//!     let _a = a.lock().unwrap();
//!     let _b = b.lock().unwrap();
//! }
//! {
//!     let _b = b.lock().unwrap();
//!     let _a = a.lock().unwrap(); // reported here, before the lock is waited for
//! }
//! assert_eq!(lockdep::reports()[0].kind(), ReportKind::Circular);
//! ```
//!
//! For locks whose order is known beforehand, [`order`] makes the wrong one a compile error.
//!
//! # Features
//! None is on by default.
//! * `lock_api`: `lockdep::lock_api`, the validator around any raw lock of the crate `lock_api`.
//! * `parking_lot`: `lockdep::parking_lot`, its locks by type aliases.
//! * `tokio`: `lockdep::tokio`, its `Mutex`, `RwLock` and `Semaphore`, and `lockdep::task`, for what tasks hold.
//! * `lock_stat`: `lockdep::lock_stat`, how long locks are waited for and held, class by class.
//! * `off`: the validator is gone. Every lock and every guard has the size of the plain one, to lock is to lock the plain
//!   one, and nothing is reported. The interface stays.

#![cfg_attr(
    feature = "off",
    allow(
        dead_code,
        unused_imports,
        unreachable_pub,
        clippy::drop_non_drop,
        clippy::forget_non_drop,
        reason = "nothing is checked"
    )
)]

mod acquire;
/// What the lock-free table is made of; its test puts `loom`'s in this place.
mod atomic {
    pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
}
mod chain;
mod check;
mod class;
mod fork;
mod grade;
mod graph;
mod hash;
mod held;
mod key;
mod merge;
mod met;
mod miss;
pub mod order;
mod policy;
pub mod proc;
pub mod raw;
pub mod record;
mod report;
mod request;
pub mod signal;
mod spawn;
mod stack;
mod suppress;
mod sync;
mod table;
pub mod thread;
mod warn;

/// What locks say of themselves to `lock_stat`.
#[cfg(all(feature = "lock_stat", not(feature = "off")))]
mod timing;
#[cfg(not(all(feature = "lock_stat", not(feature = "off"))))]
#[path = "timing/off.rs"]
mod timing;

#[cfg(feature = "off")]
mod off;

#[cfg(feature = "lock_api")]
pub mod lock_api;
#[cfg(feature = "lock_stat")]
pub mod lock_stat;
#[cfg(feature = "parking_lot")]
pub mod parking_lot;
#[cfg(feature = "tokio")]
pub mod task;
#[cfg(feature = "tokio")]
pub mod tokio;

pub use class::{Class, ClassKey, DynamicClass, Wait};
pub use grade::{Grade, Instances};
pub use graph::limits::{Limits, set_limits};
pub use graph::snapshot::{ClassInfo, EdgeInfo, Graph, graph};
pub use merge::merge;
pub use policy::{Policy, set_policy};
pub use proc::{Stats, stats};
pub use report::{
    Banner, Report, ReportKind, reports, set_handler, set_raise_handler, set_task_context,
};
pub use suppress::{BadSuppression, Suppressions, suppress, unused_suppressions};
pub use sync::WouldDeadlock;
pub use sync::barrier::Barrier;
pub use sync::condvar::Condvar;
pub use sync::lazy::LazyLock;
pub use sync::lock_map::{LockMap, LockMapGuard};
pub use sync::mpsc;
pub use sync::mutex::{Mutex, MutexGuard};
pub use sync::nesting::Lockdep;
pub use sync::once::{Once, OnceLock};
pub use sync::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use sync::ww;
pub use thread::Mode;

pub use std::sync::{
    BarrierWaitResult, LockResult, OnceState, PoisonError, TryLockError, TryLockResult,
    WaitTimeoutResult,
};

/// The examples of the crate's front page.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
