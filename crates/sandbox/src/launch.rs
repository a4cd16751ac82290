//! Starts the processes of a sandbox and stays until the command has ended.
//!
//! ```text
//! P  supervisor    the process that called `run`: one thread, answers trapped calls, passes signals on
//! ├─ K  kernel     runs the machine; forked first, in a session of its own, dies with P
//! └─ C  command    installs the filter, hands the listener to P, executes when K is ready
//! ```
//! P ends when C ends, with C's status. Processes that C leaves behind lose the machine then: the listener closes with P,
//! and each further trapped call of theirs fails with `ENOSYS`. K says its last words when P closes its side of the
//! connection, and is killed if it has not within a minute.

use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::error::Error;
use crate::kernel::{self, KernelSide};
use crate::options::{Options, Outcome};
use crate::service::Service;
use crate::signals::{self, Signal, Signals};
use crate::slots::Slots;
use crate::supervisor::{Event, Settings, Supervisor};
use crate::sys::{self, Fork};
use crate::{ctl, dummy, filter, mounts, userns};

/// Runs `command` in a new sandbox whose kernel process runs `machine`.
///
/// `machine` builds everything in the kernel process; its error text is the user's. The calling process must have only
/// one thread.
///
/// # Errors
/// Whatever keeps the machine or the command from starting; see [`Error`]. Once the command runs, the result is `Ok`.
pub fn run<M>(options: Options, command: &[OsString], machine: M) -> Result<Outcome, Error>
where
    M: FnOnce(&KernelSide) -> Result<Arc<dyn Service>, String>,
{
    check_machine()?;
    let words = words(command)?;
    let folder = ctl::Folder::create()?;
    let mut options = options;
    options
        .environment
        .extend(modprobe(&folder, &options.modprobe));
    if userns::is_privileged() {
        // Where the machine does not allow it, its files cannot be mounted, and then it says so.
        let _ = mounts::own_sys();
    } else {
        userns::enter()?;
    }
    let files = sys::raise_open_files();
    let slots = Slots::new().map_err(Error::system("map shared memory"))?;
    let signals = Signals::block().map_err(Error::system("block signals"))?;
    let (ours, theirs) = sys::seqpacket_pair().map_err(Error::system("make a socket pair"))?;

    let kernel = match sys::fork().map_err(Error::system("fork"))? {
        Fork::Child => {
            drop(ours);
            signals.restore(false);
            become_kernel(&theirs, slots, folder.socket(), machine);
        }
        Fork::Parent(pid) => pid,
    };
    drop(theirs);
    let kernel = Kernel { pid: kernel };

    let (to_command, from_parent) =
        sys::seqpacket_pair().map_err(Error::system("make a socket pair"))?;
    let command_pid = match sys::fork().map_err(Error::system("fork"))? {
        Fork::Child => {
            drop((to_command, ours));
            signals.restore(true);
            if let Some(files) = files {
                sys::restore_open_files(files);
            }
            let socket = folder.socket();
            become_command(&from_parent, &words, &options, socket);
        }
        Fork::Parent(pid) => pid,
    };
    drop(from_parent);
    let command_process = Command {
        pid: command_pid,
        name: command[0].to_string_lossy().into_owned(),
    };

    let listener = command_process.listener(&to_command)?;
    let settings = Settings {
        groups: options.groups,
        slow_requests: options.slow_requests,
        dummy0: options.dummy0,
    };
    let files = kernel.await_ready(&ours)?;
    command_process.check_inspectable()?;
    let mut supervisor = Supervisor::new(settings, listener, ours, slots, files)?;
    command_process.go(&to_command)?;
    drop(to_command);

    let descriptor = signals
        .descriptor()
        .map_err(Error::system("read signals"))?;
    supervisor
        .watch(descriptor.as_fd(), Event::Signal)
        .map_err(Error::system("watch signals"))?;
    let (status, mut kernel_died) = attend(&mut supervisor, &descriptor, &kernel, command_pid)?;
    let left_behind = !supervisor.is_deserted();
    if let Some(connection) = supervisor.into_kernel() {
        kernel_died |= kernel.end(&connection);
    }
    drop(folder);
    let counters = slots.counters();
    let count = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    Ok(Outcome {
        status,
        sockets: count(&counters.sockets),
        requests: count(&counters.requests),
        trapped: (count(&counters.notifications), count(&counters.continued)),
        put_back: count(&counters.put_back),
        kernel_died,
        left_behind,
    })
}

/// What can be known before anything is done.
fn check_machine() -> Result<(), Error> {
    if ctl::inside() {
        return Err(Error::Inside(ctl::VARIABLE));
    }
    let release = rustix::system::uname();
    let release = release.release().to_string_lossy();
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) if (major, minor) < (5, 14) => {
            Err(Error::OldKernel(release.into_owned()))
        }
        _ => Ok(()),
    }
}

/// The variable by which `modprobe` finds its additional configuration. It then no longer looks where it usually does, so
/// those places are named, too.
fn modprobe(folder: &ctl::Folder, text: &str) -> Option<(OsString, OsString)> {
    const NAME: &str = "MODPROBE_OPTIONS";
    const USUAL: [&str; 5] = [
        "/etc/modprobe.d",
        "/run/modprobe.d",
        "/usr/local/lib/modprobe.d",
        "/usr/lib/modprobe.d",
        "/lib/modprobe.d",
    ];
    if text.is_empty() {
        return None;
    }
    // Without it `modprobe` asks the real kernel, and fails: no more than a user of a small container is used to.
    let ours = folder.write("modprobe.conf", text).ok()?;
    let mut places: Vec<PathBuf> = USUAL.iter().map(PathBuf::from).collect();
    places.retain(|place| place.is_dir());
    places.push(ours);
    let mut options = std::env::var_os(NAME).unwrap_or_default();
    for place in places {
        // An empty word would be taken for the name of a module.
        options.push(if options.is_empty() { "-C " } else { " -C " });
        options.push(place);
    }
    Some((NAME.into(), options))
}

fn words(command: &[OsString]) -> Result<Vec<CString>, Error> {
    let bad = |source| Error::Command {
        command: command
            .first()
            .map_or_else(String::new, |word| word.to_string_lossy().into_owned()),
        source,
    };
    if command.is_empty() {
        return Err(bad(io::Error::from(io::ErrorKind::NotFound)));
    }
    command
        .iter()
        .map(|word| CString::new(word.clone().into_vec()).map_err(|error| bad(error.into())))
        .collect()
}

/// The kernel process, from P's side.
struct Kernel {
    pid: libc::pid_t,
}

impl Kernel {
    /// Waits until the machine is built. The result is the root of the file system that it serves, if it does.
    fn await_ready(&self, control: &OwnedFd) -> Result<Option<OwnedFd>, Error> {
        let mut text = [0; 4096];
        let mut received = loop {
            match sys::recv_message(control.as_fd(), &mut text, 0) {
                Err(Errno::INTR) => {}
                Ok(received) => break received,
                Err(_) => break sys::Received::default(),
            }
        };
        match &text[..received.length.min(text.len())] {
            b"ready" => Ok(received.fds.pop()),
            [] => Err(Error::KernelDied(self.how_it_ended())),
            text => Err(Error::Machine(String::from_utf8_lossy(text).into_owned())),
        }
    }

    fn how_it_ended(&self) -> String {
        match sys::wait(self.pid, 0) {
            Ok(Some(status)) if libc::WIFSIGNALED(status) => {
                format!("killed by signal {}", libc::WTERMSIG(status))
            }
            Ok(Some(status)) => format!("exit status {}", libc::WEXITSTATUS(status)),
            _ => "unknown status".into(),
        }
    }

    /// Tells the process that the command has ended, and gives it time for its last word, which comes after what it has to
    /// write. Whether it had ended before: the real kernel may be slow to close what a killed process had open, but there is no
    /// word then.
    fn end(&self, connection: &OwnedFd) -> bool {
        let _ = rustix::net::shutdown(connection, rustix::net::Shutdown::Write);
        let mut wait = [PollFd::new(connection, PollFlags::IN)];
        // On a busy machine it may take seconds to write a graph of locks; without a bound one that hangs would never end.
        let patience = Timespec {
            tv_sec: 60,
            tv_nsec: 0,
        };
        if !poll(&mut wait, Some(&patience)).is_ok_and(|ready| ready > 0) {
            let _ = sys::kill(self.pid, libc::SIGKILL);
            eprintln!(
                "userlink: the machine did not end within {} seconds and was killed; a log or lock graph may be missing",
                patience.tv_sec
            );
        } else if matches!(
            sys::recv(connection.as_fd(), &mut [0; 4], 0),
            Ok(0) | Err(_)
        ) {
            self.say_that_it_ended();
            return true;
        }
        // It ends by itself now. Waiting would be waiting for the real kernel to remove its network devices.
        let _ = sys::wait(self.pid, libc::WNOHANG);
        false
    }

    fn say_that_it_ended(&self) {
        eprintln!("userlink: {}", Error::KernelDied(self.how_it_ended()));
    }
}

/// The command's process, from P's side.
struct Command {
    pid: libc::pid_t,
    name: String,
}

/// What C says to P instead of handing over a listener.
#[derive(Clone, Copy)]
enum Trouble {
    Nested = 1,
    NoSeccomp,
    Seccomp,
    Exec,
}

impl Command {
    fn error(&self, trouble: u8, errno: i32) -> Error {
        let errno = Errno::from_raw_os_error(errno.max(1));
        match trouble {
            t if t == Trouble::Nested as u8 => Error::Nested,
            t if t == Trouble::NoSeccomp as u8 => Error::NoSeccomp,
            t if t == Trouble::Exec as u8 => Error::Command {
                command: self.name.clone(),
                source: errno.into(),
            },
            _ => Error::Seccomp(errno),
        }
    }

    /// Takes the listener from the child, which has installed the filter.
    fn listener(&self, channel: &OwnedFd) -> Result<OwnedFd, Error> {
        let mut bytes = [0; 5];
        let mut received = sys::recv_message(channel.as_fd(), &mut bytes, 0)
            .map_err(Error::system("hear from the command's process"))?;
        let [trouble, errno @ ..] = bytes;
        received
            .fds
            .pop()
            .ok_or_else(|| self.error(trouble, i32::from_ne_bytes(errno)))
    }

    /// Whether this machine lets us look into the tree's processes at all.
    fn check_inspectable(&self) -> Result<(), Error> {
        let tid = self.pid as u32;
        let checked = sys::pidfd_open(tid, false).and_then(|pidfd| {
            // Descriptor -1 never exists, so EBADF says that only it is missing.
            match sys::pidfd_getfd(pidfd.as_fd(), -1) {
                Ok(_) | Err(Errno::BADF) => sys::check_memory(tid),
                Err(errno) => Err(errno),
            }
        });
        checked.map_err(Error::NoPtrace)
    }

    /// Lets the child execute its program and waits until it has, or could not.
    fn go(&self, channel: &OwnedFd) -> Result<(), Error> {
        sys::send(channel.as_fd(), b"g", 0).map_err(Error::system("start the command"))?;
        let mut bytes = [0; 5];
        let length = loop {
            match sys::recv(channel.as_fd(), &mut bytes, 0) {
                Err(Errno::INTR) => {}
                Ok(length) => break length,
                Err(_) => break 0,
            }
        };
        if length == 0 {
            return Ok(()); // executing has closed the channel
        }
        let _ = sys::wait(self.pid, 0);
        let [trouble, errno @ ..] = bytes;
        Err(self.error(trouble, i32::from_ne_bytes(errno)))
    }
}

/// P's loop. Returns the command's status, and whether the kernel process ended first.
fn attend(
    supervisor: &mut Supervisor,
    signals: &OwnedFd,
    kernel: &Kernel,
    command: libc::pid_t,
) -> Result<(i32, bool), Error> {
    let mut kernel_died = false;
    loop {
        let events = supervisor
            .step()
            .map_err(Error::system("wait for trapped calls"))?;
        for event in events {
            match event {
                Event::Kernel => kernel_died |= kernel_ended(supervisor, kernel),
                Event::Signal => {
                    while let Some(signal) = signals::next(signals) {
                        if let Signal::PassOn(signal) = signal {
                            let _ = sys::kill(command, signal);
                        }
                    }
                    if let Ok(Some(status)) = sys::wait(command, libc::WNOHANG) {
                        let status = if libc::WIFSIGNALED(status) {
                            128 + libc::WTERMSIG(status)
                        } else {
                            libc::WEXITSTATUS(status)
                        };
                        // Both may have ended in the same moment, and what came first is not known.
                        kernel_died |= kernel_ended(supervisor, kernel);
                        return Ok((status, kernel_died));
                    }
                }
            }
        }
    }
}

/// Whether the kernel process has ended, which is then said. It never says anything after `ready`: a word is its end.
fn kernel_ended(supervisor: &mut Supervisor, kernel: &Kernel) -> bool {
    let ended = supervisor.kernel().is_some_and(|connection| {
        let mut wait = [PollFd::new(&connection, PollFlags::IN)];
        let now = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        poll(&mut wait, Some(&now)).is_ok_and(|ready| ready > 0)
    });
    if ended {
        supervisor.kernel_gone();
        kernel.say_that_it_ended();
    }
    ended
}

/// Runs in K. Never returns.
fn become_kernel<M>(control: &OwnedFd, slots: Slots, socket: PathBuf, machine: M) -> !
where
    M: FnOnce(&KernelSide) -> Result<Arc<dyn Service>, String>,
{
    // Out of reach of the terminal's signals, and never without its supervisor.
    let _ = rustix::process::setsid();
    let _ = sys::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as libc::c_ulong);
    let built = KernelSide::new(slots)
        .map_err(|error| error.to_string())
        .and_then(|side| Ok((machine(&side)?, side)));
    let built = built.and_then(|(service, side)| {
        let listening = side.control.start(&socket);
        listening.map_err(|error| format!("cannot listen at {}: {error}", socket.display()))?;
        Ok((service, side))
    });
    let (service, side) = match built {
        Ok(built) => built,
        Err(text) => {
            let _ = sys::send(control.as_fd(), text.as_bytes(), 0);
            sys::exit_now(1);
        }
    };
    let status = match kernel::serve(control, &side, slots, service) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("userlink: {error}");
            1
        }
    };
    sys::exit_now(status);
}

/// Runs in C. Never returns.
fn become_command(
    channel: &OwnedFd,
    words: &[CString],
    options: &Options,
    control_socket: PathBuf,
) -> ! {
    let fail = |trouble: Trouble, errno: Errno| -> ! {
        let mut bytes = [trouble as u8, 0, 0, 0, 0];
        bytes[1..].copy_from_slice(&errno.raw_os_error().to_ne_bytes());
        let _ = sys::send(channel.as_fd(), &bytes, 0);
        sys::exit_now(127);
    };
    for (name, value) in &options.environment {
        // SAFETY: this process has one thread.
        unsafe { std::env::set_var(name, value) };
    }
    // SAFETY: as above.
    unsafe { std::env::set_var(ctl::VARIABLE, control_socket) };
    let wanted = filter::Wanted {
        receive: options.receive,
        dummies: dummy::may_be_missing(),
    };
    match filter::install(wanted) {
        Ok(listener) => {
            let sent = sys::send_with_fds(channel.as_fd(), &[0; 5], &[listener.as_fd()]);
            if sent.is_err() {
                sys::exit_now(127);
            }
            // The listener must not stay here: a process could answer its own calls.
            drop(listener);
        }
        Err(Error::Nested) => fail(Trouble::Nested, Errno::BUSY),
        Err(Error::NoSeccomp) => fail(Trouble::NoSeccomp, Errno::NOSYS),
        Err(Error::Seccomp(errno)) => fail(Trouble::Seccomp, errno),
        Err(_) => fail(Trouble::Seccomp, Errno::IO),
    }
    // Nobody serves trapped calls yet, so this must not be one.
    match rustix::io::read(channel, &mut [0]) {
        Ok(1) => {}
        _ => sys::exit_now(127), // the machine could not be built
    }
    fail(Trouble::Exec, sys::exec(words))
}
