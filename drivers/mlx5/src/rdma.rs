//! The RDMA part: an InfiniBand device that speaks RoCE over the function's network device
//! (`drivers/infiniband/hw/mlx5/main.c`).
//!
//! It must know the network device. Today it follows the function's own, with a notifier that takes `rtnl_mutex` only. In
//! November 2021 it registered a global notifier when its part was probed and unregistered it when the part was removed.
//! A part is removed in the middle of a reload, with the devlink instance locked, and perhaps while the end of a namespace
//! holds `pernet_ops_rwsem` for reading; a global notifier wants that for writing. The declared lock order refuses it, so
//! the old way has to leave the order, visibly.

use std::fmt;
use std::sync::{Arc, OnceLock, PoisonError, Weak};

use driver_core::{Device, Driver, LockedDevice, auxiliary};
use lock_order::{DeviceLock, DriverLock};
use lockdep::order::Held;
use net_core::{Netdev, NetdevEvent, NotifierBlock};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::locking::DriverLocking;
use crate::module::Module;
use crate::names;
use crate::netdev::UplinkListener;

/// Why the old way leaves the declared order.
const AS_OF_2021: &str =
    "mlx5_ib as of November 2021 keeps a global netdevice notifier while its device is reloaded";

/// The auxiliary drivers `mlx5_ib.rdma` and `mlx5_ib.rep`; the second one is for a function in switchdev mode.
#[derive(Debug)]
pub(crate) struct RdmaDriver {
    module: Arc<Module>,
    name: &'static str,
    part: &'static str,
}

impl RdmaDriver {
    pub(crate) const NAME: &'static str = "mlx5_ib.rdma";
    pub(crate) const REP_NAME: &'static str = "mlx5_ib.rep";

    /// Both, in the order in which they are registered.
    pub(crate) fn both(module: &Arc<Module>) -> [Self; 2] {
        [
            (Self::NAME, "mlx5_core.rdma"),
            (Self::REP_NAME, "mlx5_core.rdma-rep"),
        ]
        .map(|(name, part)| RdmaDriver {
            module: Arc::clone(module),
            name,
            part,
        })
    }
}

impl Driver for RdmaDriver {
    fn name(&self) -> &str {
        self.name
    }

    fn module(&self) -> &str {
        "mlx5_ib"
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&[self.part], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        mlx5r_probe(&self.module, device)
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        mlx5r_remove(device);
    }
}

/// Whether a device is an RDMA part.
pub(crate) fn is_rdma(device: &Device) -> bool {
    auxiliary::match_id(&["mlx5_core.rdma"], device).is_some()
}

/// An InfiniBand device (`struct mlx5_ib_dev`).
pub struct IbDevice {
    dev: Arc<CoreDev>,
    name: String,
    number: u32,
    node_guid: u64,
    /// The network device under it (`ib_device_get_netdev`). Written by the notifier, so a leaf.
    netdev: lockdep::Mutex<Option<Arc<Netdev>>>,
    /// Set once, right after allocation.
    nb: OnceLock<Arc<NotifierBlock>>,
    /// What the notifier follows (`roce->tracking_netdev`); only ever touched by [`UplinkListener::uplink_netdev`].
    tracking_netdev: lockdep::Mutex<Option<Arc<Netdev>>>,
}

impl IbDevice {
    fn alloc(module: &Module, dev: Arc<CoreDev>) -> Result<Arc<Self>, Errno> {
        let number = module.ib_ida.alloc()?;
        let name = names::ib_name(&dev).unwrap_or_else(|| format!("mlx5_{number}"));
        let [a, b, c, d, e, f] = dev.permanent_mac();
        let ib = Arc::new(IbDevice {
            name,
            number,
            // What is set at the eswitch gets the bytes of an EUI-64 in its middle.
            node_guid: match dev.is_pf() {
                true => u64::from_be_bytes([a, b, c, 3, 0, d, e, f]),
                false => u64::from_be_bytes([a, b, c, 0xff, 0xfe, d, e, f]),
            },
            dev,
            netdev: lockdep::Mutex::named("ib_device->netdev_lock", None),
            nb: OnceLock::new(),
            tracking_netdev: lockdep::Mutex::named("roce->tracking_netdev", None),
        });
        let weak = Arc::downgrade(&ib);
        let nb = NotifierBlock::new("mlx5_netdev_event", move |_rtnl, event, netdev| {
            if let Some(ib) = Weak::upgrade(&weak) {
                ib.netdev_event(event, netdev);
            }
            Ok(())
        });
        ib.nb.set(nb).expect("a new device has no notifier yet");
        Ok(ib)
    }

    /// Its name: `rocep0s9`, or the kernel's, `mlx5_0`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its node GUID.
    pub fn node_guid(&self) -> u64 {
        self.node_guid
    }

    /// The network device under it, while there is one.
    pub fn netdev(&self) -> Option<Arc<Netdev>> {
        lock(&self.netdev).clone()
    }

    fn nb(&self) -> &Arc<NotifierBlock> {
        self.nb.get().expect("the notifier is made with the device")
    }

    /// Under `rtnl_mutex` (`mlx5_netdev_event`).
    fn netdev_event(&self, event: NetdevEvent, netdev: &Arc<Netdev>) {
        let mut current = lock(&self.netdev);
        match event {
            NetdevEvent::Register if current.is_none() => {
                let is_ours = netdev
                    .parent()
                    .is_some_and(|parent| Arc::ptr_eq(parent, self.dev.device()));
                if is_ours {
                    *current = Some(Arc::clone(netdev));
                }
            }
            NetdevEvent::Unregister
                if current
                    .as_ref()
                    .is_some_and(|current| Arc::ptr_eq(current, netdev)) =>
            {
                *current = None;
            }
            _ => {}
        }
    }
}

impl fmt::Debug for IbDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IbDevice")
            .field("name", &self.name)
            .field("netdev", &self.netdev())
            .finish_non_exhaustive()
    }
}

impl Drop for IbDevice {
    fn drop(&mut self) {
        self.dev.module().ib_ida.free(self.number);
    }
}

/// Today's way: as the function's network device comes and goes, the notifier follows it (`mlx5e_mdev_notifier_event`).
impl UplinkListener for IbDevice {
    fn uplink_netdev(&self, netdev: Option<&Arc<Netdev>>, held: &mut Held<'_, DriverLock>) {
        let net_core = self.dev.module().net_core();
        let previous = std::mem::replace(&mut *lock(&self.tracking_netdev), netdev.cloned());
        if let Some(previous) = previous {
            let gone = net_core.unregister_netdevice_notifier_dev_net(held, &previous, self.nb());
            self.log_error("unregister", gone);
        }
        if let Some(netdev) = netdev {
            let come = net_core.register_netdevice_notifier_dev_net(held, netdev, self.nb());
            self.log_error("register", come);
        }
    }
}

impl IbDevice {
    fn log_error(&self, what: &str, result: Result<(), Errno>) {
        if let Err(errno) = result {
            self.dev.err(format_args!(
                "failed to {what} the RoCE netdev notifier: {errno}"
            ));
        }
    }
}

#[inline(never)]
fn mlx5r_probe(module: &Arc<Module>, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let dev = auxiliary::shared::<CoreDev>(device.device()).ok_or(Errno::NODEV)?;
    let ib = IbDevice::alloc(module, dev)?;
    roce_init(&ib, device.held())?;
    device.set_drvdata(ib);
    Ok(())
}

#[inline(never)]
fn mlx5r_remove(device: &mut LockedDevice<'_>) {
    if let Some(ib) = device.drvdata::<IbDevice>() {
        roce_cleanup(&ib, device.held());
    }
}

#[inline(never)]
fn roce_init(ib: &Arc<IbDevice>, held: &mut Held<'_, DeviceLock>) -> Result<(), Errno> {
    match ib.dev.locking() {
        DriverLocking::Today => {
            ib.dev.uplink.follow(held, Arc::<IbDevice>::clone(ib));
            Ok(())
        }
        DriverLocking::November2021 => {
            let mut held = held.against_declared_order(AS_OF_2021);
            let net_core = ib.dev.module().net_core();
            net_core.register_netdevice_notifier(&mut held, ib.nb())
        }
    }
}

#[inline(never)]
fn roce_cleanup(ib: &Arc<IbDevice>, held: &mut Held<'_, DeviceLock>) {
    match ib.dev.locking() {
        DriverLocking::Today => {
            let listener: Arc<dyn UplinkListener> = Arc::<IbDevice>::clone(ib);
            ib.dev.uplink.unfollow(held, &listener);
        }
        DriverLocking::November2021 => {
            let mut held = held.against_declared_order(AS_OF_2021);
            let net_core = ib.dev.module().net_core();
            let gone = net_core.unregister_netdevice_notifier(&mut held, ib.nb());
            ib.log_error("unregister", gone);
        }
    }
}

fn lock<T>(mutex: &lockdep::Mutex<T>) -> lockdep::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
