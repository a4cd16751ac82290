//! Firmware files, as drivers ask for them (`drivers/base/firmware_loader/main.c: request_firmware`).
//!
//! A driver asks by a name below the directories in which firmware lies. Who provides it is injected: [`FirmwareFiles`] looks
//! where the kernel does, a test looks where it likes.

use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::device::Device;

/// A firmware file's contents (`struct firmware`).
pub struct Firmware {
    data: Vec<u8>,
}

impl Firmware {
    /// These bytes as firmware.
    pub fn new(data: Vec<u8>) -> Self {
        Firmware { data }
    }

    /// The bytes.
    pub fn data(&self) -> &[u8] {
        &self.data
    }
}

impl fmt::Debug for Firmware {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Firmware")
            .field("size", &self.data.len())
            .finish()
    }
}

/// Who has firmware.
pub trait FirmwareLoader: Send + Sync + fmt::Debug {
    /// The firmware of this name; failures are logged in the name of `device`.
    ///
    /// # Errors
    /// `ENOENT` if there is none, `EINVAL` for no name or one that leads upwards (`..`), `ENAMETOOLONG`, and what keeps the file
    /// from being read whole: `EINVAL` if it is empty, `EACCES` if it is no file.
    fn request(&self, device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno>;
}

/// The files below some directories; the first directory that has it wins.
#[derive(Debug)]
pub struct FirmwareFiles {
    directories: Vec<PathBuf>,
}

impl FirmwareFiles {
    /// The kernel's directories, with those of the running release: `/lib/firmware` is the last of them.
    pub fn new() -> Self {
        let uname = rustix::system::uname();
        let release = OsStr::from_bytes(uname.release().to_bytes());
        let (updates, base) = (
            Path::new("/lib/firmware/updates"),
            Path::new("/lib/firmware"),
        );
        Self::below([
            updates.join(release),
            updates.to_owned(),
            base.join(release),
            base.to_owned(),
        ])
    }

    /// One more directory, before the kernel's (the kernel's parameter `firmware_class.path`).
    pub fn with_first(directory: PathBuf) -> Self {
        let mut files = Self::new();
        files.directories.insert(0, directory);
        files
    }

    /// Other directories.
    pub fn below(directories: impl IntoIterator<Item = PathBuf>) -> Self {
        FirmwareFiles {
            directories: directories.into_iter().collect(),
        }
    }

    /// The file in the first directory that has it, else why it is not in the last one.
    fn find(&self, device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno> {
        let mut reason = Errno::NOENT;
        for directory in &self.directories {
            let path = [directory.as_os_str().as_bytes(), b"/", name].concat();
            if path.len() >= PATH_MAX {
                return Err(Errno::NAMETOOLONG);
            }
            match read_whole(Path::new(OsStr::from_bytes(&path))) {
                Ok(data) => return Ok(Firmware { data }),
                Err(errno) => reason = errno,
            }
            if reason != Errno::NOENT {
                let path = String::from_utf8_lossy(&path);
                let error = -reason.raw_os_error();
                warn(
                    device,
                    format_args!("loading {path} failed with error {error}"),
                );
            }
        }
        Err(reason)
    }
}

impl Default for FirmwareFiles {
    fn default() -> Self {
        FirmwareFiles::new()
    }
}

impl FirmwareLoader for FirmwareFiles {
    fn request(&self, device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno> {
        if name.is_empty() {
            return Err(Errno::INVAL);
        }
        let text = String::from_utf8_lossy(name);
        if name.split(|&byte| byte == b'/').any(|part| part == b"..") {
            warn(
                device,
                format_args!("Firmware load for '{text}' refused, path contains '..' component"),
            );
            return Err(Errno::INVAL);
        }
        let found = self.find(device, name);
        if let Err(errno) = &found {
            let error = -errno.raw_os_error();
            warn(
                device,
                format_args!("Direct firmware load for {text} failed with error {error}"),
            );
        }
        found
    }
}

fn warn(device: Option<&Device>, text: fmt::Arguments<'_>) {
    if let Some(device) = device {
        device.warn(text);
    }
}

/// The longest path, with its end (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Reads a regular file of 1 to `INT_MAX` bytes (`fs/kernel_read_file.c: kernel_read_file`).
fn read_whole(path: &Path) -> Result<Vec<u8>, Errno> {
    let errno = |error: std::io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    // A pipe must not make us wait for its writer: we look first what it is.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let mut file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let metadata = file.metadata().map_err(errno)?;
    if !metadata.is_file() {
        return Err(Errno::ACCESS);
    }
    match metadata.len() {
        0 => return Err(Errno::INVAL),
        len if len > u64::from(i32::MAX.unsigned_abs()) => return Err(Errno::FBIG),
        _ => {}
    }
    let mut data = Vec::new();
    file.read_to_end(&mut data).map_err(errno)?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DriverCore;
    use std::sync::Arc;

    fn device() -> (Arc<DriverCore>, Arc<Device>) {
        let core = DriverCore::real_time(1);
        let bus = core.register_bus(crate::bus::PlainBus::new("netdevsim"));
        let device = Device::new(&bus, "netdevsim1", None, ());
        (core, device)
    }

    #[test]
    fn a_file_is_found_in_the_first_directory_that_has_it() {
        let directory = std::env::temp_dir().join(format!("firmware-{}", std::process::id()));
        let (first, second) = (directory.join("first"), directory.join("second"));
        std::fs::create_dir_all(first.join("sub")).unwrap();
        std::fs::create_dir_all(&second).unwrap();
        std::fs::write(second.join("a.bin"), b"second").unwrap();
        std::fs::write(first.join("sub/b.bin"), b"below").unwrap();
        std::fs::write(second.join("empty.bin"), b"").unwrap();

        let (core, device) = device();
        let loader = FirmwareFiles::below([first.clone(), second]);
        let load = |name: &[u8]| {
            loader
                .request(Some(&device), name)
                .map(|firmware| firmware.data().to_vec())
        };
        assert_eq!(load(b"a.bin").unwrap(), b"second");
        std::fs::write(first.join("a.bin"), b"first").unwrap();
        assert_eq!(load(b"a.bin").unwrap(), b"first");
        assert_eq!(load(b"sub/b.bin").unwrap(), b"below");

        assert_eq!(load(b"nosuch.bin"), Err(Errno::NOENT));
        assert_eq!(load(b"empty.bin"), Err(Errno::INVAL));
        assert_eq!(load(b""), Err(Errno::INVAL));
        assert_eq!(load(b"../first/a.bin"), Err(Errno::INVAL));
        assert_eq!(load(b"sub/.."), Err(Errno::INVAL));
        assert_eq!(load(b"a..bin"), Err(Errno::NOENT));
        // As of the last directory, which has no such thing.
        assert_eq!(load(b"sub"), Err(Errno::NOENT));
        assert_eq!(load(&[b'x'; 5000]), Err(Errno::NAMETOOLONG));
        let log = core.klog().text();
        assert!(
            log.contains("Direct firmware load for nosuch.bin failed with error -2"),
            "{log}"
        );
        std::fs::remove_dir_all(directory).unwrap();
    }

    #[test]
    fn what_is_no_file_is_not_waited_for() {
        let directory = std::env::temp_dir().join(format!("firmware-dir-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("sub")).unwrap();
        let (_core, device) = device();
        let loader = FirmwareFiles::below([directory.clone()]);
        assert_eq!(
            loader.request(Some(&device), b"sub").unwrap_err(),
            Errno::ACCESS
        );
        std::fs::remove_dir_all(directory).unwrap();
    }
}
