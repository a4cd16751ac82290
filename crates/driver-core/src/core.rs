//! One simulated machine's worth of driver core.

use std::fmt;
use std::sync::{Arc, OnceLock};

use kernfs::{Dir, Tree};
use lock_order::DeviceLock;
use lockdep::order::{Before, Held};

use crate::auxiliary::AuxiliaryBusType;
use crate::bus::{Bus, BusType, lock};
use crate::clock::{Clock, RealClock};
use crate::firmware::{FirmwareFiles, FirmwareLoader};
use crate::klog::Klog;
use crate::pci::PciBusType;
use crate::rng::{Rng, SeededRng};
use crate::workqueue::{WorkerPool, Workqueue};

/// What the build of the machine's kernel, and not only its version, shows of itself in devices' directories. The default is a
/// kernel without any of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Build {
    /// `CONFIG_PM`: each device has a directory `power/`.
    pub power_management: bool,
    /// `CONFIG_PTP_1588_CLOCK_MOCK`: simulated network devices have clocks.
    pub mock_clocks: bool,
    /// Network devices show identities of ports that they have not got, which cannot be read: so until 7.0
    /// (`net/core/net-sysfs.c: netdev_phys_is_visible`).
    pub shows_absent_ids: bool,
    /// Queues show limits that nobody heeds: so until 6.8 (`net/core/net-sysfs.c: netdev_uses_bql`).
    pub shows_unused_limits: bool,
}

/// Clock, log, random numbers, buses and workers of one machine.
pub struct DriverCore {
    clock: Arc<dyn Clock>,
    klog: Arc<Klog>,
    rng: Arc<dyn Rng>,
    sysfs: Tree,
    debugfs: Tree,
    build: Arc<OnceLock<Build>>,
    firmware: OnceLock<Arc<dyn FirmwareLoader>>,
    buses: lockdep::Mutex<Vec<Arc<Bus>>>,
    workers: Arc<WorkerPool>,
    system_wq: Workqueue,
}

impl DriverCore {
    /// A machine that runs on this clock and these random numbers, with the buses `pci` and `auxiliary`
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
            build: Arc::default(),
            firmware: OnceLock::new(),
            buses: lockdep::Mutex::named("buses", Vec::new()),
            workers,
            system_wq,
        };
        for dir in ["bus", "class", "devices"] {
            // A new tree is empty.
            let _ = core.sysfs().create_dir(dir);
        }
        core.register_bus(PciBusType::default());
        core.register_bus(AuxiliaryBusType);
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
        let known = buses.iter().find(|bus| bus.name() == bus_type.name());
        let bus = match known {
            Some(bus) => Arc::clone(bus),
            None => {
                let klog = Arc::clone(&self.klog);
                let bus = Bus::with_build(bus_type, klog, Arc::clone(&self.build));
                buses.push(Arc::clone(&bus));
                bus
            }
        };
        if bus.dir().is_none() {
            // There is no other bus of that name, so there is no other directory.
            let _ = bus.make_files(&self.sysfs());
        }
        bus
    }

    /// Takes the directory of the bus of that name out of sysfs (`bus_unregister`). The bus itself stays until it is registered
    /// again: somebody may still be about to put a device on it.
    pub fn unregister_bus(&self, name: &str) {
        if let Some(bus) = self.bus(name) {
            bus.remove_files();
        }
    }

    /// What the kernel's build shows of itself in sysfs.
    pub fn build(&self) -> Build {
        self.build.get().copied().unwrap_or_default()
    }

    /// Settles it, before there are devices. `false` if it was settled already.
    pub fn set_build(&self, build: Build) -> bool {
        self.build.set(build).is_ok()
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
        self.register_bus(PciBusType::default())
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
