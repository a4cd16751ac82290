//! A strict reader of JSON, to prove that what is written is JSON.

use std::collections::BTreeMap;

/// A value.
#[derive(Debug)]
pub(crate) enum Value {
    Null,
    Bool,
    Number(f64),
    Text(String),
    List(Vec<Value>),
    Object(BTreeMap<String, Value>),
}

impl Value {
    pub(crate) fn at(&self, name: &str) -> &Self {
        match self {
            Self::Object(fields) => fields
                .get(name)
                .unwrap_or_else(|| panic!("no {name} in {self:?}")),
            _ => panic!("no object: {self:?}"),
        }
    }

    pub(crate) fn items(&self) -> &[Self] {
        match self {
            Self::List(items) => items,
            _ => panic!("no list: {self:?}"),
        }
    }

    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            _ => panic!("no text: {self:?}"),
        }
    }

    pub(crate) fn number(&self) -> f64 {
        match self {
            Self::Number(number) => *number,
            _ => panic!("no number: {self:?}"),
        }
    }
}

/// # Panics
/// When it is not JSON.
pub(crate) fn parse(text: &str) -> Value {
    let mut rest = text;
    let value = value(&mut rest);
    assert!(rest.trim().is_empty(), "behind the value: {rest}");
    value
}

fn expect(rest: &mut &str, what: &str) {
    *rest = rest.trim_start();
    *rest = rest
        .strip_prefix(what)
        .unwrap_or_else(|| panic!("{what:?} expected before {:.60}", rest));
}

fn skip(rest: &mut &str, what: &str) -> bool {
    *rest = rest.trim_start();
    let found = rest.strip_prefix(what);
    *rest = found.unwrap_or(rest);
    found.is_some()
}

fn value(rest: &mut &str) -> Value {
    if skip(rest, "{") {
        let mut fields = BTreeMap::new();
        while !skip(rest, "}") {
            if !fields.is_empty() {
                expect(rest, ",");
            }
            expect(rest, "\"");
            let name = string(rest);
            expect(rest, ":");
            assert!(fields.insert(name, value(rest)).is_none(), "a name twice");
        }
        return Value::Object(fields);
    }
    if skip(rest, "[") {
        let mut items = Vec::new();
        while !skip(rest, "]") {
            if !items.is_empty() {
                expect(rest, ",");
            }
            items.push(value(rest));
        }
        return Value::List(items);
    }
    if skip(rest, "\"") {
        return Value::Text(string(rest));
    }
    if skip(rest, "null") {
        return Value::Null;
    }
    if skip(rest, "true") || skip(rest, "false") {
        return Value::Bool;
    }
    let end = rest
        .find(|c: char| !"-+.eE0123456789".contains(c))
        .unwrap_or(rest.len());
    let (number, after) = rest.split_at(end);
    *rest = after;
    Value::Number(
        number
            .parse()
            .unwrap_or_else(|_| panic!("no value: {number:?} before {after:.60}")),
    )
}

fn string(rest: &mut &str) -> String {
    let mut text = String::new();
    let mut chars = rest.char_indices();
    loop {
        let (at, c) = chars.next().expect("a string ends");
        match c {
            '"' => {
                *rest = &rest[at + 1..];
                return text;
            }
            '\\' => match chars.next().expect("an escape ends").1 {
                'n' => text.push('\n'),
                't' => text.push('\t'),
                'u' => {
                    let digits: String = (0..4).map(|_| chars.next().unwrap().1).collect();
                    text.push(char::from_u32(u32::from_str_radix(&digits, 16).unwrap()).unwrap());
                }
                c @ ('"' | '\\' | '/') => text.push(c),
                c => panic!("\\{c} is no escape"),
            },
            c => {
                assert!(c >= ' ', "a bare control character");
                text.push(c);
            }
        }
    }
}
