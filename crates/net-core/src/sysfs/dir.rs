//! The directory of a network device, and those in it.

use std::sync::{Arc, Weak};

use driver_core::{Build, power};
use kernfs::sysfs::Attribute;
use kernfs::{Directory, DynamicEntry, Kind, View};
use rustix::io::Errno;

use super::attributes::{
    COUNTER, DEVICE, Entry, LIMITS, PHYS_PORT_ID, RX_QUEUE, STATISTICS, TX_QUEUE, Value,
};
use super::place;
use crate::core::DevlinkCompat;
use crate::netdev::Netdev;

/// Which directory it is.
#[derive(Clone, Copy)]
enum Part {
    Device,
    Power,
    Statistics,
    Queues,
    Rx(u32),
    Tx(u32),
    Limits(u32),
}

/// The directory of a network device, or a part of it.
pub(super) struct NetdevDir {
    dev: Weak<Netdev>,
    build: Build,
    devlink: Option<DevlinkCompat>,
    part: Part,
}

impl NetdevDir {
    pub(super) fn new(dev: &Arc<Netdev>, build: Build, devlink: Option<DevlinkCompat>) -> Self {
        NetdevDir {
            dev: Arc::downgrade(dev),
            build,
            devlink,
            part: Part::Device,
        }
    }

    fn part(&self, part: Part) -> Option<DynamicEntry> {
        let dir = NetdevDir {
            dev: Weak::clone(&self.dev),
            part,
            ..*self
        };
        Some(DynamicEntry {
            id: 0,
            mode: 0o755,
            kind: Kind::dynamic(dir),
        })
    }

    /// The part of the directory that the real device's file is in.
    fn prefix(&self) -> String {
        match self.part {
            Part::Device | Part::Power | Part::Queues => String::new(),
            Part::Statistics => "statistics/".to_owned(),
            Part::Rx(queue) => format!("queues/rx-{queue}/"),
            Part::Tx(queue) => format!("queues/tx-{queue}/"),
            Part::Limits(queue) => format!("queues/tx-{queue}/{LIMITS_DIR}/"),
        }
    }

    fn file(&self, (name, can_write, value): Entry) -> DynamicEntry {
        let (shown, stored) = (Weak::clone(&self.dev), Weak::clone(&self.dev));
        let devlink = self.devlink;
        let path = self.prefix() + name;
        let stored_path = path.clone();
        let line = |text: String| if text.is_empty() { text } else { text + "\n" };
        let show = Attribute::ro(move |_| {
            let dev = shown.upgrade().ok_or(Errno::NODEV)?;
            let text = match value {
                // The real device knows what the model hears of later, or never.
                Value::Real(show) => match dev.with_real(|real| real.attribute(&path)) {
                    Some(Some(Err(Errno::NOENT))) | Some(None) | None => show(&dev),
                    Some(Some(text)) => text.map(|text| text.trim_end().to_owned()),
                },
                Value::Model(show) => show(&dev),
                Value::Devlink(show) => match &devlink {
                    Some(devlink) => show(devlink, &dev),
                    None => Err(Errno::OPNOTSUPP),
                },
            };
            text.map(line)
        });
        let attribute = match can_write {
            false => show,
            true => show.with_store(move |cx, text| {
                let dev = stored.upgrade().ok_or(Errno::NODEV)?;
                if !cx.caller().capable_net_admin(dev.net().id().0) {
                    return Err(Errno::PERM);
                }
                let set = dev.with_real(|real| real.set_attribute(&stored_path, text));
                set.flatten().unwrap_or(Err(Errno::OPNOTSUPP))
            }),
        };
        DynamicEntry {
            id: 0,
            mode: if can_write { 0o644 } else { 0o444 },
            kind: Kind::file(attribute),
        }
    }

    fn entries(&self) -> Vec<Entry> {
        match self.part {
            Part::Device => {
                let shown = |entry: &Entry| entry.0 != PHYS_PORT_ID || self.build.shows_absent_ids;
                DEVICE.into_iter().filter(shown).collect()
            }
            Part::Statistics => STATISTICS.map(|name| (name, false, COUNTER)).to_vec(),
            Part::Power | Part::Queues => Vec::new(),
            Part::Rx(_) => RX_QUEUE.to_vec(),
            Part::Tx(_) => TX_QUEUE.to_vec(),
            Part::Limits(_) => LIMITS.to_vec(),
        }
    }
}

/// The directory of a queue's limits.
const LIMITS_DIR: &str = "byte_queue_limits";

/// What a device's directory has besides its attributes.
const OTHERS: [&str; 5] = ["device", "queues", "statistics", "subsystem", "uevent"];

impl Directory for NetdevDir {
    fn lookup(&self, _view: View, name: &str) -> Option<DynamicEntry> {
        let dev = self.dev.upgrade()?;
        let link = |target: String| {
            Some(DynamicEntry {
                id: 0,
                mode: 0o777,
                kind: Kind::Link(target),
            })
        };
        let uevent = |dev: &Netdev| {
            Ok(format!(
                "INTERFACE={}\nIFINDEX={}",
                dev.name(),
                dev.ifindex()
            ))
        };
        match (self.part, name) {
            (Part::Device, "device") => {
                let device = dev.parent()?.dir()?.node().path();
                link(kernfs::way(&place(&dev)?, &device))
            }
            (Part::Device, "subsystem") => link(kernfs::way(&place(&dev)?, "class/net")),
            (Part::Device, "uevent") => Some(self.file(("uevent", true, Value::Model(uevent)))),
            (Part::Device, "statistics") => self.part(Part::Statistics),
            (Part::Device, "queues") => self.part(Part::Queues),
            (Part::Device, "power") if self.build.power_management => self.part(Part::Power),
            (Part::Power, name) => {
                let (mode, file) = dev.power.file(name)?;
                Some(DynamicEntry {
                    id: 0,
                    mode,
                    kind: Kind::file(file),
                })
            }
            (Part::Queues, name) => {
                let (kind, number) = name.split_once('-')?;
                let number = (0..dev.queues).find(|queue| number == queue.to_string())?;
                match kind {
                    "rx" => self.part(Part::Rx(number)),
                    "tx" => self.part(Part::Tx(number)),
                    _ => None,
                }
            }
            (Part::Tx(queue), LIMITS_DIR) if self.build.shows_unused_limits => {
                self.part(Part::Limits(queue))
            }
            (_, name) => {
                let mut entries = self.entries().into_iter();
                let entry = entries.find(|(other, ..)| *other == name)?;
                Some(self.file(entry))
            }
        }
    }

    fn list(&self, _view: View) -> Vec<String> {
        let entries = self.entries().into_iter();
        let mut names: Vec<String> = entries.map(|(name, ..)| name.to_owned()).collect();
        match (self.part, self.dev.upgrade()) {
            (Part::Device, _) => {
                names.extend(OTHERS.map(str::to_owned));
                names.extend(self.build.power_management.then(|| "power".to_owned()));
            }
            (Part::Power, _) => names.extend(power::NAMES.map(str::to_owned)),
            (Part::Queues, Some(dev)) => {
                names.extend((0..dev.queues).map(|queue| format!("rx-{queue}")));
                names.extend((0..dev.queues).map(|queue| format!("tx-{queue}")));
            }
            (Part::Tx(_), _) if self.build.shows_unused_limits => names.push(LIMITS_DIR.to_owned()),
            _ => {}
        }
        names
    }
}
