//! Datagrams of generic netlink: those that were captured on the real machine's nlmon, and those of `userlink run --capture`.

use std::collections::BTreeMap;

use anyhow::{Context, Error, bail};

/// What one `sendmsg` carried, either way.
pub type Datagram = Vec<Message>;

/// One `nlmsghdr` with what follows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `nlmsg_len`.
    pub length: u32,
    /// `nlmsg_type`.
    pub kind: u16,
    /// `nlmsg_flags`.
    pub flags: u16,
    /// `nlmsg_seq`.
    pub seq: u32,
    /// `nlmsg_pid`.
    pub pid: u32,
    /// All behind the header.
    pub payload: Vec<u8>,
}

/// The captured conversations, by the name of the step.
///
/// # Errors
/// The text is malformed.
pub fn recorded(text: &str) -> Result<BTreeMap<String, Vec<Datagram>>, Error> {
    let mut conversations = BTreeMap::new();
    let mut current: Option<(String, Vec<Datagram>)> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            conversations.extend(current.take());
            current = Some((name.trim_end_matches(".pcap").to_owned(), Vec::new()));
            continue;
        }
        let (_, datagrams) = current.as_mut().context("no name before the datagrams")?;
        if line.starts_with("dgram ") {
            datagrams.push(Vec::new());
        } else {
            let datagram = datagrams
                .last_mut()
                .context("a message before a datagram")?;
            datagram.push(message(line).with_context(|| line.to_owned())?);
        }
    }
    conversations.extend(current);
    Ok(conversations)
}

fn message(line: &str) -> Result<Message, Error> {
    let mut fields = BTreeMap::new();
    for word in line.split_whitespace().skip(1) {
        let (name, value) = word.split_once('=').context("no value")?;
        fields.insert(name, value);
    }
    let field = |name| fields.get(name).copied().context("a field is missing");
    Ok(Message {
        length: field("len")?.parse()?,
        kind: field("type")?.parse()?,
        flags: u16::from_str_radix(field("flags")?.trim_start_matches("0x"), 16)?,
        seq: field("seq")?.parse()?,
        pid: field("pid")?.parse()?,
        payload: unhex(field("payload")?)?,
    })
}

fn unhex(text: &str) -> Result<Vec<u8>, Error> {
    if text.len() % 2 != 0 {
        bail!("half a byte");
    }
    (0..text.len())
        .step_by(2)
        .map(|at| Ok(u8::from_str_radix(&text[at..at + 2], 16)?))
        .collect()
}

/// The length of a capture file's header, and of what stands before each datagram: pcap's record and the cooked header.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
const COOKED_HEADER: usize = 16;

/// The datagrams between two places of a capture file that were exchanged in the namespace of the file's first one: nlmon hears no
/// other.
pub fn captured(file: &[u8], from: u64, to: u64) -> Vec<Datagram> {
    let mut datagrams = Vec::new();
    let mut at = (from as usize).max(FILE_HEADER);
    let end = file.len().min(to as usize);
    while let Some(record) = file.get(at..(at + RECORD_HEADER).min(end)) {
        let Some(length) = word(record, 8) else { break };
        let start = at + RECORD_HEADER + COOKED_HEADER;
        at += RECORD_HEADER + length as usize;
        let Some(bytes) = file.get(start..at.min(end)) else {
            break;
        };
        let first = FILE_HEADER + RECORD_HEADER + COOKED_HEADER;
        if namespace(file, start) == namespace(file, first) {
            datagrams.push(messages(bytes));
        }
    }
    datagrams
}

/// The namespace that stands in the cooked header before a datagram.
fn namespace(file: &[u8], datagram: usize) -> Option<&[u8]> {
    file.get(datagram.checked_sub(10)?..datagram - 2)
}

/// The messages of a datagram.
pub fn messages(bytes: &[u8]) -> Datagram {
    let mut all = Vec::new();
    let mut rest = bytes;
    while let (Some(length), true) = (word(rest, 0), rest.len() >= 16) {
        let whole = length as usize;
        if whole < 16 || whole > rest.len() {
            break;
        }
        all.push(Message {
            length,
            kind: half(rest, 4),
            flags: half(rest, 6),
            seq: word(rest, 8).unwrap_or_default(),
            pid: word(rest, 12).unwrap_or_default(),
            payload: rest[16..whole].to_vec(),
        });
        rest = &rest[whole.next_multiple_of(4).min(rest.len())..];
    }
    all
}

/// The 32 bits at a place, as far as there are any.
pub fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

/// The 16 bits at a place, which must exist.
pub fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recorded_and_captured_datagrams_are_the_same() {
        let text = "== a.pcap\ndgram pkttype=4 len=20\n  nlmsg len=20 type=3 flags=0x2 seq=7 pid=9 payload=01000000\n";
        let recorded = &recorded(text).unwrap()["a"];
        let mut file = vec![0; FILE_HEADER];
        for length in [0, 0, 36, 36_u32] {
            file.extend(length.to_ne_bytes());
        }
        file.extend([0; COOKED_HEADER]);
        file.extend([20, 0, 0, 0, 3, 0, 2, 0, 7, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0]);
        assert_eq!(recorded, &captured(&file, 0, file.len() as u64));
        assert!(captured(&file, 0, 30).is_empty());
    }
}
