//! Byte by byte what the real kernel answers, for the kernel that `--kernel` names.

use crate::machine::{Machine, Who};

#[track_caller]
fn replay(kernel: &str, file: &str) {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let machine = machine.with(&[
        "--kernel",
        kernel,
        "--device",
        "netdevsim@10,ports=4",
        "--netdev-names",
        "kernel",
    ]);
    let ran = machine
        .env("DEVICE", "netdevsim/netdevsim10")
        .python(&format!("replay.py $GOLDEN/{file}"))
        .good();
    assert!(
        ran.out
            .ends_with(" requests, 0 answered unlike the kernel\n"),
        "{}",
        ran.tail()
    );
}

#[test]
fn iproute2s_requests_to_kernel_7_2() {
    replay("7.2", "clients-7.2.txt");
}

#[test]
fn iproute2s_requests_to_kernel_6_12() {
    replay("6.12", "clients-6.12.txt");
}

#[test]
fn raw_requests_to_kernel_7_2() {
    replay("7.2", "raw-7.2.txt");
}

/// A kernel answers with exactly its own attributes: 6.1 has no INDEX, 7.2 has.
#[test]
fn kernels_differ_by_their_attributes() {
    for (kernel, has_index) in [("6.1", false), ("6.12", false), ("7.2", true)] {
        let Some(machine) = Machine::new(Who::User) else {
            return;
        };
        let ran = machine
            .with(&["--kernel", kernel])
            .python("attributes.py")
            .good();
        assert_eq!(
            ran.out.split_whitespace().any(|number| number == "184"),
            has_index,
            "{kernel}: {}",
            ran.tail()
        );
    }
}

/// A dump's datagrams are as large as the client has once had room for, up to 32 KiB, and not more than a page at first
/// (`net/netlink/af_netlink.c: netlink_dump`).
#[test]
fn datagrams_grow_with_the_clients_buffer() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .with(&["--device", "netdevsim@10,ports=600"])
        .python("datagrams.py")
        .good();
    let mut fitting = Vec::new();
    for line in ran.out.lines() {
        let numbers: Vec<usize> = line.split(' ').map(|word| word.parse().unwrap()).collect();
        let &[room, _, second] = &numbers[..] else {
            panic!("{}", ran.tail());
        };
        let limit = room.min(32 * 1024);
        fitting.push(second <= limit && second > limit - 600);
    }
    assert_eq!(fitting, [true; 3], "{}", ran.tail());
}

/// Namespaces by number: of a request, and of an instance elsewhere that is inside one here.
#[test]
fn a_namespace_is_named_by_its_number_here() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine.python("nsids.py").good();
    let expected = "None\nunknown 22\nthere 0\n5\nback 0\nNone\n";
    assert_eq!(ran.out, expected, "{}", ran.tail());
}
