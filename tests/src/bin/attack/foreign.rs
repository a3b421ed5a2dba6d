//! Processes that have nothing to do with a run: this very program, started again, to be in the way.

use std::io::BufRead as _;
use std::io::Read as _;
use std::io::Write as _;
use std::process::Child;
use std::process::Command;
use std::process::ExitCode;
use std::process::Stdio;

const SPIN: &str = "--as-spinner";
const HOLD: &str = "--as-holder";

/// Processes of others. They end with this.
pub(crate) struct Foreign(Vec<Child>);

impl Foreign {
    /// So many processes that each use all of a core that they can get.
    pub(crate) fn spinning(count: usize) -> Self {
        Self((0..count).map(|_| start(&[SPIN])).collect())
    }

    /// A process that holds so many bytes; returns when it has them.
    pub(crate) fn holding(bytes: i64) -> Self {
        let mut child = start(&[HOLD, &bytes.to_string()]);
        let stdout = child.stdout.as_mut().expect("it is piped");
        let mut line = String::new();
        std::io::BufReader::new(stdout)
            .read_line(&mut line)
            .expect("it says so");
        Self(vec![child])
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        for child in &mut self.0 {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the attacker starts its own children"
)]
fn start(args: &[&str]) -> Child {
    // Not its path: somebody may build it anew meanwhile.
    let mut command = Command::new("/proc/self/exe");
    command
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command.spawn().expect("it starts")
}

/// What this program does when it is one of these processes. It ends with whoever started it.
#[expect(clippy::print_stdout, reason = "the parent waits for it")]
pub(crate) fn main() -> Option<ExitCode> {
    let mut args = std::env::args().skip(1);
    match args.next()?.as_str() {
        SPIN => {
            std::thread::spawn(|| {
                loop {
                    std::hint::spin_loop();
                }
            });
        }
        HOLD => {
            let bytes = args.next()?.parse().ok()?;
            let memory = vec![1_u8; bytes];
            println!("{}", memory[bytes / 2]);
            std::io::stdout().flush().ok()?;
            std::mem::forget(memory);
        }
        _ => return None,
    }
    drop(std::io::stdin().read_to_end(&mut Vec::new()));
    Some(ExitCode::SUCCESS)
}
