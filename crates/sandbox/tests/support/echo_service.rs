//! A sandbox whose service is a toy: the test driver of this crate.
//!
//! `echo_service [--native] [-- COMMAND…]`. Messages of type [`FAMILY`] are answered here, all others are relayed to the
//! real kernel. The text behind the netlink header chooses: `who` (the sender), `net:FD` (the cookie of a namespace),
//! `burst:N` (N numbered answers), `notify:TEXT` (to all members of group [`GROUP`]), `panic`, `die`; anything else comes
//! back.

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, Weak};

use rustix::io::Errno;
use sandbox::{ClientSocket, KernelSide, Options, Receive, Sender, Service, Session};

const FAMILY: u16 = 0x3d1;
const GROUP: u32 = 0x3d1;

#[derive(Default)]
struct Echo {
    sockets: Arc<Mutex<Vec<Weak<ClientSocket>>>>,
}

struct Conversation {
    socket: Arc<ClientSocket>,
    all: Arc<Mutex<Vec<Weak<ClientSocket>>>>,
    answer: Vec<u8>,
}

impl Service for Echo {
    fn open(&self, socket: Arc<ClientSocket>) -> Box<dyn Session> {
        let mut sockets = self.sockets.lock().expect("nobody panics with it");
        sockets.retain(|socket| socket.strong_count() > 0);
        sockets.push(Arc::downgrade(&socket));
        Box::new(Conversation {
            socket,
            all: Arc::clone(&self.sockets),
            answer: Vec::new(),
        })
    }
}

impl Conversation {
    fn answer(&mut self, request: &[u8], text: &[u8]) {
        message(&mut self.answer, request, self.socket.port_id(), text);
        let _ = self.socket.send(&self.answer);
    }
}

/// An answer to `request`: its sequence number, our type.
fn message(out: &mut Vec<u8>, request: &[u8], port_id: u32, text: &[u8]) {
    out.clear();
    out.extend((16 + text.len() as u32).to_ne_bytes());
    out.extend(FAMILY.to_ne_bytes());
    out.extend([0; 2]);
    out.extend(&request[8..12]);
    out.extend(port_id.to_ne_bytes());
    out.extend(text);
}

impl Session for Conversation {
    fn receive(&mut self, datagram: &[u8], sender: &Sender) {
        if datagram.len() < 16 {
            return;
        }
        if datagram[4..6] != FAMILY.to_ne_bytes() {
            if let Err(errno) = self.socket.relay(datagram, sender) {
                let mut error = (-errno.raw_os_error()).to_ne_bytes().to_vec();
                error.extend(&datagram[..16]);
                message(&mut self.answer, datagram, self.socket.port_id(), &error);
                self.answer[4..6].copy_from_slice(&2_u16.to_ne_bytes());
                let _ = self.socket.send(&self.answer);
            }
            return;
        }
        let text = &datagram[16..];
        let words = std::str::from_utf8(text)
            .unwrap_or("")
            .trim_end_matches('\0');
        let (verb, argument) = words.split_once(':').unwrap_or((words, ""));
        match verb {
            "who" => {
                let text = format!(
                    "pid={} uid={} admin={} net={} port={} options={:?}",
                    sender.pid(),
                    sender.uid(),
                    sender.capable_net_admin(),
                    self.socket.netns_cookie(),
                    self.socket.port_id(),
                    self.socket.options(),
                );
                self.answer(datagram, text.as_bytes());
            }
            "net" | "pid" => {
                let number = argument.parse().unwrap_or(u32::MAX);
                let found = if verb == "net" {
                    sender.netns_by_fd(number)
                } else {
                    sender.netns_by_pid(number)
                };
                let text = match found {
                    Ok(net) => format!("net={} admin={}", net.cookie(), net.capable_net_admin()),
                    Err(errno) => format!("error={errno:?}"),
                };
                self.answer(datagram, text.as_bytes());
            }
            "burst" => {
                for number in 0..argument.parse().unwrap_or(0_u32) {
                    self.answer(datagram, &number.to_ne_bytes());
                }
            }
            "notify" => {
                let mut notification = Vec::new();
                message(&mut notification, &[0; 16], 0, argument.as_bytes());
                let all: Vec<_> = self
                    .all
                    .lock()
                    .expect("nobody panics with it")
                    .iter()
                    .filter_map(Weak::upgrade)
                    .collect();
                for socket in all.iter().filter(|socket| socket.is_member(0)) {
                    if socket.try_notify(&notification) == Err(Errno::AGAIN) {
                        socket.overrun();
                    }
                }
                self.answer(datagram, b"notified");
            }
            "panic" => panic!("as asked"),
            "die" => std::process::abort(),
            _ => self.answer(datagram, text),
        }
    }
}

fn machine(side: &KernelSide) -> Result<Arc<dyn Service>, String> {
    side.control().verb("hello", |words, out| {
        writeln!(out, "hello {}", words.join(" ")).map_err(|error| error.to_string())
    });
    if let Ok(file) = std::env::var("ECHO_EVENTS") {
        let events = side.wire().events().ok_or("no events")?;
        std::thread::spawn(move || {
            let mut file = std::fs::File::create(file).expect("writable");
            for event in events {
                use std::io::Write;
                let _ = writeln!(file, "{event:?}");
            }
        });
    }
    Ok(Arc::new(Echo::default()))
}

fn main() -> ExitCode {
    let mut command: Vec<OsString> = std::env::args_os().skip(1).collect();
    let receive = match command.first().and_then(|word| word.to_str()) {
        Some("--native") => Receive::Native,
        Some("--all") => Receive::All,
        _ => Receive::Trapped,
    };
    if receive != Receive::Trapped {
        command.remove(0);
    }
    if command.first().is_some_and(|word| word == "--") {
        command.remove(0);
    }
    let options = Options {
        receive,
        groups: GROUP..GROUP + 1,
        slow_requests: Vec::new(),
        dummy0: false,
        environment: Vec::new(),
        modprobe: String::new(),
    };
    match sandbox::run(options, &command, machine) {
        Ok(outcome) => {
            if std::env::var_os("ECHO_STATISTICS").is_some() {
                eprintln!("{outcome:?}");
            }
            ExitCode::from(outcome.status as u8)
        }
        Err(error) => {
            eprintln!("echo_service: {error}");
            ExitCode::from(125)
        }
    }
}
