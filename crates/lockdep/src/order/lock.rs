//! Locks that carry their level in their type.
//!
//! They are never poisoned: a core lock guards invariants that its users restore themselves, and a panicking thread must
//! not take the rest of the machine with it.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::sync::PoisonError;

use super::level::{Before, Held, Level};
use crate::class::{Class, Map, Wait};
use crate::sync::WouldDeadlock;
use crate::sync::{mutex, rwlock};

/// A mutex of the declared level `L`.
pub struct Mutex<L, T: ?Sized> {
    level: PhantomData<fn() -> L>,
    inner: mutex::Mutex<T>,
}

/// The right to use what a [`Mutex`] protects.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct MutexGuard<'a, L, T: ?Sized> {
    level: PhantomData<fn() -> L>,
    inner: mutex::MutexGuard<'a, T>,
}

/// A reader-writer lock of the declared level `L`.
pub struct RwLock<L, T: ?Sized> {
    level: PhantomData<fn() -> L>,
    inner: rwlock::RwLock<T>,
}

/// The right to read what an [`RwLock`] protects.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockReadGuard<'a, L, T: ?Sized> {
    level: PhantomData<fn() -> L>,
    inner: rwlock::RwLockReadGuard<'a, T>,
}

/// The right to change what an [`RwLock`] protects.
#[must_use = "the lock is released at once if the guard is not kept"]
pub struct RwLockWriteGuard<'a, L, T: ?Sized> {
    level: PhantomData<fn() -> L>,
    inner: rwlock::RwLockWriteGuard<'a, T>,
}

/// The constructors, the same for both kinds of lock.
macro_rules! constructors {
    ($lock:ident, $inner:path) => {
        impl<L: Level, T> $lock<L, T> {
            /// A lock of the level's own class.
            #[must_use]
            pub const fn new(value: T) -> Self {
                Self::from_map(
                    Map::leveled(Class::Level(L::CLASS), Wait::SLEEP, L::INFO),
                    value,
                )
            }

            /// A lock of the level, of the class of all locks that are called `name`.
            #[must_use]
            pub const fn named(name: &'static str, value: T) -> Self {
                let class = Class::Name(std::borrow::Cow::Borrowed(name));
                Self::from_map(Map::leveled(class, Wait::SLEEP, L::INFO), value)
            }

            /// A lock of the level, of the class of the calling line.
            #[track_caller]
            #[must_use]
            pub const fn at_site(value: T) -> Self {
                Self::from_map(
                    Map::leveled(Class::Site(Location::caller()), Wait::SLEEP, L::INFO),
                    value,
                )
            }

            /// A lock of the level, of a class of its own: `&'static ClassKey`,
            /// [`DynamicClass`](crate::DynamicClass) or [`Class`].
            #[must_use]
            pub fn with_class(class: impl Into<Class>, value: T) -> Self {
                Self::from_map(Map::leveled(class.into(), Wait::SLEEP, L::INFO), value)
            }

            const fn from_map(map: Map, value: T) -> Self {
                Self {
                    level: PhantomData,
                    inner: <$inner>::from_map(map, value),
                }
            }

            /// The protected value, out of its lock.
            pub fn into_inner(self) -> T {
                self.inner
                    .into_inner()
                    .unwrap_or_else(PoisonError::into_inner)
            }
        }

        impl<L, T: ?Sized> $lock<L, T> {
            /// The protected value; no locking is needed, the borrow proves that nobody else has it.
            pub fn get_mut(&mut self) -> &mut T {
                self.inner.get_mut().unwrap_or_else(PoisonError::into_inner)
            }
        }

        impl<L: Level, T: Default> Default for $lock<L, T> {
            fn default() -> Self {
                Self::new(T::default())
            }
        }

        impl<L, T: ?Sized + fmt::Debug> fmt::Debug for $lock<L, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.inner, f)
            }
        }
    };
}

constructors!(Mutex, mutex::Mutex<T>);
constructors!(RwLock, rwlock::RwLock<T>);

impl<L: Level, T: ?Sized> Mutex<L, T> {
    /// Waits for the lock and takes it. Compiles only where the declared order allows it.
    ///
    /// # Panics
    /// When the calling thread holds this very lock: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn lock<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> (MutexGuard<'t, L, T>, Held<'t, L>) {
        let _: &'t mut Held<'_, H> = held;
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        (
            MutexGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        )
    }

    /// As [`lock`](Mutex::lock), but says so instead of panicking when the calling thread would wait for itself.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report.
    #[track_caller]
    #[inline(always)]
    pub fn lock_or_deadlock<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> Result<(MutexGuard<'t, L, T>, Held<'t, L>), WouldDeadlock> {
        let _: &'t mut Held<'_, H> = held;
        let inner = self
            .inner
            .lock_or_deadlock()?
            .unwrap_or_else(PoisonError::into_inner);
        Ok((
            MutexGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        ))
    }

    /// Takes the lock if it is free. An attempt cannot wait, so the order leaves it free; what is taken under it must be
    /// declared after the lock *and* after what is held, so the token stays that of the caller.
    #[track_caller]
    #[inline(always)]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, L, T>> {
        let inner = match self.inner.try_lock() {
            Ok(inner) => inner,
            Err(std::sync::TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(std::sync::TryLockError::WouldBlock) => return None,
        };
        Some(MutexGuard {
            level: PhantomData,
            inner,
        })
    }
}

impl<L: Level, T: ?Sized> RwLock<L, T> {
    /// Waits for the lock and takes it for reading. Compiles only where the declared order allows it.
    ///
    /// # Panics
    /// When the calling thread holds this very lock for writing: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn read<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> (RwLockReadGuard<'t, L, T>, Held<'t, L>) {
        let _: &'t mut Held<'_, H> = held;
        let inner = self.inner.read().unwrap_or_else(PoisonError::into_inner);
        (
            RwLockReadGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        )
    }

    /// As [`read`](RwLock::read), but says so instead of panicking when the calling thread would wait for itself.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report.
    #[track_caller]
    #[inline(always)]
    pub fn read_or_deadlock<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> Result<(RwLockReadGuard<'t, L, T>, Held<'t, L>), WouldDeadlock> {
        let _: &'t mut Held<'_, H> = held;
        let inner = self
            .inner
            .read_or_deadlock()?
            .unwrap_or_else(PoisonError::into_inner);
        Ok((
            RwLockReadGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        ))
    }

    /// Waits for the lock and takes it for writing. Compiles only where the declared order allows it.
    ///
    /// # Panics
    /// When the calling thread holds this very lock: after the report, instead of waiting for itself for ever.
    #[track_caller]
    #[inline(always)]
    pub fn write<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> (RwLockWriteGuard<'t, L, T>, Held<'t, L>) {
        let _: &'t mut Held<'_, H> = held;
        let inner = self.inner.write().unwrap_or_else(PoisonError::into_inner);
        (
            RwLockWriteGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        )
    }

    /// As [`write`](RwLock::write), but says so instead of panicking when the calling thread would wait for itself.
    ///
    /// # Errors
    /// [`WouldDeadlock`], after the report.
    #[track_caller]
    #[inline(always)]
    pub fn write_or_deadlock<'t, H: Before<L>>(
        &'t self,
        held: &'t mut Held<'_, H>,
    ) -> Result<(RwLockWriteGuard<'t, L, T>, Held<'t, L>), WouldDeadlock> {
        let _: &'t mut Held<'_, H> = held;
        let inner = self
            .inner
            .write_or_deadlock()?
            .unwrap_or_else(PoisonError::into_inner);
        Ok((
            RwLockWriteGuard {
                level: PhantomData,
                inner,
            },
            Held::conjure(),
        ))
    }
}

/// What every guard does, the same for all three.
macro_rules! guard {
    ($guard:ident) => {
        impl<L, T: ?Sized> Deref for $guard<'_, L, T> {
            type Target = T;
            #[inline]
            fn deref(&self) -> &T {
                &self.inner
            }
        }

        impl<L, T: ?Sized + fmt::Debug> fmt::Debug for $guard<'_, L, T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.inner, f)
            }
        }
    };
    (mut $guard:ident) => {
        guard!($guard);
        impl<L, T: ?Sized> DerefMut for $guard<'_, L, T> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                &mut self.inner
            }
        }
    };
}

guard!(mut MutexGuard);
guard!(RwLockReadGuard);
guard!(mut RwLockWriteGuard);
