//! The `mufakat` command.
fn main() {}
