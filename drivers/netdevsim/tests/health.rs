//! Regions, resources and health reporters as users see them, and the debugfs files that move them.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use driver_testkit::client::{Answer, Message};
use driver_testkit::{Machine, text};
use net_core::{FibSource, FibTable, Net, NetId};
use netdevsim::Config;
use netlink::{KernelVersion, RawAttr, attr, cmd};
use rustix::io::Errno;

use support::{DEVICE, Host, host};

/// Tables of made-up namespaces: as many entries as the test says.
#[derive(Default)]
struct Tables(Mutex<BTreeMap<NetId, u64>>);

impl FibSource for Tables {
    fn entries(&self, net: &Net, table: FibTable) -> Result<u64, Errno> {
        match table {
            FibTable::Ipv4 => Ok(*self.0.lock().unwrap().get(&net.id()).unwrap_or(&3)),
            FibTable::Ipv4Rules => Ok(3),
            FibTable::Ipv6 => Ok(1),
            FibTable::Ipv6Rules => Ok(2),
            FibTable::Nexthops => Err(Errno::OPNOTSUPP),
        }
    }
}

/// With the device in the first namespace, and these tables.
fn host_with(tables: &Arc<Tables>) -> Host {
    let machine = Machine::new(KernelVersion::V7_2);
    machine
        .net_core
        .set_fib_source(Arc::<Tables>::clone(tables));
    let host = Host::new(machine, Config::default());
    host.new_device(1);
    host
}

impl Host {
    fn health(&self, cmd: u8, reporter: &str) -> Answer<Vec<Message>> {
        self.client.request(cmd, DEVICE, |w| {
            w.put_str(attr::HEALTH_REPORTER_NAME, reporter).unwrap();
        })
    }

    /// State, errors, recoveries of `dummy`, and whether a dump is kept.
    fn dummy(&self) -> (u8, u64, u64, bool) {
        let shown = self.health(cmd::HEALTH_REPORTER_GET, "dummy").unwrap();
        let find = |number: u16| {
            let nest = shown[0]
                .attrs()
                .find(|attr| attr.number() == attr::HEALTH_REPORTER.number());
            nest.unwrap().nested().find(|attr| attr.number() == number)
        };
        let number = |number| find(number).and_then(RawAttr::u64).unwrap();
        (
            find(attr::HEALTH_REPORTER_STATE.number())
                .and_then(RawAttr::u8)
                .unwrap(),
            number(attr::HEALTH_REPORTER_ERR_COUNT.number()),
            number(attr::HEALTH_REPORTER_RECOVER_COUNT.number()),
            find(attr::HEALTH_REPORTER_DUMP_TS.number()).is_some(),
        )
    }

    /// The texts in what `dummy` diagnoses, in their order.
    fn diagnosed(&self) -> Vec<String> {
        let diagnosis = self.health(cmd::HEALTH_REPORTER_DIAGNOSE, "dummy").unwrap();
        let stream = diagnosis[0].attrs().next().unwrap();
        let mut is_text = false;
        let texts = stream.nested().filter(move |item| {
            if item.number() == attr::FMSG_OBJ_VALUE_TYPE.number() {
                is_text = item.u8() == Some(10);
            }
            is_text && item.number() == attr::FMSG_OBJ_VALUE_DATA.number()
        });
        texts
            .map(|text| String::from_utf8_lossy(text.text()).into_owned())
            .collect()
    }

    fn resource_set(&self, id: u64, size: u64) -> Answer<Vec<Message>> {
        self.client.request(cmd::RESOURCE_SET, DEVICE, |w| {
            w.put_u64(attr::RESOURCE_ID, id).unwrap();
            w.put_u64(attr::RESOURCE_SIZE, size).unwrap();
        })
    }

    fn regions(&self) -> Vec<String> {
        let shown = self.client.dump(cmd::REGION_GET).unwrap();
        shown.iter().map(text::region).collect()
    }
}

#[test]
fn a_broken_device_is_recovered_if_it_can_be() {
    let host = host(KernelVersion::V7_2, 0);
    assert_eq!(host.dummy(), (0, 0, 0, false));
    assert_eq!(host.diagnosed(), ["somestring"]);
    host.write(b"foo bar\n", "health/break_health").unwrap();
    assert_eq!(host.dummy(), (0, 1, 1, true));
    assert_eq!(host.diagnosed(), ["foo bar", "somestring"]);

    host.write(b"Y\n", "health/fail_recover").unwrap();
    assert_eq!(host.write(b"foo", "health/break_health"), Err(Errno::INVAL));
    assert_eq!(host.dummy(), (1, 2, 1, true));
    assert_eq!(
        host.write(b"foo", "health/break_health"),
        Err(Errno::CANCELED)
    );
    let refused = host
        .health(cmd::HEALTH_REPORTER_RECOVER, "dummy")
        .unwrap_err();
    assert_eq!(
        (refused.errno, &*refused.text),
        (
            Errno::INVAL,
            "netdevsim: User setup the recover to fail for testing purposes"
        )
    );
    for garbage in [&b""[..], &[b'a'; 4097]] {
        assert_eq!(
            host.write(garbage, "health/break_health"),
            Err(Errno::INVAL)
        );
    }
    assert_eq!(host.dummy(), (1, 3, 1, true));

    // A reload forgets it all.
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(host.dummy(), (0, 0, 0, false));
    assert_eq!(host.diagnosed(), ["somestring"]);
    // More than the kernel allocates in one piece.
    host.write(b"4194305", "health/binary_len").unwrap();
    let refused = host
        .health(cmd::HEALTH_REPORTER_DIAGNOSE, "dummy")
        .unwrap_err();
    assert_eq!(refused.errno, Errno::NOMEM);
}

#[test]
fn reloads_and_reports_at_once_leave_no_lock_report() {
    let host = host(KernelVersion::V7_2, 1);
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // The files come and go; what a write says depends on when it comes.
                let _ = host.write(b"oops", "health/break_health");
                let _ = host.write(b"1", "take_snapshot");
            }
        });
        let client = host.machine.client(host.machine.init_net());
        for _ in 0..50 {
            client.reload(DEVICE, None).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

#[test]
fn the_region_gives_sixteen_snapshots() {
    let host = host(KernelVersion::V6_12, 0);
    assert_eq!(
        host.regions(),
        [format!("{DEVICE}/dummy: size 32768 snapshot [] max 16")]
    );
    for _ in 0..16 {
        host.write(b"1", "take_snapshot").unwrap();
    }
    assert_eq!(host.write(b"1", "take_snapshot"), Err(Errno::NOSPC));
    let all = "0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15";
    assert_eq!(
        host.regions(),
        [format!(
            "{DEVICE}/dummy: size 32768 snapshot [{all}] max 16"
        )]
    );
    let log = host.machine.log();
    assert!(
        log.contains(&"netdevsim: Failed to create region snapshot".to_owned()),
        "{log:?}"
    );
    // What the device took is given up with it.
    host.client.reload(DEVICE, None).unwrap();
    host.write(b"1", "take_snapshot").unwrap();
    assert_eq!(
        host.regions(),
        [format!("{DEVICE}/dummy: size 32768 snapshot [0] max 16")]
    );
}

#[test]
fn a_device_does_not_come_up_where_there_are_more_routes_than_it_holds() {
    const IPV4_FIB: u64 = 2;
    let tables = Arc::new(Tables::default());
    let host = host_with(&tables);
    let full = host.machine.netns_add("full");
    tables.0.lock().unwrap().insert(full, 11);
    host.resource_set(IPV4_FIB, 10).unwrap();
    // Three routes are there, ten can be.
    host.client.reload(DEVICE, None).unwrap();
    let init = host.machine.net_core.init_net();
    assert_eq!(
        host.machine.net_core.fib_entry_add(init, FibTable::Ipv4),
        Ok(())
    );
    tables.0.lock().unwrap().insert(init.id(), 10);
    let refused = host
        .machine
        .net_core
        .fib_entry_add(init, FibTable::Ipv4)
        .unwrap_err();
    let text = "netdevsim: Exceeded number of supported fib entries";
    assert_eq!((refused.errno, refused.text), (Errno::PERM, text));
    assert_eq!(
        host.machine.net_core.fib_entry_add(init, FibTable::Ipv6),
        Ok(())
    );

    let refused = host.client.reload(DEVICE, Some(full)).unwrap_err();
    assert_eq!((refused.errno, &*refused.text), (Errno::PERM, text));
    // It is there all the same, and comes up when it may hold more.
    let there = host.machine.client(full);
    assert!(there.dump(cmd::REGION_GET).unwrap().is_empty());
    there
        .request(cmd::RESOURCE_SET, DEVICE, |w| {
            w.put_u64(attr::RESOURCE_ID, IPV4_FIB).unwrap();
            w.put_u64(attr::RESOURCE_SIZE, u64::MAX).unwrap();
        })
        .unwrap();
    there.reload(DEVICE, Some(init.id())).unwrap();
    assert_eq!(host.regions().len(), 1);
    assert_eq!(
        host.machine.net_core.fib_entry_add(init, FibTable::Ipv4),
        Ok(())
    );
}
