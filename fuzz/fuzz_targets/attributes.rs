//! The parsers of every command's attributes: the input chooses a command, attributes, lengths and values.

#![no_main]

use fuzz::random::Random;
use fuzz::{machine, requests};
use libfuzzer_sys::fuzz_target;
use netlink::KernelVersion;

fuzz_target!(|input: &[u8]| {
    let mut random = Random::of_input(input.to_vec());
    let request = requests::request(&mut random, KernelVersion::DEFAULT);
    machine::exchange(&request).expect("all is well");
});
