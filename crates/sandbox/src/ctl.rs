//! The control socket of a running machine: how `userlink dmesg` and its kin reach the kernel process.
//!
//! The socket lies in a folder of its own, `${TMPDIR:-/tmp}/userlink-UID/PID/ctl`, that only its owner may enter, and its
//! path is in [`VARIABLE`] for the whole process tree. Where another PID namespace has a machine of that number, it is `PID.N`. Only the owner and root are answered (`SO_PEERCRED`). A request is
//! one line, the verb and its arguments; the answer is `ok` and a newline, then what the verb writes until the end of
//! file, or `error`, a space, and one line of text.

use std::collections::HashMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use lockdep::Mutex;
use rustix::fs::{FlockOperation, flock};

use crate::client::lock;
use crate::error::Error;

/// The environment variable that holds the control socket's path.
pub const VARIABLE: &str = "USERLINK_CTL";

/// The longest request line, in bytes.
const LONGEST_LINE: u64 = 4096;

/// Whether this process is inside a sandbox that still runs.
pub(crate) fn inside() -> bool {
    std::env::var_os(VARIABLE).is_some_and(|path| UnixStream::connect(path).is_ok())
}

/// The private folder of one machine; removed in the end.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// A child that inherits the value must not remove it.
    owner: u32,
    /// The folder itself, locked (`flock(2)`) as long as the machine lives: others see by it whether it does, also from another PID
    /// namespace.
    _lives: File,
}

impl Folder {
    /// Makes `userlink-UID/PID`, and checks that nobody else can get at it. Where somebody else has that name, as the
    /// real root has that of a user namespace's root, it is `userlink-UID-PID/PID`.
    pub(crate) fn create() -> Result<Self, Error> {
        let uid = rustix::process::geteuid().as_raw();
        let pid = std::process::id();
        let top = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        let usual = top.join(format!("userlink-{uid}"));
        let other = top.join(format!("userlink-{uid}-{pid}"));
        Self::create_in(&usual, uid)
            .or_else(|| Self::create_in(&other, uid))
            .ok_or(Error::ControlFolder { path: usual, uid })
    }

    fn create_in(ours: &Path, uid: u32) -> Option<Self> {
        let owner = std::process::id();
        let mut namesakes = 0;
        // A machine that ends takes the user's folder with it if it was the last: then once more.
        for _ in 0..100 {
            let _ = fs::DirBuilder::new().mode(0o700).create(ours);
            // Not followed: a link that somebody else put there would lead into a folder of theirs.
            match fs::symlink_metadata(ours) {
                Ok(folder)
                    if folder.is_dir() && folder.uid() == uid && folder.mode() & 0o077 == 0 => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                _ => return None,
            }
            sweep(ours);
            let path = ours.join(match namesakes {
                0 => owner.to_string(),
                more => format!("{owner}.{more}"),
            });
            match fs::DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    namesakes += 1;
                    continue;
                }
                Err(_) => return None,
                Ok(()) => {}
            }
            let Ok(lives) = File::open(&path) else {
                continue; // somebody has swept it before it was locked
            };
            let _ = flock(&lives, FlockOperation::LockExclusive);
            let there =
                fs::metadata(&path).and_then(|now| Ok(now.ino() == lives.metadata()?.ino()));
            if there.unwrap_or(false) {
                return Some(Self {
                    path,
                    owner,
                    _lives: lives,
                });
            }
        }
        None
    }

    /// Writes a file beside the control socket, and says where.
    pub(crate) fn write(&self, name: &'static str, text: &str) -> io::Result<PathBuf> {
        let path = self.path.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }

    /// Where the control socket is.
    pub(crate) fn socket(&self) -> PathBuf {
        self.path.join("ctl")
    }
}

/// What a folder has in it.
const FILES: [&str; 2] = ["ctl", "modprobe.conf"];

/// Removes what machines that were killed have left.
fn sweep(ours: &Path) {
    for entry in fs::read_dir(ours).into_iter().flatten().flatten() {
        let path = entry.path();
        let Ok(folder) = File::open(&path) else {
            continue;
        };
        if flock(&folder, FlockOperation::NonBlockingLockExclusive).is_ok() {
            remove(&path);
        }
    }
}

fn remove(path: &Path) {
    for file in FILES {
        let _ = fs::remove_file(path.join(file));
    }
    let _ = fs::remove_dir(path);
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.owner == std::process::id() {
            remove(&self.path);
            if let Some(ours) = self.path.parent() {
                let _ = fs::remove_dir(ours); // only if no other machine is there
            }
        }
    }
}

/// Answers one verb: gets the words behind it and writes the answer. An error is one line of text.
pub type Verb = dyn Fn(&[&str], &mut dyn Write) -> Result<(), String> + Send + Sync;

/// The verbs of a machine.
#[derive(Default)]
pub struct Server {
    verbs: Mutex<HashMap<&'static str, Arc<Verb>>>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(lock(&self.verbs).keys()).finish()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self {
            verbs: Mutex::named("sandbox_verbs", HashMap::new()),
        }
    }

    /// Answers `name` from now on with `verb`, on a thread of its own for each request.
    pub fn verb(
        &self,
        name: &'static str,
        verb: impl Fn(&[&str], &mut dyn Write) -> Result<(), String> + Send + Sync + 'static,
    ) {
        lock(&self.verbs).insert(name, Arc::new(verb));
    }

    /// Listens at `path`.
    pub(crate) fn start(self: &Arc<Self>, path: &Path) -> io::Result<()> {
        let listener = UnixListener::bind(path)?;
        let server = Arc::clone(self);
        let uid = rustix::process::geteuid();
        let thread = std::thread::Builder::new().name("ctl".into());
        thread.spawn(move || {
            for stream in listener.incoming().flatten() {
                let allowed = rustix::net::sockopt::socket_peercred(&stream)
                    .is_ok_and(|peer| peer.uid == uid || peer.uid.is_root());
                let server = Arc::clone(&server);
                if allowed {
                    let thread = std::thread::Builder::new().name("ctl/request".into());
                    let _ = thread.spawn(move || server.answer(&stream));
                }
            }
        })?;
        Ok(())
    }

    fn answer(&self, mut stream: &UnixStream) {
        let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
        let mut line = String::new();
        if BufReader::new(stream.take(LONGEST_LINE))
            .read_line(&mut line)
            .is_err()
        {
            return;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let verb = words
            .first()
            .and_then(|name| lock(&self.verbs).get(name).cloned());
        let mut answer = Answer {
            stream,
            begun: false,
        };
        let result = match verb {
            Some(verb) => verb(&words[1..], &mut answer),
            None => Err(format!("unknown request `{}`", line.trim_end())),
        };
        // The other side may have left; that is its own affair.
        let _ = match result {
            Ok(()) => answer.begin(),
            // Behind a part of an answer, an error would look like more of it.
            Err(_) if answer.begun => Ok(()),
            Err(text) => writeln!(stream, "error {}", text.replace('\n', " ")),
        };
        let _ = stream.shutdown(Shutdown::Both);
    }
}

/// An answer on its way: what a verb writes goes out as it is written, behind the line that says `ok`.
struct Answer<'a> {
    stream: &'a UnixStream,
    begun: bool,
}

impl Answer<'_> {
    fn begin(&mut self) -> io::Result<()> {
        if !self.begun {
            self.begun = true;
            self.stream.write_all(b"ok\n")?;
        }
        Ok(())
    }
}

impl Write for Answer<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.begin()?;
        self.stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.begin()?;
        self.stream.flush()
    }
}

/// Where the machine of this process tree listens, or the only machine of this user.
///
/// # Errors
/// [`Error::Refused`] with a remedy when there is none, or more than one.
pub fn locate() -> Result<PathBuf, Error> {
    if let Some(path) = std::env::var_os(VARIABLE) {
        return Ok(path.into());
    }
    let uid = rustix::process::geteuid().as_raw();
    let top = std::env::var_os("TMPDIR").map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    let machines: Vec<PathBuf> = fs::read_dir(top.join(format!("userlink-{uid}")))
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("ctl")))
        .filter(|path| UnixStream::connect(path).is_ok())
        .collect();
    match machines.as_slice() {
        [path] => Ok(path.clone()),
        [] => Err(Error::Refused(
            "no machine is running: start one with `userlink run`, or run this inside it".into(),
        )),
        _ => Err(Error::Refused(format!(
            "{} machines are running: set {VARIABLE} to the one you mean, e.g. {}",
            machines.len(),
            machines[0].display()
        ))),
    }
}

/// Sends `line` to the machine that listens at `path` and copies its answer to `out`.
///
/// # Errors
/// [`Error::Control`]: it cannot be reached, or the answer cannot be copied. [`Error::Refused`]: it says no.
pub fn request(path: &Path, line: &str, out: &mut dyn Write) -> Result<(), Error> {
    let failed = |source| Error::Control {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    writeln!(stream, "{line}").map_err(failed)?;
    let mut reader = BufReader::new(stream);
    let mut status = String::new();
    reader.read_line(&mut status).map_err(failed)?;
    match status.trim_end().split_once(' ') {
        None if status == "ok\n" => {
            io::copy(&mut reader, out).map_err(failed)?;
            Ok(())
        }
        Some(("error", text)) => Err(Error::Refused(text.to_owned())),
        _ => Err(failed(io::ErrorKind::InvalidData.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_another_pid_namespace_keeps_its_folder() {
        let uid = rustix::process::geteuid().as_raw();
        let ours = std::env::temp_dir().join(format!("userlink-folders-{}", std::process::id()));
        let [one, other] = [(); 2].map(|()| Folder::create_in(&ours, uid).unwrap());
        assert_ne!(one.path, other.path);
        fs::write(one.socket(), "").unwrap();
        // It was killed.
        let killed = ours.join("4000000");
        fs::create_dir(&killed).unwrap();
        fs::write(killed.join("ctl"), "").unwrap();
        let last = Folder::create_in(&ours, uid).unwrap();
        assert!(one.socket().exists() && !killed.exists());
        drop((one, other, last));
        assert!(!ours.exists());
    }

    #[test]
    fn answers_verbs_and_refuses_others() {
        let folder = Folder::create().unwrap();
        let server = Arc::new(Server::new());
        server.verb("echo", |words, out| {
            writeln!(out, "{}", words.join("+")).map_err(|error| error.to_string())
        });
        server.verb("fail", |_, _| Err("two\nlines".into()));
        server.start(&folder.socket()).unwrap();
        let ask = |line| {
            let mut out = Vec::new();
            request(&folder.socket(), line, &mut out).map(|()| String::from_utf8(out).unwrap())
        };
        assert_eq!(ask("echo a b").unwrap(), "a+b\n");
        assert_eq!(ask("fail").unwrap_err().to_string(), "two lines");
        assert_eq!(
            ask("what is").unwrap_err().to_string(),
            "unknown request `what is`"
        );
        let socket = folder.socket();
        drop(folder);
        assert!(request(&socket, "echo", &mut Vec::new()).is_err());
    }
}
