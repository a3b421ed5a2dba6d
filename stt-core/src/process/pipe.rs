//! Pipes by which one thread or process wakes another.

use std::io;
use std::io::PipeReader;
use std::io::PipeWriter;
use std::os::fd::AsFd as _;

use nix::fcntl::FcntlArg;
use nix::fcntl::OFlag;

/// A pipe neither side of which ever waits for the other.
///
/// # Errors
/// The system refuses a descriptor.
pub fn nonblocking_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (reader, writer) = io::pipe()?;
    for end in [reader.as_fd(), writer.as_fd()] {
        nix::fcntl::fcntl(end, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    }
    Ok((reader, writer))
}
