//! Several runs on one machine: they share the cores, see each other's ends, and yield in turn.

use std::io::Read as _;
use std::io::Write as _;
use std::num::NonZeroUsize;
use std::time::Duration;
use std::time::SystemTime;

use nix::sys::signal::Signal;
use serde_json::Value;
use stt_tests::DEADLINE;
use stt_tests::Lab;
use stt_tests::Running;
use stt_tests::Stt;
use stt_tests::Town;
use stt_tests::until;

/// As many tests at once as there are cores.
fn join<'lab>(town: &Town, stt: Stt<'lab>) -> Stt<'lab> {
    town.join(stt, cores())
}

fn wait_for(what: &str, town: &Town, lab: &Lab, reached: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    until(what, DEADLINE, || {
        let runs = town.runs(lab);
        reached(&runs).then_some(runs)
    })
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

fn took(since: SystemTime) -> Duration {
    since.elapsed().expect("the clock stands")
}

/// Runs that hold every share of the cores, each with one test that does nothing.
fn hold_all(town: &Town, labs: &[Lab]) -> Vec<Running> {
    let runs: Vec<_> = labs
        .iter()
        .map(|lab| join(town, lab.json(["--exact", "waits_for_go"])).spawn())
        .collect();
    wait_for("all shares are held", town, &labs[0], |runs| {
        runs.len() == labs.len() && runs.iter().all(|run| run["held"] == 1)
    });
    runs
}

/// Has them all come to their end.
fn let_go(holding: Vec<Running>, labs: &[Lab]) {
    for (run, lab) in holding.into_iter().zip(labs) {
        lab.go();
        drop(run.finish().code(0));
    }
}

#[test]
fn there_are_never_more_tests_at_once_than_cores() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..cores() + 2).map(|_| Lab::shared("crowd")).collect();
    let runs: Vec<_> = labs
        .iter()
        .map(|lab| join(&town, lab.json::<&str>([])).spawn())
        .collect();
    for run in runs {
        drop(run.finish().code(0));
    }
    for lab in &labs {
        assert_eq!(lab.record().results().len(), 40);
        lab.assert_clean();
    }
}

#[test]
fn who_has_no_share_waits_and_the_dead_give_theirs_back_at_once() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..cores()).map(|_| Lab::shared("hostile")).collect();
    let mut holding = hold_all(&town, &labs);
    let lab = Lab::shared("hostile");
    let waiting = join(&town, lab.json(["--exact", "calm_00"])).spawn();
    let queued = |run: &&Value| run["waits"] == "a share of the cores";
    let runs = wait_for("the last one waits", &town, &lab, |runs| {
        runs.iter().any(|run| queued(&run))
    });
    let last = runs.iter().find(queued).expect("one waits");
    assert_eq!((&last["wanted"], &last["held"]), (&1.into(), &0.into()));
    assert_eq!(last["runner"]["pid"], waiting.pid());

    let mut killed = holding.remove(0);
    let worker = killed.worker();
    killed.signal(Signal::SIGKILL);
    let worker = nix::unistd::Pid::from_raw(worker);
    nix::sys::signal::kill(worker, Signal::SIGKILL).expect("it is ours");
    let since = SystemTime::now();
    drop(waiting.finish().code(0));
    // After ten seconds it would have had a spare share.
    assert!(took(since) < Duration::from_secs(8));
    drop(killed.finish());
    let_go(holding, &labs[1..]);
}

#[test]
fn who_stands_still_holds_no_share() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..cores()).map(|_| Lab::shared("hostile")).collect();
    let holding = hold_all(&town, &labs);
    holding[0].signal(Signal::SIGTSTP);
    wait_for("it stands still", &town, &labs[0], |runs| {
        runs.iter().any(|run| run["state"] == "suspended")
    });
    let lab = Lab::shared("hostile");
    let since = SystemTime::now();
    drop(join(&town, lab.json(["--exact", "calm_00"])).run().code(0));
    assert!(took(since) < Duration::from_secs(8));
    holding[0].signal(Signal::SIGCONT);
    let_go(holding, &labs);
}

#[test]
fn a_run_inside_a_test_has_a_part_of_that_ones_share() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..cores()).map(|_| Lab::shared("hostile")).collect();
    let holding = hold_all(&town, &labs);
    let lab = Lab::shared("hostile");
    let inner = join(&town, lab.json(["--exact", "calm_00"]));
    let since = SystemTime::now();
    drop(inner.env("STT_RUN_ID", "any").run().code(0));
    assert!(took(since) < Duration::from_secs(8));
    let_go(holding, &labs);
}

#[test]
fn alone_a_run_has_as_many_tests_at_once_as_it_wants() {
    let town = Town::new();
    let lab = Lab::shared("hostile");
    let more = (cores() + 2).to_string();
    let chosen = ["-j", &more, "--exact", "waits_for_go", "hangs", "hangs_too"];
    let run = join(&town, lab.json(chosen)).spawn();
    let wanted = 3.min(cores() + 2);
    wait_for("all run", &town, &lab, |runs| {
        runs.iter().any(|run| run["running-now"] == wanted)
    });
    run.signal(Signal::SIGINT);
    drop(run.finish().signal(2));
}

#[test]
fn without_a_coordinator_nobody_waits() {
    let town = Town::new();
    let labs: Vec<Lab> = (0..cores()).map(|_| Lab::shared("hostile")).collect();
    let holding = hold_all(&town, &labs);
    let lab = Lab::shared("hostile");
    let alone = lab.json(["--no-coordinator", "--exact", "calm_00"]);
    drop(join(&town, alone).run().code(0));
    let_go(holding, &labs);
}

/// The share of the machine's memory that is in use, and so much more, in percent.
fn used_and(more: u64) -> String {
    let text = std::fs::read_to_string("/proc/meminfo").expect("/proc is there");
    let kib = |name: &str| -> u64 {
        let line = text.lines().find(|line| line.starts_with(name));
        let number = line.and_then(|line| line.split_whitespace().nth(1));
        number
            .and_then(|number| number.parse().ok())
            .expect("a number")
    };
    let (total, available) = (kib("MemTotal:"), kib("MemAvailable:"));
    let line = (total - available) + more / 1024;
    let thousandths = line * 100_000 / total;
    format!("{}.{}%", thousandths / 1_000, thousandths % 1_000 / 100)
}

#[test]
fn the_youngest_yields_and_the_older_one_goes_on() {
    let town = Town::new();
    let (old, young) = (Lab::shared("hostile"), Lab::shared("hostile"));
    let line = used_and(500_000_000);
    let guard = [
        "--memory-threshold",
        &line,
        "--config",
        "guard.grace-period=300ms",
    ];
    let older = join(&town, old.json(["--exact", "waits_for_go"]).args(guard)).spawn();
    wait_for("the older one runs", &town, &old, |runs| {
        runs.iter().any(|run| run["running-now"] == 1)
    });
    let younger = join(&town, young.json(["--exact", "leaks_slowly"]).args(guard));
    drop(younger.run().code(42));
    old.go();
    drop(older.finish().code(0));
    young.assert_clean();
}

#[test]
fn two_runs_of_one_workspace_keep_their_results_apart() {
    let town = Town::new();
    let lab = Lab::copied("hostile");
    let usual = lab.target.join("stt-checkpoint.json");
    let first = lab.json(["--exact", "waits_for_go"]).default_checkpoint();
    let mut first = join(&town, first).spawn();
    first.wait_for("its test", |_| lab.traced("waits_for_go"));

    let at = |args: &[&str]| join(&town, lab.stt(args).default_checkpoint());
    let beside = at(&["--exact", "calm_00"]).run().code(0);
    let other = lab.target.join("stt-checkpoint-2.json");
    drop(
        beside
            .says("another run is being recorded")
            .says(other.as_str()),
    );
    assert!(other.exists(), "the second run is recorded, too");

    let busy = at(&["--resume"]).run().code(96);
    drop(busy.says("still going on").says("cargo stt status"));
    let named = at(&["--exact", "calm_00", "--checkpoint", usual.as_str()]);
    drop(named.run().code(96).says("--checkpoint"));

    lab.go();
    drop(first.finish().code(0));
    let over = at(&["--resume"]).run().code(0);
    drop(over.says("nothing to resume"));
    // And when it is over, the usual name is free again.
    drop(
        at(&["--exact", "calm_00"])
            .run()
            .code(0)
            .never_says("another run"),
    );
}

#[test]
fn status_names_a_script_that_runs() {
    let town = Town::new();
    let lab = Lab::shared("counting");
    let config = lab.path("scripts.toml");
    let waits = "until [ -e $HOSTILE_DIR/go ]; do sleep 0.02; done";
    let text = format!(
        "[scripts.setup.db]\ncommand = ['sh', '-c', '{waits}']\n\
         [[overrides]]\nfilter = 'all()'\nsetup = 'db'\n"
    );
    fs_err::write(&config, text).expect("the laboratory is writable");
    let stt = lab.stt(["--exact", "t00", "--config-file", config.as_str()]);
    let running = join(&town, stt).spawn();
    wait_for("the script is told", &town, &lab, |runs| {
        let script = runs.first().map(|run| &run["script"]);
        script.is_some_and(|script| script["kind"] == "setup" && script["name"] == "db")
    });
    let shown = join(&town, lab.stt(["status"]).default_checkpoint());
    let shown = shown.run().code(0).stdout;
    assert!(shown.contains("setup script db"), "{shown}");
    lab.go();
    drop(running.finish().code(0));
    lab.assert_clean();
}

#[test]
fn status_without_runs_says_so() {
    let town = Town::new();
    let lab = Lab::shared("crowd");
    let asked = join(&town, lab.stt(["status"]).default_checkpoint());
    let shown = asked.run().code(0).stdout;
    assert!(
        shown.contains("no run of yours is on this machine"),
        "{shown}"
    );
    assert_eq!(town.runs(&lab), Vec::<Value>::new());
}

/// As a `make` that has so many tokens left would start it.
fn under_make(tokens: usize, most: usize) {
    let town = Town::new();
    let lab = Lab::shared("crowd");
    let fifo = town.path("jobserver");
    nix::unistd::mkfifo(fifo.as_std_path(), nix::sys::stat::Mode::S_IRWXU).expect("it is new");
    let mut make = std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open(&fifo)
        .expect("it is ours");
    make.write_all(&vec![b'+'; tokens])
        .expect("a pipe has room");
    let run = join(&town, lab.json(["-j", "2"]));
    let flags = format!(" -j{} --jobserver-auth=fifo:{fifo}", tokens + 1);
    let run = run
        .env("MAKEFLAGS", flags)
        .env("CROWD_MOST", most.to_string());
    drop(run.run().code(0));
    assert_eq!(lab.record().results().len(), 40);
    // All of them are back; one more ends the reading.
    make.write_all(b".").expect("a pipe has room");
    let mut left = vec![0; tokens + 1];
    make.read_exact(&mut left).expect("they are there");
    assert_eq!(left.last(), Some(&b'.'));
}

#[test]
fn the_jobserver_of_a_make_around_it_is_respected() {
    under_make(0, 1);
    under_make(1, 2);
}
