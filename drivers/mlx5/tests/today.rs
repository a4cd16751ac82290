//! The mail's three commands with today's locking: nothing to report. In a process of its own, as what the lock validator
//! has learnt is the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use driver_testkit::{Machine, task};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::KernelVersion;

const DEVICE: &str = "pci/0000:00:09.0";

/// A card with one physical function.
fn single_port() -> Profile {
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    profile
}

#[test]
fn reload_into_a_namespace_and_back_by_its_end() {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config::default(),
    );
    task("modprobe", || {
        let mut held = Held::root();
        let address = "0000:00:09.0".parse().unwrap();
        module.plug(&mut held, address, single_port()).unwrap();
        module.load(&mut held).unwrap();
    });
    let init = machine.client(machine.init_net());
    for round in 0..20 {
        let name = format!("n{round}");
        let netns = machine.netns_add(&name);
        task("devlink", || init.reload(DEVICE, Some(netns)).unwrap());
        let here = init.dev_show();
        assert!(
            here.iter().all(|line| !line.contains("0000:00:09.0")),
            "{here:?}"
        );
        assert_eq!(machine.client(netns).port_show().len(), 1);
        machine.netns_del(&name);
        assert_eq!(init.port_show().len(), 1, "back in the first namespace");
    }
    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(lockdep::order::escapes().is_empty());
    // Before the instance goes, and its class with it.
    let learnt = lockdep::graph();
    // Which of the instances with the same class name gets a number behind it does not matter.
    fn class(name: &str) -> &str {
        name.split('#').next().unwrap_or(name)
    }
    for (held, taken) in [
        ("pernet_ops_rwsem", "&devlink->lock"),
        ("&devlink->lock", "&dev->intf_state_mutex"),
        ("&dev->intf_state_mutex", "&comp->sem"),
        ("&comp->sem", "rtnl_mutex"),
    ] {
        assert!(
            learnt
                .dependencies()
                .any(|(first, second)| (class(first), class(second)) == (held, taken)),
            "{held} --> {taken} was not learnt"
        );
    }
    task("rmmod", || module.unload(&mut Held::root()).unwrap());
    assert_eq!(machine.devlink.warnings(), 0);
}
