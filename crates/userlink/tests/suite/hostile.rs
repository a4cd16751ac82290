//! Bad input: the kernel's error code and text, a connection that lives on, and nothing left behind.

use crate::machine::{Machine, Who};

#[track_caller]
fn scenario(who: Who, arguments: &str) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine.run(&format!("python3 $CLIENTS/python/hostile.py {arguments} && devlink dev reload $DEVICE && userlink dmesg && echo reached the end")).good();
    assert!(ran.out.ends_with("reached the end\n"), "{}", ran.tail());
    assert!(
        !ran.out.contains("WARNING") && !ran.out.contains("panic"),
        "{}",
        ran.tail()
    );
}

/// Malformed requests to devlink, each with the errno, text and attributes of the extended ACK that the kernel gives.
#[test]
fn malformed_requests_get_the_kernels_errors() {
    scenario(Who::User, "table");
}

/// The same bytes to the kernel's own controller, natively and through the machine: equal answers.
#[test]
fn the_controller_answers_bad_requests_as_the_kernel_does() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let inside = machine
        .run("python3 $CLIENTS/python/hostile.py controller")
        .good();
    let outside = machine
        .outside("unshare -Urn python3 $CLIENTS/python/hostile.py controller")
        .good();
    assert_eq!(inside.out, outside.out, "inside, outside");
}

#[test]
fn random_datagrams_do_no_harm() {
    scenario(Who::User, "random 4000");
}

#[test]
fn random_requests_with_right_headers_do_no_harm() {
    scenario(Who::User, "fuzz 4000");
}

#[test]
fn oversized_and_empty_datagrams_do_no_harm() {
    scenario(Who::User, "sizes");
}

#[test]
fn a_namespace_that_is_none_is_refused() {
    scenario(Who::User, "namespaces");
}

/// Killed in the middle of whatever it does, again and again: no lock stays held, no namespace pinned.
#[test]
fn a_client_killed_at_any_point_leaves_nothing() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.run("
        python3 $CLIENTS/python/hostile.py killed 60 || exit 1
        timeout 20 devlink dev reload $DEVICE || exit 2
        ip netns add n1 || exit 3
        timeout 20 devlink dev reload $DEVICE netns n1 || exit 4
        # Clients of the doomed namespace, killed while they talk: its end must still come.
        for i in 1 2 3 4 5; do
            ip netns exec n1 python3 $CLIENTS/python/hostile.py talk & sleep 0.15; kill -KILL $!; wait $!
        done 2>/dev/null
        timeout 30 python3 $CLIENTS/python/until_new.py $DEVICE ip netns del n1 || exit 5
        timeout 20 devlink dev show $DEVICE || exit 6
    ").good();
    assert!(ran.out.contains(crate::machine::DEVICE), "{}", ran.tail());
}
