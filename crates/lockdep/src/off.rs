//! The validator's part of a lock where there is no validator: nothing. Lock types hold it all the same, so that they are
//! written once.

use std::borrow::Cow;

use crate::class::{Class, Wait};
use crate::order::LevelInfo;
use crate::thread::Mode;

/// Nothing.
#[derive(Debug)]
#[doc(hidden)]
pub struct Map;

impl Map {
    /// A constant function drops nothing, so the class of a `const` lock is forgotten; it owns nothing there.
    pub(crate) const fn new(class: Class, _: Wait) -> Self {
        std::mem::forget(class);
        Self
    }

    pub(crate) fn of(_: Class, _: Wait) -> Self {
        Self
    }

    pub(crate) const fn novalidate(class: Class, wait: Wait) -> Self {
        Self::new(class, wait)
    }

    pub(crate) const fn leveled(class: Class, wait: Wait, _: &'static LevelInfo) -> Self {
        Self::new(class, wait)
    }

    pub(crate) const fn by_address(class: Class, wait: Wait) -> Self {
        Self::new(class, wait)
    }

    pub(crate) const fn ranked(class: Class, wait: Wait, _: u32) -> Self {
        Self::new(class, wait)
    }

    pub(crate) fn word(&self) -> u64 {
        0
    }

    pub(crate) fn is_checked(&self) -> bool {
        false
    }

    /// Nobody knows.
    pub(crate) fn is_held(&self, _: Option<Mode>) -> bool {
        false
    }

    pub(crate) fn set_class(&self, _: u32) {}

    pub(crate) fn class(&self) -> &Class {
        const { &Class::Name(Cow::Borrowed("")) }
    }

    pub(crate) fn wait(&self) -> Wait {
        Wait::NONE
    }

    pub(crate) fn level(&self) -> Option<&'static LevelInfo> {
        None
    }

    pub(crate) fn address(&self) -> usize {
        0
    }
}
