//! Representors: the network devices at the switch's end of the functions behind it (`en_rep.c`).
//!
//! The driver of the part `eth-rep` makes them. It is bound while the eswitch is in switchdev mode; without it vports have
//! ports but no network devices. A representor's parent is the physical function that has the switch, and its devlink port
//! is the vport's.

use std::sync::Arc;

use driver_core::{Device, Driver, LockedDevice, auxiliary};
use net_core::{Netdev, NetdevInit};
use rustix::io::Errno;

use crate::core_dev::CoreDev;
use crate::eswitch::{Change, Vport, VportKind};
use crate::names;

/// The auxiliary driver `mlx5_core.eth-rep`.
#[derive(Debug)]
pub(crate) struct EthRepDriver;

impl EthRepDriver {
    pub(crate) const NAME: &'static str = "mlx5_core.eth-rep";
}

impl Driver for EthRepDriver {
    fn name(&self) -> &str {
        Self::NAME
    }

    fn module(&self) -> &str {
        crate::MODULE_NAME
    }

    fn matches(&self, device: &Device) -> bool {
        auxiliary::match_id(&["mlx5_core.eth-rep"], device).is_some()
    }

    fn probe(&self, device: &mut LockedDevice<'_>) -> Result<(), Errno> {
        let dev = auxiliary::shared::<CoreDev>(device.device()).ok_or(Errno::NODEV)?;
        let esw = dev.eswitch().ok_or(Errno::NODEV)?;
        let (mut reps, _held) = esw.reps_lock().lock(device.held());
        reps.eth = true;
        drop(reps);
        device.set_drvdata(Arc::clone(&dev));
        Ok(())
    }

    /// What it has made goes with it (`mlx5_eswitch_unregister_vport_reps`).
    fn remove(&self, device: &mut LockedDevice<'_>) {
        let Some(dev) = device.drvdata::<CoreDev>() else {
            return;
        };
        let Some(esw) = dev.eswitch() else { return };
        let (mut reps, mut held) = esw.reps_lock().lock(device.held());
        reps.eth = false;
        for vport in esw.enabled() {
            if let Some(netdev) = vport.set_netdev(None) {
                dev.module()
                    .net_core()
                    .unregister_netdev(&mut held, &netdev);
            }
        }
    }
}

/// The uplink's network device becomes its own representor (`en_rep.c: mlx5e_vport_uplink_rep_load`): the same device with
/// another profile, since kernel 5.13.
pub(crate) fn uplink_load(dev: &CoreDev) {
    dev.info(format_args!("{}", names::STRIDING_RQ));
}

/// And back.
pub(crate) fn uplink_unload(dev: &CoreDev) {
    dev.info(format_args!("{}", names::STRIDING_RQ));
}

/// Makes the vport's representor (`en_rep.c: mlx5e_vport_vf_rep_load`).
///
/// # Errors
/// Those of registering a network device.
pub(crate) fn load(change: &mut Change<'_, '_, '_, '_>, vport: &Arc<Vport>) -> Result<(), Errno> {
    if !change.reps.eth {
        return Ok(());
    }
    let dev = change.dev;
    let port = vport.port().ok_or(Errno::NODEV)?;
    let suffix = port
        .attrs()
        .and_then(devlink::PortAttrs::phys_port_name)
        .unwrap_or_default();
    // Since version 254 udev names the representors of virtual functions by their number, but not those of another host.
    let by_number = dev.module().kernel_is_at_least(6, 12);
    let suffix = match vport.kind() {
        VportKind::Vf(vf) if by_number && !dev.is_ecpf() => format!("r{vf}"),
        VportKind::EcVf(vf) if by_number => format!("r{vf}"),
        _ => format!("n{suffix}"),
    };
    let mac = dev.module().driver_core().rng().eth_random_addr();
    let name = names::netdev_name(dev, &suffix);
    let registered = names::register_netdev(dev, change.held, name, |name| {
        let netdev = Netdev::new(NetdevInit {
            name,
            parent: Some(Arc::clone(dev.device())),
            ..NetdevInit::ethernet(dev.devlink().net(), mac)
        });
        let port = Arc::clone(&port);
        netdev.set_devlink_port(port);
        netdev
    });
    let netdev = match registered {
        Err(errno) if names::are_refused(errno) => return Ok(()),
        registered => registered?,
    };
    dev.info(format_args!("{}", names::STRIDING_RQ));
    vport.set_netdev(Some(netdev));
    Ok(())
}

/// Takes the vport's representor away, if there is one.
pub(crate) fn unload(change: &mut Change<'_, '_, '_, '_>, vport: &Vport) {
    if let Some(netdev) = vport.set_netdev(None) {
        let net_core = change.dev.module().net_core();
        net_core.unregister_netdev(change.held, &netdev);
    }
}
