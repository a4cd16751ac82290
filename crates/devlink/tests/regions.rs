//! Regions: snapshots and their numbers, reads in chunks, and what users hear of it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use devlink::{Region, RegionOps};
use lockdep::order::Held;
use netlink::message::{NLM_F_ACK, NLM_F_MULTI};
use netlink::{KernelVersion, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Answer, Body, Client, Message, handle, port_handle};
use support::toy::Toy;

/// Byte `n` of the region's memory.
fn byte(n: usize) -> u8 {
    (n % 251) as u8
}

/// A region that can be read and gives snapshots.
fn ops(name: &'static str, size: usize) -> RegionOps {
    RegionOps::new(name)
        .snapshot(move |_, _| Ok((0..size).map(byte).collect()))
        .read(|_, extack, offset, chunk| {
            if offset >= 4096 {
                extack.set_msg("toy: there is a hole");
                return Err(Errno::IO);
            }
            for (at, out) in chunk.iter_mut().enumerate() {
                *out = !byte(offset as usize + at);
            }
            Ok(())
        })
}

fn create(toy: &Toy, ops: RegionOps, max: u32, size: u64) -> Arc<Region> {
    let mut held = Held::root();
    let mut devl = toy.devlink().lock(&mut held);
    devl.region_create(ops, max, size).unwrap()
}

fn destroy(toy: &Toy, region: &Arc<Region>) {
    let mut held = Held::root();
    toy.devlink().lock(&mut held).region_destroy(region);
}

fn region(name: &str) -> Body {
    handle(10).str(attr::REGION_NAME, name)
}

fn snapshot(name: &str, id: u32) -> Body {
    region(name).u32(attr::REGION_SNAPSHOT_ID, id)
}

/// The numbers of the snapshots that a region shows.
fn ids(message: &Message) -> Vec<u32> {
    let list = message.find(&[attr::REGION_SNAPSHOTS.number()]).unwrap();
    RawAttrs::new(&list, 0)
        .map(|one| one.nested().next().unwrap().u32().unwrap())
        .collect()
}

/// What a read returned, put together from its chunks, with the address of the first.
fn data(messages: &[Message]) -> (u64, Vec<u8>) {
    let (mut first, mut bytes) = (None, Vec::new());
    for message in messages {
        assert_eq!(message.header.flags, NLM_F_ACK | NLM_F_MULTI);
        let chunks = message.find(&[attr::REGION_CHUNKS.number()]).unwrap();
        for chunk in RawAttrs::new(&chunks, 0) {
            let inner: Vec<_> = chunk.nested().collect();
            assert!(inner[0].payload.len() <= 256);
            let addr = inner[1].u64().unwrap();
            let first = *first.get_or_insert(addr);
            assert_eq!(addr, first + bytes.len() as u64);
            bytes.extend_from_slice(inner[0].payload);
        }
    }
    (first.unwrap_or(0), bytes)
}

fn range(body: Body, addr: u64, len: u64) -> Body {
    body.u64(attr::REGION_CHUNK_ADDR, addr)
        .u64(attr::REGION_CHUNK_LEN, len)
}

fn read(client: &mut Client, body: Body) -> Answer {
    client.dump(cmd::REGION_READ, body)
}

#[test]
fn numbers_are_the_instances_and_a_number_that_was_found_is_not_given_up() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let (one, two) = (
        create(&toy, ops("one", 16), 3, 16),
        create(&toy, ops("two", 16), 3, 16),
    );
    let mut client = machine.client();
    let mut new = |body: Body| client.doit(cmd::REGION_NEW, body);

    // One that the kernel finds comes back in the answer; one that is asked for does not.
    let reply = new(region("one")).one();
    assert_eq!(reply.cmd(), cmd::REGION_NEW);
    assert_eq!(reply.u32(&[attr::REGION_SNAPSHOT_ID.number()]), Some(0));
    assert!(new(snapshot("two", 7)).ok().is_empty());
    // The number is in use, but not in this region: nothing more is said.
    assert_eq!(new(snapshot("one", 7)).error(), (Errno::EXIST, None));
    let in_use = Some("The requested snapshot id is already in use");
    assert_eq!(new(snapshot("two", 7)).error(), (Errno::EXIST, in_use));

    let mut client = machine.client();
    client.doit(cmd::REGION_DEL, snapshot("two", 7)).ok();
    client.doit(cmd::REGION_DEL, snapshot("one", 0)).ok();
    let gone = client.doit(cmd::REGION_DEL, snapshot("one", 0));
    assert_eq!(gone.error(), (Errno::INVAL, None));
    client.doit(cmd::REGION_NEW, snapshot("one", 7)).ok();
    // 0 was found, and is not found again.
    client.doit(cmd::REGION_NEW, region("one")).ok();

    // A driver stores snapshots of several regions under one number, and gives the number back.
    {
        let id = toy.devlink().region_snapshot_id_get().unwrap();
        assert_eq!(id.id(), 2);
        one.snapshot_create(&id, vec![1; 16]).unwrap();
        two.snapshot_create(&id, vec![2; 16]).unwrap();
        assert_eq!(two.snapshot_create(&id, vec![2; 16]), Err(Errno::EXIST));
        assert_eq!(one.snapshot_create(&id, vec![1; 16]), Err(Errno::NOSPC));
    }
    let full = Some("The region has reached the maximum number of stored snapshots");
    let refused = client.doit(cmd::REGION_NEW, region("one"));
    assert_eq!(refused.error(), (Errno::NOSPC, full));
    let shown = client.dump(cmd::REGION_GET, Body::default()).ok();
    assert_eq!(
        shown.iter().map(ids).collect::<Vec<_>>(),
        [vec![7, 1, 2], vec![2]]
    );

    destroy(&toy, &one);
    destroy(&toy, &two);
    assert_eq!(toy.devlink().region_snapshot_id_get().unwrap().id(), 2);
    machine.assert_clean();
}

#[test]
fn a_read_comes_in_chunks_over_as_many_datagrams_as_it_takes() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    const SIZE: usize = 10_000;
    let memory = create(&toy, ops("memory", SIZE), 1, SIZE as u64);
    let mut client = machine.client();
    client.doit(cmd::REGION_NEW, snapshot("memory", 1)).ok();
    let whole: Vec<u8> = (0..SIZE).map(byte).collect();

    let messages = read(&mut client, snapshot("memory", 1)).ok();
    assert!(messages.len() > 2, "{} messages", messages.len());
    assert_eq!(data(&messages), (0, whole.clone()));

    let parts = [
        (3, 700),
        (9_999, 1),
        (9_999, 2),
        (0, 1 << 40),
        (1, u64::MAX),
    ];
    for (addr, len) in parts {
        let body = range(snapshot("memory", 1), addr, len);
        let end = (addr.wrapping_add(len)).min(SIZE as u64);
        let answer = read(&mut client, body);
        if end == addr.wrapping_sub(1) {
            // The end wraps to before the beginning.
            assert_eq!(answer.error(), (Errno::INVAL, None));
            continue;
        }
        let expected = whole[addr as usize..end as usize].to_vec();
        assert_eq!(data(&answer.ok()), (addr, expected));
    }
    // Nothing is not an error; nothing from behind the end is.
    assert!(
        read(&mut client, range(snapshot("memory", 1), 10_000, 1))
            .ok()
            .is_empty()
    );
    assert!(
        read(&mut client, range(snapshot("memory", 1), 5, 0))
            .ok()
            .is_empty()
    );
    let behind = read(&mut client, range(snapshot("memory", 1), 10_001, 1));
    assert_eq!(behind.error(), (Errno::INVAL, None));
    // An address alone says nothing.
    let alone = snapshot("memory", 1).u64(attr::REGION_CHUNK_ADDR, 9_000);
    assert_eq!(data(&read(&mut client, alone).ok()).1.len(), SIZE);

    destroy(&toy, &memory);
    machine.assert_clean();
}

#[test]
fn what_a_region_holds_now_is_read_without_a_snapshot() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let live = create(&toy, ops("live", 8192), 1, 8192);
    let mute = create(&toy, RegionOps::new("mute"), 1, 8192);
    let mut client = machine.client();
    let direct = |name: &str| region(name).flag(attr::REGION_DIRECT);

    let answer = read(&mut client, range(direct("live"), 1000, 600));
    let expected = (1000..1600).map(|n| !byte(n)).collect();
    assert_eq!(data(&answer.ok()), (1000, expected));
    // What came before the driver failed is sent; its own words say why it ends.
    let broken = read(&mut client, range(direct("live"), 4000, 600));
    assert_eq!(broken.error(), (Errno::IO, Some("toy: there is a hole")));

    let cases = [
        (
            direct("mute"),
            Errno::OPNOTSUPP,
            "Requested region does not support direct read",
        ),
        (region("live"), Errno::INVAL, "No snapshot id provided"),
        (
            snapshot("live", 1).flag(attr::REGION_DIRECT),
            Errno::INVAL,
            "Direct region read does not use snapshot",
        ),
        (
            snapshot("live", 1),
            Errno::INVAL,
            "Requested snapshot does not exist",
        ),
        (
            snapshot("nope", 1),
            Errno::INVAL,
            "Requested region does not exist",
        ),
        (handle(10), Errno::INVAL, "No region name provided"),
    ];
    for (body, errno, text) in cases {
        assert_eq!(read(&mut client, body).error(), (errno, Some(text)));
    }
    let no_snapshot = client.doit(cmd::REGION_NEW, region("mute"));
    let text = "The requested region does not support taking an immediate snapshot";
    assert_eq!(no_snapshot.error(), (Errno::OPNOTSUPP, Some(text)));

    destroy(&toy, &live);
    destroy(&toy, &mute);
    machine.assert_clean();
}

#[test]
fn a_port_has_regions_of_its_own() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 2);
    let of_device = create(&toy, ops("ram", 16), 1, 16);
    let of_port = {
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        assert_eq!(
            devl.port_region_create(9, ops("ram", 8), 1, 8).unwrap_err(),
            Errno::NODEV
        );
        assert_eq!(
            devl.region_create(ops("ram", 8), 1, 8).unwrap_err(),
            Errno::EXIST
        );
        devl.port_region_create(1, ops("ram", 8), 1, 8).unwrap()
    };
    let mut client = machine.client();
    let size = |message: &Message| message.find(&[attr::REGION_SIZE.number()]).unwrap()[0];
    let port = |message: &Message| message.u32(&[attr::PORT_INDEX.number()]);
    let shown = client.dump(cmd::REGION_GET, Body::default()).ok();
    let shown: Vec<_> = shown
        .iter()
        .map(|message| (port(message), size(message)))
        .collect();
    assert_eq!(shown, [(None, 16), (Some(1), 8)]);
    let mut get = |port: u32| {
        client.doit(
            cmd::REGION_GET,
            port_handle(10, port).str(attr::REGION_NAME, "ram"),
        )
    };
    assert_eq!(size(&get(1).ok()[0]), 8);
    assert_eq!(get(0).error(), (Errno::INVAL, None));
    assert_eq!(get(9).error(), (Errno::NODEV, None));

    destroy(&toy, &of_port);
    destroy(&toy, &of_device);
    machine.assert_clean();
}

#[test]
fn users_hear_of_regions_and_snapshots() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let monitor = machine.client().listen();
    let memory = create(&toy, ops("memory", 16), 2, 16);
    let mut client = machine.client();
    client.doit(cmd::REGION_NEW, region("memory")).ok();
    client.doit(cmd::REGION_NEW, snapshot("memory", 9)).ok();
    destroy(&toy, &memory);
    let heard: Vec<_> = monitor
        .notifications()
        .iter()
        .map(|news| (news.cmd(), news.u32(&[attr::REGION_SNAPSHOT_ID.number()])))
        .collect();
    let (new, del) = (cmd::REGION_NEW, cmd::REGION_DEL);
    assert_eq!(
        heard,
        [
            (new, None),
            (new, Some(0)),
            (new, Some(9)),
            (del, Some(0)),
            (del, Some(9)),
            (del, None)
        ]
    );
    machine.assert_clean();
}

#[test]
fn a_failed_snapshot_leaves_nothing() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let broken = Arc::new(AtomicBool::new(true));
    let is_broken = Arc::clone(&broken);
    let ops = RegionOps::new("memory").snapshot(move |_, extack| {
        if is_broken.load(Ordering::Relaxed) {
            extack.set_msg("toy: broken");
            return Err(Errno::IO);
        }
        Ok(vec![0; 4])
    });
    let memory = create(&toy, ops, 2, 4);
    let mut client = machine.client();
    for body in [region("memory"), snapshot("memory", 3)] {
        let refused = client.doit(cmd::REGION_NEW, body);
        assert_eq!(refused.error(), (Errno::IO, Some("toy: broken")));
    }
    broken.store(false, Ordering::Relaxed);
    client.doit(cmd::REGION_NEW, snapshot("memory", 0)).ok();
    client.doit(cmd::REGION_NEW, snapshot("memory", 3)).ok();
    destroy(&toy, &memory);
    machine.assert_clean();
}

#[test]
fn kernel_6_1_says_less() {
    let machine = Machine::new(KernelVersion::V6_1);
    let toy = machine.new_device(10, 0);
    let memory = create(&toy, ops("memory", 16), 1, 16);
    let mut client = machine.client();
    for body in [
        handle(10),
        region("memory"),
        snapshot("nope", 1),
        snapshot("memory", 1),
    ] {
        assert_eq!(read(&mut client, body).error(), (Errno::INVAL, None));
    }
    // It does not look for a snapshot when there is nothing to read.
    assert!(
        read(&mut client, range(snapshot("memory", 1), 16, 1))
            .ok()
            .is_empty()
    );
    let refused = client.doit(cmd::REGION_NEW, region("nope"));
    let text = "leftover: The requested region does not exist";
    assert_eq!(refused.error(), (Errno::INVAL, Some(text)));
    destroy(&toy, &memory);
    machine.assert_clean();
}
