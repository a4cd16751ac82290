//! Generic netlink with a family of this test's own: replies, dumps, notifications, the controller.

mod toy;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use netlink::Result;
use netlink::genl::{
    Batch, Caller, DumpCursor, DumpState, Family, FamilySpec, Mishaps, NetId, Reply, Request,
    Unclaimed, Upstream,
};
use netlink::message::{
    MessageHeader, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_FILTERED, NLM_F_DUMP_INTR, NLM_F_MULTI,
    NLM_F_REQUEST, NLMSG_DONE, NLMSG_ERROR, NLMSG_GOODSIZE,
};
use netlink::testutil::{Client, Nobody, RequestBuilder, show};

use toy::{
    BIG, COUNT, ECHO, GROUP, HOME, ID, LIST, PARTS, REMEMBER, SPEC, WARN, headers, machine,
    numbers, request,
};

#[test]
fn a_reply_comes_in_its_own_datagram_before_the_acknowledgement() {
    let (genl, _) = machine(0, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(ECHO, NLM_F_ACK, 5));
    assert_eq!(
        show(&got[0]),
        "40 cmd Some(1) flags 0x0 len 28\n  1 05000000\n"
    );
    assert_eq!(show(&got[1]), "error Some(0) flags 0x100 len 36\n");
    let header = headers(&got)[0][0];
    assert_eq!((header.seq, header.portid), (1, 77));
    assert_eq!(got.len(), 2);
    assert_eq!(
        client.ask(&request(ECHO, 0, 5)).len(),
        1,
        "no acknowledgement unless asked for"
    );
}

#[test]
fn a_reply_in_parts_ends_with_an_empty_message_and_then_the_acknowledgement() {
    let (genl, _) = machine(1000, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(PARTS, NLM_F_ACK, 4));
    let headers = headers(&got);
    let lens: Vec<usize> = headers.iter().map(Vec::len).collect();
    assert_eq!(lens, [3, 2, 1], "{headers:?}");
    assert!(got.iter().all(|datagram| datagram.len() <= NLMSG_GOODSIZE));
    let done = headers[1][1];
    assert_eq!(
        (done.kind, done.len, done.flags),
        (NLMSG_DONE, 16, NLM_F_MULTI)
    );
    assert_eq!(headers[2][0].kind, NLMSG_ERROR);
    assert_eq!(numbers(&got), [0, 1, 2, 3]);
}

#[test]
fn a_reply_that_does_not_fit_is_emsgsize_and_nothing_of_it_is_sent() {
    let (genl, _) = machine(0, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(BIG, 0, 0));
    assert_eq!(got.len(), 1);
    assert_eq!(show(&got[0]), "error Some(-90) flags 0x100 len 36\n");
}

#[test]
fn a_warning_comes_with_success() {
    let (genl, _) = machine(0, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(WARN, NLM_F_ACK, 0));
    assert_eq!(
        show(&got[0]),
        "error Some(0) flags 0x300 len 52\n  1 \"This is odd\"\n"
    );
    client.options.ext_ack.store(false, Ordering::Relaxed);
    let got = client.ask(&request(WARN, NLM_F_ACK, 0));
    assert_eq!(show(&got[0]), "error Some(0) flags 0x100 len 36\n");
}

#[test]
fn options_are_read_anew_for_each_request() {
    let (genl, _) = machine(0, Upstream::None);
    let client = Client::new(&genl, HOME);
    client.options.portid.store(4711, Ordering::Relaxed);
    client.options.cap_ack.store(false, Ordering::Relaxed);
    let sent = request(99, 0, 0);
    let got = client.ask(&sent);
    let header = headers(&got)[0][0];
    assert_eq!(
        (header.portid, header.flags, header.len),
        (4711, 0, 20 + sent.len() as u32)
    );
    assert_eq!(&got[0][20..], sent);
}

#[test]
fn what_a_family_keeps_for_a_socket_stays_with_it() {
    let (genl, _) = machine(0, Upstream::None);
    let (one, other) = (Client::new(&genl, HOME), Client::new(&genl, HOME));
    let missing = "error Some(-22) flags 0x300 len 44\n  5 01000000\n";
    assert_eq!(show(&one.ask(&request(REMEMBER, 0, 7))[0]), missing);
    assert_eq!(numbers(&one.ask(&request(REMEMBER, 0, 8))), [7]);
    assert_eq!(show(&other.ask(&request(REMEMBER, 0, 9))[0]), missing);
}

#[test]
fn a_dump_fills_datagrams_and_ends_in_the_last() {
    let (genl, toy) = machine(500, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(LIST, NLM_F_DUMP | NLM_F_ACK, 20));
    assert_eq!(numbers(&got), (0..20).collect::<Vec<_>>());
    let headers = headers(&got);
    let lens: Vec<usize> = headers.iter().map(Vec::len).collect();
    assert_eq!(
        lens,
        [7, 7, 7],
        "seven objects in 3776 bytes, and the end with the last six"
    );
    assert_eq!(headers[0][0].flags, NLM_F_MULTI | NLM_F_DUMP_FILTERED);
    let done = headers[2][6];
    assert_eq!(
        (done.kind, done.flags, done.len),
        (NLMSG_DONE, NLM_F_MULTI, 20)
    );
    assert_eq!(toy.dumps.load(Ordering::Relaxed), 3);
    assert!(!client.socket.has_waiting_dump());
}

#[test]
fn a_larger_buffer_of_the_client_makes_larger_datagrams() {
    let (genl, _) = machine(500, Upstream::None);
    let client = Client::with_room(&genl, HOME, usize::MAX, 1 << 20);
    let got = client.ask(&request(LIST, NLM_F_DUMP, 200));
    assert_eq!(numbers(&got).len(), 200);
    let lens: Vec<usize> = got.iter().map(Vec::len).collect();
    assert!(
        lens[0] <= NLMSG_GOODSIZE && lens[1] > 32_000 - 524 && lens[1] <= 32768 - 320,
        "{lens:?}"
    );
}

#[test]
fn a_dump_waits_for_a_client_that_does_not_read_and_goes_on_where_it_stopped() {
    let (genl, toy) = machine(500, Upstream::None);
    let client = Client::with_room(&genl, HOME, 2, 0);
    let admin = Nobody { admin: true };
    client.send(&admin, &request(LIST, NLM_F_DUMP, 50));
    assert!(client.socket.has_waiting_dump());
    assert!(
        !client.options.enobufs.load(Ordering::Relaxed),
        "a dump that waits has lost nothing"
    );
    assert_eq!(
        toy.dumps.load(Ordering::Relaxed),
        3,
        "two datagrams are sent, one is in hand"
    );
    let mut got = Vec::new();
    while let Some(datagram) = client.queue.pop() {
        got.push(datagram);
        genl.resume(&client.socket);
    }
    assert_eq!(numbers(&got), (0..50).collect::<Vec<_>>());
    assert_eq!(
        headers(&got).last().unwrap().last().unwrap().kind,
        NLMSG_DONE
    );
    assert!(!client.socket.has_waiting_dump());
    genl.resume(&client.socket);
    assert_eq!(client.queue.pop(), None);
}

#[test]
fn a_second_dump_is_refused_while_one_is_unfinished() {
    let (genl, _) = machine(500, Upstream::None);
    let client = Client::with_room(&genl, HOME, 2, 0);
    let admin = Nobody { admin: true };
    client.send(&admin, &request(LIST, NLM_F_DUMP, 50));
    client.queue.take();
    client.send(&admin, &request(LIST, NLM_F_DUMP, 1));
    let got = client.queue.take();
    assert_eq!(show(&got[0]), "error Some(-16) flags 0x100 len 36\n");
    genl.detach(&client.socket);
    assert!(
        !client.socket.has_waiting_dump(),
        "a closed socket's dump is forgotten"
    );
}

#[test]
fn an_object_too_large_for_any_datagram_ends_the_dump() {
    let (genl, _) = machine(NLMSG_GOODSIZE, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(LIST, NLM_F_DUMP, 3));
    assert_eq!(got.len(), 1);
    assert_eq!(show(&got[0]), "done Some(-90) flags 0x2 len 20\n");
}

#[test]
fn the_end_of_a_dump_that_does_not_fit_comes_in_its_own_datagram() {
    // Two objects of 1884 bytes leave 8: an end takes 20.
    let (genl, toy) = machine(1884 - 28 - 4, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&request(LIST, NLM_F_DUMP, 2));
    let lens: Vec<usize> = got.iter().map(Vec::len).collect();
    assert_eq!(lens, [3768, 20]);
    assert_eq!(
        toy.dumps.load(Ordering::Relaxed),
        1,
        "the family is not asked again"
    );
}

#[test]
fn notifications_reach_members_in_the_namespace_only() {
    let (genl, toy) = machine(0, Upstream::None);
    let handle = toy.handle.get().unwrap();
    let member = Client::new(&genl, HOME);
    let stranger = Client::new(&genl, HOME);
    let elsewhere = Client::new(&genl, NetId(2));
    let everywhere = Client::new(&genl, NetId(2));
    everywhere
        .options
        .listens_all_nsid
        .store(true, Ordering::Relaxed);
    let built = AtomicU32::new(0);
    let notify = |net| {
        handle.multicast(
            0,
            net,
            ECHO,
            |_| true,
            |writer| {
                built.fetch_add(1, Ordering::Relaxed);
                writer.put_u32(COUNT, 3)
            },
        )
    };
    assert!(!handle.has_listeners(0, HOME));
    notify(HOME).unwrap();
    assert_eq!(
        built.load(Ordering::Relaxed),
        0,
        "nobody listens: nothing is built"
    );

    for client in [&member, &elsewhere, &everywhere] {
        client.join(GROUP);
    }
    assert!(handle.has_listeners(0, HOME));
    notify(HOME).unwrap();
    assert_eq!(built.load(Ordering::Relaxed), 1);
    let got = member.queue.take();
    assert_eq!(
        show(&got[0]),
        "40 cmd Some(1) flags 0x0 len 28\n  1 03000000\n"
    );
    let header = headers(&got)[0][0];
    assert_eq!((header.seq, header.portid), (0, 0));
    assert_eq!(everywhere.queue.take(), got);
    assert!(stranger.queue.take().is_empty() && elsewhere.queue.take().is_empty());
}

#[test]
fn a_filter_decides_for_each_member() {
    let (genl, toy) = machine(0, Upstream::None);
    let handle = toy.handle.get().unwrap();
    let (one, other) = (Client::new(&genl, HOME), Client::new(&genl, HOME));
    one.join(GROUP);
    other.join(GROUP);
    one.ask(&request(REMEMBER, 0, 1));
    let remembers = |socket: &netlink::genl::Socket| socket.private::<u32>(ID).is_some();
    handle
        .multicast(0, HOME, ECHO, remembers, |_| Ok(()))
        .unwrap();
    assert_eq!((one.queue.take().len(), other.queue.take().len()), (1, 0));
}

#[test]
fn a_slow_reader_loses_notifications_and_holds_nobody_up() {
    let (genl, toy) = machine(0, Upstream::None);
    let handle = toy.handle.get().unwrap();
    let (slow, quick) = (
        Client::with_room(&genl, HOME, 1, 0),
        Client::new(&genl, HOME),
    );
    slow.join(GROUP);
    quick.join(GROUP);
    for _ in 0..3 {
        handle
            .multicast(0, HOME, ECHO, |_| true, |_| Ok(()))
            .unwrap();
    }
    assert_eq!((slow.queue.take().len(), quick.queue.take().len()), (1, 3));
    assert!(slow.options.enobufs.load(Ordering::Relaxed));
    assert!(!quick.options.enobufs.load(Ordering::Relaxed));
}

/// Both happen every time.
#[derive(Debug)]
struct Unlucky;

impl Mishaps for Unlucky {
    fn interrupts_dump(&self) -> bool {
        true
    }

    fn loses_notification(&self) -> bool {
        true
    }
}

#[test]
fn mishaps_are_marked_as_the_kernel_marks_them() {
    let (genl, toy) = machine(500, Upstream::None);
    let client = Client::new(&genl, HOME);
    client.join(GROUP);
    assert!(genl.set_mishaps(Arc::new(Unlucky)));
    assert!(!genl.set_mishaps(Arc::new(Unlucky)));
    let flagged = |count| {
        let got = headers(&client.ask(&request(LIST, NLM_F_DUMP, count)));
        let flagged = |header: &MessageHeader| header.flags & NLM_F_DUMP_INTR != 0;
        got.iter()
            .map(|datagram| datagram.iter().filter(|header| flagged(header)).count())
            .collect::<Vec<_>>()
    };
    assert_eq!(flagged(20), [0, 7, 7], "as soon as it has begun");
    assert_eq!(flagged(2), [1], "its end");
    // The controller tells of its families undisturbed.
    let policies = RequestBuilder::new(16, 10, NLM_F_REQUEST | NLM_F_DUMP).text(2, "toy");
    let got = headers(&client.ask(&policies.build()));
    assert!(
        got.iter()
            .flatten()
            .all(|header| header.flags & NLM_F_DUMP_INTR == 0)
    );

    let handle = toy.handle.get().unwrap();
    handle
        .multicast(0, HOME, ECHO, |_| true, |_| Ok(()))
        .unwrap();
    assert!(client.queue.take().is_empty());
    assert!(client.options.enobufs.load(Ordering::Relaxed));
}

#[test]
fn what_is_nobodys_here_goes_to_the_kernel_upstream() {
    let (genl, _) = machine(0, Upstream::Kernel);
    let client = Client::new(&genl, HOME);
    let admin = Nobody { admin: true };
    let get = |name: &str| {
        RequestBuilder::new(16, 3, NLM_F_REQUEST)
            .text(2, name)
            .build()
    };
    assert!(client.send(&admin, &get("toy")).is_empty());
    assert_eq!(headers(&client.queue.take())[0][0].kind, 16);

    let (ours, theirs) = (request(ECHO, 0, 1), get("nl80211"));
    let unknown = RequestBuilder::new(33, 1, NLM_F_REQUEST).build();
    let list = RequestBuilder::new(16, 3, NLM_F_REQUEST | NLM_F_DUMP).build();
    let datagram = [ours.clone(), theirs.clone(), unknown.clone(), list.clone()].concat();
    let unclaimed = client.send(&admin, &datagram);
    let (a, b) = (ours.len(), ours.len() + theirs.len());
    let c = b + unknown.len();
    assert_eq!(
        unclaimed,
        [
            Unclaimed::Message(a..b),
            Unclaimed::Message(b..c),
            Unclaimed::FamilyDump(c..c + list.len()),
        ]
    );
    assert_eq!(client.queue.take().len(), 1, "only our own is answered");

    let entries = genl.family_entries(&client.socket, &list);
    let headers = headers(&[entries]);
    assert_eq!(headers[0].len(), 1, "the controller is the real kernel's");
    assert_eq!(
        (headers[0][0].flags, headers[0][0].portid),
        (NLM_F_MULTI, 77)
    );
}

#[test]
fn without_a_kernel_the_controller_lists_what_there_is() {
    let (genl, _) = machine(0, Upstream::None);
    let client = Client::new(&genl, HOME);
    let got = client.ask(&RequestBuilder::new(16, 3, NLM_F_REQUEST | NLM_F_DUMP).build());
    let text = show(&got[0]);
    assert!(
        text.contains("\"nlctrl\"") && text.contains("\"toy\""),
        "{text}"
    );
    assert_eq!(headers(&got)[0].len(), 3);
}

#[test]
fn a_panic_in_a_family_frees_the_socket() {
    struct Panics;
    impl Family for Panics {
        fn spec(&self) -> &'static FamilySpec {
            &SPEC
        }
        fn doit(&self, _: &mut Request<'_>, _: &dyn Caller, _: &mut Reply<'_>) -> Result {
            panic!("a bug");
        }
        fn dumpit(
            &self,
            _: &mut Request<'_>,
            _: &mut DumpCursor,
            _: &mut Batch<'_>,
        ) -> Result<DumpState> {
            panic!("a bug");
        }
    }
    let (genl, _) = machine(0, Upstream::None);
    genl.register(Arc::new(Panics), ID + 1, GROUP + 1);
    let client = Client::new(&genl, HOME);
    for flags in [NLM_F_REQUEST, NLM_F_REQUEST | NLM_F_DUMP] {
        let cmd = if flags & NLM_F_DUMP == 0 { ECHO } else { LIST };
        let datagram = RequestBuilder::new(ID + 1, cmd, flags).build();
        let ask = std::panic::AssertUnwindSafe(|| client.ask(&datagram));
        assert!(std::panic::catch_unwind(ask).is_err());
    }
    assert_eq!(numbers(&client.ask(&request(LIST, NLM_F_DUMP, 2))), [0, 1]);
}
