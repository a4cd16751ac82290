//! The peers' locks as the scenarios use them: mutexes and reader-writer locks, and what the validator says.

use std::sync::PoisonError;

/// One peer.
pub trait Family: 'static {
    /// Its mutex.
    type Mutex: Sync;
    /// Its reader-writer lock.
    type RwLock: Sync;

    /// What must be done before the first lock is made.
    ///
    /// # Errors
    /// When the validator does not start.
    fn start() -> anyhow::Result<()> {
        Ok(())
    }
    /// A mutex; `class` is for a validator that reasons about classes.
    fn mutex(class: &'static str) -> Self::Mutex;
    /// A mutex whose class, where there is one, ends with it.
    fn mortal(class: &'static str) -> Self::Mutex {
        Self::mutex(class)
    }
    /// A reader-writer lock.
    fn rwlock(class: &'static str) -> Self::RwLock;
    /// Takes a mutex. Scenarios go on after a panic: poison is none of theirs.
    fn lock(mutex: &Self::Mutex) -> impl Sized;
    /// Takes a mutex if it is free.
    fn try_lock(mutex: &Self::Mutex) -> impl Sized;
    /// Takes a reader-writer lock shared.
    fn read(lock: &Self::RwLock) -> impl Sized;
    /// What was found, if the peer tells that other than by a panic.
    fn found() -> Option<String> {
        None
    }
}

/// tracing-mutex over std's locks.
pub enum TracingStd {}

impl Family for TracingStd {
    type Mutex = tracing_mutex::stdsync::tracing::Mutex<()>;
    type RwLock = tracing_mutex::stdsync::tracing::RwLock<()>;

    fn mutex(_: &'static str) -> Self::Mutex {
        Self::Mutex::new(())
    }
    fn rwlock(_: &'static str) -> Self::RwLock {
        Self::RwLock::new(())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock().ok()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// tracing-mutex over parking_lot's locks.
pub enum TracingParkingLot {}

impl Family for TracingParkingLot {
    type Mutex = tracing_mutex::parkinglot::tracing::Mutex<()>;
    type RwLock = tracing_mutex::parkinglot::tracing::RwLock<()>;

    fn mutex(_: &'static str) -> Self::Mutex {
        Self::Mutex::new(())
    }
    fn rwlock(_: &'static str) -> Self::RwLock {
        Self::RwLock::new(())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock()
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read()
    }
}

/// no_deadlocks.
pub enum NoDeadlocks {}

impl Family for NoDeadlocks {
    type Mutex = no_deadlocks::Mutex<()>;
    type RwLock = no_deadlocks::RwLock<()>;

    fn mutex(_: &'static str) -> Self::Mutex {
        Self::Mutex::new(())
    }
    fn rwlock(_: &'static str) -> Self::RwLock {
        Self::RwLock::new(())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock().ok()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// parking_lot with `deadlock_detection`.
#[cfg(feature = "deadlock_detection")]
pub enum ParkingLot {}

#[cfg(feature = "deadlock_detection")]
impl Family for ParkingLot {
    type Mutex = parking_lot::Mutex<()>;
    type RwLock = parking_lot::RwLock<()>;

    fn mutex(_: &'static str) -> Self::Mutex {
        Self::Mutex::new(())
    }
    fn rwlock(_: &'static str) -> Self::RwLock {
        Self::RwLock::new(())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock()
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read()
    }
    fn found() -> Option<String> {
        (!parking_lot::deadlock::check_deadlock().is_empty()).then(|| "report".to_owned())
    }
}

/// deloxide with its lock order graph.
#[cfg(feature = "deloxide")]
pub enum Deloxide {}

/// How many findings deloxide has called back with.
#[cfg(feature = "deloxide")]
static CALLED_BACK: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

#[cfg(feature = "deloxide")]
impl Family for Deloxide {
    type Mutex = deloxide::Mutex<()>;
    type RwLock = deloxide::RwLock<()>;

    fn start() -> anyhow::Result<()> {
        use std::sync::atomic::Ordering;
        deloxide::Deloxide::new()
            .callback(|_| {
                CALLED_BACK.fetch_add(1, Ordering::SeqCst);
            })
            .start()
            .map_err(|error| anyhow::anyhow!("deloxide does not start: {error}"))
    }
    fn mutex(_: &'static str) -> Self::Mutex {
        Self::Mutex::new(())
    }
    fn rwlock(_: &'static str) -> Self::RwLock {
        Self::RwLock::new(())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock()
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read()
    }
    fn found() -> Option<String> {
        // It calls back from a thread of its own, some time later.
        std::thread::sleep(std::time::Duration::from_millis(500));
        (CALLED_BACK.load(std::sync::atomic::Ordering::SeqCst) > 0).then(|| "report".to_owned())
    }
}

/// Our own.
pub enum Ours {}

impl Family for Ours {
    type Mutex = lockdep::Mutex<()>;
    type RwLock = lockdep::RwLock<()>;

    fn mutex(class: &'static str) -> Self::Mutex {
        Self::Mutex::named(class, ())
    }
    fn mortal(class: &'static str) -> Self::Mutex {
        Self::Mutex::with_class(lockdep::DynamicClass::new(class), ())
    }
    fn rwlock(class: &'static str) -> Self::RwLock {
        Self::RwLock::named(class, ())
    }
    fn lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.lock().unwrap_or_else(PoisonError::into_inner)
    }
    fn try_lock(mutex: &Self::Mutex) -> impl Sized {
        mutex.try_lock().ok()
    }
    fn read(lock: &Self::RwLock) -> impl Sized {
        lock.read().unwrap_or_else(PoisonError::into_inner)
    }
    fn found() -> Option<String> {
        let found: Vec<String> = lockdep::reports()
            .iter()
            .map(|report| {
                let kind = format!("{:?}", report.kind()).to_lowercase();
                let graded = report.grade().zip(report.instances());
                graded.map_or(kind.clone(), |(grade, instances)| {
                    format!("{kind}: {grade}, {instances}")
                })
            })
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}
