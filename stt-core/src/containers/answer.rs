//! An engine's answer: whether it is whole, whether it is good, and what it has made. Pure.

use crate::container::is_id;

/// The member of an answer that names what was made, in Docker's API and in Podman's own (`ContainerCreate`).
const ID: &str = "\"Id\"";

/// The longest beginning of an answer in which an id is looked for.
pub(super) const MOST: usize = 8 << 10;

/// What the beginning of an answer says of what was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Made {
    /// Nothing yet.
    More,
    /// Nothing, and nothing more of use comes.
    Nothing,
    /// Something with this id.
    Id(String),
}

/// Looks for the id of what was made in an answer, as far as it is here.
pub(super) fn made(answer: &[u8]) -> Made {
    if answer.len() >= 13 && !is_good(answer) {
        return Made::Nothing;
    }
    let text = String::from_utf8_lossy(answer);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let member = body.split_once(ID).map(|(_, rest)| rest.trim_start());
    let value = member.and_then(|rest| rest.strip_prefix(':')?.trim_start().strip_prefix('"'));
    let id = value
        .and_then(|value| value.split_once('"'))
        .map(|(id, _)| id);
    match id {
        Some(id) if is_id(id) => Made::Id(id.to_owned()),
        Some(_) => Made::Nothing,
        None if answer.len() >= MOST || is_whole(answer) => Made::Nothing,
        None => Made::More,
    }
}

/// Whether an answer is all there, though the connection is not closed.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    let Some(end) = answer.windows(4).position(|four| four == b"\r\n\r\n") else {
        return false;
    };
    let body = answer.len() - end - 4;
    let head = String::from_utf8_lossy(&answer[..end]);
    match (
        header(&head, "transfer-encoding"),
        header(&head, "content-length"),
    ) {
        (Some(_), _) => body > 0 && answer.ends_with(b"\r\n0\r\n\r\n"),
        (None, Some(length)) => length.parse().is_ok_and(|length: usize| body >= length),
        (None, None) => matches!(status(answer), Some(204 | 304)),
    }
}

/// What a head says under this name.
pub(super) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = head.split("\r\n").filter_map(|line| line.split_once(':'));
    lines.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then(|| value.trim()))
}

/// The number in the first line of an answer (RFC 9112, 4).
pub(super) fn status(answer: &[u8]) -> Option<u16> {
    let line = answer.strip_prefix(b"HTTP/1.")?;
    let digits = line.get(1..5)?.strip_prefix(b" ")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Whether the engine has done what it was asked for.
pub(super) fn is_good(answer: &[u8]) -> bool {
    status(answer).is_some_and(|status| (200..300).contains(&status))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_made_is_known_as_soon_as_it_is_said() {
        let id = "0123456789abcdef".repeat(4);
        let created = "HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n";
        let body = format!("{{\"Id\":\"{id}\",\"Warnings\":[]}}");
        let whole = format!("{created}Content-Length: {}\r\n\r\n{body}", body.len());
        let end = whole.find(&id).unwrap() + id.len() + 1;
        for length in 0..=whole.len() {
            let expected = if length < end {
                Made::More
            } else {
                Made::Id(id.clone())
            };
            assert_eq!(made(&whole.as_bytes()[..length]), expected, "{length}");
        }
        let chunked =
            format!("{created}Transfer-Encoding: chunked\r\n\r\n5c\r\n{{ \"Id\" : \"{id}\" }}");
        assert_eq!(made(chunked.as_bytes()), Made::Id(id));
    }

    #[test]
    fn what_names_nothing_is_not_waited_for() {
        let long = format!("HTTP/1.1 201 Created\r\n\r\n{}", "x".repeat(MOST));
        for answer in [
            "HTTP/1.1 404 Not Found\r\n\r\n",
            "HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\n{}",
            "HTTP/1.1 201 Created\r\n\r\n{\"Id\":\"../../x\"}",
            "no answer of an engine",
            &long,
        ] {
            assert_eq!(made(answer.as_bytes()), Made::Nothing, "{answer}");
        }
    }

    #[test]
    fn the_end_of_an_answer_is_known() {
        for (answer, whole) in [
            ("", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{", false),
            ("HTTP/1.1 200 OK\r\ncontent-length:2\r\n\r\n{}", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n{}", false),
            ("HTTP/1.1 200 OK\r\n\r\n{}", false),
            ("HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", true),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
                false,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
                true,
            ),
        ] {
            assert_eq!(is_whole(answer.as_bytes()), whole, "{answer}");
        }
    }
}
