//! A kernel file that stays open.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use camino::Utf8Path;
use camino::Utf8PathBuf;

/// An open file that the kernel writes anew for each reading from its start.
#[derive(Debug)]
pub(super) struct Source {
    file: File,
    path: Utf8PathBuf,
}

impl Source {
    /// Opens a file for reading.
    pub(super) fn open(path: Utf8PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { file, path })
    }

    /// The file's path.
    pub(super) fn path(&self) -> &Utf8Path {
        &self.path
    }

    /// The same of a file with a record for each line, which the kernel gives out a page at a time.
    pub(super) fn read_lines<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match self.file.read_at(rest, length as u64) {
                Ok(0) => break,
                Ok(more) => length += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(&buffer[..length])
    }

    /// What the file holds now, as far as the buffer goes. One `pread` is enough: the files of this
    /// room are each a single record of a `seq_file`, which is copied as a whole.
    pub(super) fn read<'b>(&self, buffer: &'b mut [u8]) -> io::Result<&'b [u8]> {
        loop {
            match self.file.read_at(buffer, 0) {
                Ok(length) => return Ok(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}
