//! The encoder: the input chooses what is written, into how much room; it is read back.

#![no_main]

use fuzz::encoder;
use fuzz::random::Random;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    encoder::round_trip(&mut Random::of_input(input.to_vec())).expect("what was put is read");
});
