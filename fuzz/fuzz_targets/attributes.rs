//! The parsers of every command's attributes: the input chooses a command, attributes, lengths and values.

#![no_main]

use std::cell::RefCell;

use fuzz::machine::Host;
use fuzz::random::Random;
use fuzz::requests;
use libfuzzer_sys::fuzz_target;
use netlink::KernelVersion;

/// So many inputs go to one machine, which is taken apart then.
const EACH: u32 = 20_000;

thread_local! {
    static MACHINE: RefCell<Option<(Host, u32)>> = const { RefCell::new(None) };
}

fuzz_target!(|input: &[u8]| {
    MACHINE.with_borrow_mut(|machine| {
        let (host, done) = machine.get_or_insert_with(|| {
            let host = Host::new(KernelVersion::DEFAULT).expect("a machine can be made");
            (host, 0)
        });
        *done += 1;
        let last = *done == EACH;
        let request = requests::request(&mut Random::of_input(input.to_vec()), KernelVersion::DEFAULT);
        host.exchange(&request).expect("whole messages");
        if let Some((host, _)) = machine.take_if(|_| last) {
            host.remove_devices().expect("every device can be removed");
            assert!(lockdep::reports().is_empty(), "{:#?}", lockdep::reports());
        }
    });
});
