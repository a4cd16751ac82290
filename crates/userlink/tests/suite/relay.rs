//! Permission is the caller's, never the machine's: what the real kernel refuses to a client, it refuses through the relay too.

use crate::machine::{Machine, Who};

/// Administration of a real family by a user without privileges, in a machine of root's: natively refused, so refused here.
/// A relay that sends with its own rights allows it.
#[test]
fn nobody_cannot_administer_the_kernel_through_roots_machine() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let attack = "su nobody -s /bin/sh -c 'PATH=$PATH:/usr/sbin:/sbin; ip tcp_metrics show >/dev/null && ip tcp_metrics flush' 2>&1; echo status $?";
    let native = machine.outside(attack).good();
    assert!(
        native.out.contains("Operation not permitted") && !native.out.ends_with("status 0\n"),
        "{}",
        native.tail()
    );
    let ran = machine.run(attack).good();
    assert_eq!(ran.out, native.out, "{}", ran.tail());
    let ran = machine.run("ip tcp_metrics flush; echo status $?").good();
    assert_eq!(ran.out, "status 0\n", "root itself may: {}", ran.tail());
}

/// The same with a socket that changes hands: neither its opener's nor its sender's rights alone are enough.
#[test]
fn a_privileged_opener_does_not_lend_its_rights() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    for who in ["drop", "keep"] {
        let script = format!("python3 $CLIENTS/python/deputy.py {who}");
        let native = machine.outside(&script).good();
        let ran = machine.run(&script).good();
        assert_eq!(ran.out, native.out, "{who}: {}", ran.tail());
        assert_eq!(
            native.out.trim(),
            if who == "drop" { "1" } else { "0" },
            "{}",
            native.tail()
        );
    }
}

/// devlink's own administration follows the same rule.
#[test]
fn nobody_may_look_and_not_touch() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let ran = machine
        .run(
            "
        nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
        $nobody devlink dev show $DEVICE || exit 1
        $nobody devlink port show >/dev/null || exit 2
        $nobody devlink dev reload $DEVICE 2>&1 && exit 3
        python3 $CLIENTS/python/deputy.py devlink
    ",
        )
        .good();
    assert!(
        ran.out.contains("Operation not permitted"),
        "{}",
        ran.tail()
    );
    assert_eq!(ran.out.lines().last(), Some("1"), "{}", ran.tail());
}

/// Exactly what the kernel marks as an administrator's is refused to anybody else: 33 commands to do and two to dump.
#[test]
fn nobody_is_refused_what_is_an_administrators_and_nothing_else() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let ran = machine.run("python3 $CLIENTS/python/permission.py").good();
    let refused: Vec<_> = ran.out.split_whitespace().collect();
    let listed = "6 7 8 9 10 16 20 24 27 28 29 30 34 35 37 39 44 45 46 48 53 54 55 56 57 58 62 66 70 73 75 76 77 79 83";
    assert_eq!(refused.join(" "), listed, "{}", ran.tail());
}

/// A namespace that the sender has no rights in cannot be a destination, nor can its owner's devices be taken.
#[test]
fn a_user_of_a_namespace_below_cannot_reload() {
    let Some(machine) = Machine::new(Who::Root) else {
        return;
    };
    let ran = machine
        .run(
            "
        nobody='setpriv --reuid=65534 --regid=65534 --clear-groups'
        $nobody unshare -Urn devlink dev show || exit 1
        $nobody unshare -Ur devlink dev reload $DEVICE 2>&1; echo status $?
    ",
        )
        .good();
    assert!(
        ran.out.contains("Operation not permitted") && ran.out.ends_with("status 1\n"),
        "{}",
        ran.tail()
    );
}
