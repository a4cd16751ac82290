//! The floor of a request: an `AF_UNIX` `SOCK_SEQPACKET` socket whose other end, in another process, answers each datagram.
//!
//! It is what userlink's transport would cost if nothing were done with the request. The answer has the size of a `DEV_GET`
//! reply.

use std::io::IoSliceMut;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair,
};

/// The size of netdevsim's `DEV_GET` reply.
const REPLY: usize = 208;

/// The peer: answers on standard input, which is a socket, until the other end closes.
pub(crate) fn serve() -> Result<()> {
    let socket = std::io::stdin();
    let mut buffer = [0; 4096];
    loop {
        let (got, _) = recv(socket.as_fd(), &mut buffer, RecvFlags::empty())?;
        if got == 0 {
            return Ok(());
        }
        send(socket.as_fd(), &buffer[..REPLY], SendFlags::empty())?;
    }
}

/// Our end, and the process that has the other.
#[derive(Debug)]
pub(crate) struct Echo {
    socket: Option<OwnedFd>,
    peer: Child,
}

impl Echo {
    /// Starts the peer.
    pub(crate) fn start() -> Result<Self> {
        let (ours, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let program = std::env::current_exe().context("this program's own path")?;
        let peer = Command::new(program)
            .arg("echo")
            .stdin(Stdio::from(theirs))
            .spawn()
            .context("bench echo")?;
        Ok(Self {
            socket: Some(ours),
            peer,
        })
    }

    /// The median round trip of `count`, in nanoseconds.
    pub(crate) fn round(&self, count: usize) -> Result<f64> {
        let socket = self.socket.as_ref().expect("open until drop");
        let request = [0; 52];
        let mut buffer = [0; 4096];
        crate::stats::each(count, || {
            send(socket, &request, SendFlags::empty())?;
            let mut ancillary = rustix::net::RecvAncillaryBuffer::default();
            let got = rustix::net::recvmsg(
                socket,
                &mut [IoSliceMut::new(&mut buffer)],
                &mut ancillary,
                RecvFlags::empty(),
            )?;
            ensure!(
                got.bytes == REPLY,
                "the echo answered with {} bytes",
                got.bytes
            );
            Ok(())
        })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.socket = None; // the peer's end of file
        let _ = self.peer.wait();
    }
}
