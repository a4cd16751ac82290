//! The machine that is fed, and what is asked of its answers.

use std::cell::RefCell;
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use driver_core::{Device, Firmware, FirmwareLoader};
use driver_testkit::{Client, Machine};
use lockdep::order::Held;
use netdevsim::{Config, Netdevsim};
use netlink::KernelVersion;
use netlink::message::{MessageHeader, NLMSG_HDRLEN, align};
use rustix::io::Errno;

use crate::trying;

/// A machine with two devices and a client.
#[derive(Debug)]
pub struct Host {
    machine: Arc<Machine>,
    module: Arc<Netdevsim>,
    client: Client,
}

/// Nobody waits for a flash here.
#[derive(Debug)]
struct NoFirmware;

impl FirmwareLoader for NoFirmware {
    fn request(&self, _device: Option<&Device>, _name: &[u8]) -> Result<Firmware, Errno> {
        Err(Errno::NOENT)
    }
}

/// A rule that netdevsim breaks in the kernel, too: a reload leaves the eswitch's mode, and with it rate nodes, when there is no
/// virtual function (`drivers/net/netdevsim/dev.c: nsim_dev_reload_destroy`).
const KNOWN: &str = "rate objects are left";

/// The devices: one as in the transcripts of the corpus, and one more.
const DEVICES: [(u32, u32); 2] = [(10, 4), (11, 1)];

impl Host {
    /// A fresh machine that shows this kernel.
    pub fn new(kernel: KernelVersion) -> Result<Self> {
        let machine = Machine::new(kernel);
        machine.driver_core.set_firmware(Arc::new(NoFirmware));
        let module = Netdevsim::new(
            machine.driver_core.clone(),
            machine.net_core.clone(),
            machine.devlink.clone(),
            Config::default(),
        );
        let mut held = Held::root();
        module.load(&mut held).map_err(failed("load the module"))?;
        for (id, ports) in DEVICES {
            let net = Arc::clone(machine.net_core.init_net());
            let made = module.new_device(&mut held, id, ports, 1, net);
            made.map_err(failed("make a device"))?;
        }
        let client = machine.client(machine.init_net());
        Ok(Host {
            machine,
            module,
            client,
        })
    }

    /// Sends a datagram and looks at what comes back; the number of messages.
    pub fn exchange(&self, datagram: &[u8]) -> Result<usize> {
        trying(datagram);
        let mut messages = 0;
        for answer in self.client.exchange_raw(datagram) {
            messages += whole_messages(&answer)?;
        }
        Ok(messages)
    }

    /// All is well in the end: every device can still be removed, the driver has broken no rule but the known one, and no lock was
    /// reported.
    pub fn check(self) -> Result<()> {
        trying(b"");
        let mut held = Held::root();
        self.module
            .unload(&mut held)
            .map_err(failed("unload the module"))?;
        let broken: Vec<_> = self
            .machine
            .log()
            .into_iter()
            .filter(|line| line.starts_with("WARNING") && !line.ends_with(KNOWN))
            .collect();
        ensure!(broken.is_empty(), "broken rules: {broken:?}");
        let left = self.module.bus().devices();
        ensure!(left.is_empty(), "left: {left:?}");
        let reports = lockdep::reports();
        ensure!(reports.is_empty(), "lock reports: {reports:#?}");
        Ok(())
    }
}

/// So many datagrams go to one machine in [`exchange`].
const EACH: u32 = 20_000;

thread_local! {
    static MACHINE: RefCell<Option<(Host, u32)>> = const { RefCell::new(None) };
}

/// Sends a datagram to a machine that is made when it is first needed, and is checked and made anew from time to time: for who is
/// given one input after the other and is not told which one is the last.
pub fn exchange(datagram: &[u8]) -> Result<()> {
    MACHINE.with_borrow_mut(|machine| {
        let (host, done) = match machine.take() {
            Some(machine) => machine,
            None => (Host::new(KernelVersion::DEFAULT)?, 0),
        };
        host.exchange(datagram)?;
        match done + 1 {
            EACH => host.check()?,
            done => *machine = Some((host, done)),
        }
        Ok(())
    })
}

fn failed(what: &'static str) -> impl Fn(Errno) -> anyhow::Error {
    move |errno| anyhow!("cannot {what}: {errno}")
}

/// How many messages a datagram is, if it is a row of whole ones.
fn whole_messages(datagram: &[u8]) -> Result<usize> {
    let (mut rest, mut count) = (datagram, 0);
    while !rest.is_empty() {
        let header = MessageHeader::parse(rest);
        let header = header.ok_or_else(|| anyhow!("an answer ends within a header"))?;
        let len = header.len as usize;
        ensure!(
            (NLMSG_HDRLEN..=rest.len()).contains(&len),
            "an answer's message says it is {len} bytes of {}",
            rest.len()
        );
        rest = &rest[align(len).min(rest.len())..];
        count += 1;
    }
    Ok(count)
}
