//! What a driver states of its traps, groups and policers when it registers them.

use super::{GenericTrap, GenericTrapGroup};

/// Why packets meet a trap (`enum devlink_trap_type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TrapType {
    /// The device drops them. Users decide whether they see them.
    Drop = 0,
    /// The device cannot forward them: there was an exception.
    Exception = 1,
    /// The control plane needs them.
    Control = 2,
}

/// What the device does with the packets of a trap (`enum devlink_trap_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum TrapAction {
    /// It drops them and keeps them to itself.
    Drop = 0,
    /// The processor gets the only copy.
    Trap = 1,
    /// It forwards them, and the processor gets a copy.
    Mirror = 2,
}

impl TrapAction {
    pub(super) const fn from_u8(action: u8) -> Option<Self> {
        match action {
            0 => Some(Self::Drop),
            1 => Some(Self::Trap),
            2 => Some(Self::Mirror),
            _ => None,
        }
    }
}

/// What the device tells of a trapped packet besides the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapMetadata {
    /// The port on which it came in.
    pub in_port: bool,
    /// The cookie of the flow action that trapped it.
    pub fa_cookie: bool,
}

impl TrapMetadata {
    /// The port.
    pub const IN_PORT: Self = Self {
        in_port: true,
        fa_cookie: false,
    };
    /// The port and the flow action's cookie.
    pub const IN_PORT_AND_FA_COOKIE: Self = Self {
        in_port: true,
        fa_cookie: true,
    };
}

/// Which trap: one of those that all drivers have, or one of the driver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrapId {
    /// A generic one.
    Generic(GenericTrap),
    /// The driver's, by a number of its own.
    Driver(u16),
}

/// Which trap group: one of those that all drivers have, or one of the driver's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TrapGroupId {
    /// A generic one.
    Generic(GenericTrapGroup),
    /// The driver's, by a number of its own.
    Driver(u16),
}

/// A kind of packet that the device can hand to the processor (`struct devlink_trap`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trap {
    pub(super) id: TrapId,
    pub(super) name: &'static str,
    pub(super) ty: TrapType,
    pub(super) init_action: TrapAction,
    pub(super) group: TrapGroupId,
    pub(super) metadata: TrapMetadata,
}

impl Trap {
    /// A trap that all drivers call the same (`DEVLINK_TRAP_GENERIC`).
    #[must_use]
    pub const fn generic(
        trap: GenericTrap,
        init_action: TrapAction,
        group: GenericTrapGroup,
        metadata: TrapMetadata,
    ) -> Self {
        Self {
            id: TrapId::Generic(trap),
            name: trap.name(),
            ty: trap.ty(),
            init_action,
            group: TrapGroupId::Generic(group),
            metadata,
        }
    }

    /// A trap of the driver's own (`DEVLINK_TRAP_DRIVER`).
    #[must_use]
    pub const fn driver(
        id: u16,
        name: &'static str,
        ty: TrapType,
        init_action: TrapAction,
        group: TrapGroupId,
        metadata: TrapMetadata,
    ) -> Self {
        Self {
            id: TrapId::Driver(id),
            name,
            ty,
            init_action,
            group,
            metadata,
        }
    }

    /// Which it is.
    #[must_use]
    pub const fn id(&self) -> TrapId {
        self.id
    }

    /// What users call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// Why packets meet it.
    #[must_use]
    pub const fn ty(&self) -> TrapType {
        self.ty
    }

    /// Its action until a user changes it.
    #[must_use]
    pub const fn init_action(&self) -> TrapAction {
        self.init_action
    }

    /// The group that it is in.
    #[must_use]
    pub const fn group(&self) -> TrapGroupId {
        self.group
    }

    /// What comes with its packets.
    #[must_use]
    pub const fn metadata(&self) -> TrapMetadata {
        self.metadata
    }

    pub(super) const fn is_generic(&self) -> bool {
        matches!(self.id, TrapId::Generic(_))
    }
}

/// Traps that share a policer (`struct devlink_trap_group`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapGroup {
    pub(super) id: TrapGroupId,
    pub(super) name: &'static str,
    pub(super) init_policer: u32,
}

impl TrapGroup {
    /// A group that all drivers call the same, bound to the policer of this number, 0 for none
    /// (`DEVLINK_TRAP_GROUP_GENERIC`).
    #[must_use]
    pub const fn generic(group: GenericTrapGroup, init_policer: u32) -> Self {
        Self {
            id: TrapGroupId::Generic(group),
            name: group.name(),
            init_policer,
        }
    }

    /// A group of the driver's own, bound to the policer of this number, 0 for none.
    #[must_use]
    pub const fn driver(id: u16, name: &'static str, init_policer: u32) -> Self {
        Self {
            id: TrapGroupId::Driver(id),
            name,
            init_policer,
        }
    }

    /// Which it is.
    #[must_use]
    pub const fn id(&self) -> TrapGroupId {
        self.id
    }

    /// What users call it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    pub(super) const fn is_generic(&self) -> bool {
        matches!(self.id, TrapGroupId::Generic(_))
    }
}

/// A limit on how many packets of its groups reach the processor (`struct devlink_trap_policer`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrapPolicer {
    /// Its number, not 0.
    pub id: u32,
    /// Packets per second to begin with.
    pub init_rate: u64,
    /// Packets in a burst to begin with.
    pub init_burst: u64,
    /// The most packets per second that can be set.
    pub max_rate: u64,
    /// The fewest.
    pub min_rate: u64,
    /// The most packets in a burst that can be set.
    pub max_burst: u64,
    /// The fewest.
    pub min_burst: u64,
}

impl TrapPolicer {
    pub(super) const fn is_valid(&self) -> bool {
        self.id != 0 && self.max_rate >= self.min_rate && self.max_burst >= self.min_burst
    }
}
