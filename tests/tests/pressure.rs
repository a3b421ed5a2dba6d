//! The guard where something else than memory runs out, and where limits are those of a container.

use camino::Utf8PathBuf;
use fs_err as fs;
use stt_tests::Lab;
use stt_tests::until;

/// A control group of version 1 that limits processes and threads. It is removed with this.
struct TaskGroup(Utf8PathBuf);

impl TaskGroup {
    /// `None`, with a word about it, where none can be made.
    fn create(name: &str, max: u32) -> Option<Self> {
        let dir = Utf8PathBuf::from(format!(
            "/sys/fs/cgroup/pids/stt-test-{}-{name}",
            std::process::id()
        ));
        let made = fs::create_dir(&dir).and_then(|()| {
            let group = Self(dir);
            write(&group.0.join("pids.max"), &max.to_string())?;
            Ok(group)
        });
        made.inspect_err(|error| stt_tests::skipped("a control group for processes", error))
            .ok()
    }

    /// The script by which a shell enters it.
    fn enter(&self) -> String {
        format!("echo $$ > {}/cgroup.procs", self.0)
    }
}

impl Drop for TaskGroup {
    fn drop(&mut self) {
        // It is empty once the runner has ended, unless something has survived; then it stays to be seen.
        drop(fs::remove_dir(&self.0));
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a file of the kernel is not replaced"
)]
fn write(path: &camino::Utf8Path, text: &str) -> std::io::Result<()> {
    std::fs::write(path, text)
}

/// Two hundred processes and the runner's own are more than 80 % of 240, and fewer than all.
#[test]
fn a_run_is_stopped_before_no_process_is_left() {
    let Some(group) = TaskGroup::create("bomb", 240) else {
        return;
    };
    let lab = Lab::shared("hostile");
    let stopped = lab
        .stt(["forks_two_hundred_and_hangs", "calm_00"])
        .args(["--config", "guard.grace-period=0s"])
        .after(&group.enter())
        .run()
        .code(42)
        .says("of the 240 processes and threads that the control group can have");
    assert!(!stopped.stderr.contains("of others"), "{}", stopped.stderr);
    lab.assert_clean();
    let alive = fs::read_to_string(group.0.join("cgroup.procs")).expect("the group is ours");
    assert_eq!(alive, "");
}

/// Where others have started most of them, a run goes on with one test at a time.
#[test]
fn processes_of_others_cost_no_test_its_life() {
    let Some(group) = TaskGroup::create("others", 120) else {
        return;
    };
    let lab = Lab::shared("hostile");
    let others = Others::start(&group, 97);
    let finished = lab
        .json(["calm_0", "--no-fail-fast"])
        .after(&group.enter())
        .run()
        .code(0);
    drop(others);
    assert!(
        finished.stdout.contains("most are of others"),
        "{}",
        finished.stdout
    );
    lab.assert_clean();
}

/// Processes that do nothing, in a group; ended with this.
struct Others(Vec<std::process::Child>);

impl Others {
    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn start(group: &TaskGroup, count: usize) -> Self {
        let sleeper = || {
            let mut shell = std::process::Command::new("sh");
            shell.args(["-c", &format!("{} && exec sleep 300", group.enter())]);
            shell.spawn().expect("a shell starts")
        };
        let others = Self((0..count).map(|_| sleeper()).collect());
        until("the others are in their group", stt_tests::DEADLINE, || {
            let inside = fs::read_to_string(group.0.join("cgroup.procs")).unwrap_or_default();
            (inside.lines().count() == count).then_some(())
        });
        others
    }
}

impl Drop for Others {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// Too few descriptors are the setup's fault, and said before any test is blamed for them.
#[test]
fn a_run_without_descriptors_says_so() {
    let lab = Lab::shared("hostile");
    let refused = lab
        .stt(["calm_0"])
        .after("ulimit -n 18")
        .run()
        .code(96)
        .says("only 18 files may be open")
        .says("ulimit -n");
    assert_eq!(refused.stdout, "");
    lab.assert_clean();
}

/// With some more, fewer tests run at once than asked for, and none is blamed for it.
#[test]
fn few_descriptors_cost_speed_and_no_result() {
    let lab = Lab::shared("hostile");
    let run = lab
        .stt(["calm_0", "-j64"])
        .after("ulimit -n 80")
        .run()
        .code(0)
        .says("allows 3 tests at once instead of 64")
        .says("10 passed");
    assert_eq!(run.stdout, "");
    lab.assert_clean();
}

/// An image that holds nothing, made here because none can be fetched everywhere. It is removed with this.
struct Image(String);

impl Image {
    /// `None`, with a word about it, where no engine answers.
    fn import() -> Option<Self> {
        let name = format!("stt-test-{}:empty", std::process::id());
        let script = format!("tar -c -T /dev/null | docker import - {name}");
        let made = docker("sh", &["-c", &script]);
        made.inspect_err(|error| stt_tests::skipped("a Docker engine", error))
            .ok()?;
        Some(Self(name))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        drop(docker("docker", &["rmi", &self.0]));
    }
}

/// Runs a client of the engine to its end; its exit code and all that it has said.
#[expect(
    clippy::disallowed_methods,
    reason = "the tests start their own children"
)]
fn docker(program: &str, args: &[&str]) -> Result<String, String> {
    let output = std::process::Command::new(program).args(args).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    if output.status.success() {
        Ok(said)
    } else {
        Err(said)
    }
}

/// The runner reads its limit from inside: a leaker is stopped by the guard at 80 % of the container, not by
/// the kernel at all of it.
#[test]
fn in_a_container_the_limit_of_the_container_counts() {
    let Some(image) = Image::import() else { return };
    let lab = Lab::shared("hostile");
    let stopped = lab
        .stt(["leaks_fast", "calm_00", "--exact"])
        .args(["--config", "guard.grace-period=0s"])
        .in_container(&image.0, &["--memory=400m", "--memory-swap=400m"])
        .run()
        .code(42)
        .says("of the control group")
        .says("of 400 MiB");
    assert!(
        !stopped.stderr.contains("other processes"),
        "{}",
        stopped.stderr
    );
    lab.assert_clean();
}
