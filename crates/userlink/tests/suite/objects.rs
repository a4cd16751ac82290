//! Health reporters, resources and the machine's clock with the real clients.

use crate::machine::{Machine, Who};

/// A machine with netdevsim10, of the user's.
fn netdevsim(options: &[&str]) -> Option<Machine> {
    let mut all = vec!["--device", "netdevsim@10"];
    all.extend(options);
    Machine::new(Who::User).map(|machine| machine.with(&all))
}

/// Routes are the real kernel's, so it must be asked in the device's stead: the second route is one too many, and said to be in
/// the driver's words; what is not a route passes, also what names namespaces by the sender's descriptors.
#[test]
fn a_route_that_the_device_has_no_room_for_is_refused() {
    let Some(machine) = netdevsim(&[]) else {
        return;
    };
    let ran = machine.run(
        "
        set -e
        dl=netdevsim/netdevsim10
        ip netns add one; ip netns add two
        devlink dev reload $dl netns one
        ip -n one link add d0 type veth peer name d1
        ip -n one link set d0 up; ip -n one link set d1 up
        ip -n one addr add 192.0.2.1/24 dev d0
        devlink -N one resource set $dl path IPv4/fib size 4
        devlink -N one dev reload $dl
        devlink -N one resource show $dl | grep -o 'fib size 4 occ 3'
        ip -n one route add 198.51.100.0/25 via 192.0.2.2
        ip -n one route add 198.51.100.128/25 via 192.0.2.2 2>&1 && exit 1
        ip -n one -6 route add 2001:db8::/64 dev d0
        ip -n one link add v0 type veth peer name v1 netns two
        ip -n one link set v0 netns two
        ip -n two -o link show | grep -c ': v[01]@'
        ip -n one route del 198.51.100.0/25
        ip -n one route add 198.51.100.128/25 via 192.0.2.2
        ip -n one -4 route show | grep -c via
        devlink -N one resource set $dl path IPv4/fib size 3
        devlink -N one dev reload $dl 2>&1 && exit 2
        devlink -N one resource set $dl path IPv4/fib size ' -1'
        devlink -N one dev reload $dl netns $$
        ip -n one route add 203.0.113.0/24 via 192.0.2.2
    ",
    );
    let text = "Error: netdevsim: Exceeded number of supported fib entries.";
    let expected = [
        "fib size 4 occ 3",
        text,
        "2",
        "1",
        text,
        "kernel answers: Operation not permitted",
    ];
    let ran = ran.good();
    assert_eq!(
        ran.out.lines().collect::<Vec<_>>(),
        expected,
        "{}",
        ran.tail()
    );
}

/// A minute of grace passes when it is told to.
#[test]
fn a_grace_period_ends_when_the_test_says_so() {
    let Some(machine) = netdevsim(&["--clock", "virtual"]) else {
        return;
    };
    let userlink = env!("CARGO_BIN_EXE_userlink");
    let ran = machine.run(&format!(
        "
        set -e
        reporter='netdevsim/netdevsim10 reporter dummy'
        break=/sys/kernel/debug/netdevsim/netdevsim10/health/break_health
        [ -e $break ] || exit 77
        devlink health set $reporter grace_period 60000
        echo one > $break
        (echo two > $break) 2>/dev/null && exit 1
        devlink health recover $reporter
        {userlink} clock advance 59 >/dev/null
        (echo three > $break) 2>/dev/null && exit 2
        devlink health recover $reporter
        {userlink} clock advance 60 >/dev/null
        echo four > $break
        devlink health show $reporter | grep -o 'error [0-9]* recover [0-9]*'
    "
    ));
    if ran.code == 77 {
        return crate::machine::skip("no file system can be served here");
    }
    let ran = ran.good();
    assert_eq!(ran.out, "error 4 recover 4\n", "{}", ran.tail());
}

/// Real time is nobody's to move.
#[test]
fn real_time_is_not_moved() {
    let Some(machine) = netdevsim(&[]) else {
        return;
    };
    let userlink = env!("CARGO_BIN_EXE_userlink");
    let ran = machine.run(&format!("{userlink} clock advance 5"));
    assert_eq!(ran.code, 1, "{}", ran.tail());
    assert!(ran.err.contains("run --clock virtual"), "{}", ran.tail());
}
