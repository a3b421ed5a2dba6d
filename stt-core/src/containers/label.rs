//! The label by which what a run makes is known again, and how it gets into a request. Pure.
//!
//! A body keeps every byte that it had: the label is put in as text, at the right place.

use std::fmt;

use serde::Deserializer as _;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::Visitor;
use serde_json::value::RawValue;

use crate::id::RunId;

/// What the keys of all runs' labels begin with.
const PREFIX: &str = "dev.cargo-stt.run.";

/// The same of images. A container takes the labels of its image over, and whoever makes one of an image
/// that a test has built is a stranger: so images have another key.
const BUILT_PREFIX: &str = "dev.cargo-stt.built.";

/// The key of a run's label. No two runs have the same, so that one may run inside the other.
pub fn key(run: &RunId) -> String {
    format!("{PREFIX}{run}")
}

/// Whether this is the key of some run's label.
pub(super) fn is_key(key: &str) -> bool {
    key.starts_with(PREFIX)
}

/// The label of what a test makes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    run: RunId,
    test: String,
}

impl Label {
    /// The label of this run and test.
    pub fn new(run: RunId, test: impl Into<String>) -> Self {
        let test = test.into();
        Self { run, test }
    }

    /// Key and value.
    pub(super) fn pair(&self) -> (String, &str) {
        (key(&self.run), &self.test)
    }

    /// The body of a request with the label in the member of this name, in which an engine looks for labels;
    /// `None` when the body is none that an engine would take.
    pub fn into_body(&self, body: &[u8], member: &str) -> Option<Vec<u8>> {
        insert(body, member, &key(&self.run), &self.test)
    }

    /// The target of a request to build an image with the label in its query. The containers of its steps can't
    /// have it: the engine is told to remove them also when a step fails, which would else leave its own (Docker's
    /// API, `ImageBuild`, `forcerm`).
    pub fn into_query(&self, target: &str) -> Option<String> {
        const NAME: &str = "labels=";
        const FORCE: &str = "forcerm=";
        let key = format!("{BUILT_PREFIX}{}", self.run);
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let mut parts: Vec<String> = query.split('&').map(str::to_owned).collect();
        parts.retain(|part| !part.is_empty() && !part.starts_with(FORCE));
        let labels = |given: &str| {
            if let Some(rest) = given.trim_start().strip_prefix('[') {
                let with = into_list(rest, &format!("{key}={}", self.test))?;
                return Some(format!("{NAME}{}", encode(with.as_bytes())));
            }
            let given = if given.is_empty() { "{}" } else { given };
            // The whole value becomes the member of an object, so that one function does both.
            let wrapped = format!("{{\"labels\":{given}}}");
            let with = insert(wrapped.as_bytes(), "labels", &key, &self.test)?;
            let inner = with.get(10..with.len() - 1)?;
            Some(format!("{NAME}{}", encode(inner)))
        };
        if let Some(part) = parts.iter_mut().find(|part| part.starts_with(NAME)) {
            let given = decode(&part[NAME.len()..].replace('+', " "))?;
            *part = labels(&given)?;
        } else {
            parts.push(labels("")?);
        }
        parts.push(format!("{FORCE}1"));
        Some(format!("{path}?{}", parts.join("&")))
    }
}

/// Puts `"key":"value"` into the object that is the member `member` of the object in `body`. Engines
/// don't tell capital from small letters in the names of members, and of several take the last.
fn insert(body: &[u8], member: &str, key: &str, value: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(body).ok()?;
    let Members(found) = members(text, member)?;
    let pair = format!("{}:{}", quoted(key)?, quoted(value)?);
    let (from, to, new) = match found {
        Some((from, to)) if text.get(from..to)? == "null" => (from, to, format!("{{{pair}}}")),
        Some((from, to)) => {
            let object = text.get(from..to)?;
            let inner = object.strip_prefix('{')?;
            let comma = if is_empty(inner) { "" } else { "," };
            (from + 1, from + 1, format!("{pair}{comma}"))
        }
        None => {
            let at = text.find('{')? + 1;
            let comma = if is_empty(&text[at..]) { "" } else { "," };
            let new = format!("{}:{{{pair}}}{comma}", quoted(member)?);
            (at, at, new)
        }
    };
    Some([&text[..from], &new, &text[to..]].concat().into_bytes())
}

/// Puts a text into the list that begins with `[` and goes on like that: Podman's command has labels so. `None` when it is
/// no list of texts.
fn into_list(rest: &str, text: &str) -> Option<String> {
    let others: Vec<String> = serde_json::from_str(&format!("[{rest}")).ok()?;
    let comma = if others.is_empty() { "" } else { "," };
    Some(format!("[{}{comma}{rest}", quoted(text)?))
}

/// Whether an object ends here, behind its opening brace.
fn is_empty(inner: &str) -> bool {
    inner.trim_start().starts_with('}')
}

fn quoted(text: &str) -> Option<String> {
    serde_json::to_string(text).ok()
}

/// Where the value of the member lies, if there is such a member.
struct Members(Option<(usize, usize)>);

/// Looks through an object; `None` when the text is no object and nothing else.
fn members(text: &str, member: &str) -> Option<Members> {
    struct Look<'a> {
        text: &'a str,
        member: &'a str,
    }
    impl<'de> Visitor<'de> for Look<'de> {
        type Value = Members;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
            let mut found = None;
            while let Some(name) = map.next_key::<String>()? {
                if name.eq_ignore_ascii_case(self.member) {
                    let value: &'de RawValue = map.next_value()?;
                    let value = value.get();
                    let from = value.as_ptr() as usize - self.text.as_ptr() as usize;
                    found = Some((from, from + value.len()));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(Members(found))
        }
    }
    let mut parser = serde_json::Deserializer::from_str(text);
    let found = parser.deserialize_map(Look { text, member }).ok()?;
    parser.end().ok()?;
    Some(found)
}

/// Takes the percent signs out of a part of a URL (RFC 3986); `None` when the rest is no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        let digits = after.get(..2).filter(|_| first == b'%');
        let byte = digits.and_then(|digits| {
            let digits = std::str::from_utf8(digits).ok()?;
            u8::from_str_radix(digits, 16).ok()
        });
        if let Some(byte) = byte {
            bytes.push(byte);
            rest = &after[2..];
        } else {
            bytes.push(first);
        }
    }
    String::from_utf8(bytes).ok()
}

/// Writes bytes as a part of a URL.
pub(super) fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |half: u8| char::from(DIGITS[usize::from(half)]);
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ID: &str = "07070707-0707-4707-8707-070707070707";

    fn label() -> Label {
        Label::new(RunId::from_random([7; 16]), "app::api a \"b\"")
    }

    fn body(text: &str) -> Option<String> {
        let with = label().into_body(text.as_bytes(), "Labels")?;
        Some(String::from_utf8(with).unwrap())
    }

    #[test]
    fn a_body_keeps_every_byte() {
        let pair = format!(r#""dev.cargo-stt.run.{ID}":"app::api a \"b\"""#);
        for (text, with) in [
            ("{}", format!(r#"{{"Labels":{{{pair}}}}}"#)),
            (" { \n} ", format!(" {{\"Labels\":{{{pair}}} \n}} ")),
            (
                r#"{"Image":"x","N":1.0e3}"#,
                format!(r#"{{"Labels":{{{pair}}},"Image":"x","N":1.0e3}}"#),
            ),
            (
                r#"{ "b":1, "labels" : { "a": "b" } }"#,
                format!(r#"{{ "b":1, "labels" : {{{pair}, "a": "b" }} }}"#),
            ),
            (
                r#"{"Labels":null,"a":1}"#,
                format!(r#"{{"Labels":{{{pair}}},"a":1}}"#),
            ),
            (r#"{"Labels":{ }}"#, format!(r#"{{"Labels":{{{pair} }}}}"#)),
            (
                r#"{"Labels":{"a":"b"},"LABELS":{}}"#,
                format!(r#"{{"Labels":{{"a":"b"}},"LABELS":{{{pair}}}}}"#),
            ),
            (
                r#"{"HostConfig":{"Labels":{}}}"#,
                format!(r#"{{"Labels":{{{pair}}},"HostConfig":{{"Labels":{{}}}}}}"#),
            ),
        ] {
            assert_eq!(body(text), Some(with), "{text}");
        }
    }

    #[test]
    fn what_no_engine_takes_stays_as_it_is() {
        for text in [
            "",
            "[]",
            "null",
            "{",
            r#"{"a":1} x"#,
            r#"{"Labels":[]}"#,
            r#"{"Labels":"x"}"#,
            "{a:1}",
        ] {
            assert_eq!(body(text), None, "{text}");
        }
        assert_eq!(label().into_body(b"{\"a\":\"\xff\"}", "Labels"), None);
    }

    #[test]
    fn an_image_gets_a_label_of_its_own() {
        let labels = |target: &str| {
            let with = label().into_query(target).unwrap();
            let labels = with
                .split(['?', '&'])
                .find_map(|part| part.strip_prefix("labels="));
            let read: serde_json::Value =
                serde_json::from_str(&decode(labels.unwrap()).unwrap()).unwrap();
            assert_eq!(
                read[format!("dev.cargo-stt.built.{ID}")],
                "app::api a \"b\""
            );
            assert_eq!(read.get(key(&RunId::from_random([7; 16]))), None);
            assert!(with.ends_with("&forcerm=1"), "{with}");
            (with, read)
        };
        let (with, read) = labels("/v1.41/build");
        assert!(
            with.starts_with("/v1.41/build?labels=%7B%22dev.cargo-stt.built."),
            "{with}"
        );
        assert_eq!(read.as_object().unwrap().len(), 1);
        let (with, read) = labels("/build?t=a%3Ab&forcerm=0&labels=%7B%22x%22%3A%22y+z%22%7D&rm=1");
        assert!(
            with.starts_with("/build?t=a%3Ab&labels=%7B%22dev.")
                && with.ends_with("&rm=1&forcerm=1"),
            "{with}"
        );
        assert_eq!(read["x"], "y z");
        assert_eq!(label().into_query("/build?labels=%7B"), None);
        assert_eq!(label().into_query("/build?labels=%5B1%5D"), None);
        labels("/build?labels=null");
        labels("/build?");
    }

    #[test]
    fn a_list_of_labels_gets_one_more() {
        let list = |given: &str| -> Vec<String> {
            let target = format!(
                "/v4.3.1/libpod/build?labels={}&t=x",
                encode(given.as_bytes())
            );
            let with = label().into_query(&target).unwrap();
            let value = with
                .split(['?', '&'])
                .find_map(|part| part.strip_prefix("labels="));
            assert!(with.ends_with("&t=x&forcerm=1"), "{with}");
            serde_json::from_str(&decode(value.unwrap()).unwrap()).unwrap()
        };
        let ours = format!("dev.cargo-stt.built.{ID}=app::api a \"b\"");
        assert_eq!(list("[]"), [ours.as_str()]);
        assert_eq!(list(r#"["a=b", "c"]"#), [ours.as_str(), "a=b", "c"]);
    }

    proptest! {
        #[test]
        fn a_label_is_added_and_nothing_else(
            labels in proptest::option::of(proptest::collection::btree_map(".*", ".*", 0..4)),
            more in proptest::collection::btree_map("[a-k]{1,5}", ".*", 0..4),
        ) {
            let mut value = serde_json::json!(more);
            if let Some(labels) = &labels {
                value["Labels"] = serde_json::json!(labels);
            }
            let with = label().into_body(value.to_string().as_bytes(), "Labels").unwrap();
            let mut with: serde_json::Value = serde_json::from_slice(&with).unwrap();
            let key = key(&RunId::from_random([7; 16]));
            let added = with["Labels"].as_object_mut().unwrap().remove(&key);
            prop_assert_eq!(added, Some("app::api a \"b\"".into()));
            if labels.is_none() {
                with.as_object_mut().unwrap().remove("Labels");
            }
            prop_assert_eq!(with, value);
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..100), text in ".*") {
            drop(label().into_body(&bytes, "Labels"));
            drop(label().into_query(&text));
        }
    }
}
