//! Health reporters: reports, grace and burst periods, dumps and what users see of them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use devlink::{Devl, Fmsg, Reporter, ReporterOps};
use lockdep::order::Held;
use netlink::message::{NLM_F_ACK, NLM_F_MULTI};
use netlink::{KernelVersion, RawAttr, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, Message, handle, port_handle};
use support::toy::Toy;

/// What the toy's reporter does.
#[derive(Default)]
struct Engine {
    recoveries: AtomicU32,
    is_broken: AtomicBool,
    /// Bytes of the dump.
    binary: AtomicU32,
}

impl Engine {
    fn ops(self: &Arc<Self>) -> ReporterOps {
        let (recover, dump, test) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        ReporterOps::new("engine")
            .recover(move |_, _, extack| {
                if recover.is_broken.load(Ordering::Relaxed) {
                    extack.set_msg("toy: beyond repair");
                    return Err(Errno::IO);
                }
                recover.recoveries.fetch_add(1, Ordering::Relaxed);
                Ok(())
            })
            .dump(move |_, fmsg, ctx, _| {
                if let Some(cause) = ctx.and_then(|ctx| ctx.downcast_ref::<String>()) {
                    fmsg.string_pair_put("cause", cause);
                }
                let len = dump.binary.load(Ordering::Relaxed) as usize;
                fmsg.binary_pair_put("memory", &vec![7; len]);
                Ok(())
            })
            .test(move |_, extack| {
                extack.set_msg("toy: nothing to test");
                test.is_broken.store(true, Ordering::Relaxed);
                Ok(())
            })
    }
}

fn with<R>(toy: &Toy, act: impl FnOnce(&mut Devl<'_>) -> R) -> R {
    let mut held = Held::root();
    act(&mut toy.devlink().lock(&mut held))
}

fn reporter(name: &str) -> Body {
    handle(10).str(attr::HEALTH_REPORTER_NAME, name)
}

/// A value in the reporter's nest.
fn field(message: &Message, number: u16) -> Option<u64> {
    let value = message.find(&[attr::HEALTH_REPORTER.number(), number])?;
    match value.len() {
        1 => Some(u64::from(value[0])),
        _ => Some(u64::from_ne_bytes(value.try_into().ok()?)),
    }
}

/// State, errors, recoveries.
fn counters(message: &Message) -> [u64; 3] {
    [
        attr::HEALTH_REPORTER_STATE.number(),
        attr::HEALTH_REPORTER_ERR_COUNT.number(),
        attr::HEALTH_REPORTER_RECOVER_COUNT.number(),
    ]
    .map(|number| field(message, number).unwrap())
}

fn report(reporter: &Arc<Reporter>) -> Result<(), Errno> {
    reporter.report(&mut Held::root(), Some(&"a bit has tipped".to_owned()))
}

/// A formatted message, as one line: `{` object, `name:` pair, `[` array, `}` any end.
fn text(messages: &[Message]) -> String {
    let mut text = String::new();
    for message in messages {
        let stream = message.find(&[attr::FMSG.number()]).unwrap();
        let mut ty = 0;
        for item in RawAttrs::new(&stream, 0) {
            text += &match item.number() {
                107 => "{".to_owned(),
                108 => String::new(),
                109 => "[".to_owned(),
                110 => "}".to_owned(),
                111 => format!("{}:", String::from_utf8_lossy(item.text())),
                112 => {
                    ty = item.u8().unwrap();
                    continue;
                }
                113 => match ty {
                    1 | 6 => format!("{} ", item.u8().unwrap()),
                    3 => format!("{} ", item.u32().unwrap()),
                    4 => format!("{} ", item.u64().unwrap()),
                    10 => format!("{} ", String::from_utf8_lossy(item.text())),
                    11 => format!("<{}> ", item.payload.len()),
                    other => panic!("type {other}"),
                },
                other => panic!("attribute {other}"),
            };
        }
    }
    text
}

#[test]
fn a_report_dumps_and_recovers_and_tells() {
    let (machine, clock) = Machine::with_clock(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let engine = Arc::new(Engine::default());
    let watched = with(&toy, |devl| {
        devl.health_reporter_create(engine.ops()).unwrap()
    });
    let monitor = machine.client().listen();
    let mut client = machine.client();
    clock.advance(Duration::from_millis(300_101));

    report(&watched).unwrap();
    let heard = monitor.notifications();
    assert!(
        heard
            .iter()
            .all(|news| news.cmd() == cmd::HEALTH_REPORTER_RECOVER)
    );
    let states: Vec<_> = heard.iter().map(counters).collect();
    assert_eq!(states, [[1, 1, 0], [0, 1, 1]]);
    let shown = client
        .doit(cmd::HEALTH_REPORTER_GET, reporter("engine"))
        .one();
    // Five minutes after boot the kernel's ticks are at zero.
    assert_eq!(
        field(&shown, attr::HEALTH_REPORTER_DUMP_TS.number()),
        Some(100)
    );
    assert_eq!(
        field(&shown, attr::HEALTH_REPORTER_DUMP_TS_NS.number()),
        Some(300_101_000_000)
    );

    let dump = client
        .dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("engine"))
        .ok();
    assert!(
        dump.iter()
            .all(|message| message.header.flags == NLM_F_ACK | NLM_F_MULTI)
    );
    assert_eq!(text(&dump), "{cause:a bit has tipped }memory:[}}}");
    // The first dump stays until it is cleared.
    report(&watched).unwrap();
    let shown = client
        .doit(cmd::HEALTH_REPORTER_GET, reporter("engine"))
        .one();
    assert_eq!(
        field(&shown, attr::HEALTH_REPORTER_DUMP_TS.number()),
        Some(100)
    );
    client
        .doit(cmd::HEALTH_REPORTER_DUMP_CLEAR, reporter("engine"))
        .ok();
    // There is none: the next to ask has it taken, without an error to tell of.
    let dump = client
        .dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("engine"))
        .ok();
    assert_eq!(text(&dump), "{memory:[}}}");

    engine.is_broken.store(true, Ordering::Relaxed);
    assert_eq!(report(&watched), Err(Errno::IO));
    // An error that is not recovered is not attended to again by itself.
    assert_eq!(report(&watched), Err(Errno::CANCELED));
    let recover = client.doit(cmd::HEALTH_REPORTER_RECOVER, reporter("engine"));
    assert_eq!(recover.error(), (Errno::IO, Some("toy: beyond repair")));
    engine.is_broken.store(false, Ordering::Relaxed);
    client
        .doit(cmd::HEALTH_REPORTER_RECOVER, reporter("engine"))
        .ok();
    client
        .doit(cmd::HEALTH_REPORTER_RECOVER, reporter("engine"))
        .ok();
    let shown = client
        .doit(cmd::HEALTH_REPORTER_GET, reporter("engine"))
        .one();
    assert_eq!(counters(&shown), [0, 4, 3]);

    with(&toy, |devl| devl.health_reporter_destroy(&watched));
    // A report that comes too late finds nobody.
    assert_eq!(report(&watched), Err(Errno::NODEV));
    machine.assert_clean();
}

#[test]
fn within_the_grace_period_nothing_is_recovered_but_in_its_burst() {
    let (machine, clock) = Machine::with_clock(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let engine = Arc::new(Engine::default());
    let ops = engine.ops().graceful_period(60_000).burst_period(1_000);
    let watched = with(&toy, |devl| devl.health_reporter_create(ops).unwrap());
    let mut client = machine.client();
    let mut recovered_by_hand = || {
        client
            .doit(cmd::HEALTH_REPORTER_RECOVER, reporter("engine"))
            .ok();
    };
    // The first one is, and in the burst all others are.
    assert_eq!(report(&watched), Ok(()));
    clock.advance(Duration::from_millis(500));
    assert_eq!(report(&watched), Ok(()));
    clock.advance(Duration::from_millis(496));
    assert_eq!(report(&watched), Ok(()));
    // After it none, until burst and grace are over; a recovery by hand begins both anew.
    clock.advance(Duration::from_millis(4));
    assert_eq!(report(&watched), Err(Errno::CANCELED));
    recovered_by_hand();
    assert_eq!(report(&watched), Ok(()));
    clock.advance(Duration::from_millis(60_996));
    assert_eq!(report(&watched), Err(Errno::CANCELED));
    recovered_by_hand();
    clock.advance(Duration::from_millis(61_000));
    assert_eq!(report(&watched), Ok(()));
    assert_eq!(engine.recoveries.load(Ordering::Relaxed), 7);
    with(&toy, |devl| devl.health_reporter_destroy(&watched));
    machine.assert_clean();
}

#[test]
fn settings_are_for_reporters_that_have_what_they_set() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let engine = Arc::new(Engine::default());
    let (watched, mute) = with(&toy, |devl| {
        (
            devl.health_reporter_create(engine.ops()).unwrap(),
            devl.health_reporter_create(ReporterOps::new("mute"))
                .unwrap(),
        )
    });
    let mut client = machine.client();
    let grace = |name: &str, ms| reporter(name).u64(attr::HEALTH_REPORTER_GRACEFUL_PERIOD, ms);
    let burst = |name: &str, ms| reporter(name).u64(attr::HEALTH_REPORTER_BURST_PERIOD, ms);
    let mut set = |body: Body| client.doit(cmd::HEALTH_REPORTER_SET, body);
    for body in [
        grace("mute", 1),
        burst("mute", 1),
        reporter("mute").u8(attr::HEALTH_REPORTER_AUTO_RECOVER, 1),
        reporter("mute").u8(attr::HEALTH_REPORTER_AUTO_DUMP, 1),
    ] {
        assert_eq!(set(body).error(), (Errno::OPNOTSUPP, None));
    }
    let text = "health: Cannot set burst period without a grace period.";
    assert_eq!(set(burst("engine", 5)).error(), (Errno::INVAL, Some(text)));
    set(burst("engine", 0)).ok();
    set(grace("engine", 9).and(burst("engine", 5))).ok();
    // No grace, no burst; and what was set before a refusal stays.
    set(grace("engine", 0)).ok();
    let both = grace("engine", 0).u64(attr::HEALTH_REPORTER_BURST_PERIOD, 5);
    assert_eq!(set(both).errno, -22);
    set(reporter("engine").u8(attr::HEALTH_REPORTER_AUTO_DUMP, 0)).ok();

    let shown = client.dump(cmd::HEALTH_REPORTER_GET, Body::default()).ok();
    let fields = |message: &Message| {
        [
            attr::HEALTH_REPORTER_GRACEFUL_PERIOD.number(),
            attr::HEALTH_REPORTER_BURST_PERIOD.number(),
            attr::HEALTH_REPORTER_AUTO_RECOVER.number(),
            attr::HEALTH_REPORTER_AUTO_DUMP.number(),
        ]
        .map(|number| field(message, number))
    };
    assert_eq!(fields(&shown[0]), [Some(0), Some(0), Some(1), Some(0)]);
    assert_eq!(fields(&shown[1]), [None; 4]);

    for (command, has) in [
        (cmd::HEALTH_REPORTER_DIAGNOSE, false),
        (cmd::HEALTH_REPORTER_TEST, true),
        (cmd::HEALTH_REPORTER_DUMP_CLEAR, true),
    ] {
        let errno = |answer: support::client::Answer| answer.errno;
        let refused = -95;
        assert_eq!(errno(client.doit(command, reporter("mute"))), refused);
        let answer = errno(client.doit(command, reporter("engine")));
        assert_eq!(answer, if has { 0 } else { refused });
        assert_eq!(errno(client.doit(command, reporter("nope"))), -22);
        assert_eq!(errno(client.doit(command, handle(10))), -22);
    }
    let no_dump = client.dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("mute"));
    assert_eq!(no_dump.errno, -95);
    // That there is no such device is told as if there were no such reporter.
    let body = handle(99).str(attr::HEALTH_REPORTER_NAME, "engine");
    assert_eq!(client.dump(cmd::HEALTH_REPORTER_DUMP_GET, body).errno, -22);

    with(&toy, |devl| {
        assert_eq!(
            devl.health_reporter_create(ReporterOps::new("mute"))
                .unwrap_err(),
            Errno::EXIST
        );
        devl.health_reporter_destroy(&watched);
        devl.health_reporter_destroy(&mute);
    });
    machine.assert_clean();
}

#[test]
fn a_dump_is_cut_wherever_a_message_is_full() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let types = |fmsg: &mut Fmsg| {
        fmsg.bool_pair_put("bool", true);
        fmsg.u8_pair_put("u8", u8::MAX);
        fmsg.u32_pair_put("u32", u32::MAX);
        fmsg.u64_pair_put("u64", u64::MAX);
        // A text of C ends at its first NUL.
        fmsg.string_pair_put("string", b"some\0thing");
        fmsg.arr_pair_nest_start("array");
        for number in 0..1000 {
            fmsg.obj_nest_start();
            fmsg.u32_pair_put("number", number);
            fmsg.obj_nest_end();
        }
        fmsg.arr_pair_nest_end();
    };
    let ops = ReporterOps::new("talker")
        .dump(move |_, fmsg, _, _| {
            types(fmsg);
            Ok(())
        })
        .diagnose(move |_, fmsg, _| {
            types(fmsg);
            Ok(())
        });
    let talker = with(&toy, |devl| devl.health_reporter_create(ops).unwrap());
    let mut expected =
        "{bool:1 }u8:255 }u32:4294967295 }u64:18446744073709551615 }string:some }array:["
            .to_owned();
    for number in 0..1000 {
        expected += &format!("{{number:{number} }}}}");
    }
    expected += "}}}";
    let mut client = machine.client();
    let dump = client
        .dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("talker"))
        .ok();
    assert!(dump.len() > 5, "{} messages", dump.len());
    assert_eq!(text(&dump), expected);
    let diagnosis = client
        .doit(cmd::HEALTH_REPORTER_DIAGNOSE, reporter("talker"))
        .ok();
    assert!(diagnosis.len() > 5);
    assert_eq!(text(&diagnosis), expected);
    with(&toy, |devl| devl.health_reporter_destroy(&talker));
    machine.assert_clean();
}

#[test]
fn a_dump_that_another_took_the_place_of_is_not_mixed_with_it() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let ops = ReporterOps::new("talker").dump(|_, fmsg, _, _| {
        (0..1000).for_each(|number| fmsg.u32_pair_put("number", number));
        Ok(())
    });
    let talker = with(&toy, |devl| devl.health_reporter_create(ops).unwrap());
    let mut other = machine.client();
    for meanwhile in [0, 1, 2] {
        let mut slow = machine.client().slow(1);
        let begun = slow.dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("talker"));
        assert_eq!(begun.messages.len(), 1);
        if meanwhile > 0 {
            other
                .doit(cmd::HEALTH_REPORTER_DUMP_CLEAR, reporter("talker"))
                .ok();
        }
        if meanwhile > 1 {
            other
                .dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("talker"))
                .ok();
        }
        let rest = slow.resume();
        let (end, messages) = rest.split_last().unwrap();
        assert_eq!(end.header.kind, 3);
        let errno = i32::from_ne_bytes(end.payload[..4].try_into().unwrap());
        if meanwhile == 0 {
            let all = text(&begun.messages) + &text(messages);
            assert!(all.starts_with("{number:0 }") && all.ends_with("number:999 }}"));
            assert_eq!(errno, 0);
        } else {
            let said = RawAttrs::new(&end.payload[4..], 0).find(|attr| attr.number() == 1);
            let said = said.map(|said| String::from_utf8_lossy(said.text()).into_owned());
            assert_eq!(
                (errno, said.as_deref()),
                (-11, Some("Dump trampled, please retry"))
            );
        }
    }
    with(&toy, |devl| devl.health_reporter_destroy(&talker));
    machine.assert_clean();
}

#[test]
fn what_no_message_can_hold_ends_the_answer() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 0);
    let engine = Arc::new(Engine::default());
    let watched = with(&toy, |devl| {
        devl.health_reporter_create(engine.ops()).unwrap()
    });
    // A piece as large as can be put is larger than what fits beside a message's headers.
    engine.binary.store(3748, Ordering::Relaxed);
    let mut client = machine.client();
    let dump = client.dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("engine"));
    assert_eq!((dump.errno, dump.messages.len()), (-90, 1));
    // The type of the value that was not sent is left behind.
    let stream = dump.messages[0].find(&[attr::FMSG.number()]).unwrap();
    let last = RawAttrs::new(&stream, 0).last();
    assert_eq!(
        last.map(RawAttr::number),
        Some(attr::FMSG_OBJ_VALUE_TYPE.number())
    );

    // A client that receives into more gets it.
    client
        .options
        .max_recvmsg_len
        .store(8192, Ordering::Relaxed);
    let dump = client
        .dump(cmd::HEALTH_REPORTER_DUMP_GET, reporter("engine"))
        .ok();
    assert_eq!(text(&dump), "{memory:[<3748> }}}");
    with(&toy, |devl| devl.health_reporter_destroy(&watched));
    machine.assert_clean();
}

#[test]
fn a_port_has_reporters_of_its_own() {
    let machine = Machine::new(KernelVersion::V7_2);
    let toy = machine.new_device(10, 2);
    let made = with(&toy, |devl| {
        let nowhere = devl.port_health_reporter_create(9, ReporterOps::new("tx"));
        assert_eq!(nowhere.unwrap_err(), Errno::NODEV);
        [
            devl.health_reporter_create(ReporterOps::new("tx")).unwrap(),
            devl.port_health_reporter_create(0, ReporterOps::new("tx"))
                .unwrap(),
            devl.port_health_reporter_create(1, ReporterOps::new("rx"))
                .unwrap(),
        ]
    });
    let mut client = machine.client();
    let port = |message: &Message| message.u32(&[attr::PORT_INDEX.number()]);
    let mut dump = |body: Body| -> Vec<Option<u32>> {
        client
            .dump(cmd::HEALTH_REPORTER_GET, body)
            .ok()
            .iter()
            .map(port)
            .collect()
    };
    assert_eq!(dump(Body::default()), [None, Some(0), Some(1)]);
    assert_eq!(dump(handle(10)), [None, Some(0), Some(1)]);
    assert_eq!(dump(Body::default().u32(attr::PORT_INDEX, 1)), [Some(1)]);
    let mut get = |port, name: &str| {
        client.doit(
            cmd::HEALTH_REPORTER_GET,
            port_handle(10, port).str(attr::HEALTH_REPORTER_NAME, name),
        )
    };
    assert_eq!(port(&get(0, "tx").ok()[0]), Some(0));
    assert_eq!(get(1, "tx").error(), (Errno::INVAL, None));
    // A port that is not there names none, so the instance's own is meant.
    assert_eq!(port(&get(9, "tx").ok()[0]), None);
    with(&toy, |devl| {
        for one in &made {
            devl.health_reporter_destroy(one);
        }
    });
    machine.assert_clean();
}

#[test]
fn kernel_6_1_shows_ports_after_all_instances() {
    let machine = Machine::new(KernelVersion::V6_1);
    let mut all = Vec::new();
    for number in [10, 11] {
        let toy = machine.new_device(number, 1);
        with(&toy, |devl| {
            all.push((
                Arc::clone(&toy),
                devl.health_reporter_create(ReporterOps::new("fw")).unwrap(),
            ));
            let tx = devl
                .port_health_reporter_create(0, ReporterOps::new("tx"))
                .unwrap();
            all.push((Arc::clone(&toy), tx));
        });
    }
    let mut client = machine.client();
    let shown: Vec<_> = client
        .dump(cmd::HEALTH_REPORTER_GET, Body::default())
        .ok()
        .iter()
        .map(|message| {
            let device = message.text(&[attr::DEV_NAME.number()]).unwrap();
            (device, message.u32(&[attr::PORT_INDEX.number()]))
        })
        .collect();
    let of = |number, port| (format!("netdevsim{number}"), port);
    assert_eq!(
        shown,
        [of(10, None), of(11, None), of(10, Some(0)), of(11, Some(0))]
    );
    for (toy, one) in all {
        with(&toy, |devl| devl.health_reporter_destroy(&one));
    }
    machine.assert_clean();
}
