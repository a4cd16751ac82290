//! The cases, family by family, as `lib/locking-selftest.c` has them.

use lockdep::signal::{Blocked, Deferred, DeferredBlocked, Handler};

use crate::bench::{Bench, Kind};
use Kind::{
    Map, Mutex, QueuedRlock, RawSpin, Rcu, RcuBh, RcuSched, Rlock, Rsem, Spin, Wlock, Wsem,
};

/// One case of the table.
pub(crate) struct Case {
    pub(crate) family: &'static str,
    /// What tells it from the others of its family: kind of lock, order of events.
    pub(crate) variant: String,
    /// Whether the kernel's lockdep must report it.
    pub(crate) reported: bool,
    /// What a report of it must say.
    pub(crate) says: Option<&'static str>,
    /// Where it differs from the kernel's.
    pub(crate) note: Option<&'static str>,
    pub(crate) body: Box<dyn Fn(&Bench)>,
}

fn case(
    family: &'static str,
    variant: impl Into<String>,
    reported: bool,
    body: impl Fn(&Bench) + 'static,
) -> Case {
    Case {
        family,
        variant: variant.into(),
        reported,
        says: None,
        note: None,
        body: Box::new(body),
    }
}

/// Every case, in the kernel's order.
pub(crate) fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(chains());
    cases.extend(misuse());
    cases.extend(readers());
    cases.extend(rings());
    cases.extend(interrupts());
    cases.extend(crate::ww::all());
    cases.extend(queued());
    cases.extend(reclaim());
    cases.extend(softirq_is_not_hardirq());
    cases.extend(wait_contexts());
    cases
}

/// Cycles of two to four classes, each with every kind of lock. Only the readers of an rwlock recurse.
fn chains() -> Vec<Case> {
    const FAMILIES: [(&str, &[(&str, &str)]); 6] = [
        ("A-B-B-A deadlock", &[("A", "B"), ("B", "A")]),
        (
            "A-B-B-C-C-A deadlock",
            &[("A", "B"), ("B", "C"), ("C", "A")],
        ),
        (
            "A-B-C-A-B-C deadlock",
            &[("A", "B"), ("C", "A"), ("B", "C")],
        ),
        (
            "A-B-B-C-C-D-D-A deadlock",
            &[("A", "B"), ("B", "C"), ("C", "D"), ("D", "A")],
        ),
        (
            "A-B-C-D-B-D-D-A deadlock",
            &[("A", "B"), ("C", "D"), ("B", "D"), ("D", "A")],
        ),
        (
            "A-B-C-D-B-C-D-A deadlock",
            &[("A", "B"), ("C", "D"), ("B", "C"), ("D", "A")],
        ),
    ];
    let mut cases = Vec::new();
    for kind in Kind::SEVEN {
        cases.push(case(
            "A-A deadlock",
            kind.name(),
            kind != Rlock,
            move |bench| {
                bench.lock(kind, "X1");
                bench.lock(kind, "X2");
            },
        ));
    }
    for (family, pairs) in FAMILIES {
        for kind in Kind::SEVEN {
            cases.push(case(family, kind.name(), kind != Rlock, move |bench| {
                for &(outer, inner) in pairs {
                    bench.nested((kind, outer), (kind, inner));
                }
            }));
        }
    }
    cases
}

fn misuse() -> Vec<Case> {
    let mut cases = Vec::new();
    for kind in Kind::SEVEN {
        cases.push(case("double unlock", kind.name(), true, move |bench| {
            bench.lock(kind, "A");
            bench.unlock(kind, "A");
            bench.unlock(kind, "A");
        }));
    }
    for kind in Kind::SEVEN {
        cases.push(case("initialize held", kind.name(), true, move |bench| {
            bench.lock(kind, "A");
            bench.init(kind, "A");
        }));
    }
    cases
}

/// Readers and writers of one lock, alone and against another lock.
fn readers() -> Vec<Case> {
    let twice = |family, one: (Kind, &'static str), other: (Kind, &'static str), reported| {
        let variant = format!("{} {}, {} {}", one.0.name(), one.1, other.0.name(), other.1);
        case(family, variant, reported, move |bench: &Bench| {
            bench.lock(one.0, one.1);
            bench.lock(other.0, other.1);
        })
    };
    let (x1, x2) = ("X1", "X2");
    let mut cases = vec![
        twice("recursive read-lock", (Rlock, x1), (Rlock, x1), false),
        twice("recursive read-lock", (Rsem, x1), (Rsem, x1), true),
        twice("recursive read-lock #2", (Rlock, x1), (Rlock, x2), false),
        twice("recursive read-lock #2", (Rsem, x1), (Rsem, x2), true),
        twice("mixed read-write-lock", (Rlock, x1), (Wlock, x2), true),
        twice("mixed read-write-lock", (Rsem, x1), (Wsem, x2), true),
        twice("mixed write-read-lock", (Wlock, x1), (Rlock, x2), true),
        twice("mixed write-read-lock", (Wsem, x1), (Rsem, x2), true),
    ];
    let abba = |family, first: Kind, lock: Kind, second: Kind, reported| {
        case(family, first.name(), reported, move |bench: &Bench| {
            bench.nested((first, "X1"), (lock, "Y1"));
            bench.nested((lock, "Y1"), (second, "X1"));
        })
    };
    cases.extend([
        abba("mixed read-lock/lock-write ABBA", Rlock, Spin, Wlock, true),
        abba("mixed read-lock/lock-write ABBA", Rsem, Mutex, Wsem, true),
        abba("mixed read-lock/lock-read ABBA", Rlock, Spin, Rlock, false),
        abba("mixed read-lock/lock-read ABBA", Rsem, Mutex, Rsem, true),
        abba("mixed write-lock/lock-write ABBA", Wlock, Spin, Rlock, true),
        abba("mixed write-lock/lock-write ABBA", Wsem, Mutex, Rsem, true),
        case("chain cached mixed R-L/L-W ABBA", "rlock", true, |bench| {
            bench.nested((Rlock, "X1"), (Spin, "Y1"));
            bench.nested((Spin, "Y1"), (Rlock, "X1"));
            bench.nested((Spin, "Y1"), (Wlock, "X1"));
        }),
    ]);
    cases
}

/// Three rwlocks in a ring: a deadlock unless a recursive reader is followed by one who only shares.
fn rings() -> Vec<Case> {
    type Ring = [(Kind, Kind); 3];
    const RINGS: [(&str, Ring, bool); 4] = [
        (
            "rlock W1R2/W2R3/W3R1",
            [(Wlock, Rlock), (Wlock, Rlock), (Wlock, Rlock)],
            true,
        ),
        (
            "rlock W1W2/R2R3/W3R1",
            [(Wlock, Wlock), (Rlock, Rlock), (Wlock, Rlock)],
            true,
        ),
        (
            "rlock W1W2/R2R3/R3W1",
            [(Wlock, Wlock), (Rlock, Rlock), (Rlock, Wlock)],
            false,
        ),
        (
            "rlock W1R2/R2R3/W3W1",
            [(Wlock, Rlock), (Rlock, Rlock), (Wlock, Wlock)],
            false,
        ),
    ];
    const NAMES: [(&str, &str); 3] = [("X1", "Y1"), ("Y1", "Z1"), ("Z1", "X1")];
    let mut cases = Vec::new();
    for (family, ring, reported) in RINGS {
        for order in ORDERS {
            cases.push(case(family, digits(&order), reported, move |bench| {
                for event in order {
                    let (outer, inner) = ring[event];
                    bench.nested((outer, NAMES[event].0), (inner, NAMES[event].1));
                }
            }));
        }
    }
    cases
}

const ORDERS: [[usize; 3]; 6] = [
    [0, 1, 2],
    [0, 2, 1],
    [1, 0, 2],
    [1, 2, 0],
    [2, 0, 1],
    [2, 1, 0],
];

fn digits(order: &[usize]) -> String {
    order.iter().map(|event| (event + 1).to_string()).collect()
}

/// Hard and soft interrupts: the first column of a family's name says which.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Irq {
    Hard,
    Soft,
}

impl Irq {
    /// Runs `body` in the interrupt. The kernel's test disables hard interrupts in its soft ones too.
    fn enter(self, body: impl FnOnce()) {
        match self {
            Self::Hard => {
                let _handler = Handler::on_own_thread();
                body();
            }
            Self::Soft => {
                let _blocked = (Blocked::enter(), Deferred::enter());
                body();
            }
        }
    }

    fn disabled(self, body: impl FnOnce()) {
        match self {
            Self::Hard => {
                let _blocked = Blocked::enter();
                body();
            }
            Self::Soft => {
                let _blocked = DeferredBlocked::enter();
                body();
            }
        }
    }
}

/// Events with two locks in them: the one of the column, and one that is always the same.
fn interrupts() -> Vec<Case> {
    let mut cases = Vec::new();
    for irq in [Irq::Hard, Irq::Soft] {
        cases.extend(two(irq));
        cases.extend(three(irq));
        cases.extend(recursion(irq));
    }
    cases.extend(softirq_safe_on());
    cases
}

fn name(irq: Irq, hard: &'static str, soft: &'static str) -> &'static str {
    if irq == Irq::Hard { hard } else { soft }
}

/// Puts the events of a family in every order, with every kind of lock.
fn permuted<const N: usize>(
    family: &'static str,
    kinds: &[(Kind, bool)],
    orders: &[[usize; N]],
    events: impl Fn(&Bench, Kind, usize) + Copy + 'static,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for &order in orders {
        for &(kind, reported) in kinds {
            let variant = format!("{} {}", digits(&order), kind.name());
            cases.push(case(family, variant, reported, move |bench: &Bench| {
                for event in order {
                    events(bench, kind, event);
                }
            }));
        }
    }
    cases
}

const WRITERS: [(Kind, bool); 3] = [(Spin, true), (Wlock, true), (Rlock, false)];
const TWO: [[usize; 2]; 2] = [[0, 1], [1, 0]];

fn two(irq: Irq) -> Vec<Case> {
    let family = name(
        irq,
        "hard-irqs-on + irq-safe-A",
        "soft-irqs-on + irq-safe-A",
    );
    let mut cases = permuted(
        family,
        &WRITERS,
        &TWO,
        move |bench, kind, event| match event {
            0 => irq.enter(|| bench.once(kind, "A")),
            _ => bench.once(kind, "A"),
        },
    );
    let family = name(irq, "hard-safe-A + irqs-on", "soft-safe-A + irqs-on");
    cases.extend(permuted(
        family,
        &WRITERS,
        &TWO,
        move |bench, kind, event| match event {
            0 => irq.enter(|| bench.once(kind, "A")),
            _ => {
                irq.disabled(|| bench.lock(kind, "A"));
                bench.unlock(kind, "A");
            }
        },
    ));
    cases
}

fn softirq_safe_on() -> Vec<Case> {
    permuted(
        "sirq-safe-A => hirqs-on",
        &WRITERS,
        &TWO,
        |bench, kind, event| match event {
            0 => Irq::Soft.enter(|| bench.once(kind, "A")),
            _ => {
                Irq::Hard.disabled(|| bench.lock(kind, "A"));
                bench.unlock(kind, "A");
            }
        },
    )
}

fn three(irq: Irq) -> Vec<Case> {
    let family = name(
        irq,
        "hard-safe-A + unsafe-B #1",
        "soft-safe-A + unsafe-B #1",
    );
    let mut cases = permuted(
        family,
        &WRITERS,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.enter(|| bench.once(kind, "A")),
            1 => bench.once(kind, "B"),
            _ => irq.disabled(|| bench.nested((kind, "A"), (kind, "B"))),
        },
    );
    let family = name(
        irq,
        "hard-safe-A + unsafe-B #2",
        "soft-safe-A + unsafe-B #2",
    );
    cases.extend(permuted(
        family,
        &WRITERS,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.disabled(|| bench.nested((kind, "A"), (kind, "B"))),
            1 => bench.once(kind, "B"),
            _ => irq.enter(|| bench.once(kind, "A")),
        },
    ));
    let family = name(irq, "hard-irq lock-inversion", "soft-irq lock-inversion");
    cases.extend(permuted(
        family,
        &WRITERS,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.disabled(|| bench.nested((Wlock, "A"), (kind, "B"))),
            1 => bench.once(kind, "B"),
            _ => irq.enter(|| bench.once(Rlock, "A")),
        },
    ));
    cases
}

/// Readers that recurse into an interrupt: safe as long as nobody writes in between.
fn recursion(irq: Irq) -> Vec<Case> {
    let kinds = [(Wlock, true), (Rlock, false)];
    let family = name(irq, "hard-irq read-recursion", "soft-irq read-recursion");
    let mut cases = permuted(
        family,
        &kinds,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.disabled(|| bench.once(Wlock, "A")),
            1 => bench.once(Rlock, "A"),
            _ => irq.enter(|| bench.nested((kind, "A"), (Spin, "B"))),
        },
    );
    let family = name(
        irq,
        "hard-irq read-recursion #2",
        "soft-irq read-recursion #2",
    );
    cases.extend(permuted(
        family,
        &kinds,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.disabled(|| bench.nested((Spin, "B"), (kind, "A"))),
            1 => bench.once(Rlock, "A"),
            _ => irq.enter(|| bench.once(Spin, "B")),
        },
    ));
    let family = name(
        irq,
        "hard-irq read-recursion #3",
        "soft-irq read-recursion #3",
    );
    cases.extend(permuted(
        family,
        &kinds,
        &ORDERS,
        move |bench, kind, event| match event {
            0 => irq.disabled(|| bench.nested((Wlock, "B"), (kind, "A"))),
            1 => bench.once(Rlock, "A"),
            _ => irq.enter(|| bench.once(Rlock, "B")),
        },
    ));
    cases
}

/// A queued rwlock's readers recurse in interrupts only.
fn queued() -> Vec<Case> {
    let (hard, column) = (Irq::Hard, "rlock");
    vec![
        case("hardirq read-lock/lock-read", column, true, move |bench| {
            hard.enter(|| bench.nested((Rlock, "A"), (Spin, "B")));
            hard.disabled(|| bench.nested((Spin, "B"), (QueuedRlock, "A")));
        }),
        case("hardirq lock-read/read-lock", column, false, move |bench| {
            hard.enter(|| bench.nested((Spin, "B"), (Rlock, "A")));
            hard.disabled(|| bench.nested((QueuedRlock, "A"), (Spin, "B")));
        }),
        case("hardirq inversion", column, true, move |bench| {
            hard.enter(|| bench.once(Spin, "B"));
            hard.disabled(|| bench.nested((Spin, "B"), (QueuedRlock, "A")));
            bench.once(QueuedRlock, "A");
        }),
    ]
}

/// Memory is reclaimed under a pseudo-lock that whoever may allocate takes for an instant.
fn reclaim() -> Vec<Case> {
    let reclaiming = |bench: &Bench, may_enter_filesystem: bool, protected: bool| {
        if may_enter_filesystem {
            bench.lock(Map, "A");
        }
        if may_enter_filesystem && !protected {
            bench.once(Map, "A");
        }
    };
    vec![
        case("fs_reclaim correct nesting", "map", false, move |bench| {
            reclaiming(bench, false, false);
        }),
        case("fs_reclaim wrong nesting", "map", true, move |bench| {
            reclaiming(bench, true, false);
        }),
        case("fs_reclaim protected nesting", "map", false, move |bench| {
            reclaiming(bench, true, true);
        }),
    ]
}

/// What is unsafe for one kind of interrupt may be reached from what is safe for the other, but not for the same.
fn softirq_is_not_hardirq() -> Vec<Case> {
    let body = |bench: &Bench| {
        let (hard, soft) = (Irq::Hard, Irq::Soft);
        bench.lock(Mutex, "A");
        hard.disabled(|| bench.once(Spin, "C"));
        bench.unlock(Mutex, "A");
        hard.enter(|| bench.once(Spin, "A"));
        hard.disabled(|| bench.nested((Spin, "A"), (Spin, "B")));
        hard.disabled(|| bench.nested((Spin, "B"), (Spin, "C")));
        soft.enter(|| bench.once(Spin, "D"));
        soft.disabled(|| bench.once(Spin, "D"));
        hard.disabled(|| bench.nested((Spin, "C"), (Spin, "D")));
    };
    vec![case("hardirq_unsafe_softirq_safe", "spin", true, body)]
}

/// In nine contexts, four ways of waiting: which may wait where.
fn wait_contexts() -> Vec<Case> {
    const INNER: [Kind; 4] = [Rcu, RawSpin, Spin, Mutex];
    /// How many of the four are allowed.
    const OUTER: [(&str, usize); 9] = [
        ("in hardirq context", 3),
        ("in hardirq context (not threaded)", 2),
        ("in softirq context", 3),
        ("in RCU context", 3),
        ("in RCU-bh context", 3),
        ("in RCU-sched context", 2),
        ("in RAW_SPINLOCK context", 2),
        ("in SPINLOCK context", 3),
        ("in MUTEX context", 4),
    ];
    let mut cases = Vec::new();
    for (context, (family, allowed)) in OUTER.into_iter().enumerate() {
        for (at, kind) in INNER.into_iter().enumerate() {
            cases.push(case(family, kind.name(), at >= allowed, move |bench| {
                let inner = || bench.once(kind, "B");
                let under = |outer: Kind| {
                    bench.lock(outer, "A");
                    inner();
                    bench.unlock(outer, "A");
                };
                match context {
                    0 => Irq::Hard.enter(inner),
                    1 => {
                        let _handler = Handler::enter();
                        inner();
                    }
                    2 => Irq::Soft.enter(inner),
                    3 => under(Rcu),
                    4 => under(RcuBh),
                    5 => under(RcuSched),
                    6 => under(RawSpin),
                    7 => under(Spin),
                    _ => under(Mutex),
                }
            }));
        }
    }
    cases
}
