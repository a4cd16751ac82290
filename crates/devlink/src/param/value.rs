//! What a parameter can hold, and in which configuration modes.

use std::fmt;

/// Longest string value, without its NUL (`__DEVLINK_PARAM_MAX_STRING_VALUE` minus one).
pub const MAX_STRING_VALUE: usize = 31;

/// Most elements of an array value (`__DEVLINK_PARAM_MAX_ARRAY_SIZE`).
pub const MAX_ARRAY_SIZE: usize = 32;

/// The type of a parameter's value; the number is the one of `DEVLINK_ATTR_PARAM_TYPE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ParamType {
    /// An unsigned 8-bit number.
    U8 = 1,
    /// An unsigned 16-bit number.
    U16 = 2,
    /// An unsigned 32-bit number.
    U32 = 3,
    /// An unsigned 64-bit number (kernels from 6.19 on).
    U64 = 4,
    /// A string of at most [`MAX_STRING_VALUE`] bytes.
    String = 5,
    /// A truth value: on the wire the presence of an empty attribute.
    Bool = 6,
    /// Up to [`MAX_ARRAY_SIZE`] unsigned 64-bit numbers (the newest kernels).
    U64Array = 0x81,
}

/// A parameter's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParamValue {
    /// An unsigned 8-bit number.
    U8(u8),
    /// An unsigned 16-bit number.
    U16(u16),
    /// An unsigned 32-bit number.
    U32(u32),
    /// An unsigned 64-bit number.
    U64(u64),
    /// A string of at most [`MAX_STRING_VALUE`] bytes.
    String(String),
    /// A truth value.
    Bool(bool),
    /// Up to [`MAX_ARRAY_SIZE`] unsigned 64-bit numbers.
    U64Array(Vec<u64>),
}

impl ParamValue {
    /// The type this value is of.
    #[must_use]
    pub const fn ty(&self) -> ParamType {
        match self {
            Self::U8(_) => ParamType::U8,
            Self::U16(_) => ParamType::U16,
            Self::U32(_) => ParamType::U32,
            Self::U64(_) => ParamType::U64,
            Self::String(_) => ParamType::String,
            Self::Bool(_) => ParamType::Bool,
            Self::U64Array(_) => ParamType::U64Array,
        }
    }

    /// The number in an unsigned value of any width; `None` for the other types.
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(u64::from(v)),
            Self::U16(v) => Some(u64::from(v)),
            Self::U32(v) => Some(u64::from(v)),
            Self::U64(v) => Some(v),
            Self::String(_) | Self::Bool(_) | Self::U64Array(_) => None,
        }
    }

    /// The truth value; `None` for the other types.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(v) => Some(*v),
            _ => None,
        }
    }

    /// The text of a string value; `None` for the other types.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(v) => Some(v),
            _ => None,
        }
    }
}

/// When a value of a parameter takes effect; the number is the one of `DEVLINK_ATTR_PARAM_VALUE_CMODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Cmode {
    /// At once.
    Runtime = 0,
    /// When the driver initializes the next time: at a reload.
    Driverinit = 1,
    /// Kept by the device over its resets.
    Permanent = 2,
}

impl Cmode {
    /// All modes, in the order of their numbers, which is the order of the values in a reply.
    pub const ALL: [Self; 3] = [Self::Runtime, Self::Driverinit, Self::Permanent];

    /// The mode of this number.
    #[must_use]
    pub(crate) const fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Runtime),
            1 => Some(Self::Driverinit),
            2 => Some(Self::Permanent),
            _ => None,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// The configuration modes that a parameter supports.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Cmodes(u8);

impl Cmodes {
    /// Only [`Cmode::Runtime`].
    pub const RUNTIME: Self = Self(Cmode::Runtime.bit());
    /// Only [`Cmode::Driverinit`].
    pub const DRIVERINIT: Self = Self(Cmode::Driverinit.bit());
    /// Only [`Cmode::Permanent`].
    pub const PERMANENT: Self = Self(Cmode::Permanent.bit());

    /// These modes and those of `other`.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether `cmode` is among them.
    #[must_use]
    pub const fn contains(self, cmode: Cmode) -> bool {
        self.0 & cmode.bit() != 0
    }
}

impl fmt::Debug for Cmodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set()
            .entries(Cmode::ALL.iter().filter(|&&mode| self.contains(mode)))
            .finish()
    }
}
