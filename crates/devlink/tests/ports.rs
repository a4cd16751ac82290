//! Ports through their commands: what they show, their functions, and those that users make, split and delete.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use devlink::{
    Devl, Flavour, FnOpstate, FnState, NewPort, NoPortOps, Ops, Port, PortAttrs, PortOp, PortOpSet,
    PortOps,
};
use lockdep::order::Held;
use net_core::NetRef;
use netlink::{ExtAck, KernelVersion, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, handle, port_handle};
use support::toy::ToyConfig;

fn newest() -> Machine {
    Machine::new(KernelVersion::V7_2)
}

/// A driver has an hour to say what a port is, unless it is one that never has a network device.
#[test]
fn a_port_without_a_type_is_warned_of_after_an_hour() {
    for kernel in KernelVersion::SUPPORTED {
        let (machine, clock) = Machine::with_clock(kernel);
        let toy = machine.new_device(10, 1);
        let warnings = || {
            machine.drivers.system_wq().flush();
            let log = machine.drivers.klog().text();
            let warning = "netdevsim netdevsim10: Type was not set for devlink port.";
            log.lines().filter(|line| line.ends_with(warning)).count()
        };
        let minutes = |minutes: u64| {
            clock.advance(Duration::from_secs(60 * minutes));
            warnings()
        };
        let with = |act: &dyn Fn(&mut Devl<'_>)| {
            let mut held = Held::root();
            act(&mut toy.devlink().lock(&mut held));
        };
        let register = |devl: &mut Devl<'_>, index, flavour| {
            let attrs = PortAttrs::new(flavour);
            let port = devl.port_register(index, Some(attrs), Arc::new(NoPortOps));
            port.unwrap();
        };
        with(&|devl| {
            register(devl, 10, Flavour::Virtual);
            register(devl, 11, Flavour::Virtual);
            register(devl, 12, Flavour::Cpu { number: 4 });
            register(devl, 13, Flavour::Unused);
        });
        assert_eq!(minutes(30), 0, "{kernel}");
        with(&|devl| register(devl, 14, Flavour::Virtual));
        with(&|devl| devl.port(11).unwrap().type_ib_set("mlx5_0"));
        assert_eq!(minutes(29), 0, "{kernel}");
        assert_eq!(minutes(1), 1, "{kernel}: port 10");
        assert_eq!(minutes(29), 1, "{kernel}");
        assert_eq!(minutes(1), 2, "{kernel}: port 14");
        // Port 0 has had its network device all the time. Each is told of once.
        assert_eq!(minutes(600), 2, "{kernel}");
        with(&|devl| devl.port(11).unwrap().type_clear());
        assert_eq!(minutes(59), 2, "{kernel}");
        assert_eq!(minutes(1), 3, "{kernel}: port 11");
        with(&|devl| {
            register(devl, 15, Flavour::Virtual);
            for index in 10..16 {
                let port = Arc::clone(devl.port(index).unwrap());
                devl.port_unregister(&port);
            }
        });
        assert_eq!(minutes(600), 3, "{kernel}: who goes is not told of");
        machine.assert_clean();
    }
}

#[test]
fn a_port_follows_its_network_device() {
    let machine = newest();
    let toy = machine.new_device(10, 1);
    let [dev] = toy.netdevs().try_into().unwrap();
    let monitor = machine.client().listen();
    let mut held = Held::root();
    let n1: NetRef = machine
        .net_core
        .get_net(&mut held, machine.namespaces.add("n1"))
        .unwrap();
    let names = || -> Vec<Option<String>> {
        monitor
            .notifications()
            .iter()
            .map(|news| news.text(&[attr::PORT_NETDEV_NAME.number()]))
            .collect()
    };

    machine
        .net_core
        .rtnl_lock(&mut held)
        .dev_change_name(&dev, "up0")
        .unwrap();
    assert_eq!(names(), [Some("up0".to_owned())]);
    // In another namespace than the instance the port has no device, but stays what it is.
    machine
        .net_core
        .rtnl_lock(&mut held)
        .dev_change_net_namespace(&dev, n1.net(), None)
        .unwrap();
    assert_eq!(names(), [None]);
    let mut client = machine.client();
    let port = client.doit(cmd::PORT_GET, port_handle(10, 0)).one();
    assert_eq!(port.find(&[attr::PORT_TYPE.number()]), Some(vec![2, 0]));
    let init = Arc::clone(machine.net_core.init_net());
    machine
        .net_core
        .rtnl_lock(&mut held)
        .dev_change_net_namespace(&dev, &init, None)
        .unwrap();
    assert_eq!(names(), [Some("up0".to_owned())]);
    machine.assert_clean();
}

#[test]
fn every_flavour_shows_its_own_numbers() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let (controller, pf, external) = (1, 2, true);
    let flavours = [
        (
            Flavour::Physical {
                number: 4,
                split_subport: Some(1),
            },
            vec![148, 77, 78, 10, 79],
        ),
        (Flavour::Cpu { number: 4 }, vec![148, 77, 78]),
        (Flavour::Dsa { number: 4 }, vec![148, 77, 78]),
        (
            Flavour::PciPf {
                controller,
                pf,
                external,
            },
            vec![148, 77, 150, 127, 149],
        ),
        (
            Flavour::PciVf {
                controller,
                pf,
                vf: 3,
                external,
            },
            vec![148, 77, 150, 127, 128, 149],
        ),
        (
            Flavour::PciSf {
                controller,
                pf,
                sf: 88,
                external,
            },
            vec![148, 77, 150, 127, 164],
        ),
        (Flavour::Virtual, vec![148, 77]),
        (Flavour::Unused, vec![148, 77]),
    ];
    let mut client = machine.client();
    for (index, (flavour, expected)) in (0..).zip(flavours) {
        let port = toy
            .devlink()
            .lock(&mut Held::root())
            .port_register(index, Some(PortAttrs::new(flavour)), Arc::new(NoPortOps))
            .unwrap();
        let reply = client.doit(cmd::PORT_GET, port_handle(10, index)).one();
        // After handle, number and type.
        let attrs: Vec<_> = RawAttrs::new(&reply.payload[4..], 0)
            .skip(5)
            .map(|attr| attr.number())
            .collect();
        assert_eq!(attrs, expected, "{flavour:?}");
        toy.devlink().lock(&mut Held::root()).port_unregister(&port);
    }
    machine.assert_clean();
}

/// A port whose function has everything.
#[derive(Default)]
struct SubFunction {
    addr: Mutex<Vec<u8>>,
    active: Mutex<Vec<FnState>>,
}

impl PortOps for SubFunction {
    fn provides(&self) -> PortOpSet {
        PortOpSet::of(&[
            PortOp::FnHwAddrSet,
            PortOp::FnStateSet,
            PortOp::FnRoceSet,
            PortOp::FnMigratableSet,
        ])
    }

    fn fn_hw_addr_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<Vec<u8>, Errno> {
        Ok(self.addr.lock().unwrap().clone())
    }

    fn fn_hw_addr_set(
        &self,
        _: &mut Devl<'_>,
        _: &Arc<Port>,
        addr: &[u8],
        _: &mut ExtAck,
    ) -> Result<(), Errno> {
        *self.addr.lock().unwrap() = addr.to_vec();
        Ok(())
    }

    fn fn_state_get(
        &self,
        _port: &Port,
        _extack: &mut ExtAck,
    ) -> Result<(FnState, FnOpstate), Errno> {
        let last = self.active.lock().unwrap().last().copied();
        Ok((last.unwrap_or(FnState::Inactive), FnOpstate::Detached))
    }

    fn fn_state_set(
        &self,
        _: &mut Devl<'_>,
        _: &Arc<Port>,
        state: FnState,
        _: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.active.lock().unwrap().push(state);
        Ok(())
    }

    fn fn_roce_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<bool, Errno> {
        Ok(true)
    }

    fn fn_max_io_eqs_get(&self, _port: &Port, _extack: &mut ExtAck) -> Result<u32, Errno> {
        Ok(24)
    }
}

#[test]
fn a_port_function_is_shown_and_set_as_a_whole() {
    let machine = newest();
    let ops = Arc::new(SubFunction::default());
    machine.new_device_with(
        10,
        ToyConfig {
            port_ops: Arc::clone(&ops) as _,
            ..ToyConfig::default()
        },
    );
    let mut client = machine.client();
    let function = |inner: Body| port_handle(10, 0).nest(attr::PORT_FUNCTION, inner);
    let hw_addr = |last: u8| Body::default().raw(1, &[0, 0, 0, 0, 0x88, last]);
    let active = Body::default().raw(2, &[1]);
    let caps = |value: u32, selector: u32| {
        Body::default().raw(4, &[value.to_ne_bytes(), selector.to_ne_bytes()].concat())
    };

    client
        .doit(cmd::PORT_SET, function(active.clone().and(hw_addr(0x88))))
        .ok();
    let port = client.doit(cmd::PORT_GET, port_handle(10, 0)).one();
    let nest = port.find(&[attr::PORT_FUNCTION.number()]).unwrap();
    let numbers: Vec<_> = RawAttrs::new(&nest, 0).map(|attr| attr.number()).collect();
    // Address, capabilities, state, operational state, event queues.
    assert_eq!(numbers, [1, 4, 2, 3, 6]);
    assert_eq!(port.find(&[145, 1]), Some(vec![0, 0, 0, 0, 0x88, 0x88]));
    assert_eq!(port.find(&[145, 2]), Some(vec![1]));

    // One part that does not exist, and nothing is done.
    let refused = client.doit(
        cmd::PORT_SET,
        function(hw_addr(1).and(Body::default().raw(6, &[9, 0, 0, 0]))),
    );
    let no_eqs = "Function does not support max_io_eqs setting";
    assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(no_eqs)));
    let refused = client.doit(cmd::PORT_SET, function(hw_addr(1).and(caps(2, 2))));
    let vf_only = "migratable function attribute supported for VFs only";
    assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(vf_only)));
    let refused = client.doit(cmd::PORT_SET, function(caps(4, 4)));
    let no_ipsec = "Port doesn't support ipsec_crypto function attribute";
    assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(no_ipsec)));
    for (addr, text) in [
        (
            vec![1, 0, 0, 0, 0, 0],
            "Non-unicast hardware address unsupported",
        ),
        (vec![2; 5], "Address must be 6 bytes for Ethernet device"),
        (vec![2; 33], "Port function hardware address too long"),
    ] {
        let refused = client.doit(cmd::PORT_SET, function(Body::default().raw(1, &addr)));
        assert_eq!(refused.error(), (Errno::INVAL, Some(text)));
    }
    assert_eq!(*ops.addr.lock().unwrap(), [0, 0, 0, 0, 0x88, 0x88]);
    // An address of zeros counts as one of a single station (seen on a real kernel 6.1).
    client
        .doit(cmd::PORT_SET, function(Body::default().raw(1, &[0; 6])))
        .ok();
    assert_eq!(*ops.addr.lock().unwrap(), [0; 6]);
    assert_eq!(*ops.active.lock().unwrap(), [FnState::Active]);
    machine.assert_clean();
}

/// A port that can be split, typed and deleted.
struct Splittable;

impl PortOps for Splittable {
    fn provides(&self) -> PortOpSet {
        PortOpSet::of(&[PortOp::Split, PortOp::TypeSet])
    }

    fn split(&self, _: &mut Devl<'_>, _: &Arc<Port>, _: u32, _: &mut ExtAck) -> Result<(), Errno> {
        Ok(())
    }

    fn type_set(&self, _: &mut Devl<'_>, _: &Arc<Port>, _: u16) -> Result<(), Errno> {
        Ok(())
    }
}

#[test]
fn a_split_is_checked_against_the_port() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let mut devl_held = Held::root();
    let whole = PortAttrs {
        lanes: 4,
        splittable: true,
        ..PortAttrs::new(Flavour::Physical {
            number: 1,
            split_subport: None,
        })
    };
    let part = PortAttrs::new(Flavour::Physical {
        number: 1,
        split_subport: Some(0),
    });
    let plain = PortAttrs::new(Flavour::Physical {
        number: 2,
        split_subport: None,
    });
    let mut devl = toy.devlink().lock(&mut devl_held);
    for (index, attrs) in (0..).zip([whole, part, plain]) {
        devl.port_register(index, Some(attrs), Arc::new(Splittable))
            .unwrap();
    }
    drop(devl);
    let mut client = machine.client();
    let mut split = |port: u32, count: u32| {
        let answer = client.doit(
            cmd::PORT_SPLIT,
            port_handle(10, port).u32(attr::PORT_SPLIT_COUNT, count),
        );
        (answer.errno, answer.text)
    };
    let refused = |text: &str| (-Errno::INVAL.raw_os_error(), Some(text.to_owned()));
    assert_eq!(split(0, 4), (0, None));
    assert_eq!(split(0, 3), refused("Invalid split count"));
    assert_eq!(split(0, 8), refused("Invalid split count"));
    assert_eq!(split(0, 1), refused("Invalid split count"));
    assert_eq!(split(1, 2), refused("Port cannot be split further"));
    assert_eq!(split(2, 2), refused("Port cannot be split"));
    assert_eq!(
        client.doit(cmd::PORT_UNSPLIT, port_handle(10, 0)).error(),
        (Errno::OPNOTSUPP, None)
    );
    assert_eq!(
        client.doit(cmd::PORT_DEL, port_handle(10, 0)).error(),
        (Errno::OPNOTSUPP, None)
    );
    assert_eq!(
        client.doit(cmd::PORT_NEW, handle(10)).error(),
        (Errno::OPNOTSUPP, None)
    );

    // The type that is wished for is shown beside the one that is.
    client
        .doit(cmd::PORT_SET, port_handle(10, 0).u16(attr::PORT_TYPE, 3))
        .ok();
    let port = client.doit(cmd::PORT_GET, port_handle(10, 0)).one();
    assert_eq!(port.find(&[attr::PORT_TYPE.number()]), Some(vec![0, 0]));
    assert_eq!(
        port.find(&[attr::PORT_DESIRED_TYPE.number()]),
        Some(vec![3, 0])
    );
}

/// A device that makes ports on demand.
struct Maker;

impl Ops for Maker {
    fn can_create_ports(&self) -> bool {
        true
    }

    fn port_new(
        &self,
        devl: &mut Devl<'_>,
        new: &NewPort,
        extack: &mut ExtAck,
    ) -> Result<Arc<Port>, Errno> {
        let Some(sf) = new.sfnum else {
            extack.set_msg("toy: no sfnum");
            return Err(Errno::INVAL);
        };
        let flavour = Flavour::PciSf {
            controller: 0,
            pf: new.pfnum,
            sf,
            external: false,
        };
        devl.port_register(32768, Some(PortAttrs::new(flavour)), Arc::new(NoPortOps))
    }
}

#[test]
fn a_port_that_a_user_makes_is_the_reply() {
    let machine = newest();
    let device = driver_core::Device::new(&machine.bus, "maker", None, ());
    let net = Arc::clone(machine.net_core.init_net());
    let devlink = machine
        .subsystem
        .alloc(Arc::new(Maker), net, device)
        .unwrap();
    devlink.register(&mut Held::root());
    let handle = || {
        Body::default()
            .str(attr::BUS_NAME, "netdevsim")
            .str(attr::DEV_NAME, "maker")
    };
    let mut client = machine.client();
    let text = "Port flavour or PCI PF are not specified";
    assert_eq!(
        client.doit(cmd::PORT_NEW, handle()).error(),
        (Errno::INVAL, Some(text))
    );
    let sf = handle()
        .u16(attr::PORT_FLAVOUR, 7)
        .u16(attr::PORT_PCI_PF_NUMBER, 0);
    assert_eq!(
        client.doit(cmd::PORT_NEW, sf.clone()).error(),
        (Errno::INVAL, Some("toy: no sfnum"))
    );
    let sf = sf.u32(attr::PORT_PCI_SF_NUMBER, 88);
    let port = client.doit(cmd::PORT_NEW, sf.clone()).one();
    assert_eq!(
        (port.cmd(), port.u32(&[attr::PORT_PCI_SF_NUMBER.number()])),
        (cmd::PORT_NEW, Some(88))
    );
    assert_eq!(client.doit(cmd::PORT_NEW, sf).error(), (Errno::BUSY, None));
}
