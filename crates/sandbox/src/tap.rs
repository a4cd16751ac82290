//! Real network devices: taps, made in the wire's namespace and moved to where they belong.
//!
//! A tap whose descriptor was opened inside a namespace would keep that namespace alive. These are opened by the wire's
//! thread, in its own namespace, and moved by namespace id, so they pin nothing: when their namespace goes they go with
//! it. Only in the machine's first namespace, which outlives it, they are made in place. Frames sent to them are read only where two of
//! them are connected ([`cable`](crate::cable)); else only their names, addresses and states matter.

mod device;

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use net_core::{Net, NetId, NetdevBackend, NetdevRequest, NetnsHandle, RealNetdev, Whereabouts};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::cable::{Cable, Plug};
use crate::creds::NamespaceId;
use crate::error::Error;
use crate::files::graft;
use crate::netns;
use crate::rtnl::{self, Request, Route, c_name};
use crate::sys::Result;
use crate::wire::Wire;
use device::{
    Made, Wanted, change_in, create, create_here, find, name_of, netns_of, open_tun, send_to,
    set_carrier,
};

/// Where the numbers of our groups of devices begin; the process's number comes below.
const GROUPS: u32 = 1 << 30;

/// Makes the machine's network devices.
#[derive(Debug)]
pub struct Taps {
    wire: Arc<Wire>,
}

impl Taps {
    /// The maker, if this machine lets us make any.
    ///
    /// # Errors
    /// [`Error::NoTun`]: `/dev/net/tun` cannot be opened. The machine works without, but its devices have no interfaces.
    pub fn new(wire: Arc<Wire>) -> std::result::Result<Self, Error> {
        open_tun().map_err(Error::NoTun)?;
        Ok(Self { wire })
    }
}

impl NetdevBackend for Taps {
    fn create(&self, request: &NetdevRequest<'_>) -> Result<Box<dyn RealNetdev>> {
        let wanted = Wanted {
            net: request.net.id().0,
            name: request.name.to_owned(),
            mac: request.mac,
            mtu: request.mtu,
            carrier: request.carrier,
            flags: request.flags,
        };
        Ok(Box::new(Tap::new(&self.wire, wanted)?))
    }

    fn connect(&self, plugs: [Arc<net_core::Plug>; 2]) -> Result<net_core::Cable> {
        let [one, other] = plugs.map(|plug| plug.downcast().map_err(|_| Errno::INVAL));
        Ok(net_core::Cable::new(Cable::new([one?, other?])?))
    }

    /// The kernel waits several times for each device that is removed alone, and as often for a whole group.
    fn remove_many(&self, devices: Vec<Box<dyn RealNetdev>>) {
        if devices.len() > 1 {
            let taps = devices
                .iter()
                .filter_map(|device| device.as_any()?.downcast_ref());
            remove_groups(taps);
        }
        // What is still there goes when its descriptor is closed.
        drop(devices);
    }
}

/// Removes devices by putting those of a namespace into a group. What cannot be removed so is left.
fn remove_groups<'a>(taps: impl Iterator<Item = &'a Tap>) {
    let mut groups: Vec<(NamespaceId, Route)> = Vec::new();
    // Nobody else's devices may be in it.
    let group = GROUPS | std::process::id();
    for tap in taps {
        let mut put = || {
            let (namespace, name) = (netns_of(tap.fd.as_fd())?, name_of(tap.fd.as_fd())?);
            let id = NamespaceId::of(namespace.as_fd())?;
            let place = groups.iter().position(|(other, _)| *other == id);
            let place = place.map_or_else(
                || {
                    let socket = netns::socket_in(namespace.as_fd(), libc::NETLINK_ROUTE)?;
                    groups.push((id, Route::new(socket)));
                    Ok(groups.len() - 1)
                },
                Ok::<_, Errno>,
            )?;
            let request = Request::link(rtnl::RTM_SETLINK, 0)
                .attribute(rtnl::IFLA_IFNAME, &c_name(&name))
                .attribute(rtnl::IFLA_GROUP, &group.to_ne_bytes());
            groups[place].1.call(request, |_| {})
        };
        // Gone already, perhaps with its namespace.
        let _ = put();
    }
    for (_, route) in &mut groups {
        let request =
            Request::link(rtnl::RTM_DELLINK, 0).attribute(rtnl::IFLA_GROUP, &group.to_ne_bytes());
        let _ = route.call(request, |_| {});
    }
}

/// A tap of ours.
#[derive(Debug)]
struct Tap {
    wire: Arc<Wire>,
    wanted: Wanted,
    fd: Arc<OwnedFd>,
    plug: Arc<Plug>,
    name: String,
    index: u32,
}

impl Tap {
    fn new(wire: &Arc<Wire>, wanted: Wanted) -> Result<Self> {
        let made = if wire.is_first(wanted.net) {
            // Nothing can be pinned there, and moving a device takes longer than all else together.
            let made = create_here(wire, &wanted)?;
            wire.wake(); // from now on there is something to hear of
            made
        } else {
            let created = wanted.clone();
            wire.run(move |inner| create(inner, &created))?
        };
        Ok(Self {
            wire: Arc::clone(wire),
            wanted,
            plug: Plug::new(Arc::clone(&made.fd)),
            fd: made.fd,
            name: made.name,
            index: made.index,
        })
    }

    fn move_to_cookie(&mut self, net: u64, name: &str) -> Result<()> {
        let wanted = Wanted {
            net,
            name: name.to_owned(),
            ..self.wanted.clone()
        };
        let target = wanted.clone();
        let fd = Arc::clone(&self.fd);
        let here = netns_of(self.fd.as_fd()).and_then(|here| self.in_namespace(here.as_fd()));
        let index = here.map_or(self.index, |(index, _)| index);
        let made = self.wire.run(move |inner| {
            let id = inner.id(target.net)?;
            if !target.name.contains('%') && inner.link(Some(id), &target.name)?.is_some() {
                return Err(Errno::EXIST);
            }
            let Ok(namespace) = netns_of(fd.as_fd()) else {
                return create(inner, &target); // gone with its namespace
            };
            // By way of the wire's own namespace, the only one from which the target has an id for sure.
            let home = inner.home.as_raw_fd();
            let request = Request::link(rtnl::RTM_SETLINK, index)
                .attribute(rtnl::IFLA_NET_NS_FD, &home.to_ne_bytes())
                .attribute(rtnl::IFLA_IFNAME, &c_name("ultap%d"));
            change_in(namespace.as_fd(), request)?;
            drop(namespace);
            let here = name_of(fd.as_fd())?;
            let (index, _) = inner.link(None, &here)?.ok_or(Errno::NODEV)?;
            send_to(inner, &fd, index, target.net, &target.name)
        })?;
        self.wanted = wanted;
        self.take(made);
        Ok(())
    }

    /// Index and name in the namespace that it is in, where others may have moved it.
    fn in_namespace(&self, namespace: BorrowedFd<'_>) -> Result<(u32, String)> {
        let mut route = Route::new(netns::socket_in(namespace, libc::NETLINK_ROUTE)?);
        find(&mut route, None, &name_of(self.fd.as_fd())?)?.ok_or(Errno::NODEV)
    }

    /// Opens a file of its directory in the sysfs of the namespace that it is in.
    fn open_attribute(&self, name: &str, flags: OFlags) -> Result<OwnedFd> {
        let namespace = netns_of(self.fd.as_fd())?;
        let sysfs = netns::inside(namespace.as_fd(), || graft::sysfs(0))??;
        let path = format!("class/net/{}/{name}", name_of(self.fd.as_fd())?);
        rustix::fs::openat(&sysfs, path, flags | OFlags::CLOEXEC, Mode::empty())
    }

    fn read_attribute(&self, name: &str) -> Result<String> {
        let file = self.open_attribute(name, OFlags::RDONLY)?;
        let mut text = [0; 256];
        let length = rustix::io::read(&file, &mut text)?;
        Ok(String::from_utf8_lossy(&text[..length]).into_owned())
    }

    fn take(&mut self, made: Made) {
        self.plug.set(Arc::clone(&made.fd));
        self.fd = made.fd;
        self.name = made.name;
        self.index = made.index;
    }
}

/// A namespace that a tap has been found in.
#[derive(Debug)]
struct Namespace {
    cookie: u64,
    namespace: OwnedFd,
}

impl NetnsHandle for Namespace {
    fn id(&self) -> NetId {
        NetId(self.cookie)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.namespace.as_fd())
    }
}

impl RealNetdev for Tap {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn ifindex(&self) -> u32 {
        self.index
    }

    fn set_carrier(&mut self, carrier: bool) -> Result<()> {
        self.wanted.carrier = carrier;
        set_carrier(self.fd.as_fd(), carrier)
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let namespace = netns_of(self.fd.as_fd())?;
        let (index, _) = self.in_namespace(namespace.as_fd())?;
        let request =
            Request::link(rtnl::RTM_SETLINK, index).attribute(rtnl::IFLA_IFNAME, &c_name(name));
        change_in(namespace.as_fd(), request)?;
        self.name = name_of(self.fd.as_fd())?;
        Ok(())
    }

    fn move_to(&mut self, net: &Arc<Net>, name: &str) -> Result<()> {
        self.move_to_cookie(net.id().0, name)
    }

    fn whereabouts(&self) -> Option<Whereabouts> {
        let namespace = netns_of(self.fd.as_fd()).ok()?;
        let (ifindex, name) = self.in_namespace(namespace.as_fd()).ok()?;
        let cookie = netns::cookie_of(namespace.as_fd()).ok()?;
        Some(Whereabouts {
            namespace: Arc::new(Namespace { cookie, namespace }),
            name,
            ifindex,
        })
    }

    fn plug(&self) -> Option<Arc<net_core::Plug>> {
        Some(Arc::<Plug>::clone(&self.plug))
    }

    fn as_any(&self) -> Option<&dyn std::any::Any> {
        Some(self)
    }

    fn attribute(&self, name: &str) -> Option<Result<String>> {
        Some(self.read_attribute(name))
    }

    fn set_attribute(&self, name: &str, text: &[u8]) -> Option<Result<()>> {
        let file = self.open_attribute(name, OFlags::WRONLY);
        Some(file.and_then(|file| rustix::io::write(&file, text).map(drop)))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use net_core::NetdevFlags;

    use super::*;
    use crate::sys;
    use crate::wire::{Event, Events};

    /// A new network namespace, of which nothing but the descriptor is left.
    fn namespace() -> (OwnedFd, u64) {
        let make = || {
            sys::unshare(libc::CLONE_NEWNET).unwrap();
            let fd = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
            OwnedFd::from(fd)
        };
        let fd = std::thread::spawn(make).join().unwrap();
        let cookie = netns::cookie_of(fd.as_fd()).unwrap();
        (fd, cookie)
    }

    fn wait_for(events: &mut Events, wanted: impl Fn(&Event) -> bool) -> Event {
        let timeout = Duration::from_secs(10);
        loop {
            let event = events.next_within(timeout).expect("the wire hears of it");
            if wanted(&event) {
                return event;
            }
        }
    }

    fn is_there(wire: &Wire, net: u64, name: &'static str) -> bool {
        wire.run(move |inner| {
            let id = inner.id(net)?;
            Ok(inner.link(Some(id), name)?.is_some())
        })
        .unwrap()
    }

    /// Needs real root, as the devices do; elsewhere there is nothing to test.
    #[test]
    fn a_tap_lives_where_it_should_and_pins_nothing() {
        if !crate::userns::is_privileged() || open_tun().is_err() {
            return;
        }
        let wire = Wire::new().unwrap();
        let mut events = wire.events().unwrap();
        let ((one, first), (two, second)) = (namespace(), namespace());
        wire.know(first, one.as_fd());
        wire.know(second, two.as_fd());
        let wanted = Wanted {
            net: first,
            name: "ult%d".into(),
            mac: [2, 0, 0, 0, 0, 7],
            mtu: 1400,
            carrier: false,
            flags: NetdevFlags::ETHERNET,
        };
        let mut tap = Tap::new(&wire, wanted.clone()).unwrap();
        assert_eq!(tap.name(), "ult0");
        assert_ne!(tap.ifindex(), 0);
        let is_named = |wanted: &'static str, in_net| move |event: &Event| matches!(event, Event::Link { net, name, .. } if *net == in_net && name == wanted);
        match wait_for(&mut events, is_named("ult0", first)) {
            Event::Link {
                index,
                mtu,
                address,
                ..
            } => {
                assert_eq!((index, mtu), (tap.ifindex(), Some(1400)));
                assert_eq!(address, [2, 0, 0, 0, 0, 7]);
            }
            other => panic!("{other:?}"),
        }
        tap.set_carrier(true).unwrap();
        tap.rename("ultnew").unwrap();
        wait_for(&mut events, is_named("ultnew", first));
        assert!(is_there(&wire, first, "ultnew") && !is_there(&wire, first, "ult0"));

        let other = Tap::new(
            &wire,
            Wanted {
                net: second,
                name: "ultnew".into(),
                ..wanted.clone()
            },
        )
        .unwrap();
        assert_eq!(
            tap.move_to_cookie(second, "ultnew").err(),
            Some(Errno::EXIST)
        );
        assert!(is_there(&wire, first, "ultnew"));
        tap.move_to_cookie(second, "ulthere").unwrap();
        assert!(is_there(&wire, second, "ulthere") && !is_there(&wire, first, "ultnew"));
        drop(other);
        assert!(!is_there(&wire, second, "ultnew"));

        // What somebody else moves is seen, too.
        let fd = one.as_raw_fd();
        let request = Request::link(rtnl::RTM_SETLINK, tap.ifindex())
            .attribute(rtnl::IFLA_NET_NS_FD, &fd.to_ne_bytes());
        change_in(two.as_fd(), request).unwrap();
        let moved = wait_for(&mut events, |event| {
            matches!(event, Event::LinkMoved { net, .. } | Event::LinkGone { net, .. } if *net == second)
                && !matches!(event, Event::LinkGone { name, .. } if name == "ultnew")
        });
        assert!(
            matches!(moved, Event::LinkMoved { to, .. } if to == first),
            "{moved:?}"
        );

        // The namespace goes although the device is in it, and the device is made anew elsewhere.
        drop(one);
        wait_for(&mut events, |event| *event == Event::NetGone(first));
        let deadline = std::time::Instant::now() + Duration::from_secs(10);
        while name_of(tap.fd.as_fd()).is_ok() {
            assert!(std::time::Instant::now() < deadline);
            std::thread::sleep(Duration::from_millis(1));
        }
        tap.move_to_cookie(second, "ultnew").unwrap();
        assert!(is_there(&wire, second, "ultnew"));
        drop(tap);
        assert!(!is_there(&wire, second, "ultnew"));
    }
}
