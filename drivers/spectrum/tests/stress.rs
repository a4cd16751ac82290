//! Everything that users can do to a switch, from many threads at once, while it is reloaded, moved and pulled out: nothing is
//! reported and nothing is left. In a process of its own, as what the lock validator has learnt is the process's.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use driver_testkit::Machine;
use lockdep::order::Held;
use netlink::{KernelVersion, attr, cmd};
use spectrum::{Config, Module};

const DEVICE: &str = "pci/0000:01:00.0";
const USERS: u64 = 5;
/// Long enough for line cards to be provisioned, to work, and to be taken back.
const TIME: Duration = Duration::from_secs(4);

/// Numbers that are the same at each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Asks for something; whether it can be done now does not matter.
fn ask(client: &driver_testkit::Client, random: &mut Random) {
    let ports = [1, 2, 5, 9, 10, 17, 25, 33, 161];
    let port = ports[random.below(ports.len() as u64) as usize];
    let port = format!("{DEVICE}/{port}");
    let types = ["", "16x100G", "4x400G"];
    let (slot, ty) = (1 + random.below(8) as u32, types[random.below(3) as usize]);
    let count = 1 << random.below(4);
    let tables = ["mlxsw_erif", "mlxsw_host4", "mlxsw_adj"];
    let table = tables[random.below(3) as usize];
    _ = match random.below(11) {
        0 => client.request(cmd::PORT_SPLIT, &port, |w| {
            w.put_u32(attr::PORT_SPLIT_COUNT, count).unwrap();
        }),
        1 => client.request(cmd::PORT_UNSPLIT, &port, |_| ()),
        2 => client.request(cmd::LINECARD_SET, DEVICE, |w| {
            w.put_u32(attr::LINECARD_INDEX, slot).unwrap();
            w.put_str(attr::LINECARD_TYPE, ty).unwrap();
        }),
        3 => client.request(cmd::SB_OCC_SNAPSHOT, DEVICE, |w| {
            w.put_u32(attr::SB_INDEX, 0).unwrap();
        }),
        4 => client.request(cmd::DPIPE_ENTRIES_GET, DEVICE, |w| {
            w.put_str(attr::DPIPE_TABLE_NAME, table).unwrap();
        }),
        5 => client.request(cmd::DPIPE_TABLE_COUNTERS_SET, DEVICE, |w| {
            w.put_str(attr::DPIPE_TABLE_NAME, table).unwrap();
            w.put_u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, (count & 1) as u8)
                .unwrap();
        }),
        6 => client.dump(cmd::SB_TC_POOL_BIND_GET),
        7 => client.dump(cmd::LINECARD_GET),
        8 => client.dump(cmd::PORT_GET),
        9 => client.dump(cmd::INFO_GET),
        _ => client.request(cmd::RESOURCE_DUMP, DEVICE, |_| ()),
    };
}

#[test]
fn users_reloads_moves_and_removals_leave_nothing_behind() {
    let machine = Machine::new(KernelVersion::DEFAULT);
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config { udev_names: true },
    );
    module.load(&mut Held::root()).unwrap();
    let plug = || {
        let address = "0000:01:00.0".parse().unwrap();
        module.plug(&mut Held::root(), address).unwrap()
    };
    let first = plug();
    let end = Instant::now() + TIME;
    thread::scope(|scope| {
        for user in 1..=USERS {
            let machine = &machine;
            scope.spawn(move || {
                let client = machine.client(machine.init_net());
                let mut random = Random(user.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                while Instant::now() < end {
                    ask(&client, &mut random);
                }
            });
        }
        scope.spawn(|| {
            let client = machine.client(machine.init_net());
            for round in 0.. {
                thread::sleep(Duration::from_millis(350));
                if Instant::now() >= end {
                    break;
                }
                // Every other time away, and home again when the namespace dies.
                if round % 2 == 0 {
                    _ = client.reload(DEVICE, None);
                } else {
                    let name = format!("ns{round}");
                    let netns = machine.netns_add(&name);
                    _ = client.reload(DEVICE, Some(netns));
                    thread::sleep(Duration::from_millis(50));
                    machine.netns_del(&name);
                }
            }
        });
        scope.spawn(|| {
            let mut device = first;
            while Instant::now() + Duration::from_millis(1300) < end {
                thread::sleep(Duration::from_millis(1300));
                let pci = machine.driver_core.pci();
                pci.remove_device(&mut Held::root(), &device);
                device = plug();
            }
        });
    });
    module.unload(&mut Held::root()).unwrap();
    let reports = lockdep::reports();
    assert!(reports.is_empty(), "{reports:#?}");
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");
    assert!(machine.driver_core.auxiliary().devices().is_empty());
    assert!(machine.client(machine.init_net()).dev_show().is_empty());
    let mut held = Held::root();
    let init_net = Arc::clone(machine.net_core.init_net());
    let rtnl = machine.net_core.rtnl_lock(&mut held);
    assert!(rtnl.devices(&init_net).is_empty());
    assert_eq!(machine.devlink.warnings(), 0, "{:#?}", machine.log());
}
