//! A user who is on no list of this machine's, and has numbers to give to his containers: his own Podman's.

use std::process::Command;

use camino::Utf8Path;
use fs_err as fs;
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::proc::marked;
use crate::wait::DEADLINE;
use crate::wait::until;

/// His number, and his group's.
pub const USER: u32 = 61_234;

/// The first of the numbers that are his to give.
const NUMBERS: u32 = 3_000_000_000;

/// The command of a Podman that listens at `socket` for this user, whose home is `dir`. It alone sees lists of users with
/// him in them: nothing of this machine is changed.
///
/// # Errors
/// The directory can't be given to him.
pub(crate) fn service(
    dir: &Utf8Path,
    config: &Utf8Path,
    socket: &Utf8Path,
) -> Result<Command, String> {
    let prepared = prepare(dir);
    prepared.map_err(|error| error.to_string())?;
    let script = format!(
        "set -e; command -v newuidmap || {{ echo no newuidmap >&2; exit 1; }}; mount --make-rprivate /; \
         for list in passwd group; do mount --bind {dir}/$list /etc/$list; done; \
         for list in subuid subgid; do mount --bind {dir}/numbers /etc/$list; done; \
         cd {dir}; exec {} env -i PATH=\"$PATH\" HOME={dir} XDG_RUNTIME_DIR={dir}/run CONTAINERS_CONF={config} \
         podman system service --time=0 unix://{socket}",
        becoming()
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script]);
    Ok(command)
}

/// What has a shell become this user with the command behind it.
pub(crate) fn becoming() -> String {
    format!("setpriv --reuid={USER} --regid={USER} --clear-groups")
}

fn prepare(dir: &Utf8Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let with = |name: &str, line: String| {
        let list = fs::read_to_string(format!("/etc/{name}"))?;
        fs::write(dir.join(name), format!("{line}\n{list}"))
    };
    with("passwd", format!("stt-test:x:{USER}:{USER}::{dir}:/bin/sh"))?;
    with("group", format!("stt-test:x:{USER}:"))?;
    fs::write(dir.join("numbers"), format!("stt-test:{NUMBERS}:65536\n"))?;
    fs::create_dir(dir.join("run"))?;
    fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755))?;
    for place in [dir, &dir.join("run")] {
        std::os::unix::fs::chown(place, Some(USER), Some(USER))?;
    }
    Ok(())
}

/// Ends all that the service has started of itself: what does its work in the user's namespaces, and what keeps these.
pub(crate) fn end_all(dir: &Utf8Path) {
    until("the user's Podman has ended", DEADLINE, || {
        let left = marked(&format!("XDG_RUNTIME_DIR={dir}/run"));
        for process in &left {
            // It has this from the service, whose directory nobody else knows.
            let _ = kill(Pid::from_raw(process.pid), Signal::SIGKILL);
        }
        left.is_empty().then_some(())
    });
}
