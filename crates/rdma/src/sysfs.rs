//! InfiniBand devices in sysfs (`drivers/infiniband/core/sysfs.c`).
//!
//! ```text
//! class/infiniband/rocep8s0f0             a link to the directory of the device
//! <parent>/infiniband/rocep8s0f0/         node_type, node_guid, ..., device, subsystem
//!   ports/1/                              state, rate, ...
//!     gids/N, pkeys/N                     the tables
//!     gid_attrs/ndevs/N, gid_attrs/types/N
//!     counters/..., hw_counters/...
//! ```
//! Nothing is kept: an entry is looked up when it is asked for.

use std::sync::{Arc, Weak};

use driver_core::Device;
use kernfs::sysfs::Attribute;
use kernfs::{Directory, DynamicEntry, Kind, View};
use rustix::io::Errno;

use crate::device::{CLASS, Core, IbDevice};

/// `/sys/class/infiniband/`: a link to the directory of each device.
pub(crate) struct ClassDir(pub(crate) Weak<Core>);

impl ClassDir {
    fn all(&self) -> Vec<Arc<IbDevice>> {
        self.0
            .upgrade()
            .map(|core| core.devices())
            .unwrap_or_default()
    }
}

impl Directory for ClassDir {
    fn lookup(&self, _view: View, name: &str) -> Option<DynamicEntry> {
        let device = self
            .all()
            .into_iter()
            .find(|device| device.name() == name)?;
        let place = device.parent().dir()?.node().path();
        Some(DynamicEntry {
            id: u64::from(device.index()),
            mode: 0o777,
            kind: Kind::Link(format!("../../{place}/{CLASS}/{name}")),
        })
    }

    fn list(&self, _view: View) -> Vec<String> {
        self.all().iter().map(|device| device.name()).collect()
    }
}

/// The directory `infiniband/` of a device that has some.
pub(crate) struct GlueDir {
    pub(crate) core: Weak<Core>,
    pub(crate) children: Weak<Device>,
}

impl GlueDir {
    fn all(&self) -> Vec<Arc<IbDevice>> {
        let Some(core) = self.core.upgrade() else {
            return Vec::new();
        };
        let mut devices = core.devices();
        devices.retain(|device| std::ptr::eq(Arc::as_ptr(device.parent()), self.children.as_ptr()));
        devices
    }
}

impl Directory for GlueDir {
    fn lookup(&self, _view: View, name: &str) -> Option<DynamicEntry> {
        let device = self
            .all()
            .into_iter()
            .find(|device| device.name() == name)?;
        Some(DynamicEntry {
            id: Arc::as_ptr(&device).addr() as u64,
            mode: 0o755,
            kind: Kind::dynamic(Folder::new(&device, Place::Device)),
        })
    }

    fn list(&self, _view: View) -> Vec<String> {
        self.all().iter().map(|device| device.name()).collect()
    }
}

/// A directory of a device's tree.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Device,
    Ports,
    Port(u32),
    Gids(u32),
    GidAttrs(u32),
    GidNdevs(u32),
    GidTypes(u32),
    Pkeys(u32),
    Counters,
    HwCounters,
}

struct Folder {
    device: Weak<IbDevice>,
    place: Place,
}

impl Folder {
    fn new(device: &Arc<IbDevice>, place: Place) -> Self {
        Folder {
            device: Arc::downgrade(device),
            place,
        }
    }

    /// What an entry of this directory is.
    fn entry(&self, device: &Arc<IbDevice>, name: &str) -> Option<(u16, Kind)> {
        let link = |target: String| Some((0o777, Kind::Link(target)));
        match (self.place, name) {
            (Place::Device, "device") => {
                return link(format!("../../../{}", device.parent().name()));
            }
            (Place::Device, "subsystem") => {
                let depth = device.parent().dir()?.node().path().split('/').count();
                return link(format!("{}class/{CLASS}", "../".repeat(depth + 2)));
            }
            _ => {}
        }
        if let Some(place) = self.folder(device, name) {
            return Some((0o755, Kind::dynamic(Folder::new(device, place))));
        }
        self.files(device).iter().find(|file| *file == name)?;
        let (weak, place, name) = (Arc::downgrade(device), self.place, name.to_owned());
        let show = Attribute::ro(move |_| {
            let device = weak.upgrade().ok_or(Errno::NODEV)?;
            Ok(show(&device, place, &name)? + "\n")
        });
        Some((0o444, Kind::file(show)))
    }

    /// Names of the directories in this one.
    fn folders(&self, device: &IbDevice) -> Vec<String> {
        let names: &[&str] = match self.place {
            Place::Device => &["ports"],
            Place::Ports => {
                return (1..=device.ops().ports())
                    .map(|port| port.to_string())
                    .collect();
            }
            Place::Port(_) => &["counters", "gid_attrs", "gids", "hw_counters", "pkeys"],
            Place::GidAttrs(_) => &["ndevs", "types"],
            _ => &[],
        };
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn folder(&self, device: &IbDevice, name: &str) -> Option<Place> {
        Some(match (self.place, name) {
            (Place::Device, "ports") => Place::Ports,
            (Place::Ports, number) => {
                let port = number.parse().ok()?;
                let exists = (1..=device.ops().ports()).contains(&port);
                // One name for one port: not `01`.
                (exists && number == port.to_string()).then_some(Place::Port(port))?
            }
            (Place::Port(port), "gids") => Place::Gids(port),
            (Place::Port(port), "pkeys") => Place::Pkeys(port),
            (Place::Port(port), "gid_attrs") => Place::GidAttrs(port),
            (Place::Port(_), "counters") => Place::Counters,
            (Place::Port(_), "hw_counters") => Place::HwCounters,
            (Place::GidAttrs(port), "ndevs") => Place::GidNdevs(port),
            (Place::GidAttrs(port), "types") => Place::GidTypes(port),
            _ => return None,
        })
    }

    /// Names of the files in this directory.
    fn files(&self, device: &IbDevice) -> Vec<String> {
        let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        match self.place {
            Place::Device => {
                let mut files: Vec<String> = own(&NODE_ATTRIBUTES);
                let more = device.ops().attributes();
                files.extend(more.iter().map(|attribute| attribute.name.to_owned()));
                files
            }
            Place::Port(_) => own(&PORT_ATTRIBUTES),
            Place::Gids(port) | Place::GidNdevs(port) | Place::GidTypes(port) => {
                let entries = device.ops().query_port(port).gid_table;
                (0..entries).map(|index| index.to_string()).collect()
            }
            Place::Pkeys(_) => own(&["0"]),
            Place::Counters => own(&COUNTERS),
            Place::HwCounters => own(device.ops().hw_counters()),
            Place::Ports | Place::GidAttrs(_) => Vec::new(),
        }
    }
}

impl Directory for Folder {
    fn lookup(&self, _view: View, name: &str) -> Option<DynamicEntry> {
        let (mode, kind) = self.entry(&self.device.upgrade()?, name)?;
        Some(DynamicEntry { id: 0, mode, kind })
    }

    fn list(&self, _view: View) -> Vec<String> {
        let Some(device) = self.device.upgrade() else {
            return Vec::new();
        };
        let mut names = self.folders(&device);
        names.extend(self.files(&device));
        if self.place == Place::Device {
            names.extend(["device", "subsystem"].map(str::to_owned));
        }
        names
    }
}

/// `ib_dev_attrs`
const NODE_ATTRIBUTES: [&str; 6] = [
    "fw_ver",
    "node_desc",
    "node_guid",
    "node_type",
    "sys_image_guid",
    "uevent",
];

/// `port_default_attrs`
const PORT_ATTRIBUTES: [&str; 9] = [
    "cap_mask",
    "lid",
    "lid_mask_count",
    "link_layer",
    "phys_state",
    "rate",
    "sm_lid",
    "sm_sl",
    "state",
];

/// `pma_attrs_ext`. Nobody sends packets, so they stand at zero.
const COUNTERS: [&str; 21] = [
    "VL15_dropped",
    "excessive_buffer_overrun_errors",
    "link_downed",
    "link_error_recovery",
    "local_link_integrity_errors",
    "multicast_rcv_packets",
    "multicast_xmit_packets",
    "port_rcv_constraint_errors",
    "port_rcv_data",
    "port_rcv_errors",
    "port_rcv_packets",
    "port_rcv_remote_physical_errors",
    "port_rcv_switch_relay_errors",
    "port_xmit_constraint_errors",
    "port_xmit_data",
    "port_xmit_discards",
    "port_xmit_packets",
    "port_xmit_wait",
    "symbol_error",
    "unicast_rcv_packets",
    "unicast_xmit_packets",
];

/// What a file shows, without the end of the line.
fn show(device: &IbDevice, place: Place, name: &str) -> Result<String, Errno> {
    match place {
        Place::Device => show_node(device, name),
        Place::Port(port) => show_port(device, port, name),
        Place::Pkeys(_) => Ok("0xffff".to_owned()),
        Place::Counters | Place::HwCounters => Ok("0".to_owned()),
        Place::Gids(port) => {
            // An empty entry is an address of zeros, not an error.
            let gid = device.ops().gid(port, index(name)?);
            Ok(groups(&gid.map_or([0; 16], |gid| gid.raw)))
        }
        Place::GidNdevs(port) => {
            let gid = device.ops().gid(port, index(name)?).ok_or(Errno::INVAL)?;
            Ok(gid.netdev.name())
        }
        Place::GidTypes(port) => {
            let gid = device.ops().gid(port, index(name)?).ok_or(Errno::INVAL)?;
            Ok(gid.kind.name().to_owned())
        }
        Place::Ports | Place::GidAttrs(_) => Err(Errno::IO),
    }
}

fn index(name: &str) -> Result<u32, Errno> {
    name.parse().map_err(|_| Errno::INVAL)
}

/// Bytes in groups of two: `0000:00ff:fe00:8888`.
fn groups(bytes: &[u8]) -> String {
    let groups: Vec<_> = bytes
        .chunks(2)
        .map(|pair| {
            pair.iter()
                .map(|byte| format!("{byte:02x}"))
                .collect::<String>()
        })
        .collect();
    groups.join(":")
}

fn show_node(device: &IbDevice, name: &str) -> Result<String, Errno> {
    let ops = device.ops();
    Ok(match name {
        "node_type" => "1: CA".to_owned(),
        "node_guid" => groups(&ops.node_guid().to_be_bytes()),
        "sys_image_guid" => groups(&ops.sys_image_guid().to_be_bytes()),
        "fw_ver" => ops.fw_str(),
        "node_desc" => ops.node_desc(),
        "uevent" => format!("NAME={}", device.name()),
        _ => {
            let mut attributes = ops.attributes().into_iter();
            let found = attributes.find(|attribute| attribute.name == name);
            found.ok_or(Errno::NODEV)?.text
        }
    })
}

fn show_port(device: &IbDevice, port: u32, name: &str) -> Result<String, Errno> {
    let attr = device.ops().query_port(port);
    let named = |(number, name): (u8, &str)| format!("{number}: {name}");
    Ok(match name {
        "state" => named(attr.state.logical()),
        "phys_state" => named(attr.state.physical()),
        "link_layer" => "Ethernet".to_owned(),
        "rate" => attr.speed.to_string(),
        "cap_mask" => format!("0x{:08x}", attr.cap_flags),
        "lid" | "sm_lid" => "0x0".to_owned(),
        "lid_mask_count" | "sm_sl" => "0".to_owned(),
        _ => return Err(Errno::IO),
    })
}
