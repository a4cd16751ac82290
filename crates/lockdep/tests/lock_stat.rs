//! How long locks are waited for and held: every lock type, and what becomes of the figures.

#![cfg(all(feature = "lock_stat", not(feature = "off")))]
#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Mutex as PlainMutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use lockdep::lock_stat::{self, ClassStat};
use lockdep::raw::{Acquire, LockdepMap};
use lockdep::ww::{WwClass, WwMutex};
use lockdep::{
    Barrier, Class, Condvar, DynamicClass, LazyLock, LockMap, Mutex, Once, OnceLock, RwLock, Wait,
    mpsc,
};

/// Long enough to be told from nothing.
const WHILE: Duration = Duration::from_millis(20);
/// Less than a thread that sleeps for that long waits, whatever its clock's grain.
const MOST: Duration = Duration::from_millis(15);

/// One test at a time: one of them resets.
static ALONE: PlainMutex<()> = PlainMutex::new(());

fn alone() -> impl Drop {
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn class(name: &str) -> ClassStat {
    let stat = lock_stat::stat();
    let class = stat.class(name);
    class
        .unwrap_or_else(|| panic!("nothing of {name} in\n{stat}"))
        .clone()
}

/// Runs `wait` in another thread while this one holds what `hold` gives for a while.
fn contend<G>(hold: impl FnOnce() -> G, wait: impl FnOnce() + Send) {
    let started = AtomicBool::new(false);
    let held = hold();
    thread::scope(|scope| {
        scope.spawn(|| {
            started.store(true, Ordering::Release);
            wait();
        });
        while !started.load(Ordering::Acquire) {
            thread::yield_now();
        }
        thread::sleep(WHILE);
        drop(held);
    });
}

#[test]
fn a_mutex_is_timed_with_who_waits_and_for_whom() {
    let _alone = alone();
    let lock = Mutex::named("timed mutex", 0);
    drop(lock.try_lock().unwrap());
    contend(|| lock.lock().unwrap(), || *lock.lock().unwrap() += 1);
    let figures = class("timed mutex");
    let (wait, hold) = (figures.write.wait, figures.write.hold);
    assert_eq!(
        (wait.count, hold.count, figures.read),
        (1, 3, Default::default())
    );
    assert!(wait.max >= MOST && wait.min == wait.max && wait.total == wait.avg());
    assert!(hold.max >= wait.max && hold.min < MOST && hold.total >= hold.max);
    assert!(hold.avg() < hold.max);
    let here = |points: &[lock_stat::Point], line| {
        let [point] = points else {
            panic!("one line waited: {points:?}");
        };
        assert_eq!((point.location.file(), point.count), (file!(), 1));
        assert_eq!(point.location.line(), line);
    };
    // Both lines are the one above that contends.
    let line = figures.contention_points[0].location.line();
    here(&figures.contention_points, line);
    here(&figures.contending_points, line);
    assert!(
        figures.contention_points[0].location.column()
            > figures.contending_points[0].location.column()
    );
}

#[test]
fn an_attempt_that_fails_counts_nothing() {
    let _alone = alone();
    let lock = Mutex::named("attempted", 0);
    let held = lock.lock().unwrap();
    assert!(lock.try_lock().is_err());
    drop(held);
    let figures = class("attempted");
    assert_eq!((figures.contentions(), figures.write.hold.count), (0, 1));
}

#[test]
fn readers_and_writers_are_told_apart() {
    let _alone = alone();
    let lock = RwLock::named("timed rwlock", 0);
    contend(|| lock.write().unwrap(), || drop(lock.read().unwrap()));
    contend(|| lock.read().unwrap(), || drop(lock.write().unwrap()));
    drop(lock.read().unwrap());
    let figures = class("timed rwlock");
    assert_eq!((figures.write.wait.count, figures.write.hold.count), (1, 2));
    assert_eq!((figures.read.wait.count, figures.read.hold.count), (1, 3));
    assert!(figures.read.wait.min >= MOST && figures.write.wait.min >= MOST);
    assert_eq!(figures.contention_points.len(), 2);
}

#[test]
fn subclasses_are_classes() {
    let _alone = alone();
    let locks = [(); 2].map(|()| Mutex::named("parent and child", ()));
    let _outer = locks[0].lock().unwrap();
    drop(locks[1].lock_nested(1).unwrap());
    drop(_outer);
    assert_eq!(class("parent and child").write.hold.count, 1);
    assert_eq!(class("parent and child/1").write.hold.count, 1);
}

#[test]
fn locks_given_up_out_of_order_keep_their_times() {
    let _alone = alone();
    let (long, short) = (
        Mutex::named("given up first", ()),
        Mutex::named("given up last", ()),
    );
    let first = long.lock().unwrap();
    let last = short.lock().unwrap();
    thread::sleep(WHILE);
    drop(first);
    drop(last);
    assert!(class("given up first").write.hold.max >= MOST);
    assert!(class("given up last").write.hold.max >= MOST);
}

#[test]
fn a_wait_for_an_event_is_a_contention() {
    let _alone = alone();
    let (lock, condvar) = (Mutex::named("flag", false), Condvar::named("raised"));
    contend(
        || (),
        || {
            let flag = lock.lock().unwrap();
            drop(condvar.wait_timeout(flag, WHILE).unwrap());
        },
    );
    let event = class("raised");
    assert_eq!((event.write.wait.count, event.write.hold.count), (1, 0));
    assert!(event.write.wait.max >= MOST);
    let flag = class("flag").write;
    assert_eq!((flag.wait.count, flag.hold.count), (0, 2));
    assert!(
        flag.hold.max < event.write.wait.max,
        "not held meanwhile: {flag:?}"
    );
}

#[test]
fn a_meeting_and_a_message_are_waited_for() {
    let _alone = alone();
    let barrier = Barrier::named("rendezvous", 2);
    thread::scope(|scope| {
        scope.spawn(|| barrier.wait());
        thread::sleep(WHILE);
        barrier.wait();
    });
    let figures = class("rendezvous").write.wait;
    assert!(figures.count == 2 && figures.max >= MOST && figures.min < figures.max);

    let (sender, receiver) = mpsc::channel();
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(WHILE);
            sender.send(()).unwrap();
        });
        receiver.recv().unwrap();
    });
    let stat = lock_stat::stat();
    let file = |class: &&ClassStat| class.name.contains(file!());
    let message = stat.classes.iter().find(file).unwrap();
    assert!(message.write.wait.max >= MOST, "{stat}");
}

#[test]
fn who_initialises_holds_and_others_wait() {
    let _alone = alone();
    let slow = || thread::sleep(WHILE);
    let once = Once::named("timed once");
    let cell = OnceLock::named("timed cell");
    let lazy = LazyLock::named("timed lazy", slow);
    for (name, run) in [
        (
            "timed once",
            &(|| once.call_once(slow)) as &(dyn Fn() + Sync),
        ),
        ("timed cell", &|| *cell.get_or_init(slow)),
        ("timed lazy", &|| *lazy),
    ] {
        thread::scope(|scope| {
            scope.spawn(run);
            thread::sleep(WHILE / 4);
            run();
        });
        run(); // it is there
        let figures = class(name).write;
        assert_eq!((figures.wait.count, figures.hold.count), (1, 1), "{name}");
        assert!(
            figures.hold.max >= MOST && figures.wait.max < figures.hold.max,
            "{name}"
        );
    }
}

#[test]
fn pseudo_locks_and_locks_of_ones_own_are_timed() {
    let _alone = alone();
    let work = LockMap::named("work");
    drop(work.acquire());
    work.touch();
    assert_eq!(class("work").write.hold.count, 2);

    let own = LockdepMap::new(Class::named("own"), Wait::SLEEP);
    own.acquire(Acquire::default()).unwrap();
    own.contended();
    thread::sleep(WHILE);
    own.acquired();
    own.release();
    let own = class("own").write;
    assert!((own.wait.count, own.hold.count) == (1, 1) && own.wait.max >= MOST);
    assert!(own.hold.max < MOST, "{own:?}");
}

#[test]
fn wound_wait_mutexes_are_timed() {
    let _alone = alone();
    static CLASS: WwClass = WwClass::wound_wait("timed ww");
    let lock = WwMutex::new(&CLASS, ());
    contend(
        || lock.lock_alone(),
        || {
            let context = CLASS.context();
            drop(lock.lock(&context).unwrap());
        },
    );
    let figures = class("timed ww_mutex").write;
    assert_eq!((figures.wait.count, figures.hold.count), (1, 2));
    assert!(figures.wait.max >= MOST);
    assert_eq!(class("timed ww_acquire").write.hold.count, 1);
}

#[cfg(feature = "parking_lot")]
#[test]
fn parking_lot_is_timed() {
    use lockdep::parking_lot::{Mutex, RawMutex, RawRwLock, RwLock, RwLockUpgradableReadGuard};
    let _alone = alone();
    let lock = Mutex::from_raw(RawMutex::named("timed parking_lot"), ());
    contend(
        || lock.lock(),
        || {
            assert!(lock.try_lock_for(WHILE / 10).is_none());
            drop(lock.lock());
        },
    );
    let figures = class("timed parking_lot").write;
    assert_eq!(
        (figures.wait.count, figures.hold.count),
        (2, 2),
        "one wait was given up"
    );

    let lock = RwLock::from_raw(RawRwLock::named("timed upgrade"), ());
    contend(
        || lock.read(),
        || drop(RwLockUpgradableReadGuard::upgrade(lock.upgradable_read())),
    );
    let figures = class("timed upgrade");
    assert_eq!((figures.write.wait.count, figures.write.hold.count), (1, 1));
    assert_eq!((figures.read.wait.count, figures.read.hold.count), (0, 2));
    assert!(figures.write.wait.max >= MOST);
}

#[cfg(feature = "tokio")]
mod tasks {
    use std::future::Future;
    use std::pin::pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Wake, Waker};

    use lockdep::task::track;
    use lockdep::tokio::{Mutex, RwLock, Semaphore};

    use super::*;

    /// Wakes a thread.
    struct Unpark(thread::Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    /// Runs a task to its end.
    fn run<F: Future>(future: F) -> F::Output {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(track(future));
        loop {
            match future.as_mut().poll(&mut context) {
                Poll::Ready(output) => return output,
                Poll::Pending => thread::park(),
            }
        }
    }

    #[test]
    fn locks_of_tasks_are_timed() {
        let _alone = alone();
        let mutex = Arc::new(Mutex::named("timed task mutex", ()));
        contend(|| mutex.try_lock().unwrap(), || drop(run(mutex.lock())));
        contend(
            || Arc::clone(&mutex).try_lock_owned().unwrap(),
            || drop(run(Arc::clone(&mutex).lock_owned())),
        );
        contend(|| mutex.try_lock().unwrap(), || drop(mutex.blocking_lock()));
        let figures = class("timed task mutex").write;
        assert_eq!((figures.wait.count, figures.hold.count), (3, 6));
        assert!(figures.wait.min >= MOST && figures.hold.max >= MOST);

        let rwlock = RwLock::named("timed task rwlock", ());
        contend(|| rwlock.try_write().unwrap(), || drop(run(rwlock.read())));
        let figures = class("timed task rwlock");
        assert_eq!((figures.write.hold.count, figures.read.wait.count), (1, 1));

        let permits = Semaphore::named("timed permits", 1);
        contend(
            || permits.try_acquire().unwrap(),
            || drop(run(permits.acquire()).unwrap()),
        );
        let figures = class("timed permits").read;
        assert_eq!((figures.wait.count, figures.hold.count), (1, 2));
    }

    #[test]
    fn a_task_that_gives_up_has_waited() {
        let _alone = alone();
        let mutex = Mutex::named("given up task", ());
        let held = mutex.try_lock().unwrap();
        let mut waits = Box::pin(track(mutex.lock()));
        let waiting = waits.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(waiting.is_pending());
        drop(waiting);
        drop(waits);
        drop(held);
        let figures = class("given up task").write;
        assert_eq!((figures.wait.count, figures.hold.count), (1, 1));
    }
}

#[test]
fn threads_that_have_ended_are_counted_and_a_reset_begins_anew() {
    let _alone = alone();
    let lock = Mutex::named("counted", ());
    for _ in 0..3 {
        thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10).for_each(|_| drop(lock.lock().unwrap())));
            }
        });
    }
    assert_eq!(class("counted").write.hold.count, 120);
    let held = lock.lock().unwrap();
    lock_stat::reset();
    assert!(lock_stat::stat().class("counted").is_none());
    drop(held);
    assert_eq!(class("counted").write.hold.count, 1);
}

#[test]
fn classes_that_have_ended_are_forgotten() {
    let _alone = alone();
    for _ in 0..1000 {
        let lock = Mutex::with_class(DynamicClass::new("short-lived"), ());
        drop(lock.lock().unwrap());
    }
    assert!(lock_stat::stat().class("short-lived").is_none());
}

#[test]
fn the_table_is_laid_out_as_the_kernels() {
    let _alone = alone();
    let lock = RwLock::named("a table's lock", ());
    let alone = Mutex::named("alone", ());
    drop(alone.lock().unwrap());
    contend(|| lock.write().unwrap(), || drop(lock.read().unwrap()));
    let text = lock_stat::stat().to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "lock_stat version 0.4");
    assert_eq!((lines[1], lines[3]), (&*"-".repeat(221), &*"-".repeat(221)));
    let words: Vec<&str> = lines[2].split_whitespace().collect();
    assert_eq!(
        (words[2], words[13], words.len()),
        ("con-bounces", "holdtime-avg", 14)
    );
    assert_eq!(lines[2].len(), 220);
    let row = |start: &str| {
        let at = lines
            .iter()
            .position(|line| line.trim_start().starts_with(start));
        at.unwrap_or_else(|| panic!("no {start} in\n{text}"))
    };
    let write = row("a table's lock-W:");
    assert_eq!(lines[write].find(':'), Some(40));
    assert_eq!((lines[write].len(), lines[write + 1].len()), (220, 220));
    assert!(
        lines[write + 1]
            .trim_start()
            .starts_with("a table's lock-R:")
    );
    assert_eq!(lines[write + 2].trim(), "-".repeat(14));
    let point: Vec<&str> = lines[write + 3].split_whitespace().collect();
    assert_eq!(point[..4], ["a", "table's", "lock", "1"]);
    assert!(
        point[4].starts_with("[<") && point[5].starts_with(file!()),
        "{point:?}"
    );
    assert_eq!(lines[write + 4].trim(), "-".repeat(14));
    assert_eq!(
        (lines[write + 6], lines[write + 7]),
        ("", &*".".repeat(221))
    );
    assert_eq!(lines[row("alone:")].len(), 220);
    // Microseconds.
    let fields: Vec<f64> = lines[write + 1][41..]
        .split_whitespace()
        .map(|field| field.parse().unwrap())
        .collect();
    assert_eq!((fields[0], fields[1]), (0.0, 1.0));
    assert!(
        fields[3] >= 15_000.0 && fields[3] < 10_000_000.0,
        "{fields:?}"
    );
}

#[test]
fn the_figures_are_json_too() {
    let _alone = alone();
    let lock = Mutex::named("in \"JSON\"", ());
    contend(|| lock.lock().unwrap(), || drop(lock.lock().unwrap()));
    let json = support::json::parse(&lock_stat::stat().to_json());
    let classes = json.at("classes").items();
    let this = |class: &&support::json::Value| class.at("name").text() == "in \"JSON\"";
    let class = classes.iter().find(this).unwrap();
    assert_eq!(class.at("write").at("hold").at("count").number(), 2.0);
    assert!(
        class.at("write").at("wait").at("max").number() >= 15e6,
        "nanoseconds"
    );
    let points = class.at("contention_points").items();
    assert!(points[0].at("site").text().starts_with(file!()));
}
