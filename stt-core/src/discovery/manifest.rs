//! Which targets of a package do without libtest. `cargo metadata` doesn't say; the manifest does.

use std::collections::BTreeSet;

use toml_edit::DocumentMut;
use toml_edit::Item;
use toml_edit::TableLike;

use super::binary::BinaryKind;

/// What answers in a test binary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Harness {
    /// The test harness of the standard distribution.
    Libtest,
    /// `harness = false`: a `main` of the project's own, which may speak libtest's protocol or not.
    Custom,
}

/// The targets with `harness = false` of one package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    lib: bool,
    /// The key of the target's table, and the target's name.
    others: BTreeSet<(&'static str, String)>,
}

/// The manifest is no TOML.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the manifest")]
pub struct ManifestError(#[source] toml_edit::TomlError);

impl Manifest {
    /// Reads the text of a `Cargo.toml`.
    pub(super) fn parse(text: &str) -> Result<Self, ManifestError> {
        let document: DocumentMut = text.parse().map_err(ManifestError)?;
        let lib = document
            .get("lib")
            .and_then(Item::as_table_like)
            .is_some_and(without_harness);
        let others = ["bin", "test", "example", "bench"]
            .into_iter()
            .flat_map(|key| {
                targets(document.get(key))
                    .into_iter()
                    .filter(|target| without_harness(*target))
                    .filter_map(|target| Some(target.get("name")?.as_str()?.to_owned()))
                    .map(move |name| (key, name))
            })
            .collect();
        Ok(Self { lib, others })
    }

    /// What answers in the test binary of a target. A target that the manifest doesn't name is one
    /// that cargo discovered, and those have libtest.
    pub(super) fn harness(&self, kind: BinaryKind, name: &str) -> Harness {
        let key = match kind {
            BinaryKind::Doc => return Harness::Libtest,
            BinaryKind::Lib | BinaryKind::ProcMacro => {
                return if self.lib {
                    Harness::Custom
                } else {
                    Harness::Libtest
                };
            }
            BinaryKind::Bin => "bin",
            BinaryKind::Test => "test",
            BinaryKind::Example => "example",
            BinaryKind::Bench => "bench",
        };
        if self.others.contains(&(key, name.to_owned())) {
            Harness::Custom
        } else {
            Harness::Libtest
        }
    }
}

fn without_harness(target: &dyn TableLike) -> bool {
    target.get("harness").and_then(Item::as_bool) == Some(false)
}

/// The tables of `[[key]]`, also where they are written as `key = [{ … }]`.
fn targets(item: Option<&Item>) -> Vec<&dyn TableLike> {
    match item {
        Some(Item::ArrayOfTables(tables)) => {
            tables.iter().map(|table| table as &dyn TableLike).collect()
        }
        Some(Item::Value(toml_edit::Value::Array(array))) => array
            .iter()
            .filter_map(toml_edit::Value::as_inline_table)
            .map(|table| table as &dyn TableLike)
            .collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_named_targets_without_a_harness_are_custom() {
        let manifest = Manifest::parse(
            r#"
            example = [{ name = "ex", harness = false }, { name = "other" }]
            [package]
            name = "p"
            [lib]
            harness = false
            [[test]]
            name = "custom"
            harness = false
            [[test]]
            name = "plain"
            [[bench]]
            name = "custom"
            harness = true
            [[bin]]
            harness = false
            name = "tool"
            "#,
        )
        .unwrap();
        let cases = [
            (BinaryKind::Lib, "p", Harness::Custom),
            (BinaryKind::ProcMacro, "p", Harness::Custom),
            (BinaryKind::Test, "custom", Harness::Custom),
            (BinaryKind::Test, "plain", Harness::Libtest),
            (BinaryKind::Test, "discovered", Harness::Libtest),
            (BinaryKind::Bench, "custom", Harness::Libtest),
            (BinaryKind::Bin, "tool", Harness::Custom),
            (BinaryKind::Example, "ex", Harness::Custom),
            (BinaryKind::Example, "other", Harness::Libtest),
        ];
        for (kind, name, harness) in cases {
            assert_eq!(manifest.harness(kind, name), harness, "{kind:?} {name}");
        }
    }

    #[test]
    fn tables_of_another_form_say_nothing() {
        for text in [
            "lib = 3",
            "test = \"x\"",
            "[test]\nharness = false",
            "test = [1, [2]]",
            "",
        ] {
            assert_eq!(
                Manifest::parse(text).unwrap(),
                Manifest::default(),
                "{text}"
            );
        }
        assert!(Manifest::parse("[lib\n").is_err());
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_parser(text in "(\\[\\[?(lib|test|bin)\\]?\\]\n)?.{0,60}") {
            drop(Manifest::parse(&text));
        }
    }
}
