//! Sets of the values of an enum: which actions, limits or operations a driver has.

/// Defines the set of an enum's values; their numbers are below 32.
macro_rules! bit_set {
    ($(#[$doc:meta])* $set:ident of $item:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct $set(u32);

        impl $set {
            /// None of them.
            pub const NONE: Self = Self(0);

            /// Exactly these.
            #[must_use]
            pub const fn of(items: &[$item]) -> Self {
                let (mut bits, mut i) = (0, 0);
                while i < items.len() {
                    bits |= 1 << items[i] as u32;
                    i += 1;
                }
                Self(bits)
            }

            /// Whether `item` is one of them.
            #[must_use]
            pub const fn contains(self, item: $item) -> bool {
                self.0 & (1 << item as u32) != 0
            }
        }
    };
}

pub(crate) use bit_set;
