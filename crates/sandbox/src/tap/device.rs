//! A tap in the kernel: made, given what is wanted of it, looked up and moved, by its descriptor and by rtnetlink.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use net_core::NetdevFlags;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::netns;
use crate::rtnl::{self, IfReq, Request, Route, c_name};
use crate::sys::{self, Result};
use crate::wire::{Inner, Wire};

const TUNSETIFF: libc::Ioctl = 0x4004_54ca;
const TUNGETIFF: libc::Ioctl = 0x8004_54d2_u32 as libc::Ioctl;
const TUNSETCARRIER: libc::Ioctl = 0x4004_54e2;
const TUNGETDEVNETNS: libc::Ioctl = 0x54e3;
const IFF_TAP: u16 = 0x0002;
const IFF_NO_PI: u16 = 0x1000;
/// Never to attach to a device that is already there.
const IFF_TUN_EXCL: u16 = 0x8000;
/// What a tap begins with (`ETH_DATA_LEN`).
const DEFAULT_MTU: u32 = 1500;
/// How long a name in the first namespace may still be taken by a device of a machine that has just ended.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where taps are made: each has a descriptor of its own.
pub(super) fn open_tun() -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    rustix::fs::open("/dev/net/tun", flags, Mode::empty())
}

/// What a device must be like, also when it is made anew.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) net: u64,
    pub(super) name: String,
    pub(super) mac: [u8; 6],
    pub(super) mtu: u32,
    pub(super) carrier: bool,
    pub(super) flags: NetdevFlags,
}

/// A device that was made.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) name: String,
    pub(super) index: u32,
}

/// Makes a tap in the machine's first namespace, in which the calling thread is.
pub(super) fn create_here(wire: &Wire, wanted: &Wanted) -> Result<Made> {
    let start = Instant::now();
    let fd = loop {
        match attach(&wanted.name) {
            // The kernel removes the devices of a process in the background of its end.
            Err(Errno::EXIST) if start.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(2));
            }
            result => break result?,
        }
    };
    let name = match wanted.name.contains('%') {
        true => name_of(fd.as_fd())?,
        false => wanted.name.clone(),
    };
    let index = wire.with_first_route(|route| set_up(route, fd.as_fd(), &name, wanted))?;
    Ok(Made {
        fd: Arc::new(fd),
        name,
        index,
    })
}

/// Makes a device in the calling thread's namespace; `EEXIST` when the name is taken.
fn attach(name: &str) -> Result<OwnedFd> {
    let fd = open_tun()?;
    let mut request = IfReq::new(name)?;
    let flags = IFF_TAP | IFF_NO_PI | IFF_TUN_EXCL;
    request.value[..2].copy_from_slice(&flags.to_ne_bytes());
    match request.ioctl(fd.as_fd(), TUNSETIFF) {
        Ok(_) => Ok(fd),
        Err(Errno::BUSY) => Err(Errno::EXIST),
        Err(errno) => Err(errno),
    }
}

/// Gives a new device what is wanted of it, and returns its index. What it has already is not set: everybody would hear of it.
fn set_up(route: &mut Route, fd: BorrowedFd<'_>, name: &str, wanted: &Wanted) -> Result<u32> {
    if !wanted.carrier {
        set_carrier(fd, false)?;
    }
    let index = rtnl::index(route.socket(), name)?;
    let flag = |on: bool, flag: libc::c_int| if on { flag as u32 } else { 0 };
    let flags = flag(wanted.flags.multicast, libc::IFF_MULTICAST)
        | flag(wanted.flags.no_arp, libc::IFF_NOARP);
    let mut request = Request::link(rtnl::RTM_SETLINK, index)
        .flags(flags, (libc::IFF_MULTICAST | libc::IFF_NOARP) as u32)
        .attribute(rtnl::IFLA_ADDRESS, &wanted.mac);
    if wanted.mtu != DEFAULT_MTU {
        request = request.attribute(rtnl::IFLA_MTU, &wanted.mtu.to_ne_bytes());
    }
    route.call(request, |_| {})?;
    Ok(index)
}

/// Index and name of a link, in the namespace of `route` or in the one that is called `id` there.
pub(super) fn find(
    route: &mut Route,
    id: Option<i32>,
    name: &str,
) -> Result<Option<(u32, String)>> {
    let mut request =
        Request::link(rtnl::RTM_GETLINK, 0).attribute(rtnl::IFLA_IFNAME, &c_name(name));
    if let Some(id) = id {
        request = request.attribute(rtnl::IFLA_TARGET_NETNSID, &id.to_ne_bytes());
    }
    let mut found = None;
    let result = route.call(request, |message| {
        found = Some((message.word(4), message.name()));
    });
    match result {
        Ok(()) => Ok(found),
        Err(Errno::NODEV) => Ok(None),
        Err(errno) => Err(errno),
    }
}

/// Makes a tap in the wire's namespace, on the wire's thread, and moves it.
pub(super) fn create(inner: &mut Inner, wanted: &Wanted) -> Result<Made> {
    let Some((before, after)) = wanted.name.split_once("%d") else {
        return create_named(inner, wanted, &wanted.name);
    };
    for number in 0_u32.. {
        let name = format!("{before}{number}{after}");
        if inner.link(Some(inner.id(wanted.net)?), &name)?.is_some() {
            continue;
        }
        match create_named(inner, wanted, &name) {
            Err(Errno::EXIST) => {} // somebody was faster
            result => return result,
        }
    }
    Err(Errno::NFILE) // as `net/core/dev.c: __dev_alloc_name` when no number is left
}

fn create_named(inner: &mut Inner, wanted: &Wanted, name: &str) -> Result<Made> {
    // Under its name from the start: the kernel takes a new one, while moving, only if this one is taken there; a rename
    // afterwards would be news to everybody.
    let fd = Arc::new(attach(name)?);
    let index = set_up(&mut inner.route, fd.as_fd(), name, wanted)?;
    send_to(inner, &fd, index, wanted.net, name)
}

/// Moves a tap from the wire's namespace to where it belongs.
pub(super) fn send_to(
    inner: &mut Inner,
    fd: &Arc<OwnedFd>,
    index: u32,
    net: u64,
    name: &str,
) -> Result<Made> {
    let id = inner.id(net)?;
    let request = Request::link(rtnl::RTM_SETLINK, index)
        .attribute(rtnl::IFLA_TARGET_NETNSID, &id.to_ne_bytes())
        .attribute(rtnl::IFLA_IFNAME, &c_name(name));
    inner.route.call(request, |_| {})?;
    let name = name_of(fd.as_fd())?;
    let (index, _) = inner.link(Some(id), &name)?.ok_or(Errno::NODEV)?;
    Ok(Made {
        fd: Arc::clone(fd),
        name,
        index,
    })
}

pub(super) fn set_carrier(fd: BorrowedFd<'_>, carrier: bool) -> Result<()> {
    let carrier = i32::from(carrier);
    // SAFETY: the kernel reads one int.
    sys::check(unsafe { libc::ioctl(fd.as_raw_fd(), TUNSETCARRIER, &raw const carrier) })?;
    Ok(())
}

/// The device's name now, wherever it is; `EBADFD` when it is gone.
pub(super) fn name_of(fd: BorrowedFd<'_>) -> Result<String> {
    let mut request = IfReq::new("x")?;
    request.ioctl(fd, TUNGETIFF)?;
    Ok(request.name())
}

/// A descriptor of the namespace the device is in.
pub(super) fn netns_of(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    sys::related_namespace(fd, TUNGETDEVNETNS)
}

impl Inner {
    /// Index and name of a link, in the wire's namespace or in the one it calls `id`.
    pub(super) fn link(&mut self, id: Option<i32>, name: &str) -> Result<Option<(u32, String)>> {
        find(&mut self.route, id, name)
    }

    /// The name of the link with index `index` in the namespace `net`.
    pub(crate) fn name_by_index(&mut self, net: u64, index: u32) -> Result<String> {
        let id = self.id(net)?;
        let request = Request::link(rtnl::RTM_GETLINK, index)
            .attribute(rtnl::IFLA_TARGET_NETNSID, &id.to_ne_bytes());
        let mut name = String::new();
        self.route.call(request, |message| name = message.name())?;
        Ok(name)
    }
}

/// Changes a link in the namespace `namespace`, which the calling thread enters for it.
pub(super) fn change_in(namespace: BorrowedFd<'_>, request: Request) -> Result<()> {
    Route::new(netns::socket_in(namespace, libc::NETLINK_ROUTE)?).call(request, |_| {})
}
