//! The list of `cargo stt ports`.

use std::fmt::Write as _;

use anstyle::Style;
use camino::Utf8Path;
use stt_core::run::OwnedPort;
use stt_core::run::PortList;
use stt_core::run::PortListener;
use stt_core::run::PortOwner;

use crate::render::overview::word;
use crate::render::overview::workspace;
use crate::render::text::Line;
use crate::render::text::plain;
use crate::render::theme::Theme;
use crate::render::theme::Tone;

/// Who has which port, for a terminal of this width.
pub(crate) fn show_ports(
    list: &PortList,
    home: Option<&Utf8Path>,
    width: usize,
    colour: bool,
) -> String {
    let theme = Theme::new(colour);
    let mut lines: Vec<_> = list
        .ports
        .iter()
        .flat_map(|port| lines_of(port, home, theme))
        .collect();
    if lines.is_empty() {
        let nothing = "no test has a port for itself, and none waits for one";
        lines.push(word(theme, Tone::Idle, "None", nothing));
    }
    lines.iter().fold(String::new(), |mut page, line| {
        let _ = writeln!(page, "{}", line.fit(width));
        page
    })
}

fn lines_of(port: &OwnedPort, home: Option<&Utf8Path>, theme: Theme) -> Vec<Line> {
    let tone = if port.waiting.is_empty() {
        Tone::Good
    } else {
        Tone::Warn
    };
    let mut first = word(theme, tone, &port.port.to_string(), "");
    match &port.owner {
        None => first.push(theme.dim(), "about to be somebody's"),
        Some(owner) => push_owner(&mut first, owner, home, theme),
    }
    let mut lines = vec![first];
    for listener in &port.listening {
        lines.push(word(theme, tone, "", &listens(listener)));
    }
    for waiting in &port.waiting {
        let mut line = word(theme, tone, "", "wanted by ");
        push_owner(&mut line, waiting, home, theme);
        lines.push(line);
    }
    lines
}

fn push_owner(line: &mut Line, owner: &PortOwner, home: Option<&Utf8Path>, theme: Theme) {
    let pid = owner.pid.map(|pid| format!("pid {pid}"));
    // A command may be long: its process stands before it, as everywhere.
    let (before, behind) = if owner.run.is_none() {
        (pid, None)
    } else {
        (None, pid)
    };
    if let Some(pid) = before {
        line.push(theme.dim(), format!("{pid} "));
    }
    match &owner.what {
        None => line.push(Style::new(), "somebody whom we can't see"),
        Some(what) => line.push(theme.strong(), plain(what)),
    }
    let place = owner.workspace.as_deref().map(|path| workspace(path, home));
    let rest: Vec<_> = place.into_iter().chain(behind).collect();
    if !rest.is_empty() {
        line.push(theme.dim(), format!("  {}", rest.join(" · ")));
    }
}

fn listens(listener: &PortListener) -> String {
    let who = match (listener.pid, &listener.command) {
        (Some(pid), Some(command)) => format!("pid {pid} {}", plain(command)),
        (Some(pid), None) => format!("pid {pid}"),
        (None, _) => "a process that we can't see".to_owned(),
    };
    format!("{who} listens on {}", listener.address)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(what: &str, workspace: Option<&str>, pid: i32) -> PortOwner {
        PortOwner {
            run: workspace.map(|_| "run".to_owned()),
            workspace: workspace.map(Into::into),
            pid: Some(pid),
            what: Some(what.to_owned()),
        }
    }

    #[test]
    fn each_port_says_whose_it_is_who_listens_and_who_waits() {
        let port = |port, owner| OwnedPort {
            port,
            owner,
            waiting: Vec::new(),
            listening: Vec::new(),
        };
        let mut fixed = port(8080, Some(owner("api serves", Some("/home/me/api"), 7)));
        fixed.listening = vec![PortListener {
            address: "127.0.0.1:8080".to_owned(),
            pid: Some(8),
            command: Some("server\n".to_owned()),
        }];
        fixed.waiting = vec![owner("db wants", Some("/srv/db"), 9)];
        let list = PortList {
            ports: vec![
                fixed,
                port(20_000, Some(owner("sh x", None, 10))),
                port(20_001, Some(PortOwner::default())),
                port(20_002, None),
            ],
        };
        let expected = "        8080 api serves  ~/api · pid 7\n\
            \x20            pid 8 server\\n listens on 127.0.0.1:8080\n\
            \x20            wanted by db wants  /srv/db · pid 9\n\
            \x20      20000 pid 10 sh x\n\
            \x20      20001 somebody whom we can't see\n\
            \x20      20002 about to be somebody's\n";
        let home = Some(Utf8Path::new("/home/me"));
        assert_eq!(show_ports(&list, home, 200, false), expected);
        let none = "        None no test has a port for itself, and none waits for one\n";
        assert_eq!(show_ports(&PortList::default(), home, 200, false), none);
    }
}
