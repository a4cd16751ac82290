//! What goes wrong on real cards, on demand: each fault as its user meets it, from the command line and while the machine runs.

use crate::machine::{Machine, Ran, Who};

/// Runs commands that tell how it went in words, and compares the words.
#[track_caller]
fn play(machine: &Machine, commands: &str, expected: &str) -> Ran {
    let begin = r#"
card=/sys/bus/pci/devices/0000:00:09.0
# try COMMAND...: what came of it.
try() { if said=$("$@" 2>&1 >/dev/null); then echo good; else echo "$said" | sed -n 's/^.*\(mlx5_core: \|answers: \|error: \|userlink: \)//p' | sed 's/\.$//; q'; fi; }
vfs() { echo "$1" 2>/dev/null > $card/sriov_numvfs; }
until_is() { wanted=$1; shift; until [ "$("$@")" = "$wanted" ]; do sleep 0.01; done; }
state() { devlink health show $DEVICE reporter fw_fatal | awk '$1 == "state" { print $2, $3, $4, $5, $6 }'; }
"#;
    let ran = machine.run(&format!("{begin}{commands}")).good();
    assert_eq!(ran.out, expected, "{}", ran.tail());
    ran
}

/// The race of SR-IOV operators: functions appear one by one, one never comes up, and the mode cannot be changed while they have
/// drivers.
#[test]
fn virtual_functions_that_come_late_never_and_in_the_way() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let faults = [
        "--fault",
        "vf-delay=300",
        "--fault",
        "vf-missing=3,on=0000:00:09.0",
        "--fault",
        "vf-bound,times=2",
    ];
    play(
        &machine.with(&faults),
        r#"
count() { ls $card | grep -c virtfn; }
bound() { ls -d /sys/bus/pci/drivers/mlx5_core/0000:00:* | wc -l; }
vfs 4 & writer=$!
until [ $(count) -gt 0 ]; do sleep 0.01; done
cat $card/sriov_numvfs
wait $writer
userlink dmesg | grep 'PCIe Endpoint' | tr -d '[]' | awk 'NR > 1 { print ($1 - last >= 0.3) ? "late" : "at once" } { last = $1 }'
echo "with a driver: $(bound) functions"
try devlink dev eswitch set $DEVICE mode switchdev
try devlink dev eswitch set $DEVICE mode switchdev
for vf in 2 3 4; do echo 0000:00:09.$vf > /sys/bus/pci/drivers/mlx5_core/unbind; done
userlink ctl fault vf-bound
try devlink dev eswitch set $DEVICE mode switchdev
devlink dev eswitch show $DEVICE | cut -d ' ' -f 2,3
for vf in 2 3 4; do echo 0000:00:09.$vf > /sys/bus/pci/drivers_probe; done
try devlink dev eswitch set $DEVICE mode legacy
try devlink dev eswitch set $DEVICE mode switchdev
userlink ctl fault clear
echo 0000:00:09.5 > /sys/bus/pci/drivers_probe
echo "with a driver: $(bound) functions"
vfs 0
userlink ctl fault vf-enable=12,times=1
vfs 1 || echo "none: $(count)"
vfs 1 && echo "one: $(count)"
"#,
        "\
4
late
late
late
with a driver: 5 functions
Failed setting eswitch to offloads
Failed setting eswitch to offloads
good
mode switchdev
good
Failed setting eswitch to offloads
with a driver: 6 functions
none: 0
one: 1
",
    );
}

#[test]
fn modes_and_reloads_that_are_refused() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    play(
        &machine.with(&["--fault", "eswitch-busy,on=0000:00:09.0,times=1"]),
        r#"
mode() { try devlink dev eswitch set "$1" mode switchdev; }
userlink ctl fault
mode pci/0000:00:09.1
mode $DEVICE
userlink ctl fault eswitch-fail,times=1
mode $DEVICE
userlink ctl fault fw-reset,times=2
mode $DEVICE
try devlink dev reload $DEVICE
mode $DEVICE
userlink ctl fault reset-nack,times=1
try devlink dev reload $DEVICE action fw_activate
userlink ctl fault reload-up=5,times=1
try devlink dev reload $DEVICE
devlink port show | grep -c mlx5_core.eth.0
try devlink dev reload $DEVICE
devlink port show | grep -c mlx5_core.eth.0
userlink ctl fault
try userlink ctl fault eswitch-busy,chance=200%
"#,
        "\
eswitch-busy,on=0000:00:09.0,times=1
good
Can't change mode, E-Switch is busy
Failed setting eswitch to offloads
Can't change eswitch mode during firmware reset
Can't reload during firmware reset
good
One of the hosts disabled reset
Input/output error
0
good
1
fault `eswitch-busy,chance=200%`: `chance=200%` is not on=DEVICE, after=N, times=N or chance=P%
",
    );
}

/// A recovery that fails twice. The driver does not try again by itself in the grace period, nor while the last error stands.
#[test]
fn a_reporter_in_error_whose_recovery_fails_twice() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    play(
        &machine.with(&["--clock", "virtual", "--fault", "recover-fail,times=2"]),
        r#"
raise() { try userlink ctl syndrome 0000:00:09.0 0x10 fatal; state; }
recover() { try devlink health recover $DEVICE reporter fw_fatal; state; }
later() { userlink clock advance 61 >/dev/null; }
raise
recover
recover
raise
later
raise
recover
later
raise
userlink dmesg | grep -c 'synd 0x10'
userlink dmesg | grep -c 'health recovery flow aborted'
"#,
        "\
Input/output error (os error 5)
error error 1 recover 0
Input/output error
error error 1 recover 0
good
healthy error 1 recover 1
Operation canceled (os error 125)
error error 2 recover 1
Operation canceled (os error 125)
error error 3 recover 1
good
healthy error 3 recover 2
good
healthy error 4 recover 3
4
2
",
    );
}

/// The sub-function's events come late: what is between two states can be seen, and acted on.
#[test]
fn the_firmware_is_slow_to_tell_of_sub_functions() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    play(
        &machine,
        r#"
devlink dev eswitch set $DEVICE mode switchdev
sf=$DEVICE/32768
function() { devlink port show $sf | sed -n 's/.* state \(.*\) opstate \([a-z]*\).*/\1 \2/p'; }
devlink port add $DEVICE flavour pcisf pfnum 0 sfnum 88 >/dev/null
userlink ctl fault sf-event-delay=3000,times=1
devlink port function set $sf state active
function
until_is 'active attached' function
userlink ctl fault sf-event-delay=3000,times=1
devlink port function set $sf state inactive
function
try devlink port function set $sf state active
until_is 'inactive detached' function
try devlink port function set $sf state active
"#,
        "\
active detached
inactive attached
SF is inactivated but it is still attached
good
",
    );
}

/// The same seed and the same commands are the same run: which of them fail, and the addresses that functions are given.
#[test]
fn the_same_seed_is_the_same_run() {
    if Machine::new(Who::User).is_none() {
        return;
    }
    let commands = r#"
for n in 1 2 3 4 5 6 7 8 9 10; do
    devlink dev eswitch set $DEVICE mode switchdev 2>/dev/null; echo "switchdev $?"
    devlink dev reload $DEVICE >/dev/null 2>&1; echo "reload $?"
done
echo 2 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs
cat /sys/class/net/enp0s9f0v?/address
"#;
    let run = |seed| {
        let options = ["--seed", seed, "--fault", "eswitch-busy,chance=50%"];
        let options = [&options[..], &["--fault", "fw-reset,chance=20%"]].concat();
        let machine = Machine::new(Who::User).unwrap();
        machine.with(&options).run(commands).good().out
    };
    let (one, again, other) = (run("7"), run("7"), run("8"));
    assert_eq!(one, again);
    assert_ne!(one, other);
    for line in ["switchdev 0", "switchdev 1", "reload 0", "reload 1"] {
        assert!(one.lines().any(|found| found == line), "{line}: {one}");
    }
}

#[test]
fn the_help_names_every_fault() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.outside("userlink run --help; userlink run --fault nonsense true");
    let (_, names) = ran.err.split_once("there are: ").expect("their names");
    for name in names.trim().split(", ") {
        let is_it = |line: &str| line.split(['=', ' ']).next() == Some(name);
        let is_told = ran.out.lines().any(|line| is_it(line.trim_start()));
        assert!(is_told, "{name}: {}", ran.tail());
    }
}
