//! Traps and flashing as users see them, and the debugfs files around them; the expected lines are those of real kernels.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_core::{Device, Firmware, FirmwareLoader};
use driver_testkit::client::{Answer, Message};
use driver_testkit::text;
use lockdep::order::Held;
use netlink::wire::kind;
use netlink::{Attr, KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::{DEVICE, Host, host};

impl Host {
    fn on(&self, cmd: u8, what: Attr<kind::Str>, name: &str) -> Answer<Vec<Message>> {
        self.client
            .request(cmd, DEVICE, |w| w.put_str(what, name).unwrap())
    }

    fn trap(&self, name: &str) -> String {
        let shown = self.on(cmd::TRAP_GET, attr::TRAP_NAME, name).unwrap();
        text::trap(&shown[0])
    }

    fn trap_set(&self, name: &str, action: u8) -> Answer<()> {
        self.client.request(cmd::TRAP_SET, DEVICE, |w| {
            w.put_str(attr::TRAP_NAME, name).unwrap();
            w.put_u8(attr::TRAP_ACTION, action).unwrap();
        })?;
        Ok(())
    }

    /// Bytes and packets of a trap's counters.
    fn counted(&self, trap: &str) -> (u64, u64) {
        let line = self.trap(trap);
        let words: Vec<&str> = line.split(' ').collect();
        let after = |word| {
            let at = words.iter().position(|&found| found == word).unwrap();
            words[at + 1].parse().unwrap()
        };
        (after("bytes"), after("packets"))
    }

    fn set_up(&self, name: &str, up: bool) {
        let mut held = Held::root();
        let init = self.machine.net_core.init_net();
        let mut rtnl = self.machine.net_core.rtnl_lock(&mut held);
        let dev = rtnl.dev_get_by_name(init, name).unwrap();
        match up {
            true => rtnl.dev_open(&dev).unwrap(),
            false => rtnl.dev_close(&dev),
        }
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(10), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn traps_groups_and_policers_are_the_kernels() {
    let host = host(KernelVersion::V7_2, 1);
    let traps = host.client.dump(cmd::TRAP_GET).unwrap();
    let lines: Vec<String> = traps.iter().map(text::trap).collect();
    assert_eq!(lines.len(), 14);
    let line = |rest: &str| format!("{DEVICE}: name {rest}");
    assert_eq!(
        lines[0],
        line(
            "source_mac_is_multicast type drop generic true action drop group l2_drops bytes 0 packets 0 dropped 0"
        )
    );
    assert_eq!(
        lines[6],
        line(
            "fid_miss type exception generic false action trap group l2_drops bytes 0 packets 0 dropped 6"
        )
    );
    assert_eq!(
        lines[12],
        line(
            "igmp_query type control generic true action mirror group mc_snooping bytes 0 packets 0 dropped 12"
        )
    );
    let groups = host.client.dump(cmd::TRAP_GROUP_GET).unwrap();
    let groups: Vec<String> = groups.iter().map(text::trap_group).collect();
    assert_eq!(
        groups,
        [
            line("l2_drops generic true bytes 0 packets 0"),
            line("l3_drops generic true policer 1 bytes 0 packets 0"),
            line("l3_exceptions generic true policer 1 bytes 0 packets 0"),
            line("buffer_drops generic true policer 2 bytes 0 packets 0"),
            line("acl_drops generic true policer 3 bytes 0 packets 0"),
            line("mc_snooping generic true policer 3 bytes 0 packets 0"),
        ]
    );
    let policers = host.client.dump(cmd::TRAP_POLICER_GET).unwrap();
    let policers: Vec<String> = policers.iter().map(text::trap_policer).collect();
    assert_eq!(
        policers,
        [
            format!("{DEVICE}: policer 1 rate 1000 burst 128 dropped 0"),
            format!("{DEVICE}: policer 2 rate 2000 burst 256 dropped 0"),
            format!("{DEVICE}: policer 3 rate 3000 burst 512 dropped 0"),
        ]
    );
}

#[test]
fn packets_are_counted_while_a_port_is_up_and_the_trap_lets_them_through() {
    let host = host(KernelVersion::V6_12, 2);
    host.trap_set("blackhole_route", 1).unwrap();
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(host.counted("blackhole_route"), (0, 0), "no port is up");

    host.set_up("eth0", true);
    wait_until("packets arrive", || host.counted("blackhole_route").1 > 2);
    let (bytes, packets) = host.counted("blackhole_route");
    assert!(
        bytes >= 142 * packets && bytes % 142 == 0,
        "{bytes} of {packets}"
    );
    assert_eq!(host.counted("tail_drop"), (0, 0), "its action is drop");
    assert!(host.counted("fid_miss").1 > 0);

    host.set_up("eth0", false);
    std::thread::sleep(Duration::from_millis(150));
    let stopped = host.counted("blackhole_route");
    std::thread::sleep(Duration::from_millis(250));
    assert_eq!(host.counted("blackhole_route"), stopped);

    // A group counts what its traps do; twice as much comes with two ports.
    host.set_up("eth0", true);
    host.set_up("eth1", true);
    wait_until("packets arrive again", || {
        host.counted("blackhole_route").1 > stopped.1 + 4
    });
    let group = host
        .on(cmd::TRAP_GROUP_GET, attr::TRAP_GROUP_NAME, "l3_drops")
        .unwrap();
    assert!(!text::trap_group(&group[0]).contains("packets 0"));

    // A reload begins anew, and the worker of the old traps is gone.
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(host.counted("fid_miss"), (0, 0));
    assert!(host.trap("blackhole_route").contains("action drop"));
    host.trap_set("blackhole_route", 1).unwrap();
    host.set_up("eth1", true);
    wait_until("packets arrive after a reload", || {
        host.counted("blackhole_route").1 > 0
    });
}

#[test]
fn the_device_can_be_told_to_fail() {
    let host = host(KernelVersion::V7_2, 0);
    let group_set = || {
        host.client.request(cmd::TRAP_GROUP_SET, DEVICE, |w| {
            w.put_str(attr::TRAP_GROUP_NAME, "l2_drops").unwrap();
            w.put_u32(attr::TRAP_POLICER_ID, 3).unwrap();
        })
    };
    let policer = |cmd| {
        host.client.request(cmd, DEVICE, |w| {
            w.put_u32(attr::TRAP_POLICER_ID, 2).unwrap();
            w.put_u64(attr::TRAP_POLICER_RATE, 3000).unwrap();
        })
    };
    let refusal = |answer: Answer<Vec<Message>>| {
        let refusal = answer.unwrap_err();
        (refusal.errno, refusal.text.clone())
    };
    group_set().unwrap();
    policer(cmd::TRAP_POLICER_SET).unwrap();

    host.echo("y", "fail_trap_group_set").unwrap();
    assert_eq!(refusal(group_set()), (Errno::INVAL, String::new()));
    host.echo("y", "fail_trap_policer_set").unwrap();
    let text = "netdevsim: User setup the operation to fail for testing purposes";
    assert_eq!(
        refusal(policer(cmd::TRAP_POLICER_SET)),
        (Errno::INVAL, text.to_owned())
    );
    policer(cmd::TRAP_POLICER_GET).unwrap();
    host.echo("y", "fail_trap_policer_counter_get").unwrap();
    assert_eq!(
        refusal(policer(cmd::TRAP_POLICER_GET)),
        (Errno::MSGSIZE, String::new())
    );
    host.echo("y", "fail_trap_drop_counter_get").unwrap();
    assert_eq!(
        refusal(host.on(cmd::TRAP_GET, attr::TRAP_NAME, "tail_drop")),
        (Errno::MSGSIZE, String::new())
    );
}

#[test]
fn users_see_traps_come_and_go() {
    let host = host(KernelVersion::V7_2, 0);
    let monitor = host.machine.client(host.machine.init_net()).monitor();
    host.client.reload(DEVICE, None).unwrap();
    let heard = monitor.heard();
    let names: Vec<&str> = heard
        .iter()
        .filter(|line| line.starts_with("[trap"))
        .map(|line| line.split(' ').next().unwrap())
        .collect();
    let expected = [
        ("[trap,del]", 14),
        ("[trap-group,del]", 6),
        ("[trap-policer,del]", 3),
        ("[trap-policer,new]", 3),
        ("[trap-group,new]", 6),
        ("[trap,new]", 14),
    ];
    let expected: Vec<&str> = expected
        .iter()
        .flat_map(|&(what, times)| std::iter::repeat_n(what, times))
        .collect();
    assert_eq!(names, expected);
    // They go backwards, and let nothing through any more.
    assert!(
        heard[0].starts_with(&format!(
            "[trap,del] {DEVICE}: name igmp_v1_report type control generic true action drop"
        )),
        "{}",
        heard[0]
    );
}

#[derive(Debug)]
struct OneFile;

impl FirmwareLoader for OneFile {
    fn request(&self, _device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno> {
        match name {
            b"dummy.bin" => Ok(Firmware::new(vec![0])),
            _ => Err(Errno::NOENT),
        }
    }
}

#[test]
fn a_flash_tells_its_progress_and_locks_its_instance_only() {
    let host = host(KernelVersion::V7_2, 0);
    assert!(host.machine.driver_core.set_firmware(Arc::new(OneFile)));
    let flash = |component: Option<&str>, name: &str| {
        let answer = host.client.request(cmd::FLASH_UPDATE, DEVICE, |w| {
            w.put_str(attr::FLASH_UPDATE_FILE_NAME, name).unwrap();
            if let Some(component) = component {
                w.put_str(attr::FLASH_UPDATE_COMPONENT, component).unwrap();
            }
        });
        answer.map_err(|refusal| (refusal.errno, refusal.text.clone()))
    };
    let refused = |answer: Result<Vec<Message>, (Errno, String)>| answer.unwrap_err();
    assert_eq!(
        refused(flash(None, "nosuch.bin")),
        (
            Errno::NOENT,
            "failed to locate the requested firmware file".to_owned()
        )
    );
    assert_eq!(
        refused(flash(Some("foo"), "dummy.bin")),
        (
            Errno::INVAL,
            "selected component is not supported by this device".to_owned()
        )
    );

    host.echo("5", "fw_update_flash_chunk_time_ms").unwrap();
    let net = host.machine.net_core.net(host.machine.init_net()).unwrap();
    host.module
        .new_device(&mut Held::root(), 11, 1, 1, net)
        .unwrap();
    let monitor = host.machine.client(host.machine.init_net()).monitor();
    let other = host.machine.client(host.machine.init_net());
    let mut heard = Vec::new();
    std::thread::scope(|scope| {
        let flashing = scope.spawn(|| flash(Some("fw.mgmt"), "dummy.bin").unwrap());
        wait_until("the flash has begun", || {
            heard.extend(monitor.heard());
            heard.len() > 3
        });
        // Another instance answers at once.
        let begun = Instant::now();
        other.dev_info("netdevsim/netdevsim11");
        assert!(begun.elapsed() < Duration::from_millis(100));
        assert!(!flashing.is_finished());
        flashing.join().unwrap();
    });
    heard.extend(monitor.heard());

    let status = |msg: &str, done: u64, total: u64, timeout: u64| {
        format!(
            "[flash,status] {DEVICE}: msg {msg} component fw.mgmt done {done} total {total} timeout {timeout}"
        )
    };
    let mut expected = vec![
        format!("[flash,begin] {DEVICE}"),
        status("Preparing to flash", 0, 0, 0),
    ];
    expected.extend((0..=50).map(|chunk| status("Flashing", chunk * 1000, 50_000, 0)));
    expected.extend([
        status("Flash select", 0, 0, 81),
        status("Flashing done", 0, 0, 0),
        format!("[flash,end] {DEVICE}"),
    ]);
    assert_eq!(heard, expected);
}

#[test]
fn sections_are_overwritten_only_if_the_device_lets_them() {
    let host = host(KernelVersion::V7_2, 0);
    assert!(host.machine.driver_core.set_firmware(Arc::new(OneFile)));
    host.echo("1", "fw_update_flash_chunk_time_ms").unwrap();
    host.echo("n", "fw_update_status").unwrap();
    let monitor = host.machine.client(host.machine.init_net()).monitor();
    let flash = |mask: u32| {
        let answer = host.client.request(cmd::FLASH_UPDATE, DEVICE, |w| {
            w.put_str(attr::FLASH_UPDATE_FILE_NAME, "dummy.bin")
                .unwrap();
            let mask = netlink::Bitfield32 {
                value: mask,
                selector: mask,
            };
            w.put_bitfield32(attr::FLASH_UPDATE_OVERWRITE_MASK, mask)
                .unwrap();
        });
        answer.map(|_| ()).map_err(|refusal| refusal.errno)
    };
    assert_eq!(flash(1), Err(Errno::OPNOTSUPP));
    host.echo("1", "fw_update_overwrite_mask").unwrap();
    assert_eq!(flash(1), Ok(()));
    assert_eq!(flash(2), Err(Errno::OPNOTSUPP));
    let begin_and_end = [
        format!("[flash,begin] {DEVICE}"),
        format!("[flash,end] {DEVICE}"),
    ];
    assert_eq!(
        monitor.heard(),
        [&begin_and_end[..], &begin_and_end, &begin_and_end].concat()
    );

    // A reload puts back what it is said to, and nothing else.
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(host.cat("fw_update_status").unwrap(), "Y\n");
    assert_eq!(host.cat("fw_update_overwrite_mask").unwrap(), "0\n");
    assert_eq!(host.cat("fw_update_flash_chunk_time_ms").unwrap(), "1\n");
}

#[test]
fn files_have_the_kernels_modes_defaults_and_errors() {
    let host = host(KernelVersion::V7_2, 1);
    for (path, mode, text) in [
        ("fw_update_status", 0o600, "Y\n"),
        ("fw_update_overwrite_mask", 0o600, "0\n"),
        ("fw_update_flash_chunk_time_ms", 0o600, "100\n"),
        ("fail_trap_group_set", 0o600, "N\n"),
        ("bpf_bind_accept", 0o600, "Y\n"),
        ("bpf_bind_verifier_delay", 0o600, "0\n"),
        ("fib/fail_route_offload", 0o600, "N\n"),
        ("psample/rate", 0o600, "100\n"),
        ("psample/out_tc_occ_max", 0o600, "10000\n"),
    ] {
        assert_eq!(host.file(path).unwrap().mode(), mode, "{path}");
        assert_eq!(host.cat(path).as_deref(), Ok(text), "{path}");
    }
    assert_eq!(host.file("bpf_bound_progs").unwrap().mode(), 0o755);

    assert_eq!(host.cat("trap_flow_action_cookie"), Err(Errno::INVAL));
    assert_eq!(
        host.echo("xyz", "trap_flow_action_cookie"),
        Err(Errno::INVAL)
    );
    host.echo("aabbcc", "trap_flow_action_cookie").unwrap();
    assert_eq!(host.cat("trap_flow_action_cookie").unwrap(), "aabbcc");

    assert_eq!(host.echo("0", "psample/enable"), Err(Errno::INVAL));
    host.echo("1", "psample/enable").unwrap();
    assert_eq!(host.echo("y", "psample/enable"), Err(Errno::BUSY));
    assert_eq!(host.echo("maybe", "psample/enable"), Err(Errno::INVAL));
    host.echo("0", "psample/enable").unwrap();

    let l3 = |file: &str| format!("hwstats/l3/{file}");
    assert_eq!(host.echo("1", &l3("disable_ifindex")), Err(Errno::NOENT));
    assert_eq!(host.echo("999", &l3("enable_ifindex")), Err(Errno::NODEV));
    assert_eq!(host.echo("x", &l3("enable_ifindex")), Err(Errno::INVAL));
    host.echo("1", &l3("enable_ifindex")).unwrap();
    host.echo("1", &l3("enable_ifindex")).unwrap();
    host.echo("1", &l3("fail_next_enable")).unwrap();
    host.echo("1", &l3("disable_ifindex")).unwrap();
    assert_eq!(host.echo("1", &l3("fail_next_enable")), Err(Errno::NOENT));

    let activity = "fib/nexthop_bucket_activity";
    assert_eq!(host.echo("1 1", activity), Err(Errno::INVAL));
    assert_eq!(host.cat(activity), Err(Errno::INVAL));

    // What a reload makes anew has its defaults again.
    host.echo("5", "psample/rate").unwrap();
    host.echo("y", "fib/fail_route_offload").unwrap();
    host.client.reload(DEVICE, None).unwrap();
    assert_eq!(host.cat("psample/rate").unwrap(), "100\n");
    assert_eq!(host.cat("fib/fail_route_offload").unwrap(), "N\n");
}
