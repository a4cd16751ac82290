//! Flashing with the real client, which shows the progress only if its child's send lasts as long as the flash.

use std::fs;

use crate::machine::{Machine, Who, skip};

/// The name of some firmware file that this machine has.
pub(crate) fn some_firmware() -> Option<String> {
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
    // The client shows nothing of a flash that ends before it has looked for the second time.
    let ran = machine.with(&options).run(&format!(
        "shown() {{
             n=0
             while [ $n -lt 50 ]; do
                 n=$((n + 1)) && out=$(\"$@\") && [ -n \"$out\" ] && break
             done
             status=$?
             echo \"$out\"; echo status $status
         }}
         shown {flash}
         shown {flash} component fw.mgmt
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

/// A firmware of one's own on a card: two versions until it is activated; a card that stalls, on a clock that does not wait.
#[test]
fn a_card_gets_another_firmware() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .outside(
            r#"
cd "$(mktemp -d)" && userlink firmware 28.42.7 > new.mfa2 && echo no firmware > text.bin || exit 1
cat > commands <<'END'
versions() { devlink dev info $DEVICE | awk '$1 == "fw" { print "fw", $2 }'; }
flash="devlink dev flash $DEVICE file"
$flash new.mfa2 >/dev/null || exit 2
versions
devlink dev reload $DEVICE action fw_activate >/dev/null || exit 3
versions
userlink ctl fault flash-stall=60000,after=1,times=1 || exit 4
$flash new.mfa2 >/dev/null
userlink ctl fault flash-reject=7,times=1
$flash new.mfa2 >/dev/null
versions
$flash text.bin >/dev/null
userlink dmesg | grep -c 'mlxfw: Firmware flash failed'
END
userlink run --clock virtual --firmware "$PWD" -- sh commands
"#,
        )
        .good();
    let lines: Vec<&str> = ran.out.lines().map(str::trim_end).collect();
    let expected = [
        "fw 28.41.1000",
        "fw 28.42.0007",
        "fw 28.42.0007",
        "fw 28.42.0007",
        "fw 28.42.0007",
        "fw 255.255.65535",
        "3",
    ];
    assert_eq!(lines, expected, "{}", ran.tail());
    for reason in [
        "Timeout reached on FSM state change",
        "key not applicable",
        "Firmware file is not MFA2",
    ] {
        let text = format!("mlxfw: Firmware flash failed: {reason}");
        assert!(ran.err.contains(&text), "{text}: {}", ran.tail());
    }
}

/// Who removes a device waits for what is written to its flash.
#[test]
fn a_device_that_is_being_flashed_goes_afterwards() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .outside(
            r#"
cd "$(mktemp -d)" && echo firmware > new.bin || exit 1
cat > commands <<'END'
bus=/sys/bus/netdevsim
echo 10 > $bus/new_device
devlink monitor >seen & monitor=$!
until grep -q 10 seen; do sleep 0.05; devlink dev param set netdevsim/netdevsim10 name max_macs value 3 cmode driverinit; done
(devlink dev flash netdevsim/netdevsim10 file new.bin >out; echo flashed: $? >flashed) & flash=$!
until grep -q Flashing seen; do sleep 0.05; done
[ -e flashed ] && echo too late
echo 10 > $bus/del_device; echo removed: $?
wait $flash; kill $monitor
cat flashed; devlink dev show
END
userlink run --device none --firmware "$PWD" -- sh commands
"#,
        )
        .good();
    assert_eq!(ran.out, "removed: 0\nflashed: 0\n", "{}", ran.tail());
}
