//! The bytes of real kernels: every request that iproute2 sent to a real netdevsim, sent to the toy that looks like it, must be
//! answered with the same bytes. Masked: interface indexes, which the real machine counted on from reload to reload.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::Ordering;

use netlink::message::Messages;
use netlink::{KernelVersion, RawAttrs, attr, cmd};

use support::client::{Client, handle};
use support::{Machine, toy::Toy};

/// One captured command line: what was sent and what came, in order.
struct Case<'a> {
    name: &'a str,
    steps: Vec<(char, Vec<u8>)>,
}

fn cases(file: &str) -> Vec<Case<'_>> {
    let mut cases: Vec<Case<'_>> = Vec::new();
    for line in file.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case {
                name,
                steps: Vec::new(),
            });
        } else if let Some((kind @ ("<" | ">" | "*"), hex)) = line.split_once(' ') {
            let bytes = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
            let bytes = bytes.collect::<Result<_, _>>().unwrap();
            let case = cases.last_mut().expect("a case comes first");
            case.steps.push((kind.chars().next().unwrap(), bytes));
        }
    }
    assert!(cases.len() > 25, "the file holds {} cases", cases.len());
    cases
}

/// The datagram with its interface indexes set to zero.
fn masked(datagram: &[u8]) -> Vec<u8> {
    let mut masked = datagram.to_vec();
    let mut start = 0;
    for (header, message) in Messages::new(datagram) {
        let is_port = header.kind >= 16 && matches!(message[16], cmd::PORT_NEW | cmd::PORT_DEL);
        if is_port {
            let attrs = RawAttrs::new(&message[20..], 20);
            for found in attrs.filter(|found| found.number() == attr::PORT_NETDEV_IFINDEX.number())
            {
                masked[start + found.offset as usize + 4..][..4].fill(0);
            }
        }
        start += (message.len() + 3) & !3;
    }
    masked
}

/// What happened on the real machine between two captured commands.
fn between(machine: &Machine, client: &mut Client, toy: &Toy, case: &str) {
    match case {
        "reload_netns" => {
            client
                .process
                .fds
                .lock()
                .unwrap()
                .insert(4, machine.namespaces.add("nsw"));
        }
        // Sent from the other namespace, and not captured.
        "eperm" => {
            let nsw = client.process.fds.lock().unwrap()[&4].clone();
            let mut other = Client::in_netns(machine, &nsw);
            other
                .doit(cmd::RELOAD, handle(10).u32(attr::NETNS_PID, 1))
                .ok();
            assert_eq!(toy.devlink().net().id(), machine.net_core.init_net().id());
            client.process.admin.store(false, Ordering::Relaxed);
        }
        "monitor" => client.process.admin.store(true, Ordering::Relaxed),
        _ => {}
    }
}

fn replay(file: &str, kernel: KernelVersion, family_id: u16) {
    let machine = Machine::with_family_id(kernel, family_id);
    let toy = machine.new_device(10, 4);
    let mut client = machine.client();
    let monitor = machine.client().listen();
    let mut notified = 0;
    for case in cases(file) {
        between(&machine, &mut client, &toy, case.name);
        monitor.drain();
        let mut steps = case.steps.iter().peekable();
        while let Some((kind, bytes)) = steps.next() {
            assert_eq!(*kind, '>', "{}: a request comes first", case.name);
            let mut expected = Vec::new();
            let mut expected_news = Vec::new();
            while let Some((kind, bytes)) = steps.next_if(|(kind, _)| *kind != '>') {
                let list = if *kind == '*' {
                    &mut expected_news
                } else {
                    &mut expected
                };
                list.push(masked(bytes));
            }
            let portid = u32::from_ne_bytes(expected[0][12..16].try_into().unwrap());
            client.options.portid.store(portid, Ordering::Relaxed);
            let got: Vec<_> = client
                .exchange(bytes)
                .iter()
                .map(|bytes| masked(bytes))
                .collect();
            assert_eq!(
                hex(&got),
                hex(&expected),
                "{}: {}",
                case.name,
                hex(std::slice::from_ref(bytes))[0]
            );
            if case.name == "monitor" {
                let news: Vec<_> = monitor.drain().iter().map(|bytes| masked(bytes)).collect();
                assert_eq!(hex(&news), hex(&expected_news), "{}", case.name);
                notified += news.len();
            }
        }
    }
    assert!(notified > 20, "the capture holds {notified} notifications");
    drop(client);
    machine.assert_clean();
}

fn hex(datagrams: &[Vec<u8>]) -> Vec<String> {
    let byte = |byte: &u8| format!("{byte:02x}");
    datagrams
        .iter()
        .map(|datagram| datagram.iter().map(byte).collect())
        .collect()
}

#[test]
fn replies_and_notifications_are_those_of_kernel_7_2() {
    replay(include_str!("data/wire-7.2.txt"), KernelVersion::V7_2, 21);
}

#[test]
fn replies_and_notifications_are_those_of_kernel_6_12() {
    replay(include_str!("data/wire-6.12.txt"), KernelVersion::V6_12, 23);
}
