//! The images of containers in which tests run, in `[container]` and in overrides. Pure.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use toml_edit::Item;

use super::Reuse;
use super::document::Reader;
use super::document::given;
use super::given::Given;
use super::keys::Draft;

/// What an override calls it.
pub(super) const CONTAINER: &str = "container";

/// The key for all tests.
pub(super) const CONTAINER_IMAGE: &str = "container.image";

/// The word for no container.
pub const NO_CONTAINER: &str = "none";

/// What is expected instead of something else.
pub(super) const EXPECTED: &str = r#"the name of an image, such as "debian:12"; "none" for none"#;

/// An image that was chosen; `None` is the choice of none: the test runs outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerChoice(pub Option<Arc<str>>);

impl fmt::Display for ContainerChoice {
    /// As a file has it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_deref().unwrap_or(NO_CONTAINER);
        toml_edit::Value::from(name).fmt(f)
    }
}

/// Reads the name of an image. Names have no spaces, and none begins like an option.
pub(super) fn choice(given: &Given) -> Option<ContainerChoice> {
    let name = given.word()?;
    if matches!(name, "" | NO_CONTAINER) {
        return Some(ContainerChoice(None));
    }
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-/:@".contains(c);
    let good = name.starts_with(|c: char| c.is_ascii_alphanumeric()) && name.chars().all(is_plain);
    good.then(|| ContainerChoice(Some(name.into())))
}

/// Sets the image for all tests.
pub(super) fn image(draft: &mut Draft, given: &Given) -> Option<()> {
    let ContainerChoice(image) = choice(given)?;
    draft.config.container.image = image;
    Some(())
}

/// Sets the network; no text is the engine's default.
pub(super) fn network(draft: &mut Draft, given: &Given) -> Option<()> {
    let name = given.word()?;
    draft.config.container.network = (!name.is_empty()).then(|| name.to_owned());
    Some(())
}

/// Sets whether tests share containers.
pub(super) fn reuse(draft: &mut Draft, given: &Given) -> Option<()> {
    draft.config.container.reuse = given.choice(&[("test", Reuse::Test), ("run", Reuse::Run)])?;
    Some(())
}

/// Reads the key of an override.
pub(super) fn read(
    reader: &mut Reader<'_>,
    item: &Item,
    span: Range<usize>,
) -> Option<ContainerChoice> {
    let given = given(item);
    let choice = choice(&given);
    if choice.is_none() {
        reader.refuse(span, CONTAINER, &given, EXPECTED.to_owned());
    }
    choice
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use super::*;
    use crate::config::ConfigFile;
    use crate::config::Flag;
    use crate::config::Layers;
    use crate::config::Level;
    use crate::config::resolve;

    const TEXT: &str = "[container]\nimage = 'alpine'\n\
        [[overrides]]\nfilter = 'all()'\ncontainer = 'debian:12'\nretries = 1\n\
        [[overrides]]\nfilter = 'test(a)'\ncontainer = 'none'\n";

    fn read(typed: Option<&str>) -> crate::config::Config {
        let flags = typed.map(|image| Flag {
            name: "--container".to_owned(),
            key: CONTAINER_IMAGE.to_owned(),
            value: image.to_owned(),
        });
        let layers = Layers {
            files: vec![ConfigFile {
                level: Level::Workspace,
                path: "stt.toml".into(),
                text: TEXT.to_owned(),
            }],
            flags: flags.into_iter().collect(),
            ..Layers::default()
        };
        resolve(&layers, NonZeroUsize::MIN).unwrap().config
    }

    #[test]
    fn none_counts_for_all_tests_where_it_is_typed_and_an_image_for_the_others() {
        let image = |name: &str| Some(ContainerChoice(Some(name.into())));
        for (typed, of_all) in [(None, "alpine"), (Some("fedora"), "fedora")] {
            let config = read(typed);
            assert_eq!(config.container.image.as_deref(), Some(of_all));
            let said: Vec<_> = config
                .overrides
                .iter()
                .map(|one| one.container.clone())
                .collect();
            assert_eq!(said, [image("debian:12"), Some(ContainerChoice(None))]);
            assert!(
                config.overrides[0]
                    .to_string()
                    .contains("container = \"debian:12\"\n")
            );
            assert!(
                config.overrides[1]
                    .to_string()
                    .contains("container = \"none\"\n")
            );
        }
        let config = read(Some("none"));
        assert_eq!(config.container.image, None);
        // Of the other nothing is left.
        assert_eq!(config.overrides.len(), 1);
        assert_eq!(config.overrides[0].container, None);
    }

    #[test]
    fn images_have_names_as_engines_know_them() {
        let read = |text: &str| choice(&Given::Bare(text.to_owned()));
        for name in [
            "debian",
            "debian:12",
            "ghcr.io/a/b-c_d:1.2@sha256:00ff",
            "localhost:5000/x",
        ] {
            assert_eq!(read(name), Some(ContainerChoice(Some(name.into()))));
        }
        for none in ["", "none"] {
            assert_eq!(read(none), Some(ContainerChoice(None)));
        }
        for bad in ["-x", "a b", "a?b", "/x", "é"] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
