//! What leaves sessions, parents and environments behind, against control groups and without them.

use std::time::Duration;

use camino::Utf8Path;
use camino::Utf8PathBuf;

use super::attackers;
use super::helper::CLOCK;
use super::helper::FAMILY;
use super::helper::PATIENCE;
use super::helper::Printed;
use super::helper::Slot;
use super::helper::in_own_process;
use super::helper::stopped;
use super::helper::until;
use crate::id::RunId;
use crate::limits::Limits;
use crate::outcome::Exit;
use crate::process::Control;
use crate::process::Doomed;
use crate::process::Ended;
use crate::process::GroupError;
use crate::process::Left;
use crate::process::NAMED_IN_HASTE;
use crate::process::Stdio;
use crate::process::Swept;
use crate::process::drive;
use crate::process::launch::refuse;
use crate::process::spawn;

/// A run's control group, for as long as this lives. It lies in a group of this process's own, since every
/// run that begins beside it, of another test for instance, removes what looks like a dead run's.
pub(super) struct Group {
    path: Utf8PathBuf,
    /// Where this process came from.
    home: Utf8PathBuf,
}

impl Group {
    /// `None`, and why, where there can be none.
    pub(super) fn make() -> Option<Self> {
        Self::make_in(|_| ())
    }

    /// The same, where something is done to the group around it before anybody is in that.
    #[expect(clippy::print_stderr, reason = "a test that tests nothing says so")]
    fn make_in(prepare: impl FnOnce(&Utf8Path)) -> Option<Self> {
        FAMILY.make_group(&run_id(0));
        let Some(path) = FAMILY.group_path() else {
            eprintln!("skipped: {}", FAMILY.mechanism());
            return None;
        };
        FAMILY.remove_group();
        let home = path.parent().unwrap().to_owned();
        let own = std::process::id().to_string();
        let around = home.join(format!("around-{own}"));
        std::fs::create_dir(&around).unwrap();
        prepare(&around);
        write(&around, "cgroup.procs", &own);
        FAMILY.make_group(&run_id(0));
        let path = FAMILY.group_path().unwrap();
        assert!(path.starts_with(&around), "{path}");
        Some(Self { path, home })
    }

    /// A slot whose children are born in its control group.
    pub(super) fn slot(&self, number: usize) -> Slot {
        let mut slot = Slot::new();
        let group = FAMILY.slot_group(number);
        assert!(group.is_some(), "{}", self.path);
        slot.control = Control::in_group(group).unwrap().into();
        slot
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        FAMILY.remove_group();
        if !std::thread::panicking() {
            assert!(!self.path.exists(), "{} is left", self.path);
            write(&self.home, "cgroup.procs", &std::process::id().to_string());
            std::fs::remove_dir(self.path.parent().unwrap()).unwrap();
        }
    }
}

/// Writes into a file of a group's, in one call as the kernel wants it.
fn write(group: &Utf8Path, file: &str, text: &str) {
    std::fs::OpenOptions::new()
        .write(true)
        .open(group.join(file))
        .and_then(|mut file| std::io::Write::write_all(&mut file, text.as_bytes()))
        .unwrap();
}

/// A run of this process's own: others may test on this machine, too.
fn run_id(number: u8) -> RunId {
    let mut bytes = [number; 16];
    bytes[..4].copy_from_slice(&std::process::id().to_le_bytes());
    RunId::from_random(bytes)
}

/// Runs a script in a slot's group.
fn run_in(slot: &Slot, script: &str) -> Ended {
    slot.control.begin(None).unwrap();
    slot.run(script).0
}

fn attack(slot: &Slot, role: &str) -> String {
    let command = attackers::command(slot, role);
    format!("{command} until [ -e ready ]; do :; done")
}

/// Each attacker is ended with its test and attributed to it, although another slot's test runs.
fn is_ended_with_its_test(test: &str, role: &str) {
    if !in_own_process(test) {
        return;
    }
    let Some(group) = Group::make() else { return };
    let (other, slot) = (group.slot(0), group.slot(1));
    other.control.begin(None).unwrap();
    let sleep = other.script("exec sleep 1000.$TAG");
    let beside = spawn(&sleep, Stdio::Capture, &other.control, &CLOCK).unwrap();
    for round in 0..3 {
        let ended = run_in(&slot, &format!("rm -f ready; {}", attack(&slot, role)));
        assert_eq!(ended.exit, Exit::Code(0), "{ended:?}");
        assert!(!ended.left.processes.is_empty(), "{round}: {ended:?}");
        assert_eq!(slot.alive(), Vec::<i32>::new(), "{round}");
        let usage = ended.group.unwrap();
        assert!(usage.cpu.unwrap() > Duration::ZERO, "{usage:?}");
    }
    assert_eq!(other.alive(), [beside.pid()], "a stranger was ended");
    other.control.end(stopped(0)).unwrap();
    other.follow(beside, &mut Printed::default());
    drop((slot, other));
    let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!(swept, Swept::default(), "nothing was left for the end");
}

/// Without a group each attacker is ended at the end of the run at the latest.
fn is_swept(test: &str, role: &str) {
    if !in_own_process(test) {
        return;
    }
    let slot = Slot::new();
    let (ended, _) = slot.run(&attack(&slot, role));
    assert_eq!(ended.exit, Exit::Code(0), "{ended:?}");
    assert_eq!(ended.group, None);
    let swept = FAMILY.sweep(&CLOCK, CLOCK.now() + PATIENCE);
    assert_eq!(swept.left, []);
    assert_eq!(slot.alive(), Vec::<i32>::new());
}

macro_rules! attacks {
    ($($role:ident: $grouped:ident, $walked:ident;)*) => {$(
        #[test]
        fn $grouped() {
            is_ended_with_its_test(concat!("groups::", stringify!($grouped)), stringify!($role));
        }

        #[test]
        fn $walked() {
            is_swept(concat!("groups::", stringify!($walked)), stringify!($role));
        }
    )*};
}

attacks! {
    hopper: a_hopper_is_ended_by_the_group, a_hopper_is_swept_without_one;
    bomb_of_256: a_bomb_is_ended_by_the_group, a_bomb_is_swept_without_one;
    stopped: who_stops_himself_is_ended_by_the_group, who_stops_himself_is_swept_without_one;
    headless: who_has_no_main_thread_is_ended_by_the_group, who_has_no_main_thread_is_swept_without_one;
}

#[test]
fn who_moves_himself_to_another_group_is_found_by_the_walk() {
    if !in_own_process("groups::who_moves_himself_to_another_group_is_found_by_the_walk") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let slot = group.slot(0);
    let elsewhere = group.path.parent().unwrap();
    let daemon = format!("echo $$ >{elsewhere}/cgroup.procs; : >ready; exec sleep 1000.$0");
    let script = format!(
        "setsid sh -c '{daemon}' $TAG </dev/null >/dev/null 2>&1 & until [ -e ready ]; do :; done"
    );
    let ended = run_in(&slot, &script);
    assert_eq!(ended.left.processes.len(), 1, "{:?}", ended.left);
    assert_eq!(slot.alive(), Vec::<i32>::new());
}

#[test]
fn an_order_kills_all_of_the_slot_and_nobody_else() {
    if !in_own_process("groups::an_order_kills_all_of_the_slot_and_nobody_else") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let (slot, other) = (group.slot(0), group.slot(1));
    other.control.begin(None).unwrap();
    let sleep = other.script("exec sleep 1000.$TAG");
    let beside = spawn(&sleep, Stdio::Capture, &other.control, &CLOCK).unwrap();
    for grace in [0, 50, 20_000] {
        slot.control.begin(None).unwrap();
        let script = format!(
            "rm -f ready; {}; echo ready; exec sleep 1000.$TAG",
            attack(&slot, "bomb_of_256")
        );
        let (ended, _) = slot.run_and_end(&script, &[stopped(grace)]);
        assert!(ended.ended.is_some());
        assert_eq!(slot.alive(), Vec::<i32>::new(), "grace {grace}");
    }
    assert_eq!(other.alive(), [beside.pid()]);
    other.control.end(stopped(0)).unwrap();
    other.follow(beside, &mut Printed::default());
}

#[test]
fn a_clean_test_in_a_group_leaves_nothing_and_is_counted_alone() {
    if !in_own_process("groups::a_clean_test_in_a_group_leaves_nothing_and_is_counted_alone") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let slot = group.slot(0);
    // The CPU time is the whole family's, also of those that nobody waited for.
    let busy = "i=0; while [ $i -lt 50000 ]; do i=$((i+1)); done";
    let ended = run_in(
        &slot,
        &format!("sh -c '{busy}' & setsid sh -c '{busy}'; wait"),
    );
    assert_eq!(ended.left, Left::default());
    let first = ended.group.unwrap().cpu.unwrap();
    assert!(first >= Duration::from_millis(10), "{first:?}");
    let ended = run_in(&slot, "exit 0");
    let second = ended.group.unwrap().cpu.unwrap();
    assert!(second < first / 2, "{second:?} after {first:?}");
    // Its own sub-groups are no leak.
    let own = format!("mkdir {}/slot-0/inner", group.path);
    let ended = run_in(&slot, &own);
    assert_eq!(ended.exit, Exit::Code(0));
}

#[test]
fn limits_are_set_before_the_program_runs() {
    if !in_own_process("groups::limits_are_set_before_the_program_runs") {
        return;
    }
    let slot = Slot::new();
    let limits = Limits {
        open_files: Some(33),
        core: Some(crate::units::Bytes(0)),
        file_size: Some(crate::units::Bytes(1 << 20)),
        cpu_time: Some(Duration::from_millis(6500)),
        ..Limits::default()
    };
    slot.control.begin(Some(&limits)).unwrap();
    let (ended, printed) =
        slot.run("ulimit -n; ulimit -Hn; ulimit -c; ulimit -f; ulimit -t; ulimit -Ht");
    assert_eq!(ended.exit, Exit::Code(0));
    assert_eq!(
        String::from_utf8_lossy(&printed.stdout),
        "33\n33\n0\n2048\n7\n8\n"
    );
    // They were that child's alone.
    let (_, printed) = slot.run("ulimit -n");
    assert_ne!(printed.stdout, b"33\n");
}

fn end_group(path: &Utf8Path) -> Result<Swept, GroupError> {
    Doomed::open(path)?.end(&CLOCK, CLOCK.now() + PATIENCE)
}

#[test]
fn what_a_dead_run_left_in_its_group_is_ended() {
    if !in_own_process("groups::what_a_dead_run_left_in_its_group_is_ended") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let slot = group.slot(3);
    slot.control.begin(None).unwrap();
    let script = format!("{}; exec sleep 1000.$TAG", attack(&slot, "bomb_of_256"));
    let child = spawn(&slot.script(&script), Stdio::Inherit, &slot.control, &CLOCK).unwrap();
    until("it has grown", || slot.alive().len() > 256);
    let swept = end_group(&group.path).unwrap();
    // A few are named, and all are counted.
    assert_eq!(swept.ended.len(), NAMED_IN_HASTE);
    assert!(swept.more > 200, "{}", swept.more);
    assert_eq!(swept.left, []);
    assert!(!group.path.exists());
    assert_eq!(slot.alive(), Vec::<i32>::new());
    let ended = slot.follow(child, &mut Printed::default());
    assert_eq!(ended.exit, Exit::Signal(9));
    // Again there is nothing to do.
    let swept = end_group(&group.path).unwrap();
    assert_eq!(swept, Swept::default());
}

#[test]
fn where_clone3_is_refused_std_starts_the_children_and_the_group_takes_them_in() {
    const NAME: &str =
        "groups::where_clone3_is_refused_std_starts_the_children_and_the_group_takes_them_in";
    if !in_own_process(NAME) {
        return;
    }
    refuse(true);
    let limits = Limits {
        open_files: Some(33),
        ..Limits::default()
    };
    let group = Group::make();
    let slot = group.as_ref().map_or_else(Slot::new, |group| group.slot(0));
    slot.control.begin(Some(&limits)).unwrap();
    let (ended, printed) = slot.run("until [ $(ulimit -n) = 33 ]; do :; done; echo yes");
    assert_eq!(
        (ended.exit, printed.stdout),
        (Exit::Code(0), b"yes\n".to_vec())
    );
    if group.is_some() {
        let wait = "until grep -q slot-0 /proc/$$/cgroup; do :; done";
        let ended = run_in(&slot, &format!("{wait}; {}", attack(&slot, "stopped")));
        assert_eq!(ended.left.processes.len(), 1, "{ended:?}");
    }
}

/// What a script says that is at its descriptors 3 and 4, when it is given two sockets.
#[cfg(target_os = "linux")]
fn handed_over(slot: &Slot) -> String {
    let sockets = [(); 2].map(|()| std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let own = sockets.iter().map(|socket| {
        let ino = nix::sys::stat::fstat(socket).unwrap().st_ino;
        format!("socket:[{ino}]\n")
    });
    let expected: String = own.collect();
    slot.control
        .hand_over(sockets.map(std::os::fd::OwnedFd::from).into());
    let (ended, printed) = slot.run("for n in 3 4; do readlink /proc/$$/fd/$n; done; exit 7");
    assert_eq!(ended.exit, Exit::Code(7));
    let said = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(said, expected);
    said
}

#[test]
#[cfg(target_os = "linux")]
fn sockets_are_handed_over_after_the_streams_by_whoever_starts_the_child() {
    let name = "groups::sockets_are_handed_over_after_the_streams_by_whoever_starts_the_child";
    if !in_own_process(name) {
        return;
    }
    let slot = Slot::new();
    let first = handed_over(&slot);
    refuse(true);
    assert_ne!(handed_over(&slot), first);
    // Whoever comes next has none of them.
    let (_, printed) = slot.run("ls -l /proc/$$/fd | grep -c 'socket:'");
    assert_eq!(printed.stdout, b"0\n");
}

#[test]
#[cfg(target_os = "linux")]
fn what_a_child_is_to_read_it_reads_whoever_starts_it() {
    if !in_own_process("groups::what_a_child_is_to_read_it_reads_whoever_starts_it") {
        return;
    }
    let slot = Slot::new();
    for refused in [false, true] {
        refuse(refused);
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, b"to be read").unwrap();
        drop(writer);
        slot.control.feed(reader.into());
        assert_eq!(slot.run("exec cat").1.stdout, b"to be read");
        // Whoever comes next reads nothing.
        assert_eq!(slot.run("exec cat").1.stdout, b"");
    }
}

/// On some kernels nobody can be born into a group when the one around it was killed before.
#[test]
fn who_cannot_be_born_into_a_group_is_taken_in() {
    if !in_own_process("groups::who_cannot_be_born_into_a_group_is_taken_in") {
        return;
    }
    let killed = |around: &Utf8Path| write(around, "cgroup.kill", "1");
    let Some(group) = Group::make_in(killed) else {
        return;
    };
    let slot = group.slot(0);
    let ended = run_in(
        &slot,
        &format!(
            "until grep -q slot-0 /proc/$$/cgroup; do :; done; {}",
            attack(&slot, "stopped")
        ),
    );
    assert_eq!(ended.exit, Exit::Code(0), "{ended:?}");
    assert_eq!(ended.left.processes.len(), 1, "{ended:?}");
}

#[test]
fn the_group_of_a_run_that_lives_is_no_stale_one() {
    if !in_own_process("groups::the_group_of_a_run_that_lives_is_no_stale_one") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let path = |number| group.path.with_file_name(format!("stt-{}", run_id(number)));
    let [dead, inhabited] = [1, 2].map(path);
    for directory in [&dead, &inhabited] {
        std::fs::create_dir_all(directory.join("slot-0")).unwrap();
    }
    let locked = std::fs::File::open(&inhabited).unwrap();
    locked.try_lock().unwrap();
    let slot = group.slot(0);
    slot.control.begin(None).unwrap();
    let script =
        format!("echo $$ >{inhabited}/slot-0/cgroup.procs; : >ready; exec sleep 1000.$TAG");
    let child = spawn(&slot.script(&script), Stdio::Inherit, &slot.control, &CLOCK).unwrap();
    until("it has moved", || slot.is_there("ready"));
    // Another run of the same machine begins.
    let second = crate::process::Family::adopt();
    drop(locked);
    second.make_group(&run_id(3));
    until("the dead one is gone", || !dead.exists());
    assert!(inhabited.exists());
    assert!(group.path.join("slot-0").exists(), "it is in use");
    second.remove_group();
    slot.control.end(stopped(0)).unwrap();
    slot.follow(child, &mut Printed::default());
    let swept = end_group(&inhabited).unwrap();
    assert_eq!(swept, Swept::default());
}

#[test]
fn who_had_made_room_for_a_dead_run_goes_back() {
    if !in_own_process("groups::who_had_made_room_for_a_dead_run_goes_back") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let run = format!("stt-{}", run_id(5));
    let path = group.path.with_file_name(&run);
    let runner = group.path.with_file_name(format!("{run}.runner"));
    std::fs::create_dir(&path).unwrap();
    std::fs::create_dir(&runner).unwrap();
    // As a supervisor does, whose worker has moved it there and is dead.
    let slot = group.slot(0);
    slot.control.begin(None).unwrap();
    let script = format!("echo $$ >{runner}/cgroup.procs; : >ready; exec sleep 1000.$TAG");
    let child = spawn(&slot.script(&script), Stdio::Inherit, &slot.control, &CLOCK).unwrap();
    until("it has moved", || slot.is_there("ready"));
    // With the run's group, and when that is gone.
    for _ in 0..2 {
        let swept = end_group(&path).unwrap();
        assert_eq!(swept, Swept::default());
        assert!(!path.exists() && !runner.exists());
        let back = std::fs::read_to_string(format!("/proc/{}/cgroup", child.pid())).unwrap();
        let around = std::fs::read_to_string("/proc/self/cgroup").unwrap();
        let own = |text: &str| {
            text.lines()
                .find(|line| line.starts_with("0::"))
                .map(str::to_owned)
        };
        assert_eq!(own(&back), own(&around));
        std::fs::create_dir(&runner).unwrap();
        write(&runner, "cgroup.procs", &child.pid().to_string());
    }
    end_group(&path).unwrap();
    slot.control.end(stopped(0)).unwrap();
    let (control, terms) = (&slot.control, &slot.terms);
    let output = &mut Printed::default();
    let ended = drive(child, control, output, terms, &FAMILY, &CLOCK);
    assert_eq!(ended.left, Left::default());
}

#[test]
fn runs_that_begin_at_once_leave_each_other_their_groups() {
    if !in_own_process("groups::runs_that_begin_at_once_leave_each_other_their_groups") {
        return;
    }
    let Some(_group) = Group::make() else { return };
    let begin = |number: u8| {
        for _ in 0..300 {
            let other = crate::process::Family::adopt();
            other.make_group(&run_id(number));
            assert!(other.group_path().is_some(), "{}", other.mechanism());
            assert!(other.slot_group(0).unwrap().begin(None).is_ok());
            other.remove_group();
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| begin(4));
        scope.spawn(|| begin(5));
        begin(6);
    });
}

/// A dead leg's record names the group that a living leg of the same run has.
#[test]
fn a_group_that_somebody_holds_is_not_what_a_dead_run_left() {
    if !in_own_process("groups::a_group_that_somebody_holds_is_not_what_a_dead_run_left") {
        return;
    }
    let Some(group) = Group::make() else { return };
    let slot = group.slot(0);
    slot.control.begin(None).unwrap();
    let child = spawn(
        &slot.script("exec sleep 1000.$TAG"),
        Stdio::Inherit,
        &slot.control,
        &CLOCK,
    );
    let child = child.unwrap();
    until("it runs", || slot.alive().len() == 1);
    assert!(Doomed::open_left(&group.path).unwrap().is_none());
    assert_eq!(slot.alive().len(), 1);

    // Nobody holds one that is made without us.
    let left = group
        .path
        .with_file_name(format!("stt-{}", RunId::from_random([7; 16])));
    std::fs::create_dir(&left).unwrap();
    let all = std::fs::read_to_string(group.path.join("slot-0/cgroup.procs")).unwrap();
    for pid in all.lines() {
        write(&left, "cgroup.procs", pid);
    }
    let doomed = Doomed::open_left(&left).unwrap().unwrap();
    let swept = doomed.end(&CLOCK, CLOCK.now() + PATIENCE).unwrap();
    assert_eq!((swept.ended.len(), swept.left.len()), (1, 0));
    assert!(!left.exists());
    let mut printed = Printed::default();
    let ended = slot.follow(child, &mut printed);
    assert_eq!(ended.exit, Exit::Signal(9));
}

#[test]
fn nothing_but_a_runs_group_is_ended() {
    if !in_own_process("groups::nothing_but_a_runs_group_is_ended") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let directory = Utf8Path::from_path(directory.path()).unwrap();
    let run = format!("stt-{}", RunId::from_random([9; 16]));
    let plain = directory.join(&run);
    std::fs::create_dir(&plain).unwrap();
    let mut refused = vec![
        plain,
        "relative".into(),
        "/".into(),
        "/sys/fs/cgroup".into(),
    ];
    let group = Group::make();
    if let Some(group) = &group {
        let parent = group.path.parent().unwrap();
        let link = directory.join(format!("stt-{}", RunId::from_random([8; 16])));
        std::os::unix::fs::symlink(&group.path, &link).unwrap();
        refused.extend([
            parent.to_owned(),
            link,
            group.path.join(format!("../{run}")),
        ]);
    }
    for path in refused {
        let error = end_group(&path);
        assert!(error.is_err(), "{path}: {error:?}");
    }
}
