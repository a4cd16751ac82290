//! The order in which a real machine was seen to take its locks, held against the order that is declared.
//!
//! What the machine finds in the end is in its log: a line for every observed dependency that the table does not allow.

use crate::machine::{Machine, Who};

/// All that the machine can do, with everything it is held against in one log.
const EVERYTHING: &str = r#"
until_back="python3 $CLIENTS/python/until_new.py $DEVICE"
devlink dev show -j >/dev/null && devlink dev info >/dev/null && devlink port show >/dev/null || exit 1
devlink dev param show >/dev/null || exit 2
devlink dev param set $DEVICE name enable_roce value false cmode driverinit || exit 3
devlink dev reload $DEVICE && devlink dev reload $DEVICE action fw_activate || exit 4
ip netns add n1 && ip netns add n2 || exit 5
devlink dev reload $DEVICE netns n1 && devlink -N n1 dev reload $DEVICE netns n2 || exit 6
devlink dev reload netdevsim/none 2>/dev/null && exit 7
$until_back ip netns del n2 || exit 8
devlink dev reload netdevsim/netdevsim10 netns n1 || exit 9
python3 $CLIENTS/python/until_new.py netdevsim/netdevsim10 ip netns del n1 || exit 10
"#;

/// The lines about the order in the log of a machine that did everything.
fn violations(options: &[&str]) -> Option<Vec<String>> {
    let log = std::env::temp_dir().join(format!("userlink-order-{}.log", options.len()));
    let path = log.to_str().expect("a temporary directory named in UTF-8");
    let machine = Machine::new(Who::User)?
        .with(&["--device", "mlx5", "--device", "netdevsim@10,ports=2"])
        .with(&["--log", path])
        .with(options);
    machine.run(EVERYTHING).good();
    let text = std::fs::read_to_string(&log).expect("the machine wrote its log");
    let _ = std::fs::remove_file(&log);
    Some(
        text.lines()
            .filter(|line| line.contains("lock order: "))
            .map(str::to_owned)
            .collect(),
    )
}

#[test]
fn what_is_observed_fits_what_is_declared() {
    if let Some(violations) = violations(&[]) {
        assert_eq!(violations, Vec::<String>::new());
    }
}

/// The check can fail: the old locking goes around the declared order, in a place that says so.
#[test]
fn the_locking_of_2021_does_not_fit() {
    if let Some(violations) = violations(&["--driver-locking", "2021"]) {
        assert!(
            violations
                .iter()
                .any(|line| line.contains("pernet_ops_rwsem was taken")),
            "{violations:?}"
        );
    }
}
