//! The containers of an engine. Podman knows states that are none of Docker's (`stopped`), and its clients refuse a whole
//! list for one of them.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::answer::is_good;
use super::figures::Said;
use super::figures::figures;
use super::plain::ask;
use super::plain::body;
use super::plain::complaint;
use super::plain::filters;
use crate::container::Address;
use crate::container::Kind;
use crate::container::Thing;

/// A container, as an engine lists it (`ContainerList`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    names: Option<Vec<String>>,
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
    state: Option<String>,
}

/// A container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    pub(super) thing: Thing,
    pub(super) labels: HashMap<String, String>,
    /// Whether it may go by itself: it runs no more.
    pub(super) ends: bool,
}

/// The containers with a label of this key, whether they run or not.
///
/// # Errors
/// The engine can't be reached, or says nothing of use.
pub(super) async fn list(engine: &Address, key: &str) -> io::Result<Vec<Container>> {
    let target = format!("/containers/json?all=1&filters={}", filters(key));
    let answer = ask(engine, "GET", &target).await?;
    if !is_good(&answer) {
        return Err(io::Error::other(complaint(&answer)));
    }
    Ok(read(body(&answer))?)
}

/// Whether a container runs, and what it uses then.
///
/// # Errors
/// The engine can't be reached, or says nothing of use.
pub(super) async fn said(engine: &Address, id: &str) -> io::Result<Said> {
    let answer = ask(engine, "GET", &format!("/containers/{id}/json")).await?;
    let container: serde_json::Value = serde_json::from_slice(body(&answer))?;
    if container["State"]["Running"] != true {
        return Ok(Said::Rests);
    }
    // Once, and without the second that an engine takes to tell how busy the container is.
    let target = format!("/containers/{id}/stats?stream=false&one-shot=true");
    let answer = ask(engine, "GET", &target).await?;
    Ok(Said::Runs(figures(body(&answer))))
}

fn read(body: &[u8]) -> serde_json::Result<Vec<Container>> {
    let listed: Option<Vec<Listed>> = serde_json::from_slice(body)?;
    let containers = listed.unwrap_or_default().into_iter().map(|one| {
        let names = one.names.unwrap_or_default();
        let name = names
            .first()
            .map_or("", |name| name.trim_start_matches('/'));
        Container {
            thing: Thing {
                kind: Kind::Container,
                id: one.id,
                name: name.to_owned(),
                image: one.image.unwrap_or_default(),
            },
            labels: one.labels.unwrap_or_default(),
            ends: matches!(
                one.state.as_deref(),
                Some("exited" | "removing" | "dead" | "stopping" | "stopped")
            ),
        }
    });
    Ok(containers.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_read_in_any_state_that_there_is() {
        let body = r#"[
            {"Id":"a","Names":["/web","/x/y"],"Image":"i","Labels":{"k":"v"},"State":"running","Ports":[]},
            {"Id":"b","Names":null,"Labels":null,"State":"stopped"},
            {"Id":"c","State":"some day"}
        ]"#;
        let containers = read(body.as_bytes()).unwrap();
        let told: Vec<_> = containers
            .iter()
            .map(|one| (one.thing.to_string(), one.ends))
            .collect();
        let told: Vec<_> = told
            .iter()
            .map(|(thing, ends)| (thing.as_str(), *ends))
            .collect();
        assert_eq!(
            told,
            [
                ("container a web (i)", false),
                ("container b", true),
                ("container c", false)
            ]
        );
        assert_eq!(containers[0].labels["k"], "v");
        assert_eq!(read(b"null").unwrap(), []);
        assert!(read(b"{}").is_err());
    }
}
