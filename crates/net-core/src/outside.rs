//! What others do to the real devices behind the simulated ones.
//!
//! `ip link set eth0 up` goes to the real kernel, and the machine hears of it afterwards: the sandbox watches the real
//! devices and calls these functions, which bring the model up to date and tell drivers and notifiers. They know a device
//! by namespace and interface index, and ignore devices that are not the machine's.

use std::sync::Arc;

use driver_core::Level;
use lock_order::Rtnl;
use lockdep::order::{Before, Held};

use crate::core::NetCore;
use crate::net::{Net, NetId};
use crate::netdev::{Netdev, RegState};
use crate::notifier::NetdevEvent;
use crate::rtnl::RtnlGuard;

/// What a link message says about a real device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkState {
    /// Its name.
    pub name: String,
    /// Whether it is up (`IFF_UP`).
    pub up: bool,
    /// Its hardware address, if the message has one of six bytes.
    pub mac: Option<[u8; 6]>,
    /// Its largest payload in bytes, if the message says.
    pub mtu: Option<u32>,
}

impl NetCore {
    /// A real device is now like this (`RTM_NEWLINK`).
    pub fn link_changed<H>(
        &self,
        held: &mut Held<'_, H>,
        net: NetId,
        ifindex: u32,
        link: &LinkState,
    ) where
        H: Before<Rtnl>,
    {
        let mut rtnl = self.rtnl_lock(held);
        if let Some(dev) = rtnl.dev_by_index(net, ifindex) {
            rtnl.apply(&dev, link);
        }
    }

    /// A real device has been moved to another namespace, where it has this name and index (`RTM_DELLINK` with
    /// `IFLA_NEW_NETNSID`, then `RTM_NEWLINK`).
    pub fn link_moved<H>(
        &self,
        held: &mut Held<'_, H>,
        net: NetId,
        ifindex: u32,
        to: &Arc<Net>,
        new_name: &str,
        new_ifindex: u32,
    ) where
        H: Before<Rtnl>,
    {
        let mut rtnl = self.rtnl_lock(held);
        let Some(dev) = rtnl.dev_by_index(net, ifindex) else {
            return;
        };
        rtnl.leave(&dev);
        if to.is_dying() {
            // It has gone on from there, or with it.
            rtnl.return_to_init_net(&dev);
            return;
        }
        rtnl.arrive(&dev, to, new_name.to_owned(), new_ifindex);
    }

    /// A real device is not there any more (`RTM_DELLINK`). It may have been moved to a namespace that the machine does not know
    /// yet: then it does from now on. Else the device is gone. If its namespace goes too, its exit takes care of the device. Else someone
    /// has removed it by hand, which nobody can do to a hardware's device: the model keeps it, outside every namespace,
    /// until its driver unregisters it, and says so to the log and to the notifiers.
    pub fn link_gone<H>(&self, held: &mut Held<'_, H>, net: NetId, ifindex: u32)
    where
        H: Before<Rtnl>,
    {
        if self.net(net).is_none_or(|net| net.is_dying()) {
            return;
        }
        let mut rtnl = self.rtnl_lock(held);
        let Some(dev) = rtnl.dev_by_index(net, ifindex) else {
            return;
        };
        let place = dev.with_real(|real| real.whereabouts()).flatten();
        if let Some(place) = place {
            drop(rtnl);
            if let Ok(to) = self.get_net_deferred(place.namespace) {
                self.link_moved(held, net, ifindex, to.net(), &place.name, place.ifindex);
            }
            return;
        }
        dev.log(
            self,
            Level::Warning,
            format_args!("the device behind this one has been removed"),
        );
        rtnl.leave(&dev);
    }
}

impl RtnlGuard<'_> {
    fn apply(&mut self, dev: &Arc<Netdev>, link: &LinkState) {
        if dev.reg_state() != RegState::Registered {
            return;
        }
        if dev.name() != link.name {
            // A refusal cannot be had: the real device is called that.
            if let Err(errno) = self.renamed(dev, link.name.clone()) {
                dev.log(
                    self.core(),
                    Level::Warning,
                    format_args!("refused the name {}: {errno}", link.name),
                );
            }
        }
        if let Some(mac) = link.mac.filter(|mac| *mac != dev.mac()) {
            dev.update(|state| state.mac = mac);
            let _ = self.call_netdevice_notifiers(NetdevEvent::ChangeAddr, dev);
        }
        if let Some(mtu) = link.mtu.filter(|mtu| *mtu != dev.mtu()) {
            dev.update(|state| state.mtu = mtu);
            let _ = self.call_netdevice_notifiers(NetdevEvent::ChangeMtu, dev);
        }
        if link.up {
            if let Err(errno) = self.dev_open(dev) {
                dev.log(
                    self.core(),
                    Level::Warning,
                    format_args!("is up although its driver failed to open it: {errno}"),
                );
            }
        } else {
            self.dev_close(dev);
        }
    }
}
