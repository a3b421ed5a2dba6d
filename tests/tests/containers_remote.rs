//! An engine that is spoken to through SSH or TLS: what tests leave there is named and left, and nobody contacts it for a
//! suite that does not. Without an engine, or what stands in front of it, each of these tests says that it is skipped.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;
use std::time::Instant;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Remote;
use stt_tests::Report;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::docker;
use stt_tests::until;

/// What every run says whose engine is out of reach.
const FIRST: &str = "containers that tests make are not ended with them: no proxy can stand";

/// `cargo stt ARGS` on the fixture, whose tests use the engine through it.
fn stt<'lab>(engine: &Engine, remote: &Remote, lab: &'lab Lab, args: &[&str]) -> Stt<'lab> {
    let stt = lab
        .json(args)
        .env("CONTAINERS_IMAGE", &engine.image)
        .without("DOCKER_HOST");
    let variables = remote.variables.iter();
    variables.fold(stt, |stt, (name, value)| stt.env(name, value))
}

/// What is told at the end, with its hint, if anything is.
fn told(report: &Report) -> Option<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let all = report.of("warning");
    let mut all: Vec<_> = all
        .map(|one| (text(&one["message"]), text(&one["hint"])))
        .collect();
    assert!(
        !all.is_empty() && all.len() < 3 && all[0].0.starts_with(FIRST),
        "{all:?}"
    );
    all.drain(1..).next()
}

/// A container of somebody else that was there before a run that begins now. It bears no label.
#[expect(clippy::disallowed_methods, reason = "a test's own clock")]
fn stranger(engine: &Engine) -> String {
    let run = ["run", "-d", "--network=none", &engine.image, "sleep", "300"];
    let id = docker(&run).expect("it starts");
    let there = Instant::now();
    // Engines date in whole seconds.
    until("it is older than the run", DEADLINE, || {
        (there.elapsed() > Duration::from_millis(2_500)).then_some(())
    });
    id
}

fn what_is_left_is_named_and_stays(engine: &Engine, remote: &Remote) {
    let lab = Lab::shared("containers");
    let stranger = stranger(engine);
    let finished = stt(engine, remote, &lab, &["--exact", "leaves_all_kinds"])
        .run()
        .code(0);
    let trace = |name: &str| fs::read_to_string(lab.traces.join(name)).expect("the test left it");
    let (id, name) = (trace("left"), trace("name"));
    let report = finished.report();
    let result = report.finished("leaves_all_kinds");
    assert_eq!(result.get("leak"), None, "{result}");
    let (message, hint) = told(&report).expect("something has come to be");
    let network = docker(&["network", "inspect", "--format", "{{.Id}}", &name]);
    let network = network.expect("it is there");
    for named in [
        format!("container {} ", &id[..12]),
        format!("({})", engine.image),
        format!("network {} {name}", &network[..12]),
        format!("volume {name}"),
    ] {
        assert!(message.contains(&named), "{named}: {message}");
    }
    assert!(!message.contains(&stranger[..12]), "{message}");
    for kind in ["container", "network", "volume"] {
        let what = if kind == "container" { &id } else { &name };
        docker(&[kind, "inspect", what]).expect("nobody has removed it");
    }
    // Other tests may have made something as well: of the commands that were told those are called which are about ours.
    let own = |words: &str| words == &id[..12] || words == &network[..12];
    let commands = hint.split('`').filter(|part| part.contains("docker"));
    let commands: Vec<_> = commands
        .map(|command| {
            let is_other =
                |word: &&str| word.len() == 12 && !own(word) && !word.contains(['-', '=']);
            let words = command.split(' ').filter(|word| !is_other(word));
            words.collect::<Vec<_>>().join(" ")
        })
        .filter(|command| command.split(' ').any(own))
        .collect();
    assert_eq!(commands.len(), 2, "{hint}");
    for command in commands {
        remote.shell(&command).expect("it does what it is told for");
    }
    docker(&["container", "inspect", &id]).expect_err("the first has removed it");
    docker(&["network", "inspect", &name]).expect_err("the second has");
    docker(&["volume", "rm", &name]).expect("it is nobody's any more");
    docker(&["rm", "-f", &stranger]).expect("it was ours");
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn what_is_left_behind_tls_is_named_and_stays() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::tls() else { return };
    what_is_left_is_named_and_stays(&engine, &remote);
}

#[test]
fn what_is_left_behind_the_tls_of_a_context_is_named_and_stays() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::tls() else { return };
    what_is_left_is_named_and_stays(&engine, &remote.by_context());
}

#[test]
fn what_is_left_behind_ssh_is_named_and_stays() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::ssh() else { return };
    what_is_left_is_named_and_stays(&engine, &remote);
}

#[test]
fn a_suite_that_uses_no_container_contacts_nobody() {
    let Some(engine) = Engine::find() else { return };
    let remotes = [
        Remote::tls(),
        Remote::tls().map(Remote::by_context),
        Remote::ssh(),
    ];
    for remote in remotes.into_iter().flatten() {
        let lab = Lab::shared("containers");
        let before = remote.clients();
        let run = |test| {
            let run = stt(&engine, &remote, &lab, &["--exact", test]);
            run.run().code(0).report()
        };
        assert_eq!(told(&run("uses_nothing")), None);
        assert_eq!(remote.clients(), before);
        // What shows that clients are counted: one that only looks, and then the run itself.
        let client = lab.path("client");
        let look = "#!/bin/sh\nexec docker ps -q\n";
        fs::write(&client, look).expect("writable");
        fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("ours");
        remote.docker(&["ps", "-q"]).expect("the engine does it");
        let one = remote.clients() - before;
        assert!(one > 0);
        let run = stt(&engine, &remote, &lab, &["--exact", "calls_a_client"]);
        drop(run.env("CONTAINERS_CLIENT", &client).run().code(0));
        assert!(remote.clients() > before + 2 * one);
        lab.assert_clean();
    }
}

/// Starts a run whose one test opens the certificates, and waits until the engine is asked, which says nothing.
fn asking(engine: &Engine, remote: &Remote, lab: &Lab, budget: &str) -> Running {
    let client = lab.path("client");
    let script = "#!/bin/sh\nexec cat \"$DOCKER_CERT_PATH/ca.pem\"\n";
    fs::write(&client, script).expect("writable");
    fs::set_permissions(&client, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let budget = format!("--config=containers.budget={budget}");
    let before = remote.clients();
    let run = stt(engine, remote, lab, &["--exact", "calls_a_client", &budget]);
    let mut running = run.env("CONTAINERS_CLIENT", &client).spawn();
    running.wait_for("the engine is asked", |_| {
        (remote.clients() > before).then_some(())
    });
    running
}

#[test]
fn an_engine_that_is_silent_costs_the_budget_and_is_told() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::silent() else {
        return;
    };
    let lab = Lab::shared("containers");
    let finished = asking(&engine, &remote, &lab, "1s").finish().code(0);
    let (message, hint) = told(&finished.report()).expect("it is told");
    assert!(
        message.contains("it has not answered within 1s"),
        "{message}"
    );
    assert!(hint.ends_with(" docker ps -a` shows them"), "{hint}");
    lab.assert_clean();
}

#[test]
fn whoever_interrupts_the_asking_does_not_wait_for_it() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::silent() else {
        return;
    };
    let lab = Lab::shared("containers");
    let running = asking(&engine, &remote, &lab, "10m");
    running.signal_group(Signal::SIGINT);
    let finished = running.finish();
    let told = told(&finished.report()).expect("it is told");
    assert!(told.0.contains("nobody knows which"), "{told:?}");
    lab.assert_clean();
    // Nor does anything of it outlive who has asked.
    let mut running = asking(&engine, &remote, &lab, "10m");
    kill(Pid::from_raw(running.worker()), Signal::SIGKILL).expect("it is ours");
    drop(running.finish());
    lab.assert_clean();
}

#[test]
fn whatever_ends_a_run_in_order_what_is_left_is_named() {
    let Some(engine) = Engine::find() else { return };
    let Some(remote) = Remote::tls() else { return };
    for is_interrupted in [true, false] {
        let lab = Lab::shared("containers");
        let limit = if is_interrupted { "1h" } else { "15s" };
        let limit = format!("--global-timeout={limit}");
        let grace = "--config=run.grace-period=1s";
        let args = ["--exact", "hangs_with_one", grace, &limit];
        let mut running = stt(&engine, &remote, &lab, &args).spawn();
        running.wait_for("the container is there", |_| lab.is_there("up"));
        if is_interrupted {
            running.signal_group(Signal::SIGINT);
        }
        let finished = running.finish();
        if !is_interrupted {
            assert_eq!(finished.code, Some(42), "{}", finished.stdout);
        }
        let id = fs::read_to_string(lab.traces.join("left")).expect("the test left it");
        let (message, _) = told(&finished.report()).expect("something has come to be");
        assert!(message.contains(&id[..12]), "{message}");
        docker(&["rm", "-f", "-v", &id]).expect("it is still there");
        lab.assert_clean();
    }
    engine.assert_clean();
}
