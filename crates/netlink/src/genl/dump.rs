//! Dumps: replies of any length, a datagram at a time, that resume where they stopped.

use std::any::Any;
use std::fmt;

use crate::KernelVersion;
use crate::error::Result;
use crate::message::{NLM_F_DUMP_FILTERED, NLM_F_MULTI};
use crate::writer::{GenlHeader, Writer, put_genl_message};

/// Whether a dump has more to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DumpState {
    /// That was all.
    Done,
    /// Call again.
    More,
}

/// Where a dump stands (`struct devlink_nl_dump_state`): plain positions, so that objects may come
/// and go between two datagrams.
#[derive(Default)]
pub struct DumpCursor {
    /// The instance at hand.
    pub instance: u64,
    /// The object within the instance.
    pub index: u64,
    /// A position within the object, in the command's own unit.
    pub offset: u64,
    /// Anything else the command must remember; dropped with the dump.
    pub state: Option<Box<dyn Any + Send>>,
}

impl fmt::Debug for DumpCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DumpCursor")
            .field("instance", &self.instance)
            .field("index", &self.index)
            .field("offset", &self.offset)
            .finish_non_exhaustive()
    }
}

/// One datagram of a dump.
#[derive(Debug)]
pub struct Batch<'a> {
    pub(crate) buf: &'a mut Vec<u8>,
    pub(crate) limit: usize,
    pub(crate) header: GenlHeader,
    pub(crate) kernel: KernelVersion,
}

impl Batch<'_> {
    /// Marks all further messages as those of a dump that was restricted as the request asked.
    pub fn set_filtered(&mut self) {
        self.header.flags |= NLM_F_DUMP_FILTERED;
    }

    /// Adds a message.
    ///
    /// # Errors
    /// What `fill` returns, and the message is not added; `EMSGSIZE` if the datagram is full.
    pub fn put(&mut self, cmd: u8, fill: impl FnOnce(&mut Writer<'_>) -> Result) -> Result {
        self.put_with_flags(cmd, 0, fill)
    }

    /// Adds a message with more `NLM_F_*` flags than a dump's usual ones.
    ///
    /// # Errors
    /// As [`put`](Self::put).
    pub fn put_with_flags(
        &mut self,
        cmd: u8,
        flags: u16,
        fill: impl FnOnce(&mut Writer<'_>) -> Result,
    ) -> Result {
        let flags = self.header.flags | NLM_F_MULTI | flags;
        let header = GenlHeader {
            cmd,
            flags,
            ..self.header
        };
        put_genl_message(self.buf, self.limit, self.kernel, header, fill)
    }

    /// Whether no message has been added yet.
    pub fn is_empty(&self) -> bool {
        self.buf.is_empty()
    }
}
