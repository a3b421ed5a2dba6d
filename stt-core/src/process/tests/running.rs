//! Children that end by themselves.

use std::time::Duration;

use camino::Utf8Path;

use super::helper::CLOCK;
use super::helper::Printed;
use super::helper::Slot;
use super::helper::in_own_process;
use crate::command::CommandLine;
use crate::outcome::Exit;
use crate::process::Capture;
use crate::process::Left;
use crate::process::Limits;
use crate::process::SpawnError;
use crate::process::Stdio;
use crate::process::spawn;
use crate::units::Bytes;

#[test]
fn exits_are_told_as_they_are() {
    let slot = Slot::new();
    let cases = [
        ("exit 0", Exit::Code(0)),
        ("exit 101", Exit::Code(101)),
        ("kill -ABRT $$", Exit::Signal(6)),
        ("kill -KILL $$", Exit::Signal(9)),
        ("kill -TERM $$", Exit::Signal(15)),
    ];
    for (script, exit) in cases {
        let (ended, _) = slot.run(script);
        assert_eq!(ended.exit, exit, "{script}");
        assert_eq!(ended.left, Left::default(), "{script}");
        assert!(ended.ended.is_none() && ended.error.is_none(), "{ended:?}");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_test_is_killed_before_us_when_memory_is_short() {
    let own: i32 = std::fs::read_to_string("/proc/self/oom_score_adj")
        .unwrap()
        .trim()
        .parse()
        .unwrap();
    let score = |slot: &Slot| -> i32 {
        // The first look may come before we have set it.
        let (_, printed) = slot.run(&format!(
            "n=0; while [ $(cat /proc/self/oom_score_adj) = {own} ] && [ $n -lt 99 ]; do n=$((n+1)); done; \
             cat /proc/self/oom_score_adj"
        ));
        String::from_utf8(printed.stdout)
            .unwrap()
            .trim()
            .parse()
            .unwrap()
    };
    let slot = Slot::new();
    assert_eq!(score(&slot), own, "the build is as much worth as we are");
    slot.control.begin(None).unwrap();
    assert_eq!(score(&slot), (own.max(0) + 300).min(1000));
}

#[test]
fn both_streams_arrive_byte_by_byte() {
    let slot = Slot::new();
    let (_, printed) = slot.run(r"printf 'a\377\000b'; printf 'e\376' >&2");
    assert_eq!(printed.stdout, b"a\xff\0b");
    assert_eq!(printed.stderr, b"e\xfe");
}

#[test]
fn the_environment_is_exactly_what_was_given() {
    let slot = Slot::new();
    let mut command = slot.script("");
    command.program = "/usr/bin/env".into();
    command.args.clear();
    let mut printed = Printed::default();
    slot.drive(&command.env("PATH", "/own"), &mut printed);
    let text = String::from_utf8(printed.stdout).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    let tag = &slot.tag;
    assert_eq!(
        lines,
        [
            "PATH=/own",
            &format!("STT_ROOM_TEST={tag}"),
            &format!("TAG={tag}")
        ]
    );
}

#[test]
fn a_child_leads_its_group_and_reads_nothing() {
    let slot = Slot::new();
    let (ended, printed) = slot.run(r#"read x && exit 1; cut -d" " -f1,5 /proc/$$/stat; pwd"#);
    let text = String::from_utf8(printed.stdout).unwrap();
    let words: Vec<_> = text.split_whitespace().collect();
    assert_eq!(words[0], words[1], "{text}");
    let here = slot.dir.path().canonicalize().unwrap();
    assert_eq!(words[2], here.to_str().unwrap());
    assert_eq!(ended.exit, Exit::Code(0));
}

#[test]
fn a_child_has_our_signals_blocked_and_ignored_and_no_other() {
    /// The masks of a status file, without what std resets (PIPE) and what belongs to glibc (32, 33).
    fn masks(status: &str) -> Vec<u64> {
        let lines = status.lines().filter_map(|line| {
            line.strip_prefix("SigBlk:")
                .or_else(|| line.strip_prefix("SigIgn:"))
        });
        lines
            .map(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() & !0x1_8000_1000)
            .collect()
    }
    let slot = Slot::new();
    let (_, printed) = slot.run("cat /proc/self/status");
    let own = std::fs::read_to_string("/proc/thread-self/status").unwrap();
    let theirs = masks(&String::from_utf8(printed.stdout).unwrap());
    assert_eq!(theirs, masks(&own));
    assert_eq!(theirs.len(), 2);
}

#[test]
fn only_what_is_asked_for_is_captured() {
    let slot = Slot::new();
    let child = spawn(
        &slot.script("echo x"),
        Stdio::CaptureStdout,
        &slot.control,
        &CLOCK,
    )
    .unwrap();
    assert!(child.stdout.is_some() && child.stderr.is_none());
    let mut printed = Printed::default();
    slot.follow(child, &mut printed);
    assert_eq!(printed.stdout, b"x\n");
    let child = spawn(
        &slot.script("exit 3"),
        Stdio::Inherit,
        &slot.control,
        &CLOCK,
    )
    .unwrap();
    assert!(child.stdout.is_none() && child.stderr.is_none());
    let ended = slot.follow(child, &mut printed);
    assert_eq!(ended.exit, Exit::Code(3));
}

#[test]
fn together_both_streams_keep_their_order_whoever_starts_the_child() {
    let slot = Slot::new();
    let script = "for n in 1 2 3; do echo out $n; echo err $n >&2; done";
    let by_path = slot.script(script);
    let mut by_name = by_path.clone();
    by_name.program = "sh".into();
    for command in [by_path, by_name] {
        let child = spawn(&command, Stdio::CaptureTogether, &slot.control, &CLOCK).unwrap();
        let mut printed = Printed::default();
        slot.follow(child, &mut printed);
        let said = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(said, "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n");
        assert!(printed.stderr.is_empty());
    }
}

#[test]
fn without_a_descriptor_for_the_exit_it_is_noticed_all_the_same() {
    let slot = Slot::new();
    let mut child = spawn(
        &slot.script("exit 7"),
        Stdio::Capture,
        &slot.control,
        &CLOCK,
    )
    .unwrap();
    child.exited = None;
    let mut printed = Printed::default();
    let ended = slot.follow(child, &mut printed);
    assert_eq!(ended.exit, Exit::Code(7));
}

#[test]
fn resources_are_those_of_the_child_and_of_whom_it_waited_for() {
    let slot = Slot::new();
    // The shell's child keeps 64 MB in one string.
    let script = "sh -c 'x=$(head -c 67108864 /dev/zero | tr \"\\0\" x); echo ${#x}'";
    let (ended, printed) = slot.run(script);
    assert_eq!(printed.stdout, b"67108864\n");
    assert!(ended.peak_memory >= Bytes::mib(64), "{ended:?}");
    assert!(
        ended.cpu > Duration::ZERO && ended.duration > Duration::ZERO,
        "{ended:?}"
    );
}

#[test]
fn a_failed_start_says_what_is_missing() {
    let slot = Slot::new();
    let here = Utf8Path::from_path(slot.dir.path()).unwrap();
    let lost = here.join("lost");
    std::os::unix::fs::symlink("/bin/sh", here.join("link")).unwrap();
    fs_err::copy("/bin/sh", here.join("plain")).unwrap();
    let script = here.join("script");
    crate::fs::write_atomic(&script, b"#!/no/such/interpreter\n").unwrap();
    let modes = [(&script, 0o755), (&here.join("plain"), 0o644)];
    for (path, mode) in modes {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(mode);
        fs_err::set_permissions(path, mode).unwrap();
    }
    let start = |program: &str, cwd: &Utf8Path| {
        let command = CommandLine::new(program, cwd.to_owned(), slot.script("").env);
        let error = spawn(&command, Stdio::Capture, &slot.control, &CLOCK).unwrap_err();
        assert!(error.to_string().contains(program), "{error}");
        error
    };
    assert!(
        matches!(start("/bin/sh", &lost), SpawnError::WorkingDirectory { cwd, .. } if cwd == lost)
    );
    assert!(matches!(
        start("/no/such", here),
        SpawnError::NotFound { .. }
    ));
    assert!(matches!(
        start("no-such-program", here),
        SpawnError::NotFound { .. }
    ));
    assert!(matches!(
        start(script.as_str(), here),
        SpawnError::Loader { .. }
    ));
    let plain = start(here.join("plain").as_str(), here);
    assert!(matches!(plain, SpawnError::Start { .. }), "{plain:?}");
}

#[test]
fn a_flood_costs_little_memory_and_is_whole_in_its_file() {
    const FLOOD: u64 = 200_000_000;
    if !in_own_process("running::a_flood_costs_little_memory_and_is_whole_in_its_file") {
        return;
    }
    let slot = Slot::new();
    let limits = Limits {
        keep: Bytes(128 << 10),
        spill: Bytes::mib(8),
    };
    let dir = Utf8Path::from_path(slot.dir.path()).unwrap().join("spill");
    let mut capture = Capture::new(limits, dir, "0");
    let command = slot.script(&format!("head -c {FLOOD} /dev/zero; printf end"));
    // The pages of the program itself, which the first child has read in, are no part of what a flood costs.
    drop(slot.run("printf warm"));
    let before = high_water();
    let ended = slot.drive(&command, &mut capture);
    let grown = high_water() - before;
    assert_eq!(ended.exit, Exit::Code(0));
    let kept = capture.take().stdout;
    assert_eq!(
        (kept.head.len() + kept.tail.len()) as u64 + kept.omitted,
        FLOOD + 3
    );
    assert!(kept.tail.ends_with(b"\0end"));
    assert_eq!(
        fs_err::metadata(kept.spilled.unwrap()).unwrap().len(),
        8 << 20
    );
    assert!(grown < 2 << 10, "{grown} kB");
}

/// The largest resident set of this process so far, in kilobytes.
fn high_water() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
