//! All of devlink on each kernel: every command is carried out by some device, every attribute of the table is sent or taken, every
//! notification is heard. What no device of ours has is listed here, with the reason.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

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
    ("DPIPE_VALUE_MASK", None, "no driver matches by a mask"),
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
                let half = half.map(|_| (op.cmd, dump));
                let done = half.is_none_or(|half| {
                    seen.carried_out.contains(&half) || NEVER_CARRIED_OUT.contains(&half)
                });
                assert!(done, "{kernel} {} dump: {dump}", table.command(op.cmd));
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
