//! Podman's pods, which only its own API knows. Docker answers that it has no such thing.

use std::collections::HashMap;
use std::io;

use serde::Deserialize;

use super::answer::is_good;
use super::answer::status;
use super::label::encode;
use super::plain::ask;
use super::plain::body;
use super::plain::complaint;
use super::plain::filters;
use crate::container::Address;
use crate::container::Kind;
use crate::container::Thing;

/// Podman takes the versions of its API that came before its own, and nothing without one.
const ROOT: &str = "/v3.0.0/libpod/pods";

/// A pod, as Podman lists it (`PodListLibpod`).
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Listed {
    id: String,
    name: Option<String>,
    /// The container that holds it together.
    infra_id: Option<String>,
    labels: Option<HashMap<String, String>>,
}

/// A pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pod {
    pub(super) thing: Thing,
    /// The container that holds it together. It has the labels of its pod, and goes with it only.
    pub(super) infra: Option<String>,
    pub(super) labels: HashMap<String, String>,
}

/// The pods with a label of this key; none where the engine is not Podman.
///
/// # Errors
/// It can't be reached, or says nothing of use.
pub(super) async fn list(engine: &Address, key: &str) -> io::Result<Vec<Pod>> {
    let target = format!("{ROOT}/json?filters={}", filters(key));
    let answer = ask(engine, "GET", &target).await?;
    if status(&answer) == Some(404) {
        return Ok(Vec::new());
    }
    read(&answer).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// Removes a pod with all that is in it. What is gone already is no error.
///
/// # Errors
/// It can't be reached, or refuses; then the message is what it has said.
pub(super) async fn remove(engine: &Address, id: &str) -> io::Result<()> {
    let id = encode(id.as_bytes());
    // It waits for its containers to stop, unless they are dead.
    drop(ask(engine, "POST", &format!("{ROOT}/{id}/kill?signal=SIGKILL")).await);
    let answer = ask(engine, "DELETE", &format!("{ROOT}/{id}?force=true")).await?;
    if is_good(&answer) || status(&answer) == Some(404) {
        return Ok(());
    }
    Err(io::Error::other(complaint(&answer)))
}

/// The pods of a whole answer.
fn read(answer: &[u8]) -> Option<Vec<Pod>> {
    let listed: Option<Vec<Listed>> = serde_json::from_slice(body(answer))
        .ok()
        .filter(|_| is_good(answer))?;
    let pods = listed.unwrap_or_default().into_iter().map(|pod| Pod {
        thing: Thing {
            kind: Kind::Pod,
            id: pod.id,
            name: pod.name.unwrap_or_default(),
            image: String::new(),
        },
        infra: pod.infra_id.filter(|id| !id.is_empty()),
        labels: pod.labels.unwrap_or_default(),
    });
    Some(pods.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_read_as_podman_lists_them() {
        let good = "HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n";
        let listed = format!(
            "{good}[{{\"Cgroup\":\"x\",\"Id\":\"ab\",\"InfraId\":\"cd\",\"Name\":\"web\",\"Labels\":{{\"k\":\"v\"}}}},\
             {{\"Id\":\"ef\",\"InfraId\":\"\",\"Labels\":null}}]"
        );
        let pods = read(listed.as_bytes()).unwrap();
        let [first, second] = &pods[..] else {
            panic!("{pods:?}")
        };
        assert_eq!(first.thing.to_string(), "pod ab web");
        assert_eq!(
            (first.infra.as_deref(), first.labels["k"].as_str()),
            (Some("cd"), "v")
        );
        assert_eq!((second.infra.as_deref(), second.labels.len()), (None, 0));
        assert_eq!(read(format!("{good}null").as_bytes()), Some(Vec::new()));
        for bad in [
            "",
            "HTTP/1.0 500 No\r\n\r\n[]",
            "HTTP/1.0 200 OK\r\n\r\n[",
            "HTTP/1.0 200 OK",
        ] {
            assert_eq!(read(bad.as_bytes()), None, "{bad}");
        }
    }
}
