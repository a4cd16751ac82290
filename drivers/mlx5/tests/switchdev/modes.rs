//! The eswitch's modes, and what goes with them: representors, traps, rates, a DPU's view.

use netlink::{attr, cmd};
use rustix::io::Errno;

use super::{PF0, host, refused};

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
