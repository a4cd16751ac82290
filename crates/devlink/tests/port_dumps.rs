//! Dumps of ports: they resume where they stopped, and tell the ports in the order of the kernel that is shown.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;

use devlink::{Flavour, NoPortOps, PortAttrs};
use lockdep::order::Held;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Message, handle};

fn newest() -> Machine {
    Machine::new(KernelVersion::V7_2)
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

/// `net/devlink/leftover.c` of 6.1 keeps them in a list, `net/devlink/port.c` of later kernels by number.
#[test]
fn kernel_6_1_tells_ports_in_the_order_of_their_registration() {
    for (kernel, told) in [
        (KernelVersion::V6_1, [7, 6, 3]),
        (KernelVersion::V6_12, [3, 6, 7]),
    ] {
        let machine = Machine::new(kernel);
        let toy = machine.new_device(10, 0);
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        // The number 3 is given back, and taken again.
        for index in [3, 7, 6] {
            let attrs = PortAttrs::new(Flavour::Virtual);
            devl.port_register(index, Some(attrs), Arc::new(NoPortOps))
                .unwrap();
        }
        let first = Arc::clone(devl.port(3).unwrap());
        devl.port_unregister(&first);
        let attrs = PortAttrs::new(Flavour::Virtual);
        devl.port_register(3, Some(attrs), Arc::new(NoPortOps))
            .unwrap();
        drop(devl);
        let ports = machine.client().dump(cmd::PORT_GET, handle(10)).ok();
        let index = |port: &Message| port.u32(&[attr::PORT_INDEX.number()]).unwrap();
        assert_eq!(ports.iter().map(index).collect::<Vec<_>>(), told);
    }
}

/// A client that reads slowly hears of each port that was there all the time once, whatever others come and go meanwhile, and
/// of those that come later where the dump has not been yet.
#[test]
fn a_dump_of_ten_thousand_ports_goes_on_while_ports_come_and_go() {
    const PORTS: u32 = 10_000;
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let register = |index| {
        let attrs = PortAttrs::new(Flavour::Virtual);
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        let port = devl.port_register(index, Some(attrs), Arc::new(NoPortOps));
        port.unwrap();
    };
    let unregister = |index| {
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        let port = Arc::clone(devl.port(index).unwrap());
        devl.port_unregister(&port);
    };
    // Odd ports stay; of the even ones every other is there at first.
    for index in (0..PORTS).filter(|index| index % 2 == 1 || index % 4 == 0) {
        register(index);
    }
    let index = |port: &Message| port.u32(&[attr::PORT_INDEX.number()]);
    let mut client = machine.client().slow(2);
    let mut told = client.dump(cmd::PORT_GET, handle(10)).messages;
    let (mut gone, mut came, mut rounds) = (Vec::new(), Vec::new(), 0);
    loop {
        let last = told.iter().rev().find_map(index).unwrap();
        // What has been told may go, and come back; further on one goes and another comes.
        let (behind, ahead) = (last / 8 * 4, last / 4 * 4 + 400);
        if ahead + 2 < PORTS && rounds % 3 == 0 && !gone.contains(&ahead) {
            unregister(behind);
            register(behind);
            unregister(ahead);
            register(ahead + 2);
            gone.push(ahead);
            came.push(ahead + 2);
        }
        rounds += 1;
        let more = client.resume_for(2);
        let ends = more.iter().any(|message| message.header.kind == 3);
        told.extend(more.into_iter().filter(|message| message.header.kind != 3));
        if ends {
            break;
        }
    }
    assert!(rounds > 50 && gone.len() > 15, "{rounds} rounds, {gone:?}");
    let told: Vec<_> = told.iter().filter_map(index).collect();
    assert!(told.windows(2).all(|pair| pair[0] < pair[1]), "{told:?}");
    let expected = (0..PORTS).filter(|index| {
        let first = index % 2 == 1 || index % 4 == 0;
        (first && !gone.contains(index)) || came.contains(index)
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}
