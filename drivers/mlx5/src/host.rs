//! The host on the other side of a DPU: its physical function, as the firmware tells the embedded one of it.
//!
//! The host has a driver of its own, which nobody here sees. What it does shows in the parameters that the firmware keeps
//! (`HOST_PARAMS`: whether the host's function is in use, how many virtual functions it has made) and in the states of the
//! sub-functions that were made for it. The host can use its function only while the eswitch lets it (`ecpf.c`,
//! `eswitch.c: mlx5_esw_pf_enable_hca`). When the parameters change the firmware raises an event; in switchdev mode a work
//! item asks for them and lets ports come and go (`eswitch_offloads.c: esw_changed_event_handler`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use driver_core::{Work, Workqueue};
use lockdep::order::{Held, Unlocked};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::module::Module;
use crate::{eswitch, sf};

/// The first kernel whose eswitch forgets what the host had in use when the host lets go of its function.
const RESETS_SUB_FUNCTIONS: (u8, u8) = (7, 2);

/// The host behind an embedded function.
pub(crate) struct Host {
    params: lockdep::Mutex<Params>,
    /// Events are listened to (`mlx5_eswitch_event_handler_register`).
    listens: AtomicBool,
    wq: Workqueue,
    /// The work item of `mlx5_esw_funcs_changed_handler`.
    work: Work,
}

/// What the firmware knows of the host's physical function. A leaf.
#[derive(Clone, Copy, Debug)]
struct Params {
    /// The eswitch lets the host use it (`ENABLE_HCA`).
    enabled: bool,
    /// The host has its driver loaded.
    driver: bool,
    /// Virtual functions that the host has made.
    num_vfs: u16,
}

impl Params {
    /// `!host_pf_disabled`
    fn in_use(self) -> bool {
        self.enabled && self.driver
    }
}

impl Host {
    pub(crate) fn new(module: &Module, dev: &Weak<CoreDev>) -> Self {
        let params = Params {
            enabled: false,
            driver: true,
            num_vfs: 0,
        };
        Host {
            params: lockdep::Mutex::named("mlx5 host params", params),
            listens: AtomicBool::new(false),
            wq: Workqueue::alloc_ordered(module.driver_core().workers(), "mlx5_esw_wq"),
            work: Work::on(
                "(work_completion)(&host_work->work)",
                Weak::clone(dev),
                esw_wq_handler,
            ),
        }
    }

    fn lock(&self) -> lockdep::MutexGuard<'_, Params> {
        self.params.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn params(&self) -> Params {
        *self.lock()
    }

    /// Whether the eswitch lets the host use its function (`pf_activated`).
    pub(crate) fn is_enabled(&self) -> bool {
        self.params().enabled
    }

    /// Whether the host's driver has its function.
    pub(crate) fn is_attached(&self) -> bool {
        self.params().in_use()
    }

    /// How many virtual functions the host has made (`host_num_of_vfs`).
    pub(crate) fn num_vfs(&self) -> u16 {
        self.params().num_vfs
    }

    /// From now on events are handled.
    pub(crate) fn listen(&self) {
        self.listens.store(true, Ordering::Release);
    }

    /// From now on they are not; one that waits for the instance's lock finds that out.
    pub(crate) fn ignore(&self) {
        self.listens.store(false, Ordering::Release);
    }

    /// The firmware raises an event (`MLX5_EVENT_TYPE_ESW_FUNCTIONS_CHANGED`).
    fn raise(&self) {
        if self.listens.load(Ordering::Acquire) {
            self.wq.queue(&self.work);
        }
    }
}

/// The driver gives the function up: what was under way is done.
pub(crate) fn drain(dev: &CoreDev) {
    if let Some(host) = dev.host() {
        host.ignore();
        host.work.cancel_sync();
    }
}

/// Lets the host use its function or not (`eswitch.c: mlx5_esw_pf_enable_hca`, `mlx5_esw_pf_disable_hca`).
pub(crate) fn enable_hca(dev: &CoreDev, enabled: bool) {
    change(dev, |params| params.enabled = enabled);
}

/// The host loads or unloads its driver.
///
/// # Errors
/// `ENODEV` for a function that has no host behind it.
pub(crate) fn set_driver(dev: &CoreDev, loaded: bool) -> Result<(), Errno> {
    dev.host().ok_or(Errno::NODEV)?;
    change(dev, |params| params.driver = loaded);
    Ok(())
}

/// The host sets its function's `sriov_numvfs`.
///
/// # Errors
/// As on the host: `ERANGE` for more than there can be, `ENOENT` while it cannot use its function, `EBUSY` when there are
/// some already. `ENODEV` for a function that has no host behind it.
pub(crate) fn set_vfs(dev: &CoreDev, count: u16) -> Result<(), Errno> {
    let host = dev.host().ok_or(Errno::NODEV)?;
    if count > dev.profile().eswitch.external_vfs {
        return Err(Errno::RANGE);
    }
    {
        let mut params = host.lock();
        if !params.in_use() {
            return Err(Errno::NOENT);
        }
        if params.num_vfs == count {
            return Ok(());
        }
        if count > 0 && params.num_vfs > 0 {
            return Err(Errno::BUSY);
        }
        params.num_vfs = count;
    }
    host.raise();
    Ok(())
}

/// Whether the host can use its function changes: its driver takes and leaves what is behind it.
fn change(dev: &CoreDev, f: impl FnOnce(&mut Params)) {
    let Some(host) = dev.host() else { return };
    let in_use = {
        let mut params = host.lock();
        let before = params.in_use();
        f(&mut params);
        if before == params.in_use() {
            return;
        }
        params.num_vfs = 0;
        params.in_use()
    };
    sf::host_driver_changed(dev, in_use);
    host.raise();
}

#[inline(never)]
fn esw_wq_handler(dev: &Arc<CoreDev>, held: &mut Held<'_, Unlocked>) {
    let (Some(host), Some(esw)) = (dev.host(), dev.eswitch()) else {
        return;
    };
    let devlink = dev.devlink();
    let mut devl = devlink.lock(held);
    // The mode may have changed since; what the host has then is what the next change of mode finds.
    if !host.listens.load(Ordering::Acquire) {
        return;
    }
    let params = host.params();
    if !params.in_use() {
        let (major, minor) = RESETS_SUB_FUNCTIONS;
        if dev.module().kernel_is_at_least(major, minor) {
            sf::host_is_gone(dev);
        }
        return;
    }
    if params.num_vfs == esw.num_vfs() {
        return;
    }
    let (objects, held) = devl.parts();
    if let Err(errno) = eswitch::host_vfs_changed(dev, objects, held, params.num_vfs) {
        dev.warn(format_args!(
            "failed to load the ports of the host's functions: {}",
            -errno.raw_os_error()
        ));
    }
}
