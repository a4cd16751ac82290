//! What one thread does.

use driver_testkit::Client;
use lockdep::order::Held;
use netlink::message::{Messages, NLMSG_DONE, NLMSG_ERROR, NLMSG_HDRLEN};
use netlink::{attr, cmd};

use crate::chore::Chore;
use crate::dictionary::Dictionary;
use crate::requests::{self, Dice, Request};
use crate::watchdog::Pulse;
use crate::world::{ADAPTER, DEVICES, NAMESPACES, SWITCH, World};

/// What is written to files.
const TEXTS: [&str; 16] = [
    "0",
    "1",
    "2",
    "3",
    "4",
    "y",
    "n",
    "",
    "\n",
    "1 2 3",
    "5 02:00:00:00:00:05",
    "any reason\n",
    "-1",
    "aabbcc\n",
    "0:2 1:3",
    "garbage",
];

/// What goes wrong with the adapter.
const FAULTS: [&str; 10] = [
    "vf-delay=20",
    "vf-missing=1",
    "vf-enable=12",
    "eswitch-busy",
    "eswitch-fail",
    "fw-reset",
    "sf-event-delay=20",
    "reset-nack",
    "reload-up=16,on=0000:00:09.0",
    "recover-fail,chance=50%",
];

pub(crate) struct Actor<'a> {
    world: &'a World,
    dictionary: &'a Dictionary,
    dice: Dice,
    chore: Chore,
    /// Commands that nobody has carried out yet.
    wanted: Vec<u8>,
    monitor: Client,
}

impl<'a> Actor<'a> {
    pub(crate) fn new(world: &'a World, dictionary: &'a Dictionary, seed: u64) -> Self {
        let machine = &world.machine;
        Actor {
            world,
            dictionary,
            dice: Dice::new(seed),
            chore: Chore::default(),
            wanted: Vec::new(),
            monitor: machine.client(machine.init_net()).monitor(),
        }
    }

    /// Does one thing.
    pub(crate) fn step(&mut self, pulse: &Pulse) {
        let choice = self.dice.below(1000);
        if choice % 50 == 0 {
            self.wanted = self.world.tally.wanted(self.dictionary.kernel);
        }
        match choice {
            0..780 => self.command(pulse),
            780..900 => self.file(pulse),
            900..940 => self.device(pulse),
            940..960 => self.namespace(pulse),
            960..980 => self.netdev(pulse),
            980..985 => self.fault(pulse),
            985..998 => self.bind(pulse),
            _ => self.module(pulse),
        }
        for datagram in self.monitor.take() {
            assert!(
                Messages::new(&datagram).count() > 0,
                "an empty notification"
            );
        }
    }

    fn command(&mut self, pulse: &Pulse) {
        let dice = &mut self.dice;
        // Most devices are in the first namespace most of the time.
        let from = if dice.chance(70) || self.chore.is_begun() {
            u64::MAX
        } else {
            dice.below(NAMESPACES as u64)
        };
        let to = dice.below(NAMESPACES as u64 + 1);
        let (from, to) = (self.namespace_at(from), self.namespace_at(to));
        let mut client = self.world.machine.client(from);
        if self.dice.chance(5) {
            client = client.unprivileged();
        }
        pulse.beat(|| "looking for something to do".to_owned());
        let aimed = match self.dice.chance(60) {
            true => {
                let kernel = self.dictionary.kernel;
                let wanted = &self.wanted;
                self.chore
                    .next(&mut self.dice, kernel, &client, to.0, wanted)
            }
            false => None,
        };
        let request =
            aimed.unwrap_or_else(|| requests::random(&mut self.dice, self.dictionary, to.0));
        pulse.beat(|| request.text.clone());
        let answer = client.deliver(&request.datagram);
        let mut messages = answer.iter().flat_map(|datagram| Messages::new(datagram));
        let ends = [NLMSG_ERROR, NLMSG_DONE];
        let end = messages.find(|(header, _)| ends.contains(&header.kind));
        let Some((_, end)) = end else {
            panic!("no end of the answer to {}: {answer:?}", request.text);
        };
        // Several answers end in a message without a code.
        let code = &end[NLMSG_HDRLEN..];
        let carried_out = code.is_empty() || code.starts_with(&[0; 4]);
        let tally = &self.world.tally;
        tally.answered(request.half(), carried_out);
        if carried_out {
            deed(&request, from != to)
                .into_iter()
                .for_each(|deed| tally.did(deed));
        }
    }

    fn namespace_at(&self, slot: u64) -> net_core::NetId {
        self.world.namespace(slot.min(NAMESPACES as u64))
    }

    fn file(&mut self, pulse: &Pulse) {
        let dice = &mut self.dice;
        let path = dice.choose(&self.dictionary.files).unwrap();
        let device = format!("netdevsim{}", dice.below(DEVICES));
        let path = path.replace("netdevsim0", &device);
        // Where the kernel makes as many of something as it is told, be modest.
        let text = *dice.choose(&TEXTS).unwrap();
        let text = match text {
            _ if !dice.chance(60) => None,
            "-1" if path.ends_with("max_vfs") => Some("7"),
            // Else sooner or later no device has a driver any more.
            _ if path.ends_with("drivers_autoprobe") => Some("1"),
            _ if path.ends_with("driver_override") => Some("\n"),
            text if path.ends_with("del_device") => Some(text).filter(|_| dice.chance(20)),
            text => Some(text),
        };
        pulse.beat(|| format!("{path} {text:?}"));
        _ = self.world.touch(&path, text.map(str::as_bytes));
    }

    fn device(&mut self, pulse: &Pulse) {
        let (choice, id) = (self.dice.below(20), self.dice.below(DEVICES) as u32);
        let ports = self.dice.below(5) as u32;
        pulse.beat(|| format!("device {choice} {id}"));
        _ = match choice {
            0..10 => self.world.new_device(id, ports),
            10..16 => self.world.del_device(id),
            16 => self.world.plug_switch(),
            17 => self.world.plug_adapter(),
            18 => {
                self.world.unplug(SWITCH);
                self.world.plug_switch()
            }
            _ => {
                self.world.unplug(ADAPTER);
                self.world.plug_adapter()
            }
        };
    }

    fn namespace(&mut self, pulse: &Pulse) {
        let slot = self.dice.below(NAMESPACES as u64);
        pulse.beat(|| format!("namespace {slot}"));
        self.world.turn_namespace(slot);
    }

    fn netdev(&mut self, pulse: &Pulse) {
        let slot = self.dice.below(NAMESPACES as u64 + 1);
        let net = self.namespace_at(slot);
        let (choice, name) = (self.dice.below(3 * 64), self.dice.below(1000));
        pulse.beat(|| format!("network device {choice}"));
        self.world.with_netdev(net, choice, &format!("r{name}"));
    }

    fn bind(&mut self, pulse: &Pulse) {
        let netdevsim = format!("netdevsim{}", self.dice.below(DEVICES));
        let (bus, device, driver) = match self.dice.below(5) {
            0..3 => ("netdevsim", netdevsim.as_str(), "netdevsim"),
            3 => ("pci", SWITCH, "mlxsw_spectrum"),
            _ => ("pci", ADAPTER, "mlx5_core"),
        };
        let unbind = self.dice.chance(50);
        pulse.beat(|| format!("bind {device}, off: {unbind}"));
        let bus = self.world.machine.driver_core.bus(bus).unwrap();
        let held = &mut Held::root();
        _ = match unbind {
            true => bus.unbind(held, device, driver),
            false => bus.bind(held, device, driver),
        };
    }

    fn fault(&mut self, pulse: &Pulse) {
        let fault = *self.dice.choose(&FAULTS).unwrap();
        pulse.beat(|| format!("fault {fault}"));
        self.world.plant(&format!("{fault},times=1"));
    }

    fn module(&mut self, pulse: &Pulse) {
        let which = self.dice.below(3);
        pulse.beat(|| format!("module {which}"));
        self.world.reload_module(which);
    }
}

/// What a request that was carried out did, besides its command.
fn deed(request: &Request, elsewhere: bool) -> Option<&'static str> {
    let value = |number: u16| {
        let found = request.attrs().find(|found| found.number() == number);
        found.map(|found| found.payload)
    };
    let name = value(attr::DEV_NAME.number()).unwrap_or_default();
    let name = String::from_utf8_lossy(name);
    let command = request.half().0;
    let moved = command == cmd::RELOAD && elsewhere && value(attr::NETNS_FD.number()).is_some();
    let switchdev =
        command == cmd::ESWITCH_SET && value(attr::ESWITCH_MODE.number()) == Some(&[1, 0]);
    match name.trim_end_matches('\0') {
        SWITCH if moved => Some("switch moved"),
        ADAPTER if moved => Some("adapter moved"),
        ADAPTER if switchdev => Some("adapter in switchdev mode"),
        name if name.starts_with("netdevsim") && moved => Some("netdevsim moved"),
        name if name.starts_with("netdevsim") && switchdev => Some("netdevsim in switchdev mode"),
        name if name.starts_with("mlx5_core.sf.") => Some("sub-function asked"),
        name if name.starts_with("mlxsw_core.lc.") => Some("line card asked"),
        _ => None,
    }
}
