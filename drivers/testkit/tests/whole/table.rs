//! devlink's table of attributes and commands, read at run time, and what of it has been seen.

use std::collections::{BTreeMap, BTreeSet};

use driver_testkit::FAMILY_ID;
use netlink::message::{GENL_HDRLEN, Messages, NLMSG_HDRLEN};
use netlink::{KernelVersion, RawAttrs, cmd};
use serde::Deserialize;

#[derive(Deserialize)]
struct Attribute {
    number: u16,
    #[serde(rename = "type")]
    kind: String,
    since: Option<String>,
}

#[derive(Deserialize)]
struct Nest {
    attributes: BTreeMap<String, Attribute>,
}

#[derive(Deserialize)]
struct Command {
    number: u8,
    #[serde(default)]
    notifies: bool,
}

/// The table.
#[derive(Deserialize)]
pub(crate) struct Table {
    attributes: BTreeMap<String, Attribute>,
    nests: BTreeMap<String, Nest>,
    commands: BTreeMap<String, Command>,
}

/// Attributes whose nests have numbers of their own, and the nests' names in the table.
const OWN: [(&str, &str); 5] = [
    ("PORT_FUNCTION", "port_fn"),
    ("STATS", "stats"),
    ("TRAP_METADATA", "trap_metadata"),
    ("RATE_TC_BWS", "rate_tc"),
    ("selftest_result.RESULT", "selftest_result"),
];

/// Values that are worth seeing one by one: each kind of value in a message of a reporter, each state of a line card, each flavour of
/// a port.
const BY_VALUE: [&str; 3] = ["FMSG_OBJ_VALUE_TYPE", "LINECARD_STATE", "PORT_FLAVOUR"];

fn exists(since: Option<&str>, kernel: KernelVersion) -> bool {
    since.is_none_or(|since| {
        let (major, minor) = since.split_once('.').unwrap();
        kernel.has(KernelVersion::new(
            major.parse().unwrap(),
            minor.parse().unwrap(),
        ))
    })
}

impl Table {
    pub(crate) fn read() -> Self {
        toml::from_str(include_str!("../../../../crates/netlink/data/devlink.toml")).unwrap()
    }

    /// Every attribute of this kernel, those of nests after the nest's name.
    pub(crate) fn attributes(&self, kernel: KernelVersion) -> BTreeSet<String> {
        let own = self.nests.iter().flat_map(|(nest, rows)| {
            let attributes = rows.attributes.iter();
            attributes.map(move |(name, row)| (format!("{nest}.{name}"), row))
        });
        let all = self
            .attributes
            .iter()
            .map(|(name, row)| (name.clone(), row));
        all.chain(own)
            .filter(|(_, row)| exists(row.since.as_deref(), kernel))
            .map(|(name, _)| name)
            .collect()
    }

    /// Every notification.
    pub(crate) fn notifications(&self) -> BTreeSet<String> {
        let rows = self.commands.iter().filter(|(_, row)| row.notifies);
        rows.map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn name(&self, number: u16) -> String {
        self.attribute(None, number).map(|(name, _)| name).unwrap()
    }

    pub(crate) fn command(&self, number: u8) -> &str {
        let mut rows = self.commands.iter();
        let found = rows.find(|(_, row)| row.number == number);
        found.map_or("?", |(name, _)| name)
    }

    fn attribute(&self, nest: Option<&str>, number: u16) -> Option<(String, &Attribute)> {
        let (before, rows) = match nest {
            None => (String::new(), &self.attributes),
            Some(nest) => (format!("{nest}."), &self.nests[nest].attributes),
        };
        let (name, row) = rows.iter().find(|(_, row)| row.number == number)?;
        Some((before + name, row))
    }
}

/// What has been seen.
#[derive(Default)]
pub(crate) struct Seen {
    pub(crate) attributes: BTreeSet<String>,
    values: BTreeSet<(String, u64)>,
    pub(crate) notifications: BTreeSet<String>,
    /// Commands that were carried out, and whether as a dump.
    pub(crate) carried_out: BTreeSet<(u8, bool)>,
    /// Attributes of requests that were carried out, with the command.
    pub(crate) asked: BTreeSet<(u8, bool, u16)>,
}

impl Seen {
    /// The values of an attribute that is one of [`BY_VALUE`], in their order.
    pub(crate) fn values_of(&self, name: &str) -> impl Iterator<Item = u64> {
        let of_it = self.values.iter().filter(move |(of, _)| of == name);
        of_it.map(|(_, value)| *value)
    }

    /// All messages of devlink in these datagrams.
    pub(crate) fn datagrams(&mut self, table: &Table, datagrams: &[Vec<u8>], answers: bool) {
        for (header, message) in datagrams
            .iter()
            .flat_map(|datagram| Messages::new(datagram))
        {
            if header.kind != FAMILY_ID {
                continue;
            }
            let command = message[NLMSG_HDRLEN];
            if header.seq == 0 {
                let name = table.command(command).to_owned();
                self.notifications.insert(name);
            }
            self.payload(
                table,
                command,
                answers,
                None,
                &message[NLMSG_HDRLEN + GENL_HDRLEN..],
            );
        }
    }

    fn payload(
        &mut self,
        table: &Table,
        command: u8,
        answer: bool,
        nest: Option<&str>,
        payload: &[u8],
    ) {
        for found in RawAttrs::new(payload, 0) {
            let (name, row) = table
                .attribute(nest, found.number())
                .unwrap_or_else(|| panic!("{nest:?} has no attribute {}", found.number()));
            if BY_VALUE.contains(&name.as_str()) {
                let value = match found.payload {
                    [value] => u64::from(*value),
                    _ => u64::from(found.u16().unwrap()),
                };
                self.values.insert((name.clone(), value));
            }
            if row.kind == "nest" {
                let own = OWN.iter().find(|(attribute, _)| *attribute == name);
                let own = match (name.as_str(), command) {
                    ("SELFTESTS", cmd::SELFTESTS_RUN) if answer => Some("selftest_result"),
                    ("SELFTESTS", _) => Some("selftest_id"),
                    _ => own.map(|(_, nest)| *nest),
                };
                self.payload(table, command, answer, own, found.payload);
            }
            self.attributes.insert(name);
        }
    }
}
