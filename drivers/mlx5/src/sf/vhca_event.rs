//! What the firmware tells of sub-functions, and who hears it (`sf/vhca_event.c`).
//!
//! An event says only *which* sub-function has changed. It is handled by a work item, on one of eight queues, always the
//! same one for one sub-function; there the state is asked for, so that what has changed twice is heard of in its last state.
//! With the chain of listeners held for reading, they are told in the order in which they were registered: the table of
//! places, the switch's end, the devices.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use driver_core::{Work, Workqueue};
use lock_order::DriverLock;
use lockdep::order::{self, Held, Unlocked};
use lockdep::{ClassKey, DynamicClass};

use super::{dev as sf_dev, devlink as sf_devlink};
use crate::core_dev::CoreDev;
use crate::fault::Fault;
use crate::locking::DriverLocking;
use crate::module::Module;

/// Queues of a function (`MLX5_DEV_MAX_WQS`).
const QUEUES: usize = 8;

static CHAIN: ClassKey = ClassKey::new("&(&dev->priv.vhca_state_n_head)->rwsem");

/// The events of a function's sub-functions (`struct mlx5_vhca_events`).
pub(super) struct VhcaEvents {
    queues: [Queue; QUEUES],
    chain: order::RwLock<DriverLock, ()>,
    started: AtomicBool,
}

struct Queue {
    wq: Workqueue,
    work: Work,
    events: Arc<Events>,
}

/// The sub-functions that have changed, the first one first. A leaf.
struct Events(lockdep::Mutex<VecDeque<u16>>);

impl Events {
    fn lock(&self) -> lockdep::MutexGuard<'_, VecDeque<u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl VhcaEvents {
    pub(super) fn new(module: &Module, dev: &Weak<CoreDev>, locking: DriverLocking) -> Self {
        let workers = module.driver_core().workers();
        let queues = std::array::from_fn(|number| {
            let events = Arc::new(Events(lockdep::Mutex::named(
                "mlx5 vhca events",
                VecDeque::new(),
            )));
            let handled = Arc::clone(&events);
            Queue {
                wq: Workqueue::alloc_ordered(workers, format!("mlx5_vhca_event{number}")),
                work: Work::on("(work_completion)(&work->work)", Weak::clone(dev), {
                    move |dev, held| mlx5_vhca_state_work_handler(dev, &handled, held)
                }),
                events,
            }
        });
        VhcaEvents {
            queues,
            chain: match locking {
                DriverLocking::Today => {
                    let class = DynamicClass::new("&(&dev->priv.vhca_state_n_head)->rwsem");
                    order::RwLock::with_class(class, ())
                }
                DriverLocking::November2021 => order::RwLock::with_class(&CHAIN, ()),
            },
            started: AtomicBool::new(false),
        }
    }

    pub(super) fn start(&self) {
        self.started.store(true, Ordering::Release);
    }

    pub(super) fn stop(&self) {
        self.started.store(false, Ordering::Release);
        for queue in &self.queues {
            queue.wq.flush();
        }
    }

    /// The firmware raises an event (`mlx5_vhca_state_change_notifier`).
    pub(super) fn raise(&self, fn_id: u16) {
        if !self.started.load(Ordering::Acquire) {
            return;
        }
        let queue = &self.queues[usize::from(fn_id) % QUEUES];
        queue.events.lock().push_back(fn_id);
        queue.wq.queue(&queue.work);
    }
}

#[inline(never)]
fn mlx5_vhca_state_work_handler(
    dev: &Arc<CoreDev>,
    events: &Events,
    held: &mut Held<'_, Unlocked>,
) {
    loop {
        let Some(fn_id) = events.lock().pop_front() else {
            return;
        };
        if let Some(delay) = dev.faults().delay(Fault::SfEventDelay) {
            dev.module().driver_core().clock().sleep(delay);
        }
        mlx5_vhca_event_notify(dev, fn_id, held);
    }
}

#[inline(never)]
fn mlx5_vhca_event_notify(dev: &Arc<CoreDev>, fn_id: u16, held: &mut Held<'_, Unlocked>) {
    let Some(sf) = dev.sf() else { return };
    let Some((state, sfnum)) = sf.firmware.query(fn_id) else {
        return;
    };
    let (_chain, mut held) = sf.events.chain.read(held);
    sf.hw_table.vhca_event(&sf.firmware, fn_id, state);
    sf_devlink::vhca_event(sf, fn_id, state);
    sf_dev::state_change_handler(dev, sf, fn_id, sfnum, state, &mut held);
}
