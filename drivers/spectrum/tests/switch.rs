//! What users see of a switch: splitting, the shared buffer, the pipeline's tables and the line cards.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_testkit::client::{Answer, Message};
use driver_testkit::{Client, Machine, Refusal, refused};
use lockdep::order::Held;
use netlink::{KernelVersion, RawAttr, Writer, attr, cmd};
use rustix::io::Errno;
use spectrum::{Config, Module};

const DEVICE: &str = "pci/0000:01:00.0";

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
    client: Client,
}

fn host(kernel: KernelVersion) -> Host {
    let machine = Machine::new(kernel);
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config { udev_names: true },
    );
    module.load(&mut Held::root()).unwrap();
    let address = "0000:01:00.0".parse().unwrap();
    module.plug(&mut Held::root(), address).unwrap();
    let client = machine.client(machine.init_net());
    Host {
        machine,
        module,
        client,
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        assert_eq!(self.machine.devlink.warnings(), 0);
        assert!(self.machine.driver_core.auxiliary().devices().is_empty());
    }
}

impl Host {
    fn set(&self, cmd: u8, handle: &str, fill: impl FnOnce(&mut Writer<'_>)) -> Answer<()> {
        self.client.request(cmd, handle, fill).map(|_| ())
    }

    /// Names of the network devices of the ports.
    fn netdevs(&self) -> Vec<String> {
        let ports = self.client.dump(cmd::PORT_GET).unwrap();
        let name = |port: &Message| text(find(port, attr::PORT_NETDEV_NAME.number())?);
        ports.iter().filter_map(name).collect()
    }

    fn split(&self, port: u32, count: u32) -> Answer<()> {
        self.set(cmd::PORT_SPLIT, &format!("{DEVICE}/{port}"), |w| {
            w.put_u32(attr::PORT_SPLIT_COUNT, count).unwrap();
        })
    }

    fn unsplit(&self, port: u32) -> Answer<()> {
        self.set(cmd::PORT_UNSPLIT, &format!("{DEVICE}/{port}"), |_| ())
    }

    fn linecard(&self, index: u32) -> Message {
        let linecard = self.client.request(cmd::LINECARD_GET, DEVICE, |w| {
            w.put_u32(attr::LINECARD_INDEX, index).unwrap();
        });
        linecard.unwrap().remove(0)
    }

    fn linecard_set(&self, index: u32, ty: &str) -> Answer<()> {
        self.set(cmd::LINECARD_SET, DEVICE, |w| {
            w.put_u32(attr::LINECARD_INDEX, index).unwrap();
            w.put_str(attr::LINECARD_TYPE, ty).unwrap();
        })
    }

    fn state(&self, index: u32) -> u8 {
        let linecard = self.linecard(index);
        find(&linecard, attr::LINECARD_STATE.number())
            .unwrap()
            .u8()
            .unwrap()
    }

    fn until_state(&self, index: u32, state: u8) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.state(index) != state {
            assert!(
                Instant::now() < end,
                "slot {index} is in {}",
                self.state(index)
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn find(message: &Message, number: u16) -> Option<RawAttr<'_>> {
    message.attrs().find(|found| found.number() == number)
}

fn text(found: RawAttr<'_>) -> Option<String> {
    Some(String::from_utf8_lossy(found.text()).into_owned())
}

#[test]
fn a_port_is_split_as_its_lanes_allow_and_joined_again() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let whole = ["enp1s0np1", "enp1s0np2", "enp1s0np3", "enp1s0np4"];
        assert_eq!(host.netdevs(), whole);
        host.split(9, 4).unwrap();
        // Kernel 6.1 tells last what was made last, later ones go by the port's number.
        let with = |second: &[&'static str]| match kernel {
            KernelVersion::V6_1 => [&[whole[0]], &whole[2..], second].concat(),
            _ => [&[whole[0]], second, &whole[2..]].concat(),
        };
        let parts = ["enp1s0np2s0", "enp1s0np2s1", "enp1s0np2s2", "enp1s0np2s3"];
        assert_eq!(host.netdevs(), with(&parts));
        let part = host
            .client
            .request(cmd::PORT_GET, &format!("{DEVICE}/12"), |_| ())
            .unwrap();
        let number = |number| find(&part[0], number).and_then(RawAttr::u32);
        assert_eq!(number(attr::PORT_LANES.number()), Some(1));
        assert_eq!(number(attr::PORT_SPLIT_GROUP.number()), Some(2));
        assert_eq!(number(attr::PORT_SPLIT_SUBPORT_NUMBER.number()), Some(3));

        let core = |text: &str| match kernel {
            KernelVersion::V6_1 => refused(Errno::INVAL, &format!("leftover: {text}")),
            _ => refused(Errno::INVAL, text),
        };
        assert_eq!(host.split(12, 2), core("Port cannot be split further"));
        assert_eq!(host.split(25, 2), core("Port cannot be split"));
        assert_eq!(host.split(1, 3), core("Invalid split count"));
        assert_eq!(host.split(1, 16), core("Invalid split count"));
        assert_eq!(host.split(0, 2), core("Port cannot be split"));
        assert_eq!(
            host.unsplit(1),
            refused(Errno::INVAL, "mlxsw_spectrum: Port was not split")
        );
        host.unsplit(12).unwrap();
        assert_eq!(host.netdevs(), with(&whole[1..2]));
        // A reload joins what is split.
        host.split(1, 8).unwrap();
        host.client.reload(DEVICE, None).unwrap();
        assert_eq!(host.netdevs(), whole);
    }
}

#[test]
fn pools_have_sizes_and_thresholds_within_the_switch_s_rules() {
    let host = host(KernelVersion::V7_2);
    let pool = |index: u16| {
        let pool = host.client.request(cmd::SB_POOL_GET, DEVICE, |w| {
            w.put_u32(attr::SB_INDEX, 0).unwrap();
            w.put_u16(attr::SB_POOL_INDEX, index).unwrap();
        })?;
        let size = find(&pool[0], attr::SB_POOL_SIZE.number()).and_then(RawAttr::u32);
        Ok(size.unwrap())
    };
    let pool_set = |index: u16, size: u32, ty: u8| {
        host.set(cmd::SB_POOL_SET, DEVICE, |w| {
            w.put_u32(attr::SB_INDEX, 0).unwrap();
            w.put_u16(attr::SB_POOL_INDEX, index).unwrap();
            w.put_u32(attr::SB_POOL_SIZE, size).unwrap();
            w.put_u8(attr::SB_POOL_THRESHOLD_TYPE, ty).unwrap();
        })
    };
    assert_eq!(pool(0), Ok(13_768_608));
    assert_eq!(pool(11).map(|_| ()), refused(Errno::INVAL, ""));
    pool_set(1, 100, 0).unwrap();
    assert_eq!(pool(1), Ok(192));
    let says = |text: &str| refused(Errno::INVAL, &format!("mlxsw_spectrum: {text}"));
    assert_eq!(
        pool_set(1, 20_000_000, 1),
        says("Exceeded shared buffer size")
    );
    assert_eq!(
        pool_set(4, 96, 0),
        says("Changing this pool's threshold type is forbidden")
    );
    assert_eq!(
        pool_set(8, 96, 0),
        says("Changing this pool's size is forbidden")
    );

    let bind_set = |port: u32, ty: u8, tc: u16, pool: u16, threshold: u32| {
        host.set(cmd::SB_TC_POOL_BIND_SET, &format!("{DEVICE}/{port}"), |w| {
            w.put_u32(attr::SB_INDEX, 0).unwrap();
            w.put_u8(attr::SB_POOL_TYPE, ty).unwrap();
            w.put_u16(attr::SB_TC_INDEX, tc).unwrap();
            w.put_u16(attr::SB_POOL_INDEX, pool).unwrap();
            w.put_u32(attr::SB_THRESHOLD, threshold).unwrap();
        })
    };
    bind_set(1, 0, 7, 0, 16).unwrap();
    assert_eq!(
        bind_set(1, 0, 7, 0, 17),
        says("Invalid dynamic threshold value")
    );
    assert_eq!(bind_set(1, 0, 8, 0, 16), refused(Errno::INVAL, ""));
    assert_eq!(
        bind_set(1, 0, 0, 4, 16),
        says("Binding egress TC to ingress pool and vice versa is forbidden")
    );
    assert_eq!(
        bind_set(1, 1, 8, 4, 9),
        says("Binding this TC to a different pool is forbidden")
    );
    assert_eq!(
        bind_set(0, 1, 0, 4, 9),
        says("Changing CPU port's binding is forbidden")
    );
    // Five ports with eleven pools each, and with their traffic classes.
    assert_eq!(host.client.dump(cmd::SB_PORT_POOL_GET).unwrap().len(), 55);
    assert_eq!(
        host.client.dump(cmd::SB_TC_POOL_BIND_GET).unwrap().len(),
        5 * 24
    );
    // What was set does not outlive a reload.
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(pool(1), Ok(0));
}

#[test]
fn the_most_in_use_is_remembered_until_it_is_cleared() {
    let host = host(KernelVersion::V6_12);
    let sb = |cmd| host.set(cmd, DEVICE, |w| w.put_u32(attr::SB_INDEX, 0).unwrap());
    let used = || -> Vec<(u32, u32)> {
        let pools = host.client.dump(cmd::SB_PORT_POOL_GET).unwrap();
        let number = |pool, number| find(pool, number).and_then(RawAttr::u32).unwrap();
        let pair = |pool| {
            (
                number(pool, attr::SB_OCC_CUR.number()),
                number(pool, attr::SB_OCC_MAX.number()),
            )
        };
        pools.iter().map(pair).collect()
    };
    assert!(used().iter().all(|&pair| pair == (0, 0)));
    for _ in 0..4 {
        sb(cmd::SB_OCC_SNAPSHOT).unwrap();
    }
    let filled = used();
    assert!(filled.iter().all(|(cur, max)| cur <= max && cur % 96 == 0));
    assert!(filled.iter().any(|(cur, max)| cur < max));
    sb(cmd::SB_OCC_MAX_CLEAR).unwrap();
    // The last snapshot is shown until there is another.
    assert_eq!(used(), filled);
    sb(cmd::SB_OCC_SNAPSHOT).unwrap();
    assert!(used().iter().all(|(cur, max)| cur == max));
}

#[test]
fn the_tables_of_the_pipeline_are_told_in_parts() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel);
        let headers = host
            .client
            .request(cmd::DPIPE_HEADERS_GET, DEVICE, |_| ())
            .unwrap();
        let list = find(&headers[0], attr::DPIPE_HEADERS.number()).unwrap();
        assert_eq!(list.nested().count(), 4);
        let entries = |table: &str| {
            let parts = host.client.request(cmd::DPIPE_ENTRIES_GET, DEVICE, |w| {
                w.put_str(attr::DPIPE_TABLE_NAME, table).unwrap();
            })?;
            let entries = parts.iter().map(|part| {
                find(part, attr::DPIPE_ENTRIES.number())
                    .unwrap()
                    .nested()
                    .count()
            });
            Ok::<usize, Refusal>(entries.sum())
        };
        assert_eq!(entries("mlxsw_erif"), Ok(4));
        assert_eq!(entries("mlxsw_host6"), Ok(3));
        assert_eq!(entries("nope").map(|_| ()), refused(Errno::INVAL, ""));
        let counters = |table: &str, on: u8| {
            host.set(cmd::DPIPE_TABLE_COUNTERS_SET, DEVICE, |w| {
                w.put_str(attr::DPIPE_TABLE_NAME, table).unwrap();
                w.put_u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, on).unwrap();
            })
        };
        counters("mlxsw_host4", 1).unwrap();
        assert_eq!(counters("nope", 1), refused(Errno::INVAL, ""));
        let parts = host.client.request(cmd::DPIPE_ENTRIES_GET, DEVICE, |w| {
            w.put_str(attr::DPIPE_TABLE_NAME, "mlxsw_host4").unwrap();
        });
        let parts = parts.unwrap();
        let entry = find(&parts[0], attr::DPIPE_ENTRIES.number())
            .unwrap()
            .nested()
            .next();
        let counter = attr::DPIPE_ENTRY_COUNTER.number();
        assert!(
            entry
                .unwrap()
                .nested()
                .any(|found| found.number() == counter)
        );
    }
}

#[test]
fn more_entries_than_a_message_holds_come_in_several() {
    let host = host(KernelVersion::V7_2);
    // Seventeen interfaces: those of the switch's own modules, split, make more than 3776 bytes.
    host.split(1, 8).unwrap();
    host.split(9, 4).unwrap();
    host.split(17, 2).unwrap();
    host.linecard_set(1, "16x100G").unwrap();
    host.until_state(1, 5);
    let parts = host.client.request(cmd::DPIPE_ENTRIES_GET, DEVICE, |w| {
        w.put_str(attr::DPIPE_TABLE_NAME, "mlxsw_erif").unwrap();
    });
    let parts = parts.unwrap();
    assert!(parts.len() > 1, "{} messages", parts.len());
    let entries = parts
        .iter()
        .map(|part| find(part, attr::DPIPE_ENTRIES.number()).unwrap());
    assert_eq!(
        entries.map(|list| list.nested().count()).sum::<usize>(),
        15 + 16
    );
}

const UNPROVISIONED: u8 = 1;
const UNPROVISIONING: u8 = 2;
const PROVISIONING: u8 = 3;
const FAILED: u8 = 4;
const PROVISIONED: u8 = 5;
const ACTIVE: u8 = 6;

#[test]
fn a_line_card_is_provisioned_works_and_is_taken_back() {
    let host = host(KernelVersion::V7_2);
    assert_eq!(host.client.dump(cmd::LINECARD_GET).unwrap().len(), 8);
    assert_eq!(host.state(1), UNPROVISIONED);
    let text = "Unsupported line card type provided";
    assert_eq!(host.linecard_set(1, "nope"), refused(Errno::INVAL, text));
    host.linecard_set(1, "").unwrap();
    host.linecard_set(1, "16x100G").unwrap();
    assert_eq!(host.state(1), PROVISIONING);
    let text = "Line card is currently being provisioned";
    assert_eq!(host.linecard_set(1, ""), refused(Errno::BUSY, text));
    host.until_state(1, ACTIVE);
    assert_eq!(host.netdevs().len(), 4 + 16);
    assert!(host.netdevs().contains(&"enp1s0nl1p16".to_owned()));
    let linecard = host.linecard(1);
    let nested = find(&linecard, attr::NESTED_DEVLINK.number()).unwrap();
    let names: Vec<_> = nested.nested().take(2).map(|name| text_of(name)).collect();
    assert_eq!(names, ["auxiliary", "mlxsw_core.lc.0"]);
    let info = host.client.dev_info("auxiliary/mlxsw_core.lc.0");
    assert!(
        info.contains(&"running fw 19.2010.1312".to_owned()),
        "{info:?}"
    );
    // The same again is fine, something else is not.
    host.linecard_set(1, "16x100G").unwrap();
    let text = "Line card already provisioned";
    assert_eq!(host.linecard_set(1, "8x200G"), refused(Errno::BUSY, text));

    // The switch remembers it over a reload.
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(host.state(1), PROVISIONED);
    assert_eq!(host.netdevs().len(), 4 + 16);
    host.until_state(1, ACTIVE);

    host.linecard_set(1, "").unwrap();
    assert_eq!(host.state(1), UNPROVISIONING);
    assert_eq!(host.netdevs().len(), 4);
    let text = "Line card is currently being unprovisioned";
    assert_eq!(host.linecard_set(1, "16x100G"), refused(Errno::BUSY, text));
    host.until_state(1, UNPROVISIONED);
    let linecard = host.linecard(1);
    assert!(find(&linecard, attr::NESTED_DEVLINK.number()).is_none());
    assert_eq!(host.client.dev_show().len(), 1);
}

fn text_of(found: RawAttr<'_>) -> String {
    String::from_utf8_lossy(found.text()).into_owned()
}

#[test]
fn slots_without_a_fitting_card_stay_provisioned_and_a_broken_one_fails() {
    let host = host(KernelVersion::V6_12);
    let monitor = host.machine.client(host.machine.init_net()).monitor();
    for (slot, ty) in [(1, "4x400G"), (5, "8x200G"), (8, "8x200G")] {
        host.linecard_set(slot, ty).unwrap();
    }
    host.until_state(8, FAILED);
    host.until_state(1, PROVISIONED);
    host.until_state(5, PROVISIONED);
    // Whoever failed can try again, or forget it.
    host.linecard_set(8, "").unwrap();
    assert_eq!(host.state(8), UNPROVISIONED);
    let log = host.machine.log();
    let said = "linecard 8: Timeout reached waiting on provision status event";
    assert!(log.iter().any(|line| line.contains(said)), "{log:?}");
    // Each of the three begins and ends, and the failed one is forgotten.
    let told = monitor
        .heard()
        .iter()
        .filter(|line| line.starts_with("[80]"))
        .count();
    assert!(told >= 7, "{told}");
    // Removed while something is on its way.
    host.linecard_set(1, "").unwrap();
    host.linecard_set(2, "8x200G").unwrap();
}

#[test]
fn the_test_of_the_reporter_leaves_a_dump_of_the_event() {
    let host = host(KernelVersion::DEFAULT);
    let named = |w: &mut Writer<'_>| {
        w.put_str(attr::HEALTH_REPORTER_NAME, "fw_fatal").unwrap();
    };
    let ask = |cmd| host.client.request(cmd, DEVICE, named);
    // Nobody can take a dump of what has not happened.
    assert_eq!(
        ask(cmd::HEALTH_REPORTER_RECOVER),
        Ok(Vec::new()),
        "it is healthy"
    );
    let errors = || {
        let reporter = ask(cmd::HEALTH_REPORTER_GET).unwrap().remove(0);
        let reporter = find(&reporter, attr::HEALTH_REPORTER.number()).unwrap();
        let number = attr::HEALTH_REPORTER_ERR_COUNT.number();
        let count = reporter.nested().find(|found| found.number() == number);
        let number = attr::HEALTH_REPORTER_DUMP_TS_NS.number();
        let dumped = reporter.nested().any(|found| found.number() == number);
        (count.unwrap().u64().unwrap(), dumped)
    };
    assert_eq!(errors(), (0, false));
    ask(cmd::HEALTH_REPORTER_TEST).unwrap();
    host.machine.driver_core.system_wq().flush();
    assert_eq!(errors(), (1, true));
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(errors(), (0, false));
}
