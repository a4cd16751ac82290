//! One simulated machine's worth of driver core.

use std::fmt;
use std::sync::{Arc, OnceLock};

use kernfs::{Dir, Tree};
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};

use crate::auxiliary::AuxiliaryBusType;
use crate::bus::{Bus, BusType, PlainBus, lock};
use crate::clock::{Clock, RealClock};
use crate::firmware::{FirmwareFiles, FirmwareLoader};
use crate::klog::Klog;
use crate::pci::PciBusType;
use crate::rng::{Rng, SeededRng};
use crate::workqueue::{WorkerPool, Workqueue};

/// Clock, log, random numbers, buses and workers of one machine.
pub struct DriverCore {
    clock: Arc<dyn Clock>,
    klog: Arc<Klog>,
    rng: Arc<dyn Rng>,
    sysfs: Tree,
    debugfs: Tree,
    firmware: OnceLock<Arc<dyn FirmwareLoader>>,
    buses: lockdep::Mutex<Vec<Arc<Bus>>>,
    workers: Arc<WorkerPool>,
    system_wq: Workqueue,
}

impl DriverCore {
    /// A machine that runs on this clock and these random numbers, with the buses `pci`, `auxiliary` and `netdevsim`
    /// and the workqueue `events`. Starts no thread before there is work.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Arc<Self> {
        let klog = Klog::new(Arc::clone(&clock));
        let workers = WorkerPool::new(Arc::clone(&clock), Arc::clone(&klog));
        let system_wq = Workqueue::alloc(&workers, "events", 0);
        let core = DriverCore {
            clock,
            klog,
            rng,
            sysfs: Tree::sysfs(),
            debugfs: Tree::debugfs(),
            firmware: OnceLock::new(),
            buses: lockdep::Mutex::named("buses", Vec::new()),
            workers,
            system_wq,
        };
        for dir in ["bus", "class"] {
            // A new tree is empty.
            let _ = core.sysfs().create_dir(dir);
        }
        core.register_bus(PciBusType);
        core.register_bus(AuxiliaryBusType);
        core.register_bus(PlainBus::new("netdevsim"));
        Arc::new(core)
    }

    /// A machine that runs on the operating system's time, with random numbers from `seed`.
    pub fn real_time(seed: u64) -> Arc<Self> {
        DriverCore::new(Arc::new(RealClock::new()), Arc::new(SeededRng::new(seed)))
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The log.
    pub fn klog(&self) -> &Arc<Klog> {
        &self.klog
    }

    /// The random numbers.
    pub fn rng(&self) -> &Arc<dyn Rng> {
        &self.rng
    }

    /// What is below `/sys`.
    pub fn sysfs(&self) -> Dir {
        self.sysfs.root()
    }

    /// What is below `/sys/kernel/debug`.
    pub fn debugfs(&self) -> Dir {
        self.debugfs.root()
    }

    /// Where drivers find firmware: the kernel's directories unless [`set_firmware`](Self::set_firmware) came first.
    pub fn firmware(&self) -> &Arc<dyn FirmwareLoader> {
        self.firmware.get_or_init(|| Arc::new(FirmwareFiles::new()))
    }

    /// Lets drivers find firmware elsewhere. `false` if it is settled already where.
    pub fn set_firmware(&self, loader: Arc<dyn FirmwareLoader>) -> bool {
        self.firmware.set(loader).is_ok()
    }

    /// The workers that all workqueues share.
    pub fn workers(&self) -> &Arc<WorkerPool> {
        &self.workers
    }

    /// The workqueue for what has none of its own (`system_wq`, called `events`).
    pub fn system_wq(&self) -> &Workqueue {
        &self.system_wq
    }

    /// Registers a bus of this type (`bus_register`); if there is one of that name, it is the one returned.
    pub fn register_bus(&self, bus_type: impl BusType + 'static) -> Arc<Bus> {
        let mut buses = lock(&self.buses);
        if let Some(bus) = buses.iter().find(|bus| bus.name() == bus_type.name()) {
            return Arc::clone(bus);
        }
        let bus = Bus::new(bus_type, Arc::clone(&self.klog));
        if let Some(dir) = self.sysfs().dir("bus") {
            // The list knows of no other bus of that name, so there is no other directory.
            let _ = bus.make_files(&dir);
        }
        buses.push(Arc::clone(&bus));
        bus
    }

    /// The bus of that name.
    pub fn bus(&self, name: &str) -> Option<Arc<Bus>> {
        lock(&self.buses)
            .iter()
            .find(|bus| bus.name() == name)
            .cloned()
    }

    /// All buses, in the order of registration.
    pub fn buses(&self) -> Vec<Arc<Bus>> {
        lock(&self.buses).clone()
    }

    /// The bus `pci`.
    pub fn pci(&self) -> Arc<Bus> {
        self.register_bus(PciBusType)
    }

    /// The bus `auxiliary`.
    pub fn auxiliary(&self) -> Arc<Bus> {
        self.register_bus(AuxiliaryBusType)
    }

    /// Takes the machine apart: drivers and devices leave in reverse, all work is done, the workers end, and who waits
    /// for the log is woken. Every later call finds an empty machine.
    pub fn dismantle<H>(&self, held: &mut Held<'_, H>)
    where
        H: Before<DeviceLock>,
    {
        for bus in self.buses() {
            bus.dismantle(held);
        }
        self.workers.stop();
        self.klog.close();
    }
}

impl fmt::Debug for DriverCore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverCore")
            .field("clock", &self.clock)
            .field("buses", &self.buses())
            .finish_non_exhaustive()
    }
}
