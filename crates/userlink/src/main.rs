//! The `userlink` command.

fn main() {}
