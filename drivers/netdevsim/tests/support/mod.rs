//! A machine with the driver, and a device as users know it: through its commands and its files.

#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "a part of every test file, which uses a part of it and says what is wrong by panicking"
)]

use std::sync::Arc;

use driver_testkit::{Client, Machine};
use kernfs::{Access, Nobody, Node, View};
use lockdep::order::Held;
use netdevsim::{Config, Netdevsim, NsimDev};
use netlink::KernelVersion;
use rustix::io::Errno;

pub const DEVICE: &str = "netdevsim/netdevsim10";

pub struct Host {
    pub machine: Arc<Machine>,
    pub module: Arc<Netdevsim>,
    /// A client in the first namespace.
    pub client: Client,
}

/// With the device, in the first namespace.
pub fn host(kernel: KernelVersion, ports: u32) -> Host {
    let host = Host::new(Machine::new(kernel), Config::default());
    host.new_device(ports);
    host
}

impl Host {
    /// With the driver, and no device.
    pub fn new(machine: Arc<Machine>, config: Config) -> Self {
        let module = Netdevsim::new(
            machine.driver_core.clone(),
            machine.net_core.clone(),
            machine.devlink.clone(),
            config,
        );
        module.load(&mut Held::root()).unwrap();
        let client = machine.client(machine.init_net());
        Self {
            machine,
            module,
            client,
        }
    }

    /// `echo "10 PORTS" > new_device`
    pub fn new_device(&self, ports: u32) {
        let net = Arc::clone(self.machine.net_core.init_net());
        let added = self.module.new_device(&mut Held::root(), 10, ports, 1, net);
        added.unwrap();
    }

    pub fn nsim(&self) -> Arc<NsimDev> {
        let device = self.module.bus().find_device("netdevsim10").unwrap();
        device.drvdata().unwrap()
    }

    /// A file of the device's debugfs directory; `ENOENT` if there is none.
    pub fn file(&self, path: &str) -> Result<Arc<Node>, Errno> {
        let mut node = Arc::clone(self.machine.driver_core.debugfs().node());
        for part in format!("{DEVICE}/{path}").split('/') {
            node = node.lookup(View(0), part).ok_or(Errno::NOENT)?;
        }
        Ok(node)
    }

    /// `cat PATH`
    pub fn cat(&self, path: &str) -> Result<String, Errno> {
        let access = Access {
            read: true,
            write: false,
        };
        let read = self.file(path)?.open(access)?.read(&Nobody, 0, 4096)?;
        Ok(String::from_utf8(read).unwrap())
    }

    /// `echo TEXT > PATH`
    pub fn echo(&self, text: &str, path: &str) -> Result<(), Errno> {
        self.write(format!("{text}\n").as_bytes(), path)
    }

    /// One write of these bytes.
    pub fn write(&self, bytes: &[u8], path: &str) -> Result<(), Errno> {
        let access = Access {
            read: false,
            write: true,
        };
        let file = self.file(path)?.open(access)?;
        file.write(&Nobody, 0, bytes).map(drop)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        let left = self.module.bus().devices();
        assert!(left.is_empty(), "{left:?}");
        assert_eq!(self.machine.devlink.warnings(), 0);
        let reports = lockdep::reports();
        assert!(reports.is_empty(), "{reports:?}");
    }
}
