//! The three commands of the origin's mail, with today's driver locking and with that of November 2021.

use std::collections::BTreeMap;
use std::process::Command;

use crate::machine::{DEVICE, Machine, Ran, Who, tool};

/// The three commands, what is listed around them, and the device's return (waited for as a notification).
const THREE: &str = r#"
echo "== before"; devlink dev show
echo "== commands"
ip netns add n1; echo "add: $?"
devlink dev reload $DEVICE netns n1; echo "reload: $?"
echo "== n1"; devlink -N n1 dev show
echo "== here"; devlink dev show
echo "== end"
python3 $CLIENTS/python/until_new.py $DEVICE ip netns del n1; echo "del: $?"
echo "== after"; devlink dev show
echo "== namespaces"; ip netns list
echo "== log"; userlink dmesg
"#;

/// The output of [`THREE`], part by part.
fn parts(ran: &Ran) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::new();
    let mut name = String::new();
    for line in ran.out.lines() {
        if let Some(next) = line.strip_prefix("== ") {
            name = next.to_owned();
            continue;
        }
        let part: &mut String = parts.entry(name.clone()).or_default();
        part.push_str(line);
        part.push('\n');
    }
    parts
}

fn lists(part: Option<&String>, device: &str) -> bool {
    part.is_some_and(|text| {
        text.lines().any(|line| {
            line.split(':').next() == Some(device.split(':').next().unwrap_or(device))
                && line.starts_with(device)
        })
    })
}

#[track_caller]
fn check_moves(ran: &Ran) -> BTreeMap<String, String> {
    let parts = parts(ran);
    assert!(lists(parts.get("before"), DEVICE), "{}", ran.tail());
    assert_eq!(
        parts.get("commands").map(String::as_str),
        Some("add: 0\nreload: 0\n"),
        "{}",
        ran.tail()
    );
    assert!(lists(parts.get("n1"), DEVICE), "not in n1: {}", ran.tail());
    assert!(
        !lists(parts.get("here"), DEVICE),
        "still in the first namespace: {}",
        ran.tail()
    );
    assert_eq!(
        parts.get("end").map(String::as_str),
        Some("del: 0\n"),
        "{}",
        ran.tail()
    );
    assert!(
        lists(parts.get("after"), DEVICE),
        "not back: {}",
        ran.tail()
    );
    assert_eq!(parts.get("namespaces"), None, "{}", ran.tail());
    parts
}

fn today(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine.run(THREE).good();
    let parts = check_moves(&ran);
    let log = &parts["log"];
    for word in ["WARNING", "possible", "deadlock", "DEADLOCK"] {
        assert!(
            !log.contains(word),
            "a lock report with today's locking: {}",
            ran.tail()
        );
    }
}

#[test]
fn today_as_root() {
    today(Who::Root);
}

#[test]
fn today_as_user() {
    today(Who::User);
}

/// The log without its `[seconds.micros] ` column.
fn texts(log: &str) -> Vec<&str> {
    log.lines()
        .map(|line| line.split_once("] ").map_or(line, |(_, text)| text))
        .collect()
}

/// The lines of the one report whose headline contains `headline`: from the rule above it to the end of its backtrace.
#[track_caller]
fn report<'a>(log: &[&'a str], headline: &str) -> Vec<&'a str> {
    let heads: Vec<usize> = (0..log.len())
        .filter(|&at| log[at].contains(headline))
        .collect();
    assert_eq!(
        heads.len(),
        1,
        "reports of {headline:?}:\n{}",
        log.join("\n")
    );
    let next = (heads[0] + 1..log.len())
        .find(|&at| log[at].contains("WARNING: "))
        .map_or(log.len(), |at| at - 1);
    log[heads[0] - 1..next].to_vec()
}

/// One stack of a report: the function names of its frames, `NAME+0xOFFSET/0xSIZE`, with what follows the name.
fn frames<'a>(lines: &[&'a str]) -> Vec<(&'a str, &'a str)> {
    lines
        .iter()
        .filter_map(|line| line.trim().rsplit_once("+0x"))
        .collect()
}

#[track_caller]
fn position(report: &[&str], text: &str) -> usize {
    report
        .iter()
        .position(|line| line.contains(text))
        .unwrap_or_else(|| panic!("no {text:?} in:\n{}", report.join("\n")))
}

fn november_2021(who: Who) {
    let Some(machine) = Machine::new(who) else {
        return;
    };
    let ran = machine
        .with(&["--driver-locking", "2021"])
        .run(THREE)
        .good();
    let parts = check_moves(&ran);
    let log = texts(&parts["log"]);

    let report_ = report(&log, "possible circular locking dependency detected");
    let text = report_.join("\n");
    let has = |part: &str| assert!(text.contains(part), "no {part:?} in:\n{text}");
    assert_eq!(report_[0], "=".repeat(54));
    assert_eq!(
        report_[1],
        "WARNING: possible circular locking dependency detected"
    );
    assert!(
        report_[4].starts_with("kworker/") && report_[4].ends_with(" is trying to acquire lock:"),
        "{text}"
    );
    assert!(
        report_[5].contains(" (&devlink->lock){+.+.}-{") && report_[5].contains("}, at: "),
        "{text}"
    );
    let held = position(&report_, "but task is already holding lock:");
    assert!(
        report_[held + 1].contains(" (pernet_ops_rwsem){++++}-{"),
        "{text}"
    );
    has("which lock already depends on the new lock.");
    has("the existing dependency chain (in reverse order) is:");

    // The chain, each link with the stack that made it.
    let links = [
        "-> #3 (pernet_ops_rwsem)",
        "-> #2 (mlx5_intf_mutex)",
        "-> #1 (&dev->intf_state_mutex)",
        "-> #0 (&devlink->lock)",
    ];
    let other = position(&report_, "other info that might help us debug this:");
    let mut starts: Vec<usize> = links.iter().map(|link| position(&report_, link)).collect();
    assert!(starts.is_sorted(), "{text}");
    starts.push(other);
    let stacks: Vec<Vec<&str>> = starts
        .windows(2)
        .map(|pair| {
            frames(&report_[pair[0] + 1..pair[1]])
                .into_iter()
                .map(|f| f.0)
                .collect()
        })
        .collect();
    for (link, stack) in links.iter().zip(&stacks) {
        assert!(stack.len() >= 3, "{link} has no stack:\n{text}");
    }
    let of = |stack: &[&str], name: &str| stack.iter().any(|frame| frame.contains(name));
    assert!(
        of(&stacks[0], "unregister_netdevice_notifier") && of(&stacks[0], "reload"),
        "{text}"
    );
    assert!(
        of(&stacks[1], "lag") && of(&stacks[2], "reload_down"),
        "{text}"
    );
    assert!(
        of(&stacks[3], "pre_exit") && of(&stacks[3], "cleanup_net"),
        "{text}"
    );

    let chain = position(&report_, "Chain exists of:");
    assert_eq!(
        report_[chain + 1].trim(),
        "&devlink->lock --> mlx5_intf_mutex --> pernet_ops_rwsem",
        "{text}"
    );
    has(" Possible unsafe locking scenario:");
    has("*** DEADLOCK ***");
    let held = position(&report_, "locks held by kworker/");
    assert!(
        report_[held + 1].contains("#0: ") && report_[held + 1].contains("((wq_completion)netns)"),
        "{text}"
    );
    assert!(
        report_[held + 2].contains("#1: ") && report_[held + 2].contains("(net_cleanup_work)"),
        "{text}"
    );
    assert!(
        report_[held + 3].contains("#2: ") && report_[held + 3].contains("(pernet_ops_rwsem)"),
        "{text}"
    );
    // Since 2022 the exit of a namespace takes the device's own lock before the instance's (device_lock(), not checked).
    assert!(report_[held + 4].contains("(&dev->mutex)"), "{text}");
    has("stack backtrace:");
    has("Workqueue: netns cleanup_net");

    // The other bug of the same mail: the worker holds pernet_ops_rwsem for reading and wants it for writing.
    let report_ = report(&log, "possible recursive locking detected");
    let text = report_.join("\n");
    let wanted = position(&report_, "is trying to acquire lock:");
    assert!(
        report_[wanted].starts_with("kworker/")
            && report_[wanted + 1].contains(" (pernet_ops_rwsem)"),
        "{text}"
    );
    let held = position(&report_, "but task is already holding lock:");
    assert!(report_[held + 1].contains(" (pernet_ops_rwsem)"), "{text}");
    assert!(text.contains("*** DEADLOCK ***"), "{text}");
}

#[test]
fn november_2021_as_root() {
    november_2021(Who::Root);
}

#[test]
fn november_2021_as_user() {
    november_2021(Who::User);
}

/// `NAME+0xOFFSET/0xSIZE`: for a function that has a symbol of its own the size is the binary's; a printed text could not know.
#[test]
fn stacks_are_of_this_binary() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .with(&["--driver-locking", "2021"])
        .run(THREE)
        .good();
    let parts = parts(&ran);
    let log = texts(&parts["log"]);
    let nm = tool(Command::new("nm").args([
        "-C",
        "-S",
        "--defined-only",
        env!("CARGO_BIN_EXE_userlink"),
    ]));
    let nm = String::from_utf8_lossy(&nm.stdout);
    let mut sizes: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in nm.lines() {
        let mut columns = line.splitn(4, ' ').skip(1);
        if let (Some(size), Some(_), Some(name)) = (columns.next(), columns.next(), columns.next())
        {
            if let Ok(size) = u64::from_str_radix(size, 16) {
                let name = name.rsplit_once("::h").map_or(name, |(name, _)| name);
                sizes
                    .entry(name.rsplit("::").next().unwrap_or(name))
                    .or_default()
                    .push(size);
            }
        }
    }
    let report_ = report(&log, "possible circular locking dependency detected");
    let frames = frames(&report_);
    let mut proved = 0;
    for (name, rest) in &frames {
        let name = name
            .rsplit("::")
            .next()
            .unwrap_or(name)
            .trim_start_matches(['?', ' ']);
        let size = rest
            .split_once("/0x")
            .map(|(_, size)| size.split_whitespace().next().unwrap_or(size));
        if let (Some(known), Some(Ok(size))) = (
            sizes.get(name),
            size.map(|size| u64::from_str_radix(size, 16)),
        ) {
            assert!(
                known.contains(&size),
                "{name} is of size {size:#x}, the binary has {known:x?}"
            );
            proved += 1;
        }
    }
    assert!(
        proved >= 10,
        "only {proved} of {} frames have a symbol of this binary:\n{}",
        frames.len(),
        report_.join("\n")
    );
}

/// The device can be used after both reports, and a second round adds no second report of the same cycle.
#[test]
fn the_machine_goes_on_after_a_report() {
    let Some(machine) = Machine::new(Who::User) else {
        return;
    };
    let ran = machine
        .with(&["--driver-locking", "2021"])
        .run(
            r#"
for round in 1 2; do
    ip netns add n1
    devlink dev reload $DEVICE netns n1 || exit 1
    python3 $CLIENTS/python/until_new.py $DEVICE ip netns del n1 || exit 2
done
devlink dev reload $DEVICE || exit 3
devlink dev show $DEVICE || exit 4
userlink dmesg | grep -c 'possible circular locking dependency'
"#,
        )
        .good();
    assert_eq!(ran.out.lines().last(), Some("1"), "{}", ran.tail());
}
