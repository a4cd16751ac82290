//! What becomes of reports: kept, refused, accepted beforehand. One test: the choices are the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};

use lockdep::{Class, Grade, Mutex, Policy, Suppressions};

fn mutex(name: &'static str) -> Mutex<()> {
    Mutex::with_class(Class::named(name), ())
}

fn nested(outer: &Mutex<()>, inner: &Mutex<()>) {
    let _outer = outer.lock().unwrap();
    let _inner = inner.lock().unwrap();
}

/// Two locks that were taken in this order by another thread.
fn pair(names: [&'static str; 2]) -> [Mutex<()>; 2] {
    let pair = names.map(mutex);
    std::thread::scope(|scope| drop(scope.spawn(|| nested(&pair[0], &pair[1]))));
    pair
}

fn count(prefix: &str) -> usize {
    let reports = lockdep::reports();
    reports
        .iter()
        .filter(|report| report.classes()[0].starts_with(prefix))
        .count()
}

#[test]
fn reports_go_where_they_should() {
    // Kept only.
    lockdep::set_policy(Policy::Collect);
    let [a, b] = pair(["collect a", "collect b"]);
    nested(&b, &a);
    assert_eq!(count("collect"), 1);

    // Refused: what may be a deadlock is not done, what may not is.
    lockdep::set_policy(Policy::Panic(Grade::Deadlock));
    let [a, b] = pair(["panic a", "panic b"]);
    let refused = catch_unwind(AssertUnwindSafe(|| nested(&b, &a))).unwrap_err();
    assert!(
        refused
            .downcast::<String>()
            .unwrap()
            .contains("circular: panic a --> panic b")
    );
    assert!(a.try_lock().is_ok(), "it was not taken");
    let (a, b) = (mutex("alone a"), mutex("alone b"));
    nested(&a, &b);
    nested(&b, &a);
    assert_eq!(count("alone"), 1);

    // Called back, and again when the grade rises.
    static RAISED: AtomicUsize = AtomicUsize::new(0);
    lockdep::set_handler(|_| ());
    lockdep::set_raise_handler(|report| {
        assert_eq!(report.grade(), Some(Grade::Deadlock));
        RAISED.fetch_add(1, Ordering::Relaxed);
    });
    std::thread::scope(|scope| drop(scope.spawn(|| nested(&b, &a))));
    assert_eq!(RAISED.load(Ordering::Relaxed), 1);

    // Accepted beforehand, by signature and by an edge where it is made; the rest of the list is left over.
    lockdep::suppress(
        Suppressions::parse(
            "signature circular: accepted a --> accepted b\n\
             edge there b -> there a at tests/policy.rs\n\
             edge elsewhere b -> elsewhere a at src/other.rs\n",
        )
        .unwrap(),
    );
    for names in [
        ["accepted a", "accepted b"],
        ["there a", "there b"],
        ["elsewhere a", "elsewhere b"],
    ] {
        let [a, b] = pair(names);
        nested(&b, &a);
    }
    assert_eq!(
        [count("accepted"), count("there"), count("elsewhere")],
        [0, 0, 1]
    );
    assert_eq!(
        lockdep::unused_suppressions(),
        ["edge elsewhere b -> elsewhere a at src/other.rs"]
    );

    // What the kernel shows in files.
    let text = lockdep::proc::lockdep();
    let text = text.strip_prefix("all lock classes:\n").unwrap();
    let class = text
        .split("\n\n")
        .find(|class| class.contains(": collect a\n"))
        .unwrap();
    let (first, rest) = class.split_once('\n').unwrap();
    assert!(
        first.contains(" FD:     2 BD:     2 +.+.: collect a"),
        "{first}"
    );
    assert!(
        rest.starts_with(" -> [") && rest.ends_with("] collect b"),
        "{rest}"
    );
    let chains = lockdep::proc::lockdep_chains();
    assert!(
        chains.split("\n\n").any(|chain| {
            let lines: Vec<&str> = chain.lines().filter(|line| line.contains(']')).collect();
            lines.len() == 2
                && lines[0].ends_with("] collect a")
                && lines[1].ends_with("] collect b")
        }),
        "{chains}"
    );
    let stats = lockdep::stats();
    assert!(
        stats.classes >= 12 && stats.dependencies >= 12 && stats.chains > stats.dependencies,
        "{stats:?}"
    );
    assert!(
        stats.witnesses >= stats.dependencies && stats.reports >= 4,
        "{stats:?}"
    );
    let line = format!(
        " lock-classes:                  {:11} [max: {}]\n",
        stats.classes, stats.max_classes
    );
    assert!(lockdep::proc::lockdep_stats().starts_with(&line));
}
