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
use netlink::{Error, ExtAck, Writer, attr, cmd};
use rustix::io::Errno;

use crate::core::{Devl, Objects};
use crate::notify::Order;
use crate::port::Port;

mod handlers;
mod ops;

pub(crate) use handlers::{del_doit, get_doit, get_dump_one, new_doit, set_doit};
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
    /// A node that is still being made is found by nobody, not even by itself as its parent.
    in_the_making: bool,
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
            in_the_making: false,
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
        let is_called = |item: &RateItem| {
            let it = matches!(&item.rate.kind, RateKind::Node(other) if other == name);
            it && !item.in_the_making
        };
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
    if devlink.notify_need() {
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
