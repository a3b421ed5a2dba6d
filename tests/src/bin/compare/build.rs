//! The test binaries of a suite, as cargo names them.

use std::collections::BTreeMap;

use camino::Utf8Path;
use camino::Utf8PathBuf;
use serde_json::Value;

/// A test binary.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Binary {
    /// Its id, in nextest's form.
    pub(crate) id: String,
    /// The name of its target.
    pub(crate) target: String,
    /// The program.
    pub(crate) program: Utf8PathBuf,
    /// Where its tests start: the directory of its package.
    pub(crate) dir: Utf8PathBuf,
}

/// Reads `cargo metadata --no-deps` and the messages of `cargo test --no-run`; `None` where they have not
/// the known form.
pub(crate) fn binaries(metadata: &str, messages: &str) -> Option<Vec<Binary>> {
    let metadata: Value = serde_json::from_str(metadata).ok()?;
    let packages: BTreeMap<&str, (&str, &Utf8Path)> = metadata["packages"]
        .as_array()?
        .iter()
        .filter_map(|package| {
            let manifest = Utf8Path::new(package["manifest_path"].as_str()?);
            let named = (package["name"].as_str()?, manifest.parent()?);
            Some((package["id"].as_str()?, named))
        })
        .collect();
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["profile"]["test"] == true && message["executable"].is_string())
        .map(|message| {
            let (package, dir) = packages.get(message["package_id"].as_str()?)?;
            let target = message["target"]["name"].as_str()?;
            Some(Binary {
                id: id(package, message["target"]["kind"][0].as_str()?, target),
                target: target.to_owned(),
                program: message["executable"].as_str()?.into(),
                dir: dir.into(),
            })
        })
        .collect()
}

fn id(package: &str, kind: &str, target: &str) -> String {
    match kind {
        "test" => format!("{package}::{target}"),
        "bin" | "bench" | "example" => format!("{package}::{kind}/{target}"),
        _ => package.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn test_binaries_have_nextests_ids() {
        let metadata = r#"{"packages":[{"id":"path+file:///w#1.0.0","name":"app","manifest_path":"/w/Cargo.toml"}]}"#;
        let message = |kind: &str, test: bool| {
            format!(
                r#"{{"reason":"compiler-artifact","package_id":"path+file:///w#1.0.0","target":{{"kind":["{kind}"],"name":"it"}},"profile":{{"test":{test}}},"executable":"/t/it-1"}}"#
            )
        };
        let ids = |kind: &str, test: bool| -> Vec<String> {
            let messages = format!("a line of a build script\n{}\n", message(kind, test));
            let found = binaries(metadata, &messages).expect("the form is known");
            found.into_iter().map(|binary| binary.id).collect()
        };
        for (kind, id) in [
            ("lib", "app"),
            ("proc-macro", "app"),
            ("test", "app::it"),
            ("bin", "app::bin/it"),
            ("bench", "app::bench/it"),
            ("example", "app::example/it"),
        ] {
            assert_eq!(ids(kind, true), [id]);
            assert!(ids(kind, false).is_empty());
        }
        assert_eq!(binaries(r#"{"packages":[]}"#, &message("lib", true)), None);
    }
}
