//! Everything at once, with today's locking: reloads, moves between namespaces, namespaces that end, drivers unbound from
//! functions and parts, parameters. At the end nothing has been reported, nothing is left, and all is as it was. In a
//! process of its own, as what the lock validator has learnt is the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::thread;

use driver_testkit::Machine;
use driver_testkit::client::Value;
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::KernelVersion;

/// A card with one physical function.
fn single_port() -> Profile {
    let mut profile = Profile::connectx_7();
    profile.physical_functions = 1;
    profile
}

const FUNCTIONS: [&str; 2] = ["0000:00:09.0", "0000:00:09.1"];
const ROUNDS: usize = 30;

fn handle(function: &str) -> String {
    format!("pci/{function}")
}

/// Moves a function into a namespace that is then deleted; the function may be anywhere, or nowhere, at any time.
fn move_about(machine: &Arc<Machine>, function: &str) {
    let init = machine.client(machine.init_net());
    for round in 0..ROUNDS {
        let name = format!("{function}-{round}");
        let netns = machine.netns_add(&name);
        // Another thread may just have unbound it.
        _ = init.reload(&handle(function), Some(netns));
        machine.netns_del(&name);
    }
}

fn reload(machine: &Arc<Machine>, function: &str) {
    let init = machine.client(machine.init_net());
    for round in 0..ROUNDS {
        let enable = Value::Bool(round % 2 == 0);
        _ = init.param_set(&handle(function), "enable_rdma", enable, 1);
        _ = init.reload(&handle(function), None);
        _ = init.reload_action(&handle(function), 2, false);
        _ = init.port_show();
        _ = init.dump(netlink::cmd::INFO_GET);
    }
}

fn rebind(machine: &Arc<Machine>, bus: &str, device: &str, driver: &str) {
    let bus = machine.driver_core.bus(bus).unwrap();
    for _ in 0..ROUNDS {
        // It may be gone, unbound or bound already: whoever comes second is told so.
        _ = bus.unbind(&mut Held::root(), device, driver);
        _ = bus.bind(&mut Held::root(), device, driver);
    }
}

#[test]
fn everything_at_once_leaves_no_report_and_nothing_behind() {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config::default(),
    );
    let mut held = Held::root();
    module.load(&mut held).unwrap();
    let mut profile = single_port();
    profile.physical_functions = 2;
    module
        .plug(&mut held, FUNCTIONS[0].parse().unwrap(), profile)
        .unwrap();

    thread::scope(|scope| {
        let machine = &machine;
        for function in FUNCTIONS {
            scope.spawn(|| move_about(machine, function));
            scope.spawn(|| reload(machine, function));
        }
        scope.spawn(|| rebind(machine, "pci", FUNCTIONS[1], "mlx5_core"));
        scope.spawn(|| rebind(machine, "auxiliary", "mlx5_core.eth.0", "mlx5_core.eth"));
        scope.spawn(|| rebind(machine, "auxiliary", "mlx5_core.rdma.0", "mlx5_ib.rdma"));
    });

    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");

    // A reload with all parts enabled brings everything back.
    let init = machine.client(machine.init_net());
    for function in FUNCTIONS {
        let handle = handle(function);
        init.param_set(&handle, "enable_rdma", Value::Bool(true), 1)
            .unwrap();
        init.reload(&handle, None).unwrap();
    }
    let ports = init.port_show();
    assert_eq!(ports.len(), 2);
    assert!(
        ports.iter().all(|port| port.contains(" netdev eth")),
        "{ports:#?}"
    );
    assert_eq!(machine.driver_core.auxiliary().devices().len(), 6);
    let netdevs = |machine: &Machine| {
        let mut held = Held::root();
        let rtnl = machine.net_core.rtnl_lock(&mut held);
        let nets = machine.net_core.nets();
        nets.iter()
            .map(|net| rtnl.devices(net).len())
            .sum::<usize>()
    };
    assert_eq!(netdevs(&machine), 2);

    module.unload(&mut held).unwrap();
    assert!(init.dev_show().is_empty());
    assert!(machine.driver_core.auxiliary().devices().is_empty());
    assert_eq!(netdevs(&machine), 0);
    assert_eq!(machine.net_core.nets().len(), 1);
    assert_eq!(machine.devlink.warnings(), 0, "{:#?}", machine.log());
}
