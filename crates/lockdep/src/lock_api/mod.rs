//! The validator around the raw locks of `lock_api`: `parking_lot`'s and any other crate's.
//!
//! [`RawMutex<R>`] and [`RawRwLock<R>`] are raw locks that say to the validator what `R` does. A type alias is all that it
//! takes; [`parking_lot`](crate::parking_lot) has those for `parking_lot`, and these would be for the crate `spin`:
//!
//! ```ignore
//! type Mutex<T> = lock_api::Mutex<lockdep::lock_api::RawMutex<spin::Mutex<()>>, T>;
//! ```
//!
//! `lock_api` makes its locks out of a constant, which cannot know where it is used. A lock that is constructed with
//! `lock_api::Mutex::new` is therefore of the class of the line that takes it *first*. To say better, construct it with
//! `lock_api::Mutex::from_raw` and [`RawMutex::new`], which is of the class of its own line, or one of the others here.
//!
//! Readers are the kernel's *non-recursive* ones, because a waiting writer goes first; `read_recursive` is the recursive
//! one. An upgradable read is one of which a lock allows one at a time; to upgrade is taking the lock for writing. An attempt with a time
//! limit waits, so its order is checked as if it had none, but it is never a wait for oneself for ever.
//!
//! Guards are not `Send`, whatever the inner lock's are: what a thread holds, it releases.

mod map;
mod mutex;
mod rwlock;

pub use mutex::RawMutex;
pub use rwlock::RawRwLock;
