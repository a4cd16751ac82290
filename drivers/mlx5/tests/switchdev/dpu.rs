//! A DPU: the functions of its host, as the embedded ones see them, and what the host does.

use mlx5::Profile;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use super::{Host, PF0, PF1, host, host_with, refused};
use driver_testkit::Refusal;

const FUNCTION: &str = "0000:00:09.0";

fn dpu_with(kernel: KernelVersion) -> Host {
    host_with(kernel, Profile::by_name("bluefield-3").unwrap())
}

fn dpu() -> Host {
    dpu_with(KernelVersion::V7_2)
}

impl Host {
    fn host_vfs(&self, count: u16) -> Result<(), Errno> {
        let dev = self.module.function(FUNCTION).unwrap();
        self.module.host_vfs(&dev, count)
    }

    fn host_driver(&self, loaded: bool) {
        let dev = self.module.function(FUNCTION).unwrap();
        self.module.host_driver(&dev, loaded).unwrap();
    }

    fn has_port(&self, part: &str) -> bool {
        let ports = self.client().port_show();
        ports.iter().any(|port| port.contains(part))
    }

    fn external_sf(&self, controller: u32, pfnum: u16, sfnum: u32) -> Result<String, Refusal> {
        let reply = self.client().request(cmd::PORT_NEW, PF0, |w| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, pfnum).unwrap();
            w.put_u32(attr::PORT_PCI_SF_NUMBER, sfnum).unwrap();
            w.put_u32(attr::PORT_CONTROLLER_NUMBER, controller).unwrap();
        })?;
        Ok(driver_testkit::text::port(&reply[0]))
    }
}

#[test]
fn a_dpu_sees_its_hosts_functions() {
    let dpu = dpu();
    dpu.mode(PF0, 1).unwrap();
    let ports = dpu.client().port_show();
    for expected in [
        "auxiliary/mlx5_core.eth.0/262143: type eth netdev enp0s9f0np0 flavour physical port 0 splittable false",
        "pci/0000:00:09.0/196608: type eth netdev enp0s9f0nc1pf0 flavour pcipf controller 1 pfnum 0 splittable false",
    ] {
        assert!(ports.contains(&expected.to_owned()), "{ports:#?}");
    }
    let host_pf = format!("{PF0}/196608");
    assert_eq!(dpu.states(&host_pf), Some((1, 1)));
    dpu.state(&host_pf, false).unwrap();
    assert_eq!(dpu.states(&host_pf), Some((0, 0)), "the host has to let go");
    dpu.state(&host_pf, true).unwrap();
    dpu.host_driver(false);
    assert_eq!(dpu.states(&host_pf), Some((1, 0)), "nobody uses it");
    dpu.host_driver(true);
    assert_eq!(dpu.states(&host_pf), Some((1, 1)));
}

/// The host's virtual functions come and go by themselves, and only in switchdev mode somebody sees it.
#[test]
fn the_hosts_virtual_functions_come_and_go() {
    let dpu = dpu();
    assert_eq!(
        dpu.host_vfs(2),
        Err(Errno::NOENT),
        "before the switch works"
    );
    dpu.mode(PF0, 1).unwrap();
    assert_eq!(dpu.host_vfs(17), Err(Errno::RANGE));
    dpu.host_vfs(2).unwrap();
    let last =
        "pci/0000:00:09.0/196610: type eth netdev eth1 flavour pcivf controller 1 pfnum 0 vfnum 1";
    dpu.wait("the last port", || dpu.has_port(last));
    assert_eq!(dpu.host_vfs(3), Err(Errno::BUSY));
    // Nothing of them is on this machine's bus.
    assert_eq!(dpu.machine.driver_core.pci().devices().len(), 2);
    dpu.host_vfs(0).unwrap();
    dpu.wait("no port", || !dpu.has_port("flavour pcivf"));

    dpu.host_vfs(1).unwrap();
    dpu.wait("a port", || dpu.has_port("flavour pcivf"));
    // The host's driver goes: that alone changes no port, what it finds when it comes back does.
    dpu.host_driver(false);
    assert!(dpu.has_port("flavour pcivf"));
    dpu.host_driver(true);
    dpu.wait("no port", || !dpu.has_port("flavour pcivf"));
    dpu.host_vfs(4).unwrap();
    dpu.wait("ports", || dpu.has_port("vfnum 3"));
    dpu.mode(PF0, 0).unwrap();
    assert!(!dpu.has_port(PF0), "all are of switchdev mode");
}

/// An embedded function's own virtual functions are another kind, of which the driver lets nobody set anything.
#[test]
fn its_own_virtual_functions_are_another_kind() {
    let dpu = dpu();
    dpu.vfs(FUNCTION, 1).unwrap();
    dpu.mode(PF0, 1).unwrap();
    let own = dpu.port(&format!("{PF0}/212992"));
    assert!(
        own.contains("netdev enp0s9f0r0 flavour pcivf pfnum 0 vfnum 0"),
        "{own}"
    );
    assert_eq!(dpu.states(&format!("{PF0}/212992")), None);
    dpu.host_vfs(1).unwrap();
    dpu.wait("the host's", || {
        dpu.has_port("controller 1 pfnum 0 vfnum 0")
    });
    dpu.vfs(FUNCTION, 0).unwrap();
    assert!(!dpu.has_port("flavour pcivf pfnum"));
    assert!(
        dpu.has_port("controller 1 pfnum 0 vfnum 0"),
        "the host's stay"
    );

    let old = dpu_with(KernelVersion::V6_1);
    old.vfs(FUNCTION, 1).unwrap();
    old.mode(PF0, 1).unwrap();
    assert!(!old.has_port("flavour pcivf"), "6.1 knows none of its own");
}

#[test]
fn sub_functions_for_the_host() {
    let dpu = dpu();
    dpu.mode(PF0, 1).unwrap();
    let added = dpu.external_sf(1, 0, 88).unwrap();
    // Behind the 512 places for the embedded function's own.
    let handle = format!("{PF0}/229888");
    assert!(
        added.starts_with(&handle) && added.contains("flavour pcisf controller 1 pfnum 0 sfnum 88"),
        "{added}"
    );
    assert_eq!(
        dpu.external_sf(1, 0, 88),
        refused(
            Errno::EXIST,
            "mlx5_core: SF already exist. Choose different sfnum"
        )
    );
    assert!(dpu.external_sf(0, 0, 88).is_ok(), "another controller's");
    let unsupported = refused(Errno::OPNOTSUPP, "mlx5_core: Invalid pfnum supplied");
    assert_eq!(dpu.external_sf(1, 1, 89), unsupported);
    assert_eq!(
        dpu.external_sf(2, 0, 89),
        refused(Errno::INVAL, "mlx5_core: Invalid controller number")
    );

    dpu.state(&handle, true).unwrap();
    dpu.wait("the host takes it", || dpu.states(&handle) == Some((1, 1)));
    assert!(!dpu.has_instance("auxiliary/mlx5_core.sf.2"), "not here");
    dpu.host_driver(false);
    dpu.wait("the host lets go", || dpu.states(&handle) == Some((1, 0)));
    dpu.host_driver(true);
    dpu.wait("taken again", || dpu.states(&handle) == Some((1, 1)));
    dpu.port_del(&handle).unwrap();
    dpu.wait("the place is free", || {
        let again = dpu.external_sf(1, 0, 90).unwrap();
        let free = again.starts_with(&handle);
        if !free {
            let other = again.split(": ").next().unwrap();
            dpu.port_del(other).unwrap();
        }
        free
    });
}

#[test]
fn only_a_dpu_has_a_host() {
    let nic = host();
    assert_eq!(nic.host_vfs(1), Err(Errno::NODEV));
    nic.mode(PF1, 1).unwrap();
    assert!(!nic.has_port("flavour pcipf"));
}
