//! Health reporters: what a driver watches in its device, what it knows when that breaks, and how it repairs it.
//!
//! A driver reports an error with [`Reporter::report`], from wherever it notices, so **without the instance lock**. The
//! report counts, tells the users, and then, as the user has set it, takes a dump of what the driver knows and recovers
//! the device: each in a critical section of its own. While one error is not recovered another is not attended to, nor
//! within the grace period after a recovery, but for the burst period at its beginning: a device that breaks at once again
//! is not reset for ever.
//!
//! There is no notification when a reporter comes or goes. `HEALTH_REPORTER_RECOVER` tells every change of state.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use lock_order::DevlinkLock;
use lockdep::order::{Before, Held};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::core::{Devl, Devlink, Objects};

mod encode;
mod fmsg;
mod handlers;
mod jiffies;
mod ops;

pub use fmsg::Fmsg;
pub(crate) use handlers::{
    diagnose_doit, dump_clear_doit, dump_get_dumpit, get_doit, get_dump_one, recover_doit,
    set_doit, test_doit, walks_again,
};
use jiffies::Jiffies;
pub use ops::ReporterOps;

/// How a reporter's object is; the number is the one of `DEVLINK_ATTR_HEALTH_REPORTER_STATE`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum HealthState {
    /// As it should be, or recovered.
    #[default]
    Healthy = 0,
    /// An error was reported and not recovered.
    Error = 1,
}

/// A health reporter (`struct devlink_health_reporter`).
pub struct Reporter {
    devlink: Arc<Devlink>,
    port: Option<u32>,
    ops: ReporterOps,
    destroyed: AtomicBool,
    /// What reports change without the instance lock. Never held while the driver runs.
    state: lockdep::Mutex<State>,
}

#[derive(Default)]
struct State {
    health: HealthState,
    error_count: u64,
    recovery_count: u64,
    /// When the last recovery was; with a burst period, the first one within it.
    last_recovery: Option<Jiffies>,
    /// Milliseconds.
    graceful_period: u64,
    /// Milliseconds.
    burst_period: u64,
    auto_recover: bool,
    auto_dump: bool,
    dump: Option<Dump>,
    dumps_taken: u64,
}

/// What the driver knew when it was asked for a dump.
#[derive(Clone)]
struct Dump {
    fmsg: Arc<Fmsg>,
    /// Tells it from every other dump of the reporter.
    number: u64,
    taken: Jiffies,
    /// Nanoseconds since the Unix epoch.
    taken_wall_ns: u64,
}

/// The reporters of an instance: its own under no number, which come first everywhere, those of a port under the port's.
pub(crate) type Reporters = BTreeMap<Option<u32>, Vec<Arc<Reporter>>>;

impl State {
    /// `devlink_health_reporter_in_burst`
    fn in_burst(&self, now: Jiffies) -> bool {
        let from = self.last_recovery.unwrap_or(Jiffies::ZERO);
        from.plus_ms(self.burst_period).is_after(now)
    }

    /// `devlink_health_recover_abort`
    fn recover_is_aborted(&self, before: HealthState, now: Jiffies) -> bool {
        if !self.auto_recover {
            return false;
        }
        if before != HealthState::Healthy {
            return true;
        }
        if self.in_burst(now) {
            return false;
        }
        self.recovery_count > 0
            && self.last_recovery.is_some_and(|last| {
                last.plus_ms(self.burst_period)
                    .plus_ms(self.graceful_period)
                    .is_after(now)
            })
    }

    /// `devlink_health_reporter_recovery_done`
    fn recovery_done(&mut self, now: Jiffies) {
        self.recovery_count += 1;
        if !self.in_burst(now) {
            self.last_recovery = Some(now);
        }
    }
}

impl Reporter {
    /// The reporter's name, unique within its instance or port.
    pub fn name(&self) -> &str {
        self.ops.name()
    }

    /// How its object is.
    pub fn health(&self) -> HealthState {
        self.state().health
    }

    fn state(&self) -> lockdep::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Jiffies {
        Jiffies::now(&**self.devlink.subsystem().clock())
    }

    fn is_destroyed(&self) -> bool {
        self.destroyed.load(Ordering::Acquire)
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reporter")
            .field("devlink", &self.devlink)
            .field("port", &self.port)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}

// The API for drivers.

impl Objects<'_> {
    /// Makes a reporter of the instance (`devl_health_reporter_create`).
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of this name, `EINVAL` if it has a grace period but does not recover, or a burst period but
    /// no grace period.
    pub fn health_reporter_create(&mut self, ops: ReporterOps) -> Result<Arc<Reporter>, Errno> {
        self.health_reporter_create_for(None, ops)
    }

    /// Makes a reporter of a port (`devl_port_health_reporter_create`).
    ///
    /// # Errors
    ///
    /// As [`health_reporter_create`](Self::health_reporter_create); `ENODEV` if there is no such port.
    pub fn port_health_reporter_create(
        &mut self,
        port: u32,
        ops: ReporterOps,
    ) -> Result<Arc<Reporter>, Errno> {
        self.port(port).ok_or(Errno::NODEV)?;
        self.health_reporter_create_for(Some(port), ops)
    }

    fn health_reporter_create_for(
        &mut self,
        port: Option<u32>,
        ops: ReporterOps,
    ) -> Result<Arc<Reporter>, Errno> {
        if self.find_reporter(port, ops.name().as_bytes()).is_some() {
            return Err(Errno::EXIST);
        }
        if let Some(what) = ops.verify() {
            self.devlink()
                .warn_on(true, "devl_health_reporter_create", what);
            return Err(Errno::INVAL);
        }
        let state = State {
            graceful_period: ops.default_graceful_period,
            burst_period: ops.default_burst_period,
            auto_recover: ops.recover.is_some(),
            auto_dump: ops.dump.is_some(),
            ..State::default()
        };
        let reporter = Arc::new(Reporter {
            devlink: Arc::clone(self.devlink()),
            port,
            ops,
            destroyed: AtomicBool::new(false),
            state: lockdep::Mutex::named("&reporter->state", state),
        });
        let reporters = self.state.reporters.entry(port).or_default();
        reporters.push(Arc::clone(&reporter));
        Ok(reporter)
    }

    /// Removes a reporter (`devl_health_reporter_destroy`). A report that is under way finds it gone.
    pub fn health_reporter_destroy(&mut self, reporter: &Arc<Reporter>) {
        reporter.destroyed.store(true, Ordering::Release);
        if let Some(reporters) = self.state.reporters.get_mut(&reporter.port) {
            reporters.retain(|other| !Arc::ptr_eq(other, reporter));
            if reporters.is_empty() {
                self.state.reporters.remove(&reporter.port);
            }
        }
    }

    fn find_reporter(&self, owner: Option<u32>, name: &[u8]) -> Option<&Arc<Reporter>> {
        let reporters = self.state.reporters.get(&owner)?;
        reporters
            .iter()
            .find(|reporter| reporter.name().as_bytes() == name)
    }
}

impl Reporter {
    /// Reports an error (`devlink_health_report`), by somebody who does not hold the instance lock. `ctx` is what the driver
    /// wants its own functions to know of the error.
    ///
    /// # Errors
    ///
    /// `ECANCELED` if there is no recovery because the last error is not recovered or the last recovery is too near,
    /// `ENODEV` if the reporter has gone meanwhile; else those of the driver's recovery, if that is automatic.
    pub fn report<H: Before<DevlinkLock>>(
        self: &Arc<Self>,
        held: &mut Held<'_, H>,
        ctx: Option<&dyn Any>,
    ) -> Result<(), Errno> {
        let now = self.now();
        let before = {
            let mut state = self.state();
            state.error_count += 1;
            std::mem::replace(&mut state.health, HealthState::Error)
        };
        self.notify();
        let (aborted, auto_dump, auto_recover) = {
            let state = self.state();
            let aborted = state.recover_is_aborted(before, now);
            (aborted, state.auto_dump, state.auto_recover)
        };
        if aborted {
            return Err(Errno::CANCELED);
        }
        if auto_dump {
            let mut devl = self.devlink.lock(held);
            if self.is_destroyed() {
                return Err(Errno::NODEV);
            }
            // What cannot be dumped must be recovered all the same.
            _ = self.do_dump(&mut devl, ctx, &mut ExtAck::default());
        }
        if !auto_recover {
            return Ok(());
        }
        let mut devl = self.devlink.lock(held);
        if self.is_destroyed() {
            return Err(Errno::NODEV);
        }
        self.recover(&mut devl, ctx, &mut ExtAck::default())
    }

    /// `devlink_health_reporter_recover`
    fn recover(
        &self,
        devl: &mut Devl<'_>,
        ctx: Option<&dyn Any>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if self.health() == HealthState::Healthy {
            return Ok(());
        }
        let recover = self.ops.recover.as_ref().ok_or(Errno::OPNOTSUPP)?;
        recover(devl, ctx, extack)?;
        let now = self.now();
        {
            let mut state = self.state();
            state.recovery_done(now);
            state.health = HealthState::Healthy;
        }
        self.notify();
        Ok(())
    }

    /// Takes a dump, if there is none (`devlink_health_do_dump`).
    fn do_dump(
        &self,
        devl: &mut Devl<'_>,
        ctx: Option<&dyn Any>,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let Some(dump) = &self.ops.dump else {
            return Ok(());
        };
        if self.state().dump.is_some() {
            return Ok(());
        }
        let fmsg = Fmsg::object(|fmsg| dump(devl, fmsg, ctx, extack))?;
        let clock = self.devlink.subsystem().clock();
        let wall = clock.wall();
        let taken = self.now();
        let mut state = self.state();
        state.dumps_taken += 1;
        state.dump = Some(Dump {
            fmsg: Arc::new(fmsg),
            number: state.dumps_taken,
            taken,
            taken_wall_ns: u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
        });
        Ok(())
    }
}
