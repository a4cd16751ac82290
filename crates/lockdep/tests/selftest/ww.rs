//! Wound/wait mutexes: the cases that `lib/locking-selftest.c` has for `LOCKTYPE_WW`, with the kernel's names for the locks.
//!
//! The kernel forges an older context that has a lock; here another thread has one. What a case does with fields that are
//! private here, or with values that are gone, is done with [`LockdepMap`](lockdep::raw::LockdepMap)s, and a note in the
//! table says so; that the types refuse it is a `compile_fail` example in the documentation of `lockdep::ww`.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use lockdep::ww::{AcquireContext, WwClass, WwError, WwMutex, WwMutexGuard};
use lockdep::{Class, Mutex};

use crate::bench::{Bench, Kind};
use crate::cases::Case;

/// A case that must be silent.
fn silent(family: &'static str, variant: &str, body: impl Fn(&Bench) + 'static) -> Case {
    Case {
        family,
        variant: variant.to_owned(),
        reported: false,
        says: None,
        note: None,
        body: Box::new(body),
    }
}

/// A case of which a report must say this.
fn reported(
    family: &'static str,
    variant: &str,
    says: &'static str,
    body: impl Fn(&Bench) + 'static,
) -> Case {
    Case {
        reported: true,
        says: Some(says),
        ..silent(family, variant, body)
    }
}

impl Case {
    fn note(self, note: &'static str) -> Self {
        Self {
            note: Some(note),
            ..self
        }
    }
}

/// The class of the locks of a case; the kernel's is a wait/die class too. It is never given back, as a static.
fn class(case: &str) -> &'static WwClass {
    let name = format!("{case}: ww");
    Box::leak(Box::new(WwClass::wait_die(name.leak())))
}

/// Three locks of a class.
fn locks(class: &'static WwClass) -> [WwMutex<()>; 3] {
    [(); 3].map(|()| WwMutex::new(class, ()))
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(api());
    cases.extend(contexts());
    cases.extend(mismatches());
    cases.extend(deadlocks());
    cases.extend(nested());
    cases.extend(mixed());
    cases.extend(spinlocks());
    cases
}

fn api() -> [Case; 3] {
    let family = "ww api failures";
    [
        silent(family, "EALREADY, EDEADLK", |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let context = class.context();
            let held = o.lock(&context).unwrap();
            assert_eq!(o.lock(&context).unwrap_err(), WwError::Already);
            assert!(o.try_lock(None).is_none());
            let younger = || {
                let context = class.context();
                let _held = o2.lock(&context).unwrap();
                assert_eq!(o.lock(&context).unwrap_err(), WwError::Deadlock);
            };
            thread::scope(|scope| scope.spawn(younger).join().unwrap());
            drop(held);
            assert!(o.try_lock(None).is_some());
        }),
        silent(family, "without a context", |bench| {
            let class = class(bench.case());
            let [o, ..] = locks(class);
            drop(o.lock_alone());
            assert!(o.try_lock(None).is_some());
            {
                let _held = o.lock_alone();
                assert!(o.try_lock(None).is_none());
            }
            let context = class.context();
            let plain = Mutex::with_class(Class::named(bench.case().to_owned()), ());
            drop(plain.lock_nest_lock(&context).unwrap());
            drop(o.lock(&context).unwrap());
        })
        .note(
            "The kernel takes the mutex inside the wound/wait mutex by the mutex's own functions. Here there is no way to \
             it: the lock is taken without a context, and an ordinary mutex is nested under the context.",
        ),
        reported(
            family,
            "unneeded slow",
            "ww_mutex_lock_slow of a context that was not told to give way",
            |bench| {
                let class = class(bench.case());
                let [o, ..] = locks(class);
                let context = class.context();
                drop(o.lock_slow(&context));
            },
        ),
    ]
}

fn contexts() -> [Case; 6] {
    let (mixing, finishing) = ("ww contexts mixing", "finishing ww context");
    [
        reported(mixing, "two contexts", "recursion: ", |bench| {
            let class = class(bench.case());
            let (_t, _t2) = (class.context(), class.context());
        }),
        reported(
            mixing,
            "another class",
            "ww_mutex_lock in a context of another class",
            |bench| {
                let [o, ..] = locks(class(bench.case()));
                let context = class(&format!("{} other", bench.case())).context();
                drop(o.lock(&context).unwrap());
            },
        ),
        reported(
            finishing,
            "done twice",
            "ww_acquire_done of a context that is done",
            |bench| {
                let context = class(bench.case()).context();
                context.done();
                context.done();
            },
        ),
        reported(finishing, "finished twice", "bad unlock: ", |bench| {
            bench.once(Kind::Map, "A");
            bench.unlock(Kind::Map, "A");
        })
        .note(
            "A context cannot be finished twice: that would be the use of a moved value (E0382). The row is the validator's \
             part of it, by hand.",
        ),
        reported(
            finishing,
            "finished early",
            "ww_acquire_fini of a context that holds locks",
            |bench| {
                abandon(bench.case());
            },
        )
        .note(
            "A context cannot be finished while there is a guard that was given out in it (E0505). The row loses the guard \
             with `mem::forget`.",
        ),
        reported(
            finishing,
            "lock after done",
            "ww_mutex_lock in a context that is done",
            |bench| {
                let class = class(bench.case());
                let [o, ..] = locks(class);
                let context = class.context();
                context.done();
                drop(o.lock(&context).unwrap());
            },
        ),
    ]
}

/// A lock that another thread left locked when its context ended, and a context of this thread, younger.
fn abandon(case: &str) -> (&'static WwClass, &'static WwMutex<()>) {
    let class = class(case);
    // Never given back: it stays locked for ever.
    let lock: &'static WwMutex<()> = Box::leak(Box::new(WwMutex::new(class, ())));
    let older = move || {
        let context = class.context();
        std::mem::forget(lock.lock(&context).unwrap());
        context.done();
    };
    thread::spawn(older).join().unwrap();
    (class, lock)
}

fn mismatches() -> [Case; 3] {
    let family = "locking mismatches";
    [
        reported(family, "unlock twice", "bad unlock: ", |bench| {
            bench.once(Kind::Mutex, "O");
            bench.unlock(Kind::Mutex, "O");
        })
        .note(
            "A guard cannot be given up twice (E0382). The row is the validator's part of it, by hand.",
        ),
        reported(family, "unbalanced", "bad unlock: ", |bench| {
            bench.lock(Kind::Map, "T");
            bench.lock_nested(Kind::Mutex, "O", (Kind::Map, "T"));
            bench.unlock(Kind::Mutex, "O");
            bench.unlock(Kind::Mutex, "O");
            bench.unlock(Kind::Map, "T");
        })
        .note(
            "The kernel's case overwrites the context's count of its locks, which is private here (E0616). The row is the \
             nearest: under a context's map, a lock is released that is no longer counted as held, by hand.",
        ),
        reported(
            family,
            "stale context",
            "ww_mutex_lock of a lock of an ended context",
            |bench| {
                let (class, o) = abandon(bench.case());
                let [o2, ..] = locks(class);
                let context = class.context();
                let _held = o2.lock(&context).unwrap();
                assert_eq!(o.lock(&context).unwrap_err(), WwError::Deadlock);
            },
        )
        .note(
            "The kernel's case writes a context into a free lock, which is private here (E0616), and an ended context \
             cannot be used (E0382). The row has a lock whose guard was lost with `mem::forget` before its context ended.",
        ),
    ]
}

/// A context that was told to give way.
struct Told<'a> {
    o2: &'a WwMutex<()>,
    o3: &'a WwMutex<()>,
    context: &'a AcquireContext<'a>,
    /// It has `o`.
    held: WwMutexGuard<'a, ()>,
    /// Ends the older context, that has `o2`.
    end_older: Box<dyn FnOnce() + Send + 'a>,
}

/// Has the context of the case told to give way, because an older one has `o2`, and perhaps `o3`.
fn told(case: &str, o3_too: bool, then: impl FnOnce(Told<'_>)) {
    let class = class(case);
    let [o, o2, o3] = &locks(class);
    thread::scope(|scope| {
        let (holds, wait_until_it_holds) = mpsc::channel();
        let (end, wait_for_end) = mpsc::channel::<()>();
        let older = scope.spawn(move || {
            let context = class.context();
            let _o2 = o2.lock(&context).unwrap();
            let _o3 = o3_too.then(|| o3.lock(&context).unwrap());
            holds.send(()).unwrap();
            // Or the other end is gone: that is an end as well.
            let _ = wait_for_end.recv();
        });
        wait_until_it_holds.recv().unwrap();
        let context = class.context();
        let held = o.lock(&context).unwrap();
        assert_eq!(o2.lock(&context).unwrap_err(), WwError::Deadlock);
        then(Told {
            o2,
            o3,
            context: &context,
            held,
            end_older: Box::new(move || {
                drop(end);
                older.join().unwrap();
            }),
        });
    });
}

/// Waits until the case was reported for this reason.
fn wait_for_report(case: &str, says: &str) {
    let (class, begun) = (format!("({case}: "), Instant::now());
    let reported = || {
        let reports = lockdep::reports();
        let mut signatures = reports.iter().map(|report| report.signature());
        signatures.any(|signature| signature.contains(says) && signature.contains(&class))
    };
    while !reported() && begun.elapsed() < Duration::from_secs(10) {
        thread::sleep(Duration::from_millis(1));
    }
}

fn deadlocks() -> Vec<Case> {
    const FAMILY: &str = "EDEADLK handling";
    const HOLDS: &str = "ww_mutex_lock of a context that gives way and still holds locks";
    const HOLDS_SLOW: &str = "ww_mutex_lock_slow of a context that gives way and still holds locks";
    const WRONG: &str = "ww_mutex_lock of another lock than the context gave way for";
    const WRONG_SLOW: &str = "ww_mutex_lock_slow of another lock than the context gave way for";
    vec![
        silent(FAMILY, "normal", |bench| {
            told(bench.case(), false, |told| {
                (told.end_older)();
                drop(told.held);
                drop(told.o2.lock(told.context).unwrap());
            });
        }),
        silent(FAMILY, "normal, slow", |bench| {
            told(bench.case(), false, |told| {
                (told.end_older)();
                drop(told.held);
                drop(told.o2.lock_slow(told.context));
            });
        }),
        reported(FAMILY, "no unlock", HOLDS, |bench| {
            told(bench.case(), false, |told| {
                (told.end_older)();
                drop(told.o2.lock(told.context).unwrap());
            });
        }),
        reported(FAMILY, "no unlock, slow", HOLDS_SLOW, |bench| {
            told(bench.case(), false, |told| {
                (told.end_older)();
                drop(told.o2.lock_slow(told.context));
            });
        }),
        reported(FAMILY, "acquire more", HOLDS, |bench| {
            told(bench.case(), false, |told| {
                drop(told.o3.lock(told.context).unwrap());
            });
        }),
        reported(FAMILY, "acquire more, slow", HOLDS_SLOW, |bench| {
            told(bench.case(), false, |told| {
                drop(told.o3.lock_slow(told.context));
            });
        }),
        reported(FAMILY, "acquire more, EDEADLK", HOLDS, |bench| {
            told(bench.case(), true, |told| {
                let again = told.o3.lock(told.context);
                assert_eq!(again.unwrap_err(), WwError::Deadlock);
            });
        }),
        reported(FAMILY, "acquire more, EDEADLK, slow", HOLDS_SLOW, |bench| {
            let case = bench.case();
            told(case, true, |told| {
                let end_older = told.end_older;
                thread::scope(|scope| {
                    scope.spawn(move || {
                        wait_for_report(case, HOLDS_SLOW);
                        end_older();
                    });
                    drop(told.o3.lock_slow(told.context));
                });
            });
        })
        .note(
            "The kernel's `ww_mutex_lock_slow` comes back without the lock. Here it gives out a guard, so it waits, after \
             the report, until the older context has ended.",
        ),
        reported(FAMILY, "acquire wrong", WRONG, |bench| {
            told(bench.case(), false, |told| {
                drop(told.held);
                drop(told.o3.lock(told.context).unwrap());
            });
        }),
        reported(FAMILY, "acquire wrong, slow", WRONG_SLOW, |bench| {
            told(bench.case(), false, |told| {
                drop(told.held);
                drop(told.o3.lock_slow(told.context));
            });
        }),
    ]
}

fn nested() -> [Case; 2] {
    [
        reported("spinlock nest unlocked", "mutex", "nest lock: ", |bench| {
            let [o, ..] = locks(class(bench.case()));
            let lock = Mutex::with_class(Class::named(bench.case().to_owned()), ());
            drop(lock.lock_nest_lock(&o).unwrap());
        })
        .note(
            "The lock that is nested is a mutex, because there is no spinning lock that can be nested under a wound/wait \
             mutex.",
        ),
        silent("spinlock nest test", "spin", |bench| {
            let spin = Kind::Spin;
            bench.lock(spin, "X1");
            bench.lock_nested(spin, "Y1", (spin, "X1"));
            bench.lock(spin, "A");
            bench.lock_nested(spin, "Y2", (spin, "X1"));
            bench.unlock(spin, "A");
            bench.unlock(spin, "Y2");
            bench.unlock(spin, "Y1");
            bench.unlock(spin, "X1");
        }),
    ]
}

/// One lock of a class under another, each taken in one of three ways.
fn mixed() -> [Case; 9] {
    const TWICE: &str = "recursion: ";
    [
        reported("context", "block", TWICE, |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let context = class.context();
            let _o = o.lock(&context).unwrap();
            let _o2 = o2.lock_alone();
        }),
        silent("context", "try", |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let context = class.context();
            let _o = o.lock(&context).unwrap();
            let _o2 = o2.try_lock(None).unwrap();
        }),
        silent("context", "context", |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let context = class.context();
            let _o = o.lock(&context).unwrap();
            let _o2 = o2.lock(&context).unwrap();
        }),
        reported("try", "block", TWICE, |bench| {
            let [o, o2, _] = locks(class(bench.case()));
            let _o = o.try_lock(None).unwrap();
            let _o2 = o2.lock_alone();
        }),
        silent("try", "try", |bench| {
            let [o, o2, _] = locks(class(bench.case()));
            let _o = o.try_lock(None).unwrap();
            let _o2 = o2.try_lock(None).unwrap();
        }),
        reported("try", "context", TWICE, |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let _o = o.try_lock(None).unwrap();
            let context = class.context();
            let _o2 = o2.lock(&context).unwrap();
        }),
        reported("block", "block", TWICE, |bench| {
            let [o, o2, _] = locks(class(bench.case()));
            let _o = o.lock_alone();
            let _o2 = o2.lock_alone();
        }),
        silent("block", "try", |bench| {
            let [o, o2, _] = locks(class(bench.case()));
            let _o = o.lock_alone();
            let _o2 = o2.try_lock(None).unwrap();
        }),
        reported("block", "context", TWICE, |bench| {
            let class = class(bench.case());
            let [o, o2, _] = locks(class);
            let _o = o.lock_alone();
            let context = class.context();
            let _o2 = o2.lock(&context).unwrap();
        }),
    ]
}

/// A spinning lock under a lock of the class, and above it.
fn spinlocks() -> [Case; 3] {
    const SPIN: Kind = Kind::RawSpin;
    const CYCLE: &str = "circular: ";
    /// With the spinning lock under what `take` takes, and the other way round.
    fn both_ways<G>(bench: &Bench, take: impl Fn() -> G) {
        bench.once(SPIN, "A");
        let held = take();
        bench.once(SPIN, "A");
        drop(held);
        bench.lock(SPIN, "A");
        drop(take());
        bench.unlock(SPIN, "A");
    }
    [
        reported("spinlock", "block", CYCLE, |bench| {
            let [o, ..] = locks(class(bench.case()));
            both_ways(bench, || o.lock_alone());
        }),
        silent("spinlock", "try", |bench| {
            let [o, ..] = locks(class(bench.case()));
            both_ways(bench, || o.try_lock(None).unwrap());
        }),
        reported("spinlock", "context", CYCLE, |bench| {
            let class = class(bench.case());
            let [o, ..] = locks(class);
            let context = class.context();
            both_ways(bench, || o.lock(&context).unwrap());
        }),
    ]
}
