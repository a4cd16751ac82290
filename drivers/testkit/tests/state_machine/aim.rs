//! Requests that fit what there is now: a command takes the handle, the names and the values of an object that it has just seen.
//!
//! Most of them are carried out, unless somebody else was faster. So every command of devlink gets into what it does, not only
//! into what it refuses.

use std::collections::BTreeSet;

use driver_testkit::{Client, FAMILY_ID};
use netlink::message::{GENL_HDRLEN, Messages, NLMSG_HDRLEN};
use netlink::{KernelVersion, RawAttrs, attr, cmd};

use crate::requests::{self, Dice, Payload, Request};
use crate::world::ADAPTER;

const PCI_VF: u16 = 4;
const PCI_SF: u16 = 7;

/// What an answer said of an object: its attributes, those within nests, too.
#[derive(Default)]
pub(crate) struct Object(Vec<(u16, Vec<u8>)>);

impl Object {
    fn values(&self, number: u16) -> Vec<&Vec<u8>> {
        let of_it = self.0.iter().filter(|(found, _)| *found == number);
        of_it.map(|(_, value)| value).collect()
    }

    /// The attribute's first value; what is in nests comes later.
    fn first(&self, number: u16) -> Option<&Vec<u8>> {
        self.values(number).first().copied()
    }

    fn u16(&self, number: u16) -> Option<u16> {
        let value = self.first(number)?;
        Some(u16::from_ne_bytes(value.as_slice().try_into().ok()?))
    }

    /// The name of the device that it belongs to, with the NUL byte.
    fn device(&self) -> Option<&[u8]> {
        self.first(attr::DEV_NAME.number()).map(Vec::as_slice)
    }
}

/// The command whose answers show what `command` is about.
fn shown_by(command: u8) -> u8 {
    match command {
        cmd::PORT_GET..=cmd::PORT_UNSPLIT if command != cmd::PORT_NEW => cmd::PORT_GET,
        cmd::PORT_PARAM_GET | cmd::PORT_PARAM_SET => cmd::PORT_GET,
        cmd::SB_GET | cmd::SB_OCC_SNAPSHOT | cmd::SB_OCC_MAX_CLEAR => cmd::SB_GET,
        cmd::SB_POOL_GET | cmd::SB_POOL_SET => cmd::SB_POOL_GET,
        cmd::SB_PORT_POOL_GET | cmd::SB_PORT_POOL_SET => cmd::SB_PORT_POOL_GET,
        cmd::SB_TC_POOL_BIND_GET | cmd::SB_TC_POOL_BIND_SET => cmd::SB_TC_POOL_BIND_GET,
        cmd::DPIPE_TABLE_GET | cmd::DPIPE_ENTRIES_GET | cmd::DPIPE_TABLE_COUNTERS_SET => {
            cmd::DPIPE_TABLE_GET
        }
        cmd::RESOURCE_SET | cmd::RESOURCE_DUMP => cmd::RESOURCE_DUMP,
        cmd::PARAM_GET | cmd::PARAM_SET => cmd::PARAM_GET,
        cmd::REGION_GET..=cmd::REGION_READ => cmd::REGION_GET,
        cmd::HEALTH_REPORTER_GET..=cmd::HEALTH_REPORTER_DUMP_CLEAR | cmd::HEALTH_REPORTER_TEST => {
            cmd::HEALTH_REPORTER_GET
        }
        cmd::TRAP_GET | cmd::TRAP_SET => cmd::TRAP_GET,
        cmd::TRAP_GROUP_GET | cmd::TRAP_GROUP_SET => cmd::TRAP_GROUP_GET,
        cmd::TRAP_POLICER_GET | cmd::TRAP_POLICER_SET => cmd::TRAP_POLICER_GET,
        cmd::RATE_GET..=cmd::RATE_DEL => cmd::RATE_GET,
        cmd::LINECARD_GET | cmd::LINECARD_SET => cmd::LINECARD_GET,
        _ => cmd::GET,
    }
}

/// Whether the command can be carried out for this object.
fn fits(command: u8, object: &Object) -> bool {
    let has = |number| object.first(number).is_some_and(|value| !value.is_empty());
    let flavour = object.u16(attr::PORT_FLAVOUR.number());
    match command {
        cmd::PORT_NEW => object
            .device()
            .is_some_and(|name| name.starts_with(ADAPTER.as_bytes())),
        cmd::PORT_DEL => flavour == Some(PCI_SF),
        cmd::PORT_SPLIT => {
            let splittable = object.first(attr::PORT_SPLITTABLE.number());
            splittable.is_some_and(|splittable| splittable[..] == [1])
        }
        cmd::PORT_UNSPLIT => has(attr::PORT_SPLIT_GROUP.number()),
        cmd::PORT_SET => flavour.is_some_and(|flavour| flavour == PCI_VF || flavour == PCI_SF),
        cmd::REGION_DEL | cmd::REGION_READ => has(attr::REGION_SNAPSHOT_ID.number()),
        cmd::RATE_DEL => has(attr::RATE_NODE_NAME.number()),
        _ => true,
    }
}

/// Attributes that say which object is meant.
fn names_the_object(number: u16) -> bool {
    [
        attr::PORT_INDEX.number(),
        attr::SB_INDEX.number(),
        attr::SB_POOL_INDEX.number(),
        attr::SB_POOL_TYPE.number(),
        attr::SB_TC_INDEX.number(),
        attr::DPIPE_TABLE_NAME.number(),
        attr::RESOURCE_ID.number(),
        attr::PARAM_NAME.number(),
        attr::PARAM_TYPE.number(),
        attr::REGION_NAME.number(),
        attr::REGION_SNAPSHOT_ID.number(),
        attr::HEALTH_REPORTER_NAME.number(),
        attr::TRAP_NAME.number(),
        attr::TRAP_GROUP_NAME.number(),
        attr::TRAP_POLICER_ID.number(),
        attr::RATE_NODE_NAME.number(),
        attr::LINECARD_INDEX.number(),
    ]
    .contains(&number)
}

/// What hardly any device can change.
fn refused_by_most(number: u16) -> bool {
    [
        attr::PORT_TYPE.number(),
        attr::RATE_TX_PRIORITY.number(),
        attr::RATE_TX_WEIGHT.number(),
        attr::RATE_TC_BWS.number(),
    ]
    .contains(&number)
}

/// Whether the device is there for a short time only: a sub-function or a line card.
fn is_part(device: &&[u8]) -> bool {
    let mut parts = ["mlx5_core.sf.", "mlxsw_core.lc."].into_iter();
    parts.any(|part| device.starts_with(part.as_bytes()))
}

/// A request of this command for something that the client sees, on this device or on any; `None` if it sees nothing that fits.
pub(crate) fn request(
    dice: &mut Dice,
    kernel: KernelVersion,
    client: &Client,
    net: u64,
    command: u8,
    device: Option<&[u8]>,
) -> Option<Request> {
    let op = netlink::devlink::family(kernel).op(command)?;
    let dump = op.doit.is_none() || (op.dump.is_some() && dice.chance(20));
    let mut objects = look(dice, kernel, client, shown_by(command), device);
    objects.retain(|object| fits(command, object));
    // A switch has more of everything than all others together.
    let devices: BTreeSet<_> = objects.iter().filter_map(Object::device).collect();
    let devices: Vec<_> = devices.into_iter().collect();
    let parts: Vec<_> = devices.iter().copied().filter(is_part).collect();
    let any = match parts.is_empty() || dice.chance(50) {
        true => dice.choose(&devices),
        false => dice.choose(&parts),
    };
    let device = *device.as_ref().or(any)?;
    let its: Vec<_> = objects
        .iter()
        .filter(|object| object.device() == Some(device))
        .collect();
    let object = dice.choose(&its)?;

    let mut payload = Payload::default();
    for number in [attr::BUS_NAME.number(), attr::DEV_NAME.number()] {
        payload.put(number, object.first(number)?);
    }
    // What belongs to a command is known since commands have policies of their own.
    let newest = netlink::devlink::family(KernelVersion::V7_2).op(command)?;
    let half = if dump { newest.dump } else { newest.doit };
    let policy = half.and_then(|half| half.policy);
    let fixed = fixed(dice, command, object, net);
    for &(number, _) in policy.iter().flat_map(|policy| policy.attrs) {
        let handle = [
            attr::BUS_NAME.number(),
            attr::DEV_NAME.number(),
            attr::INDEX.number(),
        ];
        let known =
            handle.contains(&number) || fixed.iter().any(|(fixed, _)| fixed & 0x7fff == number);
        let percent = if refused_by_most(number) || command == cmd::RELOAD {
            10
        } else {
            70
        };
        // What is new has another name than what is there.
        let wanted = command != cmd::RATE_NEW && (names_the_object(number) || dice.chance(percent));
        if known || !wanted {
            continue;
        }
        let values = object.values(number);
        let one = number == attr::PORT_INDEX.number();
        let value = if one {
            values.first()
        } else {
            dice.choose(&values)
        };
        if let Some(value) = value {
            payload.put(number, value);
        }
    }
    for (number, value) in &fixed {
        payload.put(*number, value);
    }
    Some(Request::new("aimed", command, dump, &payload))
}

/// What the command needs and no object shows.
fn fixed(dice: &mut Dice, command: u8, object: &Object, net: u64) -> Vec<(u16, Vec<u8>)> {
    let text = |text: &str| [text.as_bytes(), b"\0"].concat();
    let u32 = |value: u64| (value as u32).to_ne_bytes().to_vec();
    let nest = |number: u16, value: &[u8]| {
        let mut nest = Payload::default();
        nest.put(number, value);
        nest.bytes().to_vec()
    };
    match command {
        cmd::PORT_NEW => vec![
            (attr::PORT_FLAVOUR.number(), PCI_SF.to_ne_bytes().into()),
            (attr::PORT_PCI_PF_NUMBER.number(), vec![0, 0]),
            (attr::PORT_PCI_SF_NUMBER.number(), u32(dice.below(6))),
        ],
        cmd::PORT_SET => {
            let sf = object.u16(attr::PORT_FLAVOUR.number()) == Some(PCI_SF);
            let function = if sf && dice.chance(70) {
                nest(attr::port_fn::STATE.number(), &[dice.below(2) as u8])
            } else {
                let address = [2, 0, 0, 0, 0, dice.below(9) as u8];
                nest(attr::port_fn::HW_ADDR.number(), &address)
            };
            vec![(attr::PORT_FUNCTION.number() | 0x8000, function)]
        }
        cmd::PORT_SPLIT => vec![(attr::PORT_SPLIT_COUNT.number(), u32(2 << dice.below(2)))],
        cmd::ESWITCH_SET => {
            let mode = u16::from(dice.chance(75));
            vec![(attr::ESWITCH_MODE.number(), mode.to_ne_bytes().into())]
        }
        cmd::RELOAD if dice.chance(50) => vec![(attr::NETNS_FD.number(), u32(net))],
        cmd::PARAM_SET => {
            // Of the values in several modes, one with another mode is worth a try, too.
            let value = object.first(attr::PARAM_VALUE_DATA.number()).cloned();
            let value = value.map(|value| (attr::PARAM_VALUE_DATA.number(), value));
            value.into_iter().collect()
        }
        cmd::FLASH_UPDATE => vec![(attr::FLASH_UPDATE_FILE_NAME.number(), text("any"))],
        cmd::RATE_NEW => {
            let name = format!("g{}", dice.below(3));
            vec![(attr::RATE_NODE_NAME.number(), text(&name))]
        }
        // A leaf is named by its port, which the policy does not know.
        cmd::RATE_SET => {
            let port = object.first(attr::PORT_INDEX.number()).cloned();
            let port = port.map(|port| (attr::PORT_INDEX.number(), port));
            port.into_iter().collect()
        }
        cmd::SELFTESTS_RUN => {
            let tests = nest(attr::selftest_id::FLASH.number(), &[]);
            vec![(attr::SELFTESTS.number() | 0x8000, tests)]
        }
        _ => Vec::new(),
    }
}

/// What there is of a kind. What cannot be dumped is asked of one device.
fn look(
    dice: &mut Dice,
    kernel: KernelVersion,
    client: &Client,
    getter: u8,
    device: Option<&[u8]>,
) -> Vec<Object> {
    let op = netlink::devlink::family(kernel).op(getter);
    if op.is_some_and(|op| op.dump.is_some()) {
        let everything = requests::datagram(getter, true, &Payload::default());
        return objects(client, &everything);
    }
    let mut devices = look(dice, kernel, client, cmd::GET, device);
    devices.retain(|found| device.is_none() || found.device() == device);
    let Some(device) = dice.choose(&devices) else {
        return Vec::new();
    };
    let mut payload = Payload::default();
    for number in [attr::BUS_NAME.number(), attr::DEV_NAME.number()] {
        if let Some(value) = device.first(number) {
            payload.put(number, value);
        }
    }
    // An object may be spread over several messages.
    let mut all = Object::default();
    for object in objects(client, &requests::datagram(getter, false, &payload)) {
        all.0.extend(object.0);
    }
    Vec::from([all])
}

fn objects(client: &Client, datagram: &[u8]) -> Vec<Object> {
    let answer = client.deliver(datagram);
    let messages = answer.iter().flat_map(|datagram| Messages::new(datagram));
    let replies = messages.filter(|(header, _)| header.kind == FAMILY_ID);
    replies
        .map(|(_, message)| {
            let mut object = Object::default();
            flatten(&message[NLMSG_HDRLEN + GENL_HDRLEN..], &mut object.0, 0);
            object
        })
        .collect()
}

/// Attributes have one space of numbers but for some nests, from which nonsense is learnt: that is worth a try too.
pub(crate) fn flatten(payload: &[u8], seen: &mut Vec<(u16, Vec<u8>)>, depth: u32) {
    for found in RawAttrs::new(payload, 0) {
        if found.payload.len() <= 64 {
            seen.push((found.number(), found.payload.to_vec()));
        }
        if depth < 4 && found.payload.len() >= 8 {
            flatten(found.payload, seen, depth + 1);
        }
    }
}
