//! The place where a transcript is played.
//!
//! A stage is a process tree with network, process, mount and IPC namespaces of its own and a root directory that shows the
//! machine's, except where the transcripts' machine had something of its own: firmware files, `/host`, a kernel release, no udev.
//! Its first process is number 1, so that `netns 1` is the namespace it started in, as there.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context, Error, bail};
use clap::Args;
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_bind_recursive, unmount};
use rustix::process::{WaitOptions, chdir, pivot_root, wait};

use crate::golden::{Kernel, Transcript};

/// Where the stage has its own things.
const OWN: &str = "/stage";
/// Where the folder of a kernel's selftests is in the stage.
pub(crate) const TREE: &str = "/selftests";
/// What is made anew instead of being shown.
const ANEW: [&str; 6] = ["proc", "sys", "tmp", "run", "host", "stage"];

/// All that a stage is made from.
#[derive(Clone, Debug, Args)]
pub struct Plan {
    /// The userlink command
    #[arg(long)]
    pub userlink: PathBuf,
    /// The folder with the client's programs
    #[arg(long)]
    pub client: PathBuf,
    /// The kernel to play
    #[arg(long)]
    pub kernel: String,
    /// What `uname -r` says
    #[arg(long)]
    pub release: String,
    /// The transcript
    #[arg(long)]
    pub transcript: PathBuf,
    /// A folder that becomes /host, with the helpers and for the results
    #[arg(long)]
    pub host: PathBuf,
    /// The folder of a kernel's selftests
    #[arg(long)]
    pub tree: Option<PathBuf>,
    /// A device that is plugged in from the start
    #[arg(long)]
    pub device: Option<String>,
    /// A step that is left out
    #[arg(long)]
    pub skip: Vec<u32>,
}

/// What a transcript was played with and into.
impl Plan {
    /// Prepares `work`, an empty folder, for a transcript.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn new(
        userlink: &Path,
        client: &Path,
        kernel: &Kernel,
        transcript: &Transcript,
        guest: &Path,
        work: &Path,
    ) -> Result<Self, Error> {
        let host = work.join("host");
        if host.exists() {
            fs::remove_dir_all(&host)?;
        }
        fs::create_dir_all(host.join("wire"))?;
        for entry in fs::read_dir(guest)? {
            let entry = entry?;
            fs::copy(entry.path(), host.join(entry.file_name()))?;
        }
        Ok(Self {
            userlink: userlink.canonicalize()?,
            client: client.canonicalize()?,
            kernel: kernel.version.clone(),
            release: kernel.release.clone(),
            transcript: transcript.path.canonicalize()?,
            host: host.canonicalize()?,
            tree: None,
            device: None,
            skip: Vec::new(),
        })
    }

    /// Plays it: starts this program again in new namespaces. What the machine says on standard error is in `host/log`.
    ///
    /// # Errors
    /// There are no such namespaces here.
    pub fn perform(&self) -> Result<ExitStatus, Error> {
        let log = File::create(self.host.join("log"))?;
        let mut command = unshare();
        command.arg(std::env::current_exe()?).arg("stage");
        for (name, value) in [
            ("--userlink", self.userlink.as_os_str()),
            ("--client", self.client.as_os_str()),
            ("--kernel", self.kernel.as_ref()),
            ("--release", self.release.as_ref()),
            ("--transcript", self.transcript.as_os_str()),
            ("--host", self.host.as_os_str()),
        ] {
            command.arg(name).arg(value);
        }
        if let Some(tree) = &self.tree {
            command.arg("--tree").arg(tree);
        }
        if let Some(device) = &self.device {
            command.arg("--device").arg(device);
        }
        for step in &self.skip {
            command.arg("--skip").arg(step.to_string());
        }
        command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        command.status().context("unshare")
    }

    /// In the new namespaces, as process 1: builds the root directory and starts the machine.
    ///
    /// # Errors
    /// A mount is refused.
    pub fn enter(&self) -> Result<(), Error> {
        self.build().context("cannot build the stage")?;
        let mut machine = Command::new(format!("{OWN}/userlink"));
        machine.args(["run", "--kernel", &self.kernel]);
        machine.args(["--netdev-names", "kernel"]);
        machine.args(["--device", self.device.as_deref().unwrap_or("none")]);
        machine.args(["--capture", "/host/wire.pcap", "--log", "/host/klog"]);
        machine.args(["--", &format!("{OWN}/conformance"), "play"]);
        for step in &self.skip {
            machine.args(["--skip", &step.to_string()]);
        }
        machine
            .arg(format!("{OWN}/transcript"))
            .env_clear()
            .envs([
                ("PATH", path().as_str()),
                ("HOME", "/root"),
                ("TERM", "dumb"),
                ("LC_ALL", "C"),
            ])
            .current_dir("/");
        let mut loopback = Command::new("ip");
        loopback
            .args(["link", "set", "lo", "up"])
            .env("PATH", path());
        loopback.status().context("ip")?;
        let child = machine.spawn().context("userlink")?;
        // The parent of all orphans sees them end.
        loop {
            match wait(WaitOptions::empty())? {
                Some((pid, status)) if pid.as_raw_nonzero().get() == child.id() as i32 => {
                    if status.exit_status() != Some(0) {
                        bail!("the machine ended with {status:?}");
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
    }

    fn build(&self) -> Result<(), Error> {
        let root = Path::new("/tmp");
        let own = self.own()?;
        tmpfs(root, "755")?;
        for entry in fs::read_dir("/")? {
            let entry = entry?;
            let (name, kind) = (entry.file_name(), entry.file_type()?);
            let at = root.join(&name);
            if ANEW.iter().any(|anew| name == *anew) {
                continue;
            } else if kind.is_symlink() {
                symlink(fs::read_link(entry.path())?, &at)?;
            } else if kind.is_dir() {
                fs::create_dir(&at)?;
                mount_bind_recursive(entry.path(), &at)
                    .with_context(|| format!("bind {}", at.display()))?;
            } else {
                File::create(&at)?;
                mount_bind(entry.path(), &at)?;
            }
        }
        for name in ANEW {
            fs::create_dir(root.join(name))?;
        }
        let nothing: Option<&std::ffi::CStr> = None;
        let plain = MountFlags::empty();
        mount("proc", root.join("proc"), "proc", plain, nothing).context("proc")?;
        mount("sysfs", root.join("sys"), "sysfs", plain, nothing).context("sysfs")?;
        let _ = mount(
            "debugfs",
            root.join("sys/kernel/debug"),
            "debugfs",
            plain,
            nothing,
        );
        tmpfs(&root.join("tmp"), "1777")?;
        tmpfs(&root.join("run"), "755")?;
        fs::create_dir(root.join("run/netns"))?;
        self.firmware(root)?;

        let stage = root.join(&OWN[1..]);
        fs::create_dir(stage.join("bin"))?;
        for (name, file) in own {
            let at = root.join(name);
            if file.metadata()?.is_dir() {
                fs::create_dir_all(&at)?;
            } else {
                File::create(&at)?;
            }
            mount_bind(format!("/proc/self/fd/{}", file.as_raw_fd()), &at).context(name)?;
        }
        script(
            &stage.join("bin/uname"),
            &format!(
                "if [ \"$*\" = -r ]; then echo {}; else exec /usr/bin/uname \"$@\"; fi",
                self.release
            ),
        )?;
        script(&stage.join("bin/udevadm"), "sleep 0.2")?;

        chdir(root)?;
        pivot_root(".", ".").context("pivot_root")?;
        unmount(".", UnmountFlags::DETACH)?;
        chdir("/")?;
        Ok(())
    }

    /// What is bound into the stage, opened while the paths still lead to it.
    fn own(&self) -> Result<Vec<(&'static str, File)>, Error> {
        let mut own = vec![
            ("host", File::open(&self.host)?),
            ("stage/client", File::open(&self.client)?),
            ("stage/userlink", File::open(&self.userlink)?),
            ("stage/conformance", File::open(std::env::current_exe()?)?),
            ("stage/transcript", File::open(&self.transcript)?),
        ];
        if let Some(tree) = &self.tree {
            own.push((&TREE[1..], File::open(tree)?));
        }
        Ok(own)
    }

    /// The firmware files that the transcripts flash.
    fn firmware(&self, root: &Path) -> Result<(), Error> {
        let folder = root.join("usr/lib/firmware");
        if folder.is_dir() {
            tmpfs(&folder, "755")?;
        } else {
            let layers = root.join("stage/layers");
            fs::create_dir(&layers)?;
            fs::create_dir(layers.join("upper"))?;
            fs::create_dir(layers.join("work"))?;
            let lib = root.join("usr/lib");
            let options = format!(
                "lowerdir={},upperdir={}/upper,workdir={1}/work",
                lib.display(),
                layers.display()
            );
            let options = std::ffi::CString::new(options)?;
            mount(
                "overlay",
                &lib,
                "overlay",
                MountFlags::empty(),
                Some(&*options),
            )
            .context("overlay /usr/lib")?;
            fs::create_dir(&folder)?;
        }
        fs::create_dir(folder.join("netdevsim"))?;
        for (name, length) in [
            ("dummy.bin", 1000),
            ("dummy", 1000),
            ("netdevsim/fw2.bin", 4096),
            ("empty.bin", 0),
        ] {
            fs::write(folder.join(name), vec![0; length])?;
        }
        Ok(())
    }
}

/// Why no stage can be built here, if none can.
pub fn refused() -> Option<String> {
    let mut probe = unshare();
    let output = probe.arg("true").stdin(Stdio::null()).output();
    match output {
        Err(error) => Some(format!("unshare: {error}")),
        Ok(output) if !output.status.success() => {
            Some(String::from_utf8_lossy(&output.stderr).trim().to_owned())
        }
        Ok(_) => None,
    }
}

/// Starts what follows in new namespaces; an ordinary user's, with all the users that transcripts become.
fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args([
        "--net",
        "--pid",
        "--mount",
        "--ipc",
        "--fork",
        "--kill-child",
    ]);
    if !rustix::process::geteuid().is_root() {
        command.args(["--user", "--map-root-user", "--map-auto"]);
    }
    command.arg("--");
    command
}

fn path() -> String {
    format!("{OWN}/client:{OWN}/bin:/usr/sbin:/usr/bin:/sbin:/bin")
}

fn tmpfs(at: &Path, mode: &str) -> Result<(), Error> {
    let options = std::ffi::CString::new(format!("mode={mode}"))?;
    mount("tmpfs", at, "tmpfs", MountFlags::empty(), Some(&*options))
        .with_context(|| format!("tmpfs at {}", at.display()))
}

fn script(at: &Path, text: &str) -> Result<(), Error> {
    let mut file = File::create(at)?;
    writeln!(file, "#!/bin/sh\n{text}")?;
    file.set_permissions(fs::Permissions::from_mode(0o755))?;
    Ok(())
}
