//! The order that was seen, held against the order that was declared.

use lockdep::order::{Held, Mutex, RwLock, check_observed, escapes, lock_order};
use lockdep::{Class, DynamicClass};

lock_order! {
    Outer "declared outer";
    Tree "declared tree";
    Node "declared node" (novalidate);
    Instance "declared instance" (descends Tree);
    Driver "declared driver" (nests, descends Tree);
    Inner "declared inner";
}

struct Locks {
    outer: RwLock<Outer, ()>,
    inner: Mutex<Inner, ()>,
}

struct Device {
    node: Mutex<Node, ()>,
    instance: Mutex<Instance, ()>,
    driver: [Mutex<Driver, ()>; 2],
}

impl Device {
    fn new(name: &'static str) -> Self {
        let driver = |at| Mutex::with_class(Class::named(format!("{name} driver {at}")), ());
        Self {
            node: Mutex::new(()),
            instance: Mutex::with_class(DynamicClass::new("declared instance"), ()),
            driver: [driver(0), driver(1)],
        }
    }
}

fn down(locks: &Locks, parent: &Device, child: &Device) {
    let mut root = Held::root();
    let (_outer, mut held) = locks.outer.read(&mut root);
    let mut tree = held.advance::<Tree>();
    let (_node, mut held) = parent.node.lock(&mut tree);
    let (_instance, mut held) = parent.instance.lock(&mut held);
    let (_first, mut held) = parent.driver[0].lock(&mut held);
    let (_second, mut held) = parent.driver[1].lock(&mut held);
    {
        let mut tree = held.descend::<Tree>();
        let (_node, mut held) = child.node.lock(&mut tree);
        let (_instance, mut held) = child.instance.lock(&mut held);
        let (_driver, mut held) = child.driver[0].lock(&mut held);
        let (_inner, _held) = locks.inner.lock(&mut held);
    }
    let (_inner, _held) = locks.inner.lock(&mut held);
}

#[test]
fn what_goes_against_the_table_is_listed_escape_or_not() {
    lockdep::set_handler(|_| ());
    let locks = Locks {
        outer: RwLock::new(()),
        inner: Mutex::new(()),
    };
    let (parent, child) = (Device::new("parent"), Device::new("child"));
    down(&locks, &parent, &child);
    let violations = check_observed();
    assert!(violations.is_empty(), "{violations:?}");
    assert!(lockdep::reports().is_empty());

    let mut root = Held::root();
    let (_instance, mut held) = child.instance.lock(&mut root);
    {
        let mut free = held.against_declared_order("a test of the escape");
        let (_outer, _held) = locks.outer.write(&mut free);
    }
    let violations = check_observed();
    assert_eq!(violations.len(), 1, "{violations:?}");
    assert_eq!(
        (violations[0].held_level, violations[0].taken_level),
        ("Instance", "Outer")
    );
    let text = violations[0].to_string();
    assert!(
        text.contains("the declared order is Outer before Instance"),
        "{text}"
    );
    assert!(text.contains("tests/declared.rs"), "{text}");
    assert_eq!(escapes()[0].why, "a test of the escape");
    assert_eq!(
        lockdep::reports().len(),
        1,
        "and the validator saw the inversion"
    );
}
