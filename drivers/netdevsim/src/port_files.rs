//! The debugfs files of a port: `ports/N/` (`dev.c: nsim_dev_port_debugfs_init`, `ethtool.c`, `udp_tunnels.c`, `bpf.c`, `ipsec.c`,
//! `netdev.c`).
//!
//! They are made when somebody looks: most ports of most devices are never looked at. The values of what the simulation has
//! no part of (rings, pauses, offloads) are only kept.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use driver_core::Device;
use kernfs::Dir;
use kernfs::debugfs::{Bool, Plain, ReadOnly, U32, U32Array};
use kernfs::kstrto::{self, Scan};
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::ports;
use crate::rates::NsimRate;

/// Entries of each table of UDP tunnel ports (`NSIM_UDP_TUNNEL_N_PORTS`).
const UDP_TUNNEL_PORTS: usize = 4;

/// What the rings can hold (`NSIM_DEV_..._MAX_PENDING` in `ethtool.c`).
const MAX_PENDING: u32 = 4096;

/// The longest text that `queue_reset` takes.
const QUEUE_RESET_TEXT: usize = 32;

/// Makes the directory of a port.
///
/// # Errors
/// `EEXIST` when there is one of that number.
pub(crate) fn make(dev: &NsimDev, index: u32, rate: Option<&Arc<NsimRate>>) -> Result<(), Errno> {
    let files = Files {
        device: Arc::downgrade(dev.device()),
        link: format!("../../../{}", dev.device().name()),
        index,
        rate: rate.cloned(),
        has_tc_bw: dev.has_tc_bw(),
        since_6_12: dev.module().kernel_is_at_least(6, 12),
        since_7_2: dev.module().kernel_is_at_least(7, 2),
    };
    let fill = move |dir: &Dir| {
        // A new directory has room for every name; only one that is being removed has not.
        let _ = files.fill(dir);
    };
    dev.debugfs()
        .ports_ddir()
        .create_lazy_dir(index.to_string(), fill)?;
    Ok(())
}

/// Removes the directory of a port.
pub(crate) fn remove(dev: &NsimDev, index: u32) {
    dev.debugfs().ports_ddir().remove_entry(&index.to_string());
}

/// What the files need to know of their port.
struct Files {
    device: Weak<Device>,
    link: String,
    index: u32,
    /// Only the ports of virtual functions have one.
    rate: Option<Arc<NsimRate>>,
    has_tc_bw: bool,
    since_6_12: bool,
    since_7_2: bool,
}

impl Files {
    fn fill(&self, dir: &Dir) -> Result<(), Errno> {
        dir.create_link("dev", self.link.clone())?;
        ethtool(dir, self.since_6_12)?;
        if self.since_6_12 {
            self.pp_hold(dir)?;
        }
        if self.since_7_2 {
            self.queue_reset(dir)?;
            dir.create_file("vlan", 0o400, Plain::new().show(|_| Ok("")))?;
        }
        if let Some(rate) = &self.rate {
            rate.make_files(dir, self.has_tc_bw)?;
        } else {
            udp_ports(dir)?;
            bpf(dir)?;
            let none = Plain::new().show(|_| Ok("SA count=0 tx=0\n"));
            dir.create_file("ipsec", 0o400, none)?;
        }
        Ok(())
    }

    /// Whether the port's network device is up.
    fn is_running(&self) -> impl Fn() -> bool + Send + Sync + 'static {
        let (device, index) = (Weak::clone(&self.device), self.index);
        move || {
            let dev = device
                .upgrade()
                .and_then(|device| device.drvdata::<NsimDev>());
            dev.is_some_and(|dev| ports::is_up(&dev, index))
        }
    }

    /// `netdev.c: nsim_pp_hold_write`
    fn pp_hold(&self, dir: &Dir) -> Result<(), Errno> {
        let is_running = self.is_running();
        let held = Bool::new(false);
        let shown = held.clone();
        let file = Plain::new()
            .show(move |_| Ok(if shown.get() { "y\n" } else { "n\n" }))
            .store(move |_, text| {
                let hold = kstrto::bool(&text[..text.len().min(3)])?;
                if hold && !held.get() && !is_running() {
                    return Err(Errno::NODEV);
                }
                held.set(hold);
                Ok(())
            });
        dir.create_file("pp_hold", 0o600, file)?;
        Ok(())
    }

    /// `netdev.c: nsim_qreset_write`
    fn queue_reset(&self, dir: &Dir) -> Result<(), Errno> {
        let is_running = self.is_running();
        let queues = self
            .device
            .upgrade()
            .and_then(|device| Some(device.drvdata::<NsimDev>()?.bus_dev().num_queues))
            .unwrap_or(1);
        let file = Plain::new().store(move |_, text| {
            let mut scan = Scan::new(text);
            let (Some(queue), Some(_mode)) = (scan.uint(), scan.uint()) else {
                return Err(Errno::INVAL);
            };
            if text.len() >= QUEUE_RESET_TEXT || queue >= queues {
                return Err(Errno::INVAL);
            }
            is_running().then_some(()).ok_or(Errno::NETDOWN)
        });
        dir.create_file("queue_reset", 0o200, file)?;
        Ok(())
    }
}

/// `ethtool.c: nsim_ethtool_init`
///
/// Kernel 6.1 does not report pauses unless told.
fn ethtool(dir: &Dir, reports_pauses: bool) -> Result<(), Errno> {
    let ethtool = dir.create_dir("ethtool")?;
    ethtool.create_file("get_err", 0o600, U32::new(0))?;
    ethtool.create_file("set_err", 0o600, U32::new(0))?;
    let pause = ethtool.create_dir("pause")?;
    for name in ["report_stats_rx", "report_stats_tx"] {
        pause.create_file(name, 0o600, Bool::new(reports_pauses))?;
    }
    let ring = ethtool.create_dir("ring")?;
    for name in [
        "rx_max_pending",
        "rx_jumbo_max_pending",
        "rx_mini_max_pending",
        "tx_max_pending",
    ] {
        ring.create_file(name, 0o600, U32::new(MAX_PENDING))?;
    }
    Ok(())
}

/// `udp_tunnels.c: nsim_udp_tunnels_info_create`
fn udp_ports(dir: &Dir) -> Result<(), Errno> {
    let udp_ports = dir.create_dir("udp_ports")?;
    udp_ports.create_file("inject_error", 0o600, U32::new(0))?;
    let table =
        || -> Arc<[AtomicU32]> { (0..UDP_TUNNEL_PORTS).map(|_| AtomicU32::new(0)).collect() };
    let tables = [table(), table()];
    for (name, table) in ["table0", "table1"].into_iter().zip(&tables) {
        udp_ports.create_file(name, 0o400, U32Array(Arc::clone(table)))?;
    }
    let reset = Plain::new().store(move |_, _| {
        for entry in tables.iter().flat_map(|table| table.iter()) {
            entry.store(0, Ordering::Relaxed);
        }
        Ok(())
    });
    udp_ports.create_file("reset", 0o200, reset)?;
    Ok(())
}

/// `bpf.c: nsim_bpf_init`
fn bpf(dir: &Dir) -> Result<(), Errno> {
    dir.create_file("bpf_offloaded_id", 0o400, ReadOnly(U32::new(0)))?;
    for (name, accept) in [
        ("bpf_tc_accept", true),
        ("bpf_tc_non_bound_accept", false),
        ("bpf_xdpdrv_accept", true),
        ("bpf_xdpoffload_accept", true),
        ("bpf_map_accept", true),
    ] {
        dir.create_file(name, 0o600, Bool::new(accept))?;
    }
    Ok(())
}
