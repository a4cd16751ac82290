//! All of devlink on each kernel: every command is carried out by some device, with every attribute that it knows; every attribute of
//! the table is sent or taken; every notification is heard. What no device of ours has is listed here, with the reason.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod drivers;
#[path = "whole/script.rs"]
mod script;
#[path = "whole/stage.rs"]
mod stage;
#[path = "whole/table.rs"]
mod table;

use netlink::{KernelVersion, cmd};

use stage::Stage;

/// Commands that the kernel never carries out: parameters of ports, which devlink had and has no more.
const NEVER_CARRIED_OUT: [(u8, bool); 2] =
    [(cmd::PORT_PARAM_GET, false), (cmd::PORT_PARAM_SET, false)];

/// Attributes that are not seen here until this kernel, or in none, and why.
const NOT_SEEN: [(&str, Option<KernelVersion>, &str); 6] = [
    (
        "DPIPE_VALUE_MASK",
        None,
        "no driver has one; `crates/devlink/tests/switch.rs` has",
    ),
    (
        "INFO_SERIAL_NUMBER",
        Some(KernelVersion::new(6, 16)),
        "mlx5 does not tell it before",
    ),
    (
        "INFO_BOARD_SERIAL_NUMBER",
        Some(KernelVersion::new(6, 16)),
        "mlx5 does not tell it before",
    ),
    ("NETNS_ID", None, "the made-up namespaces have no numbers"),
    ("NETNS_PID", None, "nobody is in the made-up namespaces"),
    (
        "PAD",
        None,
        "nothing needs it where 64-bit numbers may lie anywhere",
    ),
];

/// Attributes of requests that nothing takes which is carried out here, and why.
const NEVER_ASKED: [(u8, &str, &str); 4] = [
    (cmd::PORT_NEW, "PORT_INDEX", "mlx5 chooses the number"),
    (
        cmd::HEALTH_REPORTER_TEST,
        "PORT_INDEX",
        "no driver has a test for a reporter of a port",
    ),
    (
        cmd::RELOAD,
        "NETNS_ID",
        "the made-up namespaces have no numbers",
    ),
    (
        cmd::RELOAD,
        "NETNS_PID",
        "nobody is in the made-up namespaces",
    ),
];

/// What has to be seen of attributes whose values are told apart: a value of every type in what reporters say, every state of a
/// line card, every flavour of a port that a driver has (none has DSA's, or unused ones).
const VALUES: [(&str, &[u64]); 3] = [
    ("FMSG_OBJ_VALUE_TYPE", &[1, 3, 4, 6, 10, 11]),
    ("LINECARD_STATE", &[1, 2, 3, 4, 5, 6]),
    ("PORT_FLAVOUR", &[0, 1, 3, 4, 5, 7]),
];

#[test]
fn everything_that_devlink_has_is_done_sent_and_heard() {
    for kernel in KernelVersion::SUPPORTED {
        let mut stage = Stage::new(kernel);
        script::play(&mut stage);
        let (table, seen) = stage.end();

        for op in netlink::devlink::family(kernel).ops {
            for (dump, half) in [(false, op.doit), (true, op.dump)] {
                let done = seen.carried_out.contains(&(op.cmd, dump));
                let expected = half.is_some() && !NEVER_CARRIED_OUT.contains(&(op.cmd, dump));
                assert_eq!(
                    done,
                    expected,
                    "{kernel} {} dump: {dump}",
                    table.command(op.cmd)
                );
                // Before, all commands had one policy, which says nothing of any of them.
                let half = half.filter(|_| kernel != KernelVersion::V6_1 && done);
                let policy = half.and_then(|half| half.policy).into_iter();
                for &(number, _) in policy.flat_map(|policy| policy.attrs) {
                    let name = table.name(number);
                    let excused = NEVER_ASKED
                        .iter()
                        .any(|(command, attribute, _)| *command == op.cmd && *attribute == name);
                    let asked = seen.asked.contains(&(op.cmd, dump, number));
                    let handle = ["BUS_NAME", "DEV_NAME", "INDEX"].contains(&name.as_str());
                    assert!(
                        handle || asked != excused,
                        "{kernel} {} dump: {dump} {name}: {asked}",
                        table.command(op.cmd)
                    );
                }
            }
        }
        let excused = |name: &str| {
            let mut rows = NOT_SEEN.iter();
            rows.any(|(excused, until, _)| {
                *excused == name && until.is_none_or(|until| !kernel.has(until))
            })
        };
        for name in table.attributes(kernel) {
            let is_seen = seen.attributes.contains(&name);
            assert_ne!(is_seen, excused(&name), "{kernel} {name}: {is_seen}");
        }
        for (name, values) in VALUES {
            let seen: Vec<u64> = seen.values_of(name).collect();
            assert_eq!(seen, values, "{kernel} {name}");
        }
        assert_eq!(seen.notifications, table.notifications(), "{kernel}");
    }
}
