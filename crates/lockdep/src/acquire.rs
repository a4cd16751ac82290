//! The way in and out for every lock type.

#[cfg(feature = "off")]
use std::marker::PhantomData;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::panic::Location;

use crate::chain::Word;
use crate::class::Map;
use crate::held::HeldLock;
use crate::miss;
use crate::sync::WouldDeadlock;
use crate::thread::{How, Mode, Request, Thread, Token, Which, with};
use crate::timing;
use crate::warn;

/// The address of the code that the calling function was inlined into: with it, a report can name the function that took a
/// lock without anything being looked up when the lock is taken.
#[inline(always)]
pub(crate) fn ip() -> usize {
    #[cfg(all(target_arch = "x86_64", not(miri), not(feature = "off")))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("lea {}, [rip]", out(reg) ip, options(nomem, nostack, preserves_flags));
        };
        ip
    }
    #[cfg(all(target_arch = "aarch64", not(miri), not(feature = "off")))]
    {
        let ip: usize;
        // SAFETY: reads the instruction pointer; touches neither memory, stack nor flags.
        unsafe {
            std::arch::asm!("adr {}, .", out(reg) ip, options(nomem, nostack, preserves_flags))
        };
        ip
    }
    #[cfg(any(
        miri,
        feature = "off",
        not(any(target_arch = "x86_64", target_arch = "aarch64"))
    ))]
    0
}

/// Ends the acquisition when dropped.
#[derive(Debug)]
pub(crate) struct Release<'a> {
    #[cfg(not(feature = "off"))]
    map: &'a Map,
    #[cfg(not(feature = "off"))]
    token: Token,
    #[cfg(not(feature = "off"))]
    thread: ThisThread,
    #[cfg(feature = "off")]
    map: PhantomData<&'a Map>,
}

/// The state of the thread that this was made on. To ask for it anew would be a call where the compiler is short of patience.
#[derive(Debug)]
struct ThisThread(*const Thread);

// SAFETY: a reference to it is good for nothing: what uses the pointer is private and wants the `Release` to be mutable or its
// owner, and it cannot be sent to another thread.
unsafe impl Sync for ThisThread {}

impl<'a> Release<'a> {
    #[inline(always)]
    #[cfg_attr(feature = "off", expect(unused))]
    fn of(map: &'a Map, token: Token, thread: &Thread) -> Self {
        Self {
            #[cfg(not(feature = "off"))]
            map,
            #[cfg(not(feature = "off"))]
            token,
            #[cfg(not(feature = "off"))]
            thread: ThisThread(thread),
            #[cfg(feature = "off")]
            map: PhantomData,
        }
    }

    /// Takes the lock out of those that the thread holds.
    #[inline(always)]
    fn step_back(&mut self) {
        #[cfg(not(feature = "off"))]
        {
            // SAFETY: this is the thread whose state it is, because a `Release` cannot be sent, and a thread-local value
            // without a destructor is there until its thread ends (see `thread::with`).
            let thread = unsafe { &*self.thread.0 };
            if !thread.step_back(self.token) {
                release_slow(thread, self.map, Which::Newest);
            }
        }
    }

    /// Ends the acquisition now and says of which lock.
    #[inline(always)]
    pub(crate) fn end(self) -> &'a Map {
        #[cfg(not(feature = "off"))]
        return self.map;
        #[cfg(feature = "off")]
        &Map
    }
}

#[cfg(not(feature = "off"))]
impl Drop for Release<'_> {
    #[inline(always)]
    fn drop(&mut self) {
        timing::end(self.map);
        self.step_back();
    }
}

/// The guard of a bare lock, and the acquisition that ends with it.
///
/// What the compiler makes of the drop of two fields is too long for it to be inlined: should the first drop panic, there
/// is the second one over again. Here the bare lock is released first, which does not panic, so nothing is left to do if the
/// report of an unusual release does.
pub(crate) struct Checked<'a, G> {
    guard: ManuallyDrop<G>,
    release: ManuallyDrop<Release<'a>>,
}

impl<'a, G> Checked<'a, G> {
    #[inline(always)]
    pub(crate) const fn new(guard: G, release: Release<'a>) -> Self {
        Self {
            guard: ManuallyDrop::new(guard),
            release: ManuallyDrop::new(release),
        }
    }

    /// The guard and the acquisition, each by itself.
    #[inline(always)]
    pub(crate) fn into_parts(self) -> (Release<'a>, G) {
        let mut parts = ManuallyDrop::new(self);
        // SAFETY: `parts` is never used again, nor dropped.
        unsafe {
            (
                ManuallyDrop::take(&mut parts.release),
                ManuallyDrop::take(&mut parts.guard),
            )
        }
    }
}

impl<G> Drop for Checked<'_, G> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(not(feature = "off"))]
        timing::end(self.release.map);
        // SAFETY: the field is not used again.
        unsafe { ManuallyDrop::drop(&mut self.guard) };
        self.release.step_back();
    }
}

impl<G: Deref> Deref for Checked<'_, G> {
    type Target = G::Target;
    #[inline(always)]
    fn deref(&self) -> &G::Target {
        &self.guard
    }
}

impl<G: DerefMut> DerefMut for Checked<'_, G> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.guard
    }
}

#[cold]
#[inline(never)]
fn release_slow(thread: &Thread, map: &Map, which: Which) {
    let address = map.address();
    let ends = |lock: &HeldLock| lock.is(address) && which.can_be(lock.word);
    if let Some(lock) = thread.newest().find(ends) {
        if lock.is_pinned() {
            warn::releasing_pinned(thread, &lock);
        }
        thread.remove(address, which);
        return;
    }
    match thread.untracked.get() {
        0 => warn::bad_unlock(thread, map),
        untracked => thread.untracked.set(untracked - 1),
    }
}

/// Ends an acquisition for which there is no [`Release`].
#[inline]
pub(crate) fn release(map: &Map, which: Which) {
    if cfg!(feature = "off") {
        return;
    }
    timing::end(map);
    with(|thread| {
        if !thread.pop(map.address(), which) {
            release_slow(thread, map, which);
        }
    });
}

/// Before a lock is waited for.
///
/// # Panics
/// When the thread would wait for itself for ever.
#[inline(always)]
pub(crate) fn acquire<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let request = Request::wait(mode);
    let release = with(|thread| {
        let token = match thread.push_known(map, request, ip) {
            Some(token) => token,
            None => miss::acquire_or_panic(thread, map, request, site, ip),
        };
        Release::of(map, token, thread)
    });
    timing::begin(map, request, site, ip);
    release
}

/// Before a lock is waited for, when the caller can do without it; and every acquisition that is out of the ordinary.
#[inline(always)]
pub(crate) fn try_acquire<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Result<Release<'a>, WouldDeadlock> {
    let release = with(|thread| {
        let token = match thread.push_known(map, request, ip) {
            Some(token) => token,
            None => miss::acquire(thread, map, request, site, ip)?,
        };
        Ok(Release::of(map, token, thread))
    })?;
    timing::begin(map, request, site, ip);
    Ok(release)
}

/// Around what is no lock.
#[inline(always)]
pub(crate) fn acquire_map<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let request = Request {
        how: How::Pseudo,
        ..Request::wait(mode)
    };
    acquire_unfailing(map, request, site, ip)
}

/// After a lock was taken without waiting.
#[inline(always)]
pub(crate) fn acquired<'a>(
    map: &'a Map,
    mode: Mode,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let request = Request {
        flags: mode as u64 | Word::TRY,
        how: How::Try,
    };
    acquire_unfailing(map, request, site, ip)
}

/// Only who waits in a real lock can wait for itself.
#[inline(always)]
fn acquire_unfailing<'a>(
    map: &'a Map,
    request: Request,
    site: &'static Location<'static>,
    ip: usize,
) -> Release<'a> {
    let release = with(|thread| {
        let token = match thread.push_known(map, request, ip) {
            Some(token) => token,
            None => miss::acquire(thread, map, request, site, ip).unwrap_or(Token::NONE),
        };
        Release::of(map, token, thread)
    });
    timing::begin(map, request, site, ip);
    release
}
