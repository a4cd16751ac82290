//! Threads whose beginning and end are known: `std::thread::{spawn, scope, Builder}` that tell the validator who waited for whom.
//!
//! What a thread did before it started another is over when that one begins, and what a thread did is over for who joined
//! it. Cycles of which one part was over before another began are graded [`Ordered`](crate::Grade::Ordered). Threads that
//! are started with `std` take part like any other, but nothing is concluded from their beginning and end.
//!
//! To join a thread is to wait for all that it waits for. Where the thread was started with [`Builder::promise`], the
//! validator sees that: who joins it with a lock that the thread takes is an inversion.

use std::cell::RefCell;
use std::io;
use std::panic::Location;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;

use crate::class::Class;
use crate::grade::Segment;
use crate::sync::event::Event;
use crate::thread::{ip, with};

/// A clock keeps at most so many threads, the newest ones. Forgetting an old one can make a grade worse, never better.
const CLOCK: usize = 4096;

static THREADS: AtomicU32 = AtomicU32::new(0);

thread_local! {
    static SEGMENT: RefCell<Option<Segment>> = const { RefCell::new(None) };
}

impl Segment {
    fn number() -> u32 {
        THREADS.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Of the calling thread. Where thread-local values are being destroyed, that of a thread of its own.
    pub(crate) fn current() -> Self {
        let new = || {
            let thread = Self::number();
            Self {
                thread,
                clock: [(thread, 1)].into(),
            }
        };
        SEGMENT
            .try_with(|current| current.borrow_mut().get_or_insert_with(new).clone())
            .unwrap_or_else(|_| new())
    }

    /// Makes it that of the calling thread, and lets every chain of locks count as new for it.
    fn enter(self) {
        let _ = SEGMENT.try_with(|current| *current.borrow_mut() = Some(self));
        with(|thread| thread.met.clear());
    }

    /// What both know, with the next epoch of this thread.
    fn next(&self, other: &[(u32, u32)]) -> Self {
        let mut clock: Vec<(u32, u32)> = Vec::with_capacity(self.clock.len() + other.len());
        let (mut mine, mut theirs) = (self.clock.iter().peekable(), other.iter().peekable());
        loop {
            let entry = match (mine.peek(), theirs.peek()) {
                (Some(&&(a, epoch)), Some(&&(b, other))) if a == b => {
                    theirs.next();
                    mine.next();
                    (a, epoch.max(other))
                }
                (Some(&&entry), Some(&&other)) if entry.0 > other.0 => {
                    theirs.next();
                    other
                }
                (Some(&&entry), _) => {
                    mine.next();
                    entry
                }
                (None, Some(&&entry)) => {
                    theirs.next();
                    entry
                }
                (None, None) => break,
            };
            let epoch = entry.1 + u32::from(entry.0 == self.thread);
            clock.push((entry.0, epoch));
        }
        let surplus = clock.len().saturating_sub(CLOCK);
        let mut at = 0;
        clock.retain(|&(thread, _)| {
            at += 1;
            at > surplus || thread == self.thread
        });
        Self {
            thread: self.thread,
            clock: clock.into(),
        }
    }

    /// The calling thread starts another, whose segment this gives.
    fn fork() -> Self {
        let parent = Self::current();
        let thread = Self::number();
        let child = Self {
            thread,
            clock: [(thread, 0)].into(),
        };
        let child = child.next(&parent.clock);
        parent.next(&[]).enter();
        child
    }
}

/// Where a thread leaves what it knew when it ended.
#[derive(Clone, Debug, Default)]
struct End {
    segment: Arc<OnceLock<Segment>>,
    /// What who joins the thread waits for, if the thread promised it.
    promised: Option<Arc<Event>>,
}

impl End {
    /// Runs a thread, and leaves the mark however it ends.
    fn run<T>(self, segment: Segment, f: impl FnOnce() -> T) -> T {
        struct Mark(End);
        impl Drop for Mark {
            fn drop(&mut self) {
                // Set once: there is one of these for each thread.
                let _ = self.0.segment.set(Segment::current());
            }
        }
        segment.enter();
        let promised = self.promised.clone();
        let _mark = Mark(self);
        let _promise = promised.as_deref().map(Event::promise);
        f()
    }

    /// The calling thread knows from now on what that thread knew.
    fn join(&self) {
        if let Some(end) = self.segment.get() {
            Segment::current().next(&end.clock).enter();
        }
    }

    /// The calling thread is about to wait for the end of that one, and does in `wait`.
    #[track_caller]
    fn wait<R>(&self, wait: impl FnOnce() -> R) -> R {
        match &self.promised {
            Some(end) => end.wait(Location::caller(), ip(), wait),
            None => wait(),
        }
    }
}

/// As `std::thread::spawn`.
pub fn spawn<F, T>(f: F) -> JoinHandle<T>
where
    F: FnOnce() -> T + Send + 'static,
    T: Send + 'static,
{
    Builder::new()
        .spawn(f)
        .expect("the system can start another thread, or std's spawn would have panicked as well")
}

/// As `std::thread::Builder`.
#[derive(Debug)]
pub struct Builder(thread::Builder, End);

impl Builder {
    /// A thread without a name, with a stack of the usual size.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> Self {
        Self(thread::Builder::new(), End::default())
    }

    /// The name of the thread.
    #[must_use]
    pub fn name(self, name: String) -> Self {
        Self(self.0.name(name), self.1)
    }

    /// The size of its stack, in bytes.
    #[must_use]
    pub fn stack_size(self, size: usize) -> Self {
        Self(self.0.stack_size(size), self.1)
    }

    /// The thread is one that others wait for: it holds a pseudo-lock, of the class of the calling line, as long as it runs,
    /// and to join it is to take that.
    #[track_caller]
    #[must_use]
    pub fn promise(mut self) -> Self {
        let class = Class::Site(Location::caller());
        self.1.promised = Some(Arc::new(Event::new(class)));
        self
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start another one.
    pub fn spawn<F, T>(self, f: F) -> io::Result<JoinHandle<T>>
    where
        F: FnOnce() -> T + Send + 'static,
        T: Send + 'static,
    {
        let (segment, end) = (Segment::fork(), self.1);
        let mark = end.clone();
        let inner = self.0.spawn(move || mark.run(segment, f))?;
        Ok(JoinHandle { inner, end })
    }

    /// Starts the thread in a scope.
    ///
    /// # Errors
    /// When the system cannot start another one.
    pub fn spawn_scoped<'scope, F, T>(
        self,
        scope: &Scope<'scope, '_>,
        f: F,
    ) -> io::Result<ScopedJoinHandle<'scope, T>>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        let (segment, end) = (Segment::fork(), self.1);
        let mark = end.clone();
        let run = move || mark.run(segment, f);
        let inner = self.0.spawn_scoped(scope.inner, run)?;
        let mut ends = scope.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.push(end.clone());
        Ok(ScopedJoinHandle { inner, end })
    }
}

/// The way to wait for a thread: as `std::thread::JoinHandle`.
#[derive(Debug)]
pub struct JoinHandle<T> {
    inner: thread::JoinHandle<T>,
    end: End,
}

impl<T> JoinHandle<T> {
    /// Waits for the end of the thread.
    ///
    /// # Errors
    /// What it panicked with.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        let result = self.end.wait(|| self.inner.join());
        self.end.join();
        result
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &thread::Thread {
        self.inner.thread()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

/// As `std::thread::Scope`, except that a thread of the scope that wants to start another one needs a clone of it.
#[derive(Clone, Debug)]
pub struct Scope<'scope, 'env: 'scope> {
    inner: &'scope thread::Scope<'scope, 'env>,
    ends: Arc<Mutex<Vec<End>>>,
}

/// As `std::thread::scope`.
#[track_caller]
pub fn scope<'env, F, T>(f: F) -> T
where
    F: for<'scope> FnOnce(&Scope<'scope, 'env>) -> T,
{
    let ends = Arc::new(Mutex::new(Vec::new()));
    let site = Location::caller();
    let result = thread::scope(|inner| {
        let result = f(&Scope {
            inner,
            ends: Arc::clone(&ends),
        });
        // What the scope waits for now; who was joined has ended.
        for end in &*ends.lock().unwrap_or_else(PoisonError::into_inner) {
            match &end.promised {
                Some(promised) if end.segment.get().is_none() => promised.wait(site, ip(), || ()),
                _ => {}
            }
        }
        result
    });
    for end in &*ends.lock().unwrap_or_else(PoisonError::into_inner) {
        end.join();
    }
    result
}

impl<'scope> Scope<'scope, '_> {
    /// Starts a thread that ends before the scope does.
    pub fn spawn<F, T>(&self, f: F) -> ScopedJoinHandle<'scope, T>
    where
        F: FnOnce() -> T + Send + 'scope,
        T: Send + 'scope,
    {
        Builder::new().spawn_scoped(self, f).expect(
            "the system can start another thread, or std's spawn would have panicked as well",
        )
    }
}

/// As `std::thread::ScopedJoinHandle`.
#[derive(Debug)]
pub struct ScopedJoinHandle<'scope, T> {
    inner: thread::ScopedJoinHandle<'scope, T>,
    end: End,
}

impl<T> ScopedJoinHandle<'_, T> {
    /// Waits for the end of the thread.
    ///
    /// # Errors
    /// What it panicked with.
    #[track_caller]
    pub fn join(self) -> thread::Result<T> {
        let result = self.end.wait(|| self.inner.join());
        self.end.join();
        result
    }

    /// The thread.
    #[must_use]
    pub fn thread(&self) -> &thread::Thread {
        self.inner.thread()
    }

    /// Whether it has ended.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.inner.is_finished()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_and_joins_order_what_lies_before_and_after() {
        let before = Segment::current();
        let child = spawn(Segment::current);
        let beside = Segment::current();
        let child = child.join().expect("the thread does not panic");
        let after = Segment::current();
        let knows =
            |one: &Segment, other: &Segment| one.knows(other.thread) >= other.knows(other.thread);
        assert!(knows(&child, &before), "{child:?} {before:?}");
        assert!(!knows(&child, &beside) && !knows(&beside, &child));
        assert!(knows(&after, &child));
    }

    #[test]
    fn a_clock_forgets_the_oldest() {
        let many: Vec<(u32, u32)> = (1..=10_000).map(|thread| (thread * 2, 1)).collect();
        let segment = Segment {
            thread: 1,
            clock: [(1, 1)].into(),
        };
        let next = segment.next(&many);
        assert_eq!(next.clock.len(), CLOCK + 1);
        assert_eq!(
            (next.knows(1), next.knows(2), next.knows(20_000)),
            (2, 0, 1)
        );
    }
}
