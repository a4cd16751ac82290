//! The routing tables of the namespaces, as far as drivers mirror them into their devices (`net/core/fib_notifier.c`).
//!
//! The tables are the real kernel's, and only their sizes are asked for ([`FibSource`]). A driver whose device holds so many
//! entries and no more registers a [`FibNotifier`]: that fails when the namespace has more already, and whoever is about
//! to add one asks it first ([`NetCore::fib_entry_add`]). A machine without a source has empty tables.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError};

use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::{Net, NetId};

/// One of the tables of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FibTable {
    /// IPv4 routes, of all tables.
    Ipv4,
    /// IPv4 rules.
    Ipv4Rules,
    /// IPv6 routes, of all tables.
    Ipv6,
    /// IPv6 rules.
    Ipv6Rules,
    /// Nexthop objects: a group counts the weights of its members, a resilient one its buckets.
    Nexthops,
}

impl FibTable {
    /// All of them, in the order in which a new notifier hears of what is there.
    pub const ALL: [Self; 5] = [
        Self::Nexthops,
        Self::Ipv4Rules,
        Self::Ipv4,
        Self::Ipv6Rules,
        Self::Ipv6,
    ];
}

/// Who knows the real tables.
pub trait FibSource: Send + Sync {
    /// How many entries a table of the namespace has, counted as a FIB notifier hears of them.
    ///
    /// # Errors
    /// What the operating system says, for instance because the namespace is gone.
    fn entries(&self, net: &Net, table: FibTable) -> Result<u64, Errno>;

    /// From now on some device limits a table in these namespaces and in no others: who adds an entry there must ask
    /// [`NetCore::fib_entry_add`].
    fn limited(&self, nets: &[NetId]) {
        let _ = nets;
    }
}

/// A device that mirrors the tables of one namespace.
pub trait FibNotifier: Send + Sync {
    /// How many entries of a table it can hold.
    fn max(&self, table: FibTable) -> u64;

    /// What it says to one more.
    fn refusal(&self, table: FibTable) -> FibRefusal;
}

/// Why an entry cannot be added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FibRefusal {
    /// The errno.
    pub errno: Errno,
    /// The text for the user.
    pub text: &'static str,
}

/// What a [`NetCore`] keeps.
pub(crate) struct Fib {
    source: OnceLock<Arc<dyn FibSource>>,
    notifiers: lockdep::Mutex<Vec<(NetId, Arc<dyn FibNotifier>)>>,
}

impl Fib {
    pub(crate) fn new() -> Self {
        Fib {
            source: OnceLock::new(),
            notifiers: lockdep::Mutex::named("fib_notifiers", Vec::new()),
        }
    }

    fn notifiers(&self) -> lockdep::MutexGuard<'_, Vec<(NetId, Arc<dyn FibNotifier>)>> {
        self.notifiers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Fib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fib").finish_non_exhaustive()
    }
}

impl NetCore {
    /// Says where the real tables are; once, before anybody asks.
    pub fn set_fib_source(&self, source: Arc<dyn FibSource>) {
        // A second source would contradict the first.
        _ = self.fib.source.set(source);
    }

    /// How many entries a table of the namespace has; of one that cannot be read, none.
    pub fn fib_entries(&self, net: &Net, table: FibTable) -> u64 {
        let source = self.fib.source.get();
        source.map_or(0, |source| source.entries(net, table).unwrap_or(0))
    }

    /// Registers a device that mirrors the namespace's tables, if it can hold what is there (`register_fib_notifier`,
    /// `register_nexthop_notifier`).
    ///
    /// # Errors
    /// What the notifier says of the first table that is too large.
    pub fn register_fib_notifier(
        &self,
        net: &Net,
        notifier: Arc<dyn FibNotifier>,
    ) -> Result<(), FibRefusal> {
        for table in FibTable::ALL {
            let max = notifier.max(table);
            // Most devices have no limit, and nothing need be counted for them.
            if max < u64::MAX && self.fib_entries(net, table) > max {
                return Err(notifier.refusal(table));
            }
        }
        self.fib.notifiers().push((net.id(), notifier));
        self.tell_limits();
        Ok(())
    }

    /// The opposite (`unregister_fib_notifier`).
    pub fn unregister_fib_notifier(&self, notifier: &Arc<dyn FibNotifier>) {
        self.fib
            .notifiers()
            .retain(|(_, other)| !Arc::ptr_eq(other, notifier));
        self.tell_limits();
    }

    /// Tells the source which namespaces are limited. Under the lock of the list, so that the last word is the right one.
    fn tell_limits(&self) {
        let limits = |notifier: &dyn FibNotifier| {
            FibTable::ALL
                .iter()
                .any(|&table| notifier.max(table) < u64::MAX)
        };
        let notifiers = self.fib.notifiers();
        let mut nets: Vec<NetId> = notifiers
            .iter()
            .filter(|(_, notifier)| limits(&**notifier))
            .map(|&(net, _)| net)
            .collect();
        nets.sort();
        nets.dedup();
        if let Some(source) = self.fib.source.get() {
            source.limited(&nets);
        }
    }

    /// Asks every device that mirrors the namespace's tables whether it can hold one more entry
    /// (`call_fib4_notifiers` with `FIB_EVENT_ENTRY_REPLACE`).
    ///
    /// # Errors
    /// What the first says that cannot.
    pub fn fib_entry_add(&self, net: &Net, table: FibTable) -> Result<(), FibRefusal> {
        let limited: Vec<_> = {
            let notifiers = self.fib.notifiers();
            let here = notifiers.iter().filter(|(of, _)| *of == net.id());
            here.map(|(_, notifier)| Arc::clone(notifier))
                .filter(|notifier| notifier.max(table) < u64::MAX)
                .collect()
        };
        if limited.is_empty() {
            return Ok(());
        }
        let entries = self.fib_entries(net, table);
        match limited
            .iter()
            .find(|notifier| entries >= notifier.max(table))
        {
            Some(notifier) => Err(notifier.refusal(table)),
            None => Ok(()),
        }
    }
}
