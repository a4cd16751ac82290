//! More than the validator remembers: one report says of each limit that it is reached, and checking goes on with what is
//! known. In a process of its own, because the limits are everybody's, and in one test, because they are reached one after
//! the other.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use lockdep::{
    Banner, Class, DynamicClass, Limits, LockMap, Mutex, ReportKind, reports, set_limits, stats,
};

/// The kinds of the reports since there were `before`, limits by their names.
fn since(before: usize) -> Vec<String> {
    let kind = |report: &std::sync::Arc<lockdep::Report>| match report.kind() {
        ReportKind::Limit => {
            let text = report.kernel_text(&Banner::default());
            let name = text.strip_prefix("BUG: ").unwrap();
            name.split(" too low!\n").next().unwrap().to_owned()
        }
        kind => format!("{kind:?}"),
    };
    reports()[before..].iter().map(kind).collect()
}

/// What was reported while `f` ran.
fn said(f: impl FnOnce()) -> Vec<String> {
    let before = reports().len();
    f();
    since(before)
}

fn named(name: &str) -> Mutex<()> {
    Mutex::with_class(Class::named(name.to_owned()), ())
}

fn nest(outer: &Mutex<()>, inner: &Mutex<()>) {
    let _outer = outer.lock().unwrap();
    let _inner = inner.lock().unwrap();
}

fn limit(change: impl FnOnce(&mut Limits)) {
    let mut limits = Limits::default();
    change(&mut limits);
    set_limits(limits);
}

#[test]
fn beyond_each_limit_checking_goes_on() {
    lockdep::set_handler(|_| ());
    let (a, b) = (named("a"), named("b"));
    nest(&a, &b);
    chains(&a);
    classes(&a);
    dependencies();
    stacks();
    depth();
    // What was known before is still checked, after all that.
    assert_eq!(said(|| nest(&b, &a)), ["Circular"]);
    let _held = a.lock().unwrap();
    assert_eq!(
        said(|| assert!(a.lock_or_deadlock().is_err())),
        ["Recursive"]
    );
}

fn chains(known: &Mutex<()>) {
    let room = stats().chains + 1000;
    limit(|limits| limits.chains = room);
    // Every subset of twelve classes, taken in their order, is a chain of its own.
    let maps: Vec<LockMap> = (0..12)
        .map(|at| LockMap::with_class(Class::named(format!("map {at}"))))
        .collect();
    let all = said(|| {
        for subset in 0..1_u32 << maps.len() {
            let all = maps.iter().enumerate();
            let chosen = all.filter(|(at, _)| subset >> at & 1 != 0);
            let _held: Vec<_> = chosen.map(|(_, map)| map.acquire()).collect();
        }
    });
    assert_eq!(all, ["MAX_LOCKDEP_CHAINS"]);
    assert_eq!(stats().chains, room);

    let (late, later) = (named("late"), named("later"));
    assert_eq!(said(|| nest(&late, &later)), [""; 0]);
    assert_eq!(said(|| nest(&later, &late)), ["Circular"]);
    assert_eq!(said(|| nest(known, &late)), [""; 0]);

    // Where classes come and go, the chains of those that went make room.
    for _ in 0..100 {
        let passing = Mutex::with_class(DynamicClass::new("passing"), ());
        drop(passing.lock().unwrap());
    }
    limit(|_| ());
    let passing: Vec<_> = (0..200)
        .map(|_| Mutex::with_class(DynamicClass::new("passing"), ()))
        .collect();
    passing.iter().for_each(|lock| drop(lock.lock().unwrap()));
    let full = stats().chains;
    limit(|limits| limits.chains = full);
    drop(passing);
    let late = named("after the sweep");
    drop(late.lock().unwrap());
    assert_eq!(stats().chains, full - 200 + 1);
    limit(|_| ());
}

fn classes(known: &Mutex<()>) {
    let full = stats().classes;
    limit(|limits| limits.classes = full);
    let (c, d) = (named("no room for c"), named("no room for d"));
    assert_eq!(said(|| nest(&c, &d)), ["MAX_LOCKDEP_KEYS"]);
    // It is held, if nothing else, and nobody waits for himself.
    let held = c.lock().unwrap();
    assert_eq!(
        said(|| assert!(c.lock_or_deadlock().is_err())),
        ["Recursive"]
    );
    drop(known.lock().unwrap());
    drop(held);
    assert_eq!(stats().classes, full);
    limit(|_| ());
    // With room there is a class.
    assert_eq!(said(|| nest(&c, &d)), [""; 0]);
    assert_eq!(said(|| nest(&d, &c)), ["Circular"]);
}

fn dependencies() {
    let (e, f, g) = (named("e"), named("f"), named("g"));
    nest(&e, &f);
    let full = stats().dependencies;
    limit(|limits| limits.dependencies = full);
    assert_eq!(said(|| nest(&f, &g)), ["MAX_LOCKDEP_ENTRIES"]);
    assert_eq!(stats().dependencies, full);
    // That one was forgotten, but what closes a cycle with what is known is still found.
    assert_eq!(said(|| nest(&g, &f)), [""; 0]);
    assert_eq!(said(|| nest(&f, &e)), ["Circular"]);
    limit(|_| ());
}

fn stacks() {
    limit(|limits| limits.stacks = 0);
    let (h, i) = (named("h"), named("i"));
    assert_eq!(said(|| nest(&h, &i)), ["MAX_STACK_TRACE_ENTRIES"]);
    assert_eq!(said(|| nest(&i, &h)), ["Circular"]);
    let text = reports().last().unwrap().kernel_text(&Banner::default());
    let own = text.split("stack backtrace:").nth(1).unwrap();
    assert!(
        own.contains("limits::nest"),
        "a report has its own stack: {text}"
    );
    limit(|_| ());
}

fn depth() {
    limit(|limits| limits.depth = 5);
    let locks: Vec<_> = (0..7).map(|at| named(&format!("deep {at}"))).collect();
    let all = said(|| {
        let _held: Vec<_> = locks.iter().map(|lock| lock.lock().unwrap()).collect();
    });
    assert_eq!(all, ["MAX_LOCK_DEPTH"]);
    // The next locks are followed again.
    assert_eq!(said(|| nest(&locks[1], &locks[0])), ["Circular"]);
    limit(|_| ());
}
