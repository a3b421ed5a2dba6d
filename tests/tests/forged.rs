//! Records that no runner wrote, or that say what is not so: whatever they name, nobody's process is ended and
//! nothing is removed that no run has made.

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::fs::chown;
use std::os::unix::fs::symlink;
use std::process::Child;
use std::sync::atomic::AtomicU16;
use std::sync::atomic::Ordering;

use camino::Utf8PathBuf;
use fs_err as fs;
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use serde_json::Value;
use serde_json::json;
use stt_tests::Finished;
use stt_tests::Identity;
use stt_tests::Lab;

/// The run that the records of this test are of. Tests that run beside each other have to have their own: what one of
/// them rightly ends would be a stranger of another.
fn run() -> String {
    static SCENES: AtomicU16 = AtomicU16::new(0);
    thread_local! {
        static SCENE: u16 = SCENES.fetch_add(1, Ordering::Relaxed);
    }
    let scene = SCENE.with(|scene| *scene);
    let process = std::process::id();
    format!("07070707-0707-4707-8707-{scene:04x}{process:08x}")
}

/// A laboratory with strangers who look like a dead run's, and something that nobody may remove.
struct Scene {
    lab: Lab,
    strangers: Vec<(&'static str, Child)>,
    precious: Utf8PathBuf,
}

impl Scene {
    fn new() -> Self {
        let lab = Lab::shared("hostile");
        let precious = lab.path("precious");
        fs::create_dir(&precious).expect("the laboratory is writable");
        let mode = std::fs::Permissions::from_mode(0o700);
        fs::set_permissions(&precious, mode).expect("it is ours");
        fs::write(precious.join("slot-0-1.out"), "x").expect("the laboratory is writable");
        let place = lab.path("home").join("stt");
        fs::create_dir(&place).expect("the laboratory is writable");
        let mode = std::fs::Permissions::from_mode(0o700);
        fs::set_permissions(&place, mode).expect("it is ours");
        let mut scene = Self {
            lab,
            strangers: Vec::new(),
            precious,
        };
        scene.stranger("a process of the same name", None);
        scene.stranger("a process with the run's marker", Some(&run()));
        scene
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the tests start their own children"
    )]
    fn stranger(&mut self, what: &'static str, run: Option<&str>) -> Identity {
        let mut command = self.lab.command(self.lab.target.join("debug/orphan"));
        // A place for each: they leave the same trace.
        let traces = self.lab.path(&format!("stranger-{}", self.strangers.len()));
        fs::create_dir(&traces).expect("the laboratory is writable");
        command
            .arg("here")
            .env("STT", "1")
            .env("HOSTILE_DIR", traces);
        command.envs(run.map(|run| ("STT_RUN_ID", run)));
        let child = command.spawn().expect("the fixture is built");
        let pid = child.id().cast_signed();
        self.strangers.push((what, child));
        Identity::of(pid).expect("it lives")
    }

    fn file(&self, name: &str) -> Utf8PathBuf {
        self.lab.path("home").join("stt").join(name)
    }

    /// Lays down a record with its lock. Returns where the record is.
    fn lay(&self, record: &Value) -> Utf8PathBuf {
        let pid = record["owner"]["process"]["pid"].clone();
        let run = record["run"].as_str().expect("a text").to_owned();
        self.lay_text(&format!("{run}-{pid}"), record.to_string().as_bytes())
    }

    fn lay_text(&self, stem: &str, text: &[u8]) -> Utf8PathBuf {
        fs::write(self.file(&format!("{stem}.lock")), "").expect("it is ours");
        let path = self.file(&format!("{stem}.json"));
        fs::write(&path, text).expect("it is ours");
        path
    }

    /// Has it reaped; whoever and whatever has to be there is there afterwards.
    fn reap(&mut self, what: &str) -> Finished {
        let finished = self.lab.stt(["reap"]).run();
        for (who, child) in &mut self.strangers {
            let ended = child.try_wait().expect("it is our child");
            let transcript = finished.transcript();
            assert!(
                ended.is_none(),
                "{what}: {who} was ended ({ended:?})\n{transcript}"
            );
        }
        assert!(self.precious.join("slot-0-1.out").exists(), "{what}");
        finished
    }

    /// Has a record reaped that is refused, which is told with its path, and left.
    fn refused(&mut self, path: &Utf8PathBuf, why: &str) {
        let finished = self.reap(why).code(96);
        let finished = finished.says(path.as_str()).says("is not acted on");
        drop(finished.says(why).says("it can be deleted"));
        assert!(path.symlink_metadata().is_ok(), "{why}: it stays");
        self.clear();
    }

    /// What somebody does who follows the hint.
    fn clear(&self) {
        for entry in fs::read_dir(self.file("")).expect("it is ours") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                fs::remove_dir(path).expect("it is ours");
            } else {
                fs::remove_file(path).expect("it is ours");
            }
        }
    }

    fn is_empty(&self) -> bool {
        let mut entries = fs::read_dir(self.file("")).expect("it is ours");
        // What is no run's stays: the shares of the cores, the claims, and what was counted.
        let kept = ["shares", "checkpoints", "counters", "counting"];
        entries.all(|entry| {
            let name = entry.expect("readable").file_name();
            kept.iter().any(|kept| name == *kept)
        })
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for (_, child) in &mut self.strangers {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

fn id(process: Identity) -> Value {
    json!({ "pid": process.pid, "start": process.start })
}

/// A record as a runner would write it, of a run that began with the machine.
fn record() -> Value {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").expect("Linux");
    let namespace = fs::read_link("/proc/self/ns/pid").expect("Linux");
    let first = id(Identity::of(1).expect("it lives"));
    json!({
        "format": 1,
        "run": run(),
        "owner": {
            "process": { "pid": 4_194_303, "start": 1 },
            "uid": nix::unistd::geteuid().as_raw(),
            "boot": boot.trim(),
            "pid-namespace": namespace.to_str().expect("text"),
        },
        "workspace": "/home/me/app",
        "since": 7,
        "adopter": first.clone(),
        "ancestors": [first],
    })
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut record = record();
    change(&mut record);
    record
}

#[test]
fn what_can_be_no_record_is_refused() {
    let mut scene = Scene::new();
    let stem = format!("{}-5", run());
    let long = vec![b' '; 1 << 20];
    for (text, why) in [
        (&b"\0\xff\x7fELF\x01\n"[..], "can't be read as a record"),
        (&long, "too long for a record"),
        (b"{\"format\":1}", "can't be read as a record"),
    ] {
        let path = scene.lay_text(&stem, text);
        scene.refused(&path, why);
    }
    let path = scene.lay_text(&stem, b"");
    fs::remove_file(&path).expect("it is ours");
    fs::create_dir(&path).expect("it is ours");
    scene.refused(&path, "it is no file");
    // Whoever opened these to wait for the other end would never come back.
    for name in ["json", "lock"] {
        scene.lay_text(&stem, b"{}");
        let path = scene.file(&format!("{stem}.{name}"));
        fs::remove_file(&path).expect("it is ours");
        mkfifo(path.as_std_path(), Mode::S_IRWXU).expect("it is ours");
        scene.refused(&path, "it is no file");
    }
    if nix::unistd::geteuid().is_root() {
        let text = record().to_string();
        for name in ["json", "lock"] {
            scene.lay_text(&format!("{}-4194303", run()), text.as_bytes());
            let path = scene.file(&format!("{}-4194303.{name}", run()));
            chown(&path, Some(12345), None).expect("root may");
            scene.refused(&path, "it belongs to user 12345");
        }
    }
}

#[test]
fn who_can_be_no_dead_runner_is_none() {
    let mut scene = Scene::new();
    for pid in [1, 0, -1] {
        let path = scene.lay(&with(|record| {
            record["owner"]["process"]["pid"] = pid.into();
        }));
        scene.refused(&path, &format!("names process {pid} as a dead runner"));
    }
    let path = scene.lay(&with(|record| record["owner"]["uid"] = 12345.into()));
    scene.refused(&path, "names the user 12345");
    // The reaper itself: a shell writes down its own number, and becomes it.
    let template = scene.lab.path("template");
    let own = with(|record| record["owner"]["process"] = "OWN".into());
    fs::write(&template, own.to_string()).expect("the laboratory is writable");
    let stem = scene.file(&format!("{}-$$", run()));
    let script = format!(
        "read -r stat </proc/$$/stat && set_start() {{ shift 21; start=$1; }} && set_start $stat && \
         : >\"{stem}.lock\" && \
         sed \"s/\\\"OWN\\\"/{{\\\"pid\\\":$$,\\\"start\\\":$start}}/\" '{template}' >\"{stem}.json\""
    );
    let finished = scene.lab.stt(["reap"]).after(&script).run().code(96);
    drop(finished.says("is not acted on").says("as a dead runner"));
}

#[test]
fn a_number_that_was_given_out_again_names_nobody() {
    let mut scene = Scene::new();
    let reused = scene.stranger("the process that has got the runner's number", None);
    let marked = scene.stranger("one that has got it, with the run's marker", Some(&run()));
    let ourselves = Identity::of(std::process::id().cast_signed()).expect("we live");
    let earlier = |process: Identity| json!({ "pid": process.pid, "start": process.start - 1 });
    for process in [reused, marked] {
        let taken = with(|record| record["owner"]["process"] = earlier(process));
        scene.lay(&taken);
        drop(scene.reap("the runner").code(0));
        assert!(scene.is_empty(), "nothing was left by that run");
        let exact = with(|record| record["owner"]["process"] = id(process));
        scene.lay(&exact);
        drop(scene.reap("the very process").code(0));
        assert!(scene.is_empty());
    }
    // Those who carry the marker hang below us: we would be their adopter, were we as old as it.
    let adopted = with(|record| {
        record["adopter"] = earlier(ourselves);
        record["ancestors"] = json!([earlier(ourselves)]);
    });
    scene.lay(&adopted);
    drop(scene.reap("the adopter").code(0));
    assert!(scene.is_empty());
    // So it is the start that has saved them.
    let true_one = with(|record| record["adopter"] = id(ourselves));
    scene.lay(&true_one);
    drop(scene.lab.stt(["reap"]).run().code(0));
    for (who, child) in &mut scene.strangers {
        let ended = child.try_wait().expect("it is our child");
        assert_eq!(ended.is_some(), who.contains("marker"), "{who}");
    }
}

#[test]
fn a_directory_that_no_run_has_made_stays() {
    let mut scene = Scene::new();
    let named = scene.lab.path("stt-07070707");
    symlink(&scene.precious, &named).expect("the laboratory is writable");
    let open = scene.lab.path("stt-07070707-2");
    fs::create_dir(&open).expect("the laboratory is writable");
    let mode = std::fs::Permissions::from_mode(0o755);
    fs::set_permissions(&open, mode).expect("it is ours");
    let nameless = "no name of a run's temporary directory";
    for (path, why) in [
        ("/", nameless),
        ("/home", nameless),
        (scene.precious.clone().as_str(), nameless),
        (named.as_str(), "a symbolic link"),
        (open.as_str(), "open to others"),
    ] {
        scene.lay(&with(|record| record["tmpdir"] = path.into()));
        let finished = scene.reap(path).code(96);
        let finished = finished.says(&format!("`{path}`")).says(why);
        drop(finished.says("delete it by hand"));
        assert!(fs::symlink_metadata(path).is_ok(), "{path}");
        assert!(scene.is_empty(), "{path}: it is told once");
    }
    for key in ["tmpdir", "output", "cgroup", "workspace", "checkpoint"] {
        let outside = format!("/tmp/../{}", scene.precious);
        let path = scene.lay(&with(|record| record[key] = outside.into()));
        scene.refused(&path, "is no path of a run");
    }
    let precious = scene.precious.to_string();
    for (key, value) in [
        ("output", &*precious),
        ("cgroup", &*precious),
        ("cgroup", "/"),
    ] {
        let path = scene.lay(&with(|record| record[key] = value.into()));
        scene.refused(&path, "is no path of a run");
    }
    // The right names at the wrong place.
    let output = scene.lab.path("07070707");
    symlink(&scene.precious, &output).expect("the laboratory is writable");
    scene.lay(&with(|record| record["output"] = output.as_str().into()));
    drop(scene.reap("the output").code(0));
    assert!(output.is_symlink());
    let group = scene.lab.path(&format!("stt-{}", run()));
    fs::create_dir(&group).expect("the laboratory is writable");
    fs::write(group.join("cgroup.kill"), "").expect("the laboratory is writable");
    scene.lay(&with(|record| record["cgroup"] = group.as_str().into()));
    let finished = scene.reap("the group").code(96);
    drop(finished.says(group.as_str()).says("no control group"));
    let kept = fs::read_to_string(group.join("cgroup.kill")).expect("it stays");
    assert_eq!(kept, "", "nothing was written to it");
}

#[test]
fn a_living_run_is_not_ended_by_a_record_with_its_name() {
    let mut scene = Scene::new();
    let stt = scene.lab.json(["--exact", "waits_for_go"]);
    let mut alive = stt.spawn();
    alive.wait_for_start("waits_for_go");
    let entries = fs::read_dir(scene.file("")).expect("it is ours");
    let known: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    let is_record = |path: &&std::path::PathBuf| path.extension().is_some_and(|end| end == "json");
    let true_one = known.iter().find(is_record).expect("it has a record");
    let text = fs::read_to_string(true_one).expect("it is ours");
    let mut forged: Value = serde_json::from_str(&text).expect("a record");
    let output = forged["output"].as_str().expect("it is told").to_owned();
    fs::create_dir_all(&output).expect("it is ours");
    let spilled = Utf8PathBuf::from(&output).join("slot-0-1.out");
    fs::write(&spilled, "x").expect("it is ours");
    let run = forged["run"].as_str().expect("a text").to_owned();
    scene.stranger("the marker of a living run", Some(&run));
    let tmpdir = Utf8PathBuf::from(forged["tmpdir"].as_str().expect("it has one"));
    // An owner who is older than all of it.
    forged["owner"]["process"] = json!({ "pid": 4_194_303, "start": 1 });
    let path = scene.lay(&forged);
    drop(scene.reap("the name of a living run"));
    assert!(tmpdir.is_dir() && spilled.exists());
    assert!(known.iter().all(|path| path.exists()));
    scene.lab.go();
    let finished = alive.finish().code(0);
    assert_eq!(finished.results().len(), 1);
    drop(fs::remove_file(path));
    drop(fs::remove_file(scene.file(&format!("{run}-4194303.lock"))));
    fs::remove_dir_all(output).expect("it is ours");
    assert!(scene.is_empty());
}
