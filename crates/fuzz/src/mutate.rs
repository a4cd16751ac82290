//! Requests of real clients, spoilt.

use crate::random::Random;

/// A request of the corpus, or two, with some of it changed; now and then whole.
pub fn datagram(random: &mut Random, corpus: &[Vec<u8>]) -> Vec<u8> {
    let mut datagram = corpus[random.below(corpus.len())].clone();
    for _ in 0..random.below(4) {
        match random.below(8) {
            0 => {
                let len = random.below(datagram.len() + 1);
                datagram.truncate(len);
            }
            1 => datagram.extend(random.bytes(64)),
            2 => datagram.extend_from_slice(&corpus[random.below(corpus.len())]),
            3 if !datagram.is_empty() => {
                // A piece from elsewhere.
                let other = &corpus[random.below(corpus.len())];
                let (at, from) = (random.below(datagram.len()), random.below(other.len()));
                datagram.truncate(at);
                datagram.extend_from_slice(&other[from..]);
            }
            4 if datagram.len() >= 4 => {
                // A length, of the message or of an attribute.
                let at = random.below(datagram.len() / 4) * 4;
                let len = (random.below(80) as u16).to_ne_bytes();
                datagram[at..at + 2].copy_from_slice(&len);
            }
            _ if !datagram.is_empty() => {
                let at = random.below(datagram.len());
                datagram[at] = match random.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => datagram[at] ^ (1 << random.below(8)),
                    _ => random.number() as u8,
                };
            }
            _ => {}
        }
    }
    // Most are to get past the first look: the length is that of the datagram.
    if datagram.len() >= 4 && !random.one_in(4) {
        let len = (datagram.len() as u32).to_ne_bytes();
        datagram[..4].copy_from_slice(&len);
    }
    datagram
}
