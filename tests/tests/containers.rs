//! What tests make with a real container engine ends with them, however they or the run end, and nobody else's
//! does. Without an engine each of these tests says that it is skipped.

use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Instant;

use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use stt_tests::DEADLINE;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::docker;
use stt_tests::left_at_engine as left;
use stt_tests::until;

fn trace(lab: &Lab, name: &str) -> String {
    fs::read_to_string(lab.traces.join(name)).expect("the test has left it")
}

/// Starts the run and waits until the test is there with its containers.
fn up(engine: &Engine, lab: &Lab, test: &str, more: &[&str]) -> Running {
    let args = [&["--exact", test], more].concat();
    let mut running = engine.json(lab, &args).spawn();
    running.wait_for("the containers are there", |_| lab.is_there("up"));
    running
}

#[test]
fn the_client_works_as_without_us() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let finished = engine
        .json(&lab, &["--exact", "uses_everything_and_removes_it"])
        .run()
        .code(0);
    let report = finished.report();
    let result = report.finished("uses_everything_and_removes_it");
    assert_eq!(result.get("leak"), None, "{result}");
    assert_eq!(report.of("warning").count(), 0, "{}", finished.stdout);
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_container_that_is_left_is_named_and_removed() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let finished = engine
        .json(&lab, &["--exact", "leaves_a_container", "uses_nothing"])
        .run()
        .code(0);
    let report = finished.report();
    let id = trace(&lab, "left");
    assert_eq!(
        left(report.finished("leaves_a_container")),
        [("container".to_owned(), id.clone())]
    );
    assert_eq!(report.finished("uses_nothing").get("leak"), None);
    assert_eq!(report.count("leaky"), 1);
    engine.assert_clean();
    let people = lab
        .stt(["--exact", "leaves_a_container"])
        .env("CONTAINERS_IMAGE", &engine.image);
    drop(
        people
            .run()
            .code(0)
            .says("LEAK [")
            .says("left behind, and removed: container "),
    );
    let failing = engine
        .json(&lab, &["--leaks=fail", "--exact", "leaves_a_container"])
        .run()
        .code(100);
    assert_eq!(
        failing.report().finished("leaves_a_container")["failure"]["kind"],
        "leak"
    );
    let own = engine
        .json(&lab, &["--exact", "leaves_a_container_and_fails"])
        .run()
        .code(100);
    let report = own.report();
    let result = report.finished("leaves_a_container_and_fails");
    assert_eq!(
        (&result["failure"]["kind"], left(result).len()),
        (&"exit".into(), 1)
    );
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn everything_that_belongs_to_a_container_goes_with_it() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let finished = engine
        .json(&lab, &["--exact", "leaves_all_kinds"])
        .run()
        .code(0);
    let report = finished.report();
    let mut kinds: Vec<_> = left(report.finished("leaves_all_kinds"))
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    kinds.sort();
    assert_eq!(kinds, ["container", "network", "volume"]);
    let name = trace(&lab, "name");
    for kind in ["network", "volume"] {
        docker(&[kind, "inspect", &name]).expect_err("it is gone");
    }
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn what_cannot_be_removed_is_named_with_the_command_that_does_it() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let args = [
        "--exact",
        "leaves_a_network_that_others_use",
        "--config=containers.budget=1s",
    ];
    let stt = engine.json(&lab, &args);
    let finished = stt
        .env("CONTAINERS_STRANGER", &engine.stranger)
        .run()
        .code(0);
    let name = trace(&lab, "name");
    let id = docker(&["network", "inspect", "--format", "{{.Id}}", &name]);
    let id = id.expect("it is in use");
    docker(&["network", "disconnect", &name, &engine.stranger]).expect("it is in there");
    docker(&["network", "rm", &name]).expect("it is ours");
    let report = finished.report();
    let warnings: Vec<_> = report
        .of("warning")
        .filter_map(|line| line["message"].as_str())
        .collect();
    let command = format!(
        "docker -H unix:///var/run/docker.sock network rm {}",
        &id[..12]
    );
    let told = |warning: &&str| warning.contains(&name) && warning.contains(&command);
    assert!(
        warnings.len() == 1 && warnings.iter().all(told),
        "{warnings:?}"
    );
    engine.assert_clean();
    lab.assert_clean();
}

/// An engine that answers once and never again.
#[test]
fn an_engine_that_is_silent_costs_the_budget_and_is_told() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let path = lab.path("engine.sock");
    let listener = UnixListener::bind(&path).expect("a path that is free");
    std::thread::spawn(move || {
        let mut silent = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.expect("a client");
            let mut request = [0; 4096];
            let count = stream.read(&mut request).expect("a request");
            if request[..count].starts_with(b"POST") {
                let body = "{\"Id\":\"x\",\"Warnings\":[]}";
                let head = format!(
                    "HTTP/1.1 201 Created\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                stream
                    .write_all(format!("{head}{body}").as_bytes())
                    .expect("a client");
            } else {
                silent.push(stream);
            }
        }
    });
    let stt = engine.json(
        &lab,
        &["--exact", "asks_by_itself", "--config=containers.budget=1s"],
    );
    let finished = stt
        .env("DOCKER_HOST", format!("unix://{path}"))
        .run()
        .code(0);
    let report = finished.report();
    let warning = report.one("warning");
    let says = |name: &str, text: &str| {
        warning[name]
            .as_str()
            .is_some_and(|said| said.contains(text))
    };
    assert!(says("message", "did not answer in time"), "{warning}");
    assert!(
        says("hint", "ps -a --filter label=dev.cargo-stt.run."),
        "{warning}"
    );
    lab.assert_clean();
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a test's own clock")]
fn twenty_containers_end_with_a_run_that_is_stopped() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let running = up(
            &engine,
            &lab,
            "hangs_with_twenty",
            &["--config=run.grace-period=1s"],
        );
        assert_eq!(engine.containers().len(), 20);
        let before = Instant::now();
        running.signal(signal);
        let finished = running.finish();
        let took = before.elapsed();
        assert_eq!(
            engine.containers(),
            [""; 0],
            "after {took:?}\n{}",
            finished.stdout
        );
        tell(&format!("{signal}: 20 containers"), took);
        fs::remove_file(lab.traces.join("up")).expect("it was there");
    }
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_test_that_takes_too_long_takes_its_containers_along() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let limits = [
        "--config=run.slow-timeout=2s",
        "--config=run.terminate-after=1",
    ];
    let finished = engine
        .json(
            &lab,
            &[&["--exact", "hangs_with_one"], &limits[..]].concat(),
        )
        .run()
        .code(100);
    assert_eq!(
        finished.report().finished("hangs_with_one")["failure"]["kind"],
        "timeout"
    );
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_killed_worker_leaves_no_container() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let mut running = up(&engine, &lab, "hangs_with_one", &[]);
    let worker = running.worker();
    let shown = lab.stt(["status", "--json"]).default_checkpoint().run();
    let status: Value = serde_json::from_str(&shown.code(0).stdout).expect("JSON");
    let runs = status["runs"].as_array().expect("a list");
    let ours = runs
        .iter()
        .find(|run| run["runner"]["pid"] == running.pid());
    let seen = &ours.expect("it is there")["containers"];
    assert_eq!(seen[0]["kind"], "container", "{seen:#}");
    assert_eq!(seen[0]["id"], engine.containers()[0].as_str(), "{seen:#}");
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is ours");
    let finished = running.finish().code(42);
    drop(finished.says("1 container of its tests removed: container "));
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn a_killed_supervisor_leaves_no_container() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let running = up(&engine, &lab, "hangs_with_one", &[]);
    running.signal(Signal::SIGKILL);
    drop(running.finish());
    until("the container is gone", DEADLINE, || {
        engine.containers().is_empty().then_some(())
    });
    until("nobody lives", DEADLINE, || {
        lab.survivors().is_empty().then_some(())
    });
    engine.assert_clean();
}

#[test]
fn whoever_comes_next_removes_what_two_killed_processes_have_left() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    for reaping in [&["reap"][..], &["--exact", "uses_nothing"]] {
        let mut running = up(&engine, &lab, "hangs_with_one", &[]);
        let worker = running.worker();
        for pid in [running.pid(), worker] {
            kill(Pid::from_raw(pid), Signal::SIGSTOP).expect("it is ours");
        }
        for pid in [running.pid(), worker] {
            kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is ours");
        }
        drop(running.finish());
        until("the other one is gone, too", DEADLINE, || {
            stt_tests::is_gone(worker).then_some(())
        });
        assert_eq!(engine.containers().len(), 1);
        let seen = lab.stt(["reap", "--dry-run"]).run().code(0);
        assert!(seen.stdout.contains("1 container"), "{}", seen.stdout);
        assert_eq!(engine.containers().len(), 1);
        let reaped = lab
            .stt(reaping)
            .env("CONTAINERS_IMAGE", &engine.image)
            .run()
            .code(0);
        let told = format!("{}{}", reaped.stdout, reaped.stderr);
        assert!(
            told.contains("Reaped") && told.contains("1 container"),
            "{told}"
        );
        fs::remove_file(lab.traces.join("up")).expect("it was there");
        engine.assert_clean();
    }
    drop(lab.stt(["reap"]).run().code(0).never_says("container"));
    lab.assert_clean();
}

/// `CONTAINERS_CLIENTS=100` for more of them.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the number of kills is the caller's choice"
)]
fn clients_that_are_killed_leave_nothing() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let clients = std::env::var("CONTAINERS_CLIENTS").unwrap_or_else(|_| "20".to_owned());
    let stt = engine
        .json(&lab, &["--exact", "kills_its_clients"])
        .env("CONTAINERS_CLIENTS", &clients);
    let finished = stt.run().code(0);
    engine.assert_clean();
    let report = finished.report();
    let count = left(report.finished("kills_its_clients")).len();
    assert!(
        count > 0,
        "no client was killed too late: the test says nothing"
    );
    assert_eq!(
        report.one("run-finished")["swept-containers"],
        Value::Array(Vec::new())
    );
    lab.assert_clean();
}

/// A socket that counts who connects.
fn counting_socket(lab: &Lab) -> (String, Arc<AtomicUsize>) {
    let path = lab.path("engine.sock");
    let listener = UnixListener::bind(&path).expect("a path that is free");
    let connections = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&connections);
    std::thread::spawn(move || {
        for _ in listener.incoming() {
            counter.fetch_add(1, Ordering::SeqCst);
        }
    });
    (format!("unix://{path}"), connections)
}

#[test]
fn a_run_without_containers_contacts_no_engine() {
    let lab = Lab::shared("counting");
    let (host, connections) = counting_socket(&lab);
    let stt = lab.json(["--no-fail-fast"]).log(&lab.log());
    drop(stt.env("DOCKER_HOST", host).run());
    drop(lab.stt(["reap"]).run().code(0));
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    lab.assert_clean();
}

/// There is nothing of what would ask the engine: its runtime begins with an `epoll`.
#[test]
fn a_run_without_containers_starts_no_client_for_the_engine() {
    let lab = Lab::shared("hostile");
    let (host, connections) = counting_socket(&lab);
    let mut running = lab
        .json(["--exact", "hangs"])
        .env("DOCKER_HOST", host)
        .spawn();
    lab.wait_for_traces(&mut running, &["hangs"]);
    for pid in [running.pid(), running.worker()] {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
        let open = open.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let open: Vec<_> = open.collect();
        let polls = |path: &std::path::PathBuf| path.as_os_str() == "anon_inode:[eventpoll]";
        assert!(open.len() > 3 && !open.iter().any(polls), "{open:?}");
    }
    running.signal(Signal::SIGTERM);
    drop(running.finish());
    assert_eq!(connections.load(Ordering::SeqCst), 0);
    lab.assert_clean();
}

#[test]
fn who_wants_to_is_left_alone_with_the_engine() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    for more in ["--no-containers", "--config=containers.enabled=false"] {
        let finished = engine
            .json(&lab, &["--exact", "leaves_a_container", more])
            .run()
            .code(0);
        assert_eq!(
            finished.report().finished("leaves_a_container").get("leak"),
            None
        );
        let id = trace(&lab, "left");
        assert_eq!(engine.containers(), std::slice::from_ref(&id));
        docker(&["rm", "-f", "-v", &id]).expect("it is ours");
    }
    engine.assert_clean();
    lab.assert_clean();
}

#[test]
fn an_engine_behind_tls_or_ssh_is_told_once_and_left_alone() {
    let lab = Lab::shared("counting");
    let ssh = lab
        .json(["--no-fail-fast"])
        .log(&lab.log())
        .env("DOCKER_HOST", "ssh://nobody@nowhere.invalid");
    let finished = ssh.run();
    let report = finished.report();
    let warnings: Vec<_> = report
        .of("warning")
        .filter_map(|line| line["message"].as_str())
        .collect();
    let expected = "containers that tests make are not ended with them: no proxy can stand in front of the engine, \
                    for DOCKER_HOST is ssh://nobody@nowhere.invalid";
    assert_eq!(warnings, [expected]);
    lab.assert_clean();
}

#[expect(clippy::print_stderr, reason = "the harness shows it with the test")]
fn tell(what: &str, took: std::time::Duration) {
    eprintln!("{what}: {took:?}");
}

#[test]
fn a_container_of_a_setup_script_is_there_for_the_tests_and_goes_with_the_run() {
    let Some(engine) = Engine::find() else { return };
    let lab = Lab::shared("containers");
    let path = lab.path("scripts.toml");
    let text = "[scripts.setup.up]\n\
        command = ['sh', '-c', 'echo ID=$(docker run -d $CONTAINERS_IMAGE sleep 1000) > $STT_ENV']\n\
        [scripts.teardown.look]\n\
        command = ['sh', '-c', 'docker inspect -f {{.State.Running}} $ID > $HOSTILE_DIR/running']\n\
        [[overrides]]\nfilter = 'all()'\nsetup = 'up'\nteardown = 'look'\n";
    fs::write(&path, text).expect("the laboratory is writable");
    let args = [
        "--exact",
        "uses_nothing",
        "leaves_a_container",
        "-j1",
        "--config-file",
        path.as_str(),
    ];
    let finished = engine.json(&lab, &args).run().code(0);
    assert_eq!(trace(&lab, "running").trim_end(), "true");
    let report = finished.report();
    assert_eq!(report.finished("uses_nothing").get("leak"), None);
    let swept = &report.one("run-finished")["swept-containers"];
    assert_eq!(swept.as_array().map(Vec::len), Some(1), "{swept}");
    engine.assert_clean();
    lab.assert_clean();
}
