//! Two ports as one switch: `esw_multiport`, its conditions, and what shows of it.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;

use driver_testkit::client::{Answer, Value};
use driver_testkit::{Client, Machine, client::refused};
use kernfs::{Access, Nobody, View};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

const PF0: &str = "pci/0000:00:09.0";
const PF1: &str = "pci/0000:00:09.1";
/// `DEVLINK_PARAM_CMODE_*`
const RUNTIME: u8 = 0;
const DRIVERINIT: u8 = 1;
const LEGACY: u16 = 0;
const SWITCHDEV: u16 = 1;

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
}

impl Host {
    fn new(kernel: KernelVersion) -> Self {
        let machine = Machine::new(kernel);
        let module = support::plug(&machine, Config::default(), Profile::connectx_7());
        Host { machine, module }
    }

    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }

    fn mode(&self, handle: &str, mode: u16) {
        let set = |w: &mut netlink::Writer<'_>| w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        self.client()
            .request(cmd::ESWITCH_SET, handle, set)
            .unwrap();
    }

    fn multiport(&self, handle: &str, on: bool) -> Answer<()> {
        let value = Value::Bool(on);
        self.client()
            .param_set(handle, "esw_multiport", value, RUNTIME)
    }

    fn ib(&self) -> Vec<(String, u32)> {
        let devices = self.module.rdma().devices();
        devices
            .iter()
            .map(|device| (device.name(), device.ops().ports()))
            .collect()
    }

    /// A file of PF0's `lag/`.
    fn file(&self, name: &str) -> Result<String, Errno> {
        let lag = self
            .machine
            .driver_core
            .debugfs()
            .dir("mlx5")
            .and_then(|mlx5| mlx5.dir("0000:00:09.0"))
            .and_then(|function| function.dir("lag"))
            .unwrap();
        let file = lag.node().lookup(View(0), name).unwrap();
        let read = Access {
            read: true,
            write: false,
        };
        let text = file.open(read)?.read(&Nobody, 0, 4096)?;
        Ok(String::from_utf8(text).unwrap())
    }
}

fn names(devices: &[(&str, u32)]) -> Vec<(String, u32)> {
    let own = |&(name, ports): &(&str, u32)| (name.to_owned(), ports);
    devices.iter().map(own).collect()
}

#[test]
fn two_switches_become_one_and_two_again() {
    lockdep::set_handler(|_| ());
    let host = Host::new(KernelVersion::V6_12);
    assert_eq!(host.ib(), names(&[("mlx5_0", 1), ("mlx5_1", 1)]));
    // Both have to be in switchdev mode, and have to mark their packets.
    assert_eq!(host.multiport(PF0, true), refused(Errno::OPNOTSUPP, ""));
    host.mode(PF0, SWITCHDEV);
    assert_eq!(host.multiport(PF0, true), refused(Errno::OPNOTSUPP, ""));
    let metadata = |on| {
        let client = host.client();
        client.param_set(PF1, "esw_port_metadata", Value::Bool(on), RUNTIME)
    };
    metadata(false).unwrap();
    host.mode(PF1, SWITCHDEV);
    assert_eq!(host.multiport(PF0, true), refused(Errno::OPNOTSUPP, ""));
    let refusal = "mlx5_core: E-Switch must either disabled or non switchdev mode";
    assert_eq!(metadata(true), refused(Errno::BUSY, refusal));
    host.mode(PF1, LEGACY);
    metadata(true).unwrap();
    host.mode(PF1, SWITCHDEV);

    host.multiport(PF0, true).unwrap();
    // Twice is a mistake; the other function says the same of it.
    assert_eq!(host.multiport(PF1, true), refused(Errno::INVAL, ""));
    assert_eq!(host.ib(), names(&[("mlx5_bond_0", 36)]));
    let ib = &host.module.rdma().devices()[0];
    let uplinks = [18, 36].map(|port| ib.ops().netdev(port).unwrap().name());
    assert_eq!(uplinks, ["eth0", "eth1"]);
    for (file, text) in [
        ("state", "active\n"),
        ("type", "multiport_eswitch\n"),
        ("port_sel_mode", "mpesw\n"),
        ("flags", "shared_fdb:on\nfdb_selection_mode:native\n"),
        ("mapping", "1:0\n2:0\n"),
        ("members", "0000:00:09.0\n0000:00:09.1\n"),
    ] {
        assert_eq!(host.file(file).as_deref(), Ok(text), "{file}");
    }
    for handle in [PF0, PF1] {
        let refusal = "mlx5_core: reload is unsupported in Lag mode";
        let reload = host.client().reload(handle, None);
        assert_eq!(reload, refused(Errno::OPNOTSUPP, refusal));
        let client = host.client();
        let roce = client.param_set(handle, "enable_roce", Value::Bool(false), DRIVERINIT);
        let refusal = "mlx5_core: Multi port slave/Lag device can't configure RoCE";
        assert_eq!(roce, refused(Errno::OPNOTSUPP, refusal));
    }

    host.multiport(PF1, false).unwrap();
    assert_eq!(host.ib(), names(&[("mlx5_0", 18), ("mlx5_1", 18)]));
    assert_eq!(host.file("state").as_deref(), Ok("disabled\n"));
    assert_eq!(host.file("type"), Err(Errno::INVAL));
    assert_eq!(host.file("members").unwrap().lines().count(), 2);
    host.client().reload(PF0, None).unwrap();
    assert!(lockdep::reports().is_empty());
}

/// A change of mode, and the end of a function, part the ports first.
#[test]
fn whoever_changes_its_switch_leaves() {
    lockdep::set_handler(|_| ());
    let host = Host::new(KernelVersion::V7_2);
    let together = || {
        host.mode(PF0, SWITCHDEV);
        host.mode(PF1, SWITCHDEV);
        host.multiport(PF1, true).unwrap();
        assert_eq!(host.ib()[0].0, "mlx5_bond_0");
    };
    let ports = |wanted: &[u32]| {
        let mut ports: Vec<_> = host.ib().iter().map(|(_, ports)| *ports).collect();
        ports.sort_unstable();
        assert_eq!(ports, wanted);
        assert!(host.ib().iter().all(|(name, _)| !name.contains("bond")));
    };
    together();
    host.mode(PF1, LEGACY);
    ports(&[1, 18]);
    together();
    // Since 7.0 a reload is not refused.
    host.client().reload(PF0, None).unwrap();
    ports(&[1, 18]);
    together();
    let mut held = Held::root();
    let pci = host.machine.driver_core.pci();
    pci.unbind(&mut held, "0000:00:09.0", "mlx5_core").unwrap();
    ports(&[18]);
    assert_eq!(host.multiport(PF1, true), refused(Errno::OPNOTSUPP, ""));
    host.module.unload(&mut held).unwrap();
    assert!(host.ib().is_empty());
    let debugfs = host.machine.driver_core.debugfs().dir("mlx5").unwrap();
    assert!(debugfs.node().entries(View(0)).is_empty());
    assert!(lockdep::reports().is_empty());
}
