//! `attack times [--rounds N] [NAME…]`: from the moment at which a family crosses its line, how long until each
//! member has its KILL, and until the last one is dead; side by side with earlyoom where that is installed, or with
//! one call that kills the same family.
//!
//! The lines of `cargo stt` are sizes of the own family, so nobody else's memory counts. earlyoom knows only the
//! machine: it gets a pid namespace and a `/proc` of its own with nobody but the hog in it, and can't see anybody
//! else.

use std::os::unix::process::CommandExt as _;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;
use std::time::Duration;
use std::time::Instant;

use nix::sys::signal::Signal;
use nix::unistd::Pid;
use stt_tests::DEADLINE;
use stt_tests::Identity;
use stt_tests::Lab;
use stt_tests::siege::Families;
use stt_tests::siege::program;
use stt_tests::until;

use crate::foreign::Foreign;
use crate::machine;
use crate::verdict::Figures;
use crate::verdict::Verdict;
use crate::verdict::megabytes;
use crate::verdict::millis;
use crate::watch::Line;
use crate::watch::Seen;
use crate::watch::Watch;

/// A family that takes memory.
struct Scene {
    name: &'static str,
    fixture: &'static str,
    /// How many of its members take memory; they made themselves known last.
    large: usize,
    /// How many stand beside them.
    beside: usize,
    /// What it takes at most, in bytes.
    most: i64,
    /// The line, in bytes.
    line: i64,
    /// How many foreign processes spin.
    spinning: usize,
    /// With whom it is compared.
    rival: Rival,
    promise: &'static str,
    /// Whether the promise holds, by what was seen in all rounds.
    holds: fn(&[Round]) -> bool,
}

/// Who else ends the same family.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rival {
    Nobody,
    /// One who knows the family's group and kills it with one call, the moment that it is over the line.
    Bare,
    /// earlyoom, where it can be had.
    Earlyoom,
}

/// A round.
#[derive(Clone, Copy)]
struct Round {
    seen: Seen,
    /// From the crossing until whoever killed has ended; the checkpoint was synced before.
    over: Duration,
}

const SCENES: [Scene; 6] = [
    Scene {
        name: "kill",
        fixture: "hog",
        large: 1,
        beside: 0,
        most: 3_000_000_000,
        line: 400_000_000,
        spinning: 0,
        rival: Rival::Nobody,
        promise: "KILL within 15 ms of the crossing (p99), at most 100 MB past the line",
        holds: kill_in_time,
    },
    Scene {
        name: "kill-spinning",
        fixture: "hog",
        large: 1,
        beside: 0,
        most: 3_000_000_000,
        line: 400_000_000,
        spinning: 64,
        rival: Rival::Nobody,
        promise: "the same beside 64 processes that spin",
        holds: kill_in_time,
    },
    Scene {
        name: "thousand",
        fixture: "hog_beside_a_thousand",
        large: 1,
        beside: 1000,
        most: 3_000_000_000,
        line: 400_000_000,
        spinning: 0,
        rival: Rival::Bare,
        promise: "with 1,000 idle processes all dead and the checkpoint synced within 100 ms",
        holds: |rounds| percentile(rounds, 99, |round| round.over) <= 100.0,
    },
    Scene {
        name: "hog",
        fixture: "hog",
        large: 1,
        beside: 0,
        most: 7_000_000_000,
        line: 5_500_000_000,
        spinning: 0,
        rival: Rival::Earlyoom,
        promise: "6 GB dead within 50 ms + 70 ms a GB",
        holds: dead_in_time,
    },
    Scene {
        name: "hog-no-term",
        fixture: "hog_that_ignores_term",
        large: 1,
        beside: 0,
        most: 7_000_000_000,
        line: 5_500_000_000,
        spinning: 0,
        rival: Rival::Earlyoom,
        promise: "the same when it ignores TERM",
        holds: dead_in_time,
    },
    Scene {
        name: "ten-hogs",
        fixture: "ten_hogs",
        large: 10,
        beside: 0,
        most: 7_000_000_000,
        line: 5_500_000_000,
        spinning: 0,
        // earlyoom ends one of them, and then there is room again.
        rival: Rival::Bare,
        promise: "the same for ten hogs of 600 MB",
        holds: dead_in_time,
    },
];

fn percentile(rounds: &[Round], percent: usize, of: impl Fn(&Round) -> Duration) -> f64 {
    Figures::new(rounds.iter().map(|round| millis(of(round)))).percentile(percent)
}

fn kill_in_time(rounds: &[Round]) -> bool {
    let most = rounds.iter().map(|round| round.seen.overshoot).max();
    percentile(rounds, 99, |round| round.seen.killed) <= 15.0
        && most.is_some_and(|most| most <= 100_000_000)
}

fn dead_in_time(rounds: &[Round]) -> bool {
    let in_time = |round: &Round| {
        millis(round.seen.dead) <= 50.0 + 70.0 * megabytes(round.seen.held) / 1000.0
    };
    !rounds.is_empty() && rounds.iter().all(in_time)
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was measured is what it is for"
)]
pub(crate) fn main(mut args: impl Iterator<Item = String>) -> ExitCode {
    let (mut rounds, mut names) = (10, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                rounds = args
                    .next()
                    .and_then(|value| value.parse().ok())
                    .unwrap_or(0);
            }
            name if SCENES.iter().any(|scene| scene.name == name) => names.push(arg),
            _ => rounds = 0,
        }
    }
    if rounds == 0 {
        let names = SCENES.map(|scene| scene.name);
        eprintln!("usage: attack times [--rounds N] [NAME…], where NAME is one of {names:?}");
        return ExitCode::from(2);
    }
    let mut all_hold = true;
    for scene in &SCENES {
        if names.is_empty() || names.iter().any(|name| name == scene.name) {
            for verdict in scene.measure(rounds) {
                all_hold &= verdict.holds;
                println!("{}", verdict.line(scene.name));
            }
        }
    }
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Scene {
    /// Ours and the rival's in turn, so that both meet the same machine.
    fn measure(&self, rounds: usize) -> Vec<Verdict> {
        let (mut ours, mut theirs, mut unseen) = (Vec::new(), Vec::new(), 0);
        let compared =
            self.rival == Rival::Bare || (self.rival == Rival::Earlyoom && has_earlyoom());
        for _ in 0..rounds {
            if !has_room(self.most) {
                let what = "SKIPPED: less than 4 GB would be left for others".to_owned();
                return vec![Verdict::new(self.promise, true, what)];
            }
            match self.under_stt() {
                Some(round) => ours.push(round),
                None => unseen += 1,
            }
            theirs.extend(match self.rival {
                Rival::Bare => self.under_nobody(),
                Rival::Earlyoom if compared => self.under_earlyoom(),
                Rival::Nobody | Rival::Earlyoom => None,
            });
        }
        let holds = unseen == 0 && (self.holds)(&ours);
        let mut verdicts = vec![Verdict::new(self.promise, holds, told(&ours, unseen))];
        let rival = match self.rival {
            Rival::Nobody => return verdicts,
            Rival::Bare => "one call to kill, for comparison",
            Rival::Earlyoom => "earlyoom, for comparison",
        };
        let what = if compared {
            told(&theirs, rounds - theirs.len())
        } else {
            "SKIPPED: earlyoom is not installed, or no right to make a pid namespace".to_owned()
        };
        verdicts.push(Verdict::new(rival, true, what));
        verdicts
    }

    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    fn under_stt(&self) -> Option<Round> {
        let lab = Lab::shared("adversary");
        let foreign = Foreign::spinning(self.spinning);
        let size = format!("{}", self.line / 1_000_000) + "MB";
        let mut running = lab
            .json([
                "--exact",
                self.fixture,
                "calm",
                "-j",
                "1",
                "--cpu-action",
                "off",
            ])
            .args([
                "--memory-threshold",
                &size,
                "--config",
                "guard.grace-period=0s",
            ])
            .env("ADVERSARY_MEMORY", self.most.to_string())
            .env("ADVERSARY_CUE", "go")
            .env("ADVERSARY_THEN", "hang")
            .spawn();
        let families = Families::new(&lab, &[self.fixture]);
        let members = running.wait_for("the family is there", |_| self.complete(&families));
        let (beside, large) = members.split_at(self.beside);
        let line = Line::Family(self.line - held(beside));
        let watch = Watch::start(large, beside.to_vec(), line);
        lab.go();
        running.wait_for_exit();
        let ended = Instant::now();
        let seen = watch.finish();
        drop(running.finish());
        drop(foreign);
        seen.map(|seen| Round {
            seen,
            over: ended - seen.crossed,
        })
    }

    /// The same family by itself, with its group killed as soon as the large members are over the line.
    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    fn under_nobody(&self) -> Option<Round> {
        let lab = Lab::shared("adversary");
        let mut command: Command = lab.command(program(&lab, "memory"));
        command
            .args(["--exact", self.fixture])
            .env("ADVERSARY_MEMORY", self.most.to_string())
            .env("ADVERSARY_CUE", "go")
            .env("ADVERSARY_THEN", "hang")
            .process_group(0)
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let mut leader = command.spawn().expect("the fixture was built");
        let group = Pid::from_raw(leader.id().cast_signed());
        let families = Families::new(&lab, &[self.fixture]);
        let members = until("the family is there", DEADLINE, || self.complete(&families));
        let (beside, large) = members.split_at(self.beside);
        let line = self.line - held(beside);
        let watch = Watch::start(large, beside.to_vec(), Line::Family(line));
        let size = || -> i64 { large.iter().map(|who| machine::resident(who.pid)).sum() };
        lab.go();
        until("it is over the line", DEADLINE, || {
            (size() >= line).then_some(())
        });
        // Our own child is not reaped, so nobody else can have its number.
        nix::sys::signal::killpg(group, Signal::SIGKILL).expect("it is our own");
        drop(leader.wait());
        let ended = Instant::now();
        let seen = watch.finish();
        seen.map(|seen| Round {
            seen,
            over: ended - seen.crossed,
        })
    }

    #[expect(clippy::disallowed_methods, reason = "time is what is measured")]
    fn under_earlyoom(&self) -> Option<Round> {
        let lab = Lab::shared("adversary");
        let memory = machine::settled();
        let line = memory.total - memory.used - self.line;
        let mut cell = self.cell(&lab, line);
        let families = Families::new(&lab, &[self.fixture]);
        let members = until("the family is there", DEADLINE, || self.complete(&families));
        let watch = Watch::start(&members, Vec::new(), Line::Available(line));
        lab.go();
        let over = until("somebody is dead", DEADLINE, || {
            let alive = members.iter().any(|member| member.lives());
            (!alive || cell.0.try_wait().expect("our own child").is_some()).then(Instant::now)
        });
        let seen = watch.finish();
        drop(cell);
        seen.map(|seen| Round {
            seen,
            over: over.saturating_duration_since(seen.crossed),
        })
    }

    /// A pid namespace in which a hog and an earlyoom are alone. The hog sees the outer `/proc` and makes itself known
    /// by its outer number; earlyoom sees only the inner one.
    #[expect(
        clippy::disallowed_methods,
        reason = "the attacker starts its own children"
    )]
    fn cell(&self, lab: &Lab, line: i64) -> Cell {
        let (term, kill) = (line / 1024, line / 1024 - 300_000);
        let script = format!(
            "unshare --mount-proc earlyoom -r 0 -M {term},{kill} & \"$0\" --exact {}; kill %1; wait",
            self.fixture
        );
        let mut command: Command = lab.command("unshare");
        command
            .args(["--pid", "--fork", "--kill-child", "bash", "-c", &script])
            .arg(program(lab, "memory"))
            .env("ADVERSARY_MEMORY", self.most.to_string())
            .env("ADVERSARY_CUE", "go")
            .env("ADVERSARY_THEN", "hang")
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Cell(command.spawn().expect("unshare starts"))
    }

    /// The members, once all of them are known.
    fn complete(&self, families: &Families) -> Option<Vec<Identity>> {
        let members = families.members(self.fixture);
        (members.len() >= self.large + self.beside).then_some(members)
    }
}

/// A namespace that ends, with all in it, when this is dropped.
struct Cell(Child);

impl Drop for Cell {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What these have, as the guard counts those who are many and share what they have, in bytes.
fn held(members: &[Identity]) -> i64 {
    let shares = members.iter().map(|who| machine::proportional(who.pid));
    shares.sum()
}

/// Whether there is memory to spare for a family of this size.
fn has_room(most: i64) -> bool {
    let memory = machine::settled();
    memory.total - memory.used > most + 4_000_000_000
}

/// Whether earlyoom and a namespace for it are to be had.
#[expect(
    clippy::disallowed_methods,
    reason = "the attacker starts its own children"
)]
fn has_earlyoom() -> bool {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--fork", "--mount-proc", "earlyoom", "-v"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn told(rounds: &[Round], unseen: usize) -> String {
    let figures = |of: fn(&Round) -> f64| Figures::new(rounds.iter().map(of));
    let killed = figures(|round| millis(round.seen.killed)).told("ms");
    let dead = figures(|round| millis(round.seen.dead)).told("ms");
    let over = figures(|round| millis(round.over)).told("ms");
    let past = figures(|round| megabytes(round.seen.overshoot)).told("MB");
    let held = figures(|round| megabytes(round.seen.held)).percentile(50);
    format!(
        "killed {killed}; dead {dead}; over {over}; past the line {past}; held {held:.0} MB; {unseen} rounds without \
         a crossing and a KILL"
    )
}
