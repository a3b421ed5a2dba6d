//! The objects of setup and teardown scripts.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use stt_core::outcome::ScriptOutcome;
use stt_core::report::ScriptFinished;
use stt_core::report::ScriptPlace;
use stt_core::script::ScriptKind;

use crate::render::json::result::OutputMessage;

/// Which script it is.
#[derive(Serialize)]
pub(super) struct ScriptMessage<'a> {
    kind: ScriptKind,
    name: &'a str,
    command: String,
    number: usize,
    of: usize,
}

impl<'a> From<&'a ScriptPlace> for ScriptMessage<'a> {
    fn from(place: &'a ScriptPlace) -> Self {
        Self {
            kind: place.script.kind,
            name: &place.script.name,
            command: place.script.command.to_string(),
            number: place.number,
            of: place.of,
        }
    }
}

/// That it takes long.
#[derive(Serialize)]
pub(super) struct ScriptSlowMessage<'a> {
    script: ScriptMessage<'a>,
    elapsed: f64,
    ending: bool,
}

impl<'a> ScriptSlowMessage<'a> {
    pub(super) fn of(place: &'a ScriptPlace, elapsed: Duration, ending: bool) -> Self {
        Self {
            script: place.into(),
            elapsed: elapsed.as_secs_f64(),
            ending,
        }
    }
}

/// How it ended.
#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ScriptFinishedMessage<'a> {
    script: ScriptMessage<'a>,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    duration: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<OutputMessage<'a>>,
    variables: BTreeMap<&'a str, &'a str>,
    output_open: bool,
}

impl<'a> From<&'a ScriptFinished> for ScriptFinishedMessage<'a> {
    fn from(end: &'a ScriptFinished) -> Self {
        let outcome = match end.outcome {
            ScriptOutcome::Passed => "passed",
            ScriptOutcome::Failed(_) | ScriptOutcome::Variables(_) => "failed",
            ScriptOutcome::Ended(_) => "ended",
        };
        let reason = (end.outcome != ScriptOutcome::Passed).then(|| end.outcome.to_string());
        let variables = end.variables.iter();
        Self {
            script: (&end.script).into(),
            outcome,
            reason,
            duration: end.duration.as_secs_f64(),
            output: end.output.as_deref().map(OutputMessage::from),
            variables: variables.map(|(name, value)| (&**name, &**value)).collect(),
            output_open: end.output_open,
        }
    }
}
