//! A reporter as a driver describes it.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use netlink::ExtAck;
use rustix::io::Errno;

use super::Fmsg;
use crate::core::Devl;

type Recover =
    dyn Fn(&mut Devl<'_>, Option<&dyn Any>, &mut ExtAck) -> Result<(), Errno> + Send + Sync;
type TakeDump = dyn Fn(&mut Devl<'_>, &mut Fmsg, Option<&dyn Any>, &mut ExtAck) -> Result<(), Errno>
    + Send
    + Sync;
type Diagnose = dyn Fn(&mut Devl<'_>, &mut Fmsg, &mut ExtAck) -> Result<(), Errno> + Send + Sync;
type Test = dyn Fn(&mut Devl<'_>, &mut ExtAck) -> Result<(), Errno> + Send + Sync;

/// A reporter as a driver describes it (`struct devlink_health_reporter_ops`).
///
/// What it is not given it does not do, and its commands answer `EOPNOTSUPP`. All functions are called with the instance
/// locked; what they return fails the command.
#[derive(Clone)]
pub struct ReporterOps {
    name: &'static str,
    pub(super) recover: Option<Arc<Recover>>,
    pub(super) dump: Option<Arc<TakeDump>>,
    pub(super) diagnose: Option<Arc<Diagnose>>,
    pub(super) test: Option<Arc<Test>>,
    pub(super) default_graceful_period: u64,
    pub(super) default_burst_period: u64,
}

impl ReporterOps {
    /// A reporter of this name.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            recover: None,
            dump: None,
            diagnose: None,
            test: None,
            default_graceful_period: 0,
            default_burst_period: 0,
        }
    }

    /// How to recover; after a report, with what the reporter said of the error.
    #[must_use]
    pub fn recover(
        mut self,
        recover: impl Fn(&mut Devl<'_>, Option<&dyn Any>, &mut ExtAck) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.recover = Some(Arc::new(recover));
        self
    }

    /// How to write down all that is known; after a report, with what the reporter said of the error.
    #[must_use]
    pub fn dump(
        mut self,
        dump: impl Fn(&mut Devl<'_>, &mut Fmsg, Option<&dyn Any>, &mut ExtAck) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.dump = Some(Arc::new(dump));
        self
    }

    /// How to write down the state.
    #[must_use]
    pub fn diagnose(
        mut self,
        diagnose: impl Fn(&mut Devl<'_>, &mut Fmsg, &mut ExtAck) -> Result<(), Errno>
        + Send
        + Sync
        + 'static,
    ) -> Self {
        self.diagnose = Some(Arc::new(diagnose));
        self
    }

    /// How to cause an error, to see whether the reporter notices.
    #[must_use]
    pub fn test(
        mut self,
        test: impl Fn(&mut Devl<'_>, &mut ExtAck) -> Result<(), Errno> + Send + Sync + 'static,
    ) -> Self {
        self.test = Some(Arc::new(test));
        self
    }

    /// The grace period that it begins with, in milliseconds; for reporters that recover.
    #[must_use]
    pub const fn graceful_period(mut self, ms: u64) -> Self {
        self.default_graceful_period = ms;
        self
    }

    /// The burst period that it begins with, in milliseconds; for reporters with a grace period (since kernel 6.19).
    #[must_use]
    pub const fn burst_period(mut self, ms: u64) -> Self {
        self.default_burst_period = ms;
        self
    }

    /// The reporter's name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The rules of `__devlink_health_reporter_create`.
    pub(super) fn verify(&self) -> Option<&'static str> {
        if self.default_graceful_period > 0 && self.recover.is_none() {
            Some("a reporter that does not recover has a grace period")
        } else if self.default_burst_period > 0 && self.default_graceful_period == 0 {
            Some("a reporter has a burst period without a grace period")
        } else {
            None
        }
    }
}

impl fmt::Debug for ReporterOps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReporterOps")
            .field("name", &self.name)
            .field("recover", &self.recover.is_some())
            .field("dump", &self.dump.is_some())
            .field("diagnose", &self.diagnose.is_some())
            .field("test", &self.test.is_some())
            .finish_non_exhaustive()
    }
}
