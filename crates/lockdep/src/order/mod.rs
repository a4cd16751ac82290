//! The typed lock order: taking two declared locks the wrong way round does not compile.
//!
//! The order of a program's core locks is declared once, with [`lock_order!`](crate::lock_order). Each level becomes a
//! type, and a lock says in its type which level it is of. Whoever wants such a lock must show a [`Held`] token, which
//! says what the thread holds already; the token of a level that comes too late is refused by the compiler, in a message
//! that names both levels. The same table names the run-time classes, and [`check_observed`] compares what was really
//! seen with what was declared.
//!
//! Tokens prove the order along one path of calls. What they cannot prove, two locks of one level, drivers, work
//! queues, is checked at run time like every other lock.

mod level;
mod lock;
mod observed;

pub use level::{Before, Descend, Held, Level, LevelInfo, Unlocked};
pub use lock::{Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use observed::{Escape, OrderViolation, check_observed, escapes};

pub use crate::lock_order;
