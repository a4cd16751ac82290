//! A cable between two taps: a thread that writes to each what the other sends.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lockdep::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::client::lock;
use crate::sys::Result;

/// Room for the longest frame.
const LONGEST: usize = 64 * 1024 + 64;
/// The most frames that go one way before the other way gets its turn.
const IN_A_ROW: usize = 64;
/// How often it is looked whether a device that has gone with its namespace has been made anew.
const PAUSE: Duration = Duration::from_millis(50);

/// Where a cable is plugged in: a device, which may be made anew.
#[derive(Debug)]
pub(crate) struct Plug(Mutex<Arc<OwnedFd>>);

impl Plug {
    pub(crate) fn new(tap: Arc<OwnedFd>) -> Arc<Self> {
        Arc::new(Self(Mutex::named("sandbox_plug", tap)))
    }

    /// The device is this one now.
    pub(crate) fn set(&self, tap: Arc<OwnedFd>) {
        *lock(&self.0) = tap;
    }

    fn get(&self) -> Arc<OwnedFd> {
        Arc::clone(&lock(&self.0))
    }
}

/// See the module's text. The devices must not be removed before it.
#[derive(Debug)]
pub(crate) struct Cable {
    bell: Arc<OwnedFd>,
    thread: Option<JoinHandle<()>>,
}

impl Cable {
    /// Connects two devices. What they have sent before is lost.
    pub(crate) fn new(plugs: [Arc<Plug>; 2]) -> Result<Self> {
        let bell = Arc::new(eventfd(0, EventfdFlags::CLOEXEC)?);
        let rung = Arc::clone(&bell);
        let thread = std::thread::Builder::new()
            .name("cable".into())
            .spawn(move || carry(&plugs, &rung))
            .map_err(|_| Errno::AGAIN)?;
        Ok(Self {
            bell,
            thread: Some(thread),
        })
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        let _ = rustix::io::write(&*self.bell, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn carry(plugs: &[Arc<Plug>; 2], bell: &OwnedFd) {
    let mut frame = vec![0; LONGEST];
    for plug in plugs {
        let tap = plug.get();
        while rustix::io::read(&tap, &mut frame).is_ok_and(|length| length > 0) {}
    }
    loop {
        let [one, other] = plugs.each_ref().map(|plug| plug.get());
        let wanted = |fd| PollFd::new(fd, PollFlags::IN);
        let mut wait = [wanted(bell), wanted(&*one), wanted(&*other)];
        match poll(&mut wait, None) {
            Err(Errno::INTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let [rung, first, second] = wait.map(|it| it.revents());
        if !rung.is_empty() {
            return;
        }
        for (events, from, to) in [(first, &one, &other), (second, &other, &one)] {
            if events.contains(PollFlags::IN) {
                forward(from, to, &mut frame);
            }
        }
        if (first | second).contains(PollFlags::ERR) {
            let pause = Timespec {
                tv_sec: 0,
                tv_nsec: PAUSE.as_nanos() as i64,
            };
            let _ = poll(&mut [wanted(bell)], Some(&pause));
        }
    }
}

fn forward(from: &OwnedFd, to: &OwnedFd, frame: &mut [u8]) {
    for _ in 0..IN_A_ROW {
        let Ok(length) = rustix::io::read(from, &mut *frame) else {
            return;
        };
        // A device that is down takes nothing.
        let _ = rustix::io::write(to, &frame[..length]);
    }
}
