//! Resources: trees of sizes that wait for a reload.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use devlink::{Devl, NewResource, RESOURCE_ID_PARENT_TOP, ResourceSizeParams, ResourceUnit};
use lockdep::order::Held;
use netlink::{KernelVersion, RawAttr, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Message, handle, port_handle};
use support::toy::Toy;

fn new(name: &'static str, id: u64, parent: u64, size: u64) -> NewResource {
    NewResource {
        name,
        id,
        parent,
        size,
        size_params: ResourceSizeParams {
            size_min: 10,
            size_max: 1000,
            size_granularity: 5,
            unit: ResourceUnit::Entry,
        },
    }
}

fn with<R>(toy: &Toy, act: impl FnOnce(&mut Devl<'_>) -> R) -> R {
    let mut held = Held::root();
    act(&mut toy.devlink().lock(&mut held))
}

/// A table of 100 entries with two parts, one of which says how full it is.
fn register(toy: &Toy) {
    with(toy, |devl| {
        devl.resource_register(new("table", 1, RESOURCE_ID_PARENT_TOP, 100))
            .unwrap();
        devl.resource_register(new("hash", 2, 1, 60)).unwrap();
        devl.resource_register(new("linear", 3, 1, 40)).unwrap();
        devl.resource_occ_get_register(2, |_| 33);
        assert_eq!(
            devl.resource_register(new("again", 3, RESOURCE_ID_PARENT_TOP, 10)),
            Err(Errno::EXIST)
        );
        assert_eq!(
            devl.resource_register(new("lost", 9, 8, 10)),
            Err(Errno::INVAL)
        );
    });
}

fn unregister(toy: &Toy) {
    with(toy, |devl| devl.resources_unregister());
}

/// `name size[->new] [occ N] [!] (parts)`, as the message has it.
fn show(list: RawAttrs<'_>) -> String {
    let shown = list.map(|resource| {
        let find = |number: u16| resource.nested().find(|attr| attr.number() == number);
        let number = |number| find(number).and_then(RawAttr::u64);
        let name = find(attr::RESOURCE_NAME.number()).unwrap().text();
        let mut text = String::from_utf8(name.to_vec()).unwrap();
        text += &format!(" {}", number(attr::RESOURCE_SIZE.number()).unwrap());
        if let Some(size) = number(attr::RESOURCE_SIZE_NEW.number()) {
            text += &format!("->{size}");
        }
        if let Some(occ) = number(attr::RESOURCE_OCC.number()) {
            text += &format!(" occ {occ}");
        }
        if find(attr::RESOURCE_SIZE_VALID.number()).and_then(RawAttr::u8) == Some(0) {
            text += " !";
        }
        if let Some(parts) = find(attr::RESOURCE_LIST.number()) {
            text += &format!(" ({})", show(parts.nested()));
        }
        text
    });
    shown.collect::<Vec<_>>().join(", ")
}

fn shown(message: &Message) -> String {
    assert_eq!(message.cmd(), cmd::RESOURCE_DUMP);
    show(RawAttrs::new(
        &message.find(&[attr::RESOURCE_LIST.number()]).unwrap(),
        0,
    ))
}

fn set(id: u64, size: u64) -> Body {
    handle(10)
        .u64(attr::RESOURCE_ID, id)
        .u64(attr::RESOURCE_SIZE, size)
}

#[test]
fn a_size_waits_for_the_driver_to_ask() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let mut client = machine.client();
    let none = client.doit(cmd::RESOURCE_DUMP, handle(10));
    assert_eq!(none.error(), (Errno::OPNOTSUPP, None));
    register(&toy);
    let all = client.doit(cmd::RESOURCE_DUMP, handle(10)).one();
    assert_eq!(shown(&all), "table 100 (hash 60 occ 33, linear 40)");

    client.doit(cmd::RESOURCE_SET, set(3, 45)).ok();
    let all = client.doit(cmd::RESOURCE_DUMP, handle(10)).one();
    assert_eq!(shown(&all), "table 100 ! (hash 60 occ 33, linear 40->45)");
    // The parts are more than the whole: first of all things, a reload says so.
    let refused = client.doit(cmd::RELOAD, handle(10).u8(attr::RELOAD_ACTION, 2));
    let text = Some("resources size validation failed");
    assert_eq!(refused.error(), (Errno::INVAL, text));

    client.doit(cmd::RESOURCE_SET, set(1, 105)).ok();
    client.doit(cmd::RELOAD, handle(10)).ok();
    with(&toy, |devl| {
        assert_eq!(devl.resource_size_get(3), Ok(45));
        assert_eq!(devl.resource_size_get(9), Err(Errno::INVAL));
        devl.resource_occ_get_unregister(2);
    });
    let all = client.doit(cmd::RESOURCE_DUMP, handle(10)).one();
    assert_eq!(shown(&all), "table 100->105 (hash 60, linear 45)");
    unregister(&toy);
    machine.assert_clean();
}

#[test]
fn a_size_must_be_one_that_the_resource_can_have() {
    let machine = Machine::new(KernelVersion::V6_12);
    let toy = machine.new_device(10, 0);
    register(&toy);
    let mut client = machine.client();
    let cases = [
        (set(2, 1005), "Size larger than maximum"),
        (set(2, 5), "Size smaller than minimum"),
        (set(2, 61), "Wrong granularity"),
        // Of two faults the last one found is named.
        (set(2, 1001), "Wrong granularity"),
        (set(2, 0), "Size smaller than minimum"),
    ];
    for (body, text) in cases {
        let refused = client.doit(cmd::RESOURCE_SET, body);
        assert_eq!(refused.error(), (Errno::INVAL, Some(text)));
    }
    assert_eq!(
        client.doit(cmd::RESOURCE_SET, set(9, 20)).error(),
        (Errno::INVAL, None)
    );
    assert_eq!(
        client.doit(cmd::RESOURCE_SET, handle(10)).error(),
        (Errno::INVAL, None)
    );
    unregister(&toy);
    machine.assert_clean();
}

#[test]
fn ports_have_resources_since_7_2() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 3);
    register(&toy);
    with(&toy, |devl| {
        for port in [0, 2] {
            let test = new("test", 1, RESOURCE_ID_PARENT_TOP, 20);
            devl.port_resource_register(port, test).unwrap();
        }
        let nowhere = new("test", 1, RESOURCE_ID_PARENT_TOP, 20);
        assert_eq!(devl.port_resource_register(7, nowhere), Err(Errno::NODEV));
    });
    let mut client = machine.client();
    let mut dump = |body: Body| -> Vec<(Option<u32>, String)> {
        let messages = client.dump(cmd::RESOURCE_DUMP, body).ok();
        let port = |message: &Message| message.u32(&[attr::PORT_INDEX.number()]);
        messages
            .iter()
            .map(|message| (port(message), shown(message)))
            .collect()
    };
    let of_device = (None, "table 100 (hash 60 occ 33, linear 40)".to_owned());
    let of_port = |port| (Some(port), "test 20".to_owned());
    let scope = |mask| Body::default().u32(attr::RESOURCE_SCOPE_MASK, mask);
    let everything = [of_device.clone(), of_port(0), of_port(2)];
    assert_eq!(dump(Body::default()), everything);
    assert_eq!(dump(scope(3)), everything);
    assert_eq!(dump(scope(1)), [of_device]);
    assert_eq!(dump(scope(2)), [of_port(0), of_port(2)]);

    let one = client.doit(cmd::RESOURCE_DUMP, port_handle(10, 2)).one();
    assert_eq!(one.u32(&[attr::PORT_INDEX.number()]), Some(2));
    assert_eq!(shown(&one), "test 20");
    let mut refused = |port| {
        client
            .doit(cmd::RESOURCE_DUMP, port_handle(10, port))
            .error()
            .0
    };
    assert_eq!((refused(1), refused(7)), (Errno::OPNOTSUPP, Errno::NODEV));
    let empty = client.dump(cmd::RESOURCE_DUMP, scope(0));
    assert_eq!(
        empty.error(),
        (Errno::INVAL, Some("empty resource scope selection"))
    );

    with(&toy, |devl| {
        devl.port_resources_unregister(0);
        devl.port_resources_unregister(2);
        devl.resources_unregister();
    });
    machine.assert_clean();
}

#[test]
fn more_than_a_datagram_holds_comes_in_several() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 1);
    const COUNT: u64 = 200;
    with(&toy, |devl| {
        for id in 1..=COUNT {
            let entry = || new("entry", id, RESOURCE_ID_PARENT_TOP, 20);
            devl.resource_register(entry()).unwrap();
            devl.port_resource_register(0, entry()).unwrap();
        }
    });
    let mut client = machine.client();
    let count = |messages: &[Message]| -> usize {
        messages
            .iter()
            .map(|message| shown(message).split(", ").count())
            .sum()
    };
    let answer = client.doit(cmd::RESOURCE_DUMP, handle(10)).ok();
    assert!(answer.len() > 1);
    assert_eq!(count(&answer), COUNT as usize);
    let answer = client.dump(cmd::RESOURCE_DUMP, Body::default()).ok();
    let ports: Vec<_> = answer
        .iter()
        .map(|message| message.u32(&[attr::PORT_INDEX.number()]))
        .collect();
    assert!(ports.is_sorted() && ports[0].is_none() && ports.last() == Some(&Some(0)));
    assert_eq!(count(&answer), 2 * COUNT as usize);
    with(&toy, |devl| {
        devl.port_resources_unregister(0);
        devl.resources_unregister();
    });
    machine.assert_clean();
}
