//! What a case works with: locks of the kernel's kinds, by the kernel's names, and its interrupts.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use lockdep::raw::{Acquire, LockdepMap};
use lockdep::{Class, Mode, Report, Wait};

/// One column of the kernel's table: a kind of lock and a way of taking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    Spin,
    Wlock,
    Rlock,
    Mutex,
    Wsem,
    Rsem,
    Rtmutex,
    RawSpin,
    /// The reader of a queued `rwlock_t` outside interrupts: it does not recurse.
    QueuedRlock,
    Rcu,
    RcuBh,
    RcuSched,
    Map,
}

use Kind::{
    Map, Mutex, QueuedRlock, RawSpin, Rcu, RcuBh, RcuSched, Rlock, Rsem, Rtmutex, Spin, Wlock, Wsem,
};

impl Kind {
    pub(crate) const SEVEN: [Self; 7] = [Spin, Wlock, Rlock, Mutex, Wsem, Rsem, Rtmutex];

    /// As the kernel's table heads its column.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Spin => "spin",
            Wlock => "wlock",
            Rlock | QueuedRlock => "rlock",
            Mutex => "mutex",
            Wsem => "wsem",
            Rsem => "rsem",
            Rtmutex => "rtmutex",
            RawSpin => "raw",
            Rcu => "rcu",
            RcuBh => "rcu_bh",
            RcuSched => "rcu_sched",
            Map => "map",
        }
    }

    /// The lock itself, whichever way it is taken.
    const fn lock(self) -> &'static str {
        match self {
            Wlock | Rlock | QueuedRlock => "rwlock",
            Wsem | Rsem => "rwsem",
            other => other.name(),
        }
    }

    const fn mode(self) -> Mode {
        match self {
            Rlock | Rcu | RcuBh | RcuSched => Mode::RecursiveRead,
            QueuedRlock | Rsem => Mode::Read,
            _ => Mode::Write,
        }
    }

    const fn wait(self) -> Wait {
        match self {
            RawSpin => Wait::SPIN,
            Spin | Wlock | Rlock | QueuedRlock => Wait::SPIN_OR_SLEEP,
            Mutex | Wsem | Rsem | Rtmutex => Wait::SLEEP,
            Rcu | RcuBh => Wait::READ_SECTION,
            RcuSched => Wait::READ_SECTION_PINNED,
            Map => Wait::NONE,
        }
    }
}

/// The locks of one case. Every case has classes of its own, so that what one teaches does not disturb another.
pub(crate) struct Bench {
    case: String,
    locks: RefCell<HashMap<(&'static str, &'static str), Rc<LockdepMap>>>,
    held: RefCell<Vec<(Kind, &'static str)>>,
}

impl Bench {
    fn new(case: &str) -> Self {
        Self {
            case: case.to_owned(),
            locks: RefCell::default(),
            held: RefCell::default(),
        }
    }

    fn get(&self, kind: Kind, name: &'static str) -> Rc<LockdepMap> {
        let mut locks = self.locks.borrow_mut();
        let lock = locks.entry((kind.lock(), name)).or_insert_with(|| {
            // X1 and X2 are two locks of class X.
            let class = format!("{}: {} {}", self.case, kind.lock(), &name[..1]);
            Rc::new(LockdepMap::new(Class::named(class), kind.wait()))
        });
        Rc::clone(lock)
    }

    /// What tells its classes from those of other cases.
    pub(crate) fn case(&self) -> &str {
        &self.case
    }

    pub(crate) fn lock(&self, kind: Kind, name: &'static str) {
        self.acquire(kind, name, None);
    }

    /// While another lock serialises all who take several of the class.
    pub(crate) fn lock_nested(&self, kind: Kind, name: &'static str, nest: (Kind, &'static str)) {
        self.acquire(kind, name, Some(&self.get(nest.0, nest.1)));
    }

    fn acquire(&self, kind: Kind, name: &'static str, nest: Option<&LockdepMap>) {
        let acquire = Acquire {
            mode: kind.mode(),
            nest,
            ..Acquire::default()
        };
        if self.get(kind, name).acquire(acquire).is_ok() {
            self.held.borrow_mut().push((kind, name));
        }
    }

    pub(crate) fn unlock(&self, kind: Kind, name: &'static str) {
        let mut held = self.held.borrow_mut();
        if let Some(at) = held.iter().rposition(|&lock| lock == (kind, name)) {
            held.remove(at);
        }
        self.get(kind, name).release();
    }

    /// The lock is initialised again: it is another one at the same place.
    pub(crate) fn init(&self, kind: Kind, name: &'static str) {
        self.locks.borrow_mut().remove(&(kind.lock(), name));
        self.held.borrow_mut().retain(|&lock| lock != (kind, name));
    }

    /// Taken and released one under the other.
    pub(crate) fn nested(&self, outer: (Kind, &'static str), inner: (Kind, &'static str)) {
        self.lock(outer.0, outer.1);
        self.lock(inner.0, inner.1);
        self.unlock(inner.0, inner.1);
        self.unlock(outer.0, outer.1);
    }

    pub(crate) fn once(&self, kind: Kind, name: &'static str) {
        self.lock(kind, name);
        self.unlock(kind, name);
    }
}

/// Runs a case: what was reported, in order.
pub(crate) fn run(case: &str, body: &dyn Fn(&Bench)) -> Vec<Arc<Report>> {
    let before = lockdep::reports().len();
    let bench = Bench::new(case);
    body(&bench);
    let held = bench.held.take();
    let reports = lockdep::reports()[before..].to_vec();
    for (kind, name) in held.into_iter().rev() {
        bench.get(kind, name).release();
    }
    assert!(!lockdep::raw::any_held(), "{case} leaves a lock");
    reports
}
