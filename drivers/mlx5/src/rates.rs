//! Rate objects: a leaf for each function behind the eswitch, and the groups that users make of them (`esw/qos.c`).
//!
//! Rates are in whole megabits, and none is above the link's speed. Groups can be in groups, as deep as the hardware can
//! schedule. Bandwidth can be shared by traffic class, at a leaf or at a group that has only leaves, but not at both.

use std::any::Any;
use std::sync::{Arc, PoisonError};

use devlink::{Devl, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::Mode;

/// A megabit per second, in bytes per second (`MLX5_LINKSPEED_UNIT`).
const LINKSPEED_UNIT: u64 = 125_000;

/// What the driver keeps of a leaf or node (`struct mlx5_esw_sched_node`).
#[derive(Debug)]
pub(crate) struct Scheduling {
    is_leaf: bool,
    /// A leaf in the order of locks: only ever held to look or to change it.
    state: lockdep::Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    parent: Option<Arc<Rate>>,
    /// Shares its bandwidth by traffic class (`SCHED_NODE_TYPE_TC_ARBITER_TSAR`).
    arbitrates: bool,
    /// Children of each kind.
    nodes: u32,
    leaves: u32,
    /// Those of the leaves that arbitrate.
    arbiters: u32,
}

impl Scheduling {
    /// Of a function's leaf.
    pub(crate) fn leaf() -> Self {
        Self::new(true)
    }

    fn new(is_leaf: bool) -> Self {
        Scheduling {
            is_leaf,
            state: lockdep::Mutex::named("mlx5 rate", State::default()),
        }
    }

    fn of(rate: &Rate) -> &Scheduling {
        rate.data().expect("the driver makes all rate objects")
    }

    fn state(&self) -> lockdep::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn parent(&self) -> Option<Arc<Rate>> {
        self.state().parent.clone()
    }

    fn arbitrates(&self) -> bool {
        self.state().arbitrates
    }

    /// The root's level is 1, its children's 2.
    fn level(&self) -> u8 {
        match self.parent() {
            Some(parent) => Self::of(&parent).level() + 1,
            None => 2,
        }
    }

    /// Tells the parent, if there is one, of a child more or less.
    fn count(&self, change: fn(&mut u32)) {
        let (parent, arbitrates) = {
            let state = self.state();
            (state.parent.clone(), state.arbitrates)
        };
        let Some(parent) = parent else { return };
        let mut parent = Self::of(&parent).state();
        if self.is_leaf {
            change(&mut parent.leaves);
        } else {
            change(&mut parent.nodes);
        }
        if self.is_leaf && arbitrates {
            change(&mut parent.arbiters);
        }
    }

    fn set_parent(&self, parent: Option<&Arc<Rate>>) {
        self.count(|children| *children -= 1);
        let before = std::mem::replace(&mut self.state().parent, parent.cloned());
        drop(before);
        self.count(|children| *children += 1);
    }

    fn set_arbitrates(&self, arbitrates: bool) {
        self.count(|children| *children -= 1);
        self.state().arbitrates = arbitrates;
        self.count(|children| *children += 1);
    }
}

/// Who goes is its parent's child no longer.
impl Drop for Scheduling {
    fn drop(&mut self) {
        self.count(|children| *children -= 1);
    }
}

fn unsupported(extack: &mut ExtAck, text: &'static str) -> Result<(), Errno> {
    extack.set_msg(text);
    Err(Errno::OPNOTSUPP)
}

const VPORT_TO_NODE: &str =
    "mlx5_core: Cannot switch from vport-level TC arbitration to node-level TC arbitration";
const NODE_TO_VPORT: &str =
    "mlx5_core: Cannot switch from node-level TC arbitration to vport-level TC arbitration";

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
        rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        match setting {
            RateSetting::TxShare(rate) => self.check_rate("tx_share", rate, extack),
            RateSetting::TxMax(rate) => self.check_rate("tx_max", rate, extack),
            RateSetting::TcBw(shares) => {
                let arbitrates = shares.iter().any(|share| *share != 0);
                self.arbitrate(Scheduling::of(rate), arbitrates, extack)
            }
            RateSetting::TxPriority(_) | RateSetting::TxWeight(_) => Err(Errno::OPNOTSUPP),
        }
    }

    fn parent_set(
        &self,
        _devl: &mut Devl<'_>,
        rate: &Rate,
        parent: Option<&Arc<Rate>>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let child = Scheduling::of(rate);
        let above = parent.map(|parent| Scheduling::of(parent));
        match child.is_leaf {
            true => self.check_leafs_parent(child, above, extack)?,
            false => self.check_nodes_parent(child, above, extack)?,
        }
        child.set_parent(parent);
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
        Ok(Arc::new(Scheduling::new(false)))
    }

    fn node_del(
        &self,
        _devl: &mut Devl<'_>,
        node: &Rate,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        Scheduling::of(node).set_parent(None);
        Ok(())
    }
}

impl CoreDev {
    /// `esw/qos.c: mlx5_esw_devlink_rate_leaf_tc_bw_set`, `mlx5_esw_devlink_rate_node_tc_bw_set`
    fn arbitrate(
        &self,
        rate: &Scheduling,
        arbitrates: bool,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if rate.arbitrates() == arbitrates {
            return Ok(());
        }
        if arbitrates && rate.is_leaf {
            let parent = rate.parent();
            let above = parent.as_deref().map(Scheduling::of);
            if above.is_some_and(Scheduling::arbitrates) {
                return unsupported(extack, NODE_TO_VPORT);
            }
            self.check_arbiter_leaf(above, extack)?;
        } else if arbitrates {
            let max = self.profile().max_rate_depth;
            if rate.level() + 1 > max {
                extack.set_msg_fmt(format_args!(
                    "mlx5_core: TC arbitration on nodes is not supported beyond max depth {max}"
                ));
                return Err(Errno::OPNOTSUPP);
            }
            let (nodes, arbiters) = {
                let state = rate.state();
                (state.nodes, state.arbiters)
            };
            if nodes > 0 {
                let text =
                    "mlx5_core: Cannot configure TC bandwidth on a node with non-leaf children";
                return unsupported(extack, text);
            }
            if arbiters > 0 {
                return unsupported(extack, VPORT_TO_NODE);
            }
        }
        rate.set_arbitrates(arbitrates);
        Ok(())
    }

    /// `esw/qos.c: esw_qos_vport_update_parent`
    fn check_leafs_parent(
        &self,
        leaf: &Scheduling,
        parent: Option<&Scheduling>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if !leaf.arbitrates() {
            return Ok(());
        }
        if parent.is_some_and(Scheduling::arbitrates) {
            return unsupported(extack, VPORT_TO_NODE);
        }
        self.check_arbiter_leaf(parent, extack)
    }

    /// `esw/qos.c: esw_qos_vport_tc_enable`: what arbitrates needs two levels below its parent.
    fn check_arbiter_leaf(
        &self,
        parent: Option<&Scheduling>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let max = self.profile().max_rate_depth;
        if parent.map_or(2, Scheduling::level) + 2 <= max {
            return Ok(());
        }
        extack.set_msg_fmt(format_args!(
            "mlx5_core: TC arbitration on leafs is not supported beyond max depth {max}"
        ));
        Err(Errno::OPNOTSUPP)
    }

    /// `esw/qos.c: mlx5_esw_qos_node_validate_set_parent`
    fn check_nodes_parent(
        &self,
        node: &Scheduling,
        parent: Option<&Scheduling>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let is_empty = {
            let state = node.state();
            state.nodes == 0 && state.leaves == 0
        };
        if !is_empty {
            let text = "mlx5_core: Cannot reassign a node that contains rate objects";
            return unsupported(extack, text);
        }
        if parent.is_some_and(Scheduling::arbitrates) {
            let text = "mlx5_core: Cannot attach a node to a parent with TC bandwidth configured";
            return unsupported(extack, text);
        }
        let level = parent.map_or(2, |parent| parent.level() + 1) + u8::from(node.arbitrates());
        let max = self.profile().max_rate_depth;
        if level <= max {
            return Ok(());
        }
        extack.set_msg_fmt(format_args!(
            "mlx5_core: Node hierarchy depth {level} exceeds the maximum supported level {max}"
        ));
        Err(Errno::OPNOTSUPP)
    }

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
