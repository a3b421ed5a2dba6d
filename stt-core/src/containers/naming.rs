//! What a request calls the container that it makes. Pure.

use serde::Deserialize;

use super::label::decode;
use crate::container::Kind;
use crate::container::Thing;

/// What of a body names a container: Docker's API has the name in the query, Podman's own in the body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    #[serde(alias = "Image")]
    image: Option<String>,
    name: Option<String>,
}

/// The container that a request makes, still without its id; `None` when it makes something else.
pub(super) fn container(target: &str, body: &[u8]) -> Option<Thing> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    path.trim_end_matches('/')
        .strip_suffix("/containers/create")?;
    let body: Body = serde_json::from_slice(body).unwrap_or_default();
    let name = query.split('&').find_map(|part| part.strip_prefix("name="));
    let name = name.and_then(decode).or(body.name).unwrap_or_default();
    Some(Thing {
        kind: Kind::Container,
        id: String::new(),
        name: name.trim_start_matches('/').to_owned(),
        image: body.image.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_images_are_found_in_both_dialects() {
        let named = |target, body: &str| {
            let thing = container(target, body.as_bytes())?;
            Some((thing.name, thing.image))
        };
        let pair = |name: &str, image: &str| Some((name.to_owned(), image.to_owned()));
        for (target, body, expected) in [
            (
                "/v1.41/containers/create?name=web%2D1&x=y",
                r#"{"Image":"a:b","Cmd":["x"]}"#,
                pair("web-1", "a:b"),
            ),
            ("/containers/create", r#"{"HostConfig":{}}"#, pair("", "")),
            (
                "/v4.3.1/libpod/containers/create",
                r#"{"name":"db","image":"c"}"#,
                pair("db", "c"),
            ),
            ("/containers/create?name=x", "garbage", pair("x", "")),
            ("/containers/create?name=x", r#"{"Image":7}"#, pair("x", "")),
            ("/networks/create", "{}", None),
            ("/containers/x/create", "{}", None),
        ] {
            assert_eq!(named(target, body), expected, "{target} {body}");
        }
    }
}
