//! What the tests share.

use std::path::PathBuf;

/// The image that holds busybox.
pub fn image() -> String {
    std::env::var("CONTAINERS_IMAGE").expect("CONTAINERS_IMAGE names an image with busybox")
}

/// Leaves a trace.
pub fn leave(name: &str, text: &str) {
    let dir = std::env::var("HOSTILE_DIR").expect("HOSTILE_DIR names a directory for traces");
    std::fs::write(PathBuf::from(dir).join(name), text).expect("the traces are writable");
}
