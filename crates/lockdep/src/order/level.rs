//! Levels, the relation between them, and the token that carries what a thread holds.

use std::fmt;
use std::marker::PhantomData;
use std::panic::Location;

use super::observed;
use crate::class::ClassKey;

/// What is known at run time about a declared level.
#[derive(Debug)]
pub struct LevelInfo {
    /// The level's name: that of its type.
    pub name: &'static str,
    /// The module of the `lock_order!` table that declares it; ranks of different tables have nothing to do with each other.
    pub table: &'static str,
    /// Its place in the table; a greater rank is taken later.
    pub rank: u16,
    /// Several locks of this level may be held at once; their order is checked at run time.
    pub nests: bool,
    /// The locks of this level are listed as held but not checked at run time.
    pub novalidate: bool,
    /// From this level one may go back up to the given rank, for another object (a child).
    pub descends_to: Option<u16>,
}

impl LevelInfo {
    /// Whether a lock of this level may be held while one of that level is taken. Levels of different tables have nothing
    /// to say of each other.
    pub(crate) fn allows(&self, next: &Self) -> bool {
        self.table != next.table || self.rank < next.rank || self.rank == next.rank && self.nests
    }
}

/// A level of a declared order. Implemented by [`lock_order!`](crate::lock_order) only.
pub trait Level: 'static {
    /// The class of the level's locks that do not bring their own.
    const CLASS: fn() -> &'static ClassKey;
    /// What is known at run time about the level.
    const INFO: &'static LevelInfo;
}

/// "`Self` may be held while `Next` is taken." Implemented by [`lock_order!`](crate::lock_order) only.
#[diagnostic::on_unimplemented(
    message = "lock order violation: `{Next}` must not be taken while `{Self}` is held",
    label = "would invert the declared lock order",
    note = "the order is declared once, in the `lock_order!` table"
)]
pub trait Before<Next> {}

/// "Holding `Self`, one may go on to another object and start again at `To`." Declared in [`lock_order!`](crate::lock_order).
#[diagnostic::on_unimplemented(
    message = "lock order violation: no descent to `{To}` is declared for who holds `{Self}`",
    label = "would invert the declared lock order",
    note = "descents are declared once, in the `lock_order!` table"
)]
pub trait Descend<To> {}

/// The level of a thread that holds no declared lock.
#[derive(Debug)]
pub enum Unlocked {}

/// The token: "this thread holds a lock of level `L`, and may take what is declared after `L`".
///
/// It has no size and cannot leave its thread. Taking a lock borrows the token mutably and gives a new one for the level
/// of that lock, so that only the newest token can be used.
pub struct Held<'a, L> {
    level: PhantomData<fn() -> L>,
    borrow: PhantomData<&'a mut ()>,
    not_send: PhantomData<*const ()>,
}

impl Held<'static, Unlocked> {
    /// The first token of a thread. Call it once where a thread, a work item or a request starts, and nowhere else.
    #[must_use]
    pub fn root() -> Self {
        Held::conjure()
    }
}

impl<L> Held<'_, L> {
    pub(super) fn conjure() -> Self {
        Self {
            level: PhantomData,
            borrow: PhantomData,
            not_send: PhantomData,
        }
    }

    /// The same token for a shorter time, to hand to a function that takes a token by value.
    pub fn reborrow(&mut self) -> Held<'_, L> {
        Held::conjure()
    }

    /// Goes on to a level that is declared later, without taking a lock.
    pub fn advance<M>(&mut self) -> Held<'_, M>
    where
        L: Before<M>,
    {
        Held::conjure()
    }

    /// Goes on to another object, where the order starts again at `M`, as the table declares.
    pub fn descend<M>(&mut self) -> Held<'_, M>
    where
        L: Descend<M>,
    {
        Held::conjure()
    }

    /// Pretends that nothing is held: what follows is no longer proved by the compiler. `why` is recorded with the
    /// calling line ([`escapes`](super::escapes)); run-time validation goes on as ever.
    #[track_caller]
    pub fn against_declared_order(&mut self, why: &'static str) -> Held<'_, Unlocked> {
        observed::record_escape(why, Location::caller());
        Held::conjure()
    }
}

impl<L> fmt::Debug for Held<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Held<{}>", std::any::type_name::<L>())
    }
}

/// Declares the order of a program's locks, first level first. See the [module](crate::order) for what it gives.
///
/// Each line is `pub Name "name in reports"`, with attributes in parentheses: `novalidate` (listed as held, never checked at run
/// time), `nests` (several locks of the level may be held at once), `descends Level` (who holds it may go on to another
/// object and start again at the earlier `Level`).
///
/// ```
/// use lockdep::order::{Held, Mutex, lock_order};
/// lock_order! {
///     /// The whole catalogue.
///     pub Catalogue "catalogue";
///     /// One shelf of it.
///     pub Shelf "shelf" (nests);
/// }
/// let catalogue: Mutex<Catalogue, _> = Mutex::new(vec![1]);
/// let shelf: Mutex<Shelf, _> = Mutex::new(2);
/// let mut root = Held::root();
/// let (mut books, mut held) = catalogue.lock(&mut root);
/// let (book, _held) = shelf.lock(&mut held);
/// books.push(*book);
/// ```
#[macro_export]
macro_rules! lock_order {
    ($($(#[$meta:meta])* $vis:vis $level:ident $name:literal $(($($flag:ident $($to:ident)?),*))?;)*) => {
        $crate::lock_order!(@levels [0] $({$(#[$meta])* $vis $level $name [$($($flag $($to)?),*)?]})*);
        $crate::lock_order!(@before $($level)*);
    };
    (@levels [$rank:expr]) => {};
    (@levels [$rank:expr] {$(#[$meta:meta])* $vis:vis $level:ident $name:literal [$($flag:ident $($to:ident)?),*]} $($rest:tt)*) => {
        $(#[$meta])*
        #[derive(Debug)]
        $vis enum $level {}
        impl $crate::order::Level for $level {
            const CLASS: fn() -> &'static $crate::ClassKey = {
                fn class() -> &'static $crate::ClassKey {
                    static CLASS: $crate::ClassKey = $crate::ClassKey::new($name);
                    &CLASS
                }
                class
            };
            const INFO: &'static $crate::order::LevelInfo = {
                const INFO: $crate::order::LevelInfo = {
                    #[allow(unused_mut)]
                    let mut info = $crate::order::LevelInfo {
                        name: stringify!($level),
                        table: module_path!(),
                        rank: $rank,
                        nests: false,
                        novalidate: false,
                        descends_to: None,
                    };
                    $($crate::lock_order!(@flag info $flag $($to)?);)*
                    info
                };
                static STATIC: $crate::order::LevelInfo = INFO;
                &STATIC
            };
        }
        impl $crate::order::Before<$level> for $crate::order::Unlocked {}
        $($crate::lock_order!(@impl $level $flag $($to)?);)*
        $crate::lock_order!(@levels [$rank + 1] $($rest)*);
    };
    (@flag $info:ident nests) => { $info.nests = true; };
    (@flag $info:ident novalidate) => { $info.novalidate = true; };
    (@flag $info:ident descends $to:ident) => {
        $info.descends_to = Some(<$to as $crate::order::Level>::INFO.rank);
    };
    (@impl $level:ident nests) => { impl $crate::order::Before<$level> for $level {} };
    (@impl $level:ident novalidate) => {};
    (@impl $level:ident descends $to:ident) => { impl $crate::order::Descend<$to> for $level {} };
    (@before) => {};
    (@before $level:ident $($later:ident)*) => {
        $(impl $crate::order::Before<$later> for $level {})*
        $crate::lock_order!(@before $($later)*);
    };
}
