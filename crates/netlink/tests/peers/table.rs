//! devlink's attributes, read from the table at run time.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

/// What an attribute holds; the words of the table.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    U8,
    U16,
    U32,
    U64,
    Uint,
    String,
    Binary,
    Flag,
    Bitfield32,
    Nest,
    Dynamic,
    Pad,
}

/// A row of the table.
#[derive(Debug, Deserialize)]
pub(crate) struct Row {
    pub(crate) number: u16,
    #[serde(rename = "type")]
    pub(crate) kind: Kind,
    #[serde(default, rename = "nested-flag")]
    pub(crate) nested_flag: bool,
}

pub(crate) type Rows = BTreeMap<String, Row>;

#[derive(Debug, Deserialize)]
struct Own {
    attributes: Rows,
}

/// The table, as far as it is about attributes.
#[derive(Debug, Deserialize)]
pub(crate) struct Table {
    pub(crate) attributes: Rows,
    nests: BTreeMap<String, Own>,
}

/// What stands in a nest.
#[derive(Clone, Copy)]
enum Inside {
    /// Some of devlink's attributes.
    Shared(&'static [&'static str]),
    /// Attributes with numbers of their own: this nest of the table, with this before their names.
    Own(&'static str, &'static str),
}

impl Table {
    pub(crate) fn get() -> &'static Self {
        static TABLE: OnceLock<Table> = OnceLock::new();
        TABLE.get_or_init(|| {
            toml::from_str(include_str!("../../data/devlink.toml")).expect("our own table")
        })
    }

    /// Not padding, which says nothing; not what another attribute gives its meaning; and no nest that the official
    /// specification does not know.
    pub(crate) fn is_speakable(&self, name: &str, row: &Row) -> bool {
        match row.kind {
            Kind::Pad | Kind::Dynamic => false,
            Kind::Nest => NESTS.iter().any(|(known, _)| *known == name),
            _ => true,
        }
    }

    /// What a nest may hold, as far as the official specification knows.
    pub(crate) fn inside(&self, nest: &str) -> Vec<(String, &Row)> {
        match NESTS.iter().find(|(name, _)| *name == nest) {
            None => Vec::new(),
            Some((_, Inside::Own(set, prefix))) => rows(&self.nests[*set].attributes)
                .filter(|(name, _)| !UNSPECIFIED.contains(name))
                .map(|(name, row)| (format!("{prefix}{name}"), row))
                .collect(),
            Some((_, Inside::Shared(names))) => {
                let row = |name: &&str| ((*name).to_owned(), &self.attributes[*name]);
                names.iter().map(row).collect()
            }
        }
    }
}

/// The rows with their names.
pub(crate) fn rows(rows: &Rows) -> impl Iterator<Item = (&str, &Row)> {
    rows.iter().map(|(name, row)| (name.as_str(), row))
}

/// What nests of port functions have and the official specification leaves out.
const UNSPECIFIED: &[&str] = &["DEVLINK", "MAX_IO_EQS"];

/// The nests of the official specification (`Documentation/netlink/specs/devlink.yaml`).
const NESTS: &[(&str, Inside)] = &[
    ("DPIPE_TABLES", Inside::Shared(&["DPIPE_TABLE"])),
    (
        "DPIPE_TABLE",
        Inside::Shared(&[
            "DPIPE_TABLE_NAME",
            "DPIPE_TABLE_SIZE",
            "DPIPE_TABLE_MATCHES",
            "DPIPE_TABLE_ACTIONS",
            "DPIPE_TABLE_COUNTERS_ENABLED",
            "DPIPE_TABLE_RESOURCE_ID",
            "DPIPE_TABLE_RESOURCE_UNITS",
        ]),
    ),
    ("DPIPE_TABLE_MATCHES", Inside::Shared(&["DPIPE_MATCH"])),
    ("DPIPE_TABLE_ACTIONS", Inside::Shared(&["DPIPE_ACTION"])),
    ("DPIPE_ENTRIES", Inside::Shared(&["DPIPE_ENTRY"])),
    (
        "DPIPE_ENTRY",
        Inside::Shared(&[
            "DPIPE_ENTRY_INDEX",
            "DPIPE_ENTRY_MATCH_VALUES",
            "DPIPE_ENTRY_ACTION_VALUES",
            "DPIPE_ENTRY_COUNTER",
        ]),
    ),
    (
        "DPIPE_ENTRY_MATCH_VALUES",
        Inside::Shared(&["DPIPE_MATCH_VALUE"]),
    ),
    (
        "DPIPE_ENTRY_ACTION_VALUES",
        Inside::Shared(&["DPIPE_ACTION_VALUE"]),
    ),
    (
        "DPIPE_MATCH",
        Inside::Shared(&[
            "DPIPE_MATCH_TYPE",
            "DPIPE_HEADER_ID",
            "DPIPE_HEADER_GLOBAL",
            "DPIPE_HEADER_INDEX",
            "DPIPE_FIELD_ID",
        ]),
    ),
    (
        "DPIPE_MATCH_VALUE",
        Inside::Shared(&[
            "DPIPE_MATCH",
            "DPIPE_VALUE",
            "DPIPE_VALUE_MASK",
            "DPIPE_VALUE_MAPPING",
        ]),
    ),
    (
        "DPIPE_ACTION",
        Inside::Shared(&[
            "DPIPE_ACTION_TYPE",
            "DPIPE_HEADER_ID",
            "DPIPE_HEADER_GLOBAL",
            "DPIPE_HEADER_INDEX",
            "DPIPE_FIELD_ID",
        ]),
    ),
    (
        "DPIPE_ACTION_VALUE",
        Inside::Shared(&[
            "DPIPE_ACTION",
            "DPIPE_VALUE",
            "DPIPE_VALUE_MASK",
            "DPIPE_VALUE_MAPPING",
        ]),
    ),
    ("DPIPE_HEADERS", Inside::Shared(&["DPIPE_HEADER"])),
    (
        "DPIPE_HEADER",
        Inside::Shared(&[
            "DPIPE_HEADER_NAME",
            "DPIPE_HEADER_ID",
            "DPIPE_HEADER_GLOBAL",
            "DPIPE_HEADER_FIELDS",
        ]),
    ),
    ("DPIPE_HEADER_FIELDS", Inside::Shared(&["DPIPE_FIELD"])),
    (
        "DPIPE_FIELD",
        Inside::Shared(&[
            "DPIPE_FIELD_NAME",
            "DPIPE_FIELD_ID",
            "DPIPE_FIELD_BITWIDTH",
            "DPIPE_FIELD_MAPPING_TYPE",
        ]),
    ),
    ("RESOURCE_LIST", Inside::Shared(&["RESOURCE"])),
    (
        "RESOURCE",
        Inside::Shared(&[
            "RESOURCE_NAME",
            "RESOURCE_ID",
            "RESOURCE_SIZE",
            "RESOURCE_SIZE_NEW",
            "RESOURCE_SIZE_VALID",
            "RESOURCE_SIZE_MIN",
            "RESOURCE_SIZE_MAX",
            "RESOURCE_SIZE_GRAN",
            "RESOURCE_UNIT",
            "RESOURCE_OCC",
        ]),
    ),
    (
        "PARAM",
        Inside::Shared(&["PARAM_NAME", "PARAM_GENERIC", "PARAM_TYPE"]),
    ),
    ("REGION_SNAPSHOTS", Inside::Shared(&["REGION_SNAPSHOT"])),
    ("REGION_SNAPSHOT", Inside::Shared(&["REGION_SNAPSHOT_ID"])),
    ("REGION_CHUNKS", Inside::Shared(&["REGION_CHUNK"])),
    (
        "REGION_CHUNK",
        Inside::Shared(&["REGION_CHUNK_DATA", "REGION_CHUNK_ADDR"]),
    ),
    (
        "INFO_VERSION_FIXED",
        Inside::Shared(&["INFO_VERSION_NAME", "INFO_VERSION_VALUE"]),
    ),
    (
        "INFO_VERSION_RUNNING",
        Inside::Shared(&["INFO_VERSION_NAME", "INFO_VERSION_VALUE"]),
    ),
    (
        "INFO_VERSION_STORED",
        Inside::Shared(&["INFO_VERSION_NAME", "INFO_VERSION_VALUE"]),
    ),
    (
        "FMSG",
        Inside::Shared(&[
            "FMSG_OBJ_NEST_START",
            "FMSG_PAIR_NEST_START",
            "FMSG_ARR_NEST_START",
            "FMSG_NEST_END",
            "FMSG_OBJ_NAME",
        ]),
    ),
    (
        "HEALTH_REPORTER",
        Inside::Shared(&[
            "HEALTH_REPORTER_NAME",
            "HEALTH_REPORTER_STATE",
            "HEALTH_REPORTER_ERR_COUNT",
            "HEALTH_REPORTER_RECOVER_COUNT",
            "HEALTH_REPORTER_GRACEFUL_PERIOD",
            "HEALTH_REPORTER_AUTO_RECOVER",
            "HEALTH_REPORTER_DUMP_TS",
            "HEALTH_REPORTER_DUMP_TS_NS",
            "HEALTH_REPORTER_AUTO_DUMP",
            "HEALTH_REPORTER_BURST_PERIOD",
        ]),
    ),
    ("STATS", Inside::Own("stats", "STATS_")),
    (
        "TRAP_METADATA",
        Inside::Own("trap_metadata", "TRAP_METADATA_TYPE_"),
    ),
    ("PORT_FUNCTION", Inside::Own("port_fn", "")),
    (
        "DEV_STATS",
        Inside::Shared(&["RELOAD_STATS", "REMOTE_RELOAD_STATS"]),
    ),
    ("RELOAD_STATS", Inside::Shared(&["RELOAD_ACTION_INFO"])),
    (
        "RELOAD_STATS_ENTRY",
        Inside::Shared(&["RELOAD_STATS_LIMIT", "RELOAD_STATS_VALUE"]),
    ),
    (
        "REMOTE_RELOAD_STATS",
        Inside::Shared(&["RELOAD_ACTION_INFO"]),
    ),
    (
        "RELOAD_ACTION_INFO",
        Inside::Shared(&["RELOAD_ACTION", "RELOAD_ACTION_STATS"]),
    ),
    (
        "RELOAD_ACTION_STATS",
        Inside::Shared(&["RELOAD_STATS_ENTRY"]),
    ),
    (
        "LINECARD_SUPPORTED_TYPES",
        Inside::Shared(&["LINECARD_TYPE"]),
    ),
    ("SELFTESTS", Inside::Own("selftest_id", "")),
    ("RATE_TC_BWS", Inside::Own("rate_tc", "")),
];
