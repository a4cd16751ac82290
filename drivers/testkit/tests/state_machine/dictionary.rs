//! Values that mean something: what a machine that nobody has touched yet says of itself.
//!
//! Every answer of every command without arguments, and of those with a handle, is taken apart into its attributes; what an
//! attribute was seen with is later sent in it.

use std::collections::{BTreeMap, BTreeSet};

use driver_testkit::{Client, FAMILY_ID};
use netlink::message::{GENL_HDRLEN, Messages, NLMSG_HDRLEN};
use netlink::{KernelVersion, attr, cmd};

use crate::aim;
use crate::requests::{self, Payload};
use crate::world::World;

/// Values by attribute, files, and what has a handle.
pub(crate) struct Dictionary {
    pub(crate) kernel: KernelVersion,
    values: BTreeMap<u16, Vec<Vec<u8>>>,
    pub(crate) files: Vec<String>,
    pub(crate) handles: Vec<(Vec<u8>, Vec<u8>)>,
}

/// More different values of one attribute are not kept.
const VALUES: usize = 60;

impl Dictionary {
    pub(crate) fn learn(kernel: KernelVersion) -> Self {
        let world = World::new(kernel);
        let client = world.machine.client(world.machine.init_net());
        // In this mode there are more kinds of objects.
        _ = client.eswitch_mode_set("netdevsim/netdevsim0", 1);
        world
            .touch("sysfs/devices/netdevsim0/sriov_numvfs", Some(b"2"))
            .unwrap_or(());
        let mut values = BTreeMap::<u16, BTreeSet<Vec<u8>>>::new();
        let mut handles = BTreeSet::new();
        for op in netlink::devlink::family(kernel).ops {
            if op.dump.is_some() {
                let mut seen = Vec::new();
                learn_answer(
                    &client,
                    &requests::datagram(op.cmd, true, &Payload::default()),
                    &mut seen,
                );
                for (number, value) in seen {
                    values.entry(number).or_default().insert(value);
                }
            }
        }
        for device in client.dump(cmd::GET).unwrap() {
            let text = |number| {
                let found = device.attrs().find(|found| found.number() == number);
                found.unwrap().payload.to_vec()
            };
            handles.insert((text(attr::BUS_NAME.number()), text(attr::DEV_NAME.number())));
        }
        for (bus, dev) in &handles {
            for op in netlink::devlink::family(kernel).ops {
                // What changes nothing.
                let asks = matches!(
                    op.cmd,
                    cmd::RESOURCE_DUMP
                        | cmd::DPIPE_TABLE_GET
                        | cmd::DPIPE_HEADERS_GET
                        | cmd::SELFTESTS_GET
                        | cmd::ESWITCH_GET
                );
                if !asks || op.doit.is_none() {
                    continue;
                }
                let mut payload = Payload::default();
                payload.put(attr::BUS_NAME.number(), bus);
                payload.put(attr::DEV_NAME.number(), dev);
                let mut seen = Vec::new();
                learn_answer(
                    &client,
                    &requests::datagram(op.cmd, false, &payload),
                    &mut seen,
                );
                for (number, value) in seen {
                    values.entry(number).or_default().insert(value);
                }
            }
        }
        let files = world.files();
        drop(client);
        world.end();
        for (number, extra) in requests::extra_values() {
            values.entry(number).or_default().insert(extra);
        }
        let values = values
            .into_iter()
            .map(|(number, values)| (number, values.into_iter().take(VALUES).collect()))
            .collect();
        Dictionary {
            kernel,
            values,
            files,
            handles: handles.into_iter().collect(),
        }
    }

    /// What this attribute has been seen with.
    pub(crate) fn values(&self, number: u16) -> &[Vec<u8>] {
        self.values.get(&number).map_or(&[], Vec::as_slice)
    }
}

fn learn_answer(client: &Client, datagram: &[u8], seen: &mut Vec<(u16, Vec<u8>)>) {
    for answer in client.deliver(datagram) {
        for (header, message) in Messages::new(&answer) {
            if header.kind == FAMILY_ID {
                aim::flatten(&message[NLMSG_HDRLEN + GENL_HDRLEN..], seen, 0);
            }
        }
    }
}
