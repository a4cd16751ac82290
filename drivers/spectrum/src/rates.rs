//! Rate objects: a leaf for each port of a module, and the nodes that users make of them.
//!
//! No driver of the family has them; those that have are of adapters, and this has what all of them have together: the rates and the
//! traffic classes of `mlx5`, and priority and weight, within the limits of the scheduler of Intel's `ice`. What is set is only
//! kept, by devlink.

use std::any::Any;
use std::sync::Arc;

use devlink::{Devl, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::device::Spectrum;

/// Priorities are below this.
const PRIORITIES: u32 = 8;
const MAX_WEIGHT: u32 = 200;

/// What the driver keeps of a leaf or node: nothing that devlink does not have.
#[derive(Debug)]
pub(crate) struct Scheduling;

impl RateOps for Spectrum {
    fn provides(&self) -> RateOpSet {
        RateOpSet::of(&[
            RateOp::Node,
            RateOp::LeafTxShare,
            RateOp::LeafTxMax,
            RateOp::LeafTxPriority,
            RateOp::LeafTxWeight,
            RateOp::LeafTcBw,
            RateOp::LeafParent,
            RateOp::NodeTxShare,
            RateOp::NodeTxMax,
            RateOp::NodeTxPriority,
            RateOp::NodeTxWeight,
            RateOp::NodeTcBw,
            RateOp::NodeParent,
        ])
    }

    fn set(
        &self,
        _devl: &mut Devl<'_>,
        _rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let text = match setting {
            RateSetting::TxPriority(PRIORITIES..) => {
                "mlxsw_spectrum: Priority should be less than 8"
            }
            RateSetting::TxWeight(weight) if !(1..=MAX_WEIGHT).contains(&weight) => {
                "mlxsw_spectrum: Weight must be between 1 and 200"
            }
            _ => return Ok(()),
        };
        extack.set_msg(text);
        Err(Errno::INVAL)
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

    fn node_new(
        &self,
        _devl: &mut Devl<'_>,
        _kind: &RateKind,
        _extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        Ok(Arc::new(Scheduling))
    }
}
