//! Eight threads at once: reloads here and into namespaces that come and go, settings, dumps, devices that come and go. At
//! the end nothing has been reported, nothing is left over, and the observed lock order is the declared one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::thread;

use devlink::{Devlink, ParamType};
use lockdep::order::Held;
use net_core::Net;
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::client::{Answer, Body, Client, handle};
use support::{Machine, assert_no_lock_reports};

const ROUNDS: usize = 150;

/// What may go wrong when others are at it: the instance is elsewhere or gone, or somebody else was faster.
#[track_caller]
fn settled(answer: &Answer) -> bool {
    let gone = answer.errno == -Errno::NODEV.raw_os_error();
    assert!(answer.errno == 0 || gone, "{answer:?}");
    !gone
}

/// Lets the others stop, also when a thread fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Sends device 10 into a namespace of its own, which then ends.
fn exile(machine: &Machine, name: &str, returned: &AtomicUsize) {
    let mut client = machine.client();
    for round in 0..ROUNDS {
        let netns = machine.namespaces.add(name);
        let there = Client::in_netns(machine, &netns);
        client.process.fds.lock().unwrap().insert(4, netns);
        let moved = settled(&client.doit(cmd::RELOAD, handle(10).u32(attr::NETNS_FD, 4)));
        if moved {
            returned.fetch_add(1, Ordering::Relaxed);
        }
        drop(there);
        client.process.fds.lock().unwrap().clear();
        machine.namespaces.del(name);
        // What could not be moved is elsewhere: it comes home first.
        if !moved || round % 8 == 0 {
            machine.net_core.flush_cleanup();
        }
    }
}

/// A device that comes and goes; what is left of each time.
fn come_and_go(machine: &Machine, number: u32) -> Vec<Weak<Devlink>> {
    (0..ROUNDS)
        .map(|_| {
            let toy = machine.new_device(number, 2);
            let devlink = Arc::downgrade(toy.devlink());
            drop(toy);
            machine.del_device(number);
            devlink
        })
        .collect()
}

fn look(machine: &Machine, done: &AtomicBool) {
    let mut client = machine.client();
    while !done.load(Ordering::Relaxed) {
        for command in [
            cmd::GET,
            cmd::INFO_GET,
            cmd::PARAM_GET,
            cmd::PORT_GET,
            cmd::RATE_GET,
        ] {
            let dump = client.dump(command, Body::default());
            assert_eq!(dump.errno, 0);
            // Device 11 never moves and always has its parameters.
            if command == cmd::GET {
                let name =
                    |message: &support::client::Message| message.text(&[attr::DEV_NAME.number()]);
                assert!(
                    dump.messages
                        .iter()
                        .any(|dev| name(dev).as_deref() == Some("netdevsim11"))
                );
            }
        }
        settled(&client.dump(cmd::PORT_GET, handle(10)));
    }
}

fn change(machine: &Machine, number: u32) {
    let mut client = machine.client();
    for round in 0..ROUNDS {
        let value = u32::try_from(round).unwrap().to_ne_bytes();
        let set = handle(number)
            .str(attr::PARAM_NAME, "max_macs")
            .u8(attr::PARAM_VALUE_CMODE, 1)
            .u8(attr::PARAM_TYPE, ParamType::U32 as u8)
            .raw(attr::PARAM_VALUE_DATA.number(), &value);
        settled(&client.doit(cmd::PARAM_SET, set));
        let mode = u16::try_from(round % 2).unwrap();
        settled(&client.doit(
            cmd::ESWITCH_SET,
            handle(number).u16(attr::ESWITCH_MODE, mode),
        ));
        settled(&client.doit(cmd::RELOAD, handle(number)));
    }
}

/// Renames the network devices of device 11 while it is being reloaded, as an administrator's `ip link` does.
fn rename(machine: &Machine, done: &AtomicBool) {
    let mut round = 0_u32;
    let init: &Arc<Net> = machine.net_core.init_net();
    while !done.load(Ordering::Relaxed) {
        let mut held = Held::root();
        let mut rtnl = machine.net_core.rtnl_lock(&mut held);
        for dev in rtnl.devices(init) {
            round += 1;
            rtnl.dev_change_name(&dev, &format!("r{round}")).unwrap();
        }
    }
}

#[test]
fn nothing_is_reported_and_nothing_left_over() {
    let machine = Machine::new(KernelVersion::V7_2);
    machine.new_device(10, 2);
    machine.new_device(11, 2);
    let monitor = machine.client().listen();
    let (done, returned) = (AtomicBool::new(false), AtomicUsize::new(0));
    let gone = thread::scope(|scope| {
        let stop = Done(&done);
        let lookers: Vec<_> = (0..2)
            .map(|_| scope.spawn(|| look(&machine, &done)))
            .collect();
        let renamer = scope.spawn(|| rename(&machine, &done));
        let workers = [
            scope.spawn(|| exile(&machine, "n1", &returned)),
            scope.spawn(|| exile(&machine, "n2", &returned)),
            scope.spawn(|| change(&machine, 10)),
            scope.spawn(|| change(&machine, 11)),
        ];
        let comers = scope.spawn(|| come_and_go(&machine, 12));
        for worker in workers {
            worker.join().unwrap();
        }
        let gone = comers.join().unwrap();
        drop(stop);
        for looker in lookers {
            looker.join().unwrap();
        }
        renamer.join().unwrap();
        gone
    });
    machine.net_core.flush_cleanup();

    assert!(
        returned.load(Ordering::Relaxed) > ROUNDS / 10,
        "device 10 hardly ever moved"
    );
    assert!(monitor.drain().len() > 10 * ROUNDS);
    let left = gone
        .iter()
        .filter(|devlink| devlink.strong_count() > 0)
        .count();
    assert_eq!(left, 0, "instances that were removed are still there");
    let mut client = machine.client();
    assert_eq!(client.dump(cmd::GET, Body::default()).ok().len(), 2);
    machine.del_device(10);
    machine.del_device(11);
    assert_eq!(client.dump(cmd::GET, Body::default()).ok().len(), 0);
    assert_eq!(
        machine.subsystem.warnings(),
        0,
        "{}",
        machine.drivers.klog().text()
    );
    assert_no_lock_reports();
}
