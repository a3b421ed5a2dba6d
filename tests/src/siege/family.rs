//! The families of one run, by what they wrote of themselves.

use std::time::SystemTime;

use camino::Utf8PathBuf;
use fs_err as fs;

use super::PATIENCE;
use crate::built::workspace_root;
use crate::expected::Expected;
use crate::lab::Lab;
use crate::proc::Identity;
use crate::report::Report;
use crate::wait::DEADLINE;
use crate::wait::until;

/// The names of all families that try to stay.
pub fn families() -> Vec<String> {
    let expected = Expected::read(&workspace_root().join("fixtures/adversary"));
    let stays = |(binary, name): &(String, String)| {
        binary == "adversary::families" || name.starts_with("memory_")
    };
    let names = expected.tests.into_keys().filter(stays);
    names.map(|(_, name)| name).collect()
}

/// Some of them in one laboratory.
#[derive(Debug)]
pub struct Families {
    names: Vec<String>,
    traces: Utf8PathBuf,
}

impl Families {
    /// By these names; none of them need be there yet.
    pub fn new(lab: &Lab, names: &[&str]) -> Self {
        Self {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            traces: lab.traces.clone(),
        }
    }

    /// Their names.
    pub(super) fn names(&self) -> &[String] {
        &self.names
    }

    /// Those that are not complete yet, and could be.
    pub(super) fn missing(&self) -> Vec<&str> {
        let there =
            |name: &&str| self.left(name, "up").is_some() || self.left(name, "skipped").is_some();
        let names = self.names.iter().map(String::as_str);
        names.filter(|name| !there(name)).collect()
    }

    /// Why a family can't be here.
    pub(super) fn skipped(&self, name: &str) -> Option<String> {
        self.left(name, "skipped")
    }

    /// Who has made himself known so far.
    pub fn members(&self, name: &str) -> Vec<Identity> {
        let text = self.left(name, "pids").unwrap_or_default();
        let member = |line: &str| {
            let (pid, start) = line.split_once(' ')?;
            let (pid, start) = (pid.parse().ok()?, start.parse().ok()?);
            Some(Identity { pid, start })
        };
        // The last line may be half written.
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| member(line).unwrap_or_else(|| panic!("no member: {line}")))
            .collect()
    }

    /// Ports of families that are still taken.
    pub(super) fn still_listening(&self) -> Vec<String> {
        let taken = |name: &String| {
            let port: u16 = self.left(name, "port")?.parse().ok()?;
            let error = std::net::TcpListener::bind(("127.0.0.1", port)).err()?;
            Some(format!("{name} still has port {port}: {error}"))
        };
        self.names.iter().filter_map(taken).collect()
    }

    /// Families of passed tests that the run did not name as leaks. One is gone by itself. A daemon without a
    /// marker may be named at the end of the run instead: while several tests run, nobody knows whose it is.
    pub(super) fn unnamed(&self, report: &Report) -> Vec<String> {
        let end = report.one("run-finished");
        let swept: Vec<_> = end["swept"].as_array().into_iter().flatten().collect();
        let unnamed = |name: &String| {
            let quiet = self.skipped(name).is_some() || name == "leaves_its_number";
            let mut tests = report.of("test-finished");
            let line = tests.find(|line| line["test"]["name"] == **name);
            let by_test = line.is_some_and(|line| !line["leak"].is_null());
            let members = self.members(name);
            let is_member = |pid: i64| members.iter().any(|member| i64::from(member.pid) == pid);
            let by_run = swept
                .iter()
                .any(|who| who["pid"].as_i64().is_some_and(is_member));
            let named = by_test || by_run;
            (!quiet && !named).then(|| format!("{name} is not named as a leak: {line:?}"))
        };
        self.names.iter().filter_map(unnamed).collect()
    }

    /// Removes the control groups that they made, unless somebody has survived in them.
    pub(super) fn remove_groups(&self) {
        let groups = self
            .names
            .iter()
            .filter_map(|name| self.left(name, "cgroup"));
        for group in groups {
            let began = SystemTime::now();
            // The dead are in it until somebody has waited for them.
            until("the group is removed or kept", DEADLINE, || {
                let late = began.elapsed().is_ok_and(|time| time > PATIENCE);
                (fs::remove_dir(&group).is_ok() || late).then_some(())
            });
        }
    }

    fn left(&self, name: &str, kind: &str) -> Option<String> {
        std::fs::read_to_string(self.traces.join(format!("{name}.{kind}"))).ok()
    }
}

/// The program of one binary's tests, as it was built last.
pub fn program(lab: &Lab, binary: &str) -> Utf8PathBuf {
    let prefix = format!("{binary}-");
    let deps = lab.target.join("debug/deps");
    let mut programs: Vec<_> = deps
        .read_dir_utf8()
        .expect("it was built")
        .filter_map(Result::ok)
        .filter(|entry| {
            entry.file_name().starts_with(&prefix) && entry.path().extension().is_none()
        })
        .map(|entry| {
            let built = entry.metadata().and_then(|file| file.modified());
            (built.expect("it exists"), entry.into_path())
        })
        .collect();
    programs.sort();
    programs.pop().expect("it was built").1
}
