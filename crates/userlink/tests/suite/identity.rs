//! A socket is the same socket through dup, fork, exec and SCM_RIGHTS, and signals lose nothing.

use crate::machine::{Machine, Who, compiled};

fn scenario(name: &str) {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.python(&format!("identity.py {name}")).good();
    assert_eq!(ran.out, format!("{name}: good\n"), "{}", ran.tail());
}

#[test]
fn a_dup_is_the_same_socket() {
    scenario("dup");
}

#[test]
fn a_forked_child_has_the_same_socket() {
    scenario("fork");
}

#[test]
fn an_executed_program_has_the_same_socket() {
    scenario("exec");
}

#[test]
fn a_socket_passed_over_a_unix_socket_is_the_same() {
    scenario("pass");
}

#[test]
fn a_socket_outlives_the_process_that_opened_it() {
    scenario("orphan");
}

#[test]
fn a_socket_belongs_to_the_namespace_it_was_opened_in() {
    scenario("namespace");
}

/// The relay's answers used to overtake, or fall behind, those of devlink.
#[test]
fn answers_come_in_the_order_of_the_requests_whoever_answers() {
    scenario("order");
}

#[test]
fn it_looks_like_netlink() {
    scenario("looks");
}

#[test]
fn two_sockets_have_two_port_ids() {
    scenario("ports");
}

#[test]
fn peek_truncation_timeouts_and_nonblocking_are_native() {
    scenario("receive");
}

#[test]
fn an_edge_triggered_reader_is_not_woken_for_nothing() {
    scenario("epoll");
}

#[test]
fn a_slow_reader_gets_enobufs_once() {
    scenario("overrun");
}

#[test]
fn who_lost_something_is_told_once_until_all_is_read() {
    scenario("congested");
}

#[test]
fn threads_share_a_socket() {
    scenario("threads");
}

fn storm(who: Who) {
    let storm = compiled("storm");
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine.run(&format!("{storm} 3000")).good();
    assert!(
        ran.out.starts_with("requests 6000 alarms "),
        "{}",
        ran.tail()
    );
}

#[test]
fn a_signal_storm_loses_nothing_as_root() {
    storm(Who::Root);
}

#[test]
fn a_signal_storm_loses_nothing_as_user() {
    storm(Who::User);
}
