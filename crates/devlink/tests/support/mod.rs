//! A machine with made-up namespaces and clients, and a toy driver that shows what the kernel's netdevsim shows of the
//! objects that this crate builds.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of every test file, which uses a part of it"
)]

pub mod client;
pub mod toy;

use std::sync::Arc;

use devlink::Subsystem;
use driver_core::bus::PlainBus;
use driver_core::{Bus, Device, DriverCore, ManualClock, SeededRng};
use lockdep::order::Held;
use net_core::NetCore;
use net_core::testutil::FakeNamespaces;
use netlink::KernelVersion;
use netlink::genl::{Genl, Upstream};

use client::Client;
use toy::{Toy, ToyConfig, ToyDriver};

/// Id of the multicast group `config`.
pub const CONFIG_GROUP: u32 = 5;

pub struct Machine {
    pub drivers: Arc<DriverCore>,
    pub net_core: Arc<NetCore>,
    pub namespaces: Arc<FakeNamespaces>,
    pub genl: Arc<Genl>,
    pub subsystem: Arc<Subsystem>,
    pub bus: Arc<Bus>,
    pub family_id: u16,
}

impl Machine {
    pub fn new(kernel: KernelVersion) -> Self {
        Self::with_family_id(kernel, 21)
    }

    /// A machine whose time stands still until the test moves it on.
    pub fn with_clock(kernel: KernelVersion) -> (Self, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new());
        let rng = Arc::new(SeededRng::new(1));
        let drivers = DriverCore::new(Arc::<ManualClock>::clone(&clock), rng);
        (Self::on(drivers, kernel, 21), clock)
    }

    pub fn with_family_id(kernel: KernelVersion, family_id: u16) -> Self {
        Self::on(DriverCore::real_time(1), kernel, family_id)
    }

    fn on(drivers: Arc<DriverCore>, kernel: KernelVersion, family_id: u16) -> Self {
        let mut held = Held::root();
        let (net_core, namespaces) = FakeNamespaces::machine(Arc::clone(&drivers));
        let genl = Genl::new(kernel, Upstream::None);
        let subsystem = Subsystem::init(&mut held, &net_core, &genl, family_id, CONFIG_GROUP)
            .expect("nothing can fail on a fresh machine");
        let bus = drivers.register_bus(PlainBus::new("netdevsim"));
        let driver = ToyDriver::new(&net_core, &subsystem);
        bus.register_driver(&mut held, Arc::new(driver))
            .expect("the bus has no driver");
        Self {
            drivers,
            net_core,
            namespaces,
            genl,
            subsystem,
            bus,
            family_id,
        }
    }

    /// `echo "NUMBER PORTS" > new_device`, from a process in the first namespace.
    pub fn new_device(&self, number: u32, ports: u32) -> Arc<Toy> {
        self.new_device_with(
            number,
            ToyConfig {
                ports,
                ..ToyConfig::default()
            },
        )
    }

    pub fn new_device_with(&self, number: u32, config: ToyConfig) -> Arc<Toy> {
        let device = Device::new(&self.bus, format!("netdevsim{number}"), None, config);
        self.bus
            .add_device(&mut Held::root(), &device)
            .expect("the device is not there yet");
        device.drvdata().expect("the driver has probed the device")
    }

    /// `echo NUMBER > del_device`.
    pub fn del_device(&self, number: u32) {
        let device = self.bus.find_device(&format!("netdevsim{number}"));
        self.bus
            .remove_device(&mut Held::root(), &device.expect("the device is there"));
    }

    /// A client in the first namespace.
    pub fn client(&self) -> Client {
        Client::new(self, self.net_core.init_net().id())
    }

    /// The log, and that no rule was broken and no lock was taken wrongly.
    pub fn assert_clean(&self) {
        assert_eq!(
            self.subsystem.warnings(),
            0,
            "{}",
            self.drivers.klog().text()
        );
        assert_no_lock_reports();
    }
}

pub fn assert_no_lock_reports() {
    let reports = lockdep::reports();
    let texts: Vec<String> = reports
        .iter()
        .map(|report| report.kernel_text(&lockdep::Banner::default()))
        .collect();
    assert!(texts.is_empty(), "{}", texts.join("\n"));
    let violations = lockdep::order::check_observed();
    assert!(violations.is_empty(), "{violations:#?}");
}
