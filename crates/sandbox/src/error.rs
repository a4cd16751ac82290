//! Why a sandbox could not be made: for each refusal of the machine one sentence and its remedy.

use std::io;
use std::path::PathBuf;

use rustix::io::Errno;

/// Why the sandbox could not be set up or ended early. The text is for the person who typed the command.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The process tree already has a seccomp listener.
    #[error(
        "a seccomp listener is already installed here: this is inside another `userlink run` (use the machine that is \
         there) or in a container whose runtime listens itself (start the container with its default notify filter off)"
    )]
    Nested,
    /// Inside another sandbox, found by its environment variable.
    #[error(
        "already inside `userlink run` ({0} is set): run the command directly, it has this machine's devlink"
    )]
    Inside(&'static str),
    /// The kernel has no seccomp user notification.
    #[error(
        "this kernel has no seccomp user notification (SECCOMP_FILTER_FLAG_NEW_LISTENER): Linux 5.14 or newer, built \
         with CONFIG_SECCOMP_FILTER, is needed"
    )]
    NoSeccomp,
    /// The kernel is older than the oldest one that has all the calls we need.
    #[error(
        "Linux {0} is too old: 5.14 is the first with all that is needed (SECCOMP_ADDFD_FLAG_SEND)"
    )]
    OldKernel(String),
    /// seccomp() failed for another reason.
    #[error(
        "the machine refuses to install a seccomp filter ({0}): in a container, allow seccomp(2) \
         (e.g. `--security-opt seccomp=unconfined`)"
    )]
    Seccomp(Errno),
    /// Another process's descriptors or memory may not be used.
    #[error(
        "the machine refuses pidfd_getfd or process_vm_readv ({0}): in a container, add the capability SYS_PTRACE \
         (`--cap-add SYS_PTRACE`); elsewhere, check kernel.yama.ptrace_scope"
    )]
    NoPtrace(Errno),
    /// No user namespace may be made.
    #[error("user namespaces are refused ({errno}): {remedy}, or run as root")]
    NoUserNamespace {
        /// What the kernel said.
        errno: Errno,
        /// The setting that refuses them, and its value that does not.
        remedy: &'static str,
    },
    /// A step of setting up the namespaces failed.
    #[error("cannot {step}: {errno}; run as root, or outside the container")]
    Namespaces {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
    /// No tap devices can be made. The machine works without.
    #[error(
        "/dev/net/tun is refused ({0}): the devices have no network interfaces; run as root, or allow it with \
         `chmod 0666 /dev/net/tun`"
    )]
    NoTun(Errno),
    /// No files can be served. The machine works without.
    #[error(
        "/dev/fuse is refused ({0}): there is no /sys/bus/netdevsim and no debugfs; run as root, or allow it with \
         `modprobe fuse` and `chmod 0666 /dev/fuse`"
    )]
    NoFuse(Errno),
    /// The served files cannot be mounted. The machine works without.
    #[error(
        "the machine's files cannot be mounted in /sys ({0}): there is no /sys/bus/netdevsim and no debugfs; in a \
         container, allow mount(2) (e.g. `--cap-add SYS_ADMIN`)"
    )]
    NoGraft(Errno),
    /// The command cannot be executed.
    #[error("cannot run `{command}`: {source}")]
    Command {
        /// Its first word.
        command: String,
        /// Why not.
        source: io::Error,
    },
    /// The kernel process could not build its machine.
    #[error("{0}")]
    Machine(String),
    /// The kernel process ended while the command ran or before it could start.
    #[error("the process that runs the devices ended early ({0}): its sockets are shut down")]
    KernelDied(String),
    /// The folder of the control socket is not safe to use.
    #[error(
        "{} is not a private folder of user {uid}: remove it, or set TMPDIR to a folder of your own",
        path.display()
    )]
    ControlFolder {
        /// The folder.
        path: PathBuf,
        /// Who must own it.
        uid: u32,
    },
    /// The control socket cannot be reached.
    #[error("cannot reach the machine at {}: {source}; is its `userlink run` still there?", path.display())]
    Control {
        /// The socket.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// The machine answered a control request with an error.
    #[error("{0}")]
    Refused(String),
    /// A system call that has no reason to fail failed.
    #[error("cannot {step}: {errno}")]
    System {
        /// What was tried.
        step: &'static str,
        /// What the kernel said.
        errno: Errno,
    },
}

impl Error {
    /// For `map_err`: a call that has no special remedy.
    pub(crate) fn system(step: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { step, errno }
    }
}
