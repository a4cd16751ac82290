//! The life of a network device: registered, up and down, renamed, moved, unregistered (`net/core/dev.c`).

use std::sync::Arc;

use driver_core::Level;
use lock_order::{PernetOps, Rtnl};
use lockdep::order::{Before, Held};
use rustix::io::Errno;

use crate::backend::{self, NetdevRequest};
use crate::core::NetCore;
use crate::net::{Net, lock};
use crate::netdev::{Netdev, RegState};
use crate::notifier::NetdevEvent;
use crate::pernet::PernetOperations;
use crate::rtnl::RtnlGuard;

/// Names are shorter than this (`IFNAMSIZ`).
const IFNAMSIZ: usize = 16;

/// How many numbers a pattern can take (`__dev_alloc_name`).
const MAX_NUMBERS: u32 = 8 * 4096;

impl NetCore {
    /// Registers a device (`register_netdev`): see [`RtnlGuard::register_netdevice`].
    ///
    /// # Errors
    /// As there.
    #[inline(never)]
    pub fn register_netdev<H>(&self, held: &mut Held<'_, H>, dev: &Arc<Netdev>) -> Result<(), Errno>
    where
        H: Before<Rtnl>,
    {
        self.rtnl_lock(held).register_netdevice(dev)
    }

    /// Unregisters a device (`unregister_netdev`): see [`RtnlGuard::unregister_netdevice`].
    #[inline(never)]
    pub fn unregister_netdev<H>(&self, held: &mut Held<'_, H>, dev: &Arc<Netdev>)
    where
        H: Before<Rtnl>,
    {
        self.rtnl_lock(held).unregister_netdevice(dev);
    }

    /// Plugs the cable in or out (`netif_carrier_on`, `netif_carrier_off`). The notifiers hear of it later, as `Change`,
    /// from a work item.
    pub fn set_carrier(&self, dev: &Arc<Netdev>, carrier: bool) {
        let queue = dev.update(|state| {
            if state.carrier == carrier {
                return false;
            }
            state.carrier = carrier;
            state.reg_state == RegState::Registered
                && !std::mem::replace(&mut state.linkwatch_pending, true)
        });
        match dev.with_real(|real| real.set_carrier(carrier)) {
            // Gone with its namespace; it gets this carrier when it is made anew.
            None | Some(Ok(()) | Err(Errno::BADFD)) => {}
            Some(Err(errno)) => dev.log(
                self,
                Level::Warning,
                format_args!("the real device keeps its carrier: {errno}"),
            ),
        }
        if queue {
            lock(&self.linkwatch_list).push_back(Arc::clone(dev));
            self.drivers().system_wq().queue(&self.linkwatch_work);
        }
    }
}

impl RtnlGuard<'_> {
    /// Registers a device: names it, makes the real one, tells `PostInit`, lists it, tells `Register`
    /// (`register_netdevice`).
    ///
    /// # Errors
    /// `ENODEV` when the namespace is on its way out; `EINVAL` for a bad name, `EEXIST` for one that is taken, `ENFILE` when the pattern has no number left; what the
    /// driver's `init`, the backend or a notifier says. The device is then as if it had never been registered, except
    /// after a veto of `Register`, which leaves it unregistered for good.
    #[inline(never)]
    pub fn register_netdevice(&mut self, dev: &Arc<Netdev>) -> Result<(), Errno> {
        if dev.reg_state() != RegState::Uninitialized {
            return Err(Errno::BUSY);
        }
        let net = dev.net();
        // Under `rtnl_mutex`, which the exit takes later: a device that gets past this line is seen by it.
        if net.is_dying() {
            return Err(Errno::NODEV);
        }
        let pattern = dev.name();
        if !dev_valid_name(&pattern) {
            return Err(Errno::INVAL);
        }
        if let Err(errno) = self.name_and_create(dev, &net, &pattern) {
            dev.update(|state| state.name = pattern);
            return Err(errno);
        }
        if let Err(errno) = dev.ops.init(self, dev) {
            self.forget_real(dev, pattern);
            return Err(errno);
        }
        if let Err(errno) = self.call_netdevice_notifiers(NetdevEvent::PostInit, dev) {
            dev.ops.uninit(self, dev);
            self.forget_real(dev, pattern);
            return Err(errno);
        }
        dev.update(|state| {
            state.reg_state = RegState::Registered;
            state.carrier_told = state.carrier;
        });
        self.core().show_netdev(dev);
        self.list_netdevice(dev);
        if let Err(errno) = self.call_netdevice_notifiers(NetdevEvent::Register, dev) {
            self.unregister_netdevice(dev);
            return Err(errno);
        }
        Ok(())
    }

    /// Gives the device its name and index: those of the real device, if there are real devices.
    fn name_and_create(
        &mut self,
        dev: &Arc<Netdev>,
        net: &Arc<Net>,
        pattern: &str,
    ) -> Result<(), Errno> {
        match &self.core().backend {
            Some(backend) => {
                if !pattern.contains('%') && self.dev_get_by_name(net, pattern).is_some() {
                    return Err(Errno::EXIST);
                }
                let request = dev.read(|state| (state.mac, state.mtu, state.carrier));
                let real = backend.create(&NetdevRequest {
                    net,
                    name: pattern,
                    mac: request.0,
                    mtu: request.1,
                    carrier: request.2,
                    flags: dev.flags,
                })?;
                let (name, ifindex) = (real.name(), real.ifindex());
                *lock(&dev.real) = Some(real);
                dev.update(|state| {
                    state.name = name;
                    state.ifindex = ifindex;
                });
            }
            None => {
                let name = self.dev_get_valid_name(net, pattern)?;
                let ifindex = self.dev_new_index(net);
                dev.update(|state| {
                    state.name = name;
                    state.ifindex = ifindex;
                });
            }
        }
        Ok(())
    }

    /// A registration has failed: the device is as it was.
    fn forget_real(&mut self, dev: &Arc<Netdev>, pattern: String) {
        let real = lock(&dev.real).take();
        drop(real);
        dev.update(|state| {
            state.name = pattern;
            state.ifindex = 0;
        });
    }

    /// Unregisters a device: takes it down, unlists it, tells `Unregister` and `PreUninit`, removes the real one
    /// (`unregister_netdevice`). Does nothing with a device that is not registered.
    #[inline(never)]
    pub fn unregister_netdevice(&mut self, dev: &Arc<Netdev>) {
        if dev.reg_state() != RegState::Registered {
            return;
        }
        self.dev_close(dev);
        let was_listed = self.unlist_netdevice(dev);
        dev.update(|state| state.reg_state = RegState::Unregistering);
        if was_listed {
            // Nobody can veto the end of a device.
            let _ = self.call_netdevice_notifiers(NetdevEvent::Unregister, dev);
        }
        let _ = self.call_netdevice_notifiers(NetdevEvent::PreUninit, dev);
        dev.ops.uninit(self, dev);
        self.core().hide_netdev(dev);
        let real = lock(&dev.real).take();
        backend::remove(real);
        dev.update(|state| state.reg_state = RegState::Unregistered);
    }

    /// Takes the device up (`dev_open`).
    ///
    /// # Errors
    /// `ENODEV` when it is not registered; what a notifier says to `PreUp`, or the driver's `open`.
    pub fn dev_open(&mut self, dev: &Arc<Netdev>) -> Result<(), Errno> {
        if dev.is_up() {
            return Ok(());
        }
        if dev.reg_state() != RegState::Registered {
            return Err(Errno::NODEV);
        }
        self.call_netdevice_notifiers(NetdevEvent::PreUp, dev)?;
        let ops = Arc::clone(&dev.ops);
        ops.open(self, dev)?;
        dev.update(|state| state.up = true);
        let _ = self.call_netdevice_notifiers(NetdevEvent::Up, dev);
        Ok(())
    }

    /// Takes the device down (`dev_close`).
    pub fn dev_close(&mut self, dev: &Arc<Netdev>) {
        if !dev.is_up() {
            return;
        }
        let _ = self.call_netdevice_notifiers(NetdevEvent::GoingDown, dev);
        let ops = Arc::clone(&dev.ops);
        ops.stop(self, dev);
        dev.update(|state| state.up = false);
        let _ = self.call_netdevice_notifiers(NetdevEvent::Down, dev);
    }

    /// Renames the device, to a name or a pattern (`dev_change_name`); since kernel 6.2 also while it is up.
    ///
    /// # Errors
    /// `EINVAL`, `EEXIST`, `ENFILE` as for registering; what the real device or a notifier says.
    pub fn dev_change_name(&mut self, dev: &Arc<Netdev>, name: &str) -> Result<(), Errno> {
        let old = dev.name();
        if old == name {
            return Ok(());
        }
        let new = self.dev_get_valid_name(&dev.net(), name)?;
        dev.with_real(|real| real.rename(&new)).unwrap_or(Ok(()))?;
        self.renamed(dev, new)?;
        Ok(())
    }

    /// The device has another name now: says so to the log and to the notifiers, one of which may refuse.
    pub(crate) fn renamed(&mut self, dev: &Arc<Netdev>, new: String) -> Result<(), Errno> {
        let old = self.set_name(dev, new);
        self.log_renamed(dev, &old);
        let result = self.call_netdevice_notifiers(NetdevEvent::ChangeName, dev);
        if result.is_err() {
            let refused = self.set_name(dev, old.clone());
            if let Some(Err(errno)) = dev.with_real(|real| real.rename(&old)) {
                dev.log(
                    self.core(),
                    Level::Err,
                    format_args!("name change rollback failed: {errno}"),
                );
            }
            self.log_renamed(dev, &refused);
            let _ = self.call_netdevice_notifiers(NetdevEvent::ChangeName, dev);
        }
        result
    }

    /// Gives the device its new name, also where it is listed; returns the old one.
    fn set_name(&mut self, dev: &Netdev, new: String) -> String {
        let (old, place, net) = dev.update(|state| {
            let old = std::mem::replace(&mut state.name, new);
            (old, state.place, state.net.id())
        });
        if let Some(place) = place {
            self.net_devices(net).devices.renamed(place, &old);
        }
        old
    }

    fn log_renamed(&self, dev: &Netdev, old: &str) {
        let while_up = if dev.is_up() { " (while UP)" } else { "" };
        dev.log(
            self.core(),
            Level::Info,
            format_args!("renamed from {old}{while_up}"),
        );
    }

    /// Moves the device to another namespace. If its name is taken there, it gets one of `pattern`
    /// (`dev_change_net_namespace`).
    ///
    /// # Errors
    /// `EINVAL` when it is not registered, `ENODEV` when the namespace is on its way out; `EEXIST` when its name is taken and there is no pattern; what the real device
    /// says. The device then stays where it is.
    #[inline(never)]
    pub fn dev_change_net_namespace(
        &mut self,
        dev: &Arc<Netdev>,
        net: &Arc<Net>,
        pattern: Option<&str>,
    ) -> Result<(), Errno> {
        if dev.reg_state() != RegState::Registered {
            return Err(Errno::INVAL);
        }
        if dev.net() == *net {
            return Ok(());
        }
        if net.is_dying() {
            return Err(Errno::NODEV);
        }
        let mut name = dev.name();
        if self.dev_get_by_name(net, &name).is_some() {
            name = self.dev_get_valid_name(net, pattern.ok_or(Errno::EXIST)?)?;
        }
        self.leave(dev);
        let moved = dev.with_real(|real| {
            let result = match real.move_to(net, &name) {
                // The model knows only its own devices; there may be others.
                Err(Errno::EXIST) if pattern.is_some() => {
                    real.move_to(net, pattern.unwrap_or(&name))
                }
                result => result,
            };
            result.map(|()| (real.name(), real.ifindex()))
        });
        match moved {
            Some(Ok((name, ifindex))) => self.arrive(dev, net, name, ifindex),
            Some(Err(errno)) => {
                let (old, name, ifindex) =
                    dev.read(|state| (Arc::clone(&state.net), state.name.clone(), state.ifindex));
                self.arrive(dev, &old, name, ifindex);
                return Err(errno);
            }
            None => {
                let ifindex = match self.dev_get_by_index(net, dev.ifindex()) {
                    Some(_) => self.dev_new_index(net),
                    None => dev.ifindex(),
                };
                self.arrive(dev, net, name, ifindex);
            }
        }
        Ok(())
    }

    /// First half of a move: down, off the list, `Unregister`.
    pub(crate) fn leave(&mut self, dev: &Arc<Netdev>) {
        self.dev_close(dev);
        if self.unlist_netdevice(dev) {
            let _ = self.call_netdevice_notifiers(NetdevEvent::Unregister, dev);
        }
    }

    /// Second half of a move: the notifiers that follow it, its new place, `Register`.
    pub(crate) fn arrive(&mut self, dev: &Arc<Netdev>, net: &Arc<Net>, name: String, ifindex: u32) {
        let from = dev.net();
        if from != *net {
            self.move_netdevice_notifiers_dev_net(dev, from.id(), net.id());
        }
        dev.update(|state| {
            state.net = Arc::clone(net);
            state.name = name;
            state.ifindex = ifindex;
        });
        self.list_netdevice(dev);
        let _ = self.call_netdevice_notifiers(NetdevEvent::Register, dev);
    }

    fn list_netdevice(&mut self, dev: &Arc<Netdev>) {
        let net = dev.net().id();
        let place = self.net_devices(net).devices.add(dev);
        dev.update(|state| state.place = Some(place));
    }

    /// Off its namespace's list; says whether it was on it.
    pub(crate) fn unlist_netdevice(&mut self, dev: &Arc<Netdev>) -> bool {
        let net = dev.net().id();
        let Some(place) = dev.update(|state| state.place.take()) else {
            return false;
        };
        self.net_devices(net).devices.remove(place);
        true
    }

    /// The name that a name or a pattern comes to in this namespace.
    fn dev_get_valid_name(&self, net: &Net, pattern: &str) -> Result<String, Errno> {
        if !dev_valid_name(pattern) {
            return Err(Errno::INVAL);
        }
        let Some((prefix, suffix)) = pattern.split_once('%') else {
            return match self.dev_get_by_name(net, pattern) {
                Some(_) => Err(Errno::EXIST),
                None => Ok(pattern.to_owned()),
            };
        };
        let suffix = suffix.strip_prefix('d').ok_or(Errno::INVAL)?;
        if suffix.contains('%') {
            return Err(Errno::INVAL);
        }
        (0..MAX_NUMBERS)
            .map(|number| format!("{prefix}{number}{suffix}"))
            .find(|name| self.dev_get_by_name(net, name).is_none())
            .filter(|name| name.len() < IFNAMSIZ)
            .ok_or(Errno::NFILE)
    }

    /// The next interface index of the model; 1 is the loopback device's.
    fn dev_new_index(&mut self, net: &Net) -> u32 {
        let last = self.net_devices(net.id()).last_ifindex.max(1);
        let free = (last + 1..)
            .find(|ifindex| self.dev_get_by_index(net, *ifindex).is_none())
            .unwrap_or(u32::MAX);
        self.net_devices(net.id()).last_ifindex = free;
        free
    }

    /// Tells of the carriers that have changed.
    pub(crate) fn linkwatch_run_queue(&mut self) {
        loop {
            let Some(dev) = lock(&self.core().linkwatch_list).pop_front() else {
                break;
            };
            let tell = dev.update(|state| {
                state.linkwatch_pending = false;
                let changed = state.carrier != state.carrier_told;
                state.carrier_told = state.carrier;
                changed && state.up && state.reg_state == RegState::Registered
            });
            if tell {
                let _ = self.call_netdevice_notifiers(NetdevEvent::Change, &dev);
            }
        }
    }

    /// The devices of a namespace that goes return to `init_net` (`default_device_exit_net`).
    fn default_device_exit_net(&mut self, net: &Net) {
        for dev in self.devices(net) {
            self.return_to_init_net(&dev);
        }
    }

    /// Moves a device to `init_net`, under another name if its own is taken there.
    pub(crate) fn return_to_init_net(&mut self, dev: &Arc<Netdev>) {
        let init_net = Arc::clone(self.core().init_net());
        let mut fallback = format!("dev{}", dev.ifindex());
        if self.dev_get_by_name(&init_net, &fallback).is_some() {
            "dev%d".clone_into(&mut fallback);
        }
        if let Err(errno) = self.dev_change_net_namespace(dev, &init_net, Some(&fallback)) {
            // The kernel stops the machine here. A device that cannot be had any more must not stay in a namespace that
            // is gone.
            self.core().klog().emerg(format_args!(
                "default_device_exit_net: failed to move {} to init_net: {}",
                dev.name(),
                -errno.raw_os_error()
            ));
            self.unregister_netdevice(dev);
        }
    }
}

/// What the core itself does when a namespace goes.
pub(crate) struct DefaultDevice;

impl PernetOperations for DefaultDevice {
    fn name(&self) -> &str {
        "default_device"
    }

    fn exit_batch(&self, core: &Arc<NetCore>, nets: &[Arc<Net>], held: &mut Held<'_, PernetOps>) {
        let mut rtnl = core.rtnl_lock(held);
        for net in nets {
            rtnl.default_device_exit_net(net);
        }
    }
}

/// Whether a device may be called that (`dev_valid_name`).
fn dev_valid_name(name: &str) -> bool {
    !name.is_empty()
        && name.len() < IFNAMSIZ
        && name != "."
        && name != ".."
        && !name
            .bytes()
            .any(|byte| byte == b'/' || byte == b':' || byte.is_ascii_whitespace() || byte == 0x0b)
}
