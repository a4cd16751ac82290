//! The driver's side of rate objects.

use std::any::Any;
use std::sync::Arc;

use netlink::{Attrs, Error, ExtAck, attr};
use rustix::io::Errno;

use super::{Rate, RateKind};
use crate::bit_set::bit_set;
use crate::core::Devl;

/// Number of traffic classes that shares are given to (`DEVLINK_RATE_TCS_MAX`).
pub const RATE_TCS_MAX: usize = 8;

/// A setting of a rate object, with the value asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateSetting {
    /// The rate that it gets at least, in bytes per second; 0 is none.
    TxShare(u64),
    /// The rate that it gets at most, in bytes per second; 0 is no limit.
    TxMax(u64),
    /// Its place among its siblings: who has a higher number is served first.
    TxPriority(u32),
    /// Its share among siblings of the same priority.
    TxWeight(u32),
    /// The shares of the traffic classes, in percent.
    TcBw([u32; RATE_TCS_MAX]),
}

/// An operation that a driver may have or not, where the core must know before it calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum RateOp {
    /// [`RateOps::node_new`] and [`RateOps::node_del`].
    Node,
    /// [`RateSetting::TxShare`] of leaves.
    LeafTxShare,
    /// [`RateSetting::TxMax`] of leaves.
    LeafTxMax,
    /// [`RateSetting::TxPriority`] of leaves.
    LeafTxPriority,
    /// [`RateSetting::TxWeight`] of leaves.
    LeafTxWeight,
    /// [`RateSetting::TcBw`] of leaves.
    LeafTcBw,
    /// [`RateOps::parent_set`] of leaves.
    LeafParent,
    /// [`RateSetting::TxShare`] of nodes.
    NodeTxShare,
    /// [`RateSetting::TxMax`] of nodes.
    NodeTxMax,
    /// [`RateSetting::TxPriority`] of nodes.
    NodeTxPriority,
    /// [`RateSetting::TxWeight`] of nodes.
    NodeTxWeight,
    /// [`RateSetting::TcBw`] of nodes.
    NodeTcBw,
    /// [`RateOps::parent_set`] of nodes.
    NodeParent,
}

bit_set! {
    /// The operations that a driver has.
    RateOpSet of RateOp
}

impl RateOpSet {
    /// These and those.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// What a driver does for the commands on rate objects (the `rate_*` of `struct devlink_ops`).
///
/// An operation exists if [`provides`](Self::provides) names it: the core refuses a request as a whole, before any part of it is
/// done, when one of its parts does not exist.
pub trait RateOps: Send + Sync {
    /// Which of the operations below exist.
    fn provides(&self) -> RateOpSet {
        RateOpSet::NONE
    }

    /// Changes a setting of a leaf or a node.
    ///
    /// # Errors
    ///
    /// Fails the request; the setting stays as it was.
    fn set(
        &self,
        devl: &mut Devl<'_>,
        rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, rate, setting, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// Puts a leaf or a node below a node, or below none.
    ///
    /// # Errors
    ///
    /// Fails the request; the parent stays as it was.
    fn parent_set(
        &self,
        devl: &mut Devl<'_>,
        rate: &Rate,
        parent: Option<&Arc<Rate>>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let _ = (devl, rate, parent, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// A user makes the node that `kind` names. What is returned is kept with it ([`Rate::data`]).
    ///
    /// # Errors
    ///
    /// Fails the request; there is no node.
    fn node_new(
        &self,
        devl: &mut Devl<'_>,
        kind: &RateKind,
        extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        let _ = (devl, kind, extack);
        Err(Errno::OPNOTSUPP)
    }

    /// A node goes.
    ///
    /// # Errors
    ///
    /// Fails the request; the node goes all the same.
    fn node_del(&self, devl: &mut Devl<'_>, node: &Rate, extack: &mut ExtAck) -> Result<(), Errno> {
        let _ = (devl, node, extack);
        Ok(())
    }
}

/// The operations of a driver that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoRateOps;

impl RateOps for NoRateOps {}

/// Whether all that a request asks for exists (`net/devlink/rate.c: devlink_rate_set_ops_supported`).
pub(super) fn supported(has: RateOpSet, attrs: &Attrs<'_>, node: bool) -> netlink::Result {
    let (tx_share, tx_max, parent) = (
        attrs.get(attr::RATE_TX_SHARE),
        attrs.get(attr::RATE_TX_MAX),
        attrs.get(attr::RATE_PARENT_NODE_NAME),
    );
    let (tx_priority, tx_weight, tc_bw) = (
        attrs.get(attr::RATE_TX_PRIORITY),
        attrs.get(attr::RATE_TX_WEIGHT),
        attrs.get(attr::RATE_TC_BWS),
    );
    // In the kernel's order. The younger ones name the attribute too.
    let (old, young) = if node {
        (
            [
                (
                    tx_share,
                    RateOp::NodeTxShare,
                    "TX share set isn't supported for the nodes",
                ),
                (
                    tx_max,
                    RateOp::NodeTxMax,
                    "TX max set isn't supported for the nodes",
                ),
                (
                    parent,
                    RateOp::NodeParent,
                    "Parent set isn't supported for the nodes",
                ),
            ],
            [
                (
                    tx_priority,
                    RateOp::NodeTxPriority,
                    "TX priority set isn't supported for the nodes",
                ),
                (
                    tx_weight,
                    RateOp::NodeTxWeight,
                    "TX weight set isn't supported for the nodes",
                ),
                (
                    tc_bw,
                    RateOp::NodeTcBw,
                    "TC bandwidth set isn't supported for the nodes",
                ),
            ],
        )
    } else {
        (
            [
                (
                    tx_share,
                    RateOp::LeafTxShare,
                    "TX share set isn't supported for the leafs",
                ),
                (
                    tx_max,
                    RateOp::LeafTxMax,
                    "TX max set isn't supported for the leafs",
                ),
                (
                    parent,
                    RateOp::LeafParent,
                    "Parent set isn't supported for the leafs",
                ),
            ],
            [
                (
                    tx_priority,
                    RateOp::LeafTxPriority,
                    "TX priority set isn't supported for the leafs",
                ),
                (
                    tx_weight,
                    RateOp::LeafTxWeight,
                    "TX weight set isn't supported for the leafs",
                ),
                (
                    tc_bw,
                    RateOp::LeafTcBw,
                    "TC bandwidth set isn't supported for the leafs",
                ),
            ],
        )
    };
    for (attr, op, text) in old {
        if attr.is_some() && !has.contains(op) {
            return Err(Error::with_msg(Errno::OPNOTSUPP, text));
        }
    }
    for (attr, op, text) in young {
        if let Some(attr) = attr.filter(|_| !has.contains(op)) {
            return Err(Error::with_msg(Errno::OPNOTSUPP, text).bad_attr(attr));
        }
    }
    Ok(())
}
