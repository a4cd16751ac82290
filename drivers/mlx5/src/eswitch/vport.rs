//! A vport: the switch's end of one function, with the settings that the switch has for it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use devlink::{Port, Reporter};
use net_core::Netdev;

use crate::core_dev::CoreDev;

/// `MLX5_ESW_DEFAULT_SF_COMP_EQS`
const DEFAULT_SF_COMP_EQS: u32 = 8;

/// Whose vport it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VportKind {
    /// The host's physical function, or the function's own.
    HostPf,
    /// The virtual function of this number: the function's own, or where it is an embedded one the host's.
    Vf(u16),
    /// The virtual function of this number of an embedded function's own.
    EcVf(u16),
    /// A sub-function.
    Sf {
        /// Of the host behind this controller; 0 is the own one.
        controller: u32,
        /// The number that users know it by.
        sfnum: u32,
    },
}

/// What the switch says of a function (`struct mlx5_vport_info`).
#[derive(Clone, Debug)]
pub(crate) struct VportInfo {
    /// All zeros: the function may choose.
    pub(crate) mac: [u8; 6],
    pub(crate) roce: bool,
    pub(crate) migratable: bool,
    pub(crate) ipsec_crypto: bool,
    pub(crate) ipsec_packet: bool,
    /// I/O event queues.
    pub(crate) max_io_eqs: u32,
    /// Somebody has said how many (`max_eqs_set`).
    max_io_eqs_set: bool,
}

impl VportInfo {
    /// So many I/O event queues from now on.
    pub(crate) fn set_max_io_eqs(&mut self, max: u32) {
        self.max_io_eqs = max;
        self.max_io_eqs_set = true;
    }

    /// A sub-function is activated: it gets a number of its own, unless somebody has said another
    /// (`mlx5_devlink_port_fn_max_io_eqs_set_sf_default`).
    pub(crate) fn set_max_io_eqs_of_sf(&mut self) {
        if !self.max_io_eqs_set {
            self.set_max_io_eqs(DEFAULT_SF_COMP_EQS);
        }
    }
}

/// One vport (`struct mlx5_vport`).
#[derive(Debug)]
pub struct Vport {
    number: u16,
    kind: VportKind,
    enabled: AtomicBool,
    /// A leaf, read when a port is encoded.
    info: lockdep::Mutex<VportInfo>,
    port: lockdep::Mutex<Option<Arc<Port>>>,
    reporter: lockdep::Mutex<Option<Arc<Reporter>>>,
    netdev: lockdep::Mutex<Option<Arc<Netdev>>>,
}

impl Vport {
    pub(super) fn new(number: u16, kind: VportKind, dev: &CoreDev) -> Self {
        let profile = dev.profile();
        let info = VportInfo {
            mac: match kind {
                // The host's function has one of its own, from the factory.
                VportKind::HostPf => profile.host_mac(dev.dev_index()),
                VportKind::Vf(_) | VportKind::EcVf(_) | VportKind::Sf { .. } => [0; 6],
            },
            roce: profile.roce,
            migratable: false,
            ipsec_crypto: false,
            ipsec_packet: false,
            max_io_eqs: profile.max_io_eqs,
            max_io_eqs_set: false,
        };
        Vport {
            number,
            kind,
            enabled: AtomicBool::new(false),
            info: lockdep::Mutex::named("&esw->state_lock", info),
            port: lockdep::Mutex::named("vport->dl_port", None),
            reporter: lockdep::Mutex::named("dl_port->vnic_reporter", None),
            netdev: lockdep::Mutex::named("rep->netdev", None),
        }
    }

    /// Its number in the switch.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Whose it is.
    pub fn kind(&self) -> VportKind {
        self.kind
    }

    /// Whether it works.
    pub fn is_enabled(&self) -> bool {
        self.enabled.load(Ordering::Acquire)
    }

    pub(super) fn set_enabled(&self, enabled: bool) {
        self.enabled.store(enabled, Ordering::Release);
    }

    pub(crate) fn info(&self) -> lockdep::MutexGuard<'_, VportInfo> {
        self.info.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its devlink port, while it has one.
    pub fn port(&self) -> Option<Arc<Port>> {
        lock(&self.port).clone()
    }

    /// Its port and that one's reporter from now on; returns what was there.
    pub(super) fn set_port(
        &self,
        port: Option<Arc<Port>>,
        reporter: Option<Arc<Reporter>>,
    ) -> (Option<Arc<Port>>, Option<Arc<Reporter>>) {
        (
            std::mem::replace(&mut *lock(&self.port), port),
            std::mem::replace(&mut *lock(&self.reporter), reporter),
        )
    }

    /// Its representor, while it has one.
    pub fn netdev(&self) -> Option<Arc<Netdev>> {
        lock(&self.netdev).clone()
    }

    pub(crate) fn set_netdev(&self, netdev: Option<Arc<Netdev>>) -> Option<Arc<Netdev>> {
        std::mem::replace(&mut *lock(&self.netdev), netdev)
    }
}

fn lock<T>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
