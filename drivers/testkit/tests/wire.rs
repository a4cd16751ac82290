//! What is easily forgotten of the wire, with devices that have all there is: permissions, datagrams, and how answers end.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;

use driver_testkit::{Client, FAMILY_ID, Machine};
use lockdep::order::Held;
use netlink::message::{
    GENL_HDRLEN, MessageHeader, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_HDRLEN,
};
use netlink::{KernelVersion, RawAttr, RawAttrs, Writer, attr, cmd};

const NETDEVSIM: &str = "netdevsim/netdevsim0";
const SWITCH: &str = "pci/0000:01:00.0";

/// A page of a client's buffer, less what the kernel keeps for itself: no datagram may be larger.
const LARGEST: usize = 3776;

/// Marked `GENL_ADMIN_PERM` in the tables of operations of all kernels: 33 to do and 2 to dump.
const ADMIN: [u8; 35] = [
    cmd::PORT_SET,
    cmd::PORT_NEW,
    cmd::PORT_DEL,
    cmd::PORT_SPLIT,
    cmd::PORT_UNSPLIT,
    cmd::PORT_PARAM_SET,
    cmd::SB_POOL_SET,
    cmd::SB_PORT_POOL_SET,
    cmd::SB_TC_POOL_BIND_SET,
    cmd::SB_OCC_SNAPSHOT,
    cmd::SB_OCC_MAX_CLEAR,
    cmd::ESWITCH_GET,
    cmd::ESWITCH_SET,
    cmd::DPIPE_TABLE_COUNTERS_SET,
    cmd::RESOURCE_SET,
    cmd::RELOAD,
    cmd::PARAM_SET,
    cmd::REGION_NEW,
    cmd::REGION_DEL,
    cmd::REGION_READ,
    cmd::HEALTH_REPORTER_SET,
    cmd::HEALTH_REPORTER_RECOVER,
    cmd::HEALTH_REPORTER_DIAGNOSE,
    cmd::HEALTH_REPORTER_DUMP_GET,
    cmd::HEALTH_REPORTER_DUMP_CLEAR,
    cmd::HEALTH_REPORTER_TEST,
    cmd::FLASH_UPDATE,
    cmd::TRAP_SET,
    cmd::TRAP_GROUP_SET,
    cmd::TRAP_POLICER_SET,
    cmd::RATE_SET,
    cmd::RATE_NEW,
    cmd::RATE_DEL,
    cmd::LINECARD_SET,
    cmd::SELFTESTS_RUN,
];

struct Host {
    machine: Arc<Machine>,
    netdevsim: Arc<netdevsim::Netdevsim>,
    spectrum: Arc<spectrum::Module>,
}

/// A netdevsim with many ports and a switch.
fn host(kernel: KernelVersion) -> Host {
    let machine = Machine::new(kernel);
    let parts = || {
        (
            Arc::clone(&machine.driver_core),
            Arc::clone(&machine.net_core),
            Arc::clone(&machine.devlink),
        )
    };
    let held = &mut Held::root();
    let (drivers, nets, devlink) = parts();
    let netdevsim = netdevsim::Netdevsim::new(drivers, nets, devlink, netdevsim::Config::default());
    netdevsim.load(held).unwrap();
    let net = Arc::clone(machine.net_core.init_net());
    netdevsim.new_device(held, 0, 60, 1, net).unwrap();
    let (drivers, nets, devlink) = parts();
    let spectrum = spectrum::Module::new(drivers, nets, devlink, spectrum::Config::default());
    spectrum.load(held).unwrap();
    spectrum
        .plug(held, "0000:01:00.0".parse().unwrap())
        .unwrap();
    Host {
        machine,
        netdevsim,
        spectrum,
    }
}

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.spectrum.unload(&mut Held::root()).unwrap();
        self.netdevsim.unload(&mut Held::root()).unwrap();
    }
}

fn datagram(family: u16, command: u8, dump: bool, fill: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut payload = Vec::new();
    fill(&mut Writer::new(&mut payload, 1000, KernelVersion::DEFAULT));
    let header = MessageHeader {
        len: u32::try_from(NLMSG_HDRLEN + GENL_HDRLEN + payload.len()).unwrap(),
        kind: family,
        flags: NLM_F_REQUEST | NLM_F_ACK | if dump { NLM_F_DUMP } else { 0 },
        seq: 7,
        portid: 0,
    };
    [&header.to_bytes()[..], &[command, 1, 0, 0], &payload].concat()
}

fn handle(w: &mut Writer<'_>, device: &str) {
    let (bus, dev) = device.split_once('/').unwrap();
    w.put_str(attr::BUS_NAME, bus).unwrap();
    w.put_str(attr::DEV_NAME, dev).unwrap();
}

/// Each message of an answer: its type, and the code if it is an acknowledgement or an end that has one.
fn ends(answer: &[Vec<u8>]) -> Vec<(u16, Option<i32>)> {
    let messages = answer.iter().flat_map(|datagram| Messages::new(datagram));
    messages
        .map(|(header, message)| {
            let code = message[NLMSG_HDRLEN..].first_chunk().copied();
            let ends = [NLMSG_ERROR, NLMSG_DONE].contains(&header.kind);
            (header.kind, code.filter(|_| ends).map(i32::from_ne_bytes))
        })
        .collect()
}

#[test]
fn only_what_the_kernel_lists_needs_an_administrator() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let (root, nobody) = (host.client(), host.client().unprivileged());
        let mut refused = Vec::new();
        for op in netlink::devlink::family(kernel).ops {
            for dump in [false, true] {
                let half = if dump { op.dump } else { op.doit };
                if half.is_none() {
                    continue;
                }
                // Without a handle: root is refused what it asks for a better reason.
                let request = datagram(FAMILY_ID, op.cmd, dump, |_| ());
                let code = |client: &Client| ends(&client.deliver(&request)).pop().unwrap().1;
                assert_ne!(code(&root), Some(-1), "{kernel} {}", op.cmd);
                if code(&nobody) == Some(-1) {
                    refused.push(op.cmd);
                }
            }
        }
        refused.sort_unstable();
        let mut admin = ADMIN.to_vec();
        if kernel == KernelVersion::V6_1 {
            // To do and to dump.
            admin.extend([cmd::REGION_GET; 2]);
        }
        admin.sort_unstable();
        assert_eq!(refused, admin, "{kernel}");
    }
}

/// No datagram is larger than a page's worth, dumps end without an acknowledgement, and nothing says that a dump was interrupted.
#[test]
fn every_dump_comes_in_datagrams_that_fit_and_ends_once() {
    const NLM_F_DUMP_INTR: u16 = 0x10;
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let client = host.client();
        let name = |w: &mut Writer<'_>| {
            handle(w, NETDEVSIM);
            w.put_str(attr::REGION_NAME, "dummy").unwrap();
            w.put_str(attr::HEALTH_REPORTER_NAME, "dummy").unwrap();
            w.put_u32(attr::REGION_SNAPSHOT_ID, 5).unwrap();
        };
        let snapshot = datagram(FAMILY_ID, cmd::REGION_NEW, false, name);
        assert_eq!(ends(&client.deliver(&snapshot)), [(NLMSG_ERROR, Some(0))]);
        for op in netlink::devlink::family(kernel).ops {
            if op.dump.is_none() {
                continue;
            }
            let one = [cmd::REGION_READ, cmd::HEALTH_REPORTER_DUMP_GET].contains(&op.cmd);
            let request = datagram(FAMILY_ID, op.cmd, true, |w| {
                if one {
                    name(w);
                }
            });
            let answer = client.deliver(&request);
            for datagram in &answer {
                assert!(datagram.len() <= LARGEST, "{kernel} {}", op.cmd);
                let interrupted =
                    Messages::new(datagram).any(|(header, _)| header.flags & NLM_F_DUMP_INTR != 0);
                assert!(!interrupted, "{kernel} {}", op.cmd);
            }
            let ends = ends(&answer);
            let end = ends.iter().filter(|(kind, _)| *kind != FAMILY_ID);
            let end: Vec<_> = end.collect();
            assert_eq!(end, [&(NLMSG_DONE, Some(0))], "{kernel} {}", op.cmd);
            if op.cmd == cmd::PORT_GET {
                assert!(answer.len() > 1, "more than a datagram holds");
            }
        }
    }
}

/// Five commands answer with as many messages as it takes, an end without a code, and then the acknowledgement.
#[test]
fn five_answers_end_twice() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let client = host.client();
        for (command, device, name) in [
            (cmd::DPIPE_TABLE_GET, SWITCH, None),
            (cmd::DPIPE_ENTRIES_GET, SWITCH, Some("mlxsw_erif")),
            (cmd::DPIPE_HEADERS_GET, SWITCH, None),
            (cmd::RESOURCE_DUMP, SWITCH, None),
            (cmd::HEALTH_REPORTER_DIAGNOSE, NETDEVSIM, Some("dummy")),
        ] {
            let answer = client.deliver(&datagram(FAMILY_ID, command, false, |w| {
                handle(w, device);
                match name {
                    Some(name) if command == cmd::DPIPE_ENTRIES_GET => {
                        w.put_str(attr::DPIPE_TABLE_NAME, name).unwrap();
                    }
                    Some(name) => w.put_str(attr::HEALTH_REPORTER_NAME, name).unwrap(),
                    None => {}
                }
            }));
            assert!(answer.iter().all(|datagram| datagram.len() <= LARGEST));
            let ends = ends(&answer);
            let (said, end) = ends.split_at(ends.len() - 2);
            assert!(!said.is_empty(), "{kernel} {command}");
            assert!(said.iter().all(|(kind, _)| *kind == FAMILY_ID));
            assert_eq!(
                end,
                [(NLMSG_DONE, None), (NLMSG_ERROR, Some(0))],
                "{kernel} {command}"
            );
        }
    }
}

/// iproute2 asks for a dump of one device's objects only if the dump's policy is another than the command's; kernel 6.1 has one
/// policy for all.
#[test]
fn the_policies_of_a_command_and_of_its_dump_differ_since_commands_have_their_own() {
    const CONTROLLER: u16 = 16;
    const GETPOLICY: u8 = 10;
    let nested = |found: RawAttr<'_>| RawAttrs::new(found.payload, 0).collect::<Vec<_>>().len();
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let name = netlink::Attr::<netlink::wire::kind::Str>::new(2, "FAMILY_NAME");
        let request = datagram(CONTROLLER, GETPOLICY, true, |w| {
            w.put_str(name, "devlink").unwrap();
        });
        let mut halves = Vec::new();
        let mut described = std::collections::BTreeMap::<u16, usize>::new();
        for answer in host.client().deliver(&request) {
            for (_, message) in
                Messages::new(&answer).filter(|(header, _)| header.kind == CONTROLLER)
            {
                for found in RawAttrs::new(&message[NLMSG_HDRLEN + GENL_HDRLEN..], 0) {
                    match found.number() {
                        8 => {
                            for policy in found.nested() {
                                *described.entry(policy.number()).or_default() += nested(policy);
                            }
                        }
                        9 => {
                            for op in found.nested() {
                                let half = |number| {
                                    let found = op.nested().find(|half| half.number() == number);
                                    found.and_then(|half| half.u32())
                                };
                                halves.push((op.number(), half(1), half(2)));
                            }
                        }
                        _ => {}
                    }
                }
            }
        }
        let both = halves
            .iter()
            .filter_map(|&(op, doit, dump)| Some((op, doit?, dump?)));
        let both: Vec<_> = both.collect();
        let least = if kernel == KernelVersion::V6_1 { 5 } else { 13 };
        assert!(both.len() >= least, "{kernel} {halves:?}");
        for (op, doit, dump) in both {
            if kernel == KernelVersion::V6_1 {
                assert_eq!(doit, dump, "{op}");
            } else {
                assert_ne!(doit, dump, "{kernel} {op}");
                let dump = u16::try_from(dump).unwrap();
                let attrs = described.get(&dump).copied().unwrap_or(0);
                // Dumps that take no attributes have a policy that refuses all.
                let all = [
                    cmd::GET,
                    cmd::INFO_GET,
                    cmd::SELFTESTS_GET,
                    cmd::PORT_PARAM_GET,
                ];
                let least = if all.map(u16::from).contains(&op) {
                    0
                } else {
                    2
                };
                assert!(attrs >= least, "{kernel} {op}: the handle");
            }
        }
    }
}
