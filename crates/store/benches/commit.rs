//! How long commits take.
fn main() {}
