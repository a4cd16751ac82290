//! The real network devices behind the simulated ones.
//!
//! A machine with a [`NetdevBackend`] has, for every registered [`Netdev`], a real device in the real
//! namespace, whose name and interface index are the device's. Without one, devices exist in the model alone: their
//! names are given out by the model, and so are their interface indices, from 2 upwards in each namespace, since 1 is
//! the loopback device's. Such an index means nothing to `ip link`, but tells a client's devices apart.

use std::any::Any;
use std::cell::RefCell;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use driver_core::Level;
use rustix::io::Errno;

use crate::core::NetCore;
use crate::net::Net;
use crate::netdev::Netdev;
use crate::source::NetnsHandle;

/// Makes real devices.
pub trait NetdevBackend: Send + Sync {
    /// Makes a device. Called under `rtnl_mutex`.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken in the namespace; anything else the operating system says.
    fn create(&self, request: &NetdevRequest<'_>) -> Result<Box<dyn RealNetdev>, Errno>;

    /// Connects two devices of its own, which have given these [plugs](RealNetdev::plug).
    ///
    /// # Errors
    /// What the operating system says.
    fn connect(&self, _plugs: [Arc<Plug>; 2]) -> Result<Cable, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Removes devices together, which may be much faster than one by one.
    fn remove_many(&self, devices: Vec<Box<dyn RealNetdev>>) {
        drop(devices);
    }
}

/// What a cable to a device is plugged into, as the backend knows its own.
pub type Plug = dyn Any + Send + Sync;

/// As long as it lives, each of two real devices receives what the other sends. It must go before the devices do.
pub struct Cable(
    #[expect(dead_code, reason = "kept for what it does when it is dropped")] Box<dyn Send>,
);

impl Cable {
    /// The backend's cable.
    pub fn new(cable: impl Send + 'static) -> Self {
        Cable(Box::new(cable))
    }
}

impl fmt::Debug for Cable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cable").finish_non_exhaustive()
    }
}

impl NetCore {
    /// Lets each of two devices receive what the other sends. `None`: there are no real devices behind them, so nothing is sent.
    pub fn connect(&self, one: &Arc<Netdev>, other: &Arc<Netdev>) -> Option<Cable> {
        let backend = self.backend.as_deref()?;
        let plug = |dev: &Arc<Netdev>| dev.with_real(|real| real.plug()).flatten();
        match backend.connect([plug(one)?, plug(other)?]) {
            Ok(cable) => Some(cable),
            Err(errno) => {
                let name = other.name();
                one.log(
                    self,
                    Level::Warning,
                    format_args!("cannot be connected to {name}: {errno}"),
                );
                None
            }
        }
    }
}

thread_local! {
    /// What this thread has unregistered since it began to gather.
    static GATHERED: RefCell<Option<Vec<Box<dyn RealNetdev>>>> = const { RefCell::new(None) };
}

/// As long as it lives, the real devices that its thread unregisters are only gathered; then they are removed together
/// (`unregister_netdevice_many`).
#[must_use = "without it, devices are removed one by one"]
pub struct RemovalBatch<'a> {
    backend: Option<&'a dyn NetdevBackend>,
    /// There is one already further out, which removes them.
    inner: bool,
    not_send: PhantomData<*const ()>,
}

impl NetCore {
    /// Begins to gather what this thread unregisters: see [`RemovalBatch`]. Nothing waits in between for the real devices to
    /// be gone; their names are free when the batch has ended.
    pub fn batch_removals(&self) -> RemovalBatch<'_> {
        let inner = GATHERED.with_borrow_mut(|gathered| {
            let inner = gathered.is_some();
            gathered.get_or_insert_default();
            inner
        });
        RemovalBatch {
            backend: self.backend.as_deref(),
            inner,
            not_send: PhantomData,
        }
    }
}

impl Drop for RemovalBatch<'_> {
    fn drop(&mut self) {
        if self.inner {
            return;
        }
        let gathered = GATHERED.take().unwrap_or_default();
        if let Some(backend) = self.backend {
            backend.remove_many(gathered);
        }
    }
}

impl fmt::Debug for RemovalBatch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RemovalBatch").finish_non_exhaustive()
    }
}

/// Removes a real device, now or with the thread's batch.
pub(crate) fn remove(real: Option<Box<dyn RealNetdev>>) {
    let Some(real) = real else {
        return;
    };
    let now = GATHERED.with_borrow_mut(|gathered| match gathered {
        Some(gathered) => {
            gathered.push(real);
            None
        }
        None => Some(real),
    });
    drop(now);
}

/// The device that is wanted.
#[derive(Debug)]
pub struct NetdevRequest<'a> {
    /// In which namespace.
    pub net: &'a Arc<Net>,
    /// Its name, or a pattern with one `%d`, for which the lowest number is to be taken that is free in the namespace.
    pub name: &'a str,
    /// Its hardware address.
    pub mac: [u8; 6],
    /// Its largest payload, in bytes.
    pub mtu: u32,
    /// Whether it starts with a carrier.
    pub carrier: bool,
    /// How it starts (`IFF_MULTICAST`, `IFF_NOARP`).
    pub flags: NetdevFlags,
}

/// What a kind of device is or is not able to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NetdevFlags {
    /// It does multicast (`IFF_MULTICAST`).
    pub multicast: bool,
    /// Nobody resolves addresses on it (`IFF_NOARP`).
    pub no_arp: bool,
}

impl NetdevFlags {
    /// As `net/ethernet/eth.c: ether_setup` makes them.
    pub const ETHERNET: Self = Self {
        multicast: true,
        no_arp: false,
    };
}

/// Where a real device is.
#[derive(Debug)]
pub struct Whereabouts {
    /// In which namespace, alive while this is.
    pub namespace: Arc<dyn NetnsHandle>,
    /// Its name there.
    pub name: String,
    /// Its interface index there.
    pub ifindex: u32,
}

/// A real device. Dropping it removes it; if it has already gone, with its namespace or by another's hand, that does
/// nothing.
pub trait RealNetdev: Send {
    /// The name it got.
    fn name(&self) -> String;

    /// The interface index it got.
    fn ifindex(&self) -> u32;

    /// Plugs the cable in or out.
    ///
    /// # Errors
    /// What the operating system says, for instance because the device is gone.
    fn set_carrier(&mut self, carrier: bool) -> Result<(), Errno>;

    /// Renames it.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken, else what the operating system says.
    fn rename(&mut self, name: &str) -> Result<(), Errno>;

    /// Moves it to another namespace, under the name or pattern given; a device that has gone with its old namespace is
    /// made anew. Afterwards [`name`](RealNetdev::name) and [`ifindex`](RealNetdev::ifindex) are those of the new place.
    ///
    /// # Errors
    /// `EEXIST` when the name is taken there, else what the operating system says.
    fn move_to(&mut self, net: &Arc<Net>, name: &str) -> Result<(), Errno>;

    /// Where it is now, wherever others have moved it; `None`: it is gone, or nobody knows.
    fn whereabouts(&self) -> Option<Whereabouts> {
        None
    }

    /// Where a cable to it can be plugged in, for [`NetdevBackend::connect`].
    fn plug(&self) -> Option<Arc<Plug>> {
        None
    }

    /// The device as the backend knows its own, for [`NetdevBackend::remove_many`].
    fn as_any(&self) -> Option<&dyn Any> {
        None
    }

    /// What the attribute at that place of its sysfs directory shows now; `None`: such devices have none.
    fn attribute(&self, _name: &str) -> Option<Result<String, Errno>> {
        None
    }

    /// Writes the attribute; `None`: such devices have none.
    fn set_attribute(&self, _name: &str, _text: &[u8]) -> Option<Result<(), Errno>> {
        None
    }
}
