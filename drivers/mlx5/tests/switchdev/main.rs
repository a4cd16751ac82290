//! The eswitch and all that is behind it: virtual functions, representors, sub-functions from `port add` to `port del`, with
//! the driver's own refusals.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod dpu;
mod ends;
mod functions_on_the_bus;
mod modes;
mod rates;
mod sub_functions;
#[path = "../support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_core::pci;
use driver_testkit::{Client, Machine, Refusal};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};
use netlink::attr::{self, port_fn};
use netlink::{KernelVersion, cmd};
use rustix::io::Errno;

const PF0: &str = "pci/0000:00:09.0";
const PF1: &str = "pci/0000:00:09.1";

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
}

fn host_with(kernel: KernelVersion, profile: Profile) -> Host {
    let machine = Machine::new(kernel);
    let config = Config {
        udev_names: true,
        ..Config::default()
    };
    let module = support::plug(&machine, config, profile);
    Host { machine, module }
}

fn host() -> Host {
    host_with(KernelVersion::V7_2, Profile::connectx_7())
}

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }

    fn vfs(&self, function: &str, count: u16) -> Result<(), Errno> {
        let pf = self.machine.driver_core.pci().find_device(function);
        pci::sriov::numvfs_store(&mut Held::root(), &pf.unwrap(), count)
    }

    fn fault(&self, fault: &str) {
        self.module.faults().add(fault.parse().unwrap());
    }

    fn mode(&self, handle: &str, mode: u16) -> Result<(), Refusal> {
        let done = self.client().request(cmd::ESWITCH_SET, handle, |w| {
            w.put_u16(attr::ESWITCH_MODE, mode).unwrap();
        });
        done.map(drop)
    }

    fn port_add(&self, handle: &str, pfnum: u16, sfnum: u32) -> Result<String, Refusal> {
        let reply = self.client().request(cmd::PORT_NEW, handle, |w| {
            w.put_u16(attr::PORT_FLAVOUR, 7).unwrap();
            w.put_u16(attr::PORT_PCI_PF_NUMBER, pfnum).unwrap();
            w.put_u32(attr::PORT_PCI_SF_NUMBER, sfnum).unwrap();
        })?;
        Ok(driver_testkit::text::port(&reply[0]))
    }

    fn port_del(&self, handle: &str) -> Result<(), Refusal> {
        self.client()
            .request(cmd::PORT_DEL, handle, |_| ())
            .map(drop)
    }

    fn state(&self, handle: &str, active: bool) -> Result<(), Refusal> {
        let done = self.client().request(cmd::PORT_SET, handle, |w| {
            w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                w.put_u8(port_fn::STATE, u8::from(active))
            })
            .unwrap();
        });
        done.map(drop)
    }

    fn hw_addr(&self, handle: &str, mac: [u8; 6]) -> Result<(), Refusal> {
        let done = self.client().request(cmd::PORT_SET, handle, |w| {
            w.nest(attr::PORT_FUNCTION.flagged(), |w| {
                w.put_binary(port_fn::HW_ADDR, &mac)
            })
            .unwrap();
        });
        done.map(drop)
    }

    fn port(&self, handle: &str) -> String {
        let ports = self.client().port_show();
        let found = ports.into_iter().find(|port| port.starts_with(handle));
        found.unwrap_or_else(|| panic!("no port {handle}"))
    }

    /// State and opstate of a sub-function, as on the wire.
    fn states(&self, handle: &str) -> Option<(u8, u8)> {
        let port = self.client().request(cmd::PORT_GET, handle, |_| ()).ok()?;
        let function = port[0]
            .attrs()
            .find(|found| found.number() == attr::PORT_FUNCTION.number())?;
        let get = |number| function.nested().find(|found| found.number() == number);
        Some((
            get(port_fn::STATE.number())?.u8()?,
            get(port_fn::OPSTATE.number())?.u8()?,
        ))
    }

    fn has_instance(&self, handle: &str) -> bool {
        let shown = self.client().dev_show();
        shown
            .iter()
            .any(|line| line.starts_with(&format!("{handle}:")))
    }

    #[track_caller]
    fn wait(&self, what: &str, done: impl Fn() -> bool) {
        let start = Instant::now();
        while !done() {
            assert!(
                start.elapsed() < Duration::from_secs(10),
                "{what} does not happen: {:#?}",
                self.machine.log()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        let core = &self.machine.driver_core;
        assert!(core.auxiliary().devices().is_empty());
        let shown = self.client().dev_show();
        assert!(shown.is_empty(), "{shown:?}");
        let mut held = Held::root();
        let rtnl = self.machine.net_core.rtnl_lock(&mut held);
        assert!(rtnl.devices(self.machine.net_core.init_net()).is_empty());
        drop(rtnl);
        assert_eq!(
            self.machine.devlink.warnings(),
            0,
            "{:#?}",
            self.machine.log()
        );
        let reports = lockdep::reports();
        assert!(reports.is_empty(), "{reports:#?}");
    }
}

fn refused<T>(errno: Errno, text: &str) -> Result<T, Refusal> {
    Err(Refusal {
        errno,
        text: text.to_owned(),
    })
}
