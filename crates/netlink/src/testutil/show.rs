//! Datagrams as text, for a test's message when two of them differ.

use std::fmt::Write;

use crate::message::{
    GENL_HDRLEN, GENL_ID_CTRL, Messages, NLM_F_ACK_TLVS, NLM_F_CAPPED, NLMSG_DONE, NLMSG_ERROR,
    NLMSG_HDRLEN, align,
};
use crate::wire::{RawAttr, RawAttrs};

/// Every message and attribute of a datagram, one a line, attributes indented by their depth.
pub fn show(datagram: &[u8]) -> String {
    let mut out = String::new();
    for (header, message) in Messages::new(datagram) {
        let body = &message[NLMSG_HDRLEN..];
        let flags = header.flags;
        match header.kind {
            NLMSG_ERROR | NLMSG_DONE => {
                let errno = body.first_chunk().map(|bytes| i32::from_ne_bytes(*bytes));
                let name = if header.kind == NLMSG_DONE {
                    "done"
                } else {
                    "error"
                };
                let _ = writeln!(out, "{name} {errno:?} flags {flags:#x} len {}", header.len);
                if flags & NLM_F_ACK_TLVS != 0 {
                    let inner = match header.kind {
                        NLMSG_DONE => 0,
                        _ if flags & NLM_F_CAPPED != 0 => NLMSG_HDRLEN,
                        _ => {
                            let len = body.get(4..).and_then(|request| request.first_chunk());
                            align(len.map_or(0, |len| u32::from_ne_bytes(*len) as usize))
                        }
                    };
                    attrs(
                        &mut out,
                        RawAttrs::new(body.get(4 + inner..).unwrap_or_default(), 0),
                        1,
                    );
                }
            }
            kind => {
                let cmd = body.first();
                let family = if kind == GENL_ID_CTRL {
                    "nlctrl".to_owned()
                } else {
                    kind.to_string()
                };
                let _ = writeln!(
                    out,
                    "{family} cmd {cmd:?} flags {flags:#x} len {}",
                    header.len
                );
                attrs(
                    &mut out,
                    RawAttrs::new(body.get(GENL_HDRLEN..).unwrap_or_default(), 0),
                    1,
                );
            }
        }
    }
    out
}

fn attrs(out: &mut String, mut all: RawAttrs<'_>, depth: usize) {
    for attr in all.by_ref() {
        let flag = if attr.has_nested_flag() { "n" } else { "" };
        let _ = write!(
            out,
            "{:width$}{}{flag} ",
            "",
            attr.number(),
            width = 2 * depth
        );
        if looks_nested(attr) {
            out.push('\n');
            attrs(out, attr.nested(), depth + 1);
        } else if let Some(text) = as_text(attr.payload) {
            let _ = writeln!(out, "{text:?}");
        } else {
            let _ = writeln!(
                out,
                "{}",
                attr.payload
                    .iter()
                    .map(|b| format!("{b:02x}"))
                    .collect::<String>()
            );
        }
    }
    if all.rest() > 0 {
        let _ = writeln!(
            out,
            "{:width$}{} bytes left over",
            "",
            all.rest(),
            width = 2 * depth
        );
    }
}

/// Old nests carry no flag: what walks to its end as attributes is one.
fn looks_nested(attr: RawAttr<'_>) -> bool {
    let mut inner = attr.nested();
    let mut count = 0;
    let plausible = inner
        .by_ref()
        .inspect(|_| count += 1)
        .all(|attr| attr.number() < 256);
    attr.has_nested_flag() || (plausible && count > 0 && inner.rest() == 0)
}

fn as_text(payload: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(payload.strip_suffix(&[0])?).ok()?;
    (text.len() > 1 && text.chars().all(|c| c.is_ascii_graphic() || c == ' ')).then_some(text)
}
