//! Reads the first request of a connection and says what goes to the engine instead of it. Pure.
//!
//! Most requests go on as they came, but for one line: the connection is to be closed after the answer, so
//! that the next request comes on a connection of its own and is read as well. Those that make something
//! get the label. What can't be understood goes on unchanged, whatever it is: the engine answers it.

use std::ops::Range;

use super::label::Label;
use super::label::decode;
use super::naming;
use super::volume;
use super::volume::Volume;
use crate::container::Thing;

/// The longest head that is looked for.
const MOST_HEAD: usize = 64 << 10;

/// The longest body that is changed. Those of engines are a few kilobytes long.
const MOST_BODY: usize = 8 << 20;

/// What the client is told whose body is waited for (RFC 9110, 10.1.1).
pub(super) const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

/// What follows from what has come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is needed.
    More {
        /// Whether the client waits to be told so.
        invite: bool,
    },
    /// This goes to the engine. What comes after it goes on as it is.
    Ready(Ready),
}

/// What goes to the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Ready {
    /// The bytes, which hold all that has come.
    pub(super) bytes: Vec<u8>,
    /// What comes of it.
    pub(super) makes: Makes,
    /// The volumes that would come to be with it, without a label.
    pub(super) volumes: Vec<Volume>,
    /// The container that it makes, still without its id.
    pub(super) container: Option<Thing>,
}

impl Ready {
    fn new(bytes: Vec<u8>, makes: Makes) -> Self {
        Self {
            bytes,
            makes,
            volumes: Vec::new(),
            container: None,
        }
    }
}

/// What a request makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Makes {
    /// Nothing that would have to be removed.
    Nothing,
    /// An image. The containers in which its steps run have no label: the engine removes them before its answer
    /// ends.
    Image,
    /// Something with the label, which is there once the engine begins to answer.
    Thing,
}

/// Reads a request.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// All that has come.
    bytes: Vec<u8>,
    body: Option<Body>,
}

/// A body that is waited for.
#[derive(Debug)]
struct Body {
    member: &'static str,
    /// Where it begins.
    start: usize,
    framing: Framing,
}

#[derive(Debug)]
enum Framing {
    Length(usize),
    Chunked(Chunks),
}

impl Reader {
    /// Takes what has come next.
    pub(super) fn take(&mut self, bytes: &[u8], label: &Label) -> Progress {
        self.bytes.extend_from_slice(bytes);
        if self.body.is_some() {
            return self.go_on(label, false);
        }
        let Some(end) = find(&self.bytes, b"\r\n\r\n") else {
            if self.bytes.len() > MOST_HEAD || is_other(&self.bytes) {
                return self.unchanged();
            }
            return Progress::More { invite: false };
        };
        let end = end + 4;
        let Some(head) = Head::parse(&self.bytes[..end]) else {
            return self.unchanged();
        };
        match task(head.method, head.target) {
            Task::Label(member) => {
                let Some(framing) = head.framing() else {
                    return self.closing(end);
                };
                let invite = head.has("expect", "100-continue");
                self.body = Some(Body {
                    member,
                    start: end,
                    framing,
                });
                self.go_on(label, invite)
            }
            Task::Build if !head.is_upgrade() => {
                let target = label.into_query(head.target);
                let target = target.unwrap_or_else(|| head.target.to_owned());
                let mut bytes = head.rewritten(&target, &["connection"], &["Connection: close"]);
                bytes.extend_from_slice(&self.bytes[end..]);
                Progress::Ready(Ready::new(bytes, Makes::Image))
            }
            Task::Build | Task::Nothing if head.is_upgrade() => self.unchanged(),
            Task::Build | Task::Nothing => self.closing(end),
        }
    }

    /// The body of a request that makes something, as far as it is here.
    fn go_on(&mut self, label: &Label, invite: bool) -> Progress {
        let Some(body) = &mut self.body else {
            return self.unchanged();
        };
        let start = body.start;
        let here = &self.bytes[start..];
        let whole = match &mut body.framing {
            Framing::Length(length) if *length > MOST_BODY => return self.forward(start),
            Framing::Length(length) => here.get(..*length).map(|body| (body.to_vec(), *length)),
            Framing::Chunked(chunks) => match chunks.read(here) {
                Chunk::Bad => return self.forward(start),
                Chunk::More if here.len() > MOST_BODY => return self.forward(start),
                Chunk::More => None,
                Chunk::Done => Some((std::mem::take(&mut chunks.body), chunks.at)),
            },
        };
        let Some((content, used)) = whole else {
            // Who has sent some of it does not wait.
            let invite = invite && here.is_empty();
            return Progress::More { invite };
        };
        let Some(labelled) = label.into_body(&content, body.member) else {
            return self.forward(start);
        };
        let Some(head) = Head::parse(&self.bytes[..start]) else {
            return self.unchanged();
        };
        let volumes = volume::named(head.target, &content, label);
        let length = format!("Content-Length: {}", labelled.len());
        let without = [
            "connection",
            "content-length",
            "transfer-encoding",
            "expect",
            "trailer",
        ];
        let mut bytes = head.rewritten(head.target, &without, &[&length, "Connection: close"]);
        bytes.extend_from_slice(&labelled);
        bytes.extend_from_slice(&self.bytes[start + used..]);
        let container = naming::container(head.target, &content);
        Progress::Ready(Ready {
            volumes,
            container,
            ..Ready::new(bytes, Makes::Thing)
        })
    }

    /// All that has come, with a connection that is to be closed.
    fn closing(&mut self, end: usize) -> Progress {
        self.without(end, &["connection"])
    }

    /// The same for a request that should have got a label. Whoever has sent some of its body waits for no
    /// invitation any more.
    fn forward(&mut self, end: usize) -> Progress {
        if self.bytes.len() > end {
            self.without(end, &["connection", "expect"])
        } else {
            self.closing(end)
        }
    }

    fn without(&mut self, end: usize, names: &[&str]) -> Progress {
        let Some(head) = Head::parse(&self.bytes[..end]) else {
            return self.unchanged();
        };
        let mut bytes = head.rewritten(head.target, names, &["Connection: close"]);
        bytes.extend_from_slice(&self.bytes[end..]);
        Progress::Ready(Ready::new(bytes, Makes::Nothing))
    }

    fn unchanged(&mut self) -> Progress {
        let bytes = std::mem::take(&mut self.bytes);
        Progress::Ready(Ready::new(bytes, Makes::Nothing))
    }
}

/// What is done about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    /// Its body gets the label in this member.
    Label(&'static str),
    /// Its query does.
    Build,
    Nothing,
}

/// What is done about a request with this method and target: one of Docker's API or of Podman's own, with a
/// version in front or none.
fn task(method: &str, target: &str) -> Task {
    if method != "POST" {
        return Task::Nothing;
    }
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let path = match path.split_once("://") {
        Some((_, rest)) => rest.find('/').map_or("", |at| &rest[at..]),
        None => path,
    };
    let Some(path) = decode(path) else {
        return Task::Nothing;
    };
    let names: Vec<_> = path.split('/').filter(|name| !name.is_empty()).collect();
    let names = match names.split_first() {
        Some((first, rest)) if is_version(first) => rest,
        _ => &names,
    };
    match names {
        ["containers" | "networks" | "volumes", "create"] => Task::Label("Labels"),
        ["libpod", "containers" | "networks" | "pods", "create"] => Task::Label("labels"),
        ["libpod", "volumes", "create"] => Task::Label("Label"),
        ["build"] | ["libpod", "build"] => Task::Build,
        _ => Task::Nothing,
    }
}

/// Whether a part of a path is a version, such as `v1.41` or `v4.3.1`.
fn is_version(name: &str) -> bool {
    name.strip_prefix('v').is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_digit() || byte == b'.')
    })
}

/// Whether these bytes begin no request of HTTP/1: such a one has letters, a blank, and a path.
fn is_other(bytes: &[u8]) -> bool {
    bytes.starts_with(b"PRI * HTTP/2")
        || bytes
            .first()
            .is_some_and(|first| !first.is_ascii_alphabetic())
}

/// The head of a request.
struct Head<'a> {
    method: &'a str,
    target: &'a str,
    version: &'a str,
    /// The lines behind the first one.
    lines: Vec<&'a str>,
}

impl<'a> Head<'a> {
    fn parse(bytes: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.strip_suffix("\r\n\r\n")?.split("\r\n");
        let mut first = lines.next()?.split(' ');
        let head = Self {
            method: first.next()?,
            target: first.next()?,
            version: first.next()?,
            lines: lines.collect(),
        };
        // A line that goes on in the next one, or has no name, is nothing to be clever about.
        let sound = |line: &&str| {
            let name = line.split_once(':').map_or("", |(name, _)| name);
            !name.is_empty() && !name.contains([' ', '\t'])
        };
        let http = matches!(head.version, "HTTP/1.1" | "HTTP/1.0");
        (http && first.next().is_none() && head.lines.iter().all(sound)).then_some(head)
    }

    /// The values of a header.
    fn values(&self, name: &str) -> impl Iterator<Item = &'a str> {
        let fields = self.lines.iter().filter_map(|line| line.split_once(':'));
        let own = fields.filter(move |(field, _)| field.eq_ignore_ascii_case(name));
        own.map(|(_, value)| value.trim())
    }

    /// Whether a header holds this word.
    fn has(&self, name: &str, word: &str) -> bool {
        let mut words = self.values(name).flat_map(|value| value.split(','));
        words.any(|one| one.trim().eq_ignore_ascii_case(word))
    }

    fn is_upgrade(&self) -> bool {
        self.has("connection", "upgrade") || self.values("upgrade").next().is_some()
    }

    /// How the body's end is known; `None` where there is no body, or that is not clear.
    fn framing(&self) -> Option<Framing> {
        let mut lengths = self.values("content-length");
        let mut codings = self.values("transfer-encoding");
        match (lengths.next(), codings.next()) {
            (Some(length), None) if lengths.next().is_none() => {
                length.parse().ok().map(Framing::Length)
            }
            (None, Some(coding)) if codings.next().is_none() => coding
                .eq_ignore_ascii_case("chunked")
                .then(|| Framing::Chunked(Chunks::default())),
            _ => None,
        }
    }

    /// The head with another target, without some headers and with others.
    fn rewritten(&self, target: &str, without: &[&str], with: &[&str]) -> Vec<u8> {
        let kept = self.lines.iter().copied().filter(|line| {
            let name = line.split_once(':').map_or("", |(name, _)| name);
            !without.iter().any(|one| one.eq_ignore_ascii_case(name))
        });
        let first = format!("{} {target} {}", self.method, self.version);
        let mut head = first;
        for line in kept.chain(with.iter().copied()) {
            head.push_str("\r\n");
            head.push_str(line);
        }
        head.push_str("\r\n\r\n");
        head.into_bytes()
    }
}

/// A body in chunks (RFC 9112, 7.1), as far as it was read.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    /// Up to where it was read.
    pub(super) at: usize,
    /// Its content.
    pub(super) body: Vec<u8>,
    /// Whether the last chunk was read.
    last: bool,
}

/// How far a body in chunks is.
pub(super) enum Chunk {
    /// More is needed.
    More,
    /// It is all here.
    Done,
    /// It is none.
    Bad,
}

impl Chunks {
    /// Reads on in the bytes from the beginning of the body.
    pub(super) fn read(&mut self, bytes: &[u8]) -> Chunk {
        loop {
            let Some(line) = line(bytes, self.at) else {
                return if bytes.len() - self.at > MOST_HEAD {
                    Chunk::Bad
                } else {
                    Chunk::More
                };
            };
            let next = line.end + 2;
            if self.last {
                self.at = next;
                if line.is_empty() {
                    return Chunk::Done;
                }
                continue;
            }
            let text = std::str::from_utf8(&bytes[line]).unwrap_or_default();
            let size = text.split_once(';').map_or(text, |(size, _)| size).trim();
            let Ok(size) = usize::from_str_radix(size, 16) else {
                return Chunk::Bad;
            };
            if size == 0 {
                self.last = true;
                self.at = next;
                continue;
            }
            if size > MOST_BODY {
                return Chunk::Bad;
            }
            let Some(content) = bytes.get(next..next + size) else {
                return Chunk::More;
            };
            match bytes.get(next + size..next + size + 2) {
                None => return Chunk::More,
                Some(b"\r\n") => {}
                Some(_) => return Chunk::Bad,
            }
            self.body.extend_from_slice(content);
            self.at = next + size + 2;
        }
    }
}

/// The line that begins here, without its end.
fn line(bytes: &[u8], from: usize) -> Option<Range<usize>> {
    let length = find(bytes.get(from..)?, b"\r\n")?;
    Some(from..from + length)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::RunId;

    const PAIR: &str = r#""dev.cargo-stt.run.07070707-0707-4707-8707-070707070707":"t""#;

    fn label() -> Label {
        Label::new(RunId::from_random([7; 16]), "t")
    }

    /// What becomes of a request that comes in these pieces, and how often its body was asked for.
    fn ready(pieces: &[&[u8]]) -> (Option<Ready>, usize) {
        let (mut reader, label, mut invited) = (Reader::default(), label(), 0);
        for (number, piece) in pieces.iter().enumerate() {
            match reader.take(piece, &label) {
                Progress::More { invite } => invited += usize::from(invite),
                Progress::Ready(mut ready) => {
                    ready.bytes.extend(pieces[number + 1..].concat());
                    return (Some(ready), invited);
                }
            }
        }
        (None, invited)
    }

    fn text(request: &str) -> (String, Makes) {
        let ready = ready(&[request.as_bytes()]).0.expect("it is whole");
        (String::from_utf8(ready.bytes).unwrap(), ready.makes)
    }

    #[test]
    fn what_makes_something_is_known_by_its_path() {
        for (target, expected) in [
            ("/containers/create", Task::Label("Labels")),
            ("/v1.41/containers/create?name=x", Task::Label("Labels")),
            ("/v1.41/networks/create", Task::Label("Labels")),
            ("/v1.24/volumes/create", Task::Label("Labels")),
            ("/v4.3.1/libpod/containers/create", Task::Label("labels")),
            ("/libpod/pods/create", Task::Label("labels")),
            ("/v4.0.0/libpod/networks/create", Task::Label("labels")),
            ("/v4.0.0/libpod/volumes/create", Task::Label("Label")),
            (
                "http://localhost/v1.41/containers/create",
                Task::Label("Labels"),
            ),
            ("/v1.41/containers/%63reate", Task::Label("Labels")),
            ("/v1.41/build?t=x", Task::Build),
            ("/libpod/build", Task::Build),
            ("/images/create?fromImage=x", Task::Nothing),
            ("/containers/create/x", Task::Nothing),
            ("/containers/json", Task::Nothing),
            ("/version", Task::Nothing),
            ("/v/containers/create", Task::Nothing),
            ("*", Task::Nothing),
        ] {
            assert_eq!(task("POST", target), expected, "{target}");
            assert_eq!(task("GET", target), Task::Nothing, "{target}");
        }
    }

    #[test]
    fn most_requests_only_lose_their_connection() {
        let before =
            "GET /v1.41/info HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\nX-Y:  z \r\n\r\n";
        let after = "GET /v1.41/info HTTP/1.1\r\nHost: x\r\nX-Y:  z \r\nConnection: close\r\n\r\n";
        assert_eq!(text(before), (after.to_owned(), Makes::Nothing));
        let before = "PUT /containers/x/archive HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5\r\nhe";
        let after = "PUT /containers/x/archive HTTP/1.1\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n5\r\nhe";
        assert_eq!(text(before), (after.to_owned(), Makes::Nothing));
    }

    #[test]
    fn what_is_no_plain_request_goes_on_unchanged() {
        for request in [
            "POST /exec/x/start HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 2\r\n\r\n{}",
            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            "\x16\x03\x01",
            "GET / HTTP/3\r\n\r\n",
            "GET  / HTTP/1.1\r\n\r\n",
            "GET / HTTP/1.1\r\nno name\r\n\r\n",
            "GET / HTTP/1.1\r\nA: b\r\n folded: c\r\n\r\n",
        ] {
            assert_eq!(
                text(request),
                (request.to_owned(), Makes::Nothing),
                "{request}"
            );
        }
        let endless = "A".repeat(MOST_HEAD + 1);
        assert_eq!(text(&endless), (endless.clone(), Makes::Nothing));
    }

    #[test]
    fn what_makes_something_gets_the_label() {
        let with = format!("{{\"Labels\":{{{PAIR}}},\"Image\":\"x\"}}");
        let head =
            |more: &str| format!("POST /v1.41/containers/create HTTP/1.1\r\nHost: d\r\n{more}\r\n");
        let after = head(&format!(
            "Content-Length: {}\r\nConnection: close\r\n",
            with.len()
        )) + &with;
        let plain = head("Content-Length: 13\r\n") + "{\"Image\":\"x\"}";
        assert_eq!(text(&plain), (after.clone(), Makes::Thing));
        let chunked = head("Transfer-Encoding: chunked\r\nTrailer: X\r\n")
            + "6;a=b\r\n{\"Imag\r\n7\r\ne\":\"x\"}\r\n0\r\nX: y\r\n\r\n";
        assert_eq!(text(&chunked), (after.clone(), Makes::Thing));
        let (expecting, body) = (
            head("Expect: 100-continue\r\nContent-Length: 13\r\n"),
            "{\"Image\":\"x\"}",
        );
        let (there, invited) = ready(&[expecting.as_bytes(), body.as_bytes()]);
        assert_eq!((there.unwrap().bytes, invited), (after.into_bytes(), 1));
    }

    #[test]
    fn volumes_are_taken_from_what_makes_a_container() {
        let body = "{\"HostConfig\":{\"Binds\":[\"x:/y\"]}}";
        for (target, volumes) in [
            ("/v1.41/containers/create?name=a", 1),
            ("/networks/create", 0),
        ] {
            let length = body.len();
            let request =
                format!("POST {target} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}");
            let ready = ready(&[request.as_bytes()]).0.expect("it is whole");
            assert_eq!(ready.volumes.len(), volumes, "{target}");
            assert_eq!(ready.makes, Makes::Thing);
        }
    }

    #[test]
    fn a_bad_body_is_the_engines_to_refuse() {
        let head = "POST /containers/create HTTP/1.1\r\n";
        for (more, body) in [
            ("Content-Length: 3\r\n", "{a}"),
            ("Transfer-Encoding: chunked\r\n", "zz\r\n"),
            ("Transfer-Encoding: chunked\r\n", "2\r\n{}xy"),
            ("Content-Length: 99999999\r\n", "{}"),
            ("Content-Length: 2\r\nTransfer-Encoding: chunked\r\n", "{}"),
            ("Content-Length: 2\r\nContent-Length: 3\r\n", "{}"),
            ("", ""),
        ] {
            let before = format!("{head}{more}\r\n{body}");
            let after = format!("{head}{more}Connection: close\r\n\r\n{body}");
            let (there, makes) = text(&before);
            assert!(
                makes == Makes::Nothing && (there == after || there == before),
                "{there}"
            );
        }
    }

    proptest! {
        #[test]
        fn it_does_not_matter_how_the_bytes_come(
            chunked in any::<bool>(),
            cuts in proptest::collection::vec(0_usize..200, 0..20),
        ) {
            let (framing, body) = if chunked {
                ("Transfer-Encoding: chunked", "4\r\n{\"a\"\r\n3\r\n:1}\r\n0\r\n\r\n")
            } else {
                ("Content-Length: 7", "{\"a\":1}")
            };
            let whole = format!("POST /volumes/create HTTP/1.1\r\n{framing}\r\n\r\n{body}");
            let (mut pieces, mut rest) = (Vec::new(), whole.as_bytes());
            for cut in cuts {
                let (piece, after) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = after;
            }
            pieces.push(rest);
            let there = ready(&pieces).0.expect("it is whole");
            let at_once = ready(&[whole.as_bytes()]).0.expect("it is whole");
            prop_assert_eq!(&there, &at_once);
            prop_assert_eq!(there.makes, Makes::Thing);
        }

        #[test]
        fn no_bytes_do_harm_and_none_are_lost(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let there = ready(&[&bytes]).0;
            prop_assert!(there.is_none_or(|there| there.bytes.len() >= bytes.len().min(1)));
        }
    }
}
