//! `netlink-bindings`, which knows devlink's attributes by name: what it writes.

use std::ffi::CString;

use netlink::wire::{RawAttr, RawAttrs};
use netlink_bindings::builtin::BuiltinBitfield32;
use netlink_bindings::devlink::PushDevlink;

use crate::MESSAGES;
use crate::message::Random;
use crate::table::{Kind, Row, Table, rows};

/// A function that writes one attribute with `netlink-bindings` and says what it has written.
type Push = fn(PushDevlink<&mut Vec<u8>>, &mut Random) -> Expected;

/// What we have to read.
#[derive(Debug, PartialEq)]
enum Expected {
    Number(u64),
    Bytes(Vec<u8>),
    Nest(Vec<(&'static str, Expected)>),
}

/// Writes one attribute: where to go on, and what was written.
macro_rules! push {
    (string $push:ident $to:ident $random:ident) => {{
        let text = format!("text {}", $random.next());
        let to = $to.$push(&CString::new(text.as_str()).expect("no NUL"));
        (to, Expected::Bytes(text.into_bytes()))
    }};
    (binary $push:ident $to:ident $random:ident) => {{
        let bytes = $random.next().to_ne_bytes()[..$random.below(8)].to_vec();
        ($to.$push(&bytes), Expected::Bytes(bytes))
    }};
    (flag $push:ident $to:ident $random:ident) => {{
        let _ = &$random;
        ($to.$push(()), Expected::Bytes(Vec::new()))
    }};
    (bitfield32 $push:ident $to:ident $random:ident) => {{
        let mut bits = BuiltinBitfield32::new();
        bits.value = $random.next() as u32;
        bits.selector = $random.next() as u32;
        let expected = u64::from(bits.selector) << 32 | u64::from(bits.value);
        ($to.$push(bits), Expected::Number(expected))
    }};
    (nest $push:ident $to:ident $random:ident) => {{
        let _ = &$random;
        ($to.$push().end_nested(), Expected::Nest(Vec::new()))
    }};
    ($number:ident $push:ident $to:ident $random:ident) => {{
        let value = $random.next() as $number;
        #[allow(clippy::cast_lossless, reason = "some of them are of 64 bits already")]
        ($to.$push(value), Expected::Number(value as u64))
    }};
}

macro_rules! pushes {
    ($($kind:ident: $($name:ident $push:ident),*;)*) => {
        &[$($((
            stringify!($name),
            |to, random| push!($kind $push to random).1,
        ),)*)*]
    };
}

macro_rules! nests {
    ($($nest:ident $open:ident: $($kind:ident $name:ident $push:ident),*;)*) => {
        &[$((
            stringify!($nest),
            |to, random| {
                let nest = to.$open();
                let mut expected = Vec::new();
                $(
                    let (nest, value) = push!($kind $push nest random);
                    expected.push((stringify!($name), value));
                )*
                nest.end_nested();
                Expected::Nest(expected)
            },
        ),)*]
    };
}

/// Everything that `netlink-bindings` can write and that is no nest.
const PUSHES: &[(&str, Push)] = pushes! {
    string: BUS_NAME push_bus_name, DEV_NAME push_dev_name, PORT_NETDEV_NAME push_port_netdev_name, PORT_IBDEV_NAME push_port_ibdev_name, DPIPE_TABLE_NAME push_dpipe_table_name, DPIPE_HEADER_NAME push_dpipe_header_name, DPIPE_FIELD_NAME push_dpipe_field_name, RESOURCE_NAME push_resource_name, PARAM_NAME push_param_name, REGION_NAME push_region_name, INFO_DRIVER_NAME push_info_driver_name, INFO_SERIAL_NUMBER push_info_serial_number, INFO_VERSION_NAME push_info_version_name, INFO_VERSION_VALUE push_info_version_value, FMSG_OBJ_NAME push_fmsg_obj_name, HEALTH_REPORTER_NAME push_health_reporter_name, FLASH_UPDATE_FILE_NAME push_flash_update_file_name, FLASH_UPDATE_COMPONENT push_flash_update_component, FLASH_UPDATE_STATUS_MSG push_flash_update_status_msg, TRAP_NAME push_trap_name, TRAP_GROUP_NAME push_trap_group_name, INFO_BOARD_SERIAL_NUMBER push_info_board_serial_number, RATE_NODE_NAME push_rate_node_name, RATE_PARENT_NODE_NAME push_rate_parent_node_name, LINECARD_TYPE push_linecard_type;
    u32: PORT_INDEX push_port_index, PORT_NETDEV_IFINDEX push_port_netdev_ifindex, PORT_SPLIT_COUNT push_port_split_count, PORT_SPLIT_GROUP push_port_split_group, SB_INDEX push_sb_index, SB_SIZE push_sb_size, SB_POOL_SIZE push_sb_pool_size, SB_THRESHOLD push_sb_threshold, SB_OCC_CUR push_sb_occ_cur, SB_OCC_MAX push_sb_occ_max, DPIPE_MATCH_TYPE push_dpipe_match_type, DPIPE_ACTION_TYPE push_dpipe_action_type, DPIPE_VALUE_MAPPING push_dpipe_value_mapping, DPIPE_HEADER_ID push_dpipe_header_id, DPIPE_HEADER_INDEX push_dpipe_header_index, DPIPE_FIELD_ID push_dpipe_field_id, DPIPE_FIELD_BITWIDTH push_dpipe_field_bitwidth, DPIPE_FIELD_MAPPING_TYPE push_dpipe_field_mapping_type, PORT_NUMBER push_port_number, PORT_SPLIT_SUBPORT_NUMBER push_port_split_subport_number, REGION_SNAPSHOT_ID push_region_snapshot_id, SB_POOL_CELL_SIZE push_sb_pool_cell_size, NETNS_FD push_netns_fd, NETNS_PID push_netns_pid, NETNS_ID push_netns_id, TRAP_POLICER_ID push_trap_policer_id, PORT_LANES push_port_lanes, PORT_CONTROLLER_NUMBER push_port_controller_number, RELOAD_STATS_VALUE push_reload_stats_value, PORT_PCI_SF_NUMBER push_port_pci_sf_number, REGION_MAX_SNAPSHOTS push_region_max_snapshots, LINECARD_INDEX push_linecard_index, RATE_TX_PRIORITY push_rate_tx_priority, RATE_TX_WEIGHT push_rate_tx_weight, RESOURCE_SCOPE_MASK push_resource_scope_mask;
    u16: PORT_TYPE push_port_type, PORT_DESIRED_TYPE push_port_desired_type, SB_INGRESS_POOL_COUNT push_sb_ingress_pool_count, SB_EGRESS_POOL_COUNT push_sb_egress_pool_count, SB_INGRESS_TC_COUNT push_sb_ingress_tc_count, SB_EGRESS_TC_COUNT push_sb_egress_tc_count, SB_POOL_INDEX push_sb_pool_index, SB_TC_INDEX push_sb_tc_index, ESWITCH_MODE push_eswitch_mode, PORT_FLAVOUR push_port_flavour, PORT_PCI_PF_NUMBER push_port_pci_pf_number, PORT_PCI_VF_NUMBER push_port_pci_vf_number, RATE_TYPE push_rate_type;
    u8: SB_POOL_TYPE push_sb_pool_type, SB_POOL_THRESHOLD_TYPE push_sb_pool_threshold_type, ESWITCH_INLINE_MODE push_eswitch_inline_mode, DPIPE_TABLE_COUNTERS_ENABLED push_dpipe_table_counters_enabled, DPIPE_HEADER_GLOBAL push_dpipe_header_global, ESWITCH_ENCAP_MODE push_eswitch_encap_mode, RESOURCE_SIZE_VALID push_resource_size_valid, RESOURCE_UNIT push_resource_unit, PARAM_TYPE push_param_type, PARAM_VALUE_CMODE push_param_value_cmode, FMSG_OBJ_VALUE_TYPE push_fmsg_obj_value_type, HEALTH_REPORTER_STATE push_health_reporter_state, HEALTH_REPORTER_AUTO_RECOVER push_health_reporter_auto_recover, TRAP_ACTION push_trap_action, TRAP_TYPE push_trap_type, RELOAD_FAILED push_reload_failed, HEALTH_REPORTER_AUTO_DUMP push_health_reporter_auto_dump, PORT_SPLITTABLE push_port_splittable, PORT_EXTERNAL push_port_external, RELOAD_ACTION push_reload_action, RELOAD_STATS_LIMIT push_reload_stats_limit, LINECARD_STATE push_linecard_state;
    u64: DPIPE_TABLE_SIZE push_dpipe_table_size, DPIPE_ENTRY_INDEX push_dpipe_entry_index, DPIPE_ENTRY_COUNTER push_dpipe_entry_counter, RESOURCE_ID push_resource_id, RESOURCE_SIZE push_resource_size, RESOURCE_SIZE_NEW push_resource_size_new, RESOURCE_SIZE_MIN push_resource_size_min, RESOURCE_SIZE_MAX push_resource_size_max, RESOURCE_SIZE_GRAN push_resource_size_gran, RESOURCE_OCC push_resource_occ, DPIPE_TABLE_RESOURCE_ID push_dpipe_table_resource_id, DPIPE_TABLE_RESOURCE_UNITS push_dpipe_table_resource_units, REGION_SIZE push_region_size, REGION_CHUNK_ADDR push_region_chunk_addr, REGION_CHUNK_LEN push_region_chunk_len, HEALTH_REPORTER_ERR_COUNT push_health_reporter_err_count, HEALTH_REPORTER_RECOVER_COUNT push_health_reporter_recover_count, HEALTH_REPORTER_DUMP_TS push_health_reporter_dump_ts, HEALTH_REPORTER_GRACEFUL_PERIOD push_health_reporter_graceful_period, FLASH_UPDATE_STATUS_DONE push_flash_update_status_done, FLASH_UPDATE_STATUS_TOTAL push_flash_update_status_total, HEALTH_REPORTER_DUMP_TS_NS push_health_reporter_dump_ts_ns, TRAP_POLICER_RATE push_trap_policer_rate, TRAP_POLICER_BURST push_trap_policer_burst, FLASH_UPDATE_STATUS_TIMEOUT push_flash_update_status_timeout, RATE_TX_SHARE push_rate_tx_share, RATE_TX_MAX push_rate_tx_max, HEALTH_REPORTER_BURST_PERIOD push_health_reporter_burst_period;
    binary: DPIPE_VALUE push_dpipe_value, DPIPE_VALUE_MASK push_dpipe_value_mask, REGION_CHUNK_DATA push_region_chunk_data;
    flag: PARAM_GENERIC push_param_generic, FMSG_OBJ_NEST_START push_fmsg_obj_nest_start, FMSG_PAIR_NEST_START push_fmsg_pair_nest_start, FMSG_ARR_NEST_START push_fmsg_arr_nest_start, FMSG_NEST_END push_fmsg_nest_end, TRAP_GENERIC push_trap_generic, REGION_DIRECT push_region_direct, PARAM_RESET_DEFAULT push_param_reset_default;
    bitfield32: FLASH_UPDATE_OVERWRITE_MASK push_flash_update_overwrite_mask, RELOAD_ACTIONS_PERFORMED push_reload_actions_performed, RELOAD_LIMITS push_reload_limits;
    u32: INDEX push_index;
};

/// Every nest that `netlink-bindings` can write and we know, with all that it can write in it; in that, nests are empty.
const NESTS: &[(&str, Push)] = nests! {
    DPIPE_TABLES nested_dpipe_tables: nest DPIPE_TABLE nested_dpipe_table;
    DPIPE_TABLE nested_dpipe_table: string DPIPE_TABLE_NAME push_dpipe_table_name, u64 DPIPE_TABLE_SIZE push_dpipe_table_size, nest DPIPE_TABLE_MATCHES nested_dpipe_table_matches, nest DPIPE_TABLE_ACTIONS nested_dpipe_table_actions, u8 DPIPE_TABLE_COUNTERS_ENABLED push_dpipe_table_counters_enabled, u64 DPIPE_TABLE_RESOURCE_ID push_dpipe_table_resource_id, u64 DPIPE_TABLE_RESOURCE_UNITS push_dpipe_table_resource_units;
    DPIPE_TABLE_MATCHES nested_dpipe_table_matches: nest DPIPE_MATCH nested_dpipe_match;
    DPIPE_TABLE_ACTIONS nested_dpipe_table_actions: nest DPIPE_ACTION nested_dpipe_action;
    DPIPE_ENTRIES nested_dpipe_entries: nest DPIPE_ENTRY nested_dpipe_entry;
    DPIPE_ENTRY nested_dpipe_entry: u64 DPIPE_ENTRY_INDEX push_dpipe_entry_index, nest DPIPE_ENTRY_MATCH_VALUES nested_dpipe_entry_match_values, nest DPIPE_ENTRY_ACTION_VALUES nested_dpipe_entry_action_values, u64 DPIPE_ENTRY_COUNTER push_dpipe_entry_counter;
    DPIPE_ENTRY_MATCH_VALUES nested_dpipe_entry_match_values: nest DPIPE_MATCH_VALUE nested_dpipe_match_value;
    DPIPE_ENTRY_ACTION_VALUES nested_dpipe_entry_action_values: nest DPIPE_ACTION_VALUE nested_dpipe_action_value;
    DPIPE_MATCH nested_dpipe_match: u32 DPIPE_MATCH_TYPE push_dpipe_match_type, u32 DPIPE_HEADER_ID push_dpipe_header_id, u8 DPIPE_HEADER_GLOBAL push_dpipe_header_global, u32 DPIPE_HEADER_INDEX push_dpipe_header_index, u32 DPIPE_FIELD_ID push_dpipe_field_id;
    DPIPE_MATCH_VALUE nested_dpipe_match_value: nest DPIPE_MATCH nested_dpipe_match, binary DPIPE_VALUE push_dpipe_value, binary DPIPE_VALUE_MASK push_dpipe_value_mask, u32 DPIPE_VALUE_MAPPING push_dpipe_value_mapping;
    DPIPE_ACTION nested_dpipe_action: u32 DPIPE_ACTION_TYPE push_dpipe_action_type, u32 DPIPE_HEADER_ID push_dpipe_header_id, u8 DPIPE_HEADER_GLOBAL push_dpipe_header_global, u32 DPIPE_HEADER_INDEX push_dpipe_header_index, u32 DPIPE_FIELD_ID push_dpipe_field_id;
    DPIPE_ACTION_VALUE nested_dpipe_action_value: nest DPIPE_ACTION nested_dpipe_action, binary DPIPE_VALUE push_dpipe_value, binary DPIPE_VALUE_MASK push_dpipe_value_mask, u32 DPIPE_VALUE_MAPPING push_dpipe_value_mapping;
    DPIPE_HEADERS nested_dpipe_headers: nest DPIPE_HEADER nested_dpipe_header;
    DPIPE_HEADER nested_dpipe_header: string DPIPE_HEADER_NAME push_dpipe_header_name, u32 DPIPE_HEADER_ID push_dpipe_header_id, nest DPIPE_HEADER_FIELDS nested_dpipe_header_fields, u8 DPIPE_HEADER_GLOBAL push_dpipe_header_global;
    DPIPE_HEADER_FIELDS nested_dpipe_header_fields: nest DPIPE_FIELD nested_dpipe_field;
    DPIPE_FIELD nested_dpipe_field: string DPIPE_FIELD_NAME push_dpipe_field_name, u32 DPIPE_FIELD_ID push_dpipe_field_id, u32 DPIPE_FIELD_BITWIDTH push_dpipe_field_bitwidth, u32 DPIPE_FIELD_MAPPING_TYPE push_dpipe_field_mapping_type;
    RESOURCE_LIST nested_resource_list: nest RESOURCE nested_resource;
    RESOURCE nested_resource: string RESOURCE_NAME push_resource_name, u64 RESOURCE_ID push_resource_id, u64 RESOURCE_SIZE push_resource_size, u64 RESOURCE_SIZE_NEW push_resource_size_new, u8 RESOURCE_SIZE_VALID push_resource_size_valid, u64 RESOURCE_SIZE_MIN push_resource_size_min, u64 RESOURCE_SIZE_MAX push_resource_size_max, u64 RESOURCE_SIZE_GRAN push_resource_size_gran, u8 RESOURCE_UNIT push_resource_unit, u64 RESOURCE_OCC push_resource_occ;
    PARAM nested_param: string PARAM_NAME push_param_name, flag PARAM_GENERIC push_param_generic, u8 PARAM_TYPE push_param_type;
    REGION_SNAPSHOTS nested_region_snapshots: nest REGION_SNAPSHOT nested_region_snapshot;
    REGION_SNAPSHOT nested_region_snapshot: u32 REGION_SNAPSHOT_ID push_region_snapshot_id;
    REGION_CHUNKS nested_region_chunks: nest REGION_CHUNK nested_region_chunk;
    REGION_CHUNK nested_region_chunk: binary REGION_CHUNK_DATA push_region_chunk_data, u64 REGION_CHUNK_ADDR push_region_chunk_addr;
    INFO_VERSION_FIXED nested_info_version_fixed: string INFO_VERSION_NAME push_info_version_name, string INFO_VERSION_VALUE push_info_version_value;
    INFO_VERSION_RUNNING nested_info_version_running: string INFO_VERSION_NAME push_info_version_name, string INFO_VERSION_VALUE push_info_version_value;
    INFO_VERSION_STORED nested_info_version_stored: string INFO_VERSION_NAME push_info_version_name, string INFO_VERSION_VALUE push_info_version_value;
    FMSG nested_fmsg: flag FMSG_OBJ_NEST_START push_fmsg_obj_nest_start, flag FMSG_PAIR_NEST_START push_fmsg_pair_nest_start, flag FMSG_ARR_NEST_START push_fmsg_arr_nest_start, flag FMSG_NEST_END push_fmsg_nest_end, string FMSG_OBJ_NAME push_fmsg_obj_name;
    HEALTH_REPORTER nested_health_reporter: string HEALTH_REPORTER_NAME push_health_reporter_name, u8 HEALTH_REPORTER_STATE push_health_reporter_state, u64 HEALTH_REPORTER_ERR_COUNT push_health_reporter_err_count, u64 HEALTH_REPORTER_RECOVER_COUNT push_health_reporter_recover_count, u64 HEALTH_REPORTER_DUMP_TS push_health_reporter_dump_ts, u64 HEALTH_REPORTER_GRACEFUL_PERIOD push_health_reporter_graceful_period, u8 HEALTH_REPORTER_AUTO_RECOVER push_health_reporter_auto_recover, u64 HEALTH_REPORTER_DUMP_TS_NS push_health_reporter_dump_ts_ns, u8 HEALTH_REPORTER_AUTO_DUMP push_health_reporter_auto_dump, u64 HEALTH_REPORTER_BURST_PERIOD push_health_reporter_burst_period;
    STATS nested_stats: u64 STATS_RX_PACKETS push_stats_rx_packets, u64 STATS_RX_BYTES push_stats_rx_bytes, u64 STATS_RX_DROPPED push_stats_rx_dropped;
    TRAP_METADATA nested_trap_metadata: flag TRAP_METADATA_TYPE_IN_PORT push_trap_metadata_type_in_port, flag TRAP_METADATA_TYPE_FA_COOKIE push_trap_metadata_type_fa_cookie;
    PORT_FUNCTION nested_port_function: binary HW_ADDR push_hw_addr, u8 STATE push_state, u8 OPSTATE push_opstate, bitfield32 CAPS push_caps;
    DEV_STATS nested_dev_stats: nest RELOAD_STATS nested_reload_stats, nest REMOTE_RELOAD_STATS nested_remote_reload_stats;
    RELOAD_STATS nested_reload_stats: nest RELOAD_ACTION_INFO nested_reload_action_info;
    RELOAD_STATS_ENTRY nested_reload_stats_entry: u8 RELOAD_STATS_LIMIT push_reload_stats_limit, u32 RELOAD_STATS_VALUE push_reload_stats_value;
    REMOTE_RELOAD_STATS nested_remote_reload_stats: nest RELOAD_ACTION_INFO nested_reload_action_info;
    RELOAD_ACTION_INFO nested_reload_action_info: u8 RELOAD_ACTION push_reload_action, nest RELOAD_ACTION_STATS nested_reload_action_stats;
    RELOAD_ACTION_STATS nested_reload_action_stats: nest RELOAD_STATS_ENTRY nested_reload_stats_entry;
    LINECARD_SUPPORTED_TYPES nested_linecard_supported_types: string LINECARD_TYPE push_linecard_type;
    SELFTESTS nested_selftests: flag FLASH push_flash;
    RATE_TC_BWS nested_rate_tc_bws: u8 INDEX push_index, u32 BW push_bw;
};

#[test]
fn what_netlink_bindings_writes_we_read() {
    let table = Table::get();
    let all: Vec<_> = PUSHES.iter().chain(NESTS).collect();
    for seed in 0..MESSAGES {
        let random = &mut Random::new(seed);
        let mut bytes = Vec::new();
        let wanted = random.below(25);
        let mut expected = Vec::new();
        for _ in 0..wanted {
            let &&(name, push) = &all[random.below(all.len())];
            expected.push((name, push(PushDevlink::new(&mut bytes), random)));
        }
        let row = |name: &str| &table.attributes[name];
        compare(table, &bytes, &row, expected, &format!("seed {seed}"));
    }
}

/// Reads attributes whose rows `row` knows by their names.
fn compare<'t>(
    table: &'t Table,
    bytes: &[u8],
    row: &dyn Fn(&str) -> &'t Row,
    expected: Vec<(&str, Expected)>,
    place: &str,
) {
    let mut attrs = RawAttrs::new(bytes, 0);
    for (name, expected) in expected {
        let row = row(name);
        let attr = attrs.next().expect("as many as were written");
        let place = format!("{place}: {name}");
        assert_eq!(attr.number(), row.number, "{place}");
        match expected {
            Expected::Nest(expected) => {
                let inside = table.inside(name);
                let row = |name: &str| {
                    let mut rows = inside.iter();
                    let found = rows.find(|(known, _)| known == name);
                    found
                        .unwrap_or_else(|| panic!("{place}: no {name} in it"))
                        .1
                };
                compare(table, attr.payload, &row, expected, &place);
            }
            plain => assert_eq!(read(attr, row.kind), Some(plain), "{place}"),
        }
    }
    assert_eq!((attrs.next(), attrs.rest()), (None, 0), "{place}");
}

fn read(attr: RawAttr<'_>, kind: Kind) -> Option<Expected> {
    Some(match kind {
        Kind::U8 => Expected::Number(attr.u8()?.into()),
        Kind::U16 => Expected::Number(attr.u16()?.into()),
        Kind::U32 => Expected::Number(attr.u32()?.into()),
        Kind::U64 | Kind::Bitfield32 => Expected::Number(attr.u64()?),
        Kind::Uint => Expected::Number(attr.uint()?),
        Kind::String => Expected::Bytes(attr.text().to_vec()),
        Kind::Binary | Kind::Flag => Expected::Bytes(attr.payload.to_vec()),
        Kind::Nest | Kind::Dynamic | Kind::Pad => return None,
    })
}

/// No attribute is left out of the comparison unnoticed, and no nest that the official specification knows.
#[test]
fn netlink_bindings_can_write_every_attribute() {
    let table = Table::get();
    let left_out: Vec<&str> = rows(&table.attributes)
        .filter(|(name, row)| table.is_speakable(name, row))
        .map(|(name, _)| name)
        .filter(|name| !PUSHES.iter().chain(NESTS).any(|(pushed, _)| pushed == name))
        .collect();
    assert_eq!(left_out, [] as [&str; 0]);
}
