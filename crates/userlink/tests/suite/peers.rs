//! Netdevsim's ports that are linked to each other: their carriers, and the packets from one to the other.

use crate::machine::{Machine, Who, is_root};

/// Two devices, whose ports are moved to namespaces that the machine has never heard of. `link` links them, `carriers` waits until
/// their carriers are so and shows them (of a port that is down there is none), `reaches` prints what one says to the other.
const PLACE: &str = r#"
bus=/sys/bus/netdevsim
echo 10 > $bus/new_device; echo 11 > $bus/new_device
ip netns add a; ip netns add b
ip link set eni10np1 netns a; ip link set eni11np1 netns b
ip -n a addr add 192.0.2.1/24 dev eni10np1; ip -n b addr add 192.0.2.2/24 dev eni11np1
ip -n a link set eni10np1 up; ip -n b link set eni11np1 up
exec 7</run/netns/a 8</run/netns/b
one=7:$(ip netns exec a cat /sys/class/net/eni10np1/ifindex)
other=8:$(ip netns exec b cat /sys/class/net/eni11np1/ifindex)
link() { echo "$one $other" > $bus/link_device; }
both() { echo $(ip netns exec a cat /sys/class/net/eni10np1/carrier 2>/dev/null) $(ip netns exec b cat /sys/class/net/eni11np1/carrier); }
carriers() { for i in $(seq 200); do [ "$(both)" = "$*" ] && break; sleep 0.05; done; both; }
reaches() { ip netns exec a python3 $CLIENTS/python/says.py 192.0.2.1 192.0.2.2 /run/netns/b "$1"; }
"#;

#[track_caller]
fn prints(script: &str, expected: &str) {
    let root = is_root().then(|| Machine::new(Who::Root)).flatten();
    for machine in root.into_iter().chain(Machine::new(Who::User)) {
        let machine = machine.with(&["--device", "none", "--kernel", "7.2"]);
        let ran = machine.run(&format!("{PLACE}\n{script}"));
        assert_eq!(ran.out.trim(), expected.trim(), "{}", ran.tail());
        assert!(!ran.err.contains("panicked"), "{}", ran.tail());
    }
}

#[test]
fn linked_ports_hear_each_other() {
    prints(
        r#"
reaches nobody
link && carriers 1 1
reaches hello
reaches $(seq -s x 300) | wc -c
echo $one > $bus/unlink_device
carriers 0 0
ip -n a link set eni10np1 up; ip -n b link set eni11np1 up
reaches nobody
link 2>&1; carriers 1 1; reaches again
echo 11 > $bus/del_device; echo 10 > $bus/del_device
ls $bus/devices
"#,
        "nothing
1 1
hello
1092
0 0
nothing
1 1
again",
    );
}

/// `netdev.c: nsim_open`, `nsim_stop`
#[test]
fn the_carrier_needs_both_ports_to_be_up() {
    prints(
        r"
link; carriers 1 1
ip -n a link set eni10np1 down; carriers 0
ip -n a link set eni10np1 up; carriers 1 1
echo $other > $bus/unlink_device; carriers 0 0
ip -n a link set eni10np1 down; ip -n a link set eni10np1 up; carriers 0 0
echo 10 > $bus/del_device
userlink dmesg | grep -c -e 'has been removed' -e 'keeps its carrier'
",
        "1 1
0
1 1
0 0
0 0
0",
    );
}
