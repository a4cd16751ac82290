//! The data file as Rust sees it.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

/// A kernel version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Version(pub(crate) u8, pub(crate) u8);

/// The oldest kernel that is emulated; what says nothing else is at least as old.
pub(crate) const OLDEST: Version = Version(6, 1);
/// The kernels for which policies are made.
pub(crate) const KERNELS: [Version; 3] = [OLDEST, Version(6, 12), Version(7, 2)];
/// The first kernel in which each command has a policy of its own.
pub(crate) const SPLIT: Version = Version(6, 6);

impl TryFrom<String> for Version {
    type Error = anyhow::Error;

    fn try_from(text: String) -> Result<Self> {
        let (major, minor) = text.split_once('.').context("a version is MAJOR.MINOR")?;
        Ok(Self(major.parse()?, minor.parse()?))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

fn oldest() -> Version {
    OLDEST
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Table {
    pub(crate) family: Family,
    pub(crate) attributes: BTreeMap<String, Attribute>,
    pub(crate) nests: BTreeMap<String, Nest>,
    pub(crate) commands: BTreeMap<String, Cmd>,
    pub(crate) op: Vec<Op>,
    pub(crate) shared: Shared,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Family {
    pub(crate) name: String,
    pub(crate) version: u8,
    pub(crate) groups: Vec<String>,
    pub(crate) resv_start_op: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Type {
    U8,
    U16,
    U32,
    U64,
    Uint,
    String,
    Binary,
    Flag,
    Nest,
    Bitfield32,
    Dynamic,
    Pad,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Attribute {
    pub(crate) number: u16,
    #[serde(rename = "type")]
    pub(crate) kind: Type,
    pub(crate) nested_flag: Option<bool>,
    #[serde(default = "oldest")]
    pub(crate) since: Version,
    #[serde(default)]
    pub(crate) checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Check {
    pub(crate) since: Version,
    pub(crate) range: Option<[u64; 2]>,
    pub(crate) max: Option<u64>,
    pub(crate) mask: Option<u64>,
    pub(crate) one_of: Option<Vec<u64>>,
    pub(crate) nest: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Nest {
    pub(crate) prefix: String,
    pub(crate) policy: Option<Vec<String>>,
    pub(crate) handler: Option<Vec<String>>,
    pub(crate) attributes: BTreeMap<String, Attribute>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Cmd {
    pub(crate) number: u8,
    pub(crate) reply: Option<String>,
    #[serde(default)]
    pub(crate) notifies: bool,
    #[serde(default = "oldest")]
    pub(crate) since: Version,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Needs {
    Nothing,
    Instance,
    Port,
    PortOptional,
    Device,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Op {
    pub(crate) cmd: String,
    pub(crate) needs: Needs,
    #[serde(rename = "do")]
    pub(crate) doit: Option<Half>,
    pub(crate) dump: Option<Half>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Strictness {
    None,
    Liberal,
    Strict,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Half {
    pub(crate) attrs: Option<Vec<AttrUse>>,
    pub(crate) check: Strictness,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(default = "oldest")]
    pub(crate) since: Version,
}

/// An attribute that a request may carry, perhaps only since some kernel.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum AttrUse {
    Always(String),
    Since { name: String, since: Version },
}

impl AttrUse {
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Always(name) | Self::Since { name, .. } => name,
        }
    }

    pub(crate) fn since(&self) -> Version {
        match self {
            Self::Always(_) => OLDEST,
            Self::Since { since, .. } => *since,
        }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Shared {
    pub(crate) strict_start: String,
    pub(crate) attrs: Vec<String>,
    pub(crate) ops: Vec<SharedOp>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct SharedOp {
    pub(crate) cmd: String,
    #[serde(rename = "do")]
    pub(crate) doit: Option<Strictness>,
    pub(crate) dump: Option<Strictness>,
    #[serde(default)]
    pub(crate) admin: bool,
    #[serde(default)]
    pub(crate) apart: bool,
}

/// A set of attributes in the order of their numbers.
pub(crate) fn by_number(set: &BTreeMap<String, Attribute>) -> Vec<(&str, &Attribute)> {
    let mut attributes: Vec<_> = set
        .iter()
        .map(|(name, attr)| (name.as_str(), attr))
        .collect();
    attributes.sort_by_key(|(_, attr)| attr.number);
    attributes
}

impl Table {
    /// Checks what the types do not: numbers without gaps, names that exist, flags on nests only.
    pub(crate) fn validate(&self) -> Result<()> {
        for (expected, (name, attr)) in (1..).zip(by_number(&self.attributes)) {
            ensure!(
                attr.number == expected,
                "attribute {name} is not number {expected}"
            );
        }
        let mut commands: Vec<_> = self.commands.iter().collect();
        commands.sort_by_key(|(_, cmd)| cmd.number);
        for (expected, (name, cmd)) in (0..).zip(&commands) {
            ensure!(
                cmd.number == expected,
                "command {name} is not number {expected}"
            );
            if let Some(reply) = &cmd.reply {
                self.command(reply)?;
            }
        }
        let sets = self
            .nests
            .values()
            .map(|nest| &nest.attributes)
            .chain([&self.attributes]);
        for (name, attr) in sets.flatten() {
            let nest = attr.kind == Type::Nest;
            ensure!(
                attr.nested_flag.is_some() == nest,
                "{name}: nested-flag is for nests, all of them"
            );
            ensure!(
                attr.checks.is_sorted_by_key(|check| check.since),
                "{name}: checks are not in order"
            );
        }
        Ok(())
    }

    pub(crate) fn attribute(&self, name: &str) -> Result<&Attribute> {
        self.attributes
            .get(name)
            .with_context(|| format!("there is no attribute {name}"))
    }

    pub(crate) fn command(&self, name: &str) -> Result<&Cmd> {
        self.commands
            .get(name)
            .with_context(|| format!("there is no command {name}"))
    }
}
