//! `netlink-bindings`, which knows devlink's commands and attributes by name: what it reads.

use std::collections::BTreeSet;
use std::ffi::CString;

use netlink::message::NLM_F_DUMP;
use netlink::{KernelVersion, devlink};
use netlink_bindings::devlink as bindings;
use netlink_bindings::traits::NetlinkRequest;

use crate::MESSAGES;
use crate::message::{Item, Value, made_up, written};

/// What there is of a command: the request without attributes, its flags, and what shows an answer.
struct Half {
    request: Vec<u8>,
    flags: u16,
    shown: fn(&[u8]) -> String,
}

macro_rules! halves {
    ($($half:ident)*) => {
        [$(Half {
            request: {
                let mut request = Vec::new();
                bindings::$half::encode_request(&mut request);
                request
            },
            flags: bindings::$half::new(bindings::Request::new()).flags(),
            shown: |message| format!("{:?}", bindings::$half::decode_reply(message)),
        }),*]
    };
}

/// The 75 that the official specification has: 55 to do, 20 to dump.
fn halves() -> [Half; 75] {
    halves! {
        OpGetDo OpGetDump OpPortGetDo OpPortGetDump OpPortSetDo OpPortNewDo OpPortDelDo OpPortSplitDo OpPortUnsplitDo
        OpSbGetDo OpSbGetDump OpSbPoolGetDo OpSbPoolGetDump OpSbPoolSetDo OpSbPortPoolGetDo OpSbPortPoolGetDump
        OpSbPortPoolSetDo OpSbTcPoolBindGetDo OpSbTcPoolBindGetDump OpSbTcPoolBindSetDo OpSbOccSnapshotDo
        OpSbOccMaxClearDo OpEswitchGetDo OpEswitchSetDo OpDpipeTableGetDo OpDpipeEntriesGetDo OpDpipeHeadersGetDo
        OpDpipeTableCountersSetDo OpResourceSetDo OpResourceDumpDo OpResourceDumpDump OpReloadDo OpParamGetDo
        OpParamGetDump OpParamSetDo OpRegionGetDo OpRegionGetDump OpRegionNewDo OpRegionDelDo OpRegionReadDump
        OpPortParamGetDo OpPortParamGetDump OpPortParamSetDo OpInfoGetDo OpInfoGetDump OpHealthReporterGetDo
        OpHealthReporterGetDump OpHealthReporterSetDo OpHealthReporterRecoverDo OpHealthReporterDiagnoseDo
        OpHealthReporterDumpGetDump OpHealthReporterDumpClearDo OpFlashUpdateDo OpTrapGetDo OpTrapGetDump OpTrapSetDo
        OpTrapGroupGetDo OpTrapGroupGetDump OpTrapGroupSetDo OpTrapPolicerGetDo OpTrapPolicerGetDump
        OpTrapPolicerSetDo OpHealthReporterTestDo OpRateGetDo OpRateGetDump OpRateSetDo OpRateNewDo OpRateDelDo
        OpLinecardGetDo OpLinecardGetDump OpLinecardSetDo OpSelftestsGetDo OpSelftestsGetDump OpSelftestsRunDo
        OpNotifyFilterSetDo
    }
}

/// Its commands have our numbers, and it dumps what we can dump.
#[test]
fn netlink_bindings_has_the_same_commands() {
    let own = devlink::family(KernelVersion::V7_2).ops.iter();
    let own = own.flat_map(|op| {
        let doit = op.doit.map(|_| (op.cmd, false));
        doit.into_iter().chain(op.dump.map(|_| (op.cmd, true)))
    });
    let its = halves().map(|half| {
        let [command, version, 0, 0] = half.request[..] else {
            panic!("no generic netlink header: {:?}", half.request);
        };
        assert_eq!(version, 1);
        (command, half.flags & NLM_F_DUMP == NLM_F_DUMP)
    });
    assert_eq!(BTreeSet::from(its), own.collect());
}

#[test]
fn what_we_write_netlink_bindings_reads() {
    let halves = halves();
    for (seed, half) in (0..MESSAGES).zip(halves.iter().cycle()) {
        let items = made_up(seed);
        let mut message = half.request.clone(); // the generic netlink header
        message.extend(written(&items));
        let read = (half.shown)(&message);
        assert_eq!(plain(&read), shown(&items), "seed {seed}: {read}");
    }
}

/// The items as `netlink-bindings` shows them, without its names for nests and values.
fn shown(items: &[Item]) -> String {
    let show = |item: &Item| {
        let value = match &item.value {
            Value::U8(value) => value.to_string(),
            Value::U16(value) => value.to_string(),
            Value::U32(value) | Value::Uint(value) => value.to_string(),
            Value::U64(value) => value.to_string(),
            // Its own texts are C strings, which show themselves in their own way.
            Value::Text(text) => format!("{:?}", CString::new(text.as_str()).expect("no NUL")),
            Value::Bytes(bytes) => format!("Hexdump({bytes:?})"),
            Value::Flag => "()".to_owned(),
            // It shows the value, not the selector.
            Value::Bits(bits) => bits.value.to_string(),
            Value::Nest(items) => shown(items),
        };
        format!("{}: {value}", camel_case(&item.name))
    };
    match items {
        [] => "{}".to_owned(),
        _ => {
            let items: Vec<String> = items.iter().map(show).collect();
            format!("{{ {} }}", items.join(", "))
        }
    }
}

fn camel_case(name: &str) -> String {
    let word = |word: &str| word[..1].to_owned() + &word[1..].to_lowercase();
    name.split('_').map(word).collect()
}

/// What `netlink-bindings` shows, without the names that it has for nests (`Name { … }`) and for values (`1 [Name]`).
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let begins_a_word = !out.ends_with(|c: char| c.is_alphanumeric());
        if c == '"' {
            let end = end_of_text(rest);
            out += &rest[..end];
            rest = &rest[end..];
        } else if begins_a_word && c.is_alphabetic() {
            let end = rest
                .find(|c: char| !c.is_alphanumeric())
                .unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if after.starts_with(" {") {
                rest = &after[1..];
            } else if matches!(after.as_bytes().first(), Some(b',') | None)
                || after.starts_with(" }")
            {
                out += "{}"; // the name of an empty nest
                rest = after;
            } else {
                out += word;
                rest = after;
            }
        } else if c.is_ascii_digit() && begins_a_word && !out.ends_with('[') {
            let end = rest
                .find(|c: char| !c.is_ascii_digit())
                .unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            out += number;
            let close = match after.as_bytes() {
                [b' ', b'[', ..] => after.find(']'),
                [b' ', b'(', ..] => after.find(')'),
                _ => None,
            };
            rest = close.map_or(after, |close| &after[close + 1..]);
        } else {
            out.push(c);
            rest = &rest[c.len_utf8()..];
        }
    }
    out
}

/// The length of the quoted text that `text` begins with.
fn end_of_text(text: &str) -> usize {
    let mut escaped = true; // the first quote is none that ends it
    for (index, c) in text.char_indices() {
        match c {
            '"' if !escaped => return index + 1,
            '\\' if !escaped => escaped = true,
            _ => escaped = false,
        }
    }
    text.len()
}
