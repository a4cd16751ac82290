//! A hasher for the validator's own tables: their keys are small numbers, hashes and short names of the program's own, so
//! speed counts and nobody is out to make them collide.

use std::hash::{BuildHasherDefault, Hasher};

/// Makes [`Multiply`] hashers; can be had in a `const`.
pub(crate) type BuildMultiply = BuildHasherDefault<Multiply>;

/// Folds each word in by a multiplication.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Multiply(u64);

impl Multiply {
    fn fold(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(26) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Hasher for Multiply {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.fold(u64::from_le_bytes(word));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.fold(number.into());
    }

    fn write_u32(&mut self, number: u32) {
        self.fold(number.into());
    }

    fn write_u64(&mut self, number: u64) {
        self.fold(number);
    }

    fn write_usize(&mut self, number: usize) {
        self.fold(number as u64);
    }

    fn finish(&self) -> u64 {
        // A product's best bits are its high ones; the tables want good bits at both ends.
        let folded = (self.0 ^ self.0 >> 29).wrapping_mul(0xd6e8_feb8_6659_fd93);
        folded ^ folded >> 32
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, Hash};

    use super::*;

    fn low_bits<T: Hash>(values: impl Iterator<Item = T>) -> usize {
        let hashes = values.map(|value| BuildMultiply::new().hash_one(value) & 0xfff);
        hashes.collect::<HashSet<u64>>().len()
    }

    /// A thousand values thrown at random into 4096 places would hit 887 of them.
    #[test]
    fn near_values_come_to_different_places() {
        assert!(low_bits((0..1000_u32).map(|id| (8 * id, 16))) > 700);
        assert!(low_bits((0..1000_usize).map(|at| 0x7f00_0000_0000 + 64 * at)) > 700);
        assert!(low_bits((0..1000).map(|at| format!("lock class {at}"))) > 700);
    }
}
