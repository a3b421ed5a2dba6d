//! Real children against the kernel: what starts, what exits, what has to be ended.

mod bench;
mod ending;
mod family;
mod helper;
mod running;
