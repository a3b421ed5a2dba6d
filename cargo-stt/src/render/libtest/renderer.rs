//! The renderer in libtest's words, beside the one for people.

use std::collections::BTreeMap;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;

use stt_core::id::BinaryId;
use stt_core::id::TestId;
use stt_core::report::Event;
use stt_core::report::TestFinished;

use crate::render::human::Human;
use crate::render::libtest::message::Message;
use crate::render::libtest::message::SuiteMessage;
use crate::render::libtest::message::SuiteOutline;
use crate::render::libtest::message::Tally;
use crate::render::libtest::message::TestMessage;
use crate::render::options::RenderOptions;
use crate::render::screen::Renderer;
use crate::render::screen::Screen;

/// The renderer in libtest's words.
pub(in crate::render) struct Libtest {
    human: Human,
    screen: Box<dyn Screen>,
    options: RenderOptions,
    suites: Arc<[SuiteOutline]>,
    /// Whether suites have the key of our own.
    plus: bool,
    /// The suites that have begun and are not over.
    open: BTreeMap<BinaryId, Tally>,
    /// The tests that were told as started and have no result.
    started: HashSet<TestId>,
    /// Those of them that were told as slow.
    slow: HashSet<TestId>,
    lines: Vec<u8>,
    failed: Option<serde_json::Error>,
}

impl Libtest {
    /// A renderer that has seen nothing yet; `people` is where people look.
    pub(in crate::render) fn new(
        options: RenderOptions,
        plus: bool,
        screen: Box<dyn Screen>,
        people: Box<dyn Screen>,
    ) -> Self {
        Self {
            human: Human::new(options.clone(), people),
            screen,
            suites: Arc::clone(&options.suites),
            options,
            plus,
            open: BTreeMap::new(),
            started: HashSet::new(),
            slow: HashSet::new(),
            lines: Vec::new(),
            failed: None,
        }
    }

    fn say(&mut self, message: &Message<'_>) {
        let start = self.lines.len();
        if let Err(error) = serde_json::to_writer(&mut self.lines, message) {
            // Half an object would spoil the lines around it.
            self.lines.truncate(start);
            self.failed.get_or_insert(error);
        } else {
            self.lines.push(b'\n');
        }
    }

    /// Says something of the suite of a test.
    fn with_suite(&mut self, test: &TestId, say: impl FnOnce(&mut Self, &SuiteOutline)) {
        let suites = Arc::clone(&self.suites);
        let found = suites.binary_search_by(|suite| suite.id.cmp(&test.binary));
        if let Ok(place) = found {
            say(self, &suites[place]);
        }
    }

    /// A test is tried again without another word, and so is one that had to make room.
    fn start(&mut self, suite: &SuiteOutline, test: &TestId) {
        if !self.open.contains_key(&suite.id) {
            self.open.insert(suite.id.clone(), Tally::default());
            self.say(&Message::Suite(SuiteMessage::started(suite, self.plus)));
        }
        if self.started.insert(test.clone()) {
            self.say(&Message::Test(TestMessage::started(suite, &test.name)));
        }
    }

    fn finish_test(&mut self, suite: &SuiteOutline, result: &TestFinished) {
        // What does not run, or could not be started, has a start for the reader all the same.
        self.start(suite, &result.test);
        self.started.remove(&result.test);
        self.slow.remove(&result.test);
        let message = TestMessage::finished(suite, result, &self.options.output);
        self.say(&Message::Test(message));
        let tally = self.open.entry(suite.id.clone()).or_default();
        tally.count(result);
        let tally = *tally;
        if tally.finished() >= suite.tests {
            self.open.remove(&suite.id);
            self.say(&Message::Suite(SuiteMessage::ended(
                suite, tally, self.plus,
            )));
        }
    }

    /// The run is over, and with it what has begun.
    fn finish_suites(&mut self) {
        let suites = Arc::clone(&self.suites);
        for suite in &*suites {
            if let Some(tally) = self.open.remove(&suite.id) {
                self.say(&Message::Suite(SuiteMessage::ended(
                    suite, tally, self.plus,
                )));
            }
        }
    }
}

impl Renderer for Libtest {
    fn event(&mut self, event: &Event) {
        self.human.event(event);
        match event {
            Event::TestStarted { test } => {
                self.with_suite(test, |own, suite| own.start(suite, test));
            }
            Event::TestSlow { test, .. } => self.with_suite(test, |own, suite| {
                if own.slow.insert(test.clone()) {
                    own.say(&Message::Test(TestMessage::slow(suite, &test.name)));
                }
            }),
            Event::TestFinished(result) => self.with_suite(&result.test, |own, suite| {
                own.finish_test(suite, result);
            }),
            Event::RunFinished(_) => self.finish_suites(),
            Event::RunStarted { .. }
            | Event::Mechanism(_)
            | Event::ScriptStarted(_)
            | Event::ScriptSlow { .. }
            | Event::ScriptFinished(_)
            | Event::PortTaken { .. }
            | Event::TestRetried { .. }
            | Event::TestUnfinished { .. }
            | Event::Guard(_)
            | Event::Waiting(_)
            | Event::Reaped(_)
            | Event::Warning(_)
            | Event::Progress(_) => {}
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.lines.is_empty() {
            let written = self.screen.stdout(&self.lines);
            self.lines.clear();
            written?;
        }
        self.human.flush()?;
        self.failed.take().map_or(Ok(()), |error| Err(error.into()))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.flush()?;
        self.human.finish()
    }
}
