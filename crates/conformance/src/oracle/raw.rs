//! Raw messages, made from the wire tables: every command, with attributes that it knows, in sizes that they have, and others.
//!
//! They become command lines of `guest/genl.py`, which prints the answer attribute by attribute, so that a transcript says what was sent.

use netlink::KernelVersion;
use netlink::devlink::{self, Needs};
use netlink::policy::{Policy, PolicyKind};
use netlink::{attr, cmd};

use super::model::Model;
use super::random::Random;

/// `NLA_F_NESTED`, `NLA_F_NET_BYTEORDER`.
const FLAGS: [u16; 2] = [0x8000, 0x4000];

/// Commands on what netdevsim has none of: seldom sent, for they are refused.
const ELSEWHERE: [u8; 22] = [
    cmd::PORT_SET,
    cmd::PORT_SPLIT,
    cmd::PORT_UNSPLIT,
    cmd::SB_GET,
    cmd::SB_POOL_GET,
    cmd::SB_POOL_SET,
    cmd::SB_PORT_POOL_GET,
    cmd::SB_PORT_POOL_SET,
    cmd::SB_TC_POOL_BIND_GET,
    cmd::SB_TC_POOL_BIND_SET,
    cmd::SB_OCC_SNAPSHOT,
    cmd::SB_OCC_MAX_CLEAR,
    cmd::DPIPE_TABLE_GET,
    cmd::DPIPE_ENTRIES_GET,
    cmd::DPIPE_HEADERS_GET,
    cmd::DPIPE_TABLE_COUNTERS_SET,
    cmd::PORT_PARAM_GET,
    cmd::PORT_PARAM_SET,
    cmd::LINECARD_GET,
    cmd::LINECARD_SET,
    cmd::SELFTESTS_GET,
    cmd::SELFTESTS_RUN,
];

/// What makes messages for a kernel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Raw {
    kernel: KernelVersion,
}

impl Raw {
    pub(super) fn new(kernel: KernelVersion) -> Self {
        Self { kernel }
    }

    /// One message, as a command line.
    pub(super) fn line(&self, model: &Model, random: &mut Random) -> String {
        let family = devlink::family(self.kernel);
        let mut op = random.pick(family.ops);
        while ELSEWHERE.contains(&op.cmd) && !random.one_in(4) {
            op = random.pick(family.ops);
        }
        let (half, dump) = match (op.doit, op.dump) {
            (Some(half), None) | (None, Some(half)) if random.one_in(12) => {
                (half, op.dump.is_none())
            }
            (Some(half), None) => (half, false),
            (None, Some(half)) => (half, true),
            (Some(_), Some(half)) if random.one_in(3) => (half, true),
            (Some(half), _) => (half, false),
            (None, None) => return "true".into(),
        };
        let mut words = vec![format!("python3 /host/genl.py {}", op.cmd)];
        words.extend(dump.then(|| "dump".to_owned()));
        if random.one_in(24) {
            words.push(format!("version={}", random.pick(&[0, 2, 255])));
        }
        if random.one_in(24) {
            // With the bits that make the kernel answer and end: more or fewer of the others.
            let ask = if dump { 0x301 } else { 5 };
            words.push(format!(
                "flags={:#x}",
                ask | random.pick(&[0x8, 0x10, 0x20, 0x100, 0x400, 0x800])
            ));
        }
        // Old kernels have one policy for all commands: which attributes mean something is in the newer ones.
        let meant = devlink::family(KernelVersion::DEFAULT).op(op.cmd);
        let meant =
            meant.and_then(|op| if dump { op.dump } else { op.doit }.or(op.doit).or(op.dump));
        let meant: Vec<u16> = numbers(meant.and_then(|half| half.policy));
        let known: Vec<u16> = numbers(half.policy);
        let meant: Vec<u16> = meant.into_iter().filter(|it| known.contains(it)).collect();
        if !random.one_in(10) {
            let name = match model.device(random) {
                Some(device) if !random.one_in(16) => format!("netdevsim{}", device.id),
                _ => "netdevsim99".into(),
            };
            words.push("bus=str:netdevsim".into());
            words.push(format!("dev=str:{name}"));
        }
        for &number in &meant {
            // The handle is there already; most of the rest is there, in most messages.
            let handle =
                [attr::BUS_NAME.number(), attr::DEV_NAME.number(), INDEX].contains(&number);
            let optional =
                number == attr::PORT_INDEX.number() && devlink::needs(op.cmd) != Needs::Port;
            let seldom = handle || (optional && !random.one_in(4));
            let there = match seldom {
                true => random.one_in(24),
                false => !random.one_in(3),
            };
            if there {
                words.push(self.attribute(number, half.policy, model, random));
            }
        }
        if random.one_in(4) && !known.is_empty() {
            words.push(self.attribute(*random.pick(&known), half.policy, model, random));
        }
        if random.one_in(16) {
            words.push(format!("{}=hex:{}", random.below(220), hex(random, 9)));
        }
        if random.one_in(32) {
            // A length that is too small or too large, or not all of a header.
            words.push(format!(
                "raw=hex:{}",
                random.pick(&["03000100", "ff000100", "0500", "00", "0400ffff", "08000100"])
            ));
        }
        if op.cmd == cmd::RELOAD && random.one_in(2) {
            words.retain(|word| {
                !word.starts_with("138") && !word.starts_with("139") && !word.starts_with("140")
            });
        }
        words.join(" ")
    }

    /// An attribute with a value that it may have, most often.
    fn attribute(
        &self,
        number: u16,
        policy: Option<&'static Policy>,
        model: &Model,
        random: &mut Random,
    ) -> String {
        let kind = policy.map_or(PolicyKind::Unspec, |policy| policy.attr(number).kind);
        let wire = match random.one_in(24) {
            true => number | random.pick(&FLAGS),
            false => number,
        };
        if random.one_in(16) {
            return format!("{wire}=hex:{}", hex(random, 9));
        }
        let numeric = || self.number(number, model);
        let value = match kind {
            PolicyKind::U8 => format!("u8:{}", numeric()(random) & 0xff),
            PolicyKind::U16 => format!("u16:{}", numeric()(random) & 0xffff),
            PolicyKind::U32 => format!("u32:{}", numeric()(random) & 0xffff_ffff),
            PolicyKind::U64 => format!("u64:{}", numeric()(random)),
            PolicyKind::Uint if random.one_in(2) => {
                format!("u32:{}", numeric()(random) & 0xffff_ffff)
            }
            PolicyKind::Uint => format!("u64:{}", numeric()(random)),
            PolicyKind::Flag => "flag".into(),
            PolicyKind::String { .. } | PolicyKind::NulString { .. } => {
                format!("str:{}", self.text(number, model, random))
            }
            PolicyKind::Bitfield32 { .. } => {
                let word = |random: &mut Random| hex_of(&(random.below(8) as u32).to_ne_bytes());
                format!("hex:{}{}", word(random), word(random))
            }
            PolicyKind::Nested(inner) => {
                let inner = self.inner(number).or(inner);
                let all = numbers(inner);
                let some = (0..random.below(4)).filter(|_| !all.is_empty());
                let some: Vec<u16> = some.map(|_| *random.pick(&all)).collect();
                let some: Vec<String> = some
                    .into_iter()
                    .map(|number| self.plain(number, inner, random))
                    .collect();
                format!("nest:{}", some.join(","))
            }
            _ => match number {
                n if n == attr::PARAM_VALUE_DATA.number() => (*random.pick(&[
                    "u32:16", "u32:0", "u8:1", "flag", "str:x", "u64:5", "hex:", "u16:3",
                ]))
                .into(),
                _ => format!("hex:{}", hex(random, 9)),
            },
        };
        format!("{wire}={value}")
    }

    /// An attribute of a nest: these have numbers of their own.
    fn plain(&self, number: u16, policy: Option<&'static Policy>, random: &mut Random) -> String {
        let kind = policy.map_or(PolicyKind::Unspec, |policy| policy.attr(number).kind);
        let value = match kind {
            _ if random.one_in(8) => format!("hex:{}", hex(random, 9)),
            PolicyKind::U8 => format!("u8:{}", random.below(12)),
            PolicyKind::U16 => format!("u16:{}", random.below(12)),
            PolicyKind::U32 => format!("u32:{}", random.below(110)),
            PolicyKind::U64 => format!("u64:{}", random.below(110)),
            PolicyKind::Flag => "flag".into(),
            PolicyKind::Bitfield32 { .. } => "hex:0300000003000000".into(),
            PolicyKind::Binary { .. } => "hex:001122334455".into(),
            _ => format!("hex:{}", hex(random, 9)),
        };
        format!("{number}={value}")
    }

    /// What the commands parse a nest with, where the family's policy does not say.
    fn inner(&self, number: u16) -> Option<&'static Policy> {
        let nests = devlink::nests(self.kernel);
        [
            (attr::PORT_FUNCTION.number(), nests.port_function),
            (attr::SELFTESTS.number(), nests.selftests),
            (attr::RATE_TC_BWS.number(), nests.rate_tc_bw),
        ]
        .into_iter()
        .find_map(|(it, policy)| (it == number).then_some(policy))
    }

    /// What makes numbers for an attribute.
    fn number(&self, number: u16, model: &Model) -> impl Fn(&mut Random) -> u64 {
        let model = model.clone();
        move |random| {
            if random.one_in(16) {
                return *random.pick(&[
                    0,
                    255,
                    256,
                    65_535,
                    65_536,
                    0xffff_ffff,
                    0x1_0000_0000,
                    u64::MAX,
                ]);
            }
            match number {
                n if n == attr::PORT_INDEX.number() => model.port(random).into(),
                // A file that is no namespace, and none; process 1, and none: others are not the same on two machines.
                n if n == attr::NETNS_FD.number() => *random.pick(&[0, 1, 2, 900, 0xffff_ffff]),
                n if n == attr::NETNS_PID.number() => *random.pick(&[1, 0, 4_000_000, 0xffff_ffff]),
                n if n == attr::PARAM_TYPE.number() => {
                    *random.pick(&[1, 3, 6, 6, 3, 5, 2, 10, 11, 4, 0])
                }
                n if n == attr::REGION_CHUNK_ADDR.number() => {
                    *random.pick(&[0, 0, 3, 256, 32_767, 32_768])
                }
                n if n == attr::REGION_CHUNK_LEN.number() => *random.pick(&[1, 16, 300, 32_768, 0]),
                n if n == attr::HEALTH_REPORTER_GRACEFUL_PERIOD.number() => {
                    *random.pick(&[0, 60_000, 100_000])
                }
                n if n == attr::HEALTH_REPORTER_BURST_PERIOD.number() => {
                    *random.pick(&[0, 60_000, 100_000])
                }
                n if n == attr::TRAP_POLICER_RATE.number()
                    || n == attr::TRAP_POLICER_BURST.number() =>
                {
                    *random.pick(&[1, 16, 100, 128, 1000, 8000])
                }
                n if n == attr::RATE_TX_SHARE.number() || n == attr::RATE_TX_MAX.number() => {
                    *random.pick(&[0, 125_000, 1_000_000, 7])
                }
                n if n == attr::RESOURCE_ID.number() => random.below(9) as u64,
                n if n == attr::RESOURCE_SIZE.number() => *random.pick(&[0, 1, 100, 5]),
                n if n == attr::SB_INDEX.number() || n == INDEX => random.below(2) as u64,
                _ => random.below(5) as u64,
            }
        }
    }

    fn text(&self, number: u16, model: &Model, random: &mut Random) -> String {
        let kind = match number {
            n if n == attr::BUS_NAME.number() => {
                return (*random.pick(&["netdevsim", "pci", ""])).into();
            }
            n if n == attr::DEV_NAME.number() => {
                return (*random.pick(&["netdevsim10", "netdevsim11", ""])).into();
            }
            n if n == attr::PARAM_NAME.number() => "param",
            n if n == attr::REGION_NAME.number() => "region",
            n if n == attr::HEALTH_REPORTER_NAME.number() => "reporter",
            n if n == attr::TRAP_NAME.number() => "trap",
            n if n == attr::TRAP_GROUP_NAME.number() => "group",
            n if n == attr::FLASH_UPDATE_FILE_NAME.number() => {
                return (*random.pick(&["nosuch.bin", ""])).into();
            }
            n if n == attr::FLASH_UPDATE_COMPONENT.number() => "component",
            _ => "node",
        };
        model.word(kind, random)
    }
}

/// `INDEX`, which came with 7.1.
const INDEX: u16 = attr::INDEX.number();

fn numbers(policy: Option<&'static Policy>) -> Vec<u16> {
    policy.map_or_else(Vec::new, |policy| {
        policy.attrs.iter().map(|&(number, _)| number).collect()
    })
}

fn hex(random: &mut Random, end: usize) -> String {
    let bytes: Vec<u8> = (0..random.below(end))
        .map(|_| random.number() as u8)
        .collect();
    hex_of(&bytes)
}

fn hex_of(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
