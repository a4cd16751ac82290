//! The clocks of the network devices (`drivers/ptp/ptp_mock.c`, `drivers/ptp/ptp_sysfs.c`), where the kernel is built with them.
//!
//! Only their directories are there: nobody can open a clock, and none has virtual clocks below it.

use std::sync::Arc;

use driver_core::{Device, Ida};
use kernfs::Dir;
use kernfs::kstrto;
use kernfs::sysfs::Attribute;
use rustix::io::Errno;

/// What cannot be changed, and what it shows (`ptp_mock.c: mock_phc_create`).
const FIXED: [(&str, &str); 7] = [
    ("clock_name", "Mock-up PTP clock"),
    ("max_adjustment", "32000000"),
    ("n_alarms", "0"),
    ("n_external_timestamps", "0"),
    ("n_periodic_outputs", "0"),
    ("n_programmable_pins", "0"),
    ("pps_available", "0"),
];

/// The most virtual clocks that a clock may have unless somebody says otherwise (`PTP_DEFAULT_MAX_VCLOCKS`).
const DEFAULT_MAX_VCLOCKS: &str = "20";

/// Where the numbers of clocks' device files begin, which are the machine's to give out.
const MAJOR: u32 = 248;

/// A network device's clock (`struct mock_phc`).
#[derive(Debug)]
pub(crate) struct Clock {
    numbers: Arc<Ida>,
    number: u32,
    dir: Option<Dir>,
}

impl Clock {
    /// Makes the clock with the lowest number that is free.
    ///
    /// # Errors
    /// `ENOSPC` when there is none.
    pub(crate) fn new(numbers: &Arc<Ida>, device: &Device) -> Result<Self, Errno> {
        let number = numbers.alloc()?;
        let at = device.dir().and_then(|dir| {
            let clocks = dir.dir("ptp").or_else(|| dir.create_dir("ptp").ok())?;
            let fill = move |dir: &Dir| fill(dir, number);
            clocks.create_lazy_dir(format!("ptp{number}"), fill).ok()
        });
        Ok(Clock {
            numbers: Arc::clone(numbers),
            number,
            dir: at,
        })
    }
}

/// With the last clock of a device goes the directory of its clocks.
impl Drop for Clock {
    fn drop(&mut self) {
        if let Some(dir) = &self.dir {
            let clocks = dir.node().parent();
            dir.remove();
            if let Some(clocks) = clocks.filter(|clocks| clocks.subdirs() == 0) {
                clocks.remove();
            }
        }
        self.numbers.free(self.number);
    }
}

fn fill(dir: &Dir, number: u32) {
    // The directory is new: no name is taken.
    for (name, text) in FIXED {
        let _ = dir.create_attribute(name, Attribute::ro(move |_| Ok(format!("{text}\n"))));
    }
    let dev = format!("{MAJOR}:{number}\n");
    let _ = dir.create_attribute("dev", Attribute::ro(move |_| Ok(dev.clone())));
    let uevent = format!("MAJOR={MAJOR}\nMINOR={number}\nDEVNAME=ptp{number}\n");
    let uevent = Attribute::ro(move |_| Ok(uevent.clone())).with_store(|_, _| Ok(()));
    let _ = dir.create_attribute("uevent", uevent);
    let max = Attribute::ro(|_| Ok(format!("{DEFAULT_MAX_VCLOCKS}\n"))).with_store(refuse);
    let _ = dir.create_attribute("max_vclocks", max);
    let now = Attribute::ro(|_| Ok("0\n".to_owned())).with_store(refuse);
    let _ = dir.create_attribute("n_vclocks", now);
    if let Some(device) = dir.node().parent().and_then(|clocks| clocks.parent()) {
        let _ = dir.create_link_to("device", &device);
    }
    let to_class = kernfs::way(&dir.node().path(), "class/ptp");
    let _ = dir.create_link("subsystem", to_class);
}

/// There are no virtual clocks to be had.
fn refuse(_: &mut kernfs::Context<'_>, text: &[u8]) -> Result<(), Errno> {
    kstrto::uint(text, 0).and(Err(Errno::OPNOTSUPP))
}
