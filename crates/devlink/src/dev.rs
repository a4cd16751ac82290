//! The instance itself: `GET`, and the settings of its eswitch.
//!
//! What `RELOAD` does has a module of its own, [`reload`](crate::reload); its statistics are part of what `GET` shows.

use netlink::genl::{Batch, Reply, Request};
use netlink::{Writer, attr, cmd};

use crate::core::{Devl, Devlink, Objects};
use crate::rate;
use crate::reload::{ReloadAction, ReloadLimit, ReloadStats, combination_is_invalid};

impl Devlink {
    /// Writes the handle, first in every message: names, and since 7.1 the index.
    pub(crate) fn put_handle(&self, w: &mut Writer<'_>) -> netlink::Result {
        w.put_str(attr::BUS_NAME, self.bus_name())?;
        w.put_str(attr::DEV_NAME, self.dev_name())?;
        w.put_uint(attr::INDEX, u64::from(self.index()))
    }
}

// The one encoder.

/// Writes the instance's attributes (`devlink_nl_fill`).
fn fill(w: &mut Writer<'_>, objects: &Objects<'_>) -> netlink::Result {
    objects.devlink().put_handle(w)?;
    w.put_u8(attr::RELOAD_FAILED, u8::from(objects.is_reload_failed()))?;
    w.nest(attr::DEV_STATS, |w| {
        let (actions, limits) = (
            objects.ops().reload_actions(),
            objects.ops().reload_limits(),
        );
        w.nest(attr::RELOAD_STATS, |w| {
            put_stats(w, &objects.state.stats, |action, limit| {
                actions.contains(action) && (limit == ReloadLimit::Unspec || limits.contains(limit))
            })
        })?;
        // What other hosts have caused is shown even where this one cannot.
        w.nest(attr::REMOTE_RELOAD_STATS, |w| {
            put_stats(w, &objects.state.remote_stats, |_, _| true)
        })
    })?;
    objects.put_nested(w)
}

fn put_stats(
    w: &mut Writer<'_>,
    stats: &ReloadStats,
    shown: impl Fn(ReloadAction, ReloadLimit) -> bool,
) -> netlink::Result {
    for action in ReloadAction::ALL {
        // The limit "none" is shown for every action that is, so it tells whether the action is.
        if !shown(action, ReloadLimit::Unspec) {
            continue;
        }
        w.nest(attr::RELOAD_ACTION_INFO, |w| {
            w.put_u8(attr::RELOAD_ACTION, action as u8)?;
            w.nest(attr::RELOAD_ACTION_STATS, |w| {
                let possible = |&limit: &ReloadLimit| {
                    shown(action, limit) && !combination_is_invalid(action, limit)
                };
                ReloadLimit::ALL
                    .into_iter()
                    .filter(possible)
                    .try_for_each(|limit| {
                        w.nest(attr::RELOAD_STATS_ENTRY, |w| {
                            w.put_u8(attr::RELOAD_STATS_LIMIT, limit as u8)?;
                            w.put_u32(attr::RELOAD_STATS_VALUE, stats.get(limit, action))
                        })
                    })
            })
        })?;
    }
    Ok(())
}

// Notifications.

/// Tells the users of the instance's namespace that it is there, has changed, or goes.
pub(crate) fn notify(objects: &Objects<'_>, cmd: u8) {
    objects
        .devlink()
        .notify_send(None, cmd, |w| fill(w, objects));
}

// The handlers.

pub(crate) fn get_doit(devl: &Devl<'_>, reply: &mut Reply<'_>) -> netlink::Result {
    reply.send(cmd::NEW, |w| fill(w, devl))
}

pub(crate) fn get_dump_one(devl: &Devl<'_>, batch: &mut Batch<'_>) -> netlink::Result {
    batch.put(cmd::NEW, |w| fill(w, devl))
}

/// `net/devlink/dev.c: devlink_nl_eswitch_fill`
pub(crate) fn eswitch_get_doit(devl: &mut Devl<'_>, reply: &mut Reply<'_>) -> netlink::Result {
    let devlink = devl.devlink();
    let ops = devl.ops();
    let mode = ops.eswitch_mode_get(devl)?;
    let inline_mode = ops.eswitch_inline_mode_get(devl)?;
    let encap_mode = ops.eswitch_encap_mode_get(devl)?;
    reply.send(cmd::ESWITCH_GET, |w| {
        devlink.put_handle(w)?;
        mode.map_or(Ok(()), |mode| w.put_u16(attr::ESWITCH_MODE, mode))?;
        inline_mode.map_or(Ok(()), |mode| w.put_u8(attr::ESWITCH_INLINE_MODE, mode))?;
        encap_mode.map_or(Ok(()), |mode| w.put_u8(attr::ESWITCH_ENCAP_MODE, mode))
    })
}

/// `net/devlink/dev.c: devlink_nl_eswitch_set_doit`. Each setting is done as it comes; a failure leaves those before it done.
pub(crate) fn eswitch_set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let ops = devl.ops();
    if let Some(mode) = request.attrs().get_u16(attr::ESWITCH_MODE) {
        rate::check_no_nodes(devl)?;
        ops.eswitch_mode_set(devl, mode, request.ext_ack())?;
    }
    if let Some(mode) = request.attrs().get_u8(attr::ESWITCH_INLINE_MODE) {
        ops.eswitch_inline_mode_set(devl, mode, request.ext_ack())?;
    }
    if let Some(mode) = request.attrs().get_u8(attr::ESWITCH_ENCAP_MODE) {
        ops.eswitch_encap_mode_set(devl, mode, request.ext_ack())?;
    }
    Ok(())
}
