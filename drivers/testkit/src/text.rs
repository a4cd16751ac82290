//! Messages as the `devlink` tool of iproute2 prints them, a line each.

use netlink::{RawAttr, RawAttrs, attr, cmd};

use crate::client::Message;

fn find<'a>(attrs: RawAttrs<'a>, number: u16) -> Option<RawAttr<'a>> {
    attrs.clone().find(|found| found.number() == number)
}

fn string(found: RawAttr<'_>) -> String {
    String::from_utf8_lossy(found.text()).into_owned()
}

fn handle(attrs: RawAttrs<'_>) -> String {
    let part = |number| find(attrs, number).map(string).unwrap_or_default();
    format!(
        "{}/{}",
        part(attr::BUS_NAME.number()),
        part(attr::DEV_NAME.number())
    )
}

/// `BUS/DEV: index 0 reload_failed true`
pub fn dev(message: &Message) -> String {
    let attrs = message.attrs();
    let mut facts = Vec::new();
    if let Some(index) = find(attrs, attr::INDEX.number()) {
        facts.push(format!("index {}", index.uint().unwrap()));
    }
    let failed = find(attrs, attr::RELOAD_FAILED.number());
    if failed.is_some_and(|failed| failed.u8() == Some(1)) {
        facts.push("reload_failed true".to_owned());
    }
    if facts.is_empty() {
        return handle(attrs);
    }
    format!("{}: {}", handle(attrs), facts.join(" "))
}

/// `driver_reinit unspecified 1`, one for each action and limit.
pub fn reload_stats(message: &Message) -> Vec<String> {
    stats(message, attr::RELOAD_STATS.number())
}

/// The same of what others have caused.
pub fn remote_reload_stats(message: &Message) -> Vec<String> {
    stats(message, attr::REMOTE_RELOAD_STATS.number())
}

fn stats(message: &Message, whose: u16) -> Vec<String> {
    let stats = find(message.attrs(), attr::DEV_STATS.number()).unwrap();
    let stats = find(stats.nested(), whose).unwrap();
    let mut lines = Vec::new();
    for info in stats.nested() {
        let action = find(info.nested(), attr::RELOAD_ACTION.number()).unwrap();
        let action = match action.u8() {
            Some(1) => "driver_reinit",
            Some(2) => "fw_activate",
            other => panic!("action {other:?}"),
        };
        let entries = find(info.nested(), attr::RELOAD_ACTION_STATS.number()).unwrap();
        for entry in entries.nested() {
            let limit = find(entry.nested(), attr::RELOAD_STATS_LIMIT.number()).unwrap();
            let limit = match limit.u8() {
                Some(0) => "unspecified",
                Some(1) => "no_reset",
                other => panic!("limit {other:?}"),
            };
            let value = find(entry.nested(), attr::RELOAD_STATS_VALUE.number()).unwrap();
            lines.push(format!("{action} {limit} {}", value.u32().unwrap()));
        }
    }
    lines
}

/// The lines of `devlink dev info`, without their indentation; versions as `running fw 1.2.3`.
pub fn info(message: &Message) -> Vec<String> {
    let attrs = message.attrs();
    let mut lines = vec![handle(attrs)];
    for (number, what) in [
        (attr::INFO_DRIVER_NAME.number(), "driver"),
        (attr::INFO_SERIAL_NUMBER.number(), "serial_number"),
        (
            attr::INFO_BOARD_SERIAL_NUMBER.number(),
            "board.serial_number",
        ),
    ] {
        lines.extend(find(attrs, number).map(|value| format!("{what} {}", string(value))));
    }
    for (number, kind) in [
        (attr::INFO_VERSION_FIXED.number(), "fixed"),
        (attr::INFO_VERSION_RUNNING.number(), "running"),
        (attr::INFO_VERSION_STORED.number(), "stored"),
    ] {
        for version in attrs.filter(|found| found.number() == number) {
            let part = |number| string(find(version.nested(), number).unwrap());
            let name = part(attr::INFO_VERSION_NAME.number());
            let value = part(attr::INFO_VERSION_VALUE.number());
            lines.push(format!("{kind} {name} {value}"));
        }
    }
    lines
}

/// `BUS/DEV/0: type eth netdev eth0 flavour physical port 1 splittable false`
pub fn port(message: &Message) -> String {
    let attrs = message.attrs();
    let number = |number| find(attrs, number).and_then(RawAttr::u32);
    let mut line = handle(attrs);
    line += &format!("/{}:", number(attr::PORT_INDEX.number()).unwrap());
    if let Some(ty) = find(attrs, attr::PORT_TYPE.number()).and_then(RawAttr::u16) {
        line += match ty {
            0 => " type notset",
            1 => " type auto",
            2 => " type eth",
            3 => " type ib",
            other => panic!("port type {other}"),
        };
    }
    if let Some(name) = find(attrs, attr::PORT_NETDEV_NAME.number()) {
        line += &format!(" netdev {}", string(name));
    }
    if let Some(flavour) = find(attrs, attr::PORT_FLAVOUR.number()).and_then(RawAttr::u16) {
        line += match flavour {
            0 => " flavour physical",
            3 => " flavour pcipf",
            4 => " flavour pcivf",
            5 => " flavour virtual",
            7 => " flavour pcisf",
            other => panic!("port flavour {other}"),
        };
    }
    if let Some(controller) = number(attr::PORT_CONTROLLER_NUMBER.number()) {
        // That there is only one host is not worth a word.
        if controller != 0 {
            line += &format!(" controller {controller}");
        }
    }
    if let Some(pf) = find(attrs, attr::PORT_PCI_PF_NUMBER.number()).and_then(RawAttr::u16) {
        line += &format!(" pfnum {pf}");
    }
    if let Some(vf) = find(attrs, attr::PORT_PCI_VF_NUMBER.number()).and_then(RawAttr::u16) {
        line += &format!(" vfnum {vf}");
    }
    if let Some(sf) = number(attr::PORT_PCI_SF_NUMBER.number()) {
        line += &format!(" sfnum {sf}");
    }
    if let Some(port) = number(attr::PORT_NUMBER.number()) {
        line += &format!(" port {port}");
    }
    if let Some(splittable) = find(attrs, attr::PORT_SPLITTABLE.number()).and_then(RawAttr::u8) {
        line += &format!(" splittable {}", splittable == 1);
    }
    line
}

/// `BUS/DEV/NODE: type node tx_share 1250000 tx_max 12500000 parent NAME tc-bw 0:20 ...`, rates in bytes per second.
pub fn rate(message: &Message) -> String {
    let attrs = message.attrs();
    let of = |number| find(attrs, number);
    let what = match of(attr::RATE_NODE_NAME.number()) {
        Some(name) => string(name),
        None => of(attr::PORT_INDEX.number())
            .unwrap()
            .u32()
            .unwrap()
            .to_string(),
    };
    let ty = match of(attr::RATE_TYPE.number()).and_then(RawAttr::u16) {
        Some(0) => "leaf",
        Some(1) => "node",
        other => panic!("rate type {other:?}"),
    };
    let mut line = format!("{}/{what}: type {ty}", handle(attrs));
    for (number, name) in [
        (attr::RATE_TX_SHARE.number(), "tx_share"),
        (attr::RATE_TX_MAX.number(), "tx_max"),
    ] {
        let rate = of(number).and_then(RawAttr::u64).unwrap();
        if rate != 0 {
            line += &format!(" {name} {rate}");
        }
    }
    for (number, name) in [
        (attr::RATE_TX_PRIORITY.number(), "tx_priority"),
        (attr::RATE_TX_WEIGHT.number(), "tx_weight"),
    ] {
        if let Some(value) = of(number)
            .and_then(RawAttr::u32)
            .filter(|&value| value != 0)
        {
            line += &format!(" {name} {value}");
        }
    }
    if let Some(parent) = of(attr::RATE_PARENT_NODE_NAME.number()) {
        line += &format!(" parent {}", string(parent));
    }
    for share in attrs.filter(|found| found.number() == attr::RATE_TC_BWS.number()) {
        let bw = find(share.nested(), attr::rate_tc::BW.number()).and_then(RawAttr::u32);
        let tc = find(share.nested(), attr::rate_tc::INDEX.number()).and_then(RawAttr::u8);
        if bw != Some(0) {
            line += &format!(" {}:{}", tc.unwrap(), bw.unwrap());
        }
    }
    line
}

fn param_nest(message: &Message) -> RawAttrs<'_> {
    find(message.attrs(), attr::PARAM.number())
        .unwrap()
        .nested()
}

/// The number of the parameter's type.
pub fn param_type(message: &Message) -> u8 {
    let ty = find(param_nest(message), attr::PARAM_TYPE.number());
    ty.and_then(RawAttr::u8).unwrap()
}

/// `name max_macs type generic cmode driverinit value 32 default 32`
pub fn param(message: &Message) -> String {
    let param = param_nest(message);
    let name = string(find(param, attr::PARAM_NAME.number()).unwrap());
    let kind = match find(param, attr::PARAM_GENERIC.number()) {
        Some(_) => "generic",
        None => "driver-specific",
    };
    let ty = param_type(message);
    let mut line = format!("name {name} type {kind}");
    let values = find(param, attr::PARAM_VALUES_LIST.number()).unwrap();
    for value in values.nested() {
        let cmode = find(value.nested(), attr::PARAM_VALUE_CMODE.number()).unwrap();
        let cmode = ["runtime", "driverinit", "permanent"][usize::from(cmode.u8().unwrap())];
        let data = find(value.nested(), attr::PARAM_VALUE_DATA.number());
        line += &format!(" cmode {cmode} value {}", param_value(ty, data));
        if let Some(default) = find(value.nested(), attr::PARAM_VALUE_DEFAULT.number()) {
            // A default that is a truth value is a byte, not a flag.
            let default = match ty {
                6 => (default.u8() == Some(1)).to_string(),
                _ => param_value(ty, Some(default)),
            };
            line += &format!(" default {default}");
        }
    }
    line
}

/// `BUS/DEV/dummy: size 32768 snapshot [0 25] max 16`, or one snapshot of it: `BUS/DEV/dummy: snapshot 25`
pub fn region(message: &Message) -> String {
    let attrs = message.attrs();
    let name = find(attrs, attr::REGION_NAME.number()).unwrap();
    let mut line = format!("{}/{}:", handle(attrs), string(name));
    if let Some(size) = find(attrs, attr::REGION_SIZE.number()).and_then(RawAttr::u64) {
        line += &format!(" size {size}");
    }
    let id = |attrs| find(attrs, attr::REGION_SNAPSHOT_ID.number()).and_then(RawAttr::u32);
    if let Some(id) = id(attrs) {
        line += &format!(" snapshot {id}");
    }
    if let Some(snapshots) = find(attrs, attr::REGION_SNAPSHOTS.number()) {
        let ids = RawAttrs::new(snapshots.payload, 0)
            .map(|snapshot| id(RawAttrs::new(snapshot.payload, 0)).unwrap().to_string());
        line += &format!(" snapshot [{}]", ids.collect::<Vec<_>>().join(" "));
    }
    if let Some(max) = find(attrs, attr::REGION_MAX_SNAPSHOTS.number()).and_then(RawAttr::u32) {
        line += &format!(" max {max}");
    }
    line
}

fn param_value(ty: u8, data: Option<RawAttr<'_>>) -> String {
    match (ty, data) {
        (6, flag) => flag.is_some().to_string(),
        (1, Some(data)) => data.u8().unwrap().to_string(),
        (2, Some(data)) => data.u16().unwrap().to_string(),
        (3, Some(data)) => data.u32().unwrap().to_string(),
        (5, Some(data)) => string(data),
        other => panic!("parameter value {other:?}"),
    }
}

/// `BUS/DEV: name fid_miss type exception generic false action trap group l2_drops bytes 0 packets 0 dropped 6`
pub fn trap(message: &Message) -> String {
    let attrs = message.attrs();
    let text = |number| find(attrs, number).map(string).unwrap();
    let word = |number, words: [&'static str; 3]| {
        words[usize::from(find(attrs, number).unwrap().u8().unwrap())]
    };
    format!(
        "{}: name {} type {} generic {} action {} group {}{}",
        handle(attrs),
        text(attr::TRAP_NAME.number()),
        word(attr::TRAP_TYPE.number(), ["drop", "exception", "control"]),
        find(attrs, attr::TRAP_GENERIC.number()).is_some(),
        word(attr::TRAP_ACTION.number(), ["drop", "trap", "mirror"]),
        text(attr::TRAP_GROUP_NAME.number()),
        trap_stats(attrs),
    )
}

/// `BUS/DEV: name l3_drops generic true policer 1 bytes 0 packets 0`
pub fn trap_group(message: &Message) -> String {
    let attrs = message.attrs();
    let policer = find(attrs, attr::TRAP_POLICER_ID.number());
    format!(
        "{}: name {} generic {}{}{}",
        handle(attrs),
        string(find(attrs, attr::TRAP_GROUP_NAME.number()).unwrap()),
        find(attrs, attr::TRAP_GENERIC.number()).is_some(),
        policer.map_or_else(String::new, |id| format!(" policer {}", id.u32().unwrap())),
        trap_stats(attrs),
    )
}

/// `BUS/DEV: policer 1 rate 1000 burst 128 dropped 0`
pub fn trap_policer(message: &Message) -> String {
    let attrs = message.attrs();
    let number = |number| find(attrs, number).unwrap();
    format!(
        "{}: policer {} rate {} burst {}{}",
        handle(attrs),
        number(attr::TRAP_POLICER_ID.number()).u32().unwrap(),
        number(attr::TRAP_POLICER_RATE.number()).u64().unwrap(),
        number(attr::TRAP_POLICER_BURST.number()).u64().unwrap(),
        trap_stats(attrs),
    )
}

fn trap_stats(attrs: RawAttrs<'_>) -> String {
    let Some(stats) = find(attrs, attr::STATS.number()) else {
        return String::new();
    };
    let counters = [
        ("bytes", attr::stats::RX_BYTES),
        ("packets", attr::stats::RX_PACKETS),
        ("dropped", attr::stats::RX_DROPPED),
    ];
    counters
        .iter()
        .filter_map(|(name, counter)| {
            let value = find(stats.nested(), counter.number())?.u64()?;
            Some(format!(" {name} {value}"))
        })
        .collect()
}

fn flash_status(message: &Message) -> String {
    let attrs = message.attrs();
    let text = |number| find(attrs, number).map(string);
    let number = |number| find(attrs, number).unwrap().u64().unwrap();
    let component = text(attr::FLASH_UPDATE_COMPONENT.number());
    format!(
        "{}: msg {}{} done {} total {} timeout {}",
        handle(attrs),
        text(attr::FLASH_UPDATE_STATUS_MSG.number()).unwrap_or_default(),
        component.map_or_else(String::new, |name| format!(" component {name}")),
        number(attr::FLASH_UPDATE_STATUS_DONE.number()),
        number(attr::FLASH_UPDATE_STATUS_TOTAL.number()),
        number(attr::FLASH_UPDATE_STATUS_TIMEOUT.number()),
    )
}

/// A line of `devlink monitor`: what happened, and to what.
pub fn notification(message: &Message) -> String {
    match message.cmd {
        cmd::NEW => format!("[dev,new] {}", dev(message)),
        cmd::DEL => format!("[dev,del] {}", dev(message)),
        cmd::PORT_NEW => format!("[port,new] {}", port(message)),
        cmd::PORT_DEL => format!("[port,del] {}", port(message)),
        cmd::RATE_NEW => format!("[rate,new] {}", rate(message)),
        cmd::RATE_DEL => format!("[rate,del] {}", rate(message)),
        cmd::PARAM_NEW => format!(
            "[param,new] {}: {}",
            handle(message.attrs()),
            param(message)
        ),
        cmd::PARAM_DEL => format!(
            "[param,del] {}: {}",
            handle(message.attrs()),
            param(message)
        ),
        cmd::TRAP_NEW => format!("[trap,new] {}", trap(message)),
        cmd::TRAP_DEL => format!("[trap,del] {}", trap(message)),
        cmd::TRAP_GROUP_NEW => format!("[trap-group,new] {}", trap_group(message)),
        cmd::TRAP_GROUP_DEL => format!("[trap-group,del] {}", trap_group(message)),
        cmd::TRAP_POLICER_NEW => format!("[trap-policer,new] {}", trap_policer(message)),
        cmd::TRAP_POLICER_DEL => format!("[trap-policer,del] {}", trap_policer(message)),
        cmd::FLASH_UPDATE => format!("[flash,begin] {}", handle(message.attrs())),
        cmd::FLASH_UPDATE_END => format!("[flash,end] {}", handle(message.attrs())),
        cmd::FLASH_UPDATE_STATUS => format!("[flash,status] {}", flash_status(message)),
        cmd::REGION_NEW => format!("[region,new] {}", region(message)),
        cmd::REGION_DEL => format!("[region,del] {}", region(message)),
        other => format!("[{other}] {}", handle(message.attrs())),
    }
}
