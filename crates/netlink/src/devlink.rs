//! devlink's family as the table states it: for the subsystem that carries out its commands.

use crate::KernelVersion;
use crate::generated::ops;
use crate::genl::FamilySpec;
use crate::policy::Policy;

/// The multicast group of all notifications, as an index into [`FamilySpec::groups`].
pub const CONFIG_GROUP: usize = 0;

/// What must be found and locked before a command is carried out (`devlink_nl_pre_doit` and its
/// variants).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Nothing.
    Nothing,
    /// The instance.
    Instance,
    /// The instance and one of its ports.
    Port,
    /// The instance, and a port if the request names one.
    PortOptional,
    /// The device's own lock, then the instance.
    Device,
}

/// What commands parse the nests of their requests with (`nla_parse_nested`).
#[derive(Clone, Copy, Debug)]
pub struct NestPolicies {
    /// `PORT_FUNCTION` in `PORT_SET`.
    pub port_function: &'static Policy,
    /// `SELFTESTS` in `SELFTESTS_RUN`.
    pub selftests: &'static Policy,
    /// Each `RATE_TC_BWS` in `RATE_SET` and `RATE_NEW`.
    pub rate_tc_bw: &'static Policy,
}

/// The family as `kernel` has it; for a version between the supported ones, as the one before.
pub fn family(kernel: KernelVersion) -> &'static FamilySpec {
    ops::family(kernel)
}

/// What must be found and locked before a command.
pub fn needs(cmd: u8) -> Needs {
    ops::needs(cmd)
}

/// What the commands of `kernel` parse nests with.
pub fn nests(kernel: KernelVersion) -> NestPolicies {
    ops::nests(kernel)
}
