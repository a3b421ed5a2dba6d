//! What the header of a program says of the machine and of the loader that it needs (`elf(5)`). Pure.

use std::fmt;

/// How much of a file is read to find that out: linkers put both to its beginning.
pub(super) const HEAD: u64 = 64 << 10;

/// A kind of machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    X86,
    X86_64,
    Arm,
    Aarch64,
    /// Another one, by its number.
    Other(u16),
}

/// What a program needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) machine: Machine,
    /// The dynamic loader; `None` for a program that needs none.
    pub(super) interpreter: Option<String>,
}

impl Machine {
    fn of(number: u16) -> Self {
        let known = [Self::X86, Self::X86_64, Self::Arm, Self::Aarch64];
        let found = known.into_iter().find(|one| one.number() == number);
        found.unwrap_or(Self::Other(number))
    }

    /// Its number in headers.
    pub(super) fn number(self) -> u16 {
        match self {
            Self::X86 => 3,
            Self::Arm => 40,
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
            Self::Other(number) => number,
        }
    }

    /// What an image calls it (`GOARCH`).
    pub(super) fn of_image(architecture: &str) -> Option<Self> {
        Some(match architecture {
            "386" => Self::X86,
            "amd64" | "x86_64" => Self::X86_64,
            "arm" => Self::Arm,
            "arm64" | "aarch64" => Self::Aarch64,
            _ => return None,
        })
    }

    /// Whether a program for `other` runs on it: one of 32 bits does on the same with 64.
    pub(super) fn runs(self, other: Self) -> bool {
        self == other
            || matches!(
                (self, other),
                (Self::X86_64, Self::X86) | (Self::Aarch64, Self::Arm)
            )
    }

    /// The one that we were built for.
    #[cfg(test)]
    pub(super) fn own() -> Option<Self> {
        Self::of_image(std::env::consts::ARCH)
    }
}

impl fmt::Display for Machine {
    /// As images have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::X86 => f.write_str("386"),
            Self::X86_64 => f.write_str("amd64"),
            Self::Arm => f.write_str("arm"),
            Self::Aarch64 => f.write_str("arm64"),
            Self::Other(number) => write!(f, "machine {number}"),
        }
    }
}

/// Reads the beginning of a program; `None` when it is none for Linux, such as a script.
pub(super) fn read(head: &[u8]) -> Option<Needs> {
    /// The kind of a part that names the loader.
    const INTERPRETER: u64 = 3;
    let ident = head.get(..16)?;
    if !ident.starts_with(b"\x7fELF") {
        return None;
    }
    let (wide, little) = (ident[4] == 2, ident[5] == 1);
    let number = |at: u64, size: u64| {
        let from = usize::try_from(at).ok()?;
        let bytes = head.get(from..from.checked_add(usize::try_from(size).ok()?)?)?;
        let add = |sum: u64, byte: &u8| (sum << 8) | u64::from(*byte);
        Some(if little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        })
    };
    let machine = Machine::of(u16::try_from(number(18, 2)?).ok()?);
    // Where the table of parts is, how large one is, and how many there are.
    let (table, size, count) = if wide {
        (number(32, 8)?, number(54, 2)?, number(56, 2)?)
    } else {
        (number(28, 4)?, number(42, 2)?, number(44, 2)?)
    };
    let mut interpreter = None;
    for index in 0..count {
        let part = table.checked_add(index * size)?;
        if number(part, 4)? != INTERPRETER {
            continue;
        }
        let (offset, length) = if wide {
            (
                number(part.checked_add(8)?, 8)?,
                number(part.checked_add(32)?, 8)?,
            )
        } else {
            (
                number(part.checked_add(4)?, 4)?,
                number(part.checked_add(16)?, 4)?,
            )
        };
        let from = usize::try_from(offset).ok()?;
        let path = head.get(from..from.checked_add(usize::try_from(length).ok()?)?)?;
        let path = path.split(|byte| *byte == 0).next()?;
        interpreter = Some(String::from_utf8_lossy(path).into_owned());
    }
    Some(Needs {
        machine,
        interpreter,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A program of one part, which names its loader.
    fn program(wide: bool, little: bool, machine: u16, loader: &str) -> Vec<u8> {
        let mut file = vec![0; 200];
        let ident = [
            0x7f,
            b'E',
            b'L',
            b'F',
            1 + u8::from(wide),
            2 - u8::from(little),
        ];
        file[..6].copy_from_slice(&ident);
        let mut put = |at: usize, size: usize, value: u64| {
            let bytes = value.to_be_bytes();
            let mut bytes = bytes[8 - size..].to_vec();
            if little {
                bytes.reverse();
            }
            file[at..at + size].copy_from_slice(&bytes);
        };
        put(18, 2, machine.into());
        let length = loader.len() as u64 + 1;
        let numbers = if wide {
            [
                (32, 8, 64),
                (54, 2, 56),
                (56, 2, 1),
                (64, 4, 3),
                (72, 8, 200),
                (96, 8, length),
            ]
        } else {
            [
                (28, 4, 64),
                (42, 2, 32),
                (44, 2, 1),
                (64, 4, 3),
                (68, 4, 200),
                (80, 4, length),
            ]
        };
        for (at, size, value) in numbers {
            put(at, size, value);
        }
        file.extend(loader.bytes());
        file.push(0);
        file
    }

    #[test]
    fn the_machine_and_the_loader_are_read_in_all_four_forms() {
        for (wide, little, number, machine) in [
            (true, true, 62, Machine::X86_64),
            (true, true, 183, Machine::Aarch64),
            (false, true, 3, Machine::X86),
            (false, true, 40, Machine::Arm),
            (true, false, 22, Machine::Other(22)),
            (false, false, 8, Machine::Other(8)),
        ] {
            let interpreter = Some("/lib/ld.so".to_owned());
            let file = program(wide, little, number, "/lib/ld.so");
            let expected = Needs {
                machine,
                interpreter,
            };
            assert_eq!(read(&file), Some(expected), "{machine}");
            // One that is cut off has not said it.
            assert_eq!(read(&file[..205]), None, "{machine}");
        }
        assert_eq!(read(b"#!/bin/sh\nexec something\n"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_tests_own_program_is_one_of_this_machine() {
        let own = fs_err::read("/proc/self/exe").unwrap();
        let needs = read(&own[..usize::try_from(HEAD).unwrap()]).unwrap();
        assert_eq!(Some(needs.machine), Machine::own());
    }

    #[test]
    fn a_machine_runs_what_is_for_it() {
        let image = |name| Machine::of_image(name).unwrap();
        assert!(image("amd64").runs(Machine::X86_64) && image("amd64").runs(Machine::X86));
        assert!(!image("arm64").runs(Machine::X86_64) && !image("386").runs(Machine::X86_64));
        assert_eq!(Machine::of_image("s390x"), None);
        assert_eq!(image("x86_64").to_string(), "amd64");
    }

    proptest! {
        #[test]
        fn no_bytes_do_harm(mut bytes in proptest::collection::vec(any::<u8>(), 6..300), wide: bool) {
            bytes[..4].copy_from_slice(b"\x7fELF");
            bytes[4] = 1 + u8::from(wide);
            drop(read(&bytes));
        }
    }
}
