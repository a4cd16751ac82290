//! The driver's side of a table: what it matches, what it does, and what is in it.

use rustix::io::Errno;

use super::DpipeHeader;
use crate::core::Devl;

/// A field of a header in a packet, and what is done with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpipeOf {
    /// What is done: `enum devlink_dpipe_match_type` (0 is "field exact") or `enum devlink_dpipe_action_type` (0 is "field
    /// modify").
    pub ty: u32,
    /// Which header, if a packet has several of the kind, as in a tunnel.
    pub header_index: u32,
    /// The header.
    pub header: &'static DpipeHeader,
    /// Number of the header's field.
    pub field_id: u32,
}

impl DpipeOf {
    const fn first(header: &'static DpipeHeader, field_id: u32) -> Self {
        Self {
            ty: 0,
            header_index: 0,
            header,
            field_id,
        }
    }
}

/// What a table matches (`struct devlink_dpipe_match`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpipeMatch(pub DpipeOf);

impl DpipeMatch {
    /// A field has exactly a certain value.
    #[must_use]
    pub const fn field_exact(header: &'static DpipeHeader, field_id: u32) -> Self {
        Self(DpipeOf::first(header, field_id))
    }
}

/// What a table does (`struct devlink_dpipe_action`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DpipeAction(pub DpipeOf);

impl DpipeAction {
    /// A field gets a value.
    #[must_use]
    pub const fn field_modify(header: &'static DpipeHeader, field_id: u32) -> Self {
        Self(DpipeOf::first(header, field_id))
    }
}

/// A value that an entry matches, or gives to a field (`struct devlink_dpipe_value`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DpipeValue<T> {
    /// What is matched or done.
    pub of: T,
    /// The value, in bytes as the host has them.
    pub value: Vec<u8>,
    /// Which bits of the value count; of the same length.
    pub mask: Option<Vec<u8>>,
    /// What the value stands for, such as an interface's index.
    pub mapping: Option<u32>,
}

impl<T> DpipeValue<T> {
    /// A value of which all bits count and which stands for nothing else.
    #[must_use]
    pub fn new(of: T, value: impl Into<Vec<u8>>) -> Self {
        Self {
            of,
            value: value.into(),
            mask: None,
            mapping: None,
        }
    }

    /// The same, standing for this.
    #[must_use]
    pub fn standing_for(mut self, mapping: u32) -> Self {
        self.mapping = Some(mapping);
        self
    }
}

/// An entry of a table (`struct devlink_dpipe_entry`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DpipeEntry {
    /// Its place in the table.
    pub index: u64,
    /// What it matches.
    pub match_values: Vec<DpipeValue<DpipeMatch>>,
    /// What it does.
    pub action_values: Vec<DpipeValue<DpipeAction>>,
    /// How many packets it has matched, if that is counted.
    pub counter: Option<u64>,
}

/// What a driver does for the commands on one table (`struct devlink_dpipe_table_ops`).
pub trait DpipeTableOps: Send + Sync {
    /// What the table does with what it matches.
    fn actions(&self) -> Vec<DpipeAction>;

    /// What the table matches.
    fn matches(&self) -> Vec<DpipeMatch>;

    /// How many entries it has room for.
    fn size_get(&self) -> u64;

    /// What is in it, with counters if they are on.
    ///
    /// # Errors
    ///
    /// Fails the request; `EINVAL` for a table that cannot be looked into.
    fn entries_dump(
        &self,
        devl: &mut Devl<'_>,
        counters_enabled: bool,
    ) -> Result<Vec<DpipeEntry>, Errno> {
        let _ = (devl, counters_enabled);
        Err(Errno::INVAL)
    }

    /// The counters have been turned on or off.
    fn counters_set_update(&self, devl: &mut Devl<'_>, enable: bool) {
        let _ = (devl, enable);
    }
}
