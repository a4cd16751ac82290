//! Who hangs ends the test, and says in what: a test runner would wait for ever.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

struct Beat {
    who: String,
    doing: Mutex<Option<(Instant, String)>>,
}

/// How one thread shows that it lives.
pub(crate) struct Pulse(Arc<Beat>);

impl Pulse {
    /// The thread begins a step.
    pub(crate) fn beat(&self, doing: impl FnOnce() -> String) {
        *lock(&self.0.doing) = Some((Instant::now(), doing()));
    }

    /// The thread does nothing more.
    pub(crate) fn done(&self) {
        *lock(&self.0.doing) = None;
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        if thread::panicking() {
            if let Some((_, doing)) = &*lock(&self.0.doing) {
                eprintln!("{} panics in: {doing}", self.0.who);
            }
            // Else the others would go on as long as they were told to.
            self.done();
        }
    }
}

/// Looks after the threads, in one of its own.
pub(crate) struct Watchdog {
    beats: Arc<Mutex<Vec<Arc<Beat>>>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: JoinHandle<()>,
}

impl Watchdog {
    pub(crate) fn start(hangs: Duration) -> Self {
        let beats = Arc::<Mutex<Vec<Arc<Beat>>>>::default();
        let stop = Arc::<(Mutex<bool>, Condvar)>::default();
        let (watched, stopped) = (Arc::clone(&beats), Arc::clone(&stop));
        let thread = thread::spawn(move || {
            let mut stop = lock(&stopped.0);
            while !*stop {
                let wait = stopped.1.wait_timeout(stop, Duration::from_secs(1));
                stop = wait.unwrap_or_else(PoisonError::into_inner).0;
                bark(&lock(&watched), hangs);
            }
        });
        Watchdog {
            beats,
            stop,
            thread,
        }
    }

    pub(crate) fn pulse(&self, who: String) -> Pulse {
        let beat = Arc::new(Beat {
            who,
            doing: Mutex::new(None),
        });
        lock(&self.beats).push(Arc::clone(&beat));
        Pulse(beat)
    }

    pub(crate) fn stop(self) {
        *lock(&self.stop.0) = true;
        self.stop.1.notify_all();
        self.thread.join().unwrap();
    }
}

fn bark(beats: &[Arc<Beat>], hangs: Duration) {
    let doing: Vec<_> = beats
        .iter()
        .filter_map(|beat| {
            let doing = lock(&beat.doing);
            doing
                .as_ref()
                .map(|(since, what)| (since.elapsed(), beat.who.clone(), what.clone()))
        })
        .collect();
    if doing.iter().all(|(since, ..)| *since < hangs) {
        return;
    }
    for (since, who, what) in doing {
        eprintln!("{who} has been at this for {since:?}: {what}");
    }
    eprintln!("lock reports: {:#?}", lockdep::reports());
    // A thread that hangs cannot be joined.
    std::process::exit(101);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
