//! A run-time lock-order validator with the rules and the report of the kernel's lockdep.

mod chain;
mod class;
mod graph;
mod miss;
pub mod order;
mod report;
mod stack;
mod sync;
mod thread;

pub use class::{Class, ClassKey, DynamicClass};
pub use graph::snapshot::{ClassInfo, EdgeInfo, Graph, graph};
pub use report::{Banner, Report, ReportKind, reports, set_handler, set_task_context};
pub use sync::WouldDeadlock;
pub use sync::condvar::Condvar;
pub use sync::lock_map::{LockMap, LockMapGuard};
pub use sync::mutex::{Mutex, MutexGuard};
pub use sync::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};

pub use std::sync::{LockResult, PoisonError, TryLockError, TryLockResult, WaitTimeoutResult};
