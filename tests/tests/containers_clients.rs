//! Clients work through the proxy as they do without it: each script of `tests/clients` says the same both ways,
//! and what a client leaves is known. What is missing of engines and clients is named, and its tests are skipped.

use std::process::Command;

use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Engine;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::left_at_engine;
use stt_tests::skipped;
use stt_tests::workspace_root;

/// A call of a script.
struct Client<'a> {
    engine: &'a Engine,
    script: &'static str,
    env: Vec<(&'static str, &'a str)>,
}

impl<'a> Client<'a> {
    fn new(engine: &'a Engine, script: &'static str) -> Self {
        let env = Vec::new();
        Self {
            engine,
            script,
            env,
        }
    }

    fn env(mut self, name: &'static str, value: &'a str) -> Self {
        self.env.push((name, value));
        self
    }

    fn path(&self) -> Utf8PathBuf {
        workspace_root().join("tests/clients").join(self.script)
    }

    /// What it says without us; or what it complains of.
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn straight(&self) -> Result<String, String> {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut client = Command::new(self.path());
        if let Some(host) = self.engine.host() {
            client.env("CONTAINER_HOST", host);
        }
        let output = client
            .env("CONTAINERS_IMAGE", &self.engine.image)
            .env("TMPDIR", dir.path())
            .envs(self.env.iter().copied())
            .output()
            .expect("the script is there");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let said = text(&output.stdout);
        if output.status.success() {
            Ok(said)
        } else {
            Err(format!("{said}{}", text(&output.stderr)))
        }
    }

    /// Calls it from a test. Returns what it says, and how the run went.
    fn through(&self, lab: &Lab) -> (String, Finished) {
        let mut stt = self.engine.json(lab, &["--exact", "calls_a_client"]);
        for (name, value) in &self.env {
            stt = stt.env(name, value);
        }
        let finished = stt.env("CONTAINERS_CLIENT", self.path()).run().code(0);
        let report = finished.report();
        assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
        let said = fs::read_to_string(lab.traces.join("said"));
        (said.expect("the test has left it"), finished)
    }

    /// It says the same both ways, and leaves nothing.
    fn compare(&self) {
        let straight = self
            .straight()
            .unwrap_or_else(|said| panic!("{} fails without us:\n{said}", self.script));
        self.compare_with(&straight);
    }

    fn compare_with(&self, straight: &str) {
        let lab = Lab::shared("containers");
        let (said, finished) = self.through(&lab);
        assert!(!said.is_empty());
        assert_eq!(said, straight, "{}", self.script);
        let result = finished.report();
        let result = result.finished("calls_a_client");
        assert_eq!(result.get("leak"), None, "{result}");
        self.engine.assert_clean();
        lab.assert_clean();
    }

    /// Of what it leaves, everything is named, of these kinds, and gone.
    fn leaves(&self, kinds: &[&str]) {
        let lab = Lab::shared("containers");
        let (_, finished) = self.through(&lab);
        let report = finished.report();
        let left = left_at_engine(report.finished("calls_a_client"));
        let mut left_kinds: Vec<_> = left.iter().map(|(kind, _)| kind.as_str()).collect();
        left_kinds.sort_unstable();
        assert_eq!(left_kinds, kinds, "{}", self.script);
        for (kind, id) in &left {
            let seen = self.engine.call(&[kind, "inspect", id]);
            assert!(seen.is_err(), "{kind} {id} is there");
        }
        self.engine.assert_clean();
        lab.assert_clean();
    }
}

#[test]
fn docker_run() {
    let Some(engine) = Engine::find() else { return };
    Client::new(&engine, "run.sh").compare();
}

#[test]
fn docker_at_a_terminal() {
    let Some(engine) = Engine::find() else { return };
    Client::new(&engine, "terminal.sh").compare();
}

#[test]
fn docker_exec() {
    let Some(engine) = Engine::find() else { return };
    Client::new(&engine, "exec.sh").compare();
}

#[test]
fn docker_logs() {
    let Some(engine) = Engine::find() else { return };
    Client::new(&engine, "logs.sh").compare();
}

#[test]
fn docker_cp() {
    let Some(engine) = Engine::find() else { return };
    Client::new(&engine, "cp.sh").compare();
}

/// Without us, the step that fails leaves a container. With us, that is a leak which the engine prevents.
#[test]
fn docker_build() {
    let Some(engine) = Engine::find() else { return };
    let client = Client::new(&engine, "build.sh");
    let straight = client.straight().expect("it works without us");
    for id in engine.containers() {
        engine.call(&["rm", &id]).expect("the failed step's");
    }
    client.compare_with(&straight);
    assert_eq!(engine.built(), [""; 0], "images after the run");
}

/// A step of an image has a container without a label. It goes with its client, before the test is over.
#[test]
fn docker_build_that_is_killed() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let client = Client::new(&engine, "build-killed.sh");
    let (said, _) = client.through(&lab);
    assert_eq!(said, "building\n");
    assert_eq!(engine.built(), [""; 0], "images after the run");
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn podman() {
    let Some(engine) = Engine::podman() else {
        return;
    };
    let dir = tempfile::tempdir().expect("a temporary directory");
    let labels = dir.path().join("labels");
    let path = labels.to_str().expect("text");
    let client = Client::new(&engine, "podman.sh").env("CONTAINERS_LABELS", path);
    client.compare();
    // It was called at last through the proxy, which has labelled the image that was built.
    let found = fs::read_to_string(&labels);
    assert_eq!(found.expect("the script has left it"), "1\n");
}

/// Newer commands need a plugin for it, and Debian's does not.
#[test]
fn docker_build_with_buildkit() {
    let Some(engine) = Engine::find() else { return };
    let mut complaints = String::new();
    for builder in ["docker", "/usr/bin/docker"] {
        let client = Client::new(&engine, "buildkit.sh").env("CONTAINERS_BUILDER", builder);
        match client.straight() {
            Ok(said) => return client.compare_with(&said),
            Err(said) => complaints.push_str(&said),
        }
    }
    skipped("a docker command that speaks to BuildKit", &complaints);
}

#[test]
fn compose() {
    let Some(engine) = Engine::find() else { return };
    if is_there("Compose", "docker-compose", &["version"]) {
        Client::new(&engine, "compose.sh").compare();
        let leaves = Client::new(&engine, "compose.sh").env("CONTAINERS_LEAVE", "1");
        leaves.leaves(&["container", "container", "network", "volume"]);
    }
}

#[test]
fn python() {
    let Some(engine) = Engine::find() else { return };
    if is_there("docker-py", "/usr/bin/python3", &["-c", "import docker"]) {
        Client::new(&engine, "python.py").compare();
        let leaves = Client::new(&engine, "python.py").env("CONTAINERS_LEAVE", "1");
        leaves.leaves(&["container", "network", "volume"]);
    }
}

const RUST: &str = "tests/clients/rust";

#[test]
fn bollard() {
    let Some(engine) = Engine::find() else { return };
    let Some(lab) = Lab::fetched(RUST) else {
        return;
    };
    let args = ["--test", "bollard", "--no-fail-fast"];
    let finished = engine.json(&lab, &args).run().code(0);
    let report = finished.report();
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    let mut left = left_at_engine(report.finished("leaves_all_kinds"));
    left.sort();
    let kinds: Vec<_> = left.iter().map(|(kind, _)| kind.as_str()).collect();
    assert_eq!(kinds, ["container", "network", "volume"]);
    assert_eq!(report.count("leaky"), 1);
    for (kind, id) in &left {
        let seen = engine.call(&[kind, "inspect", id]);
        assert!(seen.is_err(), "{kind} {id} is there");
    }
    engine.assert_clean();
    lab.assert_clean();
}

/// A container of testcontainers goes when its owner is dropped. Where that does not happen, it is ours to remove.
#[test]
fn testcontainers() {
    let Some(engine) = Engine::find() else { return };
    let Some(lab) = Lab::fetched(RUST) else {
        return;
    };
    let limits = [
        "--config=run.slow-timeout=10s",
        "--config=run.terminate-after=1",
        "--config=run.grace-period=0s",
    ];
    let args = [&["--test", "testcontainers", "--no-fail-fast"], &limits[..]];
    let finished = engine.json(&lab, &args.concat()).run().code(100);
    let report = finished.report();
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    for clean in ["uses_and_drops", "uses_a_network_and_files"] {
        let result = report.finished(clean);
        assert_eq!(result["outcome"], "passed", "{result}");
        assert_eq!(result.get("leak"), None, "{result}");
    }
    for leaving in [
        "exits",
        "aborts",
        "keeps_it_in_a_static",
        "forgets_it",
        "is_killed",
        "panics_while_it_panics",
        "overflows_its_stack",
    ] {
        let result = report.finished(leaving);
        let left = left_at_engine(result);
        assert!(
            left.len() == 1 && left[0].0 == "container",
            "{leaving}: {result}"
        );
    }
    // Whom we end has left nothing: it is ended with what it has.
    let result = report.finished("hangs");
    assert_eq!(result["failure"]["kind"], "timeout", "{result}");
    assert_eq!(result.get("leak"), None, "{result}");
    engine.assert_clean();
    lab.assert_clean();
}

/// Whether a client is installed; says so if it is not.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn is_there(what: &str, program: &str, args: &[&str]) -> bool {
    let why = match Command::new(program).args(args).output() {
        Ok(output) if output.status.success() => return true,
        Ok(output) => String::from_utf8_lossy(&output.stderr).into_owned(),
        Err(error) => error.to_string(),
    };
    skipped(what, &why);
    false
}
