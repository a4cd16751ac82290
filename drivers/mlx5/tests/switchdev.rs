//! The eswitch and all that is behind it: virtual functions, representors, sub-functions from `port add` to `port del`, with
//! the driver's own refusals.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_core::pci;
use driver_testkit::client::Value;
use driver_testkit::{Client, Machine, Refusal};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::attr::{self, port_fn};
use netlink::{KernelVersion, cmd};
use rustix::io::Errno;

const PF0: &str = "pci/0000:00:09.0";
const PF1: &str = "pci/0000:00:09.1";

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
}

fn host_with(kernel: KernelVersion, profile: Profile) -> Host {
    let machine = Machine::new(kernel);
    let config = Config {
        udev_names: true,
        ..Config::default()
    };
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        config,
    );
    let mut held = Held::root();
    module.load(&mut held).unwrap();
    let address = "0000:00:09.0".parse().unwrap();
    module.plug(&mut held, address, profile).unwrap();
    Host { machine, module }
}

fn host() -> Host {
    host_with(KernelVersion::V7_2, Profile::connectx_7())
}

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }

    fn vfs(&self, function: &str, count: u16) -> Result<(), Errno> {
        let pf = self.machine.driver_core.pci().find_device(function);
        pci::sriov::numvfs_store(&mut Held::root(), &pf.unwrap(), count)
    }

    fn fault(&self, fault: &str) {
        self.module.faults().add(fault.parse().unwrap());
    }

    fn mode(&self, handle: &str, mode: u16) -> Result<(), Refusal> {
        let done = self.client().request(cmd::ESWITCH_SET, handle, |w| {
            w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        });
        done.map(drop)
    }

    fn port_add(&self, handle: &str, pfnum: u16, sfnum: u32) -> Result<String, Refusal> {
        let reply = self.client().request(cmd::PORT_NEW, handle, |w| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, pfnum).unwrap();
            w.put_u32(attr::PORT_PCI_SF_NUMBER, sfnum).unwrap();
        })?;
        Ok(driver_testkit::text::port(&reply[0]))
    }

    fn port_del(&self, handle: &str) -> Result<(), Refusal> {
        self.client()
            .request(cmd::PORT_DEL, handle, |_| ())
            .map(drop)
    }

    fn state(&self, handle: &str, active: bool) -> Result<(), Refusal> {
        let done = self.client().request(cmd::PORT_SET, handle, |w| {
            w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                w.put_u8(port_fn::STATE, u8::from(active))
            })
            .unwrap();
        });
        done.map(drop)
    }

    fn hw_addr(&self, handle: &str, mac: [u8; 6]) -> Result<(), Refusal> {
        let done = self.client().request(cmd::PORT_SET, handle, |w| {
            w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                w.put_binary(port_fn::HW_ADDR, &mac)
            })
            .unwrap();
        });
        done.map(drop)
    }

    fn port(&self, handle: &str) -> String {
        let ports = self.client().port_show();
        let found = ports.into_iter().find(|port| port.starts_with(handle));
        found.unwrap_or_else(|| panic!("no port {handle}"))
    }

    /// State and opstate of a sub-function, as on the wire.
    fn states(&self, handle: &str) -> Option<(u8, u8)> {
        let port = self.client().request(cmd::PORT_GET, handle, |_| ()).ok()?;
        let function = port[0]
            .attrs()
            .find(|found| found.number() == attr::PORT_FUNCTION.number())?;
        let get = |number| function.nested().find(|found| found.number() == number);
        Some((
            get(port_fn::STATE.number())?.u8()?,
            get(port_fn::OPSTATE.number())?.u8()?,
        ))
    }

    fn has_instance(&self, handle: &str) -> bool {
        let shown = self.client().dev_show();
        shown
            .iter()
            .any(|line| line.starts_with(&format!("{handle}:")))
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{what} does not happen: {:#?}",
                self.machine.log()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        let core = &self.machine.driver_core;
        assert!(core.auxiliary().devices().is_empty());
        let shown = self.client().dev_show();
        assert!(shown.is_empty(), "{shown:?}");
        let mut held = Held::root();
        let rtnl = self.machine.net_core.rtnl_lock(&mut held);
        assert!(rtnl.devices(self.machine.net_core.init_net()).is_empty());
        drop(rtnl);
        assert_eq!(
            self.machine.devlink.warnings(),
            0,
            "{:#?}",
            self.machine.log()
        );
        let reports = lockdep::reports();
        assert!(reports.is_empty(), "{reports:#?}");
    }
}

fn refused<T>(errno: Errno, text: &str) -> Result<T, Refusal> {
    Err(Refusal {
        errno,
        text: text.to_owned(),
    })
}

#[test]
fn functions_are_nested_as_on_a_real_card() {
    let host = host();
    assert_eq!(
        host.client().dev_show(),
        [
            "pci/0000:00:09.0: index 0",
            "devlink_index/1: index 1",
            "auxiliary/mlx5_core.eth.0: index 2",
            "pci/0000:00:09.1: index 3",
            "auxiliary/mlx5_core.eth.1: index 4",
        ]
    );
    assert_eq!(
        host.client().port_show(),
        [
            "auxiliary/mlx5_core.eth.0/65535: type eth netdev enp0s9f0np0 flavour physical port 0 splittable false",
            "auxiliary/mlx5_core.eth.1/131071: type eth netdev enp0s9f1np1 flavour physical port 1 splittable false",
        ]
    );
}

#[test]
fn older_kernels_have_the_port_on_the_function() {
    let host = host_with(KernelVersion::V6_1, Profile::connectx_7());
    assert_eq!(
        host.client().dev_show(),
        ["pci/0000:00:09.0", "pci/0000:00:09.1"]
    );
    assert!(host.client().port_show()[0].starts_with("pci/0000:00:09.0/65535: "));
}

#[test]
fn virtual_functions_are_at_the_addresses_of_a_real_card() {
    let mut profile = Profile::connectx_7();
    profile.total_vfs = 8;
    profile.max_total_vfs = 8;
    let host = host_with(KernelVersion::V7_2, profile);
    host.vfs("0000:00:09.0", 2).unwrap();
    host.vfs("0000:00:09.1", 1).unwrap();
    let pci = host.machine.driver_core.pci();
    let names: Vec<_> = pci.devices().iter().map(|d| d.name().to_owned()).collect();
    assert_eq!(
        names,
        [
            "0000:00:09.0",
            "0000:00:09.1",
            "0000:00:09.2",
            "0000:00:09.3",
            "0000:00:0a.2",
        ]
    );
    let ports = host.client().port_show();
    for port in [
        "auxiliary/mlx5_core.eth.2/131072: type eth netdev enp0s9f0v0 flavour virtual splittable false",
        "auxiliary/mlx5_core.eth.3/196608: type eth netdev enp0s9f0v1 flavour virtual splittable false",
    ] {
        assert!(ports.contains(&port.to_owned()), "{ports:#?}");
    }
    assert!(
        ports.iter().any(|port| port.contains("enp0s9f1v0")),
        "{ports:#?}"
    );
    let bound = pci.find_device("0000:00:09.2").unwrap();
    assert_eq!(bound.driver().unwrap().name(), "mlx5_core");

    assert_eq!(
        host.vfs("0000:00:09.0", 3),
        Err(Errno::BUSY),
        "not without 0 between"
    );
    assert_eq!(host.vfs("0000:00:09.0", 9), Err(Errno::RANGE));
    host.vfs("0000:00:09.0", 0).unwrap();
    assert!(pci.find_device("0000:00:09.2").is_none());
    assert!(pci.find_device("0000:00:0a.2").is_some());
}

#[test]
fn the_log_of_virtual_functions_is_a_real_cards() {
    let host = host();
    let before = host.machine.log().len();
    host.vfs("0000:00:09.1", 1).unwrap();
    let log = host.machine.log();
    let mut log = log[before..].iter();
    for expected in [
        "mlx5_core 0000:00:09.1: E-Switch: Enable: mode(LEGACY), nvfs(1), necvfs(0), active vports(2)",
        "pci 0000:00:0b.2: [15b3:101e] type 00 class 0x020000 PCIe Endpoint",
        "mlx5_core 0000:00:0b.2: enabling device (0000 -> 0002)",
        "mlx5_core 0000:00:0b.2: firmware version: 28.41.1000",
        "mlx5_core 0000:00:0b.2: Rate limit: 127 rates are supported, range: 0Mbps to 97656Mbps",
    ] {
        assert_eq!(log.next().unwrap(), expected);
    }
    assert!(log.next().unwrap().contains("Assigned random MAC address "));
}

#[test]
fn switchdev_makes_representors_and_legacy_takes_them() {
    let host = host();
    host.vfs("0000:00:09.0", 2).unwrap();
    let before = host.machine.log().len();
    host.mode(PF0, 1).unwrap();
    assert_eq!(
        host.port(&format!("{PF0}/1")),
        format!(
            "{PF0}/1: type eth netdev enp0s9f0r0 flavour pcivf pfnum 0 vfnum 0 splittable false"
        )
    );
    let log = host.machine.log()[before..].join("\n");
    let expected = [
        "E-Switch: Disable: mode(LEGACY), nvfs(2), necvfs(0), active vports(3)",
        "E-Switch: Supported tc chains and prios offload",
        "E-Switch: Enable: mode(OFFLOADS), nvfs(2), necvfs(0), active vports(2)",
    ];
    let places: Vec<_> = expected
        .iter()
        .map(|text| log.find(text).unwrap_or_else(|| panic!("{text} in {log}")))
        .collect();
    assert!(places.is_sorted(), "{log}");
    let parts = host.machine.driver_core.auxiliary().devices();
    let has = |name: &str| parts.iter().any(|part| part.name() == name);
    assert!(has("mlx5_core.eth-rep.0") && has("mlx5_core.rdma-rep.0") && !has("mlx5_core.rdma.0"));

    // More, while it is so.
    host.vfs("0000:00:09.0", 0).unwrap();
    host.vfs("0000:00:09.0", 1).unwrap();
    let flavours = |flavour: &str| {
        let ports = host.client().port_show();
        ports.iter().filter(|port| port.contains(flavour)).count()
    };
    assert_eq!(flavours("flavour pcivf"), 1);
    host.mode(PF0, 0).unwrap();
    assert_eq!(flavours("flavour pcivf"), 0);
    assert_eq!(flavours("flavour virtual"), 1, "the virtual function stays");
}

#[test]
fn inactive_is_a_mode_of_the_newest_kernels() {
    let host = host();
    host.mode(PF0, 2).unwrap();
    let mode = || {
        let reply = host
            .client()
            .request(cmd::ESWITCH_GET, PF0, |_| ())
            .unwrap();
        let found = reply[0]
            .attrs()
            .find(|found| found.number() == attr::ESWITCH_MODE.number());
        found.unwrap().u16().unwrap()
    };
    assert_eq!(mode(), 2);
    host.mode(PF0, 1).unwrap();
    assert_eq!(mode(), 1);
    assert!(
        host.machine
            .log()
            .iter()
            .any(|line| line.ends_with("E-Switch: MPFS/FDB active"))
    );
}

#[test]
fn a_sub_function_lives_from_add_to_del() {
    let host = host();
    host.mode(PF0, 1).unwrap();
    let handle = format!("{PF0}/32768");
    let added = host.port_add(PF0, 0, 88).unwrap();
    assert!(
        added.starts_with(&format!("{handle}: type eth netdev "))
            && added.contains("flavour pcisf pfnum 0 sfnum 88"),
        "{added}"
    );
    assert_eq!(host.states(&handle), Some((0, 0)), "inactive, detached");
    host.hw_addr(&handle, [0, 0, 0, 0, 0x88, 0x88]).unwrap();
    host.state(&handle, true).unwrap();
    host.wait("attached", || host.states(&handle) == Some((1, 1)));
    let sf = "auxiliary/mlx5_core.sf.2";
    assert!(host.has_instance(sf));
    let client = host.client();
    assert_eq!(
        client.param(sf, "enable_eth"),
        "name enable_eth type generic cmode driverinit value false default false"
    );
    // Lightly probed: it has no parts before somebody asks for them.
    let set = |name| client.param_set(sf, name, Value::Bool(true), 1).unwrap();
    set("enable_eth");
    set("enable_rdma");
    client.reload(sf, None).unwrap();
    let port = host.port("auxiliary/mlx5_core.eth.2/");
    assert!(
        port.contains("netdev enp0s9f0S88 flavour virtual"),
        "{port}"
    );
    host.wait("attached again", || host.states(&handle) == Some((1, 1)));

    host.state(&handle, false).unwrap();
    host.wait("detached", || host.states(&handle) == Some((0, 0)));
    assert!(!host.has_instance(sf));
    host.state(&handle, true).unwrap();
    host.wait("attached again", || host.states(&handle) == Some((1, 1)));
    host.port_del(&handle).unwrap();
    assert_eq!(host.states(&handle), None);
    host.wait("gone", || !host.has_instance(sf));
    let sfnum = std::cell::Cell::new(89);
    host.wait("the place is free", || {
        sfnum.set(sfnum.get() + 1);
        host.port_add(PF0, 0, sfnum.get())
            .unwrap()
            .starts_with(&handle)
    });
}

#[test]
fn what_was_deactivated_is_attached_until_its_driver_lets_go() {
    let host = host();
    host.mode(PF1, 1).unwrap();
    let handle = format!("{PF1}/98304");
    assert!(host.port_add(PF1, 1, 109).unwrap().starts_with(&handle));
    host.state(&handle, true).unwrap();
    host.wait("attached", || host.states(&handle) == Some((1, 1)));
    host.fault("sf-event-delay=200");
    host.state(&handle, false).unwrap();
    assert_eq!(host.states(&handle), Some((0, 1)), "inactive, attached");
    assert_eq!(
        host.state(&handle, true),
        refused(
            Errno::BUSY,
            "mlx5_core: SF is inactivated but it is still attached"
        )
    );
    host.wait("detached", || host.states(&handle) == Some((0, 0)));
    host.module.faults().clear();
}

#[test]
fn what_cannot_be_is_refused_in_the_drivers_words() {
    let host = host();
    let unsupported = |text| refused::<String>(Errno::OPNOTSUPP, text);
    assert_eq!(
        host.port_add(PF0, 0, 88),
        unsupported("mlx5_core: SF ports are only supported in eswitch switchdev mode.")
    );
    host.vfs("0000:00:09.0", 1).unwrap();
    assert_eq!(
        host.port_add("pci/0000:00:09.2", 0, 88),
        unsupported("mlx5_core: SF ports are not supported.")
    );
    assert_eq!(
        host.mode("pci/0000:00:09.2", 1),
        refused(Errno::OPNOTSUPP, "")
    );
    host.fault("eswitch-busy,times=1");
    assert_eq!(
        host.mode(PF0, 1),
        refused(
            Errno::BUSY,
            "mlx5_core: Can't change mode, E-Switch is busy"
        )
    );
    host.fault("eswitch-fail,times=1");
    assert_eq!(
        host.mode(PF0, 1),
        refused(
            Errno::INVAL,
            "mlx5_core: Failed setting eswitch to offloads"
        )
    );
    host.mode(PF0, 1).unwrap();
    assert_eq!(
        host.port_add(PF0, 1, 88),
        unsupported("mlx5_core: Invalid pfnum supplied")
    );
    host.port_add(PF0, 0, 88).unwrap();
    assert_eq!(
        host.port_add(PF0, 0, 88),
        refused(
            Errno::EXIST,
            "mlx5_core: SF already exist. Choose different sfnum"
        )
    );
    let vf_state = host.state(&format!("{PF0}/1"), true);
    assert_eq!(
        vf_state,
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: State set is not supported for VF"
        )
    );
    let other = |fill: &dyn Fn(&mut netlink::Writer<'_>)| {
        host.client()
            .request(cmd::PORT_NEW, PF0, |w| fill(w))
            .map(drop)
    };
    assert_eq!(
        other(&|w| {
            w.put_u16(attr::PORT_FLAVOUR, 4).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, 0).unwrap();
        }),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: Driver supports only SF port addition"
        )
    );
    assert_eq!(
        other(&|w| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, 0).unwrap();
        }),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: User must provide unique sfnum. Driver does not support auto assignment"
        )
    );
    assert_eq!(
        other(&|w| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, 0).unwrap();
            w.put_u32(attr::PORT_PCI_SF_NUMBER, 3).unwrap();
            w.put_u32(attr::PORT_CONTROLLER_NUMBER, 1).unwrap();
        }),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: External controller is unsupported"
        )
    );
    host.fault("fw-reset,times=2");
    assert_eq!(
        host.mode(PF0, 0),
        refused(
            Errno::BUSY,
            "mlx5_core: Can't change eswitch mode during firmware reset"
        )
    );
    assert_eq!(
        host.client().reload(PF0, None),
        refused(Errno::BUSY, "mlx5_core: Can't reload during firmware reset")
    );
}

#[test]
fn virtual_functions_that_never_come_up_have_no_instance() {
    let host = host();
    host.fault("vf-missing=1");
    host.vfs("0000:00:09.0", 3).unwrap();
    let pci = host.machine.driver_core.pci();
    assert!(pci.find_device("0000:00:09.3").unwrap().driver().is_none());
    assert!(host.has_instance("pci/0000:00:09.2") && !host.has_instance("pci/0000:00:09.3"));
    host.vfs("0000:00:09.0", 0).unwrap();
    host.fault("vf-enable=12,times=1");
    assert_eq!(host.vfs("0000:00:09.0", 1), Err(Errno::NOMEM));
    host.vfs("0000:00:09.0", 1).unwrap();
}

#[test]
fn removing_the_function_with_everything_alive_leaves_nothing() {
    let host = host();
    host.vfs("0000:00:09.0", 4).unwrap();
    host.mode(PF0, 1).unwrap();
    for sfnum in 0..8 {
        host.port_add(PF0, 0, sfnum).unwrap();
        host.state(&format!("{PF0}/{}", 32768 + sfnum), true)
            .unwrap();
    }
    host.wait("all are there", || {
        let shown = host.client().dev_show();
        shown
            .iter()
            .filter(|line| line.contains("mlx5_core.sf."))
            .count()
            == 8
    });
    let pci = host.machine.driver_core.pci();
    pci.unbind(&mut Held::root(), "0000:00:09.0", "mlx5_core")
        .unwrap();
    let shown = host.client().dev_show();
    assert_eq!(
        shown.len(),
        3,
        "the other function, its part, what they share: {shown:?}"
    );
    assert_eq!(host.machine.driver_core.auxiliary().devices().len(), 3);
    assert_eq!(pci.devices().len(), 2);
    pci.bind(&mut Held::root(), "0000:00:09.0", "mlx5_core")
        .unwrap();
    assert!(host.has_instance(PF0));
}

#[test]
fn a_reload_leaves_virtual_functions_and_takes_sub_functions() {
    let host = host();
    host.vfs("0000:00:09.0", 2).unwrap();
    host.mode(PF0, 1).unwrap();
    host.port_add(PF0, 0, 1).unwrap();
    host.state(&format!("{PF0}/32768"), true).unwrap();
    host.wait("attached", || {
        host.states(&format!("{PF0}/32768")) == Some((1, 1))
    });
    host.client().reload(PF0, None).unwrap();
    assert!(host.has_instance("pci/0000:00:09.2") && host.has_instance("pci/0000:00:09.3"));
    assert!(
        !host
            .client()
            .dev_show()
            .iter()
            .any(|line| line.contains(".sf."))
    );
    host.mode(PF0, 1).unwrap();
    let ports = host.client().port_show();
    assert_eq!(
        ports
            .iter()
            .filter(|port| port.contains("flavour pcivf"))
            .count(),
        2
    );
}

#[test]
fn another_hosts_firmware_reset_is_counted_as_remote() {
    let host = host();
    let dev = host.module.function("0000:00:09.0").unwrap();
    host.module.remote_firmware_reset(&dev);
    let loads = || {
        let log = host.machine.log();
        let loaded = |function: &str| {
            let line = format!("mlx5_core {function}: firmware version: ");
            log.iter().filter(|found| found.starts_with(&line)).count()
        };
        (loaded("0000:00:09.0"), loaded("0000:00:09.1"))
    };
    host.wait("both load again", || loads() == (2, 2));
    host.wait("counted", || {
        driver_testkit::text::remote_reload_stats(
            &host.client().request(cmd::GET, PF1, |_| ()).unwrap()[0],
        ) == [
            "driver_reinit unspecified 1",
            "fw_activate unspecified 1",
            "fw_activate no_reset 0",
        ]
    });
}

#[test]
fn a_dpu_sees_its_hosts_functions() {
    let host = host_with(
        KernelVersion::V7_2,
        Profile::by_name("bluefield-3").unwrap(),
    );
    host.mode(PF0, 1).unwrap();
    let ports = host.client().port_show();
    for expected in [
        "auxiliary/mlx5_core.eth.0/262143: type eth netdev enp0s9f0np0 flavour physical port 0 splittable false",
        "pci/0000:00:09.0/196608: type eth netdev enp0s9f0nc1pf0 flavour pcipf controller 1 pfnum 0 splittable false",
    ] {
        assert!(ports.contains(&expected.to_owned()), "{ports:#?}");
    }
    assert_eq!(host.states(&format!("{PF0}/196608")), Some((1, 1)));
}

#[test]
fn traps_are_for_legacy_mode() {
    let host = host();
    let set = |action: u8| {
        let done = host.client().request(cmd::TRAP_SET, PF0, |w| {
            w.put_str(attr::TRAP_NAME, "dmac_filter").unwrap();
            w.put_u8(attr::TRAP_ACTION, action).unwrap();
        });
        done.map(drop)
    };
    const DROP: u8 = 0;
    const TRAP: u8 = 1;
    set(TRAP).unwrap();
    assert_eq!(
        host.mode(PF0, 1),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: Can't change mode while devlink traps are active"
        )
    );
    set(DROP).unwrap();
    host.mode(PF0, 1).unwrap();
    assert_eq!(
        set(TRAP),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: Devlink traps can't be set in switchdev mode"
        )
    );
}

#[test]
fn rates_are_whole_megabits_within_the_links() {
    let host = host();
    host.vfs("0000:00:09.0", 1).unwrap();
    let node = |cmd| {
        let done = host.client().request(cmd, PF0, |w| {
            w.put_str(attr::RATE_NODE_NAME, "group1").unwrap();
        });
        done.map(drop)
    };
    assert_eq!(
        node(cmd::RATE_NEW),
        refused(
            Errno::OPNOTSUPP,
            "mlx5_core: Rate node creation supported only in switchdev mode"
        )
    );
    host.mode(PF0, 1).unwrap();
    node(cmd::RATE_NEW).unwrap();
    let set = |rate: u64| {
        let done = host
            .client()
            .request(cmd::RATE_SET, &format!("{PF0}/1"), |w| {
                w.put_u64(attr::RATE_TX_MAX, rate).unwrap();
                w.put_str(attr::RATE_PARENT_NODE_NAME, "group1").unwrap();
            });
        done.map(drop)
    };
    assert_eq!(
        set(1),
        refused(
            Errno::INVAL,
            "mlx5_core: TX rate value not in link speed units of 1Mbps"
        )
    );
    assert_eq!(
        set(100_001 * 125_000),
        refused(
            Errno::INVAL,
            "mlx5_core: TX rate value exceed link maximum speed"
        )
    );
    set(1000 * 125_000).unwrap();
    assert_eq!(
        host.mode(PF0, 0).unwrap_err().errno,
        Errno::BUSY,
        "nodes exist"
    );
    // A reload takes the nodes with it.
    host.client().reload(PF0, None).unwrap();
    host.mode(PF0, 1).unwrap();
}

#[test]
fn a_fatal_syndrome_is_recovered_from_and_then_not_so_soon_again() {
    let host = host();
    let dev = host.module.function("0000:00:09.0").unwrap();
    let raise = |fatal| {
        host.module
            .raise_syndrome(&mut Held::root(), &dev, 0x8, fatal)
    };
    raise(false).unwrap();
    host.fault("recover-fail,times=2");
    assert_eq!(raise(true), Err(Errno::IO));
    // The last error is not recovered.
    assert_eq!(raise(true), Err(Errno::CANCELED));
    let recover = || {
        let done = host
            .client()
            .request(cmd::HEALTH_REPORTER_RECOVER, PF0, |w| {
                w.put_str(attr::HEALTH_REPORTER_NAME, "fw_fatal").unwrap();
            });
        done.map(drop)
    };
    assert_eq!(recover().unwrap_err().errno, Errno::IO);
    recover().unwrap();
    let log = host.machine.log().join("\n");
    assert!(
        log.contains("synd 0x8: unrecoverable hardware error"),
        "{log}"
    );
    assert!(log.contains("health recovery flow aborted, PCI reads still not working"));
    assert!(log.contains("starting health recovery flow"));
    assert_eq!(host.client().port_show().len(), 2);
}

#[test]
fn sysfs_and_the_bus_are_one() {
    let host = host();
    let pci = host.machine.driver_core.pci();
    let pf = pci.find_device("0000:00:09.0").unwrap();
    let dir = pf.dir().unwrap().clone();
    let file = |name: &str| dir.node().lookup(kernfs::View(0), name);
    let access = |read| kernfs::Access { read, write: !read };
    let read = |name: &str| {
        let open = file(name).unwrap().open(access(true)).unwrap();
        String::from_utf8(open.read(&kernfs::Nobody, 0, 4096).unwrap()).unwrap()
    };
    let write = |name: &str, text: &str| {
        let open = file(name).unwrap().open(access(false)).unwrap();
        open.write(&kernfs::Nobody, 0, text.as_bytes()).map(drop)
    };
    assert_eq!(read("vendor"), "0x15b3\n");
    assert_eq!(read("device"), "0x1021\n");
    assert_eq!(read("sriov_totalvfs"), "16\n");
    assert!(read("uevent").contains("DRIVER=mlx5_core\nPCI_CLASS=20000\nPCI_ID=15B3:1021\n"));
    write("sriov_numvfs", "4\n").unwrap();
    assert_eq!(read("sriov_numvfs"), "4\n");
    assert!(file("virtfn3").is_some() && file("virtfn4").is_none());
    assert!(host.has_instance("pci/0000:00:09.5"));
    assert_eq!(write("sriov_numvfs", "17"), Err(Errno::RANGE));
    assert_eq!(write("sriov_numvfs", "3"), Err(Errno::BUSY));
    write("sriov_numvfs", "0").unwrap();
    assert!(file("virtfn0").is_none() && !host.has_instance("pci/0000:00:09.2"));
    // Virtual functions that no driver gets have no instance.
    write("sriov_drivers_autoprobe", "0").unwrap();
    write("sriov_numvfs", "1").unwrap();
    assert!(!host.has_instance("pci/0000:00:09.2"));
}
