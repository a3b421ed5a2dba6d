//! With a user's own Podman tests end in containers as outside, and what they make ends with them. The user is on no list
//! of this machine's, and finds neither cargo nor the target directory: he runs an archive. Where something of that is
//! missing each of these tests says that it is skipped.

use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::USER;
use stt_tests::cargo_stt;
use stt_tests::left_at_engine as left;

/// What the user has.
struct Own {
    engine: Engine,
    image: String,
    lab: Lab,
    archive: Utf8PathBuf,
    program: Utf8PathBuf,
}

impl Own {
    fn of(fixture: &str) -> Option<Self> {
        let engine = Engine::rootless()?;
        let image = engine.image_with_libraries();
        let lab = Lab::copied(fixture);
        let (archive, program) = (lab.path("tests.tar.zst"), lab.path("cargo-stt"));
        let build = lab.stt(["archive", "--archive-file", archive.as_str()]);
        drop(build.run().code(0));
        fs::copy(cargo_stt(), &program).expect("the laboratory is writable");
        lab.give_to(USER);
        Some(Self {
            engine,
            image,
            lab,
            archive,
            program,
        })
    }

    /// `cargo stt ARGS`, of his.
    fn stt(&self, args: &[&str]) -> Stt<'_> {
        let archive = ["--archive-file", self.archive.as_str()];
        let there = [
            "--workspace-remap",
            self.lab.root.as_str(),
            "--no-fail-fast",
        ];
        let all = [&archive[..], &there, args].concat();
        self.engine.json(&self.lab, &all).of_user(&self.program)
    }

    /// The same with tests in containers, which need no network: there may be none for them.
    fn inside(&self, args: &[&str]) -> Stt<'_> {
        let inside = [
            "--container",
            &self.image,
            "--config=container.network=none",
        ];
        self.stt(&[&inside[..], args].concat())
    }

    fn assert_clean(&self) {
        self.engine.assert_clean();
        self.lab.assert_clean();
    }
}

#[test]
fn tests_end_in_containers_of_a_users_own_podman_as_outside() {
    let Some(own) = Own::of("boxed") else { return };
    let names = [
        "passes",
        "fails",
        "exits",
        "aborts",
        "kills_itself",
        "is_doubled",
        "leaves_a_process",
    ];
    let finished = own
        .inside(&[&["-j2", "--exact"], &names[..]].concat())
        .run()
        .code(100);
    let mut expected = own.lab.expected().results(&[]);
    expected.retain(|(_, name), _| names.contains(&name.as_str()));
    assert_eq!(finished.results(), expected, "{}", finished.transcript());
    let report = finished.report();
    let left = &report.finished("leaves_a_process")["leak"]["processes"];
    let command = left[0]["command"].as_str().unwrap_or_default();
    assert!(command.contains("sleep 1000"), "{left:#}");
    own.assert_clean();

    let finished = own.inside(&["--exact", "tells_of_itself"]).run().code(100);
    let told = finished.report().finished("tells_of_itself")["output"].to_string();
    let user = format!("uid {USER}\\n");
    assert!(
        told.contains(&user) && told.contains("inside true"),
        "{told}"
    );
    own.assert_clean();
}

/// Without control groups of version 2 it takes limits for containers, and holds none.
#[test]
fn limits_that_a_users_own_podman_does_not_hold_are_told() {
    let Some(own) = Own::of("boxed") else { return };
    let version = own
        .engine
        .call(&["info", "--format", "{{.Host.CgroupsVersion}}"]);
    if version.as_deref() != Ok("v1") {
        return stt_tests::skipped("control groups of version 1", &format!("{version:?}"));
    }
    let limits = [
        "--limits=small",
        "--config=limits.small.memory=100MiB",
        "--config=limits.small.time=30s",
    ];
    let run = own
        .inside(&["--exact", "passes"])
        .args(limits)
        .run()
        .code(0);
    let report = run.report();
    let message = "the engine does not hold tests in containers to their limits: `memory`";
    assert_eq!(report.one("warning")["message"], message, "{}", run.stdout);
    own.assert_clean();
}

#[test]
fn what_tests_make_with_a_users_own_podman_ends_with_them() {
    let Some(own) = Own::of("containers") else {
        return;
    };
    let tests = [
        "leaves_a_container",
        "leaves_a_volume_alone",
        "removes_its_pod",
    ];
    let report = own
        .stt(&[&["--exact"], &tests[..]].concat())
        .run()
        .code(0)
        .report();
    let kinds = |test: &str| -> Vec<_> {
        left(report.finished(test))
            .into_iter()
            .map(|(kind, _)| kind)
            .collect()
    };
    assert_eq!(kinds(tests[0]), ["container"]);
    assert_eq!(kinds(tests[1]), ["volume"]);
    assert_eq!(report.finished(tests[2]).get("leak"), None);
    own.assert_clean();

    let mut running = own.stt(&["--exact", "hangs_with_one"]).spawn();
    running.wait_for("the container is there", |_| own.lab.is_there("up"));
    kill(Pid::from_raw(running.worker()), Signal::SIGKILL).expect("it is ours");
    drop(
        running
            .finish()
            .code(42)
            .says("1 container of its tests removed: "),
    );
    own.assert_clean();
}
