//! Shows a program to the validator: each thread's steps on a thread of its own, one thread after the other, so that nobody
//! ever waits.

use std::sync::{Arc, Mutex, PoisonError};

use lockdep::raw::{Acquire, LockdepMap};
use lockdep::{Class, DynamicClass, Mode, Report, Wait};

use crate::program::{Kind, Op, Program};

/// One of the program's locks.
enum Lock {
    Mutex(lockdep::Mutex<()>),
    RwLock(lockdep::RwLock<()>),
    Recursive(LockdepMap),
}

/// An acquisition that has not been released.
enum Guard<'a> {
    Mutex {
        _guard: lockdep::MutexGuard<'a, ()>,
    },
    Read {
        _guard: lockdep::RwLockReadGuard<'a, ()>,
    },
    Write {
        _guard: lockdep::RwLockWriteGuard<'a, ()>,
    },
    Recursive(&'a LockdepMap, Mode),
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Self::Recursive(map, mode) = self {
            map.release_as(*mode);
        }
    }
}

impl Lock {
    fn new(kind: Kind, class: Class) -> Self {
        match kind {
            Kind::Mutex => Self::Mutex(lockdep::Mutex::with_class(class, ())),
            Kind::RwLock => Self::RwLock(lockdep::RwLock::with_class(class, ())),
            Kind::Recursive => Self::Recursive(LockdepMap::new(class, Wait::SLEEP)),
        }
    }

    /// Takes the lock, unless the thread would wait for itself.
    fn take(&self, mode: Mode, attempt: bool) -> Option<Guard<'_>> {
        let free = "the thread is alone, and nothing panics";
        match self {
            Self::Mutex(lock) if attempt => Some(Guard::Mutex {
                _guard: lock.try_lock().expect(free),
            }),
            Self::Mutex(lock) => lock.lock_or_deadlock().ok().map(|guard| Guard::Mutex {
                _guard: guard.expect(free),
            }),
            Self::RwLock(lock) => match (mode, attempt) {
                (Mode::Write, true) => Some(Guard::Write {
                    _guard: lock.try_write().expect(free),
                }),
                (Mode::Write, false) => lock.write_or_deadlock().ok().map(|guard| Guard::Write {
                    _guard: guard.expect(free),
                }),
                (_, true) => Some(Guard::Read {
                    _guard: lock.try_read().expect(free),
                }),
                (_, false) => lock.read_or_deadlock().ok().map(|guard| Guard::Read {
                    _guard: guard.expect(free),
                }),
            },
            Self::Recursive(map) => {
                let acquire = Acquire {
                    mode,
                    attempt,
                    ..Acquire::default()
                };
                let taken = map.acquire(acquire).ok();
                taken.map(|()| Guard::Recursive(map, mode))
            }
        }
    }
}

static REPORTS: Mutex<Vec<Arc<Report>>> = Mutex::new(Vec::new());

fn collected() -> Vec<Arc<Report>> {
    std::mem::take(&mut *REPORTS.lock().unwrap_or_else(PoisonError::into_inner))
}

/// From now on reports are collected.
pub(crate) fn collect() {
    lockdep::set_handler(|report| {
        let mut reports = REPORTS.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push(Arc::clone(report));
    });
}

/// The reports that the program causes. Its classes are those of no other program: `number` must not have been used before.
/// Not for two threads at once.
pub(crate) fn reports(program: &Program, number: usize) -> Vec<Arc<Report>> {
    let class = |at: usize| Class::from(DynamicClass::new(format!("{number}:{}", name(at))));
    let locks = program.locks.iter().enumerate();
    let locks: Vec<Lock> = locks
        .map(|(at, &kind)| Lock::new(kind, class(at)))
        .collect();
    collected();
    for ops in &program.threads {
        let run = || {
            let mut guards = Vec::new();
            for op in ops {
                match *op {
                    Op::Acquire {
                        id,
                        lock,
                        mode,
                        attempt,
                    } => guards.push((id, locks[lock].take(mode, attempt))),
                    Op::Release { id } => guards.retain(|&(of, _)| of != id),
                }
            }
        };
        std::thread::scope(|scope| scope.spawn(run).join()).expect("the steps do not panic");
    }
    collected()
}

/// What a lock is called.
pub(crate) fn name(lock: usize) -> char {
    char::from(b'A' + lock as u8)
}

/// The locks that a report is about.
pub(crate) fn locks(report: &Report) -> std::collections::BTreeSet<usize> {
    let lock = |class: &str| {
        let name = class.split_once(':')?.1.bytes().next()?;
        Some(usize::from(name - b'A'))
    };
    report.classes().into_iter().filter_map(lock).collect()
}
