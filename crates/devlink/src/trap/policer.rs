//! Trap policers: limits on how many trapped packets reach the processor.

use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Error, Writer, attr, cmd};
use rustix::io::Errno;

use super::TrapPolicer;
use crate::core::{Devl, Objects};
use crate::netlink::dump_items;
use crate::notify::Order;

/// A registered trap policer (`struct devlink_trap_policer_item`).
#[derive(Debug)]
pub(crate) struct TrapPolicerItem {
    policer: TrapPolicer,
    /// Packets per second.
    rate: u64,
    /// Packets.
    burst: u64,
}

// Look-ups from a request.

/// Where the policer that a request names is in the list.
fn find(objects: &Objects<'_>, request: &Request<'_>) -> Result<usize, Error> {
    let id = request.attrs().get_u32(attr::TRAP_POLICER_ID);
    let policers = &objects.state.trap_policers;
    policers
        .iter()
        .position(|item| Some(item.policer.id) == id)
        .ok_or_else(unknown)
}

pub(super) fn unknown() -> Error {
    Error::with_msg(Errno::NOENT, "Device did not register this trap policer")
}

fn require_any(objects: &Objects<'_>) -> netlink::Result {
    match objects.state.trap_policers.is_empty() {
        true => Err(Errno::OPNOTSUPP.into()),
        false => Ok(()),
    }
}

// The one encoder.

/// Writes the policer's attributes (`net/devlink/trap.c: devlink_nl_trap_policer_fill`).
fn fill(w: &mut Writer<'_>, objects: &Objects<'_>, item: &TrapPolicerItem) -> netlink::Result {
    let devlink = objects.devlink();
    devlink.put_handle(w)?;
    w.put_u32(attr::TRAP_POLICER_ID, item.policer.id)?;
    w.put_u64(attr::TRAP_POLICER_RATE, item.rate)?;
    w.put_u64(attr::TRAP_POLICER_BURST, item.burst)?;
    let dropped = objects
        .ops()
        .trap_policer_counter_get(devlink, &item.policer);
    // Whatever the driver's reason is, the kernel says that the message is too long.
    match dropped.map_err(|_| Errno::MSGSIZE)? {
        Some(dropped) => w.nest(attr::STATS, |w| w.put_u64(attr::stats::RX_DROPPED, dropped)),
        None => Ok(()),
    }
}

// Notifications.

fn notify(objects: &Objects<'_>, item: &TrapPolicerItem, cmd: u8) {
    objects
        .devlink()
        .notify_send(None, cmd, |w| fill(w, objects, item));
}

pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    for item in order.of(objects.state.trap_policers.iter()) {
        notify(objects, item, cmd);
    }
}

// The handlers.

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    require_any(devl)?;
    let item = &devl.state.trap_policers[find(devl, request)?];
    reply.send(cmd::TRAP_POLICER_NEW, |w| fill(w, devl, item))
}

pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    dump_items(&devl.state.trap_policers, cursor, |item| {
        batch.put(cmd::TRAP_POLICER_NEW, |w| fill(w, devl, item))
    })
}

/// `net/devlink/trap.c: devlink_nl_trap_policer_set_doit`. Nobody is notified.
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    require_any(devl)?;
    let ops = devl.ops();
    if !ops.can_set_trap_policers() {
        return Err(Errno::OPNOTSUPP.into());
    }
    let index = find(devl, request)?;
    let (attrs, item) = (request.attrs(), &devl.state.trap_policers[index]);
    let policer = item.policer;
    let rate = attrs.get_u64(attr::TRAP_POLICER_RATE).unwrap_or(item.rate);
    let burst = attrs
        .get_u64(attr::TRAP_POLICER_BURST)
        .unwrap_or(item.burst);
    let limits = [
        (rate < policer.min_rate, "Policer rate lower than limit"),
        (rate > policer.max_rate, "Policer rate higher than limit"),
        (
            burst < policer.min_burst,
            "Policer burst size lower than limit",
        ),
        (
            burst > policer.max_burst,
            "Policer burst size higher than limit",
        ),
    ];
    if let Some((_, text)) = limits.into_iter().find(|&(broken, _)| broken) {
        return Err(Error::with_msg(Errno::INVAL, text));
    }
    ops.trap_policer_set(devl, &policer, rate, burst, request.ext_ack())?;
    let item = &mut devl.state.trap_policers[index];
    (item.rate, item.burst) = (rate, burst);
    Ok(())
}

// The API for drivers.

impl Objects<'_> {
    /// Registers trap policers, in the order given; all or none (`devl_trap_policers_register`).
    ///
    /// # Errors
    ///
    /// `EINVAL` if one has the number 0 or limits that exclude everything, `EEXIST` if its number is taken, and the driver's
    /// own.
    pub fn trap_policers_register(&mut self, policers: &[TrapPolicer]) -> Result<(), Errno> {
        for (done, policer) in policers.iter().enumerate() {
            if let Err(errno) = self.trap_policer_register(policer) {
                self.trap_policers_unregister(&policers[..done]);
                return Err(errno);
            }
        }
        Ok(())
    }

    fn trap_policer_register(&mut self, policer: &TrapPolicer) -> Result<(), Errno> {
        let what = "a trap policer's number or limits make no sense";
        if self
            .devlink()
            .warn_on(!policer.is_valid(), "devl_trap_policers_register", what)
        {
            return Err(Errno::INVAL);
        }
        if self.trap_policer(policer.id).is_some() {
            return Err(Errno::EXIST);
        }
        let ops = self.ops();
        ops.trap_policer_init(self, policer)?;
        let item = TrapPolicerItem {
            policer: *policer,
            rate: policer.init_rate,
            burst: policer.init_burst,
        };
        notify(self, &item, cmd::TRAP_POLICER_NEW);
        self.state.trap_policers.push(item);
        Ok(())
    }

    /// Unregisters trap policers, the last one first (`devl_trap_policers_unregister`).
    pub fn trap_policers_unregister(&mut self, policers: &[TrapPolicer]) {
        for policer in policers.iter().rev() {
            let items = &self.state.trap_policers;
            let Some(index) = items.iter().position(|item| item.policer.id == policer.id) else {
                self.devlink().warn_on(
                    true,
                    "devl_trap_policers_unregister",
                    "no such trap policer",
                );
                continue;
            };
            notify(self, &items[index], cmd::TRAP_POLICER_DEL);
            self.state.trap_policers.remove(index);
            let ops = self.ops();
            ops.trap_policer_fini(self, policer);
        }
    }

    pub(super) fn trap_policer(&self, id: u32) -> Option<&TrapPolicer> {
        let policers = self.state.trap_policers.iter();
        policers
            .map(|item| &item.policer)
            .find(|policer| policer.id == id)
    }
}
