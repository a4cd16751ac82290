//! The machine: puts the parts of the simulated kernel together, in the kernel process of the sandbox.

use std::fs;
use std::io;
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use devlink::Subsystem;
use driver_core::pci::VfioPci;
use driver_core::{Build, Bus, DriverCore, FirmwareFiles, Klog, SeededRng, VirtualClock};
use lockdep::Banner;
use lockdep::order::{Held, Unlocked};
use mlx5::{DriverLocking, FaultSpec};
use net_core::{
    Cable, FibSource, FibTable, LinkState, NamespaceSource, Net, NetCore, NetId, NetdevBackend,
    NetdevRequest, NetnsHandle, Plug, RealNetdev,
};
use netdevsim::Netdevsim;
use netlink::KernelVersion;
use netlink::genl::{Genl, Upstream};
use rustix::io::Errno;
use sandbox::{ClientSocket, Event, KernelSide, RouteLimits, Service, Session, Taps, Wire, fib};

use crate::capture::Capture;
use crate::clock;
use crate::ctl;
use crate::devices::DeviceSpec;
use crate::rdma::RdmaSession;
use crate::route::RouteSession;
use crate::session::ClientSession;

/// devlink's family id. The real kernel gives out ids from 19 upwards, and 1023 is the last one: the far end is free.
pub(crate) const FAMILY_ID: u16 = 1023;

/// devlink's multicast group `config`, far from those that the real kernel gives out, for the same reason.
pub(crate) const GROUPS: Range<u32> = 1023..1024;

/// `IFF_UP` (`include/uapi/linux/if.h`).
const IFF_UP: u32 = 1;

/// How long a `dmesg` that waits for news sleeps before it looks whether it is still wanted.
const FOLLOW: Duration = Duration::from_secs(1);

/// What the machine is to be.
#[derive(Debug)]
pub(crate) struct Config {
    /// Whose devlink clients find.
    pub(crate) kernel: KernelVersion,
    /// What is plugged in.
    pub(crate) devices: Vec<DeviceSpec>,
    /// What goes wrong.
    pub(crate) faults: Vec<FaultSpec>,
    /// What random numbers start from; another number each time if there is none.
    pub(crate) seed: Option<u64>,
    /// The drivers lock as they did in November 2021.
    pub(crate) november_2021: bool,
    /// Network devices get the names udev would give them.
    pub(crate) udev_names: bool,
    /// Sleeping takes no time, and users can move the time on.
    pub(crate) virtual_clock: bool,
    /// Where firmware is looked for first.
    pub(crate) firmware: Option<PathBuf>,
    /// Where the log goes in the end.
    pub(crate) log: Option<PathBuf>,
    /// Where all datagrams go.
    pub(crate) capture: Option<PathBuf>,
    /// Where the lock graph goes in the end.
    pub(crate) lock_graph: Option<PathBuf>,
}

/// A machine that runs.
pub(crate) struct Machine {
    genl: Arc<Genl>,
    net_core: Arc<NetCore>,
    wire: Arc<Wire>,
    capture: Option<Arc<Capture>>,
    config: Config,
    /// The drivers, which stay loaded as long as the machine runs.
    modules: Modules,
}

/// What is loaded.
struct Modules {
    mlx5: Arc<mlx5::Module>,
    netdevsim: Arc<Netdevsim>,
    /// Loaded when there is a switch.
    spectrum: Arc<spectrum::Module>,
}

impl Machine {
    /// Builds the machine, loads the drivers and plugs the devices in.
    ///
    /// # Errors
    /// One sentence for the user.
    pub(crate) fn boot(config: Config, side: &KernelSide) -> Result<Arc<dyn Service>, String> {
        let failed = |what: &'static str| move |errno: Errno| format!("cannot {what}: {errno}");
        let mut held = Held::root();
        let (drivers, virtual_clock) =
            driver_core(config.virtual_clock, config.seed.unwrap_or_else(seed));
        if let Some(directory) = &config.firmware {
            drivers.set_firmware(Arc::new(FirmwareFiles::with_first(directory.clone())));
        }
        drivers.set_build(build(config.kernel));
        let klog = Arc::clone(drivers.klog());
        let machine_clock = Arc::clone(drivers.clock());
        let release = format!("{}.0-userlink", config.kernel);
        klog.notice(format_args!(
            "Linux version {release} (devlink in user space)"
        ));
        report_to(&klog, release);

        let wire = Arc::clone(side.wire());
        let init = FirstNamespace::of(side).map_err(failed("keep the first network namespace"))?;
        let source = Arc::new(Namespaces(Arc::clone(&wire)));
        let backend = Devices::of(side, &klog);
        let net_core = NetCore::new(Arc::clone(&drivers), Arc::new(init), source, backend)
            .map_err(failed("watch the first network namespace"))?;
        let tables =
            FirstNamespace::of(side).map_err(failed("keep the first network namespace"))?;
        net_core.set_fib_source(Arc::new(RoutingTables {
            first: tables,
            limits: side.route_limits(),
        }));
        let genl = Genl::new(config.kernel, Upstream::Kernel);
        let devlink = Subsystem::init(&mut held, &net_core, &genl, FAMILY_ID, GROUPS.start)
            .map_err(failed("set up devlink"))?;

        let modules = Modules {
            mlx5: mlx5::Module::new(
                Arc::clone(&drivers),
                Arc::clone(&net_core),
                Arc::clone(&devlink),
                mlx5::Config {
                    locking: match config.november_2021 {
                        true => DriverLocking::November2021,
                        false => DriverLocking::Today,
                    },
                    udev_names: config.udev_names,
                    seed: config.seed.unwrap_or_else(seed),
                },
            ),
            spectrum: spectrum::Module::new(
                Arc::clone(&drivers),
                Arc::clone(&net_core),
                Arc::clone(&devlink),
                spectrum::Config {
                    udev_names: config.udev_names,
                },
            ),
            netdevsim: Netdevsim::new(
                Arc::clone(&drivers),
                Arc::clone(&net_core),
                devlink,
                netdevsim::Config {
                    udev_names: config.udev_names,
                },
            ),
        };
        let mishaps: Arc<mlx5::Faults> = Arc::clone(modules.mlx5.faults());
        genl.set_mishaps(mishaps);
        for fault in &config.faults {
            modules.mlx5.faults().add(fault.clone());
        }
        // As at a real boot: the hardware is there, and the modules find it, mlx5_ib after mlx5_core.
        for device in &config.devices {
            modules
                .plug(&mut held, device, &net_core)
                .map_err(|errno| format!("cannot plug in {device:?}: {errno}"))?;
        }
        modules
            .load(&mut held, &config.devices)
            .map_err(failed("load the drivers"))?;
        if let Err(error) = side.serve_files(drivers.sysfs(), drivers.debugfs()) {
            say_what_is_missing(&error, &klog);
        }
        serve_modules(side, Arc::clone(&modules.netdevsim), drivers.pci());
        serve_dmesg(side, klog);
        clock::serve(side, machine_clock, virtual_clock);
        ctl::serve(side, &modules.mlx5);

        let capture = config.capture.as_deref().map(Capture::create);
        let capture = capture
            .transpose()
            .map_err(|error| format!("cannot write what --capture asks for: {error}"))?;

        let machine = Arc::new(Self {
            genl,
            net_core,
            wire,
            capture,
            config,
            modules,
        });
        machine.follow_the_real_kernel()?;
        Ok(Arc::new(Door(machine)))
    }

    /// Generic netlink.
    pub(crate) fn genl(&self) -> &Genl {
        &self.genl
    }

    /// Where datagrams are written down, if anywhere.
    pub(crate) fn capture(&self) -> Option<&Arc<Capture>> {
        self.capture.as_ref()
    }

    /// Namespaces and network devices.
    pub(crate) fn net_core(&self) -> &NetCore {
        &self.net_core
    }

    /// The InfiniBand devices.
    pub(crate) fn rdma(&self) -> &rdma::Core {
        self.modules.mlx5.rdma()
    }

    /// The real namespaces and network devices.
    pub(crate) fn wire(&self) -> &Wire {
        &self.wire
    }

    /// Starts the thread that tells the machine what happens to the real namespaces and network devices.
    fn follow_the_real_kernel(&self) -> Result<(), String> {
        let Some(events) = self.wire.events() else {
            return Ok(());
        };
        let net_core = Arc::clone(&self.net_core);
        let wire = Arc::clone(&self.wire);
        let follow = move || {
            let mut held = Held::root();
            for event in events {
                tell(&wire, &net_core, &mut held, event);
            }
        };
        std::thread::Builder::new()
            .name("outside".into())
            .spawn(follow)
            .map_err(|error| format!("cannot start a thread: {error}"))?;
        Ok(())
    }

    /// What is wanted of the machine when all is over.
    fn last_words(&self) -> io::Result<()> {
        for violation in lockdep::order::check_observed() {
            self.net_core
                .klog()
                .warn(format_args!("lock order: {violation}"));
        }
        if let Some(path) = &self.config.log {
            fs::write(path, self.net_core.klog().text())?;
        }
        if let Some(path) = &self.config.lock_graph {
            fs::write(path, lockdep::record::Record::take().to_file())?;
        }
        let reports = lockdep::reports().len();
        if reports > 0 {
            let s = if reports == 1 { "" } else { "s" };
            eprintln!(
                "userlink: {reports} lock report{s} (shown by `userlink dmesg` inside, or with --log FILE)"
            );
        }
        Ok(())
    }
}

impl Modules {
    fn load(&self, held: &mut Held<'_, Unlocked>, devices: &[DeviceSpec]) -> Result<(), Errno> {
        let pci = self.mlx5.driver_core().pci();
        pci.register_driver(held, Arc::new(VfioPci))?;
        self.mlx5.load(held)?;
        let is_switch = |device: &DeviceSpec| matches!(device, DeviceSpec::Spectrum { .. });
        if devices.iter().any(is_switch) {
            self.spectrum.load(held)?;
        }
        self.netdevsim.load(held)
    }

    fn plug(
        &self,
        held: &mut Held<'_, Unlocked>,
        device: &DeviceSpec,
        net_core: &NetCore,
    ) -> Result<(), Errno> {
        match *device {
            DeviceSpec::Mlx5 {
                address,
                ref profile,
            } => {
                self.mlx5.plug(held, address, (**profile).clone())?;
            }
            DeviceSpec::Netdevsim { id, ports } => {
                let net = Arc::clone(net_core.init_net());
                self.netdevsim.new_device(held, id, ports, 1, net)?;
            }
            DeviceSpec::Spectrum { address } => {
                self.spectrum.plug(held, address)?;
            }
        }
        Ok(())
    }
}

/// The machine's door to the sandbox.
struct Door(Arc<Machine>);

impl Service for Door {
    fn open(&self, socket: Arc<ClientSocket>) -> Box<dyn Session> {
        if socket.is_route() {
            return Box::new(RouteSession::new(Arc::clone(&self.0), socket));
        }
        if socket.is_rdma() {
            return Box::new(RdmaSession::new(Arc::clone(&self.0), socket));
        }
        Box::new(ClientSession::new(Arc::clone(&self.0), socket))
    }

    fn shut_down(&self) {
        if let Err(error) = self.0.last_words() {
            eprintln!("userlink: cannot write what --log or --lock-graph asked for: {error}");
        }
    }
}

/// A number that differs from machine to machine, for hardware addresses.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanoseconds = now.map_or(0, |now| now.as_nanos() as u64);
    nanoseconds ^ u64::from(std::process::id()) << 32
}

/// Lock reports go to the log, as with the real kernel.
fn report_to(klog: &Arc<Klog>, release: String) {
    let klog = Arc::clone(klog);
    let banner = Banner {
        release,
        modules: ["mlx5", "netdevsim"].map(String::from).into(),
        ..Banner::default()
    };
    lockdep::set_handler(move |report| {
        klog.warn(format_args!("{}", report.kernel_text(&banner)));
    });
}

/// The maker of real network devices. Where it may make none the machine works all the same, and says once what is missing.
struct Devices {
    taps: Taps,
    klog: Arc<Klog>,
    said: Once,
}

impl Devices {
    fn of(side: &KernelSide, klog: &Arc<Klog>) -> Option<Arc<dyn NetdevBackend>> {
        match Taps::new(Arc::clone(side.wire())) {
            Ok(taps) => Some(Arc::new(Self {
                taps,
                klog: Arc::clone(klog),
                said: Once::new(),
            })),
            Err(error) => {
                say_what_is_missing(&error, klog);
                None
            }
        }
    }
}

impl NetdevBackend for Devices {
    fn create(&self, request: &NetdevRequest<'_>) -> Result<Box<dyn RealNetdev>, Errno> {
        let made = self.taps.create(request);
        if let Err(errno @ (Errno::PERM | Errno::ACCESS)) = made {
            let error = sandbox::Error::NoTun(errno);
            self.said
                .call_once(|| say_what_is_missing(&error, &self.klog));
        }
        made
    }

    fn connect(&self, plugs: [Arc<Plug>; 2]) -> Result<Cable, Errno> {
        self.taps.connect(plugs)
    }

    fn remove_many(&self, devices: Vec<Box<dyn RealNetdev>>) {
        self.taps.remove_many(devices);
    }
}

fn say_what_is_missing(error: &sandbox::Error, klog: &Klog) {
    eprintln!("userlink: {error}");
    klog.warn(format_args!("{error}"));
}

/// The driver core, on the operating system's time or on one that can be moved on.
fn driver_core(virtual_clock: bool, seed: u64) -> (Arc<DriverCore>, Option<Arc<VirtualClock>>) {
    if !virtual_clock {
        return (DriverCore::real_time(seed), None);
    }
    let clock = Arc::new(VirtualClock::new());
    let rng = Arc::new(SeededRng::new(seed));
    let drivers = DriverCore::new(Arc::<VirtualClock>::clone(&clock), rng);
    (drivers, Some(clock))
}

/// How the kernels are built whose answers are in `conformance/golden`: those before 7 are Debian's.
fn build(kernel: KernelVersion) -> Build {
    let is_debians = kernel < KernelVersion::new(7, 0);
    Build {
        power_management: is_debians,
        mock_clocks: !is_debians,
        shows_absent_ids: is_debians,
        shows_unused_limits: kernel < KernelVersion::new(6, 9),
    }
}

/// `modprobe netdevsim` and `modprobe -r netdevsim`. A module that is loaded is loaded, and one that is not is not.
fn serve_modules(side: &KernelSide, netdevsim: Arc<Netdevsim>, pci: Arc<Bus>) {
    let module_mutex = lockdep::Mutex::named("module_mutex", ());
    side.control().verb("module", move |words, _out| {
        let _one_at_a_time = module_mutex
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let mut held = Held::root();
        let done = match *words {
            ["load", netdevsim::MODULE_NAME] if netdevsim.is_loaded() => Ok(()),
            ["load", netdevsim::MODULE_NAME] => netdevsim.load(&mut held),
            ["unload", netdevsim::MODULE_NAME] if !netdevsim.is_loaded() => Ok(()),
            ["unload", netdevsim::MODULE_NAME] => netdevsim.unload(&mut held),
            ["load", VfioPci::MODULE_NAME] if pci.find_driver(VfioPci::NAME).is_some() => Ok(()),
            ["load", VfioPci::MODULE_NAME] => pci.register_driver(&mut held, Arc::new(VfioPci)),
            ["unload", VfioPci::MODULE_NAME] if pci.find_driver(VfioPci::NAME).is_none() => Ok(()),
            ["unload", VfioPci::MODULE_NAME] => pci.unregister_driver(&mut held, VfioPci::NAME),
            _ => return Err(format!("no such module: {}", words.join(" "))),
        };
        done.map_err(|errno| errno.to_string())
    });
}

/// `userlink dmesg`, and `userlink dmesg --follow`.
fn serve_dmesg(side: &KernelSide, klog: Arc<Klog>) {
    side.control().verb("dmesg", move |words, out| {
        let follow = words == ["follow"];
        let mut next = 0;
        loop {
            let batch = match follow {
                true => klog.wait(next, FOLLOW),
                false => klog.read(next),
            };
            next = batch.next;
            for record in &batch.records {
                writeln!(out, "{record}").map_err(|error| error.to_string())?;
            }
            out.flush().map_err(|error| error.to_string())?;
            if !follow || klog.is_closed() {
                return Ok(());
            }
        }
    });
}

/// Passes on what has happened outside.
fn tell(wire: &Wire, net_core: &Arc<NetCore>, held: &mut Held<'_, Unlocked>, event: Event) {
    match event {
        Event::NetGone(net) => net_core.net_gone(NetId(net)),
        Event::Link {
            net,
            index,
            name,
            flags,
            mtu,
            address,
        } => {
            let link = LinkState {
                name,
                up: flags & IFF_UP != 0,
                mac: address.try_into().ok(),
                mtu,
            };
            net_core.link_changed(held, NetId(net), index, &link);
        }
        Event::LinkMoved {
            net,
            index,
            to,
            new_index,
        } => match (net_core.net(NetId(to)), wire.link_name(to, new_index)) {
            (Some(to), Ok(name)) => {
                net_core.link_moved(held, NetId(net), index, &to, &name, new_index);
            }
            _ => net_core.link_gone(held, NetId(net), index),
        },
        Event::LinkGone { net, index, .. } => net_core.link_gone(held, NetId(net), index),
    }
}

/// The namespace the machine starts in.
#[derive(Debug)]
struct FirstNamespace {
    cookie: u64,
    fd: OwnedFd,
}

impl FirstNamespace {
    fn of(side: &KernelSide) -> Result<Self, Errno> {
        Ok(Self {
            cookie: side.init_net_cookie(),
            fd: rustix::io::fcntl_dupfd_cloexec(side.init_net(), 0)?,
        })
    }
}

impl NetnsHandle for FirstNamespace {
    fn id(&self) -> NetId {
        NetId(self.cookie)
    }

    fn fd(&self) -> Option<BorrowedFd<'_>> {
        Some(self.fd.as_fd())
    }
}

/// The real routing tables. Namespaces other than the first are looked for each time, so that none is kept alive.
struct RoutingTables {
    first: FirstNamespace,
    limits: RouteLimits,
}

impl FibSource for RoutingTables {
    fn entries(&self, net: &Net, table: FibTable) -> Result<u64, Errno> {
        let table = match table {
            FibTable::Ipv4 => fib::FibTable::Routes(fib::Family::Inet),
            FibTable::Ipv4Rules => fib::FibTable::Rules(fib::Family::Inet),
            FibTable::Ipv6 => fib::FibTable::Routes(fib::Family::Inet6),
            FibTable::Ipv6Rules => fib::FibTable::Rules(fib::Family::Inet6),
            FibTable::Nexthops => fib::FibTable::Nexthops,
        };
        if net.id() == self.first.id() {
            return fib::count(self.first.fd.as_fd(), table);
        }
        fib::count(sandbox::open_by_cookie(net.id().0)?.as_fd(), table)
    }

    fn limited(&self, nets: &[NetId]) {
        let cookies: Vec<u64> = nets.iter().map(|net| net.0).collect();
        self.limits.set(&cookies);
    }
}

/// The real namespaces.
struct Namespaces(Arc<Wire>);

impl NamespaceSource for Namespaces {
    fn watch(&self, namespace: &dyn NetnsHandle) -> Result<(), Errno> {
        if let Some(fd) = namespace.fd() {
            self.0.know(namespace.id().0, fd);
        }
        Ok(())
    }

    fn peernet2id_alloc(&self, net: NetId, peer: NetId) -> Option<i32> {
        self.0.id_in(net.0, peer.0).ok().flatten()
    }
}
