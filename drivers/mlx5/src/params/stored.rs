//! Parameters whose value the driver keeps: runtime ones act at once, permanent ones are in the adapter's non-volatile
//! memory and take effect after a firmware reset.

use std::sync::{Arc, PoisonError};

use devlink::{Cmodes, Generic, Param, ParamValue};
use rustix::io::Errno;

use super::{Id, check, check_fmt, own};
use crate::core_dev::CoreDev;
use crate::eswitch::Mode;
use crate::lag::mpesw;
use crate::profile::Profile;

/// Runtime and permanent values.
#[derive(Debug)]
pub(crate) struct Settings {
    values: lockdep::Mutex<Values>,
}

#[derive(Debug)]
struct Values {
    flow_steering_mode: String,
    esw_port_metadata: bool,
    enable_remote_dev_reset: bool,
    enable_sriov: bool,
    total_vfs: u32,
    cqe_compress_type: String,
    swp_l4_csum_mode: String,
}

impl Settings {
    pub(crate) fn new(profile: &Profile) -> Self {
        let values = Values {
            flow_steering_mode: if profile.sw_steering { "smfs" } else { "dmfs" }.to_owned(),
            esw_port_metadata: true,
            enable_remote_dev_reset: true,
            enable_sriov: profile.total_vfs > 0,
            total_vfs: u32::from(profile.total_vfs),
            cqe_compress_type: "balanced".to_owned(),
            swp_l4_csum_mode: "default".to_owned(),
        };
        Settings {
            values: lockdep::Mutex::named("mlx5 settings", values),
        }
    }

    /// Whether the function lets others reset the firmware.
    pub(crate) fn enable_remote_dev_reset(&self) -> bool {
        self.values().enable_remote_dev_reset
    }

    /// Whether packets carry metadata that say which port they came from.
    pub(crate) fn esw_port_metadata(&self) -> bool {
        self.values().esw_port_metadata
    }

    fn values(&self) -> lockdep::MutexGuard<'_, Values> {
        self.values.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A parameter whose value is a field of [`Values`].
fn stored(
    dev: &Arc<CoreDev>,
    param: Param,
    get: impl Fn(&Values) -> ParamValue + Send + Sync + 'static,
    set: impl Fn(&mut Values, &ParamValue) + Send + Sync + 'static,
) -> Param {
    let (reader, writer) = (Arc::clone(dev), Arc::clone(dev));
    param.with(
        move |_, _, _| Ok(get(&reader.settings.values())),
        move |_, _, value, _| {
            set(&mut writer.settings.values(), value);
            Ok(())
        },
    )
}

fn set_bool(field: &mut bool, value: &ParamValue) {
    *field = value.as_bool().unwrap_or(*field);
}

fn set_string(field: &mut String, value: &ParamValue) {
    if let Some(text) = value.as_str() {
        text.clone_into(field);
    }
}

/// `fw_reset.c: mlx5_fw_reset_devlink_params`
pub(super) fn remote_dev_reset(dev: &Arc<CoreDev>) -> Param {
    stored(
        dev,
        Param::generic(Generic::EnableRemoteDevReset, Cmodes::RUNTIME),
        |values| ParamValue::Bool(values.enable_remote_dev_reset),
        |values, value| set_bool(&mut values.enable_remote_dev_reset, value),
    )
}

/// The ports of an adapter as one e-switch (`eswitch.c: mlx5_devlink_esw_multiport_set`).
pub(super) fn esw_multiport(dev: &Arc<CoreDev>) -> Param {
    let (reader, writer) = (Arc::clone(dev), Arc::clone(dev));
    own(Id::EswMultiport, Cmodes::RUNTIME).with(
        move |_, _, _| Ok(ParamValue::Bool(mpesw::is_enabled(&reader))),
        move |devl, _, value, _| {
            let (_objects, held) = devl.parts();
            if value.as_bool() == Some(true) {
                return mpesw::enable(&writer, held);
            }
            // What went wrong with that is not told.
            let _ = mpesw::disable(&writer, held);
            Ok(())
        },
    )
}

/// `eswitch_offloads.c: esw_port_metadata_set`
pub(super) fn esw_port_metadata(dev: &Arc<CoreDev>) -> Param {
    let (reader, writer, dev) = (Arc::clone(dev), Arc::clone(dev), Arc::clone(dev));
    let param = own(Id::EswPortMetadata, Cmodes::RUNTIME).with(
        move |_, _, _| {
            reader.eswitch().ok_or(Errno::OPNOTSUPP)?;
            Ok(ParamValue::Bool(reader.settings.esw_port_metadata()))
        },
        move |_, _, value, _| {
            set_bool(&mut writer.settings.values().esw_port_metadata, value);
            Ok(())
        },
    );
    param.validate(move |_, _, extack| {
        check(
            dev.eswitch().is_some(),
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: E-Switch is unsupported",
        )?;
        check(
            !in_switchdev_mode(&dev),
            Errno::BUSY,
            extack,
            "mlx5_core: E-Switch must either disabled or non switchdev mode",
        )
    })
}

fn in_switchdev_mode(dev: &CoreDev) -> bool {
    dev.eswitch()
        .is_some_and(|esw| esw.mode() == Mode::Offloads)
}

/// `fs_core.c: mlx5_fs_params`
pub(super) fn flow_steering_mode(dev: &Arc<CoreDev>) -> Param {
    let has_hmfs = dev.module().kernel_is_at_least(6, 14);
    let (smfs, hmfs) = (dev.profile().sw_steering, dev.profile().hw_steering);
    let param = stored(
        dev,
        own(Id::FlowSteeringMode, Cmodes::RUNTIME),
        |values| ParamValue::String(values.flow_steering_mode.clone()),
        |values, value| set_string(&mut values.flow_steering_mode, value),
    );
    let dev = Arc::clone(dev);
    param.validate(move |_, value, extack| match value.as_str() {
        _ if has_hmfs && in_switchdev_mode(&dev) => check(
            false,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Changing fs mode is not supported when eswitch offloads enabled.",
        ),
        Some("dmfs") => Ok(()),
        Some("smfs") => {
            check(
                smfs,
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: Software managed steering is not supported by current device",
            )?;
            check(
                !in_switchdev_mode(&dev),
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: Software managed steering is not supported when eswitch offloads enabled.",
            )
        }
        Some("hmfs") if has_hmfs => check(
            hmfs,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Hardware steering is not supported by current device",
        ),
        _ if has_hmfs => check(
            false,
            Errno::INVAL,
            extack,
            "mlx5_core: Bad parameter: supported values are [\"dmfs\", \"smfs\", \"hmfs\"]",
        ),
        _ => check(
            false,
            Errno::INVAL,
            extack,
            "mlx5_core: Bad parameter: supported values are [\"dmfs\", \"smfs\"]",
        ),
    })
}

/// What is in non-volatile memory (`lib/nv_param.c: mlx5_nv_param_devlink_params`).
pub(super) fn non_volatile(dev: &Arc<CoreDev>) -> Vec<Param> {
    let mut params = vec![enable_sriov(dev), total_vfs(dev), cqe_compress_type(dev)];
    if dev.module().kernel_is_at_least(7, 0) {
        params.push(swp_l4_csum_mode(dev));
    }
    params
}

/// `lib/nv_param.c: mlx5_devlink_enable_sriov_set`
fn enable_sriov(dev: &Arc<CoreDev>) -> Param {
    let (reader, writer) = (Arc::clone(dev), Arc::clone(dev));
    Param::generic(Generic::EnableSriov, Cmodes::PERMANENT).with(
        move |_, _, _| Ok(ParamValue::Bool(reader.settings.values().enable_sriov)),
        move |_, _, value, extack| {
            check(
                has_sriov(&writer),
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: SRIOV is not supported on this device",
            )?;
            set_bool(&mut writer.settings.values().enable_sriov, value);
            Ok(())
        },
    )
}

/// Whether the firmware can be configured for virtual functions at all (`sriov_support`).
fn has_sriov(dev: &CoreDev) -> bool {
    dev.profile().max_total_vfs > 0
}

/// `lib/nv_param.c: mlx5_devlink_total_vfs_validate`
fn total_vfs(dev: &Arc<CoreDev>) -> Param {
    let max = dev.profile().max_total_vfs;
    let (reader, writer) = (Arc::clone(dev), Arc::clone(dev));
    let param = Param::generic(Generic::TotalVfs, Cmodes::PERMANENT).with(
        move |_, _, _| Ok(ParamValue::U32(reader.settings.values().total_vfs)),
        move |_, _, value, extack| {
            check(
                has_sriov(&writer),
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: Not configurable on this device",
            )?;
            let vfs = value.as_u64().and_then(|vfs| u32::try_from(vfs).ok());
            writer.settings.values().total_vfs = vfs.ok_or(Errno::INVAL)?;
            Ok(())
        },
    );
    param.validate(move |_, value, extack| {
        // A card without any says so when the value is set.
        let fits = max == 0 || value.as_u64().is_some_and(|vfs| vfs <= u64::from(max));
        check_fmt(
            fits,
            Errno::INVAL,
            extack,
            format_args!("mlx5_core: Max allowed by device is {max}"),
        )
    })
}

/// `lib/nv_param.c: mlx5_nv_param_devlink_cqe_compress_validate`
fn cqe_compress_type(dev: &Arc<CoreDev>) -> Param {
    let param = stored(
        dev,
        own(Id::CqeCompressType, Cmodes::PERMANENT),
        |values| ParamValue::String(values.cqe_compress_type.clone()),
        |values, value| set_string(&mut values.cqe_compress_type, value),
    );
    param.validate(|_, value, extack| {
        let known = matches!(value.as_str(), Some("balanced" | "aggressive"));
        check(
            known,
            Errno::OPNOTSUPP,
            extack,
            "mlx5_core: Invalid value, supported values are balanced/aggressive",
        )
    })
}

/// `lib/nv_param.c: mlx5_devlink_swp_l4_csum_mode_validate`; "default" can be gone back to but not set.
fn swp_l4_csum_mode(dev: &Arc<CoreDev>) -> Param {
    let l4_only = dev.profile().swp_l4_csum_l4_only;
    let resetter = Arc::clone(dev);
    let param = stored(
        dev,
        own(Id::SwpL4CsumMode, Cmodes::PERMANENT),
        |values| ParamValue::String(values.swp_l4_csum_mode.clone()),
        |values, value| set_string(&mut values.swp_l4_csum_mode, value),
    );
    param
        .validate(move |_, value, extack| match value.as_str() {
            Some("full_csum") => Ok(()),
            Some("l4_only") => check(
                l4_only,
                Errno::OPNOTSUPP,
                extack,
                "mlx5_core: l4_only mode is not supported on this device",
            ),
            _ => check(
                false,
                Errno::INVAL,
                extack,
                "mlx5_core: Invalid value, supported values are full_csum/l4_only",
            ),
        })
        .with_default(
            |_, _, _| Ok(ParamValue::String("default".into())),
            move |_, _, _| {
                "default".clone_into(&mut resetter.settings.values().swp_l4_csum_mode);
                Ok(())
            },
        )
}
