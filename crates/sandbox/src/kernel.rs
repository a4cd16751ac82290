//! The kernel process: takes over the client sockets that the supervisor announces.

use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, OnceLock};

use kernfs::{Dir, View};
use rustix::io::Errno;

use crate::announce::Announcement;
use crate::client;
use crate::ctl;
use crate::error::Error;
use crate::files::{self, Trees};
use crate::relay::Pump;
use crate::service::Service;
use crate::slots::Slots;
use crate::sys;
use crate::wire::Wire;

/// What the kernel process has when its machine is built.
#[derive(Debug)]
pub struct KernelSide {
    pub(crate) wire: Arc<Wire>,
    pub(crate) control: Arc<ctl::Server>,
    pub(crate) init_net: OwnedFd,
    pub(crate) init_net_cookie: u64,
    /// The root of the served file system.
    files: OnceLock<OwnedFd>,
    slots: Slots,
}

/// The namespaces whose routes are limited, as the supervisor knows them.
#[derive(Clone, Copy, Debug)]
pub struct RouteLimits(Slots);

impl RouteLimits {
    /// Sockets of `NETLINK_ROUTE` that are opened from now on in the namespaces with these cookies, and only there, are
    /// served by the machine ([`ClientSocket::is_route`](crate::ClientSocket::is_route)).
    pub fn set(self, cookies: &[u64]) {
        self.0.limit_routes_of(cookies);
    }
}

impl KernelSide {
    pub(crate) fn new(slots: Slots) -> Result<Self, Error> {
        let init_net = rustix::fs::open(
            "/proc/self/ns/net",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(Error::system("open the network namespace"))?;
        let socket = sys::netlink_socket(libc::NETLINK_ROUTE)
            .map_err(Error::system("open a netlink socket"))?;
        let init_net_cookie = sys::netns_cookie(socket.as_fd())
            .map_err(Error::system("identify the network namespace"))?;
        let wire = Wire::new()?;
        wire.know_first(init_net_cookie, init_net.as_fd());
        Ok(Self {
            wire,
            control: Arc::new(ctl::Server::new()),
            init_net,
            init_net_cookie,
            files: OnceLock::new(),
            slots,
        })
    }

    /// The real network namespaces and devices.
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// Whose routes are limited; nobody's until that is said.
    pub fn route_limits(&self) -> RouteLimits {
        RouteLimits(self.slots)
    }

    /// The control socket, to which verbs can be added.
    pub fn control(&self) -> &ctl::Server {
        &self.control
    }

    /// The cookie of the network namespace the command starts in: the machine's `init_net`.
    pub fn init_net_cookie(&self) -> u64 {
        self.init_net_cookie
    }

    /// A descriptor of that namespace.
    pub fn init_net(&self) -> &OwnedFd {
        &self.init_net
    }

    /// Shows the process tree these as its sysfs and debugfs, beside and over the real ones. To be called once, when the
    /// buses are there.
    ///
    /// # Errors
    /// [`Error::NoFuse`] or [`Error::NoGraft`]; then the tree sees the real ones only, and the machine works without.
    pub fn serve_files(&self, sysfs: Dir, debugfs: Dir) -> Result<(), Error> {
        let (trees, wire) = (Trees { sysfs, debugfs }, Arc::clone(&self.wire));
        let root = files::serve(trees, wire, View(self.init_net_cookie))?;
        // A second one stays hidden under the first.
        let _ = self.files.set(root);
        Ok(())
    }
}

/// Says that the machine is ready and serves until the supervisor is gone.
pub(crate) fn serve(
    control: &OwnedFd,
    side: &KernelSide,
    slots: Slots,
    service: Arc<dyn Service>,
) -> Result<(), Error> {
    let pump = Pump::start()?;
    let files: Vec<_> = side.files.get().into_iter().map(AsFd::as_fd).collect();
    if sys::send_with_fds(control.as_fd(), b"ready", &files).is_err() {
        return Ok(()); // the supervisor has given up, and said why
    }
    loop {
        match Announcement::receive(control.as_fd()) {
            Ok(Some((announcement, end, relay))) => {
                if let Some(relay) = &relay {
                    side.wire
                        .know_by_socket(announcement.netns_cookie, relay.as_fd());
                }
                client::start(announcement, end, relay, slots, &pump, &service);
            }
            Ok(None) | Err(Errno::CONNRESET) => break,
            Err(Errno::PROTO) => {} // out of descriptors: the client gets an end of file from the supervisor's copy
            Err(errno) => {
                return Err(Error::System {
                    step: "hear from the supervisor",
                    errno,
                });
            }
        }
    }
    service.shut_down();
    // The supervisor need not wait until the kernel has taken all of this process apart.
    let _ = sys::send(control.as_fd(), b"done", 0);
    Ok(())
}
