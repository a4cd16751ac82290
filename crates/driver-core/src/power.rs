//! The directory `power/` of a device (`drivers/base/power/sysfs.c`).
//!
//! Nothing here sleeps: the files are those of a device without run-time power management. What may be set is kept and shown.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kernfs::Dir;
use kernfs::sysfs::Attribute;
use rustix::io::Errno;

/// The files of such a directory.
pub const NAMES: [&str; 9] = [
    "async",
    "autosuspend_delay_ms",
    "control",
    "runtime_active_kids",
    "runtime_active_time",
    "runtime_enabled",
    "runtime_status",
    "runtime_suspended_time",
    "runtime_usage",
];

/// What may be set of one device. A clone is the same device's.
#[derive(Clone, Debug, Default)]
pub struct Power(Arc<[AtomicBool; 2]>);

impl Power {
    /// The file of that name, and its mode.
    pub fn file(&self, name: &str) -> Option<(u16, Attribute)> {
        let fixed = |text: &'static str| Some((0o444, Attribute::ro(move |_| Ok(text.to_owned()))));
        match name {
            "async" => Some((0o644, self.switch(0, ["disabled", "enabled"]))),
            "control" => Some((0o644, self.switch(1, ["auto", "on"]))),
            // The device does not use it.
            "autosuspend_delay_ms" => {
                let delay = Attribute::ro(|_| Err(Errno::IO)).with_store(|_, _| Err(Errno::IO));
                Some((0o644, delay))
            }
            "runtime_enabled" => fixed("disabled\n"),
            "runtime_status" => fixed("unsupported\n"),
            name => NAMES.contains(&name).then(|| fixed("0\n")).flatten(),
        }
    }

    /// One of two words, the first one at the beginning.
    fn switch(&self, which: usize, words: [&'static str; 2]) -> Attribute {
        let (shown, stored) = (self.clone(), self.clone());
        let show = move |_: &mut kernfs::Context<'_>| {
            let word = words[usize::from(shown.0[which].load(Ordering::Relaxed))];
            Ok(format!("{word}\n"))
        };
        Attribute::ro(show).with_store(move |_, text| {
            let text = text.strip_suffix(b"\n").unwrap_or(text);
            let place = words.iter().position(|word| word.as_bytes() == text);
            stored.0[which].store(place.ok_or(Errno::INVAL)? == 1, Ordering::Relaxed);
            Ok(())
        })
    }
}

/// Makes a device's directory, to be filled when somebody looks.
pub(crate) fn make_dir(device: &Dir) -> Result<(), Errno> {
    let fill = |dir: &Dir| {
        let power = Power::default();
        for name in NAMES {
            if let Some((mode, file)) = power.file(name) {
                // The directory is new: no name is taken.
                let _ = dir.create_file(name, mode, file);
            }
        }
    };
    device.create_lazy_dir("power", fill).map(drop)
}
