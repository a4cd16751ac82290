//! The files that firmware comes in (`mlxfw/mlxfw_mfa2.c`): for several boards, what each of them needs, packed.
//!
//! After a fingerprint come records of a type and a length: what is in the file; of each board its id (PSID) and which
//! components it needs; of each component its kind and where it is. A record may have others behind it that belong to it. At
//! the end, packed by xz, are the components themselves.

use std::io::{self, Write};

use rustix::io::Errno;

const FINGERPRINT: &[u8; 16] = b"MLNX.MFA2.XZ.00!";
const COMPONENT_MAGIC: &[u8; 16] = b"#BIN.COMPONENT!#";

/// Kinds of records (`enum mlxfw_mfa2_tlv_type`).
const MULTI_PART: u8 = 0x01;
const PACKAGE_DESCRIPTOR: u8 = 0x02;
const COMPONENT_DESCRIPTOR: u8 = 0x04;
const COMPONENT_PTR: u8 = 0x22;
const PSID: u8 = 0x2a;

/// Lengths of those whose length is fixed.
const PACKAGE_DESCRIPTOR_LEN: usize = 28;
const COMPONENT_DESCRIPTOR_LEN: usize = 16;
const COMPONENT_PTR_LEN: usize = 8;
const MULTI_LEN: usize = 4;
const TLV_LEN: usize = 4;

/// What we unpack at most; the kernel takes as much memory as it gets.
const MAX_UNPACKED: u64 = 64 << 20;

/// A component for a board.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Component {
    /// What kind of component it is; the card calls it by this number.
    pub(super) index: u16,
    pub(super) data: Vec<u8>,
}

/// A file that has all that it says.
#[derive(Debug)]
pub(super) struct File<'a> {
    data: &'a [u8],
    first_dev: usize,
    dev_count: u16,
    first_component: usize,
    component_count: u16,
    /// The packed components.
    archive: &'a [u8],
}

/// Whether the file is one of these at all.
pub(super) fn check(data: &[u8]) -> bool {
    data.len() > FINGERPRINT.len() && data.starts_with(FINGERPRINT)
}

/// One record.
#[derive(Debug, Clone, Copy)]
struct Tlv<'a> {
    at: usize,
    kind: u8,
    len: usize,
    payload: &'a [u8],
}

impl<'a> File<'a> {
    /// Reads the file, all but the components themselves.
    ///
    /// # Errors
    /// `EINVAL`: it is damaged.
    pub(super) fn init(data: &'a [u8]) -> Result<Self, Errno> {
        Self::parse(data).ok_or(Errno::INVAL)
    }

    fn parse(data: &'a [u8]) -> Option<Self> {
        let mut file = File {
            data,
            first_dev: 0,
            dev_count: 0,
            first_component: 0,
            component_count: 0,
            archive: &[],
        };
        let first = file.tlv(align(FINGERPRINT.len()))?;
        let package = file.children(first)?.next()??;
        let package = package.of(PACKAGE_DESCRIPTOR, PACKAGE_DESCRIPTOR_LEN)?;
        file.component_count = be16(package, 0)?;
        file.dev_count = be16(package, 2)?;
        file.first_dev = file.next(first)?.at;
        file.first_component = file.advance(file.first_dev, file.dev_count)?.at;
        let at = align(be32(package, 4)? as usize);
        let len = be32(package, 8)? as usize;
        file.archive = data.get(at..at.checked_add(len)?)?;
        for index in 0..file.dev_count {
            let dev = file.advance(file.first_dev, index)?;
            let psid = file.child(dev, PSID, 0)?;
            let components = file.children(dev)?.flatten();
            let mut components = components.filter(|tlv| tlv.kind == COMPONENT_PTR);
            let valid = |tlv: Tlv<'a>| tlv.of(COMPONENT_PTR, COMPONENT_PTR_LEN).is_some();
            if psid.payload.is_empty()
                || components.clone().next().is_none()
                || !components.all(valid)
            {
                return None;
            }
        }
        for index in 0..file.component_count {
            file.descriptor(index)?;
        }
        Some(file)
    }

    fn tlv(&self, at: usize) -> Option<Tlv<'a>> {
        let header = self.data.get(at..at.checked_add(TLV_LEN)?)?;
        let len = usize::from(be16(header, 2)?);
        let payload = self.data.get(at + TLV_LEN..at + TLV_LEN + len)?;
        Some(Tlv {
            at,
            kind: header[1],
            len,
            payload,
        })
    }

    /// The record after this one and all that belongs to it.
    fn next(&self, tlv: Tlv<'a>) -> Option<Tlv<'a>> {
        let mut len = align(TLV_LEN + tlv.len);
        if tlv.kind == MULTI_PART {
            let total = be16(tlv.of(MULTI_PART, MULTI_LEN)?, 2)?;
            len = align(len + usize::from(total));
        }
        self.tlv(tlv.at + len)
    }

    fn advance(&self, from: usize, count: u16) -> Option<Tlv<'a>> {
        (0..count).try_fold(self.tlv(from)?, |tlv, _| self.next(tlv))
    }

    /// What belongs to a record; `None` among them is one that is damaged, and the last.
    fn children(&self, tlv: Tlv<'a>) -> Option<impl Iterator<Item = Option<Tlv<'a>>> + Clone + '_> {
        let extensions = be16(tlv.of(MULTI_PART, MULTI_LEN)?, 0)?;
        let mut next = self.tlv(tlv.at + TLV_LEN + align(MULTI_LEN));
        Some((0..=extensions).map(move |_| {
            let this = next;
            next = this.and_then(|tlv| self.next(tlv));
            this
        }))
    }

    fn child(&self, tlv: Tlv<'a>, kind: u8, index: usize) -> Option<Tlv<'a>> {
        let children = self.children(tlv)?.map_while(|tlv| tlv);
        children.filter(|tlv| tlv.kind == kind).nth(index)
    }

    fn descriptor(&self, component: u16) -> Option<&'a [u8]> {
        let tlv = self.advance(self.first_component, component)?;
        let first = self.children(tlv)?.next()??;
        first.of(COMPONENT_DESCRIPTOR, COMPONENT_DESCRIPTOR_LEN)
    }

    fn dev(&self, psid: &str) -> Option<Tlv<'a>> {
        let devs = (0..self.dev_count).map_while(|index| self.advance(self.first_dev, index));
        devs.into_iter().find(|dev| {
            let found = self.child(*dev, PSID, 0);
            found.is_some_and(|found| found.payload == psid.as_bytes())
        })
    }

    /// How many components this board needs.
    ///
    /// # Errors
    /// `EINVAL`: the file is not for it.
    pub(super) fn component_count(&self, psid: &str) -> Result<usize, Errno> {
        let dev = self.dev(psid).ok_or(Errno::INVAL)?;
        let children = self.children(dev).ok_or(Errno::INVAL)?.flatten();
        Ok(children.filter(|tlv| tlv.kind == COMPONENT_PTR).count())
    }

    /// Unpacks one of them.
    ///
    /// # Errors
    /// `EINVAL`: it is not there, or damaged. `ENOMEM`: it is too large.
    pub(super) fn component(&self, psid: &str, index: usize) -> Result<Component, Errno> {
        let find = || {
            let pointer = self.child(self.dev(psid)?, COMPONENT_PTR, index)?;
            self.descriptor(be16(pointer.payload, 2)?)
        };
        let descriptor = find().ok_or(Errno::INVAL)?;
        let number = |at| be32(descriptor, at).map(u64::from).ok_or(Errno::INVAL);
        let (high, low, size) = (number(4)?, number(8)?, number(12)?);
        let magic = COMPONENT_MAGIC.len() as u64;
        let end = (high << 32 | low).checked_add(size + magic);
        let end = end.filter(|end| *end <= MAX_UNPACKED).ok_or(Errno::NOMEM)?;
        let mut unpacked = Upto {
            bytes: Vec::new(),
            end: end as usize,
        };
        let done = lzma_rs::xz_decompress(&mut io::Cursor::new(self.archive), &mut unpacked);
        // All that is wanted may be there before the end is, or before something that is damaged.
        if unpacked.bytes.len() < unpacked.end {
            done.map_err(|_| Errno::INVAL)?;
            return Err(Errno::INVAL);
        }
        let data = unpacked.bytes.split_off((end - size - magic) as usize);
        let data = data.strip_prefix(COMPONENT_MAGIC).ok_or(Errno::INVAL)?;
        Ok(Component {
            index: be16(descriptor, 2).ok_or(Errno::INVAL)?,
            data: data.to_vec(),
        })
    }
}

impl<'a> Tlv<'a> {
    fn of(self, kind: u8, len: usize) -> Option<&'a [u8]> {
        (self.kind == kind && self.len == len).then_some(self.payload)
    }
}

/// Keeps the first bytes, and wants no more.
struct Upto {
    bytes: Vec<u8>,
    end: usize,
}

impl Write for Upto {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let room = self.end - self.bytes.len();
        let bytes = &bytes[..bytes.len().min(room)];
        self.bytes.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const fn align(len: usize) -> usize {
    len.next_multiple_of(4)
}

fn be16(bytes: &[u8], at: usize) -> Option<u16> {
    let bytes = bytes.get(at..at + 2)?.try_into().ok()?;
    Some(u16::from_be_bytes(bytes))
}

fn be32(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + 4)?.try_into().ok()?;
    Some(u32::from_be_bytes(bytes))
}

/// A file with one component, of this kind, for one board.
pub(super) fn build(psid: &str, kind: u16, component: &[u8]) -> Vec<u8> {
    let len = u32::try_from(component.len()).expect("our images are small");
    let unpacked = [COMPONENT_MAGIC, component].concat();
    let mut archive = Vec::new();
    lzma_rs::xz_compress(&mut unpacked.as_slice(), &mut archive)
        .expect("memory takes what is written to it");

    let mut pointer = vec![0; COMPONENT_PTR_LEN];
    pointer[4..].copy_from_slice(&0_u32.to_be_bytes());
    let dev = multi(&[tlv(PSID, psid.as_bytes()), tlv(COMPONENT_PTR, &pointer)]);
    let mut descriptor = vec![0; COMPONENT_DESCRIPTOR_LEN];
    descriptor[2..4].copy_from_slice(&kind.to_be_bytes());
    descriptor[12..].copy_from_slice(&len.to_be_bytes());
    let described = multi(&[tlv(COMPONENT_DESCRIPTOR, &descriptor)]);

    let package_len = 2 * TLV_LEN + MULTI_LEN + PACKAGE_DESCRIPTOR_LEN;
    let at = FINGERPRINT.len() + package_len + dev.len() + described.len();
    let mut package = vec![0; PACKAGE_DESCRIPTOR_LEN];
    package[..2].copy_from_slice(&1_u16.to_be_bytes());
    package[2..4].copy_from_slice(&1_u16.to_be_bytes());
    for (place, number) in [(4, at), (8, archive.len()), (16, unpacked.len())] {
        let number = u32::try_from(number).expect("our images are small");
        package[place..place + 4].copy_from_slice(&number.to_be_bytes());
    }
    package[23] = 1; // xz
    let package = multi(&[tlv(PACKAGE_DESCRIPTOR, &package)]);
    [&FINGERPRINT[..], &package, &dev, &described, &archive].concat()
}

fn tlv(kind: u8, payload: &[u8]) -> Vec<u8> {
    let len = u16::try_from(payload.len()).expect("a record of ours is short");
    let mut tlv = vec![0, kind];
    tlv.extend(len.to_be_bytes());
    tlv.extend(payload);
    tlv.resize(align(tlv.len()), 0);
    tlv
}

/// A record with others that belong to it.
fn multi(children: &[Vec<u8>]) -> Vec<u8> {
    let total: usize = children.iter().map(Vec::len).sum();
    let numbers = [children.len() - 1, total].map(|number| {
        let number = u16::try_from(number).expect("a record of ours is short");
        number.to_be_bytes()
    });
    [tlv(MULTI_PART, &numbers.concat()), children.concat()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_built_is_read() {
        let data: Vec<u8> = (0..10_000_u32).map(|n| n as u8).collect();
        let built = build("MT_0000000838", 1, &data);
        assert!(check(&built));
        let file = File::init(&built).unwrap();
        assert_eq!(file.component_count("MT_0000000838"), Ok(1));
        assert_eq!(file.component_count("MT_0000000839"), Err(Errno::INVAL));
        let component = file.component("MT_0000000838", 0).unwrap();
        assert_eq!(component, Component { index: 1, data });
        assert_eq!(file.component("MT_0000000838", 1), Err(Errno::INVAL));
    }

    #[test]
    fn a_damaged_file_is_refused_wherever_it_is_damaged() {
        assert!(!check(b"MLNX.MFA2.XZ.00!"));
        let built = build("MT_0000000838", 1, &[7; 300]);
        let read = |bytes: &[u8]| {
            let file = File::init(bytes)?;
            file.component("MT_0000000838", 0)
        };
        for len in 0..built.len() {
            assert!(read(&built[..len]).is_err(), "{len}");
        }
        for at in 0..built.len() {
            let mut bytes = built.clone();
            bytes[at] ^= 0xff;
            // Not every byte means something, but none makes us fall over.
            _ = read(&bytes);
        }
    }
}
