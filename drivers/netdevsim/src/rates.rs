//! Rate objects: a leaf for each virtual function's port, and the nodes that users make (`dev.c`).
//!
//! The simulated link has rates of whole megabits, up to 5000. What is set is only kept, for the debugfs files to show; that
//! of a leaf's share and limit with the virtual function, the rest with what the object is about.

use std::any::Any;
use std::sync::{Arc, OnceLock, PoisonError};

use devlink::{Devl, RATE_TCS_MAX, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
use kernfs::Dir;
use kernfs::debugfs::{Plain, ReadOnly, U32};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::dev::NsimDev;
use crate::vfs::{self, VfConfig};

/// A megabit per second, in bytes per second (`NSIM_LINK_SPEED_UNIT`).
const LINK_SPEED_UNIT: u64 = 125_000;
/// The link's speed, in megabits per second (`NSIM_LINK_SPEED_MAX`).
const LINK_SPEED_MAX: u64 = 5000;

/// What is kept of a rate object: the values of its debugfs files.
#[derive(Debug)]
pub struct NsimRate {
    limits: Arc<VfConfig>,
    parent: lockdep::Mutex<Option<Arc<Rate>>>,
    tc_bw: [U32; RATE_TCS_MAX],
    /// A node's directory; that of a leaf is its port's.
    ddir: OnceLock<Dir>,
}

impl NsimRate {
    /// Of a leaf the limits are the virtual function's; a node has its own.
    pub(crate) fn new(limits: Arc<VfConfig>) -> Arc<Self> {
        Arc::new(NsimRate {
            limits,
            parent: lockdep::Mutex::named("nsim_rate->parent", None),
            tc_bw: std::array::from_fn(|_| U32::new(0)),
            ddir: OnceLock::new(),
        })
    }

    /// `tx_share`: the rate that it gets at least, in Mbit/s.
    pub fn tx_share(&self) -> u16 {
        self.limits.min_tx_rate()
    }

    /// `tx_max`: the rate that it gets at most, in Mbit/s.
    pub fn tx_max(&self) -> u16 {
        self.limits.max_tx_rate()
    }

    /// `rate_parent`: the name of the node above it.
    pub(crate) fn parent_name(&self) -> Option<String> {
        let parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        parent.as_ref().and_then(|parent| parent.node_name())
    }

    /// Makes the files in the directory of a leaf's port or of a node (`dev.c: nsim_dev_tc_bw_debugfs_init` and around it).
    ///
    /// # Errors
    /// `EEXIST` when they are there.
    pub(crate) fn make_files(self: &Arc<Self>, dir: &Dir, has_tc_bw: bool) -> Result<(), Errno> {
        let limits = &self.limits;
        dir.create_file("tx_share", 0o400, ReadOnly(limits.min_tx_rate.clone()))?;
        dir.create_file("tx_max", 0o400, ReadOnly(limits.max_tx_rate.clone()))?;
        let rate = Arc::downgrade(self);
        let parent = move |_: &mut kernfs::Context<'_>| {
            let parent = rate.upgrade().and_then(|rate| rate.parent_name());
            Ok(parent.unwrap_or_default())
        };
        dir.create_file("rate_parent", 0o400, Plain::new().show(parent))?;
        for (tc, bw) in self.tc_bw.iter().enumerate().filter(|_| has_tc_bw) {
            dir.create_file(format!("tc{tc}_bw"), 0o400, ReadOnly(bw.clone()))?;
        }
        Ok(())
    }

    /// `tcN_bw`: the share of a traffic class.
    pub fn tc_bw(&self, tc: usize) -> Option<u32> {
        Some(self.tc_bw.get(tc)?.get())
    }
}

impl NsimDev {
    /// Whether its rate objects have shares for traffic classes.
    pub(crate) fn has_tc_bw(&self) -> bool {
        self.module().kernel_is_at_least(6, 17)
    }
}

impl RateOps for NsimDev {
    fn provides(&self) -> RateOpSet {
        const ALWAYS: [RateOp; 7] = [
            RateOp::Node,
            RateOp::LeafTxShare,
            RateOp::LeafTxMax,
            RateOp::LeafParent,
            RateOp::NodeTxShare,
            RateOp::NodeTxMax,
            RateOp::NodeParent,
        ];
        const WITH_TC_BW: RateOpSet =
            RateOpSet::of(&ALWAYS).and(RateOpSet::of(&[RateOp::LeafTcBw, RateOp::NodeTcBw]));
        if self.has_tc_bw() {
            WITH_TC_BW
        } else {
            const { RateOpSet::of(&ALWAYS) }
        }
    }

    fn set(
        &self,
        _devl: &mut Devl<'_>,
        rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let kept = rate.data::<NsimRate>().ok_or(Errno::OPNOTSUPP)?;
        match setting {
            RateSetting::TxShare(rate) => {
                let units = bytes_to_units(self, "tx_share", rate, extack)?;
                kept.limits.min_tx_rate.set(units);
            }
            RateSetting::TxMax(rate) => {
                let units = bytes_to_units(self, "tx_max", rate, extack)?;
                kept.limits.max_tx_rate.set(units);
            }
            RateSetting::TcBw(tc_bw) => {
                for (to, bw) in kept.tc_bw.iter().zip(tc_bw) {
                    to.set(bw);
                }
            }
            RateSetting::TxPriority(_) | RateSetting::TxWeight(_) => return Err(Errno::OPNOTSUPP),
        }
        Ok(())
    }

    /// `dev.c: nsim_rate_leaf_parent_set`, `nsim_rate_node_parent_set`
    fn parent_set(
        &self,
        _devl: &mut Devl<'_>,
        rate: &Rate,
        parent: Option<&Arc<Rate>>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let kept = rate.data::<NsimRate>().ok_or(Errno::OPNOTSUPP)?;
        *kept.parent.lock().unwrap_or_else(PoisonError::into_inner) = parent.cloned();
        Ok(())
    }

    /// `dev.c: nsim_rate_node_new`
    fn node_new(
        &self,
        _devl: &mut Devl<'_>,
        kind: &RateKind,
        extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        if self.esw_mode() != vfs::SWITCHDEV {
            extack.set_msg("netdevsim: Node creation allowed only in switchdev mode.");
            return Err(Errno::OPNOTSUPP);
        }
        let node = NsimRate::new(Arc::default());
        if let RateKind::Node(name) = kind {
            let name = String::from_utf8_lossy(name).into_owned();
            // A node whose name no directory can have goes without, as in the kernel.
            if let Ok(dir) = self.debugfs().nodes_ddir().create_dir(name) {
                node.make_files(&dir, self.has_tc_bw())?;
                // It is new.
                _ = node.ddir.set(dir);
            }
        }
        Ok(node)
    }

    /// `dev.c: nsim_rate_node_del`
    fn node_del(
        &self,
        _devl: &mut Devl<'_>,
        node: &Rate,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if let Some(dir) = node.data::<NsimRate>().and_then(|node| node.ddir.get()) {
            dir.remove();
        }
        Ok(())
    }
}

/// `dev.c: nsim_rate_bytes_to_units`
fn bytes_to_units(dev: &NsimDev, name: &str, rate: u64, extack: &mut ExtAck) -> Result<u16, Errno> {
    let log = dev.module().driver_core().klog();
    if rate % LINK_SPEED_UNIT != 0 {
        log.err(format_args!(
            "{name} rate value {rate}Bps not in link speed units of 1Mbps."
        ));
        extack.set_msg("netdevsim: TX rate value not in link speed units of 1Mbps.");
        return Err(Errno::INVAL);
    }
    let units = rate / LINK_SPEED_UNIT;
    let in_range = u16::try_from(units)
        .ok()
        .filter(|_| units <= LINK_SPEED_MAX);
    in_range.ok_or_else(|| {
        log.err(format_args!(
            "{name} rate value {units}Mbps exceed link maximum speed 5000Mbps."
        ));
        extack.set_msg("netdevsim: TX rate value exceed link maximum speed 5000Mbps.");
        Errno::INVAL
    })
}
