//! Real children against the kernel: what starts, what exits, what has to be ended.

#[cfg(target_os = "linux")]
mod attackers;
#[cfg(target_os = "linux")]
mod bench;
mod ending;
mod family;
#[cfg(target_os = "linux")]
mod groups;
mod helper;
mod ports;
mod running;
