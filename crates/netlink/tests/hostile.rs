//! Hostile input: whatever arrives, nothing panics, every answer is well formed, and the socket
//! serves the next request.
//!
//! The requests that real kernels were asked are the seeds; they are cut, stretched, spliced and
//! sprinkled with random bytes, by a generator whose start is fixed and printed with a failure.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use netlink::genl::{
    Batch, Caller, DumpCursor, DumpState, Family, FamilySpec, Genl, NetId, Reply, Request, Upstream,
};
use netlink::message::{MessageHeader, Messages, NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR};
use netlink::testutil::{Client, Nobody, RequestBuilder, cases, mask};
use netlink::{Attrs, Bitfield32, KernelVersion, RawAttr, RawAttrs, Result, attr, cmd, devlink};

const ID: u16 = 21;
const ROUNDS: u32 = 4_000;

/// A generator of reproducible numbers (xorshift).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// Reads every attribute in every way and repeats what it read.
struct Curious(KernelVersion);

fn read(attrs: Attrs<'_>) -> usize {
    let mut seen = 0;
    seen += attrs.get_str(attr::BUS_NAME).map_or(0, str::len);
    seen += attrs.get_str(attr::DEV_NAME).map_or(0, str::len);
    seen += attrs.get_u32(attr::PORT_INDEX).map_or(0, |_| 4);
    seen += attrs.get_u16(attr::PORT_TYPE).map_or(0, |_| 2);
    seen += attrs.get_u8(attr::RELOAD_ACTION).map_or(0, |_| 1);
    seen += attrs.get_u64(attr::RESOURCE_SIZE).map_or(0, |_| 8);
    seen += attrs.get_uint(attr::INDEX).map_or(0, |_| 8);
    seen += attrs
        .get_bitfield32(attr::RELOAD_LIMITS)
        .map_or(0, |_: Bitfield32| 8);
    seen += attrs.get_binary(attr::DPIPE_VALUE).map_or(0, <[u8]>::len);
    seen += usize::from(attrs.get_flag(attr::REGION_DIRECT));
    seen + attrs.iter().map(depth).sum::<usize>()
}

fn depth(attr: RawAttr<'_>) -> usize {
    1 + attr.nested().map(depth).max().unwrap_or(0)
}

impl Family for Curious {
    fn spec(&self) -> &'static FamilySpec {
        devlink::family(self.0)
    }

    fn doit(&self, request: &mut Request<'_>, _: &dyn Caller, reply: &mut Reply<'_>) -> Result {
        let attrs = request.attrs();
        let seen = read(attrs);
        let nests = devlink::nests(self.0);
        for (attr, policy) in [
            (attr::PORT_FUNCTION, nests.port_function),
            (attr::SELFTESTS, nests.selftests),
        ] {
            if let Some(raw) = attrs.get(attr) {
                let nested = attrs.nested(raw, policy, request.ext_ack())?;
                read(nested.attrs());
            }
        }
        reply.send(cmd::NEW, |writer| {
            writer.put_u32(attr::PORT_INDEX, seen as u32)
        })
    }

    fn dumpit(
        &self,
        request: &mut Request<'_>,
        cursor: &mut DumpCursor,
        batch: &mut Batch<'_>,
    ) -> Result<DumpState> {
        while cursor.index < 40 {
            let seen = read(request.attrs());
            batch.put(cmd::NEW, |writer| {
                writer.nest(attr::DEV_STATS, |writer| {
                    writer.put_binary(attr::DPIPE_VALUE, &vec![7; seen.min(300)])
                })
            })?;
            cursor.index += 1;
        }
        Ok(DumpState::Done)
    }
}

fn mutate(random: &mut Random, seeds: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = seeds[random.below(seeds.len())].clone();
    for _ in 0..=random.below(4) {
        let at = random.below(bytes.len());
        match random.below(9) {
            0 => bytes.truncate(at),
            1 => bytes.extend((0..random.below(40)).map(|i| (i * 7) as u8)),
            2 => {
                let other = &seeds[random.below(seeds.len())];
                bytes.extend_from_slice(&other[random.below(other.len())..]);
            }
            3 if at + 2 <= bytes.len() => {
                let value = [0, 1, 3, 4, 5, 0x7fff, 0x8000, 0xffff][random.below(8)];
                bytes[at..at + 2].copy_from_slice(&u16::to_ne_bytes(value));
            }
            4 if bytes.len() >= 20 => bytes[16] = random.next() as u8,
            5 if bytes.len() >= 8 => {
                let flags = [1u16, 5, 0x301, 0x305, 0xffff, 0][random.below(6)];
                bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
            }
            6 if bytes.len() >= 4 => {
                // The true length, so that the attributes are looked at.
                let len = bytes.len() as u32;
                bytes[..4].copy_from_slice(&len.to_ne_bytes());
            }
            7 => bytes.resize(bytes.len() + 70_000 * random.below(2), 0x41),
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = random.next() as u8;
                }
            }
        }
    }
    bytes
}

/// Asserts that a datagram consists of whole messages, and those of whole attributes.
fn well_formed(datagram: &[u8]) {
    let mut messages = Messages::new(datagram);
    let all: Vec<(MessageHeader, &[u8])> = messages.by_ref().collect();
    assert!(!all.is_empty(), "an empty datagram");
    assert_eq!(
        messages.offset(),
        datagram.len(),
        "bytes left over after the last message"
    );
    for (header, message) in all {
        match header.kind {
            NLMSG_ERROR => assert!(message.len() >= 36),
            NLMSG_DONE => assert!(message.len() >= 16),
            _ => {
                let mut attrs = RawAttrs::new(&message[20..], 20);
                attrs.by_ref().for_each(drop);
                assert_eq!(attrs.rest(), 0, "bytes left over after the last attribute");
            }
        }
    }
}

fn survives(kernel: KernelVersion, text: &str, seed: u64) {
    let genl = Genl::new(kernel, Upstream::None);
    genl.register(Arc::new(Curious(kernel)), ID, 5);
    let seeds: Vec<Vec<u8>> = cases(text)
        .1
        .into_iter()
        .flat_map(|case| case.sent)
        .collect();
    let client = Client::new(&genl, NetId(1));
    let mut random = Random(seed);
    let good = RequestBuilder::new(ID, cmd::GET, NLM_F_REQUEST)
        .text(attr::BUS_NAME.number(), "pci")
        .build();
    let expected = client.ask(&good);
    assert_eq!(expected.len(), 1);
    for round in 0..ROUNDS {
        let datagram = mutate(&mut random, &seeds);
        let context = format!("seed {seed}, round {round}: {datagram:02x?}");
        client
            .options
            .ext_ack
            .store(random.below(2) == 0, Ordering::Relaxed);
        client
            .options
            .cap_ack
            .store(random.below(2) == 0, Ordering::Relaxed);
        let answer = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let unclaimed = client.send(
                &Nobody {
                    admin: random.below(4) > 0,
                },
                &datagram,
            );
            assert!(unclaimed.is_empty());
            let answer = client.queue.take();
            answer.iter().for_each(|datagram| well_formed(datagram));
        }));
        assert!(answer.is_ok(), "{context}");
        assert!(!client.socket.has_waiting_dump(), "{context}");
        if round % 64 == 0 {
            assert_eq!(mask(&client.ask(&good)[0]), mask(&expected[0]), "{context}");
        }
    }
}

#[test]
fn linux_7_2() {
    survives(
        KernelVersion::V7_2,
        include_str!("data/kernel-7.2.txt"),
        0x7a7a_0001,
    );
}

#[test]
fn linux_6_12() {
    survives(
        KernelVersion::V6_12,
        include_str!("data/kernel-6.12.txt"),
        0x7a7a_0002,
    );
}

#[test]
fn linux_6_1() {
    survives(
        KernelVersion::V6_1,
        include_str!("data/kernel-6.1.txt"),
        0x7a7a_0003,
    );
}
