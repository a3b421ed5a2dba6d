//! Programs that try to outlive their test. Each is a test of this binary that does nothing unless it
//! finds itself among attacks: in a directory with a file `attack`. All of them end by themselves, so
//! that a machine survives that they are not found.

use std::fs::File;
use std::path::Path;
use std::time::Duration;

use super::helper::Slot;

/// How often the hopper hops: for some seconds.
const HOPS: u32 = 10_000;

/// How long an attacker lives at most.
const LIFE: Duration = Duration::from_secs(60);

/// A shell's command that starts an attacker in a session of its own and with a cleared environment.
/// The arguments carry the slot's tag.
pub(super) fn command(slot: &Slot, role: &str) -> String {
    File::create(slot.dir.path().join("attack")).unwrap();
    let program = std::env::current_exe().unwrap();
    format!(
        "setsid env -i {} --ignored --exact process::tests::attackers::{role} --test-threads=1 --skip {} \
         </dev/null >/dev/null 2>&1 &",
        program.display(),
        slot.tag,
    )
}

/// How an attacker tells that it is in place.
fn ready() {
    File::create("ready").unwrap();
}

fn is_attack() -> bool {
    Path::new("attack").exists()
}

/// Waits for its end.
fn live() -> ! {
    let _ = nix::poll::poll(&mut [], nix::poll::PollTimeout::try_from(LIFE).unwrap());
    exit()
}

#[expect(
    unsafe_code,
    reason = "what runs at a usual exit is not fork's business"
)]
fn exit() -> ! {
    // SAFETY: it ends the process, and nothing of it is used afterwards.
    unsafe { libc::_exit(0) }
}

/// Forks; the child gets a session of its own. Says whether this is the child.
#[expect(unsafe_code, reason = "it is what attackers do")]
fn fork() -> bool {
    // SAFETY: the only other thread of this process waits in libtest, and the child allocates nothing.
    unsafe {
        let child = libc::fork() == 0;
        if child {
            libc::setsid();
        }
        child
    }
}

/// Forks and exits every 0.3 ms: whoever reads its number finds nobody behind it.
#[test]
#[ignore = "an attacker, started by other tests"]
fn hopper() {
    if !is_attack() {
        return;
    }
    ready();
    for _ in 0..HOPS {
        let time = nix::sys::time::TimeSpec::new(0, 300_000);
        let _ = nix::poll::ppoll(&mut [], Some(time), None);
        if !fork() {
            exit();
        }
    }
    exit();
}

/// Doubles itself, up to 256 processes.
#[test]
#[ignore = "an attacker, started by other tests"]
fn bomb_of_256() {
    bomb(8);
}

/// Doubles itself, up to 2,048 processes.
#[test]
#[ignore = "an attacker, started by other tests"]
fn bomb_of_2048() {
    bomb(11);
}

fn bomb(doublings: u32) {
    if !is_attack() {
        return;
    }
    for _ in 0..doublings {
        fork();
    }
    ready();
    live();
}

/// Stops itself.
#[test]
#[ignore = "an attacker, started by other tests"]
fn stopped() {
    if !is_attack() {
        return;
    }
    ready();
    nix::sys::signal::raise(nix::sys::signal::SIGSTOP).unwrap();
    live();
}

/// Its main thread exits, and another one stays.
#[test]
#[ignore = "an attacker, started by other tests"]
fn headless() {
    if !is_attack() {
        return;
    }
    super::family::end_main_thread();
    let stat = format!("/proc/{}/stat", std::process::id());
    super::helper::until("its main thread is gone", || {
        std::fs::read_to_string(&stat).unwrap().contains(") Z ")
    });
    ready();
    live();
}
