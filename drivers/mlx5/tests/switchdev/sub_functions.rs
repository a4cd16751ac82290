//! Sub-functions from `port add` to `port del`, and what is refused in the driver's words.

use driver_testkit::client::Value;
use netlink::{attr, cmd};
use rustix::io::Errno;

use super::{PF0, PF1, host, refused};

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
