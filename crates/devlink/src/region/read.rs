//! `REGION_READ`: a region's bytes, of a snapshot or as they are now, in chunks.

use netlink::genl::{Batch, DumpCursor, DumpState, Request};
use netlink::message::NLM_F_ACK;
use netlink::{Attrs, Error, ExtAck, KernelVersion, Writer, attr, cmd};
use rustix::io::Errno;

use super::{Region, find, find_snapshot, owner_from};
use crate::core::Devl;

/// Most bytes in one chunk.
const CHUNK_SIZE: u64 = 256;

/// Where the bytes come from.
#[derive(Clone, Copy)]
enum Source {
    Snapshot(u32),
    Direct,
}

/// Writes the next message of the dump: `net/devlink/region.c: devlink_nl_region_read_dumpit`. The cursor's offset is the
/// address of the next chunk.
pub(crate) fn read_dumpit(
    devl: &mut Devl<'_>,
    request: &mut Request<'_>,
    cursor: &mut DumpCursor,
    batch: &mut Batch<'_>,
) -> Result<DumpState, Error> {
    let attrs = request.attrs();
    // Kernel 6.1 says nothing about any of this, and knows only snapshots.
    let speaks = request.kernel() > KernelVersion::V6_1;
    let refuse = |errno, text| {
        if speaks {
            Error::with_msg(errno, text)
        } else {
            Error::new(errno)
        }
    };
    let named = attrs.get(attr::REGION_NAME);
    let named = named.ok_or_else(|| refuse(Errno::INVAL, "No region name provided"))?;
    if !speaks && !attrs.has(attr::REGION_SNAPSHOT_ID) {
        return Err(Errno::INVAL.into());
    }
    let owner = owner_from(devl, attrs)?;
    let region = find(devl, owner, named.text()).ok_or_else(|| {
        let error = refuse(Errno::INVAL, "Requested region does not exist");
        if speaks { error.bad_attr(named) } else { error }
    })?;
    let (start, end) = range(attrs, cursor.offset, region.size);
    // Kernel 6.1 looks for the snapshot when it has something to read.
    if start == end && !speaks {
        return Ok(DumpState::Done);
    }
    let source = source_from(attrs, &region, &refuse)?;
    if start == end {
        return Ok(DumpState::Done);
    }
    let mut next = start;
    let extack = request.ext_ack();
    batch.put_with_flags(cmd::REGION_READ, NLM_F_ACK, |w| {
        region.put_identity(w)?;
        let nest = w.nest_start(attr::REGION_CHUNKS)?;
        let mut chunk = [0; CHUNK_SIZE as usize];
        while next < end {
            let len = (end - next).min(CHUNK_SIZE);
            // At most the size of a chunk.
            let chunk = &mut chunk[..len as usize];
            region.read_chunk(devl, source, next, chunk, extack)?;
            match put_chunk(w, next, chunk) {
                Ok(()) => next += len,
                Err(error) if error.errno() == Errno::MSGSIZE => break,
                Err(error) => return Err(error),
            }
        }
        // A message without a chunk would be followed by the same for ever.
        if next == start {
            return Err(Errno::INVAL.into());
        }
        w.nest_end(nest)
    })?;
    cursor.offset = next;
    Ok(DumpState::More)
}

fn source_from(
    attrs: Attrs<'_>,
    region: &Region,
    refuse: &impl Fn(Errno, &'static str) -> Error,
) -> Result<Source, Error> {
    let direct = attrs.get_flag(attr::REGION_DIRECT);
    let Some(id) = attrs.get(attr::REGION_SNAPSHOT_ID) else {
        if !direct {
            return Err(refuse(Errno::INVAL, "No snapshot id provided"));
        }
        if region.ops.read.is_none() {
            let text = "Requested region does not support direct read";
            return Err(refuse(Errno::OPNOTSUPP, text));
        }
        return Ok(Source::Direct);
    };
    if direct {
        let text = "Direct region read does not use snapshot";
        return Err(refuse(Errno::INVAL, text).bad_attr(id));
    }
    let number = id.u32().ok_or(Errno::INVAL)?;
    if find_snapshot(&region.snapshots(), number).is_none() {
        let error = refuse(Errno::INVAL, "Requested snapshot does not exist");
        // Who says nothing does not point at anything either.
        let silent = error.ext_ack().is_none();
        return Err(if silent { error } else { error.bad_attr(id) });
    }
    Ok(Source::Snapshot(number))
}

/// The addresses that are left to read, to the end of what was asked for or of the region. Both must be in a request: one of
/// them alone says nothing.
fn range(attrs: Attrs<'_>, at: u64, size: u64) -> (u64, u64) {
    let addr = attrs.get_u64(attr::REGION_CHUNK_ADDR);
    let len = attrs.get_u64(attr::REGION_CHUNK_LEN);
    match addr.zip(len) {
        Some((addr, len)) => {
            let start = if at == 0 { addr } else { at };
            (start, addr.wrapping_add(len).min(size))
        }
        None => (at, size),
    }
}

impl Region {
    fn read_chunk(
        &self,
        devl: &mut Devl<'_>,
        source: Source,
        from: u64,
        chunk: &mut [u8],
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        match source {
            Source::Direct => {
                let read = self.ops.read.as_ref().ok_or(Errno::OPNOTSUPP)?;
                read(devl, extack, from, chunk)
            }
            Source::Snapshot(id) => {
                let snapshots = self.snapshots();
                let data = &find_snapshot(&snapshots, id).ok_or(Errno::INVAL)?.data;
                // What a driver's snapshot lacks reads as zero: it may be shorter than its region.
                let from = usize::try_from(from).unwrap_or(usize::MAX).min(data.len());
                let there = (data.len() - from).min(chunk.len());
                chunk[..there].copy_from_slice(&data[from..from + there]);
                chunk[there..].fill(0);
                Ok(())
            }
        }
    }
}

/// `devlink_nl_cmd_region_read_chunk_fill`. When not even the head of a chunk fits, the kernel takes that for a wrong
/// request, and the dump ends in an error: it needs a handle of just the wrong length.
fn put_chunk(w: &mut Writer<'_>, addr: u64, chunk: &[u8]) -> netlink::Result {
    let nest = w
        .nest_start(attr::REGION_CHUNK)
        .map_err(|_| Error::new(Errno::INVAL))?;
    let put = w
        .put_binary(attr::REGION_CHUNK_DATA, chunk)
        .and_then(|()| w.put_u64(attr::REGION_CHUNK_ADDR, addr));
    match put {
        Ok(()) => w.nest_end(nest),
        Err(error) => {
            w.nest_cancel(nest);
            Err(error)
        }
    }
}
