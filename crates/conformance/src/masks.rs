//! What may differ: `conformance/masks.toml`, applied to both sides before they are compared.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Error, bail};
use regex::Regex;
use serde::Deserialize;

use crate::wire::{Datagram, Message, half};

/// The controller's family (`GENL_ID_CTRL`).
const CONTROLLER: u16 = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// `CTRL_ATTR_FAMILY_ID`, `CTRL_ATTR_MCAST_GROUPS`, `CTRL_ATTR_MCAST_GRP_ID`.
const FAMILY_ID: u16 = 1;
const GROUPS: u16 = 7;
const GROUP_ID: u16 = 2;

/// The rules.
#[derive(Debug)]
pub struct Masks {
    text: Vec<Text>,
    fields: Vec<Field>,
    attributes: BTreeMap<u16, Rule>,
    table: Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    text: Vec<TextRule>,
    wire: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextRule {
    name: String,
    #[serde(rename = "why")]
    _why: String,
    pattern: String,
    /// Only in the output of commands that this fits.
    command: Option<String>,
}

#[derive(Debug)]
struct Text {
    name: String,
    pattern: Regex,
    command: Option<Regex>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    name: String,
    #[serde(rename = "why")]
    _why: String,
    field: Option<Field>,
    attribute: Option<String>,
    /// Only where the attribute stands beside one with this value.
    beside: Option<Beside>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Beside {
    attribute: String,
    value: u8,
}

/// A number of a message that is no attribute of devlink's.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Field {
    Seq,
    Pid,
    Family,
    Group,
}

/// devlink's attributes, from the table that the encoder is generated from.
#[derive(Debug)]
struct Table {
    numbers: BTreeMap<String, u16>,
    nests: Vec<u16>,
}

/// Nests whose attributes have numbers of their own.
const OWN_NUMBERS: [&str; 5] = [
    "STATS",
    "TRAP_METADATA",
    "PORT_FUNCTION",
    "SELFTESTS",
    "RATE_TC_BWS",
];

impl Table {
    fn new() -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Whole {
            attributes: BTreeMap<String, Attribute>,
        }
        #[derive(Deserialize)]
        struct Attribute {
            number: u16,
            r#type: String,
        }
        let whole: Whole = toml::from_str(include_str!("../../netlink/data/devlink.toml"))?;
        let nests = whole
            .attributes
            .iter()
            .filter(|(name, it)| it.r#type == "nest" && !OWN_NUMBERS.contains(&name.as_str()))
            .map(|(_, it)| it.number)
            .collect();
        let numbers = whole.attributes.into_iter();
        Ok(Self {
            nests,
            numbers: numbers.map(|(name, it)| (name, it.number)).collect(),
        })
    }

    fn number(&self, name: &str) -> Result<u16, Error> {
        let number = self.numbers.get(name).copied();
        number.with_context(|| format!("devlink has no attribute {name}"))
    }
}

impl Masks {
    /// Reads the rules.
    ///
    /// # Errors
    /// The file cannot be read, or is malformed.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let file: File = toml::from_str(text)?;
        let table = Table::new()?;
        let (mut fields, mut attributes) = (Vec::new(), BTreeMap::new());
        for rule in file.wire {
            match (rule.field, &rule.attribute) {
                (Some(field), None) => fields.push(field),
                (None, Some(name)) => _ = attributes.insert(table.number(name)?, rule),
                _ => bail!("{}: a rule is for a field or for an attribute", rule.name),
            }
        }
        let text = file.text.into_iter().map(|rule| {
            Ok(Text {
                pattern: Regex::new(&rule.pattern)?,
                command: rule.command.as_deref().map(Regex::new).transpose()?,
                name: rule.name,
            })
        });
        Ok(Self {
            text: text.collect::<Result<_, Error>>()?,
            fields,
            attributes,
            table,
        })
    }

    /// What a command printed, without what may differ. A pattern's first group, or all of it if it has none, becomes `<NAME>`.
    pub fn text(&self, command: &str, printed: &str) -> String {
        let mut text = printed.to_owned();
        for rule in &self.text {
            if rule
                .command
                .as_ref()
                .is_some_and(|it| !it.is_match(command))
            {
                continue;
            }
            let with = format!("<{}>", rule.name);
            let masked = rule
                .pattern
                .replace_all(&text, |found: &regex::Captures<'_>| {
                    let whole = found.get(0).map_or("", |whole| whole.as_str());
                    let Some(group) = found.get(1) else {
                        return with.clone();
                    };
                    let start = found.get(0).map_or(0, |whole| whole.start());
                    format!(
                        "{}{with}{}",
                        &whole[..group.start() - start],
                        &whole[group.end() - start..]
                    )
                });
            text = masked.into_owned();
        }
        text
    }

    /// A conversation, one line for each message and an empty one between datagrams, without what may differ.
    pub fn conversation(&self, datagrams: &[Datagram]) -> String {
        let mut text = String::new();
        let mut family = None;
        for datagram in datagrams {
            for message in datagram {
                if message.kind == CONTROLLER {
                    family = family_id(&message.payload).or(family);
                }
                self.message(message, family, &mut text);
            }
            text.push('\n');
        }
        text
    }

    fn message(&self, message: &Message, family: Option<u16>, out: &mut String) {
        let Message {
            length,
            kind,
            flags,
            seq,
            pid,
            ref payload,
        } = *message;
        let mut bytes = Bytes::from(payload);
        match kind {
            ERROR | DONE => self.error(kind, family, &mut bytes),
            CONTROLLER => self.controller(&mut bytes),
            _ if Some(kind) == family => self.attributes(&mut bytes, 4, payload.len()),
            _ => {}
        }
        let _ = writeln!(
            out,
            "len={length} type={} flags=0x{flags:x} seq={} pid={} {bytes}",
            self.family(kind, family),
            self.number(Field::Seq, seq),
            self.number(Field::Pid, pid),
        );
    }

    /// Whether there is a number is compared, which one is not.
    fn number(&self, field: Field, value: u32) -> String {
        match value {
            0 => "0".into(),
            _ if self.fields.contains(&field) => format!("<{field:?}>").to_lowercase(),
            value => value.to_string(),
        }
    }

    fn family(&self, kind: u16, family: Option<u16>) -> String {
        match family {
            Some(family) if kind == family && self.fields.contains(&Field::Family) => {
                "devlink".into()
            }
            _ => kind.to_string(),
        }
    }

    /// `struct nlmsgerr`: an errno, then the request's header.
    fn error(&self, kind: u16, family: Option<u16>, bytes: &mut Bytes) {
        if kind == DONE || bytes.of.len() < 20 {
            return;
        }
        let is_family = Some(half(&bytes.of, 8)) == family;
        bytes.hide_if(self.fields.contains(&Field::Family) && is_family, 8, 2);
        bytes.hide_if(self.fields.contains(&Field::Seq), 12, 4);
        bytes.hide_if(self.fields.contains(&Field::Pid), 16, 4);
    }

    fn controller(&self, bytes: &mut Bytes) {
        for (number, start, end) in attributes(&bytes.of, 4, bytes.of.len()) {
            if number == FAMILY_ID {
                bytes.hide_if(self.fields.contains(&Field::Family), start, 2);
            }
            if number == GROUPS {
                for (_, start, end) in attributes(&bytes.of, start, end) {
                    for (number, start, _) in attributes(&bytes.of, start, end) {
                        let group = number == GROUP_ID && self.fields.contains(&Field::Group);
                        bytes.hide_if(group, start, 4);
                    }
                }
            }
        }
    }

    fn attributes(&self, bytes: &mut Bytes, start: usize, end: usize) {
        let all = attributes(&bytes.of, start, end);
        for &(number, start, end) in &all {
            if self.table.nests.contains(&number) {
                self.attributes(bytes, start, end);
            } else if let Some(rule) = self.attributes.get(&number) {
                let fits = rule.beside.as_ref().is_none_or(|beside| {
                    let wanted = self.table.number(&beside.attribute).ok();
                    let mut all = all.iter();
                    all.any(|&(it, at, _)| Some(it) == wanted && bytes.of[at] == beside.value)
                });
                bytes.hide_if(fits, start, end - start);
            }
        }
    }
}

/// Bytes, and which of them are hidden.
struct Bytes {
    of: Vec<u8>,
    hidden: Vec<bool>,
}

impl Bytes {
    fn from(payload: &[u8]) -> Self {
        Self {
            of: payload.to_vec(),
            hidden: vec![false; payload.len()],
        }
    }

    fn hide_if(&mut self, condition: bool, start: usize, length: usize) {
        if condition {
            let end = (start + length).min(self.hidden.len());
            self.hidden[start.min(end)..end].fill(true);
        }
    }
}

impl std::fmt::Display for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (byte, hidden) in self.of.iter().zip(&self.hidden) {
            match hidden {
                true => f.write_str("--")?,
                false => write!(f, "{byte:02x}")?,
            }
        }
        Ok(())
    }
}

/// The attributes between two places: number, and where the value begins and ends.
fn attributes(bytes: &[u8], mut at: usize, end: usize) -> Vec<(u16, usize, usize)> {
    let mut all = Vec::new();
    while at + 4 <= end {
        let (length, number) = (usize::from(half(bytes, at)), half(bytes, at + 2) & 0x3fff);
        if length < 4 || at + length > end {
            break;
        }
        all.push((number, at + 4, at + length));
        at += length.next_multiple_of(4);
    }
    all
}

/// What the controller says a family's number is.
fn family_id(payload: &[u8]) -> Option<u16> {
    let (_, start, _) = attributes(payload, 4, payload.len())
        .into_iter()
        .find(|&(number, start, end)| number == FAMILY_ID && end - start == 2)?;
    Some(half(payload, start))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: &str = r#"
        [[text]]
        name = "mac"
        why = "random"
        pattern = '\b[0-9a-f][26ae](?::[0-9a-f]{2}){5}\b'
        [[text]]
        name = "ifindex"
        why = "counted"
        pattern = 'ifindex (\d+)'
        command = '^ip'
        [[wire]]
        name = "ifindex"
        why = "counted"
        attribute = "PORT_NETDEV_IFINDEX"
        [[wire]]
        name = "port-id"
        why = "given by the kernel"
        field = "pid"
    "#;

    #[test]
    fn text_is_masked_where_the_rule_says() {
        let masks = Masks::parse(RULES).unwrap();
        let printed = "ether 5e:65:9d:c9:08:13 brd ff:ff:ff:ff:ff:ff ifindex 17";
        assert_eq!(
            masks.text("ip link", printed),
            "ether <mac> brd ff:ff:ff:ff:ff:ff ifindex <ifindex>"
        );
        assert!(masks.text("devlink", printed).ends_with("ifindex 17"));
    }

    #[test]
    fn only_the_named_attribute_is_hidden() {
        let masks = Masks::parse(RULES).unwrap();
        let controller = crate::wire::messages(&[
            28, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 1, 2, 0, 0, 6, 0, 1, 0, 23, 0, 0, 0,
        ]);
        let port = crate::wire::messages(&[
            36, 0, 0, 0, 23, 0, 0, 0, 1, 0, 0, 0, 9, 0, 0, 0, 7, 1, 0, 0, 8, 0, 3, 0, 1, 0, 0, 0,
            8, 0, 6, 0, 2, 0, 0, 0,
        ]);
        let text = masks.conversation(&[controller, port]);
        assert!(
            text.ends_with(
                "type=23 flags=0x0 seq=1 pid=<pid> 07010000080003000100000008000600--------\n\n"
            ),
            "{text}"
        );
    }
}
