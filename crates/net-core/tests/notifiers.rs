//! The three kinds of netdevice notifier: what each hears, in which order, and with which locks.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::sync::{Arc, Mutex};

use driver_core::{DriverCore, ManualClock, SeededRng};
use lockdep::order::Held;
use net_core::testutil::FakeNamespaces;
use net_core::{LinkState, Net, NetCore, Netdev, NetdevEvent, NetdevInit, NotifierBlock};
use rustix::io::Errno;

type Trace = Arc<Mutex<Vec<String>>>;

fn machine() -> (Arc<NetCore>, Arc<FakeNamespaces>) {
    let drivers = DriverCore::new(Arc::new(ManualClock::new()), Arc::new(SeededRng::new(1)));
    FakeNamespaces::machine(drivers)
}

fn take(trace: &Trace) -> Vec<String> {
    std::mem::take(&mut *trace.lock().unwrap())
}

fn ethernet(core: &NetCore, net: &Arc<Net>, name: &str) -> Arc<Netdev> {
    let mut init = NetdevInit::ethernet(Arc::clone(net), [2, 0, 0, 0, 0, 1]);
    init.name = name.to_owned();
    let dev = Netdev::new(init);
    core.register_netdev(&mut Held::root(), &dev).unwrap();
    dev
}

/// A notifier that writes down what it hears.
fn recorder(name: &'static str, trace: &Trace) -> Arc<NotifierBlock> {
    vetoing(name, trace, |_, _| false)
}

fn vetoing(
    name: &'static str,
    trace: &Trace,
    veto: impl Fn(NetdevEvent, &str) -> bool + Send + Sync + 'static,
) -> Arc<NotifierBlock> {
    let trace = Arc::clone(trace);
    NotifierBlock::new(name, move |_rtnl, event, dev| {
        let line = format!("{name} {event:?} {}", dev.name());
        trace.lock().unwrap().push(line);
        match veto(event, &dev.name()) {
            true => Err(Errno::PERM),
            false => Ok(()),
        }
    })
}

#[test]
fn a_global_notifier_hears_of_what_is_there_and_what_comes() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let down = ethernet(&core, core.init_net(), "eth%d");
    let up = ethernet(&core, n1.net(), "up%d");
    core.rtnl_lock(&mut held).dev_open(&up).unwrap();

    let block = recorder("nb", &trace);
    core.register_netdevice_notifier(&mut held, &block).unwrap();
    assert_eq!(
        core.register_netdevice_notifier(&mut held, &block),
        Err(Errno::EXIST)
    );
    assert_eq!(
        take(&trace),
        ["nb Register eth0", "nb Register up0", "nb Up up0"]
    );

    let late = ethernet(&core, core.init_net(), "eth%d");
    core.unregister_netdev(&mut held, &late);
    assert_eq!(
        take(&trace),
        [
            "nb PostInit eth1",
            "nb Register eth1",
            "nb Unregister eth1",
            "nb PreUninit eth1"
        ]
    );

    core.unregister_netdevice_notifier(&mut held, &block)
        .unwrap();
    assert_eq!(
        core.unregister_netdevice_notifier(&mut held, &block),
        Err(Errno::NOENT)
    );
    assert_eq!(
        take(&trace),
        [
            "nb Unregister eth0",
            "nb GoingDown up0",
            "nb Down up0",
            "nb Unregister up0"
        ]
    );
    core.unregister_netdev(&mut held, &down);
    assert!(take(&trace).is_empty());
    assert!(lockdep::reports().is_empty());
}

#[test]
fn the_namespaces_own_chain_comes_first_and_hears_nothing_else() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let (global, local) = (recorder("global", &trace), recorder("local", &trace));
    core.register_netdevice_notifier(&mut held, &global)
        .unwrap();
    core.register_netdevice_notifier_net(&mut held, n1.net(), &local)
        .unwrap();
    let elsewhere = ethernet(&core, core.init_net(), "eth%d");
    let here = ethernet(&core, n1.net(), "here%d");
    assert_eq!(
        take(&trace),
        [
            "global PostInit eth0",
            "global Register eth0",
            "local PostInit here0",
            "global PostInit here0",
            "local Register here0",
            "global Register here0",
        ]
    );
    core.unregister_netdevice_notifier_net(&mut held, n1.net(), &local)
        .unwrap();
    assert_eq!(take(&trace), ["local Unregister here0"]);
    core.unregister_netdevice_notifier(&mut held, &global)
        .unwrap();
    drop((elsewhere, here));
}

#[test]
fn priorities_decide_within_a_chain() {
    let (core, _namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let blocks = [("low", -1), ("first", 0), ("second", 0), ("high", 5)].map(|(name, priority)| {
        let trace = Arc::clone(&trace);
        NotifierBlock::with_priority(name, priority, move |_, event, _| {
            if event == NetdevEvent::Register {
                trace.lock().unwrap().push(name.to_owned());
            }
            Ok(())
        })
    });
    for block in &blocks {
        core.register_netdevice_notifier(&mut held, block).unwrap();
    }
    ethernet(&core, core.init_net(), "eth%d");
    assert_eq!(take(&trace), ["high", "first", "second", "low"]);
}

#[test]
fn a_notifier_that_follows_a_device_moves_with_it() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let followed = ethernet(&core, core.init_net(), "uplink");
    let left = ethernet(&core, core.init_net(), "left");
    let found = ethernet(&core, n1.net(), "found");
    let block = recorder("nb", &trace);
    core.register_netdevice_notifier_dev_net(&mut held, &followed, &block)
        .unwrap();
    assert_eq!(take(&trace), ["nb Register uplink", "nb Register left"]);

    core.rtnl_lock(&mut held)
        .dev_change_net_namespace(&followed, n1.net(), None)
        .unwrap();
    assert_eq!(
        take(&trace),
        [
            "nb Unregister uplink",
            "nb Unregister left",
            "nb Register found",
            "nb Register uplink"
        ]
    );
    assert_eq!(followed.net(), *n1.net());

    core.unregister_netdev(&mut held, &left);
    core.unregister_netdev(&mut held, &found);
    assert_eq!(take(&trace), ["nb Unregister found", "nb PreUninit found"]);
    core.unregister_netdevice_notifier_dev_net(&mut held, &followed, &block)
        .unwrap();
    assert_eq!(
        core.unregister_netdevice_notifier_dev_net(&mut held, &followed, &block),
        Err(Errno::NOENT)
    );
    assert_eq!(take(&trace), ["nb Unregister uplink"]);
    assert!(lockdep::reports().is_empty());
}

#[test]
fn a_vetoed_replay_is_undone() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    for (net, name) in [(core.init_net(), "a"), (n1.net(), "b"), (n1.net(), "c")] {
        ethernet(&core, net, name);
    }
    let block = vetoing("nb", &trace, |event, name| {
        event == NetdevEvent::Register && name == "c"
    });
    assert_eq!(
        core.register_netdevice_notifier(&mut held, &block),
        Err(Errno::PERM)
    );
    assert_eq!(
        take(&trace),
        [
            "nb Register a",
            "nb Register b",
            "nb Register c",
            "nb Unregister b",
            "nb Unregister a"
        ]
    );
    assert_eq!(
        core.unregister_netdevice_notifier(&mut held, &block),
        Err(Errno::NOENT)
    );
}

#[test]
fn a_notifier_may_stop_a_registration() {
    let (core, _namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let block = vetoing("nb", &trace, |event, name| {
        event == NetdevEvent::PostInit && name == "eth0"
            || event == NetdevEvent::Register && name == "bad"
    });
    core.register_netdevice_notifier(&mut held, &block).unwrap();
    let dev = Netdev::new(NetdevInit::ethernet(
        Arc::clone(core.init_net()),
        [2, 0, 0, 0, 0, 1],
    ));
    assert_eq!(core.register_netdev(&mut held, &dev), Err(Errno::PERM));
    // Refused before it was listed: as if nothing had been.
    assert_eq!((dev.name().as_str(), dev.ifindex()), ("eth%d", 0));
    core.unregister_netdev(&mut held, &dev);
    assert_eq!(take(&trace), ["nb PostInit eth0"]);

    let mut init = NetdevInit::ethernet(Arc::clone(core.init_net()), [2, 0, 0, 0, 0, 1]);
    init.name = "bad".to_owned();
    let dev = Netdev::new(init);
    assert_eq!(core.register_netdev(&mut held, &dev), Err(Errno::PERM));
    assert_eq!(
        take(&trace),
        [
            "nb PostInit bad",
            "nb Register bad",
            "nb Unregister bad",
            "nb PreUninit bad"
        ]
    );
    assert_eq!(core.register_netdev(&mut held, &dev), Err(Errno::BUSY));
    assert!(
        core.rtnl_lock(&mut held)
            .devices(core.init_net())
            .is_empty()
    );
}

#[test]
fn what_others_do_to_the_real_device_is_told() {
    let (core, namespaces) = machine();
    let trace = Trace::default();
    let mut held = Held::root();
    let n1 = core.get_net(&mut held, namespaces.add("n1")).unwrap();
    let dev = ethernet(&core, core.init_net(), "eth%d");
    let init = core.init_net().id();
    let block = recorder("nb", &trace);
    core.register_netdevice_notifier(&mut held, &block).unwrap();
    take(&trace);

    let mut link = LinkState {
        name: "eth0".to_owned(),
        up: true,
        mac: None,
        mtu: None,
    };
    core.link_changed(&mut held, init, dev.ifindex(), &link);
    core.link_changed(&mut held, init, dev.ifindex(), &link);
    core.link_changed(&mut held, init, 99, &link);
    assert_eq!(take(&trace), ["nb PreUp eth0", "nb Up eth0"]);

    link.name = "ens9np0".to_owned();
    link.mac = Some([2, 0, 0, 0, 0, 9]);
    link.mtu = Some(9000);
    core.link_changed(&mut held, init, dev.ifindex(), &link);
    assert_eq!(
        take(&trace),
        [
            "nb ChangeName ens9np0",
            "nb ChangeAddr ens9np0",
            "nb ChangeMtu ens9np0"
        ]
    );
    assert_eq!((dev.mac(), dev.mtu()), ([2, 0, 0, 0, 0, 9], 9000));
    assert_eq!(
        core.klog().text(),
        "[    0.000000] ens9np0: renamed from eth0 (while UP)\n"
    );

    core.set_carrier(&dev, false);
    core.drivers().system_wq().flush();
    core.set_carrier(&dev, false);
    core.drivers().system_wq().flush();
    assert_eq!(take(&trace), ["nb Change ens9np0"]);

    core.link_moved(&mut held, init, dev.ifindex(), n1.net(), "x0", 7);
    assert_eq!(
        take(&trace),
        [
            "nb GoingDown ens9np0",
            "nb Down ens9np0",
            "nb Unregister ens9np0",
            "nb Register x0"
        ]
    );
    assert_eq!((dev.net(), dev.ifindex()), (Arc::clone(n1.net()), 7));

    // Removed by hand: gone from its namespace, until its driver lets it go.
    core.link_gone(&mut held, n1.net().id(), 7);
    assert_eq!(take(&trace), ["nb Unregister x0"]);
    assert!(core.rtnl_lock(&mut held).devices(n1.net()).is_empty());
    core.unregister_netdev(&mut held, &dev);
    assert_eq!(take(&trace), ["nb PreUninit x0"]);
    assert!(lockdep::reports().is_empty());
}
