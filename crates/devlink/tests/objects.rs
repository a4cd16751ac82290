//! Parameters and ports through their commands, and what the family answers around them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use devlink::{
    Cmodes, Devl, Flavour, FnOpstate, FnState, Generic, NewPort, NoPortOps, Ops, Param, ParamType,
    ParamValue, Port, PortAttrs, PortOp, PortOpSet, PortOps,
};
use lockdep::order::Held;
use net_core::NetRef;
use netlink::{ExtAck, KernelVersion, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Client, Message, handle, port_handle};
use support::toy::ToyConfig;

fn newest() -> Machine {
    Machine::new(KernelVersion::V7_2)
}

/// A request to set a parameter, as iproute2 sends it.
fn set(name: &str, ty: ParamType, cmode: u8, data: Option<&[u8]>) -> Body {
    let body = handle(10)
        .str(attr::PARAM_NAME, name)
        .u8(attr::PARAM_VALUE_CMODE, cmode)
        .u8(attr::PARAM_TYPE, ty as u8);
    match data {
        Some(data) => body.raw(attr::PARAM_VALUE_DATA.number(), data),
        None => body,
    }
}

/// Path to a parameter's first value.
const VALUE: [u16; 4] = [80, 84, 85, 86];

#[test]
fn a_driverinit_value_waits_for_the_next_reload() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let mut client = machine.client();
    let monitor = machine.client().listen();

    client
        .doit(
            cmd::PARAM_SET,
            set("max_macs", ParamType::U32, 1, Some(&7_u32.to_ne_bytes())),
        )
        .ok();
    let [news] = monitor.notifications().try_into().unwrap();
    assert_eq!((news.cmd(), news.u32(&VALUE)), (cmd::PARAM_NEW, Some(7)));
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 32);
    client.doit(cmd::RELOAD, handle(10)).ok();
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 7);

    // Back to what the driver started with.
    let reset = set("max_macs", ParamType::U32, 1, None).flag(attr::PARAM_RESET_DEFAULT);
    client.doit(cmd::PARAM_SET, reset).ok();
    client.doit(cmd::RELOAD, handle(10)).ok();
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 32);
    machine.assert_clean();
}

#[test]
fn a_runtime_value_is_set_at_once_and_can_be_reset() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let mut client = machine.client();
    client
        .doit(
            cmd::PARAM_SET,
            set("test2", ParamType::U32, 0, Some(&5_u32.to_ne_bytes())),
        )
        .ok();
    assert_eq!(toy.test2.load(Ordering::Relaxed), 5);
    let reset = set("test2", ParamType::U32, 0, None).flag(attr::PARAM_RESET_DEFAULT);
    client.doit(cmd::PARAM_SET, reset).ok();
    assert_eq!(toy.test2.load(Ordering::Relaxed), 1234);
    machine.assert_clean();
}

#[test]
fn what_cannot_be_set_is_refused_as_the_kernel_does() {
    let machine = newest();
    machine.new_device(10, 0);
    let mut client = machine.client();
    let seven = 7_u32.to_ne_bytes();
    let cases = [
        (handle(10), Errno::INVAL),
        (set("nope", ParamType::U32, 1, Some(&seven)), Errno::INVAL),
        (
            set("max_macs", ParamType::U16, 1, Some(&seven)),
            Errno::INVAL,
        ),
        (
            set("max_macs", ParamType::U32, 1, Some(&seven[..2])),
            Errno::INVAL,
        ),
        (set("max_macs", ParamType::U32, 1, None), Errno::INVAL),
        (set("test1", ParamType::Bool, 1, Some(&[1])), Errno::INVAL),
        (
            set("max_macs", ParamType::U32, 0, Some(&seven)),
            Errno::OPNOTSUPP,
        ),
        (
            set("test2", ParamType::U32, 2, Some(&seven)),
            Errno::OPNOTSUPP,
        ),
    ];
    for (body, errno) in cases {
        assert_eq!(client.doit(cmd::PARAM_SET, body).error(), (errno, None));
    }
    let port_params = (Errno::INVAL, Some("Port params are not supported"));
    assert_eq!(
        client
            .doit(cmd::PORT_PARAM_GET, port_handle(10, 0))
            .error()
            .0,
        Errno::NODEV
    );
    machine.new_device(11, 1);
    assert_eq!(
        client.doit(cmd::PORT_PARAM_GET, port_handle(11, 0)).error(),
        port_params
    );
    assert_eq!(
        client.doit(cmd::PORT_PARAM_SET, port_handle(11, 0)).error(),
        port_params
    );
    let dump = client.dump(cmd::PORT_PARAM_GET, Body::default());
    assert_eq!(
        (dump.errno, dump.text.as_deref(), dump.messages.len()),
        (0, port_params.1, 0)
    );
    machine.assert_clean();
}

#[test]
fn every_type_of_value_goes_there_and_back() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let values = [
        (ParamType::U8, ParamValue::U8(0xa5), vec![0xa5]),
        (
            ParamType::U16,
            ParamValue::U16(0xbeef),
            0xbeef_u16.to_ne_bytes().to_vec(),
        ),
        (
            ParamType::U64,
            ParamValue::U64(1 << 40),
            (1_u64 << 40).to_ne_bytes().to_vec(),
        ),
        (
            ParamType::String,
            ParamValue::String("dmfs".into()),
            b"dmfs\0".to_vec(),
        ),
        (
            ParamType::U64Array,
            ParamValue::U64Array(vec![9]),
            9_u32.to_ne_bytes().to_vec(),
        ),
    ];
    let mut client = machine.client();
    for (nth, (ty, value, wire)) in (2..).zip(values) {
        let stored = Arc::new(Mutex::new(None::<ParamValue>));
        let (get, put) = (Arc::clone(&stored), stored);
        let param = Param::driver(nth, "wide", ty, Cmodes::RUNTIME.and(Cmodes::PERMANENT)).with(
            move |_, _, _| get.lock().unwrap().clone().ok_or(Errno::OPNOTSUPP),
            move |_, _, value, _| {
                *put.lock().unwrap() = Some(value.clone());
                Ok(())
            },
        );
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        devl.params_register(std::slice::from_ref(&param)).unwrap();
        assert_eq!(
            devl.params_register(std::slice::from_ref(&param)),
            Err(Errno::BUSY)
        );
        drop(devl);

        // What cannot be read is left out of dumps, and is an error when asked for.
        let wide = || handle(10).str(attr::PARAM_NAME, "wide");
        assert_eq!(
            client.doit(cmd::PARAM_GET, wide()).error(),
            (Errno::OPNOTSUPP, None)
        );
        assert_eq!(client.dump(cmd::PARAM_GET, Body::default()).ok().len(), 3);
        client
            .doit(cmd::PARAM_SET, set("wide", ty, 2, Some(&wire)))
            .ok();
        let [reply] = client.doit(cmd::PARAM_GET, wide()).ok().try_into().unwrap();
        assert_eq!(reply.find(&VALUE).as_ref(), Some(&wire), "{value:?}");
        let list = reply.find(&[80, 84]).unwrap();
        assert_eq!(
            RawAttrs::new(&list, 0).count(),
            2,
            "one value for each mode"
        );

        toy.devlink().lock(&mut held).params_unregister(&[param]);
    }
    // Strings have a limit, and an end.
    let param = Param::driver(9, "wide", ParamType::String, Cmodes::RUNTIME)
        .with(|_, _, _| Err(Errno::OPNOTSUPP), |_, _, _, _| Ok(()))
        .validate(|_, value, extack| match value.as_str() {
            Some("bad") => {
                extack.set_msg("toy: not that");
                Err(Errno::RANGE)
            }
            _ => Ok(()),
        });
    toy.devlink()
        .lock(&mut Held::root())
        .params_register(&[param])
        .unwrap();
    let mut set_string = |bytes: &[u8]| {
        client.doit(
            cmd::PARAM_SET,
            set("wide", ParamType::String, 0, Some(bytes)),
        )
    };
    assert_eq!(set_string(&[[b'x'; 31].as_slice(), &[0]].concat()).errno, 0);
    assert_eq!(
        set_string(&[[b'x'; 32].as_slice(), &[0]].concat()).error(),
        (Errno::INVAL, None)
    );
    assert_eq!(set_string(b"endless").error(), (Errno::INVAL, None));
    assert_eq!(
        set_string(b"bad\0").error(),
        (Errno::RANGE, Some("toy: not that"))
    );
}

#[test]
fn a_dump_of_many_ports_resumes_where_it_stopped() {
    let machine = newest();
    let toys = [machine.new_device(10, 0), machine.new_device(11, 0)];
    for toy in &toys {
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        for index in 0..1000 {
            let attrs = PortAttrs::new(Flavour::Virtual);
            devl.port_register(index, Some(attrs), Arc::new(NoPortOps))
                .unwrap();
        }
    }
    let mut client = machine.client();
    let all = client.dump(cmd::PORT_GET, Body::default()).ok();
    let numbers: Vec<_> = all
        .iter()
        .map(|port| port.u32(&[attr::PORT_INDEX.number()]).unwrap())
        .collect();
    assert_eq!(numbers, (0..1000).chain(0..1000).collect::<Vec<_>>());
    let one = client.dump(cmd::PORT_GET, handle(11)).ok();
    assert_eq!(one.len(), 1000);
    assert!(
        one.iter()
            .all(|port| port.header.flags & netlink::message::NLM_F_DUMP_FILTERED != 0)
    );
    assert_eq!(
        client.dump(cmd::PORT_GET, handle(12)).error(),
        (Errno::NODEV, None)
    );
}

#[test]
fn an_instance_is_found_by_its_index_since_7_1() {
    let machine = newest();
    machine.new_device(10, 0);
    machine.new_device(11, 0);
    let mut client = machine.client();
    let name = |reply: &Message| reply.text(&[attr::DEV_NAME.number()]).unwrap();
    let by_index = Body::default().uint(attr::INDEX, 1);
    assert_eq!(
        name(&client.doit(cmd::GET, by_index.clone()).ok()[0]),
        "netdevsim11"
    );
    let by_bus = |dev: &str| {
        Body::default()
            .str(attr::BUS_NAME, "devlink_index")
            .str(attr::DEV_NAME, dev)
    };
    assert_eq!(
        name(&client.doit(cmd::GET, by_bus("1")).ok()[0]),
        "netdevsim11"
    );
    assert_eq!(
        client.doit(cmd::GET, by_bus("7")).error(),
        (Errno::NODEV, None)
    );
    assert_eq!(
        client.doit(cmd::GET, by_bus("x")).error(),
        (Errno::NODEV, None)
    );
    assert_eq!(
        client
            .doit(cmd::GET, handle(11).and(by_index.clone()))
            .error(),
        (Errno::INVAL, None)
    );
    assert_eq!(
        client
            .doit(cmd::GET, Body::default().uint(attr::INDEX, 9))
            .error(),
        (Errno::NODEV, None)
    );
    assert_eq!(
        client.doit(cmd::GET, Body::default()).error(),
        (Errno::INVAL, None)
    );

    let machine = Machine::new(KernelVersion::V6_12);
    machine.new_device(10, 0);
    let mut client = machine.client();
    assert_eq!(
        client
            .doit(cmd::GET, Body::default().uint(attr::INDEX, 0))
            .error(),
        (Errno::INVAL, None)
    );
    assert_eq!(
        client.doit(cmd::GET, by_bus("0")).error(),
        (Errno::NODEV, None)
    );
}

#[test]
fn indexes_are_not_used_again_at_once() {
    let machine = newest();
    let first = machine.new_device(10, 0).devlink().index();
    machine.del_device(10);
    assert_eq!(machine.new_device(10, 0).devlink().index(), first + 1);
    machine.assert_clean();
}

#[test]
fn a_socket_hears_what_its_filter_lets_pass() {
    let machine = newest();
    let mut listener = machine.client().listen();
    let only_11 = handle(11).u32(attr::PORT_INDEX, 1);
    listener.doit(cmd::NOTIFY_FILTER_SET, only_11).ok();
    machine.new_device(10, 2);
    assert_eq!(listener.notifications(), []);
    machine.new_device(11, 2);
    let news = listener.notifications();
    let ports: Vec<_> = news
        .iter()
        .filter(|news| news.cmd() == cmd::PORT_NEW)
        .collect();
    assert_eq!(ports.len(), 3);
    assert!(
        ports
            .iter()
            .all(|port| port.u32(&[attr::PORT_INDEX.number()]) == Some(1))
    );
    assert!(
        news.len() > ports.len(),
        "what is no port passes a filter of ports"
    );

    listener.doit(cmd::NOTIFY_FILTER_SET, Body::default()).ok();
    machine.del_device(10);
    assert!(!listener.notifications().is_empty());
    machine.assert_clean();
}

#[test]
fn what_was_there_before_is_told_when_the_instance_is_registered() {
    let machine = newest();
    let device = driver_core::Device::new(&machine.bus, "late", None, ());
    let net = Arc::clone(machine.net_core.init_net());
    let devlink = machine
        .subsystem
        .alloc(Arc::new(Maker), net, device)
        .unwrap();
    let listener = machine.client().listen();
    let param = Param::driver(0, "one", ParamType::U8, Cmodes::RUNTIME)
        .with(|_, _, _| Ok(ParamValue::U8(1)), |_, _, _, _| Ok(()));
    let mut held = Held::root();
    let mut devl = devlink.lock(&mut held);
    devl.params_register(std::slice::from_ref(&param)).unwrap();
    let port = devl.port_register(3, None, Arc::new(NoPortOps)).unwrap();
    assert_eq!(listener.notifications(), []);

    let commands = || -> Vec<u8> { listener.notifications().iter().map(Message::cmd).collect() };
    devl.register();
    assert_eq!(commands(), [cmd::NEW, cmd::PORT_NEW, cmd::PARAM_NEW]);
    devl.unregister();
    assert_eq!(commands(), [cmd::PARAM_DEL, cmd::PORT_DEL, cmd::DEL]);
    devl.port_unregister(&port);
    devl.params_unregister(&[param]);
    drop(devl);
    devlink.free(&mut held);
    assert_eq!(commands(), []);
    machine.assert_clean();
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
    let [port] = client
        .doit(cmd::PORT_GET, port_handle(10, 0))
        .ok()
        .try_into()
        .unwrap();
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
        let [reply] = client
            .doit(cmd::PORT_GET, port_handle(10, index))
            .ok()
            .try_into()
            .unwrap();
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
    let [port] = client
        .doit(cmd::PORT_GET, port_handle(10, 0))
        .ok()
        .try_into()
        .unwrap();
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
        (vec![0; 6], "Non-unicast hardware address unsupported"),
        (vec![2; 5], "Address must be 6 bytes for Ethernet device"),
        (vec![2; 33], "Port function hardware address too long"),
    ] {
        let refused = client.doit(cmd::PORT_SET, function(Body::default().raw(1, &addr)));
        assert_eq!(refused.error(), (Errno::INVAL, Some(text)));
    }
    assert_eq!(*ops.addr.lock().unwrap(), [0, 0, 0, 0, 0x88, 0x88]);
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
    let [port] = client
        .doit(cmd::PORT_GET, port_handle(10, 0))
        .ok()
        .try_into()
        .unwrap();
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
    let [port] = client
        .doit(cmd::PORT_NEW, sf.clone())
        .ok()
        .try_into()
        .unwrap();
    assert_eq!(
        (port.cmd(), port.u32(&[attr::PORT_PCI_SF_NUMBER.number()])),
        (cmd::PORT_NEW, Some(88))
    );
    assert_eq!(client.doit(cmd::PORT_NEW, sf).error(), (Errno::BUSY, None));
}

#[test]
fn what_a_device_does_not_have_is_answered_as_by_the_kernel() {
    let machine = newest();
    machine.new_device(10, 1);
    let mut client = machine.client();
    let named = |attr, name| handle(10).str(attr, name);
    let cases = [
        (cmd::SB_GET, handle(10), Errno::INVAL, None),
        (
            cmd::SB_GET,
            handle(10).u32(attr::SB_INDEX, 0),
            Errno::NODEV,
            None,
        ),
        (
            cmd::SB_PORT_POOL_GET,
            handle(10).u32(attr::SB_INDEX, 0),
            Errno::INVAL,
            None,
        ),
        (
            cmd::SB_PORT_POOL_GET,
            port_handle(10, 0).u32(attr::SB_INDEX, 0),
            Errno::NODEV,
            None,
        ),
        (cmd::RESOURCE_DUMP, handle(10), Errno::OPNOTSUPP, None),
        (cmd::RESOURCE_DUMP, port_handle(10, 9), Errno::NODEV, None),
        (
            cmd::REGION_GET,
            named(attr::REGION_NAME, "x"),
            Errno::INVAL,
            None,
        ),
        (
            cmd::REGION_NEW,
            handle(10),
            Errno::INVAL,
            Some("No region name provided"),
        ),
        (
            cmd::REGION_NEW,
            named(attr::REGION_NAME, "x"),
            Errno::INVAL,
            Some("The requested region does not exist"),
        ),
        (
            cmd::HEALTH_REPORTER_GET,
            named(attr::HEALTH_REPORTER_NAME, "x"),
            Errno::INVAL,
            None,
        ),
        (
            cmd::FLASH_UPDATE,
            named(attr::FLASH_UPDATE_FILE_NAME, "x"),
            Errno::OPNOTSUPP,
            None,
        ),
        (
            cmd::TRAP_GET,
            named(attr::TRAP_NAME, "x"),
            Errno::OPNOTSUPP,
            None,
        ),
        (cmd::TRAP_POLICER_SET, handle(10), Errno::OPNOTSUPP, None),
        (cmd::RATE_GET, handle(10), Errno::INVAL, None),
        (cmd::RATE_GET, port_handle(10, 0), Errno::NODEV, None),
        (
            cmd::RATE_GET,
            named(attr::RATE_NODE_NAME, "g1"),
            Errno::NODEV,
            None,
        ),
        (
            cmd::RATE_DEL,
            named(attr::RATE_NODE_NAME, "12"),
            Errno::INVAL,
            None,
        ),
        (
            cmd::RATE_NEW,
            named(attr::RATE_NODE_NAME, "g1"),
            Errno::OPNOTSUPP,
            Some("Rate nodes aren't supported"),
        ),
        (cmd::LINECARD_GET, handle(10), Errno::INVAL, None),
        (
            cmd::LINECARD_GET,
            handle(10).u32(attr::LINECARD_INDEX, 0),
            Errno::NODEV,
            None,
        ),
        (cmd::SELFTESTS_GET, handle(10), Errno::OPNOTSUPP, None),
        (
            cmd::DPIPE_ENTRIES_GET,
            named(attr::DPIPE_TABLE_NAME, "x"),
            Errno::INVAL,
            None,
        ),
        (cmd::DPIPE_HEADERS_GET, handle(10), Errno::OPNOTSUPP, None),
    ];
    for (command, body, errno, text) in cases {
        assert_eq!(
            client.doit(command, body).error(),
            (errno, text),
            "command {command}"
        );
    }
    // A list that is empty, its end, and then the acknowledgement.
    let [tables] = client
        .doit(cmd::DPIPE_TABLE_GET, handle(10))
        .ok()
        .try_into()
        .unwrap();
    assert_eq!(tables.find(&[attr::DPIPE_TABLES.number()]), Some(vec![]));
    for command in [
        cmd::SB_GET,
        cmd::RESOURCE_DUMP,
        cmd::REGION_GET,
        cmd::TRAP_GET,
        cmd::RATE_GET,
        cmd::SELFTESTS_GET,
    ] {
        assert_eq!(
            client.dump(command, Body::default()).ok(),
            [],
            "command {command}"
        );
    }
    let read = client.dump(cmd::REGION_READ, named(attr::REGION_NAME, "x"));
    assert_eq!(
        read.error(),
        (Errno::INVAL, Some("Requested region does not exist"))
    );
    assert_eq!(
        client.dump(cmd::REGION_READ, handle(11)).error(),
        (Errno::NODEV, None)
    );
    assert_eq!(
        client
            .dump(cmd::HEALTH_REPORTER_DUMP_GET, handle(11))
            .error(),
        (Errno::INVAL, None)
    );
    machine.assert_clean();
}

#[test]
fn a_driver_that_breaks_the_rules_is_named_in_the_log() {
    let machine = newest();
    let device = driver_core::Device::new(&machine.bus, "sloppy", None, ());
    let net = Arc::clone(machine.net_core.init_net());
    let devlink = machine
        .subsystem
        .alloc(Arc::new(Maker), net, device)
        .unwrap();
    let mut held = Held::root();
    let mut devl = devlink.lock(&mut held);
    devl.register();
    devl.port_register(0, None, Arc::new(NoPortOps)).unwrap();
    devl.param_driverinit_value_set(Generic::MaxMacs.id(), ParamValue::U32(1));
    drop(devl);
    devlink.free(&mut held);
    // An unknown parameter; freed while registered, with a port.
    assert_eq!(
        machine.subsystem.warnings(),
        3,
        "{}",
        machine.drivers.klog().text()
    );
    assert!(
        machine
            .drivers
            .klog()
            .text()
            .contains("netdevsim/sloppy: devlink_free: ports are left")
    );
    let mut client: Client = machine.client();
    assert_eq!(client.dump(cmd::GET, Body::default()).ok(), []);
}
