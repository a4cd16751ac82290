//! The embedded switch of a physical function (`eswitch.c`, `eswitch_offloads.c`).
//!
//! Every function behind the connector has a *vport*. In legacy mode the switch forwards by MAC address and is invisible; in
//! switchdev mode ([`Mode::Offloads`]) each virtual and sub-function's vport has a devlink port and a representor, a network
//! device at the switch's end. Being enabled is a state of its own: without virtual functions, a legacy switch is not.
//!
//! All of it is done with the instance locked. Two locks of its own come after that: `&esw->mode_lock`, which is only tried,
//! so that who uses the mode is not waited for but reported as "busy", and `reps_lock` while representors come and go.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError};

use devlink::Objects;
use lock_order::DriverLock;
use lockdep::order::{self, Before, Held};
use lockdep::{ClassKey, DynamicClass};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::locking::DriverLocking;
use crate::profile::Profile;
use crate::{lag, rep, sf};

mod functions;
pub(crate) mod mode;
mod port;
mod vport;

pub(crate) use functions::{host_vfs_changed, own_vf};
pub use vport::{Vport, VportKind};

/// The vport number of the uplink, the port with the connector (`MLX5_VPORT_UPLINK`).
pub const VPORT_UPLINK: u16 = 0xffff;

/// The vport number of the physical function of the host, or of the function itself (`MLX5_VPORT_HOST_PF`).
pub const VPORT_HOST_PF: u16 = 0;

static MODE_LOCK: ClassKey = ClassKey::new("&esw->mode_lock");
static REPS_LOCK: ClassKey = ClassKey::new("&esw->offloads.reps_lock");

/// What the switch is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// It forwards by MAC address (`MLX5_ESWITCH_LEGACY`).
    #[default]
    Legacy,
    /// Software decides, by rules and representors (`MLX5_ESWITCH_OFFLOADS`).
    Offloads,
}

/// The embedded switch (`struct mlx5_eswitch`).
pub struct Eswitch {
    /// Only ever tried; whether a change of mode is under way.
    mode_lock: order::Mutex<DriverLock, bool>,
    reps_lock: order::Mutex<DriverLock, Reps>,
    /// A leaf.
    state: lockdep::Mutex<State>,
    /// Those that were ever used, by number: settings outlive the function. A leaf.
    vports: lockdep::Mutex<BTreeMap<u16, Arc<Vport>>>,
    /// Rules and others that need the mode to stay (`user_count`).
    users: AtomicU32,
}

/// Who makes representors (`struct mlx5_eswitch_rep_ops`).
#[derive(Debug, Default)]
pub(crate) struct Reps {
    /// The driver of the Ethernet representors' part is bound.
    pub(crate) eth: bool,
}

#[derive(Debug)]
struct State {
    mode: Mode,
    /// In switchdev mode: nothing is forwarded (`offloads_inactive`).
    inactive: bool,
    inline_mode: u8,
    encap: bool,
    /// The switch is enabled (`MLX5_ESW_FDB_CREATED`).
    fdb_created: bool,
    /// Virtual functions: the function's own, or where it is an embedded one the host's.
    num_vfs: u16,
    /// Virtual functions of an embedded function's own.
    num_ec_vfs: u16,
}

/// `DEVLINK_ESWITCH_INLINE_MODE_*`
pub(crate) const INLINE_NONE: u8 = 0;
pub(crate) const INLINE_LINK: u8 = 1;

/// The devlink index of a vport: the function's id in the upper half, so that indexes are unique in an adapter
/// (`eswitch.h: mlx5_esw_vport_to_devlink_port_index`).
pub const fn vport_to_devlink_port_index(vhca_id: u16, vport: u16) -> u32 {
    (vhca_id as u32) << 16 | vport as u32
}

impl Eswitch {
    pub(crate) fn new(profile: &Profile, locking: DriverLocking) -> Self {
        let (mode_lock, reps_lock) = match locking {
            DriverLocking::Today => (
                order::Mutex::with_class(DynamicClass::new("&esw->mode_lock"), false),
                order::Mutex::with_class(
                    DynamicClass::new("&esw->offloads.reps_lock"),
                    Reps::default(),
                ),
            ),
            DriverLocking::November2021 => (
                order::Mutex::with_class(&MODE_LOCK, false),
                order::Mutex::with_class(&REPS_LOCK, Reps::default()),
            ),
        };
        Eswitch {
            mode_lock,
            reps_lock,
            state: lockdep::Mutex::named(
                "&esw->state_lock",
                State {
                    mode: Mode::Legacy,
                    inactive: false,
                    inline_mode: match profile.eswitch.inline_link {
                        true => INLINE_LINK,
                        false => INLINE_NONE,
                    },
                    encap: true,
                    fdb_created: false,
                    num_vfs: 0,
                    num_ec_vfs: 0,
                },
            ),
            vports: lockdep::Mutex::named("&esw->vports", BTreeMap::new()),
            users: AtomicU32::new(0),
        }
    }

    /// The mode now.
    pub fn mode(&self) -> Mode {
        self.state().mode
    }

    /// How many virtual functions the switch knows of.
    pub fn num_vfs(&self) -> u16 {
        self.state().num_vfs
    }

    /// Somebody needs the mode to stay, as a rule does (`mlx5_esw_get`); takes back with `false`.
    pub fn hold_mode(&self, hold: bool) {
        if hold {
            self.users.fetch_add(1, Ordering::AcqRel);
        } else {
            _ = self
                .users
                .fetch_update(Ordering::AcqRel, Ordering::Acquire, |users| {
                    users.checked_sub(1)
                });
        }
    }

    fn state(&self) -> lockdep::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn vports(&self) -> lockdep::MutexGuard<'_, BTreeMap<u16, Arc<Vport>>> {
        self.vports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The vport of this number, if it was ever used.
    pub(crate) fn vport(&self, number: u16) -> Option<Arc<Vport>> {
        self.vports().get(&number).cloned()
    }

    /// All vports that are enabled, by number.
    pub(crate) fn enabled(&self) -> Vec<Arc<Vport>> {
        let vports = self.vports();
        let enabled = vports.values().filter(|vport| vport.is_enabled());
        enabled.cloned().collect()
    }

    /// The vport of this number, which is `kind`'s; a new one has the function's own settings.
    pub(crate) fn vport_or_new(&self, kind: VportKind, number: u16, dev: &CoreDev) -> Arc<Vport> {
        let mut vports = self.vports();
        let vport = vports
            .entry(number)
            .or_insert_with(|| Arc::new(Vport::new(number, kind, dev)));
        Arc::clone(vport)
    }

    /// Forgets a sub-function's vport, with its settings.
    pub(crate) fn forget_vport(&self, number: u16) {
        let gone = self.vports().remove(&number);
        drop(gone);
    }

    /// Where representors are ordered (`mlx5_esw_reps_block`).
    pub(crate) fn reps_lock(&self) -> &order::Mutex<DriverLock, Reps> {
        &self.reps_lock
    }
}

impl fmt::Debug for Eswitch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Eswitch")
            .field("state", &*self.state())
            .finish_non_exhaustive()
    }
}

/// The switch is set up once in the life of a function (`eswitch.c: mlx5_eswitch_init`).
pub(crate) fn init(dev: &CoreDev) {
    if dev.eswitch().is_none() {
        return;
    }
    let profile = dev.profile();
    dev.info(format_args!(
        "E-Switch: Total vports {}, per vport: max uc({}) max mc({})",
        profile.total_vports(),
        1u32 << profile.log_max_current_uc_list,
        1u32 << profile.log_max_current_mc_list,
    ));
}

/// The end of the switch (`eswitch.c: mlx5_eswitch_cleanup`).
pub(crate) fn cleanup(dev: &CoreDev) {
    if dev.eswitch().is_some() {
        dev.info(format_args!("E-Switch: cleanup"));
    }
}

/// The locks of a switch that is being changed: the objects of its instance, and what `reps_lock` allows.
pub(crate) struct Change<'a, 't, 'h, 'r> {
    pub(crate) dev: &'a Arc<CoreDev>,
    pub(crate) esw: &'a Eswitch,
    pub(crate) objects: &'a mut Objects<'t>,
    pub(crate) reps: &'a mut Reps,
    pub(crate) held: &'h mut Held<'r, DriverLock>,
}

/// Runs `f` with `reps_lock` held; does nothing for a function without a switch.
fn with_reps<R, H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, H>,
    f: impl FnOnce(&mut Change<'_, '_, '_, '_>) -> R,
) -> Option<R> {
    let esw = dev.eswitch()?;
    let (mut reps, mut held) = esw.reps_lock.lock(held);
    Some(f(&mut Change {
        dev,
        esw,
        objects,
        reps: &mut reps,
        held: &mut held,
    }))
}

/// Virtual functions are about to appear (`eswitch.c: mlx5_eswitch_enable`).
///
/// # Errors
/// Those of ports and representors; the switch is then as before.
pub(crate) fn enable<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, H>,
    num_vfs: u16,
) -> Result<(), Errno> {
    lag::disable_change(dev, held);
    let enabled = with_reps(dev, objects, held, |change| {
        if !change.esw.state().fdb_created {
            return change.enable_locked(num_vfs);
        }
        change.load_own_vf_vports(num_vfs)?;
        change.esw.set_num_own_vfs(dev, num_vfs);
        Ok(())
    });
    lag::enable_change(dev, held);
    enabled.unwrap_or(Ok(()))
}

/// Virtual functions go (`eswitch.c: mlx5_eswitch_disable_sriov`): for good with `clear_vf`, else for a reload.
pub(crate) fn disable_sriov<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, H>,
    clear_vf: bool,
) {
    let Some(esw) = dev.eswitch() else { return };
    // Called twice when the driver goes; the second call has nothing to do.
    let num_vfs = esw.num_own_vfs(dev);
    if num_vfs == 0 && esw.num_vfs() == 0 && !clear_vf {
        return;
    }
    dev.info(format_args!("E-Switch: Unload vfs: {}", status(dev)));
    with_reps(dev, objects, held, |change| {
        change.unload_own_vf_vports(num_vfs);
        if clear_vf {
            let mut vports = change.esw.vports();
            vports.retain(|_, vport| !esw.is_own_vf(dev, vport));
        }
    });
    if esw.mode() == Mode::Legacy {
        with_reps(dev, objects, held, |change| change.disable_locked());
    }
    esw.set_num_own_vfs(dev, 0);
}

/// Back to legacy mode with nothing in it (`eswitch.c: mlx5_eswitch_disable`).
pub(crate) fn disable<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    objects: &mut Objects<'_>,
    held: &mut Held<'_, H>,
) {
    let Some(esw) = dev.eswitch() else { return };
    lag::disable_change(dev, held);
    with_reps(dev, objects, held, |change| change.disable_locked());
    let mut state = esw.state();
    state.mode = Mode::Legacy;
    state.inactive = false;
    drop(state);
    lag::enable_change(dev, held);
}

impl Change<'_, '_, '_, '_> {
    /// `eswitch.c: mlx5_eswitch_enable_locked`
    fn enable_locked(&mut self, num_vfs: u16) -> Result<(), Errno> {
        self.update_num_of_vfs(num_vfs);
        let mode = self.esw.mode();
        match mode {
            Mode::Legacy => self.enable_pf_vf_vports()?,
            Mode::Offloads => self.offloads_enable()?,
        }
        self.esw.state().fdb_created = true;
        if let Some(host) = self.dev.host().filter(|_| mode == Mode::Offloads) {
            host.listen();
        }
        self.dev
            .info(format_args!("E-Switch: Enable: {}", status(self.dev)));
        Ok(())
    }

    /// `eswitch.c: mlx5_eswitch_disable_locked`
    fn disable_locked(&mut self) {
        // Its users leave before it does (`mlx5_esw_mode_change_notify`).
        sf::del_all(self);
        if let Some(host) = self.dev.host() {
            host.ignore();
        }
        self.dev
            .info(format_args!("E-Switch: Disable: {}", status(self.dev)));
        let (was_enabled, mode) = {
            let mut state = self.esw.state();
            (std::mem::take(&mut state.fdb_created), state.mode)
        };
        if was_enabled && mode == Mode::Offloads {
            self.offloads_disable();
        } else if was_enabled {
            self.disable_pf_vf_vports();
        }
    }

    /// `eswitch_offloads.c: esw_offloads_enable`
    fn offloads_enable(&mut self) -> Result<(), Errno> {
        self.dev.info(format_args!(
            "E-Switch: Supported tc chains and prios offload"
        ));
        rep::uplink_load(self.dev);
        self.enable_pf_vf_vports()
    }

    /// `eswitch_offloads.c: esw_offloads_disable`
    fn offloads_disable(&mut self) {
        self.disable_pf_vf_vports();
        rep::uplink_unload(self.dev);
    }

    /// A vport begins to work; in switchdev mode with a port and a representor (`eswitch.c: mlx5_eswitch_load_vport`).
    ///
    /// # Errors
    /// Those of the port and the representor; the vport is then as before.
    pub(crate) fn load_vport(&mut self, vport: &Arc<Vport>) -> Result<(), Errno> {
        vport.set_enabled(true);
        if self.esw.mode() == Mode::Legacy {
            return Ok(());
        }
        let loaded = port::port_register(self, vport).and_then(|()| {
            let loaded = rep::load(self, vport);
            if loaded.is_err() {
                port::port_unregister(self, vport);
            }
            loaded
        });
        if loaded.is_err() {
            vport.set_enabled(false);
        }
        loaded
    }

    /// The reverse of [`load_vport`](Self::load_vport); does nothing with a vport that is not enabled.
    pub(crate) fn unload_vport(&mut self, vport: &Arc<Vport>) {
        if !vport.is_enabled() {
            return;
        }
        rep::unload(self, vport);
        port::port_unregister(self, vport);
        vport.set_enabled(false);
    }
}

/// What the log says of the switch. Kernels before 6.5 know no virtual functions of the embedded processor.
fn status(dev: &CoreDev) -> String {
    let Some(esw) = dev.eswitch() else {
        return String::new();
    };
    let mode = match esw.mode() {
        Mode::Legacy => "LEGACY",
        Mode::Offloads => "OFFLOADS",
    };
    let (vfs, active) = (esw.num_vfs(), esw.enabled().len());
    if dev.module().kernel_is_at_least(6, 5) {
        let ec_vfs = esw.state().num_ec_vfs;
        format!("mode({mode}), nvfs({vfs}), necvfs({ec_vfs}), active vports({active})")
    } else {
        format!("mode({mode}), nvfs({vfs}), active vports({active})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indexes_carry_the_function_in_the_upper_half() {
        assert_eq!(vport_to_devlink_port_index(0, VPORT_UPLINK), 65_535);
        assert_eq!(vport_to_devlink_port_index(1, VPORT_UPLINK), 131_071);
        assert_eq!(vport_to_devlink_port_index(1, 0x8000), 98_304);
    }
}
