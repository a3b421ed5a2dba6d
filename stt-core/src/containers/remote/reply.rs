//! One of several answers that come behind each other on a connection. Pure.

use crate::containers::answer::header;
use crate::containers::answer::is_good;
use crate::containers::request::Chunk;
use crate::containers::request::Chunks;

/// A good answer.
#[derive(Debug)]
pub(super) struct Reply<'a> {
    head: &'a str,
    /// What it has to say.
    pub(super) body: Vec<u8>,
}

impl Reply<'_> {
    /// What its head says under this name.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(self.head, name)
    }
}

/// Reads the first of these answers, and says what is behind it; `None` where it is not whole, or no good one.
pub(super) fn read(bytes: &[u8]) -> Option<(Reply<'_>, &[u8])> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let rest = &bytes[end + 4..];
    let (body, length) = match (
        header(head, "transfer-encoding"),
        header(head, "content-length"),
    ) {
        (Some(_), _) => {
            let mut chunks = Chunks::default();
            let Chunk::Done = chunks.read(rest) else {
                return None;
            };
            (std::mem::take(&mut chunks.body), chunks.at)
        }
        (None, length) => {
            let length = length?.parse().ok()?;
            (rest.get(..length)?.to_vec(), length)
        }
    };
    is_good(bytes).then_some((Reply { head, body }, &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_told_from_each_other() {
        let bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nDate: now\r\n\r\n[]\
            HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n\
            HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
        let (first, rest) = read(bytes).unwrap();
        assert_eq!(
            (&*first.body, first.header("date")),
            (&b"[]"[..], Some("now"))
        );
        let (second, rest) = read(rest).unwrap();
        assert_eq!(
            (&*second.body, second.header("date")),
            (&b"abcde"[..], None)
        );
        assert!(read(rest).is_none(), "it is a refusal");
    }

    #[test]
    fn what_has_no_end_is_no_answer() {
        for bytes in [
            "",
            "HTTP/1.1 200 OK\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n[]",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n",
            "no answer\r\nContent-Length: 0\r\n\r\n",
        ] {
            assert!(read(bytes.as_bytes()).is_none(), "{bytes}");
        }
    }
}
