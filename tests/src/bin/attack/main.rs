//! Attacks the built `cargo stt` with tests that want the whole machine, and measures from outside what its
//! guard promises: `cargo run --release -p stt-tests --bin attack -- [--rounds N] [NAME…]`. Four attacks have options of
//! their own: `attack survivors`, `attack times`, `attack calm` and `attack neighbours`.
//!
//! Every line says what was promised, what was measured, and how loaded the machine was. An attack takes up to
//! ten gigabytes for a moment, so this belongs on a machine that has them to spare.

mod calm;
mod cost;
mod cpu;
mod crowd;
mod foreign;
mod leak;
mod limit;
mod machine;
mod neighbours;
mod observer;
mod survivors;
mod times;
mod verdict;
mod watch;

use std::process::ExitCode;

use verdict::Verdict;

/// What an attack is called, and how it is made. The number is for how many rounds.
type Attack = (&'static str, fn(usize) -> Vec<Verdict>);

const ATTACKS: [Attack; 17] = [
    ("leak-share", leak::share),
    ("leak-size", leak::size),
    ("leak-huge", leak::huge),
    ("leak-size-huge", leak::size_huge),
    ("leak-large-size", leak::large_size),
    ("unshare", leak::unshare),
    ("shed", leak::shed),
    ("leak-limit", leak::limit),
    ("limit", limit::limit),
    ("cost", cost::cost),
    ("cpu-stop", cpu::stop),
    ("cpu-alone", cpu::alone),
    ("cpu-contended", cpu::contended),
    ("page-cache", calm::page_cache),
    ("forks", calm::forks),
    ("tmpfs", calm::tmpfs),
    ("crowd", crowd::crowd),
];

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "what was measured is what it is for"
)]
fn main() -> ExitCode {
    if let Some(code) = foreign::main() {
        return code;
    }
    let mut args = std::env::args().skip(1).peekable();
    if args.next_if(|arg| arg == "survivors").is_some() {
        return survivors::main(args);
    }
    if args.next_if(|arg| arg == "calm").is_some() {
        return calm::main(args);
    }
    if args.next_if(|arg| arg == "neighbours").is_some() {
        return neighbours::main(args);
    }
    if args.next_if(|arg| arg == "times").is_some() {
        return times::main(args);
    }
    let (rounds, names) = match options(args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!(
                "{message}\nusage: attack survivors|times|calm|neighbours …\n       attack [--rounds N] [NAME…], where NAME is one of"
            );
            for (name, _) in ATTACKS {
                eprintln!("  {name}");
            }
            return ExitCode::from(2);
        }
    };
    let mut all_hold = true;
    for (name, attack) in ATTACKS {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        // What a laboratory did not expect is a result as well, and no reason to leave out the rest.
        let verdicts = std::panic::catch_unwind(|| attack(rounds));
        let broken = |_| {
            vec![Verdict::new(
                "the attack comes to its end",
                false,
                "see above".to_owned(),
            )]
        };
        for verdict in verdicts.unwrap_or_else(broken) {
            all_hold &= verdict.holds;
            println!("{}", verdict.line(name));
        }
    }
    if all_hold {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn options(mut args: impl Iterator<Item = String>) -> Result<(usize, Vec<String>), String> {
    let (mut rounds, mut names) = (30, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let number = args.next().and_then(|value| value.parse().ok());
                rounds = number
                    .filter(|rounds| *rounds > 0)
                    .ok_or("--rounds needs a number")?;
            }
            name if ATTACKS.iter().any(|(known, _)| *known == name) => names.push(arg),
            _ => return Err(format!("no such attack: {arg}")),
        }
    }
    Ok((rounds, names))
}
