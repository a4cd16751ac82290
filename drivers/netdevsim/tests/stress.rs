//! Devices made, reloaded, moved and removed from many threads at once: nothing is reported and nothing is left. In a
//! process of its own, as what the lock validator has learnt is the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::thread;

use driver_testkit::Machine;
use lockdep::order::Held;
use netdevsim::{Config, Netdevsim};
use netlink::KernelVersion;

const THREADS: u32 = 8;
const DEVICES: u32 = 5;
const ROUNDS: u32 = 6;

fn one_shell(machine: &Arc<Machine>, module: &Netdevsim, shell: u32) {
    let init = machine.client(machine.init_net());
    for round in 0..ROUNDS {
        let name = format!("ns{shell}-{round}");
        let netns = machine.netns_add(&name);
        let ids = shell * DEVICES..(shell + 1) * DEVICES;
        for id in ids.clone() {
            let net = Arc::clone(machine.net_core.init_net());
            module.new_device(&mut Held::root(), id, 2, 1, net).unwrap();
            let handle = format!("netdevsim/netdevsim{id}");
            init.reload(&handle, Some(netns)).unwrap();
        }
        assert_eq!(machine.client(netns).port_show().len() as u32, 2 * DEVICES);
        machine.netns_del(&name);
        for id in ids {
            module.del_device(&mut Held::root(), id).unwrap();
        }
    }
}

#[test]
fn many_shells_at_once_leave_nothing_behind() {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let module = Netdevsim::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config::default(),
    );
    module.load(&mut Held::root()).unwrap();
    thread::scope(|scope| {
        for shell in 0..THREADS {
            let (machine, module) = (&machine, &module);
            scope.spawn(move || one_shell(machine, module, shell));
        }
    });
    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(module.bus().devices().is_empty());
    let mut held = Held::root();
    let init_net = Arc::clone(machine.net_core.init_net());
    assert!(
        machine
            .net_core
            .rtnl_lock(&mut held)
            .devices(&init_net)
            .is_empty()
    );
    assert_eq!(machine.net_core.nets().len(), 1);
    assert_eq!(machine.devlink.warnings(), 0, "{:#?}", machine.log());
}
