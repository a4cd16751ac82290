//! What the family answers around the objects: how instances are found, who hears of them, and what is not there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use devlink::{Cmodes, Generic, NoPortOps, Ops, Param, ParamType, ParamValue};
use lockdep::order::Held;
use netlink::message::NLM_F_DUMP_FILTERED;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Client, Message, handle, port_handle};

fn newest() -> Machine {
    Machine::new(KernelVersion::V7_2)
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

/// As a real kernel 6.1 answers; later ones dump what they are asked for.
#[test]
fn kernel_6_1_dumps_everything_whatever_a_dump_is_asked_for() {
    for kernel in KernelVersion::SUPPORTED {
        let machine = Machine::new(kernel);
        machine.new_device(10, 2);
        machine.new_device(11, 1);
        let mut client = machine.client();
        let mut dumped = |device| {
            let answer = client.dump(cmd::PORT_GET, handle(device));
            let filtered = answer
                .messages
                .iter()
                .all(|port| port.header.flags & NLM_F_DUMP_FILTERED != 0);
            (answer.errno, answer.messages.len(), filtered)
        };
        let all = machine.client().dump(cmd::PORT_GET, Body::default()).ok();
        let nodev = -Errno::NODEV.raw_os_error();
        let expected = match kernel {
            KernelVersion::V6_1 => [(0, all.len(), false), (0, all.len(), false)],
            _ => [(0, all.len() - 2, true), (nodev, 0, true)],
        };
        assert_eq!([dumped(11), dumped(99)], expected, "{kernel}");
    }
}

/// As a real kernel 6.1 answers: what a dump of ports calls them is the name of instances.
#[test]
fn kernel_6_1_dumps_ports_under_the_name_of_instances() {
    for kernel in KernelVersion::SUPPORTED {
        let machine = Machine::new(kernel);
        machine.new_device(10, 1);
        let mut client = machine.client();
        let dumped = client.dump(cmd::PORT_GET, Body::default()).ok();
        let asked = client.doit(cmd::PORT_GET, port_handle(10, 0)).ok();
        let expected = match kernel {
            KernelVersion::V6_1 => cmd::NEW,
            _ => cmd::PORT_NEW,
        };
        assert_eq!(dumped[0].cmd(), expected, "{kernel}");
        assert_eq!(asked[0].cmd(), cmd::PORT_NEW, "{kernel}");
    }
}

#[test]
fn what_was_there_before_is_told_when_the_instance_is_registered() {
    let machine = newest();
    let device = driver_core::Device::new(&machine.bus, "late", None, ());
    let net = Arc::clone(machine.net_core.init_net());
    let devlink = machine
        .subsystem
        .alloc(Arc::new(Bare), net, device)
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

/// A device that has nothing.
struct Bare;

impl Ops for Bare {}

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
    let tables = client.doit(cmd::DPIPE_TABLE_GET, handle(10)).one();
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
        .alloc(Arc::new(Bare), net, device)
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
