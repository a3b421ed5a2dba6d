//! Tests in containers: they end there as they do outside, are limited and ended as outside, and nothing of it is left.
//! Without an engine each of these tests says that it is skipped.

use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use stt_tests::DEADLINE;
use stt_tests::Engine;
use stt_tests::Lab;
use stt_tests::Report;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::until;

/// An engine, and an image in which the fixture's binaries run.
struct Boxed {
    engine: Engine,
    image: String,
}

impl Boxed {
    fn of(engine: Option<Engine>) -> Option<Self> {
        let engine = engine?;
        let image = engine.image_with_libraries();
        Some(Self { engine, image })
    }

    /// `cargo stt --container IMAGE ARGS`.
    fn stt<'lab>(&self, lab: &'lab Lab, args: &[&str]) -> Stt<'lab> {
        let stt = self.engine.json(lab, args);
        stt.args(["--container", &self.image, "--no-fail-fast"])
    }

    /// Nothing is left, neither here nor there.
    fn assert_clean(&self, lab: &Lab) {
        self.engine.assert_clean();
        lab.assert_clean();
    }
}

/// Lets the test go that waits for it.
fn go(lab: &Lab) {
    let waits = in_tmp(lab, "waits-for-go").expect("it waits");
    fs_err::write(waits.with_file_name("go"), "").expect("the run's directory is writable");
}

/// Has each of these run with Docker and with Podman.
macro_rules! with_each_engine {
    ($($test:ident,)*) => {
        mod docker {
            $(#[test]
            fn $test() {
                super::Boxed::of(super::Engine::find()).iter().for_each(super::$test);
            })*
        }
        mod podman {
            $(#[test]
            fn $test() {
                super::Boxed::of(super::Engine::podman()).iter().for_each(super::$test);
            })*
        }
    };
}

with_each_engine! {
    tests_end_in_a_container_as_outside,
    a_test_sees_its_own_environment_and_the_images_root,
    output_comes_whole_and_each_stream_by_itself,
    limits_hold_in_a_container,
    a_container_may_use_what_its_tests_set_allows,
    cpu_time_is_counted_and_limited_inside,
    a_test_that_takes_too_long_is_asked_to_end_and_then_killed,
    what_a_test_leaves_in_its_container_is_named_and_ended,
    who_sees_no_control_groups_asks_the_engine,
    a_failed_test_is_tried_again_in_another_container,
    an_interrupt_reaches_the_test_inside_and_nothing_is_left,
    when_the_worker_is_killed_its_containers_go_and_the_run_goes_on,
    when_all_of_the_run_is_killed_the_next_one_removes_its_containers,
    each_attempt_has_a_container_of_its_own,
    tests_may_share_a_container,
    who_takes_too_much_costs_the_others_nothing_in_a_container_that_they_share,
    what_can_not_run_in_an_image_is_told_before_the_first_test,
    overrides_say_which_tests_are_inside,
    the_engine_may_be_left_alone_otherwise,
    documentation_tests_stay_outside_and_that_is_said,
    a_static_binary_needs_nothing_of_its_image,
}

fn output(report: &Report, test: &str) -> String {
    let result = report.finished(test);
    let text = |stream: &str| {
        result["output"][stream]["text"]
            .as_str()
            .unwrap_or_default()
    };
    format!("{}{}", text("stdout"), text("stderr"))
}

/// Waits until a test has left something in the run's own directory.
fn wait_for(lab: &Lab, running: &mut Running, name: &str) {
    running.wait_for(name, |_| in_tmp(lab, name).map(|_| ()));
}

/// A file in the directory of the run that goes on.
fn in_tmp(lab: &Lab, name: &str) -> Option<camino::Utf8PathBuf> {
    let dirs = lab.tmp.read_dir_utf8().ok()?.flatten();
    let paths = dirs.map(|dir| dir.path().join(name));
    paths.into_iter().find(|path| path.exists())
}

/// Every test that ends by itself ends in a container as its model says.
fn tests_end_in_a_container_as_outside(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let names = [
        "passes",
        "fails",
        "exits",
        "aborts",
        "kills_itself",
        "writes_where_it_may",
        "writes_into_the_workspace",
        "is_doubled",
    ];
    let args = [&["-j2", "--exact"], &names[..]].concat();
    let finished = own.stt(&lab, &args).run().code(100);
    let results = finished.results();
    let mut expected = lab.expected().results(&[]);
    expected.retain(|(_, name), _| names.contains(&name.as_str()));
    assert_eq!(results, expected, "{}", finished.transcript());
    own.assert_clean(&lab);
}

fn a_test_sees_its_own_environment_and_the_images_root(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = [
        "--exact",
        "tells_of_itself",
        "--config=container.network=none",
    ];
    let finished = own.stt(&lab, &args).env("MY_OWN", "a b").run().code(100);
    let said = output(&finished.report(), "tells_of_itself");
    let outside = fs_err::read_link("/proc/self/ns/pid").expect("Linux");
    let limits = fs_err::read_to_string("/proc/self/limits").expect("Linux");
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    for line in [
        files.expect("a limit of every process").trim_end(),
        &format!("uid {}", nix::unistd::geteuid()),
        &format!("cwd {}", lab.root),
        "inside true",
        "docker host []",
        "interfaces 1",
        &format!("CARGO_MANIFEST_DIR {}", lab.root),
        "CARGO_PKG_NAME boxed",
        "NEXTEST 1",
        "STT_TEST_ID boxed::inside tells_of_itself",
        "STT_ATTEMPT 1",
        "MY_OWN a b",
    ] {
        assert!(
            said.lines().any(|known| known == line),
            "no `{line}` in {said}"
        );
    }
    assert!(!said.contains(&*outside.to_string_lossy()), "{said}");
    let home = format!("home {}", lab.path("home"));
    assert!(!said.contains(&home), "{said}");
    assert!(said.contains("/lib"), "the library path: {said}");
    own.assert_clean(&lab);
}

fn output_comes_whole_and_each_stream_by_itself(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["--exact", "speaks_on_both_streams", "speaks_much"];
    let report = own.stt(&lab, &args).run().code(100).report();
    let both = &report.finished("speaks_on_both_streams")["output"];
    let text = |stream: &str| both[stream]["text"].as_str().expect("text").to_owned();
    assert!(text("stdout").contains("to the one\n"), "{both:#}");
    assert!(text("stderr").contains("to the other\n"), "{both:#}");
    let much = &report.finished("speaks_much")["output"];
    assert!(much.to_string().contains("the end"), "its tail");
    own.assert_clean(&lab);
}

fn failure<'a>(report: &'a Report, test: &str) -> &'a Value {
    &report.finished(test)["failure"]
}

fn limits_hold_in_a_container(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let limits = [
        "--limits=small",
        "--config=limits.small.memory=100MiB",
        "--config=limits.small.processes=20",
        "--config=limits.small.open-files=100",
        "--config=limits.small.cpu=0.5",
    ];
    let names = [
        "--exact",
        "takes_memory",
        "starts_many",
        "opens_files",
        "passes",
    ];
    let report = own.stt(&lab, &names).args(limits).run().code(100).report();
    let memory = failure(&report, "takes_memory");
    assert_eq!(memory["kind"], "limit", "{memory:#}");
    let said = memory["message"].as_str().expect("a message");
    assert!(
        said.contains("of memory, over its limit of 100 MiB"),
        "{said}"
    );
    let many = failure(&report, "starts_many");
    assert_eq!(many["kind"], "limit", "{many:#}");
    assert_eq!(failure(&report, "opens_files")["code"], 101);
    assert_eq!(report.finished("passes")["outcome"], "passed");
    own.assert_clean(&lab);
}

fn a_container_may_use_what_its_tests_set_allows(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["--exact", "waits_for_go", "--limits=fast"];
    let mut running = own.stt(&lab, &args).spawn();
    wait_for(&lab, &mut running, "waits-for-go");
    let limits = "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}}";
    let all = own.engine.containers();
    let said = own.engine.call(&["inspect", "--format", limits, &all[0]]);
    // The same with swap: there is none for it.
    assert_eq!(said.as_deref(), Ok("134217728 134217728 500000000"));
    go(&lab);
    drop(running.finish().code(0));
    own.assert_clean(&lab);
}

fn cpu_time_is_counted_and_limited_inside(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let limits = ["--limits=small", "--config=limits.small.cpu-time=1s"];
    let args = ["--exact", "burns"];
    let report = own.stt(&lab, &args).args(limits).run().code(100).report();
    let result = report.finished("burns");
    assert_eq!(result["failure"]["kind"], "limit", "{result:#}");
    // On a busy machine the kernel, which holds the limit, counts by its ticks more than the group does (0.88 s were
    // seen). What stands in the place of the test takes some milliseconds.
    assert!(result["cpu"].as_f64() > Some(0.5), "{result:#}");
    own.assert_clean(&lab);
}

fn a_test_that_takes_too_long_is_asked_to_end_and_then_killed(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let times = [
        "--config=run.slow-timeout=1s",
        "--config=run.terminate-after=1",
    ];
    let args = [
        "-j2",
        "--exact",
        "ignores_term",
        "hangs",
        "--config=run.grace-period=2s",
    ];
    let report = own.stt(&lab, &args).args(times).run().code(100).report();
    for test in ["ignores_term", "hangs"] {
        assert_eq!(failure(&report, test)["kind"], "timeout", "{test}");
    }
    // Who was asked had the time to do what he does then.
    let time = |test| {
        report.finished(test)["duration"]
            .as_f64()
            .expect("a number")
    };
    assert!(time("hangs") < 2.9, "{}", time("hangs"));
    assert!(time("ignores_term") > 2.9, "{}", time("ignores_term"));
    own.assert_clean(&lab);
}

fn what_a_test_leaves_in_its_container_is_named_and_ended(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["--exact", "leaves_a_process"];
    let report = own.stt(&lab, &args).run().code(0).report();
    let left = &report.finished("leaves_a_process")["leak"]["processes"];
    let command = left[0]["command"].as_str().unwrap_or_default();
    assert!(command.contains("sleep 1000"), "{left:#}");
    let report = own
        .stt(&lab, &args)
        .args(["--leaks=fail"])
        .run()
        .code(100)
        .report();
    assert_eq!(failure(&report, "leaves_a_process")["kind"], "leak");
    own.assert_clean(&lab);
}

/// Who is left in a container; and whether the kernel has killed somebody there, which Docker tells for certain.
fn who_sees_no_control_groups_asks_the_engine(own: &Boxed) {
    let Some(blind) = stt_tests::blind() else {
        return;
    };
    let lab = Lab::shared("boxed");
    let limits = ["--limits=small", "--config=limits.small.memory=100MiB"];
    let tests = ["--exact", "leaves_a_process", "takes_memory", "passes"];
    let run = own.stt(&lab, &tests).args(limits).after(blind);
    let report = run.run().code(100).report();
    let left = &report.finished("leaves_a_process")["leak"]["processes"];
    let command = left[0]["command"].as_str().unwrap_or_default();
    assert!(command.contains("sleep 1000"), "{left:#}");
    let killed = failure(&report, "takes_memory");
    let docker = own.engine.program() == "docker";
    let kind = if docker { "limit" } else { "out-of-memory" };
    assert_eq!(killed["kind"], kind, "{killed:#}");
    let passed = report.finished("passes");
    assert!(
        passed["outcome"] == "passed" && passed.get("leak").is_none(),
        "{passed:#}"
    );
    own.assert_clean(&lab);
}

fn a_failed_test_is_tried_again_in_another_container(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["--exact", "fails_at_first", "--retries=1"];
    let report = own.stt(&lab, &args).run().code(0).report();
    assert_eq!(report.count("flaky"), 1);
    own.assert_clean(&lab);
}

fn an_interrupt_reaches_the_test_inside_and_nothing_is_left(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = [
        "-j2",
        "--exact",
        "cleans_up_when_told",
        "ignores_term",
        "--config=run.grace-period=2s",
    ];
    let mut running = own.stt(&lab, &args).spawn();
    wait_for(&lab, &mut running, "waits");
    wait_for(&lab, &mut running, "ignores");
    running.signal(Signal::SIGINT);
    wait_for(&lab, &mut running, "cleaned-up");
    let report = running.finish().signal(2).report();
    assert_eq!(report.one("run-finished")["outstanding"], 2);
    own.assert_clean(&lab);
}

fn when_the_worker_is_killed_its_containers_go_and_the_run_goes_on(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["-j1", "--exact", "passes", "waits_for_go"];
    let mut running = own.stt(&lab, &args).spawn();
    wait_for(&lab, &mut running, "waits-for-go");
    let worker = running.worker();
    kill(Pid::from_raw(worker), Signal::SIGKILL).expect("it is ours");
    drop(running.finish().code(42));
    own.assert_clean(&lab);

    let mut resumed = own.stt(&lab, &["--resume"]).spawn();
    wait_for(&lab, &mut resumed, "waits-for-go");
    go(&lab);
    let report = resumed.finish().code(0).report();
    assert!(!report.started("passes"), "it has a result");
    assert_eq!(report.count("passed"), 2);
    own.assert_clean(&lab);
}

fn when_all_of_the_run_is_killed_the_next_one_removes_its_containers(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let mut running = own.stt(&lab, &["--exact", "hangs"]).spawn();
    wait_for(&lab, &mut running, "hangs");
    running.kill_both();
    assert_eq!(own.engine.containers().len(), 1);
    drop(own.engine.json(&lab, &["--exact", "passes"]).run().code(0));
    own.assert_clean(&lab);
    let mut running = own.stt(&lab, &["--exact", "hangs"]).spawn();
    wait_for(&lab, &mut running, "hangs");
    running.kill_both();
    let reaped = lab.stt(["reap"]).run().code(0).stdout;
    assert!(reaped.contains("1 container"), "{reaped}");
    own.assert_clean(&lab);
}

fn each_attempt_has_a_container_of_its_own(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = ["--exact", "finds_what_it_has_left_inside", "--retries=1"];
    let report = own.stt(&lab, &args).run().code(100).report();
    let said = output(&report, "finds_what_it_has_left_inside");
    assert!(said.contains("the container is another one"), "{said}");
    own.assert_clean(&lab);
}

fn tests_may_share_a_container(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let sharing = ["-j1", "--config=container.reuse=run", "--exact"];
    let names = ["finds_what_it_has_left_inside", "passes", "aborts", "exits"];
    let args = [&sharing[..], &names, &["--retries=1", "-v"]].concat();
    let report = own.stt(&lab, &args).run().code(100).report();
    assert_eq!(
        report.count("flaky"),
        1,
        "the second attempt was where the first had been"
    );
    assert_eq!(report.count("passed"), 2);
    own.assert_clean(&lab);
    // Whoever leaves something behind has had his container for himself.
    let args = [&sharing[..], &["leaves_a_process", "passes"]].concat();
    let report = own.stt(&lab, &args).run().code(0).report();
    let leak = |test: &str| report.finished(test)["leak"]["processes"].is_array();
    assert!(leak("leaves_a_process") && !leak("passes"));
    own.assert_clean(&lab);
}

fn who_takes_too_much_costs_the_others_nothing_in_a_container_that_they_share(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let limits = ["--limits=small", "--config=limits.small.memory=100MiB"];
    let names = [
        "--exact",
        "takes_memory",
        "writes_where_it_may",
        "passes",
        "-j1",
    ];
    let sharing = own
        .stt(&lab, &names)
        .args(limits)
        .args(["--config=container.reuse=run"]);
    let report = sharing.run().code(100).report();
    assert_eq!(failure(&report, "takes_memory")["kind"], "limit");
    assert_eq!(report.count("passed"), 2);
    let cpu = |test: &str| report.finished(test)["cpu"].as_f64().expect("a number");
    // What those before had used is nobody's.
    assert!(cpu("writes_where_it_may") < 0.5 * cpu("takes_memory").max(0.2));
    own.assert_clean(&lab);
}

fn what_can_not_run_in_an_image_is_told_before_the_first_test(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let with = |image: &str| {
        own.engine
            .json(&lab, &["--exact", "passes", "--container", image])
    };
    let none = format!("{}:nothing", own.engine.name);
    drop(
        with(&none)
            .run()
            .code(96)
            .says(&format!("the engine has no image `{none}`"))
            .says(&format!("`{} pull {none}` gets it", own.engine.program())),
    );
    let lacks = format!("which the image `{}` does not have", own.engine.image);
    let without = with(&own.engine.image).run().code(96);
    drop(without.says("needs the dynamic loader /lib").says(&lacks));
    let (foreign, machine) = own.engine.foreign_image();
    let another = format!("and the image `{foreign}` is for {machine}");
    drop(with(&foreign).run().code(96).says(&another));
    drop(with("none").run().code(0));
    let nowhere = with(&own.image).env("DOCKER_HOST", "unix:///nowhere/engine.sock");
    let nowhere = nowhere.run().code(96);
    drop(nowhere.says("tests can't run in containers without an engine"));
    let far = with(&own.image).env("DOCKER_HOST", "ssh://somewhere");
    drop(far.run().code(96).says("DOCKER_HOST is ssh://somewhere"));
    own.assert_clean(&lab);
}

fn overrides_say_which_tests_are_inside(own: &Boxed) {
    let lab = Lab::copied("boxed");
    fs_err::create_dir(lab.root.join(".config")).expect("writable");
    let config = format!(
        "[[overrides]]\nfilter = \"test(tells_of_itself)\"\ncontainer = \"{}\"\n\
         [[overrides]]\nfilter = \"test(passes)\"\ncontainer = \"none\"\n\
         [[overrides]]\nfilter = \"test(exits)\"\nports = {{ count = 1, listen = true }}\n",
        own.image
    );
    fs_err::write(lab.root.join(".config/stt.toml"), config).expect("writable");
    let tells = |stt: Stt<'_>| {
        let finished = stt.run().code(100);
        output(&finished.report(), "tells_of_itself").contains("inside true")
    };
    let args = ["--exact", "tells_of_itself", "passes"];
    assert!(tells(own.engine.json(&lab, &args)));
    // What is typed is for those of whom no override says anything, but for `none`.
    assert!(tells(
        own.engine
            .json(&lab, &args)
            .args(["--container", "no-such-image"])
    ));
    assert!(!tells(
        own.engine.json(&lab, &args).args(["--container", "none"])
    ));
    let listens = own.stt(&lab, &["--exact", "exits"]);
    let refused = "can't have a socket of ours in its container";
    drop(listens.run().code(96).says(refused));
    own.assert_clean(&lab);
}

fn the_engine_may_be_left_alone_otherwise(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = [
        "--exact",
        "passes",
        "leaves_a_process",
        "--no-containers",
        "--config=run.tmpdir=inherit",
    ];
    drop(own.stt(&lab, &args).run().code(0));
    until("the run has removed what it made", DEADLINE, || {
        own.engine.containers().is_empty().then_some(())
    });
    own.assert_clean(&lab);
}

fn documentation_tests_stay_outside_and_that_is_said(own: &Boxed) {
    let lab = Lab::shared("boxed");
    let args = [
        "--config=run.doctests=true",
        "-E",
        "kind(doc) | test(is_doubled)",
    ];
    let report = own.stt(&lab, &args).run().code(0).report();
    assert_eq!(report.count("passed"), 2);
    let mut warnings = report
        .of("warning")
        .filter_map(|line| line["message"].as_str());
    let said = "documentation tests run outside of containers: they need rustdoc";
    assert!(warnings.any(|message| message == said));
    own.assert_clean(&lab);
}

fn a_static_binary_needs_nothing_of_its_image(own: &Boxed) {
    let lab = Lab::copied("boxed");
    let image = own.engine.empty_image();
    let target = ["--target", "x86_64-unknown-linux-gnu"];
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        return stt_tests::skipped(
            "a static binary",
            &"it is built for x86_64-unknown-linux-gnu",
        );
    }
    let args = [
        "--exact",
        "passes",
        "exits",
        "aborts",
        "--container",
        &image,
        "--no-fail-fast",
    ];
    let stt = own.engine.json(&lab, &args).args(target);
    let finished = stt
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .run()
        .code(100);
    let told: Vec<_> = finished.results().into_values().collect();
    assert_eq!(
        told,
        ["signal 6", "exit 3", "passed"],
        "{}",
        finished.transcript()
    );
    own.assert_clean(&lab);
}
