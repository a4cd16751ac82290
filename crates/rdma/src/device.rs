//! InfiniBand devices, and the list of them (`drivers/infiniband/core/device.c`).

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, Weak};

use driver_core::{Device, DriverCore};
use net_core::Netdev;
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::sysfs;

/// The longest name, without its end (`IB_DEVICE_NAME_MAX`).
const LONGEST_NAME: usize = 63;

/// The class's name, and that of the directory of a device's InfiniBand devices.
pub(crate) const CLASS: &str = "infiniband";

/// All InfiniBand devices of a machine.
pub struct Core {
    this: Weak<Core>,
    kernel: KernelVersion,
    /// The index that the next device gets: none is given twice (`xa_alloc_cyclic`).
    next_index: AtomicU32,
    devices: lockdep::Mutex<BTreeMap<u32, Arc<IbDevice>>>,
}

impl Core {
    /// No devices yet; the class has its directory.
    pub fn new(drivers: &DriverCore, kernel: KernelVersion) -> Arc<Self> {
        let core = Arc::new_cyclic(|this| Core {
            this: Weak::clone(this),
            kernel,
            next_index: AtomicU32::new(0),
            devices: lockdep::Mutex::named("ib devices_rwsem", BTreeMap::new()),
        });
        if let Some(class) = drivers.sysfs().dir("class") {
            // There is one of these to a machine.
            let _ = class.create_dynamic_dir(CLASS, sysfs::ClassDir(Arc::downgrade(&core)));
        }
        core
    }

    /// The kernel that is shown.
    pub fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    /// Adds a device that is part of `parent` (`ib_register_device`). Its name is the first of `names` that is free; in a
    /// name `%d` stands for the lowest number that makes it so.
    ///
    /// # Errors
    /// `ENFILE` when all names are taken.
    pub fn register_device(
        &self,
        names: &[&str],
        parent: &Arc<Device>,
        ops: Arc<dyn Ops>,
    ) -> Result<Arc<IbDevice>, Errno> {
        let mut devices = self.list();
        let taken = |name: &str| devices.values().any(|device| device.name() == name);
        let name = names
            .iter()
            .find_map(|pattern| match pattern.split_once("%d") {
                Some((before, after)) => (0..1 << 15)
                    .map(|number| format!("{before}{number}{after}"))
                    .find(|name| !taken(name)),
                None => (!taken(pattern)).then(|| (*pattern).to_owned()),
            })
            .ok_or(Errno::NFILE)?;
        let index = self.next_index.fetch_add(1, Ordering::Relaxed);
        let device = Arc::new(IbDevice {
            index,
            name: lockdep::Mutex::named("ib_device name", name),
            parent: Arc::clone(parent),
            ops,
        });
        devices.insert(index, Arc::clone(&device));
        drop(devices);
        let core = Weak::clone(&self.this);
        let children = Arc::downgrade(parent);
        parent.get_glue_dir(CLASS, || sysfs::GlueDir { core, children });
        Ok(device)
    }

    /// Removes a device (`ib_unregister_device`).
    pub fn unregister_device(&self, device: &IbDevice) {
        if self.list().remove(&device.index).is_some() {
            device.parent.put_glue_dir(CLASS);
        }
    }

    /// Gives a device another name (`ib_device_rename`).
    ///
    /// # Errors
    /// `EEXIST` when another one has it, `EINVAL` when it is none.
    pub fn rename_device(&self, device: &IbDevice, name: &str) -> Result<(), Errno> {
        if name.is_empty() || name.len() > LONGEST_NAME || name.contains('/') {
            return Err(Errno::INVAL);
        }
        let devices = self.list();
        let mut others = devices.values().filter(|other| other.index != device.index);
        if others.any(|other| other.name() == name) {
            return Err(Errno::EXIST);
        }
        name.clone_into(&mut device.name.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(())
    }

    /// All devices, by index.
    pub fn devices(&self) -> Vec<Arc<IbDevice>> {
        self.list().values().cloned().collect()
    }

    /// The device with this index.
    pub fn device(&self, index: u32) -> Option<Arc<IbDevice>> {
        self.list().get(&index).cloned()
    }

    fn list(&self) -> lockdep::MutexGuard<'_, BTreeMap<u32, Arc<IbDevice>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.devices()).finish()
    }
}

/// An InfiniBand device (`struct ib_device`).
pub struct IbDevice {
    index: u32,
    name: lockdep::Mutex<String>,
    parent: Arc<Device>,
    ops: Arc<dyn Ops>,
}

impl IbDevice {
    /// Its number, which no other device of the machine has.
    pub fn index(&self) -> u32 {
        self.index
    }

    /// Its name: `rocep8s0f0`, `mlx5_0`.
    pub fn name(&self) -> String {
        let name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        name.clone()
    }

    /// The device that it is part of.
    pub fn parent(&self) -> &Arc<Device> {
        &self.parent
    }

    /// What its driver says of it.
    pub fn ops(&self) -> &dyn Ops {
        &*self.ops
    }
}

impl fmt::Debug for IbDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.index, self.name())
    }
}

/// What a driver says of its device (`struct ib_device_ops`). Called with no lock held that a driver takes.
pub trait Ops: Send + Sync {
    /// The firmware's version, none with an empty text.
    fn fw_str(&self) -> String;

    /// The device's own GUID.
    fn node_guid(&self) -> u64;

    /// The adapter's GUID.
    fn sys_image_guid(&self) -> u64;

    /// What the device calls itself.
    fn node_desc(&self) -> String;

    /// `IB_DEVICE_*`
    fn cap_flags(&self) -> u64;

    /// How many ports it has; they count from 1.
    fn ports(&self) -> u32;

    /// What is to say of a port.
    fn query_port(&self, port: u32) -> PortAttr;

    /// The network device under a port.
    fn netdev(&self, port: u32) -> Option<Arc<Netdev>>;

    /// The entry of a port's table of addresses, if there is one.
    fn gid(&self, port: u32, index: u32) -> Option<Gid>;

    /// Attributes of this driver's devices: name, and what they show.
    fn attributes(&self) -> Vec<NodeAttribute>;

    /// Names of the counters of a port's hardware (`hw_counters/`).
    fn hw_counters(&self) -> &[&'static str] {
        &[]
    }
}

/// An attribute that a driver adds.
#[derive(Clone, Debug)]
pub struct NodeAttribute {
    /// The file's name.
    pub name: &'static str,
    /// What it shows, without the end of the line.
    pub text: String,
}

/// A port (`struct ib_port_attr`).
#[derive(Clone, Copy, Debug)]
pub struct PortAttr {
    /// Whether it works.
    pub state: PortState,
    /// How fast it is.
    pub speed: LinkSpeed,
    /// `IB_PORT_*`
    pub cap_flags: u32,
    /// Entries of the table of addresses; none where there is no RoCE, only raw Ethernet.
    pub gid_table: u32,
}

/// Whether a port works: of the logical and the physical states only those that Ethernet has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortState {
    /// It does not.
    Down,
    /// It does.
    Active,
}

impl PortState {
    /// `enum ib_port_state`, and what sysfs calls it.
    pub(crate) fn logical(self) -> (u8, &'static str) {
        match self {
            PortState::Down => (1, "DOWN"),
            PortState::Active => (4, "ACTIVE"),
        }
    }

    /// `enum ib_port_phys_state`, and what sysfs calls it.
    pub(crate) fn physical(self) -> (u8, &'static str) {
        match self {
            PortState::Down => (3, "Disabled"),
            PortState::Active => (5, "LinkUp"),
        }
    }
}

/// Speed of a link: that of a lane in tenths of Gbit/s, its name, and the lanes.
#[derive(Clone, Copy, Debug)]
pub struct LinkSpeed {
    lane: u32,
    name: &'static str,
    lanes: u32,
}

impl LinkSpeed {
    /// The lanes that make this speed, as an Ethernet port of that speed shows them
    /// (`drivers/infiniband/hw/mlx5/main.c: translate_eth_proto_oper`).
    pub fn of_ethernet(mbps: u32) -> Self {
        let (lane, name, lanes) = match mbps / 1000 {
            0..=9 => (25, "SDR", 1),
            10..=24 => (100, "QDR", 1),
            25..=39 => (250, "EDR", 1),
            40..=49 => (100, "QDR", 4),
            50..=99 => (500, "HDR", 1),
            100..=199 => (250, "EDR", 4),
            200..=399 => (500, "HDR", 4),
            400..=799 => (1000, "NDR", 4),
            _ => (2000, "XDR", 4),
        };
        LinkSpeed { lane, name, lanes }
    }
}

/// The form of sysfs: `100 Gb/sec (4X EDR)`.
impl fmt::Display for LinkSpeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rate = self.lane * self.lanes;
        let half = if rate % 10 == 0 { "" } else { ".5" };
        let LinkSpeed { name, lanes, .. } = self;
        write!(f, "{}{half} Gb/sec ({lanes}X {name})", rate / 10)
    }
}

/// An address of a port (`struct ib_gid_attr`).
#[derive(Clone, Debug)]
pub struct Gid {
    /// The address.
    pub raw: [u8; 16],
    /// Of which kind.
    pub kind: GidType,
    /// Through which network device.
    pub netdev: Arc<Netdev>,
}

/// The kind of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GidType {
    /// RoCE in an Ethernet frame.
    RoceV1,
    /// RoCE in UDP.
    RoceV2,
}

impl GidType {
    /// What sysfs calls it (`ib_cache_gid_type_str`).
    pub(crate) fn name(self) -> &'static str {
        match self {
            GidType::RoceV1 => "IB/RoCE v1",
            GidType::RoceV2 => "RoCE v2",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speeds_are_written_as_sysfs_does() {
        for (mbps, text) in [
            (1_000, "2.5 Gb/sec (1X SDR)"),
            (25_000, "25 Gb/sec (1X EDR)"),
            (100_000, "100 Gb/sec (4X EDR)"),
            (200_000, "200 Gb/sec (4X HDR)"),
            (400_000, "400 Gb/sec (4X NDR)"),
        ] {
            assert_eq!(LinkSpeed::of_ethernet(mbps).to_string(), text);
        }
    }
}
