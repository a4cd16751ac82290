//! What of the switch's memory can be looked at. No driver of the family shows any; this is as with the family's adapters (`mlx4`'s
//! `cr-space`) and with switches of other makers, whose ports have regions of their own.
//!
//! `cr-space` are the configuration registers: 32 bits each, big endian. The first counts how often anybody has looked, so that what is
//! read directly can be told from what was kept; each other one holds its own address. `eeprom` is that of a port's
//! module.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use devlink::{Devl, Port, Region, RegionOps};
use rustix::io::Errno;

const CR_SPACE_SIZE: u64 = 64 * 1024;
const CR_SPACE_MAX_SNAPSHOTS: u32 = 8;

/// The lower page of a module's memory, and one upper page (SFF-8636).
const EEPROM_SIZE: u64 = 256;
const EEPROM_MAX_SNAPSHOTS: u32 = 2;
/// The module's identifier: a QSFP28.
const EEPROM_ID: u8 = 0x11;

/// The configuration registers as they are now, from this address on.
fn registers(looks: &AtomicU32, address: u64, into: &mut [u8]) {
    let look = looks.fetch_add(1, Ordering::Relaxed) + 1;
    for (address, byte) in (address..).zip(into) {
        let register = match address / 4 {
            0 => look,
            register => register as u32 * 4,
        };
        *byte = register.to_be_bytes()[(address % 4) as usize];
    }
}

/// Makes `cr-space`.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn init(devl: &mut Devl<'_>) -> Result<Arc<Region>, Errno> {
    let looks = Arc::new(AtomicU32::new(0));
    let for_snapshots = Arc::clone(&looks);
    let ops = RegionOps::new("cr-space")
        .snapshot(move |_, _| {
            let mut data = vec![0; CR_SPACE_SIZE as usize];
            registers(&for_snapshots, 0, &mut data);
            Ok(data)
        })
        .read(move |_, _, address, into| {
            registers(&looks, address, into);
            Ok(())
        });
    devl.region_create(ops, CR_SPACE_MAX_SNAPSHOTS, CR_SPACE_SIZE)
}

/// Makes the `eeprom` of a port's module.
///
/// # Errors
/// `EEXIST` when it is there.
pub(crate) fn port_init(devl: &mut Devl<'_>, port: &Port) -> Result<Arc<Region>, Errno> {
    let ops = RegionOps::new("eeprom").snapshot(|_, _| {
        let mut data = vec![0; EEPROM_SIZE as usize];
        data[0] = EEPROM_ID;
        Ok(data)
    });
    devl.port_region_create(port.index(), ops, EEPROM_MAX_SNAPSHOTS, EEPROM_SIZE)
}
