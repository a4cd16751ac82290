//! Network devices of type `dummy`, which the machine's own kernel may lack.

use crate::machine::{Machine, Who, is_root, skip};

/// Both kinds of users that can be had here, with either way of receiving.
fn machines() -> impl Iterator<Item = Machine> {
    let root = is_root().then(|| Machine::new(Who::Root)).flatten();
    root.into_iter()
        .chain(Machine::new(Who::User))
        .flat_map(|machine| {
            let native = machine.clone().with(&["--receive", "native"]);
            [machine, native]
        })
}

/// A machine of root's, if its kernel has no dummies of its own.
fn without_dummies() -> Option<Machine> {
    let machine = Machine::new(Who::Root)?;
    if machine.outside("ip link add d7 type dummy").code == 0 {
        skip("the kernel has dummies");
        return None;
    }
    Some(machine)
}

/// Prints `1`: the flags of the link behind it, if they are a dummy's that is up.
const HAS_FLAGS: &str = "grep -c '<BROADCAST,NOARP,UP,LOWER_UP>'";

#[test]
fn a_dummy_is_a_place_for_addresses_and_routes() {
    let script = format!(
        "
modprobe dummy; echo $?
ip netns add n1
ip -n n1 link add name d7 address 02:00:00:00:00:07 mtu 1400 type dummy && ip -n n1 link set d7 up
ip -n n1 link show d7 | {HAS_FLAGS}
ip -n n1 link show d7 | grep -o -e 'mtu 1400' -e 'ether 02:00:00:00:00:07'
ip -n n1 addr add 192.0.1.1/24 dev d7 && ip -n n1 route add 192.0.2.0/24 via 192.0.1.2 && ip -n n1 route get 192.0.2.9 | grep -o 'dev d7'
python3 $CLIENTS/python/dummy.py d8 && ip link set d8 up && ip link show d8 | {HAS_FLAGS}
ip link add d8 type dummy 2>&1
ip link add d9 type nosuch 2>&1
setpriv --bounding-set=-net_admin ip link add d9 type dummy 2>&1
ip -n n1 link add d10 type dummy && ip -n n1 link set d10 netns $$ && ip link del d10; echo $?
"
    );
    for machine in machines() {
        let ran = machine.with(&["--device", "none"]).run(&script);
        assert_eq!(
            ran.out,
            "0
1
mtu 1400
ether 02:00:00:00:00:07
dev d7
1
RTNETLINK answers: File exists
Error: Unknown device type.
RTNETLINK answers: Operation not permitted
0
",
            "{}",
            ran.tail()
        );
    }
}

/// Also where rtnetlink is served, and what is sent is somebody else's again.
#[test]
fn a_dummy_is_made_where_routes_are_limited() {
    for machine in machines() {
        let ran = machine.with(&["--device", "netdevsim@10"]).run(
            "
devlink resource set netdevsim/netdevsim10 path IPv4/fib size 500 && devlink dev reload netdevsim/netdevsim10
ip link add d7 type dummy; echo $?
python3 $CLIENTS/python/dummy.py d8; echo $?
ip -o link show | grep -oE ' d[78]:'
",
        );
        assert_eq!(ran.out, "0\n0\n d7:\n d8:\n", "{}", ran.tail());
    }
}

/// Without udev, whose files tell it not to, the module makes one by itself.
#[test]
fn the_module_makes_the_first_dummy() {
    let Some(machine) = without_dummies() else {
        return;
    };
    let ran = machine.outside(
        "
userlink run --device none --netdev-names kernel -- sh -c '
ip netns add n1; ip -n n1 link add d7 type dummy
ip -o link show dummy0 | grep -o NOARP; ip link add dummy0 type dummy 2>&1'
ip link show dummy0 2>&1
",
    );
    assert_eq!(
        ran.out,
        "NOARP\nRTNETLINK answers: File exists\nDevice \"dummy0\" does not exist.\n",
        "{}",
        ran.tail()
    );
}

/// With what it has made itself. What else is there might be somebody else's.
#[test]
fn the_module_is_unloaded() {
    if without_dummies().is_none() {
        return;
    }
    for machine in machines() {
        let ran = machine
            .with(&["--device", "none", "--netdev-names", "kernel"])
            .run(
                "
modprobe -r dummy; echo $?
modprobe dummy && ip -o link show dummy0 | grep -o NOARP
modprobe -r dummy; echo $?; ip link show dummy0 2>&1
ip link add d7 type dummy; modprobe -r dummy 2>&1 | grep -o 'd7 may be .*'; ip link del d7 && modprobe -r dummy; echo $?
",
            );
        assert_eq!(
            ran.out,
            "0
NOARP
0
Device \"dummy0\" does not exist.
d7 may be of that type, remove that first
0
",
            "{}",
            ran.tail()
        );
    }
}

/// Whose kernel has them must get the real thing.
#[test]
fn a_kernel_that_has_dummies_is_left_alone() {
    let Some(machine) = without_dummies() else {
        return;
    };
    let ran = machine.outside(
        "
mount -t tmpfs x /sys/module && mkdir /sys/module/dummy || exit 9
userlink run --device none -- sh -c 'ip link add d7 type dummy 2>&1; python3 $CLIENTS/python/dummy.py d8'
",
    );
    assert_eq!(
        ran.out,
        "Error: Unknown device type.\n-95\n",
        "{}",
        ran.tail()
    );
}
