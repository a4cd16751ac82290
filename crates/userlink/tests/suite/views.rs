//! One card, many views of it: whatever is changed, from whichever side, devlink, `ip`, `rdma` and sysfs agree afterwards.

use crate::machine::{Machine, Who, skip};

/// Runs a part of `views.py`, which compares all views after each change, and compares what it says that there is then.
#[track_caller]
fn play(part: &str, expected: &str) {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.python(&format!("views.py {part}")).good();
    assert_eq!(ran.out, expected, "{}", ran.tail());
}

#[test]
fn drivers_come_and_go() {
    play(
        "drivers",
        "\
the card is plugged in: 5 instances, legacy, 2 physical, 2 rdma
two virtual functions: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
the first one is unbound: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
it is for another driver: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
another driver has it: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
it is probed again: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
two that no driver gets: 5 instances, legacy, 2 physical, 2 rdma
the first one is given by name: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
the second one is given: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
",
    );
}

#[test]
fn the_switch_and_its_network_devices_change() {
    play(
        "switch",
        "\
the card is plugged in: 5 instances, legacy, 2 physical, 2 rdma
two virtual functions: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
switchdev: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
the first one has an address: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
a representor is renamed: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
the uplink is up: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
a virtual function's device is elsewhere: 9 instances, switchdev, 2 pcivf, 2 physical, 1 virtual, 4 rdma
it is back: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
",
    );
}

#[test]
fn a_sub_function_lives() {
    play(
        "subfunctions",
        "\
a sub-function: 5 instances, switchdev, 1 pcisf, 2 physical, 2 rdma
it is active: 6 instances, switchdev, 1 pcisf, 2 physical, 2 rdma
it has a network device: 7 instances, switchdev, 1 pcisf, 2 physical, 1 virtual, 2 rdma
its driver is gone: 5 instances, switchdev, 1 pcisf, 2 physical, 2 rdma
its driver is back: 6 instances, switchdev, 1 pcisf, 2 physical, 2 rdma
it is inactive: 5 instances, switchdev, 1 pcisf, 2 physical, 2 rdma
it is deleted: 5 instances, switchdev, 2 physical, 2 rdma
",
    );
}

#[test]
fn parts_come_and_go() {
    play(
        "parts",
        "\
the card is plugged in: 5 instances, legacy, 2 physical, 2 rdma
two virtual functions: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
the Ethernet part is unbound: 8 instances, switchdev, 2 pcivf, 1 physical, 2 virtual, 4 rdma
the Ethernet part is bound: 9 instances, switchdev, 2 pcivf, 2 physical, 2 virtual, 4 rdma
legacy: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
the InfiniBand part is unbound: 9 instances, legacy, 2 physical, 2 virtual, 3 rdma
the InfiniBand part is bound: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
",
    );
}

#[test]
fn the_function_comes_and_goes() {
    play(
        "function",
        "\
the card is plugged in: 5 instances, legacy, 2 physical, 2 rdma
two virtual functions: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
reloaded: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
back from another namespace: 9 instances, legacy, 2 physical, 2 virtual, 4 rdma
unbound: 3 instances, None, 1 physical, 1 rdma
bound: 5 instances, legacy, 2 physical, 2 rdma
a virtual function that the bus offers to nobody: 5 instances, legacy, 2 physical, 2 rdma
until it is told to: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
a virtual function was removed and made again: 7 instances, legacy, 2 physical, 1 virtual, 3 rdma
removed: 3 instances, None, 1 physical, 1 rdma
found again: 5 instances, legacy, 2 physical, 2 rdma
",
    );
}

/// A virtual function is given to a program, as device plugins do it, and taken back.
#[test]
fn a_function_is_kept_for_a_program() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .run(
            r#"
card=/sys/bus/pci/devices/0000:00:09.0
vf=$card/virtfn0
drivers=/sys/bus/pci/drivers
driver() { if [ -e $vf/driver ]; then basename "$(readlink $vf/driver)"; else echo none; fi; }
echo 1 > $card/sriov_numvfs
modprobe vfio-pci || exit 1
echo vfio-pci > $vf/driver_override
echo 0000:00:09.2 > $drivers/mlx5_core/unbind || exit 2
echo 0000:00:09.2 > $drivers/vfio-pci/bind || exit 3
driver
ls -d $drivers/vfio-pci/0000:* | sed 's/.*pci.//'
devlink dev show | grep -c 09.2
ls $vf/net 2>/dev/null | wc -l
devlink dev eswitch set $DEVICE mode switchdev || exit 4
devlink port show | grep -c pcivf
modprobe -r vfio-pci || exit 5
driver
echo > $vf/driver_override
echo 0000:00:09.2 > /sys/bus/pci/drivers_probe
driver
ls $vf/net
"#,
        )
        .good();
    let expected = "vfio-pci\n0000:00:09.2\n0\n0\n1\nnone\nmlx5_core\nenp0s9f0v0\n";
    assert_eq!(ran.out, expected, "{}", ran.tail());
}

/// `lspci` lists the card with its virtual functions, as it would a real one.
#[test]
fn lspci_lists_the_card() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    if machine.outside("command -v lspci").code != 0 {
        return skip("lspci is not installed");
    }
    let ran = machine
        .run(
            r#"
echo 2 > /sys/bus/pci/devices/0000:00:09.0/sriov_numvfs
lspci -n -d 15b3: | cut -c 1-23
lspci -vv -s 09.0 2>/dev/null | grep -o 'Number of VFs: 2'
lspci -k -s 09.3 2>/dev/null | grep -o 'driver in use.*'
"#,
        )
        .good();
    let expected = "\
00:09.0 0200: 15b3:1021
00:09.1 0200: 15b3:1021
00:09.2 0200: 15b3:101e
00:09.3 0200: 15b3:101e
Number of VFs: 2
driver in use: mlx5_core
";
    assert_eq!(ran.out, expected, "{}", ran.tail());
}
