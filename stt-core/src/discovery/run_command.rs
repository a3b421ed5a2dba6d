//! How one test is started.

use std::ffi::OsString;

use crate::command::CommandLine;
use crate::script::Wrapper;

use super::binary::TestBinary;
use super::doctests::doctest_command;
use super::list::ListedTest;
use super::list::Protocol;
use super::variables;

/// The command that runs one test: `BIN --exact NAME --nocapture [--ignored] [EXTRA…]`, or the bare binary
/// where that is one test as a whole, behind its wrapper. `extra_env` is what [`per_test`](super::per_test) says.
pub fn test_command(
    binary: &TestBinary,
    test: &ListedTest,
    wrapper: Option<&Wrapper>,
    extra_args: &[String],
    extra_env: Vec<(OsString, OsString)>,
) -> CommandLine {
    let mut command = match test.protocol {
        Protocol::Libtest => {
            // An ignored test runs only with this flag, and any other only without it.
            let ignored = test.ignored.then_some("--ignored");
            binary.command(
                wrapper,
                ["--exact", &test.name, "--nocapture"]
                    .into_iter()
                    .chain(ignored),
            )
        }
        Protocol::Opaque => binary.command(wrapper, []),
        Protocol::Doctest => {
            let mut command = doctest_command(binary, test);
            command.extra_env.extend(extra_env);
            return command;
        }
    };
    command.extra_env.extend(extra_env);
    command.args(extra_args)
}

/// The command, for a program that finds so many listening sockets as its descriptors 3, 4 and so on. It is told of them
/// as systemd tells its services (`sd_listen_fds(3)`), and that needs its process id: a shell that becomes it knows that.
pub fn with_sockets(mut command: CommandLine, count: usize) -> CommandLine {
    const SHELL: &str = "/bin/sh";
    const SCRIPT: &str = "export LISTEN_PID=$$; exec \"$@\"";
    let names = (0..count).map(|index| format!("{}{index}", variables::STT_PORT_PREFIX));
    let names: Vec<_> = names.collect();
    let before = ["-c", SCRIPT, SHELL].map(OsString::from);
    let program = std::mem::replace(&mut command.program, SHELL.into());
    command
        .args
        .splice(0..0, before.into_iter().chain([program]));
    command
        .env("LISTEN_FDS", count.to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::discovery::binary::tests::binary;
    use crate::discovery::manifest::Harness;
    use crate::script::RelativeTo;
    use crate::script::ScriptCommand;
    use crate::script::TargetRunner;

    #[test]
    fn a_test_is_called_by_its_exact_name() {
        let cases = [
            (
                Protocol::Libtest,
                false,
                "/t/debug/deps/it-1 --exact 'a b' --nocapture",
            ),
            (
                Protocol::Libtest,
                true,
                "/t/debug/deps/it-1 --exact 'a b' --nocapture --ignored",
            ),
            (Protocol::Opaque, false, "/t/debug/deps/it-1"),
        ];
        for (protocol, ignored, shown) in cases {
            let test = ListedTest {
                name: "a b".into(),
                ignored,
                bench: false,
                protocol,
            };
            let command = test_command(
                &binary(Harness::Libtest, None),
                &test,
                None,
                &[],
                Vec::new(),
            );
            assert_eq!(command.shown(), shown);
        }
    }

    #[test]
    fn a_wrapper_stands_before_the_binary_and_extra_arguments_behind_the_name() {
        let wrapper = Wrapper {
            name: "w".into(),
            command: ScriptCommand {
                program: "/w/wrap".to_owned(),
                args: vec!["-v".to_owned()],
                relative_to: RelativeTo::None,
                env: vec![("W".to_owned(), "1".to_owned())],
            },
            target_runner: TargetRunner::AroundWrapper,
        };
        let test = ListedTest {
            name: "a".into(),
            ignored: false,
            bench: false,
            protocol: Protocol::Libtest,
        };
        let binary = binary(Harness::Libtest, Some(&["wine"]));
        let extra = ["--report-time".to_owned()];
        let env = vec![("T".into(), "2".into())];
        let command = test_command(&binary, &test, Some(&wrapper), &extra, env);
        assert_eq!(
            command.shown(),
            "wine /w/wrap -v /t/debug/deps/it-1 --exact a --nocapture --report-time"
        );
        assert_eq!(command.extra_env.len(), 2);
    }

    #[test]
    fn who_finds_sockets_is_told_as_a_service_of_systemd() {
        let command =
            CommandLine::new("/t/it-1", "/".into(), Arc::default()).args(["--exact", "a b"]);
        let command = with_sockets(command, 2);
        let script = r#"'export LISTEN_PID=$$; exec "$@"'"#;
        assert_eq!(
            command.shown(),
            format!("/bin/sh -c {script} /bin/sh /t/it-1 --exact 'a b'")
        );
        let env = [
            ("LISTEN_FDS", "2"),
            ("LISTEN_FDNAMES", "STT_PORT_0:STT_PORT_1"),
        ];
        let env = env.map(|(name, value)| (name.into(), value.into()));
        assert_eq!(command.extra_env, env);
    }

    #[test]
    fn the_environment_of_the_binary_is_shared_and_not_copied() {
        let binary = binary(Harness::Custom, Some(&["r"]));
        let test = ListedTest {
            name: "n".into(),
            ignored: false,
            bench: false,
            protocol: Protocol::Opaque,
        };
        let extra_env = vec![("STT_ATTEMPT".into(), "1".into())];
        let command = test_command(&binary, &test, None, &[], extra_env.clone());
        assert!(Arc::ptr_eq(&command.env, &binary.env));
        assert_eq!(command.extra_env, extra_env);
        assert_eq!(command.shown(), "r /t/debug/deps/it-1");
        assert_eq!(command.cwd, "/w/p");
    }
}
