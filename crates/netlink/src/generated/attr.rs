//! Attributes.
use crate::wire::{Attr, kind};

/// `DEVLINK_ATTR_BUS_NAME`.
pub const BUS_NAME: Attr<kind::Str> = Attr::new(1, "BUS_NAME");
/// `DEVLINK_ATTR_DEV_NAME`.
pub const DEV_NAME: Attr<kind::Str> = Attr::new(2, "DEV_NAME");
/// `DEVLINK_ATTR_PORT_INDEX`.
pub const PORT_INDEX: Attr<kind::U32> = Attr::new(3, "PORT_INDEX");
/// `DEVLINK_ATTR_PORT_TYPE`.
pub const PORT_TYPE: Attr<kind::U16> = Attr::new(4, "PORT_TYPE");
/// `DEVLINK_ATTR_PORT_DESIRED_TYPE`.
pub const PORT_DESIRED_TYPE: Attr<kind::U16> = Attr::new(5, "PORT_DESIRED_TYPE");
/// `DEVLINK_ATTR_PORT_NETDEV_IFINDEX`.
pub const PORT_NETDEV_IFINDEX: Attr<kind::U32> = Attr::new(6, "PORT_NETDEV_IFINDEX");
/// `DEVLINK_ATTR_PORT_NETDEV_NAME`.
pub const PORT_NETDEV_NAME: Attr<kind::Str> = Attr::new(7, "PORT_NETDEV_NAME");
/// `DEVLINK_ATTR_PORT_IBDEV_NAME`.
pub const PORT_IBDEV_NAME: Attr<kind::Str> = Attr::new(8, "PORT_IBDEV_NAME");
/// `DEVLINK_ATTR_PORT_SPLIT_COUNT`.
pub const PORT_SPLIT_COUNT: Attr<kind::U32> = Attr::new(9, "PORT_SPLIT_COUNT");
/// `DEVLINK_ATTR_PORT_SPLIT_GROUP`.
pub const PORT_SPLIT_GROUP: Attr<kind::U32> = Attr::new(10, "PORT_SPLIT_GROUP");
/// `DEVLINK_ATTR_SB_INDEX`.
pub const SB_INDEX: Attr<kind::U32> = Attr::new(11, "SB_INDEX");
/// `DEVLINK_ATTR_SB_SIZE`.
pub const SB_SIZE: Attr<kind::U32> = Attr::new(12, "SB_SIZE");
/// `DEVLINK_ATTR_SB_INGRESS_POOL_COUNT`.
pub const SB_INGRESS_POOL_COUNT: Attr<kind::U16> = Attr::new(13, "SB_INGRESS_POOL_COUNT");
/// `DEVLINK_ATTR_SB_EGRESS_POOL_COUNT`.
pub const SB_EGRESS_POOL_COUNT: Attr<kind::U16> = Attr::new(14, "SB_EGRESS_POOL_COUNT");
/// `DEVLINK_ATTR_SB_INGRESS_TC_COUNT`.
pub const SB_INGRESS_TC_COUNT: Attr<kind::U16> = Attr::new(15, "SB_INGRESS_TC_COUNT");
/// `DEVLINK_ATTR_SB_EGRESS_TC_COUNT`.
pub const SB_EGRESS_TC_COUNT: Attr<kind::U16> = Attr::new(16, "SB_EGRESS_TC_COUNT");
/// `DEVLINK_ATTR_SB_POOL_INDEX`.
pub const SB_POOL_INDEX: Attr<kind::U16> = Attr::new(17, "SB_POOL_INDEX");
/// `DEVLINK_ATTR_SB_POOL_TYPE`.
pub const SB_POOL_TYPE: Attr<kind::U8> = Attr::new(18, "SB_POOL_TYPE");
/// `DEVLINK_ATTR_SB_POOL_SIZE`.
pub const SB_POOL_SIZE: Attr<kind::U32> = Attr::new(19, "SB_POOL_SIZE");
/// `DEVLINK_ATTR_SB_POOL_THRESHOLD_TYPE`.
pub const SB_POOL_THRESHOLD_TYPE: Attr<kind::U8> = Attr::new(20, "SB_POOL_THRESHOLD_TYPE");
/// `DEVLINK_ATTR_SB_THRESHOLD`.
pub const SB_THRESHOLD: Attr<kind::U32> = Attr::new(21, "SB_THRESHOLD");
/// `DEVLINK_ATTR_SB_TC_INDEX`.
pub const SB_TC_INDEX: Attr<kind::U16> = Attr::new(22, "SB_TC_INDEX");
/// `DEVLINK_ATTR_SB_OCC_CUR`.
pub const SB_OCC_CUR: Attr<kind::U32> = Attr::new(23, "SB_OCC_CUR");
/// `DEVLINK_ATTR_SB_OCC_MAX`.
pub const SB_OCC_MAX: Attr<kind::U32> = Attr::new(24, "SB_OCC_MAX");
/// `DEVLINK_ATTR_ESWITCH_MODE`.
pub const ESWITCH_MODE: Attr<kind::U16> = Attr::new(25, "ESWITCH_MODE");
/// `DEVLINK_ATTR_ESWITCH_INLINE_MODE`.
pub const ESWITCH_INLINE_MODE: Attr<kind::U8> = Attr::new(26, "ESWITCH_INLINE_MODE");
/// `DEVLINK_ATTR_DPIPE_TABLES`.
pub const DPIPE_TABLES: Attr<kind::Nest> = Attr::new(27, "DPIPE_TABLES");
/// `DEVLINK_ATTR_DPIPE_TABLE`.
pub const DPIPE_TABLE: Attr<kind::Nest> = Attr::new(28, "DPIPE_TABLE");
/// `DEVLINK_ATTR_DPIPE_TABLE_NAME`.
pub const DPIPE_TABLE_NAME: Attr<kind::Str> = Attr::new(29, "DPIPE_TABLE_NAME");
/// `DEVLINK_ATTR_DPIPE_TABLE_SIZE`.
pub const DPIPE_TABLE_SIZE: Attr<kind::U64> = Attr::new(30, "DPIPE_TABLE_SIZE");
/// `DEVLINK_ATTR_DPIPE_TABLE_MATCHES`.
pub const DPIPE_TABLE_MATCHES: Attr<kind::Nest> = Attr::new(31, "DPIPE_TABLE_MATCHES");
/// `DEVLINK_ATTR_DPIPE_TABLE_ACTIONS`.
pub const DPIPE_TABLE_ACTIONS: Attr<kind::Nest> = Attr::new(32, "DPIPE_TABLE_ACTIONS");
/// `DEVLINK_ATTR_DPIPE_TABLE_COUNTERS_ENABLED`.
pub const DPIPE_TABLE_COUNTERS_ENABLED: Attr<kind::U8> =
    Attr::new(33, "DPIPE_TABLE_COUNTERS_ENABLED");
/// `DEVLINK_ATTR_DPIPE_ENTRIES`.
pub const DPIPE_ENTRIES: Attr<kind::Nest> = Attr::new(34, "DPIPE_ENTRIES");
/// `DEVLINK_ATTR_DPIPE_ENTRY`.
pub const DPIPE_ENTRY: Attr<kind::Nest> = Attr::new(35, "DPIPE_ENTRY");
/// `DEVLINK_ATTR_DPIPE_ENTRY_INDEX`.
pub const DPIPE_ENTRY_INDEX: Attr<kind::U64> = Attr::new(36, "DPIPE_ENTRY_INDEX");
/// `DEVLINK_ATTR_DPIPE_ENTRY_MATCH_VALUES`.
pub const DPIPE_ENTRY_MATCH_VALUES: Attr<kind::Nest> = Attr::new(37, "DPIPE_ENTRY_MATCH_VALUES");
/// `DEVLINK_ATTR_DPIPE_ENTRY_ACTION_VALUES`.
pub const DPIPE_ENTRY_ACTION_VALUES: Attr<kind::Nest> = Attr::new(38, "DPIPE_ENTRY_ACTION_VALUES");
/// `DEVLINK_ATTR_DPIPE_ENTRY_COUNTER`.
pub const DPIPE_ENTRY_COUNTER: Attr<kind::U64> = Attr::new(39, "DPIPE_ENTRY_COUNTER");
/// `DEVLINK_ATTR_DPIPE_MATCH`.
pub const DPIPE_MATCH: Attr<kind::Nest> = Attr::new(40, "DPIPE_MATCH");
/// `DEVLINK_ATTR_DPIPE_MATCH_VALUE`.
pub const DPIPE_MATCH_VALUE: Attr<kind::Nest> = Attr::new(41, "DPIPE_MATCH_VALUE");
/// `DEVLINK_ATTR_DPIPE_MATCH_TYPE`.
pub const DPIPE_MATCH_TYPE: Attr<kind::U32> = Attr::new(42, "DPIPE_MATCH_TYPE");
/// `DEVLINK_ATTR_DPIPE_ACTION`.
pub const DPIPE_ACTION: Attr<kind::Nest> = Attr::new(43, "DPIPE_ACTION");
/// `DEVLINK_ATTR_DPIPE_ACTION_VALUE`.
pub const DPIPE_ACTION_VALUE: Attr<kind::Nest> = Attr::new(44, "DPIPE_ACTION_VALUE");
/// `DEVLINK_ATTR_DPIPE_ACTION_TYPE`.
pub const DPIPE_ACTION_TYPE: Attr<kind::U32> = Attr::new(45, "DPIPE_ACTION_TYPE");
/// `DEVLINK_ATTR_DPIPE_VALUE`.
pub const DPIPE_VALUE: Attr<kind::Binary> = Attr::new(46, "DPIPE_VALUE");
/// `DEVLINK_ATTR_DPIPE_VALUE_MASK`.
pub const DPIPE_VALUE_MASK: Attr<kind::Binary> = Attr::new(47, "DPIPE_VALUE_MASK");
/// `DEVLINK_ATTR_DPIPE_VALUE_MAPPING`.
pub const DPIPE_VALUE_MAPPING: Attr<kind::U32> = Attr::new(48, "DPIPE_VALUE_MAPPING");
/// `DEVLINK_ATTR_DPIPE_HEADERS`.
pub const DPIPE_HEADERS: Attr<kind::Nest> = Attr::new(49, "DPIPE_HEADERS");
/// `DEVLINK_ATTR_DPIPE_HEADER`.
pub const DPIPE_HEADER: Attr<kind::Nest> = Attr::new(50, "DPIPE_HEADER");
/// `DEVLINK_ATTR_DPIPE_HEADER_NAME`.
pub const DPIPE_HEADER_NAME: Attr<kind::Str> = Attr::new(51, "DPIPE_HEADER_NAME");
/// `DEVLINK_ATTR_DPIPE_HEADER_ID`.
pub const DPIPE_HEADER_ID: Attr<kind::U32> = Attr::new(52, "DPIPE_HEADER_ID");
/// `DEVLINK_ATTR_DPIPE_HEADER_FIELDS`.
pub const DPIPE_HEADER_FIELDS: Attr<kind::Nest> = Attr::new(53, "DPIPE_HEADER_FIELDS");
/// `DEVLINK_ATTR_DPIPE_HEADER_GLOBAL`.
pub const DPIPE_HEADER_GLOBAL: Attr<kind::U8> = Attr::new(54, "DPIPE_HEADER_GLOBAL");
/// `DEVLINK_ATTR_DPIPE_HEADER_INDEX`.
pub const DPIPE_HEADER_INDEX: Attr<kind::U32> = Attr::new(55, "DPIPE_HEADER_INDEX");
/// `DEVLINK_ATTR_DPIPE_FIELD`.
pub const DPIPE_FIELD: Attr<kind::Nest> = Attr::new(56, "DPIPE_FIELD");
/// `DEVLINK_ATTR_DPIPE_FIELD_NAME`.
pub const DPIPE_FIELD_NAME: Attr<kind::Str> = Attr::new(57, "DPIPE_FIELD_NAME");
/// `DEVLINK_ATTR_DPIPE_FIELD_ID`.
pub const DPIPE_FIELD_ID: Attr<kind::U32> = Attr::new(58, "DPIPE_FIELD_ID");
/// `DEVLINK_ATTR_DPIPE_FIELD_BITWIDTH`.
pub const DPIPE_FIELD_BITWIDTH: Attr<kind::U32> = Attr::new(59, "DPIPE_FIELD_BITWIDTH");
/// `DEVLINK_ATTR_DPIPE_FIELD_MAPPING_TYPE`.
pub const DPIPE_FIELD_MAPPING_TYPE: Attr<kind::U32> = Attr::new(60, "DPIPE_FIELD_MAPPING_TYPE");
/// `DEVLINK_ATTR_PAD`.
pub const PAD: Attr<kind::Flag> = Attr::new(61, "PAD");
/// `DEVLINK_ATTR_ESWITCH_ENCAP_MODE`.
pub const ESWITCH_ENCAP_MODE: Attr<kind::U8> = Attr::new(62, "ESWITCH_ENCAP_MODE");
/// `DEVLINK_ATTR_RESOURCE_LIST`.
pub const RESOURCE_LIST: Attr<kind::Nest> = Attr::new(63, "RESOURCE_LIST");
/// `DEVLINK_ATTR_RESOURCE`.
pub const RESOURCE: Attr<kind::Nest> = Attr::new(64, "RESOURCE");
/// `DEVLINK_ATTR_RESOURCE_NAME`.
pub const RESOURCE_NAME: Attr<kind::Str> = Attr::new(65, "RESOURCE_NAME");
/// `DEVLINK_ATTR_RESOURCE_ID`.
pub const RESOURCE_ID: Attr<kind::U64> = Attr::new(66, "RESOURCE_ID");
/// `DEVLINK_ATTR_RESOURCE_SIZE`.
pub const RESOURCE_SIZE: Attr<kind::U64> = Attr::new(67, "RESOURCE_SIZE");
/// `DEVLINK_ATTR_RESOURCE_SIZE_NEW`.
pub const RESOURCE_SIZE_NEW: Attr<kind::U64> = Attr::new(68, "RESOURCE_SIZE_NEW");
/// `DEVLINK_ATTR_RESOURCE_SIZE_VALID`.
pub const RESOURCE_SIZE_VALID: Attr<kind::U8> = Attr::new(69, "RESOURCE_SIZE_VALID");
/// `DEVLINK_ATTR_RESOURCE_SIZE_MIN`.
pub const RESOURCE_SIZE_MIN: Attr<kind::U64> = Attr::new(70, "RESOURCE_SIZE_MIN");
/// `DEVLINK_ATTR_RESOURCE_SIZE_MAX`.
pub const RESOURCE_SIZE_MAX: Attr<kind::U64> = Attr::new(71, "RESOURCE_SIZE_MAX");
/// `DEVLINK_ATTR_RESOURCE_SIZE_GRAN`.
pub const RESOURCE_SIZE_GRAN: Attr<kind::U64> = Attr::new(72, "RESOURCE_SIZE_GRAN");
/// `DEVLINK_ATTR_RESOURCE_UNIT`.
pub const RESOURCE_UNIT: Attr<kind::U8> = Attr::new(73, "RESOURCE_UNIT");
/// `DEVLINK_ATTR_RESOURCE_OCC`.
pub const RESOURCE_OCC: Attr<kind::U64> = Attr::new(74, "RESOURCE_OCC");
/// `DEVLINK_ATTR_DPIPE_TABLE_RESOURCE_ID`.
pub const DPIPE_TABLE_RESOURCE_ID: Attr<kind::U64> = Attr::new(75, "DPIPE_TABLE_RESOURCE_ID");
/// `DEVLINK_ATTR_DPIPE_TABLE_RESOURCE_UNITS`.
pub const DPIPE_TABLE_RESOURCE_UNITS: Attr<kind::U64> = Attr::new(76, "DPIPE_TABLE_RESOURCE_UNITS");
/// `DEVLINK_ATTR_PORT_FLAVOUR`.
pub const PORT_FLAVOUR: Attr<kind::U16> = Attr::new(77, "PORT_FLAVOUR");
/// `DEVLINK_ATTR_PORT_NUMBER`.
pub const PORT_NUMBER: Attr<kind::U32> = Attr::new(78, "PORT_NUMBER");
/// `DEVLINK_ATTR_PORT_SPLIT_SUBPORT_NUMBER`.
pub const PORT_SPLIT_SUBPORT_NUMBER: Attr<kind::U32> = Attr::new(79, "PORT_SPLIT_SUBPORT_NUMBER");
/// `DEVLINK_ATTR_PARAM`.
pub const PARAM: Attr<kind::Nest> = Attr::new(80, "PARAM");
/// `DEVLINK_ATTR_PARAM_NAME`.
pub const PARAM_NAME: Attr<kind::Str> = Attr::new(81, "PARAM_NAME");
/// `DEVLINK_ATTR_PARAM_GENERIC`.
pub const PARAM_GENERIC: Attr<kind::Flag> = Attr::new(82, "PARAM_GENERIC");
/// `DEVLINK_ATTR_PARAM_TYPE`.
pub const PARAM_TYPE: Attr<kind::U8> = Attr::new(83, "PARAM_TYPE");
/// `DEVLINK_ATTR_PARAM_VALUES_LIST`.
pub const PARAM_VALUES_LIST: Attr<kind::Nest> = Attr::new(84, "PARAM_VALUES_LIST");
/// `DEVLINK_ATTR_PARAM_VALUE`.
pub const PARAM_VALUE: Attr<kind::Nest> = Attr::new(85, "PARAM_VALUE");
/// `DEVLINK_ATTR_PARAM_VALUE_DATA`.
pub const PARAM_VALUE_DATA: Attr<kind::Dynamic> = Attr::new(86, "PARAM_VALUE_DATA");
/// `DEVLINK_ATTR_PARAM_VALUE_CMODE`.
pub const PARAM_VALUE_CMODE: Attr<kind::U8> = Attr::new(87, "PARAM_VALUE_CMODE");
/// `DEVLINK_ATTR_REGION_NAME`.
pub const REGION_NAME: Attr<kind::Str> = Attr::new(88, "REGION_NAME");
/// `DEVLINK_ATTR_REGION_SIZE`.
pub const REGION_SIZE: Attr<kind::U64> = Attr::new(89, "REGION_SIZE");
/// `DEVLINK_ATTR_REGION_SNAPSHOTS`.
pub const REGION_SNAPSHOTS: Attr<kind::Nest> = Attr::new(90, "REGION_SNAPSHOTS");
/// `DEVLINK_ATTR_REGION_SNAPSHOT`.
pub const REGION_SNAPSHOT: Attr<kind::Nest> = Attr::new(91, "REGION_SNAPSHOT");
/// `DEVLINK_ATTR_REGION_SNAPSHOT_ID`.
pub const REGION_SNAPSHOT_ID: Attr<kind::U32> = Attr::new(92, "REGION_SNAPSHOT_ID");
/// `DEVLINK_ATTR_REGION_CHUNKS`.
pub const REGION_CHUNKS: Attr<kind::Nest> = Attr::new(93, "REGION_CHUNKS");
/// `DEVLINK_ATTR_REGION_CHUNK`.
pub const REGION_CHUNK: Attr<kind::Nest> = Attr::new(94, "REGION_CHUNK");
/// `DEVLINK_ATTR_REGION_CHUNK_DATA`.
pub const REGION_CHUNK_DATA: Attr<kind::Binary> = Attr::new(95, "REGION_CHUNK_DATA");
/// `DEVLINK_ATTR_REGION_CHUNK_ADDR`.
pub const REGION_CHUNK_ADDR: Attr<kind::U64> = Attr::new(96, "REGION_CHUNK_ADDR");
/// `DEVLINK_ATTR_REGION_CHUNK_LEN`.
pub const REGION_CHUNK_LEN: Attr<kind::U64> = Attr::new(97, "REGION_CHUNK_LEN");
/// `DEVLINK_ATTR_INFO_DRIVER_NAME`.
pub const INFO_DRIVER_NAME: Attr<kind::Str> = Attr::new(98, "INFO_DRIVER_NAME");
/// `DEVLINK_ATTR_INFO_SERIAL_NUMBER`.
pub const INFO_SERIAL_NUMBER: Attr<kind::Str> = Attr::new(99, "INFO_SERIAL_NUMBER");
/// `DEVLINK_ATTR_INFO_VERSION_FIXED`.
pub const INFO_VERSION_FIXED: Attr<kind::Nest> = Attr::new(100, "INFO_VERSION_FIXED");
/// `DEVLINK_ATTR_INFO_VERSION_RUNNING`.
pub const INFO_VERSION_RUNNING: Attr<kind::Nest> = Attr::new(101, "INFO_VERSION_RUNNING");
/// `DEVLINK_ATTR_INFO_VERSION_STORED`.
pub const INFO_VERSION_STORED: Attr<kind::Nest> = Attr::new(102, "INFO_VERSION_STORED");
/// `DEVLINK_ATTR_INFO_VERSION_NAME`.
pub const INFO_VERSION_NAME: Attr<kind::Str> = Attr::new(103, "INFO_VERSION_NAME");
/// `DEVLINK_ATTR_INFO_VERSION_VALUE`.
pub const INFO_VERSION_VALUE: Attr<kind::Str> = Attr::new(104, "INFO_VERSION_VALUE");
/// `DEVLINK_ATTR_SB_POOL_CELL_SIZE`.
pub const SB_POOL_CELL_SIZE: Attr<kind::U32> = Attr::new(105, "SB_POOL_CELL_SIZE");
/// `DEVLINK_ATTR_FMSG`.
pub const FMSG: Attr<kind::Nest> = Attr::new(106, "FMSG");
/// `DEVLINK_ATTR_FMSG_OBJ_NEST_START`.
pub const FMSG_OBJ_NEST_START: Attr<kind::Flag> = Attr::new(107, "FMSG_OBJ_NEST_START");
/// `DEVLINK_ATTR_FMSG_PAIR_NEST_START`.
pub const FMSG_PAIR_NEST_START: Attr<kind::Flag> = Attr::new(108, "FMSG_PAIR_NEST_START");
/// `DEVLINK_ATTR_FMSG_ARR_NEST_START`.
pub const FMSG_ARR_NEST_START: Attr<kind::Flag> = Attr::new(109, "FMSG_ARR_NEST_START");
/// `DEVLINK_ATTR_FMSG_NEST_END`.
pub const FMSG_NEST_END: Attr<kind::Flag> = Attr::new(110, "FMSG_NEST_END");
/// `DEVLINK_ATTR_FMSG_OBJ_NAME`.
pub const FMSG_OBJ_NAME: Attr<kind::Str> = Attr::new(111, "FMSG_OBJ_NAME");
/// `DEVLINK_ATTR_FMSG_OBJ_VALUE_TYPE`.
pub const FMSG_OBJ_VALUE_TYPE: Attr<kind::U8> = Attr::new(112, "FMSG_OBJ_VALUE_TYPE");
/// `DEVLINK_ATTR_FMSG_OBJ_VALUE_DATA`.
pub const FMSG_OBJ_VALUE_DATA: Attr<kind::Dynamic> = Attr::new(113, "FMSG_OBJ_VALUE_DATA");
/// `DEVLINK_ATTR_HEALTH_REPORTER`.
pub const HEALTH_REPORTER: Attr<kind::Nest> = Attr::new(114, "HEALTH_REPORTER");
/// `DEVLINK_ATTR_HEALTH_REPORTER_NAME`.
pub const HEALTH_REPORTER_NAME: Attr<kind::Str> = Attr::new(115, "HEALTH_REPORTER_NAME");
/// `DEVLINK_ATTR_HEALTH_REPORTER_STATE`.
pub const HEALTH_REPORTER_STATE: Attr<kind::U8> = Attr::new(116, "HEALTH_REPORTER_STATE");
/// `DEVLINK_ATTR_HEALTH_REPORTER_ERR_COUNT`.
pub const HEALTH_REPORTER_ERR_COUNT: Attr<kind::U64> = Attr::new(117, "HEALTH_REPORTER_ERR_COUNT");
/// `DEVLINK_ATTR_HEALTH_REPORTER_RECOVER_COUNT`.
pub const HEALTH_REPORTER_RECOVER_COUNT: Attr<kind::U64> =
    Attr::new(118, "HEALTH_REPORTER_RECOVER_COUNT");
/// `DEVLINK_ATTR_HEALTH_REPORTER_DUMP_TS`.
pub const HEALTH_REPORTER_DUMP_TS: Attr<kind::U64> = Attr::new(119, "HEALTH_REPORTER_DUMP_TS");
/// `DEVLINK_ATTR_HEALTH_REPORTER_GRACEFUL_PERIOD`.
pub const HEALTH_REPORTER_GRACEFUL_PERIOD: Attr<kind::U64> =
    Attr::new(120, "HEALTH_REPORTER_GRACEFUL_PERIOD");
/// `DEVLINK_ATTR_HEALTH_REPORTER_AUTO_RECOVER`.
pub const HEALTH_REPORTER_AUTO_RECOVER: Attr<kind::U8> =
    Attr::new(121, "HEALTH_REPORTER_AUTO_RECOVER");
/// `DEVLINK_ATTR_FLASH_UPDATE_FILE_NAME`.
pub const FLASH_UPDATE_FILE_NAME: Attr<kind::Str> = Attr::new(122, "FLASH_UPDATE_FILE_NAME");
/// `DEVLINK_ATTR_FLASH_UPDATE_COMPONENT`.
pub const FLASH_UPDATE_COMPONENT: Attr<kind::Str> = Attr::new(123, "FLASH_UPDATE_COMPONENT");
/// `DEVLINK_ATTR_FLASH_UPDATE_STATUS_MSG`.
pub const FLASH_UPDATE_STATUS_MSG: Attr<kind::Str> = Attr::new(124, "FLASH_UPDATE_STATUS_MSG");
/// `DEVLINK_ATTR_FLASH_UPDATE_STATUS_DONE`.
pub const FLASH_UPDATE_STATUS_DONE: Attr<kind::U64> = Attr::new(125, "FLASH_UPDATE_STATUS_DONE");
/// `DEVLINK_ATTR_FLASH_UPDATE_STATUS_TOTAL`.
pub const FLASH_UPDATE_STATUS_TOTAL: Attr<kind::U64> = Attr::new(126, "FLASH_UPDATE_STATUS_TOTAL");
/// `DEVLINK_ATTR_PORT_PCI_PF_NUMBER`.
pub const PORT_PCI_PF_NUMBER: Attr<kind::U16> = Attr::new(127, "PORT_PCI_PF_NUMBER");
/// `DEVLINK_ATTR_PORT_PCI_VF_NUMBER`.
pub const PORT_PCI_VF_NUMBER: Attr<kind::U16> = Attr::new(128, "PORT_PCI_VF_NUMBER");
/// `DEVLINK_ATTR_STATS`.
pub const STATS: Attr<kind::Nest> = Attr::new(129, "STATS").flagged();
/// `DEVLINK_ATTR_TRAP_NAME`.
pub const TRAP_NAME: Attr<kind::Str> = Attr::new(130, "TRAP_NAME");
/// `DEVLINK_ATTR_TRAP_ACTION`.
pub const TRAP_ACTION: Attr<kind::U8> = Attr::new(131, "TRAP_ACTION");
/// `DEVLINK_ATTR_TRAP_TYPE`.
pub const TRAP_TYPE: Attr<kind::U8> = Attr::new(132, "TRAP_TYPE");
/// `DEVLINK_ATTR_TRAP_GENERIC`.
pub const TRAP_GENERIC: Attr<kind::Flag> = Attr::new(133, "TRAP_GENERIC");
/// `DEVLINK_ATTR_TRAP_METADATA`.
pub const TRAP_METADATA: Attr<kind::Nest> = Attr::new(134, "TRAP_METADATA").flagged();
/// `DEVLINK_ATTR_TRAP_GROUP_NAME`.
pub const TRAP_GROUP_NAME: Attr<kind::Str> = Attr::new(135, "TRAP_GROUP_NAME");
/// `DEVLINK_ATTR_RELOAD_FAILED`.
pub const RELOAD_FAILED: Attr<kind::U8> = Attr::new(136, "RELOAD_FAILED");
/// `DEVLINK_ATTR_HEALTH_REPORTER_DUMP_TS_NS`.
pub const HEALTH_REPORTER_DUMP_TS_NS: Attr<kind::U64> =
    Attr::new(137, "HEALTH_REPORTER_DUMP_TS_NS");
/// `DEVLINK_ATTR_NETNS_FD`.
pub const NETNS_FD: Attr<kind::U32> = Attr::new(138, "NETNS_FD");
/// `DEVLINK_ATTR_NETNS_PID`.
pub const NETNS_PID: Attr<kind::U32> = Attr::new(139, "NETNS_PID");
/// `DEVLINK_ATTR_NETNS_ID`.
pub const NETNS_ID: Attr<kind::U32> = Attr::new(140, "NETNS_ID");
/// `DEVLINK_ATTR_HEALTH_REPORTER_AUTO_DUMP`.
pub const HEALTH_REPORTER_AUTO_DUMP: Attr<kind::U8> = Attr::new(141, "HEALTH_REPORTER_AUTO_DUMP");
/// `DEVLINK_ATTR_TRAP_POLICER_ID`.
pub const TRAP_POLICER_ID: Attr<kind::U32> = Attr::new(142, "TRAP_POLICER_ID");
/// `DEVLINK_ATTR_TRAP_POLICER_RATE`.
pub const TRAP_POLICER_RATE: Attr<kind::U64> = Attr::new(143, "TRAP_POLICER_RATE");
/// `DEVLINK_ATTR_TRAP_POLICER_BURST`.
pub const TRAP_POLICER_BURST: Attr<kind::U64> = Attr::new(144, "TRAP_POLICER_BURST");
/// `DEVLINK_ATTR_PORT_FUNCTION`.
pub const PORT_FUNCTION: Attr<kind::Nest> = Attr::new(145, "PORT_FUNCTION");
/// `DEVLINK_ATTR_INFO_BOARD_SERIAL_NUMBER`.
pub const INFO_BOARD_SERIAL_NUMBER: Attr<kind::Str> = Attr::new(146, "INFO_BOARD_SERIAL_NUMBER");
/// `DEVLINK_ATTR_PORT_LANES`.
pub const PORT_LANES: Attr<kind::U32> = Attr::new(147, "PORT_LANES");
/// `DEVLINK_ATTR_PORT_SPLITTABLE`.
pub const PORT_SPLITTABLE: Attr<kind::U8> = Attr::new(148, "PORT_SPLITTABLE");
/// `DEVLINK_ATTR_PORT_EXTERNAL`.
pub const PORT_EXTERNAL: Attr<kind::U8> = Attr::new(149, "PORT_EXTERNAL");
/// `DEVLINK_ATTR_PORT_CONTROLLER_NUMBER`.
pub const PORT_CONTROLLER_NUMBER: Attr<kind::U32> = Attr::new(150, "PORT_CONTROLLER_NUMBER");
/// `DEVLINK_ATTR_FLASH_UPDATE_STATUS_TIMEOUT`.
pub const FLASH_UPDATE_STATUS_TIMEOUT: Attr<kind::U64> =
    Attr::new(151, "FLASH_UPDATE_STATUS_TIMEOUT");
/// `DEVLINK_ATTR_FLASH_UPDATE_OVERWRITE_MASK`.
pub const FLASH_UPDATE_OVERWRITE_MASK: Attr<kind::Bitfield32> =
    Attr::new(152, "FLASH_UPDATE_OVERWRITE_MASK");
/// `DEVLINK_ATTR_RELOAD_ACTION`.
pub const RELOAD_ACTION: Attr<kind::U8> = Attr::new(153, "RELOAD_ACTION");
/// `DEVLINK_ATTR_RELOAD_ACTIONS_PERFORMED`.
pub const RELOAD_ACTIONS_PERFORMED: Attr<kind::Bitfield32> =
    Attr::new(154, "RELOAD_ACTIONS_PERFORMED");
/// `DEVLINK_ATTR_RELOAD_LIMITS`.
pub const RELOAD_LIMITS: Attr<kind::Bitfield32> = Attr::new(155, "RELOAD_LIMITS");
/// `DEVLINK_ATTR_DEV_STATS`.
pub const DEV_STATS: Attr<kind::Nest> = Attr::new(156, "DEV_STATS").flagged();
/// `DEVLINK_ATTR_RELOAD_STATS`.
pub const RELOAD_STATS: Attr<kind::Nest> = Attr::new(157, "RELOAD_STATS").flagged();
/// `DEVLINK_ATTR_RELOAD_STATS_ENTRY`.
pub const RELOAD_STATS_ENTRY: Attr<kind::Nest> = Attr::new(158, "RELOAD_STATS_ENTRY").flagged();
/// `DEVLINK_ATTR_RELOAD_STATS_LIMIT`.
pub const RELOAD_STATS_LIMIT: Attr<kind::U8> = Attr::new(159, "RELOAD_STATS_LIMIT");
/// `DEVLINK_ATTR_RELOAD_STATS_VALUE`.
pub const RELOAD_STATS_VALUE: Attr<kind::U32> = Attr::new(160, "RELOAD_STATS_VALUE");
/// `DEVLINK_ATTR_REMOTE_RELOAD_STATS`.
pub const REMOTE_RELOAD_STATS: Attr<kind::Nest> = Attr::new(161, "REMOTE_RELOAD_STATS").flagged();
/// `DEVLINK_ATTR_RELOAD_ACTION_INFO`.
pub const RELOAD_ACTION_INFO: Attr<kind::Nest> = Attr::new(162, "RELOAD_ACTION_INFO").flagged();
/// `DEVLINK_ATTR_RELOAD_ACTION_STATS`.
pub const RELOAD_ACTION_STATS: Attr<kind::Nest> = Attr::new(163, "RELOAD_ACTION_STATS").flagged();
/// `DEVLINK_ATTR_PORT_PCI_SF_NUMBER`.
pub const PORT_PCI_SF_NUMBER: Attr<kind::U32> = Attr::new(164, "PORT_PCI_SF_NUMBER");
/// `DEVLINK_ATTR_RATE_TYPE`.
pub const RATE_TYPE: Attr<kind::U16> = Attr::new(165, "RATE_TYPE");
/// `DEVLINK_ATTR_RATE_TX_SHARE`.
pub const RATE_TX_SHARE: Attr<kind::U64> = Attr::new(166, "RATE_TX_SHARE");
/// `DEVLINK_ATTR_RATE_TX_MAX`.
pub const RATE_TX_MAX: Attr<kind::U64> = Attr::new(167, "RATE_TX_MAX");
/// `DEVLINK_ATTR_RATE_NODE_NAME`.
pub const RATE_NODE_NAME: Attr<kind::Str> = Attr::new(168, "RATE_NODE_NAME");
/// `DEVLINK_ATTR_RATE_PARENT_NODE_NAME`.
pub const RATE_PARENT_NODE_NAME: Attr<kind::Str> = Attr::new(169, "RATE_PARENT_NODE_NAME");
/// `DEVLINK_ATTR_REGION_MAX_SNAPSHOTS`.
pub const REGION_MAX_SNAPSHOTS: Attr<kind::U32> = Attr::new(170, "REGION_MAX_SNAPSHOTS");
/// `DEVLINK_ATTR_LINECARD_INDEX`.
pub const LINECARD_INDEX: Attr<kind::U32> = Attr::new(171, "LINECARD_INDEX");
/// `DEVLINK_ATTR_LINECARD_STATE`.
pub const LINECARD_STATE: Attr<kind::U8> = Attr::new(172, "LINECARD_STATE");
/// `DEVLINK_ATTR_LINECARD_TYPE`.
pub const LINECARD_TYPE: Attr<kind::Str> = Attr::new(173, "LINECARD_TYPE");
/// `DEVLINK_ATTR_LINECARD_SUPPORTED_TYPES`.
pub const LINECARD_SUPPORTED_TYPES: Attr<kind::Nest> =
    Attr::new(174, "LINECARD_SUPPORTED_TYPES").flagged();
/// `DEVLINK_ATTR_NESTED_DEVLINK`.
pub const NESTED_DEVLINK: Attr<kind::Nest> = Attr::new(175, "NESTED_DEVLINK").flagged();
/// `DEVLINK_ATTR_SELFTESTS`.
pub const SELFTESTS: Attr<kind::Nest> = Attr::new(176, "SELFTESTS").flagged();
/// `DEVLINK_ATTR_RATE_TX_PRIORITY`.
pub const RATE_TX_PRIORITY: Attr<kind::U32> = Attr::new(177, "RATE_TX_PRIORITY").since(6, 2);
/// `DEVLINK_ATTR_RATE_TX_WEIGHT`.
pub const RATE_TX_WEIGHT: Attr<kind::U32> = Attr::new(178, "RATE_TX_WEIGHT").since(6, 2);
/// `DEVLINK_ATTR_REGION_DIRECT`.
pub const REGION_DIRECT: Attr<kind::Flag> = Attr::new(179, "REGION_DIRECT").since(6, 3);
/// `DEVLINK_ATTR_RATE_TC_BWS`.
pub const RATE_TC_BWS: Attr<kind::Nest> = Attr::new(180, "RATE_TC_BWS").flagged().since(6, 17);
/// `DEVLINK_ATTR_HEALTH_REPORTER_BURST_PERIOD`.
pub const HEALTH_REPORTER_BURST_PERIOD: Attr<kind::U64> =
    Attr::new(181, "HEALTH_REPORTER_BURST_PERIOD").since(6, 19);
/// `DEVLINK_ATTR_PARAM_VALUE_DEFAULT`.
pub const PARAM_VALUE_DEFAULT: Attr<kind::Dynamic> =
    Attr::new(182, "PARAM_VALUE_DEFAULT").since(7, 0);
/// `DEVLINK_ATTR_PARAM_RESET_DEFAULT`.
pub const PARAM_RESET_DEFAULT: Attr<kind::Flag> = Attr::new(183, "PARAM_RESET_DEFAULT").since(7, 0);
/// `DEVLINK_ATTR_INDEX`.
pub const INDEX: Attr<kind::Uint> = Attr::new(184, "INDEX").since(7, 1);
/// `DEVLINK_ATTR_RESOURCE_SCOPE_MASK`.
pub const RESOURCE_SCOPE_MASK: Attr<kind::U32> = Attr::new(185, "RESOURCE_SCOPE_MASK").since(7, 2);
