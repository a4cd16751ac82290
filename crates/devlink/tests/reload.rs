//! `RELOAD`: every check in the kernel's order, what each failure leaves, the move between namespaces, and how instances come
//! home when a namespace ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use devlink::{ReloadAction, ReloadActions, ReloadLimit, ReloadLimits};
use lockdep::order::Held;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Client, Message, handle};
use support::toy::ToyConfig;

const BOTH: ReloadActions =
    ReloadActions::of(&[ReloadAction::DriverReinit, ReloadAction::FwActivate]);

/// The path to the count of reloads with `driver_reinit`, no limit.
const REINIT_COUNT: [u16; 6] = [156, 157, 162, 163, 158, 160];

fn limits(value: u32, selector: u32) -> Body {
    Body::default().bitfield32(attr::RELOAD_LIMITS, value, selector)
}

fn commands(messages: &[Message]) -> Vec<u8> {
    messages.iter().map(Message::cmd).collect()
}

#[test]
fn a_request_is_checked_in_the_kernels_order_and_words() {
    const NO_RESET: u32 = 1 << ReloadLimit::NoReset as u32;
    let machine = Machine::new(KernelVersion::V7_2);
    let fw = |body: Body| body.u8(attr::RELOAD_ACTION, ReloadAction::FwActivate as u8);
    let other_net = |body: Body| body.u32(attr::NETNS_FD, 4);

    let unsupported = (
        Errno::OPNOTSUPP,
        Some("Requested reload action is not supported by the driver"),
    );
    let no_limit = (
        Errno::OPNOTSUPP,
        Some("Requested limit is not supported by the driver"),
    );
    let many = (
        Errno::INVAL,
        Some("multiple netns identifying attributes specified"),
    );
    let unknown = (Errno::INVAL, Some("Unknown network namespace"));
    let only_reinit = (
        Errno::OPNOTSUPP,
        Some("dev: Changing namespace is only supported for reinit action"),
    );
    let both = ToyConfig {
        actions: BOTH,
        limits: ReloadLimits::of(&[ReloadLimit::NoReset]),
        ..ToyConfig::default()
    };
    let cases = [
        // No reload at all: the action is checked before all else.
        (
            ToyConfig {
                actions: ReloadActions::NONE,
                ..ToyConfig::default()
            },
            limits(0, 0),
            unsupported,
        ),
        (ToyConfig::default(), fw(limits(0, 0)), unsupported),
        (
            ToyConfig::default(),
            limits(0, NO_RESET),
            (Errno::INVAL, Some("Invalid limit selected")),
        ),
        (ToyConfig::default(), limits(NO_RESET, NO_RESET), no_limit),
        // The bit behind the last limit is one that no driver has; with another one, it is one too many.
        (both.clone(), limits(4, 6), no_limit),
        (
            both.clone(),
            limits(6, 6),
            (
                Errno::OPNOTSUPP,
                Some("Multiselection of limit is not supported"),
            ),
        ),
        (
            both.clone(),
            limits(NO_RESET, NO_RESET),
            (
                Errno::INVAL,
                Some("Requested limit is invalid for this action"),
            ),
        ),
        (
            both.clone(),
            other_net(Body::default().u32(attr::NETNS_PID, 1)),
            many,
        ),
        (
            both.clone(),
            Body::default().u32(attr::NETNS_FD, 5),
            unknown,
        ),
        (
            both.clone(),
            Body::default().u32(attr::NETNS_PID, 77),
            unknown,
        ),
        (
            both.clone(),
            Body::default().u32(attr::NETNS_ID, 3),
            unknown,
        ),
        (both.clone(), fw(other_net(Body::default())), only_reinit),
    ];
    let mut client = machine.client();
    client
        .process
        .fds
        .lock()
        .unwrap()
        .insert(4, machine.namespaces.add("n1"));
    for (config, body, expected) in cases {
        let toy = machine.new_device_with(10, config);
        let answer = client.doit(cmd::RELOAD, handle(10).and(body));
        assert_eq!(answer.error(), expected);
        assert!(answer.messages.is_empty());
        assert_eq!(toy.devlink().net().id(), machine.net_core.init_net().id());
        machine.del_device(10);
    }

    // Who may not administrate there hears nothing but that.
    machine.new_device_with(10, both);
    client.process.netns_admin.store(false, Ordering::Relaxed);
    let answer = client.doit(cmd::RELOAD, handle(10).and(other_net(Body::default())));
    assert_eq!(answer.error(), (Errno::PERM, None));
    // The namespace that it is in already is no change, whatever the action.
    client.process.netns_admin.store(true, Ordering::Relaxed);
    client
        .doit(
            cmd::RELOAD,
            handle(10).and(fw(Body::default().u32(attr::NETNS_PID, 1))),
        )
        .ok();
    client.process.admin.store(false, Ordering::Relaxed);
    assert_eq!(
        client.doit(cmd::RELOAD, handle(10)).error(),
        (Errno::PERM, None)
    );
    machine.assert_clean();
}

#[test]
fn who_asks_for_an_action_or_limit_hears_what_was_performed() {
    let machine = Machine::new(KernelVersion::V7_2);
    let limits_kept = ReloadLimits::of(&[ReloadLimit::NoReset]);
    machine.new_device_with(
        10,
        ToyConfig {
            actions: BOTH,
            limits: limits_kept,
            ..ToyConfig::default()
        },
    );
    let mut client = machine.client();

    assert_eq!(client.doit(cmd::RELOAD, handle(10)).ok(), []);
    let fw = handle(10)
        .u8(attr::RELOAD_ACTION, 2)
        .bitfield32(attr::RELOAD_LIMITS, 2, 2);
    let reply = client.doit(cmd::RELOAD, fw).one();
    assert_eq!(reply.cmd(), cmd::RELOAD);
    let performed = reply
        .find(&[attr::RELOAD_ACTIONS_PERFORMED.number()])
        .unwrap();
    assert_eq!(performed, [4, 0, 0, 0, 4, 0, 0, 0]);
    machine.assert_clean();
}

#[test]
fn a_failed_first_half_changes_nothing_and_a_failed_second_half_is_shown() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 2);
    let mut client = machine.client();
    let monitor = machine.client().listen();

    toy.dont_allow_reload.store(true, Ordering::Relaxed);
    let answer = client.doit(cmd::RELOAD, handle(10));
    let forbidden = "netdevsim: User forbid the reload for testing purposes";
    assert_eq!(answer.error(), (Errno::OPNOTSUPP, Some(forbidden)));
    assert_eq!(monitor.notifications(), []);
    toy.dont_allow_reload.store(false, Ordering::Relaxed);

    toy.fail_reload.store(true, Ordering::Relaxed);
    let answer = client.doit(cmd::RELOAD, handle(10));
    let failed = "netdevsim: User setup the reload to fail for testing purposes";
    assert_eq!(answer.error(), (Errno::INVAL, Some(failed)));
    let news = monitor.notifications();
    let last = news.last().unwrap();
    assert_eq!(
        (last.cmd(), last.find(&[attr::RELOAD_FAILED.number()])),
        (cmd::NEW, Some(vec![1]))
    );
    assert_eq!(client.dump(cmd::PORT_GET, Body::default()).ok(), []);
    // Still failed is no news.
    client.doit(cmd::RELOAD, handle(10));
    assert_eq!(monitor.notifications(), []);

    toy.fail_reload.store(false, Ordering::Relaxed);
    client.doit(cmd::RELOAD, handle(10)).ok();
    let dev = client.doit(cmd::GET, handle(10)).one();
    assert_eq!(dev.find(&[attr::RELOAD_FAILED.number()]), Some(vec![0]));
    assert_eq!(dev.u32(&REINIT_COUNT), Some(1), "failures are not counted");
    assert_eq!(client.dump(cmd::PORT_GET, Body::default()).ok().len(), 2);
    // Not failed any more, and counted.
    let news = monitor.notifications();
    assert_eq!(commands(&news[news.len() - 2..]), [cmd::NEW, cmd::NEW]);
    machine.assert_clean();
}

#[test]
fn both_namespaces_hear_of_a_move_and_only_the_right_one_sees_the_instance() {
    let machine = Machine::new(KernelVersion::V7_2);
    machine.new_device(10, 1);
    let n1 = machine.namespaces.add("n1");
    let (here, there) = (
        machine.client().listen(),
        Client::in_netns(&machine, &n1).listen(),
    );
    let (mut client, mut other) = (machine.client(), Client::in_netns(&machine, &n1));
    client
        .process
        .fds
        .lock()
        .unwrap()
        .insert(4, Arc::clone(&n1));

    client
        .doit(cmd::RELOAD, handle(10).u32(attr::NETNS_FD, 4))
        .ok();
    let port_goes = [cmd::PORT_NEW, cmd::PORT_NEW, cmd::PORT_DEL];
    let rest_goes = [cmd::PARAM_DEL, cmd::PARAM_DEL, cmd::PARAM_DEL, cmd::DEL];
    let comes = [cmd::NEW, cmd::PARAM_NEW, cmd::PARAM_NEW, cmd::PARAM_NEW];
    let port_comes = [cmd::PORT_NEW, cmd::PORT_NEW, cmd::PORT_NEW, cmd::NEW];
    assert_eq!(
        commands(&here.notifications()),
        [&port_goes[..], &rest_goes].concat()
    );
    assert_eq!(
        commands(&there.notifications()),
        [&comes[..], &port_comes].concat()
    );

    assert_eq!(client.dump(cmd::GET, Body::default()).ok(), []);
    assert_eq!(
        client.doit(cmd::GET, handle(10)).error(),
        (Errno::NODEV, None)
    );
    assert_eq!(
        client.doit(cmd::RELOAD, handle(10)).error(),
        (Errno::NODEV, None)
    );
    assert_eq!(other.dump(cmd::GET, Body::default()).ok().len(), 1);

    other
        .doit(cmd::RELOAD, handle(10).u32(attr::NETNS_PID, 1))
        .ok();
    assert_eq!(client.doit(cmd::GET, handle(10)).ok().len(), 1);
    assert_eq!(
        other.doit(cmd::GET, handle(10)).error(),
        (Errno::NODEV, None)
    );
    machine.assert_clean();
}

#[test]
fn a_move_is_not_taken_back_when_the_second_half_fails() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 1);
    let n1 = machine.namespaces.add("n1");
    let mut client = machine.client();
    client
        .process
        .fds
        .lock()
        .unwrap()
        .insert(4, Arc::clone(&n1));
    toy.fail_reload.store(true, Ordering::Relaxed);
    let answer = client.doit(cmd::RELOAD, handle(10).u32(attr::NETNS_FD, 4));
    assert_eq!(answer.error().0, Errno::INVAL);
    let mut other = Client::in_netns(&machine, &n1);
    let dev = other.doit(cmd::GET, handle(10)).one();
    assert_eq!(dev.find(&[attr::RELOAD_FAILED.number()]), Some(vec![1]));
    machine.assert_clean();
}

/// Waits, as a user would, for the notification that the end of a namespace brings.
fn wait_for(monitor: &Client, wanted: usize) -> Vec<Message> {
    let mut news = Vec::new();
    for _ in 0..500 {
        news.extend(monitor.notifications());
        if news
            .iter()
            .filter(|message| message.cmd() == cmd::NEW)
            .count()
            >= wanted
        {
            return news;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("no news after five seconds: {:?}", commands(&news));
}

#[test]
fn instances_come_home_when_their_namespace_ends() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toys = [
        machine.new_device(10, 1),
        machine.new_device(11, 1),
        machine.new_device(12, 1),
    ];
    let n1 = machine.namespaces.add("n1");
    let mut client = machine.client();
    client.process.fds.lock().unwrap().insert(4, n1);
    for number in [10, 11, 12] {
        client
            .doit(cmd::RELOAD, handle(number).u32(attr::NETNS_FD, 4))
            .ok();
    }
    toys[1].dont_allow_reload.store(true, Ordering::Relaxed);
    toys[2].fail_reload.store(true, Ordering::Relaxed);
    let monitor = machine.client().listen();

    client.process.fds.lock().unwrap().clear();
    machine.namespaces.del("n1");
    machine.net_core.flush_cleanup();

    // 10 enters and counts its reload, 12 enters and fails.
    let news = wait_for(&monitor, 4);
    let handles: Vec<_> = news
        .iter()
        .filter(|message| message.cmd() == cmd::NEW)
        .map(|message| message.text(&[attr::DEV_NAME.number()]).unwrap())
        .collect();
    assert_eq!(
        handles,
        ["netdevsim10", "netdevsim10", "netdevsim12", "netdevsim12"]
    );
    let dump = client.dump(cmd::GET, Body::default()).ok();
    assert_eq!(dump.len(), 2);
    // That 11 forbids it is nobody's business; that 12 fails is.
    let log = machine.drivers.klog().text();
    assert_eq!(
        log.matches("Failed to reload devlink instance into init_net")
            .count(),
        1,
        "{log}"
    );
    // Out of reach, but its driver can still remove it.
    machine.del_device(11);
    machine.assert_clean();
}

#[test]
fn the_count_of_other_hosts_reloads_is_shown_whatever_this_one_supports() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let monitor = machine.client().listen();
    let mut held = Held::root();
    let fw = ReloadActions::of(&[ReloadAction::FwActivate]);
    toy.devlink()
        .lock(&mut held)
        .remote_reload_actions_performed(ReloadLimit::NoReset, fw);
    let [news] = monitor.notifications().try_into().unwrap();
    let remote = news.find(&[156, 161]).unwrap();
    let infos: Vec<_> = netlink::RawAttrs::new(&remote, 0).collect();
    assert_eq!(infos.len(), 2);
    let fw_stats = infos[1].nested().nth(1).unwrap();
    let counts: Vec<_> = fw_stats
        .nested()
        .map(|entry| entry.nested().nth(1).unwrap().u32())
        .collect();
    assert_eq!(counts, [Some(0), Some(1)]);
    machine.assert_clean();
}

/// As a real kernel 6.1 told it, except for removal, whose order is the driver's.
#[test]
fn kernel_6_1_tells_of_a_move_before_and_after_everything_else() {
    let machine = Machine::new(KernelVersion::V6_1);
    let toy = machine.new_device(10, 2);
    let n1 = machine.namespaces.add("n1");
    let (here, there) = (
        machine.client().listen(),
        Client::in_netns(&machine, &n1).listen(),
    );
    let mut client = machine.client();
    client
        .process
        .fds
        .lock()
        .unwrap()
        .insert(4, Arc::clone(&n1));
    client
        .doit(cmd::RELOAD, handle(10).u32(attr::NETNS_FD, 4))
        .ok();
    let goes = [cmd::PARAM_DEL, cmd::PARAM_DEL, cmd::DEL];
    // Without a type, and gone.
    let port_goes = [cmd::PORT_NEW, cmd::PORT_DEL];
    assert_eq!(
        commands(&here.notifications()),
        [&goes[..], &port_goes, &port_goes].concat()
    );
    let port_comes = [cmd::PORT_NEW, cmd::PORT_NEW];
    let comes = [cmd::NEW, cmd::PARAM_NEW, cmd::PARAM_NEW, cmd::NEW];
    let news = there.notifications();
    assert_eq!(
        commands(&news),
        [&port_comes[..], &port_comes, &comes].concat()
    );
    let named = |news: &Message| news.text(&[attr::PORT_NETDEV_NAME.number()]);
    assert_eq!(named(&news[0]), None);
    assert_eq!(named(&news[1]).as_deref(), Some("eth0"));

    // A device that is renamed shows it, and nobody is told.
    let dev = &toy.netdevs()[0];
    let mut held = Held::root();
    machine
        .net_core
        .rtnl_lock(&mut held)
        .dev_change_name(dev, "up0")
        .unwrap();
    assert_eq!(there.notifications(), []);
    let mut other = Client::in_netns(&machine, &n1);
    let [first, _] = other
        .dump(cmd::PORT_GET, handle(99))
        .ok()
        .try_into()
        .unwrap();
    assert_eq!(
        named(&first).as_deref(),
        Some("up0"),
        "a dump of 6.1 looks at no handle"
    );

    let answer = other.doit(cmd::RELOAD, handle(10).u8(attr::RELOAD_ACTION, 2));
    let text = "leftover: Requested reload action is not supported by the driver";
    assert_eq!(answer.error(), (Errno::OPNOTSUPP, Some(text)));
    toy.dont_allow_reload.store(true, Ordering::Relaxed);
    let answer = other.doit(cmd::RELOAD, handle(10));
    let text = "netdevsim: User forbid the reload for testing purposes";
    assert_eq!(answer.error(), (Errno::OPNOTSUPP, Some(text)));
    let absent = handle(10).u32(attr::PORT_INDEX, 9);
    assert_eq!(
        other.doit(cmd::PORT_DEL, absent).error(),
        (Errno::OPNOTSUPP, None)
    );
    machine.assert_clean();
}
