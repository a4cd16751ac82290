//! Lines that do what scripts do in several steps: flash, take a namespace away from under a device, load the module anew, handle
//! several devices at once.
//!
//! Each of them waits until what it began is over, so that the next line finds the same on both sides.

use super::model::{Device, Model};
use super::random::Random;

const BUS: &str = "/sys/bus/netdevsim";
const DEBUGFS: &str = "/sys/kernel/debug/netdevsim";

/// One line.
pub(super) fn line(model: &mut Model, random: &mut Random) -> String {
    match random.below(8) {
        0 => module_reload(model),
        1 => devices(model, random),
        2 => no_devices(model, random),
        3 => passing_device(model, random),
        4 => flash(model, random),
        _ => namespace_end(model, random),
    }
}

/// Several devices, made one after the other.
pub(super) fn devices(model: &mut Model, random: &mut Random) -> String {
    let (number, ports) = (2 + random.below(3), random.below(3) as u32);
    let made: Vec<String> = (0..number)
        .map(|_| model.add_device(ports).to_string())
        .collect();
    let ids = made.join(" ");
    format!(
        "for id in {ids}; do echo \"$id {ports}\" > {BUS}/new_device; done; devlink dev show; devlink port show"
    )
}

/// Several devices go.
fn no_devices(model: &mut Model, random: &mut Random) -> String {
    let keep = random.below(2).min(model.devices.len());
    let gone: Vec<String> = model.devices[keep..]
        .iter()
        .map(|device| device.id.to_string())
        .collect();
    model.devices.truncate(keep);
    let ids = gone.join(" ");
    format!(
        "for id in {ids}; do echo $id > {BUS}/del_device; done; devlink dev show; ls {BUS}/devices"
    )
}

/// A device that is made, looked at and removed, as a test does.
fn passing_device(model: &Model, random: &mut Random) -> String {
    let (id, ports) = (model.new_id(), random.below(4));
    let look = random.pick(&["dev info", "dev param show", "resource show", "health show"]);
    let look = match *look {
        "dev param show" => format!("{look} netdevsim/netdevsim{id} name max_macs"),
        _ => format!("{look} netdevsim/netdevsim{id}"),
    };
    format!(
        "echo \"{id} {ports}\" > {BUS}/new_device && devlink {look} && devlink -j port show && echo {id} > {BUS}/del_device; devlink dev show"
    )
}

/// A flash that comes to its end, most often. When the client hears of the end is a race in the client, which it shows by an
/// empty line.
fn flash(model: &mut Model, random: &mut Random) -> String {
    let device = match model.device(random) {
        Some(device) => device.clone(),
        None => return devices(model, random),
    };
    let Device { id, space, .. } = device;
    let space = space.map_or_else(String::new, |space| format!("-N {space} "));
    let before = match random.below(4) {
        0 => format!("echo n > {DEBUGFS}/netdevsim{id}/fw_update_status; "),
        1 => format!("echo 3 > {DEBUGFS}/netdevsim{id}/fw_update_overwrite_mask; "),
        _ => String::new(),
    };
    let file = random.pick(&["dummy.bin", "dummy", "netdevsim/fw2.bin"]);
    let more = random.pick(&["", "", " component fw.mgmt", " overwrite settings"]);
    format!(
        "set -o pipefail; {before}devlink {space}dev flash netdevsim/netdevsim{id} file {file}{more} | sed \"/^$/d\""
    )
}

/// A namespace ends, most often one with a device in it, which returns to the first one. A device that refuses to be reloaded would
/// stay in a namespace that is no more (`net/devlink/core.c: devlink_pernet_pre_exit`), so none does.
fn namespace_end(model: &mut Model, random: &mut Random) -> String {
    let of_devices = model
        .devices
        .iter()
        .filter_map(|device| device.space.clone());
    let spaces: Vec<String> = of_devices.chain(model.spaces.iter().cloned()).collect();
    if spaces.is_empty() {
        return namespace_with_device(model, random);
    }
    let space = random.pick(&spaces).clone();
    model.spaces.retain(|it| *it != space);
    let inside = |device: &&mut Device| device.space.as_ref() == Some(&space);
    let (mut willing, mut there) = (String::new(), String::from("true"));
    for device in model.devices.iter_mut().filter(inside) {
        device.space = None;
        let id = device.id;
        for refusal in ["fail_reload", "dont_allow_reload"] {
            willing += &format!("echo n > {DEBUGFS}/netdevsim{id}/{refusal}; ");
        }
        there += &format!(" && devlink dev show netdevsim/netdevsim{id}");
    }
    format!(
        "{willing}ip netns del {space}; for i in 1 2 3 4 5 6 7 8 9 10 11 12; do ({there}) > /dev/null 2>&1 && break; sleep 0.5; done; \
         devlink dev show; devlink port show"
    )
}

/// A namespace, and a device in it from the start.
fn namespace_with_device(model: &mut Model, random: &mut Random) -> String {
    let (space, ports) = (model.add_space(), 1 + random.below(3) as u32);
    let id = model.add_device(ports);
    if let Some(device) = model.devices.last_mut() {
        device.space = Some(space.clone());
    }
    format!(
        "ip netns add {space} && ip netns exec {space} sh -c \"echo {id} {ports} > {BUS}/new_device\"; devlink -N {space} port show"
    )
}

/// The module is unloaded, with all devices, and loaded.
fn module_reload(model: &mut Model) -> String {
    model.devices.clear();
    format!(
        "modprobe -r netdevsim && devlink dev show && modprobe netdevsim && ls {BUS}/devices && devlink dev show"
    )
}
