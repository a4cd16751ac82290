//! The device's devlink parameters (`dev.c: nsim_devlink_params`).

use std::sync::Arc;

use devlink::{Cmodes, Generic, Objects, Param, ParamType, ParamValue};
use rustix::io::Errno;

use crate::dev::NsimDev;

/// First value of `max_macs`.
pub(crate) const MAX_MACS_DEFAULT: u32 = 32;
/// First value of `test1`.
pub(crate) const TEST1_DEFAULT: bool = true;
/// First value of `test2`.
pub(crate) const TEST2_DEFAULT: u32 = 1234;

/// The parameters, in the order of their registration.
fn all(dev: &Arc<NsimDev>) -> Vec<Param> {
    let mut params = vec![
        Param::generic(Generic::MaxMacs, Cmodes::DRIVERINIT),
        test1(),
    ];
    // Came with the kernel's support for defaults, to test it.
    if dev.module().kernel_is_at_least(7, 0) {
        params.push(test2(dev));
    }
    params
}

fn test1() -> Param {
    Param::driver(0, "test1", ParamType::Bool, Cmodes::DRIVERINIT)
}

fn test2(dev: &Arc<NsimDev>) -> Param {
    let (reader, writer, resetter) = (Arc::clone(dev), Arc::clone(dev), Arc::clone(dev));
    Param::driver(1, "test2", ParamType::U32, Cmodes::RUNTIME)
        .with(
            move |_, _, _| Ok(ParamValue::U32(reader.debugfs().test2.get())),
            move |_, _, value, _| match *value {
                ParamValue::U32(value) => {
                    writer.debugfs().test2.set(value);
                    Ok(())
                }
                _ => Err(Errno::INVAL),
            },
        )
        .with_default(
            |_, _, _| Ok(ParamValue::U32(TEST2_DEFAULT)),
            move |_, _, _| {
                resetter.debugfs().test2.set(TEST2_DEFAULT);
                Ok(())
            },
        )
}

/// Registers the parameters and gives the driverinit ones their first values
/// (`dev.c: nsim_devlink_set_params_init_values`).
///
/// # Errors
/// `EBUSY` when they are registered.
pub(crate) fn register(dev: &Arc<NsimDev>, objects: &mut Objects<'_>) -> Result<(), Errno> {
    objects.params_register(&all(dev))?;
    objects.param_driverinit_value_set(
        Generic::MaxMacs.id(),
        ParamValue::U32(dev.debugfs().max_macs.get()),
    );
    objects.param_driverinit_value_set(test1().id(), ParamValue::Bool(dev.debugfs().test1.get()));
    Ok(())
}

/// Unregisters the parameters.
pub(crate) fn unregister(dev: &Arc<NsimDev>, objects: &mut Objects<'_>) {
    objects.params_unregister(&all(dev));
}

/// Puts the driverinit values into effect (`dev.c: nsim_devlink_param_load_driverinit_values`).
pub(crate) fn load_driverinit_values(dev: &NsimDev, objects: &Objects<'_>) {
    if let Ok(ParamValue::U32(max_macs)) = objects.param_driverinit_value_get(Generic::MaxMacs.id())
    {
        dev.debugfs().max_macs.set(max_macs);
    }
    if let Ok(ParamValue::Bool(test1)) = objects.param_driverinit_value_get(test1().id()) {
        dev.debugfs().test1.set(test1);
    }
}
