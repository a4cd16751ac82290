//! The real kernel: a machine in QEMU, made by `conformance/kernel.sh`, in which a list of commands is played as it is on the stage.
//!
//! The machine is emulated, so that it is the same everywhere: four seconds to start, an eighth of a second for a command.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Error, bail};

/// The emulator.
const QEMU: &str = "qemu-system-x86_64";

/// A kernel that can be started.
#[derive(Clone, Debug)]
pub(super) struct Guest {
    /// The folder with `vmlinuz` and `initrd`.
    pub(super) machine: PathBuf,
    /// The folder with the client's programs.
    pub(super) client: PathBuf,
}

/// Why no kernel can be started here, if none can.
pub(super) fn refused(machine: &Path) -> Option<String> {
    let said = Command::new(QEMU).arg("--version").output();
    if !said.is_ok_and(|said| said.status.success()) {
        return Some(format!("there is no {QEMU} here"));
    }
    let there = machine.join("initrd").exists() && machine.join("vmlinuz").exists();
    (!there).then(|| format!("there is no {}", machine.display()))
}

/// What `uname -r` says in the machine; nothing if `kernel.sh` has not noted it.
pub(super) fn release(machine: &Path) -> String {
    let release = fs::read_to_string(machine.join("release")).unwrap_or_default();
    release.trim().into()
}

impl Guest {
    /// Plays `host/transcript.jsonl` into `host/played.jsonl`; the console's text goes to `host/console`.
    ///
    /// # Errors
    /// The machine did not end by itself in time. What it has played is there all the same.
    pub(super) fn play(&self, host: &Path, patience: Duration) -> Result<(), Error> {
        let player = std::env::current_exe()?;
        let path = |path: &Path| -> Result<String, Error> {
            let path = path
                .canonicalize()
                .with_context(|| path.display().to_string())?;
            let path = path.into_os_string().into_string();
            let path = path.map_err(|path| anyhow::anyhow!("{path:?} is no text"))?;
            match path.contains([' ', ',']) {
                true => bail!("{path}: QEMU needs a path without spaces and commas"),
                false => Ok(path),
            }
        };
        let host = path(host)?;
        let share = |folder: &str, tag: &str, more: &str| {
            format!("local,path={folder},mount_tag={tag},security_model=none,multidevs=remap{more}")
        };
        let words = format!(
            "console=ttyS0 quiet panic=-1 no_timer_check mitigations=off nokaslr tsc=reliable player={} client={}",
            path(&player)?,
            path(&self.client)?
        );
        // Whatever becomes of this process, the machine does not outlive its time.
        let seconds = patience.as_secs().to_string();
        let mut qemu = Command::new("timeout");
        qemu.args(["--signal", "KILL", &seconds, QEMU])
            .args(["-accel", "tcg,tb-size=512", "-cpu", "max", "-m", "512"])
            .args([
                "-nodefaults",
                "-display",
                "none",
                "-no-reboot",
                "-monitor",
                "none",
            ])
            .args(["-serial", &format!("file:{host}/console")])
            .args(["-virtfs", &share("/", "machine", ",readonly=on")])
            .args(["-virtfs", &share(&host, "host", "")])
            .arg("-kernel")
            .arg(self.machine.join("vmlinuz"))
            .arg("-initrd")
            .arg(self.machine.join("initrd"))
            .args(["-append", &words])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(format!("{host}/qemu"))?);
        match qemu.status().context(QEMU)?.success() {
            true => Ok(()),
            false => bail!("the machine with the real kernel did not end well"),
        }
    }
}
