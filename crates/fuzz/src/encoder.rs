//! What the encoder writes is read back, and it never writes more than there is room for.

use anyhow::{Result, ensure};
use netlink::{KernelVersion, RawAttr, RawAttrs, Writer, attr};
use rustix::io::Errno;

use crate::random::Random;
use crate::trying;

/// An attribute as it was put: number and payload, or number and what is in the nest.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    Leaf(u16, Vec<u8>),
    Nest(u16, Vec<Put>),
}

/// Writes something of any size into a buffer of any size, and reads it; how many attributes it was.
pub fn round_trip(random: &mut Random) -> Result<usize> {
    let limit = match random.below(3) {
        0 => random.below(64),
        1 => random.below(3776),
        _ => random.below(100_000),
    };
    let mut buffer = Vec::new();
    let mut writer = Writer::new(&mut buffer, limit, KernelVersion::DEFAULT);
    let mut put = Vec::new();
    let count = random.below(12);
    for _ in 0..count {
        write(random, &mut writer, &mut put, 0)?;
    }
    trying(&buffer);
    ensure!(buffer.len() <= limit, "{} bytes in {limit}", buffer.len());
    ensure!(buffer.len() % 4 == 0, "not aligned: {}", buffer.len());
    let read = read(RawAttrs::new(&buffer, 0), &put);
    ensure!(read == put, "put {put:?}, read {read:?}");
    Ok(put.len())
}

/// Puts an attribute; what does not fit is `EMSGSIZE` and leaves no trace.
fn write(
    random: &mut Random,
    writer: &mut Writer<'_>,
    put: &mut Vec<Put>,
    depth: u32,
) -> Result<()> {
    let room = writer.room();
    let number = random.number();
    let (payload, to, done) = match random.below(if depth < 4 { 9 } else { 7 }) {
        0 => {
            let value = number as u8;
            let done = writer.put_u8(attr::RELOAD_ACTION, value);
            (vec![value], attr::RELOAD_ACTION.number(), done)
        }
        1 => {
            let value = number as u16;
            let done = writer.put_u16(attr::PORT_TYPE, value);
            let payload = value.to_ne_bytes().to_vec();
            (payload, attr::PORT_TYPE.number(), done)
        }
        2 => {
            let value = number as u32;
            let done = writer.put_u32(attr::PORT_INDEX, value);
            let payload = value.to_ne_bytes().to_vec();
            (payload, attr::PORT_INDEX.number(), done)
        }
        3 => {
            let done = writer.put_u64(attr::RESOURCE_SIZE, number);
            let payload = number.to_ne_bytes().to_vec();
            (payload, attr::RESOURCE_SIZE.number(), done)
        }
        4 => {
            let text: String = (0..random.below(200)).map(|_| 'é').collect();
            let done = writer.put_str(attr::DEV_NAME, &text);
            let payload = [text.as_bytes(), &[0]].concat();
            (payload, attr::DEV_NAME.number(), done)
        }
        5 => {
            let end = if random.one_in(20) { 80_000 } else { 300 };
            let payload = random.bytes(end);
            let done = writer.put_binary(attr::DPIPE_VALUE, &payload);
            (payload, attr::DPIPE_VALUE.number(), done)
        }
        6 => {
            let done = writer.put_flag(attr::REGION_DIRECT);
            (Vec::new(), attr::REGION_DIRECT.number(), done)
        }
        _ => {
            let mut inner = Vec::new();
            let fails = random.one_in(8);
            let count = random.below(5);
            let done = writer.nest(attr::DEV_STATS, |writer| {
                for _ in 0..count {
                    if write(random, writer, &mut inner, depth + 1).is_err() {
                        return Err(Errno::IO.into());
                    }
                }
                if fails {
                    return Err(Errno::CANCELED.into());
                }
                Ok(())
            });
            match done {
                Ok(()) => put.push(Put::Nest(attr::DEV_STATS.number(), inner)),
                Err(error) => {
                    let errno = error.errno();
                    ensure!(errno != Errno::IO, "a nest's inside is wrong");
                    ensure!(
                        errno == Errno::CANCELED || errno == Errno::MSGSIZE,
                        "{errno}"
                    );
                    ensure!(
                        writer.room() == room,
                        "a nest that failed has left something"
                    );
                }
            }
            return Ok(());
        }
    };
    let needs = (payload.len() + 4).next_multiple_of(4);
    match done {
        Ok(()) => {
            ensure!(writer.room() == room - needs, "{needs} bytes for {to}");
            put.push(Put::Leaf(to, payload));
        }
        Err(error) => {
            ensure!(error.errno() == Errno::MSGSIZE, "{error}");
            let fits = needs <= room && payload.len() + 4 <= usize::from(u16::MAX);
            ensure!(!fits, "refused {needs} bytes with room for {room}");
            ensure!(writer.room() == room, "what did not fit has left something");
        }
    }
    Ok(())
}

/// Reads attributes back, those that were put as nests as nests.
fn read(attrs: RawAttrs<'_>, put: &[Put]) -> Vec<Put> {
    let as_put = |(attr, put): (RawAttr<'_>, Option<&Put>)| match put {
        Some(Put::Nest(_, inner)) => Put::Nest(attr.number(), read(attr.nested(), inner)),
        _ => Put::Leaf(attr.number(), attr.payload.to_vec()),
    };
    attrs
        .enumerate()
        .map(|(at, attr)| as_put((attr, put.get(at))))
        .collect()
}
