//! The devlink subsystem, one file an object.
//!
//! Every object's file has the same ladder: the type, its look-ups from a request, **one** encoder that replies, dumps and
//! notifications share, the notifications, the handlers of its commands, the API for drivers.
//!
//! * [`core`]: instances, references, the locked instance; [`subsystem`]: their table, and what happens when a namespace ends
//! * [`dev`]: what an instance shows of itself; [`reload`]: how it is taken down and brought up, here or elsewhere
//! * `nested`: instances inside others; `shared`: instances of several devices
//! * [`param`], [`port`], [`rate`], [`trap`], [`region`], [`resource`], [`health`], [`sb`], [`dpipe`], [`linecard`]: the objects
//!   of an instance
//! * [`info`], [`flash`], [`selftests`]: what firmware the device has, how it gets another, how it tests itself
//! * `notify`: what goes to whom, in which order; `netlink`: the family, which finds and locks what a request is about
//! * [`ops`]: what a driver does for its instance; `bit_set`: what it says that it can
//!
//! The locking in one paragraph: an instance's lock comes after `pernet_ops_rwsem` and the lock of its device and before
//! everything a driver or the network devices have. What is called `devl_*` in the kernel is a method of the locked
//! instance here, and the token it carries lets a driver take only what may follow; a driver that, in its `reload_down`,
//! registers or unregisters a *global* netdevice notifier does not compile, because that takes `pernet_ops_rwsem`.

mod bit_set;
pub mod core;
pub mod dev;
pub mod dpipe;
pub mod flash;
pub mod health;
pub mod info;
pub mod linecard;
mod nested;
mod netlink;
mod notify;
pub mod ops;
pub mod param;
pub mod port;
pub mod rate;
pub mod region;
pub mod reload;
pub mod resource;
pub mod sb;
pub mod selftests;
mod shared;
pub mod subsystem;
pub mod trap;

pub use crate::core::{Devl, Devlink, Objects};
pub use dpipe::{
    DpipeAction, DpipeEntry, DpipeField, DpipeHeader, DpipeMatch, DpipeTableOps, DpipeValue,
};
pub use flash::FlashUpdate;
pub use health::{Fmsg, HealthState, Reporter, ReporterOps};
pub use info::{InfoReq, VersionType};
pub use linecard::{Linecard, LinecardOps, LinecardState};
pub use ops::Ops;
pub use param::{Cmode, Cmodes, Generic, Param, ParamType, ParamValue};
pub use port::{
    Flavour, FnOpstate, FnState, NewPort, NoPortOps, Port, PortAttrs, PortOp, PortOpSet, PortOps,
    PortType,
};
pub use rate::{NoRateOps, RATE_TCS_MAX, Rate, RateKind, RateOp, RateOpSet, RateOps, RateSetting};
pub use region::{Region, RegionOps, SnapshotId};
pub use reload::{ReloadAction, ReloadActions, ReloadDown, ReloadLimit, ReloadLimits};
pub use resource::{NewResource, RESOURCE_ID_PARENT_TOP, ResourceSizeParams, ResourceUnit};
pub use sb::{
    NoSbOps, Sb, SbOccupancy, SbOps, SbPoolInfo, SbPoolType, SbTc, SbTcBind, SbThresholdType,
};
pub use selftests::{SelftestId, SelftestStatus};
pub use subsystem::Subsystem;
pub use trap::{
    GenericTrap, GenericTrapGroup, Trap, TrapAction, TrapCtx, TrapGroup, TrapGroupId, TrapId,
    TrapMetadata, TrapPolicer, TrapType,
};
