//! A machine with one device of each driver, a client, and who listens to it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_core::pci;
use driver_testkit::{Client, FAMILY_ID, Machine};
use kernfs::{Access, Nobody, View};
use lockdep::order::Held;
use mlx5::Profile;
use netdevsim::Netdevsim;
use netlink::message::{
    GENL_HDRLEN, MessageHeader, Messages, NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_HDRLEN,
};
use netlink::{KernelVersion, RawAttrs, Writer, attr};

use crate::drivers::Drivers;
use crate::table::{Seen, Table};

pub(crate) struct Stage {
    pub(crate) kernel: KernelVersion,
    pub(crate) machine: Arc<Machine>,
    client: Client,
    monitor: Client,
    netdevsim: Arc<Netdevsim>,
    spectrum: Arc<spectrum::Module>,
    mlx5: Arc<mlx5::Module>,
    table: Table,
    seen: Seen,
}

impl Stage {
    /// The drivers are loaded; no device is there.
    pub(crate) fn new(kernel: KernelVersion) -> Self {
        let Drivers {
            machine,
            netdevsim,
            spectrum,
            mlx5,
        } = Drivers::load(kernel);
        let client = machine.client(machine.init_net());
        let monitor = machine.client(machine.init_net()).monitor();
        Stage {
            kernel,
            machine,
            client,
            monitor,
            netdevsim,
            spectrum,
            mlx5,
            table: Table::read(),
            seen: Seen::default(),
        }
    }

    pub(crate) fn new_netdevsim(&self, id: u32) {
        let net = Arc::clone(self.machine.net_core.init_net());
        let held = &mut Held::root();
        self.netdevsim.new_device(held, id, 2, 1, net).unwrap();
    }

    pub(crate) fn plug_switch(&self, address: &str) {
        let address = address.parse().unwrap();
        self.spectrum.plug(&mut Held::root(), address).unwrap();
    }

    /// A card whose firmware can be changed while it runs.
    pub(crate) fn plug_card(&self, address: &str, profile: &str) {
        let address = address.parse().unwrap();
        let mut profile = Profile::by_name(profile).unwrap();
        profile.reset_levels.live_patch = true;
        self.mlx5.plug(&mut Held::root(), address, profile).unwrap();
    }

    /// `echo 1 > sriov_numvfs`
    pub(crate) fn make_virtual_function(&self, address: &str) {
        let function = self.machine.driver_core.pci().find_device(address);
        pci::sriov::numvfs_store(&mut Held::root(), &function.unwrap(), 1).unwrap();
    }

    /// `echo TEXT > PATH`, in debugfs.
    pub(crate) fn echo(&self, text: &str, path: &str) {
        let mut node = Arc::clone(self.machine.driver_core.debugfs().node());
        for part in path.split('/') {
            node = node.lookup(View(0), part).unwrap();
        }
        let access = Access {
            read: false,
            write: true,
        };
        let file = node.open(access).unwrap();
        file.write(&Nobody, 0, format!("{text}\n").as_bytes())
            .unwrap();
    }

    /// A command that has to be carried out; the handle is `BUS/DEV` or `BUS/DEV/PORT`.
    pub(crate) fn carry_out(
        &mut self,
        command: u8,
        handle: &str,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Vec<Vec<u8>> {
        self.ask(command, false, |w| {
            put_handle(w, handle);
            fill(w);
        })
    }

    /// A dump that has to be carried out.
    pub(crate) fn dump(&mut self, command: u8, fill: impl FnOnce(&mut Writer<'_>)) {
        self.ask(command, true, fill);
    }

    pub(crate) fn ask(
        &mut self,
        command: u8,
        dump: bool,
        fill: impl FnOnce(&mut Writer<'_>),
    ) -> Vec<Vec<u8>> {
        let mut payload = Vec::new();
        fill(&mut Writer::new(&mut payload, 1000, self.kernel));
        let header = MessageHeader {
            len: u32::try_from(NLMSG_HDRLEN + GENL_HDRLEN + payload.len()).unwrap(),
            kind: FAMILY_ID,
            flags: NLM_F_REQUEST | NLM_F_ACK | if dump { NLM_F_DUMP } else { 0 },
            seq: 7,
            portid: 0,
        };
        let request = [&header.to_bytes()[..], &[command, 1, 0, 0], &payload].concat();
        let answer = self.client.deliver(&request);
        let ends = answer.iter().flat_map(|datagram| Messages::new(datagram));
        let ends = ends.filter(|(header, _)| [NLMSG_ERROR, NLMSG_DONE].contains(&header.kind));
        for (_, message) in ends {
            let code = message[NLMSG_HDRLEN..].first_chunk().copied();
            assert_eq!(
                code.map_or(0, i32::from_ne_bytes),
                0,
                "{} {}: {:?}",
                self.kernel,
                self.table.command(command),
                String::from_utf8_lossy(message)
            );
        }
        self.seen.carried_out.insert((command, dump));
        let asked = RawAttrs::new(&payload, 0).map(|found| (command, dump, found.number()));
        self.seen.asked.extend(asked);
        self.seen.datagrams(&self.table, &[request], false);
        self.seen.datagrams(&self.table, &answer, true);
        self.hear();
        answer
    }

    fn hear(&mut self) {
        let heard = self.monitor.take();
        self.seen.datagrams(&self.table, &heard, true);
    }

    /// Asks again and again for an object until an attribute of it has this value.
    pub(crate) fn until(
        &mut self,
        command: u8,
        handle: &str,
        fill: impl Fn(&mut Writer<'_>),
        number: u16,
        value: &[u8],
    ) {
        let start = Instant::now();
        loop {
            let answer = self.carry_out(command, handle, &fill);
            let mut messages = answer.iter().flat_map(|datagram| Messages::new(datagram));
            let (_, message) = messages.next().unwrap();
            let mut attrs = RawAttrs::new(&message[NLMSG_HDRLEN + GENL_HDRLEN..], 0);
            let is = |found: &netlink::RawAttr<'_>| {
                let mut inner = found.nested();
                found.number() == number && found.payload == value
                    || inner.any(|found| found.number() == number && found.payload == value)
            };
            if attrs.any(|found| is(&found)) {
                return;
            }
            assert!(
                start.elapsed() < Duration::from_secs(20),
                "{number} is never {value:?}"
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The devices go; what has been seen.
    pub(crate) fn end(mut self) -> (Table, Seen) {
        let held = &mut Held::root();
        self.netdevsim.unload(held).unwrap();
        self.spectrum.unload(held).unwrap();
        self.mlx5.unload(held).unwrap();
        self.hear();
        assert_eq!(
            self.machine.devlink.warnings(),
            0,
            "{:#?}",
            self.machine.log()
        );
        (self.table, self.seen)
    }
}

pub(crate) fn put_handle(w: &mut Writer<'_>, handle: &str) {
    let mut parts = handle.split('/');
    w.put_str(attr::BUS_NAME, parts.next().unwrap()).unwrap();
    w.put_str(attr::DEV_NAME, parts.next().unwrap()).unwrap();
    if let Some(port) = parts.next() {
        w.put_u32(attr::PORT_INDEX, port.parse().unwrap()).unwrap();
    }
}
