//! A request that names volumes: what the engine is asked, one after the other, before it and after it. Pure.
//!
//! Each volume is looked for, and made with the label where there is none. Then the container is made, whatever came
//! of that. Where it was not, what was made for it goes again, before the client learns of it.

use super::answer::is_good;
use super::answer::status;
use super::volume::Volume;

/// What is asked of the engine for a client.
#[derive(Debug)]
pub(super) struct Errand {
    /// What makes the container.
    create: Vec<u8>,
    /// The volumes that were not looked at yet, the next one last.
    volumes: Vec<Volume>,
    /// Those that were made.
    made: Vec<Volume>,
    stage: Stage,
}

/// Whose answer is waited for.
#[derive(Debug)]
enum Stage {
    Nobody,
    Look(Volume),
    Make(Volume),
    Create,
    /// The client's answer, while volumes are removed.
    Remove(Vec<u8>),
}

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The engine is sent this on a connection of its own. It answers, and closes.
    Ask(Vec<u8>),
    /// The client is sent this, and that is all.
    Answer(Vec<u8>),
}

impl Errand {
    /// What is to be done for a request that names volumes; with what is asked first.
    pub(super) fn start(create: Vec<u8>, mut volumes: Vec<Volume>) -> (Self, Vec<u8>) {
        volumes.reverse();
        let mut errand = Self {
            create,
            volumes,
            made: Vec::new(),
            stage: Stage::Nobody,
        };
        let first = errand.go_on();
        (errand, first)
    }

    /// What comes after this answer, which is empty where there was none.
    pub(super) fn next(&mut self, answer: Vec<u8>) -> Step {
        match std::mem::replace(&mut self.stage, Stage::Nobody) {
            Stage::Look(volume) if status(&answer) == Some(404) => {
                let make = volume.make.clone();
                self.stage = Stage::Make(volume);
                Step::Ask(make)
            }
            // What can't be said of a volume is left to the engine, as without us.
            Stage::Look(_) => Step::Ask(self.go_on()),
            Stage::Make(volume) => {
                if is_good(&answer) && volume.is_labelled(&answer) {
                    self.made.push(volume);
                }
                Step::Ask(self.go_on())
            }
            Stage::Create if is_good(&answer) => Step::Answer(answer),
            Stage::Create => self.remove(answer),
            Stage::Remove(answer) => self.remove(answer),
            Stage::Nobody => Step::Answer(answer),
        }
    }

    /// What is asked before the container is made, or for it.
    fn go_on(&mut self) -> Vec<u8> {
        if let Some(volume) = self.volumes.pop() {
            let look = volume.look.clone();
            self.stage = Stage::Look(volume);
            look
        } else {
            self.stage = Stage::Create;
            std::mem::take(&mut self.create)
        }
    }

    /// Without us there would be none of them now. A container that has one keeps it.
    fn remove(&mut self, answer: Vec<u8>) -> Step {
        let Some(volume) = self.made.pop() else {
            return Step::Answer(answer);
        };
        self.stage = Stage::Remove(answer);
        Step::Ask(volume.remove)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::containers::label::Label;
    use crate::containers::volume::named;
    use crate::id::RunId;

    const KEY: &str = "dev.cargo-stt.run.07070707-0707-4707-8707-070707070707";

    /// An errand that makes a container with these volumes, and what it has asked for by then.
    struct Asking {
        errand: Errand,
        asked: Vec<String>,
    }

    fn with(names: &[&str], first: &str) -> Asking {
        let binds: Vec<_> = names.iter().map(|name| format!("{name}:/x")).collect();
        let body = json!({"HostConfig": {"Binds": binds}}).to_string();
        let label = Label::new(RunId::from_random([7; 16]), "app t");
        let volumes = named("/containers/create", body.as_bytes(), &label);
        let (errand, request) = Errand::start(b"POST /containers/create".to_vec(), volumes);
        let asked = Vec::new();
        Asking { errand, asked }.sees(request, first)
    }

    impl Asking {
        /// The engine answers so; what is asked next is the first two words of it.
        fn then(mut self, answer: &str, next: &str) -> Self {
            let step = self.errand.next(answer.as_bytes().to_vec());
            let Step::Ask(request) = step else {
                panic!("{step:?} after {:?} and {answer}", self.asked);
            };
            self.sees(request, next)
        }

        fn sees(mut self, request: Vec<u8>, next: &str) -> Self {
            let request = String::from_utf8(request).unwrap();
            let words: Vec<_> = request.split_whitespace().take(2).collect();
            assert_eq!(words.join(" "), next, "after {:?}", self.asked);
            self.asked.push(next.to_owned());
            self
        }

        /// The engine answers so, and the client is told that.
        fn tells(mut self, answer: &str, told: &str) {
            let step = self.errand.next(answer.as_bytes().to_vec());
            let told = Step::Answer(told.as_bytes().to_vec());
            assert_eq!(step, told, "after {:?}", self.asked);
        }
    }

    const THERE: &str = "HTTP/1.1 200 OK\r\n\r\n{}";
    const MISSING: &str = "HTTP/1.1 404 Not Found\r\n\r\n{}";
    const CREATED: &str = "HTTP/1.1 201 Created\r\n\r\n{\"Id\":\"x\"}";
    const REFUSED: &str = "HTTP/1.1 400 Bad Request\r\n\r\n{}";
    const CREATE: &str = "POST /containers/create";

    fn labelled() -> String {
        format!("{CREATED}{{\"Labels\":{{\"{KEY}\":\"app t\"}}}}")
    }

    #[test]
    fn what_is_missing_is_made_and_what_is_there_is_left_alone() {
        with(&["new", "old"], "GET /volumes/new")
            .then(MISSING, "POST /volumes/create")
            .then(&labelled(), "GET /volumes/old")
            .then(THERE, CREATE)
            .tells(CREATED, CREATED);
    }

    #[test]
    fn a_container_that_is_refused_takes_its_volumes_along() {
        with(&["a", "b", "old"], "GET /volumes/a")
            .then(MISSING, "POST /volumes/create")
            .then(&labelled(), "GET /volumes/b")
            .then(MISSING, "POST /volumes/create")
            .then(&labelled(), "GET /volumes/old")
            .then(THERE, CREATE)
            .then(REFUSED, "DELETE /volumes/b")
            .then(REFUSED, "DELETE /volumes/a")
            .tells("", REFUSED);
        with(&["old"], "GET /volumes/old")
            .then(THERE, CREATE)
            .tells(REFUSED, REFUSED);
    }

    /// Somebody else has made it in between, or the engine says nothing of use.
    #[test]
    fn whatever_the_engine_says_the_container_is_asked_for() {
        for answer in [CREATED, REFUSED, "", "HTTP/1.1", "\0"] {
            with(&["new"], "GET /volumes/new")
                .then(MISSING, "POST /volumes/create")
                .then(answer, CREATE)
                .tells(REFUSED, REFUSED);
        }
        for answer in [
            "",
            "HTTP/1.1 500 No\r\n\r\n",
            "HTTP/1.1 x",
            "HTTP/1.14040",
            "no",
        ] {
            with(&["new"], "GET /volumes/new")
                .then(answer, CREATE)
                .tells("", "");
        }
    }
}
