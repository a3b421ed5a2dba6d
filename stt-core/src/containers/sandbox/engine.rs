//! What an engine is asked for by us, one request after the other.

use std::io;
use std::time::Duration;

use serde_json::Value;

use super::elf::Machine;
use super::http;
use super::http::Answer;
use super::http::ask;
use crate::container::Address;
use crate::container::is_id;
use crate::containers::label::encode;

/// How long the engine may take for an answer: a disk may be slow, and a layer large.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);

/// Why the engine has not done what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// It can't be reached.
    #[error("the engine at {address} can't be asked for {what}")]
    Unreachable {
        /// Where it should be.
        address: Address,
        /// What it was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has refused.
    #[error("the engine refuses {what}: {said}")]
    Refused {
        /// What it was asked for.
        what: &'static str,
        /// In its own words.
        said: String,
        /// What it has answered.
        status: u16,
    },
}

/// An engine that can be asked.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) address: Address,
}

/// How a program in a container stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ExecState {
    pub(super) running: bool,
    /// Whether there ever was such a program.
    pub(super) started: bool,
    /// `None` where the engine has lost it.
    pub(super) code: Option<i32>,
}

/// What an engine says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct About {
    pub(super) podman: bool,
    /// Whether it is a user's own: root inside is this user outside.
    pub(super) rootless: bool,
    /// How many cores it has; 0 where it does not say.
    pub(super) cores: u64,
}

impl About {
    /// What these two answers say. Docker names what is a user's own among its means of security; Podman 4.3 does not,
    /// and has a member for it.
    fn of(version: &Value, info: &Value) -> Self {
        let components = version["Components"].as_array().into_iter().flatten();
        let mut names = components.filter_map(|one| one["Name"].as_str());
        let options = info["SecurityOptions"].as_array().into_iter().flatten();
        let mut options = options.filter_map(Value::as_str);
        Self {
            podman: names.any(|name| name.starts_with("Podman")),
            rootless: info["Rootless"] == true || options.any(|option| option == "name=rootless"),
            cores: info["NCPU"].as_u64().unwrap_or_default(),
        }
    }
}

/// What the engine is asked for: in words, for a complaint, and as a request.
#[derive(Clone, Copy, Debug)]
struct Request<'a> {
    what: &'static str,
    method: &'static str,
    target: &'a str,
    body: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn new(what: &'static str, method: &'static str, target: &'a str) -> Self {
        Self {
            what,
            method,
            target,
            body: None,
        }
    }

    fn with(self, body: &'a str) -> Self {
        let body = Some(body);
        Self { body, ..self }
    }
}

impl Caller {
    fn ask(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let Request {
            what,
            method,
            target,
            body,
        } = request;
        let answer = ask(&self.address, method, target, body, PATIENCE);
        answer.map_err(|source| CallError::Unreachable {
            address: self.address.clone(),
            what,
            source,
        })
    }

    fn good(&self, request: Request<'_>) -> Result<Answer, CallError> {
        let answer = self.ask(request)?;
        if answer.is_good() {
            return Ok(answer);
        }
        Err(CallError::Refused {
            what: request.what,
            said: answer.complaint(),
            status: answer.status(),
        })
    }

    fn value(&self, what: &'static str, target: &str) -> Result<Value, CallError> {
        let answer = self.good(Request::new(what, "GET", target))?;
        Ok(serde_json::from_slice(answer.body()).unwrap_or_default())
    }

    /// The id in an answer.
    fn id(what: &'static str, answer: &Answer) -> Result<String, CallError> {
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let id = body["Id"].as_str().filter(|id| is_id(id));
        id.map(str::to_owned).ok_or_else(|| CallError::Refused {
            what,
            said: "its answer names none".to_owned(),
            status: answer.status(),
        })
    }

    /// What the engine is.
    pub(super) fn about(&self) -> Result<About, CallError> {
        let version = self.value("its version", "/version")?;
        let info = self.value("what it is", "/info")?;
        Ok(About::of(&version, &info))
    }

    /// What an image was built for; the outer `None` when there is no such image, the inner one for what we don't know.
    #[expect(
        clippy::option_option,
        reason = "no image, or one for an unknown machine"
    )]
    pub(super) fn image(&self, name: &str) -> Result<Option<Option<Machine>>, CallError> {
        let what = "an image";
        let target = format!("/images/{}/json", encode(name.as_bytes()));
        match self.value(what, &target) {
            Ok(image) => {
                let architecture = image["Architecture"].as_str();
                Ok(Some(architecture.and_then(Machine::of_image)))
            }
            Err(CallError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Makes a container.
    pub(super) fn create(&self, body: &str) -> Result<String, CallError> {
        let what = "a container";
        let request = Request::new(what, "POST", "/containers/create");
        let answer = self.good(request.with(body))?;
        Self::id(what, &answer)
    }

    /// Whether there is a file at this path of a container.
    pub(super) fn has_file(&self, container: &str, path: &str) -> Result<bool, CallError> {
        let path = encode(path.as_bytes());
        let target = format!("/containers/{container}/archive?path={path}");
        let answer = self.ask(Request::new("a file", "HEAD", &target))?;
        Ok(answer.is_good())
    }

    pub(super) fn start(&self, container: &str) -> Result<(), CallError> {
        let target = format!("/containers/{container}/start");
        self.good(Request::new("to start a container", "POST", &target))
            .map(drop)
    }

    /// Ends everybody in a container. That it is dead, is no error.
    pub(super) fn end(&self, container: &str) {
        let target = format!("/containers/{container}/kill");
        drop(self.ask(Request::new("to end a container", "POST", &target)));
    }

    /// Removes a container that runs no more: Podman waits for one that does. What does not work is found at the end of
    /// the run, by its label.
    pub(super) fn remove(&self, container: &str) {
        let target = format!("/containers/{container}?force=1&v=1");
        drop(self.ask(Request::new("to remove a container", "DELETE", &target)));
    }

    /// Announces a program in a container.
    pub(super) fn exec(&self, container: &str, body: &str) -> Result<String, CallError> {
        let what = "a program in a container";
        let target = format!("/containers/{container}/exec");
        let answer = self.good(Request::new(what, "POST", &target).with(body))?;
        Self::id(what, &answer)
    }

    /// Starts it, and does not look after it.
    pub(super) fn start_detached(&self, exec: &str) -> Result<(), CallError> {
        let target = format!("/exec/{exec}/start");
        let body = r#"{"Detach":true,"Tty":false}"#;
        let request = Request::new("to start a program", "POST", &target);
        self.good(request.with(body)).map(drop)
    }

    pub(super) fn exec_state(&self, exec: &str) -> Result<ExecState, CallError> {
        let state = self.value("how a program has ended", &format!("/exec/{exec}/json"))?;
        let code = state["ExitCode"].as_i64();
        Ok(ExecState {
            running: state["Running"] == true,
            started: state["Pid"].as_i64().is_some_and(|pid| pid > 0),
            code: code.and_then(|code| i32::try_from(code).ok()),
        })
    }

    /// What a container was made with (`HostConfig`), as far as the engine says.
    pub(super) fn made_with(&self, container: &str) -> Value {
        let said = self.value("a container", &format!("/containers/{container}/json"));
        said.map_or(Value::Null, |mut container| container["HostConfig"].take())
    }

    /// Whether the kernel has killed somebody in a container for want of memory, as far as the engine says. It may say
    /// that only of one that has ended.
    pub(super) fn was_short_of_memory(&self, container: &str) -> bool {
        let state = self.value("a container", &format!("/containers/{container}/json"));
        state.is_ok_and(|container| container["State"]["OOMKilled"] == true)
    }

    /// The command lines of the processes in a container, process 1's included; `None` where the engine does not say.
    /// Podman would call the image's `ps`, unless it is asked for columns that it knows itself (`podman-top(1)`).
    pub(super) fn processes(&self, container: &str, podman: bool) -> Option<Vec<(i32, String)>> {
        let columns = if podman { "?ps_args=pid,args" } else { "" };
        let target = format!("/containers/{container}/top{columns}");
        let top = self.value("its processes", &target);
        let top = top.ok()?;
        let titles = top["Titles"].as_array()?.iter();
        let titles: Vec<_> = titles.filter_map(Value::as_str).collect();
        let at = |names: &[&str]| titles.iter().position(|title| names.contains(title));
        let (pid, command) = (at(&["PID"])?, at(&["CMD", "COMMAND"])?);
        let rows = top["Processes"].as_array()?.iter();
        let rows = rows.filter_map(|row| {
            let pid = row[pid].as_str()?.parse().ok()?;
            Some((pid, row[command].as_str()?.to_owned()))
        });
        Some(rows.collect())
    }
}

/// Where an engine listens that was found.
///
/// # Errors
/// The name of its host is not known.
pub(super) fn address(host: &crate::containers::discovery::Host) -> Result<Address, CallError> {
    http::address(host).map_err(|source| CallError::Unreachable {
        address: Address::Unix(format!("{host:?}").into()),
        what: "its address",
        source,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_engine_says_what_it_is_and_whose() {
        let about = |name: &str, info: Value| {
            let version = json!({ "Components": [{ "Name": name }, { "Name": "runc" }] });
            let about = About::of(&version, &info);
            (about.podman, about.rootless, about.cores)
        };
        let options = |rootless: bool| {
            let own = ["name=seccomp,profile=default", "name=rootless"];
            json!({ "SecurityOptions": own[..=usize::from(rootless)], "NCPU": 2 })
        };
        assert_eq!(about("Engine", options(false)), (false, false, 2));
        assert_eq!(about("Engine", options(true)), (false, true, 2));
        let podman = "Podman Engine";
        assert_eq!(
            about(podman, json!({ "Rootless": false })),
            (true, false, 0)
        );
        assert_eq!(about(podman, json!({ "Rootless": true })), (true, true, 0));
    }
}
