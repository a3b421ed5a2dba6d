//! Discovery on a real workspace, held against `cargo test` and `cargo nextest`.

#![expect(
    clippy::disallowed_methods,
    reason = "a test starts its commands itself, in the environment it was started in"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::process::Command;
use std::process::Output;
use std::process::Stdio;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use fs_err as fs;
use stt_core::command::CommandLine;
use stt_core::command::Environment;
use stt_core::discovery as disc;
use stt_core::id::RunId;
use stt_core::id::TestId;
use stt_core::outcome::Exit;
use stt_core::retry::Attempt;
use stt_core::selection::BuildPlace;
use stt_core::selection::BuildSelection;
use stt_core::selection::RunIgnored;
use stt_core::selection::TestSelection;

/// Writes the directory and the whole environment to a file of `DUMP_DIR` named for the executable.
const DUMP: &str = r#"
#[allow(dead_code)]
fn dump() {
    let Some(dir) = std::env::var_os("DUMP_DIR") else { return };
    let mut all = format!("cwd={}", std::env::current_dir().unwrap().display());
    for (name, value) in std::env::vars() {
        all += &format!("\0{name}={value}");
    }
    let exe = std::env::current_exe().unwrap();
    let name = exe.file_name().unwrap().to_str().unwrap();
    let name = name.rsplit_once('-').map_or(name, |(name, _hash)| name);
    // While it lists its tests there is no such directory.
    drop(std::fs::write(std::path::Path::new(&dir).join(name), all));
}
"#;

/// Stands for the line that brings `dump` into a file.
const INCLUDE: (&str, &str) = (
    "@dump",
    r#"include!(concat!(env!("CARGO_MANIFEST_DIR"), "/../dump.rs"));"#,
);
/// Stands for unit tests.
const UNIT: (&str, &str) = (
    "@unit",
    "#[cfg(test)] mod unit {
        @dump
        #[test] fn dumps() { dump() }
        #[test] #[ignore] fn is_ignored() {}
    }",
);

/// The workspace: every kind of target, and everything that changes a test's environment.
const FILES: &[(&str, &str)] = &[
    (
        "Cargo.toml",
        "[workspace]\nmembers = ['app', 'mac', 'dyl']\nresolver = '3'\n",
    ),
    ("dump.rs", DUMP),
    ("LICENSE", "do\n"),
    (
        ".cargo/config.toml",
        // So that a test finds its libraries only with the right path for the loader.
        "[build]
         rustflags = ['-Cprefer-dynamic']
         [env]
         FROM_CONFIG = 'plain'
         FORCED = { value = 'forced', force = true }
         UNFORCED = { value = 'unforced' }
         RELATIVE = { value = 'some/dir', relative = true }
         CARGO_PKG_NAME = { value = 'never', force = true }
         CARGO_PKG_HOMEPAGE = 'never'
         OUT_DIR = { value = 'forced', force = true }
         LD_LIBRARY_PATH = { value = '/never', force = true }\n",
    ),
    (
        "app/Cargo.toml",
        "[package]
         name = 'my-app'
         version = '1.2.3-rc.1+b'
         edition = '2024'
         authors = ['A <a@x>', 'B']
         description = \"two\\nlines \"
         rust-version = '1.85'
         license-file = '../LICENSE'
         repository = 'https://example.org/r'
         [dependencies]
         mac = { path = '../mac' }
         dyl = { path = '../dyl' }
         [[bin]]
         name = 'my-tool'
         path = 'src/tool.rs'
         [[test]]
         name = 'custom'
         harness = false
         [[test]]
         name = 'mute'
         harness = false
         [[bench]]
         name = 'speed'
         [[bench]]
         name = 'mutebench'
         harness = false\n",
    ),
    ("app/README.md", "read me\n"),
    (
        "app/build.rs",
        r#"fn main() {
            let out = std::env::var("OUT_DIR").unwrap();
            println!("cargo::rustc-env=FROM_SCRIPT=yes");
            println!("cargo::rustc-env=CARGO_PKG_LICENSE=never");
            println!("cargo::rustc-env=CARGO=never");
            for path in ["/usr/lib", "native=/none"] {
                println!("cargo::rustc-link-search={path}");
            }
            for (kind, name) in [("native=", "z"), ("all=", "y"), ("", "x")] {
                println!("cargo::rustc-link-search={kind}{out}/{name}");
            }
        }"#,
    ),
    ("app/src/lib.rs", "@unit"),
    ("app/src/tool.rs", "fn main() {}\n@unit"),
    (
        "app/tests/it.rs",
        "@dump\n#[test] fn dumps() { assert_eq!(dyl::seven(), 7); dump() }\n",
    ),
    (
        "app/tests/custom.rs",
        r#"@dump
        fn main() {
            let args: Vec<String> = std::env::args().collect();
            let has = |arg: &str| args.iter().any(|known| known == arg);
            match (has("--list"), has("--ignored")) {
                (true, false) => println!("a [strange], name: test: test\nslow one: test\nspeed: benchmark"),
                (true, true) => println!("slow one: test"),
                (false, _) => dump(),
            }
        }"#,
    ),
    ("app/tests/mute.rs", "@dump\nfn main() { dump() }\n"),
    ("app/examples/ex.rs", "fn main() {}\n@unit"),
    (
        "app/benches/speed.rs",
        "@dump\n#[test] fn dumps() { dump() }\n",
    ),
    ("app/benches/mutebench.rs", "@dump\nfn main() { dump() }\n"),
    (
        "mac/Cargo.toml",
        "[package]\nname = 'mac'\nversion = '0.1.0'\nedition = '2024'\n[lib]\nproc-macro = true\n",
    ),
    ("mac/src/lib.rs", "@unit"),
    (
        "dyl/Cargo.toml",
        "[package]\nname = 'dyl'\nversion = '0.1.0'\nedition = '2024'\n[lib]\ncrate-type = ['dylib']\n",
    ),
    ("dyl/src/lib.rs", "pub fn seven() -> u32 { 7 }\n"),
];

/// The binaries of the workspace.
const IDS: [&str; 10] = [
    "dyl",
    "mac",
    "my-app",
    "my-app::bench/mutebench",
    "my-app::bench/speed",
    "my-app::bin/my-tool",
    "my-app::custom",
    "my-app::example/ex",
    "my-app::it",
    "my-app::mute",
];

/// The executables that dump, without the hash in their names.
const DUMPERS: [&str; 9] = [
    "custom",
    "ex",
    "it",
    "mac",
    "mute",
    "mutebench",
    "my_app",
    "my_tool",
    "speed",
];

/// A variable or a file, and what is in it.
type Texts = BTreeMap<String, String>;
/// A binary: its path, its directory, and its tests with whether they are ignored.
type Suite = (String, String, Vec<(String, bool)>);

/// The workspace on disk, with the environment in which everything is started.
struct Fixture {
    _dir: tempfile::TempDir,
    root: Utf8PathBuf,
    cargo: OsString,
    env: Environment,
}

impl Fixture {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let root = Utf8Path::from_path(dir.path()).expect("a UTF-8 path");
        let root = root.canonicalize_utf8().expect("it exists");
        for (name, text) in FILES {
            let path = root.join(name);
            fs::create_dir_all(path.parent().expect("in the root")).expect("a directory");
            let text = text.replace(UNIT.0, UNIT.1).replace(INCLUDE.0, INCLUDE.1);
            stt_core::fs::write_atomic(&path, text.as_bytes()).expect("a file");
        }
        let env = std::env::vars_os()
            .filter(|(name, _)| !is_of_the_outer_cargo(&name.to_string_lossy()))
            .chain([
                ("UNFORCED".into(), "inherited".into()),
                ("FORCED".into(), "inherited".into()),
                ("DUMP_DIR".into(), root.join("dump").into()),
                ("LD_LIBRARY_PATH".into(), "/inherited:".into()),
            ])
            .collect();
        Self {
            _dir: dir,
            cargo: std::env::var_os("CARGO").unwrap_or("cargo".into()),
            env,
            root,
        }
    }

    fn cargo(&self, args: &[&str]) -> CommandLine {
        CommandLine::new(&self.cargo, self.root.clone(), self.env.clone()).args(args)
    }

    fn rustc(&self, target: Option<&str>) -> disc::Rustc {
        let command = disc::rustc_command("rustc".as_ref(), target, &self.root, &self.env);
        disc::Rustc::parse(&text(start(&command).stdout)).expect("a compiler")
    }

    /// Discovers as a run does: every command of the room is started, and every answer read.
    fn discover(&self, selection: &BuildSelection) -> Vec<(disc::TestBinary, disc::Listing)> {
        let place = BuildPlace {
            offline: true,
            ..BuildPlace::default()
        };
        let (cargo, cwd, env) = (&self.cargo, &self.root, &self.env);
        let config = disc::CargoConfig::read(cwd, env).expect("a configuration");
        assert_eq!(config.rustc(), "rustc");
        let metadata = start(&disc::metadata_command(cargo, &place, false, cwd, env));
        let workspace = disc::Workspace::parse(&metadata.stdout).expect("metadata");
        let targets = config.targets(selection);
        let toolchain = disc::Toolchain {
            host: self.rustc(None).into(),
            targets: targets
                .into_iter()
                .map(|target| self.rustc(Some(target)).into())
                .collect(),
        };
        let build = start(&disc::build_command(
            cargo, selection, &place, cwd, env, false,
        ));
        let mut messages = disc::Messages::default();
        for line in text(build.stdout).lines() {
            let event = messages.line(line).expect("a message");
            assert!(!matches!(event, disc::MessageEvent::Text(_)), "{line}");
        }
        let built = messages.finish();
        assert_eq!(built.success, Some(true));
        let setting = disc::Setting {
            workspace: &workspace,
            config: &config,
            toolchain: &toolchain,
            inherited: env,
            cargo,
            run: &RunId::from_random([7; 16]),
            profile: "default",
        };
        let binaries = disc::test_binaries(&built, &setting).expect("binaries");
        let listed = binaries.into_iter().map(|binary| {
            let listing = list(&binary);
            (binary, listing)
        });
        listed.collect()
    }

    /// Runs `tests`, and gives what they dumped, by the name of their executable.
    fn dumps_of(&self, tests: impl FnOnce()) -> Texts {
        let dir = self.root.join("dump");
        fs::create_dir(&dir).expect("a directory");
        tests();
        let dumps = fs::read_dir(&dir)
            .expect("dumps")
            .map(|entry| entry.expect("an entry"))
            .map(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name, fs::read_to_string(entry.path()).expect("a dump"))
            })
            .collect();
        fs::remove_dir_all(dir).expect("the dumps to go");
        dumps
    }
}

/// What the outer cargo set for this very test would stand on both sides, and hide a difference.
fn is_of_the_outer_cargo(name: &str) -> bool {
    let prefixes = [
        "CARGO",
        "NEXTEST",
        "STT",
        "OUT_DIR",
        "LD_LIBRARY_PATH",
        "RUSTC",
        "RUSTFLAGS",
    ];
    name != "CARGO_HOME" && prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn start(command: &CommandLine) -> Output {
    let output = Command::new(&command.program)
        .args(&command.args)
        .current_dir(&command.cwd)
        .env_clear()
        .envs(command.env.iter().map(|(name, value)| (name, value)))
        .envs(command.extra_env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", command.shown()));
    assert!(
        output.status.success(),
        "{}: {}\n{}",
        command.shown(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

fn list(binary: &disc::TestBinary) -> disc::Listing {
    let [plain, ignored] = disc::list_commands(binary).map(|command| {
        let output = start(&command);
        disc::ListAnswer::Ended {
            exit: Exit::Code(0),
            stdout: output.stdout,
            stderr: output.stderr,
        }
    });
    disc::read_listing(binary, &plain, &ignored).expect("a listing")
}

/// Runs every selected test by our commands.
fn run_all(found: &[(disc::TestBinary, disc::Listing)]) {
    let selection = TestSelection::default();
    for (binary, listing) in found {
        let selected = listing
            .tests
            .iter()
            .filter(|test| disc::verdict(&selection, test) == disc::Verdict::Run);
        for test in selected {
            let id = TestId::new(binary.id.clone(), test.name.clone());
            let env = disc::per_test(disc::PerTest {
                test: &id,
                run: &RunId::from_random([7; 16]),
                attempt: Attempt::ONLY,
                slot: 0,
                threads: 1,
                ports: &[],
                group: None,
            });
            start(&disc::test_command(binary, test, None, &[], env));
        }
    }
}

/// Reads what `dump` wrote.
fn variables(dump: &str) -> Texts {
    dump.split('\0')
        .map(|entry| entry.split_once('=').expect("a name and a value"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Whether we mean to add this variable to what cargo sets.
fn is_added(name: &str, cargos: &Texts) -> bool {
    let cargos_form = name.replace("my_tool", "my-tool");
    name.starts_with("NEXTEST")
        || name == "STT"
        || name.starts_with("STT_")
        || (name == "CARGO_BIN_EXE_my_tool" && cargos.contains_key(&cargos_form))
}

/// Runs all tests of the workspace by `cargo test` and by our commands, and compares what they saw.
fn assert_same_environment(fixture: &Fixture, selection: &BuildSelection, cargo_args: &[&str]) {
    let args = ["test", "--offline", "--workspace", "--all-targets"];
    let args = [args.as_slice(), cargo_args].concat();
    let cargos = fixture.dumps_of(|| drop(start(&fixture.cargo(&args))));
    let found = fixture.discover(selection);
    let ours = fixture.dumps_of(|| run_all(&found));

    assert_eq!(cargos.keys().collect::<Vec<_>>(), DUMPERS);
    for (name, cargos) in &cargos {
        let cargos = variables(cargos);
        let mut ours = variables(&ours[name]);
        assert_eq!(ours.get("STT").map(String::as_str), Some("1"));
        ours.retain(|variable, _| !is_added(variable, &cargos));
        assert_eq!(ours, cargos, "{name}");
    }
    // The comparison is worth something only if cargo did set all this.
    let it = variables(&cargos["it"]);
    assert_eq!(it["FROM_SCRIPT"], "yes");
    assert_eq!(it["FORCED"], "forced");
    assert!(it["LD_LIBRARY_PATH"].contains("/inherited"));
    assert!(it.contains_key("CARGO_BIN_EXE_my-tool"));
}

fn everything() -> BuildSelection {
    BuildSelection {
        workspace: true,
        all_targets: true,
        ..BuildSelection::default()
    }
}

#[test]
fn a_test_finds_what_cargo_test_gives_it() {
    assert_same_environment(&Fixture::new(), &everything(), &[]);
}

#[test]
fn so_it_does_with_a_target_a_runner_and_a_build_directory() {
    let fixture = Fixture::new();
    let triple = fixture.rustc(None).triple;
    let config = fixture.root.join(".cargo/config.toml");
    let with_more = fs::read_to_string(&config)
        .expect("the configuration")
        .replace("[build]\n", "[build]\nbuild-dir = 'elsewhere'\n")
        + "[target.'cfg(unix)']\nrunner = ['env', 'RAN_BY=the runner']\n";
    stt_core::fs::write_atomic(&config, with_more.as_bytes()).expect("the configuration");
    let selection = BuildSelection {
        target: Some(triple.clone()),
        ..everything()
    };
    assert_same_environment(&fixture, &selection, &[&format!("--target={triple}")]);
    let found = fixture.discover(&selection);
    assert!(found.iter().all(|(binary, _)| binary.runner.is_some()));
}

#[test]
fn binaries_and_tests_are_those_of_nextest() {
    let fixture = Fixture::new();
    let found = fixture.discover(&everything());
    let ours: BTreeMap<String, Suite> = found.iter().map(suite).collect();
    assert_eq!(ours.keys().collect::<Vec<_>>(), IDS);
    let custom = [
        ("a [strange], name: test", false),
        ("slow one", true),
        ("speed", false),
    ];
    assert_eq!(
        ours["my-app::custom"].2,
        custom.map(|(name, ignored)| (name.to_owned(), ignored))
    );
    if let Some(nextests) = nextest_list(&fixture) {
        assert_eq!(ours, nextests);
    }
}

#[test]
fn a_mute_harness_is_one_test_and_an_ignored_test_runs_when_asked_for() {
    let fixture = Fixture::new();
    let selection = BuildSelection {
        packages: vec!["my-app".into()],
        lib: true,
        test: vec!["m*".into()],
        ..BuildSelection::default()
    };
    let found = fixture.discover(&selection);
    let [(lib, unit), (mute, whole)] = found.as_slice() else {
        panic!("two binaries, not {found:?}");
    };
    assert_eq!(
        (lib.id.as_str(), mute.id.as_str()),
        ("my-app", "my-app::mute")
    );
    let [whole] = whole.tests.as_slice() else {
        panic!("one test, not {whole:?}");
    };
    assert_eq!(
        (&*whole.name, whole.protocol),
        ("mute", disc::Protocol::Opaque)
    );

    let only_ignored = TestSelection {
        run_ignored: RunIgnored::Only,
        ..TestSelection::default()
    };
    let asked_for: Vec<_> = unit
        .tests
        .iter()
        .filter(|test| disc::verdict(&only_ignored, test) == disc::Verdict::Run)
        .collect();
    let [test] = asked_for.as_slice() else {
        panic!("one test, not {asked_for:?}");
    };
    assert_eq!(&*test.name, "unit::is_ignored");
    let printed = text(start(&disc::test_command(lib, test, None, &[], Vec::new())).stdout);
    assert!(printed.contains("1 passed"), "{printed}");
}

/// A binary as it is compared. Nextest finds no tests where we find one for the whole binary.
fn suite((binary, listing): &(disc::TestBinary, disc::Listing)) -> (String, Suite) {
    let tests = listing
        .tests
        .iter()
        .filter(|test| test.protocol == disc::Protocol::Libtest)
        .map(|test| (test.name.to_string(), test.ignored))
        .collect();
    let suite = (binary.path.to_string(), binary.cwd.to_string(), tests);
    (binary.id.to_string(), suite)
}

/// What `cargo nextest list` says; `None` where it isn't installed.
#[expect(
    clippy::print_stderr,
    reason = "who reads this should know what was left out"
)]
fn nextest_list(fixture: &Fixture) -> Option<BTreeMap<String, Suite>> {
    let installed = Command::new(&fixture.cargo)
        .args(["nextest", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !installed {
        eprintln!("skipped: cargo-nextest is not installed, nothing is compared with it");
        return None;
    }
    let list = fixture.cargo(&[
        "nextest",
        "list",
        "--offline",
        "--workspace",
        "--all-targets",
    ]);
    let list = start(&list.arg("--message-format=json")).stdout;
    let list: serde_json::Value = serde_json::from_slice(&list).expect("JSON");
    let suites = list["rust-suites"].as_object().expect("suites");
    let string = |value: &serde_json::Value| value.as_str().expect("a string").to_owned();
    let suites = suites.iter().map(|(id, suite)| {
        let tests = suite["testcases"].as_object().expect("tests").iter();
        let tests = tests
            .map(|(name, test)| (name.clone(), test["ignored"].as_bool().expect("a bool")))
            .collect();
        let suite = (string(&suite["binary-path"]), string(&suite["cwd"]), tests);
        (id.clone(), suite)
    });
    Some(suites.collect())
}
