//! What it costs a test that the proxy stands in front of its engine, beside the same without it; and how soon twenty
//! containers are gone when a run is stopped.
//!
//! The bench is itself the client that a test calls: only a test has a socket of the proxy's. There it goes both ways, in
//! turns, and says how long each took.

use std::io::Read as _;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

use fs_err as fs;
use nix::sys::signal::Signal;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Stopwatch;

use crate::inside::median;

/// Says where the engine is without the proxy, to the bench as a client.
const STRAIGHT: &str = "BENCH_STRAIGHT";
/// The container of the client.
const CONTAINER: &str = "BENCH_CONTAINER";

/// How many requests are measured at once.
const REQUESTS: u32 = 500;

/// What is moved, in mebibytes.
const STREAM: u64 = 1024;

/// Promised: what a request may cost more, in seconds.
const MOST_PER_REQUEST: f64 = 0.0005;
/// Promised: how much longer a stream may take.
const MOST_PER_STREAM: f64 = 1.05;
/// Promised: how long twenty containers may take to end, in seconds.
const MOST_PER_STOP: f64 = 2.0;

/// What is done in both ways.
const DEEDS: [&str; 4] = [
    "a request",
    "1 GiB out of exec",
    "1 GiB into exec",
    "1 GiB out of cp",
];

/// What the bench does as a client; `None` where it is none.
#[expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    reason = "that is how a client is told, and what it tells"
)]
pub(crate) fn client() -> Option<ExitCode> {
    let straight = std::env::var(STRAIGHT).ok()?;
    let var = |name| std::env::var(name).expect("the bench has called us");
    let (through, container) = (var("DOCKER_HOST"), var(CONTAINER));
    for deed in DEEDS {
        for (way, host) in [("straight", &straight), ("through", &through)] {
            let watch = Stopwatch::start();
            do_once(deed, host, &container);
            println!("{deed}\t{way}\t{}", watch.stop().wall);
        }
    }
    Some(ExitCode::SUCCESS)
}

fn do_once(deed: &str, host: &str, container: &str) {
    let fill = format!("exec busybox dd if=/dev/zero bs=1M count={STREAM}");
    match deed {
        "a request" => ask(host),
        "1 GiB out of exec" => docker(host, &["exec", container, "sh", "-c", &fill], false),
        "1 GiB into exec" => {
            docker(
                host,
                &["exec", "-i", container, "sh", "-c", "exec cat >/dev/null"],
                true,
            );
        }
        _ => docker(host, &["cp", &format!("{container}:/large"), "-"], false),
    }
}

/// Each on a connection of its own.
fn ask(host: &str) {
    let path = host.strip_prefix("unix://").expect("a socket");
    for _ in 0..REQUESTS {
        let mut stream = UnixStream::connect(path).expect("the engine listens");
        let request = b"GET /_ping HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";
        stream.write_all(request).expect("the engine reads");
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).expect("the engine answers");
        assert!(answer.starts_with(b"HTTP/1.1 200"), "it is well");
    }
}

/// Calls docker, which is given a stream or gives one that nobody wants.
#[expect(
    clippy::disallowed_methods,
    reason = "the bench starts its own children"
)]
fn docker(host: &str, args: &[&str], into: bool) {
    let mut command = Command::new("docker");
    command.args(["-H", host]).args(args).stderr(Stdio::null());
    let (input, output) = if into {
        (Stdio::piped(), Stdio::null())
    } else {
        (Stdio::null(), Stdio::piped())
    };
    let mut child = command
        .stdin(input)
        .stdout(output)
        .spawn()
        .expect("docker starts");
    let mut piece = vec![0; 1 << 20];
    if let Some(mut stdin) = child.stdin.take() {
        for _ in 0..STREAM {
            stdin.write_all(&piece).expect("docker reads");
        }
    }
    let mut count = 0;
    if let Some(mut stdout) = child.stdout.take() {
        while let Ok(more @ 1..) = stdout.read(&mut piece) {
            count += more as u64;
        }
        assert!(count >= STREAM << 20, "{count} bytes came");
    }
    let status = child.wait().expect("our own child");
    assert!(status.success(), "docker {args:?}: {status}");
}

/// Measures all of it; a failure where something is beyond what is promised, or there is no engine.
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub(crate) fn run(rounds: usize) -> ExitCode {
    let Some(engine) = Engine::find() else {
        return ExitCode::FAILURE;
    };
    let lab = Lab::shared("containers");
    let said = both_ways(&engine, &lab, rounds);
    let figure = |deed: &str, way: &str| {
        let lines = said.lines().filter_map(|line| line.split_once('\t'));
        let own = lines.filter(|(name, _)| *name == deed);
        let own = own.filter_map(|(_, rest)| rest.strip_prefix(way)?.trim().parse().ok());
        median(&mut own.collect::<Vec<f64>>())
    };
    println!("what the proxy costs (medians of {rounds} rounds)");
    let mut is_good = true;
    for deed in DEEDS {
        let (mut straight, mut through) = (figure(deed, "straight"), figure(deed, "through"));
        let kept = if deed == DEEDS[0] {
            straight /= f64::from(REQUESTS);
            through /= f64::from(REQUESTS);
            through - straight <= MOST_PER_REQUEST
        } else {
            through <= straight * MOST_PER_STREAM
        };
        is_good &= kept;
        let (before, after, ratio) = (straight * 1e3, through * 1e3, through / straight);
        println!(
            "{deed:<18} {before:9.3} ms, through it {after:9.3} ms {ratio:5.2} × {}",
            verdict(kept)
        );
    }
    let mut stops: Vec<_> = (0..rounds).map(|_| stop(&engine, &lab)).collect();
    let took = median(&mut stops);
    let kept = took <= MOST_PER_STOP;
    println!(
        "twenty containers are gone {took:.2} s after a run is told to stop {}",
        verdict(kept)
    );
    if is_good && kept {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn verdict(kept: bool) -> &'static str {
    if kept { "" } else { "(more than is promised)" }
}

/// What the client says, round by round.
fn both_ways(engine: &Engine, lab: &Lab, rounds: usize) -> String {
    let fill = format!("busybox dd if=/dev/zero of=/large bs=1M count={STREAM}; exec sleep 3600");
    let options = ["run", "-d", "--network=none"];
    let made = engine.call(&[&options[..], &[&engine.image, "sh", "-c", &fill]].concat());
    let id = made.expect("the engine makes a container");
    let client = std::env::current_exe().expect("a bench knows its program");
    let mut said = String::new();
    // The first round only warms up.
    for round in 0..=rounds {
        let stt = engine.json(lab, &["--exact", "calls_a_client", "--no-guard"]);
        let stt = stt.env("CONTAINERS_CLIENT", &client);
        let stt = stt.env(STRAIGHT, "unix:///var/run/docker.sock");
        drop(stt.env(CONTAINER, &id).run().code(0));
        let one = fs::read_to_string(lab.traces.join("said"));
        if round > 0 {
            said.push_str(&one.expect("the test has left it"));
        }
    }
    for verb in ["kill", "rm"] {
        drop(engine.call(&[verb, &id]));
    }
    said
}

/// How long a run with twenty containers takes to end, in seconds.
fn stop(engine: &Engine, lab: &Lab) -> f64 {
    let mut running = engine.json(lab, &["--exact", "hangs_with_twenty"]).spawn();
    running.wait_for("the containers are there", |_| lab.is_there("up"));
    let watch = Stopwatch::start();
    running.signal(Signal::SIGINT);
    running.wait_for_exit();
    let took = watch.stop().wall;
    engine.assert_clean();
    fs::remove_file(lab.traces.join("up")).expect("it was there");
    took
}
