//! sysfs and debugfs as programs see them: made, read, written and gone, for root and for a user.

use crate::machine::{Machine, Who, is_root};

/// Both kinds of users that can be had here.
fn users() -> impl Iterator<Item = Machine> {
    let root = is_root().then(|| Machine::new(Who::Root)).flatten();
    let machines = root.into_iter().chain(Machine::new(Who::User));
    machines.map(|machine| machine.with(&["--device", "netdevsim@1,ports=0"]))
}

/// Where the files are.
const PLACES: &str = r"
bus=/sys/bus/netdevsim; debug=/sys/kernel/debug/netdevsim; nsim=$bus/devices/netdevsim10
";

/// Runs the script for each user; what it prints must be `expected`.
#[track_caller]
fn prints(script: &str, expected: &str) {
    for machine in users() {
        let ran = machine.run(&format!("{PLACES}\n{script}"));
        assert_eq!(ran.out.trim(), expected.trim(), "{}", ran.tail());
        assert!(!ran.err.contains("panicked"), "{}", ran.tail());
    }
}

#[test]
fn a_device_is_made_and_removed_by_hand() {
    prints(
        r#"
echo "10 2" > $bus/new_device
devlink port show
ls $nsim $bus/devices
readlink -f $debug/netdevsim10/ports/1/dev
cat $debug/netdevsim10/max_macs $debug/netdevsim10/fail_reload
echo Y > $debug/netdevsim10/fail_reload
devlink dev reload netdevsim/netdevsim10 2>&1
echo 10 > $bus/del_device
ls $bus/devices $debug; devlink port show
"#,
        "netdevsim/netdevsim10/0: type eth netdev eni10np1 flavour physical port 1 splittable false
netdevsim/netdevsim10/1: type eth netdev eni10np2 flavour physical port 2 splittable false
/sys/bus/netdevsim/devices:
netdevsim1
netdevsim10

/sys/bus/netdevsim/devices/netdevsim10:
del_port
driver
new_port
sriov_numvfs
subsystem
uevent
/sys/kernel/debug/netdevsim/netdevsim10
32
N
Error: netdevsim: User setup the reload to fail for testing purposes.
kernel answers: Invalid argument
/sys/bus/netdevsim/devices:
netdevsim1

/sys/kernel/debug/netdevsim:
netdevsim1",
    );
}
