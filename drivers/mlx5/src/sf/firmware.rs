//! What the firmware knows of sub-functions: the commands of both ends (`sf/cmd.c`), and the states between them.

use std::collections::BTreeMap;
use std::sync::PoisonError;

use rustix::io::Errno;

/// The state of a sub-function in the firmware (`enum mlx5_vhca_state`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VhcaState {
    /// It exists.
    Allocated,
    /// Its driver may have it.
    Active,
    /// Its driver has it.
    InUse,
    /// Its driver has it and is to give it back.
    TeardownRequest,
}

#[derive(Debug)]
struct Vhca {
    state: VhcaState,
    /// The number that users know it by (`sw_function_id`).
    sfnum: u32,
}

/// All sub-functions of a physical function, by their ids. A leaf.
#[derive(Debug)]
pub(super) struct Vhcas {
    vhcas: lockdep::Mutex<BTreeMap<u16, Vhca>>,
}

impl Vhcas {
    pub(super) fn new() -> Self {
        Vhcas {
            vhcas: lockdep::Mutex::named("mlx5 vhcas", BTreeMap::new()),
        }
    }

    fn lock(&self) -> lockdep::MutexGuard<'_, BTreeMap<u16, Vhca>> {
        self.vhcas.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `ALLOC_SF`, and the number that goes with it.
    pub(super) fn alloc(&self, fn_id: u16, sfnum: u32) {
        let state = VhcaState::Allocated;
        self.lock().insert(fn_id, Vhca { state, sfnum });
    }

    /// `DEALLOC_SF`
    pub(super) fn dealloc(&self, fn_id: u16) {
        self.lock().remove(&fn_id);
    }

    /// `QUERY_VHCA_STATE`: state and number, if there is such a sub-function.
    pub(super) fn query(&self, fn_id: u16) -> Option<(VhcaState, u32)> {
        self.lock().get(&fn_id).map(|vhca| (vhca.state, vhca.sfnum))
    }

    /// The ids of all that there are.
    pub(super) fn all(&self) -> Vec<u16> {
        self.lock().keys().copied().collect()
    }

    /// `ENABLE_HCA`, at the switch's end.
    pub(super) fn enable_hca(&self, fn_id: u16) -> Result<(), Errno> {
        self.change(fn_id, |state| match state {
            VhcaState::Allocated => Some(VhcaState::Active),
            _ => None,
        })
    }

    /// `DISABLE_HCA`, at the switch's end: what is in use is asked back.
    pub(super) fn disable_hca(&self, fn_id: u16) -> Result<(), Errno> {
        self.change(fn_id, |state| match state {
            VhcaState::Active => Some(VhcaState::Allocated),
            VhcaState::InUse => Some(VhcaState::TeardownRequest),
            _ => None,
        })
    }

    /// `INIT_HCA`, at the driver's end.
    pub(super) fn init_hca(&self, fn_id: u16) -> Result<(), Errno> {
        self.change(fn_id, |state| match state {
            VhcaState::Active => Some(VhcaState::InUse),
            _ => None,
        })
    }

    /// `TEARDOWN_HCA`, at the driver's end.
    pub(super) fn teardown_hca(&self, fn_id: u16) -> Result<(), Errno> {
        self.change(fn_id, |state| match state {
            VhcaState::InUse => Some(VhcaState::Active),
            VhcaState::TeardownRequest => Some(VhcaState::Allocated),
            _ => None,
        })
    }

    /// A command in a state that is not for it fails: `EIO`, as for any command that the firmware refuses so.
    fn change(
        &self,
        fn_id: u16,
        to: impl FnOnce(VhcaState) -> Option<VhcaState>,
    ) -> Result<(), Errno> {
        let mut vhcas = self.lock();
        let vhca = vhcas.get_mut(&fn_id).ok_or(Errno::IO)?;
        vhca.state = to(vhca.state).ok_or(Errno::IO)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_use_is_asked_back() {
        let vhcas = Vhcas::new();
        let state = || vhcas.query(0x8000).unwrap().0;
        vhcas.alloc(0x8000, 88);
        assert_eq!(vhcas.init_hca(0x8000), Err(Errno::IO), "not active");
        vhcas.enable_hca(0x8000).unwrap();
        vhcas.init_hca(0x8000).unwrap();
        vhcas.disable_hca(0x8000).unwrap();
        assert_eq!(state(), VhcaState::TeardownRequest);
        assert_eq!(vhcas.enable_hca(0x8000), Err(Errno::IO), "still in use");
        vhcas.teardown_hca(0x8000).unwrap();
        assert_eq!(state(), VhcaState::Allocated);
    }

    #[test]
    fn a_driver_can_let_go_by_itself() {
        let vhcas = Vhcas::new();
        vhcas.alloc(0x8000, 88);
        vhcas.enable_hca(0x8000).unwrap();
        vhcas.init_hca(0x8000).unwrap();
        vhcas.teardown_hca(0x8000).unwrap();
        assert_eq!(vhcas.query(0x8000), Some((VhcaState::Active, 88)));
    }
}
