//! The command `cargo stt`.

fn main() {}
