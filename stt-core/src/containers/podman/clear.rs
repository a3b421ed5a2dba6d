//! Has Podman's command remove what tests have made with it, and looks whether it is gone.

use std::time::Duration;

use super::ledger::Entry;
use super::ledger::Ledger;
use super::said;
use super::said::ORDER;
use super::said::Removal;
use super::said::TOGETHER;
use super::said::TRIES;
use crate::clock::Clock;
use crate::clock::Moment;
use crate::container::Cleared;
use crate::container::Stuck;
use crate::container::Thing;
use crate::containers::label::key;
use crate::id::RunId;

/// Who calls Podman's command for us.
pub trait Caller: std::fmt::Debug + Send + Sync {
    /// Calls it with these words, and waits so long for its end.
    ///
    /// # Errors
    /// It can't be called, or takes too long.
    fn call(&self, words: &[&str], budget: Duration) -> Result<Said, CallFailure>;
}

/// What the command has said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// Whether it has ended well.
    pub is_good: bool,
}

/// Why a call has come to nothing.
pub type CallFailure = Box<dyn std::error::Error + Send + Sync>;

/// Podman's command, as it is called by ourselves.
#[derive(Debug)]
pub struct Podman {
    caller: Box<dyn Caller>,
    clock: Clock,
}

/// Podman could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum PodmanError {
    /// The command could not be called.
    #[error("`podman {words}` has come to nothing")]
    Call {
        /// What it was called with.
        words: String,
        /// Why.
        #[source]
        source: CallFailure,
    },
    /// It has failed, and says so.
    #[error("`podman {words}` says: {complaint}")]
    Refused {
        /// What it was called with.
        words: String,
        /// Its last words.
        complaint: String,
    },
}

impl Podman {
    /// The command that is called so.
    pub fn new(caller: Box<dyn Caller>, clock: Clock) -> Self {
        Self { caller, clock }
    }

    /// Removes what was written down and not removed since: pods, containers with their volumes, networks, volumes. A
    /// network or a volume whose name was given again since is somebody else's. One that is in use is another test's as
    /// well, and is left without a word.
    pub fn remove(&self, entries: &[Entry], budget: Duration) -> Cleared {
        let deadline = self.clock.now().saturating_add(budget);
        let mut cleared = Cleared::default();
        self.remove_noted(entries, deadline, &mut cleared);
        cleared
    }

    /// The same. Returns what is in use.
    fn remove_noted(
        &self,
        entries: &[Entry],
        deadline: Moment,
        cleared: &mut Cleared,
    ) -> Vec<(Thing, String)> {
        let mut in_use = Vec::new();
        for kind in ORDER {
            let these = entries.iter().filter(|entry| entry.thing.kind == kind);
            let (with_pods, these): (Vec<_>, _) = these
                .cloned()
                .partition(|entry| entry.went_with(&cleared.removed));
            let with_pods = with_pods.into_iter().filter(|entry| !entry.is_infra());
            cleared.removed.extend(with_pods.map(|entry| entry.thing));
            let listing = said::listing(kind).filter(|_| !these.is_empty());
            let things = match listing.map(|words| self.list(&words, deadline)) {
                None => these.into_iter().map(|entry| entry.thing).collect(),
                Some(Ok(listed)) => said::same(these, &listed),
                Some(Err(error)) => {
                    let why = said_of(&error);
                    let things = these.into_iter().map(|entry| (entry.thing, why.clone()));
                    cleared.stuck.extend(things.map(stuck));
                    continue;
                }
            };
            in_use.extend(self.remove_all(things, deadline, cleared));
        }
        in_use
    }

    /// Removes things of one kind. Returns what is in use.
    fn remove_all(
        &self,
        mut things: Vec<Thing>,
        deadline: Moment,
        cleared: &mut Cleared,
    ) -> Vec<(Thing, String)> {
        let (mut complaints, mut in_use) = (Vec::new(), Vec::new());
        let mut knows_time = true;
        for number in 0..TRIES {
            let at_once = if number < TOGETHER { things.len() } else { 1 };
            let mut left = Vec::new();
            for some in things.chunks(at_once.max(1)) {
                match self.try_to_remove(some, knows_time, deadline) {
                    Ok(removal) => {
                        cleared.removed.extend(removal.removed);
                        knows_time &= !removal.is_old;
                        left.extend(removal.left);
                        in_use.extend(removal.in_use);
                    }
                    Err(error) => {
                        let why = said_of(&error);
                        left.extend(some.iter().map(|thing| (thing.clone(), why.clone())));
                    }
                }
            }
            (things, complaints) = left.into_iter().unzip();
            if things.is_empty() || self.clock.now() >= deadline {
                break;
            }
        }
        let left = things.into_iter().zip(complaints);
        cleared.stuck.extend(left.map(stuck));
        in_use
    }

    fn try_to_remove(
        &self,
        things: &[Thing],
        knows_time: bool,
        deadline: Moment,
    ) -> Result<Removal, PodmanError> {
        let Some(first) = things.first() else {
            return Ok(Removal::default());
        };
        let mut words = said::removal(first.kind, knows_time);
        words.extend(things.iter().map(|thing| thing.id.as_str()));
        let said = self.call(&words, deadline)?;
        Ok(said::removed(
            things,
            &said.stdout,
            &said.stderr,
            said.is_good,
        ))
    }

    /// The containers and pods of a run, by their annotation.
    ///
    /// # Errors
    /// Podman does not say.
    fn find(&self, run: &RunId, deadline: Moment) -> Result<Vec<Entry>, PodmanError> {
        let words = ["ps", "--all", "--quiet", "--no-trunc"];
        let listed = self.list(&words, deadline)?;
        self.marked(run, &said::ids(&listed), deadline)
    }

    /// The same, for people.
    ///
    /// # Errors
    /// Podman does not say.
    pub fn look(&self, run: &RunId, budget: Duration) -> Result<Vec<Thing>, PodmanError> {
        let deadline = self.clock.now().saturating_add(budget);
        let found = self.find(run, deadline)?.into_iter();
        Ok(found.map(|entry| entry.thing).collect())
    }

    /// Those of some containers that a run has made, by their annotation. One that is not there, or not any more, is
    /// none.
    fn marked(
        &self,
        run: &RunId,
        ids: &[&str],
        deadline: Moment,
    ) -> Result<Vec<Entry>, PodmanError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let words = [&["container", "inspect"], ids].concat();
        let inspected = self.call(&words, deadline)?;
        Ok(said::annotated(&key(run), &inspected.stdout))
    }

    /// Removes those of some containers that a run has made. They are known by somebody who has watched over them, and
    /// were not written down: their client was killed before that.
    pub fn remove_marked(&self, run: &RunId, ids: &[&str], budget: Duration) -> Cleared {
        let deadline = self.clock.now().saturating_add(budget);
        let mut cleared = Cleared::default();
        // Who can't be asked about is told of as somebody else's.
        let marked = self.marked(run, ids, deadline).unwrap_or_default();
        self.remove_noted(&marked, deadline, &mut cleared);
        cleared
    }

    /// Removes what is there of a run: what was written down, and what is found by its annotation.
    ///
    /// # Errors
    /// Podman does not say what there is.
    pub fn clear(
        &self,
        ledger: Ledger,
        run: &RunId,
        budget: Duration,
    ) -> Result<Cleared, PodmanError> {
        let deadline = self.clock.now().saturating_add(budget);
        let mut cleared = Cleared::default();
        let in_use = self.remove_noted(&ledger.into_entries(), deadline, &mut cleared);
        cleared.stuck.extend(in_use.into_iter().map(stuck));
        let found = self.find(run, deadline)?;
        let is_new = |entry: &Entry| !cleared.has(&entry.thing.id);
        let found: Vec<_> = found.into_iter().filter(is_new).collect();
        self.remove_noted(&found, deadline, &mut cleared);
        Ok(cleared)
    }

    /// What has come to be since then (the time since 1970), and bears no mark of anybody's.
    ///
    /// # Errors
    /// Podman does not say.
    pub fn unmarked(&self, since: Duration, budget: Duration) -> Result<Vec<Thing>, PodmanError> {
        let deadline = self.clock.now().saturating_add(budget);
        let words = ["ps", "--all", "--external", "--format", "json"];
        let containers = self.list(&words, deadline)?;
        let words = ["network", "ls", "--format", "json"];
        let networks = self.list(&words, deadline)?;
        Ok(said::unmarked(since, &containers, &networks))
    }

    fn call(&self, words: &[&str], deadline: Moment) -> Result<Said, PodmanError> {
        let left = deadline.saturating_sub(self.clock.now());
        let said = self.caller.call(words, left);
        said.map_err(|source| PodmanError::Call {
            words: words.join(" "),
            source,
        })
    }

    /// What the command says to this, unless it fails.
    fn list(&self, words: &[&str], deadline: Moment) -> Result<String, PodmanError> {
        let said = self.call(words, deadline)?;
        if said.is_good {
            return Ok(said.stdout);
        }
        let complaint = said.stderr.lines().last().unwrap_or_default();
        Err(PodmanError::Refused {
            words: words.join(" "),
            complaint: complaint.trim_start_matches("Error: ").to_owned(),
        })
    }
}

fn stuck((thing, why): (Thing, String)) -> Stuck {
    Stuck {
        command: thing.removal_by("podman"),
        thing,
        why,
    }
}

fn said_of(error: &PodmanError) -> String {
    match error {
        PodmanError::Call { source, .. } => format!("{error}: {source}"),
        PodmanError::Refused { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::container::Kind;

    /// Says one after the other, whatever it is asked, and writes down what that was. In the end it is late.
    #[derive(Debug)]
    struct Scripted {
        answers: Mutex<Vec<Said>>,
        asked: std::sync::Arc<Mutex<Vec<String>>>,
    }

    impl Caller for Scripted {
        fn call(&self, words: &[&str], _budget: Duration) -> Result<Said, CallFailure> {
            self.asked.lock().unwrap().push(words.join(" "));
            let answer = self.answers.lock().unwrap().pop();
            Ok(answer.ok_or("it is late")?)
        }
    }

    fn said(stdout: &str, stderr: &str) -> Said {
        Said {
            stdout: stdout.to_owned(),
            stderr: stderr.to_owned(),
            is_good: stderr.is_empty(),
        }
    }

    /// What becomes of these things, and what was asked, when Podman says that.
    fn removed(entries: &[Entry], mut answers: Vec<Said>) -> (Cleared, Vec<String>) {
        answers.reverse();
        let asked = std::sync::Arc::default();
        let caller = Scripted {
            answers: Mutex::new(answers),
            asked: std::sync::Arc::clone(&asked),
        };
        let podman = Podman::new(Box::new(caller), Clock::start());
        let cleared = podman.remove(entries, Duration::from_secs(60));
        (cleared, std::mem::take(&mut asked.lock().unwrap()))
    }

    fn entry(kind: Kind, id: &str, pod: Option<&str>) -> Entry {
        Entry {
            thing: Thing {
                kind,
                id: id.to_owned(),
                name: id.to_owned(),
                image: String::new(),
            },
            by: Duration::from_secs(2),
            pod: pod.map(str::to_owned),
        }
    }

    fn ids(cleared: &Cleared) -> Vec<&str> {
        let removed = cleared.removed.iter();
        removed.map(|thing| thing.id.as_str()).collect()
    }

    /// The first removal only tells Podman that the container is dead (4.3.1).
    #[test]
    fn a_killed_container_goes_with_the_second_try() {
        let entries = [
            entry(Kind::Container, "one", None),
            entry(Kind::Container, "two", None),
        ];
        let complaint = "Error: cannot remove container two: container state improper: stopped";
        let answers = vec![said("one\n", complaint), said("two\n", "")];
        let (cleared, asked) = removed(&entries, answers);
        assert_eq!(
            (ids(&cleared), cleared.stuck.len()),
            (vec!["one", "two"], 0)
        );
        assert_eq!(
            asked,
            [
                "container rm --force --volumes --time 0 one two",
                "container rm --force --volumes --time 0 two"
            ]
        );
    }

    #[test]
    fn an_older_command_is_asked_in_its_own_words() {
        let entries = [entry(Kind::Container, "one", None)];
        let answers = vec![said("", "Error: unknown flag: --time"), said("one\n", "")];
        let (cleared, asked) = removed(&entries, answers);
        assert_eq!(ids(&cleared), ["one"]);
        assert_eq!(asked[1], "container rm --force --volumes one");
    }

    #[test]
    fn what_goes_with_its_pod_is_told_but_for_what_held_it_together() {
        let entries = [
            entry(Kind::Pod, "pod", None),
            entry(Kind::Container, "web", Some("pod")),
            entry(Kind::Container, "pod-infra", Some("pod")),
            entry(Kind::Container, "lone", None),
        ];
        let answers = vec![said("pod\n", ""), said("lone\n", "")];
        let (cleared, asked) = removed(&entries, answers);
        assert_eq!(ids(&cleared), ["pod", "web", "lone"]);
        assert_eq!(asked[0], "pod rm --force --time 0 pod");
        assert_eq!(asked.len(), 2, "{asked:?}");
    }

    #[test]
    fn of_names_those_go_that_are_still_the_same() {
        let entries = ["ours", "theirs"].map(|name| entry(Kind::Volume, name, None));
        let listed = r#"[{"Name": "ours", "CreatedAt": "1970-01-01T00:00:02Z"},
                         {"Name": "theirs", "CreatedAt": "1970-01-01T00:00:03Z"}]"#;
        let answers = vec![said(listed, ""), said("ours\n", "")];
        let (cleared, asked) = removed(&entries, answers);
        assert_eq!(ids(&cleared), ["ours"]);
        assert_eq!(asked[1], "volume rm ours");
    }

    #[test]
    fn what_stays_is_named_with_the_reason_and_the_command() {
        let entries = [entry(Kind::Volume, "used", None)];
        let listed = r#"[{"Name": "used", "CreatedAt": "1970-01-01T00:00:02Z"}]"#;
        let mut answers = vec![said(listed, "")];
        answers.resize(1 + TRIES as usize, said("", "Error: volume used: no space"));
        let (cleared, _) = removed(&entries, answers);
        assert_eq!(
            cleared.stuck[0].to_string(),
            "volume used could not be removed: volume used: no space (`podman volume rm used` does it)"
        );
        let in_use = said(
            "",
            "Error: volume used is being used by the following container(s): x",
        );
        let (cleared, asked) = removed(&entries, vec![said(listed, ""), in_use]);
        assert_eq!((cleared, asked.len()), (Cleared::default(), 2));
        let (cleared, _) = removed(&entries, Vec::new());
        assert_eq!(
            cleared.stuck[0].why,
            "`podman volume ls --format json` has come to nothing: it is late"
        );
    }
}
