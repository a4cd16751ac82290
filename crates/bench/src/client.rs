//! The client of a measurement: one process inside (or outside) a machine that does what it is told, a short round at a time.
//!
//! It reads `JOB COUNT` lines from standard input and answers each with the nanoseconds of one call. [`Client`] is the other
//! side of those pipes. Requests carry no `NLM_F_ACK`, so that a round trip is one send and one receive, like the echo's.

use std::io::{BufRead as _, BufReader, IoSliceMut, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvFlags, SendFlags, SocketFlags, SocketType,
};

use crate::stats::{each, together};

/// The controller's family id, its `GETFAMILY` command, and devlink's `GET`.
const GENL_ID_CTRL: u16 = 16;
const CTRL_CMD_GETFAMILY: u8 = 3;
const CTRL_ATTR_FAMILY_ID: u16 = 1;
const CTRL_ATTR_FAMILY_NAME: u16 = 2;
const DEVLINK_CMD_GET: u8 = 1;
const DEVLINK_ATTR_BUS_NAME: u16 = 1;
const DEVLINK_ATTR_DEV_NAME: u16 = 2;
const NLMSG_ERROR: u16 = 2;
const NLM_F_REQUEST: u16 = 1;

/// A string attribute.
fn put(message: &mut Vec<u8>, attribute: u16, text: &str) {
    let length = u16::try_from(4 + text.len() + 1).expect("the names here are short");
    message.extend(length.to_ne_bytes());
    message.extend(attribute.to_ne_bytes());
    message.extend(text.as_bytes());
    message.push(0);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// A request with string attributes, its sequence number left 0.
fn request(family: u16, command: u8, attributes: &[(u16, &str)]) -> Vec<u8> {
    let mut message = vec![0; 16];
    message.extend([command, 1, 0, 0]);
    for (number, text) in attributes {
        put(&mut message, *number, text);
    }
    let length = u32::try_from(message.len()).expect("the requests here are short");
    message[0..4].copy_from_slice(&length.to_ne_bytes());
    message[4..6].copy_from_slice(&family.to_ne_bytes());
    message[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    message
}

/// A bound generic netlink socket.
struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    fn open() -> Result<Self> {
        let fd = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::RAW,
            SocketFlags::CLOEXEC,
            Some(netlink::GENERIC),
        )
        .context("socket(AF_NETLINK, SOCK_RAW, NETLINK_GENERIC)")?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0)).context("bind")?;
        Ok(Self {
            fd,
            sequence: 0,
            buffer: vec![0; 32768],
        })
    }

    /// Sends `message` and receives its answer, a reply and no error.
    fn trip(&mut self, message: &mut [u8]) -> Result<&[u8]> {
        self.sequence += 1;
        message[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        rustix::net::send(&self.fd, message, SendFlags::empty()).context("send")?;
        let mut ancillary = RecvAncillaryBuffer::default();
        let got = rustix::net::recvmsg(
            &self.fd,
            &mut [IoSliceMut::new(&mut self.buffer)],
            &mut ancillary,
            RecvFlags::empty(),
        )
        .context("recvmsg")?;
        let reply = &self.buffer[..got.bytes];
        ensure!(reply.len() >= 20, "a reply of {} bytes", reply.len());
        let field = |at: usize| u16::from_ne_bytes([reply[at], reply[at + 1]]);
        if field(4) == NLMSG_ERROR {
            let error = i32::from_ne_bytes([reply[16], reply[17], reply[18], reply[19]]);
            bail!("{}", std::io::Error::from_raw_os_error(-error));
        }
        ensure!(
            reply[8..12] == self.sequence.to_ne_bytes(),
            "an answer to another request"
        );
        Ok(reply)
    }

    /// The id of the family `name`.
    fn family(&mut self, name: &str) -> Result<u16> {
        let mut message = request(
            GENL_ID_CTRL,
            CTRL_CMD_GETFAMILY,
            &[(CTRL_ATTR_FAMILY_NAME, name)],
        );
        let reply = self
            .trip(&mut message)
            .with_context(|| format!("no family {name}"))?;
        let mut at = 20;
        while at + 6 <= reply.len() {
            let field = |at: usize| u16::from_ne_bytes([reply[at], reply[at + 1]]);
            if field(at + 2) == CTRL_ATTR_FAMILY_ID {
                return Ok(field(at + 4));
            }
            at += usize::from(field(at)).next_multiple_of(4).max(4);
        }
        bail!("the family {name} has no id")
    }
}

/// Serves jobs until standard input ends.
pub(crate) fn serve() -> Result<()> {
    let mut socket = Socket::open()?;
    let mut devlink = None;
    let zero = std::fs::File::open("/dev/zero")?;
    let (one, other) = rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (job, count) = line.split_once(' ').context("a line is JOB COUNT")?;
        let count = count.parse()?;
        let nanoseconds = match job {
            "devlink" => {
                let family = match devlink {
                    Some(family) => family,
                    None => *devlink.insert(socket.family("devlink")?),
                };
                let device =
                    std::env::var("DEVICE").unwrap_or_else(|_| "pci/0000:00:09.0".to_owned());
                let (bus, name) = device.split_once('/').context("DEVICE is BUS/NAME")?;
                let attributes = [(DEVLINK_ATTR_BUS_NAME, bus), (DEVLINK_ATTR_DEV_NAME, name)];
                let mut message = request(family, DEVLINK_CMD_GET, &attributes);
                each(count, || socket.trip(&mut message).map(|_| ()))?
            }
            "controller" => {
                let mut message = request(
                    GENL_ID_CTRL,
                    CTRL_CMD_GETFAMILY,
                    &[(CTRL_ATTR_FAMILY_NAME, "nlctrl")],
                );
                each(count, || socket.trip(&mut message).map(|_| ()))?
            }
            "getppid" => together(count, || {
                std::hint::black_box(rustix::process::getppid());
                anyhow::Ok(())
            })?,
            "read" => together(count, || {
                let mut byte = [0; 1];
                rustix::io::read(&zero, &mut byte)?;
                anyhow::Ok(())
            })?,
            "recvmsg" => together(count, || {
                rustix::net::send(&one, b"x", SendFlags::empty())?;
                let mut byte = [0; 1];
                let mut ancillary = RecvAncillaryBuffer::default();
                rustix::net::recvmsg(
                    &other,
                    &mut [IoSliceMut::new(&mut byte)],
                    &mut ancillary,
                    RecvFlags::empty(),
                )?;
                anyhow::Ok(())
            })?,
            _ => bail!("unknown job {job}"),
        };
        println!("{nanoseconds:.1}");
    }
    Ok(())
}

/// A client process and the pipes to it.
#[derive(Debug)]
pub(crate) struct Client {
    child: Child,
    jobs: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Client {
    /// Starts `bench client`, behind `userlink run OPTIONS --` if that is given.
    pub(crate) fn start(machine: Option<(&std::path::Path, &[&str])>) -> Result<Self> {
        let program = std::env::current_exe().context("this program's own path")?;
        let mut command = match machine {
            None => Command::new(&program),
            Some((userlink, options)) => {
                let mut command = Command::new(userlink);
                command.arg("run").args(options).arg("--").arg(&program);
                command
            }
        };
        // The machine's closing line is no part of the table.
        let mut child = command
            .arg("client")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{command:?}"))?;
        let jobs = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().expect("piped above"));
        Ok(Self {
            child,
            jobs,
            answers,
        })
    }

    /// Nanoseconds of one call of `job`, from a round of `count`.
    pub(crate) fn round(&mut self, job: &str, count: usize) -> Result<f64> {
        let jobs = self.jobs.as_mut().expect("open until drop");
        let mut answer = String::new();
        if writeln!(jobs, "{job} {count}").is_err() || self.answers.read_line(&mut answer)? == 0 {
            let mut last = String::new();
            if let Some(mut stderr) = self.child.stderr.take() {
                std::io::Read::read_to_string(&mut stderr, &mut last)?;
            }
            bail!("the client ended: {}", last.trim());
        }
        answer
            .trim()
            .parse()
            .with_context(|| format!("the client said {answer:?}"))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.jobs = None; // the client's end of file
        let _ = self.child.wait();
    }
}
