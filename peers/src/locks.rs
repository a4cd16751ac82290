//! The locks that are measured, all behind one trait.

/// A mutex of one of the peers.
pub trait Lock: Send + Sync + Sized + 'static {
    /// What releases it.
    type Guard<'a>;

    /// A lock, of a kind that is the same for every call.
    fn new() -> Self;

    /// Four locks that are nested in this order. With a validator that reasons about classes, four classes.
    fn nest() -> [Self; 4] {
        [Self::new(), Self::new(), Self::new(), Self::new()]
    }

    /// Two locks of which the validator knows nothing yet.
    fn fresh() -> [Self; 2] {
        [Self::new(), Self::new()]
    }

    /// Takes the lock.
    fn lock(&self) -> Self::Guard<'_>;
}

macro_rules! lock {
    ($(#[$about:meta])* $name:ident($mutex:ty) -> $guard:ty, |$lock:ident| $take:expr) => {
        $(#[$about])*
        pub struct $name($mutex);

        impl Lock for $name {
            type Guard<'a> = $guard;

            fn new() -> Self {
                Self(<$mutex>::new(0))
            }

            #[inline(always)]
            fn lock(&self) -> Self::Guard<'_> {
                let $lock = &self.0;
                $take
            }
        }
    };
}

lock! {
    /// The bare lock that userlink's own and most others wrap.
    Std(std::sync::Mutex<u64>) -> std::sync::MutexGuard<'a, u64>, |lock| lock.lock().expect("never poisoned")
}
lock! {
    /// The other bare lock; in `peer-detecting`, with its search for deadlocks that have happened.
    ParkingLot(parking_lot::Mutex<u64>) -> parking_lot::MutexGuard<'a, u64>, |lock| lock.lock()
}
lock! {
    /// An order validator by instance, over std's lock.
    TracingStd(tracing_mutex::stdsync::tracing::Mutex<u64>) -> tracing_mutex::stdsync::tracing::MutexGuard<'a, u64>,
    |lock| lock.lock().expect("never poisoned")
}
lock! {
    /// The same over parking_lot's.
    TracingParkingLot(tracing_mutex::parkinglot::tracing::Mutex<u64>)
        -> tracing_mutex::parkinglot::tracing::MutexGuard<'a, u64>,
    |lock| lock.lock()
}
lock! {
    /// A search for deadlocks that have happened, over std's lock.
    NoDeadlocks(no_deadlocks::Mutex<u64>) -> no_deadlocks::MutexGuard<'a, u64>, |lock| lock.lock().expect("never poisoned")
}

/// Our own, over std's lock; classes by construction site.
pub struct Ours(lockdep::Mutex<u64>);

impl Lock for Ours {
    type Guard<'a> = lockdep::MutexGuard<'a, u64>;

    fn new() -> Self {
        Self(lockdep::Mutex::new(0))
    }

    fn nest() -> [Self; 4] {
        // Four sites.
        [
            Self(lockdep::Mutex::new(0)),
            Self(lockdep::Mutex::new(0)),
            Self(lockdep::Mutex::new(0)),
            Self(lockdep::Mutex::new(0)),
        ]
    }

    fn fresh() -> [Self; 2] {
        // A site makes one class only.
        ["held", "taken"].map(|name| {
            Self(lockdep::Mutex::with_class(
                lockdep::DynamicClass::new(name),
                0,
            ))
        })
    }

    #[inline(always)]
    fn lock(&self) -> Self::Guard<'_> {
        self.0.lock().expect("never poisoned")
    }
}

/// Our own, over parking_lot's lock.
pub struct OursParkingLot(lockdep::parking_lot::Mutex<u64>);

impl OursParkingLot {
    fn of(class: impl Into<lockdep::Class>) -> Self {
        let raw = lockdep::parking_lot::RawMutex::with_class(class);
        Self(lockdep::parking_lot::Mutex::from_raw(raw, 0))
    }
}

impl Lock for OursParkingLot {
    type Guard<'a> = lockdep::parking_lot::MutexGuard<'a, u64>;

    fn new() -> Self {
        Self(lockdep::parking_lot::const_mutex(0))
    }

    fn nest() -> [Self; 4] {
        ["first", "second", "third", "fourth"].map(|name| Self::of(lockdep::Class::named(name)))
    }

    fn fresh() -> [Self; 2] {
        ["held", "taken"].map(|name| Self::of(lockdep::DynamicClass::new(name)))
    }

    #[inline(always)]
    fn lock(&self) -> Self::Guard<'_> {
        self.0.lock()
    }
}
