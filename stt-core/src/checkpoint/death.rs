//! The last word about a leg whose process died: said by whoever watched it, in a file that may end
//! in the middle of a record.

use std::fs;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::os::unix::fs::FileExt as _;
use std::os::unix::fs::OpenOptionsExt as _;

use camino::Utf8Path;

use crate::checkpoint::file::CheckpointError;
use crate::checkpoint::format::MAX_RECORD;
use crate::checkpoint::format::Record;
use crate::checkpoint::load::read_header;
use crate::checkpoint::tail::Framed;
use crate::checkpoint::tail::Tail;
use crate::id::RunId;
use crate::outcome::Exit;

/// How much of the end of a file is read: nearly always enough, and the most that a last record and
/// its closing may take.
const LOOKS: [u64; 2] = [64 << 10, MAX_RECORD as u64 + 16];

/// Appends to the checkpoint of a dead process how it died, and waits for the disk. Nobody may write
/// to the file any more. Says whether it was done: a file of another run or another leg is left as it
/// is, because then the leg died before it had written anything.
///
/// # Errors
/// The file can't be read or written.
pub fn mark_death(
    path: &Utf8Path,
    run: &RunId,
    leg: u32,
    exit: Exit,
) -> Result<bool, CheckpointError> {
    let failed = |source| CheckpointError::Write {
        path: path.to_owned(),
        source,
    };
    if !fs::metadata(path).is_ok_and(|metadata| metadata.is_file()) {
        return Ok(false);
    }
    let file = File::options()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path)
        .map_err(failed)?;
    let header = read_header(&mut BufReader::new(&file), path);
    if !header.is_ok_and(|header| header.run == *run && header.leg == leg) {
        return Ok(false);
    }
    let mut tail = find_tail(&file).map_err(failed)?;
    let line = Record::Died { exit }
        .encode()
        .ok_or_else(|| failed(io::ErrorKind::InvalidData.into()))?;
    tail.append(&file, &Framed::new(&line), || None)
        .map_err(|refused| failed(refused.source))?;
    file.sync_data().map_err(|source| CheckpointError::Sync {
        path: path.to_owned(),
        source,
    })?;
    Ok(true)
}

fn find_tail(file: &File) -> io::Result<Tail> {
    let length = file.metadata()?.len();
    for look in LOOKS {
        let from = length.saturating_sub(look);
        let mut bytes = vec![0; usize::try_from(length - from).unwrap_or(0)];
        file.read_exact_at(&mut bytes, from)?;
        if let Some(end) = ending(&bytes) {
            let empty = bytes[..end].ends_with(b"[");
            return Ok(Tail::torn(from + end as u64, empty));
        }
    }
    Err(io::ErrorKind::InvalidData.into())
}

/// Where, in the last bytes of a checkpoint, the next record goes: in the place of the closing, or
/// behind the last record that is whole. `None` when so few bytes don't tell.
fn ending(bytes: &[u8]) -> Option<usize> {
    let newline = bytes.iter().rposition(|&byte| byte == b'\n')?;
    let (before, last) = (&bytes[..newline], &bytes[newline + 1..]);
    if last == b"]}" {
        return Some(newline);
    }
    let whole = last.strip_suffix(b",").unwrap_or(last);
    if Record::decode(whole).is_some() {
        return Some(newline + 1 + whole.len());
    }
    Some(newline - usize::from(before.ends_with(b",")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::file::Writer;
    use crate::checkpoint::format::tests::header;
    use crate::checkpoint::format::tests::test_id;
    use crate::checkpoint::load::Loaded;
    use crate::checkpoint::load::load;

    const KILLED: Exit = Exit::Signal(9);

    fn started(name: &str) -> Record {
        Record::Started {
            test: test_id("app", name),
        }
    }

    /// A checkpoint with so many records, cut after so many of its bytes, marked and read back.
    fn marked(records: &[Record], keep: impl Fn(&[u8]) -> usize) -> Loaded {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("c.json");
        let writer = Writer::create(&path, &header(), Vec::<Record>::new()).unwrap();
        for record in records {
            writer.append(record).unwrap();
        }
        let bytes = fs::read(&path).unwrap();
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(keep(&bytes) as u64).unwrap();
        assert!(mark_death(&path, &header().run, 1, KILLED).unwrap());
        let whole: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(whole["format"], 1);
        load(&path, &header().workspace_root).unwrap()
    }

    #[test]
    fn wherever_the_file_ends_the_whole_records_stay() {
        let records = [started("a"), started("b")];
        let line = records[1].encode().unwrap().len();
        let size = marked(&records, <[u8]>::len);
        assert_eq!((size.started.len(), size.died), (2, Some(KILLED)));
        // The last record with its comma, line ends and closing, byte by byte from the end.
        for cut in 0..line + ",\n\n]}".len() {
            let loaded = marked(&records, |bytes| bytes.len() - cut);
            let expected = if cut <= "\n]}".len() { 2 } else { 1 };
            assert_eq!(loaded.started.len(), expected, "{cut} bytes cut");
            assert_eq!((loaded.died, loaded.repaired), (Some(KILLED), None));
        }
    }

    #[test]
    fn a_file_without_records_is_marked() {
        for cut in 0.."\n]}".len() {
            let loaded = marked(&[], |bytes| bytes.len() - cut);
            assert_eq!((loaded.died, loaded.repaired), (Some(KILLED), None));
        }
    }

    #[test]
    fn a_file_of_somebody_else_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = Utf8Path::from_path(dir.path()).unwrap().join("c.json");
        let mark = |leg| mark_death(&path, &header().run, leg, KILLED).unwrap();
        assert!(!mark(1), "there is none");
        fs_err::write(&path, "{}").unwrap();
        assert!(!mark(1), "it is no checkpoint");
        drop(Writer::create(&path, &header(), Vec::<Record>::new()).unwrap());
        assert!(!mark(2), "it is of an earlier leg");
        let other = RunId::from_random([8; 16]);
        assert!(!mark_death(&path, &other, 1, KILLED).unwrap());
        let loaded = load(&path, &header().workspace_root).unwrap();
        assert_eq!(loaded.died, None);
    }
}
