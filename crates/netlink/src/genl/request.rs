//! A request that has been checked (`struct genl_info`).

use std::any::Any;
use std::sync::Arc;

use super::caller::NetId;
use super::socket::Socket;
use crate::KernelVersion;
use crate::attrs::Attrs;
use crate::error::ExtAck;

/// A request on its way through a family.
#[derive(Debug)]
pub struct Request<'a> {
    pub(crate) cmd: u8,
    pub(crate) family: u16,
    pub(crate) flags: u16,
    pub(crate) seq: u32,
    pub(crate) attrs: Attrs<'a>,
    pub(crate) socket: &'a Arc<Socket>,
    pub(crate) kernel: KernelVersion,
    pub(crate) ext_ack: ExtAck,
}

impl<'a> Request<'a> {
    /// The command.
    pub fn cmd(&self) -> u8 {
        self.cmd
    }

    /// `NLM_F_*` of the request.
    pub fn flags(&self) -> u16 {
        self.flags
    }

    /// The client's sequence number.
    pub fn seq(&self) -> u32 {
        self.seq
    }

    /// Its attributes. They outlive the borrow of the request.
    pub fn attrs(&self) -> Attrs<'a> {
        self.attrs
    }

    /// The socket it came through.
    pub fn socket(&self) -> &'a Arc<Socket> {
        self.socket
    }

    /// The namespace it sees: that of its socket.
    pub fn net(&self) -> NetId {
        self.socket.net()
    }

    /// The emulated kernel.
    pub fn kernel(&self) -> KernelVersion {
        self.kernel
    }

    /// What the acknowledgement will carry: a text set here is an error's reason or, if the
    /// request succeeds, a warning.
    pub fn ext_ack(&mut self) -> &mut ExtAck {
        &mut self.ext_ack
    }

    /// What this family keeps for the socket.
    pub fn private<T: Any + Send + Sync>(&self) -> Option<Arc<T>> {
        self.socket.private(self.family)
    }

    /// Sets or removes what this family keeps for the socket.
    pub fn set_private(&self, value: Option<Arc<dyn Any + Send + Sync>>) {
        self.socket.set_private(self.family, value);
    }
}
