//! The kernel whose devlink a machine shows.
//!
//! Everything that came later than 6.1 carries the version in which it appeared, so that one table
//! serves every emulated kernel: an attribute that is younger than the machine's kernel is not
//! written, not known to the policies and not listed by the controller.

use std::fmt;
use std::str::FromStr;

/// A kernel version, as far as interfaces depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelVersion {
    /// The first number, 6 in `6.12`.
    pub major: u8,
    /// The second number, 12 in `6.12`.
    pub minor: u8,
}

impl KernelVersion {
    /// Linux 6.1: the family in its old form, one policy for all commands.
    pub const V6_1: Self = Self::new(6, 1);
    /// Linux 6.12: a policy for each command, notification filters.
    pub const V6_12: Self = Self::new(6, 12);
    /// Linux 7.2: instance indexes, resource dumps, parameter defaults.
    pub const V7_2: Self = Self::new(7, 2);
    /// Every version that has been compared with a real kernel, oldest first.
    pub const SUPPORTED: [Self; 3] = [Self::V6_1, Self::V6_12, Self::V7_2];
    /// What a machine is when nobody asks for something else.
    pub const DEFAULT: Self = Self::V7_2;

    /// Names a version; it need not be a supported one (the table says "since 6.17").
    pub const fn new(major: u8, minor: u8) -> Self {
        Self { major, minor }
    }

    /// Whether this kernel has what appeared in `since`.
    pub const fn has(self, since: Self) -> bool {
        self.major > since.major || (self.major == since.major && self.minor >= since.minor)
    }
}

impl Default for KernelVersion {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

/// The text names no supported kernel; the message lists those that are.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown kernel version '{given}': {}", supported())]
pub struct UnknownKernel {
    given: String,
}

fn supported() -> String {
    let names: Vec<String> = KernelVersion::SUPPORTED
        .iter()
        .map(ToString::to_string)
        .collect();
    names.join(", ")
}

impl FromStr for KernelVersion {
    type Err = UnknownKernel;

    fn from_str(given: &str) -> Result<Self, UnknownKernel> {
        Self::SUPPORTED
            .into_iter()
            .find(|version| version.to_string() == given)
            .ok_or_else(|| UnknownKernel {
                given: given.to_owned(),
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn supported_versions_parse_and_others_are_listed() {
        for version in KernelVersion::SUPPORTED {
            assert_eq!(version.to_string().parse(), Ok(version));
        }
        let error = "5.10".parse::<KernelVersion>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown kernel version '5.10': 6.1, 6.12, 7.2"
        );
    }

    #[test]
    fn minor_versions_compare_as_numbers() {
        assert!(KernelVersion::V6_12.has(KernelVersion::V6_1));
        assert!(!KernelVersion::V6_1.has(KernelVersion::V6_12));
        assert!(KernelVersion::V7_2.has(KernelVersion::new(6, 19)));
    }
}
