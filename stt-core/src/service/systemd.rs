//! The units of a user's systemd: a service that looks once, and a timer that starts it. Pure.

use std::fmt::Write as _;
use std::time::Duration;

use crate::service::Failing;
use crate::service::MARK;
use crate::service::Plan;
use crate::service::UnitFile;
use crate::service::Wanted;
use crate::service::step;

const SERVICE: &str = "cargo-stt-reap.service";
const TIMER: &str = "cargo-stt-reap.timer";

/// Becomes the program that it is given, whose path no `ExecStart=` could begin with.
const BECOME: &str = r#"exec "$0" "$@""#;

/// The units, and how they are taken up.
pub(super) fn plan(wanted: &Wanted<'_>) -> Plan {
    let directory = wanted.config_home.join("systemd/user");
    let file = |name: &str, text: String| UnitFile {
        path: directory.join(name),
        text,
    };
    let reload = |failing| step(failing, &["systemctl", "--user", "daemon-reload"]);
    Plan {
        files: vec![
            file(SERVICE, service(&exec_start(wanted.program.as_str()))),
            file(TIMER, timer(wanted.interval)),
        ],
        links: vec![directory.join("timers.target.wants").join(TIMER)],
        start: vec![
            reload(Failing::Absent),
            step(
                Failing::Refused,
                &["systemctl", "--user", "enable", "--now", TIMER],
            ),
        ],
        stop: vec![step(
            Failing::Absent,
            &["systemctl", "--user", "disable", "--now", TIMER],
        )],
        settle: vec![reload(Failing::Absent)],
    }
}

/// Nothing here may come between the sweep and the processes, temporary directories and control groups of the
/// same user. What needs a mount namespace (`ProtectSystem=`, `PrivateTmp=`) would hide or lock these, and what
/// drops capabilities can't be done by a user's manager. What is left are filters of system calls.
fn service(exec_start: &str) -> String {
    format!(
        "# {MARK}, which replaces it: changes belong into a drop-in.
[Unit]
Description=End what killed runs of cargo stt have left behind

[Service]
Type=oneshot
ExecStart={exec_start}
TimeoutStartSec=5min
Nice=10
IOSchedulingClass=idle
UMask=0077
NoNewPrivileges=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_UNIX AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
"
    )
}

/// `OnBootSec=` may lie in the past when the user logs in: then the timer elapses at once.
fn timer(interval: Duration) -> String {
    let interval = interval.as_secs();
    format!(
        "# {MARK}, which replaces it: changes belong into a drop-in.
[Unit]
Description=Look for what killed runs of cargo stt have left behind

[Timer]
OnBootSec={interval}s
OnUnitInactiveSec={interval}s
AccuracySec=5s

[Install]
WantedBy=timers.target
"
    )
}

/// The command of the service. The first word of an `ExecStart=` is not an argument: systemd refuses quotes,
/// backslashes and control characters in it, and expands no `$` there while it does in all others
/// (`systemd.service(5)`, `config_parse_exec` of version 252). So such a path goes through a shell.
fn exec_start(program: &str) -> String {
    let odd = |c: char| matches!(c, '\'' | '"' | '\\' | '$') || in_bytes(c);
    let mut words = vec![program, "stt", "reap"];
    if program.contains(odd) {
        words.splice(0..0, ["/bin/sh", "-c", BECOME]);
    }
    let quoted: Vec<_> = words.into_iter().map(word).collect();
    quoted.join(" ")
}

/// One word of a command, in quotes: `systemd.syntax(7)` for these and what is escaped in them,
/// `systemd.unit(5)` for `%`, `systemd.service(5)` for `$`.
fn word(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '%' | '$' => quoted.extend([c, c]),
            c if in_bytes(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    let _ = write!(quoted, "\\x{byte:02x}");
                }
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// What no line of a unit may hold as it is: control characters, and what systemd takes for no Unicode.
fn in_bytes(c: char) -> bool {
    let code = u32::from(c);
    c.is_control() || (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a command as `systemd.syntax(7)`, `systemd.unit(5)` and `systemd.service(5)` say. Like systemd it
    /// expands no `$` in the first word, and takes few characters in it.
    fn read(line: &str) -> Result<Vec<String>, String> {
        assert!(!line.contains(['\n', '\r']), "a line: {line:?}");
        let mut rest = line.bytes().peekable();
        let mut words = Vec::new();
        loop {
            while rest.next_if_eq(&b' ').is_some() {}
            let Some(first) = rest.next() else {
                break;
            };
            if first != b'"' {
                return Err(format!("{line}: a word without quotes"));
            }
            let mut word = Vec::new();
            loop {
                match rest.next().ok_or("no end of the quotes")? {
                    b'"' => break,
                    b'\\' => match rest.next().ok_or("nothing after the backslash")? {
                        b'x' => {
                            let digits: Vec<u8> = rest.by_ref().take(2).collect();
                            let digits = std::str::from_utf8(&digits).map_err(|e| e.to_string())?;
                            let byte = u8::from_str_radix(digits, 16).map_err(|e| e.to_string())?;
                            if byte == 0 {
                                return Err("no byte 0".to_owned());
                            }
                            word.push(byte);
                        }
                        same @ (b'"' | b'\\') => word.push(same),
                        other => return Err(format!("an escape of {other}")),
                    },
                    byte => word.push(byte),
                }
            }
            if !matches!(rest.peek(), None | Some(b' ')) {
                return Err("something behind the quotes".to_owned());
            }
            let word = String::from_utf8(word).map_err(|error| error.to_string())?;
            let word = undoubled(&word, '%')?;
            if words.is_empty() {
                let refused = |c: char| c < ' ' || matches!(c, '"' | '\'' | '\\' | '\x7f');
                if word.contains(refused) || word.contains(in_bytes) {
                    return Err(format!("no name of a program: {word:?}"));
                }
                words.push(word);
            } else {
                words.push(undoubled(&word, '$')?);
            }
        }
        Ok(words)
    }

    /// Undoes the doubling of a character; one that stands alone would be expanded.
    fn undoubled(word: &str, special: char) -> Result<String, String> {
        let doubled = format!("{special}{special}");
        let parts: Vec<_> = word.split(&doubled).collect();
        if parts.iter().any(|part| part.contains(special)) {
            return Err(format!("a single {special} in {word}"));
        }
        Ok(parts.join(&special.to_string()))
    }

    /// What is executed with which arguments, after the shell if there is one.
    fn executed(line: &str) -> Vec<String> {
        let words = read(line).unwrap();
        match &words[..] {
            [shell, option, script, rest @ ..] if shell == "/bin/sh" => {
                assert_eq!((option.as_str(), script.as_str()), ("-c", BECOME));
                rest.to_vec()
            }
            _ => words,
        }
    }

    #[test]
    fn a_plain_path_is_executed_as_it_is() {
        for (program, line) in [
            ("/a/cargo-stt", r#""/a/cargo-stt" "stt" "reap""#),
            ("/a b/größe", r#""/a b/größe" "stt" "reap""#),
            ("/50%/x;y", r#""/50%%/x;y" "stt" "reap""#),
            (
                r#"/it's $HOME\n"/x"#,
                r#""/bin/sh" "-c" "exec \"$$0\" \"$$@\"" "/it's $$HOME\\n\"/x" "stt" "reap""#,
            ),
            (
                "/a\nb\u{85}",
                r#""/bin/sh" "-c" "exec \"$$0\" \"$$@\"" "/a\x0ab\xc2\x85" "stt" "reap""#,
            ),
        ] {
            assert_eq!(exec_start(program), line);
            assert_eq!(executed(line), [program, "stt", "reap"]);
        }
    }

    #[test]
    fn what_would_be_expanded_is_found_by_the_reader() {
        for line in [
            r#""/bin/x" "$HOME""#,
            r#""/bin/x" "%h""#,
            r#""/it's""#,
            r#""/a\x00""#,
            r#""/a" b"#,
            r#""/a"#,
        ] {
            assert!(read(line).is_err(), "{line}");
        }
    }

    #[test]
    fn the_timer_has_the_interval() {
        let text = timer(Duration::from_secs(90));
        assert!(text.contains("\nOnBootSec=90s\nOnUnitInactiveSec=90s\n"));
        assert!(text.contains("\n[Install]\nWantedBy=timers.target\n"));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whatever_the_path_is_it_is_what_is_executed(
            path in r#"/[^\x00]{0,12}|/[ %$"'\\;{}\n\t\x01\x7fa-c]{0,12}"#,
        ) {
            prop_assert_eq!(executed(&exec_start(&path)), [path.as_str(), "stt", "reap"]);
        }
    }
}
