//! Command lines: of iproute2, and of the shell into sysfs and debugfs.

use super::model::{Device, Model};
use super::random::Random;

/// What follows `devlink FLAGS`, with the kind of word that goes into each pair of braces.
const COMMANDS: &[&str] = &[
    "dev show",
    "dev show {dev}",
    "dev info",
    "dev info {dev}",
    "dev eswitch show {dev}",
    "dev eswitch set {dev} mode {mode}",
    "dev eswitch set {dev} inline-mode {inline}",
    "dev eswitch set {dev} encap-mode {encap}",
    "dev param show",
    "dev param show {dev}",
    "dev param show {dev} name {param}",
    "dev param show {dev} name {param}",
    "dev param set {dev} name {param} value {value} cmode {cmode}",
    "dev param set {dev} name {param} value {value} cmode {cmode}",
    "dev param set {dev} name {param} value {value} cmode {cmode}",
    "dev param set {dev} name {param} value {value}",
    "dev param set {dev} name {param} default cmode {cmode}",
    "dev reload {dev}",
    "dev reload {dev}",
    "dev reload {dev} action {action}",
    "dev reload {dev} limit no_reset",
    "dev reload {dev} action {action} limit no_reset",
    "dev flash {dev} file {file}",
    "dev flash {dev} file {file} component {component}",
    "dev flash {dev} file {file} component {component} overwrite {overwrite}",
    "dev selftests show {dev}",
    "dev selftests run {dev}",
    "dev selftests run {dev} id flash",
    "port show",
    "port show",
    "port show {dev}",
    "port show {port}",
    "port set {port} type {type}",
    "port split {port} count {count}",
    "port unsplit {port}",
    "port add {dev} flavour {flavour} pfnum {number} sfnum {number}",
    "port add {port} flavour {flavour} pfnum {number}",
    "port del {port}",
    "port function set {port} hw_addr {mac}",
    "port function set {port} state {state}",
    "port function set {port} roce {switch}",
    "port function set {port} migratable {switch}",
    "port param show",
    "port param show {port} name {param}",
    "port param set {port} name {param} value {value} cmode {cmode}",
    "port health show {port}",
    "port function rate show",
    "port function rate show {function}",
    "port function rate show {dev}/{node}",
    "port function rate set {function} tx_share {share}",
    "port function rate set {function} tx_max {share}",
    "port function rate set {function} tx_share {share} tx_max {share}",
    "port function rate set {function} tx_priority {number} tx_weight {number}",
    "port function rate set {function} parent {node}",
    "port function rate set {function} noparent",
    "port function rate set {dev}/{node} tx_max {share}",
    "port function rate set {dev}/{node} tx_share {share} parent {node}",
    "port function rate set {dev}/{node} parent {node}",
    "port function rate set {dev}/{node} noparent",
    "port function rate add {dev}/{node}",
    "port function rate add {dev}/{node} tx_share {share} tx_max {share}",
    "port function rate add {dev}/{node} parent {node}",
    "port function rate del {dev}/{node}",
    "port function rate del {port}",
    "resource show {dev}",
    "resource set {dev} path {path} size {size}",
    "resource set {dev} path {path} size {size}",
    "region show",
    "region show {dev}/{region}",
    "region show {port}/{region}",
    "region new {dev}/{region}",
    "region new {dev}/{region} snapshot {id}",
    "region new {port}/{region} snapshot {id}",
    "region del {dev}/{region} snapshot {id}",
    "region dump {dev}/{region} snapshot {id}",
    "region read {dev}/{region} snapshot {id} address {address} length {length}",
    "region read {dev}/{region} address {address} length {length}",
    "health show",
    "health show {dev}",
    "health show {dev} reporter {reporter}",
    "health show {port} reporter {reporter}",
    "health diagnose {dev} reporter {reporter}",
    "health dump show {dev} reporter {reporter}",
    "health dump clear {dev} reporter {reporter}",
    "health recover {dev} reporter {reporter}",
    "health test {dev} reporter {reporter}",
    "health set {dev} reporter {reporter} grace_period {period}",
    "health set {dev} reporter {reporter} auto_recover {bool}",
    "health set {dev} reporter {reporter} auto_dump {bool}",
    "health set {dev} reporter {reporter} grace_period {period} auto_recover {bool} auto_dump {bool}",
    "trap show {dev}",
    "trap show {dev} trap {trap}",
    "trap set {dev} trap {trap} action {trap_action}",
    "trap group show",
    "trap group show {dev} group {group}",
    "trap group set {dev} group {group} action {trap_action}",
    "trap group set {dev} group {group} policer {policer}",
    "trap group set {dev} group {group} nopolicer",
    "trap group set {dev} group {group} action {trap_action} policer {policer}",
    "trap policer show",
    "trap policer show {dev} policer {policer}",
    "trap policer set {dev} policer {policer} rate {rate}",
    "trap policer set {dev} policer {policer} burst {burst}",
    "trap policer set {dev} policer {policer} rate {rate} burst {burst}",
    "sb show",
    "sb show {dev} sb {pool}",
    "sb pool show {dev} sb {pool} pool {pool}",
    "sb pool set {dev} sb {pool} pool {pool} size {size} thtype static",
    "sb port pool show {port} pool {pool}",
    "sb port pool set {port} pool {pool} th {number}",
    "sb tc bind show {port} tc {pool} type {pool_type}",
    "sb tc bind set {port} tc {pool} type {pool_type} pool {pool} th {number}",
    "sb occupancy show {dev}",
    "sb occupancy snapshot {dev}",
    "sb occupancy clearmax {dev}",
    "dpipe table show {dev}",
    "dpipe table show {dev} name {node}",
    "dpipe table set {dev} name {node} counters_enabled {bool}",
    "dpipe table dump {dev} name {node}",
    "dpipe header show {dev}",
    "lc show",
    "lc show {dev} lc {card}",
    "lc set {dev} lc {card} type {node}",
    "lc set {dev} lc {card} notype",
];

/// What the shell does to the files of the devices.
const FILES: &[&str] = &[
    "cat /sys/kernel/debug/netdevsim/{folder}/{file_of_device}",
    "echo {written} > /sys/kernel/debug/netdevsim/{folder}/{file_of_device}",
    "echo {yesno} > /sys/kernel/debug/netdevsim/{folder}/fail_reload",
    "echo {yesno} > /sys/kernel/debug/netdevsim/{folder}/dont_allow_reload",
    "echo {yesno} > /sys/kernel/debug/netdevsim/{folder}/health/fail_recover",
    "echo a message > /sys/kernel/debug/netdevsim/{folder}/health/break_health",
    "echo > /sys/kernel/debug/netdevsim/{folder}/take_snapshot",
    "cat /sys/kernel/debug/netdevsim/{folder}/ports/{index}/tx_max /sys/kernel/debug/netdevsim/{folder}/ports/{index}/tx_share",
    "cat /sys/kernel/debug/netdevsim/{folder}/ports/{index}/rate_parent",
    "ls /sys/kernel/debug/netdevsim/{folder} /sys/kernel/debug/netdevsim/{folder}/ports",
    "ls /sys/kernel/debug/netdevsim/{folder}/rate_nodes",
    "cat /sys/bus/netdevsim/devices/{folder}/sriov_numvfs",
    "ls /sys/bus/netdevsim/devices",
];

/// Nobody, who may look but not change.
const NOBODY: &str = "setpriv --reuid=65534 --regid=65534 --clear-groups ";

/// One line.
pub(super) fn line(model: &mut Model, random: &mut Random) -> String {
    match random.below(16) {
        0 | 1 => change(model, random),
        2 => model.fill(random.pick::<&str>(FILES), random),
        _ => command(model, random),
    }
}

fn command(model: &Model, random: &mut Random) -> String {
    let line = model.fill(random.pick::<&str>(COMMANDS), random);
    let mut words: Vec<&str> = line.split(' ').collect();
    if random.one_in(24) {
        let at = random.below(words.len());
        match random.below(4) {
            0 => _ = words.remove(at),
            1 => words.insert(at, words[at]),
            2 => words.push("extra"),
            _ => words.truncate(at),
        }
    }
    let flags = model.word("flags", random);
    let nobody = match random.one_in(16) {
        true => NOBODY,
        false => "",
    };
    let space = space_of(model, &line, random);
    // Random bytes have many lengths where they are written in decimal.
    let flags = match line.starts_with("region read") || line.starts_with("region dump") {
        true => "",
        false => &flags,
    };
    format!("{nobody}devlink {flags}{space}{}", words.join(" "))
}

/// `-N NAME ` where the line's device is, most often.
fn space_of(model: &Model, line: &str, random: &mut Random) -> String {
    let named = |device: &&Device| line.contains(&format!("netdevsim{}", device.id));
    let space = match model.devices.iter().find(named) {
        Some(device) => device.space.clone(),
        None if random.one_in(4) => model.spaces.last().cloned(),
        None => None,
    };
    match space {
        Some(space) if !random.one_in(8) => format!("-N {space} "),
        _ => String::new(),
    }
}

/// A line that changes what there is.
fn change(model: &mut Model, random: &mut Random) -> String {
    if model.devices.is_empty() || (model.devices.len() < 3 && random.one_in(6)) {
        return new_device(model, random);
    }
    let at = random.below(model.devices.len());
    let folder = format!(
        "/sys/bus/netdevsim/devices/netdevsim{}",
        model.devices[at].id
    );
    match random.below(12) {
        0 => {
            let id = model.devices.remove(at).id;
            format!("echo {id} > /sys/bus/netdevsim/del_device")
        }
        1 => {
            let text = random.pick(&[
                "10 1",
                "99",
                "-1",
                "x",
                "11 2 3",
                "4294967296",
                "",
                "12 1 1 1",
            ]);
            format!(
                "echo \"{text}\" > /sys/bus/netdevsim/{}_device",
                random.pick(&["new", "del"])
            )
        }
        2 | 3 => {
            let wanted = model.word("vfs", random);
            if let Ok(functions @ 0..=4) = wanted.parse::<u32>() {
                model.devices[at].functions = functions;
            }
            format!("echo {wanted} > {folder}/sriov_numvfs")
        }
        4 | 5 => {
            let device = &mut model.devices[at];
            device.switchdev = !device.switchdev;
            let mode = if device.switchdev {
                "switchdev"
            } else {
                "legacy"
            };
            let space = device
                .space
                .as_ref()
                .map_or_else(String::new, |space| format!("-N {space} "));
            format!(
                "devlink {space}dev eswitch set netdevsim/netdevsim{} mode {mode}",
                device.id
            )
        }
        6 => {
            let index = *random.pick(&[4, 5, 6, 7, 0, 127, 128, 200]);
            if !model.devices[at].ports.contains(&index) && index < 128 {
                model.devices[at].ports.push(index);
            }
            format!("echo {index} > {folder}/new_port")
        }
        7 => {
            let index = model.port(random);
            model.devices[at].ports.retain(|it| *it != index);
            format!("echo {index} > {folder}/del_port")
        }
        8 if model.spaces.len() < 3 => {
            format!("ip netns add {}", model.add_space())
        }
        _ => {
            let to = match random.one_in(3) {
                true => None,
                false => model.spaces.last().cloned(),
            };
            let device = &mut model.devices[at];
            let from = device
                .space
                .as_ref()
                .map_or_else(String::new, |space| format!("-N {space} "));
            device.space.clone_from(&to);
            let to = to.unwrap_or_else(|| "1".into());
            format!(
                "devlink {from}dev reload netdevsim/netdevsim{} netns {to}",
                device.id
            )
        }
    }
}

/// The line, and what it made the group of notifications hear, where it was carried out.
pub(super) fn heard(line: &str) -> String {
    let space = line
        .split_once("-N ")
        .and_then(|(_, rest)| rest.split(' ').next());
    let inside = space.map_or_else(String::new, |space| format!("ip netns exec {space} "));
    format!("{inside}python3 /host/genl.py heard '{line}'")
}

/// The lines that give the devices ports of virtual functions, which is where rates are.
pub(super) fn with_functions(model: &mut Model) -> Vec<String> {
    let mut lines = Vec::new();
    for device in &mut model.devices {
        (device.functions, device.switchdev) = (3, true);
        let id = device.id;
        lines.push(format!(
            "echo 3 > /sys/bus/netdevsim/devices/netdevsim{id}/sriov_numvfs"
        ));
        lines.push(format!(
            "devlink dev eswitch set netdevsim/netdevsim{id} mode switchdev"
        ));
    }
    lines
}

/// The line that makes a device.
pub(super) fn new_device(model: &mut Model, random: &mut Random) -> String {
    let ports = random.below(5) as u32;
    let id = model.add_device(ports);
    format!("echo \"{id} {ports}\" > /sys/bus/netdevsim/new_device")
}
