//! Random requests: mostly what the policy allows and means something, sometimes not.

use driver_core::{Rng, SeededRng};
use driver_testkit::FAMILY_ID;
use netlink::message::{
    GENL_HDRLEN, MessageHeader, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_HDRLEN,
};
use netlink::policy::{AttrPolicy, Check, Policy, PolicyKind};
use netlink::{KernelVersion, RawAttrs, attr, cmd};

use crate::dictionary::Dictionary;
use crate::tally::Half;

/// Random numbers, as a thread draws them.
pub(crate) struct Dice(SeededRng);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Dice(SeededRng::new(seed))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0.next_u64() % end
    }

    /// True so many times of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(crate) fn choose<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(self.below(from.len().max(1) as u64) as usize)
    }

    fn bytes(&mut self, len: u64) -> Vec<u8> {
        (0..len).map(|_| self.below(256) as u8).collect()
    }

    /// A number that is small, or at an end, or anything.
    fn number(&mut self) -> u64 {
        match self.below(8) {
            0..=4 => self.below(5),
            5 => self.below(300),
            6 => u64::MAX - self.below(2),
            _ => self.0.next_u64(),
        }
    }
}

/// Attributes, one after the other.
#[derive(Default)]
pub(crate) struct Payload(Vec<u8>);

impl Payload {
    pub(crate) fn put(&mut self, wire_type: u16, value: &[u8]) {
        let len = u16::try_from(value.len() + 4).unwrap();
        self.0.extend(len.to_ne_bytes());
        self.0.extend(wire_type.to_ne_bytes());
        self.0.extend(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

pub(crate) fn datagram(cmd: u8, dump: bool, payload: &Payload) -> Vec<u8> {
    let header = MessageHeader {
        len: u32::try_from(NLMSG_HDRLEN + GENL_HDRLEN + payload.0.len()).unwrap(),
        kind: FAMILY_ID,
        flags: NLM_F_REQUEST | NLM_F_ACK | if dump { NLM_F_DUMP } else { 0 },
        seq: 1,
        portid: 0,
    };
    let mut datagram = header.to_bytes().to_vec();
    datagram.extend([cmd, 1, 0, 0]);
    datagram.extend(&payload.0);
    datagram
}

/// A datagram, and what it is.
pub(crate) struct Request {
    pub(crate) text: String,
    pub(crate) datagram: Vec<u8>,
}

impl Request {
    /// The request of this command with these attributes.
    pub(crate) fn new(why: &str, cmd: u8, dump: bool, payload: &Payload) -> Self {
        let what = if dump { "dump" } else { "do" };
        let attrs = String::from_utf8_lossy(&payload.0);
        Request {
            text: format!("{why} {what} {cmd} {attrs:?}"),
            datagram: datagram(cmd, dump, payload),
        }
    }

    /// Its command, and whether as a dump.
    pub(crate) fn half(&self) -> Half {
        let header = MessageHeader::parse(&self.datagram).unwrap();
        let dump = header.flags & NLM_F_DUMP == NLM_F_DUMP;
        (self.datagram[NLMSG_HDRLEN], dump)
    }

    pub(crate) fn attrs(&self) -> RawAttrs<'_> {
        RawAttrs::new(&self.datagram[NLMSG_HDRLEN + GENL_HDRLEN..], 0)
    }
}

/// What no answer of an untouched machine contains.
pub(crate) fn extra_values() -> Vec<(u16, Vec<u8>)> {
    let mut extra = Vec::new();
    for name in ["g1", "g2", "g3", ""] {
        let name = [name.as_bytes(), b"\0"].concat();
        extra.push((attr::RATE_NODE_NAME.number(), name.clone()));
        extra.push((attr::RATE_PARENT_NODE_NAME.number(), name));
    }
    for name in ["any", "missing", "../up"] {
        let name = [name.as_bytes(), b"\0"].concat();
        extra.push((attr::FLASH_UPDATE_FILE_NAME.number(), name));
    }
    for id in 0_u32..4 {
        extra.push((attr::REGION_SNAPSHOT_ID.number(), id.to_ne_bytes().into()));
    }
    for chunk in [0_u64, 16, 4000, 32_767, 32_768] {
        extra.push((attr::REGION_CHUNK_ADDR.number(), chunk.to_ne_bytes().into()));
        extra.push((attr::REGION_CHUNK_LEN.number(), chunk.to_ne_bytes().into()));
    }
    for mode in 0_u16..3 {
        extra.push((attr::ESWITCH_MODE.number(), mode.to_ne_bytes().into()));
    }
    extra
}

/// A random request for devlink.
pub(crate) fn random(dice: &mut Dice, dictionary: &Dictionary, net: u64) -> Request {
    let ops = netlink::devlink::family(dictionary.kernel).ops;
    // Now and then a command that there is not.
    if dice.chance(1) {
        let (cmd, len) = (dice.below(256) as u8, dice.below(40));
        let payload = Payload(dice.bytes(len));
        return Request::new("unknown", cmd, dice.chance(50), &payload);
    }
    let op = dice.choose(ops).unwrap();
    let dump = op.doit.is_none() || (op.dump.is_some() && dice.chance(30));
    // What belongs to a command is known since commands have policies of their own.
    let newest = netlink::devlink::family(KernelVersion::V7_2)
        .op(op.cmd)
        .unwrap_or(op);
    let half = if dump { newest.dump } else { newest.doit };
    let policy = half.or(op.doit).and_then(|half| half.policy);
    let mut payload = Payload::default();
    let handle = if dump {
        dice.chance(40)
    } else {
        dice.chance(97)
    };
    if handle {
        put_handle(dice, dictionary, &mut payload);
    }
    if let Some(policy) = policy {
        put_attrs(dice, dictionary, policy, net, op.cmd, &mut payload);
    }
    if dice.chance(3) {
        // What does not belong there.
        let number = dice.below(200) as u16;
        let len = dice.below(12);
        let value = match dice.choose(dictionary.values(number)) {
            Some(value) if dice.chance(70) => value.clone(),
            _ => dice.bytes(len),
        };
        payload.put(number, &value);
    }
    if dice.chance(1) {
        let end = dice.below(payload.0.len() as u64 + 1) as usize;
        payload.0.truncate(end);
    }
    Request::new("random", op.cmd, dump, &payload)
}

fn put_handle(dice: &mut Dice, dictionary: &Dictionary, payload: &mut Payload) {
    if dice.chance(3) {
        let index = dice.below(12) as u32;
        payload.put(attr::INDEX.number(), &index.to_ne_bytes());
        return;
    }
    if dice.chance(55) {
        let name = format!("netdevsim{}\0", dice.below(crate::world::DEVICES + 1));
        payload.put(attr::BUS_NAME.number(), b"netdevsim\0");
        payload.put(attr::DEV_NAME.number(), name.as_bytes());
        return;
    }
    if let Some((bus, dev)) = dice.choose(&dictionary.handles) {
        payload.put(attr::BUS_NAME.number(), bus);
        payload.put(attr::DEV_NAME.number(), dev);
    }
}

fn put_attrs(
    dice: &mut Dice,
    dictionary: &Dictionary,
    policy: &Policy,
    net: u64,
    command: u8,
    payload: &mut Payload,
) {
    let handle = [
        attr::BUS_NAME.number(),
        attr::DEV_NAME.number(),
        attr::INDEX.number(),
    ];
    for &(number, ref wanted) in policy.attrs {
        let namespace = [
            attr::NETNS_FD.number(),
            attr::NETNS_PID.number(),
            attr::NETNS_ID.number(),
        ]
        .contains(&number);
        let percent = match number {
            _ if handle.contains(&number) => 0,
            _ if number == attr::NETNS_FD.number() => 40,
            _ if namespace => 3,
            _ => 70,
        };
        // A reload that is told to do too much is refused before it does anything.
        let percent = if command == cmd::RELOAD && !namespace {
            percent / 2
        } else {
            percent
        };
        if !dice.chance(percent) {
            continue;
        }
        if number == attr::NETNS_FD.number() && dice.chance(90) {
            payload.put(number, &(net as u32).to_ne_bytes());
            continue;
        }
        if let PolicyKind::Nested(Some(nested)) = wanted.kind {
            let mut inner = Payload::default();
            put_attrs(dice, dictionary, nested, net, command, &mut inner);
            payload.put(number | 0x8000, &inner.0);
            continue;
        }
        let value = match dice.choose(dictionary.values(number)) {
            Some(value) if dice.chance(80) => value.clone(),
            _ => value(dice, wanted),
        };
        payload.put(number, &value);
    }
}

/// What the policy allows, or nearly.
fn value(dice: &mut Dice, policy: &AttrPolicy) -> Vec<u8> {
    let number = match policy.check {
        Check::Range(min, max) if dice.chance(90) => {
            min + dice.below((max - min).saturating_add(1).max(1))
        }
        Check::OneOf(values) if dice.chance(90) => dice.choose(values).copied().unwrap_or(0),
        _ => dice.number(),
    };
    if dice.chance(2) {
        let len = dice.below(40);
        return dice.bytes(len);
    }
    match policy.kind {
        PolicyKind::U8 => vec![number as u8],
        PolicyKind::U16 => (number as u16).to_ne_bytes().into(),
        PolicyKind::U32 => (number as u32).to_ne_bytes().into(),
        PolicyKind::U64 => number.to_ne_bytes().into(),
        PolicyKind::Uint if dice.chance(50) => (number as u32).to_ne_bytes().into(),
        PolicyKind::Uint => number.to_ne_bytes().into(),
        PolicyKind::Flag | PolicyKind::Reject | PolicyKind::Unspec => Vec::new(),
        PolicyKind::String { max } | PolicyKind::NulString { max } => {
            let max = if max == 0 { 70 } else { u64::from(max) + 2 };
            let len = dice.below(max);
            let mut text: Vec<u8> = (0..len).map(|_| b'a' + dice.below(26) as u8).collect();
            text.push(0);
            text
        }
        PolicyKind::Binary { max } => {
            let len = dice.below(u64::from(max).clamp(8, 64) + 1);
            dice.bytes(len)
        }
        PolicyKind::Nested(_) => {
            let len = dice.below(24);
            dice.bytes(len)
        }
        PolicyKind::Bitfield32 { mask } => {
            let mask = if dice.chance(90) {
                u64::from(mask)
            } else {
                u64::MAX
            };
            let selector = (number & mask) as u32;
            let value = dice.below(u64::MAX) as u32 & selector;
            [value.to_ne_bytes(), selector.to_ne_bytes()].concat()
        }
    }
}
