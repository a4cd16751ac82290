//! The machine with all modules, and what may be done to it that is no command.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};
use std::{fs, iter};

use driver_testkit::Machine;
use kernfs::{Access, Caller, Kind, Netns, Node, View};
use lockdep::order::Held;
use mlx5::Profile;
use net_core::NetId;
use netdevsim::Netdevsim;
use netlink::KernelVersion;
use rustix::io::Errno;

use crate::drivers::Drivers;
use crate::tally::Tally;

/// Numbers of the simulated devices; one number more is tried than this.
pub(crate) const DEVICES: u64 = 5;
/// Namespaces that come and go.
pub(crate) const NAMESPACES: usize = 4;
/// Where the switch and the adapter are.
pub(crate) const SWITCH: &str = "0000:01:00.0";
pub(crate) const ADAPTER: &str = "0000:00:09.0";

pub(crate) struct World {
    pub(crate) machine: Arc<Machine>,
    pub(crate) netdevsim: Arc<Netdevsim>,
    pub(crate) spectrum: Arc<spectrum::Module>,
    pub(crate) mlx5: Arc<mlx5::Module>,
    pub(crate) namespaces: Mutex<[Option<NetId>; NAMESPACES]>,
    pub(crate) tally: Tally,
    /// Kinds of faults that were asked for and have not happened yet.
    planted: Mutex<BTreeSet<String>>,
    /// One at a time loads or unloads a module, as it is with the kernel's.
    modules: Mutex<()>,
}

impl World {
    /// All modules loaded, and of each device one.
    pub(crate) fn new(kernel: KernelVersion) -> Self {
        let Drivers {
            machine,
            netdevsim,
            spectrum,
            mlx5,
        } = Drivers::load(kernel);
        let world = World {
            machine,
            netdevsim,
            spectrum,
            mlx5,
            namespaces: Mutex::default(),
            tally: Tally::default(),
            planted: Mutex::default(),
            modules: Mutex::default(),
        };
        world.new_device(0, 2).unwrap();
        world.plug_switch().unwrap();
        world.plug_adapter().unwrap();
        world
    }

    pub(crate) fn new_device(&self, id: u32, ports: u32) -> Result<(), Errno> {
        let net = Arc::clone(self.machine.net_core.init_net());
        let held = &mut Held::root();
        self.netdevsim.new_device(held, id, ports, 1, net).map(drop)
    }

    pub(crate) fn del_device(&self, id: u32) -> Result<(), Errno> {
        self.netdevsim.del_device(&mut Held::root(), id)
    }

    pub(crate) fn plug_switch(&self) -> Result<(), Errno> {
        let address = SWITCH.parse().unwrap();
        self.spectrum.plug(&mut Held::root(), address).map(drop)
    }

    pub(crate) fn plug_adapter(&self) -> Result<(), Errno> {
        let address = ADAPTER.parse().unwrap();
        let mut profile = Profile::connectx_7();
        profile.physical_functions = 1;
        let held = &mut Held::root();
        self.mlx5.plug(held, address, profile).map(drop)
    }

    /// Pulls a device out.
    pub(crate) fn unplug(&self, address: &str) {
        let pci = self.machine.driver_core.pci();
        if let Some(device) = pci.find_device(address) {
            pci.remove_device(&mut Held::root(), &device);
        }
    }

    /// `modprobe -r` and `modprobe`.
    pub(crate) fn reload_module(&self, which: u64) {
        let _one = self.modules.lock().unwrap();
        let held = &mut Held::root();
        match which {
            0 => {
                self.netdevsim.unload(held).unwrap();
                self.netdevsim.load(held).unwrap();
            }
            1 => {
                self.spectrum.unload(held).unwrap();
                self.spectrum.load(held).unwrap();
            }
            _ => {
                self.mlx5.unload(held).unwrap();
                self.mlx5.load(held).unwrap();
            }
        }
    }

    /// Asks for a fault of the adapter that happens once. Those that were asked for before and are no more have happened.
    pub(crate) fn plant(&self, fault: &str) {
        let kind = |text: &str| text.split(['=', ',']).next().map(str::to_owned);
        let mut planted = self.planted.lock().unwrap();
        let faults = self.mlx5.faults();
        let left: BTreeSet<_> = faults
            .list()
            .iter()
            .filter_map(|left| kind(&left.to_string()))
            .collect();
        if planted.len() > left.len() {
            self.tally.did("fault happened");
        }
        *planted = left;
        planted.extend(kind(fault));
        faults.add(fault.parse().unwrap());
    }

    /// The namespace in this slot; the first one if it is empty.
    pub(crate) fn namespace(&self, slot: u64) -> NetId {
        let known = *self.namespaces.lock().unwrap();
        let slot = usize::try_from(slot).unwrap();
        let init = self.machine.init_net();
        known.get(slot).copied().flatten().unwrap_or(init)
    }

    /// Makes the namespace in this slot if it is empty, ends it otherwise.
    pub(crate) fn turn_namespace(&self, slot: u64) {
        let name = format!("ns{slot}");
        let slot = usize::try_from(slot).unwrap();
        let mut known = self.namespaces.lock().unwrap();
        if known[slot].take().is_none() {
            known[slot] = Some(self.machine.netns_add(&name));
            return;
        }
        drop(known);
        self.machine.netns_del(&name);
    }

    /// Reads, or writes `text` to, the file at `path` of sysfs or debugfs.
    pub(crate) fn touch(&self, path: &str, text: Option<&[u8]>) -> Result<(), Errno> {
        let node = self.lookup(path).ok_or(Errno::NOENT)?;
        if !matches!(node.kind(), Kind::File(_)) {
            return Err(Errno::ISDIR);
        }
        let access = Access {
            read: text.is_none(),
            write: text.is_some(),
        };
        let file = node.open(access)?;
        match text {
            Some(text) => file.write(self, 0, text).map(drop),
            None => file.read(self, 0, 4096).map(drop),
        }
    }

    fn lookup(&self, path: &str) -> Option<Arc<Node>> {
        let mut parts = path.split('/');
        let core = &self.machine.driver_core;
        let root = match parts.next()? {
            "sysfs" => core.sysfs(),
            _ => core.debugfs(),
        };
        let mut node = Arc::clone(root.node());
        for part in parts {
            node = node.lookup(View(self.machine.init_net().0), part)?;
        }
        Some(node)
    }

    /// The paths of all files.
    pub(crate) fn files(&self) -> Vec<String> {
        let core = &self.machine.driver_core;
        let view = View(self.machine.init_net().0);
        let mut found = Vec::new();
        let mut open = vec![
            ("sysfs".to_owned(), Arc::clone(core.sysfs().node())),
            ("debugfs".to_owned(), Arc::clone(core.debugfs().node())),
        ];
        while let Some((path, node)) = open.pop() {
            match node.kind() {
                Kind::Dir(_) | Kind::Dynamic(_) => {
                    let entries = node.entries(view).into_iter();
                    open.extend(entries.map(|entry| (format!("{path}/{}", entry.name()), entry)));
                }
                Kind::File(_) => found.push(path),
                Kind::MountPoint | Kind::Link(_) => {}
            }
        }
        found.sort();
        found
    }

    /// A network device that is there, if there is one.
    pub(crate) fn with_netdev(&self, net: NetId, choice: u64, name: &str) {
        let Some(net) = self.machine.net_core.net(net) else {
            return;
        };
        let mut held = Held::root();
        let mut rtnl = self.machine.net_core.rtnl_lock(&mut held);
        let devices = rtnl.devices(&net);
        let Some(dev) = devices.get(usize::try_from(choice / 3).unwrap() % devices.len().max(1))
        else {
            return;
        };
        match choice % 3 {
            0 => _ = rtnl.dev_open(dev),
            1 => rtnl.dev_close(dev),
            _ => _ = rtnl.dev_change_name(dev, name),
        }
    }

    /// Takes all apart, and looks at what is left.
    pub(crate) fn end(self) {
        let machine = &self.machine;
        for slot in 0..NAMESPACES {
            machine.netns_del(&format!("ns{slot}"));
        }
        let held = &mut Held::root();
        self.netdevsim.unload(held).unwrap();
        self.spectrum.unload(held).unwrap();
        self.mlx5.unload(held).unwrap();
        self.unplug(SWITCH);
        self.unplug(ADAPTER);
        machine.driver_core.system_wq().flush();
        machine.net_core.flush_cleanup();

        let reports = lockdep::reports();
        assert!(reports.is_empty(), "{reports:#?}");
        let violations = lockdep::order::check_observed();
        assert!(violations.is_empty(), "{violations:#?}");
        for bus in ["netdevsim", "auxiliary", "pci"] {
            let left = machine.driver_core.bus(bus).unwrap().devices();
            assert!(left.is_empty(), "{left:#?}");
        }
        let nets = machine.net_core.nets();
        assert_eq!(nets.len(), 1, "{nets:#?}");
        let left = machine
            .net_core
            .rtnl_lock(&mut Held::root())
            .devices(&nets[0]);
        assert!(left.is_empty(), "{left:#?}");
        let left = self.files();
        let of_a_device = |path: &&String| {
            let parts = path
                .split('/')
                .map(|part| part.strip_prefix("netdevsim").unwrap_or(part));
            path.starts_with("debugfs/netdevsim")
                || path.contains("0000:")
                || parts.clone().any(|part| part.parse::<u32>().is_ok())
        };
        let left: Vec<_> = left.iter().filter(of_a_device).collect();
        assert!(left.is_empty(), "{left:#?}");
        let client = machine.client(machine.init_net());
        assert_eq!(client.dev_show(), [""; 0]);
        let log = machine.log();
        let unknown = |line: &&String| line.contains("WARNING") && !line.contains(KNOWN);
        let warnings: Vec<_> = log.iter().filter(unknown).collect();
        assert!(warnings.is_empty(), "{warnings:#?}");
        drop(client);
        // An instance that somebody still has keeps its lock, and with it the lock's class.
        let classes = lockdep::proc::lockdep();
        let instances = classes
            .lines()
            .filter(|line| line.contains("&devlink->lock"));
        assert_eq!(instances.count(), 0, "{classes}");
        let weak = (
            Arc::downgrade(&machine.devlink),
            Arc::downgrade(&machine.net_core),
            Arc::downgrade(&machine.driver_core),
            Arc::downgrade(&machine.genl),
        );
        drop(nets);
        drop(self);
        let left = [
            weak.0.strong_count(),
            weak.1.strong_count(),
            weak.2.strong_count(),
            weak.3.strong_count(),
        ];
        assert_eq!(
            left, [0; 4],
            "devlink, net core, driver core, generic netlink"
        );
    }
}

/// The warning that netdevsim earns from the real kernel, too: in switchdev mode without virtual functions, its rate nodes outlive a
/// reload and the device (`drivers/net/netdevsim/dev.c: nsim_dev_reload_destroy`).
const KNOWN: &str = "rate objects are left";

/// Who writes is in the first namespace, and has each namespace open as the descriptor of its slot.
impl Caller for World {
    fn pid(&self) -> u32 {
        1
    }

    fn netns(&self) -> Result<Netns, Errno> {
        self.netns_by_fd(-1)
    }

    fn netns_by_fd(&self, fd: i32) -> Result<Netns, Errno> {
        let slot = u64::try_from(fd).unwrap_or(u64::MAX).min(NAMESPACES as u64);
        Ok(Netns {
            cookie: self.namespace(slot).0,
            fd: None,
        })
    }

    fn capable_net_admin(&self, _: u64) -> bool {
        true
    }
}

/// How many threads the process has.
pub(crate) fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

/// Waits until there are no more threads than there were: a thread that has been joined is still listed for a moment.
pub(crate) fn until_threads(before: usize) {
    let end = Instant::now() + Duration::from_secs(20);
    let now = iter::repeat_with(threads).find(|&now| {
        thread::sleep(Duration::from_millis(10));
        now <= before || Instant::now() > end
    });
    let now = now.unwrap();
    assert!(now <= before, "{now} threads are left, there were {before}");
}
