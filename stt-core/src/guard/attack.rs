//! The whole guard against a real leaker: sampler, cadence and policy in the loop that a run has.

use std::io::BufRead as _;
use std::io::BufReader;
use std::process::Child;
use std::process::Command;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use crate::clock::Clock;
use crate::clock::Moment;
use crate::guard::Company;
use crate::guard::Policy;
use crate::guard::Sampler;
use crate::guard::SamplerConfig;
use crate::guard::Situation;
use crate::guard::cadence;
use crate::guard::cores;
use crate::guard::policy::fixtures::config;
use crate::guard::priority;
use crate::guard::sample::Around;
use crate::guard::sample::Family;
use crate::guard::sample::Sample;
use crate::units::Bytes;
use crate::units::Percent;
use crate::units::Threshold;

/// Not a test: a child that fills memory as fast as it can, up to an amount that no machine misses.
#[test]
#[ignore = "started by another test"]
fn leaker() {
    const CHUNK: usize = 8 << 20;
    let mut chunks = Vec::with_capacity(400);
    #[expect(clippy::print_stdout, reason = "the parent waits for it")]
    {
        println!("ready");
    }
    for _ in 0..400 {
        chunks.push(std::hint::black_box(vec![1_u8; CHUNK]));
    }
    // It is killed, or its parent is gone and this ends.
    drop(std::io::stdin().lines().next());
    drop(chunks);
}

struct Leaker(Child);

impl Leaker {
    fn start() -> Self {
        let mut command = Command::new(std::env::current_exe().expect("a test has a path"));
        command
            .args([
                "--exact",
                "--ignored",
                "--nocapture",
                "guard::attack::leaker",
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        #[expect(clippy::disallowed_methods, reason = "a test's own child")]
        let mut child = command.spawn().expect("a test can start itself");
        let stdout = child.stdout.take().expect("a pipe");
        let mut lines = BufReader::new(stdout).lines();
        assert!(lines.any(|line| line.is_ok_and(|line| line.ends_with("ready"))));
        Self(child)
    }

    /// The child alone: it has no descendants.
    fn family(&self) -> Option<Family> {
        let statm = fs_err::read_to_string(format!("/proc/{}/statm", self.0.id())).ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        Some(Family {
            memory: Bytes(pages * 4096),
            ..Family::default()
        })
    }
}

impl Drop for Leaker {
    fn drop(&mut self) {
        self.0
            .kill()
            .expect("a child that was not reaped can be signalled");
        self.0.wait().expect("a killed child can be reaped");
    }
}

/// What one attack came to.
#[derive(Debug)]
struct Attack {
    /// How far the memory was over its threshold when the guard wanted it stopped.
    overshoot: Bytes,
    /// From the last sample under the threshold to the decision: the crossing lies in between.
    noticed: Duration,
    /// From the last sample under the threshold until the leaker was dead and reaped.
    dead: Duration,
}

/// How far above the present use the threshold is set.
const ROOM: u64 = 300 << 20;

/// Lets a leaker run against a threshold that is a little above what is used now. A sampler that does
/// not see what a child takes never gets there, and that fails after a while.
fn attack(clock: Clock) -> Attack {
    let mut sampler = Sampler::new(SamplerConfig::new(".".into()), clock);
    let now = sampler.sample(clock.now(), None).memory.expect("memory");
    let share = Bytes(now.used.0 + ROOM).share_of(now.total);
    let share = Percent(share.expect("a machine has memory").0 + 1);
    let mut config = config();
    config.memory_threshold = Threshold::Machine(share);
    config.grace_period = Duration::ZERO;
    let mut policy = Policy::new(&config, cores());
    let situation = Situation {
        running: 1,
        wanted: 1,
        alone: false,
        company: Company::default(),
    };
    let (_sender, timer) = mpsc::channel::<()>();
    let leaker = Leaker::start();
    let deadline = clock.now() + Duration::from_secs(30);
    let mut last_under = clock.now();
    let mut planned = clock.now();
    let mut read_family = true;
    loop {
        let mut family = |_| leaker.family();
        let family: Option<&mut dyn FnMut(Around) -> Option<Family>> =
            if read_family { Some(&mut family) } else { None };
        let sample: Sample = sampler.sample(planned, family);
        let now: Moment = clock.now();
        let verdict = policy.step(&sample, situation, now);
        let memory = sample.memory.expect("memory");
        let line = memory.total.percent(share);
        if verdict.act.is_some() {
            let noticed = clock.now().saturating_sub(last_under);
            drop(leaker);
            return Attack {
                overshoot: memory.used.saturating_sub(line),
                noticed,
                dead: clock.now().saturating_sub(last_under),
            };
        }
        assert!(now < deadline, "the leaker was not seen: {sample:?}");
        if memory.used < line {
            last_under = now;
        }
        let plan = cadence::plan(&config, cores(), &sample, None);
        read_family = plan.read_family;
        planned = clock.now() + plan.sleep;
        let waited = timer.recv_timeout(plan.sleep);
        assert_eq!(waited, Err(mpsc::RecvTimeoutError::Timeout));
    }
}

/// The promise: a leaker at full speed is stopped within 100 MB past the threshold. Others use this
/// machine too, and a single late wake-up of an unprivileged guard is not its fault: nine of ten.
#[test]
fn a_leaker_at_full_speed_is_stopped_within_100_mb() {
    let attacks: Vec<Attack> = std::thread::spawn(|| {
        priority::raise();
        let clock = Clock::start();
        (0..10).map(|_| attack(clock)).collect()
    })
    .join()
    .expect("every attack ends");
    let missed = attacks
        .iter()
        .filter(|attack| attack.overshoot > Bytes(100_000_000));
    assert!(missed.count() <= 1, "{attacks:#?}");
}

#[test]
#[ignore = "a measurement"]
fn how_fast_a_leaker_dies() {
    let measured = std::thread::spawn(|| {
        let raised = priority::raise();
        let clock = Clock::start();
        let mut attacks: Vec<Attack> = (0..100).map(|_| attack(clock)).collect();
        attacks.sort_by_key(|attack| attack.dead);
        (raised, attacks)
    });
    let (raised, attacks) = measured.join().expect("every attack ends");
    let worst = attacks.iter().map(|attack| attack.overshoot).max();
    let noticed = attacks.iter().map(|attack| attack.noticed).max();
    #[expect(clippy::print_stdout, reason = "a measurement")]
    {
        println!("priority: {raised}; 100 attacks; largest overshoot {worst:?}");
        println!("decided at most {noticed:?} after the last sample under the threshold");
        println!(
            "dead: median {:?}, p99 {:?}",
            attacks[50].dead, attacks[98].dead
        );
    }
}
