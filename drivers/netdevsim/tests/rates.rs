//! Virtual functions, the eswitch and rate objects, as users see them; the expected lines are those of real kernels.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod support;

use std::sync::Arc;

use driver_testkit::client::Answer;
use driver_testkit::refused;
use lockdep::order::Held;
use netdevsim::vfs;
use netlink::{KernelVersion, Writer, attr, cmd};
use rustix::io::Errno;

use support::{DEVICE, Host, host};

const LEGACY: u16 = 0;
const SWITCHDEV: u16 = 1;
/// Bytes per second in a megabit.
const MBIT: u64 = 125_000;

impl Host {
    /// `echo N > sriov_numvfs`
    fn numvfs(&self, num: u32) -> Result<(), Errno> {
        let device = self.module.bus().find_device("netdevsim10").unwrap();
        vfs::configure(&mut device.lock(&mut Held::root()), num)
    }

    fn switchdev(&self, num: u32) {
        self.numvfs(num).unwrap();
        self.client.eswitch_mode_set(DEVICE, SWITCHDEV).unwrap();
    }

    /// A command on a port's or a node's rate object.
    fn rate(&self, cmd: u8, what: &str, fill: impl FnOnce(&mut Writer<'_>)) -> Answer<()> {
        self.client.request(cmd, DEVICE, |w| {
            match what.parse() {
                Ok(port) => w.put_u32(attr::PORT_INDEX, port).unwrap(),
                Err(_) => w.put_str(attr::RATE_NODE_NAME, what).unwrap(),
            }
            fill(w);
        })?;
        Ok(())
    }

    fn parent(&self, what: &str, parent: &str) -> Answer<()> {
        self.rate(cmd::RATE_SET, what, |w| {
            w.put_str(attr::RATE_PARENT_NODE_NAME, parent).unwrap();
        })
    }
}

/// The core's own texts have the name of its source file before them in kernel 6.1.
fn core_refused(kernel: KernelVersion, errno: Errno, text: &str) -> Answer<()> {
    match kernel {
        KernelVersion::V6_1 => refused(errno, &format!("leftover: {text}")),
        _ => refused(errno, text),
    }
}

#[test]
fn virtual_functions_have_ports_and_rates_in_switchdev_mode_only() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        assert_eq!(host.numvfs(5), Err(Errno::NOMEM));
        host.numvfs(3).unwrap();
        assert_eq!(host.numvfs(3), Ok(()));
        assert_eq!(host.numvfs(2), Err(Errno::BUSY));
        assert_eq!(host.client.port_show().len(), 1);
        host.client.eswitch_mode_set(DEVICE, SWITCHDEV).unwrap();
        let vf = |vf| {
            let (index, eth) = (128 + vf, 1 + vf);
            format!(
                "{DEVICE}/{index}: type eth netdev eth{eth} flavour pcivf pfnum 0 vfnum {vf} splittable false"
            )
        };
        assert_eq!(host.client.port_show()[1..], [vf(0), vf(1), vf(2)]);
        let leaf = |vf| format!("{DEVICE}/{}: type leaf", 128 + vf);
        assert_eq!(host.client.rate_show(), [leaf(0), leaf(1), leaf(2)]);

        // 2 is a mode since 6.19, but not of this device.
        let unknown = host.client.eswitch_mode_set(DEVICE, 2).unwrap_err().errno;
        let errno = match kernel {
            KernelVersion::V7_2 => Errno::INVAL,
            _ => Errno::RANGE,
        };
        assert_eq!(unknown, errno);
        host.numvfs(0).unwrap();
        assert_eq!(host.client.port_show().len(), 1);
        assert!(host.client.rate_show().is_empty());
        // Back to legacy: new functions have no ports.
        host.numvfs(1).unwrap();
        assert_eq!(host.client.port_show().len(), 1);
    }
}

#[test]
fn a_reload_takes_virtual_functions_and_their_mode_away() {
    let host = host(KernelVersion::DEFAULT, 1);
    host.switchdev(2);
    host.rate(cmd::RATE_NEW, "g", |_| ()).unwrap();
    host.parent("128", "g").unwrap();
    host.client.reload(DEVICE, None).unwrap();
    assert!(host.client.rate_show().is_empty());
    assert_eq!(host.nsim().bus_dev().vfs.num(), 0);
    // Without virtual functions the mode stays.
    host.client.eswitch_mode_set(DEVICE, SWITCHDEV).unwrap();
    host.client.reload(DEVICE, None).unwrap();
    host.rate(cmd::RATE_NEW, "g", |_| ()).unwrap();
    host.rate(cmd::RATE_DEL, "g", |_| ()).unwrap();
}

#[test]
fn rates_are_whole_megabits_of_a_link_of_5000() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        host.switchdev(1);
        let max = |rate| {
            host.rate(cmd::RATE_SET, "128", |w| {
                w.put_u64(attr::RATE_TX_MAX, rate).unwrap();
            })
        };
        max(5000 * MBIT).unwrap();
        let text = "netdevsim: TX rate value exceed link maximum speed 5000Mbps.";
        assert_eq!(max(5001 * MBIT), refused(Errno::INVAL, text));
        assert_eq!(max(u64::MAX / MBIT * MBIT), refused(Errno::INVAL, text));
        let text = "netdevsim: TX rate value not in link speed units of 1Mbps.";
        assert_eq!(max(MBIT + 1), refused(Errno::INVAL, text));
        host.rate(cmd::RATE_SET, "128", |w| {
            w.put_u64(attr::RATE_TX_SHARE, 7 * MBIT).unwrap();
        })
        .unwrap();
        assert_eq!(
            host.client.rate_show(),
            [format!(
                "{DEVICE}/128: type leaf tx_share 875000 tx_max 625000000"
            )]
        );
        let config = Arc::clone(&host.nsim().vf_configs()[0]);
        assert_eq!((config.min_tx_rate(), config.max_tx_rate()), (7, 5000));
        // What was set stays with the function when its port goes and comes; the new port's rate object does not know it.
        host.client.eswitch_mode_set(DEVICE, LEGACY).unwrap();
        host.client.eswitch_mode_set(DEVICE, SWITCHDEV).unwrap();
        assert_eq!(
            host.client.rate_show(),
            [format!("{DEVICE}/128: type leaf")]
        );
        assert_eq!(config.max_tx_rate(), 5000);
    }
}

#[test]
fn a_node_that_is_being_made_is_not_its_own_parent_because_it_is_not_there_yet() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        host.switchdev(1);
        let made = host.rate(cmd::RATE_NEW, "g1", |w| {
            w.put_str(attr::RATE_PARENT_NODE_NAME, "g1").unwrap();
        });
        assert_eq!(made, refused(Errno::NODEV, ""));
        host.rate(cmd::RATE_NEW, "g1", |_| ()).unwrap();
    }
}

#[test]
fn nodes_make_a_tree_and_the_youngest_comes_first() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        let text = "netdevsim: Node creation allowed only in switchdev mode.";
        assert_eq!(
            host.rate(cmd::RATE_NEW, "g", |_| ()),
            refused(Errno::OPNOTSUPP, text)
        );
        host.switchdev(1);
        let monitor = host.machine.client(host.machine.init_net()).monitor();
        host.rate(cmd::RATE_NEW, "g1", |_| ()).unwrap();
        host.rate(cmd::RATE_NEW, "g2", |w| {
            w.put_u64(attr::RATE_TX_MAX, MBIT).unwrap();
        })
        .unwrap();
        host.rate(cmd::RATE_NEW, "g3", |w| {
            w.put_str(attr::RATE_PARENT_NODE_NAME, "g2").unwrap();
        })
        .unwrap();
        let (g1, g2) = (
            format!("{DEVICE}/g1: type node"),
            format!("{DEVICE}/g2: type node tx_max 125000"),
        );
        let g3 = format!("{DEVICE}/g3: type node parent g2");
        let leaf = format!("{DEVICE}/128: type leaf");
        assert_eq!(
            host.client.rate_show(),
            [g3.clone(), g2.clone(), g1.clone(), leaf]
        );
        assert_eq!(
            monitor.heard(),
            [g1, g2, g3].map(|node| format!("[rate,new] {node}"))
        );

        assert_eq!(
            host.rate(cmd::RATE_NEW, "g1", |_| ()),
            refused(Errno::EXIST, "")
        );
        for name in ["123", ""] {
            let added = host
                .client
                .request(cmd::RATE_NEW, DEVICE, |w| {
                    w.put_str(attr::RATE_NODE_NAME, name).unwrap();
                })
                .map(|_| ());
            assert_eq!(added, refused(Errno::INVAL, ""));
        }
        assert_eq!(host.parent("g1", "nope"), refused(Errno::NODEV, ""));
        assert_eq!(
            host.parent("g1", "g1"),
            core_refused(kernel, Errno::INVAL, "Parent to self is not allowed")
        );
        let text = "Node is already a parent of parent node.";
        assert_eq!(
            host.parent("g2", "g3"),
            core_refused(kernel, Errno::EXIST, text)
        );
        host.parent("128", "g1").unwrap();
        let exchanged = host.parent("128", "g3");
        match kernel {
            KernelVersion::V6_1 => {
                let text = "leftover: Rate object already has parent.";
                assert_eq!(exchanged, refused(Errno::BUSY, text));
                host.parent("128", "").unwrap();
                host.parent("128", "g3").unwrap();
            }
            _ => assert_eq!(exchanged, Ok(())),
        }
        let text = "Node has children. Cannot delete node.";
        let children = core_refused(kernel, Errno::BUSY, text);
        assert_eq!(host.rate(cmd::RATE_DEL, "g3", |_| ()), children);
        assert_eq!(host.rate(cmd::RATE_DEL, "g2", |_| ()), children);
        host.rate(cmd::RATE_DEL, "g1", |_| ()).unwrap();
        let exist = core_refused(kernel, Errno::BUSY, "Rate node(s) exists.");
        assert_eq!(host.client.eswitch_mode_set(DEVICE, LEGACY), exist);
        assert_eq!(host.client.eswitch_mode_set(DEVICE, SWITCHDEV), exist);
        // Without virtual functions nodes go untold, leaves told.
        monitor.heard();
        host.numvfs(0).unwrap();
        let heard = monitor.heard();
        assert!(
            heard[0].starts_with("[rate,del] netdevsim/netdevsim10/128: type leaf"),
            "{heard:?}"
        );
        assert_eq!(
            heard
                .iter()
                .filter(|line| line.starts_with("[rate"))
                .count(),
            1
        );
    }
}

#[test]
fn what_the_driver_does_not_have_is_refused_by_name() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        host.switchdev(1);
        host.rate(cmd::RATE_NEW, "g", |_| ()).unwrap();
        if kernel == KernelVersion::V6_1 {
            continue;
        }
        for (what, kind) in [("128", "leafs"), ("g", "nodes")] {
            let set = host.rate(cmd::RATE_SET, what, |w| {
                w.put_u32(attr::RATE_TX_PRIORITY, 1).unwrap();
            });
            assert_eq!(
                set,
                refused(
                    Errno::OPNOTSUPP,
                    &format!("TX priority set isn't supported for the {kind}")
                )
            );
            let set = host.rate(cmd::RATE_SET, what, |w| {
                w.put_u32(attr::RATE_TX_WEIGHT, 1).unwrap();
            });
            assert_eq!(
                set,
                refused(
                    Errno::OPNOTSUPP,
                    &format!("TX weight set isn't supported for the {kind}")
                )
            );
        }
        host.rate(cmd::RATE_DEL, "g", |_| ()).unwrap();
        assert_eq!(
            host.rate(cmd::RATE_DEL, "128", |_| ()),
            refused(Errno::INVAL, "")
        );
        assert_eq!(
            host.rate(cmd::RATE_SET, "0", |_| ()),
            refused(Errno::NODEV, "")
        );
        assert_eq!(
            host.rate(cmd::RATE_SET, "999", |_| ()),
            refused(Errno::NODEV, "")
        );
    }
}

#[test]
fn shares_of_traffic_classes_are_set_all_at_once() {
    let host = host(KernelVersion::V7_2, 1);
    host.switchdev(1);
    let set = |shares: &[(u8, u32)]| {
        host.rate(cmd::RATE_SET, "128", |w| {
            for &(tc, bw) in shares {
                w.nest(attr::RATE_TC_BWS, |w| {
                    w.put_u8(attr::rate_tc::INDEX, tc)?;
                    w.put_u32(attr::rate_tc::BW, bw)
                })
                .unwrap();
            }
        })
    };
    let all: Vec<(u8, u32)> = (0..8).map(|tc| (tc, u32::from(tc) * 10)).collect();
    set(&all).unwrap();
    let kept = netdevsim::ports::vf_rate(&host.nsim(), 0).unwrap();
    assert_eq!((kept.tc_bw(0), kept.tc_bw(7)), (Some(0), Some(70)));
    let line = format!("{DEVICE}/128: type leaf 1:10 2:20 3:30 4:40 5:50 6:60 7:70");
    assert_eq!(host.client.rate_show(), [line]);
    let text = "Bandwidth values must be specified for all 8 traffic classes";
    assert_eq!(set(&all[1..]), refused(Errno::INVAL, text));
    let text = "Duplicate traffic class index specified (3)";
    assert_eq!(set(&[(3, 1), (3, 1)]), refused(Errno::INVAL, text));
    let nameless = host.rate(cmd::RATE_SET, "128", |w| {
        w.nest(attr::RATE_TC_BWS, |w| w.put_u32(attr::rate_tc::BW, 1))
            .unwrap();
    });
    assert_eq!(nameless, refused(Errno::INVAL, ""));
}

#[test]
fn the_debugfs_files_say_what_was_set() {
    for kernel in KernelVersion::SUPPORTED {
        let host = host(kernel, 1);
        host.switchdev(2);
        host.rate(cmd::RATE_NEW, "g", |w| {
            w.put_u64(attr::RATE_TX_SHARE, 3 * MBIT).unwrap();
        })
        .unwrap();
        host.parent("129", "g").unwrap();
        assert_eq!(host.cat("rate_nodes/g/tx_share").unwrap(), "3\n");
        assert_eq!(host.cat("rate_nodes/g/rate_parent").unwrap(), "");
        // Without a line's end, as in the kernel.
        assert_eq!(host.cat("ports/129/rate_parent").unwrap(), "g");
        assert_eq!(host.cat("ports/128/rate_parent").unwrap(), "");
        let tc_bw = match kernel {
            KernelVersion::V7_2 => Ok("0\n".to_owned()),
            _ => Err(Errno::NOENT),
        };
        assert_eq!(host.cat("rate_nodes/g/tc7_bw"), tc_bw);
        assert_eq!(host.cat("ports/128/tc0_bw"), tc_bw);
        host.parent("129", "").unwrap();
        assert_eq!(host.cat("ports/129/rate_parent").unwrap(), "");
        host.rate(cmd::RATE_DEL, "g", |_| ()).unwrap();
        assert_eq!(host.cat("rate_nodes/g/tx_share"), Err(Errno::NOENT));
    }
}
