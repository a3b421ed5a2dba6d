//! The end of the file: where the next record goes, and what happens when it can't go there.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::checkpoint::format::CLOSING;

/// How many bytes of records may wait in memory for a file that can't be written.
const MAX_WAITING: usize = 8 << 20;

/// What a tail needs of a file.
pub(super) trait Storage {
    /// Writes all of `bytes` at `offset`; after an error any part of them may have been written.
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Cuts the file, or extends it by zeros.
    fn set_len(&self, len: u64) -> io::Result<()>;
}

impl Storage for File {
    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        Self::set_len(self, len)
    }
}

/// A record with what surrounds it in the file: `,\n{…}\n]}`.
pub(super) struct Framed(Vec<u8>);

impl Framed {
    /// Frames a line of [`Record::encode`](crate::checkpoint::format::Record::encode).
    pub(super) fn new(line: &[u8]) -> Self {
        Self([b",\n", line, CLOSING].concat())
    }

    /// Without the closing: what other records may follow.
    fn open(&self) -> &[u8] {
        &self.0[..self.0.len() - CLOSING.len()]
    }
}

/// An append did not reach the file.
#[derive(Debug)]
pub(super) struct Refused {
    /// What the file said.
    pub(super) source: io::Error,
    /// Whether the record waits in memory; otherwise there was no room for it.
    pub(super) waits: bool,
}

/// The end of a file that is valid JSON whenever no write is under way.
pub(super) struct Tail {
    /// Where the closing begins, and the next record will.
    end: u64,
    /// Whether there is no record yet, so that the next one needs no comma before it.
    empty: bool,
    /// Whether bytes of a failed write may be behind the closing, or in its place.
    torn: bool,
    /// Framed records without closings that could not be written yet.
    waiting: Vec<u8>,
    /// How many they are.
    waiting_count: usize,
    /// How many records found no room even there.
    lost: usize,
}

impl Tail {
    /// The tail of a file whose closing begins at `end`.
    pub(super) fn new(end: u64, empty: bool) -> Self {
        Self {
            end,
            empty,
            torn: false,
            waiting: Vec::new(),
            waiting_count: 0,
            lost: 0,
        }
    }

    /// The tail of a file whose next record goes to `end`, and in which anything may follow there.
    pub(super) fn torn(end: u64, empty: bool) -> Self {
        Self {
            torn: true,
            ..Self::new(end, empty)
        }
    }

    /// Where the closing begins.
    pub(super) fn end(&self) -> u64 {
        self.end
    }

    /// How many records are not in the file.
    pub(super) fn unwritten(&self) -> usize {
        self.waiting_count + self.lost
    }

    /// Appends a record, and before it those that wait. When that fails `slim`, which should be the
    /// same record without what is large, waits for the next time.
    ///
    /// # Errors
    /// What the file said.
    pub(super) fn append(
        &mut self,
        storage: &impl Storage,
        framed: &Framed,
        slim: impl FnOnce() -> Option<Framed>,
    ) -> Result<(), Refused> {
        let written = if self.waiting.is_empty() {
            self.write(storage, &framed.0)
        } else {
            let bytes = [&*self.waiting, &*framed.0].concat();
            self.write(storage, &bytes)
        };
        match written {
            Ok(()) => {
                self.nothing_waits();
                Ok(())
            }
            Err(source) => Err(Refused {
                source,
                waits: self.wait(slim()),
            }),
        }
    }

    /// Appends what waits.
    ///
    /// # Errors
    /// What the file said; it waits on.
    pub(super) fn flush(&mut self, storage: &impl Storage) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let bytes = [&*self.waiting, CLOSING].concat();
        self.write(storage, &bytes)?;
        self.nothing_waits();
        Ok(())
    }

    fn nothing_waits(&mut self) {
        self.waiting = Vec::new();
        self.waiting_count = 0;
    }

    fn wait(&mut self, record: Option<Framed>) -> bool {
        let record = record.filter(|it| self.waiting.len() + it.open().len() <= MAX_WAITING);
        match &record {
            Some(framed) => {
                self.waiting.extend_from_slice(framed.open());
                self.waiting_count += 1;
            }
            None => self.lost += 1,
        }
        record.is_some()
    }

    /// Overwrites the closing by `framed`, which ends with a new one, in a single write: a reader
    /// that comes after it finds valid JSON, and a death in the middle of it spoils no line before.
    fn write(&mut self, storage: &impl Storage, framed: &[u8]) -> io::Result<()> {
        let bytes = &framed[usize::from(self.empty)..];
        if let Err(error) = storage.write_all_at(bytes, self.end) {
            self.repair(storage);
            return Err(error);
        }
        self.end += (bytes.len() - CLOSING.len()) as u64;
        self.empty = false;
        if self.torn {
            self.torn = storage.set_len(self.len()).is_err();
        }
        Ok(())
    }

    /// Takes back what a failed write may have left. The closing goes where it was, which takes no
    /// space on a file system that overwrites in place, so that it works on a full one.
    fn repair(&mut self, storage: &impl Storage) {
        let closed = storage.write_all_at(CLOSING, self.end);
        let cut = storage.set_len(self.len());
        self.torn = closed.is_err() || cut.is_err();
    }

    fn len(&self) -> u64 {
        self.end + CLOSING.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use std::cell::Cell;
    use std::cell::RefCell;

    /// A file in memory whose writes fail when told to, after any part of them.
    struct Faulty {
        bytes: RefCell<Vec<u8>>,
        /// How many bytes the next writes may write in all before they fail; `None` for any.
        room: Cell<Option<usize>>,
        cut_fails: Cell<bool>,
    }

    const START: &[u8] = b"{\"format\":1,\"results\":[";

    impl Faulty {
        fn new() -> Self {
            Self {
                bytes: RefCell::new([START, CLOSING].concat()),
                room: Cell::new(None),
                cut_fails: Cell::new(false),
            }
        }

        fn numbers(&self) -> Option<Vec<u64>> {
            let value: Value = serde_json::from_slice(&self.bytes.borrow()).ok()?;
            value["results"]
                .as_array()?
                .iter()
                .map(Value::as_u64)
                .collect()
        }
    }

    impl Storage for Faulty {
        fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let written = bytes.len().min(self.room.get().unwrap_or(usize::MAX));
            let mut file = self.bytes.borrow_mut();
            let offset = usize::try_from(offset).unwrap();
            let end = offset + written;
            if file.len() < end {
                file.resize(end, 0);
            }
            file[offset..end].copy_from_slice(&bytes[..written]);
            if written < bytes.len() {
                // The disk is full for what is new; the old closing can be overwritten.
                self.room.set(Some(CLOSING.len()));
                return Err(io::Error::from(io::ErrorKind::StorageFull));
            }
            Ok(())
        }

        fn set_len(&self, len: u64) -> io::Result<()> {
            if self.cut_fails.get() {
                return Err(io::Error::other("no"));
            }
            self.bytes
                .borrow_mut()
                .resize(usize::try_from(len).unwrap(), 0);
            Ok(())
        }
    }

    fn tail() -> Tail {
        Tail::new(START.len() as u64, true)
    }

    fn number(number: u64) -> Framed {
        Framed::new(number.to_string().as_bytes())
    }

    #[test]
    fn the_file_is_valid_after_a_write_that_failed_at_any_byte() {
        for already in [0, 1] {
            for room in 0..number(1_234_567).0.len() - 1 {
                let (file, mut tail) = (Faulty::new(), tail());
                for early in 0..already {
                    tail.append(&file, &number(early), || None).unwrap();
                }
                file.room.set(Some(room));
                let refused = tail.append(&file, &number(1_234_567), || Some(number(1)));
                assert!(refused.unwrap_err().waits);
                let before: Vec<u64> = (0..already).collect();
                assert_eq!(file.numbers(), Some(before.clone()), "room for {room}");
                assert_eq!(tail.unwritten(), 1);

                file.room.set(None);
                tail.append(&file, &number(2), || None).unwrap();
                assert_eq!(file.numbers(), Some([before, vec![1, 2]].concat()));
                assert_eq!(tail.unwritten(), 0);
            }
        }
    }

    #[test]
    fn what_waits_can_be_written_without_a_new_record() {
        let (file, mut tail) = (Faulty::new(), tail());
        file.room.set(Some(0));
        tail.append(&file, &number(1), || Some(number(1)))
            .unwrap_err();
        tail.flush(&file).unwrap_err();
        assert_eq!(tail.unwritten(), 1);
        file.room.set(None);
        tail.flush(&file).unwrap();
        assert_eq!(file.numbers(), Some(vec![1]));
        tail.flush(&file).unwrap();
        assert_eq!(file.numbers(), Some(vec![1]));
    }

    #[test]
    fn a_repair_that_failed_is_made_up_for_by_the_next_write() {
        let (file, mut tail) = (Faulty::new(), tail());
        file.room.set(Some(12));
        file.cut_fails.set(true);
        tail.append(&file, &number(123_456_789_012), || None)
            .unwrap_err();
        assert_eq!(file.numbers(), None);
        file.room.set(None);
        file.cut_fails.set(false);
        tail.append(&file, &number(5), || None).unwrap();
        assert_eq!(file.numbers(), Some(vec![5]));
    }

    #[test]
    fn what_waits_is_bounded_and_what_is_lost_is_counted() {
        let (file, mut tail) = (Faulty::new(), tail());
        file.room.set(Some(0));
        let large = || Some(Framed::new(&vec![b'1'; MAX_WAITING / 2]));
        assert!(tail.append(&file, &number(1), large).unwrap_err().waits);
        assert!(!tail.append(&file, &number(2), large).unwrap_err().waits);
        assert_eq!(tail.unwritten(), 2);
        assert!(tail.waiting.len() <= MAX_WAITING);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_doubled_over_any_failures(
            failures in proptest::collection::vec(proptest::option::of(0_usize..40), 0..30),
        ) {
            let (file, mut tail) = (Faulty::new(), tail());
            for (index, room) in failures.iter().enumerate() {
                file.room.set(*room);
                let record = || number(index as u64);
                drop(tail.append(&file, &record(), || Some(record())));
                prop_assert!(file.numbers().is_some());
            }
            file.room.set(None);
            tail.flush(&file).unwrap();
            let all: Vec<u64> = (0..failures.len() as u64).collect();
            prop_assert_eq!(file.numbers(), Some(all));
        }
    }
}
