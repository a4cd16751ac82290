//! Rate objects, shared buffers, dpipe tables and line cards with a driver made for it: what no device shows in passing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::any::Any;
use std::sync::{Arc, Mutex};

use devlink::dpipe::{ETHERNET, ETHERNET_DST_MAC};
use devlink::{
    Devl, Devlink, DpipeAction, DpipeEntry, DpipeMatch, DpipeTableOps, DpipeValue, Linecard,
    LinecardOps, LinecardState, NoPortOps, Ops, Rate, RateKind, RateOp, RateOpSet, RateOps,
    RateSetting, Sb,
};
use lockdep::order::Held;
use netlink::{ExtAck, KernelVersion, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Client, Message};

/// A driver that does some of what can be asked and writes it down.
#[derive(Default)]
struct Driver {
    rates: RateOpSet,
    done: Mutex<Vec<String>>,
    refuse: Mutex<Option<Errno>>,
}

impl Driver {
    fn note(&self, done: String) -> Result<(), Errno> {
        if let Some(errno) = *self.refuse.lock().unwrap() {
            return Err(errno);
        }
        self.done.lock().unwrap().push(done);
        Ok(())
    }

    fn noted(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

struct Hook(Arc<Driver>);

impl Ops for Hook {
    fn rate_ops(&self) -> &dyn RateOps {
        self
    }
}

fn name(rate: &Rate) -> String {
    rate.node_name().unwrap_or_else(|| "leaf".to_owned())
}

impl RateOps for Hook {
    fn provides(&self) -> RateOpSet {
        self.0.rates
    }

    fn set(
        &self,
        _devl: &mut Devl<'_>,
        rate: &Rate,
        setting: RateSetting,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let noted = self.0.note(format!("{} {setting:?}", name(rate)));
        noted.inspect_err(|_| extack.set_msg("toy: no"))
    }

    fn parent_set(
        &self,
        _devl: &mut Devl<'_>,
        rate: &Rate,
        parent: Option<&Arc<Rate>>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let parent = parent.map(|parent| name(parent));
        self.0.note(format!("{} below {parent:?}", name(rate)))
    }

    fn node_new(
        &self,
        _devl: &mut Devl<'_>,
        kind: &RateKind,
        _extack: &mut ExtAck,
    ) -> Result<Arc<dyn Any + Send + Sync>, Errno> {
        assert!(matches!(kind, RateKind::Node(_)));
        self.0.note("new".to_owned())?;
        Ok(Arc::new(()))
    }

    fn node_del(
        &self,
        _devl: &mut Devl<'_>,
        node: &Rate,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.0.note(format!("{} gone", name(node)))
    }
}

const ALL_OF_NODES: [RateOp; 6] = [
    RateOp::Node,
    RateOp::NodeTxShare,
    RateOp::NodeTxMax,
    RateOp::NodeTxPriority,
    RateOp::NodeTxWeight,
    RateOp::NodeParent,
];

struct Switch {
    machine: Machine,
    driver: Arc<Driver>,
    devlink: Arc<Devlink>,
    client: Client,
}

fn switch(kernel: KernelVersion, rates: &[RateOp]) -> Switch {
    let machine = Machine::new(kernel);
    let device = driver_core::Device::new(&machine.bus, "switch", None, ());
    let driver = Arc::new(Driver {
        rates: RateOpSet::of(rates),
        ..Driver::default()
    });
    let net = Arc::clone(machine.net_core.init_net());
    let hook = Arc::new(Hook(Arc::clone(&driver)));
    let devlink = machine.subsystem.alloc(hook, net, device).unwrap();
    devlink.register(&mut Held::root());
    let client = machine.client();
    Switch {
        machine,
        driver,
        devlink,
        client,
    }
}

fn handle() -> Body {
    Body::default()
        .str(attr::BUS_NAME, "netdevsim")
        .str(attr::DEV_NAME, "switch")
}

fn node(name: &str) -> Body {
    handle().str(attr::RATE_NODE_NAME, name)
}

impl Switch {
    fn with<R>(&self, act: impl FnOnce(&mut Devl<'_>) -> R) -> R {
        act(&mut self.devlink.lock(&mut Held::root()))
    }

    fn end(self) {
        self.devlink.unregister(&mut Held::root());
        self.devlink.free(&mut Held::root());
        self.machine.assert_clean();
    }
}

#[test]
fn settings_are_done_one_by_one_and_those_before_a_failure_stay() {
    let mut switch = switch(KernelVersion::V7_2, &ALL_OF_NODES);
    switch.client.doit(cmd::RATE_NEW, node("a")).ok();
    let set = node("a")
        .u64(attr::RATE_TX_MAX, 9)
        .u32(attr::RATE_TX_WEIGHT, 3)
        .u64(attr::RATE_TX_SHARE, 5)
        .u32(attr::RATE_TX_PRIORITY, 2);
    switch.client.doit(cmd::RATE_SET, set).ok();
    let order = [
        "new",
        "a TxShare(5)",
        "a TxMax(9)",
        "a TxPriority(2)",
        "a TxWeight(3)",
    ];
    assert_eq!(switch.driver.noted(), order);
    let shown = switch.client.doit(cmd::RATE_GET, node("a")).ok();
    assert_eq!(shown[0].u32(&[attr::RATE_TX_WEIGHT.number()]), Some(3));

    // A node that cannot be what its user asked for is not made, and the driver is told.
    *switch.driver.refuse.lock().unwrap() = None;
    let listener = switch.machine.client().listen();
    let wanted = node("b").str(attr::RATE_PARENT_NODE_NAME, "nope");
    let refused = switch.client.doit(cmd::RATE_NEW, wanted);
    assert_eq!(refused.error(), (Errno::NODEV, None));
    assert_eq!(switch.driver.noted(), ["new", "b gone"]);
    assert_eq!(listener.notifications(), []);
    *switch.driver.refuse.lock().unwrap() = Some(Errno::NOSPC);
    let refused = switch
        .client
        .doit(cmd::RATE_SET, node("a").u64(attr::RATE_TX_MAX, 7));
    assert_eq!(refused.error(), (Errno::NOSPC, Some("toy: no")));
    // That the driver will not let a node go fails the request, and the node goes.
    let refused = switch.client.doit(cmd::RATE_DEL, node("a"));
    assert_eq!(refused.error(), (Errno::NOSPC, None));
    let gone = switch.client.doit(cmd::RATE_GET, node("a"));
    assert_eq!(gone.error(), (Errno::NODEV, None));
    switch.end();
}

#[test]
fn what_a_driver_does_not_have_is_refused_before_anything_is_done() {
    let mut switch = switch(KernelVersion::V6_12, &[RateOp::Node, RateOp::NodeTxShare]);
    switch.client.doit(cmd::RATE_NEW, node("a")).ok();
    switch.driver.noted();
    let set = |body: Body| node("a").u64(attr::RATE_TX_SHARE, 5).and(body);
    let cases = [
        (
            Body::default().u64(attr::RATE_TX_MAX, 1),
            "TX max set isn't supported for the nodes",
        ),
        (
            Body::default().str(attr::RATE_PARENT_NODE_NAME, ""),
            "Parent set isn't supported for the nodes",
        ),
        (
            Body::default().u32(attr::RATE_TX_PRIORITY, 1),
            "TX priority set isn't supported for the nodes",
        ),
        (
            Body::default().u32(attr::RATE_TX_WEIGHT, 1),
            "TX weight set isn't supported for the nodes",
        ),
    ];
    for (body, text) in cases {
        let refused = switch.client.doit(cmd::RATE_SET, set(body.clone()));
        assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(text)));
        let refused = switch.client.doit(cmd::RATE_NEW, node("b").and(body));
        assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(text)));
    }
    assert!(switch.driver.noted().is_empty());
    switch.client.doit(cmd::RATE_DEL, node("a")).ok();
    switch.end();

    let mut without = self::switch(KernelVersion::V6_1, &[]);
    let refused = without.client.doit(cmd::RATE_NEW, node("a"));
    let text = "leftover: Rate nodes aren't supported";
    assert_eq!(refused.error(), (Errno::OPNOTSUPP, Some(text)));
    without.end();
}

#[test]
fn a_driver_s_own_nodes_and_leaves_are_told_and_go_untold_when_all_nodes_do() {
    let switch = switch(KernelVersion::V7_2, &ALL_OF_NODES);
    let listener = switch.machine.client().listen();
    let told = || -> Vec<(u8, Option<String>)> {
        let name = |message: &Message| message.text(&[attr::RATE_NODE_NAME.number()]);
        let messages = listener.notifications();
        messages
            .iter()
            .map(|message| (message.cmd(), name(message)))
            .collect()
    };
    switch.with(|devl| {
        let port = devl.port_register(3, None, Arc::new(NoPortOps)).unwrap();
        told();
        let root = devl.rate_node_create("root", Arc::new(()), None).unwrap();
        assert_eq!(
            devl.rate_node_create("root", Arc::new(()), None)
                .unwrap_err(),
            Errno::EXIST
        );
        devl.rate_leaf_create(&port, Arc::new(()), Some(&root))
            .unwrap();
        assert!(devl.rate_leaf(&port).is_some());
        let root_told = (cmd::RATE_NEW, Some("root".to_owned()));
        assert_eq!(told(), [root_told, (cmd::RATE_NEW, None)]);
        devl.rate_nodes_destroy();
        assert_eq!(switch.driver.noted(), ["leaf below None", "root gone"]);
        assert_eq!(told(), []);
        devl.rate_leaf_destroy(&port);
        assert_eq!(told(), [(cmd::RATE_DEL, None)]);
        devl.port_unregister(&port);
    });
    switch.end();
}

#[test]
fn ten_thousand_rate_objects_are_dumped_while_they_come_and_go() {
    let mut switch = switch(KernelVersion::V7_2, &ALL_OF_NODES);
    switch.with(|devl| {
        for index in 0..10_000 {
            let port = devl
                .port_register(index, None, Arc::new(NoPortOps))
                .unwrap();
            devl.rate_leaf_create(&port, Arc::new(()), None).unwrap();
        }
    });
    for name in ["old", "young"] {
        switch.client.doit(cmd::RATE_NEW, node(name)).ok();
    }
    let dumped = switch.client.dump(cmd::RATE_GET, handle()).ok();
    assert_eq!(dumped.len(), 10_002);
    let name = |message: &Message| message.text(&[attr::RATE_NODE_NAME.number()]);
    assert_eq!(name(&dumped[0]).as_deref(), Some("young"));
    assert_eq!(
        dumped[10_001].u32(&[attr::PORT_INDEX.number()]),
        Some(9_999)
    );
    for name in ["old", "young"] {
        switch.client.doit(cmd::RATE_DEL, node(name)).ok();
    }
    switch.with(|devl| {
        let ports: Vec<_> = devl.ports().cloned().collect();
        for port in ports {
            devl.rate_leaf_destroy(&port);
            devl.port_unregister(&port);
        }
    });
    switch.end();
}

#[test]
fn a_device_without_them_answers_as_the_kernel_does() {
    for kernel in KernelVersion::SUPPORTED {
        let mut switch = switch(kernel, &[]);
        let client = &mut switch.client;
        let index = handle().u32(attr::SB_INDEX, 0);
        for cmd in [
            cmd::SB_GET,
            cmd::SB_POOL_GET,
            cmd::SB_OCC_SNAPSHOT,
            cmd::SB_OCC_MAX_CLEAR,
        ] {
            assert_eq!(client.doit(cmd, handle()).error(), (Errno::INVAL, None));
            assert_eq!(
                client.doit(cmd, index.clone()).error(),
                (Errno::NODEV, None)
            );
        }
        let lc = handle().u32(attr::LINECARD_INDEX, 0);
        for cmd in [cmd::LINECARD_GET, cmd::LINECARD_SET] {
            assert_eq!(client.doit(cmd, handle()).error(), (Errno::INVAL, None));
            assert_eq!(client.doit(cmd, lc.clone()).error(), (Errno::NODEV, None));
        }
        let none = client.doit(cmd::DPIPE_HEADERS_GET, handle());
        assert_eq!(none.error(), (Errno::OPNOTSUPP, None));
        let table = handle().str(attr::DPIPE_TABLE_NAME, "nope");
        let unknown = client.doit(cmd::DPIPE_ENTRIES_GET, table.clone());
        assert_eq!(unknown.error(), (Errno::INVAL, None));
        // A table that is not there is a list without it.
        let tables = client.doit(cmd::DPIPE_TABLE_GET, table).ok();
        assert_eq!(
            tables[0].find(&[attr::DPIPE_TABLES.number()]),
            Some(Vec::new())
        );
        for cmd in [
            cmd::SB_GET,
            cmd::SB_TC_POOL_BIND_GET,
            cmd::LINECARD_GET,
            cmd::RATE_GET,
        ] {
            assert_eq!(client.dump(cmd, handle()).ok(), []);
        }
        switch.end();
    }
}

#[test]
fn a_buffer_whose_driver_says_nothing_has_its_counts_alone() {
    let mut switch = switch(KernelVersion::V7_2, &[]);
    let sb = Sb {
        index: 7,
        size: 1000,
        ingress_pools: 2,
        egress_pools: 1,
        ingress_tcs: 8,
        egress_tcs: 8,
    };
    switch.with(|devl| {
        devl.sb_register(sb).unwrap();
        assert_eq!(devl.sb_register(sb), Err(Errno::EXIST));
    });
    let shown = switch.client.dump(cmd::SB_GET, handle()).ok();
    assert_eq!(shown[0].u32(&[attr::SB_SIZE.number()]), Some(1000));
    let pool = |index| {
        handle()
            .u32(attr::SB_INDEX, 7)
            .u16(attr::SB_POOL_INDEX, index)
    };
    let none = switch.client.doit(cmd::SB_POOL_GET, pool(2));
    assert_eq!(none.error(), (Errno::OPNOTSUPP, None));
    let none = switch.client.doit(cmd::SB_POOL_GET, pool(3));
    assert_eq!(none.error(), (Errno::INVAL, None));
    assert_eq!(switch.client.dump(cmd::SB_POOL_GET, handle()).ok(), []);
    switch.with(|devl| devl.sb_unregister(7));
    switch.end();
}

/// A table whose entries are as many and as large as the test wants.
struct Table {
    entries: u64,
    bytes: usize,
}

impl DpipeTableOps for Table {
    fn actions(&self) -> Vec<DpipeAction> {
        vec![DpipeAction::field_modify(&ETHERNET, ETHERNET_DST_MAC)]
    }

    fn matches(&self) -> Vec<DpipeMatch> {
        vec![DpipeMatch::field_exact(&ETHERNET, ETHERNET_DST_MAC)]
    }

    fn size_get(&self) -> u64 {
        self.entries
    }

    fn entries_dump(&self, _: &mut Devl<'_>, counted: bool) -> Result<Vec<DpipeEntry>, Errno> {
        let entry = |index| DpipeEntry {
            index,
            match_values: vec![DpipeValue::new(self.matches()[0], vec![1; self.bytes])],
            action_values: vec![DpipeValue {
                mask: Some(vec![0xff; 3]),
                ..DpipeValue::new(self.actions()[0], [2; 6]).standing_for(5)
            }],
            counter: counted.then_some(index),
        };
        Ok((0..self.entries).map(entry).collect())
    }
}

#[test]
fn a_table_of_any_length_is_told_and_an_entry_that_fits_nowhere_is_not() {
    let mut switch = switch(KernelVersion::V7_2, &[]);
    let register = |name, entries, bytes, external| {
        let table = Arc::new(Table { entries, bytes });
        switch
            .with(|devl| devl.dpipe_table_register(name, table, external))
            .unwrap();
    };
    register("long", 1000, 6, false);
    register("wide", 1, 5000, false);
    register("empty", 0, 6, true);
    let client = &mut switch.client;
    let table = |name| handle().str(attr::DPIPE_TABLE_NAME, name);
    let entries = client.doit(cmd::DPIPE_ENTRIES_GET, table("long")).ok();
    assert!(entries.len() > 20, "{}", entries.len());
    let value = |number| {
        let path = [
            attr::DPIPE_ENTRIES.number(),
            attr::DPIPE_ENTRY.number(),
            attr::DPIPE_ENTRY_ACTION_VALUES.number(),
            attr::DPIPE_ACTION_VALUE.number(),
        ];
        entries[0].find(&[&path[..], &[number]].concat())
    };
    assert_eq!(value(attr::DPIPE_VALUE.number()), Some(vec![2; 6]));
    assert_eq!(value(attr::DPIPE_VALUE_MASK.number()), Some(vec![0xff; 3]));
    assert_eq!(
        value(attr::DPIPE_VALUE_MAPPING.number()),
        Some(vec![5, 0, 0, 0])
    );
    let refused = client.doit(cmd::DPIPE_ENTRIES_GET, table("wide"));
    assert_eq!(refused.error(), (Errno::MSGSIZE, None));
    let entries = client.doit(cmd::DPIPE_ENTRIES_GET, table("empty")).ok();
    assert_eq!(
        entries[0].find(&[attr::DPIPE_ENTRIES.number()]),
        Some(Vec::new())
    );
    let on = table("empty").u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, 1);
    let refused = client.doit(cmd::DPIPE_TABLE_COUNTERS_SET, on);
    assert_eq!(refused.error(), (Errno::OPNOTSUPP, None));
    let on = table("long").u8(attr::DPIPE_TABLE_COUNTERS_ENABLED, 1);
    client.doit(cmd::DPIPE_TABLE_COUNTERS_SET, on).ok();
    assert!(switch.with(|devl| devl.dpipe_table_counter_enabled("long")));
    for name in ["long", "wide", "empty"] {
        switch.with(|devl| devl.dpipe_table_unregister(name));
    }
    switch.end();
}

/// A slot that does at once what is asked, or refuses it.
struct AtOnce(Arc<Driver>);

impl LinecardOps for AtOnce {
    fn provision(
        &self,
        _devl: &mut Devl<'_>,
        linecard: &Arc<Linecard>,
        ty: &str,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        let noted = self.0.note(ty.to_owned());
        noted.inspect_err(|_| extack.set_msg("toy: no"))?;
        linecard.provision_set(ty);
        Ok(())
    }

    fn unprovision(
        &self,
        _devl: &mut Devl<'_>,
        linecard: &Arc<Linecard>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        self.0.note("none".to_owned())?;
        linecard.provision_clear();
        Ok(())
    }
}

#[test]
fn every_change_of_a_line_card_is_told_in_its_order() {
    for kernel in KernelVersion::SUPPORTED {
        let mut switch = switch(kernel, &[]);
        let ops = Arc::new(AtOnce(Arc::clone(&switch.driver)));
        let types = vec!["a".to_owned(), "b".to_owned()];
        let created = switch.with(|devl| devl.linecard_create(4, types, ops));
        let linecard = created.unwrap();
        let listener = switch.machine.client().listen();
        let states = || -> Vec<u8> {
            let state =
                |message: &Message| message.find(&[attr::LINECARD_STATE.number()]).unwrap()[0];
            listener.notifications().iter().map(state).collect()
        };
        let set = |ty| {
            handle()
                .u32(attr::LINECARD_INDEX, 4)
                .str(attr::LINECARD_TYPE, ty)
        };
        let words = |text: &str| match kernel {
            KernelVersion::V6_1 => format!("leftover: {text}"),
            _ => text.to_owned(),
        };
        let client = &mut switch.client;
        // No more than a warning.
        let nothing = client.doit(cmd::LINECARD_SET, set(""));
        let text = words("Line card is not provisioned");
        assert_eq!((nothing.errno, nothing.text), (0, Some(text)));
        client.doit(cmd::LINECARD_SET, set("a")).ok();
        assert_eq!(states(), [3, 5]);
        linecard.activate();
        linecard.deactivate();
        assert_eq!(states(), [6, 5]);
        let again = client.doit(cmd::LINECARD_SET, set("a"));
        let text = words("Line card already provisioned");
        assert_eq!(again.error(), (Errno::BUSY, Some(text.as_str())));
        client.doit(cmd::LINECARD_SET, set("")).ok();
        assert_eq!(states(), [2, 1]);
        *switch.driver.refuse.lock().unwrap() = Some(Errno::IO);
        let refused = client.doit(cmd::LINECARD_SET, set("b"));
        assert_eq!(refused.error(), (Errno::IO, Some("toy: no")));
        assert_eq!(states(), [3, 1]);
        linecard.provision_fail();
        assert_eq!(linecard.state(), LinecardState::ProvisioningFailed);
        client.doit(cmd::LINECARD_SET, set("")).ok();
        assert_eq!(states(), [4, 1]);
        assert_eq!(linecard.linecard_type(), None);
        switch.with(|devl| devl.linecard_destroy(&linecard));
        assert_eq!(listener.notifications()[0].cmd(), cmd::LINECARD_DEL);
        switch.end();
    }
}
