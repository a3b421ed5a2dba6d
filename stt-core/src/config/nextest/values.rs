//! Values of nextest's file that ours has in another form. Pure.

use toml_edit::Item;

use super::reading::Entry;
use super::reading::Home;
use super::reading::Reading;
use super::tables::NO_SUCH_KEY;
use super::times;
use super::written::Line;
use crate::retry::LONGEST_DELAY;
use crate::units::parse_duration;
use crate::units::write_duration;

const SLOW_TIMEOUT: &str = "slow-timeout";
const TERMINATE_AFTER: &str = "terminate-after";
const GRACE_PERIOD: &str = "grace-period";
const LEAK_TIMEOUT: &str = "leak-timeout";

/// The time between SIGTERM and SIGKILL that holds where nextest's file says none.
const USUAL_GRACE: &str = "\"10s\"";

/// What the parts of a table of retries say, as TOML has it.
#[derive(Default)]
struct RetriesTable {
    backoff: Option<String>,
    count: Option<String>,
    delay: Option<String>,
    max_delay: Option<String>,
    jitter: Option<String>,
}

impl Reading<'_> {
    /// A time, as it is written there if we read the same.
    pub(super) fn time(&self, item: &Item) -> String {
        let text = item.as_str();
        match text.and_then(times::parse) {
            Some(time) if text.and_then(|text| parse_duration(text).ok()) != Some(time) => {
                format!("\"{}\"", write_duration(time))
            }
            Some(_) | None => self.raw(item),
        }
    }

    pub(super) fn retries(&mut self, entry: &Entry<'_>, home: Home) -> Option<Line> {
        let mut value = self.raw(entry.item);
        if entry.item.as_table_like().is_some() {
            value = self.retries_table(entry).written();
        } else if home == Home::Run && self.everywhere.retries_table && !self.in_default {
            // A number alone would take its delay from the table of another profile.
            value = format!("{{ backoff = \"fixed\", count = {value} }}");
        }
        self.line(entry, home, "retries", value)
    }

    fn retries_table(&mut self, whole: &Entry<'_>) -> RetriesTable {
        let mut table = RetriesTable::default();
        let Some(given) = whole.item.as_table_like() else {
            return table;
        };
        for (name, entry) in self.entries(given, &whole.key) {
            match name {
                "backoff" => table.backoff = Some(self.raw(entry.item)),
                "count" => table.count = Some(self.raw(entry.item)),
                "jitter" => table.jitter = Some(self.raw(entry.item)),
                "delay" => table.delay = Some(self.time(entry.item)),
                "max-delay" => {
                    let time = entry.item.as_str().and_then(times::parse);
                    if time.is_some_and(|time| time > LONGEST_DELAY) {
                        let longest = write_duration(LONGEST_DELAY);
                        self.leave(&entry, format!("stt never waits for longer than {longest}"));
                    } else {
                        table.max_delay = Some(self.time(entry.item));
                    }
                }
                _ => self.leave(&entry, NO_SUCH_KEY),
            }
        }
        table
    }

    pub(super) fn slow_timeout(&mut self, entry: &Entry<'_>, home: Home) -> Vec<Line> {
        let (mut period, mut count, mut grace) = (None, None, None);
        if let Some(table) = entry.item.as_table_like() {
            for (name, part) in self.entries(table, &entry.key) {
                let time = self.time(part.item);
                let mut ours = |key, value| Some(self.line(&part, Home::Run, key, value)?.value);
                match name {
                    "period" => period = ours(SLOW_TIMEOUT, time),
                    TERMINATE_AFTER => count = ours(name, time),
                    GRACE_PERIOD => grace = ours(name, time),
                    "on-timeout" if part.item.as_str() == Some("fail") => {}
                    "on-timeout" => self.leave(&part, "a test that is ended for its time fails"),
                    _ => self.leave(&part, NO_SUCH_KEY),
                }
            }
            if !table.contains_key("period") {
                self.leave(entry, "it does not say after which time (`period`)");
            }
        } else {
            let time = self.time(entry.item);
            period = self
                .line(entry, Home::Run, SLOW_TIMEOUT, time)
                .map(|line| line.value);
        }
        let Some(period) = period else {
            return Vec::new();
        };
        // nextest takes all of it from one place, and ours each key from where it is said.
        let elsewhere = self.said_elsewhere(home);
        let count = count.or_else(|| elsewhere.terminate_after.then(|| "0".to_owned()));
        let grace = grace.or_else(|| elsewhere.grace_period.then(|| USUAL_GRACE.to_owned()));
        let mut parts = vec![Line::new(SLOW_TIMEOUT, period).noted(&entry.note)];
        parts.extend(count.map(|count| Line::new(TERMINATE_AFTER, count)));
        parts.extend(grace.map(|grace| Line::new(GRACE_PERIOD, grace)));
        if home == Home::Run || parts.len() == 1 {
            return parts;
        }
        "period".clone_into(&mut parts[0].key);
        let parts = parts
            .iter()
            .map(|part| format!("{} = {}", part.key, part.value));
        let table = format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "));
        let line = self.line(entry, home, SLOW_TIMEOUT, table);
        line.into_iter().collect()
    }

    pub(super) fn leak_timeout(&mut self, entry: &Entry<'_>, home: Home) -> Vec<Line> {
        let mut time = (entry.item.as_table_like().is_none()).then(|| self.time(entry.item));
        let mut fails = false;
        for (name, part) in entry
            .item
            .as_table_like()
            .map(|table| self.entries(table, &entry.key))
            .unwrap_or_default()
        {
            match (name, part.item.as_str()) {
                ("period", _) => time = Some(self.time(part.item)),
                ("result", Some(result @ ("pass" | "fail"))) => {
                    fails = result == "fail";
                    if home == Home::Setting && fails != self.everywhere.leaks_fail {
                        let why = "stt has one answer to leaks for all tests: run.leaks";
                        self.leave(&part, why);
                    }
                }
                ("result", _) => self.leave(&part, "it takes \"pass\" or \"fail\""),
                _ => self.leave(&part, NO_SUCH_KEY),
            }
        }
        let Some(time) = time else {
            self.leave(entry, "it does not say how long (`period`)");
            return Vec::new();
        };
        let mut lines = Vec::new();
        lines.extend(self.line(entry, home, LEAK_TIMEOUT, time));
        if home == Home::Run && fails {
            lines.push(Line::new("leaks", "\"fail\""));
        } else if home == Home::Run && self.everywhere.leaks_fail && !self.in_default {
            lines.push(Line::new("leaks", "\"warn\""));
        }
        lines
    }

    pub(super) fn fail_fast(&mut self, entry: &Entry<'_>) -> Option<Line> {
        let most = match entry.item.as_bool() {
            Some(true) => Some("1".to_owned()),
            Some(false) => Some("\"all\"".to_owned()),
            None => {
                let Some(table) = entry.item.as_table_like() else {
                    self.leave(entry, "it takes true, false or a table");
                    return None;
                };
                let mut most = None;
                for (name, part) in self.entries(table, &entry.key) {
                    match (name, part.item.as_str()) {
                        ("max-fail", _) => most = Some(self.raw(part.item)),
                        ("terminate", Some("wait")) => {}
                        ("terminate", _) => self.leave(&part, "tests that run are allowed to end"),
                        _ => self.leave(&part, NO_SUCH_KEY),
                    }
                }
                most
            }
        };
        let Some(most) = most else {
            self.leave(
                entry,
                "it does not say after how many failures (`max-fail`)",
            );
            return None;
        };
        self.line(entry, Home::Run, "max-fail", most)
    }

    pub(super) fn run_ignored(&mut self, entry: &Entry<'_>) -> Option<Line> {
        let value = match entry.item.as_str() {
            Some("ignored-only") => "\"only\"".to_owned(),
            Some(_) | None => self.raw(entry.item),
        };
        self.line(entry, Home::Run, "run-ignored", value)
    }

    /// Ours have no level between failed and slow tests, and none that shows skipped tests without passed ones.
    pub(super) fn status_level(&mut self, entry: &Entry<'_>, name: &str) -> Option<Line> {
        let nearest = match (name, entry.item.as_str()) {
            (_, Some(level @ ("retry" | "flaky"))) => {
                let why = format!("there is no level `{level}`: \"slow\" shows slow tests as well");
                Some(why)
            }
            ("final-status-level", Some("skip")) => {
                let why = "here `skip` would show passed tests as well: \"slow\" was written";
                Some(why.to_owned())
            }
            _ => None,
        };
        let value = match nearest {
            Some(why) => {
                self.leave(entry, why);
                "\"slow\"".to_owned()
            }
            None => self.raw(entry.item),
        };
        self.line(entry, Home::Output, name, value)
    }
}

impl RetriesTable {
    /// The table in one line. What means nothing is left out, where our reader would find a mistake in it.
    fn written(mut self) -> String {
        let is =
            |text: &Option<String>, value: &str| text.as_deref().is_some_and(|text| text == value);
        let fixed = "\"fixed\"";
        if is(&self.count, "0") {
            return format!("{{ backoff = {fixed}, count = 0 }}");
        }
        let exponential =
            is(&self.backoff, "\"exponential\"") || is(&self.backoff, "'exponential'");
        let waits = self.delay.as_deref().is_some_and(|delay| {
            let time = parse_duration(delay.trim_matches(['"', '\'']));
            time.is_ok_and(|time| !time.is_zero())
        });
        if !exponential && !waits {
            self.jitter = None;
        }
        let parts = [
            ("backoff", self.backoff),
            ("count", self.count),
            ("delay", self.delay),
            ("max-delay", self.max_delay),
            ("jitter", self.jitter),
        ];
        let parts = parts
            .into_iter()
            .filter_map(|(key, value)| Some(format!("{key} = {}", value?)));
        format!("{{ {} }}", parts.collect::<Vec<_>>().join(", "))
    }
}
