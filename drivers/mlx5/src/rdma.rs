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
use crate::netdev::UplinkListener;
use crate::{lag, names};

mod ops;

/// Why the old way leaves the declared order.
const AS_OF_2021: &str =
    "mlx5_ib as of November 2021 keeps a global netdevice notifier while its device is reloaded";

/// The auxiliary drivers `mlx5_ib.rdma` and `mlx5_ib.rep`; the second one is for a function in switchdev mode.
#[derive(Debug)]
pub(crate) struct RdmaDriver {
    #[expect(dead_code, reason = "a driver keeps its module loaded")]
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
        mlx5r_probe(device)
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
    /// It has a port for each vport of the switch, and speaks raw Ethernet only (`is_rep`).
    is_rep: bool,
    /// The index that the InfiniBand core has given it.
    index: OnceLock<u32>,
    /// The network device under it (`ib_device_get_netdev`). Written by the notifier, so a leaf.
    netdev: lockdep::Mutex<Option<Arc<Netdev>>>,
    /// Set once, right after allocation.
    nb: OnceLock<Arc<NotifierBlock>>,
    /// What the notifier follows (`roce->tracking_netdev`); only ever touched by [`UplinkListener::uplink_netdev`].
    tracking_netdev: lockdep::Mutex<Option<Arc<Netdev>>>,
}

impl IbDevice {
    fn alloc(dev: Arc<CoreDev>, is_rep: bool) -> Arc<Self> {
        let ib = Arc::new(IbDevice {
            dev,
            is_rep,
            index: OnceLock::new(),
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
        ib
    }

    /// What the InfiniBand core knows of it, while it is registered.
    pub fn registered(&self) -> Option<Arc<rdma::IbDevice>> {
        self.dev.module().rdma().device(*self.index.get()?)
    }

    /// Its name: `rocep0s9`, or the kernel's, `mlx5_0`.
    pub fn name(&self) -> String {
        let device = self.registered();
        device.map_or_else(String::new, |device| device.name())
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
            .field("name", &self.name())
            .field("netdev", &self.netdev())
            .finish_non_exhaustive()
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
fn mlx5r_probe(device: &mut LockedDevice<'_>) -> Result<(), Errno> {
    let dev = auxiliary::shared::<CoreDev>(device.device()).ok_or(Errno::NODEV)?;
    let is_rep = auxiliary::part_name(device.device()) == Some("rdma-rep");
    let ib = IbDevice::alloc(dev, is_rep);
    roce_init(&ib, device.held())?;
    if let Err(errno) = ib_register(&ib) {
        roce_cleanup(&ib, device.held());
        return Err(errno);
    }
    device.set_drvdata(ib);
    Ok(())
}

#[inline(never)]
fn mlx5r_remove(device: &mut LockedDevice<'_>) {
    if let Some(ib) = device.drvdata::<IbDevice>() {
        if let Some(registered) = ib.registered() {
            ib.dev.module().rdma().unregister_device(&registered);
        }
        roce_cleanup(&ib, device.held());
    }
}

/// Tells the InfiniBand core (`mlx5_ib_stage_ib_reg_init`).
fn ib_register(ib: &Arc<IbDevice>) -> Result<(), Errno> {
    let dev = &ib.dev;
    let is_lag = lag::is_active(dev);
    let udev = names::ib_name(dev).filter(|_| !is_lag);
    let kernels = if is_lag { "mlx5_bond_%d" } else { "mlx5_%d" };
    let names: Vec<_> = udev.as_deref().into_iter().chain([kernels]).collect();
    let ops: Arc<dyn rdma::Ops> = Arc::<IbDevice>::clone(ib);
    let core = dev.module().rdma();
    let registered = core.register_device(&names, dev.device(), ops)?;
    ib.index.set(registered.index()).map_err(|_| Errno::EXIST)
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
