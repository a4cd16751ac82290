//! How namespaces come and go, and who is told in which order.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use driver_core::{DriverCore, ManualClock, SeededRng};
use lock_order::PernetOps;
use lockdep::order::Held;
use net_core::testutil::FakeNamespaces;
use net_core::{Net, NetCore, NetdevInit, NetnsHandle, PernetOperations};
use rustix::io::Errno;

type Trace = Arc<Mutex<Vec<String>>>;

fn machine() -> (Arc<NetCore>, Arc<FakeNamespaces>) {
    let drivers = DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)));
    FakeNamespaces::machine(drivers)
}

fn take(trace: &Trace) -> Vec<String> {
    std::mem::take(&mut *trace.lock().unwrap())
}

/// Writes down what it is told, and refuses one namespace if asked to.
struct Recorder {
    name: &'static str,
    trace: Trace,
    refuse: Option<u64>,
}

fn recorder(name: &'static str, trace: &Trace) -> Arc<dyn PernetOperations> {
    Arc::new(Recorder {
        name,
        trace: Arc::clone(trace),
        refuse: None,
    })
}

impl Recorder {
    fn note(&self, what: &str, net: u64) {
        let line = format!("{} {what} {net}", self.name);
        self.trace.lock().unwrap().push(line);
    }
}

impl PernetOperations for Recorder {
    fn name(&self) -> &str {
        self.name
    }

    fn init(
        &self,
        _core: &Arc<NetCore>,
        net: &Arc<Net>,
        _held: &mut Held<'_, PernetOps>,
    ) -> Result<(), Errno> {
        self.note("init", net.id().0);
        match self.refuse {
            Some(refused) if refused == net.id().0 => Err(Errno::NOMEM),
            _ => Ok(()),
        }
    }

    fn pre_exit(&self, core: &Arc<NetCore>, net: &Arc<Net>, _held: &mut Held<'_, PernetOps>) {
        assert!(net.is_dying() || self.name == "leaving");
        assert_eq!(core.net(net.id()).is_some(), !net.is_dying());
        self.note("pre_exit", net.id().0);
    }

    fn exit(&self, _core: &Arc<NetCore>, net: &Arc<Net>, _held: &mut Held<'_, PernetOps>) {
        self.note("exit", net.id().0);
    }

    fn exit_batch(&self, _core: &Arc<NetCore>, nets: &[Arc<Net>], _: &mut Held<'_, PernetOps>) {
        self.note("exit_batch of", nets.len() as u64);
    }
}

#[test]
fn subsystems_are_told_in_order_and_leave_in_reverse() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    core.register_pernet_subsys(&mut held, recorder("first", &trace))
        .unwrap();
    core.register_pernet_device(&mut held, recorder("device", &trace))
        .unwrap();
    core.register_pernet_subsys(&mut held, recorder("second", &trace))
        .unwrap();
    assert_eq!(
        take(&trace),
        ["first init 1", "device init 1", "second init 1"]
    );

    let reference = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    assert_eq!(reference.net().id().0, 2);
    // Met again, it is the same one, and nobody is told again.
    let again = core
        .get_net(&mut held, Arc::clone(reference.handle()))
        .unwrap();
    assert!(Arc::ptr_eq(reference.net(), again.net()));
    assert_eq!(
        take(&trace),
        ["first init 2", "second init 2", "device init 2"]
    );

    let net = Arc::clone(reference.net());
    drop((reference, again));
    core.flush_cleanup();
    assert!(!net.is_dying());
    namespaces.del("n1");
    core.flush_cleanup();
    assert!(net.is_dying());
    assert!(core.net(net.id()).is_none());
    assert_eq!(
        take(&trace),
        [
            "device pre_exit 2",
            "second pre_exit 2",
            "first pre_exit 2",
            "device exit 2",
            "device exit_batch of 1",
            "second exit 2",
            "second exit_batch of 1",
            "first exit 2",
            "first exit_batch of 1",
        ]
    );
    assert!(lockdep::reports().is_empty());
}

#[test]
fn a_reference_keeps_a_namespace_alive() {
    let (core, namespaces) = machine();
    let mut held = Held::root();
    let reference = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    namespaces.del("n1");
    core.flush_cleanup();
    assert!(!reference.net().is_dying());
    let net = Arc::clone(reference.net());
    drop(reference);
    core.flush_cleanup();
    assert!(net.is_dying());
}

#[test]
fn namespaces_that_gather_go_together_the_last_one_first() {
    struct Slow(Mutex<Option<std::sync::mpsc::Receiver<()>>>);
    impl PernetOperations for Slow {
        fn name(&self) -> &str {
            "slow"
        }
        fn pre_exit(&self, _: &Arc<NetCore>, _: &Arc<Net>, _: &mut Held<'_, PernetOps>) {
            if let Some(go_on) = self.0.lock().unwrap().take() {
                go_on.recv().unwrap();
            }
        }
    }
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let (go_on, wait) = std::sync::mpsc::channel();
    core.register_pernet_subsys(&mut held, Arc::new(Slow(Mutex::new(Some(wait)))))
        .unwrap();
    core.register_pernet_subsys(&mut held, recorder("ops", &trace))
        .unwrap();
    for name in ["n1", "n2", "n3"] {
        core.get_net(&mut held, namespaces.add(name)).unwrap();
    }
    take(&trace);
    namespaces.del("n1");
    while trace.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    // The exit of n1 is under way; these two go with the next one.
    namespaces.del("n2");
    namespaces.del("n3");
    go_on.send(()).unwrap();
    core.flush_cleanup();
    assert_eq!(
        take(&trace),
        [
            "ops pre_exit 2",
            "ops exit 2",
            "ops exit_batch of 1",
            "ops pre_exit 4",
            "ops pre_exit 3",
            "ops exit 4",
            "ops exit 3",
            "ops exit_batch of 2",
        ]
    );
}

#[test]
fn a_refused_namespace_is_undone_and_unknown() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    core.register_pernet_subsys(&mut held, recorder("leaving", &trace))
        .unwrap();
    let refusing = Recorder {
        name: "refusing",
        trace: Arc::clone(&trace),
        refuse: Some(2),
    };
    core.register_pernet_subsys(&mut held, Arc::new(refusing))
        .unwrap();
    take(&trace);
    let handle = namespaces.add("n1");
    let id = handle.id();
    assert_eq!(core.get_net(&mut held, handle).unwrap_err(), Errno::NOMEM);
    assert!(core.net(id).is_none());
    assert_eq!(
        take(&trace),
        [
            "leaving init 2",
            "refusing init 2",
            "leaving pre_exit 2",
            "leaving exit 2",
            "leaving exit_batch of 1",
        ]
    );
}

#[test]
fn a_refused_registration_is_undone() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let _n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let refusing = Recorder {
        name: "leaving",
        trace: Arc::clone(&trace),
        refuse: Some(2),
    };
    let result = core.register_pernet_subsys(&mut held, Arc::new(refusing));
    assert_eq!(result.unwrap_err(), Errno::NOMEM);
    assert_eq!(
        take(&trace),
        [
            "leaving init 1",
            "leaving init 2",
            "leaving pre_exit 1",
            "leaving exit 1",
            "leaving exit_batch of 1",
        ]
    );
    let operations = recorder("leaving", &trace);
    core.register_pernet_subsys(&mut held, Arc::clone(&operations))
        .unwrap();
    core.unregister_pernet(&mut held, &operations).unwrap();
    assert_eq!(
        core.unregister_pernet(&mut held, &operations),
        Err(Errno::NOENT)
    );
    assert_eq!(
        take(&trace),
        [
            "leaving init 1",
            "leaving init 2",
            "leaving pre_exit 1",
            "leaving pre_exit 2",
            "leaving exit 1",
            "leaving exit 2",
            "leaving exit_batch of 2",
        ]
    );
}

#[test]
fn who_holds_later_locks_meets_a_namespace_without_pernet_ops_rwsem() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    core.register_pernet_subsys(&mut held, recorder("ops", &trace))
        .unwrap();
    take(&trace);
    let reference = {
        let _rtnl = core.rtnl_lock(&mut held);
        core.get_net_deferred(namespaces.add("n1")).unwrap()
    };
    core.flush_cleanup();
    assert_eq!(take(&trace), ["ops init 2"]);
    drop(reference);
    namespaces.del("n1");
    core.flush_cleanup();
    assert_eq!(
        take(&trace),
        ["ops pre_exit 2", "ops exit 2", "ops exit_batch of 1"]
    );
    assert!(lockdep::reports().is_empty());
}

#[test]
fn the_first_namespace_and_unknown_ones_do_not_go() {
    let (core, namespaces) = machine();
    core.net_gone(core.init_net().id());
    core.net_gone(namespaces.unnamed().id());
    core.flush_cleanup();
    assert!(!core.init_net().is_dying());
    assert_eq!(core.nets().len(), 1);
    assert_eq!(core.init_net_ref().net(), core.init_net());
}

#[test]
fn namespaces_know_each_other_by_small_numbers() {
    let (core, namespaces) = machine();
    let mut held = Held::root();
    let init = Arc::clone(core.init_net());
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let n2 = core.get_net(&mut held, namespaces.add("n2")).unwrap();
    assert_eq!(core.peernet2id(&init, n1.net()), None);
    assert_eq!(core.peernet2id_alloc(&init, n2.net()), Some(0));
    assert_eq!(core.peernet2id_alloc(&init, n1.net()), Some(1));
    assert_eq!(core.peernet2id_alloc(&init, n1.net()), Some(1));
    assert_eq!(core.peernet2id(&init, n1.net()), Some(1));
    // Each namespace counts for itself.
    assert_eq!(core.peernet2id_alloc(n1.net(), &init), Some(0));
    assert_eq!(core.net_by_nsid(&init, 1).as_ref(), Some(n1.net()));
    assert_eq!(core.net_by_nsid(&init, 7), None);

    let gone = Arc::clone(n2.net());
    drop(n2);
    namespaces.del("n2");
    core.flush_cleanup();
    assert_eq!(core.peernet2id(&init, &gone), None);
    assert_eq!(core.peernet2id_alloc(&init, &gone), None);
    assert_eq!(core.peernet2id_alloc(&gone, &init), None);
    let n3 = core.get_net(&mut held, namespaces.add("n3")).unwrap();
    assert_eq!(core.peernet2id_alloc(&init, n3.net()), Some(0));
}

#[test]
fn devices_return_when_their_namespace_goes() {
    let (core, namespaces) = machine();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let init = Arc::clone(core.init_net());
    let ethernet = |net: &Arc<Net>| {
        let dev = net_core::Netdev::new(NetdevInit::ethernet(Arc::clone(net), [2, 0, 0, 0, 0, 1]));
        core.register_netdev(&mut Held::root(), &dev).unwrap();
        dev
    };
    let stays = ethernet(&init);
    let moves = ethernet(n1.net());
    let clashes_not = {
        let mut init = NetdevInit::ethernet(Arc::clone(n1.net()), [2, 0, 0, 0, 0, 2]);
        init.name = "uplink".to_owned();
        let dev = net_core::Netdev::new(init);
        core.register_netdev(&mut held, &dev).unwrap();
        dev
    };
    assert_eq!(
        (moves.name(), moves.ifindex()),
        ("eth0".to_owned(), 2),
        "each namespace counts for itself"
    );
    drop(n1);
    namespaces.del("n1");
    core.flush_cleanup();
    assert_eq!(stays.name(), "eth0");
    // Its name is taken, and so is its index: it gets new ones.
    assert_eq!(moves.net(), init);
    assert_eq!((moves.name(), moves.ifindex()), ("dev2".to_owned(), 3));
    assert_eq!(clashes_not.name(), "uplink");
    assert_eq!(core.rtnl_lock(&mut held).devices(&init).len(), 3);
    assert!(lockdep::reports().is_empty());
}

#[test]
fn what_a_subsystem_keeps_goes_with_the_namespace() {
    #[derive(Debug, PartialEq)]
    struct Counter(u32);
    let (core, namespaces) = machine();
    let n1 = core
        .get_net(&mut Held::root(), namespaces.add("n1"))
        .unwrap();
    let counter = Arc::new(Counter(7));
    assert_eq!(n1.net().generic::<Counter>(), None);
    assert_eq!(n1.net().set_generic(Arc::clone(&counter)), None);
    assert_eq!(n1.net().generic::<Counter>(), Some(Arc::clone(&counter)));
    let net = Arc::clone(n1.net());
    drop(n1);
    namespaces.del("n1");
    core.flush_cleanup();
    assert_eq!(net.generic::<Counter>(), None);
    assert_eq!(Arc::strong_count(&counter), 1);
}
