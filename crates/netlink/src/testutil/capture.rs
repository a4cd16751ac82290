//! Recorded exchanges with real kernels.

use crate::message::{MessageHeader, Messages, NLMSG_ERROR, NLMSG_HDRLEN};

/// One socket's exchange with a kernel: `tests/data/kernel-*.txt`.
#[derive(Clone, Debug, Default)]
pub struct Case {
    /// What was tried.
    pub name: String,
    /// Whether `NETLINK_EXT_ACK` was set.
    pub ext_ack: bool,
    /// Whether `NETLINK_CAP_ACK` was set.
    pub cap_ack: bool,
    /// Whether the caller could administrate.
    pub admin: bool,
    /// The socket's port id.
    pub portid: u32,
    /// What the client sent, datagram by datagram.
    pub sent: Vec<Vec<u8>>,
    /// What it received.
    pub received: Vec<Vec<u8>>,
}

/// What recorded exchanges have in common.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ids {
    /// devlink's family id.
    pub family: u16,
    /// The id of its group `config`.
    pub group: u32,
}

/// Reads recorded exchanges.
///
/// # Panics
/// If the text is not such a record.
pub fn cases(text: &str) -> (Ids, Vec<Case>) {
    let mut ids = Ids::default();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(line) = line.strip_prefix("family ") {
            let (family, group) = line.split_once(" group ").expect("two ids");
            ids.family = family.parse().expect("a family's id");
            ids.group = group.parse().expect("a group's id");
        } else if let Some(head) = line.strip_prefix("case ") {
            cases.push(case(head));
        } else if let Some(hex) = line.strip_prefix("> ") {
            cases.last_mut().expect("a case").sent.push(bytes(hex));
        } else if let Some(hex) = line.strip_prefix("< ") {
            cases.last_mut().expect("a case").received.push(bytes(hex));
        } else {
            assert!(line.starts_with('#'), "not a line of a record: {line}");
        }
    }
    (ids, cases)
}

fn case(head: &str) -> Case {
    let mut case = Case::default();
    let mut name = Vec::new();
    for word in head.split(' ') {
        match word.split_once('=') {
            Some(("ext_ack", value)) => case.ext_ack = value == "1",
            Some(("cap_ack", value)) => case.cap_ack = value == "1",
            Some(("admin", value)) => case.admin = value == "1",
            Some(("portid", value)) => case.portid = value.parse().expect("a port id"),
            _ => name.push(word),
        }
    }
    case.name = name.join(" ");
    case
}

/// A message of a [`Capture`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CapturedMessage {
    /// Its header.
    pub header: MessageHeader,
    /// What follows the header.
    pub payload: Vec<u8>,
}

/// What passed between one command and the kernel, in the order in which it passed.
#[derive(Clone, Debug, Default)]
pub struct Capture {
    /// What was captured.
    pub name: String,
    /// The messages of each datagram, both directions.
    pub datagrams: Vec<Vec<CapturedMessage>>,
}

/// Reads captures in the form `== NAME`, `dgram ...`, `nlmsg len= type= flags= seq= pid= payload=`.
///
/// # Panics
/// If the text is not in this form.
pub fn captures(text: &str) -> Vec<Capture> {
    let mut captures: Vec<Capture> = Vec::new();
    for line in text.lines() {
        let line = line.trim_start();
        if let Some(name) = line.strip_prefix("== ") {
            let name = name.trim_end_matches(".pcap").to_owned();
            captures.push(Capture {
                name,
                datagrams: Vec::new(),
            });
        } else if line.starts_with("dgram ") {
            captures
                .last_mut()
                .expect("a name comes first")
                .datagrams
                .push(Vec::new());
        } else if let Some(message) = line.strip_prefix("nlmsg ") {
            let capture = captures.last_mut().expect("a name comes first");
            let datagram = capture
                .datagrams
                .last_mut()
                .expect("a datagram comes first");
            datagram.push(captured(message));
        }
    }
    captures
}

fn captured(line: &str) -> CapturedMessage {
    let mut header = MessageHeader::default();
    let mut payload = Vec::new();
    for (key, value) in line.split(' ').filter_map(|word| word.split_once('=')) {
        let number = || match value.strip_prefix("0x") {
            Some(hex) => u32::from_str_radix(hex, 16).expect("a hexadecimal number"),
            None => value.parse().expect("a number"),
        };
        match key {
            "len" => header.len = number(),
            "type" => header.kind = number() as u16,
            "flags" => header.flags = number() as u16,
            "seq" => header.seq = number(),
            "pid" => header.portid = number(),
            "payload" => payload = bytes(value),
            _ => {}
        }
    }
    CapturedMessage { header, payload }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| (byte as char).to_digit(16).expect("a hexadecimal digit") as u8;
    hex.as_bytes()
        .chunks(2)
        .map(|pair| digit(pair[0]) << 4 | digit(pair[1]))
        .collect()
}

impl Capture {
    /// Each datagram's bytes, as they were on the wire.
    pub fn bytes(&self) -> Vec<Vec<u8>> {
        let message = |message: &CapturedMessage| {
            let mut bytes = message.header.to_bytes().to_vec();
            bytes.extend_from_slice(&message.payload);
            bytes.resize(crate::message::align(bytes.len()), 0);
            bytes
        };
        self.datagrams
            .iter()
            .map(|all| all.iter().flat_map(message).collect())
            .collect()
    }
}

/// A datagram with what differs from run to run set to 0: sequence numbers and port ids, also
/// those of the request within an acknowledgement.
pub fn mask(datagram: &[u8]) -> Vec<u8> {
    let mut masked = datagram.to_vec();
    let mut messages = Messages::new(datagram);
    loop {
        let start = messages.offset();
        let Some((header, message)) = messages.next() else {
            return masked;
        };
        masked[start + 8..start + NLMSG_HDRLEN].fill(0);
        let inner = start + NLMSG_HDRLEN + 4;
        if header.kind == NLMSG_ERROR && message.len() >= 2 * NLMSG_HDRLEN + 4 {
            masked[inner + 8..inner + NLMSG_HDRLEN].fill(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "== param_get.pcap
dgram pkttype=4 len=20
  nlmsg len=20 type=21 flags=0x305 seq=1795350788 pid=0 payload=01010000
dgram pkttype=4 len=36
  nlmsg len=36 type=2 flags=0x100 seq=1795350788 pid=78 payload=00000000200000001000050004e1026b4e000000
";

    #[test]
    fn a_capture_is_read_and_masked() {
        let captures = captures(TEXT);
        assert_eq!((captures.len(), &*captures[0].name), (1, "param_get"));
        let [request, ack] = &captures[0].datagrams[..] else {
            panic!("two datagrams")
        };
        assert_eq!(
            (request[0].header.flags, request[0].header.kind),
            (0x305, 21)
        );
        assert_eq!(request[0].payload, [1, 1, 0, 0]);
        assert_eq!(ack[0].header.kind, NLMSG_ERROR);
        let bytes = captures[0].bytes().remove(1);
        let masked = mask(&bytes);
        assert_eq!(masked.len(), bytes.len());
        assert!(
            masked[8..16]
                .iter()
                .chain(&masked[28..36])
                .all(|&byte| byte == 0)
        );
        assert_eq!(
            (&masked[..8], &masked[16..28]),
            (&bytes[..8], &bytes[16..28])
        );
    }
}
