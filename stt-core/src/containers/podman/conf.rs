//! The configuration that Podman's command is given: its user's, and what makes known whose is what it makes. Pure.
//!
//! Files are read one after the other, and what a later one says counts; arrays of which one says so are joined
//! (`containers.conf(5)`, "append").

use std::collections::HashSet;

use camino::Utf8Path;
use toml_edit::Array;
use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::Table;
use toml_edit::Value;
use toml_edit::value;

/// What joins an array with what other files say.
const APPEND: &str = "append";

/// What the files of a user say together.
#[derive(Clone, Debug, Default)]
pub(super) struct Conf {
    table: Table,
    /// The arrays that continue those which are built into Podman.
    onto_default: HashSet<Vec<String>>,
}

impl Conf {
    /// What these files say, the last one counting most; `None` where Podman can't read one of them either.
    pub(super) fn of<'a>(texts: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        let mut conf = Self::default();
        for text in texts {
            let document: DocumentMut = text.parse().ok()?;
            let Self {
                table,
                onto_default,
            } = &mut conf;
            merge(table, document.as_table(), &mut Vec::new(), onto_default);
        }
        Some(conf)
    }

    /// Whether the command only speaks to a service (`containers.conf(5)`, "remote").
    pub(super) fn is_remote(&self) -> bool {
        let remote = self.table.get("engine").and_then(|it| it.get("remote"));
        remote.and_then(Item::as_bool).unwrap_or_default()
    }

    /// The text of a file that says the same; and that what is made has this annotation, and is written down in a file.
    /// `None` where there is something else in the place of a table or an array.
    pub(super) fn marked(&self, (key, name): (&str, &str), events: &Utf8Path) -> Option<String> {
        let mut table = self.table.clone();
        for path in arrays(&table, &self.onto_default) {
            unmark(&mut table, &path);
        }
        let containers = section(&mut table, "containers")?;
        let annotations = containers.entry("annotations");
        let annotations = annotations.or_insert(value(Array::new()));
        annotations.as_array_mut()?.push(format!("{key}={name}"));
        // Whoever follows a container's output in the journal needs its events there as well.
        let log_driver = containers.get("log_driver").and_then(Item::as_str);
        if log_driver.is_none_or(|driver| driver == "journald") {
            containers.insert("log_driver", value("k8s-file"));
        }
        let engine = section(&mut table, "engine")?;
        engine.insert("events_logger", value("file"));
        engine.insert("events_logfile_path", value(events.as_str()));
        // Without a limit none of it is thrown away.
        engine.insert("events_logfile_max_size", value("0"));
        Some(DocumentMut::from(table).to_string())
    }
}

fn section<'a>(table: &'a mut Table, name: &str) -> Option<&'a mut Table> {
    let section = table.entry(name).or_insert(Item::Table(Table::new()));
    section.as_table_mut()
}

/// Puts what a later file says over what the earlier ones have said.
fn merge(
    into: &mut Table,
    from: &Table,
    path: &mut Vec<String>,
    onto_default: &mut HashSet<Vec<String>>,
) {
    for (key, item) in from {
        path.push(key.to_owned());
        if let Some(later) = item.as_array() {
            let earlier = into.get(key).and_then(Item::as_array);
            let array = joined(earlier, later, path, onto_default);
            into.insert(key, value(array));
        } else if let Ok(later) = item.clone().into_table() {
            let empty = || Item::Table(Table::new());
            let own = into.entry(key).or_insert_with(empty);
            if !own.is_table() {
                *own = empty();
            }
            if let Some(own) = own.as_table_mut() {
                merge(own, &later, path, onto_default);
            }
        } else {
            into.insert(key, item.clone());
        }
        path.pop();
    }
}

/// An array after one more file, with the word of whether the next file continues it.
fn joined(
    earlier: Option<&Array>,
    later: &Array,
    path: &[String],
    onto_default: &mut HashSet<Vec<String>>,
) -> Array {
    let before = earlier.and_then(append);
    let joins = append(later).or(before).unwrap_or_default();
    let values = |array: &Array| {
        let plain = array.iter().filter(|value| !value.is_inline_table());
        plain.cloned().collect::<Vec<Value>>()
    };
    let mut array = Array::new();
    match earlier {
        None if joins => {
            onto_default.insert(path.to_vec());
        }
        Some(earlier) if joins => array.extend(values(earlier)),
        None | Some(_) => {
            onto_default.remove(path);
        }
    }
    array.extend(values(later));
    if joins {
        array.push(Value::InlineTable([(APPEND, true)].into_iter().collect()));
    }
    array
}

/// What an array says of whether it is joined with others.
fn append(array: &Array) -> Option<bool> {
    let word = array.iter().find_map(Value::as_inline_table)?;
    word.get(APPEND)?.as_bool()
}

/// The arrays that are whole: what is built in is no part of them.
fn arrays(table: &Table, onto_default: &HashSet<Vec<String>>) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = vec![(Vec::new(), table)];
    while let Some((path, table)) = rest.pop() {
        for (key, item) in table {
            let path = [&path[..], &[key.to_owned()]].concat();
            if let Some(table) = item.as_table() {
                rest.push((path, table));
            } else if item.is_array() && !onto_default.contains(&path) {
                found.push(path);
            }
        }
    }
    found
}

fn unmark(table: &mut Table, path: &[String]) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let parent = above.iter().try_fold(table, |table, key| {
        table.get_mut(key).and_then(Item::as_table_mut)
    });
    let array = parent.and_then(|parent| parent.get_mut(last)?.as_array_mut());
    if let Some(array) = array {
        array.retain(|value| !value.is_inline_table());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(texts: &[&str]) -> DocumentMut {
        let conf = Conf::of(texts.iter().copied()).unwrap();
        let text = conf.marked(("key", "slot 0"), "/x/events".into()).unwrap();
        text.parse().unwrap()
    }

    fn of(document: &DocumentMut, section: &str, key: &str) -> String {
        let item = document.get(section).and_then(|it| it.get(key));
        item.map(|item| item.to_string().trim().to_owned())
            .unwrap_or_default()
    }

    #[test]
    fn what_is_made_is_annotated_and_written_down() {
        let conf = marked(&[]);
        assert_eq!(of(&conf, "containers", "annotations"), r#"["key=slot 0"]"#);
        assert_eq!(of(&conf, "containers", "log_driver"), r#""k8s-file""#);
        assert_eq!(of(&conf, "engine", "events_logger"), r#""file""#);
        assert_eq!(of(&conf, "engine", "events_logfile_path"), r#""/x/events""#);
    }

    #[test]
    fn what_the_user_has_set_stays() {
        let system = "[containers]\nannotations = ['a=1']\nlog_driver = 'journald'\ncgroups = 'no-conmon'\n\
                      [engine]\nevents_logger = 'journald'\n[engine.runtimes]\nrunc = ['/a', '/b']\n";
        let own = "[engine]\nruntime = 'runc'\nruntimes = { crun = ['/c'] }\n\
                   [containers]\ncgroups = 'split'\n[other]\nx = 1\n";
        let conf = marked(&[system, own]);
        assert_eq!(
            of(&conf, "containers", "annotations"),
            r#"['a=1', "key=slot 0"]"#
        );
        assert_eq!(of(&conf, "containers", "cgroups"), "'split'");
        assert_eq!(of(&conf, "containers", "log_driver"), r#""k8s-file""#);
        assert_eq!(of(&conf, "engine", "events_logger"), r#""file""#);
        assert_eq!(of(&conf, "engine", "runtime"), "'runc'");
        assert_eq!(of(&conf, "other", "x"), "1");
        let runtimes = &conf["engine"]["runtimes"];
        assert!(runtimes.get("runc").is_some() && runtimes.get("crun").is_some());
        let conf = marked(&["[containers]\nlog_driver = 'json-file'"]);
        assert_eq!(of(&conf, "containers", "log_driver"), "'json-file'");
    }

    #[test]
    fn a_later_array_takes_the_place_of_the_earlier_one_or_continues_it() {
        let env = |texts: &[&str]| {
            let texts: Vec<_> = texts
                .iter()
                .map(|array| format!("[containers]\nenv = {array}"))
                .collect();
            let texts: Vec<_> = texts.iter().map(String::as_str).collect();
            of(&marked(&texts), "containers", "env").replace(' ', "")
        };
        let (join, rest) = ("{append=true}", "{append=false}");
        assert_eq!(env(&["['a']", "['b']"]), "['b']");
        assert_eq!(env(&["['a']", &format!("['b', {join}]")]), "['a','b']");
        // What is joined once is joined from then on, until a file says otherwise.
        assert_eq!(
            env(&["['a']", &format!("['b', {join}]"), "['c']"]),
            "['a','b','c']"
        );
        assert_eq!(
            env(&[
                "['a']",
                &format!("['b', {join}]"),
                &format!("['c', {rest}]"),
                "['d']"
            ]),
            "['d']"
        );
        // The first of all continues what Podman itself has.
        assert_eq!(
            env(&[&format!("['a', {join}]"), "['b']"]),
            format!("['a','b',{join}]")
        );
        assert_eq!(
            env(&[&format!("['a', {join}]"), &format!("['b', {rest}]")]),
            "['b']"
        );
    }

    #[test]
    fn what_podman_could_not_read_is_not_replaced() {
        assert!(Conf::of(["[containers"]).is_none());
        let conf = Conf::of(["containers = 1"]).unwrap();
        assert_eq!(conf.marked(("key", "0"), "/x".into()), None);
        let conf = Conf::of(["[containers]\nannotations = 'a'"]).unwrap();
        assert_eq!(conf.marked(("key", "0"), "/x".into()), None);
    }

    #[test]
    fn a_client_of_a_service_is_known() {
        for (text, remote) in [
            ("", false),
            ("[engine]\nremote = true", true),
            ("[engine]\nremote = false", false),
        ] {
            assert_eq!(Conf::of([text]).unwrap().is_remote(), remote, "{text}");
        }
    }
}
