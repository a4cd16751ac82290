//! The parser of datagrams: the input is one, sent to a whole machine.

#![no_main]

use fuzz::machine;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    machine::exchange(input).expect("all is well");
});
