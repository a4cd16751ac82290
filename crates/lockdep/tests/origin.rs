//! The report that userlink starts from: devlink reload against the end of a namespace, November 2021.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]
use std::sync::Arc;
use std::thread;

use lockdep::{Banner, DynamicClass, LockMap, Mutex, Report, ReportKind, RwLock, WouldDeadlock};

struct Machine {
    devlink: Mutex<()>,
    intf_state: Mutex<()>,
    intf: Mutex<()>,
    pernet_ops: RwLock<()>,
    netns_wq: LockMap,
    cleanup_work: LockMap,
}

impl Machine {
    fn new() -> Self {
        Self {
            devlink: Mutex::with_class(DynamicClass::new("&devlink->lock"), ()),
            intf_state: Mutex::named("&dev->intf_state_mutex", ()),
            intf: Mutex::named("mlx5_intf_mutex", ()),
            pernet_ops: RwLock::named("pernet_ops_rwsem", ()),
            netns_wq: LockMap::with_class(lockdep::Class::named("(wq_completion)netns")),
            cleanup_work: LockMap::named("net_cleanup_work"),
        }
    }
}

#[inline(never)]
fn probe_one(machine: &Machine) {
    let _state = machine.intf_state.lock().unwrap();
    lag_add_mdev(machine);
}

#[inline(never)]
fn lag_add_mdev(machine: &Machine) {
    let _intf = machine.intf.lock().unwrap();
}

#[inline(never)]
fn devlink_reload(machine: &Machine) {
    let _devlink = machine.devlink.lock().unwrap();
    unload_one(machine);
}

#[inline(never)]
fn unload_one(machine: &Machine) {
    let _state = machine.intf_state.lock().unwrap();
    detach_device(machine);
}

#[inline(never)]
fn detach_device(machine: &Machine) {
    let _intf = machine.intf.lock().unwrap();
    unregister_netdevice_notifier(machine);
}

#[inline(never)]
fn unregister_netdevice_notifier(machine: &Machine) {
    drop(machine.pernet_ops.write().unwrap());
}

#[inline(never)]
fn process_one_work(machine: &Machine) -> Result<(), WouldDeadlock> {
    let _wq = machine.netns_wq.acquire();
    let _work = machine.cleanup_work.acquire();
    cleanup_net(machine)
}

#[inline(never)]
fn cleanup_net(machine: &Machine) -> Result<(), WouldDeadlock> {
    let _pernet = machine.pernet_ops.read().unwrap();
    devlink_pernet_pre_exit(machine)
}

#[inline(never)]
fn devlink_pernet_pre_exit(machine: &Machine) -> Result<(), WouldDeadlock> {
    let _devlink = machine.devlink.lock().unwrap();
    // The reload that the end of the namespace brings about, in the same thread.
    machine.pernet_ops.write_or_deadlock().map(drop)
}

fn named<R: Send + 'static>(name: &str, f: impl FnOnce() -> R + Send + 'static) -> R {
    thread::Builder::new()
        .name(name.into())
        .spawn(f)
        .unwrap()
        .join()
        .unwrap()
}

fn reports() -> Vec<Arc<Report>> {
    lockdep::reports()
}

#[test]
fn the_namespace_worker_is_told_before_it_waits() {
    lockdep::set_handler(|_| ());
    let machine = Arc::new(Machine::new());
    let modprobe = Arc::clone(&machine);
    named("modprobe", move || probe_one(&modprobe));
    let reload = Arc::clone(&machine);
    named("devlink", move || devlink_reload(&reload));
    assert!(reports().is_empty(), "the first reload teaches the order");

    let end = named("kworker/u16:1", move || {
        lockdep::set_task_context(Some("Workqueue: netns cleanup_net".into()));
        process_one_work(&machine)
    });
    assert_eq!(end, Err(WouldDeadlock));

    let reports = reports();
    let kinds: Vec<ReportKind> = reports.iter().map(|report| report.kind()).collect();
    assert_eq!(kinds, [ReportKind::Circular, ReportKind::Recursive]);
    let banner = Banner {
        release: "5.15.0-rc7+".into(),
        build: "#286".into(),
        ..Banner::default()
    };
    let text = reports[0].kernel_text(&banner);
    println!("{text}{}", reports[1].kernel_text(&banner));
    circular(&text);
    recursive(&reports[1].kernel_text(&banner));
    assert_eq!(
        reports[0].classes(),
        [
            "&devlink->lock",
            "&dev->intf_state_mutex",
            "mlx5_intf_mutex",
            "pernet_ops_rwsem"
        ]
    );
}

/// The lines of a text in which something changes from run to run are reduced to what does not.
fn shape(text: &str) -> Vec<String> {
    text.lines()
        .filter(|line| {
            !line.starts_with("       ")
                || line.contains("CPU")
                || line.contains("lock(")
                || line.contains("----")
        })
        .map(|line| {
            let line = match line
                .find(" (")
                .and_then(|at| Some((at.checked_sub(16)?, at)))
            {
                Some((from, to)) if line[from..to].chars().all(|c| c.is_ascii_hexdigit()) => {
                    format!("{}ADDRESS{}", &line[..from], &line[to..])
                }
                _ => line.to_owned(),
            };
            let line = match line.split_once("+0x") {
                Some((start, _)) => format!("{start}+"),
                None => line,
            };
            let digits = line.split_once("u16:1/").map(|(start, rest)| {
                format!(
                    "{start}u16:1/TID{}",
                    rest.trim_start_matches(|c: char| c.is_ascii_digit())
                )
            });
            digits.unwrap_or(line)
        })
        .collect()
}

fn circular(text: &str) {
    let shape = shape(text);
    let expected = "\
======================================================
WARNING: possible circular locking dependency detected
5.15.0-rc7+ #286 Not tainted
------------------------------------------------------
kworker/u16:1/TID is trying to acquire lock:
ADDRESS (&devlink->lock){+.+.}-{3:3}, at: origin::devlink_pernet_pre_exit+

but task is already holding lock:
ADDRESS (pernet_ops_rwsem){++++}-{3:3}, at: origin::cleanup_net+

which lock already depends on the new lock.


the existing dependency chain (in reverse order) is:

-> #3 (pernet_ops_rwsem){++++}-{3:3}:

-> #2 (mlx5_intf_mutex){+.+.}-{3:3}:

-> #1 (&dev->intf_state_mutex){+.+.}-{3:3}:

-> #0 (&devlink->lock){+.+.}-{3:3}:

other info that might help us debug this:

Chain exists of:
  &devlink->lock --> mlx5_intf_mutex --> pernet_ops_rwsem

 Possible unsafe locking scenario:

       CPU0                    CPU1
       ----                    ----
  rlock(pernet_ops_rwsem);
                               lock(mlx5_intf_mutex);
                               lock(pernet_ops_rwsem);
  lock(&devlink->lock);

 *** DEADLOCK ***

3 locks held by kworker/u16:1/TID:
 #0: ADDRESS ((wq_completion)netns){+.+.}-{0:0}, at: origin::process_one_work+
 #1: ADDRESS (net_cleanup_work){+.+.}-{0:0}, at: origin::process_one_work+
 #2: ADDRESS (pernet_ops_rwsem){++++}-{3:3}, at: origin::cleanup_net+

stack backtrace:";
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(shape[..expected.len()], expected, "{text}");
    assert!(
        text.contains("\nWorkqueue: netns cleanup_net\nCall Trace:\n <TASK>\n"),
        "{text}"
    );

    // Each dependency has the stack that made it, of this very run.
    let entry = |number: u32| {
        let start = text
            .find(&format!("-> #{number} "))
            .expect("an entry for each lock");
        text[start..]
            .split("\n\n")
            .next()
            .expect("an entry has an end")
    };
    assert_in_order(
        entry(3),
        &[
            "unregister_netdevice_notifier+0x",
            "detach_device+0x",
            "unload_one+0x",
            "devlink_reload+0x",
        ],
    );
    assert_in_order(entry(2), &["lag_add_mdev+0x", "probe_one+0x"]);
    assert_in_order(entry(1), &["unload_one+0x", "devlink_reload+0x"]);
    assert_in_order(entry(0), &["devlink_pernet_pre_exit+0x", "cleanup_net+0x"]);
    let trace = text.split("Call Trace:").nth(1).expect("a backtrace");
    assert_in_order(
        trace,
        &["devlink_pernet_pre_exit+0x", "cleanup_net+0x", "</TASK>"],
    );
    assert!(
        !text.contains("lockdep::miss"),
        "the validator's insides are of no interest: {text}"
    );
    assert!(!text.contains("__rust_begin_short_backtrace"), "{text}");
}

fn assert_in_order(text: &str, wanted: &[&str]) {
    let mut rest = text;
    for what in wanted {
        let at = rest
            .find(what)
            .unwrap_or_else(|| panic!("no {what} where it belongs in:\n{text}"));
        rest = &rest[at + what.len()..];
    }
}

fn recursive(text: &str) {
    let expected = "\
============================================
WARNING: possible recursive locking detected
5.15.0-rc7+ #286 Not tainted
--------------------------------------------
kworker/u16:1/TID is trying to acquire lock:
ADDRESS (pernet_ops_rwsem){++++}-{3:3}, at: origin::devlink_pernet_pre_exit+

but task is already holding lock:
ADDRESS (pernet_ops_rwsem){++++}-{3:3}, at: origin::cleanup_net+

other info that might help us debug this:
 Possible unsafe locking scenario:

       CPU0
       ----
  lock(pernet_ops_rwsem);
  lock(pernet_ops_rwsem);

 *** DEADLOCK ***

 May be due to missing lock nesting notation

4 locks held by kworker/u16:1/TID:";
    let expected: Vec<&str> = expected.lines().collect();
    assert_eq!(shape(text)[..expected.len()], expected, "{text}");
}
