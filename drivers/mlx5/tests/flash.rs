//! Another firmware: the flash with its progress and its refusals, what `dev info` shows until an activation, and the reset by
//! this host or another one. On a virtual clock: what the card takes its time for takes none here.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use driver_core::{
    Clock, Device, DriverCore, Firmware, FirmwareLoader, SeededRng, VirtualClock, pci,
};
use driver_testkit::client::Value;
use driver_testkit::{Client, Machine, Refusal, text};
use lockdep::order::Held;
use mlx5::{Config, Module, Profile, fw_flash};
use netlink::{KernelVersion, attr, cmd};
use rustix::io::Errno;

const PF0: &str = "pci/0000:00:09.0";
const PF1: &str = "pci/0000:00:09.1";

/// Firmware files by name: `28.42.1000` is this version for the card, the rest is what its name says.
#[derive(Debug)]
struct Files;

impl FirmwareLoader for Files {
    fn request(&self, _device: Option<&Device>, name: &[u8]) -> Result<Firmware, Errno> {
        let mut profile = Profile::connectx_7();
        let good = "28.42.1000".parse().unwrap();
        let data = match name {
            b"no-mfa2" => b"anything else, of any length".to_vec(),
            b"damaged" => fw_flash::image(&profile, good)[..40].to_vec(),
            b"unpackable" => {
                let mut image = fw_flash::image(&profile, good);
                let xz = image.windows(6).position(|bytes| bytes == b"\xfd7zXZ\0");
                image[xz.unwrap()] = 0;
                image
            }
            b"other-board" => {
                profile.psid = "MT_0000000999".into();
                fw_flash::image(&profile, good)
            }
            version => {
                let version = std::str::from_utf8(version).unwrap().parse();
                fw_flash::image(&profile, version.map_err(|()| Errno::NOENT)?)
            }
        };
        Ok(Firmware::new(data))
    }
}

struct Host {
    machine: Arc<Machine>,
    module: Arc<Module>,
    clock: Arc<VirtualClock>,
}

fn host() -> Host {
    let clock = Arc::new(VirtualClock::new());
    let core = DriverCore::new(clock.clone(), Arc::new(SeededRng::new(1)));
    assert!(core.set_firmware(Arc::new(Files)));
    let machine = Machine::with(KernelVersion::V7_2, core);
    let module = Module::new(
        machine.driver_core.clone(),
        machine.net_core.clone(),
        machine.devlink.clone(),
        Config::default(),
    );
    let mut held = Held::root();
    module.load(&mut held).unwrap();
    let address = "0000:00:09.0".parse().unwrap();
    let profile = Profile::connectx_7();
    module.plug(&mut held, address, profile).unwrap();
    Host {
        machine,
        module,
        clock,
    }
}

impl Host {
    fn client(&self) -> Client {
        self.machine.client(self.machine.init_net())
    }

    fn fault(&self, fault: &str) {
        self.module.faults().add(fault.parse().unwrap());
    }

    fn flash(&self, handle: &str, file: &str) -> Result<(), Refusal> {
        let done = self.client().request(cmd::FLASH_UPDATE, handle, |w| {
            w.put_str(attr::FLASH_UPDATE_FILE_NAME, file).unwrap();
        });
        done.map(drop)
    }

    /// Running and stored version, as all of the card's functions show them.
    fn versions(&self) -> [String; 2] {
        let [first, second] = [PF0, PF1].map(|handle| {
            let info = self.client().dev_info(handle);
            ["running fw ", "stored fw "].map(|what| {
                let found = info.iter().find_map(|line| line.strip_prefix(what));
                found.unwrap().to_owned()
            })
        });
        assert_eq!(first, second);
        first
    }

    /// What the log says from here on.
    fn log_from(&self, start: usize) -> String {
        self.machine.log()[start..].join("\n")
    }

    /// Whether a function has counted an activation by another one.
    fn counts_remote(&self, handle: &str) -> bool {
        let reply = self.client().request(cmd::GET, handle, |_| ()).unwrap();
        let stats = text::remote_reload_stats(&reply[0]);
        stats.contains(&"fw_activate unspecified 1".to_owned())
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.module.unload(&mut Held::root()).unwrap();
        assert_eq!(self.machine.devlink.warnings(), 0);
        let reports = lockdep::reports();
        assert!(reports.is_empty(), "{reports:#?}");
    }
}

fn refused(errno: Errno, reason: &str) -> Result<(), Refusal> {
    Err(Refusal {
        errno,
        text: format!("mlxfw: Firmware flash failed: {reason}"),
    })
}

#[test]
fn a_flash_tells_each_step() {
    let host = host();
    let monitor = host.client().monitor();
    let before = host.machine.log().len();
    host.flash(PF0, "28.42.1000").unwrap();
    let heard = monitor.heard();
    let status = format!("[flash,status] {PF0}: msg ");
    let steps: Vec<_> = heard
        .iter()
        .filter(|line| line.starts_with("[flash"))
        .map(|line| line.strip_prefix(&status).unwrap_or(line))
        .collect();
    let blocks = steps[4..].iter().enumerate().take_while(|(block, step)| {
        let done = (block + 1) * 128;
        **step == format!("Downloading component component 1 done {done} total 16384 timeout 0")
    });
    let blocks = blocks.count();
    assert_eq!(blocks, 128);
    assert_eq!(
        [&steps[..4], &steps[4 + blocks..]].concat(),
        [
            "[flash,begin] pci/0000:00:09.0",
            "Initializing firmware flash process done 0 total 0 timeout 0",
            "Updating component component 1 done 0 total 0 timeout 0",
            "Downloading component component 1 done 0 total 16384 timeout 0",
            "Verifying component component 1 done 0 total 0 timeout 0",
            "Activating image done 0 total 0 timeout 0",
            "Firmware flash done done 0 total 0 timeout 0",
            "[flash,end] pci/0000:00:09.0",
        ]
    );
    assert_eq!(
        host.machine.log()[before..],
        [
            "mlx5_core 0000:00:09.0: mlxfw: Initialize firmware flash process",
            "mlx5_core 0000:00:09.0: mlxfw: Flashing component type 1",
            "mlx5_core 0000:00:09.0: mlxfw: Firmware flash done",
        ]
    );
}

#[test]
fn what_is_flashed_runs_after_an_activation() {
    let host = host();
    assert_eq!(host.versions(), ["28.41.1000", "28.41.1000"]);
    host.flash(PF1, "28.42.7").unwrap();
    assert_eq!(host.versions(), ["28.41.1000", "28.42.0007"]);
    // A reload that is none of the firmware leaves it so, and another flash takes its place.
    host.client().reload(PF0, None).unwrap();
    host.flash(PF0, "28.43.1").unwrap();
    assert_eq!(host.versions(), ["28.41.1000", "28.43.0001"]);
    host.client().reload_action(PF0, 2, false).unwrap();
    assert_eq!(host.versions(), ["28.43.0001", "28.43.0001"]);
}

#[test]
fn files_that_are_no_firmware_for_the_card_are_refused() {
    let host = host();
    for (file, errno, reason) in [
        ("no-mfa2", Errno::INVAL, "Firmware file is not MFA2"),
        (
            "damaged",
            Errno::INVAL,
            "Failed to initialize MFA2 firmware file",
        ),
        (
            "other-board",
            Errno::INVAL,
            "Could not find device PSID in MFA2 file",
        ),
        ("unpackable", Errno::INVAL, "Failed to get MFA2 component"),
        ("32.42.1000", Errno::NOENT, "component not applicable"),
    ] {
        assert_eq!(host.flash(PF0, file), refused(errno, reason), "{file}");
    }
    let log = host.machine.log().join("\n");
    assert!(log.contains("mlxfw: Firmware flash failed: Firmware file is not MFA2, err (-22)"));
    host.flash(PF0, "28.42.1000").unwrap();

    let pf = host.machine.driver_core.pci().find_device("0000:00:09.0");
    pci::sriov::numvfs_store(&mut Held::root(), &pf.unwrap(), 1).unwrap();
    let refusal = host.flash("pci/0000:00:09.2", "28.42.1000").unwrap_err();
    assert_eq!((refusal.errno, &*refusal.text), (Errno::OPNOTSUPP, ""));
}

#[test]
fn the_card_rejects_for_nine_reasons() {
    let host = host();
    for (number, errno, reason) in [
        (1, Errno::IO, "general error"),
        (2, Errno::BADMSG, "component hash mismatch"),
        (3, Errno::NOENT, "component not applicable"),
        (4, Errno::NOKEY, "unknown key"),
        (5, Errno::ACCESS, "authentication failed"),
        (6, Errno::KEYREVOKED, "component was not signed"),
        (7, Errno::KEYREJECTED, "key not applicable"),
        (8, Errno::NOEXEC, "bad format"),
        (9, Errno::BUSY, "pending reset"),
        (10, Errno::INVAL, "unknown error"),
    ] {
        host.fault(&format!("flash-reject={number},times=1"));
        let before = host.machine.log().len();
        assert_eq!(host.flash(PF0, "28.42.1000"), refused(errno, reason));
        let said = format!("mlxfw: Firmware flash failed: {reason}, err ({number})");
        assert!(host.log_from(before).contains(&said), "{said}");
    }
    // The update has begun and has no end: the driver cannot tell what is stored.
    assert_eq!(host.versions(), ["28.41.1000", "255.255.65535"]);
    let log = host.machine.log().join("\n");
    assert!(log.contains("mcqs: can't read pending fw version while fw state is 1"));
    assert!(log.contains("failed to query pending image, err -61"));
    host.flash(PF0, "28.42.1000").unwrap();
    assert_eq!(host.versions(), ["28.41.1000", "28.42.1000"]);
}

#[test]
fn a_card_that_stalls_is_waited_for_and_not_for_ever() {
    let host = host();
    // At each of the four instructions that it follows later.
    for instruction in 0..4 {
        host.fault(&format!("flash-stall=29000,after={instruction},times=1"));
        let start = host.clock.now();
        host.flash(PF0, "28.42.1000").unwrap();
        let took = host.clock.now() - start;
        assert!(took >= Duration::from_secs(29), "{took:?}");

        host.fault(&format!("flash-stall=31000,after={instruction},times=1"));
        let start = host.clock.now();
        assert_eq!(
            host.flash(PF0, "28.42.1000"),
            refused(Errno::TIMEDOUT, "Timeout reached on FSM state change")
        );
        let took = host.clock.now() - start;
        assert!(took >= Duration::from_millis(149 * 200), "{took:?}");
        assert!(took < Duration::from_secs(34), "{took:?}");
    }
    let log = host.machine.log().join("\n");
    assert!(log.contains("Timeout reached on FSM state change, err (-110)"));
    // It is free again.
    host.flash(PF1, "28.42.1000").unwrap();
}

#[test]
fn another_host_resets_the_firmware_if_all_functions_let_it() {
    let host = host();
    host.flash(PF0, "28.42.1000").unwrap();
    let dev = host.module.function("0000:00:09.0").unwrap();
    let allow = |allowed| {
        let client = host.client();
        let name = "enable_remote_dev_reset";
        client
            .param_set(PF1, name, Value::Bool(allowed), 0)
            .unwrap();
    };
    allow(false);
    let before = host.machine.log().len();
    host.module.remote_firmware_reset(&dev);
    assert_eq!(host.versions(), ["28.41.1000", "28.42.1000"]);
    assert_eq!(
        host.log_from(before),
        "mlx5_core 0000:00:09.1: PCI Sync FW Update Reset Nack Sent"
    );
    allow(true);
    let before = host.machine.log().len();
    host.module.remote_firmware_reset(&dev);
    let start = Instant::now();
    while ![PF0, PF1].iter().all(|handle| host.counts_remote(handle)) {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(host.versions(), ["28.42.1000", "28.42.1000"]);
    let log = host.log_from(before);
    for function in ["0000:00:09.0", "0000:00:09.1"] {
        let now = format!("mlx5_core {function}: Sync Reset now. Device is going to reset.");
        assert!(log.contains(&now), "{log}");
    }
}
