//! The rules, with what each must find and what it must let pass.

use super::layers;
use super::purity;
use super::shape;
use super::source::Finding;
use super::source::Source;

/// A path below a crate's `src/`, after the crate's name, and a text.
type Example = (&'static str, &'static str);

/// A house rule.
pub(crate) struct Rule {
    /// What it is called.
    pub(crate) name: &'static str,
    /// What to do where it is broken.
    pub(crate) what_to_do: &'static str,
    /// Finds what breaks it.
    pub(crate) check: fn(&Source) -> Vec<Finding>,
    /// Texts that break it.
    pub(crate) wrong: &'static [Example],
    /// Texts close to those that don't.
    pub(crate) right: &'static [Example],
}

/// Three, thirteen, 78 and 500 lines of nothing in particular, for what is too long.
macro_rules! lines {
    (3) => {
        "let a = 1;\nlet b = 2;\nlet c = 3;\n"
    };
    (13) => {
        concat!(lines!(3), lines!(3), lines!(3), lines!(3), "f();\n")
    };
    (78) => {
        concat!(
            lines!(13),
            lines!(13),
            lines!(13),
            lines!(13),
            lines!(13),
            lines!(13)
        )
    };
    (500) => {
        concat!(
            lines!(78),
            lines!(78),
            lines!(78),
            lines!(78),
            lines!(78),
            lines!(78),
            lines!(13),
            lines!(13),
            lines!(3),
            lines!(3)
        )
    };
}

/// The house rules.
pub(crate) const RULES: &[Rule] = &[
    Rule {
        name: "layers",
        what_to_do: "imports go down only (words, config, rooms, run): pass a value or a closure down, or move \
                     what both need into the row below",
        check: layers::check,
        wrong: &[
            ("stt-core/guard/policy.rs", "use crate::process::Family;\n"),
            (
                "stt-core/guard/policy.rs",
                "fn f() -> crate::run::Machine {}\n",
            ),
            (
                "stt-core/guard/policy.rs",
                "use super::super::process::Family;\n",
            ),
            ("stt-core/guard/mod.rs", "use super::process::Family;\n"),
            (
                "stt-core/guard/sampler/linux.rs",
                "use super::super::super::report::Event;\n",
            ),
            ("stt-core/config/mod.rs", "use crate::report::Event;\n"),
            ("stt-core/units.rs", "use crate::config::Config;\n"),
            (
                "stt-core/units.rs",
                "#[cfg(test)]\nmod tests {\n    use crate::run::Machine;\n}\n",
            ),
            ("stt-core/attic/mod.rs", "fn f() {}\n"),
            ("stt-core/run/mod.rs", "use crate::attic::Thing;\n"),
        ],
        right: &[
            (
                "stt-core/guard/policy.rs",
                "use crate::units::Bytes;\nuse super::sample::Sample;\n",
            ),
            (
                "stt-core/guard/policy.rs",
                "use crate::config::GuardConfig;\nuse crate::guard::sample::Sample;\n",
            ),
            (
                "stt-core/run/machine.rs",
                "use crate::guard::Sample;\nuse crate::report::Event;\n",
            ),
            (
                "stt-core/outcome.rs",
                "use crate::units::Bytes;\n// crate::run is above us\n",
            ),
            (
                "stt-core/guard/policy.rs",
                "//! See [`crate::run`].\nconst A: &str = \"crate::run::x\";\n",
            ),
            ("stt-core/lib.rs", "pub mod run;\n"),
            ("cargo-stt/main.rs", "use crate::commands::run;\n"),
        ],
    },
    Rule {
        name: "purity",
        what_to_do: "this file only decides: take time, chance and what was read as arguments, and act in another file",
        check: purity::check,
        wrong: &[
            ("stt-core/guard/policy.rs", "use std::time::Instant;\n"),
            ("stt-core/guard/parse/meminfo.rs", "use fs_err as fs;\n"),
            ("stt-core/checkpoint/format.rs", "use std::fs::File;\n"),
            (
                "stt-core/schedule/order.rs",
                "fn f() { std::env::var(\"A\"); }\n",
            ),
            (
                "stt-core/run/machine.rs",
                "fn f() { nix::unistd::getpid(); }\n",
            ),
            (
                "stt-core/run/machine/ending.rs",
                "fn f() { std::thread::yield_now(); }\n",
            ),
            (
                "stt-core/process/exit.rs",
                "fn f() { libc::WIFEXITED(0); }\n",
            ),
            (
                "stt-core/discovery/new.rs",
                "//! What is new. Pure.\nuse fs_err as fs;\n",
            ),
            (
                "stt-core/discovery/filter.rs",
                "fn f(clock: crate::clock::Clock) {}\n",
            ),
        ],
        right: &[
            ("stt-core/guard/sampler.rs", "use std::time::Instant;\n"),
            (
                "stt-core/checkpoint/format.rs",
                "fn f(at: std::time::SystemTime) {}\n",
            ),
            (
                "stt-core/guard/policy.rs",
                "use crate::clock::Moment;\n/// Not an Instant.\nfn f() {}\n",
            ),
            (
                "stt-core/guard/policy.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n",
            ),
            ("stt-core/guard/policy_file.rs", "use std::fs;\n"),
            ("cargo-stt/guard/policy.rs", "use std::fs;\n"),
        ],
    },
    Rule {
        name: "printing",
        what_to_do: "hand the text to the caller; cargo-stt/src/printer.rs is the only file that writes to a standard \
                     stream",
        check: shape::only_the_printer_prints,
        wrong: &[
            ("stt-core/run/mod.rs", "fn f() { println!(\"x\"); }\n"),
            ("stt-core/run/mod.rs", "fn f() { eprint!(\"x\"); }\n"),
            (
                "stt-core/run/mod.rs",
                "#[cfg(test)]\nmod torture;\nfn f() { eprint!(\"x\"); }\n",
            ),
            (
                "stt-core/run/mod.rs",
                "fn f() { std::io::stdout().flush(); }\n",
            ),
            ("stt-core/printer.rs", "fn f() { println!(\"x\"); }\n"),
            (
                "cargo-stt/render/human.rs",
                "fn f() { anstream::eprintln!(\"x\"); }\n",
            ),
            (
                "cargo-stt/main.rs",
                "fn f() { io::stderr().write_all(b\"x\"); }\n",
            ),
        ],
        right: &[
            (
                "cargo-stt/printer.rs",
                "fn f() { std::io::stdout().flush(); }\n",
            ),
            (
                "stt-core/process/spawn.rs",
                "fn f() { command.stdout(Stdio::piped()); child.stderr.take(); }\n",
            ),
            (
                "stt-core/run/mod.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    fn g() { println!(\"x\"); }\n}\n",
            ),
            ("cargo-stt/main.rs", "/// Never `println!()`.\nfn f() {}\n"),
        ],
    },
    Rule {
        name: "environment",
        what_to_do: "take it as an argument; cargo-stt/src/env.rs is the only file that reads the environment",
        check: shape::only_env_reads_the_environment,
        wrong: &[
            (
                "stt-core/discovery/list.rs",
                "fn f() { std::env::var_os(\"PATH\"); }\n",
            ),
            ("stt-core/env.rs", "use std::env;\n"),
            (
                "stt-core/discovery/binary.rs",
                "use std::env::{join_paths, var};\n",
            ),
            (
                "stt-core/discovery/binary.rs",
                "fn f() { std::env::join_paths(std::env::var_os(\"A\")); }\n",
            ),
            (
                "cargo-stt/settings.rs",
                "fn f() { env::var(\"STT_JOBS\"); }\n",
            ),
        ],
        right: &[
            (
                "stt-core/discovery/environment.rs",
                "use std::env::join_paths;\n",
            ),
            (
                "cargo-stt/env.rs",
                "fn f() { std::env::var_os(\"PATH\"); }\n",
            ),
            (
                "cargo-stt/settings.rs",
                "use crate::env::STT_JOBS;\nconst A: &str = env!(\"CARGO_PKG_NAME\");\n",
            ),
            (
                "stt-core/process/spawn.rs",
                "fn f() {}\n#[cfg(test)]\nmod tests {\n    use std::env;\n}\n",
            ),
        ],
    },
    Rule {
        name: "file length",
        what_to_do: "split it: a file has at most 500 lines before its tests",
        check: shape::file_is_short,
        wrong: &[
            ("stt-core/units.rs", concat!("//! Long.\n", lines!(500))),
            (
                "stt-core/run/machine.rs",
                concat!("#[cfg(test)]\nmod torture;\n", "//! Long.\n", lines!(500)),
            ),
        ],
        right: &[(
            "stt-core/units.rs",
            concat!(lines!(500), "#[cfg(test)]\nmod tests {}\n"),
        )],
    },
    Rule {
        name: "function length",
        what_to_do: "split it: a function has at most 80 lines",
        check: shape::functions_are_short,
        wrong: &[
            (
                "stt-core/units.rs",
                concat!(
                    "pub fn long()\nwhere\n    u8: Copy,\n{\n",
                    lines!(78),
                    "g();\n",
                    "}\n"
                ),
            ),
            (
                "stt-core/units.rs",
                concat!(
                    "#[cfg(test)]\nmod tests {\n    fn long(a: [u8; 4]) {\n",
                    lines!(78),
                    "g();\n",
                    "    }\n}\n"
                ),
            ),
            (
                "cargo-stt/cli.rs",
                concat!(
                    "impl A {\n    pub(crate) async fn long(&self) {\n",
                    lines!(78),
                    "g();\n",
                    "    }\n}\n"
                ),
            ),
        ],
        right: &[
            (
                "stt-core/units.rs",
                concat!("fn full() {\n", lines!(78), "}"),
            ),
            (
                "stt-core/units.rs",
                concat!(
                    "trait T {\n    fn a(&self) -> [u8; 4];\n",
                    lines!(78),
                    "g();\n",
                    "}\n"
                ),
            ),
            (
                "stt-core/units.rs",
                concat!("struct S {\n    f: fn (u8),\n", lines!(78), "g();\n", "}\n"),
            ),
        ],
    },
    Rule {
        name: "imports",
        what_to_do: "write one `use crate::…;` for each name",
        check: shape::imports_stand_alone,
        wrong: &[
            (
                "stt-core/run/mod.rs",
                "use crate::units::{Bytes, Percent};\n",
            ),
            (
                "stt-core/run/mod.rs",
                "use crate::units::{\n    Bytes,\n    Percent,\n};\n",
            ),
            (
                "stt-core/run/mod.rs",
                "pub(crate) use crate::units::{Bytes, Percent};\n",
            ),
            (
                "stt-core/run/mod.rs",
                "fn f() {\n    use super::event::{Event, Action};\n}\n",
            ),
            (
                "cargo-stt/main.rs",
                "use stt_core::units::{Bytes, Percent};\n",
            ),
        ],
        right: &[
            (
                "stt-core/run/mod.rs",
                "use crate::units::Bytes;\npub use crate::units::Percent as Share;\n",
            ),
            (
                "stt-core/run/mod.rs",
                "use std::{fmt, io};\nuse super::*;\n",
            ),
        ],
    },
    Rule {
        name: "purpose",
        what_to_do: "open the file with a `//!` line that tells what it is for",
        check: shape::opens_with_its_purpose,
        wrong: &[
            ("stt-core/units.rs", "use std::fmt;\n"),
            ("stt-core/units.rs", "// A plain comment.\n"),
            ("stt-core/units.rs", "//!\n//! Late.\n"),
            ("stt-core/units.rs", ""),
        ],
        right: &[("stt-core/units.rs", "//! Sizes.\n")],
    },
];
