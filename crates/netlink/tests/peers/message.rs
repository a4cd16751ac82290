//! Made-up messages.

use netlink::wire::{Attr, kind};
use netlink::{Bitfield32, KernelVersion, Writer};

use crate::table::{Kind, Row, Table, rows};

/// An attribute of a made-up message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) number: u16,
    pub(crate) nested_flag: bool,
    pub(crate) value: Value,
}

/// What it holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    U8(u8),
    U16(u16),
    U32(u32),
    U64(u64),
    Uint(u32),
    Text(String),
    Bytes(Vec<u8>),
    Flag,
    Bits(Bitfield32),
    Nest(Vec<Item>),
}

/// A sequence of numbers that looks random and is the same for the same seed (xorshift64*).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    pub(crate) fn below(&mut self, end: usize) -> usize {
        (self.next() >> 33) as usize % end
    }

    /// A number that is small, large, or anything.
    fn number(&mut self) -> u64 {
        let any = self.next();
        match self.below(4) {
            0 => any % 4,
            1 => u64::MAX - any % 4,
            _ => any,
        }
    }
}

/// A message of up to 24 attributes, with nests of up to six.
pub(crate) fn made_up(seed: u64) -> Vec<Item> {
    let mut random = Random::new(seed);
    let table = Table::get();
    let all: Vec<_> = rows(&table.attributes)
        .map(|(name, row)| (name.to_owned(), row))
        .collect();
    let wanted = random.below(25);
    some_of(&mut random, table, &all, wanted)
}

fn some_of(random: &mut Random, table: &Table, of: &[(String, &Row)], wanted: usize) -> Vec<Item> {
    let of: Vec<_> = of
        .iter()
        .filter(|(name, row)| table.is_speakable(name, row))
        .collect();
    if of.is_empty() {
        return Vec::new();
    }
    let mut items = Vec::new();
    for _ in 0..wanted {
        let (name, row) = of[random.below(of.len())];
        items.push(Item {
            name: name.clone(),
            number: row.number,
            nested_flag: row.nested_flag,
            value: value(random, table, name, row),
        });
    }
    items
}

fn value(random: &mut Random, table: &Table, name: &str, row: &Row) -> Value {
    let number = random.number();
    match row.kind {
        Kind::U8 => Value::U8(number as u8),
        Kind::U16 => Value::U16(number as u16),
        Kind::U32 => Value::U32(number as u32),
        Kind::U64 => Value::U64(number),
        Kind::Uint => Value::Uint(number as u32),
        Kind::String => {
            let length = random.below(40);
            let letter = |_| char::from(b' ' + random.below(95) as u8);
            Value::Text((0..length).map(letter).collect())
        }
        Kind::Binary => {
            let length = random.below(40);
            Value::Bytes((0..length).map(|_| random.next() as u8).collect())
        }
        Kind::Flag => Value::Flag,
        Kind::Bitfield32 => Value::Bits(Bitfield32 {
            value: number as u32,
            selector: random.next() as u32,
        }),
        Kind::Nest => {
            let wanted = random.below(7);
            Value::Nest(some_of(random, table, &table.inside(name), wanted))
        }
        Kind::Pad | Kind::Dynamic => unreachable!("filtered out"),
    }
}

/// The items' bytes, by our own writer.
pub(crate) fn written(items: &[Item]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut writer = Writer::new(&mut bytes, 1 << 16, KernelVersion::V7_2);
    put(&mut writer, items);
    bytes
}

fn put(writer: &mut Writer<'_>, items: &[Item]) {
    for item in items {
        let number = item.number;
        let done = match &item.value {
            Value::U8(value) => writer.put_u8(attr(number), *value),
            Value::U16(value) => writer.put_u16(attr(number), *value),
            Value::U32(value) => writer.put_u32(attr(number), *value),
            Value::U64(value) => writer.put_u64(attr(number), *value),
            Value::Uint(value) => writer.put_uint(attr(number), u64::from(*value)),
            Value::Text(text) => writer.put_str(attr(number), text),
            Value::Bytes(bytes) => writer.put_binary(attr(number), bytes),
            Value::Flag => writer.put_flag(attr(number)),
            Value::Bits(bits) => writer.put_bitfield32(attr(number), *bits),
            Value::Nest(items) => {
                let nest: Attr<kind::Nest> = attr(number);
                let nest = if item.nested_flag {
                    nest.flagged()
                } else {
                    nest
                };
                writer.nest(nest, |writer| {
                    put(writer, items);
                    Ok(())
                })
            }
        };
        done.expect("64 KiB are room enough");
    }
}

fn attr<K>(number: u16) -> Attr<K> {
    Attr::new(number, "made up")
}
