//! The slots for line cards (`core_linecards.c`).
//!
//! Provisioning takes the switch a second, and half a second more until a card that is there and of the right type works; taking it
//! back takes half a second. In two slots there is a card, and the last slot is broken: provisioning it fails. What a
//! slot is provisioned with is in the switch's memory and outlives a reload.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use devlink::{Devl, Linecard, LinecardOps};
use driver_core::{Device, Work, auxiliary};
use lock_order::ChildDevices;
use lockdep::order::{Held, Unlocked};
use netlink::ExtAck;
use rustix::io::Errno;

use crate::device::Spectrum;
use crate::ports::{self, Mapping};
use crate::{CORE_NAME, linecard_dev};

/// A type of line card: its name, its modules, and the lanes of each.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct CardType {
    pub(crate) name: &'static str,
    modules: u32,
    lanes: u32,
}

const TYPES: [CardType; 3] = [
    CardType {
        name: "16x100G",
        modules: 16,
        lanes: 4,
    },
    CardType {
        name: "8x200G",
        modules: 8,
        lanes: 4,
    },
    CardType {
        name: "4x400G",
        modules: 4,
        lanes: 8,
    },
];

const SLOTS: u32 = 8;

/// The cards that are in the switch.
const CARDS: [(u32, &str); 2] = [(1, "16x100G"), (2, "8x200G")];
/// The slot that cannot be provisioned.
const BROKEN: u32 = 8;

const PROVISION_TIME: Duration = Duration::from_millis(1000);
const ACTIVATE_TIME: Duration = Duration::from_millis(500);
const UNPROVISION_TIME: Duration = Duration::from_millis(500);

/// What the switch will say next of a slot.
#[derive(Clone, Copy, Debug)]
enum Event {
    Provisioned(&'static CardType),
    Failed,
    Active,
    Unprovisioned,
}

/// A slot with what the driver has of it (`struct mlxsw_linecard`).
pub(crate) struct Slot {
    index: u32,
    sp: Weak<Spectrum>,
    state: lockdep::Mutex<State>,
    event_work: Work,
}

#[derive(Default)]
struct State {
    /// What the switch remembers.
    provisioned: Option<&'static CardType>,
    next: Option<Event>,
    linecard: Option<Arc<Linecard>>,
    /// The card's device on the auxiliary bus.
    bdev: Option<Arc<Device>>,
    active: bool,
}

/// The slots of a switch.
pub(crate) struct Slots(Vec<Arc<Slot>>);

impl Slots {
    pub(crate) fn new(sp: &Weak<Spectrum>) -> Self {
        let slot = |index| {
            Arc::new_cyclic(|slot: &Weak<Slot>| Slot {
                index,
                sp: Weak::clone(sp),
                state: lockdep::Mutex::named("&linecard->lock", State::default()),
                event_work: Work::on(
                    "(work_completion)(&(&linecard->status_event_to_dw)->work)",
                    Weak::clone(slot),
                    status_event_work,
                ),
            })
        };
        Self((1..=SLOTS).map(slot).collect())
    }
}

impl Slot {
    /// Whether its card works.
    pub(crate) fn is_active(&self) -> bool {
        self.state().active
    }

    /// The slot, while it belongs to an instance.
    pub(crate) fn linecard(&self) -> Option<Arc<Linecard>> {
        self.state().linecard.clone()
    }

    fn state(&self) -> lockdep::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn card(&self) -> Option<&'static CardType> {
        let mut cards = CARDS.iter();
        let (_, name) = cards.find(|(slot, _)| *slot == self.index)?;
        type_of(name)
    }

    fn expect(&self, event: Event, delay: Duration) {
        let Some(sp) = self.sp.upgrade() else {
            return;
        };
        self.state().next = Some(event);
        let wq = sp.module().driver_core().system_wq();
        wq.mod_delayed(&self.event_work, delay);
    }

    /// The switch has set the slot up: its ports appear, and its card's instance.
    fn provision_set(
        self: &Arc<Self>,
        sp: &Spectrum,
        devl: &mut Devl<'_>,
        ty: &'static CardType,
    ) -> Result<(), Errno> {
        let Some(linecard) = self.linecard() else {
            return Ok(());
        };
        let auxiliary = sp.module().driver_core().auxiliary();
        let bdev = auxiliary::auxiliary_device_add(
            &auxiliary,
            &mut devl.held().child_devices(),
            sp.device(),
            CORE_NAME,
            linecard_dev::PART_NAME,
            self.index - 1,
            Arc::clone(self),
        )?;
        {
            let mut state = self.state();
            state.bdev = Some(bdev);
            state.provisioned = Some(ty);
        }
        linecard.provision_set(ty.name);
        for number in 1..=ty.modules {
            let mapping = Mapping {
                slot: Some(self.index),
                number,
                lanes: ty.lanes,
            };
            ports::create_module(sp, devl, mapping)?;
        }
        if self.card() == Some(ty) {
            self.expect(Event::Active, ACTIVATE_TIME);
        }
        Ok(())
    }

    /// The card's instance goes.
    fn bdev_del(&self, sp: &Spectrum, devl: &mut Devl<'_>) {
        let bdev = self.state().bdev.take();
        if let Some(bdev) = bdev {
            let auxiliary = sp.module().driver_core().auxiliary();
            let mut held = devl.held().child_devices();
            auxiliary::auxiliary_device_delete(&auxiliary, &mut held, &bdev);
        }
    }
}

fn type_of(name: &str) -> Option<&'static CardType> {
    const STATIC: &[CardType] = &TYPES;
    STATIC.iter().find(|ty| ty.name == name)
}

/// Creates the slots (`mlxsw_linecards_init`).
pub(crate) fn init(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    for slot in &sp.slots().0 {
        let types = TYPES.iter().map(|ty| ty.name.to_owned()).collect();
        let ops = SlotOps(Arc::downgrade(slot));
        let linecard = devl.linecard_create(slot.index, types, Arc::new(ops))?;
        slot.state().linecard = Some(linecard);
    }
    Ok(())
}

/// The switch tells of the slots that are provisioned already.
pub(crate) fn find_provisioned(sp: &Spectrum, devl: &mut Devl<'_>) -> Result<(), Errno> {
    for slot in &sp.slots().0 {
        let provisioned = slot.state().provisioned;
        if let Some(ty) = provisioned {
            slot.provision_set(sp, devl, ty)?;
        }
    }
    Ok(())
}

/// From here on the switch says nothing more of its slots: what was on its way happens in its memory alone.
pub(crate) fn settle(sp: &Spectrum, devl: &mut Devl<'_>) {
    for slot in &sp.slots().0 {
        // Without waiting: the work item may itself be waiting for the instance, and then finds that nothing is expected.
        slot.event_work.cancel();
        let mut state = slot.state();
        match state.next.take() {
            Some(Event::Provisioned(ty)) => state.provisioned = Some(ty),
            Some(Event::Unprovisioned) => state.provisioned = None,
            Some(Event::Failed | Event::Active) | None => {}
        }
        state.active = false;
        drop(state);
        slot.bdev_del(sp, devl);
    }
}

/// Destroys the slots.
pub(crate) fn fini(sp: &Spectrum, devl: &mut Devl<'_>) {
    for slot in sp.slots().0.iter().rev() {
        let linecard = slot.state().linecard.take();
        if let Some(linecard) = linecard {
            devl.linecard_destroy(&linecard);
        }
    }
}

/// The switch says what has become of a slot.
fn status_event_work(slot: &Arc<Slot>, held: &mut Held<'_, Unlocked>) {
    let Some(sp) = slot.sp.upgrade() else {
        return;
    };
    let Some(devlink) = sp.devlink() else {
        return;
    };
    let mut devl = devlink.lock(held);
    let (event, linecard) = {
        let mut state = slot.state();
        (state.next.take(), state.linecard.clone())
    };
    let (Some(event), Some(linecard)) = (event, linecard) else {
        return;
    };
    match event {
        Event::Provisioned(ty) => {
            if let Err(errno) = slot.provision_set(&sp, &mut devl, ty) {
                let index = slot.index;
                sp.device().err(format_args!(
                    "linecard {index}: Failed to set provisioning: {errno}"
                ));
                ports::remove_slot(&sp, &mut devl, index);
                linecard.provision_fail();
            }
        }
        Event::Failed => {
            let index = slot.index;
            sp.device().err(format_args!(
                "linecard {index}: Timeout reached waiting on provision status event"
            ));
            linecard.provision_fail();
        }
        Event::Active => {
            slot.state().active = true;
            linecard.activate();
        }
        Event::Unprovisioned => {
            slot.bdev_del(&sp, &mut devl);
            slot.state().provisioned = None;
            linecard.provision_clear();
        }
    }
}

/// What a user asks of a slot.
struct SlotOps(Weak<Slot>);

impl SlotOps {
    fn slot(&self) -> Result<(Arc<Slot>, Arc<Spectrum>), Errno> {
        let slot = self.0.upgrade().ok_or(Errno::NODEV)?;
        let sp = slot.sp.upgrade().ok_or(Errno::NODEV)?;
        Ok((slot, sp))
    }
}

impl LinecardOps for SlotOps {
    fn provision(
        &self,
        _devl: &mut Devl<'_>,
        _linecard: &Arc<Linecard>,
        ty: &str,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let (slot, _) = self.slot()?;
        let ty = type_of(ty).ok_or(Errno::INVAL)?;
        let event = match slot.index {
            BROKEN => Event::Failed,
            _ => Event::Provisioned(ty),
        };
        slot.expect(event, PROVISION_TIME);
        Ok(())
    }

    fn unprovision(
        &self,
        devl: &mut Devl<'_>,
        linecard: &Arc<Linecard>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let (slot, sp) = self.slot()?;
        ports::remove_slot(&sp, devl, slot.index);
        if std::mem::take(&mut slot.state().active) {
            linecard.deactivate();
        }
        slot.expect(Event::Unprovisioned, UNPROVISION_TIME);
        Ok(())
    }

    fn same_provision(&self, linecard: &Linecard, ty: &str) -> bool {
        // Called with the line card's state locked: what is provisioned the slot knows itself.
        _ = linecard;
        let slot = self.0.upgrade();
        slot.is_some_and(|slot| slot.state().provisioned.is_some_and(|set| set.name == ty))
    }
}
