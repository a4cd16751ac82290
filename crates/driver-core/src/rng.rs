//! Random numbers, injected and seeded, so that a run can be repeated.
//!
//! Nothing here is secret: the numbers become MAC addresses and initial values. The generator is SplitMix64, which
//! needs one word of state and no crate.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// A source of random numbers.
pub trait Rng: Send + Sync + fmt::Debug {
    /// The next 64 random bits (`get_random_u64`).
    fn next_u64(&self) -> u64;

    /// Fills `bytes` (`get_random_bytes`).
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next_u64().to_le_bytes()[..chunk.len()]);
        }
    }

    /// A random unicast, locally administered Ethernet address (`eth_random_addr`).
    fn eth_random_addr(&self) -> [u8; 6] {
        let mut address = [0; 6];
        self.fill(&mut address);
        address[0] &= 0xfe;
        address[0] |= 0x02;
        address
    }
}

/// SplitMix64 from a seed: the same seed gives the same numbers.
#[derive(Debug)]
pub struct SeededRng {
    state: AtomicU64,
}

const GOLDEN_GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl SeededRng {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Self {
        SeededRng {
            state: AtomicU64::new(seed),
        }
    }
}

impl Rng for SeededRng {
    fn next_u64(&self) -> u64 {
        let mut z = self
            .state
            .fetch_add(GOLDEN_GAMMA, Ordering::Relaxed)
            .wrapping_add(GOLDEN_GAMMA);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sequence_is_splitmix64() {
        // Vigna's reference sequence for seed 1234567.
        let rng = SeededRng::new(1_234_567);
        assert_eq!(rng.next_u64(), 6_457_827_717_110_365_317);
        assert_eq!(rng.next_u64(), 3_203_168_211_198_807_973);
        assert_eq!(rng.next_u64(), 9_817_491_932_198_370_423);
    }

    #[test]
    fn random_addresses_are_unicast_and_local() {
        let rng = SeededRng::new(7);
        for _ in 0..100 {
            let address = rng.eth_random_addr();
            assert_eq!(address[0] & 0x01, 0, "multicast bit in {address:02x?}");
            assert_eq!(address[0] & 0x02, 0x02, "local bit in {address:02x?}");
        }
    }

    #[test]
    fn odd_lengths_are_filled() {
        let rng = SeededRng::new(1);
        let mut bytes = [0u8; 13];
        rng.fill(&mut bytes);
        assert!(bytes[8..].iter().any(|byte| *byte != 0));
    }
}
