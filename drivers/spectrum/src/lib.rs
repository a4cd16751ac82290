//! A simulated Ethernet switch, for what devlink has and netdevsim has not.
//!
//! It is a modular switch on the PCI bus, with the names, sizes and texts of the kernel's `mlxsw` driver, and with a mixture of
//! that driver's generations, so that one device has all of it: four fixed ports of eight, four, two and one lanes, which can be
//! split and may each be of Ethernet or of InfiniBand; a shared buffer of eleven pools; the four tables of the packet pipeline;
//! eight slots for line cards, of which two have a card in them and one is broken; and, as no switch of that driver has,
//! regions and rates. Packets it has none: what is counted or in use is made up.
//!
//! | module | is | kernel counterpart (`drivers/net/ethernet/mellanox/mlxsw/`) |
//! |---|---|---|
//! | [`module`] | loading, plugging in | `pci.c` |
//! | [`device`] | the switch: probe, remove, what a reload takes down and brings up | `core.c`, `spectrum.c` |
//! | [`ops`] | devlink operations | `core.c` |
//! | [`ports`] | ports, and their splitting | `spectrum.c` |
//! | [`buffers`] | the shared buffer | `spectrum_buffers.c` |
//! | [`dpipe`] | the tables of the packet pipeline | `spectrum_dpipe.c` |
//! | [`health`] | the health reporter | `core.c` |
//! | [`linecards`] | the slots | `core_linecards.c` |
//! | [`linecard_dev`] | the instance of a card | `core_linecard_dev.c` |
//! | [`rates`] | the rates of its ports | — |
//! | [`regions`] | what of its memory can be looked at | — |
//! | [`resources`] | what of its memory is for which tables | `spectrum.c` |

pub mod buffers;
pub mod device;
pub mod dpipe;
pub mod health;
pub mod linecard_dev;
pub mod linecards;
pub mod module;
pub mod ops;
pub mod ports;
pub mod rates;
pub mod regions;
pub mod resources;

pub use device::Spectrum;
pub use module::{Config, Module};

/// The name of the switch's driver, and the prefix of its messages to users.
pub(crate) const DRIVER_NAME: &str = "mlxsw_spectrum";

/// The name of the module that the slots are part of: of the cards' devices, and the prefix of its messages.
pub(crate) const CORE_NAME: &str = "mlxsw_core";
