//! A family of this test's own.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use netlink::genl::{
    Batch, Caller, DumpCursor, DumpState, Family, FamilyHandle, FamilySpec, Genl, Half, NetId, Op,
    Permission, Published, Reply, Request, Upstream,
};
use netlink::message::{MessageHeader, Messages, NLM_F_REQUEST, NLMSG_GOODSIZE};
use netlink::policy::{AttrPolicy, Policy, PolicyKind, Strictness};
use netlink::testutil::RequestBuilder;
use netlink::wire::{Attr, kind};
use netlink::{Error, KernelVersion, Result};
use rustix::io::Errno;

pub(crate) const ID: u16 = 40;
pub(crate) const GROUP: u32 = 9;
pub(crate) const HOME: NetId = NetId(1);

pub(crate) const ECHO: u8 = 1;
pub(crate) const PARTS: u8 = 2;
pub(crate) const WARN: u8 = 3;
pub(crate) const BIG: u8 = 4;
pub(crate) const LIST: u8 = 5;
pub(crate) const REMEMBER: u8 = 6;

pub(crate) const COUNT: Attr<kind::U32> = Attr::new(1, "COUNT");
pub(crate) const DATA: Attr<kind::Binary> = Attr::new(2, "DATA");

static POLICY: Policy = Policy {
    maxtype: 2,
    strict_start: 0,
    attrs: &[
        (1, AttrPolicy::new(PolicyKind::U32)),
        (2, AttrPolicy::new(PolicyKind::Binary { max: 0 })),
    ],
};

const HALF: Option<Half> = Some(Half {
    permission: Permission::Anyone,
    policy: Some(&POLICY),
    check: Some(Strictness::Strict),
    published: Published::Always,
    done_apart: false,
});

const fn do_op(cmd: u8) -> Op {
    Op {
        cmd,
        doit: HALF,
        dump: None,
    }
}

pub(crate) static SPEC: FamilySpec = FamilySpec {
    name: "toy",
    version: 3,
    maxattr: 0,
    split: true,
    ops: &[
        do_op(ECHO),
        do_op(PARTS),
        do_op(WARN),
        do_op(BIG),
        Op {
            cmd: LIST,
            doit: None,
            dump: HALF,
        },
        do_op(REMEMBER),
    ],
    groups: &["events"],
    resv_start_op: 0,
};

/// Lists as many objects as `COUNT` says, each with `object_len` bytes.
pub(crate) struct Toy {
    object_len: usize,
    pub(crate) handle: OnceLock<FamilyHandle>,
    pub(crate) dumps: AtomicU32,
}

impl Family for Toy {
    fn spec(&self) -> &'static FamilySpec {
        &SPEC
    }

    fn registered(&self, handle: FamilyHandle) {
        self.handle.set(handle).expect("registered once");
    }

    fn doit(&self, request: &mut Request<'_>, _: &dyn Caller, reply: &mut Reply<'_>) -> Result {
        let count = request.attrs().get_u32(COUNT).unwrap_or(0);
        match request.cmd() {
            ECHO => reply.send(ECHO, |writer| writer.put_u32(COUNT, count)),
            PARTS => {
                let mut parts = reply.multi();
                for number in 0..count {
                    let put = |parts: &mut netlink::genl::MultiReply<'_>| {
                        parts.message(PARTS, |writer| {
                            writer.put_u32(COUNT, number)?;
                            writer.put_binary(DATA, &vec![0; self.object_len])
                        })
                    };
                    if put(&mut parts) == Err(Error::new(Errno::MSGSIZE)) {
                        parts.flush()?;
                        put(&mut parts)?;
                    }
                }
                parts.done()
            }
            WARN => {
                request.ext_ack().set_msg("This is odd");
                Ok(())
            }
            BIG => reply.send(BIG, |writer| writer.put_binary(DATA, &[0; NLMSG_GOODSIZE])),
            REMEMBER => {
                let before = request.private::<u32>();
                request.set_private(Some(Arc::new(count)));
                match before {
                    Some(before) => reply.send(REMEMBER, |writer| writer.put_u32(COUNT, *before)),
                    None => Err(Error::missing(COUNT)),
                }
            }
            _ => Err(Errno::OPNOTSUPP.into()),
        }
    }

    fn dumpit(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState> {
        self.dumps.fetch_add(1, Ordering::Relaxed);
        let count = request.attrs().get_u32(COUNT).unwrap_or(0);
        batch.set_filtered();
        while cursor.index < u64::from(count) {
            batch.put(LIST, |writer| {
                writer.put_u32(COUNT, cursor.index as u32)?;
                writer.put_binary(DATA, &vec![0; self.object_len])
            })?;
            cursor.index += 1;
        }
        Ok(DumpState::Done)
    }
}

pub(crate) fn machine(object_len: usize, upstream: Upstream) -> (Arc<Genl>, Arc<Toy>) {
    let genl = Genl::new(KernelVersion::V7_2, upstream);
    let toy = Arc::new(Toy {
        object_len,
        handle: OnceLock::new(),
        dumps: AtomicU32::new(0),
    });
    genl.register(Arc::clone(&toy) as Arc<dyn Family>, ID, GROUP);
    (genl, toy)
}

pub(crate) fn request(cmd: u8, flags: u16, count: u32) -> Vec<u8> {
    RequestBuilder::new(ID, cmd, NLM_F_REQUEST | flags)
        .u32(1, count)
        .build()
}

pub(crate) fn headers(datagrams: &[Vec<u8>]) -> Vec<Vec<MessageHeader>> {
    datagrams
        .iter()
        .map(|d| Messages::new(d).map(|(header, _)| header).collect())
        .collect()
}

/// The objects' numbers of a dump or a reply in parts.
pub(crate) fn numbers(datagrams: &[Vec<u8>]) -> Vec<u32> {
    let messages = datagrams
        .iter()
        .flat_map(|datagram| Messages::new(datagram));
    messages
        .filter(|(header, _)| header.kind == ID)
        .map(|(_, message)| u32::from_ne_bytes(message[24..28].try_into().expect("four bytes")))
        .collect()
}
