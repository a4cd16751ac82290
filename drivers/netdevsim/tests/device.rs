//! What users see of a device, on each kernel that the machine can show. The expected lines are those of real kernels.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use driver_testkit::client::Value;
use driver_testkit::{Client, Machine, refused};
use lockdep::order::Held;
use net_core::NetId;
use netdevsim::Config;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::{DEVICE, Host, host};

/// What has been heard of the device, its ports and its parameters.
fn heard(monitor: &Client) -> Vec<String> {
    let mut lines = monitor.heard();
    lines.retain(|line| {
        ["[dev", "[port", "[param", "[region"]
            .iter()
            .any(|kind| line.starts_with(kind))
    });
    lines
}

const RUNTIME: u8 = 0;
const DRIVERINIT: u8 = 1;
const PERMANENT: u8 = 2;

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }

    fn add(&self, id: u32, ports: u32, net: NetId) -> Result<(), Errno> {
        let net = self.machine.net_core.net(net).unwrap();
        let added = self.module.new_device(&mut Held::root(), id, ports, 1, net);
        added.map(|_| ())
    }

    fn del(&self, id: u32) -> Result<(), Errno> {
        self.module.del_device(&mut Held::root(), id)
    }
}

fn port(index: u32, netdev: &str) -> String {
    let number = index + 1;
    format!(
        "{DEVICE}/{index}: type eth netdev {netdev} flavour physical port {number} splittable false"
    )
}

#[test]
fn devices_and_ports_are_shown() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 4);
        let client = host.client();
        let index = if kernel.has(KernelVersion::V7_2) {
            ": index 0"
        } else {
            ""
        };
        assert_eq!(client.dev_show(), [format!("{DEVICE}{index}")]);
        let ports: Vec<_> = (0..4)
            .map(|index| port(index, &format!("eth{index}")))
            .collect();
        assert_eq!(client.port_show(), ports);
        assert_eq!(
            client.dev_info(DEVICE),
            [
                DEVICE,
                "driver netdevsim",
                "running fw.mgmt 10.20.30",
                "stored fw.mgmt 10.20.30"
            ]
        );
    }
}

#[test]
fn udev_names_say_device_and_port() {
    let host = Host::new(
        Machine::new(KernelVersion::DEFAULT),
        Config { udev_names: true },
    );
    host.add(10, 2, host.machine.init_net()).unwrap();
    assert_eq!(
        host.client().port_show(),
        [port(0, "eni10np1"), port(1, "eni10np2")]
    );
}

#[test]
fn parameters_are_the_kernels() {
    let host = host(KernelVersion::V7_2, 1);
    assert_eq!(
        host.client().param_show(),
        [
            "name max_macs type generic cmode driverinit value 32 default 32",
            "name test1 type driver-specific cmode driverinit value true default true",
            "name test2 type driver-specific cmode runtime value 1234 default 1234",
        ]
    );
    for kernel in [KernelVersion::V6_1, KernelVersion::V6_12] {
        assert_eq!(
            self::host(kernel, 1).client().param_show(),
            [
                "name max_macs type generic cmode driverinit value 32",
                "name test1 type driver-specific cmode driverinit value true",
            ]
        );
    }
}

#[test]
fn driverinit_values_take_effect_at_the_next_reload() {
    let host = host(KernelVersion::V7_2, 4);
    let client = host.client();
    client
        .param_set(DEVICE, "max_macs", Value::U32(33), DRIVERINIT)
        .unwrap();
    client
        .param_set(DEVICE, "test1", Value::Bool(false), DRIVERINIT)
        .unwrap();
    let shown = client.param(DEVICE, "max_macs");
    assert_eq!(
        shown,
        "name max_macs type generic cmode driverinit value 33 default 32"
    );
    let nsim = host.nsim();
    let in_effect = || (nsim.debugfs().max_macs.get(), nsim.debugfs().test1.get());
    assert_eq!(in_effect(), (32, true));
    client.reload(DEVICE, None).unwrap();
    assert_eq!(in_effect(), (33, false));

    client
        .param_set(DEVICE, "max_macs", Value::Default, DRIVERINIT)
        .unwrap();
    client.reload(DEVICE, None).unwrap();
    assert_eq!(in_effect(), (32, false));
    for cmode in [RUNTIME, PERMANENT] {
        let set = client.param_set(DEVICE, "max_macs", Value::U32(16), cmode);
        assert_eq!(set, refused(Errno::OPNOTSUPP, ""));
    }
    let unknown = client.param_set(DEVICE, "nope", Value::U32(1), DRIVERINIT);
    assert_eq!(unknown, refused(Errno::INVAL, ""));
}

#[test]
fn the_runtime_parameter_acts_at_once_and_survives_a_reload() {
    let host = host(KernelVersion::V7_2, 1);
    let client = host.client();
    client
        .param_set(DEVICE, "test2", Value::U32(5), RUNTIME)
        .unwrap();
    assert_eq!(host.nsim().debugfs().test2.get(), 5);
    client.reload(DEVICE, None).unwrap();
    let shown = client.param(DEVICE, "test2");
    assert_eq!(
        shown,
        "name test2 type driver-specific cmode runtime value 5 default 1234"
    );
    client
        .param_set(DEVICE, "test2", Value::Default, RUNTIME)
        .unwrap();
    assert_eq!(host.nsim().debugfs().test2.get(), 1234);
}

#[test]
fn a_device_can_be_told_to_refuse_a_reload_and_to_fail_it() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 4);
        let client = host.client();
        host.nsim().debugfs().dont_allow_reload.set(true);
        let forbidden = "netdevsim: User forbid the reload for testing purposes";
        assert_eq!(
            client.reload(DEVICE, None),
            refused(Errno::OPNOTSUPP, forbidden)
        );
        assert_eq!(client.port_show().len(), 4, "nothing has changed");
        host.nsim().debugfs().dont_allow_reload.set(false);

        host.nsim().debugfs().fail_reload.set(true);
        let failed = "netdevsim: User setup the reload to fail for testing purposes";
        for _ in 0..2 {
            assert_eq!(client.reload(DEVICE, None), refused(Errno::INVAL, failed));
            assert!(client.dev_show()[0].ends_with("reload_failed true"));
            assert!(client.port_show().is_empty());
        }
        assert_eq!(
            client.dev_info(DEVICE)[1],
            "driver netdevsim",
            "it still answers"
        );
        host.nsim().debugfs().fail_reload.set(false);
        client.reload(DEVICE, None).unwrap();
        assert_eq!(client.port_show().len(), 4);
        assert_eq!(client.reload_stats(DEVICE), ["driver_reinit unspecified 1"]);
    }
}

#[test]
fn the_eswitch_has_two_modes() {
    let host = host(KernelVersion::DEFAULT, 1);
    let client = host.client();
    let set = |mode| {
        let set = client.request(cmd::ESWITCH_SET, DEVICE, |w| {
            w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        });
        set.map(|_| ())
    };
    let mode = || {
        let shown = client.request(cmd::ESWITCH_GET, DEVICE, |_| ()).unwrap();
        let number = attr::ESWITCH_MODE.number();
        let mode = shown[0].attrs().find(|found| found.number() == number);
        mode.unwrap().u16().unwrap()
    };
    assert_eq!(mode(), 0);
    set(1).unwrap();
    client.reload(DEVICE, None).unwrap();
    assert_eq!(mode(), 1, "a reload leaves it alone");
    assert_eq!(set(2), refused(Errno::INVAL, ""));
    set(0).unwrap();
    assert_eq!(mode(), 0);
}

#[test]
fn a_failed_device_can_be_removed() {
    let host = host(KernelVersion::DEFAULT, 2);
    host.nsim().debugfs().fail_reload.set(true);
    host.client().reload(DEVICE, None).unwrap_err();
    host.del(10).unwrap();
    assert!(host.client().dev_show().is_empty());
}

#[test]
fn the_only_action_is_driver_reinit() {
    let host = host(KernelVersion::DEFAULT, 1);
    let client = host.client();
    assert_eq!(client.reload_action(DEVICE, 1, false), Ok(1 << 1));
    assert_eq!(
        client.reload_action(DEVICE, 2, false),
        refused(
            Errno::OPNOTSUPP,
            "Requested reload action is not supported by the driver"
        )
    );
    let user = host.client().unprivileged();
    assert_eq!(user.reload(DEVICE, None), refused(Errno::PERM, ""));
}

#[test]
fn a_device_moves_with_its_ports_and_comes_home_when_its_namespace_ends() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 2);
        let init = host.client();
        let ns1 = host.machine.netns_add("ns1");
        let ns2 = host.machine.netns_add("ns2");
        init.reload(DEVICE, Some(ns1)).unwrap();
        assert!(init.dev_show().is_empty() && init.port_show().is_empty());
        let there = host.machine.client(ns1);
        assert_eq!(there.port_show(), [port(0, "eth0"), port(1, "eth1")]);
        assert_eq!(init.reload(DEVICE, None), refused(Errno::NODEV, ""));
        there.reload(DEVICE, Some(ns2)).unwrap();
        assert_eq!(host.machine.client(ns2).port_show().len(), 2);
        host.machine.netns_del("ns1");
        host.machine.netns_del("ns2");
        assert_eq!(init.port_show(), [port(0, "eth0"), port(1, "eth1")]);
        assert_eq!(init.reload_stats(DEVICE), ["driver_reinit unspecified 3"]);
    }
    assert!(lockdep::reports().is_empty());
}

#[test]
fn a_device_belongs_to_the_namespace_of_its_maker() {
    let host = host(KernelVersion::DEFAULT, 1);
    let ns3 = host.machine.netns_add("ns3");
    host.add(55, 2, ns3).unwrap();
    assert_eq!(
        host.machine.client(ns3).dev_show(),
        ["netdevsim/netdevsim55: index 1"]
    );
    host.machine.netns_del("ns3");
    assert_eq!(
        host.client().dev_show(),
        [
            "netdevsim/netdevsim10: index 0",
            "netdevsim/netdevsim55: index 1"
        ]
    );
}

#[test]
fn ids_are_taken_once_and_given_back() {
    let host = host(KernelVersion::DEFAULT, 1);
    let net = host.machine.init_net();
    assert_eq!(host.add(10, 1, net), Err(Errno::NOSPC));
    assert_eq!(host.add(0x8000_0000, 1, net), Err(Errno::INVAL));
    host.add(0x7fff_ffff, 0, net).unwrap();
    assert_eq!(host.del(99), Err(Errno::NOENT));
    assert_eq!(host.del(0xffff_ffff), Err(Errno::INVAL));
    host.del(0x7fff_ffff).unwrap();
    assert_eq!(host.del(0x7fff_ffff), Err(Errno::NOENT));
    // Indexes are not used again at once.
    host.add(11, 0, net).unwrap();
    assert_eq!(
        host.client().dev_show()[1],
        "netdevsim/netdevsim11: index 2"
    );
}

#[test]
fn users_see_a_device_appear_and_go_piece_by_piece() {
    let host = Host::new(Machine::new(KernelVersion::V7_2), Config::default());
    let monitor = host.client().monitor();
    host.add(10, 2, host.machine.init_net()).unwrap();
    let line = |index: u32, state: &str| {
        let number = index + 1;
        format!(
            "[port,new] {DEVICE}/{index}: {state} flavour physical port {number} splittable false"
        )
    };
    let param = |what: &str, rest: &str| format!("[param,{what}] {DEVICE}: name {rest}");
    let test2 = "test2 type driver-specific cmode runtime value 1234 default 1234";
    let max_macs = "max_macs type generic cmode driverinit value 32 default 32";
    let test1 = "test1 type driver-specific cmode driverinit value true default true";
    assert_eq!(
        heard(&monitor),
        [
            format!("[dev,new] {DEVICE}: index 0"),
            param("new", test2),
            param("new", max_macs),
            param("new", test1),
            format!("[region,new] {DEVICE}/dummy: size 32768"),
            line(0, "type notset"),
            line(0, "type eth"),
            line(0, "type eth netdev eth0"),
            line(1, "type notset"),
            line(1, "type eth"),
            line(1, "type eth netdev eth1"),
        ]
    );

    let del = |index: u32| line(index, "type notset").replace("new", "del");
    host.del(10).unwrap();
    assert_eq!(
        heard(&monitor),
        [
            line(1, "type eth"),
            line(1, "type notset"),
            del(1),
            line(0, "type eth"),
            line(0, "type notset"),
            del(0),
            format!("[region,del] {DEVICE}/dummy: size 32768"),
            param("del", max_macs),
            param("del", test1),
            param("del", test2),
            format!("[dev,del] {DEVICE}: index 0"),
        ]
    );
}

#[test]
fn both_namespaces_hear_of_a_move() {
    let host = host(KernelVersion::V7_2, 1);
    let netns = host.machine.netns_add("nsm");
    let here = host.client().monitor();
    let there = host.machine.client(netns).monitor();
    host.client().reload(DEVICE, Some(netns)).unwrap();
    let what = |lines: Vec<String>| -> Vec<String> {
        let first_words = |line: &String| line.split(' ').take(1).collect();
        lines.iter().map(first_words).collect()
    };
    assert_eq!(
        what(heard(&here)),
        [
            "[port,new]",
            "[port,new]",
            "[port,del]",
            "[region,del]",
            "[param,del]",
            "[param,del]",
            "[param,del]",
            "[dev,del]"
        ]
    );
    assert_eq!(
        what(heard(&there)),
        [
            "[dev,new]",
            "[param,new]",
            "[param,new]",
            "[param,new]",
            "[region,new]",
            "[port,new]",
            "[port,new]",
            "[port,new]",
            "[dev,new]"
        ]
    );
}

#[test]
fn before_6_3_a_device_appears_whole() {
    let host = Host::new(Machine::new(KernelVersion::V6_1), Config::default());
    let monitor = host.client().monitor();
    host.add(10, 1, host.machine.init_net()).unwrap();
    let port = port(0, "eth0");
    assert_eq!(
        heard(&monitor),
        [
            format!("[dev,new] {DEVICE}"),
            format!("[port,new] {port}"),
            format!("[region,new] {DEVICE}/dummy: size 32768"),
            format!("[param,new] {DEVICE}: name max_macs type generic cmode driverinit value 32"),
            format!(
                "[param,new] {DEVICE}: name test1 type driver-specific cmode driverinit value true"
            ),
        ]
    );
}
