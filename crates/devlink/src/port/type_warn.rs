//! The warning about ports whose driver never says what they are (`net/devlink/port.c: devlink_port_type_warn`).
//!
//! The kernel gives each port a delayed work item. All wait for the same time, so here one item serves all ports: it waits for
//! the one that has been without a type the longest.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use driver_core::Work;
use lockdep::order::{Held, Unlocked};

use super::{Flavour, Port};
use crate::core::Devlink;
use crate::subsystem::Subsystem;

/// For how long a port may be without a type (`DEVLINK_PORT_TYPE_WARN_TIMEOUT`).
const TIMEOUT: Duration = Duration::from_secs(3600);

/// When a port is warned of, and which of those that are then.
pub(super) type Due = (Duration, u64);

/// The ports without a type.
pub(crate) struct TypeWarn {
    waiting: lockdep::Mutex<Waiting>,
    work: Work,
}

#[derive(Default)]
struct Waiting {
    /// The instances of the ports: the warning does not say which port it is.
    ports: BTreeMap<Due, Weak<Devlink>>,
    number: u64,
}

impl TypeWarn {
    pub(crate) fn new(subsystem: &Weak<Subsystem>) -> Self {
        Self {
            waiting: lockdep::Mutex::named("&devlink_port->type_warn_dw", Waiting::default()),
            work: Work::on(
                "(work_completion)(&(&devlink_port->type_warn_dw)->work)",
                Weak::clone(subsystem),
                devlink_port_type_warn,
            ),
        }
    }

    fn waiting(&self) -> lockdep::MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn expired(&self, now: Duration) -> Option<Arc<Devlink>> {
        let mut waiting = self.waiting();
        while let Some(first) = waiting.ports.first_entry() {
            if first.key().0 > now {
                return None;
            }
            if let Some(devlink) = first.remove().upgrade() {
                return Some(devlink);
            }
        }
        None
    }
}

impl Port {
    /// Whether its driver is expected to say what it is; not of ports that never have a device.
    fn type_should_warn(&self) -> bool {
        let flavour = self.attrs.as_ref().map(|attrs| &attrs.flavour);
        !matches!(
            flavour,
            Some(Flavour::Cpu { .. } | Flavour::Dsa { .. } | Flavour::Unused)
        )
    }

    /// From now on the port is without a type.
    pub(super) fn type_warn_schedule(&self) {
        if !self.type_should_warn() {
            return;
        }
        let subsystem = self.devlink.subsystem();
        let warn = subsystem.type_warn();
        let due = {
            let mut waiting = warn.waiting();
            waiting.number += 1;
            let due = (subsystem.clock().now() + TIMEOUT, waiting.number);
            waiting.ports.insert(due, Arc::downgrade(&self.devlink));
            due
        };
        let before = self.type_lock().warn_due.replace(due);
        if let Some(before) = before {
            warn.waiting().ports.remove(&before);
        }
        // Does nothing if it waits already, and that is for a port that is due earlier.
        subsystem
            .net_core()
            .drivers()
            .system_wq()
            .queue_delayed(&warn.work, TIMEOUT);
    }

    /// The port has a type, or goes.
    pub(super) fn type_warn_cancel(&self) {
        let due = self.type_lock().warn_due.take();
        if let Some(due) = due {
            self.devlink
                .subsystem()
                .type_warn()
                .waiting()
                .ports
                .remove(&due);
        }
    }
}

/// Warns of the ports whose time has come.
fn devlink_port_type_warn(subsystem: &Arc<Subsystem>, _held: &mut Held<'_, Unlocked>) {
    let (warn, now) = (subsystem.type_warn(), subsystem.clock().now());
    while let Some(devlink) = warn.expired(now) {
        if let Some(dev) = devlink.dev() {
            dev.warn(format_args!("Type was not set for devlink port."));
        }
    }
    let next = warn.waiting().ports.keys().next().copied();
    if let Some((due, _)) = next {
        let wait = due.saturating_sub(now);
        subsystem
            .net_core()
            .drivers()
            .system_wq()
            .queue_delayed(&warn.work, wait);
    }
}
