//! What real kernels answered to right and wrong requests, and that this crate answers the same.
//!
//! The recordings were made with a device present; here devlink has none. So a case is judged if the
//! answer comes before any device is asked: if the request never reaches the family here, or if the
//! kernel's answer is one that generic netlink itself gives. The others are for the tests of devlink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use netlink::devlink::{self, Needs};
use netlink::genl::{
    Batch, Caller, DumpCursor, DumpState, Family, FamilySpec, Genl, NetId, Reply, Request, Upstream,
};
use netlink::testutil::{Case, Client, Ids, Nobody, cases, show};
use netlink::{Error, KernelVersion, Result, attr};
use rustix::io::Errno;

/// What only generic netlink says, never a command.
const OWN_TEXTS: [&str; 10] = [
    "Unknown attribute type",
    "Unsupported attribute",
    "Attribute failed policy validation",
    "integer out of range",
    "invalid attribute length",
    "NLA_F_NESTED",
    "reserved bit set",
    "invalid enum value",
    "genlmsghdr.reserved",
    "ambiguous or reserved",
];

/// devlink without any instance.
struct NoInstances {
    kernel: KernelVersion,
    /// Whether a request came through to it.
    reached: AtomicBool,
}

impl Family for NoInstances {
    fn spec(&self) -> &'static FamilySpec {
        devlink::family(self.kernel)
    }

    fn doit(&self, request: &mut Request<'_>, _: &dyn Caller, _: &mut Reply<'_>) -> Result {
        self.reached.store(true, Ordering::Relaxed);
        if devlink::needs(request.cmd()) == Needs::Nothing {
            return Ok(());
        }
        let attrs = request.attrs();
        let by_index = attrs.has(attr::INDEX);
        let by_name = attrs.has(attr::BUS_NAME) && attrs.has(attr::DEV_NAME);
        let named = if by_index {
            !attrs.has(attr::BUS_NAME) && !attrs.has(attr::DEV_NAME)
        } else {
            by_name
        };
        Err(Error::new(if named { Errno::NODEV } else { Errno::INVAL }))
    }

    fn dumpit(
        &self,
        _: &mut Request<'_>,
        _: &mut DumpCursor,
        _: &mut Batch<'_>,
    ) -> Result<DumpState> {
        self.reached.store(true, Ordering::Relaxed);
        Ok(DumpState::Done)
    }
}

/// What this crate answers, and whether the family was asked.
fn answer(kernel: KernelVersion, ids: Ids, case: &Case) -> (Vec<Vec<u8>>, bool) {
    let genl = Genl::new(kernel, Upstream::None);
    let reached = AtomicBool::new(false);
    let family = Arc::new(NoInstances { kernel, reached });
    genl.register(
        Arc::clone(&family) as Arc<dyn Family>,
        ids.family,
        ids.group,
    );
    // The recording client received with a buffer of this size.
    let client = Client::with_room(&genl, NetId(1), usize::MAX, 65536);
    let options = &client.options;
    options.ext_ack.store(case.ext_ack, Ordering::Relaxed);
    options.cap_ack.store(case.cap_ack, Ordering::Relaxed);
    options.portid.store(case.portid, Ordering::Relaxed);
    for datagram in &case.sent {
        client.send(&Nobody { admin: case.admin }, datagram);
    }
    (client.queue.take(), family.reached.load(Ordering::Relaxed))
}

fn shown(datagrams: &[Vec<u8>]) -> String {
    datagrams
        .iter()
        .map(|datagram| show(datagram))
        .collect::<Vec<_>>()
        .join("--\n")
}

fn same_as_kernel(kernel: KernelVersion, text: &str, judged: usize) {
    let (ids, cases) = cases(text);
    let mut differ = String::new();
    let mut equal = 0;
    for case in &cases {
        let (got, reached) = answer(kernel, ids, case);
        if got == case.received {
            equal += 1;
            continue;
        }
        let theirs = shown(&case.received);
        if reached && !OWN_TEXTS.iter().any(|text| theirs.contains(text)) {
            continue;
        }
        let Case {
            name,
            ext_ack,
            cap_ack,
            admin,
            ..
        } = case;
        differ += &format!("== {name}: ext_ack {ext_ack}, cap_ack {cap_ack}, admin {admin}\n");
        differ += &format!("kernel:\n{theirs}ours:\n{}\n", shown(&got));
    }
    assert!(differ.is_empty(), "{differ}");
    assert_eq!(equal, judged, "of {} cases", cases.len());
}

#[test]
fn linux_7_2() {
    same_as_kernel(
        KernelVersion::V7_2,
        include_str!("data/kernel-7.2.txt"),
        347,
    );
}

#[test]
fn linux_6_12() {
    same_as_kernel(
        KernelVersion::V6_12,
        include_str!("data/kernel-6.12.txt"),
        347,
    );
}

#[test]
fn linux_6_1() {
    same_as_kernel(
        KernelVersion::V6_1,
        include_str!("data/kernel-6.1.txt"),
        325,
    );
}
