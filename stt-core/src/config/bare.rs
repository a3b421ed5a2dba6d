//! Values of environment variables and options, which have no quotes and no types. Pure.

use super::document::Entry;
use super::document::Said;
use super::given::Given;
use super::keys;
use super::keys::Key;
use super::limits;
use super::limits::LIMIT_KEYS;
use super::limits::LimitEntry;
use super::limits::LimitKey;
use super::limits::SetTable;
use super::problem::Problem;
use super::source::Flag;
use super::source::Origin;
use super::source::Place;
use super::source::Source;
use super::table::KEYS;

/// Whether `key` takes `value`, as text without quotes.
///
/// # Errors
/// What the key takes instead, or which key was probably meant.
pub fn check_value(key: &str, value: &str) -> Result<(), String> {
    if let Some((name, leaf)) = limit_of(key) {
        return limit_key(key, name, leaf).and_then(|key| {
            let accepted = key.accepts(&Given::Bare(value.to_owned()));
            accepted.then_some(()).ok_or_else(|| key.expectation())
        });
    }
    let key = keys::find(key).ok_or_else(|| unknown_key(key))?;
    let given = Given::Bare(value.to_owned());
    if key.accepts(&given) {
        Ok(())
    } else {
        Err(key.expectation(&given))
    }
}

/// The set and its key, of a name such as `limits.fast.memory`.
pub(super) fn limit_of(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(limits::LIMITS)?
        .strip_prefix('.')?
        .rsplit_once('.')
}

fn limit_key(name: &str, set: &str, leaf: &str) -> Result<&'static LimitKey, String> {
    let key = LimitKey::find(leaf).filter(|_| limits::is_name(set));
    key.ok_or_else(|| {
        let expected = if limits::is_name(set) {
            LimitKey::instead_of(leaf)
        } else {
            limits::NAME_RULE.to_owned()
        };
        format!("there is no key `{}`; {expected}", name.escape_debug())
    })
}

fn unknown_key(name: &str) -> String {
    let shown = name.escape_debug();
    match keys::nearest(name) {
        Some(near) => format!("there is no key `{shown}`; did you mean `{near}`?"),
        None => format!("there is no key `{shown}`"),
    }
}

/// Variables that begin like a section's, and are what a runner tells its tests: a run inside of a
/// test sees them.
const NO_KEYS: [&str; 1] = ["STT_RUN_ID"];

pub(super) fn read_environment(
    variables: &[(String, String)],
    said: &mut Said,
    problems: &mut Vec<Problem>,
) {
    for (name, value) in variables {
        let place = Place::Variable(name.clone());
        let source = Source::Environment;
        if let Some(key) = KEYS.iter().find(|key| key.variable() == *name) {
            said.entries
                .extend(read_text(key, value, source, place, problems));
        } else if let Some(rest) = name.strip_prefix(LIMITS_VARIABLE) {
            match limit_of_variable(rest, &said.sets) {
                Ok((set, key)) => {
                    let full = format!("{}.{set}.{}", limits::LIMITS, key.name);
                    said.sets
                        .extend(read_limit(&full, &set, key, value, source, place, problems));
                }
                Err(message) => problems.push(Problem {
                    source,
                    place,
                    key: Some(limits::LIMITS.to_owned()),
                    message,
                    expected: None,
                }),
            }
        } else if let Some(key) = name_of_key(name) {
            let near = keys::nearest(&key).and_then(keys::find).map(Key::variable);
            problems.push(Problem {
                source,
                place,
                message: format!("there is no key `{key}`"),
                key: Some(key),
                expected: near.map(|near| format!("did you mean {near}?")),
            });
        }
    }
}

/// How the names of variables begin that set a limit: `STT_LIMITS_FAST_CPU_TIME`.
const LIMITS_VARIABLE: &str = "STT_LIMITS_";

/// The set and the key that `FAST_CPU_TIME` means. A variable adds no set: its name tells neither case nor
/// `-` from `_`.
fn limit_of_variable(rest: &str, sets: &[SetTable]) -> Result<(String, &'static LimitKey), String> {
    let upper = |name: &str| name.replace('-', "_").to_ascii_uppercase();
    for set in sets {
        let leaf = rest.strip_prefix(&upper(&set.name));
        let Some(leaf) = leaf.and_then(|leaf| leaf.strip_prefix('_')) else {
            continue;
        };
        if let Some(key) = LIMIT_KEYS.iter().find(|key| upper(key.name) == leaf) {
            return Ok((set.name.clone(), key));
        }
    }
    let names = limits::each_once(sets.iter().map(|set| &*set.name));
    let names: Vec<_> = names.into_iter().map(upper).collect();
    let keys: Vec<_> = LIMIT_KEYS.iter().map(|key| upper(key.name)).collect();
    Err(format!(
        "no set of limits has such a key; {LIMITS_VARIABLE}<SET>_<KEY> knows the sets {} and the keys {}",
        names.join(", "),
        keys.join(", ")
    ))
}

/// `STT_GUARD_FOO` is meant to be `guard.foo`; `None` for what is not meant to be a key.
fn name_of_key(variable: &str) -> Option<String> {
    if NO_KEYS.contains(&variable) {
        return None;
    }
    let (section, leaf) = variable.strip_prefix("STT_")?.split_once('_')?;
    let section = section.to_ascii_lowercase();
    let leaf = leaf.to_ascii_lowercase().replace('_', "-");
    keys::is_section(&section).then(|| format!("{section}.{}", leaf.escape_debug()))
}

pub(super) fn read_flags(flags: &[Flag], said: &mut Said, problems: &mut Vec<Problem>) {
    for flag in flags {
        let place = Place::Option(flag.name.clone());
        let source = Source::CommandLine;
        let unknown = |message| Problem {
            source,
            place: place.clone(),
            key: Some(flag.key.clone()),
            message,
            expected: None,
        };
        if let Some((set, leaf)) = limit_of(&flag.key) {
            match limit_key(&flag.key, set, leaf) {
                Ok(key) => said.sets.extend(read_limit(
                    &flag.key,
                    set,
                    key,
                    &flag.value,
                    source,
                    place,
                    problems,
                )),
                Err(message) => problems.push(unknown(message)),
            }
        } else if let Some(key) = keys::find(&flag.key) {
            said.entries
                .extend(read_text(key, &flag.value, source, place, problems));
        } else {
            problems.push(unknown(unknown_key(&flag.key)));
        }
    }
}

/// A limit of a set, from where values have no types.
fn read_limit(
    full: &str,
    set: &str,
    key: &'static LimitKey,
    value: &str,
    source: Source,
    place: Place,
    problems: &mut Vec<Problem>,
) -> Option<SetTable> {
    let given = Given::Bare(value.to_owned());
    if !key.accepts(&given) {
        problems.push(Problem {
            source,
            place,
            key: Some(full.to_owned()),
            message: format!("`{full}` can't be {}", given.shown()),
            expected: Some(key.expectation()),
        });
        return None;
    }
    let origin = Origin { source, place };
    Some(SetTable {
        name: set.to_owned(),
        values: vec![LimitEntry { key, given, origin }],
    })
}

fn read_text(
    key: &'static Key,
    value: &str,
    source: Source,
    place: Place,
    problems: &mut Vec<Problem>,
) -> Option<Entry> {
    let given = Given::Bare(value.to_owned());
    if key.accepts(&given) {
        let origin = Origin { source, place };
        return Some(Entry { key, given, origin });
    }
    problems.push(Problem {
        source,
        place,
        key: Some(key.name.to_owned()),
        message: key.refusal(&given),
        expected: Some(key.expectation(&given)),
    });
    None
}
