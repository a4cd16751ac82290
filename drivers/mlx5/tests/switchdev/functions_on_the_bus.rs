//! What is on the bus: functions, virtual functions at their addresses, nested instances, sysfs.

use mlx5::Profile;
use netlink::KernelVersion;
use rustix::io::Errno;

use super::{host, host_with};

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
