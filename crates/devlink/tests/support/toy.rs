//! The toy driver: probe order, parameters, ports and reload of the kernel's netdevsim, without its other objects.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use devlink::{
    Cmodes, Devl, Devlink, Flavour, Generic, InfoReq, NoPortOps, Objects, Ops, Param, ParamType,
    ParamValue, Port, PortAttrs, PortOps, ReloadAction, ReloadActions, ReloadDown, ReloadLimit,
    ReloadLimits, Subsystem,
};
use driver_core::{Device, Driver, LockedDevice};
use lock_order::DriverLock;
use lockdep::order::{Held, Mutex as OrderedMutex};
use net_core::{Net, NetCore, Netdev, NetdevInit};
use netlink::{ExtAck, KernelVersion};
use rustix::io::Errno;

/// What a device is made as.
#[derive(Clone)]
pub struct ToyConfig {
    pub ports: u32,
    /// In which namespace; the first one unless said otherwise.
    pub net: Option<Arc<Net>>,
    pub actions: ReloadActions,
    pub limits: ReloadLimits,
    /// Operations of its ports.
    pub port_ops: Arc<dyn PortOps>,
}

impl Default for ToyConfig {
    fn default() -> Self {
        Self {
            ports: 1,
            net: None,
            actions: ReloadActions::of(&[ReloadAction::DriverReinit]),
            limits: ReloadLimits::NONE,
            port_ops: Arc::new(NoPortOps),
        }
    }
}

pub struct ToyDriver {
    net_core: Arc<NetCore>,
    subsystem: Arc<Subsystem>,
}

impl ToyDriver {
    pub fn new(net_core: &Arc<NetCore>, subsystem: &Arc<Subsystem>) -> Self {
        Self {
            net_core: Arc::clone(net_core),
            subsystem: Arc::clone(subsystem),
        }
    }
}

/// A port and its network device.
type ToyPort = (Arc<Port>, Arc<Netdev>);

/// A device's state.
pub struct Toy {
    net_core: Arc<NetCore>,
    pub config: ToyConfig,
    devlink: OnceLock<Arc<Devlink>>,
    ports: OrderedMutex<DriverLock, BTreeMap<u32, ToyPort>>,
    pub eswitch_mode: AtomicU16,
    pub test2: AtomicU32,
    /// The driverinit value that the last initialization used.
    pub max_macs: AtomicU32,
    pub dont_allow_reload: AtomicBool,
    pub fail_reload: AtomicBool,
}

impl Toy {
    pub fn devlink(&self) -> &Arc<Devlink> {
        self.devlink.get().expect("probe has set it")
    }

    /// The parameter `test2` came with the defaults of runtime parameters.
    fn params(this: &Weak<Self>, kernel: KernelVersion) -> Vec<Param> {
        let (get, set) = (this.clone(), this.clone());
        let mut params = vec![
            Param::generic(Generic::MaxMacs, Cmodes::DRIVERINIT),
            Param::driver(0, "test1", ParamType::Bool, Cmodes::DRIVERINIT),
            Param::driver(1, "test2", ParamType::U32, Cmodes::RUNTIME)
                .with(
                    move |_, _, _| {
                        let toy = get.upgrade().ok_or(Errno::NODEV)?;
                        Ok(ParamValue::U32(toy.test2.load(Ordering::Relaxed)))
                    },
                    {
                        let set = set.clone();
                        move |_, _, value, _| {
                            let toy = set.upgrade().ok_or(Errno::NODEV)?;
                            let value = value.as_u64().ok_or(Errno::INVAL)?;
                            toy.test2
                                .store(u32::try_from(value).unwrap(), Ordering::Relaxed);
                            Ok(())
                        }
                    },
                )
                .with_default(
                    |_, _, _| Ok(ParamValue::U32(1234)),
                    move |_, _, _| {
                        set.upgrade()
                            .ok_or(Errno::NODEV)?
                            .test2
                            .store(1234, Ordering::Relaxed);
                        Ok(())
                    },
                ),
        ];
        if kernel < KernelVersion::new(7, 0) {
            params.truncate(2);
        }
        params
    }

    /// Makes the ports of the device, or those of its virtual functions.
    fn ports_add(
        &self,
        devl: &mut Devl<'_>,
        ports: impl Iterator<Item = (u32, Flavour)>,
    ) -> Result<(), Errno> {
        let (objects, held) = devl.parts();
        let (mut mine, mut held) = self.ports.lock(held);
        for (index, flavour) in ports {
            mine.insert(index, self.port_add(objects, &mut held, index, flavour)?);
        }
        Ok(())
    }

    fn port_add(
        &self,
        objects: &mut Objects<'_>,
        held: &mut Held<'_, DriverLock>,
        index: u32,
        flavour: Flavour,
    ) -> Result<ToyPort, Errno> {
        let attrs = PortAttrs::new(flavour).on_switch(b"toy switch");
        let port = objects.port_register(index, Some(attrs), Arc::clone(&self.config.port_ops))?;
        let mac = [2, 0, 0, 0, 0, u8::try_from(index).unwrap()];
        let netdev = Netdev::new(NetdevInit::ethernet(objects.devlink().net(), mac));
        netdev.set_devlink_port(Arc::clone(&port) as _);
        self.net_core.register_netdev(held, &netdev)?;
        Ok((port, netdev))
    }

    fn ports_del(&self, devl: &mut Devl<'_>, from: u32) {
        let (objects, held) = devl.parts();
        let (mut mine, mut held) = self.ports.lock(held);
        for (_, (port, netdev)) in mine.split_off(&from).into_iter().rev() {
            self.net_core.unregister_netdev(&mut held, &netdev);
            objects.port_unregister(&port);
        }
    }

    fn physical_ports(&self) -> impl Iterator<Item = (u32, Flavour)> + use<> {
        (0..self.config.ports).map(|index| {
            (
                index,
                Flavour::Physical {
                    number: index + 1,
                    split_subport: None,
                },
            )
        })
    }

    pub fn netdevs(&self) -> Vec<Arc<Netdev>> {
        let mut held = Held::root();
        let (ports, _) = self.ports.lock(&mut held);
        ports
            .values()
            .map(|(_, netdev)| Arc::clone(netdev))
            .collect()
    }
}

/// Number of the first port of a virtual function.
const FIRST_VF: u32 = 128;

impl Ops for Toy {
    fn reload_actions(&self) -> ReloadActions {
        self.config.actions
    }

    fn reload_limits(&self) -> ReloadLimits {
        self.config.limits
    }

    fn reload_down(
        &self,
        devl: &mut Devl<'_>,
        _reload: ReloadDown,
        extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        if self.config.actions == ReloadActions::NONE {
            return Err(Errno::OPNOTSUPP);
        }
        if self.dont_allow_reload.load(Ordering::Relaxed) {
            extack.set_msg("netdevsim: User forbid the reload for testing purposes");
            return Err(Errno::OPNOTSUPP);
        }
        if !devl.is_reload_failed() {
            self.ports_del(devl, 0);
            self.eswitch_mode.store(0, Ordering::Relaxed);
        }
        Ok(())
    }

    fn reload_up(
        &self,
        devl: &mut Devl<'_>,
        action: ReloadAction,
        _limit: ReloadLimit,
        extack: &mut ExtAck,
    ) -> Result<ReloadActions, Errno> {
        if self.fail_reload.load(Ordering::Relaxed) {
            extack.set_msg("netdevsim: User setup the reload to fail for testing purposes");
            return Err(Errno::INVAL);
        }
        let max_macs = devl.param_driverinit_value_get(Generic::MaxMacs.id())?;
        self.max_macs.store(
            u32::try_from(max_macs.as_u64().unwrap()).unwrap(),
            Ordering::Relaxed,
        );
        self.ports_add(devl, self.physical_ports())?;
        Ok(ReloadActions::of(&[action]))
    }

    fn has_info(&self) -> bool {
        true
    }

    fn info_get(
        &self,
        _devl: &mut Devl<'_>,
        info: &mut InfoReq<'_, '_>,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        info.version_stored("fw.mgmt", "10.20.30")?;
        info.version_running("fw.mgmt", "10.20.30")
    }

    fn eswitch_mode_get(&self, _devl: &mut Devl<'_>) -> Result<Option<u16>, Errno> {
        Ok(Some(self.eswitch_mode.load(Ordering::Relaxed)))
    }

    fn eswitch_mode_set(
        &self,
        devl: &mut Devl<'_>,
        mode: u16,
        _extack: &mut ExtAck,
    ) -> Result<(), Errno> {
        match (self.eswitch_mode.swap(mode, Ordering::Relaxed), mode) {
            (0, 1) => self.ports_add(
                devl,
                (0..2).map(|vf| {
                    let flavour = Flavour::PciVf {
                        controller: 0,
                        pf: 0,
                        vf,
                        external: false,
                    };
                    (FIRST_VF + u32::from(vf), flavour)
                }),
            ),
            (1, 0) => {
                self.ports_del(devl, FIRST_VF);
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Driver for ToyDriver {
    fn name(&self) -> &str {
        "netdevsim"
    }

    fn matches(&self, _device: &Device) -> bool {
        true
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let config: ToyConfig = device
            .device()
            .data::<ToyConfig>()
            .expect("the bus makes them so")
            .clone();
        let net = config
            .net
            .clone()
            .unwrap_or_else(|| Arc::clone(self.net_core.init_net()));
        let toy = Arc::new(Toy {
            net_core: Arc::clone(&self.net_core),
            config,
            devlink: OnceLock::new(),
            ports: OrderedMutex::named("&nsim_dev->port_list_lock", BTreeMap::new()),
            eswitch_mode: AtomicU16::new(0),
            test2: AtomicU32::new(1234),
            max_macs: AtomicU32::new(32),
            dont_allow_reload: AtomicBool::new(false),
            fail_reload: AtomicBool::new(false),
        });
        let devlink =
            self.subsystem
                .alloc(Arc::clone(&toy) as _, net, Arc::clone(device.device()))?;
        toy.devlink.set(Arc::clone(&devlink)).expect("set once");
        device.set_drvdata(Arc::clone(&toy));

        let mut devl = devlink.lock(device.held());
        devl.register();
        devl.params_register(&Toy::params(&Arc::downgrade(&toy), devlink.kernel()))?;
        devl.param_driverinit_value_set(Generic::MaxMacs.id(), ParamValue::U32(32));
        devl.param_driverinit_value_set(Generic::COUNT, ParamValue::Bool(true));
        toy.ports_add(&mut devl, toy.physical_ports())
    }

    fn remove(&self, device: &mut LockedDevice<'_>) {
        let toy: Arc<Toy> = device.drvdata().expect("probe has set it");
        let kernel = toy.devlink().kernel();
        let mut devl = toy.devlink().lock(device.held());
        if !devl.is_reload_failed() {
            toy.ports_del(&mut devl, 0);
        }
        // The kernel's netdevsim unregisters the instance first, then the parameters: their deletion is told once.
        devl.unregister();
        devl.params_unregister(&Toy::params(&Weak::new(), kernel));
        drop(devl);
        toy.devlink().free(device.held());
    }
}
