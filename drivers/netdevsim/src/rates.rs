//! Rate objects: a leaf for each virtual function's port, and the nodes that users make (`dev.c`).
//!
//! The simulated link has rates of whole megabits, up to 5000. What is set is only kept, for the debugfs files to show; that
//! of a leaf's share and limit with the virtual function, the rest with what the object is about.

use std::any::Any;
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};

use devlink::{Devl, RATE_TCS_MAX, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
use netlink::{ExtAck, KernelVersion};
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
    tc_bw: [AtomicU32; RATE_TCS_MAX],
}

impl NsimRate {
    /// Of a leaf the limits are the virtual function's; a node has its own.
    pub(crate) fn new(limits: Arc<VfConfig>) -> Arc<Self> {
        Arc::new(NsimRate {
            limits,
            parent: lockdep::Mutex::named("nsim_rate->parent", None),
            tc_bw: Default::default(),
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
    pub fn parent_name(&self) -> Option<String> {
        let parent = self.parent.lock().unwrap_or_else(PoisonError::into_inner);
        parent.as_ref().and_then(|parent| parent.node_name())
    }

    /// `tcN_bw`: the share of a traffic class.
    pub fn tc_bw(&self, tc: usize) -> Option<u32> {
        Some(self.tc_bw.get(tc)?.load(Ordering::Relaxed))
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
        if self
            .module()
            .devlink()
            .kernel()
            .has(KernelVersion::new(6, 17))
        {
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
        let put = |to: &AtomicU16, units: u16| to.store(units, Ordering::Relaxed);
        match setting {
            RateSetting::TxShare(rate) => put(
                &kept.limits.min_tx_rate,
                bytes_to_units(self, "tx_share", rate, extack)?,
            ),
            RateSetting::TxMax(rate) => put(
                &kept.limits.max_tx_rate,
                bytes_to_units(self, "tx_max", rate, extack)?,
            ),
            RateSetting::TcBw(tc_bw) => {
                for (to, bw) in kept.tc_bw.iter().zip(tc_bw) {
                    to.store(bw, Ordering::Relaxed);
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
        _kind: &RateKind,
        extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        if self.esw_mode() != vfs::SWITCHDEV {
            extack.set_msg("netdevsim: Node creation allowed only in switchdev mode.");
            return Err(Errno::OPNOTSUPP);
        }
        Ok(NsimRate::new(Arc::default()))
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
