//! Who reads or writes a served file.

use std::os::fd::{AsFd, OwnedFd};

use kernfs::{Caller, Netns};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::creds::{self, Credentials, NamespaceId};
use crate::netns;
use crate::sys::{self, Result};

/// The thread that made the request. It waits for the answer, so it is what it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requester {
    pub(super) tid: u32,
}

impl Requester {
    fn open(self, entry: &str) -> Result<OwnedFd> {
        let path = format!("/proc/{}/{entry}", self.tid);
        rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
    }
}

fn netns(fd: OwnedFd) -> Result<Netns> {
    Ok(Netns {
        cookie: netns::cookie_of(fd.as_fd())?,
        fd: Some(fd),
    })
}

impl Caller for Requester {
    fn pid(&self) -> u32 {
        self.tid
    }

    fn netns(&self) -> Result<Netns> {
        netns(self.open("ns/net").map_err(|_| Errno::SRCH)?)
    }

    fn netns_by_fd(&self, fd: i32) -> Result<Netns> {
        let fd = self.open(&format!("fd/{fd}")).map_err(|_| Errno::BADF)?;
        match sys::namespace_kind(fd.as_fd()) {
            Ok(libc::CLONE_NEWNET) => netns(fd),
            _ => Err(Errno::INVAL),
        }
    }

    fn capable_net_admin(&self, cookie: u64) -> bool {
        let check = || {
            let own = Caller::netns(self)?;
            let namespace = match own.fd {
                Some(fd) if own.cookie == cookie => fd,
                _ => netns::open_by_cookie(cookie)?,
            };
            let user = NamespaceId::of_process(self.tid, "user")?;
            let creds = Credentials::of(self.tid)?;
            let (effective, euid) = (creds.caps.effective, creds.uids[1]);
            Ok::<_, Errno>(creds::capabilities_over(
                namespace.as_fd(),
                user,
                effective,
                euid,
            ))
        };
        check().is_ok_and(|capabilities| capabilities & (1 << sys::CAP_NET_ADMIN) != 0)
    }
}
