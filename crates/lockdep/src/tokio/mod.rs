//! `tokio`'s locks with their order checked.
//!
//! They have `tokio`'s interface, and every task that holds them must be [tracked](crate::task::track), or only its waits are
//! seen, not what it holds:
//!
//! ```
//! # async fn example() {
//! let lock = lockdep::tokio::Mutex::new(0);
//! lockdep::task::track(async {
//!     *lock.lock().await += 1;
//! })
//! .await;
//! # }
//! ```
//!
//! They are locks of tasks ([`Wait::TASK`](crate::Wait::TASK)): who holds a lock for which threads sleep must not wait for them.
//! A task that waits for a lock that it holds is reported, and waits.

mod guard;
mod mutex;
mod rwlock;
mod semaphore;

pub use guard::{Guard, OwnedGuard};
pub use mutex::{Mutex, MutexGuard, OwnedMutexGuard};
pub use rwlock::{
    OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, RwLockReadGuard, RwLockWriteGuard,
};
pub use semaphore::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
pub use tokio::sync::{AcquireError, TryAcquireError, TryLockError};
