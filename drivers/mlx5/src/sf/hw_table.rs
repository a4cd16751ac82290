//! The places for sub-functions in the hardware (`sf/hw_table.c`).
//!
//! Each controller, the own host and perhaps another, has a number of them; a sub-function gets the lowest free one, and with
//! it its id. A place whose sub-function is still in use when its port is deleted is not free before the firmware says that
//! its driver has let go.

use std::sync::PoisonError;

use rustix::io::Errno;

use super::FIRST_FUNCTION_ID;
use super::firmware::{VhcaState, Vhcas};
use crate::profile::Profile;

/// One place.
#[derive(Clone, Copy, Debug)]
struct Place {
    sfnum: u32,
    pending_delete: bool,
}

/// The places for one controller's sub-functions (`struct mlx5_sf_hwc_table`).
#[derive(Debug)]
struct Places {
    first: u16,
    most: u16,
    /// As many as were ever needed.
    places: Vec<Option<Place>>,
    /// All below are taken.
    lowest_free: usize,
}

impl Places {
    fn new(first: u16, most: u16) -> Self {
        Places {
            first,
            most,
            places: Vec::new(),
            lowest_free: 0,
        }
    }

    fn free(&mut self, place: usize) {
        self.places[place] = None;
        self.lowest_free = self.lowest_free.min(place);
    }
}

/// All places (`struct mlx5_sf_hw_table`). A leaf.
#[derive(Debug)]
pub(super) struct HwTable {
    /// The own host's, and the other's.
    controllers: lockdep::Mutex<[Places; 2]>,
}

impl HwTable {
    pub(super) fn new(profile: &Profile) -> Self {
        let eswitch = &profile.eswitch;
        let external = FIRST_FUNCTION_ID + eswitch.local_sfs;
        let controllers = [
            Places::new(FIRST_FUNCTION_ID, eswitch.local_sfs),
            Places::new(external, eswitch.external_sfs),
        ];
        HwTable {
            controllers: lockdep::Mutex::named("&table->table_lock", controllers),
        }
    }

    fn lock(&self) -> lockdep::MutexGuard<'_, [Places; 2]> {
        self.controllers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place; returns the sub-function's id (`mlx5_sf_hw_table_sf_alloc`).
    ///
    /// # Errors
    /// `EEXIST` when the controller has a sub-function of this number, `ENOSPC` when no place is free.
    pub(super) fn alloc(
        &self,
        firmware: &Vhcas,
        controller: u32,
        sfnum: u32,
    ) -> Result<u16, Errno> {
        let mut controllers = self.lock();
        let places = &mut controllers[usize::from(controller != 0)];
        if places
            .places
            .iter()
            .flatten()
            .any(|place| place.sfnum == sfnum)
        {
            return Err(Errno::EXIST);
        }
        let free = (places.lowest_free..places.places.len())
            .find(|place| places.places[*place].is_none())
            .unwrap_or(places.places.len());
        if free >= usize::from(places.most) {
            return Err(Errno::NOSPC);
        }
        if free == places.places.len() {
            places.places.push(None);
        }
        places.places[free] = Some(Place {
            sfnum,
            pending_delete: false,
        });
        places.lowest_free = free + 1;
        // There are at most `most`, a u16.
        let fn_id = places.first + free as u16;
        firmware.alloc(fn_id, sfnum);
        Ok(fn_id)
    }

    /// Gives a place back at once (`mlx5_sf_hw_table_sf_free`).
    pub(super) fn free(&self, firmware: &Vhcas, fn_id: u16) {
        self.with(fn_id, |places, place| {
            firmware.dealloc(fn_id);
            places.free(place);
        });
    }

    /// Gives a place back as soon as nobody uses the sub-function (`mlx5_sf_hw_table_sf_deferred_free`).
    pub(super) fn deferred_free(&self, firmware: &Vhcas, fn_id: u16) {
        self.with(fn_id, |places, place| {
            let allocated = matches!(firmware.query(fn_id), Some((VhcaState::Allocated, _)));
            if allocated {
                firmware.dealloc(fn_id);
                places.free(place);
            } else if let Some(place) = &mut places.places[place] {
                place.pending_delete = true;
            }
        });
    }

    /// The firmware has said something (`mlx5_sf_hw_vhca_event`).
    pub(super) fn vhca_event(&self, firmware: &Vhcas, fn_id: u16, state: VhcaState) {
        if state != VhcaState::Allocated {
            return;
        }
        self.with(fn_id, |places, place| {
            if places.places[place].is_some_and(|place| place.pending_delete) {
                firmware.dealloc(fn_id);
                places.free(place);
            }
        });
    }

    /// The host uses nothing any more: its places that wait for that are free (`mlx5_sf_hw_table_esw_changed_event_handler`).
    pub(super) fn host_is_gone(&self, firmware: &Vhcas) {
        let [_, places] = &mut *self.lock();
        for place in 0..places.places.len() {
            if places.places[place].is_some_and(|place| place.pending_delete) {
                firmware.dealloc(places.first + place as u16);
                places.free(place);
            }
        }
    }

    /// Gives all places back (`mlx5_sf_hw_table_dealloc_all`).
    pub(super) fn dealloc_all(&self, firmware: &Vhcas) {
        for places in &mut *self.lock() {
            for (place, taken) in places.places.iter().enumerate() {
                if taken.is_some() {
                    firmware.dealloc(places.first + place as u16);
                }
            }
            places.places.clear();
            places.lowest_free = 0;
        }
    }

    fn with(&self, fn_id: u16, f: impl FnOnce(&mut Places, usize)) {
        let mut controllers = self.lock();
        let found = controllers.iter_mut().find_map(|places| {
            let place = usize::from(fn_id.checked_sub(places.first)?);
            (place < places.places.len()).then_some((places, place))
        });
        if let Some((places, place)) = found {
            f(places, place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lowest_free_place_is_taken_and_numbers_are_unique() {
        let table = HwTable::new(&Profile::connectx_7());
        let firmware = Vhcas::new();
        assert_eq!(table.alloc(&firmware, 0, 88), Ok(0x8000));
        assert_eq!(table.alloc(&firmware, 0, 88), Err(Errno::EXIST));
        assert_eq!(table.alloc(&firmware, 0, 89), Ok(0x8001));
        table.free(&firmware, 0x8000);
        assert_eq!(table.alloc(&firmware, 0, 90), Ok(0x8000));
        assert_eq!(
            table.alloc(&firmware, 1, 1),
            Err(Errno::NOSPC),
            "no places there"
        );
    }

    #[test]
    fn a_place_is_free_when_the_driver_has_let_go() {
        let table = HwTable::new(&Profile::connectx_7());
        let firmware = Vhcas::new();
        let fn_id = table.alloc(&firmware, 0, 88).unwrap();
        firmware.enable_hca(fn_id).unwrap();
        firmware.init_hca(fn_id).unwrap();
        firmware.disable_hca(fn_id).unwrap();
        table.deferred_free(&firmware, fn_id);
        assert_eq!(table.alloc(&firmware, 0, 89), Ok(0x8001), "still in use");
        firmware.teardown_hca(fn_id).unwrap();
        table.vhca_event(&firmware, fn_id, VhcaState::Allocated);
        assert_eq!(table.alloc(&firmware, 0, 90), Ok(0x8000));
    }
}
