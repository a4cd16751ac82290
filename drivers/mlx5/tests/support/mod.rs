//! A card in a machine.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;

use driver_testkit::Machine;
use lockdep::order::Held;
use mlx5::{Config, Module, Profile};

/// The driver, loaded, and a card of this profile at 0000:00:09.0.
pub(crate) fn plug(machine: &Machine, config: Config, profile: Profile) -> Arc<Module> {
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        config,
    );
    let mut held = Held::root();
    module.load(&mut held).unwrap();
    let address = "0000:00:09.0".parse().unwrap();
    module.plug(&mut held, address, profile).unwrap();
    module
}
