//! The origin's scenario, again and again, while four other threads reload, change the eswitch's mode, make and remove
//! sub-functions, read health, unbind the driver and remove the function: no lock report with today's locking, and nothing is
//! left. In a process of its own, as what the lock validator has learnt is the process's.
//!
//! A thousand rounds, or as many as `MLX5_ROUNDS` says.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use driver_core::pci;
use driver_testkit::Machine;
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::attr::{self, port_fn};
use netlink::{KernelVersion, cmd};

const PF0: &str = "pci/0000:00:09.0";
const PF1: &str = "pci/0000:00:09.1";
const ROUNDS: usize = 1000;

struct Test {
    machine: Arc<Machine>,
    module: Arc<Module>,
    over: AtomicBool,
}

impl Test {
    /// Does it until the others are done. Whatever is refused, because another thread was first, is fine.
    fn again_and_again(&self, mut act: impl FnMut(&driver_testkit::Client, u32)) {
        let client = self.machine.client(self.machine.init_net());
        let mut round = 0;
        while !self.over.load(Ordering::Relaxed) {
            act(&client, round);
            round += 1;
        }
    }

    fn mode(client: &driver_testkit::Client, mode: u16) {
        _ = client.request(cmd::ESWITCH_SET, PF1, |w| {
            w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        });
    }

    fn reload_and_modes(&self) {
        self.again_and_again(|client, round| {
            Self::mode(client, (round % 2) as u16);
            _ = client.reload(PF1, None);
            Self::mode(client, 1);
        });
    }

    fn sub_functions(&self) {
        self.again_and_again(|client, round| {
            let added = client.request(cmd::PORT_NEW, PF1, |w| {
                w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
                w.put_u16(attr::PORT_PCI_PF_NUMBER, 1).unwrap();
                w.put_u32(attr::PORT_PCI_SF_NUMBER, round).unwrap();
            });
            let Ok(added) = added else { return };
            let port = driver_testkit::text::port(&added[0]);
            let handle = port.split(':').collect::<Vec<_>>()[..3].join(":");
            _ = client.request(cmd::PORT_SET, &handle, |w| {
                w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                    w.put_u8(port_fn::STATE, 1)
                })
                .unwrap();
            });
            if round % 3 != 0 {
                _ = client.request(cmd::PORT_DEL, &handle, |_| ());
            }
        });
    }

    fn health(&self) {
        self.again_and_again(|client, _| {
            for name in ["fw", "fw_fatal", "vnic"] {
                _ = client.request(cmd::HEALTH_REPORTER_DIAGNOSE, PF1, |w| {
                    w.put_str(attr::HEALTH_REPORTER_NAME, name).unwrap();
                });
            }
            _ = client.dump(cmd::HEALTH_REPORTER_GET);
            _ = client.dump(cmd::PORT_GET);
            _ = client.dump(cmd::GET);
        });
    }

    fn unbind(&self) {
        let bus = self.machine.driver_core.pci();
        let name = "0000:00:09.1";
        self.again_and_again(|_, round| {
            let mut held = Held::root();
            _ = bus.unbind(&mut held, name, "mlx5_core");
            _ = bus.bind(&mut held, name, "mlx5_core");
            if let Some(pf) = bus.find_device(name) {
                _ = pci::sriov::numvfs_store(&mut held, &pf, 2);
                if round % 4 == 3 {
                    pci::remove(&bus, &mut held, &pf);
                    pci::rescan(&bus, &mut held);
                } else {
                    _ = pci::sriov::numvfs_store(&mut held, &pf, 0);
                }
            }
            thread::sleep(Duration::from_millis(2));
        });
    }
}

#[test]
fn the_origins_scenario_in_the_middle_of_everything() {
    let rounds = std::env::var("MLX5_ROUNDS").ok();
    let rounds = rounds.map_or(ROUNDS, |rounds| rounds.parse().unwrap());
    let machine = Machine::new(KernelVersion::DEFAULT);
    let module = support::plug(&machine, Config::default(), Profile::connectx_7());
    let test = Test {
        machine: Arc::clone(&machine),
        module: Arc::clone(&module),
        over: AtomicBool::new(false),
    };
    let init = machine.client(machine.init_net());
    thread::scope(|scope| {
        scope.spawn(|| test.reload_and_modes());
        scope.spawn(|| test.sub_functions());
        scope.spawn(|| test.health());
        scope.spawn(|| test.unbind());
        for round in 0..rounds {
            let name = format!("n{round}");
            let netns = machine.netns_add(&name);
            init.reload(PF0, Some(netns)).unwrap();
            machine.netns_del(&name);
            assert!(
                init.dev_show().iter().any(|line| line.starts_with(PF0)),
                "round {round}: the device is not back"
            );
        }
        test.over.store(true, Ordering::Relaxed);
    });
    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");

    let mut held = Held::root();
    test.module.unload(&mut held).unwrap();
    let start = Instant::now();
    // What tells of changes of nested instances may still run.
    while !init.dev_show().is_empty() {
        assert!(
            start.elapsed() < Duration::from_secs(60),
            "{:#?}",
            init.dev_show()
        );
        thread::sleep(Duration::from_millis(1));
    }
    assert!(machine.driver_core.auxiliary().devices().is_empty());
    assert_eq!(machine.driver_core.pci().devices().len(), 2);
    let rtnl = machine.net_core.rtnl_lock(&mut held);
    let netdevs: usize = machine
        .net_core
        .nets()
        .iter()
        .map(|net| rtnl.devices(net).len())
        .sum();
    assert_eq!(netdevs, 0);
    drop(rtnl);
    assert_eq!(machine.net_core.nets().len(), 1);
    assert_eq!(machine.devlink.warnings(), 0, "{:#?}", machine.log());
}
