//! `netlink-bindings`, which knows devlink's attributes by name.

use std::ffi::CString;

use netlink::wire::{RawAttr, RawAttrs};
use netlink_bindings::builtin::BuiltinBitfield32;
use netlink_bindings::devlink::{OpGetDo, PushDevlink};
use netlink_bindings::traits::NetlinkRequest;

use crate::MESSAGES;
use crate::message::{Item, Random, Value, made_up, written};
use crate::table::{Kind, Table, rows};

#[test]
fn what_we_write_netlink_bindings_reads() {
    for seed in 0..MESSAGES {
        let items = made_up(seed);
        let mut message = vec![0; 4]; // the generic netlink header
        message.extend(written(&items));
        let read = format!("{:?}", OpGetDo::decode_reply(&message));
        assert_eq!(plain(&read), shown(&items), "seed {seed}: {read}");
    }
}

/// The items as `netlink-bindings` shows them, without its names for nests and values.
fn shown(items: &[Item]) -> String {
    let show = |item: &Item| {
        let value = match &item.value {
            Value::U8(value) => value.to_string(),
            Value::U16(value) => value.to_string(),
            Value::U32(value) | Value::Uint(value) => value.to_string(),
            Value::U64(value) => value.to_string(),
            // Its own texts are C strings, which show themselves in their own way.
            Value::Text(text) => format!("{:?}", CString::new(text.as_str()).expect("no NUL")),
            Value::Bytes(bytes) => format!("Hexdump({bytes:?})"),
            Value::Flag => "()".to_owned(),
            // It shows the value, not the selector.
            Value::Bits(bits) => bits.value.to_string(),
            Value::Nest(items) => shown(items),
        };
        format!("{}: {value}", camel_case(&item.name))
    };
    match items {
        [] => "{}".to_owned(),
        _ => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

fn camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    name.split('_').map(word).collect()
}

/// What `netlink-bindings` shows, without the names that it has for nests (`Name { … }`) and for values (`1 [Name]`).
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let begins_a_word = !out.ends_with(|c: char| c.is_alphanumeric());
        if c == '"' {
            let end = end_of_text(rest);
            out += &rest[..end];
            rest = &rest[end..];
        } else if begins_a_word && c.is_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if after.starts_with(" {") {
                rest = &after[1..];
            } else if matches!(after.as_bytes().first(), Some(b',') | None)
                || after.starts_with(" }")
            {
                out += "{}"; // the name of an empty nest
                rest = after;
            } else {
                out += word;
                rest = after;
            }
        } else if c.is_ascii_digit() && begins_a_word && !out.ends_with('[') {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            out += number;
            let close = match after.as_bytes() {
                [b' ', b'[', ..] => after.find(']'),
                [b' ', b'(', ..] => after.find(')'),
                _ => None,
            };
            rest = close.map_or(after, |close| &after[close + 1..]);
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The length of the quoted text that `text` begins with.
fn end_of_text(text: &str) -> usize {
    let mut escaped = true; // the first quote is none that ends it
    for (index, c) in text.char_indices() {
        match c {
            '"' if !escaped => return index + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}

/// A function that writes one attribute with `netlink-bindings` and says what it has written.
type Push = fn(PushDevlink<&mut Vec<u8>>, &mut Random) -> Expected;

/// What we have to read.
#[derive(Debug, PartialEq)]
enum Expected {
    Number(u64),
    Bytes(Vec<u8>),
}

macro_rules! pushes {
    (@ string $push:ident $to:ident $random:ident) => {{
        let text = format!("text {}", $random.next());
        $to.$push(&CString::new(text.as_str()).expect("no NUL"));
        Expected::Bytes(text.into_bytes())
    }};
    (@ binary $push:ident $to:ident $random:ident) => {{
        let bytes = $random.next().to_ne_bytes()[..$random.below(8)].to_vec();
        $to.$push(&bytes);
        Expected::Bytes(bytes)
    }};
    (@ flag $push:ident $to:ident $random:ident) => {{
        let _ = $random;
        $to.$push(());
        Expected::Bytes(Vec::new())
    }};
    (@ bitfield32 $push:ident $to:ident $random:ident) => {{
        let mut bits = BuiltinBitfield32::new();
        bits.value = $random.next() as u32;
        bits.selector = $random.next() as u32;
        let expected = u64::from(bits.selector) << 32 | u64::from(bits.value);
        $to.$push(bits);
        Expected::Number(expected)
    }};
    (@ $number:ident $push:ident $to:ident $random:ident) => {{
        let value = $random.next() as $number;
        $to.$push(value);
        #[allow(clippy::cast_lossless, reason = "some of them are of 64 bits already")]
        Expected::Number(value as u64)
    }};
    ($($kind:ident: $($name:ident $push:ident),*;)*) => {
        &[$($((
            stringify!($name),
            |to, random| pushes!(@ $kind $push to random),
        ),)*)*]
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

#[test]
fn what_netlink_bindings_writes_we_read() {
    let table = Table::get();
    for seed in 0..MESSAGES {
        let random = &mut Random::new(seed);
        let mut bytes = Vec::new();
        let wanted = random.below(25);
        let mut expected = Vec::new();
        for _ in 0..wanted {
            let (name, push) = PUSHES[random.below(PUSHES.len())];
            expected.push((name, push(PushDevlink::new(&mut bytes), random)));
        }
        let mut attrs = RawAttrs::new(&bytes, 0);
        for (name, expected) in expected {
            let row = &table.attributes[name];
            let attr = attrs.next().expect("as many as were written");
            assert_eq!(attr.number(), row.number, "seed {seed}: {name}");
            assert_eq!(read(attr, row.kind), Some(expected), "seed {seed}: {name}");
        }
        assert_eq!((attrs.next(), attrs.rest()), (None, 0), "seed {seed}");
    }
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

/// No attribute is left out of the comparison unnoticed.
#[test]
fn netlink_bindings_can_write_every_plain_attribute() {
    let left_out: Vec<&str> = rows(&Table::get().attributes)
        .filter(|(_, row)| !matches!(row.kind, Kind::Nest | Kind::Dynamic | Kind::Pad))
        .map(|(name, _)| name)
        .filter(|name| !PUSHES.iter().any(|(pushed, _)| pushed == name))
        .collect();
    assert_eq!(left_out, [] as [&str; 0]);
}
