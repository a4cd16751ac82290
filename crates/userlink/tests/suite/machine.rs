//! Starting a machine for a test: who runs it, where, and what came of it.
//!
//! Tests run side by side and must leave nothing behind, so a machine that root starts gets a private network namespace,
//! mount namespace and `/run` first (`place.sh`): there `ip netns add n1` collides with nobody. The same script turns root
//! into an ordinary user, so that one test run by root covers both.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The device that `userlink run` plugs in when told nothing.
pub(crate) const DEVICE: &str = "pci/0000:00:09.0";

/// How long a machine may take before it counts as hung. Busy machines have been ten times slower than usual.
const PATIENCE: Duration = Duration::from_secs(180);

/// Who types `userlink run`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Who {
    Root,
    User,
}

/// A machine to be started: `userlink run OPTIONS -- sh -c SCRIPT`.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    who: Who,
    options: Vec<String>,
    environment: Vec<(String, String)>,
}

/// What a machine printed, and how it ended. For a command killed by a signal, `code` is 128 + the signal's number.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ran {
    /// The ends of standard output and standard error, for the message of a failed assertion.
    pub(crate) fn tail(&self) -> String {
        format!(
            "status {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.out, self.err
        )
    }

    /// This run, which must have succeeded.
    #[track_caller]
    pub(crate) fn good(self) -> Self {
        assert_eq!(self.code, 0, "{}", self.tail());
        assert!(!self.err.contains("panicked"), "{}", self.tail());
        self
    }
}

/// Says that the running test cannot run here.
pub(crate) fn skip(reason: &str) {
    let thread = std::thread::current();
    // Straight to the descriptor: the test harness captures only what `eprintln!` writes.
    writeln!(
        std::io::stderr(),
        "skipped: {}: {reason}",
        thread.name().unwrap_or("?")
    )
    .expect("standard error is open");
}

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A directory of the tests' own files.
fn tests(part: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(part)
}

/// Where compiled clients go.
fn built() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// The Python that has pyroute2, if `./x test` could make one.
fn venv() -> PathBuf {
    built().parent().expect("the target directory").join("venv")
}

/// Whether a private place can be made here; without that, root's tests would disturb each other.
fn can_isolate() -> bool {
    static ANSWER: OnceLock<bool> = OnceLock::new();
    *ANSWER.get_or_init(|| {
        Command::new("unshare")
            .args(["-mn", "--propagation", "private", "true"])
            .status()
            .is_ok_and(|s| s.success())
    })
}

/// Compiles `clients/c/NAME.c` once and returns its name under `$BUILT`.
#[track_caller]
pub(crate) fn compiled(name: &'static str) -> String {
    static ONE_AT_A_TIME: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _guard = ONE_AT_A_TIME
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let source = tests("clients/c").join(format!("{name}.c"));
    let made = built().join(name);
    let age = |path: &Path| path.metadata().and_then(|m| m.modified()).ok();
    if age(&made).is_none_or(|made| Some(made) < age(&source)) {
        let status = Command::new("gcc")
            .args(["-O1", "-Wall", "-Werror", "-static", "-pthread", "-o"])
            .arg(&made)
            .arg(&source)
            .status()
            .expect("gcc runs");
        assert!(status.success(), "gcc {name}.c");
    }
    format!("$BUILT/{name}")
}

impl Machine {
    /// A machine started by `who`, or `None` (said on standard error) where that is impossible.
    pub(crate) fn new(who: Who) -> Option<Self> {
        if who == Who::Root && !is_root() {
            skip("needs root");
            return None;
        }
        if is_root() && !can_isolate() {
            skip("root may not make namespaces here");
            return None;
        }
        let machine = Self {
            who,
            options: Vec::new(),
            environment: Vec::new(),
        };
        if who == Who::User && !machine.has_user_namespaces() {
            skip("user namespaces are refused here");
            return None;
        }
        Some(machine)
    }

    /// Whether an ordinary user may make namespaces here (containers and chroots often refuse it).
    fn has_user_namespaces(&self) -> bool {
        static ANSWER: OnceLock<bool> = OnceLock::new();
        *ANSWER.get_or_init(|| self.outside("unshare -Urmn true").code == 0)
    }

    /// The same with more options for `userlink run`.
    pub(crate) fn with(mut self, options: &[&str]) -> Self {
        self.options.extend(options.iter().map(ToString::to_string));
        self
    }

    /// The same with a variable in the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// A command that has the tests' environment and runs `arguments` where and as whom this machine runs.
    pub(crate) fn place(&self, arguments: &[&str]) -> Command {
        let binary = Path::new(env!("CARGO_BIN_EXE_userlink"));
        let bin = binary.parent().expect("a directory holds the binary");
        let mut command = if is_root() {
            let mut command = Command::new("unshare");
            command
                .args(["-mn", "--propagation", "private", "sh"])
                .arg(tests("place.sh"));
            command.arg(if self.who == Who::Root {
                "root"
            } else {
                "user"
            });
            command
        } else {
            let mut command = Command::new("sh");
            command.arg(tests("place.sh")).arg("here");
            command
        };
        command
            .env("BIN", bin)
            .env("CLIENTS", tests("clients"))
            .env("BUILT", built())
            .env("VENV", venv());
        command.env("GOLDEN", tests("golden")).env("DEVICE", DEVICE);
        command
            .env_remove("USERLINK_CTL")
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("LC_ALL", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.args(arguments);
        // A process group of its own: a hung machine is ended as a whole, and a signal for it hits nobody else.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `userlink run OPTIONS -- ARGUMENTS`, not yet started.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut all = vec!["userlink", "run"];
        all.extend(self.options.iter().map(String::as_str));
        if !arguments.is_empty() {
            all.push("--");
            all.extend(arguments);
        }
        self.place(&all)
    }

    /// Runs `sh -c SCRIPT` on this machine, `set -e` not included.
    #[track_caller]
    pub(crate) fn run(&self, script: &str) -> Ran {
        self.exec(&["sh", "-c", script])
    }

    /// Runs a command on this machine.
    #[track_caller]
    pub(crate) fn exec(&self, arguments: &[&str]) -> Ran {
        finish(self.command(arguments).spawn().expect("the machine starts"))
    }

    /// Runs a Python client (`clients/python/NAME`) on this machine.
    #[track_caller]
    pub(crate) fn python(&self, client: &str) -> Ran {
        self.run(&format!("exec python3 $CLIENTS/python/{client}"))
    }

    /// Runs a command where the machine would run, without any machine.
    #[track_caller]
    pub(crate) fn outside(&self, script: &str) -> Ran {
        finish(
            self.place(&["sh", "-c", script])
                .spawn()
                .expect("the place opens"),
        )
    }
}

/// Waits for the end of `child`, with all that it printed; a child that hangs is killed, and the test fails.
#[track_caller]
pub(crate) fn finish(mut child: Child) -> Ran {
    let group = rustix::process::Pid::from_child(&child);
    let out = drain(child.stdout.take());
    let err = drain(child.stderr.take());
    let start = Instant::now();
    let mut hung = false;
    let status = loop {
        if let Some(status) = child.try_wait().expect("a child can be waited for") {
            // Whoever still holds the pipes keeps them open: readers that do not end are a leaked process.
            while !(out.is_finished() && err.is_finished()) && start.elapsed() < PATIENCE {
                std::thread::sleep(Duration::from_millis(2));
            }
            hung |= !(out.is_finished() && err.is_finished());
            break status;
        }
        if start.elapsed() > PATIENCE {
            hung = true;
            break std::process::ExitStatus::from_raw(9);
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    if hung {
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = child.wait();
    }
    let ran = Ran {
        code: status
            .code()
            .unwrap_or_else(|| 128 + status.signal().unwrap_or(0)),
        out: out.join().expect("the reader of standard output ends"),
        err: err.join().expect("the reader of standard error ends"),
    };
    assert!(
        !hung,
        "the machine, or a process that it left behind, hangs: {}",
        ran.tail()
    );
    ran
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// The output of a tool of the build (`nm`, `go`).
#[track_caller]
pub(crate) fn tool(command: &mut Command) -> Output {
    let output = command
        .output()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    output
}
