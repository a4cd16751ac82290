//! The command line: one definition that drives parsing and help.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// The Linux devlink subsystem in user space, with lockdep built in.
#[derive(Debug, Parser)]
#[command(name = "userlink", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a command on a machine that has devlink.
    Run(Run),
    /// Print the kernel-style log of the machine this shell runs on.
    Dmesg(Dmesg),
    /// Load or unload a module of the machine this shell runs on: what `modprobe` calls.
    #[command(hide = true)]
    Module(Module),
    /// Show the time of the machine this shell runs on, or move it on.
    Clock(Clock),
    /// Change a running machine: faults, virtual functions, firmware resets.
    Ctl(Ctl),
    /// Print a built-in profile of a card, to be copied and changed.
    Profile(Profile),
    /// Print a firmware file for a card, for `devlink dev flash`.
    Firmware(Firmware),
    /// Look at the lock graphs of other programs.
    #[command(subcommand)]
    Lockdep(Lockdep),
}

/// Run COMMAND, and all that it starts, on a machine that has devlink.
///
/// The command sees the real machine, and on it the devices that `--device` names. Its exit status becomes that of `userlink`.
/// As root it stays in the namespaces of the caller, with a `/sys` of its own; any other user gets a user, mount and network
/// namespace in which it is root, so that `ip netns add` works.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// A device to plug in: `NAME[@ADDRESS][,KEY=VALUE]...`, once for each [default: mlx5]
    ///
    /// `mlx5` is a card whose first PCI function is at ADDRESS (default 0000:00:09.0); its key is `profile`, a built-in
    /// one (connectx-7, connectx-6dx, bluefield-3) or a file (see `userlink profile`).
    /// `netdevsim` is a simulated device with the number ADDRESS (default 10); its key is `ports` (default 1).
    /// `spectrum` is a switch at the PCI address ADDRESS (default 0000:01:00.0), with split ports, shared buffers and line cards.
    /// `none` is no device at all.
    #[arg(long = "device", value_name = "DEVICE", verbatim_doc_comment)]
    pub(crate) devices: Vec<String>,

    /// A fault of the mlx5 devices, or of clients: `NAME[=VALUE][,on=DEVICE][,after=N][,times=N][,chance=P%]`, once for each
    ///
    /// on=DEVICE: only this device (0000:00:09.0); after=N: not the first N times; times=N: N times, then no more;
    /// chance=P%: each time only with this probability, which `--seed` decides.
    ///
    ///   vf-delay=MS          each virtual function appears this much later than the one before
    ///   vf-missing=NUMBER    the virtual function of this number never comes up
    ///   vf-enable=ERRNO      the bus refuses to make virtual functions
    ///   vf-bound             switchdev mode is refused as long as a driver has one of the virtual functions
    ///   eswitch-busy         a change of the eswitch's mode finds it busy
    ///   eswitch-fail         switchdev mode fails half-way
    ///   fw-reset             a firmware reset is under way: reload and mode changes are refused
    ///   sf-event-delay=MS    what the firmware tells of sub-functions comes this much later
    ///   reset-nack           another host disables the firmware reset
    ///   reload-up=ERRNO      the second half of a reload fails
    ///   recover-fail         a recovery of `fw_fatal` fails
    ///   flash-stall=MS       the firmware follows an instruction of a flash this much later; the driver waits 30 s
    ///   flash-reject=NUMBER  the firmware rejects what was flashed, for the reason of this number (1 to 9)
    ///   dump-intr            something interferes with a client's dump: its later messages are marked (NLM_F_DUMP_INTR)
    ///   enobufs              a notification is lost to a client, whose next receive fails with ENOBUFS
    #[arg(long = "fault", value_name = "FAULT", verbatim_doc_comment)]
    pub(crate) faults: Vec<String>,

    /// What all random numbers start from: the same seed, the same run [default: another each time]
    #[arg(long, value_name = "NUMBER")]
    pub(crate) seed: Option<u64>,

    /// The kernel whose devlink clients shall find [default: the newest]
    #[arg(long, value_name = "VERSION")]
    pub(crate) kernel: Option<String>,

    /// How the drivers lock: as today, or as they did in November 2021
    #[arg(long, value_enum, default_value_t = DriverLocking::Today)]
    pub(crate) driver_locking: DriverLocking,

    /// How clients receive: trapped looks to any client like netlink, all tells also those that use recv() when they were too slow, for
    /// a price that every socket pays, native is faster and suits clients that do not look at the sender's address family
    #[arg(long, value_enum, default_value_t = Receive::Trapped)]
    pub(crate) receive: Receive,

    /// How ports' network devices are named: as udev names them, or eth0, eth1 … as the bare kernel does
    #[arg(long, value_enum, default_value_t = NetdevNames::Udev)]
    pub(crate) netdev_names: NetdevNames,

    /// The machine's time: real, or virtual, on which no device ever makes anyone wait and which `userlink clock advance` moves on
    #[arg(long, value_enum, default_value_t = ClockKind::Real)]
    pub(crate) clock: ClockKind,

    /// Where firmware files are looked for before the kernel's own places, `/lib/firmware` the last of them
    #[arg(long, value_name = "DIR")]
    pub(crate) firmware: Option<PathBuf>,

    /// Write the kernel-style log to FILE when the command has ended
    #[arg(long, value_name = "FILE")]
    pub(crate) log: Option<PathBuf>,

    /// Write what clients and devlink say to each other to FILE, as `tcpdump -i nlmon0 -w FILE` would
    #[arg(long, value_name = "FILE")]
    pub(crate) capture: Option<PathBuf>,

    /// Write the observed lock graph to FILE, which `userlink lockdep merge` reads, when the command has ended
    #[arg(long, value_name = "FILE")]
    pub(crate) lock_graph: Option<PathBuf>,

    /// The command and its arguments [default: your shell]
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub(crate) command: Vec<OsString>,
}

/// Print the kernel-style log of the machine this shell runs on, or of the only one that runs.
#[derive(Debug, Args)]
pub(crate) struct Dmesg {
    /// Wait for new lines
    #[arg(short = 'w', long)]
    pub(crate) follow: bool,
}

/// Show the time of the machine this shell runs on, or move it on.
///
/// Prints the seconds since the machine started, as its log has them. Only a machine of `run --clock virtual` can be moved on:
/// grace periods of health reporters and timers of drivers then expire as if the time had passed.
#[derive(Debug, Args)]
pub(crate) struct Clock {
    #[command(subcommand)]
    pub(crate) action: Option<ClockAction>,
}

/// What to do with the machine's time.
#[derive(Debug, Subcommand)]
pub(crate) enum ClockAction {
    /// Move the time on
    Advance {
        /// By so many seconds; fractions are allowed
        #[arg(value_name = "SECONDS")]
        seconds: f64,
    },
}

/// Change a running machine.
///
/// `fault FAULT` adds a fault (see `userlink run --help`), `fault` lists them, `fault clear` ends them;
/// `vfs ADDRESS COUNT` gives a PCI function virtual ones; `fw-reset ADDRESS` is a firmware reset by another host;
/// `host ADDRESS vfs COUNT` is the host behind a DPU's function that writes its `sriov_numvfs`, and
/// `host ADDRESS driver unload` (or `load`) that it lets go of its physical function;
/// `syndrome FUNCTION NUMBER [fatal]` is one that the function's firmware raises.
#[derive(Debug, Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Ctl {
    /// What to change, and how
    #[arg(required = true, value_name = "WORD")]
    pub(crate) words: Vec<String>,
}

/// Print a built-in profile of a card, to be copied and changed.
#[derive(Debug, Args)]
pub(crate) struct Profile {
    /// connectx-7, connectx-6dx or bluefield-3
    #[arg(default_value = "connectx-7", value_name = "NAME")]
    pub(crate) name: String,
}

/// Print a firmware file for a card, for `devlink dev flash`.
///
/// A card on one of our machines takes it; a real one refuses it. `userlink firmware 28.42.1000 > DIR/new.mfa2`, then on a
/// machine of `run --firmware DIR`: `devlink dev flash pci/0000:00:09.0 file new.mfa2`.
#[derive(Debug, Args)]
pub(crate) struct Firmware {
    /// The version, like 28.42.1000; its first number is that of the card's family
    #[arg(value_name = "VERSION")]
    pub(crate) version: String,

    /// The card: a built-in profile or a file
    #[arg(long, default_value = "connectx-7", value_name = "PROFILE")]
    pub(crate) profile: String,
}

/// Load or unload a module of the machine this shell runs on.
#[derive(Debug, Args)]
pub(crate) struct Module {
    /// What to do
    #[arg(value_enum)]
    pub(crate) action: Action,

    /// The module's name
    pub(crate) name: String,
}

/// See [`Module::action`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    Load,
    Unload,
}

/// What to do with lock graphs.
#[derive(Debug, Subcommand)]
pub(crate) enum Lockdep {
    /// Find inversions of which each half was seen in another run, process or test
    Merge(Merge),
}

/// Find inversions of which each half was seen in another run, process or test.
///
/// A program that uses lockdep writes its graph at exit when LOCKDEP_GRAPH names a folder. Prints what is wrong, the worst
/// first. The exit status is 1 when there is a cycle, 2 when a file cannot be read.
#[derive(Debug, Args)]
pub(crate) struct Merge {
    /// Graph files, or folders of them
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,

    /// The least grade that counts: ordered, single-thread, gated or deadlock
    #[arg(long, value_name = "GRADE", default_value = "ordered", value_parser = ["ordered", "single-thread", "gated", "deadlock"])]
    pub(crate) from: String,

    /// Leave out what the list in FILE accepts
    #[arg(long, value_name = "FILE")]
    pub(crate) suppress: Option<PathBuf>,

    /// Also write JSON; `-` is standard output, here and below, and takes the place of the text
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Also write SARIF 2.1.0
    #[arg(long, value_name = "FILE")]
    pub(crate) sarif: Option<PathBuf>,

    /// Also write Graphviz
    #[arg(long, value_name = "FILE")]
    pub(crate) dot: Option<PathBuf>,

    /// Also write a page that shows it all
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,
}

/// See [`Run::driver_locking`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum DriverLocking {
    /// Per-device locks, notifiers that follow one device
    Today,
    /// A global notifier in the RoCE driver and one global mutex: the state of the origin's mail
    #[value(name = "2021")]
    November2021,
}

/// See [`Run::clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClockKind {
    Real,
    Virtual,
}

/// See [`Run::receive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Receive {
    Trapped,
    All,
    Native,
}

/// See [`Run::netdev_names`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum NetdevNames {
    Udev,
    Kernel,
}
