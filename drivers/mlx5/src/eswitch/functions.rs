//! Which functions have a vport that works: the host's, and virtual ones (`eswitch.c: mlx5_eswitch_*_pf_vf_vports`).
//!
//! An embedded function's switch has two kinds of virtual functions: the host's, of which it hears by events, and its own,
//! which are made as anywhere else.

use std::sync::Arc;

use lock_order::DriverLock;
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use super::{Change, Eswitch, Mode, VPORT_HOST_PF, Vport, VportKind, with_reps};
use crate::core_dev::CoreDev;
use crate::host;

/// The vport of an embedded function's first own virtual function (`ec_vf_vport_base`): behind all that the host can have.
const EC_VF_VPORT_BASE: u16 = 0x4000;

/// The vport of a virtual function of this function's own.
pub(crate) fn own_vf(dev: &CoreDev, vf: u16) -> (VportKind, u16) {
    match dev.is_ecpf() {
        true => (VportKind::EcVf(vf), EC_VF_VPORT_BASE + vf),
        false => (VportKind::Vf(vf), vf + 1),
    }
}

impl Eswitch {
    /// How many virtual functions the function itself has, as far as the switch knows.
    pub(super) fn num_own_vfs(&self, dev: &CoreDev) -> u16 {
        match dev.is_ecpf() {
            true => self.state().num_ec_vfs,
            false => self.num_vfs(),
        }
    }

    /// Another number of them.
    pub(super) fn set_num_own_vfs(&self, dev: &CoreDev, num_vfs: u16) {
        let mut state = self.state();
        match dev.is_ecpf() {
            true => state.num_ec_vfs = num_vfs,
            false => state.num_vfs = num_vfs,
        }
    }

    /// Whether a vport is that of a virtual function of the function's own.
    pub(super) fn is_own_vf(&self, dev: &CoreDev, vport: &Vport) -> bool {
        match vport.kind() {
            VportKind::Vf(_) => !dev.is_ecpf(),
            VportKind::EcVf(_) => true,
            VportKind::HostPf | VportKind::Sf { .. } => false,
        }
    }
}

/// Whether an embedded function can have virtual functions of its own (`mlx5_core_ec_sriov_enabled`).
pub(super) fn ec_sriov_enabled(dev: &CoreDev) -> bool {
    dev.is_ecpf() && dev.module().kernel_is_at_least(6, 5)
}

/// The host has made its virtual functions, or has taken them back: never both at once.
///
/// # Errors
/// Those of ports and representors; the switch then goes on with the number that it had.
pub(crate) fn host_vfs_changed<H: Before<DriverLock>>(
    dev: &Arc<CoreDev>,
    objects: &mut devlink::Objects<'_>,
    held: &mut Held<'_, H>,
    new: u16,
) -> Result<(), Errno> {
    let changed = with_reps(dev, objects, held, |change| {
        let now = change.esw.num_vfs();
        if now > 0 {
            change.unload_host_vf_vports(now);
        } else {
            change.load_host_vf_vports(new)?;
        }
        change.esw.state().num_vfs = new;
        Ok(())
    });
    changed.unwrap_or(Ok(()))
}

impl Change<'_, '_, '_, '_> {
    /// Takes up how many virtual functions there are (`mlx5_eswitch_update_num_of_vfs`).
    pub(super) fn update_num_of_vfs(&self, num_vfs: u16) {
        if let Some(host) = self.dev.host() {
            self.esw.state().num_vfs = host.num_vfs();
            if !ec_sriov_enabled(self.dev) {
                return;
            }
        }
        self.esw.set_num_own_vfs(self.dev, num_vfs);
    }

    /// `mlx5_eswitch_enable_pf_vf_vports`
    ///
    /// # Errors
    /// Those of ports and representors; nothing works then.
    pub(super) fn enable_pf_vf_vports(&mut self) -> Result<(), Errno> {
        let enabled = self.load_all();
        if enabled.is_err() {
            self.disable_pf_vf_vports();
        }
        enabled
    }

    fn load_all(&mut self) -> Result<(), Errno> {
        if self.dev.is_ecpf() || self.esw.mode() == Mode::Legacy {
            let vport = self.vport(VportKind::HostPf, VPORT_HOST_PF);
            self.load_vport(&vport)?;
        }
        host::enable_hca(self.dev, true);
        if self.dev.is_ecpf() {
            self.load_own_vf_vports(self.esw.num_own_vfs(self.dev))?;
            self.load_host_vf_vports(self.esw.num_vfs())
        } else {
            self.load_own_vf_vports(self.esw.num_vfs())
        }
    }

    /// `mlx5_eswitch_disable_pf_vf_vports`: those that are enabled.
    pub(super) fn disable_pf_vf_vports(&mut self) {
        if self.dev.is_ecpf() {
            self.unload_host_vf_vports(self.esw.num_vfs());
        }
        self.unload_own_vf_vports(self.esw.num_own_vfs(self.dev));
        host::enable_hca(self.dev, false);
        if let Some(vport) = self.esw.vport(VPORT_HOST_PF) {
            self.unload_vport(&vport);
        }
    }

    /// `mlx5_eswitch_load_vf_vports`, and where it is an embedded function `mlx5_eswitch_load_ec_vf_vports`.
    ///
    /// # Errors
    /// Those of ports and representors; none of these vports works then.
    pub(super) fn load_own_vf_vports(&mut self, num_vfs: u16) -> Result<(), Errno> {
        if self.dev.is_ecpf() && !ec_sriov_enabled(self.dev) {
            return Ok(());
        }
        let dev = self.dev;
        self.load_vf_vports(num_vfs, |vf| own_vf(dev, vf))
    }

    /// The reverse of [`load_own_vf_vports`](Self::load_own_vf_vports).
    pub(super) fn unload_own_vf_vports(&mut self, num_vfs: u16) {
        let dev = self.dev;
        self.unload_vf_vports(num_vfs, |vf| own_vf(dev, vf));
    }

    fn load_host_vf_vports(&mut self, num_vfs: u16) -> Result<(), Errno> {
        self.load_vf_vports(num_vfs, host_vf)
    }

    fn unload_host_vf_vports(&mut self, num_vfs: u16) {
        self.unload_vf_vports(num_vfs, host_vf);
    }

    fn load_vf_vports(
        &mut self,
        num_vfs: u16,
        which: impl Fn(u16) -> (VportKind, u16) + Copy,
    ) -> Result<(), Errno> {
        for vf in 0..num_vfs {
            let (kind, number) = which(vf);
            let vport = self.vport(kind, number);
            if let Err(errno) = self.load_vport(&vport) {
                self.unload_vf_vports(vf, which);
                return Err(errno);
            }
        }
        Ok(())
    }

    fn unload_vf_vports(&mut self, num_vfs: u16, which: impl Fn(u16) -> (VportKind, u16)) {
        for vf in 0..num_vfs {
            let (_, number) = which(vf);
            if let Some(vport) = self.esw.vport(number) {
                self.unload_vport(&vport);
            }
        }
    }

    fn vport(&self, kind: VportKind, number: u16) -> Arc<Vport> {
        self.esw.vport_or_new(kind, number, self.dev)
    }
}

/// The vport of a virtual function of the host.
fn host_vf(vf: u16) -> (VportKind, u16) {
    (VportKind::Vf(vf), vf + 1)
}
