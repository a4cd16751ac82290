//! A machine with every driver loaded, without devices, on which time is virtual and any firmware is found.

use std::sync::Arc;

use driver_core::{Device, DriverCore, Firmware, FirmwareLoader, SeededRng, VirtualClock};
use driver_testkit::Machine;
use lockdep::order::Held;
use netdevsim::Netdevsim;
use netlink::KernelVersion;
use rustix::io::Errno;

/// Any firmware that is asked for, but one.
#[derive(Debug)]
struct AnyFirmware;

impl FirmwareLoader for AnyFirmware {
    fn request(&self, _device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno> {
        match name {
            b"missing" => Err(Errno::NOENT),
            _ => Ok(Firmware::new(vec![7; 300])),
        }
    }
}

pub(crate) struct Drivers {
    pub(crate) machine: Arc<Machine>,
    pub(crate) netdevsim: Arc<Netdevsim>,
    pub(crate) spectrum: Arc<spectrum::Module>,
    pub(crate) mlx5: Arc<mlx5::Module>,
}

impl Drivers {
    pub(crate) fn load(kernel: KernelVersion) -> Self {
        let core = DriverCore::new(Arc::new(VirtualClock::new()), Arc::new(SeededRng::new(1)));
        assert!(core.set_firmware(Arc::new(AnyFirmware)));
        let machine = Machine::with(kernel, core);
        let parts = || {
            (
                Arc::clone(&machine.driver_core),
                Arc::clone(&machine.net_core),
                Arc::clone(&machine.devlink),
            )
        };
        let (drivers, nets, devlink) = parts();
        let netdevsim = Netdevsim::new(drivers, nets, devlink, netdevsim::Config::default());
        let (drivers, nets, devlink) = parts();
        let spectrum = spectrum::Module::new(drivers, nets, devlink, spectrum::Config::default());
        let (drivers, nets, devlink) = parts();
        let mlx5 = mlx5::Module::new(drivers, nets, devlink, mlx5::Config::default());
        let held = &mut Held::root();
        netdevsim.load(held).unwrap();
        spectrum.load(held).unwrap();
        mlx5.load(held).unwrap();
        Drivers {
            machine,
            netdevsim,
            spectrum,
            mlx5,
        }
    }
}
