//! Groups in groups, and bandwidth by traffic class: what the hardware cannot schedule is refused.

use driver_testkit::Refusal;
use netlink::attr::{self, rate_tc};
use netlink::cmd;
use rustix::io::Errno;

use super::{Host, PF0, host, refused};

impl Host {
    fn node_add(&self, name: &str, parent: Option<&str>) -> Result<(), Refusal> {
        let done = self.client().request(cmd::RATE_NEW, PF0, |w| {
            w.put_str(attr::RATE_NODE_NAME, name).unwrap();
            if let Some(parent) = parent {
                w.put_str(attr::RATE_PARENT_NODE_NAME, parent).unwrap();
            }
        });
        done.map(drop)
    }

    fn node_parent(&self, name: &str, parent: &str) -> Result<(), Refusal> {
        let done = self.client().request(cmd::RATE_SET, PF0, |w| {
            w.put_str(attr::RATE_NODE_NAME, name).unwrap();
            w.put_str(attr::RATE_PARENT_NODE_NAME, parent).unwrap();
        });
        done.map(drop)
    }

    fn leaf_parent(&self, port: u32, parent: &str) -> Result<(), Refusal> {
        let handle = format!("{PF0}/{port}");
        let done = self.client().request(cmd::RATE_SET, &handle, |w| {
            w.put_str(attr::RATE_PARENT_NODE_NAME, parent).unwrap();
        });
        done.map(drop)
    }

    /// All of the bandwidth for the first traffic class, or no sharing by class.
    fn tc_bw(&self, handle: &str, node: Option<&str>, shared: bool) -> Result<(), Refusal> {
        let done = self.client().request(cmd::RATE_SET, handle, |w| {
            if let Some(node) = node {
                w.put_str(attr::RATE_NODE_NAME, node).unwrap();
            }
            for class in 0..8 {
                let share = if shared && class == 0 { 100 } else { 0 };
                w.nest(attr::RATE_TC_BWS, |w| {
                    w.put_u8(rate_tc::INDEX, class)?;
                    w.put_u32(rate_tc::BW, share)
                })
                .unwrap();
            }
        });
        done.map(drop)
    }
}

#[test]
fn groups_are_as_deep_as_the_hardware_schedules() {
    let host = host();
    host.vfs("0000:00:09.0", 1).unwrap();
    host.mode(PF0, 1).unwrap();
    host.node_add("a", None).unwrap();
    host.node_add("b", Some("a")).unwrap();
    host.node_add("c", Some("b")).unwrap();
    let too_deep = refused(
        Errno::OPNOTSUPP,
        "mlx5_core: Node hierarchy depth 5 exceeds the maximum supported level 4",
    );
    host.node_add("d", None).unwrap();
    assert_eq!(host.node_parent("d", "c"), too_deep);
    let full = "mlx5_core: Cannot reassign a node that contains rate objects";
    assert_eq!(host.node_parent("b", "d"), refused(Errno::OPNOTSUPP, full));
    host.leaf_parent(1, "d").unwrap();
    assert_eq!(host.node_parent("d", "a"), refused(Errno::OPNOTSUPP, full));
    host.leaf_parent(1, "").unwrap();
    host.node_parent("d", "a").unwrap();
    // What the function loses is no child any more.
    host.leaf_parent(1, "d").unwrap();
    host.vfs("0000:00:09.0", 0).unwrap();
}

#[test]
fn traffic_classes_share_at_one_level() {
    let host = host();
    host.vfs("0000:00:09.0", 2).unwrap();
    host.mode(PF0, 1).unwrap();
    let (one, two) = (format!("{PF0}/1"), format!("{PF0}/2"));
    let unsupported = |text| refused(Errno::OPNOTSUPP, text);
    host.node_add("a", None).unwrap();
    host.node_add("b", Some("a")).unwrap();
    assert_eq!(
        host.tc_bw(PF0, Some("a"), true),
        unsupported("mlx5_core: Cannot configure TC bandwidth on a node with non-leaf children")
    );
    host.tc_bw(PF0, Some("b"), true).unwrap();
    host.node_add("c", None).unwrap();
    assert_eq!(
        host.node_parent("c", "b"),
        unsupported("mlx5_core: Cannot attach a node to a parent with TC bandwidth configured")
    );
    host.leaf_parent(1, "b").unwrap();
    assert_eq!(
        host.tc_bw(&one, None, true),
        unsupported(
            "mlx5_core: Cannot switch from node-level TC arbitration to vport-level TC arbitration"
        )
    );
    host.tc_bw(&two, None, true).unwrap();
    let to_node =
        "mlx5_core: Cannot switch from vport-level TC arbitration to node-level TC arbitration";
    assert_eq!(host.leaf_parent(2, "b"), unsupported(to_node));
    host.leaf_parent(2, "c").unwrap();
    assert_eq!(
        host.tc_bw(PF0, Some("c"), true),
        unsupported(to_node),
        "its leaf does it"
    );
    host.tc_bw(&two, None, false).unwrap();
    host.tc_bw(PF0, Some("c"), true).unwrap();
    // Deeper than the hardware goes.
    host.tc_bw(PF0, Some("b"), false).unwrap();
    assert_eq!(
        host.tc_bw(&one, None, true),
        unsupported("mlx5_core: TC arbitration on leafs is not supported beyond max depth 4")
    );
    host.node_add("d", Some("b")).unwrap();
    assert_eq!(
        host.tc_bw(PF0, Some("d"), true),
        unsupported("mlx5_core: TC arbitration on nodes is not supported beyond max depth 4")
    );
}
