//! Rate objects: how much a port's function may send, and the nodes that group them.
//!
//! A **leaf** belongs to a port and comes and goes with it, by the driver. A **node** has a name and is made by users; it has
//! leaves and other nodes as children. Both have the same settings. The core keeps what was set, the driver does it: a setting
//! that the driver refuses is not kept, and those before it in the same request are (there is no way back).
//!
//! They are listed as the kernel does: nodes first, the youngest in front, then the leaves, the oldest in front.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use netlink::attr::rate_tc;
use netlink::genl::{Batch, DumpCursor, Reply, Request};
use netlink::{Attrs, Error, ExtAck, KernelVersion, RawAttr, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Objects};
use crate::notify::Order;
use crate::port::Port;

mod ops;

pub use ops::{NoRateOps, RATE_TCS_MAX, RateOp, RateOpSet, RateOps, RateSetting};

/// A rate object as the driver knows it: what it is, and what the driver keeps with it (`struct devlink_rate`).
pub struct Rate {
    kind: RateKind,
    data: Arc<dyn Any + Send + Sync>,
}

/// Which of the two kinds of rate objects.
#[derive(Clone, Debug)]
pub enum RateKind {
    /// The one of this port.
    Leaf(Arc<Port>),
    /// The node of this name; a name is bytes.
    Node(Vec<u8>),
}

impl RateKind {
    /// Number of the kind in `DEVLINK_ATTR_RATE_TYPE`.
    const fn number(&self) -> u16 {
        match self {
            Self::Leaf(_) => 0,
            Self::Node(_) => 1,
        }
    }
}

impl Rate {
    /// Which kind, with its identity.
    pub fn kind(&self) -> &RateKind {
        &self.kind
    }

    /// A node's name, what is no text in it replaced.
    pub fn node_name(&self) -> Option<String> {
        match &self.kind {
            RateKind::Leaf(_) => None,
            RateKind::Node(name) => Some(String::from_utf8_lossy(name).into_owned()),
        }
    }

    /// What the driver keeps with the object; `None` if it is of another type.
    pub fn data<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.data.downcast_ref()
    }

    fn is_node(&self) -> bool {
        matches!(self.kind, RateKind::Node(_))
    }
}

impl fmt::Debug for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rate").field(&self.kind).finish()
    }
}

/// A rate object as the core keeps it.
#[derive(Debug)]
struct RateItem {
    rate: Arc<Rate>,
    tx_share: u64,
    tx_max: u64,
    tx_priority: u32,
    tx_weight: u32,
    tc_bw: [u32; RATE_TCS_MAX],
    parent: Option<Arc<Rate>>,
}

impl RateItem {
    fn new(rate: Arc<Rate>, parent: Option<Arc<Rate>>) -> Self {
        Self {
            rate,
            tx_share: 0,
            tx_max: 0,
            tx_priority: 0,
            tx_weight: 0,
            tc_bw: [0; RATE_TCS_MAX],
            parent,
        }
    }

    fn keep(&mut self, setting: RateSetting) {
        match setting {
            RateSetting::TxShare(rate) => self.tx_share = rate,
            RateSetting::TxMax(rate) => self.tx_max = rate,
            RateSetting::TxPriority(priority) => self.tx_priority = priority,
            RateSetting::TxWeight(weight) => self.tx_weight = weight,
            RateSetting::TcBw(tc_bw) => self.tc_bw = tc_bw,
        }
    }
}

/// An instance's rate objects in the kernel's order: nodes have negative places and each gets one below the last, leaves
/// positive ones and each gets one above the last.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    items: BTreeMap<i64, RateItem>,
    /// Where the leaf of a port stands, by the port's number.
    leaves: BTreeMap<u32, i64>,
    nodes_made: i64,
    leaves_made: i64,
}

impl Rates {
    pub(crate) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn add(&mut self, item: RateItem) -> i64 {
        let place = match &item.rate.kind {
            RateKind::Node(_) => {
                self.nodes_made += 1;
                -self.nodes_made
            }
            RateKind::Leaf(port) => {
                self.leaves_made += 1;
                self.leaves.insert(port.index(), self.leaves_made);
                self.leaves_made
            }
        };
        self.items.insert(place, item);
        place
    }

    fn remove(&mut self, place: i64) -> Option<RateItem> {
        let item = self.items.remove(&place)?;
        if let RateKind::Leaf(port) = &item.rate.kind {
            self.leaves.remove(&port.index());
        }
        Some(item)
    }

    fn nodes(&self) -> impl Iterator<Item = (i64, &RateItem)> {
        self.items.range(..0).map(|(&place, item)| (place, item))
    }

    fn node(&self, name: &[u8]) -> Option<i64> {
        let is_called =
            |item: &RateItem| matches!(&item.rate.kind, RateKind::Node(other) if other == name);
        let mut nodes = self.nodes();
        nodes
            .find(|(_, item)| is_called(item))
            .map(|(place, _)| place)
    }

    fn place_of(&self, rate: &Arc<Rate>) -> Option<i64> {
        match &rate.kind {
            RateKind::Node(name) => self.node(name),
            RateKind::Leaf(port) => self.leaves.get(&port.index()).copied(),
        }
    }

    fn has_children(&self, node: &Arc<Rate>) -> bool {
        let is_child = |item: &RateItem| {
            item.parent
                .as_ref()
                .is_some_and(|parent| Arc::ptr_eq(parent, node))
        };
        self.items.values().any(is_child)
    }

    /// Whether `node` is `below` or one of the nodes above it.
    fn is_above(&self, node: &Arc<Rate>, below: Option<&Arc<Rate>>) -> bool {
        let mut at = below;
        while let Some(rate) = at {
            if Arc::ptr_eq(rate, node) {
                return true;
            }
            at = self
                .place_of(rate)
                .and_then(|place| self.items.get(&place)?.parent.as_ref());
        }
        false
    }
}

// Look-ups from a request.

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

// The one encoder.

fn fill(w: &mut Writer<'_>, objects: &Objects<'_>, item: &RateItem) -> netlink::Result {
    objects.devlink().put_handle(w)?;
    w.put_u16(attr::RATE_TYPE, item.rate.kind.number())?;
    match &item.rate.kind {
        RateKind::Leaf(port) => w.put_u32(attr::PORT_INDEX, port.index())?,
        RateKind::Node(name) => w.put_text(attr::RATE_NODE_NAME, name)?,
    }
    w.put_u64(attr::RATE_TX_SHARE, item.tx_share)?;
    w.put_u64(attr::RATE_TX_MAX, item.tx_max)?;
    w.put_u32(attr::RATE_TX_PRIORITY, item.tx_priority)?;
    w.put_u32(attr::RATE_TX_WEIGHT, item.tx_weight)?;
    if let Some(RateKind::Node(name)) = item.parent.as_ref().map(|parent| &parent.kind) {
        w.put_text(attr::RATE_PARENT_NODE_NAME, name)?;
    }
    (0..).zip(item.tc_bw).try_for_each(|(tc, bw)| {
        w.nest(attr::RATE_TC_BWS, |w| {
            w.put_u8(rate_tc::INDEX, tc)?;
            w.put_u32(rate_tc::BW, bw)
        })
    })
}

// Notifications.

fn notify(objects: &Objects<'_>, item: &RateItem, cmd: u8) {
    let devlink = objects.devlink();
    if objects.is_registered() && devlink.notify_need() {
        devlink.notify_send(None, cmd, |w| fill(w, objects, item));
    }
}

fn notify_place(objects: &Objects<'_>, place: i64, cmd: u8) {
    if let Some(item) = objects.state.rates.items.get(&place) {
        notify(objects, item, cmd);
    }
}

/// One notification for each object, in the order of the list or against it.
pub(crate) fn notify_all(objects: &Objects<'_>, cmd: u8, order: Order) {
    let items = objects.state.rates.items.values();
    order.of(items).for_each(|item| notify(objects, item, cmd));
}

// The handlers.

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
    ops::supported(ops.rate_ops().provides(), &request.attrs(), rate.is_node())?;
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
    ops::supported(rate_ops.provides(), &request.attrs(), true)?;
    let name = node_name(&request.attrs())?;
    if devl.state.rates.node(name).is_some() {
        return Err(Errno::EXIST.into());
    }
    let kind = RateKind::Node(name.to_vec());
    let data = rate_ops.node_new(devl, &kind, request.ext_ack())?;
    let rate = Arc::new(Rate { kind, data });
    // It is in the list before users hear of it, but not before it is complete: the lock keeps it from them.
    let place = devl.state.rates.add(RateItem::new(Arc::clone(&rate), None));
    if let Err(error) = set(devl, &rate, place, request) {
        devl.state.rates.remove(place);
        // That it cannot be deleted helps nobody; the first reason is the one to tell.
        _ = rate_ops.node_del(devl, &rate, request.ext_ack());
        return Err(error);
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

/// The eswitch's mode does not change while users' nodes exist (`net/devlink/rate.c: devlink_rates_check`).
pub(crate) fn check_no_nodes(objects: &Objects<'_>) -> netlink::Result {
    match objects.state.rates.nodes().next() {
        Some(_) => Err(Error::with_msg(Errno::BUSY, "Rate node(s) exists.")),
        None => Ok(()),
    }
}

// The API for drivers.

impl Objects<'_> {
    /// Gives a port its rate object, below a node or not (`devl_rate_leaf_create`).
    ///
    /// # Errors
    ///
    /// `EBUSY`, and a warning, if it has one.
    pub fn rate_leaf_create<T: Send + Sync + 'static>(
        &mut self,
        port: &Arc<Port>,
        data: Arc<T>,
        parent: Option<&Arc<Rate>>,
    ) -> Result<(), Errno> {
        let has_one = self.state.rates.leaves.contains_key(&port.index());
        if self.devlink().warn_on(
            has_one,
            "devl_rate_leaf_create",
            "the port has a rate object",
        ) {
            return Err(Errno::BUSY);
        }
        let kind = RateKind::Leaf(Arc::clone(port));
        let rate = Arc::new(Rate { kind, data });
        let place = self.state.rates.add(RateItem::new(rate, parent.cloned()));
        notify_place(self, place, cmd::RATE_NEW);
        Ok(())
    }

    /// Takes a port's rate object away, if it has one (`devl_rate_leaf_destroy`).
    pub fn rate_leaf_destroy(&mut self, port: &Port) {
        if let Some(place) = self.state.rates.leaves.get(&port.index()).copied() {
            notify_place(self, place, cmd::RATE_DEL);
            self.state.rates.remove(place);
        }
    }

    /// Makes a node that no user asked for (`devl_rate_node_create`).
    ///
    /// # Errors
    ///
    /// `EEXIST` if there is one of that name.
    pub fn rate_node_create<T: Send + Sync + 'static>(
        &mut self,
        name: &str,
        data: Arc<T>,
        parent: Option<&Arc<Rate>>,
    ) -> Result<Arc<Rate>, Errno> {
        if self.state.rates.node(name.as_bytes()).is_some() {
            return Err(Errno::EXIST);
        }
        let kind = RateKind::Node(name.as_bytes().to_vec());
        let rate = Arc::new(Rate { kind, data });
        let item = RateItem::new(Arc::clone(&rate), parent.cloned());
        let place = self.state.rates.add(item);
        notify_place(self, place, cmd::RATE_NEW);
        Ok(rate)
    }

    /// The rate object of a port.
    pub fn rate_leaf(&self, port: &Port) -> Option<&Arc<Rate>> {
        let place = self.state.rates.leaves.get(&port.index())?;
        Some(&self.state.rates.items.get(place)?.rate)
    }
}

impl Devl<'_> {
    /// Takes every object from its parent and destroys all nodes, without telling the users (`devl_rate_nodes_destroy`).
    pub fn rate_nodes_destroy(&mut self) {
        let ops = self.ops();
        let rate_ops = ops.rate_ops();
        // Nobody asked, so what the driver says goes nowhere.
        let unheard = &mut ExtAck::default();
        let places: Vec<i64> = self.state.rates.items.keys().copied().collect();
        for place in &places {
            let Some(item) = self.state.rates.items.get_mut(place) else {
                continue;
            };
            if item.parent.take().is_some() {
                let rate = Arc::clone(&item.rate);
                _ = rate_ops.parent_set(self, &rate, None, unheard);
            }
        }
        for place in places.into_iter().take_while(|&place| place < 0) {
            if let Some(item) = self.state.rates.remove(place) {
                _ = rate_ops.node_del(self, &item.rate, unheard);
            }
        }
    }
}
