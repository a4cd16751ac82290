//! Parameters through their commands.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use devlink::{Cmodes, Param, ParamType, ParamValue};
use lockdep::order::Held;
use netlink::{KernelVersion, RawAttrs, attr, cmd};
use rustix::io::Errno;

use support::Machine;
use support::client::{Body, handle, port_handle};

fn newest() -> Machine {
    Machine::new(KernelVersion::V7_2)
}

/// A request to set a parameter, as iproute2 sends it.
fn set(name: &str, ty: ParamType, cmode: u8, data: Option<&[u8]>) -> Body {
    let body = handle(10)
        .str(attr::PARAM_NAME, name)
        .u8(attr::PARAM_VALUE_CMODE, cmode)
        .u8(attr::PARAM_TYPE, ty as u8);
    match data {
        Some(data) => body.raw(attr::PARAM_VALUE_DATA.number(), data),
        None => body,
    }
}

/// Path to a parameter's first value.
const VALUE: [u16; 4] = [80, 84, 85, 86];

#[test]
fn a_driverinit_value_waits_for_the_next_reload() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let mut client = machine.client();
    let monitor = machine.client().listen();

    client
        .doit(
            cmd::PARAM_SET,
            set("max_macs", ParamType::U32, 1, Some(&7_u32.to_ne_bytes())),
        )
        .ok();
    let [news] = monitor.notifications().try_into().unwrap();
    assert_eq!((news.cmd(), news.u32(&VALUE)), (cmd::PARAM_NEW, Some(7)));
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 32);
    client.doit(cmd::RELOAD, handle(10)).ok();
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 7);

    // Back to what the driver started with.
    let reset = set("max_macs", ParamType::U32, 1, None).flag(attr::PARAM_RESET_DEFAULT);
    client.doit(cmd::PARAM_SET, reset).ok();
    client.doit(cmd::RELOAD, handle(10)).ok();
    assert_eq!(toy.max_macs.load(Ordering::Relaxed), 32);
    machine.assert_clean();
}

#[test]
fn a_runtime_value_is_set_at_once_and_can_be_reset() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let mut client = machine.client();
    client
        .doit(
            cmd::PARAM_SET,
            set("test2", ParamType::U32, 0, Some(&5_u32.to_ne_bytes())),
        )
        .ok();
    assert_eq!(toy.test2.load(Ordering::Relaxed), 5);
    let reset = set("test2", ParamType::U32, 0, None).flag(attr::PARAM_RESET_DEFAULT);
    client.doit(cmd::PARAM_SET, reset).ok();
    assert_eq!(toy.test2.load(Ordering::Relaxed), 1234);
    machine.assert_clean();
}

#[test]
fn what_cannot_be_set_is_refused_as_the_kernel_does() {
    let machine = newest();
    machine.new_device(10, 0);
    let mut client = machine.client();
    let seven = 7_u32.to_ne_bytes();
    let cases = [
        (handle(10), Errno::INVAL),
        (set("nope", ParamType::U32, 1, Some(&seven)), Errno::INVAL),
        (
            set("max_macs", ParamType::U16, 1, Some(&seven)),
            Errno::INVAL,
        ),
        (
            set("max_macs", ParamType::U32, 1, Some(&seven[..2])),
            Errno::INVAL,
        ),
        (set("max_macs", ParamType::U32, 1, None), Errno::INVAL),
        (set("test1", ParamType::Bool, 1, Some(&[1])), Errno::INVAL),
        (
            set("max_macs", ParamType::U32, 0, Some(&seven)),
            Errno::OPNOTSUPP,
        ),
        (
            set("test2", ParamType::U32, 2, Some(&seven)),
            Errno::OPNOTSUPP,
        ),
    ];
    for (body, errno) in cases {
        assert_eq!(client.doit(cmd::PARAM_SET, body).error(), (errno, None));
    }
    let port_params = (Errno::INVAL, Some("Port params are not supported"));
    assert_eq!(
        client
            .doit(cmd::PORT_PARAM_GET, port_handle(10, 0))
            .error()
            .0,
        Errno::NODEV
    );
    machine.new_device(11, 1);
    assert_eq!(
        client.doit(cmd::PORT_PARAM_GET, port_handle(11, 0)).error(),
        port_params
    );
    assert_eq!(
        client.doit(cmd::PORT_PARAM_SET, port_handle(11, 0)).error(),
        port_params
    );
    let dump = client.dump(cmd::PORT_PARAM_GET, Body::default());
    assert_eq!(
        (dump.errno, dump.text.as_deref(), dump.messages.len()),
        (0, port_params.1, 0)
    );
    machine.assert_clean();
}

#[test]
fn every_type_of_value_goes_there_and_back() {
    let machine = newest();
    let toy = machine.new_device(10, 0);
    let values = [
        (ParamType::U8, ParamValue::U8(0xa5), vec![0xa5]),
        (
            ParamType::U16,
            ParamValue::U16(0xbeef),
            0xbeef_u16.to_ne_bytes().to_vec(),
        ),
        (
            ParamType::U64,
            ParamValue::U64(1 << 40),
            (1_u64 << 40).to_ne_bytes().to_vec(),
        ),
        (
            ParamType::String,
            ParamValue::String("dmfs".into()),
            b"dmfs\0".to_vec(),
        ),
        (
            ParamType::U64Array,
            ParamValue::U64Array(vec![9]),
            9_u32.to_ne_bytes().to_vec(),
        ),
    ];
    let mut client = machine.client();
    for (nth, (ty, value, wire)) in (2..).zip(values) {
        let stored = Arc::new(Mutex::new(None::<ParamValue>));
        let (get, put) = (Arc::clone(&stored), stored);
        let param = Param::driver(nth, "wide", ty, Cmodes::RUNTIME.and(Cmodes::PERMANENT)).with(
            move |_, _, _| get.lock().unwrap().clone().ok_or(Errno::OPNOTSUPP),
            move |_, _, value, _| {
                *put.lock().unwrap() = Some(value.clone());
                Ok(())
            },
        );
        let mut held = Held::root();
        let mut devl = toy.devlink().lock(&mut held);
        devl.params_register(std::slice::from_ref(&param)).unwrap();
        assert_eq!(
            devl.params_register(std::slice::from_ref(&param)),
            Err(Errno::BUSY)
        );
        drop(devl);

        // What cannot be read is left out of dumps, and is an error when asked for.
        let wide = || handle(10).str(attr::PARAM_NAME, "wide");
        assert_eq!(
            client.doit(cmd::PARAM_GET, wide()).error(),
            (Errno::OPNOTSUPP, None)
        );
        assert_eq!(client.dump(cmd::PARAM_GET, Body::default()).ok().len(), 3);
        client
            .doit(cmd::PARAM_SET, set("wide", ty, 2, Some(&wire)))
            .ok();
        let reply = client.doit(cmd::PARAM_GET, wide()).one();
        assert_eq!(reply.find(&VALUE).as_ref(), Some(&wire), "{value:?}");
        let list = reply.find(&[80, 84]).unwrap();
        assert_eq!(
            RawAttrs::new(&list, 0).count(),
            2,
            "one value for each mode"
        );

        toy.devlink().lock(&mut held).params_unregister(&[param]);
    }
    // Strings have a limit, and an end.
    let param = Param::driver(9, "wide", ParamType::String, Cmodes::RUNTIME)
        .with(|_, _, _| Err(Errno::OPNOTSUPP), |_, _, _, _| Ok(()))
        .validate(|_, value, extack| match value.as_str() {
            Some("bad") => {
                extack.set_msg("toy: not that");
                Err(Errno::RANGE)
            }
            _ => Ok(()),
        });
    toy.devlink()
        .lock(&mut Held::root())
        .params_register(&[param])
        .unwrap();
    let mut set_string = |bytes: &[u8]| {
        client.doit(
            cmd::PARAM_SET,
            set("wide", ParamType::String, 0, Some(bytes)),
        )
    };
    assert_eq!(set_string(&[[b'x'; 31].as_slice(), &[0]].concat()).errno, 0);
    assert_eq!(
        set_string(&[[b'x'; 32].as_slice(), &[0]].concat()).error(),
        (Errno::INVAL, None)
    );
    assert_eq!(set_string(b"endless").error(), (Errno::INVAL, None));
    assert_eq!(
        set_string(b"bad\0").error(),
        (Errno::RANGE, Some("toy: not that"))
    );
}
