//! The commands on rate objects.

use std::sync::Arc;

use netlink::attr::rate_tc;
use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Attrs, Error, ExtAck, KernelVersion, RawAttr, attr, cmd};
use rustix::io::Errno;

use super::ops::{RATE_TCS_MAX, RateOp, RateSetting, supported};
use super::{Rate, RateItem, RateKind, fill, notify_place};
use crate::core::{Devl, Objects};

fn node_name<'a>(attrs: &Attrs<'a>) -> Result<&'a [u8], Errno> {
    let name = attrs.get(attr::RATE_NODE_NAME).ok_or(Errno::INVAL)?.text();
    // Neither nothing nor a decimal number, which would be taken for a port's.
    if name.iter().all(u8::is_ascii_digit) {
        return Err(Errno::INVAL);
    }
    Ok(name)
}

fn node_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<i64, Errno> {
    let name = node_name(attrs)?;
    objects.state.rates.node(name).ok_or(Errno::NODEV)
}

/// `net/devlink/rate.c: devlink_rate_get_from_info`
fn rate_from(objects: &Objects<'_>, attrs: &Attrs<'_>) -> Result<i64, Errno> {
    match attrs.get_u32(attr::PORT_INDEX) {
        Some(index) => objects
            .state
            .rates
            .leaves
            .get(&index)
            .copied()
            .ok_or(Errno::NODEV),
        None => node_from(objects, attrs),
    }
}

pub(crate) fn get_doit(
    devl: &Devl<'_>,
    request: &Request<'_>,
    reply: &mut Reply<'_>,
) -> netlink::Result {
    let place = rate_from(devl, &request.attrs())?;
    let item = devl.state.rates.items.get(&place).ok_or(Errno::NODEV)?;
    reply.send(cmd::RATE_NEW, |w| fill(w, devl, item))
}

/// Dumps the instance's rate objects. The cursor is the place of the one to go on with, raised so that the least is 0.
pub(crate) fn get_dump_one(
    devl: &Devl<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> netlink::Result {
    const LEAST: u64 = 1 << 63;
    let from = i64::from_ne_bytes((cursor.index ^ LEAST).to_ne_bytes());
    for (&place, item) in devl.state.rates.items.range(from..) {
        if let Err(error) = batch.put(cmd::RATE_NEW, |w| fill(w, devl, item)) {
            cursor.index = u64::from_ne_bytes(place.to_ne_bytes()) ^ LEAST;
            return Err(error);
        }
    }
    Ok(())
}

/// `net/devlink/rate.c: devlink_nl_rate_set_doit`
pub(crate) fn set_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let place = rate_from(devl, &request.attrs())?;
    let rate = match devl.state.rates.items.get(&place) {
        Some(item) => Arc::clone(&item.rate),
        None => return Err(Errno::NODEV.into()),
    };
    let ops = devl.ops();
    supported(ops.rate_ops().provides(), &request.attrs(), rate.is_node())?;
    set(devl, &rate, place, request)?;
    notify_place(devl, place, cmd::RATE_NEW);
    Ok(())
}

/// `net/devlink/rate.c: devlink_nl_rate_new_doit`
pub(crate) fn new_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let ops = devl.ops();
    let rate_ops = ops.rate_ops();
    if !rate_ops.provides().contains(RateOp::Node) {
        return Err(Error::with_msg(
            Errno::OPNOTSUPP,
            "Rate nodes aren't supported",
        ));
    }
    supported(rate_ops.provides(), &request.attrs(), true)?;
    let name = node_name(&request.attrs())?;
    if devl.state.rates.node(name).is_some() {
        return Err(Errno::EXIST.into());
    }
    let kind = RateKind::Node(name.to_vec());
    let data = rate_ops.node_new(devl, &kind, request.ext_ack())?;
    let rate = Arc::new(Rate { kind, data });
    // It is in the list before users hear of it, but not before it is complete: the lock keeps it from them.
    let mut item = RateItem::new(Arc::clone(&rate), None);
    item.in_the_making = true;
    let place = devl.state.rates.add(item);
    if let Err(error) = set(devl, &rate, place, request) {
        devl.state.rates.remove(place);
        // That it cannot be deleted helps nobody; the first reason is the one to tell.
        _ = rate_ops.node_del(devl, &rate, request.ext_ack());
        return Err(error);
    }
    if let Some(item) = devl.state.rates.items.get_mut(&place) {
        item.in_the_making = false;
    }
    notify_place(devl, place, cmd::RATE_NEW);
    Ok(())
}

/// `net/devlink/rate.c: devlink_nl_rate_del_doit`
pub(crate) fn del_doit(devl: &mut Devl<'_>, request: &mut Request<'_>) -> netlink::Result {
    let place = node_from(devl, &request.attrs())?;
    let rate = match devl.state.rates.items.get(&place) {
        Some(item) => Arc::clone(&item.rate),
        None => return Err(Errno::NODEV.into()),
    };
    if devl.state.rates.has_children(&rate) {
        let text = "Node has children. Cannot delete node.";
        return Err(Error::with_msg(Errno::BUSY, text));
    }
    notify_place(devl, place, cmd::RATE_DEL);
    // It goes, whatever the driver says to that.
    let ops = devl.ops();
    let result = ops.rate_ops().node_del(devl, &rate, request.ext_ack());
    devl.state.rates.remove(place);
    Ok(result?)
}

/// Does what a request asks for, setting by setting, the parent last (`net/devlink/rate.c: devlink_nl_rate_set`).
fn set(
    devl: &mut Devl<'_>,
    rate: &Arc<Rate>,
    place: i64,
    request: &mut Request<'_>,
) -> netlink::Result {
    let attrs = request.attrs();
    let numbers = [
        attrs.get_u64(attr::RATE_TX_SHARE).map(RateSetting::TxShare),
        attrs.get_u64(attr::RATE_TX_MAX).map(RateSetting::TxMax),
        attrs
            .get_u32(attr::RATE_TX_PRIORITY)
            .map(RateSetting::TxPriority),
        attrs
            .get_u32(attr::RATE_TX_WEIGHT)
            .map(RateSetting::TxWeight),
    ];
    for setting in numbers.into_iter().flatten() {
        set_one(devl, rate, place, setting, request.ext_ack())?;
    }
    if attrs.has(attr::RATE_TC_BWS) {
        let tc_bw = tc_bw_from(request)?;
        set_one(
            devl,
            rate,
            place,
            RateSetting::TcBw(tc_bw),
            request.ext_ack(),
        )?;
    }
    match attrs.get(attr::RATE_PARENT_NODE_NAME) {
        Some(name) => parent_set(devl, rate, place, name.text(), request),
        None => Ok(()),
    }
}

fn set_one(
    devl: &mut Devl<'_>,
    rate: &Arc<Rate>,
    place: i64,
    setting: RateSetting,
    extack: &mut ExtAck,
) -> Result<(), Errno> {
    devl.ops().rate_ops().set(devl, rate, setting, extack)?;
    if let Some(item) = devl.state.rates.items.get_mut(&place) {
        item.keep(setting);
    }
    Ok(())
}

/// The shares of all traffic classes, each in a nest of its own (`net/devlink/rate.c: devlink_nl_rate_tc_bw_parse`).
fn tc_bw_from(request: &mut Request<'_>) -> Result<[u32; RATE_TCS_MAX], Error> {
    let attrs = request.attrs();
    let policy = netlink::devlink::nests(request.kernel()).rate_tc_bw;
    let mut shares = [None; RATE_TCS_MAX];
    let is_share = |nest: &RawAttr<'_>| nest.number() == attr::RATE_TC_BWS.number();
    for nest in attrs.iter().filter(is_share) {
        let parsed = attrs.nested(nest, policy, request.ext_ack())?;
        let parsed = parsed.attrs();
        let tc = parsed
            .get_u8(rate_tc::INDEX)
            .ok_or_else(|| missing_in(nest, rate_tc::INDEX))?;
        let bw = parsed
            .get_u32(rate_tc::BW)
            .ok_or_else(|| missing_in(nest, rate_tc::BW))?;
        let share = shares.get_mut(usize::from(tc)).ok_or(Errno::INVAL)?;
        if share.replace(bw).is_some() {
            let error = Error::new(Errno::INVAL);
            return Err(error.msg_fmt(format_args!(
                "Duplicate traffic class index specified ({tc})"
            )));
        }
    }
    let mut tc_bw = [0; RATE_TCS_MAX];
    for (bw, share) in tc_bw.iter_mut().zip(shares) {
        *bw = share.ok_or_else(|| {
            let text = "Bandwidth values must be specified for all 8 traffic classes";
            Error::with_msg(Errno::INVAL, text)
        })?;
    }
    Ok(tc_bw)
}

/// `EINVAL` because a nest lacks what it must have.
fn missing_in<K>(nest: RawAttr<'_>, attr: netlink::Attr<K>) -> Error {
    let mut error = Error::new(Errno::INVAL);
    error.ext_ack_mut().set_missing(attr, Some(nest));
    error
}

/// `net/devlink/rate.c: devlink_nl_rate_parent_node_set`; an empty name is no parent.
fn parent_set(
    devl: &mut Devl<'_>,
    rate: &Arc<Rate>,
    place: i64,
    name: &[u8],
    request: &mut Request<'_>,
) -> netlink::Result {
    let rates = &devl.state.rates;
    let has_parent = rates
        .items
        .get(&place)
        .is_some_and(|item| item.parent.is_some());
    // One parent could not be exchanged for another in one step.
    if request.kernel() == KernelVersion::V6_1 && has_parent && !name.is_empty() {
        return Err(Error::with_msg(
            Errno::BUSY,
            "Rate object already has parent.",
        ));
    }
    let parent = if name.is_empty() {
        if !has_parent {
            return Ok(());
        }
        None
    } else {
        let parent = rates
            .node(name)
            .and_then(|place| rates.items.get(&place))
            .ok_or(Errno::NODEV)?;
        if Arc::ptr_eq(&parent.rate, rate) {
            return Err(Error::with_msg(
                Errno::INVAL,
                "Parent to self is not allowed",
            ));
        }
        if rate.is_node() && rates.is_above(rate, parent.parent.as_ref()) {
            let text = "Node is already a parent of parent node.";
            return Err(Error::with_msg(Errno::EXIST, text));
        }
        Some(Arc::clone(&parent.rate))
    };
    devl.ops()
        .rate_ops()
        .parent_set(devl, rate, parent.as_ref(), request.ext_ack())?;
    if let Some(item) = devl.state.rates.items.get_mut(&place) {
        item.parent = parent;
    }
    Ok(())
}
