//! A parameter as a driver describes it.

use std::fmt;
use std::sync::Arc;

use netlink::ExtAck;
use rustix::io::Errno;

use super::{Cmode, Cmodes, Generic, ParamType, ParamValue};
use crate::core::{Devl, Devlink};

pub(super) type Get =
    dyn Fn(&Devlink, Cmode, &mut ExtAck) -> Result<ParamValue, Errno> + Send + Sync;
pub(super) type Set =
    dyn Fn(&mut Devl<'_>, Cmode, &ParamValue, &mut ExtAck) -> Result<(), Errno> + Send + Sync;
pub(super) type Reset =
    dyn Fn(&mut Devl<'_>, Cmode, &mut ExtAck) -> Result<(), Errno> + Send + Sync;
pub(super) type Validate =
    dyn Fn(&Devlink, &ParamValue, &mut ExtAck) -> Result<(), Errno> + Send + Sync;

/// A parameter as a driver describes it (`struct devlink_param`).
#[derive(Clone)]
pub struct Param {
    pub(super) id: u32,
    pub(super) name: &'static str,
    pub(super) generic: bool,
    pub(super) ty: ParamType,
    pub(super) cmodes: Cmodes,
    pub(super) get: Option<Arc<Get>>,
    pub(super) set: Option<Arc<Set>>,
    pub(super) validate: Option<Arc<Validate>>,
    pub(super) get_default: Option<Arc<Get>>,
    pub(super) reset_default: Option<Arc<Reset>>,
}

impl Param {
    /// A generic parameter; its name and type are fixed.
    #[must_use]
    pub const fn generic(generic: Generic, cmodes: Cmodes) -> Self {
        Self::new(generic.id(), generic.name(), true, generic.ty(), cmodes)
    }

    /// A driver-specific parameter, the driver's `nth` (from 0 on): its place in dumps is after the generic ones, in that order.
    #[must_use]
    pub const fn driver(nth: u32, name: &'static str, ty: ParamType, cmodes: Cmodes) -> Self {
        Self::new(Generic::COUNT + nth, name, false, ty, cmodes)
    }

    const fn new(
        id: u32,
        name: &'static str,
        generic: bool,
        ty: ParamType,
        cmodes: Cmodes,
    ) -> Self {
        Self {
            id,
            name,
            generic,
            ty,
            cmodes,
            get: None,
            set: None,
            validate: None,
            get_default: None,
            reset_default: None,
        }
    }

    /// How to read and write the value in the modes other than driverinit.
    ///
    /// Reading happens for notifications too, wherever they come from: it may take locks of the driver that are leaves, no
    /// declared ones. Writing has the locked instance.
    #[must_use]
    pub fn with(
        mut self,
        get: impl Fn(&Devlink, Cmode, &mut ExtAck) -> Result<ParamValue, Errno> + Send + Sync + 'static,
        set: impl Fn(&mut Devl<'_>, Cmode, &ParamValue, &mut ExtAck) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.get = Some(Arc::new(get));
        self.set = Some(Arc::new(set));
        self
    }

    /// A check of a value that a user wants to set, in any mode.
    #[must_use]
    pub fn validate(
        mut self,
        validate: impl Fn(&Devlink, &ParamValue, &mut ExtAck) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.validate = Some(Arc::new(validate));
        self
    }

    /// What the default is and how to go back to it, in the modes other than driverinit (kernels from 7.0 on).
    #[must_use]
    pub fn with_default(
        mut self,
        get: impl Fn(&Devlink, Cmode, &mut ExtAck) -> Result<ParamValue, Errno> + Send + Sync + 'static,
        reset: impl Fn(&mut Devl<'_>, Cmode, &mut ExtAck) -> Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.get_default = Some(Arc::new(get));
        self.reset_default = Some(Arc::new(reset));
        self
    }

    /// The parameter's number within its instance, by which drivers name it.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The parameter's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// `devlink_param_verify`, and the two rules about functions and modes that registration adds.
    pub(super) fn verify(&self) -> Option<&'static str> {
        let only_driverinit = self.cmodes == Cmodes::DRIVERINIT;
        if !self.generic && Generic::all().any(|generic| generic.name() == self.name) {
            Some("a driver's parameter has the name of a generic one")
        } else if only_driverinit && self.get.is_some() {
            Some("a driverinit parameter has functions")
        } else if !only_driverinit && self.get.is_none() {
            Some("a parameter has no functions")
        } else {
            None
        }
    }
}

impl fmt::Debug for Param {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Param")
            .field("id", &self.id)
            .field("name", &self.name)
            .field("generic", &self.generic)
            .field("ty", &self.ty)
            .field("cmodes", &self.cmodes)
            .finish_non_exhaustive()
    }
}
