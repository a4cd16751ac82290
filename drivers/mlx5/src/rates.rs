//! Rate objects: a leaf for each function behind the eswitch, and the groups that users make of them (`esw/qos.c`).
//!
//! Rates are in whole megabits, and none is above the link's speed.

use std::any::Any;
use std::sync::Arc;

use devlink::{Devl, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::Mode;

/// A megabit per second, in bytes per second (`MLX5_LINKSPEED_UNIT`).
const LINKSPEED_UNIT: u64 = 125_000;

/// What the driver keeps of a leaf or node: nothing that devlink does not have.
#[derive(Debug)]
pub(crate) struct Scheduling;

impl RateOps for CoreDev {
    fn provides(&self) -> RateOpSet {
        const ALWAYS: RateOpSet = RateOpSet::of(&[
            RateOp::Node,
            RateOp::LeafTxShare,
            RateOp::LeafTxMax,
            RateOp::LeafParent,
            RateOp::NodeTxShare,
            RateOp::NodeTxMax,
        ]);
        let nested = match self.module().kernel_is_at_least(6, 14) {
            true => ALWAYS.and(RateOpSet::of(&[RateOp::NodeParent])),
            false => ALWAYS,
        };
        match self.module().kernel_is_at_least(6, 17) {
            true => nested.and(RateOpSet::of(&[RateOp::LeafTcBw, RateOp::NodeTcBw])),
            false => nested,
        }
    }

    fn set(
        &self,
        _devl: &mut Devl<'_>,
        _rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        match setting {
            RateSetting::TxShare(rate) => self.check_rate("tx_share", rate, extack),
            RateSetting::TxMax(rate) => self.check_rate("tx_max", rate, extack),
            RateSetting::TcBw(_) => Ok(()),
            RateSetting::TxPriority(_) | RateSetting::TxWeight(_) => Err(Errno::OPNOTSUPP),
        }
    }

    fn parent_set(
        &self,
        _devl: &mut Devl<'_>,
        _rate: &Rate,
        _parent: Option<&Arc<Rate>>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        Ok(())
    }

    /// `esw/qos.c: mlx5_esw_devlink_rate_node_new`
    fn node_new(
        &self,
        _devl: &mut Devl<'_>,
        _kind: &RateKind,
        extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        if self
            .eswitch()
            .is_none_or(|esw| esw.mode() != Mode::Offloads)
        {
            extack.set_msg("mlx5_core: Rate node creation supported only in switchdev mode");
            return Err(Errno::OPNOTSUPP);
        }
        Ok(Arc::new(Scheduling))
    }

    fn node_del(
        &self,
        _devl: &mut Devl<'_>,
        _node: &Rate,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        Ok(())
    }
}

impl CoreDev {
    /// `esw/qos.c: esw_qos_devlink_rate_to_mbps`
    fn check_rate(&self, name: &str, rate: u64, extack: &mut ExtAck) -> Result<(), Errno> {
        if rate % LINKSPEED_UNIT != 0 {
            self.err(format_args!(
                "{name} rate value {rate}Bps not in link speed units of 1Mbps."
            ));
            extack.set_msg("mlx5_core: TX rate value not in link speed units of 1Mbps");
            return Err(Errno::INVAL);
        }
        let mbps = rate / LINKSPEED_UNIT;
        let most = self.profile().link_speed_mbps;
        if mbps > u64::from(most) {
            self.err(format_args!(
                "{name} rate value {mbps}Mbps exceed link maximum speed {most}."
            ));
            extack.set_msg("mlx5_core: TX rate value exceed link maximum speed");
            return Err(Errno::INVAL);
        }
        Ok(())
    }
}
