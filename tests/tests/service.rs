//! `cargo stt service`: what is written where, what the manager is told, and what is never touched.

#![cfg(target_os = "linux")]

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::symlink;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Finished;
use stt_tests::Lab;
use stt_tests::Stt;
use stt_tests::cargo_stt;
use stt_tests::skipped;

const SERVICE: &str = "cargo-stt-reap.service";
const TIMER: &str = "cargo-stt-reap.timer";

/// A laboratory with a `systemctl` of its own, which writes down how it was called.
struct Desk {
    lab: Lab,
    bin: Utf8PathBuf,
}

impl Desk {
    /// With a manager that does what it is told.
    fn new() -> Self {
        let lab = Lab::bare();
        let bin = lab.path("bin");
        fs::create_dir(&bin).expect("the laboratory is writable");
        let desk = Self { lab, bin };
        desk.manager("exit 0");
        desk
    }

    /// A manager that then does this.
    fn manager(&self, then: &str) {
        let calls = self.calls_file();
        let script = format!("#!/bin/sh\necho \"$*\" >>'{calls}'\n{then}\n");
        program(&self.bin.join("systemctl"), &script);
    }

    fn stt<'a>(&'a self, args: &[&str]) -> Stt<'a> {
        let args = ["service"].iter().chain(args);
        self.lab.stt(args).env("PATH", &self.bin)
    }

    fn units(&self) -> Utf8PathBuf {
        self.lab.path("home").join("CONFIG/systemd/user")
    }

    fn calls_file(&self) -> Utf8PathBuf {
        self.lab.path("calls")
    }

    /// How the manager was called since the last question.
    fn calls(&self) -> Vec<String> {
        let text = fs::read_to_string(self.calls_file()).unwrap_or_default();
        drop(fs::remove_file(self.calls_file()));
        text.lines().map(str::to_owned).collect()
    }

    /// The names in the directory of the units.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.units()).into_iter().flatten();
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("readable").file_name();
        let mut names: Vec<_> = entries
            .map(|entry| name(entry).into_string().expect("text"))
            .collect();
        names.sort();
        names
    }
}

fn program(path: &Utf8Path, script: &str) {
    fs::write(path, script).expect("the laboratory is writable");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(path, mode).expect("it is ours");
}

fn out(finished: &Finished, text: &str) {
    assert!(
        finished.stdout.contains(text),
        "no `{text}` in\n{}",
        finished.transcript()
    );
}

const ENABLED: [&str; 2] = [
    "--user daemon-reload",
    "--user enable --now cargo-stt-reap.timer",
];
const DISABLED: [&str; 2] = [
    "--user disable --now cargo-stt-reap.timer",
    "--user daemon-reload",
];

#[test]
fn it_is_installed_and_uninstalled_again_and_again() {
    let desk = Desk::new();
    for interval in ["1min", "90s"] {
        let install = desk.stt(&["install", "--interval", interval]).run().code(0);
        out(&install, "it runs from now on");
        assert_eq!(desk.names(), [SERVICE, TIMER]);
        assert_eq!(desk.calls(), ENABLED);
        let service = fs::read_to_string(desk.units().join(SERVICE)).expect("it is there");
        let exec = format!("\nExecStart=\"{}\" \"stt\" \"reap\"\n", cargo_stt());
        assert!(service.contains(&exec), "{service}");
        let timer = fs::read_to_string(desk.units().join(TIMER)).expect("it is there");
        let seconds = if interval == "90s" { 90 } else { 60 };
        let line = format!("\nOnUnitInactiveSec={seconds}s\n");
        assert!(timer.contains(&line), "{timer}");
        // What is shown is what was installed.
        let show = desk.stt(&["show", "--interval", interval]).run().code(0);
        out(&show, &service);
        out(&show, &timer);
        assert_eq!(desk.calls(), Vec::<String>::new());
    }
    let uninstall = desk.stt(&["uninstall"]).run().code(0);
    out(&uninstall, &format!("removed {}", desk.units().join(TIMER)));
    assert_eq!(desk.names(), Vec::<String>::new());
    assert_eq!(desk.calls(), DISABLED);
    let again = desk.stt(&["uninstall"]).run().code(0);
    out(&again, "nothing is installed");
    assert_eq!(desk.calls(), Vec::<String>::new());
}

#[test]
fn without_a_start_nobody_is_called() {
    let desk = Desk::new();
    let install = desk.stt(&["install", "--no-start"]).run().code(0);
    out(
        &install,
        "`systemctl --user enable --now cargo-stt-reap.timer`",
    );
    assert_eq!(desk.names(), [SERVICE, TIMER]);
    assert_eq!(desk.calls(), Vec::<String>::new());
}

#[test]
fn where_no_manager_answers_it_says_what_is_to_be_called() {
    let desk = Desk::new();
    let why = "Failed to connect to bus: No medium found";
    desk.manager(&format!("echo '{why}' >&2; exit 1"));
    let absent = desk.stt(&["install"]).run().code(0);
    let absent = absent.says(why).says("warning: it does not run yet");
    drop(absent.says("then `systemctl --user enable --now cargo-stt-reap.timer`"));
    assert_eq!(desk.calls(), ENABLED[..1]);
    assert_eq!(desk.names(), [SERVICE, TIMER]);
    // The link that a manager made, who is gone since.
    let wants = desk.units().join("timers.target.wants");
    fs::create_dir(&wants).expect("it is ours");
    symlink(desk.units().join(TIMER), wants.join(TIMER)).expect("it is ours");
    drop(desk.stt(&["uninstall"]).run().code(0).says(why));
    assert_eq!(desk.names(), ["timers.target.wants"]);
    assert_eq!(fs::read_dir(&wants).expect("it is ours").count(), 0);

    fs::remove_file(desk.bin.join("systemctl")).expect("it is ours");
    let missing = desk.stt(&["install"]).run().code(0);
    drop(missing.says("`systemctl` was not found"));

    // One that answers, and refuses.
    desk.manager("case $* in *enable*) echo 'it is masked' >&2; exit 1; esac");
    let refused = desk.stt(&["install"]).run().code(96);
    drop(refused.says("it is masked").says("does not run"));
}

#[test]
fn what_somebody_else_has_written_is_left_alone() {
    let desk = Desk::new();
    let path = desk.units().join(TIMER);
    fs::create_dir_all(desk.units()).expect("the laboratory is writable");
    let own = desk.lab.path("own.timer");
    fs::write(&own, "[Timer]\nOnBootSec=1h\n").expect("the laboratory is writable");
    let file = || assert!(fs::copy(&own, &path).is_ok());
    let link = || symlink(&own, &path).expect("it is ours");
    let directory = || fs::create_dir(&path).expect("it is ours");
    let kinds: [(&dyn Fn(), &str); 3] = [
        (&file, "is not written by `cargo stt service install`"),
        (&link, "is a symbolic link"),
        (&directory, "is no file"),
    ];
    for (make, why) in kinds {
        make();
        for action in ["install", "uninstall"] {
            let refused = desk.stt(&[action]).run().code(96);
            let refused = refused.says(path.as_str()).says(why);
            drop(refused.says("hint: move it away"));
            assert_eq!(desk.names(), [TIMER], "{action}: {why}");
            assert_eq!(desk.calls(), Vec::<String>::new());
        }
        if path.is_dir() {
            fs::remove_dir(&path).expect("it is ours");
        } else {
            let kept = fs::read_to_string(&path).expect("it is there");
            assert_eq!(kept, "[Timer]\nOnBootSec=1h\n");
            fs::remove_file(&path).expect("it is ours");
        }
    }
}

#[test]
fn without_a_directory_for_configuration_it_lies_in_the_home() {
    let desk = Desk::new();
    let home = desk.lab.path("home");
    let install = desk.stt(&["install"]).without("XDG_CONFIG_HOME");
    drop(install.run().code(0));
    assert!(home.join(".config/systemd/user").join(TIMER).is_file());
    let homeless = desk.stt(&["show"]).without("HOME").run().code(96);
    drop(homeless.says("`HOME`"));
    for (interval, why) in [
        ("9s", "from 10s to 24h"),
        ("25h", "from 10s to 24h"),
        ("10.5s", "whole seconds"),
        ("often", "is not a time"),
    ] {
        let show = desk.stt(&["show", "--interval", interval]).run();
        drop(show.code(2).says(why));
    }
    let misplaced = desk.lab.stt(["-v", "service"]).run().code(2);
    drop(misplaced.says("`service` is a command"));
}

/// systemd's own reader has no complaint, wherever the program lies; and a shell that it would need becomes it.
#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn systemd_reads_what_is_installed() {
    let desk = Desk::new();
    let verify = |dir: &Utf8Path| {
        let mut command = desk.lab.command("systemd-analyze");
        command.args(["verify", "--user"]);
        command.args([dir.join(SERVICE), dir.join(TIMER)]).output()
    };
    let version = desk
        .lab
        .command("systemd-analyze")
        .arg("--version")
        .output();
    if let Err(error) = version {
        return skipped("what systemd says of the units", &error);
    }
    for name in [
        "plain",
        "with space",
        "größe",
        "100%h",
        "$HOME",
        "a${HOME}b",
        "it's",
        "say \"so\"",
        "back\\x41",
        "line\nbreak",
        "semi;colon",
        "-@:+!x",
        "{a}",
    ] {
        let place = desk.lab.path("programs").join(name);
        fs::create_dir_all(&place).expect("the laboratory is writable");
        let copy = place.join("cargo-stt");
        fs::hard_link(cargo_stt(), &copy)
            .or_else(|_| fs::copy(cargo_stt(), &copy).map(drop))
            .expect("the laboratory is writable");
        let mut install = desk.lab.command(&copy);
        let install = install
            .args(["stt", "service", "install", "--no-start"])
            .output();
        let install = install.expect("it starts");
        assert!(install.status.success(), "{name}: {install:?}");
        let said = verify(&desk.units()).expect("it starts");
        let text = String::from_utf8_lossy(&said.stderr);
        // Of other units of the system it may say what it likes.
        assert!(
            said.status.success() && !text.contains("cargo-stt"),
            "{name}: {text}"
        );
        // It looks for the program, so that a wrong path would be told.
        fs::remove_file(&copy).expect("it is ours");
        if !name.contains(['\'', '"', '\\', '$', '\n']) {
            let said = verify(&desk.units()).expect("it starts");
            let text = String::from_utf8_lossy(&said.stderr);
            assert!(text.contains("is not executable"), "{name}: {text}");
        }
    }
}
