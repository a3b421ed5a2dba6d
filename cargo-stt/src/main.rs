//! The command `cargo stt`.

#[expect(unused_imports, reason = "the commands that use it are not merged yet")]
#[cfg_attr(
    not(test),
    expect(dead_code, reason = "the commands that use it are not merged yet")
)]
mod render;

fn main() {}
