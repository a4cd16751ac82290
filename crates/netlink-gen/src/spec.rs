//! Compares the table with the official specification, `data/spec/devlink.yaml`.
//!
//! Every difference must be one that is known, with its reason; and a known difference that is
//! gone must go from the list.

use std::collections::{BTreeMap, BTreeSet};

use yaml_rust2::{Yaml, YamlLoader};

use crate::table::{Attribute, Half, Needs, Strictness, Table, Type};

/// Known differences and why the table is right.
const KNOWN: &[(&str, &str)] = &[
    (
        "attribute PARAM_VALUES_LIST: not in the specification",
        "a hole there, marked TODO",
    ),
    (
        "attribute PARAM_VALUE: not in the specification",
        "a hole there, marked TODO",
    ),
    (
        "attribute PARAM_VALUE_DATA: not in the specification",
        "its type is another attribute's value",
    ),
    (
        "attribute PARAM_VALUE_DEFAULT: not in the specification",
        "its type is another attribute's value",
    ),
    (
        "attribute FMSG_OBJ_VALUE_DATA: not in the specification",
        "its type is another attribute's value",
    ),
    (
        "attribute NESTED_DEVLINK: not in the specification",
        "a hole there, marked TODO",
    ),
    (
        "attribute PORT_FN.DEVLINK: not in the specification",
        "the kernel sends it since 6.7",
    ),
    (
        "attribute PORT_FN.MAX_IO_EQS: not in the specification",
        "the kernel takes and sends it since 6.10",
    ),
    (
        "command PORT_GET: dump answered by NEW, in the table PORT_NEW",
        "6.1 did so by mistake; 6.12 and 7.2 answer with PORT_NEW, as recorded",
    ),
    (
        "command PORT_PARAM_GET: do answered by PORT_PARAM_GET, in the table nothing",
        "it always fails: there are no parameters of ports any more",
    ),
    (
        "command PORT_PARAM_GET: dump answered by PORT_PARAM_GET, in the table nothing",
        "it lists nothing: there are no parameters of ports any more",
    ),
];

struct Spec {
    root: Yaml,
}

fn snake(name: &str) -> String {
    name.to_uppercase().replace('-', "_")
}

fn strings(list: &Yaml) -> Vec<String> {
    list.as_vec().map_or_else(Vec::new, |list| {
        list.iter()
            .filter_map(|item| item.as_str().map(snake))
            .collect()
    })
}

impl Spec {
    fn load() -> Self {
        let text = include_str!("../../netlink/data/spec/devlink.yaml");
        let root = YamlLoader::load_from_str(text)
            .expect("the specification is YAML")
            .remove(0);
        Self { root }
    }

    /// The attributes of a set by number; `first` is the number of the first one.
    fn set(&self, name: &str, first: i64) -> BTreeMap<u16, (String, &Yaml)> {
        let sets = self.root["attribute-sets"]
            .as_vec()
            .expect("attribute sets");
        let set = sets
            .iter()
            .find(|set| set["name"].as_str() == Some(name))
            .expect(name);
        let mut next = first;
        let mut attributes = BTreeMap::new();
        for attr in set["attributes"].as_vec().expect("attributes") {
            let number = attr["value"].as_i64().unwrap_or(next);
            next = number + 1;
            let name = snake(attr["name"].as_str().expect("a name"));
            attributes.insert(u16::try_from(number).expect("a number"), (name, attr));
        }
        attributes
    }

    /// The numbers of an enumeration's values.
    fn values(&self, name: &str) -> Vec<u64> {
        let definitions = self.root["definitions"].as_vec().expect("definitions");
        let found = definitions
            .iter()
            .find(|item| item["name"].as_str() == Some(name));
        let mut next = 0;
        let entries = found.expect(name)["entries"].as_vec().expect("entries");
        entries
            .iter()
            .map(|entry| {
                let value = entry["value"].as_i64().unwrap_or(next);
                next = value + 1;
                value as u64
            })
            .collect()
    }

    /// What a request's value must satisfy, in the words of the table.
    fn check(&self, attr: &Yaml) -> String {
        match attr["checks"]["max"].as_str() {
            Some("u32-max") => return format!("max {}", u32::MAX),
            Some("rate-tc-index-max") => return "max 7".to_owned(),
            Some(other) => return format!("max {other}"),
            None => {}
        }
        let Some(name) = attr["enum"].as_str() else {
            return String::new();
        };
        let values = self.values(name);
        let (min, max) = (values[0], values[values.len() - 1]);
        if attr["enum-as-flags"].as_bool() == Some(true) {
            format!(
                "mask {}",
                values.iter().fold(0, |mask, value| mask | 1u64 << value)
            )
        } else if max - min + 1 != values.len() as u64 {
            format!("one of {values:?}")
        } else if min > 0 {
            format!("range {min} {max}")
        } else {
            format!("max {max}")
        }
    }
}

fn kind_name(kind: Type) -> &'static str {
    match kind {
        Type::U8 => "u8",
        Type::U16 => "u16",
        Type::U32 => "u32",
        Type::U64 => "u64",
        Type::Uint => "uint",
        Type::String => "string",
        Type::Binary => "binary",
        Type::Flag => "flag",
        Type::Nest => "nest",
        Type::Bitfield32 => "bitfield32",
        Type::Dynamic => "dynamic",
        Type::Pad => "pad",
    }
}

/// The newest check of an attribute.
fn table_check(attr: &Attribute) -> String {
    let Some(check) = attr.checks.last() else {
        return String::new();
    };
    if let Some([min, max]) = check.range {
        format!("range {min} {max}")
    } else if let Some(max) = check.max {
        format!("max {max}")
    } else if let Some(mask) = check.mask {
        format!("mask {mask}")
    } else if let Some(values) = &check.one_of {
        format!("one of {values:?}")
    } else {
        String::new()
    }
}

struct Comparison {
    found: BTreeSet<String>,
    compared: usize,
}

impl Comparison {
    fn differ(&mut self, what: String) {
        self.found.insert(what);
    }

    fn same(&mut self, what: &str, spec: &str, table: &str) {
        self.compared += 1;
        if spec != table {
            self.differ(format!("{what} {spec}, in the table {table}"));
        }
    }

    /// `asked`: the attributes that requests carry; only their checks are anybody's business.
    fn attributes(
        &mut self,
        spec: &Spec,
        (set, first): (&str, i64),
        prefix: &str,
        table: &BTreeMap<String, Attribute>,
        asked: &BTreeSet<String>,
    ) {
        let theirs = spec.set(set, first);
        for (name, attr) in table {
            let shown = format!("attribute {prefix}{name}:");
            let Some((their_name, yaml)) = theirs.get(&attr.number) else {
                self.differ(format!("{shown} not in the specification"));
                continue;
            };
            let their_name = their_name.rsplit("TYPE_").next().unwrap_or_default();
            let their_name = their_name
                .strip_prefix("STATS_")
                .filter(|_| !prefix.is_empty())
                .unwrap_or(their_name);
            self.same(&format!("{shown} called"), their_name, name);
            let kind = yaml["type"].as_str().unwrap_or_default();
            self.same(&format!("{shown} type"), kind, kind_name(attr.kind));
            if asked.contains(name) {
                self.same(
                    &format!("{shown} check"),
                    &spec.check(yaml),
                    &table_check(attr),
                );
            }
        }
        for (number, (name, _)) in &theirs {
            if !table.values().any(|attr| attr.number == *number) {
                self.differ(format!("attribute {prefix}{name}: not in the table"));
            }
        }
    }

    fn half(&mut self, what: &str, spec: &Yaml, op: &Yaml, table: Option<&Half>, dump: bool) {
        if spec.is_badvalue() || table.is_none() {
            self.same(
                &format!("{what} there"),
                &(!spec.is_badvalue()).to_string(),
                &table.is_some().to_string(),
            );
            return;
        }
        let Some(half) = table else { return };
        let theirs: BTreeSet<String> = strings(&spec["request"]["attributes"])
            .into_iter()
            .collect();
        let ours: BTreeSet<String> = match &half.attrs {
            Some(attrs) => attrs
                .iter()
                .map(|attr| attr.name().to_owned())
                .chain(["BUS_NAME", "DEV_NAME", "INDEX"].map(str::to_owned))
                .collect(),
            None => BTreeSet::new(),
        };
        self.same(
            &format!("{what} takes"),
            &format!("{theirs:?}"),
            &format!("{ours:?}"),
        );
        let admin = strings(&op["flags"]).contains(&"ADMIN_PERM".to_owned());
        self.same(
            &format!("{what} admin"),
            &admin.to_string(),
            &half.admin.to_string(),
        );
        let lenient = if dump { "DUMP_STRICT" } else { "STRICT" };
        let liberal = strings(&op["dont-validate"]).contains(&lenient.to_owned());
        let ours = (half.check == Strictness::Liberal).to_string();
        self.same(&format!("{what} liberal"), &liberal.to_string(), &ours);
    }

    fn commands(&mut self, spec: &Spec, table: &Table) {
        let list = spec.root["operations"]["list"]
            .as_vec()
            .expect("operations");
        let mut request = 0;
        let mut reply = 0;
        for op in list {
            let name = snake(op["name"].as_str().expect("a name"));
            let ours = table.op.iter().find(|ours| ours.cmd == name);
            let (Some(ours), Some(cmd)) = (ours, table.commands.get(&name)) else {
                self.differ(format!("command {name}: not in the table"));
                continue;
            };
            let half = if op["do"].is_badvalue() {
                &op["dump"]
            } else {
                &op["do"]
            };
            request = half["request"]["value"].as_i64().unwrap_or(request + 1);
            let shown = format!("command {name}:");
            self.same(
                &format!("{shown} number"),
                &request.to_string(),
                &cmd.number.to_string(),
            );
            for (what, half) in [("do", &op["do"]), ("dump", &op["dump"])] {
                if half["reply"].is_badvalue() {
                    continue;
                }
                // A dump's reply is the do's if it states no number of its own.
                let next = if what == "do" { reply + 1 } else { reply };
                reply = half["reply"]["value"].as_i64().unwrap_or(next);
                let theirs = table
                    .commands
                    .iter()
                    .find(|(_, cmd)| i64::from(cmd.number) == reply);
                let theirs = theirs.map_or("nothing", |(name, _)| name.as_str());
                let ours = cmd.reply.as_deref().unwrap_or("nothing");
                self.same(&format!("{shown} {what} answered by"), theirs, ours);
            }
            let pre = match op["do"]["pre"].as_str() {
                Some("devlink-nl-pre-doit") => Needs::Instance,
                Some("devlink-nl-pre-doit-port") => Needs::Port,
                Some("devlink-nl-pre-doit-port-optional") => Needs::PortOptional,
                Some("devlink-nl-pre-doit-dev-lock") => Needs::Device,
                _ => Needs::Nothing,
            };
            if ours.doit.is_some() {
                let (theirs, ours) = (format!("{pre:?}"), format!("{:?}", ours.needs));
                self.same(&format!("{shown} needs"), &theirs, &ours);
            }
            self.half(
                &format!("{shown} do"),
                &op["do"],
                op,
                ours.doit.as_ref(),
                false,
            );
            self.half(
                &format!("{shown} dump"),
                &op["dump"],
                op,
                ours.dump.as_ref(),
                true,
            );
        }
        for ours in &table.op {
            let named = |op: &&Yaml| op["name"].as_str().map(snake).as_deref() == Some(&ours.cmd);
            if !list.iter().any(|op| named(&op)) {
                self.differ(format!("command {}: not in the specification", ours.cmd));
            }
        }
    }
}

#[test]
fn every_difference_from_the_official_specification_is_known() {
    let table: Table = toml::from_str(include_str!("../../netlink/data/devlink.toml")).unwrap();
    let spec = Spec::load();
    let mut comparison = Comparison {
        found: BTreeSet::new(),
        compared: 0,
    };
    let halves = table
        .op
        .iter()
        .flat_map(|op| [&op.doit, &op.dump])
        .flatten();
    let mut asked: BTreeSet<String> = halves
        .flat_map(|half| half.attrs.iter().flatten())
        .map(|a| a.name().to_owned())
        .collect();
    asked.insert("INDEX".to_owned());
    comparison.attributes(&spec, ("devlink", 1), "", &table.attributes, &asked);
    for (nest, set, first) in [
        ("port_fn", "dl-port-function", 1),
        ("stats", "dl-attr-stats", 0),
        ("trap_metadata", "dl-trap-metadata", 0),
        ("selftest_id", "dl-selftest-id", 1),
        ("rate_tc", "dl-rate-tc-bws", 1),
    ] {
        let table = &table.nests[nest];
        let asked = table.policy.iter().flatten().cloned().collect();
        let prefix = format!("{}.", nest.to_uppercase());
        comparison.attributes(&spec, (set, first), &prefix, &table.attributes, &asked);
    }
    comparison.commands(&spec, &table);

    let known: BTreeSet<String> = KNOWN.iter().map(|(what, _)| (*what).to_owned()).collect();
    let new: Vec<_> = comparison.found.difference(&known).collect();
    assert!(new.is_empty(), "differences that are not known:\n{new:#?}");
    let gone: Vec<_> = known.difference(&comparison.found).collect();
    assert!(gone.is_empty(), "differences that are no more:\n{gone:#?}");
    assert!(
        comparison.compared > 700,
        "only {} facts were compared",
        comparison.compared
    );
}
