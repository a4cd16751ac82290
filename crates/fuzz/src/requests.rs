//! Requests for every command, with attributes that its policy knows, and some that it does not.

use netlink::KernelVersion;
use netlink::message::{
    MessageHeader, NLA_F_NESTED, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HDRLEN,
};
use netlink::policy::PolicyKind;
use netlink::{attr, devlink};

use crate::random::Random;

/// The family's id on the machines of `driver-testkit`.
const FAMILY_ID: u16 = 0x15;

/// Names that lead somewhere, and some that do not.
const NAMES: &[&str] = &[
    "netdevsim10",
    "netdevsim",
    "netdevsim11",
    "max_macs",
    "test1",
    "test2",
    "blackhole_route",
    "l2_drops",
    "dummy",
    "empty",
    "fw.mgmt",
    "1st_grp",
    "0",
    "",
];

/// A request, most often for a device that is there.
pub fn request(random: &mut Random, kernel: KernelVersion) -> Vec<u8> {
    let ops = devlink::family(kernel).ops;
    let op = &ops[random.below(ops.len())];
    let halves: Vec<_> = [(op.doit, 0), (op.dump, NLM_F_DUMP)]
        .into_iter()
        .filter_map(|(half, flags)| Some((half?, flags)))
        .collect();
    let Some((half, flags)) = random.pick(&halves) else {
        return Vec::new();
    };
    let mut body = Vec::new();
    if !random.one_in(8) {
        put(&mut body, attr::BUS_NAME.number(), b"netdevsim\0");
        let name: &[u8] = match random.one_in(4) {
            true => b"netdevsim11\0",
            false => b"netdevsim10\0",
        };
        put(&mut body, attr::DEV_NAME.number(), name);
    }
    let known: Vec<_> = half.policy.map_or_else(Vec::new, |policy| {
        let mut attrs: Vec<_> = policy.attrs.iter().map(|&(n, p)| (n, p.kind)).collect();
        // The handle is there already.
        attrs.retain(|&(number, _)| number > attr::DEV_NAME.number() || random.one_in(16));
        attrs
    });
    for _ in 0..random.below(5) {
        let (number, kind) = match random.pick(&known) {
            Some(known) if !random.one_in(10) => known,
            _ => (random.below(200) as u16, PolicyKind::Unspec),
        };
        let flag = match random.one_in(10) {
            true => NLA_F_NESTED,
            false => 0,
        };
        let value = value(random, kind);
        put(&mut body, number | flag, &value);
    }
    let ack = match random.one_in(4) {
        true => 0,
        false => NLM_F_ACK,
    };
    let header = MessageHeader {
        len: (NLMSG_HDRLEN + 4 + body.len()) as u32,
        kind: FAMILY_ID,
        flags: NLM_F_REQUEST | ack | flags,
        seq: random.number() as u32,
        portid: 0,
    };
    let mut datagram = header.to_bytes().to_vec();
    datagram.extend([op.cmd, 1, 0, 0]);
    datagram.extend(body);
    datagram
}

fn put(body: &mut Vec<u8>, wire_type: u16, payload: &[u8]) {
    body.extend(((payload.len() + 4) as u16).to_ne_bytes());
    body.extend(wire_type.to_ne_bytes());
    body.extend_from_slice(payload);
    body.resize(body.len().next_multiple_of(4), 0);
}

/// A value of the kind; one in ten is none.
fn value(random: &mut Random, kind: PolicyKind) -> Vec<u8> {
    if random.one_in(10) {
        return random.bytes(40);
    }
    let number = match random.below(4) {
        0 => random.number(),
        1 => u64::MAX,
        _ => random.below(8) as u64,
    };
    match kind {
        PolicyKind::U8 => vec![number as u8],
        PolicyKind::U16 => (number as u16).to_ne_bytes().to_vec(),
        PolicyKind::U32 => (number as u32).to_ne_bytes().to_vec(),
        PolicyKind::U64 => number.to_ne_bytes().to_vec(),
        PolicyKind::Uint if random.one_in(2) => (number as u32).to_ne_bytes().to_vec(),
        PolicyKind::Uint => number.to_ne_bytes().to_vec(),
        PolicyKind::Flag => Vec::new(),
        PolicyKind::String { .. } | PolicyKind::NulString { .. } => {
            let name = random.pick(NAMES).unwrap_or_default();
            [name.as_bytes(), &[0]].concat()
        }
        PolicyKind::Bitfield32 { .. } => {
            let selector = random.below(8) as u32;
            [
                (number as u32 & selector).to_ne_bytes(),
                selector.to_ne_bytes(),
            ]
            .concat()
        }
        _ => {
            let mut nest = Vec::new();
            for _ in 0..random.below(3) {
                let payload = random.bytes(12);
                put(&mut nest, random.below(6) as u16, &payload);
            }
            nest
        }
    }
}
