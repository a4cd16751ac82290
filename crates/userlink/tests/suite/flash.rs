//! Flashing with the real client, which shows the progress only if its child's send lasts as long as the flash.

use std::fs;

use crate::machine::{Machine, Who, skip};

/// The name of some firmware file that this machine has.
fn some_firmware() -> Option<String> {
    let entries = fs::read_dir("/lib/firmware").ok()?;
    let names = entries.filter_map(|entry| {
        let entry = entry.ok()?;
        let is_file = entry.file_type().ok()?.is_file() && entry.metadata().ok()?.len() > 0;
        is_file.then(|| entry.file_name().to_string_lossy().into_owned())
    });
    names.min()
}

fn a_flash_shows_its_progress(who: Who) {
    let Some(file) = some_firmware() else {
        return skip("there is no file in /lib/firmware");
    };
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let options = ["--device", "netdevsim@10", "--clock", "virtual"];
    let flash = format!("devlink dev flash netdevsim/netdevsim10 file {file}");
    let ran = machine.with(&options).run(&format!(
        "{flash}; echo status $?
         {flash} component fw.mgmt; echo status $?
         devlink dev flash netdevsim/netdevsim10 file no/such.bin; echo status $?"
    ));
    let steps = [
        "Preparing to flash",
        "Flashing",
        "Flash select",
        "Flashing done",
    ];
    let mut expected: Vec<String> = steps.map(str::to_owned).to_vec();
    expected.push("status 0".to_owned());
    expected.extend(steps.map(|step| format!("[fw.mgmt] {step}")));
    expected.extend(["status 0".to_owned(), "status 1".to_owned()]);
    let lines: Vec<&str> = ran.out.lines().map(str::trim_end).collect();
    assert_eq!(lines, expected, "{}", ran.tail());
}

#[test]
fn a_flash_shows_its_progress_as_root() {
    a_flash_shows_its_progress(Who::Root);
}

#[test]
fn a_flash_shows_its_progress_as_user() {
    a_flash_shows_its_progress(Who::User);
}
