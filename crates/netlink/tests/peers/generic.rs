//! `neli`, which knows how attributes lie in a message, whatever they are.

use std::io::Cursor;

use neli::consts::genl::Index;
use neli::genl::{AttrTypeBuilder, Nlattr, NlattrBuilder};
use neli::types::{Buffer, GenlBuffer};
use neli::{FromBytesWithInput, ToBytes};
use netlink::wire::{RawAttr, RawAttrs};

use crate::MESSAGES;
use crate::message::{Item, Value, made_up, written};

/// An attribute as both sides see it: number, flag, payload or what is in the nest.
#[derive(Debug, PartialEq)]
enum Seen {
    Plain(u16, bool, Vec<u8>),
    Nest(u16, bool, Vec<Seen>),
}

#[test]
fn what_we_write_neli_reads() {
    for seed in 0..MESSAGES {
        let items = made_up(seed);
        let bytes = written(&items);
        let attrs = neli_attrs(&bytes);
        let seen = attrs
            .iter()
            .zip(&items)
            .map(|(attr, item)| by_neli(attr, item));
        let seen: Vec<Seen> = seen.collect();
        assert_eq!(attrs.len(), items.len(), "seed {seed}");
        assert_eq!(seen, walk(RawAttrs::new(&bytes, 0), &items), "seed {seed}");
    }
}

#[test]
fn what_neli_writes_is_what_we_write() {
    for seed in 0..MESSAGES {
        let items = made_up(seed);
        let mut bytes = Cursor::new(Vec::new());
        for attr in items.iter().map(to_neli) {
            attr.to_bytes(&mut bytes).expect("memory takes everything");
        }
        assert_eq!(bytes.into_inner(), written(&items), "seed {seed}");
    }
}

fn neli_attrs(bytes: &[u8]) -> Vec<Nlattr<Index, Buffer>> {
    let attrs = GenlBuffer::from_bytes_with_input(&mut Cursor::new(bytes), bytes.len());
    attrs.expect("well-formed attributes").into_iter().collect()
}

fn by_neli(attr: &Nlattr<Index, Buffer>, item: &Item) -> Seen {
    let kind = attr.nla_type();
    let number = u16::from(*kind.nla_type());
    let flag = *kind.nla_nested();
    let payload = attr.nla_payload().as_ref();
    match &item.value {
        Value::Nest(items) => {
            let inside = neli_attrs(payload);
            let inside = inside.iter().zip(items);
            Seen::Nest(
                number,
                flag,
                inside.map(|(attr, item)| by_neli(attr, item)).collect(),
            )
        }
        _ => Seen::Plain(number, flag, payload.to_vec()),
    }
}

fn walk(attrs: RawAttrs<'_>, items: &[Item]) -> Vec<Seen> {
    let by_us = |(attr, item): (RawAttr<'_>, &Item)| match &item.value {
        Value::Nest(items) => Seen::Nest(
            attr.number(),
            attr.has_nested_flag(),
            walk(attr.nested(), items),
        ),
        _ => Seen::Plain(attr.number(), attr.has_nested_flag(), attr.payload.to_vec()),
    };
    attrs.zip(items).map(by_us).collect()
}

fn to_neli(item: &Item) -> Nlattr<Index, Buffer> {
    let payload = match &item.value {
        Value::U8(value) => vec![*value],
        Value::U16(value) => value.to_ne_bytes().to_vec(),
        Value::U32(value) | Value::Uint(value) => value.to_ne_bytes().to_vec(),
        Value::U64(value) => value.to_ne_bytes().to_vec(),
        Value::Text(text) => [text.as_bytes(), &[0]].concat(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Flag => Vec::new(),
        Value::Bits(bits) => [bits.value.to_ne_bytes(), bits.selector.to_ne_bytes()].concat(),
        Value::Nest(items) => {
            let mut inside = Cursor::new(Vec::new());
            for attr in items.iter().map(to_neli) {
                attr.to_bytes(&mut inside).expect("memory takes everything");
            }
            inside.into_inner()
        }
    };
    let kind = AttrTypeBuilder::default()
        .nla_type(Index::from(item.number))
        .nla_nested(item.nested_flag)
        .build()
        .expect("all is set");
    NlattrBuilder::default()
        .nla_type(kind)
        .nla_payload(Buffer::from(payload))
        .build()
        .expect("all is set")
}
