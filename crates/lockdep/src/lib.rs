//! A run-time lock-order validator with the rules and the report of the kernel's lockdep
